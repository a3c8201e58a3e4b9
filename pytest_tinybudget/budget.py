"""The verdict: a footprint against the room of a board and the limits that a team declared.

The only place that decides whether a pair passes. It knows no output format; what it says is in
lines of text that every report repeats as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Literal
from typing import NamedTuple

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.names import printable
from pytest_tinybudget.results import Figure
from pytest_tinybudget.results import Measure
from pytest_tinybudget.results import Outcome
from pytest_tinybudget.results import PairResult
from pytest_tinybudget.sizes import format_pair
from pytest_tinybudget.sizes import format_ratio
from pytest_tinybudget.sizes import format_size


#: What the warn tier starts at where nothing is declared, percent of the limit.
DEFAULT_WARN_AT_PERCENT = 100.0

_LONGEST_LINE, _LONGEST_NAME = 160, 60

_LABELS = {"flash": "flash", "ram": "RAM"}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pair is held to besides its board's room.

    ``budget`` is in bytes. Above ``warn_at_percent`` of a limit the pair passes with a warning.
    ``require_int8`` fails a model that is not full INT8 (``"warn"`` only says so); ``strict``
    fails one whose numbers are bounds instead of the device's own.
    """

    budget: Budget = field(default_factory=Budget)
    warn_at_percent: float = DEFAULT_WARN_AT_PERCENT
    require_int8: bool | Literal["warn"] = "warn"
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Pass or fail, the one line that says it, and the measures it rests on.

    A model that TFLM refuses before it has an arena has no RAM measure.
    """

    outcome: Outcome
    headline: str
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...] = ()


def judge(footprint: Footprint, board: Board, terms: Terms) -> Verdict:
    """Whether ``footprint`` fits ``board`` within ``terms``.

    A limit is the smaller of the board's room (capacity less reserve) and the declared budget.
    Refused by TFLM comes before over a limit, that before an unmet demand.
    """
    measures = _measures(footprint, board, terms.budget)
    sizes = _headline(measures)
    if footprint.refusals:
        return Verdict("refused", _refusal(footprint, footprint.refusals[0]), measures)
    warnings = _warnings(footprint, board, terms, measures)
    if any(measure.over for measure in measures):
        return Verdict("over", sizes, measures, warnings)
    unmet = _unmet(footprint, terms)
    if unmet:
        return Verdict("unmet", f"{'; '.join(unmet)}; {sizes}", measures, warnings)
    return Verdict("warns" if warnings else "fits", sizes, measures, warnings)


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


def _measures(footprint: Footprint, board: Board, budget: Budget) -> tuple[Measure, ...]:
    flash = _measure("flash", footprint.flash, footprint.flash_parts, _flash_limits(board, budget))
    if footprint.refusals and footprint.arena is None:
        return (flash,)
    limits = _ram_limits(footprint, board, budget)
    return flash, _measure("ram", footprint.ram, footprint.ram_parts, limits)


class _Limit(NamedTuple):
    bytes: int
    origin: Literal["budget", "board"]
    note: str


def _measure(
    metric: Literal["flash", "ram"], used: int, parts: tuple[Part, ...], limits: list[_Limit]
) -> Measure:
    limit = min(limits, key=lambda limit: limit.bytes)
    return Measure(metric, used, limit.bytes, limit.origin, limit.note, parts)


def _flash_limits(board: Board, budget: Budget) -> list[_Limit]:
    note = _room_note(board, board.usable_flash, board.flash, board.reserved_flash)
    return [*_declared(budget.flash), _Limit(board.flash_room, "board", note)]


def _ram_limits(footprint: Footprint, board: Board, budget: Budget) -> list[_Limit]:
    note = _room_note(board, board.usable_ram, board.ram, board.reserved_ram)
    limits = [*_declared(budget.ram), _Limit(board.ram_room, "board", note)]
    if footprint.arena is not None:
        limits.append(_block_limit(footprint.ram, footprint.arena, board))
    return limits


def _block_limit(ram_bytes: int, arena: Arena, board: Board) -> _Limit:
    """The arena is one array: it must fit one block of RAM; what is outside may lie elsewhere."""
    outside = ram_bytes - arena.required
    note = (
        f"{board.id}: the arena, {format_size(arena.required)}, must fit the largest block "
        f"of RAM, {format_size(board.largest_ram)}; {format_size(outside)} may lie elsewhere"
    )
    return _Limit(board.largest_ram + outside, "board", note)


def _declared(budget_bytes: int | None) -> list[_Limit]:
    return [] if budget_bytes is None else [_Limit(budget_bytes, "budget", "declared budget")]


def _room_note(board: Board, usable: int, capacity: int, reserved: int) -> str:
    note = f"{board.id}: {format_size(capacity)}"
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
    return f"{_LABELS[measure.metric]} {state} ({format_ratio(measure.used, measure.limit)})"


def _refusal(footprint: Footprint, refusal: Refusal) -> str:
    """Operator, layer and reason of a refusal, and at which step the device would find out."""
    step = {
        "load": "not load the model",
        "resolve": "not find the operator",
        "prepare": "fail in AllocateTensors()",
        "invoke": "fail in Invoke()",
    }[refusal.stage]
    where = f"{refusal.operator} #{refusal.index}" if refusal.index >= 0 else refusal.operator
    if refusal.subgraph > 0:
        where += f" of subgraph {refusal.subgraph}"
    names = [
        printable(layer.name, limit=_LONGEST_NAME)
        for layer in footprint.layers
        if (layer.subgraph, layer.index) == (refusal.subgraph, refusal.index) and layer.name
    ]
    layer = f" ({names[0]})" if names else ""
    return f"TFLM would {step}: {where}{layer}: {refusal.reason}"


def _warnings(
    footprint: Footprint, board: Board, terms: Terms, measures: tuple[Measure, ...]
) -> tuple[str, ...]:
    warnings = [_tier(measure, terms.warn_at_percent) for measure in measures]
    if not board.verified:
        warnings.append(
            f"board {board.id} is not verified: check its memory before you rely on it"
            + (f" ({board.notes})" if board.notes else "")
        )
    if footprint.unknown and not terms.strict:
        warnings.append(f"bounded, not known: {_first(footprint.unknown)}")
    if footprint.not_int8 and terms.require_int8 == "warn":
        warnings.append(_not_int8(footprint))
    return tuple(filter(None, warnings))


def _tier(measure: Measure, warn_at_percent: float) -> str:
    if measure.over or measure.used * 100 <= warn_at_percent * measure.limit:
        return ""
    used, limit = format_pair(measure.used, measure.limit)
    return (
        f"{_LABELS[measure.metric]} above {warn_at_percent:g} % of its limit: "
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
