"""What the pairs of one declaration share; of a file that is named alone, what is shipped."""

from __future__ import annotations

from collections.abc import Hashable
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.declared import firmware_for
from pytest_tinybudget.declaration.project_files import ProjectFiles
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.runtimes.firmware import Firmware


if TYPE_CHECKING:
    from pytest_tinybudget.update.settings import UpdateSettings
    from pytest_tinybudget.update.slots import Slots


class Project(Struct, frozen=True, eq=False):
    """What pairs share that are declared together.

    Attributes:
        path: the declaration, or the model's own file where there is none.
        boards: the project's own boards, by id.
        runtimes: every runtime that a board or a model may name, shipped and own.
        slots: how boards divide their flash for updates, by id.
        update: how updates are sent.
        artifacts: the folder of C files.
        baseline: the results file that growth is held to.
        files: those of the project, which may say what is flashed.
    """

    path: Path
    boards: Mapping[str, Board] = {}
    runtimes: Mapping[str, DeclaredRuntime] = field(default_factory=shipped_runtimes)
    slots: Mapping[str, Slots] = {}
    update: UpdateSettings | None = None
    artifacts: Path | None = None
    baseline: Path | None = None
    files: ProjectFiles | None = None
    _firmwares: Remembered[Hashable, tuple[DeclaredRuntime | None, Firmware]] = field(
        default_factory=Remembered
    )

    def firmware_for(self, model: DeclaredModel, board: Board) -> Firmware:
        """As ``declared.firmware_for``, one object for all models of the same settings.

        Raises:
            TinybudgetError: the board's core or runtime is not known, or does not suit the other.
        """
        runtime = model.runtime
        costs = tuple(model.operators.items())
        # What is kept holds the runtime, so that no other has its identity.
        settings = (model.registrations, model.stack, model.placements, id(runtime), costs)
        key = (board, settings)
        known = self._firmwares.get(key)
        if known is None:
            firmware = firmware_for(model, board, self.runtimes)
            known = self._firmwares.keep(key, (runtime, firmware))
        return known[1]
