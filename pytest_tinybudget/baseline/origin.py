"""Where a page of results comes from: repository, commit, base, run and dates.

The results file names commits and no times, so that equal results are equal files. A page is for
people: what else they ask for comes from git and from the variables of the CI system.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import datetime
from datetime import timezone
from pathlib import Path
from urllib.parse import SplitResult
from urllib.parse import urlsplit

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.git import SHORT_COMMIT
from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Provenance


#: The time that a page names instead of now: https://reproducible-builds.org/specs/source-date-epoch/
DATE_VARIABLE = "SOURCE_DATE_EPOCH"

#: Of each CI system the name of a run, and the variables that its address is made of.
_RUNS = (
    (
        "GitHub Actions run {GITHUB_RUN_ID}",
        "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    ("GitLab job {CI_JOB_ID}", "{CI_JOB_URL}"),
    (
        "Bitbucket pipeline {BITBUCKET_BUILD_NUMBER}",
        "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
    ),
    (
        "Azure build {BUILD_BUILDID}",
        "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
    ),
    ("Jenkins build {BUILD_NUMBER}", "{BUILD_URL}"),
    ("CircleCI build {CIRCLE_BUILD_NUM}", "{CIRCLE_BUILD_URL}"),
)
#: Of each CI system the address of the repository.
_REPOSITORIES = (
    "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}",
    "{CI_PROJECT_URL}",
    "{BITBUCKET_GIT_HTTP_ORIGIN}",
    "{BUILD_REPOSITORY_URI}",
)
_VARIABLE = re.compile(r"\{([A-Z_]+)\}")
_PULL_REQUEST = re.compile(r"refs/pull/(\d+)/")

#: Where hosts show a commit, by how their name begins.
_COMMIT_PAGES = {"github.": "commit", "gitlab.": "-/commit", "bitbucket.": "commits"}

#: ``git@host:owner/name.git``, as ssh takes it.
_SSH = re.compile(r"(?:[^@/]+@)?([A-Za-z0-9.-]+):(?!//)(.+)\Z")


class Link(Struct, frozen=True):
    """Words, and the address that they lead to; without an address only words."""

    text: str
    address: str = ""


class Origin(Struct, frozen=True):
    """Where results come from. What is not known is empty.

    Args:
        repository: Its name, such as ``acme/doorbell``.
        change: The pull or merge request.
        commits: The commits that were measured, each with its date where git knows it.
        bases: The commits that these were compared with, and how they were found.
        run: The run of the CI system that wrote the page.
        written: When the page was written, in UTC.
    """

    repository: Link = Link("")
    change: Link = Link("")
    commits: tuple[Link, ...] = ()
    bases: tuple[Link, ...] = ()
    run: Link = Link("")
    written: str = ""


def origin_of(
    provenance: Provenance | None, root: Path, environment: Mapping[str, str] = os.environ
) -> Origin:
    """The origin of results that a process with ``environment`` writes a page of.

    ``provenance`` is that of the results; ``None`` if they were measured just now and nobody asked
    git for the commit. ``root`` is the folder of the declarations.
    """
    repository = _repository(root)
    if provenance is not None and not _has_one_of(repository, provenance):
        repository = None  # the results were brought here from elsewhere
    home = _home(repository, environment)
    if provenance is None:
        checkouts: tuple[Checkout, ...] = (Checkout("."),) if repository else ()
    else:
        checkouts = provenance.checkouts
    own = [each for each in checkouts if each.folder == "."]
    pages = {each.folder: home.address if each in own else "" for each in checkouts}
    several = len(checkouts) > 1
    return Origin(
        repository=home if own else Link(""),
        change=_change(home, environment) if own else Link(""),
        commits=tuple(_measured(each, pages, several, repository) for each in checkouts),
        bases=tuple(_bases(checkouts, pages, repository)),
        run=_run(environment),
        written=_written(environment),
    )


def _repository(root: Path) -> Repository | None:
    try:
        return Repository.around(root)
    except TinybudgetError:
        return None


def _has_one_of(repository: Repository | None, provenance: Provenance) -> bool:
    """Whether the repository around here is the one that the results are of."""
    named = [
        commit for each in provenance.checkouts for commit in (each.commit, each.base) if commit
    ]
    return repository is not None and (not named or any(map(repository.commit, named)))


def _measured(
    checkout: Checkout, pages: Mapping[str, str], several: bool, repository: Repository | None
) -> Link:
    """The commit of a checkout in words: its first digits and date, or that files differ."""
    start = f"{checkout.folder}: " if several else ""
    commit = checkout.commit
    if commit:
        return _commit(start, commit, pages[checkout.folder], repository)
    head = repository.commit("HEAD") if repository is not None and checkout.folder == "." else ""
    if not head:
        return Link(f"{start}files that are in no commit")
    clean = repository is not None and repository.checked_out() == head
    link = _commit(start, head, pages[checkout.folder], repository)
    return link if clean else Link(f"{link.text}, with changes that are not committed")


def _bases(
    checkouts: tuple[Checkout, ...], pages: Mapping[str, str], repository: Repository | None
) -> Iterator[Link]:
    for each in checkouts:
        if not each.base:
            continue
        start = f"{each.folder}: " if len(checkouts) > 1 else ""
        link = _commit(start, each.base, pages[each.folder], repository)
        found = f" ({each.base_found})" if each.base_found else ""
        yield Link(f"{link.text}{found}", link.address)


def _commit(start: str, commit: str, page: str, repository: Repository | None) -> Link:
    date = ""
    if repository is not None and repository.commit(commit):
        date = repository.run("show", "--no-patch", "--format=%cI", commit)[:10]
    text = f"{start}{commit[:SHORT_COMMIT]}" + (f" of {date}" if date else "")
    where = _commit_page(page)
    return Link(text, f"{where}{commit}" if where else "")


def _commit_page(repository: str) -> str:
    """Where the host of ``repository`` shows commits, to the last slash."""
    host = _split(repository).hostname or ""
    page = next((each for start, each in _COMMIT_PAGES.items() if host.startswith(start)), "")
    return f"{repository}/{page}/" if page else ""


def _home(repository: Repository | None, environment: Mapping[str, str]) -> Link:
    """The repository's name and address, from the CI system or from its remote ``origin``."""
    address = next(filter(None, (_filled(each, environment) for each in _REPOSITORIES)), "")
    if not address and repository is not None:
        try:
            address = repository.run("remote", "get-url", "origin")
        except TinybudgetError:
            return Link(repository.root.name)
    return _repository_link(address)


