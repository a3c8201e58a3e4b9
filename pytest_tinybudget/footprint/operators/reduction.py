"""Operators along axes: MEAN, SUM, REDUCE_*, ARG_*, CUMSUM, L2_NORMALIZATION."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import first_integer
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import rescalable
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_shape
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import Tensor


_REDUCE = "11i"
_CUMSUM = "9i"
_L2_NORMALIZATION = "i"

#: sizeof(int) and of an accumulator.
_INT = 4
#: kMaxNumberOfReducedAxis, until the axes got a buffer of their own.
_ROOM_FOR_AXES = 2


def _prepare_simple(node: Preparation) -> None:
    source = node.temp_input(0)
    takes(node, 2, 1)
    accepts(node, node.temp_input(1), "INT32")
    if source.type == "INT8":
        node.temp_output(0)


def _temp_operands(node: Preparation) -> tuple[Tensor, Tensor, Tensor]:
    source, result, axis = node.temp_input(0), node.temp_output(0), node.temp_input(1)
    return source, result, axis


def _in_general_buffers(node: Preparation) -> bool:
    """Two days in June 2022: buffers of 4 bytes for each element, of the input as well."""
    return node.tflm.has("reducers in general buffers") and not node.tflm.has(
        "reducers without general buffers"
    )


def _request_iteration(node: Preparation, source: Tensor, axis: Tensor) -> None:
    node.scratch(_INT * len(source.shape))
    node.scratch(_INT * axis.elements)


def _runs_within(node: Preparation, source: Tensor, axis: Tensor) -> None:
    """Constant axes outside the tensor make Eval return an error."""
    rank = len(source.shape)
    if rank and any(not -rank <= place < rank for place in integers(axis)):
        node.fails_at_invoke(f"the axes of '{axis.name}' lie outside {rank} dimensions")


def _prepare_sum(node: Preparation) -> None:
    source, result = node.temp_input(0), node.temp_output(0)
    general = _in_general_buffers(node)
    axis = node.input(1)
    if node.tflm.has("reducers count their axes") or general:
        node.temp_input(1)
    if source.type == "INT8" or (source.type == "INT16" and node.tflm.has("int16 means")):
        node.scratch(_INT * result.elements)
    if general:
        for elements in (result.elements, result.elements, axis.elements, source.elements):
            node.scratch(_INT * elements)
    if node.tflm.has("reducers iterate in scratch buffers"):
        _request_iteration(node, source, axis)
    else:
        _check_axes(node, source, axis)
    _prepare_simple(node)
    runs_with(node, source, "FLOAT32", "INT8", "INT16")
    if source.type == "FLOAT32":
        _runs_within(node, source, axis)
        if node.operator.name == "MEAN":
            _runs_over_images(node, source, axis, result)
    if node.operator.name == "SUM":
        _runs_with_one_type(node, source, result)
        if source.type in ("INT8", "INT16"):
            node.computes_wrongly(
                "quantized sums saturate",
                "a sum beyond its output's range wraps around instead of staying at the limit",
            )


def _check_axes(node: Preparation, source: Tensor, axis: Tensor) -> None:
    """Until they asked for buffers, sums and means kept two axes (``reduce_common.cc``)."""
    rank = len(source.shape)
    axes = {place % rank for place in integers(axis)} if rank else set()
    if len(axes) > _ROOM_FOR_AXES:
        node.computes_wrongly(
            "reducers iterate in scratch buffers",
            f"it goes along {len(axes)} axes and has room for {_ROOM_FOR_AXES}",
            instead=f"else make two of it, along {_ROOM_FOR_AXES} axes at most",
        )


def _runs_over_images(node: Preparation, source: Tensor, axis: Tensor, result: Tensor) -> None:
    """Note that the kernel for the mean of images takes only a result of one pixel."""
    over = sorted(integers(axis)) == [1, 2] and len(source.shape) == 4
    if not over or not node.operator.options["keep_dims"]:
        return
    pixels = ((1,) * (4 - len(result.shape)) + result.shape)[1:3]
    if len(result.shape) > 4 or pixels != (1, 1):
        node.fails_at_invoke(
            f"'{result.name}' is {list(result.shape)}, expected [batches, 1, 1, channels]",
            ends=True,
        )


def _prepare_extremum(node: Preparation) -> None:
    _prepare_simple(node)
    source, result, axis = _temp_operands(node)
    _request_iteration(node, source, axis)
    if _in_general_buffers(node):
        node.scratch(_INT * source.elements)
    runs_with(node, source, "FLOAT32", "INT8")
    _runs_within(node, source, axis)
    _runs_with_one_type(node, source, result)
    if source.type == "INT8" and (scale(source), zero_point(source)) != (
        scale(result),
        zero_point(result),
    ):
        node.fails_at_invoke(f"'{result.name}' is quantized otherwise than '{source.name}'")


def _prepare_all(node: Preparation) -> None:
    source, result, axis = _temp_operands(node)
    accepts(node, source, "BOOL")
    _prepare_simple(node)
    _request_iteration(node, source, axis)
    _runs_within(node, source, axis)
    _runs_with_one_type(node, source, result)


def _runs_with_one_type(node: Preparation, source: Tensor, result: Tensor) -> None:
    if source.type != result.type:
        node.fails_at_invoke(
            f"'{source.name}' is {source.type} and '{result.name}' is {result.type}"
        )


def _check_arg(node: Preparation) -> None:
    runs_with(node, node.input(1), "INT32")
    runs_with(node, node.output(0), "INT32")
    runs_with(node, node.input(0), "FLOAT32", "INT8")


def _prepare_cumsum(node: Preparation) -> None:
    takes(node, 2, 1)
    source, axis = node.temp_input(0), node.temp_input(1)
    accepts(node, source, "FLOAT32", "INT8")
    accepts(node, axis, "INT32")
    node.ensure(axis.elements == 1, f"'{axis.name}' has {axis.elements} elements, expected 1")
    node.ensure(len(source.shape) >= 1, f"'{source.name}' is a scalar")
    result = node.temp_output(0)
    same_type(node, source, result)
    same_shape(node, source, result)
    if result.type == "INT8":
        node.persistent(node.abi.size_of(_CUMSUM))
        rescalable(node, result, source, left_shift=20)
    rank = len(source.shape)
    if axis.is_constant and not -rank <= first_integer(axis) < rank:
        node.fails_at_invoke(f"the axis {first_integer(axis)} lies outside {rank} dimensions")


def _prepare_l2_normalization(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    rank_within(node, source, 0, 4)
    accepts(node, result, "FLOAT32", "INT8")
    same_type(node, source, result)
    activation = node.operator.options["fused_activation_function"]
    node.ensure(activation == "NONE", f"it has the fused activation {activation}, expected none")


RULES: dict[str, OperatorRule] = {
    "MEAN": OperatorRule("b", op_data(_REDUCE), _prepare_sum),
    "SUM": OperatorRule("b", op_data(_REDUCE), _prepare_sum),
    "REDUCE_MAX": OperatorRule("b", op_data(_REDUCE), _prepare_extremum),
    "REDUCE_MIN": OperatorRule("b", op_data(_REDUCE), _prepare_extremum),
    "REDUCE_ALL": OperatorRule("b", op_data(_REDUCE), _prepare_all),
    "ARG_MAX": OperatorRule("e", prepare=_check_arg),
    "ARG_MIN": OperatorRule("e", prepare=_check_arg),
    "CUMSUM": OperatorRule("2b", prepare=_prepare_cumsum),
    "L2_NORMALIZATION": OperatorRule("e", op_data(_L2_NORMALIZATION), _prepare_l2_normalization),
}
