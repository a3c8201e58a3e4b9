"""The memories that a model's data can lie in, as declarations, boards and footprints name them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


#: Where an arena goes: an array that the linker places (``.bss``), the heap, or external RAM.
Placement = Literal["static", "heap", "psram"]

#: Where the model's bytes lie while it runs: constants in flash, RAM on the chip, external RAM.
ModelPlacement = Literal["flash", "ram", "psram"]

#: Where they come from when they lie in RAM: the firmware's own flash, or a place that is no part
#: of it (an SD card, a file system, the radio).
ModelStorage = Literal["flash", "external"]


class SplitPlacement(Struct, frozen=True, gc=False):
    """Two arenas instead of one, as for ``MicroAllocator::Create`` with two buffers.

    ``persistent`` holds what stays for the life of the interpreter, ``non_persistent`` the
    planned activations and scratch buffers, and what setting up needs.
    """

    persistent: Placement = "static"
    non_persistent: Placement = "static"


#: Where the arena goes, or both of its parts.
ArenaPlacement = Placement | SplitPlacement


class Placements(Struct, frozen=True, gc=False):
    """Where the arena and the model of a pair lie."""

    arena: ArenaPlacement = "static"
    model: ModelPlacement = "flash"
    model_storage: ModelStorage = "flash"

    @property
    def is_split(self) -> bool:
        """Whether there are two arenas."""
        return isinstance(self.arena, SplitPlacement)

    @property
    def reaches_psram(self) -> bool:
        """Whether an inference reads or writes external RAM."""
        if isinstance(self.arena, SplitPlacement):
            arenas: tuple[Placement, ...] = (self.arena.persistent, self.arena.non_persistent)
        else:
            arenas = (self.arena,)
        return "psram" in (*arenas, self.model)
