"""Writes a float ``.tflite`` so that a quantizer leaves less of it in float, outputs the same.

A quantizer has no integer form of EXPAND_DIMS, SQUEEZE, SQUARE and NEG. Where shapes are fixed the
first two only give the numbers another shape, which is what RESHAPE does. A square is a product of
a number with itself, and its negative one with -1. RESHAPE and MUL stay in integers. litert-torch
writes ELU with SELECT, which TFLM lacks: where all shapes are the same, SELECT_V2 does the same.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.editing import add_constant
from pytest_tinybudget.convert.worker.editing import become
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import drop_unused_tensors


def reshaped(model: Any, schema: ModuleType) -> None:
    """Make RESHAPE of EXPAND_DIMS and SQUEEZE, MUL of SQUARE and NEG, SELECT_V2 of SELECT.

    What is unread is dropped.

    Args:
        model: in the object form of TF Lite's schema, all shapes fixed; it is changed.
        schema: the module generated from the schema.
    """
    builtin = schema.BuiltinOperator
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = code_of(model, operator)
            if code in (builtin.EXPAND_DIMS, builtin.SQUEEZE):
                _reshape(model, graph, operator, schema)
            elif code in (builtin.SQUARE, builtin.NEG):
                _multiply(model, graph, operator, schema)
            elif code == builtin.SELECT and _is_plain(graph, operator):
                become(model, operator, builtin.SELECT_V2, schema.SelectV2OptionsT(), schema)
        drop_unread(graph)
        drop_unused_tensors(model, graph)


def _is_plain(graph: Any, operator: Any) -> bool:
    """Whether each number is chosen by a condition of its own."""
    places = (*operator.inputs, *operator.outputs)
    return len({tuple(graph.tensors[int(index)].shape) for index in places}) == 1


def _reshape(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    shape = np.asarray(graph.tensors[int(operator.outputs[0])].shape, np.int32)
    options = schema.ReshapeOptionsT()
    options.newShape = shape.tolist()
    become(model, operator, schema.BuiltinOperator.RESHAPE, options, schema)
    name = bytes(graph.tensors[int(operator.outputs[0])].name or b"") + b"/shape"
    constant = add_constant(model, graph, shape, schema.TensorType.INT32, name, schema)
    operator.inputs = [int(operator.inputs[0]), constant]


def _multiply(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    source = int(operator.inputs[0])
    if graph.tensors[source].type != schema.TensorType.FLOAT32:
        return
    builtin = schema.BuiltinOperator
    factor = source
    if code_of(model, operator) == builtin.NEG:
        name = bytes(graph.tensors[int(operator.outputs[0])].name or b"") + b"/factor"
        value = np.array(-1, np.float32)
        factor = add_constant(model, graph, value, schema.TensorType.FLOAT32, name, schema)
    become(model, operator, builtin.MUL, schema.MulOptionsT(), schema)
    operator.inputs = [source, factor]


def drop_unread(graph: Any) -> None:
    """Leave out operators whose results nobody reads, which a quantizer knows no range of."""
    read = {int(index) for index in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        if not len(operator.outputs) or read & {int(index) for index in operator.outputs}:
            read.update(int(index) for index in operator.inputs)
            kept.append(operator)
    graph.operators = kept[::-1]
