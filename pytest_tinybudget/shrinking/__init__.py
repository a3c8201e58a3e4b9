"""Makes models smaller without training them, with the same outputs."""

from __future__ import annotations

from pytest_tinybudget.shrinking.options import ShrinkOptions
from pytest_tinybudget.shrinking.report import ShrinkReport
from pytest_tinybudget.shrinking.report import Shrunk
from pytest_tinybudget.shrinking.shrink import ShrunkModel
from pytest_tinybudget.shrinking.shrink import proven
from pytest_tinybudget.shrinking.shrink import shrink_model
from pytest_tinybudget.shrinking.strip import Stripped
from pytest_tinybudget.shrinking.strip import strip


__all__ = [
    "ShrinkOptions",
    "ShrinkReport",
    "Shrunk",
    "ShrunkModel",
    "Stripped",
    "proven",
    "shrink_model",
    "strip",
]
