"""Which operators of TensorFlow's graph a layer becomes, with their names there.

The names decide the order of branches (``nodes.ordered``). What the converter then fuses and moves
is in ``passes.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.planning.calls import Call
from pytest_tinybudget.planning.calls import calls_of
from pytest_tinybudget.planning.network import BETWEEN
from pytest_tinybudget.planning.network import OPEN_BEGIN
from pytest_tinybudget.planning.network import OPEN_END
from pytest_tinybudget.planning.network import SINGLE
from pytest_tinybudget.planning.network import Extents
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Operand
from pytest_tinybudget.planning.nodes import Scopes
from pytest_tinybudget.planning.nodes import Shape
from pytest_tinybudget.planning.nodes import Value


class Lowering:
    """A network on its way to operators."""

    def __init__(self, network: Network, model: str) -> None:
        self.network, self.model = network, model
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.values: dict[str, Value] = {}
        self.layer = Layer("flatten")
        self.label = ""
        self.scope = ""
        #: Results of dense layers over a single channel.
        self.over_one_channel: set[int] = set()
        #: The same without a bias: products.
        self.scaled: set[int] = set()
        #: Results of upsamplings that leave one direction as it is.
        self.one_way: set[int] = set()
        #: The first slice that reverses steps.
        self.reversals: dict[int, Node] = {}
        #: Constants that several layers have.
        self.shared: dict[str, Const] = {}
        self._scopes = Scopes(network.scope)
        calls, outputs = calls_of(network, model)
        for name, shape in network.inputs:
            value = Value((1, *shape), name)
            self.inputs.append(value)
            self.values[name] = value
        for each in calls:
            self.add_layer(each)
        self.outputs = [self.values[each] for each in outputs]

    def add_layer(self, call: Call) -> None:
        """Lower one layer."""
        layer = self.layer = call.layer
        self.label = call.label
        if layer.operation:
            self.scope = self._scopes.of_operation(call.name, layer.operation)
        elif layer.merge != "backward":  # it is in the scope of the side before it
            self.scope = self._scopes.of(call.name)
        result = LOWERINGS[layer.type](self, [self.values[each] for each in call.takes])
        if layer.activation != "none" and layer.type not in _OWN_ACTIVATION:
            result = activated(self, result, layer.activation)
        self.values[call.result] = result

    def fail(self, text: str) -> ModelError:
        """An error about the current layer."""
        return ModelError(f"{self.model}: layer {self.label}: {text}")

    def several(self, given: Sequence[Value]) -> ModelError:
        """An error about the current layer, which takes more inputs than are ``given``."""
        return self.fail(f'takes several inputs, has {len(given)}: inputs = ["a", "b"]')

    def unknown(self, text: str) -> NotPlannedError:
        """How the converter makes the current layer is not known."""
        return NotPlannedError(f"{self.model}: layer {self.label}: not planned: {text}")

    def add(
        self, op: str, name: str, inputs: Sequence[Operand], shape: Sequence[int], **options: Any
    ) -> Value:
        """Add an operator; its result."""
        value = Value(tuple(shape))
        node = Node(op, f"{self.scope}/{name}", list(inputs), value, options, label=self.label)
        self.nodes.append(node)
        return value

    def reshape(self, value: Value, shape: Shape, name: str, *, squeeze: bool = False) -> Value:
        """A reshape; ``squeeze`` where it only drops or adds extents of 1."""
        target = Const("ints", (len(shape),), values=shape)
        result = self.add("RESHAPE", name, [value, target], shape)
        self.nodes[-1].squeeze = squeeze
        return result

    def biased(self, value: Value, name: str = "BiasAdd") -> Value:
        """``value`` and a bias, where the layer has one."""
        if not self.layer.bias:
            return value
        if len(value.shape) == 3 and value.shape[-1] == 1:
            # Keras adds what is no vector of several numbers by another operator.
            return self.add("ADD", "add", [value, Const("values", (1, 1, 1))], value.shape)
        bias = Const("values", (value.shape[-1],))
        return self.add("BIAS", name, [value, bias], value.shape)

    def number(self, value: float) -> Const:
        """A single number; equal ones are one constant, those that are not known (0) are not."""
        if not value:
            return Const("values", ())
        # Quantized, a number is the greatest or the least there is: all above 0 share a buffer.
        made = Const("values", (), values=(1 if value > 0 else -1,))
        return self.shared.setdefault(f"number {value}", made)

    def constant(self, value: float, shape: Shape) -> Const:
        """A number of a PyTorch program in a shape; equal ones are one constant."""
        return self.shared.setdefault(f"number {value} {shape}", Const("values", shape))

    def one(self, given: Sequence[Value], rank: int | None = None, expects: str = "") -> Value:
        """The only input, of a rank that the layer takes."""
        if len(given) != 1:
            raise self.fail(f"takes one input, has {len(given)}")
        if rank is not None and len(given[0].shape) != rank:
            raise self.fail(f"expects {expects}, but is given {shown(given[0])}")
        return given[0]

    def image(self, given: Sequence[Value]) -> Value:
        """The only input, of images."""
        return self.one(given, 4, "(height, width, channels)")

    def steps(self, given: Sequence[Value]) -> Value:
        """The only input, of steps in time."""
        return self.one(given, 3, "(steps, channels)")

    def pair(self, extents: Extents) -> tuple[int, int]:
        """Height and width."""
        if isinstance(extents, int):
            return extents, extents
        if len(extents) != 2:
            raise self.fail(f"expects (height, width), found {list(extents)}")
        return extents[0], extents[1]

    def single(self, extents: Extents) -> int:
        """The extent along time."""
        if isinstance(extents, int):
            return extents
        if len(extents) != 1:
            raise self.fail(f"expects one extent, found {list(extents)}")
        return extents[0]


def shown(value: Value) -> str:
    """A shape in words, without batch."""
    return str(list(value.shape[1:]))


# Windows.


def _window(
    low: Lowering,
    value: Value,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[list[int], dict[str, Any]]:
    """Height and width after a window, and the options of such operators."""
    same = low.layer.padding == "same"
    extents = []
    for extent, size, step, wide in zip(value.shape[1:3], kernel, stride, dilation, strict=True):
        reach = (size - 1) * wide + 1
        extents.append(-(-extent // step) if same else -(-(extent - reach + 1) // step))
    if min(extents) < 1:
        raise low.fail(f"its {kernel[0]}×{kernel[1]} window is larger than {list(value.shape)}")
    options = {
        "padding": "SAME" if same else "VALID",
        "stride_h": stride[0],
        "stride_w": stride[1],
    }
    return extents, options


def _convolved(
    low: Lowering,
    value: Value,
    kind: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    size: int,
    name: str,
) -> Value:
    extents, options = _window(low, value, kernel, stride, dilation)
    options |= {"dilation_h_factor": dilation[0], "dilation_w_factor": dilation[1]}
    channels, groups = value.shape[3], low.layer.groups
    if groups > 1 and (channels % groups or size % groups):
        raise low.fail(f"its channels are not in {groups} groups: {channels} and {size}")
    if kind == "CONV_2D":
        inputs = channels // groups if groups > 1 else channels
        weights = Const("weights", (size, *kernel, inputs))
        outputs = size
    else:
        outputs = channels * size
        weights = Const("weights", (1, *kernel, outputs), axis=3)
        options["depth_multiplier"] = size
    if max(stride) > 1 and max(dilation) > 1:
        raise low.fail("cannot have both a stride and a dilation")
    return low.add(kind, name, [value, weights, None], (1, *extents, outputs), **options)


def _convolution(kind: str, name: str, low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.image(given), low.layer
    result = _convolved(
        low, value, kind, low.pair(layer.kernel), low.pair(layer.stride),
        low.pair(layer.dilation), layer.size, name,
    )  # fmt: skip
    return low.biased(result)


def _separable_conv2d(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.image(given), low.layer
    stride = low.pair(layer.stride)
    if stride[0] != stride[1]:
        raise low.fail("takes one stride for both directions")
    middle = _convolved(
        low, value, "DEPTHWISE_CONV_2D", low.pair(layer.kernel), stride,
        low.pair(layer.dilation), layer.multiplier, "separable_conv2d/depthwise",
    )  # fmt: skip
    return low.biased(_pointwise(low, middle, "separable_conv2d"))


def _pointwise(low: Lowering, value: Value, name: str) -> Value:
    weights = Const("weights", (low.layer.size, 1, 1, value.shape[3]))
    options = {"padding": "VALID", "stride_h": 1, "stride_w": 1}
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    shape = (*value.shape[:3], low.layer.size)
    return low.add("CONV_2D", name, [value, weights, None], shape, **options)


def _widened(low: Lowering, value: Value, name: str) -> Value:
    """Steps as an image of height 1."""
    return low.reshape(value, (1, 1, *value.shape[1:]), name, squeeze=True)


def _narrowed(low: Lowering, value: Value, name: str) -> Value:
    """An image of height 1 as steps."""
    return low.reshape(value, (1, *value.shape[2:]), name, squeeze=True)


def _conv1d(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.steps(given), low.layer
    if value.shape[-1] == layer.size == 1:
        # TensorFlow 2.21 refuses most of these, and adds the bias of others by itself.
        raise low.unknown("a conv1d of one filter over one channel")
    kernel, dilation = low.single(layer.kernel), low.single(layer.dilation)
    if layer.padding == "causal" and kernel > 1:
        value = _padded(low, value, ((0, 0), (dilation * (kernel - 1), 0), (0, 0)), "Pad")
    wide = _widened(low, value, "convolution/ExpandDims")
    result = _convolved(
        low, wide, "CONV_2D", (1, kernel), (1, low.single(layer.stride)), (1, dilation),
        layer.size, "convolution",
    )  # fmt: skip
    return low.biased(_narrowed(low, result, "convolution/Squeeze"))


def _depthwise_conv1d(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.steps(given), low.layer
    wide = _widened(low, value, "ExpandDims")
    stride = low.single(layer.stride)
    result = _convolved(
        low, wide, "DEPTHWISE_CONV_2D", (1, low.single(layer.kernel)), (1, stride),
        (1, low.single(layer.dilation)), layer.size, "depthwise",
    )  # fmt: skip
    if stride > 1:
        raise low.unknown("a depthwise_conv1d with a stride")
    return low.biased(_narrowed(low, result, "Squeeze"))


def _separable_conv1d(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.steps(given), low.layer
    wide = _widened(low, value, "ExpandDims")
    stride = low.single(layer.stride)
    if stride > 1 or layer.padding == "causal":
        raise low.unknown("a separable_conv1d with a stride or causal")
    result = _convolved(
        low, wide, "DEPTHWISE_CONV_2D", (1, low.single(layer.kernel)), (1, stride),
        (1, low.single(layer.dilation)), layer.multiplier, "separable_conv2d/depthwise",
    )  # fmt: skip
    result = _pointwise(low, result, "separable_conv2d")
    return low.biased(_narrowed(low, result, "Squeeze"))


def _transposed(
    low: Lowering, value: Value, kernel: tuple[int, int], stride: tuple[int, int]
) -> Value:
    same = low.layer.padding == "same"
    pairs = zip(value.shape[1:3], kernel, stride, strict=True)
    extents = [extent * step + (0 if same else max(size - step, 0)) for extent, size, step in pairs]
    shape = (1, *extents, low.layer.size)
    weights = Const("weights", (low.layer.size, *kernel, value.shape[3]))
    target = Const("ints", (4,), values=shape)
    padding = "SAME" if same else "VALID"
    options: dict[str, Any] = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1]}
    inputs: list[Operand] = [target, weights, value, None]
    return low.add("TRANSPOSE_CONV", "conv_transpose", inputs, shape, **options)


def _conv2d_transpose(low: Lowering, given: Sequence[Value]) -> Value:
    layer = low.layer
    if low.pair(layer.dilation) != (1, 1):
        raise low.unknown("a transposed convolution with a dilation")
    result = _transposed(low, low.image(given), low.pair(layer.kernel), low.pair(layer.stride))
    return low.biased(result)


def _conv1d_transpose(low: Lowering, given: Sequence[Value]) -> Value:
    layer = low.layer
    if low.single(layer.dilation) != 1:
        raise low.unknown("a transposed convolution with a dilation")
    wide = _widened(low, low.steps(given), "conv_transpose/ExpandDims")
    kernel, stride = (1, low.single(layer.kernel)), (1, low.single(layer.stride))
    result = _transposed(low, wide, kernel, stride)
    return low.biased(_narrowed(low, result, "conv_transpose/Squeeze"))


def _pooled(
    low: Lowering, value: Value, op: str, kernel: tuple[int, int], stride: tuple[int, int]
) -> Value:
    extents, options = _window(low, value, kernel, stride)
    options |= {"filter_height": kernel[0], "filter_width": kernel[1]}
    name = "MaxPool2d" if op == "MAX_POOL_2D" else "AvgPool"
    return low.add(op, name, [value], (1, *extents, value.shape[3]), **options)


def _pool2d(op: str) -> Callable[[Lowering, Sequence[Value]], Value]:
    def build(low: Lowering, given: Sequence[Value]) -> Value:
        kernel = low.pair(low.layer.kernel)
        stride = low.pair(low.layer.stride or kernel)
        return _pooled(low, low.image(given), op, kernel, stride)

    return build


def _pool1d(op: str) -> Callable[[Lowering, Sequence[Value]], Value]:
    def build(low: Lowering, given: Sequence[Value]) -> Value:
        kernel = low.single(low.layer.kernel)
        stride = low.single(low.layer.stride or kernel)
        name = "MaxPool1d" if op == "MAX_POOL_2D" else "AvgPool1D"
        wide = _widened(low, low.steps(given), f"{name}/ExpandDims")
        return _narrowed(low, _pooled(low, wide, op, (1, kernel), (1, stride)), f"{name}/Squeeze")

    return build


def _global_pool(op: str, rank: int) -> Callable[[Lowering, Sequence[Value]], Value]:
    def build(low: Lowering, given: Sequence[Value]) -> Value:
        value = low.image(given) if rank == 4 else low.steps(given)
        named = low.layer.shape
        axes = named or tuple(range(1, rank - 1))
        keeps = low.layer.keep_dims
        extents = (1 if each in axes else extent for each, extent in enumerate(value.shape))
        shape = [extent for each, extent in enumerate(extents) if keeps or each not in axes]
        if tuple(shape) == value.shape and not low.network.traced:
            return value  # over nothing but extents of 1, which it keeps
        axis = Const("ints", (len(axes),) if rank == 4 or named else (), values=axes)
        name = "Mean" if op == "MEAN" else "Max"
        return low.add(op, name, [value, axis], shape, keep_dims=low.layer.keep_dims)

    return build


# Dense layers, and what goes over single numbers.


#: Activations that become a part of the operator before.
_FUSED_ACTIVATIONS = ("relu", "relu6", "relu_n1_to_1")


def _dense(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.one(given), low.layer
    if low.network.traced:
        return _traced_dense(low, value)
    if len(value.shape) > 3 and low.network.flattens:
        value = low.reshape(value, (1, prod(value.shape)), "flatten/Reshape")
    return dense(low, value, layer.size, bias=layer.bias)


def _traced_dense(low: Lowering, value: Value) -> Value:
    """A dense layer of litert-torch.

    With a bias it goes over rows: what has more dimensions is reshaped.
    """
    shape, units, bias = value.shape, low.layer.size, low.layer.bias
    if shape[-1] == 1 and not bias:
        result = low.add("MUL", "MatMul", [value, Const("values", (units,))], (*shape[:-1], units))
        low.nodes[-1].is_dense = True
        return result
    weights = Const("weights", (units, shape[-1]))
    if not bias:
        inputs: list[Operand] = [value, weights, None]
        keeps = len(shape) > 2
        return low.add(
            "FULLY_CONNECTED", "MatMul", inputs, (*shape[:-1], units), keep_num_dims=keeps
        )
    rows = prod(shape[:-1])
    if len(shape) > 2:
        value = low.reshape(value, (rows, shape[-1]), "view")
    result = low.add("FULLY_CONNECTED", "MatMul", [value, weights, None], (rows, units))
    low.nodes[-1].over_last = len(shape) > 2
    result = low.biased(result)
    return low.reshape(result, (*shape[:-1], units), "view_1") if len(shape) > 2 else result


def dense(
    low: Lowering, value: Value, units: int, *, bias: bool, prefix: str = "", einsum: bool = False
) -> Value:
    """A dense layer over the last dimension; as ``einsum`` it reshapes nothing."""
    weights = Const("weights", (units, value.shape[-1]))
    if len(value.shape) == 2:
        result = low.add("FULLY_CONNECTED", f"{prefix}MatMul", [value, weights, None], (1, units))
        if bias:
            result = low.add(
                "BIAS", f"{prefix}BiasAdd", [result, Const("values", (units,))], result.shape
            )
        return result
    shape = (*value.shape[:-1], units)
    if id(value) in low.one_way:
        raise low.unknown("a dense layer behind an upsampling of one direction")
    before = _reshape_before(low, value)
    is_reshaped = before is not None and not before.squeeze and not before.is_of_dense
    if value.shape[-1] == 1 and is_reshaped:
        raise low.unknown("a dense layer over a single channel behind a reshape")
    rows = _rows(before, value)
    if id(value) in low.scaled or (rows is not None and value.shape[-1] == 1):
        raise low.unknown("a dense layer behind one without a bias, one of them over one channel")
    if value.shape[-1] == 1 and (not bias or low.layer.activation in _FUSED_ACTIVATIONS):
        return _scaled(low, value, shape, bias=bias, prefix=prefix)
    if id(value) in low.over_one_channel and bias and low.layer.activation == "none":
        # TensorFlow 2.21 does not convert these: it moves the first bias to a wrong shape.
        raise low.unknown("a dense layer right behind one over a single channel")
    is_behind = is_reshaped and before is not None and before.output is value and not einsum
    count = prod(value.shape[:-1])
    if bias and (is_behind or rows is not None):
        return _between_reshapes(low, value, weights, prefix, rows)
    if bias:
        name = f"{prefix}Tensordot/MatMul"
        inputs: list[Operand] = [value, weights, None]
        result = low.add("FULLY_CONNECTED", name, inputs, shape, keep_num_dims=True)
        result = low.add(
            "BIAS", f"{prefix}BiasAdd", [result, Const("values", (units,))], result.shape
        )
        if value.shape[-1] == 1:
            low.over_one_channel.add(id(result))
        return result
    flat = value if rows is None else rows
    if is_behind:
        flat = low.reshape(value, (count, value.shape[-1]), f"{prefix}Tensordot/Reshape")
    inputs = [flat, weights, None]
    result = low.add("FULLY_CONNECTED", f"{prefix}Tensordot/MatMul", inputs, (count, units))
    low.nodes[-1].over_last = is_behind
    result = low.reshape(result, shape, f"{prefix}Tensordot")
    low.nodes[-1].is_of_dense = True
    return result


def _between_reshapes(
    low: Lowering, value: Value, weights: Const, prefix: str, rows: Value | None
) -> Value:
    """A dense layer right behind a reshape: that of its rows becomes one with the reshape.

    So TensorFlow adds the bias behind the reshape of what the rows give.
    """
    units, count = weights.shape[0], prod(value.shape[:-1])
    flat = rows
    if flat is None:
        flat = low.reshape(value, (count, value.shape[-1]), f"{prefix}Tensordot/Reshape")
    name = f"{prefix}Tensordot/MatMul"
    result = low.add("FULLY_CONNECTED", name, [flat, weights, None], (count, units))
    low.nodes[-1].over_last = True
    result = low.reshape(result, (*value.shape[:-1], units), f"{prefix}Tensordot")
    low.nodes[-1].is_of_dense = True
    values = Const("values", (units,))
    return low.add("BIAS", f"{prefix}BiasAdd", [result, values], result.shape)


def _rows(reshape: Node | None, value: Value) -> Value | None:
    """The rows that a dense layer without a bias gives, where ``value`` is only their reshape.

    The next one takes them as they are.
    """
    if reshape is None or not reshape.is_of_dense or reshape.output is not value:
        return None
    source = reshape.inputs[0]
    return source if isinstance(source, Value) else None


def _reshape_before(low: Lowering, value: Value) -> Node | None:
    """The reshape that ``value`` comes from, what goes over single numbers apart."""
    for node in reversed(low.nodes):
        if node.output is value:
            if node.op == "RESHAPE":
                return node
            source = node.inputs[0]
            if node.op not in ("BIAS", *_RECTIFIERS) or not isinstance(source, Value):
                return None
            value = source
    return None


def _scaled(low: Lowering, value: Value, shape: Shape, *, bias: bool, prefix: str) -> Value:
    """A dense layer over a single channel: the converter multiplies by its weights.

    It does so where it cannot make bias and weights one operator first.
    """
    result = low.add(
        "MUL", f"{prefix}Tensordot/MatMul", [value, Const("values", shape[-1:])], shape
    )
    if not bias:
        if low.layer.activation == "none":
            low.scaled.add(id(result))
        return result
    return low.add("ADD", f"{prefix}BiasAdd", [result, Const("values", shape[-1:])], shape)


def _batch_norm(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    axis = low.layer.axis
    shape: Shape = (value.shape[-1],)
    if not low.network.traced and axis not in (-1, len(value.shape) - 1):
        raise low.unknown("a batch_norm of another axis than the last")
    if low.network.traced and axis > 0:  # a form that no layer takes into its weights
        shape = tuple(extent if each == axis else 1 for each, extent in enumerate(value.shape))
        if len(shape) == 4:
            for op in ("SUB", "MUL", "MUL", "ADD"):
                value = low.add(op, "batchnorm", [value, Const("values", shape)], value.shape)
            return value
    channels = Const("values", shape)
    result = low.add("MUL", "batchnorm/mul_1", [value, channels], value.shape)
    offset = Const("values", shape)
    return low.add("ADD", "batchnorm/add_1", [result, offset], value.shape)


def _layer_norm(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    if low.network.traced:
        return _traced_layer_norm(low, value)
    if not (low.layer.scale and low.layer.center):
        raise low.unknown("a layer_norm without gamma or beta")
    if value.shape[-1] == 1:
        raise low.unknown("a layer_norm over a single channel")
    rank = len(value.shape)
    narrow = (*value.shape[:-1], 1)
    wide = (*(1,) * (rank - 1), value.shape[-1])
    axis = Const("ints", (1,), values=(-1,))
    mean = low.add("MEAN", "moments/mean", [value, axis], narrow, keep_dims=True)
    negative = low.add("NEG", "Neg", [mean], narrow)
    squares = low.add("SQUARED_DIFFERENCE", "moments/SquaredDifference", [value, mean], value.shape)
    variance = low.add("MEAN", "moments/variance", [squares, axis], narrow, keep_dims=True)
    smallest = low.shared.setdefault("epsilon", Const("values", (), values=(1,)))
    shifted = low.add("ADD", "add", [variance, smallest], narrow)
    root = low.add("RSQRT", "Rsqrt", [shifted], narrow)
    scale = low.add("MUL", "mul", [root, Const("values", wide)], value.shape)
    first = low.add("MUL", "mul_1", [negative, scale], value.shape)
    first = low.add("ADD", "add_1", [first, Const("values", wide)], value.shape)
    second = low.add("MUL", "mul_2", [value, scale], value.shape)
    return low.add("ADD", "add_2", [second, first], value.shape)


def _traced_layer_norm(low: Lowering, value: Value) -> Value:
    """A layer norm of litert-torch, which goes over rows of steps; its shape is that of numbers.

    Numbers of one value and shape are one constant.
    """
    shape, size = value.shape, value.shape[-1]
    wide = shape if len(shape) > 2 else (1, *shape)
    count, one = prod(wide[:-1]), (*wide[:-1], 1)
    of_one = (1,) if count == 1 else ()
    axes = Const("ints", (2,), values=(0, 2))
    if wide != shape:
        value = low.reshape(value, wide, "view")
    mean = low.add("MEAN", "mean", [value, axes], (count,))
    spread = low.reshape(mean, one, "view_1")
    squares = low.add("SQUARED_DIFFERENCE", "squared", [value, spread], wide)
    variance = low.add("MEAN", "var", [squares, axes], (count,))
    smallest = low.constant(low.layer.alpha, of_one)
    shifted = low.add("ADD", "add", [variance, smallest], (count,))
    root = low.add("RSQRT", "rsqrt", [shifted], (count,))
    shift = low.add("MUL", "mul", [root, mean], (count,))
    shift = low.add("SUB", "neg", [low.constant(0.0, of_one), shift], (count,))
    result = low.add("MUL", "mul_1", [value, low.reshape(root, one, "view_2")], wide)
    result = low.add("ADD", "add_1", [result, low.reshape(shift, one, "view_3")], wide)
    if wide != shape:
        result = low.reshape(result, shape, "view_4")
    learned = (size,) if count > 1 else shape
    if low.layer.scale:
        result = low.add("MUL", "mul_2", [result, Const("values", learned)], shape)
    if low.layer.center:
        result = low.add("ADD", "add_2", [result, Const("values", learned)], shape)
    return result


def _with_number(op: str, *, first: bool = False) -> Callable[[Lowering, Sequence[Value]], Value]:
    """Arithmetic with a number, which is the ``first`` operand or the second."""

    def build(low: Lowering, given: Sequence[Value]) -> Value:
        value = low.one(given)
        number = low.constant(low.layer.factor, low.layer.shape)
        return low.add(op, op, [number, value] if first else [value, number], value.shape)

    return build


def _rescaling(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    if low.layer.shape:
        return _rescaled_each(low, value)
    if low.layer.scale:
        value = low.add("MUL", "mul", [value, low.number(low.layer.factor)], value.shape)
    if low.layer.center:
        value = low.add("ADD", "add", [value, low.number(low.layer.offset)], value.shape)
    return value


def _rescaled_each(low: Lowering, value: Value) -> Value:
    """``value`` with a factor and an offset for each channel."""
    if low.layer.shape != value.shape[-1:]:
        raise low.fail(f"numbers for {list(low.layer.shape)} channels do not fit {shown(value)}")
    for op, name, has in (("MUL", "mul", low.layer.scale), ("ADD", "add", low.layer.center)):
        if has:
            value = low.add(op, name, [value, Const("values", low.layer.shape)], value.shape)
    return value


def _normalization(low: Lowering, given: Sequence[Value]) -> Value:
    """Less a mean, then by a deviation, of all numbers or of each channel."""
    value = low.one(given)
    if any(not -len(value.shape) <= axis < len(value.shape) for axis in low.layer.shape):
        raise low.fail(f"{shown(value)} has no axes {list(low.layer.shape)}")
    own = {axis % len(value.shape) for axis in low.layer.shape}
    shape = tuple(each if axis in own else 1 for axis, each in enumerate(value.shape))
    value = low.add("SUB", "sub", [value, Const("values", shape)], value.shape)
    return low.add("MUL", "truediv", [value, Const("values", shape)], value.shape)


def _dropout(low: Lowering, given: Sequence[Value]) -> Value:
    return low.one(given)


def _activation(low: Lowering, given: Sequence[Value]) -> Value:
    return activated(low, low.one(given), low.layer.activation)


def _softmax(low: Lowering, given: Sequence[Value]) -> Value:
    return activated(low, low.one(given), "softmax")


_PLAIN = {
    "relu": ("RELU", "Relu"),
    "relu6": ("RELU6", "Relu6"),
    "sigmoid": ("LOGISTIC", "Sigmoid"),
    "tanh": ("TANH", "Tanh"),
    "log_softmax": ("LOG_SOFTMAX", "LogSoftmax"),
    "elu": ("ELU", "Elu"),
    "hard_swish": ("HARD_SWISH", "mul"),
    "exponential": ("EXP", "Exp"),
}


_RECTIFIERS = ("RELU", "RELU6", "RELU_N1_TO_1")


def activated(low: Lowering, value: Value, activation: str) -> Value:
    """``value`` with an activation behind it."""
    shape = value.shape
    if activation in ("hard_sigmoid", "hard_swish") and not low.network.traced:
        sigmoid = _hard_sigmoid(low, value)
        if activation == "hard_sigmoid":
            return sigmoid
        return low.add("MUL", "mul", [value, sigmoid], shape)
    if activation in _PLAIN:
        return low.add(*_PLAIN[activation], [value], shape)
    if activation == "relu_n1_to_1" and low.network.traced:
        return low.add("RELU_N1_TO_1", "Relu1", [value], shape)
    if activation == "softmax":
        return low.add("SOFTMAX", "Softmax", [value], shape, beta=1.0)
    if activation == "leaky_relu":
        return low.add("LEAKY_RELU", "LeakyRelu", [value], shape, alpha=low.layer.alpha)
    if activation == "swish":
        sigmoid = low.add("LOGISTIC", "Sigmoid", [value], shape)
        return low.add("MUL", "mul", [value, sigmoid], shape)
    if activation == "gelu":
        return low.add("GELU", "Gelu", [value], shape)
    if activation == "prelu":
        if any(each.output is value and each.op in _RECTIFIERS for each in low.nodes):
            raise low.unknown("a prelu behind a relu")
        shared = low.layer.shape or range(1, len(shape) - 1)
        own = tuple(1 if axis in shared else each for axis, each in enumerate(shape) if axis)
        slopes = Const("values", own)
        return low.add("PRELU", "add", [value, slopes], shape)
    raise low.unknown(f"the activation {activation}")


def _hard_sigmoid(low: Lowering, value: Value) -> Value:
    shifted = low.add("ADD", "add", [value, low.number(3.0)], value.shape)
    limited = low.add("RELU6", "Relu6", [shifted], value.shape)
    result = low.add("MUL", "truediv", [limited, low.number(1 / 6)], value.shape)
    low.nodes[-1].is_sixth = True
    return result


# Several inputs.


def _merged(low: Lowering, given: Sequence[Value], op: str, name: str) -> Value:
    if len(given) < 2:
        raise low.several(given)
    if not low.network.traced:
        given = _of_one_rank(low, given)
    total = given[0]
    for number, each in enumerate(given[1:]):
        shape = _broadcast(low, total.shape, each.shape)
        if op == "ADD" and not low.network.traced:
            each = _as_bias(low, total, each, str(number))
        total = low.add(op, f"{name}_{number}" if number else name, [total, each], shape)
    return total


def _of_one_rank(low: Lowering, given: Sequence[Value]) -> list[Value]:
    """What Keras merges: extents of 1 behind the batch, where others have more dimensions."""
    rank = max(len(each.shape) for each in given)
    found = []
    for number, each in enumerate(given):
        shape = (each.shape[0], *(1,) * (rank - len(each.shape)), *each.shape[1:])
        found.append(
            each
            if shape == each.shape
            else low.reshape(each, shape, f"ExpandDims_{number}", squeeze=True)
        )
    return found


def _as_bias(low: Lowering, total: Value, value: Value, number: str) -> Value:
    """What Keras adds to ``total``: ``value`` as a vector, where it looks like a bias.

    That is ``add`` of its backend for TensorFlow (keras/src/backend/tensorflow/numpy.py).
    """
    wide = [each for each in value.shape if each > 1]
    if len(wide) != 1 or wide[0] not in (total.shape[1], total.shape[-1]):
        return value
    if total.shape[-1] != wide[0]:
        raise low.unknown(f"a sum with {shown(value)}, which Keras takes for a bias of rows")
    return low.reshape(value, (wide[0],), f"Squeeze_{number}", squeeze=True)


def _broadcast(low: Lowering, one: Shape, other: Shape) -> Shape:
    rank = max(len(one), len(other))
    first, second = ((1,) * (rank - len(each)) + each for each in (one, other))
    if any(a != b and 1 not in (a, b) for a, b in zip(first, second, strict=True)):
        raise low.fail(f"its inputs do not fit: {list(one[1:])} and {list(other[1:])}")
    return tuple(map(max, first, second))


def _merge(op: str, name: str) -> Callable[[Lowering, Sequence[Value]], Value]:
    return lambda low, given: _merged(low, given, op, name)


def _subtract(low: Lowering, given: Sequence[Value]) -> Value:
    if len(given) != 2:
        raise low.fail(f"takes two inputs, has {len(given)}")
    return _merged(low, given, "SUB", "Sub")


def _average(low: Lowering, given: Sequence[Value]) -> Value:
    total = _merged(low, given, "ADD", "Add")
    return low.add("MUL", "truediv", [total, low.number(1 / len(given))], total.shape)


def _concatenate(low: Lowering, given: Sequence[Value]) -> Value:
    if len(given) < 2:
        raise low.several(given)
    rank = len(given[0].shape)
    axis = low.layer.axis + rank if low.layer.axis < 0 else low.layer.axis
    if not 1 <= axis < rank:
        raise low.fail(f"axis {low.layer.axis} is none of {shown(given[0])}")
    for each in given[1:]:
        fits = len(each.shape) == rank
        fits = fits and all(
            number == axis or a == b
            for number, (a, b) in enumerate(zip(each.shape, given[0].shape, strict=True))
        )
        if not fits:
            raise low.fail(f"its inputs do not fit: {shown(given[0])} and {shown(each)}")
    shape = list(given[0].shape)
    shape[axis] = sum(each.shape[axis] for each in given)
    return low.add("CONCATENATION", "concat", given, shape, axis=low.layer.axis)


# Shapes.


def _flatten(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    return low.reshape(value, (1, prod(value.shape)), "Reshape")


def _reshape(low: Lowering, given: Sequence[Value]) -> Value:
    value, target = low.one(given), list(low.layer.shape)
    if target.count(-1) == 1:
        rest = -prod(target)
        target[target.index(-1)] = prod(value.shape) // max(rest, 1)
    if prod(target) != prod(value.shape):
        raise low.fail(f"{shown(value)} has no {list(low.layer.shape)}")
    return low.reshape(value, (1, *target), "Reshape")


def _permute(low: Lowering, given: Sequence[Value]) -> Value:
    value, order = low.one(given), low.layer.shape
    if sorted(order) != list(range(1, len(value.shape))):
        raise low.fail(f"the order {list(order)} is none of {shown(value)}, counted from 1")
    return _transpose(low, value, (0, *order), "transpose")


#: So many dimensions have been measured.
_MOST_TRANSPOSED = 5


def _transpose(low: Lowering, value: Value, order: Shape, name: str) -> Value:
    shape = [value.shape[each] for each in order]
    moved = [each for each in order if value.shape[each] > 1]
    if moved == sorted(moved):  # only extents of 1 change their places
        return low.reshape(value, tuple(shape), name)
    if len(order) > _MOST_TRANSPOSED:
        raise low.unknown(f"a permutation of {len(order)} dimensions, the batch included")
    return low.add(
        "TRANSPOSE", name, [value, Const("ints", (len(order),), values=tuple(order))], shape
    )


def _padded(
    low: Lowering, value: Value, pads: Sequence[tuple[int, int]], name: str = "Pad"
) -> Value:
    shape = [
        extent + before + after for extent, (before, after) in zip(value.shape, pads, strict=True)
    ]
    flat = tuple(each for pair in pads for each in pair)
    if not any(flat):
        return value
    return low.add("PAD", name, [value, Const("ints", (len(pads), 2), values=flat)], shape)


def _lowest_padding2d(low: Lowering, given: Sequence[Value]) -> Value:
    """Padding with the least number there is."""
    result = _padded(low, low.image(given), ((0, 0), *_amounts(low, 2), (0, 0)), "PadV2")
    node = low.nodes[-1]
    node.op = "PADV2"
    node.inputs.append(Const("values", ()))
    return result


def _mirror_padding2d(low: Lowering, given: Sequence[Value]) -> Value:
    """Padding with what is beside the edge, reflected there."""
    result = _padded(low, low.image(given), ((0, 0), *_amounts(low, 2), (0, 0)), "MirrorPad")
    low.nodes[-1].op = "MIRROR_PAD"
    low.nodes[-1].options["mode"] = "REFLECT"
    return result


def _pixel_shuffle(low: Lowering, given: Sequence[Value]) -> Value:
    """So many channels to rows and columns, in steps of four dimensions."""
    value, times = low.image(given), low.layer.size
    _, height, width, channels = value.shape
    left = channels // times**2
    steps: tuple[tuple[Shape, Shape], ...] = (
        ((0, 3, 1, 2), (left, times, times, height * width)),
        ((0, 1, 3, 2), (left, times, height, times * width)),
        ((0, 2, 1, 3), (1, left, times * height, times * width)),
    )
    for number, (order, shape) in enumerate(steps):
        turned = _transpose(low, value, order, f"permute_{number}")
        value = low.reshape(turned, shape, f"view_{number}")
    return _transpose(low, value, (0, 2, 3, 1), "permute_3")


def _channel_shuffle(low: Lowering, given: Sequence[Value]) -> Value:
    """Channels of groups, the first of each group first."""
    value, groups = low.image(given), low.layer.size
    _, height, width, channels = value.shape
    turned = _transpose(low, value, (0, 3, 1, 2), "permute")
    parted = low.reshape(turned, (1, groups, channels // groups, height, width), "view")
    mixed = _transpose(low, parted, (0, 2, 1, 3, 4), "permute_1")
    flat = low.reshape(mixed, (1, channels, height, width), "view_1")
    return _transpose(low, flat, (0, 2, 3, 1), "permute_2")


def _slice(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    ((first, count),) = low.layer.amount
    begin = tuple(first if axis == low.layer.axis else 0 for axis in range(len(value.shape)))
    shape = tuple(
        count if axis == low.layer.axis else extent for axis, extent in enumerate(value.shape)
    )
    constants = [Const("ints", (len(shape),), values=each) for each in (begin, shape)]
    return low.add("SLICE", "slice", [value, *constants], shape)


_WHOLE = OPEN_BEGIN | OPEN_END


def _strided_slice(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given)
    rank, keys = len(value.shape), low.layer.keys
    places = [number for number, key in enumerate(keys) if key[3] & BETWEEN]
    if len(places) > 1 or len(keys) - len(places) > rank:
        raise low.fail(f"{len(keys)} keys do not fit {shown(value)}")
    # The converter fills in what is between with ends of 0, and what is behind with whole extents.
    for place in places:
        missing = rank - len(keys) + 1
        keys = (*keys[:place], *((0, 0, 1, _WHOLE),) * missing, *keys[place + 1 :])
    keys = (*keys, *((0, each, 1, _WHOLE) for each in value.shape[len(keys) :]))
    extents = [_sliced(low, extent, key) for extent, key in zip(value.shape, keys, strict=True)]
    if keys[0][3] != _WHOLE or keys[0][2] != 1:
        raise low.unknown("a slice of the batch")
    shape = [count for count, key in zip(extents, keys, strict=True) if not key[3] & SINGLE]
    if tuple(shape) == value.shape and all(step == 1 for _, _, step, _ in keys):
        raise low.unknown("a slice that leaves all as it is")
    masks = [
        sum(1 << axis for axis, key in enumerate(keys) if key[3] & bit)
        for bit in (OPEN_BEGIN, OPEN_END, SINGLE)
    ]
    constants = [
        Const("ints", (rank,), values=tuple(key[part] for key in keys)) for part in range(3)
    ]
    return low.add(
        "STRIDED_SLICE",
        "strided_slice",
        [value, *constants],
        shape,
        begin_mask=masks[0],
        end_mask=masks[1],
        shrink_axis_mask=masks[2],
    )


def _sliced(low: Lowering, extent: int, key: tuple[int, int, int, int]) -> int:
    """How many entries a key leaves of ``extent``."""
    begin, end, step, bits = key
    if bits & SINGLE:
        if not -extent <= begin < extent:
            raise low.fail(f"there is no entry {begin} of {extent}")
        return 1
    if not step:
        raise low.fail("a slice has a step of 0")
    first = None if bits & OPEN_BEGIN else begin
    count = len(range(*slice(first, None if bits & OPEN_END else end, step).indices(extent)))
    if not count:
        raise low.fail(f"leaves nothing of {extent}")
    return count


def _repeat_vector(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.one(given, 2, "a row of numbers")
    spread = low.reshape(value, (1, 1, value.shape[1]), "ExpandDims")
    return _repeated(low, spread, 1, low.layer.size, "Repeat")


def _stepped_slice(low: Lowering, given: Sequence[Value]) -> Value:
    """Each entry of so many along an axis."""
    value, layer = low.one(given), low.layer
    ((first, step),) = layer.amount
    steps = tuple(step if axis == layer.axis else 1 for axis in range(len(value.shape)))
    begin = tuple(first if axis == layer.axis else 0 for axis in range(len(value.shape)))
    shape = tuple(
        -(-(extent - start) // each)
        for extent, start, each in zip(value.shape, begin, steps, strict=True)
    )
    constants = [Const("ints", (len(shape),), values=each) for each in (begin, value.shape, steps)]
    return low.add("STRIDED_SLICE", "slice", [value, *constants], shape)


def _zero_padding2d(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.image(given)
    if low.layer.axis == 2:  # channels first
        return _padded(low, value, ((0, 0), (0, 0), *_amounts(low, 2)))
    return _padded(low, value, ((0, 0), *_amounts(low, 2), (0, 0)))


def _zero_padding1d(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.steps(given)
    if low.layer.axis == 2:  # channels first
        return _padded(low, value, ((0, 0), (0, 0), *_amounts(low, 1)))
    return _padded(low, value, ((0, 0), *_amounts(low, 1), (0, 0)))


def _amounts(low: Lowering, count: int) -> tuple[tuple[int, int], ...]:
    amount = low.layer.amount or ((1, 1),)
    amount = amount * count if len(amount) == 1 else amount
    if len(amount) != count:
        raise low.fail(f"takes {count} pairs of numbers, found {len(amount)}")
    return amount


def _cropping(low: Lowering, value: Value, count: int) -> Value:
    amounts = _amounts(low, count)
    begin = [0, *(before for before, _ in amounts), 0]
    end = [0, *(-after for _, after in amounts), 0]
    inside = value.shape[1:-1]
    extents = [
        extent - before - after for extent, (before, after) in zip(inside, amounts, strict=True)
    ]
    if min(extents) < 1:
        raise low.fail(f"leaves nothing of {shown(value)}")
    rank = len(value.shape)
    mask = 1 | 1 << (rank - 1)
    end_mask = sum(1 << axis for axis, each in enumerate(end) if not each)
    constants = [Const("ints", (rank,), values=tuple(each)) for each in (begin, end, [1] * rank)]
    shape = (1, *extents, value.shape[-1])
    return low.add(
        "STRIDED_SLICE",
        "strided_slice",
        [value, *constants],
        shape,
        begin_mask=mask,
        end_mask=end_mask,
    )


def _cropping2d(low: Lowering, given: Sequence[Value]) -> Value:
    return _cropping(low, low.image(given), 2)


def _cropping1d(low: Lowering, given: Sequence[Value]) -> Value:
    return _cropping(low, low.steps(given), 1)


def _repeated(low: Lowering, value: Value, axis: int, count: int, name: str) -> Value:
    """Each entry along an axis ``count`` times, as Keras does it: through a new axis."""
    if count == 1:
        low.one_way.add(id(value))
        return value
    wide = (*value.shape[: axis + 1], 1, *value.shape[axis + 1 :])
    spread = low.reshape(value, wide, f"{name}/ExpandDims")
    times = tuple(count if each == axis + 1 else 1 for each in range(len(wide)))
    shape = (*value.shape[: axis + 1], count, *value.shape[axis + 1 :])
    tiled = low.add(
        "TILE",
        f"{name}/Tile",
        [spread, Const("ints", (len(times),), values=times)],
        shape,
    )
    final = list(value.shape)
    final[axis] *= count
    return low.reshape(tiled, tuple(final), f"{name}/Reshape_1")


def _upsampling2d(low: Lowering, given: Sequence[Value]) -> Value:
    value = low.image(given)
    amount = low.layer.amount or ((2, 2),)
    rows, columns = amount[0]
    is_bilinear = low.layer.interpolation != "nearest"
    if is_bilinear or low.network.traced:
        size = low.layer.shape or (value.shape[1] * rows, value.shape[2] * columns)
        is_aligned = low.layer.interpolation == "aligned"
        return low.add(
            "RESIZE_BILINEAR" if is_bilinear else "RESIZE_NEAREST_NEIGHBOR",
            "resize",
            [value, Const("ints", (2,), values=size)],
            (1, *size, value.shape[3]),
            **({"align_corners": True} if is_aligned else {"half_pixel_centers": True}),
        )
    value = _repeated(low, value, 1, rows, "Repeat")
    return _repeated(low, value, 2, columns, "Repeat_1")


def _upsampling1d(low: Lowering, given: Sequence[Value]) -> Value:
    amount = low.layer.amount or ((2, 2),)
    return _repeated(low, low.steps(given), 1, amount[0][0], "Repeat")


# Recurrent layers and attention.


def _lstm(low: Lowering, given: Sequence[Value]) -> Value:
    value, layer = low.steps(given), low.layer
    if low.network.numbers == "int16":
        raise low.unknown("TensorFlow 2.21 quantizes no lstm to 16 bits")
    if layer.merge == "none":
        start = _reversed(low, value, "") if layer.backwards else value
        return _lstm_outputs(low, start, "")
    ahead = _lstm_outputs(low, value, "forward/") if layer.merge != "backward" else None
    back = _lstm_outputs(low, _reversed(low, value, "backward/"), "backward/")
    if layer.sequences:
        back = _reversed(low, back, "")
    return _both_ways(low, ahead, back) if ahead is not None else back


def _lstm_outputs(low: Lowering, value: Value, prefix: str) -> Value:
    """What an LSTM gives: the outputs of all steps, or of the last one."""
    units = low.layer.size
    inputs: list[Operand] = [value]
    inputs += [Const("weights", (units, value.shape[2]), axis=-1) for _ in range(4)]
    inputs += [Const("weights", (units, units), axis=-1) for _ in range(4)]
    inputs += [None] * 3
    inputs += [Const("bias", (units,), axis=-1) for _ in range(4)]
    inputs += [None] * 2
    shape = (1, value.shape[1], units)
    every = low.add(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        f"{prefix}lstm",
        inputs,
        shape,
        fused_activation_function="TANH",
        cell_clip=10.0,
        states=(1, units),
    )
    if low.layer.sequences:
        return every
    constants = [Const("ints", (3,), values=each) for each in ((0, -1, 0), (0, 0, 0), (1, 1, 1))]
    return low.add(
        "STRIDED_SLICE",
        f"{prefix}lstm/strided_slice",
        [every, *constants],
        (1, units),
        begin_mask=5,
        end_mask=5,
        shrink_axis_mask=2,
    )


def _reversed(low: Lowering, value: Value, prefix: str) -> Value:
    """Steps from the end: a slice, which every version of TFLM has."""
    ends = ((0, 0, 0), (0, 0, value.shape[2]), (1, -1, 1))
    constants = [Const("ints", (3,), values=each) for each in ends]
    name = f"{prefix}strided_slice"
    result = low.add(
        "STRIDED_SLICE", name, [value, *constants], value.shape, begin_mask=7, end_mask=7
    )
    # Grappler makes the constants of all of them one: they have no channels there.
    made = low.nodes[-1]
    first = low.reversals.setdefault(3, made)
    made.beside = first if first is not made else None
    return result


def _both_ways(low: Lowering, ahead: Value, back: Value) -> Value:
    """The outputs of both directions, merged as the layer is set."""
    merge = low.layer.merge
    if merge == "concat":
        shape = (*ahead.shape[:-1], 2 * ahead.shape[-1])
        return low.add("CONCATENATION", "concat", [ahead, back], shape, axis=-1)
    if merge == "multiply":
        return low.add("MUL", "mul", [ahead, back], ahead.shape)
    total = low.add("ADD", "add", [ahead, back], ahead.shape)
    if merge == "sum":
        return total
    return low.add("MUL", "truediv", [total, low.number(1 / 2)], total.shape)


def _attention(low: Lowering, given: Sequence[Value]) -> Value:
    """Keras's dot-product attention: query, value and perhaps key."""
    if len(given) not in (2, 3):
        raise low.fail(f"takes query, value and perhaps key, has {len(given)} inputs")
    query, value = given[0], given[1]
    key = given[2] if len(given) == 3 else value
    if any(len(each.shape) != 3 for each in given) or query.shape[2] != key.shape[2]:
        raise low.fail(f"its inputs do not fit: {', '.join(map(shown, given))}")
    shape = (1, query.shape[1], key.shape[1])
    scores = low.add("BATCH_MATMUL", "MatMul", [query, key], shape, adj_y=True)
    weights = low.add("SOFTMAX", "Softmax", [scores], shape, beta=1.0)
    result = (1, query.shape[1], value.shape[2])
    return low.add("BATCH_MATMUL", "MatMul_1", [weights, value], result)


