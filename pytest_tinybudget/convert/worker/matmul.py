"""Products with a constant matrix as the dense layers that they are, before a model is quantized.

onnx2tf 2 writes MatMul and Gemm as BATCH_MATMUL and ADD. Their values are those of a
FULLY_CONNECTED with a bias, which the quantizer gives scales that its kernel reads; of the constant
matrix of a BATCH_MATMUL it makes one whose outputs are wrong (litert-quantizer 0.11).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.editing import add_constant
from pytest_tinybudget.convert.worker.editing import become
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import drop_unused_tensors


_MATRIX_RANK = 2


def dense_products(model: Any, schema: ModuleType) -> None:
    """Replace them in the main graph of ``model``, the object form of ``schema``."""
    graph = model.subgraphs[0]
    count = len(graph.tensors)
    for operator in list(graph.operators):
        if code_of(model, operator) == schema.BuiltinOperator.BATCH_MATMUL:
            weights = _matrix(model, graph, operator, schema)
            if weights is not None:
                _make_dense(model, graph, operator, weights, schema)
    if len(graph.tensors) > count:
        drop_unused_tensors(model, graph)


def _constant(model: Any, graph: Any, index: int) -> Any:
    """The bytes of a constant tensor; ``None`` where it is computed."""
    return model.buffers[graph.tensors[index].buffer].data if index >= 0 else None


def _matrix(model: Any, graph: Any, operator: Any, schema: ModuleType) -> Any:
    """The weights as a dense layer has them, shape (outputs, inputs); ``None``: it is none."""
    left, right = (graph.tensors[int(index)] for index in operator.inputs)
    data = _constant(model, graph, int(operator.inputs[1]))
    options, floats = operator.builtinOptions, schema.TensorType.FLOAT32
    is_plain = left.type == right.type == floats and not (options and options.adjX)
    if data is None or not is_plain or len(right.shape) != _MATRIX_RANK:
        return None
    matrix = np.frombuffer(bytes(data), np.float32).reshape(right.shape)
    return matrix if options and options.adjY else matrix.T


def _make_dense(model: Any, graph: Any, operator: Any, weights: Any, schema: ModuleType) -> None:
    source, matrix = int(operator.inputs[0]), int(operator.inputs[1])
    name = graph.tensors[matrix].name
    kernel = _added(model, graph, np.ascontiguousarray(weights), name, schema)
    options = schema.FullyConnectedOptionsT()
    options.keepNumDims = len(graph.tensors[source].shape) != _MATRIX_RANK
    bias, follower = _bias_after(model, graph, operator, len(weights), schema)
    if follower is not None:
        options.fusedActivationFunction = follower.builtinOptions.fusedActivationFunction
        operator.outputs = follower.outputs
        graph.operators.remove(follower)
    operator.inputs = [source, kernel, bias]
    become(model, operator, schema.BuiltinOperator.FULLY_CONNECTED, options, schema)


def _bias_after(
    model: Any, graph: Any, operator: Any, count: int, schema: ModuleType
) -> tuple[int, Any]:
    """The tensor of the bias and the ADD that adds it; -1 and ``None`` where none does."""
    result = int(operator.outputs[0])
    readers = [each for each in graph.operators if result in map(int, each.inputs)]
    if len(readers) != 1 or result in map(int, graph.outputs):
        return -1, None
    (reader,) = readers
    if code_of(model, reader) != schema.BuiltinOperator.ADD:
        return -1, None
    others = [int(index) for index in reader.inputs if int(index) != result]
    if len(others) != 1 or reader.builtinOptions is None:
        return -1, None
    tensor, data = graph.tensors[others[0]], _constant(model, graph, others[0])
    is_vector = data is not None and [each for each in tensor.shape if each != 1] == [count]
    if not is_vector or tensor.shape[-1] != count:
        return -1, None
    values = np.frombuffer(bytes(data), np.float32)
    return _added(model, graph, values, tensor.name, schema), reader


def _added(model: Any, graph: Any, values: Any, name: Any, schema: ModuleType) -> int:
    """A new constant tensor of float ``values``; its index."""
    unlike = f"/dense{len(graph.tensors)}".encode()  # the quantizer takes no name twice
    kind = schema.TensorType.FLOAT32
    return add_constant(model, graph, values, kind, bytes(name or b"") + unlike, schema)
