"""Processor cores and the runtime that stands for each: its own table, or the nearest one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from pytest_tinybudget.base.suggest import unknown


class Core(Struct, frozen=True):
    """A core's runtime. ``flash_margin_percent`` is 0 where the runtime was measured on it, else
    how far the true flash may lie above the nearest runtime's, for ``reason``."""

    name: str
    runtime: str
    flash_margin_percent: float = 0.0
    reason: str = ""


@cache
def cores() -> Mapping[str, Core]:
    """All known cores by name (``"Cortex-M4F"``)."""
    content = msgspec.json.decode((Path(__file__).parent / "data" / "cores.json").read_bytes())
    return {name: Core(name, **fields) for name, fields in content.items()}


def find_core(name: str) -> Core:
    """The core called ``name``.

    Raises:
        TinybudgetError: no such core; names the nearest.
    """
    core = cores().get(name)
    if core is None:
        raise unknown("core", name, cores())
    return core
