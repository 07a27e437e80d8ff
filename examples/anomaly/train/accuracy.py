"""How well the float autoencoder tells faults from health on the test set, with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

import machine
from features import features

EXAMPLE = Path(__file__).parent.parent


def main():
    records = np.fromfile(EXAMPLE / "anomaly.test.bin", [("state", "u1"), ("counts", "<i2", machine.WINDOW)])
    threshold = int((EXAMPLE / "anomaly.threshold").read_text()) / 1000
    session = onnxruntime.InferenceSession(EXAMPLE / "anomaly.onnx")
    bands = features(records["counts"])
    expected = np.concatenate([session.run(None, {"bands": row[None]})[0] for row in bands])
    scores = ((bands - expected) ** 2).mean(1)
    for state, name in enumerate(["well", *machine.FAULTS]):
        alarms = scores[records["state"] == state] > threshold
        print(f"{name:9} {alarms.sum():2} of {len(alarms)} raise an alarm")
    well, faulty = scores[records["state"] == 0], scores[records["state"] > 0]
    area = (well[:, None] < faulty).mean()
    right = (scores > threshold) == (records["state"] > 0)
    print(f"area under the ROC curve {area:.3f}, right {right.sum()} of {len(right)}, {100 * right.mean():.1f} %")


if __name__ == "__main__":
    main()
