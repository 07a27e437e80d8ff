"""Trains the keyword spotter on a corpus in the layout of Speech Commands.

    python train.py CORPUS

writes kws.onnx, kws.calib.npz, kws.test.bin and clips/*.wav beside the firmware.
"""

import argparse
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from torch import nn

import audio
import corpus
import features
from augment import Studio
from network import ds_cnn
from words import LABELS

SEED = 1
EXAMPLE = Path(__file__).parent.parent

# Clips of a class that are made, from as many takes as the corpus has.
TRAINING = {"keyword": 2500, "unknown": 5000, "silence": 2000}
VALIDATION = {"keyword": 40, "unknown": 0, "silence": 40}
TESTING = {"keyword": 50, "unknown": 100, "silence": 50}
CALIBRATION = 100
# Test clips that are kept as audio, a class.
AUDIBLE = {"keyword": 1, "unknown": 3, "silence": 2}

EPOCHS = 10
BATCH = 64
LEARNING_RATE = 2e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    folder = parser.parse_args().corpus

    # One thread adds in the same order on every computer.
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    parts = corpus.find(folder)
    recordings = corpus.background(folder)
    train_x, train_y, _ = make("training", parts, TRAINING, recordings)
    valid_x, valid_y, _ = make("validation", parts, VALIDATION, recordings)
    test_x, test_y, test_clips = make("testing", parts, TESTING, recordings)

    network = ds_cnn(len(LABELS))
    fit(network, train_x, train_y, valid_x, valid_y)
    export(network.eval(), EXAMPLE / "kws.onnx")

    order = np.random.default_rng(SEED).permutation(len(train_x))[:CALIBRATION]
    np.savez_compressed(EXAMPLE / "kws.calib.npz", x=train_x[np.sort(order)])
    write_test_set(EXAMPLE / "kws.test.bin", test_x, test_y)
    write_clips(EXAMPLE / "clips", test_clips, test_y)


def amount(amounts, label):
    return amounts.get(label, amounts["keyword"])


def make(part, parts, amounts, recordings):
    """Features, classes and audio of a part of the corpus."""
    paths = parts[part]
    studio = Studio(paths[corpus.UNKNOWN] or parts["training"][corpus.UNKNOWN], recordings)
    jobs = []
    for number, label in enumerate(LABELS):
        takes = np.random.default_rng(SEED).permutation(np.array(paths.get(number, []), object))
        for i in range(amount(amounts, label)):
            path = takes[i % len(takes)] if number != corpus.SILENCE else None
            jobs.append((studio, part, path, (SEED, len(part), number, i)))
    with Pool() as pool:
        clips = np.array(pool.starmap(clip, jobs, chunksize=64))
    classes = np.repeat(np.arange(len(LABELS)), [amount(amounts, label) for label in LABELS])
    print(f"{part}: {len(clips)} clips", flush=True)
    return features.extract(clips), classes, clips


def clip(studio, part, path, seed):
    rng = np.random.default_rng(seed)
    if path is None:
        return studio.silence(rng)
    return studio.training_clip(rng, path) if part == "training" else studio.test_clip(rng, path)


def fit(network, train_x, train_y, valid_x, valid_y):
    x, y = torch.from_numpy(train_x), torch.from_numpy(train_y)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-2)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(EPOCHS):
        network.train()
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
        accuracy = (logits(network, valid_x).argmax(1) == valid_y).mean()
        print(f"epoch {epoch + 1}: loss {total * BATCH / len(x):.4f}, "
              f"validation {accuracy:.4f}", flush=True)


def disturb(x):
    """A little earlier or later, a little rougher: no clip comes twice."""
    shift = int(torch.randint(-3, 4, ()))
    return torch.roll(x, shift, dims=2) + 0.05 * torch.randn_like(x)


def logits(network, x):
    network.eval()
    with torch.no_grad():
        return network(torch.from_numpy(x)).numpy()


def export(network, path):
    """One clip at a time, and scores that add up to one."""
    torch.onnx.export(
        nn.Sequential(network, nn.Softmax(dim=1)),
        torch.zeros(1, *features.SHAPE),
        str(path),
        opset_version=13,
        input_names=["features"],
        output_names=["scores"],
    )


def write_test_set(path, x, y):
    """The records that kws-features decodes: class, then features times 1024."""
    records = np.zeros(len(x), [("class", "u1"), ("features", "<i2", features.SHAPE)])
    records["class"] = y
    records["features"] = np.clip(np.round(x * 1024), -32768, 32767)
    records.tofile(path)


def write_clips(folder, clips, classes):
    """The first clips of each class in the test set, to be listened to."""
    for number, label in enumerate(LABELS):
        for i, samples in enumerate(clips[classes == number][: amount(AUDIBLE, label)]):
            audio.write(folder / f"{label}-{i + 1}.wav", samples)


if __name__ == "__main__":
    main()
