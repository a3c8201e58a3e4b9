"""Compressed weights."""

from __future__ import annotations

from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Tensor


def _decoded(node: Trusted) -> None:
    from pytest_tinybudget.footprint.operators.compression import HEADER_BYTES
    from pytest_tinybudget.footprint.operators.compression import LOOK_UP_TABLES

    for position in range(len(node.operator.outputs)):
        encoded, ancillary = node.input(2 * position), node.input(2 * position + 1)
        header = bytes(ancillary.data[:HEADER_BYTES])
        if len(header) == HEADER_BYTES and header[0] == LOOK_UP_TABLES:
            _looked_up(node, encoded, ancillary, node.output(position))


def _looked_up(node: Trusted, encoded: Tensor, ancillary: Tensor, result: Tensor) -> None:
    """One table of values for each scale, one after the other (``decode_state_lut.cc``)."""
    from pytest_tinybudget.footprint.operators.compression import HEADER_BYTES
    from pytest_tinybudget.footprint.operators.compression import look_up_indices
    from pytest_tinybudget.footprint.operators.compression import look_up_widths

    width, stride = look_up_widths(ancillary)
    channels = max(1, len(result.quantization.scales))
    size = TYPE_BITS[result.type] // 8
    if not (size and width):
        return
    values = (len(ancillary.data) - HEADER_BYTES) // size
    last = (channels - 1) * stride
    if last + (1 << width) <= values:
        return
    along_last = channels > 1 and result.quantization.dimension == len(result.shape) - 1
    each = 1 if along_last else result.elements // channels
    packed = look_up_indices(encoded, width, result.elements)
    beyond = any(
        at // max(1, each) % channels * stride + index >= values for at, index in enumerate(packed)
    )
    tables = "one table" if values <= stride else f"tables of {stride}"
    node.trust(
        not beyond,
        f"'{ancillary.name}' has {values} values, {tables}, and '{result.name}' {channels} scales,"
        " each of which reads a table of its own: compress it with one table for each channel, or"
        " quantize it with one scale",
    )


CHECKS = by_operator(
    (_decoded, "TFLM_DECODE"),
)
