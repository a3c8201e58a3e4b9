"""Which parts of an integer model compute in float, which operator is the cause, and the bytes.

A converter leaves an operator in float for which it has no integer kernel, and puts a DEQUANTIZE
before it and a QUANTIZE behind it. These two are the means; the operator between them is the cause.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.footprint.result import FloatPart
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import place
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph


FLOATS = frozenset({"FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16", "COMPLEX64", "COMPLEX128"})

#: Operators that turn integers into float and back, and compute nothing.
CONVERSIONS = frozenset({"QUANTIZE", "DEQUANTIZE"})
_LONGEST_NAME = 80


def float_parts(model: Model, buffers: Sequence[LiveBuffer] = ()) -> tuple[FloatPart, ...]:
    """The float parts of a model that otherwise computes in integers, in the order they run.

    A float model has none: it is float as a whole. ``buffers`` are the planned ones of its arena;
    without them the parts take no arena.
    """
    islands = [(graph, each) for graph in model.subgraphs for each in islands_of(graph)]
    if not islands or not has_integer_operator(model):
        return ()
    return tuple(_part(graph, operators, buffers) for graph, operators in islands)


def islands_of(graph: Subgraph) -> list[list[Operator]]:
    """Groups of operators that hand one another float, conversions among them, in running order.

    A group that only converts, at the model's inputs or outputs, computes nothing in float and is
    left out.
    """
    groups: list[tuple[set[int], list[Operator]]] = []
    for operator in graph.operators:
        tensors = set(_computed_floats(operator, graph))
        if not tensors and not _is_float_alone(operator, graph):
            continue
        operators: list[Operator] = []
        apart = []
        for group in groups:
            if group[0].isdisjoint(tensors):
                apart.append(group)
            else:
                tensors |= group[0]
                operators += group[1]
        groups = [*apart, (tensors, [*operators, operator])]
    found = [sorted(group, key=lambda each: each.index) for _, group in groups]
    found = [group for group in found if any(each.name not in CONVERSIONS for each in group)]
    return sorted(found, key=lambda group: _cause(group).index)


def _computed_floats(operator: Operator, graph: Subgraph) -> Iterator[int]:
    """The float tensors of an operator that lie in the arena."""
    for index in (*operator.inputs, *operator.outputs):
        tensor = graph.tensors[index] if index >= 0 else None
        if tensor is not None and tensor.type in FLOATS and not tensor.is_constant:
            yield index


def _is_float_alone(operator: Operator, graph: Subgraph) -> bool:
    return any(graph.tensors[index].type in FLOATS for index in operator.outputs)


def has_integer_operator(model: Model) -> bool:
    """Whether an operator computes in quantized integers, conversions apart."""
    return any(
        graph.tensors[index].quantization.is_affine and graph.tensors[index].type not in FLOATS
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.name not in CONVERSIONS
        for index in operator.outputs
    )


def _cause(operators: Sequence[Operator]) -> Operator:
    return next(each for each in operators if each.name not in CONVERSIONS)


def _part(
    graph: Subgraph, operators: Sequence[Operator], buffers: Sequence[LiveBuffer]
) -> FloatPart:
    cause = _cause(operators)
    floats = {index for each in operators for index in _computed_floats(each, graph)}
    constants = {
        index
        for each in operators
        for index in each.inputs
        if index >= 0 and graph.tensors[index].is_constant and graph.tensors[index].type in FLOATS
    }
    alive = (
        each
        for each in buffers
        if each.kind == "tensor" and each.subgraph == graph.index and each.index in floats
    )
    made = graph.tensors[cause.outputs[0]].name if cause.outputs else ""
    return FloatPart(
        operator=place(cause.name, graph.index, cause.index),
        layer=printable(made, limit=_LONGEST_NAME),
        operators=sum(each.name not in CONVERSIONS for each in operators),
        arena_bytes=_most_alive(alive),
        flash_bytes=sum(graph.tensors[index].bytes for index in constants),
    )


def _most_alive(buffers: Iterable[LiveBuffer]) -> int:
    """The largest sum of bytes that are alive at once."""
    listed = list(buffers)
    return max(
        (
            sum(each.bytes for each in listed if each.first <= start.first <= each.last)
            for start in listed
        ),
        default=0,
    )
