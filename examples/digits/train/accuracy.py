"""How well the float detector does on the test set, with onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime

from scenes import CELL, CELLS, SIZE

EXAMPLE = Path(__file__).parent.parent


def main():
    digit = np.dtype([("digit", "u1"), ("column", "u1"), ("row", "u1")])
    record = np.dtype([("count", "u1"), ("digits", digit, 3), ("image", "u1", (SIZE, SIZE))])
    session = onnxruntime.InferenceSession(EXAMPLE / "digits.onnx")
    right = found = there = 0
    for scene in np.fromfile(EXAMPLE / "digits.test.bin", record):
        image = scene["image"][None, None].astype(np.float32) / 255
        cells = session.run(None, {"image": image})[0][0]
        left = [(int(d["digit"]), d["column"] // CELL, d["row"] // CELL) for d in scene["digits"][: scene["count"]]]
        there += len(left)
        for claim in claims(cells):
            found += 1
            for known in left:
                if same(known, claim):
                    left.remove(known)
                    right += 1
                    break
    print(f"found {right} of {there} digits, {100 * right / there:.1f} %; "
          f"of what was found {right} of {found} right, {100 * right / found:.1f} %")


def claims(cells):
    """(digit, column, row) from the surest on; the same one cell further is the same digit."""
    places = [(row, column) for row in range(CELLS) for column in range(CELLS)]
    made = []
    for row, column in sorted(places, key=lambda place: -cells[place].max()):
        claim = (cells[row, column].argmax() - 1, column, row)
        if claim[0] >= 0 and not any(same(claim, other) for other in made):
            made.append(claim)
    return made


def same(a, b):
    """Whether both say the same digit in the same cell or in cells that touch."""
    return a[0] == b[0] and abs(int(a[1]) - int(b[1])) <= 1 and abs(int(a[2]) - int(b[2])) <= 1


if __name__ == "__main__":
    main()
