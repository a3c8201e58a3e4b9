"""Puts activations that a quantizer leaves in float into integers, where TFLM has the kernel.

A quantizer has no rule for ELU and LEAKY_RELU and leaves them between a DEQUANTIZE and a QUANTIZE.
Their INT8 kernels, in TFLM as in LiteRT, take an input and an output of any scale and round the
real number: the result is the same but for a step. No range is needed that is not there already.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import drop_unused_codes
from pytest_tinybudget.convert.worker.editing import drop_unused_tensors
from pytest_tinybudget.convert.worker.repack import packed
from pytest_tinybudget.convert.worker.repack import repack
from pytest_tinybudget.convert.worker.reshapes import drop_unread
from pytest_tinybudget.graph.tflite import read_model


_ACTIVATIONS = ("ELU", "LEAKY_RELU")


def without_islands(content: bytes, schema: ModuleType) -> bytes:
    """``content``, a quantized ``.tflite``, with these activations in INT8 between INT8 tensors.

    Itself where it has none in float. ``schema`` is the module generated from TF Lite's schema.
    """
    read = read_model(content, "converted")
    if not any(each.name in _ACTIVATIONS for graph in read.subgraphs for each in graph.operators):
        return content
    model = schema.ModelT.InitFromPackedBuf(repack(content, schema), 0)
    codes = {getattr(schema.BuiltinOperator, name) for name in _ACTIVATIONS}
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if code_of(model, operator) in codes:
                _join(model, graph, operator, schema)
    entries = [
        (entry, graph, graph.tensors[entry.tensorIndex])
        for signature in model.signatureDefs or ()
        for graph in [model.subgraphs[signature.subgraphIndex]]
        for entry in (*signature.inputs, *signature.outputs)
    ]
    for graph in model.subgraphs:
        drop_unread(graph)
        drop_unused_tensors(model, graph)
    drop_unused_codes(model)
    for entry, graph, tensor in entries:
        entry.tensorIndex = next(i for i, each in enumerate(graph.tensors) if each is tensor)
    return packed(model)


def _join(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    builtin = schema.BuiltinOperator
    source, result = int(operator.inputs[0]), int(operator.outputs[0])
    before = [each for each in graph.operators if source in map(int, each.outputs)]
    behind = [each for each in graph.operators if result in map(int, each.inputs)]
    if result in map(int, graph.outputs) or len(before) != 1 or len(behind) != 1:
        return
    around = code_of(model, before[0]), code_of(model, behind[0])
    if around != (builtin.DEQUANTIZE, builtin.QUANTIZE):
        return
    ends = int(before[0].inputs[0]), int(behind[0].outputs[0])
    if any(graph.tensors[index].type != schema.TensorType.INT8 for index in ends):
        return
    operator.inputs, operator.outputs = [ends[0]], [ends[1]]
    graph.operators = [each for each in graph.operators if each is not behind[0]]