def _repository_link(remote: str) -> Link:
    """A remote's name and web address, without the user and password that it may carry."""
    by_ssh = _SSH.match(remote)
    if by_ssh and "://" not in remote:
        host, path = by_ssh[1], by_ssh[2]
    else:
        parts = _split(remote)
        host, path = parts.hostname or "", parts.path
        if parts.scheme not in ("http", "https", "ssh", "git"):
            return Link(Path(path).name.removesuffix(".git"))
    name = path.strip("/").removesuffix(".git")
    return Link(name, f"https://{host}/{name}" if host and name else "")


def _change(home: Link, environment: Mapping[str, str]) -> Link:
    """The pull or merge request that CI runs for."""
    found = _PULL_REQUEST.match(environment.get("GITHUB_REF", ""))
    if found:
        return Link(f"pull request {found[1]}", _https(f"{home.address}/pull/{found[1]}"))
    number = environment.get("CI_MERGE_REQUEST_IID", "")
    if number.isdecimal():
        page = f"{home.address}/-/merge_requests/{number}"
        return Link(f"merge request {number}", _https(page))
    return Link("")


def _run(environment: Mapping[str, str]) -> Link:
    for name, address in _RUNS:
        found, text = _https(_filled(address, environment)), _filled(name, environment)
        if found and text:
            return Link(text, found)
    return Link("")


def _filled(form: str, environment: Mapping[str, str]) -> str:
    """``form`` with its variables; empty where one of them is not set."""
    values = {name: environment.get(name, "") for name in _VARIABLE.findall(form)}
    return form.format(**values) if all(values.values()) else ""


def _https(address: str) -> str:
    """``address`` if it is one of the web and carries no password; else empty."""
    parts = _split(address)
    fit = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    return address if fit else ""


def _split(address: str) -> SplitResult:
    """The parts of an address; one that is none is a path."""
    try:
        return urlsplit(address)
    except ValueError:
        return SplitResult("", "", address, "", "")


def _written(environment: Mapping[str, str]) -> str:
    told = environment.get(DATE_VARIABLE, "")
    now = datetime.now(timezone.utc)
    if told.isascii() and told.isdecimal():
        try:
            now = datetime.fromtimestamp(int(told), timezone.utc)
        except (ValueError, OverflowError, OSError):
            return ""
    return f"{now:%Y-%m-%d %H:%M} UTC"
