"""SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM, after ``kernels/svdf*.cc``, ``lstm_eval*.cc``,
``unidirectional_sequence_lstm.cc`` and their ``cmsis_nn`` counterparts.
"""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.fully_connected import calculate_fully_connected
from pytest_tinybudget.footprint.operators.rule import KERNEL_SUMS
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.operators.rule import quantized_alike
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.graph.lstms import CELL_STATE
from pytest_tinybudget.graph.lstms import EFFECTIVE_HIDDEN
from pytest_tinybudget.graph.lstms import HIDDEN_STATE
from pytest_tinybudget.graph.lstms import SMALLEST_CELL_SCALE
from pytest_tinybudget.graph.model import Tensor


_FULLY_CONNECTED_PARAMS = "9i3b"
_ARITHMETIC_PARAMS = "b14i2q2h5i"
_LSTM_OP_DATA = f"(b4i)(ihi)e 8({_FULLY_CONNECTED_PARAMS}) 3({_ARITHMETIC_PARAMS}) 4i"
_CMSIS_NN_LSTM_PARAMS = "15i 4(2i2p2i3pe)"

_UNSUPPORTED_PEEPHOLES = (9, 10, 11)

# Positions of an LSTM's inputs.
_INPUT = 0
_WEIGHTS = range(1, 9)
_RECURRENT_WEIGHTS = range(5, 9)
_BIASES = range(12, 16)
_UNSUPPORTED = {
    9: "peephole weights", 10: "peephole weights", 11: "peephole weights",
    16: "a projection", 17: "a projection", 20: "layer normalization",
    21: "layer normalization", 22: "layer normalization", 23: "layer normalization",
}  # fmt: skip
#: Gate accumulators are Q3.12.
_GATE_SCALE = 2.0**-12


def _prepare_svdf(node: Preparation) -> None:
    input_, feature, time = node.temp_input(0), node.temp_input(1), node.temp_input(2)
    bias, state = node.temp_input(3), node.temp_input(4)
    for tensor in (input_, feature, time, state):
        rank_within(node, tensor, 2, 2)
    rank = option(node, "rank")
    batches, input_size = input_.shape
    filters, memory = time.shape
    node.ensure(rank > 0 and feature.shape[0] % rank == 0, f"its rank {rank} is impossible")
    accepts(node, input_, "FLOAT32", "INT8")
    output = node.temp_output(0)
    units = filters // rank
    node.ensure(
        len(node.operator.inputs) == 5
        and len(node.operator.outputs) == 1
        and feature.shape == (filters, input_size)
        and output.shape == (batches, units)
        and bias.shape[:1] == (units,)
        and state.shape == (batches, memory * filters),
        "the shapes of its tensors do not fit together",
    )
    node.ensure(state.is_variable, f"its state '{state.name}' is no variable tensor")
    if input_.type == "FLOAT32":
        _check_float_svdf(node, feature, time, state, bias, output)
        node.scratch(4 * batches * filters)
        return
    _check_int8_svdf(node, feature, time, state, bias, output)
    node.scratch(4 * batches * filters)
    node.scratch(4 * batches * units)
    sums = node.tflm.has("CMSIS-NN dense layers keep kernel sums")
    if node.kernels.library == "cmsis-nn" and node.kernels.mve and sums:
        constant(node, feature)
        node.persistent(4 * filters, KERNEL_SUMS)


def _check_float_svdf(node: Preparation, *tensors: Tensor) -> None:
    for tensor in tensors:
        node.ensure(
            tensor.type == "FLOAT32",
            f"its tensor '{tensor.name}' is {tensor.type} in a float operator (a hybrid model)",
        )


def _svdf_types(node: Preparation) -> tuple[str, ...]:
    library = "CMSIS-NN " if node.kernels.library == "cmsis-nn" else ""
    return ("INT16", "INT8") if node.tflm.has(f"{library}SVDF with int8 state") else ("INT16",)


def _check_int8_svdf(
    node: Preparation, feature: Tensor, time: Tensor, state: Tensor, bias: Tensor, output: Tensor
) -> None:
    for tensor, types in (
        (feature, ("INT8",)),
        (time, _svdf_types(node)),
        (state, _svdf_types(node)),
        (bias, ("INT32",)),
        (output, ("INT8",)),
    ):
        accepts(node, tensor, *types)
    node.ensure(
        abs(scale(bias) - scale(state) * scale(time)) < 1e-5,
        f"the scale of its bias '{bias.name}' is not that of state times weights",
    )


