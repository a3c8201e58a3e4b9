"""SARIF 2.1.0 for code scanning: what fails or warns, at the line of the declaration to edit.

The rules are the error codes. https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_tinybudget.base.codes import CODES
from pytest_tinybudget.base.paths import Place
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import tool_version


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison


_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"

#: The rule of a pair that passes with a warning; it has no code of an error.
_WARNING = "warning"

_CHARACTERS = 1000


def render(
    results: Sequence[PairResult], comparison: Comparison | None = None, place: Place = str
) -> str:
    """A log with one run; a result for each code of each pair that fails, and for each warning.

    ``place`` turns the path of a declaration into the repository's. A
    fingerprint is made of pair and code, not of sizes, so that an overrun that grew is the same
    finding. With a comparison a result says whether the change brought it (``baselineState``).
    """
    found = [
        (code, row)
        for row in sorted(rows_of(results, comparison), key=lambda row: row.result.id)
        if not row.is_gone
        for code in _codes(row.result)
    ]
    codes = sorted({code for code, _ in found})
    run = {
        "tool": {
            "driver": {
                "name": "pytest-tinybudget",
                "version": tool_version(),
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(code, codes.index(code), row, place) for code, row in found],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2) + "\n"


def _codes(pair: PairResult) -> Iterator[str]:
    if pair.failed:
        yield from pair.codes or ("TB020",)
    elif pair.outcome == "warns":
        yield _WARNING


def _rule(code: str) -> dict[str, object]:
    if code == _WARNING:
        return {
            "id": code,
            "name": "PassesWithAWarning",
            "shortDescription": {"text": "the pair passes, and asks for attention"},
            "defaultConfiguration": {"level": "warning"},
        }
    entry = CODES[code]
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in entry.title.split() if word.isalnum()),
        "shortDescription": {"text": entry.title},
        "fullDescription": {"text": entry.meaning},
        "help": {"text": entry.advice},
        "defaultConfiguration": {"level": "error"},
    }


def _result(code: str, index: int, row: Row, place: Place) -> dict[str, object]:
    pair = row.result
    said = pair.headline if pair.failed else "; ".join(pair.warnings) or pair.headline
    found: dict[str, object] = {
        "ruleId": code,
        "ruleIndex": index,
        "level": _level(pair),
        "message": {"text": printable(f"{pair.title}: {said}", limit=_CHARACTERS)},
        "locations": [{"physicalLocation": _location(pair, place)}],
        "partialFingerprints": {"pairAndCode/v1": _fingerprint(pair, code)},
    }
    if row.change is not None and row.change.base is not None:
        found["baselineState"] = "new" if row.standing == "new failure" else "unchanged"
    return found


def _level(pair: PairResult) -> str:
    if pair.informational:
        return "note"
    return "error" if pair.failed else "warning"


def _location(pair: PairResult, place: Place) -> dict[str, object]:
    file, _, line = pair.declared_at.rpartition(":")
    path = file or pair.id.partition("::")[0]
    from urllib.parse import quote

    return {
        "artifactLocation": {"uri": quote(place(path), errors="surrogatepass")},
        "region": {"startLine": max(1, int(line)) if file and line.isdigit() else 1},
    }


def _fingerprint(pair: PairResult, code: str) -> str:
    return hashlib.sha256(f"{pair.id}\n{code}".encode(errors="backslashreplace")).hexdigest()
