"""Gives quantized LSTMs the scales that their kernel computes with.

The kernel copies its hidden state to its output as it is, so both need one scale and zero point.
TensorFlow's converter gives the output those of the operator behind it, where that wants all its
operands alike (CONCATENATION) or works in place (ADD), and the state others
(``findings/tflite_lstm_output_scale.sh``). The state's range is that of the last step alone; the
range of all steps is an intermediate tensor's, which LiteRT and older TFLM compute with.

Here all three get the intermediate tensor's. A dense layer or another LSTM takes its input at any
scale, and its biases follow. What needs the output at another scale reads it requantized; what
wants all its operands alike always does, so that the operators of a file do not depend on the data
that calibrates. Nor does the size: the states that the converter leaves in the file, although
nothing refers to them, are left out. Cells that reach below 1 get a scale for 1, which every
runtime has a TANH for.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.editing import become
from pytest_tinybudget.convert.worker.editing import code_of
from pytest_tinybudget.convert.worker.editing import drop_unread_buffers
from pytest_tinybudget.convert.worker.repack import packed
from pytest_tinybudget.graph.lstms import CELL_STATE
from pytest_tinybudget.graph.lstms import EFFECTIVE_HIDDEN
from pytest_tinybudget.graph.lstms import GATES
from pytest_tinybudget.graph.lstms import HIDDEN_STATE
from pytest_tinybudget.graph.lstms import SMALLEST_CELL_SCALE
from pytest_tinybudget.graph.lstms import scaled_lstms
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model


#: What wants all its operands at the scale of its result.
_ALIKE = ("CONCATENATION", "MAXIMUM", "MINIMUM")


def with_lstm_scales(content: bytes, schema: ModuleType) -> bytes:
    """``content``, a ``.tflite``, with scales that its LSTMs compute with; itself if it has none.

    ``schema`` is the module generated from TF Lite's schema.
    """
    if not any(True for _ in scaled_lstms(read_model(content, "converted"))):
        return content
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    builtin = schema.BuiltinOperator
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if code_of(model, operator) == builtin.UNIDIRECTIONAL_SEQUENCE_LSTM:
                _agree(model, graph, operator, schema)
    drop_unread_buffers(model)
    # The generated code writes more than the converter does: layouts of tables that are alike.
    return put_together(take_apart(packed(model), "converted"))


def _agree(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    cell = graph.tensors[int(operator.inputs[CELL_STATE])]
    if cell.type != schema.TensorType.INT16:
        return
    if cell.quantization.scale[0] < SMALLEST_CELL_SCALE:
        cell.quantization.scale = np.array([SMALLEST_CELL_SCALE], np.float32)
    hidden = graph.tensors[int(operator.inputs[HIDDEN_STATE])]
    own = hidden.quantization
    if operator.intermediates is not None and len(operator.intermediates) > EFFECTIVE_HIDDEN:
        inside = graph.tensors[int(operator.intermediates[EFFECTIVE_HIDDEN])].quantization
        if inside is not None and inside.scale is not None and len(inside.scale):
            own = hidden.quantization = inside
    _settle(model, graph, operator, own, schema)


def _settle(model: Any, graph: Any, operator: Any, own: Any, schema: ModuleType) -> None:
    """Let ``operator``, which copies or makes numbers at ``own``, say so of its output."""
    index = int(operator.outputs[0])
    output = graph.tensors[index]
    users = [each for each in graph.operators if index in map(int, each.inputs)]
    alike = [each for each in users if code_of(model, each) in _codes(_ALIKE, schema)]
    is_same = _key(output.quantization) == _key(own)
    copies = [each for each in users if _copies(model, graph, each, output, schema)]
    sums = [each for each in users if _follows(model, graph, each, index, schema)]
    free = [*sums, *(each for each in users if _reads_any(model, each, output, schema))]
    if is_same and not alike:
        for each in copies:
            _settle(model, graph, each, own, schema)
        return
    if users and len(copies) + len(free) == len(users) and index not in map(int, graph.outputs):
        output.quantization = own
        for each in sums:
            _rescale_biases(model, graph, each, schema)
        for each in copies:
            _settle(model, graph, each, own, schema)
        return
    made = copy.copy(output)
    made.quantization = own
    made.name = bytes(output.name or b"") + b"/own_scale"
    graph.tensors.append(made)
    operator.outputs = [len(graph.tensors) - 1]
    step = schema.OperatorT()
    become(model, step, schema.BuiltinOperator.QUANTIZE, schema.QuantizeOptionsT(), schema)
    step.builtinOptionsType, step.builtinOptions = schema.BuiltinOptions.NONE, None
    step.inputs, step.outputs = [len(graph.tensors) - 1], [index]
    graph.operators.insert(_place(graph, operator) + 1, step)


def _codes(names: Sequence[str], schema: ModuleType) -> list[int]:
    return [getattr(schema.BuiltinOperator, name) for name in names]


def _place(graph: Any, operator: Any) -> int:
    return next(place for place, each in enumerate(graph.operators) if each is operator)


def _copies(model: Any, graph: Any, operator: Any, source: Any, schema: ModuleType) -> bool:
    """Whether ``operator`` copies numbers of ``source`` as they are, so far at the same scale."""
    builtin = schema.BuiltinOperator
    codes = (builtin.RESHAPE, builtin.STRIDED_SLICE, builtin.SLICE, builtin.GATHER)
    result = graph.tensors[int(operator.outputs[0])]
    is_copy = code_of(model, operator) in (*codes, builtin.TRANSPOSE)
    return is_copy and _key(result.quantization) == _key(source.quantization)


def _reads_any(model: Any, operator: Any, source: Any, schema: ModuleType) -> bool:
    """Whether ``operator`` takes ``source`` at any scale, and no constant of it has to follow."""
    builtin = schema.BuiltinOperator
    if source.type != schema.TensorType.INT8:
        return False
    return code_of(model, operator) in (builtin.ADD, builtin.SUB, builtin.MUL, builtin.DEQUANTIZE)


def _follows(model: Any, graph: Any, operator: Any, index: int, schema: ModuleType) -> bool:
    """Whether ``operator`` multiplies INT8 tensor ``index`` by constants, and adds its own biases.

    A dense layer does, and an LSTM for each of its gates.
    """
    places = _sums(model, operator, schema)
    inputs = [int(each) for each in operator.inputs]
    if not places or inputs[0] != index or inputs.count(index) > 1:
        return False
    read = [int(each) for other in graph.operators for each in other.inputs]
    weights = [inputs[place] for place, _ in places]
    biases = [each for each in _given(inputs, [place for _, place in places]) if each >= 0]
    return (
        {graph.tensors[each].type for each in (index, *weights)} == {schema.TensorType.INT8}
        and all(graph.tensors[each].type == schema.TensorType.INT32 for each in biases)
        and all(_content(model, graph.tensors[each]) is not None for each in (*weights, *biases))
        and all(read.count(each) == 1 for each in biases)
    )


def _sums(model: Any, operator: Any, schema: ModuleType) -> tuple[tuple[int, int], ...]:
    """Where ``operator`` has the weights of its input, and the bias of what they give."""
    builtin, code = schema.BuiltinOperator, code_of(model, operator)
    if code == builtin.FULLY_CONNECTED:
        return ((1, 2),)
    return GATES if code == builtin.UNIDIRECTIONAL_SEQUENCE_LSTM else ()


def _given(inputs: Sequence[int], places: Sequence[int]) -> list[int]:
    """What stands at ``places``; -1 where the operator has fewer inputs."""
    return [inputs[place] if place < len(inputs) else -1 for place in places]


def _content(model: Any, tensor: Any) -> Any:
    """The bytes of a constant, ``None`` where there is none."""
    return model.buffers[tensor.buffer].data


def _rescale_biases(model: Any, graph: Any, operator: Any, schema: ModuleType) -> None:
    """Write biases at the scale of their operator's input times that of its weights."""
    inputs = [int(each) for each in operator.inputs]
    source = graph.tensors[inputs[0]].quantization.scale[0]
    for places in _sums(model, operator, schema):
        weights, bias = _given(inputs, places)
        if bias < 0:
            continue
        tensor = graph.tensors[bias]
        old = np.asarray(tensor.quantization.scale, np.float64)
        new = source * np.asarray(graph.tensors[weights].quantization.scale, np.float32)
        values = np.frombuffer(bytes(_content(model, tensor)), "<i4")
        scaled = np.rint(values * (old / new)).astype("<i4")
        users = [each for part in model.subgraphs for each in part.tensors]
        if sum(each.buffer == tensor.buffer for each in users) > 1:
            model.buffers.append(schema.BufferT())
            tensor.buffer = len(model.buffers) - 1
        model.buffers[tensor.buffer].data = np.frombuffer(scaled.tobytes(), np.uint8)
        tensor.quantization.scale = new


def _key(quantization: Any) -> tuple[Any, ...]:
    if quantization is None or quantization.scale is None:
        return ()
    zero_point = quantization.zeroPoint
    return tuple(map(float, quantization.scale)), tuple(
        map(int, () if zero_point is None else zero_point)
    )
