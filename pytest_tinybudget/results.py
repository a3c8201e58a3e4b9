"""The results: one type that travels from the verdict to every report.

A report never computes; what it prints is here. ``PairResult`` is what one model takes on one
board against its limits. Sizes are integers of bytes.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Literal

from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part


#: ``fits``; ``warns`` (fits, but above ``warn_at`` or with a notice that asks for attention);
#: ``over`` (a limit is exceeded); ``refused`` (TFLM would not load or run the model);
#: ``unmet`` (fits, but a demand of the declaration is not met: strict, require_int8, verify);
#: ``error`` (could not be measured).
Outcome = Literal["fits", "warns", "over", "refused", "unmet", "error"]

SCHEMA_VERSION = 1

Metric = Literal["flash", "ram"]


@dataclass(frozen=True, slots=True)
class Measure:
    """Flash or RAM of a pair. ``limit_from`` says what set the limit: budget or board."""

    metric: Metric
    used: int
    limit: int
    limit_from: Literal["budget", "board"]
    limit_note: str
    parts: tuple[Part, ...]

    @property
    def free(self) -> int:
        """Bytes left; negative when over."""
        return self.limit - self.used

    @property
    def over(self) -> int:
        """Bytes above the limit, 0 when it fits."""
        return max(0, self.used - self.limit)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An agreed increase: the metric may take ``up_to`` bytes through the day ``until``."""

    metric: Metric
    up_to: int
    reason: str
    until: datetime.date


@dataclass(frozen=True, slots=True)
class PairResult:
    """One model on one board.

    ``id`` is the node id (``tinybudget.toml::kws::arduino-nano-33-ble``, POSIX path);
    ``headline`` stands on its own; ``reasons`` say why and what to change, a line each.
    ``accepted`` holds the agreements without which the pair would fail, ``grown`` the metrics
    that grew more than allowed over the baseline. ``table`` identifies the tables that the
    runtime's figures come from, ``conversion`` the settings that made the model file (empty
    where it was not converted here): results with others are not comparable. ``notes`` are what is
    good to know and asks for nothing, such as how far the INT8 model is from the float model.
    """

    id: str
    model: str
    board: str
    runtime: str
    outcome: Outcome
    headline: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    model_sha256: str = ""
    model_bytes: int = 0
    model_source: str = ""
    declared_at: str = ""
    message: str = ""
    measures: tuple[Measure, ...] = ()
    footprint: Footprint | None = None
    accepted: tuple[Acceptance, ...] = ()
    grown: tuple[Metric, ...] = ()
    table: str = ""
    conversion: str = ""
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the gate is red for this pair."""
        return self.outcome in ("over", "refused", "unmet", "error")
