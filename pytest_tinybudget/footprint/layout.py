"""Decides which memory each part of a footprint lies in: RAM on the chip, external RAM, flash.

An estimator counts the arena in RAM and the model in flash. ``laid_out`` moves them to where the
declaration has them, and ``arrays_of`` names what must lie in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.runtimes.placement import ArenaPlacement
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement


#: How the names of the arena's parts begin: of the whole, and of the two of a split one.
ARENA, PERSISTENT, NON_PERSISTENT = "arena", "persistent arena", "non-persistent arena"

#: The end of the name of the part with the planned buffers.
ACTIVATIONS = ": activations and scratch"

_MODEL = "model"
#: The part of flash for a model in RAM: the array's initial values, or the copy's source.
STORED_MODEL = "stored model"
_STORED_NOTE = "what RAM is filled with at start"


#: Where an estimator counts everything.
_USUAL = Placements()


class Array(Struct, frozen=True):
    """An array that must lie in one block of memory. Sizes are bytes."""

    name: str
    bytes: int
    placement: Placement


def laid_out(footprint: Footprint, placements: Placements) -> Footprint:
    """``footprint`` with arena and model in the memories that ``placements`` says.

    Raises:
        TinybudgetError: the arena is to be split, and was measured as one.
    """
    arena = placements.arena
    is_split = footprint.arena is not None and footprint.arena.split is not None
    if placements == _USUAL and not footprint.psram_parts and not is_split:
        return footprint
    if isinstance(arena, SplitPlacement):
        _check_split(footprint)
    elif is_split:
        raise TinybudgetError("an arena that was measured as two buffers cannot be placed as one")
    if arena != "static":
        footprint = _named(footprint)
    in_memory = {"ram": list(footprint.ram_parts), "psram": list(footprint.psram_parts)}
    moved = _with_arena(in_memory, arena)
    flash, moved = _with_model(
        list(footprint.flash_parts), moved, placements.model, placements.model_storage
    )
    return replace(
        footprint,
        flash_parts=tuple(flash),
        ram_parts=tuple(moved["ram"]),
        psram_parts=tuple(moved["psram"]),
    )


def _check_split(footprint: Footprint) -> None:
    if footprint.arena is not None and footprint.arena.split is None:
        raise TinybudgetError(
            "a split arena: another estimator measured the model, and cannot say what each of "
            "its two buffers takes"
        )


def _with_arena(parts: dict[str, list[Part]], arena: ArenaPlacement) -> dict[str, list[Part]]:
    """``parts`` by memory, those of the arena moved."""
    arenas = [part for part in (*parts["ram"], *parts["psram"]) if _is_arena(part)]
    external = [part for part in arenas if _placement_of(part, arena) == "psram"]
    internal = [part for part in arenas if _placement_of(part, arena) != "psram"]
    if internal and not external and not any(map(_is_arena, parts["psram"])):
        return parts
    return {
        "ram": [*internal, *(part for part in parts["ram"] if not _is_arena(part))],
        "psram": [*external, *(part for part in parts["psram"] if not _is_arena(part))],
    }


def _named(footprint: Footprint) -> Footprint:
    """``footprint`` with an arena among its parts, where another estimator calls it otherwise.

    The bytes of the arena are then taken from the largest part, as which it must be counted.
    """
    arena = footprint.arena
    if arena is None or arena_parts_of(footprint):
        return footprint
    position = max(
        range(len(footprint.ram_parts)),
        key=lambda index: footprint.ram_parts[index].bytes,
        default=-1,
    )
    if position < 0 or footprint.ram_parts[position].bytes < arena.required:
        return footprint
    holder = footprint.ram_parts[position]
    rest = replace(holder, bytes=holder.bytes - arena.required)
    others = (*footprint.ram_parts[:position], *footprint.ram_parts[position + 1 :])
    own = Part(ARENA, arena.required, holder.method, note=holder.name)
    kept = (rest,) if rest.bytes or rest.margin_bytes else ()
    return replace(footprint, ram_parts=(own, *kept, *others))


def _with_model(
    flash: list[Part],
    parts: dict[str, list[Part]],
    placement: ModelPlacement,
    storage: ModelStorage,
) -> tuple[list[Part], dict[str, list[Part]]]:
    """Flash and RAM with the model's parts moved; one that lies in flash stays where it is."""
    model = [part for part in flash if _is_model(part)]
    if placement == "flash" or not model:
        return flash, parts
    rest = [part for part in flash if not _is_model(part)]
    if storage == "flash":
        size = sum(part.bytes for part in model)
        rest.insert(0, Part(STORED_MODEL, size, "exact", note=_STORED_NOTE))
    return rest, {**parts, placement: [*model, *parts[placement]]}


