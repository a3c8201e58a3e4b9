"""Drift: growth over a tag, however many small changes it took, and each within its own limit."""

from __future__ import annotations

import json
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

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.base import find_base
from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.declaration import load_declaration


pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")

SINCE = 'max_increase = { bytes = "1 KB", since = "v1.2" }'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """kws at the tag v1.2, and a commit of a larger one on top of which nothing has changed."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    git(folder, "init", "--quiet")
    put(folder, kws=keywords(filters=8))
    declare(folder)
    commit(folder, "the release")
    git(folder, "tag", "v1.2")
    put(folder, kws=keywords(filters=32))
    declare(folder, SINCE)
    commit(folder, "a larger kws")
    return folder


def results() -> Any:
    return json.loads(Path("results.json").read_text("utf-8"))["pairs"]


def check(*arguments: str) -> int:
    return run("check", "--json=results.json", *arguments)


def test_what_grew_since_the_tag_fails_though_nothing_grew_since_the_base(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(folder, f"{SINCE.replace('max_increase = ', 'max_increase = [{ bytes = 0 }, ')}]")
    assert check("--base", "HEAD") == 1
    (result,) = results()
    assert (result["outcome"], result["grown"], result["codes"]) == ("unmet", [], ["TB024"])
    flash, ram = (each for each in result["drift"] if each["metric"] in ("flash", "ram"))
    assert flash["since"] == "v1.2"
    assert flash["commit"].endswith("(v1.2)")
    assert flash["used"] == result["flash"]["used"]
    assert flash["used"] - flash["base_used"] > 1024
    assert (flash["exceeded"], ram["exceeded"]) == (True, True)
    said = " ".join(capsys.readouterr().out.split())
    assert " since v1.2, 1.0 KB allowed" in said
    assert "if the increase of flash is agreed: [[models.kws.accept]]" in said
    assert result["declared_at"] == "tinybudget.toml:6"


def test_a_pair_within_its_limit_notes_how_far_it_is_from_the_tag(folder: Path) -> None:
    declare(folder, 'max_increase = { percent = 900, since = "v1.2" }')
    assert check() == 0
    (result,) = results()
    assert result["outcome"] == "fits"
    assert not any(each["exceeded"] for each in result["drift"])
    (note,) = [each for each in result["notes"] if each.startswith("since v1.2: ")]
    assert "flash +" in note


def test_drift_is_new_where_the_change_adds_to_it_and_old_where_it_does_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check("--base", "HEAD", "--report", "digest=digest.json") == 1
    assert json.loads(Path("digest.json").read_text("utf-8"))["old_failures"] == 1
    assert "1 failed before" in capsys.readouterr().out
    put(folder, kws=keywords(filters=36))
    assert check("--base", "HEAD", "--report", "digest=digest.json") == 1
    assert json.loads(Path("digest.json").read_text("utf-8"))["new_failures"] == 1


def test_a_pair_newer_than_the_tag_has_nothing_to_drift_from(folder: Path) -> None:
    put(folder, vad=keywords(filters=4, name="vad"), kws=keywords(filters=8))
    declare(folder, SINCE, models=("kws", "vad"))
    assert check() == 0
    kws, vad = results()
    assert (vad["drift"], vad["growth_unchecked"]) == ([], "")
    assert kws["drift"] == []  # the limit is declared of vad


def test_an_agreed_increase_covers_drift(folder: Path) -> None:
    agreed = "".join(
        f'\n[[models.kws.accept]]\nmetric = "{metric}"\nup_to = "800 KB"\n'
        'reason = "a release of its own"\nuntil = 2999-01-01\n'
        for metric in ("flash", "ram")
    )
    declare(folder, SINCE + agreed)
    assert check() == 0
    (result,) = results()
    assert [each["metric"] for each in result["accepted"]] == ["flash", "ram"]
    assert not any(each["exceeded"] for each in result["drift"])


def test_a_missing_tag_is_an_error_that_offers_the_nearest(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(folder, SINCE.replace("v1.2", "v1.20"))
    assert check() == 2
    assert "max_increase since v1.20: no such commit in" in capsys.readouterr().out
    (result,) = results()
    assert result["outcome"] == "error"
    assert result["headline"].endswith("; did you mean 'v1.2'?")


def test_a_shallow_clone_says_how_to_fetch_the_tag(folder: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", folder.as_uri(), str(shallow))
    with pytest.raises(TinybudgetError) as caught:
        find_base(Repository.around(shallow), "v1.2")
    assert caught.value.message.endswith(
        "the clone is shallow, fetch more of it (fetch-depth: 0), tags among it"
    )


def test_without_git_drift_is_not_checked_and_that_is_no_plain_green(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(folder / ".git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    assert check() == 0
    (result,) = results()
    assert result["outcome"] == "warns"
    assert result["warnings"][0].startswith("growth since v1.2 not checked: git: not a git repo")
    assert check("--require-base") == 2


def test_a_group_drifts_as_a_model_does_and_explain_agrees(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(folder, "checkout", "--quiet", "v1.2")
    group = '\n[groups.all]\nmodels = ["kws"]\n'
    declare(folder, group)
    commit(folder, "a group")
    git(folder, "tag", "v1.3")
    put(folder, kws=keywords(filters=32))
    declare(folder, group + SINCE.replace("v1.2", "v1.3"))
    assert check() == 1
    assert [each["outcome"] for each in results()] == ["unmet", "fits"]
    capsys.readouterr()
    declare(folder, SINCE)
    assert run("explain", "kws::arduino-nano-33-ble") == 1
    assert " since v1.2, 1.0 KB allowed" in capsys.readouterr().out


def test_under_pytest_it_is_the_same_from_another_folder(
    folder: Path, pytester: pytest.Pytester
) -> None:
    done = pytester.runpytest(
        f"{folder}/tinybudget.toml", f"--tinybudget-json={folder}/results.json"
    )
    done.assert_outcomes(failed=1)
    (result,) = json.loads((folder / "results.json").read_text("utf-8"))["pairs"]
    assert result["codes"] == ["TB024"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('max_increase = { since = "v1" }', "kws.max_increase: expected percent or bytes"),
        ("max_increase = []", "kws.max_increase: expected"),
        (
            'max_increase = [{ percent = 1, since = "a" }, { bytes = 0, since = "a" }]',
            "a second limit since 'a': one is enough",
        ),
        (
            "max_increase = [{ percent = 1 }, { bytes = 0 }]",
            "a second limit over the baseline: one is enough",
        ),
        ("max_increase = { percent = 1, since = 2 }", "since: expected"),
    ],
)
def test_a_wrong_limit_is_told_with_its_place(folder: Path, text: str, said: str) -> None:
    declare(folder, text)
    with pytest.raises(DeclarationError) as caught:
        load_declaration(folder / "tinybudget.toml")
    assert said in caught.value.full_text
