"""Figures of a pair besides flash and RAM: update slots, updates, time and energy.

There is one function for each source. A function imports its room only if the declaration asks for
its figures. Time and energy of an inference are reported wherever they are known.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Literal

from pytest_tinybudget.base.units import Unit
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.layout import model_in_flash
from pytest_tinybudget.gate.measurement import Measurement
from pytest_tinybudget.results.types import Figure


if TYPE_CHECKING:
    from pytest_tinybudget.speed.energy import Energy
    from pytest_tinybudget.speed.latency import Latency


_STATE_POWER = 'declare what the board draws: active_power = "40 mW" in a [boards.NAME] of your own'

#: The figure of an ESP chip's image where no slot is declared.
FIRMWARE_IMAGE = "firmware image"

Source = Callable[[Pair, Measurement, bool], Iterable[Figure]]


def _slots(pair: Pair | GroupPair, found: Measurement, _details: bool = False) -> Iterable[Figure]:
    """Whether firmware and models fit the slots that the board has for updates."""
    slots, footprint = pair.slots, found.footprint
    if slots is None:
        return ()
    from pytest_tinybudget.gate.esp_images import esp_image
    from pytest_tinybudget.update.slots import slot_figures

    return slot_figures(
        slots,
        footprint.flash + pair.board.reserved_flash,
        found.model_bytes,
        estimated=any(part.method == "estimated" for part in footprint.flash_parts),
        image=esp_image(pair, found),
    )


def _partition(pair: Pair | GroupPair, found: Measurement, _details: bool) -> Iterable[Figure]:
    """An ESP chip's image that may not fit the flash of the firmware, where no slot is declared.

    Flash counts contents. What fills pages is told where it decides, and nowhere else.
    """
    if pair.slots is not None or not pair.board.mcu.startswith("ESP32"):
        return ()
    from pytest_tinybudget.gate.esp_images import esp_image

    image, room = esp_image(pair, found), pair.board.usable_flash
    if image is None or image.most <= room:
        return ()
    from pytest_tinybudget.update.slots import image_figure

    what = f"image of application, runtime and model in {format_size(room)} of usable flash"
    return (image_figure(FIRMWARE_IMAGE, image, room, what, estimated=True),)


def _update(pair: Pair, found: Measurement, _details: bool) -> Iterable[Figure]:
    """What an update sends, where a budget for it or ``[update]`` is declared."""
    settings, limit = pair.project.update, pair.model.budget.update
    if settings is None and limit is None:
        return ()
    from pytest_tinybudget.base.text import printable
    from pytest_tinybudget.gate.esp_images import esp_image
    from pytest_tinybudget.graph.tflite import load_content
    from pytest_tinybudget.update.payload import Payload
    from pytest_tinybudget.update.payload import payload_figures
    from pytest_tinybudget.update.settings import UpdateSettings

    slots, deployed = pair.slots, pair.model.deployed
    footprint, (model,) = found.footprint, found.in_firmware
    firmware_bytes = footprint.flash + pair.board.reserved_flash - model_in_flash(footprint)
    around, padding = slots.payload.around if slots else 0, 0
    image = esp_image(pair, found) if slots and slots.model is None else None
    if image is not None:
        firmware_bytes = max(0, image.least - around - model_in_flash(footprint))
        padding = image.most - image.least
    payload = Payload(
        model.content,
        around_bytes=around,
        firmware_bytes=firmware_bytes if slots and slots.model is None else 0,
        padding_bytes=padding,
        deployed=load_content(deployed, printable(deployed.name)) if deployed else b"",
        trained=pair.model.planned is None,
        in_place=settings.in_place if settings else None,
    )
    return payload_figures(payload, settings or UpdateSettings(), limit)


def _speed(pair: Pair, found: Measurement, details: bool) -> Iterable[Figure]:
    """How long an inference takes and what it costs, where known or a budget asks for it."""
    budget, board = pair.model.budget, pair.board
    if found.footprint.refusals or board.accelerator:
        return ()  # the accelerator's own room reports its time
    if not details and budget.latency is None and budget.energy is None:
        return ()
    from pytest_tinybudget.speed.energy import energy_of
    from pytest_tinybudget.speed.energy import power_of
    from pytest_tinybudget.speed.latency import latency_of

    firmware, (model,) = found.firmware or pair.firmware, found.in_firmware
    latency = latency_of(model, board, firmware.kernels, external=firmware.placements.reaches_psram)
    power = power_of(board)
    energy = energy_of(latency, power)
    wanted = (
        inference_figure("latency", "s", latency, budget.latency),
        inference_figure(
            "energy", "J", energy, budget.energy, advice="" if power else _STATE_POWER
        ),
    )
    return [each for each in wanted if each.limit is not None or each.low is not None]


def inference_figure(
    name: str, unit: Unit, value: Latency | Energy, limit: float | None, advice: str = ""
) -> Figure:
    """A figure of one inference; ``advice`` is what would make it known."""
    method: Literal["estimated", "unknown"] = "unknown" if value.low is None else "estimated"
    return Figure(name, unit, value.low, value.high, method, value.basis, limit, advice=advice)


#: Of a model, in the order of the reports.
_SOURCES: tuple[Source, ...] = (_speed, _slots, _partition, _update)


def figures_of(
    pair: Pair | GroupPair, found: Measurement, *, details: bool = True
) -> tuple[Figure, ...]:
    """All figures of ``pair``; without ``details``, time and energy only if they have a limit.

    Raises:
        TinybudgetError: one of the declared figures cannot be computed.
    """
    if isinstance(pair, GroupPair):
        return (*_slots(pair, found), *_partition(pair, found, details))
    return tuple(figure for source in _SOURCES for figure in source(pair, found, details))
