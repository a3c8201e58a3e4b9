"""``tinybudget history``: results over git commits or in a folder, as sparklines and a picture."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import report_samples as samples
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.baseline.history import Entry
from pytest_tinybudget.baseline.history import History
from pytest_tinybudget.baseline.history import folder_entries
from pytest_tinybudget.baseline.history import history
from pytest_tinybudget.baseline.history import history_at_hand
from pytest_tinybudget.baseline.history import history_before
from pytest_tinybudget.report import history_svg
from pytest_tinybudget.report import page_details
from pytest_tinybudget.report.history_text import history_lines
from pytest_tinybudget.report.history_text import sparkline
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.types import PairResult


SVG = "{http://www.w3.org/2000/svg}"

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def of_flash(*sizes_kb: float, limit_kb: int = 256, model: str = "kws") -> History:
    """A history of one pair's flash."""
    return history(
        Entry(f"c{number}", own_results([sized(size, limit_kb, model)], ""))
        for number, size in enumerate(sizes_kb)
    )


def sized(size_kb: float, limit_kb: int = 256, model: str = "kws", **changes: Any) -> PairResult:
    used, limit = int(size_kb * 1024), limit_kb * 1024
    return samples.pair(model, measures=(samples.measure("flash", used, limit),), **changes)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    return tmp_path


@needs_git
def test_a_committed_results_file_is_read_over_its_commits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    declare(folder)
    commits = []
    for filters in (8, 16, 24):
        put(folder, kws=keywords(filters=filters))
        run("check", "-q", "--json", "results.json")
        commits.append(commit(folder, f"{filters} filters"))
    put(folder, kws=keywords(filters=99))  # not committed: not part of the history
    run("check", "-q", "--json", "results.json")
    capsys.readouterr()
    assert run("history", "results.json", "--svg", "kws.svg") == 0
    shown = capsys.readouterr().out
    assert f"3 results, from {commits[0][:12]} to {commits[-1][:12]}" in shown
    assert shown.count("▁") == 2
    assert shown.count("█") == 2
    circles = list(ElementTree.parse(folder / "kws.svg").iter(f"{SVG}circle"))
    assert len(circles) == 6


@needs_git
def test_only_the_newest_commits_are_read_where_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    for size in (10, 20, 30):
        (folder / "r.json").write_text(writer.render([sized(size)]), encoding="utf-8")
        commit(folder, str(size))
    assert run("history", "r.json", "-n", "2") == 0
    shown = capsys.readouterr().out
    assert "2 results" in shown
    assert "20.0 KB" in shown


@needs_git
def test_a_commit_that_removed_or_broke_the_file_is_left_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    file = folder / "r.json"
    file.write_text(writer.render([sized(10)]), encoding="utf-8")
    commit(folder, "one")
    file.unlink()
    commit(folder, "removed")
    file.write_text("<<<<<<<", encoding="utf-8")
    commit(folder, "broken")
    file.write_text(writer.render([sized(20)]), encoding="utf-8")
    commit(folder, "two")
    assert run("history", "r.json") == 0
    shown = capsys.readouterr().out
    assert "2 results" in shown
    assert "left out: r.json at" in shown


@needs_git
def test_a_store_of_base_results_is_read_in_the_order_of_its_commits(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    declare(folder)
    commits = []
    for filters in (8, 24, 16):
        put(folder, kws=keywords(filters=filters))
        commits.append(commit(folder, f"{filters} filters"))
    for each in commits:
        run("diff", "-q", "--base", each, "--store", "store")
    capsys.readouterr()
    assert run("history", "store") == 0
    shown = capsys.readouterr().out
    assert f"from {commits[0][:12]} to {commits[-1][:12]}" in shown
    assert "▁█" in shown


def test_files_of_a_folder_are_sorted_with_their_numbers(folder: Path) -> None:
    for number in (1, 9, 10):
        text = writer.render([sized(number)])
        (folder / f"run-{number}.json").write_text(text, encoding="utf-8")
    labels = history(folder_entries(folder)).labels
    assert labels == ("run-1", "run-9", "run-10")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "not a git repository|cannot change|No such|no commit"),
        (["empty"], "empty: no results file"),
        (["broken"], "no results file can be read: broken/x.json: not a results file"),
        (["good", "--model", "kw"], "unknown model 'kw'"),
        (["good", "-n", "0"], "--most: expected a number above 0"),
    ],
)
def test_wrong_input_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    for name in ("empty", "broken", "good"):
        (folder / name).mkdir()
    (folder / "broken" / "x.json").write_text("{}", encoding="utf-8")
    (folder / "good" / "x.json").write_text(writer.render([sized(1)]), encoding="utf-8")
    assert run("history", *arguments) == 2
    error = capsys.readouterr().err
    assert any(each in error for each in said.split("|"))
    assert "Traceback" not in error


