"""A Keras model as a network, read from its ``config.json``: no framework is imported.

A layer, or an option of it, whose conversion is not known is a ``NotPlannedError``: such a model
has to be converted.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.planning.archives import UNREADABLE
from pytest_tinybudget.planning.calls import in_order_of_calls
from pytest_tinybudget.planning.network import BETWEEN
from pytest_tinybudget.planning.network import OPEN_BEGIN
from pytest_tinybudget.planning.network import OPEN_END
from pytest_tinybudget.planning.network import SINGLE
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerType
from pytest_tinybudget.planning.network import Merge
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.network import require_plain


#: The largest ``config.json``, bytes; real ones have kilobytes.
_MAX_CONFIG_BYTES = 64 * 1024**2

_ACTIVATIONS = {
    "linear": "none", "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh",
    "softmax": "softmax", "log_softmax": "log_softmax", "leaky_relu": "leaky_relu", "elu": "elu",
    "hard_silu": "hard_swish", "hard_swish": "hard_swish", "silu": "swish", "swish": "swish",
    "exponential": "exponential", "hard_sigmoid": "hard_sigmoid",
}  # fmt: skip
#: What is converted to operators for each step, and what to plan in its place.
_UNROLLED = {
    "GRU": ", which is unrolled: plan an LSTM, which is one operator",
    "SimpleRNN": ", which is unrolled: plan an LSTM, which is one operator",
    "TimeDistributed": ", which is unrolled: Dense and Conv1D go over all steps by themselves",
}
#: The slope of Keras's activation ``leaky_relu``; the layer has its own.
_ACTIVATION_SLOPE = 0.2


#: The modules of what is no layer, but may have the name of one.
_OPERATIONS = ("keras.src.ops", "keras.ops")
#: What a config of another form than Keras's raises where it is gone through.
_NOT_AS_EXPECTED = (
    *(KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError),
    RecursionError,
)

#: Shapes of inputs by name, batch included.
Shapes = Sequence[tuple[str, tuple[int, ...]]]


def read_keras(
    path: Path,
    numbers: Numbers = "int8",
    *,
    per_channel_dense: bool = True,
    input_shapes: Shapes = (),
    as_lstm: bool = False,
) -> Network:
    """The network of a ``.keras`` file; ``input_shapes`` are for inputs that it leaves open.

    With ``as_lstm`` it has an LSTM, as one operator, for each recurrent layer of another kind.

    Raises:
        NotPlannedError: it cannot be read without Keras, or a layer's conversion is not known.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _MAX_CONFIG_BYTES:
                raise NotPlannedError(f"{path.name}: not planned: its config.json is too large")
            config = json.loads(archive.read("config.json"))
    except RecursionError:
        text = "its config.json is nested too deeply"
        raise NotPlannedError(f"{path.name}: not planned: {text}") from None
    except UNREADABLE as error:
        raise NotPlannedError(f"{path.name}: not planned: {error}") from None
    return network_of(
        config,
        numbers,
        per_channel_dense=per_channel_dense,
        input_shapes=input_shapes,
        as_lstm=as_lstm,
    )


def network_of(
    config: Mapping[str, Any],
    numbers: Numbers = "int8",
    *,
    per_channel_dense: bool = True,
    input_shapes: Shapes = (),
    as_lstm: bool = False,
) -> Network:
    """The network of what ``keras.saving.serialize_keras_object(model)`` gives.

    Raises:
        NotPlannedError: a layer's conversion is not known.
    """
    reader = _Reader(dict(input_shapes), as_lstm=as_lstm)
    try:
        reader.model(config, "", ())
    except _NOT_AS_EXPECTED as error:
        raise NotPlannedError(f"not planned: a config that is not understood: {error}") from None
    known = [name for name, _ in reader.inputs]
    for name in reader.wanted:
        if name not in known:
            raise NotPlannedError(f"not planned: no input {name!r}; there is {', '.join(known)}")
    network = Network(
        inputs=tuple(reader.inputs),
        layers=tuple(reader.layers),
        outputs=tuple(reader.outputs),
        numbers=numbers,
        per_channel_dense=per_channel_dense,
        scope=str(config["config"].get("name", "model")),
    )
    return require_plain(network)


