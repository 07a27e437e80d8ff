"""Trains the PyTorch networks and exports each with both exporters. Arguments: names of networks, all without."""

import logging
import os
import sys
import warnings

import numpy as np
import torch

import case
from networks import NETWORKS
from training import train

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

# How networks are exported: exporter, opset, whether the batch is symbolic, other arguments.
BOTH = [("tracer", 17, False, {}), ("dynamo", 18, False, {})]
MORE = {
    "inverted_residuals": [("tracer", 11, True, {"keep_initializers_as_inputs": True}), ("dynamo", 20, True, {})],
    "residuals": [("tracer", 13, True, {}), ("dynamo", 18, True, {"external_data": False})],
    "squeeze_excite": [("tracer", 14, True, {"do_constant_folding": False}), ("dynamo", 21, True, {})],
    "shufflenet": [("tracer", 9, False, {}), ("dynamo", 18, True, {})],
    "causal": [("tracer", 10, True, {}), ("dynamo", 19, True, {})],
    "gru": [("tracer", 18, True, {}), ("dynamo", 20, True, {})],
    "lstm_both_ways": [("tracer", 11, True, {}), ("dynamo", 20, True, {})],
    "vit": [("tracer", 18, True, {}), ("dynamo", 20, True, {}), ("dynamo", 18, False, {"optimize": False})],
    "attention_sdpa": [("tracer", 14, True, {}), ("dynamo", 23, True, {})],
    "attention_rms": [("dynamo", 23, False, {})],
    "attention_masked": [("tracer", 15, True, {}), ("dynamo", 20, True, {})],
    "autoencoder": [("tracer", 7, False, {}), ("dynamo", 18, True, {})],
    "unet_transposed": [("tracer", 13, True, {}), ("dynamo", 18, True, {})],
    "unet_nearest": [("tracer", 10, True, {}), ("dynamo", 18, True, {})],
    "unet_size": [("tracer", 16, True, {}), ("dynamo", 18, True, {})],
    "embedding": [("tracer", 13, True, {}), ("dynamo", 18, True, {})],
    "two_inputs": [("tracer", 12, True, {}), ("dynamo", 18, True, {})],
    "shapes": [("tracer", 17, True, {}), ("dynamo", 18, True, {})],
    "groupnorm": [("dynamo", 21, False, {})],
    "mlp": [("tracer", 8, True, {}), ("dynamo", 18, True, {})],
}
# The older exporter refuses these.
NOT_BY_TRACER = {"attention_rms"}


def export(network, name, inputs, exporter, opset, symbolic, arguments):
    path = os.path.join(case.folder(name), "model.onnx")
    example = tuple(torch.from_numpy(np.repeat(x[:1], 2 if symbolic else 1, 0)) for x in inputs)
    if exporter == "dynamo":
        shapes = tuple({0: "batch"} for _ in example) if symbolic else None
        arguments = {"dynamo": True, "dynamic_shapes": shapes, "verbose": False} | arguments
    else:
        names = [f"input{i}" for i in range(len(example))]
        axes = {name: {0: "batch"} for name in names} if symbolic else None
        arguments = {"dynamo": False, "input_names": names if symbolic else None, "dynamic_axes": axes} | arguments
    torch.onnx.export(network, example, path, opset_version=opset, **arguments)


def main():
    torch.set_num_threads(1)
    failures = []
    for name in sys.argv[1:] or NETWORKS:
        make, task = NETWORKS[name]
        torch.manual_seed(0)
        network = make()
        train(network, task)
        network.eval()
        rng = np.random.default_rng(1)
        samples, _ = task(rng, case.SAMPLES)
        tests, answers = task(rng, case.ITEMS)
        for exporter, opset, symbolic, arguments in BOTH + MORE.get(name, []):
            if exporter == "tracer" and name in NOT_BY_TRACER:
                continue
            kind = f"{exporter}{opset}" + ("n" if symbolic else "") + ("_raw" if arguments.get("optimize") is False else "")
            label = f"torch {exporter}, opset {opset}" + (", any batch" if symbolic else "")
            try:
                export(network, f"{name}.{kind}", samples, exporter, opset, symbolic, arguments)
                case.write(f"{name}.{kind}", label, runs(samples), runs(tests), answers)
            except Exception as error:
                failures.append(f"{name} {label}: {type(error).__name__} {str(error)[-700:]}")
                print(failures[-1], flush=True)
    sys.exit(bool(failures))


def runs(arrays):
    """An item for each run, with a batch of one."""
    return [x[:, None] for x in arrays]


main()
