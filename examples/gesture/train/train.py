"""Trains the recogniser of exercises.

    python train.py

writes gesture.onnx, gesture.calib.npz, gesture.test.bin and gesture.session.bin beside the firmware.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

import watch
from network import Network

SEED = 1
EXAMPLE = Path(__file__).parent.parent

EPOCHS = 25
BATCH = 64
LEARNING_RATE = 4e-3
CALIBRATION = 60
# Seconds of each test recording that are kept, and of each exercise in the session.
TEST, SESSION = 12, 8


def main():
    # One thread adds in the same order on every computer.
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    train, test = [], []
    for subject, exercise, counts in watch.recordings():
        (test if subject in watch.TEST_SUBJECTS else train).append((subject, exercise, counts))

    x = np.concatenate([watch.inputs(watch.windows(counts, 12)) for _, _, counts in train])
    y = np.concatenate([[exercise] * len(watch.windows(counts, 12)) for _, exercise, counts in train])
    network = Network(len(watch.LABELS))
    fit(network, x, y)
    export(network.eval(), EXAMPLE / "gesture.onnx")

    order = rng.permutation(len(x))[:CALIBRATION]
    np.savez_compressed(EXAMPLE / "gesture.calib.npz", frames=x[np.sort(order)])
    write_test_set(EXAMPLE / "gesture.test.bin", test)
    # One person does all exercises, one after the other.
    session = {exercise: middle(counts, SESSION) for subject, exercise, counts in test if subject == watch.TEST_SUBJECTS[0]}
    np.concatenate([session[exercise] for exercise in sorted(session)]).astype("<i2").tofile(EXAMPLE / "gesture.session.bin")


def fit(network, x, y):
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            loss = loss_of(network(disturb(x[batch])), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * BATCH / len(x):.4f}", flush=True)


def disturb(x):
    """Another person: faster or slower, stronger or weaker, with the watch turned a little."""
    pace = 0.8 + 0.4 * torch.rand(())
    frames = x.shape[1]
    at = (torch.arange(frames) - frames / 2) * pace + frames / 2
    at = at.clamp(0, frames - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=frames - 1)
    share = (at - low)[:, None]
    x = x[:, low] * (1 - share) + x[:, high] * share
    turn = rotation(0.3 * torch.randn(len(x), 3))
    acceleration, rate = x[..., :3] @ turn, x[..., 3:] @ turn
    strength = 0.8 + 0.4 * torch.rand(len(x), 1, 1)
    return torch.cat([acceleration, rate * strength], -1) + 0.03 * torch.randn_like(x)


def rotation(vector):
    """The matrices that turn about the vectors by their lengths."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    return torch.linalg.matrix_exp(cross)


def export(network, path):
    """One window at a time, and scores that add up to one."""
    torch.onnx.export(
        nn.Sequential(network, nn.Softmax(dim=1)),
        torch.zeros(1, watch.WINDOW, 6),
        str(path),
        opset_version=18,
        input_names=["frames"],
        output_names=["scores"],
        dynamo=False,
    )


def middle(counts, seconds):
    """Some seconds out of the middle of a recording."""
    frames = seconds * watch.RATE
    start = (len(counts) - frames) // 2
    return counts[start : start + frames]


def write_test_set(path, test):
    """A record is one byte, the exercise, and twelve seconds of little-endian 16-bit counts."""
    records = np.zeros(len(test), [("exercise", "u1"), ("counts", "<i2", (TEST * watch.RATE, 6))])
    for record, (_, exercise, counts) in zip(records, test):
        record["exercise"] = exercise
        record["counts"] = middle(counts, TEST)
    records.tofile(path)


if __name__ == "__main__":
    main()
