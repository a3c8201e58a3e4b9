"""The architectures of ``torch_models.py`` in Keras, as ``.keras`` and as its LiteRT export.

``python benchmarks/keras_models.py FOLDER`` writes them, with random weights and batch norms whose
statistics were learned from random data, and a ``NAME.npz`` of calibration data. Sizes and verdicts
count, accuracies do not. Needs the extra ``[tensorflow]``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import keras
import numpy as np
from writing_models import write_models


layers = keras.layers
_SAMPLES = 64


def _conv(filters: int, kernel: Any, stride: int = 1, padding: str = "same") -> list[Any]:
    conv = layers.Conv2D(filters, kernel, stride, padding=padding, use_bias=False)
    return [conv, layers.BatchNormalization(), layers.ReLU()]


def _separable(filters: int, stride: int = 1) -> list[Any]:
    depthwise = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)
    return [depthwise, layers.BatchNormalization(), layers.ReLU(), *_conv(filters, 1)]


def _through(body: list[Any], value: Any) -> Any:
    for layer in body:
        value = layer(value)
    return value


def ds_cnn() -> Any:
    """Keyword spotting, 49 frames of 10 coefficients."""
    body = [*_conv(64, (10, 4), 2), *(each for _ in range(4) for each in _separable(64))]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(12, activation="softmax")]
    return keras.Sequential([keras.Input((49, 10, 1)), *body, *head])


def mobilenet() -> Any:
    """MobileNetV1 0.25 for 96x96 gray images."""
    steps = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *(((128, 1),) * 5),
             (256, 2), (256, 1))  # fmt: skip
    body = [*_conv(8, 3, 2), *(each for step in steps for each in _separable(*step))]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")]
    return keras.Sequential([keras.Input((96, 96, 1)), *body, *head])


def resnet8() -> Any:
    """ResNet-8 for 32x32 color images."""
    start = keras.Input((32, 32, 3))
    maps = _through(_conv(16, 3), start)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        made = _through([*_conv(filters, 3, stride), *_conv(filters, 3)[:2]], maps)
        short = layers.Conv2D(filters, 1, stride)(maps) if stride > 1 else maps
        maps = layers.ReLU()(layers.Add()([made, short]))
    maps = layers.GlobalAveragePooling2D()(maps)
    return keras.Model(start, layers.Dense(10, activation="softmax")(maps))


def imu() -> Any:
    """A 1-D network for 128 samples of six axes."""
    return keras.Sequential(
        [
            keras.Input((128, 6)),
            layers.Conv1D(16, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(32, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def tcn() -> Any:
    """Dilated causal convolutions over 64 steps of 8 features."""
    start = keras.Input((64, 8))
    maps = layers.Conv1D(24, 1)(start)
    for level in range(4):
        made = layers.Conv1D(
            24, 3, dilation_rate=2**level, padding="causal", activation="relu"
        )(maps)  # fmt: skip
        maps = layers.Add()([maps, made])
    maps = layers.GlobalAveragePooling1D()(maps)
    return keras.Model(start, layers.Dense(4, activation="softmax")(maps))


def squeeze_excite() -> Any:
    """Depthwise-separable layers with squeeze and excitation."""

    def excited(maps: Any) -> Any:
        scale = layers.GlobalAveragePooling2D(keepdims=True)(maps)
        scale = layers.Conv2D(8, 1, activation="relu")(scale)
        scale = layers.Conv2D(maps.shape[-1], 1, activation="sigmoid")(scale)
        return layers.Multiply()([maps, scale])

    start = keras.Input((48, 48, 3))
    maps = excited(_through([*_conv(8, 3, 2), *_separable(16)], start))
    maps = excited(_through(_separable(32, 2), maps))
    maps = layers.GlobalAveragePooling2D()(maps)
    return keras.Model(start, layers.Dense(4, activation="softmax")(maps))


def autoencoder() -> Any:
    """The dense autoencoder of 640 features."""
    sizes = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640)
    body: list[Any] = []
    for _, units in pairwise(sizes[:-1]):
        body += [layers.Dense(units), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([keras.Input((640,)), *body, layers.Dense(640)])


def two_inputs() -> Any:
    """An image and numbers; classes and a position."""
    picture, numbers = keras.Input((16, 16, 1), name="picture"), keras.Input((4,), name="numbers")
    body = [*_conv(8, 3, padding="valid"), layers.MaxPooling2D(), layers.GlobalAveragePooling2D()]
    both = layers.Concatenate()([_through(body, picture), layers.Dense(8)(numbers)])
    outputs = [layers.Dense(3, activation="softmax")(both), layers.Dense(2)(both)]
    return keras.Model([picture, numbers], outputs)


def _recurrent(layer: Any) -> Any:
    body = [layer(20), layers.Dense(4, activation="softmax")]
    return keras.Sequential([keras.Input((32, 6)), *body])


def _transformer(activation: str) -> Any:
    start = keras.Input((16, 32))
    tokens = layers.Add()([start, layers.MultiHeadAttention(2, 16)(start, start)])
    tokens = layers.LayerNormalization()(tokens)
    hidden = layers.Dense(32)(layers.Dense(64, activation=activation)(tokens))
    tokens = layers.LayerNormalization()(layers.Add()([tokens, hidden]))
    tokens = layers.GlobalAveragePooling1D()(tokens)
    return keras.Model(start, layers.Dense(4, activation="softmax")(tokens))


MODELS: dict[str, Callable[[], Any]] = {
    "ds_cnn": ds_cnn,
    "mobilenet": mobilenet,
    "resnet8": resnet8,
    "imu": imu,
    "tcn": tcn,
    "squeeze_excite": squeeze_excite,
    "autoencoder": autoencoder,
    "two_inputs": two_inputs,
    "lstm": lambda: _recurrent(layers.LSTM),
    "gru": lambda: _recurrent(layers.GRU),
    "transformer": lambda: _transformer("relu"),
    "transformer_gelu": lambda: _transformer("gelu"),
}


def write(name: str, folder: Path) -> None:
    """``NAME.keras``, ``NAME.npz`` and, where Keras exports it, ``NAME.tflite`` in ``folder``."""
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    generator = np.random.default_rng(0)

    def batch(count: int) -> list[Any]:
        shapes = [each.shape[1:] for each in model.inputs]
        return [generator.standard_normal((count, *each)).astype(np.float32) for each in shapes]

    if any(isinstance(each, layers.BatchNormalization) for each in model.layers):
        for _ in range(20):
            given = batch(16)
            model(given if len(given) > 1 else given[0], training=True)
    model.save(folder / f"{name}.keras")
    data = dict(zip([each.name for each in model.inputs], batch(_SAMPLES), strict=True))
    np.savez(folder / f"{name}.npz", allow_pickle=False, **data)
    try:
        model.export(str(folder / f"{name}.tflite"), format="litert", verbose=False)
    except Exception as error:  # the exporter raises anything
        print(f"{name}: not exported: {type(error).__name__}")


if __name__ == "__main__":
    write_models(__doc__, MODELS, write)
