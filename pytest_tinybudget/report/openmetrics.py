"""OpenMetrics text, for GitLab's merge-request metrics and Prometheus: integers of bytes.

GitLab compares the values of a merge request with the target branch's as text, so nothing is
rounded and nothing is a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from pytest_tinybudget.report.escape import openmetrics_label
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.metrics import table_metrics
from pytest_tinybudget.results.types import PairResult


#: Name, what it says, its unit, and a pair's value.
_Kind: TypeAlias = "tuple[str, str, str, Callable[[PairResult], int | None]]"


def render(results: Iterable[PairResult]) -> str:
    """Every pair's sizes and limits, sorted; a pair that was not measured has no sizes."""
    pairs = sorted(results, key=lambda pair: pair.id)
    families: list[_Kind] = [
        *(family for metric in _shown(pairs) for family in _sizes(metric)),
        ("tinybudget_arena_bytes", "Smallest tensor arena that works.", "bytes", _arena),
        ("tinybudget_failed", "1 where the pair fails the gate.", "", _failed),
    ]
    lines = [line for family in families for line in _family(*family, pairs)]
    return "\n".join([*lines, "# EOF"]) + "\n"


def _shown(pairs: Sequence[PairResult]) -> Iterator[Metric]:
    """Metrics that any pair may have, and those that only some have where one does."""
    yield from table_metrics(measure.metric for pair in pairs for measure in pair.measures)


def _sizes(metric: Metric) -> Iterator[_Kind]:
    name, label = f"tinybudget_{RESULT_KEYS[metric]}", LABELS[metric]
    yield f"{name}_bytes", f"{label[0].upper()}{label[1:]} used.", "bytes", partial(_used, metric)
    yield f"{name}_limit_bytes", f"Limit of {label}.", "bytes", partial(_limit, metric)


def _family(
    name: str,
    help_text: str,
    unit: str,
    value_of: Callable[[PairResult], int | None],
    pairs: Sequence[PairResult],
) -> Iterator[str]:
    yield f"# HELP {name} {help_text}"
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    for pair in pairs:
        value = value_of(pair)
        if value is not None:
            yield f"{name}{{{_labels(pair)}}} {value}"


def _labels(pair: PairResult) -> str:
    labels = {"file": pair.id.partition("::")[0], "model": pair.model, "board": pair.board}
    return ",".join(f'{name}="{openmetrics_label(value)}"' for name, value in labels.items())


def _used(metric: Metric, pair: PairResult) -> int | None:
    return next((each.used for each in pair.measures if each.metric == metric), None)


def _limit(metric: Metric, pair: PairResult) -> int | None:
    return next((each.limit for each in pair.measures if each.metric == metric), None)


def _arena(pair: PairResult) -> int | None:
    footprint = pair.footprint
    return footprint.arena.required if footprint and footprint.arena else None


def _failed(pair: PairResult) -> int:
    return int(pair.fails_run)
