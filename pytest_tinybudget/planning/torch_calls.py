"""The layers that each call in a PyTorch program becomes, as litert-torch makes them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from math import prod
from typing import Any
from typing import Literal

from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import AnyLayerType
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

_RECTIFIERS = ("relu.default", "relu_.default", "relu6.default", "relu6_.default")
#: Of the arguments of ``aten.batch_norm``, the one that says it is in training.
_TRAINING = 5
#: Amounts of padding around an image.
_AROUND = 4
#: Axes of means that keep them.
_KEPT_MEANS = ([2, 3], [1])
#: Dimensions of an image whose channels are in groups.
_GROUPED = 5
_SUMS = ("add.Tensor", "add_.Tensor", "sub.Tensor", "sub_.Tensor", "rsub.Scalar")
_PRODUCTS = (
    "mul.Tensor", "mul_.Tensor", "div.Tensor", "div_.Tensor", "hardsigmoid.default",
    "hardsigmoid_.default",
)  # fmt: skip
_OVER_EACH = (
    *_RECTIFIERS, "hardtanh.default", "clamp.default", "leaky_relu.default", "sigmoid.default",
    "hardtanh_.default", "leaky_relu_.default", "hardswish.default", "hardswish_.default",
    "silu.default", "silu_.default", "tanh.default", "hardsigmoid.default", "hardsigmoid_.default",
)  # fmt: skip
_FLATTENS = ("flatten.using_ints", "view.default", "reshape.default")
#: What may part the channels of an image into groups.
_MOVES = ("view.default", "reshape.default", "transpose.int", "contiguous.default")
_CONVOLUTIONS = ("conv2d.default", "conv2d.padding")
#: What goes over images with their channels last, whatever is beside it.
_CHANNELS_LAST = (
    *_CONVOLUTIONS, "max_pool2d.default", "avg_pool2d.default", "conv_transpose2d.input",
    "upsample_nearest2d.vec", "upsample_bilinear2d.vec",
)  # fmt: skip
_LAYOUTS = {
    "row": "a reshaped row", "padded": "padding", "moved": "what moves channels",
    "open": "an input", "whole": "a pool", "last": "a convolution",
}  # fmt: skip
#: What takes a batch norm into its weights.
_NORMALIZED = ("conv2d.default", "conv2d.padding", "linear.default")
#: What goes over a series as over an image of height 1.
_AS_IMAGES = ("conv1d.default", "conv1d.padding", "max_pool1d.default", "avg_pool1d.default")
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
    depthwise = groups == channels
    if groups not in (1, channels) and len(weights) != IMAGE:
        raise reader.fail(node, f"{groups} groups of {channels} channels of a series")
    return Layer(
        "depthwise_conv2d" if depthwise else "conv2d",
        size=weights[0] // groups if depthwise else weights[0],
        groups=1 if depthwise else groups,
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
    if reader.layout(given[0]) in ("row", "moved"):
        place = _LAYOUTS[reader.layout(given[0])]
        raise reader.fail(node, f"a transposed convolution right behind {place}")
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
    _require_over_each(reader, node, given)
    reader.add(node, layer, given)
    _settle_over_each(reader, node, given)


def _require_over_each(reader: Reader, node: Any, given: Any) -> None:
    """Refuse what changes each number by itself where it may be computed in either layout."""
    layout = reader.layout(given)
    if layout == "open" and reader.shape(given)[1] == 1:
        raise reader.fail(node, "an image of one channel that is not convolved first")
    is_moved = layout == "moved" and (_called(node) not in _RECTIFIERS or _is_rectified(given))
    if layout in ("padded", "row") or is_moved:
        raise reader.fail(node, f"{_called(node)} right behind {_LAYOUTS[layout]}")


def _is_rectified(given: Any) -> bool:
    """Whether a ReLU is before what moves channels."""
    return _called(_before(given, (*_NOTHING, *_MOVES, "pixel_shuffle.default"))) in _RECTIFIERS


def _before(node: Any, passed: Sequence[str] = _NOTHING) -> Any:
    """The first node from ``node`` back that is none of the calls ``passed``."""
    while _called(node) in passed:
        node = node.args[0]
    return node


def _settle_over_each(reader: Reader, node: Any, given: Any) -> None:
    layout = reader.layout(given)
    reader.settle(node, "last" if layout == "whole" else layout)


def _hard_sigmoid(reader: Reader, node: Any, given: Arguments) -> None:
    """A product of what is added and limited."""
    _require_over_each(reader, node, given[0])
    if prod(reader.shape(node)) == 1:
        raise reader.fail(node, "a hardsigmoid of one number")
    _require_other(reader, node, given[0], _SUMS)
    reader.chain(
        node,
        given[0],
        Layer("add_number", factor=3.0),
        Layer("activation", activation="relu6"),
        Layer("multiply_number", factor=1 / 6),
    )
    _settle_over_each(reader, node, given[0])


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


def _layer_norm(reader: Reader, node: Any, given: Arguments) -> None:
    shape = reader.shape(node)
    if len(shape) == IMAGE or list(given[1]) != [shape[-1]] or shape[-1] == 1:
        raise reader.fail(node, "a LayerNorm over other dimensions than the last")
    smallest = 1e-5 if given[4] is None else float(given[4])
    layer = Layer(
        "layer_norm", alpha=smallest, scale=given[2] is not None, center=given[3] is not None
    )
    reader.add(node, layer, given[0])


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
    sides = _sides(before, after, kernel, stride, pads)
    if not any(map(any, sides)):  # ceil_mode that changes nothing
        _pool(reader, node, given[0], Layer("max_pool2d", kernel=kernel, stride=stride))
        return
    if sides == _same_sides(before, kernel, stride):
        layer = Layer("max_pool2d", kernel=kernel, stride=stride, padding="same")
        _pool(reader, node, given[0], layer)
        return
    _require_free(reader, node, given[0], "a max pool with padding")
    reader.add(node, Layer("lowest_padding2d", amount=sides), given[0], part=".pad")
    reader.settle(node)
    _pool(reader, node, node, Layer("max_pool2d", kernel=kernel, stride=stride))


def _require_free(reader: Reader, node: Any, given: Any, what: str) -> None:
    """Refuse padding with a number where what is padded has a scale of its own."""
    is_free = _called(given) in _FREE or given.op == "placeholder"
    if not is_free or len(given.users) > 1:
        raise reader.fail(node, f"{what} that is not right behind a convolution")


def _pool(reader: Reader, node: Any, given: Any, layer: Layer) -> None:
    if reader.layout(given) in ("row", "moved"):
        raise reader.fail(node, f"a pool right behind {_LAYOUTS[reader.layout(given)]}")
    reader.add(node, layer, given)
    reader.settle(node, "whole" if layer.type == "average_pool2d" else "last")


def _average_pool(reader: Reader, node: Any, given: Arguments) -> None:
    kernel, pads = given.pair(1, (1, 1)), given.pair(3, (0, 0))
    stride = given.pair(2, kernel)
    if given[6]:
        raise reader.fail(node, "an average pool with divisor_override")
    before, after = reader.shape(given[0])[2:], reader.shape(node)[2:]
    sides = _sides(before, after, kernel, stride, pads, all_padded=not given[4])
    source = given[0]
    if given[5] is False and any(map(any, sides)):
        if sides != _same_sides(before, kernel, stride):
            text = "an average pool with count_include_pad=False whose padding is not that of SAME"
            raise reader.fail(node, f"{text}, which litert-quantizer does not convert")
        layer = Layer("average_pool2d", kernel=kernel, stride=stride, padding="same")
        _pool(reader, node, source, layer)
        return
    if any(ahead < behind for ahead, behind in sides):
        raise reader.fail(node, "an average pool with ceil_mode where it counts more at the edge")
    if any(pads):
        if _stays_turned(reader, node, source):
            raise reader.fail(node, "an average pool with padding right behind a pool")
        reader.add(node, Layer("zero_padding2d", amount=sides), source, part=".pad")
        reader.settle(node)
        source = node
    _pool(reader, node, source, Layer("average_pool2d", kernel=kernel, stride=stride))


def _sides(
    before: Sequence[int], after: Sequence[int], *window: _Pair, all_padded: bool = True
) -> _Pads:
    """What a pool of kernel, stride and padding reads before and behind each direction.

    Behind it is at least what is padded, unless not ``all_padded``: then what the last window
    reads.
    """
    found = []
    for extent, result, size, step, pad in zip(before, after, *window, strict=True):
        least = pad if all_padded else 0
        found.append((pad, max((result - 1) * step + size - extent - pad, least)))
    return found[0], found[1]


def _same_sides(before: Sequence[int], kernel: _Pair, stride: _Pair) -> _Pads:
    """The same as SAME has it."""
    found = []
    for extent, size, step in zip(before, kernel, stride, strict=True):
        whole = max((-(-extent // step) - 1) * step + size - extent, 0)
        found.append((whole // 2, whole - whole // 2))
    return found[0], found[1]


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
    if rank != IMAGE or not axes or axes[0] == 0 or (keeps and axes not in _KEPT_MEANS):
        raise reader.fail(node, f"a mean over {axes}")
    named = tuple(each % rank for each in given[1])
    if keeps and axes == [1]:
        _mean_of_channels(reader, node, given[0])
        return
    if keeps:
        layer = Layer("global_average_pool2d", keep_dims=True, shape=tuple(n - 1 for n in named))
        _over_image(reader, node, given[0], layer)
        return
    # A result that is no image is computed with channels first.
    reader.turn_back(node, given[0], "a mean")
    turned = Layer("permute", shape=_TO_FIRST)
    reader.chain(node, given[0], turned, Layer("global_average_pool2d", shape=named))


def _mean_of_channels(reader: Reader, node: Any, given: Any) -> None:
    """One number a place, which is then flattened."""
    _, _, height, width = reader.shape(node)
    for user in _users(node):
        if _called(user) not in _FLATTENS or len(reader.shape(user)) != VECTOR:
            raise reader.fail(node, "a mean of channels that is not flattened")
    if reader.layout(given) not in ("last", "whole"):
        raise reader.fail(node, "a mean of an image that is not convolved or pooled first")
    pool = Layer("global_average_pool2d", shape=(3,))
    reader.chain(node, given, pool, Layer("reshape", shape=(height, width, 1)))
    reader.settle(node)


def _users(node: Any) -> list[Any]:
    """What takes a node's result: the keys in ``torch.fx``, the values in a file's program."""
    return [key if value is None else value for key, value in node.users.items()]


def _greatest(reader: Reader, node: Any, given: Arguments) -> None:
    """The greatest numbers of an image, by amax."""
    rank = len(reader.shape(given[0]))
    named = tuple(each % rank for each in ([given[1]] if isinstance(given[1], int) else given[1]))
    keeps = bool(given[2])
    _require_several(reader, node, given[0], named)
    if rank != IMAGE or sorted(named) != [2, 3]:
        raise reader.fail(node, f"the greatest over {list(named)}")
    if keeps:
        channels = reader.shape(node)[1]
        if reader.layout(given[0]) not in ("last", "whole"):
            raise reader.fail(node, "an amax of an image that is not convolved or pooled first")
        pool = Layer("global_max_pool2d", shape=tuple(n - 1 for n in named))
        reader.chain(node, given[0], pool, Layer("reshape", shape=(1, 1, channels)))
        reader.settle(node)
        return
    reader.turn_back(node, given[0], "an amax")
    turned = Layer("permute", shape=_TO_FIRST)
    reader.chain(node, given[0], turned, Layer("global_max_pool2d", shape=named))


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
    if len(node.meta["val"].shape) == _GROUPED:
        reader.mixed.add(node.name)
        return
    if _parts_channels(reader, node, given):
        return
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


def _parts_channels(reader: Reader, node: Any, given: Arguments) -> bool:
    """Whether ``node`` is the last of three that mix the channels of groups; then add that.

    ``view`` to groups, ``transpose`` of these and the channels in them, and ``reshape`` back.
    """
    turned = _before(given[0])
    if _called(turned) != "transpose.int" or turned.args[1:] not in ((1, 2), (2, 1)):
        return False
    view = turned.args[0]
    if _called(view) not in ("view.default", "reshape.default") or turned.name not in reader.mixed:
        return False
    source = view.args[0]
    parted, after = tuple(view.meta["val"].shape), reader.shape(node)
    fits = prod(parted[1:3]) == after[1] and parted[3:] == after[2:]
    if reader.shape(source) != after or not fits or 1 in parted[1:3]:
        raise reader.fail(node, f"a change of shape from {list(parted)} to {list(after)}")
    _require_moved(reader, node, source)
    reader.add(node, Layer("channel_shuffle", size=parted[1]), source)
    reader.settle(node, "moved")
    return True


def _permute(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    order = tuple(each % rank for each in given[1])
    if rank != SERIES or order[0]:
        raise reader.fail(node, f"the order {list(order)} of the dimensions of an image")
    reader.add(node, Layer("permute", shape=order[1:]), given[0])


def _transpose(reader: Reader, node: Any, given: Arguments) -> None:
    if given[0].name in reader.mixed:
        reader.mixed.add(node.name)
        return
    rank = len(reader.shape(given[0]))
    if rank != SERIES or {given[1] % rank, given[2] % rank} != {1, 2}:
        raise reader.fail(node, "a transpose of other dimensions than a series'")
    reader.add(node, Layer("permute", shape=(2, 1)), given[0])


def _pad(reader: Reader, node: Any, given: Arguments) -> None:
    amounts = [*given[1]]
    rank = len(reader.shape(given[0]))
    is_zeros = given[2] in (None, "constant") and not given[3]
    if given[2] == "reflect" and rank == IMAGE and len(amounts) == _AROUND and any(amounts):
        _reflected(reader, node, given)
        return
    if not any(amounts):
        reader.plain(node, given[0])
        return
    is_constant = given[2] in (None, "constant") and rank == IMAGE and len(amounts) == _AROUND
    if is_constant and given[3] and min(amounts) >= 0:
        _filled(reader, node, given)
        return
    if not is_zeros or min(amounts) < 0 or len(amounts) not in (2, 2 * (rank - 2)):
        raise reader.fail(node, "padding that is not zeros around an image or a series")
    if rank == SERIES:
        # The channels are the first of two dimensions here.
        layer = Layer("zero_padding1d", amount=((amounts[0], amounts[1]),), axis=2)
        reader.add(node, layer, given[0])
        return
    left, right, top, bottom = (*amounts, 0, 0)[:4]
    amount = (top, bottom), (left, right)
    if _stays_turned(reader, node, given[0]):
        padded = Layer("zero_padding2d", amount=amount, axis=2)
        turns = Layer("permute", shape=_TO_FIRST), Layer("permute", shape=_TO_LAST)
        reader.chain(node, given[0], turns[0], padded, turns[1])
        reader.settle(node, "padded")
        return
    reader.add(node, Layer("zero_padding2d", amount=amount), given[0])
    reader.settle(node, "padded")


def _filled(reader: Reader, node: Any, given: Arguments) -> None:
    """Padding with a number, at the scale of what is padded where any may be asked of that."""
    _require_free(reader, node, given[0], "padding with a number")
    left, right, top, bottom = given[1]
    layer = Layer("lowest_padding2d", amount=((top, bottom), (left, right)))
    reader.add(node, layer, given[0])
    reader.settle(node, "padded")


def _reflected(reader: Reader, node: Any, given: Arguments) -> None:
    left, right, top, bottom = given[1]
    if reader.layout(given[0]) not in ("last", "open") or min(given[1]) < 0:
        place = _LAYOUTS[reader.layout(given[0])]
        raise reader.fail(node, f"reflected padding right behind {place}")
    layer = Layer("mirror_padding2d", amount=((top, bottom), (left, right)))
    reader.add(node, layer, given[0])
    reader.settle(node)


def _stays_turned(reader: Reader, node: Any, given: Any) -> bool:
    """Whether the converter leaves the transposes around the padding of what is ``given``.

    So it does behind what becomes one operator, transposes included.
    """
    layout = reader.layout(given)
    if layout in ("row", "padded", "moved"):
        raise reader.fail(node, f"padding right behind {_LAYOUTS[layout]}")
    before = _before(given)
    is_bare = _called(before) in _CONVOLUTIONS and Arguments(before.args)[2] is None
    return layout == "whole" or is_bare


def _linear(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(given[0]))
    if rank == IMAGE:
        raise reader.fail(node, "a Linear over the last of four dimensions")
    units, inputs = reader.weights(node, given[1])
    if rank == SERIES:
        _require_known_row(reader, node, given)
    if given[2] is None and units == inputs == 1:
        raise reader.fail(node, "a Linear without bias from one number to one")
    reader.add(node, Layer("dense", size=units, bias=given[2] is not None), given[0])


def _require_known_row(reader: Reader, node: Any, given: Arguments) -> None:
    """Refuse a Linear over a sequence where the converter may reshape before or behind several.

    One without a bias goes over the sequence, others over rows.
    """
    before = _linear_before(given[0])
    if before is None:
        return
    if Arguments(before.args)[2] is not None:
        if given[2] is None and any(_called(each) in _RECTIFIERS for each in _users(node)):
            text = "a Linear without bias over a sequence, behind one that has it and before a ReLU"
            raise reader.fail(node, text)
        return
    first = _linear_before(before.args[0])
    if given[2] is None and before is given[0]:
        raise reader.fail(node, "two Linear in a row without bias over a sequence")
    if given[2] is not None and first is not None:
        raise reader.fail(node, "a Linear without bias between others over a sequence")


def _linear_before(given: Any) -> Any:
    """The Linear whose result is given, what goes over single numbers apart; ``None``: none is."""
    before = _before(given, (*_NOTHING, *_OVER_EACH))
    return before if _called(before) == "linear.default" else None


def _upsample(interpolation: Literal["nearest", "bilinear"]) -> _Read:
    def read(reader: Reader, node: Any, given: Arguments) -> None:
        before, after = reader.shape(given[0])[2:], reader.shape(node)[2:]
        if before == after:
            raise reader.fail(node, "an image that is resized to its own size")
        is_aligned = interpolation == "bilinear" and given[2]
        kind = "aligned" if is_aligned else interpolation
        _pool(reader, node, given[0], Layer("upsampling2d", shape=after, interpolation=kind))
        reader.settle(node, "whole")

    return read


def _pixel_shuffle(reader: Reader, node: Any, given: Arguments) -> None:
    _require_moved(reader, node, given[0])
    _, channels, height, width = reader.shape(given[0])
    times = given[1]
    if reader.shape(node) != (1, channels // times**2, times * height, times * width):
        raise reader.fail(node, f"a pixel_shuffle of {channels} channels by {times}")
    reader.add(node, Layer("pixel_shuffle", size=times), given[0])
    reader.settle(node, "moved")


def _require_moved(reader: Reader, node: Any, given: Any) -> None:
    """Refuse where it is not known which transposes are left before channels are moved."""
    if reader.layout(given) != "last" or min(reader.shape(given)[1:]) == 1:
        raise reader.fail(node, f"{_called(node)} right behind {_LAYOUTS[reader.layout(given)]}")


def _slice(reader: Reader, node: Any, given: Arguments) -> None:
    before, after = reader.shape(given[0]), reader.shape(node)
    axis = (given[1] or 0) % len(before)
    start = given[2] or 0
    step = 1 if given[4] is None else given[4]
    if not isinstance(start, int) or not isinstance(step, int):
        raise reader.fail(node, "a slice whose bounds are computed")
    if step > 1:
        _stepped(reader, node, given[0], (axis, start, step))
        return
    if before == after:
        reader.plain(node, given[0])
        return
    _cut(reader, node, given[0], (axis, start % before[axis], after[axis]))


def _stepped(reader: Reader, node: Any, given: Any, place: tuple[int, int, int]) -> None:
    """Each entry of so many along an axis, to the end."""
    axis, start, step = place
    before, after = reader.shape(given)[axis], reader.shape(node)[axis]
    if len(reader.shape(given)) != IMAGE or reader.layout(given) not in ("last", "whole"):
        raise reader.fail(node, "a slice by steps of what is not convolved or pooled first")
    if start < 0 or after != -(-(before - start) // step):
        raise reader.fail(node, "a slice by steps that does not go to the end")
    axis = {0: 0, 1: 3, 2: 1, 3: 2}[axis]
    reader.add(node, Layer("stepped_slice", axis=axis, amount=((start, step),)), given)
    reader.settle(node)


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
        if isinstance(given[1], (int, float)) and hasattr(given[0], "meta"):
            _with_number(reader, node, given, kind)
            return
        if any(not hasattr(each, "meta") for each in (given[0], given[1])):
            raise reader.fail(node, "arithmetic with a number")
        shapes = {len(reader.shape(given[0])), len(reader.shape(given[1]))}
        if len(shapes) > 1:
            raise reader.fail(node, "operands of other dimensions")
        _require_channels(reader, node, given)
        _joined(reader, node, [given[0], given[1]], Layer(kind))

    return read


def _with_number(reader: Reader, node: Any, given: Arguments, kind: LayerType) -> None:
    """Arithmetic with a number that the program holds."""
    number = float(given[1])
    kinds: dict[str, tuple[AnyLayerType, float]] = {
        "add": ("add_number", 0.0),
        "subtract": ("subtract_number", 0.0),
        "multiply": ("multiply_number", 1.0),
    }
    layer, neutral = kinds[kind]
    if number in (0.0, neutral) or prod(reader.shape(node)) == 1:
        raise reader.fail(node, f"arithmetic of one number, or with the number {number}")
    _require_other(reader, node, given[0], _PRODUCTS if kind == "multiply" else _SUMS)
    _over_each(reader, node, given[0], Layer(layer, factor=number))


def _require_other(reader: Reader, node: Any, given: Any, kinds: Sequence[str]) -> None:
    """Refuse two sums or two products with numbers in a row, which may become one."""
    before = _before(given)
    is_number = not hasattr(Arguments(getattr(before, "args", ()))[1], "meta")
    if _called(before) in kinds and is_number:
        raise reader.fail(node, "two sums or two products with numbers in a row")


def _divide(reader: Reader, node: Any, given: Arguments) -> None:
    """A division by a number, which is the product with its inverse."""
    if not isinstance(given[1], (int, float)) or not given[1]:
        raise reader.fail(node, "a division by what is computed")
    _with_number(reader, node, Arguments((given[0], 1 / given[1])), "multiply")


def _from_number(reader: Reader, node: Any, given: Arguments) -> None:
    if not given[1] or prod(reader.shape(node)) == 1 or given[2] not in (None, 1):
        raise reader.fail(node, "a difference of one number, or from 0")
    _require_other(reader, node, given[0], _SUMS)
    _over_each(reader, node, given[0], Layer("subtract_from_number", factor=float(given[1])))


def _require_channels(reader: Reader, node: Any, given: Arguments) -> None:
    """Refuse a convolved series of one channel beside another: its reshape comes elsewhere."""
    passed = (*_NOTHING, *_RECTIFIERS)
    convolved = [each for each in given.given[:2] if _called(_before(each, passed)) in _AS_IMAGES]
    if len(convolved) == 1 and reader.shape(convolved[0])[1] == 1:
        raise reader.fail(node, "a convolved series of one channel beside one that is not")


def _joined(reader: Reader, node: Any, given: list[Any], layer: Layer) -> None:
    """A layer of several inputs, of which one is convolved or pooled if they are images."""
    layouts = {reader.layout(each) for each in given}
    if layouts & {"padded", "moved"} or not layouts & {"last", "whole"}:
        raise reader.fail(node, "images that are not convolved or pooled first")
    if "row" in layouts:
        _require_factor(reader, node, layer)
    reader.add(node, layer, *given)
    reader.settle(node)


def _require_factor(reader: Reader, node: Any, layer: Layer) -> None:
    """Refuse a reshaped row where it may be computed with channels first.

    It is not where it is a factor of what is convolved or pooled next.
    """
    if layer.type != "multiply":
        raise reader.fail(node, "a reshaped row that is not a factor")
    waiting = _users(node)
    while waiting:
        user = waiting.pop()
        if _called(user) in (*_NOTHING, *_OVER_EACH):
            waiting += _users(user)
        elif _called(user) not in _CHANNELS_LAST:
            raise reader.fail(node, "a factor that is a row, before what is not convolved")


def _concatenate(reader: Reader, node: Any, given: Arguments) -> None:
    rank = len(reader.shape(node))
    axis = (given[1] or 0) % rank
    if rank == IMAGE and axis != 1:
        raise reader.fail(node, "a cat of another dimension than the channels'")
    if axis == 0:
        raise reader.fail(node, "a cat of the batch")
    _joined(reader, node, given[0], Layer("concatenate", axis=-1 if rank == IMAGE else axis - rank))


def _same(reader: Reader, node: Any, given: Arguments) -> None:
    if given[0].name in reader.mixed:
        reader.mixed.add(node.name)
        return
    reader.plain(node, given[0])


def is_grouped(node: Any) -> bool:
    """Whether a result is an image whose channels are in groups."""
    return (
        _called(node) in _MOVES
        and len(getattr(node.meta.get("val"), "shape", ())) == _GROUPED
        and node.meta["val"].shape[0] == 1
        and all(isinstance(each, int) for each in node.meta["val"].shape)
    )


#: Calls whose conversion is never planned, and why.
REFUSED: Mapping[str, str] = {
    "lstm.input": "an LSTM, which litert-torch unrolls step by step",
    "gru.input": "a GRU, which litert-torch unrolls step by step",
    "rnn_tanh.input": "an RNN, which litert-torch unrolls step by step",
    "rnn_relu.input": "an RNN, which litert-torch unrolls step by step",
    "gelu.default": "a GELU, which TFLM lacks; SiLU and Hardswish run",
    "gelu_.default": "a GELU, which TFLM lacks; SiLU and Hardswish run",
    "adaptive_max_pool2d.default": "an adaptive max pool, which litert-torch does not convert",
}

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
    "amax.default": _greatest,
    "layer_norm.default": _layer_norm,
    "hardsigmoid.default": _hard_sigmoid,
    "hardsigmoid_.default": _hard_sigmoid,
    "pixel_shuffle.default": _pixel_shuffle,
    "div.Tensor": _divide,
    "div_.Tensor": _divide,
    "rsub.Scalar": _from_number,
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
    "sub_.Tensor": _merge("subtract"),
    "mul.Tensor": _merge("multiply"),
    "mul_.Tensor": _merge("multiply"),
    "cat.default": _concatenate,
    "softmax.int": _softmax,
    "log_softmax.int": _log_softmax,
    "pad.default": _pad,
    **dict.fromkeys(_NOTHING, _same),
}
