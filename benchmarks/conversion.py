"""How long conversions take: many Keras models in one run, with TensorFlow and without, and warm.

``python benchmarks/conversion.py [--models 20] [--separate]``, where TensorFlow is installed. It
fails when a cold run without TensorFlow takes more than half of one with it, when a warm run takes
more than 1.3 times one on ready files, or, with ``--separate``, when one run with TensorFlow takes
more than a third of one run a model. Time is of the clock and of all processes together, memory the
most that one process took. The two cold runs take turns, and the median of their ratios counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct


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

#: The command line, with every model converted by TensorFlow.
_WITH_TENSORFLOW = """
import sys
import pytest_tinybudget.convert.converter as converter
from pytest_tinybudget.cli import main

converter.can_plan = lambda: False
sys.exit(main(sys.argv[1:]))
"""
_DIRECT = ("-m", "pytest_tinybudget")

_MOST_OF_TENSORFLOW = 1 / 2
_MOST_OF_SEPARATE = 1 / 3
_MOST_OF_READY = 1.3


class _Run(Struct, frozen=True):
    """What a run took: seconds of the clock and of processors, and bytes of memory."""

    seconds: float
    cpu_seconds: float
    memory_bytes: int

    def __str__(self) -> str:
        cpu = f"{self.cpu_seconds:6.2f} s of CPU"
        return f"{self.seconds:6.2f} s  {cpu}  {self.memory_bytes / 2**20:5.0f} MB"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 where it took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="cold runs of each kind")
    parser.add_argument("--separate", action="store_true", help="one run a model, too")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", _MAKE, str(given.models)], cwd=folder, check=True)
        good = [_measure(folder, given.models, given.rounds)]
        if given.separate:
            good.append(_measure_separate(folder, given.models))
    return 0 if all(good) else 1


def _measure(folder: Path, count: int, rounds: int) -> bool:
    _declare(folder / "all.toml", [f"m{number}.keras" for number in range(count)])
    cold = []
    for number in range(rounds):
        before = _run(folder, "all.toml", f"tensorflow{number}", "-c", _WITH_TENSORFLOW)
        after = _run(folder, "all.toml", f"plan{number}", *_DIRECT)
        cold.append((before, after))
        print(f"{count} models, TensorFlow     {before}")
        print(f"{count} models, without it     {after}")
    _make_ready(folder, count)
    pairs = [
        (
            _run(folder, "all.toml", "plan0", *_DIRECT).seconds,
            _run(folder, "ready.toml", "none", *_DIRECT).seconds,
        )
        for _ in range(5)
    ]
    ratio = statistics.median(after.seconds / before.seconds for before, after in cold)
    cpu = statistics.median(after.cpu_seconds / before.cpu_seconds for before, after in cold)
    memory = statistics.median(after.memory_bytes / before.memory_bytes for before, after in cold)
    warm = statistics.median(converted / ready for converted, ready in pairs)
    print(f"cold, without TensorFlow   {ratio:.2f} times the time, {cpu:.2f} of CPU, ", end="")
    print(f"{memory:.2f} of memory (target {_MOST_OF_TENSORFLOW} of the time)")
    print(f"converted before           {warm:.2f} times ready .tflite files", end="")
    print(f" ({min(each for each, _ in pairs):.2f} s; target {_MOST_OF_READY})")
    return ratio <= _MOST_OF_TENSORFLOW and warm <= _MOST_OF_READY


def _measure_separate(folder: Path, count: int) -> bool:
    together = _run(folder, "all.toml", "together", "-c", _WITH_TENSORFLOW).seconds
    separate = 0.0
    for number in range(count):
        _declare(folder / "one.toml", [f"m{number}.keras"])
        separate += _run(folder, "one.toml", "separate", "-c", _WITH_TENSORFLOW).seconds
    print(f"{count} models, TensorFlow, one at a time {separate:6.1f} s, ", end="")
    print(f"one run {together / separate:.0%} of that (target {_MOST_OF_SEPARATE:.0%})")
    return together <= separate * _MOST_OF_SEPARATE


def _declare(path: Path, sources: Sequence[str]) -> None:
    models = [_MODEL.format(number=number, source=each) for number, each in enumerate(sources)]
    path.write_text(_HEAD + "".join(models), encoding="utf-8")


def _make_ready(folder: Path, count: int) -> None:
    """The converted models as files, out of the cache's entries."""
    entries = sorted((folder / "cache" / "plan0").rglob("*.int8"))
    for number, entry in enumerate(entries):
        (folder / f"r{number}.tflite").write_bytes(entry.read_bytes().split(b"\n", 2)[2])
    _declare(folder / "ready.toml", [f"r{number}.tflite" for number in range(count)])


def _run(folder: Path, declaration: str, cache: str, *program: str) -> _Run:
    environment = {**os.environ, "TINYBUDGET_CACHE": str(folder / "cache" / cache)}
    log = folder / "log.txt"
    begun = time.perf_counter()
    with log.open("wb") as opened:
        process = subprocess.Popen(
            [sys.executable, *program, "check", "-q", declaration],
            cwd=folder,
            env=environment,
            stdout=opened,
            stderr=opened,
        )
        _, status, used = os.wait4(process.pid, 0)  # of it and all that it has waited for
    took = time.perf_counter() - begun
    if status:
        raise SystemExit(log.read_text(encoding="utf-8", errors="replace"))
    return _Run(took, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


if __name__ == "__main__":
    sys.exit(main())
