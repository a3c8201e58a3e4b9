"""Edits a declaration. Comments and layout stay; the file is replaced in one step."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import dotted
from pytest_tinybudget.declaration.toml import TOMLDecodeError
from pytest_tinybudget.declaration.toml import parse


if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def write_reserves(path: Path, board: str, reserved_flash: int, reserved_ram: int) -> None:
    """Set ``reserved_flash`` and ``reserved_ram`` (bytes) of ``[boards.BOARD]`` in ``path``.

    Raises:
        TinybudgetError: no such file or board, no TOML, or it cannot be written.
    """
    table = ("boards", board)
    reserves = {"reserved_flash": reserved_flash, "reserved_ram": reserved_ram}
    save(path, edited(path, {(*table, key): f"{size} B" for key, size in reserves.items()}))


def write_runtime(path: Path, name: str, keys: Mapping[str, Any]) -> None:
    """Put ``[runtime.NAME]`` with ``keys`` into ``path``, in the place of one that it has.

    A value that is a mapping becomes a table of its own below.

    Raises:
        TinybudgetError: no such file, no TOML, or it cannot be written.
    """
    import tomlkit

    content = _content(path)
    document = _parsed(content, path)
    table = tomlkit.table()
    for key, value in keys.items():
        table[key] = value
    runtimes: Any = document.get("runtime")
    if runtimes is None:
        runtimes = document["runtime"] = tomlkit.table(is_super_table=True)
    if not hasattr(runtimes, "get"):
        raise TinybudgetError(f"{_label(path)}: 'runtime' is no table in it")
    runtimes[name] = table
    text = document.as_string()
    _check(text, {("runtime", name, key): value for key, value in keys.items()}, path)
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    save(path, mark + text.encode())


def edited(path: Path, values: Mapping[KeyPath, str | int]) -> bytes:
    """The text of ``path`` with ``values`` at their keys, in tables that the file already has.

    Raises:
        TinybudgetError: no such file or table, or no TOML.
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
    write_file(path, content)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TinybudgetError(f"{_label(path)}: {error.strerror}") from error


def _parsed(content: bytes, path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TinybudgetError(f"{_label(path)}: not UTF-8 text", code="TB200") from error
    except TOMLKitError as error:
        raise TinybudgetError(
            f"{_label(path)}: not TOML: {printable(str(error))}", code="TB200"
        ) from error


def _replace(document: TOMLDocument, keys: KeyPath, value: str | int, path: Path) -> None:
    import tomlkit

    *above, last = keys
    table: Any = document
    for key in above:
        table = table.get(key) if hasattr(table, "get") else None
    if not hasattr(table, "get"):
        name = dotted(tuple(above))
        raise TinybudgetError(
            f"{_label(path)} has no [{printable(name)}]",
            details=("declare it first",),
            code="TB101",
        )
    if isinstance(value, str) and last in table and table[last].as_string().startswith("'"):
        table[last] = tomlkit.string(value, literal=True)
    else:
        table[last] = value


def _check(text: str, values: Mapping[KeyPath, Any], path: Path) -> None:
    """Check that the edited text has the new values, before it replaces the old one."""
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
