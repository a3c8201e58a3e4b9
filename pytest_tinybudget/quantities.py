"""Times, energies, sizes and shares for people, from SI base units."""

from __future__ import annotations

from typing import Literal

from pytest_tinybudget.sizes import format_size


#: Bytes, seconds, joules, percent, or a number without a unit.
Unit = Literal["B", "s", "J", "%", ""]

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def format_quantity(value: float, unit: Unit) -> str:
    """``"1.2 KB"``, ``"474 ms"``, ``"294 µJ"``, ``"96.7 %"``, ``"0.031"``: three digits."""
    if unit == "B":
        return format_size(round(value))
    if unit == "%":
        return f"{value:.1f} %"
    if unit == "":
        return f"{value:.3g}"
    magnitude = abs(value)
    scale, prefix = next(
        ((scale, prefix) for scale, prefix in _PREFIXES if magnitude >= scale * 0.9995),
        _PREFIXES[-1] if value else _PREFIXES[0],
    )
    scaled = value / scale
    digits = max(0, 2 - (len(f"{abs(scaled):.0f}") - 1))
    return f"{scaled:,.{digits}f} {prefix}{unit}"


def format_range(low: float, high: float, unit: Unit) -> str:
    """``"0.46 to 0.49 s"``; one value where both ends read the same."""
    first, last = format_quantity(low, unit), format_quantity(high, unit)
    if first == last:
        return first
    number, _, symbol = first.rpartition(" ")
    return f"{number if number and last.endswith(f' {symbol}') else first} to {last}"
