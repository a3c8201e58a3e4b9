"""The operators of an ONNX model, read from its file without the package onnx.

The file is one message of Protocol Buffers, onnx.proto's ``ModelProto``. Only what leads to nodes
is looked at: ``graph`` (field 7), in it ``node`` (1), in it ``name`` (3) and ``op_type`` (4).
Weights are skipped by their length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


_GRAPH, _NODE, _NAME, _OP_TYPE = 7, 1, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
#: More nodes than any model for a microcontroller has.
_MOST_NODES = 100_000
_LONGEST_NAME = 300


class OnnxNode(Struct, frozen=True):
    """An operator's type and name, which may be empty."""

    op_type: str
    name: str


class _MalformedError(Exception):
    """The file is no such message."""


def onnx_nodes(path: Path) -> list[OnnxNode]:
    """The operators of the model's main graph; none where the file cannot be read as one."""
    try:
        with (
            path.open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as it,
        ):
            return list(_nodes(it))
    except (OSError, ValueError, _MalformedError):
        return []  # onnx2tf says what is wrong with it


def _nodes(content: mmap.mmap) -> Iterator[OnnxNode]:
    count = 0
    for field, begin, end in _fields(content, 0, len(content)):
        if field != _GRAPH:
            continue
        for inner, first, last in _fields(content, begin, end):
            if inner == _NODE:
                count += 1
                if count > _MOST_NODES:
                    return
                yield _node(content, first, last)


def _node(content: mmap.mmap, begin: int, end: int) -> OnnxNode:
    texts = {
        field: content[first : min(last, first + _LONGEST_NAME)].decode("utf-8", "replace")
        for field, first, last in _fields(content, begin, end)
        if field in (_NAME, _OP_TYPE)
    }
    return OnnxNode(texts.get(_OP_TYPE, ""), texts.get(_NAME, ""))


def _fields(content: mmap.mmap, begin: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, beginning and end of each field of a message that is a sequence of bytes."""
    at = begin
    while at < end:
        key, at = _varint(content, at, end)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(content, at, end)
        elif kind == _BYTES:
            size, at = _varint(content, at, end)
            if size > end - at:
                raise _MalformedError
            yield key >> 3, at, at + size
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise _MalformedError


def _varint(content: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for number in range(_LONGEST_VARINT):
        if at + number >= end:
            break
        byte = content[at + number]
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise _MalformedError
