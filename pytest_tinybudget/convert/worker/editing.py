"""What is changed in a ``.tflite`` in the object form of TF Lite's schema."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def operator_code(model: Any, code: int, schema: ModuleType) -> int:
    """The index of a builtin operator's code in ``model``, which is added where it is not there."""
    for index, each in enumerate(model.operatorCodes):
        if each.builtinCode == code:
            return index
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = code
    made.version = 1
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1


def code_of(model: Any, operator: Any) -> int:
    """The code of a builtin operator of ``model``."""
    return int(model.operatorCodes[operator.opcodeIndex].builtinCode)


def become(model: Any, operator: Any, code: int, options: Any, schema: ModuleType) -> None:
    """Make ``operator`` the builtin operator of ``code``, with its ``options`` in object form."""
    operator.opcodeIndex = operator_code(model, code, schema)
    kind = type(options).__name__.removesuffix("T")
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    operator.builtinOptions = options


def add_constant(
    model: Any, graph: Any, values: Any, kind: int, name: bytes, schema: ModuleType
) -> int:
    """Add a constant tensor of ``values``, an array, to ``graph``; its index.

    ``kind`` is its type in the schema. A quantizer wants a ``name`` that no other tensor has.
    """
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name = name
    tensor.shape = np.asarray(values.shape, np.int32)
    tensor.type, tensor.buffer = kind, len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def drop_unused_codes(model: Any) -> None:
    """Leave out the codes of operators that ``model`` has no more."""
    operators = [each for graph in model.subgraphs for each in graph.operators]
    used = sorted({int(each.opcodeIndex) for each in operators})
    places = {old: new for new, old in enumerate(used)}
    for each in operators:
        each.opcodeIndex = places[int(each.opcodeIndex)]
    model.operatorCodes = [model.operatorCodes[index] for index in used]


def drop_unused_tensors(model: Any, graph: Any) -> None:
    """Leave out the tensors of no operator in ``graph``: a quantizer asks for the data of each."""
    lists = [
        (holder, name)
        for holder in (graph, *graph.operators)
        for name in ("inputs", "outputs", "intermediates")
        if getattr(holder, name, None) is not None
    ]
    used = {int(index) for holder, name in lists for index in getattr(holder, name)} - {-1}
    places = {old: new for new, old in enumerate(sorted(used))}
    graph.tensors = [graph.tensors[index] for index in sorted(used)]
    for holder, name in lists:
        setattr(holder, name, [places.get(int(index), -1) for index in getattr(holder, name)])
    drop_unread_buffers(model)


def drop_unread_buffers(model: Any) -> None:
    """Empty the buffers that no tensor and no metadata of ``model`` refers to."""
    read = {tensor.buffer for each in model.subgraphs for tensor in each.tensors}
    read |= {each.buffer for each in model.metadata or ()}
    for index, buffer in enumerate(model.buffers):
        if index not in read:
            buffer.data = None
