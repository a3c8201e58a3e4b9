"""The verdict: a footprint against the room of a board and the limits that a team declared.

The only place that decides whether a pair passes. It knows no output format; what it says is in
lines of text that every report repeats as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal
from typing import NamedTuple

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.boards.board import Block
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.boards.board import Placement
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.metrics import LABELS
from pytest_tinybudget.metrics import Metric
from pytest_tinybudget.names import printable
from pytest_tinybudget.results import Figure
from pytest_tinybudget.results import Measure
from pytest_tinybudget.results import Outcome
from pytest_tinybudget.results import PairResult
from pytest_tinybudget.results import Placed
from pytest_tinybudget.sizes import format_pair
from pytest_tinybudget.sizes import format_ratio
from pytest_tinybudget.sizes import format_size


#: What the warn tier starts at where nothing is declared, percent of the limit.
DEFAULT_WARN_AT_PERCENT = 100.0

_LONGEST_LINE, _LONGEST_NAME = 160, 60


class Terms(Struct, frozen=True):
    """What a pair is held to besides its board's room.

    ``budget`` is in bytes. Above ``warn_at_percent`` of a limit the pair passes with a warning.
    ``require_int8`` fails a model that is not full INT8 (``"warn"`` only says so); ``strict``
    fails one whose numbers are bounds instead of the device's own. ``placement`` is where the
    arena goes: it must fit one block there.
    """

    budget: Budget = field(default_factory=Budget)
    warn_at_percent: float = DEFAULT_WARN_AT_PERCENT
    require_int8: bool | Literal["warn"] = "warn"
    strict: bool = False
    placement: Placement = "static"


class Verdict(Struct, frozen=True, gc=False):
    """Pass or fail, the one line that says it, and the measures it rests on.

    A model that TFLM refuses before it has an arena has no RAM measure; ``placed`` is where the
    arena lies.
    """

    outcome: Outcome
    headline: str
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...] = ()
    placed: Placed | None = None


def judge(footprint: Footprint, board: Board, terms: Terms) -> Verdict:
    """Whether ``footprint`` fits ``board`` within ``terms``.

    A limit is the smaller of the board's room (capacity less reserve) and the declared budget.
    Refused by TFLM comes before over a limit, that before an unmet demand.

    Raises:
        TinybudgetError: the board has no memory of the kind that the arena is to lie in.
    """
    block = _block(board, terms.placement)
    flash = _measure("flash", footprint.flash, footprint.flash_parts, _flash_limits(board, terms))
    measures: tuple[Measure, ...] = (flash,) if footprint.flash_parts else ()
    placed = None
    if footprint.arena is not None or not footprint.refusals:
        limits = _ram_limits(footprint, board, block, terms.placement)
        declared = [*_declared(terms.budget.ram), *limits]
        measures = (*measures, _measure("ram", footprint.ram, footprint.ram_parts, declared))
        placed = _placed(footprint, block, terms.placement, limits)
    sizes = _headline(measures)
    if footprint.refusals:
        refusal = refusal_text(footprint, footprint.refusals[0])
        return Verdict("refused", refusal, measures, placed=placed)
    warnings = _warnings(footprint, board, block, terms, measures)
    if any(measure.over for measure in measures):
        return Verdict("over", sizes, measures, warnings, placed)
    unmet = _unmet(footprint, terms)
    if unmet:
        return Verdict("unmet", f"{'; '.join(unmet)}; {sizes}", measures, warnings, placed)
    return Verdict("warns" if warnings else "fits", sizes, measures, warnings, placed)


def with_figures(result: PairResult, figures: Sequence[Figure]) -> PairResult:
    """``result`` with ``figures``: one beyond its limit fails the pair, as does an unknown one.

    Those that fail come first in the headline, then flash and RAM, then those within limits.
    """
    if not figures:
        return result
    failing = [figure for figure in figures if figure.unmet]
    kept = [figure for figure in figures if figure.limit is not None and not figure.unmet]
    outcome = result.outcome
    if failing and outcome in ("fits", "warns", "unmet"):
        over = any(figure.exceeded and not figure.at_least for figure in failing)
        outcome = "over" if over else "unmet"
    texts = [figure.text for figure in failing], [result.headline], [each.text for each in kept]
    return replace(
        result,
        outcome=outcome,
        headline="; ".join(text for part in texts for text in part if text),
        reasons=(*result.reasons, *(figure.advice for figure in failing if figure.advice)),
        figures=(*result.figures, *figures),
    )


class _Limit(NamedTuple):
    bytes: int
    origin: Literal["budget", "board"]
    note: str


def _measure(metric: Metric, used: int, parts: tuple[Part, ...], limits: list[_Limit]) -> Measure:
    limit = min(limits, key=lambda limit: limit.bytes)
    return Measure(metric, used, limit.bytes, limit.origin, limit.note, parts)


def _block(board: Board, placement: Placement) -> Block:
    block = board.block(placement)
    if block is None:
        has = ", ".join(f"{each.name} ({format_size(each.size)})" for each in board.regions)
        raise TinybudgetError(
            f'placement = "{placement}": {board.id} has no external RAM'
            + (f"; it has {has}" if has else "")
        )
    return block


def _flash_limits(board: Board, terms: Terms) -> list[_Limit]:
    note = _room_note(board.id, board.usable_flash, board.flash, board.reserved_flash)
    return [*_declared(terms.budget.flash), _Limit(board.flash_room, "board", note)]


def _ram_limits(
    footprint: Footprint, board: Board, block: Block, placement: Placement
) -> list[_Limit]:
    """What the board leaves: in all, and in the block that the arena must fit as one array."""
    note = _room_note(board.id, board.usable_ram, board.ram, board.reserved_ram)
    if footprint.arena is None:
        return [_Limit(board.ram_room, "board", note)]
    arena = footprint.arena.required
    if placement == "psram":
        arena = _arenas(footprint, arena)
    elsewhere = footprint.ram - arena
    if placement != "psram" and board.statics_share_a_block:
        elsewhere = footprint.stack  # static objects also shorten the heap's block
    fits = f"{board.id}: the arena, {format_size(arena)}, must fit {_described(block, placement)}"
    if elsewhere:
        fits += f"; {format_size(elsewhere)} may lie elsewhere"
    in_block = _Limit(block.room + elsewhere, "board", fits)
    if placement == "psram":
        return [in_block, _Limit(board.ram_room + arena, "board", f"{note}, besides the arena")]
    return [_Limit(board.ram_room, "board", note), in_block]


def _described(block: Block, placement: Placement) -> str:
    room = f"{format_size(block.room)} ({block.region})"
    if placement == "psram":
        return f"the external RAM, {room}"
    if placement == "heap" and block.published:
        return f"the largest free block of the heap at boot, {room}"
    return f"the largest block of RAM, {room}"


def _placed(
    footprint: Footprint, block: Block, placement: Placement, limits: list[_Limit]
) -> Placed | None:
    """Where the arena lies; RAM on the chip it shares with all else that the pair takes."""
    if footprint.arena is None:
        return None
    arena = footprint.arena.required
    if placement == "psram":
        return Placed(placement, block.region, block.room, block.room - _arenas(footprint, arena))
    room = max(0, min(limit.bytes for limit in limits) - footprint.ram + arena)
    return Placed(placement, block.region, room, room - arena)


def _arenas(footprint: Footprint, largest: int) -> int:
    """Bytes of all arenas: a group may have one for each of its models."""
    parts = [part for part in footprint.ram_parts if part.name.startswith("arena")]
    return max(largest, sum(part.bytes + part.margin_bytes for part in parts))


def _declared(budget_bytes: int | None) -> list[_Limit]:
    return [] if budget_bytes is None else [_Limit(budget_bytes, "budget", "declared budget")]


@lru_cache(maxsize=1024)
def _room_note(board_id: str, usable: int, capacity: int, reserved: int) -> str:
    """What a board's room is made of: the same text for every model on it."""
    note = f"{board_id}: {format_size(capacity)}"
    if usable != capacity:
        note += f", {format_size(usable)} usable"
    if reserved:
        note += f", {format_size(reserved)} reserved"
    return note


