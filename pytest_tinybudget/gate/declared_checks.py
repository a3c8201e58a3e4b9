"""Declared checks besides fitting boards: accuracy, agreement and rollout, each in its own room."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_tinybudget.declaration.declared import CheckKind
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.gate.verdict import with_figures
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.workspace import Workspace


def _rollout(check: Check, _workspace: Workspace) -> PairResult:
    from pytest_tinybudget.rollout import verdict

    settings = check.rollout
    assert settings is not None
    costs = verdict.costs(settings)
    result = PairResult(
        id=check.id,
        model=check.name,
        board=check.kind,
        runtime="",
        outcome="fits",
        headline=verdict.headline(settings.policy),
        reasons=(),
        declared_at=check.declared_at,
        notes=tuple(cost.text for cost in costs),
        kind=check.kind,
    )
    return with_figures(result, verdict.figures(settings, costs))


def _accuracy(check: Check, workspace: Workspace) -> PairResult:
    from pytest_tinybudget.evaluation.verdict import accuracy_result

    return accuracy_result(check, workspace)


def _agreement(check: Check, workspace: Workspace) -> PairResult:
    from pytest_tinybudget.evaluation.verdict import agreement_result

    return agreement_result(check, workspace)


_RESULTS: Mapping[CheckKind, Callable[[Check, Workspace], PairResult]] = {
    "accuracy": _accuracy,
    "agreement": _agreement,
    "rollout": _rollout,
}


def result_of(check: Check, workspace: Workspace) -> PairResult:
    """The result of ``check``; ``workspace`` has the models.

    Raises:
        TinybudgetError: it cannot be found out.
    """
    return _RESULTS[check.kind](check, workspace)
