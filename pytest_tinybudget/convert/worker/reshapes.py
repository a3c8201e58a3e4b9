"""Writes a float ``.tflite`` so that a quantizer leaves less of it in float, outputs the same.

A quantizer has no integer form of EXPAND_DIMS and SQUEEZE. Where shapes are fixed they only give
the numbers another shape, which is what RESHAPE does, and that stays in integers.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np


def reshaped(model: Any, schema: ModuleType) -> None:
    """Make RESHAPE of each EXPAND_DIMS and SQUEEZE in ``model``, and drop what nobody reads.

    Args:
        model: in the object form of TF Lite's schema, all shapes fixed; it is changed.
        schema: the module generated from the schema.
    """
    builtin = schema.BuiltinOperator
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex].builtinCode
            if code in (builtin.EXPAND_DIMS, builtin.SQUEEZE):
                _reshape(model, graph, operator, schema)
        _drop_unread(graph)


def _reshape(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    shape = np.asarray(graph.tensors[int(operator.outputs[0])].shape, np.int32)
    options = schema.ReshapeOptionsT()
    options.newShape = shape.tolist()
    operator.builtinOptions = options
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.opcodeIndex = _code(model, schema)
    name = bytes(graph.tensors[int(operator.outputs[0])].name or b"") + b"/shape"
    operator.inputs = [int(operator.inputs[0]), _constant(model, graph, shape, name, schema)]


def _code(model: Any, schema: ModuleType) -> int:
    """The index of RESHAPE in the model's operator codes."""
    reshape = schema.BuiltinOperator.RESHAPE
    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == reshape:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = reshape
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _constant(model: Any, graph: Any, shape: Any, name: bytes, schema: ModuleType) -> int:
    """A new constant of ``graph``. A quantizer wants a name that no other tensor has."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(shape.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor = schema.TensorT()
    tensor.name = name
    tensor.type = schema.TensorType.INT32
    tensor.shape = np.asarray([len(shape)], np.int32)
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _drop_unread(graph: Any) -> None:
    """Leave out operators whose results nobody reads, which a quantizer knows no range of."""
    read = {int(index) for index in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        if not len(operator.outputs) or read & {int(index) for index in operator.outputs}:
            read.update(int(index) for index in operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
    _drop_unused(graph)


def _drop_unused(graph: Any) -> None:
    """Leave out tensors of no operator, whose contents a quantizer would ask for."""
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
