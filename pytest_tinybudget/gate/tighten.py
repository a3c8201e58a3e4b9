"""The ratchet: lowers budgets to what models take today plus a margin."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import PairResult


_PERCENT = re.compile(r"\s*(\d{1,4}(?:\.\d{1,4})?)\s*%\s*\Z")
_KB = 1024
#: Budgets below this many KB are rounded up to 16 bytes instead of a whole KB.
_COARSE, _FINE_BYTES = 16, 16


class Margin(Struct, frozen=True):
    """The room to leave above what is used: percent of that, or bytes."""

    percent: float = 0.0
    bytes: int = 0

    @classmethod
    def parsed(cls, text: str) -> Margin:
        """``"5%"`` or ``"2 KB"``.

        Raises:
            TinybudgetError: ``text`` is neither.
        """
        match = _PERCENT.match(text)
        if match is not None:
            return cls(percent=float(match[1]))
        try:
            return cls(bytes=parse_size(text))
        except ValueError:
            raise TinybudgetError(
                f"--margin: expected a percentage or a size such as '5%' or '2 KB', got {text!r}"
            ) from None

    def above(self, used_bytes: int) -> int:
        """``used_bytes`` and the margin, in whole bytes, rounded up."""
        return used_bytes + self.bytes - int(-used_bytes * self.percent // 100)


class Tightened(Struct, frozen=True):
    """A budget that can be lower: its key path, its old and new value, and the bytes used."""

    keys: KeyPath
    line: int
    budget: int
    value: str | int
    lowered: int
    used: int


class LeftAlone(Struct, frozen=True):
    """A budget that stays, because one of its pairs could not be measured."""

    keys: KeyPath
    line: int
    reason: str


def tightened(
    declaration: Declaration, results: Iterable[tuple[Pair | GroupPair, PairResult]], margin: Margin
) -> Iterator[Tightened | LeftAlone]:
    """The budgets of ``declaration`` that can be lowered, by the ``results`` of its pairs.

    A budget applies to all boards and, with a glob or in the defaults, to many models: the
    largest result decides. A budget that is exceeded stays.
    """
    held: dict[KeyPath, list[tuple[Pair | GroupPair, PairResult, Metric]]] = {}
    for pair, result in results:
        for metric in METRICS:
            keys = _where(declaration, pair, metric)
            if keys is not None:
                held.setdefault(keys, []).append((pair, result, metric))
    for keys, entries in sorted(held.items(), key=lambda item: declaration.line_of(*item[0])):
        line = declaration.line_of(*keys)
        sizes = []
        for pair, result, metric in entries:
            measures = {measure.metric: measure.used for measure in result.measures}
            if result.outcome in ("error", "refused") or metric not in measures:
                yield LeftAlone(keys, line, f"{pair.name} on {pair.board.id}: {result.headline}")
                break
            sizes.append(measures[metric])
        else:
            pair, _, metric = entries[0]
            lower = _lower(keys, line, _budget(pair, metric), max(sizes), margin)
            if lower is not None:
                yield lower


def _where(declaration: Declaration, pair: Pair | GroupPair, metric: Metric) -> KeyPath | None:
    """Where the budget of a pair is declared: in its section or in the defaults."""
    if isinstance(pair, GroupPair):
        places: tuple[KeyPath, ...] = (("groups", pair.group.name),)
    else:
        places = (("models", pair.model.section), ("defaults",))
    keys = ((*place, "budget", metric) for place in places)
    return next((each for each in keys if each in declaration.lines), None)


def _budget(pair: Pair | GroupPair, metric: Metric) -> int:
    budget = pair.group.budget if isinstance(pair, GroupPair) else pair.model.budget
    return int(getattr(budget, metric))


def _lower(keys: KeyPath, line: int, budget: int, used: int, margin: Margin) -> Tightened | None:
    """A lower budget, rounded up to whole KB, or to 16 bytes where that would be coarse."""
    wanted = margin.above(used)
    step = _KB if wanted >= _COARSE * _KB else _FINE_BYTES
    lowered = -(-wanted // step) * step
    if lowered >= budget:
        return None
    value = f"{lowered} B" if lowered % _KB else f"{lowered // _KB} KB"
    return Tightened(keys, line, budget, value, lowered, used)
