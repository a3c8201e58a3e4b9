"""Operators on tensors that broadcast against each other: comparisons, MAXIMUM, DIV, SELECT_V2."""

from __future__ import annotations

from collections.abc import Callable

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import activation_range
from pytest_tinybudget.footprint.operators.checks import quantized
from pytest_tinybudget.footprint.operators.checks import rescalable
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import runs_with_rank
from pytest_tinybudget.footprint.operators.checks import same_shape
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import Tensor


# OpData structs. BroadcastableOpCategory is a one-byte enumeration on every target.
_COMPARISON = "7i b"
_DIV = "7i"
_ARITHMETIC_PARAMS = "b 14i 2q 2h 5i"
_SQUARED_DIFFERENCE = f"b ({_ARITHMETIC_PARAMS})"
_SELECT = "b"
_ADD_N = "10i"


def _comparison(*types: str) -> OperatorRule:
    def prepare(node: Preparation) -> None:
        first, second = node.temp_input(0), node.temp_input(1)
        if first.type == "INT8":
            for tensor in (first, second):
                node.ensure(
                    0 < scale(tensor) < 1,
                    f"'{tensor.name}' has the scale {scale(tensor):g}, expected one between"
                    " 0 and 1",
                    ends=True,
                )
        runs_with(node, first, *types)

    return OperatorRule(init=op_data(_COMPARISON), prepare=prepare)


_EQUALITY = _comparison("BOOL", "FLOAT32", "INT32", "INT64", "INT8")
_GREATER = _comparison("FLOAT32", "INT32", "INT64", "INT8", "INT16")
_ORDER = _comparison("FLOAT32", "INT32", "INT64", "INT8")


def _check_extremum(node: Preparation) -> None:
    result = node.output(0)
    runs_with(node, result, "FLOAT32", "INT8", "INT16", "INT32", "INT64")
    if node.kernels.library != "cmsis-nn":
        return
    if node.tflm.has("CMSIS-NN maxima of all ranks"):
        for tensor in (node.input(0), node.input(1), result):
            runs_with_rank(node, tensor, 4)
    elif node.tflm.has("CMSIS-NN maxima") and result.type == "INT8":
        ranks = {len(tensor.shape) for tensor in (node.input(0), node.input(1), result)}
        if result.elements > 1 and not ranks <= {2, 3, 4}:
            node.computes_wrongly(
                "CMSIS-NN maxima of all ranks",
                "CMSIS-NN computes its first element alone, unless it has 2 to 4 dimensions",
            )


def _prepare_div(node: Preparation) -> None:
    first, second, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    same_type(node, first, second)
    same_type(node, first, result)
    if result.type == "INT32" and node.tflm.runs("DIV", node.kernels.library, "INT32"):
        for tensor in (first, second):
            node.ensure(
                not tensor.quantization.is_affine, f"'{tensor.name}' is INT32 and quantized"
            )
    if result.type == "INT8":
        activation_range(node, result.type, scale(result))
    runs_with(node, result, "FLOAT32", "INT32", "INT8")


def _floor(*, fails_by_zero: bool) -> Callable[[Preparation], None]:
    def prepare(node: Preparation) -> None:
        takes(node, 2, 1)
        first, second, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
        same_type(node, first, second)
        same_type(node, first, result)
        runs_with(node, first, "FLOAT32")
        if fails_by_zero and _has_zero(second):
            node.fails_at_invoke(f"the divisor '{second.name}' contains zeros")

    return prepare


