"""Operators that work through all values, whatever their dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import quantized_alike
from pytest_tinybudget.footprint.trust import common
from pytest_tinybudget.footprint.trust.trusted import Shape
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import Tensor


def _unary(node: Trusted, *, quantized: bool = False, types: bool = True) -> None:
    common.has(node, 1)
    source, result = node.input(0), node.output(0)
    common.fills(node, result, node.meant(source))
    if types:
        common.written(node, result, source.type)
    if quantized and result.type in ("INT8", "INT16"):
        common.rescaled(node, result, source)
    elif quantized:
        common.per_tensor(node, source, result)


def _limited(node: Trusted) -> None:
    """RELU6, whose kernel takes the input's quantization for the result."""
    _unary(node, quantized=True)
    source, result = node.input(0), node.output(0)
    node.trust(
        source.type == "FLOAT32" or quantized_alike(source, result),
        f"'{result.name}' is quantized otherwise than '{source.name}', which its kernel does not"
        " look at",
    )


def _greater(node: Trusted) -> None:
    """GREATER, whose Prepare computes multipliers for INT8 alone (``comparisons.cc``)."""
    _pairwise(node, compares=True, quantized=True)
    node.trust(
        node.input(0).type != "INT16",
        "it compares INT16 by multipliers that TFLM never sets: compare as FLOAT32 or INT32",
    )


def _sum(node: Trusted) -> None:
    """ADD, which clamps INT32 to the range of its type alone (``add.cc``)."""
    _pairwise(node, quantized=True)
    activation = node.operator.options.get("fused_activation_function", "NONE")
    node.trust(
        activation == "NONE" or node.input(0).type != "INT32",
        f"TFLM leaves its fused {activation} out for INT32: make the activation an operator of its"
        " own",
    )


def _tanh(node: Trusted) -> None:
    _unary(node, quantized=True)
    common.saturating(node, INT8=(1 / 128, 0))


def _logistic(node: Trusted) -> None:
    _unary(node, quantized=True)
    common.saturating(node, INT8=(1 / 256, -128))


#: Dimensions that kernels broadcast before a change; since then six, as many as a shape may have.
_BROADCAST_BEFORE = {
    "ADD": ("sums of six dimensions", 4),
    "MUL": ("products of six dimensions", 4),
    "SUB": ("differences of six dimensions", 5),
    "DIV": ("broadcasts of all ranks", 5),
    "MAXIMUM": ("broadcasts of all ranks", 5),
    "MINIMUM": ("broadcasts of all ranks", 5),
}

_MOST_BROADCAST = 6


def _most_broadcast(node: Trusted) -> int:
    change, most = _BROADCAST_BEFORE.get(node.operator.name, ("broadcasts of all ranks", 4))
    return _MOST_BROADCAST if node.tflm.has(change) else most


def _pairwise(node: Trusted, *, compares: bool = False, quantized: bool = False) -> None:
    """Two tensors of one shape value by value, or broadcast against each other."""
    common.has(node, 2)
    first, second, result = node.input(0), node.input(1), node.output(0)
    common.typed(node, second, first.type)
    if compares:
        node.trust(
            result.element_bytes == 1 or _is_condition(node, result),
            f"its output '{result.name}' is {result.type}, its kernel writes BOOL",
        )
    else:
        common.written(node, result, first.type)
    if quantized and first.type in ("INT8", "INT16"):
        if compares:
            common.per_tensor(node, first, second)
        else:
            common.rescaled(node, result, first, second)
    if node.meant(first) == node.meant(second) and _run_in_step(first, second, result):
        common.fills(node, result, node.meant(first))
        return
    for tensor in (first, second):
        # Dimensions of 1 before the others change nothing where shapes broadcast.
        if _without_ones(node.meant(tensor)) != _without_ones(tensor.shape):
            common.as_meant(node, tensor)
    shape = common.broadcast((first.shape, second.shape))
    node.trust(
        shape is not None,
        f"'{first.name}' {list(first.shape)} and '{second.name}' {list(second.shape)} do not"
        " broadcast",
    )
    most = _most_broadcast(node)
    common.rank(node, first, 0, most)
    common.rank(node, second, 0, most)
    _gives_but_for_ones(node, result, shape or ())


def _run_in_step(first: Tensor, second: Tensor, result: Tensor) -> bool:
    """Whether the kernel takes both tensors value by value, whatever their dimensions are."""
    if first.shape == second.shape:
        return True
    rank = max(len(tensor.shape) for tensor in (first, second, result))
    extents = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in (first, second)]
    places = (1,) * (rank - len(result.shape)) + result.shape
    return first.elements == second.elements == result.elements and all(
        extent != 1 or place == 1
        for shape in extents
        for extent, place in zip(shape, places, strict=True)
    )


