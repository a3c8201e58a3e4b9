"""The custom operator that Vela leaves in place of what an Ethos-U runs."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data


#: sizeof(uint64_t): the NPU's addresses are that wide on every target.
_ADDRESS = 8


def _prepare(node: Preparation) -> None:
    node.ensure(len(node.operator.inputs) > 0, "it has no inputs")
    node.ensure(len(node.operator.custom_options) > 0, "it has no custom options")
    tensors = len(node.operator.inputs) + len(node.operator.outputs)
    node.scratch(tensors * _ADDRESS)
    node.scratch(tensors * node.abi.pointer_bytes)
    node.temp_input(0)


RULES: dict[str, OperatorRule] = {
    "ethos-u": OperatorRule(init=op_data("3i"), prepare=_prepare),
}
