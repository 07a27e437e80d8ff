"""The cases of quantized.bin: operators on integers, and ONNX Runtime's fused ones, as onnxruntime computes them.

    python -m pip install onnx==1.17.0 onnxruntime==1.32.0 numpy==2.4.6
    python quantized.py

The format is that of ml.py.
"""

import os
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization

from ml import pack, run

FOLDER = os.path.dirname(os.path.abspath(__file__))
RANDOM = np.random.default_rng(5)
MICROSOFT = "com.microsoft"
TYPES = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}


def integers(dtype, *shape):
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max + 1, shape).astype(dtype)


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def real(value):
    return np.array(value, np.float32)


def model(nodes, given, constants, outputs):
    of = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, of(x.dtype), x.shape) for n, x in given.items()],
        [helper.make_tensor_value_info(n, t, None) for n, t in outputs.items()],
        [numpy_helper.from_array(np.asarray(c), n) for n, c in constants.items()],
    )
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def case(name, op, operands, output, domain="", outputs=None, **attributes):
    """One node. Arrays in a list are inputs, others constants, None is left out; `output` is an element type."""
    given, constants, names = {}, {}, []
    for index, operand in enumerate(operands):
        names.append("" if operand is None else f"x{index}")
        if isinstance(operand, list):
            given[f"x{index}"] = operand[0]
        elif operand is not None:
            constants[f"x{index}"] = operand
    outputs = outputs or ["y"]
    nodes = [helper.make_node(op, names, outputs, domain=domain, **attributes)]
    made = model(nodes, given, constants, {n: output for n in outputs if n})
    return pack(name, made, list(given.values()), run(made, list(given.values())))


