"""``tinybudget.toml`` as pytest nodes: a file, in it models and groups, in these boards.

What is needed where all that passed before passes again is imported with the module, and the rest
of the package by what measures.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.garbage import collect_seldom
from pytest_tinybudget.base.garbage import no_collections
from pytest_tinybudget.gate.kept_verdicts import KeptModel
from pytest_tinybudget.gate.kept_verdicts import KeptVerdict
from pytest_tinybudget.gate.seen import Seen
from pytest_tinybudget.pytest_plugin.asked import details_wanted
from pytest_tinybudget.pytest_plugin.kept import may_keep
from pytest_tinybudget.pytest_plugin.kept import seen
from pytest_tinybudget.pytest_plugin.settings import COLLECTED
from pytest_tinybudget.pytest_plugin.settings import RESULTS


if TYPE_CHECKING:
    from collections.abc import Mapping

    from _pytest._code.code import TerminalRepr
    from _pytest._code.code import TracebackStyle

    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.declaration.project import Project
    from pytest_tinybudget.results.types import PairResult


def convert_sources(session: pytest.Session) -> None:
    """Convert what the session's pairs need; what goes wrong is told by the pairs."""
    items = [item for item in session.items if isinstance(item, BudgetPair) and not item.is_kept]
    selected = []
    for item in items:
        with suppress(TinybudgetError):  # the item meets it again
            selected.append(item.pair)
    if not selected:
        return
    from pytest_tinybudget.pytest_plugin.process import gate_of
    from pytest_tinybudget.pytest_plugin.terminal import clear_progress
    from pytest_tinybudget.pytest_plugin.terminal import show_lines

    gate = gate_of(session.config)
    show_lines(session.config, gate.first_verdicts(selected))
    gate.workspace.prepare(selected)
    clear_progress(session.config)


def spare_collections(session: pytest.Session) -> None:
    """Collect garbage less often, where the process runs pairs and nothing else.

    Of thousands of pairs pytest keeps all items and reports, and each collection looks at them.
    """
    if _has_pairs_alone(session):
        collect_seldom()


def spare_last_collections(session: pytest.Session) -> None:
    """End the process without collecting garbage once more, where it ran pairs and nothing else.

    pytest does so twice, for errors that what tests left behind raises as it goes, and Python
    twice: each looks at all that was ever imported, 35 ms together. Pairs leave nothing behind.
    """
    if _has_pairs_alone(session):
        gc.freeze()


def _has_pairs_alone(session: pytest.Session) -> bool:
    """Whether the process is this run's own, and the run has pairs and nothing else."""
    only_pairs = all(isinstance(item, BudgetPair) for item in session.items)
    own_process = session.config.invocation_params.args == tuple(sys.argv[1:])
    return bool(session.items) and only_pairs and own_process


def keep_verdicts(
    session: pytest.Session, results: Mapping[str, PairResult | KeptVerdict]
) -> dict[str, str]:
    """Keep what passed for later runs; a hash of what is kept now, by id."""
    config, found = session.config, {}
    if may_keep(config):
        for file in config.stash.get(_FILES, []):
            found.update(file.keep_verdicts(results))
    return found


