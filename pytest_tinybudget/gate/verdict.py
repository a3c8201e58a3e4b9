"""The verdict: a footprint against the room of a board and the limits that a team declared.

This is the only place that decides whether a pair passes. It knows no output format: its messages
are lines of text, which every report prints unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from itertools import starmap
from typing import Literal

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.board import Block
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.footprint.layout import ARENA
from pytest_tinybudget.footprint.layout import NON_PERSISTENT
from pytest_tinybudget.footprint.layout import PERSISTENT
from pytest_tinybudget.footprint.layout import Array
from pytest_tinybudget.footprint.layout import arena_parts_of
from pytest_tinybudget.footprint.layout import arrays_of
from pytest_tinybudget.footprint.layout import laid_out
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.results.metrics import ARENA_METRICS
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed
from pytest_tinybudget.runtimes.placement import ArenaPlacement
from pytest_tinybudget.runtimes.placement import Placement
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement


#: Above this share of a limit (percent) a pair warns, unless ``warn_at`` is declared.
DEFAULT_WARN_AT_PERCENT = 100.0

_LONGEST_LINE, _LONGEST_NAME = 160, 60

#: Up to this many ways to place arrays in blocks are tried: all ways for one or two models.
_MOST_WAYS = 4096


class Demands(Struct, frozen=True, cache_hash=True):
    """The limits and requirements for a pair, besides the room of its board.

    ``budget`` is in bytes. Above ``warn_at_percent`` of a limit the pair passes with a warning.
    ``require_int8`` fails a model that is not full INT8 (``"warn"`` only says so); ``strict``
    fails one whose numbers are bounds and not exact. ``placement`` is the memory of the arena,
    which must fit in one block there; so must each part of a split arena.
    """

    budget: Budget = field(default_factory=Budget)
    warn_at_percent: float = DEFAULT_WARN_AT_PERCENT
    require_int8: bool | Literal["warn"] = "warn"
    strict: bool = False
    placement: ArenaPlacement = "static"

    def within(self, budget: Budget) -> Demands:
        """The same with another budget."""
        return self if budget is self.budget else replace(self, budget=budget)


class Verdict(Struct, frozen=True, gc=False):
    """Whether a pair passes, in one line, and the sizes and limits that decide it.

    A model that TFLM refuses before it has an arena has no RAM measure; ``placed`` is where the
    arena lies, ``arrays`` where all else lies that must be in one piece.
    """

    outcome: Outcome
    headline: str
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...] = ()
    placed: Placed | None = None
    arrays: tuple[Placed, ...] = ()


def judge(footprint: Footprint, board: Board, demands: Demands) -> Verdict:
    """Whether ``footprint`` fits ``board`` within ``demands``.

    A limit is the smaller of the board's room (capacity less reserve) and the declared budget.
    If several outcomes apply, ``"refused"`` comes before ``"over"``, and that before ``"unmet"``.

    Raises:
        TinybudgetError: the board has no memory of the kind that the arena is to lie in, or the
            budget is for another kind of arena.
    """
    footprint = laid_out(footprint, Placements(demands.placement))
    if footprint.refusals:  # which name layers
        return _judged(footprint, board, demands)
    key = (board, demands, _decisive(footprint))
    try:
        found = _verdicts.pop(key, None) or _judged(footprint, board, demands)
    except TypeError:  # the parts of another estimator may be lists
        return _judged(footprint, board, demands)
    while len(_verdicts) >= _MOST_VERDICTS:
        del _verdicts[next(iter(_verdicts))]
    _verdicts[key] = found  # the last again
    return found


#: Variants of a network have their verdicts in common: those of the last networks are kept.
_verdicts: dict[Hashable, Verdict] = {}
_MOST_VERDICTS = 1024


def _decisive(footprint: Footprint) -> Hashable:
    """What of a footprint that TFLM runs decides its verdict."""
    arena = footprint.arena
    return (
        footprint.flash_parts,
        footprint.ram_parts,
        footprint.psram_parts,
        footprint.stack,
        arena and (arena.required, arena.split),
        footprint.unknown,
        footprint.risky,
        footprint.not_int8,
        footprint.float_parts,
    )


def _judged(footprint: Footprint, board: Board, demands: Demands) -> Verdict:
    block = _block(board, demands.placement)
    flash = _measure("flash", footprint.flash, footprint.flash_parts, _flash_limits(board, demands))
    measures: tuple[Measure, ...] = (flash,) if footprint.flash_parts else ()
    places: tuple[Placed, ...] = ()
    if footprint.arena is not None or not footprint.refusals:
        limits, places = _memory(footprint, board, demands.placement)
        declared = [*_declared(demands.budget.ram), *limits]
        measures = (
            *measures,
            _measure("ram", footprint.ram, footprint.ram_parts, declared),
            *_external(footprint, board, demands),
            *_arenas(footprint, demands),
        )
    sizes = _headline(measures)
    if footprint.refusals:
        refusal = refusal_text(footprint, footprint.refusals[0])
        return _verdict("refused", refusal, measures, (), places)
    warnings = _warnings(footprint, board, block, demands, measures)
    if any(measure.over for measure in measures):
        return _verdict("over", sizes, measures, warnings, places)
    unmet = _unmet(footprint, demands)
    if unmet:
        return _verdict("unmet", f"{'; '.join(unmet)}; {sizes}", measures, warnings, places)
    return _verdict("warns" if warnings else "fits", sizes, measures, warnings, places)


def _verdict(
    outcome: Outcome,
    headline: str,
    measures: tuple[Measure, ...],
    warnings: tuple[str, ...],
    places: tuple[Placed, ...],
) -> Verdict:
    own = [each for each in places if each.name == ARENA or each.name.startswith(f"{ARENA} of ")]
    arena = max(own, key=lambda each: each.room - each.free, default=None)
    arrays = tuple(each for each in places if each is not arena)
    return Verdict(outcome, headline, measures, warnings, arena, arrays)


def with_figures(result: PairResult, figures: Sequence[Figure]) -> PairResult:
    """``result`` with ``figures``. A figure over its limit fails the pair; so does an unknown one.

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