def model_in_flash(footprint: Footprint) -> int:
    """Bytes of the model (of all models of a group) that the firmware's flash holds."""
    return sum(
        part.bytes
        for part in footprint.flash_parts
        if _is_model(part) or part.name.startswith(STORED_MODEL)
    )


def arrays_of(footprint: Footprint, arena: ArenaPlacement) -> list[Array]:
    """What must lie in one piece: each arena, and a model in RAM."""
    arrays = list(_arenas(footprint, arena))
    for parts, placement in ((footprint.ram_parts, "static"), (footprint.psram_parts, "psram")):
        arrays += _models(parts, "psram" if placement == "psram" else "static")
    return arrays


def arena_parts_of(footprint: Footprint, name: str = "") -> tuple[Part, ...]:
    """The parts of all arenas, or those whose names begin with ``name``, wherever they lie."""
    parts = (*footprint.ram_parts, *footprint.psram_parts)
    return tuple(part for part in parts if _is_arena(part) and part.name.startswith(name))


def _arenas(footprint: Footprint, arena: ArenaPlacement) -> list[Array]:
    """One of each kind, or (models of a group with an arena each) one for each model."""
    if footprint.arena is None:
        return []
    parts = arena_parts_of(footprint)
    each = [part for part in parts if part.name.startswith(_OF)]
    if each:
        shared = sum(_most(part) for part in parts if not part.name.startswith(_OF))
        arrays = [
            Array(f"the {part.name}", _most(part), _placement_of(part, arena)) for part in each
        ]
        place = arena.persistent if isinstance(arena, SplitPlacement) else arena
        return [*([Array(f"the {ARENA}", shared, place)] if shared else []), *arrays]
    split = footprint.arena.split
    if split is None or not isinstance(arena, SplitPlacement):
        place = arena.persistent if isinstance(arena, SplitPlacement) else arena
        return [Array("the arena", footprint.arena.required, place)]
    return [
        Array(f"the {PERSISTENT}", split.persistent, arena.persistent),
        Array(f"the {NON_PERSISTENT}", split.non_persistent, arena.non_persistent),
    ]


_KINDS = (ARENA, PERSISTENT, NON_PERSISTENT)
_OF = tuple(f"{kind} of " for kind in _KINDS)


def _models(parts: Sequence[Part], placement: Placement) -> list[Array]:
    """The model as one array; those of a group each."""
    own = [part for part in parts if _is_model(part)]
    if not own:
        return []
    several = [part for part in own if part.name.startswith(f"{_MODEL} ")]
    if several:
        return [Array(f"the {part.name}", _most(part), placement) for part in several]
    return [Array("the model", sum(map(_most, own)), placement)]


def _placement_of(part: Part, arena: ArenaPlacement) -> Placement:
    if not isinstance(arena, SplitPlacement):
        return arena
    return arena.persistent if part.name.startswith(PERSISTENT) else arena.non_persistent


def _is_arena(part: Part) -> bool:
    return part.name.startswith(_KINDS)


def _is_model(part: Part) -> bool:
    return part.name.startswith((f"{_MODEL}:", f"{_MODEL} "))


def _most(part: Part) -> int:
    return part.bytes + part.margin_bytes
