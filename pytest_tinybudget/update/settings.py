"""What a declaration says of how updates are sent."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct


#: What is sent: the image as it is, compressed, or its difference to the deployed one.
Sent = Literal["raw", "compressed", "delta"]

#: ``"5 kbit/s"``, ``"1.5 Mbit/s"``, ``"20 kB/s"``.
LINK_RATE_PATTERN = r"^\s*[0-9]{1,12}(\.[0-9]{1,6})?\s*[kM]?(bit|B)/s\s*$(?!\n)"

#: What a delta in place writes at once, bytes: the sector of most flash.
DEFAULT_SEGMENT = 4096

_LINK_RATE = r"\s*(?P<number>[0-9.]+)\s*(?P<prefix>[kM]?)(?P<unit>bit|B)/s\s*"
_PREFIXES = {"": 1, "k": 1000, "M": 1000**2}


class InPlace(Struct, frozen=True):
    """A delta that overwrites the deployed model, a segment at a time, as detools does it.

    ``memory`` is the flash for both, bytes, and ``segment`` what is written at once.
    """

    memory: int
    segment: int


class UpdateSettings(Struct, frozen=True):
    """What is declared of updates: how they are ``sent``, and the link's rate, bits a second.

    ``in_place`` is set where a delta overwrites what is deployed.
    """

    sent: Sent = "compressed"
    link_rate: float | None = None
    in_place: InPlace | None = None


def parse_link_rate(text: str) -> float:
    """Bits a second of ``"5 kbit/s"``, ``"1 Mbit/s"`` or ``"20 kB/s"``; 1 k is 1000 here.

    Raises:
        ValueError: not a rate, or none above 0.
    """
    match = re.fullmatch(_LINK_RATE, text)
    rate = float(match["number"]) * _PREFIXES[match["prefix"]] if match else 0.0
    if match is None or not rate:
        raise ValueError(f"expected a rate such as '5 kbit/s', got {text!r}")
    return rate * (8 if match["unit"] == "B" else 1)
