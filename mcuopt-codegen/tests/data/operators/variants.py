"""The models of variants.bin: `cases()` gives (name, model, shapes of the inputs)."""

import itertools

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(1)
node = helper.make_node


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def number(value):
    return np.float32(value)


def case(name, opset, nodes, inputs, constants=None, outputs=("y",)):
    infos = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in inputs.items()]
    results = [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in outputs]
    initializers = [numpy_helper.from_array(np.asarray(value), key) for key, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "case", infos, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return f"{name}, opset {opset}", model, list(inputs.values())


def opsets():
    """What moved from attributes to operands, or changed its meaning."""
    for opset, op in itertools.product((7, 12, 13), ("Softmax", "LogSoftmax")):
        for shape, axis in (([2, 3, 2], 0), ([2, 3, 2], 1), ([2, 3, 2], None), ([2, 3, 2], -1), ([5], 0)):
            if axis != -1 or opset >= 11:
                attributes = {} if axis is None else {"axis": axis}
                yield case(f"{op} {shape} {axis}", opset, [node(op, ["x"], ["y"], **attributes)], {"x": shape})
    for opset, keep in itertools.product((7, 17, 18), (0, 1)):
        for shape, axes in (([2, 3, 4], [1]), ([2, 3, 4, 5], [2, 3]), ([2, 3, 4], [0, 2]), ([2, 3], None), ([4], [-1])):
            if opset < 11 and axes == [-1]:
                continue
            if opset < 18:
                mean = node("ReduceMean", ["x"], ["y"], keepdims=keep, **({"axes": axes} if axes else {}))
                yield case(f"ReduceMean {shape} {axes} {keep}", opset, [mean], {"x": shape})
            else:
                mean = node("ReduceMean", ["x", "a"] if axes else ["x"], ["y"], keepdims=keep)
                constants = {"a": ints(*axes)} if axes else {}
                yield case(f"ReduceMean {shape} {axes} {keep}", opset, [mean], {"x": shape}, constants)
    for opset in (7, 11, 13, 21):
        for op, shape, axes in (("Squeeze", [1, 3, 1, 5], [0, 2]), ("Squeeze", [1, 3, 1], None), ("Squeeze", [1], [0]),
                                ("Unsqueeze", [], [0]), ("Unsqueeze", [3, 4], [2, 0]), ("Unsqueeze", [3, 4], [-1, -4])):
            if opset < 11 and axes and min(axes) < 0:
                continue
            if opset < 13:
                moved = node(op, ["x"], ["y"], **({"axes": axes} if axes else {}))
                yield case(f"{op} {shape} {axes}", opset, [moved], {"x": shape})
            else:
                moved = node(op, ["x", "a"] if axes else ["x"], ["y"])
                yield case(f"{op} {shape} {axes}", opset, [moved], {"x": shape}, {"a": ints(*axes)} if axes else {})
    for opset, (low, high) in itertools.product((7, 10, 11, 13), ((-0.5, 0.5), (None, 0.3), (0.1, None))):
        limits = {key: number(value) for key, value in (("min", low), ("max", high)) if value is not None}
        if opset < 11:
            yield case(f"Clip {low} {high}", opset, [node("Clip", ["x"], ["y"], **limits)], {"x": [2, 3]})
        else:
            operands = ["x"] + [key if key in limits else "" for key in ("min", "max")]
            yield case(f"Clip {low} {high}", opset, [node("Clip", operands, ["y"])], {"x": [2, 3]}, limits)
    for opset in (7, 10, 11, 13, 18):
        pads = [0, 0, 1, 2, 0, 0, 0, 3]
        attributes, constants = {"pads": pads, "value": 1.5}, {"p": ints(*pads), "v": number(1.5)}
        old = opset < 11
        pad = node("Pad", ["x"], ["y"], **attributes) if old else node("Pad", ["x", "p", "v"], ["y"])
        yield case("Pad", opset, [pad], {"x": [1, 2, 3, 4]}, {} if old else constants)
    pad = node("Pad", ["x", "p", "", "a"], ["y"])
    yield case("Pad axes", 18, [pad], {"x": [1, 2, 3, 4]}, {"p": ints(1, 2, 3, 4), "a": ints(-1, 1)})
    for opset in (7, 9, 10, 13):
        old = opset < 10
        cut = node("Slice", ["x"], ["y"], starts=[1, 0], ends=[3, -1], axes=[1, 0]) if old else node("Slice", list("xsea"), ["y"])
        yield case("Slice", opset, [cut], {"x": [4, 5]}, {} if old else {"s": ints(1, 0), "e": ints(3, -1), "a": ints(1, 0)})
    for start, end, axis, step in ((9, 0, 0, -2), (-1, -(2**31), 0, -1), (0, 10, 0, 3), (100, -100, -1, -4)):
        constants = {"s": ints(start), "e": ints(end), "a": ints(axis), "t": ints(step)}
        yield case(f"Slice {start} {end} {step}", 13, [node("Slice", list("xseat"), ["y"])], {"x": [10]}, constants)
    for opset in (7, 10, 12, 13):
        yield case("Dropout", opset, [node("Dropout", ["x"], ["y"])], {"x": [2, 3]})
    for opset, shape in itertools.product((7, 9, 14, 15), ([2, 3], [2, 3, 4], [1, 3, 4, 5])):
        constants = {key: np.abs(floats(3)) for key in "sbmv"}
        normal = node("BatchNormalization", list("xsbmv"), ["y"], epsilon=1e-3)
        yield case(f"BatchNormalization {shape}", opset, [normal], {"x": shape}, constants)


def pools():
    number = 0
    for opset, op in ((7, "AveragePool"), (11, "AveragePool"), (19, "AveragePool"), (8, "MaxPool"), (12, "MaxPool")):
        for shape, kernel in (([1, 1, 8], [3]), ([1, 2, 6, 5], [3, 2])):
            rank = len(kernel)
            for pads, stride, ceil in itertools.product(([0] * 2 * rank, [1] * 2 * rank, None), (1, 2, 3), (0, 1)):
                number += 1
                if number % 2 or ceil and opset < 10:
                    continue
                attributes = {"kernel_shape": kernel, "strides": [stride] * rank}
                attributes |= {"auto_pad": ("SAME_UPPER", "SAME_LOWER")[number // 2 % 2]} if pads is None else {"pads": pads}
                attributes |= {"ceil_mode": 1} if ceil else {}
                # Under SAME padding onnxruntime ignores the dilations, contrary to the formula of the specification.
                if op == "AveragePool":
                    attributes |= {"count_include_pad": 1} if number % 3 == 0 else {}
                elif opset >= 10 and pads is not None:
                    attributes |= {"dilations": [1 + number // 2 % 2] * rank}
                yield case(f"{op} {attributes}", opset, [node(op, ["x"], ["y"], **attributes)], {"x": shape})


def linear():
    for index in range(24):
        rank, group = 1 + index % 2, int(RANDOM.choice([1, 1, 2, 3]))
        inputs, outputs = group * int(RANDOM.integers(1, 4)), group * int(RANDOM.integers(1, 4))
        kernel, strides, dilations = ([int(v) for v in RANDOM.integers(1, 4, rank)] for _ in range(3))
        spatial = [(k - 1) * d + int(RANDOM.integers(1, 4)) for k, d in zip(kernel, dilations)]
        pads = [int(RANDOM.integers(0, k)) for k in kernel * 2]
        conv = node("Conv", list("xwb"), ["y"], strides=strides, dilations=dilations, group=group, pads=pads)
        constants = {"w": floats(outputs, inputs // group, *kernel), "b": floats(outputs)}
        yield case(f"Conv {index}", (7, 11, 13, 21)[index % 4], [conv], {"x": [1 + index % 3 // 2, inputs] + spatial}, constants)
    for index, (a, b, c) in enumerate(itertools.product((0, 1), (0, 1), ([], [1], [5], [1, 5], [3, 1], [3, 5]))):
        gemm = node("Gemm", list("xwc"), ["y"], transA=a, transB=b, alpha=0.5, beta=(1.0, 2.0, 0.0)[index % 3])
        shapes = {"x": [4, 3] if a else [3, 4], "w": [5, 4] if b else [4, 5], "c": c}
        yield case(f"Gemm {a} {b} {c}", 11, [gemm], {"x": shapes["x"]}, {"w": floats(*shapes["w"]), "c": floats(*c)})
        yield case(f"Gemm {a} {b} {c} at run time", 13, [gemm], shapes)
    shapes = (([4], [4]), ([4], [4, 5]), ([3, 4], [4]), ([2, 3, 4], [4, 5]), ([2, 3, 4], [2, 4, 5]), ([3, 4], [2, 4, 5]))
    for left, right in shapes:
        matmul = [node("MatMul", ["a", "b"], ["y"])]
        yield case(f"MatMul {left} {right}", 13, matmul, {"a": left, "b": right})
        yield case(f"MatMul {left} constant {right}", 13, matmul, {"a": left}, {"b": floats(*right)})
        yield case(f"MatMul constant {left} {right}", 13, matmul, {"b": right}, {"a": floats(*left)})


def elementwise():
    shapes = ([], [5], [3, 1], [3, 5], [2, 3, 1], [4, 1, 3, 1], [2, 1, 3, 1, 5])
    for index, (left, right) in enumerate(itertools.product(shapes, shapes)):
        try:
            np.broadcast_shapes(tuple(left), tuple(right))
        except ValueError:
            continue
        if sorted((left, right)) == [[2, 1, 3, 1, 5], [4, 1, 3, 1]]:
            continue  # More than four runs of axes: refused.
        op = ("Add", "Sub", "Mul", "Div")[index % 4]
        nodes = [node(op, ["a", "b"], ["y"])]
        if index % 3 == 0:
            yield case(f"{op} {left} {right}", 7, nodes, {"a": left, "b": right})
        elif index % 3 == 1:
            yield case(f"{op} {left} constant {right}", 13, nodes, {"a": left}, {"b": floats(*right)})
        else:
            yield case(f"{op} constant {left} {right}", 14, nodes, {"b": right}, {"a": floats(*left)})
    functions = (("Relu", {}), ("LeakyRelu", {"alpha": 0.3}), ("Sigmoid", {}), ("Tanh", {}), ("HardSwish", {}), ("Abs", {}),
                 ("HardSigmoid", {"alpha": 0.1}), ("Elu", {"alpha": 2.0}), ("Exp", {}), ("Neg", {}))
    for (op, attributes), shape in itertools.product(functions, ([], [1, 2, 3, 1, 2, 1, 2])):
        yield case(f"{op} {shape}", 14, [node(op, ["x"], ["y"], **attributes)], {"x": shape})


def shapes():
    for opset, (shape, target) in itertools.product((7, 14), (([2, 3, 4], [0, -1]), ([1], []), ([], [1, 1]), ([6], [2, -1]))):
        yield case(f"Reshape {shape} {target}", opset, [node("Reshape", ["x", "t"], ["y"])], {"x": shape}, {"t": ints(*target)})
    for shape, axis in itertools.product(([2, 3, 4, 5], [3], []), (None, 0, 1, 2, -1)):
        if axis is None and not shape or abs(axis or 0) > len(shape):
            continue
        attributes = {} if axis is None else {"axis": axis}
        yield case(f"Flatten {shape} {axis}", 13, [node("Flatten", ["x"], ["y"], **attributes)], {"x": shape})
    for perm in ([0], [1, 0], [2, 0, 1], [0, 3, 1, 2], [4, 1, 0, 3, 2], [5, 4, 3, 2, 1, 0]):
        yield case(f"Transpose {perm}", 13, [node("Transpose", ["x"], ["y"], perm=perm)], {"x": [2, 1, 3, 2, 1, 2][: len(perm)]})
    for shape, axis in (([3], 0), ([2, 3], -1), ([1, 2, 3, 4], -3)):
        other = [extent + (position == axis % len(shape)) for position, extent in enumerate(shape)]
        joined = node("Concat", ["a", "c", "b", "a"], ["y"], axis=axis)
        yield case(f"Concat {shape} {axis}", 13, [joined], {"a": shape, "b": other}, {"c": floats(*shape)})
    for shape, axis, index in (([5], 0, 2), ([4, 5], 1, -1), ([4, 5], 0, [1]), ([4, 5], -1, [[2]]), ([2, 3, 4], -2, 2)):
        taken = node("Gather", ["x", "i"], ["y"], axis=axis)
        yield case(f"Gather {shape} {axis} {index}", 13, [taken], {"x": shape}, {"i": np.array(index, np.int64)})


def cases():
    import chains

    for group in (opsets, pools, linear, elementwise, shapes, chains.chains):
        yield from group()
