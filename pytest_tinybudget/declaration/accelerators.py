"""The accelerator of an own board: looked up, and how Vela compiles for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.boards.accelerator import Accelerator
from pytest_tinybudget.boards.accelerator import VelaOptions
from pytest_tinybudget.boards.accelerator import accelerators
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.schema.boards import BoardTable
    from pytest_tinybudget.declaration.schema.boards import VelaTable


def module_board(name: str, table: BoardTable, sizes: Mapping[str, int]) -> Board | None:
    """The start of a board that is a Jetson module: it has a memory, and no core or runtime."""
    accelerator = accelerators().get(table.accelerator or "")
    if accelerator is None or accelerator.kind != "jetson":
        return None
    ram = sizes.get("ram", accelerator.memory_bytes)
    flash = sizes.get("flash", 0)
    return Board(
        id=name,
        name=accelerator.name,
        mcu="",
        core="",
        clock_mhz=0,
        flash=flash,
        ram=ram,
        usable_flash=flash,
        largest_ram=ram,
        reserved_flash=0,
        reserved_ram=0,
        runtime="",
        regions=(),
        source=accelerator.source,
        vendor="NVIDIA",
    )


def with_accelerator(context: Context, board: Board, table: BoardTable, keys: KeyPath) -> Board:
    """``board`` with the accelerator that ``table`` names and its options for Vela."""
    if table.accelerator is not None:
        found = context.look_up(
            "accelerator", table.accelerator, accelerators(), (*keys, "accelerator")
        )
        if found is not None:
            _check_core(context, board, found, keys)
        board = replace(board, accelerator=table.accelerator)
    if table.vela is None:
        return board
    known = accelerators().get(board.accelerator)
    if known is None or known.kind != "ethos-u":
        text = "is for boards with an Ethos-U"
        context.problems.add((*keys, "vela"), text, example='accelerator = "ethos-u55-128"')
    return replace(board, vela=_vela(context, table.vela, board.vela, (*keys, "vela")))


def _check_core(context: Context, board: Board, accelerator: Accelerator, keys: KeyPath) -> None:
    """A Jetson is a board by itself; any other accelerator is beside a microcontroller's core."""
    here = (*keys, "accelerator")
    if accelerator.kind == "jetson" and board.core:
        text = "is a module with a memory of its own: leave out 'extends' and 'core'"
        context.problems.add(here, text, example='accelerator = "jetson-nano"')
    if accelerator.kind != "jetson" and not board.runs_tflm:
        text = "is beside the core of a microcontroller, which a Jetson is not"
        context.problems.add(here, text, example='extends = "grove-vision-ai-v2"')


def _vela(context: Context, table: VelaTable, otherwise: VelaOptions, keys: KeyPath) -> VelaOptions:
    cache_size = context.size(table.arena_cache_size, *keys, "arena_cache_size")
    return VelaOptions(
        config=_config(context, table.config) if table.config else otherwise.config,
        system_config=table.system_config or otherwise.system_config,
        memory_mode=table.memory_mode or otherwise.memory_mode,
        optimise=table.optimise or otherwise.optimise,
        arena_cache_size=otherwise.arena_cache_size if cache_size is None else cache_size,
        timeout_s=table.timeout or otherwise.timeout_s,
    )


def _config(context: Context, declared: str) -> str:
    """A file of the project's, or the name of a configuration that comes with Vela."""
    own: Path = context.path.parent / declared
    return str(own.resolve()) if own.is_file() else declared