class _Limit(Struct, frozen=True):
    bytes: int
    origin: Literal["budget", "board"]
    #: Whence it comes; of the limits that could count, the note of the one that does is made.
    note: str | Callable[[], str]


def _measure(metric: Metric, used: int, parts: tuple[Part, ...], limits: list[_Limit]) -> Measure:
    limit = min(limits, key=lambda limit: limit.bytes)
    note = limit.note if isinstance(limit.note, str) else limit.note()
    return Measure(metric, used, limit.bytes, limit.origin, note, parts)


def _block(board: Board, placement: ArenaPlacement) -> Block:
    """The block of the arena; for a split arena, the block with an unpublished size, if any."""
    if isinstance(placement, SplitPlacement):
        blocks = [_block(board, each) for each in (placement.persistent, placement.non_persistent)]
        return next((block for block in blocks if not block.published), blocks[0])
    block = board.block(placement)
    if block is None:
        raise _no_external(board, f'placement = "{placement}"')
    return block


def _no_external(board: Board, wanted: str) -> TinybudgetError:
    has = ", ".join(f"{each.name} ({format_size(each.size)})" for each in board.regions)
    return TinybudgetError(
        f"{wanted}: {board.id} has no external RAM" + (f"; it has {has}" if has else "")
    )


def _flash_limits(board: Board, demands: Demands) -> list[_Limit]:
    note = _room_note(board.id, board.usable_flash, board.flash, board.reserved_flash)
    return [*_declared(demands.budget.flash), _Limit(board.flash_room, "board", note)]


def _memory(
    footprint: Footprint, board: Board, placement: ArenaPlacement
) -> tuple[list[_Limit], tuple[Placed, ...]]:
    """The limits of RAM on the chip, and the place of everything that must be in one piece."""
    note = _room_note(board.id, board.usable_ram, board.ram, board.reserved_ram)
    whole = _Limit(board.ram_room, "board", note)
    arrays = arrays_of(footprint, placement)
    outside = [array for array in arrays if array.placement == "psram"]
    inside = [array for array in arrays if array.placement != "psram"]
    places = _in_external(footprint, board, outside)
    if not inside:
        return [whole], places
    if len(inside) == 1:
        (array,) = inside
        limit = _one_array(footprint, board, array)
        room = min(whole.bytes, limit.bytes) - footprint.ram + array.bytes
        return [whole, limit], (_placed(array, _block(board, array.placement), room), *places)
    limits, inner = _several_arrays(footprint, board, inside)
    return [whole, *limits], (*inner, *places)


def _one_array(footprint: Footprint, board: Board, array: Array) -> _Limit:
    """The limit if ``array`` must fit in one block and everything else may lie elsewhere."""
    block = _block(board, array.placement)
    elsewhere = footprint.ram - array.bytes
    if board.statics_share_a_block:
        elsewhere = footprint.stack  # static objects also shorten the heap's block

    def note() -> str:
        fits = (
            f"{board.id}: {array.name}, {format_size(array.bytes)}, must fit "
            f"{_described(block, array.placement)}"
        )
        return f"{fits}; {format_size(elsewhere)} may lie elsewhere" if elsewhere else fits

    return _Limit(block.room + elsewhere, "board", note)


