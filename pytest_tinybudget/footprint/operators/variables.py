"""VAR_HANDLE, ASSIGN_VARIABLE and READ_VARIABLE, after the kernels of these names and
``micro_resource_variable.cc``.
"""

from __future__ import annotations

from pytest_tinybudget.footprint.operators.rule import VARIABLES
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import op_data


def _prepare_var_handle(node: Preparation) -> None:
    node.output(0)
    options = node.operator.options
    key = (node.subgraph.index, node.operator.outputs[0])
    node.handles[key] = (str(options["container"]), str(options["shared_name"]))
    if node.variables_by_name:
        names = {name for _, name in node.handles.values()}
        node.ensure(
            len(set(node.handles.values())) <= len(names),
            "two containers have a variable of one name, for which the tflite-micro package makes"
            " room once",
        )
    node.leave_unplanned(0)


def _prepare_assign(node: Preparation) -> None:
    node.ensure(
        len(node.operator.inputs) == 2 and not node.operator.outputs,
        "it needs two inputs and no output",
    )
    handle = node.input(0)
    node.ensure(
        handle.type in ("RESOURCE", "INT32") and handle.elements == 1,
        f"its handle '{handle.name}' is no single resource",
    )
    value = node.temp_input(1)
    variable = node.handles.get((node.subgraph.index, handle.index))
    node.ensure(
        variable is not None or node.tflm.has("assignments to handles of elsewhere"),
        f"its handle '{handle.name}' is not of its own subgraph, which this version of TFLM needs",
    )
    if variable is not None and variable not in node.allocated_variables:
        size = value.elements * value.element_bytes
        node.allocated_variables[variable] = size
        node.persistent(size, VARIABLES)


def _prepare_read(node: Preparation) -> None:
    node.temp_input(0)


def _init_assign(node: Preparation) -> None:
    if node.tflm.compression:
        node.persistent(node.abi.size_of("i"))


RULES: dict[str, OperatorRule] = {
    "VAR_HANDLE": OperatorRule("2p", op_data("i"), _prepare_var_handle),
    "ASSIGN_VARIABLE": OperatorRule("", _init_assign, _prepare_assign),
    "READ_VARIABLE": OperatorRule("", None, _prepare_read),
}
