"""Accelerators as data: what a board may have besides its processor, with the sources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.suggest import unknown


class Accelerator(Struct, frozen=True):
    """An accelerator that a board may name.

    Figures are published ones: ``gflops`` floating-point operations in 1e9 a second (in
    ``float_type``), ``tops`` INT8 operations in 1e12 a second (``sparse``: only for weights with
    structured sparsity), ``bandwidth_gb_s`` memory in 1e9 bytes a second, ``memory_bytes`` the
    module's memory, ``parameter_cache_bytes`` what holds weights on the chip. ``None`` and 0 are
    figures that nobody has published or that do not apply.
    """

    id: str
    name: str
    kind: Literal["ethos-u", "edge-tpu", "jetson"]
    source: str
    memory_bytes: int = 0
    parameter_cache_bytes: int = 0
    gflops: float | None = None
    float_type: str = ""
    tops: float | None = None
    sparse: bool = False
    bandwidth_gb_s: float | None = None
    power_w: tuple[float, float] | None = None
    notes: str = ""


class VelaOptions(Struct, frozen=True):
    """How Vela compiles for a board's Ethos-U; empty and ``None`` leave it to Vela's defaults.

    ``config`` is the path of a Vela configuration file, or the name of one that comes with Vela.
    ``system_config`` and ``memory_mode`` are sections of it.
    """

    config: str = ""
    system_config: str = ""
    memory_mode: str = ""
    optimise: Literal["Performance", "Size"] = "Performance"
    arena_cache_size: int | None = None
    timeout_s: float = 120.0


@cache
def accelerators() -> Mapping[str, Accelerator]:
    """All known accelerators by id."""
    table = Path(__file__).parent / "data" / "accelerators.json"
    rows = json.loads(table.read_text("utf-8"))["accelerators"]
    found = (
        Accelerator(**{**row, "power_w": tuple(row["power_w"]) if "power_w" in row else None})
        for row in rows
    )
    return {accelerator.id: accelerator for accelerator in found}


def find_accelerator(accelerator_id: str) -> Accelerator:
    """The accelerator with this id.

    Raises:
        TinybudgetError: no such accelerator; names the nearest.
    """
    accelerator = accelerators().get(accelerator_id)
    if accelerator is None:
        raise unknown("accelerator", accelerator_id, accelerators())
    return accelerator
