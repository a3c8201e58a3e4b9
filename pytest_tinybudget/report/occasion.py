"""When a report is worth writing: something changed, changed by enough, or fails anew.

A comment that comes with every change is read by nobody. A threshold keeps small changes silent,
and never a failure that is new or a size that could not be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.results.types import PairResult


#: Whether a pair is worth a report.
Occasion: TypeAlias = Callable[[Row], bool]

_EXPECTED = "expected a size, a percentage or both, such as 1KB or 1KB,2%"


class Threshold(Struct, frozen=True):
    """How much a size may change, up or down, before a report is worth writing.

    Where both limits are given a change must be above both, as with ``max_increase``.
    """

    bytes: int | None = None
    percent: float | None = None

    def __call__(self, row: Row) -> bool:
        """Whether ``row`` fails anew, or a size of it changed by more, or nobody knows."""
        change = row.change
        if row.standing == "new failure" or change is None or change.status == "not comparable":
            return row.standing != "quiet"
        before = change.base
        if before is not None and before.fails_run and not row.result.fails_run:
            return True
        return any(map(self._exceeded, change.deltas))

    def _exceeded(self, delta: Delta) -> bool:
        base, now = delta.base_used or 0, delta.used or 0
        difference = abs(now - base)
        passed = []
        if self.bytes is not None:
            passed.append(difference > self.bytes)
        if self.percent is not None:
            passed.append(difference * 100 > self.percent * base)
        return bool(difference) and all(passed)


def threshold(text: str, option: str) -> Threshold:
    """``1KB``, ``2%`` or ``1KB,2%`` as a threshold.

    Raises:
        TinybudgetError: it is neither.
    """
    found: dict[str, float] = {}
    for part in (each.strip() for each in text.split(",")):
        kind = "percent" if part.endswith("%") else "bytes"
        try:
            value = float(part[:-1]) if kind == "percent" else parse_size(part)
        except ValueError:
            value = -1.0
        if kind in found or not 0 <= value < float("inf"):
            raise TinybudgetError(f"{option} {text!r}: {_EXPECTED}")
        found[kind] = value
    limit = found.get("bytes")
    return Threshold(None if limit is None else int(limit), found.get("percent"))


def is_changed(row: Row) -> bool:
    """Whether a pair fails, or differs from the base."""
    return row.standing != "quiet"


def fails_anew(row: Row) -> bool:
    """Whether a pair fails because of the change; without a base, whether it fails."""
    return row.standing == "new failure"


def anything_to_say(
    results: Sequence[PairResult],
    comparison: Comparison | None,
    occasion: Occasion = is_changed,
) -> bool:
    """Whether a pair is worth a report; without a base any is, unless only failures are."""
    if (comparison is None or not comparison.base) and occasion is not fails_anew:
        return True
    return any(map(occasion, rows_of(results, comparison)))
