"""Markdown for pull requests: step summary and comment, worst first, unchanged pairs folded.

All text that comes from models and declarations is escaped. A size limit is kept by leaving out
what matters least, and what was left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from msgspec import Struct

from pytest_tinybudget.base.units import format_ratio
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.baseline.comparison import Delta
from pytest_tinybudget.report.escape import markdown
from pytest_tinybudget.report.escape import markdown_code
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
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.metrics import table_metrics
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import Outcome
from pytest_tinybudget.results.types import PairResult


#: GitHub takes 65,536 characters in a comment; the rest is room for what goes around this text.
LIMIT_CHARACTERS = 60_000

#: Room kept for the line that counts what was left out, and for closing what is open.
_RESERVE = 300

_SIGNS: dict[Outcome, str] = {
    "fits": "✅",
    "warns": "⚠️",
    "over": "❌",
    "refused": "❌",
    "unmet": "❌",
    "error": "❌",
}

_MARKUP = Markup(text=markdown, code=markdown_code)


class _Row(Struct, frozen=True):
    """A pair in the table: its result, and what changed where there is a baseline."""

    result: PairResult
    change: Change | None


def render(
    results: Sequence[PairResult],
    comparison: Comparison | None = None,
    *,
    limit: int = LIMIT_CHARACTERS,
) -> str:
    """The report in at most ``limit`` characters (from 2,000 on)."""
    rows = _rows(results, comparison)
    unchanged = [row for row in rows if _is_quiet(row)]
    shown = [row for row in rows if not _is_quiet(row)]
    writer = _Writer(limit - _RESERVE)
    writer.add("\n".join(_heading(results, comparison)))
    compared = comparison is not None and bool(comparison.base)
    metrics = table_metrics(each.metric for row in rows for each in row.result.measures)
    head = _head(metrics, compared)
    writer.table(head, [_cells(row, metrics, compared) for row in shown], "pair")
    for row in shown:
        writer.add(_details(row), "detail")
    if unchanged:
        title = f"{counted(len(unchanged), 'pair')} unchanged"
        cells = [_cells(row, metrics, compared) for row in unchanged]
        writer.folded(title, head, cells, "pair")
    writer.add(_footer(results), "note")
    return writer.text()


def anything_to_say(results: Sequence[PairResult], comparison: Comparison | None) -> bool:
    """Whether a pair fails or changed, so that a reviewer needs the report."""
    return any(not _is_quiet(row) for row in _rows(results, comparison))


class _Writer:
    """Blocks of Markdown up to a number of characters; what does not fit is counted."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._blocks: list[str] = []
        self._left_out: dict[str, int] = {}

    def add(self, block: str, noun: str = "note") -> None:
        """Add a block, or count it as a ``noun`` left out."""
        if block and not self._take(block):
            self._left_out[noun] = self._left_out.get(noun, 0) + 1

    def table(self, head: str, rows: Sequence[str], noun: str) -> None:
        """A table with as many rows as fit."""
        if rows:
            self._blocks.append(self._fitting(head, rows, noun))

    def folded(self, title: str, head: str, rows: Sequence[str], noun: str) -> None:
        """A table behind a title that the reader opens."""
        opening, closing = f"<details><summary>{title}</summary>\n\n", "\n\n</details>"
        self._room -= len(opening) + len(closing)
        self._blocks.append(f"{opening}{self._fitting(head, rows, noun)}{closing}")

    def text(self) -> str:
        """The text, with a count of what was left out at the end."""
        blocks = list(self._blocks)
        if self._left_out:
            counts = [counted(count, noun) for noun, count in self._left_out.items()]
            blocks.append(f"**Left out to keep this readable: {', '.join(counts)}.**")
        return "\n\n".join(blocks) + "\n"

    def _take(self, block: str) -> bool:
        if len(block) + 2 > self._room:
            return False
        self._room -= len(block) + 2
        self._blocks.append(block)
        return True

    def _fitting(self, head: str, rows: Sequence[str], noun: str) -> str:
        self._room -= len(head) + 2
        fitting = []
        for position, row in enumerate(rows):
            if len(row) + 1 > self._room:
                rest = len(rows) - position
                self._left_out[noun] = self._left_out.get(noun, 0) + rest
                break
            self._room -= len(row) + 1
            fitting.append(row)
        return "\n".join([head, *fitting])


def _rows(results: Sequence[PairResult], comparison: Comparison | None) -> list[_Row]:
    """The rows worst first; with a comparison in the order of its changes."""
    if comparison is None:
        return [_Row(result, None) for result in sorted(results, key=worst_first)]
    return [_Row(change.shown, change) for change in comparison.changes]


def _is_quiet(row: _Row) -> bool:
    if row.change is None or row.change.head is None:
        return False
    return row.change.status == "unchanged" and not row.result.failed


def _heading(results: Sequence[PairResult], comparison: Comparison | None) -> Iterator[str]:
    sign = "✅"
    if any(result.growth_unchecked for result in results):
        sign = "⚠️"  # green means looked at
    if any(result.failed for result in results):
        sign = "❌"
    yield f"### {sign} Memory budgets: {verdict(results)}"
    yield ""
    yield f"{markdown(count_text(results))}.{_compared_with(comparison)}"
    for note in comparison.notes if comparison else ():
        yield f"\n> {markdown(note)}"


