"""Finds the pairs that a base declares, and the pairs of a baseline that are still declared."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import FILE_NAME
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.declaration.search import declarations_at
from pytest_tinybudget.declaration.search import split_argument


def declared_in(
    root: Path,
    arguments: Iterable[str],
    start: Path,
    boards: Mapping[str, Board] | None = None,
) -> tuple[list[Declared], dict[str, str]]:
    """The pairs that ``PATH[::MODEL[::BOARD]]`` select in another tree, and the errors there.

    ``root`` is the folder there that ``start`` is here. Files and names that do not exist there
    select nothing. The errors of wrong declarations are by their file, as in ids.
    """
    selected: dict[str, Declared] = {}
    wrong: dict[str, str] = {}
    for argument in arguments:
        path, model, board = split_argument(argument)
        try:
            inside = root / os.path.relpath(start / path, start)
        except ValueError:  # a path on another drive of Windows is not in the tree
            continue
        for declaration in filter(Path.exists, declarations_at(inside)):
            file = relative_path(declaration, root)
            try:
                declared = list(pairs(file, load_declaration(declaration, boards)))
            except TinybudgetError as error:
                wrong[file] = error.message
                continue
            for each in declared:
                if model in ("", each.name) and board in ("", each.target):
                    selected[each.id] = each
    return list(selected.values()), wrong


def still_declared(
    ids: Iterable[str], root: Path, boards: Mapping[str, Board] | None = None
) -> frozenset[str]:
    """The ``ids`` that their file (relative to ``root``) declares, or may declare.

    ``boards`` are those that declarations may name, the catalog's unless given.
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
