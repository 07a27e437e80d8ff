"""Trains networks with TensorFlow Model Optimization, which simulates integers, and exports them with tf2onnx."""

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf2onnx
from tf_keras import Input, Model, Sequential, layers as L, losses, optimizers, utils

import case
import tasks


def plain():
    return Sequential([
        Input((16, 16, 1)), L.Conv2D(8, 3, 2, "same", activation="relu"), L.DepthwiseConv2D(3, 1, "same", activation="relu"),
        L.Conv2D(12, 3, 2, "same", activation="relu"), L.MaxPooling2D(2), L.Flatten(), L.Dense(16, "relu"), L.Dense(4)
    ])


def mixed():
    def conv_bn(x, filters, kernel, stride=1):
        x = L.Conv2D(filters, kernel, stride, "same", use_bias=False)(x)
        return L.BatchNormalization()(x)

    x = inputs = Input((16, 16, 1))
    x = L.ReLU()(conv_bn(x, 8, 3, 2))
    y = L.ReLU()(L.BatchNormalization()(L.DepthwiseConv2D(3, 1, "same", use_bias=False)(x)))
    x = L.ReLU()(L.Add()([x, conv_bn(y, 8, 1)]))
    x = L.Concatenate()([L.ReLU(6.0)(conv_bn(x, 8, 3, 2)), L.MaxPooling2D()(x)])
    return Model(inputs, L.Dense(4, "softmax")(L.GlobalAveragePooling2D()(x)))


# Network, whether it gives logits, opset, layers in float: the softmax.
NETWORKS = {"plain": (plain, True, 13, 0), "mixed": (mixed, False, 17, 2)}


def task(rng, count):
    [x], classes = tasks.gratings()(rng, count)
    return np.moveaxis(x, 1, -1), classes


def train(network, inputs, classes, from_logits, epochs):
    network.compile(optimizers.Adam(8e-3), losses.SparseCategoricalCrossentropy(from_logits))
    network.fit(inputs, classes, 64, epochs=epochs, verbose=0)


def main():
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name, (make, from_logits, opset, left_in_float) in NETWORKS.items():
        utils.set_random_seed(0)
        inputs, classes = task(np.random.default_rng(0), 3000)
        network = make()
        train(network, inputs, classes, from_logits, 8)
        network = tfmot.quantization.keras.quantize_model(network)
        train(network, inputs, classes, from_logits, 3)
        name = f"quantized_tfmot_{name}"
        path = os.path.join(case.folder(name), "model.onnx")
        signature = [tf.TensorSpec((1, 16, 16, 1), tf.float32, name="x")]
        tf2onnx.convert.from_keras(network, signature, opset=opset, output_path=path)
        tests, classes = task(np.random.default_rng(2), case.ITEMS)
        case.write(name, f"TF Model Optimization, tf2onnx, opset {opset}", None, [tests[:, None]], classes, left_in_float)


main()
