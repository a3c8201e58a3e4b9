"""Resolves ``[boards.NAME.slots]`` and ``[update]``: reads partition tables, finds overheads."""

from __future__ import annotations

from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.schema.boards import SlotsTable
from pytest_tinybudget.declaration.schema.updates import UpdateTable
from pytest_tinybudget.update.esp_image import chip_of
from pytest_tinybudget.update.esp_image import known_chips
from pytest_tinybudget.update.partitions import Partition
from pytest_tinybudget.update.partitions import load_partitions
from pytest_tinybudget.update.settings import DEFAULT_SEGMENT
from pytest_tinybudget.update.settings import InPlace
from pytest_tinybudget.update.settings import UpdateSettings
from pytest_tinybudget.update.settings import parse_link_rate
from pytest_tinybudget.update.slots import Overhead
from pytest_tinybudget.update.slots import Slots
from pytest_tinybudget.update.slots import partition_named


def update_settings(context: Context, table: UpdateTable) -> UpdateSettings:
    """How updates are sent."""
    try:
        rate = None if table.link_rate is None else parse_link_rate(table.link_rate)
    except ValueError as error:
        keys = ("update", "link_rate")
        context.problems.add(keys, str(error), example='link_rate = "5 kbit/s"')
        rate = None
    return UpdateSettings(table.send, rate, _in_place(context, table))


def _in_place(context: Context, table: UpdateTable) -> InPlace | None:
    """How a delta overwrites the deployed model, where that is declared and right."""
    keys = ("update", "in_place_memory")
    memory = context.size(table.in_place_memory, *keys)
    segment = context.size(table.in_place_segment, "update", "in_place_segment")
    segment = DEFAULT_SEGMENT if segment is None else segment
    if memory is None:
        if table.in_place_segment is not None and table.in_place_memory is None:
            text = "is of deltas in place: 'in_place_memory' is missing"
            context.problems.add(
                ("update", "in_place_segment"), text, example='in_place_memory = "128 KB"'
            )
        return None
    if not segment or memory < segment or memory % segment:
        whole = max(1, -(-memory // segment)) * segment if segment else DEFAULT_SEGMENT
        text = f"expected a multiple of the segment's {format_size(segment)}, found {memory:,} B"
        context.problems.add(keys, text, example=f'in_place_memory = "{whole} B"')
        return None
    return InPlace(memory, segment)


def board_slots(context: Context, table: SlotsTable, board: Board) -> Slots | None:
    """The slots of ``[boards.NAME.slots]``; ``None``, and a problem, where they are wrong."""
    keys = ("boards", board.id, "slots")
    if table.partition_table is not None:
        return _from_partitions(context, table, keys, board)
    return _from_sizes(context, table, keys, board)


def _overhead(context: Context, table: SlotsTable, keys: KeyPath) -> Overhead:
    return Overhead(
        layout=table.layout,
        signature=table.signature,
        header=context.size(table.header, *keys, "header"),
        trailer=context.size(table.trailer, *keys, "trailer"),
        align=table.align,
    )


def _from_sizes(context: Context, table: SlotsTable, keys: KeyPath, board: Board) -> Slots | None:
    """Slots of declared sizes."""
    for key in ("partition", "model_partition"):
        if getattr(table, key) is not None:
            instead = "" if key == "partition" else ", or give 'model_size'"
            text = f"{key!r} names a partition: declare 'partition_table'{instead}"
            context.problems.add((*keys, key), text, example='partition_table = "partitions.csv"')
            return None
    size = context.size(table.size, *keys, "size")
    if size is None:
        if not context.problems.concerns(*keys, "size"):
            text = "'size' is missing, or a 'partition_table'"
            context.problems.add(keys, text, example='size = "480 KB"')
        return None
    model_size = context.size(table.model_size, *keys, "model_size")
    together = table.count * (size + (model_size or 0))
    if together > board.flash:
        text = (
            f"{table.count} slots, {format_size(together)} in all, are more than the board's "
            f"flash, {format_size(board.flash)}"
        )
        context.problems.add((*keys, "size"), text, example='size = "480 KB"')
        return None
    model = None if model_size is None else ("a slot of its own", model_size)
    return _slots(context, table, keys, board, ("a slot", size), model)


def _from_partitions(
    context: Context, table: SlotsTable, keys: KeyPath, board: Board
) -> Slots | None:
    """Slots of a partition table. Sizes in the declaration as well are a problem."""
    assert table.partition_table is not None
    for key in ("size", "model_size"):
        if getattr(table, key) is not None:
            text = f"{key!r} is in the partition table: leave it out"
            context.problems.add((*keys, key), text, example='partition = "ota_0"')
            return None
    here = (*keys, "partition_table")
    path = context.file(table.partition_table, here)
    if context.problems.concerns(*here):
        return None
    shown = context.relative(path)
    try:
        partitions = load_partitions(path, shown)
        firmware = partition_named(partitions, table.partition, shown, "partition")
        model = None
        if table.model_partition is not None:
            model = _sized(
                partition_named(partitions, table.model_partition, shown, "model_partition")
            )
    except TinybudgetError as error:
        context.problems.add(here, error.message, example='partition_table = "partitions.csv"')
        return None
    last = max(partitions, key=lambda partition: partition.end)
    if last.end > board.flash:
        text = (
            f"{shown}:{last.line}: {last.name!r} ends at {format_size(last.end)}, "
            f"beyond the board's flash, {format_size(board.flash)}"
        )
        context.problems.add(here, text)
        return None
    return _slots(context, table, keys, board, _sized(firmware), model)


def _sized(partition: Partition) -> tuple[str, int]:
    return f"partition {partition.name!r}", partition.size


def _slots(
    context: Context,
    table: SlotsTable,
    keys: KeyPath,
    board: Board,
    firmware: tuple[str, int],
    model: tuple[str, int] | None,
) -> Slots | None:
    """The slots with the overhead of each. A slot without any room is a problem."""
    overhead = _overhead(context, table, keys)
    try:
        slot = overhead.slot(*firmware)
        model_slot = None if model is None else overhead.model_slot(*model)
    except TinybudgetError as error:
        context.problems.add((*keys, "signature"), error.message, example='signature = "none"')
        return None
    for each in filter(None, (slot, model_slot)):
        if not each.capacity:
            context.problems.add(keys, f"nothing is left of {each.text}")
            return None
    elf = _elf(context, table, keys, board)
    return Slots(
        layout=table.layout,
        firmware=slot,
        model=model_slot,
        header=overhead.header_bytes,
        align=table.align,
        signature=table.signature,
        elf=elf,
        elf_shown="" if elf is None else context.relative(elf),
        model_symbols=() if table.model_symbol is None else (table.model_symbol,),
    )


def _elf(context: Context, table: SlotsTable, keys: KeyPath, board: Board) -> Path | None:
    """The declared ELF, where the board's image is one that its sections lay out."""
    if table.elf is None:
        if table.model_symbol is not None:
            text = "names an array in an ELF: 'elf' is missing"
            context.problems.add((*keys, "model_symbol"), text, example='elf = "build/app.elf"')
        return None
    here = (*keys, "elf")
    if table.layout != "esp-idf":
        text = f"is for layout 'esp-idf': an image of {table.layout!r} has no pages to fill"
        context.problems.add(here, text)
        return None
    if chip_of(board.mcu) is None:
        text = f"needs 'mcu' in [boards.{board.id}], one of {', '.join(known_chips())}"
        context.problems.add(here, text, example='mcu = "ESP32-S3"')
        return None
    path = context.file(table.elf, here, "build/app.elf")
    return None if context.problems.concerns(*here) else path
