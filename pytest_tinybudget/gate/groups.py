"""Several models in one firmware: what they take together on a board.

Flash is every model, plus one runtime with the kernels that any of the models needs. RAM is the
arena as the models share it, an interpreter and resource variables for each, and the deepest
stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.arena import simulate_multitenant
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.layout import NON_PERSISTENT
from pytest_tinybudget.footprint.layout import PERSISTENT
from pytest_tinybudget.footprint.layout import STORED_MODEL
from pytest_tinybudget.footprint.layout import arena_parts_of
from pytest_tinybudget.footprint.layout import laid_out
from pytest_tinybudget.footprint.link import RESOURCE_VARIABLES
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.measure import arena_parts
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import GroupArena
from pytest_tinybudget.footprint.result import Method
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import Placements


def combine(
    models: Mapping[str, Model],
    footprints: Sequence[Footprint],
    firmware: Firmware,
    *,
    arena: GroupArena,
    placements: Sequence[Placements] | None = None,
) -> Footprint:
    """The footprint of ``models`` (by name) in one firmware; ``footprints`` are theirs alone.

    ``arena="max"`` is for models that run one after another in one arena, each with an
    interpreter made anew, ``"multitenant"`` for interpreters that stay and share one
    ``MicroAllocator``, set up in the order of ``models``, ``"sum"`` for an arena each. The
    arena of the result is the largest that has to fit one block of RAM; the layers are those of
    the model with the largest arena of its own. ``placements`` say where each model lies, and
    where the arena, which is the same for all; the firmware's for each model by default.

    Raises:
        TinybudgetError: the runtime's tables are missing or damaged, or another estimator
            measured a model in a way that says nothing about sharing.
    """
    placements = placements or [firmware.placements] * len(models)
    firmware = replace(firmware, placements=placements[0])
    named = list(zip(models, footprints, strict=True))
    refusals = tuple(
        replace(refusal, reason=f"{name}: {refusal.reason}")
        for name, footprint in named
        for refusal in footprint.refusals
    )
    for name, footprint in named:
        if footprint.arena is None and not footprint.refusals:
            raise TinybudgetError(f"{name} was measured without an arena: no group can hold it")
    largest = max(footprints, key=_arena_bytes)
    block = largest.arena
    if arena == "multitenant":
        block = _of_one_allocator(models, footprints, firmware)
        arenas = arena_parts(block, exact=_arena_method(*footprints) == "exact")
    else:
        arenas = _arenas(named, arena)
        block = _largest(block, footprints)
    code, objects = _runtime(list(models.values()), firmware)
    bytes_of = {name: model.bytes for name, model in models.items()}
    together = Footprint(
        runtime=largest.runtime,
        flash_parts=(*_models(bytes_of, placements, "flash"), *code),
        ram_parts=(
            *_models(bytes_of, placements, "ram"),
            *arenas,
            *objects,
            *_variables(footprints),
            *_deepest_stack(footprints),
        ),
        psram_parts=_models(bytes_of, placements, "psram"),
        arena=None if refusals else block,
        stack=max(footprint.stack for footprint in footprints),
        layers=() if refusals else largest.layers,
        refusals=refusals,
        unknown=tuple(f"{name}: {line}" for name, each in named for line in each.unknown),
        risky=tuple(f"{name}: {line}" for name, each in named for line in each.risky),
        not_int8=tuple(f"{name}: {line}" for name, each in named for line in each.not_int8),
        float_parts=tuple(
            replace(part, operator=f"{name}: {part.operator}")
            for name, each in named
            for part in each.float_parts
        ),
    )
    return laid_out(together, Placements(placements[0].arena))


def _models(
    bytes_of: Mapping[str, int], placements: Sequence[Placements], memory: ModelPlacement
) -> tuple[Part, ...]:
    """The models' bytes in ``memory``. Flash also holds the copies that fill models in RAM."""
    parts = []
    for (name, size), where in zip(bytes_of.items(), placements, strict=True):
        if where.model == memory:
            parts.append(Part(f"model {name}", size, "exact"))
        elif memory == "flash" and where.model_storage == "flash":
            parts.append(Part(f"{STORED_MODEL} {name}", size, "exact"))
    return tuple(parts)


