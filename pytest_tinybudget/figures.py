"""What is known of a pair besides flash and RAM: a function for each source, asked in turn.

Each looks first whether anything is declared that concerns it, and imports its room only then.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable

from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results import Figure


Source = Callable[[Pair, Model, Footprint], Iterable[Figure]]


def _slots(pair: Pair, model: Model, footprint: Footprint) -> Iterable[Figure]:
    """Whether firmware and model fit the slots that the board has for updates."""
    slots = pair.declaration.slots.get(pair.board.id)
    if slots is None:
        return ()
    from pytest_tinybudget.update.slots import slot_figures

    estimated = any(part.method == "estimated" for part in footprint.flash_parts)
    firmware_bytes = footprint.flash + pair.board.reserved_flash
    return slot_figures(slots, firmware_bytes, model.bytes, estimated=estimated)


def _update(pair: Pair, model: Model, footprint: Footprint) -> Iterable[Figure]:
    """What an update sends, where a budget for it or ``[update]`` is declared."""
    terms, limit = pair.declaration.update, pair.model.budget.update
    if terms is None and limit is None:
        return ()
    from pytest_tinybudget.update.payload import Payload
    from pytest_tinybudget.update.payload import payload_figures
    from pytest_tinybudget.update.payload import read_deployed
    from pytest_tinybudget.update.terms import UpdateTerms

    slots, deployed = pair.declaration.slots.get(pair.board.id), pair.model.deployed
    firmware_bytes = footprint.flash + pair.board.reserved_flash - model.bytes
    payload = Payload(
        model.content,
        around_bytes=slots.payload.around if slots else 0,
        firmware_bytes=firmware_bytes if slots and slots.model is None else 0,
        deployed=read_deployed(deployed) if deployed else b"",
    )
    return payload_figures(payload, terms or UpdateTerms(), limit)


#: In the order of the reports.
_SOURCES: tuple[Source, ...] = (_slots, _update)


def figures_of(pair: Pair, model: Model, footprint: Footprint) -> tuple[Figure, ...]:
    """All figures of ``pair``.

    Raises:
        TinybudgetError: what is declared of one of them cannot be computed.
    """
    return tuple(figure for source in _SOURCES for figure in source(pair, model, footprint))
