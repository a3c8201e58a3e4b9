"""Operators that rearrange, cut or join tensors: TRANSPOSE, SPLIT, PACK, SLICE, BROADCAST_TO."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import first_integer
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import runs_with_rank
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.graph.model import Tensor


#: TfLiteSqueezeParams: room for 8 dimensions and their number.
_SQUEEZE = "8i i"
_MOST_SQUEEZED_DIMENSIONS = 8
#: RuntimeShape::kMaxSmallSize.
_MOST_DIMENSIONS = 6


def _prepare_transpose(node: Preparation) -> None:
    takes(node, 2, 1)
    source, order, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank_within(node, source, 0, 5)
    same_type(node, source, result)
    constant(node, order)
    accepts(node, order, "INT32")
    rank_within(node, order, 1, 1)
    rank = len(source.shape)
    node.ensure(
        order.elements == rank and all(0 <= axis < rank for axis in integers(order)),
        f"the permutation '{order.name}' does not fit '{source.name}' {list(source.shape)}",
    )
    runs_with(node, source, "FLOAT32", "INT8", "INT16")


def _prepare_squeeze(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    axes = _squeezed_axes(node, source)
    kept = [extent for axis, extent in enumerate(source.shape) if axis not in axes]
    node.ensure(
        len(kept) <= len(result.shape)
        and all(have >= need for have, need in zip(result.shape, kept, strict=False)),
        f"'{result.name}' is {list(result.shape)}, expected {kept}",
    )
    if source.elements * source.element_bytes != result.elements * result.element_bytes:
        node.fails_at_invoke(f"'{source.name}' and '{result.name}' differ in size")


def _squeezed_axes(node: Preparation, source: Tensor) -> set[int]:
    rank = len(source.shape)
    asked = node.operator.options["squeeze_dims"]
    if not isinstance(asked, tuple) or max(rank, len(asked)) > _MOST_SQUEEZED_DIMENSIONS:
        node.refuse(f"it squeezes more than {_MOST_SQUEEZED_DIMENSIONS} dimensions")
    if not asked:
        return {axis for axis, extent in enumerate(source.shape) if extent == 1}
    axes = {int(axis) + rank if axis < 0 else int(axis) for axis in asked}
    node.ensure(
        all(0 <= axis < rank and source.shape[axis] == 1 for axis in axes),
        f"the dimensions {list(asked)} of '{source.name}' {list(source.shape)} are not all 1",
    )
    return axes


def _prepare_expand_dims(node: Preparation) -> None:
    takes(node, 2, 1)
    source, axis, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    constant(node, axis)
    rank_within(node, axis, 0, 1)
    accepts(node, axis, "INT32")
    place = first_integer(axis)
    if place < 0:
        place += len(source.shape) + 1
    node.ensure(
        0 <= place <= len(source.shape)
        and result.shape == (*source.shape[:place], 1, *source.shape[place:]),
        f"'{result.name}' is {list(result.shape)}, which is not '{source.name}'"
        f" {list(source.shape)} with a 1 at axis {first_integer(axis)}",
    )
    runs_with(node, source, "FLOAT32", "INT16", "INT8")


def _prepare_shape(node: Preparation) -> None:
    takes(node, 1, 1)
    runs_with(node, node.output(0), "INT32")


def _prepare_broadcast_args(node: Preparation) -> None:
    takes(node, 2, 1)
    first, second, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    accepts(node, first, "INT32", "INT64")
    for tensor in (first, second, result):
        same_type(node, first, tensor)
        rank_within(node, tensor, 1, 1)


def _prepare_broadcast_to(node: Preparation) -> None:
    takes(node, 2, 1)
    source, shape, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank_within(node, source, 0, 5)
    accepts(node, shape, "INT32", "INT64")
    same_type(node, source, result)
    constant(node, shape)
    rank_within(node, shape, 1, 1)
    rank_within(node, result, len(source.shape), 5)
    node.ensure(
        shape.elements == len(result.shape),
        f"'{shape.name}' has {shape.elements} elements, expected {len(result.shape)}",
    )
    asked = integers(shape)
    padded = (1,) * (len(result.shape) - len(source.shape)) + source.shape
    node.ensure(
        asked == result.shape
        and all(have in (1, need) for have, need in zip(padded, asked, strict=True)),
        f"'{source.name}' {list(source.shape)} does not broadcast to {list(asked)} as"
        f" '{result.name}' {list(result.shape)}",
    )


def _check_pack(node: Preparation) -> None:
    runs_with(node, node.output(0), "FLOAT32", "INT8", "INT16", "INT32", "INT64")


def _check_unpack(node: Preparation) -> None:
    runs_with(node, node.input(0), "FLOAT32", "INT32", "INT16", "INT8")


def _prepare_split(node: Preparation) -> None:
    axis = node.temp_input(0)
    _check_split(node, node.input(1), axis)


def _prepare_split_v(node: Preparation) -> None:
    takes(node, 3, len(node.operator.outputs))
    axis = node.temp_input(2)
    _check_split(node, node.input(0), axis)


def _check_split(node: Preparation, source: Tensor, axis: Tensor) -> None:
    constant(node, axis)
    place, rank = first_integer(axis), len(source.shape)
    if not -rank <= place < rank:
        node.fails_at_invoke(f"the axis {place} lies outside {rank} dimensions")
    runs_with(node, source, "FLOAT32", "INT8", "INT16", "INT32")


def _prepare_slice(node: Preparation) -> None:
    takes(node, 3, 1)
    source, begin = node.temp_input(0), node.temp_input(1)
    node.temp_input(2)
    node.temp_output(0)
    runs_with(node, begin, "INT32", "INT64")
    runs_with(node, source, "FLOAT32", "INT32", "INT8", "INT16", "BOOL")
    runs_with_rank(node, source, 5)


def _prepare_reverse(node: Preparation) -> None:
    takes(node, 2, 1)
    source, axes, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank_within(node, axes, 1, 1)
    rank_within(node, source, axes.elements, _MOST_DIMENSIONS)
    accepts(node, source, "INT32", "FLOAT32", "UINT8", "INT8", "INT16", "INT64", "BOOL")
    accepts(node, axes, "INT32")
    same_type(node, source, result)
    if not axes.elements:
        # Its Eval looks for the first and the last of them.
        node.fails_at_invoke("it reverses along no axis: leave it out", ends=True)
    elif axes.is_constant:
        rank = len(source.shape)
        places = sorted(axis + rank if axis < 0 else axis for axis in integers(axes))
        neighbors = list(range(places[0], places[0] + len(places)))
        if places != neighbors or places[0] < 0 or places[-1] >= rank:
            node.fails_at_invoke(f"the axes {list(integers(axes))} are not neighbors")


RULES: dict[str, OperatorRule] = {
    "TRANSPOSE": OperatorRule(prepare=_prepare_transpose),
    "SQUEEZE": OperatorRule(_SQUEEZE, prepare=_prepare_squeeze),
    "EXPAND_DIMS": OperatorRule(prepare=_prepare_expand_dims),
    "SHAPE": OperatorRule("e", prepare=_prepare_shape),
    "BROADCAST_ARGS": OperatorRule(prepare=_prepare_broadcast_args),
    "BROADCAST_TO": OperatorRule(prepare=_prepare_broadcast_to),
    "PACK": OperatorRule("2i", prepare=_check_pack),
    "UNPACK": OperatorRule("2i", prepare=_check_unpack),
    "SPLIT": OperatorRule("i", prepare=_prepare_split),
    "SPLIT_V": OperatorRule("i", prepare=_prepare_split_v),
    "SLICE": OperatorRule(prepare=_prepare_slice),
    "REVERSE_V2": OperatorRule(prepare=_prepare_reverse),
}
