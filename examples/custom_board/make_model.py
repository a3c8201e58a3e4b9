"""Makes ``models/visitor.tflite``: a knock, a ring or nothing, from a spectrogram.

Needs TensorFlow; takes half a minute. On the same machine the model is the same bytes each time;
on another one the training's sums are rounded differently, which moves a few weights and neither
shapes nor sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7
FRAMES, BANDS = 24, 16


def sounds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic spectrograms (n, 24, 16, 1) and labels (n,): 0 nothing, 1 a knock, 2 a ring.

    A knock is short and in all bands, three times; a ring is long and in one band.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    time, band = np.arange(FRAMES)[:, None], np.arange(BANDS)[None, :]
    found = random.random((count, FRAMES, BANDS)) * random.uniform(0.1, 0.5, (count, 1, 1))
    for spectrogram, label in zip(found, labels, strict=True):
        start, loud = random.integers(0, 8), random.uniform(0.6, 1)
        if label == 1:
            spectrogram += loud * ((time >= start) & ((time - start) % 5 == 0))
        elif label == 2:
            spectrogram += loud * (time >= start) * np.exp(-((band - random.uniform(8, 13)) ** 2))
    return found.astype(np.float32)[..., None], labels


def train(inputs: np.ndarray, labels: np.ndarray):
    """Two convolutions and a dense layer; the last 500 samples say how good it is."""
    import keras

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((FRAMES, BANDS, 1)),
            keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ],
        name="visitor",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs[:-500], labels[:-500], epochs=8, batch_size=32, verbose=0)
    right = model.predict(inputs[-500:], verbose=0).argmax(axis=1) == labels[-500:]
    print(f"{right.mean():.1%} of 500 new sounds right")
    return model


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
    """Train, convert, and write the model."""
    inputs, labels = sounds(2000, SEED)
    file = HERE / "models" / "visitor.tflite"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(int8(train(inputs, labels), inputs[:200]))
    print(f"{file.name}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
