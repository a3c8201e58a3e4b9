"""Sizes, times, energies and shares as text: the one parser and the one formatter of each.

1 KB = 1024 B and 1 MB = 1024 KB throughout, as in linker scripts and board data sheets;
``KiB`` and ``MiB`` are accepted as synonyms. All other quantities have SI units and prefixes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal


_KB, _MB = 1024, 1024**2
_UNITS = {"": 1, "b": 1, "k": _KB, "kb": _KB, "kib": _KB, "m": _MB, "mb": _MB, "mib": _MB}
_SIZE = r"\A\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*\Z"


def parse_size(value: int | str) -> int:
    """Bytes of ``"256 KB"``, ``"1 MB"``, ``"812 B"``, ``"1.5 KB"`` or an integer of bytes.

    Raises:
        ValueError: not a size, negative, or not a whole number of bytes.
    """
    if isinstance(value, bool):
        raise ValueError(f"expected a size such as '256 KB' or a number of bytes, got {value!r}")
    if isinstance(value, int):
        if value < 0:
            raise ValueError(f"a size cannot be negative, got {value}")
        return value
    match = re.match(_SIZE, value)
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError(f"expected a size such as '256 KB', '1 MB' or '812 B', got {value!r}")
    number, unit = match[1], _UNITS[match[2].lower()]
    whole, _, fraction = number.partition(".")
    if len(number) > 18:
        raise ValueError(f"size out of range: {value!r}")
    denominator: int = 10 ** len(fraction)
    size, rest = divmod(int(whole + fraction) * unit, denominator)
    if rest:
        raise ValueError(f"{value!r} is not a whole number of bytes")
    return size


def format_size(size_bytes: int, *, exact: bool = False) -> str:
    """``size_bytes`` for people: ``"812 B"``, ``"48.1 KB"``, ``"1.4 MB"``; ``exact``: bytes."""
    magnitude = abs(size_bytes)
    if exact or magnitude < 1000:
        return f"{size_bytes:,} B"
    if magnitude < 1024 * 1000:
        return f"{size_bytes / 1024:.1f} KB"
    return f"{size_bytes / 1024**2:.2f} MB"


def format_pair(first_bytes: int, second_bytes: int) -> tuple[str, str]:
    """Two sizes to be compared by a reader; in bytes where rounding would make them look equal."""
    first, second = format_size(first_bytes), format_size(second_bytes)
    if first == second and first_bytes != second_bytes:
        return format_size(first_bytes, exact=True), format_size(second_bytes, exact=True)
    return first, second


def format_ratio(used_bytes: int, limit_bytes: int) -> str:
    """``"268.3 of 256.0 KB"``: the unit once where both have the same."""
    used, limit = format_pair(used_bytes, limit_bytes)
    number, _, unit = used.rpartition(" ")
    return f"{number if limit.endswith(f' {unit}') else used} of {limit}"


def format_delta(delta_bytes: int) -> str:
    """A difference for people, with its sign: ``"+1.2 KB"``, ``"-812 B"``, ``"±0 B"``."""
    if not delta_bytes:
        return "±0 B"
    return f"{'+' if delta_bytes > 0 else ''}{format_size(delta_bytes)}"


def format_percent_delta(percent: float) -> str:
    """A difference in percent: ``"+1.3 %"``; ``"+<0.1 %"`` where rounding would make it nothing."""
    if percent and abs(percent) < 0.05:
        return f"{'+' if percent > 0 else '-'}<0.1 %"
    return f"{percent:+.1f} %" if percent else "±0 %"


def format_size_range(sizes: Sequence[int]) -> str:
    """``"812 B"``, ``"172.3 to 173.7 KB"``; the unit once where both ends have the same."""
    return _text_range(sizes, format_size)


def format_delta_range(deltas: Sequence[int]) -> str:
    """``"+24.2 KB"``, ``"+24.1 to +24.2 KB"``, ``"±0 B"``."""
    return _text_range(deltas, format_delta)


def _text_range(numbers: Sequence[int], text: Callable[[int], str]) -> str:
    if not numbers:
        return ""
    low, high = text(min(numbers)), text(max(numbers))
    if low == high:
        return high
    number, _, unit = low.rpartition(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


#: Bytes, seconds, joules, percent, or a number without a unit.
Unit = Literal["B", "s", "J", "%", ""]

#: What is declared or calculated, but is no figure of a pair: volts, amperes, watts, ampere-hours.
Electrical = Literal["V", "A", "W", "Ah"]

#: What a declaration or an option may give with its unit.
Declarable = Literal["s", "J", "V", "A", "W", "Ah"]

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))

#: Powers of ten by prefix; ``u`` is typed for ``µ`` (which Unicode has twice).
_EXPONENTS = {"": 0, "m": -3, "u": -6, "µ": -6, "μ": -6, "n": -9}
_QUANTITY = r"\s*([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*"

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
    return rf"^{_QUANTITY}({'|'.join(_EXPONENTS)}){unit}\s*$"


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
