"""Git for baselines: finds the commit to compare with, reads its files, and writes them."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.base.git import git_output
from pytest_tinybudget.base.github_event import event_of
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable


#: Environment variables in which CI systems name the target branch of a change.
_TARGET_VARIABLES = (
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "SYSTEM_PULLREQUEST_TARGETBRANCH",
    "CHANGE_TARGET",
)
#: Usual names of the target branch, if no variable names it.
_USUAL_TARGETS = ("origin/HEAD", "origin/main", "origin/master", "main", "master")

#: The mode of a submodule in the listing of a tree.
_SUBMODULE = "160000 commit "

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")

_ATTRIBUTES = ".gitattributes"
#: Larger files are linked where they are unchanged. Smaller ones are written: what a project's code
#: may write to are its own small files, and those that say what is flashed are no links.
_LINKED_FROM_BYTES = 256 * 1024

#: Digits of a commit in messages.
SHORT_COMMIT = 12


class Base(Struct, frozen=True):
    """The commit to compare with; ``why`` says how it was found."""

    commit: str
    why: str

    @property
    def label(self) -> str:
        """``commit 1a2b3c4d5e6f (merge base with origin/main)``."""
        return f"commit {self.commit[:SHORT_COMMIT]} ({self.why})"


class Repository(Struct, frozen=True):
    """A git repository: ``root`` is its top folder, ``prefix`` the folder inside it (POSIX)."""

    root: Path
    prefix: str

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """The repository that ``folder`` lies in.

        Raises:
            GitError: there is none, or git is not installed.
        """
        root = _git(folder, "rev-parse", "--show-toplevel")
        return cls(Path(root), _git(folder, "rev-parse", "--show-prefix").rstrip("/"))

    @property
    def superproject(self) -> Path | None:
        """The work tree that this one is a submodule of."""
        found = self.run("rev-parse", "--show-superproject-working-tree")
        return Path(found) if found else None

    def submodules(self, commit: str) -> Iterator[tuple[str, str]]:
        """Path and commit of each submodule that ``commit`` names."""
        if self.content(commit, ".gitmodules") is None:
            return
        for entry in self.run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
            kind, _, path = entry.partition("\t")
            if kind.startswith(_SUBMODULE):
                yield path, kind.split()[2]

    def run(self, *arguments: str) -> str:
        """Git's output, stripped.

        Raises:
            GitError: it fails.
        """
        return _git(self.root, *arguments)

    def commit(self, revision: str) -> str:
        """The full id of the commit called ``revision``; empty if there is none."""
        try:
            return self.run(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitError:
            return ""

    def content(self, commit: str, path: str) -> bytes | None:
        """The file at ``path`` (from the repository's root) in ``commit``, or ``None``."""
        try:
            return git_output(self.root, "cat-file", "blob", f"{commit}:{path}")
        except GitError:
            return None

    def checked_out(self, written: Path | None = None) -> str:
        """The commit that is checked out, or empty if a tracked file was modified.

        Also empty if the file ``written`` is tracked: it cannot name the commit that contains it.
        """
        try:
            if self.run("status", "--porcelain", "--untracked-files=no"):
                return ""
            if written is not None and self._tracks(written):
                return ""
            return self.commit("HEAD")
        except GitError:
            return ""

    def _tracks(self, file: Path) -> bool:
        return file.resolve().is_relative_to(self.root) and bool(
            self.run("ls-files", "--", str(file.resolve()))
        )

    def base(self, environment: Mapping[str, str] = os.environ) -> Base:
        """The commit that the checked out change is to be compared with.

        A merge commit that CI made of a pull request is compared with its first parent, the tip
        of the target branch, so that changes of others do not count. A branch is compared with its
        merge base, and the target branch itself with the commit before. A group of GitHub's merge
        queue is compared with what it stands on, which may be another group that waits.

        Raises:
            GitError: there is no such commit here; says how to fetch it.
        """
        head, *parents = self.run("rev-list", "--parents", "--max-count=1", "HEAD").split()
        queued = _merge_group_base(environment, head)
        if queued:
            return self._queued(queued)
        target = next(filter(self.commit, _targets(environment)), "")
        if len(parents) > 1:
            by_ci = _is_merge_of_ci(environment, head)
            if by_ci is None:
                by_ci = self._is_detached() and not self._contains(target, parents[1])
            if by_ci:
                return self._parent("first parent of the merge commit")
        if target:
            return self._merge_base(target)
        return self._parent("the commit before; no branch to merge into is known")

    def _queued(self, base: str) -> Base:
        found = self.commit(base)
        if not found:
            hint = self._shallow_hint() or ": fetch it"
            raise GitError(f"the merge group's base {base[:SHORT_COMMIT]} is not here{hint}")
        return Base(found, "the parent of the merge group")

    def _merge_base(self, target: str) -> Base:
        try:
            found = self.run("merge-base", "HEAD", target)
        except GitError:
            raise GitError(
                f"HEAD and {target} have no common commit here{self._shallow_hint()}"
            ) from None
        if found == self.commit("HEAD"):
            return self._parent(f"the commit before, on {target}")
        return Base(found, f"merge base with {target}")

    def _parent(self, why: str) -> Base:
        parent = self.commit("HEAD^1")
        if not parent:
            hint = self._shallow_hint() or ": it is the first"
            raise GitError(f"HEAD has no commit before it here{hint}")
        return Base(parent, why)

    def _shallow_hint(self) -> str:
        shallow = self.run("rev-parse", "--is-shallow-repository") == "true"
        return ": the clone is shallow, fetch more of it (fetch-depth: 0)" if shallow else ""

    def hint_for(self, revision: str) -> str:
        """Why there may be no commit ``revision`` here, or the nearest name of one."""
        shallow = self._shallow_hint()
        if shallow:
            return f"{shallow}, tags among it"
        try:
            names = self.run("for-each-ref", "--format=%(refname:short)", "refs/tags", "refs/heads")
        except GitError:
            return ""
        offers = nearest(revision, names.splitlines())
        return f"; did you mean {printable(offers[0])!r}?" if offers else ""

    def _contains(self, target: str, commit: str) -> bool:
        """Whether ``target`` contains ``commit``, so that the target was merged into a branch."""
        if not target:
            return False
        try:
            self.run("merge-base", "--is-ancestor", commit, target)
        except GitError:
            return False
        return True

    def _is_detached(self) -> bool:
        try:
            self.run("symbolic-ref", "--quiet", "HEAD")
        except GitError:
            return True
        return False

    def write(self, commit: str, folder: Path, own: Path) -> None:
        """Write the files of ``commit`` into ``folder``, which must be empty or missing.

        Git keeps what it needs for that in the folder ``own``, and nothing in the repository. Large
        files that are the same in the work tree are links to these: they are read, not written.

        Raises:
            GitError: git cannot read the commit or write a file.
        """
        common = self.run("rev-parse", "--git-common-dir")
        own.mkdir(parents=True)
        for name, line in (("HEAD", commit), ("commondir", str(self.root / common))):
            own.joinpath(name).write_text(f"{line}\n", encoding="utf-8", errors="surrogateescape")
        folder.mkdir(parents=True, exist_ok=True)
        # As the folder of a linked work tree, of which the repository has no list.
        folder.joinpath(".git").write_text(
            f"gitdir: {own}\n", encoding="utf-8", errors="surrogateescape"
        )
        git_output(folder, "read-tree", commit)
        entries = _entries(git_output(folder, "ls-files", "--stage", "-v", "-z"))
        linked = self._link(entries, folder)
        first = [path for path in entries if posixpath.basename(path) == _ATTRIBUTES]
        rest = [path for path in entries if path not in linked and path not in first]
        for paths in (first, rest):  # what is done to files as they are written is in the first
            if paths:
                names = b"".join(os.fsencode(path) + b"\0" for path in paths)
                git_output(folder, "checkout-index", "--quiet", "-z", "--stdin", given=names)

    def _link(self, entries: Mapping[str, _Entry], folder: Path) -> set[str]:
        """Link the large ones of ``entries`` that the work tree has unchanged; their paths."""
        here = _entries(git_output(self.root, "ls-files", "--stage", "-v", "-z"))
        changed = git_output(self.root, "diff-files", "--name-only", "-z", "--ignore-submodules")
        for path in os.fsdecode(changed).split("\0"):
            here.pop(path, None)
        if _attributes(entries) != _attributes(here):
            return set()  # other conversions may apply to files with the same contents
        linked: set[str] = set()
        for path, entry in entries.items():
            if entry.is_file and here.get(path) == entry and _is_large(self.root / path):
                place = folder / path
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    place.symlink_to(self.root / path)
                except OSError:  # Windows asks for a privilege
                    return linked
                linked.add(path)
        return linked


class _Entry(Struct, frozen=True):
    """A file in an index: mode and object.

    ``is_sure`` is whether git looks at the file to say that it is unchanged, and expects it to be
    there.
    """

    mode: str
    object: str
    is_sure: bool

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file, and no link or submodule."""
        return self.is_sure and self.mode.startswith("100")


def _entries(listing: bytes) -> dict[str, _Entry]:
    """The entries of an index by path, from ``git ls-files --stage -v -z``."""
    entries = {}
    for line in os.fsdecode(listing).split("\0"):
        facts, _, path = line.partition("\t")
        if path:
            tag, mode, found, stage = facts.split()
            entries[path] = _Entry(mode, found, tag == "H" and stage == "0")
    return entries


def _attributes(entries: Mapping[str, _Entry]) -> dict[str, _Entry]:
    """The files that say what git does to others as it writes them."""
    return {path: each for path, each in entries.items() if posixpath.basename(path) == _ATTRIBUTES}


def _is_large(path: Path) -> bool:
    """Whether ``path`` is a plain file that is worth a link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > _LINKED_FROM_BYTES


def _merge_group_base(environment: Mapping[str, str], head: str) -> str:
    """The commit that ``head``, a group of GitHub's merge queue, stands on; empty for others.

    https://docs.github.com/webhooks/webhook-events-and-payloads#merge_group
    """
    if environment.get("GITHUB_EVENT_NAME") != "merge_group":
        return ""
    group = event_of(environment).get("merge_group")
    if not isinstance(group, dict) or group.get("head_sha") != head:
        return ""  # another repository, which is checked out beside
    base = group.get("base_sha")
    return base if isinstance(base, str) and _COMMIT.fullmatch(base) else ""


def _is_merge_of_ci(environment: Mapping[str, str], head: str) -> bool | None:
    """Whether CI made the merge commit ``head`` of a change and its target; ``None``: unknown.

    A workflow may check out the change's own last commit instead, which may be a merge as well.
    """
    if environment.get("GITHUB_REF", "").startswith("refs/pull/"):
        return environment.get("GITHUB_SHA", head) == head
    kind = environment.get("CI_MERGE_REQUEST_EVENT_TYPE")
    if kind is not None:
        return kind in ("merged_result", "merge_train")
    return True if environment.get("BUILD_SOURCEBRANCH", "").startswith("refs/pull/") else None


def _targets(environment: Mapping[str, str]) -> Iterator[str]:
    for variable in _TARGET_VARIABLES:
        name = environment.get(variable, "").removeprefix("refs/heads/")
        if name:
            yield from (f"refs/remotes/origin/{name}", f"refs/heads/{name}")
            return
    yield from _USUAL_TARGETS


def _git(folder: Path, *arguments: str) -> str:
    return git_output(folder, *arguments).decode("utf-8", "surrogateescape").strip()
