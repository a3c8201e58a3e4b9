"""Turns a layer list into the INT8 model that a converter would make: a budget before training.

Shapes, operators and quantization are the trained model's; weights are zeros, names are short.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from math import prod
from typing import Any
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.graph.flatbuffer_writer import Table
from pytest_tinybudget.graph.flatbuffer_writer import schema
from pytest_tinybudget.graph.flatbuffer_writer import write


LayerType = Literal[
    "conv2d", "depthwise_conv2d", "dense", "max_pool2d", "average_pool2d", "flatten", "softmax"
]
Padding = Literal["valid", "same"]
Activation = Literal["none", "relu", "relu6"]

_SCALE = 1 / 32
_INT8, _INT32 = "INT8", "INT32"


class Layer(Struct, frozen=True):
    """One layer: ``size`` is its filters, units or, for a depthwise one, its multiplier.

    ``kernel`` and ``stride`` are extents in both directions.
    """

    type: LayerType
    size: int = 1
    kernel: int = 3
    stride: int = 1
    padding: Padding = "valid"
    activation: Activation = "none"


class LayerList(Struct, frozen=True):
    """Layers in order and the shape of their input, without batch (a constant of 1).

    ``per_channel_dense`` is whether dense layers have a scale for each output.
    """

    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]
    per_channel_dense: bool = True


def model_of(planned: LayerList, name: str) -> bytes:
    """The ``.tflite`` file of a layer list.

    Raises:
        ModelError: a layer does not fit the shape that it is given.
    """
    shape = [1, *planned.input_shape]
    graph = _Graph(name, shape, per_channel_dense=planned.per_channel_dense)
    for number, layer in enumerate(planned.layers):
        graph.label = f"{layer.type}_{number}"
        _BUILDERS[layer.type](graph, layer)
    return write(graph.model())


@dataclass(slots=True)
class _Graph:
    """A model under construction, a chain of operators. ``shape`` and ``scale`` are the last
    result's."""

    name: str
    shape: list[int]
    per_channel_dense: bool = True
    scale: float = _SCALE
    label: str = "input"
    current: int = 0
    tensors: list[Table] = field(default_factory=list)
    buffers: list[Table] = field(default_factory=lambda: [Table("Buffer", {})])
    operators: list[Table] = field(default_factory=list)
    codes: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tensor("", self.shape)

    def fail(self, text: str) -> ModelError:
        """An error about the current layer."""
        return ModelError(f"{self.name}: layer {self.label}: {text}")

    def tensor(
        self,
        part: str,
        shape: Sequence[int],
        *,
        kind: str = _INT8,
        scales: Sequence[float] = (_SCALE,),
        zero_point: int = 0,
        axis: int = 0,
        data: bytes | None = None,
    ) -> int:
        """Add a tensor of the current layer; with ``data`` a constant."""
        if data is not None:
            self.buffers.append(Table("Buffer", {"data": data}))
        quantization = {
            "scale": tuple(scales),
            "zero_point": (zero_point,) * len(scales),
            "quantized_dimension": axis,
        }
        values = {
            "shape": tuple(shape),
            "type": kind,
            "buffer": 0 if data is None else len(self.buffers) - 1,
            "name": f"{self.label}{part}",
            "quantization": Table("QuantizationParameters", quantization) if scales else None,
            "has_rank": True,
        }
        self.tensors.append(Table("Tensor", values))
        return len(self.tensors) - 1

    def weights(self, shape: Sequence[int], axis: int, *, per_channel: bool = True) -> list[int]:
        """Zeros of ``shape`` and a bias, with a scale for each output along ``axis``, or one."""
        outputs = shape[axis]
        scales = (_SCALE,) * (outputs if per_channel else 1)
        kernel = self.tensor("/kernel", shape, scales=scales, axis=axis, data=bytes(prod(shape)))
        if not per_channel:  # TFLM checks that a single one is that of input times weights
            scales = (_SCALE * self.scale,)
        bias = self.tensor("/bias", (outputs,), kind=_INT32, scales=scales, data=bytes(4 * outputs))
        return [kernel, bias]

    def operator(
        self,
        name: str,
        version: int,
        constants: Sequence[int],
        shape: Sequence[int],
        options: dict[str, Any],
        *,
        scale: float = _SCALE,
        zero_point: int = 0,
    ) -> None:
        """Add an operator on the last result and ``constants``; its result has ``shape``."""
        if (name, version) not in self.codes:
            self.codes.append((name, version))
        result = self.tensor("", shape, scales=(scale,), zero_point=zero_point)
        kind = schema()["operator_options"][name]
        values = {
            "opcode_index": self.codes.index((name, version)),
            "inputs": (self.current, *constants),
            "outputs": (result,),
            "builtin_options_type": schema()["builtin_options"].index(kind),
            "builtin_options": Table(kind, options),
        }
        self.operators.append(Table("Operator", values))
        self.current, self.shape, self.scale = result, list(shape), scale

    def model(self) -> Table:
        """The whole file."""
        graph = {
            "tensors": self.tensors,
            "inputs": (0,),
            "outputs": (self.current,),
            "operators": self.operators,
            "name": "main",
        }
        return Table(
            "Model",
            {
                "version": 3,
                "operator_codes": [_code(name, version) for name, version in self.codes],
                "subgraphs": [Table("SubGraph", graph)],
                "description": "a layer list",
                "buffers": self.buffers,
            },
        )