def _largest(block: Arena | None, footprints: Sequence[Footprint]) -> Arena | None:
    """``block``; if the arenas are split, with the largest of each of the two parts."""
    splits = [each.arena.split for each in footprints if each.arena and each.arena.split]
    if block is None or not splits:
        return block
    split = SplitArena(
        max(each.persistent for each in splits), max(each.non_persistent for each in splits)
    )
    return replace(block, required=split.persistent + split.non_persistent, split=split)


def _arena_bytes(footprint: Footprint) -> int:
    return footprint.arena.required if footprint.arena else 0


def _arenas(named: Sequence[tuple[str, Footprint]], arena: GroupArena) -> tuple[Part, ...]:
    kinds = [kind for kind in _KINDS if any(kind in _sizes(footprint) for _, footprint in named)]
    if arena == "sum":
        return tuple(
            _arena_part(kind, f"of {name}", footprint, _arena_method(footprint))
            for name, footprint in named
            for kind in kinds
        )
    method = _arena_method(*(footprint for _, footprint in named))
    parts = []
    for kind in kinds:
        name, footprint = max(named, key=lambda item: _sizes(item[1]).get(kind, 0))
        note = f"that of {name}; each model is set up again before it runs"
        parts.append(_arena_part(kind, "shared by all", footprint, method, note))
    return tuple(parts)


_KINDS = (ARENA, PERSISTENT, NON_PERSISTENT)


def _arena_part(
    kind: str, whose: str, footprint: Footprint, method: Method, note: str = ""
) -> Part:
    """A model's whole arena as one part, with the margin of its own parts."""
    size = _sizes(footprint).get(kind, 0)
    margin = min(size, sum(part.margin_bytes for part in arena_parts_of(footprint, kind)))
    return Part(f"{kind} {whose}", size - margin, method, margin_bytes=margin, note=note)


def _sizes(footprint: Footprint) -> dict[str, int]:
    """Bytes of the arena by part; a split arena has two parts."""
    arena = footprint.arena
    if arena is None or arena.split is None:
        return {ARENA: _arena_bytes(footprint)}
    return {PERSISTENT: arena.split.persistent, NON_PERSISTENT: arena.split.non_persistent}


def _of_one_allocator(
    models: Mapping[str, Model],
    footprints: Sequence[Footprint],
    firmware: Firmware,
) -> Arena | None:
    """The arena of the allocator that all interpreters use; ``None`` if TFLM refuses a model."""
    for (name, model), footprint in zip(models.items(), footprints, strict=True):
        if footprint.arena != simulate(model, firmware).arena:
            raise TinybudgetError(
                f"another estimator measured {name}, and cannot say what it takes of an "
                'allocator that models share: arena = "sum" gives each its own'
            )
    return simulate_multitenant(models.values(), firmware)


def _arena_method(*footprints: Footprint) -> Method:
    methods = {part.method for footprint in footprints for part in arena_parts_of(footprint)}
    return "estimated" if "estimated" in methods else "exact"


def _deepest_stack(footprints: Sequence[Footprint]) -> tuple[Part, ...]:
    deepest = max(footprints, key=lambda footprint: footprint.stack)
    return tuple(part for part in deepest.ram_parts if part.name == "stack")


def _runtime(
    models: Sequence[Model], firmware: Firmware
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """The runtime's parts in flash, and its objects in RAM: one resolver, and interpreters."""
    if firmware.fixed is not None:
        return (Part("runtime", firmware.fixed.flash, "declared"),), ()
    linked = link(_together(models), firmware)
    objects = tuple(
        replace(part, bytes=part.bytes * len(models), name=f"{len(models)} interpreters")
        if part.name == "interpreter"
        else part
        for part in linked.ram_parts
        if part.name != RESOURCE_VARIABLES
    )
    return linked.parts, objects


def _variables(footprints: Sequence[Footprint]) -> tuple[Part, ...]:
    """The resource variables of all models. Variables of equal names are not shared."""
    found = [
        part
        for footprint in footprints
        for part in footprint.ram_parts
        if part.name == RESOURCE_VARIABLES
    ]
    return (replace(found[0], bytes=sum(part.bytes for part in found)),) if found else ()


def _together(models: Sequence[Model]) -> Model:
    """One model with the operators of all models, for the link of their common firmware."""
    subgraphs = tuple(subgraph for model in models for subgraph in model.subgraphs)
    return replace(models[0], name="", content=b"", subgraphs=subgraphs)
