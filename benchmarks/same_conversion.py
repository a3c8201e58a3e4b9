"""Two conversions of one model held to each other: what a device would notice, and last bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Tensor


#: Scales of what is computed come from float32 sums, which LiteRT's wheel and TensorFlow's take in
#: another order, as other processors do. In units of the last place; a bias is divided by them.
LAST_PLACES = 64
_SHARE = LAST_PLACES * 2.0**-23

_TYPES = {"INT8": np.int8, "INT32": np.int32}


def differences(ours: Model, theirs: Model) -> list[str]:
    """What differs: operators, options, types, shapes, zero points, weights, or scales by more.

    INT8 weights are compared to the bit, INT32 biases and scales to ``LAST_PLACES``.
    """
    pair = ours.main.operators, theirs.main.operators
    if [_told(each) for each in pair[0]] != [_told(each) for each in pair[1]]:
        return [f"operators: {', '.join(each.name for each in pair[0])}"]
    return [
        f"{one.name} #{one.index}, tensor {place}: {found}"
        for one, other in zip(*pair, strict=True)
        for place, found in _operands(one, other, ours, theirs)
    ]


def _told(operator: Operator) -> tuple[object, ...]:
    return operator.name, operator.version, sorted(operator.options.items(), key=str)


def _operands(
    one: Operator, other: Operator, ours: Model, theirs: Model
) -> Iterator[tuple[int, str]]:
    pairs = zip((*one.inputs, *one.outputs), (*other.inputs, *other.outputs), strict=True)
    for place, (first, second) in enumerate(pairs):
        if (first < 0) != (second < 0):
            yield place, "only one has it"
        elif first >= 0:
            yield from (
                (place, each)
                for each in _tensors(ours.main.tensors[first], theirs.main.tensors[second])
            )


def _tensors(one: Tensor, other: Tensor) -> Iterator[str]:
    if (one.type, one.shape) != (other.type, other.shape):
        yield f"{one.type}{list(one.shape)} instead of {other.type}{list(other.shape)}"
        return
    if one.quantization.zero_points != other.quantization.zero_points:
        yield "zero points"
    if one.quantization.dimension != other.quantization.dimension:
        yield "the axis of its scales"
    scales = [np.asarray(each.quantization.scales, np.float32) for each in (one, other)]
    if scales[0].shape != scales[1].shape:
        yield f"{scales[0].size} scales instead of {scales[1].size}"
    elif scales[0].size and np.abs(_places(scales[0]) - _places(scales[1])).max() > LAST_PLACES:
        yield f"scale {scales[0][0]} instead of {scales[1][0]}"
    if len(one.data) != len(other.data):
        yield "only one is a constant"
    elif bytes(one.data) != bytes(other.data):
        yield from _contents(one, other)


def _places(scales: Any) -> Any:
    return scales.view(np.int32).astype(np.int64)


def _contents(one: Tensor, other: Tensor) -> Iterator[str]:
    kind = _TYPES[one.type]
    found, wanted = (np.frombuffer(each.data, kind).astype(np.int64) for each in (one, other))
    distance = np.abs(found - wanted)
    allowed = 1 + np.abs(wanted) * _SHARE if one.type == "INT32" else np.zeros(wanted.shape)
    if (distance > allowed).any():
        yield f"{(distance > allowed).sum()} of {distance.size} numbers, by {distance.max()}"
