"""Makes movement.bin, the cases of tests/movement.rs: node tests of operators that move, select, repeat and index.

    python -m pip install onnx==1.17.0 numpy==2.4.6 protobuf==7.36.2
    python movement.py

The file's form is that of suite.bin (see generate.py), with tensors of every type. Each test is there twice: with what
decides shapes as constants and the rest at run time, and with all operands as constants.
"""

import glob
import os
import struct
import sys

import onnx
from onnx import TensorProto, numpy_helper

FOLDER = os.path.dirname(os.path.abspath(__file__))
# For each operator, the inputs that must be constants.
OPERATORS = {
    "CenterCropPad": [1], "Compress": [1], "Concat": [], "ConstantOfShape": [0], "DepthToSpace": [], "Expand": [1],
    "EyeLike": [0], "Flatten": [], "Gather": [], "GatherElements": [], "GatherND": [], "Identity": [], "NonZero": [0],
    "OneHot": [1], "Pad": [1, 2, 3], "Range": [0, 1, 2], "Reshape": [1], "ReverseSequence": [], "Scatter": [],
    "ScatterElements": [], "ScatterND": [], "Shape": [0], "Size": [0], "Slice": [1, 2, 3, 4], "SpaceToDepth": [],
    "Split": [1], "Squeeze": [1], "Tile": [1], "Transpose": [], "Trilu": [1], "Unique": [0], "Unsqueeze": [1],
}
TYPES = (TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL,
         TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16)
LIMIT = int(sys.argv[1]) if len(sys.argv) > 1 else 1500


def tensor(path):
    proto = TensorProto()
    with open(path, "rb") as file:
        proto.ParseFromString(file.read())
    return proto


def named(proto, name):
    copy = TensorProto.FromString(proto.SerializeToString())
    copy.name = name
    return copy


def small(proto):
    """Node tests of reshapes and the like carry far more numbers than they need; the large ones are left out."""
    return numpy_helper.to_array(proto).nbytes <= LIMIT


def cases():
    root = os.path.dirname(onnx.__file__) + "/backend/test/data/node/test_"
    for folder in sorted(glob.glob(root + "*")):
        name = folder[len(root):]
        model = onnx.load(folder + "/model.onnx")
        nodes = model.graph.node
        if len(nodes) != 1 or nodes[0].op_type not in OPERATORS or nodes[0].domain not in ("", "ai.onnx"):
            continue
        infos = list(model.graph.input) + list(model.graph.output)
        if any(info.type.tensor_type.elem_type not in TYPES for info in infos):
            continue
        data = folder + "/test_data_set_0"
        inputs = [tensor(f"{data}/input_{i}.pb") for i in range(len(model.graph.input))]
        outputs = [tensor(f"{data}/output_{i}.pb") for i in range(len(model.graph.output))]
        # An input of no size is one of unknown size to the compiler, as it is to exporters.
        if not all(small(proto) for proto in inputs + outputs) or any(0 in proto.dims for proto in inputs):
            continue
        # An optional operand that is left out moves those behind it up in the list of the model's inputs.
        names = {name: index for index, name in enumerate(nodes[0].input) if name}
        constant = [names.get(info.name, 0) in OPERATORS[nodes[0].op_type] for info in model.graph.input]
        for kind, bound in ("run time", constant), ("constant", [True] * len(constant)):
            if kind == "constant" and all(constant):
                continue
            copy = onnx.ModelProto.FromString(model.SerializeToString())
            for field in ("doc_string", "producer_name", "producer_version"):
                copy.ClearField(field)
            del copy.graph.input[:]
            for info, value, is_bound in zip(model.graph.input, inputs, bound):
                if is_bound:
                    copy.graph.initializer.append(named(value, info.name))
                else:
                    copy.graph.input.append(info)
            given = [value for value, is_bound in zip(inputs, bound) if not is_bound]
            for kind_of, protos in ("input", given), ("output", outputs):
                copy.graph.initializer.extend(named(proto, f"{kind_of}/{i}") for i, proto in enumerate(protos))
            copy.graph.name = f"{name} {kind}"
            yield copy.SerializeToString()


if __name__ == "__main__":
    packed = list(cases())
    with open(os.path.join(FOLDER, "movement.bin"), "wb") as file:
        for case in packed:
            file.write(struct.pack("<I", len(case)) + case)
    print(len(packed), "cases,", sum(map(len, packed)), "bytes")