def linear():
    for dtype in (np.uint8, np.int8):
        for per_channel in (False, True):
            for group in (1, 2):
                x = [integers(dtype, 1, 4, 6, 6)]
                w = RANDOM.integers(-90, 91, (6, 4 // group, 3, 3)).astype(np.int8)
                scales = RANDOM.uniform(0.002, 0.004, 6).astype(np.float32) if per_channel else real(0.003)
                zero = np.zeros(6, np.int8) if per_channel else np.int8(0)
                bias = RANDOM.integers(-2000, 2000, 6).astype(np.int32)
                point = dtype(120 if dtype == np.uint8 else -8)
                operands = [x, real(0.02), point, w, scales, zero, real(0.05), point, bias]
                name = f"QLinearConv {np.dtype(dtype)} {'channels' if per_channel else 'tensor'} group {group}"
                yield case(name, "QLinearConv", operands, TYPES[np.dtype(dtype)], pads=[1, 1, 1, 1], group=group)
    w = RANDOM.integers(60, 190, (6, 4, 1, 1)).astype(np.uint8)
    operands = [[integers(np.uint8, 1, 4, 5, 5)], real(0.02), np.uint8(3), w, real(0.01), np.uint8(125), real(0.1), np.uint8(9)]
    yield case("QLinearConv uint8 weights", "QLinearConv", operands, TensorProto.UINT8, strides=[2, 2])
    for dtype in (np.uint8, np.int8):
        a, point = [integers(dtype, 3, 8)], dtype(7)
        b = RANDOM.integers(-80, 81, (8, 5)).astype(np.int8)
        for scales in (real(0.01), RANDOM.uniform(0.005, 0.01, 5).astype(np.float32)):
            zero = np.zeros(np.shape(scales), np.int8)
            operands = [a, real(0.02), point, b, scales, zero, real(0.1), point]
            yield case(f"QLinearMatMul {np.dtype(dtype)} {scales.size}", "QLinearMatMul", operands, TYPES[np.dtype(dtype)])
        both = [a, real(0.02), point, [integers(dtype, 2, 8, 4)], real(0.01), point, real(0.3), point]
        yield case(f"QLinearMatMul {np.dtype(dtype)} of two", "QLinearMatMul", both, TYPES[np.dtype(dtype)])
        bias = RANDOM.integers(-500, 500, 5).astype(np.int32)
        operands = [a, real(0.02), point, np.ascontiguousarray(b.T), real(0.01), np.int8(0), bias]
        gemm = {"domain": MICROSOFT, "transB": 1, "alpha": 1.0}
        name = f"QGemm {np.dtype(dtype)}"
        yield case(name, "QGemm", operands + [real(0.1), point], TYPES[np.dtype(dtype)], **gemm)
        yield case(name + " to float", "QGemm", operands, TensorProto.FLOAT, **gemm)


def elementwise():
    for dtype in (np.uint8, np.int8):
        kind, zero = TYPES[np.dtype(dtype)], dtype(5)
        a, b, image = [integers(dtype, 2, 3, 4)], [integers(dtype, 2, 3, 4)], [integers(dtype, 1, 3, 6, 6)]
        scale, other, sum_scale = real(0.02), real(0.03), real(0.05)
        both = [a, scale, zero, b, other, zero, sum_scale, zero]
        name = str(np.dtype(dtype))
        one = lambda x, to: [x, scale, zero, real(to), zero]
        yield case(f"QLinearAdd {name}", "QLinearAdd", both, kind, MICROSOFT)
        yield case(f"QLinearMul {name}", "QLinearMul", both, kind, MICROSOFT)
        constant = [a, scale, zero, b[0][:1, :1], other, zero, sum_scale, zero]
        yield case(f"QLinearAdd {name} of a constant", "QLinearAdd", constant, kind, MICROSOFT)
        joined = [sum_scale, zero, a, scale, zero, b, other, zero]
        yield case(f"QLinearConcat {name}", "QLinearConcat", joined, kind, MICROSOFT, axis=1)
        yield case(f"QLinearLeakyRelu {name}", "QLinearLeakyRelu", one(a, 0.03), kind, MICROSOFT, alpha=0.1)
        yield case(f"QLinearSigmoid {name}", "QLinearSigmoid", one(a, 1 / 256), kind, MICROSOFT)
        pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
        yield case(f"QLinearAveragePool {name}", "QLinearAveragePool", one(image, 0.02), kind, MICROSOFT, **pool)
        yield case(f"QLinearGlobalAveragePool {name}", "QLinearGlobalAveragePool", one(image, 0.01), kind, MICROSOFT)
        least = dtype(np.iinfo(dtype).min)
        soft = [a, real(0.05), zero, real(1 / 256), least]
        yield case(f"QLinearSoftmax {name}", "QLinearSoftmax", soft, kind, MICROSOFT, axis=-1, opset=13)
        yield case(f"QLinearSoftmax {name} of old", "QLinearSoftmax", soft, kind, MICROSOFT, axis=1, opset=12)
        yield case(f"QuantizeLinear {name}", "QuantizeLinear", [[floats(3, 7)], scale, zero], kind, MICROSOFT)
        yield case(f"DequantizeLinear {name}", "DequantizeLinear", [a, scale, zero], TensorProto.FLOAT, MICROSOFT)


def dynamic():
    x = [floats(3, 8)]
    yield case("MatMulInteger", "MatMulInteger", [[integers(np.uint8, 2, 3, 8)], integers(np.int8, 8, 5), np.uint8(9), None], 6)
    both = [[integers(np.uint8, 3, 8)], [integers(np.uint8, 2, 8, 4)], np.uint8(100), np.uint8(3)]
    yield case("MatMulInteger batch", "MatMulInteger", both, TensorProto.INT32)
    operands = [[integers(np.uint8, 2, 3, 7, 6)], integers(np.uint8, 4, 3, 3, 2), np.uint8(10), np.uint8(130)]
    yield case("ConvInteger", "ConvInteger", operands, TensorProto.INT32, pads=[1, 0, 2, 1], strides=[2, 1])
    w, zero = integers(np.int8, 8, 5), np.int8(0)
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["i"]),
        helper.make_node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["s", "ws"], ["both"]),
        helper.make_node("Mul", ["f", "both"], ["y"]),
    ]
    made = model(nodes, {"x": x[0]}, {"w": w, "wz": zero, "ws": real(0.01)}, {"y": TensorProto.FLOAT})
    yield pack("dynamic quantization", made, x, run(made, x))
    operands = [[integers(np.uint8, 3, 8)], w, real(0.02), real(0.01), np.uint8(99), zero, floats(5)]
    yield case("MatMulIntegerToFloat", "MatMulIntegerToFloat", operands, TensorProto.FLOAT, MICROSOFT)
    operands = [x, w, real(0.01), zero, floats(5)]
    yield case("DynamicQuantizeMatMul", "DynamicQuantizeMatMul", operands, TensorProto.FLOAT, MICROSOFT)


