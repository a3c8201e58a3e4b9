"""What operators asked for in other versions of TFLM, beside what the rules here know.

For a TFLM whose version nobody has said. Held to arenas of 19 builds of 12 versions, from April
2021 to August 2026, and of Arduino's library, with reference kernels and with CMSIS-NN. Dates are
those of TFLM's commits. What changed together counts together, although no version has it all.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping

from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.runtimes.abi import align_up


#: An operator's data grew by 4 to 12 bytes at a time, and are aligned to 16.
_OPERATOR_DATA = 16
#: What UNIDIRECTIONAL_SEQUENCE_LSTM kept until February 2023 beyond its data of today.
_OLD_LSTM_DATA = 512


def request_for_any_version(node: Preparation) -> None:
    """The most that a known version asks for the current operator besides what its rule does."""
    node.persistent(_OPERATOR_DATA)
    more = _MORE.get(node.operator.name)
    if more is not None:
        more(node)


def _concatenation(node: Preparation) -> None:
    """Two arrays with an entry for each input, until December 2024 (50e7e5dbd)."""
    if node.output(0).type == "INT8":
        for _ in range(2):
            node.persistent(4 * len(node.operator.inputs))


def _reducer(node: Preparation) -> None:
    """Four bytes for each element of the INPUT, for two days of June 2022 (ff246bcc).

    The Arduino library was synchronized within them, and kept it until October. MEAN had its
    sums twice besides.
    """
    node.scratch_on_top(4 * node.input(0).elements)
    node.scratch_on_top(8 * node.output(0).elements)


def _conv(node: Preparation) -> None:
    """CMSIS-NN's buffer for 1 x 1 filters too, but for whole words of channels at stride 1.

    In March 2023 (c12bd762) it was asked for, in May 2024 (71fba59b) no more.
    """
    input_, filter_ = node.input(0), node.input(1)
    if node.kernels.library != "cmsis-nn" or input_.type != "INT8" or filter_.shape[1:3] != (1, 1):
        return
    strides = option(node, "stride_h"), option(node, "stride_w")
    if strides != (1, 1) or input_.shape[3] % 4:
        node.scratch_on_top(4 * align_up(input_.shape[3], 4))


def _depthwise(node: Preparation) -> None:
    """CMSIS-NN's buffer for all filters, 3 x 3 too, until June 2023 (6f2828619)."""
    input_, filter_ = node.input(0), node.input(1)
    kernels = node.kernels
    if kernels.library == "cmsis-nn" and input_.type == "INT8" and filter_.shape[1:3] == (3, 3):
        node.scratch_on_top(2 * 9 * filter_.shape[3])


def _transpose_conv(node: Preparation) -> None:
    """CMSIS-NN's int8 kernel: the reference one's buffer until November 2023 (c845961df).

    Then for a year (until 182c8c770) a second one, for the sums of all that the filter reaches.
    """
    if node.kernels.library != "cmsis-nn" or node.input(2).type != "INT8":
        return
    _, height, width, _ = node.input(2).shape
    channels, filter_h, filter_w, _ = node.input(1).shape
    reached = height * max(filter_h, option(node, "stride_h"))
    reached *= width * max(filter_w, option(node, "stride_w"))
    node.scratch_on_top(4 * node.output(0).elements)
    node.scratch_on_top(4 * channels * reached)


def _lstm(node: Preparation) -> None:
    """A bias for each gate and source, and 32-bit sums, until February 2023 (0a1ccdfdd)."""
    cell = node.input(19)
    node.persistent(_OLD_LSTM_DATA)
    for _ in range(8):
        node.persistent(4 * cell.elements)


_MORE: Mapping[str, Callable[[Preparation], None]] = {
    "CONCATENATION": _concatenation,
    "MEAN": _reducer,
    "SUM": _reducer,
    "REDUCE_MAX": _reducer,
    "REDUCE_MIN": _reducer,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
