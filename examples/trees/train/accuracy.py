"""The accuracy of the float forest on the test set, with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

EXAMPLE = Path(__file__).parent.parent


def main():
    records = np.fromfile(EXAMPLE / "trees.test.bin", [("class", "u1"), ("measurements", "<f4", 30)])
    low, factor = np.fromfile(EXAMPLE / "trees.ranges.bin", "<f4").reshape(2, 30)
    session = onnxruntime.InferenceSession(EXAMPLE / "trees.onnx")
    x = (records["measurements"] - low) * factor
    right = [session.run(None, {"measurements": row[None]})[0].argmax() == y for row, y in zip(x, records["class"])]
    print(f"{sum(right)} of {len(right)} right, {100 * np.mean(right):.1f} %")


if __name__ == "__main__":
    main()
