"""Reads FlatBuffers that may come from anyone: every access is checked against the file's bounds.

Works from a description of the tables (``schema.json``) instead of generated classes. Whatever
is wrong with the file raises ``ModelError`` with the byte where it is wrong. Time and memory are
bounded by the file's size: parts that overlap or are referred to again and again do not multiply.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import Any
from typing import NoReturn

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.graph.model import NO_BYTES


#: ``struct`` codes of the scalar types of a FlatBuffers schema.
SCALAR_CODES = {
    "bool": "?", "byte": "b", "ubyte": "B", "short": "h", "ushort": "H", "int": "i", "uint": "I",
    "long": "q", "ulong": "Q", "float": "f",
}  # fmt: skip

_WIDTHS = {"?": 1, "b": 1, "B": 1, "h": 2, "H": 2, "i": 4, "I": 4, "q": 8, "Q": 8, "f": 4}
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")

#: The decoded bytes may be so many times the file's size. More is an attack: a normal file decodes
#: each byte once, or a few times where tables share vtables and vectors.
_WORK_FACTOR = 4
#: Bytes of that budget that each table costs at least.
_LEAST_TABLE_COST = 16


class TableType(Struct, frozen=True, eq=False):
    """A table of the schema: for each field its ``struct`` code, default, and if it is a reference.

    A field that refers to a vector, string or table has code ``"I"`` and default 0.
    """

    name: str
    codes: tuple[str, ...]
    defaults: tuple[int | float | bool, ...]
    references: tuple[bool, ...]


class _Layout(Struct, frozen=True):
    """The places of a table type's fields by one vtable: read all at once, then reordered."""

    object_bytes: int
    cost: int
    unpack: Callable[[bytes, int], tuple[Any, ...]]
    pick: Callable[[list[Any]], tuple[Any, ...]]
    defaults: tuple[int | float | bool, ...]
    references: tuple[tuple[int, int], ...]


