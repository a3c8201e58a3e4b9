"""Which pairs ``PATH[::MODEL[::BOARD]]`` or a model stands for in the working directory."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.graph.locations import SEPARATOR
from pytest_tinybudget.graph.locations import holds_model
from pytest_tinybudget.graph.locations import is_c_source
from pytest_tinybudget.graph.locations import is_model_name
from pytest_tinybudget.graph.locations import model_name


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.declaration.settings import Settings


#: Boards that an error lists; more are counted.
_TARGETS_SHOWN = 6


def select(
    arguments: Iterable[str], boards: Sequence[str] = (), given: Settings | None = None
) -> list[Declared]:
    """The pairs that ``arguments`` stand for, each once.

    An argument may be a model itself, which makes a pair with each of ``boards`` (everyday names
    as well); of declared pairs, ``boards`` leaves those on them. ``given`` is for models that are
    named themselves: declared ones have it in their declaration.

    Raises:
        TinybudgetError: a path, a declaration or a name in an argument is wrong, or a model has
            no board.
    """
    given = given or {}
    found = (pair for each in arguments for pair in _select(each, boards, given))
    return list({pair.id: pair for pair in found}.values())


def is_model(argument: str) -> bool:
    """Whether ``FILE``, ``FILE::BOARD``, ``FILE::ARRAY`` or the like is of a model."""
    from pytest_tinybudget.declaration import FILE_NAME

    path = Path(argument.partition(SEPARATOR)[0])
    if path.is_dir():
        return holds_model(path) and not (path / FILE_NAME).exists()
    return is_model_name(path) or holds_model(path)


def _select(argument: str, boards: Sequence[str], given: Settings) -> list[Declared]:
    from pytest_tinybudget.base.suggest import unknown
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration.search import split_argument

    if is_model(argument):
        return list(_of_model(argument, boards, given))
    if given:
        raise TinybudgetError(
            f"{argument}: {_options(given)} is for a model that is named itself: a declaration "
            "says it in [models.NAME], operators in [runtime.ops.NAME]"
        )
    path, model, board = split_argument(argument)
    selected = list(_pairs(Path(path)))
    if not selected and Path(path).is_dir():
        raise TinybudgetError(f"{path}: no {FILE_NAME} here or below; tinybudget init writes one")
    if model:
        valid = {pair.name for pair in selected}
        if model not in valid:
            raise unknown("model", model, valid)
        selected = [pair for pair in selected if pair.name == model]
    for names in ([board] if board else [], boards):
        if names:
            targets = {_target(name, selected) for name in names}
            selected = [pair for pair in selected if pair.target in targets]
    return selected


def _of_model(argument: str, boards: Sequence[str], given: Settings) -> Iterator[Declared]:
    """The pairs of a model that is named itself: ``FILE[::MODEL][::BOARD]``."""
    from msgspec.structs import replace

    from pytest_tinybudget.base.paths import relative_path
    from pytest_tinybudget.commands.options import boards_of
    from pytest_tinybudget.declaration.pairs import Location
    from pytest_tinybudget.declaration.single import pair_of

    file, *names = argument.split(SEPARATOR)
    path = Path(file)
    if is_c_source(path):
        path = path.with_name(SEPARATOR.join((path.name, *names[:1])))
        names = names[1:]
    elif names[:1] == [model_name(path)]:
        names = names[1:]
    if len(names) > 1:
        raise TinybudgetError(f"{argument}: expected FILE::BOARD or FILE::MODEL::BOARD")
    chosen = boards_of(names or boards)
    if not chosen:
        raise TinybudgetError(
            f"{argument}: a model is checked on a board: --board raspberry-pi-pico, which may be "
            f"repeated; tinybudget compare {file} tells of all"
        )
    for board in chosen:
        pair = pair_of(path, board=board, settings=given)
        yield replace(pair, location=Location(relative_path(Path(file), Path())))


def _options(given: Settings) -> str:
    """The options that said ``given``."""
    names = {"operators": "op", "input_shapes": "input-shape"}
    return ", ".join(f"--{names.get(key, key.replace('_', '-'))}" for key in given)


def _target(name: str, selected: Iterable[Declared]) -> str:
    """What ``name`` stands for among the targets of ``selected``: itself, or a board's id.

    Raises:
        TinybudgetError: none of them has such a board, or several have.
    """
    from pytest_tinybudget.base.suggest import nearest
    from pytest_tinybudget.base.suggest import unknown
    from pytest_tinybudget.boards.everyday import boards_called
    from pytest_tinybudget.boards.everyday import several
    from pytest_tinybudget.declaration.pairs import Check

    if any(pair.target == name for pair in selected):
        return name
    boards = {pair.board.id: pair.board for pair in selected if not isinstance(pair, Check)}
    found = boards_called(name, boards)
    if len(found) > 1:
        raise TinybudgetError(several(name, found), code="TB101")
    if not found:
        targets = sorted({pair.target for pair in selected})
        if nearest(name, targets):
            raise unknown("board", name, targets)
        shown = ", ".join(targets[:_TARGETS_SHOWN])
        rest = f" and {len(targets) - _TARGETS_SHOWN} more" if len(targets) > _TARGETS_SHOWN else ""
        raise TinybudgetError(
            f"unknown board {name!r} here: the declared pairs are on {shown}{rest}", code="TB101"
        )
    return found[0]


def _pairs(path: Path) -> Iterator[Declared]:
    """The pairs of the declaration ``path``, or of those in and below a folder."""
    from pytest_tinybudget.base.paths import relative_path
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.declaration.search import declarations_at

    for file in declarations_at(path):
        yield from pairs(relative_path(file, Path()), load_declaration(file))
