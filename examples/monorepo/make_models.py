"""Makes the models of both teams: ``camera/models`` and ``audio/models``.

Needs TensorFlow; takes half a minute. On the same machine the models are the same bytes each time;
on another one the training's sums are rounded differently, which moves a few weights and neither
shapes nor sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7

Data = tuple[np.ndarray, np.ndarray]


def images(random: np.random.Generator, count: int = 3000) -> Data:
    """Pictures (n, 24, 24, 1) of noise, and in every second a bright spot: labels 0 and 1."""
    labels = random.integers(0, 2, count)
    y, x = np.mgrid[:24, :24]
    found = random.random((count, 24, 24)) * 0.5
    for picture, label in zip(found, labels, strict=True):
        column, row = random.uniform(4, 20, 2)
        picture += label * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 12)
    return found.astype(np.float32)[..., None], labels


def bands(random: np.random.Generator, count: int = 3000) -> Data:
    """Energies (n, 32) of frequency bands: 0 noise, 1 a clap in all bands, 2 a siren in one."""
    labels = random.integers(0, 3, count)
    found = random.random((count, 32)) * 0.5
    found[labels == 1] += random.uniform(0.5, 1, (int((labels == 1).sum()), 1))
    sirens = np.flatnonzero(labels == 2)
    found[sirens, random.integers(8, 28, len(sirens))] += 1.0
    return found.astype(np.float32), labels


def person(keras) -> list:
    """Is somebody there: convolutions."""
    return [
        keras.layers.Input((24, 24, 1)),
        keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(3),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]


def alarm(keras) -> list:
    """What was that: dense layers."""
    return [
        keras.layers.Input((32,)),
        keras.layers.Dense(24, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ]


def int8(model, calibration: np.ndarray) -> bytes:
    """The model as INT8 ``.tflite``, at batch 1."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = tf.TensorSpec((1, *calibration.shape[1:]), tf.float32)
    function = tf.function(lambda batch: model(batch)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.exclude_conversion_metadata = True
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([each[None]] for each in calibration)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    """Train, convert, and write both models."""
    import keras

    for team, layers, data in (("camera", person, images), ("audio", alarm, bands)):
        keras.utils.set_random_seed(SEED)
        inputs, labels = data(np.random.default_rng(SEED))
        model = keras.Sequential(layers(keras), name=layers.__name__)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(inputs[:-500], labels[:-500], epochs=30, batch_size=32, verbose=0)
        right = model.predict(inputs[-500:], verbose=0).argmax(axis=1) == labels[-500:]
        file = HERE / team / "models" / f"{layers.__name__}.tflite"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(int8(model, inputs[:200]))
        print(f"{file.name}: {right.mean():.1%} right, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
