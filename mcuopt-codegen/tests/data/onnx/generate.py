"""Writes encodings.onnx: constants in every encoding that the reader knows, each with the values it stands for.

    pip install onnx==1.17.0 && python generate.py

What the initializer `x` must decode to is `expect/x`, a plain float, integer or bool tensor: from the values that
were written, and for 4, 8 and 16-bit patterns from the conversions of numpy and of the package onnx.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

tensors = []


def expect(name, array):
    tensors.append(numpy_helper.from_array(np.asarray(array), "expect/" + name))


def typed_and_raw(kind, shape, values, expected):
    """The same constant in its typed field and in raw_data."""
    label = T.DataType.Name(kind).lower()
    typed = helper.make_tensor(label + "/typed", kind, shape, values)
    assert not typed.raw_data
    tensors.append(typed)
    expect(label + "/typed", expected)
    raw = numpy_helper.from_array(np.array(values, helper.tensor_dtype_to_np_dtype(kind)).reshape(shape), label + "/raw")
    assert raw.raw_data and raw.data_type == kind
    tensors.append(raw)
    expect(label + "/raw", expected)


def patterns(kind, bits, bytes_each, widen):
    """Bit patterns, in raw_data and in int32_data, which helper.make_tensor reaches only through rounding.

    numpy_helper.to_array gives the patterns of most of these types, not their values: hence `widen`.
    """
    bits = np.array(bits, f"<u{bytes_each}")
    label = T.DataType.Name(kind).lower()
    raw = T(name=label + "/raw", data_type=kind, dims=[len(bits)])
    raw.raw_data = bits.tobytes()
    typed = T(name=label + "/typed", data_type=kind, dims=[len(bits)], int32_data=[int(b) for b in bits])
    for tensor in (raw, typed):
        tensors.append(tensor)
        expect(tensor.name, widen(bits).astype(np.float32))


integers = {
    T.INT8: np.int8, T.UINT8: np.uint8, T.INT16: np.int16, T.UINT16: np.uint16, T.INT32: np.int32,
    T.UINT32: np.uint32, T.INT64: np.int64, T.UINT64: np.uint64,
}
for kind, dtype in integers.items():
    limits = np.iinfo(dtype)
    values = [int(limits.min), 0, 1, 7, int(limits.max) - 1, int(limits.max)]
    typed_and_raw(kind, [2, 3], values, np.array(values, dtype).reshape(2, 3))
floats = [0.0, -0.0, 1.5, -3.25e-39, 3.4e38, float("inf"), float("-inf"), float("nan")]
typed_and_raw(T.FLOAT, [2, 1, 4], floats, np.array(floats, np.float32).reshape(2, 1, 4))
doubles = floats[:-1] + [1e300]
with np.errstate(over="ignore"):
    typed_and_raw(T.DOUBLE, [8], doubles, np.array(doubles).astype(np.float32))
typed_and_raw(T.BOOL, [3], [True, False, True], np.array([True, False, True]))

half = np.concatenate([np.arange(0, 65536, 257), [0x0001, 0x03FF, 0x0400, 0x7BFF, 0x7C00, 0x8000, 0x8001, 0xFBFF, 0xFC00]])
patterns(T.FLOAT16, half, 2, lambda bits: bits.view(np.float16))
patterns(T.BFLOAT16, half, 2, numpy_helper.bfloat16_to_float32)
e4m3, e5m2 = numpy_helper.float8e4m3_to_float32, numpy_helper.float8e5m2_to_float32
patterns(T.FLOAT8E4M3FN, range(256), 1, e4m3)
patterns(T.FLOAT8E4M3FNUZ, range(256), 1, lambda bits: e4m3(bits, uz=True))
patterns(T.FLOAT8E5M2, range(256), 1, e5m2)
patterns(T.FLOAT8E5M2FNUZ, range(256), 1, lambda bits: e5m2(bits, fn=True, uz=True))

for kind, low, dtype in ((T.INT4, -8, np.int8), (T.UINT4, 0, np.uint8)):
    label = T.DataType.Name(kind).lower()
    for suffix, values in (("even", list(range(low, low + 16))), ("odd", list(range(low + 3, low + 8)))):
        typed = helper.make_tensor(f"{label}/typed/{suffix}", kind, [len(values)], values)
        raw = T(name=f"{label}/raw/{suffix}", data_type=kind, dims=[len(values)])
        raw.raw_data = bytes(b & 255 for b in typed.int32_data)
        for tensor in (typed, raw):
            tensors.append(tensor)
            expect(tensor.name, numpy_helper.to_array(tensor).astype(dtype))

for name, shape in (("scalar", []), ("nothing", [0]), ("nothing/deep", [3, 0, 2])):
    array = np.full(shape, 4.5, np.float32)
    tensors.append(helper.make_tensor(name, T.FLOAT, shape, array.flatten().tolist()))
    expect(name, array)

dense = np.zeros((3, 4), np.float32)
dense[0, 1], dense[1, 3], dense[2, 2] = 1.5, -2.0, 8.0
values = [1.5, -2.0, 8.0]
sparse = []
for name, indices in (("sparse/linear", [1, 7, 10]), ("sparse/coordinates", [[0, 1], [1, 3], [2, 2]])):
    indices = np.array(indices, np.int64)
    sparse.append(helper.make_sparse_tensor(
        helper.make_tensor(name, T.FLOAT, [3], values), numpy_helper.from_array(indices, name + "/indices"), [3, 4]))
    expect(name, dense)

side = T(name="external", data_type=T.INT16, dims=[3], data_location=T.EXTERNAL)
for key, value in (("location", "side.bin"), ("offset", "4"), ("length", "6")):
    side.external_data.add(key=key, value=value)
tensors.append(side)
expect("external", np.array([258, -1, 7], np.int16))

tensors.append(helper.make_tensor("unreadable/string", T.STRING, [1], [b"cat"]))
tensors.append(helper.make_tensor("unreadable/complex", T.COMPLEX64, [1], [1 + 2j]))

body = helper.make_graph(
    [helper.make_node("Identity", ["outer"], ["inner"])], "body", [],
    [helper.make_tensor_value_info("inner", T.FLOAT, None)])
node = helper.make_node(
    "Everything", ["x", "", "y"], ["out"], name="node", domain="test.domain",
    f=0.5, i=-3, s="text", t=numpy_helper.from_array(np.array([1, 2], np.int64)), g=body,
    floats=[1.0, 2.0], ints=[1, -2], strings=["a", "b"], sparse=sparse[0],
    tensors=[numpy_helper.from_array(np.array(1.0, np.float32))], graphs=[body, body],
    type=helper.make_tensor_type_proto(T.FLOAT, [1]))
function = helper.make_function(
    "test.domain", "Everything", ["a"], ["b"],
    [helper.make_node("Elu", ["a"], ["b"])], [helper.make_opsetid("", 21)], ["i"],
    [helper.make_attribute("alpha", 0.25)])
reference = function.node[0].attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)

inputs = [
    helper.make_tensor_value_info("x", T.FLOAT16, ["batch", 3, None, -1]),
    helper.make_tensor_value_info("y", T.STRING, []),
    helper.make_tensor_sequence_value_info("z", T.FLOAT, [1]),
]
graph = helper.make_graph(
    [node], "everything", inputs, [helper.make_tensor_value_info("out", T.INT8, [1])],
    tensors, sparse_initializer=sparse)
model = helper.make_model(
    graph, opset_imports=[helper.make_opsetid("ai.onnx", 21), helper.make_opsetid("test.domain", 1)],
    functions=[function], ir_version=10, producer_name="generate.py", producer_version="1")

folder = pathlib.Path(__file__).parent
(folder / "side.bin").write_bytes(b"\xff" * 4 + np.array([258, -1, 7], "<i2").tobytes() + b"\xff" * 4)
(folder / "encodings.onnx").write_bytes(model.SerializeToString())
