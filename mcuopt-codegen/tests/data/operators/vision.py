"""Makes vision.bin, the cases of tests/vision.rs: models of our own with convolutions, pools and the operators of vision
heads, and onnxruntime's results. What these packages are, and how the file is laid out, stands in generate.py.

    python vision.py
"""

import itertools
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(5)
node = helper.make_node


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def case(name, opset, nodes, inputs, constants=None, outputs=1):
    """A model with given inputs (arrays), and what onnxruntime makes of them; `None` where it refuses the model."""
    names = [f"y{i}" for i in range(outputs)]
    types = {key: helper.np_dtype_to_tensor_dtype(value.dtype) for key, value in inputs.items()}
    infos = [helper.make_tensor_value_info(key, types[key], value.shape) for key, value in inputs.items()]
    results = [helper.make_tensor_value_info(key, TensorProto.UNDEFINED, None) for key in names]
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, f"{name}, opset {opset}", infos, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    for output in model.graph.output:
        output.ClearField("type")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found = session.run(None, inputs)
    except Exception as error:
        print("left out:", name, opset, str(error).splitlines()[0][:120])
        return None
    model.ClearField("producer_name")
    for kind, arrays in (("input", inputs.values()), ("output", found)):
        for index, array in enumerate(arrays):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{kind}/{index}"))
    return model.SerializeToString()


def convolutions():
    for rank, group, number in itertools.product((1, 2, 3), (1, 2), range(3)):
        kernel, strides, dilations = (RANDOM.integers(1, high, rank).tolist() for high in (4, 3, 3))
        shape = [1 + number % 2, 2 * group, *RANDOM.integers(6, 8, rank).tolist()]
        constants = {"w": floats(3 * group, 2, *kernel), "b": floats(3 * group)}
        attributes = {"group": group, "strides": strides, "dilations": dilations}
        if number == 2:
            attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER"][group - 1]
            attributes["dilations"] = [1] * rank
        else:
            attributes["pads"] = RANDOM.integers(0, 2, 2 * rank).tolist()
        conv = node("Conv", ["x", "w", "b"], ["y0"], **attributes)
        yield case(f"Conv {rank} {group} {number}", 11, [conv], {"x": floats(*shape)}, constants)
        yield case(f"Conv of two operands {rank} {group} {number}", 11, [conv], {"x": floats(*shape), **constants})


def transposed():
    for rank, group, number in itertools.product((1, 2, 3), (1, 2, 3), range(5)):
        kernel, strides, dilations = (RANDOM.integers(1, high, rank).tolist() for high in (5, 4, 3))
        kernel = [max(size, step) for size, step in zip(kernel, strides)]
        shape = [1, 2 * group, *RANDOM.integers(2, 5, rank).tolist()]
        constants = {"w": floats(2 * group, 2, *kernel), "b": floats(2 * group)}
        attributes = {"group": group, "strides": strides, "dilations": dilations}
        if number == 1:
            attributes["pads"] = RANDOM.integers(0, 2, 2 * rank).tolist()
        elif number == 2:
            attributes["output_padding"] = [step - 1 for step in strides]
        elif number == 3:
            attributes["auto_pad"] = ["SAME_UPPER", "SAME_LOWER", "VALID"][group - 1]
            attributes["dilations"] = [1] * rank
        elif number == 4:
            attributes["output_shape"] = [size * step for size, step in zip(shape[2:], strides)]
            attributes["dilations"] = [1] * rank
        operands = ["x", "w", "b"] if number else ["x", "w"]
        conv = node("ConvTranspose", operands, ["y0"], **attributes)
        yield case(f"ConvTranspose {rank} {group} {number}", 11, [conv], {"x": floats(*shape)}, constants)
    relu = [node("ConvTranspose", ["x", "w"], ["t"], strides=[2, 2]), node("Relu", ["t"], ["y0"])]
    yield case("ConvTranspose, Relu", 11, relu, {"x": floats(1, 3, 4, 4)}, {"w": floats(3, 2, 3, 3)})
    both = {"x": floats(1, 3, 4, 4), "w": floats(3, 2, 3, 3)}
    yield case("ConvTranspose of two operands", 11, relu, both)


