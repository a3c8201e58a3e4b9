"""``tinybudget init``: a first declaration from the models that lie in a folder."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import runtime_of
from pytest_tinybudget.commands.waiting import waiting
from pytest_tinybudget.footprint.result import UNNOTICED
from pytest_tinybudget.graph.locations import C_SUFFIXES
from pytest_tinybudget.graph.locations import MAX_FILE_BYTES
from pytest_tinybudget.graph.locations import SEPARATOR
from pytest_tinybudget.graph.locations import model_name


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration.project_files import ProjectFiles
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.runtimes.runtime import Runtime


#: Tried in this order: the first that holds every model is the one proposed.
_USUAL_BOARDS = ("arduino-nano-33-ble", "stm32f746g-discovery", "raspberry-pi-pico", "esp32")

#: The SDKs that the distributions come with.
_SDKS = {
    "arduino-tflm": "arduino",
    "esp-tflite-micro": "esp-idf",
    "esphome": "esphome",
    "pico-tflmicro": "pico-sdk",
    "zephyr": "zephyr",
}

#: What a budget leaves above what the model takes today.
_HEADROOM_PERCENT = 10

#: The identifier of TF Lite in C: what has none of these is not looked at any further.
_IDENTIFIER = re.compile(
    rb"0x54\s*,\s*0x46\s*,\s*0x4c\s*,\s*0x33|\b84\s*,\s*70\s*,\s*76\s*,\s*51\b"
    rb"|'T'\s*,\s*'F'\s*,\s*'L'\s*,\s*'3'|TFL3|\\x54\\x46\\x4c\\x33|0x334c4654",
    re.IGNORECASE,
)

#: How many files of other kinds are named where there is no model.
_MOST_OTHERS = 5

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
{project}warn_at = "95%"                  # passes with a warning from this share of a limit on
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


class _Source(Struct, frozen=True):
    """A file, or an array in one, as a declaration names it: the model, or why it has none."""

    name: str
    model: Model | None
    reason: str = ""


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
        "write a first tinybudget.toml from the models in a folder",
        details="Reads .tflite files, and C sources with a model as an array. Each budget is what\n"
        "the model takes today plus a tenth. Board and runtime are those that the\n"
        "project's own files name, if they do. Exit code 1: a model does not fit.",
        example="tinybudget init\ntinybudget init firmware --board raspberry-pi-pico",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), metavar="DIR", help="default: here"
    )
    parser.add_argument(
        "--board",
        metavar="ID",
        help="default: the one that the project's files name, else a common one that holds all",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing tinybudget.toml")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``tinybudget.toml`` into ``arguments.folder``, and check what it declares.

    Raises:
        TinybudgetError: no model there that can be declared, a declaration is there already, or
            it cannot be written.
    """
    from pytest_tinybudget.artifacts import write
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration.project_files import ProjectFiles

    folder = arguments.folder
    target = folder / FILE_NAME
    if not folder.is_dir():
        raise TinybudgetError(f"{folder}: no such folder")
    if target.exists() and not arguments.force:
        raise TinybudgetError(f"{target}: exists already; --force replaces it")
    models = _models_in(folder)
    if not models:
        raise TinybudgetError(
            f"{folder}: no .tflite file here or below, and no C source with a model",
            details=tuple(_other_kinds(folder)),
        )
    project = _Project(ProjectFiles(folder))
    board, found = _choose(models, arguments.board, project)
    declared = sum(model.footprint is not None for model in found)
    if not declared:
        raise TinybudgetError(
            f"{folder}: no model to declare on {board.id}",
            details=tuple(map(_why_not, found[:_MOST_OTHERS])),
        )
    write(folder, {FILE_NAME: render(board, found, project.lines(board)).encode()})
    print(f"wrote {target}: {declared} of {len(found)} models, board {board.id}")
    for line in project.told(board):
        print(line)
    return _checked(target)


def _why_not(found: _Found) -> str:
    named = found.reason.startswith(found.source)
    return f"    {found.reason}" if named else f"    {found.source}: {found.reason}"


def _checked(target: Path) -> int:
    """Say which pairs of the declaration just written fail; the exit code of ``check``."""
    from contextlib import closing

    from pytest_tinybudget.base.text import printable
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.workspace import Workspace

    declared = list(pairs(target.as_posix(), load_declaration(target)))
    with waiting("measuring") as wait, closing(Workspace(progress=wait.converting)) as workspace:
        gate = Gate(workspace)
        results = [gate.check(pair, details=False) for pair in declared]
    failed = [result for result in results if result.fails_run]
    for result in failed:
        print(f"it fails: {printable(result.title)}: {printable(result.headline)}")
    if failed:
        print(f"tinybudget check {target.parent.as_posix()} tells what would fix that")
    return int(bool(failed))


