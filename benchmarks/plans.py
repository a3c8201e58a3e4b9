"""Plans held to real conversions: ``python benchmarks/plans.py [--random 500] [--only NAME]``.

Each Keras model is planned from its ``config.json`` and converted by TensorFlow with weights that
are not zero. It compares the operators, the arena to the byte on four boards, and the file's size
after stripping; prints a table and what is not planned, and fails on a difference. With
``--keep DIR`` a second run converts nothing again. ``--interpreter 40`` also runs so many converted
files in TFLM's own interpreter, and holds the plan's arena on x86-64 to what that takes. Needs the
extra ``[tensorflow]``, and then ``[verify]``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pytest_tinybudget.boards import find_board
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.cross_check import cross_check
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.bounds import shared_bytes
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.strip import strip


BOARDS = ("arduino-nano-33-ble", "raspberry-pi-pico", "esp32", "nucleo-l4r5zi")


def named_models(keras: Any) -> dict[str, Callable[[], Any]]:
    """At least 60 models by name."""
    layers = keras.layers
    image, steps = (16, 16, 3), (24, 4)

    def chain(shape: tuple[int, ...], *body: Any) -> Any:
        return keras.Sequential([keras.Input(shape), *body])

    def conv(filters: int, kernel: Any = 3, **settings: Any) -> Any:
        return layers.Conv2D(filters, kernel, **settings)

    def norm_relu() -> list[Any]:
        return [layers.BatchNormalization(), layers.ReLU()]

    def ds_cnn(width: int) -> Any:
        body: list[Any] = [
            conv(width, (10, 4), strides=(2, 2), padding="same", use_bias=False), *norm_relu()
        ]  # fmt: skip
        for _ in range(4):
            body += [layers.DepthwiseConv2D(3, padding="same", use_bias=False), *norm_relu()]
            body += [conv(width, 1, padding="same", use_bias=False), *norm_relu()]
        body += [layers.Dropout(0.4), layers.AveragePooling2D((25, 5)), layers.Flatten()]
        return chain((49, 10, 1), *body, layers.Dense(12, activation="softmax"))

    def mobilenet_v1(alpha: float, size: int = 96) -> Any:
        def width(filters: int) -> int:
            return max(8, int(filters * alpha))

        body: list[Any] = [conv(width(32), strides=2, padding="same", use_bias=False), *norm_relu()]
        for filters, stride in (
            (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5,
            (1024, 2), (1024, 1),
        ):  # fmt: skip
            body.append(layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False))
            body += [*norm_relu(), conv(width(filters), 1, use_bias=False), *norm_relu()]
        body += [layers.GlobalAveragePooling2D(), layers.Dense(2), layers.Softmax()]
        return chain((size, size, 3), *body)

    def mobilenet_v2(alpha: float) -> Any:
        return keras.applications.MobileNetV2(
            (96, 96, 3), alpha=alpha, include_top=True, weights=None, classes=2
        )

    def autoencoder() -> Any:
        body: list[Any] = []
        for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
            body += [layers.Dense(units), layers.BatchNormalization(), layers.ReLU()]
        return chain((640,), *body, layers.Dense(640))

    def resnet8() -> Any:
        start = x = keras.Input((32, 32, 3))
        x = layers.ReLU()(layers.BatchNormalization()(conv(16, padding="same")(x)))
        for filters, stride in ((16, 1), (32, 2), (64, 2)):
            y = conv(filters, strides=stride, padding="same")(x)
            y = layers.ReLU()(layers.BatchNormalization()(y))
            y = layers.BatchNormalization()(conv(filters, padding="same")(y))
            if stride > 1:
                x = conv(filters, 1, strides=stride, padding="same")(x)
            x = layers.ReLU()(layers.Add()([x, y]))
        x = layers.Flatten()(layers.AveragePooling2D(8)(x))
        return keras.Model(start, layers.Dense(10, activation="softmax")(x))

    def squeeze_excite(*, dense: bool, activation: str = "sigmoid") -> Any:
        start = keras.Input(image)
        x = conv(8, padding="same", activation="relu")(start)
        s = layers.GlobalAveragePooling2D(keepdims=True)(x)
        if dense:
            s = layers.Dense(4, activation="relu")(s)
            s = layers.Dense(8, activation=activation)(s)
        else:
            s = conv(4, 1, activation="relu")(s)
            s = conv(8, 1, activation=activation)(s)
        x = layers.Multiply()([x, s])
        return keras.Model(start, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    def residual(activation: str = "relu") -> Any:
        start = keras.Input(image)
        x = conv(8, padding="same")(start)
        y = conv(8, padding="same", activation=activation)(x)
        y = conv(8, padding="same")(y)
        x = layers.Activation(activation)(layers.Add()([x, y]))
        return keras.Model(start, layers.Dense(3)(layers.Flatten()(x)))

    def tcn(padding: str) -> Any:
        start = keras.Input(steps)
        x = layers.Conv1D(8, 3, padding=padding, activation="relu")(start)
        for dilation in (1, 2, 4):
            y = layers.Conv1D(8, 3, padding=padding, dilation_rate=dilation)(x)
            y = layers.ReLU()(y)
            x = layers.Add()([x, y])
        return keras.Model(start, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))

    def transformer() -> Any:
        start = keras.Input((16, 8))
        x = layers.LayerNormalization()(start)
        x = layers.Add()([start, layers.MultiHeadAttention(2, 4)(x, x)])
        y = layers.LayerNormalization()(x)
        y = layers.Dense(16, activation="relu")(y)
        x = layers.Add()([x, layers.Dense(8)(y)])
        return keras.Model(start, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))

    def attention_pool() -> Any:
        start = keras.Input(steps)
        x = layers.Dense(8, activation="relu")(start)
        return keras.Model(start, layers.MultiHeadAttention(2, 4)(x, x))

    def dot_attention() -> Any:
        start = keras.Input(steps)
        x, y = layers.Dense(8)(start), layers.Dense(8)(start)
        return keras.Model(start, layers.Attention()([x, y]))

    def two_inputs() -> Any:
        first, second = keras.Input(image, name="image"), keras.Input((5,), name="state")
        x = layers.Flatten()(conv(4, strides=2)(first))
        x = layers.Dense(6, activation="relu")(x)
        y = layers.Dense(6, activation="relu")(second)
        return keras.Model([first, second], layers.Dense(2)(layers.Concatenate()([x, y])))

    def lstm_beside() -> Any:
        start = keras.Input(steps)
        flat = layers.Flatten()(start)
        parts = [layers.LSTM(6)(start), layers.Dense(5)(flat)]
        return keras.Model(
            start, layers.Dense(2)(layers.Concatenate()([*parts, layers.Dense(4)(flat)]))
        )

    def two_outputs() -> Any:
        start = keras.Input(image)
        x = layers.Flatten()(conv(4, strides=2, activation="relu")(start))
        return keras.Model(start, [layers.Dense(2, name="a")(x), layers.Dense(3, name="b")(x)])

    def inception() -> Any:
        start = keras.Input(image)
        parts = [
            conv(4, 1, activation="relu")(start),
            conv(4, 3, padding="same", activation="relu")(start),
            conv(4, 5, padding="same", activation="relu")(start),
        ]
        x = layers.Concatenate()(parts)
        return keras.Model(start, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))

    def unet() -> Any:
        start = keras.Input(image)
        a = conv(4, padding="same", activation="relu")(start)
        b = conv(8, padding="same", activation="relu")(layers.MaxPooling2D()(a))
        c = layers.Conv2DTranspose(4, 2, strides=2, padding="same")(b)
        x = layers.Concatenate()([a, c])
        return keras.Model(start, conv(2, 1)(x))

    def nested() -> Any:
        inner = keras.Sequential(
            [keras.Input((8, 8, 4)), conv(4, padding="same"), layers.ReLU()], name="block"
        )
        return chain((16, 16, 4), layers.MaxPooling2D(), inner, layers.Flatten(), layers.Dense(2))

    def inverted(stride: int) -> Any:
        start = keras.Input(image)
        x = conv(8, 1, padding="same", use_bias=False)(start)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.BatchNormalization()(conv(3, 1, use_bias=False)(x))
        if stride == 1:
            x = layers.Add()([start, x])
        return keras.Model(start, x)

    found: dict[str, Callable[[], Any]] = {
        "kws_ds_cnn": lambda: ds_cnn(64),
        "kws_ds_cnn_24": lambda: ds_cnn(24),
        "anomaly_autoencoder": autoencoder,
        "resnet8": resnet8,
        "mobilenet_v1_0.25": lambda: mobilenet_v1(0.25),
        "mobilenet_v1_0.5": lambda: mobilenet_v1(0.5),
        "mobilenet_v1_0.1_48": lambda: mobilenet_v1(0.1, 48),
        "mobilenet_v2_0.35": lambda: mobilenet_v2(0.35),
        "mobilenet_v2_0.5": lambda: mobilenet_v2(0.5),
        "se_dense": lambda: squeeze_excite(dense=True),
        "se_conv": lambda: squeeze_excite(dense=False),
        "residual": residual,
        "residual_relu6": lambda: residual("relu6"),
        "residual_tanh": lambda: residual("tanh"),
        "tcn_same": lambda: tcn("same"),
        "tcn_causal": lambda: tcn("causal"),
        "transformer": transformer,
        "multi_head": attention_pool,
        "dot_attention": dot_attention,
        "two_inputs": two_inputs,
        "two_outputs": two_outputs,
        "inception": inception,
        "unet": unet,
        "nested": nested,
        "inverted_1": lambda: inverted(1),
        "inverted_2": lambda: inverted(2),
        "lstm": lambda: chain(steps, layers.LSTM(6), layers.Dense(3)),
        "lstm_stacked": lambda: chain(
            steps, layers.LSTM(6, return_sequences=True), layers.LSTM(5), layers.Dense(3)
        ),
        "lstm_beside": lstm_beside,
        "lstm_sequences": lambda: chain(
            steps, layers.LSTM(6, return_sequences=True), layers.Dense(2)
        ),
        "lstm_backwards": lambda: chain(steps, layers.LSTM(6, go_backwards=True), layers.Dense(3)),
        "lstm_both_ways": lambda: chain(
            steps, layers.Bidirectional(layers.LSTM(6)), layers.Dense(3)
        ),
        "lstm_both_ways_sum": lambda: chain(
            steps,
            layers.Bidirectional(layers.LSTM(6, return_sequences=True), merge_mode="sum"),
            layers.GlobalAveragePooling1D(),
        ),
        "lstm_both_ways_stacked": lambda: chain(
            steps,
            layers.Conv1D(8, 3, activation="relu"),
            layers.Bidirectional(layers.LSTM(6, return_sequences=True)),
            layers.Bidirectional(layers.LSTM(5)),
            layers.Dense(3, activation="softmax"),
        ),
        "dense": lambda: chain((8,), layers.Dense(16, activation="relu"), layers.Dense(2)),
        "dense_bare": lambda: chain((8,), layers.Dense(16, use_bias=False), layers.Dense(2)),
        "dense_steps": lambda: chain(
            steps, layers.Dense(6, activation="relu"), layers.Dense(4, use_bias=False)
        ),
        "quickstart": lambda: chain(
            (16, 16, 1),
            conv(8, activation="relu"),
            layers.MaxPooling2D(),
            conv(16, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ),
        "conv1d": lambda: chain(
            steps,
            layers.Conv1D(8, 5, strides=2, activation="relu"),
            layers.MaxPooling1D(),
            layers.Conv1D(4, 3, activation="relu"),
            layers.GlobalAveragePooling1D(),
        ),
        "conv1d_norm": lambda: chain(
            steps,
            layers.Conv1D(8, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling1D(),
            layers.Flatten(),
            layers.Dense(2),
        ),
        "separable1d": lambda: chain(
            steps, layers.SeparableConv1D(6, 3, padding="same"), layers.DepthwiseConv1D(3)
        ),
        "transposed1d": lambda: chain(steps, layers.Conv1DTranspose(4, 3, strides=2)),
        "average1d": lambda: chain(
            steps, layers.AveragePooling1D(2), layers.ZeroPadding1D(1), layers.Conv1D(4, 3)
        ),
        "upsampling1d": lambda: chain(steps, layers.UpSampling1D(2), layers.Conv1D(3, 3)),
        "cropping1d": lambda: chain(steps, layers.Cropping1D((1, 2)), layers.Conv1D(3, 3)),
        "rectangular": lambda: chain(
            image, conv(6, (3, 5), strides=(2, 1), padding="same"), conv(4, (1, 7))
        ),
        "dilated": lambda: chain(
            image, conv(6, dilation_rate=2, padding="same"), conv(6, dilation_rate=(2, 3))
        ),
        "transposed": lambda: chain(
            image,
            layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(3, 2),
        ),
        "transposed_norm": lambda: chain(
            image,
            layers.Conv2DTranspose(4, 3, strides=2, padding="same", use_bias=False),
            *norm_relu(),
        ),
        "separable": lambda: chain(
            image,
            layers.SeparableConv2D(8, 3),
            layers.SeparableConv2D(8, 3, depth_multiplier=2, padding="same", activation="relu"),
        ),
        "depthwise_multiplier": lambda: chain(
            image, layers.DepthwiseConv2D(3, depth_multiplier=3, dilation_rate=2), layers.ReLU()
        ),
        "norm_first": lambda: chain(image, layers.BatchNormalization(), conv(4)),
        "norm_after_relu": lambda: chain(
            image, conv(4, activation="relu"), layers.BatchNormalization(), conv(4)
        ),
        "dense_norm": lambda: chain(
            (20,),
            layers.Dense(6),
            *norm_relu(),
            layers.Dense(4, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(4),
        ),
        "pooled_relu": lambda: chain(
            image,
            conv(4),
            layers.AveragePooling2D(2),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.ReLU(),
        ),
        "pooled_same": lambda: chain(
            image, layers.AveragePooling2D(3, 2, padding="same"), layers.MaxPooling2D((2, 1))
        ),
        "padded": lambda: chain(image, layers.ZeroPadding2D(1), conv(4, strides=2)),
        "padded_like_same": lambda: chain(
            image,
            layers.ZeroPadding2D(((0, 1), (0, 1))),
            layers.DepthwiseConv2D(3, strides=2, use_bias=False),
        ),
        "cropped": lambda: chain(image, layers.Cropping2D(1), conv(4)),
        "upsampled": lambda: chain(image, conv(2), layers.UpSampling2D(2), conv(2)),
        "upsampled_bilinear": lambda: chain(
            image, conv(2), layers.UpSampling2D(2, interpolation="bilinear")
        ),
        "rescaled": lambda: chain(image, layers.Rescaling(1 / 127.5, -1.0), conv(4)),
        "reshaped": lambda: chain(
            (64,),
            layers.Dense(32),
            layers.Reshape((4, 8)),
            layers.Permute((2, 1)),
            layers.Conv1D(3, 3),
        ),
        "global_max": lambda: chain(image, conv(5), layers.GlobalMaxPooling2D(), layers.Dense(2)),
        "activations": lambda: chain(
            image,
            conv(4),
            layers.LeakyReLU(),
            conv(4),
            layers.Activation("tanh"),
            conv(4),
            layers.Activation("hard_silu"),
            conv(4),
            layers.Activation("silu"),
            conv(4),
            layers.Activation("sigmoid"),
        ),
        "prelu_elu": lambda: chain(
            image, conv(4), layers.PReLU(shared_axes=[1, 2]), conv(4), layers.ELU(), conv(2)
        ),
        "layer_norm": lambda: chain(steps, layers.LayerNormalization(), layers.Dense(3)),
        "average_merge": lambda: _merge(keras, layers.Average()),
        "subtract_merge": lambda: _merge(keras, layers.Subtract()),
        "maximum_merge": lambda: _merge(keras, layers.Maximum()),
        "concatenated_sigmoid": lambda: _merge(keras, layers.Concatenate(), "sigmoid"),
        "concatenated_input": lambda: _with_input(keras),
        "one_filter_steps": lambda: chain(steps, layers.Conv1D(1, 3, padding="same")),
        "dense_bare_twice": lambda: chain(
            (1, 8, 4), layers.Dense(4, use_bias=False), layers.Dense(2, use_bias=False)
        ),
        "sum_of_rows": lambda: _rows_summed(keras),
        "residual_operator": lambda: _with_operator(keras),
        "permuted_relu": lambda: chain(
            (8, 8, 3), conv(4), layers.Permute((2, 1, 3)), layers.ReLU(), conv(2, 1)
        ),
        "kernels_beside": lambda: _kernels_beside(keras),
        "gru": lambda: chain((4, 3), layers.GRU(3)),
        "grouped": lambda: chain((8, 8, 4), conv(6, groups=2)),
        "gelu": lambda: chain(image, conv(4), layers.Activation("gelu")),
    }
    return found


def _merge(keras: Any, layer: Any, activation: str | None = None) -> Any:
    start = keras.Input((8, 8, 4))
    one = keras.layers.Conv2D(4, 3, padding="same")(start)
    other = keras.layers.Conv2D(4, 1, activation=activation)(start)
    return keras.Model(start, keras.layers.Conv2D(2, 1)(layer([one, other])))


def _rows_summed(keras: Any) -> Any:
    start = keras.Input((6,))
    one, other = (keras.layers.Dense(4, activation="relu")(start) for _ in range(2))
    return keras.Model(start, keras.layers.Add()([one, other]))


def _with_operator(keras: Any) -> Any:
    start = keras.Input((8, 8, 3))
    return keras.Model(start, keras.layers.Conv2D(3, 1)(start) + start)


def _kernels_beside(keras: Any) -> Any:
    layers = keras.layers
    start = keras.Input((24, 2))
    parts = [
        layers.GlobalMaxPooling1D()(layers.Conv1D(4, size, activation="relu")(start))
        for size in (3, 5, 7)
    ]
    return keras.Model(start, layers.Dense(2)(layers.Concatenate()(parts)))


def _with_input(keras: Any) -> Any:
    start = keras.Input((8, 8, 4))
    return keras.Model(start, keras.layers.Concatenate()([start, keras.layers.Conv2D(4, 1)(start)]))


_IMAGE_KINDS = (
    "conv", "conv", "depthwise", "separable", "residual", "pool", "norm", "act", "se", "branches",
    "pad", "transposed",
)  # fmt: skip
_MORE_IMAGE_KINDS = (
    "crop", "up", "merge", "merge", "own", "dense", "transposed_same", "rescale", "soft",
)  # fmt: skip
_STEP_KINDS = ("conv", "conv", "residual", "pool", "norm", "dense", "lstm", "act")
_MORE_STEP_KINDS = (
    "separable",
    "transposed",
    "attention",
    "layer_norm",
    "up",
    "permute",
    "merge",
    "crop",
)
_BOTH_WAYS = ("both_ways", "both_ways", "backwards")
#: From these seeds on all kinds of layers are drawn from, and LSTMs in both directions.
_WIDE_FROM, _BOTH_WAYS_FROM = 250, 70_000
#: What people write by hand that the kinds above do not reach: extents of 1, dense layers without
#: bias, rows that are added, gates, permutations, norms and activations behind reshapes.
_IDIOMS = ("one", "bare", "row", "gate", "turn", "rows", "pool_odd", "pad_odd", "twice")
#: With these seeds they are drawn from as well.
_IDIOM_SEEDS = range(62_000, 70_000)


def _image_idiom(keras: Any, chance: random.Random, kind: str, x: Any) -> Any:
    layers, pick = keras.layers, chance.choice
    rows, columns, channels = x.shape[1:]
    if kind == "one":
        kernel = pick((1, 3, (1, 3), (5, 1)))
        one = layers.Conv2D(1, kernel, padding="same", activation=pick((None, "relu", "sigmoid")))
        return pick((layers.Multiply, layers.Add, layers.Subtract))()([x, one(x)])
    if kind == "bare":
        for _ in range(2):
            x = layers.Dense(pick((3, 4)), use_bias=pick((False, False, True)))(x)
        return layers.Dense(4, activation=pick((None, "relu", "tanh")))(x)
    if kind == "row":
        row = layers.GlobalAveragePooling2D(keepdims=pick((True, False)))(x)
        if pick((True, False)):
            row = layers.Dense(channels, activation=pick((None, "relu", "sigmoid")))(row)
        if len(row.shape) == 2 and pick((True, False)):
            row = layers.Reshape((1, 1, channels))(row)
        merge = pick((layers.Add, layers.Multiply, layers.Subtract, layers.Average))()
        return merge([x, row] if pick((True, True, False)) else [row, x])
    if kind == "gate":
        dilation, padding = (
            pick((1, 2)),
            pick(("same", "valid") if min(rows, columns) > 5 else ("same",)),
        )
        parts = [
            layers.Conv2D(4, 3, padding=padding, dilation_rate=dilation, activation=each)(x)
            for each in ("tanh", pick(("sigmoid", "relu")))
        ]
        return layers.Multiply()(parts)
    if kind == "turn":
        order = pick(((2, 1, 3), (3, 1, 2), (1, 3, 2)))
        x = _act(keras, chance, layers.Permute(order)(x))
        return layers.Permute(order)(x) if pick((True, False)) else x
    if kind == "rows":
        x = layers.Reshape((rows * columns, channels))(x)
        x = _act(keras, chance, x)
        if pick((True, False)):
            x = layers.Dense(channels, use_bias=pick((True, False)))(x)
        return layers.Reshape((rows, columns, channels))(x)
    if kind == "pool_odd":
        pool = pick((layers.MaxPooling2D, layers.AveragePooling2D))
        return pool(pick((2, 3, (1, 2))), strides=pick((1, 2, 3)), padding="same")(x)
    if kind == "pad_odd":
        x = layers.ZeroPadding2D(((0, 1), (pick((0, 1)), 1)))(x)
        layer = pick((layers.Conv2D(4, 3, strides=2), layers.DepthwiseConv2D(3, strides=2)))
        return layer(x) if min(x.shape[1:3]) >= 3 else x
    y = layers.Conv2D(channels, 1, activation=pick((None, "relu")))(x)
    return pick((layers.Add, layers.Multiply))()(pick(([y, y], [y, x, y], [x, y])))


def _act(keras: Any, chance: random.Random, x: Any) -> Any:
    layers, pick = keras.layers, chance.choice
    return pick((layers.ReLU(), layers.Activation("tanh"), layers.BatchNormalization(),
                 layers.Rescaling(0.5, 1.0), layers.Activation("sigmoid")))(x)  # fmt: skip


def _steps_idiom(keras: Any, chance: random.Random, kind: str, x: Any) -> Any:
    layers, pick = keras.layers, chance.choice
    length, channels = x.shape[1:]
    if kind == "one":
        shape: dict[str, Any] = {"padding": "same", "activation": pick((None, "relu"))}
        layer = pick((layers.Conv1D, layers.SeparableConv1D))(1, pick((1, 3)), **shape)
        one = layer(x) if channels > 1 else layers.Conv1D(2, 3, **shape)(x)
        return (
            pick((layers.Multiply, layers.Add))()([x, one])
            if one.shape[-1] == 1 < channels
            else one
        )
    if kind == "bare":
        for _ in range(2):
            x = layers.Dense(pick((3, 4)), use_bias=pick((False, False, True)))(x)
        return layers.Dense(4, activation=pick((None, "relu", "tanh")))(x)
    if kind == "row":
        row = layers.GlobalAveragePooling1D(keepdims=pick((True, False)))(x)
        row = layers.Dense(channels, activation=pick((None, "sigmoid")))(row)
        return pick((layers.Add, layers.Multiply, layers.Maximum))()([x, row])
    if kind == "gate":
        shape = {"padding": "causal", "dilation_rate": pick((1, 2))}
        one = layers.Conv1D(channels, 2, activation="tanh", **shape)(x)
        other = layers.Conv1D(channels, 2, activation="sigmoid", **shape)(x)
        y = layers.Conv1D(channels, 1)(layers.Multiply()([one, other]))
        return layers.Add()([x, y])
    if kind == "turn":
        x = _act(keras, chance, layers.Permute((2, 1))(x))
        return layers.Permute((2, 1))(x) if pick((True, False)) else x
    if kind == "rows":
        x = _act(keras, chance, layers.Reshape((length, 1, channels))(x))
        return layers.Reshape((length, channels))(x)
    if kind == "pool_odd":
        pool = pick((layers.MaxPooling1D, layers.AveragePooling1D))
        return pool(pick((2, 3)), strides=pick((1, 2)), padding="same")(x)
    if kind == "pad_odd":
        return layers.Conv1D(4, 3)(layers.ZeroPadding1D((2, pick((0, 1))))(x))
    y = layers.Conv1D(channels, 1, activation="relu")(x)
    return pick((layers.Add, layers.Multiply))()(pick(([y, y], [y, x, y])))


def _ends_in_rows(keras: Any, chance: random.Random, x: Any) -> Any:
    """Rows that meet again, and perhaps a second output."""
    layers, pick = keras.layers, chance.choice
    units = pick((1, 4, 6))
    one = layers.Dense(units, activation=pick((None, "relu", "tanh")))(x)
    other = layers.Dense(units, activation=pick((None, "sigmoid")))(x)
    merge = pick((layers.Add, layers.Multiply, layers.Subtract, layers.Average, layers.Concatenate))
    both = merge()([one, other])
    return pick((both, layers.Dense(2)(both), [layers.Dense(2)(both), one]))


def _more_of_images(keras: Any, chance: random.Random, kind: str, x: Any) -> Any:
    layers, pick = keras.layers, chance.choice
    rows, columns, channels = x.shape[1:]
    if kind in _IDIOMS:
        return _image_idiom(keras, chance, kind, x)
    if kind == "crop" and min(rows, columns) > 4:
        return layers.Cropping2D(((pick((0, 1)), 1), (1, pick((0, 2)))))(x)
    if kind == "up" and rows < 24:
        return layers.UpSampling2D(2, interpolation=pick(("nearest", "bilinear")))(x)
    if kind == "merge":
        merge = pick((layers.Average, layers.Maximum, layers.Minimum, layers.Concatenate))()
        one = layers.Conv2D(channels, 1, activation=pick((None, "relu", "sigmoid")))(x)
        other = layers.Conv2D(channels, 3, padding="same", activation=pick((None, "relu")))(x)
        return merge([one, pick((other, other, x))])
    if kind == "own":
        return pick((layers.PReLU(shared_axes=[1, 2]), layers.ELU(), layers.Activation("silu"),
                     layers.Activation("gelu"), layers.LeakyReLU(0.1)))(x)  # fmt: skip
    if kind == "dense" and channels > 1:
        return layers.Dense(pick((3, 4)), activation=pick((None, "relu")))(x)
    if kind == "transposed_same" and rows < 24:
        return layers.Conv2DTranspose(3, 3, strides=2, padding="same", use_bias=False)(x)
    if kind == "rescale":
        return layers.Rescaling(0.5, pick((0.0, -1.0)))(x)
    if kind == "soft":
        return layers.Softmax()(x)
    return x


def _more_of_steps(keras: Any, chance: random.Random, kind: str, x: Any) -> Any:
    layers, pick = keras.layers, chance.choice
    length, channels = x.shape[1:]
    if kind in _IDIOMS:
        return _steps_idiom(keras, chance, kind, x)
    if kind == "separable":
        return layers.SeparableConv1D(pick((4, 6)), 3, padding="same")(x)
    if kind == "transposed" and length < 40:
        return layers.Conv1DTranspose(4, 2, strides=2)(x)
    if kind == "attention" and channels > 1:
        return layers.MultiHeadAttention(2, 4)(x, x)
    if kind == "layer_norm":
        return layers.LayerNormalization()(x)
    if kind == "up" and length < 40:
        return layers.UpSampling1D(2)(x)
    if kind == "permute":
        return layers.Permute((2, 1))(x)
    if kind == "crop" and length > 6:
        return layers.Cropping1D((1, pick((0, 2))))(x)
    if kind == "merge":
        one = layers.Conv1D(channels, 3, padding="same", activation=pick((None, "relu")))(x)
        merge = pick((layers.Average, layers.Maximum, layers.Concatenate, layers.Multiply))()
        return merge([one, layers.Conv1D(channels, 1)(x)])
    return x


def random_model(keras: Any, seed: int) -> Any:
    """A random network: of images or of steps, with branches."""
    layers, chance = keras.layers, random.Random(seed)
    pick = chance.choice
    kinds: tuple[str, ...] = _IMAGE_KINDS + _MORE_IMAGE_KINDS * (seed >= _WIDE_FROM)
    with_idioms = seed in _IDIOM_SEEDS
    if chance.random() < 0.3:
        kinds = _STEP_KINDS + _MORE_STEP_KINDS * (seed >= _WIDE_FROM)
        kinds += _BOTH_WAYS * (seed >= _BOTH_WAYS_FROM) + _IDIOMS * 2 * with_idioms
        return _random_steps(keras, chance, kinds, with_idioms=with_idioms)
    extents = (1, 2, 8, 8, 12, 15) if with_idioms else (8, 12, 15, 20)
    start = x = keras.Input((pick(extents), pick(extents), pick((1, 2, 3, 4))))
    for _ in range(chance.randint(2, 7)):
        kind = pick(kinds + _IDIOMS + _IDIOMS if with_idioms else kinds)
        rows, columns, channels = x.shape[1:]
        small = min(rows, columns) < 5
        padding = "same" if small else pick(("same", "valid"))
        if kind == "conv":
            kernel = (pick((1, 2, 3)), pick((1, 3, 5)))
            dilation = pick((1, 1, 2)) if not small else 1
            stride = 1 if dilation > 1 else pick((1, 1, 2))
            if (max(kernel) - 1) * dilation + 1 > min(rows, columns):
                padding = "same"
            x = layers.Conv2D(
                pick((3, 4, 8, 10)), kernel if not small else 1, strides=stride, padding=padding,
                dilation_rate=dilation, use_bias=pick((True, False)),
                activation=pick((None, "relu", "relu6")),
            )(x)  # fmt: skip
        elif kind == "depthwise":
            x = layers.DepthwiseConv2D(
                3 if not small else 1, strides=pick((1, 2)), padding=padding,
                depth_multiplier=pick((1, 1, 2)), use_bias=pick((True, False)),
            )(x)  # fmt: skip
        elif kind == "separable":
            x = layers.SeparableConv2D(pick((4, 6)), 3, padding="same")(x)
        elif kind == "residual":
            y = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
            y = layers.Conv2D(channels, pick((1, 3)), padding="same")(y)
            x = pick((layers.Add, layers.Multiply, layers.Subtract))()([x, y])
        elif kind == "pool" and not small:
            x = pick((layers.MaxPooling2D, layers.AveragePooling2D))(2, padding=padding)(x)
        elif kind == "norm":
            x = layers.BatchNormalization()(x)
        elif kind == "act":
            x = pick((layers.ReLU(), layers.ReLU(6.0), layers.LeakyReLU(),
                      layers.Activation("tanh"), layers.Activation("sigmoid"),
                      layers.Activation("hard_silu")))(x)  # fmt: skip
        elif kind == "se":
            s = layers.GlobalAveragePooling2D(keepdims=True)(x)
            s = layers.Dense(2, activation="relu")(s)
            x = layers.Multiply()([x, layers.Dense(channels, activation="sigmoid")(s)])
        elif kind == "branches":
            parts = [
                layers.Conv2D(pick((2, 4)), kernel, padding="same")(x)
                for kernel in (1, 3, 5)[: pick((2, 3))]
            ]
            x = layers.Concatenate()(parts)
        elif kind == "pad":
            x = layers.ZeroPadding2D(1)(x)
        elif kind == "transposed" and rows < 24:
            x = layers.Conv2DTranspose(pick((2, 4)), 2, strides=2)(x)
        else:
            x = _more_of_images(keras, chance, kind, x)
    ends = (layers.GlobalAveragePooling2D(), layers.Flatten(), layers.GlobalMaxPooling2D())
    if with_idioms and pick((True, False)):
        return keras.Model(start, _ends_in_rows(keras, chance, pick(ends)(x)))
    x = layers.Dense(pick((2, 10)), activation=pick((None, "softmax")))(pick(ends)(x))
    return keras.Model(start, x)


def _random_steps(
    keras: Any, chance: random.Random, kinds: Sequence[str], *, with_idioms: bool
) -> Any:
    layers, pick = keras.layers, chance.choice
    start = x = keras.Input((pick((16, 24, 31)), pick((1, 3, 4, 8))))
    for _ in range(chance.randint(2, 5)):
        kind = pick(kinds)
        length, channels = x.shape[1:]
        if kind == "conv":
            x = layers.Conv1D(
                pick((4, 6, 8)), 3, padding=pick(("same", "causal")),
                dilation_rate=pick((1, 2)), activation=pick((None, "relu")),
            )(x)  # fmt: skip
        elif kind == "residual":
            y = layers.Conv1D(channels, 3, padding="same", activation="relu")(x)
            x = layers.Add()([x, y])
        elif kind == "pool" and length >= 8:
            x = pick((layers.MaxPooling1D, layers.AveragePooling1D))(2)(x)
        elif kind == "norm":
            x = layers.BatchNormalization()(x)
        elif kind == "dense":
            x = layers.Dense(pick((4, 6)), activation=pick((None, "relu")))(x)
        elif kind == "lstm":
            x = layers.LSTM(pick((4, 5)), return_sequences=True)(x)
        elif kind == "act":
            x = layers.ReLU()(x)
        elif kind == "both_ways":
            merge = pick(("concat", "concat", "sum", "mul", "ave"))
            side = layers.LSTM(pick((3, 4)), return_sequences=True)
            x = layers.Bidirectional(side, merge_mode=merge)(x)
        elif kind == "backwards":
            x = layers.LSTM(4, go_backwards=True, return_sequences=True)(x)
        else:
            x = _more_of_steps(keras, chance, kind, x)
    ends = (layers.GlobalAveragePooling1D(), layers.Flatten(), layers.LSTM(3))
    if with_idioms and pick((True, False)):
        return keras.Model(start, _ends_in_rows(keras, chance, pick(ends)(x)))
    return keras.Model(start, layers.Dense(3)(pick(ends)(x)))


class Converter:
    """Converts many models in one process, as the product's worker does each."""

    def __init__(self) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
        import keras
        import numpy as np

        self.keras, self.numpy = keras, np
        self.random = np.random.default_rng(7)

    def convert(self, model: Any, numbers: Numbers = "int8") -> bytes:
        """TF Lite of a model with random weights, full-integer unless ``numbers`` is float."""
        from pytest_tinybudget.convert.files import Job
        from pytest_tinybudget.convert.worker import keras_source
        from pytest_tinybudget.convert.worker.lstm_scales import with_lstm_scales
        from pytest_tinybudget.convert.worker.problem import InputSpec
        from pytest_tinybudget.convert.worker.tensorflow_backend import TensorFlowModel

        for weights in model.weights:
            values = self.random.normal(0, 0.5, weights.shape).astype("float32")
            weights.assign(self.numpy.abs(values) + 0.5 if "variance" in weights.path else values)
        rebuilt, changes = keras_source._without_loops(model, {})
        inputs = [
            InputSpec(each.name, (1, *each.shape[1:]), str(each.dtype)) for each in rebuilt.inputs
        ]
        call = keras_source._flat_call(rebuilt)
        traced = TensorFlowModel(inputs, call, changes.fused, [], rebuilt, rebuilt)
        job = Job(
            source="", kind="keras", shown="model", root="", data_path=None, data_function=None,
            custom_objects=None, strip=False, per_channel_dense=numbers == "int8",
            activations="int16" if numbers == "int16" else "int8",
            timeout_seconds=300, memory_bytes=0,
        )  # fmt: skip
        if numbers == "float":
            with tempfile.TemporaryDirectory() as folder:
                converter = traced._converter(folder)
                converter.exclude_conversion_metadata = True
                return bytes(converter.convert())
        samples = [
            [self.random.normal(size=each.shape).astype("float32") for each in inputs]
            for _ in range(3)
        ]
        return with_lstm_scales(traced.convert(samples, job), traced.schema)

    def config(self, model: Any) -> Any:
        """What ``config.json`` of a saved model holds."""
        return json.loads(json.dumps(self.keras.saving.serialize_keras_object(model)))