def _headline(measures: tuple[Measure, ...]) -> str:
    """Every measure in words, those that are over first."""
    ordered = sorted(measures, key=lambda measure: measure.over == 0)
    return "; ".join(_measure_text(measure) for measure in ordered)


def _measure_text(measure: Measure) -> str:
    state = f"over by {format_size(measure.over)}" if measure.over else "ok"
    return f"{LABELS[measure.metric]} {state} ({format_ratio(measure.used, measure.limit)})"


def refusal_text(footprint: Footprint, refusal: Refusal) -> str:
    """Operator, layer and reason of a refusal, and at which step the device would find out."""
    step = {
        "load": "not load the model",
        "resize": "not resize",
        "resolve": "not find the operator",
        "prepare": "fail in AllocateTensors()",
        "invoke": "fail in Invoke()",
    }[refusal.stage]
    names = [
        printable(layer.name, limit=_LONGEST_NAME)
        for layer in footprint.layers
        if (layer.subgraph, layer.index) == (refusal.subgraph, refusal.index) and layer.name
    ]
    layer = f" ({names[0]})" if names else ""
    where = printable(refusal.where, limit=_LONGEST_NAME)
    return ": ".join(filter(None, (f"TFLM would {step}", f"{where}{layer}", refusal.reason)))


def _warnings(
    footprint: Footprint,
    board: Board,
    block: Block,
    terms: Terms,
    measures: tuple[Measure, ...],
) -> tuple[str, ...]:
    warnings = [_tier(measure, terms.warn_at_percent) for measure in measures]
    if not block.published:
        warnings.append(
            f"board {board.id} has no published largest free block of its heap at boot: "
            f"{block.region} stands in for it; measure it and declare largest_heap"
        )
    sdk = board.chosen_sdk
    if sdk is not None and not sdk.complete:
        warnings.append(f'board {board.id}, sdk = "{sdk.name}": {sdk.notes}')
    if not board.verified:
        warnings.append(_unverified(board.id, board.notes))
    if footprint.unknown and not terms.strict:
        warnings.append(f"bounded, not known: {_first(footprint.unknown)}")
    if footprint.not_int8 and terms.require_int8 == "warn":
        warnings.append(_not_int8(footprint))
    return tuple(filter(None, warnings))


