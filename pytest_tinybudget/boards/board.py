"""The board type: what a board offers a model, with where each figure comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.boards.accelerator import VelaOptions
from pytest_tinybudget.boards.power import Power
from pytest_tinybudget.runtimes.placement import Placement


class Region(Struct, frozen=True):
    """A block of memory, bytes. ``usable`` is what a firmware can have of ``size``.

    ``static_limit`` is what a linker script hands out of it for static data: 0 in a block that
    is the heap's alone, all that is usable where it is ``None``. ``heap_block`` is the largest
    free block of the heap at boot, ``None`` where nobody has published one.
    """

    name: str
    kind: Literal["flash", "sram", "tcm", "psram"]
    size: int
    usable: int
    static_limit: int | None = None
    heap_block: int | None = None

    @property
    def is_ram(self) -> bool:
        """Whether it is RAM on the chip."""
        return self.kind in ("sram", "tcm")

    @property
    def static_room(self) -> int:
        """What static data may take of RAM on the chip."""
        if not self.is_ram:
            return 0
        return self.usable if self.static_limit is None else self.static_limit


class Sdk(Struct, frozen=True):
    """What an SDK takes of a board besides model and TFLM, bytes.

    ``complete`` is false where a figure is unknown or only a lower bound: a pass with it warns.
    """

    name: str
    reserved_flash: int
    reserved_ram: int
    source: str
    notes: str = ""
    complete: bool = True


#: Every board has it: what the application takes is the user's to declare.
BARE_METAL = Sdk("bare-metal", 0, 0, "by definition", "start-up code only, nothing reserved")


class Block(Struct, frozen=True):
    """The block of memory for an arena: ``room`` bytes of ``region``.

    ``published`` is false where the figure is not the placement's own but stands in for it.
    """

    region: str
    room: int
    published: bool = True


class Board(Struct, frozen=True):
    """A board. Sizes in bytes.

    ``flash`` and ``ram`` are the chip's totals as its data sheet prints them;
    ``usable_flash`` is what is left for the firmware after bootloader and partitions;
    ``largest_ram`` is the largest static array, which the arena must fit, and ``largest_heap``
    the largest free block of the heap at boot (``None``: not published);
    ``reserved_flash`` and ``reserved_ram`` are what the SDK, and for the user's own boards
    the application, take besides the model and TFLM; ``sdk`` says whose figures they are (one
    of ``sdks``, or ``"as declared"``). ``verified`` is false where the sources leave a figure
    unchecked: a pass on such a board warns. ``flash_margin_percent`` is above 0 where the core
    has no table of its own and ``runtime`` is the nearest. ``power`` is what is declared of it.
    ``accelerator`` is the id of what runs models beside the core (``accelerators()``), ``vela``
    how they are compiled for an Ethos-U.
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
    sdks: tuple[Sdk, ...] = (BARE_METAL,)
    largest_heap: int | None = None
    power: Power = field(default_factory=Power)
    accelerator: str = ""
    vela: VelaOptions = field(default_factory=VelaOptions)

    @property
    def flash_room(self) -> int:
        """Flash left for model and runtime."""
        return max(0, self.usable_flash - self.reserved_flash)

    @property
    def usable_ram(self) -> int:
        """RAM that a firmware can have: all blocks together, or ``ram`` without any."""
        blocks = [region.usable for region in self.regions if region.is_ram]
        return sum(blocks) if blocks else self.ram

    @property
    def ram_room(self) -> int:
        """RAM left for arena, interpreter and stack, over all blocks."""
        return max(0, self.usable_ram - self.reserved_ram)

    @property
    def arena_room(self) -> int:
        """The largest static arena: one block, with the reserve in the others first."""
        return min(self.largest_ram, self.ram_room)

    @property
    def statics_share_a_block(self) -> bool:
        """Whether other static data can only lie beside the arena: the other blocks are heap."""
        rooms = [region.static_room for region in self.regions if region.is_ram and region.usable]
        return 0 in rooms and sum(room > 0 for room in rooms) == 1

    @property
    def chosen_sdk(self) -> Sdk | None:
        """The SDK whose reserve counts; ``None`` where it was declared or nothing is known."""
        return next((sdk for sdk in self.sdks if sdk.name == self.sdk), None)

    def block(self, placement: Placement) -> Block | None:
        """The block that an arena with ``placement`` goes into; ``None`` where there is none."""
        if placement == "psram":
            external = [region for region in self.regions if region.kind == "psram"]
            largest = max(external, key=lambda region: region.usable, default=None)
            return Block(largest.name, largest.usable) if largest else None
        largest = max(
            (region for region in self.regions if region.is_ram),
            key=lambda region: region.static_room,
            default=None,
        )
        name = largest.name if largest else "RAM"
        if placement == "static":
            return Block(name, self.largest_ram)
        if self.largest_heap is None:
            return Block(name, self.largest_ram, published=False)
        holders = [each.name for each in self.regions if each.heap_block == self.largest_heap]
        return Block(holders[0] if holders else "heap", self.largest_heap)

    def other_blocks(self, main: Block, most: int) -> list[Block]:
        """The blocks for static arrays besides ``main``, at most ``most`` of an unknown layout.

        Where a largest array is declared that is smaller than its memory, nobody knows the other
        blocks but that none is larger.
        """
        regions = {each.name: each.static_room for each in self.regions if each.static_room}
        inside = regions.pop(main.region, 0 if regions else self.usable_ram)
        left = inside - self.reserved_ram - self.largest_ram
        unknown: list[Block] = []
        while left > 0 and self.largest_ram and len(unknown) < most:
            unknown.append(Block(main.region, min(left, self.largest_ram)))
            left -= self.largest_ram
        return [*(Block(name, room) for name, room in regions.items()), *unknown]

    def with_sdk(self, sdk: Sdk) -> Board:
        """The board with the reserve of ``sdk``; a ``largest_ram`` that was declared stays."""
        largest = self.largest_ram
        if largest == largest_static(self.regions, self.reserved_ram):
            largest = largest_static(self.regions, sdk.reserved_ram)
        return replace(
            self,
            sdk=sdk.name,
            reserved_flash=sdk.reserved_flash,
            reserved_ram=sdk.reserved_ram,
            largest_ram=largest,
        )


def largest_static(regions: Sequence[Region], reserved_ram: int) -> int:
    """The largest array that a linker can place beside an SDK's ``reserved_ram``.

    That lies in the largest block. Where there is no other, the room over all blocks says so.
    """
    rooms = sorted((region.static_room for region in regions if region.static_room), reverse=True)
    usable = [region for region in regions if region.is_ram and region.usable]
    return max(0, rooms[0] - (reserved_ram if len(usable) > 1 else 0)) if rooms else 0
