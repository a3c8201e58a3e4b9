"""What is added to a float ``.tflite`` in the object form of TF Lite's schema."""

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
