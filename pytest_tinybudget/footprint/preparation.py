"""The ``Preparation`` that operator rules are given, and what it collects."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import NoReturn

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.footprint.allocator import ALIGNMENT
from pytest_tinybudget.footprint.allocator import Memory
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Stage
from pytest_tinybudget.footprint.soundness import reached
from pytest_tinybudget.footprint.soundness import useful
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.distributions import first_releases_since
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.versions import BY_HISTORY
from pytest_tinybudget.runtimes.versions import Change
from pytest_tinybudget.runtimes.versions import Library
from pytest_tinybudget.runtimes.versions import first_release_with
from pytest_tinybudget.runtimes.versions import named_change


#: The most scratch buffers of an operator: TFLM's kMaxScratchBuffersPerOp.
SCRATCH_REQUESTS_PER_OPERATOR = 12

#: Bytes of one element in the arena (TfLiteTypeSizeOf; int4 activations are not packed).
ELEMENT_BYTES: Mapping[str, int] = {
    "FLOAT16": 2, "BFLOAT16": 2, "FLOAT32": 4, "FLOAT64": 8, "INT16": 2, "UINT16": 2, "INT32": 4,
    "UINT32": 4, "UINT8": 1, "INT8": 1, "INT64": 8, "UINT64": 8, "BOOL": 1, "RESOURCE": 4,
    "COMPLEX64": 8, "COMPLEX128": 16, "INT4": 1,
}  # fmt: skip

#: What an operator without a rule keeps at least: the largest struct that any kernel of TFLM
#: keeps (CMSIS-NN's for UNIDIRECTIONAL_SEQUENCE_LSTM). A bound by experience, not by proof.
UNKNOWN_PERSISTENT_BYTES = 912


def _mended(change: Change, firmware: Firmware) -> str:
    """Since when it is right: ``"right since TFLM 47b54507 (2024-09-27): zephyr 4.1"``."""
    said = f"right since TFLM {change.commit} ({change.date[:10]})"
    own = firmware.runtime.distribution.partition(" ")[0]
    releases = first_releases_since(change.date)
    if own:
        first = releases.get(own)
        return f"{said}, {first}" if first else f"{said}, in no release of {own}"
    return f"{said}: {', '.join(releases.values())}" if releases else said


class ScratchRequest(Struct, frozen=True):
    """A scratch buffer of ``size_bytes`` for an operator of a subgraph."""

    subgraph: int
    operator: int
    size_bytes: int


def unknown_bounds(subgraph: Subgraph, operator: Operator) -> tuple[int, int]:
    """Persistent and scratch bytes that are counted for an operator of which nothing is known."""
    indices = (*operator.inputs, *operator.outputs)
    tensors = [subgraph.tensors[index] for index in indices if index >= 0]
    activations = sum(tensor.bytes for tensor in tensors if not tensor.is_constant)
    scratch = align_up(activations, ALIGNMENT)
    return max(scratch, UNKNOWN_PERSISTENT_BYTES), scratch


class RefusedError(Exception):
    """TFLM refuses the model at the current operator's ``Prepare``."""

    def __init__(self, reason: str, *, ends: bool = False) -> None:
        super().__init__(reason)
        self.ends = ends


class MisreadError(Exception):
    """The current operator's kernel would read or compute something wrongly."""


