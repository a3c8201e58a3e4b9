"""Writes the tables of ``tables.py`` as the smallest file that says the same.

Whatever is equal is written once: vectors, strings, tables, and the vtables that say how tables
lie. Objects are placed from the file's end to its start, so that each lies before all that it
refers to, as FlatBuffers demands, and small ones fill the gaps that the alignment of tensors'
contents leaves.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tables import IDENTIFIER
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Shape
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector
from pytest_tinybudget.graph.tables import fields_of
from pytest_tinybudget.graph.tables import parents_first
from pytest_tinybudget.graph.tables import shape_of


#: The root's place and the identifier, which every file starts with.
_START_BYTES = 8
_WORD = 4
#: The widest alignment, to which positions in the file are counted.
_WIDEST = 16

#: The names of the fields that a table stores.
_Fields = frozenset[str]


class _Object(NamedTuple):
    """Something to be placed: its bytes, with zeros where references will be.

    ``references`` are places in it and the numbers of the objects that they lead to. ``vtable`` is
    the number of a table's vtable, which may lie on either side of it.
    """

    content: bytes
    references: tuple[tuple[int, int], ...] = ()
    vtable: int = -1


class _Layout(NamedTuple):
    """Where objects lie, counted from a place below the file; ``start`` is the file's."""

    positions: Mapping[int, int]
    start: int
    end: int


def pack(model: Table) -> bytes:
    """The file of a ``Model`` table: equal bytes for equal tables."""
    objects = _Objects(model)
    layouts = (_Placement(objects, phase).layout() for phase in range(0, _WIDEST, _WORD))
    return _file(objects, min(layouts, key=lambda each: each.end - each.start))


def _file(objects: _Objects, layout: _Layout) -> bytes:
    out = bytearray(layout.end - layout.start)
    positions = {number: place - layout.start for number, place in layout.positions.items()}
    struct.pack_into("<I4s", out, 0, positions[objects.root], IDENTIFIER)
    for number, at in positions.items():
        content, references, vtable = objects.found[number]
        out[at : at + len(content)] = content
        if vtable >= 0:
            struct.pack_into("<i", out, at, at - positions[vtable])
        for place, target in references:
            struct.pack_into("<I", out, at + place, positions[target] - at - place)
    return bytes(out)


class _Objects:
    """The distinct objects of a file, children before those that refer to them.

    ``alignments`` are of the contents of vectors, and of tables and vtables, by number: 4 for those
    that are not named.
    """

    def __init__(self, model: Table) -> None:
        self.found: list[_Object] = []
        self.alignments: dict[int, int] = {}
        self._numbers: dict[_Object, int] = {}
        distinct, known = _distinct(model)
        shapes = _shapes(each for each in distinct if isinstance(each, Table))
        numbers: list[int] = []
        for each in distinct:
            if isinstance(each, Leaf):
                numbers.append(self._leaf(each))
                continue
            children = {id(child): numbers[known[id(child)]] for child in _children(each)}
            if isinstance(each, Vector):
                numbers.append(self._vector([children[id(table)] for table in each.tables]))
            else:
                shape = shapes[each.kind, frozenset(each.values)]
                numbers.append(self._table(each, shape, children))
        self.root = numbers[-1]

    def _add(self, each: _Object) -> int:
        number = self._numbers.setdefault(each, len(self.found))
        if number == len(self.found):
            self.found.append(each)
        return number

    def _leaf(self, leaf: Leaf) -> int:
        end = b"\0" if leaf.is_text else b""
        number = self._add(_Object(struct.pack("<I", leaf.count) + bytes(leaf.content) + end))
        least = leaf.alignment if leaf.count else _WORD
        self.alignments[number] = max(least, self.alignments.get(number, _WORD))
        return number

    def _vector(self, numbers: Sequence[int]) -> int:
        count = len(numbers)
        content = struct.pack("<I", count) + bytes(_WORD * count)
        places = range(_WORD, len(content), _WORD)
        return self._add(_Object(content, tuple(zip(places, numbers, strict=True))))

    def _table(self, table: Table, shape: Shape, children: Mapping[int, int]) -> int:
        content = bytearray(shape.size)
        references = []
        defaults = _defaults(table.kind)
        for name, place, code, refers in shape.places:
            value = table.values.get(name, defaults[name])
            if refers:
                references.append((place, children[id(value)]))
            else:
                struct.pack_into(f"<{code}", content, place, value)
        vtable = self._add(_Object(shape.vtable))
        self.alignments.setdefault(vtable, 2)
        number = self._add(_Object(bytes(content), tuple(references), vtable))
        if shape.alignment > _WORD:
            self.alignments[number] = shape.alignment
        return number


