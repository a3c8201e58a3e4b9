"""Whether a model remembers: whether an invocation depends on those before it."""

from __future__ import annotations

from pytest_tinybudget.graph.model import Model


#: Operators of resource variables, and those that run once in an interpreter's life.
_RESOURCES = ("VAR_HANDLE", "CALL_ONCE")


def keeps_state(model: Model) -> bool:
    """Whether ``model`` has variable tensors, resource variables or operators that may have some.

    Variable tensors are those of fused LSTMs and of SVDF. A custom operator may keep anything.
    Only a fresh interpreter has no state for certain: LiteRT's ``reset_all_variables`` leaves
    resource variables as they are (2.3.0).
    """
    return any(
        any(tensor.is_variable for tensor in graph.tensors)
        or any(each.is_custom or each.name in _RESOURCES for each in graph.operators)
        for graph in model.subgraphs
    )
