"""CSV for spreadsheets: a row for each pair, sizes in integers of bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias
from typing import TypeVar

from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report.escape import csv_cell
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import PairResult


#: A cell; ``None`` is an empty one.
_Cell: TypeAlias = "str | int | None"
_Row: TypeAlias = "dict[str, _Cell]"

_Source = TypeVar("_Source", PairResult, Change)


def _used(metric: Metric, pair: PairResult) -> int | None:
    return next((each.used for each in pair.measures if each.metric == metric), None)


def _limit(metric: Metric, pair: PairResult) -> int | None:
    return next((each.limit for each in pair.measures if each.metric == metric), None)


def _base_used(metric: Metric, change: Change) -> int | None:
    delta = change.delta(metric)
    return delta.base_used if delta else None


def _change(metric: Metric, change: Change) -> int | None:
    delta = change.delta(metric)
    return delta.bytes if delta else None


def _arena(pair: PairResult) -> int | None:
    return pair.footprint.arena.required if pair.footprint and pair.footprint.arena else None


#: Every column in its order, and what of a pair stands in it.
_COLUMNS: dict[str, Callable[[PairResult], _Cell]] = {
    "id": lambda pair: pair.id,
    "model": lambda pair: pair.model,
    "board": lambda pair: pair.board,
    "runtime": lambda pair: pair.runtime,
    "outcome": lambda pair: pair.outcome,
    "model_bytes": lambda pair: pair.model_bytes,
    "model_sha256": lambda pair: pair.model_sha256,
    **{
        f"{key}_{figure}": partial(figure_of, metric)
        for metric, key in RESULT_KEYS.items()
        for figure, figure_of in (("used", _used), ("limit", _limit))
    },
    "arena_required": _arena,
    "headline": lambda pair: pair.headline,
}

#: Behind them with a comparison, and what of a change stands in each.
_COMPARED: dict[str, Callable[[Change], _Cell]] = {
    "status": lambda change: change.status,
    **{
        f"{key}_{figure}": partial(figure_of, metric)
        for metric, key in RESULT_KEYS.items()
        for figure, figure_of in (("base_used", _base_used), ("change", _change))
    },
}


def render(results: Sequence[PairResult], comparison: Comparison | None = None) -> str:
    """A row for each pair, sorted by id; with a comparison also its status and differences.

    A cell is empty where there is no figure.
    """
    rows: dict[str, _Row] = {pair.id: _cells(_COLUMNS, pair) for pair in results}
    for change in comparison.changes if comparison else ():
        row = rows.setdefault(change.id, _cells(_COLUMNS, change.shown))
        row.update(_cells(_COMPARED, change))
    text = io.StringIO(newline="")
    columns = [*_COLUMNS, *(_COMPARED if comparison else ())]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(rows.items()))
    return text.getvalue()


def _cells(columns: Mapping[str, Callable[[_Source], _Cell]], source: _Source) -> _Row:
    found = {column: cell_of(source) for column, cell_of in columns.items()}
    return {name: csv_cell(cell) if isinstance(cell, str) else cell for name, cell in found.items()}
