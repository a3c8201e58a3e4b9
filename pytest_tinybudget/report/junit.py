"""JUnit XML for ``tinybudget check``; under pytest, pytest's own ``--junitxml`` does this."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Iterable

import junit_xml  # type: ignore[import-untyped]

from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.report.terminal import measure_line
from pytest_tinybudget.results.types import PairResult


def render(results: Iterable[PairResult]) -> str:
    """A suite for each ``tinybudget.toml``, a case for each pair, sorted by ``id``.

    Over budget and refused are failures, what could not be measured is an error. What fails and is
    informational is neither: it is skipped, as pytest has tests that are expected to fail.
    """
    pairs = sorted(results, key=lambda pair: pair.id)
    count = Counter((pair.model, pair.board) for pair in pairs)
    suites = defaultdict(list)
    for pair in pairs:
        file = clean(pair.id.partition("::")[0], PLAIN)
        name = clean(pair.model, PLAIN)
        # GitLab drops all but one of the cases whose class and name are the same.
        unique = count[pair.model, pair.board] == 1
        suites[file].append(_case(pair, name if unique else f"{file}::{name}"))
    return str(
        junit_xml.to_xml_report_string(
            [junit_xml.TestSuite(name, cases) for name, cases in sorted(suites.items())]
        )
    )


def _case(pair: PairResult, class_name: str) -> junit_xml.TestCase:
    facts = [pair.headline, *map(measure_line, pair.measures)]
    facts += [place.text for place in pair.places]
    facts += [*(f"{figure.text}: {figure.basis}" for figure in pair.figures), *pair.warnings]
    headline, *others = (clean(fact, PLAIN) for fact in facts)
    file, _, line = pair.declared_at.rpartition(":")
    case = junit_xml.TestCase(
        clean(pair.board, PLAIN),
        classname=class_name,
        file=clean(file, PLAIN),
        line=line,
        stdout="\n".join([headline, *others]),
    )
    if pair.failed and pair.informational:
        said = f"informational, fails no run: {headline}"
        case.add_skipped_info(said, failure(pair, verbosity=1))
    elif pair.outcome == "error":
        case.add_error_info(headline, failure(pair, verbosity=1), error_type="not measured")
    elif pair.failed:
        case.add_failure_info(headline, failure(pair, verbosity=1), failure_type=pair.outcome)
    return case
