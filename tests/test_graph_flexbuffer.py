"""FlexBuffers: what the reference library writes is read, anything else is one clear error."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pytest_tinybudget.graph.flexbuffer import FlexbufferError
from pytest_tinybudget.graph.flexbuffer import read_flexbuffer


SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)
KEYS = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=6)
VALUES = st.recursive(
    SCALARS | st.binary(max_size=5) | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
)


def as_read(value: Any) -> Any:
    """Lists become tuples, and maps are in the order of their keys."""
    if isinstance(value, list):
        return tuple(as_read(entry) for entry in value)
    if isinstance(value, dict):
        return {key: as_read(value[key]) for key in sorted(value)}
    return value


@settings(deadline=None, derandomize=True)
@given(VALUES)
def test_what_the_library_writes_is_read(value: Any) -> None:
    assert read_flexbuffer(bytes(flexbuffers.Dumps(value))) == as_read(value)


def test_maps_keep_the_order_of_their_keys() -> None:
    content = bytes(flexbuffers.Dumps({"fft_length": 512, "T": 7}))
    assert list(read_flexbuffer(content).items()) == [("T", 7), ("fft_length", 512)]


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (lambda builder: builder.TypedVectorFromElements([1, 2, 70000]), (1, 2, 70000)),
        (lambda builder: builder.TypedVectorFromElements([0.5, 2.0]), (0.5, 2.0)),
        (lambda builder: builder.FixedTypedVectorFromElements([3, 4, 5]), (3, 4, 5)),
        (lambda builder: builder.FixedTypedVectorFromElements([0.5, 2.0]), (0.5, 2.0)),
        (lambda builder: builder.IndirectInt(-9), -9),
        (lambda builder: builder.IndirectUInt(9), 9),
        (lambda builder: builder.IndirectFloat(1.5), 1.5),
        (lambda builder: builder.Key("name"), "name"),
        (lambda builder: builder.Null(), None),
    ],
)
def test_packed_forms_are_read(add: Any, expected: Any) -> None:
    add(builder := flexbuffers.Builder())
    assert read_flexbuffer(bytes(builder.Finish())) == expected


@settings(deadline=None, derandomize=True, max_examples=500)
@given(VALUES, st.data())
def test_damaged_buffers_give_values_or_the_one_error(value: Any, data: st.DataObject) -> None:
    content = bytearray(flexbuffers.Dumps(value))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    with contextlib.suppress(FlexbufferError):
        read_flexbuffer(bytes(content[:kept]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are no FlexBuffer"),
        (b"\x01\x04\x03", "the root's width is 3"),
        (b"\x09\x28\x01", "the offset at 0 leaves the buffer"),
        (b"\xc8\x05\x01\x28\x01", "200 elements at 1 leave the buffer"),
        (b"\x00\x00\xa4\x01", "the unknown type 41"),
        # A vector whose only element is the vector itself.
        (b"\x01\x00\x28\x02\x28\x01", "nested too deeply or holding too many values"),
    ],
)
def test_errors_say_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(FlexbufferError, match=f"^{message}$"):
        read_flexbuffer(content)