def _multi_head_attention(low: Lowering, given: Sequence[Value]) -> Value:
    layer = low.layer
    if len(given) == 1:
        given = [given[0], given[0]]
    if any(len(each.shape) != 3 for each in given) or len(given) not in (2, 3):
        raise low.fail("takes query, value and perhaps key, each (steps, channels)")
    if not layer.bias:
        raise low.unknown("a multi_head_attention without bias")
    query, value = given[0], given[1]
    key = given[2] if len(given) == 3 else value
    heads, size = layer.heads, layer.size
    parts = {
        name: _head(low, each, heads, size, name)
        for name, each in (("query", query), ("key", key), ("value", value))
    }
    order = (0, 2, 1, 3)
    asked = _transpose(low, parts["query"], order, "einsum/transpose")
    keys = _transpose(low, parts["key"], (0, 2, 3, 1), "einsum/transpose_1")
    scores_shape = (1, heads, query.shape[1], key.shape[1])
    scores = low.add("BATCH_MATMUL", "einsum/MatMul", [asked, keys], scores_shape)
    low.nodes[-3].host = low.nodes[-2].host = low.nodes[-1]
    scaled = scores
    if size > 1:
        scaled = low.add("MUL", "Mul", [scores, low.number(size**-0.5)], scores_shape)
    weights = low.add("SOFTMAX", "Softmax", [scaled], scores_shape, beta=1.0)
    values = _transpose(low, parts["value"], order, "einsum_1/transpose")
    mixed_shape = (1, heads, query.shape[1], size)
    mixed = low.add("BATCH_MATMUL", "einsum_1/MatMul", [weights, values], mixed_shape)
    low.nodes[-2].host = low.nodes[-1]
    back = _transpose(low, mixed, order, "einsum_1/transpose_2")
    flat = _open_reshape(low, back, (1, query.shape[1], heads * size), "attention_output/Reshape")
    return dense(low, flat, query.shape[2], bias=True, prefix="attention_output/", einsum=True)


