"""The layers that each call in a PyTorch program becomes, as litert-torch makes them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Literal

from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerType
from pytest_tinybudget.planning.torch_reader import GETITEM
from pytest_tinybudget.planning.torch_reader import IMAGE
from pytest_tinybudget.planning.torch_reader import SERIES
from pytest_tinybudget.planning.torch_reader import VECTOR
from pytest_tinybudget.planning.torch_reader import Arguments
from pytest_tinybudget.planning.torch_reader import Reader


_Read = Callable[[Reader, Any, Arguments], None]
_Pair = tuple[int, int]
_Pads = tuple[_Pair, _Pair]

#: Of the arguments of ``aten.batch_norm``, the one that says it is in training.
_TRAINING = 5
#: What takes a batch norm into its weights.
_NORMALIZED = ("conv2d.default", "conv2d.padding", "linear.default")
_RECTIFIERS = ("relu.default", "relu_.default", "relu6.default", "relu6_.default")
#: What the converter leaves out.
_NOTHING = (
    "dropout.default",
    "feature_dropout.default",
    "contiguous.default",
    "clone.default",
    "detach.default",
)
#: Their result has whatever scale is asked of it.
_FREE = (
    "conv2d.default", "conv2d.padding", "relu.default", "relu_.default", "leaky_relu.default",
    "leaky_relu_.default",
)  # fmt: skip
#: From NCW to an image of height 1 with its channels last, and back.
_TO_LAST, _TO_FIRST = (2, 3, 1), (3, 1, 2)


# Convolutions.


def _conv2d(reader: Reader, node: Any, given: Arguments) -> None:
    weights = reader.weights(node, given[1])
    channels = reader.shape(given[0])[1]
    dilation = given.pair(5, (1, 1))
    pads = _pads(reader, node, given, weights[2:], dilation)
    settings = weights, channels, given.pair(3, (1, 1)), dilation
    if reader.layout(given[0]) == "row":
        raise reader.fail(node, "a convolution of a reshaped row")
    source = given[0]
    # What is more behind than before is padded first, by an operator of its own.
    more = tuple((0, behind - before) for before, behind in pads)
    alike = tuple((before, before) for before, _ in pads)
    for part, amount in ((".more", more), (".pad", alike)):
        if any(map(any, amount)):
            reader.add(node, Layer("zero_padding2d", amount=amount), source, part=part)
            source = node
    reader.add(node, _convolution(reader, node, given, settings), source)
    reader.settle(node)


def _convolution(
    reader: Reader, node: Any, given: Arguments, settings: tuple[tuple[int, ...], int, _Pair, _Pair]
) -> Layer:
    """The layer of a convolution; one over each channel by itself is a depthwise one."""
    weights, channels, stride, dilation = settings
    groups = 1 if given[6] is None else given[6]
    if groups not in (1, channels):
        raise reader.fail(node, f"{groups} groups of {channels} channels")
    depthwise = groups == channels
    return Layer(
        "depthwise_conv2d" if depthwise else "conv2d",
        size=weights[0] // groups if depthwise else weights[0],
        kernel=weights[2:] if len(weights) == IMAGE else (1, weights[2]),
        stride=stride,
        dilation=dilation,
        bias=given[2] is not None,
    )


def _pads(
    reader: Reader, node: Any, given: Arguments, kernel: tuple[int, ...], dilation: _Pair
) -> _Pads:
    """What a convolution pads before and behind each direction."""
    if given[4] == "valid":
        return (0, 0), (0, 0)
    if given[4] != "same":
        high, wide = given.pair(4, (0, 0))
        return (high, high), (wide, wide)
    reach = [(size - 1) * wide for size, wide in zip(kernel, dilation, strict=True)]
    if any(each % 2 for each in reach) and reader.layout(given[0]) != "last":
        raise reader.fail(node, 'padding="same" with more on one side')
    rows, columns = ((each // 2, each - each // 2) for each in reach)
    return rows, columns


def _conv1d(reader: Reader, node: Any, given: Arguments) -> None:
    weights = reader.weights(node, given[1])
    channels = reader.shape(given[0])[1]
    stride, dilation = given.single(3, 1), given.single(5, 1)
    if given[4] == "same":
        raise reader.fail(node, 'padding="same" over a series')
    pad = 0 if given[4] == "valid" else given.single(4, 0)
    settings = weights, channels, (1, stride), (1, dilation)
    padding = [Layer("zero_padding2d", amount=((0, 0), (pad, pad)))] if pad else []
    layer = _convolution(reader, node, given, settings)
    _as_image(reader, node, given[0], *padding, layer)


def _as_image(reader: Reader, node: Any, given: Any, *layers: Layer) -> None:
    """A series as an image of height 1, and the result as a series again."""
    _, channels, steps = reader.shape(given)
    reader.chain(
        node,
        given,
        Layer("reshape", shape=(channels, 1, steps)),
        Layer("permute", shape=_TO_LAST),
        *layers,
        Layer("permute", shape=_TO_FIRST),
        Layer("reshape", shape=reader.shape(node)[1:]),
    )


def _conv_transpose2d(reader: Reader, node: Any, given: Arguments) -> None:
    weights = reader.weights(node, given[1])
    kernel, stride = (weights[2], weights[3]), given.pair(3, (1, 1))
    pads, more = given.pair(4, (0, 0)), given.pair(5, (0, 0))
    if any(more) or given[6] not in (None, 1) or given.pair(7, (1, 1)) != (1, 1):
        raise reader.fail(node, "a transposed convolution with groups, dilation or output_padding")
    if any(size < step for size, step in zip(kernel, stride, strict=True)):
        raise reader.fail(node, "a transposed convolution whose stride is wider than its window")
    same = tuple(size - step for size, step in zip(kernel, stride, strict=True))
    if any(pads) and tuple(2 * each for each in pads) != same:
        raise reader.fail(node, "a transposed convolution whose padding is not that of SAME")
    layer = Layer(
        "conv2d_transpose", size=weights[1], kernel=kernel, stride=stride,
        padding="same" if any(pads) else "valid", bias=given[2] is not None,
    )  # fmt: skip
    if reader.layout(given[0]) == "row":
        raise reader.fail(node, "a convolution of a reshaped row")
    reader.add(node, layer, given[0])
    reader.settle(node)


def _batch_norm(reader: Reader, node: Any, given: Arguments) -> None:
    if given[_TRAINING]:
        raise reader.fail(node, "a batch norm in training mode")
    if given[1] is None or given[2] is None:
        raise reader.fail(node, "a batch norm without weight or bias")
    if len(reader.shape(node)) == SERIES:
        if reader.shape(node)[1] == 1:
            raise reader.fail(node, "a batch norm of a series of one channel")
        reader.add(node, Layer("batch_norm", axis=1), given[0])
        return
    before = given[0]
    while _called(before) in _NOTHING and len(before.users) == 1:
        before = before.args[0]
    if _called(before) not in _NORMALIZED or len(before.users) > 1:
        shape, is_last = reader.shape(node), reader.layout(given[0]) == "last"
        if _called(before) in _RECTIFIERS and shape[1] > 1 and is_last:
            axis = 1 if len(shape) == VECTOR else 3
            reader.add(node, Layer("batch_norm", axis=axis), given[0])
            reader.settle(node)
            return
        raise reader.fail(node, "a batch norm that is not right behind a convolution or a Linear")
    reader.add(node, Layer("batch_norm"), given[0])
    reader.settle(node)


def _called(node: Any) -> str:
    return str(getattr(node, "target", "")).removeprefix("aten.")


# What goes over single numbers.


def _activation(activation: Activation) -> _Read:
    layer = Layer("activation", activation=activation)
    return lambda reader, node, given: _over_each(reader, node, given[0], layer)


def _over_each(reader: Reader, node: Any, given: Any, layer: Layer) -> None:
    """A layer that keeps the shape of what it is given."""
    layout = reader.layout(given)
    if layout == "open" and reader.shape(given)[1] == 1:
        raise reader.fail(node, "an image of one channel that is not convolved first")
    if layout in ("padded", "row"):
        raise reader.fail(node, f"{_called(node)} right behind padding or a reshaped row")
    reader.add(node, layer, given)
    reader.settle(node, "last" if layout == "whole" else layout)


def _limited(reader: Reader, node: Any, given: Arguments) -> None:
    limits = (-1 if given[1] is None else given[1], 1 if given[2] is None else given[2])
    known: dict[Any, Activation] = {(0, 6): "relu6", (-1, 1): "relu_n1_to_1"}
    if limits not in known:
        raise reader.fail(node, f"values kept from {limits[0]} to {limits[1]}")
    layer = Layer("activation", activation=known[limits])
    _over_each(reader, node, given[0], layer)


def _leaky(reader: Reader, node: Any, given: Arguments) -> None:
    slope = 0.01 if given[1] is None else float(given[1])
    _over_each(reader, node, given[0], Layer("activation", activation="leaky_relu", alpha=slope))


def _softmax(reader: Reader, node: Any, given: Arguments) -> None:
    shape = reader.shape(node)
    if len(shape) == IMAGE or given[1] % len(shape) != len(shape) - 1:
        raise reader.fail(node, "a softmax of another dimension than the last")
    if shape[-1] == 1:
        raise reader.fail(node, "a softmax of one number")
    reader.add(node, Layer("softmax"), given[0])


def _log_softmax(reader: Reader, node: Any, given: Arguments) -> None:
    shape = reader.shape(node)
    if len(shape) != VECTOR or given[1] % len(shape) != 1 or shape[-1] == 1:
        raise reader.fail(node, "a log_softmax of another dimension than the last of a row")
    reader.add(node, Layer("activation", activation="log_softmax"), given[0])


# Pools.


def _max_pool(reader: Reader, node: Any, given: Arguments) -> None:
    kernel = given.pair(1, (1, 1))
    if any(given.pair(3, (0, 0))) or given.pair(4, (1, 1)) != (1, 1) or given[5]:
        _padded_max_pool(reader, node, given, kernel)
        return
    layer = Layer("max_pool2d", kernel=kernel, stride=given.pair(2, kernel))
    _pool(reader, node, given[0], layer)


def _padded_max_pool(reader: Reader, node: Any, given: Arguments, kernel: _Pair) -> None:
    """A pool whose padding is that of SAME, or one behind padding with the least number there is.

    That padding has the scale of what it is given where this has whatever scale is asked of it.
    """
    stride, pads = given.pair(2, kernel), given.pair(3, (0, 0))
    if given.pair(4, (1, 1)) != (1, 1):
        raise reader.fail(node, "a max pool with dilation")
    before, after = reader.shape(given[0])[2:], reader.shape(node)[2:]
    amount, same = [], []
    for extent, result, size, step, pad in zip(before, after, kernel, stride, pads, strict=True):
        whole = max((-(-extent // step) - 1) * step + size - extent, 0)
        same.append((whole // 2, whole - whole // 2))
        amount.append((pad, max((result - 1) * step + size - extent - pad, pad)))
    if amount == same:
        layer = Layer("max_pool2d", kernel=kernel, stride=stride, padding="same")
        _pool(reader, node, given[0], layer)
        return
    is_free = _called(given[0]) in _FREE or given[0].op == "placeholder"
    if not is_free or len(given[0].users) > 1:
        raise reader.fail(node, "a max pool with padding that is not right behind a convolution")
    reader.add(node, Layer("lowest_padding2d", amount=tuple(amount)), given[0], part=".pad")
    reader.settle(node)
    _pool(reader, node, node, Layer("max_pool2d", kernel=kernel, stride=stride))


def _pool(reader: Reader, node: Any, given: Any, layer: Layer) -> None:
    if reader.layout(given) == "row":
        raise reader.fail(node, "a pool of a reshaped row")
    reader.add(node, layer, given)
    reader.settle(node, "whole" if layer.type == "average_pool2d" else "last")


def _average_pool(reader: Reader, node: Any, given: Arguments) -> None:
    kernel, pads = given.pair(1, (1, 1)), given.pair(3, (0, 0))
    if given[4] or given[6] or (any(pads) and given[5] is False):
        raise reader.fail(node, "an average pool with ceil_mode, divisor_override or other counts")
    source = given[0]
    if any(pads):
        amount = (pads[0], pads[0]), (pads[1], pads[1])
        reader.add(node, Layer("zero_padding2d", amount=amount), source, part=".pad")
        reader.settle(node)
        source = node
    layer = Layer("average_pool2d", kernel=kernel, stride=given.pair(2, kernel))
    _pool(reader, node, source, layer)


def _pool1d(kind: LayerType) -> _Read:
    def read(reader: Reader, node: Any, given: Arguments) -> None:
        kernel = given.single(1, 1)
        is_plain = given.single(3, 0) == 0 and not given[4 if kind == "average_pool2d" else 5]
        if kind == "max_pool2d":
            is_plain = is_plain and given.single(4, 1) == 1
        if not is_plain:
            raise reader.fail(node, "a pool over a series with padding, dilation or ceil_mode")
        stride = given.single(2, kernel)
        _as_image(reader, node, given[0], Layer(kind, kernel=(1, kernel), stride=(1, stride)))

    return read


def _adaptive_pool(reader: Reader, node: Any, given: Arguments) -> None:
    size, extents = given.pair(1, (0, 0)), reader.shape(given[0])[2:]
    if size != (1, 1):
        if any(extent % each for extent, each in zip(extents, size, strict=True)):
            raise reader.fail(node, f"an adaptive pool of {list(extents)} to {list(size)}")
        window = (extents[0] // size[0], extents[1] // size[1])
        layer = Layer("average_pool2d", kernel=window, stride=window)
        _pool(reader, node, given[0], layer)
        return
    _require_several(reader, node, given[0], [2, 3])
    # litert-torch names the dimensions of this one from the last: another constant than a mean's.
    layer = Layer("global_average_pool2d", keep_dims=True, shape=(2, 1))
    _over_image(reader, node, given[0], layer)


def _over_image(reader: Reader, node: Any, given: Any, layer: Layer) -> None:
    if reader.layout(given) not in ("last", "whole"):
        raise reader.fail(node, "a mean of an image that is not convolved or pooled first")
    reader.add(node, layer, given)
    reader.settle(node)


def _mean(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    axes = sorted(each % rank for each in given[1] or ())
    keeps = bool(given[2])
    _require_several(reader, node, given[0], axes)
    if rank == SERIES and len(axes) == 1 and axes[0]:
        layer = Layer("global_average_pool1d", keep_dims=keeps, shape=(axes[0],))
        reader.add(node, layer, given[0])
        return
    if rank != IMAGE or not axes or axes[0] == 0 or (keeps and axes != [2, 3]):
        raise reader.fail(node, f"a mean over {axes}")
    named = tuple(each % rank for each in given[1])
    if keeps:
        layer = Layer("global_average_pool2d", keep_dims=True, shape=tuple(n - 1 for n in named))
        _over_image(reader, node, given[0], layer)
        return
    # A result that is no image is computed with channels first.
    reader.turn_back(node, given[0], "a mean")
    turned = Layer("permute", shape=_TO_FIRST)
    reader.chain(node, given[0], turned, Layer("global_average_pool2d", shape=named))


def _require_several(reader: Reader, node: Any, given: Any, axes: Sequence[int]) -> None:
    """Refuse a mean of one number, which the converter makes something else of."""
    shape = reader.shape(given)
    if all(shape[each] == 1 for each in axes):
        raise reader.fail(node, "a mean of one number")


def _adaptive_pool1d(reader: Reader, node: Any, given: Arguments) -> None:
    if given.single(1, 0) != 1:
        raise reader.fail(node, "an adaptive pool to another size than 1")
    _require_several(reader, node, given[0], [2])
    _, channels, steps = reader.shape(given[0])
    reader.chain(
        node,
        given[0],
        Layer("reshape", shape=(channels, 1, steps)),
        Layer("global_average_pool2d", keep_dims=True, shape=(3, 2)),
        Layer("reshape", shape=(channels, 1)),
    )


# Shapes.


def _flatten(reader: Reader, node: Any, given: Arguments) -> None:
    before, after = reader.shape(given[0]), reader.shape(node)
    if before == after:
        reader.plain(node, given[0])
        return
    if IMAGE not in (len(before), len(after)):
        reader.add(node, Layer("reshape", shape=after[1:]), given[0])
        return
    if len(before) == VECTOR and after == (1, before[1], 1, 1) and before[1] > 1:
        reader.add(node, Layer("reshape", shape=(1, 1, before[1])), given[0])
        reader.settle(node, "row")
        return
    if len(after) != VECTOR or len(before) != IMAGE:
        raise reader.fail(node, f"a change of shape from {list(before)} to {list(after)}")
    if len(given[0].users) == 1 and reader.flattened(node, given[0]):
        return
    reader.turn_back(node, given[0], "a change of shape")
    source = given[0]
    if before[2] * before[3] > 1:
        reader.add(node, Layer("permute", shape=_TO_FIRST), source, part=".turned")
        source = node
    reader.add(node, Layer("flatten"), source)


def _permute(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    order = tuple(each % rank for each in given[1])
    if rank != SERIES or order[0]:
        raise reader.fail(node, f"the order {list(order)} of the dimensions of an image")
    reader.add(node, Layer("permute", shape=order[1:]), given[0])


def _transpose(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    if rank != SERIES or {given[1] % rank, given[2] % rank} != {1, 2}:
        raise reader.fail(node, "a transpose of other dimensions than a series'")
    reader.add(node, Layer("permute", shape=(2, 1)), given[0])


def _pad(reader: Reader, node: Any, given: Arguments) -> None:
    amounts = [*given[1]]
    rank = len(reader.shape(given[0]))
    is_zeros = given[2] in (None, "constant") and not given[3]
    if not any(amounts):
        reader.plain(node, given[0])
        return
    if not is_zeros or min(amounts) < 0 or len(amounts) not in (2, 2 * (rank - 2)):
        raise reader.fail(node, "padding that is not zeros around an image or a series")
    if rank == SERIES:
        # The channels are the first of two dimensions here.
        layer = Layer("zero_padding1d", amount=((amounts[0], amounts[1]),), axis=2)
        reader.add(node, layer, given[0])
        return
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    if reader.layout(given[0]) not in ("last", "open"):
        # The converter leaves the transposes around it.
        raise reader.fail(node, "padding right behind an average pool or an upsampling")
    layer = Layer("zero_padding2d", amount=((top, bottom), (left, right)))
    reader.add(node, layer, given[0])
    reader.settle(node, "padded")


def _linear(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    if rank == IMAGE:
        raise reader.fail(node, "a Linear over the last of four dimensions")
    units, inputs = reader.weights(node, given[1])
    if given[2] is None and (rank == SERIES or units == inputs == 1):
        raise reader.fail(node, "a Linear without bias over a sequence, or from one number to one")
    reader.add(node, Layer("dense", size=units, bias=given[2] is not None), given[0])


def _upsample(interpolation: Literal["nearest", "bilinear"]) -> _Read:
    def read(reader: Reader, node: Any, given: Arguments) -> None:
        before, after = reader.shape(given[0])[2:], reader.shape(node)[2:]
        if interpolation == "bilinear" and given[2]:
            raise reader.fail(node, "align_corners")
        if any(two % one for one, two in zip(before, after, strict=True)):
            raise reader.fail(node, f"an image of {list(before)} made {list(after)}")
        times = (after[0] // before[0], after[1] // before[1])
        layer = Layer("upsampling2d", amount=(times,), interpolation=interpolation)
        _pool(reader, node, given[0], layer)
        reader.settle(node, "whole")

    return read


def _slice(reader: Reader, node: Any, given: Arguments) -> None:
    before, after = reader.shape(given[0]), reader.shape(node)
    axis = (given[1] or 0) % len(before)
    start = given[2] or 0
    if given[4] not in (None, 1) or not isinstance(start, int):
        raise reader.fail(node, "a slice that leaves numbers out")
    if before == after:
        reader.plain(node, given[0])
        return
    _cut(reader, node, given[0], (axis, start % before[axis], after[axis]))


def _select(reader: Reader, node: Any, given: Arguments) -> None:
    """One entry along an axis, which goes."""
    before = reader.shape(given[0])
    axis, place = (given[1] or 0) % len(before), given[2] or 0
    if len(before) != SERIES or axis == 0:
        raise reader.fail(node, "one entry of something else than a series")
    part = Layer("slice", axis=axis, amount=((place % before[axis], 1),))
    row = Layer("reshape", shape=reader.shape(node)[1:])
    reader.chain(node, given[0], part, row)


def _cut(reader: Reader, node: Any, given: Any, place: tuple[int, int, int]) -> None:
    """So many entries along an axis of PyTorch's shape, from one of them on."""
    axis, start, count = place
    rank = len(reader.shape(given))
    if rank == IMAGE:
        if reader.layout(given) not in ("last", "whole"):
            raise reader.fail(node, "a part of an image that is not convolved or pooled first")
        axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis]
    reader.add(node, Layer("slice", axis=axis, amount=((start, count),)), given)
    reader.settle(node)


