"""Makes one-second clips as a microphone would deliver them: words at any
place and level, in rooms, through cheap microphones, in noise."""

import numpy as np

import audio

SECOND = audio.RATE


class Studio:
    """Mixes clips; `words` are the babble in the background, `recordings` are
    real noise and may be empty."""

    def __init__(self, words, recordings):
        self.words, self.recordings = words, recordings

    def training_clip(self, rng, path):
        clip = audio.read(path)
        if rng.random() < 0.85:
            clip = other_speaker(rng, clip)
        clip = place(rng, clip)
        if rng.random() < 0.5:
            clip = microphone(rng, clip)
        if rng.random() < 0.4:
            clip = room(rng, clip)
        clip = level(clip, rng.uniform(-32, -10))
        if rng.random() < 0.8:
            clip = clip + self.noise(rng, loudness(clip) - rng.uniform(3, 35), babble=True)
        return finish(rng, clip)

    def test_clip(self, rng, path):
        """Every other clip in noise 8 to 30 dB below the word."""
        clip = level(place(rng, audio.read(path)), rng.uniform(-28, -14))
        if rng.random() < 0.5:
            clip = clip + self.noise(rng, loudness(clip) - rng.uniform(8, 30), babble=True)
        return finish(rng, clip)

    def silence(self, rng):
        """Nobody speaks."""
        return finish(rng, self.noise(rng, rng.uniform(-90, -25), babble=False))

    def noise(self, rng, decibels, babble):
        kinds = ["coloured", "hum", "gusts", "clicks"]
        kinds += ["babble"] if babble else []
        kinds += ["recording"] * 3 if self.recordings else []
        kind = rng.choice(kinds)
        if kind == "coloured":
            noise = coloured(rng)
        elif kind == "hum":
            noise = hum(rng)
        elif kind == "gusts":
            noise = coloured(rng) * envelope(rng)
        elif kind == "clicks":
            noise = clicks(rng)
        elif kind == "babble":
            speakers = [place(rng, audio.read(one_of(rng, self.words))) for _ in range(8)]
            noise = np.sum(speakers, axis=0)
        else:
            recording = audio.read(one_of(rng, self.recordings))
            start = rng.integers(len(recording) - SECOND)
            noise = recording[start : start + SECOND]
        return level(noise, decibels)


def one_of(rng, paths):
    return paths[rng.integers(len(paths))]


def place(rng, clip):
    """A second of audio with the clip somewhere in it, whole if it fits."""
    free = SECOND - len(clip)
    if free <= 0:
        start = rng.integers(-free + 1)
        return clip[start : start + SECOND]
    before = rng.integers(free + 1)
    return np.pad(clip, (before, free - before))


def other_speaker(rng, clip):
    """Faster or slower, which moves pitch and formants like another throat."""
    factor = rng.uniform(0.8, 1.25)
    times = np.arange(0, len(clip) - 1, factor)
    return np.interp(times, np.arange(len(clip)), clip).astype(np.float32)


def microphone(rng, clip):
    """A tilt of up to 10 dB, and sometimes the band of a telephone."""
    spectrum = np.fft.rfft(clip)
    hertz = np.fft.rfftfreq(SECOND, 1 / audio.RATE)
    octaves = np.log2(np.maximum(hertz, 50) / 1000) / 4
    spectrum *= 10 ** (rng.uniform(-10, 10) * octaves / 20)
    if rng.random() < 0.2:
        spectrum[hertz > rng.uniform(3400, 7000)] *= 0.05
    if rng.random() < 0.2:
        spectrum[hertz < rng.uniform(80, 300)] *= 0.05
    return np.fft.irfft(spectrum, SECOND)


def room(rng, clip):
    """Echoes that die away by 60 dB within 0.1 to 0.5 seconds."""
    length = int(rng.uniform(0.1, 0.5) * audio.RATE)
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    tail *= rng.uniform(0.1, 0.7) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    size = 2 * SECOND
    return np.fft.irfft(np.fft.rfft(clip, size) * np.fft.rfft(tail, size), size)[:SECOND]


def coloured(rng):
    """Between white (0), pink (1) and brown (2)."""
    spectrum = np.fft.rfft(rng.standard_normal(SECOND))
    hertz = np.maximum(np.fft.rfftfreq(SECOND, 1 / audio.RATE), 20)
    return np.fft.irfft(spectrum * hertz ** (-rng.uniform(0, 2) / 2), SECOND)


def hum(rng):
    """Mains and motors: a low tone with its harmonics."""
    time = np.arange(SECOND) / audio.RATE
    tone = rng.choice([50, 60, rng.uniform(70, 400)])
    harmonics = [
        rng.uniform(0, 1) / n * np.sin(2 * np.pi * (n * tone * time + rng.random()))
        for n in range(1, 12)
    ]
    return np.sum(harmonics, axis=0) + 0.05 * coloured(rng)


def clicks(rng):
    """Keys, doors, dishes: a few bursts over a quiet floor."""
    noise = 0.01 * rng.standard_normal(SECOND)
    for _ in range(rng.integers(1, 6)):
        length = int(rng.uniform(0.003, 0.08) * audio.RATE)
        start = rng.integers(SECOND - length)
        burst = rng.standard_normal(length) * np.exp(-6 * np.arange(length) / length)
        noise[start : start + length] += rng.uniform(0.1, 1) * burst
    return noise


def envelope(rng):
    points = np.sort(rng.integers(0, SECOND, 6))
    return np.interp(np.arange(SECOND), points, rng.uniform(0, 1, 6) ** 2)


def loudness(clip):
    """Decibels of full scale, of the loudest 100 ms."""
    power = np.square(clip.reshape(-1, SECOND // 10)).mean(axis=1).max()
    return 10 * np.log10(power + 1e-12)


def level(clip, decibels):
    return clip * 10 ** ((decibels - loudness(clip)) / 20)


def finish(rng, clip):
    """The converter adds a little noise of its own, and clips."""
    return audio.to_int16(clip + rng.standard_normal(SECOND) * 10 ** (rng.uniform(-95, -75) / 20))
