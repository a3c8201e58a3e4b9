"""Ways to lower the arena's peak: a smaller tensor, or dense layers quantized per tensor."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.layout import ACTIVATIONS
from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.gate.remedies.changes import Candidate
from pytest_tinybudget.graph.dense import per_tensor_dense
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.firmware import Firmware


_NAME_LENGTH = 60

_ARENA_ALIGNMENT = 16

#: A pair that passes gets a hint if the saving is above either of these.
_HINT_BYTES = 1024
_HINT_SHARE = 0.05


def per_tensor_hints(arena: Arena, model: Model, firmware: Firmware) -> tuple[str, ...]:
    """A hint about ``per_channel_dense = false``, if that saves enough of ``arena``."""
    saved = _saved_per_tensor(arena, model, firmware)
    if saved <= min(_HINT_BYTES, arena.required * _HINT_SHARE):
        return ()
    return (f"per_channel_dense = false would save {format_size(saved)} of arena",)


def _saved_per_tensor(arena: Arena, model: Model, firmware: Firmware) -> int:
    """Bytes of ``arena`` that dense layers with one scale would save."""
    per_tensor = per_tensor_dense(model)
    changed = simulate(per_tensor, firmware).arena if per_tensor else None
    return arena.required - changed.required if changed is not None else 0


def smaller_tensor(result: PairResult, candidate: Candidate) -> Iterator[str]:
    """The tensor that lowers the peak most when halved, if the pair needs a lower peak."""
    pair, footprint = candidate.pair, result.footprint
    needed = [
        measure
        for measure in result.measures
        if any(part.name.endswith(ACTIVATIONS) for part in measure.parts)
        and (measure.over or measure.metric in result.grown)
    ]
    if not needed or footprint is None or not isinstance(pair, Pair):
        return
    (model,), arena = candidate.models, footprint.arena
    if arena is None or arena.decided_by != "used" or "OfflineMemoryAllocation" in model.metadata:
        return  # the planned buffers do not decide its size
    if arena != simulate(model, pair.firmware).arena:
        return  # another estimator measured it and may plan otherwise
    relief = peak_relief(arena)
    if relief is not None:
        buffer, saved = relief
        yield (
            f"a smaller {printable(buffer.owner, limit=_NAME_LENGTH)}: with half of its "
            f"{format_size(buffer.bytes)} the arena's peak is up to {format_size(saved)} lower"
            f"{_enough(saved, needed[0])}"
        )


def _enough(saved_bytes: int, measure: Measure) -> str:
    return ", enough to fit" if 0 < measure.over <= saved_bytes else ""


def peak_relief(arena: Arena) -> tuple[LiveBuffer, int] | None:
    """The buffer alive at the peak that lowers the head most when halved, and by how many bytes.

    The greedy planner decides. ``None`` if no single buffer lowers the head.
    """
    alive = [
        position
        for position, buffer in enumerate(arena.buffers)
        if buffer.first <= arena.peak_time <= buffer.last
    ]
    heads = {position: _head_with_half(arena.buffers, position) for position in alive}
    best = min(heads, key=lambda position: heads[position], default=None)
    if best is None or heads[best] >= arena.head:
        return None
    return arena.buffers[best], arena.head - heads[best]


def _head_with_half(buffers: tuple[LiveBuffer, ...], position: int) -> int:
    sizes = [buffer.bytes for buffer in buffers]
    sizes[position] = align_up(sizes[position] // 2, _ARENA_ALIGNMENT)
    offsets = plan(
        [
            Request(size, buffer.first, buffer.last)
            for size, buffer in zip(sizes, buffers, strict=True)
        ]
    )
    return max(offset + size for offset, size in zip(offsets, sizes, strict=True))
