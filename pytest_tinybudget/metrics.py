"""The sizes that a budget limits and every report shows: one vocabulary for all of them.

A new one is an entry here, a key of the budget in the declaration's schema, and a measure in the
verdict; reports take its name, its order and its code from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from typing import get_args

from msgspec import Struct


#: What a pair takes that can have a limit, by the name that budgets and results files use.
Metric = Literal["flash", "ram"]


class MetricName(Struct, frozen=True):
    """How a metric is called: ``label`` in sentences and tables, ``result_key`` in results files.

    ``code`` is the entry of ``codes.CODES`` for a pair over its limit.
    """

    label: str
    result_key: str
    code: str


_NAMES: dict[Metric, MetricName] = {
    "flash": MetricName("flash", "flash", "TB001"),
    "ram": MetricName("RAM", "ram", "TB002"),
}

#: All metrics in the order of every report.
METRICS: tuple[Metric, ...] = get_args(Metric)

LABELS: dict[Metric, str] = {metric: name.label for metric, name in _NAMES.items()}
RESULT_KEYS: dict[Metric, str] = {metric: name.result_key for metric, name in _NAMES.items()}
OVER_CODES: dict[Metric, str] = {metric: name.code for metric, name in _NAMES.items()}

#: What a table has a column for even where no pair has a figure.
_ALWAYS: tuple[Metric, ...] = ("flash", "ram")


def shown_metrics(found: Iterable[Metric]) -> tuple[Metric, ...]:
    """The metrics that a table has columns for: flash, RAM, and what else is ``found``."""
    present = {*_ALWAYS, *found}
    return tuple(metric for metric in METRICS if metric in present)
