"""Reads FlexBuffers, which hold the options of custom operators. Every offset is checked.

The layout is that of ``flatbuffers/flexbuffers.h``: the last byte is the root's width, the one
before it the root's packed type; every offset points backwards from where it is stored.
"""

from __future__ import annotations

import struct
from typing import TypeAlias


FlexValue: TypeAlias = (
    "bool | int | float | str | bytes | tuple[FlexValue, ...] | dict[str, FlexValue] | None"
)

#: The deepest nesting of maps and vectors. Options of TFLM's operators have a depth of 2.
MAX_DEPTH = 8
#: The most values in a buffer. Shared ones count each time that they are reached.
MAX_VALUES = 4096

_INTEGERS = {1: "bhiq", 2: "BHIQ"}
_FLOATS = ("", "e", "f", "d")
_NULL, _INT, _UINT, _FLOAT, _KEY, _STRING = range(6)
_INDIRECT = {6: _INT, 7: _UINT, 8: _FLOAT}
_MAP, _VECTOR, _BLOB, _BOOL = 9, 10, 25, 26
#: Types of vectors whose elements share one type and store none: length before the elements.
_TYPED_VECTORS = {11: _INT, 12: _UINT, 13: _FLOAT, 14: _KEY, 15: _STRING, 36: _BOOL}
#: Types of vectors with a fixed length and none stored: 16 to 24 are 2, 3 and 4 of each.
_FIRST_FIXED, _LAST_FIXED = 16, 24


class FlexbufferError(ValueError):
    """Bytes that are no FlexBuffer, or one with offsets or sizes that leave it."""


def read_flexbuffer(content: bytes | memoryview) -> FlexValue:
    """The value of a FlexBuffer: maps as dicts in key order, vectors as tuples, blobs as bytes.

    Raises:
        FlexbufferError: empty, truncated, inconsistent, or of a type that does not exist.
    """
    return _Reader(bytes(content)).root()


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.values = 0

    def root(self) -> FlexValue:
        if len(self.content) < 3:
            raise FlexbufferError(f"{len(self.content)} bytes are no FlexBuffer")
        width = self._width(self.content[-1])
        return self._value(len(self.content) - 2 - width, width, self.content[-2], 0)

    def _value(self, position: int, parent_width: int, packed_type: int, depth: int) -> FlexValue:
        """The value whose slot, ``parent_width`` wide, lies at ``position``."""
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_VALUES:
            raise FlexbufferError("nested too deeply or holding too many values")
        kind, width = packed_type >> 2, 1 << (packed_type & 3)
        if kind == _NULL:
            return None
        if kind == _BOOL:
            return self._unsigned(position, parent_width) != 0
        if kind in (_INT, _UINT, _FLOAT):
            return self._number(kind, position, parent_width)
        target = self._follow(position, parent_width)
        if kind in _INDIRECT:
            return self._number(_INDIRECT[kind], target, width)
        if kind == _KEY:
            return self._key(target)
        if kind in (_STRING, _BLOB):
            blob = self._slice(target, self._length(target, width))
            return blob if kind == _BLOB else blob.decode("utf-8", "replace")
        if kind in (_MAP, _VECTOR):
            return self._collection(kind, target, width, depth + 1)
        return self._typed_vector(kind, target, width, depth + 1)

    def _collection(self, kind: int, target: int, width: int, depth: int) -> FlexValue:
        length = self._length(target, width)
        types = self._slice(target + length * width, length)
        values = tuple(
            self._value(target + index * width, width, packed_type, depth)
            for index, packed_type in enumerate(types)
        )
        if kind == _VECTOR:
            return values
        keys = self._follow(target - 3 * width, width)
        key_width = self._unsigned(target - 2 * width, width)
        if key_width not in (1, 2, 4, 8) or self._length(keys, key_width) != length:
            raise FlexbufferError("a map whose keys do not match its values")
        names = (
            self._key(self._follow(keys + index * key_width, key_width)) for index in range(length)
        )
        return dict(zip(names, values, strict=True))

    def _typed_vector(self, kind: int, target: int, width: int, depth: int) -> FlexValue:
        if _FIRST_FIXED <= kind <= _LAST_FIXED:
            length, element = divmod(kind - _FIRST_FIXED, 3)
            length, element = length + 2, element + _INT
        elif kind in _TYPED_VECTORS:
            length, element = self._length(target, width), _TYPED_VECTORS[kind]
        else:
            raise FlexbufferError(f"the unknown type {kind}")
        return tuple(
            self._value(target + index * width, width, element << 2, depth)
            for index in range(length)
        )

    def _number(self, kind: int, position: int, width: int) -> int | float:
        code = _FLOATS[width.bit_length() - 1] if kind == _FLOAT else None
        if code == "":
            raise FlexbufferError("a floating-point number of one byte")
        if code is None:
            code = _INTEGERS[kind][width.bit_length() - 1]
        value: int | float = struct.unpack(f"<{code}", self._slice(position, width))[0]
        return value

    def _unsigned(self, position: int, width: int) -> int:
        return int.from_bytes(self._slice(position, width), "little")

    def _length(self, target: int, width: int) -> int:
        """The length stored before ``target``, which the rest of the buffer must have room for."""
        length = self._unsigned(target - width, width)
        if length > len(self.content) - target:
            raise FlexbufferError(f"{length} elements at {target} leave the buffer")
        return length

    def _follow(self, position: int, width: int) -> int:
        target = position - self._unsigned(position, width)
        if target < 0:
            raise FlexbufferError(f"the offset at {position} leaves the buffer")
        return target

    def _key(self, target: int) -> str:
        end = self.content.find(b"\0", target)
        if end < 0:
            raise FlexbufferError(f"the key at {target} has no end")
        return self.content[target:end].decode("utf-8", "replace")

    def _slice(self, position: int, size: int) -> bytes:
        if position < 0 or position + size > len(self.content):
            raise FlexbufferError(f"{size} bytes at {position} leave the buffer")
        return self.content[position : position + size]

    @staticmethod
    def _width(stored: int) -> int:
        if stored not in (1, 2, 4, 8):
            raise FlexbufferError(f"the root's width is {stored}")
        return stored
