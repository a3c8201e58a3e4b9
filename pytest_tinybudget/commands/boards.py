"""``tinybudget boards``: list, search and show the boards of the catalogue."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import asdict

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.catalogue import catalogue
from pytest_tinybudget.boards.catalogue import find_board
from pytest_tinybudget.boards.catalogue import search
from pytest_tinybudget.boards.describe import HEAD
from pytest_tinybudget.boards.describe import LABEL_CELLS
from pytest_tinybudget.boards.describe import describe
from pytest_tinybudget.boards.describe import rows
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.nearest import nearest
from pytest_tinybudget.report.console import Console
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped


_ID, _NAME, _CORE, _CLOCK, _FLASH, _RAM, _FLASH_FREE, _RAM_FREE, _NOTE = range(len(HEAD))


def add_commands(subparsers: Subparsers) -> None:
    """Add ``boards``."""
    parser = add_command(
        subparsers,
        "boards",
        "list, search or show the boards that a declaration may name",
        details="Words search ids, names, vendors, chips and cores; all must occur. "
        "'show ID' prints one board\nwith its memory blocks, what its SDK reserves, and sources.",
        example="tinybudget boards esp32\ntinybudget boards show raspberry-pi-pico",
    )
    parser.add_argument("words", metavar="WORD", nargs="*", help="search for these, or: show ID")
    parser.add_argument("--core", metavar="TEXT", help="only with this in the core's name")
    parser.add_argument("--vendor", metavar="TEXT", help="only with this in the vendor's name")
    parser.add_argument("--json", action="store_true", help="print JSON, sizes in bytes")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """List the boards that match, or show one.

    Raises:
        TinybudgetError: no board matches.
    """
    words = arguments.words
    if words[:1] == ["show"] and len(words) > 1:
        boards = [find_board(board_id) for board_id in words[1:]]
        lines = [line for board in boards for line in _shown(board)]
    else:
        boards = _matching(arguments)
        lines = _listing(boards)
    if arguments.json:
        lines = [json.dumps([_record(board) for board in boards], indent=2)]
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _matching(arguments: argparse.Namespace) -> list[Board]:
    core, vendor = (arguments.core or "").casefold(), (arguments.vendor or "").casefold()
    boards = [
        board
        for board in search(arguments.words)
        if core in board.core.casefold() and vendor in board.vendor.casefold()
    ]
    if not boards:
        offers = [offer for word in arguments.words for offer in nearest(word, catalogue())]
        hint = f"; did you mean {', '.join(map(repr, offers))}?" if offers else ""
        raise TinybudgetError(f"no board matches{hint}")
    return boards


def _listing(boards: list[Board]) -> list[str]:
    style = Console(sys.stdout).style
    lines = columns(
        [HEAD, *rows(boards)],
        ("left", "left", "left", "right", "right", "right", "right", "right", "left"),
        style,
        flexible=_NAME,
        drop=(_CLOCK, _FLASH, _RAM, _CORE, _NOTE, _FLASH_FREE, _RAM_FREE),
    )
    unverified = sum(not board.verified for board in boards)
    note = f", {unverified} with an unchecked figure" if unverified else ""
    count = "1 board" if len(boards) == 1 else f"{len(boards)} boards"
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


def _record(board: Board) -> dict[str, object]:
    """``board`` as JSON has it: its fields, and what they leave free."""
    rooms = ("usable_ram", "flash_room", "ram_room", "arena_room")
    return {**asdict(board), **{room: getattr(board, room) for room in rooms}}
