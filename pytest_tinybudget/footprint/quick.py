"""What a planned model takes, in sums: for searches, which ask thousands of times.

``measure`` says more, and takes many times as long. A search meets the same operators again and
again, in other company. What one asks for follows from its kind (``graph/kinds.py``) and from how
the arena is aligned when its turn comes. It is learned from the steps of ``simulate`` itself: where
these find anything to say besides sizes, such as a refusal, the model is left to ``measure``.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from msgspec import Struct

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.base.remembered import number_of
from pytest_tinybudget.footprint.allocator import ALIGNMENT
from pytest_tinybudget.footprint.allocator import Memory
from pytest_tinybudget.footprint.arena import Interpreter
from pytest_tinybudget.footprint.arena import possible_firmwares
from pytest_tinybudget.footprint.history import is_open
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.lifetime import lifetimes
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import typed_for
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import live_bytes
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.preparation import ELEMENT_BYTES
from pytest_tinybudget.footprint.preparation import SCRATCH_REQUESTS_PER_OPERATOR
from pytest_tinybudget.footprint.preparation import Node
from pytest_tinybudget.footprint.preparation import ScratchRequest
from pytest_tinybudget.footprint.resolve import why_unresolved
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.soundness import misread
from pytest_tinybudget.footprint.stack import planned_stack
from pytest_tinybudget.footprint.trust import check_variable
from pytest_tinybudget.graph.kinds import Kinds
from pytest_tinybudget.graph.kinds import alike_in
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import Placements


#: Versions of TFLM that have these all go through a model in the same steps.
_STEPS = ("several subgraphs", "subgraphs are planned together", "unread tensors are taken")


class Sizes(Struct, frozen=True, gc=False):
    """The arena of a model, bytes; fields as in ``Arena``.

    ``peak`` is the index of the operator that runs when the head is full to its end (of several
    the one with the most bytes alive).
    """

    required: int
    head: int
    tail: int
    peak: int


def arena_sizes(model: Model, firmware: Firmware) -> Sizes | None:
    """What ``simulate`` would find of ``model`` in ``firmware``.

    ``None`` where it would say more than sizes, or the model's kinds are not known.
    """
    kinds = kinds_of(model)
    if kinds is None or firmware.placements.is_split:
        return None
    best: Sizes | None = None
    try:
        for each in _allocators(firmware):
            found = each.sizes(model, kinds)
            if best is None or found.required > best.required:
                best = found
    except _UnclearError:
        return None
    return best


class Sums(Struct, frozen=True, gc=False):
    """What ``measure`` would find, in sums; bytes.

    Attributes:
        model: Of flash, what the model's file takes.
        runtime: What the runtime takes of it.
        statics: What static objects take of RAM.
        stack: What the stack takes of it.
        arena: The arena, and the operator that runs when it is fullest.
    """

    model: int
    runtime: Part
    statics: Part
    stack: int
    arena: Sizes

    @property
    def flash(self) -> int:
        """Bytes of flash, upper bound where a part is estimated."""
        return self.model + self.runtime.bytes + self.runtime.margin_bytes

    @property
    def ram(self) -> int:
        """Bytes of RAM on the chip, upper bound where a part is estimated."""
        return self.arena.required + self.statics.bytes + self.statics.margin_bytes + self.stack

    @property
    def footprint(self) -> Footprint:
        """The same with each memory in few parts; without layers, lines and notes."""
        sizes = self.arena
        used = sizes.head + sizes.tail
        arena = Arena(sizes.required, used, sizes.head, sizes.tail, "", {}, (), 0, 0)
        return Footprint(
            runtime="",
            flash_parts=(Part("model: all", self.model, "exact"), self.runtime),
            ram_parts=(
                Part(ARENA, sizes.required, "exact"),
                self.statics,
                Part("stack", self.stack, "table"),
            ),
            arena=arena,
            stack=self.stack,
            layers=(),
        )


_USUAL = Placements()


def sums(model: Model, firmware: Firmware) -> Sums | None:
    """What ``measure`` would find, in sums; ``None`` where there is more to say than sizes."""
    plain = firmware.fixed is None and firmware.placements == _USUAL
    kinds = kinds_of(model) if plain else None
    sizes = arena_sizes(model, firmware)
    if kinds is None or sizes is None:
        return None
    linked = _linked(model, firmware)
    stack = firmware.stack
    if stack is None:
        stack = planned_stack(model, kinds, firmware.runtime)
    return Sums(model.bytes, linked.flash, linked.ram, stack, sizes)


class _Linked(Struct, frozen=True, gc=False):
    """What TFLM takes of flash and static RAM."""

    flash: Part
    ram: Part


def _linked(model: Model, firmware: Firmware) -> _Linked:
    alike = alike_in(model)
    place = ("linked", firmware)
    found: _Linked | None = alike.get(place)
    if found is None:
        found = alike[place] = _link(model, firmware)
    return found


def _link(model: Model, firmware: Firmware) -> _Linked:
    names = tuple(dict.fromkeys([each.name for each in model.main.operators]))
    typed = typed_for(model, firmware) if firmware.registrations == "typed" else {}
    key = (firmware, names, tuple(typed.items()))
    known = _links.get(key)
    if known is None:
        found = link(model, firmware)
        flash = Part("runtime", found.flash, "table", margin_bytes=found.margin_bytes)
        ram = sum(part.bytes + part.margin_bytes for part in found.ram_parts)
        known = _links.keep(key, _Linked(flash, Part("static objects", ram, "table")))
    return known


_links: Remembered[Hashable, _Linked] = Remembered()


class _UnclearError(Exception):
    """A model has more to it than sizes."""


@lru_cache(maxsize=64)
def _allocators(firmware: Firmware) -> tuple[_Allocator, ...]:
    """One for each of what ``firmware`` may be; none where that takes more than a look at each."""
    runtime = firmware.runtime
    if is_open(runtime) and not runtime.one_of:
        return ()
    found: dict[object, _Allocator] = {}
    for each in possible_firmwares(firmware).values():
        runtime = each.runtime
        if is_open(runtime) or not all(map(runtime.tflm.has, _STEPS)):
            return ()
        key = (runtime.tflm, runtime.abi, runtime.kernels)
        found.setdefault(key, _Allocator(each))
    return tuple(found.values())


class _Prepared(Struct, frozen=True, gc=False):
    """What an operator's Prepare does: how far the tail grows, how much it needs meanwhile beyond
    what head and tail were, and the scratch buffers that it requests. Bytes."""

    growth: int
    need: int
    scratch: tuple[int, ...]


class _Spans(Struct, frozen=True, gc=False):
    """When tensors (index, first, last) and operators (first, last) are alive.

    ``number`` stands for all of it. ``kept`` are the tensors that TFLM keeps records of, or their
    contents: inputs, outputs, variables.
    """

    number: int
    kept: tuple[int, ...]
    tensors: tuple[tuple[int, int, int], ...]
    operators: tuple[tuple[int, int], ...]


class _Ending(Struct, frozen=True, gc=False):
    """From the last Prepare on: the tail's growth before and behind the plan, and what is needed
    meanwhile beyond the tail. Bytes."""

    before: int
    need: int
    behind: int


class _Allocator:
    """TFLM's allocator in one firmware, and all that operators have asked of it."""

    def __init__(self, firmware: Firmware) -> None:
        self.firmware = firmware
        self.refuses_intermediates = firmware.runtime.tflm.has("intermediate tensors are refused")
        layout = firmware.runtime.tflm.struct("ScratchBufferRequest")
        self.request_bytes = firmware.runtime.abi.size_of(layout)
        self.starts: Remembered[tuple[int, int], Memory] = Remembered()
        self.grown: Remembered[int, int] = Remembered()
        self.prepared: Remembered[int, _Prepared] = Remembered()
        self.spans: Remembered[int, _Spans] = Remembered()
        self.endings: Remembered[tuple[object, ...], _Ending] = Remembered()

    def sizes(self, model: Model, kinds: Kinds) -> Sizes:
        """The arena of ``model``.

        Raises:
            _UnclearError: there is more to say than sizes.
        """
        spans = self.spans.get(kinds.order) or self._learn_spans(model, kinds)
        scratch, tail, needed = self._prepare(model, kinds)
        kept = [kinds.tensors[index] for index in spans.kept]
        key = (kinds.order, len(scratch), tail % ALIGNMENT, *kept)
        buffers = len(spans.tensors) + len(scratch)
        ending = self.endings.get(key) or self._learn_ending(model, key, buffers)
        tail += ending.before
        needed = max(needed, tail - ending.before + ending.need)
        head, peak = _planned(model, kinds, spans, scratch)
        needed = max(needed, head + tail + ending.behind)
        return Sizes(align_up(needed, ALIGNMENT), head, tail + ending.behind, peak)

    def _prepare(self, model: Model, kinds: Kinds) -> tuple[list[tuple[int, int]], int, int]:
        """The scratch buffers (operator, bytes), the tail, and the most that was needed so far."""
        graph = model.main
        count = (len(graph.tensors), len(graph.operators))
        start = self.starts.get(count) or self._learn_start(model, count)
        head, tail, needed = start.head, start.tail, start.needed
        # A key is a number: a kind, and how head and tail are aligned.
        grown, prepared = self.grown.get, self.prepared.get
        for initializes in (0, 1):
            for index, kind in enumerate(kinds.operators):
                place = (2 * kind + initializes) * ALIGNMENT + tail % ALIGNMENT
                growth = grown(place)
                if growth is None:
                    growth = self._learn_growth(model, graph.operators[index], place, tail)
                tail += growth
        needed = max(needed, head + tail)
        scratch: list[tuple[int, int]] = []
        for index, kind in enumerate(kinds.operators):
            place = (kind * ALIGNMENT + head % ALIGNMENT) * ALIGNMENT + tail % ALIGNMENT
            found = prepared(place)
            if found is None:
                found = self._learn_prepare(model, graph.operators[index], place)
            if head + tail + found.need > needed:
                needed = head + tail + found.need
            tail += found.growth
            if found.scratch:
                scratch += [(index, size) for size in found.scratch]
                head = self.request_bytes * (len(scratch) + SCRATCH_REQUESTS_PER_OPERATOR)
            if head + tail > needed:
                needed = head + tail
        return scratch, tail, needed

    # What is not known yet is asked of ``simulate``'s own steps.

    def _learn_start(self, model: Model, count: tuple[int, int]) -> Memory:
        interpreter = Interpreter(model, self.firmware, Memory())
        interpreter.start()
        return self.starts.keep(count, interpreter.memory)

    def _learn_growth(self, model: Model, operator: Operator, place: int, tail: int) -> int:
        tail %= ALIGNMENT
        interpreter = self._at(model, operator, 0, tail)
        initializes = place // ALIGNMENT % 2
        step = interpreter.initialize if initializes else interpreter.parse
        step(operator)
        self._check_clear(interpreter, operator)
        return self.grown.keep(place, interpreter.memory.tail - tail)

    def _learn_prepare(self, model: Model, operator: Operator, place: int) -> _Prepared:
        head, tail = place // ALIGNMENT % ALIGNMENT, place % ALIGNMENT
        interpreter = self._at(model, operator, head, tail)
        interpreter.prepare(operator)
        interpreter.check_prepared(operator, 0)
        interpreter.node.check(check_variable)
        self._check_clear(interpreter, operator)
        found = _Prepared(
            growth=interpreter.memory.tail - tail,
            need=interpreter.memory.needed - head - tail,
            scratch=tuple(
                align_up(each.size_bytes, ALIGNMENT) for each in interpreter.node.scratch_requests
            ),
        )
        return self.prepared.keep(place, found)

    def _at(self, model: Model, operator: Operator, head: int, tail: int) -> Interpreter:
        """An interpreter at an operator, none of whose results counts as unused."""
        memory = Memory()
        memory.head = memory.temp = head
        memory.tail = tail
        interpreter = Interpreter(model, self.firmware, memory)
        interpreter.node.enter(model.main, operator)
        interpreter.node.use_all()
        return interpreter

    def _check_clear(self, interpreter: Interpreter, operator: Operator) -> None:
        node, version = interpreter.node, interpreter.tflm.version
        tensors = node.model.main.tensors
        used = [tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
        if (
            node.says_more_than_sizes
            or why_unresolved(operator, self.firmware)
            or any(each.type not in ELEMENT_BYTES for each in used)
            or any(each.type in version.untyped for each in used)
            or (self.refuses_intermediates and self._intermediate_bytes(node, operator))
        ):
            raise _UnclearError

    def _intermediate_bytes(self, node: Node, operator: Operator) -> int:
        tensors = (node.subgraph.tensors[index] for index in operator.intermediates)
        return sum(node.bytes(node.subgraph, each) for each in tensors)

    def _learn_spans(self, model: Model, kinds: Kinds) -> _Spans:
        if any(misread(model, frozenset({0}))):
            raise _UnclearError
        version = self.firmware.runtime.tflm.version
        found = lifetimes(model, [], version)
        keeps_empty = not version.has("empty tensors are unplanned")
        tensors = tuple(
            (tensor.index, span.first, span.last)
            for tensor, span in zip(model.main.tensors, found.tensors[0], strict=True)
            if not tensor.is_constant
            and not tensor.is_variable
            and (tensor.elements or keeps_empty)
        )
        operators = tuple((span.first, span.last) for span in found.operators[0])
        graph = model.main
        variables = (each.index for each in graph.tensors if each.is_variable)
        kept = (*graph.inputs, *graph.outputs, *variables)
        spans = _Spans(number_of((tensors, operators)), kept, tensors, operators)
        return self.spans.keep(kinds.order, spans)

    def _learn_ending(self, model: Model, key: tuple[object, ...], buffers: int) -> _Ending:
        _, requests, tail, *_ = key
        assert isinstance(requests, int)
        assert isinstance(tail, int)
        memory = Memory()
        memory.head = memory.temp = self.request_bytes * (requests + SCRATCH_REQUESTS_PER_OPERATOR)
        memory.tail = tail
        interpreter = Interpreter(model, self.firmware, memory)
        interpreter.node.scratch_requests = [ScratchRequest(0, 0, 0)] * requests
        interpreter.prepare_planning()
        interpreter.need_planner(buffers)
        need, before = memory.needed, memory.tail
        interpreter.allocate_ends()
        return self.endings.keep(key, _Ending(before - tail, need - tail, memory.tail - before))


def _planned(
    model: Model, kinds: Kinds, spans: _Spans, scratch: list[tuple[int, int]]
) -> tuple[int, int]:
    """The bytes of the plan, and of the operators that run while a buffer reaches its end the one
    that runs when the most is alive.

    The same for all firmware that asks for the same.
    """
    key = ("planned", spans.number, *scratch)
    known: tuple[int, int] | None = model.derived.get(key)
    if known is not None:
        return known
    tensors = model.main.tensors
    requests = [
        Request(
            _bytes.get(kinds.tensors[index]) or _learn_bytes(tensors[index], kinds.tensors[index]),
            first,
            last,
        )
        for index, first, last in spans.tensors
    ]
    requests += [Request(size, *spans.operators[operator]) for operator, size in scratch]
    ends = [offset + each.size_bytes for offset, each in zip(plan(requests), requests, strict=True)]
    head = max(ends, default=0)
    # What is alive elsewhere may be more, and is no reason for this end: the planner leaves gaps.
    reaching = [
        (each.first, each.last) for each, end in zip(requests, ends, strict=True) if end == head
    ]
    live = live_bytes(requests)
    peaks = [
        live[first + 1] if first == last else max(live[first + 1 : last + 2], default=0)
        for first, last in spans.operators
    ]
    near = {
        index: peaks[index]
        for since, until in reaching
        for index, (first, last) in enumerate(spans.operators)
        if since <= last and first <= until
    }
    # The first of those with the most, wherever it came in.
    most = max(near.values(), default=0)
    peak = min([index for index, each in near.items() if each == most], default=0)
    found = model.derived[key] = (head, peak)
    return found


#: Bytes of tensors in the arena by kind, aligned.
_bytes: Remembered[int, int] = Remembered()


def _learn_bytes(tensor: Tensor, kind: int) -> int:
    size = tensor.elements * ELEMENT_BYTES.get(tensor.type, 0)
    return _bytes.keep(kind, align_up(size, ALIGNMENT))
