"""ADD, SUB and MUL, after ``kernels/add*.cc``, ``sub*.cc``, ``mul*.cc`` and ``cmsis_nn/add.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import Tensor


_TYPES = ("FLOAT32", "INT8", "INT16", "INT32")


def _check_symmetric(node: Preparation, *tensors: Tensor) -> None:
    for tensor in tensors:
        node.ensure(
            zero_point(tensor) == 0,
            f"INT16 needs the zero point 0, tensor '{tensor.name}' has {zero_point(tensor)}",
        )


def _check_unquantised(node: Preparation, *tensors: Tensor) -> None:
    for tensor in tensors:
        node.ensure(
            not tensor.quantization.is_affine, f"its INT32 tensor '{tensor.name}' is quantised"
        )


def _prepare_add(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    if node.kernels.library == "cmsis-nn":
        node.ensure(
            first.type == second.type == output.type,
            f"{first.type} and {second.type} to {output.type} is not supported",
        )
        node.ensure(output.type in _TYPES, f"type {output.type} is not supported")
        if output.type == "INT16":
            _check_symmetric(node, first, second, output)
    elif output.type in ("INT8", "INT16"):
        node.ensure(
            output.quantization.is_affine, f"its output '{output.name}' is not quantised"
        )
    if output.type == "INT32":
        _check_unquantised(node, first, second)
    elif output.type not in _TYPES:
        node.fails_at_invoke(f"type {output.type} is not supported")


def _prepare_sub(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    if output.type == "INT32":
        _check_unquantised(node, first, second, output)
    elif output.type not in _TYPES:
        node.fails_at_invoke(f"type {output.type} is not supported")


def _prepare_mul(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    node.ensure(
        len(node.operator.inputs) == 2 and len(node.operator.outputs) == 1,
        f"it has {len(node.operator.inputs)} inputs, expected 2",
    )
    node.ensure(first.type == second.type, f"its inputs are {first.type} and {second.type}")
    if first.type == "INT16" and output.type in ("INT8", "INT16"):
        _check_symmetric(node, first, second, output)
    if first.type not in _TYPES:
        node.fails_at_invoke(f"type {first.type} is not supported")


RULES: dict[str, OperatorRule] = {
    "ADD": OperatorRule("eb", op_data("b14i"), _prepare_add),
    "SUB": OperatorRule("eb", op_data("b12i"), _prepare_sub),
    "MUL": OperatorRule("e", op_data("9i"), _prepare_mul),
}
