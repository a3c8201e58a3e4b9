"""Replays TFLM's allocator and interpreter on a model: the arena to the byte, without a device.

Every request that ``MicroInterpreter`` makes until ``AllocateTensors`` returns is made here in
the same order with the same size and alignment; what the kernels ask for comes from the
operator rules. The smallest arena is the most that is needed at any moment of it.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace
from typing import Literal
from typing import NoReturn

from pytest_tinybudget.footprint.abi import align_up
from pytest_tinybudget.footprint.lifetime import Lifetimes
from pytest_tinybudget.footprint.lifetime import lifetimes
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import live_bytes
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import OperatorCost
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.runtime import Runtime
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


#: An allocator event, in the letters of TFLM traces: (kind, size, alignment, bytes used after).
Event = tuple[str, int, int, int]
Category = Literal[
    "eval_tensor",
    "persistent_tensor",
    "persistent_tensor_quant",
    "persistent_buffer",
    "variable_buffer",
    "node_and_registration",
    "op_data",
]

#: MicroArenaBufferAlignment.
ALIGNMENT = 16
#: kMaxScratchBuffersPerOp.
SCRATCH_REQUESTS_PER_OPERATOR = 12
#: What GreedyMemoryPlanner keeps for each buffer: all 32-bit integers, on every target.
PLANNER_BYTES_PER_BUFFER = 40

# C layouts of TFLM's own structs (``Abi.size_of``).
_SINGLE_ARENA_BUFFER_ALLOCATOR = "7p p i"
_GREEDY_MEMORY_PLANNER = "p 2i 4p 2i p b"
_MICRO_ALLOCATOR = "5p b 3p"
_BUILTIN_DATA_ALLOCATOR = "2p"
_SUBGRAPH_ALLOCATIONS = "2p"
_SUBGRAPH_ALLOCATIONS_WITH_COMPRESSION = "3p"
_EVAL_TENSOR = "2p e"
_NODE_AND_REGISTRATION = "(6p i) p"
_TENSOR = "(ep) (2i) 3p 2e b"
_AFFINE_QUANTIZATION = "2p i"
_SCRATCH_REQUEST = "p 2i"
_SCRATCH_HANDLE = "p"
_ALLOCATION_INFO = "2p 3i b"
_RESOURCE_VARIABLES = "p 2i"
_RESOURCE_VARIABLE = "4p b"
# RecordingMicroAllocator's, which profiling builds (and the PyPI package) use instead.
_RECORDING_SINGLE_ARENA_BUFFER_ALLOCATOR = "(7p p i) 4p"
_RECORDING_MICRO_ALLOCATOR = "(5p b 3p) p 21p"
_RECORDING_MICRO_ALLOCATOR_WITH_COMPRESSION = "(5p b 3p) p 24p"

#: Bytes of one element in the arena (TfLiteTypeSizeOf; int4 activations are not packed).
_ELEMENT_BYTES = {
    "FLOAT16": 2, "BFLOAT16": 2, "FLOAT32": 4, "FLOAT64": 8, "INT16": 2, "UINT16": 2, "INT32": 4,
    "UINT32": 4, "UINT8": 1, "INT8": 1, "INT64": 8, "UINT64": 8, "BOOL": 1, "RESOURCE": 4,
    "COMPLEX64": 8, "COMPLEX128": 16, "INT4": 1,
}  # fmt: skip
#: The metadata entry of an offline memory plan, and the value that leaves a tensor unplanned.
_OFFLINE_PLAN = "OfflineMemoryAllocation"
_ONLINE = -1


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a model asks of TFLM. ``arena`` is ``None`` when it does not get as far as planning.

    ``unknown`` has a line for every operator whose cost is bounded or declared, not known.
    """

    arena: Arena | None
    layers: tuple[Layer, ...]
    refusals: tuple[Refusal, ...]
    unknown: tuple[str, ...]


