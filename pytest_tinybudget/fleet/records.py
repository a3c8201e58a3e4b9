"""Devices and results from files: CSV with a header, or JSON lines, read as a stream."""

from __future__ import annotations

import csv
import itertools
import json
import re
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from typing import TextIO

from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.names import printable
from pytest_tinybudget.nearest import unknown


class Record(NamedTuple):
    """A line about a device; ``None`` is what it does not say.

    ``line`` counts from 1; 0 is no line of a file, but what was given on the command line.
    """

    line: int
    device: str
    hardware: str | None = None
    version: str | None = None
    sha256: str | None = None
    result: str | None = None
    detail: str | None = None
    rollout: str | None = None


#: What ``fleet next`` prints besides, so that its lines can be sent back with a result.
IGNORED = frozenset({"hardware", "from", "to", "to_sha256"})

_LONGEST = 200
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def records(source: str, columns: Sequence[str]) -> Iterator[Record]:
    """Every record in ``source``, which may have ``columns``; the first of them it must have.

    ``source`` is a path, or ``-`` for stdin; a file whose first character is ``{`` is JSON
    lines, any other is CSV with a header.

    Raises:
        TinybudgetError: it cannot be read, or a line is not as expected.
    """
    with _lines(source) as (name, stream):
        lines = enumerate(stream, 1)
        for number, line in lines:
            if line.strip():
                first = itertools.chain([(number, line)], lines)
                read = _json_lines if line.lstrip().startswith("{") else _csv
                yield from read(name, first, columns)
                return
        raise TinybudgetError(f"{name}: empty; expected CSV with a header, or JSON lines")


def checked(column: str, value: str) -> str:
    """``value`` as the fleet keeps it.

    Raises:
        TinybudgetError: it is empty, too long or not printable, or no SHA-256.
    """
    if not value or len(value) > _LONGEST or not value.isprintable() or value != value.strip():
        raise TinybudgetError(
            f"{column} {printable(value)!r}: expected 1 to {_LONGEST} printable characters "
            "without blanks around"
        )
    if column == "sha256":
        value = value.lower()
        if not _SHA256.match(value):
            raise TinybudgetError(f"sha256 {value!r}: expected 64 hexadecimal digits")
    return value


@contextmanager
def _lines(source: str) -> Iterator[tuple[str, TextIO]]:
    if source == "-":
        yield "stdin", sys.stdin
        return
    try:
        with Path(source).open(encoding="utf-8-sig", newline="") as stream:
            yield source, stream
    except OSError as error:
        raise TinybudgetError(f"{source}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TinybudgetError(f"{source}: not UTF-8 text") from error


def _csv(name: str, lines: Iterable[tuple[int, str]], columns: Sequence[str]) -> Iterator[Record]:
    reader = csv.reader((line for _, line in lines), strict=True)
    try:
        header = [_column(cell.strip(), columns, f"{name}:1") for cell in next(reader)]
        if columns[0] not in header:
            raise TinybudgetError(
                f"{name}:1: no column {columns[0]!r}; expected a header of {', '.join(columns)}"
            )
        if len(set(header)) != len(header):
            raise TinybudgetError(f"{name}:1: a column twice")
        for cells in reader:
            if cells and len(cells) != len(header):
                raise TinybudgetError(
                    f"{name}:{reader.line_num}: {len(cells)} cells, the header has {len(header)}"
                )
            if cells:
                yield _record(name, reader.line_num, zip(header, cells, strict=True), columns)
    except csv.Error as error:
        raise TinybudgetError(f"{name}:{reader.line_num}: not CSV: {error}") from error


def _json_lines(
    name: str, lines: Iterable[tuple[int, str]], columns: Sequence[str]
) -> Iterator[Record]:
    for number, line in lines:
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TinybudgetError(f"{place}: not a JSON object") from error
        if not isinstance(found, dict):
            raise TinybudgetError(f"{place}: not a JSON object")
        values = [
            (_column(key, columns, place), _text(key, value, place)) for key, value in found.items()
        ]
        yield _record(name, number, values, columns)


def _text(key: str, value: object, place: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise TinybudgetError(f"{place}: {printable(key)}: expected a string")
    return str(value)


def _column(name: str, columns: Sequence[str], place: str) -> str:
    if name not in columns and name not in IGNORED:
        error = unknown("column", printable(name), columns)
        raise TinybudgetError(f"{place}: {error.message}; expected {', '.join(columns)}")
    return name


def _record(
    name: str, line: int, values: Iterable[tuple[str, str]], columns: Sequence[str]
) -> Record:
    try:
        found = {
            column: checked(column, value)
            for column, value in values
            if value and column in columns
        }
    except TinybudgetError as error:
        raise TinybudgetError(f"{name}:{line}: {error.message}") from None
    if columns[0] not in found:
        raise TinybudgetError(f"{name}:{line}: no {columns[0]}")
    return Record(line, **found)