def _prepare_lstm(node: Preparation) -> None:
    if not node.tflm.has("redesigned LSTM"):
        _prepare_older_lstm(node)
        return
    cmsis_nn = node.kernels.library == "cmsis-nn" and node.tflm.has("CMSIS-NN LSTM")
    takes(node, 24, 1)
    tensors = [node.temp_optional_input(position) for position in range(24)]
    output = node.temp_output(0)
    present = {position: tensor for position, tensor in enumerate(tensors) if tensor is not None}
    _check_lstm_tensors(node, present, output)
    input_, hidden, cell = present[_INPUT], present[HIDDEN_STATE], present[CELL_STATE]
    if cmsis_nn:
        for position in (*_WEIGHTS, *_BIASES):
            constant(node, present[position])
    rank_within(node, input_, 3, 3)
    rank_within(node, hidden, 2, 2)
    batches = input_.shape[1 if node.operator.options["time_major"] else 0]
    state_size = hidden.shape[1]
    _check_lstm_shapes(node, present, output, batches, state_size)
    accepts(node, cell, "FLOAT32", "INT16")
    if cell.type == "INT16":
        _prepare_gates(node, present)
    ported = ("INT8", "INT16") if node.tflm.has("CMSIS-NN int16 LSTM") else ("INT8",)
    sums = cmsis_nn and cell.type == "INT16" and input_.type in ported
    if sums:
        for _ in range(8):
            node.persistent((4 if input_.type == "INT8" else 8) * state_size, KERNEL_SUMS)
    for _ in range(3 if sums and node.tflm.has("CMSIS-NN LSTM by gates") else 4):
        node.scratch(batches * state_size * cell.element_bytes)
    weight_type = present[1].type
    if (input_.type, weight_type) not in (
        ("FLOAT32", "FLOAT32"), ("INT8", "INT8"), ("INT16", "INT8"),
    ) and input_.type != "FLOAT32":  # fmt: skip
        node.fails_at_invoke(f"{input_.type} activations with {weight_type} weights")


def _prepare_older_lstm(node: Preparation) -> None:
    """As ported from TensorFlow Lite; it keeps products of zero points and weights."""
    count = len(node.operator.inputs)
    node.ensure(count in (20, 24), f"it has {count} inputs, expected 20 or 24")
    normalized = count == 24 and node.temp_optional_input(21) is not None
    input_ = node.temp_input(_INPUT)
    integer = input_.type == "INT8"
    weights, recurrent = node.temp_input(4), node.temp_input(8)
    rank_within(node, input_, 2, 3)
    for tensor in (weights, recurrent):
        rank_within(node, tensor, 2, 2)
    batches = input_.shape[1 if node.operator.options["time_major"] else 0]
    cells, outputs = weights.shape[0], recurrent.shape[1]
    for position in (1, 2, 3, 5, 6, 7, *_UNSUPPORTED_PEEPHOLES, *_BIASES, 16, 17):
        node.temp_optional_input(position)
    for position in range(20, 24) if normalized else ():
        node.temp_optional_input(position)
    output = node.temp_output(0)
    hidden, cell = node.temp_input(HIDDEN_STATE), node.temp_input(CELL_STATE)
    node.ensure(
        hidden.is_variable
        and cell.is_variable
        and hidden.elements == batches * outputs
        and cell.elements == batches * cells
        and output.shape == (*input_.shape[:2], outputs),
        "the shapes of its tensors do not fit together",
    )
    node.ensure(
        not integer or len(node.operator.intermediates) == 5,
        f"it has {len(node.operator.intermediates)} intermediate tensors, expected 5",
    )
    if integer and zero_point(node.input(HIDDEN_STATE)):
        node.computes_wrongly(
            "LSTM adds its zero point", "it takes the zero point of its state off instead of adding"
        )
    if integer:
        _check_older_scales(node)
    gates = 4 if node.temp_optional_input(1) is not None else 3
    if integer:
        _prepare_older_gates(node, batches * cells)
    else:
        node.scratch(batches * cells * gates * input_.element_bytes)
    node.ensure(
        integer or weights.type == input_.type, f"{weights.type} weights with {input_.type}"
    )


