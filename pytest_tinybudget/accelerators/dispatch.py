"""Chooses the code for the accelerator of a pair's board, and measures the pair with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.accelerators.coral import is_compiled
from pytest_tinybudget.accelerators.coral import lint
from pytest_tinybudget.accelerators.ethos_u import on_ethos_u
from pytest_tinybudget.accelerators.jetson import AT_LEAST
from pytest_tinybudget.accelerators.jetson import on_jetson
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.resolve import EDGE_TPU
from pytest_tinybudget.graph.closing import openness
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.workspace import Workspace


def accelerated(pair: Pair, workspace: Workspace) -> Accelerated:
    """Measure ``pair`` on its board's accelerator; the result is kept for the run.

    Raises:
        TinybudgetError: the model cannot be read or compiled for it, or the compiler is missing.
    """
    if pair.model.placements.model != "flash":
        raise TinybudgetError(
            f"{pair.declared_at}: placement_model on {pair.board.id}: what its accelerator "
            "reads of a model, and where that lies, is for its compiler to say",
            code="TB200",
        )
    model = workspace.model(pair.model)
    key = ("accelerated", pair.id, pair.board.vela)
    return workspace.once(model, key, lambda: _accelerated(pair, model, workspace))


def _accelerated(pair: Pair, model: Model, workspace: Workspace) -> Accelerated:
    board = pair.board
    kind = find_accelerator(board.accelerator).kind
    if kind == "ethos-u" and openness(model).problems:
        footprint = workspace.footprint(model, pair.firmware, details=True)
        found = Accelerated(footprint, model)  # TFLM refuses such a file
    elif kind == "ethos-u":
        strips = pair.model.conversion.strip
        shrinks = pair.model.shrink is not None
        found = on_ethos_u(model, board, pair.firmware, workspace, strips=strips, shrinks=shrinks)
    elif kind == "jetson":
        found = on_jetson(model, board, require_int8=pair.model.require_int8 is True)
    else:
        found = _beside_edge_tpu(pair, model, workspace)
    figures = tuple(_limited(found.figures, pair.model.budget, board.accelerator))
    if kind == "jetson" and pair.model.budget.flash is not None:
        figures = (*figures, _stored(model, pair.model.budget.flash))
    return replace(found, figures=figures)


def _beside_edge_tpu(pair: Pair, model: Model, workspace: Workspace) -> Accelerated:
    """The CPU's footprint, with remarks on what the Edge TPU may run."""
    footprint = workspace.footprint(model, pair.firmware.beside("edge-tpu"), details=True)
    if is_compiled(model):
        return Accelerated(footprint, model, notes=tuple(_compiled(model)))
    found = lint(model)
    verdict, *reasons = (line.strip() for line in found.lines())
    cpu = "flash and RAM are those of the CPU alone: what Coral's compiler makes is not known here"
    maps = found.verdict == "may map"
    return Accelerated(
        footprint=footprint,
        model=model,
        notes=(verdict, *reasons, cpu) if maps else (cpu,),
        warnings=() if maps else (f"{verdict}: {reasons[0]}",),
    )


def _compiled(model: Model) -> Iterator[str]:
    """The result for a file that Coral's compiler has made already."""
    rest = Counter(each.name for each in model.main.operators if each.name != EDGE_TPU)
    besides = ", ".join(f"{name} ({count})" for name, count in rest.most_common())
    yield "compiled for the Edge TPU; " + (f"on the CPU: {besides}" if besides else "all of it")
    yield "flash and RAM are those of the CPU; its kernel for the Edge TPU is bounded, not known"


def _limited(figures: tuple[Figure, ...], budget: Budget, accelerator: str) -> Iterator[Figure]:
    """``figures`` with the declared limits; a limited figure that is not known is added as such.

    A time with only a lower bound can fail its limit, but never pass it.
    """
    unknown = Figure("latency", "s", None, None, "unknown", f"not known for {accelerator}")
    latency = next((each for each in figures if each.name == "latency"), unknown)
    bound = next((each for each in figures if each.name == AT_LEAST), None)
    if budget.latency is not None:
        if bound is not None and bound.low is not None and bound.low > budget.latency:
            latency = replace(bound, name="latency")
        yield replace(latency, limit=budget.latency)
    elif latency is not unknown:
        yield latency
    if bound is not None:
        yield bound
    if budget.energy is not None:
        yield replace(unknown, name="energy", unit="J", limit=budget.energy)


def _stored(model: Model, limit: int) -> Figure:
    """The model file as the only part of flash: a Jetson has no firmware that is linked."""
    size = float(model.bytes)
    return Figure("model file", "B", size, size, "exact", "as it is stored", float(limit))