def _several_arrays(
    footprint: Footprint, board: Board, arrays: Sequence[Array]
) -> tuple[list[_Limit], tuple[Placed, ...]]:
    """The limit if all ``arrays`` must fit in blocks; it is exceeded by the bytes that do not fit.

    Arenas lie in the first block. A static array may also lie in another one.
    """
    main = _block(board, "heap" if any(each.placement == "heap" for each in arrays) else "static")
    blocks = [main, *board.other_blocks(main, most=len(arrays))]
    statics = footprint.ram - footprint.stack - sum(array.bytes for array in arrays)
    fixed = [statics if board.statics_share_a_block else 0] + [0] * (len(blocks) - 1)
    spare = [block.room - load for block, load in zip(blocks, fixed, strict=True)]
    best = _packed(arrays, spare)
    for array, chosen in zip(arrays, best, strict=True):
        spare[chosen] -= array.bytes
    left = max(0, board.ram_room - footprint.ram)
    places = tuple(
        _placed(array, blocks[chosen], array.bytes + min(left, spare[chosen]))
        for array, chosen in zip(arrays, best, strict=True)
    )
    missing = max(0, -min(spare))
    if not missing:
        return [], places
    needed = ", ".join(f"{each.name} ({format_size(each.bytes)})" for each in arrays)
    rooms = ", ".join(f"{format_size(block.room)} ({block.region})" for block in blocks)
    note = f"{board.id}: {needed} must each lie in one block of RAM, of which there are {rooms}"
    return [_Limit(footprint.ram - missing, "board", note)], places


def _packed(arrays: Sequence[Array], rooms: Sequence[int]) -> list[int]:
    """The index of the block for each array, so that the fewest bytes are missing in any block.

    If there are many arrays, the largest is placed first, into the block with the most room. That
    may miss a placement that fits; it never reports one that does not.
    """
    choices = [range(1 if each.placement == "heap" else len(rooms)) for each in arrays]
    if len(rooms) ** len(arrays) <= _MOST_WAYS:
        return list(min(product(*choices), key=lambda chosen: _missing(arrays, chosen, rooms)))
    left, found = list(rooms), [0] * len(arrays)
    for position in sorted(range(len(arrays)), key=lambda each: -arrays[each].bytes):
        found[position] = max(choices[position], key=lambda block: left[block])
        left[found[position]] -= arrays[position].bytes
    return found


def _missing(
    arrays: Sequence[Array], chosen: Iterable[int], rooms: Sequence[int]
) -> tuple[int, int]:
    """Bytes missing in the fullest block and in all, when each array goes into its ``chosen``."""
    left = list(rooms)
    for array, block in zip(arrays, chosen, strict=True):
        left[block] -= array.bytes
    return max(0, -min(left)), sum(max(0, -each) for each in left)


def _in_external(footprint: Footprint, board: Board, arrays: Sequence[Array]) -> tuple[Placed, ...]:
    if not arrays:
        return ()
    block = _external_block(board)
    free = block.room - footprint.psram
    kinds: dict[str, int] = {}
    for array in arrays:  # external RAM is one block, so that only the sum of its arrays counts
        kind = array.name.partition(" of ")[0]
        kinds[kind] = kinds.get(kind, 0) + array.bytes
    return tuple(
        _placed(Array(kind, size, "psram"), block, size + free) for kind, size in kinds.items()
    )


def _external_block(board: Board) -> Block:
    block = board.block("psram")
    if block is None:
        raise _no_external(board, 'placement_model = "psram"')
    return block


def _external(footprint: Footprint, board: Board, demands: Demands) -> Iterator[Measure]:
    """External RAM, where anything lies in it."""
    if footprint.psram_parts:
        block = _external_block(board)
        note = f"{board.id}: {format_size(block.room)} external RAM ({block.region})"
        limits = [*_declared(demands.budget.psram), _Limit(block.room, "board", note)]
        yield _measure("psram", footprint.psram, footprint.psram_parts, limits)


def _arenas(footprint: Footprint, demands: Demands) -> Iterator[Measure]:
    """The arena, or each part of a split arena, against its own budget."""
    is_split = isinstance(demands.placement, SplitPlacement)
    for metric in ARENA_METRICS:
        budget: int | None = getattr(demands.budget, metric)
        if budget is None or footprint.arena is None:
            continue
        check_arena_budget(metric, is_split=is_split)
        kind = {"persistent_arena": PERSISTENT, "non_persistent_arena": NON_PERSISTENT}
        parts = arena_parts_of(footprint, kind.get(metric, ARENA))
        used = sum(part.bytes + part.margin_bytes for part in parts)
        yield _measure(metric, used, parts, _declared(budget))


