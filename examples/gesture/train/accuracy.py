"""The accuracy of the float network on the test set, with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

import watch

EXAMPLE = Path(__file__).parent.parent
STEP = watch.RATE


def main():
    record = np.dtype([("exercise", "u1"), ("counts", "<i2", (12 * watch.RATE, 6))])
    session = onnxruntime.InferenceSession(EXAMPLE / "gesture.onnx")
    right = {label: [] for label in watch.LABELS}
    for exercise, counts in np.fromfile(EXAMPLE / "gesture.test.bin", record):
        for window in watch.inputs(watch.windows(counts, STEP)):
            scores = session.run(None, {"frames": window[None]})[0]
            right[watch.LABELS[exercise]].append(scores.argmax() == exercise)
    for label, answers in right.items():
        print(f"{label:20} {sum(answers):3} of {len(answers)}")
    answers = sum(right.values(), [])
    print(f"{sum(answers)} of {len(answers)} right, {100 * np.mean(answers):.1f} %")


if __name__ == "__main__":
    main()
