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

from pytest_tinybudget.report.escape import openmetrics_label
from pytest_tinybudget.results import Metric
from pytest_tinybudget.results import PairResult


def render(results: Iterable[PairResult]) -> str:
    """Every pair's sizes and limits, sorted; a pair that was not measured has no sizes."""
    pairs = sorted(results, key=lambda pair: pair.id)
    families: list[tuple[str, str, str, Callable[[PairResult], int | None]]] = [
        ("tinybudget_flash_bytes", "Flash used.", "bytes", partial(_used, "flash")),
        ("tinybudget_flash_limit_bytes", "Limit of flash.", "bytes", partial(_limit, "flash")),
        ("tinybudget_ram_bytes", "RAM used.", "bytes", partial(_used, "ram")),
        ("tinybudget_ram_limit_bytes", "Limit of RAM.", "bytes", partial(_limit, "ram")),
        ("tinybudget_arena_bytes", "Smallest tensor arena that works.", "bytes", _arena),
        ("tinybudget_failed", "1 where the pair fails the gate.", "", _failed),
    ]
    lines = [line for family in families for line in _family(*family, pairs)]
    return "\n".join([*lines, "# EOF"]) + "\n"


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
    return int(pair.failed)
