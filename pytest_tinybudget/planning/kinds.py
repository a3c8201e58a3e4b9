"""The kinds of a plan's tensors and operators (``graph/kinds.py``)."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Sequence

from pytest_tinybudget.base.remembered import number_of
from pytest_tinybudget.graph.kinds import Kinds
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.planning.emit import is_zeros


def kinds_in(graph: Subgraph) -> Kinds | None:
    """The kinds of ``graph``; ``None`` where no operator reads an input of the graph."""
    tensors = tuple([tensor_kind(each) for each in graph.tensors])
    used = {index for each in graph.operators for index in (*each.inputs, *each.outputs)}
    if not used.issuperset(graph.inputs):
        return None
    operators = tuple([operator_kind(each, tensors) for each in graph.operators])
    order = (
        tuple((each.inputs, each.outputs) for each in graph.operators),
        graph.inputs,
        graph.outputs,
        tuple([bool(each.data) for each in graph.tensors]),
        tuple([each.index for each in graph.tensors if each.is_variable or 0 in each.shape]),
    )
    return Kinds(operators, tensors, number_of(order))


def tensor_kind(tensor: Tensor) -> int:
    """The kind of a tensor. Of zeros the length is all."""
    data = tensor.data
    content = len(data) if is_zeros(data) else bytes(data)
    quantized = _quantized(tensor.quantization)
    return number_of((tensor.type, tensor.shape, quantized, content, tensor.is_variable))


def _quantized(quantization: Quantization) -> Hashable:
    """A channel's scale stands for those of all channels where they are the same."""
    scales, points = quantization.scales, quantization.zero_points
    if len(scales) == len(points) == 1:
        return scales[0], points[0], quantization.dimension
    if not scales or not points or not _is_one(scales) or not _is_one(points):
        return quantization
    return scales[0], len(scales), points[0], len(points), quantization.dimension


def _is_one(values: Sequence[float]) -> bool:
    return values.count(values[0]) == len(values)


def operator_kind(operator: Operator, tensors: Sequence[int]) -> int:
    """The kind of an operator of a graph whose tensors are of these kinds."""
    indices = (*operator.inputs, -2, *operator.outputs, -2, *operator.intermediates)
    kinds = tuple([tensors[index] if index >= 0 else index for index in indices])
    # Two operands of one kind may be the same tensor.
    places = () if len(set(indices)) == len(indices) - 1 else tuple(map(indices.index, indices))
    return number_of((operator.name, tuple(operator.options.items()), kinds, places))
