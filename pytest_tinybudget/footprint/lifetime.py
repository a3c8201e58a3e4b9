"""When every buffer is alive, in TFLM's allocation scopes.

One counter runs over the whole model: one more for each operator and for each called subgraph,
which is walked in place. A buffer that no walk reaches keeps the lifetime [-1, -1].
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator


#: Options that name the subgraphs which TFLM's planner walks, in its order.
_CALLED = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "CALL_ONCE": ("init_subgraph_index",),
}


@dataclass(slots=True)
class Span:
    """A closed interval of scopes; -1 where TFLM has marked nothing."""

    first: int = -1
    last: int = -1

    def create(self, time: int) -> None:
        if self.first == -1:
            self.first = time


class Lifetimes(Struct, frozen=True):
    """``tensors`` by subgraph and tensor, ``operators`` (first run) by subgraph and operator,
    ``scratch`` in the order of the requests."""

    tensors: tuple[tuple[Span, ...], ...]
    operators: tuple[tuple[Span, ...], ...]
    scratch: tuple[Span, ...]


def lifetimes(model: Model, scratch_owners: Sequence[tuple[int, int]]) -> Lifetimes:
    """Walk ``model`` as TFLM's planner does.

    ``scratch_owners`` are subgraph and operator of every scratch request, in request order.
    """
    found = Lifetimes(
        tensors=tuple(tuple(Span() for _ in graph.tensors) for graph in model.subgraphs),
        operators=tuple(tuple(Span() for _ in graph.operators) for graph in model.subgraphs),
        scratch=tuple(Span() for _ in scratch_owners),
    )
    requests: dict[tuple[int, int], list[Span]] = {}
    for owner, span in zip(scratch_owners, found.scratch, strict=True):
        requests.setdefault(owner, []).append(span)
    _walk(model, 0, 0, found, requests)
    return found


def called_subgraphs(operator: Operator) -> tuple[int, ...]:
    """Subgraphs that the planner walks inside ``operator``."""
    if operator.is_custom or operator.name not in _CALLED:
        return ()
    indices = [operator.options[option] for option in _CALLED[operator.name]]
    return tuple(index for index in indices if isinstance(index, int) and index != -1)


def _walk(
    model: Model,
    subgraph: int,
    time: int,
    found: Lifetimes,
    requests: Mapping[tuple[int, int], list[Span]],
) -> int:
    graph = model.subgraphs[subgraph]
    tensors = found.tensors[subgraph]
    for index in graph.inputs:
        tensors[index].create(time)
        tensors[index].last = time
    for operator in graph.operators:
        time += 1
        start = time
        for index in operator.outputs:
            tensors[index].create(time)
        for called in called_subgraphs(operator):
            time = _walk(model, called, time + 1, found, requests)
        for index in operator.inputs:
            if index >= 0:
                tensors[index].last = time
        for index in operator.outputs:
            tensors[index].last = time
        for span in (
            found.operators[subgraph][operator.index],
            *requests.get((subgraph, operator.index), ()),
        ):
            span.create(start)
            span.last = time
    for index in graph.outputs:
        tensors[index].create(time)
        tensors[index].last = time
    return time
