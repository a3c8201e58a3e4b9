"""The tables of a plan's file, as the converter writes them and stripping leaves them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import OptionValue
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.schema import load_schema
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector


#: Of these the converter writes no options.
_WITHOUT_OPTIONS = frozenset(
    {
        "RESHAPE", "TRANSPOSE", "TILE", "DEQUANTIZE", "QUANTIZE", "HARD_SWISH",
        "SQUARED_DIFFERENCE", "RSQRT", "MAXIMUM", "MINIMUM", "SLICE",
    }
)  # fmt: skip
#: litert-quantizer writes their code in the newer field alone.
_ADDED = frozenset({"DEQUANTIZE", "QUANTIZE"})
#: Of these it writes the intermediate tensors, also where there are none.
_WITH_INTERMEDIATES = frozenset({"UNIDIRECTIONAL_SEQUENCE_LSTM"})
_WIDE = 16
#: In a 16-bit file these types have ranges, but for results of operators that have scales of their
#: own (``emit.py``).
_RANGED = frozenset({"INT8", "INT16"})
_DECIDED = frozenset({2.0**-15, 2.0**-11})


def tables_of(graph: Subgraph, *, named: bool = False) -> Table:
    """The ``Model`` table of a file with this graph; ``named``: with the names of tensors."""
    codes: dict[str, int] = {}
    for each in graph.operators:
        codes.setdefault(each.name, len(codes))
    versions = {each.name: each.version for each in graph.operators}
    buffers = _buffers(graph)
    values: dict[str, Any] = {
        "version": 3,
        "operator_codes": Vector(
            [code_table(name, versions[name], traced=is_traced(graph)) for name in codes]
        ),
        "subgraphs": Vector([_graph(graph, codes, named=named)]),
        "buffers": Vector(buffers),
    }
    return Table("Model", values)


def _buffers(graph: Subgraph) -> list[Table]:
    """The empty first one, one a tensor, and that of the metadata that stripping leaves out."""
    count = max((each.buffer for each in graph.tensors), default=0)
    buffers = [Table("Buffer") for _ in range(count + 2)]
    used = {each.buffer for each in graph.tensors}
    spare = (number for number in range(1, count) if number not in used)
    states = [each for each in graph.tensors if each.is_variable and each.type == "FLOAT32"]
    # The first state of a variable stays in the file, although nothing refers to it; equal ones
    # are stored once. Conversions to integers leave them out (``convert/worker/lstm_scales.py``).
    stored: set[tuple[str, tuple[int, ...]]] = set()
    for tensor, number in zip(states, spare, strict=False):
        if (tensor.type, tensor.shape) in stored:
            continue
        stored.add((tensor.type, tensor.shape))
        size = tensor.elements * tensor.element_bytes
        buffers[number].values["data"] = Leaf(size, bytes(size), _WIDE)
    for tensor in graph.tensors:
        if len(tensor.data):
            data = Leaf(len(tensor.data), tensor.data, _WIDE)
            buffers[tensor.buffer].values["data"] = data
    return buffers


def is_traced(graph: Subgraph) -> bool:
    """Whether litert-quantizer writes the file: what flows between the operators has no buffer."""
    return graph.tensors[graph.outputs[0]].buffer == 0


def code_table(name: str, version: int, *, traced: bool = False) -> Table:
    """The table of an operator's name and version; ``traced``: as litert-quantizer writes it."""
    code = load_schema().operators.index(name)
    is_added = traced and name in _ADDED
    return _table(
        "OperatorCode",
        {
            "deprecated_builtin_code": (0 if is_added else min(code, 127), 0),
            "version": (version, 1),
            "builtin_code": (code, 0),
        },
    )


def _table(kind: str, values: Mapping[str, tuple[Any, Any]]) -> Table:
    """A table of values that are not their defaults."""
    return Table(kind, {name: value for name, (value, usual) in values.items() if value != usual})