def _split(reader: Reader, node: Any, given: Arguments) -> None:
    """Parts along an axis: each is made where it is first read."""
    reader.shape(given[0])
    reader.parted[node.name] = given


def _part(reader: Reader, node: Any, given: Arguments) -> None:
    source, number = given[0], given[1]
    if source.name not in reader.parted:
        raise reader.fail(node, f"one of several results of {_called(source)}")
    split = reader.parted[source.name]
    before, after = reader.shape(split[0]), reader.shape(node)
    axis = (split[2] or 0) % len(before)
    first = reader.results(source)[0]
    place = axis, number * first[axis], after[axis]
    reader.later[node.name] = lambda: _cut(reader, node, split[0], place)


# Several inputs.


def _merge(kind: LayerType) -> _Read:
    def read(reader: Reader, node: Any, given: Arguments) -> None:
        if any(not hasattr(each, "meta") for each in (given[0], given[1])):
            raise reader.fail(node, "arithmetic with a number")
        shapes = {len(reader.shape(given[0])), len(reader.shape(given[1]))}
        if len(shapes) > 1:
            raise reader.fail(node, "operands of other dimensions")
        _joined(reader, node, [given[0], given[1]], Layer(kind))

    return read


def _joined(reader: Reader, node: Any, given: list[Any], layer: Layer) -> None:
    """A layer of several inputs, of which one is convolved or pooled if they are images."""
    layouts = {reader.layout(each) for each in given}
    if "padded" in layouts or not layouts & {"last", "whole"}:
        raise reader.fail(node, "images that are not convolved or pooled first")
    if "row" in layouts and layer.type != "multiply":
        raise reader.fail(node, "a reshaped row that is not a factor")
    reader.add(node, layer, *given)
    reader.settle(node)


