"""A comparison for programs: what changed in each pair and why, sizes in integers of bytes."""

from __future__ import annotations

from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.results.form import Json
from pytest_tinybudget.results.writer import to_text


def render(comparison: Comparison) -> str:
    """Every change, sorted by id; the sides in full are in the two results files."""
    changes = sorted(comparison.changes, key=lambda change: change.id)
    return to_text(
        {
            "schema_version": 1,
            "base": comparison.base,
            "head": comparison.head,
            "notes": list(comparison.notes),
            "changes": [_change(change) for change in changes],
        }
    )


def _change(change: Change) -> Json:
    return {
        "id": change.id,
        "base_id": change.base_id,
        "model": change.model,
        "board": change.board,
        "status": change.status,
        "model_changed": change.model_changed,
        "notes": list(change.notes),
        "base_outcome": change.base.outcome if change.base else None,
        "outcome": change.head.outcome if change.head else None,
        "deltas": [_plain(delta) for delta in change.deltas],
        "causes": _plain(change.causes),
    }


def _plain(value: object) -> object:
    """Nested data classes as JSON values; a day as ``2026-12-31``."""
    import msgspec

    return msgspec.to_builtins(value)
