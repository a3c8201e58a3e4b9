"""The bytes that an update sends: raw, compressed, or as a difference to the deployed model."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.update.delta import delta_bytes
from pytest_tinybudget.update.settings import InPlace
from pytest_tinybudget.update.settings import Sent
from pytest_tinybudget.update.settings import UpdateSettings


#: LZMA2 settings of ``imgtool sign --compression lzma2``. The device needs the dictionary in RAM.
_DICTIONARY_BYTES = 128 * 1024
_MCUBOOT_FILTER = {
    "id": lzma.FILTER_LZMA2,
    "preset": 9,
    "dict_size": _DICTIONARY_BYTES,
    "lc": 3,
    "lp": 1,
    "pb": 2,
}


class Payload(Struct, frozen=True):
    """The parts of an update.

    ``model`` and ``deployed`` are contents of files; ``deployed`` is empty where none is declared.
    ``around_bytes`` are header and signature, which are new with each image. ``firmware_bytes`` is
    the firmware that the model is linked into, 0 where the model is sent alone, ``padding_bytes``
    the most that its image may have besides, to fill pages of flash. The weights of a
    model that is not ``trained`` are made up, so they count uncompressed. ``in_place`` is how a
    delta overwrites the deployed model; ``None`` where it is written beside it.
    """

    model: bytes
    around_bytes: int = 0
    firmware_bytes: int = 0
    deployed: bytes = b""
    trained: bool = True
    in_place: InPlace | None = None
    padding_bytes: int = 0

    @property
    def fixed_bytes(self) -> int:
        """Bytes besides the model's."""
        return self.around_bytes + self.firmware_bytes

    def sizes(self, sent: Sent) -> tuple[int, int]:
        """Least and most bytes that are sent.

        How well code and signatures compress is not known, so the upper bound counts them whole.
        A delta is that of the model, with an unchanged firmware around it.
        """
        whole = self.fixed_bytes + len(self.model)
        if sent == "raw":
            return whole, whole + self.padding_bytes
        if not self.trained:
            return 0, whole + self.padding_bytes
        if sent == "compressed":
            size = compressed_bytes(self.model)
            return size, size + self.fixed_bytes + self.padding_bytes
        least, most = delta_bytes(self.deployed, self.model, self.in_place)
        return least, most + self.around_bytes

    def basis(self, sent: Sent) -> str:
        """How the sizes are known, in one line."""
        model = f"the model's {format_size(len(self.model))}"
        besides = [
            f"{format_size(size)} of {name}"
            for size, name in (
                (self.firmware_bytes, "firmware"),
                (self.around_bytes, "header and signature"),
            )
            if size
        ]
        if self.padding_bytes:
            besides.append(f"up to {format_size(self.padding_bytes)} that fill pages of flash")
        if sent != "raw" and not self.trained:
            return "the model is not trained yet: its weights count whole"
        if sent == "delta":
            firmware = ", the firmware unchanged" if self.firmware_bytes else ""
            kind = "LZMA delta"
            if self.in_place is not None:
                segment = format_size(self.in_place.segment)
                kind = f"LZMA delta in place (segments of {segment})"
            return f"estimate of an {kind} by detools to the deployed model{firmware}"
        if sent == "compressed":
            window = format_size(_DICTIONARY_BYTES)
            model += f" as LZMA2 (dictionary {window})"
            besides = [f"at most {each.removeprefix('up to ')}" for each in besides]
        return " and ".join((model, *besides))


@lru_cache(maxsize=16)
def compressed_bytes(content: bytes) -> int:
    """Bytes of ``content`` as LZMA2 with MCUboot's settings."""
    return len(lzma.compress(content, format=lzma.FORMAT_RAW, filters=[_MCUBOOT_FILTER]))


def payload_figures(
    payload: Payload, settings: UpdateSettings, limit: int | None
) -> Iterator[Figure]:
    """Figures: the bytes of each way to send the update, and the airtime of the declared way.

    ``limit`` is the budget for the bytes that are sent. Where a delta is declared and nothing is
    deployed yet, the whole update is sent compressed.
    """
    ways: tuple[Sent, ...] = ("raw", "compressed", *(("delta",) if payload.deployed else ()))
    sent = settings.sent if settings.sent in ways else "compressed"
    for way in ways:
        least, most = payload.sizes(way)
        counts = way == sent
        over = counts and limit is not None and most > limit
        yield Figure(
            name=f"update {way}",
            unit="B",
            low=least,
            high=most,
            method="exact" if least == most else "estimated",
            basis=payload.basis(way),
            limit=limit if counts else None,
            advice=_smaller(payload, ways, most) if over else "",
        )
    if sent == "delta" and payload.in_place is not None:
        memory, size = payload.in_place.memory, len(payload.model)
        yield Figure(
            name="update in place",
            unit="B",
            low=size,
            high=size,
            method="exact",
            basis="the new model, in the memory that it and the deployed one have",
            limit=memory,
            advice="[update] in_place_memory is less than the model" if size > memory else "",
        )
    if settings.link_rate is not None:
        least, most = payload.sizes(sent)
        yield Figure(
            name="airtime",
            unit="s",
            low=least * 8 / settings.link_rate,
            high=most * 8 / settings.link_rate,
            method="estimated",
            basis=f"update {sent} at {settings.link_rate:,.0f} bit/s, without headers and repeats",
        )


def _smaller(payload: Payload, ways: tuple[Sent, ...], most: int) -> str:
    """The way that takes the fewest bytes, where it is not the declared one."""
    size, way = min((payload.sizes(way)[1], way) for way in ways)
    if size < most:
        return f'[update] send = "{way}" would take {format_size(size)}'
    return "" if payload.deployed else "where a delta can be sent, declare the 'deployed' model"
