"""Keras models converted without TensorFlow, held to TensorFlow's conversions of the same files.

``python benchmarks/plan_conversion.py [--random 100] [--only NAME …] [FILE.keras …]`` takes the
models of ``plans.py`` with weights that are not zero (every third random one as it is initialized)
and the files that are named, and converts each both ways with the same calibration data. It prints
what differs and what needs TensorFlow, and fails on a difference: ``same_conversion.py`` says what
counts as one. Needs the extras ``[tensorflow]`` and ``[quantize]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from plans import named_models
from plans import random_model
from same_conversion import differences

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.shrinking.strip import strip


_FRESH_EVERY = 3
_SAMPLES = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all; 1 where anything is different."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--random", type=int, default=100, help="random architectures")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--only", nargs="*", help="names of models")
    given = parser.parse_args(arguments)
    counted: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for name, path in _models(given, Path(folder)):
            verdict, *details = _compared(name, path)
            counted[verdict] += 1
            if verdict != "equal":
                print(f"{name:24} {verdict}: {'; '.join(details[:3])}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counted.most_common()))
    return 1 if counted["different"] else 0


def _models(given: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """Names and files: those that are given, or those of ``plans.py``, which are written."""
    import keras

    yield from ((path.stem, path) for path in given.files)
    if given.files:
        return
    chance = np.random.default_rng(7)
    names = [name for name in named_models(keras) if not given.only or name in given.only]
    names += [f"random_{given.seed + number}" for number in range(given.random)]
    for number, name in enumerate(names):
        keras.backend.clear_session()
        is_random = name.startswith("random_")
        seed = name.removeprefix("random_")
        model = random_model(keras, int(seed)) if is_random else named_models(keras)[name]()
        if not is_random or number % _FRESH_EVERY:
            _fill(model, chance)
        path = folder / f"{name}.keras"
        model.save(path)
        yield name, path
        path.unlink()


def _fill(model: Any, chance: np.random.Generator) -> None:
    for weights in model.weights:
        values = chance.normal(0, 0.3, weights.shape)
        weights.assign(np.abs(values) + 0.5 if "variance" in weights.path else values)


def _compared(name: str, path: Path) -> list[str]:
    from pytest_tinybudget.convert.worker import plan_backend
    from pytest_tinybudget.convert.worker import tensorflow_backend
    from pytest_tinybudget.convert.worker.representative import samples_of

    job = Job(
        source=str(path), kind="keras", shown=name, root="", data_path=None, data_function=None,
        custom_objects=None, strip=True, per_channel_dense=True, activations="int8",
        timeout_seconds=300, memory_bytes=0,
    )  # fmt: skip
    try:
        planned = plan_backend.load(job, None)
        samples = samples_of(job, planned.inputs, None)[0][:_SAMPLES]
        ours = _stripped(planned.convert(samples, job), name)
    except NotPlannedError as error:
        return ["needs TensorFlow", error.message.rpartition("not planned: ")[2]]
    try:
        theirs = _stripped(tensorflow_backend.load(job, None).convert(samples, job), name)
    except Exception as error:  # the converter raises anything
        return ["not converted by TensorFlow", str(error).partition("\n")[0][:100]]
    found = differences(ours, theirs)
    if ours.bytes != theirs.bytes:
        found.append(f"{ours.bytes} bytes instead of {theirs.bytes}")
    return ["different", *found] if found else ["equal"]


def _stripped(content: bytes, name: str) -> Model:
    return strip(read_model(content, name)).model


if __name__ == "__main__":
    sys.exit(main())
