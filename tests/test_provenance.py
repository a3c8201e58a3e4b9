"""A results file says what its numbers belong to, and reports of it print that and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import report_samples as samples
from msgspec.structs import replace
from report_samples import IDENTITY
from report_samples import pair
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run
from upstream import RUNTIME as UPSTREAM

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.merge import merged_provenance
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance
from pytest_tinybudget.runtimes.runtime import RUNTIMES


ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "results.schema.json").read_text("utf-8"))

needs_git = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

#: As an installation of two years ago wrote it.
OLD = replace(IDENTITY, tool="0.0.7", tflm="0ldc0mm1t", description="Cortex-M4, CMSIS-NN of 2024")
A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def text_of(*results: Any, checkouts: tuple[Checkout, ...] = (), tool: str = "") -> str:
    source = own_provenance(checkouts)
    return writer.render(results, replace(source, tool=tool) if tool else source)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "old.json"
    source = Provenance("0.0.7", "0ldc0mm1t")
    path.write_text(writer.render([samples.over(identity=OLD)], source), encoding="ascii")
    return path


# Identity


def test_a_measured_pair_has_the_identity_of_its_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=keywords())
    declare(tmp_path, head=f"[defaults]\n{UPSTREAM}")
    assert run("check", "-q", "--json", "head.json") == 0
    content = json.loads(Path("head.json").read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    (only,) = content["pairs"]
    runtime = RUNTIMES["m4_cmsisnn"]
    assert only["identity"] == {
        "tflm": runtime.tflm_commit,
        "description": runtime.description,
        "kernels": "cmsis-nn",
        "kernels_version": None,
        "abi": "arm-eabi",
        "cores": ["Cortex-M4F"],
        "distribution": None,
        "by_history": False,
    }
    assert content["runtime"]["variants"] == [{"name": "m4_cmsisnn", **only["identity"]}]
    assert content["repositories"] == [], "git was not asked"


def test_a_runtime_of_the_users_own_is_known_by_its_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, kws=keywords())
    own = '\n[runtime.mine]\nextends = "m4_cmsisnn"\nkernels = "reference"\n'
    declare(tmp_path, 'runtime = "mine"' + own)
    assert run("check", "--json", "head.json") == 0
    assert "TFLM 90b983c2, mine, declared from m4_cmsisnn: 1 pair" in capsys.readouterr().out
    (only,) = json.loads(Path("head.json").read_text("utf-8"))["pairs"]
    assert only["identity"]["kernels"] == "reference"
    fixed = 'runtime = { flash = "30 KB", stack = "2 KB" }'
    declare(tmp_path, fixed)
    assert run("check", "--json", "head.json") == 0
    assert "flash and stack as declared, arena for Cortex-M4F" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["html", "markdown", "json", "junit"])
def test_a_report_of_an_old_file_prints_what_the_file_says(
    name: str, old_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("report", str(old_file), "--format", name) == 0
    shown = capsys.readouterr().out
    assert "0ldc0mm1t" in shown
    assert "Cortex-M4, CMSIS-NN of 2024" in shown
    installed = RUNTIMES["m4_cmsisnn"]
    assert installed.tflm_commit not in shown
    assert installed.description not in shown
    if name != "junit":
        assert "0.0.7" in shown


def test_a_report_of_an_old_file_as_json_is_the_file_again(
    old_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("report", str(old_file), "--format", "json")
    assert capsys.readouterr().out == old_file.read_text("ascii")


def test_a_file_from_before_there_were_identities_has_those_of_its_runtimes() -> None:
    content = json.loads(text_of(samples.over()))
    del content["repositories"], content["pairs"][0]["identity"]
    content["tool"]["version"] = "0.0.5"
    content["runtime"] = {
        "tflm_commit": "0ldc0mm1t",
        "variants": [
            {"name": "m4_cmsisnn", "description": "as it was", "kernels": "x", "abi": "y"},
        ],
    }
    read = read_results(json.dumps(content).encode(), "old.json")
    (only,) = read.pairs
    assert only.runtime_text == "TFLM 0ldc0mm1t, as it was"
    assert only.identity is not None
    assert only.identity.tool == "0.0.5"
    content["runtime"]["variants"] = []
    (only,) = read_results(json.dumps(content).encode(), "old.json").pairs
    assert only.runtime_text == "runtime m4_cmsisnn", "nothing is looked up"


def test_two_runtimes_of_one_name_are_both_in_the_file() -> None:
    """Each declaration may have a [runtime.mine] of its own."""
    first = pair("a", runtime="mine", identity=replace(IDENTITY, kernels="reference"))
    second = pair("b", runtime="mine", identity=replace(IDENTITY, kernels="esp-nn"))
    content = json.loads(text_of(second, first))
    assert [each["kernels"] for each in content["runtime"]["variants"]] == ["esp-nn", "reference"]
    read = read_results(text_of(second, first).encode(), "x").pairs
    assert [each.identity and each.identity.kernels for each in read] == ["reference", "esp-nn"]


# Commits


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_REF", "GITHUB_SHA", "CI_MERGE_REQUEST_EVENT_TYPE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet")
    put(folder, kws=keywords(filters=8))
    declare(folder)
    commit(folder, "base")
    put(folder, kws=keywords(filters=24))
    commit(folder, "a larger kws")
    return folder


def repositories_of(path: str) -> Any:
    content = json.loads(Path(path).read_text("utf-8"))
    jsonschema.validate(content, SCHEMA)
    return content["repositories"]


@needs_git
def test_a_run_with_a_base_names_both_commits_and_is_the_same_each_time(repository: Path) -> None:
    head, base = (git(repository, "rev-parse", each) for each in ("HEAD", "HEAD~1"))
    for name in ("one", "two"):
        run("check", "-q", "--base", "auto", "--json", f"build/{name}.json", "--store", "../base")
    (only,) = repositories_of("build/one.json")
    assert only == {
        "folder": ".",
        "commit": head,
        "base": {"commit": base, "found": "the commit before, on main"},
    }
    assert Path("build/one.json").read_bytes() == Path("build/two.json").read_bytes()
    (stored,) = (repository.parent / "base").iterdir()
    assert repositories_of(str(stored)) == [{"folder": ".", "commit": base, "base": None}]


@needs_git
def test_a_tree_that_differs_from_its_commit_names_none(repository: Path) -> None:
    put(repository, kws=keywords(filters=4))
    run("check", "-q", "--base", "HEAD", "--json", "../head.json")
    (only,) = repositories_of("../head.json")
    assert only["commit"] is None
    assert only["base"]["commit"] == git(repository, "rev-parse", "HEAD")


@needs_git
def test_a_file_that_is_itself_committed_cannot_name_its_commit(repository: Path) -> None:
    run("check", "-q", "--base", "auto", "--json", "kept.json")
    commit(repository, "with results")
    texts = []
    for _ in range(2):
        run("check", "-q", "--base", "auto", "--json", "kept.json")
        texts.append(Path("kept.json").read_text("utf-8"))
    assert texts[0] == texts[1]
    assert repositories_of("kept.json")[0]["commit"] is None


@needs_git
def test_a_stored_file_of_another_commit_is_not_used_whatever_its_name(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, base = (git(repository, "rev-parse", each) for each in ("HEAD", "HEAD~1"))
    run("check", "-q", "--base", base, "--store", "../base")
    (repository.parent / "base" / f"{base}.json").rename(
        repository.parent / "base" / f"{head}.json"
    )
    capsys.readouterr()
    assert run("diff", "--base", "HEAD", "--store", "../base") == 0
    assert "1 unchanged" in capsys.readouterr().out


@needs_git
@pytest.mark.parametrize("command", ["diff", "check"])
def test_saved_and_written_files_of_each_command_name_their_commits(
    repository: Path, command: str
) -> None:
    head, base = (git(repository, "rev-parse", each) for each in ("HEAD", "HEAD~1"))
    more = ("--save-base", "../base.json") if command == "diff" else ()
    run(command, "-q", "--base", "auto", "--json", "../head.json", *more)
    assert repositories_of("../head.json")[0]["commit"] == head
    if more:
        assert repositories_of("../base.json")[0]["commit"] == base


def test_merged_shards_keep_what_they_agree_on() -> None:
    def shard(*checkouts: Checkout) -> Results:
        return read_results(text_of(pair(), checkouts=checkouts).encode(), "shard.json")

    one, other = Checkout(".", A, B, "HEAD"), Checkout(".", A, C, "HEAD")
    assert merged_provenance([shard(one), shard(one)]).checkouts == (one,)
    assert merged_provenance([shard(one), shard(other)]).checkouts == ()


@pytest.mark.parametrize("value", ["main", "g" * 40, 7])
def test_what_is_no_commit_is_no_results_file(value: Any) -> None:
    content = json.loads(text_of(pair(), checkouts=(Checkout(".", A, B, "x"),)))
    content["repositories"][0]["base"]["commit"] = value
    assert "repositories" in refusal(content)


def refusal(content: Any) -> str:
    with pytest.raises(TinybudgetError) as raised:
        read_results(json.dumps(content).encode(), "x.json")
    return str(raised.value)


# A report picks its base by what files say


def grown(used: int) -> Any:
    sizes = (samples.measure("flash", used=used), samples.measure("ram", 48 * 1024, 64 * 1024))
    return pair(measures=sizes)


@pytest.fixture
def uploaded(tmp_path: Path) -> Path:
    """What the gate's action uploads: the results, and bases of several commits."""
    (tmp_path / "base").mkdir()
    head = text_of(grown(203 * 1024), checkouts=(Checkout(".", C, B, "merge base with main"),))
    (tmp_path / "tinybudget.json").write_text(head, encoding="ascii")
    return tmp_path