def _head(low: Lowering, value: Value, heads: int, size: int, name: str) -> Value:
    if value.shape[-1] == 1:
        raise low.unknown("a multi_head_attention over a single channel")
    flat = dense(low, value, heads * size, bias=True, prefix=f"{name}/", einsum=True)
    for node in low.nodes[-2:]:
        node.is_of_head = node.op == "FULLY_CONNECTED"
    return _open_reshape(low, flat, (1, value.shape[1], heads, size), f"{name}/Reshape")


def _open_reshape(low: Lowering, value: Value, shape: Shape, name: str) -> Value:
    """A reshape whose target leaves the batch open."""
    target = Const("ints", (len(shape),), values=(-1, *shape[1:]))
    return low.add("RESHAPE", name, [value, target], shape)


#: Layers that apply their activation themselves.
_OWN_ACTIVATION = frozenset({"activation", "softmax"})

LOWERINGS: dict[str, Callable[[Lowering, Sequence[Value]], Value]] = {
    "conv2d": partial(_convolution, "CONV_2D", "convolution"),
    "conv1d": _conv1d,
    "depthwise_conv2d": partial(_convolution, "DEPTHWISE_CONV_2D", "depthwise"),
    "depthwise_conv1d": _depthwise_conv1d,
    "conv2d_transpose": _conv2d_transpose,
    "conv1d_transpose": _conv1d_transpose,
    "separable_conv2d": _separable_conv2d,
    "separable_conv1d": _separable_conv1d,
    "dense": _dense,
    "max_pool2d": _pool2d("MAX_POOL_2D"),
    "average_pool2d": _pool2d("AVERAGE_POOL_2D"),
    "max_pool1d": _pool1d("MAX_POOL_2D"),
    "average_pool1d": _pool1d("AVERAGE_POOL_2D"),
    "global_average_pool2d": _global_pool("MEAN", 4),
    "global_average_pool1d": _global_pool("MEAN", 3),
    "global_max_pool2d": _global_pool("REDUCE_MAX", 4),
    "global_max_pool1d": _global_pool("REDUCE_MAX", 3),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "activation": _activation,
    "add": _merge("ADD", "Add"),
    "subtract": _subtract,
    "multiply": _merge("MUL", "Mul"),
    "average": _average,
    "maximum": _merge("MAXIMUM", "Maximum"),
    "minimum": _merge("MINIMUM", "Minimum"),
    "concatenate": _concatenate,
    "flatten": _flatten,
    "reshape": _reshape,
    "permute": _permute,
    "zero_padding2d": _zero_padding2d,
    "zero_padding1d": _zero_padding1d,
    "lowest_padding2d": _lowest_padding2d,
    "mirror_padding2d": _mirror_padding2d,
    "slice": _slice,
    "strided_slice": _strided_slice,
    "stepped_slice": _stepped_slice,
    "repeat_vector": _repeat_vector,
    "normalization": _normalization,
    "add_number": _with_number("ADD"),
    "subtract_number": _with_number("SUB"),
    "subtract_from_number": _with_number("SUB", first=True),
    "multiply_number": _with_number("MUL"),
    "pixel_shuffle": _pixel_shuffle,
    "channel_shuffle": _channel_shuffle,
    "cropping2d": _cropping2d,
    "cropping1d": _cropping1d,
    "upsampling2d": _upsampling2d,
    "upsampling1d": _upsampling1d,
    "rescaling": _rescaling,
    "dropout": _dropout,
    "softmax": _softmax,
    "lstm": _lstm,
    "attention": _attention,
    "multi_head_attention": _multi_head_attention,
}
