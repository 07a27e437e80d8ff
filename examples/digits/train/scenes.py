"""Scenes for a camera of 40 by 40 pixels: handwritten digits, all of them real, on cuttings of real photographs.

Digits and photographs come with scikit-learn. What is made up is where they stand, how large and how dark they are.
"""

import numpy as np
from sklearn.datasets import load_digits, load_sample_images

SIZE = 40
# A cell of the detector's output: a square of so many pixels.
CELL = 8
CELLS = SIZE // CELL
# The share of digits, and of each photograph's width, that is for training; tests see the rest.
TRAIN = 2 / 3


class Studio:
    """Makes scenes, of the digits and the parts of the photographs that are for training or of those that are not."""

    def __init__(self, rng, test):
        self.rng = rng
        digits = load_digits()
        cut = int(len(digits.images) * TRAIN)
        part = slice(cut, None) if test else slice(0, cut)
        self.images, self.labels = digits.images[part] / 16, digits.target[part]
        self.photographs = []
        for photograph in load_sample_images().images:
            grey = photograph.mean(2) / 255
            width = int(grey.shape[1] * TRAIN)
            self.photographs.append(grey[:, width:] if test else grey[:, :width])

    def scene(self):
        """Pixels from 0 to 255, and for each digit its class and the centre's column and row."""
        rng = self.rng
        image = self.background()
        found = []
        for _ in range(rng.integers(0, 4)):
            side = int(rng.integers(12, 19))
            left, top = rng.integers(0, SIZE - side + 1, 2)
            centre = np.array([left + side / 2, top + side / 2])
            # They may touch, but not lie on each other.
            if any(np.abs(centre - other).max() < (side + size) / 2 - 1 for _, other, size in found):
                continue
            pick = rng.integers(len(self.images))
            ink = enlarge(self.images[pick], side)
            tone = rng.uniform(0, 0.25) if image[top : top + side, left : left + side].mean() > 0.5 else rng.uniform(0.75, 1)
            place = image[top : top + side, left : left + side]
            place += ink * (tone - place)
            found.append((int(self.labels[pick]), centre, side))
        noisy = image * 255 + rng.normal(0, 4, image.shape)
        digits = [(label, *np.minimum(centre, SIZE - 1).astype(int)) for label, centre, _ in found]
        return np.clip(np.round(noisy), 0, 255).astype(np.uint8), digits

    def background(self):
        """A cutting of a photograph, from one to four pixels a pixel, out of focus as what lies behind is."""
        rng = self.rng
        photograph = self.photographs[rng.integers(len(self.photographs))]
        step = int(rng.integers(1, 5))
        top = rng.integers(photograph.shape[0] - SIZE * step + 1)
        left = rng.integers(photograph.shape[1] - SIZE * step + 1)
        cutting = photograph[top : top + SIZE * step, left : left + SIZE * step]
        image = cutting.reshape(SIZE, step, SIZE, step).mean((1, 3))
        return 0.5 + (image - 0.5) * rng.uniform(0.3, 0.8)


def enlarge(image, side):
    """Bilinear, with half a pixel of nothing around."""
    at = np.linspace(0, image.shape[0] - 1, side)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, image.shape[0] - 1)
    share = at - low
    rows = image[low] * (1 - share)[:, None] + image[high] * share[:, None]
    return rows[:, low] * (1 - share) + rows[:, high] * share


def target(digits):
    """What each cell should say: 0 for nothing, or 1 + the digit whose centre lies in it."""
    cells = np.zeros((CELLS, CELLS), np.int64)
    for label, column, row in digits:
        cells[row // CELL, column // CELL] = 1 + label
    return cells
