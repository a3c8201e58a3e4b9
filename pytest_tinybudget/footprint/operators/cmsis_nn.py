"""What CMSIS-NN's kernels leave out, and TFLM does not check: refused beside ``trust.py``.

They return an error that TFLM drops (release builds compile ``TFLITE_DCHECK_EQ`` out), or work on
other numbers than the model has. All of it holds in every version that has the kernel, up to TFLM
90b983c2 with CMSIS-NN 4ab83cc3. It was seen in a build of CMSIS-NN in plain C.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping

from pytest_tinybudget.footprint.operators.checks import clamps
from pytest_tinybudget.footprint.operators.geometry import Geometry
from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import int32s
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.graph.model import Tensor


#: REVERSE_TCOL_EFFICIENT_THRESHOLD: input channels above which TRANSPOSE_CONV may be turned round.
REVERSED_CHANNELS = 16
#: Dimensions that CMSIS-NN's functions are told of.
_DIMENSIONS = 4
_REFERENCE = "use the reference kernel of this operator"


def check_cmsis_nn(node: Trusted) -> None:
    """Refuse what CMSIS-NN's kernel of the current operator computes wrongly."""
    if node.kernels.library == "cmsis-nn" and node.operator.name in _CHECKS:
        _CHECKS[node.operator.name](node)


def runs_as_one_row(node: Preparation, geometry: Geometry) -> bool:
    """arm_nn_is_convolve_1_x_n."""
    steps = (
        geometry.stride_width * geometry.input_channels
        if node.kernels.version.has("1xN by stride and channels")
        else geometry.output_width
    )
    return (
        geometry.input_height == geometry.filter_height == geometry.dilation_width == 1
        and steps % 4 == 0
        and geometry.input_channels == geometry.filter_channels
    )


