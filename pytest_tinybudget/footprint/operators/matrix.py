"""BATCH_MATMUL: transposed copies of its operands, and what CMSIS-NN needs besides."""

from __future__ import annotations

from math import prod

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.graph.model import Tensor


_OP_DATA = "3p 3b"
_CMSIS_NN_OP_DATA = f"({_OP_DATA}) 4i i"
_EVAL_TENSOR = "2p e"
_QUANTIZATION = "7i"


def _optimized(node: Preparation) -> bool:
    return node.kernels.library == "cmsis-nn" and node.tflm.has("CMSIS-NN batch matrix products")


def _prepare(node: Preparation) -> None:
    optimized = _optimized(node)
    takes(node, 2, 1)
    left, right, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    accepts(node, left, "FLOAT32", "INT8", "INT16")
    same_type(node, left, right)
    same_type(node, left, result)
    for operand in (left, right):
        rank_within(node, operand, 2, 4 if optimized else 5)
    shape = _product(node, left, right)
    _check_outputs(node, left, right, optimized=optimized)
    if left.type == "INT16":
        for tensor in (left, right, result):
            zero_point_is(node, tensor, 0)
    quantized = left.type != "FLOAT32"
    if quantized and not optimized:
        node.persistent(node.abi.size_of(_QUANTIZATION))
    if node.operator.options["adj_x"]:
        _allocate_transposed(node, left)
    if not node.operator.options["adj_y"]:
        _allocate_transposed(node, right)
    _reshape(node, result, shape)
    if quantized and optimized:
        node.persistent(node.abi.size_of(_QUANTIZATION))
    if left.type == "INT8" and node.kernels.mve:
        # arm_fully_connected_s8_get_buffer_size of the output's shape.
        node.scratch(4 * shape[-1])


def _check_outputs(node: Preparation, left: Tensor, right: Tensor, *, optimized: bool) -> None:
    if optimized and left.type != "FLOAT32":
        node.computes_wrongly(
            "CMSIS-NN batch matrix products of its shapes", "its shapes are taken as transposed"
        )
    ranks = min(len(left.shape), len(right.shape))
    if (
        node.operator.options["adj_x"]
        and ranks > 2
        and right.shape[-3] == 1
        and left.shape[-3] != 1
    ):
        node.computes_wrongly(
            "batch matrix products of transposed batches",
            "its transposed batches are multiplied as one matrix",
        )


def _allocate_transposed(node: Preparation, operand: Tensor) -> None:
    node.persistent(node.abi.size_of(_EVAL_TENSOR))
    node.persistent(4 + 4 * len(operand.shape))
    node.persistent(operand.elements * operand.element_bytes)


def _product(node: Preparation, left: Tensor, right: Tensor) -> tuple[int, ...]:
    """The shape of the product; refuses operands that do not fit each other."""
    rank = max(len(left.shape), len(right.shape))
    first = (1,) * (rank - len(left.shape)) + left.shape
    second = (1,) * (rank - len(right.shape)) + right.shape
    rows, depth = first[-2:] if not node.operator.options["adj_x"] else first[:-3:-1]
    other_depth, columns = second[-2:] if not node.operator.options["adj_y"] else second[:-3:-1]
    batches = tuple(zip(first[:-2], second[:-2], strict=True))
    node.ensure(
        depth == other_depth and all(a == b or 1 in (a, b) for a, b in batches),
        f"the shapes {list(left.shape)} of '{left.name}' and {list(right.shape)} of"
        f" '{right.name}' do not multiply",
    )
    return (*(b if a == 1 else a for a, b in batches), rows, columns)


def _reshape(node: Preparation, result: Tensor, shape: tuple[int, ...]) -> None:
    node.ensure(
        len(shape) <= len(result.shape) and prod(shape) == result.elements,
        f"'{result.name}' is {list(result.shape)}, expected {list(shape)}",
    )
    node.copy_output_shape(0)
    node.set_output_shape(0, shape)


RULES: dict[str, OperatorRule] = {
    "BATCH_MATMUL": OperatorRule("3b", op_data(_OP_DATA, cmsis_nn=_CMSIS_NN_OP_DATA), _prepare),
}
