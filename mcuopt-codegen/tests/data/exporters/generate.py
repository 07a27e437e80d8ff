"""Makes the models of tests/exporters.rs: what PyTorch and onnxruntime write, with random weights.

    python -m pip install torch==2.2.2 onnx==1.17.0 onnxruntime==1.20.1 numpy==1.26.4 protobuf==7.36.2 sympy==1.14.0
    python generate.py

<name>.onnx is the export of a float network, <name>.npz inputs and onnxruntime's outputs for them (arrays `x_<n>` and
`y_<n>`, samples along the first axis); <name>.calib.npz holds typical inputs. <name>_qdq.onnx and .npz are what
onnxruntime's quantize_static makes of it, and its own results for that, computed without fusions.
"""

import os
import warnings

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

FOLDER = os.path.dirname(os.path.abspath(__file__))
warnings.filterwarnings("ignore")


class Inverted(nn.Module):
    """An inverted residual, squeeze-excite with hard activations, and a classifier."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1, bias=False), nn.BatchNorm2d(6), nn.Hardswish())
        self.up = nn.Sequential(nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.depth = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1, groups=12, bias=False), nn.BatchNorm2d(12), nn.ReLU6())
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.down = nn.Sequential(nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        y = self.depth(self.up(x))
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        return F.log_softmax(self.head((x + self.down(y)).mean((2, 3))), 1)


class Separable(nn.Module):
    """Pads of their own, asymmetric; a Flatten of several channels and pixels; `view` by the batch's size."""

    def __init__(self):
        super().__init__()
        self.first, self.depth, self.point = nn.Conv2d(1, 6, (4, 3), 2), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 5, 1)
        self.head = nn.Linear(5 * 4 * 3, 3)

    def forward(self, x):
        x = F.relu(self.first(F.pad(x, (0, 1, 0, 1))))
        x = F.relu(self.point(F.relu(self.depth(F.pad(x, (1, 1, 1, 0))))))
        x = F.avg_pool2d(x, (2, 1))
        return F.softmax(self.head(x.view(x.size(0), -1)), -1)


class Causal(nn.Module):
    """Dilated causal convolutions of a sequence."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv1d(4, 8, 3), nn.Conv1d(8, 8, 3, dilation=2, groups=8)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Conv1d(8, 3, 1)

    def forward(self, x):
        x = F.relu(self.a(F.pad(x, (2, 0))))
        return self.head(x + F.elu(self.norm(self.b(F.pad(x, (4, 0))))))


class Autoencoder(nn.Module):
    """Two outputs."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm1d(8), nn.LeakyReLU(0.1), nn.Linear(8, 4), nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Dropout(0.2), nn.Linear(8, 20), nn.Sigmoid())

    def forward(self, x):
        code = self.encoder(x)
        return self.decoder(code), code


class Branches(nn.Module):
    """Two inputs, branches that are joined, shuffled channels, slices, pools with odd paddings and ceil_mode."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.gate = nn.Conv2d(2, 4, 1), nn.Conv2d(2, 4, 3, padding=1), nn.Linear(6, 8)
        self.point, self.out = nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(10, 4, 3, 2)

    def forward(self, x, y):
        z = torch.cat([F.relu(self.a(x)), torch.tanh(self.b(x))], 1) * torch.sigmoid(self.gate(y))[:, :, None, None]
        z = self.point(z)
        b, c, h, w = z.shape
        z = z.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        z = torch.cat((z[:, 4:], F.relu(z[:, :4]), F.max_pool2d(x, 3, 1, 1)), 1)
        z = F.avg_pool2d(z, 3, 2, 1, ceil_mode=True, count_include_pad=False)
        return self.out(z), F.max_pool2d(z, 2, 2, ceil_mode=True)


def save(name, session, inputs):
    names = [value.name for value in session.get_inputs()]
    samples = len(inputs[0])
    runs = [session.run(None, {n: x[i : i + 1] for n, x in zip(names, inputs)}) for i in range(samples)]
    arrays = {f"x_{i}": x[:, None] for i, x in enumerate(inputs)}
    arrays |= {f"y_{i}": np.stack([run[i] for run in runs]) for i in range(len(runs[0]))}
    np.savez_compressed(f"{FOLDER}/{name}.npz", **arrays)


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter([{key: x[i : i + 1] for key, x in samples.items()} for i in range(64)])

    def get_next(self):
        return next(self.samples, None)


def export(name, network, shapes, opset, symbolic, quantization):
    torch.manual_seed(len(name))
    network = network()
    with torch.no_grad():
        network(*[torch.randn(64, *shape) for shape in shapes])
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, -1.5, 1.5)
    network.eval()
    inputs = [f"in{i}" for i in range(len(shapes))]
    axes = {key: {0: "batch"} for key in inputs} if symbolic else None
    arguments = tuple(torch.randn(1 + symbolic, *shape) for shape in shapes)
    path = f"{FOLDER}/{name}.onnx"
    torch.onnx.export(network, arguments, path, input_names=inputs, dynamic_axes=axes, opset_version=opset)
    samples = [torch.randn(3, *shape).numpy() for shape in shapes]
    save(name, onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), samples)
    typical = {key: torch.randn(64, *shape).numpy() for key, shape in zip(inputs, shapes)}
    np.savez_compressed(f"{FOLDER}/{name}.calib.npz", **{key: x.astype(np.float16).astype(np.float32) for key, x in typical.items()})
    if quantization is None:
        return
    prepared = f"{FOLDER}/prepared.onnx"
    quant_pre_process(path, prepared)
    quantize_static(prepared, f"{FOLDER}/{name}_qdq.onnx", Reader(typical), quant_format=QuantFormat.QDQ, **quantization)
    os.remove(prepared)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    save(f"{name}_qdq", onnxruntime.InferenceSession(f"{FOLDER}/{name}_qdq.onnx", options), samples)


if __name__ == "__main__":
    signed, unsigned = QuantType.QInt8, QuantType.QUInt8
    # activation_type, weight_type and per_channel differ, so that each way of writing integers occurs.
    export("inverted", Inverted, [(3, 8, 8)], 17, True, dict(activation_type=signed, weight_type=signed, per_channel=True))
    export("separable", Separable, [(1, 18, 9)], 9, False, None)
    export("causal", Causal, [(4, 12)], 11, False, dict(activation_type=unsigned, weight_type=unsigned))
    export("autoencoder", Autoencoder, [(20,)], 13, True, dict(activation_type=unsigned, weight_type=signed))
    export("branches", Branches, [(2, 7, 6), (6,)], 13, True, dict(activation_type=signed, weight_type=signed))
