"""A comparison for the terminal: every pair's sizes on both sides, and what made the difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_percent_delta
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.comparison import Causes
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.baseline.comparison import LayerChange
from pytest_tinybudget.baseline.comparison import OperatorChange
from pytest_tinybudget.baseline.comparison import PeakTensor
from pytest_tinybudget.baseline.comparison import Status
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS


#: Lines of a list that says why; the rest are counted.
_MOST_LISTED = 8

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

    ``unchanged`` also shows pairs that are as they were, and new ones where there is no base
    (where no other table does); a ``verbosity`` above 0 lists every cause, one below 0 only
    the counts.
    """
    lines = [*_heading(comparison, style)]
    shown = comparison.changes if unchanged else comparison.different
    if verbosity >= 0 and shown and (comparison.base or unchanged):
        lines += _rows(shown, style)
        lines += _why(shown, style, most=None if verbosity > 0 else _MOST_LISTED)
    if comparison.base:
        lines += [Line(text, ("bold",)) for text in wrapped(count_text(comparison), style)]
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


def _rows(changes: Sequence[Change], style: Style) -> list[Line]:
    rows = [["", "model, board", "", "base", "now", "change", "", "limit"]]
    owners: list[Change] = []
    for change in changes:
        for number, cells in enumerate(_deltas(change)):
            first = [_word(change), f"{change.model}, {change.board}"] if number == 0 else ["", ""]
            rows.append([*first, *cells])
            owners.append(change)
    heading, *table = columns(rows, _ALIGN, style, flexible=1, drop=(7, 6, 3))
    lines = [Line(heading, ("bold",))]
    for number, (text, change) in enumerate(zip(table, owners, strict=True), 1):
        lines.append(Line(text, _markup(change)))
        if number == len(owners) or owners[number] is not change:
            lines += _notes(change, style)
    return lines


def _word(change: Change) -> str:
    failed = change.head is not None and change.head.failed
    return f"FAIL {change.status}" if failed else change.status


def _markup(change: Change) -> tuple[str, ...]:
    if change.status == "unchanged":
        return ()
    if change.head is not None and change.head.failed:
        return ("red",)
    return ("yellow",) if any(delta.accepted for delta in change.deltas) else ()


def _deltas(change: Change) -> list[list[str]]:
    rows = [_delta(delta) for delta in change.deltas]
    return rows or [["", "", "not measured", "", "", ""]]


def _delta(delta: Delta) -> list[str]:
    base, now = sides(delta.base_used, delta.used)
    limit = delta.base_limit if delta.limit is None else delta.limit
    return [
        LABELS[delta.metric],
        base,
        now,
        signed(delta.bytes),
        "" if not delta.percent else format_percent_delta(delta.percent),
        "" if limit is None else format_size(limit),
    ]


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


def _notes(change: Change, style: Style) -> Iterator[Line]:
    notes = list(change.notes)
    if change.status == "renamed" and change.base is not None:
        notes.append(f"was {change.base_id}")
    for delta in change.deltas:
        label = LABELS[delta.metric]
        if delta.already_over_on_base:
            notes.append(f"{label} was already over on the base")
        if delta.too_much_growth:
            notes.append(f"{label} grew more than max_increase allows")
        if delta.accepted is not None:
            agreed = delta.accepted
            notes.append(
                f"{label} accepted up to {format_size(agreed.up_to)} until {agreed.until}: "
                f"{agreed.reason}"
            )
    if change.status == "unchanged" and change.model_changed:
        notes.append("the model file differs, its sizes do not")
    for note in notes:
        yield from (Line(text, _markup(change)) for text in wrapped(note, style, indent=" " * 4))


# Why


def _why(changes: Iterable[Change], style: Style, *, most: int | None) -> list[Line]:
    """The causes of each model's changes, once for all boards of the same runtime.

    What differs in the model itself is said for the first of its runtimes only.
    """
    seen: set[tuple[str, ...]] = set()
    lines: list[Line] = []
    for change in changes:
        model = change.id.rpartition("::")[0]
        # A distribution has one name on all cores.
        key = (model, change.shown.runtime, change.shown.runtime_text)
        causes = change.causes
        if (model,) in seen:
            causes = replace(causes, layers=(), weights_bytes=0)
        texts = list(_causes(causes, most))
        if key in seen or not texts:
            continue
        seen |= {key, (model,)}
        title = f"why {change.model} differs ({change.shown.runtime}):"
        lines += [Line(""), Line(title, ("bold",))]
        lines += [Line(text) for line in texts for text in _indented(line, style)]
    return [*lines, Line("")] if lines else lines


def _indented(line: str, style: Style) -> list[str]:
    text = line.lstrip(" ")
    return wrapped(text, style, indent=" " * (len(line) - len(text)))


def _causes(causes: Causes, most: int | None) -> Iterator[str]:
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
    parts = (
        f"{LABELS[part.metric]} {part.name}: {signed(part.delta)} "
        f"({' → '.join(format_pair(part.base_bytes, part.bytes))})"
        for part in causes.parts
    )
    yield from _listed("parts", parts, most)


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
