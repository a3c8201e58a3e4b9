"""Interpreters as judges of a model: TFLM's and LiteRT's, each in a child process of its own.

A model may end an interpreter, so that a child serves many models and is started again when it
ended. Run as a script, with the engine's name, this file is that child.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from typing import Any

from oracle import ARENA_BYTES
from oracle import Oracle


#: Where LiteRT's and TFLM's kernels round differently, results differ by so many steps, those of
#: undamaged graphs of up to eight layers by 8.
STEPS = 10
#: And by such a share of the largest value, where they are FLOAT32.
SHARE = 1e-3


@dataclass(frozen=True)
class Run:
    """``status`` as in ``oracle.Reading``, or ``"wrote into the file"``, which lies in flash.

    ``outputs`` are flat, in the order of the model's. Where the engine tells them, ``tensors`` are
    elements and type of each tensor by subgraph, and ``ranges`` least and largest value of each
    tensor that the first subgraph computes.
    """

    status: str
    log: str = ""
    outputs: tuple[tuple[float, ...], ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    types: tuple[str, ...] = ()
    tensors: tuple[tuple[tuple[int, str], ...], ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()


class Engine(Oracle):
    """A child process with the interpreter ``name``: ``"tflm"`` or ``"litert"``.

    TFLM's gets an arena of ``arena_bytes``.
    """

    def __init__(
        self, name: str, timeout_seconds: float = 20, arena_bytes: int = ARENA_BYTES
    ) -> None:
        super().__init__(timeout_seconds, (__file__, name, str(arena_bytes)))

    def run(self, content: bytes, seed: int = 0) -> Run:
        """Load and run the model on inputs that ``seed`` alone decides."""
        answer = self.ask(content, seed)
        if isinstance(answer, str):
            return Run(answer)
        return Run(
            answer["status"],
            answer["log"],
            tuple(tuple(values) for values in answer["outputs"]),
            tuple(tuple(shape) for shape in answer["shapes"]),
            tuple(answer["types"]),
            tuple(tuple((count, kind) for count, kind in graph) for graph in answer["tensors"]),
            tuple((least, largest) for least, largest in answer["ranges"]),
        )


def alike(first: Run, second: Run) -> bool:
    """Whether two runs gave the same numbers, but for how kernels round."""
    if len(first.outputs) != len(second.outputs):
        return False
    return all(map(_alike, first.outputs, second.outputs, first.types))


def _alike(first: tuple[float, ...], second: tuple[float, ...], kind: str) -> bool:
    if len(first) != len(second):
        return False
    margin = float(STEPS)
    if kind == "float32":
        margin = SHARE * max((abs(value) for value in first if value == value), default=0.0) + 1e-5
    elif kind == "int16":
        margin = STEPS * 4
    off = [
        not (abs(one - other) <= margin or one == other or (one != one and other != other))
        for one, other in zip(first, second, strict=True)
    ]
    return not any(off)


# What follows runs in the child.

#: Status, outputs, elements and types of tensors, ranges of computed tensors: as in ``Run``.
_Answer = tuple[str, list[Any], list[Any], list[Any]]


def _serve(name: str, arena_bytes: int) -> None:
    """Answer each model on standard input with one line of JSON on standard output."""
    run = {"tflm": partial(_run_tflm, arena_bytes=arena_bytes), "litert": _run_litert}[name]
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while header := requests.read(8):
        size, seed = struct.unpack("<2I", header)
        content = requests.read(size)
        with tempfile.TemporaryFile("w+", errors="replace") as captured:
            standard_error = os.dup(2)
            os.dup2(captured.fileno(), 2)
            status, outputs, tensors, ranges = run(content, seed)
            os.dup2(standard_error, 2)
            os.close(standard_error)
            captured.seek(0)
            answer = {
                "status": status,
                "log": captured.read(),
                "outputs": [values.reshape(-1).tolist() for values in outputs],
                "shapes": [values.shape for values in outputs],
                "types": [values.dtype.name for values in outputs],
                "tensors": tensors,
                "ranges": ranges,
            }
        print(json.dumps(answer), file=answers, flush=True)


def _values(shape: Any, kind: Any, seed: int) -> Any:
    import numpy as np

    chance = np.random.default_rng(seed)
    if np.issubdtype(kind, np.floating):
        return chance.normal(0, 1, shape).astype(kind)
    if kind == np.bool_:
        return chance.integers(0, 2, shape).astype(kind)
    if np.dtype(kind).itemsize > 2:
        return chance.integers(0, 4, shape).astype(kind)
    limits = np.iinfo(kind)
    return chance.integers(limits.min, limits.max + 1, shape).astype(kind)


def _run_tflm(content: bytes, seed: int, arena_bytes: int) -> _Answer:
    from tflite_micro import runtime

    before = bytes(bytearray(content))
    try:
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_bytes)
    except RuntimeError:
        return "refused", [], [], []
    graph = runtime.schema_fb.Model.GetRootAsModel(content, 0).Subgraphs(0)
    try:
        for index in range(graph.InputsLength()):
            details = interpreter.get_input_details(index)
            values = _values(details["shape"], details["dtype"], seed + index)
            interpreter.set_input(values, index)
        interpreter.invoke()
        outputs = [interpreter.get_output(index) for index in range(graph.OutputsLength())]
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
        return "invoke failed", [], [], []
    # On a device the file lies in flash, where nothing can be written.
    return "ok" if content == before else "wrote into the file", outputs, [], []


def _run_litert(content: bytes, seed: int) -> _Answer:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.interpreter import OpResolverType

    try:
        interpreter = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
            num_threads=1,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
        return "refused", [], [], []
    try:
        for index, details in enumerate(interpreter.get_input_details()):
            values = _values(details["shape"], details["dtype"], seed + index)
            interpreter.set_tensor(details["index"], values)
        interpreter.invoke()
        found = interpreter.get_output_details()
        outputs = [interpreter.get_tensor(details["index"]) for details in found]
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr, flush=True)
        return "invoke failed", [], [], []
    return "ok", outputs, _tensors(interpreter, content), _ranges(interpreter, content)


def _tensors(interpreter: Any, content: bytes) -> list[list[tuple[int, str]]]:
    """Elements and type of the tensors of each subgraph, as they were when it last ran."""
    from math import prod

    from pytest_tinybudget.graph.tflite import read_model

    told = []
    for graph in read_model(content, "model").subgraphs:
        found = {
            details["index"]: (prod(map(int, details["shape"])), details["dtype"].__name__)
            for details in interpreter.get_tensor_details(graph.index)
        }
        told.append([found.get(each.index, (each.elements, "")) for each in graph.tensors])
    return told


def _ranges(interpreter: Any, content: bytes) -> list[tuple[float, float]]:
    """Least and largest value of each tensor with values that the first subgraph computes."""
    from pytest_tinybudget.graph.tflite import read_model

    graph = read_model(content, "model").subgraphs[0]
    computed = sorted({index for operator in graph.operators for index in operator.outputs})
    values = [interpreter.get_tensor(index) for index in computed]
    return [(float(each.min()), float(each.max())) for each in values if each.size]


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]))
