"""The recordings of a smartwatch that come with the package seglearn: ten people did seven exercises with either arm."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

LABELS = (Path(__file__).parent.parent / "labels.txt").read_text().split()
# The watch gave 50 values a second; exercises need no more than 25.
RATE = 25
# A window is four seconds, as in the paper.
WINDOW = 4 * RATE
# People that no network may learn from.
TEST_SUBJECTS = (3, 6, 9)

# What one unit of the network's input is: 1 g, and 2.5 rad/s, so that both spread about as much.
UNITS = np.array([1, 1, 1, 2.5, 2.5, 2.5])
# What one unit of a record's 16-bit integers is: as IMUs give them, with ±16 g and ±2000 °/s over the whole range.
COUNTS = np.array([16 / 32768] * 3 + [np.radians(2000) / 32768] * 3)


def recordings():
    """Pairs of (subject, exercise, counts [frames, 6])."""
    # The package itself asks for an older scikit-learn than runs here; its data file is plain numpy.
    folder = Path(find_spec("seglearn").submodule_search_locations[0])
    data = np.load(folder / "data/watch_dataset.npy", allow_pickle=True).item()
    for subject, exercise, series in zip(data["subject"], data["y"], data["X"]):
        pairs = series[: len(series) // 2 * 2].reshape(-1, 2, 6).mean(1)
        counts = np.clip(np.round(pairs / COUNTS), -32768, 32767).astype(np.int16)
        yield int(subject), int(exercise), counts


def inputs(counts):
    """What the firmware hands to the network."""
    return (counts * (COUNTS / UNITS)).astype(np.float32)


def windows(counts, step):
    return np.stack([counts[at : at + WINDOW] for at in range(0, len(counts) - WINDOW + 1, step)])
