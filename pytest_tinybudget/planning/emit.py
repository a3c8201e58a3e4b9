"""Tensors and operators of a plan, quantized as the converter does it."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from collections.abc import Sequence
from math import prod
from typing import Any

from msgspec import Struct

from pytest_tinybudget.graph.model import NO_BYTES
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import OptionValue
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Value


_SCALE = 1 / 32
#: That of what is 0 whatever comes in: the converter gives it a range of 1e-6 to both sides.
_SCALE_OF_ZEROS: dict[Numbers, float] = {"int8": 2e-6 / 255, "int16": 1e-6 / 32767}
#: LSTM cells count in these steps (tensorflow/lite/micro/kernels/lstm_eval_common.cc wants a power
#: of two).
_CELL_SCALE = 2.0**-14
#: Results whose range the operator decides: scale and zero point by operator, int8 then int16.
_RANGES = {
    "SOFTMAX": ((1 / 256, -128), (2.0**-15, 0)),
    "LOGISTIC": ((1 / 256, -128), (2.0**-15, 0)),
    "TANH": ((1 / 128, 0), (2.0**-15, 0)),
    "LOG_SOFTMAX": ((16 / 256, 127), (2.0**-11, 0)),
}
#: Results with their operand's scale.
_SAME_SCALE = frozenset(
    {
        "RESHAPE", "MAX_POOL_2D", "AVERAGE_POOL_2D", "PAD", "TRANSPOSE", "STRIDED_SLICE", "TILE",
        "CONCATENATION", "MAXIMUM", "MINIMUM", "REDUCE_MAX", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "PADV2", "SLICE", "MIRROR_PAD",
    }
)  # fmt: skip
#: What the converter leaves in float between DEQUANTIZE and QUANTIZE.
_FLOAT_ONLY = frozenset({"ELU", "NEG"})
#: The same of litert-quantizer.
_TRACED_FLOAT = frozenset({"LOG_SOFTMAX", "REDUCE_MAX"})
#: Their results are tensors that litert-quantizer added.
_REQUANTIZED = frozenset({"DEQUANTIZE", "QUANTIZE", "LEAKY_RELU"})
#: Results with whatever scale is asked of them.
_ANY_SCALE = frozenset(
    {
        "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "ADD", "SUB", "MUL",
        "MEAN", "HARD_SWISH", "LEAKY_RELU", "CONCATENATION",
    }
)  # fmt: skip
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED"})

#: The version of an operator in a quantized file, where it is not 1.
_VERSIONS = {
    "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "TRANSPOSE_CONV": 3,
    "MAX_POOL_2D": 2, "AVERAGE_POOL_2D": 2, "MEAN": 2, "REDUCE_MAX": 2, "SOFTMAX": 2,
    "LOGISTIC": 2, "TANH": 2, "LOG_SOFTMAX": 2, "ADD": 2, "SUB": 2, "MUL": 2,
    "CONCATENATION": 2, "PAD": 2, "TILE": 3, "RESIZE_BILINEAR": 3, "TRANSPOSE": 2,
    "STRIDED_SLICE": 2, "DEQUANTIZE": 2, "SQUARED_DIFFERENCE": 2, "RSQRT": 2,
    "BATCH_MATMUL": 2, "MAXIMUM": 2, "MINIMUM": 2, "RELU": 2, "RELU6": 2, "EXP": 2, "GELU": 2,
}  # fmt: skip
_DILATIONS = ("dilation_h_factor", "dilation_w_factor")
_FLOAT_VERSIONS = {
    "TRANSPOSE_CONV": 3, "RESIZE_BILINEAR": 3, "RESIZE_NEAREST_NEIGHBOR": 3, "TILE": 1,
}  # fmt: skip
_KEEPS_DIMENSIONS, _GROUPED_VERSION = 5, 6
#: Their options tell the type of their bias.
_TYPED_BIAS = frozenset({"CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
#: More of them make another version of TRANSPOSE.
_FEW_DIMENSIONS = 4
#: Operands of a transposed convolution without a bias.
_UNBIASED = 3
_UNBIASED_VERSIONS: dict[Numbers, int] = {"int8": 2, "int16": 3, "float": 1}

_LSTM_PARTS = (
    "input_to_input", "input_to_forget", "input_to_cell", "input_to_output", "effective_hidden",
)  # fmt: skip


class _Types(Struct, frozen=True):
    flowing: str
    weights: str
    bias: str


_TYPES: dict[Numbers, _Types] = {
    "int8": _Types("INT8", "INT8", "INT32"),
    "int16": _Types("INT16", "INT8", "INT64"),
    "float": _Types("FLOAT32", "FLOAT32", "FLOAT32"),
}
_PARTS = {"weights": "kernel"}
#: The longest first; plans may hold views of the others.
_zeros = [memoryview(bytes(1 << 16))]


def zeros(count: int) -> memoryview:
    """So many bytes of zeros, shared by all plans."""
    if len(_zeros[0]) < count:
        _zeros.insert(0, memoryview(bytes(2 * count)))
    return _zeros[0][:count]


def is_zeros(data: memoryview) -> bool:
    """Whether ``zeros`` has given ``data``."""
    return any(data.obj is each.obj for each in _zeros)


def packed(values: Sequence[int]) -> memoryview:
    """Integers as a file holds them."""
    return memoryview(struct.pack(f"<{len(values)}i", *values))


def quantized(
    nodes: Sequence[Node],
    inputs: Sequence[Value],
    numbers: Numbers,
    model: str,
    outputs: Sequence[Value] = (),
) -> list[Node]:
    """``nodes`` with what the converter adds between numbers of different scales.

    Raises:
        NotPlannedError: the data that calibrates decides it.
    """
    if numbers == "float":
        _refuse_states(nodes, model)
        return list(nodes)
    ranges: dict[int, str] = {id(each): "an input" for each in inputs}
    makers: dict[int, Node] = {}
    found: list[Node] = []
    states = _states(nodes, outputs)
    _refuse_two_scales(nodes, model)
    for node in nodes:
        if node.op in _JOINS:
            if numbers == "int16":
                raise _undecided(node, model, "which of its inputs is requantized")
            _requantize(node, ranges, makers, found, model)
            _requantize_states(node, states, makers, found, model)
        makers[id(node.output)] = node
        if node.op in _RANGES:
            ranges[id(node.output)] = node.op
        elif node.op in _SAME_SCALE and id(node.inputs[0]) in ranges:
            ranges[id(node.output)] = ranges[id(node.inputs[0])]
        if node.op in _FLOAT_ONLY and numbers == "int8":
            before = makers.get(id(node.inputs[0]))
            if before is not None and before.op in _FLOAT_ONLY:
                text = "two operators in a row that stay float"
                raise NotPlannedError(f"{model}: layer {node.label}: not planned: {text}")
            found += _in_float(node)
        else:
            found.append(node)
    return found


#: Units of an LSTM whose states, of 4 bytes each in a float file, are as long as TFLM aligns them.
_ALIGNED_UNITS = 4
#: The begin mask of a slice that reverses steps.
_ALL_OF_STEPS = 7


def _refuse_states(nodes: Sequence[Node], model: str) -> None:
    """Refuse float LSTMs of several sizes, unless each has a size of its own and none goes back.

    The first states of one size are one constant in TensorFlow's graph, and come in an order that
    is not known. TFLM aligns each state to 16 bytes, one behind the other: the first one counts.
    """
    units = [node.options["states"][1] for node in nodes if "states" in node.options]
    one_way = all(node.options.get("begin_mask") != _ALL_OF_STEPS for node in nodes)
    own = one_way and len(set(units)) == len(units)
    if own or len({each % _ALIGNED_UNITS for each in units}) <= 1:
        return
    text = "the order in which TensorFlow stores the states of float LSTMs of several sizes"
    label = next(node.label for node in nodes if "states" in node.options)
    raise NotPlannedError(f"{model}: layer {label}: not planned: {text}")


#: They want all their operands at one scale.
_JOINS = ("CONCATENATION", "MAXIMUM", "MINIMUM")


def _refuse_two_scales(nodes: Sequence[Node], model: str) -> None:
    """Refuse values that go where two different scales are wanted."""
    origins: dict[int, int] = {}
    joined: dict[int, Node] = {}
    for node in nodes:
        if node.op in _JOINS:
            for each in node.values():
                origin = origins.get(id(each), id(each))
                if joined.setdefault(origin, node) is not node:
                    raise _undecided(
                        node, model, "where a value that is joined twice is requantized"
                    )
        elif node.op in _SAME_SCALE:
            source = id(node.inputs[0])
            origins[id(node.output)] = origins.get(source, source)


def traced_quantized(nodes: Sequence[Node], outputs: Sequence[Value], model: str) -> list[Node]:
    """``nodes`` with what litert-quantizer adds between numbers of different scales.

    What a concatenation reads has its scale. Its makers give it that, if they may give any and
    nothing else that reads it takes over its scale.

    Raises:
        NotPlannedError: it is not known whether it adds something.
    """
    makers = {id(node.output): node for node in nodes}
    given = {id(each) for each in outputs}
    readers: dict[int, list[Node]] = {}
    for node in nodes:
        for value in node.values():
            readers.setdefault(id(value), []).append(node)
    found: list[Node] = []
    for node in nodes:
        if node.op == "CONCATENATION":
            for position, operand in enumerate(list(node.inputs)):
                assert isinstance(operand, Value)
                others = [each for each in readers[id(operand)] if each is not node]
                is_joined = any(each.op in ("CONCATENATION", "PADV2") for each in others)
                if is_joined or id(operand) in given or id(operand) not in makers:
                    raise _undecided(node, model, "which of its inputs is requantized")
                if _is_requantized(node, makers[id(operand)], others, model):
                    changed = Value(operand.shape)
                    step = Node("QUANTIZE", node.name, [operand], changed, label=node.label)
                    found.append(step)
                    node.inputs[position] = changed
        found += _in_float(node) if node.op in _TRACED_FLOAT else [node]
    return found


def _is_requantized(node: Node, maker: Node, others: Sequence[Node], model: str) -> bool:
    """Whether a concatenation, ``node``, reads what ``maker`` gives at another scale."""
    if maker.op in _ANY_SCALE:
        return any(each.op in _SAME_SCALE for each in others)
    if maker.op in _RANGES or maker.op in _SAME_SCALE:
        return True
    raise _undecided(node, model, "which of its inputs is requantized")


def _requantize(
    node: Node, ranges: Mapping[int, str], makers: Mapping[int, Node], found: list[Node], model: str
) -> None:
    fixed = [ranges.get(id(each), "") for each in node.inputs]
    if not any(fixed):
        return
    if node.op != "CONCATENATION" or "an input" in fixed or all(fixed):
        raise _undecided(node, model, "which of its inputs is requantized")
    for position, (value, kind) in enumerate(zip(node.inputs, fixed, strict=True)):
        if kind:
            assert isinstance(value, Value)
            changed = Value(value.shape)
            maker = makers[id(value)]
            step = Node("QUANTIZE", node.name, [value], changed, label=node.label)
            found.insert(found.index(maker) + 1, step)
            node.inputs[position] = changed


def _states(nodes: Sequence[Node], outputs: Sequence[Value]) -> dict[int, int]:
    """What LSTMs give, also in another shape: by value, how many read it at most.

    Their kernel gives it the scale of its hidden state, whatever comes next.
    """
    users = {id(each): 1 for each in outputs}
    for node in nodes:
        for each in node.values():
            users[id(each)] = users.get(id(each), 0) + 1
    found: dict[int, int] = {}
    for node in nodes:
        before = 0 if node.op == "UNIDIRECTIONAL_SEQUENCE_LSTM" else None
        if node.op in ("RESHAPE", "STRIDED_SLICE", "TRANSPOSE"):
            before = found.get(id(node.inputs[0]))
        if before is not None:
            found[id(node.output)] = max(before, users.get(id(node.output), 0))
    return found


def _requantize_states(
    node: Node, states: Mapping[int, int], makers: Mapping[int, Node], found: list[Node], model: str
) -> None:
    """Let ``node``, which wants its operands alike, read what LSTMs give at its own scale."""
    for position, value in enumerate(node.inputs):
        if id(value) not in states:
            continue
        if states[id(value)] > 1:
            raise _undecided(node, model, "where its LSTM's output is requantized")
        assert isinstance(value, Value)
        changed = Value(value.shape)
        maker = makers[id(value)]
        maker.requantized = Node("QUANTIZE", node.name, [value], changed, label=node.label)
        found.insert(found.index(maker) + 1, maker.requantized)
        node.inputs[position] = changed


def _undecided(node: Node, model: str, what: str) -> NotPlannedError:
    return NotPlannedError(
        f"{model}: layer {node.label}: not planned: the data that calibrates decides {what}"
    )


def _in_float(node: Node) -> list[Node]:
    value = node.inputs[0]
    assert isinstance(value, Value)
    before, after = Value(value.shape), Value(node.output.shape)
    result = node.output
    node.inputs[0], node.output = before, after
    node.options["float"] = True
    return [
        Node("DEQUANTIZE", node.name, [value], before, {"float": True}, label=node.label),
        node,
        Node("QUANTIZE", node.name, [after], result, label=node.label),
    ]


class Role(Struct, frozen=True, gc=False):
    """What decides a constant besides its shape.

    Attributes:
        constant: It before it had a tensor.
        buffer: The number of the buffer that it has if it shares none.
        shares: Whether it shares the buffer of a constant before it that holds the same bytes.
        channels: Its axis with a scale for each entry, -1 where it has one scale.
    """

    constant: Const
    buffer: int
    shares: bool = True
    channels: int = -1


#: What gives the numbers that it reads, where it gives as many; pools only with a window of 1.
_PASSES_ON = frozenset({"RESHAPE", "MEAN", "REDUCE_MAX"})
_POOLS = frozenset({"AVERAGE_POOL_2D", "MAX_POOL_2D"})


def _always_zero(nodes: Sequence[Node]) -> set[int]:
    """Results that are 0 whatever comes in: a value less itself, as a mean over one number is."""
    differences = [
        node for node in nodes if node.op == "SUB" and len(list(node.values())) == len(node.inputs)
    ]
    if not differences:
        return set()
    makers = {id(node.output): node for node in nodes}
    return {
        id(node.output)
        for node in differences
        if len({_origin(each, makers) for each in node.values()}) == 1
        and all(prod(each.shape) == prod(node.output.shape) for each in node.values())
    }


def _origin(value: Value, makers: Mapping[int, Node]) -> int:
    """The first value that holds the numbers of ``value`` in its order."""
    maker = makers.get(id(value))
    while maker is not None and (maker.op in _PASSES_ON or _is_pool_of_one(maker)):
        source = maker.inputs[0]
        assert isinstance(source, Value)
        if maker.op != "RESHAPE" and prod(source.shape) != prod(value.shape):
            break
        value, maker = source, makers.get(id(source))
    return id(value)


def _is_pool_of_one(node: Node) -> bool:
    sides = ("filter_height", "filter_width", "stride_h", "stride_w")
    return node.op in _POOLS and all(node.options.get(each) == 1 for each in sides)


class Emitter:
    """Makes the subgraph of ordered nodes."""

    def __init__(
        self,
        nodes: Sequence[Node],
        inputs: Sequence[Value],
        numbers: Numbers,
        per_channel: bool,
        *,
        traced: bool = False,
    ) -> None:
        self.nodes, self.inputs, self.numbers = nodes, inputs, numbers
        #: Whether litert-quantizer writes the file: what flows has no buffers then, and operators
        #: have the versions of the float file.
        self.traced = traced
        self.types, self.per_channel = _TYPES[numbers], per_channel
        self.tensors: list[Tensor] = []
        self.indices: dict[int, int] = {}
        self.shared: dict[tuple[Any, ...], int] = {}
        #: Buffers by what they hold.
        self.contents: dict[tuple[Any, ...], int] = {}
        #: Operators whose results are behind all other tensors.
        self.late: list[Node] = []
        #: Scale and zero point of what is computed, by value.
        self.scales: dict[int, tuple[float, int]] = {}
        self.buffers = 1 if traced else 0  # the quantizer leaves an empty one
        #: For other sizes (``sized.py``): what else decides a tensor, by index.
        self.roles: dict[int, Role] = {}

    def subgraph(self, outputs: Sequence[Value], name: str) -> Subgraph:
        """The graph: inputs, constants, then results in order."""
        for value in self.inputs:
            self._value(value, (_SCALE, 0), value.input_name)
        self._scales()
        for node in self.nodes:
            for operand in node.inputs:
                if isinstance(operand, Const) and operand.kind == "ints":
                    self._ints(operand, node.label)
        for node in reversed(self.nodes):
            for operand in reversed(node.inputs):
                if isinstance(operand, Const) and operand.kind != "ints":
                    self._constant(operand, node)
        operators = [self._operator(number, node) for number, node in enumerate(self.nodes)]
        if self.late:
            operators = self._with_late(operators)
        return Subgraph(
            index=0,
            name="main",
            tensors=tuple(self.tensors),
            operators=tuple(_versioned(operators)),
            inputs=tuple(self.indices[id(each)] for each in self.inputs),
            outputs=tuple(self.indices[id(each)] for each in outputs),
        )

    def _scales(self) -> None:
        self.scales.update((id(each), (_SCALE, 0)) for each in self.inputs)
        wide = self.numbers == "int16"
        zeros_of = _always_zero(self.nodes)
        for node in self.nodes:
            given = _SCALE, 0
            if id(node.output) in zeros_of:
                given = _SCALE_OF_ZEROS.get(self.numbers, _SCALE), 0
            elif node.op in _RANGES:
                given = _RANGES[node.op][wide]
            elif node.op in _SAME_SCALE:
                values = [each for each in node.inputs if isinstance(each, Value)]
                given = self.scales[id(values[0])]
            self.scales[id(node.output)] = given

    def _add(
        self,
        name: str,
        kind: str,
        shape: Sequence[int],
        quantization: Quantization,
        *,
        data: memoryview = NO_BYTES,
        variable: bool = False,
        buffer: int | None = None,
        is_copy: bool = False,
    ) -> int:
        self.buffers += buffer != 0 or variable or not self.traced
        tensor = Tensor(
            index=len(self.tensors),
            name=name,
            type=kind,
            shape=tuple(shape),
            shape_signature=() if is_copy else None,
            buffer=self.buffers if buffer is None else buffer,
            data=data,
            is_variable=variable,
            quantization=quantization,
        )
        self.tensors.append(tensor)
        return tensor.index

    def _scaled(self, *scales: float, zero_point: int = 0, axis: int = 0) -> Quantization:
        if self.numbers == "float":
            return Quantization()
        return Quantization(scales, (zero_point,) * len(scales), axis)

    def _value(
        self,
        value: Value,
        scale: tuple[float, int],
        name: str,
        kind: str = "",
        *,
        is_copy: bool = False,
    ) -> int:
        quantization = self._scaled(scale[0], zero_point=scale[1])
        if kind:
            quantization = Quantization()
        index = self._add(
            name,
            kind or self.types.flowing,
            value.shape,
            quantization,
            buffer=0 if self.traced else None,
            is_copy=is_copy,
        )
        self.indices[id(value)] = index
        return index

    def _ints(self, constant: Const, name: str) -> None:
        key = (constant.shape, constant.values)
        if key not in self.shared:
            content = packed(constant.values)
            held = bytes(content), "INT32"
            buffer = self.contents.get(held)
            self.shared[key] = self._add(
                f"{name}/shape",
                "INT32",
                constant.shape,
                Quantization(),
                data=content,
                buffer=buffer,
            )
            if buffer is None:
                self.contents[held] = self.buffers
            self.roles[self.shared[key]] = Role(constant, self.buffers)
        self.indices[id(constant)] = self.shared[key]

    def _constant(self, constant: Const, node: Node) -> None:
        kind = self.types.flowing
        scales: tuple[float, ...] = (_SCALE,)
        axis = 0
        is_dense = node.op == "FULLY_CONNECTED"
        single = constant.axis < 0 or (is_dense and not self.per_channel)
        if constant.kind == "weights":
            kind, axis = self.types.weights, max(constant.axis, 0)
            scales = (_SCALE,) * (1 if single else constant.shape[axis])
        elif constant.kind == "bias":
            kind = self.types.bias
            value = next(iter(node.values()))
            product = _SCALE * self.scales[id(value)][0]
            scales = (product,) * (1 if single else constant.shape[0])
        if id(constant) in self.indices:
            return
        size = prod(constant.shape) * TYPE_BITS[kind] // 8
        # Constants with the same bytes share a buffer: biases of zeros, and single numbers above 0.
        # Floats of one sign are not the same number.
        # litert-quantizer makes each bias a constant of its own.
        known = constant.values and not (self.traced and constant.kind == "bias")
        known = known and not (self.numbers == "float" and constant.kind == "values")
        key = (constant.values, size) if known else None
        buffer = self.contents.get(key) if key else None
        index = self.indices[id(constant)] = self._add(
            f"{node.label}/{_PARTS.get(constant.kind, constant.kind)}",
            kind,
            constant.shape,
            self._scaled(*scales, axis=axis),
            data=zeros(size),
            buffer=buffer,
            is_copy=constant.is_copy,
        )
        if key and buffer is None:
            self.contents[key] = self.tensors[index].buffer
        scaled = not single and constant.kind in ("weights", "bias")
        self.roles[index] = Role(constant, self.buffers, bool(known), axis if scaled else -1)

    def _operator(self, number: int, node: Node) -> Operator:
        options = dict(node.options)
        in_float = options.pop("float", False)
        if self.numbers == "int16" and node.op in _TYPED_BIAS:
            options["quantized_bias_type"] = "INT64"
        if self.numbers == "int16" and node.op in ("ADD", "SUB"):
            options["pot_scale_int16"] = False
        states = options.pop("states", None)
        inputs = [-1 if each is None else self.indices[id(each)] for each in node.inputs]
        intermediates: tuple[int, ...] = ()
        if states is not None:
            inputs, intermediates = self._lstm(node, inputs, states)
        kind = "FLOAT32" if in_float else ""
        output = self._result(node, kind)
        return Operator(
            index=number,
            name=node.op,
            builtin_code=load_schema().operators.index(node.op),
            is_custom=False,
            version=self._version(node),
            inputs=tuple(inputs),
            outputs=(output,),
            intermediates=intermediates,
            options=_options(node.op, options, node.activation),
        )

    def _result(self, node: Node, kind: str) -> int:
        """The tensor of a node's result; one below -1 stands for what comes behind all others.

        What is requantized afterwards leaves its place to the QUANTIZE.
        """
        if id(node.output) in self.indices:
            return self.indices[id(node.output)]
        if node.requantized is None:
            return self._value(
                node.output,
                self.scales[id(node.output)],
                node.label,
                kind,
                is_copy=self.traced and node.op in _REQUANTIZED,
            )
        step = node.requantized
        self._value(step.output, self.scales[id(step.output)], step.label)
        self.late.append(node)
        self.indices[id(node.output)] = -1 - len(self.late)
        return self.indices[id(node.output)]

    def _late(self, node: Node) -> int:
        """The tensor of a result that is requantized: the buffer is that of what comes of it."""
        assert node.requantized is not None
        buffer = self.tensors[self.indices[id(node.requantized.output)]].buffer
        return self._add(
            node.label,
            self.types.flowing,
            node.output.shape,
            self._scaled(self.scales[id(node.output)][0]),
            buffer=buffer,
        )

    def _with_late(self, operators: Sequence[Operator]) -> list[Operator]:
        """``operators`` with the tensors that come behind all others."""
        from msgspec.structs import replace

        places = {-2 - number: self._late(node) for number, node in enumerate(self.late)}
        return [
            replace(
                each,
                inputs=tuple(places.get(index, index) for index in each.inputs),
                outputs=tuple(places.get(index, index) for index in each.outputs),
            )
            for each in operators
        ]

    def _lstm(
        self, node: Node, inputs: list[int], states: tuple[int, ...]
    ) -> tuple[list[int], tuple[int, ...]]:
        variables = [self._state(node, part, states) for part in ("hidden", "cell")]
        if self.numbers == "float":
            return [*inputs, *variables, -1, -1, -1, -1], ()
        hidden = self._scaled(_SCALE)
        parts = [
            self._add(
                f"{node.label}/{part}",
                "INT8" if part == "effective_hidden" else "FLOAT32",
                (0,),
                hidden if part == "effective_hidden" else Quantization(),
                buffer=0,
            )
            for part in _LSTM_PARTS
        ]
        self.buffers -= len(parts)
        return [*inputs, *variables, -1, -1, -1, -1], tuple(parts)

    def _state(self, node: Node, part: str, shape: tuple[int, ...]) -> int:
        """A variable: it has no buffer of its own, but the file counts one."""
        is_cell = part == "cell"
        kind = "INT16" if is_cell and self.numbers == "int8" else self.types.flowing
        scaled = self._scaled(_CELL_SCALE if is_cell else _SCALE)
        return self._add(f"{node.label}/{part}", kind, shape, scaled, variable=True, buffer=0)

    def _version(self, node: Node) -> int:
        if node.options.get("keep_num_dims"):
            return _KEEPS_DIMENSIONS
        if node.op == "TRANSPOSE_CONV" and node.activation != "NONE":
            return 4
        if node.op == "TRANSPOSE_CONV" and len(node.inputs) == _UNBIASED:
            return _UNBIASED_VERSIONS[self.numbers]
        if node.op == "TRANSPOSE" and len(node.output.shape) > _FEW_DIMENSIONS:
            return 4
        if node.op == "CONV_2D" and _is_grouped(node) and not self.traced:
            return _GROUPED_VERSION
        if self.numbers == "float" or self.traced:
            dilated = max(node.options.get(key, 1) for key in _DILATIONS) > 1
            if node.op == "DEPTHWISE_CONV_2D" and dilated:
                return 2
            if node.op == "RESIZE_BILINEAR" and node.options.get("align_corners"):
                return 1
            if node.op == "CONV_2D" and _is_grouped(node):
                return _GROUPED_VERSION
            return _FLOAT_VERSIONS.get(node.op, 1)
        if self.numbers == "int16" and node.op in ("QUANTIZE", "LEAKY_RELU"):
            return 2
        return _VERSIONS.get(node.op, 1)


def _is_grouped(node: Node) -> bool:
    """Whether each filter of a convolution goes over a part of the channels alone."""
    source, weights = node.inputs[:2]
    assert isinstance(source, Value)
    assert isinstance(weights, Const)
    return source.shape[-1] != weights.shape[-1]


def with_biases(nodes: Sequence[Node], numbers: Numbers = "int8", *, traced: bool = False) -> None:
    """Give convolutions without a bias one of zeros, as the converter does, but transposed ones.

    In a 16-bit or float file those of the same length are one. So they are before litert-quantizer
    copies them, since each has its own scales.
    """
    shared: list[Const] = []
    for node in nodes:
        if node.copied_from is not None and node.inputs[-1] is not None and numbers == "int8":
            _copy_bias(node, node.copied_from)
        if node.op not in _WEIGHTED or node.op == "FULLY_CONNECTED" or node.inputs[-1] is not None:
            continue
        if node.op == "TRANSPOSE_CONV":
            del node.inputs[-1]
        else:
            made = Const("bias", (node.output.shape[-1],), values=(0,))
            if numbers != "int8" or traced:
                known = [each for each in shared if each.shape == made.shape]
                if not known:
                    shared.append(made)
                elif traced:
                    made.is_copy = True
                else:
                    made = known[0]
            node.inputs[-1] = made


#: Below what constants hold in plans: that of the first bias that is there twice.
_SAME = -1_000_000


def _copy_bias(node: Node, dense: Node) -> None:
    """Let a dense layer that is there twice have two biases, which hold the same."""
    bias = dense.inputs[-1]
    assert isinstance(bias, Const)
    if not bias.values:
        bias.values = (_SAME - int(dense.place * 1000),)
    node.inputs[-1] = Const("bias", bias.shape, bias.axis, bias.values)


def _versioned(operators: Sequence[Operator]) -> list[Operator]:
    """All operators of a name have the highest version of theirs."""
    from msgspec.structs import replace

    highest: dict[str, int] = {}
    for each in operators:
        highest[each.name] = max(each.version, highest.get(each.name, 0))
    return [
        each if each.version == highest[each.name] else replace(each, version=highest[each.name])
        for each in operators
    ]


_DEFAULTS: dict[str, dict[str, OptionValue]] = {}


def _options(op: str, options: Mapping[str, Any], activation: str) -> dict[str, OptionValue]:
    """The options by the schema's names, defaults filled in."""
    defaults = _DEFAULTS.get(op)
    if defaults is None:
        defaults = _DEFAULTS[op] = _defaults(op)
    found = {**defaults, **options}
    if activation != "NONE":
        found["fused_activation_function"] = activation
    return found


def _defaults(op: str) -> dict[str, OptionValue]:
    schema = load_schema()
    kind = schema.operator_options.get(op)
    if kind is None:
        return {}
    known = schema.options[kind]
    found: dict[str, OptionValue] = {}
    for (name, type_name), value in zip(known.fields, known.table.defaults, strict=True):
        if name:
            names = schema.enums.get(type_name)
            is_vector = type_name.startswith("[")
            found[name] = names[int(value)] if names is not None else () if is_vector else value
    if "pot_scale_int16" in found:
        found["pot_scale_int16"] = True
    return found
