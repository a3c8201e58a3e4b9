"""The pairs of a declaration: each model, and each group of models, on each of its boards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.declared import CheckKind
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import Placements


@lru_cache(maxsize=1024)
def _place(file: str, line: int) -> str:
    """``tinybudget.toml:12``: one text for all boards of a model."""
    return f"{file}:{line}"


class _Item(Struct, frozen=True, gc=False):
    """Something that a declaration asks for, with a node id of its own.

    Structs cannot be abstract: each kind says what is not implemented here.
    """

    file: str
    declaration: Declaration

    @property
    def name(self) -> str:
        """What it is of."""
        raise NotImplementedError

    @property
    def target(self) -> str:
        """What that is checked on, or for."""
        raise NotImplementedError

    @property
    def line(self) -> int:
        """Line of the declaration to edit (from 1)."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """``tinybudget.toml::kws::arduino-nano-33-ble``, the node id under pytest."""
        return f"{self.file}::{self.name}::{self.target}"

    @property
    def declared_at(self) -> str:
        """``tinybudget.toml:12``; empty for what no file declares."""
        return _place(self.file, self.line) if self.declaration.lines else ""


class Pair(_Item, frozen=True, gc=False):
    """A model on a board, declared in ``file`` (POSIX path as reports show it)."""

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
    def line(self) -> int:
        """Line of the declaration to edit (from 1)."""
        return _budget_line(self.declaration, "models", self.model.section)

    @property
    def firmware(self) -> Firmware:
        """The firmware it is measured in."""
        return self.declaration.firmware_for(self.model, self.board)


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
    def line(self) -> int:
        """Line of the declaration to edit (from 1)."""
        return _budget_line(self.declaration, "groups", self.group.name)

    @property
    def members(self) -> tuple[Pair, ...]:
        """The group's models on its board."""
        return tuple(
            Pair(self.file, self.declaration, model, self.board) for model in self.group.models
        )

    @property
    def firmware(self) -> Firmware:
        """The firmware that holds the group.

        It has typed registrations only where they are for every model: one generic registration
        links all. Where its models lie, each says for itself.

        Raises:
            TinybudgetError: the models are declared for different runtimes.
        """
        members = [member.firmware for member in self.members]
        choices = {(each.name, each.runtime, each.fixed) for each in members}
        if len(choices) > 1:
            names = ", ".join(sorted(name for name, _, _ in choices))
            raise TinybudgetError(
                f"{self.file}:{self.line}: the models of {self.name} are in one firmware, "
                f"but are declared for different runtimes: {names}",
                code="TB200",
            )
        generic = any(firmware.registrations == "generic" for firmware in members)
        return replace(
            members[0],
            registrations="generic" if generic else "typed",
            stack=None,
            placements=Placements(self.group.placement),
        )


class Check(_Item, frozen=True, gc=False):
    """What is declared of a model, or (without one) of the whole file, besides fitting a board."""

    kind: CheckKind
    model: DeclaredModel | None = None

    @property
    def name(self) -> str:
        """The model's name, or the kind where it is of the whole declaration."""
        return self.model.name if self.model is not None else self.kind

    @property
    def target(self) -> str:
        """What stands in a board's place."""
        return self.kind if self.model is not None else "policy"

    @property
    def line(self) -> int:
        """Line of the declaration to edit (from 1)."""
        keys = (self.kind,) if self.model is None else ("models", self.model.section, self.kind)
        return self.declaration.line_of(*keys)


#: Everything that a declaration asks for: an item each.
Declared = Pair | GroupPair | Check


def pairs(file: str, declaration: Declaration) -> Iterator[Declared]:
    """All that ``declaration`` asks for: models with their checks, groups, checks of the file."""
    for model in declaration.models.values():
        for board in model.boards:
            yield Pair(file, declaration, model, board)
        for kind in model.checks:
            yield Check(file, declaration, kind, model)
    for group in declaration.groups.values():
        for board in group.boards:
            yield GroupPair(file, declaration, group, board)
    for kind in declaration.checks:
        yield Check(file, declaration, kind)


def _budget_line(declaration: Declaration, table: str, name: str) -> int:
    """Where the budget of ``[table.name]`` is written: there, in the defaults, or nowhere yet."""
    for keys in ((table, name, "budget"), ("defaults", "budget")):
        if keys in declaration.lines:
            return declaration.lines[keys]
    return declaration.line_of(table, name)
