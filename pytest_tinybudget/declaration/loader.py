"""Reads a ``tinybudget.toml``: text, TOML, shape, meaning; all that is wrong is told at once."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.paths import displayed_path
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.positions import key_lines
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.resolve import Inherited
from pytest_tinybudget.declaration.resolve import handed_down
from pytest_tinybudget.declaration.resolve import resolved
from pytest_tinybudget.declaration.schema.document import OPERATORS
from pytest_tinybudget.declaration.schema.document import Document
from pytest_tinybudget.declaration.toml import TOMLDecodeError
from pytest_tinybudget.declaration.toml import parse
from pytest_tinybudget.declaration.validate import validated
from pytest_tinybudget.graph.locations import holds_model
from pytest_tinybudget.graph.locations import is_model_name


#: The largest declaration, bytes. People write them, so a larger file is a mistake.
_LARGEST_BYTES = 1024 * 1024
#: The most parts of a dotted key: the time of parsers grows with their square.
_MOST_DOTS = 100
#: The longest chain of files that extend files.
_DEEPEST = 20
_PLACE = r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z"


def load(path: Path, boards: Mapping[str, Board]) -> Declaration:
    """The declaration in the file ``path``, which may name the given ``boards``.

    Raises:
        DeclarationError: the file cannot be read or is not a valid declaration.
    """
    path = path.absolute()
    document, problems = _document(path)
    inherited = _inherited(document, problems, boards, (path,))
    declaration = resolved(document, path, problems, boards, inherited)
    problems.raise_if_any()
    return declaration


def read_toml(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """What the TOML file ``path`` has, and the line of each of its keys.

    Raises:
        DeclarationError: it cannot be read, is larger than 1 MB or is no TOML.
    """
    return _toml(_text(path), path)


def _document(path: Path) -> tuple[Document, Problems]:
    """The file ``path`` as a typed document, and the problems of its shape.

    Raises:
        DeclarationError: it cannot be read, or is another kind of file.
    """
    document, lines = read_toml(path)
    if "layers" in document and "models" not in document:
        raise DeclarationError(
            f"{displayed_path(path)}: is a plan, for tinybudget fit: a declaration has layers and "
            "input_shape in [models.NAME]"
        )
    problems = Problems(path, lines)
    return validated(_lifted(document), problems), problems


def _inherited(
    document: Document,
    problems: Problems,
    boards: Mapping[str, Board],
    extending: tuple[Path, ...],
) -> Inherited:
    """What ``document`` takes from the file that it extends; ``extending`` are the files so far.

    Raises:
        DeclarationError: that file cannot be read or is not valid.
    """
    if document.extends is None:
        return Inherited()
    keys, declared = ("extends",), document.extends
    context = Context(extending[-1], problems)
    path = context.file(declared, keys, "../shared-budgets.toml")
    if problems.concerns(*keys):
        return Inherited()
    if any(path.resolve() == other.resolve() for other in extending):
        problems.add(keys, f"{declared!r} extends this file in turn: a circle")
        return Inherited()
    if len(extending) > _DEEPEST:
        problems.add(keys, f"more than {_DEEPEST} files extend each other")
        return Inherited()
    extended, its_problems = _document(path)
    inherited = _inherited(extended, its_problems, boards, (*extending, path))
    found = handed_down(extended, path, its_problems, boards, inherited)
    its_problems.raise_if_any()
    return found


def _text(path: Path) -> str:
    if is_model_name(path) or holds_model(path):
        raise DeclarationError(
            f"{displayed_path(path)}: is a model, not a declaration; to measure it alone: "
            f"tinybudget check {displayed_path(path)} --board ID",
            code="TB100",
        )
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DeclarationError(f"{displayed_path(path)}: larger than 1 MB, not a declaration")
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DeclarationError(f"{displayed_path(path)}: cannot be read: {reason}") from None
    try:
        # Editors on Windows may put a byte order mark in front.
        return content.removeprefix(BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DeclarationError(
            f"{displayed_path(path)}:{line}: not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from None


def _toml(text: str, path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """The document and the line of each of its keys."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            reason = f"more than {_MOST_DOTS} dots in a line: break it up"
            raise DeclarationError(f"{displayed_path(path)}:{number}: {reason}")
    try:
        return parse(text), key_lines(text)
    except TOMLDecodeError as error:
        raise DeclarationError(_syntax_error(str(error), text, displayed_path(path))) from None
    except RecursionError:
        raise DeclarationError(
            f"{displayed_path(path)}: tables or lists nested too deeply"
        ) from None


def _syntax_error(message: str, text: str, file: str) -> str:
    """The parser's message with file and line in front, which editors and terminals link."""
    place = re.search(_PLACE, message)
    hint = "; folders are separated by '/'" if message.startswith("Unescaped") else ""
    if place is None:
        return f"{file}: not valid TOML: {message}"
    line, column = place[1], place[2]
    if line is None:
        line, column = str(text.count("\n") + 1), str(len(text) - text.rfind("\n"))
    return f"{file}:{line}:{column}: not valid TOML: {message[: place.start()]}{hint}"


def _lifted(document: dict[str, Any]) -> dict[str, Any]:
    """``document`` with ``[runtime.ops]``, which is no runtime, beside ``[runtime]``."""
    runtime = document.get("runtime")
    if not isinstance(runtime, dict) or "ops" not in runtime:
        return document
    others = {name: table for name, table in runtime.items() if name != "ops"}
    return {**document, "runtime": others, OPERATORS: runtime["ops"]}
