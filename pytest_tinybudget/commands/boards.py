"""``tinybudget boards``: list, filter and show the boards of the catalog."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import get_args

from msgspec import to_builtins

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.catalog import catalog
from pytest_tinybudget.boards.catalog import search
from pytest_tinybudget.boards.describe import HEAD
from pytest_tinybudget.boards.describe import LABEL_CELLS
from pytest_tinybudget.boards.describe import describe
from pytest_tinybudget.boards.describe import rows
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_cost_option
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import boards_of
from pytest_tinybudget.commands.options import declared_costs
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.options import runtime_of
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.report.console import Console
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.runtimes.placement import Placement


if TYPE_CHECKING:
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.gate.verdict import Verdict
    from pytest_tinybudget.runtimes.runtime import Runtime


_ID, _NAME, _CORE, _RUNTIME, _CLOCK, _FLASH, _RAM, _FLASH_FREE, _RAM_FREE, _NOTE = range(len(HEAD))


def add_commands(subparsers: Subparsers) -> None:
    """Add ``boards``."""
    parser = add_command(
        subparsers,
        "boards",
        "list, filter or show the boards that a declaration may name",
        details="Words search ids, names, vendors, chips and cores; all must occur. "
        "'show ID' prints one board\nwith its memory blocks, what each SDK reserves, and sources. "
        "Free is what bootloader and\nSDK leave a model and TFLM. --fits measures a model for "
        "each board's core, as the gate does.",
        example="tinybudget boards esp32\ntinybudget boards --free-ram 200KB --core m4\n"
        "tinybudget boards --fits models/kws.tflite --vendor arduino\n"
        "tinybudget boards show raspberry-pi-pico",
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="search for these, or: show ID")
    parser.add_argument("--core", metavar="TEXT", help="only with this in the core's name")
    parser.add_argument("--vendor", metavar="TEXT", help="only with this in the vendor's name")
    parser.add_argument(
        "--free-ram", metavar="SIZE", type=_size, default=0, help="only with this much RAM free"
    )
    parser.add_argument(
        "--free-flash", metavar="SIZE", type=_size, default=0, help="only with this much flash free"
    )
    parser.add_argument(
        "--fits", metavar="MODEL", type=Path, help="only those that hold this .tflite file"
    )
    add_cost_option(parser)
    add_shape_option(parser)
    parser.add_argument(
        "--placement",
        choices=get_args(Placement),
        default="static",
        help="with --fits: where the arena goes (default: %(default)s)",
    )
    add_json_option(parser, "JSON, sizes in bytes,")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the boards that match, or show one.

    Raises:
        TinybudgetError: no board matches, or the model cannot be measured.
    """
    words = arguments.words
    verdicts: Mapping[str, Verdict] = {}
    if words[:1] == ["show"] and len(words) > 1:
        boards = boards_of(words[1:])
        lines = [line for board in boards for line in _shown(board)]
    elif arguments.fits:
        boards, verdicts = _fitting(arguments, _matching(arguments))
        lines = _rooms_left(arguments, boards, verdicts)
    else:
        boards = _matching(arguments)
        lines = _listing(boards)
    if arguments.json:
        records = [_record(board, verdicts.get(board.id)) for board in boards]
        if told_as_json(arguments, json.dumps(records, indent=2) + "\n"):
            return 0
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _matching(arguments: argparse.Namespace) -> list[Board]:
    core, vendor = (arguments.core or "").casefold(), (arguments.vendor or "").casefold()
    boards = [
        board
        for board in search(arguments.words)
        if core in board.core.casefold()
        and vendor in board.vendor.casefold()
        and board.ram_room >= arguments.free_ram
        and board.flash_room >= arguments.free_flash
    ]
    if not boards:
        offers = [offer for word in arguments.words for offer in nearest(word, catalog())]
        hint = f"; did you mean {', '.join(map(repr, offers))}?" if offers else ""
        raise TinybudgetError(f"no board matches{hint}", code="TB101")
    return boards


