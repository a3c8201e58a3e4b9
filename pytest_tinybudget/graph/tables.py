"""Takes a ``.tflite`` file apart into its tables, and writes changed tables as a file again.

It keeps what is not changed: every field that the schema knows, and bytes as they are. What the
file refers to in several places is written once. Nothing is interpreted here; ``tflite.py`` does
that.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.flatbuffer import SCALAR_CODES
from pytest_tinybudget.graph.flatbuffer import FlatBuffer
from pytest_tinybudget.graph.schema import load_schema


#: Alignment of tensors' contents, as the schema demands, and of custom options, which kernels read
#: in whole words.
_WIDE_ALIGNMENT = 16
_WIDE = frozenset({("Buffer", "data"), ("Operator", "custom_options")})

#: What every file has at byte 4.
IDENTIFIER = b"TFL3"

#: By width in bytes: the ``struct`` code that reads and writes values unchanged.
_WORDS = {2: "H", 4: "I", 8: "Q"}
#: Strings and vectors may be so many times the file's size. More is an attack.
_WORK_FACTOR = 4

#: The table that a reference leads to, by table and field. For options their union says it.
_CHILDREN = {
    ("Model", "operator_codes"): "OperatorCode",
    ("Model", "subgraphs"): "SubGraph",
    ("Model", "buffers"): "Buffer",
    ("Model", "metadata"): "Metadata",
    ("Model", "signature_defs"): "SignatureDef",
    ("SubGraph", "tensors"): "Tensor",
    ("SubGraph", "operators"): "Operator",
    ("Tensor", "quantization"): "QuantizationParameters",
    ("SignatureDef", "inputs"): "TensorMap",
    ("SignatureDef", "outputs"): "TensorMap",
}
_UNIONS = {
    "builtin_options": "builtin_options_type",
    "builtin_options_2": "builtin_options_2_type",
}


@dataclass(slots=True, eq=False)
class Leaf:
    """A vector of numbers, or a string (``is_text``): number of entries, and their bytes."""

    count: int
    content: bytes | memoryview
    alignment: int = 4
    is_text: bool = False


@dataclass(slots=True, eq=False)
class Vector:
    """A vector of tables."""

    tables: list[Table]


@dataclass(slots=True, eq=False)
class Table:
    """A table: ``values`` by the schema's field names. Absent fields have their default.

    A value is a number, a ``Leaf``, a ``Table`` or a ``Vector``.
    """

    kind: str
    values: dict[str, Any] = field(default_factory=dict)

    def tables(self, name: str) -> list[Table]:
        """The tables of a vector; none where the field is absent."""
        vector = self.values.get(name)
        return vector.tables if isinstance(vector, Vector) else []

    def text(self, name: str) -> bytes:
        """The bytes of a string; empty where the field is absent."""
        leaf = self.values.get(name)
        return bytes(leaf.content) if isinstance(leaf, Leaf) else b""

    def drop(self, *names: str) -> None:
        """Leave fields out."""
        for name in names:
            self.values.pop(name, None)


class UnknownTableError(ModelError):
    """The file has a table that would be lost, because its fields are not known here."""


def take_apart(content: bytes, label: str) -> Table:
    """The ``Model`` table of a file with all that it refers to; ``label`` is for messages.

    Raises:
        UnknownTableError: it has tables of a kind that is not known here.
        ModelError: it is damaged.
    """
    flat = FlatBuffer(content, label)
    return _Reader(flat).table(flat.root(), "Model")


def put_together(model: Table) -> bytes:
    """The file of a ``Model`` table."""
    return _Writer().file(model)


class _Reader:
    def __init__(self, flat: FlatBuffer) -> None:
        self.flat = flat
        self.schema = load_schema()
        self.known: dict[tuple[int, str, object], Any] = {}
        self.leaves_bytes = 0

    def table(self, position: int, kind: str) -> Table:
        """The table at ``position``, made once however often it is referred to."""
        found: Table | None = self.known.get((position, "table", kind))
        if found is None:
            found = self.known[position, "table", kind] = Table(kind)
            row = self.flat.row(position, self.schema.tables[kind])
            fields, defaults = fields_of(kind), self.schema.tables[kind].defaults
            present = {
                name: (code, value)
                for (name, code), value, default in zip(fields, row, defaults, strict=True)
                if name and value != default
            }
            for name, (code, value) in present.items():
                if code in scalar_codes():
                    found.values[name] = value
                else:
                    found.values[name] = self.reference(found, name, code, value)
        return found

    def reference(self, owner: Table, name: str, code: str, position: int) -> Any:
        if code == "table":
            return self.table(position, self._kind(owner, name))
        if code == "[table]" and not self.flat.vector(position, "I"):
            return Vector([])  # Vela writes such, of kinds that nobody needs to know then
        detail = self._kind(owner, name) if code == "[table]" else (owner.kind, name) in _WIDE
        key = (position, code, detail)
        if key not in self.known:
            self.known[key] = (
                Vector([self.table(each, str(detail)) for each in self.flat.tables(position)])
                if code == "[table]"
                else self._leaf(code, position, wide=bool(detail))
            )
        return self.known[key]

    def _leaf(self, code: str, position: int, *, wide: bool) -> Leaf:
        if code == "string":
            self.flat.string(position)  # checks it
            text = self.flat.blob(position)
            return self._counted(Leaf(len(text), text, is_text=True))
        width = struct.calcsize(SCALAR_CODES[code[1:-1]])
        content: bytes | memoryview = self.flat.blob(position)
        if width > 1:
            entries = self.flat.vector(position, _WORDS[width])
            content = struct.pack(f"<{len(entries)}{_WORDS[width]}", *entries)
        alignment = _WIDE_ALIGNMENT if wide else max(4, width)
        return self._counted(Leaf(len(content) // width, content, alignment))

    def _counted(self, leaf: Leaf) -> Leaf:
        """``leaf``, counted: in a crafted file they overlap, and the written file would be huge."""
        self.leaves_bytes += len(leaf.content)
        if self.leaves_bytes > _WORK_FACTOR * len(self.flat.content):
            self.flat.fail("damaged: its parts overlap")
        return leaf

    def _kind(self, owner: Table, name: str) -> str:
        kind = _CHILDREN.get((owner.kind, name))
        if owner.kind == "Operator" and name in _UNIONS:
            names = getattr(self.schema, name)
            number = owner.values.get(_UNIONS[name], 0)
            kind = names[number] if 0 < number < len(names) else None
        if kind is None:
            raise UnknownTableError(
                f"{self.flat.label}: cannot be written again: what {name!r} of its "
                f"{owner.kind} tables holds is not known here"
            )
        return kind


def stored_bytes(each: Table | Leaf | Vector) -> int:
    """Bytes of an object without its vtable and what aligns it."""
    if isinstance(each, Leaf):
        return 4 + len(each.content) + each.is_text
    if isinstance(each, Vector):
        return 4 + 4 * len(each.tables)
    codes = dict(fields_of(each.kind))
    widths = (struct.calcsize(scalar_codes().get(codes[name], "I")) for name in each.values)
    return 4 + sum(widths)


def fields_of(kind: str) -> list[tuple[str | None, str]]:
    """Name and type of each field of a table, in the schema's order and words."""
    return [(row[0], row[1]) for row in _rows()[kind]]


