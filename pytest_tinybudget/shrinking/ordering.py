"""The order of operators in which the fewest bytes are alive at the fullest moment.

Every order in which each operator follows those whose results it reads computes the same. Operators
with a state, or that call subgraphs, stay in their order among each other. The best order is found
exactly, by dynamic programming over the sets of operators that have run, as long as there are few
enough of these; beyond, only the best sets are followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph


#: The most sets of operators that are followed at one time: below it the result is exact.
_WIDTH = 400
#: As many once so many steps were looked at: about a third of a second.
_NARROW, _EFFORT = 8, 40_000


class Step(Struct, frozen=True):
    """An operator: the tensors that it reads and writes, and the bytes of its own meanwhile.

    ``stays`` is whether it must keep its order among others that do.
    """

    reads: frozenset[int]
    writes: frozenset[int]
    scratch: int = 0
    stays: bool = False


class Order(Struct, frozen=True):
    """An order of operators, and the most bytes that are alive in it.

    ``is_exact`` is whether no order has fewer.
    """

    steps: tuple[int, ...]
    peak: int
    is_exact: bool = True


class Work(Struct, frozen=True):
    """The operators of a subgraph, in an order in which they can run, and its tensors.

    ``sizes`` are bytes of the tensors that are planned; others take none. ``inputs`` are alive from
    the start, ``outputs`` to the end.
    """

    steps: tuple[Step, ...]
    sizes: Mapping[int, int]
    inputs: frozenset[int]
    outputs: frozenset[int]


def best_order(work: Work) -> Order:
    """The order with the lowest peak; that of the file where none is lower."""
    search = _Search(work)
    given = tuple(range(len(work.steps)))
    now = Order(given, search.peak(given))
    found = search.run()
    return found if found.peak < now.peak else now


def peak_of(order: Sequence[int], work: Work) -> int:
    """The most bytes that are alive at one time where the operators run in ``order``."""
    return _Search(work).peak(order)


def is_possible(order: Sequence[int], work: Work) -> bool:
    """Whether every operator is there once, behind all that it must follow."""
    needs, done = _needs(work.steps), 0
    for index in order:
        if needs[index] & ~done or done >> index & 1:
            return False
        done |= 1 << index
    return done == (1 << len(work.steps)) - 1


class _State(Struct, frozen=True, gc=False):
    """What has run and what can run now, as bits; bytes alive now, and the most so far; the way."""

    done: int
    ready: int
    bytes: int
    peak: int
    path: tuple[int, ...]


class _Search:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.needs = _needs(work.steps)
        self.effort = _EFFORT
        self.readers: dict[int, int] = {}
        self.followers: list[list[int]] = [[] for _ in work.steps]
        for index, step in enumerate(work.steps):
            for tensor in step.reads:
                self.readers[tensor] = self.readers.get(tensor, 0) | 1 << index
            for before in _bits(self.needs[index]):
                self.followers[before].append(index)

    def run(self) -> Order:
        states, is_exact = [self.start()], True
        for _ in self.work.steps:
            following: dict[int, _State] = {}
            for state in states:
                for index in _bits(state.ready):
                    self.effort -= 1
                    after = self.after(state, index)
                    known = following.get(after.done)
                    if known is None or after.peak < known.peak:
                        following[after.done] = after
            width = _WIDTH if self.effort > 0 else _NARROW
            states = list(following.values())
            if len(states) > width:
                is_exact = False
                states = sorted(states, key=lambda each: (each.peak, each.bytes))[:width]
        (last,) = states
        return Order(last.path, last.peak, is_exact)

    def peak(self, order: Sequence[int]) -> int:
        state = self.start()
        for index in order:
            state = self.after(state, index)
        return state.peak

    def start(self) -> _State:
        """Before anything has run."""
        alive = sum(self.work.sizes.get(tensor, 0) for tensor in self.work.inputs)
        ready = sum(1 << index for index, needed in enumerate(self.needs) if not needed)
        return _State(0, ready, alive, 0, ())

    def after(self, state: _State, index: int) -> _State:
        """What an operator makes of ``state``: its results come, and what nobody reads goes."""
        step, sizes = self.work.steps[index], self.work.sizes
        done, ready = state.done | 1 << index, state.ready & ~(1 << index)
        alive = state.bytes + sum(sizes.get(tensor, 0) for tensor in step.writes)
        peak = max(state.peak, alive + step.scratch)
        for tensor in step.reads | step.writes:
            if not (self.readers.get(tensor, 0) & ~done or tensor in self.work.outputs):
                alive -= sizes.get(tensor, 0)
        for follower in self.followers[index]:
            if not self.needs[follower] & ~done:
                ready |= 1 << follower
        return _State(done, ready, alive, peak, (*state.path, index))


def _bits(number: int) -> Iterator[int]:
    """The places of the ones in ``number``."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _needs(steps: Sequence[Step]) -> list[int]:
    """For each operator those, as bits, that must have run before it."""
    written: dict[int, int] = {}
    needs = []
    last = 0
    for index, step in enumerate(steps):
        bits = 0
        for tensor in step.reads | step.writes:
            bits |= written.get(tensor, 0)
        if step.stays:
            bits |= last
            last |= 1 << index
        needs.append(bits)
        for tensor in step.writes:
            written[tensor] = written.get(tensor, 0) | 1 << index
    return needs


#: Operators that read or change what is in no tensor of theirs.
_WITH_STATE = frozenset({
    "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE", "CALL",
    "RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL",
})  # fmt: skip


def work_of(graph: Subgraph, arena: Arena) -> Work:
    """The operators of the main subgraph, with what ``arena`` plans for them."""
    planned = [each for each in arena.buffers if each.subgraph == graph.index]
    scratch: dict[int, int] = {}
    for each in planned:
        if each.kind == "scratch":
            scratch[each.index] = scratch.get(each.index, 0) + each.bytes
    steps = tuple(
        Step(
            frozenset(index for index in operator.inputs if index >= 0),
            frozenset(operator.outputs),
            scratch.get(operator.index, 0),
            stays=_stays(graph, operator),
        )
        for operator in graph.operators
    )
    sizes = {each.index: each.bytes for each in planned if each.kind == "tensor"}
    return Work(steps, sizes, frozenset(graph.inputs), frozenset(graph.outputs))


def _stays(graph: Subgraph, operator: Operator) -> bool:
    """Whether an operator has a state: a variable, one that nobody sees, or a subgraph's."""
    has_variable = any(graph.tensors[index].is_variable for index in operator.inputs if index >= 0)
    return operator.is_custom or operator.name in _WITH_STATE or has_variable
