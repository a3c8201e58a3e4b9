"""Sizes in bytes: the one parser and the one formatter for text that people read.

1 KB = 1024 B and 1 MB = 1024 KB throughout, as in linker scripts and board data sheets;
``KiB`` and ``MiB`` are accepted as synonyms.
"""

from __future__ import annotations

import re


_KB, _MB = 1024, 1024**2
_UNITS = {"": 1, "b": 1, "k": _KB, "kb": _KB, "kib": _KB, "m": _MB, "mb": _MB, "mib": _MB}
_SIZE = re.compile(r"\A\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*\Z")


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
    match = _SIZE.match(value)
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
