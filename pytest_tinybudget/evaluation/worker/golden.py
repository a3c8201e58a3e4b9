"""``python -m pytest_tinybudget.evaluation.worker.golden ARENA SAMPLES SEED DATA``.

Runs ``model.tflite`` in TFLM's interpreter, sample after sample without a reset, and prints inputs
and outputs as JSON: for each tensor its contents in hexadecimal, a string a sample.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pytest_tinybudget.evaluation.worker.operators import quantized
from pytest_tinybudget.evaluation.worker.operators import random_values
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model


def main(arena: str, samples: str, seed: str, data: str) -> None:
    """Print the vectors, or ``{"error": …}``."""
    from tflite_micro.python.tflite_micro import runtime

    content = Path("model.tflite").read_bytes()
    model = read_model(content, "model")
    inputs = [model.main.tensors[index] for index in model.main.inputs]
    chance = np.random.default_rng(int(seed))
    try:
        given = _given(data, model, int(samples)) if data else [
            [random_values(tensor, chance) for tensor in inputs] for _ in range(int(samples))
        ]  # fmt: skip
    except (ValueError, OSError, KeyError) as error:
        print(json.dumps({"error": str(error)}))
        return
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=int(arena))
    outputs: list[list[str]] = [[] for _ in model.main.outputs]
    for sample in given:
        for position, values in enumerate(sample):
            interpreter.set_input(values, position)
        interpreter.invoke()
        for position, texts in enumerate(outputs):
            texts.append(interpreter.get_output(position).tobytes().hex())
    told = {
        "inputs": [[sample[at].tobytes().hex() for sample in given] for at in range(len(inputs))],
        "outputs": outputs,
    }
    print(json.dumps(told), flush=True)


def _given(path: str, model: Model, samples: int) -> list[list[Any]]:
    """The first samples of a file: its arrays in the order of the inputs, or named as they are.

    Raises:
        ValueError: the arrays are not for the model's inputs.
    """
    tensors = [model.main.tensors[index] for index in model.main.inputs]
    with np.load(path, allow_pickle=False) as data:
        names = [each.name for each in tensors]
        if not set(names) <= set(data.files):
            names = list(data.files)[: len(tensors)]
        if len(names) != len(tensors):
            raise ValueError(f"{len(names)} arrays, but the model has {len(tensors)} inputs")
        arrays = [data[name] for name in names]
    for name, array, tensor in zip(names, arrays, tensors, strict=True):
        wanted = tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape
        if array.ndim == 0 or array.shape[1:] != wanted:
            shown = ", ".join(map(str, ("samples", *wanted)))
            raise ValueError(f"{name!r} has the shape {array.shape}, expected ({shown})")
    count = min(samples, *(len(array) for array in arrays))
    if not count:
        raise ValueError("it holds no samples")
    return [
        [quantized(array[at], tensor) for array, tensor in zip(arrays, tensors, strict=True)]
        for at in range(count)
    ]


if __name__ == "__main__":
    main(*sys.argv[1:5])
