"""``tinybudget.toml`` as pytest nodes: a file, in it models and groups, in these boards."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from functools import cached_property
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import pytest

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import DEFAULT_DIRECTORY
from pytest_tinybudget.base.files import write
from pytest_tinybudget.convert.settings import FIRST_STEP
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.pytest_plugin.baseline import chosen_baseline
from pytest_tinybudget.pytest_plugin.controller import SHARED_FOLDER
from pytest_tinybudget.pytest_plugin.controller import TOLD
from pytest_tinybudget.pytest_plugin.controller import style_of
from pytest_tinybudget.pytest_plugin.controller import tells_details
from pytest_tinybudget.pytest_plugin.plugin import FOUND
from pytest_tinybudget.pytest_plugin.plugin import RESULTS
from pytest_tinybudget.pytest_plugin.plugin import artifacts_required
from pytest_tinybudget.pytest_plugin.plugin import path_setting
from pytest_tinybudget.pytest_plugin.plugin import setting
from pytest_tinybudget.pytest_plugin.worker_files import post
from pytest_tinybudget.report.terminal import failure


if TYPE_CHECKING:
    from collections.abc import Mapping

    from _pytest._code.code import TerminalRepr
    from _pytest._code.code import TracebackStyle

    from pytest_tinybudget.boards.board import Board


_GATE = pytest.StashKey[Gate]()
_BOARDS = pytest.StashKey["Mapping[str, Board]"]()
_DECLARATIONS = pytest.StashKey[dict[Path, Declaration]]()


def gate_of(config: pytest.Config) -> Gate:
    """The gate of this process, which keeps what it has measured for the whole run.

    Raises:
        TinybudgetError: ``verify`` is asked for, and the interpreter is not installed.
    """
    if _GATE not in config.stash:
        if setting(config, "tinybudget_verify"):
            from pytest_tinybudget.gate.cross_check import require_interpreter

            require_interpreter()
        estimator = partial(config.hook.pytest_tinybudget_estimator, config=config)
        worker: dict[str, Any] | None = getattr(config, "workerinput", None)
        shared = None
        if worker and SHARED_FOLDER in worker:
            from pytest_tinybudget.gate.shared_footprints import SharedFootprints

            shared = SharedFootprints(Path(worker[SHARED_FOLDER]))
        config.stash[_GATE] = Gate(
            artifacts_required=artifacts_required(config),
            strict=setting(config, "tinybudget_strict"),
            verify=setting(config, "tinybudget_verify"),
            estimator=lambda model, runtime: estimator(model=model, runtime=runtime),
            baseline=chosen_baseline(config),
            written=path_setting(config, "tinybudget_json"),
            require_base=setting(config, "tinybudget_require_base"),
            cached=not setting(config, "tinybudget_no_cache"),
            progress=partial(_show_progress, config),
            write=write if worker is None else partial(post, config),
            shared=shared,
        )
        config.add_cleanup(config.stash[_GATE].close)
    return config.stash[_GATE]


def boards_of(config: pytest.Config) -> Mapping[str, Board]:
    """The catalog with the boards that other plugins add.

    Raises:
        TinybudgetError: a plugin's board has the id of another one.
    """
    if _BOARDS not in config.stash:
        from pytest_tinybudget.boards import catalog
        from pytest_tinybudget.boards import with_others

        others: dict[str, Board] = {}
        for added in config.hook.pytest_tinybudget_boards(config=config):
            for board in added:
                if board.id in others or board.id in catalog():
                    raise TinybudgetError(
                        f"pytest_tinybudget_boards: there is a board {board.id} already"
                    )
                others[board.id] = board
        config.stash[_BOARDS] = with_others(catalog(), others)
    return config.stash[_BOARDS]


def declaration_at(config: pytest.Config, path: Path) -> Declaration:
    """The declaration in the file ``path``, read once in a run.

    Raises:
        DeclarationError: it cannot be read or is not valid.
    """
    kept = config.stash.setdefault(_DECLARATIONS, {})
    if path not in kept:
        kept[path] = load_declaration(path, boards_of(config))
    return kept[path]


def artifacts_folder(config: pytest.Config, declaration: Declaration) -> Path:
    """Where C files go: the option, else the ini value, the declaration, or beside it."""
    chosen = path_setting(config, "tinybudget_artifacts") or declaration.artifacts
    return chosen or declaration.path.parent / DEFAULT_DIRECTORY


def convert_sources(session: pytest.Session) -> None:
    """Convert what the session's pairs need; what goes wrong is told by the pairs."""
    selected = [item.pair for item in session.items if isinstance(item, BudgetPair)]
    if not selected:
        return
    gate_of(session.config).prepare(selected)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.isatty:
        reporter.rewrite("", erase=True)
        reporter.rewrite("")


