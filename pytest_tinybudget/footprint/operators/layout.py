"""CONCATENATION, RESHAPE, PAD, PADV2 and STRIDED_SLICE, after the kernels of these names."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import int32s
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.model import Tensor


_MOST_CONCATENATED = 10
#: RuntimeShape::kMaxSmallSize.
_MOST_DIMENSIONS = 6
#: PadKernelMaxDimensionCount() and the kMaxDim of strided_slice_common.cc.
_MOST_PADDED_DIMENSIONS = 5
_MOST_SLICED_DIMENSIONS = 4


def _prepare_concatenation(node: Preparation) -> None:
    first, output = node.temp_input(0), node.temp_output(0)
    activation = node.operator.options["fused_activation_function"]
    node.ensure(activation == "NONE", f"a fused {activation} is not supported")
    accepts(node, first, "FLOAT32", "INT8", "INT16", "INT32", "INT64", "BOOL")
    same_type(node, first, output)
    count = len(node.operator.inputs)
    node.ensure(count <= _MOST_CONCATENATED, f"it has {count} inputs, at most 10 are supported")
    if not node.tflm.has("concatenation keeps no arrays"):
        _prepare_older_concatenation(node, first, count)
        return
    for position in range(count):
        _check_concatenated(node, node.temp_input(position), output)
    if output.type == "INT16":
        zero_point_is(node, output, 0)


def _prepare_older_concatenation(node: Preparation, first: Tensor, count: int) -> None:
    most = _MOST_DIMENSIONS if node.tflm.has("concatenation of 5 dimensions") else 4
    for position in range(count):
        rank_within(node, node.temp_input(position), 0, most)
    node.temp_output(0)
    if first.type == "INT8":
        node.persistent(4 * count)
        node.persistent(4 * count)
        for position in range(count):
            node.temp_input(position)


def _check_concatenated(node: Preparation, tensor: Tensor, output: Tensor) -> None:
    same_type(node, tensor, output)
    rank_within(node, tensor, 0, _MOST_DIMENSIONS)
    if output.type == "INT8":
        node.ensure(
            scale(tensor) == scale(output) and zero_point(tensor) == zero_point(output),
            f"its input '{tensor.name}' and its output are quantized differently",
        )
    elif output.type == "INT16":
        zero_point_is(node, tensor, 0)


def _prepare_reshape(node: Preparation) -> None:
    node.ensure(
        len(node.operator.inputs) in (1, 2) and len(node.operator.outputs) == 1,
        f"it has {len(node.operator.inputs)} inputs",
    )
    input_, output = node.temp_input(0), node.temp_output(0)
    shape = list(output.shape)
    if len(node.operator.inputs) == 1 and shape == [0]:
        shape = []
    open_dimensions = [axis for axis, extent in enumerate(shape) if extent == -1]
    node.ensure(len(open_dimensions) <= 1, "its output has more than one open dimension")
    known = 1
    for extent in shape:
        known *= 1 if extent == -1 else extent
    for axis in open_dimensions:
        if node.tflm.has("reshape copies open shapes"):
            node.copy_output_shape(0)
        node.ensure(known != 0, "its output has an empty dimension beside an open one")
        shape[axis] = input_.elements // known
        known *= shape[axis]
        node.set_output_shape(0, tuple(shape))
    same_type(node, input_, output)
    node.ensure(
        input_.elements == known, f"{input_.elements} elements do not make the shape {shape}"
    )


def _prepare_pad(node: Preparation) -> None:
    count = len(node.operator.inputs)
    node.ensure(count in (2, 3) and len(node.operator.outputs) == 1, f"it has {count} inputs")
    input_, paddings = node.temp_input(0), node.temp_input(1)
    value = node.temp_optional_input(2) if count == 3 else None
    output = node.temp_output(0)
    same_type(node, input_, output)
    rank_within(node, input_, 0, _MOST_PADDED_DIMENSIONS)
    if value is not None:
        node.ensure(
            value.type == input_.type and value.elements == 1,
            f"its padding value '{value.name}' is no single {input_.type}",
        )
    _check_padded_shape(node, input_, paddings, output)
    if input_.type == "INT8" and value is None:
        node.ensure(
            -128 <= zero_point(output) <= 127,
            f"'{output.name}' has the zero point {zero_point(output)}, expected -128 to 127",
        )
    if input_.type == "INT8" and value is not None:
        node.ensure(
            scale(output) == scale(value) and zero_point(output) == zero_point(value),
            "its padding value and its output are quantized differently",
        )
    runs_with(node, input_, "FLOAT32", "INT8", "INT16", "INT32")
    optimized = node.kernels.library == "cmsis-nn" and node.tflm.has("CMSIS-NN paddings")
    if optimized and input_.type == "INT8" and len(input_.shape) != 4:
        node.computes_wrongly(
            "CMSIS-NN paddings of all ranks", "CMSIS-NN takes it as if it had 4 dimensions"
        )


def _check_padded_shape(
    node: Preparation, input_: Tensor, paddings: Tensor, output: Tensor
) -> None:
    node.ensure(
        paddings.elements == 2 * len(output.shape) == 2 * len(input_.shape),
        "its input, paddings and output differ in rank",
    )
    constant(node, paddings)
    # The kernel reads the paddings as int32, whatever type they have.
    count = paddings.elements
    node.ensure(len(paddings.data) >= 4 * count, f"its paddings '{paddings.name}' are incomplete")
    widths = int32s(paddings, count)
    expected = tuple(
        extent + widths[2 * axis] + widths[2 * axis + 1] for axis, extent in enumerate(input_.shape)
    )
    node.ensure(
        output.shape == expected,
        f"padding {list(input_.shape)} gives {list(expected)}, its output is {list(output.shape)}",
    )


def _prepare_strided_slice(node: Preparation) -> None:
    takes(node, 4, 1)
    input_, begin, end, strides = (node.temp_input(position) for position in range(4))
    output = node.temp_output(0)
    rank = len(input_.shape)
    rank_within(node, input_, 0, _MOST_SLICED_DIMENSIONS)
    for tensor in (begin, end, strides):
        constant(node, tensor)
        node.ensure(
            len(tensor.data) >= 4 * rank,
            f"its input '{tensor.name}' does not hold an INT32 for each of {rank} dimensions",
        )
    expected = _sliced_shape(node, input_, begin, end, strides)
    node.ensure(
        output.shape == expected,
        f"slicing {list(input_.shape)} gives {list(expected)}, its output is {list(output.shape)}",
    )
    runs_with(node, input_, "FLOAT32", "INT8", "INT16", "INT32", "BOOL")


def _sliced_shape(
    node: Preparation, input_: Tensor, begin: Tensor, end: Tensor, strides: Tensor
) -> tuple[int, ...]:
    """What CheckOutputSize expects. TFLM ignores the ellipsis and new-axis masks."""
    begin_mask, end_mask = option(node, "begin_mask"), option(node, "end_mask")
    shrink_mask = option(node, "shrink_axis_mask")
    shape = []
    rank = len(input_.shape)
    for axis, (size, start, stop, stride) in enumerate(
        zip(input_.shape, *(int32s(each, rank) for each in (begin, end, strides)), strict=True)
    ):
        node.ensure(stride != 0, "a stride is 0")
        if shrink_mask & 1 << axis:
            continue
        low, high = (0, size) if stride > 0 else (-1, size - 1)
        if begin_mask & 1 << axis:
            first = low if stride > 0 else high
        else:
            first = min(max(start + size if start < 0 else start, low), high)
        if end_mask & 1 << axis:
            last = high if stride > 0 else low
        else:
            last = min(max(stop + size if stop < 0 else stop, low), high)
        shape.append(max(-(-(last - first) // stride), 0))
    return tuple(shape)


RULES: dict[str, OperatorRule] = {
    "CONCATENATION": OperatorRule(
        "ie", op_data("i2p3i", compression=f"(i2p3i){_MOST_CONCATENATED}i"), _prepare_concatenation
    ),
    "RESHAPE": OperatorRule("8ii", None, _prepare_reshape),
    "PAD": OperatorRule("", op_data("(b5ib5ib)i"), _prepare_pad),
    "PADV2": OperatorRule("", op_data("(b5ib5ib)i"), _prepare_pad),
    "STRIDED_SLICE": OperatorRule("5ib", op_data("b5ib5ib5i5hb"), _prepare_strided_slice),
}
