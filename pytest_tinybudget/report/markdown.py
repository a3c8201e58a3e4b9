"""Markdown for pull requests: step summary and comment, one block a model, new failures first.

All text that comes from models and declarations is escaped. A size limit is kept by leaving out
what matters least, and what was left out is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.report.escape import markdown
from pytest_tinybudget.report.escape import markdown_code
from pytest_tinybudget.report.review import NAMED_BOARDS
from pytest_tinybudget.report.review import Block
from pytest_tinybudget.report.review import Group
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import Standing
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.report.review import told_once
from pytest_tinybudget.report.review import verdict_text
from pytest_tinybudget.report.verdicts import count_text
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.report.verdicts import counted_for
from pytest_tinybudget.report.verdicts import percent_text
from pytest_tinybudget.report.verdicts import verdict
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.report.why import Markup
from pytest_tinybudget.report.why import cause_lines
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import METRICS
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.results.metrics import table_metrics
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

#: What is in the table at the top and in details.
_FIRST: tuple[Standing, ...] = ("new failure", "changed")

#: What is behind a title that the reader opens, and what the title says of it.
_FOLDED: dict[Standing, str] = {
    "old failure": "failed before this change already",
    "quiet": "unchanged",
}

#: What a row says of why, at most.
_WHY_CELLS = 70

#: Advice and boards that a detail lists; the page and ``tinybudget explain`` have all of them.
_LISTED = 4


def render(
    results: Sequence[PairResult],
    comparison: Comparison | None = None,
    *,
    limit: int = LIMIT_CHARACTERS,
) -> str:
    """The report in at most ``limit`` characters (from 2,000 on)."""
    rows = rows_of(results, comparison)
    blocks = blocks_of(rows)
    writer = _Writer(limit - _RESERVE)
    writer.add("\n".join(_heading(results, blocks, comparison)))
    compared = comparison is not None and bool(comparison.base)
    metrics = table_metrics(each.metric for row in rows for each in row.result.measures)
    first = _FIRST if compared else (*_FIRST, *_FOLDED)
    writer.table(*_table(blocks, first, metrics, compared), "pair")
    opened = False
    for block in blocks:
        details = _details(block, opened=not opened and block.standing == "new failure")
        opened = opened or bool(details)
        writer.add(details, "detail")
    for standing, said in _FOLDED.items() if compared else ():
        count = sum(row.standing == standing for row in rows)
        if count:
            table = _table(blocks, (standing,), metrics, compared)
            writer.folded(f"{counted(count, 'pair')} {said}", *table, "pair")
    writer.add(_footer(results), "note")
    return writer.text()


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


def _heading(
    results: Sequence[PairResult], blocks: Sequence[Block], comparison: Comparison | None
) -> Iterator[str]:
    sign = "✅"
    if any(result.growth_unchecked for result in results):
        sign = "⚠️"  # green means looked at
    if any(result.fails_run for result in results):
        sign = "❌"
    yield f"### {sign} Memory budgets: {verdict(results)}"
    yield ""
    yield f"{markdown(count_text(results))}.{_compared_with(blocks, comparison)}"
    for note in comparison.notes if comparison else ():
        yield f"\n> {markdown(note)}"


def _compared_with(blocks: Sequence[Block], comparison: Comparison | None) -> str:
    if comparison is None or not comparison.base:
        return ""
    found = (
        verdict_text([row.standing for block in blocks for row in block.rows])
        if comparison.changes
        else "no pairs"
    )
    return f" Compared with {markdown_code(comparison.base)}: {found}."


def _head(metrics: Sequence[Metric], compared: bool, why: bool) -> str:
    names = ["", "model", "board", *(["why"] if why else [])]  # in view on a telephone
    align = [" --- "] * len(names)
    for metric in metrics:
        names += [LABELS[metric], *(["change"] if compared else [])]
    align += [" ---: "] * (len(names) - len(align))
    return f"| {' | '.join(names)} |\n|{'|'.join(align)}|"


def _table(
    blocks: Sequence[Block],
    standings: Sequence[Standing],
    metrics: Sequence[Metric],
    compared: bool,
) -> tuple[str, list[str]]:
    """Head and rows of the groups that stand so; a column for why where one has a reason."""
    found = [
        (block, group)
        for block in blocks
        for group in block.groups
        if group.worst.standing in standings
    ]
    why = any(group.why for _, group in found)
    rows = [_row(block, group, metrics, compared, why) for block, group in found]
    return _head(metrics, compared, why), rows


def _row(block: Block, group: Group, metrics: Sequence[Metric], compared: bool, why: bool) -> str:
    model = markdown_code(short(block.model))
    if group.worst.status:
        model += f" {group.worst.status}"
    cells = [_verdict(group.worst), model, _boards(block, group)]
    if why:
        cells.append(markdown(short(group.why, _WHY_CELLS)))
    for metric in metrics:
        cells.append(_size(group, metric))
        if compared:
            text = group.change(metric)
            grown = any(delta.too_much_growth for delta in group.deltas(metric))
            cells.append(f"**{text}**" if text and grown else text)
    return f"| {' | '.join(cells)} |"


def _boards(block: Block, group: Group) -> str:
    names = [result.board for result in group.results]
    if len(names) > NAMED_BOARDS:
        return markdown(block.boards_of(group))
    return ", ".join(map(markdown_code, names))


def _verdict(row: Row) -> str:
    if row.is_gone:
        return "➖ gone"
    if row.result.accepted:
        return f"🤝 {word(row.result)}"
    if row.result.failed and row.result.informational:
        return f"ℹ️ {word(row.result)}"
    return f"{_SIGNS[row.result.outcome]} {word(row.result)}"


def _size(group: Group, metric: Metric) -> str:
    sizes = group.sizes(metric)
    if not sizes:
        return ""
    fullest = max(sizes, key=lambda each: each.used / each.limit if each.limit else 0)
    estimated = "~" if any(each.is_estimated for each in sizes) else ""
    ratio = f"{group.ratio(metric)} ({percent_text(fullest)})"
    return f"**{estimated}{ratio}**" if any(each.over for each in sizes) else estimated + ratio


def _details(block: Block, *, opened: bool) -> str:
    """Why a model fails or what changed in it; empty where the tables say all."""
    groups = [each for each in block.groups if each.worst.standing in _FIRST]
    rows = [row for group in groups for row in group.rows]
    lines = [line for group in groups for line in _headlines(block, group)]
    lines += [f"- ⚠️ {markdown(text)}" for text in told_once(rows, lambda each: each.warnings)]
    failing = [row for row in rows if row.result.failed]
    lines += [f"- {markdown(text)}" for text in told_once(failing, _place_texts)]
    lines += [f"- {markdown(text)}" for text in told_once(rows, _declared_figures)]
    lines += [f"- 🤝 {markdown(text)}" for text in told_once(rows, _agreements)]
    lines += _advice(failing)
    changed = [row.change for row in rows if row.change is not None and row.change.base is not None]
    texts = list(_what_changed(changed)) if changed else []
    if texts:
        lines += ["What changed:", *(f"- {text}" for text in texts)]
    message = rows[0].result.message if failing else ""
    lines += [f"> {markdown(line)}" for line in message.splitlines() if line.strip()]
    if not lines:
        return ""
    declared = rows[0].result.declared_at
    place = f" ({markdown_code(declared)})" if declared else ""
    named = [group for group in groups if group.worst.result.failed] or groups
    on = ", ".join(_boards(block, group) for group in named)
    title = f"{markdown_code(short(block.model))} on {on}{place}"
    body = "\n".join(_spaced(lines))
    return (
        f"<details{' open' * opened}><summary>{_verdict(groups[0].worst)} {title}</summary>\n\n"
        f"{body}\n\n</details>"
    )


def _headlines(block: Block, group: Group) -> Iterator[str]:
    """What is to be said of the boards of a group, that of the worst one in full."""
    result = group.worst.result
    if result.outcome == "fits" and not result.accepted and not result.grown:
        return
    several = len(block.groups) > 1 or len(group.rows) > 1
    start = f"{markdown_code(result.board)}: " if several else ""
    yield f"{start}{markdown(result.headline)}"
    others = [row.result.board for row in group.rows[1:]]
    if others:
        named = ", ".join(map(markdown_code, others[:_LISTED]))
        rest = len(others) - _LISTED
        yield f"The same on {named}{f' and {rest} more' if rest > 0 else ''}."


def _advice(failing: Sequence[Row]) -> Iterator[str]:
    """What would fix the worst of the failing pairs."""
    if not failing or not failing[0].result.reasons:
        return
    worst = failing[0].result
    on = f" on {markdown_code(worst.board)}" if len(failing) > 1 else ""
    yield f"What would fix it{on}:"
    yield from (f"- {markdown(reason)}" for reason in worst.reasons[:_LISTED])
    rest = len(worst.reasons) - _LISTED
    if rest > 0:
        command = markdown_code(f"tinybudget explain {worst.id}")
        yield f"- and {rest} more: {command}"


def _place_texts(result: PairResult) -> list[str]:
    return [place.text for place in result.places if place.is_unusual or place.free < 0]


def _declared_figures(result: PairResult) -> list[str]:
    return [f"{each.text}: {each.basis}" for each in result.figures if each.limit is not None]


def _what_changed(changes: Sequence[Change]) -> Iterator[str]:
    """The causes of a model's changes, once for all its boards."""
    worst = changes[0]
    if worst.status == "renamed":
        yield f"was {markdown_code(worst.base_id)}"
    for metric in METRICS:
        deltas = [each for change in changes if (each := change.delta(metric))]
        if any(delta.already_over_on_base for delta in deltas):
            yield f"{LABELS[metric]} was over this limit on the base already"
    yield from map(markdown, dict.fromkeys(note for change in changes for note in change.notes))
    yield from cause_lines([change.causes for change in changes], _MARKUP)


def _spaced(lines: Sequence[str]) -> Iterator[str]:
    """A blank line wherever a list or a quotation begins or ends, as Markdown wants it."""
    before = ""
    for line in lines:
        if before and before[:2] != line[:2]:
            yield ""
        yield line
        before = line


def _agreements(result: PairResult) -> list[str]:
    return [f"{LABELS[agreed.metric]} {agreed.text}" for agreed in result.accepted]


def _footer(results: Sequence[PairResult]) -> str:
    counted_by = counted_for(results)
    if not counted_by:
        return ""
    notes = [f"Counted {markdown(' '.join(counted_by))}."]
    if any(measure.is_estimated for result in results for measure in result.measures):
        notes.append("~ holds an estimate, its margin included.")
    if any(result.failed and result.informational for result in results):
        notes.append("INFO fails and is informational: it never fails the run.")
    return f"<sub>{' '.join(notes)} 1 KB = 1024 B.</sub>"
