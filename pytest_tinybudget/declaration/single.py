"""The pair that a declaration of one model and one board would make, without a declaration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.live import Source
from pytest_tinybudget.convert.live import on_disk
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.project import Project
from pytest_tinybudget.declaration.settings import MeasuredSettings
from pytest_tinybudget.declaration.settings import Settings
from pytest_tinybudget.declaration.settings import declared_model
from pytest_tinybudget.declaration.shrunken import with_firmwares


@contextmanager
def pair_with(
    model: Source,
    board: str | Board,
    settings: Settings | MeasuredSettings,
    folder: Path,
    example_inputs: object = None,
) -> Iterator[Pair]:
    """The pair of a model and a board, with ``settings``; it can be measured inside the block.

    Relative paths are below ``folder``.

    Raises:
        TinybudgetError: model, board or a setting are wrong.
    """
    with on_disk(model, settings.get("representative_data"), example_inputs) as (path, data):
        given: Settings = {**settings, "representative_data": data}
        yield pair_of(folder / path, board=board, root=folder.absolute(), settings=given)


def pair_of(
    path: str | PathLike[str],
    *,
    board: str | Board,
    root: Path | None = None,
    settings: Settings | None = None,
) -> Pair:
    """The pair that a declaration of this one model and board would make.

    Relative paths in ``settings`` are below ``root``, by default the working directory.

    Raises:
        TinybudgetError: the board or a setting is wrong.
    """
    path = Path(path)
    found = board if isinstance(board, Board) else find_board(board)
    model = declared_model(path, found, settings or {}, root or Path.cwd())
    project = Project(path)
    model = with_firmwares(model, (found,), project.runtimes)
    return Pair(Location(path.parent.as_posix()), project, model, found)
