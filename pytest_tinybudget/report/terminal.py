"""What people read in a terminal: the text of a failure and the table of all pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence

from msgspec.structs import replace

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.report.blocks import MOST_LISTED
from pytest_tinybudget.report.blocks import bullets
from pytest_tinybudget.report.blocks import heaviest_layers
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import layers_table
from pytest_tinybudget.report.blocks import parts_table
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.blocks import peak_table
from pytest_tinybudget.report.blocks import persistent_table
from pytest_tinybudget.report.blocks import refusals_list
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.blocks import savings_table
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import bar
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.shortening import Section
from pytest_tinybudget.report.shortening import fitted
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult


#: The word that stands at the start of a pair's row; color only repeats it.
WORDS: dict[Outcome, str] = {
    "fits": "PASS",
    "warns": "WARN",
    "over": "FAIL",
    "refused": "FAIL",
    "unmet": "FAIL",
    "error": "ERROR",
}

_MARKUP: dict[Outcome, tuple[str, ...]] = {
    "fits": (),
    "warns": ("yellow",),
    "over": ("red",),
    "refused": ("red",),
    "unmet": ("red",),
    "error": ("red",),
}

#: Worst first: a model that does not run, one that does not fit, one that nobody knows about.
_WORST_FIRST: tuple[Outcome, ...] = ("refused", "over", "unmet", "error", "warns", "fits")

_COUNTED: dict[Outcome, str] = {
    "refused": "refused by TFLM",
    "over": "over budget",
    "unmet": "with a requirement not met",
    "error": "not measured",
    "warns": "with a warning",
    "fits": "fit",
}

#: How much a failure lists; ``tinybudget inspect`` shows everything.
_PARTS_LISTED, _LAYERS_NAMED, _PERSISTENT_LISTED = 8, 2, 7

#: So many rows of the terminal does a failure take by default.
MOST_LINES = 40
_SHORTENED = f"shortened to {MOST_LINES} lines: -v shows all of it, and so do the files"
#: Of a message that is declared.
_MESSAGE_LINES = 5

#: Under this width a pair's names get lines of their own above its numbers.
_NARROW = 66

#: What a row takes besides its bar, with the names of usual boards in full.
_OTHER_COLUMNS = 74


def failure(
    pair: PairResult, style: Style = PLAIN, *, verbosity: int = 0, most: int = MOST_LINES
) -> str:
    """The text of a failed pair: the headline, where the bytes are, and what to change.

    At most ``most`` rows of the terminal, unless ``verbosity`` is above 0.
    """
    advice = bullets(pair.reasons, style, most=None)
    also = bullets((*pair.warnings, *pair.notes), style, most=None)
    sections = [
        Section((pair.headline,)),
        *_evidence(pair, style),
        _section(figures_title(pair), figure_lines(pair, style), style, (1, 6, 9)),
        _section("what would fix it", advice, style, (8, 12, 16)),
        _section("also", also, style, (1, 1, 5)),
        _closing(pair),
    ]
    shown = [section for section in sections if section.lines]
    if verbosity <= 0 and fitted(shown, most, style) != shown:
        shown = fitted(shown, most - len(_shortened(style)), style)
        shown[-1] = replace(shown[-1], lines=(*shown[-1].lines, *_shortened(style)))
    return "\n\n".join("\n".join(clean(line, style) for line in section.lines) for section in shown)


def _shortened(style: Style) -> list[str]:
    return wrapped(_SHORTENED, style)


def _section(title: str, lines: Sequence[str], style: Style, room: tuple[int, int, int]) -> Section:
    """Lines under a title; none where there are no lines.

    ``room`` is how many of them stay at least, and when they are cut and left out (``Section``).
    """
    titles, (least, cut, drop) = title_lines(f"{title}:", style), room
    return Section((*titles, *lines) if lines else (), len(titles) + least, cut, drop)


def failure_lines(pair: PairResult, style: Style = PLAIN, *, verbosity: int = 0) -> list[Line]:
    """A failed pair for a terminal outside pytest: its name, then ``failure``.

    With ``verbosity`` below 0 it is one line.
    """
    title = f"{WORDS[pair.outcome]} {pair.title}"
    if verbosity < 0:
        return [Line(clean(f"{title}: {pair.headline}", style), _MARKUP[pair.outcome])]
    text = failure(pair, style, verbosity=verbosity, most=MOST_LINES - 1).split("\n")
    return [Line(clean(title, style), (*_MARKUP[pair.outcome], "bold")), *map(Line, text), Line("")]


def _measure_block(measure: Measure, *, fails: bool, style: Style) -> Section:
    title = title_lines(measure_line(measure), style)
    lines = (*title, *parts_table(measure.parts, style, most=_PARTS_LISTED))
    return Section(lines, len(title) + (3 if fails else 1), *((10, 15) if fails else (5, 14)))


def measure_line(measure: Measure) -> str:
    """A measure in words: used, limit, what set the limit."""
    origin = measure.limit_note or measure.limit_from
    ratio = format_ratio(measure.used, measure.limit)
    return f"{LABELS[measure.metric]}: {ratio} ({origin})"


def figures_title(pair: PairResult) -> str:
    """The title over a pair's figures; those of a check are what it is judged by."""
    return "besides flash and RAM" if pair.kind == "pair" else "what it rests on"