def _distinct(model: Table) -> tuple[list[Leaf | Vector | Table], dict[int, int]]:
    """One of each kind of equal objects, children first; and by ``id`` the place in that list."""
    found: list[Leaf | Vector | Table] = []
    places: dict[object, int] = {}
    known: dict[int, int] = {}
    for each in reversed(parents_first(model)):
        key: object
        if isinstance(each, Leaf):
            key = (each.count, bytes(each.content), each.is_text, each.alignment)
        elif isinstance(each, Vector):
            key = tuple(known[id(table)] for table in each.tables)
        else:
            # A number 1 and a reference to object 1 are not the same, but no field is both.
            values = ((name, known.get(id(value), value)) for name, value in each.values.items())
            key = (each.kind, frozenset(_hashed(values)))
        place = known[id(each)] = places.setdefault(key, len(found))
        if place == len(found):
            found.append(each)
    return found, known


def _hashed(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """``values`` so that what is written alike is equal: not so -0.0 and 0.0, but so NaN."""
    for name, value in values:
        yield name, struct.pack("<d", value) if isinstance(value, float) else value


def _children(each: Vector | Table) -> Iterable[Leaf | Vector | Table]:
    if isinstance(each, Vector):
        return each.tables
    return (value for value in each.values.values() if isinstance(value, Leaf | Vector | Table))


def _defaults(kind: str) -> dict[str | None, Any]:
    names = (name for name, _ in fields_of(kind))
    return dict(zip(names, load_schema().tables[kind].defaults, strict=True))


# How tables lie.


def _shapes(tables: Iterable[Table]) -> dict[tuple[str, _Fields], Shape]:
    """How each table lies, by its kind and the fields that it has.

    A field with its default needs not be stored; where that spares a vtable, it is.
    """
    counts: dict[str, dict[_Fields, int]] = {}
    for table in tables:
        of_kind = counts.setdefault(table.kind, {})
        fields = frozenset(table.values)
        of_kind[fields] = of_kind.get(fields, 0) + 1
    return {
        (kind, fields): shape_of(kind, _ordered(kind, stored))
        for kind, of_kind in counts.items()
        for fields, stored in _stored_fields(kind, of_kind).items()
    }


def _stored_fields(kind: str, counts: Mapping[_Fields, int]) -> dict[_Fields, _Fields]:
    """By the fields that tables have, those that they store: fewest bytes with their vtables."""
    groups = {fields: ([fields], count) for fields, count in counts.items()}
    while True:
        best, saved = None, 0
        keys = sorted(groups, key=sorted)
        for index, first in enumerate(keys):
            for second in keys[:index]:
                gain = _gain(kind, first, groups[first][1], second, groups[second][1])
                if gain > saved:
                    best, saved = (first, second), gain
        if best is None:
            return {each: stored for stored, (all_, _) in groups.items() for each in all_}
        (some, one), (others, other) = groups.pop(best[0]), groups.pop(best[1])
        groups[best[0] | best[1]] = ([*some, *others], one + other)


def _gain(kind: str, first: _Fields, one: int, second: _Fields, other: int) -> int:
    """Bytes that tables with ``first`` and with ``second`` save with one vtable for both."""
    if any(refers for name, refers in _references(kind) if name in first ^ second):
        return 0  # a reference that is not there cannot be stored
    both = _cost(kind, first | second, one + other)
    return _cost(kind, first, one) + _cost(kind, second, other) - both


def _cost(kind: str, fields: _Fields, count: int) -> int:
    shape = shape_of(kind, _ordered(kind, fields))
    return len(shape.vtable) + count * _rounded(shape.size)


def _references(kind: str) -> Iterator[tuple[str | None, bool]]:
    flags = load_schema().tables[kind].references
    for (name, _), refers in zip(fields_of(kind), flags, strict=True):
        yield name, refers


def _ordered(kind: str, fields: _Fields) -> tuple[str, ...]:
    return tuple(name for name, _ in fields_of(kind) if name in fields)


def _rounded(size: int) -> int:
    return -(-size // _WORD) * _WORD


# Where objects lie.


class _Placement:
    """Places objects from the end of a file to its start; its end is at ``phase`` modulo 16."""

    def __init__(self, objects: _Objects, phase: int) -> None:
        self.objects = objects
        total = sum(2 * _WIDEST + len(each.content) for each in objects.found)
        self.end = total // _WIDEST * _WIDEST + 4 * _WIDEST + phase
        self.at = self.end
        self.positions: dict[int, int] = {}
        #: By size: the numbers of objects that may fill a gap.
        self.fillers: dict[int, list[int]] = {}
        self.waiting: dict[int, list[int]] = {}
        self.missing: dict[int, int] = {}

    def layout(self) -> _Layout:
        self._find_fillers()
        for number, alignment in self.objects.alignments.items():
            if alignment == _WIDEST:
                self._put_wide(number)
        for number in range(len(self.objects.found)):
            if number not in self.positions:
                self._put(number)
        room = self.at - _START_BYTES
        return _Layout(self.positions, room // _WIDEST * _WIDEST, self.end)

    def _find_fillers(self) -> None:
        """Objects of at most 12 bytes fit into gaps, once all that they refer to is placed."""
        for number, each in enumerate(self.objects.found):
            if _rounded(len(each.content)) >= _WIDEST or self._alignment(number) == _WIDEST:
                continue
            targets = {target for _, target in each.references}
            self.missing[number] = len(targets)
            for target in targets:
                self.waiting.setdefault(target, []).append(number)
            if not targets:
                self._is_ready(number)

    def _alignment(self, number: int) -> int:
        return self.objects.alignments.get(number, _WORD)

    def _is_ready(self, number: int) -> None:
        size = _rounded(len(self.objects.found[number].content))
        self.fillers.setdefault(size, []).append(number)

    def _put_wide(self, number: int) -> None:
        """Place a vector whose content starts at a multiple of 16, and fill the gap behind it."""
        size = len(self.objects.found[number].content) - _WORD
        start = (self.at - size) // _WIDEST * _WIDEST
        self._fill(-(-(start + size) // _WORD) * _WORD)
        self._place(number, start - _WORD)

    def _fill(self, least: int) -> None:
        """Place what fits between ``least`` and what is placed."""
        while self.at - least >= _WORD:
            for size in range(min(self.at // _WORD * _WORD - least, 12), 0, -_WORD):
                number = self._filler(size)
                if number is not None:
                    self._place(number, self.at // _WORD * _WORD - size)
                    break
            else:
                return

    def _filler(self, size: int) -> int | None:
        """An object of that size that may lie right before what is placed."""
        ready = self.fillers.get(size, [])
        for index in range(len(ready) - 1, -1, -1):
            number = ready[index]
            if number in self.positions:
                del ready[index]
            elif self._start(number) == self.at // _WORD * _WORD - size:
                return ready.pop(index)
        return None

    def _start(self, number: int) -> int:
        """The last place for an object before what is placed."""
        each = self.objects.found[number]
        alignment = self._alignment(number)
        offset = 0 if each.vtable >= 0 or alignment <= _WORD else _WORD
        return (self.at - len(each.content) + offset) // alignment * alignment - offset

    def _put(self, number: int) -> None:
        start = self._start(number)
        gap = self.at - len(self.objects.found[number].content) - start
        if gap >= _WORD:
            self._fill(self.at - gap)
            start = self._start(number)
        if number not in self.positions:
            self._place(number, start)

    def _place(self, number: int, start: int) -> None:
        self.positions[number] = self.at = start
        for parent in self.waiting.get(number, ()):
            self.missing[parent] -= 1
            if not self.missing[parent]:
                self._is_ready(parent)