class BudgetFile(pytest.File):
    """A ``tinybudget.toml``. What is wrong in it is told all at once, without a traceback."""

    #: The file in the locations of its pairs, once one of them was asked for.
    shown_path: str | None = None
    _folder: Path | None = None

    @cached_property
    def details(self) -> bool:
        """Whether the run may show more of its pairs than the text of a failure.

        Details are what changes of the firmware would save, how long a model takes, and footprints.
        Asked when pairs run: while folders are collected, plugins that show them may still come.
        """
        from pytest_tinybudget.pytest_plugin.process import declaration_at

        compared = bool(declaration_at(self.config, self.path).baseline)
        return compared or details_wanted(self.config)

    def collect(self) -> Iterator[BudgetModel]:
        self.config.stash[COLLECTED] = True
        self.config.stash.setdefault(_FILES, []).append(self)
        if self._seen.kept is not None:
            for kept in self._seen.kept.models:
                yield BudgetModel.from_parent(self, name=kept.name, kept=kept)
            return
        try:
            with no_collections():
                declared = self.declared
        except TinybudgetError as error:
            raise self.CollectError(error.full_text) from None
        for name, of_model in groupby(declared, key=lambda pair: pair.name):
            yield BudgetModel.from_parent(self, name=name, pairs=list(of_model))

    def pair(self, name: str, target: str) -> Declared:
        """The pair of the model ``name``, which was collected without reading the declaration.

        Raises:
            TinybudgetError: the declaration is wrong: it was changed since.
        """
        for each in self.declared:
            if (each.name, each.target) == (name, target):
                return each
        raise TinybudgetError(f"{self.nodeid}: changed while the tests ran: run them again")

    def of_model(self, name: str) -> list[Declared]:
        """The pairs of the model ``name``, if the declaration was read."""
        return [each for each in self.__dict__.get("declared", ()) if each.name == name]

    def keep_verdicts(self, results: Mapping[str, PairResult | KeptVerdict]) -> dict[str, str]:
        """Keep what passed; a hash of what is kept now, by id."""
        if "declared" not in self.__dict__:
            self._seen.keep_times()
            return {}
        from pytest_tinybudget.pytest_plugin.process import artifacts_folder
        from pytest_tinybudget.pytest_plugin.process import declaration_at
        from pytest_tinybudget.pytest_plugin.process import gate_of

        folder = artifacts_folder(self.config, declaration_at(self.config, self.path))
        return self._seen.keep(self.declared, results, gate_of(self.config).artifacts, folder)

    def artifacts_folder(self, project: Project) -> Path:
        """Where the C files of the file's models go: all are of one project."""
        if self._folder is None:
            from pytest_tinybudget.pytest_plugin.process import artifacts_folder

            self._folder = artifacts_folder(self.config, project)
        return self._folder

    @cached_property
    def _seen(self) -> Seen:
        """As the file is when it is collected."""
        return seen(self.config, self.path, self.nodeid)

    @cached_property
    def declared(self) -> list[Declared]:
        """All that the file declares, read when it is asked for.

        Raises:
            TinybudgetError: the declaration is wrong.
        """
        from pytest_tinybudget.declaration.pairs import Pair
        from pytest_tinybudget.declaration.pairs import pairs
        from pytest_tinybudget.pytest_plugin.process import artifacts_folder
        from pytest_tinybudget.pytest_plugin.process import declaration_at
        from pytest_tinybudget.pytest_plugin.process import gate_of

        declaration = declaration_at(self.config, self.path)
        declared = list(pairs(self.nodeid, declaration))
        artifacts = gate_of(self.config).artifacts
        folder = artifacts_folder(self.config, declaration)
        for pair in declared:
            if isinstance(pair, Pair):
                artifacts.claim(pair, folder)
        return declared


#: The declarations of a run, as they were collected.
_FILES = pytest.StashKey[list[BudgetFile]]()


class BudgetModel(pytest.Collector):
    """A model or a group, with an item for each of its boards and checks.

    Its pairs are ``pairs``, or what is ``kept`` of them.
    """

    def __init__(
        self,
        *,
        pairs: Sequence[Declared] = (),
        kept: KeptModel | None = None,
        **keywords: object,
    ) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self._pairs = pairs
        self.kept = kept
        self._is_current: bool | None = None

    def collect(self) -> Iterator[BudgetPair]:
        for pair in self._pairs:
            yield BudgetPair.from_parent(self, name=pair.target, pair=pair, line=pair.location.line)
        if self.kept is not None:
            for target, line in self.kept.pairs:
                yield BudgetPair.from_parent(self, name=target, line=line)

    def verdict(self, target: str) -> KeptVerdict | None:
        """The verdict of an earlier run, if it is kept and all is as it was then."""
        if self.kept is None:
            return None
        if self._is_current is None:
            self._is_current = may_keep(self.config) and self.kept.is_current()
        assert isinstance(self.parent, BudgetFile)
        return self.kept.verdict(self.parent.nodeid, target) if self._is_current else None

    def teardown(self) -> None:
        """The last of its pairs has run, unless another plugin mixes those of models."""
        self._is_current = None
        assert isinstance(self.parent, BudgetFile)
        pairs = self._pairs or self.parent.of_model(self.name)
        if pairs:
            from pytest_tinybudget.pytest_plugin.process import forget

            forget(self.config, pairs)