class Comparison:
    """Counts what is equal, and prints what is not."""

    def __init__(self, numbers: Numbers, *, verbose: bool, runs: int = 0) -> None:
        self.numbers, self.verbose = numbers, verbose
        #: How many more files are run in TFLM's interpreter.
        self.runs = runs
        self.run = self.refused = 0
        boards = [find_board(each) for each in BOARDS]
        self.firmwares = firmwares_of(boards)
        self.equal = self.different = self.smaller = 0
        self.unplanned: list[str] = []
        self.failed: list[str] = []

    def attempt(self, name: str, kept: Kept) -> None:
        """Compare one model; whatever goes wrong counts as a difference."""
        try:
            self.compare(name, kept.config(name), partial(kept.conversion, name))
        except Exception:
            self.different += 1
            print(f"{name:24} failed: {traceback.format_exc().splitlines()[-1]}")
            if self.verbose:
                traceback.print_exc(file=sys.stdout)

    def compare(self, name: str, config: Any, convert: Callable[[], bytes]) -> None:
        """Plan and convert one model."""
        started = time.perf_counter()
        per_channel = self.numbers == "int8"
        try:
            network = network_of(config, self.numbers, per_channel_dense=per_channel)
            planned = planned_model(network, name)
        except NotPlannedError as error:
            self.unplanned.append(f"{name}: {error.message.partition('not planned: ')[2]}")
            print(f"{name:24} not planned: {error.message.partition('not planned: ')[2]}")
            return
        milliseconds = (time.perf_counter() - started) * 1000
        try:
            converted = strip(read_model(convert(), name)).model
        except Exception as error:  # the converter raises anything; the model then counts as none
            self.failed.append(f"{name}: {str(error).splitlines()[0][:100]}")
            print(f"{name:24} is not converted: {str(error).splitlines()[0][:100]}")
            return
        if has_dead_layer(converted):
            self.failed.append(f"{name}: a layer that is 0 for all samples has no scale")
            print(f"{name:24} is not compared: a layer that is 0 for all samples has no scale")
            return
        arenas = [self.arenas(planned), self.arenas(converted)]
        problems = []
        if operators(planned) != operators(converted):
            problems.append("operators")
        if shapes(planned) != shapes(converted):
            problems.append("tensors")
        if arenas[0] != arenas[1]:
            problems.append(f"arena {arenas[0]} instead of {arenas[1]}")
        saved = planned.bytes - converted.bytes
        if not 0 <= saved <= shared_bytes(converted):
            problems.append(f"file {planned.bytes} instead of {converted.bytes}")
        if self.runs and not problems:
            problems += self.interpreted(planned, converted)
        self.equal += not problems
        self.smaller += bool(saved) and not problems
        self.different += bool(problems)
        chance = f", {saved} B smaller by constants that happen to be equal" if saved else ""
        verdict = "; ".join(problems) or f"equal{chance}"
        sizes = " ".join(f"{each:>7,}" if each else "refused" for each in arenas[1])
        count = len(converted.main.operators)
        print(
            f"{name:24} {count:3} {converted.bytes:>9,} {sizes}  {milliseconds:5.1f} ms  {verdict}"
        )
        if problems and self.verbose:
            for title, model in (("planned", planned), ("converted", converted)):
                print(f"  {title}: {' '.join(operators(model))}")
                print(f"    {shapes(model)}")
        sys.stdout.flush()

    def summary(self) -> None:
        """Print the counts, and what was not compared."""
        print(
            f"\n{self.numbers}: equal {self.equal} (of these {self.smaller} a little smaller by "
            f"constants that happen to be equal), different {self.different}"
        )
        if self.run or self.refused:
            print(f"in TFLM's interpreter: equal {self.run}, refused as planned {self.refused}")
        print(f"not converted {len(self.failed)}, not planned {len(self.unplanned)}:")
        for line in [*self.failed, *self.unplanned]:
            print(f"  {line}")

    def interpreted(self, planned: Model, converted: Model) -> list[str]:
        """What differs between the plan's arena and what TFLM's interpreter gives the file."""
        self.runs -= 1
        arena = simulate(planned, RUNTIMES["x86_64_ref"]).arena
        real = cross_check(converted)
        if real.failure or arena is None:
            self.refused += 1
            same = bool(real.failure) == (arena is None)
            return [] if same else [f"TFLM's interpreter: {real.failure or 'runs it'}"]
        self.run += 1
        if real.head == arena.head:
            return []
        return [f"a head of {arena.head} instead of {real.head} in TFLM's interpreter"]

    def arenas(self, model: Model) -> list[int]:
        """The arena on each board, 0 where TFLM refuses the model."""
        footprints = (measure(model, self.firmwares[each]) for each in BOARDS)
        return [each.arena.required if each.arena else 0 for each in footprints]


