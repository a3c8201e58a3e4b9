"""Hooks through which other plugins extend pytest-tinybudget: boards, estimators, reports.

Implement them in a ``conftest.py`` or a plugin, as any pytest hook; ``docs/hooks.md`` has an
example of each. What an implementation needs is imported from here as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import pytest


if TYPE_CHECKING:
    from pytest_tinybudget.base.errors import TinybudgetError
    from pytest_tinybudget.baseline.comparison import Change
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.boards import find_board
    from pytest_tinybudget.boards.board import Block
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.boards.board import Region
    from pytest_tinybudget.footprint.result import Arena
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.footprint.result import Layer
    from pytest_tinybudget.footprint.result import Part
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.graph.model import Operator
    from pytest_tinybudget.graph.model import Tensor
    from pytest_tinybudget.results.types import Measure
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.results.types import Provenance
    from pytest_tinybudget.runtimes.runtime import Runtime


__all__ = [
    "Arena",
    "Block",
    "Board",
    "Change",
    "Comparison",
    "Footprint",
    "Layer",
    "Measure",
    "Model",
    "Operator",
    "PairResult",
    "Part",
    "Provenance",
    "Region",
    "Runtime",
    "Tensor",
    "TinybudgetError",
    "find_board",
    "pytest_tinybudget_boards",
    "pytest_tinybudget_estimator",
    "pytest_tinybudget_report",
]

#: The modules of what is imported on first use: pytest loads this one in every project where the
#: package is installed.
_HOMES = {
    "base.errors": ("TinybudgetError",),
    "baseline.comparison": ("Change", "Comparison"),
    "boards": ("find_board",),
    "boards.board": ("Block", "Board", "Region"),
    "footprint.result": ("Arena", "Footprint", "Layer", "Part"),
    "graph.model": ("Model", "Operator", "Tensor"),
    "results.types": ("Measure", "PairResult", "Provenance"),
    "runtimes.runtime": ("Runtime",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"pytest_tinybudget.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
