"""JSON: the results file itself, or what changed where there is a baseline."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report import comparison_json
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance


def render(
    results: Sequence[PairResult],
    comparison: Comparison | None = None,
    provenance: Provenance | None = None,
) -> str:
    """The results file's text; with a comparison its changes instead."""
    if comparison is None:
        return writer.render(results, provenance)
    return comparison_json.render(comparison)
