"""GitHub's merge queue: a group is compared with what it stands on, not with the branch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put
from small_projects import run

from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.baseline.git import Repository


pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


class Queue:
    """main, and two groups: the first grows kws, the second stands on it and changes a text."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        git(folder, "init", "--quiet")
        put(folder, kws=keywords(filters=8))
        declare(folder, "max_increase = { bytes = 0 }")
        self.main = commit(folder, "main")
        git(folder, "checkout", "--quiet", "-b", "gh-readonly-queue/main/pr-1")
        put(folder, kws=keywords(filters=16))
        self.first = commit(folder, "the first group")
        git(folder, "checkout", "--quiet", "-b", "gh-readonly-queue/main/pr-2")
        (folder / "notes.txt").write_text("by the way", encoding="utf-8")
        self.second = commit(folder, "the second group")

    def checks(self, head: str, base: str, folder: Path | None = None) -> None:
        """GitHub starts a run for the group ``head`` on ``base``."""
        event = self.folder / "event.json"
        group = {
            "head_sha": head,
            "head_ref": "refs/heads/gh-readonly-queue/main/pr-2",
            "base_sha": base,
            "base_ref": "refs/heads/main",
        }
        content = {"action": "checks_requested", "merge_group": group}
        event.write_text(json.dumps(content), encoding="utf-8")
        for name, value in {
            "GITHUB_ACTIONS": "true",
            "GITHUB_EVENT_NAME": "merge_group",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": group["head_ref"],
            "GITHUB_SHA": head,
        }.items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.chdir(folder or self.folder)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    folder = tmp_path / "project"
    folder.mkdir()
    return Queue(folder, monkeypatch)


def test_a_group_is_compared_with_the_group_that_it_stands_on(
    queue: Queue, capsys: pytest.CaptureFixture[str]
) -> None:
    queue.checks(queue.second, queue.first)
    assert run("check", "--base", "auto") == 0
    said = capsys.readouterr().out
    assert f"commit {queue.first[:12]} (the parent of the merge group)" in said
    queue.checks(queue.second, queue.main)
    assert run("check", "--base", "auto") == 1
    assert f"commit {queue.main[:12]} (the parent of the merge group)" in capsys.readouterr().out


def test_a_shallow_clone_without_the_base_says_how_to_fetch_it(
    queue: Queue, tmp_path: Path
) -> None:
    queue.checks(queue.second, queue.main)
    shallow = tmp_path / "shallow"
    origin = queue.folder.as_uri()
    git(tmp_path, "clone", "--quiet", "--depth=1", origin, str(shallow))
    expected = (
        f"the merge group's base {queue.main[:12]} is not here: "
        r"the clone is shallow, fetch more of it \(fetch-depth: 0\)"
    )
    with pytest.raises(GitError, match=expected):
        Repository.around(shallow).base()


def test_a_repository_beside_the_one_of_the_queue_has_a_base_of_its_own(
    queue: Queue, tmp_path: Path
) -> None:
    queue.checks(queue.second, queue.first)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    before = commit(other, "before")
    commit(other, "after")
    assert Repository.around(other).base().commit == before


@pytest.mark.parametrize("content", ["[]", "{", '{"merge_group": 1}', ""])
def test_an_event_that_says_nothing_of_a_group_is_no_group(queue: Queue, content: str) -> None:
    queue.checks(queue.second, queue.main)
    (queue.folder / "event.json").write_text(content, encoding="utf-8")
    assert "main" in Repository.around(queue.folder).base().why
