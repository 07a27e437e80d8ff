"""The cases of ml.bin: models of scikit-learn, and nodes of the domain ai.onnx.ml, as onnxruntime computes them.

    python -m pip install onnx==1.17.0 onnxruntime==1.32.0 numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0
    python ml.py

The format is that of generate.py, but that inputs and outputs keep their types.
"""

import os
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn import ensemble, linear_model, naive_bayes, neural_network, pipeline, preprocessing, svm, tree

FOLDER = os.path.dirname(os.path.abspath(__file__))
RANDOM = np.random.default_rng(4)


def pack(name, model, inputs, outputs):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    for field in ("doc_string", "producer_name", "producer_version"):
        model.ClearField(field)
    model.graph.name = name
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for index, array in enumerate(arrays):
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{kind}/{index}"))
    data = model.SerializeToString()
    return struct.pack("<I", len(data)) + data


def run(model, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {info.name: array for info, array in zip(session.get_inputs(), inputs)})


def fixed(model, inputs):
    """The model for inputs of these shapes."""
    for info, array in zip(model.graph.input, inputs):
        for dim, size in zip(info.type.tensor_type.shape.dim, array.shape):
            dim.dim_value = size
    return model


def node(name, op, inputs, outputs=1, version=3, attributes=None):
    """One node; `inputs` come at run time, but for ("constant", array)."""
    names = [f"x{i}" for i in range(len(inputs))]
    constants = [x[1] for x in inputs if isinstance(x, tuple)]
    given = [(n, x) for n, x in zip(names, inputs) if not isinstance(x, tuple)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], domain="ai.onnx.ml", **(attributes or {}))
    types = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info(n, types(x.dtype), x.shape) for n, x in given],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in node.output],
        [numpy_helper.from_array(c, n) for c, (n, x) in zip(constants, [p for p in zip(names, inputs) if isinstance(p[1], tuple)])],
    )
    for output in graph.output:
        output.ClearField("type")
    opsets = [helper.make_opsetid("ai.onnx.ml", version), helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    arrays = [x for _, x in given]
    return pack(name, model, arrays, run(typed(model), arrays))


def typed(model):
    """onnxruntime infers the types of outputs, but wants them to be there."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    inferred = onnx.shape_inference.infer_shapes(copy).graph.output
    for output, known in zip(copy.graph.output, inferred):
        output.CopyFrom(known)
    return copy


def sklearn_models():
    x = RANDOM.standard_normal((60, 4)).astype(np.float32) * np.array([1, 3, 0.5, 2], np.float32)
    target = x[:, 0] + np.sin(x[:, 1]) * 2 - x[:, 2] * x[:, 3]
    two, three = (target > 0).astype(np.int64), np.digitize(target, [-1, 1])
    samples = x[::9].copy()
    classifiers = [
        tree.DecisionTreeClassifier(max_depth=3, random_state=0),
        ensemble.RandomForestClassifier(4, max_depth=3, random_state=0),
        ensemble.ExtraTreesClassifier(3, max_depth=2, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0),
        linear_model.LogisticRegression(),
        linear_model.SGDClassifier(loss="log_loss", random_state=0),
        svm.SVC(),
        svm.SVC(kernel="poly", degree=2),
        svm.SVC(kernel="linear"),
        svm.SVC(kernel="sigmoid"),
        svm.LinearSVC(),
        naive_bayes.GaussianNB(),
        neural_network.MLPClassifier((5,), max_iter=50, random_state=0),
        pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()),
    ]
    for model in classifiers:
        for labels in (two, three, two * 4 + 3):
            model.fit(x, labels)
            last = model[-1] if isinstance(model, pipeline.Pipeline) else model
            options = {} if isinstance(last, svm.LinearSVC) else {id(last): {"zipmap": False}}
            proto = fixed(to_onnx(model, x[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3}), [samples])
            name = f"{type(model).__name__} of {len(set(labels))} classes from {labels.min()}"
            yield pack(name, proto, [samples], run(proto, [samples]))
    regressors = [
        tree.DecisionTreeRegressor(max_depth=3, random_state=0),
        ensemble.RandomForestRegressor(4, max_depth=3, random_state=0),
        ensemble.GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0),
        linear_model.LinearRegression(),
        svm.SVR(),
        svm.OneClassSVM(),
        neural_network.MLPRegressor(hidden_layer_sizes=(5,), max_iter=50, random_state=0),
    ]
    for model in regressors:
        model.fit(x, target)
        proto = fixed(to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}), [samples])
        outputs = run(proto, [samples])
        yield pack(type(model).__name__, proto, [samples], outputs)
    model = linear_model.LogisticRegression().fit(x, three)
    maps = fixed(to_onnx(model, x[:1], target_opset={"": 17, "ai.onnx.ml": 3}), [samples])
    plain = fixed(to_onnx(model, x[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3}), [samples])
    yield pack("maps of scores", maps, [samples], run(plain, [samples]))


def random_tree(modes, depth):
    """Lists of a complete tree."""
    count = 2 ** (depth + 1) - 1
    inner = 2**depth - 1
    missing = RANDOM.integers(0, 2, count)
    return {
        "nodes_nodeids": list(range(count)),
        "nodes_featureids": [int(v) for v in RANDOM.integers(0, 3, inner)] + [0] * (count - inner),
        "nodes_modes": [modes[i % len(modes)] for i in range(inner)] + ["LEAF"] * (count - inner),
        # Halves, so that samples are equal to some.
        "nodes_values": [float(v) / 2 for v in RANDOM.integers(-3, 4, inner)] + [0.0] * (count - inner),
        "nodes_truenodeids": [2 * i + 1 for i in range(inner)] + [0] * (count - inner),
        "nodes_falsenodeids": [2 * i + 2 for i in range(inner)] + [0] * (count - inner),
        "nodes_missing_value_tracks_true": [int(v) for v in missing],
    }


def trees():
    every = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
    x = (RANDOM.integers(-3, 4, (24, 3)) / 2).astype(np.float32)
    x[::5, 1] = np.nan
    for modes in [[mode] for mode in every] + [every]:
        for function in ("SUM", "AVERAGE", "MIN", "MAX"):
            attributes = {"nodes_treeids": []}
            for index in range(2):
                part = random_tree(modes, 3)
                attributes["nodes_treeids"] += [index] * len(part["nodes_nodeids"])
                for key, values in part.items():
                    attributes[key] = attributes.get(key, []) + values
            leaves = [i for i, mode in enumerate(attributes["nodes_modes"]) if mode == "LEAF"]
            votes = [(leaf, target) for leaf in leaves for target in range(2)]
            attributes |= {
                "target_treeids": [attributes["nodes_treeids"][leaf] for leaf, _ in votes],
                "target_nodeids": [attributes["nodes_nodeids"][leaf] for leaf, _ in votes],
                "target_ids": [target for _, target in votes],
                "target_weights": [float(v) for v in RANDOM.standard_normal(len(votes)).astype(np.float32)],
                "n_targets": 2,
                "aggregate_function": function,
                "base_values": [0.5, -0.25],
            }
            yield node(f"trees {modes} {function}", "TreeEnsembleRegressor", [x], attributes=attributes)


def others():
    x = RANDOM.standard_normal((4, 3)).astype(np.float32)
    integers = RANDOM.integers(-2, 5, (4, 3))
    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
        for rows, labels in ((1, [7, 9]), (2, [0, 1]), (3, [5, 3, 4])):
            attributes = {
                "coefficients": [float(v) for v in RANDOM.standard_normal(3 * rows).astype(np.float32)],
                "intercepts": [float(v) for v in RANDOM.standard_normal(rows).astype(np.float32)],
                "classlabels_ints": labels,
                "post_transform": post,
            }
            yield node(f"linear {rows} {post}", "LinearClassifier", [x], 2, attributes=attributes)
    attributes = {"coefficients": [1.0, -2.0, 0.5, 0.25, 3.0, -1.0], "intercepts": [0.5, -1.0], "targets": 2}
    yield node("linear targets", "LinearRegressor", [x], attributes=attributes)
    yield node("scaler", "Scaler", [x], attributes={"offset": [1.0, -1.0, 0.5], "scale": [2.0, 0.5, -1.0]})
    yield node("scaler of integers", "Scaler", [integers], attributes={"offset": [1.0], "scale": [0.5]})
    zeros = np.concatenate([x, np.zeros((1, 3), np.float32), -np.abs(x[:1])])
    for norm in ("MAX", "L1", "L2"):
        yield node(f"normalizer {norm}", "Normalizer", [zeros], attributes={"norm": norm})
    yield node("binarizer", "Binarizer", [x], attributes={"threshold": 0.25})
    holes = np.where(np.abs(x) < 0.5, np.nan, x).astype(np.float32)
    values = {"imputed_value_floats": [1.0, 2.0, 3.0], "replaced_value_float": float("nan")}
    yield node("imputer of NaN", "Imputer", [holes], attributes=values)
    values = {"imputed_value_int64s": [9], "replaced_value_int64": 3}
    yield node("imputer of integers", "Imputer", [integers], attributes=values)
    picks = ("constant", np.array([2, 0, 2]))
    yield node("picked features", "ArrayFeatureExtractor", [x, picks])
    yield node("picked elements", "ArrayFeatureExtractor", [x[0], picks])
    yield node("features beside", "FeatureVectorizer", [x, x[:, :1].copy()], attributes={"inputdimensions": [3, 1]})
    keys = {"keys_int64s": [1, 2, 3], "values_floats": [0.5, 1.5, 2.5], "default_float": 7.0}
    yield node("integers to floats", "LabelEncoder", [integers], attributes=keys)
    keys = {"keys_floats": [0.5, float("nan")], "values_int64s": [10, 20], "default_int64": -3}
    labels = np.array([[0.5, np.nan, 1.0]], np.float32)
    yield node("floats to integers", "LabelEncoder", [labels], version=4, attributes=keys)
    yield node("one hot", "OneHotEncoder", [integers], attributes={"cats_int64s": [3, 1, 0], "zeros": 1})


if __name__ == "__main__":
    with open(os.path.join(FOLDER, "ml.bin"), "wb") as file:
        cases = [*sklearn_models(), *trees(), *others()]
        file.write(b"".join(cases))
    print(len(cases), "cases,", os.path.getsize(os.path.join(FOLDER, "ml.bin")), "bytes")
