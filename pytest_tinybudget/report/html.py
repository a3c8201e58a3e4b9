"""The HTML page: one file without network, in light and dark, on paper and on a telephone.

``templates/page.html`` lays it out and ``page.css`` is its style; this module gives them the
figures. All verdicts, sizes and causes stand in the page itself, so that it can be read with
scripts off. ``page.js`` searches, filters and sorts, and draws what ``page_details.py`` packed.

The page forbids itself everything but this style and this script, by their hashes: whatever a name
of a model might smuggle in, no browser would run it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cached_property
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_delta
from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.baseline.history import History
from pytest_tinybudget.baseline.history import Trend
from pytest_tinybudget.baseline.origin import Origin
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.report import svg
from pytest_tinybudget.report.blocks import METHODS
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.blocks import upper_bound
from pytest_tinybudget.report.escape import MOST_CHARACTERS
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.page_details import Measured
from pytest_tinybudget.report.page_details import measured
from pytest_tinybudget.report.page_details import packed
from pytest_tinybudget.report.page_details import shortened
from pytest_tinybudget.report.review import Block
from pytest_tinybudget.report.review import Group
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import boards_text
from pytest_tinybudget.report.review import told_once
from pytest_tinybudget.report.review import verdict_text
from pytest_tinybudget.report.verdicts import count_text
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.report.verdicts import percent_text
from pytest_tinybudget.report.verdicts import verdict
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.report.verdicts import worst_first
from pytest_tinybudget.report.why import Markup
from pytest_tinybudget.report.why import cause_lines
from pytest_tinybudget.report.why import delta_text
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.metrics import table_metrics
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.shrinking.report import ShrinkReport


if TYPE_CHECKING:
    import jinja2
    import markupsafe


#: A page is to open at once from a mail or an artifact: that of forty pairs stays below this, and
#: more pairs may take more in proportion.
_LARGEST_BYTES, _PAIRS = 590_000, 40

#: How many layers and buffers of each runtime are shown: the first that keep the page small enough.
_MOST = (2000, 400, 160, 64, 32, 8)

#: Points of a trend.
_MOST_RUNS = 30

_SIGNS = {"good": "✓", "warn": "!", "bad": "✗"}

_KINDS: dict[Outcome, str] = {
    "fits": "good",
    "warns": "warn",
    "over": "bad",
    "refused": "bad",
    "unmet": "bad",
    "error": "bad",
}

#: So many models are shown opened: those that fail or changed, or all if there are no more.
_OPEN = 3

_PARTS_LISTED = 12

#: More lines of the same kind stand behind a title.
_LINES_SHOWN = 3

#: What may stand in an address after ``#`` as it is.
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")


class _Model(Struct, frozen=True, dict=True):
    """A model of a declaration with its pairs; ``key`` is what links to it end with."""

    key: str
    file: str
    block: Block
    trends: tuple[Trend, ...] = ()

    @property
    def name(self) -> str:
        """Its name in the declaration."""
        return self.block.model

    @property
    def worst(self) -> PairResult:
        """Its pair that most needs a reader."""
        return self.block.groups[0].worst.result

    @cached_property
    def rows(self) -> list[Row]:
        """Its pairs, those that most need a reader first."""
        return self.block.rows

    def on(self, board: str) -> Row | None:
        """The pair of this model and a board."""
        return next((row for row in self.rows if row.result.board == board), None)

    @cached_property
    def groups(self) -> list[Measured]:
        """The pairs by what they have in common."""
        return measured(self.rows)

    @property
    def matters(self) -> bool:
        """Whether it fails or changed."""
        compared = [row.change for row in self.rows if row.change is not None]
        return any(row.result.failed for row in self.rows) or any(
            change.status != "unchanged" and change.base is not None for change in compared
        )


class _Part(Struct, frozen=True):
    """A part of a memory with its size on each runtime, as text."""

    name: str
    method: str
    sizes: tuple[str, ...]


class _Parts(Struct, frozen=True):
    """The parts of a memory: a column for each runtime, headed by its boards and their total."""

    metric: Metric
    heads: tuple[tuple[str, str], ...]
    rows: tuple[_Part, ...]


class _Advice(Struct, frozen=True):
    """Lines under a title, and more of them that a reader opens."""

    title: str
    lines: list[str]
    more_title: str = ""
    more: Sequence[str] = ()


class _FileReport(Struct, frozen=True):
    """A file by part: of each its size and how much of that is waste, and arenas before and after.

    Without rows where shrinking leaves the file as it is.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, str, str]]
    arenas: list[str]