def _graph(graph: Subgraph, codes: Mapping[str, int], *, named: bool) -> Table:
    return Table(
        "SubGraph",
        {
            "tensors": Vector(
                [tensor_table(each, named=named, wide=is_wide(graph)) for each in graph.tensors]
            ),
            "inputs": _numbers(graph.inputs),
            "outputs": _numbers(graph.outputs),
            "operators": Vector(
                [operator_table(each, codes[each.name]) for each in graph.operators]
            ),
        },
    )


def _numbers(values: Sequence[float], code: str = "i") -> Leaf:
    content = struct.pack(f"<{len(values)}{code}", *values)
    return Leaf(len(values), content, max(4, struct.calcsize(code)))


def is_wide(graph: Subgraph) -> bool:
    """Whether 16-bit numbers flow between the operators."""
    return any(graph.tensors[index].type == "INT16" for index in graph.inputs)


def tensor_table(tensor: Tensor, *, named: bool, wide: bool) -> Table:
    """The table of a tensor, which refers to its buffer by number.

    ``wide``: with the range of numbers that the converter of 16-bit files leaves there, unless the
    operator decides it.
    """
    values: dict[str, Any] = {}
    if tensor.shape:
        values["shape"] = _numbers(tensor.shape)
    elif not wide:
        values["shape"] = Leaf(0, b"")
    number = load_schema().enums["TensorType"].index(tensor.type)
    if number:
        values["type"] = number
    if tensor.buffer:
        values["buffer"] = tensor.buffer
    is_copy = tensor.shape_signature is not None  # litert-quantizer has added it
    if tensor.quantization.scales or not (is_copy or tensor.shape == (0,)):
        values["quantization"] = _quantization(tensor.quantization)
        if wide and tensor.type in _RANGED and _DECIDED.isdisjoint(tensor.quantization.scales):
            for key in ("min", "max"):
                values["quantization"].values[key] = _numbers(
                    [0.0] * len(tensor.quantization.scales), "f"
                )
    if tensor.is_variable:
        values["is_variable"] = True
    if not is_copy:
        values["has_rank"] = True
    if named:
        text = tensor.name.encode()
        values["name"] = Leaf(len(text), text, is_text=True)
    return Table("Tensor", values)


def _quantization(quantization: Quantization) -> Table:
    values: dict[str, Any] = {}
    if quantization.scales:
        values["scale"] = _numbers(quantization.scales, "f")
        values["zero_point"] = _numbers(quantization.zero_points, "q")
    if quantization.dimension:
        values["quantized_dimension"] = quantization.dimension
    return Table("QuantizationParameters", values)


def operator_table(operator: Operator, code: int) -> Table:
    """The table of an operator, whose name and version are the file's ``code``-th."""
    values: dict[str, Any] = {}
    if code:
        values["opcode_index"] = code
    values["inputs"] = _numbers(operator.inputs)
    values["outputs"] = _numbers(operator.outputs)
    schema = load_schema()
    kind = schema.operator_options.get(operator.name)
    if kind is not None and operator.name not in _WITHOUT_OPTIONS:
        first = kind in schema.builtin_options
        names = schema.builtin_options if first else schema.builtin_options_2
        field = "builtin_options" if first else "builtin_options_2"
        values[f"{field}_type"] = names.index(kind)
        values[field] = _options(kind, operator.options)
    if operator.intermediates or operator.name in _WITH_INTERMEDIATES:
        values["intermediates"] = _numbers(operator.intermediates)
    return Table("Operator", values)


def _options(kind: str, options: Mapping[str, OptionValue]) -> Table:
    known = load_schema().options[kind]
    found: dict[str, Any] = {}
    for (name, type_name), usual in zip(known.fields, known.table.defaults, strict=True):
        value = options.get(name) if name else None
        if value is None:
            continue
        if isinstance(value, str):
            value = load_schema().enums[type_name].index(value)
        if value != usual and not isinstance(value, tuple):
            found[name] = value
    return Table(kind, found)