def _has_zero(tensor: Tensor) -> bool:
    """Whether a constant FLOAT32 tensor contains 0 (of either sign)."""
    if tensor.type != "FLOAT32":
        return False
    return 0.0 in tensor.data[: len(tensor.data) // 4 * 4].cast("f")


def _prepare_squared_difference(node: Preparation) -> None:
    takes(node, 2, 1)
    first, second, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    same_type(node, first, second)
    int16 = node.tflm.runs("SQUARED_DIFFERENCE", node.kernels.library, "INT16")
    if first.type == "INT8" or (first.type == "INT16" and int16):
        quantized(node, first)
        quantized(node, second)
    for tensor in (first, second, result):
        if first.type == "INT8":
            node.ensure(
                -128 <= zero_point(tensor) <= 127,
                f"'{tensor.name}' has the zero point {zero_point(tensor)}, expected -128 to 127",
            )
        elif first.type == "INT16" and int16:
            zero_point_is(node, tensor, 0)
    runs_with(node, result, "FLOAT32", "INT32", "INT8", "INT16")


def _prepare_select(node: Preparation) -> None:
    takes(node, 3, 1)
    condition, first, second = (node.temp_input(position) for position in range(3))
    result = node.temp_output(0)
    accepts(node, condition, "BOOL")
    same_type(node, first, second)
    sources = (condition, first, second)
    one_shape = condition.shape == first.shape == second.shape
    scalars = all(tensor.elements == 1 for tensor in (*sources, result))
    node.ensure(
        not scalars or node.tflm.has("SELECT_V2 of scalars"),
        "this version of TFLM does not release its tensors when all are scalars",
    )
    if not one_shape and not scalars:
        node.ensure(
            _broadcast(sources) == result.shape,
            f"the shapes of its inputs do not broadcast to {list(result.shape)}",
        )
    runs_with(node, first, "FLOAT32", "INT8", "INT16")


def _broadcast(tensors: tuple[Tensor, ...]) -> tuple[int, ...] | None:
    """The shape that all ``tensors`` broadcast to, ``None`` if they do not."""
    rank = max(len(tensor.shape) for tensor in tensors)
    padded = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in tensors]
    shape = tuple(max(extents) if min(extents) else 0 for extents in zip(*padded, strict=True))
    fits = all(
        extent in (1, widest)
        for extents in padded
        for extent, widest in zip(extents, shape, strict=True)
    )
    return shape if fits else None


def _prepare_add_n(node: Preparation) -> None:
    count = len(node.operator.inputs)
    node.ensure(count >= 2, f"it has {count} inputs, expected 2 or more")
    takes(node, count, 1)
    first, result = node.temp_input(0), node.temp_output(0)
    same_type(node, first, result)
    for position in range(1, count):
        other = node.temp_input(position)
        same_shape(node, first, other)
        same_type(node, first, other)
        if first.type == "INT8":
            node.ensure(
                (scale(first), zero_point(first)) == (scale(other), zero_point(other)),
                f"'{other.name}' is quantized otherwise than '{first.name}'",
            )
    accepts(node, result, "FLOAT32", "INT8")
    if result.type == "INT8":
        node.persistent(node.abi.size_of(_ADD_N))
        rescalable(node, result, first, left_shift=20)
    node.scratch(count * node.abi.pointer_bytes)


RULES: dict[str, OperatorRule] = {
    "EQUAL": _EQUALITY,
    "NOT_EQUAL": _EQUALITY,
    "GREATER": _GREATER,
    "GREATER_EQUAL": _ORDER,
    "LESS": _ORDER,
    "LESS_EQUAL": _ORDER,
    "LOGICAL_AND": OperatorRule(),
    "LOGICAL_OR": OperatorRule(),
    "MAXIMUM": OperatorRule(prepare=_check_extremum),
    "MINIMUM": OperatorRule(prepare=_check_extremum),
    "DIV": OperatorRule("e", op_data(_DIV), _prepare_div),
    "FLOOR_DIV": OperatorRule(prepare=_floor(fails_by_zero=True)),
    "FLOOR_MOD": OperatorRule(prepare=_floor(fails_by_zero=False)),
    "SQUARED_DIFFERENCE": OperatorRule(
        init=op_data(_SQUARED_DIFFERENCE), prepare=_prepare_squared_difference
    ),
    "SELECT_V2": OperatorRule(init=op_data(_SELECT), prepare=_prepare_select),
    "ADD_N": OperatorRule(prepare=_prepare_add_n),
}