def fused():
    flt, x = TensorProto.FLOAT, [floats(1, 3, 6, 6)]
    w, b = floats(4, 3, 3, 3), floats(4)
    for activation, values in (("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-0.5, 0.75]), ("HardSigmoid", [0.3, 0.4])):
        attributes = {"activation": activation} | ({"activation_params": values} if values else {})
        yield case(f"FusedConv {activation}", "FusedConv", [x, w, b], flt, MICROSOFT, **attributes)
    yield case("FusedConv sum", "FusedConv", [x, w, b, [floats(1, 4, 4, 4)]], flt, MICROSOFT, activation="Relu")
    a = [floats(3, 8)]
    yield case("FusedGemm", "FusedGemm", [a, floats(8, 5), floats(5)], flt, MICROSOFT, activation="Relu", alpha=0.5)
    leaky = {"activation": "LeakyRelu", "activation_alpha": 0.3}
    yield case("FusedGemm leaky", "FusedGemm", [a, floats(8, 5), floats(5)], flt, MICROSOFT, **leaky)
    yield case("FusedMatMul", "FusedMatMul", [a, floats(5, 8)], flt, MICROSOFT, transB=1, alpha=0.25)
    yield case("FusedMatMul of two", "FusedMatMul", [[floats(2, 8, 3)], [floats(2, 8, 4)]], flt, MICROSOFT, transA=1)
    yield case("Gelu", "Gelu", [a], flt, MICROSOFT)
    yield case("BiasGelu", "BiasGelu", [a, floats(8)], flt, MICROSOFT)
    yield case("FastGelu", "FastGelu", [a, floats(8)], flt, MICROSOFT)
    yield case("FastGelu alone", "FastGelu", [a], flt, MICROSOFT)
    yield case("QuickGelu", "QuickGelu", [a], flt, MICROSOFT, alpha=1.5)
    rows = [floats(1, 3, 8)]
    operands = [rows, [floats(1, 3, 8)], floats(8), floats(8), floats(8)]
    yield case("SkipLayerNormalization", "SkipLayerNormalization", operands, flt, MICROSOFT, epsilon=1e-5)
    outputs = ["y", "", "", "sum"]
    yield case("SkipLayerNormalization sum", "SkipLayerNormalization", operands[:4], flt, MICROSOFT, outputs, epsilon=1e-5)
    simple = [rows, [floats(1, 3, 8)], floats(8)]
    yield case("SkipSimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", simple, flt, MICROSOFT, epsilon=1e-5)


class Samples(quantization.CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": floats(1, 2, 8, 8)} for _ in range(8)]

    def get_next(self):
        return self.left.pop() if self.left else None


def networks():
    """A small network as onnxruntime quantizes it, in both of its formats."""
    weights = {"w": floats(4, 2, 3, 3) * 0.3, "b": floats(4), "v": floats(4, 4, 1, 1) * 0.4, "g": floats(5, 4), "h": floats(5)}
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "v"], ["d"]),
        helper.make_node("Add", ["d", "p"], ["a"]),
        helper.make_node("Concat", ["a", "p"], ["t"], axis=1),
        helper.make_node("Split", ["t"], ["t0", "t1"], axis=1),
        helper.make_node("Sigmoid", ["t0"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["m"]),
        helper.make_node("Flatten", ["m"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "h"], ["y"], transB=1),
    ]
    x = floats(1, 2, 8, 8)
    plain = model(nodes, {"x": x}, weights, {"y": TensorProto.FLOAT})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "plain.onnx")
        onnx.save(onnx.shape_inference.infer_shapes(plain), path)
        for form in (quantization.QuantFormat.QOperator, quantization.QuantFormat.QDQ):
            for kind in (quantization.QuantType.QUInt8, quantization.QuantType.QInt8):
                to = os.path.join(folder, "quantized.onnx")
                options = {"quant_format": form, "activation_type": kind, "weight_type": quantization.QuantType.QInt8}
                quantization.quantize_static(path, to, Samples(), **options)
                made = onnx.load(to)
                yield pack(f"network {form.name} {kind.name}", made, [x], run(made, [x]))


if __name__ == "__main__":
    with open(os.path.join(FOLDER, "quantized.bin"), "wb") as file:
        cases = [*linear(), *elementwise(), *dynamic(), *fused(), *networks()]
        file.write(b"".join(cases))
    print(len(cases), "cases,", os.path.getsize(os.path.join(FOLDER, "quantized.bin")), "bytes")
