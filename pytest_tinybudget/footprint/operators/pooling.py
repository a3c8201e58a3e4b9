"""AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D, after ``kernels/pooling*.cc``, ``l2_pool_2d.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point


_PARAMETERS = "e4ie4i"
_OP_DATA = "8i"


def _prepare(node: Preparation) -> None:
    input_, output = node.temp_input(0), node.temp_output(0)
    checked = node.tflm.has("pooling checks quantization")
    if input_.type in ("INT8", "INT16") and checked:
        node.ensure(
            abs(scale(input_) - scale(output)) <= 1e-6 and zero_point(input_) == zero_point(output),
            "its input and output are quantized differently",
        )
    if node.tflm.has("int16 pooling"):
        accepts(node, input_, "FLOAT32", "INT8", "INT16")
    else:
        runs_with(node, input_, "FLOAT32", "INT8")
    if node.kernels.library == "cmsis-nn" and input_.type != "FLOAT32" and input_.shape[:1] > (1,):
        node.computes_wrongly(
            "CMSIS-NN pools all batches", "CMSIS-NN pools the first of several batches alone"
        )


def _prepare_average(node: Preparation) -> None:
    _prepare(node)
    if node.kernels.library != "cmsis-nn":
        return
    input_ = node.temp_input(0)
    node.temp_output(0)
    rank_within(node, input_, 4, 4)
    buffered = ("INT8", "INT16") if node.tflm.has("int16 pooling") else ("INT8",)
    if input_.type in buffered and node.kernels.dsp and not node.kernels.mve:
        node.scratch(4 * input_.shape[-1])


def _prepare_l2(node: Preparation) -> None:
    takes(node, 1, 1)
    output, input_ = node.temp_output(0), node.temp_input(0)
    rank_within(node, input_, 4, 4)
    rank_within(node, output, 4, 4)
    same_type(node, input_, output)
    accepts(node, input_, "FLOAT32")
    padding = str(node.operator.options["padding"])
    batches, height, width, channels = input_.shape
    rows = Window(height, option(node, "filter_height"), option(node, "stride_h"))
    columns = Window(width, option(node, "filter_width"), option(node, "stride_w"))
    node.copy_output_shape(0)
    node.set_output_shape(0, (batches, rows.output(padding), columns.output(padding), channels))


RULES: dict[str, OperatorRule] = {
    "AVERAGE_POOL_2D": OperatorRule(
        _PARAMETERS, op_data(_OP_DATA, cmsis_nn=f"({_OP_DATA})i"), _prepare_average
    ),
    "MAX_POOL_2D": OperatorRule(
        _PARAMETERS, op_data(_OP_DATA, cmsis_nn=f"({_OP_DATA})i"), _prepare
    ),
    "L2_POOL_2D": OperatorRule(_PARAMETERS, None, _prepare_l2),
}
