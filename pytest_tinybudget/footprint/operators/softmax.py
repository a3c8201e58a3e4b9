"""SOFTMAX and LOG_SOFTMAX, after ``kernels/softmax*.cc``, ``log_softmax.cc`` and CMSIS-NN's."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import runs_with
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
from pytest_tinybudget.runtimes.abi import ARM


_SOFTMAX_PARAMS = "q7i5p"
_LOG_SOFTMAX_OP_DATA = "5i2p"
#: Bytes of a lookup table over int16 (LUTSize<int16_t>() entries).
_INT16_TABLE_BYTES = 2 * 513
#: INT8 results are shifted by 32 bits or more where exponentials, of 1 at most, add up to this.
_LARGEST_SUM = 512


def _prepare_softmax(node: Preparation) -> None:
    takes(node, 1, 1)
    input_ = node.temp_input(0)
    node.ensure(len(input_.shape) >= 1, "its input is a scalar")
    output = node.temp_output(0)
    if input_.type == "INT16":
        node.persistent(_INT16_TABLE_BYTES)
        node.persistent(_INT16_TABLE_BYTES)
    node.ensure(
        (input_.type, output.type)
        in (("FLOAT32", "FLOAT32"), ("INT8", "INT8"), ("INT8", "INT16"), ("INT16", "INT16")),
        f"its input is {input_.type}, its output {output.type}",
    )
    if output.type != "FLOAT32":
        _check_output_quantization(node, input_, output)
    if input_.type == "INT8":
        # PreprocessSoftmaxScaling: 31 bits less kScaledDiffIntegerBits.
        beta = float(str(node.operator.options["beta"]))
        node.ensure(
            beta * scale(input_) * 2**26 > 1,
            f"its beta {beta:g} times the scale of '{input_.name}' is too small",
            ends=True,
        )
    if input_.type == output.type == "INT8":
        _note_shift(node, input_)
        if node.kernels.library == "esp-nn":
            _request_esp_nn(node, input_)


def _note_shift(node: Preparation, input_: Tensor) -> None:
    """Note what becomes of a shift by more bits than an int32 has.

    Arm's cores shift everything out, which leaves a result right within a step; others take the
    count modulo 32, and the result is the largest there is.
    """
    values, library = input_.shape[-1], node.kernels.library
    if values < _LARGEST_SUM or library == "cmsis-nn":
        return
    if library != "esp-nn" and node.tflm.has("SOFTMAX checks its shift"):
        outcome = "the program ends"
    elif node.abi == ARM:
        return
    else:
        outcome = "all results are 127, or 0.996,"
    node.risks(
        f"{outcome} where its {values:,} values are nearly equal (exponentials add up to "
        f"{_LARGEST_SUM} or more); leave it out, or give it INT16 results"
    )


def _request_esp_nn(node: Preparation, input_: Tensor) -> None:
    """An int32 for each value along axis 1, whichever axis that is."""
    if len(input_.shape) > 1:
        node.scratch(4 * input_.shape[1])
    else:
        node.scratch(4 * input_.elements)
        node.undefined(
            "esp-nn sizes its scratch buffer by the second axis of its input, which has one: give"
            " it a batch dimension"
        )


def _check_output_quantization(node: Preparation, input_: Tensor, output: Tensor) -> None:
    if input_.type == "INT16":
        if node.tflm.has("CMSIS-NN int16 is symmetric"):
            zero_point_is(node, input_, 0)
        wanted_scale, wanted_zero_point, tolerance = 1 / 32768, 0, 0.001 / 32768
    elif output.type == "INT16":
        wanted_scale, wanted_zero_point, tolerance = 1 / 65536, -32768, 0.001 / 65536
    else:
        wanted_scale, wanted_zero_point, tolerance = 1 / 256, -128, 0.0
    node.ensure(
        abs(scale(output) - wanted_scale) <= tolerance and zero_point(output) == wanted_zero_point,
        f"its {output.type} output needs scale {wanted_scale:g} and zero point {wanted_zero_point}",
    )


def _prepare_log_softmax(node: Preparation) -> None:
    takes(node, 1, 1)
    input_, output = node.temp_input(0), node.temp_output(0)
    same_type(node, input_, output)
    same_shape(node, input_, output)
    if input_.type == "INT8":
        node.persistent(node.abi.size_of(_LOG_SOFTMAX_OP_DATA))
        node.ensure(
            scale(output) == 16 / 256 and zero_point(output) == 127,
            "its INT8 output needs scale 0.0625 and zero point 127",
        )
    runs_with(node, input_, "FLOAT32", "INT8")


RULES: dict[str, OperatorRule] = {
    "SOFTMAX": OperatorRule(
        "i",
        op_data(_SOFTMAX_PARAMS, cmsis_nn=f"({_SOFTMAX_PARAMS})2i", esp_nn=f"({_SOFTMAX_PARAMS})i"),
        _prepare_softmax,
    ),
    "LOG_SOFTMAX": OperatorRule("", None, _prepare_log_softmax),
}
