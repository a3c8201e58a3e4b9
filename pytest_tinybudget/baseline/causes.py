"""Finds why a model's sizes differ: layers, operators, parts of memory, and the arena's peak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterator
from collections.abc import Sequence
from difflib import SequenceMatcher

from msgspec.structs import replace

from pytest_tinybudget.baseline.comparison import Causes
from pytest_tinybudget.baseline.comparison import LayerChange
from pytest_tinybudget.baseline.comparison import OperatorChange
from pytest_tinybudget.baseline.comparison import PartChange
from pytest_tinybudget.baseline.comparison import PeakTensor
from pytest_tinybudget.baseline.comparison import RuntimeChange
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


#: Aligning two sequences takes time with the product of their lengths; longer ones are matched
#: by their order.
_LARGEST_ALIGNMENT = 250_000

#: At most this many layers at a peak are named.
_PEAK_LAYERS = 3


def runtime_change(base: PairResult, head: PairResult) -> RuntimeChange | None:
    """The other release that is flashed; ``None`` where it is the same, or nobody knows.

    It is known of both sides where the project's files name it, or where both are releases of a
    distribution: what differs then is the firmware, and not how it was counted.
    """
    if base.flashed and head.flashed:
        before, after = _by_pin(base.flashed), _by_pin(head.flashed)
        gone, new = before.keys() - after.keys(), after.keys() - before.keys()
        if not (gone or new):
            return None
        pins = tuple(after[each] for each in after if each in new)
        if base.runtime != head.runtime:
            return RuntimeChange(base.runtime, head.runtime, pins)
        old = ", ".join(each for each in before if each in gone)
        return RuntimeChange(old, ", ".join(each for each in after if each in new), pins)
    one, other = (each.identity and each.identity.distribution for each in (base, head))
    if one and other and one != other:
        return RuntimeChange(base.runtime, head.runtime)
    return None


def _by_pin(flashed: Sequence[str]) -> dict[str, str]:
    """What is flashed without the place, which may move, and with it."""
    return {each.rpartition(" (")[0]: each for each in flashed}


def causes(base: PairResult, head: PairResult) -> Causes:
    """The differences between two measured results of a pair."""
    return replace(_in_the_model(base, head), runtime=runtime_change(base, head))


def _in_the_model(base: PairResult, head: PairResult) -> Causes:
    parts = tuple(_parts(base, head))
    weights = sum(part.delta for part in parts if part.name == "model: weights")
    before, after = base.footprint, head.footprint
    if before is None or after is None or not head.model_sha256:  # a group has no layers
        return Causes(parts=parts, weights_bytes=weights)
    found = Causes(
        layers=tuple(_layers(before.layers, after.layers)),
        weights_bytes=weights,
        operators=tuple(_operators(before, after)),
        parts=parts,
    )
    if before.arena is None or after.arena is None or before.arena.head == after.arena.head:
        return found
    return Causes(
        layers=found.layers,
        weights_bytes=weights,
        operators=found.operators,
        parts=parts,
        peak=tuple(_peak(before.arena, after.arena)),
        base_peak_at=_peak_at(before),
        peak_at=_peak_at(after),
    )


def _parts(base: PairResult, head: PairResult) -> list[PartChange]:
    before = {measure.metric: _sizes(measure) for measure in base.measures}
    changes = []
    for measure in head.measures:
        old, new = before.get(measure.metric, {}), _sizes(measure)
        changes += [
            PartChange(measure.metric, name, old.get(name, 0), new.get(name, 0))
            for name in {**old, **new}
            if measure.metric in before and old.get(name, 0) != new.get(name, 0)
        ]
    return sorted(changes, key=lambda part: (part.metric, -abs(part.delta), part.name))


def _sizes(measure: Measure) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for part in measure.parts:
        sizes[part.name] += part.bytes + part.margin_bytes
    return dict(sizes)


def _operators(before: Footprint, after: Footprint) -> Iterator[OperatorChange]:
    old = {layer.operator for layer in before.layers}
    new = {layer.operator for layer in after.layers}
    added = [_operator("added", name, after) for name in new - old]
    removed = [_operator("removed", name, before) for name in old - new]
    for changes in (added, removed):
        yield from sorted(changes, key=lambda change: (-change.flash_bytes, change.operator))


def _operator(kind: str, name: str, footprint: Footprint) -> OperatorChange:
    """The operator's flash, as the link without it saves it."""
    saving = next((each for each in footprint.savings if each.change == f"without {name}"), None)
    pulled = tuple(part for part in saving.parts if part[1] > 0) if saving else ()
    flash_bytes = saving.flash_bytes if saving else 0
    return OperatorChange("added" if kind == "added" else "removed", name, flash_bytes, pulled)


# Layers


def _layers(before: Sequence[Layer], after: Sequence[Layer]) -> list[LayerChange]:
    """Layers that differ, the largest difference first. A new name alone does not count."""
    changes: list[LayerChange] = []
    olds, news = _by_subgraph(before), _by_subgraph(after)
    for subgraph in sorted({*olds, *news}):
        for left, right in _aligned(olds.get(subgraph, []), news.get(subgraph, []), _structure):
            changes += _differences(left, right)
    return sorted(changes, key=_magnitude)


def _by_subgraph(layers: Sequence[Layer]) -> dict[int, list[Layer]]:
    found: dict[int, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.subgraph, []).append(layer)
    return found