def test_a_sparkline_runs_from_the_smallest_to_the_largest() -> None:
    (trend,) = of_flash(100, 135, 170, 100).trends
    assert sparkline(trend, 10) == "▁▄█▁"
    assert sparkline(trend, 2) == "█▁"
    assert sparkline(trend, 10, Style(80, unicode=False)) == "_~#_"


def test_sizes_that_never_change_are_a_flat_line() -> None:
    (trend,) = of_flash(100, 100, 100).trends
    assert sparkline(trend, 10) == "▁▁▁"
    assert "same" in "\n".join(line.text for line in history_lines(of_flash(100, 100)))


def test_a_model_that_was_not_there_leaves_a_gap() -> None:
    entries = [
        Entry("a", own_results([sized(1), sized(1, model="vad")], "")),
        Entry("b", own_results([sized(2)], "")),
        Entry("c", own_results([sized(3), sized(3, model="vad")], "")),
    ]
    trends = {trend.model: trend for trend in history(entries).trends}
    assert sparkline(trends["vad"], 10) == "▁ █"
    lines = ElementTree.fromstring(history_svg.render(history(entries, ["vad"])))
    assert len([each for each in lines.iter(f"{SVG}path") if each.get("class") == "line"]) == 2


def test_what_was_measured_otherwise_is_marked() -> None:
    entries = [
        Entry("a", Results("", "pytest-tinybudget 0.0.1, TFLM 1", (sized(1),))),
        Entry("b", own_results([sized(2)], "")),
        Entry("c", own_results([sized(2)], "")),
    ]
    found = history(entries)
    assert sparkline(found.trends[0], 10) == "▁|██"
    assert any("not comparable" in line.text for line in history_lines(found))
    assert "measured otherwise than before" in history_svg.render(found)


def test_the_picture_says_everything_without_color() -> None:
    root = ElementTree.fromstring(history_svg.render(of_flash(200, 240, 260, limit_kb=250)))
    assert root.get("role") == "img"
    titles = [each.text or "" for each in root.iter(f"{SVG}title")]
    assert any(title.startswith("c2: 260.0 KB (266,240 B)") and "over" in title for title in titles)
    (square,) = root.iter(f"{SVG}rect")
    assert square.get("class") == "over"
    words = " ".join("".join(each.itertext()) for each in root.iter(f"{SVG}text"))
    assert "limit 250.0 KB" in words
    assert "squares: over it" in words


def test_every_point_lies_in_the_picture() -> None:
    root = ElementTree.fromstring(history_svg.render(of_flash(1, 500, 3, limit_kb=5)))
    width, height = (float(root.get(name) or 0) for name in ("width", "height"))
    for point in root.iter(f"{SVG}circle"):
        assert 0 < float(point.get("cx") or 0) < width
        assert 0 < float(point.get("cy") or 0) < height


def test_a_single_result_is_a_point() -> None:
    root = ElementTree.fromstring(history_svg.render(of_flash(100)))
    assert len(list(root.iter(f"{SVG}circle"))) == 1


def test_hostile_names_stay_text() -> None:
    name = '</text><script>alert(1)</script>\x1b[31m\u202e"'
    found = of_flash(1, 2, model=name)
    text = history_svg.render(found)
    root = ElementTree.fromstring(text)
    assert list(root.iter(f"{SVG}script")) == []
    assert "\x1b" not in text
    assert all(line.text.isprintable() for line in history_lines(found))


def test_the_same_results_give_the_same_picture() -> None:
    assert history_svg.render(of_flash(1, 2)) == history_svg.render(of_flash(1, 2))


def test_the_picture_can_go_to_stdout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "x.json").write_text(writer.render([sized(1)]), encoding="utf-8")
    assert run("history", ".", "--svg", "-") == 0
    output = capsys.readouterr()
    assert ElementTree.fromstring(output.out).tag == f"{SVG}svg"
    assert "1 result, x" in output.err
    assert json.loads((folder / "x.json").read_text("utf-8"))["pairs"]


# On the page