class _Reader:
    """Goes through a config; ``wanted`` are the shapes of inputs that it leaves open, by name."""

    def __init__(self, wanted: Mapping[str, tuple[int, ...]], *, as_lstm: bool = False) -> None:
        self.wanted, self.as_lstm = wanted, as_lstm
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.layers: list[Layer] = []
        self.outputs: list[str] = []
        self.label = ""

    def fail(self, text: str) -> NotPlannedError:
        return NotPlannedError(f"layer {printable(self.label)}: not planned: {text}")

    def model(self, config: Mapping[str, Any], prefix: str, given: Sequence[str]) -> list[str]:
        """Read a model, nested ones too (``given`` are their inputs); names of its outputs."""
        kind = config["class_name"]
        settings = config["config"]
        if kind == "Sequential":
            outputs = self._sequential(settings, prefix, given)
        elif kind in ("Functional", "Model"):
            outputs = self._functional(settings, prefix, given)
        else:
            raise NotPlannedError(f"not planned: a model of the class {kind}")
        if not prefix:
            self.outputs = outputs
        return outputs

    def _sequential(
        self, settings: Mapping[str, Any], prefix: str, given: Sequence[str]
    ) -> list[str]:
        last = given[0] if given else ""
        for layer in settings["layers"]:
            if layer["class_name"] == "InputLayer":
                last = last if given else self._input(layer["config"], prefix)
                continue
            if not last:
                shape = layer["config"].get("batch_input_shape")
                shape = shape or settings.get("build_input_shape")
                if not shape:
                    raise NotPlannedError("not planned: its input has no shape")
                last = self._input({"name": "input", "batch_shape": shape}, prefix)
            (last,) = self._layer(layer, prefix, [last])
        return [last]

    def _functional(
        self, settings: Mapping[str, Any], prefix: str, given: Sequence[str]
    ) -> list[str]:
        results: dict[tuple[str, int], str] = {}
        names = [each[0] for each in _tensors(settings["input_layers"])]
        by_name = {
            each["config"].get("name", each.get("name")): each for each in settings["layers"]
        }
        for number, name in enumerate(names):
            if given:
                results[name, 0] = given[number]
            else:
                results[name, 0] = self._input(by_name[name]["config"], prefix)
        needed = {}
        for name, layer in by_name.items():
            if layer["class_name"] != "InputLayer":
                needed[name] = self._needed(name, layer)
        outputs = [each[0] for each in _tensors(settings["output_layers"])]
        for name in in_order_of_calls(needed, outputs):
            made = self._layer(by_name[name], prefix, [results[each] for each in needed[name]])
            results.update({(name, index): each for index, each in enumerate(made)})
        return [results[name, index] for name, index in _tensors(settings["output_layers"])]

    def _needed(self, name: str, layer: Mapping[str, Any]) -> list[tuple[str, int]]:
        """Which results a layer is called with."""
        self.label = name
        nodes = layer["inbound_nodes"]
        if len(nodes) != 1:
            raise self.fail("it is used several times")
        return _histories(nodes[0], self)

    def _input(self, config: Mapping[str, Any], prefix: str) -> str:
        name = prefix + str(config.get("name", "input"))
        self.label = name
        given = config.get("batch_shape") or config.get("batch_input_shape")
        shape = self._closed(name, given) if given else [None, None]
        extents = tuple(each for each in shape[1:] if isinstance(each, int) and each > 0)
        if len(extents) != len(shape) - 1:
            other = f", which names {', '.join(self.wanted)}" if self.wanted else ""
            raise self.fail(f"the input has no fixed shape; declare it in input_shapes{other}")
        if shape[0] not in (None, 1):
            raise self.fail(f"the input has the fixed batch {shape[0]}")
        if config.get("dtype", "float32") not in ("float32", None):
            raise self.fail(f"an input of {config['dtype']}")
        self.inputs.append((name, extents))
        return name

    def _closed(self, name: str, shape: Sequence[int | None]) -> Sequence[int | None]:
        """``shape``, batch included, with what the user wants where it is open."""
        wanted = self.wanted.get(name)
        if wanted is None:
            return shape
        fits = len(wanted) == len(shape) and all(
            has in (None, extent) for has, extent in zip(shape, wanted, strict=True)
        )
        if not fits:
            raise self.fail(f"only what is None in {list(shape)} can be set, not {list(wanted)}")
        return wanted

    def _layer(self, layer: Mapping[str, Any], prefix: str, given: Sequence[str]) -> list[str]:
        kind, config = layer["class_name"], layer["config"]
        self.label = prefix + str(config.get("name", kind))
        if kind in ("Sequential", "Functional", "Model"):
            return self.model(layer, f"{self.label}/", given)
        if str(layer.get("module")).startswith(_OPERATIONS):
            return self._operation(layer, given)
        if self.as_lstm and kind in ("GRU", "SimpleRNN"):
            kind = "LSTM"
        read = _LAYERS.get(kind)
        if read is None or layer.get("registered_name") not in (None, kind):
            raise self.fail(f"a {printable(str(kind))}{_UNROLLED.get(kind, '')}")
        if not _is_plain_type(config.get("dtype")):
            raise self.fail("numbers of another type than float32")
        if config.get("data_format") not in (None, "channels_last"):
            raise self.fail("channels first")
        made = read(self, config)
        from msgspec.structs import replace

        parts = made if isinstance(made, list) else [made]
        names = [f"{self.label}/{number}" if number else self.label for number in range(len(parts))]
        for part, name in zip(parts, names, strict=True):
            self.layers.append(replace(part, name=name, inputs=tuple(given)))
        return names

    def side(self, given: Mapping[str, Any] | None) -> Layer | None:
        """One direction of a recurrent layer; ``None`` where it is no LSTM."""
        kind = given["class_name"] if given else ""
        is_lstm = kind == "LSTM" or (self.as_lstm and kind in ("GRU", "SimpleRNN"))
        if not given or not is_lstm or not _is_plain_type(given["config"].get("dtype")):
            return None
        return _lstm(self, given["config"])

    def _operation(self, layer: Mapping[str, Any], given: Sequence[str]) -> list[str]:
        """What ``keras.ops`` or an operator of Python's makes, of two operands."""
        kind = layer["class_name"]
        (node,) = layer["inbound_nodes"]
        if kind == "GetItem" and not any(node.get("kwargs", {}).values()):
            self.layers.append(self._slice(node["args"][1:], given))
            return [self.label]
        found = _ARITHMETIC.get(kind)
        operands = node["args"]
        if found is None or len(operands) != 2 or any(node.get("kwargs", {}).values()):
            raise self.fail(f"{printable(str(kind))} of keras.ops")
        numbers = [each for each in operands if isinstance(each, (int, float))]
        name = self.label
        made = Layer(type=found[0], operation=found[1], name=name, inputs=tuple(given))
        if found[0] == "rescaling" and not numbers:
            raise self.fail(f"{printable(str(kind))} of keras.ops by what is no number")
        if numbers:
            made = self._with_number(made, kind, numbers, operands[0] is numbers[0])
        self.layers.append(made)
        return [name]

    def _slice(self, arguments: Sequence[Any], given: Sequence[str]) -> Layer:
        """What indexing by numbers, slices and an ellipsis makes."""
        (key,) = arguments
        keys = tuple(_key(each, self) for each in (key if isinstance(key, list) else [key]))
        return Layer(
            type="strided_slice",
            operation="strided_slice",
            name=self.label,
            inputs=tuple(given),
            keys=keys,
        )

    def _with_number(
        self, made: Layer, kind: str, numbers: Sequence[float], is_first: bool
    ) -> Layer:
        from msgspec.structs import replace

        (number,) = numbers
        if kind in ("TrueDivide", "Divide") and not is_first and number:
            number, kind = 1 / number, "Multiply"
        if kind not in ("Add", "Multiply") or number in (0, 1):
            raise self.fail(f"{kind} of keras.ops with a number")
        is_product = kind == "Multiply"
        return replace(
            made,
            type="rescaling",
            scale=is_product,
            center=not is_product,
            factor=float(number),
            offset=float(number),
        )

    def activation(self, config: Mapping[str, Any]) -> tuple[str, float]:
        """An activation of Keras's and its slope."""
        given = config.get("activation", "linear")
        if given is None:
            return "none", 0.0
        found = _ACTIVATIONS.get(given) if isinstance(given, str) else None
        if found is None:
            raise self.fail(f"the activation {given if isinstance(given, str) else 'of its own'}")
        return found, _ACTIVATION_SLOPE