def figure_lines(pair: PairResult, style: Style) -> list[str]:
    """A list of the figures besides flash and RAM, each with its basis."""
    lines = [f"{figure.text}: {figure.basis}" for figure in pair.figures]
    return bullets(lines, style, most=None)


def _evidence(pair: PairResult, style: Style) -> Iterator[Section]:
    """The sections that support the headline: the sizes, or what TFLM refuses."""
    footprint = pair.footprint
    if pair.outcome == "error":
        return  # where there are sizes, they are not what is wrong
    if footprint is not None and pair.outcome == "refused":
        refused = refusals_list(footprint.refusals, style)
        yield _section(refusals_title(footprint.refusals), refused, style, (10, 10, 15))
        return
    failing = {measure.metric for measure in pair.measures if measure.over} | {*pair.grown}
    for measure in pair.measures:
        yield _measure_block(measure, fails=measure.metric in failing, style=style)
    for place in pair.places:
        yield Section(tuple(title_lines(place.text, style)), drop=8)
    if footprint is None:
        return
    if failing - {"flash"}:
        yield Section(tuple(persistent_block(footprint, style)), 4, 11, 13)
    if pair.outcome == "over":
        # Weights explain a failure of flash alone, the arena's peak any other.
        peak, weights = ((3, 7), (4, 12)) if failing == {"flash"} else ((4, 12), (3, 7))
        yield Section(tuple(peak_block(footprint, style)), 3, *peak)
        layers = heaviest_layers(footprint.layers, style)
        yield _section("heaviest layers (weights)", layers, style, (1, *weights))
    unknown = bullets(footprint.unknown, style)
    yield _section("bounded, not known", unknown, style, (1, 2, 6))


def persistent_block(
    footprint: Footprint, style: Style, *, most: int | None = _PERSISTENT_LISTED
) -> list[str]:
    """The persistent memory of the arena's tail by operator kind and cause."""
    arena = footprint.arena
    if arena is None:
        return []
    tail, whole = format_size(arena.tail), format_size(arena.required)
    title = f"persistent data, {tail} of the arena's {whole}"
    return _titled(title, persistent_table(arena, style, most=most), style)


def peak_block(footprint: Footprint, style: Style) -> list[str]:
    """The layers at the peak of the arena's head and the buffers alive there."""
    arena = footprint.arena
    layers = peak_layers(arena, footprint.layers) if arena else []
    if arena is None or not layers:
        return []
    shown = ", ".join(layer_label(layer) for layer in layers[:_LAYERS_NAMED])
    more = f" and {len(layers) - _LAYERS_NAMED} more" if len(layers) > _LAYERS_NAMED else ""
    title = f"the arena's peak, {format_size(arena.head)}, at {shown}{more}"
    return _titled(title, peak_table(arena, style), style)


def _titled(title: str, lines: list[str], style: Style) -> list[str]:
    return [*title_lines(f"{title}:", style), *lines] if lines else []


