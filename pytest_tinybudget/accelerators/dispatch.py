"""Which accelerator a pair's board has, and what it makes of the pair's model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.accelerators.coral import lint
from pytest_tinybudget.accelerators.ethos_u import Measure
from pytest_tinybudget.accelerators.ethos_u import on_ethos_u
from pytest_tinybudget.accelerators.jetson import on_jetson
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.convert.cache import Cache
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results import Figure


def accelerate(pair: Pair, model: Model, measure: Measure, cache: Cache | None) -> Accelerated:
    """``pair``'s ``model`` on the accelerator of its board, which has one.

    Raises:
        TinybudgetError: the model cannot be compiled for it, or the compiler is missing.
    """
    board, costs = pair.board, pair.declaration.operators
    kind = find_accelerator(board.accelerator).kind
    if kind == "ethos-u":
        found = on_ethos_u(model, board, pair.choice, costs, measure, cache)
    elif kind == "jetson":
        found = on_jetson(model, board, require_int8=pair.model.require_int8 is True)
    else:
        found = _beside_edge_tpu(pair, model, measure)
    return replace(found, figures=tuple(_limited(pair, found.figures)))


def _beside_edge_tpu(pair: Pair, model: Model, measure: Measure) -> Accelerated:
    """The CPU's figures, and in words what the Edge TPU may take over."""
    verdict, *lines = lint(model).lines()
    told = (verdict, *(line.strip() for line in lines))
    maps = lint(model).verdict == "may map"
    note = "flash and RAM are those of the CPU alone: what Coral's compiler makes is not known here"
    return Accelerated(
        footprint=measure(model, pair.choice, pair.declaration.operators),
        model=model,
        notes=(*(told if maps else ()), note),
        warnings=() if maps else ("; ".join(told[:2]),),
        advice=(),
    )


def _limited(pair: Pair, figures: tuple[Figure, ...]) -> Iterator[Figure]:
    """``figures`` with the declared limits; what is only bounded from below never passes one."""
    budget, board = pair.model.budget, pair.board
    known = {figure.name: figure for figure in figures}
    bound = known.get("latency, at least")
    nothing = Figure("latency", "s", None, None, "unknown", f"not known for {board.accelerator}")
    latency = known.get("latency", nothing)
    if budget.latency is not None and bound is not None:
        exceeds = bound.low is not None and bound.low > budget.latency
        latency = replace(bound if exceeds else nothing, name="latency")
    if budget.latency is not None or latency.low is not None or latency is not nothing:
        yield replace(latency, limit=budget.latency)
    if bound is not None:
        yield bound
    if budget.energy is not None:
        basis = f"not known for {board.accelerator}"
        yield Figure("energy", "J", None, None, "unknown", basis, budget.energy)
