"""CSV for spreadsheets: a row for each pair, sizes in integers of bytes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TypeAlias

from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report.escape import csv_cell
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import PairResult


#: Cells by column; an absent one is empty.
_Row: TypeAlias = "dict[str, str | int | None]"

_COLUMNS = (
    *("id", "model", "board", "runtime", "outcome", "model_bytes", "model_sha256"),
    *(f"{key}_{figure}" for key in RESULT_KEYS.values() for figure in ("used", "limit")),
    *("arena_required", "headline"),
)
_COMPARED = (
    "status",
    *(f"{key}_{figure}" for key in RESULT_KEYS.values() for figure in ("base_used", "change")),
)


def render(results: Sequence[PairResult], comparison: Comparison | None = None) -> str:
    """A row for each pair, sorted by id; with a comparison also its status and differences.

    A cell is empty where there is no figure.
    """
    rows = {pair.id: _facts(pair) for pair in results}
    for change in comparison.changes if comparison else ():
        row = rows.setdefault(change.id, _facts(change.shown))
        row.update(_difference(change))
    text = io.StringIO(newline="")
    columns = [*_COLUMNS, *(_COMPARED if comparison else ())]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for _, row in sorted(rows.items()):
        writer.writerow(
            {
                column: csv_cell(cell) if isinstance(cell, str) else cell
                for column, cell in row.items()
            }
        )
    return text.getvalue()


def _facts(pair: PairResult) -> _Row:
    arena = pair.footprint.arena if pair.footprint else None
    row: _Row = {
        "id": pair.id,
        "model": pair.model,
        "board": pair.board,
        "runtime": pair.runtime,
        "outcome": pair.outcome,
        "model_bytes": pair.model_bytes,
        "model_sha256": pair.model_sha256,
        "arena_required": arena.required if arena else None,
        "headline": pair.headline,
    }
    for measure in pair.measures:
        row[f"{RESULT_KEYS[measure.metric]}_used"] = measure.used
        row[f"{RESULT_KEYS[measure.metric]}_limit"] = measure.limit
    return row


def _difference(change: Change) -> _Row:
    row: _Row = {"status": change.status}
    for delta in change.deltas:
        row[f"{RESULT_KEYS[delta.metric]}_base_used"] = delta.base_used
        row[f"{RESULT_KEYS[delta.metric]}_change"] = delta.bytes
    return row
