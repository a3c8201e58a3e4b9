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
    sources, results = set(_QUANTIZE_KERNELS), {"INT8", "INT16", "INT32", "UINT8"}
    pairs = {(source, to) for source, types in _QUANTIZE_KERNELS.items() for to in types}
    for change, source, result in (
        ("UINT8 is quantized and dequantized", "UINT8", "UINT8"),
        ("INT32 is quantized", "INT32", ""),
    ):
        if not node.tflm.has(change):
            sources.discard(source)
            results.discard(result)
            pairs = {pair for pair in pairs if not {source, result} & set(pair)} | (
                pairs & {("INT8", "INT32"), ("INT16", "INT32")}
            )
    if not node.tflm.has("INT8 is quantized to INT16"):
        pairs.discard(("INT8", "INT16"))
    accepts(node, input_, *sorted(sources))
    accepts(node, output, *sorted(results))
    runs_with(node, output, *sorted(to for source, to in pairs if source == input_.type))


def _prepare_dequantize(node: Preparation) -> None:
    takes(node, 1, 1)
    input_, output = node.temp_input(0), node.temp_output(0)
    accepts(node, input_, "INT8", "INT16", "UINT8")
    accepts(node, output, "FLOAT32")


RULES: dict[str, OperatorRule] = {
    "QUANTIZE": OperatorRule("", op_data("(iq)3i"), _prepare_quantize),
    "DEQUANTIZE": OperatorRule("", op_data("(qi)3i"), _prepare_dequantize),
}
