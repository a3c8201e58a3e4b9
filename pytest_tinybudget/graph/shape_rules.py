"""The shape of each builtin operator's result, as TF Lite's kernel of the same name computes it.

``RULES`` has the shapes of the outputs; ``VALUES`` the integers that come out of operators that
compute with shapes, as converters write them around a batch that was open.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from math import prod

from pytest_tinybudget.graph.known_shapes import Call
from pytest_tinybudget.graph.known_shapes import Shape
from pytest_tinybudget.graph.known_shapes import UnknownShapeError


Rule = Callable[[Call], Iterable[Shape]]


def _same(call: Call) -> Iterable[Shape]:
    yield call.shape()


def _broadcast(call: Call) -> Iterable[Shape]:
    yield broadcast(call.shapes())


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that ``shapes`` have together, aligned at their last axes.

    Raises:
        UnknownShapeError: two extents differ and neither is 1.
    """
    rank = max(map(len, shapes))
    result = []
    for extents in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True):
        others = {extent for extent in extents if extent != 1} or {1}
        if len(others) > 1:
            raise UnknownShapeError(f"its inputs do not broadcast: {list(map(list, shapes))}")
        result.append(others.pop())
    return tuple(result)


def _window(call: Call, size: int, window: int, stride: int, dilation: int = 1) -> int:
    """Positions of a window along an axis."""
    reach = (window - 1) * dilation + 1
    if call.option("padding") == "SAME":
        return -(-size // stride)
    return (size - reach + stride) // stride


def _slid(call: Call, window: tuple[int, int], *, dilates: bool = True) -> tuple[int, int]:
    """Height and width of the result of a sliding window."""
    _, height, width, _ = call.shape()
    by_height = call.number("dilation_h_factor") if dilates else 1
    by_width = call.number("dilation_w_factor") if dilates else 1
    return (
        _window(call, height, window[0], call.number("stride_h"), by_height),
        _window(call, width, window[1], call.number("stride_w"), by_width),
    )


def _convolution(call: Call) -> Iterable[Shape]:
    filters, height, width, channels = call.shape(1)
    if call.shape()[3] % channels:
        raise ValueError("channels")
    yield (call.shape()[0], *_slid(call, (height, width)), filters)


def _depthwise(call: Call) -> Iterable[Shape]:
    _, height, width, channels = call.shape(1)
    if channels % call.shape()[3]:
        raise ValueError("channels")
    yield (call.shape()[0], *_slid(call, (height, width)), channels)


def _pool(call: Call) -> Iterable[Shape]:
    window = call.number("filter_height"), call.number("filter_width")
    batch, *_, channels = call.shape()
    yield (batch, *_slid(call, window, dilates=False), channels)


def _transpose_conv(call: Call) -> Iterable[Shape]:
    yield call.values(0)


def _fully_connected(call: Call) -> Iterable[Shape]:
    units, depth = call.shape(1)
    shape = call.shape()
    if prod(shape) % depth:
        raise ValueError("depth")
    if call.option("keep_num_dims"):
        if shape[-1] != depth:
            raise ValueError("depth")
        yield (*shape[:-1], units)
    else:
        yield (prod(shape) // depth, units)


def _batch_matmul(call: Call) -> Iterable[Shape]:
    left, right = call.shape(0), call.shape(1)
    rows, inner = left[-2:] if not call.option("adj_x") else left[:-3:-1]
    other, columns = right[-2:] if not call.option("adj_y") else right[:-3:-1]
    if inner != other:
        raise ValueError("inner")
    yield (*broadcast([left[:-2] or (1,), right[:-2] or (1,)]), rows, columns)[
        -max(len(left), len(right)) :
    ]


def _reshape(call: Call) -> Iterable[Shape]:
    wanted = call.values(1) if call.has(1) else call.option("new_shape")
    if not isinstance(wanted, tuple):
        raise TypeError("new_shape")
    shape = [int(extent) for extent in wanted]
    elements = prod(call.shape())
    if -1 in shape:
        shape[shape.index(-1)] = elements // -prod(shape)
    if prod(shape) != elements:
        raise UnknownShapeError(f"{elements} elements do not make the shape {shape}")
    yield tuple(shape)


def _concatenation(call: Call) -> Iterable[Shape]:
    shapes = call.shapes()
    axis = range(len(shapes[0]))[call.number("axis")]
    for shape in shapes:
        if (*shape[:axis], *shape[axis + 1 :]) != (*shapes[0][:axis], *shapes[0][axis + 1 :]):
            raise ValueError("axis")
    yield (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])


def _pack(call: Call) -> Iterable[Shape]:
    shapes = call.shapes()
    if len(set(shapes)) > 1:
        raise ValueError("shapes")
    axis = range(len(shapes[0]) + 1)[call.number("axis")]
    yield (*shapes[0][:axis], len(shapes), *shapes[0][axis:])


def _unpack(call: Call) -> Iterable[Shape]:
    shape = call.shape()
    axis = range(len(shape))[call.number("axis")]
    if shape[axis] != call.outputs:
        raise ValueError("num")
    return [(*shape[:axis], *shape[axis + 1 :])] * call.outputs


def _split(call: Call) -> Iterable[Shape]:
    shape = call.shape(1)
    axis = range(len(shape))[call.values(0)[0]]
    if shape[axis] % call.outputs:
        raise ValueError("num_splits")
    part = (*shape[:axis], shape[axis] // call.outputs, *shape[axis + 1 :])
    return [part] * call.outputs


def _split_v(call: Call) -> Iterable[Shape]:
    shape, sizes = call.shape(), list(call.values(1))
    axis = range(len(shape))[call.values(2)[0]]
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[axis] - sum(sizes) - 1
    if sum(sizes) != shape[axis]:
        raise ValueError("size_splits")
    for size in sizes:
        yield (*shape[:axis], size, *shape[axis + 1 :])


def _slice(call: Call) -> Iterable[Shape]:
    shape, begins, sizes = call.shape(), call.values(1), call.values(2)
    result = tuple(
        extent - begin if size == -1 else size
        for extent, begin, size in zip(shape, begins, sizes, strict=True)
    )
    if any(
        begin < 0 or begin + size > extent
        for extent, begin, size in zip(shape, begins, result, strict=True)
    ):
        raise ValueError("size")
    yield result


def _strided(call: Call) -> list[tuple[range, bool]]:
    """For each axis, the positions that are taken, and whether the axis is dropped."""
    shape = call.shape()
    if call.option("ellipsis_mask") or call.option("new_axis_mask") or call.option("offset"):
        raise UnknownShapeError("its ellipsis, new axes or offset are not known here")
    begins, ends, strides = (call.values(position) for position in (1, 2, 3))
    taken = []
    for axis, extent in enumerate(shape):
        if axis >= len(begins):
            taken.append((range(extent), False))
            continue
        bit = 1 << axis
        begin = None if call.number("begin_mask") & bit else begins[axis]
        end = None if call.number("end_mask") & bit else ends[axis]
        shrinks = bool(call.number("shrink_axis_mask") & bit)
        if shrinks:
            at = range(extent)[begins[axis] if begin is not None else 0]
            taken.append((range(at, at + 1), True))
        else:
            taken.append((range(extent)[begin : end : strides[axis]], False))
    return taken


def _strided_slice(call: Call) -> Iterable[Shape]:
    yield tuple(len(positions) for positions, goes in _strided(call) if not goes)


def _pad(call: Call) -> Iterable[Shape]:
    widths, shape = call.values(1), call.shape()
    if len(widths) != 2 * len(shape):
        raise ValueError("paddings")
    yield tuple(
        extent + widths[2 * axis] + widths[2 * axis + 1] for axis, extent in enumerate(shape)
    )


def _transpose(call: Call) -> Iterable[Shape]:
    shape, order = call.shape(), call.values(1)
    if sorted(axis % len(shape) for axis in order) != list(range(len(shape))):
        raise ValueError("perm")
    yield tuple(shape[axis] for axis in order)


def _squeeze(call: Call) -> Iterable[Shape]:
    shape, dims = call.shape(), call.option("squeeze_dims")
    if not isinstance(dims, tuple):
        raise TypeError("squeeze_dims")
    axes = {range(len(shape))[int(axis)] for axis in dims}
    axes = axes or {axis for axis, extent in enumerate(shape) if extent == 1}
    if any(shape[axis] != 1 for axis in axes):
        raise ValueError("squeeze_dims")
    yield tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


def _expand_dims(call: Call) -> Iterable[Shape]:
    shape = call.shape()
    axis = range(len(shape) + 1)[call.values(1)[0]]
    yield (*shape[:axis], 1, *shape[axis:])


def _gather(call: Call) -> Iterable[Shape]:
    shape, indices = call.shape(), call.shape(1)
    axis = range(len(shape))[call.number("axis")]
    batch = call.number("batch_dims")
    yield (*shape[:axis], *indices[batch % (len(indices) + 1) :], *shape[axis + 1 :])


def _gather_nd(call: Call) -> Iterable[Shape]:
    shape, indices = call.shape(), call.shape(1)
    if indices[-1] > len(shape):
        raise ValueError("indices")
    yield (*indices[:-1], *shape[indices[-1] :])


def _embedding_lookup(call: Call) -> Iterable[Shape]:
    yield (*call.shape(0), *call.shape(1)[1:])


def _shape(call: Call) -> Iterable[Shape]:
    yield (len(call.shape()),)


def _scalar(call: Call) -> Iterable[Shape]:
    yield ()


def _from_values(call: Call, position: int) -> Iterable[Shape]:
    yield call.values(position)


def _broadcast_args(call: Call) -> Iterable[Shape]:
    yield (max(prod(shape) for shape in call.shapes()),)


def _tile(call: Call) -> Iterable[Shape]:
    yield tuple(extent * times for extent, times in zip(call.shape(), call.values(1), strict=True))


def _reduced(call: Call) -> Iterable[Shape]:
    shape = call.shape()
    axes = {range(len(shape))[axis] for axis in call.values(1)}
    if call.option("keep_dims"):
        yield tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    else:
        yield tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


def _arg(call: Call) -> Iterable[Shape]:
    shape = call.shape()
    axis = range(len(shape))[call.values(1)[0]]
    yield (*shape[:axis], *shape[axis + 1 :])


def _resized(call: Call) -> Iterable[Shape]:
    batch, _, _, channels = call.shape()
    height, width = call.values(1)
    yield (batch, height, width, channels)


def _space_to_batch(call: Call) -> Iterable[Shape]:
    shape, blocks, paddings = call.shape(), call.values(1), call.values(2)
    result = list(shape)
    for axis, block in enumerate(blocks):
        padded = shape[axis + 1] + paddings[2 * axis] + paddings[2 * axis + 1]
        if padded % block:
            raise ValueError("block")
        result[axis + 1] = padded // block
    result[0] *= prod(blocks)
    yield tuple(result)


def _batch_to_space(call: Call) -> Iterable[Shape]:
    shape, blocks, crops = call.shape(), call.values(1), call.values(2)
    result = list(shape)
    if shape[0] % prod(blocks):
        raise UnknownShapeError(f"a batch of {shape[0]} does not make blocks of {list(blocks)}")
    for axis, block in enumerate(blocks):
        result[axis + 1] = shape[axis + 1] * block - crops[2 * axis] - crops[2 * axis + 1]
    result[0] //= prod(blocks)
    yield tuple(result)


def _space_to_depth(call: Call) -> Iterable[Shape]:
    batch, height, width, channels = call.shape()
    block = call.number("block_size")
    if height % block or width % block:
        raise ValueError("block")
    yield (batch, height // block, width // block, channels * block * block)


def _depth_to_space(call: Call) -> Iterable[Shape]:
    batch, height, width, channels = call.shape()
    block = call.number("block_size")
    if channels % (block * block):
        raise ValueError("block")
    yield (batch, height * block, width * block, channels // (block * block))


def _svdf(call: Call) -> Iterable[Shape]:
    yield (call.shape()[0], call.shape(1)[0] // call.number("rank"))


def _lstm(call: Call) -> Iterable[Shape]:
    yield (*call.shape()[:-1], call.shape(8)[1])


def _nothing(call: Call) -> Iterable[Shape]:
    return ()


_SAME = (
    "ABS CAST CEIL COS CUMSUM DEQUANTIZE DYNAMIC_UPDATE_SLICE ELU EXP FLOOR GELU HARD_SWISH "
    "L2_NORMALIZATION LEAKY_RELU LOG LOGICAL_NOT LOGISTIC LOG_SOFTMAX NEG QUANTIZE RELU RELU6 "
    "RELU_0_TO_1 RELU_N1_TO_1 REVERSE_V2 ROUND RSQRT SIGN SIN SOFTMAX SQRT SQUARE TANH ZEROS_LIKE"
)
_BROADCASTING = (
    "ADD ADD_N DIV EQUAL FLOOR_DIV FLOOR_MOD GREATER GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND "
    "LOGICAL_OR MAXIMUM MINIMUM MUL NOT_EQUAL POW PRELU SELECT_V2 SQUARED_DIFFERENCE SUB"
)
_REDUCING = "MEAN REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM"

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_SAME.split(), _same),
    **dict.fromkeys(_BROADCASTING.split(), _broadcast),
    **dict.fromkeys(_REDUCING.split(), _reduced),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"), _pool),
    **dict.fromkeys(("ARG_MAX", "ARG_MIN"), _arg),
    **dict.fromkeys(("PAD", "PADV2", "MIRROR_PAD"), _pad),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resized),
    **dict.fromkeys(("ASSIGN_VARIABLE", "CALL_ONCE"), _nothing),
    "BATCH_MATMUL": _batch_matmul,
    "BATCH_TO_SPACE_ND": _batch_to_space,
    "BROADCAST_ARGS": _broadcast_args,
    "BROADCAST_TO": partial(_from_values, position=1),
    "CONCATENATION": _concatenation,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": _depth_to_space,
    "EMBEDDING_LOOKUP": _embedding_lookup,
    "EXPAND_DIMS": _expand_dims,
    "FILL": partial(_from_values, position=0),
    "FULLY_CONNECTED": _fully_connected,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "PACK": _pack,
    "RANK": _scalar,
    "RESHAPE": _reshape,
    "SHAPE": _shape,
    "SLICE": _slice,
    "SPACE_TO_BATCH_ND": _space_to_batch,
    "SPACE_TO_DEPTH": _space_to_depth,
    "SPLIT": _split,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SVDF": _svdf,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    "UNPACK": _unpack,
}


def _sliced_values(call: Call) -> Iterable[int]:
    ((positions, _),) = _strided(call)
    values = call.values(0)
    return [values[position] for position in positions]


def _joined_values(call: Call) -> Iterable[int]:
    return [value for position in range(call.count) for value in call.values(position)]


def _first_values(call: Call) -> Iterable[int]:
    return call.values(0)


def _pairwise(call: Call, function: Callable[[int, int], int]) -> Iterable[int]:
    left, right = call.values(0), call.values(1)
    size = max(len(left), len(right))
    return [function(left[index % len(left)], right[index % len(right)]) for index in range(size)]


#: Of one dimension at most, as shapes are.
VALUES: Mapping[str, Callable[[Call], Iterable[int]]] = {
    "SHAPE": lambda call: call.shape(),
    "RANK": lambda call: (len(call.shape()),),
    "STRIDED_SLICE": _sliced_values,
    "PACK": _joined_values,
    "CONCATENATION": _joined_values,
    "GATHER": lambda call: [call.values(0)[index] for index in call.values(1)],
    **dict.fromkeys(("CAST", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _first_values),
    "REDUCE_PROD": lambda call: (prod(call.values(0)),),
    "ADD": partial(_pairwise, function=lambda left, right: left + right),
    "SUB": partial(_pairwise, function=lambda left, right: left - right),
    "MUL": partial(_pairwise, function=lambda left, right: left * right),
    "MAXIMUM": partial(_pairwise, function=max),
    "MINIMUM": partial(_pairwise, function=min),
    "FLOOR_DIV": partial(_pairwise, function=lambda left, right: left // right),
}
