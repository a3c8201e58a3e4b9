"""What a reviewer reads: one block a model, failures that are new before those that are old.

Comment, step summary, ``diff`` and the terminal's table share the order and the rows: boards on
which the same is to be said of a model are one row, with ranges where sizes differ a little.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.units import format_delta_range
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size_range
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.report.verdicts import worst_first
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


#: How a pair stands in a review. ``new failure``: it fails, and did not on the base, or not for
#: all that it fails for now, or grew too much (without a base, any failure); ``changed``: it
#: differs from the base and is no new failure; ``old failure``: it fails as it did on the base;
#: ``quiet``: nothing to look at. A pair that is informational is never a failure here.
Standing = Literal["new failure", "changed", "old failure", "quiet"]

_ORDER: tuple[Standing, ...] = ("new failure", "changed", "old failure", "quiet")

#: In a warning the same is said of boards whose sizes differ.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*(?: [KM]?B\b)?")

#: Boards that a row names; more are counted.
NAMED_BOARDS = 2


class Row(Struct, frozen=True):
    """A pair: its result, and what changed where there is a baseline."""

    result: PairResult
    change: Change | None = None

    @property
    def is_gone(self) -> bool:
        """Whether only the base has the pair."""
        return self.change is not None and self.change.head is None

    @property
    def status(self) -> str:
        """What became of it since the base, such as ``removed``; empty if nothing remarkable."""
        if self.change is None or self.change.status in ("changed", "unchanged"):
            return ""
        return self.change.status

    @property
    def standing(self) -> Standing:
        """How it stands in the review."""
        change = self.change
        if self.result.fails_run and not self.is_gone:
            before = change.base if change is not None else None
            if before is None or self.result.grown or self._new_codes(before):
                return "new failure"
            return "changed" if self._grew else "old failure"
        if change is None:
            return "quiet" if self.result.outcome == "fits" else "changed"
        return "quiet" if change.status == "unchanged" else "changed"

    def _new_codes(self, before: PairResult) -> set[str]:
        """What it fails for and did not on the base, which is held to no release of its own.

        Drift is this change's where the change adds to it.
        """
        drifted = {each.metric for each in self.result.drift if each.exceeded}
        added = any((each.bytes or 0) > 0 and each.metric in drifted for each in self._deltas)
        return set(self.result.codes) - set(before.codes) - (set() if added else {"TB024"})

    @property
    def _deltas(self) -> tuple[Delta, ...]:
        return self.change.deltas if self.change is not None else ()

    @property
    def _grew(self) -> bool:
        return any((each.bytes or 0) > 0 for each in self._deltas)

    def measure(self, metric: Metric) -> Measure | None:
        """Its size of a metric, ``None`` where it has none."""
        return next((each for each in self.result.measures if each.metric == metric), None)

    def delta(self, metric: Metric) -> Delta | None:
        """Its change of a metric, ``None`` where there is nothing to compare."""
        return self.change.delta(metric) if self.change else None


class Group(Struct, frozen=True):
    """Rows of one model of which the same is to be said; the worst first."""

    rows: tuple[Row, ...]

    @property
    def worst(self) -> Row:
        """The row that stands for all of them."""
        return self.rows[0]

    @property
    def results(self) -> list[PairResult]:
        """Their results."""
        return [row.result for row in self.rows]

    def sizes(self, metric: Metric) -> list[Measure]:
        """Their sizes of a metric."""
        return [each for row in self.rows if (each := row.measure(metric)) is not None]

    def used(self, metric: Metric) -> str:
        """``"172.3 KB"``, ``"172.3 to 173.7 KB"``; empty where none has the metric."""
        return format_size_range([each.used for each in self.sizes(metric)])

    def ratio(self, metric: Metric) -> str:
        """``"172.3 to 173.7 of 170.0 KB"``: used of the limit; a range where boards differ."""
        sizes = self.sizes(metric)
        if len({(each.used, each.limit) for each in sizes}) == 1:
            return format_ratio(sizes[0].used, sizes[0].limit)
        limit = format_size_range([each.limit for each in sizes])
        number, _, unit = self.used(metric).rpartition(" ")
        return f"{number if limit.endswith(f' {unit}') else f'{number} {unit}'} of {limit}"

    def deltas(self, metric: Metric) -> list[Delta]:
        """Their changes of a metric."""
        return [delta for row in self.rows if (delta := row.delta(metric)) is not None]

    def change(self, metric: Metric) -> str:
        """``"+24.1 to +24.2 KB (+22 %)"``; empty where there is nothing to compare."""
        known = [delta for delta in self.deltas(metric) if delta.bytes is not None]
        if not known:
            return ""
        text = format_delta_range([delta.bytes for delta in known if delta.bytes is not None])
        shares = [delta.percent for delta in known if delta.percent is not None and delta.bytes]
        return text + (f" ({format_percent_delta(max(shares, key=abs))})" if shares else "")

    @property
    def why(self) -> str:
        """Why they fail, in at most a line; empty where they pass."""
        return ", ".join(filter(None, _whys(self.rows)))


class Block(Struct, frozen=True):
    """A model in a review; ``standing`` is that of its worst pair."""

    model: str
    groups: tuple[Group, ...]
    boards: int

    @property
    def standing(self) -> Standing:
        """How its worst pair stands."""
        return self.groups[0].worst.standing

    @property
    def rows(self) -> list[Row]:
        """All of its pairs, the worst first."""
        return [row for group in self.groups for row in group.rows]

    def boards_of(self, group: Group) -> str:
        """``"all 4 boards"``, or the names of one or two, or how many."""
        return boards_text([row.result.board for row in group.rows], self.boards)


def boards_text(boards: Sequence[str], of: int) -> str:
    """``"nano, pico"``, ``"3 of 4 boards"``, ``"all 4 boards"``."""
    if len(boards) <= NAMED_BOARDS:
        return ", ".join(boards)
    if len(boards) == of:
        return f"all {counted(of, 'board')}"
    return f"{len(boards)} of {counted(of, 'board')}"


def rows_of(results: Sequence[PairResult], comparison: Comparison | None) -> list[Row]:
    """The pairs worst first; with a comparison in the order of its changes."""
    if comparison is None or not comparison.base:
        return [Row(result) for result in sorted(results, key=worst_first)]
    return [Row(change.shown, change) for change in comparison.changes]


def blocks_of(rows: Iterable[Row], *, each: bool = False) -> list[Block]:
    """One block a model, in the order of the review; with ``each`` one a pair."""
    models: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        file = row.result.id.partition("::")[0]
        key = (row.result.id,) if each else (file, row.result.model)
        models.setdefault(key, []).append(row)
    blocks = [_block(members[0].result.model, members) for members in models.values()]
    return sorted(blocks, key=lambda block: (_ORDER.index(block.standing), -_growth(block)))


def _block(model: str, rows: list[Row]) -> Block:
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in sorted(rows, key=lambda row: _ORDER.index(row.standing)):
        groups.setdefault(_alike(row), []).append(row)
    return Block(model, tuple(Group(tuple(each)) for each in groups.values()), len(rows))


def _alike(row: Row) -> tuple[object, ...]:
    """What rows of one group have in common: all that a row says but sizes."""
    result = row.result
    over = tuple(each.metric for each in result.measures if each.over)
    drifted = tuple((each.since, each.metric) for each in result.drift if each.exceeded)
    text = "" if over or result.grown or drifted or not result.failed else result.headline
    metrics = tuple(each.metric for each in result.measures)
    changed = tuple(
        delta.metric for delta in (row.change.deltas if row.change else ()) if delta.bytes
    )
    state = (
        row.standing,
        row.status,
        row.is_gone,
        result.kind,
        result.outcome,
        bool(result.accepted),
        result.informational,
    )
    warned = tuple(_NUMBER.sub("", warning) for warning in result.warnings)
    return (*state, over, result.grown, drifted, text, metrics, changed, warned)


def _growth(block: Block) -> int:
    deltas = [
        delta.bytes or 0
        for row in block.rows
        for delta in (row.change.deltas if row.change else ())
    ]
    return max(deltas, default=0)


def _whys(rows: Sequence[Row]) -> Iterator[str]:
    worst = rows[0].result
    if worst.outcome == "over":
        for metric in (each.metric for each in worst.measures if each.over):
            over = [each.over for row in rows if (each := row.measure(metric)) and each.over]
            yield f"{LABELS[metric]} over by {format_size_range(over)}"
    elif grown := len(worst.grown) + sum(each.exceeded for each in worst.drift):
        yield from worst.headline.split("; ")[:grown]
    elif worst.failed:
        yield worst.headline
    elif worst.outcome == "warns":
        yield worst.warnings[0] if worst.warnings else worst.headline


def verdict_text(standings: Iterable[Standing]) -> str:
    """``"5 pairs fail because of this change, 8 failed before; 4 changed, 23 unchanged"``."""
    counts = dict.fromkeys(_ORDER, 0)
    for standing in standings:
        counts[standing] += 1
    new, changed, old, quiet = counts.values()
    failing = [
        f"{counted(new, 'pair')} {'fails' if new == 1 else 'fail'} because of this change"
        * bool(new),
        f"{old} failed before" * bool(old),
    ]
    others = [f"{changed} changed" * bool(changed), f"{quiet} unchanged" * bool(quiet)]
    return "; ".join(filter(None, (", ".join(filter(None, part)) for part in (failing, others))))


def told_once(rows: Sequence[Row], lines: Callable[[PairResult], Iterable[str]]) -> list[str]:
    """The ``lines`` of all ``rows``, each once; with the boards where it is not true for all."""
    boards: dict[str, list[str]] = {}
    for row in rows:
        for line in dict.fromkeys(lines(row.result)):
            boards.setdefault(line, []).append(row.result.board)
    return [
        line if len(named) == len(rows) else f"{line} ({boards_text(named, len(rows))})"
        for line, named in boards.items()
    ]