def _differences(old: Sequence[Layer], new: Sequence[Layer]) -> Iterator[LayerChange]:
    """Differences between two sequences of layers at the same position."""
    for left, right in _aligned(old, new, lambda layer: layer.operator):
        paired = min(len(left), len(right)) if _same_operators(left, right) else 0
        for one, other in zip(left[:paired], right[:paired], strict=True):
            if _sizes_of(one) != _sizes_of(other) or _output(one) != _output(other):
                yield _layer_change(one, other)
        for layer in left[paired:]:
            yield _layer_change(layer, None)
        for layer in right[paired:]:
            yield _layer_change(None, layer)


def _aligned(
    old: Sequence[Layer], new: Sequence[Layer], key: Callable[[Layer], Hashable]
) -> Iterator[tuple[Sequence[Layer], Sequence[Layer]]]:
    """Split both sequences into aligned subsequences, by ``key``."""
    keys, others = [*map(key, old)], [*map(key, new)]
    start = _common(keys, others)
    end = _common(keys[start:][::-1], others[start:][::-1])
    yield old[:start], new[:start]
    middle, other = slice(start, len(old) - end), slice(start, len(new) - end)
    if len(keys[middle]) * len(others[other]) > _LARGEST_ALIGNMENT:
        yield old[middle], new[other]
    else:
        matcher = SequenceMatcher(None, keys[middle], others[other], autojunk=False)
        for _, first, last, other_first, other_last in matcher.get_opcodes():
            yield old[middle][first:last], new[other][other_first:other_last]
    yield old[middle.stop :], new[other.stop :]


def _common(keys: Sequence[Hashable], others: Sequence[Hashable]) -> int:
    """The length of the common start."""
    pairs = zip(keys, others, strict=False)
    return next(
        (index for index, (key, other) in enumerate(pairs) if key != other),
        min(len(keys), len(others)),
    )


def _same_operators(old: Sequence[Layer], new: Sequence[Layer]) -> bool:
    return all(one.operator == other.operator for one, other in zip(old, new, strict=False))


def _structure(layer: Layer) -> Hashable:
    return layer.operator, layer.output_type, layer.output_shape, layer.weights_bytes


def _sizes_of(layer: Layer) -> tuple[int, int, int, int]:
    return (
        layer.weights_bytes,
        layer.activation_bytes,
        layer.scratch_bytes,
        layer.persistent_bytes,
    )


def _output(layer: Layer | None) -> str:
    """``int8 1x16x16x8``; empty without a layer, or where it has no output."""
    if layer is None or not layer.output_type:
        return ""
    shape = "x".join(map(str, layer.output_shape)) or "scalar"
    return f"{layer.output_type.lower()} {shape}"


def _layer_change(old: Layer | None, new: Layer | None) -> LayerChange:
    layer = new or old
    if layer is None:
        raise ValueError("a change of no layer")
    before = _sizes_of(old) if old else (0, 0, 0, 0)
    after = _sizes_of(new) if new else (0, 0, 0, 0)
    weights, activations, _, persistent = (
        there - here for here, there in zip(before, after, strict=True)
    )
    return LayerChange(
        kind="changed" if old and new else "added" if new else "removed",
        operator=layer.operator,
        name=layer.name,
        before=_output(old),
        after=_output(new),
        weights_bytes=weights,
        activation_bytes=activations,
        persistent_bytes=persistent,
    )


def _magnitude(change: LayerChange) -> tuple[int, str, str]:
    size = max(abs(change.weights_bytes), abs(change.activation_bytes))
    return -size, change.operator, change.name


# The peak of the arena's head


def _peak(before: Arena, after: Arena) -> list[PeakTensor]:
    """Buffers alive at either peak, matched by owner, then by size for renamed tensors."""
    old, new = _alive(before), _alive(after)
    left = {owner: size for owner, size in old.items() if owner not in new}
    pairs = [PeakTensor(owner, old[owner], new[owner]) for owner in new if owner in old]
    for owner, size in new.items():
        if owner in old:
            continue
        twin = next((name for name, other in left.items() if other == size), None)
        if twin is not None:
            del left[twin]
        pairs.append(PeakTensor(owner, None if twin is None else size, size))
    pairs += [PeakTensor(owner, size, None) for owner, size in left.items()]
    return sorted(pairs, key=lambda each: (-(each.bytes or 0), -(each.base_bytes or 0), each.owner))


def _alive(arena: Arena) -> dict[str, int]:
    """Bytes by owner of the buffers alive at the peak."""
    sizes: Counter[str] = Counter()
    for buffer in arena.buffers:
        if _is_alive(buffer, arena.peak_time):
            sizes[buffer.owner] += buffer.bytes
    return dict(sizes)


def _is_alive(buffer: LiveBuffer, time: int) -> bool:
    return buffer.first <= time <= buffer.last


def _peak_at(footprint: Footprint) -> str:
    """The layers that run when the head is fullest: ``CONV_2D #3``."""
    arena = footprint.arena
    running = [
        f"{layer.operator} #{layer.index}"
        for layer in footprint.layers
        if arena is not None and layer.first <= arena.peak_time <= layer.last
    ]
    more = f" and {len(running) - _PEAK_LAYERS} more" if len(running) > _PEAK_LAYERS else ""
    return ", ".join(running[:_PEAK_LAYERS]) + more