def pools():
    for rank, op, number in itertools.product((1, 2, 3), ("MaxPool", "AveragePool", "LpPool"), range(4)):
        kernel, strides = (RANDOM.integers(1, high, rank).tolist() for high in (4, 3))
        shape = [2, 3, *RANDOM.integers(5, 7, rank).tolist()]
        attributes = {"kernel_shape": kernel, "strides": strides}
        opset = 19
        if op == "LpPool":
            opset = 18
            attributes["p"] = 1 + number
        if number == 1:
            attributes["pads"] = [0 if size == 1 else 1 for size in kernel] * 2
        elif number == 2 and op != "LpPool":
            attributes["dilations"] = [2] * rank
        elif number == 3 and op != "LpPool":
            attributes["ceil_mode"] = 1
        if op == "AveragePool" and number == 1:
            attributes["count_include_pad"] = 1
        pool = node(op, ["x"], ["y0"], **attributes)
        yield case(f"{op} {rank} {number}", opset, [pool], {"x": floats(*shape)})
        if op == "MaxPool":
            for order in (0, 1):
                pool = node(op, ["x"], ["y0", "y1"], storage_order=order, **attributes)
                yield case(f"{op} with places {rank} {number} {order}", 12, [pool], {"x": floats(*shape)}, outputs=2)
            if rank == 2:
                for kind in (np.int8, np.uint8):
                    x = RANDOM.integers(0, 127, shape).astype(kind)
                    yield case(f"{op} {kind.__name__} {number}", 12, [node(op, ["x"], ["y0"], **attributes)], {"x": x})
    for rank, op in itertools.product((1, 2, 3), ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")):
        yield case(f"{op} {rank}", 13, [node(op, ["x"], ["y0"])], {"x": floats(2, 3, *[4, 5, 3][:rank])})


def resizes():
    modes = (("nearest", "round_prefer_floor"), ("nearest", "round_prefer_ceil"), ("nearest", "floor"),
             ("nearest", "ceil"), ("linear", None), ("cubic", None))
    coordinates = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric",
                   "tf_half_pixel_for_nn")
    targets = (([8, 10], None), ([3, 2], None), ([1, 7], None), (None, [2.0, 2.0]), (None, [1.0, 3.0]), (None, [0.5, 0.5]))
    for (mode, rounding), coordinate, (sizes, scales) in itertools.product(modes, coordinates, targets):
        if rounding == "floor" and coordinate == "half_pixel_symmetric" and sizes == [3, 2]:
            continue  # A place of exactly 1, which onnxruntime's rounding moves below it.
        opset = 11 if coordinate == "tf_half_pixel_for_nn" else 19 if coordinate == "half_pixel_symmetric" else 13
        attributes = {"mode": mode, "coordinate_transformation_mode": coordinate}
        if rounding:
            attributes["nearest_mode"] = rounding
        x = floats(1, 2, 4, 6)
        if sizes:
            operands, constants = ["x", "", "", "s"], {"s": ints(1, 2, *sizes)}
        else:
            operands, constants = ["x", "", "s"], {"s": np.array([1, 1, *scales], np.float32)}
        if opset == 11:
            operands, constants = [operands[0], "r", *operands[2:]], {**constants, "r": np.array([], np.float32)}
            if sizes:
                operands, constants = ["x", "r", "e", "s"], {**constants, "e": np.array([], np.float32)}
        name = f"Resize {mode} {rounding} {coordinate} {sizes or scales}"
        yield case(name, opset, [node("Resize", operands, ["y0"], **attributes)], {"x": x}, constants)
    for mode, sizes, exclude in itertools.product(("linear", "cubic"), ([2, 3], [3, 9], [1, 1], [9, 13]), (0, 1)):
        attributes = {"mode": mode, "antialias": 1, "exclude_outside": exclude, "axes": [3, 2]}
        resize = node("Resize", ["x", "", "", "s"], ["y0"], **attributes)
        yield case(f"Resize {mode} antialias {sizes} {exclude}", 19, [resize], {"x": floats(1, 2, 7, 11)}, {"s": ints(*sizes)})
    for mode, a in itertools.product(("cubic",), (-0.5, -0.75)):
        resize = node("Resize", ["x", "", "s"], ["y0"], mode=mode, cubic_coeff_a=a, exclude_outside=1)
        scales = np.array([1, 1, 1.5, 0.8], np.float32)
        yield case(f"Resize cubic {a}", 13, [resize], {"x": floats(1, 2, 6, 5)}, {"s": scales})
    crop = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 7.0}
    region = np.array([0, 0, -0.2, 0.3, 1, 1, 0.6, 1.2], np.float32)
    for mode in ("linear", "nearest"):
        resize = node("Resize", ["x", "r", "", "s"], ["y0"], **{**crop, "mode": mode})
        yield case(f"Resize crop {mode}", 13, [resize], {"x": floats(1, 1, 5, 6)}, {"r": region, "s": ints(1, 1, 4, 5)})
    for policy in ("not_larger", "not_smaller"):
        resize = node("Resize", ["x", "", "", "s"], ["y0"], mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy)
        yield case(f"Resize {policy}", 19, [resize], {"x": floats(1, 1, 4, 6)}, {"s": ints(7, 8)})
    volume = node("Resize", ["x", "", "s"], ["y0"], mode="linear")
    yield case("Resize 3", 13, [volume], {"x": floats(1, 2, 3, 4, 3)}, {"s": np.array([1, 1, 2, 1.5, 2], np.float32)})
    line = node("Resize", ["x", "", "s"], ["y0"], mode="linear")
    yield case("Resize 1", 13, [line], {"x": floats(1, 2, 5)}, {"s": np.array([1, 1, 2], np.float32)})
    for kind in (np.uint8, np.int32):
        x = RANDOM.integers(0, 99, [1, 2, 3, 4]).astype(kind)
        nearest = node("Resize", ["x", "", "s"], ["y0"], mode="nearest")
        scales = np.array([1, 1, 2, 3], np.float32)
        yield case(f"Resize {kind.__name__}", 13, [nearest], {"x": x}, {"s": scales})
    for mode in ("nearest", "linear"):
        for scales in ([1, 1, 2, 3], [1, 1, 1.5, 2.5]):
            old = node("Upsample", ["x"], ["y0"], mode=mode, scales=[float(scale) for scale in scales])
            yield case(f"Upsample {mode} {scales}", 7, [old], {"x": floats(1, 2, 4, 3)})
            for op, opset in (("Upsample", 9), ("Resize", 10)):
                resize = node(op, ["x", "s"], ["y0"], mode=mode)
                yield case(f"{op} {mode} {scales}", opset, [resize], {"x": floats(1, 2, 4, 3)},
                           {"s": np.array(scales, np.float32)})
        resize = node("Resize", ["x", "s"], ["y0"], mode=mode)
        shrink = {"s": np.array([1, 1, 0.5, 0.7], np.float32)}
        yield case(f"Resize shrink {mode}", 10, [resize], {"x": floats(1, 2, 6, 7)}, shrink)


