"""GitHub Actions: annotations, the step summary and a step's outputs.

Active where GitHub says so by its environment variables; each of the three is left out where its
own variable is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.paths import Place
from pytest_tinybudget.base.paths import hosted_path
from pytest_tinybudget.report.escape import command_message
from pytest_tinybudget.report.escape import command_property
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.review import Block
from pytest_tinybudget.report.review import blocks_of
from pytest_tinybudget.report.review import boards_text
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.report.review import told_once
from pytest_tinybudget.report.verdicts import count_text
from pytest_tinybudget.report.verdicts import counted
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison


#: GitHub shows about ten annotations of a step; the tenth of ours counts the rest.
_ANNOTATIONS = 9

#: Longer tables are folded in the log.
_OPEN_LINES = 24

#: GitHub shows nothing of a summary above 1 MiB, and other steps' text may be in the file.
_SUMMARY_BYTES = 900_000

#: The longest UTF-8 sequence.
_BYTES_A_CHARACTER = 4

#: Below this a summary says nothing of use.
_LEAST_CHARACTERS = 2_000


def publish(
    results: Sequence[PairResult],
    comparison: Comparison | None,
    environment: Mapping[str, str],
    *,
    root: Path,
    print_line: Callable[[str], object],
) -> None:
    """Print the annotations, append to the step summary, set the outputs.

    ``root`` is what the results' paths are relative to. A file that cannot be written is told
    as a warning: what GitHub shows is not what the gate decides by.
    """
    place = partial(hosted_path, root, workspace=environment.get("GITHUB_WORKSPACE"))
    for line in annotation_lines(results, comparison, place):
        print_line(line)
    values = outputs(results, comparison)
    texts: dict[str, Callable[[Path], str]] = {
        "GITHUB_STEP_SUMMARY": lambda file: _summary(results, comparison, file),
        "GITHUB_OUTPUT": lambda _: "".join(f"{name}={value}\n" for name, value in values.items()),
    }
    for variable, text in texts.items():
        file = environment.get(variable)
        if not file:
            continue
        try:
            with Path(file).open("a", encoding="utf-8", newline="\n") as stream:
                stream.write(text(Path(file)))
        except OSError as error:
            reason = command_message(f"{variable} cannot be written: {error.strerror}")
            print_line(f"::warning title=memory budgets::{reason}")


def group(title: str, lines: Sequence[Line]) -> list[Line]:
    """``lines`` as a group of the log, which the reader opens; the last one stays below it.

    What is short stays open.
    """
    if len(lines) <= _OPEN_LINES:
        return list(lines)
    return [Line(f"::group::{title}"), *lines[:-1], Line("::endgroup::"), lines[-1]]


def annotation_lines(
    results: Sequence[PairResult], comparison: Comparison | None = None, place: Place = str
) -> Iterator[str]:
    """Workflow commands for what fails or warns, at the declaration's own line: one a model.

    Failures of this change come first, then by severity. ``place`` turns the path of a
    declaration into what GitHub knows the file by.
    """
    told = [
        row
        for row in rows_of(results, comparison)
        if not row.is_gone and (row.result.failed or row.result.outcome == "warns")
    ]
    blocks = blocks_of(told)
    shown = _ANNOTATIONS
    pairs = [row.result for row in told]
    hidden = {pair.id for pair in pairs if pair.failed}
    hidden |= {row.result.id for block in blocks[shown:] for row in block.rows}
    if any(pair.growth_unchecked and pair.id in hidden for pair in pairs):
        shown -= 1  # no limit of GitHub's must swallow what was not looked at
        yield _unchecked_line([pair for pair in pairs if pair.growth_unchecked])
    for block in blocks[:shown]:
        level = _level([row.result for row in block.rows])
        message = "%0A".join(map(command_message, _lines(block)))
        yield f"::{level} {_properties(block, place)}::{message}"
    rest = [row.result for block in blocks[shown:] for row in block.rows]
    if rest:
        level = _level(rest)
        more = f"{len(rest)} more: {count_text(rest).partition(': ')[2]}"
        yield f"::{level} title=memory budgets::{command_message(more)}"


def _level(pairs: Sequence[PairResult]) -> str:
    """The command of an annotation: an error where the run fails for one of ``pairs``."""
    if any(pair.fails_run for pair in pairs):
        return "error"
    return "notice" if all(pair.informational for pair in pairs) else "warning"


def _unchecked_line(pairs: Sequence[PairResult]) -> str:
    """A warning that growth was not checked, unless each pair's annotation says so already."""
    why = pairs[0].growth_unchecked
    several = len({pair.growth_unchecked for pair in pairs}) > 1
    text = f"growth not checked for {counted(len(pairs), 'pair')}: {why}"
    more = " (and other reasons)" if several else ""
    return f"::warning title=memory budgets::{command_message(text + more)}"


def outputs(results: Sequence[PairResult], comparison: Comparison | None) -> dict[str, str | int]:
    """The step outputs for later steps: fixed words and integers, so nothing needs escaping."""
    failed = sum(pair.fails_run for pair in results)
    changed = len(comparison.different) if comparison and comparison.base else 0
    standings = [row.standing for row in rows_of(results, comparison)]
    return {
        "verdict": "failed" if failed else "passed",
        "pairs": len(results),
        "failed": failed,
        "new_failures": standings.count("new failure"),
        "old_failures": standings.count("old failure"),
        "informational": sum(pair.failed and pair.informational for pair in results),
        "warned": sum(pair.outcome == "warns" for pair in results),
        "changed": changed,
    }


def _properties(block: Block, place: Place) -> str:
    worst = block.groups[0].worst.result
    file, _, line = worst.declared_at.rpartition(":")
    properties = {"file": place(file), "line": line} if file else {}
    boards = [row.result.board for row in block.rows]
    properties["title"] = worst.title
    if len(boards) > 1:
        properties["title"] = f"{block.model} on {boards_text(boards, len(boards))}"
    return ",".join(f"{name}={command_property(value)}" for name, value in properties.items())


def _lines(block: Block) -> Iterator[str]:
    """What is wrong on each board, in a line; then all that is to be said of the worst."""
    several = len(block.rows) > 1
    for group in block.groups:
        on = f"{block.boards_of(group)}: " if several else ""
        result = group.worst.result
        said = group.why if len(group.rows) > 1 else result.headline
        yield on + (f"informational: {said}" if result.failed and result.informational else said)
    worst = block.groups[0].worst.result
    yield from worst.reasons
    rows = block.rows
    yield from told_once(rows, lambda result: result.warnings)
    yield from worst.message.splitlines() if worst.failed else ()


def _summary(results: Sequence[PairResult], comparison: Comparison | None, file: Path) -> str:
    from pytest_tinybudget.report import markdown

    try:
        taken = file.stat().st_size
    except OSError:
        taken = 0
    room = (_SUMMARY_BYTES - taken) // _BYTES_A_CHARACTER
    if room < _LEAST_CHARACTERS:
        return ""
    return markdown.render(results, comparison, limit=min(room, markdown.LIMIT_CHARACTERS))