def _rows() -> dict[str, list[list[Any]]]:
    from pytest_tinybudget.graph.flatbuffer_writer import schema

    rows: dict[str, list[list[Any]]] = schema()["tables"]
    return rows


def scalar_codes() -> dict[str, str]:
    """``struct`` codes of the types that are stored in the table itself, enumerations too."""
    from pytest_tinybudget.graph.flatbuffer_writer import schema

    if not _CODES:
        enums = schema()["enums"]
        _CODES.update(SCALAR_CODES)
        _CODES.update({name: SCALAR_CODES[enum["base"]] for name, enum in enums.items()})
    return _CODES


_CODES: dict[str, str] = {}


class Shape(Struct, frozen=True):
    """How the tables with one set of fields lie: place and code of each, bytes, alignment."""

    places: tuple[tuple[str, int, str, bool], ...]
    size: int
    alignment: int
    vtable: bytes


def size_of(model: Table) -> int:
    """Bytes of the file of a ``Model`` table, as ``put_together`` writes it."""
    inner, leaves = _layout(model)
    shapes = _shapes_of(inner)
    at = 8
    for vtable in {shape.vtable: None for shape in shapes.values()}:
        at += -at % 2 + len(vtable)
    for each in inner:
        if isinstance(each, Vector):
            at += -at % 4 + 4 + 4 * len(each.tables)
        else:
            shape = shapes[each.kind, tuple(each.values)]
            at += -at % shape.alignment + shape.size
    for leaf in leaves:
        at += -at % 4
        at += -(at + 4) % leaf.alignment + 4 + len(leaf.content) + leaf.is_text
    return at


def _layout(model: Table) -> tuple[list[Table | Vector], list[Leaf]]:
    """What a file holds, in an order in which its size depends on what it holds alone.

    Tables come first, each behind what refers to it, then vectors of numbers by alignment and
    length: however a converter has ordered constants, files that say the same are equally large.
    """
    inner: list[Table | Vector] = []
    leaves: list[Leaf] = []
    for each in parents_first(model):
        if isinstance(each, Leaf):
            leaves.append(each)
        else:
            inner.append(each)
    leaves.sort(key=lambda leaf: (-leaf.alignment, -len(leaf.content)))
    return inner, leaves


