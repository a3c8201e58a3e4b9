"""``tinybudget doctor``: what is installed, what it is good for, and what a set-up lacks."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal

from msgspec import Struct
from msgspec import to_builtins

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import told_as_json


if TYPE_CHECKING:
    from pytest_tinybudget.declaration import Declaration


State = Literal["ok", "absent", "broken"]

#: Extra, its distributions (any of a line will do), and what it is for.
_EXTRAS: tuple[tuple[str, tuple[tuple[str, ...], ...], str], ...] = (
    ("tensorflow", (("tensorflow-cpu", "tensorflow"), ("keras",)), "Keras and SavedModel sources"),
    (
        "quantize",
        (("litert-quantizer", "ai-edge-quantizer"), ("ai-edge-litert",)),
        "float .tflite sources",
    ),
    (
        "pytorch",
        (("litert-torch",), ("torch",), ("litert-quantizer", "ai-edge-quantizer")),
        "PyTorch sources",
    ),
    ("verify", (("tflite-micro",),), "--tinybudget-verify"),
    ("elf", (("pyelftools",),), "runtime read, runtime build, calibrate"),
    ("ethosu", (("ethos-u-vela",),), "boards with an Ethos-U"),
    ("mcuboot", (("imgtool",),), "package"),
)

_WORDS: dict[State, str] = {"ok": "ok", "absent": "-", "broken": "!!"}


class Finding(Struct, frozen=True):
    """One item that was examined; ``advice``, lines, says what to do if it is not in order."""

    topic: str
    name: str
    state: State
    text: str
    advice: str = ""


def add_commands(subparsers: Subparsers) -> None:
    """Add ``doctor``."""
    parser = add_command(
        subparsers,
        "doctor",
        "check the installation and the project, and say what is missing",
        details="Looks at the packages, the plugin, the cache, the TFLM that the project's files\n"
        "name, and the tinybudget.toml files here and below. Exit code 1: something that is\n"
        "declared cannot work.",
        example="tinybudget doctor\ntinybudget doctor firmware --json",
    )
    parser.add_argument("path", nargs="?", default=".", type=Path, help="folder (default: here)")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Examine the installation, print the findings, and return 1 if something is broken.

    Raises:
        TinybudgetError: the path is no folder.
    """
    if not arguments.path.is_dir():
        raise TinybudgetError(f"{arguments.path}: expected a folder")
    findings = [*_tool(), *_extras(), *_cache(), *_project(arguments.path)]
    findings += _declarations(arguments.path)
    code = int(any(finding.state == "broken" for finding in findings))
    if arguments.json:
        text = json.dumps(to_builtins(findings), indent=2) + "\n"
        if told_as_json(arguments, text):
            return code
    _print(findings)
    return code


def _print(findings: Sequence[Finding]) -> None:
    from pytest_tinybudget.base.text import printable

    width = max(len(finding.name) for finding in findings)
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            print(f"{topic}:")
        text = printable(finding.text, limit=500)
        print(f"  {_WORDS[finding.state]:2}  {finding.name:<{width}}  {text}".rstrip())
        for line in finding.advice.splitlines():
            print(f"      {'':<{width}}  {line}")
    broken = sum(finding.state == "broken" for finding in findings)
    print(f"{broken} of {len(findings)} need attention" if broken else "all is well")


def _lines(details: Sequence[str]) -> str:
    """The lines of an error behind its first, without the indent that they have there."""
    return "\n".join(line.removeprefix("    ") for line in details)


def _tool() -> Iterator[Finding]:
    from pytest_tinybudget.boards import catalog
    from pytest_tinybudget.runtimes.runtime import RUNTIMES
    from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT

    own = _version("pytest-tinybudget") or "not installed"
    yield Finding("this tool", "pytest-tinybudget", "ok", own)
    yield Finding("this tool", "tables", "ok", f"TFLM {TFLM_COMMIT}, {len(RUNTIMES)} runtimes")
    boards = catalog().values()
    checked = sum(board.verified for board in boards)
    yield Finding("this tool", "boards", "ok", f"{len(boards)}, {checked} of them verified")
    python = f"{platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Finding("this tool", "Python", "ok", python)
    yield _plugin()
    for name in ("pytest-xdist", "pytest-split"):
        version = _version(name)
        yield Finding("this tool", name, "ok" if version else "absent", version or "not installed")


