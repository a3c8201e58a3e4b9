"""A mapping whose values are made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TypeVar


_Source = TypeVar("_Source")
_Value = TypeVar("_Value")


class LazyMapping(Mapping[str, _Value]):
    """``make`` of each of ``sources``, once, in their order."""

    def __init__(
        self, sources: Mapping[str, _Source], make: Callable[[str, _Source], _Value]
    ) -> None:
        self._sources = sources
        self._make = make
        self._made: dict[str, _Value] = {}

    def __getitem__(self, key: str) -> _Value:
        if key not in self._made:
            self._made[key] = self._make(key, self._sources[key])
        return self._made[key]

    def __contains__(self, key: object) -> bool:
        return key in self._sources

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)