def _shapes_of(inner: list[Table | Vector]) -> dict[tuple[str, tuple[str, ...]], Shape]:
    shapes: dict[tuple[str, tuple[str, ...]], Shape] = {}
    for each in inner:
        if isinstance(each, Table):
            key = (each.kind, tuple(each.values))
            if key not in shapes:
                shapes[key] = shape_of(*key)
    return shapes


class _Writer:
    """Places each object behind all that refer to it, because references lead forward."""

    def __init__(self) -> None:
        self.out = bytearray(struct.pack("<I4s", 0, IDENTIFIER))
        self.positions: dict[int, int] = {}
        self.vtables: dict[bytes, int] = {}
        self.shapes: dict[tuple[str, tuple[str, ...]], Shape] = {}
        self.patches: list[tuple[int, Table | Leaf | Vector]] = []

    def file(self, model: Table) -> bytes:
        self.patches.append((0, model))
        inner, leaves = _layout(model)
        self.shapes = _shapes_of(inner)
        for shape in self.shapes.values():
            if shape.vtable not in self.vtables:
                self._pad(2)
                self.vtables[shape.vtable] = len(self.out)
                self.out += shape.vtable
        for each in (*inner, *leaves):
            self._put(each)
        for at, target in self.patches:
            struct.pack_into("<I", self.out, at, self.positions[id(target)] - at)
        return bytes(self.out)

    def _put(self, each: Table | Leaf | Vector) -> None:
        if isinstance(each, Table):
            self._put_table(each)
        elif isinstance(each, Vector):
            at = self._start(each, 4, len(each.tables))
            self.out += bytes(4 * len(each.tables))
            for index, table in enumerate(each.tables):
                self.patches.append((at + 4 + 4 * index, table))
        else:
            self._start(each, each.alignment, each.count)
            self.out += each.content
            self.out += b"\0" if each.is_text else b""

    def _start(self, each: Leaf | Vector, alignment: int, count: int) -> int:
        """Write the length so that what follows is aligned. Returns the length's position."""
        self._pad(4)
        self.out += bytes(-(len(self.out) + 4) % alignment)
        at = self.positions[id(each)] = len(self.out)
        self.out += struct.pack("<I", count)
        return at

    def _put_table(self, table: Table) -> None:
        shape = self.shapes[table.kind, tuple(table.values)]
        vtable = self.vtables[shape.vtable]
        self._pad(shape.alignment)
        start = self.positions[id(table)] = len(self.out)
        self.out += struct.pack("<i", start - vtable) + bytes(shape.size - 4)
        for name, place, code, refers in shape.places:
            value = table.values[name]
            if refers:
                self.patches.append((start + place, value))
            else:
                struct.pack_into(f"<{code}", self.out, start + place, value)

    def _pad(self, alignment: int) -> None:
        self.out += bytes(-len(self.out) % alignment)


def shape_of(kind: str, present: tuple[str, ...]) -> Shape:
    scalars, places, end = scalar_codes(), {}, 4
    slots = {name: (slot, code) for slot, (name, code) in enumerate(fields_of(kind)) if name}
    widths = {name: struct.calcsize(scalars.get(slots[name][1], "I")) for name in present}
    for name in sorted(present, key=lambda each: (-widths[each], slots[each][0])):
        end += -end % widths[name]
        places[name] = end
        end += widths[name]
    by_slot = {slots[name][0]: place for name, place in places.items()}
    count = max(by_slot, default=-1) + 1
    vtable = struct.pack("<HH", 4 + 2 * count, end) + b"".join(
        struct.pack("<H", by_slot.get(slot, 0)) for slot in range(count)
    )
    return Shape(
        places=tuple(
            (name, place, scalars.get(slots[name][1], "I"), slots[name][1] not in scalars)
            for name, place in places.items()
        ),
        size=end,
        alignment=max(4, *widths.values()) if widths else 4,
        vtable=vtable,
    )


def parents_first(root: Table) -> list[Table | Leaf | Vector]:
    """All objects that ``root`` leads to, each behind all that refer to it."""
    seen = {id(root)}
    order: list[Table | Leaf | Vector] = []
    stack: list[tuple[Table | Leaf | Vector, Iterator[Table | Leaf | Vector]]]
    stack = [(root, _children(root))]
    while stack:
        each, children = stack[-1]
        child = next(children, None)
        if child is None:
            order.append(each)
            stack.pop()
        elif id(child) not in seen:
            seen.add(id(child))
            stack.append((child, _children(child)))
    return order[::-1]


def _children(each: Table | Leaf | Vector) -> Iterator[Table | Leaf | Vector]:
    if isinstance(each, Vector):
        yield from each.tables
    elif isinstance(each, Table):
        for value in each.values.values():
            if isinstance(value, Table | Leaf | Vector):
                yield value
