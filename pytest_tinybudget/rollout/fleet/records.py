"""Reads devices and results as a stream, from CSV with a header or from JSON lines."""

from __future__ import annotations

import csv
import itertools
import json
import operator
import re
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from typing import TextIO

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.text import printable


class Record(NamedTuple):
    """A line about a device. What it does not say is ``""``.

    ``line`` counts from 1. It is 0 for what was given on the command line.
    """

    line: int
    device: str
    hardware: str = ""
    version: str = ""
    sha256: str = ""
    result: str = ""
    detail: str = ""
    rollout: str = ""


#: Columns that ``fleet next`` prints as well, so its lines can be sent back with a result.
IGNORED = frozenset({"hardware", "from", "to", "to_sha256"})

_LONGEST = 200
_FIELDS = Record._fields[1:]
_SHA256_AT = _FIELDS.index("sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def records(source: str, columns: Sequence[str]) -> Iterator[Record]:
    """Every record in ``source``, which may have ``columns`` and must have the first of them.

    ``source`` is a path, or ``-`` for stdin; a file whose first character is ``{`` is JSON
    lines, any other is CSV with a header.

    Raises:
        TinybudgetError: it cannot be read, or a line is not as expected.
    """
    with _lines(source) as (name, stream):
        for before, line in enumerate(stream):
            if line.strip():
                lines = itertools.chain([line], stream)
                read = _json_lines if line.lstrip().startswith("{") else _csv
                yield from read(name, lines, before, columns)
                return
        raise TinybudgetError(f"{name}: empty; expected CSV with a header, or JSON lines")


def checked(column: str, value: str) -> str:
    """``value`` of a column, checked and as the fleet stores it.

    Raises:
        TinybudgetError: it is empty, too long or not printable, or no SHA-256.
    """
    if not value or len(value) > _LONGEST or not value.isprintable() or value != value.strip():
        raise TinybudgetError(
            f"{column} '{printable(value)}': expected 1 to {_LONGEST} printable characters "
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


def _csv(name: str, lines: Iterable[str], before: int, columns: Sequence[str]) -> Iterator[Record]:
    """CSV whose header comes after ``before`` blank lines."""
    reader = csv.reader(lines, strict=True)
    try:
        header = [_column(cell.strip(), columns, f"{name}:{before + 1}") for cell in next(reader)]
        if columns[0] not in header:
            raise TinybudgetError(
                f"{name}:{before + 1}: no column {columns[0]!r}; expected a header of "
                f"{', '.join(columns)}"
            )
        if len(set(header)) != len(header):
            raise TinybudgetError(f"{name}:{before + 1}: a column twice")
        # An empty cell is added to each line. It stands for the columns that the file lacks.
        picked = operator.itemgetter(
            *(header.index(field) if field in columns and field in header else len(header)
              for field in _FIELDS)
        )  # fmt: skip
        for cells in reader:
            if len(cells) != len(header):
                if not cells:
                    continue
                raise TinybudgetError(
                    f"{name}:{before + reader.line_num}: {len(cells)} cells, "
                    f"the header has {len(header)}"
                )
            cells.append("")
            yield _record(name, before + reader.line_num, picked(cells))
    except csv.Error as error:
        raise TinybudgetError(f"{name}:{before + reader.line_num}: not CSV: {error}") from error


def _json_lines(
    name: str, lines: Iterable[str], before: int, columns: Sequence[str]
) -> Iterator[Record]:
    for number, line in enumerate(lines, before + 1):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise TinybudgetError(f"{place}: not a JSON object") from error
        if not isinstance(found, dict):
            raise TinybudgetError(f"{place}: not a JSON object")
        values = {
            _column(key, columns, place): _text(key, value, place) for key, value in found.items()
        }
        kept = (values.get(field, "") if field in columns else "" for field in _FIELDS)
        yield _record(name, number, tuple(kept))


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


def _record(name: str, line: int, values: tuple[str, ...]) -> Record:
    """A record of ``values``, in the order of ``_FIELDS``, each checked."""
    if not values[0]:
        raise TinybudgetError(f"{name}:{line}: no device")
    text = "".join(values)
    # Most lines are plain, and a fleet may have a million.
    if values[_SHA256_AT] or len(text) > _LONGEST or " " in text or not text.isprintable():
        try:
            values = tuple(
                value and checked(field, value)
                for field, value in zip(_FIELDS, values, strict=True)
            )
        except TinybudgetError as error:
            raise TinybudgetError(f"{name}:{line}: {error.message}") from None
    return Record(line, *values)
