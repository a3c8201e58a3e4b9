"""Measures a pair: one model, the models of a group together, or a model on an accelerator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.workspace import Workspace


if TYPE_CHECKING:
    from pytest_tinybudget.accelerators import Accelerated


class Measurement(Struct, frozen=True, gc=False):
    """A pair's models, as declared, and what they take together.

    ``accelerated`` is what the board's accelerator makes of the model, if it has one; ``firmware``
    is what TFLM runs in, ``None`` where the board has no core for it.
    """

    models: tuple[Model, ...]
    footprint: Footprint
    accelerated: Accelerated | None = None
    firmware: Firmware | None = None

    @property
    def in_firmware(self) -> tuple[Model, ...]:
        """The models in the firmware: as declared, or as the accelerator's compiler made them."""
        made = self.accelerated and self.accelerated.model
        return (made,) if made else self.models

    @property
    def model_bytes(self) -> int:
        """Size of the files that the firmware holds."""
        return sum(model.bytes for model in self.in_firmware)


def measurement(
    pair: Pair | GroupPair, workspace: Workspace, *, details: bool = False
) -> Measurement:
    """Measure ``pair``. With ``details``, also what changes of the firmware would save.

    Raises:
        TinybudgetError: a model cannot be read or measured, or the board cannot hold a group.
    """
    if isinstance(pair, GroupPair) and pair.board.accelerator:
        raise TinybudgetError(
            f"{pair.declared_at}: a group on {pair.board.id}, which has an accelerator, cannot "
            "be counted: declare its models for the board one by one",
            code="TB200",
        )
    models = tuple(map(workspace.model, pair.models))
    if isinstance(pair, Pair) and pair.board.accelerator:
        from pytest_tinybudget.accelerators import accelerated

        made = accelerated(pair, workspace)
        firmware = pair.firmware if pair.board.runs_tflm else None
        return Measurement(models, made.footprint, made, firmware)
    return measured(pair, models, workspace, details=details)


def measured(
    pair: Pair | GroupPair,
    models: tuple[Model, ...],
    workspace: Workspace,
    *,
    details: bool = False,
) -> Measurement:
    """Measure ``pair`` with ``models`` in place of its own, without an accelerator.

    Raises:
        TinybudgetError: it cannot be measured, or no group can hold the models.
    """
    firmware = pair.firmware
    if isinstance(pair, Pair):
        footprint = workspace.footprint(models[0], firmware, details=details)
    else:
        footprint = _together(pair, models, firmware, workspace)
    return Measurement(models, footprint, firmware=firmware if pair.board.runs_tflm else None)


def footprint_with(
    pair: Pair | GroupPair, models: tuple[Model, ...], workspace: Workspace
) -> Footprint:
    """The footprint alone, as ``measured`` has it.

    Raises:
        TinybudgetError: it cannot be measured, or no group can hold the models.
    """
    return measured(pair, models, workspace).footprint


def _together(
    pair: GroupPair, models: tuple[Model, ...], firmware: Firmware, workspace: Workspace
) -> Footprint:
    from pytest_tinybudget.gate.groups import combine

    members = pair.members
    firmwares = [_in_arena_of(pair, member) for member in members]
    return combine(
        {member.name: model for member, model in zip(members, models, strict=True)},
        [workspace.footprint(model, each) for model, each in zip(models, firmwares, strict=True)],
        firmware,
        arena=pair.group.arena,
        placements=[each.placements for each in firmwares],
    )


def _in_arena_of(pair: GroupPair, member: Pair) -> Firmware:
    """The firmware of ``member``, with its arena in the memory of the group's arena."""
    firmware = member.firmware
    return replace(firmware, placements=replace(firmware.placements, arena=pair.group.placement))
