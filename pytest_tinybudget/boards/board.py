"""The board type: what a microcontroller board offers a model, with where each figure comes from."""

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
    the application, take besides the model and TFLM.
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
    def ram_room(self) -> int:
        """RAM left for arena, interpreter and stack."""
        return max(0, self.ram - self.reserved_ram)
