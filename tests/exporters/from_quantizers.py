"""Trains networks with what simulates integers (PyTorch's, torchao, Brevitas), and exports them quantized; and lets
ONNX Runtime quantize networks that were exported in float. Arguments: parts of names, all without.
"""

import contextlib
import copy
import io
import logging
import os
import sys
import warnings

import brevitas.nn as qnn
import numpy as np
import onnx
import torch
from brevitas import export as brevitas_export
from brevitas import quant
from brevitas.quant_tensor import QuantTensor
from onnxruntime import quantization
from torch import nn
from torch.ao import quantization as ao
from torch.ao.quantization import quantize_fx

import case
import tasks
from networks import NETWORKS, Head, Residual, conv_bn
from training import train

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

FAILURES = []
IMAGES, FRAMES = tasks.gratings(), tasks.waves(frames=True)


class Mixed(nn.Module):
    """Convolutions, depthwise ones too, a residual, two branches, and a dense layer."""

    def __init__(self):
        super().__init__()
        self.stem = conv_bn(1, 8, stride=2, act=nn.ReLU)
        self.residual = Residual(conv_bn(8, 8, groups=8), conv_bn(8, 8, 1, act=None), act=nn.ReLU)
        self.wide, self.narrow = conv_bn(8, 8, stride=2, act=nn.ReLU), conv_bn(8, 4, 1, act=nn.Hardswish)
        self.pool, self.head = nn.MaxPool2d(2), Head(12, "adaptive")

    def forward(self, x):
        x = self.residual(self.stem(x))
        return self.head(torch.cat([self.wide(x), self.narrow(self.pool(x))], 1))


class Plain(nn.Module):
    """Convolutions alone, as the oldest tutorials have them."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4)
        )

    def forward(self, x):
        return self.layers(x)


class Attention(nn.Module):
    """One head over frames of sensors, in a form that FX can trace."""

    def __init__(self, width=16):
        super().__init__()
        self.patches = nn.Conv1d(4, width, 4, 4)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.linear = nn.Linear(width, 4)

    def forward(self, x):
        x = self.patches(x.transpose(1, 2)).transpose(1, 2)
        y = self.norm(x)
        scores = torch.matmul(self.query(y), self.key(y).transpose(1, 2)) * 0.25
        x = x + self.out(torch.matmul(torch.softmax(scores, 2), self.value(y)))
        x = x + self.down(torch.relu(self.up(x)))
        return self.linear(x.mean(1))


def signed_activations():
    """int8 activations around zero, and a scale for each filter. FX leaves what has such activations in float."""
    activation = ao.FakeQuantize.with_args(
        observer=ao.MovingAverageMinMaxObserver, dtype=torch.qint8, quant_min=-128, quant_max=127,
        qscheme=torch.per_tensor_symmetric
    )
    return ao.QConfig(activation, ao.default_per_channel_weight_fake_quant)


# Version 0: the modules of version 1 have no form in ONNX.
QCONFIGS = {
    "qnnpack": lambda: ao.get_default_qat_qconfig_mapping("qnnpack", 0),
    "x86": lambda: ao.get_default_qat_qconfig_mapping("x86", 0),
}

# Network, task, quantization, exports with opsets: the network that simulates integers, and the one with PyTorch's integer
# kernels. The newer exporter takes neither.
FX = {
    "mixed_qnnpack": (Mixed, IMAGES, "qnnpack", [("tracer", 13), ("converted", 17)]),
    "mixed_x86": (Mixed, IMAGES, "x86", [("tracer", 17), ("converted", 13)]),
    "plain_qnnpack": (Plain, IMAGES, "qnnpack", [("tracer", 13)]),
    "attention_x86": (Attention, FRAMES, "x86", [("tracer", 17)]),
}


def fx(name):
    make, task, qconfig, exports = FX[name]
    torch.manual_seed(0)
    network = make()
    train(network, task)
    example = torch.from_numpy(task(np.random.default_rng(1), 1)[0][0])
    network = quantize_fx.prepare_qat_fx(network.train(), QCONFIGS[qconfig](), (example,))
    train(network, task, 150)
    network.apply(ao.disable_observer).eval()
    for exporter, opset in exports:
        exported = network
        if exporter == "converted":
            torch.backends.quantized.engine = "x86" if qconfig == "x86" else "qnnpack"
            exported = quantize_fx.convert_fx(copy.deepcopy(network))
        about = f"torch FX {qconfig}, {exporter}, opset {opset}"
        write(f"{name}.{exporter}{opset}", about, task, lambda path: trace(exported, example, path, opset))


def trace(network, example, path, opset):
    torch.onnx.export(network, (example,), path, opset_version=opset, dynamo=False)


def eager(name, qconfig):
    """As PyTorch's tutorial does it: stubs, fused modules, additions by FloatFunctional."""

    class Eager(nn.Module):
        def __init__(self):
            super().__init__()
            self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
            self.stem, self.deep = conv_bn(1, 8, stride=2, act=nn.ReLU), conv_bn(8, 8, act=nn.ReLU)
            self.add, self.cat = nn.quantized.FloatFunctional(), nn.quantized.FloatFunctional()
            self.head = Head(16, "mean")

        def forward(self, x):
            x = self.stem(self.quant(x))
            y = self.add.add(x, self.deep(x))
            return self.dequant(self.head(self.cat.cat([x, y], 1)))

    torch.manual_seed(0)
    network = Eager()
    train(network, IMAGES)
    network = ao.fuse_modules_qat(network.train(), [["stem.0", "stem.1", "stem.2"], ["deep.0", "deep.1", "deep.2"]])
    network.qconfig = qconfig()
    network = ao.prepare_qat(network)
    train(network, IMAGES, 150)
    network.apply(ao.disable_observer).eval()
    example = torch.from_numpy(IMAGES(np.random.default_rng(1), 1)[0][0])
    write(f"eager_{name}.tracer13", f"torch eager {name}, tracer, opset 13", IMAGES,
          lambda path: trace(network, example, path, 13))


