"""Makes suite.bin and variants.bin, the cases of tests/operators.rs.

    python -m pip install onnx==1.17.0 onnxruntime==1.32.0 numpy==2.4.6 protobuf==7.36.2
    python generate.py

suite.bin holds the node tests that the package onnx ships (of operators that the compiler knows, in float, small
enough to be committed); variants.bin holds models of our own, with onnxruntime's results: what differs from opset to
opset, ranks, negative axes, and chains that make the simplifier work. Each file is a list of ONNX models, each behind
its length (32 bits, little endian). Inputs and expected outputs stand among the initializers as `input/<n>` and
`output/<n>`, in the order of the graph's; the graph's name is that of the case.
"""

import glob
import os
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

import variants

FOLDER = os.path.dirname(os.path.abspath(__file__))
OPERATORS = """Abs Add AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv DequantizeLinear Div
Dropout Elu Exp Flatten Gather Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity LeakyRelu Log
LogSoftmax MatMul MaxPool Mul Neg Pad QuantizeLinear ReduceMean Relu Reshape Shape Sigmoid Size Slice Softmax Squeeze
Sub Tanh Transpose Unsqueeze""".split()
# Known to be refused: other modes and types, training, further outputs, three axes; tests/operators.rs has them.
REFUSED = """edge reflect wrap 3d mask training argmax uint8 int8 int4 uint4 int16 uint16 e4m3 e5m2 blocked FLOAT8 STRING
BFLOAT gather_0 gather_1 gather_2d gather_negative allowzero_reordered start_out_of_bounds quantizelinear_axis_
""".split()
LIMIT = 880


def pack(name, model, inputs, outputs):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for field in ("doc_string", "producer_name", "producer_version"):
        model.ClearField(field)
    model.graph.name = name
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for index, array in enumerate(arrays):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array, np.float32), f"{kind}/{index}"))
    return model.SerializeToString()


def write(name, cases):
    with open(os.path.join(FOLDER, name), "wb") as file:
        for case in cases:
            file.write(struct.pack("<I", len(case)) + case)
    print(name, len(cases), "cases,", os.path.getsize(os.path.join(FOLDER, name)), "bytes")


def tensor(path):
    proto = onnx.TensorProto()
    with open(path, "rb") as file:
        proto.ParseFromString(file.read())
    return proto


def suite():
    """The first input, where it is float, comes at run time; the others are made constants, and then all are."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)
    for folder in sorted(glob.glob(os.path.dirname(onnx.__file__) + "/backend/test/data/node/test_*")):
        name = os.path.basename(folder)[5:]
        model = onnx.load(folder + "/model.onnx")
        if not {node.op_type for node in model.graph.node} <= set(OPERATORS) or any(part in name for part in REFUSED):
            continue
        if any(output.type.tensor_type.elem_type not in floats for output in model.graph.output):
            continue
        data = folder + "/test_data_set_0"
        inputs = [tensor(f"{data}/input_{i}.pb") for i in range(len(model.graph.input))]
        outputs = [numpy_helper.to_array(tensor(f"{data}/output_{i}.pb")) for i in range(len(model.graph.output))]
        for constants in range(2):
            infos = list(model.graph.input)
            copy = onnx.ModelProto.FromString(model.SerializeToString())
            del copy.graph.input[:]
            given = []
            for index, (info, value) in enumerate(zip(infos, inputs)):
                if index == 0 and value.data_type in floats and not constants:
                    copy.graph.input.append(info)
                    given.append(numpy_helper.to_array(value))
                else:
                    copy.graph.initializer.append(value)
                    copy.graph.initializer[-1].name = info.name
            if constants and not given and not inputs:
                continue
            packed = pack(f"{name} {'constant' if constants else 'run time'}", copy, given, outputs)
            if len(packed) <= LIMIT:
                yield packed


def variant(name, model, shapes):
    random = np.random.default_rng(len(name))
    inputs = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # It would fold a Pad into a pool and then find that there is too much padding.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {info.name: array for info, array in zip(model.graph.input, inputs)})
    return pack(name, model, inputs, outputs)


if __name__ == "__main__":
    write("suite.bin", list(suite()))
    write("variants.bin", [variant(*case) for case in variants.cases()])
