"""Trains networks with Keras and exports them with tf2onnx."""

import os

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1"}

import numpy as np
import tensorflow as tf
import tf2onnx
from tensorflow.keras import Sequential, layers as L

import case
import tasks


def convolutional():
    return Sequential([
        L.Conv2D(8, 3, 2, "same", use_bias=False), L.BatchNormalization(), L.ReLU(6.0), L.DepthwiseConv2D(3, 1, "same"),
        L.BatchNormalization(), L.ReLU(), L.SeparableConv2D(12, 3, 2, "same"), L.ReLU(), L.GlobalAveragePooling2D(),
        L.Dropout(0.1), L.Dense(4, "softmax")
    ])


def flat():
    return Sequential([
        L.Conv2D(6, (4, 3), padding="valid", activation="relu"), L.MaxPooling2D(2), L.ZeroPadding2D(1),
        L.Conv2D(8, 3, strides=2, activation="elu"), L.AveragePooling2D(2, padding="same"), L.Flatten(),
        L.Dense(16, "swish"), L.Dense(4)
    ])


def residual():
    x = inputs = tf.keras.Input((16, 16, 1))
    x = L.Conv2D(8, 3, 2, "same", activation="relu")(x)
    y = L.Conv2D(8, 3, 1, "same", activation="relu")(x)
    x = L.Add()([x, L.Conv2D(8, 3, 1, "same")(y)])
    scale = L.Dense(8, "hard_sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))
    x = L.Concatenate()([L.Multiply()([x, scale]), x])
    return tf.keras.Model(inputs, L.Dense(4)(L.GlobalMaxPooling2D()(L.LeakyReLU(0.2)(x))))


def causal():
    layers = [L.Conv1D(12, 3, padding="causal", dilation_rate=d, activation="relu") for d in (1, 2, 4)]
    return Sequential([*layers, L.GlobalAveragePooling1D(), L.Dense(4)])


def recurrent(layer):
    return Sequential([layer, L.Dense(4)])


def attention():
    x = inputs = tf.keras.Input((32, 4))
    x = L.Conv1D(16, 4, 4)(x)
    y = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 8)(y, y)])
    y = L.Dense(32, "gelu")(L.LayerNormalization()(x))
    x = L.Add()([x, L.Dense(16)(y)])
    return tf.keras.Model(inputs, L.Dense(4)(L.GlobalAveragePooling1D()(x)))


def unet():
    x = inputs = tf.keras.Input((16, 16, 1))
    high = L.Conv2D(8, 3, padding="same", activation="relu")(x)
    low = L.Conv2D(12, 3, padding="same", activation="relu")(L.MaxPooling2D()(high))
    lowest = L.Conv2D(16, 3, padding="same", activation="relu")(L.MaxPooling2D()(low))
    x = L.Concatenate()([low, L.UpSampling2D(2, interpolation="bilinear")(lowest)])
    x = L.Conv2D(12, 3, padding="same", activation="relu")(x)
    x = L.Concatenate()([high, L.Conv2DTranspose(8, 3, 2, "same")(x)])
    return tf.keras.Model(inputs, L.Permute((3, 1, 2))(L.Conv2D(2, 1)(x)))


def autoencoder():
    widths = [(24, "tanh"), (6, "tanh"), (24, "tanh"), (32, "sigmoid")]
    return Sequential([L.Dense(width, activation) for width, activation in widths])


def embedded():
    return Sequential([L.Embedding(20, 8), L.GlobalAveragePooling1D(), L.Dense(16, "relu"), L.Dense(4)])


def channels_last(task):
    def make(rng, count):
        [x], answers = task(rng, count)
        return [np.moveaxis(x, 1, -1)], answers

    return make


IMAGES, FRAMES, IDS = channels_last(tasks.gratings()), tasks.waves(frames=True), tasks.tokens(dtype=np.int32)

NETWORKS = {
    "convolutional": (convolutional, IMAGES, 17),
    "flat": (flat, IMAGES, 13),
    "residual": (residual, IMAGES, 15),
    "causal": (causal, FRAMES, 17),
    "gru": (lambda: recurrent(L.GRU(12)), FRAMES, 17),
    "gru_before": (lambda: recurrent(L.GRU(12, reset_after=False)), FRAMES, 17),
    "lstm": (lambda: recurrent(L.LSTM(12)), FRAMES, 13),
    "lstm_both_ways": (lambda: recurrent(L.Bidirectional(L.LSTM(10))), FRAMES, 17),
    "rnn": (lambda: recurrent(L.SimpleRNN(12)), tasks.waves(length=16, frames=True), 17),
    "attention": (attention, FRAMES, 17),
    "unet": (unet, channels_last(tasks.discs()), 17),
    "autoencoder": (autoencoder, tasks.manifold(), 17),
    "embedding": (embedded, IDS, 17),
}


def main():
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name, (make, task, opset) in NETWORKS.items():
        tf.keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        [inputs], answers = task(rng, 3000)
        network = make()
        network.build((None, *inputs.shape[1:]))
        probabilities = network.layers[-1].get_config().get("activation") == "softmax"
        crossentropy = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=not probabilities)
        loss = "mse" if answers.dtype.kind == "f" else crossentropy
        if answers.ndim == 3 and answers.dtype.kind == "i":
            loss = lambda y, scores: crossentropy(y, tf.transpose(scores, (0, 2, 3, 1)))
        network.compile(tf.keras.optimizers.Adam(8e-3), loss)
        network.fit(inputs, answers, 64, epochs=8, verbose=0)
        # Every second one with any batch.
        batch = None if len(name) % 2 else 1
        signature = [tf.TensorSpec((batch, *inputs.shape[1:]), inputs.dtype, name="x")]
        name = f"keras_{name}"
        path = os.path.join(case.folder(name), "model.onnx")
        tf2onnx.convert.from_keras(network, signature, opset=opset, output_path=path)
        rng = np.random.default_rng(1)
        [samples], _ = task(rng, case.SAMPLES)
        [tests], answers = task(rng, case.ITEMS)
        about = f"tf2onnx, opset {opset}" + ("" if batch else ", any batch")
        case.write(name, about, [samples[:, None]], [tests[:, None]], answers)


main()
