"""Reading, writing and resampling of 16 kHz mono clips."""

import wave
from math import gcd

import numpy as np

RATE = 16_000


def read(path):
    """The samples of a 16-bit WAV file at 16 kHz, as float32 in ±1."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: expected 16-bit samples")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        samples = samples.reshape(-1, file.getnchannels()).mean(axis=1)
        return resample(samples.astype(np.float32) / 32768, file.getframerate())


def write(path, samples):
    """Writes int16 samples as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def resample(samples, rate):
    """Band-limited conversion to 16 kHz, by cutting or filling the spectrum."""
    if rate == RATE:
        return samples
    divisor = gcd(rate, RATE)
    block = rate // divisor
    padded = np.pad(samples, (0, -len(samples) % block))
    length = len(padded) // block * (RATE // divisor)
    spectrum = np.fft.rfft(padded)
    kept = np.zeros(length // 2 + 1, spectrum.dtype)
    count = min(len(spectrum), len(kept))
    kept[:count] = spectrum[:count]
    return (np.fft.irfft(kept, length) * (length / len(padded))).astype(np.float32)


def to_int16(samples):
    return np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2")
