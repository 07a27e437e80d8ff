"""Trains the forest and exports it.

    python train.py

writes trees.onnx, trees.calib.npz, trees.test.bin and trees.ranges.bin.
"""

from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

SEED = 1
EXAMPLE = Path(__file__).parent.parent


def main():
    data = load_breast_cancer()
    x = data.data.astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        x, data.target, test_size=1 / 3, stratify=data.target, random_state=SEED
    )
    # A tensor has one scale, and one measurement is of a thousand, another of a thousandth: the firmware brings them
    # all to 0..1 first.
    low, high = train_x.min(0), train_x.max(0)
    factor = 1 / (high - low)

    forest = RandomForestClassifier(n_estimators=24, max_depth=6, random_state=SEED)
    scaled = ((train_x - low) * factor).astype(np.float32)
    forest.fit(scaled, train_y)

    model = to_onnx(
        forest,
        initial_types=[("measurements", FloatTensorType([1, 30]))],
        options={"zipmap": False},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    # The label is the larger probability; the firmware sees that itself.
    model = select_model_inputs_outputs(model, "probabilities")
    (EXAMPLE / "trees.onnx").write_bytes(model.SerializeToString())

    np.savez_compressed(EXAMPLE / "trees.calib.npz", measurements=scaled)
    np.stack([low, factor]).astype("<f4").tofile(EXAMPLE / "trees.ranges.bin")
    records = np.zeros(len(test_x), [("class", "u1"), ("measurements", "<f4", 30)])
    records["class"] = test_y
    records["measurements"] = test_x
    records.tofile(EXAMPLE / "trees.test.bin")


if __name__ == "__main__":
    main()