def _fitting(
    arguments: argparse.Namespace, boards: Iterable[Board]
) -> tuple[list[Board], dict[str, Verdict]]:
    """Those of ``boards`` that hold the model, the smallest first, with the verdict on each."""
    from pytest_tinybudget.footprint.measure import measure
    from pytest_tinybudget.gate.remedies.room import smallest_first
    from pytest_tinybudget.gate.verdict import Demands
    from pytest_tinybudget.gate.verdict import judge
    from pytest_tinybudget.runtimes.firmware import Firmware

    model, demands = (
        given_model(arguments, arguments.fits),
        Demands(placement=arguments.placement),
    )
    costs = declared_costs(arguments)
    footprints: dict[Runtime, Footprint] = {}
    verdicts = {}
    for board in boards:
        if board.block(arguments.placement) is None:
            continue
        runtime = runtime_of(board)
        if runtime not in footprints:
            footprints[runtime] = measure(model, Firmware(runtime).with_costs(costs))
        verdicts[board.id] = judge(footprints[runtime], board, demands)
    fitting = [board for board in boards if _passes(verdicts.get(board.id))]
    if not fitting:
        refused = [each.headline for each in verdicts.values() if each.outcome == "refused"]
        reason = refused[0] if refused else f"{counted(len(verdicts), 'board')} too small"
        raise TinybudgetError(f"{arguments.fits.as_posix()}: fits no board that matches: {reason}")
    return smallest_first(fitting), verdicts


def _passes(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.outcome in ("fits", "warns")


_COLUMNS = ("flash", "ram")  # what is left of external RAM stands beside the arena


def _rooms_left(
    arguments: argparse.Namespace, boards: list[Board], verdicts: Mapping[str, Verdict]
) -> list[str]:
    """A row a board: what the model leaves of its flash, its RAM, and the arena's block."""
    head = ("ID", "CORE", "FLASH LEFT", "RAM LEFT", "ARENA IN", "LEFT THERE", "")
    table: list[tuple[str, ...]] = [head]
    for board in boards:
        verdict = verdicts[board.id]
        left = [format_size(each.free) for each in verdict.measures if each.metric in _COLUMNS]
        placed = verdict.placed
        where = (placed.region, format_size(placed.free)) if placed else ("", "")
        table.append((board.id, board.core, *left, *where, _note(board, verdict)))
    style = Console(sys.stdout).style
    align: tuple[Align, ...] = ("left", "left", "right", "right", "left", "right", "left")
    lines = columns(table, align, style, flexible=4, drop=(1, 4, 6, 5))
    model = printable(arguments.fits.name)
    foot = f"{counted(len(boards), 'board')} for {model} ({arguments.placement} arena)"
    return [*lines, *wrapped(f"{foot}, smallest first", style)]


def _note(board: Board, verdict: Verdict) -> str:
    if not board.verified:
        return "unverified"
    return "warns" if verdict.outcome == "warns" else ""


def _listing(boards: list[Board]) -> list[str]:
    style = Console(sys.stdout).style
    lines = columns(
        [HEAD, *rows(boards)],
        ("left",) * 4 + ("right",) * 5 + ("left",),
        style,
        flexible=_NAME,
        drop=(_CLOCK, _FLASH, _RAM, _CORE, _RUNTIME, _NOTE, _FLASH_FREE, _RAM_FREE),
    )
    unverified = sum(not board.verified for board in boards)
    note = f", {unverified} with an unchecked figure" if unverified else ""
    count = counted(len(boards), "board")
    free = "free: what bootloader and SDK leave a model and TFLM"
    return [*lines, *wrapped(f"{count}{note}; {free}", style)]


def _shown(board: Board) -> list[str]:
    """``describe``, wrapped to the terminal below its labels."""
    width = max(Console(sys.stdout).style.width, 2 * LABEL_CELLS)
    indent = " " * LABEL_CELLS
    return [
        part
        for line in describe(board)
        for part in textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)
    ]


def _record(board: Board, verdict: Verdict | None) -> dict[str, object]:
    """``board`` as JSON has it: its fields, what they leave free, and how a model fits."""
    rooms = ("usable_ram", "flash_room", "ram_room", "arena_room")
    record = {**to_builtins(board), **{room: getattr(board, room) for room in rooms}}
    if verdict is not None:
        measures = {
            each.metric: {"used": each.used, "free": each.free} for each in verdict.measures
        }
        placed = to_builtins(verdict.placed) if verdict.placed else None
        record["fits"] = {**measures, "placed": placed, "warnings": list(verdict.warnings)}
    return record
