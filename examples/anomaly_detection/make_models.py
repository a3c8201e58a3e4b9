"""Makes the autoencoder in ``models/`` (INT8 and float) and the spectra in ``data/held_out.npz``.

Needs TensorFlow; takes half a minute. The spectra are the same bytes each time, and so are the
models on the same machine; on another one the training's sums are rounded differently, which
moves a few weights and neither shapes nor sizes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7
BINS = 64


def spectra(count: int, seed: int) -> np.ndarray:
    """Vibration spectra (n, 64) of a healthy machine: harmonics of its speed over noise."""
    random = np.random.default_rng(seed)
    bins, speed = np.arange(BINS), random.uniform(6, 9, (count, 1))
    found = random.uniform(0, 0.08, (count, BINS))
    for harmonic in range(1, 7):
        found += np.exp(-((bins - harmonic * speed) ** 2) / 2) / harmonic
    return found.astype(np.float16).astype(np.float32)


def train():
    """An autoencoder of healthy spectra; what is no such spectrum comes out badly."""
    import keras

    keras.utils.set_random_seed(SEED)
    healthy = spectra(4000, SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((BINS,)),
            keras.layers.Dense(48, activation="relu"),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(48, activation="relu"),
            keras.layers.Dense(BINS),
        ],
        name="machine",
    )
    model.compile("adam", "mse")
    model.fit(healthy, healthy, epochs=40, batch_size=64, verbose=0)
    failing = spectra(200, SEED + 1)
    failing[:, 40:44] += 0.7  # a bearing that begins to sing

    def error(batch: np.ndarray) -> np.ndarray:
        return ((model.predict(batch, verbose=0) - batch) ** 2).mean(axis=1)

    print(f"errors: healthy up to {error(spectra(200, SEED + 1)).max():.4f}, ", end="")
    print(f"failing from {error(failing).min():.4f}")
    return model


def converted(model, calibration: np.ndarray | None) -> bytes:
    """The model as float ``.tflite``, or with ``calibration`` spectra as INT8, at batch 1."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = tf.TensorSpec((1, BINS), tf.float32)
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
    """Train, convert, and write all files."""
    for folder in ("models", "data"):
        (HERE / folder).mkdir(exist_ok=True)
    model = train()
    for name, calibration in (("machine", spectra(200, SEED)), ("machine_float", None)):
        content = converted(model, calibration)
        (HERE / "models" / f"{name}.tflite").write_bytes(content)
        print(f"{name}.tflite: {len(content)} bytes")
    np.savez_compressed(HERE / "data" / "held_out.npz", spectra=spectra(200, SEED + 1))


if __name__ == "__main__":
    main()
