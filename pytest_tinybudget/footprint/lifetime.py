"""When every buffer is alive, in TFLM's allocation scopes.

One counter runs over the whole model: one more for each operator and for each called subgraph,
which is walked in place. A buffer that no walk reaches keeps the lifetime [-1, -1].

Before March 2022 every subgraph was planned by itself, in the numbers of its operators
(``subgraph_lifetimes``).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.runtimes.versions import Version


#: Options that name the subgraphs which TFLM's planner walks, in its order.
_CALLED = {
    "IF": ("then_subgraph_index", "else_subgraph_index"),
    "WHILE": ("cond_subgraph_index", "body_subgraph_index"),
    "CALL_ONCE": ("init_subgraph_index",),
}


class Span(Struct, gc=False):
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


def lifetimes(
    model: Model, scratch_owners: Sequence[tuple[int, int]], version: Version | None = None
) -> Lifetimes:
    """Walk ``model`` as TFLM's planner does.

    ``scratch_owners`` are subgraph and operator of every scratch request, in request order.
    """
    version = version or Version()
    if not version.has("subgraphs are planned together"):
        return _subgraph_lifetimes(model, scratch_owners, version)
    found = Lifetimes(
        tensors=tuple(tuple(Span() for _ in graph.tensors) for graph in model.subgraphs),
        operators=tuple(tuple(Span() for _ in graph.operators) for graph in model.subgraphs),
        scratch=tuple(Span() for _ in scratch_owners),
    )
    requests: dict[tuple[int, int], list[Span]] = {}
    for owner, span in zip(scratch_owners, found.scratch, strict=True):
        requests.setdefault(owner, []).append(span)
    walk = _Walk(model, found, requests, version)
    walk.subgraph(0, 0)
    return found


def called_subgraphs(operator: Operator) -> tuple[int, ...]:
    """Subgraphs that the planner walks inside ``operator``."""
    if operator.is_custom or operator.name not in _CALLED:
        return ()
    indices = [operator.options[option] for option in _CALLED[operator.name]]
    return tuple(index for index in indices if isinstance(index, int) and index != -1)


class _Walk(Struct, frozen=True):
    """One walk of the planner of ``version``."""

    model: Model
    found: Lifetimes
    requests: Mapping[tuple[int, int], list[Span]]
    version: Version

    def subgraph(self, subgraph: int, time: int) -> int:
        """Walk a subgraph from ``time`` on; returns the time after it."""
        graph = self.model.subgraphs[subgraph]
        tensors = self.found.tensors[subgraph]
        for index in graph.inputs:
            tensors[index].create(time)
            if self.version.has("unused inputs are planned"):
                tensors[index].last = time
        for operator in graph.operators:
            time = self._operator(subgraph, operator, time + 1)
        for index in graph.outputs:
            if self.version.has("outputs that nothing writes are planned"):
                tensors[index].create(time)
            tensors[index].last = time
        return time

    def _operator(self, subgraph: int, operator: Operator, start: int) -> int:
        tensors = self.found.tensors[subgraph]
        time = start
        for index in operator.outputs:
            tensors[index].create(start)
        for called in called_subgraphs(operator):
            time = self.subgraph(called, time + 1)
        for index in operator.inputs:
            if index >= 0:
                tensors[index].last = time
        for index in operator.outputs:
            tensors[index].last = time
        for span in (
            self.found.operators[subgraph][operator.index],
            *self.requests.get((subgraph, operator.index), ()),
        ):
            span.create(start)
            span.last = time
        return time


def _subgraph_lifetimes(
    model: Model, scratch_owners: Sequence[tuple[int, int]], version: Version
) -> Lifetimes:
    """Every subgraph by itself. A tensor that nothing reads ends at -1 in the oldest versions."""
    written = version.has("unused outputs are planned")
    return Lifetimes(
        tensors=tuple(tuple(_tensor_spans(graph, written)) for graph in model.subgraphs),
        operators=tuple(
            tuple(Span(index, index) for index in range(len(graph.operators)))
            for graph in model.subgraphs
        ),
        scratch=tuple(Span(operator, operator) for _, operator in scratch_owners),
    )


def _tensor_spans(graph: Subgraph, written: bool) -> list[Span]:
    spans = [Span() for _ in graph.tensors]
    for index in graph.inputs:
        spans[index].first = 0
    for index in graph.outputs:
        spans[index].last = len(graph.operators) - 1
    for operator in graph.operators:
        read = [index for index in operator.inputs if index >= 0]
        for index in (*read, *operator.outputs) if written else read:
            spans[index].last = max(spans[index].last, operator.index)
        for index in operator.outputs:
            spans[index].create(operator.index)
    return spans
