"""Informational: a pair, a group or a run is reported in full, and never fails the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import needs_xdist
from junitparser import JUnitXml
from junitparser import Skipped
from report_samples import KB
from report_samples import error
from report_samples import measure
from report_samples import over
from report_samples import pair
from small_projects import declare
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.comparison import Comparison
from pytest_tinybudget.commands.outcome import exit_code
from pytest_tinybudget.report import github
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import terminal
from pytest_tinybudget.report import verdicts
from pytest_tinybudget.report.formats import render
from pytest_tinybudget.report.review import rows_of
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


DECLARED = """\
schema = 1
[defaults]
boards = ["arduino-nano-33-ble"]
[models.vad]
source = "models/vad.tflite"
[models.kws]
source = "models/kws.tflite"
"""

TIGHT = 'budget = { flash = "20 KB" }'

INFORMS = over("next", "esp32", informational=True)


def compared(base: list[PairResult], head: list[PairResult]) -> Comparison:
    return compare(own_results(base, "commit 1a2b"), own_results(head, ""))


def test_a_run_whose_only_failures_inform_is_green() -> None:
    assert exit_code([pair(), INFORMS, error("lost", informational=True)]) == 0
    assert exit_code([INFORMS, over()]) == 1
    assert exit_code([INFORMS, over(), error()]) == 2


def test_the_words_of_a_run_say_that_a_failure_informs() -> None:
    assert verdicts.verdict([pair(), INFORMS]) == "1 of 2 pairs fails, informational only"
    several = [pair(), INFORMS, over()]
    assert verdicts.verdict(several) == "1 of 3 pairs fails, and 1 more that is informational"
    assert verdicts.count_text(several) == (
        "3 pairs: 1 over budget, 1 fit, 1 that fails, informational"
    )
    title, *_ = terminal.failure_lines(INFORMS)
    assert title.text.startswith("INFO next on esp32")
    assert "red" not in title.markup


def test_a_failure_that_informs_is_no_new_failure_of_a_change() -> None:
    before = pair("next", "esp32", measures=(measure("flash", 200 * KB),))
    rows = rows_of([INFORMS], compared([before], [INFORMS]))
    assert [row.standing for row in rows] == ["changed"]
    rows = rows_of([INFORMS], compared([INFORMS], [INFORMS]))
    assert [row.standing for row in rows] == ["quiet"]


def test_the_comment_marks_it_and_says_what_the_mark_means() -> None:
    text = markdown.render([INFORMS], compared([pair("next", "esp32")], [INFORMS]))
    assert text.startswith("### ✅")
    assert "ℹ️ INFO" in text
    assert "❌" not in text
    assert "INFO fails and is informational: it never fails the run." in text
    assert "because of this change" not in text


def test_github_gets_a_notice_and_a_verdict_that_passed() -> None:
    (line,) = github.annotation_lines([INFORMS])
    assert line.startswith("::notice ")
    assert "informational: " in line
    outputs = github.outputs([INFORMS, pair()], None)
    assert (outputs["verdict"], outputs["failed"], outputs["informational"]) == ("passed", 0, 1)
    (line,) = github.annotation_lines([INFORMS, over("next")])
    assert line.startswith("::error ")


def test_reports_for_machines_carry_no_failure_of_it() -> None:
    results = [INFORMS]
    (case,) = next(iter(JUnitXml.fromstring(render("junit", results, None).encode())))
    (said,) = case.result
    assert isinstance(said, Skipped)
    assert said.message.startswith("informational, fails no run: ")
    (found,) = json.loads(render("sarif", results, None))["runs"][0]["results"]
    assert found["level"] == "note"
    (issue,) = json.loads(render("gitlab-codequality", results, None))
    assert issue["severity"] == "info"
    digest = json.loads(render("digest", results, None))
    assert (digest["verdict"], digest["informational"]) == ("passed", 1)
    assert digest["results"][0]["informational"] is True
    assert 'board="esp32"} 0\n# EOF' in render("openmetrics", results, None)
    page = render("html", results, None)
    assert "INFO" in page
    assert "FAIL" not in page


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model over its budget."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=keywords())
    declare(tmp_path, TIGHT)
    return tmp_path


def test_a_model_says_so_and_the_command_reports_it_with_exit_code_0(
    project_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check") == 1
    capsys.readouterr()
    declare(project_folder, f"{TIGHT}\ninformational = true")
    assert run("check", "--json=results.json") == 0
    told = capsys.readouterr().out
    assert "INFO kws on arduino-nano-33-ble" in told
    assert "FAIL" not in told
    assert "what would fix it:" in told
    (result,) = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    assert (result["outcome"], result["informational"]) == ("over", True)
    assert run("explain", f"kws::{result['board']['id']}") == 0
    assert "informational: it is reported, and fails no run" in capsys.readouterr().out
    assert run("report", "results.json", "--format", "markdown") == 0
    assert "ℹ️ INFO" in capsys.readouterr().out  # as it was written, so it is read


def test_defaults_say_it_for_all_and_a_section_takes_it_back(project_folder: Path) -> None:
    head = "[defaults]\ninformational = true\n"
    declare(project_folder, TIGHT, head=head)
    assert run("check") == 0
    declare(project_folder, f"{TIGHT}\ninformational = false", head=head)
    assert run("check") == 1


def test_a_group_says_it_for_itself_and_not_for_its_models(project_folder: Path) -> None:
    group = f'\n[groups.all]\nmodels = ["kws"]\n{TIGHT}\n'
    declare(project_folder, group)
    assert run("check") == 1
    declare(project_folder, f"{group}informational = true\n")
    assert run("check") == 0
    declare(project_folder, f"{TIGHT}\n{group}informational = true\n")
    assert run("check") == 1


def test_a_run_says_it_for_all_its_pairs_and_not_for_a_wrong_declaration(
    project_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--informational") == 0
    put(project_folder, kws=b"no model")
    assert run("check", "--informational") == 0
    assert "INFO" in capsys.readouterr().out
    declare(project_folder, "bugdet = 1")
    assert run("check", "--informational") == 2


def test_under_pytest_it_is_an_expected_failure(project: Callable[..., pytest.Pytester]) -> None:
    declared = f"{DECLARED}{TIGHT}\ninformational = true\n"
    pytester = project(declared, kws=keywords(), vad=keywords())
    done = pytester.runpytest("--tinybudget", "-rx", "--junitxml=junit.xml")
    done.assert_outcomes(xfailed=1, passed=1)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["INFO *kws*", "INFO *informational, fails no run: *"])
    results = [each for case in next(iter(JUnitXml.fromfile("junit.xml"))) for each in case.result]
    (said,) = results
    assert isinstance(said, Skipped)
    assert said.type == "pytest.xfail"


@needs_xdist
def test_a_run_of_pytest_says_it_for_what_cannot_be_measured_too(
    project: Callable[..., pytest.Pytester],
) -> None:
    pytester = project(f"{DECLARED}{TIGHT}\n", kws=keywords(), vad=b"no model")
    arguments = ("--tinybudget", "-n1", "--tinybudget-json=results.json")
    assert pytester.runpytest(*arguments).ret == 1
    done = pytester.runpytest(*arguments, "--tinybudget-informational")
    done.assert_outcomes(xfailed=2)
    assert done.ret == 0
    pairs = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    assert [(each["outcome"], each["informational"]) for each in pairs] == [
        ("over", True),
        ("error", True),
    ]