def put_base(folder: Path, name: str, used: int, of: str, *others: Any, **more: str) -> None:
    text = text_of(grown(used), *others, checkouts=(Checkout(".", of),), **more)
    (folder / "base" / f"{name}.json").write_text(text, encoding="ascii")


def report(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    arguments = ("report", str(folder / "tinybudget.json"), "--format", "markdown")
    assert run(*arguments, "--store", str(folder / "base")) == 0
    return capsys.readouterr().out


def test_the_base_is_the_file_of_the_commit_that_the_results_name(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_base(uploaded, "0" * 40, 100 * 1024, A)  # first in the alphabet
    put_base(uploaded, A, 202 * 1024, B)  # under a wrong name
    put_base(uploaded, B, 150 * 1024, C)  # under the right one
    (uploaded / "base" / "1.json").write_text("{", encoding="ascii")
    shown = report(uploaded, capsys)
    assert f"Compared with <code>commit {B[:12]} (merge base with main)</code>" in shown
    assert "+1.0 KB" in shown


def test_of_several_files_of_the_commit_that_with_the_pairs_of_the_results_counts(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [pair("vad"), pair("wake")]
    put_base(uploaded, "0-whole", 202 * 1024, B, *others)
    put_base(uploaded, "1-alone", 202 * 1024, B)
    put_base(uploaded, "2-older", 202 * 1024, B, tool="0.0.1")
    shown = report(uploaded, capsys)
    assert "gone" not in shown
    assert "not comparable" not in shown
    assert "+1.0 KB" in shown


def test_without_results_of_that_commit_nothing_is_compared_and_the_report_says_so(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_base(uploaded, B, 100 * 1024, A)
    shown = report(uploaded, capsys)
    assert "Compared with" not in shown
    assert f"not compared: {(uploaded / 'base').as_posix()} has no results of" in shown
    assert B[:12] in shown


def test_results_that_name_no_base_are_compared_with_none_of_the_files(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_base(uploaded, B, 100 * 1024, B)
    (uploaded / "tinybudget.json").write_text(text_of(grown(1024)), encoding="ascii")
    shown = report(uploaded, capsys)
    assert "names no base commit" in shown
    assert "Compared with" not in shown


def test_bases_of_several_repositories_are_one_file(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = (Checkout("a", C, A, "HEAD"), Checkout("b", C, B, "HEAD"))
    text = text_of(grown(203 * 1024), checkouts=both)
    (uploaded / "tinybudget.json").write_text(text, encoding="ascii")
    put_base(uploaded, "first", 100 * 1024, A)
    base = text_of(grown(202 * 1024), checkouts=(Checkout("a", A), Checkout("b", B)))
    (uploaded / "base" / "second.json").write_text(base, encoding="ascii")
    shown = report(uploaded, capsys)
    assert f"a: commit {A[:12]} (HEAD), b: commit {B[:12]} (HEAD)" in shown
    assert "+1.0 KB" in shown


def test_a_baseline_is_named_after_the_commit_that_it_says_it_is_of(
    uploaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_base(uploaded, A, 202 * 1024, B)
    path = uploaded / "base" / f"{A}.json"
    run("report", str(uploaded / "tinybudget.json"), "--baseline", str(path), "--format", "html")
    shown = capsys.readouterr().out
    assert f"commit {B[:12]}" in shown
    assert A[:12] not in shown
