"""Where an LSTM's tensors are, and which of its scales have to agree."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Tensor


LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
#: Positions among its inputs, and among its intermediate tensors.
HIDDEN_STATE, CELL_STATE, EFFECTIVE_HIDDEN = 18, 19, 4
#: Of each gate the position of the weights of its input, and of its bias.
GATES = ((1, 12), (2, 13), (3, 14), (4, 15))
#: LiteRT, and TFLM before February 2023, have a TANH for cells that reach from -1 to 1 or further,
#: and leave its result unset for others (``PortableApplyTanh``: 0 to 6 integer bits).
SMALLEST_CELL_SCALE = 2.0**-15


class Scaled(Struct, frozen=True):
    """The tensors of a quantized LSTM whose scales have to agree.

    Attributes:
        state: the hidden state.
        cell: the cell state.
        output: what the kernel copies the hidden state to.
        inside: the intermediate tensor whose scale LiteRT and older TFLM compute the hidden state
            with; ``None`` where there is none.
    """

    state: Tensor
    cell: Tensor
    output: Tensor
    inside: Tensor | None


def scaled_lstms(model: Model) -> Iterator[Scaled]:
    """The LSTMs of ``model`` that compute with integers."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.name != LSTM or len(operator.inputs) <= CELL_STATE:
                continue
            state, cell = (operator.inputs[place] for place in (HIDDEN_STATE, CELL_STATE))
            inner = operator.intermediates[EFFECTIVE_HIDDEN : EFFECTIVE_HIDDEN + 1]
            inside = graph.tensors[inner[0]] if inner and inner[0] >= 0 else None
            if inside is not None and not inside.quantization.scales:
                inside = None
            if min(state, cell) >= 0 and graph.tensors[cell].type == "INT16":
                output = graph.tensors[operator.outputs[0]]
                yield Scaled(graph.tensors[state], graph.tensors[cell], output, inside)


def has_small_cells(model: Model) -> bool:
    """Whether cells of an LSTM have a scale that LiteRT has no TANH for."""
    return any(
        scale < SMALLEST_CELL_SCALE
        for each in scaled_lstms(model)
        for scale in each.cell.quantization.scales[:1]
    )


def litert_fault(model: Model) -> str:
    """Which LSTM of ``model`` LiteRT 2.3 and TensorFlow 2.21 compute wrongly; empty where none.

    TFLM is within 2 levels of the float model there (``findings/litert_lstm_small_cells.sh``).
    """
    if has_small_cells(model):
        return "an LSTM whose cells have a scale below 2^-15"
    if any(
        each.inside and _scale(each.inside) != _scale(each.state) for each in scaled_lstms(model)
    ):
        return "an LSTM whose hidden state has another scale than its intermediate tensor"
    return ""


def _scale(tensor: Tensor) -> tuple[tuple[float, ...], tuple[int, ...]]:
    return tensor.quantization.scales, tensor.quantization.zero_points