def spare_last_collections(session: pytest.Session) -> None:
    """End the process without collecting garbage once more, where it ran pairs and nothing else.

    pytest does so twice, for errors that what tests left behind raises as it goes, and Python
    twice: each looks at all that was ever imported, 35 ms together. Pairs leave nothing behind.
    """
    only_pairs = all(isinstance(item, BudgetPair) for item in session.items)
    own_process = session.config.invocation_params.args == tuple(sys.argv[1:])
    if session.items and only_pairs and own_process:
        gc.freeze()


def _show_progress(config: pytest.Config, model: str, step: str) -> None:
    """Which model is being converted, and on a terminal at which step."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.get_verbosity() < 0:
        return
    if reporter.isatty:
        reporter.rewrite(f"converting {model}: {step} ", erase=True)
    elif step == FIRST_STEP:
        reporter.write_line(f"converting {model}")


class BudgetFile(pytest.File):
    """A ``tinybudget.toml``. What is wrong in it is told all at once, without a traceback."""

    @cached_property
    def details(self) -> bool:
        """Whether anything but the text of a failure may tell the details of its pairs.

        They are what changes of the firmware would save, how long a model takes, and footprints.
        Asked when pairs run: while folders are collected, plugins that tell them may still come.
        """
        worker: dict[str, Any] = getattr(self.config, "workerinput", {})
        told = worker[TOLD] if TOLD in worker else tells_details(self.config)
        return told or bool(declaration_at(self.config, self.path).baseline)

    def collect(self) -> Iterator[BudgetModel]:
        self.config.stash[FOUND] = True
        try:
            declared = self._pairs()
        except TinybudgetError as error:
            raise self.CollectError(error.told) from None
        for name, of_model in groupby(declared, key=lambda pair: pair.name):
            yield BudgetModel.from_parent(self, name=name, pairs=list(of_model))

    def _pairs(self) -> list[Declared]:
        declaration = declaration_at(self.config, self.path)
        declared = list(pairs(self.nodeid, declaration))
        gate, folder = gate_of(self.config), artifacts_folder(self.config, declaration)
        for pair in declared:
            if isinstance(pair, Pair):
                gate.claim_artifacts(pair, folder)
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
        if _GATE in self.config.stash:
            self.config.stash[_GATE].forget(self._pairs)


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
        folder = artifacts_folder(self.config, self.pair.declaration)
        gate, details = gate_of(self.config), self._file.details
        self._result = gate.check(self.pair, folder, details=details)
        if self._result.outcome == "error":
            self.stash[RESULTS] = [self._result]
            pytest.fail(self._result.headline, pytrace=False)

    def runtest(self) -> None:
        self.stash[RESULTS] = [self._result]
        if self._result.failed:
            verbosity = self.config.get_verbosity()
            text = failure(self._result, style_of(self.config), verbosity=verbosity)
            raise OverBudgetError(text)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], style: TracebackStyle | None = None
    ) -> str | TerminalRepr:
        if isinstance(excinfo.value, OverBudgetError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.pair.line - 1, f"{self.pair.name} on {self.pair.target}"