def samples():
    for rank, mode, padding, align in itertools.product(
            (2, 3), ("linear", "nearest", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": align}
        x, grid = floats(2, 2, *[4, 5, 3][:rank]), 1.5 * floats(2, *[3, 4, 2][:rank], rank)
        sample = node("GridSample", ["x", "g"], ["y0"], **attributes)
        yield case(f"GridSample {rank} {mode} {padding} {align}", 20, [sample], {"x": x, "g": grid})
    for mode, ratio, half in itertools.product(("avg", "max"), (0, 2), ("half_pixel", "output_half_pixel")):
        rois = np.sort(RANDOM.uniform(0, 20, (4, 2, 2)), axis=1).reshape(4, 4).astype(np.float32)
        attributes = {"mode": mode, "sampling_ratio": ratio, "coordinate_transformation_mode": half}
        align = node("RoiAlign", ["x", "r", "i"], ["y0"], output_height=3, output_width=2, spatial_scale=0.5, **attributes)
        inputs = {"x": floats(2, 3, 9, 11), "r": rois, "i": ints(0, 1, 1, 0)}
        yield case(f"RoiAlign {mode} {ratio} {half}", 16, [align], inputs)
    rois = np.array([[0, 1, 2, 9, 8], [1, 4, 4, 6, 17], [1, 0, 0, 0, 0]], np.float32)
    pool = node("MaxRoiPool", ["x", "r"], ["y0"], pooled_shape=[2, 3], spatial_scale=0.5)
    yield case("MaxRoiPool", 13, [pool], {"x": floats(2, 3, 9, 11), "r": rois})
    for offset_group, mask in itertools.product((1, 2), (0, 1)):
        inputs = {"x": floats(1, 4, 5, 6), "w": floats(4, 2, 3, 2), "o": floats(1, offset_group * 12, 3, 3), "b": floats(4)}
        if mask:
            inputs["m"] = floats(1, offset_group * 6, 3, 3)
        attributes = {"strides": [2, 2], "pads": [1, 0, 1, 1], "group": 2, "offset_group": offset_group}
        conv = node("DeformConv", list(inputs), ["y0"], **attributes)
        yield case(f"DeformConv {offset_group} {mask}", 19, [conv], inputs)


def others():
    unpool = [node("MaxPool", ["x"], ["t", "i"], kernel_shape=[2, 2], strides=[2, 2]),
              node("MaxUnpool", ["t", "i"], ["y0"], kernel_shape=[2, 2], strides=[2, 2])]
    yield case("MaxUnpool", 11, unpool, {"x": floats(2, 3, 4, 6)})
    blocks = node("Col2Im", ["x", "s", "k"], ["y0"], strides=[2, 1], pads=[1, 0, 1, 2], dilations=[1, 2])
    yield case("Col2Im", 18, [blocks], {"x": floats(2, 12, 3 * 6)}, {"s": ints(6, 6), "k": ints(3, 2)})
    for center in (0, 1):
        boxes = RANDOM.uniform(0, 4, (2, 12, 4)).astype(np.float32)
        # Far apart, so that as many are kept as may be.
        boxes[..., :2] += 9 * np.arange(12)[None, :, None]
        boxes[..., 2:] += 0 if center else 9 * np.arange(12)[None, :, None]
        scores = RANDOM.uniform(0, 1, (2, 3, 12)).astype(np.float32)
        constants = {"n": ints(3), "t": np.array([0.5], np.float32), "s": np.array([0.05], np.float32)}
        suppress = node("NonMaxSuppression", ["b", "p", "n", "t", "s"], ["y0"], center_point_box=center)
        yield case(f"NonMaxSuppression {center}", 11, [suppress], {"b": boxes, "p": scores}, constants)
    for align, size in itertools.product((0, 1), ([2, 1, 3, 4], [2, 1, 2, 3, 4])):
        axes = len(size) - 2
        grid = node("AffineGrid", ["x", "s"], ["y0"], align_corners=align)
        yield case(f"AffineGrid {size} {align}", 20, [grid], {"x": floats(2, axes, axes + 1)}, {"s": ints(*size)})


if __name__ == "__main__":
    families = (convolutions(), transposed(), pools(), resizes(), samples(), others())
    cases = [packed for family in families for packed in family if packed is not None]
    with open(__file__.removesuffix(".py") + ".bin", "wb") as file:
        for packed in cases:
            file.write(struct.pack("<I", len(packed)) + packed)
    print(len(cases), "cases,", sum(map(len, cases)), "bytes")
