"""Trains models with scikit-learn and exports them with skl2onnx."""

import os
import warnings

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.ensemble import (
    ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor, 
    RandomForestClassifier, RandomForestRegressor
)
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, Normalizer, RobustScaler, StandardScaler
from sklearn.decomposition import PCA
from sklearn.svm import LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import case
import tasks

warnings.filterwarnings("ignore")

CLASSES, TWO_CLASSES, NUMBERS = tasks.table(), tasks.table(classes=2), tasks.table(regression=True)
PLAIN, MAPS = {"zipmap": False}, {}

# name: (model, task, options of the export)
MODELS = {
    "tree": (DecisionTreeClassifier(max_depth=6), CLASSES, PLAIN),
    "tree_regressor": (DecisionTreeRegressor(max_depth=6), NUMBERS, None),
    "forest": (RandomForestClassifier(10, max_depth=6), CLASSES, PLAIN),
    "forest_of_two": (RandomForestClassifier(10, max_depth=6), TWO_CLASSES, PLAIN),
    "forest_regressor": (RandomForestRegressor(10, max_depth=6), NUMBERS, None),
    "extra_trees": (ExtraTreesClassifier(10, max_depth=7), CLASSES, PLAIN),
    "boosting": (GradientBoostingClassifier(n_estimators=15), CLASSES, PLAIN),
    "boosting_of_two": (GradientBoostingClassifier(n_estimators=20), TWO_CLASSES, PLAIN),
    "boosting_regressor": (GradientBoostingRegressor(n_estimators=30), NUMBERS, None),
    "logistic": (LogisticRegression(max_iter=1000), CLASSES, PLAIN),
    "logistic_of_two": (LogisticRegression(max_iter=1000), TWO_CLASSES, PLAIN),
    "linear": (LinearRegression(), NUMBERS, None),
    "ridge": (RidgeClassifier(), CLASSES, None),
    "svm": (make_pipeline(StandardScaler(), SGDClassifier(loss="hinge")), CLASSES, PLAIN),
    "svm_of_two": (make_pipeline(StandardScaler(), SGDClassifier(loss="hinge")), TWO_CLASSES, PLAIN),
    "svm_regressor": (make_pipeline(StandardScaler(), LinearSVR()), NUMBERS, None),
    "mlp": (make_pipeline(StandardScaler(), MLPClassifier(hidden_layer_sizes=(24, 12), max_iter=200)), CLASSES, PLAIN),
    "mlp_of_two": (make_pipeline(RobustScaler(), MLPClassifier(hidden_layer_sizes=(16,), activation="tanh")), TWO_CLASSES, PLAIN),
    "mlp_regressor": (make_pipeline(MinMaxScaler(), MLPRegressor(hidden_layer_sizes=(24, 12), max_iter=400)), NUMBERS, None),
    "scaled": (make_pipeline(StandardScaler(), MinMaxScaler(), LogisticRegression()), CLASSES, PLAIN),
    "normalized": (make_pipeline(MaxAbsScaler(), Normalizer(), LogisticRegression()), CLASSES, PLAIN),
    "principal": (make_pipeline(StandardScaler(), PCA(6), LogisticRegression()), CLASSES, PLAIN),
    "bayes": (make_pipeline(StandardScaler(), GaussianNB()), CLASSES, PLAIN),
    "logistic_zipmap": (LogisticRegression(max_iter=1000), CLASSES, MAPS),
}


def main():
    for name, (model, task, options) in MODELS.items():
        rng = np.random.default_rng(0)
        np.random.seed(0)
        [inputs], answers = task(rng, 2000)
        model.fit(inputs, answers.ravel())
        exported = to_onnx(model, inputs[:1], target_opset=18, options={id(model): options} if options else None)
        name = f"sklearn_{name}"
        onnx.save(exported, os.path.join(case.folder(name), "model.onnx"))
        rng = np.random.default_rng(1)
        [samples], _ = task(rng, case.SAMPLES)
        [tests], answers = task(rng, case.ITEMS)
        case.write(name, "skl2onnx, opset 18", [samples[:, None]], [tests[:, None]], answers)


main()
