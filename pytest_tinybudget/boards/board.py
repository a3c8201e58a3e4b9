"""The board type: what a board offers a model, with where each figure comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Region:
    """A block of memory, bytes. ``usable`` is what a linker script can hand out of ``size``."""

    name: str
    kind: Literal["flash", "sram", "tcm", "psram"]
    size: int
    usable: int


@dataclass(frozen=True, slots=True)
class Board:
    """A board. Sizes in bytes.

    ``flash`` and ``ram`` are the chip's totals as its data sheet prints them;
    ``usable_flash`` is what is left for the firmware after bootloader and partitions;
    ``largest_ram`` is the largest contiguous block, which the arena must fit;
    ``reserved_flash`` and ``reserved_ram`` are what the SDK, and for the user's own boards
    the application, take besides the model and TFLM; ``sdk`` says whose figures they are, empty
    where nothing is known. ``verified`` is false where the sources leave a figure unchecked: a
    pass on such a board warns. ``flash_margin_percent`` is above 0 where the core has no table
    of its own and ``runtime`` is the nearest.
    """

    id: str
    name: str
    mcu: str
    core: str
    clock_mhz: int
    flash: int
    ram: int
    usable_flash: int
    largest_ram: int
    reserved_flash: int
    reserved_ram: int
    runtime: str
    regions: tuple[Region, ...]
    source: str
    vendor: str = ""
    sdk: str = ""
    notes: str = ""
    verified: bool = True
    flash_margin_percent: float = 0.0

    @property
    def flash_room(self) -> int:
        """Flash left for model and runtime."""
        return max(0, self.usable_flash - self.reserved_flash)

    @property
    def usable_ram(self) -> int:
        """RAM that a linker script can hand out: all blocks together, or ``ram`` without any."""
        blocks = [region.usable for region in self.regions if region.kind in ("sram", "tcm")]
        return sum(blocks) if blocks else self.ram

    @property
    def ram_room(self) -> int:
        """RAM left for arena, interpreter and stack, over all blocks."""
        return max(0, self.usable_ram - self.reserved_ram)

    @property
    def arena_room(self) -> int:
        """The largest arena that can be placed: one block, with the reserve in the others first."""
        return min(self.largest_ram, self.ram_room)