def pt2e(make, name, per_channel):
    from torchao.quantization.pt2e import move_exported_model_to_eval, quantize_pt2e
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    torch.manual_seed(0)
    network = make()
    train(network, IMAGES)
    batch = torch.from_numpy(IMAGES(np.random.default_rng(1), 2)[0][0])
    shapes = ({0: torch.export.Dim("batch")},)
    graph = torch.export.export(network.train(), (batch,), dynamic_shapes=shapes).module()
    config = xnnpack.get_symmetric_quantization_config(is_per_channel=per_channel, is_qat=True)
    graph = quantize_pt2e.prepare_qat_pt2e(graph, xnnpack.XNNPACKQuantizer().set_global(config))
    train(graph, IMAGES, 150)
    graph = quantize_pt2e.convert_pt2e(graph)
    move_exported_model_to_eval(graph)
    write(f"pt2e_{name}.dynamo18", "torchao pt2e XNNPACK, dynamo, opset 18", IMAGES,
          lambda path: torch.onnx.export(graph, (batch,), path, opset_version=18, dynamo=True, verbose=False,
                                         dynamic_shapes=({0: "batch"},)))


class Brevitas(nn.Module):
    """`weights`, `signed` and `unsigned` are Brevitas's quantizers; where `tied` an addition's operands share a scale."""

    def __init__(self, weights, signed, unsigned, bias=None, weight_bits=8, bits=8, tied=True):
        super().__init__()
        kinds = {"weight_quant": weights, "weight_bit_width": weight_bits, "bias_quant": bias, "return_quant_tensor": False}
        # A bias has the scale of its layer's operands, so these have to be known.
        with_bias = bias is not None
        relu = lambda: qnn.QuantReLU(act_quant=unsigned, bit_width=bits, return_quant_tensor=with_bias)
        self.input = qnn.QuantIdentity(act_quant=signed, bit_width=8, return_quant_tensor=with_bias)

        def conv(inputs, outputs, kernel, stride=1, groups=1):
            layer = qnn.QuantConv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=with_bias, **kinds)
            return layer if with_bias else nn.Sequential(layer, nn.BatchNorm2d(outputs))

        self.stem, self.first = conv(1, 8, 3, 2), relu()
        self.depth, self.second = conv(8, 8, 3, groups=8), relu()
        self.point = conv(8, 8, 1)
        self.aligned = qnn.QuantIdentity(act_quant=signed, bit_width=bits) if tied else nn.Identity()
        self.third = relu()
        self.wide, self.fourth = conv(8, 12, 3, 2), relu()
        self.pool = nn.MaxPool2d(2)
        self.fifth = qnn.QuantIdentity(act_quant=unsigned, bit_width=bits, return_quant_tensor=with_bias)
        self.head = qnn.QuantLinear(20, 4, True, **kinds)

    def forward(self, x):
        real = lambda x: x.value if isinstance(x, QuantTensor) else x
        x = self.first(self.stem(self.input(x)))
        y = self.point(self.second(self.depth(x)))
        x = self.third(self.aligned(real(x)) + self.aligned(y))
        x = torch.cat([real(self.fourth(self.wide(x))), self.pool(real(x))], 1)
        return self.head(self.fifth(x.mean((2, 3))))


FLOAT = (quant.Int8WeightPerChannelFloat, quant.Int8ActPerTensorFloat, quant.Uint8ActPerTensorFloat)
POWERS = (quant.Int8WeightPerTensorFixedPoint, quant.Int8ActPerTensorFixedPoint, quant.Uint8ActPerTensorFixedPoint)
SHIFTED = (quant.ShiftedUint8WeightPerTensorFloat, quant.ShiftedUint8ActPerTensorFloat, quant.Uint8ActPerTensorFloat)
BREVITAS = {
    "int8": lambda: Brevitas(*FLOAT),
    "bias": lambda: Brevitas(*FLOAT, bias=quant.Int32Bias),
    "untied": lambda: Brevitas(*FLOAT, tied=False),
    "int4": lambda: Brevitas(*FLOAT, weight_bits=4),
    "int4_activations": lambda: Brevitas(*FLOAT, weight_bits=4, bits=4),
    "powers": lambda: Brevitas(*POWERS),
    "shifted": lambda: Brevitas(*SHIFTED),
}


