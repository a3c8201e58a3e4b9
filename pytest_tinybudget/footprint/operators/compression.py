"""TFLM_DECODE: expands compressed tensors (look-up table, Huffman, pruning) when run."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.graph.model import Tensor


# The classes of ``decode_state_*.h``, each with a virtual table and DecodeState's two members.
_LUT_STATE = "3p 5p 3b"
_PRUNE_STATE = "3p 6p 2b"
_HUFFMAN_STATE = "3p 3p 2b"

#: Where the ancillary tensor has what, and the value of its versions.
HEADER_BYTES = 16
_TYPE_AT, _VERSION_AT, _TYPE_VERSION_AT, _TABLE_SIZE_AT = 0, 1, 4, 5
_VERSION = 1
_WIDE_TABLE = 0x01
#: Of look-up tables: bits of an index, and values from one channel's table to the next one's.
_WIDTH_AT, _STRIDE_AT, _WIDTH_MASK = 5, 6, 0x07

#: kDcmTypeLUT, the decoding by look-up tables.
LOOK_UP_TABLES = 0


def look_up_widths(ancillary: Tensor) -> tuple[int, int]:
    """Bits of an index, and values from the table of one channel to that of the next."""
    return ancillary.data[_WIDTH_AT] & _WIDTH_MASK, ancillary.data[_STRIDE_AT]


def look_up_indices(encoded: Tensor, width: int, count: int) -> Iterator[int]:
    """The first ``count`` indices of ``width`` bits, packed from high-order bits on."""
    held, bits, found = 0, 0, 0
    for byte in encoded.data:
        held, bits = held << 8 | byte, bits + 8
        while bits >= width and found < count:
            bits -= width
            yield held >> bits
            held &= (1 << bits) - 1
            found += 1
        if found == count:
            return


def _prepare(node: Preparation) -> None:
    count = len(node.operator.outputs)
    node.ensure(count > 0, "it has no outputs")
    takes(node, 2 * count, count)
    node.persistent(count * node.abi.pointer_bytes)
    for position in range(count):
        encoded, ancillary = node.temp_input(2 * position), node.temp_input(2 * position + 1)
        result = node.temp_output(position)
        constant(node, encoded)
        constant(node, ancillary)
        _prepare_one(node, ancillary, result)


def _prepare_one(node: Preparation, ancillary: Tensor, result: Tensor) -> None:
    header = bytes(ancillary.data[:HEADER_BYTES])
    node.ensure(
        len(header) == HEADER_BYTES and header[_VERSION_AT] == header[_TYPE_VERSION_AT] == _VERSION,
        f"'{ancillary.name}' has no decoding header of version {_VERSION}",
    )
    match header[_TYPE_AT]:
        case 0:  # LOOK_UP_TABLES
            _prepare_lut(node, result)
        case 1:  # kDcmTypeHuffman
            _prepare_huffman(node, result, wide=bool(header[_TABLE_SIZE_AT] & _WIDE_TABLE))
        case 2:  # kDcmTypePrune
            _prepare_prune(node, result)
        case other:
            node.refuse(f"'{ancillary.name}' asks for the unsupported decoding {other}")


def _prepare_lut(node: Preparation, result: Tensor) -> None:
    node.persistent(node.abi.size_of(_LUT_STATE))
    _check_channel_axis(node, result)
    runs_with(node, result, "BOOL", "FLOAT32", "INT8", "INT16", "INT32", "INT64")


def _prepare_huffman(node: Preparation, result: Tensor, *, wide: bool) -> None:
    node.persistent(node.abi.size_of(_HUFFMAN_STATE))
    if not wide:
        accepts(node, result, "INT8")
    runs_with(node, result, "INT8", "INT16")


def _prepare_prune(node: Preparation, result: Tensor) -> None:
    node.persistent(node.abi.size_of(_PRUNE_STATE))
    _check_channel_axis(node, result)
    channels = len(result.quantization.scales)
    if result.quantization.is_affine and any(result.quantization.zero_points):
        node.ensure(
            result.type == "INT8",
            f"'{result.name}' is {result.type} with a zero point other than 0",
        )
        if channels > 1:
            node.persistent(channels)
    runs_with(node, result, "BOOL", "FLOAT32", "INT8", "INT16", "INT32", "INT64")


def _check_channel_axis(node: Preparation, result: Tensor) -> None:
    """Channels run along the first or the last axis (the last only if there are several)."""
    if not result.quantization.is_affine:
        return
    axis = result.quantization.dimension
    several = len(result.quantization.scales) > 1
    node.ensure(
        axis == 0 or (several and axis == len(result.shape) - 1),
        f"'{result.name}' is quantized along axis {axis}, expected the first or the last",
    )


RULES: dict[str, OperatorRule] = {"TFLM_DECODE": OperatorRule(prepare=_prepare)}
