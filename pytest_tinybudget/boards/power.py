"""What a declaration says of a board's power."""

from __future__ import annotations

from msgspec import Struct


class Power(Struct, frozen=True):
    """Declared power of a board; ``None`` where nothing is declared.

    ``active_watts`` is drawn while a model runs, ``sleep_amperes`` between inferences,
    ``volts`` is the supply that both are drawn from.
    """

    active_watts: float | None = None
    sleep_amperes: float | None = None
    volts: float | None = None
