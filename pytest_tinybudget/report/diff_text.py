"""A comparison for the terminal: every pair's sizes on both sides, and what made the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from itertools import zip_longest

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_delta_range
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.base.units import format_size_range
from pytest_tinybudget.baseline.comparison import Causes
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.baseline.comparison import LayerChange
from pytest_tinybudget.baseline.comparison import OperatorChange
from pytest_tinybudget.baseline.comparison import PartChange
from pytest_tinybudget.baseline.comparison import PeakTensor
from pytest_tinybudget.baseline.comparison import Status
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.review import Block
from pytest_tinybudget.report.review import Group
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.report.review import verdict_text
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.report.why import parts_of
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS


#: Lines of a list that says why, and of one below the table of a run; the rest are counted.
_MOST_LISTED, _MOST_IN_A_RUN = 8, 4

_MARKS = {"added": "+", "removed": "-", "changed": "~"}

_ALIGN: tuple[Align, ...] = ("left", "left", "left", "right", "right", "right", "right", "right")

_STATUSES: tuple[Status, ...] = (
    "changed",
    "new",
    "removed",
    "renamed",
    "not comparable",
    "unchanged",
)


def comparison_lines(
    comparison: Comparison, style: Style = PLAIN, *, unchanged: bool = True, verbosity: int = 0
) -> list[Line]:
    """The comparison, worst first.

    One block a model: boards of which the same is to be said are one row. ``unchanged`` also
    shows pairs that are as they were, and new ones where there is no base (where no other table
    does); a ``verbosity`` above 0 gives each pair a row and lists every cause, one below 0 only
    the counts.
    """
    lines = [*_heading(comparison, style)]
    shown = comparison.changes if unchanged else comparison.different
    if verbosity >= 0 and shown and (comparison.base or unchanged):
        rows = [Row(change.shown, change) for change in shown]
        blocks = blocks_of(rows, each=verbosity > 0)
        lines += _rows(blocks, style)
        most = _MOST_LISTED if unchanged else _MOST_IN_A_RUN
        lines += _why(blocks, style, most=None if verbosity > 0 else most)
    if comparison.base:
        counts = [count_text(comparison)]
        standings = [row.standing for row in rows_of([], comparison)]
        if any(standing.endswith("failure") for standing in standings):
            counts.append(verdict_text(standings))
        lines += [Line(text, ("bold",)) for each in counts for text in wrapped(each, style)]
    return [Line(clean(line.text, style), line.markup) for line in lines]


def count_text(comparison: Comparison) -> str:
    """How many pairs there are of each status, in words."""
    counts = Counter(change.status for change in comparison.changes)
    return ", ".join(f"{counts[each]} {each}" for each in _STATUSES if counts[each]) or "no pairs"


def _heading(comparison: Comparison, style: Style) -> Iterator[Line]:
    if comparison.base:
        title = f"compared with {comparison.base}"
        yield from (Line(text, ("bold",)) for text in wrapped(title, style))
    for note in comparison.notes:
        yield from (Line(text) for text in wrapped(note, style))


def _rows(blocks: Sequence[Block], style: Style) -> list[Line]:
    rows = [["", "model, board", "", "base", "now", "change", "", "limit"]]
    owners: list[Group] = []
    for block in blocks:
        for group in block.groups:
            sizes = _sizes(group)
            first, second = block.model, block.boards_of(group)
            if len(sizes) == 1:
                first, second = f"{first}, {second}", ""
            for cells, word_, name in zip_longest(sizes, [_word(group.worst)], [first, second]):
                if cells is not None:
                    rows.append([word_ or "", name or "", *cells])
                    owners.append(group)
    heading, *table = columns(rows, _ALIGN, style, flexible=1, drop=(7, 6, 3))
    lines = [Line(heading, ("bold",))]
    for number, (text, group) in enumerate(zip(table, owners, strict=True), 1):
        lines.append(Line(text, _markup(group.worst)))
        if number == len(owners) or owners[number] is not group:
            lines += _notes(group, style)
    return lines


def _word(row: Row) -> str:
    status = row.change.status if row.change else ""
    if row.standing == "new failure":
        return f"FAIL {status}"
    if row.result.failed and not row.is_gone:
        return f"{word(row.result) if row.result.informational else 'FAIL'}, {status}"
    return status


def _markup(row: Row) -> tuple[str, ...]:
    change = row.change
    if change is None or row.standing == "quiet":
        return ()
    if change.head is not None and change.head.fails_run:
        return ("red",)
    return ("yellow",) if any(delta.accepted for delta in change.deltas) else ()


def _sizes(group: Group) -> list[list[str]]:
    metrics = dict.fromkeys(
        delta.metric for row in group.rows if row.change is not None for delta in row.change.deltas
    )
    rows = [_size(group.deltas(metric)) for metric in metrics]
    return rows or [["", "", "not measured", "", "", ""]]


def _size(deltas: Sequence[Delta]) -> list[str]:
    limits = [
        limit
        for delta in deltas
        if (limit := delta.base_limit if delta.limit is None else delta.limit) is not None
    ]
    shares = [delta.percent for delta in deltas if delta.percent]
    return [
        LABELS[deltas[0].metric],
        *_sides(deltas),
        _signed_range([delta.bytes for delta in deltas if delta.bytes is not None]),
        format_percent_delta(max(shares, key=abs)) if shares else "",
        format_size_range(limits),
    ]


def _sides(deltas: Sequence[Delta]) -> tuple[str, str]:
    """The sizes on both sides, ranges where boards differ."""
    if len({(delta.base_used, delta.used) for delta in deltas}) == 1:
        return sides(deltas[0].base_used, deltas[0].used)
    base = [delta.base_used for delta in deltas if delta.base_used is not None]
    now = [delta.used for delta in deltas if delta.used is not None]
    return format_size_range(base) or "-", format_size_range(now) or "-"


def _signed_range(differences: Sequence[int]) -> str:
    if not differences:
        return ""
    return format_delta_range(differences) if any(differences) else "same"


def sides(base: int | None, now: int | None) -> tuple[str, str]:
    """Two sizes, told apart where they differ; ``-`` for one that is not there."""
    if base is None or now is None:
        return ("-" if base is None else format_size(base)), (
            "-" if now is None else format_size(now)
        )
    return format_pair(base, now)


def signed(difference: int | None) -> str:
    """``+3.1 KB``, ``-812 B``, ``same``; empty where there is nothing to compare."""
    if difference is None:
        return ""
    return format_delta(difference) if difference else "same"


def _notes(group: Group, style: Style) -> Iterator[Line]:
    changes = [row.change for row in group.rows if row.change is not None]
    notes = [group.why] if group.worst.result.failed and not group.worst.is_gone else []
    notes += dict.fromkeys(note for each in changes for note in each.notes)
    for change in changes:
        if change.status == "renamed" and change.base is not None:
            notes.append(f"was {change.base_id}")
    for metric in dict.fromkeys(delta.metric for change in changes for delta in change.deltas):
        notes += _delta_notes(group.deltas(metric))
    if group.worst.standing == "quiet" and any(change.model_changed for change in changes):
        notes.append("the model file differs, its sizes do not")
    for note in dict.fromkeys(filter(None, notes)):
        markup = _markup(group.worst)
        yield from (Line(text, markup) for text in wrapped(note, style, indent=" " * 4))


def _delta_notes(deltas: Sequence[Delta]) -> Iterator[str]:
    label = LABELS[deltas[0].metric]
    if any(delta.already_over_on_base for delta in deltas):
        yield f"{label} was already over on the base"
    for agreed in dict.fromkeys(delta.accepted for delta in deltas):
        if agreed is not None:
            yield f"{label} {agreed.text}"


# Why


def _why(blocks: Iterable[Block], style: Style, *, most: int | None) -> list[Line]:
    """The causes of each model's changes, once for all of its boards."""
    lines: list[Line] = []
    for block in blocks:
        changes = [row.change for row in block.rows if row.change is not None]
        texts = list(_causes([change.causes for change in changes], most))
        if texts:
            lines += [Line(""), Line(f"why {block.model} differs:", ("bold",))]
            lines += [Line(text) for line in texts for text in _indented(line, style)]
    return [*lines, Line("")] if lines else lines


