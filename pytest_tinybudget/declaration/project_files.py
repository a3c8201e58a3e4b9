"""What the files of a declaration's project say is flashed: ``runtime = "project"``.

They are read when somebody asks, once for a declaration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.paths import displayed_path
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.catalog import catalog
from pytest_tinybudget.boards.everyday import boards_called
from pytest_tinybudget.boards.everyday import folded


if TYPE_CHECKING:
    from pytest_tinybudget.detection.finding import Detection
    from pytest_tinybudget.detection.flashed import Flashed


#: What declarations and options write for it.
PROJECT = "project"

#: Chips of Espressif in names of boards that nobody knows (``esp32s3box``).
_CHIP = r"(?i)esp32[-_]?(?:s2|s3|c3|c6|p4)"
#: How many findings an error names.
_MOST_NAMED = 5
_THIS_BOARD, _PERHAPS, _ANOTHER = 2, 1, 0


class ProjectFiles:
    """The files of the repository that ``folder`` lies in, or of the folder where there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._detection: Detection | None = None
        self._flashed: dict[tuple[str, str], Flashed | None] = {}

    @property
    def root(self) -> Path:
        """The folder that is searched."""
        from pytest_tinybudget.detection.folders import root_around

        return root_around(self._folder)

    @cached_property
    def any(self) -> bool:
        """Whether there are files that may say something: their names are looked at, no more."""
        from pytest_tinybudget.detection.names import any_to_read

        return any_to_read(self.root)

    @property
    def detection(self) -> Detection:
        """All that was found."""
        if self._detection is None:
            from pytest_tinybudget.detection.detect import detect

            self._detection = detect(self.root)
        return self._detection

    def flashed(self, board: Board) -> Flashed | None:
        """What is flashed onto ``board``; ``None`` where the files do not say."""
        key = (board.id, board.core)
        if key not in self._flashed:
            from pytest_tinybudget.detection.flashed import flashed

            below = self._folder.relative_to(self.root).as_posix()
            folder = "" if below == "." else below

            def likeness(written: str) -> int:
                return _likeness(written, board)

            self._flashed[key] = flashed(self.detection, board.core, folder, likeness)
        return self._flashed[key]

    def boards(self) -> Mapping[str, str]:
        """The boards that the files name, each with the place: of a chip, one of its boards."""
        known = catalog()
        found: dict[str, str] = {}
        for each in self.detection.findings:
            written = folded(each.board)
            # Of a chip's boards the one that is named after the chip is its maker's own.
            of_maker = sorted(
                _called(each.board, known), key=lambda board: not folded(board).startswith(written)
            )
            for board in of_maker[:1]:
                found.setdefault(board, f"{each.place} names {printable(each.board)}")
        return found

    def unread(self) -> list[str]:
        """The files that could not be read, with why: they may have named another release."""
        return [
            f"{printable(each.file)} is not read: {printable(each.text)}"
            for each in self.detection.problems[:_MOST_NAMED]
        ]

    def why_nothing(self, board: Board) -> str:
        """That the files name no runtime for ``board``, in one line."""
        where = displayed_path(self.root)
        place = "" if where == "." else f" in {where}"
        return f"the project's files name no TFLM for {board.id} ({board.core}){place}"

    def searched(self) -> list[str]:
        """Lines: what was found of other boards, what is not read, and what was looked for."""
        from pytest_tinybudget.detection.detect import LOOKED_FOR

        found = [
            f"{each.what} ({each.place})"
            for each in self.detection.findings
            if each.product not in ("build-flags", "esp-nn", "cmsis-nn")
        ]
        lines = [f"not for it, or not known: {each}" for each in found[:_MOST_NAMED]]
        if len(found) > _MOST_NAMED:
            lines.append(f"and {len(found) - _MOST_NAMED} more; tinybudget doctor names them all")
        return [*lines, *self.unread(), *LOOKED_FOR]


def _called(written: str, known: Mapping[str, Board]) -> tuple[str, ...]:
    """The boards that a name in somebody's file stands for: a board's, or a chip's."""
    chip = re.search(_CHIP, written)
    return boards_called(written, known) or (boards_called(chip[0], known) if chip else ())


def _likeness(written: str, board: Board) -> int:
    """Whether a board's name in somebody's file may mean ``board``."""
    known = {**catalog(), board.id: board}
    ids = _called(written, known)
    if board.id in ids:
        return _THIS_BOARD
    if not ids or any(known[each].core == board.core for each in ids):
        return _PERHAPS
    return _ANOTHER
