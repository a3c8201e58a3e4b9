"""``tinybudget.toml`` as pytest nodes: a file, in it models and groups, in these boards."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.pytest_plugin.process import artifacts_folder
from pytest_tinybudget.pytest_plugin.process import declaration_at
from pytest_tinybudget.pytest_plugin.process import forget
from pytest_tinybudget.pytest_plugin.process import gate_of
from pytest_tinybudget.pytest_plugin.settings import COLLECTED
from pytest_tinybudget.pytest_plugin.settings import RESULTS
from pytest_tinybudget.pytest_plugin.terminal import clear_progress
from pytest_tinybudget.pytest_plugin.terminal import failure_text
from pytest_tinybudget.pytest_plugin.terminal import show_lines
from pytest_tinybudget.pytest_plugin.wire import details_wanted


if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr
    from _pytest._code.code import TracebackStyle


def convert_sources(session: pytest.Session) -> None:
    """Convert what the session's pairs need; what goes wrong is told by the pairs."""
    selected = [item.pair for item in session.items if isinstance(item, BudgetPair)]
    if not selected:
        return
    gate = gate_of(session.config)
    show_lines(session.config, gate.first_verdicts(selected))
    gate.workspace.prepare(selected)
    clear_progress(session.config)


def spare_last_collections(session: pytest.Session) -> None:
    """End the process without collecting garbage once more, where it ran pairs and nothing else.

    pytest does so twice, for errors that what tests left behind raises as it goes, and Python
    twice: each looks at all that was ever imported, 35 ms together. Pairs leave nothing behind.
    """
    only_pairs = all(isinstance(item, BudgetPair) for item in session.items)
    own_process = session.config.invocation_params.args == tuple(sys.argv[1:])
    if session.items and only_pairs and own_process:
        gc.freeze()


class BudgetFile(pytest.File):
    """A ``tinybudget.toml``. What is wrong in it is told all at once, without a traceback."""

    @cached_property
    def details(self) -> bool:
        """Whether the run may show more of its pairs than the text of a failure.

        Details are what changes of the firmware would save, how long a model takes, and footprints.
        Asked when pairs run: while folders are collected, plugins that show them may still come.
        """
        compared = bool(declaration_at(self.config, self.path).baseline)
        return compared or details_wanted(self.config)

    def collect(self) -> Iterator[BudgetModel]:
        self.config.stash[COLLECTED] = True
        try:
            declared = self._pairs()
        except TinybudgetError as error:
            raise self.CollectError(error.full_text) from None
        for name, of_model in groupby(declared, key=lambda pair: pair.name):
            yield BudgetModel.from_parent(self, name=name, pairs=list(of_model))

    def _pairs(self) -> list[Declared]:
        declaration = declaration_at(self.config, self.path)
        declared = list(pairs(self.nodeid, declaration))
        artifacts = gate_of(self.config).artifacts
        folder = artifacts_folder(self.config, declaration)
        for pair in declared:
            if isinstance(pair, Pair):
                artifacts.claim(pair, folder)
        return declared


class BudgetModel(pytest.Collector):
    """A model or a group, with an item for each of its boards and checks."""

    def __init__(self, *, pairs: list[Declared], **keywords: object) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self._pairs = pairs

    def collect(self) -> Iterator[BudgetPair]:
        for pair in self._pairs:
            yield BudgetPair.from_parent(self, name=pair.target, pair=pair)

    def teardown(self) -> None:
        """The last of its pairs has run, unless another plugin mixes those of models."""
        forget(self.config, self._pairs)


class OverBudgetError(Exception):
    """A pair that does not pass, with the text that says why."""


class BudgetPair(pytest.Item):
    """One model, or group of models, on one board; or another thing that is declared.

    What cannot be measured is an ERROR in ``setup``; ``runtest`` compares with the limits.
    """

    #: A name that ``setup`` adds to an item's dictionary makes Python copy it, 400 B an item.
    __slots__ = ("_result", "pair")

    def __init__(self, *, pair: Declared, **keywords: object) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]
        self.pair = pair
        self.add_marker("tinybudget")

    @property
    def _file(self) -> BudgetFile:
        file = self.getparent(BudgetFile)
        assert file is not None
        return file

    def setup(self) -> None:
        folder = artifacts_folder(self.config, self.pair.project)
        gate, details = gate_of(self.config), self._file.details
        self._result = gate.check(self.pair, folder, details=details)
        if self._result.outcome == "error":
            self.stash[RESULTS] = [self._result]
            self._only_inform()
            pytest.fail(self._result.headline, pytrace=False)

    def runtest(self) -> None:
        self.stash[RESULTS] = [self._result]
        self._only_inform()
        if self._result.failed:
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
        return self.path, self.pair.location.line - 1, f"{self.pair.name} on {self.pair.target}"
