"""The measured runtime for each core of a board: that core's own, or the nearest one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.suggest import unknown


class StandIn(Struct, frozen=True):
    """The measured runtime that is used for a core.

    Attributes:
        name: the core's.
        runtime: the runtime's.
        flash_margin_percent: 0 where the runtime was measured on the core, else how far the true
            flash may lie above the runtime's.
        reason: why it may.
    """

    name: str
    runtime: str
    flash_margin_percent: float = 0.0
    reason: str = ""


@cache
def stand_ins() -> Mapping[str, StandIn]:
    """The stand-in of each known core, by the core's name (``"Cortex-M4F"``)."""
    file = Path(__file__).parent / "data" / "stand_ins.json"
    content = msgspec.json.decode(file.read_bytes())
    return {name: StandIn(name, **fields) for name, fields in content.items()}


def find_stand_in(core: str) -> StandIn:
    """The stand-in of ``core``.

    Raises:
        TinybudgetError: no such core; names the nearest.
    """
    found = stand_ins().get(core)
    if found is None:
        raise unknown("core", core, stand_ins())
    return found
