"""Scales and integers of a plan's tensors, as TensorFlow's converter computes them.

The sources are TensorFlow 2.21: tensorflow/compiler/mlir/lite/quantization/common
(``quantization_utils.cc``, ``DownCastScale``) and MLIR's ``FakeQuantSupport.cpp`` and
``UniformSupport.h``. Ranges and scales are float32, quotients of values by scales float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from msgspec.structs import replace

from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.planning.emit import Emitter
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Value


if TYPE_CHECKING:
    from numpy.typing import NDArray


Scale = tuple[float, int]
#: The least and the largest number of a value in calibration.
Range = tuple[float, float]

#: Smaller ranges of weights are widened to this (``kNearZeroTolerance``).
_NEAR_ZERO = 1.0e-6
#: Where a bias would be larger, the converter changes the weights' scales (``kBiasMax``).
_LARGEST_BIAS = (2**31 - 1) // 2
_LEAST, _MOST = -128, 127
_FIXED = {
    "SOFTMAX": (1 / 256, -128),
    "LOGISTIC": (1 / 256, -128),
    "TANH": (1 / 128, 0),
}
_SAME = frozenset(
    {
        "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "TRANSPOSE", "STRIDED_SLICE", "TILE",
        "REDUCE_MAX", "RESIZE_BILINEAR",
    }
)  # fmt: skip
_JOINED = frozenset({"CONCATENATION", "MAXIMUM", "MINIMUM"})


def range_scale(least: float, largest: float) -> Scale:
    """Scale and zero point of INT8 for a calibrated range.

    Raises:
        NotPlannedError: there is no range.
    """
    low, high = min(np.float32(least), np.float32(0)), max(np.float32(largest), np.float32(0))
    if not np.isfinite(high - low) or high - low <= _NEAR_ZERO:
        raise NotPlannedError("not planned: a tensor whose calibrated range is empty")
    scale = float((high - low) / np.float32(_MOST - _LEAST))
    zero_point = _rounded(np.float64(_LEAST) - float(low) / scale)
    return scale, int(np.clip(zero_point, _LEAST, _MOST))


def _rounded(values: Any) -> Any:
    """To the nearest integer, halves away from zero."""
    return np.trunc(values + np.copysign(0.5, values))


def weight_scales(weights: NDArray[np.float32], axis: int | None) -> NDArray[np.float32]:
    """Symmetric scales, one for each entry of ``axis``, or one."""
    axes = tuple(each for each in range(weights.ndim) if each != axis)
    least = np.minimum(weights.min(axis=axes if axis is not None else None), np.float32(0))
    most = np.maximum(weights.max(axis=axes if axis is not None else None), np.float32(0))
    least, most = np.atleast_1d(least).astype(np.float64), np.atleast_1d(most).astype(np.float64)
    is_small = most - least <= _NEAR_ZERO
    widest = np.maximum(-least, most)
    widest = np.where(is_small, np.maximum(widest, _NEAR_ZERO / 2), widest)
    scales: NDArray[np.float32] = widest.astype(np.float32) / np.float32(_MOST)
    return scales


def integers(values: NDArray[np.float32], scales: NDArray[np.float32], axis: int) -> Any:
    """INT8 weights."""
    wide = [1] * values.ndim
    wide[axis] = -1
    shaped = scales.astype(np.float64).reshape(wide if len(scales) > 1 else [1] * values.ndim)
    return np.clip(_rounded(values / shaped), -_MOST, _MOST).astype(np.int8)


class Scales:
    """Scale and zero point of each value of quantized nodes."""

    def __init__(
        self, nodes: Sequence[Node], inputs: Sequence[Value], ranges: Mapping[int, Range]
    ) -> None:
        self._ranges = ranges
        self._leader: dict[int, int] = {}
        self._fixed: dict[int, Scale] = {}
        #: What joins values decides for all of them.
        self._decided: dict[int, int] = {}
        self._inputs = {id(each) for each in inputs}
        for node in nodes:
            self._bind(node)

    def of(self, value: Value) -> Scale:
        """The scale of a value."""
        root = self._root(id(value))
        if root in self._fixed:
            return self._fixed[root]
        return range_scale(*self._ranges[self._decided.get(root, root)])

    def _root(self, key: int) -> int:
        while key in self._leader:
            key = self._leader[key]
        return key

    def _bind(self, node: Node) -> None:
        output = id(node.output)
        if node.op in _FIXED:
            self._fixed[output] = _FIXED[node.op]
        elif node.op in _SAME:
            self._leader[output] = self._root(id(next(iter(node.values()))))
        elif node.op in _JOINED:
            for each in node.values():
                root = self._root(id(each))
                if root in self._decided or root in self._fixed or root in self._inputs:
                    raise NotPlannedError(
                        f"layer {node.label}: not planned: which scale joined values get"
                    )
                if root != output:
                    self._leader[root] = output
            self._decided[output] = output


def quantized_graph(
    emitter: Emitter,
    graph: Subgraph,
    nodes: Sequence[Node],
    constants: Mapping[int, NDArray[np.float32]],
    scales: Scales,
) -> Subgraph:
    """``graph``, which ``emitter`` has made of ``nodes``, with scales and integers in it.

    Raises:
        NotPlannedError: how the converter quantizes a constant is not known.
    """
    tensors = list(graph.tensors)
    done: set[int] = set()

    def put(operand: Value | Const, quantization: Quantization, data: Any = None) -> None:
        index = emitter.indices[id(operand)]
        old = tensors[index]
        if not old.quantization.scales:
            return  # it stays float
        content = old.data if data is None else memoryview(data.tobytes())
        tensors[index] = replace(old, quantization=quantization, data=content)
        done.add(index)

    for value in (*emitter.inputs, *(node.output for node in nodes)):
        if tensors[emitter.indices[id(value)]].quantization.scales:
            scale, zero_point = scales.of(value)
            put(value, Quantization((scale,), (zero_point,)))
    for node in nodes:
        for operand, quantization, values in _quantized_constants(node, emitter, constants, scales):
            put(operand, quantization, values)
    left = [each.name for each in tensors if each.quantization.scales and each.index not in done]
    if left:
        raise NotPlannedError(f"not planned: what {left[0]} holds")
    return replace(graph, tensors=tuple(_sharing_buffers(tensors)))


def _quantized_constants(
    node: Node,
    emitter: Emitter,
    constants: Mapping[int, NDArray[np.float32]],
    scales: Scales,
) -> list[tuple[Const, Quantization, Any]]:
    found: list[tuple[Const, Quantization, Any]] = []
    product: NDArray[np.float32] | None = None
    for operand in node.inputs:
        if not isinstance(operand, Const) or operand.kind == "ints":
            continue
        values = constants[id(operand)]
        if operand.kind == "weights":
            is_single = node.op == "FULLY_CONNECTED" and not emitter.per_channel
            each = weight_scales(values, None if is_single else operand.axis)
            given = np.float32(scales.of(next(iter(node.values())))[0])
            product = each * given
            told = Quantization(tuple(map(float, each)), (0,) * len(each), operand.axis)
            found.append((operand, told, integers(values, each, operand.axis)))
        elif operand.kind == "bias":
            assert product is not None
            exact = _rounded(values.astype(np.float64) / product.astype(np.float64))
            if np.abs(exact).max(initial=0) > _LARGEST_BIAS:
                raise NotPlannedError(
                    f"layer {node.label}: not planned: a bias that is large for its weights"
                )
            told = Quantization(tuple(map(float, product)), (0,) * len(product), 0)
            found.append((operand, told, exact.astype(np.int32)))
        elif node.op == "PRELU":  # its kernel wants slopes around zero
            each = weight_scales(values, None)
            told = Quantization((float(each[0]),), (0,))
            found.append((operand, told, integers(values, each, 0)))
        else:
            scale, zero_point = range_scale(float(values.min()), float(values.max()))
            levels = _rounded(values.astype(np.float64) / scale + zero_point)
            told = Quantization((scale,), (zero_point,))
            found.append((operand, told, np.clip(levels, _LEAST, _MOST).astype(np.int8)))
    return found


def _sharing_buffers(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Constants with the same bytes have one buffer, as in the converter's file."""
    first: dict[bytes, int] = {}
    found = []
    for tensor in tensors:
        if not len(tensor.data):
            found.append(tensor)
            continue
        buffer = first.setdefault(bytes(tensor.data), tensor.buffer)
        found.append(replace(tensor, buffer=buffer))
    return found