def kept_runs(folder: Path, *sizes_kb: float) -> None:
    """A folder ``runs`` with a results file for each size, and ``now.json`` of the last."""
    (folder / "runs").mkdir()
    for number, size in enumerate(sizes_kb[:-1]):
        text = writer.render([sized(size)])
        (folder / "runs" / f"run-{number}.json").write_text(text, encoding="utf-8")
    (folder / "now.json").write_text(writer.render([sized(sizes_kb[-1])]), encoding="utf-8")


def trend_on(page: Path) -> list[dict[str, Any]]:
    """The trends of the only model that a page tells of."""
    (packed,) = re.findall(r"x-tinybudget\">([^<]+)<", page.read_text("utf-8")) or [""]
    trends: list[dict[str, Any]] = page_details.unpacked(packed)["trends"] if packed else []
    return trends


def test_the_page_shows_how_sizes_went_up_to_this_run(folder: Path) -> None:
    kept_runs(folder, 100, 110, 125)
    assert run("report", "now.json", "--format", "html", "--history", "runs", "-o", "p.html") == 0
    (trend,) = trend_on(folder / "p.html")
    assert (trend["board"], trend["metric"]) == ("arduino-nano-33-ble", "flash")
    limit = 256 * 1024
    assert trend["points"] == [
        ["run-0", 100 * 1024, limit, 1],
        ["run-1", 110 * 1024, limit, 1],
        ["this run", 125 * 1024, limit, 1],
    ]
    assert "flash on arduino-nano-33-ble: 100.0 KB to 125.0 KB (+25.0 KB)" in (
        (folder / "p.html").read_text("utf-8")
    )


def test_a_page_has_the_newest_runs_and_none_without_a_history(folder: Path) -> None:
    results = [sized(50)]
    (folder / "empty").mkdir()
    kept_runs(folder, *range(1, 60))
    found = history_before(folder / "runs", results, most=20)
    assert len(found.labels) == 21
    assert found.labels[-2:] == ("run-57", "this run")
    assert history_at_hand([None, folder / "none", folder / "empty"], results) is None
    assert history_at_hand([None, folder / "runs"], results) == found
    assert run("report", "now.json", "--format", "html", "-o", "p.html") == 0
    assert trend_on(folder / "p.html") == []


def test_runs_of_other_pairs_are_no_history(folder: Path) -> None:
    kept_runs(folder, 1, 2)
    assert history_at_hand([folder / "runs"], [sized(3, model="other")]) is None


@needs_git
def test_the_store_or_the_baseline_of_a_run_is_its_history(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "init", "--quiet")
    declare(folder)
    for filters in (8, 24):
        put(folder, kws=keywords(filters=filters))
        run("check", "--json", "base.json")
        commit(folder, f"{filters} filters")
    put(folder, kws=keywords(filters=16))
    base = git(folder, "rev-parse", "HEAD^")
    stored = ("--base", base, "--store", "store", "--html", "stored.html")
    assert run("check", *stored) == 0
    assert [len(each["points"]) for each in trend_on(folder / "stored.html")] == [2, 2]
    assert run("check", "--baseline", "base.json", "--html", "based.html") == 0
    flash, _ = trend_on(folder / "based.html")
    small, large, middle = (point[1] for point in flash["points"])
    assert small < middle < large
    capsys.readouterr()


def test_a_history_that_is_not_there_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept_runs(folder, 1, 2)
    declare(folder)
    assert run("check", "--html", "p.html", "--history", "none") == 2
    assert "--history: none: no such file or folder" in capsys.readouterr().err
    (folder / "empty").mkdir()
    assert run("report", "now.json", "--format", "html", "--history", "empty", "-o", "p.html") == 2
    assert "empty: no results file (*.json) in it" in capsys.readouterr().err
    assert not (folder / "p.html").exists()


def test_pytest_shows_a_history_and_names_one_that_is_not_there(
    project: Callable[..., pytest.Pytester],
) -> None:
    pytester = project()
    (pytester.path / "runs").mkdir()
    arguments = ("--tinybudget", "-q", "--tinybudget-json=runs/1.json")
    pytester.runpytest_inprocess(*arguments)
    page = ("--tinybudget-html=p.html", "--tinybudget-history=runs")
    pytester.runpytest_inprocess("--tinybudget", "-q", *page)
    text = (pytester.path / "p.html").read_text("utf-8")
    packed = re.findall(r"x-tinybudget\">([^<]+)<", text)
    trends = [trend for each in packed for trend in page_details.unpacked(each)["trends"]]
    assert {tuple(point[0] for point in trend["points"]) for trend in trends} == {("1", "this run")}
    done = pytester.runpytest_inprocess("--tinybudget", "--tinybudget-history=none")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--tinybudget-history: *none: no such file or folder*"])
