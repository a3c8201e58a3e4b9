"""Boards that have room for a pair, where its own has not, and limits that could be higher."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from itertools import islice

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.sizes import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.verdict import Terms
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.results.types import PairResult


#: How many boards with enough room are named.
_BOARDS_NAMED = 3


def more_room(
    result: PairResult,
    board: Board,
    terms: Terms,
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
    raised = _raised(result, terms.budget)
    terms = Terms(placement=terms.placement)
    if _has_room(footprint, board, terms):
        yield f"{board.id} itself has room: a budget of {raised} is enough"
        return
    fitting = (
        other
        for other in smallest_first(boards.values())
        if other.verified and _fits(other, terms, measured_on)
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
    raised = [
        f'{measure.metric} = "{-(-measure.used // 1024)} KB"'
        for measure in result.measures
        if (limit := getattr(budget, measure.metric)) is not None and measure.used > limit
    ]
    return f"{{ {', '.join(raised)} }}" if raised else ""
