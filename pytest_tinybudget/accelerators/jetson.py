"""A model on an NVIDIA Jetson: lower bounds of its memory and of its inference time.

Both come from published figures. The engine, CUDA and the system need memory as well, and no kernel
reaches a device's peak. So a failure is certain, and a pass is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.boards.accelerator import Accelerator
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.lifetime import lifetimes
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.results.types import Figure


#: The name of the figure for a time with only a lower bound.
AT_LEAST = "latency, at least"

#: A multiply-accumulate is two operations in every published peak.
_OPERATIONS_PER_MAC = 2
_FLOATS = frozenset({"FLOAT16", "BFLOAT16", "FLOAT32"})


def on_jetson(model: Model, board: Board, *, require_int8: bool) -> Accelerated:
    """Measure ``model`` on the board's Jetson. Float models pass unless ``require_int8`` is set."""
    device = find_accelerator(board.accelerator)
    footprint = Footprint(
        runtime=device.id,
        flash_parts=(),
        ram_parts=(
            Part("model file", model.bytes, "exact"),
            Part("activations at their peak", peak_activation_bytes(model), "exact"),
        ),
        arena=None,
        stack=0,
        layers=(),
        not_int8=not_int8_tensors(model) if require_int8 else (),
    )
    return Accelerated(
        footprint=footprint,
        model=None,
        settings=device.id,
        notes=tuple(_notes(device)),
        warnings=tuple(_warnings(model, board)),
        figures=(latency_bound(model, device),),
    )


def peak_activation_bytes(model: Model) -> int:
    """Peak bytes of computed tensors, each of which lives from its first to its last use."""
    changes: Counter[int] = Counter()
    found = lifetimes(model, ())
    for graph, spans in zip(model.subgraphs, found.tensors, strict=True):
        for tensor, span in zip(graph.tensors, spans, strict=True):
            if span.first >= 0 and not tensor.is_constant:
                changes[span.first] += tensor.bytes
                changes[span.last + 1] -= tensor.bytes
    return max(accumulate(changes[time] for time in sorted(changes)), default=0)


def latency_bound(model: Model, device: Accelerator) -> Figure:
    """Roofline bound in seconds: computing at the peak or reading all weights once.

    INT8 work is divided by the published TOPS, floating-point work by the published GFLOPS. Work
    of a kind without a published figure is not counted.
    """
    seconds, reasons = [], []
    for bound, reason in (*_compute_bounds(model, device), *_memory_bound(model, device)):
        seconds.append(bound)
        reasons.append(reason)
    basis = f"lower bound, {device.name}: {'; '.join(reasons)}"
    known = max(seconds)
    if not known:
        return Figure(AT_LEAST, "s", None, None, "unknown", basis)
    return Figure(AT_LEAST, "s", known, known, "estimated", basis)


def _compute_bounds(model: Model, device: Accelerator) -> Iterator[tuple[float, str]]:
    """Seconds (0: not known) and what they rest on, for each kind of arithmetic in the model."""
    from pytest_tinybudget.speed.work import uncounted
    from pytest_tinybudget.speed.work import work_of

    macs: Counter[str] = Counter()
    for work in work_of(model):
        if work.macs:
            macs["float" if work.types[0] in _FLOATS else "integer"] += work.macs
    if macs["integer"]:
        sparse = ", which counts structured sparsity: a dense model takes twice as long"
        label = f"{device.tops:g} TOPS{sparse if device.sparse else ''}" if device.tops else ""
        yield _peak(macs["integer"], "INT8", label, (device.tops or 0) * 1e12, "TOPS")
    if macs["float"]:
        label = f"{device.gflops:g} GFLOPS ({device.float_type})" if device.gflops else ""
        yield _peak(macs["float"], "floating-point", label, (device.gflops or 0) * 1e9, "GFLOPS")
    names = uncounted(model)
    if names:
        yield 0.0, f"not counted: {', '.join(names)}"


def _peak(macs: int, kind: str, label: str, per_second: float, unit: str) -> tuple[float, str]:
    if not per_second:
        return 0.0, f"{macs:,} {kind} MACs are not in it, as no {unit} are published for them"
    return macs * _OPERATIONS_PER_MAC / per_second, f"{macs:,} {kind} MACs at {label}"


def _memory_bound(model: Model, device: Accelerator) -> Iterator[tuple[float, str]]:
    moved = sum(
        {
            tensor.buffer: len(tensor.data)
            for graph in model.subgraphs
            for tensor in graph.tensors
            if tensor.is_constant
        }.values()
    )
    if device.bandwidth_gb_s is None:
        yield 0.0, "no memory bandwidth is published"
    else:
        seconds = moved / (device.bandwidth_gb_s * 1e9)
        yield seconds, f"{moved:,} B of weights from memory at {device.bandwidth_gb_s:g} GB/s"


def _notes(device: Accelerator) -> Iterator[str]:
    if device.power_w:
        low, high = device.power_w
        yield f"{device.name}: {low:g} to {high:g} W, as published"
    if device.notes:
        yield f"{device.name}: {device.notes}"


def _warnings(model: Model, board: Board) -> Iterator[str]:
    """Warnings about what the figures leave out. An open batch size counts as 1."""
    if not board.reserved_ram:
        yield (
            "only model and activations are counted: what the system, CUDA and the engine take of "
            "the memory is not known here; measure it and declare reserved_ram"
        )
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if tensor.shape_signature and -1 in tensor.shape_signature[1:]:
                yield (
                    f"the shape of '{tensor.name}' is open, {list(tensor.shape_signature)}: "
                    f"counted as {list(tensor.shape)}"
                )
                return
