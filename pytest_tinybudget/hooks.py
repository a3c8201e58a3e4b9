"""Hooks through which other plugins extend pytest-tinybudget: boards, estimators, reports.

Implement them in a ``conftest.py`` or a plugin, as any pytest hook; ``docs/hooks.md`` has an
example of each.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.runtimes.runtime import Runtime


@pytest.hookspec
def pytest_tinybudget_boards(config: pytest.Config) -> Iterable[Board]:  # type: ignore[empty-body]
    """Boards to add to the catalog, for every ``tinybudget.toml`` of the run.

    Called once a process, before the first declaration is read. A declaration names them by
    their ``id``, in ``boards`` or ``extends``. An id that the catalog or another plugin has
    already is an error of each declaration; a declaration's own board of an id comes first.
    """


@pytest.hookspec(firstresult=True)
def pytest_tinybudget_estimator(
    model: Model, runtime: Runtime, config: pytest.Config
) -> Footprint | None:
    """The footprint of ``model`` on ``runtime``, instead of the built-in estimate.

    Called once for each model and runtime in a process, before the built-in one;
    ``runtime.name`` is the name that board or declaration give it. Return
    ``None`` to leave a model or runtime to the next. Sizes are bytes; every part says by its
    ``method`` how it was got. Raise ``TinybudgetError`` for what cannot be measured: each pair
    of the model is then an ERROR with that line.
    """


@pytest.hookspec
def pytest_tinybudget_report(
    results: Sequence[PairResult], config: pytest.Config
) -> Iterable[str] | None:
    """Write a report. Called once at the end of the run with all ``results``, sorted by id.

    With pytest-xdist it is called in the controller alone. Lines that it returns are printed
    below the table of pairs. Not called when no pair ran.
    """