def simulate(
    model: Model,
    runtime: Runtime,
    costs: Mapping[str, OperatorCost] | None = None,
    *,
    trace: list[Event] | None = None,
) -> Simulation:
    """Allocate ``model`` as TFLM does on ``runtime``.

    ``costs`` states what operators without a rule take. ``trace`` receives every allocator
    event, for comparison with a device.
    """
    return _Interpreter(model, runtime, costs or {}, trace).run()


class _Refused(Exception):
    """An operator's Prepare returns an error."""


class _Memory:
    """SingleArenaBufferAllocator without an end: notes the most that is needed at any time.

    ``head`` is reserved from the front, temporaries lie behind it, ``tail`` grows from the end.
    TFLM lets the tail grow into temporaries unchecked. That does no harm as far as these are
    not read again (``spare``), and the device works; one byte further it may crash.
    """

    def __init__(self, trace: list[Event] | None) -> None:
        self.head = self.temp = self.tail = self.needed = 0
        self.stage = self.decided_by = ""
        self._spare = 0
        self._trace = trace

    def persistent(self, size: int, alignment: int) -> int:
        """Reserve from the end; returns the bytes the tail has grown by."""
        before = self.tail
        self.tail = align_up(before + size, alignment)
        self.need(self.temp - self._spare + self.tail)
        self._note("P", size, alignment, self.tail)
        return self.tail - before

    def temporary(self, size: int, alignment: int, spare: int = 0) -> None:
        """Reserve behind the head; the last ``spare`` bytes up to its end are not read again."""
        start = align_up(self.temp, alignment)
        self.temp = start + size
        self._spare = spare
        self.need(self.temp + self.tail)
        self._note("T", size, alignment, start)

    def reset_temporaries(self) -> None:
        self.temp = self.head
        self._spare = 0
        self._note("X", 0, 1, self.head)

    def resize_head(self, size: int, alignment: int) -> None:
        self.head = self.temp = size
        self.need(self.head + self.tail)
        self._note("R", size, alignment, size)

    def need(self, size: int) -> None:
        """The arena must hold ``size`` bytes in all at this moment."""
        if size > self.needed:
            self.needed, self.decided_by = size, self.stage

    def _note(self, kind: str, size: int, alignment: int, position: int) -> None:
        if self._trace is not None:
            self._trace.append((kind, size, alignment, position))


