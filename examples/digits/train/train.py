"""Trains the detector of digits.

    python train.py

writes digits.onnx, digits.calib.npz and digits.test.bin beside the firmware.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from network import CLASSES, Network
from scenes import SIZE, Studio, target

SEED = 1
EXAMPLE = Path(__file__).parent.parent

SCENES = 6000
EPOCHS = 12
BATCH = 32
LEARNING_RATE = 6e-3
CALIBRATION = 60
TEST = 60
# Digits of a test scene that a record has room for.
ROOM = 3


def main():
    # One thread adds in the same order on every computer.
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    studio = Studio(np.random.default_rng(SEED), test=False)
    made = [studio.scene() for _ in range(SCENES)]
    x = torch.from_numpy(np.stack([image for image, _ in made])[:, None])
    y = torch.from_numpy(np.stack([target(digits) for _, digits in made]))

    network = Network()
    fit(network, x, y)
    export(network.eval(), EXAMPLE / "digits.onnx")
    samples = x[:CALIBRATION].numpy().astype(np.float32) / 255
    np.savez_compressed(EXAMPLE / "digits.calib.npz", image=samples)
    studio = Studio(np.random.default_rng(SEED + 1), test=True)
    write_test_set(EXAMPLE / "digits.test.bin", [studio.scene() for _ in range(TEST)])


def fit(network, x, y):
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    # Most cells hold nothing: without weights, that would be what the network says.
    loss_of = nn.CrossEntropyLoss(weight=torch.tensor([0.3] + [1.0] * (CLASSES - 1)))
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            loss = loss_of(network(x[batch].float() / 255).flatten(0, 2), y[batch].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total * BATCH / len(x):.4f}", flush=True)


def export(network, path):
    """One image at a time, and scores of a cell that add up to one."""
    torch.onnx.export(
        nn.Sequential(network, nn.Softmax(dim=-1)),
        torch.zeros(1, 1, SIZE, SIZE),
        str(path),
        opset_version=18,
        input_names=["image"],
        output_names=["cells"],
        dynamo=False,
    )


def write_test_set(path, scenes):
    """A record: how many digits, up to three of (digit, column, row) of the centres, and the pixels."""
    digit = np.dtype([("digit", "u1"), ("column", "u1"), ("row", "u1")])
    records = np.zeros(len(scenes), [("count", "u1"), ("digits", digit, ROOM), ("image", "u1", (SIZE, SIZE))])
    for record, (image, digits) in zip(records, scenes):
        record["count"] = len(digits)
        record["digits"][: len(digits)] = digits
        record["image"] = image
    records.tofile(path)


if __name__ == "__main__":
    main()
