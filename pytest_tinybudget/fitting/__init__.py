"""How large a model may be: a plan with free sizes, measured on boards before it is trained."""

from __future__ import annotations

from pytest_tinybudget.fitting.result import Candidate
from pytest_tinybudget.fitting.result import Decides
from pytest_tinybudget.fitting.result import Fit
from pytest_tinybudget.fitting.result import OnBoard
from pytest_tinybudget.fitting.search import fit
from pytest_tinybudget.fitting.space import Range


__all__ = ["Candidate", "Decides", "Fit", "OnBoard", "Range", "fit"]