def _code(name: str, version: int) -> Table:
    code = schema()["operators"].index(name)
    values = {"deprecated_builtin_code": min(code, 127), "version": version, "builtin_code": code}
    return Table("OperatorCode", values)


def _window(graph: _Graph, layer: Layer) -> tuple[list[int], dict[str, Any]]:
    """Height and width after a sliding window, and the options that all such operators share."""
    if len(graph.shape) != 4:
        raise graph.fail(f"expects (height, width, channels), but is given {graph.shape[1:]}")
    if layer.padding == "same":
        extents = [-(-extent // layer.stride) for extent in graph.shape[1:3]]
    else:
        extents = [-(-(extent - layer.kernel + 1) // layer.stride) for extent in graph.shape[1:3]]
    if min(extents) < 1:
        raise graph.fail(f"its {layer.kernel}×{layer.kernel} window is larger than {graph.shape}")
    options = {
        "padding": layer.padding.upper(),
        "stride_h": layer.stride,
        "stride_w": layer.stride,
        "fused_activation_function": layer.activation.upper(),
    }
    return extents, options


def _conv2d(graph: _Graph, layer: Layer) -> None:
    extents, options = _window(graph, layer)
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1}
    weights = graph.weights((layer.size, layer.kernel, layer.kernel, graph.shape[3]), 0)
    graph.operator("CONV_2D", 3, weights, (1, *extents, layer.size), options)


def _depthwise_conv2d(graph: _Graph, layer: Layer) -> None:
    extents, options = _window(graph, layer)
    options |= {"dilation_h_factor": 1, "dilation_w_factor": 1, "depth_multiplier": layer.size}
    channels = graph.shape[3] * layer.size
    weights = graph.weights((1, layer.kernel, layer.kernel, channels), 3)
    graph.operator("DEPTHWISE_CONV_2D", 3, weights, (1, *extents, channels), options)


def _dense(graph: _Graph, layer: Layer) -> None:
    if len(graph.shape) > 2:
        _flatten(graph, layer)
    shape = (layer.size, graph.shape[1])
    weights = graph.weights(shape, 0, per_channel=graph.per_channel_dense)
    options = {"fused_activation_function": layer.activation.upper()}
    graph.operator("FULLY_CONNECTED", 4, weights, (1, layer.size), options)


def _pool(name: str) -> Callable[[_Graph, Layer], None]:
    def build(graph: _Graph, layer: Layer) -> None:
        extents, options = _window(graph, layer)
        options |= {"filter_height": layer.kernel, "filter_width": layer.kernel}
        graph.operator(name, 2, (), (1, *extents, graph.shape[3]), options)

    return build


def _flatten(graph: _Graph, layer: Layer) -> None:
    shape = (1, prod(graph.shape))
    content = b"".join(extent.to_bytes(4, "little") for extent in shape)
    target = graph.tensor("/shape", (2,), kind=_INT32, scales=(), data=content)
    graph.operator("RESHAPE", 1, (target,), shape, {"new_shape": shape})


def _softmax(graph: _Graph, layer: Layer) -> None:
    graph.operator("SOFTMAX", 2, (), graph.shape, {"beta": 1.0}, scale=1 / 256, zero_point=-128)


_BUILDERS: dict[str, Callable[[_Graph, Layer], None]] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "dense": _dense,
    "max_pool2d": _pool("MAX_POOL_2D"),
    "average_pool2d": _pool("AVERAGE_POOL_2D"),
    "flatten": _flatten,
    "softmax": _softmax,
}
