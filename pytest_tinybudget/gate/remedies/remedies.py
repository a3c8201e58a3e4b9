"""Advice for a failing pair: changes that were tried, other boards, missing declarations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.gate.remedies.advice import advice
from pytest_tinybudget.gate.remedies.advice import unmet_requirements
from pytest_tinybudget.gate.remedies.changes import Candidate
from pytest_tinybudget.gate.remedies.own_kernels import own_kernels
from pytest_tinybudget.gate.remedies.peak import smaller_tensor
from pytest_tinybudget.gate.remedies.room import more_room
from pytest_tinybudget.gate.remedies.room import other_boards
from pytest_tinybudget.gate.remedies.trial import Trial
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import PairResult


def remedies(
    result: PairResult, pair: Pair | GroupPair, models: tuple[Model, ...], trial: Trial
) -> tuple[str, ...]:
    """What to change so that ``result`` passes, a line each, the cheapest for the user first.

    ``pair`` failed, ``models`` are its models, and ``trial`` measures changed pairs.
    """
    with trial.workspace.trial():
        return tuple(_remedies(result, Candidate(pair, models), trial))


def _remedies(result: PairResult, candidate: Candidate, trial: Trial) -> Iterator[str]:
    footprint = result.footprint
    if result.outcome == "refused" and footprint is not None:
        for model in candidate.models:
            yield from own_kernels(footprint, model)
    if result.outcome in ("error", "refused"):
        return
    demands = trial.rules.demands(candidate.pair)
    yield from advice(result, candidate, trial.result)
    if result.outcome == "over":
        board, others = candidate.pair.board, other_boards(candidate.pair)
        measured_on = partial(trial.footprint_on, candidate)
        yield from more_room(result, board, demands, others, measured_on)
    yield from smaller_tensor(result, candidate)
    yield from unmet_requirements(result, candidate.models, demands)
