"""``tinybudget diff`` and base commits, in real git repositories with real models."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from pathlib import Path

import jsonschema
import pytest
from small_projects import BOARD
from small_projects import KWS
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.baseline.git import Repository


pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "schemas" / "results.schema.json").read_text("utf-8")
)
CI_VARIABLES = (
    "CI",
    "GITHUB_ACTIONS",
    "GITHUB_REF",
    "GITHUB_SHA",
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_EVENT_TYPE",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BUILD_SOURCEBRANCH",
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on branch main with one commit: a kws model and its declaration."""
    for name in CI_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet")
    put(folder, kws=keywords(filters=8))
    declare(folder)
    commit(folder, "base")
    return folder


def pull_request(folder: Path) -> str:
    """Branch ``change`` with a larger kws and a new model, and main moved on; main's new tip."""
    git(folder, "checkout", "--quiet", "-b", "change")
    put(folder, kws=keywords(filters=24), vad=keywords(filters=4, logistic=True))
    declare(folder, models=("kws", "vad"))
    commit(folder, "a larger kws, and vad")
    git(folder, "checkout", "--quiet", "main")
    put(folder, other=keywords(filters=16))
    return commit(folder, "somebody else's model")


def merge_commit(folder: Path) -> str:
    """Check out what CI makes of the pull request: its merge into main, on no branch."""
    tip = pull_request(folder)
    git(folder, "checkout", "--quiet", "--detach", tip)
    git(folder, "merge", "--quiet", "--no-ff", "--no-edit", "change")
    return tip


def base_of(folder: Path, **environment: str) -> tuple[str, str]:
    base = Repository.around(folder).base(environment)
    return base.commit, base.why


# Two files


