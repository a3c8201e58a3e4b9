"""The catalog of boards: ``data/catalogue/VENDOR.json`` read into ``Board`` objects."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.lazy_mapping import LazyMapping
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.units import parse_size
from pytest_tinybudget.boards.board import BARE_METAL
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.board import Sdk
from pytest_tinybudget.boards.board import largest_static
from pytest_tinybudget.boards.everyday import boards_called
from pytest_tinybudget.boards.everyday import several
from pytest_tinybudget.runtimes.distributions import default_runtime
from pytest_tinybudget.runtimes.stand_ins import find_stand_in


@cache
def catalog() -> Mapping[str, Board]:
    """All boards of the package by id, sorted by id; each is made when it is asked for."""
    rows = {}
    for file in (Path(__file__).parent / "data" / "catalogue").glob("*.json"):
        content = msgspec.json.decode(file.read_bytes())
        for row in content["boards"]:
            rows[row["id"]] = (row, content["vendor"])
    return LazyMapping(dict(sorted(rows.items())), lambda _, row: _board(*row))


def with_others(boards: Mapping[str, Board], others: Mapping[str, Board]) -> Mapping[str, Board]:
    """``boards`` and ``others``, which take the place of those with their ids."""
    # Only read, which ChainMap's annotations do not foresee.
    return ChainMap(others, boards) if others else boards  # type: ignore[arg-type]


def find_board(board_id: str, boards: Mapping[str, Board] | None = None) -> Board:
    """The board with the id or everyday name ``board_id``, out of ``boards`` or the catalog.

    Raises:
        TinybudgetError: no such board, or the name is a chip's or a family's that several boards
            have; names the ids.
    """
    known = catalog() if boards is None else boards
    found = boards_called(board_id, known)
    if len(found) > 1:
        raise TinybudgetError(several(board_id, found), code="TB101")
    if not found:
        raise unknown("board", board_id, known)
    return known[found[0]]


def find_boards(name: str, boards: Mapping[str, Board] | None = None) -> tuple[Board, ...]:
    """The boards with this id or everyday name: all of a chip or a family.

    Raises:
        TinybudgetError: no such board; names the nearest ids.
    """
    known = catalog() if boards is None else boards
    found = boards_called(name, known)
    if not found:
        raise unknown("board", name, known)
    return tuple(known[each] for each in found)


def search(words: Iterable[str], boards: Mapping[str, Board] | None = None) -> list[Board]:
    """Boards in whose id, name, vendor, microcontroller or core every word occurs.

    A word that occurs nowhere may be an everyday name.
    """
    wanted = [word.casefold() for word in words]
    known = catalog() if boards is None else boards
    called = {word: boards_called(word, known) for word in wanted}
    return [
        board
        for board in known.values()
        if all(word in _text(board) or board.id in called[word] for word in wanted)
    ]


def _text(board: Board) -> str:
    return " ".join((board.id, board.name, board.vendor, board.mcu, board.core)).casefold()


def _board(row: Mapping[str, Any], vendor: str) -> Board:
    core = find_stand_in(row["core"])
    regions = tuple(_region(region) for region in row["regions"])
    sdks = (*(_sdk(name, figures) for name, figures in row.get("sdks", {}).items()), BARE_METAL)
    sdk = next(each for each in sdks if each.name == row["sdk"])
    return Board(
        id=row["id"],
        name=row["name"],
        mcu=row["mcu"],
        core=row["core"],
        clock_mhz=row["clock_mhz"],
        flash=parse_size(row["flash"]),
        ram=parse_size(row["ram"]),
        usable_flash=parse_size(row["usable_flash"]),
        largest_ram=largest_static(regions, sdk.reserved_ram),
        reserved_flash=sdk.reserved_flash,
        reserved_ram=sdk.reserved_ram,
        runtime=default_runtime(core.name, sdk.name),
        regions=regions,
        source=row["source"],
        vendor=vendor,
        sdk=sdk.name,
        notes=row.get("notes", ""),
        verified=row.get("verified", True),
        flash_margin_percent=core.flash_margin_percent,
        sdks=sdks,
        largest_heap=max((each.heap_block for each in regions if each.heap_block), default=None),
    )


def _region(row: Mapping[str, Any]) -> Region:
    size = parse_size(row["size"])
    return Region(
        name=row["name"],
        kind=row["kind"],
        size=size,
        usable=parse_size(row.get("usable", size)),
        static_limit=parse_size(row["static_limit"]) if "static_limit" in row else None,
        heap_block=parse_size(row["heap_block"]) if "heap_block" in row else None,
    )


def _sdk(name: str, row: Mapping[str, Any]) -> Sdk:
    return Sdk(
        name=name,
        reserved_flash=parse_size(row["reserved_flash"]),
        reserved_ram=parse_size(row["reserved_ram"]),
        source=row["source"],
        notes=row.get("notes", ""),
        complete=row.get("complete", True),
    )