class OverBudgetError(Exception):
    """A pair that does not pass, with the text that says why."""


class BudgetPair(pytest.Item):
    """One model, or group of models, on one board; or another thing that is declared.

    What cannot be measured is an ERROR in ``setup``; ``runtest`` compares with the limits.
    """

    #: A name that ``setup`` adds to an item's dictionary makes Python copy it, 400 B an item.
    __slots__ = ("_line", "_pair", "_result")

    def __init__(self, *, line: int, pair: Declared | None = None, **keywords: object) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self._line = line
        self._pair = pair
        self.add_marker("tinybudget")

    @property
    def pair(self) -> Declared:
        """What is checked.

        Raises:
            TinybudgetError: it was collected from what was kept, and the declaration was changed.
        """
        if self._pair is None:
            self._pair = self._file.pair(self._model.name, self.name)
        return self._pair

    @property
    def is_kept(self) -> bool:
        """Whether an earlier run's verdict may hold, which is seen when the pair runs."""
        kept = self._model.kept
        return kept is not None and kept.has(self.name)

    @property
    def _file(self) -> BudgetFile:
        file = self._model.parent
        assert isinstance(file, BudgetFile)
        return file

    @property
    def _model(self) -> BudgetModel:
        assert isinstance(self.parent, BudgetModel)
        return self.parent

    def setup(self) -> None:
        self._result = self._model.verdict(self.name) or self._checked()
        if self._result.outcome == "error":
            self.stash[RESULTS] = [self._result]
            self._only_inform()
            pytest.fail(self._result.headline, pytrace=False)

    def _checked(self) -> PairResult:
        from msgspec.structs import replace

        from pytest_tinybudget.pytest_plugin.process import gate_of

        try:
            pair, file = self.pair, self._file
            gate, details = gate_of(self.config), file.details
        except TinybudgetError as error:
            pytest.fail(error.full_text, pytrace=False)
        with no_collections():
            result = gate.check(pair, file.artifacts_folder(pair.project), details=details)
        # One text of thousands, not two: pytest has the id already.
        return replace(result, id=self.nodeid) if result.id == self.nodeid else result

    def runtest(self) -> None:
        self.stash[RESULTS] = [self._result]
        self._only_inform()
        if not isinstance(self._result, KeptVerdict) and self._result.failed:
            from pytest_tinybudget.pytest_plugin.terminal import failure_text

            raise OverBudgetError(failure_text(self.config, self._result))

    def _only_inform(self) -> None:
        """End the test as one that is expected to fail, where its pair fails and only informs."""
        if self._result.failed and self._result.informational:
            pytest.xfail(f"informational, fails no run: {self._result.headline}")

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: TracebackStyle | None = None
    ) -> str | TerminalRepr:
        if isinstance(excinfo.value, OverBudgetError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self._line - 1, f"{self._model.name} on {self.name}"

    @cached_property
    def location(self) -> tuple[str, int | None, str]:
        """As pytest's own, with the path that all pairs of a file have: one text of thousands."""
        file = self._file
        if file.shown_path is None:
            file.shown_path = super().location[0]
        _, line, name = self.reportinfo()
        return file.shown_path, line, name