def test_two_results_files_are_compared(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("check", "-q", "--json", "a.json")
    put(repository, kws=keywords(filters=24))
    run("check", "-q", "--json", "b.json")
    capsys.readouterr()
    assert run("diff", "a.json", "b.json") == 0
    shown = capsys.readouterr().out
    assert "compared with a.json" in shown
    assert "~ CONV_2D" in shown
    assert "1 changed" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.json"], "expected two results files"),
        ([], "expected two results files"),
        (["none.json", "none.json"], "none.json: cannot be read"),
        (["tinybudget.toml", "tinybudget.toml"], "not a results file"),
        (["a.json", "b.json", "--store", "x"], "go with --base"),
        (["--base", "no-such-branch"], "no-such-branch: no such commit"),
        (["--base=--help"], "--help: no such commit"),
    ],
)
def test_wrong_usage_is_one_line(
    repository: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run("diff", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_exit_code_is_that_of_the_newer_side(repository: Path) -> None:
    run("check", "-q", "--json", "good.json")
    declare(repository, 'budget = { ram = "1 KB" }')
    run("check", "-q", "--json", "bad.json")
    assert run("diff", "-q", "good.json", "bad.json") == 1
    assert run("diff", "-q", "bad.json", "good.json") == 0


# Which commit


def test_a_merge_commit_of_ci_is_compared_with_its_first_parent(repository: Path) -> None:
    tip = merge_commit(repository)
    assert base_of(repository) == (tip, "first parent of the merge commit")


def test_it_is_so_with_what_github_says_and_fetches(repository: Path, tmp_path: Path) -> None:
    tip = merge_commit(repository)
    merge = git(repository, "rev-parse", "HEAD")
    git(repository, "update-ref", "refs/pull/7/merge", merge)
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    git(clone, "fetch", "--quiet", "--depth=2", repository.as_uri(), "refs/pull/7/merge")
    git(clone, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    said = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": merge, "GITHUB_BASE_REF": "main"}
    assert base_of(clone, **said)[0] == tip


def test_a_branch_is_compared_with_its_merge_base_not_with_the_tip(repository: Path) -> None:
    start = git(repository, "rev-parse", "HEAD")
    pull_request(repository)
    git(repository, "checkout", "--quiet", "change")
    assert base_of(repository) == (start, "merge base with main")


def test_a_checked_out_head_commit_is_a_branch_though_it_is_a_merge(repository: Path) -> None:
    tip = pull_request(repository)
    git(repository, "checkout", "--quiet", "change")
    git(repository, "merge", "--quiet", "--no-edit", "main")
    git(repository, "checkout", "--quiet", "--detach")
    said = {"GITHUB_REF": "refs/pull/7/merge", "GITHUB_SHA": "0" * 40, "GITHUB_BASE_REF": "main"}
    assert base_of(repository, **said)[0] == tip
    assert base_of(repository)[0] == tip


def test_the_target_branch_itself_is_compared_with_the_commit_before(repository: Path) -> None:
    start = git(repository, "rev-parse", "HEAD")
    commit(repository, "next")
    assert base_of(repository) == (start, "the commit before, on main")


def test_ci_names_the_target_branch(repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "develop")
    start = commit(repository, "develop")
    git(repository, "checkout", "--quiet", "-b", "feature")
    commit(repository, "feature")
    assert base_of(repository, GITHUB_BASE_REF="develop")[0] == start
    assert base_of(repository, CI_MERGE_REQUEST_TARGET_BRANCH_NAME="develop")[0] == start


def test_a_shallow_clone_says_what_to_fetch(repository: Path, tmp_path: Path) -> None:
    merge_commit(repository)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(clone))
    with pytest.raises(GitError, match="the clone is shallow, fetch more of it"):
        Repository.around(clone).base({})


def test_the_first_commit_has_no_base(repository: Path) -> None:
    with pytest.raises(GitError, match="it is the first"):
        Repository.around(repository).base({})


# Measuring it


def test_a_pull_request_is_measured_against_its_base_and_nothing_is_left(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tip = merge_commit(repository)
    before = snapshot(repository)
    assert (
        run("diff", "--base", "auto", "--json", "../head.json", "--save-base", "../base.json") == 0
    )
    shown = capsys.readouterr().out
    assert f"compared with commit {tip[:12]} (first parent of the merge commit)" in shown
    assert "kws" in shown.split()
    assert BOARD in shown.split()
    assert "why kws differs" in shown
    assert "1 changed, 1 new" in shown
    assert snapshot(repository) == before
    for name, models in (("base", ["kws"]), ("head", ["kws", "vad"])):
        content = json.loads(repository.parent.joinpath(f"{name}.json").read_text("utf-8"))
        jsonschema.validate(content, SCHEMA)
        assert [pair["model"]["name"] for pair in content["pairs"]] == models


def snapshot(folder: Path) -> tuple[object, ...]:
    """Everything that measuring a base could have disturbed."""
    files = {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(folder).parts
    }
    return (
        files,
        git(folder, "worktree", "list", "--porcelain"),
        git(folder, "status", "--porcelain"),
        git(folder, "rev-parse", "HEAD"),
        git(folder, "for-each-ref"),
        git(folder, "stash", "list"),
    )


def test_uncommitted_work_stays_and_is_what_is_measured(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(repository, kws=keywords(filters=24))
    (repository / "notes.txt").write_text("mine", encoding="utf-8")
    before = snapshot(repository)
    assert run("diff", "--base", "HEAD") == 0
    assert "1 changed" in capsys.readouterr().out
    assert snapshot(repository) == before


def test_growth_budgets_hold_against_the_base_commit(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(repository, kws=keywords(filters=24))
    declare(repository, "max_increase = { bytes = 0 }")
    assert run("diff", "--base", "HEAD") == 1
    assert run("check", "--base", "HEAD") == 1
    assert re.search(r"^    .*RAM grew .* 0 B allowed$", capsys.readouterr().out, re.MULTILINE)


def test_hooks_of_the_repository_do_not_run(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{repository.parent}/ran'\n", encoding="utf-8")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    assert run("diff", "-q", "--base", "HEAD") == 0
    assert not (repository.parent / "ran").exists()


def test_a_hook_can_call_it(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repository / ".git" / "index"))
    before = (repository / ".git" / "index").read_bytes()
    assert run("diff", "-q", "--base", "HEAD") == 0
    assert (repository / ".git" / "index").read_bytes() == before


def test_it_works_in_a_folder_below_the_root(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    firmware = repository / "firmware"
    firmware.mkdir()
    put(firmware, kws=keywords(filters=8))
    declare(firmware)
    commit(repository, "firmware")
    put(firmware, kws=keywords(filters=24))
    monkeypatch.chdir(firmware)
    assert run("diff", "--base", "HEAD", "--json", "head.json") == 0
    assert "1 changed" in capsys.readouterr().out
    (pair,) = json.loads((firmware / "head.json").read_text("utf-8"))["pairs"]
    assert pair["id"] == KWS


def test_one_model_can_be_compared_alone(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_commit(repository)
    assert run("diff", "--base", "auto", "tinybudget.toml::kws") == 0
    assert capsys.readouterr().out.rstrip().endswith("1 changed")


def test_a_removed_declaration_removes_its_pairs(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "lib").mkdir()
    put(repository / "lib", kws=keywords())
    declare(repository / "lib")
    commit(repository, "lib")
    (repository / "lib" / "tinybudget.toml").unlink()
    assert run("diff", "--base", "HEAD") == 0
    assert "1 removed, 1 unchanged" in capsys.readouterr().out


# A base that is of no use


@pytest.mark.parametrize("declaration", ["not [ toml", "schema = 1\n[models.kws]\n"])
def test_a_base_with_a_broken_declaration_never_blocks(
    repository: Path, capsys: pytest.CaptureFixture[str], declaration: str
) -> None:
    good = (repository / "tinybudget.toml").read_text("utf-8")
    (repository / "tinybudget.toml").write_text(declaration, encoding="utf-8")
    broken = commit(repository, "broken")
    (repository / "tinybudget.toml").write_text(good, encoding="utf-8")
    assert run("diff", "--base", "HEAD") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"not compared: commit {broken[:12]} (HEAD) has no results" in shown
    assert "kws" in shown.split()
    assert BOARD in shown.split()


def test_a_base_with_a_damaged_model_is_told_pair_by_pair(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(repository, kws=b"damaged")
    commit(repository, "damaged")
    put(repository, kws=keywords())
    assert run("diff", "--base", "HEAD") == 0
    assert "could not be measured on the base" in capsys.readouterr().out


def test_outside_a_repository_the_pairs_are_shown_without_a_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    put(tmp_path, kws=keywords())
    declare(tmp_path)
    assert run("diff", "--base", "auto") == 0
    shown = capsys.readouterr().out
    assert "not compared: git: " in shown
    assert "kws" in shown.split()
    assert BOARD in shown.split()


def test_without_git_the_gate_still_works(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert run("check", "--base", "auto") == 0
    assert "git is not installed" in capsys.readouterr().out


def test_a_base_without_a_declaration_makes_every_pair_new(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = (repository / "tinybudget.toml").read_bytes()
    (repository / "tinybudget.toml").unlink()
    commit(repository, "none")
    (repository / "tinybudget.toml").write_bytes(good)
    assert run("diff", "--base", "HEAD") == 0
    assert capsys.readouterr().out.rstrip().endswith("1 new")


# Stored results


def test_a_store_keeps_the_base_and_is_used_again(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert run("diff", "-q", "--base", "HEAD", "--store", "../store") == 0
    file = repository.parent / "store" / f"{head}.json"
    content = json.loads(file.read_text("utf-8"))
    content["pairs"][0]["headline"] = "from the store"
    file.write_text(json.dumps(content), encoding="utf-8")
    run("diff", "--base", "HEAD", "--store", "../store", "--save-base", "../base.json")
    assert "../store/" in capsys.readouterr().out
    saved = json.loads((repository.parent / "base.json").read_text("utf-8"))
    assert saved["pairs"][0]["headline"] == "from the store"


def test_a_store_keeps_what_one_model_needed_apart_from_the_rest(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(repository, vad=keywords(filters=4))
    declare(repository, models=("kws", "vad"))
    commit(repository, "vad")
    options = ("--base", "HEAD", "--store", "../store")
    run("diff", "-q", "tinybudget.toml::kws", *options)
    capsys.readouterr()
    run("diff", *options)
    assert "2 unchanged" in capsys.readouterr().out
    assert len(list((repository.parent / "store").iterdir())) == 2


def test_a_store_of_another_version_is_measured_anew(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    run("diff", "-q", "--base", "HEAD", "--store", "../store")
    file = repository.parent / "store" / f"{head}.json"
    good = file.read_text("utf-8")
    content = json.loads(good)
    content["tool"]["version"] = "0.0.1"
    file.write_text(json.dumps(content), encoding="utf-8")
    assert run("diff", "-q", "--base", "HEAD", "--store", "../store") == 0
    assert file.read_text("utf-8") == good


def committed_baseline(repository: Path) -> None:
    declare(repository, head='[defaults]\nbaseline = "base.json"\n')
    run("check", "-q", "--json", "base.json")
    commit(repository, "with a baseline")


def test_a_committed_results_file_is_the_base_where_it_is_fresh(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed_baseline(repository)
    put(repository, kws=keywords(filters=24))
    capsys.readouterr()
    assert run("diff", "--base", "HEAD") == 0
    shown = capsys.readouterr().out
    assert "(HEAD), base.json" in shown
    assert "1 changed" in shown


@pytest.mark.parametrize("content", ["<<<<<<< ours", "{}"])
def test_a_broken_committed_file_is_measured_instead(
    repository: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    committed_baseline(repository)
    (repository / "base.json").write_text(content, encoding="utf-8")
    commit(repository, "broken baseline")
    assert run("diff", "--base", "HEAD") == 0
    shown = capsys.readouterr().out
    assert "(HEAD), base.json" not in shown
    assert "1 unchanged" in shown


def test_a_stale_committed_file_is_measured_instead(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed_baseline(repository)
    put(repository, kws=keywords(filters=24))
    commit(repository, "nobody renewed the baseline")
    assert run("diff", "--base", "HEAD") == 0
    shown = capsys.readouterr().out
    assert "(HEAD), base.json" not in shown
    assert "1 unchanged" in shown


# check


def test_check_compares_with_a_baseline_file(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("check", "-q", "--json", "base.json")
    put(repository, kws=keywords(filters=24))
    assert run("check", "--baseline", "base.json") == 0
    assert "compared with base.json" in capsys.readouterr().out


def test_the_first_check_writes_the_baseline_that_it_names(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", "--baseline", "base.json", "--json", "base.json") == 0
    assert "no baseline yet at base.json: this run writes it" in capsys.readouterr().out
    assert run("check", "--baseline", "base.json") == 0


def test_a_named_baseline_takes_the_place_of_the_declared_one(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(
        repository,
        head='[defaults]\nbaseline = "base.json"\nmax_increase = { bytes = 0 }\n',
    )
    run("check", "-q", "--json", "base.json")
    put(repository, kws=keywords(filters=24))
    run("check", "-q", "--json", "other.json")
    assert run("check", "-q") == 1
    assert run("check", "-q", "--baseline", "other.json") == 0


@pytest.mark.parametrize("declared", [True, False])
def test_a_baseline_that_is_not_there_is_wrong_input_and_names_the_nearest(
    repository: Path, capsys: pytest.CaptureFixture[str], declared: bool
) -> None:
    run("check", "-q", "--json", "base.json")
    if declared:
        declare(repository, head='[defaults]\nbaseline = "bsae.json"\n')
    capsys.readouterr()
    named = () if declared else ("--baseline", "bsae.json")
    assert run("check", *named) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "bsae.json: no such baseline file; did you mean 'base.json'?" in line


def test_check_with_a_broken_baseline_is_wrong_input(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "base.json").write_text("{", encoding="utf-8")
    assert run("check", "--baseline", "base.json") == 2
    assert "base.json: not a results file: not JSON" in capsys.readouterr().err
    assert run("check", "--baseline", "base.json", "--base", "auto") == 2
