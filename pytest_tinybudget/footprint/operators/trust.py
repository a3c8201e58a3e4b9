"""Checks that TFLM's kernels leave out: shapes, types and counts that they take on trust.

Release builds of TFLM compile its checks (``TFLITE_DCHECK``) out. A kernel then reads a result of
a wrong shape, too short weights, or a bias of a wrong type as if they were right. This module
refuses such a model, operator by operator, after the operator's ``Prepare``.

Some wrong shapes do no harm: a kernel that works through all values does not look at dimensions.
``Trusted.meant`` then keeps the right shape, and the next kernel that looks at dimensions refuses
the model.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from math import isfinite
from math import prod
from typing import Protocol

from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import A_STEP
from pytest_tinybudget.footprint.operators.rule import HALF_A_STEP
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import int32s
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import quantized_alike
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.footprint.soundness import taken
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


Shape = tuple[int, ...]


class Trusted(Preparation, Protocol):
    """A ``Preparation`` that also knows what shapes tensors should have."""

    def meant(self, tensor: Tensor) -> Shape:
        """The shape in elements that the operator before gives a tensor of this subgraph.

        The file's shape where nothing else was noted with ``means``.
        """
        ...

    def means(self, subgraph: Subgraph, tensor: Tensor, shape: Shape) -> None:
        """Note that a tensor should have ``shape``, in elements, whatever the file says."""
        ...

    def trust(self, condition: bool, reason: str, *, beyond: bool = False) -> None:
        """Refuse the model unless ``condition``, which the kernel does not check.

        Args:
            condition: What must hold for a right result.
            reason: Why not, as the report says it after the operator's name.
            beyond: Whether the kernel would read or write outside a tensor's memory, or leave part
                of it unset: the outcome is then undefined, else wrong.

        Raises:
            MisreadError: ``condition`` is false.
            RefusedError: The same, with ``beyond``.
        """
        ...


#: sizeof(int32_t): kernels read axes, begins and paddings as such, whatever type they have.
_INT32 = 4

#: Kernels multiply sums of 64 bits as if they had 48.
_LARGEST_SUM = 2**47
#: What a sum of 256 may be multiplied by at most, so that an INT32 holds the product.
_LARGEST_MULTIPLIER = 2**23

Check = Callable[[Trusted], None]


def check(node: Trusted) -> None:
    """Refuse what the current operator's kernel would read wrongly.

    Custom operators of others than TFLM are their own kernels' business.
    """
    if node.operator.name in _CHECKS:
        _CHECKS[node.operator.name](node)


# What all of them ask.


def _inputs(node: Trusted) -> list[Tensor]:
    return [
        node.input(position)
        for position in range(len(node.operator.inputs))
        if node.has_input(position)
    ]


def _outputs(node: Trusted) -> list[Tensor]:
    return [node.output(position) for position in range(len(node.operator.outputs))]


def _has(node: Trusted, inputs: int, outputs: int = 1) -> None:
    """At least so many inputs, and exactly so many outputs."""
    found = len(node.operator.inputs), len(node.operator.outputs)
    node.trust(
        found[0] >= inputs and found[1] == outputs,
        f"it has {found[0]} inputs and {found[1]} outputs, its kernel uses {inputs} and {outputs}",
    )


def _rank(node: Trusted, tensor: Tensor, least: int, most: int | None = None) -> None:
    most = least if most is None else most
    expected = str(least) if least == most else f"{least} to {most}"
    node.trust(
        least <= len(tensor.shape) <= most,
        f"'{tensor.name}' has {len(tensor.shape)} dimensions, its kernel works on {expected}",
    )


def _as_meant(node: Trusted, *tensors: Tensor) -> None:
    """Refuse tensors whose dimensions are not those that their values have."""
    for tensor in tensors:
        meant = node.meant(tensor)
        node.trust(
            meant == tensor.shape,
            f"'{tensor.name}' is {list(tensor.shape)} in the file, what computes it gives"
            f" {list(meant)}",
        )


def _view(shape: Shape, axis: int) -> tuple[int, int, int]:
    """How often, how long and how wide values lie along ``axis``."""
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def _as_meant_along(node: Trusted, tensor: Tensor, asked: int) -> int:
    """The axis ``asked`` of a tensor whose values lie along it as they should."""
    meant = node.meant(tensor)
    axis, right = _axis(node, asked, len(tensor.shape)), _axis(node, asked, len(meant))
    if _view(tensor.shape, axis) != _view(meant, right):
        _as_meant(node, tensor)
    return axis


def _gives(node: Trusted, result: Tensor, shape: Sequence[int]) -> None:
    """Refuse a result of another shape than its kernel's loops need."""
    node.trust(
        result.shape == tuple(shape),
        _other_shape(result, shape),
        beyond=result.elements != prod(shape),
    )


def _other_shape(result: Tensor, shape: Sequence[int]) -> str:
    return (
        f"its output '{result.name}' is {list(result.shape)} in the file, its inputs make"
        f" {list(shape)}: convert the model again, with a fixed input shape"
    )


def _fills(node: Trusted, result: Tensor, shape: Sequence[int]) -> None:
    """Refuse a result of another size; note one whose values lie in another shape."""
    node.trust(
        result.elements == prod(shape),
        _other_shape(result, shape),
        beyond=result.elements != prod(shape),
    )
    node.means(node.subgraph, result, tuple(shape))