def _compared_with(comparison: Comparison | None) -> str:
    if comparison is None or not comparison.base:
        return ""
    different = len(comparison.different)
    found = f"{counted(different, 'pair')} changed" if different else "nothing changed"
    return f" Compared with {markdown_code(comparison.base)}: {found}."


def _head(metrics: Sequence[Metric], compared: bool) -> str:
    names = ["", "model", "board"]
    for metric in metrics:
        names += [LABELS[metric], *(["change"] if compared else [])]
    align = [" --- ", " --- ", " --- ", *([" ---: "] * (len(names) - 3))]
    return f"| {' | '.join(names)} |\n|{'|'.join(align)}|"


def _cells(row: _Row, metrics: Sequence[Metric], compared: bool) -> str:
    result, change = row.result, row.change
    model = markdown_code(short(result.model))
    if compared and change is not None and change.status not in ("changed", "unchanged"):
        model += f" {change.status}"
    cells = [_verdict(row), model, markdown_code(result.board)]
    for metric in metrics:
        cells.append(_size(result, metric))
        if compared:
            cells.append(_delta(change.delta(metric) if change else None))
    return f"| {' | '.join(cells)} |"


def _verdict(row: _Row) -> str:
    if row.change is not None and row.change.head is None:
        return "➖ gone"
    if row.result.accepted:
        return f"🤝 {WORDS[row.result.outcome]}"
    return f"{_SIGNS[row.result.outcome]} {WORDS[row.result.outcome]}"


def _size(result: PairResult, metric: Metric) -> str:
    measure = next((each for each in result.measures if each.metric == metric), None)
    if measure is None:
        return ""
    text = f"{'~' if measure.is_estimated else ''}{_ratio(measure)}"
    return f"**{text}**" if measure.over else text


def _ratio(measure: Measure) -> str:
    return f"{format_ratio(measure.used, measure.limit)} ({percent_text(measure)})"


def _delta(delta: Delta | None) -> str:
    text = delta_text(delta)
    return f"**{text}**" if delta and delta.too_much_growth else text


def _details(row: _Row) -> str:
    """Why a pair fails or what changed in it; empty where the table says all."""
    result, change = row.result, row.change
    lines = []
    if result.outcome != "fits" or result.accepted or result.grown:
        lines.append(markdown(result.headline))
    lines += [f"- ⚠️ {markdown(warning)}" for warning in result.warnings]
    lines += [f"- {markdown(place.text)}" for place in result.places if result.failed]
    declared = [figure for figure in result.figures if figure.limit is not None]
    lines += [f"- {markdown(figure.text)}: {markdown(figure.basis)}" for figure in declared]
    lines += [_agreement(result, metric) for metric in METRICS if _agreed(result, metric)]
    if result.reasons:
        lines += ["What would fix it:", *(f"- {markdown(reason)}" for reason in result.reasons)]
    changed = list(_what_changed(change)) if change is not None else []
    if changed:
        lines += ["What changed:", *(f"- {line}" for line in changed)]
    if result.message and result.failed:
        lines += [f"> {markdown(line)}" for line in result.message.splitlines() if line.strip()]
    if not lines:
        return ""
    place = f" ({markdown_code(result.declared_at)})" if result.declared_at else ""
    joint = " on " if result.kind == "pair" else ": "
    title = f"{markdown_code(short(result.model))}{joint}{markdown_code(result.board)}"
    body = "\n".join(_spaced(lines))
    opened = " open" if result.failed else ""
    return (
        f"<details{opened}><summary>{_verdict(row)} {title}{place}</summary>\n\n"
        f"{body}\n\n</details>"
    )


def _what_changed(change: Change) -> Iterator[str]:
    if change.status == "renamed":
        yield f"was {markdown_code(change.base_id)}"
    for delta in change.deltas:
        if delta.already_over_on_base:
            yield f"{LABELS[delta.metric]} was over this limit on the base already"
    yield from map(markdown, change.notes)
    yield from cause_lines(change.causes, _MARKUP)


def _spaced(lines: Sequence[str]) -> Iterator[str]:
    """A blank line wherever a list or a quotation begins or ends, as Markdown wants it."""
    before = ""
    for line in lines:
        if before and before[:2] != line[:2]:
            yield ""
        yield line
        before = line


def _agreed(result: PairResult, metric: Metric) -> bool:
    return any(each.metric == metric for each in result.accepted)


def _agreement(result: PairResult, metric: Metric) -> str:
    agreed = next(each for each in result.accepted if each.metric == metric)
    return (
        f"- 🤝 {LABELS[metric]} accepted up to {format_size(agreed.up_to)} "
        f"until {agreed.until.isoformat()}: {markdown(agreed.reason)}"
    )


def _footer(results: Sequence[PairResult]) -> str:
    counted_by = counted_for(results)
    if not counted_by:
        return ""
    notes = [f"Counted {markdown(' '.join(counted_by))}."]
    if any(measure.is_estimated for result in results for measure in result.measures):
        notes.append("~ holds an estimate, its margin included.")
    return f"<sub>{' '.join(notes)} 1 KB = 1024 B.</sub>"
