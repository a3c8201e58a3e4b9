"""How large a model may be: a plan with free sizes, measured on boards before it is trained."""

from __future__ import annotations

from pytest_tinybudget.fitting.search import Candidate
from pytest_tinybudget.fitting.search import Decides
from pytest_tinybudget.fitting.search import Fit
from pytest_tinybudget.fitting.search import OnBoard
from pytest_tinybudget.fitting.search import fit
from pytest_tinybudget.fitting.space import Range


__all__ = ["Candidate", "Decides", "Fit", "OnBoard", "Range", "fit"]
