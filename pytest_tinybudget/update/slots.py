"""The slots of a board that is updated over the air, and the room of each for an image.

An update never overwrites the image that runs, so the flash has two slots. Each image has a header,
a signature and, with MCUboot, a trailer that records the swap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.update.esp_image import SecurePad
from pytest_tinybudget.update.esp_image import SizeRange
from pytest_tinybudget.update.partitions import Partition


Layout = Literal["mcuboot", "esp-idf", "custom"]
Signature = Literal["none", "ed25519", "ecdsa-p256", "rsa-2048", "rsa-3072"]

#: The write size of the flash, bytes. MCUboot's trailer grows with it.
DEFAULT_ALIGN = 4

_MCUBOOT_MAGIC_BYTES, _MCUBOOT_FLAGS, _MCUBOOT_LEAST_ALIGN = 16, 4, 8


class Slot(Struct, frozen=True):
    """A slot for one image. Sizes are bytes.

    ``around`` is the size of header and signature, ``trailer`` that of the trailer at the slot's
    end. Errors call the slot ``name``.
    """

    name: str
    size: int
    around: int
    trailer: int

    @property
    def capacity(self) -> int:
        """The largest image that fits, bytes, without header and signature."""
        return max(0, self.size - self.around - self.trailer)

    @property
    def text(self) -> str:
        """How the capacity is computed, in one line."""
        lost = [
            f"{format_size(size)} {name}"
            for size, name in ((self.around, "header and signature"), (self.trailer, "trailer"))
            if size
        ]
        less = f" less {' and '.join(lost)}" if lost else ""
        return f"{self.name} of {format_size(self.size)}{less}"


class Slots(Struct, frozen=True):
    """How a board's flash is divided for updates.

    ``firmware`` is one of the slots for the firmware. The model is part of the firmware, or has the
    slot ``model``. ``align`` is the write size of the flash, ``header`` the bytes before an image.
    ``elf`` is an ELF of the firmware, which errors call ``elf_shown``, and ``model_symbols`` name
    the arrays of the models in it.
    """

    layout: Layout
    firmware: Slot
    model: Slot | None = None
    header: int = 0
    align: int = DEFAULT_ALIGN
    signature: Signature = "none"
    elf: Path | None = None
    elf_shown: str = ""
    model_symbols: tuple[str, ...] = ()

    @property
    def room(self) -> int:
        """Bytes for firmware and model together."""
        return self.firmware.capacity + (self.model.capacity if self.model else 0)

    @property
    def payload(self) -> Slot:
        """The slot that an update of the model is written to."""
        return self.model or self.firmware


class Overhead(Struct, frozen=True):
    """The bytes around an image in a slot: the declared ones, else those of the ``layout``.

    ``header`` and ``trailer`` are bytes, ``None`` for the layout's own.
    """

    layout: Layout
    signature: Signature = "none"
    header: int | None = None
    trailer: int | None = None
    align: int = DEFAULT_ALIGN

    def slot(self, name: str, size: int) -> Slot:
        """The slot of ``size`` bytes.

        Raises:
            TinybudgetError: the layout has no such signature.
        """
        around = self.header_bytes + self._behind_image()
        return Slot(name, size, around, self.trailer_bytes(size))

    def model_slot(self, name: str, size: int) -> Slot:
        """The slot of a model apart: with ESP-IDF plain data, else an image as any other."""
        return Slot(name, size, 0, 0) if self.layout == "esp-idf" else self.slot(name, size)

    @property
    def header_bytes(self) -> int:
        """Bytes before an image."""
        return self.header if self.header is not None else int(_facts()[self.layout]["header"])

    def trailer_bytes(self, size: int) -> int:
        """Bytes of the trailer at the end of a slot of ``size`` bytes."""
        if self.trailer is not None:
            return self.trailer
        facts = _facts()[self.layout]
        if self.layout == "mcuboot":
            status: int = self.sectors(size) * facts["status_bytes_per_sector"] * self.align
            widest = max(self.align, _MCUBOOT_LEAST_ALIGN)
            magic = -(-_MCUBOOT_MAGIC_BYTES // widest) * widest
            return status + _MCUBOOT_FLAGS * widest + magic
        if self.layout == "esp-idf" and self.signature != "none":
            return size % int(facts["signed_alignment"])
        return 0

    def sectors(self, size: int) -> int:
        """Sectors whose swap MCUboot's trailer must record, at least its default number."""
        facts = _facts()["mcuboot"]
        return max(int(facts["status_sectors"]), -(-size // int(facts["sector"])))

    def _behind_image(self) -> int:
        known: dict[str, int] = _facts()[self.layout]["behind_image"]
        if self.signature not in known:
            raise TinybudgetError(
                f"{self.layout} has no signature {self.signature!r}: expected {', '.join(known)}"
            )
        return known[self.signature]


def partition_named(
    partitions: Iterable[Partition], name: str | None, shown: str, key: str
) -> Partition:
    """The partition ``name`` of the table ``shown``; without one the smallest update slot.

    Raises:
        TinybudgetError: there is none; the nearest names are offered. ``key`` is who asks.
    """
    by_name = {partition.name: partition for partition in partitions}
    if name is not None:
        if name not in by_name:
            error = unknown("partition", name, by_name)
            raise TinybudgetError(f"{shown}: {error.message} ({key})")
        return by_name[name]
    updated = [partition for partition in by_name.values() if partition.is_update_slot]
    if not updated:
        raise TinybudgetError(
            f"{shown}: no partition of type app and subtype ota_0 to ota_15: "
            "nothing can be updated over the air"
        )
    return min(updated, key=lambda partition: partition.size)


def slot_figures(
    slots: Slots,
    firmware_bytes: int,
    model_bytes: int,
    *,
    estimated: bool,
    image: SizeRange | None = None,
) -> Iterator[Figure]:
    """Figures: whether firmware and model fit their slots.

    ``firmware_bytes`` is the whole firmware with the model; ``estimated`` is true where it is a
    bound. ``image`` is the whole image of an ESP chip, which has its pages to fill.
    """
    what = "application and runtime" if slots.model else "application, runtime and model"
    method: Literal["estimated", "measured"] = "estimated" if estimated else "measured"
    if image is None:
        contents = firmware_bytes - (model_bytes if slots.model else 0)
        yield _figure("firmware slot", contents, slots.firmware, what, method)
    else:
        room = f"{slots.firmware.name} of {format_size(slots.firmware.size)}"
        yield image_figure(
            "firmware slot",
            image,
            slots.firmware.size,
            f"image of {what} in {room}",
            elf=slots.elf_shown,
            estimated=estimated,
        )
    if slots.model is not None:
        yield _figure("model slot", model_bytes, slots.model, "the model", "exact")


def image_figure(
    name: str, image: SizeRange, limit: int, what: str, *, elf: str = "", estimated: bool
) -> Figure:
    """The figure of an ESP chip's image in ``limit`` bytes; ``elf`` is what it was counted from."""
    padding = format_size(image.padding)
    if elf:
        basis = f"{what}, laid out by {elf} as elf2image does: {padding} of it fill pages of flash"
    else:
        basis = f"{what}: up to {padding} of it fill pages of flash"
    advice = ""
    if (over := image.most - limit) > 0:
        advice = f"{name}: {format_size(over)} less, or a larger one"
        if not elf and image.least <= limit:
            advice += (
                '; it may fit: elf = "build/app.elf" in [boards.NAME.slots] says how much is filled'
            )
    exact = image.least == image.most and not estimated
    return Figure(
        name=name,
        unit="B",
        low=image.least,
        high=image.most,
        method="measured" if exact else "estimated",
        basis=basis,
        limit=limit,
        advice=advice,
    )


def secure_pad(signature: Signature, mcu: str) -> SecurePad:
    """What elf2image pads an image for: only the ESP32's first Secure Boot has ECDSA there."""
    if signature == "none":
        return ""
    return "1" if signature == "ecdsa-p256" and mcu == "ESP32" else "2"


def _figure(
    name: str, used: int, slot: Slot, what: str, method: Literal["exact", "estimated", "measured"]
) -> Figure:
    over = used - slot.capacity
    return Figure(
        name=name,
        unit="B",
        low=used,
        high=used,
        method=method,
        basis=f"{what} in {slot.text}",
        limit=slot.capacity,
        advice=f"{name}: {format_size(over)} less, or a larger slot" if over > 0 else "",
    )


@cache
def _facts() -> dict[Layout, dict[str, Any]]:
    content = json.loads((Path(__file__).parent / "data" / "layouts.json").read_text("utf-8"))
    return dict(content)
