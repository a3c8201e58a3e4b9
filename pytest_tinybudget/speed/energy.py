"""Energy of an inference, and the life of a battery at a number of inferences an hour.

Energy is power × time. The power is the declared one of the board, else the published one of its
microcontroller alone (``data/power.json``). Low is multiplied by low and high by high.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.speed.latency import Latency


_SECONDS_AN_HOUR = 3600.0


class ActivePower(Struct, frozen=True):
    """Watts while a model runs, and the source of the figure."""

    low: float
    high: float
    basis: str
    declared: bool = False


class Energy(Struct, frozen=True):
    """Joules of one inference, ``None`` where unknown. ``basis`` says in a line how it is known."""

    low: float | None
    high: float | None
    basis: str


class Battery(Struct, frozen=True):
    """The life of a battery that powers inferences and sleep between them, nothing else.

    Amperes and hours are (low, high), ``None`` where unknown. Self-discharge, regulator, sensors
    and radio are not counted.
    """

    duty: tuple[float, float] | None
    active_amperes: tuple[float, float] | None
    average_amperes: tuple[float, float] | None
    life_hours: tuple[float, float] | None


def power_of(board: Board) -> ActivePower | None:
    """The power of ``board`` while a model runs; ``None`` where none is declared or published."""
    declared = board.power.active_watts
    if declared is not None:
        text = f"{format_quantity(declared, 'W')} as declared"
        return ActivePower(declared, declared, text, declared=True)
    for mcu, (low, high) in _published().items():
        if board.mcu.startswith(mcu):
            text = f"{format_range(low, high, 'W')} of the {mcu} alone (MLPerf Tiny)"
            return ActivePower(low, high, text)
    return None


def energy_of(latency: Latency, power: ActivePower | None) -> Energy:
    """Energy of an inference that takes ``latency`` at ``power``."""
    if latency.low is None or latency.high is None:
        return Energy(None, None, f"its time is not known: {latency.basis}")
    if power is None:
        return Energy(None, None, "no published power of this microcontroller is known")
    basis = f"{format_range(latency.low, latency.high, 's')} at {power.basis}"
    return Energy(latency.low * power.low, latency.high * power.high, basis)


def battery_life(
    latency: Latency,
    power: ActivePower | None,
    *,
    per_hour: float,
    sleep_amperes: float,
    volts: float,
    capacity_ampere_hours: float,
) -> Battery:
    """How long a battery lasts at ``per_hour`` inferences, with sleep between them.

    Raises:
        TinybudgetError: the inferences may take more than the hour.
    """
    if latency.low is None or latency.high is None:
        return Battery(None, None, None, None)
    duty = _duty(latency.low, per_hour), _duty(latency.high, per_hour)
    if duty[1] > 1:
        raise TinybudgetError(
            f"{per_hour:g} inferences an hour do not fit into it: each may take "
            f"{format_quantity(latency.high, 's')}"
        )
    if power is None:
        return Battery(duty, None, None, None)
    active = power.low / volts, power.high / volts
    average = (
        _average(active[0], sleep_amperes, duty[0]),
        _average(active[1], sleep_amperes, duty[1]),
    )
    life = capacity_ampere_hours / max(average), capacity_ampere_hours / min(average)
    return Battery(duty, active, (min(average), max(average)), life)


def _duty(seconds: float, per_hour: float) -> float:
    return seconds * per_hour / _SECONDS_AN_HOUR


def _average(active_amperes: float, sleep_amperes: float, duty: float) -> float:
    return active_amperes * duty + sleep_amperes * (1 - duty)


@cache
def _published() -> Mapping[str, tuple[float, float]]:
    """Low and high watts of a microcontroller, found by the start of its name."""
    content = json.loads((Path(__file__).parent / "data" / "power.json").read_text("utf-8"))
    return {
        mcu: (row["low_mw"] / 1e3, row["high_mw"] / 1e3)
        for mcu, row in content["microcontrollers"].items()
    }
