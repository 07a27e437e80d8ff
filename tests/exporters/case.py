"""One exported network with its data, as the test beside this folder reads it.

A case is a folder: `model.onnx`; `model.calib.npz`, samples of each input, unless the file says how it is quantized;
`test.npz` with the inputs of the test set (`input_0`…, a run each along the first axis), onnxruntime's outputs for them
(`output_0`…), and what the first output should have been: `classes`, or numbers as `targets`. `about.txt` says where it
comes from.
"""

import os

import numpy as np
import onnx
import onnxruntime

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../target/exporters")
SAMPLES, ITEMS = 200, 1000


def folder(name):
    path = os.path.join(ROOT, name)
    os.makedirs(path, exist_ok=True)
    return path


def score(output, answers):
    """Percent of right classes, or of the targets' variance that is explained."""
    output = output.reshape(len(answers), *output.shape[2:]) if output.ndim > 1 and output.shape[1] == 1 else output
    if answers.dtype.kind == "f":
        return 100 * (1 - np.mean((output.reshape(answers.shape) - answers) ** 2) / np.var(answers, 0).mean())
    if output.dtype.kind == "f":
        output = output.argmax(1)
    return 100 * np.mean(output.reshape(answers.shape) == answers)


def plain(output):
    """A tensor; of a sequence of maps, a row of the values of each."""
    return output if isinstance(output, np.ndarray) else np.array([list(row.values()) for row in output], np.float32)


def write(name, about, samples, tests, answers, left_in_float=None, levels=255):
    """Completes the case around `model.onnx`: `samples` and `tests` are lists of inputs, each run with its batch axis.

    A quantized network has no `samples`, but `left_in_float`: how many layers its author did not quantize, a conversion
    from or to integers included; and `levels`, how many numbers an activation can be.
    """
    path = folder(name)
    model = os.path.join(path, "model.onnx")
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if left_in_float is not None:
        # Its integer kernels refuse scales of shape [1], as PyTorch writes them.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    assert len(names) == len(tests), (names, len(tests))
    if samples is not None:
        np.savez(os.path.join(path, "model.calib.npz"), **dict(zip(names, samples)))
    runs = [session.run(None, dict(zip(names, run))) for run in zip(*tests)]
    outputs = [np.stack([plain(output) for output in column]) for column in zip(*runs)]
    arrays = {f"input_{i}": x for i, x in enumerate(tests)} | {f"output_{i}": y for i, y in enumerate(outputs)}
    if left_in_float is not None:
        arrays |= {"left_in_float": np.float32(left_in_float), "levels": np.float32(levels)}
    arrays["targets" if answers.dtype.kind == "f" else "classes"] = answers
    np.savez(os.path.join(path, "test.npz"), **arrays)
    with open(os.path.join(path, "about.txt"), "w") as file:
        file.write(about + "\n")
    first = outputs[0]
    print(f"{name:40} {about:28} {score(first, answers):6.1f} %", flush=True)
