"""TFLM's audio front end (custom operators ``Signal*``) and CIRCULAR_BUFFER of streaming models."""

from __future__ import annotations

from collections.abc import Callable

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.custom_options import named
from pytest_tinybudget.footprint.operators.custom_options import positioned
from pytest_tinybudget.footprint.operators.custom_options import size
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Tensor


# Parameter structs of the kernels in ``signal/micro/kernels``.
_DELAY = "3i 2p"
_ENERGY = "2i"
_FILTER_BANK = "(i 5p 2i) p"
_FILTER_BANK_LOG = "2i"
_SPECTRAL_SUBTRACTION = "(8i b) 2p"
_FRAMER = "4i b 2p"
_IRFFT = "4i e p"
_OVERLAP_ADD = "4i e p"
_PCAN = "i"
_RFFT = "4i e p i p"
_STACKER = "4i 2p b 2p"
_WINDOW = "2i"
_STREAMING_BUFFER = "2i"

# tflm_signal::CircularBuffer; the operator CIRCULAR_BUFFER keeps its data in its output.
_CIRCULAR_BUFFER = "3p 2i p"
#: A circular buffer holds its int16 samples twice.
_CIRCULAR_BUFFER_BYTES_PER_SAMPLE = 4

#: More rows are refused without counting each: their buffers alone would take 40 MB.
_MOST_ROWS = 2**20

# kiss_fft: kiss_fftr_state, and kiss_fft_state without its twiddle factors.
_REAL_FFT_STATE = "3p"
_FFT_STATE = "66i"
#: IrfftFloatState, which only the float inverse puts before these.
_FLOAT_IRFFT_STATE = "i p"

#: Values of the option ``T``, a TensorType of the schema (a missing one reads as 0).
_FFT_TYPES = {0: "FLOAT32", 2: "INT32", 7: "INT16"}
_OVERLAP_ADD_TYPES = {0: "FLOAT32", 7: "INT16"}


def _persistent(node: Preparation, layout: str) -> None:
    node.persistent(node.abi.size_of(layout))


def _expect(node: Preparation, tensor: Tensor, tensor_type: str, rank: int | None = None) -> None:
    accepts(node, tensor, tensor_type)
    if rank is not None:
        rank_within(node, tensor, rank, rank)


def _prepare_typed(
    inputs: tuple[tuple[str, int], ...], outputs: tuple[tuple[str, int], ...]
) -> Callable[[Preparation], None]:
    """A Prepare that only checks types and ranks, and so does not allocate but for tensors."""

    def prepare(node: Preparation) -> None:
        takes(node, len(inputs), len(outputs))
        for position, (tensor_type, rank) in enumerate(inputs):
            _expect(node, node.temp_input(position), tensor_type, rank)
        for position, (tensor_type, rank) in enumerate(outputs):
            _expect(node, node.temp_output(position), tensor_type, rank)

    return prepare


# Real FFTs.


def _fft_type(node: Preparation, types: dict[int, str], *, ends: bool = False) -> str:
    number = named(node, "T")
    if number not in types:
        expected = ", ".join(types.values())
        node.refuse(f"its type option T is {number}, expected {expected}", ends=ends)
    return types[number]


def _fft_length(node: Preparation) -> int:
    return size(node, 1, "fft_length")


def _element_bytes(tensor_type: str) -> int:
    return TYPE_BITS[tensor_type] // 8


def _init_rfft(node: Preparation) -> None:
    tensor_type, length = _fft_type(node, _FFT_TYPES), _fft_length(node)
    _persistent(node, node.tflm.layout("SignalRfft data", _RFFT))
    if not node.tflm.has("SignalRfft works in a scratch buffer"):
        node.persistent(length * _element_bytes(tensor_type))
    node.persistent(_fft_state_bytes(node, tensor_type, length))


def _init_irfft(node: Preparation) -> None:
    tensor_type, length = _fft_type(node, _FFT_TYPES), _fft_length(node)
    _persistent(node, _IRFFT)
    before = node.abi.size_of(_FLOAT_IRFFT_STATE) if tensor_type == "FLOAT32" else 0
    node.persistent(before + _fft_state_bytes(node, tensor_type, length))


