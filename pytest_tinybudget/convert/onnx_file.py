"""What an ONNX model says of itself, read from its file without the package onnx.

The file is one message of Protocol Buffers, onnx.proto's ``ModelProto``. Only what is asked for is
looked at; weights are skipped by their length. The numbers below are those of onnx.proto's fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct


_GRAPH, _OPSETS = 7, 8  # of ModelProto
_DOMAIN, _VERSION = 1, 2  # of OperatorSetIdProto
_NODE, _INITIALIZER, _INPUT = 1, 5, 11  # of GraphProto
_NODE_NAME, _OP_TYPE = 3, 4  # of NodeProto
_TENSOR_NAME, _EXTERNAL_DATA = 8, 13  # of TensorProto
_KEY, _VALUE = 1, 2  # of StringStringEntryProto
_VALUE_NAME, _TYPE = 1, 2  # of ValueInfoProto
_TENSOR_TYPE, _ELEMENT, _SHAPE, _DIM, _DIM_VALUE = 1, 1, 2, 1, 1  # of TypeProto and its parts
_DOUBLE = 11  # of TensorProto.DataType

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
#: More nodes and weights than any model for a microcontroller has.
_MOST_PARTS = 100_000
_LONGEST_NAME = 300


class OnnxNode(Struct, frozen=True):
    """An operator's type and name, which may be empty."""

    op_type: str
    name: str


class OnnxInput(Struct, frozen=True):
    """An input that is no weight. ``shape`` is in elements; ``None`` is an open extent."""

    name: str
    shape: tuple[int | None, ...]
    is_double: bool = False


class OnnxFile(Struct, frozen=True):
    """The main graph's operators and inputs, and the files that hold its weights, as it has them.

    A weight file is relative to the model's folder. ``opset`` is the version of ONNX's own
    operators that it uses, 0 where it does not say.
    """

    nodes: tuple[OnnxNode, ...]
    inputs: tuple[OnnxInput, ...]
    weight_files: tuple[str, ...]
    opset: int


class _MalformedError(Exception):
    """The file is no such message."""


#: A field of a message: its number, its value where that is an integer, and where it lies.
_Field = tuple[int, int, int, int]


def read_onnx(path: Path) -> OnnxFile | None:
    """The model at ``path``; ``None`` where the file cannot be read as one."""
    try:
        with (
            path.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            return _Reader(content).model()
    except (OSError, ValueError, _MalformedError):
        return None


class _Reader(Struct):
    """Reads messages of ``content``: sequences of bytes, from a begin to an end."""

    content: mmap.mmap

    def model(self) -> OnnxFile | None:
        end = len(self.content)
        graphs = list(self._inner(0, end, (_GRAPH,)))
        opsets = [self._opset(*place) for place in self._inner(0, end, (_OPSETS,))]
        return self._graph(*graphs[-1], opset=max(opsets, default=0)) if graphs else None

    def _opset(self, begin: int, end: int) -> int:
        """The version of a set of operators; 0 where it is not ONNX's own."""
        fields = list(self._fields(begin, end))
        if any(field == _DOMAIN and last > first for field, _, first, last in fields):
            return 0
        return max((value for field, value, *_ in fields if field == _VERSION), default=0)

    def _graph(self, begin: int, end: int, opset: int) -> OnnxFile:
        nodes: list[OnnxNode] = []
        inputs: list[OnnxInput] = []
        weights: set[str] = set()
        files: dict[str, None] = {}
        for field, _, first, last in islice(self._fields(begin, end), _MOST_PARTS):
            if field == _NODE:
                nodes.append(self._node(first, last))
            elif field == _INPUT:
                inputs.append(self._input(first, last))
            elif field == _INITIALIZER:
                name, file = self._weight(first, last)
                weights.add(name)
                files |= {file: None} if file else {}
        given = tuple(each for each in inputs if each.name not in weights)
        return OnnxFile(tuple(nodes), given, tuple(files), opset)

    def _node(self, begin: int, end: int) -> OnnxNode:
        texts = self._texts(begin, end)
        return OnnxNode(texts.get(_OP_TYPE, ""), texts.get(_NODE_NAME, ""))

    def _weight(self, begin: int, end: int) -> tuple[str, str]:
        """The name of a weight, and the file that its numbers are in; empty: in the model's."""
        name, file = "", ""
        for field, _, first, last in self._fields(begin, end):
            if field == _TENSOR_NAME:
                name = self._text(first, last)
            elif field == _EXTERNAL_DATA:
                entry = self._texts(first, last)
                if entry.get(_KEY) == "location":
                    file = entry.get(_VALUE, "")
        return name, file

    def _input(self, begin: int, end: int) -> OnnxInput:
        name = self._texts(begin, end).get(_VALUE_NAME, "")
        dims = self._inner(begin, end, (_TYPE, _TENSOR_TYPE, _SHAPE, _DIM))
        is_double = any(
            (field, value) == (_ELEMENT, _DOUBLE)
            for place in self._inner(begin, end, (_TYPE, _TENSOR_TYPE))
            for field, value, *_ in self._fields(*place)
        )
        return OnnxInput(name, tuple(self._extent(*each) for each in dims), is_double)

    def _extent(self, begin: int, end: int) -> int | None:
        """A dimension's extent; ``None`` where it has a name or nothing in its place."""
        values = [value for field, value, *_ in self._fields(begin, end) if field == _DIM_VALUE]
        return values[-1] if values and values[-1] > 0 else None

    def _inner(self, begin: int, end: int, way: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        """Where the messages lie that ``way``, a field after the other, leads to."""
        for field, _, first, last in self._fields(begin, end):
            if field == way[0]:
                if len(way) == 1:
                    yield first, last
                else:
                    yield from self._inner(first, last, way[1:])

    def _texts(self, begin: int, end: int) -> dict[int, str]:
        return {
            field: self._text(first, last)
            for field, _, first, last in self._fields(begin, end)
            if field <= _OP_TYPE
        }

    def _text(self, begin: int, end: int) -> str:
        return self.content[begin : min(end, begin + _LONGEST_NAME)].decode("utf-8", "replace")

    def _fields(self, begin: int, end: int) -> Iterator[_Field]:
        at = begin
        while at < end:
            key, at = self._varint(at, end)
            kind = key & 7
            if kind == _VARINT:
                value, at = self._varint(at, end)
                yield key >> 3, value, at, at
            elif kind == _BYTES:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise _MalformedError
                yield key >> 3, 0, at, at + size
                at += size
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            else:
                raise _MalformedError

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for number in range(_LONGEST_VARINT):
            if at + number >= end:
                break
            byte = self.content[at + number]
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return value, at + number + 1
        raise _MalformedError
