"""What chips allow beyond what a board has: a larger partition of the flash, external RAM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.boards.board import Board


#: ESP-IDF places application partitions at multiples of this, the first behind boot loader and
#: table (esp-idf docs, api-guides/partition-tables).
PARTITION_BYTES = 64 * 1024


class Chip(Struct, frozen=True):
    """A microcontroller by the name that boards have it under.

    ``partitions`` is whether a table that the user writes divides its flash, ``psram`` the external
    RAM that modules with it are sold with, bytes (0: none).
    """

    name: str
    partitions: bool = False
    psram: int = 0
    source: str = ""


@cache
def chips() -> Mapping[str, Chip]:
    """The chips of which something is known, by name."""
    content = msgspec.json.decode((Path(__file__).parent / "data" / "chips.json").read_bytes())
    return {
        name: Chip(name, **{**row, "psram": parse_size(row.get("psram", 0))})
        for name, row in content.items()
    }


def largest_partition(board: Board) -> int:
    """The largest application partition that the board's flash has room for; 0: not divided so."""
    chip = chips().get(board.mcu)
    return board.flash - PARTITION_BYTES if chip and chip.partitions else 0


def possible_psram(board: Board) -> int:
    """External RAM that modules with the board's chip are sold with, where the board has none."""
    chip = chips().get(board.mcu)
    return chip.psram if chip and board.block("psram") is None else 0
