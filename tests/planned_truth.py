"""Makes ``data/planned``: Keras models, and what TensorFlow's converter makes of them.

``planned_truth.py``, where TensorFlow is installed. ``test_plan_conversion.py`` reads the files
without it.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.worker import tensorflow_backend
from pytest_tinybudget.convert.worker.representative import samples_of
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.shrinking.strip import strip


FOLDER = Path(__file__).parent / "data" / "planned"
layers = keras.layers


def image():
    start = keras.Input((12, 12, 2), name="camera")
    x = layers.Rescaling(1 / 127.5, -1.0)(start)
    x = layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv2D(6, 1)(y))
    x = layers.ReLU()(layers.Add()([x, y]))
    s = layers.GlobalAveragePooling2D(keepdims=True)(x)
    s = layers.Dense(6, activation="sigmoid")(layers.Dense(3, activation="relu")(s))
    x = layers.Multiply()([x, s])
    x = layers.SeparableConv2D(4, 3, activation="leaky_relu")(layers.ZeroPadding2D(1)(x))
    x = layers.AveragePooling2D(2)(x)
    return keras.Model(start, layers.Dense(3, activation="softmax")(layers.Flatten()(x)))


def steps():
    start = keras.Input((20, 3))
    x = layers.Conv1D(4, 3, padding="causal", dilation_rate=2)(start)
    x = layers.Activation("tanh")(x)
    x = layers.Add()([x, layers.Conv1D(4, 3, padding="same", activation="relu")(x)])
    x = layers.MaxPooling1D(2)(layers.BatchNormalization()(x))
    return keras.Model(start, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def branches():
    first, second = keras.Input((8, 8, 2), name="zeta"), keras.Input((5,), name="alpha")
    parts = [layers.Conv2D(2, size, padding="same", activation="relu")(first) for size in (1, 3)]
    x = layers.Conv2DTranspose(2, 2, strides=2)(layers.Concatenate()(parts))
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.MaxPooling2D(4)(x))
    x = layers.Flatten()(x)
    joined = layers.Concatenate()([layers.Dense(4)(x), layers.Dense(4, use_bias=False)(second)])
    return keras.Model([first, second], [layers.Dense(2)(joined), layers.Dense(3)(joined)])


def fresh():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, activation="hard_silu")])
    return keras.Sequential([keras.Input((6,)), layers.Dense(4), inner, layers.Dense(4)])


def write(folder: Path) -> None:
    """Write each model, with its conversion as the product makes it with TensorFlow, stripped."""
    folder.mkdir(exist_ok=True)
    keras.utils.set_random_seed(11)
    for make in (image, steps, branches, fresh):
        model = make()
        if make is not fresh:  # whose biases stay zeros
            _fill(model)
        path = folder / f"{make.__name__}.keras"
        model.save(path)
        job = Job(
            source=str(path), kind="keras", shown=path.name, root="", data_path=None,
            data_function=None, custom_objects=None, strip=True, per_channel_dense=True,
            activations="int8", timeout_seconds=300, memory_bytes=0,
        )  # fmt: skip
        trained = tensorflow_backend.load(job, None)
        samples, _ = samples_of(job, trained.inputs, None)
        converted = strip(read_model(trained.convert(samples, job), path.name)).model
        path.with_suffix(".tflite").write_bytes(converted.content)


def _fill(model):
    chance = np.random.default_rng(5)
    for weights in model.weights:
        values = chance.normal(0, 0.3, weights.shape)
        weights.assign(np.abs(values) + 0.5 if "variance" in weights.path else values)


if __name__ == "__main__":
    write(FOLDER)