def _models_in(folder: Path) -> list[_Source]:
    """The model files in and below ``folder``, then arrays of C sources with other models."""
    from pytest_tinybudget.declaration.search import find_files

    found = [_read(folder, path) for path in find_files(folder, "*.tflite")]
    seen = {each.model.sha256 for each in found if each.model is not None}
    for path in find_files(folder, "*"):
        if path.suffix.lower() not in C_SUFFIXES or not _may_hold_model(path):
            continue
        for each in _arrays_of(folder, path):
            if each.model is None or each.model.sha256 not in seen:
                found.append(each)
                seen.update({each.model.sha256} if each.model else ())
    return found


def _may_hold_model(path: Path) -> bool:
    """Whether the identifier of TF Lite is in a source, as generators write it."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return False
        return _IDENTIFIER.search(path.read_bytes()) is not None
    except OSError:
        return False


def _arrays_of(folder: Path, path: Path) -> list[_Source]:
    """Every model in a C source; one that cannot be read says why, one without any is none."""
    from pytest_tinybudget.graph.c_source import models_in

    name = path.relative_to(folder).as_posix()
    try:
        names = [array.name for array in models_in(path.read_bytes(), name)]
    except TinybudgetError as error:
        return [] if "holds no model" in error.message else [_Source(name, None, error.message)]
    if len(set(names)) == 1:
        return [_read(folder, path)]
    return [
        _read(folder, path.with_name(f"{path.name}{SEPARATOR}{array}"))
        for array in dict.fromkeys(names)
    ]


def _read(folder: Path, path: Path) -> _Source:
    from pytest_tinybudget.graph.tflite import load_model

    name = path.relative_to(folder).as_posix()
    if not name.isprintable() or _GLOB_CHARACTERS.intersection(name):
        return _Source(name, None, "rename it: the characters in its name are special")
    try:
        return _Source(name, load_model(path, name))
    except TinybudgetError as error:
        return _Source(name, None, error.message)


def _other_kinds(folder: Path) -> Iterator[str]:
    """The message about model files of other kinds, where there is no TF Lite model."""
    from pytest_tinybudget.declaration.search import find_files
    from pytest_tinybudget.graph.foreign import foreign_words
    from pytest_tinybudget.graph.locations import is_model_name

    files = (path for path in find_files(folder, "*") if is_model_name(path))
    told = ((path, foreign_words(path)) for path in files)
    lines = (f"    {path.relative_to(folder).as_posix()}: {words}" for path, words in told if words)
    yield from islice(lines, _MOST_OTHERS)


class _Project:
    """What the project's own files say: the board, what is flashed onto it, and its SDK."""

    def __init__(self, files: ProjectFiles) -> None:
        self.files = files

    def boards(self) -> list[str]:
        """The boards that the files name and something is flashed onto."""
        from pytest_tinybudget.boards import catalog

        return [each for each in self.files.boards() if self.files.flashed(catalog()[each])]

    def runtime(self, board: Board) -> Runtime:
        """What is flashed onto ``board``, else its own runtime."""
        found = self.files.flashed(board) if board.runs_tflm else None
        if found is None:
            return runtime_of(board)
        return found.runtime.with_margin(board.flash_margin_percent)

    def _sdk(self, board: Board) -> str:
        """The SDK that goes with what is flashed, where the board's usual one is another."""
        found = self.files.flashed(board)
        name = found.runtime.name.partition(" ")[0] if found else ""
        sdk = _SDKS.get(name, "")
        from pytest_tinybudget.runtimes.distributions import sdks

        return "" if not sdk or board.sdk in sdks()[sdk].reserves else sdk

    def on(self, board: Board) -> Board:
        """``board`` with the reserve of that SDK, where it is known."""
        from pytest_tinybudget.declaration.sdks import with_reserve

        sdk = self._sdk(board)
        known = {each.name for each in board.sdks}
        return with_reserve(board, sdk) if known.intersection(_reserves(sdk)) else board

    def lines(self, board: Board) -> str:
        """The keys of the declaration, each with a comment that names the file."""
        from pytest_tinybudget.base.text import printable
        from pytest_tinybudget.declaration.project_files import PROJECT

        found = self.files.flashed(board)
        if found is None:
            return ""
        places = printable(found.places)
        lines = [_line("runtime", PROJECT, f"{found.runtime.name}, by {places}")]
        sdk = self._sdk(board)
        if sdk and self.on(board) != board:
            lines.append(_line("sdk", sdk, f"what the application takes; by {places}"))
        elif sdk:
            lines.append(
                f"# What {sdk} takes of {board.id} is not known: declare a board of your own with\n"
                "# reserved_flash and reserved_ram."
            )
        return "".join(f"{line}\n" for line in lines)

    def told(self, board: Board) -> Iterator[str]:
        """What of the files was taken, a line each."""
        from pytest_tinybudget.base.text import printable

        found = self.files.flashed(board)
        place = self.files.boards().get(board.id)
        if place and found is not None:
            yield f"board {board.id}: {place}"
        if found is not None:
            yield f"runtime {found.runtime.name}: {printable(found.places)}"
            yield from (*found.notes, *found.warnings)


