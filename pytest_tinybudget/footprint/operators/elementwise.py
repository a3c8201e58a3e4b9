"""Operators from one tensor to another of the same shape, without activations: ABS, EXP, CAST."""

from __future__ import annotations

from collections.abc import Callable

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_shape
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.checks import zero_point_is
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data


# OpDataAbsRsqrt; TfLiteQuantizationType is declared as wide as an int on every target.
_ABS_RSQRT = "4i b i e"
_init_quantized = op_data(_ABS_RSQRT)


def _mathematics(*types: str) -> Callable[[Preparation], None]:
    """elementwise.cc: its GenericPrepare does not look at the type, only Eval does."""

    def prepare(node: Preparation) -> None:
        takes(node, 1, 1)
        source, result = node.temp_input(0), node.temp_output(0)
        same_type(node, source, result)
        runs_with(node, source, *types)

    return prepare


def _init_abs_rsqrt(node: Preparation) -> None:
    if node.tflm.has("quantized ABS and RSQRT"):
        _init_quantized(node)


def _prepare_abs_rsqrt(node: Preparation) -> None:
    if not node.tflm.has("quantized ABS and RSQRT"):
        _mathematics("FLOAT32")(node)
        return
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    same_type(node, source, result)
    if source.type == "INT8" or (source.type == "INT16" and source.quantization.is_affine):
        for tensor in (source, result):
            node.ensure(tensor.quantization.is_affine, f"'{tensor.name}' is not quantized")
            if source.type == "INT16":
                zero_point_is(node, tensor, 0)
    runs_with(node, source, "FLOAT32", "INT8", "INT16")


def _prepare_float(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    accepts(node, source, "FLOAT32")
    same_type(node, source, result)
    same_shape(node, source, result)


def _check_float_at_run_time(node: Preparation) -> None:
    runs_with(node, node.input(0), "FLOAT32")


def _prepare_cast(node: Preparation) -> None:
    takes(node, 1, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    results = {"INT8", "INT16", "INT32", "UINT32", "FLOAT32"}
    for change, types in (
        ("CAST to UINT32", {"UINT32"}),
        ("CAST to INT32", {"INT32"}),
        ("CAST to INT16", {"INT16"}),
    ):
        results -= set() if node.tflm.has(change) else types
    sources = {
        type_
        for type_ in ("INT8", "INT16", "INT32", "UINT32", "FLOAT32", "BOOL")
        if node.tflm.runs("CAST", node.kernels.library, type_)
    }
    for tensor, types in ((source, sources), (result, results)):
        if tensor.type in types:
            continue
        reason = f"'{tensor.name}' is {tensor.type}, supported: {', '.join(sorted(types))}"
        if node.tflm.has("CAST refuses types"):
            node.fails_at_invoke(reason)
        else:
            node.computes_wrongly("CAST refuses types", f"{reason}; it leaves its result as it is")


def _prepare_zeros_like(node: Preparation) -> None:
    takes(node, 1, 1)
    source = node.temp_input(0)
    node.temp_output(0)
    runs_with(node, source, "INT64", "INT32", "INT8", "FLOAT32")


_FLOAT_ONLY_AT_RUN_TIME = OperatorRule(prepare=_mathematics("FLOAT32"))
_FLOAT_ONLY = OperatorRule(prepare=_prepare_float)
_UNPREPARED_FLOAT_ONLY = OperatorRule(prepare=_check_float_at_run_time)
_ABSOLUTE_OR_ROOT = OperatorRule(init=_init_abs_rsqrt, prepare=_prepare_abs_rsqrt)

RULES: dict[str, OperatorRule] = {
    "ABS": _ABSOLUTE_OR_ROOT,
    "RSQRT": _ABSOLUTE_OR_ROOT,
    "SIN": _FLOAT_ONLY_AT_RUN_TIME,
    "COS": _FLOAT_ONLY_AT_RUN_TIME,
    "LOG": _FLOAT_ONLY_AT_RUN_TIME,
    "SQRT": _FLOAT_ONLY_AT_RUN_TIME,
    "SQUARE": _FLOAT_ONLY_AT_RUN_TIME,
    "LOGICAL_NOT": OperatorRule(prepare=_mathematics("BOOL")),
    "CEIL": _FLOAT_ONLY,
    "EXP": _FLOAT_ONLY,
    "ROUND": _FLOAT_ONLY,
    "FLOOR": _UNPREPARED_FLOAT_ONLY,
    "NEG": _UNPREPARED_FLOAT_ONLY,
    "CAST": OperatorRule(parameters="2e", prepare=_prepare_cast),
    "ZEROS_LIKE": OperatorRule(prepare=_prepare_zeros_like),
}
