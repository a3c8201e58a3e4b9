"""Which pairs ``PATH[::MODEL[::BOARD]]`` stands for, in the working directory or another tree."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.commands.options import find_files
from pytest_tinybudget.errors import TinybudgetError


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared


def select(arguments: Iterable[str]) -> list[Declared]:
    """The pairs that ``arguments`` stand for, each once.

    Raises:
        TinybudgetError: a path, a declaration or a name in an argument is wrong.
    """
    return list({pair.id: pair for each in arguments for pair in _select(each)}.values())


def select_in(root: Path, arguments: Iterable[str]) -> list[Declared]:
    """What ``arguments`` would select with ``root`` as the working directory.

    Files and names that are not there select nothing.

    Raises:
        TinybudgetError: a declaration there is wrong.
    """
    selected = {}
    for argument in arguments:
        path, model, board = _split(argument)
        try:
            inside = root / os.path.relpath(path)
        except ValueError:  # another drive of Windows is no part of the tree
            continue
        for pair in _pairs(inside, root):
            if model in ("", pair.name) and board in ("", pair.target):
                selected[pair.id] = pair
    return list(selected.values())


def _split(argument: str) -> tuple[str, str, str]:
    path, model, board = (*argument.split("::", 2), "", "")[:3]
    return path, model, board


def _select(argument: str) -> list[Declared]:
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.nearest import unknown

    path, model, board = _split(argument)
    selected = list(_pairs(Path(path), Path(), missing_ok=False))
    if not selected and Path(path).is_dir():
        raise TinybudgetError(f"{path}: no {FILE_NAME} here or below; tinybudget init writes one")
    if model:
        valid = {pair.name for pair in selected}
        if model not in valid:
            raise unknown("model", model, valid)
        selected = [pair for pair in selected if pair.name == model]
    if board:
        valid = {pair.target for pair in selected}
        if board not in valid:
            raise unknown("board", board, valid)
        selected = [pair for pair in selected if pair.target == board]
    return selected


def _pairs(path: Path, root: Path, *, missing_ok: bool = True) -> Iterator[Declared]:
    """The pairs of the declaration ``path``, or of those in and below a folder."""
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.declaration.problems import relative

    files = find_files(path, FILE_NAME) if path.is_dir() else [path]
    for file in files:
        if file.exists() or not missing_ok:
            yield from pairs(relative(file, root), load_declaration(file))