def _fft_state_bytes(node: Preparation, tensor_type: str, length: int) -> int:
    """What ``kiss_fftr_alloc`` asks for; nothing for an odd length, which it does not support."""
    if length % 2:
        return 0
    half = length // 2
    twiddles_and_buffers = half + half * 3 // 2
    return (
        node.abi.size_of(_REAL_FFT_STATE)
        + node.abi.size_of(_FFT_STATE)
        + 2 * _element_bytes(tensor_type) * twiddles_and_buffers
    )


def _check_fft(node: Preparation) -> str:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    tensor_type, length = _fft_type(node, _FFT_TYPES), _fft_length(node)
    rank_within(node, result, len(source.shape), len(source.shape))
    accepts(node, source, tensor_type)
    accepts(node, result, tensor_type)
    if not _is_supported_length(length):
        node.fails_at_invoke(
            f"its FFT length is {length}, expected an even one above 2 whose half is a product"
            " of 2, 3 and 5 only",
            ends=True,
        )
    return tensor_type


def _is_supported_length(length: int) -> bool:
    """Whether half the length has radices that need no memory from the heap, which TFLM lacks."""
    half, odd = divmod(length, 2)
    if odd or half < 2:
        return False
    for radix in (2, 3, 5):
        while half % radix == 0:
            half //= radix
    return half == 1


def _prepare_rfft(node: Preparation) -> None:
    tensor_type, length = _check_fft(node), _fft_length(node)
    if node.tflm.has("SignalRfft works in a scratch buffer"):
        node.scratch(length * _element_bytes(tensor_type))
    source = node.input(0)
    if source.shape and source.shape[-1] > length:
        node.fails_at_invoke(
            f"'{source.name}' {list(source.shape)} exceeds the {length} of its FFT",
            ends=True,
        )


def _prepare_irfft(node: Preparation) -> None:
    _check_fft(node)


# Filter banks.


def _init_filter_bank(node: Preparation) -> None:
    _persistent(node, _FILTER_BANK)
    node.persistent(8 * (size(node, 0, "num_channels") + 1))


def _init_spectral_subtraction(node: Preparation) -> None:
    _persistent(node, _SPECTRAL_SUBTRACTION)
    node.persistent(4 * size(node, 4, "num_channels"))


# Operators with a state from one call to the next.


def _circular_buffer_bytes(node: Preparation, samples: int) -> int:
    return node.abi.size_of(_CIRCULAR_BUFFER) + _CIRCULAR_BUFFER_BYTES_PER_SAMPLE * samples


def _rows(node: Preparation, tensor: Tensor, row: int) -> int:
    """How many rows of ``row`` elements ``tensor`` has; each will get a buffer of its own."""
    node.ensure(row > 0, f"'{tensor.name}' {list(tensor.shape)} has no samples")
    rows = tensor.elements // row
    node.ensure(rows <= _MOST_ROWS, f"'{tensor.name}' {list(tensor.shape)} has {rows:,} rows")
    return rows


def _allocate_circular_buffers(node: Preparation, count: int, samples: int) -> None:
    node.persistent(count * node.abi.pointer_bytes)
    node.persistent(count * node.abi.pointer_bytes)
    for _ in range(count):
        node.persistent(_circular_buffer_bytes(node, samples))


