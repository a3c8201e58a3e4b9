"""What a run writes of its pairs besides reports: C files, and logs of failed conversions."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import DEFAULT_DIRECTORY
from pytest_tinybudget.base.files import Content
from pytest_tinybudget.base.files import write
from pytest_tinybudget.base.once import once
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import without_artifacts
from pytest_tinybudget.workspace import Workspace


#: The code of what an extra of the package would bring.
_MISSING_PACKAGE = "TB103"

#: Writes files (contents by name) into a folder; returns their paths.
Write = Callable[[Path, Mapping[str, Content]], tuple[Path, ...]]


class Artifacts(Struct, eq=False):
    """The files of one run: each model's are written once, under names that no two share.

    ``required`` is whether this run was asked for C files: they are part of its result. ``write``
    writes all files. ``owners`` are whose the names in a folder are.
    """

    required: bool = False
    write: Write = write
    owners: dict[tuple[Path, str], str] = field(default_factory=dict)
    _written: dict[object, tuple[Path, ...] | TinybudgetError] = field(default_factory=dict)

    def claim(self, pair: Pair, folder: Path) -> None:
        """Reserve the names of a model's C files in ``folder``, so that no other model takes them.

        Raises:
            TinybudgetError: a model of another declaration has reserved the same names.
        """
        mine = f"{pair.file}::{pair.name}"
        owner = self.owners.setdefault(claimed_by(pair, folder), mine)
        if owner != mine:
            raise TinybudgetError(
                f"{pair.declared_at}: the C files of {pair.name} would overwrite those of "
                f"{owner}: give one another name with 'artifacts', or another folder",
                code="TB200",
            )

    def add(self, pair: Pair, folder: Path, result: PairResult, workspace: Workspace) -> PairResult:
        """Write the pair's C files; the result says so where that was not possible.

        If nobody asked for the files in this run, a folder that cannot be written (as in a
        read-only checkout) is a warning and does not change the verdict; so are golden vectors
        where TFLM's interpreter is not installed.

        Raises:
            TinybudgetError: the files cannot be made, or not be written where they were asked for.
        """
        try:
            self.write_c_files(pair, folder, workspace)
        except TinybudgetError as error:
            if self.required or error.code not in (CANNOT_BE_WRITTEN, _MISSING_PACKAGE):
                raise
            return without_artifacts(result, error)
        return result

    def write_c_files(self, pair: Pair, folder: Path, workspace: Workspace) -> tuple[Path, ...]:
        """Write the C array of a pair's model and the constants beside it; the paths written.

        Of a model that asks for its ``.tflite``, that is written as well, whatever its size; of one
        that asks for golden vectors, their header and test program.

        The constants are those of all boards that the model is declared for and runs on, whichever
        are checked. For a board with an accelerator the files have its name, and the model that
        was compiled for it.

        Raises:
            TinybudgetError: the model cannot be measured, or ``folder`` cannot be written.
        """

        def write_once() -> tuple[Path, ...]:
            files = _c_files(pair, workspace)
            written = self.write(folder, files) if files else ()
            if "golden" not in pair.model.artifact_kinds:
                return written
            return (*written, *self.write(folder, _golden(pair, workspace)))

        key = _written_for(pair, folder)
        if key not in self._written:
            self.claim(pair, folder)
        return once(self._written, key, write_once)

    def written(self, pair: Pair, folder: Path) -> tuple[Path, ...]:
        """The C files of ``pair`` that this run has written; empty where it has not."""
        found = self._written.get(_written_for(pair, folder), ())
        return found if isinstance(found, tuple) else ()

    def with_log(
        self, error: TinybudgetError, pair: Declared, folder: Path | None
    ) -> TinybudgetError:
        """Write what a failed conversion printed to a log file, and name that file in ``error``."""
        if not (isinstance(error, ConversionError) and error.log):
            return error
        parent = pair.project.path.parent
        folder = folder or pair.project.artifacts or parent / DEFAULT_DIRECTORY
        try:
            (path,) = self.write(folder, {f"{c_identifier(pair.name)}_conversion.log": error.log})
        except TinybudgetError:
            return error  # what went wrong first matters more
        return TinybudgetError(
            error.message, details=(*error.details, f"log: {path}"), code=error.code
        )


def claimed_by(pair: Pair, folder: Path) -> tuple[Path, str]:
    """The names of C files that ``pair`` takes in ``folder``, whatever the case of letters."""
    return folder, c_identifier(pair.model.artifact_name).casefold()


def _written_for(pair: Pair, folder: Path) -> object:
    """What has C files of its own: a model, and on a board with an accelerator that pair."""
    board = pair.board.id if pair.board.accelerator else ""
    return pair.file, pair.model.name, board, folder


def _golden(pair: Pair, workspace: Workspace) -> dict[str, bytes]:
    """Golden vectors of a pair's model, as it is before an accelerator's compiler has it."""
    from pytest_tinybudget.artifacts.golden import render_golden
    from pytest_tinybudget.evaluation.golden import kept_vectors

    name = pair.model.artifact_name
    model = workspace.model(pair.model)
    golden = kept_vectors(model, name, pair.model.golden, workspace.cache())
    return render_golden(golden, f"{c_identifier(name)}_golden.h")


def _c_files(pair: Pair, workspace: Workspace) -> dict[str, Content]:
    """Contents by file name; empty where the board's accelerator runs without firmware."""
    from pytest_tinybudget.artifacts import render

    name, boards = pair.model.artifact_name, [pair.board]
    model = workspace.model(pair.model)
    if pair.board.accelerator:
        made = measurement(pair, workspace).accelerated
        if made is None or made.model is None:
            return {}
        name, model = f"{name}_{pair.board.id}", made.model
    else:
        boards = [board for board in pair.model.boards if not board.accelerator]
    found = [measurement(replace(pair, board=board), workspace) for board in boards]
    # A board whose TFLM refuses the model takes no part: the files are for the others.
    running = [each for each in found if not each.footprint.refusals] or found
    return render(
        model,
        name=name,
        firmwares=[each.firmware for each in running if each.firmware],
        footprints=[each.footprint for each in running],
        kinds=pair.model.artifact_kinds,
    )
