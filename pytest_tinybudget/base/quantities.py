"""Times, energies, sizes and shares: for people from SI base units, and from people's text."""

from __future__ import annotations

import re
from typing import Literal

from pytest_tinybudget.base.sizes import format_size


#: Bytes, seconds, joules, percent, or a number without a unit.
Unit = Literal["B", "s", "J", "%", ""]

#: What is declared or calculated, but is no figure of a pair: volts, amperes, watts, ampere-hours.
Electrical = Literal["V", "A", "W", "Ah"]

#: What a declaration or an option may give with its unit.
Declarable = Literal["s", "J", "V", "A", "W", "Ah"]

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))

#: Powers of ten by prefix; ``u`` is typed for ``µ`` (which Unicode has twice).
_EXPONENTS = {"": 0, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9}
_NUMBER = r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*"

#: A valid text of each unit, for messages and documentation.
EXAMPLES = {
    "s": "100 ms", "J": "50 uJ", "W": "40 mW", "A": "5 uA", "V": "3.3 V", "Ah": "220 mAh",
}  # fmt: skip


def format_quantity(value: float, unit: Unit | Electrical) -> str:
    """``"1.2 KB"``, ``"474 ms"``, ``"294 µJ"``, ``"96.7 %"``, ``"0.031"``: three digits."""
    if unit == "B":
        return format_size(round(value))
    if unit == "%":
        return f"{value:.2g} %" if 0 < abs(value) < 0.1 else f"{value:.1f} %"
    if unit == "":
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    magnitude = abs(value)
    scale, prefix = next(
        ((scale, prefix) for scale, prefix in _PREFIXES if magnitude >= scale * 0.9995),
        _PREFIXES[-1] if value else _PREFIXES[0],
    )
    scaled = value / scale
    digits = max(0, 2 - (len(f"{abs(scaled):.0f}") - 1))
    return f"{scaled:,.{digits}f} {prefix}{unit}"


def format_range(low: float, high: float, unit: Unit | Electrical) -> str:
    """``"0.46 to 0.49 s"``; one value where both ends read the same."""
    first, last = format_quantity(low, unit), format_quantity(high, unit)
    if first == last:
        return first
    number, _, symbol = first.rpartition(" ")
    return f"{number if number and last.endswith(f' {symbol}') else first} to {last}"


def quantity_pattern(unit: str) -> str:
    """What ``parse_quantity`` reads, as a regular expression for the whole text."""
    return rf"^{_NUMBER}({'|'.join(_EXPONENTS)}){unit}\s*$"


def parse_quantity(text: str, unit: Declarable) -> float:
    """Seconds of ``"100 ms"``, joules of ``"50 uJ"``, amperes of ``"5 uA"``, above zero.

    Prefixes are m, u (or µ) and n. The number and its unit both have to be there.

    Raises:
        ValueError: not such a quantity, or zero.
    """
    match = re.match(quantity_pattern(unit), text)
    if match is None or not float(match[1]):
        raise ValueError(f"expected a quantity such as {EXAMPLES[unit]!r}, got {text!r}")
    return float(f"{match[1]}e{_EXPONENTS[match[2]]}")