def _key(given: Any, reader: _Reader) -> tuple[int, int, int, int]:
    """Begin, end, step and bits of a part of an index (``Layer.keys``)."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given, given + 1, 1, SINGLE
    kind = given.get("class_name") if isinstance(given, Mapping) else None
    if kind == "__ellipsis__":
        return 0, 0, 1, BETWEEN
    if kind != "__slice__":
        raise reader.fail("an index of another kind than numbers and slices")
    start, stop, step = (given["config"].get(each) for each in ("start", "stop", "step"))
    bits = OPEN_BEGIN * (start is None) + OPEN_END * (stop is None)
    return start or 0, stop or 0, 1 if step is None else step, bits


def _is_plain_type(given: object) -> bool:
    if isinstance(given, Mapping):
        settings = given.get("config")
        given = settings.get("name") if isinstance(settings, Mapping) else None
    return given in (None, "float32")


def _tensors(given: Any) -> list[tuple[str, int]]:
    """References to results, a single one or a list of them."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if given and isinstance(given[0], str):
        given = [given]
    return [(each[0], int(each[2])) for each in given]


def _histories(node: Any, reader: _Reader) -> list[tuple[str, int]]:
    """What a layer is called with."""
    if not isinstance(node, Mapping):  # as Keras 2 wrote it
        return [(each[0], int(each[2])) for each in node]
    found: list[tuple[str, int]] = []

    def look(value: Any) -> None:
        if isinstance(value, Mapping):
            if value.get("class_name") == "__keras_tensor__":
                name, _, index = value["config"]["keras_history"]
                found.append((name, index))
            else:
                for each in value.values():
                    look(each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                look(each)

    look(node["args"])
    keywords = {name: each for name, each in node.get("kwargs", {}).items() if each is not None}
    allowed = {"training": (False, None), "mask": (None,), "use_causal_mask": (False,)}
    for name, each in keywords.items():
        if each not in allowed.get(name, ()) and name not in ("value", "key", "query"):
            raise reader.fail(f"it is called with {name}")
        look(each)
    return found


def _pairs(given: Any) -> tuple[int, ...]:
    return (given, given) if isinstance(given, int) else tuple(given)


def _single(given: Any) -> int:
    return given if isinstance(given, int) else int(given[0])


def _convolution(kind: LayerType, size: str = "filters") -> Callable[..., Layer]:
    flat = kind.endswith("1d") or kind == "conv1d_transpose"
    extents: Callable[[Any], Any] = _single if flat else _pairs

    def read(reader: _Reader, config: Mapping[str, Any]) -> Layer:
        if config.get("output_padding") is not None:
            raise reader.fail("output_padding")
        activation, alpha = reader.activation(config)
        return Layer(
            type=kind,
            size=config[size],
            kernel=extents(config["kernel_size"]),
            stride=extents(config["strides"]),
            padding=config["padding"],
            dilation=extents(config.get("dilation_rate", 1)),
            bias=config["use_bias"],
            multiplier=config.get("depth_multiplier", 1),
            groups=config.get("groups", 1),
            activation=activation,  # type: ignore[arg-type]
            alpha=alpha,
        )

    return read


def _dense(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("lora_rank") or config.get("quantization_config"):
        raise reader.fail("adapters or quantization of Keras's")
    activation, alpha = reader.activation(config)
    return Layer(
        type="dense",
        size=config["units"],
        bias=config["use_bias"],
        activation=activation,  # type: ignore[arg-type]
        alpha=alpha,
    )


def _pool(kind: LayerType) -> Callable[..., Layer]:
    extents: Callable[[Any], Any] = _single if kind.endswith("1d") else _pairs

    def read(reader: _Reader, config: Mapping[str, Any]) -> Layer:
        del reader
        return Layer(
            type=kind,
            kernel=extents(config["pool_size"]),
            stride=extents(config["strides"] or config["pool_size"]),
            padding=config["padding"],
        )

    return read


def _global_pool(kind: LayerType) -> Callable[..., Layer]:
    return lambda reader, config: Layer(type=kind, keep_dims=bool(config.get("keepdims")))


def _plain(kind: LayerType) -> Callable[..., Layer]:
    return lambda reader, config: Layer(type=kind)


def _batch_norm(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) else axis
    if not isinstance(axis, int):
        raise reader.fail("a BatchNormalization of several axes")
    return Layer(type="batch_norm", axis=axis)


def _layer_norm(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    axis = config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis != -1 or config.get("rms_scaling"):
        raise reader.fail("a LayerNormalization of another axis")
    return Layer(type="layer_norm", scale=config["scale"], center=config["center"])


def _activation(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    activation, alpha = reader.activation(config)
    return _activated(activation, alpha)


def _activated(activation: str, alpha: float = 0.0) -> Layer:
    kind: LayerType = "dropout" if activation == "none" else "activation"
    return Layer(type=kind, activation=activation, alpha=alpha)  # type: ignore[arg-type]


def _relu(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    most, slope = config.get("max_value"), config.get("negative_slope", 0.0)
    if config.get("threshold", 0.0) or (most is not None and (most != 6 or slope)):
        raise reader.fail("a ReLU with a threshold or another limit than 6")
    if slope:
        return _activated("leaky_relu", slope)
    return _activated("relu" if most is None else "relu6")


def _leaky_relu(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    return _activated("leaky_relu", config.get("negative_slope", config.get("alpha", 0.3)))


def _prelu(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    from msgspec.structs import replace

    # 0 is no axis: slopes that nothing shares.
    return replace(_activated("prelu"), shape=tuple(config.get("shared_axes") or (0,)))


def _elu(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("alpha", 1.0) != 1.0:
        raise reader.fail("an ELU with alpha")
    return _activated("elu")


def _softmax(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("axis", -1) != -1:
        raise reader.fail("a Softmax of another axis")
    return Layer(type="softmax")


def _concatenate(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    return Layer(type="concatenate", axis=config.get("axis", -1))


def _reshape(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    return Layer(type="reshape", shape=tuple(config["target_shape"]))


def _permute(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    return Layer(type="permute", shape=tuple(config["dims"]))


def _amounts(kind: LayerType, key: str) -> Callable[..., Layer]:
    def read(reader: _Reader, config: Mapping[str, Any]) -> Layer:
        del reader
        given = config[key]
        if isinstance(given, int):
            amount: tuple[tuple[int, int], ...] = ((given, given),)
        elif isinstance(given[0], int):
            amount = ((given[0], given[1]),)
        else:
            amount = tuple((each[0], each[1]) for each in given)
        return Layer(type=kind, amount=amount)

    return read


def _upsampling(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("interpolation", "nearest") not in ("nearest", "bilinear"):
        raise reader.fail(f"interpolation {config['interpolation']}")
    size = _pairs(config["size"])
    return Layer(
        type="upsampling2d",
        amount=((size[0], size[1]),),
        interpolation=config.get("interpolation", "nearest"),
    )


def _upsampling1d(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    size = _single(config["size"])
    return Layer(type="upsampling1d", amount=((size, size),))


def _rescaling(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    scale, offset = config["scale"], config.get("offset", 0.0)
    if isinstance(scale, list):
        return _rescaling_each(reader, scale, offset)
    if not all(isinstance(each, (int, float)) for each in (scale, offset)):
        raise reader.fail("a Rescaling with offsets a channel and one factor")
    return Layer(
        type="rescaling", scale=scale != 1, center=offset != 0, factor=scale, offset=offset
    )


def _rescaling_each(reader: _Reader, scales: Sequence[Any], offset: Any) -> Layer:
    """A factor for each channel, and an offset for each or none."""
    if offset != 0 and not (isinstance(offset, list) and len(offset) == len(scales)):
        raise reader.fail("a Rescaling with factors a channel and one offset")
    offsets = offset if isinstance(offset, list) else [0]
    if not all(isinstance(each, (int, float)) for each in (*scales, *offsets)):
        raise reader.fail("a Rescaling with lists of lists")
    return Layer(
        type="rescaling",
        shape=(len(scales),),
        scale=any(each != 1 for each in scales),
        center=any(each != 0 for each in offsets),
    )


def _normalization(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("invert"):
        raise reader.fail("a Normalization that is inverted")
    axes = config.get("axis", -1)
    axes = [] if axes is None else axes if isinstance(axes, list) else [axes]
    return Layer(type="normalization", shape=tuple(axes))


def _repeat_vector(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    del reader
    return Layer(type="repeat_vector", size=config["n"])


def _lstm(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    fused = reader.as_lstm or (
        config["activation"] == "tanh"
        and config["recurrent_activation"] == "sigmoid"
        and config["use_bias"]
        and not any(config.get(key) for key in ("return_state", "stateful"))
    )
    if not fused:
        raise reader.fail("an LSTM that is not one operator")
    return Layer(
        type="lstm",
        size=config["units"],
        sequences=bool(config.get("return_sequences")),
        backwards=bool(config.get("go_backwards")),
    )


_MERGES: dict[str, Merge] = {
    "concat": "concat", "sum": "sum", "mul": "multiply", "ave": "average",
}  # fmt: skip


def _bidirectional(reader: _Reader, config: Mapping[str, Any]) -> list[Layer]:
    """A layer of both directions; one of each where they are not merged."""
    from msgspec.structs import replace

    sides = [reader.side(config.get(key)) for key in ("layer", "backward_layer")]
    ahead, back = sides[0], sides[1] or sides[0]
    if ahead is None or back is None:
        raise reader.fail("a Bidirectional of another layer than an LSTM")
    if ahead.backwards or (sides[1] is not None and not back.backwards):
        raise reader.fail("a Bidirectional whose first layer goes backwards")
    if (ahead.size, ahead.sequences) != (back.size, back.sequences):
        raise reader.fail("a Bidirectional of two different layers")
    mode = config.get("merge_mode", "concat")
    if mode is None:
        return [ahead, replace(ahead, merge="backward")]
    return [replace(ahead, merge=_MERGES[mode])]


def _attention(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    if config.get("use_scale") or config.get("score_mode", "dot") != "dot":
        raise reader.fail("an Attention with a scale or another score than dot")
    return Layer(type="attention")


def _multi_head(reader: _Reader, config: Mapping[str, Any]) -> Layer:
    same = config.get("value_dim") in (None, config["key_dim"])
    if not same or config.get("output_shape") or config.get("attention_axes") not in (None, [1]):
        raise reader.fail("a MultiHeadAttention with other values, outputs or axes")
    return Layer(
        type="multi_head_attention",
        size=config["key_dim"],
        heads=config["num_heads"],
        bias=config["use_bias"],
    )


#: Operations of two operands by the layers that compute the same, with TensorFlow's names.
_ARITHMETIC: dict[str, tuple[LayerType, str]] = {
    "Add": ("add", "Add"),
    "Subtract": ("subtract", "Sub"),
    "Multiply": ("multiply", "Mul"),
    "Maximum": ("maximum", "Maximum"),
    "Minimum": ("minimum", "Minimum"),
    "TrueDivide": ("rescaling", "truediv"),
    "Divide": ("rescaling", "truediv"),
}

_LAYERS: dict[str, Callable[[_Reader, Mapping[str, Any]], Layer | list[Layer]]] = {
    "Conv2D": _convolution("conv2d"),
    "Conv1D": _convolution("conv1d"),
    "DepthwiseConv2D": _convolution("depthwise_conv2d", "depth_multiplier"),
    "DepthwiseConv1D": _convolution("depthwise_conv1d", "depth_multiplier"),
    "Conv2DTranspose": _convolution("conv2d_transpose"),
    "Conv1DTranspose": _convolution("conv1d_transpose"),
    "SeparableConv2D": _convolution("separable_conv2d"),
    "SeparableConv1D": _convolution("separable_conv1d"),
    "Dense": _dense,
    "MaxPooling2D": _pool("max_pool2d"),
    "AveragePooling2D": _pool("average_pool2d"),
    "MaxPooling1D": _pool("max_pool1d"),
    "AveragePooling1D": _pool("average_pool1d"),
    "GlobalAveragePooling2D": _global_pool("global_average_pool2d"),
    "GlobalAveragePooling1D": _global_pool("global_average_pool1d"),
    "GlobalMaxPooling2D": _global_pool("global_max_pool2d"),
    "GlobalMaxPooling1D": _global_pool("global_max_pool1d"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "ELU": _elu,
    "Softmax": _softmax,
    "Add": _plain("add"),
    "Subtract": _plain("subtract"),
    "Multiply": _plain("multiply"),
    "Average": _plain("average"),
    "Maximum": _plain("maximum"),
    "Minimum": _plain("minimum"),
    "Concatenate": _concatenate,
    "Flatten": _plain("flatten"),
    "Reshape": _reshape,
    "Permute": _permute,
    "ZeroPadding2D": _amounts("zero_padding2d", "padding"),
    "ZeroPadding1D": _amounts("zero_padding1d", "padding"),
    "Cropping2D": _amounts("cropping2d", "cropping"),
    "Cropping1D": _amounts("cropping1d", "cropping"),
    "UpSampling2D": _upsampling,
    "UpSampling1D": _upsampling1d,
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "RepeatVector": _repeat_vector,
    "Dropout": _plain("dropout"),
    "SpatialDropout1D": _plain("dropout"),
    "SpatialDropout2D": _plain("dropout"),
    "GaussianNoise": _plain("dropout"),
    "GaussianDropout": _plain("dropout"),
    "AlphaDropout": _plain("dropout"),
    "Identity": _plain("dropout"),
    "ActivityRegularization": _plain("dropout"),
    "LSTM": _lstm,
    "Bidirectional": _bidirectional,
    "Attention": _attention,
    "MultiHeadAttention": _multi_head,
}
