"""Memory budgets for machine-learning models on microcontrollers, as pytest items and a CI gate.

``check`` says whether a model fits a board, ``measure`` what it takes, ``shrink`` makes its file
smaller, ``fit`` says how large it may be; sizes are bytes. The public modules are this one,
``pytest_tinybudget.api`` and ``pytest_tinybudget.hooks``, and of these the names in ``__all__``.
All other modules are private, whatever their names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from pytest_tinybudget.api import check
    from pytest_tinybudget.api import fit
    from pytest_tinybudget.api import measure
    from pytest_tinybudget.api import shrink
    from pytest_tinybudget.base.errors import TinybudgetError
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.results.types import PairResult


__all__ = [
    "Board",
    "Footprint",
    "PairResult",
    "TinybudgetError",
    "check",
    "fit",
    "measure",
    "shrink",
]

#: Where the public names live. They are imported on first use, because pytest imports this
#: package in every project where it is installed.
_HOMES = {
    "Board": "boards.board",
    "Footprint": "footprint.result",
    "PairResult": "results.types",
    "TinybudgetError": "base.errors",
    "check": "api",
    "fit": "api",
    "measure": "api",
    "shrink": "api",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
