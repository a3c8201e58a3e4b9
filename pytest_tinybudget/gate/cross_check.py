"""The cross-check: a model loaded and run in TFLM's own interpreter, on this machine.

What its operators compute is held to LiteRT (``evaluation/operators.py``), where that is installed.

The interpreter is the ``tflite-micro`` package (the extra ``verify``). It runs in a child process
with a time limit, because a model that it does not expect can crash it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.errors import not_verified
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.evaluation.against_float import FloatComparison
from pytest_tinybudget.evaluation.operators import Comparison
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


#: What the interpreter may take for loading a model and running it once.
TIME_LIMIT_SECONDS = 120

#: The runtime that stands for the ``tflite-micro`` package.
_RUNTIME = "x86_64_ref"

#: The interpreter gets this much more than the simulated arena, so that only a model that it
#: refuses fails to allocate.
_SPARE_ARENA_BYTES = 1024**2

_NO_SOURCE = (
    "verify: outputs not compared with a float model, because none is named: convert from one, or "
    "name it as reference in [models.NAME.accuracy]"
)

_HEAD = re.compile(r"Arena allocation head (\d+) bytes")

_CHILD = """\
import sys
from tflite_micro.python.tflite_micro import runtime
interpreter = runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2]))
interpreter.invoke()
interpreter.print_allocations()
"""


class RealRun(Struct, frozen=True):
    """What happened when the real interpreter ran a model.

    ``failure`` says why it did not load or run (``""``: it ran). ``head`` and
    ``simulated_head`` are the bytes that it and the simulation gave to activations and scratch.
    ``outputs`` is how its operators' outputs compare with LiteRT's, ``None`` where it did not run.
    ``bias`` warns of biases that LiteRT reads as another type. ``source`` is how its outputs
    compare with those of the float model, ``None`` where none is known.
    """

    failure: str = ""
    head: int = 0
    simulated_head: int = 0
    outputs: Comparison | None = None
    bias: str = ""
    source: FloatComparison | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was compared, and what was not."""
        told = self.outputs and (self.outputs.summary, *self.outputs.notes)
        source = self.source.notes if self.source else () if self.failure else (_NO_SOURCE,)
        return tuple(filter(None, (*(told or ()), *source)))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Warnings: what was not compared, and where LiteRT is wrong for sure."""
        return tuple(filter(None, (self.doubt, self.source.doubt if self.source else "")))

    @property
    def doubt(self) -> str:
        """Why no operator's output was compared, or where LiteRT is wrong for sure: a warning."""
        if self.outputs is not None and self.outputs.why_not:
            return f"verify: outputs not compared: {self.outputs.why_not}"
        return f"verify: {self.bias}" if self.bias else ""

    def applied_to(self, verdict: Verdict) -> Verdict:
        """``verdict``, failed if the interpreter failed; one that fails already is unchanged."""
        if verdict.outcome not in ("fits", "warns"):
            return verdict
        if self.failure:
            headline = f"the real interpreter refuses the model: {self.failure}"
            return replace(verdict, outcome="refused", headline=headline)
        if self.head != self.simulated_head:
            return replace(
                verdict,
                outcome="unmet",
                headline=f"verify: the real interpreter's activations take {self.head:,} B, the "
                f"simulated ones {self.simulated_head:,} B; {verdict.headline}",
            )
        if self.outputs is not None and self.outputs.first is not None:
            headline = f"verify: TFLM computes something else: {self.outputs.first.text}"
            return replace(verdict, outcome="unmet", headline=headline)
        if self.source is not None and self.source.failure:
            return replace(verdict, outcome="unmet", headline=f"verify: {self.source.failure}")
        return verdict


class GroupRun(Struct, frozen=True):
    """What happened when the real interpreter ran each model of a group, by their names."""

    runs: tuple[tuple[str, RealRun], ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was compared, and what was not, of each model."""
        return tuple(f"{name}: {note}" for name, run in self.runs for note in run.notes)

    @property
    def doubts(self) -> tuple[str, ...]:
        """Warnings of each model."""
        return tuple(f"{name}: {doubt}" for name, run in self.runs for doubt in run.doubts)

    def applied_to(self, verdict: Verdict) -> Verdict:
        """``verdict``, failed by the first model that fails in the interpreter."""
        for name, run in self.runs:
            found = run.applied_to(verdict)
            if found is not verdict:
                return replace(found, headline=f"{name}: {found.headline}")
        return verdict


def require_interpreter() -> None:
    """Check that the cross-check can run.

    Raises:
        TinybudgetError: the ``tflite-micro`` package is not installed.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise TinybudgetError(
            "verify needs TFLM's interpreter: pip install 'pytest-tinybudget[verify]'",
            code="TB103",
        )


def cross_check(model: Model) -> RealRun:
    """Run ``model`` in the real interpreter, simulate it for that machine, compare its outputs.

    Raises:
        TinybudgetError: the ``tflite-micro`` package is not installed.
    """
    require_interpreter()
    from pytest_tinybudget.footprint.arena import simulate

    arena = simulate(model, RUNTIMES[_RUNTIME]).arena
    required = arena.required if arena else 10 * model.bytes
    try:
        child = _run(model.content, required + _SPARE_ARENA_BYTES)
    except subprocess.TimeoutExpired:
        return RealRun(failure=f"not done after {TIME_LIMIT_SECONDS} s")
    except OSError as error:
        raise not_verified(model.name, error) from None
    messages = child.stderr.decode("utf-8", "replace")
    head = _HEAD.search(messages)
    if child.returncode or head is None:
        return RealRun(failure=_reason(child.returncode, messages))
    from pytest_tinybudget.evaluation.interpreters import untold_bias
    from pytest_tinybudget.evaluation.operators import compare_operators

    return RealRun(
        head=int(head[1]),
        simulated_head=arena.head if arena else 0,
        outputs=compare_operators(model),
        bias=untold_bias(model),
    )


def _run(content: bytes, arena_bytes: int) -> subprocess.CompletedProcess[bytes]:
    """The interpreter's process: in a folder of its own, where no module of the project is."""
    from pytest_tinybudget.base.folders import temporary_folder
    from pytest_tinybudget.base.processes import run

    with temporary_folder() as folder:
        (folder / "model.tflite").write_bytes(content)
        return run(_CHILD, ["model.tflite", str(arena_bytes)], folder, TIME_LIMIT_SECONDS)


def _reason(return_code: int, messages: str) -> str:
    """What the interpreter printed before Python's traceback, else how the process ended."""
    printed = messages.partition("Traceback (most recent call last)")[0].split("\n")
    said = "; ".join(printable(line.strip()) for line in printed if line.strip())
    if return_code < 0:
        said = f"it crashed with signal {-return_code}" + (f" after: {said}" if said else "")
    return said or printable(messages.strip().rpartition("\n")[2]) or f"exit code {return_code}"
