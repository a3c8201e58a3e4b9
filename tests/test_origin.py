"""What a page says of where its results come from: repository, commits, run, dates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_projects import commit
from small_projects import declare
from small_projects import git
from small_projects import keywords
from small_projects import put

from pytest_tinybudget.baseline.origin import Link
from pytest_tinybudget.baseline.origin import Origin
from pytest_tinybudget.baseline.origin import origin_of
from pytest_tinybudget.cli import main
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import own_provenance


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

HOME = "https://github.com/acme/doorbell"
GITHUB = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/doorbell",
    "GITHUB_RUN_ID": "77",
    "GITHUB_REF": "refs/pull/12/merge",
}
NOW = {"SOURCE_DATE_EPOCH": "1796000000"}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "doorbell"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "file").write_text("1")
    commit(folder, "first")
    return folder


def head_of(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD").strip()


@needs_git
def test_a_run_without_a_base_is_of_the_commit_that_is_checked_out(repository: Path) -> None:
    origin = origin_of(None, repository, NOW)
    date = git(repository, "show", "--no-patch", "--format=%cs").strip()
    assert origin == Origin(
        repository=Link("doorbell"),
        commits=(Link(f"{head_of(repository)[:12]} of {date}"),),
        written="2026-11-30 00:53 UTC",
    )


@needs_git
def test_files_that_differ_from_the_commit_are_named(repository: Path) -> None:
    (repository / "file").write_text("2")
    (link,) = origin_of(None, repository, NOW).commits
    assert link.text.endswith(", with changes that are not committed")
    assert not link.address


@needs_git
def test_github_names_repository_pull_request_and_run_and_commits_are_links(
    repository: Path,
) -> None:
    head = head_of(repository)
    provenance = own_provenance((Checkout(".", head, "b" * 40, "merge base with main"),))
    origin = origin_of(provenance, repository, {**GITHUB, **NOW})
    assert origin.repository == Link("acme/doorbell", HOME)
    assert origin.change == Link("pull request 12", f"{HOME}/pull/12")
    assert origin.run == Link("GitHub Actions run 77", f"{HOME}/actions/runs/77")
    assert [each.address for each in origin.commits] == [f"{HOME}/commit/{head}"]
    assert origin.bases == (
        Link(f"{'b' * 12} (merge base with main)", f"{HOME}/commit/{'b' * 40}"),
    )


@pytest.mark.parametrize(
    ("environment", "run"),
    [
        (
            {"CI_JOB_ID": "5", "CI_JOB_URL": "https://gitlab.com/a/b/-/jobs/5"},
            Link("GitLab job 5", "https://gitlab.com/a/b/-/jobs/5"),
        ),
        (
            {"BUILD_NUMBER": "8", "BUILD_URL": "https://ci.example/job/kws/8/"},
            Link("Jenkins build 8", "https://ci.example/job/kws/8/"),
        ),
        (
            {
                "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
                "SYSTEM_TEAMPROJECT": "doorbell",
                "BUILD_BUILDID": "9",
            },
            Link("Azure build 9", "https://dev.azure.com/acme/doorbell/_build/results?buildId=9"),
        ),
        ({"BUILD_NUMBER": "8", "BUILD_URL": "javascript:alert(1)"}, Link("")),
        ({"BUILD_NUMBER": "8", "BUILD_URL": "https://user:secret@ci.example/8/"}, Link("")),
        ({"BUILD_NUMBER": "8", "BUILD_URL": "https://[broken"}, Link("")),
        ({}, Link("")),
    ],
)
def test_a_run_is_a_link_only_where_it_is_an_address_of_the_web_without_a_password(
    environment: dict[str, str], run: Link, tmp_path: Path
) -> None:
    assert origin_of(own_provenance(), tmp_path, {**environment, **NOW}).run == run


@needs_git
@pytest.mark.parametrize(
    ("remote", "repository_link"),
    [
        ("https://x-access-token:SECRET@github.com/acme/doorbell.git", Link("acme/doorbell", HOME)),
        ("git@github.com:acme/doorbell.git", Link("acme/doorbell", HOME)),
        ("ssh://git@github.com:22/acme/doorbell", Link("acme/doorbell", HOME)),
        ("/srv/git/doorbell.git", Link("doorbell")),
        ("https://[broken", Link("[broken")),
    ],
)
def test_a_remote_becomes_a_name_and_an_address_without_its_password(
    remote: str, repository_link: Link, repository: Path
) -> None:
    git(repository, "remote", "add", "origin", remote)
    origin = origin_of(None, repository, NOW)
    assert origin.repository == repository_link
    assert "SECRET" not in str(origin)


@needs_git
def test_results_from_elsewhere_do_not_get_the_name_of_the_repository_around(
    repository: Path,
) -> None:
    provenance = own_provenance((Checkout(".", "c" * 40, "b" * 40, "HEAD^"),))
    origin = origin_of(provenance, repository, NOW)
    assert origin.repository == Link("")
    assert origin.commits == (Link("c" * 12),)


def test_several_repositories_are_told_apart(tmp_path: Path) -> None:
    provenance = own_provenance((Checkout("app", "a" * 40), Checkout("models", "b" * 40)))
    origin = origin_of(provenance, tmp_path, NOW)
    assert [each.text for each in origin.commits] == [f"app: {'a' * 12}", f"models: {'b' * 12}"]


@needs_git
def test_the_page_of_a_run_names_its_commit_and_its_date(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(repository, kws=keywords())
    declare(repository)
    commit(repository, "declaration")
    monkeypatch.chdir(repository)
    for name in (*GITHUB, "CI_JOB_URL", "BUILD_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", NOW["SOURCE_DATE_EPOCH"])
    assert main(["check", "--html", "page.html"]) == 0
    capsys.readouterr()
    page = Path("page.html").read_text("utf-8")
    assert f"<dt>Commit</dt><dd>{head_of(repository)[:12]} of " in page
    assert "<dt>Written</dt><dd>2026-11-30 00:53 UTC</dd>" in page
