"""Finds tensors that TFLM would read or write wrongly without an error.

TFLM does not check this: it reads a tensor's buffer as dense values of the tensor's shape, and
ignores sparsity and quantization by blocks. It plans memory for a tensor that nothing computes,
and runs kernels that write into a constant.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Stage
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.tflite import COMPRESSED
from pytest_tinybudget.graph.tflite import COMPRESSION_METADATA


def misread(model: Model, running: frozenset[int]) -> Iterator[Refusal]:
    """A refusal for every tensor that TFLM would read or write wrongly without an error.

    ``running`` are the subgraphs that ``Invoke`` may reach. Tensors of others are never used.
    """
    if COMPRESSION_METADATA in model.metadata:
        # Whatever its build: what unpacking keeps and asks for is not counted.
        yield Refusal("wrong", "", 0, -1, COMPRESSED)
    for graph in model.subgraphs:
        if graph.index in running:
            yield from _unreadable(graph)
            yield from _overwritten(graph)
            yield from _uncomputed(graph)
    yield from _packed_ends(model.main)


def reached(model: Model) -> frozenset[int]:
    """The subgraphs that ``Invoke`` may run, the main one first.

    A branch that a constant condition never takes is left out.
    """
    found, waiting = {0}, [0]
    while waiting and len(found) < len(model.subgraphs):
        graph = model.subgraphs[waiting.pop()]
        for operator in graph.operators:
            for index in _called(graph, operator):
                if 0 <= index < len(model.subgraphs) and index not in found:
                    found.add(index)
                    waiting.append(index)
    return frozenset(found)


def useful(graph: Subgraph) -> frozenset[int]:
    """The operators of ``graph`` whose results are used; wrong results of others do not matter.

    Operators without outputs are used for their side effects (ASSIGN_VARIABLE, CALL_ONCE).
    """
    wanted, found = set(graph.outputs), set()
    for operator in reversed(graph.operators):
        if not operator.outputs or not wanted.isdisjoint(operator.outputs):
            found.add(operator.index)
            wanted.update(operator.inputs)
    return frozenset(found)


def taken(graph: Subgraph, operator: Operator) -> tuple[str, ...]:
    """The options that name the branches which an IF may take."""
    branches = ("then_subgraph_index", "else_subgraph_index")
    condition = graph.tensors[operator.inputs[0]] if operator.inputs else None
    if condition is None or operator.inputs[0] < 0 or not condition.is_constant:
        return branches
    return branches[:1] if condition.data[0] else branches[1:]


def _called(graph: Subgraph, operator: Operator) -> tuple[int, ...]:
    names = {
        "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
        "CALL_ONCE": ("init_subgraph_index",),
    }.get(operator.name, ())
    if operator.name == "IF" and not operator.is_custom:
        names = taken(graph, operator)
    if operator.is_custom:
        return ()
    return tuple(int(str(operator.options[name])) for name in names)


def _unreadable(graph: Subgraph) -> Iterator[Refusal]:
    wanted = useful(graph)
    for operator in graph.operators:
        if operator.index not in wanted:
            continue
        for index in dict.fromkeys((*operator.inputs, *operator.outputs)):
            if index < 0:
                continue
            tensor = graph.tensors[index]
            reason = _format(tensor) or _quantization(tensor)
            if reason:
                yield _refusal("wrong", graph, operator, tensor, reason)


def _format(tensor: Tensor) -> str:
    if tensor.sparse and tensor.is_constant:
        return (
            "is stored sparse, and TFLM takes its packed values for dense ones: convert it without"
            " sparsity (densify the weights)"
        )
    if tensor.is_variable and tensor.is_constant:
        return (
            "is a variable with values in the file, for which TFLM puts its zero point: assign"
            " them when the model starts"
        )
    return ""


def _quantization(tensor: Tensor) -> str:
    quantization = tensor.quantization
    if quantization.details:
        return (
            f"is quantized by {quantization.details}, which TFLM does not know: quantize it by"
            " scale and zero point, per tensor or per channel"
        )
    scales, zero_points = quantization.scales, quantization.zero_points
    if not quantization.is_affine:
        return ""
    if len(zero_points) not in (1, len(scales)):
        return (
            f"has {len(zero_points)} zero points for {len(scales)} scales, of which TFLM takes the"
            " first: write one, or one for each scale"
        )
    return ""


def _packed_ends(graph: Subgraph) -> Iterator[Refusal]:
    """Graph inputs and outputs of type INT4: TFLM's kernels support INT4 only for weights."""
    for index in dict.fromkeys((*graph.inputs, *graph.outputs)):
        tensor = graph.tensors[index]
        if tensor.type == "INT4":
            reason = "is INT4, which TFLM takes for weights alone: make it INT8"
            yield _refusal("wrong", graph, None, tensor, reason)


def _overwritten(graph: Subgraph) -> Iterator[Refusal]:
    """Results and inputs that lie in the model file, which is flash on a device."""
    for operator in graph.operators:
        for index in operator.outputs:
            tensor = graph.tensors[index]
            if tensor.is_constant and tensor.bytes:
                reason = (
                    "is its output and has values in the file, so that TFLM writes into flash:"
                    " give it an empty buffer"
                )
                yield _refusal("undefined", graph, operator, tensor, reason)
    for index in graph.inputs:
        tensor = graph.tensors[index]
        if tensor.is_constant and tensor.bytes:
            reason = (
                "is an input and has values in the file, so that it lies in flash: give it an"
                " empty buffer"
            )
            yield _refusal("undefined", graph, None, tensor, reason)


def _uncomputed(graph: Subgraph) -> Iterator[Refusal]:
    """Tensors that an operator reads although nothing has written them.

    An operator of others than TFLM may want such a tensor as room to work in, as an Ethos-U's does.
    """
    known = set(graph.inputs)
    known.update(
        tensor.index for tensor in graph.tensors if tensor.is_constant or tensor.is_variable
    )
    for operator in graph.operators:
        for index in () if _is_of_others(operator) else operator.inputs:
            if index >= 0 and index not in known and graph.tensors[index].bytes:
                known.add(index)
                yield _refusal("undefined", graph, operator, graph.tensors[index], _NO_VALUES)
        known.update(operator.outputs)
    for index in graph.outputs:
        if index not in known:
            yield _refusal("undefined", graph, None, graph.tensors[index], _NO_VALUES)


def _is_of_others(operator: Operator) -> bool:
    if not operator.is_custom:
        return False
    return operator.name == _ETHOS_U or (operator.name, True) not in registrations()


_ETHOS_U = "ethos-u"
_NO_VALUES = (
    "has no values when it is read: no buffer of the file, no input and no operator before gives"
    " it any, so that it holds what lies in memory"
)


def _refusal(
    stage: Stage, graph: Subgraph, operator: Operator | None, tensor: Tensor, reason: str
) -> Refusal:
    name, index = (operator.name, operator.index) if operator else ("", -1)
    return Refusal(stage, name, graph.index, index, f"tensor '{tensor.name}' {reason}")
