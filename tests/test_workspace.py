"""Bases of several repositories and of submodules: git is asked where a declaration lies."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run


pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

LIMIT = "max_increase = { bytes = 0 }"
SMALL, LARGE = keywords(filters=8), keywords(filters=24)
GROWN = ["flash", "ram"]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no repository, in which tests put some; the working directory."""
    for name in ("GITHUB_REF", "GITHUB_SHA", "CI_MERGE_REQUEST_EVENT_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "workspace"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def repository(folder: Path, content: bytes = SMALL, more: str = LIMIT) -> str:
    """A repository with a kws model and its declaration; its first commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet")
    put(folder, kws=content)
    declare(folder, more)
    return commit(folder, "base")


def add_submodule(outer: Path, inner: Path, path: str) -> None:
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(inner), path)


def checked(*arguments: str, base: str = "auto") -> dict[str, Any]:
    """The pairs of ``check --base``, by the file of their declaration."""
    run("check", "-q", "--base", base, "--json", "../head.json", *arguments)
    content = json.loads(Path("../head.json").read_text("utf-8"))
    return {pair["id"].partition("::")[0]: pair for pair in content["pairs"]}


def test_git_is_asked_where_the_declaration_lies(workspace: Path) -> None:
    repository(workspace / "firmware")
    put(workspace / "firmware", kws=LARGE)
    (pair,) = checked("firmware", base="HEAD").values()
    assert pair["grown"] == GROWN
    repository(workspace / "elsewhere")
    os.chdir(workspace / "elsewhere")
    (pair,) = checked("../firmware", base="HEAD").values()
    assert pair["grown"] == GROWN


def test_repositories_side_by_side_have_a_base_each(workspace: Path) -> None:
    bases = {}
    for name in ("one", "two"):
        bases[name] = repository(workspace / name)
        commit(workspace / name, "next")
    put(workspace / "two", kws=LARGE)
    commit(workspace / "two", "a larger kws")
    pairs = checked()
    assert pairs["one/tinybudget.toml"]["outcome"] == "fits"
    assert pairs["two/tinybudget.toml"]["grown"] == GROWN
    for name in bases:
        assert git(workspace / name, "worktree", "list").count("\n") == 0


def test_the_report_names_the_commit_of_each(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commits = {name: repository(workspace / name) for name in ("one", "two")}
    assert run("check", "--base", "HEAD") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"compared with one: commit {commits['one'][:12]} (HEAD), "
        f"two: commit {commits['two'][:12]} (HEAD)"
    ) in shown


def test_one_without_a_base_warns_and_the_other_is_compared(workspace: Path) -> None:
    repository(workspace / "one")
    repository(workspace / "two")
    put(workspace / "two", kws=LARGE)
    commit(workspace / "two", "a larger kws")
    (workspace / "three").mkdir()
    put(workspace / "three", kws=SMALL)
    declare(workspace / "three", LIMIT)
    pairs = checked()
    assert "HEAD has no commit before it" in pairs["one/tinybudget.toml"]["growth_unchecked"]
    assert pairs["two/tinybudget.toml"]["grown"] == GROWN
    assert "not a git repository" in pairs["three/tinybudget.toml"]["growth_unchecked"]


def test_a_commit_that_one_of_them_lacks_is_wrong_input(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(workspace / "one")
    repository(workspace / "two")
    git(workspace / "one", "tag", "v1")
    assert run("check", "--base", "v1") == 2
    assert "v1: no such commit in" in capsys.readouterr().err


def test_a_model_of_the_repository_beside_is_read_from_its_base(workspace: Path) -> None:
    """``actions/checkout`` with ``path:`` for the firmware, and again for its models."""
    repository(workspace / "zoo")
    (workspace / "zoo" / "tinybudget.toml").unlink()
    commit(workspace / "zoo", "models alone")
    repository(workspace / "firmware")
    file = workspace / "firmware" / "tinybudget.toml"
    file.write_text(file.read_text("utf-8").replace('"models/', '"../zoo/models/'), "utf-8")
    commit(workspace / "firmware", "models from the zoo")
    commit(workspace / "firmware", "next")
    put(workspace / "zoo", kws=LARGE)
    commit(workspace / "zoo", "a larger kws")
    (pair,) = checked("firmware").values()
    assert (pair["grown"], pair["growth_unchecked"]) == (GROWN, "")


def test_the_store_tells_the_repositories_apart(workspace: Path) -> None:
    first = repository(workspace / "one")
    repository(workspace / "two")
    checked("--store", "../store", base="HEAD")
    (kept,) = (workspace.parent / "store").iterdir()
    assert kept.stem.startswith(first)
    put(workspace / "two", kws=LARGE)
    commit(workspace / "two", "a larger kws")
    put(workspace / "two", kws=SMALL)
    checked("--store", "../store", base="HEAD")
    assert len(list((workspace.parent / "store").iterdir())) == 2


def test_pytest_finds_the_repositories_below_its_rootdir(
    workspace: Path, pytester: pytest.Pytester
) -> None:
    for name in ("one", "two"):
        repository(pytester.path / name)
        commit(pytester.path / name, "next")
    put(pytester.path / "two", kws=LARGE)
    result = pytester.runpytest("--tinybudget", "--tinybudget-base=auto", "--rootdir=.")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["compared with one: commit *", "1 changed, 1 unchanged"])


# Submodules


@pytest.fixture
def product(workspace: Path) -> Path:
    """A product with its models in a submodule, that has grown since; the working directory."""
    repository(workspace.parent / "origin" / "zoo")
    product = workspace / "product"
    product.mkdir()
    git(product, "init", "--quiet")
    add_submodule(product, workspace.parent / "origin" / "zoo", "zoo")
    commit(product, "with a zoo")
    put(product / "zoo", kws=LARGE)
    commit(product / "zoo", "a larger kws")
    commit(product, "the zoo's newest")
    os.chdir(product)
    return product


def test_a_declaration_in_a_submodule_has_the_base_that_the_outer_repository_names(
    product: Path,
) -> None:
    (pair,) = checked().values()
    assert pair["id"].startswith("zoo/tinybudget.toml::kws::")
    assert (pair["grown"], pair["growth_unchecked"]) == (GROWN, "")
    os.chdir("..")
    (pair,) = checked("product").values()
    assert pair["grown"] == GROWN
    for folder in (product, product / "zoo"):
        assert git(folder, "worktree", "list").count("\n") == 0
        assert git(folder, "status", "--porcelain") == ""


def test_from_inside_a_submodule_its_own_history_counts(product: Path) -> None:
    commit(product / "zoo", "nothing of the models")
    git(product / "zoo", "update-ref", "refs/remotes/origin/main", "HEAD")
    os.chdir("zoo")
    (pair,) = checked().values()
    assert (pair["outcome"], pair["growth_unchecked"]) == ("fits", "")


def test_a_model_in_a_submodule_is_that_of_the_base(product: Path) -> None:
    declare(product, LIMIT)
    file = product / "tinybudget.toml"
    file.write_text(file.read_text("utf-8").replace('"models/', '"zoo/models/'), "utf-8")
    (product / "zoo" / "tinybudget.toml").unlink()
    git(product / "zoo", "checkout", "--quiet", "HEAD~1", "--", "models")
    commit(product / "zoo", "small again")
    commit(product, "declares the zoo's model")
    put(product / "zoo", kws=LARGE)
    commit(product / "zoo", "large again")
    commit(product, "the zoo's newest")
    (pair,) = checked("tinybudget.toml").values()
    assert (pair["grown"], pair["growth_unchecked"]) == (GROWN, "")


def test_a_submodule_without_the_commit_of_the_base_warns_and_says_which(
    product: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after ``git submodule update --depth 1``."""
    declare(product, LIMIT)
    file = product / "tinybudget.toml"
    file.write_text(file.read_text("utf-8").replace('"models/', '"zoo/models/'), "utf-8")
    commit(product, "declares the zoo's model")
    lost = git(product / "zoo", "rev-parse", "HEAD")
    git(product / "zoo", "commit", "--quiet", "--amend", "--message", "rewritten")
    git(product / "zoo", "reflog", "expire", "--expire=now", "--all")
    git(product / "zoo", "gc", "--quiet", "--prune=now")
    commit(product, "the zoo's newest")
    (pair,) = checked("tinybudget.toml").values()
    assert pair["outcome"] == "warns"
    assert pair["growth_unchecked"].endswith(
        "has no results: tinybudget.toml:4: models.kws.source: no such file: "
        "'zoo/models/kws.tflite'"
    )
    capsys.readouterr()
    run("check", "--base", "auto")
    shown = " ".join(capsys.readouterr().out.split())
    assert f"submodule zoo: commit {lost[:12]} of the base is not here: git: " in shown
