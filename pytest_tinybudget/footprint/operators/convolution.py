"""CONV_2D, DEPTHWISE_CONV_2D and TRANSPOSE_CONV.

After ``kernels/conv_common.cc``, ``depthwise_conv_common.cc``, ``transpose_conv.cc``, their
``cmsis_nn`` counterparts and CMSIS-NN's ``arm_*_get_buffer_size`` functions (GCC builds).
"""

from __future__ import annotations

from math import prod

from msgspec.structs import replace

from pytest_tinybudget.footprint.operators.checks import activation_range
from pytest_tinybudget.footprint.operators.checks import adds_up_in_64_bits
from pytest_tinybudget.footprint.operators.checks import clamps
from pytest_tinybudget.footprint.operators.checks import has_axis
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import unsupported_weights
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.cmsis_nn import REVERSED_CHANNELS
from pytest_tinybudget.footprint.operators.cmsis_nn import runs_as_one_row
from pytest_tinybudget.footprint.operators.geometry import Geometry
from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import PER_CHANNEL_ARRAYS
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.versions import BY_HISTORY


_CONV_OP_DATA = "9i2p3i"
_TRANSPOSE_CONV_PARAMS = "b8h9i"

#: CH_IN_BLOCK_MVE: channels that the depthwise kernel for MVE works on at a time.
_MVE_CHANNEL_BLOCK = 124


def populate_convolution_quantization(
    node: Preparation, input_: Tensor, filter_: Tensor, output: Tensor, channels: int
) -> None:
    """The checks of PopulateConvolutionQuantizationParams."""
    for tensor in (input_, filter_):
        node.ensure(tensor.quantization.is_affine, f"its tensor '{tensor.name}' is not quantized")
    scales = filter_.quantization.scales
    if len(scales) > 1:
        node.ensure(
            input_.type in ("INT8", "INT16") and filter_.type in ("INT8", "INT4"),
            f"weights per channel need INT8 or INT16 activations, these are {input_.type}",
        )
        axis = has_axis(node, filter_)
        node.ensure(
            len(scales) == channels and filter_.shape[axis] == channels,
            f"its weights '{filter_.name}' have {len(scales)} scales for {channels} channels",
        )
    activation_range(node, output.type, scale(output))


def _check_scales(node: Preparation, filter_: Tensor, channels: int) -> None:
    node.ensure(filter_.quantization.is_affine, f"its weights '{filter_.name}' are not quantized")
    quantization = filter_.quantization
    node.ensure(
        len(quantization.scales) == len(quantization.zero_points)
        or node.tflm.has("one zero point for all channels"),
        f"its weights '{filter_.name}' have {len(quantization.zero_points)} zero points for"
        f" {len(quantization.scales)} scales, which this version of TFLM refuses",
    )
    node.ensure(
        len(filter_.quantization.scales) in (1, channels),
        f"its weights '{filter_.name}' have {len(filter_.quantization.scales)} scales"
        f" for {channels} channels",
    )


def _check_rank(node: Preparation, *tensors: Tensor) -> None:
    """The device reads four extents of each tensor, whatever its rank; the output is the last."""
    *sources, output = tensors
    for tensor in sources:
        rank_within(node, tensor, 4, 4)
    node.ensure(
        len(output.shape) >= 4, f"'{output.name}' has {len(output.shape)} dimensions, expected 4"
    )


def _calculate_op_data(
    node: Preparation, data_type: str, channel_axis: int, bias_position: int = 2
) -> None:
    """CalculateOpDataConv and its kin fetch every tensor once more."""
    node.ensure(
        bias_position <= len(node.operator.inputs) <= bias_position + 1,
        f"it has {len(node.operator.inputs)} inputs",
    )
    node.ensure(
        len(node.operator.outputs) == 1, f"it has {len(node.operator.outputs)} outputs, expected 1"
    )
    input_ = node.temp_input(bias_position - 2)
    filter_ = node.temp_input(bias_position - 1)
    node.temp_optional_input(bias_position)
    output = node.temp_output(0)
    if data_type != "FLOAT32":
        populate_convolution_quantization(
            node, input_, filter_, output, filter_.shape[channel_axis]
        )


