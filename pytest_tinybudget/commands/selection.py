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
        target = _target(board, selected)
        if target is None:
            raise unknown("board", board, valid)
        selected = [pair for pair in selected if pair.target == target]
    return selected


def _target(name: str, selected: Iterable[Declared]) -> str | None:
    """What ``name`` stands for among the targets of ``selected``: itself, or a board's id."""
    from pytest_tinybudget.boards.everyday import boards_called
    from pytest_tinybudget.declaration.pairs import Check

    if any(pair.target == name for pair in selected):
        return name
    boards = {pair.board.id: pair.board for pair in selected if not isinstance(pair, Check)}
    found = boards_called(name, boards)
    return found[0] if len(found) == 1 else None


def _pairs(path: Path) -> Iterator[Declared]:
    """The pairs of the declaration ``path``, or of those in and below a folder."""
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.declaration.problems import relative
    from pytest_tinybudget.declaration.search import declarations_at

    for file in declarations_at(path):
        yield from pairs(relative(file, Path()), load_declaration(file))