class _Interpreter:
    """MicroInterpreter and MicroAllocator of one model; also every operator's ``Preparation``."""

    def __init__(
        self,
        model: Model,
        runtime: Runtime,
        costs: Mapping[str, OperatorCost],
        trace: list[Event] | None,
    ) -> None:
        self.model = model
        self.abi = runtime.abi
        self.kernels = runtime.kernels
        self.subgraph: Subgraph = model.main
        self.operator: Operator = model.main.operators[0]
        self.handles: dict[tuple[int, int], tuple[str, str]] = {}
        self.allocated_variables: set[tuple[str, str]] = set()
        self._runtime = runtime
        self._costs = costs
        self._memory = _Memory(trace)
        self._rules = rules()
        self._recorded: dict[str, int] = dict.fromkeys(Category.__args__, 0)
        self._refusals: list[Refusal] = []
        self._unknown: list[str] = []
        self._scratch_owners: list[tuple[int, int]] = []
        self._scratch_bytes: list[int] = []
        self._unplanned: set[tuple[int, int]] = set()
        self._shapes: dict[tuple[int, int], tuple[int, ...]] = {}
        self._operator_bytes: dict[tuple[int, int], int] = {}
        size, align = self.abi.size_of, self.abi.align_of
        self._pointer = self.abi.pointer_bytes
        self._tensor = size(_TENSOR), align(_TENSOR)
        self._affine = size(_AFFINE_QUANTIZATION), align(_AFFINE_QUANTIZATION)
        self._scratch_request = size(_SCRATCH_REQUEST), align(_SCRATCH_REQUEST)

    def run(self) -> Simulation:
        self._resolve()
        self._check_tensors()
        if self._refusals:
            return self._refused()
        self._construct()
        self._start_model_allocation()
        self._parse_and_initialise()
        self._prepare()
        if any(refusal.stage != "invoke" for refusal in self._refusals):
            return self._refused()
        return self._finish()

    # What fails before the first allocation that matters.

    def _resolve(self) -> None:
        for _, operator in self._operators():
            if operator.name == "ethos-u" and operator.is_custom:
                self._note_refusal(
                    "resolve",
                    "compiled for an Ethos-U NPU, whose kernel this runtime does not register",
                )
            elif (operator.name, operator.is_custom) not in registrations():
                if not operator.is_custom:
                    self._note_refusal("resolve", "TFLM has no registration for this operator")
            elif not operator.is_custom and len(operator.custom_options):
                self._note_refusal("load", "a builtin operator must not carry custom options")

    def _check_tensors(self) -> None:
        for graph in self.model.subgraphs:
            for tensor in graph.tensors:
                if tensor.external:
                    self._note_tensor_refusal(
                        graph, tensor, "its data is stored outside the flatbuffer, where TFLM does not look"
                    )
                elif tensor.type not in _ELEMENT_BYTES:
                    self._note_tensor_refusal(
                        graph, tensor, f"TFLM has no memory for tensors of type {tensor.type}"
                    )

    # The stages of MicroInterpreter, in their order.

    def _construct(self) -> None:
        self._memory.stage = "used"
        single_arena, micro = _SINGLE_ARENA_BUFFER_ALLOCATOR, _MICRO_ALLOCATOR
        if self._runtime.recording_allocator:
            single_arena, micro = (
                _RECORDING_SINGLE_ARENA_BUFFER_ALLOCATOR,
                _RECORDING_MICRO_ALLOCATOR_WITH_COMPRESSION
                if self.kernels.compression
                else _RECORDING_MICRO_ALLOCATOR,
            )
        for layout in (single_arena, _GREEDY_MEMORY_PLANNER, micro):
            self._allocate(layout)
        slots = self._resource_slots()
        if slots:
            self._record("persistent_buffer", self.abi.size_of(_RESOURCE_VARIABLES), ALIGNMENT)
            self._record(
                "persistent_buffer", slots * self.abi.size_of(_RESOURCE_VARIABLE), ALIGNMENT
            )

    def _start_model_allocation(self) -> None:
        self._allocate(_BUILTIN_DATA_ALLOCATOR)
        self._resize_scratch_requests()
        graphs = self.model.subgraphs
        self._allocate(
            _SUBGRAPH_ALLOCATIONS_WITH_COMPRESSION
            if self.kernels.compression
            else _SUBGRAPH_ALLOCATIONS,
            len(graphs),
        )
        for graph in graphs:
            self._record("eval_tensor", *self._array(_EVAL_TENSOR, len(graph.tensors)))
        for graph in graphs:
            self._record(
                "node_and_registration", *self._array(_NODE_AND_REGISTRATION, len(graph.operators))
            )

    def _parse_and_initialise(self) -> None:
        for _, operator in self._operators():
            layout = self._runtime.parameters.get(operator.name) or self._rule(operator).parameters
            if layout:
                with self._charged_to_operator():
                    self._allocate(layout)
        for _, operator in self._operators():
            init = self._rule(operator).init
            if init is not None:
                self._call(init)

    def _prepare(self) -> None:
        for graph, operator in self._operators():
            self._memory.stage = f"preparing {operator.name} #{operator.index}"
            prepare = self._rule(operator).prepare
            if prepare is not None:
                self._call(prepare)
            self._check_outputs(graph, operator)
            self._memory.reset_temporaries()
            self._resize_scratch_requests()

    def _finish(self) -> Simulation:
        memory = self._memory
        memory.stage = "planning"
        scratch_count = len(self._scratch_bytes)
        if scratch_count:
            self._allocate(_SCRATCH_HANDLE, scratch_count)
        spans = lifetimes(self.model, self._scratch_owners)
        offline = self._offline_plan()
        tensors = sum(len(graph.tensors) for graph in self.model.subgraphs)
        memory.temporary(len(self.model.subgraphs) * self._pointer, self._pointer)
        memory.temporary(*self._array(_ALLOCATION_INFO, tensors + scratch_count))
        self._allocate_variables(offline)
        buffers = self._buffers(spans, offline)
        if any(refusal.stage != "invoke" for refusal in self._refusals):
            return self._refused()
        memory.need(
            align_up(memory.tail, ALIGNMENT)
            + align_up(memory.temp, ALIGNMENT)
            + PLANNER_BYTES_PER_BUFFER * len(buffers)
        )
        requests = [request for request, _ in buffers]
        offsets = plan(requests)
        head = max(
            (offset + item.size_bytes for offset, item in zip(offsets, requests, strict=True)),
            default=0,
        )
        memory.reset_temporaries()
        memory.resize_head(0, 1)
        memory.resize_head(head, ALIGNMENT)
        memory.stage = "used"
        self._allocate_model_tensors(self.model.main.inputs)
        self._allocate_model_tensors(self.model.main.outputs)
        placed = tuple(
            replace(buffer, offset=offset)
            for offset, (_, buffer) in zip(offsets, buffers, strict=True)
        )
        live = live_bytes(requests)
        return Simulation(
            arena=self._arena(head, placed, live),
            layers=self._layers(spans, live),
            refusals=tuple(self._refusals),
            unknown=tuple(self._unknown),
        )

    # Parts of the stages.

    def _resize_scratch_requests(self) -> None:
        size, alignment = self._scratch_request
        count = len(self._scratch_bytes) + SCRATCH_REQUESTS_PER_OPERATOR
        self._memory.resize_head(size * count, alignment)

    def _check_outputs(self, graph: Subgraph, operator: Operator) -> None:
        for index in operator.outputs:
            shape = self._shape(graph, graph.tensors[index])
            if shape != (0,) and any(extent <= 0 for extent in shape):
                self._note_refusal(
                    "prepare",
                    f"the shape {list(shape)} of its output '{graph.tensors[index].name}' is dynamic",
                )

    def _offline_plan(self) -> tuple[int, ...] | None:
        """The offsets of the model's own memory plan, one for each tensor of all subgraphs."""
        data = self.model.metadata.get(_OFFLINE_PLAN)
        if data is None:
            return None
        words = memoryview(bytes(data[: len(data) // 4 * 4])).cast("i").tolist()
        tensors = sum(len(graph.tensors) for graph in self.model.subgraphs)
        if len(words) < 3 + tensors or words[2] != tensors:
            self._refusals.append(
                Refusal(
                    "load", "", 0, -1,
                    f"its offline memory plan does not cover the {tensors} tensors of the model",
                )
            )  # fmt: skip
            return None
        return tuple(words[3 : 3 + tensors])

    def _allocate_variables(self, offline: tuple[int, ...] | None) -> None:
        for graph in self.model.subgraphs:
            for tensor in graph.tensors:
                # TFLM looks the tensor up by its number inside the subgraph, so in any
                # subgraph but the first this is another tensor's offset.
                if tensor.is_variable and (offline is None or offline[tensor.index] == _ONLINE):
                    self._record("variable_buffer", self._bytes(graph, tensor), ALIGNMENT)

    def _buffers(
        self, spans: Lifetimes, offline: tuple[int, ...] | None
    ) -> list[tuple[Request, LiveBuffer]]:
        """What TFLM hands to its planner, in its order: all tensors, then all scratch buffers."""
        found = []
        number = -1
        for graph in self.model.subgraphs:
            self._check_intermediates(graph)
            for tensor in graph.tensors:
                number += 1
                place = None if offline is None or offline[number] == _ONLINE else offline[number]
                size = self._bytes(graph, tensor)
                planned = (
                    not tensor.is_constant
                    and not tensor.is_variable
                    and size != 0
                    and (graph.index, tensor.index) not in self._unplanned
                )
                if not planned and not (tensor.is_variable and place is not None):
                    continue
                span = spans.tensors[graph.index][tensor.index]
                request = Request(align_up(size, ALIGNMENT), span.first, span.last, place)
                found.append((request, _live(request, tensor.name, "tensor", graph.index, tensor.index)))
        for owner, size, span in zip(
            self._scratch_owners, self._scratch_bytes, spans.scratch, strict=True
        ):
            request = Request(align_up(size, ALIGNMENT), span.first, span.last)
            name = self.model.subgraphs[owner[0]].operators[owner[1]].name
            found.append((request, _live(request, f"scratch of {name} #{owner[1]}", "scratch", *owner)))
        return found

    def _check_intermediates(self, graph: Subgraph) -> None:
        for operator in graph.operators:
            for index in operator.intermediates:
                if index >= 0 and self._bytes(graph, graph.tensors[index]):
                    self.subgraph, self.operator = graph, operator
                    self._note_refusal(
                        "prepare", f"its intermediate tensor '{graph.tensors[index].name}' is not empty"
                    )

    def _allocate_model_tensors(self, indices: tuple[int, ...]) -> None:
        self._record("persistent_buffer", self._pointer * len(indices), ALIGNMENT)
        for index in indices:
            self._record("persistent_tensor", *self._tensor)
            quantization = self.model.main.tensors[index].quantization
            if quantization.is_affine:
                self._record("persistent_tensor_quant", *self._affine)
                self._record(
                    "persistent_tensor_quant", 4 + 4 * len(quantization.scales), 4
                )

    def _resource_slots(self) -> int:
        """Slots for resource variables inside this arena (0: they have an arena of their own)."""
        if not self._runtime.variables_in_arena:
            return 0
        return len(
            {
                (operator.options["container"], operator.options["shared_name"])
                for graph in self.model.subgraphs
                for operator in graph.operators
                if operator.name == "VAR_HANDLE" and not operator.is_custom
            }
        )

    # Requests.

    def _array(self, layout: str, count: int) -> tuple[int, int]:
        return self.abi.size_of(layout) * count, self.abi.align_of(layout)

    def _allocate(self, layout: str, count: int = 1) -> None:
        self._memory.persistent(*self._array(layout, count))

    def _record(self, category: Category, size: int, alignment: int) -> None:
        self._recorded[category] += self._memory.persistent(size, alignment)

    def _temporary_tensor(self, tensor: Tensor) -> Tensor:
        self._memory.temporary(*self._tensor)
        if tensor.quantization.is_affine:
            self._memory.temporary(*self._affine)
            # Kernels take zero points from the TfLiteTensor itself, never from this array,
            # and do not look at the axis in front of it once they have made their requests.
            zero_points = 4 + 4 * len(tensor.quantization.scales)
            axis = self._affine[0] - 2 * self._pointer
            self._memory.temporary(zero_points, 4, spare=zero_points + axis)
        return tensor

    # Operators.

    def _operators(self) -> Iterator[tuple[Subgraph, Operator]]:
        """Every operator in file order; each is the current one while it is handed out."""
        for graph in self.model.subgraphs:
            self.subgraph = graph
            for operator in graph.operators:
                self.operator = operator
                yield graph, operator

    def _rule(self, operator: Operator) -> OperatorRule:
        if (operator.name, operator.is_custom) in registrations():
            rule = self._rules.get(operator.name)
            if rule is not None:
                return rule
        return OperatorRule(prepare=_unknown_operator)

    def _call(self, step: Callable[[_Interpreter], None]) -> None:
        with self._charged_to_operator():
            try:
                step(self)
            except _Refused as refused:
                self._note_refusal("prepare", str(refused))

    @contextmanager
    def _charged_to_operator(self) -> Iterator[None]:
        before = self._memory.tail
        yield
        key = (self.subgraph.index, self.operator.index)
        self._operator_bytes[key] = self._operator_bytes.get(key, 0) + self._memory.tail - before

    def _note_refusal(
        self, stage: Literal["load", "resolve", "prepare", "invoke"], reason: str
    ) -> None:
        self._refusals.append(
            Refusal(stage, self.operator.name, self.subgraph.index, self.operator.index, reason)
        )

    def _note_tensor_refusal(self, graph: Subgraph, tensor: Tensor, reason: str) -> None:
        user = next(
            (
                operator
                for operator in graph.operators
                if tensor.index in operator.inputs or tensor.index in operator.outputs
            ),
            None,
        )
        self._refusals.append(
            Refusal(
                "load", user.name if user else "", graph.index, user.index if user else -1,
                f"tensor '{tensor.name}': {reason}",
            )
        )  # fmt: skip

    def _shape(self, graph: Subgraph, tensor: Tensor) -> tuple[int, ...]:
        return self._shapes.get((graph.index, tensor.index), tensor.shape)

    def _bytes(self, graph: Subgraph, tensor: Tensor) -> int:
        elements = 1
        for extent in self._shape(graph, tensor):
            elements *= extent
        return elements * _ELEMENT_BYTES[tensor.type]

    # The Preparation protocol: what operator rules may ask for.

    def has_input(self, position: int) -> bool:
        inputs = self.operator.inputs
        return 0 <= position < len(inputs) and inputs[position] >= 0

    def input(self, position: int) -> Tensor:
        return self._get(self.operator.inputs, position, "input")

    def optional_input(self, position: int) -> Tensor | None:
        return self.input(position) if self.has_input(position) else None

    def output(self, position: int) -> Tensor:
        return self._get(self.operator.outputs, position, "output")

    def temp_input(self, position: int) -> Tensor:
        return self._temporary_tensor(self.input(position))

    def temp_optional_input(self, position: int) -> Tensor | None:
        return self.temp_input(position) if self.has_input(position) else None

    def temp_output(self, position: int) -> Tensor:
        return self._temporary_tensor(self.output(position))

    def temp_intermediate(self, position: int) -> Tensor:
        return self._temporary_tensor(
            self._get(self.operator.intermediates, position, "intermediate tensor")
        )

    def persistent(self, size_bytes: int) -> None:
        self._record("persistent_buffer", size_bytes, ALIGNMENT)

    def scratch(self, size_bytes: int) -> None:
        owner = (self.subgraph.index, self.operator.index)
        if self._scratch_owners[-SCRATCH_REQUESTS_PER_OPERATOR:].count(owner) == (
            SCRATCH_REQUESTS_PER_OPERATOR
        ):
            self.refuse(f"it requests more than {SCRATCH_REQUESTS_PER_OPERATOR} scratch buffers")
        self._scratch_owners.append(owner)
        self._scratch_bytes.append(size_bytes)

    def copy_output_shape(self, position: int) -> None:
        self.persistent(4 + 4 * len(self.output(position).shape))

    def set_output_shape(self, position: int, shape: tuple[int, ...]) -> None:
        self._shapes[self.subgraph.index, self.operator.outputs[position]] = shape

    def leave_unplanned(self, position: int) -> None:
        self._unplanned.add((self.subgraph.index, self.operator.outputs[position]))

    def refuse(self, reason: str) -> NoReturn:
        raise _Refused(reason)

    def ensure(self, condition: bool, reason: str) -> None:
        if not condition:
            self.refuse(reason)

    def fails_at_invoke(self, reason: str) -> None:
        self._note_refusal("invoke", reason)

    def bounded(self, reason: str) -> None:
        self._unknown.append(f"{self.operator.name} #{self.operator.index}: {reason}")

    def declared_cost(self) -> OperatorCost | None:
        """What the declaration states for the current operator."""
        return self._costs.get(self.operator.name)

    def _get(self, indices: tuple[int, ...], position: int, role: str) -> Tensor:
        if position >= len(indices) or indices[position] < 0:
            self.refuse(f"its {role} {position} is missing")
        tensor = self.subgraph.tensors[indices[position]]
        shape = self._shapes.get((self.subgraph.index, tensor.index))
        return tensor if shape is None else replace(tensor, shape=shape)

    # Results.

    def _refused(self) -> Simulation:
        return Simulation(None, self._layers(None, []), tuple(self._refusals), tuple(self._unknown))

    def _arena(self, head: int, placed: tuple[LiveBuffer, ...], live: list[int]) -> Arena:
        memory = self._memory
        used = head + memory.tail
        required = align_up(memory.needed, ALIGNMENT)
        return Arena(
            required=required,
            used=used,
            head=head,
            tail=memory.tail,
            decided_by="used" if required == align_up(used, ALIGNMENT) else memory.decided_by,
            recorded=dict(self._recorded),
            buffers=placed,
            peak_time=_peak_time(head, placed, live),
            optimum_head=max(live, default=0),
        )

    def _layers(self, spans: Lifetimes | None, live: list[int]) -> tuple[Layer, ...]:
        """One entry an operator; constants count for the first operator that reads them."""
        scratch: dict[tuple[int, int], int] = {}
        for owner, size in zip(self._scratch_owners, self._scratch_bytes, strict=True):
            scratch[owner] = scratch.get(owner, 0) + size
        counted: set[int] = set()
        layers = []
        for graph, operator in self._operators():
            key = (graph.index, operator.index)
            weights = 0
            for index in operator.inputs:
                tensor = graph.tensors[index]
                if index >= 0 and tensor.is_constant and tensor.buffer not in counted:
                    counted.add(tensor.buffer)
                    weights += len(tensor.data)
            outputs = [graph.tensors[index] for index in operator.outputs]
            span = spans.operators[graph.index][operator.index] if spans else None
            layers.append(
                Layer(
                    subgraph=graph.index,
                    index=operator.index,
                    operator=operator.name,
                    name=outputs[0].name if outputs else "",
                    output_type=outputs[0].type if outputs else "",
                    output_shape=self._shape(graph, outputs[0]) if outputs else (),
                    weights_bytes=weights,
                    activation_bytes=sum(
                        self._bytes(graph, tensor)
                        for tensor in outputs
                        if tensor.type in _ELEMENT_BYTES
                    ),
                    scratch_bytes=scratch.get(key, 0),
                    persistent_bytes=self._operator_bytes.get(key, 0),
                    live_bytes=max(live[span.first + 1 : span.last + 2], default=0) if span else 0,
                    first=span.first if span else -1,
                    last=span.last if span else -1,
                )
            )
        return tuple(layers)


def _live(
    request: Request, owner: str, kind: Literal["tensor", "scratch"], subgraph: int, index: int
) -> LiveBuffer:
    return LiveBuffer(
        owner, kind, request.size_bytes, 0, request.first, request.last, subgraph, index
    )


def _peak_time(head: int, placed: tuple[LiveBuffer, ...], live: list[int]) -> int:
    """The fullest moment among those in which a buffer reaches the end of the head."""
    moments = {
        time
        for buffer in placed
        if buffer.offset + buffer.bytes == head
        for time in range(buffer.first, buffer.last + 1)
    }
    return max(moments, key=lambda time: (live[time + 1], -time), default=0)


def _unknown_operator(node: _Interpreter) -> None:
    """Count what the declaration states; else twice what the operator reads and writes."""
    declared = node.declared_cost()
    if declared is not None:
        if declared.persistent:
            node.persistent(declared.persistent)
        if declared.scratch:
            node.scratch(declared.scratch)
        return
    tensors = (
        *(node.input(i) for i in range(len(node.operator.inputs)) if node.has_input(i)),
        *(node.output(i) for i in range(len(node.operator.outputs))),
    )
    bound = align_up(sum(tensor.bytes for tensor in tensors if not tensor.is_constant), ALIGNMENT)
    node.persistent(bound)
    node.scratch(bound)
    node.bounded(
        f"no rule for this operator; counted {bound:,} B persistent and {bound:,} B scratch"
        f" (as much as its activations), declare [runtime.ops.{node.operator.name}] to state its cost"
    )