_WEIGHTS = (("FLOAT32", "FLOAT32"), ("INT16", "INT8"), ("INT8", "INT4"), ("INT8", "INT8"))


def _check_types(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    node.ensure((input_.type, filter_.type) in _WEIGHTS, unsupported_weights(input_, filter_))


def _check_types_at_run_time(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    """In older versions of TFLM the model loads, and Eval returns an error."""
    missing = ("INT4", "INT16") if not node.tflm.has("int16 convolutions") else ()
    if (input_.type, filter_.type) not in _WEIGHTS or input_.type in missing:
        node.fails_at_invoke(unsupported_weights(input_, filter_))


def _geometry(
    node: Preparation, input_: Tensor, filter_: Tensor, output: Tensor, filter_channels: int
) -> Geometry:
    padding = str(node.operator.options["padding"])
    stride_h, stride_w = option(node, "stride_h"), option(node, "stride_w")
    dilation_h, dilation_w = option(node, "dilation_h_factor"), option(node, "dilation_w_factor")
    node.ensure(
        min(stride_h, stride_w, dilation_h, dilation_w) > 0,
        f"its strides {stride_h} x {stride_w} and dilations {dilation_h} x {dilation_w}"
        " must be positive",
    )
    batches, height, width, channels = input_.shape
    _, filter_h, filter_w, _ = filter_.shape
    return Geometry(
        batches, height, width, channels,
        filter_h, filter_w, filter_channels,
        output.shape[1], output.shape[2], output.shape[3],
        stride_h, stride_w, dilation_h, dilation_w,
        Window(height, filter_h, stride_h, dilation_h).padding(padding),
        Window(width, filter_w, stride_w, dilation_w).padding(padding),
    )  # fmt: skip


def _per_channel_arrays(node: Preparation, channels: int) -> None:
    node.persistent(4 * channels, PER_CHANNEL_ARRAYS)
    node.persistent(4 * channels, PER_CHANNEL_ARRAYS)


def _prepare_conv(node: Preparation) -> None:
    if node.kernels.library == "cmsis-nn":
        _prepare_conv_cmsis_nn(node)
    else:
        _prepare_conv_reference(node)
    input_ = node.input(0)
    bias = node.optional_input(2)
    if input_.type == "INT16" and bias is not None and bias.type not in ("INT32", "INT64"):
        node.fails_at_invoke(f"a bias of type {bias.type} is not supported with INT16")


def _prepare_conv_reference(node: Preparation) -> None:
    output, input_, filter_ = node.temp_output(0), node.temp_input(0), node.temp_input(1)
    if node.tflm.has("convolutions check types early"):
        same_type(node, input_, output)
        _check_types(node, input_, filter_)
    else:
        _check_types_at_run_time(node, input_, filter_)
    _check_rank(node, input_, filter_, output)
    channels = filter_.shape[0]
    _per_channel_arrays(node, channels)
    if input_.type == "INT8" or (input_.type == "INT16" and node.tflm.has("int16 convolutions")):
        _check_scales(node, filter_, channels)
    _calculate_op_data(node, input_.type, channel_axis=0)
    _check_conv_bias(node, input_)
    if input_.type == "INT16" and not node.has_input(2):
        adds_up_in_64_bits(node, filter_, "int16 CONV_2D sums as its option says")
    if filter_.type == "INT4":
        node.scratch(filter_.elements)
    if node.kernels.library == "esp-nn":
        _check_groups(node, input_, filter_)
        if input_.type == "INT8" and node.kernels.vectors:
            from pytest_tinybudget.footprint.operators.esp_nn import conv_scratch

            geometry = _geometry(node, input_, filter_, output, filter_.shape[3])
            size = conv_scratch(node.kernels.vectors, node.library_release(), geometry)
            if size > 0:
                node.scratch(size)
            if filter_.type == "INT8":
                _check_padding_at_the_end(node, geometry)


def _check_padding_at_the_end(node: Preparation, geometry: Geometry) -> None:
    """On a vector unit older kernels of esp-nn read what lies behind the input as padding."""
    from pytest_tinybudget.footprint.operators.esp_nn import PADS_AT_THE_END
    from pytest_tinybudget.footprint.operators.esp_nn import computes_padding_wrongly
    from pytest_tinybudget.footprint.operators.esp_nn import pads_at_the_end_alone
    from pytest_tinybudget.footprint.operators.esp_nn import pads_more_at_the_end

    unit = node.kernels.vectors
    if geometry.dilation_height != 1 or geometry.dilation_width != 1:
        return  # esp-nn leaves these to TFLM's own kernel
    if pads_at_the_end_alone(geometry) and computes_padding_wrongly(unit, node.library_release()):
        node.computes_wrongly(
            PADS_AT_THE_END[unit],
            "it is padded on the right and at the bottom alone, which esp-nn ignores there",
            instead='name the release that the firmware has (esp_nn = "1.2.3" in [runtime.NAME])',
            library="esp-nn",
        )
    if unit == "esp32s3" and pads_more_at_the_end(geometry):
        _refuse_uneven_padding(node, geometry)


def _refuse_uneven_padding(node: Preparation, geometry: Geometry) -> None:
    from pytest_tinybudget.footprint.operators.esp_nn import PADS_AT_THE_END
    from pytest_tinybudget.footprint.operators.esp_nn import computes_padding_wrongly
    from pytest_tinybudget.footprint.operators.esp_nn import gathers_window

    fault = (
        "it has more padding on the right or at the bottom than on the left and at the top, which"
        " esp-nn leaves out there"
    )
    if not gathers_window(geometry):
        node.undefined(
            f"{fault}, in all its releases ({BY_HISTORY}): pad its input by a PAD of its own"
        )
    elif computes_padding_wrongly("esp32s3", node.library_release()):
        node.computes_wrongly(
            PADS_AT_THE_END["esp32s3"],
            fault,
            instead='name the release that the firmware has (esp_nn = "1.2.3" in [runtime.NAME])',
            library="esp-nn",
        )


def _check_absent_bias(node: Preparation, change: str) -> None:
    """Before ``change`` the kernel releases a bias that is not there, and AllocateTensors fails."""
    released = node.tflm.has("tensors must be released") and not node.tflm.has(change)
    node.ensure(
        node.has_input(2) or not released,
        "it has no bias, which this version of TFLM trips over",
    )


def _check_depthwise_bias(node: Preparation) -> None:
    """It counts inputs: a bias given as absent (-1) is released as if it were there."""
    _check_absent_bias(node, "depthwise convolutions without a bias")
    counted = len(node.operator.inputs) > 2 and node.tflm.has("tensors must be released")
    node.ensure(
        node.has_input(2) or not counted,
        "its bias is given as absent (-1), which TFLM trips over: leave the input out",
        ends=True,
    )


def _check_conv_bias(node: Preparation, input_: Tensor) -> None:
    _check_absent_bias(node, "convolutions without a bias")
    bias = node.optional_input(2)
    if input_.type == "INT16" and bias is not None and bias.type == "INT32":
        node.computes_wrongly(
            "int16 convolutions with an int32 bias", "it reads its INT32 bias as INT64"
        )


def _prepare_conv_cmsis_nn(node: Preparation) -> None:
    input_, filter_, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    # The kernel looks for the bias among the outputs, so it never learns the bias' type.
    if len(node.operator.outputs) > 2 and node.tflm.has("convolutions check types early"):
        node.temp_output(2)
    if node.tflm.has("convolutions check types early"):
        same_type(node, input_, output)
        _check_types(node, input_, filter_)
    else:
        _check_types_at_run_time(node, input_, filter_)
    _check_rank(node, input_, filter_, output)
    node.ensure(input_.shape[0] == output.shape[0], "its input and output differ in batches")
    if node.tflm.has("CMSIS-NN convolves in groups"):
        _check_groups(node, input_, filter_)
    elif input_.type != "FLOAT32" and filter_.shape[3] != input_.shape[3]:
        node.computes_wrongly(
            "CMSIS-NN convolves in groups", "its channels are in groups, which CMSIS-NN ignores"
        )
    _check_int16_arrays(node, input_, "CMSIS-NN int16 convolutions")
    quantized = ("INT8", "INT16") if node.tflm.has("CMSIS-NN int16 convolutions") else ("INT8",)
    if input_.type in quantized:
        _per_channel_arrays(node, filter_.shape[0])
    _calculate_op_data(node, input_.type, channel_axis=0)
    _check_conv_bias(node, input_)
    if input_.type not in quantized:
        return
    if filter_.type == "INT4" and not node.tflm.has("CMSIS-NN int4 weights"):
        node.scratch(filter_.elements)
    geometry = _geometry(node, input_, filter_, output, filter_.shape[3])
    if input_.type == "INT8":
        size = _conv_s8_buffer(node, geometry)
    else:
        if node.tflm.has("CMSIS-NN int16 is symmetric"):
            zero_point_is(node, input_, 0)
            zero_point_is(node, output, 0)
        size = _conv_s16_buffer(node, geometry)
    if size > 0:
        node.scratch(size)


def _check_int16_arrays(node: Preparation, input_: Tensor, change: str) -> None:
    """Before ``change`` the kernel allocates its arrays for INT8 alone, and fills them for INT16.

    Older versions still, without INT16 convolutions, return an error when they run.
    """
    if input_.type == "INT16" and node.tflm.has("int16 convolutions"):
        node.computes_wrongly(
            change,
            "it writes the multipliers of its INT16 channels to where an unset pointer points",
            instead="else use INT8, or the reference kernels",
        )


def _conv_s16_buffer(node: Preparation, geometry: Geometry) -> int:
    """arm_convolve_wrapper_s16_get_buffer_size."""
    if node.kernels.version.has("int16 convolutions always need a buffer"):
        return 8 * align_up(geometry.columns, 8) if node.kernels.mve else 4 * geometry.columns
    undilated = geometry.dilation_width == geometry.dilation_height == 1
    fast = node.kernels.dsp and not node.kernels.mve and undilated and geometry.columns < 512
    return 4 * geometry.columns if fast else 0


def _check_groups(node: Preparation, input_: Tensor, filter_: Tensor) -> None:
    node.ensure(
        filter_.shape[3] > 0 and input_.shape[3] % filter_.shape[3] == 0,
        f"its {input_.shape[3]} input channels are no multiple of the filter's {filter_.shape[3]}",
    )


def _conv_s8_buffer(node: Preparation, geometry: Geometry) -> int:
    """arm_convolve_wrapper_s8_get_buffer_size."""
    version = node.kernels.version
    same_channels = geometry.input_channels == geometry.filter_channels
    unit_stride = geometry.stride_width == geometry.stride_height == 1
    if (
        (unit_stride or version.has("1x1 convolutions of any stride"))
        and geometry.padding_width == geometry.padding_height == 0
        and geometry.filter_width == geometry.filter_height == 1
        and geometry.dilation_width == geometry.dilation_height == 1
        and same_channels
    ):
        return 0
    if node.kernels.mve and runs_as_one_row(node, geometry):
        in_buffer = version.has("1xN convolutions pad in a buffer")
        return _conv_1_x_n_mve_buffer(geometry) if in_buffer else 0
    return _im2col_buffer(node, geometry.columns)


def _im2col_buffer(node: Preparation, columns: int) -> int:
    """arm_convolve_s8_get_buffer_size."""
    version = node.kernels.version
    if node.kernels.mve:
        return 4 * align_up(columns, 16 if version.has("MVE columns in blocks of 16") else 8)
    return 4 * (align_up(columns, 4) if version.has("columns aligned to 4") else columns)


def _conv_1_x_n_mve_buffer(geometry: Geometry) -> int:
    """arm_convolve_1_x_n_s8_get_buffer_size_mve (C's division truncates toward zero)."""
    pad, stride, channels = geometry.padding_width, geometry.stride_width, geometry.input_channels
    total = (geometry.output_width - 1) * stride + geometry.filter_width - geometry.input_width
    odd = total % 2 if total >= 0 else -(-total % 2)
    right = max(1, int((pad + odd + stride - 1) / stride)) if pad + odd != 0 else 0
    left = max(1, (pad + stride - 1) // stride) if pad != 0 else 0
    middle = max(geometry.output_width - (right + left), 0)
    if right + middle + left != geometry.output_width:
        return 4 * align_up(geometry.columns, 16)
    left_elements = geometry.filter_width * channels
    right_padding = right * channels if odd else pad * channels
    return max(left_elements + pad * channels, left_elements - channels + right_padding)


def _prepare_depthwise(node: Preparation) -> None:
    if node.kernels.library == "cmsis-nn":
        _prepare_depthwise_cmsis_nn(node)
    else:
        _prepare_depthwise_reference(node)


def _prepare_depthwise_reference(node: Preparation) -> None:
    output, input_, filter_ = node.temp_output(0), node.temp_input(0), node.temp_input(1)
    _check_rank(node, input_, filter_, output)
    channels = filter_.shape[3]
    _per_channel_arrays(node, channels)
    if input_.type == "INT8":
        _check_scales(node, filter_, channels)
    int16 = node.tflm.has("int16 depthwise convolutions")
    if input_.type != filter_.type and node.tflm.has("depthwise convolutions check types"):
        _check_types(node, input_, filter_)
        node.ensure(
            input_.type != "INT16" or int16,
            "this version of TFLM takes no INT16 activations in a depthwise convolution",
        )
    if filter_.type == "INT4":
        node.scratch(filter_.elements)
    _calculate_op_data(node, input_.type, channel_axis=3)
    _check_depthwise_bias(node)
    if node.kernels.vectors and input_.type == "INT8":
        from pytest_tinybudget.footprint.operators.esp_nn import depthwise_scratch

        geometry = _geometry(node, input_, filter_, output, channels)
        multiplier = option(node, "depth_multiplier")
        release = node.library_release()
        size = depthwise_scratch(node.kernels.vectors, release, geometry, multiplier)
        if size > 0:
            node.scratch(size)
    if (input_.type, filter_.type) not in (*_WEIGHTS,) or (input_.type == "INT16" and not int16):
        node.fails_at_invoke(
            f"{input_.type} activations with {filter_.type} weights are not supported"
        )


def _prepare_depthwise_cmsis_nn(node: Preparation) -> None:
    input_, filter_, output = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    if node.tflm.has("CMSIS-NN checks types early"):
        same_type(node, input_, output)
        _check_types(node, input_, filter_)
    else:
        _check_types_at_run_time(node, input_, filter_)
    _check_rank(node, input_, filter_, output)
    channels = filter_.shape[3]
    _check_int16_arrays(node, input_, "CMSIS-NN int16 depthwise convolutions")
    int16 = ("INT16",) if node.tflm.has("CMSIS-NN int16 depthwise convolutions") else ()
    if input_.type in ("INT8", *int16):
        if input_.type == "INT16" and node.tflm.has("CMSIS-NN int16 is symmetric"):
            zero_point_is(node, input_, 0)
            zero_point_is(node, output, 0)
        _check_scales(node, filter_, channels)
        _per_channel_arrays(node, channels)
    _calculate_op_data(node, input_.type, channel_axis=3)
    _check_depthwise_bias(node)
    if input_.type == "INT8":
        _check_older_depthwise(node, input_, output)
        geometry = _geometry(node, input_, filter_, output, channels)
        older = filter_.type == "INT4" and not node.tflm.has("CMSIS-NN int4 weights")
        if older:
            node.scratch(filter_.elements)
        if filter_.type == "INT8" or older:
            size = _depthwise_s8_buffer(node, geometry)
        else:
            size = _depthwise_opt_buffer(node, geometry, plain_uses_dsp=True)
        if size > 0:
            node.scratch(size)


def _check_older_depthwise(node: Preparation, input_: Tensor, output: Tensor) -> None:
    activation = str(node.operator.options.get("fused_activation_function", "NONE"))
    if clamps(activation, output):
        node.computes_wrongly(
            "CMSIS-NN depthwise convolutions are activated",
            f"its fused {activation} is left out, and its output has values beyond",
            instead="else make the activation an operator of its own",
        )
    if input_.shape[0] > 1:
        node.computes_wrongly(
            "depthwise convolutions of several batches",
            "CMSIS-NN computes the first of several batches alone",
            library="cmsis-nn",
        )


def _depthwise_s8_buffer(node: Preparation, geometry: Geometry) -> int:
    """arm_depthwise_conv_wrapper_s8_get_buffer_size."""
    version = node.kernels.version
    as_conv = version.has("depthwise of one channel as convolution")
    if (
        as_conv
        and node.kernels.mve
        and geometry.input_channels == 1
        and geometry.output_channels > 1
    ):
        return _depthwise_as_conv_buffer(node, geometry)
    if (
        version.has("depthwise 3x3 without a buffer")
        and not node.kernels.mve
        and geometry.filter_width == geometry.filter_height == 3
        and geometry.padding_height <= 1
        and geometry.padding_width <= 1
    ):
        return 0
    return _depthwise_opt_buffer(node, geometry, plain_uses_dsp=False)


def _depthwise_opt_buffer(node: Preparation, geometry: Geometry, *, plain_uses_dsp: bool) -> int:
    """arm_depthwise_conv_s8_opt_get_buffer_size and its int4 kin."""
    if not (
        geometry.input_channels == geometry.output_channels
        and geometry.batches == 1
        and geometry.dilation_width == geometry.dilation_height == 1
    ):
        return 0
    taps = geometry.filter_width * geometry.filter_height
    if node.kernels.mve:
        return 4 * _MVE_CHANNEL_BLOCK * taps
    if node.kernels.dsp or plain_uses_dsp:
        return 2 * geometry.input_channels * taps
    return 0


def _depthwise_as_conv_buffer(node: Preparation, geometry: Geometry) -> int:
    """A depthwise convolution of one channel runs as an ordinary one on MVE.

    TFLM leaves the strides unset when it asks for the size, which matters for one-row inputs
    alone; there the larger of both answers counts.
    """
    weights = geometry.output_channels * geometry.filter_height * geometry.filter_width
    as_conv = replace(geometry, filter_channels=1)
    size = _conv_s8_buffer(node, as_conv)
    if (
        size
        and geometry.input_height == 1
        and geometry.filter_height == 1
        and geometry.dilation_width == 1
    ):
        size = max(size, _im2col_buffer(node, geometry.columns))
        node.undefined(
            "CMSIS-NN sizes its scratch buffer by a stride that TFLM has not set, for an input of"
            " one channel and one row: use CONV_2D"
        )
    return size + weights


def _transposes_with_cmsis_nn(node: Preparation) -> bool:
    return node.kernels.library == "cmsis-nn" and node.tflm.has("CMSIS-NN transposed convolutions")


def _prepare_transpose_conv(node: Preparation) -> None:
    cmsis_nn = _transposes_with_cmsis_nn(node)
    output, input_, filter_ = node.temp_output(0), node.temp_input(2), node.temp_input(1)
    if cmsis_nn:
        same_type(node, input_, output)
        node.ensure(filter_.type != "INT4", "INT4 weights are not supported")
        _check_types(node, input_, filter_)
    elif (input_.type, filter_.type) != ("INT16", "INT8") and input_.type != filter_.type:
        if node.tflm.has("depthwise convolutions check types"):
            node.refuse(unsupported_weights(input_, filter_))
        node.fails_at_invoke(unsupported_weights(input_, filter_))
    _check_rank(node, input_, filter_, output)
    channels = filter_.shape[0]
    _per_channel_arrays(node, channels)
    elements = prod(output.shape)
    if input_.type == "INT8":
        if cmsis_nn:
            _request_transpose_conv_s8(node, input_, filter_, output)
        else:
            node.scratch(4 * elements)
    int16 = ("INT16",) if node.tflm.has("int16 convolutions") else ()
    if input_.type in int16:
        node.scratch(8 * elements)
    if input_.type in ("INT8", *int16):
        _check_scales(node, filter_, channels)
    _calculate_transpose_op_data(node, input_.type)
    activation = str(node.operator.options.get("fused_activation_function", "NONE"))
    of_floats = input_.type == "FLOAT32"
    if not cmsis_nn and (activation != "NONE" if of_floats else clamps(activation, output)):
        node.computes_wrongly(
            "transposed convolutions have an activation"
            if of_floats
            else "transposed convolutions are activated",
            f"its fused {activation} is left out",
            instead="else make the activation an operator of its own",
        )
    if input_.type not in ("FLOAT32", "INT8", *int16):
        node.fails_at_invoke(f"activations of type {input_.type} are not supported")
    elif input_.type != output.type:
        node.fails_at_invoke(f"its input is {input_.type}, its output {output.type}")


def _calculate_transpose_op_data(node: Preparation, data_type: str) -> None:
    node.computes_wrongly(
        "transposed convolutions read their own options",
        "it reads the options of CONV_2D, beyond its own, and pads by the size of its input",
    )
    node.ensure(len(node.operator.inputs) in (3, 4), f"it has {len(node.operator.inputs)} inputs")
    if data_type == "FLOAT32":
        return
    input_, filter_ = node.temp_input(2), node.temp_input(1)
    bias, output = node.temp_optional_input(3), node.temp_output(0)
    populate_convolution_quantization(node, input_, filter_, output, filter_.shape[0])
    if data_type != "INT16":
        return
    if _transposes_with_cmsis_nn(node) or (
        not node.tflm.has("transposed convolutions without a bias")
        and node.tflm.has("transposed convolutions widen their bias")
    ):
        # Its Prepare asks the bias for its type without a look whether there is one.
        node.ensure(bias is not None, "the int16 kernel needs a bias", ends=True)
    wide = node.tflm.has("transposed convolutions widen their bias")
    if bias is not None and bias.type == "INT16" and wide:
        node.scratch(8 * bias.elements)


def _request_transpose_conv_s8(
    node: Preparation, input_: Tensor, filter_: Tensor, output: Tensor
) -> None:
    """arm_transpose_conv_s8_get_buffer_size and its reverse_conv kin; both always requested."""
    stride_h, stride_w = option(node, "stride_h"), option(node, "stride_w")
    _, _, width, channels = input_.shape
    output_channels, filter_h, filter_w, _ = filter_.shape
    columns = filter_w * filter_h * channels
    if not node.tflm.has("CMSIS-NN transposed convolutions in rows"):
        node.scratch(4 * filter_w * filter_h * input_.shape[1] * width * output_channels)
        node.scratch(4 * prod(output.shape[1:]))
        return
    if stride_w <= 2 and stride_h <= 2 and channels > REVERSED_CHANNELS:
        node.scratch(_im2col_buffer(node, columns))
        node.scratch(columns * output_channels)
    else:
        row = ((width - 1) * stride_w + max(filter_w, stride_h)) * output_channels
        node.scratch(row * max(filter_h, stride_h) * 4)
        node.scratch(0)


_OPTIMIZED_CONV_OP_DATA = f"({_CONV_OP_DATA})i"
_init_conv = op_data(
    _CONV_OP_DATA,
    cmsis_nn=_OPTIMIZED_CONV_OP_DATA,
    esp_nn=_OPTIMIZED_CONV_OP_DATA,
    compression=f"{_CONV_OP_DATA}2i",
)

RULES: dict[str, OperatorRule] = {
    "CONV_2D": OperatorRule("e2ie2ie", _init_conv, _prepare_conv),
    "DEPTHWISE_CONV_2D": OperatorRule("e3ie2i", _init_conv, _prepare_depthwise),
    "TRANSPOSE_CONV": OperatorRule(
        "e2i2e",
        op_data(
            f"({_TRANSPOSE_CONV_PARAMS})2i2p",
            cmsis_nn=f"({_TRANSPOSE_CONV_PARAMS})3i2p",
            compression=f"({_TRANSPOSE_CONV_PARAMS})4i2p",
        ),
        _prepare_transpose_conv,
    ),
}
