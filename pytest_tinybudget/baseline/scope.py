"""Which pairs of a baseline are still declared: a pair that did not run is not a removed one."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import FILE_NAME
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.errors import TinybudgetError


def still_declared(
    ids: Iterable[str], root: Path, boards: Mapping[str, Board] | None = None
) -> frozenset[str]:
    """Those of ``ids`` whose file, relative to ``root``, declares them or cannot tell.

    ``boards`` are those that declarations may name, the catalogue's unless given.
    """
    by_file: dict[str, set[str]] = {}
    for each in ids:
        by_file.setdefault(each.partition("::")[0], set()).add(each)
    found: set[str] = set()
    for file, its in by_file.items():
        declared = _declared(root / file, file, boards)
        found |= its if declared is None else its & declared
    return frozenset(found)


def _declared(path: Path, file: str, boards: Mapping[str, Board] | None) -> set[str] | None:
    """The ids that a file declares; ``None`` for a test module or a broken declaration."""
    if not path.exists():
        return set()
    if path.name != FILE_NAME:
        return None
    try:
        declaration = load_declaration(path, boards)
    except TinybudgetError:
        return None
    return {pair.id for pair in pairs(file, declaration)}
