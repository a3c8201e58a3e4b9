"""One self-contained HTML page: no network and no script, in light and dark.

``templates/page.html`` lays it out; this module gives it the figures.

A matrix of models and boards, then each model with the picture of its arena, its flash and RAM by
part, its layers, and what changed since the baseline. Whatever a picture says stands beside it in
words or in a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.report import svg
from pytest_tinybudget.report.blocks import LAYER_SIZES
from pytest_tinybudget.report.blocks import METHODS
from pytest_tinybudget.report.blocks import largest_parts
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import output_text
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.blocks import share_text
from pytest_tinybudget.report.blocks import upper_bound
from pytest_tinybudget.report.escape import MOST_CHARACTERS
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.page import STYLE
from pytest_tinybudget.report.terminal import count_text
from pytest_tinybudget.report.terminal import counted
from pytest_tinybudget.report.terminal import counted_for
from pytest_tinybudget.report.terminal import percent_text
from pytest_tinybudget.report.terminal import verdict
from pytest_tinybudget.report.terminal import word
from pytest_tinybudget.report.terminal import worst_first
from pytest_tinybudget.report.why import Markup
from pytest_tinybudget.report.why import cause_lines
from pytest_tinybudget.report.why import delta_text
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import memory_of_arena
from pytest_tinybudget.shrinking.report import ShrinkReport


if TYPE_CHECKING:
    import jinja2
    import markupsafe


#: A page is to open at once from a mail or an artifact: twenty models stay below this.
_LARGEST_BYTES = 195_000


class _Detail(Struct, frozen=True):
    """How many layers and buffers of a model are shown, and whether for each of its runtimes."""

    most: int
    every_runtime: bool


#: Tried in this order until the page is small enough.
_DETAIL = (
    _Detail(400, every_runtime=True),
    _Detail(80, every_runtime=True),
    _Detail(160, every_runtime=False),
    _Detail(64, every_runtime=False),
    _Detail(32, every_runtime=False),
    _Detail(16, every_runtime=False),
    _Detail(8, every_runtime=False),
)

_SIGNS = {"good": "✓", "warn": "!", "bad": "✗"}

_KINDS: dict[Outcome, str] = {
    "fits": "good",
    "warns": "warn",
    "over": "bad",
    "refused": "bad",
    "unmet": "bad",
    "error": "bad",
}

#: So many models are shown opened; of more, those that fail or changed.
_OPEN = 3

#: Parts of a bar with their own color; narrower ones have no number in them.
_COLORS, _NUMBERED_PERCENT = 8, 4

_PARTS_LISTED = 9

_LAYER_CELLS = 44


class _Measured(Struct, frozen=True):
    """Pairs of one model that have all figures in common: same runtime, different boards."""

    pairs: list[PairResult]


class _Model(Struct, frozen=True):
    """A model of a declaration with its pairs, worst first."""

    key: str
    file: str
    name: str
    pairs: list[PairResult]

    def on(self, board: str) -> PairResult | None:
        """The pair of this model and a board."""
        return next((pair for pair in self.pairs if pair.board == board), None)

    @property
    def measured(self) -> list[_Measured]:
        """The pairs by what they have in common."""
        found: dict[tuple[object, ...], _Measured] = {}
        for pair in self.pairs:
            parts = tuple(measure.parts for measure in pair.measures)
            found.setdefault((pair.runtime, parts), _Measured([])).pairs.append(pair)
        return list(found.values())


class _PartRow(Struct, frozen=True):
    """A part in the stacked bar and in its table; ``percent`` is its width in the bar."""

    name: str
    size: str
    share: str
    method: str
    percent: str
    color: str
    number: str


class _LayerRow(Struct, frozen=True):
    """A layer in the table of layers, as text."""

    key: tuple[int, int]
    label: str
    name: str
    output: str
    sizes: tuple[str, ...]


class _FileReport(Struct, frozen=True):
    """A file by part: of each its size and how much of that is waste, and arenas before and after.

    Without rows where shrinking leaves the file as it is.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, str, str]]
    arenas: list[str]


def render(results: Sequence[PairResult], comparison: Comparison | None = None) -> str:
    """The page. Of large models only the heaviest layers are shown, which the page says."""
    page, known = "", _known(results, comparison)
    for detail in _DETAIL:
        page = _template().render(known, detail=detail) + "\n"
        if len(page.encode()) <= _LARGEST_BYTES:
            break
    return page


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    """The page's template. Every value in it that is not markup is made visible and escaped."""
    import jinja2
    import markupsafe

    def visible(value: object) -> object:
        if isinstance(value, str) and not isinstance(value, markupsafe.Markup):
            return printable(value, limit=MOST_CHARACTERS)
        return value

    environment = jinja2.Environment(
        autoescape=True, finalize=visible, undefined=jinja2.StrictUndefined
    )
    environment.globals |= _FUNCTIONS
    source = (Path(__file__).parent / "templates" / "page.html").read_text(encoding="utf-8")
    return environment.from_string("".join(line.strip() for line in source.splitlines()))


