"""Makes the two models in ``models/``: is anybody speaking, and was it the wake word?

Needs TensorFlow; takes half a minute. On the same machine the models are the same bytes each time;
on another one the training's sums are rounded differently, which moves a few weights and neither
shapes nor sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7
FRAMES, BANDS = 32, 16


def sounds(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic spectrograms (n, 32, 16, 1) and labels (n,): 0 noise, 1 speech, 2 the wake word.

    Speech is a tone that glides through the bands; the wake word's always glides up, then down.
    """
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    time, band = np.linspace(0, 1, FRAMES)[:, None], np.arange(BANDS)[None, :]
    found = random.random((count, FRAMES, BANDS)) * random.uniform(0.05, 0.4, (count, 1, 1))
    for spectrogram, label in zip(found, labels, strict=True):
        bends = np.abs(2 * time - 1) if label == 2 else 1.6 * random.random() * time
        if label:
            tone = 13 - 10 * bends + random.normal(0, 0.7)
            spectrogram += random.uniform(0.6, 1) * np.exp(-((band - tone) ** 2) / 2)
    return found.astype(np.float32)[..., None], labels


def speech():
    """Speech or noise, from the mean energy of each band: two dense layers."""
    import keras

    spectrograms, labels = sounds(2000, SEED)
    layers = [
        keras.layers.Input((BANDS,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(2, activation="softmax"),
    ]
    return layers, spectrograms.mean(axis=1)[..., 0], labels > 0


def wake_word():
    """The wake word or not, from the whole spectrogram: depthwise-separable convolutions."""
    import keras

    spectrograms, labels = sounds(2000, SEED)
    layers = [
        keras.layers.Input((FRAMES, BANDS, 1)),
        keras.layers.Conv2D(12, 5, 2, padding="same", activation="relu"),
        keras.layers.DepthwiseConv2D(3, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 1, activation="relu"),
        keras.layers.MaxPooling2D(4),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    return layers, spectrograms, labels == 2


def trained(name: str, layers: list, inputs: np.ndarray, labels: np.ndarray):
    """A network of ``layers``; the last 500 samples say how good it is."""
    import keras

    model = keras.Sequential(layers, name=name)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs[:-500], labels[:-500].astype(int), epochs=12, batch_size=32, verbose=0)
    right = model.predict(inputs[-500:], verbose=0).argmax(axis=1) == labels[-500:]
    print(f"{name}: {right.mean():.1%} of 500 new sounds right, ", end="")
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
    """Train, convert, and write both models."""
    import keras

    (HERE / "models").mkdir(exist_ok=True)
    for name, make in (("speech", speech), ("wake_word", wake_word)):
        keras.utils.set_random_seed(SEED)
        layers, inputs, labels = make()
        content = int8(trained(name, layers, inputs, labels), inputs[:200])
        (HERE / "models" / f"{name}.tflite").write_bytes(content)
        print(f"{len(content)} bytes")


if __name__ == "__main__":
    main()
