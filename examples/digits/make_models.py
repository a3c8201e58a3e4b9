"""Makes the models in ``models/`` and ``data/held_out.npz``, from scikit-learn's digits.

Needs TensorFlow and scikit-learn; takes half a minute. The data are the same bytes each time, and
so are the models on the same machine; on another one the training's sums are rounded differently,
which moves a few weights and neither shapes nor sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7
HELD_OUT = 200
#: What devices have now was trained for fewer epochs.
EPOCHS, EPOCHS_OF_DEPLOYED = 40, 12


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 8, 8, 1) of bytes from 0 to 16 and labels (n,), in an order without a pattern."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(images))
    return images[order].astype(np.uint8).reshape(-1, 8, 8, 1), labels[order].astype(np.uint8)


def train(images: np.ndarray, labels: np.ndarray, epochs: int):
    """Two convolutions and two dense layers, trained on images of 0 to 1."""
    import keras

    keras.utils.set_random_seed(SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="digits",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, epochs=epochs, batch_size=64, verbose=0)
    return model


def converted(model, calibration: np.ndarray | None) -> bytes:
    """The model as float ``.tflite``, or with ``calibration`` images as INT8, at batch 1."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = tf.TensorSpec((1, 8, 8, 1), tf.float32)
    function = tf.function(lambda batch: model(batch)).get_concrete_function(signature)
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.exclude_conversion_metadata = True
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([each[None]] for each in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def main() -> None:
    """Train twice, convert, and write all files."""
    for folder in ("models", "data"):
        (HERE / folder).mkdir(exist_ok=True)
    images, labels = digits()
    held_out = {"images": images[:HELD_OUT], "labels": labels[:HELD_OUT]}
    np.savez_compressed(HERE / "data" / "held_out.npz", **held_out)

    inputs = images[HELD_OUT:].astype(np.float32) / 16
    model = train(inputs, labels[HELD_OUT:], EPOCHS)
    deployed = train(inputs, labels[HELD_OUT:], EPOCHS_OF_DEPLOYED)
    for name, content in {
        "digits": converted(model, inputs[:200]),
        "digits_float": converted(model, None),
        "digits_v1": converted(deployed, inputs[:200]),
    }.items():
        (HERE / "models" / f"{name}.tflite").write_bytes(content)
        print(f"{name}.tflite: {len(content)} bytes")


if __name__ == "__main__":
    main()