def render(
    results: Sequence[PairResult],
    comparison: Comparison | None = None,
    origin: Origin | None = None,
    history: History | None = None,
) -> str:
    """The page; ``origin`` says where the results come from, ``history`` how sizes went.

    Of very large models only the heaviest layers are shown, which the page says.
    """
    known = _known(results, comparison, origin or Origin(), history)
    largest = _LARGEST_BYTES * max(len(results), _PAIRS) // _PAIRS
    page = ""
    for most in _MOST:
        page = _template().render(known, most=most) + "\n"
        if len(page.encode()) <= largest:
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
    source = _source("page.html")
    return environment.from_string("".join(line.strip() for line in source.splitlines()))


def _source(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _style() -> str:
    """The style sheet on one line, with the colors that the pictures of arenas have as well."""
    colors = (
        f":root{{{svg.LIGHT}}}@media(prefers-color-scheme:dark){{:root{{{svg.DARK}}}}}"
        f"@media print{{:root{{{svg.LIGHT}}}}}"
    )
    rules = re.sub(r"/\*.*?\*/", "", _source("page.css"), flags=re.DOTALL)
    return colors + "".join(line.strip() for line in rules.splitlines())


@lru_cache(maxsize=1)
def _script() -> str:
    """The script without its comments and indentation."""
    lines = (line.strip() for line in _source("page.js").splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _policy() -> str:
    """The content security policy: nothing is loaded, and only this style and script count."""
    hashes = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        for name, text in (("style", _style()), ("script", _script()))
    }
    return (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; "
        f"style-src 'sha256-{hashes['style']}'; img-src data:; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _known(
    results: Sequence[PairResult],
    comparison: Comparison | None,
    origin: Origin,
    history: History | None,
) -> dict[str, Any]:
    """What the template says of all pairs, by the names that it uses."""
    compared = comparison if comparison is not None and comparison.base else None
    models = _models(results, compared, history)
    failed = not results or any(result.fails_run for result in results)
    rows = [row for model in models for row in model.rows]
    mattering = [model.key for model in models if model.matters]
    opened = [model.key for model in models] if len(models) <= _OPEN else mattering[:_OPEN]
    return {
        "boards": sorted({pair.board for pair in results}),
        "comparison": comparison,
        "compared": compared is not None,
        "gone": [each for each in comparison.changes if each.head is None] if comparison else [],
        "skipped": history.skipped if history else (),
        "models": models,
        "several_files": len({model.file for model in models}) > 1,
        "opened": frozenset(opened),
        "origin": origin,
        "facts": _facts(results, origin, comparison),
        "policy": _policy(),
        "style": _markup(_style()),
        "script": _markup(_script()),
        "verdict": verdict(results),
        "lead": "bad" if failed else "good",
        "count_text": count_text(results),
        "review_text": verdict_text(row.standing for row in rows) if compared else "",
        "counts": _counts(models, compared is not None),
        "any_estimate": any(each.is_estimated for pair in results for each in pair.measures),
    }


def _facts(
    results: Sequence[PairResult], origin: Origin, comparison: Comparison | None
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Where the results come from and what counted them: a name, and words with their address."""
    bases = [(link.text, link.address) for link in origin.bases]
    if comparison is not None and comparison.base and not bases:
        bases = [(comparison.base, "")]
    tools = sorted({pair.identity.tool for pair in results if pair.identity})
    runtimes = sorted({(pair.runtime, pair.runtime_text) for pair in results if pair.measures})
    links = [
        ("Repository", [(origin.repository.text, origin.repository.address)]),
        ("Change", [(origin.change.text, origin.change.address)]),
        ("Commit", [(link.text, link.address) for link in origin.commits]),
        ("Base", bases),
        ("Run", [(origin.run.text, origin.run.address)]),
        ("Written", [(origin.written, "")]),
        ("Tool", [(f"pytest-tinybudget {', '.join(tools)}" if tools else "", "")]),
        ("Runtimes" if len(runtimes) > 1 else "Runtime", [(text, "") for _, text in runtimes]),
    ]
    kept = [(name, [link for link in found if link[0]]) for name, found in links]
    return [(name, found) for name, found in kept if found]


def _counts(models: Sequence[_Model], compared: bool) -> list[tuple[str, str, int]]:
    """The filters: what their value is called in links, in words, and how many models match."""
    filters = [
        ("all", "All", ""),
        ("failing", "Failing", "f"),
        *([("new", "New failures", "n"), ("changed", "Changed", "c")] if compared else []),
        ("warning", "Warnings", "w"),
    ]
    return [
        (value, words, sum(any(flag in _flags(row) for row in model.rows) for model in models))
        for value, words, flag in filters
    ]


def _flags(row: Row) -> str:
    """What filters ask of a pair, a letter each: fails, newly, changed, warns."""
    change = row.change
    changed = change is not None and change.status != "unchanged"
    return "".join(
        letter
        for letter, applies in (
            ("f", row.result.fails_run),
            ("n", change is not None and row.standing == "new failure"),
            ("c", changed),
            ("w", _kind(row.result) == "warn"),
        )
        if applies
    )


def _markup(text: str) -> markupsafe.Markup:
    """``text`` as markup: all in it that comes from models or declarations is escaped already."""
    import markupsafe

    return markupsafe.Markup(text)  # noqa: S704


def _models(
    results: Sequence[PairResult], comparison: Comparison | None, history: History | None
) -> list[_Model]:
    """The models in the order of the review."""
    changes = {change.id: change for change in comparison.changes} if comparison else {}
    rows = [Row(pair, changes.get(pair.id)) for pair in sorted(results, key=worst_first)]
    trends: dict[tuple[str, str], list[Trend]] = {}
    for trend in history.trends if history else ():
        file = trend.id.partition("::")[0]
        trends.setdefault((file, trend.model), []).append(shortened(trend, _MOST_RUNS))
    found: dict[str, _Model] = {}
    for block in blocks_of(rows):
        file = block.rows[0].result.id.partition("::")[0]
        key = _key(block.model, found)
        found[key] = _Model(key, file, block, tuple(trends.get((file, block.model), ())))
    return list(found.values())


def _key(name: str, taken: Mapping[str, object]) -> str:
    """What a link to a model ends with: its name, as far as it may stand there."""
    plain = _PLAIN.sub("-", name)[:60].strip("-.") or "model"
    key, number = f"m-{plain}", 2
    while key in taken:
        key, number = f"m-{plain}-{number}", number + 1
    return key


def _kind(pair: PairResult) -> str:
    return "warn" if pair.failed and pair.informational else _KINDS[pair.outcome]


def _growth(row: Row, metric: Metric) -> str:
    """How a size changed; empty where it did not."""
    delta = row.delta(metric)
    return delta_text(delta) if delta and delta.bytes else ""


def _most_grown(row: Row) -> int:
    """By how much the size of a pair that grew most did, bytes."""
    return max((each.bytes or 0 for each in row.change.deltas), default=0) if row.change else 0


def _reason(row: Row) -> str:
    """Why a pair fails where its bars do not show it; else empty."""
    over = any(measure.over for measure in row.result.measures)
    return "" if over or not row.result.failed else Group((row,)).why


def _percent(measure: Measure | None) -> int:
    """How much of a limit is used, for sorting: in tenths of a percent."""
    if measure is None:
        return -1
    return measure.used * 1000 // measure.limit if measure.limit else 10**6


def _bar_percent(measure: Measure) -> int:
    """How much of a limit's bar is filled; all of it where the limit is exceeded."""
    return min(100, measure.used * 100 // measure.limit) if measure.limit else 100


def _remarks(pair: PairResult) -> Iterator[str]:
    """What a reader of this pair has to know beyond its sizes."""
    yield from pair.warnings
    yield from pair.notes
    for each in pair.accepted:
        yield f"{LABELS[each.metric]} {each.text}"


def _besides(pair: PairResult) -> Iterator[str]:
    """Where the arena lies, and the figures besides sizes: they differ from board to board."""
    yield from (place.text for place in pair.places)
    yield from (f"{figure.text}: {figure.basis}" for figure in pair.figures)


def _told(group: Group) -> list[str]:
    """The remarks on the pairs of a group, each once."""
    return told_once(group.rows, _remarks)


def _told_besides(group: Group) -> _Advice:
    """What else is known of the pairs of a group; of several boards behind a title."""
    lines = told_once(group.rows, _besides)
    if len(lines) <= _LINES_SHOWN:
        return _Advice("", lines)
    return _Advice("", [], "Memory, time and more on each board", lines)


def _advice(group: Group) -> _Advice:
    """What would fix the pairs of a group: for the worst of them, the others behind a title."""
    worst, *others = group.rows
    lines = list(dict.fromkeys(worst.result.reasons))
    rest = [row for row in others if row.result.reasons != worst.result.reasons]
    if not lines or not rest:
        return _Advice(
            "What would fix it", lines or told_once(group.rows, lambda pair: pair.reasons)
        )
    told = [
        f"{row.result.board}: {line}" for row in rest for line in dict.fromkeys(row.result.reasons)
    ]
    others_text = boards_text([row.result.board for row in rest], len(rest))
    title = f"What would fix it on {worst.result.board}"
    return _Advice(title, lines, f"… and on {others_text.replace('all ', 'the other ')}", told)


def _refusals(group: Group) -> tuple[str, list[str]]:
    """Why TFLM would not run the model on a group of boards: a title and a line each."""
    footprints = [pair.footprint for pair in group.results if pair.footprint is not None]
    refused = next((each for each in footprints if each.refusals), None)
    if refused is None:
        return "", []
    return refusals_title(refused.refusals), told_once(group.rows, _refused)


def _refused(pair: PairResult) -> Iterator[str]:
    footprint: Footprint | None = pair.footprint
    for each in footprint.refusals if footprint else ():
        yield ": ".join(filter(None, (each.where, each.reason)))


def _is_to_tell(group: Group) -> bool:
    """Whether something is to be said of a group beyond its sizes."""
    worst = group.worst.result
    besides = any(any(_besides(pair)) for pair in group.results)
    return worst.outcome != "fits" or bool(_told(group)) or bool(worst.reasons) or besides


def _boards(group: Group, model: _Model) -> str:
    """``on all 4 boards``, ``on esp32``."""
    boards = [row.result.board for row in group.rows]
    if group.worst.result.kind != "pair":
        return ""
    return f"on {boards_text(boards, len(model.rows))}"


def _why(group: Group) -> str:
    """The verdict on a group of boards: that of its pair, or what all have in common."""
    return group.worst.result.headline if len(group.rows) == 1 else _ranged(group)


def _ranged(group: Group) -> str:
    """The headline of several pairs, with ranges in the place of sizes that differ."""
    headlines = {pair.headline for pair in group.results}
    return headlines.pop() if len(headlines) == 1 else group.why or group.worst.result.headline


def _changed_lines(model: _Model) -> list[tuple[str, list[markupsafe.Markup]]]:
    """What made the difference to the base: lines for all boards of which the same is to be said.

    The boards are named where the lines are not those of every board.
    """
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in model.rows:
        change = row.change
        if change is not None and change.base is not None and change.status != "unchanged":
            found.setdefault(tuple(_what_changed([change])), []).append(row)
    if len(found) > 1:
        alike: dict[tuple[object, ...], list[Row]] = {}
        for row in (each for rows in found.values() for each in rows):
            alike.setdefault(_shape(row.change), []).append(row)
        groups = list(alike.values())
    else:
        groups = list(found.values())
    told = []
    for rows in groups:
        changes = [row.change for row in rows if row.change is not None]
        boards = [row.result.board for row in rows]
        where = "" if len(rows) == len(model.rows) else f"on {boards_text(boards, len(model.rows))}"
        told.append((where, [_markup(line) for line in _what_changed(changes)]))
    return [(where, lines) for where, lines in told if lines]


def _shape(change: Change | None) -> tuple[object, ...]:
    """What changes have in common that one list of causes tells, with ranges for sizes."""
    assert change is not None
    causes = change.causes
    operators = tuple((each.kind, each.operator) for each in causes.operators)
    return (change.status, change.notes, causes.layers, operators, causes.runtime, causes.peak_at)


def _what_changed(changes: Sequence[Change]) -> list[str]:
    """What made the difference to the base, a line each, as markup."""
    first = changes[0]
    lines = [f"was {_code(first.base_id)}"] if first.status == "renamed" else []
    lines += map(html, first.notes)
    lines += cause_lines([each.causes for each in changes], Markup(text=html, code=_code))
    return lines


def _file_reports(model: _Model) -> list[_FileReport]:
    """What shrinking saved, or would save, of the files of a model or group."""
    for pair in (row.result for row in model.rows):
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


def _deltas(row: Row) -> tuple[Delta, ...]:
    return row.change.deltas if row.change is not None else ()


def _both_sides(delta: Delta) -> tuple[str, str]:
    base, now = delta.base_used, delta.used
    if base is None or now is None:
        return "–" if base is None else format_size(base), "–" if now is None else format_size(now)
    return format_pair(base, now)


def _limit(row: Row, metric: Metric) -> tuple[str, str]:
    """The limit of a size, and what is left of it, in words."""
    measure = row.measure(metric)
    if measure is None:
        return "–", "–"
    left = (
        f"{format_size(measure.over)} over" if measure.over else f"{format_size(measure.free)} free"
    )
    return format_size(measure.limit), left


def _parts(model: _Model) -> list[_Parts]:
    """Each memory by part, the runtimes of the model's boards beside each other."""
    groups = [group for group in model.groups if group.first.result.measures]
    metrics = table_metrics(each.metric for group in groups for each in group.first.result.measures)
    return [
        _parts_of(metric, groups)
        for metric in metrics
        if any(group.first.measure(metric) for group in groups)
    ]


def _parts_of(metric: Metric, groups: Sequence[Measured]) -> _Parts:
    measures = [group.first.measure(metric) for group in groups]
    sizes = [{part.name: upper_bound(part) for part in _parts_in(each)} for each in measures]
    methods: dict[str, set[str]] = {}
    for part in (part for each in measures for part in _parts_in(each)):
        methods.setdefault(part.name, set()).add(METHODS[part.method] or "exact")
    largest = {
        name: max(each.get(name, 0) for each in sizes)
        for name in dict.fromkeys(name for each in sizes for name in each)
    }
    ordered = sorted(largest, key=lambda name: (-largest[name], name))
    ordered = [name for name in ordered if largest[name]]
    listed = len(ordered) if len(ordered) <= _PARTS_LISTED + 1 else _PARTS_LISTED
    rows = [
        _Part(name, ", ".join(sorted(methods[name])), tuple(_size(each, [name]) for each in sizes))
        for name in ordered[:listed]
    ]
    rest = ordered[listed:]
    if rest:
        how = ", ".join(sorted({method for name in rest for method in methods[name]}))
        rows.append(
            _Part(f"{len(rest)} smaller parts", how, tuple(_size(each, rest) for each in sizes))
        )
    heads = tuple(
        (", ".join(group.boards), format_size(measure.used) if measure else "–")
        for group, measure in zip(groups, measures, strict=True)
    )
    return _Parts(metric, heads, tuple(rows))


def _parts_in(measure: Measure | None) -> Iterable[Any]:
    return measure.parts if measure is not None else ()


def _size(sizes: Mapping[str, int], names: Sequence[str]) -> str:
    found = sum(sizes.get(name, 0) for name in names)
    return format_size(found) if found else "–"


def _arena_texts(model: _Model) -> list[str]:
    """The arena in a sentence, for each group of boards that it is different on."""
    found: dict[str, list[str]] = {}
    for group in model.groups:
        footprint = group.first.result.footprint
        if footprint is not None and footprint.arena is not None:
            text = svg.arena_text(footprint.arena, footprint.layers)
            found.setdefault(text, []).extend(group.boards)
    several = len(found) > 1
    return [
        f"{boards_text(boards, len(model.rows))}: {text}" if several else _capitalized(text)
        for text, boards in found.items()
    ]


def _trend_lines(model: _Model) -> list[str]:
    """How each size went over the runs of the history, those that moved in full."""
    moved = [trend for trend in model.trends if len(set(trend.sizes)) > 1]
    return [
        f"{LABELS[trend.metric]} on {trend.board}: {format_size(trend.sizes[0])} to "
        f"{format_size(trend.sizes[-1])} ({format_delta(trend.change)})"
        for trend in moved
    ]


def _details(model: _Model, most: int) -> markupsafe.Markup:
    """What the script draws of a model; empty where there is nothing to draw."""
    drawable = [group for group in model.groups if group.first.result.footprint is not None]
    if not drawable and not model.trends:
        return _markup("")
    return _markup(packed(model.groups, model.trends, most=most))


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


#: What the template calls, by the names that it uses.
_FUNCTIONS: dict[str, Any] = {
    "advice": _advice,
    "arena_texts": _arena_texts,
    "bar_percent": _bar_percent,
    "boards_of": _boards,
    "both_sides": _both_sides,
    "capitalized": _capitalized,
    "changed_lines": _changed_lines,
    "counted": counted,
    "deltas": _deltas,
    "delta_text": delta_text,
    "details": _details,
    "file_reports": _file_reports,
    "flags": _flags,
    "format_ratio": format_ratio,
    "format_size": format_size,
    "growth": _growth,
    "is_to_tell": _is_to_tell,
    "kind": _kind,
    "labels": LABELS,
    "limit": _limit,
    "most_grown": _most_grown,
    "parts": _parts,
    "percent": _percent,
    "percent_text": percent_text,
    "reason": _reason,
    "refusals": _refusals,
    "short": short,
    "signs": _SIGNS,
    "told": _told,
    "told_besides": _told_besides,
    "trend_lines": _trend_lines,
    "why": _why,
    "word": word,
}