def _is_condition(node: Trusted, result: Tensor) -> bool:
    """Whether all that looks at ``result`` may be a WHILE, which reads its first byte alone."""
    graph = node.subgraph
    read = any(result.index in operator.inputs for operator in graph.operators)
    return graph.index > 0 and result.elements == 1 and not read


def _without_ones(shape: Shape) -> Shape:
    start = next((axis for axis, extent in enumerate(shape) if extent != 1), len(shape))
    return shape[start:]


def _gives_but_for_ones(node: Trusted, result: Tensor, shape: Shape) -> None:
    """Kernels put dimensions of 1 before the shapes that they work on."""
    if _without_ones(result.shape) != _without_ones(shape):
        common.gives(node, result, shape)
    common.fills(node, result, shape)


def _several(node: Trusted) -> None:
    """ADD_N."""
    first = node.input(0)
    common.as_meant(node, *common.inputs(node))
    common.fills(node, node.output(0), first.shape)
    if first.type == "INT8":
        common.per_tensor(node, *common.inputs(node), node.output(0))


def _prelu(node: Trusted) -> None:
    """PRELU, which looks at the type of its slopes for INT16 alone (``prelu.cc``)."""
    common.has(node, 2)
    source, slope, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source, slope)
    common.written(node, result, source.type)
    common.read_as(node, slope, "FLOAT32" if source.type == "FLOAT32" else "INT8")
    common.gives(node, result, common.broadcast((source.shape, slope.shape)) or source.shape)
    node.trust(
        common.broadcast((source.shape, slope.shape)) == source.shape,
        f"its slopes '{slope.name}' {list(slope.shape)} do not fit '{source.name}'"
        f" {list(source.shape)}",
    )
    if source.type in ("INT8", "INT16"):
        common.rescaled(node, result, source, slope)


def _select(node: Trusted) -> None:
    common.has(node, 3)
    sources = common.inputs(node)
    common.as_meant(node, *sources)
    shape = common.broadcast([tensor.shape for tensor in sources])
    node.trust(shape is not None, "the shapes of its inputs do not broadcast")
    common.written(node, node.output(0), node.input(1).type)
    _gives_but_for_ones(node, node.output(0), shape or ())


def _reshape(node: Trusted) -> None:
    """TFLM takes the output's shape from the file, whatever shape the operator asks for."""
    source, result = node.input(0), node.output(0)
    asked: Sequence[int] = ()
    if node.has_input(1):
        target = node.input(1)
        if target.type == "INT32" and target.is_constant and len(target.shape) == 1:
            asked = integers(target)
    else:
        wanted = node.operator.options["new_shape"]
        asked = [int(extent) for extent in wanted] if isinstance(wanted, tuple) else ()
    shape = _closed(asked, source.elements)
    if shape is not None:
        node.means(node.subgraph, result, shape)


def _closed(asked: Sequence[int], elements: int) -> Shape | None:
    """A shape with its one open dimension filled; ``None`` where it does not hold ``elements``."""
    known = prod(extent for extent in asked if extent != -1)
    if list(asked).count(-1) == 1 and known > 0 and elements % known == 0:
        return tuple(elements // known if extent == -1 else extent for extent in asked)
    return tuple(asked) if asked and known == elements and -1 not in asked else None


def _same_values(node: Trusted) -> None:
    """SQUEEZE and EXPAND_DIMS, whose Prepare has checked the shapes."""
    common.as_meant(node, node.input(0))
    common.written(node, node.output(0), node.input(0).type)


CHECKS = by_operator(
    (_limited, "RELU6"),
    (_tanh, "TANH"),
    (_logistic, "LOGISTIC"),
    (partial(_unary, quantized=True), "RELU LEAKY_RELU HARD_SWISH ABS RSQRT ELU"),
    (_unary, "SIN COS LOG SQRT SQUARE LOGICAL_NOT CEIL EXP ROUND FLOOR NEG ZEROS_LIKE"),
    (partial(_unary, types=False), "CAST"),
    (partial(_unary, types=False, quantized=True), "QUANTIZE DEQUANTIZE"),
    (_sum, "ADD"),
    (partial(_pairwise, quantized=True), "SUB MUL DIV SQUARED_DIFFERENCE"),
    (_pairwise, "FLOOR_DIV FLOOR_MOD MAXIMUM MINIMUM"),
    (
        partial(_pairwise, compares=True, quantized=True),
        "EQUAL NOT_EQUAL GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR",
    ),
    (_greater, "GREATER"),
    (_several, "ADD_N"),
    (_prelu, "PRELU"),
    (_select, "SELECT_V2"),
    (_reshape, "RESHAPE"),
    (_same_values, "SQUEEZE EXPAND_DIMS"),
)