def _plugin() -> Finding:
    """Whether pytest would load the plugin: a source folder on the path alone is not enough."""
    points = metadata.entry_points(group="pytest11", name="tinybudget")
    text = f"pytest {_version('pytest')}"
    if points:
        return Finding("this tool", "plugin", "ok", f"{text} loads it")
    advice = f"{Path(sys.executable).name} -m pip install pytest-tinybudget"
    return Finding("this tool", "plugin", "broken", f"{text} does not know it", advice)


def _extras() -> Iterator[Finding]:
    for extra, needed, use in _EXTRAS:
        found = {names: next(filter(None, map(_version, names)), "") for names in needed}
        if all(found.values()):
            versions = ", ".join(f"{names[0]} {version}" for names, version in found.items())
            yield Finding("extras", f"[{extra}]", "ok", f"{use}: {versions}")
        else:
            advice = f'pip install "pytest-tinybudget[{extra}]"'
            yield Finding("extras", f"[{extra}]", "absent", f"{use}: {advice}")
    git = shutil.which("git")
    use = "--base auto: the commit that a change starts from"
    yield Finding("extras", "git", "ok" if git else "absent", use)


def _cache() -> Iterator[Finding]:
    from pytest_tinybudget.base.cache import Cache
    from pytest_tinybudget.base.cache import limit_bytes
    from pytest_tinybudget.base.cache_folder import default_folder
    from pytest_tinybudget.base.units import format_size

    try:
        cache = Cache(default_folder(), limit_bytes())
    except TinybudgetError as error:
        yield Finding("cache", "limit", "broken", error.message)
        return
    entries = cache.entries()
    total = format_size(sum(entry.bytes for entry in entries))
    text = f"{len(entries)} kept, {total} of {format_size(cache.limit)}, in {cache.folder}"
    yield Finding("cache", "conversions", "ok", text)


def _project(folder: Path) -> Iterator[Finding]:
    """What the project's own files say is flashed, each with its place; those that are not read."""
    from pytest_tinybudget.declaration.project_files import ProjectFiles
    from pytest_tinybudget.detection.detect import LOOKED_FOR

    topic = "what is flashed"
    detection = ProjectFiles(folder).detection
    for each in detection.findings:
        board = f", for {each.board}" if each.board else ""
        scope = f" ({each.scope})" if each.scope else ""
        yield Finding(topic, each.place, "ok", f"{each.what}{board}{scope}")
    for problem in detection.problems:
        yield Finding(topic, problem.file, "absent", f"not read: {problem.text}")
    if not detection.findings:
        yield Finding(topic, "TFLM", "absent", "no file names TFLM", "\n".join(LOOKED_FOR))


def _declarations(folder: Path) -> Iterator[Finding]:
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration.search import find_files

    files = list(find_files(folder, FILE_NAME))
    for file in files:
        yield from _declaration(file)
    if not files:
        text = f"none in {folder}: tinybudget init writes one"
        yield Finding("declarations", FILE_NAME, "absent", text)


def _declaration(file: Path) -> Iterator[Finding]:
    from pytest_tinybudget.convert.requirements import missing_packages
    from pytest_tinybudget.convert.sources import converts
    from pytest_tinybudget.convert.sources import kind_of
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.report.verdicts import counted

    name = file.as_posix()
    try:
        declaration = load_declaration(file)
    except TinybudgetError as error:
        advice = _lines(error.details)
        yield Finding("declarations", name, "broken", error.message, advice)
        return
    models = declaration.models.values()
    sources = [
        model
        for model in models
        if model.planned is None and converts(model.source, model.conversion)
    ]
    missing = [
        missing_packages(kind_of(each.source), each.declared_source, each.conversion)
        for each in sources
    ]
    for lack in filter(None, missing):
        yield Finding("declarations", name, "broken", lack.message, _lines(lack.details))
    if not any(missing):
        pairs = sum(len(model.boards) for model in models)
        text = f"{counted(len(models), 'model')}, {counted(pairs, 'pair')}"
        yield Finding("declarations", name, "ok", text)
    yield from _other_runtimes(name, declaration)


def _other_runtimes(name: str, declaration: Declaration) -> Iterator[Finding]:
    """The boards of which the project's files name another runtime than the one that counts."""
    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.declaration.pairs import pairs
    from pytest_tinybudget.gate.flashed import named_instead

    told = set()
    for pair in pairs(name, declaration):
        if not isinstance(pair, Pair) or (found := named_instead(pair)) is None:
            continue
        counted = pair.firmware.name
        text = (
            f"{pair.board.id}: counted for {counted}, and the project's files name "
            f"{found.runtime.name} ({found.places})"
        )
        if text not in told:
            told.add(text)
            yield Finding("declarations", name, "absent", text, 'runtime = "project" counts that')


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""
