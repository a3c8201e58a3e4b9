"""The size of a plan's file, added up from what its tensors and operators hold by kind.

``graph.tables.size_of`` counts the same over all tables of the file, which a search would have to
make for each candidate. Tables and references lie at multiples of 4, and vectors by alignment, the
widest first: what lies before what does not change the sum, but for the last string.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import reduce
from operator import or_

from msgspec import Struct

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.graph.kinds import alike_in
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector
from pytest_tinybudget.graph.tables import parents_first
from pytest_tinybudget.graph.tables import shape_of
from pytest_tinybudget.graph.tables import size_of
from pytest_tinybudget.planning.file import is_traced
from pytest_tinybudget.planning.file import is_wide
from pytest_tinybudget.planning.file import operator_table
from pytest_tinybudget.planning.file import tables_of
from pytest_tinybudget.planning.file import tensor_table


#: Before the first table: the reference to it and the identifier.
_START = 8
#: Of a reference, and of a vector's or string's length.
_WORD = 4


class _Held(Struct, gc=False):
    """What some objects of a file take, bytes, tensors' contents apart.

    Attributes:
        layouts: A bit for each layout of tables (vtable), which the file has once.
        tables: Tables, and vectors of references.
        words: Vectors of numbers up to 4 bytes, and strings, which are rounded up.
        longs: Vectors of numbers of 8 bytes, with what aligns them.
        empty: Whether a vector of numbers is empty: such are behind all else, also behind strings.
    """

    layouts: int = 0
    tables: int = 0
    words: int = 0
    longs: int = 0
    empty: bool = False


class _Names(Struct, frozen=True, gc=False):
    """What of a file follows from names, types and operators alone.

    Attributes:
        shortest: The length of the shortest name; more than 4 where there are none.
        text: Bytes of all names but the length of each, rounded up.
        has_variables: Whether a tensor keeps a state.
        is_traced: Whether litert-quantizer writes the file, which marks what it has added.
        wide: Whether 16-bit numbers flow between the operators.
        codes: Of each operator, the number of its name and version, and these of all.
        versions: The names and versions.
    """

    shortest: int
    text: int
    has_variables: bool
    is_traced: bool
    wide: bool
    codes: tuple[int, ...]
    versions: tuple[tuple[str, int], ...]


def _names(graph: Subgraph, *, named: bool) -> _Names:
    lengths = [len(each.name.encode()) for each in graph.tensors] if named else []
    codes: dict[str, int] = {}
    return _Names(
        shortest=min(lengths, default=_WORD + 1),
        text=sum((size + _WORD) // _WORD * _WORD for size in lengths),
        has_variables=any(each.is_variable for each in graph.tensors),
        is_traced=is_traced(graph),
        wide=is_wide(graph),
        codes=tuple([codes.setdefault(each.name, len(codes)) for each in graph.operators]),
        versions=tuple({each.name: each.version for each in graph.operators}.items()),
    )


def file_bytes(model: Model) -> int:
    """Bytes of a plan's file, as ``size_of`` counts its tables."""
    graph, kinds, named = model.main, kinds_of(model), bool(model.derived.get("named"))
    alike = alike_in(model)
    names: _Names | None = alike.get("names in the file")
    if names is None:
        names = alike["names in the file"] = _names(graph, named=named)
    is_plain = not (names.has_variables or names.is_traced) and names.shortest not in (0, _WORD)
    if kinds is None or not is_plain:
        return size_of(tables_of(graph, named=named))
    parts: list[_Held] = []
    known, kind_of = _held.get, 4 * names.wide + 2 * named
    contents: dict[int, int] = {}
    for tensor, kind in zip(graph.tensors, kinds.tensors, strict=True):
        buffer = tensor.buffer
        key = (kind, kind_of + (buffer > 0))
        found = known(key)
        if found is None:
            found = _held.keep(key, _sum(tensor_table(tensor, named=named, wide=names.wide)))
        parts.append(found)
        if tensor.data:
            contents[buffer] = len(tensor.data)
    for operator, kind, code in zip(graph.operators, kinds.operators, names.codes, strict=True):
        place = (kind, -1 - (code > 0))
        found = known(place)
        parts.append(found or _held.keep(place, _sum(operator_table(operator, code))))
    parts.append(_frame(graph, names.versions, len(contents)))
    held = _Held(
        layouts=reduce(or_, [each.layouts for each in parts]),
        tables=sum([each.tables for each in parts]),
        words=sum([each.words for each in parts]) + names.text,
        longs=sum([each.longs for each in parts]),
        empty=any(each.empty for each in parts),
    )
    return _end(held, sorted(contents.values(), reverse=True)) - _unrounded(held, names.shortest)


def _end(held: _Held, contents: list[int]) -> int:
    """Where a file ends that rounds its last string up."""
    at = _START + _layout_bytes(held.layouts)
    at += -at % _WORD + held.tables
    for size in contents:
        at += -at % _WORD
        at += -(at + _WORD) % 16 + _WORD + size
    at += -at % _WORD
    if held.longs:
        at += -(at + _WORD) % 8 + held.longs - _WORD
    return at + held.words


def _unrounded(held: _Held, shortest: int) -> int:
    """What the last vector is counted too large: the shortest, where that is a string."""
    if shortest > _WORD or held.empty:
        return 0
    return -(shortest + 1) % _WORD


_held: Remembered[Hashable, _Held] = Remembered()


def _sum(root: Table) -> _Held:
    """What ``root`` and all that it refers to take, contents of buffers and of strings apart."""
    held = _Held()
    for each in parents_first(root):
        if isinstance(each, Vector):
            held.tables += _WORD + _WORD * len(each.tables)
        elif isinstance(each, Table):
            shape = shape_of(each.kind, tuple(each.values))
            assert shape.alignment == _WORD
            held.tables += -(-shape.size // _WORD) * _WORD
            held.layouts |= 1 << _layouts.setdefault(shape.vtable, len(_layouts))
        else:
            _add_leaf(held, each)
    return held


def _add_leaf(held: _Held, leaf: Leaf) -> None:
    if leaf.is_text:
        held.words += _WORD
    elif leaf.alignment == _WORD:
        held.words += _WORD + len(leaf.content)
        held.empty = held.empty or not leaf.content
    elif leaf.alignment == 2 * _WORD:
        held.longs += 2 * _WORD + len(leaf.content)


#: The layouts of tables that plans have, by their bytes: a few dozen.
_layouts: dict[bytes, int] = {}
_layout_sizes: Remembered[int, int] = Remembered()


def _layout_bytes(layouts: int) -> int:
    known = _layout_sizes.get(layouts)
    if known is not None:
        return known
    size = sum(len(vtable) for vtable, bit in _layouts.items() if layouts >> bit & 1)
    return _layout_sizes.keep(layouts, size)


def _frame(graph: Subgraph, versions: tuple[tuple[str, int], ...], contents: int) -> _Held:
    """The model's and the graph's own tables, and the buffers', of which so many hold contents."""
    key = (
        "frame", versions, len(graph.tensors), len(graph.operators),
        len(graph.inputs), len(graph.outputs), contents,
        max([each.buffer for each in graph.tensors]),
    )  # fmt: skip
    known = _held.get(key)
    if known is not None:
        return known
    root = tables_of(graph)
    (inner,) = root.tables("subgraphs")
    inner.values |= {"tensors": Vector([]), "operators": Vector([])}
    held = _sum(root)
    held.tables += _WORD * (len(graph.tensors) + len(graph.operators))
    return _held.keep(key, held)