def _one_row(node: Trusted) -> None:
    """arm_convolve_1_x_n_s8 for MVE takes it that windows reach up to the end of their row.

    arm_convolve_1_x_n_s4 returns an error as well where a window is padded on both sides.
    """
    source, weights, result = node.input(0), node.input(1), node.output(0)
    batches, height, width, channels = source.shape
    _, filter_h, filter_w, depth = weights.shape
    _, rows, columns, filters = result.shape[:4]
    stride_h, stride_w = option(node, "stride_h"), option(node, "stride_w")
    geometry = Geometry(
        batches, height, width, channels, filter_h, filter_w, depth, rows, columns, filters,
        stride_h, stride_w, option(node, "dilation_h_factor"), option(node, "dilation_w_factor"),
        0, 0,
    )  # fmt: skip
    if filter_w == 1 or not runs_as_one_row(node, geometry):
        return
    node.trust(
        (columns - 1) * stride_w + filter_w >= width,
        f"its windows, {filter_w} wide and {stride_w} apart, leave out the end of its row of"
        f" {width}, with which CMSIS-NN for MVE computes nothing, or a wrong last column:"
        f" cut the end off before, or {_REFERENCE}",
        beyond=True,
    )
    padding = (columns - 1) * stride_w + filter_w - width
    left, right = padding // 2, padding - padding // 2
    padded = -(-left // stride_w) + -(-right // stride_w)
    node.trust(
        weights.type != "INT4" or padded <= columns,
        f"a window of its INT4 weights is padded on both sides of its row of {width}, with which"
        f" CMSIS-NN for MVE computes nothing; {_REFERENCE}",
        beyond=True,
    )


def _conv(node: Trusted) -> None:
    if node.input(0).type != "FLOAT32":
        _groups(node)
    if (
        node.kernels.mve
        and node.input(0).type == "INT8"
        and node.kernels.version.has("1xN convolutions pad in a buffer")
    ):
        _one_row(node)


def _groups(node: Trusted) -> None:
    """arm_convolve_s16 and arm_convolve_s4 take the input's channels for the filter's.

    arm_convolve_s8 steps from group to group along a bias that is not there.
    """
    source, weights = node.input(0), node.input(1)
    if weights.shape[3] == source.shape[3]:
        return
    groups = f"its {source.shape[3]} channels are in groups of {weights.shape[3]}"
    packed = weights.type == "INT4" and node.tflm.has("CMSIS-NN int4 weights")
    kind = "INT16 activations" if source.type == "INT16" else "INT4 weights"
    node.trust(
        source.type == "INT8" and not packed,
        f"{groups}, which CMSIS-NN ignores for {kind}: it reads beyond its weights; {_REFERENCE}",
        beyond=True,
    )
    node.trust(
        node.has_input(2),
        f"{groups}, and it has no bias, which CMSIS-NN then reads at the first addresses of all:"
        " give it a bias, of zeros",
        beyond=True,
    )


def _depthwise(node: Trusted) -> None:
    """depthwise_conv_s4_generic loses its place among the halves of bytes."""
    source, weights = node.input(0), node.input(1)
    if weights.type != "INT4" or not node.tflm.has("CMSIS-NN int4 weights"):
        return
    _, height, width, filters = weights.shape
    channels = source.shape[3]
    dilations = option(node, "dilation_h_factor"), option(node, "dilation_w_factor")
    generic = filters != channels or source.shape[0] > 1 or dilations != (1, 1)
    node.trust(
        not generic or channels % 2 == 0 or height * width == 1,
        f"its INT4 weights are for {channels} channels, an odd number, which CMSIS-NN computes"
        f" wrongly with a depth multiplier, a dilation or several batches; {_REFERENCE}",
    )
    node.trust(
        generic or channels == 1 or not node.kernels.mve,
        "GCC 12.2 compiles CMSIS-NN's kernel for INT4 weights and MVE wrongly from -O1 on (GCC 13.2"
        f" does not): make them INT8, or {_REFERENCE}",
    )


def _extremum(node: Trusted) -> None:
    """arm_maximum_s8 and arm_minimum_s8 step twice along a column that meets an image."""
    first, second = node.input(0), node.input(1)
    if first.type != "INT8" or not node.tflm.has("CMSIS-NN maxima"):
        return
    shapes = [(1,) * (_DIMENSIONS - len(each.shape)) + each.shape for each in (first, second)]
    for column, image in (shapes, shapes[::-1]):
        node.trust(
            not (column[-3] > 1 and column[-2:] == (1, 1) and image[-2] > 1),
            f"'{first.name}' {list(first.shape)} and '{second.name}' {list(second.shape)} broadcast"
            f" a column along the rows of an image, which CMSIS-NN computes wrongly; {_REFERENCE}",
        )


def _dense(node: Trusted) -> None:
    source, weights, bias = node.input(0), node.input(1), node.optional_input(2)
    if source.type == "INT16":
        node.trust(
            bias is None or bias.type == "INT64",
            f"its bias '{bias.name if bias else ''}' is {bias.type if bias else ''}, which"
            " CMSIS-NN reads as INT64",
            beyond=True,
        )
    if source.type == "FLOAT32" or not zero_point(weights):
        return
    # What INT8 weights were before, the rule of FULLY_CONNECTED tells by version.
    as_convolution = len(node.output(0).shape) > 2 and weights.shape[-1] % 4 == 0
    node.trust(
        source.type == "INT8" and weights.type == "INT8" and not as_convolution,
        f"its weights '{weights.name}' have the zero point {zero_point(weights)}, which CMSIS-NN"
        " takes for 0 here",
    )


def _transpose(node: Trusted) -> None:
    """arm_transpose_s8; TransposeEval drops the error of TransposeEvalInt8."""
    source, order = node.input(0), node.input(1)
    if source.type != "INT8" or not node.tflm.has("CMSIS-NN paddings"):
        return
    rank = len(source.shape)
    node.trust(
        1 <= rank <= _DIMENSIONS,
        f"'{source.name}' has {rank} dimensions, of which CMSIS-NN transposes 1 to {_DIMENSIONS};"
        f" {_REFERENCE}",
        beyond=True,
    )
    axes = integers(order)
    swapped = _swapped(source, axes, mve=node.kernels.mve)
    if swapped is None:
        return
    rows, columns = swapped
    node.trust(
        axes[-1] != rank - 1 or 1 in swapped,
        "its axes stay where they are, and CMSIS-NN swaps the last two",
    )
    steps = (min(rows, _LANES) - 1) * columns if node.kernels.mve else 0
    node.trust(
        max(rows, columns, steps) <= _LARGEST_EXTENT,
        f"'{source.name}' is {list(source.shape)}, and CMSIS-NN counts {rows} x {columns} values in"
        f" 16 bits; {_REFERENCE}",
        beyond=True,
    )


#: What a uint16_t holds, and how many of them an MVE register has.
_LARGEST_EXTENT = 2**16 - 1
_LANES = 8


def _swapped(source: Tensor, axes: tuple[int, ...], *, mve: bool) -> tuple[int, int] | None:
    """The last two extents where arm_transpose_s8_nhcw swaps these, whatever the axes are."""
    rank = len(source.shape)
    if rank == 2 or (mve and rank == _DIMENSIONS and axes[:2] == (0, 1)):
        return source.shape[-2], source.shape[-1]
    return None


def _pad(node: Trusted) -> None:
    """arm_pad_s8 is told of the last four dimensions."""
    source, paddings = node.input(0), node.input(1)
    if source.type != "INT8" or not node.tflm.has("CMSIS-NN paddings of all ranks"):
        return  # before, the rule of PAD tells
    left_out = len(source.shape) - _DIMENSIONS
    amounts = int32s(paddings, paddings.elements)
    node.trust(
        left_out <= 0 or (set(source.shape[:left_out]) == {1} and not any(amounts[: 2 * left_out])),
        f"'{source.name}' has {len(source.shape)} dimensions, of which CMSIS-NN pads the last"
        f" {_DIMENSIONS}; {_REFERENCE}",
        beyond=True,
    )


def _transpose_conv(node: Trusted) -> None:
    """arm_transpose_conv_s8, which works in a buffer of rows; INT16 runs TFLM's own kernel."""
    source, weights, result = node.input(2), node.input(1), node.output(0)
    if not node.tflm.has("CMSIS-NN transposed convolutions"):
        return
    activation = str(node.operator.options.get("fused_activation_function", "NONE"))
    if source.type != "FLOAT32":
        node.trust(
            not clamps(activation, result),
            f"its fused {activation} is left out, and its output has values beyond: make the"
            " activation an operator of its own",
        )
    strides = option(node, "stride_h"), option(node, "stride_w")
    turned_round = max(strides) <= 2 and source.shape[3] > REVERSED_CHANNELS
    rows = node.tflm.has("CMSIS-NN transposed convolutions in rows")
    if source.type == "INT8" and rows and not turned_round:
        _transpose_conv_in_rows(node, source, weights, result, strides)


def _transpose_conv_in_rows(
    node: Trusted, source: Tensor, weights: Tensor, result: Tensor, strides: tuple[int, int]
) -> None:
    (stride_h, stride_w), (filter_h, filter_w) = strides, weights.shape[1:3]
    node.trust(
        max(filter_w, stride_w) <= max(filter_w, stride_h),
        f"CMSIS-NN sizes its scratch buffer by the vertical stride {stride_h} and writes by the"
        f" horizontal one, {stride_w}: give it equal strides, or a filter {stride_w} wide;"
        f" or {_REFERENCE}",
        beyond=True,
    )
    padding = Window(result.shape[1], filter_h, stride_h).padding(
        str(node.operator.options["padding"])
    )
    node.trust(
        padding % stride_h == 0,
        f"its padding of {padding} rows is no multiple of its stride {stride_h}, which CMSIS-NN"
        " computes wrongly (its commit 4a8f5b5d of 2026-07-14 mends it, which no TFLM has yet):"
        f" {_REFERENCE}, or give it a filter {_fitting(filter_h, stride_h)} high",
        beyond=True,
    )
    written = [
        (size - 1) * stride + max(reach, stride)
        for size, stride, reach in zip(
            source.shape[1:3], strides, (filter_h, filter_w), strict=True
        )
    ]
    node.trust(
        all(have <= most for have, most in zip(result.shape[1:3], written, strict=True)),
        f"its output is {list(result.shape)}, and CMSIS-NN computes {written[0]} rows of"
        f" {written[1]}: leave out its output padding; or {_REFERENCE}",
        beyond=True,
    )


def _fitting(filter_h: int, stride_h: int) -> int:
    """The next smaller height whose padding is a multiple of the stride."""
    return next(
        height
        for height in range(filter_h, 0, -1)
        if max(height - stride_h, 0) // 2 % stride_h == 0
    )


_CHECKS: Mapping[str, Callable[[Trusted], None]] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "MAXIMUM": _extremum,
    "MINIMUM": _extremum,
    "FULLY_CONNECTED": _dense,
    "TRANSPOSE": _transpose,
    "PAD": _pad,
    "PADV2": _pad,
    "TRANSPOSE_CONV": _transpose_conv,
}
