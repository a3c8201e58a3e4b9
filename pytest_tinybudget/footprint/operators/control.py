"""IF, WHILE and CALL_ONCE, after ``kernels/if.cc``, ``while.cc`` and ``call_once.cc``."""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.graph.model import Subgraph


def _called(node: Preparation, name: str) -> Subgraph:
    index = option(node, name)
    node.ensure(
        0 <= index < len(node.model.subgraphs),
        f"its {name} {index} is none of the {len(node.model.subgraphs)} subgraphs",
    )
    return node.model.subgraphs[index]


def _prepare_if(node: Preparation) -> None:
    node.ensure(len(node.operator.inputs) > 0, "it has no condition")
    condition = node.temp_input(0)
    node.ensure(
        condition.type == "BOOL" and condition.elements == 1,
        f"its condition '{condition.name}' is no single BOOL",
    )
    if node.tflm.has("IF copies through buffers") and not node.tflm.has("IF copies in place"):
        for count, tensor in (
            (len(node.operator.inputs) - 1, lambda position: node.temp_input(position + 1)),
            (len(node.operator.outputs), node.temp_output),
        ):
            tensors = [tensor(position) for position in range(count)]
            node.persistent(sum(item.elements * item.element_bytes for item in tensors))
    then = _called(node, "then_subgraph_index")
    _called(node, "else_subgraph_index")
    node.ensure(
        len(node.operator.inputs) - 1 == len(then.inputs)
        and len(node.operator.outputs) == len(then.outputs),
        "its inputs and outputs are not those of the subgraph it calls",
    )


def _prepare_while(node: Preparation) -> None:
    condition = _called(node, "cond_subgraph_index")
    body = _called(node, "body_subgraph_index")
    count = len(node.operator.inputs)
    node.ensure(
        count
        == len(condition.inputs)
        == len(body.inputs)
        == len(node.operator.outputs)
        == len(body.outputs),
        "its inputs and outputs are not those of the subgraphs it calls",
    )


def _prepare_call_once(node: Preparation) -> None:
    node.ensure(not node.operator.inputs and not node.operator.outputs, "it must not have tensors")
    _called(node, "init_subgraph_index")


RULES: dict[str, OperatorRule] = {
    "IF": OperatorRule("2i", op_data("2i"), _prepare_if),
    "WHILE": OperatorRule("2i", op_data("2i"), _prepare_while),
    "CALL_ONCE": OperatorRule("i", op_data("ib"), _prepare_call_once),
}
