"""QUANTIZE and DEQUANTIZE, after ``kernels/quantize*.cc`` and ``dequantize*.cc``."""

from __future__ import annotations

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
    node.ensure(len(node.operator.inputs) == len(node.operator.outputs) == 1, "it has one input")
    input_, output = node.temp_input(0), node.temp_output(0)
    node.ensure(
        output.quantization.is_affine and len(output.quantization.scales) == 1,
        f"its output '{output.name}' is not quantised per tensor",
    )
    node.ensure(input_.type in _QUANTIZE_KERNELS, f"an input of type {input_.type} is not supported")
    node.ensure(
        output.type in ("INT8", "INT16", "INT32", "UINT8"),
        f"an output of type {output.type} is not supported",
    )
    if output.type not in _QUANTIZE_KERNELS[input_.type]:
        node.fails_at_invoke(f"{input_.type} to {output.type} is not supported")


def _prepare_dequantize(node: Preparation) -> None:
    node.ensure(len(node.operator.inputs) == len(node.operator.outputs) == 1, "it has one input")
    input_, output = node.temp_input(0), node.temp_output(0)
    node.ensure(
        input_.type in ("INT8", "INT16", "UINT8") and output.type == "FLOAT32",
        f"{input_.type} to {output.type} is not supported",
    )


RULES: dict[str, OperatorRule] = {
    "QUANTIZE": OperatorRule("", op_data("(iq)3i"), _prepare_quantize),
    "DEQUANTIZE": OperatorRule("", op_data("(qi)3i"), _prepare_dequantize),
}
