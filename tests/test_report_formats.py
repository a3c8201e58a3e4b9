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
from sarif_pydantic import Sarif

from pytest_tinybudget import cli
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.report import codequality
from pytest_tinybudget.report import csv as csv_report
from pytest_tinybudget.report import digest
from pytest_tinybudget.report import formats
from pytest_tinybudget.report import junit
from pytest_tinybudget.report import openmetrics
from pytest_tinybudget.report import sarif
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import own_results
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


# SARIF


def sarif_results(*results: PairResult, **more: Any) -> list[Any]:
    """The findings of a log that a reader nobody here wrote accepts."""
    log = Sarif.model_validate_json(sarif.render(results, **more))
    (run,) = log.runs
    for finding in run.results:
        assert run.tool.driver.rules[finding.rule_index].id == finding.rule_id
    return list(run.results)


def test_sarif_has_a_finding_for_each_code_at_the_declarations_line() -> None:
    fat = over(measures=(measure("flash", 300 * KB), measure("ram", 65 * KB, 64 * KB)))
    findings = sarif_results(fat, pair(), pair("near", outcome="warns", warnings=("close",)))
    assert [(each.rule_id, each.level.value) for each in findings] == [
        ("TB001", "error"),
        ("TB002", "error"),
        ("warning", "warning"),
    ]
    place = findings[0].locations[0].physical_location
    assert place.artifact_location.uri == "tinybudget.toml"
    assert place.region.start_line == 12
    assert "close" in findings[2].message.text


def test_a_sarif_finding_is_the_same_while_its_overrun_grows() -> None:
    small, large = (over(measures=(measure("flash", used * KB),)) for used in (300, 400))
    (first,), (second,) = sarif_results(small), sarif_results(large)
    assert first.partial_fingerprints == second.partial_fingerprints
    (other,) = sarif_results(over("other"))
    assert other.partial_fingerprints != first.partial_fingerprints


def test_sarif_says_what_the_change_brought() -> None:
    (run,) = json.loads(sarif.render(*changed()))["runs"]
    states = {
        each["message"]["text"].partition(" on ")[0]: each.get("baselineState")
        for each in run["results"]
    }
    assert states["broken"] == "unchanged"
    assert states["fat"] is None, "a new pair is not on the base"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_stay_text_in_sarif_and_digest(text: str) -> None:
    finding, *_ = sarif_results(hostile_pair(text))
    assert "\u202e" not in finding.message.text
    (row,) = json.loads(digest.render([hostile_pair(text)]))["results"]
    assert row["model"] == text


def test_paths_of_a_folder_are_those_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    folder = tmp_path / "firmware" / "sensor"
    folder.mkdir(parents=True)
    (issue,) = json.loads(formats.render("gitlab-codequality", [over()], root=folder))
    assert issue["location"]["path"] == "firmware/sensor/tinybudget.toml"
    log = Sarif.model_validate_json(formats.render("sarif", [over()], root=folder))
    place = log.runs[0].results[0].locations[0].physical_location
    assert place.artifact_location.uri == "firmware/sensor/tinybudget.toml"
    (issue,) = json.loads(formats.render("gitlab-codequality", [over()], root=tmp_path))
    assert issue["location"]["path"] == "tinybudget.toml"


# The digest


def test_the_digest_has_verdict_counts_and_a_line_for_each_pair() -> None:
    results, comparison = changed()
    text = digest.render(results, comparison)
    found = json.loads(text)
    assert found["verdict"] == "failed"
    assert (found["pairs"], found["failed"]) == (len(results), 3)
    assert (found["new_failures"], found["old_failures"]) == (2, 1)
    rows = {row["model"]: row for row in found["results"]}
    assert rows["grown"]["flash"] == [210 * KB, 256 * KB, 10 * KB]
    assert rows["added"]["flash"][2] is None
    assert rows["gone"]["outcome"] == "gone"
    assert rows["fat"]["why"] == "flash over by 12.3 KB"
    assert rows["fat"]["codes"] == ["TB001"]
    assert len(text.splitlines()) == len(found["results"]) + 2


def test_a_digest_of_40_pairs_is_under_20_kb() -> None:
    boards = [f"board-number-{number}" for number in range(4)]
    results = [over(f"model-number-{number}", board) for number in range(10) for board in boards]
    assert len(digest.render(results)) < 20_000


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
        ("digest", '{"schema_version":1,'),
        ("gitlab-codequality", "[\n"),
        ("html", "<!DOCTYPE html>"),
        ("json", "{\n"),
        ("junit", "<?xml"),
        ("markdown", "### ❌"),
        ("openmetrics", "# HELP tinybudget_flash_bytes"),
        ("sarif", '{\n  "$schema"'),
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


def test_reports_name_files_as_the_repository_does_wherever_it_is_checked_out(
    tmp_path: Path,
) -> None:
    """``actions/checkout`` with ``path:``, a subfolder as the working folder, and no repository."""
    (tmp_path / "firmware" / ".git").mkdir(parents=True)
    declared = "firmware/sub/tinybudget.toml:3"
    beside = [over(declared_at=declared)]
    (issue,) = json.loads(formats.render("gitlab-codequality", beside, root=tmp_path))
    assert issue["location"]["path"] == "sub/tinybudget.toml"
    (found,) = json.loads(formats.render("sarif", beside, root=tmp_path))["runs"][0]["results"]
    place = found["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == "sub/tinybudget.toml"
    below = [over(declared_at="tinybudget.toml:3")]
    root = tmp_path / "firmware" / "sub"
    (issue,) = json.loads(formats.render("gitlab-codequality", below, root=root))
    assert issue["location"]["path"] == "sub/tinybudget.toml"
    (issue,) = json.loads(formats.render("gitlab-codequality", below, root=tmp_path))
    assert issue["location"]["path"] == "tinybudget.toml"


def test_the_digest_of_forty_failing_pairs_is_below_twenty_kilobytes() -> None:
    """As large as it gets: two sizes over and grown, warnings, and names of usual length."""
    boards = ("arduino-nano-33-ble", "raspberry-pi-pico", "esp32", "stm32f746g-discovery")
    sizes = (measure("flash", 300 * KB, 256 * KB), measure("ram", 300 * KB, 256 * KB))
    results = [
        over(f"keyword_spotting_{number}", board, measures=sizes, id=f"t.toml::m{number}::{board}")
        for number in range(10)
        for board in boards
    ]
    comparison = compare(own_results(results, "commit 1a2b"), own_results(results, ""))
    text = digest.render(results, comparison)
    assert len(json.loads(text)["results"]) == 40
    assert len(text.encode()) < 20_000


def test_the_digest_names_the_file_where_there_are_several() -> None:
    twins = [over(id="a/tinybudget.toml::kws::b"), over(id="b/tinybudget.toml::kws::b")]
    files = {each["file"] for each in json.loads(digest.render(twins))["results"]}
    assert files == {"a/tinybudget.toml", "b/tinybudget.toml"}
    assert "file" not in json.loads(digest.render(twins[:1]))["results"][0]
