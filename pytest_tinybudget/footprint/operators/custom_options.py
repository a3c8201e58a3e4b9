"""The options of TFLM's own custom operators, which are FlexBuffers in the model file."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.graph.flexbuffer import FlexbufferError
from pytest_tinybudget.graph.flexbuffer import FlexValue
from pytest_tinybudget.graph.flexbuffer import read_flexbuffer


_INT32 = range(-(2**31), 2**31)


def named(node: Preparation, name: str, default: int = 0) -> int:
    """The option ``name`` as ``flexbuffers::Map`` gives it: ``default`` where it is missing."""
    options = _options(node)
    found = options.get(name) if isinstance(options, dict) else None
    return default if found is None else _int32(node, name, found)


def positioned(node: Preparation, position: int, name: str) -> int:
    """The option at ``position``, as ``FlexbufferWrapper`` reads it (a map's by order of keys).

    ``name`` is for the message only; refuses the model when there is no such number.
    """
    options = _options(node)
    values = tuple(options.values()) if isinstance(options, dict) else options
    if not isinstance(values, tuple) or position >= len(values):
        node.refuse(f"its custom options lack {name}")
    return _int32(node, name, values[position])


def size(node: Preparation, position: int, name: str) -> int:
    """``positioned`` for a number of elements: refuses a negative one."""
    value = positioned(node, position, name)
    node.ensure(value >= 0, f"its option {name} is {value}, expected 0 or more")
    return value


def _options(node: Preparation) -> FlexValue:
    try:
        return read_flexbuffer(node.operator.custom_options)
    except FlexbufferError as error:
        node.refuse(f"its custom options cannot be read: {error}")


def _int32(node: Preparation, name: str, value: FlexValue) -> int:
    if not isinstance(value, int) or value not in _INT32:
        node.refuse(f"its option {name} is {value!r}, expected a 32-bit integer")
    return int(value)
