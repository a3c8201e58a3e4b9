"""What moves, cuts or repeats values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

from pytest_tinybudget.footprint.operators.rule import int32s
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import quantized_alike
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.footprint.trust import common
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import Tensor


def _padded(node: Trusted) -> None:
    """PAD and PADV2, whose shape Prepare has checked."""
    common.as_meant(node, node.input(0))
    paddings = node.input(1)
    amounts = int32s(paddings, paddings.elements)
    if integers(paddings) != amounts:
        common.typed(node, paddings, "INT32")
    node.trust(min(amounts, default=0) >= 0, f"its paddings {list(amounts)} are negative")


def _mirrored(node: Trusted) -> None:
    common.has(node, 2)
    source, padding, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    common.written(node, result, source.type)
    common.typed(node, padding, "INT32", "INT64")
    if not padding.is_constant:
        return
    amounts = integers(padding)
    room = 0 if node.operator.options["mode"] == "SYMMETRIC" else 1
    node.trust(
        all(
            0 <= amount <= extent - room
            for amount, extent in zip(
                amounts, (extent for extent in source.shape for _ in range(2)), strict=False
            )
        ),
        f"its paddings {list(amounts)} do not fit '{source.name}' {list(source.shape)}",
    )
    common.gives(
        node,
        result,
        [
            extent + amounts[2 * axis] + amounts[2 * axis + 1]
            for axis, extent in enumerate(source.shape)
        ],
    )


def _strided(node: Trusted) -> None:
    source, begin, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    common.written(node, result, source.type)
    for position in range(1, 4):
        common.typed(node, node.input(position), "INT32")
    node.trust(not node.operator.options["new_axis_mask"], "TFLM ignores its new_axis_mask")
    whole = _whole_axes(node)
    for axis in range(len(source.shape)):
        node.trust(
            axis in whole or not option(node, "ellipsis_mask") & 1 << axis,
            "TFLM ignores its ellipsis_mask",
        )
    node.trust(
        not node.operator.options["offset"] or not any(integers(begin)),
        "TFLM ignores that its ends are offsets from its begins",
    )


def _whole_axes(node: Trusted) -> set[int]:
    """Axes that a STRIDED_SLICE takes all of, as an ellipsis does."""
    extents = node.input(0).shape
    bounds = [int32s(node.input(position), len(extents)) for position in (1, 2, 3)]
    return {
        axis
        for axis, (extent, start, stop, step) in enumerate(zip(extents, *bounds, strict=True))
        if (step == 1 or extent == 1)
        and (start <= -extent or start == 0 or option(node, "begin_mask") & 1 << axis)
        and (stop >= extent or option(node, "end_mask") & 1 << axis)
    }


def _sliced(node: Trusted) -> None:
    common.has(node, 3)
    source, begin, size, result = (*map(node.input, range(3)), node.output(0))
    common.as_meant(node, source)
    common.written(node, result, source.type)
    common.typed(node, size, begin.type)
    rank = len(source.shape)
    for tensor in (begin, size):
        node.trust(
            tensor.elements == rank, f"'{tensor.name}' has {tensor.elements} values for {rank} axes"
        )
    if not (begin.is_constant and size.is_constant):
        return
    starts = integers(begin)
    shape = [
        extent - start if length == -1 else length
        for extent, start, length in zip(source.shape, starts, integers(size), strict=True)
    ]
    node.trust(
        all(
            start >= 0 and 0 <= length <= extent - start
            for start, length, extent in zip(starts, shape, source.shape, strict=True)
        ),
        f"it slices {list(shape)} from {list(starts)} of '{source.name}' {list(source.shape)}",
    )
    common.gives(node, result, shape)


def _transposed(node: Trusted) -> None:
    source, order, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    axes = integers(order)
    node.trust(
        sorted(axes) == list(range(len(source.shape))), f"its axes {list(axes)} are no permutation"
    )
    common.gives(node, result, [source.shape[axis] for axis in axes])


def _like_first(node: Trusted) -> None:
    """The result has the shape and type of the first input."""
    source, result = node.input(0), node.output(0)
    common.as_meant(node, source)
    common.written(node, result, source.type)
    common.gives(node, result, source.shape)


def _updated(node: Trusted) -> None:
    common.as_meant(node, node.input(0), node.input(1))
    _like_first(node)


def _shape_of(node: Trusted) -> None:
    source, result = node.input(0), node.output(0)
    common.as_meant(node, source)
    common.gives(node, result, (len(source.shape),))


def _broadcast_args(node: Trusted) -> None:
    sources = common.inputs(node)
    common.as_meant(node, *sources)
    common.gives(node, node.output(0), (max(tensor.elements for tensor in sources),))


def _plain(node: Trusted) -> None:
    """Prepare has checked the result against its inputs as they are in the file."""
    common.as_meant(node, *common.inputs(node))


#: What an LSTM's kernel reads by the type of its input: weights, biases and the state of the cell.
_LSTM_TYPES = {
    "FLOAT32": ("FLOAT32", "FLOAT32", "FLOAT32"),
    "INT8": ("INT8", "INT32", "INT16"),
    "INT16": ("INT8", "INT64", "INT16"),
}

_LSTM_POSITIONS = (range(1, 9), range(12, 16), (19,))


def _lstm(node: Trusted) -> None:
    """An LSTM, whose kernel looks at the type of its input alone where that is FLOAT32.

    So it reads the INT8 weights of a hybrid model as floats (``unidirectional_sequence_lstm.cc``).
    """
    from pytest_tinybudget.graph.lstms import HIDDEN_STATE

    _plain(node)
    types = _LSTM_TYPES.get(node.input(0).type, ())
    for positions, type_ in zip(_LSTM_POSITIONS, types, strict=False):
        for position in positions:
            tensor = node.optional_input(position)
            if tensor is not None:
                common.read_as(node, tensor, type_)
    activation = node.operator.options["fused_activation_function"]
    # Of integers TensorFlow Lite takes TANH as well, whatever the file says.
    node.trust(
        activation == "TANH" or node.input(0).type != "FLOAT32",
        f"its activation is {activation}, its kernel takes TANH",
    )
    state, result = node.input(HIDDEN_STATE), node.output(0)
    node.trust(
        result.type == "FLOAT32" or quantized_alike(state, result),
        f"'{result.name}' has the scale {scale(result):g} and zero point {zero_point(result)}, its"
        f" hidden state, which its kernel copies there, {scale(state):g} and {zero_point(state)}:"
        " declare the Keras file, of which a conversion here gives both one scale",
    )


def _indexed(node: Trusted, source_at: int, indices_at: int) -> None:
    """GATHER and EMBEDDING_LOOKUP: no kernel looks whether an index lies inside."""
    source, indices, result = node.input(source_at), node.input(indices_at), node.output(0)
    common.as_meant(node, source, indices)
    if node.operator.name == "GATHER":
        common.written(node, result, source.type)
        extent = source.shape[common.axis_of(node, option(node, "axis"), len(source.shape))]
    else:
        extent = source.shape[0]
    if indices.is_constant:
        wrong = [index for index in integers(indices) if not 0 <= index < extent]
        node.trust(not wrong, f"it takes entry {wrong[:1]} of {extent} of '{source.name}'")


def _indexed_nd(node: Trusted) -> None:
    source, indices, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source, indices)
    common.written(node, result, source.type)


def _resized(node: Trusted) -> None:
    source, size, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    common.written(node, result, source.type)
    node.trust(size.elements == 2, f"'{size.name}' has {size.elements} values, expected 2")
    common.gives(node, result, (source.shape[0], *integers(size), source.shape[3]))


def _batched(node: Trusted) -> None:
    """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: shapes by constant blocks and paddings."""
    source, block, around, result = (*map(node.input, range(3)), node.output(0))
    common.as_meant(node, source)
    spatial = len(source.shape) - 2
    node.trust(
        block.elements == spatial and around.elements == 2 * spatial,
        f"'{block.name}' and '{around.name}' are not for {spatial} axes",
    )
    for tensor in (block, around):
        common.typed(node, tensor, "INT32")
    if not (block.is_constant and around.is_constant):
        return
    blocks, amounts = integers(block), integers(around)
    node.trust(
        min(blocks, default=0) > 0 and min(amounts, default=0) >= 0,
        f"its blocks are {list(blocks)}, its margins {list(amounts)}",
    )
    batch, channels, sides = source.shape[0], source.shape[-1], source.shape[1:-1]
    margins = [amounts[2 * axis] + amounts[2 * axis + 1] for axis in range(spatial)]
    if node.operator.name == "SPACE_TO_BATCH_ND":
        whole = [side + margin for side, margin in zip(sides, margins, strict=True)]
        node.trust(
            all(side % by == 0 for side, by in zip(whole, blocks, strict=True)),
            f"blocks of {list(blocks)} do not divide {whole}",
        )
        parts = [side // by for side, by in zip(whole, blocks, strict=True)]
        common.gives(node, result, (batch * prod(blocks), *parts, channels))
        _bordered(node, result, amounts)
        return
    node.trust(
        batch % prod(blocks) == 0, f"{batch} batches are no multiple of blocks of {list(blocks)}"
    )
    parts = [side * by - margin for side, by, margin in zip(sides, blocks, margins, strict=True)]
    common.gives(node, result, (batch // prod(blocks), *parts, channels))


def _bordered(node: Trusted, result: Tensor, amounts: Sequence[int]) -> None:
    """The borders of SPACE_TO_BATCH_ND, whose kernel never sets ``output_offset``.

    That number, which fills them, lies in memory that nothing clears (``space_to_batch_nd.cc``): 0
    where the arena starts as zeros, as a static array does. That is right for zero point 0 alone.
    """
    zero_points = result.quantization.zero_points
    node.trust(
        not any(amounts) or not any(zero_points),
        f"its zero point is {next(filter(None, zero_points), 0)}, and TFLM pads with what lies in"
        " memory, mostly 0: convert the model with batch 1, not an open one (as is done for a Keras"
        " model or SavedModel as source), so that its dilated convolutions stay whole",
    )


CHECKS = by_operator(
    (_like_first, "CUMSUM REVERSE_V2"),
    (_padded, "PAD PADV2"),
    (_mirrored, "MIRROR_PAD"),
    (_strided, "STRIDED_SLICE"),
    (_sliced, "SLICE"),
    (_transposed, "TRANSPOSE"),
    (_updated, "DYNAMIC_UPDATE_SLICE"),
    (_shape_of, "SHAPE"),
    (_broadcast_args, "BROADCAST_ARGS"),
    (_plain, "BROADCAST_TO FILL BATCH_MATMUL L2_POOL_2D SPACE_TO_DEPTH DEPTH_TO_SPACE SVDF"),
    (_plain, "CIRCULAR_BUFFER"),
    (_lstm, "UNIDIRECTIONAL_SEQUENCE_LSTM"),
    (partial(_indexed, source_at=0, indices_at=1), "GATHER"),
    (partial(_indexed, source_at=1, indices_at=0), "EMBEDDING_LOOKUP"),
    (_indexed_nd, "GATHER_ND"),
    (_resized, "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR"),
    (_batched, "SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND"),
)