def has_dead_layer(model: Model) -> bool:
    """Whether a ReLU let nothing through in calibration: a 16-bit file has infinite scales then.

    TFLM refuses it, and random weights make some.
    """
    scales = [scale for each in model.main.tensors for scale in each.quantization.scales]
    return any(math.isinf(each) for each in scales)


def operators(model: Model) -> list[str]:
    """Names with versions and fused activations, in order.

    The version of MUL is 2 or 3 by the scales that calibration finds.
    """
    return [
        f"{each.name}v{'' if each.name == 'MUL' else each.version}:"
        f"{each.options.get('fused_activation_function', '')}"
        for each in model.main.operators
    ]


def shapes(model: Model) -> list[str]:
    """What is computed, in the order in which operators name it; then constants, sorted."""
    main = model.main
    named = [
        *main.inputs,
        *(each for one in main.operators for each in (*one.inputs, *one.outputs)),
    ]
    tensors = [main.tensors[each] for each in dict.fromkeys(named) if each >= 0]
    flowing = [f"{each.type}{list(each.shape)}" for each in tensors if not len(each.data)]
    constants = sorted(
        f"{each.type}{list(each.shape)}x{len(each.quantization.scales)}"
        for each in tensors
        if len(each.data)
    )
    return [*flowing, "|", *constants]


