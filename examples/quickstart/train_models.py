"""Trains the example's models and converts them to INT8; the results are committed in ``models/``.

Not needed to run the example. It takes half a minute and needs packages that the gate
does not: ``pip install tensorflow-cpu scikit-learn``. Trained again, weights differ slightly and
sizes stay.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


MODELS = Path(__file__).parent / "models"
SEED = 7

SAMPLE_RATE = 8000
FRAMES, BANDS = 49, 10
SOUNDS = ("background", "smoke alarm", "carbon monoxide alarm", "doorbell")

MACHINE_BINS = 64

Array = npt.NDArray[np.float32]


def sound(label: int, random: np.random.Generator) -> Array:
    """One second of a sound of ``SOUNDS[label]`` in noise, samples in about −1..1.

    Smoke alarms beep three times at about 3.1 kHz and carbon monoxide alarms four times, faster
    (the T3 and T4 patterns, shortened to a second); a doorbell is two falling tones.
    """
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = random.normal(0, random.uniform(0.01, 0.15), SAMPLE_RATE)
    start, volume = random.uniform(0, 0.15), random.uniform(0.3, 1)
    tone = np.zeros(SAMPLE_RATE)
    if label in (1, 2):
        pitch = random.uniform(2900, 3300)
        beeps, period, length = ((3, 0.28, 0.16), (4, 0.14, 0.07))[label - 1]
        for beep in range(beeps):
            on = (time > start + beep * period) & (time < start + beep * period + length)
            tone += on * np.sin(2 * np.pi * pitch * time)
    elif label == 3:
        pitch, change = random.uniform(600, 800), start + random.uniform(0.25, 0.4)
        first = (time > start) & (time < change)
        second = time >= change
        tone = first * np.exp(-4 * (time - start)) * np.sin(2 * np.pi * pitch * time)
        tone += second * np.exp(-4 * (time - change)) * np.sin(2 * np.pi * pitch * 0.8 * time)
    return (volume * tone + noise).astype(np.float32)


def spectrogram(samples: Array) -> Array:
    """Log energies of ``BANDS`` bands in ``FRAMES`` windows of 32 ms: shape (49, 10, 1)."""
    window = 256
    starts = np.linspace(0, len(samples) - window, FRAMES).astype(int)
    frames = np.stack([samples[start : start + window] for start in starts])
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1))[:, 1:] ** 2
    edges = np.geomspace(2, power.shape[1], BANDS + 1).astype(int)
    bands = [power[:, low:high].mean(axis=1) for low, high in pairwise(edges)]
    return np.log10(np.stack(bands, axis=1) + 1e-3).astype(np.float32)[..., np.newaxis]


def alarm_data(examples: int, seed: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Spectrograms (n, 49, 10, 1) and labels (n,) of synthesised sounds."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(SOUNDS), examples)
    return np.stack([spectrogram(sound(int(label), random)) for label in labels]), labels


def machine_data(examples: int, seed: int) -> Array:
    """Vibration spectra (n, 64) of a healthy machine: harmonics of its speed over noise."""
    random = np.random.default_rng(seed)
    bins = np.arange(MACHINE_BINS)
    speed = random.uniform(6, 9, (examples, 1))
    spectra = random.uniform(0, 0.08, (examples, MACHINE_BINS))
    for harmonic in range(1, 7):
        spectra += np.exp(-((bins - harmonic * speed) ** 2) / 1.5) / harmonic
    return spectra.astype(np.float32)


def train_digits(keras: Any) -> tuple[Any, Array]:
    """Handwritten digits, 8×8 pixels: two convolutions and a dense layer."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    order = np.random.default_rng(SEED).permutation(len(images))
    held_out, train = order[:200], order[200:]
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv1"),
            keras.layers.Conv2D(16, 3, activation="relu", name="conv2"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu", name="dense1"),
            keras.layers.Dense(10, activation="softmax", name="dense2"),
        ],
        name="digits",
    )
    _fit(model, "sparse_categorical_crossentropy", images[train], labels[train], epochs=40)
    np.savez_compressed(
        Path(__file__).parent / "digits_held_out.npz",
        images=(images[held_out] * 16).astype(np.uint8),
        labels=labels[held_out].astype(np.uint8),
    )
    return model, images[train][:200]


def train_alarm(keras: Any) -> tuple[Any, Array]:
    """Alarm sounds: a depthwise-separable network, as used for keyword spotting."""
    inputs, labels = alarm_data(3000, SEED)
    layers = [
        keras.layers.Input((FRAMES, BANDS, 1)),
        keras.layers.Conv2D(24, (10, 4), 2, padding="same", activation="relu", name="conv"),
    ]
    for block in "123":
        layers += [
            keras.layers.DepthwiseConv2D(
                3, padding="same", activation="relu", name=f"depthwise{block}"
            ),
            keras.layers.Conv2D(24, 1, activation="relu", name=f"pointwise{block}"),
        ]
    layers += [
        keras.layers.AveragePooling2D((25, 5), name="pool"),
        keras.layers.Flatten(),
        keras.layers.Dense(len(SOUNDS), activation="softmax", name="dense"),
    ]
    model = keras.Sequential(layers, name="alarm")
    _fit(model, "sparse_categorical_crossentropy", inputs, labels, epochs=12)
    return model, inputs[:200]


def train_machine(keras: Any) -> tuple[Any, Array]:
    """Machine monitoring: a dense autoencoder, whose error grows when the machine changes."""
    spectra = machine_data(4000, SEED)
    model = keras.Sequential(
        [
            keras.layers.Input((MACHINE_BINS,)),
            keras.layers.Dense(96, activation="relu", name="encode1"),
            keras.layers.Dense(96, activation="relu", name="encode2"),
            keras.layers.Dense(8, activation="relu", name="bottleneck"),
            keras.layers.Dense(96, activation="relu", name="decode1"),
            keras.layers.Dense(96, activation="relu", name="decode2"),
            keras.layers.Dense(MACHINE_BINS, name="output"),
        ],
        name="machine",
    )
    _fit(model, "mse", spectra, spectra, epochs=30)
    return model, spectra[:200]


def _fit(model: Any, loss: str, inputs: Array, targets: Any, epochs: int) -> None:
    model.compile(optimizer="adam", loss=loss)
    model.fit(inputs, targets, epochs=epochs, batch_size=64, verbose=0)


def convert(tensorflow: Any, model: Any, calibration: Array) -> bytes:
    """INT8 in, out and within, batch 1, without the converter's metadata."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def representative() -> Iterator[list[Array]]:
        for example in calibration:
            yield [example[np.newaxis]]

    signature = tensorflow.TensorSpec((1, *model.inputs[0].shape[1:]), tensorflow.float32)
    function = tensorflow.function(lambda inputs: model(inputs, training=False))
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(signature))
    converter = tensorflow.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tensorflow.int8
    converter.inference_output_type = tensorflow.int8
    converter.exclude_conversion_metadata = True
    return bytes(converter.convert())


def main() -> None:
    """Train, convert and write all models."""
    import tensorflow

    trainers: dict[str, Callable[[Any], tuple[Any, Array]]] = {
        "digits": train_digits,
        "alarm": train_alarm,
        "machine": train_machine,
    }
    for name, train in trainers.items():
        tensorflow.keras.utils.set_random_seed(SEED)
        content = convert(tensorflow, *train(tensorflow.keras))
        (MODELS / f"{name}.tflite").write_bytes(content)
        print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
