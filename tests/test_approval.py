"""A label approves an increase for one pull request: the run that it starts, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_samples import KB
from small_projects import declare
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.gate.approval import label_event


TIGHT = 'budget = { flash = "20 KB" }'
NAMED = 'approve_labels = ["budget-approved"]'


class Project:
    """A model over its budget, and GitHub's event of a pull request."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        put(folder, kws=keywords())

    def event(self, **changes: Any) -> None:
        """The label budget-approved was set by alice on pull request 12, unless told otherwise."""
        content: dict[str, Any] = {
            "action": "labeled",
            "label": {"name": "budget-approved"},
            "sender": {"login": "alice"},
            "pull_request": {
                "number": 12,
                "labels": [{"name": "bug"}, {"name": "budget-approved"}],
            },
        } | changes
        file = self.folder / "event.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(file),
            "GITHUB_REF": "refs/pull/12/merge",
        }.items():
            self._monkeypatch.setenv(name, value)


@pytest.fixture
def project_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return Project(tmp_path, monkeypatch)


def result() -> Any:
    (found,) = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    return found


def check(*arguments: str) -> int:
    return run("check", "--json=results.json", *arguments)


def test_the_run_that_the_label_starts_is_approved_and_says_who_set_it(
    project_folder: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project_folder.folder, f"{TIGHT}\n{NAMED}")
    assert check() == 1
    project_folder.event()
    assert check() == 0
    approval = "label 'budget-approved' of pull request #12, set by alice"
    (accepted,) = result()["accepted"]
    assert accepted == {
        "metric": "flash",
        "up_to": result()["flash"]["used"],
        "reason": "",
        "until": None,
        "approved_by": approval,
    }
    assert result()["outcome"] == "warns"
    assert f"approved for this run: {approval}" in " ".join(capsys.readouterr().out.split())
    for name in ("markdown", "html", "junit", "sarif"):
        assert run("report", "results.json", "--format", name) == 0
        shown = capsys.readouterr().out.replace("&#39;", "'").replace("&#x27;", "'")
        assert "set by alice" in shown, name


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "synchronize", "label": None},
        {"action": "labeled", "label": {"name": "bug"}},
        {"action": "unlabeled"},
        {"action": "reopened"},
        {"action": "opened"},
    ],
    ids=lambda changes: changes["action"],
)
def test_another_event_of_the_pull_request_approves_nothing_and_says_what_to_do(
    project_folder: Project, changes: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project_folder.folder, f"{TIGHT}\n{NAMED}")
    project_folder.event(**changes)
    assert check() == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "approved earlier commits: remove it and set it" in said


@pytest.mark.parametrize(
    "environment",
    [
        {"GITHUB_EVENT_NAME": "push"},
        {"GITHUB_EVENT_NAME": "merge_group"},
        {"GITHUB_EVENT_NAME": "pull_request_target"},
        {"GITHUB_REF": "refs/heads/main"},
        {"GITHUB_REF": "refs/pull/1/merge"},
        {"GITHUB_ACTIONS": ""},
        {"GITHUB_EVENT_PATH": "nothing.json"},
    ],
    ids=lambda environment: "-".join(next(iter(environment.items()))),
)
def test_only_the_event_of_that_pull_request_is_believed(
    project_folder: Project, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    """After the merge, in the queue, on another branch or outside of GitHub nothing is left."""
    project_folder.event()
    assert label_event() is not None
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert label_event() is None


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"pull_request": 1},
        {"pull_request": {"number": "12"}},
        {"pull_request": {"number": 12, "labels": 1}, "label": 1, "sender": 1, "action": "labeled"},
        {"pull_request": {"number": 12}, "label": {"name": "x"}, "action": "labeled"},
    ],
)
def test_a_malformed_event_approves_nothing(project_folder: Project, content: Any) -> None:
    project_folder.event()
    (project_folder.folder / "event.json").write_text(json.dumps(content), encoding="utf-8")
    event = label_event()
    assert event is None or event.added == ""


def test_a_label_that_nobody_named_approves_nothing(project_folder: Project) -> None:
    declare(project_folder.folder, TIGHT)
    project_folder.event()
    assert check() == 1
    assert check("--approve-label", "other") == 1
    assert check("--approve-label", "other", "--approve-label", "budget-approved") == 0


def test_no_label_approves_what_the_board_has_no_room_for(project_folder: Project) -> None:
    board = '\n[boards.small]\nextends = "arduino-nano-33-ble"\nreserved_flash = "950 KB"\n'
    declare(project_folder.folder, f"{NAMED}\n{board}")
    file = project_folder.folder / "tinybudget.toml"
    text = file.read_text("utf-8").replace('boards = ["arduino-nano-33-ble"]', 'boards = ["small"]')
    file.write_text(text, encoding="utf-8")
    project_folder.event()
    assert check() == 1
    assert result()["flash"]["limit"] < 60 * KB
    assert result()["accepted"] == []


def test_growth_is_approved_as_well_and_a_failure_names_the_label(
    project_folder: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project_folder.folder, "max_increase = { bytes = 0 }\n" + NAMED)
    assert run("check", "--json=base.json") == 0
    put(project_folder.folder, kws=keywords(filters=16))
    assert check("--baseline", "base.json") == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "or label 'budget-approved' on the pull request" in said
    project_folder.event()
    assert check("--baseline", "base.json") == 0
    assert {each["metric"] for each in result()["accepted"]} == {"flash", "ram"}


def test_pytest_takes_the_label_from_its_option_and_from_the_declaration(
    project_folder: Project, pytester: pytest.Pytester
) -> None:
    put(pytester.path, kws=keywords())
    declare(pytester.path, TIGHT)
    project_folder.event()
    pytester.chdir()
    assert pytester.runpytest("--tinybudget", "--tinybudget-approve-label=budget-approved").ret == 0
    assert pytester.runpytest("--tinybudget").ret == 1
    pytester.makeini("[pytest]\ntinybudget_approve_label =\n    one\n    budget-approved\n")
    assert pytester.runpytest("--tinybudget").ret == 0
