"""The table of all pairs in a terminal: used, limit and free, the worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.base.units import format_size_range
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import bar
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.verdicts import MARKUP
from pytest_tinybudget.report.verdicts import WORST_FIRST
from pytest_tinybudget.report.verdicts import count_text
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.report.verdicts import markup
from pytest_tinybudget.report.verdicts import percent_text
from pytest_tinybudget.report.verdicts import share
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.report.verdicts import worst_first
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


#: Under this width a pair's names get lines of their own above its numbers.
_NARROW = 66

#: What a row takes besides its bar, with the names of usual boards in full.
_OTHER_COLUMNS = 74

#: Up to so many pairs have a row each. Of more, boards on which the same is to be said of a model
#: share a row, and so many of the rows that pass are shown.
_MOST_PAIRS = _MOST_PASSING = 20


#: Cells of a remark on a row of several pairs.
_SHORT_REMARK = 70


class _Entry(Struct, frozen=True):
    """A row of the table: pairs of one model of which the same is to be said, the worst first."""

    boards: str
    results: Sequence[PairResult]

    @property
    def worst(self) -> PairResult:
        """The pair that its words are about."""
        return self.results[0]

    @property
    def measures(self) -> list[list[Measure]]:
        """The sizes of all its pairs, a list for each metric."""
        return [
            [each for pair in self.results for each in pair.measures if each.metric == metric]
            for metric in (measure.metric for measure in self.worst.measures)
        ]


def summary(
    results: Sequence[PairResult], style: Style = PLAIN, *, verbosity: int = 0
) -> list[Line]:
    """The table of all pairs, worst first: used, limit and free, with bars where there is room.

    ``verbosity`` is pytest's: below 0 only the count, from 1 a row for each of however many pairs,
    each model's layers and possible savings, from 2 with scratch and persistent bytes.
    """
    ordered = sorted(results, key=worst_first)
    lines: list[Line] = []
    if verbosity >= 0 and ordered:
        entries, left_out = _entries(ordered, each=verbosity >= 1)
        lines += _narrow_rows(entries, style) if style.width < _NARROW else _rows(entries, style)
        if left_out:
            more = f"and {counted(left_out, 'more pair')} that fit: -v shows all of them"
            lines += map(Line, wrapped(more, style))
        lines += _footer(ordered, style)
    if verbosity >= 1:
        lines += _details(ordered, style, everything=verbosity >= 2)
        lines += [*_notes(ordered, style), Line("")]
    lines += (Line(text, _count_markup(ordered)) for text in wrapped(count_text(ordered), style))
    return [Line(clean(line.text, style), line.markup) for line in lines]


def _entries(pairs: Sequence[PairResult], *, each: bool) -> tuple[list[_Entry], int]:
    """The rows, and how many pairs that fit have none."""
    if each or len(pairs) <= _MOST_PAIRS:
        return [_Entry(pair.board, (pair,)) for pair in pairs], 0
    from pytest_tinybudget.report.review import blocks_of
    from pytest_tinybudget.report.review import rows_of

    shown, passing, left_out = [], 0, 0
    for block in blocks_of(rows_of(pairs, None)):
        for group in block.groups:
            passing += group.worst.result.outcome == "fits"
            if passing > _MOST_PASSING and group.worst.result.outcome == "fits":
                left_out += len(group.rows)
            else:
                shown.append(_Entry(block.boards_of(group), group.results))
    return sorted(shown, key=lambda entry: WORST_FIRST.index(entry.worst.outcome)), left_out


def _rows(entries: Sequence[_Entry], style: Style) -> list[Line]:
    bar_width = max(5, min(20, style.width - _OTHER_COLUMNS))
    rows = [["", "model, board", "", "used", "limit", "free", "", ""]]
    heights = []
    for entry in entries:
        of_entry = _entry_rows(entry, bar_width, style)
        heights.append(len(of_entry))
        rows += of_entry
    align: list[Align] = ["left", "left", "left", "right", "right", "right", "left", "right"]
    texts = columns(rows, align, style, flexible=1, drop=(6, 7))
    lines = [Line(texts.pop(0), ("bold",))]
    for entry, height in zip(entries, heights, strict=True):
        lines += (Line(text, markup(entry.worst)) for text in texts[:height])
        del texts[:height]
        lines += _remarks(entry, style)
    return lines


def _entry_rows(entry: _Entry, bar_width: int, style: Style) -> list[list[str]]:
    names = [(f"{word(entry.worst):5}", entry.worst.model), ("", entry.boards)]
    measures = entry.measures
    rows = []
    for position in range(max(2, len(measures))):
        start, name = names[position] if position < len(names) else ("", "")
        numbers = [""] * 6
        if position < len(measures):
            found = measures[position]
            fullest = max(found, key=share)
            filled = bar(share(fullest), bar_width, style)
            label = LABELS[fullest.metric]
            numbers = [label, *_numbers(found), filled, percent_text(fullest)]
        rows.append([start, name, *numbers])
    return rows


def _numbers(measures: Sequence[Measure]) -> tuple[str, str, str]:
    """Used, limit and free; ranges where boards differ, and of what is free the least."""
    mark = "~" if any(measure.is_estimated for measure in measures) else ""
    least = min(measures, key=lambda measure: measure.free)
    if len({(measure.used, measure.limit) for measure in measures}) == 1:
        used, limit = format_pair(least.used, least.limit)
        exact = used.endswith(" B") and limit.endswith(" B")
        return mark + used, limit, format_size(least.free, exact=exact)
    used = format_size_range([measure.used for measure in measures])
    limit = format_size_range([measure.limit for measure in measures])
    return mark + used, limit, format_size(least.free)


def _narrow_rows(entries: Sequence[_Entry], style: Style) -> list[Line]:
    lines = []
    for entry in entries:
        color = markup(entry.worst)
        for start, name in ((word(entry.worst), entry.worst.model), ("", entry.boards)):
            shown = shorten(clean(name, style), style.width - 6, style)
            lines.append(Line(f"{start:5} {shown}", color))
        for measures in entry.measures:
            used, limit, free = _numbers(measures)
            if len(measures) == 1:
                mark = "~" if measures[0].is_estimated else ""
                ratio = mark + format_ratio(measures[0].used, measures[0].limit)
            else:
                ratio = f"{used} of {limit}"
            over = any(measure.over for measure in measures)
            state = f"{free.removeprefix('-')} over" if over else f"{free} free"
            lines.append(Line(f"  {LABELS[measures[0].metric]} {ratio}, {state}", color))
        lines += _remarks(entry, style)
    return lines


def _remarks(entry: _Entry, style: Style) -> list[Line]:
    """Lines below a row: why it has no numbers, its limited figures and its warnings."""
    pair = entry.worst
    figures = [figure.text for figure in pair.figures if figure.limit is not None]
    if pair.outcome in ("refused", "unmet", "error") or not pair.measures:
        several = len(entry.results) > 1  # the failure of each is above
        headline = shorten(clean(pair.headline, style), _SHORT_REMARK, style)
        remarks = [headline if several else pair.headline]
    else:
        remarks = ["; ".join(figures)] if figures else []
    remarks += pair.interpreters
    remarks += [place.text for place in pair.places if place.is_unusual]
    return [
        Line(text, markup(pair))
        for remark in (*remarks, *pair.warnings)
        for text in wrapped(remark, style, indent=" " * 7)
    ]


def _footer(pairs: Sequence[PairResult], style: Style) -> list[Line]:
    runtimes = Counter((pair.runtime, pair.runtime_text) for pair in pairs if pair.measures)
    notes = [f"{text}: {counted(count, 'pair')}" for (_, text), count in sorted(runtimes.items())]
    if any(measure.is_estimated for pair in pairs for measure in pair.measures):
        notes.insert(0, "~ holds an estimate, its margin included")
    return [Line(text) for note in notes for text in wrapped(note, style)]


def _details(pairs: Sequence[PairResult], style: Style, *, everything: bool) -> list[Line]:
    """Layers and possible savings of each model and runtime, once for all boards."""
    shown = {(pair.model, pair.runtime_text): pair.footprint for pair in reversed(pairs)}
    from pytest_tinybudget.report.blocks import MOST_LISTED
    from pytest_tinybudget.report.blocks import layers_table
    from pytest_tinybudget.report.blocks import savings_table

    lines = []
    for (model, runtime), footprint in sorted(shown.items()):
        if footprint is None:
            continue
        several = sum(name == model for name, _ in shown) > 1
        title = f"{model}, {runtime}" if several else model
        layers = layers_table(footprint, style, everything=everything)
        savings = savings_table(footprint.savings, style, most=None if everything else MOST_LISTED)
        for heading, table in (
            (f"layers of {title} (* at the arena's peak)", layers),
            (f"flash that one change of {title} would save", savings),
        ):
            if table:
                headings = (Line(text, ("bold",)) for text in wrapped(heading, style))
                lines += [Line(""), *headings, *map(Line, table)]
    return lines


def _notes(pairs: Sequence[PairResult], style: Style) -> list[Line]:
    """The notes of each model, once for all its boards; a failure has told its own already."""
    told = {(pair.model, note) for pair in pairs if pair.failed for note in pair.notes}
    notes: dict[str, dict[str, None]] = {}
    for pair in pairs:
        for note in pair.notes:
            if (pair.model, note) not in told:
                notes.setdefault(pair.model, {})[note] = None
    if not notes:
        return []
    from pytest_tinybudget.report.blocks import bullets

    lines = []
    for model, of_model in sorted(notes.items()):
        headings = (Line(text, ("bold",)) for text in wrapped(f"notes on {model}", style))
        lines += [Line(""), *headings, *map(Line, bullets(list(of_model), style, most=None))]
    return lines


def _count_markup(pairs: Sequence[PairResult]) -> tuple[str, ...]:
    told = [pair for pair in pairs if pair.failed and pair.informational]
    others = (WORST_FIRST.index(pair.outcome) for pair in pairs if pair not in told)
    worst = WORST_FIRST[min(others, default=-1)]
    return ("bold", *(MARKUP[worst] or MARKUP["warns" if told else worst] or ("green",)))
