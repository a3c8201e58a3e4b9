"""Replays TFLM's allocator and interpreter on a model: the arena to the byte, without a device.

Every request that ``MicroInterpreter`` makes until ``AllocateTensors`` returns is made here in
the same order with the same size and alignment; what the kernels ask for comes from the
operator rules. The smallest arena is the most that is needed at any moment of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import islice
from typing import get_args

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.footprint.allocator import ALIGNMENT
from pytest_tinybudget.footprint.allocator import Event
from pytest_tinybudget.footprint.allocator import Memory
from pytest_tinybudget.footprint.history import Candidate
from pytest_tinybudget.footprint.history import as_its_date_says
from pytest_tinybudget.footprint.history import explore
from pytest_tinybudget.footprint.history import is_open
from pytest_tinybudget.footprint.history import said_of
from pytest_tinybudget.footprint.lifetime import Lifetimes
from pytest_tinybudget.footprint.lifetime import lifetimes
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.operators.cmsis_nn import check_cmsis_nn
from pytest_tinybudget.footprint.operators.rule import VARIABLES
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import live_bytes
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.possible import RELEASED
from pytest_tinybudget.footprint.possible import open_range
from pytest_tinybudget.footprint.possible import possible_runtimes
from pytest_tinybudget.footprint.possible import releases_of
from pytest_tinybudget.footprint.preparation import ELEMENT_BYTES
from pytest_tinybudget.footprint.preparation import SCRATCH_REQUESTS_PER_OPERATOR
from pytest_tinybudget.footprint.preparation import Node
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.resolve import why_unresolved
from pytest_tinybudget.footprint.result import UNNOTICED
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Persistent
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.footprint.result import Stage
from pytest_tinybudget.footprint.soundness import misread
from pytest_tinybudget.footprint.trust import check
from pytest_tinybudget.footprint.trust import check_variable
from pytest_tinybudget.graph.closing import openness
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import as_firmware
from pytest_tinybudget.runtimes.runtime import Runtime


#: What reports call the allocators, the planner and what belongs to them.
_OWN_OBJECTS = "TFLM's own objects"

#: The metadata entry of an offline memory plan, and the value that leaves a tensor unplanned.
_OFFLINE_PLAN = "OfflineMemoryAllocation"
_ONLINE = -1
#: What kept a copy of its output's shape for nine days.
_SHAPES_ONCE_COPIED = {
    "CONV_2D", "DEPTHWISE_CONV_2D", "RESHAPE", "EXPAND_DIMS", "SPACE_TO_BATCH_ND",
    "BATCH_TO_SPACE_ND",
}  # fmt: skip
#: Where the device finds out that a model does not run.
_NOTICED = [stage for stage in get_args(Stage) if stage not in UNNOTICED]


class Simulation(Struct, frozen=True):
    """What a model asks of TFLM. ``arena`` is ``None`` when it does not get as far as planning.

    ``unknown`` has a line for every operator whose cost is bounded, not known, ``risky`` one for
    every operator that goes wrong for some inputs. Where versions
    that the firmware may be built with may differ, ``arena`` is the largest and ``least`` the
    smallest of theirs, and a line of ``unknown`` says which is which.
    """

    arena: Arena | None
    layers: tuple[Layer, ...]
    refusals: tuple[Refusal, ...]
    unknown: tuple[str, ...]
    least: Arena | None = None
    risky: tuple[str, ...] = ()


def arena_key(firmware: Firmware) -> Hashable:
    """What of ``firmware`` ``simulate`` depends on: runtimes of several cores may share it."""
    runtime = firmware.runtime
    return (
        firmware.costs,
        firmware.placements.is_split,
        runtime.abi,
        runtime.kernels,
        runtime.tflm,
        runtime.graph,
        tuple((each.name, each.kernels, each.tflm) for each in releases_of(runtime)),
    )


def simulate(
    model: Model, firmware: Firmware | Runtime, *, trace: list[Event] | None = None
) -> Simulation:
    """Allocate ``model`` as TFLM does in ``firmware``.

    ``trace`` receives every allocator event, for comparison with a device: of the version that
    counts, where several are possible. Where the arena is split, the allocator has two buffers.
    """
    firmware = as_firmware(firmware)
    if is_open(firmware.runtime) and not firmware.runtime.one_of:
        return _of_any_state(model, firmware, trace)
    return _of_any_release(model, firmware, trace)


def _of_any_release(
    model: Model, firmware: Firmware, trace: list[Event] | None = None
) -> Simulation:
    """In the version that ``firmware`` has; of several releases of the kernels the largest."""
    split = firmware.placements.is_split
    possible = possible_firmwares(firmware)
    found: dict[str, Simulation] = {}
    done: set[Hashable] = set()
    for name, each in possible.items():
        but_release = _but_release(each.runtime)
        if but_release in done:
            continue  # this model asks for the same in all releases of the kernel library
        if firmware.runtime.one_of and is_open(each.runtime):
            found[name] = _of_any_state(model, each)
            continue
        interpreter = Interpreter(model, each, Memory(split=split))
        found[name] = interpreter.run()
        if not interpreter.depends_on_release:
            done.add(but_release)
    # What one of them refuses does not run on all of them.
    counted = max(
        found, key=lambda name: (bool(found[name].refusals), _required(found[name].arena))
    )
    if trace is not None:
        Interpreter(model, possible[counted], Memory(trace, split=split)).run()
    return _with_range(found, counted, firmware.runtime)


def _but_release(runtime: Runtime) -> Hashable:
    """What of a runtime an arena depends on but the release of its kernel library."""
    is_released = runtime.kernels.library == RELEASED
    return runtime.tflm, runtime.kernels.library if is_released else runtime.kernels


def _of_any_state(model: Model, firmware: Firmware, trace: list[Event] | None = None) -> Simulation:
    """In all states that a version may be in which nobody measured: the largest arena counts.

    Whether the model runs, and how, is that of the state of its date, or of the newest.
    """
    runtime = firmware.runtime
    likely = _of_any_release(model, replace(firmware, runtime=as_its_date_says(runtime)))
    if likely.arena is None:
        return likely
    found: list[tuple[Candidate, Simulation]] = []

    def needed(candidate: Candidate) -> int:
        it = _of_any_release(model, replace(firmware, runtime=candidate.runtime))
        found.append((candidate, it))
        return _required(it.arena) if _runs(it, likely) else 0

    walks = explore(runtime, [model], needed)
    running = [(each, it) for each, it in found if _runs(it, likely)]
    planned = [(each, it, it.arena) for each, it in running if it.arena is not None]
    if trace is not None:
        state, _, _ = max(planned, key=lambda each: each[2].required)
        _of_any_release(model, replace(firmware, runtime=state.runtime), trace)
    most = _most([arena for _, _, arena in planned])
    if most.split is None:  # what it uses is not said too low either
        _, _, fullest = max(planned, key=lambda each: each[2].used)
        most = replace(fullest, required=most.required, decided_by=most.decided_by)
    sizes = [(each.name, arena.required) for each, _, arena in planned]
    said = (_said_of_sizes(sizes), said_of(runtime, walks))
    return replace(
        likely,
        arena=most,
        least=min((it.least or arena for _, it, arena in planned), key=_required),
        unknown=(*likely.unknown, *said, *_said_of_outcomes(found, likely)),
    )


def _runs(simulation: Simulation, likely: Simulation) -> bool:
    """Whether the model runs in a state, as far as it does in the ``likely`` one."""
    allowed = {(each.stage, each.where) for each in likely.refusals}
    return all(
        each.stage in UNNOTICED or (each.stage, each.where) in allowed
        for each in simulation.refusals
    )


def _said_of_sizes(sizes: Sequence[tuple[str, int]]) -> str:
    """Which state is counted, and which needs least."""
    most, least = max(size for _, size in sizes), min(size for _, size in sizes)
    named = {size: name for name, size in reversed(sizes)}
    text = f"arena: counted for {named[most]}, {most:,} B"
    if least < most:
        text += f"; {named[least]} needs {least:,} B"
    return text


def _said_of_outcomes(
    found: Sequence[tuple[Candidate, Simulation]], likely: Simulation
) -> Iterator[str]:
    """The newest state in which the model does not run, and in which it computes wrongly."""
    known = {(each.stage, each.where) for each in likely.refusals}
    for does, stages in (
        ("does not run it", _NOTICED),
        ("computes it wrongly", UNNOTICED),
    ):
        others = (
            (state.name, each)
            for state, simulation in found
            for each in simulation.refusals
            if each.stage in stages and (each.stage, each.where) not in known
        )
        for name, refusal in islice(others, 1):
            where = f"{refusal.where}: " if refusal.where else ""
            yield f"{name} {does}: {where}{refusal.reason}"


def possible_firmwares(firmware: Firmware) -> dict[str, Firmware]:
    """What ``firmware`` may be in detail, as ``possible_runtimes`` says it of its runtime."""
    runtimes = possible_runtimes(firmware.runtime)
    return {name: replace(firmware, runtime=runtime) for name, runtime in runtimes.items()}


def simulate_multitenant(models: Iterable[Model], firmware: Firmware | Runtime) -> Arena | None:
    """One arena for several interpreters that share a MicroAllocator, set up in this order.

    What persists adds up, and the head is that of the largest plan. ``buffers`` and what
    belongs to them are of the model with that plan, ``recorded`` is of all. ``None`` when one
    of the models is refused before it is planned. Where several versions are possible, the
    largest of their arenas.
    """
    models, firmware = tuple(models), as_firmware(firmware)
    runtime = firmware.runtime
    if runtime.one_of or not is_open(runtime):
        return _of_one_allocator_of_any_release(models, firmware)
    likely = replace(firmware, runtime=as_its_date_says(runtime))
    if _of_one_allocator_of_any_release(models, likely) is None:
        return None
    arenas: list[Arena] = []

    def needed(candidate: Candidate) -> int:
        each = replace(firmware, runtime=candidate.runtime)
        arena = _of_one_allocator_of_any_release(models, each)
        arenas.extend([arena] if arena is not None else [])
        return _required(arena)

    explore(runtime, models, needed)
    return _most(arenas)


def _of_one_allocator_of_any_release(models: Sequence[Model], firmware: Firmware) -> Arena | None:
    arenas = [
        simulate_multitenant(models, each)
        if firmware.runtime.one_of and is_open(each.runtime)
        else _of_one_allocator(models, each)
        for each in possible_firmwares(firmware).values()
    ]
    found = [arena for arena in arenas if arena is not None]
    return _most(found) if len(found) == len(arenas) else None


def _of_one_allocator(models: Iterable[Model], firmware: Firmware) -> Arena | None:
    memory = Memory(split=firmware.placements.is_split)
    arenas: list[Arena] = []
    for model in models:
        first = not arenas
        arena = Interpreter(model, firmware, memory, creates_allocator=first).run().arena
        if arena is None:
            return None
        arenas.append(arena)
    largest = max(arenas, key=lambda arena: _plan_bytes(arena.buffers))
    return replace(
        arenas[-1],
        buffers=largest.buffers,
        peak_time=largest.peak_time,
        optimum_head=largest.optimum_head,
    )


def _required(arena: Arena | None) -> int:
    return arena.required if arena is not None else 0


def _with_range(found: Mapping[str, Simulation], counted: str, runtime: Runtime) -> Simulation:
    """The simulation that is ``counted`` among those ``found``, with how much less it may be."""
    most, kernels = found[counted], runtime.kernels
    if runtime.one_of and most.refusals and not all(each.refusals for each in found.values()):
        text = f"{counted} refuses it; what else the project may take does not"
        return replace(most, unknown=(*most.unknown, text))
    arenas = {name: each.arena for name, each in found.items() if each.arena is not None}
    if most.arena is None or len(arenas) < 2:
        return most
    sizes = {name: arena.required for name, arena in arenas.items()}
    closed = runtime.one_of and all(each.tflm.is_known for each in runtime.one_of)
    if closed and len(set(sizes.values())) == 1:
        return most  # whichever release it is
    least = min(sizes, key=lambda name: sizes[name])
    if runtime.one_of:  # too many to name all that ask for the same
        text = f"arena: of {runtime.name} the most is {sizes[counted]:,} B ({counted})"
        text += f", the least {sizes[least]:,} B ({least})"
    else:
        text = _said_of_range(sizes, counted, least, open_range(kernels))
    if open_range(kernels) and kernels.version.name:
        text += f"; {kernels.library} {kernels.version.name} is not known and may need more"
    counted_for = most.arena if most.arena.split is None else _most(list(arenas.values()))
    unknown = (*most.unknown, text)
    return replace(most, arena=counted_for, least=arenas[least], unknown=unknown)


def _said_of_range(sizes: Mapping[str, int], counted: str, least: str, among: str) -> str:
    """Which version is ``counted``, among which, and what the one that needs ``least`` does."""
    most, other = _named(sizes, sizes[counted]), _named(sizes, sizes[least])
    counted_bytes, least_bytes = f"{sizes[counted]:,} B", f"{sizes[least]:,} B"
    if sizes[least] == sizes[counted]:
        return f"arena: counted for {most}, {counted_bytes}; others may need more"
    if among and most.startswith(RELEASED):
        return f"arena: {most} asks for most of {among}, {counted_bytes}; {other} for {least_bytes}"
    return f"arena: counted for {most}, {counted_bytes}; {other} needs {least_bytes}"


def _most(arenas: Sequence[Arena]) -> Arena:
    """The arena that works for all versions; of split ones, both parts as large as in any."""
    largest = max(arenas, key=_required)
    splits = [arena.split for arena in arenas if arena.split is not None]
    if not splits:
        return largest
    split = SplitArena(
        max(each.persistent for each in splits), max(each.non_persistent for each in splits)
    )
    return replace(largest, required=split.persistent + split.non_persistent, split=split)


def _named(sizes: Mapping[str, int], size: int) -> str:
    """The versions that need ``size`` bytes: what they are of, said once.

    Runs of releases that follow each other are one (``"esp-nn 1.1.1 to 1.2.0"``).
    """
    spans: list[tuple[str, str, str]] = []
    follows = False
    for name, bytes_ in sizes.items():
        if bytes_ == size:
            text, library, releases = name.rpartition(f"{RELEASED} ")
            first, _, last = releases.partition(" to ")
            if follows and library and spans[-1][0] == text + library:
                spans[-1] = (text + library, spans[-1][1], last or first)
            else:
                spans.append((text + library, first, last))
        follows = bytes_ == size
    names = [text + " to ".join(filter(None, span)) for text, *span in spans]
    what = names[0].partition(" ")[0]
    return f"{what} {' or '.join(name.partition(' ')[2] for name in names)}"


class Interpreter:
    """MicroInterpreter and MicroAllocator of one model; methods follow their stages."""

    def __init__(
        self,
        model: Model,
        firmware: Firmware,
        memory: Memory,
        *,
        creates_allocator: bool = True,
    ) -> None:
        self.model = model
        self.firmware = firmware
        self.tflm = firmware.runtime.tflm
        self.abi = firmware.runtime.abi
        self.memory = memory
        self.creates_allocator = creates_allocator
        self.node = Node(model, firmware, self.memory)
        self.rules = rules()

    @property
    def depends_on_release(self) -> bool:
        """Whether another release of the kernel library would have asked for something else."""
        return self.node.depends_on_release

    def run(self) -> Simulation:
        self._resolve()
        self._check_tensors()
        self._check_open_shapes()
        offline = self._offline_plan()
        if self._stopped():
            return self._simulation()
        self.start()
        self._parse_and_initialize()
        self._prepare()
        self._check_variables()
        self.node.refusals.extend(misread(self.model, self.node.running))
        self._check_intermediates()
        if self._stopped():
            return self._simulation()
        return self._finish(offline)

    def _resolve(self) -> None:
        count = len(self.model.subgraphs)
        if count != 1 and not self.tflm.has("several subgraphs"):
            reason = f"it has {count} subgraphs, this version of TFLM takes one"
            self.node.refusals.append(Refusal("load", "", 0, -1, reason))
        for operator in self._operators():
            reason = why_unresolved(operator, self.firmware)
            if reason:
                self.node.note_refusal("resolve", reason)
            elif len(operator.custom_options) and not operator.is_custom:
                self.node.note_refusal("load", "a builtin operator must not carry custom options")

    def _check_tensors(self) -> None:
        untyped = self.tflm.version.untyped
        for graph in self.model.subgraphs:
            for tensor in graph.tensors:
                if tensor.external:
                    reason = "its data is stored outside the flatbuffer, where TFLM does not look"
                elif tensor.type not in ELEMENT_BYTES:
                    reason = f"TFLM has no memory for tensors of type {tensor.type}"
                elif tensor.type in untyped:
                    reason = f"this version of TFLM has no memory for tensors of type {tensor.type}"
                else:
                    continue
                self.node.refusals.append(_tensor_refusal(graph, tensor, reason))

    def _check_open_shapes(self) -> None:
        self.node.refusals += open_refusals(self.model)

    def _offline_plan(self) -> tuple[int, ...] | None:
        """The offsets of the model's own memory plan, one for each tensor of all subgraphs."""
        data = self.model.metadata.get(_OFFLINE_PLAN)
        if data is None:
            return None
        words = memoryview(bytes(data[: len(data) // 4 * 4])).cast("i").tolist()
        counts = [len(graph.tensors) for graph in self.model.subgraphs]
        tensors = sum(counts)
        version = self.tflm
        covered = {tensors} if version.has("subgraphs are planned together") else set(counts)
        if len(words) < 3 + max(covered) or set(words[2:3]) != covered:
            reason = f"its offline memory plan does not cover the {tensors} tensors of the model"
            self.node.refusals.append(Refusal("load", "", 0, -1, reason))
            return None
        if version.has("offline plans of several subgraphs"):
            return tuple(words[3 : 3 + tensors])
        return tuple(offset for count in counts for offset in words[3 : 3 + count])

    def start(self) -> None:
        """What happens before TFLM looks at the first operator."""
        self._construct()
        self._start_model_allocation()

    def _construct(self) -> None:
        """MicroAllocator::Create, and MicroResourceVariables::Create where it shares the arena."""
        if self.creates_allocator:
            self._create_allocator()
        variables = self._resource_variables()
        if self.tflm.variables_in_arena and variables:
            own, _ = self._array("MicroResourceVariables")
            slots, _ = self._array("MicroResourceVariable", len(variables))
            self._keep("slots of resource variables")
            self.memory.record("persistent_buffer", own, ALIGNMENT)
            self.memory.record("persistent_buffer", slots, ALIGNMENT)

    def _create_allocator(self) -> None:
        buffers, micro = "SingleArenaBufferAllocator", "MicroAllocator"
        if self.memory.split:  # which no recording allocator can be
            self._allocate("PersistentArenaBufferAllocator")
            buffers = "NonPersistentArenaBufferAllocator"
        elif self.tflm.recording_allocator:
            buffers, micro = "RecordingSingleArenaBufferAllocator", "RecordingMicroAllocator"
        self._keep(_OWN_OBJECTS)
        self._allocate(buffers)
        if self.tflm.has("the planner lies in the arena"):
            self._allocate("GreedyMemoryPlanner")
        self._allocate(micro)

    def _start_model_allocation(self) -> None:
        self._keep(_OWN_OBJECTS)
        several = self.tflm.has("several subgraphs")
        if several:
            self._allocate("MicroBuiltinDataAllocator")
        self._resize_scratch_requests()
        graphs = self.model.subgraphs
        if several:
            self._allocate("SubgraphAllocations", len(graphs))
        self._keep("tensor records")
        for graph in graphs:
            self.memory.record("eval_tensor", *self._array("TfLiteEvalTensor", len(graph.tensors)))
        self._keep("node and registration records")
        for graph in graphs:
            nodes = self._array("NodeAndRegistration", len(graph.operators))
            self.memory.record("node_and_registration", *nodes)

    def _parse_and_initialize(self) -> None:
        for operator in self._operators():
            self.parse(operator)
        for operator in self._operators():
            self.initialize(operator)

    def parse(self, operator: Operator) -> None:
        """Reserve an operator's builtin parameters; the node is at it."""
        rule = self._rule(operator)
        if rule is not None:
            self.node.parse(self.tflm.parameters(operator.name, rule.parameters))

    def initialize(self, operator: Operator) -> None:
        """Run an operator's Init; the node is at it."""
        rule = self._rule(operator)
        if rule is not None and rule.init is not None:
            self.node.run(rule.init, "operator data")

    def _prepare(self) -> None:
        version = self.tflm
        hidden = version.has("several subgraphs") and not version.has("Prepare's errors are told")
        for operator in self._operators():
            self.memory.stage = f"preparing {operator.name} #{operator.index}"
            before = len(self.node.refusals)
            self.prepare(operator)
            if hidden and self.node.hide_refusals(before):
                return
            self.check_prepared(operator, before)
            self.memory.reset_temporaries()
            self._resize_scratch_requests()

    def prepare(self, operator: Operator) -> None:
        """Run an operator's Prepare; the node is at it."""
        rule = self._rule(operator)
        if rule is None:
            self.node.run_unknown()
        elif rule.prepare is not None:
            self.node.run(rule.prepare, "buffers and tables")

    def check_prepared(self, operator: Operator, before: int) -> None:
        """What follows an operator's Prepare; there were ``before`` refusals ahead of it."""
        if operator.name in _SHAPES_ONCE_COPIED and self._copies_shapes():
            self.node.run(lambda node: node.copy_output_shape(0), "copies of shapes")
        self._check_outputs(operator)
        running = self.node.subgraph.index in self.node.running
        if self._rule(operator) and running and len(self.node.refusals) == before:
            self.node.check(check)
            if len(self.node.refusals) == before:
                self.node.check(check_cmsis_nn)

    def _copies_shapes(self) -> bool:
        """Whether it is a version of those nine days in January 2024."""
        return self.tflm.has("shapes are copied") and not self.tflm.has("shapes are copied no more")

    def _check_variables(self) -> None:
        for operator in self._operators():
            if self.node.subgraph.index in self.node.running and not operator.is_custom:
                self.node.check(check_variable)

    def _check_outputs(self, operator: Operator) -> None:
        """CheckDynamicTensors."""
        graph = self.node.subgraph
        for index in operator.outputs:
            tensor = graph.tensors[index]
            shape = self.node.shape(graph, tensor)
            least = 0 if self.tflm.has("empty outputs are refused") else -1
            if shape != (0,) and any(extent <= least for extent in shape):
                self.node.note_refusal(
                    "prepare", f"the shape {list(shape)} of its output '{tensor.name}' is dynamic"
                )

    def _check_intermediates(self) -> None:
        """ValidateSubgraph, and what the oldest versions' AddTensors refuses."""
        if not self.tflm.has("unread tensors are taken"):
            self._check_read()
        if not self.tflm.has("intermediate tensors are refused"):
            return
        for operator in self._operators():
            graph = self.node.subgraph
            for index in operator.intermediates:
                if index >= 0 and self.node.bytes(graph, graph.tensors[index]):
                    name = graph.tensors[index].name
                    self.node.note_refusal(
                        "prepare", f"its intermediate tensor '{name}' is not empty"
                    )

    def _check_read(self) -> None:
        for graph, spans in zip(self.model.subgraphs, self._lifetimes().tensors, strict=True):
            for tensor, span in zip(graph.tensors, spans, strict=True):
                if not tensor.is_constant and not tensor.is_variable and span.last == -1:
                    reason = "nothing reads it, which this version of TFLM refuses"
                    self.node.refusals.append(_tensor_refusal(graph, tensor, reason))

    def _finish(self, offline: tuple[int, ...] | None) -> Simulation:
        """FinishModelAllocation, then the interpreter's own input and output tensors."""
        self.memory.stage = "planning"
        spans = self._lifetimes()
        if self.tflm.has("subgraphs are planned together"):
            placed, live = self._plan_together(spans, offline)
        else:
            placed, live = self._plan_one_by_one(spans, offline)
        self._check_unread(placed)
        self.allocate_ends()
        return self._simulation(self._arena(placed, live), spans, live)

    def allocate_ends(self) -> None:
        """Reserve what the interpreter keeps of the model's inputs and outputs."""
        self._allocate_model_tensors(self.model.main.inputs)
        self._allocate_model_tensors(self.model.main.outputs)

    def _check_unread(self, placed: tuple[LiveBuffer, ...]) -> None:
        """Tensors of the main graph that nothing reads lay over others in older versions."""
        graph = self.model.main
        for buffer in placed:
            if buffer.kind != "tensor" or buffer.subgraph or buffer.first <= buffer.last:
                continue
            over = next((each for each in placed if _written_over(buffer, each)), None)
            if over is None:
                continue
            is_input = buffer.index in graph.inputs
            self.node.enter(graph, _first_with(graph, over.index if is_input else buffer.index))
            self.node.note_outdated(
                "unused inputs are planned" if is_input else "unused outputs are planned",
                f"nothing reads '{buffer.owner}', so that it lies over '{over.owner}', which is"
                " lost where it is written",
                instead="else remove it from the model",
            )

    def _plan_together(
        self, spans: Lifetimes, offline: tuple[int, ...] | None
    ) -> tuple[tuple[LiveBuffer, ...], list[int]]:
        self.prepare_planning(offline)
        buffers = [*self._tensor_buffers(spans, offline), *self._scratch_buffers(spans)]
        self.need_planner(len(buffers))
        placed, live = _place(buffers)
        self.memory.reset_temporaries()
        self.memory.resize_head(0, 1)
        self.memory.commit_plan(_plan_bytes(placed))
        return placed, live

    def prepare_planning(self, offline: tuple[int, ...] | None = None) -> None:
        """Reserve what TFLM needs before it asks the planner, in all subgraphs together."""
        once = self.tflm.has("scratch handles are allocated once")
        for _ in range(1 if once else len(self.model.subgraphs)):
            self._allocate_scratch_handles()
        pointer = self.abi.pointer_bytes
        self.memory.temporary(len(self.model.subgraphs) * pointer, pointer)
        self._allocate_allocation_info(self._tensor_count())
        for graph in self.model.subgraphs:
            self._allocate_variables(graph, offline)

    def _plan_one_by_one(
        self, spans: Lifetimes, offline: tuple[int, ...] | None
    ) -> tuple[tuple[LiveBuffer, ...], list[int]]:
        """As before March 2022; the buffers that are returned are those of the largest plan."""
        memory = self.memory
        tensors = list(self._tensor_buffers(spans, offline))
        scratch = list(self._scratch_buffers(spans))
        plans = []
        for graph in self.model.subgraphs:
            self._allocate_scratch_handles()
            self._allocate_allocation_info(len(graph.tensors))
            buffers = [item for item in tensors if item[1].subgraph == graph.index] + scratch
            self.need_planner(len(buffers))
            placed, live = _place(buffers)
            memory.reset_temporaries()
            # The plan has to fit behind the head, which still holds the scratch requests.
            memory.need(align_up(memory.head, ALIGNMENT) + _plan_bytes(placed), ALIGNMENT)
            memory.commit_plan(_plan_bytes(placed))
            self._allocate_variables(graph, offline)
            plans.append((placed, live))
        return max(plans, key=lambda plan: _plan_bytes(plan[0]))

    def _lifetimes(self) -> Lifetimes:
        owners = [(item.subgraph, item.operator) for item in self.node.scratch_requests]
        return lifetimes(self.model, owners, self.tflm.version)

    def _allocate_scratch_handles(self) -> None:
        self._keep("scratch handles")
        if self.node.scratch_requests:
            self._allocate("ScratchBufferHandle", len(self.node.scratch_requests))

    def _allocate_allocation_info(self, tensors: int) -> None:
        count = tensors + len(self.node.scratch_requests)
        self.memory.temporary(*self._array("AllocationInfo", count))

    def need_planner(self, buffers: int) -> None:
        """Need room for the planner's own records of so many buffers."""
        planned, _ = self._array("GreedyMemoryPlanner, a buffer", buffers)
        self.memory.need(align_up(self.memory.temp, ALIGNMENT) + planned, ALIGNMENT)

    def _allocate_variables(self, graph: Subgraph, offline: tuple[int, ...] | None) -> None:
        self._keep(VARIABLES)
        if not self.tflm.has("offline plans of variables"):
            offline = None
        for tensor in graph.tensors:
            # TFLM looks the tensor up by its number inside the subgraph, so in any
            # subgraph but the first this is another tensor's offset.
            if tensor.is_variable and (offline is None or offline[tensor.index] == _ONLINE):
                size = self.node.bytes(graph, tensor)
                self.memory.record("variable_buffer", size, ALIGNMENT)

    def _tensor_buffers(
        self, spans: Lifetimes, offline: tuple[int, ...] | None
    ) -> Iterator[tuple[Request, LiveBuffer]]:
        """What TFLM hands to its planner of all subgraphs' tensors."""
        offsets = iter(offline or [_ONLINE] * self._tensor_count())
        for graph in self.model.subgraphs:
            for tensor, span in zip(graph.tensors, spans.tensors[graph.index], strict=True):
                offset = next(offsets)
                if not self._is_planned(graph, tensor, offset):
                    continue
                size = align_up(self.node.bytes(graph, tensor), ALIGNMENT)
                place = None if offset == _ONLINE else offset
                yield (
                    Request(size, span.first, span.last, place),
                    LiveBuffer(
                        tensor.name, "tensor", size, 0,
                        span.first, span.last, graph.index, tensor.index,
                    ),
                )  # fmt: skip

    def _is_planned(self, graph: Subgraph, tensor: Tensor, offset: int) -> bool:
        version = self.tflm
        if tensor.is_variable:
            return offset != _ONLINE and version.has("offline plans of variables")
        if tensor.is_constant or (graph.index, tensor.index) in self.node.unplanned:
            return False
        return self.node.bytes(graph, tensor) > 0 or not version.has("empty tensors are unplanned")

    def _scratch_buffers(self, spans: Lifetimes) -> Iterator[tuple[Request, LiveBuffer]]:
        for item, span in zip(self.node.scratch_requests, spans.scratch, strict=True):
            name = self.model.subgraphs[item.subgraph].operators[item.operator].name
            if span.first == -1 and item.operator >= 0:
                reason = (
                    "TFLM plans a scratch buffer for it whose size nobody sets, because nothing"
                    f" calls subgraph {item.subgraph}: remove the subgraph, or call it"
                )
                self.node.refusals.append(
                    Refusal("undefined", name, item.subgraph, item.operator, reason)
                )
            request = Request(align_up(item.size_bytes, ALIGNMENT), span.first, span.last)
            yield (
                request,
                LiveBuffer(
                    f"scratch of {name} #{item.operator}", "scratch", request.size_bytes, 0,
                    span.first, span.last, item.subgraph, item.operator,
                ),
            )  # fmt: skip

    def _allocate_model_tensors(self, indices: tuple[int, ...]) -> None:
        self._keep("records of inputs and outputs")
        size = self.abi.pointer_bytes * len(indices)
        self.memory.record("persistent_buffer", size, ALIGNMENT)
        for index in indices:
            self.memory.record("persistent_tensor", *self._array("TfLiteTensor"))
            quantization = self.model.main.tensors[index].quantization
            if quantization.is_affine:
                zero_points = 4 + 4 * len(quantization.scales)
                self.memory.record(
                    "persistent_tensor_quant", *self._array("TfLiteAffineQuantization")
                )
                self.memory.record("persistent_tensor_quant", zero_points, 4)

    # Helpers of several stages.

    def _operators(self) -> Iterator[Operator]:
        """Every operator in file order; the node is at it while it is handed out."""
        for graph in self.model.subgraphs:
            for operator in graph.operators:
                self.node.enter(graph, operator)
                yield operator

    def _rule(self, operator: Operator) -> OperatorRule | None:
        if (operator.name, operator.is_custom) in registrations():
            return self.rules.get(operator.name)
        return None

    def _stopped(self) -> bool:
        """Whether the device would not get past AllocateTensors."""
        unstopped = ("invoke", *UNNOTICED)
        return any(refusal.stage not in unstopped for refusal in self.node.refusals)

    def _resize_scratch_requests(self) -> None:
        count = len(self.node.scratch_requests) + SCRATCH_REQUESTS_PER_OPERATOR
        self.memory.resize_head(*self._array("ScratchBufferRequest", count))

    def _resource_variables(self) -> set[str]:
        return {
            str(operator.options["shared_name"])
            for graph in self.model.subgraphs
            for operator in graph.operators
            if operator.name == "VAR_HANDLE" and not operator.is_custom
        }

    def _tensor_count(self) -> int:
        return sum(len(graph.tensors) for graph in self.model.subgraphs)

    def _keep(self, cause: str) -> None:
        """What follows is kept for ``cause``, and for no operator."""
        self.memory.cause = ("", cause)

    def _array(self, struct: str, count: int = 1) -> tuple[int, int]:
        """Size and alignment of an array of TFLM's structs of this name."""
        layout = self.tflm.struct(struct)
        return self.abi.size_of(layout) * count, self.abi.align_of(layout)

    def _allocate(self, struct: str, count: int = 1) -> None:
        self.memory.persistent(*self._array(struct, count))

    # Results.

    def _simulation(
        self,
        arena: Arena | None = None,
        spans: Lifetimes | None = None,
        live: Sequence[int] = (),
    ) -> Simulation:
        return Simulation(
            arena=arena,
            layers=tuple(_layers(self.node, spans, live)),
            refusals=tuple(self.node.refusals),
            unknown=tuple(self.node.unknown),
            risky=tuple(self.node.risky),
        )

    def _arena(self, placed: tuple[LiveBuffer, ...], live: Sequence[int]) -> Arena:
        memory = self.memory
        used = memory.head + memory.tail
        needed, split = align_up(memory.needed, ALIGNMENT), None
        decides = align_up(memory.head if memory.split else used, ALIGNMENT)
        required = needed
        if memory.split:
            split = SplitArena(align_up(memory.tail, ALIGNMENT), needed)
            required = split.persistent + split.non_persistent
        return Arena(
            required=required,
            used=used,
            head=memory.head,
            tail=memory.tail,
            decided_by="used" if needed == decides else memory.decided_by,
            recorded=memory.recorded,
            buffers=placed,
            peak_time=_peak_time(memory.head, placed, live),
            # Buffers of a plan of the model's own may share bytes, which are live twice then.
            optimum_head=min(max(live), memory.head),
            persistent=_persistent(memory.kept),
            split=split,
        )


def _persistent(kept: Mapping[tuple[str, str], int]) -> tuple[Persistent, ...]:
    shares = [Persistent(*key, size) for key, size in kept.items() if size]
    return tuple(sorted(shares, key=lambda each: (-each.bytes, each.operator, each.cause)))


def _plan_bytes(placed: Sequence[LiveBuffer]) -> int:
    return max((buffer.offset + buffer.bytes for buffer in placed), default=0)


def open_refusals(model: Model) -> list[Refusal]:
    """What TFLM would run at another shape than is meant, because it cannot resize tensors."""
    return [
        Refusal("resize", each.operator.name, each.subgraph, each.operator.index, each.reason)
        if each.operator
        else Refusal("resize", "", each.subgraph, -1, each.reason)
        for each in openness(model).problems
    ]


def _written_over(unread: LiveBuffer, other: LiveBuffer) -> bool:
    """Whether writing ``unread`` destroys what ``other`` holds then."""
    apart = (
        other.offset >= unread.offset + unread.bytes or unread.offset >= other.offset + other.bytes
    )
    return not apart and other is not unread and other.first <= unread.first <= other.last


def _first_with(graph: Subgraph, tensor: int) -> Operator:
    """The first operator that reads or writes a tensor, else the first of all."""
    return next(
        (each for each in graph.operators if tensor in (*each.inputs, *each.outputs)),
        graph.operators[0],
    )


def _tensor_refusal(graph: Subgraph, tensor: Tensor, reason: str) -> Refusal:
    """Names the first operator that the tensor belongs to."""
    reason = f"tensor '{tensor.name}': {reason}"
    for operator in graph.operators:
        if tensor.index in operator.inputs or tensor.index in operator.outputs:
            return Refusal("load", operator.name, graph.index, operator.index, reason)
    return Refusal("load", "", graph.index, -1, reason)


def _place(
    buffers: Sequence[tuple[Request, LiveBuffer]],
) -> tuple[tuple[LiveBuffer, ...], list[int]]:
    """The buffers at their offsets, and the bytes alive at every time."""
    requests = [request for request, _ in buffers]
    placed = tuple(
        replace(buffer, offset=offset)
        for offset, (_, buffer) in zip(plan(requests), buffers, strict=True)
    )
    return placed, live_bytes(requests)


def _peak_time(head: int, placed: Sequence[LiveBuffer], live: Sequence[int]) -> int:
    """The fullest moment among those in which a buffer reaches the end of the head."""
    moments = {
        time
        for buffer in placed
        if buffer.offset + buffer.bytes == head
        for time in range(buffer.first, buffer.last + 1)
    }
    return max(moments, key=lambda time: (live[time + 1], -time), default=0)


def _layers(node: Node, spans: Lifetimes | None, live: Sequence[int]) -> Iterator[Layer]:
    """One entry an operator; constants count for the first operator that reads them."""
    scratch: dict[tuple[int, int], int] = {}
    for request in node.scratch_requests:
        owner = (request.subgraph, request.operator)
        scratch[owner] = scratch.get(owner, 0) + request.size_bytes
    counted: set[int] = set()
    for graph in node.model.subgraphs:
        for operator in graph.operators:
            key = (graph.index, operator.index)
            inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
            outputs = [graph.tensors[index] for index in operator.outputs]
            weights = {tensor.buffer: len(tensor.data) for tensor in inputs if tensor.is_constant}
            span = spans.operators[graph.index][operator.index] if spans else None
            yield Layer(
                subgraph=graph.index,
                index=operator.index,
                operator=operator.name,
                name=outputs[0].name if outputs else "",
                output_type=outputs[0].type if outputs else "",
                output_shape=node.shape(graph, outputs[0]) if outputs else (),
                weights_bytes=sum(
                    size for buffer, size in weights.items() if buffer not in counted
                ),
                activation_bytes=sum(node.bytes(graph, tensor) for tensor in outputs),
                scratch_bytes=scratch.get(key, 0),
                persistent_bytes=node.persistent_bytes.get(key, 0),
                live_bytes=max(live[span.first + 1 : span.last + 2], default=0) if span else 0,
                first=span.first if span else -1,
                last=span.last if span else -1,
            )
            counted.update(weights)
