"""What would make a failing pair pass: changes, each made and measured again, and other boards."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.remedies.advice import Again
from pytest_tinybudget.gate.remedies.advice import advice
from pytest_tinybudget.gate.remedies.advice import meet
from pytest_tinybudget.gate.remedies.changes import Candidate
from pytest_tinybudget.gate.remedies.own_kernels import own_kernels
from pytest_tinybudget.gate.remedies.peak import peak_relief
from pytest_tinybudget.gate.remedies.peak import per_tensor_hints
from pytest_tinybudget.gate.remedies.peak import smaller_tensor
from pytest_tinybudget.gate.remedies.room import more_room
from pytest_tinybudget.gate.remedies.room import smallest_first
from pytest_tinybudget.gate.verdict import Terms
from pytest_tinybudget.results.types import PairResult


__all__ = [
    "Again",
    "Candidate",
    "more_room",
    "peak_relief",
    "per_tensor_hints",
    "remedies",
    "smallest_first",
]


def remedies(
    result: PairResult,
    candidate: Candidate,
    again: Again,
    *,
    terms: Terms,
    boards: Mapping[str, Board],
    measured_on: Callable[[Board], Footprint],
) -> Iterator[str]:
    """What to change so that ``result`` passes, a line each, the cheapest for the user first.

    ``candidate`` is the pair as it is, ``again`` measures it as it would be. ``boards`` are those
    that may be named instead and ``measured_on`` what the pair takes on one of them.
    """
    footprint = result.footprint
    if result.outcome == "refused" and footprint is not None:
        for model in candidate.models:
            yield from own_kernels(footprint, model)
    if result.outcome in ("error", "refused"):
        return
    yield from advice(result, candidate, again)
    if result.outcome == "over":
        yield from more_room(result, candidate.pair.board, terms, boards, measured_on)
    yield from smaller_tensor(result, candidate)
    yield from meet(result, candidate.models, terms)
