"""Makes small, valid ``.tflite`` files for tests: deterministic bytes, no converter needed.

``ModelMaker`` is the file, ``Graph`` one subgraph in it. A graph's methods (``conv2d``, ``dense``,
``concat`` …) take and return tensor indices, give weights of zeros and quantize by the type of
their input: FLOAT32, INT8, or INT16 (activations, with int8 weights), as converters do::

    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3))
    graph.output(graph.softmax(graph.dense(graph.conv2d(image, filters=4), units=10)))
    content = maker.build()
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from importlib import resources
from math import prod
from typing import Any

import flatbuffers


_SCHEMA = json.loads(
    (resources.files("pytest_tinybudget.graph") / "schema.json").read_text(encoding="utf-8")
)
_ENUMS = {name: enum["names"] for name, enum in _SCHEMA["enums"].items()}
_ENUM_BASES = {name: enum["base"] for name, enum in _SCHEMA["enums"].items()}
_WIDTHS = {
    "bool": 1, "byte": 1, "ubyte": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4,
    "long": 8, "ulong": 8,
}  # fmt: skip
_PREPEND = {
    "bool": "Bool", "byte": "Int8", "ubyte": "Uint8", "short": "Int16", "ushort": "Uint16",
    "int": "Int32", "uint": "Uint32", "long": "Int64", "ulong": "Uint64", "float": "Float32",
}  # fmt: skip
#: ``struct`` codes of tensor contents.
_ELEMENTS = {
    "FLOAT32": "f", "INT8": "b", "UINT8": "B", "INT16": "h", "INT32": "i", "INT64": "q",
    "BOOL": "?", "INT4": "b", "UINT32": "I",
}  # fmt: skip

#: Scale of activations and weights; zero points are 0 except where TFLM demands otherwise.
SCALE = 1 / 32


@dataclass
class Table:
    """A FlatBuffers table to be written: ``values`` by the field names of the schema.

    A value is a number, an enumeration's name, a string, ``bytes`` (a vector of ``ubyte``),
    a sequence of numbers, a ``Table``, or a sequence of tables; ``None`` leaves a field out.
    One ``Table`` object in several places is written once and referred to from each.
    """

    kind: str
    values: dict[str, Any]


@dataclass
class TensorSpec:
    """A tensor of a graph; ``data`` is ``None`` for what is computed at run time."""

    shape: tuple[int, ...]
    type: str
    name: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    dimension: int = 0
    data: bytes | None = field(default=None, repr=False)
    is_variable: bool = False
    shape_signature: tuple[int, ...] | None = None


@dataclass
class _Step:
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...]
    options: Mapping[str, Any]
    custom_options: bytes | None
    version: int


@dataclass
class Graph:
    """One subgraph under construction."""

    name: str
    tensors: list[TensorSpec] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    steps: list[_Step] = field(default_factory=list)

    def tensor(
        self,
        shape: Sequence[int],
        type: str = "INT8",  # noqa: A002
        *,
        name: str | None = None,
        scale: float | Sequence[float] | None = None,
        zero_point: int = 0,
        dimension: int = 0,
        data: bytes | None = None,
        variable: bool = False,
        shape_signature: Sequence[int] | None = None,
    ) -> int:
        """Add a tensor; without ``scale`` it is quantized if it is an INT8 or INT16 one."""
        if scale is None:
            scale = SCALE if type in ("INT8", "INT16") else ()
        scales = (scale,) if isinstance(scale, float) else tuple(scale)
        index = len(self.tensors)
        self.tensors.append(
            TensorSpec(
                shape=tuple(shape),
                type=type,
                name=f"{self.name}/t{index}" if name is None else name,
                scales=scales,
                zero_points=(zero_point,) * len(scales),
                dimension=dimension,
                data=data,
                is_variable=variable,
                shape_signature=None if shape_signature is None else tuple(shape_signature),
            )
        )
        return index

    def constant(
        self,
        shape: Sequence[int],
        type: str = "INT32",  # noqa: A002
        values: Sequence[float] | None = None,
        **details: Any,
    ) -> int:
        """Add a constant tensor of ``values`` (zeros without)."""
        if type == "INT4":
            return self.tensor(shape, type, data=bytes((prod(shape) + 1) // 2), **details)
        numbers = [0] * prod(shape) if values is None else values
        data = struct.pack(f"<{prod(shape)}{_ELEMENTS[type]}", *numbers)
        return self.tensor(shape, type, data=data, **details)

    def input(self, shape: Sequence[int], type: str = "INT8", **details: Any) -> int:  # noqa: A002
        """Add a tensor that is an input of the graph."""
        index = self.tensor(shape, type, **details)
        self.inputs.append(index)
        return index

    def output(self, *tensors: int) -> None:
        """Make ``tensors`` outputs of the graph."""
        self.outputs.extend(tensors)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Mapping[str, Any] | None = None,
        *,
        intermediates: Sequence[int] = (),
        custom_options: bytes | None = None,
        version: int = 1,
    ) -> None:
        """Add an operator; a name that is no builtin's makes it a custom one."""
        self.steps.append(
            _Step(
                name,
                tuple(inputs),
                tuple(outputs),
                tuple(intermediates),
                options or {},
                custom_options,
                version,
            )
        )

    # Layers: each adds an operator with its weights and returns the tensor it computes.

    def conv2d(
        self,
        source: int,
        *,
        filters: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        per_channel: bool = True,
        weights_type: str | None = None,
        bias: bool = True,
        groups: int = 1,
    ) -> int:
        """CONV_2D; sizes are (height, width)."""
        batch, height, width, channels = self.tensors[source].shape
        shape = (filters, *kernel, channels // groups)
        weights = self._weights(shape, source, per_channel, 0, weights_type)
        result = self._like(
            source, (batch, *_window((height, width), kernel, stride, dilation, padding), filters)
        )
        inputs = (source, weights, self._bias(filters, source, weights) if bias else -1)
        options = _conv_options(stride, dilation, padding, activation)
        self.operator("CONV_2D", inputs, (result,), options)
        return result

    def depthwise_conv2d(
        self,
        source: int,
        *,
        multiplier: int = 1,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        dilation: tuple[int, int] = (1, 1),
        padding: str = "SAME",
        activation: str = "NONE",
        per_channel: bool = True,
    ) -> int:
        """DEPTHWISE_CONV_2D; sizes are (height, width)."""
        batch, height, width, channels = self.tensors[source].shape
        filters = channels * multiplier
        weights = self._weights((1, *kernel, filters), source, per_channel, 3)
        bias = self._bias(filters, source, weights)
        result = self._like(
            source, (batch, *_window((height, width), kernel, stride, dilation, padding), filters)
        )
        options = _conv_options(stride, dilation, padding, activation)
        self.operator(
            "DEPTHWISE_CONV_2D",
            (source, weights, bias),
            (result,),
            options | {"depth_multiplier": multiplier},
        )
        return result

    def dense(
        self,
        source: int,
        *,
        units: int,
        activation: str = "NONE",
        per_channel: bool = False,
        keep_num_dims: bool = False,
        bias: bool = True,
        weights_type: str | None = None,
    ) -> int:
        """FULLY_CONNECTED over all axes but the first, or the last alone (``keep_num_dims``)."""
        shape = self.tensors[source].shape
        features = shape[-1] if keep_num_dims else prod(shape[1:])
        weights = self._weights((units, features), source, per_channel, 0, weights_type)
        result = self._like(source, (*shape[:-1], units) if keep_num_dims else (shape[0], units))
        self.operator(
            "FULLY_CONNECTED",
            (source, weights, self._bias(units, source, weights) if bias else -1),
            (result,),
            {"fused_activation_function": activation, "keep_num_dims": keep_num_dims},
        )
        return result

    def pool(
        self,
        source: int,
        *,
        kind: str = "MAX_POOL_2D",
        kernel: tuple[int, int] = (2, 2),
        stride: tuple[int, int] = (2, 2),
        padding: str = "VALID",
        activation: str = "NONE",
    ) -> int:
        """MAX_POOL_2D or AVERAGE_POOL_2D; sizes are (height, width)."""
        batch, height, width, channels = self.tensors[source].shape
        result = self._like(
            source, (batch, *_window((height, width), kernel, stride, (1, 1), padding), channels)
        )
        options = {
            "padding": padding,
            "stride_h": stride[0],
            "stride_w": stride[1],
            "filter_height": kernel[0],
            "filter_width": kernel[1],
            "fused_activation_function": activation,
        }
        self.operator(kind, (source,), (result,), options)
        return result

    def softmax(self, source: int, *, beta: float = 1.0) -> int:
        """SOFTMAX along the last axis, with the output quantization that TFLM demands."""
        return self._saturating("SOFTMAX", source, 1 / 256, -128, {"beta": beta})

    def logistic(self, source: int) -> int:
        """LOGISTIC, with the output quantization that TFLM demands."""
        return self._saturating("LOGISTIC", source, 1 / 256, -128)

    def tanh(self, source: int) -> int:
        """TANH, with the output quantization that TFLM demands."""
        return self._saturating("TANH", source, 1 / 128, 0)

    def unary(self, name: str, source: int) -> int:
        """An operator from one tensor to another of the same shape and type (RELU, ABS …)."""
        result = self._like(source)
        self.operator(name, (source,), (result,))
        return result

    def binary(self, name: str, first: int, second: int, *, activation: str = "NONE") -> int:
        """ADD, SUB or MUL of two tensors whose shapes broadcast."""
        shapes = [self.tensors[index].shape for index in (first, second)]
        rank = max(map(len, shapes))
        padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
        result = self._like(first, tuple(map(max, *padded)))
        self.operator(name, (first, second), (result,), {"fused_activation_function": activation})
        return result

    def add(self, first: int, second: int, *, activation: str = "NONE") -> int:
        """ADD of two tensors whose shapes broadcast."""
        return self.binary("ADD", first, second, activation=activation)

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        """RESHAPE to ``shape``, given as a constant tensor and as an option."""
        target = self.constant((len(shape),), values=shape)
        result = self._like(source, shape)
        self.operator("RESHAPE", (source, target), (result,), {"new_shape": tuple(shape)})
        return result

    def concat(self, sources: Sequence[int], *, axis: int = -1) -> int:
        """CONCATENATION along ``axis``."""
        shapes = [self.tensors[index].shape for index in sources]
        axis %= len(shapes[0])
        total = sum(shape[axis] for shape in shapes)
        result = self._like(sources[0], (*shapes[0][:axis], total, *shapes[0][axis + 1 :]))
        self.operator("CONCATENATION", sources, (result,), {"axis": axis})
        return result

    def strided_slice(
        self, source: int, begin: Sequence[int], end: Sequence[int], strides: Sequence[int]
    ) -> int:
        """STRIDED_SLICE with non-negative bounds and positive strides."""
        rank = (len(begin),)
        bounds = [self.constant(rank, values=values) for values in (begin, end, strides)]
        shape = [
            -(-(stop - start) // step)
            for start, stop, step in zip(begin, end, strides, strict=True)
        ]
        result = self._like(source, shape)
        self.operator("STRIDED_SLICE", (source, *bounds), (result,))
        return result

    def pad(self, source: int, paddings: Sequence[tuple[int, int]]) -> int:
        """PAD by (before, after) per axis."""
        flat = [count for pair in paddings for count in pair]
        amounts = self.constant((len(paddings), 2), values=flat)
        shape = [
            extent + sum(pair)
            for extent, pair in zip(self.tensors[source].shape, paddings, strict=True)
        ]
        result = self._like(source, shape)
        self.operator("PAD", (source, amounts), (result,))
        return result

    def split(self, source: int, *, parts: int, axis: int) -> tuple[int, ...]:
        """SPLIT into equal ``parts`` along ``axis``."""
        shape = list(self.tensors[source].shape)
        shape[axis] //= parts
        where = self.constant((), values=(axis,))
        results = tuple(self._like(source, shape) for _ in range(parts))
        self.operator("SPLIT", (where, source), results, {"num_splits": parts})
        return results

    def mean(self, source: int, *, axes: Sequence[int], keep_dims: bool = True) -> int:
        """MEAN over ``axes``."""
        shape = self.tensors[source].shape
        over = self.constant((len(axes),), values=axes)
        kept = [
            1 if axis in axes else extent
            for axis, extent in enumerate(shape)
            if keep_dims or axis not in axes
        ]
        result = self._like(source, kept)
        self.operator("MEAN", (source, over), (result,), {"keep_dims": keep_dims})
        return result

    def lstm(
        self,
        source: int,
        *,
        units: int,
        cell_scale: float = 2.0**-11,
        hidden: Mapping[str, Any] | None = None,
        inside: Mapping[str, Any] | None = None,
    ) -> int:
        """UNIDIRECTIONAL_SEQUENCE_LSTM over (batch, time, features), with TFLM's 24 inputs.

        ``hidden`` and ``inside`` are the quantization of its hidden state and of what older kernels
        compute that with, where they are not the output's.
        """
        batch, time, features = self.tensors[source].shape
        quantized = self.tensors[source].type != "FLOAT32"
        to_gates = [self._weights((units, features), source, False, 0) for _ in range(4)]
        recurrent = [self._weights((units, units), source, False, 0) for _ in range(4)]
        biases = [self._bias(units, source, to_gates[0]) for _ in range(4)]
        given = self.tensors[source]
        own: dict[str, Any] = {"scale": given.scales, "zero_point": (given.zero_points or (0,))[0]}
        state = self.tensor((batch, units), given.type, variable=True, **(hidden or own))
        cell_type = "INT16" if quantized else "FLOAT32"
        cell = self.tensor((batch, units), cell_type, scale=cell_scale, variable=True)
        result = self._like(source, (batch, time, units))
        gates = [self.tensor((0,), "FLOAT32") for _ in range(4)]
        gates.append(self.tensor((0,), "INT8" if quantized else "FLOAT32", **(inside or own)))
        absent = (-1,) * 3
        inputs = (
            source, *to_gates, *recurrent, *absent, *biases, -1, -1, state, cell, -1, *absent,
        )  # fmt: skip
        options = {"fused_activation_function": "TANH", "cell_clip": 10.0}
        self.operator(
            "UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, (result,), options, intermediates=gates
        )
        return result

    def _like(self, source: int, shape: Sequence[int] | None = None) -> int:
        """A run-time tensor of the type and quantization of ``source``."""
        spec = self.tensors[source]
        zero_point = spec.zero_points[0] if spec.zero_points else 0
        return self.tensor(
            spec.shape if shape is None else shape,
            spec.type,
            scale=spec.scales,
            zero_point=zero_point,
        )

    def _saturating(
        self,
        name: str,
        source: int,
        scale: float,
        zero_point: int,
        options: Mapping[str, Any] | None = None,
    ) -> int:
        """An operator with a fixed output range: int16 always has scale 2^-15."""
        spec = self.tensors[source]
        if spec.type == "INT16":
            scale, zero_point = 2.0**-15, 0
        result = self.tensor(
            spec.shape,
            spec.type,
            scale=scale if spec.scales else None,
            zero_point=zero_point,
        )
        self.operator(name, (source,), (result,), options)
        return result

    def _weights(
        self,
        shape: tuple[int, ...],
        source: int,
        per_channel: bool,
        dimension: int,
        weights_type: str | None = None,
    ) -> int:
        if self.tensors[source].type == "FLOAT32":
            return self.constant(shape, "FLOAT32")
        channels = shape[dimension] if per_channel else 1
        return self.constant(
            shape, weights_type or "INT8", scale=(SCALE,) * channels, dimension=dimension
        )

    def _bias(self, channels: int, source: int, weights: int) -> int:
        kind = self.tensors[source].type
        if kind == "FLOAT32":
            return self.constant((channels,), "FLOAT32")
        scales = [self.tensors[source].scales[0] * scale for scale in self.tensors[weights].scales]
        wide = "INT64" if kind == "INT16" else "INT32"
        return self.constant((channels,), wide, scale=scales)


@dataclass
class ModelMaker:
    """A model file under construction: graphs (the first is the main one) and what names them."""

    description: str = "made for a test"
    graphs: list[Graph] = field(default_factory=list)
    metadata: dict[str, bytes] = field(default_factory=dict)
    signatures: list[Table] = field(default_factory=list)

    def graph(self, name: str | None = None) -> Graph:
        """Add a subgraph."""
        graph = Graph(f"graph{len(self.graphs)}" if name is None else name)
        self.graphs.append(graph)
        return graph

    def signature(
        self, key: str, inputs: Mapping[str, int], outputs: Mapping[str, int], subgraph: int = 0
    ) -> None:
        """Name an entry point: tensors by argument name."""
        maps = [
            [Table("TensorMap", {"name": name, "tensor_index": index}) for name, index in entries]
            for entries in (inputs.items(), outputs.items())
        ]
        values = {
            "inputs": maps[0],
            "outputs": maps[1],
            "signature_key": key,
            "subgraph_index": subgraph,
        }
        self.signatures.append(Table("SignatureDef", values))

    def offline_plan(self, offsets: Sequence[int]) -> None:
        """Add the plan TFLM obeys: an arena offset per tensor over all subgraphs, −1: TFLM's."""
        words = (1, 0, len(offsets), *offsets)
        self.metadata["OfflineMemoryAllocation"] = struct.pack(f"<{len(words)}i", *words)

    def build(self) -> bytes:
        """The file."""
        return write(self.table())

    def table(self) -> Table:
        """The file as tables, to be altered before ``write``."""
        buffers = [Table("Buffer", {})]
        codes: list[tuple[str, int]] = []
        graphs = [self._graph(graph, buffers, codes) for graph in self.graphs]
        metadata = []
        for name, content in self.metadata.items():
            metadata.append(Table("Metadata", {"name": name, "buffer": len(buffers)}))
            buffers.append(Table("Buffer", {"data": content}))
        return Table(
            "Model",
            {
                "version": 3,
                "operator_codes": [_operator_code(name, version) for name, version in codes],
                "subgraphs": graphs,
                "description": self.description,
                "buffers": buffers,
                "metadata": metadata or None,
                "signature_defs": self.signatures or None,
            },
        )

    def _graph(self, graph: Graph, buffers: list[Table], codes: list[tuple[str, int]]) -> Table:
        for step in graph.steps:
            if (step.name, step.version) not in codes:
                codes.append((step.name, step.version))
        return Table(
            "SubGraph",
            {
                "tensors": [_tensor(spec, buffers) for spec in graph.tensors],
                "inputs": graph.inputs,
                "outputs": graph.outputs,
                "operators": [
                    _operator(step, codes.index((step.name, step.version))) for step in graph.steps
                ],
                "name": graph.name,
            },
        )


def option_types(kind: str) -> list[tuple[str, str]]:
    """Name and type of each field of an options table."""
    return [(entry[0], entry[1]) for entry in _SCHEMA["tables"][kind] if entry[0]]


def option_values(kind: str) -> tuple[str, ...]:
    """The names of an enumeration, none for another type."""
    return tuple(_ENUMS.get(kind, ()))


def write(table: Table) -> bytes:
    """The bytes of a file whose root is ``table``."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, table, {}), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, table: Table, written: dict[int, int]) -> int:
    """Write a table, what it refers to first, unless it is written; gives its offset."""
    if id(table) in written:
        return written[id(table)]
    slots = _SCHEMA["tables"][table.kind]
    fields = {entry[0]: (slot, entry[1]) for slot, entry in enumerate(slots)}
    ready = {}
    for name, value in table.values.items():
        if value is not None:
            slot, kind = fields[name]
            ready[slot] = (kind, _prepare(builder, kind, value, table.kind, written))
    builder.StartObject(len(slots))
    for slot, (kind, value) in ready.items():
        base = _ENUM_BASES.get(kind, kind)
        if base in _PREPEND:
            getattr(builder, f"Prepend{_PREPEND[base]}Slot")(slot, value, None)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    written[id(table)] = int(builder.EndObject())
    return written[id(table)]


def _prepare(
    builder: flatbuffers.Builder, kind: str, value: Any, owner: str, written: dict[int, int]
) -> Any:
    """A scalar's number, or the offset of the string, vector or table just written."""
    if isinstance(value, Table):
        return _write(builder, value, written)
    if isinstance(value, str):
        return builder.CreateString(value) if kind == "string" else _ENUMS[kind].index(value)
    if isinstance(value, bytes):
        builder.StartVector(1, len(value), 16 if owner == "Buffer" else 4)
        builder.head -= len(value)
        builder.Bytes[builder.head : builder.head + len(value)] = value
        return builder.EndVector()
    if not kind.startswith("["):
        return value
    if kind == "[table]":
        offsets = [_write(builder, entry, written) for entry in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    element = kind[1:-1]
    builder.StartVector(_WIDTHS[element], len(value), _WIDTHS[element])
    prepend = getattr(builder, f"Prepend{_PREPEND[element]}")
    for number in reversed(value):
        prepend(number)
    return builder.EndVector()


def _operator_code(name: str, version: int) -> Table:
    operators = _SCHEMA["operators"]
    code = operators.index(name if name in operators else "CUSTOM")
    return Table(
        "OperatorCode",
        {
            "deprecated_builtin_code": min(code, 127),
            "custom_code": None if name in operators else name,
            "version": version,
            "builtin_code": code,
        },
    )


def _operator(step: _Step, code: int) -> Table:
    values: dict[str, Any] = {
        "opcode_index": code,
        "inputs": step.inputs,
        "outputs": step.outputs,
        "custom_options": step.custom_options,
        "intermediates": step.intermediates or None,
    }
    options = _SCHEMA["operator_options"].get(step.name)
    if options is not None:
        second = options in _SCHEMA["builtin_options_2"]
        union = "builtin_options_2" if second else "builtin_options"
        values[f"{union}_type"] = _SCHEMA[union].index(options)
        values[union] = Table(options, dict(step.options))
    return Table("Operator", values)


def _tensor(spec: TensorSpec, buffers: list[Table]) -> Table:
    buffer = 0
    if spec.data is not None:
        buffer = len(buffers)
        buffers.append(Table("Buffer", {"data": spec.data}))
    quantization = {
        "scale": spec.scales,
        "zero_point": spec.zero_points,
        "quantized_dimension": spec.dimension,
    }
    return Table(
        "Tensor",
        {
            "shape": spec.shape,
            "type": spec.type,
            "buffer": buffer,
            "name": spec.name,
            "quantization": Table("QuantizationParameters", quantization) if spec.scales else None,
            "is_variable": spec.is_variable,
            "shape_signature": spec.shape_signature,
            "has_rank": True,
        },
    )


def _conv_options(
    stride: tuple[int, int], dilation: tuple[int, int], padding: str, activation: str
) -> dict[str, Any]:
    return {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
        "fused_activation_function": activation,
    }


def _window(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: str,
) -> tuple[int, ...]:
    """Output height and width of a sliding window."""
    if padding == "SAME":
        return tuple(-(-extent // step) for extent, step in zip(size, stride, strict=True))
    return tuple(
        -(-(extent - (reach - 1) * spread) // step)
        for extent, reach, step, spread in zip(size, kernel, stride, dilation, strict=True)
    )
