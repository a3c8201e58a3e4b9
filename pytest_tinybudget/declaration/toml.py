"""TOML text to a dictionary: what is not simple by the standard library, or its backport."""

from __future__ import annotations

import sys
from typing import Any

from pytest_tinybudget.declaration.simple import read_simple


def parse(text: str) -> dict[str, Any]:
    """The document in ``text``.

    Raises:
        ValueError: not TOML; its message ends with line and column.
    """
    simple = read_simple(text)
    if simple is not None:
        return simple[0]
    if sys.version_info >= (3, 11):
        from tomllib import loads
    else:
        from tomli import loads

    return loads(text)
