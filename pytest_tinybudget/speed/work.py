"""The work of operators: multiply-accumulates, and the bytes that they move."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from math import prod

from msgspec import Struct

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


class Work(Struct, frozen=True):
    """One operator's work in one inference.

    Attributes:
        operator: Its name.
        index: Its index in the main subgraph.
        macs: Multiply-accumulates; ``None`` where it multiplies and has no rule here.
        steps: Elements written, or read in case of pooling.
        weights_bytes: Bytes of the constants, each read once.
        activation_bytes: Bytes of the other tensors, read and written.
        types: Of its first input, of its weights if it has some, and of its output.
        input_channels: The last extent of its first input; 1 for a scalar or no input.
    """

    operator: str
    index: int
    types: tuple[str, ...]
    macs: int | None
    steps: int
    weights_bytes: int
    activation_bytes: int
    input_channels: int


#: The present tensors of an operator by position; absent ones are ``None``.
Tensors = tuple[Tensor | None, ...]


def work_of(model: Model) -> tuple[Work, ...]:
    """The work of each operator that ``Invoke`` runs in the main subgraph, in their order.

    It does not include what IF and WHILE run: how often they do is known only at run time.
    """
    return tuple(work_of_operator(operator, model.main) for operator in model.main.operators)


def total_macs(model: Model) -> int:
    """Multiply-accumulates of one inference; operators without a rule count none."""
    kinds = kinds_of(model)
    if kinds is None:
        return sum(work.macs or 0 for work in work_of(model))
    total = 0
    for operator, kind in zip(model.main.operators, kinds.operators, strict=True):
        macs = _macs_by_kind.get(kind)
        if macs is None:
            macs = _macs_by_kind.keep(kind, work_of_operator(operator, model.main).macs or 0)
        total += macs
    return total


_macs_by_kind: Remembered[int, int] = Remembered()


def uncounted(model: Model) -> tuple[str, ...]:
    """Names of the operators whose multiplications no rule counts, each once."""
    return tuple(dict.fromkeys(work.operator for work in work_of(model) if work.macs is None))


def work_of_operator(operator: Operator, graph: Subgraph) -> Work:
    """The work of an operator of a graph."""
    inputs = _tensors(operator.inputs, graph)
    outputs = _tensors(operator.outputs, graph)
    present = [tensor for tensor in (*inputs, *outputs) if tensor is not None]
    weights = [tensor for tensor in present if tensor.is_constant]
    first = _at(inputs, 0)
    return Work(
        operator=operator.name,
        index=operator.index,
        types=tuple(
            tensor.type
            for tensor in (first, _weights(operator, inputs), _at(outputs, 0))
            if tensor is not None
        ),
        macs=_macs(operator, inputs, outputs),
        steps=_steps(operator, outputs),
        weights_bytes=sum(tensor.bytes for tensor in weights),
        activation_bytes=sum(tensor.bytes for tensor in present if not tensor.is_constant),
        input_channels=first.shape[-1] if first is not None and first.shape else 1,
    )


def _tensors(indices: tuple[int, ...], graph: Subgraph) -> Tensors:
    return tuple(graph.tensors[index] if index >= 0 else None for index in indices)


def _at(tensors: Tensors, position: int) -> Tensor | None:
    return tensors[position] if position < len(tensors) else None


def _weights(operator: Operator, inputs: Tensors) -> Tensor | None:
    second = _at(inputs, 1)
    return second if second is not None and operator.name in _MACS and second.is_constant else None


def _steps(operator: Operator, outputs: Tensors) -> int:
    """Elements written. Pooling counts the elements of the window that it reads for each."""
    result = _at(outputs, 0)
    if result is None:
        return 0
    window = 1
    if operator.name in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        for side in ("filter_height", "filter_width"):
            extent = operator.options.get(side)
            window *= extent if isinstance(extent, int) else 1
    return result.elements * window


def _macs(operator: Operator, inputs: Tensors, outputs: Tensors) -> int | None:
    if operator.is_custom or operator.name in _UNRULED:
        return None
    rule = _MACS.get(operator.name)
    result = _at(outputs, 0)
    if rule is None or result is None:
        return 0
    return rule(operator, inputs, result)


def _shape(tensors: Tensors, position: int, rank: int) -> tuple[int, ...]:
    """The shape of a tensor, zeros where it is absent or has another rank (TFLM refuses it)."""
    tensor = _at(tensors, position)
    shape = tensor.shape if tensor is not None else ()
    return shape if len(shape) == rank else (0,) * rank


def _convolution(_operator: Operator, inputs: Tensors, result: Tensor) -> int:
    """Each output element sums over a filter: height × width × input channels of its group."""
    return result.elements * prod(_shape(inputs, 1, 4)[1:])


def _depthwise(_operator: Operator, inputs: Tensors, result: Tensor) -> int:
    """Each output element sums over a window of one channel."""
    return result.elements * prod(_shape(inputs, 1, 4)[1:3])


def _dense(_operator: Operator, inputs: Tensors, result: Tensor) -> int:
    """Each output element sums over all inputs: the filter's rows."""
    return result.elements * _shape(inputs, 1, 2)[1]


def _transposed(_operator: Operator, inputs: Tensors, _result: Tensor) -> int:
    """Each input element is spread over a filter: output channels × height × width."""
    values = _at(inputs, 2)
    return values.elements * prod(_shape(inputs, 1, 4)[:3]) if values is not None else 0


def _matrix_product(operator: Operator, inputs: Tensors, result: Tensor) -> int:
    """Each output element sums over a row of the left matrix (a column if transposed)."""
    left = _at(inputs, 0)
    if left is None or len(left.shape) < 2:
        return 0
    return result.elements * left.shape[-2 if operator.options.get("adj_x") else -1]


def _svdf(_operator: Operator, inputs: Tensors, _result: Tensor) -> int:
    """For each batch, every feature weight and every time weight once."""
    return _shape(inputs, 0, 2)[0] * sum(_elements(inputs, position) for position in (1, 2))


def _lstm(_operator: Operator, inputs: Tensors, _result: Tensor) -> int:
    """For each step and batch, the eight weight matrices of the gates once."""
    steps = prod(_shape(inputs, 0, 3)[:2])
    return steps * sum(_elements(inputs, position) for position in range(1, 9))


def _elements(tensors: Tensors, position: int) -> int:
    tensor = _at(tensors, position)
    return tensor.elements if tensor is not None else 0


#: A rule for each operator that multiplies. The other operators of TFLM count none.
_MACS: Mapping[str, Callable[[Operator, Tensors, Tensor], int]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "TRANSPOSE_CONV": _transposed,
    "BATCH_MATMUL": _matrix_product,
    "SVDF": _svdf,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}

#: Operators without a rule that multiply, or run a subgraph that may.
_UNRULED = frozenset({"CONV_3D", "IF", "WHILE", "CALL", "CALL_ONCE"})