def check_arena_budget(metric: Metric, *, is_split: bool) -> None:
    """Check that the budget ``metric`` suits the arena: one arena, or a split one.

    Raises:
        TinybudgetError: it is a budget for the other kind.
    """
    if is_split and metric == "arena":
        raise TinybudgetError(
            "budget.arena: the arena is split, and its parts are never added together: state "
            "persistent_arena and non_persistent_arena"
        )
    if not is_split and metric != "arena":
        raise TinybudgetError(
            f"budget.{metric}: the arena is not split: state arena, or a placement of both parts"
        )


def _described(block: Block, placement: Placement) -> str:
    room = f"{format_size(block.room)} ({block.region})"
    if placement == "heap" and block.published:
        return f"the largest free block of the heap at boot, {room}"
    return f"the largest block of RAM, {room}"


def _placed(array: Array, block: Block, room: int) -> Placed:
    """Where ``array`` lies, and the room there, which it shares with the pair's other data."""
    room = max(0, room)
    name = array.name.removeprefix("the ")
    return Placed(array.placement, block.region, room, room - array.bytes, name)


def _declared(budget_bytes: int | None) -> list[_Limit]:
    return [] if budget_bytes is None else [_Limit(budget_bytes, "budget", "declared budget")]


@lru_cache(maxsize=1024)
def _room_note(board_id: str, usable: int, capacity: int, reserved: int) -> str:
    """How a board's room is computed, in words; cached, as it is the same for every model."""
    note = f"{board_id}: {format_size(capacity)}"
    if usable != capacity:
        note += f", {format_size(usable)} usable"
    if reserved:
        note += f", {format_size(reserved)} reserved"
    return note


def _headline(measures: tuple[Measure, ...]) -> str:
    return headline([(each.metric, each.used, each.limit) for each in measures])


def headline(sizes: Iterable[tuple[Metric, int, int]]) -> str:
    """Every size in words, used and its limit, in bytes; those that are over first."""
    ordered = sorted(sizes, key=lambda each: each[1] <= each[2])
    return "; ".join(starmap(_size_text, ordered))


def _size_text(metric: Metric, used: int, limit: int) -> str:
    over = used - limit
    state = f"over by {format_size(over)}" if over > 0 else "ok"
    return f"{LABELS[metric]} {state} ({format_ratio(used, limit)})"


def refusal_text(footprint: Footprint, refusal: Refusal) -> str:
    """A refusal in words: operator, layer, reason, and the step at which the device fails."""
    step = {
        "load": "not load the model",
        "resize": "not resize",
        "resolve": "not find the operator",
        "prepare": "fail in AllocateTensors()",
        "invoke": "fail in Invoke()",
        "wrong": "compute wrong results without an error",
        "outdated": "compute wrong results without an error in this version",
        "undefined": "do something undefined",
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
    demands: Demands,
    measures: tuple[Measure, ...],
) -> tuple[str, ...]:
    warnings = [_tier(measure, demands.warn_at_percent) for measure in measures]
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
    if footprint.unknown and not demands.strict:
        warnings.append(f"bounded, not known: {_first(footprint.unknown)}")
    if footprint.risky:
        warnings.append(f"goes wrong for some inputs: {_first(footprint.risky)}")
    if footprint.not_int8 and demands.require_int8 == "warn":
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


def _unmet(footprint: Footprint, demands: Demands) -> list[str]:
    unmet = []
    if demands.strict and not footprint.known:
        unmet.append(f"strict: not exact: {_first(_inexact(footprint))}")
    if demands.require_int8 is True and footprint.not_int8:
        unmet.append(f"require_int8: {_not_int8(footprint)}")
    return unmet


def _inexact(footprint: Footprint) -> list[str]:
    """What is only bounded: operators without a rule, then the parts that are estimates."""
    estimates = [
        f"{part.name} is estimated"
        + (f", {format_size(part.margin_bytes)} margin included" if part.margin_bytes else "")
        for part in (*footprint.flash_parts, *footprint.ram_parts)
        if part.method == "estimated"
    ]
    return [*footprint.unknown, *estimates]


def _not_int8(footprint: Footprint) -> str:
    """What is float, causes first: an operator's layer says more than the tensor before it."""
    causes = [each.text for each in footprint.float_parts]
    if not causes:
        return f"the model is not full INT8: {_first(footprint.not_int8)}"
    more = f" (and {len(causes) - 1} more in float)" if len(causes) > 1 else ""
    return f"the model is not full INT8: {causes[0]}{more}"


def _first(lines: Sequence[str]) -> str:
    """The first of ``lines`` and how many there are besides."""
    shown = printable(lines[0], limit=_LONGEST_LINE)
    return f"{shown} (and {len(lines) - 1} more)" if len(lines) > 1 else shown
