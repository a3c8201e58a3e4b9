"""Damages one thing in a model that a reader of files takes as valid: the rest stays as it was.

Five kinds: a tensor's shape, its type, its buffer, its quantization, or an operator's option.
What is damaged, and how, comes from the random numbers alone.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import TensorSpec
from modelmaker import option_types
from modelmaker import option_values
from modelmaker import write


_TYPES = ("FLOAT32", "INT8", "UINT8", "INT16", "INT32", "INT64", "BOOL", "INT4", "FLOAT16")
_EXTENTS = (0, 1, 2, 3, 5, 7, 64)
_SCALES = (0.0, -0.5, 1e-9, 1 / 256, 1 / 31, 0.5, 3.0, 1e9, float("nan"), float("inf"))
_ZERO_POINTS = (-129, -128, -1, 1, 5, 127, 128, 70_000)
_NUMBERS = (-2, -1, 0, 1, 2, 3, 4, 7, 100)


def fill(maker: ModelMaker, chance: random.Random) -> None:
    """Give the weights values: models of zeros compute zeros, however wrongly they are read."""
    for graph in maker.graphs:
        for spec in graph.tensors:
            if spec.data and not any(spec.data):
                spec.data = _weights(spec, chance)


def _weights(spec: TensorSpec, chance: random.Random) -> bytes | None:
    if spec.type == "FLOAT32":
        count = len(spec.data or b"") // 4
        return struct.pack(f"<{count}f", *(chance.uniform(-0.3, 0.3) for _ in range(count)))
    if spec.type == "INT8":
        return bytes(chance.randrange(-6, 7) % 256 for _ in spec.data or b"")
    if spec.type in ("INT32", "INT64") and spec.scales:
        code, size = ("i", 4) if spec.type == "INT32" else ("q", 8)
        count = len(spec.data or b"") // size
        values = [chance.randrange(-300, 300) for _ in range(count)]
        return struct.pack(f"<{count}{code}", *values)
    return spec.data


def damaged(maker: ModelMaker, chance: random.Random) -> tuple[bytes, str]:
    """The file with one thing damaged, and what that is."""
    table = maker.table()
    for _ in range(200):
        kind, damage = chance.choice(_KINDS)
        told = damage(table, chance)
        if told:
            return write(table), f"{kind}: {told}"
    return write(table), "nothing"


def _tensor(table: Table, chance: random.Random) -> Table:
    graph = chance.choice(table.values["subgraphs"])
    found: Table = chance.choice(graph.values["tensors"])
    return found


def _told(tensor: Table, name: str, value: Any) -> str:
    text = f"{tensor.values.get('name')}.{name} = {value!r}"
    return text if len(text) < 200 else f"{text[:200]} …"


def _shape(table: Table, chance: random.Random) -> str:
    tensor = _tensor(table, chance)
    shape = list(tensor.values["shape"])
    match chance.randrange(6):
        case 0 | 1 if shape:
            shape[chance.randrange(len(shape))] = chance.choice(_EXTENTS)
        case 2 if shape:
            axis = chance.randrange(len(shape))
            shape[axis] += chance.choice((-1, 1))
        case 3 if len(shape) > 1:
            chance.shuffle(shape)
        case 4 if shape:
            axis = chance.randrange(len(shape))
            del shape[axis]
        case _:
            shape.insert(chance.randrange(len(shape) + 1), chance.choice((1, 1, 2)))
    if tuple(shape) == tuple(tensor.values["shape"]) or any(extent < 0 for extent in shape):
        return ""
    tensor.values["shape"] = tuple(shape)
    return _told(tensor, "shape", shape)


def _type(table: Table, chance: random.Random) -> str:
    tensor, kind = _tensor(table, chance), chance.choice(_TYPES)
    if kind == tensor.values["type"]:
        return ""
    before, tensor.values["type"] = tensor.values["type"], kind
    return f"{_told(tensor, 'type', kind)}, was {before}"


def _buffer(table: Table, chance: random.Random) -> str:
    buffers, tensor = table.values["buffers"], _tensor(table, chance)
    number = tensor.values["buffer"]
    match chance.randrange(7):
        case 0:
            # Any empty table will do: what is in the record is not read.
            tensor.values["sparsity"] = Table("Buffer", {})
            return _told(tensor, "sparsity", "a record")
        case 1:
            buffers.append(Table("Buffer", {"offset": 10_000_000, "size": 64}))
            tensor.values["buffer"] = len(buffers) - 1
            return _told(tensor, "buffer", "outside the file")
        case 2:
            tensor.values["is_variable"] = not tensor.values["is_variable"]
            return _told(tensor, "is_variable", tensor.values["is_variable"])
        case 3:
            tensor.values["buffer"] = chance.randrange(len(buffers))
            return _told(tensor, "buffer", tensor.values["buffer"])
    data = buffers[number].values.get("data")
    if not data:
        return ""
    match chance.randrange(4):
        case 0:
            altered = data[: chance.randrange(len(data))]
        case 1:
            altered = data + bytes(chance.choice((1, 4, 16)))
        case _:
            at = chance.randrange(0, len(data) - len(data) % 4, 4) if len(data) >= 4 else 0
            word = struct.pack("<i", chance.choice(_NUMBERS))
            altered = (data[:at] + word + data[at + 4 :])[: len(data)]
    if altered == data:
        return ""
    buffers[number].values["data"] = altered
    return _told(tensor, "data", f"{len(altered)} B, were {len(data)}: {altered[:32].hex()}")


def _quantization(table: Table, chance: random.Random) -> str:
    tensor = _tensor(table, chance)
    found = tensor.values.get("quantization")
    if found is None:
        tensor.values["quantization"] = Table(
            "QuantizationParameters",
            {"scale": (chance.choice(_SCALES),), "zero_point": (0,), "quantized_dimension": 0},
        )
        return _told(tensor, "quantization", tensor.values["quantization"].values)
    values = found.values
    scales, zero_points = list(values["scale"]), list(values["zero_point"])
    match chance.randrange(8):
        case 0:
            tensor.values["quantization"] = None
            return _told(tensor, "quantization", None)
        case 1:
            values["quantized_dimension"] = chance.choice((-1, 1, 2, 3, 4, 9))
        case 2:
            scales[chance.randrange(len(scales))] = chance.choice(_SCALES)
        case 3:
            zero_points[chance.randrange(len(zero_points))] = chance.choice(_ZERO_POINTS)
        case 4:
            count = chance.choice((0, 1, 2, len(scales) - 1, len(scales) + 1))
            scales = (scales + [chance.choice(_SCALES[3:7]) for _ in range(3)])[:count]
        case 5:
            count = chance.choice((0, 1, 2, len(scales) - 1, len(scales) + 1))
            zero_points = (zero_points + [chance.choice(_ZERO_POINTS) for _ in range(3)])[:count]
        case 6:
            scales = [scale * chance.choice((0.5, 2, 3)) for scale in scales]
        case _:
            scales = [scales[0], scales[0] * 2]
            zero_points = zero_points[:1] * 2
    values["scale"], values["zero_point"] = tuple(scales), tuple(zero_points)
    return _told(tensor, "quantization", values)


def _option(table: Table, chance: random.Random) -> str:
    graph = chance.choice(table.values["subgraphs"])
    operator = chance.choice(graph.values["operators"])
    options = operator.values.get("builtin_options")
    if options is None or not option_types(options.kind):
        return ""
    name, kind = chance.choice(option_types(options.kind))
    before = options.values.get(name)
    value = chance.choice(option_values(kind) or _NUMBERS)
    if kind.startswith("["):
        value = tuple(chance.choice(_NUMBERS) for _ in range(chance.randrange(5)))
    elif kind == "string":
        value = chance.choice(("", "another"))
    elif kind == "bool":
        value = not before
    if value == before:
        return ""
    options.values[name] = value
    return f"{options.kind}.{name} = {value!r}, was {before!r}"


_KINDS: tuple[tuple[str, Callable[[Table, random.Random], str]], ...] = (
    ("shape", _shape),
    ("type", _type),
    ("buffer", _buffer),
    ("quantization", _quantization),
    ("option", _option),
)