class Kept:
    """Models by name: their config and conversion are in a folder, where they were made before."""

    def __init__(self, folder: Path | None, numbers: Numbers) -> None:
        self.folder, self.numbers = folder, numbers
        self._converter: Converter | None = None
        self._made = 0

    @property
    def converter(self) -> Converter:
        """Made where it is needed: TensorFlow takes seconds to import."""
        if self._converter is None:
            self._converter = Converter()
        return self._converter

    def names(self, only: Sequence[str], seeds: Sequence[int]) -> list[str]:
        """The models that are asked for."""
        named = [each for each in self._named_list() if not only or each in only]
        return named + [f"random_{each}" for each in seeds]

    def _named_list(self) -> list[str]:
        path = self.folder / "names.json" if self.folder else None
        if path is not None and path.exists():
            return list(json.loads(path.read_text()))
        names = list(named_models(self.converter.keras))
        if path is not None:
            path.write_text(json.dumps(names))
        return names

    def config(self, name: str) -> Any:
        """What ``config.json`` holds."""
        path = self.folder / f"{name}.json" if self.folder else None
        if path is not None and path.exists():
            return json.loads(path.read_text())
        config = self.converter.config(self._make(name))
        if path is not None:
            path.write_text(json.dumps(config))
        return config

    def conversion(self, name: str) -> bytes:
        """The model's ``.tflite``."""
        path = self.folder / f"{name}.{self.numbers}.tflite" if self.folder else None
        if path is not None and path.exists():
            return path.read_bytes()
        content = self.converter.convert(self._make(name), self.numbers)
        if path is not None:
            path.write_bytes(content)
        return content

    def _make(self, name: str) -> Any:
        keras = self.converter.keras
        keras.backend.clear_session()
        if name.startswith("random_"):
            return random_model(keras, int(name.removeprefix("random_")))
        return named_models(keras)[name]()


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all; 1 where anything is different."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=500, help="random architectures")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", nargs="*", default=[], help="names of models")
    parser.add_argument("--numbers", choices=("int8", "int16", "float"), default="int8")
    parser.add_argument("--keep", type=Path, help="folder of configs and conversions made before")
    parser.add_argument("--interpreter", type=int, default=0, help="so many run in TFLM's as well")
    parser.add_argument("--verbose", action="store_true", help="show what differs")
    given = parser.parse_args(arguments)
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    kept = Kept(given.keep, given.numbers)
    comparison = Comparison(given.numbers, verbose=given.verbose, runs=given.interpreter)
    print(f"{'model':24} ops  stripped {' '.join(each[:7].rjust(7) for each in BOARDS)}   plan")
    seeds = range(given.seed, given.seed + given.random)
    for name in kept.names(given.only, seeds):
        comparison.attempt(name, kept)
    comparison.summary()
    return 1 if comparison.different else 0


if __name__ == "__main__":
    sys.exit(main())
