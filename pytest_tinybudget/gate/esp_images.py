"""The image of a pair's firmware on an ESP chip: by the ELF that is declared, else as a range."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.layout import model_in_flash
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.measurement import Measurement
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.update.esp_image import Change
from pytest_tinybudget.update.esp_image import EspElf
from pytest_tinybudget.update.esp_image import SecurePad
from pytest_tinybudget.update.esp_image import SizeRange
from pytest_tinybudget.update.esp_image import bounds
from pytest_tinybudget.update.esp_image import changed_image
from pytest_tinybudget.update.esp_image import chip_of
from pytest_tinybudget.update.esp_image import model_change
from pytest_tinybudget.update.esp_image import read_application


if TYPE_CHECKING:
    from pytest_tinybudget.update.slots import Slots


#: The SDK whose images have headers and pages of their own.
_OTHER_IMAGES = ("zephyr",)


def esp_image(pair: Pair | GroupPair, found: Measurement) -> SizeRange | None:
    """The whole image that ``pair``'s firmware is flashed as; ``None`` where it has no such pages.

    Raises:
        TinybudgetError: the declared ELF cannot be read, or holds no ESP-IDF application.
    """
    slots, board, footprint = pair.slots, pair.board, found.footprint
    if slots.layout != "esp-idf" if slots else _is_other(pair):
        return None
    pad = _pad(slots, board.mcu)
    apart = slots is not None and slots.model is not None
    if slots is None or slots.elf is None:
        contents = footprint.flash + board.reserved_flash
        return bounds(contents - (found.model_bytes if apart else 0), pad)
    changed = slots.elf.stat().st_mtime_ns
    elf = _application(slots.elf, slots.elf_shown, board.mcu, slots.model_symbols, changed)
    try:
        return changed_image(elf, _change(elf, pair.firmware, found, apart=apart), pad)
    except TinybudgetError as error:
        raise TinybudgetError(f"{slots.elf_shown}: {error.message}") from error


def _pad(slots: Slots | None, mcu: str) -> SecurePad:
    """What the image is padded for; nothing where no slot says how images are signed."""
    if slots is None:
        return ""
    from pytest_tinybudget.update.slots import secure_pad

    return secure_pad(slots.signature, mcu)


def _is_other(pair: Pair | GroupPair) -> bool:
    return chip_of(pair.board.mcu) is None or pair.board.sdk in _OTHER_IMAGES


@lru_cache(maxsize=8)
def _application(
    path: Path, shown: str, mcu: str, symbols: tuple[str, ...], _changed: int
) -> EspElf:
    """The ELF as it was ``_changed``; a large one takes half a second to read."""
    return read_application(path, shown, mcu, symbols)


def _change(elf: EspElf, firmware: Firmware, found: Measurement, *, apart: bool) -> Change:
    """What the pair's firmware has more than the one in ``elf``.

    Code differs where the models' operators do. An ELF without a model says nothing of TFLM in it:
    then it may be all there, or not at all.
    """
    in_flash = () if apart or not model_in_flash(found.footprint) else found.in_firmware
    change = model_change(elf.models, [model.content for model in in_flash])
    before = [read_model(content, f"model in {elf.label}") for content in elf.models]
    least, most = _code(found.footprint)
    if not before:
        return replace(change, least_code=0 if elf.has_tflm else least, most_code=most)
    if firmware.fixed is not None:
        return change  # the runtime's declared flash is the same for all models
    were = [link(model, firmware) for model in before]
    if _parts(before, firmware) == _parts(found.in_firmware, firmware):
        return change
    # In one firmware operators share code: no less than the largest, no more than the sum.
    least -= sum(each.flash + each.margin_bytes for each in were)
    most -= max(each.flash - each.margin_bytes for each in were)
    return replace(change, least_code=least, most_code=most)


def _parts(models: tuple[Model, ...] | list[Model], firmware: Firmware) -> list[str]:
    return sorted(repr(link(model, firmware).parts) for model in models)


def _code(footprint: Footprint) -> tuple[int, int]:
    """TFLM's bytes of flash, least and most."""
    most = footprint.flash - model_in_flash(footprint)
    return max(0, most - 2 * sum(part.margin_bytes for part in footprint.flash_parts)), most
