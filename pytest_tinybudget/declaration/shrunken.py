"""What a model is shrunk for: the firmware of every board that it is declared for."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.declared import firmware_for
from pytest_tinybudget.shrinking.options import ShrinkOptions
from pytest_tinybudget.shrinking.options import ShrinkRequest
from pytest_tinybudget.shrinking.options import shrink_options


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.schema.conversion import ShrinkTable


def request_of(declared: bool | ShrinkTable) -> ShrinkRequest | None:
    """What ``shrink`` in a section asks for."""
    if isinstance(declared, bool):
        return ShrinkRequest(ShrinkOptions()) if declared else None
    return ShrinkRequest(shrink_options(declared.keep or (), declared.without or ()))


def with_boards(
    models: Mapping[str, DeclaredModel],
    groups: Mapping[str, DeclaredGroup],
    runtimes: Mapping[str, DeclaredRuntime],
) -> tuple[dict[str, DeclaredModel], dict[str, DeclaredGroup]]:
    """Models and groups, each model shrunk for its own boards and those of its groups: one file."""
    if not any(model.shrink for model in models.values()):
        return dict(models), dict(groups)
    boards = {name: dict.fromkeys(model.boards) for name, model in models.items()}
    for group in groups.values():
        for model in group.models:
            boards[model.name].update(dict.fromkeys(group.boards))
    made = {name: with_firmwares(model, boards[name], runtimes) for name, model in models.items()}
    grouped = {
        name: replace(group, models=tuple(made[model.name] for model in group.models))
        for name, group in groups.items()
    }
    return made, grouped


def with_firmwares(
    model: DeclaredModel, boards: Iterable[Board], runtimes: Mapping[str, DeclaredRuntime]
) -> DeclaredModel:
    """``model``, to be shrunk for ``boards`` where it is to be shrunk at all."""
    if model.shrink is None:
        return model
    found, no_plan = [], ""
    for board in boards:
        if board.accelerator:
            no_plan = f"{board.id} has an accelerator, for which the file is compiled"
        with suppress(TinybudgetError):  # whoever checks the pair says so
            found.append((board.id, firmware_for(model, board, runtimes)))
    request = replace(model.shrink, firmwares=() if no_plan else tuple(found), no_plan=no_plan)
    return replace(model, shrink=request)
