"""What of the files of a pair shrinking would save, for a page that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.shrunken import with_firmwares
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.shrinking.options import ShrinkRequest
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.workspace import Workspace


def with_waste(
    result: PairResult, pair: Pair | GroupPair, models: tuple[Model, ...], workspace: Workspace
) -> PairResult:
    """``result`` with what ``shrink = true`` would save of each model that is not shrunk."""
    return replace(result, waste=tuple(_reports(pair, models, workspace)))


def planned_for(pair: Pair | GroupPair) -> Mapping[str, Firmware]:
    """The boards that a plan would be for, were ``shrink = true`` declared."""
    if pair.board.accelerator:
        return {}
    if isinstance(pair, GroupPair):
        return {pair.board.id: pair.firmware}
    model = replace(pair.model, shrink=ShrinkRequest())
    request = with_firmwares(model, (*model.boards, pair.board), pair.project.runtimes).shrink
    return dict(request.firmwares) if request else {}


def _reports(
    pair: Pair | GroupPair, models: tuple[Model, ...], workspace: Workspace
) -> Iterator[ShrinkReport]:
    from pytest_tinybudget.shrinking.shrink import shrink_model

    firmwares = planned_for(pair)
    for declared, model in zip(pair.models, models, strict=True):
        # The file that is written for a layer list is not the one that will be trained.
        if declared.shrink is not None or declared.planned is not None:
            continue
        find = partial(shrink_model, model, firmwares)
        try:
            found = workspace.once(model, ("waste", tuple(firmwares.items())), find)
        except TinybudgetError:  # as a file that would not be the same model, which is not shown
            continue
        yield replace(found.report, model=declared.name)
