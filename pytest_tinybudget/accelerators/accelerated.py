"""The result of measuring a pair on an accelerator, in the same form for each kind."""

from __future__ import annotations

from msgspec import Struct

from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import Figure


class Accelerated(Struct, frozen=True):
    """A pair on a board with an accelerator.

    ``model`` is the file that the firmware holds (``None`` where there is no firmware), which
    ``footprint`` is of. ``settings`` say how it was made, which the result records.
    """

    footprint: Footprint
    model: Model | None
    settings: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
