"""Checks that a converted file is one that TFLM can load; errors name the place.

Converters may leave operators in float without a message. TFLM runs most of those: whether such a
model passes is for ``require_int8``, as of a file that needs no conversion. A file that is float
as a whole was not converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.footprint.float_parts import CONVERSIONS
from pytest_tinybudget.footprint.float_parts import FLOATS
from pytest_tinybudget.footprint.float_parts import has_integer_operator
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.resolve import foreign
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.tflite import read_model


_MOST_SHOWN = 8


def check_converted(content: bytes, shown: str, activations: Literal["int8", "int16"]) -> None:
    """Refuse a model that was not converted, or that TFLM cannot load.

    Raises:
        ConversionError: with everything that is wrong, by tensor, operator and layer.
        ModelError: the file itself is not sound.
    """
    model = read_model(content, shown)
    problems = list(dict.fromkeys(_problems(model, activations.upper())))
    if not problems:
        return
    more = len(problems) - _MOST_SHOWN
    raise ConversionError(
        f"{shown}: what the converter made is not for TFLM: {problems[0]}",
        details=(*problems[1:_MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])),
    )


def _problems(model: Model, wanted: str) -> Iterator[str]:
    """What is wrong, causes first: converters often leave an operator in float that TFLM lacks."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            other = foreign(operator)
            if other is not None and other.never:
                yield f"{_where(operator, graph)} is {other.whose}: {other.advice}"
            elif not _is_known(operator):
                yield f"{_where(operator, graph)} is not in TFLM's resolver: use another layer"
    main = model.main
    is_float = not has_integer_operator(model)
    for kind, indices in (("input", main.inputs), ("output", main.outputs)):
        for index in indices:
            yield from _edge(main.tensors[index], kind, wanted, is_float=is_float)
    for index in model.external_buffers:
        yield f"buffer {index} lies outside the flatbuffer, which TFLM reads as empty"
    for graph in model.subgraphs:
        if is_float:
            for operator in graph.operators:
                yield from _operator(operator, graph)
        yield from _shapes(graph)


def _edge(tensor: Tensor, kind: str, wanted: str, *, is_float: bool) -> Iterator[str]:
    """Numbers come and go quantized; what counts or indexes may be any integer."""
    quantized = tensor.type in ("UINT8", "INT8", "INT16")
    if (is_float and tensor.type in FLOATS) or (quantized and tensor.type != wanted):
        yield f"{kind} {_quoted(tensor)} is {tensor.type}, expected {wanted}"


def _is_known(operator: Operator) -> bool:
    """Whether TFLM has the operator. Custom operators pass: the gate refuses undeclared ones."""
    return operator.is_custom or (operator.name, False) in registrations()


def _operator(operator: Operator, graph: Subgraph) -> Iterator[str]:
    indices = [index for index in (*operator.inputs, *operator.outputs) if index >= 0]
    floats = [graph.tensors[index] for index in indices if graph.tensors[index].type in FLOATS]
    if floats and operator.name not in CONVERSIONS:
        tensor = floats[0]
        yield f"{_where(operator, graph)} computes in {tensor.type} (tensor {_quoted(tensor)})"


def _shapes(graph: Subgraph) -> Iterator[str]:
    makers = {index: operator for operator in graph.operators for index in operator.outputs}
    for tensor in graph.tensors:
        if tensor.shape_signature is not None and -1 in tensor.shape_signature:
            maker = makers.get(tensor.index)
            made = f" of {maker.name} #{maker.index}" if maker is not None else ""
            shape = tensor.shape_signature
            yield f"tensor {_quoted(tensor)}{made} has the shape {shape}, not a fixed one"


def _where(operator: Operator, graph: Subgraph) -> str:
    """An operator with its index, and the source's layer by the name of its result."""
    made = next((graph.tensors[index].name for index in operator.outputs if index >= 0), "")
    layer = f" (layer {printable(made, limit=80)})" if made else ""
    return f"{operator.name} #{operator.index}{layer}"


def _quoted(tensor: Tensor) -> str:
    return f"{tensor.index} '{printable(tensor.name, limit=80)}'"
