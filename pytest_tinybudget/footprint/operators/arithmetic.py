"""ADD, SUB and MUL, after ``kernels/add*.cc``, ``sub*.cc``, ``mul*.cc`` and ``cmsis_nn/add.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import activation_range
from pytest_tinybudget.footprint.operators.checks import rescalable
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.graph.model import Tensor


_TYPES = ("FLOAT32", "INT8", "INT16", "INT32")


def _prepare_add(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    if node.kernels.library == "cmsis-nn":
        if node.tflm.has("CMSIS-NN checks types early"):
            same_type(node, first, output)
            accepts(node, first, *_TYPES)
            same_type(node, first, second)
        if first.type == "INT16" and node.tflm.has("CMSIS-NN int16 is symmetric"):
            _check_symmetric(node, first, second, output)
    _check_multipliers(node, first, second, output)
    if output.type == "INT32" and node.tflm.has("int32 sums"):
        _check_unquantized(node, first, second)
    runs_with(node, output, *_TYPES)


def _prepare_sub(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    _check_multipliers(node, first, second, output)
    if output.type == "INT32" and node.tflm.has("int32 differences"):
        _check_unquantized(node, first, second, output)
    runs_with(node, output, *_TYPES)


def _prepare_mul(node: Preparation) -> None:
    first, second, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    takes(node, 2, 1)
    same_type(node, first, second)
    rescaled = ("INT8", "INT16") if node.tflm.has("int16 products are rescaled") else ("INT8",)
    if first.type == "INT16" and output.type in rescaled and "INT16" in rescaled:
        _check_symmetric(node, first, second, output)
    if output.type in rescaled:
        activation_range(node, output.type, scale(output))
    if output.type == "INT16" and node.tflm.runs("MUL", node.kernels.library, "INT16"):
        node.computes_wrongly("int16 products are rescaled", "INT16 products are not rescaled")
    runs_with(node, first, *_TYPES)


def _check_multipliers(node: Preparation, first: Tensor, second: Tensor, output: Tensor) -> None:
    operator, library = node.operator.name, node.kernels.library
    if output.type == "INT8" or (
        output.type == "INT16" and node.tflm.runs(operator, library, "INT16")
    ):
        shift = 15 if output.type == "INT16" else 20
        rescalable(node, output, first, second, left_shift=shift)
        activation_range(node, output.type, scale(output))


def _check_symmetric(node: Preparation, *tensors: Tensor) -> None:
    for tensor in tensors:
        zero_point_is(node, tensor, 0)


def _check_unquantized(node: Preparation, *tensors: Tensor) -> None:
    for tensor in tensors:
        node.ensure(
            not tensor.quantization.is_affine, f"its INT32 tensor '{tensor.name}' is quantized"
        )


RULES: dict[str, OperatorRule] = {
    "ADD": OperatorRule("eb", op_data("b14i"), _prepare_add),
    "SUB": OperatorRule("eb", op_data("b12i"), _prepare_sub),
    "MUL": OperatorRule("e", op_data("9i"), _prepare_mul),
}
