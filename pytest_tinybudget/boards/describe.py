"""Boards in words: rows for a listing, and everything about one board."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.board import Sdk
from pytest_tinybudget.runtimes.distributions import named
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.distributions import sdks
from pytest_tinybudget.runtimes.stand_ins import stand_ins
from pytest_tinybudget.runtimes.tables import choose_table


#: Head of ``rows``. "Free" is what is left for a model and its runtime.
HEAD = ("ID", "NAME", "CORE", "RUNTIME", "MHZ", "FLASH", "RAM", "FREE FLASH", "FREE RAM", "")

#: Where the text after a label of ``describe`` begins.
LABEL_CELLS = 17

#: Any flash: whether there is a margin does not depend on it.
_SOME_FLASH = 1000

_KINDS = {
    "flash": "flash",
    "sram": "RAM",
    "tcm": "RAM (tightly coupled)",
    "psram": "external RAM",
}


def rows(boards: Iterable[Board]) -> list[tuple[str, ...]]:
    """One row of text a board, in the columns of ``HEAD``."""
    return [
        (
            board.id,
            board.name,
            board.core,
            board.runtime,
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
                ("static arena", _static_arena(board)),
                ("heap arena", _heap_arena(board)),
                ("PSRAM arena", _psram_arena(board)),
            )
        ),
        *(f"    {region_text(region)}" for region in board.regions),
        *_reserves(board),
        *_pairs((("notes", board.notes), ("source", board.source), ("verified", _verified(board)))),
    ]


def region_text(region: Region) -> str:
    """A block of memory with what is known of it: ``"DRAM, RAM: 180.0 KB, 176.5 KB usable"``."""
    kind = _KINDS[region.kind]
    parts = [f"{kind if region.name == kind else f'{region.name}, {kind}'}"]
    parts[0] += f": {format_size(region.size)}"
    if region.usable != region.size:
        parts.append(f"{format_size(region.usable)} usable")
    if region.is_ram and region.usable and not region.static_room:
        parts.append("no static data")
    if region.heap_block is not None:
        parts.append(f"heap block of {format_size(region.heap_block)} at boot")
    return ", ".join(parts)


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


def _static_arena(board: Board) -> str:
    text = f"at most {format_size(board.arena_room)}"
    if board.largest_ram < board.ram_room:
        text += " (the largest block: an arena is one array)"
    return text


def _heap_arena(board: Board) -> str:
    block = board.block("heap")
    if block is None or not block.published:
        return "not published: measure the largest free block at boot, declare largest_heap"
    return f"at most {format_size(min(block.room, board.ram_room))} (at boot, {block.region})"


def _psram_arena(board: Board) -> str:
    block = board.block("psram")
    return f"at most {format_size(block.room)} (slower)" if block else ""


def _reserves(board: Board) -> Iterator[str]:
    """What each SDK takes, the one that counts first."""
    if board.chosen_sdk is None:
        reserve = board.sdk or "nothing known: declare reserved_flash, reserved_ram"
        yield from _pairs((("reserve", reserve),))
    for sdk in sorted(board.sdks, key=lambda sdk: sdk.name != board.sdk):
        label = "reserve" if sdk.name == board.sdk else "or"
        yield from _pairs(((label, _sdk(sdk)),))


def _sdk(sdk: Sdk) -> str:
    sizes = f"{format_size(sdk.reserved_flash)} flash, {format_size(sdk.reserved_ram)} RAM"
    return f'sdk = "{sdk.name}": {sizes}: {sdk.notes} ({sdk.source})'


def _runtime(board: Board) -> str:
    """What it is measured with: whose TFLM, of which commit, with which kernels."""
    release = named(board.runtime)
    text = board.runtime
    if release is not None:
        made = release.on(board.core) or release.usual
        version = f" {made.kernels.version.name}".rstrip()
        text += f" (TFLM {made.tflm_commit}, {made.kernels.label}{version})"
        text += f', what sdk = "{board.sdk}" ships' if board.sdk in sdks() else ""
    if not board.flash_margin_percent:
        return text + _margins_of_its_table(board)
    core = stand_ins().get(board.core)
    why = f": {core.reason}" if core else ""
    return f"{text}, flash estimated +{board.flash_margin_percent:g} %{why}"


def _margins_of_its_table(board: Board) -> str:
    """Why the board's flash may be more than its table's."""
    if board.core not in stand_ins():
        return ""
    runtime = runtime_called(board.runtime, board.core)
    margins = choose_table(runtime.for_core(board.core)).margins(_SOME_FLASH)
    notes = [margin.note for margin in margins if margin.bytes]
    return f", flash estimated: {'; '.join(notes)}" if notes else ""


def _verified(board: Board) -> str:
    return "" if board.verified else "no: a figure is unchecked, so a pass on this board warns"
