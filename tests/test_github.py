"""GitHub Actions: annotations, summary, outputs, and one comment that is kept up to date."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from github_api import GitHub
from github_api import serving
from report_changes import HOSTILE
from report_changes import changed
from report_changes import hostile_pair
from report_samples import error
from report_samples import over
from report_samples import pair
from report_samples import refused

from pytest_tinybudget import cli
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.report import diff_text
from pytest_tinybudget.report import github
from pytest_tinybudget.report import summary
from pytest_tinybudget.report import terminal
from pytest_tinybudget.results.reader import own_results


ROOT = Path(__file__).parents[1]

_COMMAND = re.compile(r"::(?P<level>error|warning) (?P<properties>[^:]*)::(?P<message>.*)")


def unescaped(text: str) -> str:
    """As the runner reads a value: the reverse of what its documentation demands."""
    for code, character in (("%3A", ":"), ("%2C", ","), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")):
        text = text.replace(code, character)
    return text


def command(line: str) -> tuple[str, dict[str, str], str]:
    """Level, properties and message of a workflow command, as the runner reads them."""
    match = _COMMAND.fullmatch(line)
    assert match is not None, line
    properties = (each.partition("=") for each in match["properties"].split(","))
    return (
        match["level"],
        {name: unescaped(value) for name, _, value in properties},
        unescaped(match["message"]),
    )


# What the documentation shows


def documented() -> list[str]:
    """The YAML of the page on GitHub."""
    page = (ROOT / "docs" / "github.md").read_text("utf-8")
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_documented_workflows_pin_the_same_actions_as_our_own() -> None:
    files = [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("**/action.yml")]
    ours = "".join(path.read_text("utf-8") for path in files)
    uses = [use for text in documented() for use in re.findall(r"uses: (\S+@.*)", text)]
    foreign = [use for use in uses if not use.startswith("OWNER/")]
    assert len(set(foreign)) == 3
    assert all(re.fullmatch(r"\S+@[0-9a-f]{40} # v[\d.]+", use) for use in foreign)
    assert all(use in ours for use in foreign)
    for text in documented():
        assert yaml.safe_load(text)


def test_every_input_and_output_is_documented_and_given_by_environment_only() -> None:
    page = (ROOT / "docs" / "github.md").read_text("utf-8")
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    for name in (*action["inputs"], *action["outputs"]):
        assert f"`{name}`" in page
    comment = yaml.safe_load((ROOT / "comment" / "action.yml").read_text("utf-8"))
    for step in (*action["runs"]["steps"], *comment["runs"]["steps"]):
        assert "${{" not in step.get("run", "")


def test_workflows_ask_for_no_more_than_they_need() -> None:
    for path in ROOT.glob(".github/workflows/*.yml"):
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] in ({}, {"contents": "read"}), path.name
        assert "pull_request_target" not in path.read_text("utf-8")
        for use in re.findall(r"uses: (\S+)", path.read_text("utf-8")):
            assert use.startswith(("$/", "./")) or re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use), use


def test_the_pre_commit_hook_runs_a_command_that_exists() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    program, *arguments = hook["entry"].split()
    assert program == "tinybudget"
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--help"])
    assert ended.value.code == 0
    for name in ("tinybudget.toml", "firmware/tinybudget.toml", "models/kws.tflite"):
        assert re.search(hook["files"], name)


# Annotations


def test_a_failure_is_annotated_at_its_own_line() -> None:
    (line,) = github.annotation_lines([over(), pair("fits")])
    level, properties, message = command(line)
    assert level == "error"
    assert properties == {
        "file": "tinybudget.toml",
        "line": "12",
        "title": "kws on arduino-nano-33-ble",
    }
    assert message.split("\n") == [over().headline, *over().reasons, "see docs/size.md"]


def test_a_warning_is_a_warning_and_the_worst_come_first() -> None:
    results = [pair("vad", outcome="warns", warnings=("90 % of it",)), error(), refused(), over()]
    levels = [command(line)[0] for line in github.annotation_lines(results)]
    assert levels == ["error", "error", "error", "warning"]
    assert command(list(github.annotation_lines(results))[-1])[2].endswith("90 % of it")


@pytest.mark.parametrize(
    ("count", "more"), [(9, ""), (10, "1 more: 1 over budget"), (40, "31 more")]
)
def test_at_most_nine_annotations_and_one_that_counts_the_rest(count: int, more: str) -> None:
    lines = list(github.annotation_lines([over(f"model{number}") for number in range(count)]))
    assert len(lines) == min(count, 9) + bool(more)
    assert more in lines[-1]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_adds_a_command_or_a_property(text: str) -> None:
    lines = list(github.annotation_lines([hostile_pair(text)]))
    assert len(lines) == 1
    assert lines[0].isprintable()
    level, properties, message = command(lines[0])
    assert level == "error"
    assert set(properties) <= {"file", "line", "title"}
    assert properties.get("line", "3") == "3"
    assert "\x1b" not in message


@pytest.mark.parametrize("text", [*HOSTILE, "  ::set-output name=verdict::passed", "x ##[error]y"])
def test_no_line_of_the_log_is_a_command_by_a_name(text: str) -> None:
    results = [hostile_pair(text)]
    lines = terminal.failure(results[0]).split("\n")
    lines += [line.text for line in summary.summary(results, verbosity=2)]
    comparison = compare(own_results([], "base"), own_results(results, text))
    lines += [line.text for line in diff_text.comparison_lines(comparison)]
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]


def test_annotations_have_paths_from_the_workspace(tmp_path: Path) -> None:
    lines: list[str] = []
    environment = {"GITHUB_WORKSPACE": str(tmp_path)}
    (tmp_path / "firmware").mkdir()
    github.publish([over()], None, environment, root=tmp_path / "firmware", print_line=lines.append)
    assert command(lines[0])[1]["file"] == "firmware/tinybudget.toml"


# Summary and outputs


def published(folder: Path, *arguments: Any) -> tuple[str, dict[str, str]]:
    """The step summary and the outputs."""
    summary, output = folder / "summary.md", folder / "output"
    environment = {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)}
    github.publish(*arguments, environment, root=folder, print_line=lambda _: None)
    pairs = (line.partition("=") for line in output.read_text("utf-8").splitlines())
    return summary.read_text("utf-8"), {name: value for name, _, value in pairs}


def test_summary_and_outputs_are_written(tmp_path: Path) -> None:
    summary, outputs = published(tmp_path, *changed())
    assert summary.startswith("### ❌ Memory budgets")
    assert outputs == {
        "verdict": "failed",
        "pairs": "7",
        "failed": "3",
        "new_failures": "2",
        "old_failures": "1",
        "informational": "0",
        "warned": "0",
        "changed": "6",
    }


def test_outputs_of_a_run_that_passes(tmp_path: Path) -> None:
    results = [pair(), pair("vad", outcome="warns")]
    outputs = published(tmp_path, results, None)[1]
    assert outputs == {
        "verdict": "passed",
        "pairs": "2",
        "failed": "0",
        "new_failures": "0",
        "old_failures": "0",
        "informational": "0",
        "warned": "1",
        "changed": "0",
    }


def test_the_summary_stays_below_what_github_shows(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("x" * 890_000, encoding="utf-8")
    results = [hostile_pair("ß" * 500 + str(number)) for number in range(400)]
    for _ in range(5):
        published(tmp_path, results, None)
        assert summary.stat().st_size < 1024**2
    assert "Left out to keep this readable" in summary.read_text("utf-8")


def test_a_summary_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    lines: list[str] = []
    environment = {"GITHUB_STEP_SUMMARY": str(tmp_path)}
    github.publish([pair()], None, environment, root=tmp_path, print_line=lines.append)
    (line,) = lines
    assert line.startswith("::warning title=memory budgets::GITHUB_STEP_SUMMARY cannot be written")


def test_pytest_tells_github_and_elsewhere_stays_silent(
    project: Callable[..., pytest.Pytester], monkeypatch: pytest.MonkeyPatch
) -> None:
    declaration = (
        'schema = 1\n[models.kws]\nsource = "models/kws.tflite"\n'
        'boards = ["arduino-nano-33-ble"]\nbudget = { ram = "1 KB" }\n'
    )
    pytester = project(declaration)
    assert "::error" not in pytester.runpytest("--tinybudget").stdout.str()
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(pytester.path.parent),
        "GITHUB_STEP_SUMMARY": str(pytester.path / "summary.md"),
        "GITHUB_OUTPUT": str(pytester.path / "output"),
    }.items():
        monkeypatch.setenv(name, value)
    done = pytester.runpytest("--tinybudget", "--tinybudget-html=build/page.html")
    (line,) = [line for line in done.outlines if line.startswith("::")]
    assert command(line)[1]["file"] == f"{pytester.path.name}/tinybudget.toml"
    assert command(line)[1]["line"] == "5"
    assert "RAM over by" in (pytester.path / "summary.md").read_text("utf-8")
    assert "failed=1" in (pytester.path / "output").read_text("utf-8")
    assert (pytester.path / "build" / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_the_command_line_tells_github(
    project: Callable[..., pytest.Pytester],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytester = project()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    assert cli.main(["check", "--html", "page.html"]) == 0
    assert "::" not in capsys.readouterr().out.replace("tinybudget.toml::", "")
    assert "all pairs fit" in (pytester.path / "summary.md").read_text("utf-8")
    assert (pytester.path / "page.html").exists()


# The comment


@pytest.fixture(scope="module")
def sticky() -> ModuleType:
    """The script that the comment's action runs, as a module."""
    spec = importlib.util.spec_from_file_location(
        "sticky_comment", ROOT / "comment" / "sticky_comment.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def api() -> Iterator[GitHub]:
    with serving() as fake:
        yield fake


FORK_RUN = {
    "workflow_run": {
        "head_sha": "a" * 40,
        "head_branch": "bigger model",
        "head_repository": {"owner": {"login": "stranger"}},
    }
}


@pytest.fixture
def waits(sticky: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the script would have slept."""
    slept: list[float] = []
    monkeypatch.setattr(sticky, "_sleep", slept.append)
    return slept


@pytest.fixture
def post(
    sticky: ModuleType,
    api: GitHub,
    waits: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """``post(text)`` runs the script and returns what it printed."""
    api.pulls = [
        {"number": 7, "head": {"label": "stranger:bigger model", "sha": "a" * 40}},
        {"number": 8, "head": {"label": "other:main", "sha": "b" * 40}},
    ]

    def run(text: str, *, event: Any = FORK_RUN, key: str = "default") -> str:
        files = {"event.json": json.dumps(event), "body.md": text}
        for name, content in files.items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        for name, value in {
            "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
            "GITHUB_API_URL": api.url,
            "GITHUB_REPOSITORY": "owner/repository",
            "KEY": key,
            "AUTHOR": "github-actions[bot]",
            "TOKEN": "secret",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["sticky_comment.py", str(tmp_path / "body.md")])
        assert sticky.main() == 0
        return capsys.readouterr().out.strip()

    return run


def test_the_comment_is_posted_once_updated_in_place_and_left_alone(
    post: Callable[..., str], api: GitHub
) -> None:
    assert post("first") == "posted"
    assert post("first") == "unchanged"
    assert post("second") == "updated"
    assert [(method, path) for method, path, _ in api.writes] == [
        ("POST", "/repos/owner/repository/issues/7/comments"),
        ("PATCH", "/repos/owner/repository/issues/comments/1"),
    ]
    assert [each["body"] for each in api.comments] == [
        "<!-- pytest-tinybudget default -->\nsecond\n"
    ]


def test_an_own_comment_on_a_later_page_is_found(post: Callable[..., str], api: GitHub) -> None:
    for number in range(250):
        api.add(f"chatter {number}", "someone")
    post("text")
    assert post("text") == "unchanged"
    assert len(api.comments) == 251


def test_somebody_elses_comment_with_the_marker_is_not_touched(
    post: Callable[..., str], api: GitHub
) -> None:
    api.add("<!-- pytest-tinybudget default -->\ntrap", "stranger")
    api.add("quoted: <!-- pytest-tinybudget default -->")
    assert post("text") == "posted"
    assert api.comments[0]["body"].endswith("trap")
    assert api.comments[1]["body"].startswith("quoted")


def test_gates_with_keys_of_their_own_keep_comments_of_their_own(
    post: Callable[..., str], api: GitHub
) -> None:
    post("one", key="firmware")
    post("two", key="gate --> way")
    assert [each["body"].partition("\n")[0] for each in api.comments] == [
        "<!-- pytest-tinybudget firmware -->",
        "<!-- pytest-tinybudget gate--way -->",
    ]


def test_nothing_to_say_posts_nothing_but_corrects_an_earlier_comment(
    post: Callable[..., str], api: GitHub
) -> None:
    assert post("") == "nothing to say"
    assert api.comments == []
    post("grown")
    assert post("\n") == "updated"
    assert "nothing left to report" in api.comments[0]["body"]
    assert post("") == "unchanged"


def test_a_pull_request_that_moved_on_gets_no_comment(
    post: Callable[..., str], api: GitHub
) -> None:
    api.pulls[0]["head"]["sha"] = "c" * 40
    assert post("stale").startswith("no comment: the pull request has moved on")
    assert api.writes == []


def test_in_the_pull_requests_own_workflow_its_number_is_known(
    post: Callable[..., str], api: GitHub
) -> None:
    assert post("text", event={"pull_request": {"number": 12}}) == "posted"
    assert api.writes[0][1] == "/repos/owner/repository/issues/12/comments"


READ_ONLY = "Resource not accessible by integration"


@pytest.mark.parametrize(
    ("status", "message", "advice"),
    [
        (403, READ_ONLY, "needs pull-requests: write, and a run for a fork has a token that only"),
        (404, "Not Found", "the token does not reach this repository or pull request"),
        (401, "Bad credentials", "the token is not valid"),
        (422, "Validation Failed", ""),
    ],
)
def test_a_refusal_is_a_warning_with_advice_and_never_fails_the_job(
    post: Callable[..., str],
    api: GitHub,
    waits: list[float],
    status: int,
    message: str,
    advice: str,
) -> None:
    api.refusals = [(200, {}, ""), (200, {}, ""), (status, {}, message)]
    said = post("text")
    assert said.startswith(
        f"::warning title=memory budgets::no comment: HTTP Error {status}: {message}"
    )
    assert advice in said
    assert api.comments == []
    assert waits == []


def test_an_api_that_fails_is_asked_again(
    post: Callable[..., str], api: GitHub, waits: list[float]
) -> None:
    api.refusals = [(502, {}, ""), (503, {}, "")]
    assert post("text") == "posted"
    assert waits == [2.0, 4.0]
    api.refusals = [(500, {}, "no luck")] * 4
    assert post("other").endswith("no comment: HTTP Error 500: no luck")
    assert waits == [2.0, 4.0, 2.0, 4.0, 8.0]


def test_a_comment_that_was_posted_without_an_answer_is_not_posted_twice(
    post: Callable[..., str], api: GitHub
) -> None:
    api.refusals = [(200, {}, ""), (200, {}, ""), (502, {}, "")]
    api.carries_out = True
    assert post("text") == "unchanged"
    assert len(api.comments) == 1


def test_a_comment_that_was_lost_is_posted_again(post: Callable[..., str], api: GitHub) -> None:
    api.refusals = [(200, {}, ""), (200, {}, ""), (502, {}, "")]
    assert post("text") == "posted"
    assert len(api.comments) == 1


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (429, {"Retry-After": "7"}, "slow down", 7.0),
        (403, {"Retry-After": "0"}, "", 1.0),
        (403, {}, "You have exceeded a secondary rate limit", 60.0),
        (429, {}, "", 60.0),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "", 1.0),
    ],
)
def test_a_rate_limit_is_waited_for(
    post: Callable[..., str],
    api: GitHub,
    waits: list[float],
    status: int,
    headers: dict[str, str],
    message: str,
    seconds: float,
) -> None:
    api.refusals = [(200, {}, ""), (200, {}, ""), (status, headers, message)]
    assert post("text") == "posted"
    assert waits == [seconds]
    assert len(api.comments) == 1


def test_a_rate_limit_that_lasts_is_told_and_not_waited_for(
    post: Callable[..., str], api: GitHub, waits: list[float]
) -> None:
    api.refusals = [(403, {"Retry-After": "3000"}, "limit")]
    assert "GitHub's rate limit lasts 3000 s: run the job again" in post("text")
    api.refusals = [(429, {}, "")] * 3
    assert "GitHub's rate limit lasts 60 s" in post("text")
    assert waits == [60.0, 60.0]
    assert api.writes == []


def test_an_api_that_nobody_reaches_is_a_warning(
    post: Callable[..., str], api: GitHub, waits: list[float]
) -> None:
    api.server.server_close()
    assert post("text").startswith("::warning title=memory budgets::no comment: ")
    assert waits == [2.0, 4.0, 8.0]


def test_a_text_that_github_would_turn_down_is_not_sent(
    post: Callable[..., str], api: GitHub
) -> None:
    assert "more than 65536 characters" in post("x" * 70_000)
    assert api.writes == []
