"""What would make a failing pair pass: every line computed for this model, none guessed."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.budget import Terms
from pytest_tinybudget.budget import judge
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.footprint.abi import align_up
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.preparation import unknown_bounds
from pytest_tinybudget.footprint.resolve import is_own
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import OperatorCost
from pytest_tinybudget.footprint.runtime import Runtime
from pytest_tinybudget.graph.dense import per_tensor_dense
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.names import printable
from pytest_tinybudget.names import toml_key
from pytest_tinybudget.results import Measure
from pytest_tinybudget.results import PairResult
from pytest_tinybudget.sizes import format_size


#: How many boards that would do are named.
_BOARDS_NAMED = 3

_NAME_LENGTH = 60

_ARENA_ALIGNMENT = 16

#: A pair that passes hears of a saving above either.
_HINT_BYTES = 1024
_HINT_SHARE = 0.05


def remedies(
    result: PairResult,
    model: Model,
    board: Board,
    runtime: Runtime,
    *,
    budget: Budget,
    costs: Mapping[str, OperatorCost],
    boards: Mapping[str, Board],
    measured_on: Callable[[Board], Footprint],
) -> Iterator[str]:
    """What to change so that ``result`` passes, a line each, the most useful first.

    ``budget`` is the declared one, ``boards`` are those that may be named as an alternative and
    ``measured_on`` what the model takes on one of them, ``costs`` what the declaration states
    for operators.
    """
    footprint = result.footprint
    if footprint is None:
        return
    if result.outcome == "refused":
        yield from _own_kernels(footprint, model)
    for measure in result.measures:
        if not measure.over:
            continue
        if measure.metric == "flash":
            yield from _less_flash(footprint, measure)
        else:
            yield from _less_ram(footprint, model, runtime, costs, measure)
    if result.outcome == "over":
        yield from more_room(result, board, budget, boards, measured_on)
    if result.outcome == "unmet":
        yield from _meet(result, footprint, model)


def _own_kernels(footprint: Footprint, model: Model) -> Iterator[str]:
    """The lines that declare kernels of the firmware's own, with bounds of what they take."""
    refused = {each.operator for each in footprint.refusals if each.stage == "resolve"}
    flash = {part.name: part.bytes + part.margin_bytes for part in footprint.flash_parts}
    bounds: dict[str, tuple[int, int]] = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.name in refused and is_own(operator):
                known = bounds.get(operator.name, (0, 0))
                persistent, scratch = unknown_bounds(graph, operator)
                bounds[operator.name] = (max(known[0], persistent), max(known[1], scratch))
    for name, (persistent, scratch) in bounds.items():
        yield (
            f"if the firmware registers a kernel of its own for {printable(name)}, add these lines "
            "and put what it takes in the place of these bounds:"
        )
        yield f"[runtime.ops.{toml_key(name)}]"
        yield f'persistent = "{persistent} B"'
        yield f'scratch = "{scratch} B"'
        yield f'flash = "{flash.get(f"operator {name}", 0)} B"'


def _less_flash(footprint: Footprint, measure: Measure) -> Iterator[str]:
    """Single changes of the firmware that suffice (leaving out an operator changes the model).

    Those that cost something else, which their note says, come last.
    """
    for saving in sorted(footprint.savings, key=lambda saving: saving.note != ""):
        if saving.flash_bytes >= measure.over and not saving.change.startswith("without "):
            note = f" ({saving.note})" if saving.note else ""
            yield f"{saving.change}: saves {format_size(saving.flash_bytes)}, then flash fits{note}"


def _less_ram(
    footprint: Footprint,
    model: Model,
    runtime: Runtime,
    costs: Mapping[str, OperatorCost],
    measure: Measure,
) -> Iterator[str]:
    arena = footprint.arena
    if arena is None or arena != simulate(model, runtime, costs).arena:
        return  # another estimator's, which may not plan as TFLM does
    saved = _saved_per_tensor(arena, model, runtime, costs)
    if saved > 0:
        yield (
            "dense layers quantised per tensor instead of per channel: saves "
            f"{format_size(saved)} of arena{_enough(saved, measure)}"
        )
    if arena.decided_by != "used":
        yield (
            f"{format_size(arena.required - arena.used)} of the arena are only for setting up, "
            f"decided by {arena.decided_by}: fewer or smaller layers lower it, not activations"
        )
        return
    if "OfflineMemoryAllocation" not in model.metadata:
        yield from _smaller_tensor(arena, measure)
    gaps = arena.head - arena.optimum_head
    if gaps > 0:
        yield (
            f"gaps between planned tensors take {format_size(gaps)}: an offline memory plan in "
            f"the model can save at most that{_enough(gaps, measure)}"
        )


def per_tensor_hints(
    arena: Arena, model: Model, runtime: Runtime, costs: Mapping[str, OperatorCost]
) -> tuple[str, ...]:
    """What ``per_channel_dense = false`` would save of ``arena``, where it is worth a line."""
    saved = _saved_per_tensor(arena, model, runtime, costs)
    if saved <= min(_HINT_BYTES, arena.required * _HINT_SHARE):
        return ()
    return (f"per_channel_dense = false would save {format_size(saved)} of arena",)