def brevitas(name):
    torch.manual_seed(0)
    network = BREVITAS[name]()
    train(network, IMAGES)
    network.eval()
    example = torch.from_numpy(IMAGES(np.random.default_rng(1), 1)[0][0])
    # Brevitas refuses quantized biases with dynamo.
    # The output is not quantized, hence the last layer is not.
    for exporter, opset in [("tracer", 13), ("dynamo", 18)][: 1 if name == "bias" else 2]:
        about = f"Brevitas QCDQ, {exporter}, opset {opset}"
        write(f"brevitas_{name}.{exporter}{opset}", about, IMAGES, lambda path: brevitas_export.export_onnx_qcdq(
            network, args=example, export_path=path, opset_version=opset, dynamo=exporter == "dynamo"),
              2, 15 if name == "int4_activations" else 255)


class Samples(quantization.CalibrationDataReader):
    """The samples of a case, one at a time."""

    def __init__(self, name):
        file = np.load(os.path.join(case.folder(name), "model.calib.npz"))
        count = len(next(iter(file.values())))
        self.left = iter([{key: values[index] for key, values in file.items()} for index in range(count)])

    def get_next(self):
        return next(self.left, None)


INT8, UINT8 = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
QDQ, QOPERATOR = quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator
# What ONNX Runtime leaves in float: a GRU; roots, powers and quotients.
LEFT_IN_FLOAT = {"gru.dynamo18": 1, "attention_matmul.tracer17": 16}
# Float networks of from_torch.py, and how they are quantized.
RUNTIME = {
    "qdq_int8": (["residuals.tracer17", "shufflenet.dynamo18", "attention_matmul.tracer17", "gru.dynamo18"],
                 {"quant_format": QDQ, "activation_type": INT8, "weight_type": INT8, "per_channel": True}),
    "qdq_uint8": (["inverted_residuals.tracer17", "unet_transposed.dynamo18"],
                  {"quant_format": QDQ, "activation_type": UINT8, "weight_type": UINT8}),
    "qdq_mixed": (["densenet.tracer17"], {"quant_format": QDQ, "activation_type": UINT8, "weight_type": INT8}),
    "qdq_symmetric": (["residuals.tracer17"],
                   {"quant_format": QDQ, "activation_type": INT8, "weight_type": INT8,
                    "extra_options": {"ActivationSymmetric": True, "QuantizeBias": False}}),
    "qdq_int4": (["residuals.dynamo18"],
                 {"quant_format": QDQ, "activation_type": INT8, "weight_type": quantization.QuantType.QInt4}),
    "qoperator": (["inverted_residuals.tracer17", "densenet.tracer17", "causal.tracer17"],
                  {"quant_format": QOPERATOR, "activation_type": UINT8, "weight_type": INT8, "per_channel": True}),
}


def runtime(name):
    networks, options = RUNTIME[name]
    for network in networks:
        source = os.path.join(case.folder(network), "model.onnx")
        prepared = os.path.join(case.folder(network), "prepared.onnx")
        quantization.quant_pre_process(source, prepared)
        task = NETWORKS[network.split(".")[0]][1]
        write(f"runtime_{name}.{network.replace('.', '_')}", f"ONNX Runtime, {name}", task,
              lambda path: quantization.quantize_static(prepared, path, Samples(network), **options),
              LEFT_IN_FLOAT.get(network, 0))
        os.remove(prepared)


def write(name, about, task, exporting, left_in_float=0, levels=255):
    """A case of what `exporting` writes to the path that it is given."""
    tests, answers = task(np.random.default_rng(2), case.ITEMS)
    path = os.path.join(case.folder(f"quantized_{name}"), "model.onnx")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exporting(path)
        case.write(f"quantized_{name}", about, None, [x[:, None] for x in tests], answers, left_in_float, levels)
    except Exception as error:
        FAILURES.append(f"{name}: {type(error).__name__} {str(error)[-700:]}")
        print(FAILURES[-1], flush=True)


NAMED = {
    **{name: (lambda name=name: fx(name)) for name in FX},
    "eager_fbgemm": lambda: eager("fbgemm", lambda: ao.get_default_qat_qconfig("fbgemm", 0)),
    "eager_int8": lambda: eager("int8", signed_activations),
    "pt2e_channels": lambda: pt2e(Mixed, "channels", True),
    "pt2e_tensor": lambda: pt2e(Plain, "tensor", False),
    **{f"brevitas_{name}": (lambda name=name: brevitas(name)) for name in BREVITAS},
    **{name: (lambda name=name: runtime(name)) for name in RUNTIME},
}


def main():
    torch.set_num_threads(1)
    for name, make in NAMED.items():
        if not sys.argv[1:] or any(part in name for part in sys.argv[1:]):
            make()
    sys.exit(bool(FAILURES))


main()
