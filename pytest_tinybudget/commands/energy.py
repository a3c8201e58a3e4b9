"""``tinybudget energy``: what an inference costs, and how long a battery lasts."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import Declarable
from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.base.units import parse_quantity
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.commands.waiting import waiting
from pytest_tinybudget.graph.locations import is_c_source
from pytest_tinybudget.report.console import Console
from pytest_tinybudget.report.layout import wrapped


if TYPE_CHECKING:
    from pytest_tinybudget.base.units import Electrical
    from pytest_tinybudget.base.units import Unit
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.speed.energy import Battery
    from pytest_tinybudget.speed.energy import Energy
    from pytest_tinybudget.speed.latency import Latency


#: What a lithium coin cell gives.
_VOLTS = 3.0

_LABEL_CELLS = 18
_HOURS_A_DAY, _DAYS_A_YEAR = 24.0, 365.25


class _Cycle(Struct, frozen=True):
    """How the device is used: SI units, and inferences per hour."""

    capacity: float
    per_hour: float
    sleep: float
    volts: float


def add_commands(subparsers: Subparsers) -> None:
    """Add ``energy``."""
    parser = add_command(
        subparsers,
        "energy",
        "estimate the energy of an inference, and how long a battery lasts",
        details="Energy is time x power; both are estimates from published measurements, and "
        "unknown where\nthere are none (docs/latency.md). State what you measured with "
        "--active-power. A declared\nmodel (tinybudget.toml::kws) takes what its board declares. "
        "Self-discharge, regulators, sensors\nand radio are not in it.",
        example="tinybudget energy models/kws.tflite --board nucleo-l4r5zi \\\n"
        '    --capacity "220 mAh" --per-hour 60 --sleep-current "5 uA"',
    )
    parser.add_argument("model", metavar="MODEL", help="a .tflite file, or FILE::MODEL")
    parser.add_argument("--board", metavar="ID", help="board (tinybudget boards)")
    parser.add_argument("--capacity", metavar="AH", help='of the battery, such as "220 mAh"')
    parser.add_argument(
        "--per-hour", metavar="N", type=float, help="inferences an hour, at even intervals"
    )
    parser.add_argument("--sleep-current", metavar="A", help='between inferences, such as "5 uA"')
    parser.add_argument("--active-power", metavar="W", help='while the model runs, such as "40 mW"')
    parser.add_argument(
        "--voltage", metavar="V", help=f'supply, such as "3.3 V" (default: {_VOLTS:g} V)'
    )
    add_json_option(parser, "JSON, in SI units and hours,")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Estimate the energy of ``arguments.model``.

    Raises:
        TinybudgetError: model, board or a quantity are wrong, or the inferences take too long.
    """
    from pytest_tinybudget.speed.energy import battery_life
    from pytest_tinybudget.speed.energy import energy_of
    from pytest_tinybudget.speed.energy import power_of
    from pytest_tinybudget.speed.latency import latency_of
    from pytest_tinybudget.workspace import Workspace

    pair = _pair(arguments)
    board = _powered(pair.board, arguments)
    cycle = _cycle(arguments, board)
    with (
        waiting("reading the model") as wait,
        closing(Workspace(progress=wait.converting)) as workspace,
    ):
        model = workspace.model(pair.model)
    firmware = pair.firmware
    kernels = firmware.kernels
    latency = latency_of(model, board, kernels, external=firmware.placements.reaches_psram)
    power = power_of(board)
    energy = energy_of(latency, power)
    battery = None
    if cycle is not None:
        battery = battery_life(
            latency,
            power,
            per_hour=cycle.per_hour,
            sleep_amperes=cycle.sleep,
            volts=cycle.volts,
            capacity_ampere_hours=cycle.capacity,
        )
    if arguments.json:
        record = _record(arguments, board, latency, energy, battery)
        if told_as_json(arguments, json.dumps(record, indent=2) + "\n"):
            return 0
    style = Console(sys.stdout).style
    for label, text in _lines(latency, energy, cycle, battery):
        start = f"{label + ':':<{_LABEL_CELLS}}"
        lines = wrapped(text, style, indent=" " * _LABEL_CELLS, start=start)
        sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _pair(arguments: argparse.Namespace) -> Pair:
    """The pair of a declaration that MODEL names, or of a file and a board of the catalog."""
    from pytest_tinybudget.boards.everyday import boards_called
    from pytest_tinybudget.commands.selection import select
    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.declaration.single import pair_of

    if "::" not in arguments.model or is_c_source(Path(arguments.model)):
        if arguments.board is None:
            raise TinybudgetError("--board is missing: tinybudget boards lists them")
        return pair_of(arguments.model, board=arguments.board)
    selected = [each for each in select([arguments.model]) if isinstance(each, Pair)]
    by_id = {each.board.id: each.board for each in selected}
    called = by_id if arguments.board is None else boards_called(arguments.board, by_id)
    pairs = [each for each in selected if each.board.id in called]
    if len(pairs) != 1:
        boards = ", ".join(each.board.id for each in selected)
        raise TinybudgetError(f"{arguments.model}: name one board with --board: {boards}")
    if pairs[0].board.accelerator:
        raise TinybudgetError(
            f"{arguments.model}: nothing is known of the energy of {pairs[0].board.accelerator}"
        )
    return pairs[0]


