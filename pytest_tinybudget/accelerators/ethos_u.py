"""A model on an Arm Ethos-U: the footprint of the file that Vela compiles, with its firmware.

Exact: the compiled file, and TFLM's arena for it, which holds Vela's SRAM. Estimated: the code of
TFLM's kernel for the NPU and of Arm's driver, and memories that a microcontroller rarely has.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from pytest_tinybudget.accelerators.accelerated import Accelerated
from pytest_tinybudget.accelerators.vela import NPU_OPERATOR
from pytest_tinybudget.accelerators.vela import Compiled
from pytest_tinybudget.accelerators.vela import compile_model
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.shrinking.shrink import shrink_model
from pytest_tinybudget.shrinking.strip import strip
from pytest_tinybudget.workspace import Workspace


#: Operators that only move or name values. The CPU runs them on every board.
_KEEPING = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"})

_CODE_PART = f"operator {NPU_OPERATOR}"
_SHOWN = 4


def on_ethos_u(
    model: Model,
    board: Board,
    firmware: Firmware,
    workspace: Workspace,
    *,
    strips: bool = False,
    shrinks: bool = False,
) -> Accelerated:
    """Compile ``model`` for the board's Ethos-U and measure it in ``firmware``.

    With ``strips`` or ``shrinks``, Vela's output is stripped or shrunk as well, since Vela gives
    tensors its own names. Its memory plan stays. A declared cost of the operator ``ethos-u`` is
    for the kernel and the driver together.

    Raises:
        TinybudgetError: Vela is missing or cannot compile the model (``compile_model``).
    """
    compiled = compile_model(model, board.accelerator, board.vela, workspace.cache())
    if strips:
        compiled = replace(compiled, model=strip(compiled.model).model)
    if shrinks:
        compiled = replace(compiled, model=shrink_model(compiled.model).model)
    footprint = workspace.footprint(compiled.model, firmware.beside("ethos-u"), details=True)
    declared = firmware.cost_of(NPU_OPERATOR)
    code = () if firmware.fixed else tuple(_code(footprint, board.accelerator, declared))
    rest = tuple(part for part in footprint.flash_parts if part.name != _CODE_PART)
    footprint = replace(
        footprint,
        flash_parts=(*rest, *code),
        ram_parts=(*footprint.ram_parts, *_ram_parts(compiled)),
        not_int8=not_int8_tensors(model),
        savings=tuple(item for item in footprint.savings if NPU_OPERATOR not in item.change),
    )
    return Accelerated(
        footprint=footprint,
        model=compiled.model,
        settings=_settings(compiled, board),
        notes=tuple(_notes(model, compiled)),
        warnings=tuple(_warnings(model, compiled, board)),
        figures=(_latency(compiled),),
    )


@cache
def _sizes() -> Any:
    return json.loads((Path(__file__).parent / "data" / "ethos_u.json").read_text("utf-8"))


def _code(footprint: Footprint, accelerator: str, declared: OperatorCost | None) -> Iterator[Part]:
    """Flash of kernel and driver: declared, linked from the user's own table, or an estimate."""
    if declared is not None:
        yield Part(_CODE_PART, declared.flash, "declared")
        return
    sizes = _sizes()
    linked = next((part for part in footprint.flash_parts if part.name == _CODE_PART), None)
    if linked is not None and linked.bytes >= sizes["least_kernel_flash_bytes"]:
        yield linked
    else:  # in TFLM's default build the kernel is an empty function
        kernel, margin = sizes["kernel_flash_bytes"], sizes["kernel_flash_margin_bytes"]
        note = "built for a Cortex-M55"
        yield Part(_CODE_PART, kernel, "estimated", margin_bytes=margin, note=note)
    low, high = sizes["driver_flash_bytes"][accelerator.split("-")[1]]
    note = "how it is built is not known: up to all of it, with its log"
    yield Part("Ethos-U driver", low, "estimated", margin_bytes=high - low, note=note)