def _typed(node: Trusted, tensor: Tensor, *types: str) -> None:
    node.trust(
        tensor.type in types,
        f"'{tensor.name}' is {tensor.type}, its kernel reads {' or '.join(types)}",
    )


def _read_as(node: Trusted, tensor: Tensor, type_: str) -> None:
    """Refuse a tensor of another type than its kernel reads: beyond its end, where it is wider."""
    instead = ": quantize the whole model, or nothing of it" if type_ == "FLOAT32" else ""
    node.trust(
        tensor.type == type_,
        f"'{tensor.name}' is {tensor.type}, its kernel reads it as {type_}{instead}",
        beyond=TYPE_BITS[tensor.type] < TYPE_BITS[type_],
    )


def _written(node: Trusted, result: Tensor, *types: str) -> None:
    """Refuse a result of another type than its kernel writes."""
    width = min(TYPE_BITS[each] for each in types)
    node.trust(
        result.type in types,
        f"its output '{result.name}' is {result.type}, its kernel writes {' or '.join(types)}",
        beyond=TYPE_BITS[result.type] != width,
    )


def _per_tensor(node: Trusted, *tensors: Tensor) -> None:
    """Refuse scales or zero points per channel, of which kernels read the first alone."""
    for tensor in tensors:
        quantization = tensor.quantization
        several = max(len(set(quantization.scales)), len(set(quantization.zero_points)))
        node.trust(
            not quantization.is_affine or several == 1,
            f"'{tensor.name}' has {len(quantization.scales)} scales and"
            f" {len(quantization.zero_points)} zero points, its kernel reads the first alone",
        )


def _rescaled(node: Trusted, result: Tensor, *sources: Tensor) -> None:
    """Refuse scales that make no multiplier: C leaves open what a quotient of none becomes."""
    _per_tensor(node, result, *sources)
    for tensor in (result, *sources):
        found = scale(tensor)
        fits = isfinite(found) and (found > 0 or tensor is not result)
        node.trust(
            fits,
            f"'{tensor.name}' has the scale {found:g}, of which its kernel makes no multiplier",
            beyond=True,
        )


def _broadcast(shapes: Sequence[Shape]) -> Shape | None:
    """What shapes broadcast to, ``None`` where they do not."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    widest = tuple(
        next((extent for extent in extents if extent != 1), 1)
        for extents in zip(*padded, strict=True)
    )
    fits = all(
        extent in (1, wide) for shape in padded for extent, wide in zip(shape, widest, strict=True)
    )
    return widest if fits else None


def _axis(node: Trusted, place: int, rank: int) -> int:
    found = place + rank if place < 0 else place
    node.trust(0 <= found < rank, f"its axis {place} lies outside {rank} dimensions")
    return found


# Operators that work through all values, whatever their dimensions.


def _unary(node: Trusted, *, quantized: bool = False, types: bool = True) -> None:
    _has(node, 1)
    source, result = node.input(0), node.output(0)
    _fills(node, result, node.meant(source))
    if types:
        _written(node, result, source.type)
    if quantized and result.type in ("INT8", "INT16"):
        _rescaled(node, result, source)
    elif quantized:
        _per_tensor(node, source, result)


def _limited(node: Trusted) -> None:
    """RELU6, whose kernel takes the input's quantization for the result."""
    _unary(node, quantized=True)
    source, result = node.input(0), node.output(0)
    node.trust(
        source.type == "FLOAT32" or quantized_alike(source, result),
        f"'{result.name}' is quantized otherwise than '{source.name}', which its kernel does not"
        " look at",
    )


def _greater(node: Trusted) -> None:
    """GREATER, whose Prepare computes multipliers for INT8 alone (``comparisons.cc``)."""
    _pairwise(node, compares=True, quantized=True)
    node.trust(
        node.input(0).type != "INT16",
        "it compares INT16 by multipliers that TFLM never sets: compare as FLOAT32 or INT32",
    )


def _sum(node: Trusted) -> None:
    """ADD, which clamps INT32 to the range of its type alone (``add.cc``)."""
    _pairwise(node, quantized=True)
    activation = node.operator.options.get("fused_activation_function", "NONE")
    node.trust(
        activation == "NONE" or node.input(0).type != "INT32",
        f"TFLM leaves its fused {activation} out for INT32: make the activation an operator of its"
        " own",
    )


def _saturating(node: Trusted, **expected: tuple[float, int]) -> None:
    """Kernels that quantize their result in one way, whatever the file says."""
    source, result = node.input(0), node.output(0)
    if source.type not in expected:
        return
    wanted, offset = expected[source.type]
    node.trust(scale(source) >= 0, f"'{source.name}' has the scale {scale(source):g}")
    node.trust(
        abs(scale(result) / wanted - 1) < HALF_A_STEP
        and abs(zero_point(result) - offset) <= A_STEP,
        f"'{result.name}' has the scale {scale(result):g} and zero point {zero_point(result)}, its"
        f" kernel computes with {wanted:g} and {offset}",
    )


def _tanh(node: Trusted) -> None:
    _unary(node, quantized=True)
    _saturating(node, INT8=(1 / 128, 0))


def _logistic(node: Trusted) -> None:
    _unary(node, quantized=True)
    _saturating(node, INT8=(1 / 256, -128))