def _check_older_scales(node: Preparation) -> None:
    """What these kernels compute the hidden state with, and the cells that they have a TANH for."""
    graph, operator = node.subgraph, node.operator
    inside = graph.tensors[operator.intermediates[EFFECTIVE_HIDDEN]]
    state, cell = node.input(HIDDEN_STATE), node.input(CELL_STATE)
    if not quantized_alike(state, inside):
        node.computes_wrongly(
            "redesigned LSTM",
            f"it writes its hidden state at the scale of '{inside.name}' and reads it at that of"
            f" '{state.name}'",
        )
    if scale(cell) < SMALLEST_CELL_SCALE:
        node.computes_wrongly(
            "redesigned LSTM",
            f"it has no TANH for cells at scales below 2^-15, and '{cell.name}' has"
            f" {scale(cell):g}",
        )


def _prepare_older_gates(node: Preparation, size: int) -> None:
    node.temp_input(CELL_STATE)
    node.temp_output(0)
    positions = (_INPUT, *_WEIGHTS, *_UNSUPPORTED_PEEPHOLES, 20, 21, 22, 23, 16, HIDDEN_STATE)
    for position in positions:
        node.temp_optional_input(position)
    node.temp_intermediate(4)
    wide = not node.tflm.has("LSTM without a buffer of 32 bits")
    for element_bytes in (2, 2, 2, 2, 1, *((4,) if wide else ())):
        node.scratch(size * element_bytes)
    for position in (_INPUT, HIDDEN_STATE, *_WEIGHTS, 16, 17):
        node.temp_optional_input(position)
    node.temp_intermediate(4)
    for bias, weights in ((13, 2), (14, 3), (15, 4), (12, 1)):
        node.temp_optional_input(bias)
        for position in (weights, weights + 4):
            tensor = node.optional_input(position)
            if tensor is not None:
                node.persistent(4 * tensor.shape[0])


def _prepare_gates(node: Preparation, tensors: dict[int, Tensor]) -> None:
    """Every gate is set up as two dense layers, of the input and of the hidden state."""
    for gate in (1, 0, 2, 3):
        for source, weights in ((_INPUT, _WEIGHTS), (HIDDEN_STATE, _RECURRENT_WEIGHTS)):
            if tensors[source].type != "FLOAT32":
                calculate_fully_connected(
                    node, tensors[source], tensors[weights[gate]], None, "INT16", _GATE_SCALE
                )


def _check_lstm_tensors(node: Preparation, tensors: dict[int, Tensor], output: Tensor) -> None:
    for position in (_INPUT, HIDDEN_STATE, CELL_STATE, *_WEIGHTS, *_BIASES):
        node.ensure(position in tensors, f"its input {position} is missing")
    for position, feature in _UNSUPPORTED.items():
        node.ensure(position not in tensors, f"{feature} are not supported")
    input_ = tensors[_INPUT]
    for position in (HIDDEN_STATE, CELL_STATE):
        node.ensure(
            tensors[position].is_variable,
            f"its state '{tensors[position].name}' is no variable tensor",
        )
    node.ensure(
        input_.type == tensors[HIDDEN_STATE].type == output.type,
        "its input, hidden state and output differ in type",
    )
    node.ensure(
        len({tensors[position].type for position in _WEIGHTS}) == 1, "its weights differ in type"
    )
    node.ensure(
        len({tensors[position].type for position in _BIASES}) == 1, "its biases differ in type"
    )


def _check_lstm_shapes(
    node: Preparation, tensors: dict[int, Tensor], output: Tensor, batches: int, state_size: int
) -> None:
    input_ = tensors[_INPUT]
    fits = (
        all(tensors[i].shape == (state_size, input_.shape[2]) for i in range(1, 5))
        and all(tensors[i].shape == (state_size, state_size) for i in _RECURRENT_WEIGHTS)
        and all(tensors[i].shape == (state_size,) for i in _BIASES)
        and tensors[HIDDEN_STATE].elements == batches * state_size
        and tensors[CELL_STATE].elements == batches * state_size
        and output.shape == (*input_.shape[:2], state_size)
    )
    node.ensure(fits, "the shapes of its tensors do not fit together")


RULES: dict[str, OperatorRule] = {
    "SVDF": OperatorRule("ieb", op_data("9i", cmsis_nn="9ip"), _prepare_svdf),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": OperatorRule(
        "e2i3b",
        op_data(_LSTM_OP_DATA, cmsis_nn=f"({_LSTM_OP_DATA})({_CMSIS_NN_LSTM_PARAMS})"),
        _prepare_lstm,
    ),
}
