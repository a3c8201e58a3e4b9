"""Values that are made once and kept, errors among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from typing import cast

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
    found = kept.get(key)
    if found is None and key not in kept:  # one look as a rule: a key may be a large value
        found = kept[key] = _made(make)
    if isinstance(found, TinybudgetError):
        raise found.with_traceback(None)
    return cast("_Value", found)


def _made(make: Callable[[], _Value]) -> _Value | TinybudgetError:
    try:
        return make()
    except TinybudgetError as error:
        return error