def _normalized(node: Trusted) -> None:
    _rows(node)
    _saturating(node, INT8=(1 / 128, 0))


#: Dimensions that kernels broadcast before a change; since then six, as many as a shape may have.
_BROADCAST_BEFORE = {
    "ADD": ("sums of six dimensions", 4),
    "MUL": ("products of six dimensions", 4),
    "SUB": ("differences of six dimensions", 5),
    "DIV": ("broadcasts of all ranks", 5),
    "MAXIMUM": ("broadcasts of all ranks", 5),
    "MINIMUM": ("broadcasts of all ranks", 5),
}
_MOST_BROADCAST = 6


def _most_broadcast(node: Trusted) -> int:
    change, most = _BROADCAST_BEFORE.get(node.operator.name, ("broadcasts of all ranks", 4))
    return _MOST_BROADCAST if node.tflm.has(change) else most


def _pairwise(node: Trusted, *, compares: bool = False, quantized: bool = False) -> None:
    """Two tensors of one shape value by value, or broadcast against each other."""
    _has(node, 2)
    first, second, result = node.input(0), node.input(1), node.output(0)
    _typed(node, second, first.type)
    if compares:
        node.trust(
            result.element_bytes == 1 or _is_condition(node, result),
            f"its output '{result.name}' is {result.type}, its kernel writes BOOL",
        )
    else:
        _written(node, result, first.type)
    if quantized and first.type in ("INT8", "INT16"):
        if compares:
            _per_tensor(node, first, second)
        else:
            _rescaled(node, result, first, second)
    if node.meant(first) == node.meant(second) and _run_in_step(first, second, result):
        _fills(node, result, node.meant(first))
        return
    for tensor in (first, second):
        # Dimensions of 1 before the others change nothing where shapes broadcast.
        if _without_ones(node.meant(tensor)) != _without_ones(tensor.shape):
            _as_meant(node, tensor)
    shape = _broadcast((first.shape, second.shape))
    node.trust(
        shape is not None,
        f"'{first.name}' {list(first.shape)} and '{second.name}' {list(second.shape)} do not"
        " broadcast",
    )
    most = _most_broadcast(node)
    _rank(node, first, 0, most)
    _rank(node, second, 0, most)
    _gives_but_for_ones(node, result, shape or ())


def _run_in_step(first: Tensor, second: Tensor, result: Tensor) -> bool:
    """Whether the kernel takes both tensors value by value, whatever their dimensions are."""
    if first.shape == second.shape:
        return True
    rank = max(len(tensor.shape) for tensor in (first, second, result))
    extents = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in (first, second)]
    places = (1,) * (rank - len(result.shape)) + result.shape
    return first.elements == second.elements == result.elements and all(
        extent != 1 or place == 1
        for shape in extents
        for extent, place in zip(shape, places, strict=True)
    )


def _is_condition(node: Trusted, result: Tensor) -> bool:
    """Whether all that looks at ``result`` may be a WHILE, which reads its first byte alone."""
    graph = node.subgraph
    read = any(result.index in operator.inputs for operator in graph.operators)
    return graph.index > 0 and result.elements == 1 and not read


def _without_ones(shape: Shape) -> Shape:
    start = next((axis for axis, extent in enumerate(shape) if extent != 1), len(shape))
    return shape[start:]


def _gives_but_for_ones(node: Trusted, result: Tensor, shape: Shape) -> None:
    """Kernels put dimensions of 1 before the shapes that they work on."""
    if _without_ones(result.shape) != _without_ones(shape):
        _gives(node, result, shape)
    _fills(node, result, shape)


def _several(node: Trusted) -> None:
    """ADD_N."""
    first = node.input(0)
    _as_meant(node, *_inputs(node))
    _fills(node, node.output(0), first.shape)
    if first.type == "INT8":
        _per_tensor(node, *_inputs(node), node.output(0))


def _prelu(node: Trusted) -> None:
    """PRELU, which looks at the type of its slopes for INT16 alone (``prelu.cc``)."""
    _has(node, 2)
    source, slope, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source, slope)
    _written(node, result, source.type)
    _read_as(node, slope, "FLOAT32" if source.type == "FLOAT32" else "INT8")
    _gives(node, result, _broadcast((source.shape, slope.shape)) or source.shape)
    node.trust(
        _broadcast((source.shape, slope.shape)) == source.shape,
        f"its slopes '{slope.name}' {list(slope.shape)} do not fit '{source.name}'"
        f" {list(source.shape)}",
    )
    if source.type in ("INT8", "INT16"):
        _rescaled(node, result, source, slope)


def _select(node: Trusted) -> None:
    _has(node, 3)
    sources = _inputs(node)
    _as_meant(node, *sources)
    shape = _broadcast([tensor.shape for tensor in sources])
    node.trust(shape is not None, "the shapes of its inputs do not broadcast")
    _written(node, node.output(0), node.input(1).type)
    _gives_but_for_ones(node, node.output(0), shape or ())


def _reshape(node: Trusted) -> None:
    """TFLM takes the output's shape from the file, whatever shape the operator asks for."""
    source, result = node.input(0), node.output(0)
    asked: Sequence[int] = ()
    if node.has_input(1):
        target = node.input(1)
        if target.type == "INT32" and target.is_constant and len(target.shape) == 1:
            asked = integers(target)
    else:
        wanted = node.operator.options["new_shape"]
        asked = [int(extent) for extent in wanted] if isinstance(wanted, tuple) else ()
    shape = _closed(asked, source.elements)
    if shape is not None:
        node.means(node.subgraph, result, shape)


