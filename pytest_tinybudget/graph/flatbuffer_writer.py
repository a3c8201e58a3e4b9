"""Writes TF Lite files from tables described by ``schema.json``: parents first, children after.

For models that are planned, not trained: small files, each table written once, no sharing.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from pytest_tinybudget.graph.flatbuffer import SCALAR_CODES


#: Tensor contents start at a multiple of this, as kernels rely on.
_BUFFER_ALIGNMENT = 16


class Table(Struct, frozen=True):
    """A table to be written: ``values`` by the schema's field names; ``None`` leaves one out.

    A value is a number, an enumeration's name, a string, ``bytes`` (a vector of ``ubyte``), a
    sequence of numbers, a ``Table`` or a sequence of them.
    """

    kind: str
    values: Mapping[str, Any]


def write(root: Table) -> bytes:
    """The bytes of a file whose root is ``root``."""
    writer = _Writer()
    writer.put_offset(0, writer.table(root))
    return bytes(writer.out)


@cache
def schema() -> dict[str, Any]:
    """The schema as it lies in the package: operators, unions, enumerations, fields of tables."""
    path = Path(__file__).with_name("schema.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray(struct.pack("<I4s", 0, b"TFL3"))

    def table(self, table: Table) -> int:
        """Write ``table``, then all it refers to; its position."""
        present = [
            (slot, name, kind)
            for slot, (name, kind, *_) in enumerate(schema()["tables"][table.kind])
            if table.values.get(name) is not None
        ]
        places, size = _places({slot: struct.calcsize(_code(kind)) for slot, _, kind in present})
        slots = max(places, default=-1) + 1
        vtable = self._pad(2)
        self.out += struct.pack("<HH", 4 + 2 * slots, size)
        self.out += b"".join(struct.pack("<H", places.get(slot, 0)) for slot in range(slots))
        start = self._pad(8)
        self.out += struct.pack("<i", start - vtable) + bytes(size - 4)
        for slot, name, kind in present:
            self._field(start + places[slot], kind, table.values[name], table.kind)
        return start

    def put_offset(self, at: int, target: int) -> None:
        """Let the reference at ``at`` point to ``target``, which lies behind it."""
        struct.pack_into("<I", self.out, at, target - at)

    def _field(self, at: int, kind: str, value: Any, owner: str) -> None:
        if isinstance(value, Table):
            self.put_offset(at, self.table(value))
        elif kind == "string":
            self.put_offset(at, self._vector(value.encode() + b"\0", len(value.encode()), 4))
        elif isinstance(value, bytes):
            alignment = _BUFFER_ALIGNMENT if owner == "Buffer" else 4
            self.put_offset(at, self._vector(value, len(value), alignment))
        elif kind == "[table]":
            self.put_offset(at, self._tables(value))
        elif kind.startswith("["):
            code = SCALAR_CODES[kind[1:-1]]
            content = struct.pack(f"<{len(value)}{code}", *value)
            self.put_offset(at, self._vector(content, len(value), max(4, struct.calcsize(code))))
        else:
            number = schema()["enums"][kind]["names"].index(value) if kind[0].isupper() else value
            struct.pack_into(f"<{_code(kind)}", self.out, at, number)

    def _vector(self, content: bytes, length: int, alignment: int) -> int:
        while (len(self.out) + 4) % alignment:
            self.out.append(0)
        at = len(self.out)
        self.out += struct.pack("<I", length) + content
        return at

    def _tables(self, tables: Sequence[Table]) -> int:
        at = self._vector(bytes(4 * len(tables)), len(tables), 4)
        for index, table in enumerate(tables):
            self.put_offset(at + 4 + 4 * index, self.table(table))
        return at

    def _pad(self, alignment: int) -> int:
        self.out += bytes(-len(self.out) % alignment)
        return len(self.out)


def _code(kind: str) -> str:
    """The ``struct`` code of a field's inline part."""
    enums = schema()["enums"]
    return SCALAR_CODES.get(enums[kind]["base"] if kind in enums else kind, "I")


def _places(widths: Mapping[int, int]) -> tuple[dict[int, int], int]:
    """Where each field lies in its table, by slot, and the table's size: wide ones first."""
    places, end = {}, 4
    for slot, width in sorted(widths.items(), key=lambda each: -each[1]):
        end += -end % width
        places[slot] = end
        end += width
    return places, end
