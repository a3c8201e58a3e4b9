"""Results that are kept by key, so that what many models have in common is computed once.

Searches ask for any number of models in one process: what is kept has a bound.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from typing import TypeVar


K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: So many entries take some megabytes at most.
MOST_KEPT = 4096


class Remembered(dict[K, V]):
    """A dictionary that forgets everything when it is full (``most`` or ``MOST_KEPT`` entries)."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most

    def keep(self, key: K, value: V) -> V:
        """Keep ``value`` and return it."""
        if len(self) >= (self.most or MOST_KEPT):
            self.clear()
        self[key] = value
        return value


_numbers: Remembered[Hashable, int] = Remembered()
_next = count()


def number_of(content: Hashable) -> int:
    """A number that stands for ``content`` as a key: whatever has the same one is equal.

    The reverse need not hold: after its content was forgotten it gets another number.
    """
    known = _numbers.get(content)
    return _numbers.keep(content, next(_next)) if known is None else known
