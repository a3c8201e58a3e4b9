"""Makes ``models/hey_device.keras``, which hears "hey device", and ``data/calibration.npz``.

Needs TensorFlow; takes half a minute. The data are the same bytes each time, and so is the model
on the same machine; on another one the training's sums are rounded differently, which moves a few
weights and neither shapes nor sizes.

A Keras file of this network has 1 MB. Here its weights are rounded to multiples of 1/64, most of
them to zero, and the archive is compressed, which Keras reads as well: small enough for git.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np


HERE = Path(__file__).parent
SEED = 7
FRAMES, BANDS = 16, 16
WORDS = ("silence", "noise", "other word", "hey device")
STEP = 1 / 64


def spectrograms(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic log spectrograms (n, 16, 16, 1), about 0 to 1, and their word's index (n,).

    A word is a few syllables: a formant that glides from one band to another. "Hey device" is
    always the same three, another word three at random.
    """
    random = np.random.default_rng(seed)
    words = random.integers(0, len(WORDS), count)
    time, band = np.arange(FRAMES)[:, None], np.arange(BANDS)[None, :]
    found = np.abs(random.normal(0, 0.04, (count, FRAMES, BANDS)))
    for spectrogram, word in zip(found, words, strict=True):
        if word == 1:
            spectrogram += random.uniform(0.1, 0.5) * random.random((FRAMES, BANDS))
        if word < 2:
            continue
        glides = [(11, 13), (4, 9), (8, 3)] if word == 3 else random.uniform(2, 14, (3, 2))
        start = random.uniform(0, 2)
        for syllable, (low, high) in enumerate(glides):
            at = (time - start - 4.5 * syllable) / 4
            formant = low + (high - low) * at + random.normal(0, 0.3)
            loud = (at >= 0) & (at < 1)
            spectrogram += loud * random.uniform(0.5, 1) * np.exp(-((band - formant) ** 2))
    return found.astype(np.float32)[..., None], words


def train():
    """The trained network, its weights rounded."""
    import keras

    keras.utils.set_random_seed(SEED)
    inputs, words = spectrograms(3000, SEED)
    sparse = keras.regularizers.L1(3e-5)
    model = keras.Sequential(
        [
            keras.layers.Input((FRAMES, BANDS, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu", kernel_regularizer=sparse),
            keras.layers.Dense(len(WORDS), activation="softmax"),
        ],
        name="hey_device",
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs, words, epochs=6, batch_size=64, verbose=0)
    rounded = [np.round(weights / STEP) * STEP for weights in model.get_weights()]
    model = keras.models.clone_model(model)  # without the optimizer, twice as large as the weights
    model.set_weights(rounded)
    held_out, right = spectrograms(500, SEED + 1)
    accuracy = (model.predict(held_out, verbose=0).argmax(axis=1) == right).mean()
    print(f"hears {accuracy:.1%} of 500 new sounds right")
    return model


def compressed(path: Path) -> None:
    """Write the archive at ``path`` anew: compressed, and without the time of saving."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in sorted(archive.namelist())}
    about = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({**about, "date_saved": ""}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


def main() -> None:
    """Train and write both files."""
    model_file = HERE / "models" / "hey_device.keras"
    model_file.parent.mkdir(exist_ok=True)
    train().save(model_file)
    compressed(model_file)
    print(f"{model_file.name}: {model_file.stat().st_size} bytes")
    data_file = HERE / "data" / "calibration.npz"
    data_file.parent.mkdir(exist_ok=True)
    samples, _ = spectrograms(64, SEED + 2)
    np.savez_compressed(data_file, spectrograms=samples.astype(np.float16).astype(np.float32))
    print(f"{data_file.name}: {data_file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
