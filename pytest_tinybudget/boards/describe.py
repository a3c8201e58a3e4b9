"""Boards in words: rows for a listing, and everything about one board."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.cores import cores
from pytest_tinybudget.sizes import format_size


#: Head of ``rows``. "Free" is what is left for a model and its runtime.
HEAD = ("ID", "NAME", "CORE", "MHZ", "FLASH", "RAM", "FREE FLASH", "FREE RAM", "")

#: Where the text after a label of ``describe`` begins.
LABEL_CELLS = 17

_KINDS = {
    "flash": "flash",
    "sram": "RAM",
    "tcm": "RAM (tightly coupled)",
    "psram": "external RAM, not counted",
}


def rows(boards: Iterable[Board]) -> list[tuple[str, ...]]:
    """One row of text a board, in the columns of ``HEAD``."""
    return [
        (
            board.id,
            board.name,
            board.core,
            str(board.clock_mhz),
            format_size(board.flash),
            format_size(board.ram),
            format_size(board.flash_room),
            format_size(board.ram_room),
            "" if board.verified else "unverified",
        )
        for board in boards
    ]


def describe(board: Board) -> list[str]:
    """Everything about ``board``, a line each, with where the figures come from."""
    return [
        f"{board.id}: {board.name}",
        *_pairs(
            (
                ("vendor", board.vendor),
                ("chip", f"{board.mcu}, {board.core}, {board.clock_mhz} MHz"),
                ("runtime", _runtime(board)),
                ("flash", _room(board.flash, board.usable_flash, board.reserved_flash)),
                ("RAM", _room(board.ram, board.usable_ram, board.reserved_ram)),
                ("largest arena", _arena(board)),
                ("reserve", board.sdk or "nothing known: declare reserved_flash, reserved_ram"),
            )
        ),
        *_regions(board),
        *_pairs((("notes", board.notes), ("source", board.source), ("verified", _verified(board)))),
    ]


def _pairs(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for label, text in pairs:
        if text:
            yield f"  {label + ':':<{LABEL_CELLS - 2}}{text}"


def _room(capacity: int, usable: int, reserved: int) -> str:
    text = f"{format_size(max(0, usable - reserved))} free of {format_size(capacity)}"
    if usable != capacity:
        text += f", {format_size(usable)} usable"
    if reserved:
        text += f", {format_size(reserved)} reserved"
    return text


def _arena(board: Board) -> str:
    text = format_size(board.arena_room)
    if board.largest_ram < board.ram_room:
        text += " (the largest block: an arena is one array)"
    return text


def _runtime(board: Board) -> str:
    if not board.flash_margin_percent:
        return board.runtime
    core = cores().get(board.core)
    why = f": {core.reason}" if core else ""
    return f"{board.runtime}, flash estimated +{board.flash_margin_percent:g} %{why}"


def _regions(board: Board) -> Iterator[str]:
    for region in board.regions:
        usable = "" if region.usable == region.size else f", {format_size(region.usable)} usable"
        kind = _KINDS[region.kind]
        name = "" if region.name == kind else f"{region.name}, "
        yield f"    {name}{kind}: {format_size(region.size)}{usable}"


def _verified(board: Board) -> str:
    return "" if board.verified else "no: a figure is unchecked, so a pass on this board warns"
