"""What people read in a terminal of a pair that fails: where its bytes are and what to change."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from msgspec.structs import replace

from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.report.blocks import bullets
from pytest_tinybudget.report.blocks import heaviest_layers
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import parts_table
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.blocks import peak_table
from pytest_tinybudget.report.blocks import persistent_table
from pytest_tinybudget.report.blocks import refusals_list
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.shortening import Section
from pytest_tinybudget.report.shortening import fitted
from pytest_tinybudget.report.verdicts import codes_text
from pytest_tinybudget.report.verdicts import markup
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


#: How much a failure lists; ``tinybudget inspect`` shows everything.
_PARTS_LISTED, _LAYERS_NAMED, _PERSISTENT_LISTED = 8, 2, 7

#: So many rows of the terminal does a failure take by default: the first of a run, the first of
#: another model, and any other board of a model that was told of.
MOST_LINES, _NEXT_MODEL, _OTHER_BOARD = 40, 15, 4
#: Sections of a failure that is cut to its headline and its closing lines.
_ONLY_ENDS = 2
#: Of a message that is declared.
_MESSAGE_LINES = 5


class Told:
    """What failures a run has told of: those that follow are shorter, since much is the same."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._models: set[str] = set()

    def most(self, pair: PairResult) -> int:
        """How many rows the failure of ``pair`` may take; the same where it is asked again."""
        if pair.id not in self._rows:
            rows = _NEXT_MODEL if self._models else MOST_LINES
            if pair.model in self._models:
                rows = _OTHER_BOARD
            self._models.add(pair.model)
            self._rows[pair.id] = rows
        return self._rows[pair.id]


def failure(
    pair: PairResult, style: Style = PLAIN, *, verbosity: int = 0, most: int = MOST_LINES
) -> str:
    """The text of a failed pair: the headline, where the bytes are, and what to change.

    At most ``most`` rows of the terminal, unless ``verbosity`` is above 0.
    """
    advice = bullets(pair.reasons, style, most=None)
    also = bullets((*pair.warnings, *pair.notes), style, most=None)
    if verbosity <= 0 and most <= _OTHER_BOARD:
        edit = f"edit {pair.declared_at}; " if pair.declared_at else ""
        told = f"{edit}{pair.model} is explained above for another board, -v explains this one too"
        return "\n".join(clean(line, style) for line in (pair.headline, *wrapped(told, style)))
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
        said = wrapped(f"shortened to {most} lines: -v shows all of it, and so do the files", style)
        shown = fitted(shown, most - len(said), style)
        if len(shown) == _ONLY_ENDS:
            said = wrapped("-v shows where the bytes are and what would fix it", style)
        shown[-1] = replace(shown[-1], lines=(*shown[-1].lines, *said))
    return "\n\n".join("\n".join(clean(line, style) for line in section.lines) for section in shown)


def _section(title: str, lines: Sequence[str], style: Style, room: tuple[int, int, int]) -> Section:
    """Lines under a title; none where there are no lines.

    ``room`` is how many of them stay at least, and when they are cut and left out (``Section``).
    """
    titles, (least, cut, drop) = title_lines(f"{title}:", style), room
    return Section((*titles, *lines) if lines else (), len(titles) + least, cut, drop)


def failure_lines(
    pair: PairResult, style: Style = PLAIN, *, verbosity: int = 0, most: int = MOST_LINES
) -> list[Line]:
    """A failed pair for a terminal outside pytest: its name, then ``failure``.

    With ``verbosity`` below 0 it is one line.
    """
    title = f"{word(pair)} {pair.title}"
    if verbosity < 0:
        return [Line(clean(f"{title}: {pair.headline}", style), markup(pair))]
    text = failure(pair, style, verbosity=verbosity, most=most - 1).split("\n")
    return [Line(clean(title, style), (*markup(pair), "bold")), *map(Line, text), Line("")]


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
    return "besides flash and RAM" if pair.kind == "pair" else "based on"


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
    failing |= {each.metric for each in pair.drift if each.exceeded}
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
