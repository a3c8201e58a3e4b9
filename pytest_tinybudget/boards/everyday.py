"""Everyday names of boards: ``pico``, ``Raspberry Pi Pico``, ``esp32s3``, ``rp2040``.

An id always stands for its board. Any other name is compared without case and punctuation: with
the ids and names of boards, with ``data/aliases.json``, and at last with chips, by their beginning.
A chip or a family has several boards: a name of one is never guessed to be one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from pytest_tinybudget.boards.board import Board


#: A shorter word, or one without a digit, is no chip.
_SHORTEST_CHIP = 5


class _Aliases(Struct, frozen=True, forbid_unknown_fields=True):
    """``data/aliases.json``: other names by board id, and the boards of a family by its name."""

    source: str
    boards: dict[str, list[str]]
    families: dict[str, list[str]]


@cache
def aliases() -> Mapping[str, tuple[str, ...]]:
    """Ids of boards by everyday names, which are folded."""
    path = Path(__file__).parent / "data" / "aliases.json"
    data = msgspec.json.decode(path.read_bytes(), type=_Aliases)
    named = {folded(name): (board,) for board, names in data.boards.items() for name in names}
    return {**named, **{folded(name): tuple(ids) for name, ids in data.families.items()}}


def folded(name: str) -> str:
    """``name`` without case and punctuation: ``nano33ble`` of ``Nano 33 BLE``."""
    return re.sub(r"[\W_]+", "", name).casefold()


def boards_called(name: str, boards: Mapping[str, Board]) -> tuple[str, ...]:
    """The ids of those of ``boards`` that ``name`` stands for, in their order.

    One is what was meant; several share a chip or a family; none has such a name.
    """
    if name in boards:
        return (name,)
    wanted = folded(name)
    if not wanted:
        return ()
    return (
        tuple(board for board in boards if folded(board) == wanted)
        or tuple(board for board in boards if board in aliases().get(wanted, ()))
        or tuple(board for board in boards if wanted in map(folded, _names(boards[board])))
        or tuple(_with_chip(wanted, boards))
    )


def several(name: str, ids: Iterable[str]) -> str:
    """What to say of a ``name`` that stands for several boards."""
    return f"{name!r} is several boards, name one: {', '.join(ids)}"


def _names(board: Board) -> tuple[str, ...]:
    return (board.name, *board.name.split(" / "))


def _with_chip(wanted: str, boards: Mapping[str, Board]) -> Iterator[str]:
    if len(wanted) < _SHORTEST_CHIP or not re.search(r"\d", wanted):
        return
    for board in boards:
        words = boards[board].mcu.split()
        if any(folded(" ".join(words[at:])).startswith(wanted) for at in range(len(words))):
            yield board
