"""Operators that read or write elements by index or value: GATHER, EMBEDDING_LOOKUP, FILL."""

from __future__ import annotations

from math import prod

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option


_EMBEDDING_LOOKUP = "i p"

#: The most dimensions that GATHER_ND indexes.
_MOST_INDEXED_DIMENSIONS = 5


def _prepare_gather(node: Preparation) -> None:
    takes(node, 2, 1)
    source, indices = node.temp_input(0), node.temp_input(1)
    node.temp_output(0)
    accepts(node, indices, "INT32")
    accepts(node, source, "FLOAT32", "INT8")
    rank = len(source.shape)
    axis, batch = option(node, "axis"), option(node, "batch_dims")
    axis += rank if axis < 0 else 0
    batch += len(indices.shape) if batch < 0 else 0
    node.ensure(0 <= axis < rank, f"the axis {axis} lies outside {rank} dimensions")
    node.ensure(
        0 <= batch <= min(axis, len(indices.shape))
        and source.shape[:batch] == indices.shape[:batch],
        f"its {batch} batch dimensions do not fit '{source.name}' {list(source.shape)} and"
        f" '{indices.name}' {list(indices.shape)}",
    )
    node.copy_output_shape(0)
    node.set_output_shape(0, source.shape[:axis] + indices.shape[batch:] + source.shape[axis + 1 :])


def _prepare_gather_nd(node: Preparation) -> None:
    takes(node, 2, 1)
    source, indices = node.temp_input(0), node.temp_input(1)
    node.temp_output(0)
    accepts(node, source, "FLOAT32", "INT8")
    accepts(node, indices, "INT32")
    node.ensure(len(source.shape) >= 1, f"'{source.name}' is a scalar")
    node.ensure(len(indices.shape) >= 1, f"'{indices.name}' is a scalar")
    depth = indices.shape[-1]
    node.ensure(
        depth <= min(len(source.shape), _MOST_INDEXED_DIMENSIONS),
        f"'{indices.name}' indexes {depth} dimensions of '{source.name}' {list(source.shape)},"
        f" expected at most {min(len(source.shape), _MOST_INDEXED_DIMENSIONS)}",
    )
    if node.tflm.has("GATHER_ND copies its shape"):
        node.copy_output_shape(0)
    node.set_output_shape(0, indices.shape[:-1] + source.shape[depth:])


def _prepare_embedding_lookup(node: Preparation) -> None:
    takes(node, 2, 1)
    indices = node.temp_input(0)
    rank_within(node, indices, 1, 1)
    accepts(node, indices, "INT32")
    values = node.temp_input(1)
    node.ensure(len(values.shape) >= 2, f"'{values.name}' has fewer than 2 dimensions")
    accepts(node, values, "FLOAT32", "INT8")
    result = node.temp_output(0)
    accepts(node, result, "FLOAT32", *(("INT8",) if values.type == "INT8" else ()))
    shape = indices.shape + values.shape[1:] + result.shape[len(values.shape) :]
    node.ensure(
        len(result.shape) >= len(values.shape) and prod(shape) <= result.elements,
        f"'{result.name}' is {list(result.shape)}, expected {list(shape)}",
    )
    node.copy_output_shape(0)
    node.set_output_shape(0, shape)
    node.persistent(node.abi.size_of(_EMBEDDING_LOOKUP))
    if values.type == "INT8" and result.type == "FLOAT32":
        zero_point_is(node, values, 0)


def _prepare_dynamic_update_slice(node: Preparation) -> None:
    takes(node, 3, 1)
    source, update, start = (node.temp_input(position) for position in range(3))
    node.temp_output(0)
    same_type(node, source, update)
    accepts(node, start, "INT32", "INT64")
    node.ensure(
        start.shape == (len(source.shape),),
        f"'{start.name}' is {list(start.shape)}, expected [{len(source.shape)}]",
    )
    node.ensure(
        len(update.shape) == len(source.shape)
        and all(part <= whole for part, whole in zip(update.shape, source.shape, strict=True)),
        f"'{update.name}' {list(update.shape)} does not fit into '{source.name}'"
        f" {list(source.shape)}",
    )
    runs_with(node, source, "FLOAT32", "INT8", "INT16", "INT32")


def _prepare_fill(node: Preparation) -> None:
    takes(node, 2, 1)
    shape, value, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank_within(node, value, 0, 0)
    same_type(node, value, result)
    if node.tflm.has("FILL checks its shape"):
        constant(node, shape)
    rank_within(node, shape, 1, 1)
    node.ensure(
        shape.type in ("INT8", "INT16", "INT32", "INT64"), f"'{shape.name}' is {shape.type}"
    )
    node.ensure(
        not shape.is_constant
        or (shape.elements == len(result.shape) and integers(shape) == result.shape),
        f"'{result.name}' is {list(result.shape)}, which is not what '{shape.name}' asks for",
    )
    runs_with(node, value, "FLOAT32", "INT32", "INT8")


RULES: dict[str, OperatorRule] = {
    "GATHER": OperatorRule("2i", prepare=_prepare_gather),
    "GATHER_ND": OperatorRule(prepare=_prepare_gather_nd),
    "EMBEDDING_LOOKUP": OperatorRule(prepare=_prepare_embedding_lookup),
    "DYNAMIC_UPDATE_SLICE": OperatorRule(prepare=_prepare_dynamic_update_slice),
    "FILL": OperatorRule(prepare=_prepare_fill),
}
