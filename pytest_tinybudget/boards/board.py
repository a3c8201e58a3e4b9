"""The board type: what a board offers a model, with where each figure comes from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec import field
from msgspec.structs import force_setattr
from msgspec.structs import replace

from pytest_tinybudget.boards.accelerator import VelaOptions
from pytest_tinybudget.boards.power import Power
from pytest_tinybudget.runtimes.placement import Placement


class Region(Struct, frozen=True):
    """A block of memory.

    Attributes:
        name: What reports call it, such as ``"SRAM"``.
        kind: ``"psram"`` is external RAM; ``"sram"`` and ``"tcm"`` are on the chip.
        size: Bytes, as the data sheet has them.
        usable: Bytes of it that a firmware can have.
        static_limit: Bytes of it that the linker script gives to static data. 0 where the block is
            the heap's alone, ``None`` where all that is usable.
        heap_block: Bytes of the largest free block of the heap at boot. ``None`` where nobody has
            published one.
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
        """Bytes that static data may take of it, 0 where it is no RAM on the chip."""
        if not self.is_ram:
            return 0
        return self.usable if self.static_limit is None else self.static_limit


class Sdk(Struct, frozen=True):
    """What an SDK takes of a board besides the model and TFLM.

    Attributes:
        name: As a declaration names it, such as ``"zephyr"``.
        reserved_flash: Bytes of flash.
        reserved_ram: Bytes of RAM.
        source: Where the figures come from.
        notes: What else is to be known about them; may be empty.
        complete: Whether both figures are known. Where one is missing or only a lower bound, a
            pass with it is a warning.
    """

    name: str
    reserved_flash: int
    reserved_ram: int
    source: str
    notes: str = ""
    complete: bool = True


#: The SDK of a board without one. The user declares what the application takes.
BARE_METAL = Sdk("bare-metal", 0, 0, "by definition", "start-up code only, nothing reserved")


class Block(Struct, frozen=True):
    """The block of memory that an arena goes into.

    Attributes:
        region: The name of its ``Region``.
        room: Bytes that it has for the arena.
        published: Whether the figure is the placement's own. ``False`` where another stands for it.
    """

    region: str
    room: int
    published: bool = True


class Board(Struct, frozen=True, cache_hash=True):
    """A board. All sizes are bytes.

    Attributes:
        id: As a declaration names it, such as ``"raspberry-pi-pico"``.
        name: As the vendor calls it.
        mcu: The microcontroller.
        core: The core that runs TFLM, a name of ``runtimes.cores``.
        clock_mhz: The highest clock of the core, MHz.
        flash: The chip's flash or the external flash, as the data sheet has it.
        ram: The chip's RAM, as the data sheet has it.
        usable_flash: Flash for the firmware, after bootloader and partitions.
        largest_ram: The largest static array that the linker can place; the arena must fit it.
        reserved_flash: Flash that the SDK takes, and on the user's own boards the application.
        reserved_ram: RAM that these take.
        runtime: The id of the runtime that predicts for the core.
        regions: The blocks of memory.
        source: Where the figures come from.
        vendor: Who makes the board.
        sdk: Whose reserve counts: the name of one of ``sdks``, or ``"as declared"``.
        notes: What else is to be known; may be empty.
        verified: Whether all figures were checked. Where not, a pass is a warning.
        flash_margin_percent: Margin of the flash, in percent. Above 0 where the core has no
            measured table and ``runtime`` is the nearest one.
        sdks: The SDKs with known reserves.
        largest_heap: The largest free block of the heap at boot; ``None`` where not published.
        power: What the declaration says about power.
        accelerator: The id of an accelerator beside the core (``accelerators()``); empty: none.
        vela: How Vela compiles models for an Ethos-U.
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

    def __post_init__(self) -> None:
        """A board is the key of what is worked out of it: a plugin's may have lists."""
        for name in ("regions", "sdks"):
            value = getattr(self, name)
            if not isinstance(value, tuple):
                force_setattr(self, name, tuple(value))

    @property
    def runs_tflm(self) -> bool:
        """Whether it has a core that firmware with TFLM is built for; a Jetson module has none."""
        return bool(self.core or self.runtime)

    @property
    def flash_room(self) -> int:
        """Bytes of flash for the model and the runtime."""
        return max(0, self.usable_flash - self.reserved_flash)

    @property
    def usable_ram(self) -> int:
        """Bytes of RAM that a firmware can have: of all blocks, or ``ram`` where none is listed."""
        return _usable_ram(self)

    @property
    def ram_room(self) -> int:
        """Bytes of RAM for arena, interpreter and stack, over all blocks."""
        return max(0, self.usable_ram - self.reserved_ram)

    @property
    def arena_room(self) -> int:
        """Bytes of the largest static arena: in one block, the reserve in the others first."""
        return min(self.largest_ram, self.ram_room)

    @property
    def statics_share_a_block(self) -> bool:
        """Whether other static data must lie in the arena's block, because the others are heap."""
        rooms = [region.static_room for region in self.regions if region.is_ram and region.usable]
        return 0 in rooms and sum(room > 0 for room in rooms) == 1

    @property
    def chosen_sdk(self) -> Sdk | None:
        """The SDK whose reserve counts; ``None`` where it was declared or nothing is known."""
        return next((sdk for sdk in self.sdks if sdk.name == self.sdk), None)

    def block(self, placement: Placement) -> Block | None:
        """The block that an arena with ``placement`` goes into; ``None`` where there is none."""
        return _block(self, placement)

    def other_blocks(self, main: Block, most: int) -> list[Block]:
        """The blocks for static arrays besides ``main``.

        Where the declared largest array is smaller than the memory, the other blocks are not known,
        only that none is larger. They then count as that large.

        Args:
            main: The block of the arena.
            most: How many blocks of unknown size are needed at most.
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
        """The board with the reserve of ``sdk``. A declared ``largest_ram`` stays as it is."""
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


@lru_cache(maxsize=256)
def _usable_ram(board: Board) -> int:
    blocks = [region.usable for region in board.regions if region.is_ram]
    return sum(blocks) if blocks else board.ram


@lru_cache(maxsize=256)
def _block(board: Board, placement: Placement) -> Block | None:
    if placement == "psram":
        external = [region for region in board.regions if region.kind == "psram"]
        largest = max(external, key=lambda region: region.usable, default=None)
        return Block(largest.name, largest.usable) if largest else None
    largest = max(
        (region for region in board.regions if region.is_ram),
        key=lambda region: region.static_room,
        default=None,
    )
    name = largest.name if largest else "RAM"
    if placement == "static":
        return Block(name, board.largest_ram)
    if board.largest_heap is None:
        return Block(name, board.largest_ram, published=False)
    holders = [each.name for each in board.regions if each.heap_block == board.largest_heap]
    return Block(holders[0] if holders else "heap", board.largest_heap)


def largest_static(regions: Sequence[Region], reserved_ram: int) -> int:
    """Bytes of the largest array that a linker can place beside an SDK's data.

    Args:
        regions: The board's blocks of memory.
        reserved_ram: Bytes that the SDK takes. They count as lying in the largest block; where it
            is the only one, ``Board.ram_room`` subtracts them.
    """
    rooms = sorted((region.static_room for region in regions if region.static_room), reverse=True)
    usable = [region for region in regions if region.is_ram and region.usable]
    return max(0, rooms[0] - (reserved_ram if len(usable) > 1 else 0)) if rooms else 0
