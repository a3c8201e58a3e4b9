"""Editing a declaration: comments and layout stay, the file changes whole or not at all."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.artifacts.files import write
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import dotted
from pytest_tinybudget.declaration.toml import TOMLDecodeError
from pytest_tinybudget.declaration.toml import parse
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.names import printable


if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def edited(path: Path, values: Mapping[KeyPath, str | int]) -> bytes:
    """The contents of ``path`` with other ``values`` at keys that it has already.

    Raises:
        TinybudgetError: no such file or key, no TOML, or tomlkit is not installed.
    """
    content = _content(path)
    document = _parsed(content, path)
    for keys, value in values.items():
        _replace(document, keys, value, path)
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = document.as_string()
    _check(text, values, path)
    return mark + text.encode()


def save(path: Path, content: bytes) -> None:
    """Replace the file; a linked declaration stays a link.

    Raises:
        TinybudgetError: it cannot be written.
    """
    target = path.resolve()
    write(target.parent, {target.name: content})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TinybudgetError(f"{_label(path)}: {error.strerror}") from error


def _parsed(content: bytes, path: Path) -> TOMLDocument:
    try:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError
    except ImportError as error:
        raise TinybudgetError("editing a declaration needs tomlkit: pip install tomlkit") from error
    try:
        return tomlkit.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TinybudgetError(f"{_label(path)}: not UTF-8 text") from error
    except TOMLKitError as error:
        raise TinybudgetError(f"{_label(path)}: not TOML: {printable(str(error))}") from error


def _replace(document: TOMLDocument, keys: KeyPath, value: str | int, path: Path) -> None:
    import tomlkit

    table: Any = document
    try:
        for key in keys[:-1]:
            table = table[key]
        old = table[keys[-1]]
    except (KeyError, TypeError):
        raise TinybudgetError(f"{_label(path)} has no {dotted(keys)}") from None
    if isinstance(value, str) and old.as_string().startswith("'"):
        table[keys[-1]] = tomlkit.string(value, literal=True)
    else:
        table[keys[-1]] = value


def _check(text: str, values: Mapping[KeyPath, str | int], path: Path) -> None:
    """That the edited text says what it should, before it takes the place of the old one."""
    try:
        document: Any = parse(text)
        for keys, value in values.items():
            found = document
            for key in keys:
                found = found[key]
            if found != value:
                raise KeyError(keys)
    except (TOMLDecodeError, KeyError):
        raise TinybudgetError(
            f"{_label(path)} is laid out in a way that cannot be edited safely; it is unchanged"
        ) from None


def _label(path: Path) -> str:
    return printable(path.as_posix())
