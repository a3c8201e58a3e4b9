"""GitLab's code-quality report: what fails or warns, at the line of the declaration to edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Literal

from pytest_tinybudget.base.paths import Place
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.report.terminal import measure_line
from pytest_tinybudget.results.types import PairResult


#: GitLab's severities, of those that are used here.
_Severity = Literal["info", "minor", "major", "critical"]

_CHARACTERS = 500


def render(results: Iterable[PairResult], place: Place = str) -> str:
    """A JSON array with an issue for each limit exceeded and each other reason to look.

    ``place`` turns the path of a declaration into the repository's.

    A fingerprint is made of pair and check, not of sizes: GitLab takes an overrun that grew for
    the same issue, not for a new one.
    """
    issues = [
        {
            "check_name": check,
            "description": printable(f"{pair.title}: {text}", limit=_CHARACTERS),
            "fingerprint": _fingerprint(pair, check),
            "severity": "info" if pair.informational else severity,
            "location": _location(pair, place),
        }
        for pair in sorted(results, key=lambda pair: pair.id)
        for check, severity, text in _findings(pair)
    ]
    return json.dumps(issues, indent=2, sort_keys=True) + "\n"


def _findings(pair: PairResult) -> Iterator[tuple[str, _Severity, str]]:
    over = [measure for measure in pair.measures if measure.over]
    for measure in over if pair.outcome == "over" else ():
        yield f"tinybudget-{measure.metric}-over", "critical", measure_line(measure)
    for metric in pair.grown:
        yield f"tinybudget-{metric}-grown", "major", pair.headline
    if pair.failed and not pair.grown and not (pair.outcome == "over" and over):
        yield f"tinybudget-{pair.outcome}", "critical", pair.headline
    if pair.outcome == "warns":
        yield "tinybudget-warns", "minor", "; ".join(pair.warnings) or pair.headline


def _fingerprint(pair: PairResult, check: str) -> str:
    return hashlib.sha256(f"{pair.id}\n{check}".encode(errors="backslashreplace")).hexdigest()


def _location(pair: PairResult, place: Place) -> dict[str, object]:
    file, _, line = pair.declared_at.rpartition(":")
    path = file or pair.id.partition("::")[0]
    return {"path": place(path), "lines": {"begin": int(line) if file and line.isdigit() else 1}}
