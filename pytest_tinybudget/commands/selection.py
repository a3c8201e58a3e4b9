"""Which pairs ``PATH[::MODEL[::BOARD]]`` stands for in the working directory."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.errors import TinybudgetError


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared


def select(arguments: Iterable[str]) -> list[Declared]:
    """The pairs that ``arguments`` stand for, each once.

    Raises:
        TinybudgetError: a path, a declaration or a name in an argument is wrong.
    """
    return list({pair.id: pair for each in arguments for pair in _select(each)}.values())


def _select(argument: str) -> list[Declared]:
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration.search import split_argument
    from pytest_tinybudget.nearest import unknown

    path, model, board = split_argument(argument)
    selected = list(_pairs(Path(path)))
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


def _pairs(path: Path) -> Iterator[Declared]:
    """The pairs of the declaration ``path``, or of those in and below a folder."""
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.declaration.problems import relative
    from pytest_tinybudget.declaration.search import declarations_at

    for file in declarations_at(path):
        yield from pairs(relative(file, Path()), load_declaration(file))
