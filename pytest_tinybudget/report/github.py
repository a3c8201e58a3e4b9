"""GitHub Actions: annotations, the step summary and a step's outputs.

Active where GitHub says so by its environment variables; each of the three is left out where its
own variable is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.report.escape import command_message
from pytest_tinybudget.report.escape import command_property
from pytest_tinybudget.report.terminal import count_text
from pytest_tinybudget.report.terminal import counted
from pytest_tinybudget.report.terminal import worst_first
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison


#: GitHub shows about ten annotations of a step; the tenth of ours counts the rest.
_ANNOTATIONS = 9

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
    for line in annotation_lines(results, _prefix(root, environment)):
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


def annotation_lines(results: Sequence[PairResult], prefix: str = "") -> Iterator[str]:
    """Workflow commands for what fails or warns, worst first, at the declaration's own line.

    ``prefix`` leads from the workspace to what the results' paths are relative to.
    """
    ordered = sorted(results, key=worst_first)
    told = [pair for pair in ordered if pair.failed or pair.outcome == "warns"]
    shown = _ANNOTATIONS
    hidden = {pair.id for pair in told if pair.failed} | {pair.id for pair in told[shown:]}
    if any(pair.growth_unchecked and pair.id in hidden for pair in told):
        shown -= 1  # no limit of GitHub's must swallow what was not looked at
        yield _unchecked_line([pair for pair in told if pair.growth_unchecked])
    for pair in told[:shown]:
        level = "error" if pair.failed else "warning"
        yield f"::{level} {_place(pair, prefix)}::{'%0A'.join(map(command_message, _lines(pair)))}"
    rest = told[shown:]
    if rest:
        level = "error" if any(pair.failed for pair in rest) else "warning"
        more = f"{len(rest)} more: {count_text(rest).partition(': ')[2]}"
        yield f"::{level} title=memory budgets::{command_message(more)}"


def _unchecked_line(pairs: Sequence[PairResult]) -> str:
    """A warning that growth was not checked, unless each pair's annotation says so already."""
    why = pairs[0].growth_unchecked
    several = len({pair.growth_unchecked for pair in pairs}) > 1
    text = f"growth not checked for {counted(len(pairs), 'pair')}: {why}"
    more = " (and other reasons)" if several else ""
    return f"::warning title=memory budgets::{command_message(text + more)}"


def outputs(results: Sequence[PairResult], comparison: Comparison | None) -> dict[str, str | int]:
    """The step outputs for later steps: fixed words and integers, so nothing needs escaping."""
    failed = sum(pair.failed for pair in results)
    changed = len(comparison.different) if comparison and comparison.base else 0
    return {
        "verdict": "failed" if failed else "passed",
        "pairs": len(results),
        "failed": failed,
        "warned": sum(pair.outcome == "warns" for pair in results),
        "changed": changed,
    }


def _place(pair: PairResult, prefix: str) -> str:
    file, _, line = pair.declared_at.rpartition(":")
    properties = {"file": f"{prefix}{file}", "line": line} if file else {}
    properties["title"] = pair.title
    return ",".join(f"{name}={command_property(value)}" for name, value in properties.items())


def _lines(pair: PairResult) -> Iterator[str]:
    yield pair.headline
    yield from pair.reasons
    yield from pair.warnings
    yield from pair.message.splitlines() if pair.failed else ()


def _prefix(root: Path, environment: Mapping[str, str]) -> str:
    """From the workspace to ``root``: GitHub wants paths as the repository has them."""
    workspace = environment.get("GITHUB_WORKSPACE")
    if not workspace or not root.resolve().is_relative_to(Path(workspace).resolve()):
        return ""
    inside = root.resolve().relative_to(Path(workspace).resolve()).as_posix()
    return "" if inside == "." else f"{inside}/"


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