def _prepare_delay(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    _expect(node, source, "INT16")
    _expect(node, result, "INT16")
    frame = source.shape[-1] if source.shape else 0
    rows = _rows(node, source, frame)
    _allocate_circular_buffers(node, rows, frame + size(node, 0, "delay_length"))


def _prepare_framer(node: Preparation) -> None:
    takes(node, 1, 2)
    source, result, valid = node.temp_input(0), node.temp_output(0), node.temp_output(1)
    _expect(node, source, "INT16")
    _expect(node, result, "INT16", len(source.shape) + 1)
    _expect(node, valid, "BOOL", 0)
    frame, step = size(node, 0, "frame_size"), size(node, 1, "frame_step")
    samples = source.shape[-1] if source.shape else 0
    node.ensure(
        0 < step <= samples and samples % step == 0,
        f"its frame step {step} does not divide the {samples} samples of '{source.name}'",
    )
    rows = _rows(node, source, samples)
    _allocate_circular_buffers(node, rows, -(-frame // step) * step)


def _init_overlap_add(node: Preparation) -> None:
    _fft_type(node, _OVERLAP_ADD_TYPES, ends=True)
    positioned(node, 1, "frame_step")
    _persistent(node, _OVERLAP_ADD)


def _prepare_overlap_add(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    tensor_type = _fft_type(node, _OVERLAP_ADD_TYPES)
    _expect(node, source, tensor_type)
    node.ensure(len(source.shape) >= 2, f"'{source.name}' has fewer than 2 dimensions")
    _expect(node, result, tensor_type, len(source.shape) - 1)
    frames, frame = source.shape[-2:]
    rows = _rows(node, source, frames * frame)
    node.persistent(rows * node.abi.pointer_bytes)
    for _ in range(rows):
        node.persistent(frame * _element_bytes(tensor_type))


def _init_stacker(node: Preparation) -> None:
    channels, left, right = (
        size(node, position, name)
        for position, name in enumerate(("num_channels", "left_context", "right_context"))
    )
    positioned(node, 3, "stacker_step")
    _persistent(node, _STACKER)
    node.persistent(_circular_buffer_bytes(node, channels * (left + right + 1)))


def _prepare_window(node: Preparation) -> None:
    takes(node, 2, 1)
    source, weights, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    node.ensure(len(source.shape) >= 1, f"'{source.name}' is a scalar")
    _expect(node, source, "INT16")
    _expect(node, weights, "INT16", 1)
    _expect(node, result, "INT16", len(source.shape))


def _prepare_streaming_buffer(node: Preparation) -> None:
    source, result = node.temp_input(0), node.temp_output(0)
    rank_within(node, source, 4, 4)
    rank_within(node, result, 4, 4)
    batch, _, width, channels = result.shape
    node.ensure(
        source.shape == (batch, 1, width, channels),
        f"'{source.name}' is {list(source.shape)}, expected {[batch, 1, width, channels]}",
    )
    accepts(node, source, "INT8")
    accepts(node, result, "INT8")


def _spectrum_operator(tensor_type: str, result: str) -> Callable[[Preparation], None]:
    return _prepare_typed(((tensor_type, 1),), ((result, 1),))


RULES: dict[str, OperatorRule] = {
    "CIRCULAR_BUFFER": OperatorRule(
        init=op_data(_STREAMING_BUFFER), prepare=_prepare_streaming_buffer
    ),
    "SignalDelay": OperatorRule(init=op_data(_DELAY), prepare=_prepare_delay),
    "SignalEnergy": OperatorRule(
        init=op_data(_ENERGY), prepare=_spectrum_operator("INT16", "UINT32")
    ),
    "SignalFftAutoScale": OperatorRule(
        prepare=_prepare_typed((("INT16", 1),), (("INT16", 1), ("INT32", 0)))
    ),
    "SignalFilterBank": OperatorRule(
        init=_init_filter_bank,
        prepare=_prepare_typed((("UINT32", 1), *(("INT16", 1),) * 5), (("UINT64", 1),)),
    ),
    "SignalFilterBankLog": OperatorRule(
        init=op_data(_FILTER_BANK_LOG), prepare=_spectrum_operator("UINT32", "INT16")
    ),
    "SignalFilterBankSpectralSubtraction": OperatorRule(
        init=_init_spectral_subtraction,
        prepare=_prepare_typed((("UINT32", 1),), (("UINT32", 1),) * 2),
    ),
    "SignalFilterBankSquareRoot": OperatorRule(
        prepare=_prepare_typed((("UINT64", 1), ("INT32", 0)), (("UINT32", 1),))
    ),
    "SignalFramer": OperatorRule(init=op_data(_FRAMER), prepare=_prepare_framer),
    "SignalIrfft": OperatorRule(init=_init_irfft, prepare=_prepare_irfft),
    "SignalOverlapAdd": OperatorRule(init=_init_overlap_add, prepare=_prepare_overlap_add),
    "SignalPCAN": OperatorRule(
        init=op_data(_PCAN),
        prepare=_prepare_typed((("UINT32", 1), ("UINT32", 1), ("INT16", 1)), (("UINT32", 1),)),
    ),
    "SignalRfft": OperatorRule(init=_init_rfft, prepare=_prepare_rfft),
    "SignalStacker": OperatorRule(
        init=_init_stacker, prepare=_prepare_typed((("INT16", 1),), (("INT16", 1), ("BOOL", 0)))
    ),
    "SignalWindow": OperatorRule(init=op_data(_WINDOW), prepare=_prepare_window),
}
