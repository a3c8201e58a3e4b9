"""What is known of a pair besides flash and RAM: a function for each source, asked in turn.

Each looks first whether anything is declared that concerns it, and imports its room only then.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results import Figure


Source = Callable[[Pair, Model, Footprint], Iterable[Figure]]

#: In the order of the reports.
_SOURCES: tuple[Source, ...] = ()


def figures_of(pair: Pair, model: Model, footprint: Footprint) -> tuple[Figure, ...]:
    """All figures of ``pair``.

    Raises:
        TinybudgetError: what is declared of one of them cannot be computed.
    """
    return tuple(figure for source in _SOURCES for figure in source(pair, model, footprint))
