"""Holds the outputs of TFLM's operators to LiteRT's, each on the same inputs.

A model runs in TFLM's interpreter. Then each of its operators runs alone in LiteRT, on what TFLM's
operator was given, and the outputs are compared in steps of the output's scale. So no difference
adds up from one operator to the next, and what may differ follows from how an output is made: two
kernels that round the same real number are a step apart at most, and one that copies numbers rounds
none. A larger difference is decided by the operator in real numbers.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.errors import not_verified
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.model import Model


#: Random inputs that a model is compared on. Those of a model with a state follow each other.
SAMPLES = 4
#: What all of it may take.
TIME_LIMIT_SECONDS = 120

_WORKER = "pytest_tinybudget.evaluation.worker.operators"
_PACKAGES = {"tflite_micro": "TFLM's interpreter", "ai_edge_litert": "LiteRT"}
#: So many operators may end LiteRT before the rest is not compared.
_MOST_CRASHES = 4
_SPARE_ARENA_BYTES = 16 * 1024**2
_LONGEST_NAME = 60


class Difference(Struct, frozen=True):
    """An operator whose output differs beyond rounding.

    Attributes:
        index: its place in the order of execution.
        name: the operator.
        output: the name of its output, which is that of the layer.
        steps: the largest difference from LiteRT, in steps of the output's scale.
        allowed: how many steps rounding explains.
        from_real: steps from the operator in real numbers; ``None`` where that was not run.
    """

    index: int
    name: str
    output: str
    steps: float
    allowed: float
    from_real: float | None = None

    @property
    def text(self) -> str:
        """``"SPACE_TO_BATCH_ND #0 (blocks): 128 steps from LiteRT (at most 0 by rounding)"``."""
        layer = f" ({printable(self.output, limit=_LONGEST_NAME)})" if self.output else ""
        rounding = f"at most {self.allowed:g} by rounding"
        told = f"{self.name} #{self.index}{layer}: {self.steps:.0f} steps from LiteRT ({rounding})"
        if self.from_real is None:
            return told
        return f"{told}, {self.from_real:.1f} from the real number"


class Comparison(Struct, frozen=True):
    """What the comparison of a model's operators found.

    Attributes:
        compared: how many operators were compared, of ``operators``.
        first: the first operator that differs beyond rounding.
        notes: what was not compared, and where LiteRT is the one that is off.
        why_not: why nothing was compared; ``""`` where something was.
    """

    compared: int = 0
    operators: int = 0
    first: Difference | None = None
    notes: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def summary(self) -> str:
        """What was compared, one line; ``""`` where nothing was."""
        if not self.compared:
            return ""
        return (
            f"verify: outputs of {self.compared} of {self.operators} operators held to LiteRT's in "
            "TFLM's interpreter, on the same inputs"
        )


def compare_operators(model: Model) -> Comparison:
    """Compare each operator of ``model`` in TFLM's interpreter with LiteRT, in a child process.

    Raises:
        TinybudgetError: temporary files cannot be written.
    """
    for package, title in _PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            return Comparison(why_not=f"{title} is not installed (pytest-tinybudget[accuracy])")
    crashed: list[int] = []
    while True:
        try:
            found, at, how = _ran(model, crashed)
        except subprocess.TimeoutExpired:
            return Comparison(why_not=f"not done after {TIME_LIMIT_SECONDS} s")
        except OSError as error:
            raise not_verified(model.name, error) from None
        if found is not None:
            return _comparison(found)
        if at < 0 or at in crashed or len(crashed) >= _MOST_CRASHES:
            return Comparison(why_not=how)
        crashed.append(at)


def _ran(model: Model, crashed: list[int]) -> tuple[list[dict[str, Any]] | None, int, str]:
    """What the child found; else the operator at which it ended, and how."""
    from pytest_tinybudget.base.folders import temporary_folder
    from pytest_tinybudget.base.processes import module
    from pytest_tinybudget.base.processes import run
    from pytest_tinybudget.base.processes import signal_name

    arguments = [
        "model.tflite",
        str(arena_bytes(model)),
        str(SAMPLES),
        ",".join(map(str, crashed)),
    ]
    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(model.content)
        child = run(module(_WORKER), arguments, folder, TIME_LIMIT_SECONDS)
    at = -1
    for line in child.stdout.decode("utf-8", "replace").splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if "operators" in told:
            return told["operators"], -1, ""
        at = told.get("at", at)
    if child.returncode < 0:
        return None, at, f"ended by {signal_name(-child.returncode)}"
    text = child.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    return None, -1, printable(text) or f"exit code {child.returncode}"


def _comparison(found: list[dict[str, Any]]) -> Comparison:
    differing = [each for each in found if each["state"] == "differs"]
    left_out = [each for each in found if each["state"] == "not compared"]
    notes = list(_off(found))
    names = dict.fromkeys(each["name"] for each in left_out)
    if left_out:
        notes.append(
            f"outputs of {len(left_out)} of {len(found)} operators not compared: "
            f"{', '.join(map(printable, names))} ({printable(left_out[0]['why'])})"
        )
    first = None
    if differing:
        worst = differing[0]
        first = Difference(
            worst["index"], worst["name"], worst["output"], worst["steps"], worst["allowed"],
            worst.get("from_real"),
        )  # fmt: skip
    return Comparison(len(found) - len(left_out), len(found), first, tuple(notes))


def _off(found: list[dict[str, Any]]) -> Iterator[str]:
    """Notes on the operators where TFLM is right and LiteRT is not, or runs none."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        if each["state"] == "right":
            groups.setdefault(each["name"], []).append(each)
    for name, several in groups.items():
        first, count = several[0], len(several)
        which = f"{name} #{first['index']}" + (f" and {count - 1} more" if count > 1 else "")
        from_real = max(each["from_real"] for each in several)
        steps = max(each["steps"] for each in several)
        off = f"does not run it: {first['why']}" if first["why"] else f"is {steps:.0f} steps off"
        yield (
            f"{which}: TFLM is within {from_real:.1f} steps of the real number, "
            f"LiteRT {printable(off)}"
        )


def arena_bytes(model: Model) -> int:
    """More than any plan needs: all tensors side by side, and room for everything else."""
    tensors = sum(tensor.bytes for graph in model.subgraphs for tensor in graph.tensors)
    return 4 * tensors + 10 * model.bytes + _SPARE_ARENA_BYTES
