"""TOML text to a dictionary, by the standard library's parser or its backport."""

from __future__ import annotations

import sys
from typing import Any


if sys.version_info >= (3, 11):
    from tomllib import TOMLDecodeError
    from tomllib import loads
else:
    from tomli import TOMLDecodeError
    from tomli import loads


__all__ = ["TOMLDecodeError", "parse"]


def parse(text: str) -> dict[str, Any]:
    """The document in ``text``.

    Raises:
        TOMLDecodeError: not TOML; its message ends with line and column.
    """
    return loads(text)