def title_lines(title: str, style: Style) -> list[str]:
    """The lines of a title; the second and later ones are indented further than the block below."""
    return wrapped(title, style, indent=" " * 4, start="")


def _closing(pair: PairResult) -> Section:
    runtime = f"counted for {pair.runtime_text}" if pair.measures else ""
    edit = f"edit {pair.declared_at}" if pair.declared_at else ""
    message = [line for line in pair.message.splitlines() if line]
    if len(message) > _MESSAGE_LINES:
        message = [*message[:_MESSAGE_LINES], "…"]
    lines = (*message, edit, codes_text(pair), runtime)
    return Section(tuple(filter(None, lines)))


def codes_text(pair: PairResult) -> str:
    """The codes of what is wrong, and how to read about them; empty where the pair passes."""
    codes = pair.codes
    return f"{', '.join(codes)}: tinybudget explain {codes[0]}" if codes else ""


def summary(
    results: Sequence[PairResult], style: Style = PLAIN, *, verbosity: int = 0
) -> list[Line]:
    """The table of all pairs, worst first: used, limit and free, with bars where there is room.

    ``verbosity`` is pytest's: below 0 only the count, from 1 each model's layers and possible
    savings, from 2 with scratch and persistent bytes.
    """
    ordered = sorted(results, key=worst_first)
    lines: list[Line] = []
    if verbosity >= 0 and ordered:
        lines += _narrow_rows(ordered, style) if style.width < _NARROW else _rows(ordered, style)
        lines += _footer(ordered, style)
    if verbosity >= 1:
        lines += _details(ordered, style, everything=verbosity >= 2)
        lines += [*_notes(ordered, style), Line("")]
    lines += (Line(text, _count_markup(ordered)) for text in wrapped(count_text(ordered), style))
    return [Line(clean(line.text, style), line.markup) for line in lines]


def worst_first(pair: PairResult) -> tuple[int, float, str]:
    """Key to sort pairs by: outcome, then how full the fullest limit is, then id."""
    fullest = max((_share(measure) for measure in pair.measures), default=0.0)
    return _WORST_FIRST.index(pair.outcome), -fullest, pair.id


def _share(measure: Measure) -> float:
    return measure.used / measure.limit if measure.limit else float("inf")


def percent_text(measure: Measure) -> str:
    """Used of limit; rounded so that 100 % is exceeded exactly where the limit is."""
    if not measure.limit:
        return ""
    scaled = measure.used * 100
    return f"{-(-scaled // measure.limit) if measure.over else scaled // measure.limit} %"


def _rows(pairs: Sequence[PairResult], style: Style) -> list[Line]:
    bar_width = max(5, min(20, style.width - _OTHER_COLUMNS))
    rows = [["", "model, board", "", "used", "limit", "free", "", ""]]
    for pair in pairs:
        rows += _pair_rows(pair, bar_width, style)
    align: list[Align] = ["left", "left", "left", "right", "right", "right", "left", "right"]
    texts = columns(rows, align, style, flexible=1, drop=(6, 7))
    lines = [Line(texts.pop(0), ("bold",))]
    for pair in pairs:
        height = len(_pair_rows(pair, bar_width, style))
        lines += (Line(text, _MARKUP[pair.outcome]) for text in texts[:height])
        del texts[:height]
        lines += _remarks(pair, style)
    return lines


def _pair_rows(pair: PairResult, bar_width: int, style: Style) -> list[list[str]]:
    names = [(f"{WORDS[pair.outcome]:5}", pair.model), ("", pair.board)]
    rows = []
    for position in range(max(2, len(pair.measures))):
        word, name = names[position] if position < len(names) else ("", "")
        numbers = [""] * 6
        if position < len(pair.measures):
            measure = pair.measures[position]
            share = bar(_share(measure), bar_width, style)
            numbers = [LABELS[measure.metric], *_numbers(measure), share, percent_text(measure)]
        rows.append([word, name, *numbers])
    return rows


def _numbers(measure: Measure) -> tuple[str, str, str]:
    used, limit = format_pair(measure.used, measure.limit)
    mark = "~" if measure.is_estimated else ""
    exact = used.endswith(" B") and limit.endswith(" B")
    return mark + used, limit, format_size(measure.free, exact=exact)


