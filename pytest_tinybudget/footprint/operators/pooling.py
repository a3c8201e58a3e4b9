"""AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D, after ``kernels/pooling*.cc``, ``l2_pool_2d.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import rank_within
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
    if input_.type in ("INT8", "INT16"):
        node.ensure(
            abs(scale(input_) - scale(output)) <= 1e-6 and zero_point(input_) == zero_point(output),
            "its input and output are quantized differently",
        )
    accepts(node, input_, "FLOAT32", "INT8", "INT16")


def _prepare_average(node: Preparation) -> None:
    _prepare(node)
    if node.kernels.library != "cmsis-nn":
        return
    input_ = node.temp_input(0)
    node.temp_output(0)
    rank_within(node, input_, 4, 4)
    if input_.type != "FLOAT32" and node.kernels.dsp and not node.kernels.mve:
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