def _known(results: Sequence[PairResult], comparison: Comparison | None) -> dict[str, Any]:
    """What the template says of all pairs, by the names that it uses."""
    compared = comparison.changes if comparison is not None and comparison.base else ()
    changes = {change.id: change for change in compared}
    models = _models(results)
    estimates = (measure.is_estimated for pair in results for measure in pair.measures)
    failed = not results or any(result.fails_run for result in results)
    return {
        "boards": sorted({pair.board for pair in results}),
        "changes": changes,
        "comparison": comparison,
        "gone": [each for each in comparison.changes if each.head is None] if comparison else [],
        "models": models,
        "several_files": len({model.file for model in models}) > 1,
        "opened": {
            model.key for model in models if len(models) <= _OPEN or _matters(model, changes)
        },
        "style": _markup(STYLE),
        "verdict": verdict(results),
        "lead": "bad" if failed else "good",
        "count_text": count_text(results),
        "counted_for": " ".join(counted_for(results)),
        "any_estimate": any(estimates),
    }


def _markup(text: str) -> markupsafe.Markup:
    """``text`` as markup: all in it that comes from models or declarations is escaped already."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704


def _models(results: Sequence[PairResult]) -> list[_Model]:
    found: dict[tuple[str, str], _Model] = {}
    for pair in sorted(results, key=worst_first):
        file = pair.id.partition("::")[0]
        key = (file, pair.model)
        model = found.setdefault(key, _Model(f"m{len(found) + 1}", file, pair.model, []))
        model.pairs.append(pair)
    return list(found.values())


def _matters(model: _Model, changes: dict[str, Change]) -> bool:
    """Whether a model fails or changed."""
    looked_at = [changes[pair.id] for pair in model.pairs if pair.id in changes]
    return model.pairs[0].failed or any(
        change.status != "unchanged" and bool(change.base) for change in looked_at
    )


def _kind(pair: PairResult) -> str:
    return "warn" if pair.failed and pair.informational else _KINDS[pair.outcome]


def _growth(change: Change | None, metric: Metric) -> str:
    """How a size changed; empty where it did not."""
    delta = change.delta(metric) if change else None
    return delta_text(delta) if delta and delta.bytes else ""


def _bar_percent(measure: Measure) -> int:
    """How much of a limit's bar is filled; all of it where the limit is exceeded."""
    return min(100, measure.used * 100 // measure.limit) if measure.limit else 100


def _remarks(pair: PairResult) -> list[str]:
    """What a reader of this pair has to know beyond its sizes."""
    figures = (f"{figure.text}: {figure.basis}" for figure in pair.figures)
    placed = (place.text for place in pair.places)
    accepted = (
        f"{LABELS[each.metric]} accepted up to {format_size(each.up_to)} until "
        f"{each.until.isoformat()}: {each.reason}"
        for each in pair.accepted
    )
    return [*pair.warnings, *placed, *figures, *pair.notes, *accepted]


def _what_changed(change: Change) -> list[markupsafe.Markup]:
    """What made the difference to the baseline, a line each, as markup."""
    lines = [f"was {_code(change.base_id)}"] if change.status == "renamed" else []
    lines += map(html, change.notes)
    lines += cause_lines([change.causes], Markup(text=html, code=_code))
    return [_markup(line) for line in lines]


def _file_reports(model: _Model) -> list[_FileReport]:
    """What shrinking saved, or would save, of the files of a model or group."""
    for pair in model.pairs:
        if pair.shrunk is not None:
            return [_file_report(pair.shrunk, f"File: {pair.shrunk.sizes}", "Before", "Saved")]
        if pair.waste:
            return [
                _file_report(each, _waste_title(each, several=len(pair.waste) > 1), "Size", "Waste")
                for each in pair.waste
            ]
    return []


def _waste_title(report: ShrinkReport, *, several: bool) -> str:
    """What of a file is waste; of several files it says whose."""
    owner = f" of {report.model}" if several else ""
    return f"File{owner}{report.waste_text.removeprefix('file')}"


def _file_report(report: ShrinkReport, title: str, *columns: str) -> _FileReport:
    rows = [
        (
            part.name,
            format_size(part.before, exact=True),
            format_size(part.saved, exact=True) if part.saved > 0 else "–",
        )
        for part in report.parts
        if part.before
    ]
    arenas = [arena.text for arena in report.arenas if arena.saved]
    return _FileReport(title, ("Part", *columns), rows, arenas)


def _code(text: str) -> str:
    return f"<code>{html(text)}</code>"


def _both_sides(delta: Delta) -> tuple[str, str]:
    base, now = delta.base_used, delta.used
    if base is None or now is None:
        return "–" if base is None else format_size(base), "–" if now is None else format_size(now)
    return format_pair(base, now)


def _picture(measured: _Measured, key: str, most: int) -> markupsafe.Markup:
    """The arena of a model with at most ``most`` buffers, and the tightest limit of its boards."""
    pair = measured.pairs[0]
    assert pair.footprint is not None
    assert pair.footprint.arena is not None
    return _markup(
        svg.arena_timeline(
            pair.footprint.arena,
            pair.footprint.layers,
            short(pair.model),
            key=key,
            limit=_tightest(measured.pairs),
            most=most,
        )
    )


def _tightest(pairs: Sequence[PairResult]) -> svg.Limit | None:
    """What the smallest of the boards' limits leaves for the arena."""
    limits = [
        (pair.footprint.arena.required + measure.free, measure.limit_note or pair.board)
        for pair in pairs
        if (measure := memory_of_arena(pair.measures)) and pair.footprint and pair.footprint.arena
    ]
    return svg.Limit(*min(limits)) if limits else None


def _refusals(footprint: Footprint) -> list[str]:
    return [": ".join(filter(None, (each.where, each.reason))) for each in footprint.refusals]


def _part_rows(measure: Measure) -> list[_PartRow]:
    """The largest parts by number; the small ones share the last line."""
    total = sum(map(upper_bound, measure.parts)) or 1
    shown, rest = largest_parts(measure.parts, _PARTS_LISTED)
    rows = [(part.name, upper_bound(part), METHODS[part.method] or "exact") for part in shown]
    if rest:
        methods = sorted({METHODS[part.method] or "exact" for part in rest})
        size = sum(map(upper_bound, rest))
        rows.append((f"{len(rest)} smaller parts", size, ", ".join(methods)))
    return [
        _PartRow(
            name=name,
            size=format_size(size),
            share=share_text(size, total),
            method=method,
            percent=f"{size * 100 / total:.1f}",
            color=f"c{(position - 1) % _COLORS}",
            number=str(position) if size * 100 / total >= _NUMBERED_PERCENT else "",
        )
        for position, (name, size, method) in enumerate(rows, 1)
    ]


def _at_peak(footprint: Footprint) -> set[tuple[int, int]]:
    peak = peak_layers(footprint.arena, footprint.layers) if footprint.arena else []
    return {(layer.subgraph, layer.index) for layer in peak}


def _heaviest(layers: Sequence[Layer], most: int) -> list[_LayerRow]:
    """At most ``most`` layers, in their order."""
    ordered = sorted(layers, key=lambda layer: -(layer.weights_bytes + layer.live_bytes))
    kept = {(layer.subgraph, layer.index) for layer in ordered[:most]}
    return [_layer_row(layer) for layer in layers if (layer.subgraph, layer.index) in kept]


def _layer_row(layer: Layer) -> _LayerRow:
    sizes = (column.bytes_of(layer) for column in LAYER_SIZES)
    return _LayerRow(
        key=(layer.subgraph, layer.index),
        label=layer_label(layer),
        name=short(layer.name, _LAYER_CELLS),
        output=output_text(layer),
        sizes=tuple(format_size(size) if size else "–" for size in sizes),
    )


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


#: What the template calls, by the names that it uses.
_FUNCTIONS: dict[str, Any] = {
    "at_peak": _at_peak,
    "bar_percent": _bar_percent,
    "both_sides": _both_sides,
    "capitalized": _capitalized,
    "counted": counted,
    "delta_text": delta_text,
    "file_reports": _file_reports,
    "format_ratio": format_ratio,
    "format_size": format_size,
    "growth": _growth,
    "heaviest": _heaviest,
    "kind": _kind,
    "labels": LABELS,
    "layer_sizes": LAYER_SIZES,
    "part_rows": _part_rows,
    "percent_text": percent_text,
    "picture": _picture,
    "refusals": _refusals,
    "refusals_title": refusals_title,
    "remarks": _remarks,
    "short": short,
    "signs": _SIGNS,
    "what_changed": _what_changed,
    "word": word,
}
