"""What a planned network is: layers by name, their inputs, and how the file is quantized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from typing import TypeAlias
from typing import get_args

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError


LayerType = Literal[
    "conv2d",
    "conv1d",
    "depthwise_conv2d",
    "depthwise_conv1d",
    "conv2d_transpose",
    "conv1d_transpose",
    "separable_conv2d",
    "separable_conv1d",
    "dense",
    "max_pool2d",
    "average_pool2d",
    "max_pool1d",
    "average_pool1d",
    "global_average_pool2d",
    "global_average_pool1d",
    "global_max_pool2d",
    "global_max_pool1d",
    "batch_norm",
    "layer_norm",
    "activation",
    "add",
    "subtract",
    "multiply",
    "average",
    "maximum",
    "minimum",
    "concatenate",
    "flatten",
    "reshape",
    "permute",
    "zero_padding2d",
    "zero_padding1d",
    "cropping2d",
    "cropping1d",
    "upsampling2d",
    "upsampling1d",
    "rescaling",
    "dropout",
    "softmax",
    "lstm",
    "attention",
    "multi_head_attention",
]
LAYER_TYPES: tuple[str, ...] = get_args(LayerType)
#: Those of programs and Keras models besides, which nobody declares.
AnyLayerType = Literal[
    LayerType,
    "slice",
    "stepped_slice",
    "strided_slice",
    "repeat_vector",
    "normalization",
    "lowest_padding2d",
    "mirror_padding2d",
    "add_number",
    "subtract_number",
    "subtract_from_number",
    "multiply_number",
    "pixel_shuffle",
    "channel_shuffle",
]

Padding = Literal["valid", "same", "causal"]
Activation = Literal[
    "none",
    "relu",
    "relu6",
    "relu_n1_to_1",
    "sigmoid",
    "tanh",
    "softmax",
    "log_softmax",
    "leaky_relu",
    "prelu",
    "elu",
    "hard_sigmoid",
    "hard_swish",
    "swish",
    "gelu",
    "exponential",
]
ACTIVATIONS: tuple[str, ...] = get_args(Activation)

#: How the two directions of a recurrent layer become one.
Merge = Literal["none", "concat", "sum", "multiply", "average", "backward"]

#: What flows between operators.
Numbers = Literal["int8", "int16", "float"]
NUMBERS: tuple[str, ...] = get_args(Numbers)

#: An extent for all directions, or one for each.
Extents: TypeAlias = "int | tuple[int, ...]"


#: Offsets in files and sizes in TFLM are signed numbers of 32 bits.
MOST_ELEMENTS = 2**31 - 1


class NotPlannedError(ModelError):
    """How the converter makes a layer is not known: the model has to be converted."""


#: Bits of a key of a ``strided_slice``: begin and end are open, it is a single entry, or all
#: dimensions between others.
OPEN_BEGIN, OPEN_END, SINGLE, BETWEEN = 1, 2, 4, 8


class Layer(Struct, frozen=True):
    """One layer; what a type does not take is left as it is.

    Attributes:
        type: What it computes.
        size: Its filters, units or, for a depthwise one, its multiplier.
        kernel: Extents of the window: one for all directions, or (height, width).
        stride: Its steps; 0 is the window's own extents for a pool and 1 for others.
        padding: What happens at the edges.
        activation: What follows; ``activation`` layers have it as what they compute.
        name: What other layers call it; empty for a name such as Keras would give.
        inputs: The names of layers that it takes; none for the one before.
        dilation: Steps between the window's elements.
        bias: Whether it has a bias.
        multiplier: Outputs a channel of a separable convolution's first part.
        axis: The axis of ``concatenate`` and ``slice``, batch included; that of the channels of
            ``batch_norm``, or the first that paddings go over, where it is not the usual one.
        shape: The target of ``reshape``, without batch, the order of ``permute``, from 1, that
            in which a global pool names its dimensions, those that ``prelu`` shares slopes over, or
            those in which ``rescaling`` and ``normalization`` have numbers of their own.
        amount: Numbers before and after each direction of paddings and croppings, or how many times
            ``upsampling`` repeats, a number a direction; first and count of a ``slice``, first and
            step of a ``stepped_slice``.
        keys: Of a ``strided_slice`` each dimension's begin, end, step and bits (``OPEN_BEGIN``
            and the like), batch included.
        groups: How many groups the channels of a convolution are in.
        alpha: The slope of ``leaky_relu``.
        interpolation: How ``upsampling2d`` fills in: ``"nearest"``, ``"bilinear"`` or, in programs,
            ``"aligned"``, which is bilinear from corner to corner; ``shape`` is its size there.
        keep_dims: Whether a global pool keeps the dimensions that it goes over.
        sequences: Whether an ``lstm`` gives the outputs of all steps.
        backwards: Whether an ``lstm`` reads its steps from the end, and gives them in that order.
        merge: How an ``lstm`` that reads its steps in both directions joins what these give;
            ``backward`` is the second direction alone, its steps in order.
        heads: How many heads ``multi_head_attention`` has; ``size`` is the key's dimension.
        scale: Whether ``batch_norm`` and ``layer_norm`` have a gamma, ``rescaling`` a factor.
        center: The same for beta and ``rescaling``'s offset.
        factor: The factor of ``rescaling``, 0 where it is not known; equal ones are stored once.
            Also the number of ``add_number`` and its like.
        offset: The same for its offset.
        operation: What TensorFlow calls it, where it is an operation and no layer of Keras's.
    """

    type: AnyLayerType
    size: int = 1
    kernel: Extents = 3
    stride: Extents = 1
    padding: Padding = "valid"
    activation: Activation = "none"
    name: str = ""
    inputs: tuple[str, ...] = ()
    dilation: Extents = 1
    bias: bool = True
    multiplier: int = 1
    axis: int = -1
    shape: tuple[int, ...] = ()
    amount: tuple[tuple[int, int], ...] = ()
    keys: tuple[tuple[int, int, int, int], ...] = ()
    groups: int = 1
    alpha: float = 0.3
    interpolation: Literal["nearest", "bilinear", "aligned"] = "nearest"
    keep_dims: bool = False
    sequences: bool = False
    backwards: bool = False
    merge: Merge = "none"
    heads: int = 1
    scale: bool = True
    center: bool = True
    factor: float = 0.0
    offset: float = 0.0
    operation: str = ""


def by_place(layer: Layer, place: int) -> str:
    """What a layer without a name is called, from its place in the list."""
    return f"{layer.type}_{place}"


class Network(Struct, frozen=True):
    """Layers by name.

    Attributes:
        inputs: Name and shape of each input, without batch (a constant of 1).
        layers: Each behind those that it takes.
        outputs: Names of layers, or what ``by_place`` gives; none for the last one.
        numbers: The type of what flows between operators.
        per_channel_dense: Whether dense layers have a scale for each output.
        scope: The model's name, which decides between layers that could come in either order.
        flattens: Whether a dense layer takes an image as one row of numbers; else it goes over
            the last dimension, as in Keras.
        traced: Whether litert-torch makes it, which keeps the order of the layers and no names.
        input_places: Places of inputs among the layers in a list that has both: a layer without a
            name is called by its type and its place there.
    """

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    layers: tuple[Layer, ...]
    outputs: tuple[str, ...] = ()
    numbers: Numbers = "int8"
    per_channel_dense: bool = True
    scope: str = "functional"
    flattens: bool = False
    traced: bool = False
    input_places: tuple[int, ...] = ()


class LayerList(Struct, frozen=True):
    """Layers in order and the shape of their one input, without batch.

    ``more_inputs`` are further ones, at ``input_places`` of the list that has both.
    """

    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    per_channel_dense: bool = True
    numbers: Numbers = "int8"
    outputs: tuple[str, ...] = ()
    more_inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    input_places: tuple[int, ...] = ()

    @property
    def network(self) -> Network:
        """The same as layers by name; the input is called ``input``."""
        return Network(
            (("input", self.input_shape), *self.more_inputs),
            self.layers,
            self.outputs,
            self.numbers,
            self.per_channel_dense,
            flattens=True,
            input_places=self.input_places,
        )


#: The largest of a file's numbers with a decimal point.
_LARGEST_FLOAT = 3e38
#: Numbers of a layer that are counts: each is at least 1.
_COUNTS = ("size", "multiplier", "heads", "kernel", "dilation", "groups")


def require_plain(network: Network) -> Network:
    """``network``, read from a file that may hold anything, where all its values can be meant.

    Raises:
        NotPlannedError: a value has another type than its field, or is no count where one is due.
    """
    try:
        msgspec.convert(msgspec.to_builtins(network), Network)
    except (msgspec.MsgspecError, TypeError, RecursionError, OverflowError) as error:
        raise NotPlannedError(f"not planned: a config that is not understood: {error}") from None
    for name, shape in network.inputs:
        _require(f"the input {name}", "shape", shape, 1)
    for layer in network.layers:
        place = f"layer {layer.name}"
        for count in _COUNTS:
            _require(place, count, getattr(layer, count), 1)
        _require(place, "stride", layer.stride, 0 if "_pool" in layer.type else 1)
        _require(place, "keys", [each for key in layer.keys for each in key], -MOST_ELEMENTS)
        _require(place, "amount", [each for pair in layer.amount for each in pair], 0)
        _require(place, "axis", layer.axis, -MOST_ELEMENTS)
        if not -_LARGEST_FLOAT < layer.alpha < _LARGEST_FLOAT:
            raise NotPlannedError(f"not planned: {place}: alpha is {layer.alpha}")
    return network


def _require(place: str, name: str, given: int | Sequence[int], least: int) -> None:
    numbers = [given] if isinstance(given, int) else given
    if not all(least <= each <= MOST_ELEMENTS for each in numbers):
        raise NotPlannedError(f"not planned: {place}: {name} is {given}")
