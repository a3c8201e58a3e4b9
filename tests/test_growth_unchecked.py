"""Green means compared: a limit of growth that nobody could check is never passed in silence."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from conftest import needs_xdist
from report_samples import over
from report_samples import pair
from small_projects import BOARD
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.report import github
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import verdicts
from pytest_tinybudget.results.types import PairResult


pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "schemas" / "results.schema.json").read_text("utf-8")
)

LIMIT = "max_increase = { bytes = 0 }"

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One commit on main with a kws model that must not grow; it has grown since."""
    for name in ("GITHUB_REF", "GITHUB_SHA", "CI_MERGE_REQUEST_EVENT_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet")
    put(folder, kws=keywords(filters=8))
    declare(folder, LIMIT)
    commit(folder, "base")
    put(folder, kws=keywords(filters=24))
    return folder


def checked(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of ``check``, and the one pair of its results file."""
    code = run("check", "-q", *arguments, "--json", "../head.json")
    content = json.loads((folder.parent / "head.json").read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    (only,) = content["pairs"]
    return code, only


def shallow_clone(folder: Path) -> str:
    """Work in a clone of one commit, as CI makes it by default."""
    commit(folder, "a larger kws")
    git(folder.parent, "clone", "--quiet", "--depth=1", folder.as_uri(), "clone")
    os.chdir(folder.parent / "clone")
    return "the clone is shallow, fetch more of it (fetch-depth: 0)"


def no_repository(folder: Path) -> str:
    shutil.move(folder / ".git", folder.parent / "away")
    return "git: not a git repository"


def pointers(folder: Path) -> str:
    """The base has pointers of Git LFS in its models' place, as without ``git lfs pull``."""
    larger = (folder / "models" / "kws.tflite").read_bytes()
    put(folder, kws=LFS_POINTER)
    commit(folder, "pointers")
    put(folder, kws=larger)
    commit(folder, "the model")
    return "models/kws.tflite: is a Git LFS pointer"


def broken_declaration(folder: Path) -> str:
    good = (folder / "tinybudget.toml").read_text("utf-8")
    (folder / "tinybudget.toml").write_text("not [ toml", encoding="utf-8")
    commit(folder, "broken")
    (folder / "tinybudget.toml").write_text(good, encoding="utf-8")
    commit(folder, "repaired")
    return "has no results: "


def other_runtime(folder: Path) -> str:
    commit(folder, "a larger kws")
    declare(folder, f'{LIMIT}\nruntime = "m4_ref"')
    commit(folder, "another runtime")
    return "measured for runtime arduino-tflm 2023-12 on the base, m4_ref here"


BASES = [shallow_clone, no_repository, pointers, broken_declaration, other_runtime]


# A commit as the base


def test_growth_over_the_base_commit_fails(repository: Path) -> None:
    code, only = checked(repository, "--base", "HEAD")
    assert (code, only["outcome"], only["grown"]) == (1, "unmet", ["flash", "ram"])
    assert only["growth_unchecked"] == ""


@pytest.mark.parametrize("spoil", BASES)
def test_a_base_that_cannot_be_compared_with_is_a_warning_that_says_why(
    repository: Path, spoil: Callable[[Path], str]
) -> None:
    why = spoil(repository)
    code, only = checked(repository, "--base", "auto")
    assert (code, only["outcome"]) == (0, "warns")
    assert why in only["growth_unchecked"]
    assert only["warnings"] == [f"growth not checked: {only['growth_unchecked']}"]


@pytest.mark.parametrize("spoil", BASES)
def test_a_required_base_that_cannot_be_compared_with_is_an_error(
    repository: Path, spoil: Callable[[Path], str], capsys: pytest.CaptureFixture[str]
) -> None:
    why = spoil(repository)
    code, only = checked(repository, "--base", "auto", "--require-base")
    assert (code, only["outcome"], only["codes"]) == (2, "error", ["TB023"])
    assert only["headline"].startswith("growth not checked: ")
    assert why in only["headline"]
    assert only["ram"] is not None, "what was measured is still told"
    assert only["declared_at"] == "tinybudget.toml:6"
    assert f"ERROR kws on {BOARD}: growth not checked" in capsys.readouterr().out


def test_without_a_base_being_named_it_is_a_warning_that_says_how_to_name_one(
    repository: Path,
) -> None:
    code, only = checked(repository)
    assert (code, only["outcome"]) == (0, "warns")
    assert "--base auto" in only["growth_unchecked"]
    assert checked(repository, "--require-base")[0] == 2


def test_the_declaration_can_require_a_base(repository: Path) -> None:
    declare(repository, f"{LIMIT}\nrequire_base = true")
    assert checked(repository)[0] == 2
    assert checked(repository, "--base", "HEAD")[1]["outcome"] == "unmet"
    declare(repository, head=f"[defaults]\n{LIMIT}\nrequire_base = true\n")
    assert checked(repository)[0] == 2
    declare(repository, "require_base = false", head=f"[defaults]\n{LIMIT}\nrequire_base = true\n")
    assert checked(repository)[0] == 0


def test_a_group_can_require_a_base(repository: Path) -> None:
    put(repository, vad=keywords(filters=4))
    group = '\n[groups.all]\nmodels = ["kws", "vad"]\nrequire_base = true\n'
    declare(repository, group + LIMIT, models=("kws", "vad"))
    assert run("check", "-q", "--json", "../head.json") == 2
    pairs = json.loads((repository.parent / "head.json").read_text("utf-8"))["pairs"]
    found = {each["model"]["name"]: (each["outcome"], each["codes"]) for each in pairs}
    assert found == {
        "groups.all": ("error", ["TB023"]),
        "kws": ("fits", []),
        "vad": ("fits", []),
    }


def test_a_section_that_requires_a_base_for_nothing_is_a_mistake(repository: Path) -> None:
    declare(repository, "require_base = true")
    with pytest.raises(DeclarationError, match="require_base: has no effect without 'max_incr"):
        load_declaration(repository / "tinybudget.toml")


def test_a_pair_that_is_new_since_the_base_has_nothing_to_grow_over(repository: Path) -> None:
    put(repository, vad=keywords(filters=4))
    declare(repository, head=f"[defaults]\n{LIMIT}\n", models=("vad",))
    code, only = checked(repository, "--base", "HEAD", "--require-base")
    assert (code, only["outcome"], only["growth_unchecked"]) == (0, "fits", "")


def test_only_the_declaration_that_is_broken_on_the_base_is_not_compared(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "lib").mkdir()
    put(repository / "lib", kws=keywords())
    (repository / "lib" / "tinybudget.toml").write_text("schema = 9", encoding="utf-8")
    commit(repository, "lib is broken")
    declare(repository / "lib", LIMIT)
    put(repository, kws=keywords(filters=64))
    assert run("check", "--base", "HEAD", "--json", "../head.json") == 1
    pairs = json.loads((repository.parent / "head.json").read_text("utf-8"))["pairs"]
    found = {each["id"].partition("::")[0]: each for each in pairs}
    assert "has no results" in found["lib/tinybudget.toml"]["growth_unchecked"]
    assert found["tinybudget.toml"]["grown"] == ["flash", "ram"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "not compared: lib/tinybudget.toml: commit" in shown
    assert "not comparable kws" in shown, "a pair whose base is broken is no new one"


def test_a_pair_that_a_committed_results_file_lacks_is_not_taken_for_new(repository: Path) -> None:
    """Nobody renewed the file when vad came: the commit is measured instead."""
    head = f'[defaults]\nbaseline = "base.json"\n{LIMIT}\n'
    declare(repository, head=head)
    run("check", "-q", "--json", "base.json")
    put(repository, vad=keywords(filters=4))
    declare(repository, head=head, models=("kws", "vad"))
    commit(repository, "vad, and nobody renewed the baseline")
    put(repository, vad=keywords(filters=48))
    assert run("check", "-q", "--base", "HEAD", "--json", "../head.json") == 1
    pairs = json.loads((repository.parent / "head.json").read_text("utf-8"))["pairs"]
    assert {each["model"]["name"]: each["grown"] for each in pairs}["vad"] == ["flash", "ram"]


def test_the_base_itself_is_held_to_no_base(repository: Path) -> None:
    assert run("diff", "-q", "--base", "HEAD", "--save-base", "../base.json") == 1
    (base,) = json.loads((repository.parent / "base.json").read_text("utf-8"))["pairs"]
    assert (base["outcome"], base["warnings"]) == ("fits", [])


# The store


def test_another_file_first_in_the_store_is_not_taken_for_the_base(repository: Path) -> None:
    """Files of a store are told apart by the commit that they are of, not by their order."""
    grown = commit(repository, "a larger kws")
    assert run("check", "-q", "--base", "HEAD", "--store", "../store") == 0
    (stored,) = (repository.parent / "store").iterdir()
    assert stored.stem == grown
    stored.rename(stored.with_name("0" * 40 + ".json"))
    code, only = checked(repository, "--base", "HEAD~1", "--store", "../store")
    assert (code, only["grown"]) == (1, ["flash", "ram"])


def test_a_damaged_file_of_the_store_is_measured_anew(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    (repository.parent / "store").mkdir()
    (repository.parent / "store" / f"{head}.json").write_text("{", encoding="utf-8")
    code, only = checked(repository, "--base", "HEAD", "--store", "../store")
    assert (code, only["grown"]) == (1, ["flash", "ram"])


@pytest.mark.parametrize("spoil", [pointers, broken_declaration])
def test_the_store_does_not_keep_a_base_that_could_not_be_measured(
    repository: Path, spoil: Callable[[Path], str]
) -> None:
    spoil(repository)
    for _ in range(2):
        code, only = checked(repository, "--base", "auto", "--store", "../store")
        assert (code, only["outcome"]) == (0, "warns")
    assert not list((repository.parent / "store").glob("*"))


# A results file as the base


def test_a_results_file_without_the_pair_is_a_warning(repository: Path) -> None:
    """It may be that of another project: a pair that is new looks the same."""
    put(repository, vad=keywords())
    declare(repository, models=("vad",))
    run("check", "-q", "--json", "../other.json")
    declare(repository, LIMIT)
    code, only = checked(repository, "--baseline", "../other.json")
    assert (code, only["outcome"]) == (0, "warns")
    assert "other.json does not have this pair" in only["growth_unchecked"]
    assert checked(repository, "--baseline", "../other.json", "--require-base")[0] == 2


def test_a_pair_that_was_not_compared_in_its_time_is_a_base_like_any_other(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("check", "-q", "--json", "../base.json")
    run("check", "-q", "--require-base", "--json", "../required.json")
    capsys.readouterr()
    for base in ("../base.json", "../required.json"):
        assert run("check", "--baseline", base, "--require-base") == 0
        assert "1 unchanged" in capsys.readouterr().out


def test_ratchet_and_story_of_a_pair_that_was_not_compared(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(repository, f'{LIMIT}\nrequire_base = true\nbudget = {{ ram = "64 KB" }}')
    assert run("tighten", "--dry-run") == 0
    assert "could be" in capsys.readouterr().out
    assert run("explain", f"kws::{BOARD}") == 1
    assert "growth not checked: no base is named" in capsys.readouterr().out


# What people see


def unchecked(model: str = "kws", **changes: Any) -> PairResult:
    why = "no base is named"
    given = {"outcome": "warns", "warnings": (f"growth not checked: {why}",)}
    return pair(model, growth_unchecked=why, **(given | changes))


def test_the_heading_of_the_summary_is_not_plain_green() -> None:
    text = markdown.render([unchecked(), pair("vad")])
    first = text.splitlines()[0]
    assert first == "### ⚠️ Memory budgets: all pairs fit, growth not checked for 1 pair"
    failed = markdown.render([unchecked(), over("vad")]).splitlines()[0]
    assert failed == "### ❌ Memory budgets: 1 of 2 pairs fails, growth not checked for 1 pair"


def test_the_count_says_it_and_tells_a_missing_base_from_a_missing_size() -> None:
    error = unchecked("b", outcome="error", headline="growth not checked: x", code="TB023")
    text = verdicts.count_text([unchecked(), error, pair("c")])
    assert text == (
        "3 pairs: 1 without the base that is required, 1 with a warning, 1 fit; "
        "growth not checked for 2 pairs"
    )


def test_github_gets_a_warning_at_the_pair() -> None:
    (line,) = github.annotation_lines([unchecked(), pair("vad")])
    assert line.startswith("::warning file=tinybudget.toml,line=12,title=kws on ")
    assert "growth not checked: no base is named" in line


def test_github_gets_a_warning_where_others_take_all_annotations() -> None:
    lines = list(github.annotation_lines([*(over(f"m{n}") for n in range(20)), unchecked()]))
    assert len(lines) == 10
    assert lines[0] == (
        "::warning title=memory budgets::growth not checked for 1 pair: no base is named"
    )


def test_github_gets_a_warning_also_for_a_pair_that_fails_by_its_size() -> None:
    failed = over(growth_unchecked="no base is named", warnings=("growth not checked: x",))
    levels = [line.split(" ")[0] for line in github.annotation_lines([failed])]
    assert levels == ["::warning", "::error"]


def test_the_command_tells_github(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(repository.parent / "summary.md"))
    assert run("check") == 0
    assert "::warning file=tinybudget.toml,line=" in capsys.readouterr().out
    heading = (repository.parent / "summary.md").read_text("utf-8").splitlines()[0]
    assert heading.endswith("growth not checked for 1 pair")


# Under pytest


@pytest.fixture
def gated(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project in a repository of its own whose kws has grown since its commit."""
    for name in ("GITHUB_REF", "GITHUB_SHA", "CI_MERGE_REQUEST_EVENT_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = project(kws=keywords(filters=8), vad=keywords(filters=4))
    git(made.path, "init", "--quiet")
    declare(made.path, head=f"[defaults]\n{LIMIT}\n", models=("kws", "vad"))
    commit(made.path, "base")
    put(made.path, kws=keywords(filters=24))
    return made


def test_plain_pytest_warns_and_its_table_says_why(gated: Any) -> None:
    result = gated.runpytest("--tinybudget")
    result.assert_outcomes(passed=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["WARN*kws*", "*growth not checked: no base is named (*", "*--tinybudget-base=auto)"]
    )
    result.stdout.fnmatch_lines(["2 pairs: 2 with a warning; growth not checked for 2 pairs"])


def test_pytest_can_require_a_base(gated: Any) -> None:
    result = gated.runpytest("--tinybudget", "--tinybudget-require-base")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["growth not checked: no base is named* (a base is required)*"])
    gated.makeini("[pytest]\ntinybudget_require_base = true\n")
    gated.runpytest("--tinybudget").assert_outcomes(errors=2)


@pytest.mark.parametrize("revision", ["HEAD", "auto"])
def test_pytest_compares_with_a_commit_as_check_does(gated: Any, revision: str) -> None:
    if revision == "auto":
        commit(gated.path, "a larger kws")
    result = gated.runpytest(
        "--tinybudget", f"--tinybudget-base={revision}", "--tinybudget-json=../head.json"
    )
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["flash grew *, * allowed*"])
    result.stdout.fnmatch_lines(
        ["compared with commit *", "FAIL changed *kws*", "1 changed, 1 unch*"]
    )
    found = (gated.path.parent / "head.json").read_text("utf-8")
    os.chdir(gated.path)
    assert run("check", "-q", "--base", revision, "--json", "../command.json") == 1
    assert found == (gated.path.parent / "command.json").read_text("utf-8")
    assert git(gated.path, "worktree", "list").count("\n") == 0


@needs_xdist
def test_the_workers_hold_growth_to_the_base_that_the_controller_measured(gated: Any) -> None:
    result = gated.runpytest("--tinybudget", "--tinybudget-base=HEAD", "-n", "2")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["compared with commit *", "1 changed, 1 unchanged"])
    put(gated.path, vad=b"damaged")
    commit(gated.path, "a damaged vad")
    put(gated.path, vad=keywords(filters=4))
    result = gated.runpytest("--tinybudget", "--tinybudget-base=HEAD", "-n", "2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*growth not checked: could not be measured on commit*"])


def test_the_ini_value_names_a_base_and_an_option_takes_its_place(gated: Any) -> None:
    gated.makeini("[pytest]\ntinybudget_base = HEAD\n")
    gated.runpytest("--tinybudget", "--tinybudget-json=head.json").assert_outcomes(
        failed=1, passed=1
    )
    result = gated.runpytest("--tinybudget", "--tinybudget-baseline=head.json")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["compared with *head.json*"])


def test_a_base_and_a_baseline_together_or_an_unknown_commit_is_wrong_usage(gated: Any) -> None:
    both = ("--tinybudget-base=HEAD", "--tinybudget-baseline=base.json")
    for arguments, said in (
        (both, "--tinybudget-base and --tinybudget-baseline: give one of them"),
        (("--tinybudget-base=nowhere",), "--tinybudget-base: nowhere: no such commit in *"),
    ):
        result = gated.runpytest("--tinybudget", *arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: {said}"])


def test_one_pair_alone_is_compared_by_its_node_id(gated: Any) -> None:
    node = f"tinybudget.toml::kws::{BOARD}"
    result = gated.runpytest(node, "--tinybudget-base=HEAD")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["1 changed"])


def test_a_run_that_only_collects_measures_no_base(gated: Any) -> None:
    result = gated.runpytest("--tinybudget", "--tinybudget-base=nowhere", "--collect-only")
    assert result.ret == 0


def test_the_declared_baseline_that_is_missing_is_an_error_of_its_pairs(gated: Any) -> None:
    declare(gated.path, head=f'[defaults]\nbaseline = "typo.json"\n{LIMIT}\n')
    result = gated.runpytest("--tinybudget")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*typo.json: no such baseline file*"])
