"""Quotients by a square root as products with its inverse, before a model is quantized.

onnx2tf 2 writes the division of a LayerNormalization as SQRT and DIV. TFLM has RSQRT in INT8 and
SQRT in float alone.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pytest_tinybudget.convert.worker.editing import become
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import operator_code


def inverse_roots(model: Any, schema: ModuleType) -> None:
    """Make RSQRT and MUL of each SQRT in ``model`` by which other numbers are only divided.

    Args:
        model: in the object form of TF Lite's schema; it is changed.
        schema: the module generated from the schema.
    """
    codes = schema.BuiltinOperator
    for graph in model.subgraphs:
        for operator in graph.operators:
            if code_of(model, operator) != codes.SQRT:
                continue
            quotients = _quotients(model, graph, int(operator.outputs[0]), codes.DIV)
            if quotients:
                operator.opcodeIndex = operator_code(model, codes.RSQRT, schema)
            for quotient in quotients:
                _make_product(model, quotient, schema)


def _quotients(model: Any, graph: Any, root: int, division: int) -> list[Any]:
    """The operators that read the tensor ``root``, if each of them divides by it."""
    readers = [each for each in graph.operators if root in map(int, each.inputs)]
    divide = all(
        code_of(model, each) == division and int(each.inputs[0]) != root for each in readers
    )
    return readers if divide and root not in map(int, graph.outputs) else []


def _make_product(model: Any, quotient: Any, schema: ModuleType) -> None:
    options = schema.MulOptionsT()
    if quotient.builtinOptions is not None:
        options.fusedActivationFunction = quotient.builtinOptions.fusedActivationFunction
    become(model, quotient, schema.BuiltinOperator.MUL, options, schema)
