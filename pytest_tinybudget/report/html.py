"""One self-contained HTML page: no network and no script, in light and dark.

A matrix of models and boards, then each model with the picture of its arena, its flash and RAM by
part, its layers, and what changed since the baseline. Whatever a picture says stands beside it in
words or in a table.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.sizes import format_pair
from pytest_tinybudget.base.sizes import format_ratio
from pytest_tinybudget.base.sizes import format_size
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.report import svg
from pytest_tinybudget.report.blocks import METHODS
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import output_text
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.page import STYLE
from pytest_tinybudget.report.terminal import WORDS
from pytest_tinybudget.report.terminal import count_text
from pytest_tinybudget.report.terminal import counted
from pytest_tinybudget.report.terminal import counted_for
from pytest_tinybudget.report.terminal import percent_text
from pytest_tinybudget.report.terminal import verdict
from pytest_tinybudget.report.terminal import worst_first
from pytest_tinybudget.report.why import Markup
from pytest_tinybudget.report.why import cause_lines
from pytest_tinybudget.report.why import delta_text
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import memory_of_arena


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


def _code(text: str) -> str:
    return f"<code>{html(text)}</code>"


_MARKUP = Markup(text=html, code=_code)


class _Measured(Struct, frozen=True):
    """Pairs of one model that have all figures in common: same runtime, different boards."""

    pairs: list[PairResult]


class _Model(Struct, frozen=True):
    """A model of a declaration with its pairs, worst first."""

    key: str
    file: str
    name: str
    pairs: list[PairResult]


def render(results: Sequence[PairResult], comparison: Comparison | None = None) -> str:
    """The page. Of large models only the heaviest layers are shown, which the page says."""
    page = ""
    for detail in _DETAIL:
        page = _page(results, comparison, detail)
        if len(page.encode()) <= _LARGEST_BYTES:
            break
    return page


def _page(results: Sequence[PairResult], comparison: Comparison | None, detail: _Detail) -> str:
    compared = comparison.changes if comparison is not None and comparison.base else ()
    changes = {change.id: change for change in compared}
    models = _models(results)
    failed = sum(result.failed for result in results)
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f"<title>Memory budgets: {verdict(results)}</title>",
        f"<style>{STYLE}</style></head><body>",
        '<a class="skip" href="#models">Skip to the models</a>',
        "<header><h1>Memory budgets</h1>",
        _lead(results, failed=bool(failed)),
        *_baseline(comparison),
        "</header><main>",
        *_matrix(models, results, changes),
        *_removed(comparison),
        '<h2 id="models">Models</h2>',
    ]
    for model in models:
        parts += _section(model, changes, detail, opened=len(models) <= _OPEN)
    return "".join([*parts, "</main><footer>", *_footer(results), "</footer></body></html>\n"])


def _lead(results: Sequence[PairResult], *, failed: bool) -> str:
    kind, sign = ("bad", "✗") if failed or not results else ("good", "✓")
    return f'<p class="lead {kind}">{sign} {html(count_text(results))}</p>'


def _models(results: Sequence[PairResult]) -> list[_Model]:
    found: dict[tuple[str, str], _Model] = {}
    for pair in sorted(results, key=worst_first):
        file = pair.id.partition("::")[0]
        key = (file, pair.model)
        model = found.setdefault(key, _Model(f"m{len(found) + 1}", file, pair.model, []))
        model.pairs.append(pair)
    return list(found.values())


def _baseline(comparison: Comparison | None) -> Iterator[str]:
    if comparison is None:
        return
    if comparison.base:
        different = len(comparison.different)
        found = f"{counted(different, 'pair')} changed" if different else "nothing changed"
        yield f"<p>Compared with {_code(comparison.base)}: {found}.</p>"
    for note in comparison.notes:
        yield f'<p class="note">{html(note)}</p>'


# The matrix


def _matrix(
    models: Sequence[_Model], results: Sequence[PairResult], changes: dict[str, Change]
) -> Iterator[str]:
    boards = sorted({pair.board for pair in results})
    several = len({model.file for model in models}) > 1
    if not boards:
        yield "<p>There are no pairs.</p>"
        return
    yield (
        '<h2 id="matrix">Models and boards</h2>'
        '<div class="scroll" role="region" aria-labelledby="matrix" tabindex="0">'
        '<table class="matrix"><thead><tr><th scope="col">Model</th>'
    )
    for board in boards:
        yield f'<th scope="col">{html(board)}</th>'
    yield "</tr></thead><tbody>"
    for model in models:
        of_board = {pair.board: pair for pair in model.pairs}
        where = f'<br><span class="soft">{html(short(model.file))}</span>' if several else ""
        yield (
            f'<tr><th scope="row"><a href="#{model.key}">{html(short(model.name))}</a>{where}</th>'
        )
        for board in boards:
            pair = of_board.get(board)
            yield _cell(pair, changes.get(pair.id)) if pair else '<td class="none">–</td>'
        yield "</tr>"
    yield "</tbody></table></div>"


def _cell(pair: PairResult, change: Change | None) -> str:
    fills = "".join(_fill(measure, change) for measure in pair.measures)
    words = fills or f"<br>{html(short(pair.headline, 80))}"
    return f"<td>{_badge(pair)}{_status(change)}{words}</td>"


def _status(change: Change | None) -> str:
    """What the sizes do not say of a change: that a pair is new, renamed or not comparable."""
    if change is None or change.status in ("changed", "unchanged"):
        return ""
    return f' <span class="soft">{change.status}</span>'


def _badge(pair: PairResult) -> str:
    sign = {"good": "✓", "warn": "!", "bad": "✗"}[_KINDS[pair.outcome]]
    accepted = " (accepted)" if pair.accepted else ""
    return f'<b class="{_KINDS[pair.outcome]}">{sign} {WORDS[pair.outcome]}{accepted}</b>'


def _fill(measure: Measure, change: Change | None) -> str:
    """A limit's bar with its words; what is over runs to the end, striped."""
    share = min(100, measure.used * 100 // measure.limit) if measure.limit else 100
    kind = " over" if measure.over else ""
    state = (
        f"{format_size(measure.over)} over" if measure.over else f"{format_size(measure.free)} free"
    )
    mark = "~" if measure.is_estimated else ""
    delta = change.delta(measure.metric) if change else None
    told = html(delta_text(delta)) if delta and delta.bytes else ""
    grown = f' <span class="delta">{told}</span>' if told else ""
    return (
        f' <span class="what">{LABELS[measure.metric]} {percent_text(measure)}{grown}</span>'
        f' <span class="bar{kind}" aria-hidden="true"><i style="width:{share}%"></i></span>'
        f'<span class="size">{mark}{format_ratio(measure.used, measure.limit)}, {state}</span>'
    )


def _removed(comparison: Comparison | None) -> Iterator[str]:
    gone = [change for change in comparison.changes if change.head is None] if comparison else []
    if gone:
        names = ", ".join(f"{_code(change.model)} on {_code(change.board)}" for change in gone)
        yield f"<p>No longer declared: {names}.</p>"


# One model


def _section(
    model: _Model, changes: dict[str, Change], detail: _Detail, *, opened: bool
) -> Iterator[str]:
    worst = model.pairs[0]
    looked_at = [changes[pair.id] for pair in model.pairs if pair.id in changes]
    if worst.failed or any(change.status != "unchanged" and change.base for change in looked_at):
        opened = True
    yield (
        f'<details class="model" id="{model.key}"{" open" if opened else ""}>'
        f"<summary><h3>{html(short(model.name))}</h3> {_badge(worst)} "
        f"<span>{html(short(worst.headline, 120))}</span></summary>"
    )
    yield f"<p>{', '.join(_facts(model))}</p>"
    for pair in model.pairs:
        yield from _verdict(pair, changes.get(pair.id))
    for position, measured in enumerate(_measured(model.pairs)):
        whole = detail.every_runtime or position == 0
        yield from _footprint(measured, f"{model.key}-{position}", detail.most if whole else 0)
    yield "</details>"


def _facts(model: _Model) -> Iterator[str]:
    pair = model.pairs[0]
    yield f"declared in {_code(pair.declared_at or model.file)}"
    if pair.model_source:
        yield f"file {_code(short(pair.model_source))}"
    if pair.model_bytes:
        yield format_size(pair.model_bytes)
    if pair.model_sha256:
        yield f'<span class="soft">sha256 {html(pair.model_sha256[:12])}</span>'


def _verdict(pair: PairResult, change: Change | None) -> Iterator[str]:
    """What a reader of this pair has to know beyond its sizes."""
    fixes = [html(reason) for reason in pair.reasons]
    figures = (f"{figure.text}: {figure.basis}" for figure in pair.figures)
    placed = [place.text for place in pair.places]
    lines = [html(text) for text in (*pair.warnings, *placed, *figures, *pair.notes)]
    lines += [
        f"{LABELS[each.metric]} accepted up to {format_size(each.up_to)} until "
        f"{each.until.isoformat()}: {html(each.reason)}"
        for each in pair.accepted
    ]
    changed = list(_difference(change)) if change is not None and change.base else []
    if pair.outcome == "fits" and not (fixes or lines or changed):
        return
    yield f"<h4>{_badge(pair)} on {html(pair.board)}</h4>"
    if pair.outcome != "fits":
        yield f"<p>{html(pair.headline)}</p>"
    if pair.message and pair.failed:
        yield f"<blockquote>{html(pair.message)}</blockquote>"
    yield _list(lines)
    yield f"<p>What would fix it:</p>{_list(fixes)}" if fixes else ""
    yield from changed


def _difference(change: Change) -> Iterator[str]:
    """The sizes on both sides and what made the difference; nothing where nothing differs."""
    if change.status == "unchanged":
        return
    yield (
        '<table class="diff"><caption>Since the baseline</caption><thead><tr>'
        '<th scope="col">Memory</th><th scope="col">Base</th><th scope="col">Now</th>'
        '<th scope="col">Change</th></tr></thead><tbody>'
    )
    for delta in change.deltas:
        base, now = _sides(delta.base_used, delta.used)
        over = " (over already on the base)" if delta.already_over_on_base else ""
        grown = " – more than allowed" if delta.too_much_growth else ""
        yield (
            f'<tr><th scope="row">{LABELS[delta.metric]}</th><td>{base}</td><td>{now}{over}</td>'
            f"<td>{html(delta_text(delta)) or '–'}{grown}</td></tr>"
        )
    yield "</tbody></table>"
    notes = [html(note) for note in change.notes]
    if change.status == "renamed":
        notes.insert(0, f"was {_code(change.base_id)}")
    yield _list([*notes, *cause_lines(change.causes, _MARKUP)])


def _sides(base: int | None, now: int | None) -> tuple[str, str]:
    if base is None or now is None:
        return "–" if base is None else format_size(base), "–" if now is None else format_size(now)
    return format_pair(base, now)


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>" if lines else ""


def _measured(pairs: Sequence[PairResult]) -> list[_Measured]:
    found: dict[tuple[object, ...], _Measured] = {}
    for pair in pairs:
        parts = tuple(measure.parts for measure in pair.measures)
        found.setdefault((pair.runtime, parts), _Measured([])).pairs.append(pair)
    return list(found.values())


def _footprint(measured: _Measured, key: str, most: int) -> Iterator[str]:
    """Picture, parts and layers; with ``most`` 0 where they can be seen instead."""
    pair = measured.pairs[0]
    footprint = pair.footprint
    if footprint is None:
        return
    boards = ", ".join(html(each.board) for each in measured.pairs)
    yield f'<h4>{html(pair.runtime_text)} <span class="soft">({boards})</span></h4>'
    yield from _refusals(footprint)
    if not most:
        yield '<p class="note">Left out to keep the page small: tinybudget inspect shows it.</p>'
        return
    if footprint.arena is not None:
        picture = svg.arena_timeline(
            footprint.arena,
            footprint.layers,
            short(pair.model),
            key=key,
            limit=_tightest(measured.pairs),
            most=most,
        )
        yield (
            f'<figure class="scroll" tabindex="0" aria-label="Tensor arena">{picture}<figcaption>'
            "The tensor arena: what lies where while each operator runs.</figcaption></figure>"
        )
    if pair.measures:
        yield f'<div class="two">{"".join(map(_parts, pair.measures))}</div>'
    yield from _layers(footprint, most)


def _tightest(pairs: Sequence[PairResult]) -> svg.Limit | None:
    """What the smallest of the boards' limits leaves for the arena."""
    limits = [
        (pair.footprint.arena.required + measure.free, measure.limit_note or pair.board)
        for pair in pairs
        if (measure := memory_of_arena(pair.measures)) and pair.footprint and pair.footprint.arena
    ]
    return svg.Limit(*min(limits)) if limits else None


def _refusals(footprint: Footprint) -> Iterator[str]:
    if footprint.refusals:
        lines = [
            html(": ".join(filter(None, (each.where, each.reason)))) for each in footprint.refusals
        ]
        yield f"<p>{refusals_title(footprint.refusals)}:</p>{_list(lines)}"


def _parts(measure: Measure) -> str:
    """A stacked bar, and its parts by number: the bar is the table's picture."""
    total = sum(map(_upper, measure.parts)) or 1
    bar, rows = [], []
    for position, (name, size, method) in enumerate(_listed(measure.parts), 1):
        color, percent = f"c{(position - 1) % _COLORS}", size * 100 / total
        number = str(position) if percent >= _NUMBERED_PERCENT else ""
        bar.append(f'<i class={color} style="width:{percent:.1f}%">{number}</i>')
        rows.append(
            f"<tr><td class={color}>{position}<td>{html(name)}"
            f"<td>{format_size(size)}<td>{_share(size, total)}<td>{html(method)}"
        )
    name = LABELS[measure.metric]
    title = f"{name[0].upper()}{name[1:]} by part, {format_size(measure.used)} in all"
    return (
        f'<table class="parts"><caption>{title}<span class="stack" aria-hidden="true">'
        f"{''.join(bar)}</span></caption><thead><tr>"
        '<th scope="col">No.<th scope="col">Part<th scope="col">Size<th scope="col">Share'
        f'<th scope="col">How known</thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _share(size: int, total: int) -> str:
    return f"{size * 100 // total} %" if size * 100 >= total else html("<1 %")


def _listed(parts: Sequence[Part]) -> Iterator[tuple[str, int, str]]:
    """Name, bytes and method of the largest parts; the small ones share the last line."""
    ordered = sorted(filter(_upper, parts), key=lambda part: (-_upper(part), part.name))
    most = _PARTS_LISTED if len(ordered) > _PARTS_LISTED + 1 else len(ordered)
    for part in ordered[:most]:
        yield part.name, _upper(part), METHODS[part.method] or "exact"
    rest = ordered[most:]
    if rest:
        methods = sorted({METHODS[part.method] or "exact" for part in rest})
        yield f"{len(rest)} smaller parts", sum(map(_upper, rest)), ", ".join(methods)


def _upper(part: Part) -> int:
    return part.bytes + part.margin_bytes


def _layers(footprint: Footprint, most: int) -> Iterator[str]:
    if not footprint.layers:
        return
    shown = _heaviest(footprint.layers, most)
    left_out = len(footprint.layers) - len(shown)
    peak = peak_layers(footprint.arena, footprint.layers) if footprint.arena else []
    marked = {(layer.subgraph, layer.index) for layer in peak}
    title = f"{counted(len(footprint.layers), 'layer')}"
    if left_out:
        title += f" (the {len(shown)} largest; tinybudget inspect -v shows all)"
    yield (
        f"<details><summary>{title}</summary>"
        '<div class="scroll" role="group" aria-label="Layers" tabindex="0"><table class="layers">'
        '<thead><tr><th scope="col">Layer<th scope="col">Name<th scope="col">Output'
        '<th scope="col">Weights<th scope="col">Activations<th scope="col">Scratch'
        '<th scope="col">Persistent<th scope="col">Alive</thead><tbody>'
    )
    for layer in shown:
        yield _layer_row(layer, at_peak=(layer.subgraph, layer.index) in marked)
    yield "</tbody></table></div></details>"


def _heaviest(layers: Sequence[Layer], most: int) -> list[Layer]:
    """At most ``most`` layers, in their order."""
    ordered = sorted(layers, key=lambda layer: -(layer.weights_bytes + layer.live_bytes))
    kept = {(layer.subgraph, layer.index) for layer in ordered[:most]}
    return [layer for layer in layers if (layer.subgraph, layer.index) in kept]


def _layer_row(layer: Layer, *, at_peak: bool) -> str:
    """A row without the end tags that HTML lets out: there are thousands of these cells."""
    sizes = (
        layer.weights_bytes,
        layer.activation_bytes,
        layer.scratch_bytes,
        layer.persistent_bytes,
        layer.live_bytes,
    )
    cells = "".join(f"<td>{format_size(size) if size else '–'}" for size in sizes)
    peak = " (peak)" if at_peak else ""
    return (
        f'<tr{" class=at" if at_peak else ""}><th scope="row">{html(layer_label(layer))}{peak}'
        f"<td>{html(short(layer.name, _LAYER_CELLS))}<td>{html(output_text(layer))}{cells}"
    )


def _footer(results: Sequence[PairResult]) -> Iterator[str]:
    counted_by = counted_for(results)
    if counted_by:
        yield f"<p>Counted {html(' '.join(counted_by))}.</p>"
    if any(measure.is_estimated for result in results for measure in result.measures):
        yield "<p>~ holds an estimate, its margin included.</p>"
    yield "<p>1 KB = 1024 B. Written by pytest-tinybudget.</p>"