def _ram_parts(compiled: Compiled) -> Iterator[Part]:
    static, margin = _sizes()["static_bytes"], _sizes()["static_margin_bytes"]
    yield Part("Ethos-U kernel and driver: static", static, "estimated", margin_bytes=margin)
    mode = f"memory mode {compiled.memory_mode}"
    if compiled.constants_in in _RAM:
        note = f"{mode} has weights and commands in {compiled.constants_in.upper()}"
        yield Part("model: copied to RAM", compiled.model.bytes, "estimated", note=note)
    if compiled.arena_in == "Dram":
        note = f"{mode} has an SRAM of its own for the NPU, besides the arena"
        yield Part("Ethos-U fast scratch", compiled.sram_bytes, "estimated", note=note)


_RAM = frozenset({"Sram", "Dram"})


def _settings(compiled: Compiled, board: Board) -> str:
    options = board.vela
    parts = [
        f"vela {compiled.version}",
        board.accelerator,
        compiled.system_config,
        compiled.memory_mode,
        options.optimise,
    ]
    if options.config:
        parts.append(Path(options.config).name)
    if options.arena_cache_size is not None:
        parts.append(f"arena cache {options.arena_cache_size:,} B")
    return ", ".join(parts)


def _notes(model: Model, compiled: Compiled) -> Iterator[str]:
    yield (
        f"compiled by Vela {compiled.version} ({compiled.system_config}, {compiled.memory_mode}): "
        f"{model.bytes:,} B in, {compiled.model.bytes:,} B out; "
        f"{compiled.sram_bytes:,} B of SRAM by its account, which the arena holds"
    )
    keeping = [name for name in compiled.cpu_operators if name in _KEEPING]
    if keeping:
        yield f"the CPU keeps the model's state: {_counted(keeping)}"


def _warnings(model: Model, compiled: Compiled, board: Board) -> Iterator[str]:
    computing = [name for name in compiled.cpu_operators if name not in _KEEPING]
    if computing:
        yield f"not on the Ethos-U but on the CPU: {_share(model, computing)}"
    chosen = {
        "system_config": (board.vela.system_config, compiled.system_config),
        "memory_mode": (board.vela.memory_mode, compiled.memory_mode),
    }
    missing = [f'{key} = "{used}"' for key, (declared, used) in chosen.items() if not declared]
    if missing:
        yield (
            f"Vela chose {', '.join(missing)}: declare what the chip has in "
            f"[boards.{board.id}.vela]"
        )
    if compiled.arena_in == "Dram":
        yield (
            f"memory mode {compiled.memory_mode} has weights and arena in DRAM: all of it counts "
            "as the board's RAM here"
        )


def _latency(compiled: Compiled) -> Figure:
    """Vela's estimate for the NPU. If the CPU runs operators too, the total is not known."""
    estimate = f"Vela's estimate at {compiled.clock_hz / 1e6:g} MHz, {compiled.system_config}"
    if compiled.cpu_operators:
        milliseconds = compiled.seconds * 1e3
        basis = f"{milliseconds:.3g} ms on the NPU ({estimate}); the CPU's part is not known"
        return Figure("latency", "s", None, None, "unknown", basis)
    return Figure("latency", "s", compiled.seconds, compiled.seconds, "estimated", estimate)


def _share(model: Model, on_cpu: list[str]) -> str:
    """How many of the operators of ``model`` are ``on_cpu``, and which.

    The compiled file may have others: Vela divides an operator into several, or puts in one of its
    own. Those do not count as the model's.
    """
    own = Counter(
        operator.name
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.name not in _KEEPING
    )
    left = Counter(on_cpu)
    shared = left & own
    count, whole = shared.total(), own.total()
    text = f"{count} of the model's {whole} operators"
    if count:
        text += f": {_counted(list(shared.elements()))}"
    made = left - own
    return text + (f"; and by Vela: {_counted(list(made.elements()))}" if made else "")


def _counted(names: list[str]) -> str:
    """``"SVDF (7), QUANTIZE"``."""
    counts = Counter(names).most_common()
    shown = [f"{name} ({count})" if count > 1 else name for name, count in counts[:_SHOWN]]
    if len(counts) > _SHOWN:
        shown.append(f"{len(counts) - _SHOWN} more")
    return ", ".join(shown)
