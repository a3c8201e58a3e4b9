"""One model on one runtime: its flash and RAM, part by part."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.float_parts import float_parts
from pytest_tinybudget.footprint.layout import ACTIVATIONS
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.layout import NON_PERSISTENT
from pytest_tinybudget.footprint.layout import PERSISTENT
from pytest_tinybudget.footprint.layout import laid_out
from pytest_tinybudget.footprint.link import Linked
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.link import model_parts
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.stack import stack_part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import as_firmware
from pytest_tinybudget.runtimes.runtime import Runtime


#: Said of an arena where the runtime's code is a declared figure, perhaps another engine's.
_NOT_TFLM = "as TFLM lays it out"
#: Said of the stack of a model with no arena.
_NOT_LOADED = "not looked at: TFLM does not load the model"


class Code(Struct, frozen=True, gc=False):
    """What code takes for a model: ``linked`` is ``None`` where a fixed cost is declared."""

    linked: Linked | None
    stack: Part


def code_of(model: Model, firmware: Firmware, *, runs: bool) -> Code:
    """What TFLM's code takes for ``model`` in ``firmware``.

    ``runs`` is whether TFLM loads the model: others may have shapes that no kernel takes, and their
    stack is not looked at.

    Raises:
        TinybudgetError: the runtime's tables are missing or damaged.
    """
    linked = link(model, firmware) if firmware.fixed is None else None
    if firmware.fixed is not None:
        stack = Part("stack", firmware.fixed.stack, "declared")
    elif runs:
        stack = stack_part(model, firmware.runtime)
    else:
        stack = Part("stack", 0, "estimated", note=_NOT_LOADED)
    if firmware.stack is not None:
        stack = Part("stack", firmware.stack, "declared")
    return Code(linked, stack)


def measure(
    model: Model,
    firmware: Firmware | Runtime,
    simulation: Simulation | None = None,
    code: Code | None = None,
    own: tuple[Part, ...] = (),
) -> Footprint:
    """Flash and RAM of ``model`` in ``firmware``, in parts, each with how it was got.

    A model that TFLM would refuse has ``refusals`` and, where it fails before planning, no arena.

    Args:
        model: the model's graph.
        firmware: what the model is built into. A runtime alone stands for firmware with
            generic registrations, its arena in RAM on the chip and its model in flash.
        simulation: the model's, where it was made already for firmware of the same
            ``arena_key``.
        code: what ``code_of`` found of the model, where that was asked before.
        own: the model's own bytes, as ``model_parts`` has them, where these are known.

    Raises:
        TinybudgetError: the runtime's tables are missing or damaged.
    """
    firmware = as_firmware(firmware)
    simulation = simulation or simulate(model, firmware)
    flash_parts = own or model_parts(model)
    ram_parts = arena_parts(simulation.arena, exact=not simulation.unknown, least=simulation.least)
    unknown = simulation.unknown
    code = code or code_of(model, firmware, runs=simulation.arena is not None)
    linked = code.linked
    if firmware.fixed is not None:
        flash_parts += (Part("runtime", firmware.fixed.flash, "declared"),)
        ram_parts = tuple(replace(part, note=part.note or _NOT_TFLM) for part in ram_parts)
    if linked is not None:
        flash_parts += linked.parts
        ram_parts += linked.ram_parts
        refused = tuple(f"operator {each.operator}: " for each in simulation.refusals)
        unknown += tuple(
            line
            for line in linked.unknown
            if line not in unknown and not line.startswith(refused)  # a refusal says it better
        )
    footprint = Footprint(
        runtime=firmware.name,
        flash_parts=flash_parts,
        ram_parts=(*ram_parts, code.stack),
        arena=simulation.arena,
        stack=code.stack.bytes + code.stack.margin_bytes,
        layers=simulation.layers,
        refusals=simulation.refusals,
        unknown=unknown,
        risky=simulation.risky,
        not_int8=not_int8_tensors(model),
        float_parts=float_parts(model, simulation.arena.buffers if simulation.arena else ()),
    )
    return laid_out(footprint, firmware.placements)


def arena_parts(
    arena: Arena | None, *, exact: bool, least: Arena | None = None
) -> tuple[Part, ...]:
    """The arena's room in RAM: planned buffers, persistent data, and what only set-up needs.

    ``least`` is the smallest that it may be: what ``arena`` has beyond it is margin.
    """
    if arena is None:
        return ()
    method: Literal["exact", "estimated"] = "exact" if exact else "estimated"
    set_up = _set_up_note(arena)
    names, notes = _ARENA_PARTS, ["", "", set_up]
    if arena.split is not None:
        names, notes = _SPLIT_PARTS, ["", set_up, "", _ROUNDING]
    return tuple(
        Part(name, min(most, smallest), method, margin_bytes=max(most - smallest, 0), note=note)
        for name, note, most, smallest in zip(
            names, notes, _shares(arena), _shares(least or arena), strict=True
        )
    )


_ROUNDING = "rounds up to a multiple of 16"
_ARENA_PARTS: tuple[str, ...] = (
    f"{ARENA}{ACTIVATIONS}", "arena: persistent", "arena: room to set up",
)  # fmt: skip
_SPLIT_PARTS = (
    f"{NON_PERSISTENT}{ACTIVATIONS}",
    f"{NON_PERSISTENT}: room to set up",
    PERSISTENT,
    f"{PERSISTENT}: rounding",
)


def _shares(arena: Arena) -> tuple[int, ...]:
    """Planned buffers, persistent data, and what only set-up needs: bytes, in the parts' order."""
    split = arena.split
    if split is None:
        return arena.head, arena.tail, arena.required - arena.used
    rounded, room = split.persistent - arena.tail, split.non_persistent - arena.head
    return arena.head, room, arena.tail, rounded


def _set_up_note(arena: Arena) -> str:
    if arena.decided_by == "used":
        return _ROUNDING
    return f"decided by {arena.decided_by}"
