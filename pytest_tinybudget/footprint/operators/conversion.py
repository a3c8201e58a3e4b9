"""QUANTIZE and DEQUANTIZE, after ``kernels/quantize*.cc`` and ``dequantize*.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data


#: Output types that Eval has a kernel for, by input type.
_QUANTIZE_KERNELS = {
    "FLOAT32": ("INT8", "INT16"),
    "INT32": ("INT8", "INT16"),
    "INT16": ("INT8", "INT16", "INT32"),
    "INT8": ("INT8", "UINT8", "INT16", "INT32"),
    "UINT8": ("INT8",),
}


def _prepare_quantize(node: Preparation) -> None:
    takes(node, 1, 1)
    input_, output = node.temp_input(0), node.temp_output(0)
    node.ensure(
        output.quantization.is_affine and len(output.quantization.scales) == 1,
        f"its output '{output.name}' is not quantized per tensor",
    )
    accepts(node, input_, *_QUANTIZE_KERNELS)
    accepts(node, output, "INT8", "INT16", "INT32", "UINT8")
    runs_with(node, output, *_QUANTIZE_KERNELS[input_.type])


def _prepare_dequantize(node: Preparation) -> None:
    takes(node, 1, 1)
    input_, output = node.temp_input(0), node.temp_output(0)
    accepts(node, input_, "INT8", "INT16", "UINT8")
    accepts(node, output, "FLOAT32")


RULES: dict[str, OperatorRule] = {
    "QUANTIZE": OperatorRule("", op_data("(iq)3i"), _prepare_quantize),
    "DEQUANTIZE": OperatorRule("", op_data("(qi)3i"), _prepare_dequantize),
}
