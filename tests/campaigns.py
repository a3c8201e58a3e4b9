"""Which of many inputs the default run takes: the others have the marker ``campaign``.

``pytest`` leaves campaigns out, ``pytest -m campaign`` runs them alone, and CI runs both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def every(step: int, inputs: Iterable[Any]) -> list[Any]:
    """The inputs: each ``step``-th for the default run too, the others in campaigns alone."""
    return [each if index % step == 0 else rare(each) for index, each in enumerate(inputs)]


def rare(each: Any) -> Any:
    """An input of campaigns alone: a value, a tuple of several, or a ``pytest.param``."""
    if isinstance(each, type(pytest.param())):
        return pytest.param(*each.values, marks=(*each.marks, pytest.mark.campaign), id=each.id)
    return pytest.param(*(each if isinstance(each, tuple) else (each,)), marks=pytest.mark.campaign)
