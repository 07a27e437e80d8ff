"""Trains the autoencoder on a machine that is well.

    python train.py

writes anomaly.onnx, anomaly.calib.npz, anomaly.threshold and anomaly.test.bin beside the firmware.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import machine
from features import BANDS, features

SEED = 1
EXAMPLE = Path(__file__).parent.parent

TRAINING, VALIDATION, CALIBRATION = 4000, 1000, 200
EPOCHS = 40
BATCH = 64
LEARNING_RATE = 5e-3
# Windows of the test set: of the machine that is well, and of each fault.
WELL, FAULTY = 60, 15
# Of the windows that are well, so many may raise an alarm.
FALSE_ALARMS = 0.01


class Network(nn.Module):
    """From bands to what a machine that is well has in them."""

    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(
            nn.BatchNorm1d(BANDS),
            nn.Linear(BANDS, 32),
            nn.ReLU(),
            nn.Linear(32, 6),
            nn.ReLU(),
            nn.Linear(6, 32),
            nn.ReLU(),
            nn.Linear(32, BANDS),
        )

    def forward(self, bands):
        return self.stack(bands)


def main():
    # One thread adds in the same order on every computer.
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    well = features(np.stack([machine.window(rng) for _ in range(TRAINING + VALIDATION)]))
    training, validation = torch.from_numpy(well).split([TRAINING, VALIDATION])

    network = Network()
    fit(network, training)
    network.eval()
    torch.onnx.export(
        network,
        torch.zeros(1, BANDS),
        str(EXAMPLE / "anomaly.onnx"),
        opset_version=18,
        input_names=["bands"],
        output_names=["expected"],
        dynamo=False,
    )
    with torch.no_grad():
        scores = (network(validation) - validation).square().mean(1).numpy()
    # In thousandths, so that a firmware can read it without parsing reals.
    threshold = round(1000 * float(np.quantile(scores, 1 - FALSE_ALARMS)))
    (EXAMPLE / "anomaly.threshold").write_text(str(threshold))
    np.savez_compressed(EXAMPLE / "anomaly.calib.npz", bands=well[:CALIBRATION])
    write_test_set(EXAMPLE / "anomaly.test.bin", np.random.default_rng(SEED + 1))


def fit(network, x):
    # The last layer begins at the mean, so that the others learn what is left.
    network.stack[-1].bias.data = x.mean(0)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            batch = x[order[start : start + BATCH]]
            loss = (network(batch) - batch).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * BATCH / len(x):.4f}", flush=True)


def write_test_set(path, rng):
    """A record is one byte, 0 for a machine that is well or 1 + the fault, and 512 little-endian 16-bit counts."""
    states = [(0, None)] * WELL + [(1 + i, fault) for i, fault in enumerate(machine.FAULTS) for _ in range(FAULTY)]
    records = np.zeros(len(states), [("state", "u1"), ("counts", "<i2", machine.WINDOW)])
    for record, (state, fault) in zip(records, states):
        record["state"] = state
        record["counts"] = machine.window(rng, fault)
    records.tofile(path)


if __name__ == "__main__":
    main()