@lru_cache(maxsize=1024)
def _unverified(board_id: str, notes: str) -> str:
    text = f"board {board_id} is not verified: check its memory before you rely on it"
    return f"{text} ({notes})" if notes else text


def _tier(measure: Measure, warn_at_percent: float) -> str:
    if measure.over or measure.used * 100 <= warn_at_percent * measure.limit:
        return ""
    used, limit = format_pair(measure.used, measure.limit)
    return (
        f"{LABELS[measure.metric]} above {warn_at_percent:g} % of its limit: "
        f"{used} of {limit}, {format_size(measure.free)} free"
    )


def _unmet(footprint: Footprint, terms: Terms) -> list[str]:
    unmet = []
    if terms.strict and not footprint.known:
        unmet.append(f"strict: not exact: {_first(_inexact(footprint))}")
    if terms.require_int8 is True and footprint.not_int8:
        unmet.append(f"require_int8: {_not_int8(footprint)}")
    return unmet


def _inexact(footprint: Footprint) -> list[str]:
    """What is bounded instead of known: operators first, then the parts that are estimates."""
    estimates = [
        f"{part.name} is estimated"
        + (f", {format_size(part.margin_bytes)} margin included" if part.margin_bytes else "")
        for part in (*footprint.flash_parts, *footprint.ram_parts)
        if part.method == "estimated"
    ]
    return [*footprint.unknown, *estimates]


def _not_int8(footprint: Footprint) -> str:
    return f"the model is not full INT8: {_first(footprint.not_int8)}"


def _first(lines: Sequence[str]) -> str:
    """The first of ``lines`` and how many there are besides."""
    shown = printable(lines[0], limit=_LONGEST_LINE)
    return f"{shown} (and {len(lines) - 1} more)" if len(lines) > 1 else shown
