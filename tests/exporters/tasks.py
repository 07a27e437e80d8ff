"""Synthetic tasks that small networks learn in seconds, neither perfectly nor by chance.

A task is a function of a random generator and a number of items. It returns a list of inputs, an array each with the
items along the first axis, and the answers: int64 classes, or floats to predict.
"""

import numpy as np


def gratings(channels=1, height=16, width=16, noise=1.4):
    """Stripes in one of four directions, of any phase and width."""

    def make(rng, count):
        classes = rng.integers(0, 4, count)
        y, x = np.mgrid[0:height, 0:width]
        angle = (classes * np.pi / 4 + rng.normal(0, 0.12, count))[:, None, None]
        phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
        frequency = rng.uniform(0.7, 1.3, (count, 1, 1))
        stripes = np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        gains = rng.uniform(0.4, 1.2, (count, channels, 1, 1))
        images = stripes[:, None] * gains + rng.normal(0, noise, (count, channels, height, width))
        return [images.astype(np.float32)], classes

    return make


def waves(channels=4, length=32, noise=0.8, frames=False):
    """Sensor channels with a slow wave, a fast one, a rising or a falling one. `frames` puts the time first."""

    def make(rng, count):
        classes = rng.integers(0, 4, count)
        time = np.arange(length) / length
        start = np.array([2.0, 6.0, 2.0, 6.0])[classes][:, None] * rng.uniform(0.85, 1.15, (count, 1))
        slope = np.array([0.0, 0.0, 4.0, -4.0])[classes][:, None]
        phase = rng.uniform(0, 2 * np.pi, (count, channels, 1))
        waves = np.sin(2 * np.pi * (start * time + slope * time**2 / 2)[:, None] + phase)
        gains = rng.uniform(0.5, 1.5, (count, channels, 1))
        x = waves * gains + rng.normal(0, noise, (count, channels, length))
        return [(x.transpose(0, 2, 1) if frames else x).astype(np.float32)], classes

    return make


def discs(size=16):
    """Discs before noise: which pixels belong to them."""

    def make(rng, count):
        y, x = np.mgrid[0:size, 0:size]
        masks = np.zeros((count, size, size), bool)
        for _ in range(2):
            centre = rng.uniform(0, size, (count, 2, 1, 1))
            radius = rng.uniform(2, 4, (count, 1, 1))
            masks |= (y - centre[:, 0]) ** 2 + (x - centre[:, 1]) ** 2 < radius**2
        images = masks[:, None] + rng.normal(0, 0.45, (count, 1, size, size))
        return [images.astype(np.float32)], masks.astype(np.int64)

    return make


def manifold(features=32, shape=None):
    """Points of a curved surface of four dimensions, to be reproduced."""

    def make(rng, count):
        fixed = np.random.default_rng(5)
        inner, outer = fixed.normal(0, 1, (4, 12)), fixed.normal(0, 0.7, (12, features))
        x = 1 / (1 + np.exp(-np.tanh(rng.normal(0, 1, (count, 4)) @ inner) @ outer))
        x = x.reshape(count, *(shape or (features,))).astype(np.float32)
        return [x], x

    return make


def smooth_images(size=16):
    """Images of few waves with values from 0 to 1, to be reproduced."""

    def make(rng, count):
        y, x = np.mgrid[0:size, 0:size] / size
        images = np.zeros((count, size, size))
        for _ in range(2):
            a, b, phase = rng.uniform(-3, 3, (count, 1, 1)), rng.uniform(-3, 3, (count, 1, 1)), rng.uniform(0, 6, (count, 1, 1))
            images += 0.25 * np.sin(a * x + b * y + phase)
        images = (images[:, None] + 0.5).astype(np.float32)
        return [images], images

    return make


def tokens(length=12, vocabulary=20, dtype=np.int64):
    """Sequences of ids; the class is the remainder (of 4) that is most frequent."""

    def make(rng, count):
        classes = rng.integers(0, 4, count)
        ids = rng.integers(0, vocabulary, (count, length))
        pulled = rng.random((count, length)) < 0.35
        ids = np.where(pulled, ids // 4 * 4 + classes[:, None], ids)
        return [ids.astype(dtype)], classes

    return make


def forecast(channels=2, length=24):
    """The value that follows a noisy wave, and a state to start from."""

    def make(rng, count):
        time = np.arange(length + 1)
        phase, frequency = rng.uniform(0, 6.28, (count, 1)), rng.uniform(0.2, 0.6, (count, 1))
        wave = np.sin(frequency * time + phase)
        x = np.stack([wave[:, :-1]] * channels, 2) + rng.normal(0, 0.1, (count, length, channels))
        state = rng.normal(0, 0.5, (count, 12))
        return [x.astype(np.float32), state.astype(np.float32)], wave[:, -1:].astype(np.float32)

    return make


def two_sensors():
    """An image and a vector; the class needs both."""

    def make(rng, count):
        [images], classes = gratings(noise=0.7)(rng, count)
        shift = rng.integers(0, 2, count)
        vector = rng.normal(0, 0.6, (count, 6)) + shift[:, None] * np.array([1, -1, 1, -1, 1, -1])
        return [images, vector.astype(np.float32)], (classes + 2 * shift) % 4

    return make


def masked():
    """A sequence of frames and how many of them count; the others are loud noise."""

    def make(rng, count):
        [x], classes = waves(length=24, noise=0.5, frames=True)(rng, count)
        used = rng.integers(16, 25, count)
        padding = np.arange(24)[None] >= used[:, None]
        x = np.where(padding[:, :, None], rng.normal(0, 3, x.shape), x)
        return [x.astype(np.float32), padding], classes

    return make


def table(features=10, classes=4, regression=False):
    """Tabular data: classes or a number, depending on some of the features in a curved way."""

    def make(rng, count):
        fixed = np.random.default_rng(7)
        gains, offsets = fixed.uniform(0.5, 20, features), fixed.uniform(-10, 10, features)
        z = rng.normal(0, 1, (count, features))
        hidden = np.tanh(z[:, :6] @ fixed.normal(0, 1, (6, 8)))
        scores = hidden @ fixed.normal(0, 1, (8, classes)) + rng.normal(0, 0.3, (count, classes))
        x = (z * gains + offsets).astype(np.float32)
        return [x], (scores[:, :1].astype(np.float32) if regression else scores.argmax(1))

    return make
