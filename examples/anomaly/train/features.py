"""What the network sees of a window: the logarithm of the energy in each of 32 bands. src/features.rs has the same."""

import numpy as np

BANDS = 32


def features(counts):
    """From counts [..., 512] to [..., 32]."""
    length = counts.shape[-1]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)).astype(np.float32)
    spectrum = np.fft.rfft(counts.astype(np.float32) * hann)[..., : length // 2]
    # At zero there is the sensor's offset.
    spectrum[..., 0] = 0
    energy = (np.abs(spectrum) ** 2).reshape(*counts.shape[:-1], BANDS, -1).sum(-1)
    return np.log2(1 + energy).astype(np.float32)
