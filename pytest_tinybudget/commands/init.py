"""``tinybudget init``: a first declaration from the models that lie in a folder."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import runtime_of
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.footprint.result import UNNOTICED


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.footprint.result import Footprint


#: Tried in this order: the first that holds every model is the one proposed.
_USUAL_BOARDS = ("arduino-nano-33-ble", "stm32f746g-discovery", "raspberry-pi-pico", "esp32")

#: What a budget leaves above what the model takes today.
_HEADROOM_PERCENT = 10

#: Characters that ``source`` would take for a pattern.
_GLOB_CHARACTERS = frozenset("*?[")

_TOP = """\
# Memory budgets of this project's models. Written by tinybudget init: edit it freely.
#   tinybudget check             every model on every board below, without pytest
#   pytest --tinybudget          the same as tests
#   tinybudget inspect MODEL     where a model's flash and RAM go
#   tinybudget boards            what may stand in boards = [...]
schema = 1

[defaults]
boards = ["{board}"]
warn_at = "95%"                  # passes with a warning from this share of a limit on
"""

_MODEL = """\

[models.{name}]
source = {source}
# today it takes {flash} of flash and {ram} of RAM; the budget leaves {headroom} % and rounds up
budget = {{ flash = "{flash_budget}", ram = "{ram_budget}" }}
"""

_LEFT_OUT = """\

# {source} is left out:
#   {reason}
"""


class _Found(Struct, frozen=True):
    """A model file: its footprint, or why it has none. ``source`` is relative, POSIX."""

    source: str
    footprint: Footprint | None
    reason: str = ""


def add_commands(subparsers: Subparsers) -> None:
    """Add ``init``."""
    parser = add_command(
        subparsers,
        "init",
        "write a first tinybudget.toml from the .tflite files in a folder",
        details="Each budget is what the model takes today and a tenth more.",
        example="tinybudget init\ntinybudget init firmware --board raspberry-pi-pico",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here"
    )
    parser.add_argument("--board", metavar="ID", help="default: a usual one that holds them all")
    parser.add_argument("--force", action="store_true", help="replace a tinybudget.toml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``tinybudget.toml`` into ``arguments.folder``.

    Raises:
        TinybudgetError: no model there, a declaration is there already, or it cannot be written.
    """
    from pytest_tinybudget.artifacts import write
    from pytest_tinybudget.boards import find_board
    from pytest_tinybudget.declaration import FILE_NAME

    folder = arguments.folder
    target = folder / FILE_NAME
    if not folder.is_dir():
        raise TinybudgetError(f"{folder}: no such folder")
    if target.exists() and not arguments.force:
        raise TinybudgetError(f"{target}: exists already; --force replaces it")
    from pytest_tinybudget.declaration.search import find_files

    sources = list(find_files(folder, "*.tflite"))
    if not sources:
        raise TinybudgetError(f"{folder}: no .tflite file here or below")
    ids = [arguments.board] if arguments.board else _USUAL_BOARDS
    board, models = _choose(folder, sources, [find_board(each) for each in ids])
    write(folder, {FILE_NAME: render(board, models).encode()})
    declared = sum(model.footprint is not None for model in models)
    print(f"wrote {target}: {declared} of {len(models)} models, board {board.id}")
    return 0


def _choose(
    folder: Path, sources: Sequence[Path], boards: Sequence[Board]
) -> tuple[Board, list[_Found]]:
    """The first of ``boards`` that holds every model that can be measured, else the first."""
    choices = []
    for board in boards:
        models = [_measure(folder, source, board) for source in sources]
        choices.append((board, models))
        if all(_fits(model.footprint, board) for model in models if model.footprint):
            return board, models
    return choices[0]


def _fits(footprint: Footprint, board: Board) -> bool:
    from pytest_tinybudget.budget import Terms
    from pytest_tinybudget.budget import judge

    return judge(footprint, board, Terms()).outcome != "over"


def _measure(folder: Path, source: Path, board: Board) -> _Found:
    from pytest_tinybudget.footprint.measure import measure
    from pytest_tinybudget.graph.tflite import load_model

    name = source.relative_to(folder).as_posix()
    if not name.isprintable() or _GLOB_CHARACTERS.intersection(name):
        return _Found(name, None, "rename it: the characters in its name are special")
    try:
        footprint = measure(load_model(source), runtime_of(board))
    except TinybudgetError as error:
        return _Found(name, None, error.message)
    if footprint.refusals:
        refusal = footprint.refusals[0]
        wrongly = refusal.stage in UNNOTICED
        does = "TFLM would run it wrongly" if wrongly else "TFLM would refuse it"
        return _Found(name, None, f"{does}: {refusal.operator}: {refusal.reason}")
    return _Found(name, footprint)


def render(board: Board, models: Sequence[_Found]) -> str:
    """The declaration's text: ``models`` on ``board``, with budgets from what they take."""
    from pytest_tinybudget.names import printable

    names = _names([model.source for model in models])
    blocks = [_TOP.format(board=board.id)]
    for name, model in zip(names, models, strict=True):
        if model.footprint is None:
            words = {"source": printable(model.source), "reason": printable(model.reason)}
            blocks.append(_LEFT_OUT.format_map(words))
        else:
            blocks.append(_declared(name, model.source, model.footprint))
    return "".join(blocks)


def _declared(name: str, source: str, footprint: Footprint) -> str:
    from pytest_tinybudget.names import toml_key
    from pytest_tinybudget.sizes import format_size

    return _MODEL.format(
        name=toml_key(name),
        source=json.dumps(source, ensure_ascii=False),
        flash=format_size(footprint.flash),
        ram=format_size(footprint.ram),
        headroom=_HEADROOM_PERCENT,
        flash_budget=_budget(footprint.flash),
        ram_budget=_budget(footprint.ram),
    )


def _budget(used_bytes: int) -> str:
    """What is used and the headroom, rounded up to whole KB."""
    wanted = used_bytes * (100 + _HEADROOM_PERCENT)
    return f"{-(-wanted // (100 * 1024))} KB"


def _names(sources: Sequence[str]) -> Iterator[str]:
    """A valid, distinct model name for each file: its stem, numbered where others have it too."""
    taken: set[str] = set()
    for source in sources:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(source).stem)
        candidates = (stem, *(f"{stem}-{number}" for number in range(2, len(sources) + 1)))
        name = next(each for each in candidates if each not in taken)
        taken.add(name)
        yield name