def _saved_per_tensor(
    arena: Arena, model: Model, runtime: Runtime, costs: Mapping[str, OperatorCost]
) -> int:
    """Bytes of ``arena`` that dense layers with one scale would save."""
    per_tensor = per_tensor_dense(model)
    changed = simulate(per_tensor, runtime, costs).arena if per_tensor is not None else None
    return arena.required - changed.required if changed is not None else 0


def _enough(saved_bytes: int, measure: Measure) -> str:
    return ", enough to fit" if saved_bytes >= measure.over else ""


def _smaller_tensor(arena: Arena, measure: Measure) -> Iterator[str]:
    relief = peak_relief(arena)
    if relief is None:
        yield "the arena's peak is held in several places: no single smaller tensor lowers it"
        return
    buffer, saved = relief
    yield (
        f"the arena's peak falls first with {printable(buffer.owner, limit=_NAME_LENGTH)}: "
        f"half of its {format_size(buffer.bytes)} saves up to {format_size(saved)}"
        f"{_enough(saved, measure)}"
    )


def peak_relief(arena: Arena) -> tuple[LiveBuffer, int] | None:
    """The buffer alive at the peak that lowers the head most when halved, and by how many bytes.

    Planned again by the greedy planner; ``None`` where no single buffer lowers the head.
    """
    alive = [
        position
        for position, buffer in enumerate(arena.buffers)
        if buffer.first <= arena.peak_time <= buffer.last
    ]
    heads = {position: _head_with_half(arena.buffers, position) for position in alive}
    best = min(heads, key=lambda position: heads[position], default=None)
    if best is None or heads[best] >= arena.head:
        return None
    return arena.buffers[best], arena.head - heads[best]


def _head_with_half(buffers: tuple[LiveBuffer, ...], position: int) -> int:
    sizes = [buffer.bytes for buffer in buffers]
    sizes[position] = align_up(sizes[position] // 2, _ARENA_ALIGNMENT)
    offsets = plan(
        [
            Request(size, buffer.first, buffer.last)
            for size, buffer in zip(sizes, buffers, strict=True)
        ]
    )
    return max(offset + size for offset, size in zip(offsets, sizes, strict=True))


def more_room(
    result: PairResult,
    board: Board,
    budget: Budget,
    boards: Mapping[str, Board],
    measured_on: Callable[[Board], Footprint],
) -> Iterator[str]:
    """A higher budget where the board has room for it, else the smallest boards that have.

    Another board alone is no remedy where the budget, too, is smaller than what is used. Boards
    with an unchecked figure are not named.
    """
    footprint = result.footprint
    if footprint is None or not any(measure.over for measure in result.measures):
        return
    raised = _raised(result, budget)
    terms = Terms(placement=result.placed.placement if result.placed else "static")
    if _has_room(footprint, board, terms):
        yield f"{board.id} itself has room: a budget of {raised} would do"
        return
    fitting = [
        other
        for other in smallest_first(boards.values())
        if other.verified and _fits(other, terms, measured_on)
    ]
    if fitting:
        smallest, *larger = fitting[:_BOARDS_NAMED]
        flash, ram = format_size(smallest.flash), format_size(smallest.ram)
        then = f", then {', '.join(each.id for each in larger)}" if larger else ""
        besides = f" (and a budget of {raised})" if raised else ""
        yield (
            f"smallest board with room for it: {smallest.id}, {flash} flash, {ram} RAM"
            f"{then}{besides}"
        )


def smallest_first(boards: Iterable[Board]) -> list[Board]:
    """``boards`` by RAM, then by flash."""
    return sorted(boards, key=lambda board: (board.ram, board.flash, board.id))


def _fits(board: Board, terms: Terms, measured_on: Callable[[Board], Footprint]) -> bool:
    try:
        return _has_room(measured_on(board), board, terms)
    except TinybudgetError:
        return False  # its runtime has no tables, or it has no memory of that kind


def _has_room(footprint: Footprint, board: Board, terms: Terms) -> bool:
    return judge(footprint, board, terms).outcome in ("fits", "warns")


def _raised(result: PairResult, budget: Budget) -> str:
    """The limits of ``budget`` that are below what is used, raised to it; as the file has them."""
    limits = {"flash": budget.flash, "ram": budget.ram}
    raised = [
        f'{measure.metric} = "{-(-measure.used // 1024)} KB"'
        for measure in result.measures
        if (limit := limits[measure.metric]) is not None and measure.used > limit
    ]
    return f"{{ {', '.join(raised)} }}" if raised else ""


def _meet(result: PairResult, footprint: Footprint, model: Model) -> Iterator[str]:
    operators = {each.name for subgraph in model.subgraphs for each in subgraph.operators}
    for name in sorted(operators - set(rules())) if footprint.unknown else ():
        yield (
            f"state what {printable(name)} costs: [runtime.ops.{toml_key(name)}] "
            'persistent = "…", scratch = "…", flash = "…"'
        )
    if any(part.name == "stack" and part.method == "estimated" for part in footprint.ram_parts):
        yield f'state the stack that you measured: stack = "…" ({result.declared_at})'
    if footprint.not_int8:
        yield f'convert to full INT8, or set require_int8 = "warn" ({result.declared_at})'
