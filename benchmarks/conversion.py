"""How long conversions take: many models in one run, one at a time, and out of the cache.

``python benchmarks/conversion.py [--models 20]``, where TensorFlow is installed. It fails when one
run takes more than a third of separate ones, or a warm run more than 1.3 times one on ready files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path


_MAKE = """
import sys
import keras

layers = keras.layers
for number in range(int(sys.argv[1])):
    model = keras.Sequential([
        keras.Input((16, 16, 1)),
        layers.Conv2D(4 + number % 5, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(4 + number, activation="softmax"),
    ])
    model.save(f"m{number}.keras")
"""

_HEAD = """
schema = 1

[defaults]
boards = ["arduino-nano-33-ble"]
representative_data = "random"
"""

_MODEL = """
[models.m{number}]
source = "{source}"
"""

_MOST_OF_SEPARATE = 1 / 3
_MOST_OF_READY = 1.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where it took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20)
    count = parser.parse_args(arguments).models
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", _MAKE, str(count)], cwd=folder, check=True)
        return _measure(folder, count)


def _measure(folder: Path, count: int) -> int:
    _declare(folder / "all.toml", [f"m{number}.keras" for number in range(count)])
    separate = 0.0
    for number in range(count):
        _declare(folder / "one.toml", [f"m{number}.keras"])
        separate += _seconds(folder, "one.toml", cache="separate")
    together = _seconds(folder, "all.toml", cache="together")
    _make_ready(folder, count)
    warm = min(_seconds(folder, "all.toml", cache="together") for _ in range(5))
    ready = min(_seconds(folder, "ready.toml", cache="none") for _ in range(5))
    print(f"{count} models, one at a time   {separate:6.1f} s")
    print(f"{count} models, one run         {together:6.1f} s  {together / separate:.0%} of that")
    print(f"ready .tflite files         {ready:6.2f} s")
    print(f"converted before            {warm:6.2f} s  {warm / ready:.2f} times that")
    good = together <= separate * _MOST_OF_SEPARATE and warm <= ready * _MOST_OF_READY
    return 0 if good else 1


def _declare(path: Path, sources: Sequence[str]) -> None:
    models = [_MODEL.format(number=number, source=each) for number, each in enumerate(sources)]
    path.write_text(_HEAD + "".join(models), encoding="utf-8")


def _make_ready(folder: Path, count: int) -> None:
    """The converted models as files, out of the cache's entries."""
    entries = sorted((folder / "cache" / "together").rglob("*.int8"))
    for number, entry in enumerate(entries):
        (folder / f"r{number}.tflite").write_bytes(entry.read_bytes().split(b"\n", 2)[2])
    _declare(folder / "ready.toml", [f"r{number}.tflite" for number in range(count)])


def _seconds(folder: Path, declaration: str, *, cache: str) -> float:
    environment = {**os.environ, "TINYBUDGET_CACHE": str(folder / "cache" / cache)}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "check", "-q", declaration],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return took


if __name__ == "__main__":
    sys.exit(main())
