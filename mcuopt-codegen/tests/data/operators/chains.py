"""Several operators in a row, for the simplifier: what may be folded, moved or dropped, and what looks as if it might."""

import numpy as np

from variants import case, floats, ints, node, number


def chain(name, nodes, inputs, constants=None, outputs=("y",), opset=13):
    return case(name, opset, nodes, inputs, constants, outputs)


def chains():
    transposed = node("Transpose", ["x"], ["t"], perm=[1, 0])
    add = node("Add", ["t", "c"], ["y"])
    yield chain("Transpose and a constant of higher rank", [transposed, add], {"x": [2, 3]}, {"c": floats(2, 3, 2)})
    yield chain("Transpose and a tensor of higher rank", [transposed, add], {"x": [3, 4], "c": [2, 4, 3]})
    other = node("Transpose", ["c"], ["u"], perm=[1, 0])
    yield chain("Transposes that meet", [transposed, other, node("Mul", ["t", "u"], ["y"])], {"x": [3, 1], "c": [1, 4]})
    other = node("Transpose", ["c"], ["u"], perm=[0, 2, 1])
    yield chain("Transposes of two ranks", [transposed, other, node("Add", ["t", "u"], ["y"])], {"x": [3, 4], "c": [2, 3, 4]})
    yield chain("a Transpose that is an output", [transposed, node("Relu", ["t"], ["y"])], {"x": [3, 4]}, outputs=("y", "t"))

    relu = node("Relu", ["x"], ["y"])
    yield chain("an input as output", [node("Identity", ["x"], ["z"]), relu], {"x": [3, 4]}, outputs=("y", "z"))
    yield chain("an input as two outputs", [node("Identity", ["x"], ["y"]), node("Identity", ["x"], ["z"])], {"x": [3]}, outputs=("y", "z"))
    yield chain("one tensor as two outputs", [relu, node("Identity", ["y"], ["z"])], {"x": [3, 4]}, outputs=("y", "z"))
    yield chain("one tensor in two shapes", [relu, node("Flatten", ["y"], ["z"])], {"x": [3, 4, 2]}, outputs=("y", "z"))
    yield chain("one operation twice", [relu, node("Relu", ["x"], ["z"])], {"x": [3, 4]}, outputs=("y", "z"))
    yield chain("a constant as output", [relu, node("Identity", ["c"], ["z"])], {"x": [3]}, {"c": floats(3)}, outputs=("y", "z"))

    conv = node("Conv", ["x", "w"], ["c"])
    image, w = {"x": [1, 2, 4, 5]}, {"w": floats(5, 2, 1, 1)}
    yield chain("a Relu beside other readers", [conv, node("Relu", ["c"], ["r"]), node("Add", ["c", "r"], ["y"])], image, w)
    yield chain("a Relu behind an output", [conv, node("Relu", ["c"], ["y"])], image, w, outputs=("y", "c"))
    for name, shape in (("width", [5]), ("channels", [1, 5, 1, 1]), ("pixels", [1, 1, 4, 5]), ("a number", [1]), ("batch", [2, 5, 1, 1])):
        yield chain(f"Conv and Mul by {name}", [conv, node("Mul", ["c", "k"], ["y"])], image, w | {"k": floats(*shape)})
    for op, attributes in (("Softmax", {"axis": 1}), ("Softmax", {"axis": 2}), ("ReduceMean", {"axes": [1]}),
                           ("ReduceMean", {"axes": [1, 2]}), ("ReduceMean", {"axes": [1, 3], "keepdims": 0})):
        yield chain(f"Conv and {op} {attributes}", [conv, node(op, ["c"], ["y"], **attributes)], image, w)
    cut = {"s": ints(1, 3), "e": ints(4, 0), "a": ints(1, 2), "t": ints(2, -1)}
    second = {"v": floats(2, 2, 2, 2)}
    nodes = [conv, node("Slice", list("cseat"), ["d"]), node("Conv", ["d", "v"], ["y"])]
    yield chain("Slice between convolutions", nodes, image, w | cut | second)
    nodes = [conv, node("Concat", ["c", "x", "k"], ["d"], axis=1), node("Conv", ["d", "v"], ["y"])]
    yield chain("Concat between convolutions", nodes, image, w | {"k": floats(1, 2, 4, 5), "v": floats(2, 9, 2, 2)})
    nodes = [conv, node("GlobalAveragePool", ["c"], ["p"]), node("Conv", ["p", "v"], ["q"]), node("HardSigmoid", ["q"], ["r"]),
             node("Mul", ["r", "c"], ["y"])]
    yield chain("squeeze and excite", nodes, image, w | {"v": floats(5, 5, 1, 1)})
    nodes = [conv, node("Reshape", ["c", "t"], ["d"]), node("Transpose", ["d"], ["e"], perm=[0, 2, 1, 3, 4]),
             node("Reshape", ["e", "u"], ["g"]), node("Conv", ["g", "v"], ["y"], group=6)]
    constants = {"w": floats(6, 2, 1, 1), "t": ints(1, 2, 3, 4, 5), "u": ints(1, 6, 4, 5), "v": floats(6, 1, 2, 2)}
    yield chain("shuffled channels", nodes, image, constants)
    nodes = [conv, node("Flatten", ["c"], ["f"]), node("Gemm", ["f", "g", "b"], ["y"], transB=1)]
    for batch in (1, 2):
        constants = {"w": floats(3, 2, 3, 3), "g": floats(4, 18), "b": floats(4)}
        yield chain(f"Flatten behind Conv, batch {batch}", nodes, {"x": [batch, 2, 5, 4]}, constants)
    nodes = [conv, node("Reshape", ["c", "t"], ["f"]), node("MatMul", ["f", "g"], ["m"]), node("Add", ["b", "m"], ["y"])]
    constants = {"w": floats(3, 2, 3, 3), "t": ints(-1, 6), "g": floats(6, 4), "b": floats(4)}
    yield chain("rows of channels", nodes, {"x": [1, 2, 5, 4]}, constants)

    parameters = {key: np.abs(floats(3)) for key in "sbmv"} | {"s": -floats(3)}
    nodes = [node("Conv", ["x", "w"], ["c"], pads=[1] * 4), node("BatchNormalization", list("csbmv"), ["n"]),
             node("Clip", ["n", "lo", "hi"], ["r"]), node("Add", ["r", "x"], ["y"])]
    constants = parameters | {"w": floats(3, 3, 3, 3), "lo": number(0), "hi": number(6)}
    yield chain("Conv, BatchNormalization, Relu6, Add", nodes, {"x": [1, 3, 4, 4]}, constants)
    nodes = [node("BatchNormalization", list("xsbmv"), ["n"]), node("Conv", ["n", "w"], ["y"], pads=[1] * 4)]
    yield chain("BatchNormalization before a padded Conv", nodes, {"x": [1, 3, 4, 4]}, parameters | {"w": floats(2, 3, 3, 3)})
    nodes = [node("Mul", ["x", "a"], ["m"]), node("Add", ["m", "b"], ["y"])]
    for shape, a, b in (([2, 3, 4], [], []), ([4], [4], [1]), ([], [], []), ([2, 3], [3], [2, 3])):
        yield chain(f"Mul and Add {shape} {a} {b}", nodes, {"x": shape}, {"a": floats(*a), "b": floats(*b)})
    nodes = [node("Clip", ["x", "lo", "hi"], ["a"]), node("Relu", ["a"], ["b"]), node("Clip", ["b", "", "h"], ["y"])]
    yield chain("Clips in a row", nodes, {"x": [9]}, {"lo": number(0.5), "hi": number(2), "h": number(0.2)})

    pads, filled = {"p": ints(0, 0, 1, 0, 0, 0, 2, 1)}, node("Pad", ["x", "p"], ["t"])
    for attributes in ({}, {"pads": [1, 0, 0, 2]}):
        nodes = [filled, node("Conv", ["t", "w"], ["y"], **attributes)]
        yield chain(f"Pad and Conv {attributes}", nodes, {"x": [1, 2, 6, 5]}, pads | {"w": floats(3, 2, 3, 3)})
    for attributes in ({}, {"pads": [1] * 4}, {"pads": [1] * 4, "count_include_pad": 1}):
        pool = node("AveragePool", ["t"], ["y"], kernel_shape=[3, 3], strides=[2, 2], **attributes)
        yield chain(f"Pad and AveragePool {attributes}", [filled, pool], {"x": [1, 2, 6, 5]}, pads)
    filled = node("Pad", ["x", "p", "v"], ["t"])
    for value in (0, 1, -np.inf):
        pool = node("MaxPool", ["t"], ["y"], kernel_shape=[3, 3], strides=[2, 2])
        yield chain(f"Pad {value} and MaxPool", [filled, pool], {"x": [1, 2, 6, 5]}, pads | {"v": number(value)})
        nodes = [filled, node("Conv", ["t", "w"], ["y"])]
        if value:
            continue
        channels = {"p": ints(0, 1, 1, 0, 0, 0, 2, 1), "v": number(1), "w": floats(3, 3, 3, 3)}
        yield chain("Pad of channels and Conv", nodes, {"x": [1, 2, 6, 5]}, channels)

    names = {"q": "wq", "k": "wk", "v": "wv"}
    nodes = [node("MatMul", ["x", weights], [name]) for name, weights in names.items()]
    nodes += [node("Transpose", ["k"], ["t"], perm=[0, 2, 1]), node("MatMul", ["q", "t"], ["s"]), node("Mul", ["s", "c"], ["u"]),
              node("Softmax", ["u"], ["p"], axis=-1), node("MatMul", ["p", "v"], ["y"])]
    weights = {weights: floats(4, 3) for weights in names.values()}
    yield chain("attention", nodes, {"x": [1, 5, 4]}, weights | {"c": number(0.5)})
    nodes = [node("ReduceMean", ["x"], ["m"], axes=[-1]), node("Sub", ["x", "m"], ["d"]), node("Mul", ["d", "d"], ["q"]),
             node("ReduceMean", ["q"], ["v"], axes=[-1]), node("Add", ["v", "e"], ["w"]), node("Div", ["d", "w"], ["n"]),
             node("Mul", ["n", "g"], ["h"]), node("Add", ["h", "b"], ["y"])]
    yield chain("normalization of a layer", nodes, {"x": [1, 5, 4]}, {"e": number(1e-3), "g": floats(4), "b": floats(4)})
    nodes = [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["b"]), node("Unsqueeze", ["b", "axes"], ["u"]),
             node("Concat", ["u", "rest"], ["t"], axis=0), node("Reshape", ["x", "t"], ["y"])]
    yield chain("shape arithmetic", nodes, {"x": [2, 3, 4]}, {"zero": np.int64(0), "axes": ints(0), "rest": ints(-1)})
