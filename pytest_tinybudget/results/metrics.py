"""The sizes that a budget limits and every report shows: one vocabulary for all of them.

A new one is an entry here, a key of the budget in the declaration's schema, and a measure in the
verdict; reports take its name, its order and its code from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from typing import get_args

from msgspec import Struct


#: What a pair takes that can have a limit, by the name that budgets use. ``ram`` is RAM on the
#: chip and ``psram`` external RAM, which are never added together; ``arena`` is what firmware
#: states as the size of its tensor arena, or of the two of a split one.
Metric = Literal["flash", "ram", "psram", "arena", "persistent_arena", "non_persistent_arena"]


class MetricName(Struct, frozen=True):
    """How a metric is called.

    Args:
        label: In sentences and tables.
        result_key: In results files.
        code: The entry of ``codes.CODES`` for a pair over its limit.
        description: What it is, for the results file's schema.
    """

    label: str
    result_key: str
    code: str
    description: str


_NAMES: dict[Metric, MetricName] = {
    "flash": MetricName("flash", "flash", "TB001", "Flash; null when not measured."),
    "ram": MetricName("RAM", "ram", "TB002", "RAM on the chip; null when not measured."),
    "psram": MetricName("PSRAM", "psram", "TB004", "External RAM; null where nothing lies in it."),
    # ``arena`` in a results file is the arena itself, whatever its limit.
    "arena": MetricName(
        "arena",
        "arena_size",
        "TB005",
        "The tensor arena against its budget; null without one.",
    ),
    "persistent_arena": MetricName(
        "persistent arena",
        "persistent_arena",
        "TB005",
        "The persistent part of a split arena against its budget; null without one.",
    ),
    "non_persistent_arena": MetricName(
        "non-persistent arena",
        "non_persistent_arena",
        "TB005",
        "The non-persistent part of a split arena against its budget; null without one.",
    ),
}

#: All metrics in the order of every report.
METRICS: tuple[Metric, ...] = get_args(Metric)

LABELS: dict[Metric, str] = {metric: name.label for metric, name in _NAMES.items()}
RESULT_KEYS: dict[Metric, str] = {metric: name.result_key for metric, name in _NAMES.items()}
DESCRIPTIONS: dict[Metric, str] = {metric: name.description for metric, name in _NAMES.items()}
OVER_CODES: dict[Metric, str] = {metric: name.code for metric, name in _NAMES.items()}

#: What is measured against a budget alone: the board limits the memory that an arena lies in.
ARENA_METRICS: tuple[Metric, ...] = ("arena", "persistent_arena", "non_persistent_arena")

#: What a table has a column for even where no pair has a figure, and each results file a key.
ALWAYS: tuple[Metric, ...] = ("flash", "ram")


def table_metrics(found: Iterable[Metric]) -> tuple[Metric, ...]:
    """The metrics that a table has columns for: flash, RAM, and what else is ``found``."""
    present = {*ALWAYS, *found}
    return tuple(metric for metric in METRICS if metric in present)
