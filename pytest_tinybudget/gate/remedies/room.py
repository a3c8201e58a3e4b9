"""Other boards with room for a pair, and budgets that could be raised."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from itertools import islice

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.suitability import suits
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.results.types import PairResult


#: How many boards with enough room are named.
_BOARDS_NAMED = 3


def more_room(
    result: PairResult,
    board: Board,
    demands: Demands,
    boards: Mapping[str, Board],
    measured_on: Callable[[Board], Footprint],
) -> Iterator[str]:
    """A higher budget if the board has room for it, else the smallest boards with enough room.

    If the budget is too small as well, the line names both a board and a budget. Boards whose
    figures are not verified are not named.
    """
    footprint = result.footprint
    if footprint is None or not any(measure.over for measure in result.measures):
        return
    raised = _raised(result, demands.budget)
    demands = Demands(placement=demands.placement)
    if _has_room(footprint, board, demands):
        yield f"{board.id} itself has room: a budget of {raised} is enough"
        return
    fitting = (
        other
        for other in smallest_first(boards.values())
        if other.verified and _fits(other, demands, measured_on)
    )
    named = list(islice(fitting, _BOARDS_NAMED))
    if named:
        smallest, *larger = named
        flash, ram = format_size(smallest.flash), format_size(smallest.ram)
        then = f", then {', '.join(each.id for each in larger)}" if larger else ""
        besides = f" (and a budget of {raised})" if raised else ""
        yield (
            f"smallest board with room for it: {smallest.id}, {flash} flash, {ram} RAM"
            f"{then}{besides}"
        )


def other_boards(pair: Pair | GroupPair) -> dict[str, Board]:
    """The boards that may be named. If models declare a runtime, only boards that run it."""
    from pytest_tinybudget.boards import catalog

    known = {**catalog(), **pair.project.boards}
    # A model must be compiled for an accelerator before its size there is known.
    boards = {name: board for name, board in known.items() if not board.accelerator}
    declared = [model.runtime for model in pair.models if model.runtime is not None]
    return {
        name: board
        for name, board in boards.items()
        if all(suits(each, board) == "own" for each in declared)
    }


def smallest_first(boards: Iterable[Board]) -> list[Board]:
    """``boards`` by RAM, then by flash."""
    return sorted(boards, key=lambda board: (board.ram, board.flash, board.id))


def _fits(board: Board, demands: Demands, measured_on: Callable[[Board], Footprint]) -> bool:
    try:
        return _has_room(measured_on(board), board, demands)
    except TinybudgetError:
        return False  # its runtime has no tables, or it has no memory of that kind


def _has_room(footprint: Footprint, board: Board, demands: Demands) -> bool:
    return judge(footprint, board, demands).outcome in ("fits", "warns")


def _raised(result: PairResult, budget: Budget) -> str:
    """The limits of ``budget`` that are too small, raised to what is used, in TOML."""
    raised = [
        f'{measure.metric} = "{-(-measure.used // 1024)} KB"'
        for measure in result.measures
        if (limit := getattr(budget, measure.metric)) is not None and measure.used > limit
    ]
    return f"{{ {', '.join(raised)} }}" if raised else ""
