"""The accuracy of the float network on the test set, with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

import features
from words import LABELS

EXAMPLE = Path(__file__).parent.parent


def main():
    record = np.dtype([("class", "u1"), ("features", "<i2", features.SHAPE)])
    records = np.fromfile(EXAMPLE / "kws.test.bin", record)
    session = onnxruntime.InferenceSession(EXAMPLE / "kws.onnx")
    right = np.array([
        session.run(None, {"features": x[None].astype(np.float32) / 1024})[0].argmax() == y
        for y, x in records
    ])
    for number, label in enumerate(LABELS):
        word = right[records["class"] == number]
        print(f"{label:8} {word.sum():3} of {len(word)}")
    print(f"{right.sum()} of {len(right)} right, {100 * right.mean():.1f} %")


if __name__ == "__main__":
    main()
