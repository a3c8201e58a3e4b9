"""The boards that a declaration may name: the catalog's and its own ``[boards.NAME]``."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.boards.everyday import boards_called
from pytest_tinybudget.boards.everyday import several
from pytest_tinybudget.boards.power import Power
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.runtimes import check_suitable
from pytest_tinybudget.declaration.runtimes import runtime_reference
from pytest_tinybudget.runtimes.distributions import default_runtime
from pytest_tinybudget.runtimes.distributions import sdks
from pytest_tinybudget.runtimes.stand_ins import stand_ins


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.schema.boards import BoardTable
    from pytest_tinybudget.update.slots import Slots


_SIZES = (
    "flash",
    "ram",
    "usable_flash",
    "largest_ram",
    "largest_heap",
    "psram",
    "reserved_flash",
    "reserved_ram",
)
#: The longest chain of boards that extend boards.
_DEEPEST = 20


class Boards(Struct, eq=False):
    """Resolves ``tables``, the file's own boards, one after the other into ``own``.

    ``slots`` has the slots of boards by id; a board has those of the board that it extends.
    ``catalog`` has all other boards, ``inherited`` those of them that come from a file which this
    one extends. ``sdk`` is that of ``[defaults]``. A board with a fixed-cost runtime of its own
    adds it to ``runtimes``.
    """

    context: Context
    tables: Mapping[str, BoardTable]
    catalog: Mapping[str, Board]
    runtimes: MutableMapping[str, DeclaredRuntime]
    inherited: Mapping[str, Board] = field(default_factory=dict)
    own: dict[str, Board] = field(default_factory=dict)
    slots: dict[str, Slots] = field(default_factory=dict)
    sdk: str = ""
    _with_default_sdk: dict[str, Board] = field(default_factory=dict)
    _wrong: set[str] = field(default_factory=set)

    def resolve(self) -> None:
        """Resolve all own boards, each after the one that it extends."""
        for name in self.tables:
            self._own_board(name, ())

    @property
    def valid(self) -> Mapping[str, object]:
        """Every id that may be named."""
        return dict.fromkeys((*self.catalog, *self.tables))

    def boards_of(self, ids: list[str] | None, keys: KeyPath) -> tuple[Board, ...] | None:
        """The boards of a list; ``None`` without a list. Wrong names become problems."""
        if ids is None:
            return None
        found, seen = [], set()
        for here, name in self.context.elements(ids, keys):
            board_id = self._id_of(name, here)
            if board_id is None:
                continue
            if board_id in seen:
                self.context.problems.add(here, f"board {board_id!r} is listed twice")
                continue
            seen.add(board_id)
            board = self.own.get(board_id)
            if board is None and board_id not in self.tables:
                board = self._of_catalog(board_id)
            if board is not None:
                found.append(board)
        return tuple(found)

    def _id_of(self, name: str, keys: KeyPath) -> str | None:
        """The id of the board ``name``, which is an id or an everyday name of the catalog.

        ``None``, and a problem, where there is none, or where several boards have the chip.
        """
        if name in self.tables:
            return name
        found = boards_called(name, self.catalog)
        if len(found) > 1:
            listed = keys[-1].isdigit()
            example = f'{keys[-2]} = ["{found[0]}"]' if listed else f'{keys[-1]} = "{found[0]}"'
            self.context.problems.add(keys, several(name, found), example=example)
        elif not found:
            self.context.look_up("board", name, self.valid, keys)
        return found[0] if len(found) == 1 else None

    def _own_board(self, name: str, extending: tuple[str, ...]) -> Board | None:
        """The board of ``[boards.NAME]``; ``extending`` are those that wait for it."""
        if name in self.own or name in self._wrong:
            return self.own.get(name)
        table, board = self.tables[name], None
        if name in self.catalog:
            whose = "the extended file" if name in self.inherited else "the catalog"
            text = f"is a board of {whose}: choose another name"
            example = f'[boards.my-{name}] with extends = "{name}"'
            self.context.problems.add(("boards", name), text, example=example)
        elif table.extends is None:
            board = self._board(name, table, None)
        else:
            parent = self._parent(table.extends, (*extending, name))
            board = parent and self._board(name, table, parent)
        if board is None:
            self._wrong.add(name)
        else:
            self.own[name] = board
        return board

    def _with_slots(self, board: Board, table: BoardTable, parent: str) -> Board:
        """``board`` with the flash that its update slots leave; notes the slots.

        A partition table takes the place of the one that the usable flash was taken from.
        """
        if table.slots is None:
            slots = self.slots.get(parent)
        else:
            from pytest_tinybudget.declaration.updates import board_slots

            slots = board_slots(self.context, table.slots, board)
        if slots is None:
            return board
        self.slots[board.id] = slots
        if table.slots is None or table.usable_flash is not None:
            return board
        divided = table.slots.partition_table is not None
        usable = slots.room if divided else min(slots.room, board.usable_flash)
        return replace(board, usable_flash=usable)

    def _parent(self, extends: str, extending: tuple[str, ...]) -> Board | None:
        keys = ("boards", extending[-1], "extends")
        if extends in extending:
            circle = " -> ".join((*extending[extending.index(extends) :], extends))
            self.context.problems.add(keys, f"boards extend each other in a circle: {circle}")
            return None
        if len(extending) > _DEEPEST:
            self.context.problems.add(keys, f"more than {_DEEPEST} boards extend each other")
            return None
        if extends in self.tables and extends not in self.catalog:
            return self._own_board(extends, extending)
        found = extends if extends in self.catalog else self._id_of(extends, keys)
        return None if found is None else self._of_catalog(found)

    def _board(self, name: str, table: BoardTable, parent: Board | None) -> Board | None:
        from pytest_tinybudget.declaration.accelerators import module_board
        from pytest_tinybudget.declaration.accelerators import with_accelerator

        keys = ("boards", name)
        sizes = {key: self.context.size(getattr(table, key), *keys, key) for key in _SIZES}
        known = {key: size for key, size in sizes.items() if size is not None}
        start = parent or module_board(name, table, known)
        start = start or self._complete_board(name, table, known)
        if start is None:
            return None
        changed = _changed(self._with_sdk(start, table, keys), name, known)
        described = self._described(changed, table, keys)
        board = self._with_slots(described, table, parent.id if parent else "")
        board = with_accelerator(self.context, board, table, keys)
        self._check_room(board, keys)
        return board

    def _with_sdk(self, parent: Board, table: BoardTable, keys: KeyPath) -> Board:
        """``parent`` with the reserve of the SDK that is named."""
        if table.sdk is None:
            return parent
        from pytest_tinybudget.declaration.sdks import is_known
        from pytest_tinybudget.declaration.sdks import with_reserve

        known = is_known(self.context, table.sdk, (*keys, "sdk"), parent)
        return with_reserve(parent, table.sdk) if known else parent

    def _of_catalog(self, board_id: str) -> Board:
        """The board of the catalog, with the SDK that ``[defaults]`` chooses."""
        board = self.catalog[board_id]
        if not self.sdk or board_id in self.inherited or not board.runs_tflm:
            return board
        if board_id not in self._with_default_sdk:
            from pytest_tinybudget.declaration.sdks import with_reserve
            from pytest_tinybudget.declaration.sdks import with_runtime

            chosen = with_reserve(board, self.sdk)
            keys = ("defaults", "sdk")
            self._with_default_sdk[board_id] = with_runtime(self.context, chosen, self.sdk, keys)
        return self._with_default_sdk[board_id]

    def _complete_board(
        self, name: str, table: BoardTable, sizes: Mapping[str, int]
    ) -> Board | None:
        """The start of a board that extends none: it needs its core, flash and RAM."""
        keys = ("boards", name)
        examples = {"core": "Cortex-M4F", "flash": "1 MB", "ram": "256 KB"}
        for key, example in examples.items():
            if getattr(table, key) is None and not self.context.problems.concerns(*keys, key):
                text = f"{key!r} is missing; or start from another board with 'extends'"
                self.context.problems.add(keys, text, example=f'{key} = "{example}"')
        if "flash" not in sizes or "ram" not in sizes or table.core is None:
            return None
        return Board(
            id=name,
            name=name,
            mcu="",
            core="",
            clock_mhz=0,
            flash=sizes["flash"],
            ram=sizes["ram"],
            usable_flash=sizes["flash"],
            largest_ram=sizes["ram"],
            reserved_flash=0,
            reserved_ram=0,
            runtime="",
            regions=(),
            source="",
        )

    def _described(self, board: Board, table: BoardTable, keys: KeyPath) -> Board:
        """``board`` with what is not a size: names, core and its runtime."""
        board = replace(
            board,
            name=table.name or board.name,
            mcu=table.mcu or board.mcu,
            clock_mhz=table.clock_mhz or board.clock_mhz,
            notes=table.notes or board.notes,
            power=self._power(table, board.power, keys),
            source=f"{self.context.path.name}: [boards.{board.id}]",
        )
        runtime = runtime_reference(self.context, self.runtimes, table.runtime, (*keys, "runtime"))
        if table.core is not None:
            # An unknown core is fine where the runtime says what to measure with.
            core = stand_ins().get(table.core)
            if core is None and (runtime is None or runtime.runtime is None):
                self.context.look_up("core", table.core, stand_ins(), (*keys, "core"))
            board = replace(
                board,
                core=table.core,
                runtime=default_runtime(table.core, board.sdk) if core else "",
                flash_margin_percent=core.flash_margin_percent if core else 0.0,
            )
        sdk = table.sdk or (self.sdk if table.core is not None else "")
        if sdk in sdks() and runtime is None:
            from pytest_tinybudget.declaration.sdks import with_runtime

            here = (*keys, "sdk") if table.sdk else ("defaults", "sdk")
            board = with_runtime(self.context, board, sdk, here)
        if runtime is not None:
            own = runtime.name
            if isinstance(table.runtime, Struct):
                own = f"{board.id}-fixed-cost"
                self.runtimes[own] = replace(runtime, name=own)
            board = replace(board, runtime=own)
            here = (*keys, "runtime")
            check_suitable(self.context, self.runtimes, self.runtimes.get(own), board, here)
        elif (
            board.runs_tflm
            and board.runtime not in self.runtimes
            and not self.context.problems.concerns(*keys)
        ):
            self.context.look_up("runtime", board.runtime, self.runtimes, keys)
        return board

    def _power(self, table: BoardTable, otherwise: Power, keys: KeyPath) -> Power:
        """The declared power of the board; missing keys are taken from ``otherwise``."""
        active = self.context.quantity(table.active_power, "W", *keys, "active_power")
        sleep = self.context.quantity(table.sleep_current, "A", *keys, "sleep_current")
        volts = self.context.quantity(table.voltage, "V", *keys, "voltage")
        return Power(
            first(active, otherwise.active_watts),
            first(sleep, otherwise.sleep_amperes),
            first(volts, otherwise.volts),
        )

    def _check_room(self, board: Board, keys: KeyPath) -> None:
        """Note a part that is larger than its whole: it would make a limit of 0 or a false pass."""
        for part, whole in (
            ("usable_flash", "flash"),
            ("largest_ram", "ram"),
            ("largest_heap", "ram"),
            ("reserved_flash", "usable_flash"),
            ("reserved_ram", "usable_ram"),
        ):
            part_bytes, whole_bytes = getattr(board, part) or 0, getattr(board, whole)
            if part_bytes > whole_bytes:
                text = (
                    f"{format_size(part_bytes)} is more than the board's {whole}, "
                    f"{format_size(whole_bytes)}"
                )
                self.context.problems.add((*keys, part), text)


def _changed(parent: Board, name: str, sizes: Mapping[str, int]) -> Board:
    """``parent`` with other sizes. Its details of a replaced memory are dropped."""
    board = replace(
        parent,
        id=name,
        name=name,
        flash=sizes.get("flash", parent.flash),
        ram=sizes.get("ram", parent.ram),
        usable_flash=sizes.get("usable_flash", parent.usable_flash),
        largest_ram=sizes.get("largest_ram", parent.largest_ram),
        reserved_flash=sizes.get("reserved_flash", parent.reserved_flash),
        reserved_ram=sizes.get("reserved_ram", parent.reserved_ram),
        largest_heap=sizes.get("largest_heap", parent.largest_heap),
    )
    if "flash" in sizes:
        usable = sizes.get("usable_flash", min(parent.usable_flash, board.flash))
        board = replace(board, usable_flash=usable)
    if "ram" in sizes:
        largest = sizes.get("largest_ram", min(parent.largest_ram, board.ram))
        regions = tuple(region for region in board.regions if not region.is_ram)
        heap = sizes.get("largest_heap")
        board = replace(board, largest_ram=largest, largest_heap=heap, regions=regions)
    if "psram" in sizes:
        regions = tuple(region for region in board.regions if region.kind != "psram")
        board = replace(board, regions=(*regions, *_external(sizes)))
    if sizes.keys() & {"reserved_flash", "reserved_ram"}:
        board = replace(board, sdk="as declared")
    # Whoever states figures of their own has looked at the board's memory.
    return replace(board, verified=parent.verified or bool(sizes))


def _external(sizes: Mapping[str, int]) -> tuple[Region, ...]:
    """The declared external RAM; 0 removes it."""
    size = sizes.get("psram")
    return (Region("PSRAM", "psram", size, size),) if size else ()