def _indented(line: str, style: Style) -> list[str]:
    text = line.lstrip(" ")
    return wrapped(text, style, indent=" " * (len(line) - len(text)))


def _causes(boards: Sequence[Causes], most: int | None) -> Iterator[str]:
    """What differs, by the board where most does; sizes of parts for all ``boards``."""
    causes = boards[0]
    if causes.runtime is not None:
        yield f"  runtime: {printable(causes.runtime.text)}"
    if causes.weights_bytes:
        yield f"  weights {signed(causes.weights_bytes)}"
    yield from _listed("layers", map(_layer, causes.layers), most)
    added = [each for each in causes.operators if each.kind == "added"]
    removed = [each for each in causes.operators if each.kind == "removed"]
    yield from _listed("operators new to the flash", map(_operator, added), most)
    yield from _listed("operators no longer in the flash", map(_operator, removed), most)
    if causes.peak:
        where = causes.peak_at
        if causes.base_peak_at != where:
            where = f"{causes.base_peak_at or 'nothing'} before, {where or 'nothing'} now"
        yield from _listed(f"alive at the arena's peak, at {where}", map(_peak, causes.peak), most)
    yield from _listed("parts", map(_part, parts_of(boards)), most)


def _part(boards: Sequence[PartChange]) -> str:
    part = boards[0]
    title = f"{LABELS[part.metric]} {part.name}"
    if len({(each.base_bytes, each.bytes) for each in boards}) > 1:
        return f"{title}: {format_delta_range([each.delta for each in boards])}"
    return f"{title}: {signed(part.delta)} ({' → '.join(format_pair(part.base_bytes, part.bytes))})"


def _listed(title: str, items: Iterable[str], most: int | None) -> Iterator[str]:
    texts = list(items)
    if not texts:
        return
    yield f"  {title}:"
    yield from (f"    {text}" for text in texts[:most])
    if most is not None and len(texts) > most:
        yield f"    and {len(texts) - most} more (-v shows them)"


def _layer(layer: LayerChange) -> str:
    outputs = [layer.before, layer.after]
    if layer.before == layer.after:
        outputs = [layer.after]
    sizes = [
        f"{name} {signed(size)}"
        for name, size in (
            ("weights", layer.weights_bytes),
            ("activations", layer.activation_bytes),
            ("persistent", layer.persistent_bytes),
        )
        if size
    ]
    text = f"{_MARKS[layer.kind]} {layer.operator} {short(layer.name)}".rstrip()
    shapes = " → ".join(filter(None, outputs))
    return text + (f" ({shapes})" if shapes else "") + (f": {', '.join(sizes)}" if sizes else "")


def _operator(operator: OperatorChange) -> str:
    parts = [f"{name} {format_size(size)}" for name, size in operator.pulls_in]
    size = f" {format_size(operator.flash_bytes)}" if operator.flash_bytes else ""
    return f"{operator.operator}{size}" + (f": {', '.join(parts)}" if parts else "")


def _peak(tensor: PeakTensor) -> str:
    return f"{short(tensor.owner)}: {' → '.join(sides(tensor.base_bytes, tensor.bytes))}"
