"""What a declaration asks besides fitting boards, by kind: each kind's room makes the result."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_tinybudget.declaration.declared import CheckKind
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.results import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.gate import Gate

_RESULTS: Mapping[CheckKind, Callable[[Check, Gate], PairResult]] = {}


def result_of(check: Check, gate: Gate) -> PairResult:
    """The result of ``check``; ``gate`` has the models.

    Raises:
        TinybudgetError: it cannot be found out.
    """
    return _RESULTS[check.kind](check, gate)
