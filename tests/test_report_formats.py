"""OpenMetrics, code quality, CSV and JUnit, each read by a parser that nobody here wrote."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from report_changes import HOSTILE
from report_changes import changed
from report_changes import hostile_pair
from report_samples import KB
from report_samples import error
from report_samples import footprint
from report_samples import measure
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget import cli
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.report import codequality
from pytest_tinybudget.report import csv as csv_report
from pytest_tinybudget.report import junit
from pytest_tinybudget.report import openmetrics
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.types import PairResult


EVERY_KIND = [
    over(),
    pair("vad", outcome="warns", warnings=("close",), footprint=footprint()),
    refused(),
    error(),
    pair("wish", outcome="unmet", headline="not exact"),
]

#: What GitLab's parser demands of an entry, and the severities that its documentation names.
CODE_QUALITY = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "fingerprint", "severity", "location", "check_name"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "pattern": "^tinybudget-[a-z-]+$"},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string"},
                    "lines": {
                        "type": "object",
                        "required": ["begin"],
                        "properties": {"begin": {"type": "integer", "minimum": 1}},
                    },
                },
            },
        },
    },
}


# OpenMetrics


def samples(*results: PairResult) -> dict[tuple[str, str, str], float]:
    families = text_string_to_metric_families(openmetrics.render(results))
    return {
        (sample.name, sample.labels["model"], sample.labels["board"]): sample.value
        for family in families
        for sample in family.samples
    }


def test_openmetrics_has_every_size_in_bytes() -> None:
    board = "arduino-nano-33-ble"
    found = samples(*EVERY_KIND)
    assert found["tinybudget_flash_bytes", "kws", board] == 268 * KB + 307
    assert found["tinybudget_flash_limit_bytes", "kws", board] == 256 * KB
    assert found["tinybudget_ram_bytes", "kws", board] == 48 * KB
    assert found["tinybudget_ram_limit_bytes", "kws", board] == 64 * KB
    assert found["tinybudget_arena_bytes", "kws", board] == 46 * KB
    assert found["tinybudget_failed", "kws", board] == 1
    assert found["tinybudget_failed", "vad", board] == 0
    assert ("tinybudget_flash_bytes", "broken", board) not in found


def test_openmetrics_are_integers_which_gitlab_compares_as_text() -> None:
    lines = openmetrics.render(EVERY_KIND).splitlines()
    values = [line.rpartition(" ")[2] for line in lines if not line.startswith("#")]
    assert values
    assert all(value.isdecimal() for value in values)


def test_openmetrics_without_results_is_still_a_file_of_the_format() -> None:
    assert samples() == {}


@pytest.mark.parametrize("text", HOSTILE)
def test_openmetrics_labels_carry_hostile_names(text: str) -> None:
    models = {model for _, model, _ in samples(hostile_pair(text))}
    assert models == {printable(text, limit=500)}


def test_openmetrics_keep_their_order() -> None:
    assert openmetrics.render(EVERY_KIND) == openmetrics.render(EVERY_KIND[::-1])


# Code quality


def issues(*results: PairResult) -> list[Any]:
    found: list[Any] = json.loads(codequality.render(results))
    jsonschema.validate(found, CODE_QUALITY)
    return found


def test_code_quality_has_an_issue_for_each_reason_to_look() -> None:
    found = {(issue["check_name"], issue["severity"]) for issue in issues(*EVERY_KIND)}
    assert found == {
        ("tinybudget-flash-over", "critical"),
        ("tinybudget-warns", "minor"),
        ("tinybudget-refused", "critical"),
        ("tinybudget-error", "critical"),
        ("tinybudget-unmet", "critical"),
    }
    assert issues(pair()) == []


def test_code_quality_points_at_the_declaration() -> None:
    (issue,) = issues(over())
    assert issue["location"] == {"path": "tinybudget.toml", "lines": {"begin": 12}}
    assert issue["description"] == (
        "kws on arduino-nano-33-ble: flash: 268.3 of 256.0 KB (budget of models.kws)"
    )


def test_a_fingerprint_stays_when_the_overrun_grows_and_differs_by_pair_and_check() -> None:
    def fingerprints(*results: PairResult) -> list[str]:
        return [issue["fingerprint"] for issue in issues(*results)]

    worse = over(measures=(measure("flash", 300 * KB), measure("ram", 70 * KB, 64 * KB)))
    assert set(fingerprints(over())) < set(fingerprints(worse))
    everything = fingerprints(worse, over(board="esp32"), *EVERY_KIND[1:])
    assert len(set(everything)) == len(everything)


def test_growth_beyond_what_is_allowed_is_an_issue_of_its_own() -> None:
    grown = pair(outcome="over", grown=("ram",), headline="RAM grew by 9.0 KB, allowed are 1 KB")
    (issue,) = issues(grown)
    assert (issue["check_name"], issue["severity"]) == ("tinybudget-ram-grown", "major")


@pytest.mark.parametrize("text", HOSTILE)
def test_code_quality_takes_hostile_names(text: str) -> None:
    for issue in issues(hostile_pair(text)):
        assert issue["description"].isprintable()


# CSV


def rows(*results: PairResult, comparison: Any = None) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_report.render(results, comparison), newline="")))


def test_csv_has_a_row_for_each_pair() -> None:
    found = {row["model"]: row for row in rows(*EVERY_KIND)}
    assert list(found) == ["broken", "hybrid", "kws", "vad", "wish"]
    assert found["kws"]["flash_used"] == str(268 * KB + 307)
    assert found["kws"]["arena_required"] == str(46 * KB)
    assert found["broken"]["flash_used"] == ""
    assert found["broken"]["outcome"] == "error"


def test_csv_has_the_difference_where_there_is_a_baseline() -> None:
    results, comparison = changed()
    found = {row["model"]: row for row in rows(*results, comparison=comparison)}
    assert found["grown"]["flash_change"] == str(10 * KB)
    assert found["grown"]["flash_base_used"] == str(200 * KB)
    assert found["gone"]["status"] == "removed"
    assert found["same"]["flash_change"] == "0"
    assert found["added"]["flash_change"] == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_no_spreadsheet_takes_a_csv_cell_for_a_formula(text: str) -> None:
    (row,) = rows(hostile_pair(text))
    assert None not in row
    assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert row["model"].removeprefix("'") == printable(text, limit=500)


# JUnit


def test_junit_is_read_by_another_tool() -> None:
    document = junitparser.JUnitXml.fromstring(junit.render(EVERY_KIND).encode())
    (suite,) = document
    assert (suite.tests, suite.failures, suite.errors) == (5, 3, 1)
    cases = {case.classname: case for case in suite}
    (result,) = cases["kws"].result
    assert isinstance(result, junitparser.Failure)
    assert result.message == over().headline
    assert len({(case.classname, case.name) for case in suite}) == 5


@pytest.mark.parametrize("text", HOSTILE)
def test_junit_takes_hostile_names(text: str) -> None:
    (suite,) = junitparser.JUnitXml.fromstring(junit.render([hostile_pair(text)]).encode())
    assert suite.failures == 1


def test_junit_cases_of_two_declarations_do_not_hide_each_other() -> None:
    other = pair("kws", id="other/tinybudget.toml::kws::arduino-nano-33-ble")
    document = junitparser.JUnitXml.fromstring(junit.render([pair("kws"), other]).encode())
    assert len({(case.classname, case.name) for suite in document for case in suite}) == 2


# The command


@pytest.fixture
def results_file(tmp_path: Path) -> Path:
    path = tmp_path / "tinybudget.json"
    path.write_text(writer.render([over()]), encoding="ascii")
    return path


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("csv", "id,model,board,"),
        ("gitlab-codequality", "[\n"),
        ("html", "<!DOCTYPE html>"),
        ("json", "{\n"),
        ("junit", "<?xml"),
        ("markdown", "### ❌"),
        ("openmetrics", "# HELP tinybudget_flash_bytes"),
    ],
)
def test_report_writes_each_format_from_a_results_file(
    name: str, start: str, results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(results_file), "--format", name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(start)
    target = tmp_path / "deep" / "report"
    assert cli.main(["report", str(results_file), "--format", name, "-o", str(target)]) == 0
    assert target.read_text("utf-8") == printed


def test_report_as_json_is_the_results_file_again(
    results_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["report", str(results_file), "--format", "json"])
    assert capsys.readouterr().out == results_file.read_text("ascii")


@pytest.mark.parametrize("suffix", ["", "-0123abcd"])
def test_report_compares_with_a_baseline_named_after_its_commit(
    suffix: str, results_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / f"{'1a2b3c4d5e' * 4}{suffix}.json"
    base.write_text(writer.render([error("gone", model_sha256="")]), encoding="ascii")
    arguments = ["report", str(results_file), "--baseline", str(base), "--format"]
    cli.main([*arguments, "markdown"])
    assert "Compared with <code>commit 1a2b3c4d5e1a</code>" in capsys.readouterr().out
    cli.main([*arguments, "json"])
    comparison = json.loads(capsys.readouterr().out)
    assert {change["id"]: change["status"] for change in comparison["changes"]} == {
        "tinybudget.toml::gone::arduino-nano-33-ble": "removed",
        "tinybudget.toml::kws::arduino-nano-33-ble": "new",
    }


def test_report_if_changed_is_silent_where_all_is_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_text(writer.render([pair(measures=())]), encoding="ascii")
    other.write_text(writer.render([pair("vad", measures=())]), encoding="ascii")
    quiet = ["report", str(same), "--format", "markdown", "--if-changed", "--baseline"]
    assert cli.main([*quiet, str(same)]) == 0
    assert capsys.readouterr().out == ""
    assert cli.main([*quiet, str(other)]) == 0
    assert "Memory budgets" in capsys.readouterr().out


def test_report_says_what_is_wrong_with_a_results_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"pairs": [', encoding="ascii")
    assert cli.main(["report", str(broken), "--format", "html"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
