"""Cuts one operator out of a model: a file of its own, which any interpreter runs.

What the operator reads of other operators is an input of that file, constants stay what they are,
and what it computes is an output.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector
from pytest_tinybudget.graph.tables import put_together


#: Contents of buffers are aligned so, as the schema demands.
_ALIGNMENT = 16


def given_to(operator: Operator, graph: Subgraph) -> tuple[int, ...]:
    """The tensors that ``operator`` reads and that are neither constant nor its own state."""
    found = dict.fromkeys(index for index in operator.inputs if index >= 0)
    return tuple(
        index
        for index in found
        if not (graph.tensors[index].is_constant or graph.tensors[index].is_variable)
    )


def alone(
    model: Table, operator: Operator, graph: Subgraph, real: Mapping[int, bytes] | None = None
) -> bytes:
    """The file of ``operator`` alone.

    Its inputs are ``given_to(operator, graph)``, its outputs those of the operator, in order.

    Args:
        model: the tables of the whole file.
        operator: one of the operators of ``graph``, the file's first subgraph.
        graph: that subgraph.
        real: tensors that become FLOAT32, with their contents; ``b""`` for what is not constant.
    """
    whole = model.tables("subgraphs")[graph.index]
    used = _used(operator)
    places = {index: place for place, index in enumerate(used)}
    buffers = [Table("Buffer")]
    tensors = []
    for index in used:
        tensor = Table("Tensor", dict(whole.tables("tensors")[index].values))
        content = _content(model, tensor)
        if real is not None and index in real:
            tensor.drop("quantization", "type")  # FLOAT32 is the schema's default
            content = Leaf(len(real[index]), real[index], _ALIGNMENT) if real[index] else None
        tensor.drop("buffer")
        if content is not None:
            tensor.values["buffer"] = len(buffers)
            buffers.append(Table("Buffer", {"data": content}))
        tensors.append(tensor)
    only = Table("Operator", dict(whole.tables("operators")[operator.index].values))
    code = model.tables("operator_codes")[only.values.get("opcode_index", 0)]
    only.drop("opcode_index")  # 0 is the schema's default
    for name in ("inputs", "outputs", "intermediates"):
        listed = getattr(operator, name)
        only.drop(name)
        if listed:
            only.values[name] = _indices([places.get(index, -1) for index in listed])
    cut = Table(
        "SubGraph",
        {
            "tensors": Vector(tensors),
            "inputs": _indices([places[index] for index in given_to(operator, graph)]),
            "outputs": _indices([places[index] for index in operator.outputs]),
            "operators": Vector([only]),
        },
    )
    values: dict[str, Any] = {
        "operator_codes": Vector([code]),
        "subgraphs": Vector([cut]),
        "buffers": Vector(buffers),
    }
    if "version" in model.values:
        values["version"] = model.values["version"]
    return put_together(Table("Model", values))


def _used(operator: Operator) -> list[int]:
    every = (*operator.inputs, *operator.outputs, *operator.intermediates)
    return list(dict.fromkeys(index for index in every if index >= 0))


def _content(model: Table, tensor: Table) -> Any:
    """What the file stores of a tensor; ``None`` for what is computed at run time."""
    buffers = model.tables("buffers")
    number = tensor.values.get("buffer", 0)
    return buffers[number].values.get("data") if number < len(buffers) else None


def _indices(values: Sequence[int]) -> Leaf:
    return Leaf(len(values), struct.pack(f"<{len(values)}i", *values))