def _line(key: str, value: str, comment: str) -> str:
    """A key of the declaration with its comment, aligned as in ``_TOP``."""
    assignment = f'{key} = "{value}"'
    return f"{assignment:<32} # {comment}"


def _reserves(sdk: str) -> Sequence[str]:
    from pytest_tinybudget.runtimes.distributions import sdks

    return sdks()[sdk].reserves if sdk else ()


def _choose(
    sources: Sequence[_Source], named: str | None, project: _Project
) -> tuple[Board, list[_Found]]:
    """The board that is ``named``, else one that holds every model that it runs.

    One that the project's files name, a usual one where there is one, else the smallest of all;
    else the usual one that holds most.
    """
    from pytest_tinybudget.boards import find_board

    kept: dict[tuple[str, Runtime], _Found] = {}
    choices: list[tuple[int, Board, list[_Found]]] = []
    own = [] if named else project.boards()
    for board in [find_board(each) for each in ([named] if named else own or _USUAL_BOARDS)]:
        models = [_measure(source, board, kept, project) for source in sources]
        on = project.on(board)
        fitting = [_fits(model.footprint, on) for model in models if model.footprint]
        if named or (fitting and all(fitting)):
            return board, models
        choices.append((sum(fitting), board, models))
    # The largest first: most boards are ruled out by one measurement.
    largest = sorted(sources, key=lambda each: each.model.bytes if each.model else 0, reverse=True)
    measured = not own and any(each.footprint for _, _, models in choices for each in models)
    for board in _other_boards() if measured else ():
        found = (_measure(source, board, kept, project).footprint for source in largest)
        if all(_fits(footprint, board) for footprint in found if footprint is not None):
            return board, [_measure(source, board, kept, project) for source in sources]
    _, board, models = max(choices, key=lambda choice: choice[0])
    return board, models


def _other_boards() -> list[Board]:
    """The boards that are not usual, but whose figures are all checked, the smallest first."""
    from pytest_tinybudget.boards import catalog
    from pytest_tinybudget.gate.remedies.room import smallest_first

    known = (board for board in catalog().values() if board.id not in _USUAL_BOARDS)
    return smallest_first(board for board in known if board.verified and not board.accelerator)


def _fits(footprint: Footprint, board: Board) -> bool:
    from pytest_tinybudget.gate.verdict import Demands
    from pytest_tinybudget.gate.verdict import judge

    return judge(footprint, board, Demands()).outcome != "over"


def _measure(
    source: _Source, board: Board, kept: dict[tuple[str, Runtime], _Found], project: _Project
) -> _Found:
    """What a model takes on ``board`` with what is flashed onto it, measured once."""
    key = (source.name, project.runtime(board))
    if key not in kept:
        kept[key] = _measured(source, key[1])
    return kept[key]


def _measured(source: _Source, runtime: Runtime) -> _Found:
    from pytest_tinybudget.footprint.measure import measure

    if source.model is None:
        return _Found(source.name, None, source.reason)
    try:
        footprint = measure(source.model, runtime)
    except TinybudgetError as error:
        return _Found(source.name, None, error.message)
    if footprint.refusals:
        refusal = footprint.refusals[0]
        wrongly = refusal.stage in UNNOTICED
        does = "TFLM would run it wrongly" if wrongly else "TFLM would refuse it"
        return _Found(source.name, None, f"{does}: {refusal.operator}: {refusal.reason}")
    return _Found(source.name, footprint)


def render(board: Board, models: Sequence[_Found], project: str = "") -> str:
    """The declaration's text: ``models`` on ``board``, with budgets from what they take.

    ``project`` are the lines that the project's own files ask for.
    """
    from pytest_tinybudget.base.text import printable

    names = _names([model.source for model in models])
    blocks = [_TOP.format(board=board.id, project=project)]
    for name, model in zip(names, models, strict=True):
        if model.footprint is None:
            words = {"source": printable(model.source), "reason": printable(model.reason)}
            blocks.append(_LEFT_OUT.format_map(words))
        else:
            blocks.append(_declared(name, model.source, model.footprint))
    return "".join(blocks)


def _declared(name: str, source: str, footprint: Footprint) -> str:
    from pytest_tinybudget.base.text import toml_key
    from pytest_tinybudget.base.units import format_size

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
    """The used bytes plus headroom, rounded up to whole KB."""
    wanted = used_bytes * (100 + _HEADROOM_PERCENT)
    return f"{-(-wanted // (100 * 1024))} KB"


def _names(sources: Sequence[str]) -> Iterator[str]:
    """A valid, distinct model name for each file: its stem, numbered where others have it too.

    Distinct in C as well, where punctuation and case do not count.
    """
    from pytest_tinybudget.base.text import c_identifier

    taken: set[str] = set()
    for source in sources:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", model_name(Path(source)))
        candidates = (stem, *(f"{stem}-{number}" for number in range(2, len(sources) + 2)))
        name = next(each for each in candidates if c_identifier(each).casefold() not in taken)
        taken.add(c_identifier(name).casefold())
        yield name