class FlatBuffer:
    """The bytes of one file. Messages call it ``label``.

    ``strings_bytes`` is the size of the strings read so far, with length, terminator and padding.
    Each string counts once.
    """

    def __init__(self, content: bytes, label: str) -> None:
        self.content = content
        self.label = label
        self.strings_bytes = 0
        self._bytes = len(content)
        self._view = memoryview(content)
        self._budget = _WORK_FACTOR * len(content)
        self._layouts: dict[tuple[int, TableType], _Layout] = {}
        self._vectors: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._strings: dict[int, str] = {}

    def fail(self, message: str) -> NoReturn:
        """Raise the ``ModelError`` that says what is wrong with this file."""
        raise ModelError(f"{self.label}: {message}")

    def root(self) -> int:
        """Position of the root table."""
        return self._target(0, _UINT32.unpack_from(self.content, 0)[0])

    def row(self, position: int, kind: TableType) -> tuple[Any, ...]:
        """The fields of the table at ``position``, in schema order.

        Absent fields have their default. A reference is the absolute position of what it refers
        to, 0 where absent.
        """
        content = self.content
        if position & 3 or position + 4 > self._bytes:
            self._misplaced(kind.name, position)
        vtable = position - _INT32.unpack_from(content, position)[0]
        layout = self._layouts.get((vtable, kind))
        if layout is None:
            layout = self._layouts[vtable, kind] = self._read_vtable(vtable, position, kind)
        if position + layout.object_bytes > self._bytes:
            self._misplaced(kind.name, position)
        self._budget -= layout.cost
        if self._budget < 0:
            self._spend(0, position)
        values = [*layout.unpack(content, position), *layout.defaults]
        for index, offset in layout.references:
            # As in ``_target``, without a call for each reference of each table.
            target = position + offset + values[index]
            if target + 4 > self._bytes or not values[index]:
                self._target(position + offset, values[index])
            values[index] = target
        return layout.pick(values)

    def vector(self, position: int, code: str) -> tuple[Any, ...]:
        """The scalars at ``position`` (0: absent, so empty); ``code`` as in ``struct``."""
        if not position:
            return ()
        known = self._vectors.get((position, code))
        if known is None:
            count = self._count(position, _WIDTHS[code])
            self._spend(count * _WIDTHS[code], position)
            known = struct.unpack_from(f"<{count}{code}", self.content, position + 4)
            self._vectors[position, code] = known
        return known

    def tables(self, position: int) -> tuple[int, ...]:
        """Positions of the tables in the vector at ``position`` (0: absent, so empty)."""
        return tuple(
            self._target(position + 4 + 4 * index, offset)
            for index, offset in enumerate(self.vector(position, "I"))
        )

    def blob(self, position: int) -> memoryview:
        """The bytes of the ``[ubyte]`` at ``position`` (0: absent, so empty), not copied."""
        if not position:
            return NO_BYTES
        count = self._count(position, 1)
        return self._view[position + 4 : position + 4 + count]

    def string(self, position: int) -> str:
        """The string at ``position`` (0: absent, so empty); bytes that are no UTF-8 are escaped."""
        if not position:
            return ""
        known = self._strings.get(position)
        if known is None:
            count = self._count(position, 1)
            end = position + 4 + count
            if end >= self._bytes or self.content[end]:
                self.fail(f"damaged: the string at byte {position} has no terminator")
            self._spend(count, position)
            known = self.content[position + 4 : end].decode("utf-8", "backslashreplace")
            self._strings[position] = known
            self.strings_bytes += (4 + count + 1 + 3) & ~3
        return known

    def _target(self, position: int, offset: int) -> int:
        """Target of the reference at ``position``, with room for a length or a vtable offset."""
        target = position + offset
        if target + 4 > self._bytes or not offset:
            self.fail(
                f"truncated or damaged: byte {position} refers to byte {target},"
                f" the file has {self._bytes:,} bytes"
            )
        return target

    def _count(self, position: int, width: int) -> int:
        """Number of entries of the vector at ``position``, all of them inside the file."""
        if position & 3:
            self.fail(f"damaged: the vector at byte {position} is not aligned to 4 bytes")
        count: int = _UINT32.unpack_from(self.content, position)[0]
        if position + 4 + count * width > self._bytes:
            self.fail(
                f"truncated or damaged: the vector at byte {position} has {count:,} entries,"
                f" the file ends {self._bytes - position:,} bytes later"
            )
        return count

    def _read_vtable(self, vtable: int, position: int, kind: TableType) -> _Layout:
        """Check the vtable and plan how to read ``kind`` by it; newer fields are skipped."""
        if vtable < 0 or vtable & 1 or vtable + 4 > self._bytes:
            self.fail(f"damaged: the {kind.name} table at byte {position} has no valid vtable")
        vtable_bytes, object_bytes = struct.unpack_from("<HH", self.content, vtable)
        if vtable_bytes < 4 or vtable_bytes & 1 or vtable + vtable_bytes > self._bytes:
            self.fail(f"damaged: the vtable at byte {vtable} claims {vtable_bytes} bytes")
        if object_bytes < 4:
            self.fail(f"damaged: the vtable at byte {vtable} is for {object_bytes}-byte tables")
        self._spend(vtable_bytes, vtable)
        stored = min((vtable_bytes - 4) // 2, len(kind.codes))
        offsets = struct.unpack_from(f"<{stored}H", self.content, vtable + 4)
        present = sorted((offset, field) for field, offset in enumerate(offsets) if offset)
        form, end = "<", 0
        for offset, field in present:
            code = kind.codes[field]
            width = _WIDTHS[code]
            if offset < max(end, 4) or offset + width > object_bytes or offset % min(width, 4):
                self.fail(f"damaged: the vtable at byte {vtable} misplaces a {kind.name} field")
            form += f"{offset - end}x{code}"
            end = offset + width
        place = {field: index for index, (_, field) in enumerate(present)}
        order = [place.get(field, len(present) + field) for field in range(len(kind.codes))]
        return _Layout(
            object_bytes=object_bytes,
            cost=max(object_bytes, _LEAST_TABLE_COST),
            unpack=struct.Struct(form).unpack_from,
            pick=_picker(order),
            defaults=kind.defaults,
            references=tuple(
                (index, offset)
                for index, (offset, field) in enumerate(present)
                if kind.references[field]
            ),
        )

    def _spend(self, cost: int, position: int) -> None:
        self._budget -= cost
        if self._budget < 0:
            self.fail(f"damaged: its parts overlap (noticed at byte {position})")

    def _misplaced(self, name: str, position: int) -> NoReturn:
        self.fail(
            f"truncated or damaged: the {name} table at byte {position} is misaligned"
            f" or leaves the file of {self._bytes:,} bytes"
        )


def _picker(order: list[int]) -> Callable[[list[Any]], tuple[Any, ...]]:
    """``itemgetter(*order)`` that gives a tuple for any number of fields."""
    if len(order) > 1:
        return itemgetter(*order)
    return lambda values: tuple(values[index] for index in order)


def quoted(content: bytes) -> str:
    """A few bytes for a message: as text where they are text, else as they are written in hex."""
    text = content.decode("latin-1")
    return f"'{printable(text)}'" if text.isascii() else content.hex(" ")
