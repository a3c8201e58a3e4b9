"""Activation functions as operators of their own: RELU, TANH, LOGISTIC, HARD_SWISH."""

from __future__ import annotations

from math import log2

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import runs_with_rank
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.graph.model import Tensor


# OpData structs. ReluParams derives from ActivationParams, which begins with a one-byte
# enumeration on every target.
_RELU = "(b 2i) 4i"
_RELU6 = "2i"
_LEAKY_RELU = "6i"
_PRELU = "7i"
_ELU = "256b"
_HARD_SWISH = "3h i h i"
_LOGISTIC = _TANH = "4i"

#: int16 results of TANH and LOGISTIC have 15 fractional bits.
_SATURATING_OUTPUT_SCALE = 2.0**-15
#: How far log2 of a scale may lie from a whole number to count as a power of two.
_LOG2_TOLERANCE = 1e-3


def _prepare_relu(node: Preparation) -> None:
    source, result = node.temp_input(0), node.temp_output(0)
    if source.type == "INT16" and node.tflm.runs("RELU", node.kernels.library, "INT16"):
        zero_point_is(node, source, 0)
        zero_point_is(node, result, 0)
    runs_with(node, source, "FLOAT32", "INT8", "INT16")


def _prepare_relu6(node: Preparation) -> None:
    runs_with(node, node.temp_input(0), "FLOAT32", "INT8", "INT16")


def _prepare_leaky_relu(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    same_type(node, source, result)
    runs_with(node, source, "FLOAT32", "INT8", "INT16")


def _prepare_prelu(node: Preparation) -> None:
    source, slope, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    if result.type == "INT16" and node.tflm.runs("PRELU", node.kernels.library, "INT16"):
        accepts(node, slope, "INT8")
    runs_with(node, source, "FLOAT32", "INT8", "INT16")
    if source.type == "FLOAT32" or not node.tflm.has("broadcasts of all ranks"):
        for tensor in (source, slope, result):
            runs_with_rank(node, tensor, 4)


def _prepare_elu(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    same_type(node, source, result)
    runs_with(node, source, "FLOAT32", "INT8")


def _prepare_hard_swish(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    if source.type == "INT8":
        node.ensure(
            scale(result) == 0 or scale(source) / 128 < scale(result),
            f"the scale {scale(result):g} of '{result.name}' is not above 1/128 of its input's",
        )
    runs_with(node, source, "FLOAT32", "INT8")


def _prepare_logistic(node: Preparation) -> None:
    source, result = node.temp_input(0), node.temp_output(0)
    same_type(node, source, result)
    if source.type == "INT8":
        zero_point_is(node, result, -128)
    if source.type == "INT16":
        _check_int16_saturation(node, source, result)
    runs_with(node, source, "FLOAT32", "INT16", "INT8")


def _prepare_tanh(node: Preparation) -> None:
    node.temp_input(0)
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    same_type(node, source, result)
    if source.type == "INT16":
        _check_int16_saturation(node, source, result)
    runs_with(node, source, "FLOAT32", "INT16", "INT8")


def _check_int16_saturation(node: Preparation, source: Tensor, result: Tensor) -> None:
    if not node.tflm.has("int16 TANH and LOGISTIC are prepared"):
        node.computes_wrongly(
            "int16 TANH and LOGISTIC are prepared", "INT16 is computed as if of another scale"
        )
        return
    zero_point_is(node, source, 0)
    zero_point_is(node, result, 0)
    found = scale(result)
    node.ensure(
        found > 0 and abs(log2(found / _SATURATING_OUTPUT_SCALE)) < _LOG2_TOLERANCE,
        f"'{result.name}' has the scale {found:g}, expected 1/32768",
    )


RULES: dict[str, OperatorRule] = {
    "RELU": OperatorRule(init=op_data(_RELU), prepare=_prepare_relu),
    "RELU6": OperatorRule(init=op_data(_RELU6), prepare=_prepare_relu6),
    "LEAKY_RELU": OperatorRule("i", op_data(_LEAKY_RELU), _prepare_leaky_relu),
    "PRELU": OperatorRule(init=op_data(_PRELU), prepare=_prepare_prelu),
    "ELU": OperatorRule(init=op_data(_ELU), prepare=_prepare_elu),
    "HARD_SWISH": OperatorRule(init=op_data(_HARD_SWISH), prepare=_prepare_hard_swish),
    "LOGISTIC": OperatorRule(init=op_data(_LOGISTIC), prepare=_prepare_logistic),
    "TANH": OperatorRule(init=op_data(_TANH), prepare=_prepare_tanh),
}