class Node(Trusted):
    """The ``Preparation`` of all operators of a model, one after the other (``enter``).

    It reserves memory in ``memory`` and collects the rest.

    Attributes:
        scratch_requests: In the order of the requests.
        unplanned: Subgraph and index of tensors that the planner leaves out.
        refusals: Why TFLM does not run the model, or not rightly.
        unknown: A line for each operator whose cost is only bounded.
        risky: A line for each operator that goes wrong for some inputs.
        persistent_bytes: Persistent bytes of each operator, by subgraph and index.
        depends_on_release: Whether a request depends on the release of the kernel library.
        running: Indices of the subgraphs that ``Invoke`` may reach.
    """

    def __init__(self, model: Model, firmware: Firmware, memory: Memory) -> None:
        runtime = firmware.runtime
        self.model = model
        self.abi = runtime.abi
        self.tflm = runtime.tflm
        self.kernels = runtime.kernels
        self.tflm = runtime.tflm
        self.subgraph: Subgraph = model.main
        self.operator: Operator = model.main.operators[0]
        self.handles: dict[tuple[int, int], tuple[str, str]] = {}
        self.allocated_variables: dict[tuple[str, str], int] = {}
        # The package counts the names before it makes the interpreter.
        self.variables_by_name = runtime.tflm.variables_in_arena
        self.scratch_requests: list[ScratchRequest] = []
        self.unplanned: set[tuple[int, int]] = set()
        self.refusals: list[Refusal] = []
        self.unknown: list[str] = []
        self.risky: list[str] = []
        self.persistent_bytes: dict[tuple[int, int], int] = {}
        self.depends_on_release = False
        self.running = reached(model)
        self._useful: dict[int, frozenset[int]] = {}
        self._memory = memory
        self._cause = ""
        self._firmware = firmware
        self._shapes: dict[tuple[int, int], tuple[int, ...]] = {}
        self._meant: dict[tuple[int, int], tuple[int, ...]] = {}
        self._tensor = self._sizes_of("TfLiteTensor")
        self._affine = self._sizes_of("TfLiteAffineQuantization")

    def enter(self, subgraph: Subgraph, operator: Operator) -> None:
        """Make ``operator`` the current one."""
        self.subgraph, self.operator = subgraph, operator

    def use_all(self) -> None:
        """Count the results of all operators as used, whatever reads them."""
        self._useful = {
            graph.index: frozenset(range(len(graph.operators))) for graph in self.model.subgraphs
        }

    @property
    def says_more_than_sizes(self) -> bool:
        """Whether operators have done anything besides asking for memory of a known size."""
        graphs = self.model.subgraphs
        return bool(
            self.refusals
            or self.unknown
            or self.risky
            or self.unplanned
            or self.handles
            or any(
                shape != graphs[graph].tensors[index].shape
                for shapes in (self._shapes, self._meant)
                for (graph, index), shape in shapes.items()
            )
        )

    def run(self, step: Callable[[Preparation], None], cause: str) -> None:
        """Run a rule's step for the current operator. Reports call what it keeps ``cause``."""
        before, self._cause = self._memory.tail, cause
        try:
            step(self)
        except RefusedError as refused:
            self.note_refusal("prepare", str(refused), ends=refused.ends)
        self._charge(self._memory.tail - before)

    def parse(self, parameters: str) -> None:
        """Allocate the builtin parameter struct of the given C layout (none if empty)."""
        if parameters:
            size, alignment = self.abi.size_of(parameters), self.abi.align_of(parameters)
            self._memory.cause = (self.operator.name, "parameters")
            self._charge(self._memory.persistent(size, alignment))

    def check(self, step: Callable[[Trusted], None]) -> None:
        """Run a check of what the current operator's kernel does not check itself."""
        try:
            step(self)
        except MisreadError as misread:
            self._note_wrong(str(misread))
        except RefusedError as refused:
            self.note_refusal("undefined", str(refused))

    def _note_wrong(self, reason: str) -> None:
        if self.operator.index in self._useful_here():
            self.note_refusal("wrong", reason)

    def note_refusal(self, stage: Stage, reason: str, *, ends: bool = False) -> None:
        """Note that the device fails at the current operator."""
        operator = self.operator
        self.refusals.append(
            Refusal(stage, operator.name, self.subgraph.index, operator.index, reason, ends=ends)
        )

    def hide_refusals(self, known: int) -> bool:
        """Whether the current operator's Prepare fails, after the first ``known`` refusals.

        From May to November 2021 AllocateTensors passed over such an error, left all operators
        behind it unprepared, and planned what there was: the model fails when it runs.
        """
        refused = [item for item in self.refusals[known:] if item.stage == "prepare"]
        for item in refused:
            self.refusals.remove(item)
            self.note_refusal("invoke", f"{item.reason}, which AllocateTensors does not tell")
        if refused:
            self.scratch_requests = [
                replace(request, operator=-1)
                if (request.subgraph, request.operator)
                == (self.subgraph.index, self.operator.index)
                else request
                for request in self.scratch_requests
            ]
        return bool(refused)

    def shape(self, subgraph: Subgraph, tensor: Tensor) -> tuple[int, ...]:
        """The tensor's shape after the ``Prepare`` of the operators so far, in elements."""
        return self._shapes.get((subgraph.index, tensor.index), tensor.shape)

    def bytes(self, subgraph: Subgraph, tensor: Tensor) -> int:
        """Bytes of the tensor's contents in the arena; 0 for a type without a size in TFLM."""
        elements = 1
        for extent in self.shape(subgraph, tensor):
            elements *= extent
        return elements * ELEMENT_BYTES.get(tensor.type, 0)

    def run_unknown(self) -> None:
        """Count an operator without a rule: its declared cost, else a bound."""
        self.run(lambda _: self._request_unknown(), "as declared or bounded")

    # The Preparation protocol, in its order.

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
        return self._temporary(self.input(position))

    def temp_intermediate(self, position: int) -> Tensor:
        return self._temporary(self._get(self.operator.intermediates, position, "intermediate"))

    def temp_optional_input(self, position: int) -> Tensor | None:
        return self.temp_input(position) if self.has_input(position) else None

    def temp_output(self, position: int) -> Tensor:
        return self._temporary(self.output(position))

    def persistent(self, size_bytes: int, cause: str = "") -> None:
        self._memory.cause = (self.operator.name, cause or self._cause)
        self._memory.record("persistent_buffer", size_bytes, ALIGNMENT)

    def spare_temporaries(self) -> None:
        self._memory.spare_temporaries()

    def scratch(self, size_bytes: int) -> None:
        request = ScratchRequest(self.subgraph.index, self.operator.index, size_bytes)
        recent = self.scratch_requests[-SCRATCH_REQUESTS_PER_OPERATOR:]
        same = [
            other
            for other in recent
            if (other.subgraph, other.operator) == (request.subgraph, request.operator)
        ]
        self.ensure(
            len(same) < SCRATCH_REQUESTS_PER_OPERATOR,
            f"it requests more than {SCRATCH_REQUESTS_PER_OPERATOR} scratch buffers",
        )
        self.scratch_requests.append(request)

    def copy_output_shape(self, position: int) -> None:
        self.persistent(4 + 4 * len(self.output(position).shape))

    def set_output_shape(self, position: int, shape: tuple[int, ...]) -> None:
        self._shapes[self.subgraph.index, self.operator.outputs[position]] = shape

    def leave_unplanned(self, position: int) -> None:
        self.unplanned.add((self.subgraph.index, self.operator.outputs[position]))

    def refuse(self, reason: str, *, ends: bool = False) -> NoReturn:
        raise RefusedError(reason, ends=ends)

    def ensure(self, condition: bool, reason: str, *, ends: bool = False) -> None:
        if not condition:
            self.refuse(reason, ends=ends)

    def fails_at_invoke(self, reason: str, *, ends: bool = False) -> None:
        if self.subgraph.index in self.running:
            self.note_refusal("invoke", reason, ends=ends)

    def undefined(self, reason: str) -> None:
        self.note_refusal("undefined", reason)

    def bounded(self, reason: str) -> None:
        self.unknown.append(f"{self._place}: {reason}")

    def risks(self, reason: str) -> None:
        if self.subgraph.index in self.running:
            self.risky.append(f"{self._place}: {reason}")

    @property
    def _place(self) -> str:
        return f"{self.operator.name} #{self.operator.index}"

    def computes_wrongly(
        self, before: str, reason: str, *, instead: str = "", library: Library = "tflm"
    ) -> None:
        version = self.tflm.version if library == "tflm" else self.kernels.version
        if version.has(before) or self.subgraph.index not in self.running:
            return
        if self.operator.index not in self._useful_here():
            return
        self.note_outdated(before, reason, instead=instead, library=library)

    def note_outdated(
        self, before: str, reason: str, *, instead: str = "", library: Library = "tflm"
    ) -> None:
        """Note the fault that the change ``before`` mended, at the current operator."""
        version = self.tflm.version if library == "tflm" else self.kernels.version
        change = named_change(library, before)
        mended = (
            _mended(change, self._firmware)
            if library == "tflm"
            else f"right since {first_release_with(library, before)}"
        )
        by_history = not change.seen or version.by_history
        fault = f"{reason} ({BY_HISTORY})" if by_history else reason
        said = "; ".join(filter(None, (fault, mended, instead)))
        operator, graph = self.operator, self.subgraph.index
        self.refusals.append(
            Refusal(
                "outdated", operator.name, graph, operator.index, said, change.commit, by_history
            )
        )

    def library_release(self) -> str:
        self.depends_on_release = True
        return self.kernels.version.name

    def _sizes_of(self, struct: str) -> tuple[int, int]:
        """Size and alignment of one of TFLM's own structs."""
        layout = self.tflm.struct(struct)
        return self.abi.size_of(layout), self.abi.align_of(layout)

    def _useful_here(self) -> frozenset[int]:
        known = self._useful.get(self.subgraph.index)
        if known is None:
            known = self._useful[self.subgraph.index] = useful(self.subgraph)
        return known

    # What is taken on trust.

    def meant(self, tensor: Tensor) -> tuple[int, ...]:
        return self._meant.get((self.subgraph.index, tensor.index), tensor.shape)

    def means(self, subgraph: Subgraph, tensor: Tensor, shape: tuple[int, ...]) -> None:
        self._meant[subgraph.index, tensor.index] = shape

    def trust(self, condition: bool, reason: str, *, beyond: bool = False) -> None:
        if not condition:
            raise RefusedError(reason) if beyond else MisreadError(reason)

    def _request_unknown(self) -> None:
        declared = self._firmware.cost_of(self.operator.name)
        if declared is not None:
            if declared.persistent:
                self.persistent(declared.persistent)
            if declared.scratch:
                self.scratch(declared.scratch)
            return
        persistent, scratch = unknown_bounds(self.subgraph, self.operator)
        self.persistent(persistent)
        self.scratch(scratch)
        self.bounded(
            f"no rule for this operator; counted {persistent:,} B persistent and {scratch:,} B"
            " scratch (its activations, and at least what TFLM's largest operator keeps), declare"
            f" [runtime.ops.{toml_key(self.operator.name)}] to state its cost"
        )

    def _charge(self, size_bytes: int) -> None:
        key = (self.subgraph.index, self.operator.index)
        self.persistent_bytes[key] = self.persistent_bytes.get(key, 0) + size_bytes

    def _get(self, indices: tuple[int, ...], position: int, role: str) -> Tensor:
        if position >= len(indices) or indices[position] < 0:
            self.refuse(f"its {role} {position} is missing")
        tensor = self.subgraph.tensors[indices[position]]
        shape = self._shapes.get((self.subgraph.index, tensor.index))
        return tensor if shape is None else replace(tensor, shape=shape)

    def _temporary(self, tensor: Tensor) -> Tensor:
        """AllocateTempTfLiteTensor."""
        self._memory.temporary(*self._tensor)
        if tensor.quantization.is_affine:
            self._memory.temporary(*self._affine)
            # Kernels take zero points from the TfLiteTensor itself, never from this array,
            # and do not look at the axis in front of it once they have made their requests.
            zero_points = 4 + 4 * len(tensor.quantization.scales)
            axis = self._affine[0] - 2 * self.abi.pointer_bytes
            self._memory.temporary(zero_points, 4, spare=zero_points + axis)
        return tensor