def _narrow_rows(pairs: Sequence[PairResult], style: Style) -> list[Line]:
    lines = []
    for pair in pairs:
        markup = _MARKUP[pair.outcome]
        for word, name in ((WORDS[pair.outcome], pair.model), ("", pair.board)):
            shown = shorten(clean(name, style), style.width - 6, style)
            lines.append(Line(f"{word:5} {shown}", markup))
        for measure in pair.measures:
            mark = "~" if measure.is_estimated else ""
            ratio = format_ratio(measure.used, measure.limit)
            free = _numbers(measure)[-1]
            state = f"{free.removeprefix('-')} over" if measure.over else f"{free} free"
            lines.append(Line(f"  {LABELS[measure.metric]} {mark}{ratio}, {state}", markup))
        lines += _remarks(pair, style)
    return lines


def _remarks(pair: PairResult, style: Style) -> list[Line]:
    """Lines below a pair's row: why it has no numbers, its limited figures and its warnings."""
    figures = [figure.text for figure in pair.figures if figure.limit is not None]
    if pair.outcome in ("refused", "unmet", "error") or not pair.measures:
        remarks = [pair.headline]
    else:
        remarks = ["; ".join(figures)] if figures else []
    remarks += pair.interpreters
    remarks += [place.text for place in pair.places if place.is_unusual]
    return [
        Line(text, _MARKUP[pair.outcome])
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
    lines = []
    for model, of_model in sorted(notes.items()):
        headings = (Line(text, ("bold",)) for text in wrapped(f"notes on {model}", style))
        lines += [Line(""), *headings, *map(Line, bullets(list(of_model), style, most=None))]
    return lines


def counted_for(pairs: Sequence[PairResult]) -> list[str]:
    """The tool that counted the sizes of ``pairs``, and the runtimes: a text for each."""
    tools = sorted({pair.identity.tool for pair in pairs if pair.identity})
    runtimes = sorted({(pair.runtime, pair.runtime_text) for pair in pairs if pair.measures})
    by = [f"by pytest-tinybudget {', '.join(tools)}"] if tools else []
    return [*by, *([f"for {'; '.join(text for _, text in runtimes)}"] if runtimes else [])]


def count_text(pairs: Sequence[PairResult]) -> str:
    """The number of pairs, and of each outcome, in words."""
    outcomes = Counter(pair.outcome for pair in pairs)
    held_back = sum(pair.outcome == "error" and bool(pair.growth_unchecked) for pair in pairs)
    outcomes["error"] -= held_back
    counts = [f"{outcomes[each]} {_COUNTED[each]}" for each in _WORST_FIRST if outcomes[each]]
    if held_back:
        counts.insert(0, f"{held_back} without the base that is required")
    unchecked = _unchecked(pairs)
    if not counts:
        return "no pairs"
    return f"{counted(len(pairs), 'pair')}: {', '.join(counts)}" + (unchecked and f"; {unchecked}")


def verdict(pairs: Sequence[PairResult]) -> str:
    """The verdict on the run in a few words: ``1 of 6 pairs fails``, ``all pairs fit``.

    It says as well for how many pairs a limit of growth was not checked.
    """
    failed = sum(pair.failed for pair in pairs)
    text = "all pairs fit"
    if failed:
        text = f"{failed} of {counted(len(pairs), 'pair')} {'fails' if failed == 1 else 'fail'}"
    unchecked = _unchecked(pairs)
    return text + (unchecked and f", {unchecked}")


def _unchecked(pairs: Sequence[PairResult]) -> str:
    """``growth not checked for 2 pairs``; empty where every limit of growth was."""
    count = sum(bool(pair.growth_unchecked) for pair in pairs)
    return f"growth not checked for {counted(count, 'pair')}" if count else ""


def counted(count: int, noun: str) -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _count_markup(pairs: Sequence[PairResult]) -> tuple[str, ...]:
    worst = min((_WORST_FIRST.index(pair.outcome) for pair in pairs), default=-1)
    return ("bold", *(_MARKUP[_WORST_FIRST[worst]] or ("green",)))
