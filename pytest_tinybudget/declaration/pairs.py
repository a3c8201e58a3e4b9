"""The pairs of a declaration: each model, and each group of models, on each of its boards.

A pair has only what is its own, and what its project shares; no other model, and no line but its
own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.declared import CheckKind
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.declared import runtime_for
from pytest_tinybudget.declaration.project import Project
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.interface import interface_of
from pytest_tinybudget.runtimes.placement import Placements


if TYPE_CHECKING:
    from pytest_tinybudget.rollout.policy import RolloutSettings
    from pytest_tinybudget.update.slots import Slots


class Location(Struct, frozen=True):
    """Where something is declared: one for all boards of a model.

    Attributes:
        file: of the declaration, a POSIX path as reports show it; else what node ids begin with.
        line: the one to edit (from 1), 0 where nothing is declared.
        growth_line: of ``max_increase``, 0 where that is not declared.
    """

    file: str
    line: int = 0
    growth_line: int = 0

    @property
    def text(self) -> str:
        """``tinybudget.toml:12``; empty for what no file declares.

        The boards of a model have one text, not one each.
        """
        return sys.intern(f"{self.file}:{self.line}") if self.line else ""

    @property
    def growth_text(self) -> str:
        """As ``text``, of what limits growth."""
        return f"{self.file}:{self.growth_line}" if self.growth_line else self.text


class _Item(Struct, frozen=True, gc=False):
    """Something that a declaration asks for, with a node id of its own.

    Structs cannot be abstract: each kind says what is not implemented here.
    """

    location: Location
    project: Project

    @property
    def name(self) -> str:
        """What it is of."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """What that is checked on, or for."""
        raise NotImplementedError

    @property
    def models(self) -> tuple[DeclaredModel, ...]:
        """The models that it is of."""
        raise NotImplementedError

    @property
    def informational(self) -> bool:
        """Whether it is only reported, as its models are; nothing is where there is no model."""
        return bool(self.models) and all(model.informational for model in self.models)

    @property
    def file(self) -> str:
        """The declaration, as reports show it."""
        return self.location.file

    @property
    def id(self) -> str:
        """``tinybudget.toml::kws::arduino-nano-33-ble``, the node id under pytest."""
        return f"{self.file}::{self.name}::{self.target}"

    @property
    def declared_at(self) -> str:
        """``tinybudget.toml:12``; empty for what no file declares."""
        return self.location.text


class Pair(_Item, frozen=True, gc=False):
    """A model on a board."""

    model: DeclaredModel
    board: Board

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def target(self) -> str:
        """What it is checked on: the board's id."""
        return self.board.id

    @property
    def section(self) -> str:
        """Its table in the declaration: ``models.kws``."""
        return f"models.{self.model.section}"

    @property
    def models(self) -> tuple[DeclaredModel, ...]:
        """Its model."""
        return (self.model,)

    @property
    def informational(self) -> bool:
        """Whether its model is only reported."""
        return self.model.informational

    @property
    def declared_runtime(self) -> DeclaredRuntime:
        """The runtime of the model, or else the one that the board names.

        Raises:
            TinybudgetError: there is no runtime of that name.
        """
        return runtime_for(self.model, self.board, self.project.runtimes)

    @property
    def firmware(self) -> Firmware:
        """The firmware that the model is measured in.

        Raises:
            TinybudgetError: the board's core or runtime is not known, or does not suit the other.
        """
        firmware = self.project.firmware_for(self.model, self.board)
        if firmware.registrations == "generic" or self.board.accelerator:
            return firmware
        return replace(
            firmware, not_typed=self._not_typed() - interface_of(firmware.runtime).not_typed
        )

    def _not_typed(self) -> frozenset[tuple[str, str]]:
        """What the model's code cannot register, since one of its boards has an older TFLM."""
        found: frozenset[tuple[str, str]] = frozenset()
        for board in self.model.boards:
            if board == self.board or board.accelerator:
                continue  # what an accelerator runs has code of its own
            with suppress(TinybudgetError):  # which that board's pair reports
                other = self.project.firmware_for(self.model, board)
                found |= interface_of(other.runtime).not_typed
        return found

    @property
    def slots(self) -> Slots | None:
        """How the board divides its flash for updates, where that is declared."""
        return self.project.slots.get(self.board.id)


