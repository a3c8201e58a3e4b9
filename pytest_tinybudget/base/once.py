"""Values that are made once and kept, errors among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pytest_tinybudget.base.errors import TinybudgetError


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


def once(
    kept: dict[_Key, _Value | TinybudgetError], key: _Key, make: Callable[[], _Value]
) -> _Value:
    """``make()``'s value, or the error that it raised: made once for ``key``, then from ``kept``.

    Raises:
        TinybudgetError: ``make`` raised it, now or before.
    """
    if key not in kept:
        try:
            kept[key] = make()
        except TinybudgetError as error:
            kept[key] = error
    found = kept[key]
    if isinstance(found, TinybudgetError):
        raise found.with_traceback(None)
    return found
