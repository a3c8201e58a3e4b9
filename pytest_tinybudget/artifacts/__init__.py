"""What the firmware needs of a model: the C array, its constants and the operator resolver.

``render`` turns a model into files' contents, ``write`` puts them on disk.
"""

from __future__ import annotations

from pytest_tinybudget.artifacts.array import Language
from pytest_tinybudget.artifacts.array import render_array
from pytest_tinybudget.artifacts.render import render
from pytest_tinybudget.base.files import DEFAULT_DIRECTORY
from pytest_tinybudget.base.files import write


__all__ = [
    "DEFAULT_DIRECTORY",
    "Language",
    "render",
    "render_array",
    "write",
]
