"""Runs clips through kws-features, the crate that the firmware uses."""

import subprocess
from pathlib import Path

import numpy as np

SHAPE = (1, 49, 10)
COMMAND = ["cargo", "run", "--quiet", "--release", "--package", "kws-host", "--bin", "features"]


def extract(clips):
    """Features [n, 1, 49, 10] of int16 clips [n, 16000], in steps of 1/1024 as
    kws.test.bin stores them."""
    output = subprocess.run(COMMAND, input=clips.astype("<i2").tobytes(), check=True,
                            stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent).stdout
    features = np.frombuffer(output, "<f4").reshape(-1, *SHAPE)
    return np.round(features * 1024).astype(np.float32) / 1024
