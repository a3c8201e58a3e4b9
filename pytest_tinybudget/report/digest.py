"""A digest of a run for programs that decide: verdict, counts and each pair's sizes, no parts.

The results file has everything; this has what a job branches on, in a file of a few KB.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.report.review import Group
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import tool_version


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison


_CHARACTERS = 200


def render(results: Sequence[PairResult], comparison: Comparison | None = None) -> str:
    """One JSON object, a line for each pair, those of a model together, new failures first.

    Sizes are integers of bytes, ``[used, limit, change]``; ``change`` is null where the base has
    no such figure. ``standing`` is ``new failure``, ``changed``, ``old failure`` or ``quiet``.
    """
    blocks = blocks_of(rows_of(results, comparison))
    rows = [row for block in blocks for row in block.rows]
    standings = Counter(row.standing for row in rows)
    failed = sum(result.fails_run for result in results)
    head = {
        "schema_version": 1,
        "tool": tool_version(),
        "verdict": "failed" if failed else "passed",
        "base": comparison.base if comparison and comparison.base else None,
        "pairs": len(results),
        "failed": failed,
        "new_failures": standings["new failure"],
        "old_failures": standings["old failure"],
        "changed": standings["changed"],
        "informational": sum(each.failed and each.informational for each in results),
        "warned": sum(result.outcome == "warns" for result in results),
    }
    several = len({_file(row) for row in rows}) > 1
    lines = [json.dumps(_pair(row, several=several), separators=(",", ":")) for row in rows]
    start = json.dumps(head, separators=(",", ":"))[:-1]
    return f'{start},"results":[\n' + ",\n".join(lines) + "\n]}\n"


def _file(row: Row) -> str:
    return row.result.id.partition("::")[0]


def _pair(row: Row, *, several: bool) -> dict[str, object]:
    """A pair; of ``several`` declarations with the file of its own, so that names are clear."""
    pair = row.result
    found: dict[str, object] = {
        **({"file": _file(row)} if several else {}),
        "model": pair.model,
        "board": pair.board,
        "outcome": "gone" if row.is_gone else pair.outcome,
        "standing": row.standing,
    }
    if pair.failed and not row.is_gone:
        found["codes"] = list(pair.codes)
        if pair.informational:
            found["informational"] = True
        found["why"] = printable(Group((row,)).why, limit=_CHARACTERS)
    if row.status:
        found["status"] = row.status
    for measure in pair.measures:
        delta = row.delta(measure.metric)
        found[measure.metric] = [measure.used, measure.limit, delta.bytes if delta else None]
    return found