class GroupPair(_Item, frozen=True, gc=False):
    """Models that share a board."""

    group: DeclaredGroup
    board: Board

    @property
    def name(self) -> str:
        """``groups.NAME``, as in the declaration, so that no model has the same."""
        return f"groups.{self.group.name}"

    @property
    def target(self) -> str:
        """What it is checked on: the board's id."""
        return self.board.id

    @property
    def section(self) -> str:
        """Its table in the declaration."""
        return self.name

    @property
    def models(self) -> tuple[DeclaredModel, ...]:
        """The group's models."""
        return self.group.models

    @property
    def informational(self) -> bool:
        """Whether the group itself is only reported."""
        return self.group.informational

    @property
    def members(self) -> tuple[Pair, ...]:
        """The group's models on its board."""
        return tuple(
            Pair(self.location, self.project, model, self.board) for model in self.group.models
        )

    @property
    def firmware(self) -> Firmware:
        """The firmware that holds the group, without a stack: that of the deepest model counts.

        Registrations are typed only where they are for every model: one generic registration links
        all.

        Raises:
            TinybudgetError: the models are declared for different runtimes.
        """
        firmwares = [member.firmware for member in self.members]
        if len({(each.name, each.runtime, each.fixed) for each in firmwares}) > 1:
            names = ", ".join(sorted({each.name for each in firmwares}))
            raise TinybudgetError(
                f"{self.declared_at}: the models of {self.name} are in one firmware, "
                f"but are declared for different runtimes: {names}",
                code="TB200",
            )
        generic = any(each.registrations == "generic" for each in firmwares)
        return replace(
            firmwares[0],
            registrations="generic" if generic else "typed",
            stack=None,
            placements=Placements(self.group.placement),
            not_typed=frozenset().union(*(each.not_typed for each in firmwares)),
        )

    @property
    def slots(self) -> Slots | None:
        """How the board divides its flash for updates, where that is declared."""
        return self.project.slots.get(self.board.id)


class Check(_Item, frozen=True, gc=False):
    """What is declared of a model, or (without one) of the whole file, besides fitting a board.

    ``rollout`` is what a check of that kind is about.
    """

    kind: CheckKind
    model: DeclaredModel | None = None
    rollout: RolloutSettings | None = None

    @property
    def name(self) -> str:
        """The model's name, or the kind where it is of the whole declaration."""
        return self.model.name if self.model is not None else self.kind

    @property
    def target(self) -> str:
        """What stands in a board's place."""
        return self.kind if self.model is not None else "policy"

    @property
    def models(self) -> tuple[DeclaredModel, ...]:
        """The model, or none."""
        return () if self.model is None else (self.model,)


#: Everything that a declaration asks for: an item each.
Declared = Pair | GroupPair | Check


def pairs(file: str, declaration: Declaration) -> Iterator[Declared]:
    """All that ``declaration`` asks for: models with their checks, groups, checks of the file."""
    project = project_of(declaration)
    for model in declaration.models.values():
        location = _location(file, declaration, "models", model.section)
        for board in model.boards:
            yield Pair(location, project, model, board)
        for kind in model.checks:
            line = declaration.line_of("models", model.section, kind)
            yield Check(Location(file, line), project, kind, model)
    for group in declaration.groups.values():
        location = _location(file, declaration, "groups", group.name)
        for board in group.boards:
            yield GroupPair(location, project, group, board)
    for kind in declaration.checks:
        location = Location(file, declaration.line_of(kind))
        yield Check(location, project, kind, rollout=declaration.rollout)


def project_of(declaration: Declaration) -> Project:
    """What the pairs of ``declaration`` share."""
    return Project(
        path=declaration.path,
        boards=declaration.boards,
        runtimes=declaration.runtimes,
        slots=declaration.slots,
        update=declaration.update,
        artifacts=declaration.artifacts,
        baseline=declaration.baseline,
        files=declaration.files,
    )


def _location(file: str, declaration: Declaration, table: str, name: str) -> Location:
    """Where ``[table.name]`` has its budget, or would have it, and its limit of growth."""
    found = {}
    for key in ("budget", "max_increase"):
        places = ((table, name, key), ("defaults", key))
        found[key] = next((line for each in places if (line := declaration.lines.get(each))), 0)
    line = found["budget"] or declaration.line_of(table, name)
    return Location(file, line, found["max_increase"])
