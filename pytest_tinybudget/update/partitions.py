"""Reads ESP-IDF partition tables: the ``partitions.csv`` that a project has.

The format is that of ESP-IDF's ``gen_esp32part.py``: name, type, subtype, offset, size and flags;
sizes in decimal, hexadecimal, or with ``K`` or ``M``; an empty offset is the next aligned one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size


#: The offset of the first partition. By default the table is at 0x8000 and takes one sector.
_FIRST_OFFSET = 0x9000
#: Alignment of offsets (ESP-IDF, "Partition Tables").
_APP_ALIGNMENT, _DATA_ALIGNMENT = 0x10000, 0x1000
#: Partitions that the table has room for, and bytes of the largest file that is read.
_MOST_PARTITIONS, _LARGEST_FILE_BYTES = 95, 256 * 1024
#: An ESP's flash addresses have 32 bits.
_LARGEST_BYTES = 2**32

#: The subtype ``ota_0`` as a number.
_FIRST_UPDATE_SLOT = 0x10
_BEFORE_THE_TABLE = ("bootloader", "partition_table")
_TYPES = ("app", "data", *_BEFORE_THE_TABLE)
_FIELDS = ("name", "type", "subtype", "offset", "size", "flags")
_NUMBER = re.compile(r"(?P<sign>-?)(?P<digits>0[xX][0-9a-fA-F]{1,16}|[0-9]{1,16})(?P<unit>[kKmM]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2}


class Partition(Struct, frozen=True):
    """A partition of the flash, in bytes. ``line`` is its line in the file, from 1."""

    name: str
    type: str
    subtype: str
    offset: int
    size: int
    line: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size

    @property
    def is_update_slot(self) -> bool:
        """Whether an over-the-air update may be written to it."""
        return self.type == "app" and self.subtype.startswith("ota_")


def load_partitions(path: Path, shown: str) -> tuple[Partition, ...]:
    """The partitions of the file ``path``. Errors call it ``shown``.

    Raises:
        TinybudgetError: it cannot be read, or is no partition table.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TinybudgetError(f"{shown}: cannot be read: {reason}") from error
    if len(content) > _LARGEST_FILE_BYTES:
        limit = format_size(_LARGEST_FILE_BYTES)
        raise TinybudgetError(f"{shown}: no partition table: larger than {limit}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TinybudgetError(
            f"{shown}: no partition table: byte {error.start} is not UTF-8 text"
        ) from error
    return read_partitions(text, shown)


def read_partitions(text: str, shown: str) -> tuple[Partition, ...]:
    """The partitions of a ``partitions.csv``, in the order of their offsets.

    Raises:
        TinybudgetError: a line is not understood, or partitions overlap; the line is named.
    """
    found: list[Partition] = []
    for line, fields in _rows(text, shown):
        end = found[-1].end if found else _FIRST_OFFSET
        found.append(_partition(fields, line, end, shown))
        if len(found) > _MOST_PARTITIONS:
            raise _error(shown, line, f"more than {_MOST_PARTITIONS} partitions")
    if not found:
        raise TinybudgetError(f"{shown}: declares no partition (name, type, subtype, offset, size)")
    _check_names(found, shown)
    ordered = sorted(found, key=lambda partition: partition.offset)
    _check_overlaps(ordered, shown)
    return tuple(ordered)


def _rows(text: str, shown: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of every line that declares a partition behind the table.

    The boot loader and the table itself, which newer files list, lie before it.
    """
    for number, line in enumerate(text.split("\n"), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        values = [value.strip() for value in content.split(",")]
        if len(values) > len(_FIELDS) and not any(values[len(_FIELDS) :]):
            values = values[: len(_FIELDS)]
        if not 5 <= len(values) <= len(_FIELDS):
            raise _error(
                shown, number, f"expected name, type, subtype, offset, size, found {_quoted(line)}"
            )
        fields = dict(zip(_FIELDS, values, strict=False))
        if not (fields["type"] in _BEFORE_THE_TABLE and fields["subtype"] == "primary"):
            yield number, fields


def _partition(fields: dict[str, str], line: int, end: int, shown: str) -> Partition:
    """The partition of a line; ``end`` is where the one before it ends."""
    name, kind = fields["name"], _type(fields["type"], line, shown)
    if not name:
        raise _error(shown, line, "a partition without a name")
    subtype = _subtype(kind, fields["subtype"].lower())
    partition = Partition(printable(name, limit=32), kind, subtype, 0, 0, line)
    alignment = _APP_ALIGNMENT if kind == "app" else _DATA_ALIGNMENT
    if fields["offset"]:
        offset = _number(fields["offset"], "an offset", line, shown)
        if offset < 0 or offset % alignment:
            raise _error(
                shown,
                line,
                f"offset {_quoted(fields['offset'])} of {partition.name!r} is not a multiple "
                f"of {alignment:#x}, as of type {kind}",
            )
    else:
        offset = -(-end // alignment) * alignment
    size = _number(fields["size"], "a size", line, shown)
    if size < 0:  # the address at which it ends
        size = -size - offset
    if size <= 0 or offset + size > _LARGEST_BYTES:
        raise _error(shown, line, f"{partition.name!r} has a size of {_quoted(fields['size'])}")
    return replace(partition, offset=offset, size=size)


def _type(text: str, line: int, shown: str) -> str:
    """``"app"`` and ``"data"`` by name or number; other types as they are."""
    if text.lower() in _TYPES:
        return text.lower()
    number = _value(text)
    if number is None or not 0 <= number <= 0xFE:
        raise _error(shown, line, f"expected type app, data or 0..254, found {_quoted(text)}")
    return _TYPES[number] if number < len(_TYPES) else str(number)


def _subtype(kind: str, text: str) -> str:
    """``"ota_1"`` also where an application's subtype is its number, 0x11."""
    number = _value(text)
    if kind == "app" and number is not None and number - _FIRST_UPDATE_SLOT in range(16):
        return f"ota_{number - _FIRST_UPDATE_SLOT}"
    return text


def _number(text: str, what: str, line: int, shown: str) -> int:
    number = _value(text)
    if number is None:
        text = f"expected {what} such as 0x10000, 4096, 64K or 1M, found {_quoted(text)}"
        raise _error(shown, line, text)
    return number


def _value(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    digits = match["digits"]
    value = int(digits, 16 if digits[:2].lower() == "0x" else 10) * _UNITS[match["unit"].lower()]
    return -value if match["sign"] else value


def _check_names(found: list[Partition], shown: str) -> None:
    first: dict[str, Partition] = {}
    for partition in found:
        other = first.setdefault(partition.name, partition)
        if other is not partition:
            text = f"a second partition {partition.name!r}, beside line {other.line}"
            raise _error(shown, partition.line, text)


def _check_overlaps(ordered: list[Partition], shown: str) -> None:
    for before, after in pairwise(ordered):
        if after.offset < before.end:
            raise _error(
                shown,
                after.line,
                f"{after.name!r} begins at {after.offset:#x}, inside {before.name!r} "
                f"({before.offset:#x} to {before.end:#x}, line {before.line})",
            )


def _quoted(text: str) -> str:
    return repr(printable(text.strip(), limit=60))


def _error(shown: str, line: int, text: str) -> TinybudgetError:
    return TinybudgetError(f"{shown}:{line}: {text}")