def _powered(board: Board, arguments: argparse.Namespace) -> Board:
    """``board`` with what the options say of its power."""
    stated = {
        "active_watts": _quantity(arguments, "active_power", "W"),
        "sleep_amperes": _quantity(arguments, "sleep_current", "A"),
        "volts": _quantity(arguments, "voltage", "V"),
    }
    given = {key: value for key, value in stated.items() if value is not None}
    return replace(board, power=replace(board.power, **given))


def _quantity(arguments: argparse.Namespace, option: str, unit: Declarable) -> float | None:
    text = getattr(arguments, option)
    if text is None:
        return None
    try:
        return parse_quantity(text, unit)
    except ValueError as error:
        raise TinybudgetError(f"--{option.replace('_', '-')}: {error}") from None


def _cycle(arguments: argparse.Namespace, board: Board) -> _Cycle | None:
    """The duty cycle; ``None`` where none of its options is given."""
    capacity, sleep = _quantity(arguments, "capacity", "Ah"), board.power.sleep_amperes
    per_hour = arguments.per_hour
    if (capacity, per_hour, arguments.sleep_current) == (None, None, None):
        return None
    if capacity is None or per_hour is None or sleep is None:
        wanted = {"--capacity": capacity, "--per-hour": per_hour, "--sleep-current": sleep}
        missing = ", ".join(option for option, value in wanted.items() if value is None)
        raise TinybudgetError(f"for the life of a battery also give {missing}")
    if not 0 < per_hour < float("inf"):
        raise TinybudgetError(f"--per-hour: expected a number above 0, got {per_hour:g}")
    return _Cycle(capacity, per_hour, sleep, board.power.volts or _VOLTS)


def _lines(
    latency: Latency, energy: Energy, cycle: _Cycle | None, battery: Battery | None
) -> list[tuple[str, str]]:
    lines = [
        ("time", _told((latency.low, latency.high), "s", latency.basis)),
        ("energy", _told((energy.low, energy.high), "J", energy.basis)),
    ]
    if cycle is None or battery is None:
        return lines
    return [
        *lines,
        ("running", _percent(battery.duty)),
        ("average current", _average(battery, cycle)),
        ("battery life", _life(battery, cycle)),
    ]


def _told(ends: tuple[float | None, float | None], unit: Unit, basis: str) -> str:
    low, high = ends
    value = "unknown" if low is None or high is None else format_range(low, high, unit)
    return f"{value} ({basis})"


def _percent(duty: tuple[float, float] | None) -> str:
    if duty is None:
        return "unknown"
    return f"{duty[0] * 100:.3g} to {duty[1] * 100:.3g} % of the time"


def _average(battery: Battery, cycle: _Cycle) -> str:
    if battery.average_amperes is None or battery.active_amperes is None:
        return f"unknown; asleep {format_quantity(cycle.sleep, 'A')}"
    return (
        f"{_range(battery.average_amperes, 'A')} ({_range(battery.active_amperes, 'A')} while a "
        f"model runs, {format_quantity(cycle.sleep, 'A')} asleep, at {cycle.volts:g} V)"
    )


def _life(battery: Battery, cycle: _Cycle) -> str:
    asleep = _duration(cycle.capacity / cycle.sleep)
    if battery.life_hours is None:
        return f"unknown; {asleep} if it only slept"
    low, high = (_duration(hours) for hours in battery.life_hours)
    return f"{low if low == high else f'{low} to {high}'}; {asleep} if it only slept"


def _range(ends: tuple[float, float], unit: Electrical) -> str:
    return format_range(*ends, unit)


def _duration(hours: float) -> str:
    """``"31 hours"``, ``"12 days"``, ``"3.1 years"``."""
    days = hours / _HOURS_A_DAY
    if days < 3:
        return f"{hours:.3g} hours"
    return f"{days:.3g} days" if days < 2 * _DAYS_A_YEAR else f"{days / _DAYS_A_YEAR:.3g} years"


def _record(
    arguments: argparse.Namespace,
    board: Board,
    latency: Latency,
    energy: Energy,
    battery: Battery | None,
) -> dict[str, object]:
    return {
        "model": arguments.model,
        "board": board.id,
        "latency": {"low": latency.low, "high": latency.high, "basis": latency.basis},
        "energy": {"low": energy.low, "high": energy.high, "basis": energy.basis},
        "battery": None
        if battery is None
        else {
            "duty": battery.duty,
            "active_amperes": battery.active_amperes,
            "average_amperes": battery.average_amperes,
            "life_hours": battery.life_hours,
        },
    }
