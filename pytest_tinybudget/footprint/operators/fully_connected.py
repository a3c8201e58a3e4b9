"""FULLY_CONNECTED, after ``kernels/fully_connected*.cc`` and ``cmsis_nn/fully_connected.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import activation_range
from pytest_tinybudget.footprint.operators.checks import adds_up_in_64_bits
from pytest_tinybudget.footprint.operators.checks import has_axis
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import unsupported_weights
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import KERNEL_SUMS
from pytest_tinybudget.footprint.operators.rule import PER_CHANNEL_ARRAYS
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import Tensor


_OP_DATA = "9i2pb"
#: How far the bias' scale may be off, in steps of the output.
_BIAS_SCALE_TOLERANCE = 0.02


def calculate_fully_connected(
    node: Preparation,
    input_: Tensor,
    filter_: Tensor,
    bias: Tensor | None,
    output_type: str,
    output_scale: float,
) -> bool:
    """CalculateOpDataFullyConnected for quantized types; whether the weights are per channel."""
    scales = filter_.quantization.scales if filter_.quantization.is_affine else ()
    if len(scales) > 1 and not node.tflm.has("dense layers per channel"):
        node.ensure(
            not node.tflm.has("dense layers per channel are refused"),
            "this version of TFLM takes no dense layers quantized per channel",
        )
        node.computes_wrongly(
            "dense layers per channel",
            "its weights are quantized per channel, and it computes with the first scale",
            instead="else convert a Keras model or SavedModel with per_channel_dense = false",
        )
        scales = scales[:1]
    if len(scales) > 1:
        node.ensure(
            input_.type == "INT8" or node.tflm.has("int16 dense layers per channel"),
            "INT16 activations with weights per channel are not supported",
        )
        node.ensure(
            input_.type in ("INT8", "INT16") and filter_.type != "INT4",
            f"{filter_.type} weights per channel with {input_.type} activations are not supported",
        )
        axis = has_axis(node, filter_)
        node.ensure(
            filter_.shape[axis] == len(scales),
            f"its weights '{filter_.name}' have {len(scales)} scales for shape"
            f" {list(filter_.shape)}",
        )
        node.persistent(4 * len(scales), PER_CHANNEL_ARRAYS)
        node.persistent(4 * len(scales), PER_CHANNEL_ARRAYS)
    else:
        product = scale(input_) * scale(filter_)
        if bias is not None:
            difference = abs(product - scale(bias))
            node.ensure(
                output_scale > 0 and difference / output_scale <= _BIAS_SCALE_TOLERANCE,
                f"the scale of its bias '{bias.name}' is not that of input times weights",
            )
        node.ensure(product >= 0, "its scales are negative")
    activation_range(node, output_type, output_scale)
    return len(scales) > 1


def _prepare(node: Preparation) -> None:
    input_, filter_ = node.temp_input(0), node.temp_input(1)
    bias, output = node.temp_optional_input(2), node.temp_output(0)
    same_type(node, input_, output)
    if node.kernels.library == "cmsis-nn":
        _prepare_cmsis_nn(node, input_, filter_, bias, output)
    else:
        _prepare_reference(node, input_, filter_, bias, output)


def _check_types(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    allowed = {"FLOAT32": ("FLOAT32",), "INT8": ("INT8", "INT4"), "INT16": ("INT8",)}
    node.ensure(
        filter_.type in allowed.get(input_.type, (filter_.type,)),
        unsupported_weights(input_, filter_),
    )


def _check_types_by_version(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    """In between two changes a hybrid layer runs, and reads its weights as floats."""
    if node.kernels.library == "cmsis-nn":
        checks = node.tflm.has("CMSIS-NN checks types early")
    else:
        checks = node.tflm.has("dense layers check their weights' type")
    if checks:
        _check_types(node, input_, filter_)
    elif not node.tflm.has("int16 dense layers"):
        node.ensure(input_.type == filter_.type, unsupported_weights(input_, filter_))
    elif input_.type == "FLOAT32" != filter_.type:
        cmsis_nn = node.kernels.library == "cmsis-nn"
        node.computes_wrongly(
            "CMSIS-NN checks types early" if cmsis_nn else "dense layers check their weights' type",
            f"it reads its {filter_.type} weights '{filter_.name}' as FLOAT32",
        )


def _prepare_reference(
    node: Preparation, input_: Tensor, filter_: Tensor, bias: Tensor | None, output: Tensor
) -> None:
    _check_types_by_version(node, input_, filter_)
    if filter_.type == "INT4":
        node.scratch(filter_.elements)
    if input_.type != "FLOAT32":
        calculate_fully_connected(node, input_, filter_, bias, output.type, scale(output))
    if input_.type == "INT16" and bias is None and node.tflm.has("int16 dense layers per channel"):
        adds_up_in_64_bits(node, filter_, "int16 FULLY_CONNECTED sums as its option says")
    if node.kernels.vectors == "esp32s3":
        _check_odd_rows(node, input_, filter_)
    runs_with(node, input_, "FLOAT32", "INT8", "INT16")


def _check_odd_rows(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    """Two releases of esp-nn compute rows of an odd number of 16 weights wrongly."""
    from pytest_tinybudget.footprint.operators.esp_nn import ODD_ROWS
    from pytest_tinybudget.footprint.operators.esp_nn import drops_the_end_of_rows
    from pytest_tinybudget.footprint.operators.esp_nn import has_odd_rows

    fast = (input_.type, filter_.type) == ("INT8", "INT8") and zero_point(filter_) == 0
    row = filter_.shape[-1] if filter_.shape else 0
    # Most rows are right in all releases: of these nothing depends on which one it is.
    if fast and has_odd_rows(row) and drops_the_end_of_rows(node.library_release()):
        node.computes_wrongly(
            ODD_ROWS,
            f"its rows of {row} weights are an odd number of 16, of which esp-nn computes the last"
            " with others",
            instead='name the release that the firmware has (esp_nn = "1.2.3" in [runtime.NAME])',
            library="esp-nn",
        )


def _prepare_cmsis_nn(
    node: Preparation, input_: Tensor, filter_: Tensor, bias: Tensor | None, output: Tensor
) -> None:
    if node.tflm.has("CMSIS-NN checks types early"):
        accepts(node, input_, "FLOAT32", "INT8", "INT16")
    else:
        runs_with(node, input_, "FLOAT32", "INT8", "INT16")
    _check_types_by_version(node, input_, filter_)
    if input_.type == "FLOAT32":
        return
    per_channel = calculate_fully_connected(node, input_, filter_, bias, output.type, scale(output))
    node.ensure(
        not per_channel or input_.type == "INT8",
        f"CMSIS-NN takes no INT16 activations with weights per channel, as '{filter_.name}' are"
        " (convert dense layers per tensor)",
    )
    if input_.type == "INT16":
        if node.tflm.has("CMSIS-NN int16 is symmetric"):
            zero_point_is(node, input_, 0)
            zero_point_is(node, output, 0)
    elif zero_point(filter_) and not node.tflm.has("CMSIS-NN dense layers of any zero point"):
        node.computes_wrongly(
            "CMSIS-NN dense layers fall back", "it takes the zero point of its weights for 0"
        )
        if not node.tflm.has("CMSIS-NN dense layers fall back"):
            _request_s8(node, filter_, bias, output, per_channel=per_channel)
    elif filter_.type == "INT8" or not node.tflm.has("CMSIS-NN int4 weights"):
        _request_s8(node, filter_, bias, output, per_channel=per_channel)
        if filter_.type == "INT4":
            node.scratch(filter_.elements)


def _request_s8(
    node: Preparation, filter_: Tensor, bias: Tensor | None, output: Tensor, *, per_channel: bool
) -> None:
    """It runs as a 1x1 convolution where it can; else MVE wants sums of the weights."""
    rank_within(node, filter_, 1, 6)
    rank_within(node, output, 1, 6)
    depth = filter_.shape[-1]
    outputs = output.shape[-1]
    if len(output.shape) > 2 and depth % 4 == 0:
        if not node.tflm.has("dense layers per channel"):
            if node.tflm.has("CMSIS-NN dense layers as convolutions"):
                node.spare_temporaries()
                node.persistent(4 * outputs)
                node.persistent(4 * outputs)
        elif not per_channel:
            node.scratch(8 * outputs)
    elif node.kernels.mve:
        kept = filter_.is_constant and (bias is None or bias.is_constant)
        if kept and node.tflm.has("CMSIS-NN dense layers keep kernel sums"):
            node.persistent(4 * outputs, KERNEL_SUMS)
        else:
            node.scratch(4 * outputs)


RULES: dict[str, OperatorRule] = {
    "FULLY_CONNECTED": OperatorRule(
        "2e2be",
        op_data(_OP_DATA, cmsis_nn=f"({_OP_DATA})2ip3i", compression=f"{_OP_DATA}2i"),
        _prepare,
    ),
}
