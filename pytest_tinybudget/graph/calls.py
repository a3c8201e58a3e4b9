"""Checks which subgraph calls which: each called one must exist, and no chain may be endless."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import NoReturn

from pytest_tinybudget.graph.model import Subgraph


#: How deep subgraphs may call each other, and how many operators one walk may visit.
MAX_CALL_DEPTH = 64
MAX_VISITS = 1_000_000

#: Options that name a subgraph which the operator runs (the ones TFLM follows, and CALL).
_CALLS = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "CALL_ONCE": ("init_subgraph_index",),
    "CALL": ("subgraph",),
}


def check_calls(graphs: Sequence[Subgraph], fail: Callable[[str], NoReturn]) -> None:
    """Call ``fail`` for a call of a missing subgraph, a recursion, or too many operators in all.

    TFLM walks a called subgraph anew for every call, so that nested calls multiply.
    """
    callees = [_callees(graph, len(graphs), fail) for graph in graphs]
    visits: dict[int, int] = {}
    depths: dict[int, int] = {}
    for start in range(len(graphs)):
        if start in visits:
            continue
        path = {start: iter(callees[start])}
        while path:
            current = next(reversed(path))
            callee = next((callee for callee in path[current] if callee not in visits), None)
            if callee in path:
                fail(f"subgraph {callee} calls itself, which TFLM cannot run")
            if callee is not None:
                path[callee] = iter(callees[callee])
                continue
            del path[current]
            called = callees[current]
            visits[current] = len(graphs[current].operators) + sum(visits[i] for i in called)
            depths[current] = 1 + max((depths[i] for i in called), default=0)
            if depths[current] > MAX_CALL_DEPTH or visits[current] > MAX_VISITS:
                fail(f"subgraph {current} calls other subgraphs too deeply or too often")


def _callees(graph: Subgraph, subgraphs: int, fail: Callable[[str], NoReturn]) -> list[int]:
    """Subgraphs that operators of ``graph`` run, in order, repeated as called."""
    called = []
    for operator in graph.operators:
        for option in _CALLS.get(operator.name, ()) if not operator.is_custom else ():
            index = operator.options[option]
            if not isinstance(index, int) or not 0 <= index < subgraphs:
                fail(
                    f"operator #{operator.index} {operator.name} runs subgraph {index},"
                    f" there {'is' if subgraphs == 1 else 'are'} {subgraphs}"
                )
            called.append(index)
    return called
