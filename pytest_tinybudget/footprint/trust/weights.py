"""Convolutions, dense layers and pools."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.geometry import Window
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import quantized_alike
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.trust import common
from pytest_tinybudget.footprint.trust.trusted import Shape
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import Tensor


#: Kernels multiply sums of 64 bits as if they had 48.
_LARGEST_SUM = 2**47

#: What a sum of 256 may be multiplied by at most, so that an INT32 holds the product.
_LARGEST_MULTIPLIER = 2**23


def _bias(node: Trusted, position: int, channels: int, *types: str) -> None:
    bias = node.optional_input(position)
    if bias is None:
        return
    common.typed(node, bias, *types)
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
    common.as_meant(node, source)
    common.written(node, result, source.type)
    if source.type in ("INT8", "INT16"):
        common.rescaled(node, result, source)
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
        common.gives(node, result, shape)
    common.fills(node, result, shape)


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
        common.gives(node, result, integers(shape))
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
    common.has(node, 2)
    source, weights, result = node.input(0), node.input(1), node.output(0)
    common.rank(node, weights, 2)
    units, depth = weights.shape
    if source.type in ("INT8", "INT16"):
        common.rescaled(node, result, source)
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
    common.rank(node, result, 1, 16)
    node.trust(
        result.shape[-1] == units,
        common.other_shape(result, shape),
    )
    common.fills(node, result, shape)
    _bias(node, 2, units, *_ACCUMULATORS.get(source.type, ()))


def _pool(node: Trusted) -> None:
    common.has(node, 1)
    source, result = node.input(0), node.output(0)
    common.rank(node, source, 4)
    common.as_meant(node, source)
    common.written(node, result, source.type)
    reach = option(node, "filter_height"), option(node, "filter_width")
    node.trust(min(reach) > 0, f"its window is {reach[0]} x {reach[1]}")
    height, width = _windows(node, source, *reach)
    _gives_images(node, result, (source.shape[0], height, width, source.shape[3]))
    if node.operator.options["fused_activation_function"] != "NONE":
        common.per_tensor(node, source, result)
    if source.type in ("INT8", "INT16") and not node.tflm.has("pooling checks quantization"):
        node.trust(
            quantized_alike(source, result),
            f"'{result.name}' is quantized otherwise than '{source.name}', and it does not rescale",
        )


CHECKS = by_operator(
    (_conv, "CONV_2D"),
    (_depthwise, "DEPTHWISE_CONV_2D"),
    (_transpose_conv, "TRANSPOSE_CONV"),
    (_dense, "FULLY_CONNECTED"),
    (_pool, "AVERAGE_POOL_2D MAX_POOL_2D"),
)