def _closed(asked: Sequence[int], elements: int) -> Shape | None:
    """A shape with its one open dimension filled; ``None`` where it does not hold ``elements``."""
    known = prod(extent for extent in asked if extent != -1)
    if list(asked).count(-1) == 1 and known > 0 and elements % known == 0:
        return tuple(elements // known if extent == -1 else extent for extent in asked)
    return tuple(asked) if asked and known == elements and -1 not in asked else None


def _same_values(node: Trusted) -> None:
    """SQUEEZE and EXPAND_DIMS, whose Prepare has checked the shapes."""
    _as_meant(node, node.input(0))
    _written(node, node.output(0), node.input(0).type)


# Convolutions, dense layers and pools.


def _bias(node: Trusted, position: int, channels: int, *types: str) -> None:
    bias = node.optional_input(position)
    if bias is None:
        return
    _typed(node, bias, *types)
    node.trust(
        bias.elements == channels,
        f"its bias '{bias.name}' has {bias.elements} values for {channels} channels",
    )
    if bias.type == "INT64" and bias.is_constant:
        node.trust(
            max(map(abs, integers(bias)), default=0) < _LARGEST_SUM,
            f"its bias '{bias.name}' has values of more bits than its kernel multiplies",
        )


_ACCUMULATORS = {"FLOAT32": ("FLOAT32",), "INT8": ("INT32",), "INT16": ("INT64", "INT32")}


def _windows(node: Trusted, source: Tensor, height: int, width: int) -> Shape:
    """Height and width of the result of a sliding window."""
    options, padding = node.operator.options, str(node.operator.options["padding"])
    dilations = [int(str(options.get(f"dilation_{axis}_factor", 1))) for axis in "hw"]
    strides = [option(node, f"stride_{axis}") for axis in "hw"]
    return tuple(
        Window(size, reach, stride, dilation).output(padding)
        for size, reach, stride, dilation in zip(
            source.shape[1:3], (height, width), strides, dilations, strict=True
        )
    )


def _weighted(
    node: Trusted, source: Tensor, weights: Tensor, result: Tensor, channels: int
) -> None:
    _as_meant(node, source)
    _written(node, result, source.type)
    if source.type in ("INT8", "INT16"):
        _rescaled(node, result, source)
        _weights_scaled(node, source, weights, result, channels)


def _weights_scaled(
    node: Trusted, source: Tensor, weights: Tensor, result: Tensor, channels: int
) -> None:
    scales = weights.quantization.scales
    node.trust(
        len(scales) in (0, 1, channels),
        f"its weights '{weights.name}' have {len(scales)} scales for {channels} channels",
    )
    largest = max(map(abs, scales), default=0.0) * scale(source) / scale(result)
    node.trust(
        largest < _LARGEST_MULTIPLIER,
        f"a sum of its weights '{weights.name}' is multiplied by {largest:g}, which no INT32 holds",
        beyond=True,
    )


def _gives_images(node: Trusted, result: Tensor, shape: Shape) -> None:
    """The kernel looks at four dimensions of its output, whatever follows them."""
    if result.shape[:4] != shape:
        _gives(node, result, shape)
    _fills(node, result, shape)


def _conv(node: Trusted) -> None:
    source, weights, result = node.input(0), node.input(1), node.output(0)
    filters, height, width, depth = weights.shape
    _weighted(node, source, weights, result, filters)
    node.trust(
        depth > 0 and source.shape[3] % depth == 0 and source.shape[3] >= depth,
        f"its {source.shape[3]} input channels are no multiple of the filter's {depth}",
    )
    groups = source.shape[3] // depth
    node.trust(filters % groups == 0, f"its {filters} filters do not make {groups} groups")
    if groups > 1 and _runs_in_esp_nn(node, source, weights):
        from pytest_tinybudget.footprint.operators.esp_nn import ignores_groups

        ignored = ignores_groups(node.kernels, node.tflm.version, (height, width))
        node.trust(not ignored, f"its {source.shape[3]} channels are in {groups} groups, {ignored}")
    _gives_images(node, result, (source.shape[0], *_windows(node, source, height, width), filters))
    _bias(node, 2, filters, *_ACCUMULATORS.get(source.type, ()))


def _runs_in_esp_nn(node: Trusted, source: Tensor, weights: Tensor) -> bool:
    """Whether esp-nn computes a CONV_2D: other types and dilations are TFLM's own."""
    dilation = option(node, "dilation_h_factor"), option(node, "dilation_w_factor")
    types = source.type, weights.type
    return node.kernels.library == "esp-nn" and types == ("INT8", "INT8") and dilation == (1, 1)


def _depthwise(node: Trusted) -> None:
    source, weights, result = node.input(0), node.input(1), node.output(0)
    _, height, width, filters = weights.shape
    _weighted(node, source, weights, result, filters)
    node.trust(weights.shape[0] == 1, f"its filter '{weights.name}' is {list(weights.shape)}")
    multiplier = option(node, "depth_multiplier")
    node.trust(
        source.shape[3] * multiplier == filters,
        f"{source.shape[3]} channels with the depth multiplier {multiplier} are not the"
        f" {filters} of its filter",
    )
    _gives_images(node, result, (source.shape[0], *_windows(node, source, height, width), filters))
    accumulators = ("INT64",) if source.type == "INT16" else _ACCUMULATORS.get(source.type, ())
    _bias(node, 2, filters, *accumulators)


def _transpose_conv(node: Trusted) -> None:
    shape, weights, source, result = (*map(node.input, range(3)), node.output(0))
    filters = weights.shape[0]
    _weighted(node, source, weights, result, filters)
    node.trust(
        weights.shape[3] == source.shape[3],
        f"its filter is for {weights.shape[3]} channels, '{source.name}' has {source.shape[3]}",
    )
    if shape.is_constant and shape.type == "INT32":
        _gives(node, result, integers(shape))
    node.trust(
        result.shape[0] == source.shape[0] and result.shape[3] == filters,
        f"its output is {list(result.shape)}, expected {source.shape[0]} batches of {filters}"
        " channels",
    )
    strides = option(node, "stride_h"), option(node, "stride_w")
    node.trust(min(strides) > 0, f"its strides are {strides[0]} and {strides[1]}")
    padding = str(node.operator.options["padding"])
    swept = [
        Window(size, reach, stride).output(padding)
        for size, reach, stride in zip(result.shape[1:3], weights.shape[1:3], strides, strict=True)
    ]
    node.trust(
        tuple(swept) == source.shape[1:3],
        f"'{source.name}' {list(source.shape)} does not give an output of {list(result.shape)}",
    )
    accumulators = ("INT64", "INT16") if source.type == "INT16" else _ACCUMULATORS[source.type]
    _bias(node, 3, filters, *accumulators)


def _dense(node: Trusted) -> None:
    _has(node, 2)
    source, weights, result = node.input(0), node.input(1), node.output(0)
    _rank(node, weights, 2)
    units, depth = weights.shape
    if source.type in ("INT8", "INT16"):
        _rescaled(node, result, source)
        _weights_scaled(node, source, weights, result, units)
    meant = node.meant(source)
    node.trust(
        depth > 0 and source.elements % depth == 0,
        f"the {source.elements} values of '{source.name}' are no rows of {depth}",
    )
    shape: Shape = (source.elements // depth, units)
    if node.operator.options["keep_num_dims"]:
        node.trust(
            meant[-1:] == (depth,),
            f"'{source.name}' is {list(meant)}, its weights take rows of {depth}",
        )
        shape = (*meant[:-1], units)
    _rank(node, result, 1, 16)
    node.trust(
        result.shape[-1] == units,
        _other_shape(result, shape),
    )
    _fills(node, result, shape)
    _bias(node, 2, units, *_ACCUMULATORS.get(source.type, ()))


def _pool(node: Trusted) -> None:
    _has(node, 1)
    source, result = node.input(0), node.output(0)
    _rank(node, source, 4)
    _as_meant(node, source)
    _written(node, result, source.type)
    reach = option(node, "filter_height"), option(node, "filter_width")
    node.trust(min(reach) > 0, f"its window is {reach[0]} x {reach[1]}")
    height, width = _windows(node, source, *reach)
    _gives_images(node, result, (source.shape[0], height, width, source.shape[3]))
    if node.operator.options["fused_activation_function"] != "NONE":
        _per_tensor(node, source, result)
    if source.type in ("INT8", "INT16") and not node.tflm.has("pooling checks quantization"):
        node.trust(
            quantized_alike(source, result),
            f"'{result.name}' is quantized otherwise than '{source.name}', and it does not rescale",
        )


# Along an axis.


def _rows(node: Trusted, *, quantized: bool = True) -> None:
    """SOFTMAX and kin: along the last axis."""
    _has(node, 1)
    source, result = node.input(0), node.output(0)
    if source.shape:
        _as_meant_along(node, source, -1)
    last = len(source.shape) - 1
    if result.shape[last : last + 1] < source.shape[-1:]:
        # The kernel's rows are as long as the shorter of both along the input's last axis.
        _gives(node, result, node.meant(source))
    _fills(node, result, node.meant(source))
    if quantized and source.type in ("INT8", "INT16"):
        _per_tensor(node, source, result)


def _reduced(node: Trusted) -> None:
    source, axis, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    if source.type in ("INT8", "INT16"):
        _rescaled(node, result, source)
    # Values of the input's width, whatever the file calls them.
    if TYPE_BITS[result.type] != TYPE_BITS[source.type]:
        _written(node, result, source.type)
    if not axis.is_constant:
        return
    rank = len(source.shape)
    axes = {_axis(node, place, rank) for place in integers(axis)} if rank else set()
    keep = bool(node.operator.options["keep_dims"])
    _fills(
        node,
        result,
        [
            1 if place in axes else extent
            for place, extent in enumerate(source.shape)
            if keep or place not in axes
        ],
    )


def _arg(node: Trusted) -> None:
    _has(node, 2)
    source, axis, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    if axis.is_constant:
        place = _axis(node, integers(axis)[0], len(source.shape))
        _fills(node, result, source.shape[:place] + source.shape[place + 1 :])


def _concatenated(node: Trusted) -> None:
    """The kernel takes rows from the output's shape, and the axis of each input by its number."""
    sources, result = _inputs(node), node.output(0)
    asked = option(node, "axis")
    meant = [node.meant(tensor) for tensor in sources]
    first = meant[0]
    axis, place = _axis(node, asked, len(first)), _axis(node, asked, len(result.shape))
    for tensor, shape in zip(sources, meant, strict=True):
        node.trust(
            len(shape) == len(first)
            and shape[:axis] + shape[axis + 1 :] == first[:axis] + first[axis + 1 :],
            f"'{tensor.name}' {list(shape)} does not join '{sources[0].name}' {list(first)} along"
            f" axis {axis}",
        )
        _typed(node, tensor, result.type)
    whole = (*first[:axis], sum(shape[axis] for shape in meant), *first[axis + 1 :])
    parts = [prod(tensor.shape[place : place + 1]) for tensor in sources]
    outer, inner = prod(result.shape[:place]), prod(result.shape[place + 1 :])
    copied = outer * sum(parts) * inner
    node.trust(copied == result.elements, _other_shape(result, whole), beyond=True)
    chunks = [part * inner for part in parts]
    as_meant = outer == prod(whole[:axis]) and chunks == [
        shape[axis] * prod(whole[axis + 1 :]) for shape in meant
    ]
    if not as_meant and not (len(sources) == 1 and copied == result.elements):
        _gives(node, result, whole)
        _as_meant(node, *sources)
    _fills(node, result, whole)


def _packed(node: Trusted) -> None:
    sources, result = _inputs(node), node.output(0)
    _as_meant(node, *sources)
    first = sources[0]
    for tensor in sources:
        node.trust(
            tensor.shape == first.shape and tensor.type == result.type,
            f"'{tensor.name}' is {tensor.type} {list(tensor.shape)}, its output"
            f" {result.type} of {list(first.shape)}",
        )
    axis = _axis(node, option(node, "axis"), len(first.shape) + 1)
    _gives(node, result, (*first.shape[:axis], len(sources), *first.shape[axis:]))


def _unpacked(node: Trusted) -> None:
    source, results = node.input(0), _outputs(node)
    _as_meant(node, source)
    axis = _axis(node, option(node, "axis"), len(source.shape))
    node.trust(
        source.shape[axis] == len(results),
        f"'{source.name}' {list(source.shape)} does not make {len(results)} outputs along axis"
        f" {axis}",
    )
    for result in results:
        _written(node, result, source.type)
        _fills(node, result, source.shape[:axis] + source.shape[axis + 1 :])


def _split(node: Trusted, source_at: int, axis_at: int) -> None:
    source, axis, results = node.input(source_at), node.input(axis_at), _outputs(node)
    node.trust(len(axis.data) >= _INT32, f"its axis '{axis.name}' holds no INT32")
    asked = int32s(axis, 1)[0]
    place = _as_meant_along(node, source, asked)
    extent, meant = source.shape[place], node.meant(source)
    parts = [extent // max(len(results), 1)] * len(results)
    if node.operator.name == "SPLIT_V":
        sizes = node.input(1)
        if sizes.is_constant and sizes.type in ("INT32", "INT64"):
            parts = list(integers(sizes))
            rest = extent - sum(size for size in parts if size != -1)
            parts = [rest if size == -1 else size for size in parts]
    node.trust(
        len(parts) == len(results) and sum(parts) == extent,
        f"{extent} along axis {place} of '{source.name}' do not make its {len(results)} outputs",
    )
    outer, _, inner = _view(source.shape, place)
    for result, part in zip(results, parts, strict=True):
        _written(node, result, source.type)
        taken_from = result if node.operator.name == "SPLIT_V" else results[0]
        copied = outer * prod(taken_from.shape[place : place + 1]) * inner
        right = _axis(node, asked, len(meant))
        shape = (*meant[:right], part, *meant[right + 1 :])
        node.trust(copied == result.elements, _other_shape(result, shape), beyond=True)
        if taken_from is result and result.shape[place : place + 1] != (part,):
            # How much a part takes is read off its shape (SPLIT: off the first one's).
            _gives(node, result, shape)
        _fills(node, result, shape)


def _detected(node: Trusted) -> None:
    """TFLite_Detection_PostProcess reads and writes floats (``detection_postprocess.cc``)."""
    _as_meant(node, *_inputs(node))
    _read_as(node, node.input(2), "FLOAT32")
    for result in _outputs(node):
        _written(node, result, "FLOAT32")


# What moves, cuts or repeats values.


def _padded(node: Trusted) -> None:
    """PAD and PADV2, whose shape Prepare has checked."""
    _as_meant(node, node.input(0))
    paddings = node.input(1)
    amounts = int32s(paddings, paddings.elements)
    if integers(paddings) != amounts:
        _typed(node, paddings, "INT32")
    node.trust(min(amounts, default=0) >= 0, f"its paddings {list(amounts)} are negative")


def _mirrored(node: Trusted) -> None:
    _has(node, 2)
    source, padding, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    _written(node, result, source.type)
    _typed(node, padding, "INT32", "INT64")
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
    _gives(
        node,
        result,
        [
            extent + amounts[2 * axis] + amounts[2 * axis + 1]
            for axis, extent in enumerate(source.shape)
        ],
    )


def _strided(node: Trusted) -> None:
    source, begin, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    _written(node, result, source.type)
    for position in range(1, 4):
        _typed(node, node.input(position), "INT32")
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
    _has(node, 3)
    source, begin, size, result = (*map(node.input, range(3)), node.output(0))
    _as_meant(node, source)
    _written(node, result, source.type)
    _typed(node, size, begin.type)
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
    _gives(node, result, shape)


def _transposed(node: Trusted) -> None:
    source, order, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    axes = integers(order)
    node.trust(
        sorted(axes) == list(range(len(source.shape))), f"its axes {list(axes)} are no permutation"
    )
    _gives(node, result, [source.shape[axis] for axis in axes])


def _like_first(node: Trusted) -> None:
    """The result has the shape and type of the first input."""
    source, result = node.input(0), node.output(0)
    _as_meant(node, source)
    _written(node, result, source.type)
    _gives(node, result, source.shape)


def _updated(node: Trusted) -> None:
    _as_meant(node, node.input(0), node.input(1))
    _like_first(node)


def _shape_of(node: Trusted) -> None:
    source, result = node.input(0), node.output(0)
    _as_meant(node, source)
    _gives(node, result, (len(source.shape),))


def _broadcast_args(node: Trusted) -> None:
    sources = _inputs(node)
    _as_meant(node, *sources)
    _gives(node, node.output(0), (max(tensor.elements for tensor in sources),))


def _plain(node: Trusted) -> None:
    """Prepare has checked the result against its inputs as they are in the file."""
    _as_meant(node, *_inputs(node))


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
                _read_as(node, tensor, type_)
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
    _as_meant(node, source, indices)
    if node.operator.name == "GATHER":
        _written(node, result, source.type)
        extent = source.shape[_axis(node, option(node, "axis"), len(source.shape))]
    else:
        extent = source.shape[0]
    if indices.is_constant:
        wrong = [index for index in integers(indices) if not 0 <= index < extent]
        node.trust(not wrong, f"it takes entry {wrong[:1]} of {extent} of '{source.name}'")


def _indexed_nd(node: Trusted) -> None:
    source, indices, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source, indices)
    _written(node, result, source.type)


def _resized(node: Trusted) -> None:
    source, size, result = node.input(0), node.input(1), node.output(0)
    _as_meant(node, source)
    _written(node, result, source.type)
    node.trust(size.elements == 2, f"'{size.name}' has {size.elements} values, expected 2")
    _gives(node, result, (source.shape[0], *integers(size), source.shape[3]))


def _batched(node: Trusted) -> None:
    """SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND: shapes by constant blocks and paddings."""
    source, block, around, result = (*map(node.input, range(3)), node.output(0))
    _as_meant(node, source)
    spatial = len(source.shape) - 2
    node.trust(
        block.elements == spatial and around.elements == 2 * spatial,
        f"'{block.name}' and '{around.name}' are not for {spatial} axes",
    )
    for tensor in (block, around):
        _typed(node, tensor, "INT32")
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
        _gives(node, result, (batch * prod(blocks), *parts, channels))
        _bordered(node, result, amounts)
        return
    node.trust(
        batch % prod(blocks) == 0, f"{batch} batches are no multiple of blocks of {list(blocks)}"
    )
    parts = [side * by - margin for side, by, margin in zip(sides, blocks, margins, strict=True)]
    _gives(node, result, (batch // prod(blocks), *parts, channels))


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


# Compressed weights.


def _decoded(node: Trusted) -> None:
    from pytest_tinybudget.footprint.operators.compression import HEADER_BYTES
    from pytest_tinybudget.footprint.operators.compression import LOOK_UP_TABLES

    for position in range(len(node.operator.outputs)):
        encoded, ancillary = node.input(2 * position), node.input(2 * position + 1)
        header = bytes(ancillary.data[:HEADER_BYTES])
        if len(header) == HEADER_BYTES and header[0] == LOOK_UP_TABLES:
            _looked_up(node, encoded, ancillary, node.output(position))


def _looked_up(node: Trusted, encoded: Tensor, ancillary: Tensor, result: Tensor) -> None:
    """One table of values for each scale, one after the other (``decode_state_lut.cc``)."""
    from pytest_tinybudget.footprint.operators.compression import HEADER_BYTES
    from pytest_tinybudget.footprint.operators.compression import look_up_indices
    from pytest_tinybudget.footprint.operators.compression import look_up_widths

    width, stride = look_up_widths(ancillary)
    channels = max(1, len(result.quantization.scales))
    size = TYPE_BITS[result.type] // 8
    if not (size and width):
        return
    values = (len(ancillary.data) - HEADER_BYTES) // size
    last = (channels - 1) * stride
    if last + (1 << width) <= values:
        return
    along_last = channels > 1 and result.quantization.dimension == len(result.shape) - 1
    each = 1 if along_last else result.elements // channels
    packed = look_up_indices(encoded, width, result.elements)
    beyond = any(
        at // max(1, each) % channels * stride + index >= values for at, index in enumerate(packed)
    )
    tables = "one table" if values <= stride else f"tables of {stride}"
    node.trust(
        not beyond,
        f"'{ancillary.name}' has {values} values, {tables}, and '{result.name}' {channels} scales,"
        " each of which reads a table of its own: compress it with one table for each channel, or"
        " quantize it with one scale",
    )


# Control flow and variables.


def _passes(node: Trusted, inside: Subgraph, indices: tuple[int, ...], outer: list[Tensor]) -> None:
    """Refuse tensors handed to or from ``inside`` of another size than there: bytes are copied.

    Those handed to it have the shape in it that they have outside.
    """
    for index, tensor in zip(indices, outer, strict=False):
        other = inside.tensors[index]
        if tensor.elements * tensor.element_bytes != other.elements * other.element_bytes:
            node.fails_at_invoke(
                f"'{tensor.name}' is {tensor.type} {list(tensor.shape)}, '{other.name}' of"
                f" subgraph {inside.index} {other.type} {list(other.shape)}"
            )
            return
        if indices is inside.inputs and tensor.elements == other.elements:
            node.means(inside, other, node.meant(tensor))


def _called(node: Trusted, name: str) -> Subgraph:
    return node.model.subgraphs[option(node, name)]


def _if(node: Trusted) -> None:
    sources, results = _inputs(node)[1:], _outputs(node)
    for name in taken(node.subgraph, node.operator):
        inside = _called(node, name)
        if (len(inside.inputs), len(inside.outputs)) != (len(sources), len(results)):
            node.fails_at_invoke("its inputs and outputs are not those of the subgraphs it calls")
            return
        _passes(node, inside, inside.inputs, sources)
        _passes(node, inside, inside.outputs, results)


def _while(node: Trusted) -> None:
    condition, body = _called(node, "cond_subgraph_index"), _called(node, "body_subgraph_index")
    sources, results = _inputs(node), _outputs(node)
    node.trust(
        [condition.tensors[index].elements for index in condition.outputs] == [1],
        f"subgraph {condition.index}, its condition, does not give a single BOOL",
    )
    for outer, inner in zip(sources, results, strict=True):
        if outer.elements * outer.element_bytes != inner.elements * inner.element_bytes:
            node.fails_at_invoke(f"'{outer.name}' and '{inner.name}' differ in size")
            return
    _passes(node, condition, condition.inputs, sources)
    _passes(node, body, body.inputs, results)
    _passes(node, body, body.outputs, results)


def check_variable(node: Trusted) -> None:
    """Refuse a variable that nothing gives memory, or another size than it has.

    For when all operators are prepared: an ASSIGN_VARIABLE anywhere gives a variable its memory.
    """
    if node.operator.name not in ("READ_VARIABLE", "ASSIGN_VARIABLE") or not node.has_input(0):
        return
    variable = node.handles.get((node.subgraph.index, node.operator.inputs[0]))
    if variable is None:
        return
    size = node.allocated_variables.get(variable)
    if size is None:
        node.refuse(
            f"no ASSIGN_VARIABLE gives '{variable[1]}' its memory, so that it has no values: assign"
            " it when the model starts"
        )
    value = node.output(0) if node.operator.name == "READ_VARIABLE" else node.input(1)
    found = value.elements * value.element_bytes
    node.trust(
        found == size,
        f"'{value.name}' has {found:,} bytes, the variable '{variable[1]}' {size:,}",
        beyond=True,
    )


# Each check with the operators that it is for.
_TABLE: tuple[tuple[Check, str], ...] = (
    (_limited, "RELU6"),
    (_tanh, "TANH"),
    (_logistic, "LOGISTIC"),
    (_normalized, "L2_NORMALIZATION"),
    (
        partial(_unary, quantized=True),
        "RELU LEAKY_RELU HARD_SWISH ABS RSQRT ELU",
    ),
    (_unary, "SIN COS LOG SQRT SQUARE LOGICAL_NOT CEIL EXP ROUND FLOOR NEG ZEROS_LIKE"),
    (partial(_unary, types=False), "CAST"),
    (partial(_unary, types=False, quantized=True), "QUANTIZE DEQUANTIZE"),
    (_sum, "ADD"),
    (partial(_pairwise, quantized=True), "SUB MUL DIV SQUARED_DIFFERENCE"),
    (_pairwise, "FLOOR_DIV FLOOR_MOD MAXIMUM MINIMUM"),
    (
        partial(_pairwise, compares=True, quantized=True),
        "EQUAL NOT_EQUAL GREATER_EQUAL LESS LESS_EQUAL LOGICAL_AND LOGICAL_OR",
    ),
    (_greater, "GREATER"),
    (_several, "ADD_N"),
    (_prelu, "PRELU"),
    (_select, "SELECT_V2"),
    (_reshape, "RESHAPE"),
    (_same_values, "SQUEEZE EXPAND_DIMS"),
    (_conv, "CONV_2D"),
    (_depthwise, "DEPTHWISE_CONV_2D"),
    (_transpose_conv, "TRANSPOSE_CONV"),
    (_dense, "FULLY_CONNECTED"),
    (_pool, "AVERAGE_POOL_2D MAX_POOL_2D"),
    (_rows, "SOFTMAX LOG_SOFTMAX"),
    (_reduced, "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_ALL"),
    (_arg, "ARG_MAX ARG_MIN"),
    (_like_first, "CUMSUM REVERSE_V2"),
    (_concatenated, "CONCATENATION"),
    (_packed, "PACK"),
    (_unpacked, "UNPACK"),
    (partial(_split, source_at=1, axis_at=0), "SPLIT"),
    (partial(_split, source_at=0, axis_at=2), "SPLIT_V"),
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
    (_decoded, "TFLM_DECODE"),
    (_detected, "TFLite_Detection_PostProcess"),
    (_if, "IF"),
    (_while, "WHILE"),
)
_CHECKS: Mapping[str, Check] = {name: each for each, names in _TABLE for name in names.split()}