def _concatenate(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(node))
    axis = (given[1] or 0) % rank
    if rank == IMAGE and axis != 1:
        raise reader.fail(node, "a cat of another dimension than the channels'")
    if axis == 0:
        raise reader.fail(node, "a cat of the batch")
    _joined(reader, node, given[0], Layer("concatenate", axis=-1 if rank == IMAGE else axis - rank))


def _same(reader: Reader, node: Any, given: Arguments) -> None:
    reader.plain(node, given[0])


CALLS: Mapping[str, _Read] = {
    "conv2d.default": _conv2d,
    "conv2d.padding": _conv2d,
    "conv1d.default": _conv1d,
    "conv1d.padding": _conv1d,
    "conv_transpose2d.input": _conv_transpose2d,
    "batch_norm.default": _batch_norm,
    "relu.default": _activation("relu"),
    "relu_.default": _activation("relu"),
    "relu6.default": _activation("relu6"),
    "relu6_.default": _activation("relu6"),
    "hardtanh.default": _limited,
    "hardtanh_.default": _limited,
    "clamp.default": _limited,
    "leaky_relu.default": _leaky,
    "leaky_relu_.default": _leaky,
    "hardswish.default": _activation("hard_swish"),
    "hardswish_.default": _activation("hard_swish"),
    "silu.default": _activation("swish"),
    "silu_.default": _activation("swish"),
    "sigmoid.default": _activation("sigmoid"),
    "tanh.default": _activation("tanh"),
    "max_pool2d.default": _max_pool,
    "avg_pool2d.default": _average_pool,
    "max_pool1d.default": _pool1d("max_pool2d"),
    "avg_pool1d.default": _pool1d("average_pool2d"),
    "adaptive_avg_pool2d.default": _adaptive_pool,
    "adaptive_avg_pool1d.default": _adaptive_pool1d,
    "mean.dim": _mean,
    "flatten.using_ints": _flatten,
    "view.default": _flatten,
    "reshape.default": _flatten,
    "squeeze.dim": _flatten,
    "unsqueeze.default": _flatten,
    "permute.default": _permute,
    "transpose.int": _transpose,
    "slice.Tensor": _slice,
    "select.int": _select,
    "split.Tensor": _split,
    "chunk.default": _split,
    GETITEM: _part,
    "upsample_nearest2d.vec": _upsample("nearest"),
    "upsample_bilinear2d.vec": _upsample("bilinear"),
    "linear.default": _linear,
    "add.Tensor": _merge("add"),
    "add_.Tensor": _merge("add"),
    "sub.Tensor": _merge("subtract"),
    "mul.Tensor": _merge("multiply"),
    "cat.default": _concatenate,
    "softmax.int": _softmax,
    "log_softmax.int": _log_softmax,
    "pad.default": _pad,
    **dict.fromkeys(_NOTHING, _same),
}
