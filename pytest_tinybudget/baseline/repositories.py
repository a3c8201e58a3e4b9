"""The repositories of a run's declarations, written side by side at their base commits.

``actions/checkout`` with ``path:`` puts several repositories beside each other, and a repository
may have submodules. A base is then a folder with all of them, at the same relative paths as now.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.baseline.git import SHORT_COMMIT
from pytest_tinybudget.baseline.git import Repository


class Copy(Struct, frozen=True):
    """A copy of repositories at their base commits, with the same ``top`` and ``start``.

    ``missing`` says why a repository is not in the copy, by its root; ``notes`` are about
    submodules.
    """

    top: Path
    start: Path
    missing: Mapping[Path, str]
    notes: tuple[str, ...]

    def without_place(self, text: str) -> str:
        """``text`` without the name of the temporary folder, which differs in each run."""
        return text.replace(f"{self.start}{os.sep}", "").replace(f"{self.top}{os.sep}", "")


class Repositories(Struct, frozen=True):
    """Repositories below one folder.

    ``start`` is the folder that ids are relative to, ``top`` the one that holds it and everything
    else; ``by_root`` has them by their roots, outer ones first.
    """

    start: Path
    top: Path
    by_root: Mapping[Path, Repository]

    @classmethod
    def around(
        cls, repositories: Iterable[Repository], paths: Iterable[str], start: Path
    ) -> Repositories:
        """``repositories``, the folder ``start`` and ``paths`` from there, in one common folder.

        Raises:
            GitError: they lie on different drives.
        """
        start = start.resolve()
        by_root = {each.root: each for each in sorted(repositories, key=lambda each: each.root)}
        named = [start / path for path in paths]
        try:
            top = os.path.commonpath([start, *by_root, *(path.resolve() for path in named)])
        except ValueError:  # drives of Windows
            raise GitError("the declarations are on several drives: check one at a time") from None
        return cls(start, Path(top), by_root)

    @contextmanager
    def at(self, commits: Mapping[Path, str]) -> Iterator[Copy]:
        """A temporary copy of the repositories at ``commits``, by their roots.

        A submodule is at the commit that its repository names; it comes from where it is checked
        out now, without the network.
        """
        missing: dict[Path, str] = {}
        notes: list[str] = []
        with temporary_folder() as outer:
            # Resolved, because git shows its own paths so and macOS links its temporary folder.
            copy, own = outer.resolve() / "tree", outer.resolve() / "git"
            for root, commit in commits.items():
                place = self.place(copy, root)
                try:
                    repository = self.by_root[root]
                    notes += _check_out(repository, commit, place, own, self.by_root)
                except (GitError, OSError) as error:
                    missing[root] = str(error)
            start = self.place(copy, self.start)
            start.mkdir(parents=True, exist_ok=True)
            yield Copy(copy, start, missing, tuple(notes))

    def place(self, copy: Path, path: Path) -> Path:
        """The place of ``path`` in the copy at ``copy``."""
        return copy / path.relative_to(self.top)

    def name(self, root: Path) -> str:
        """A repository's folder as it is in results: relative to ``start``, POSIX."""
        return relative_path(root, self.start)


def repository_of(folder: Path, start: Path) -> Repository:
    """The repository whose commits a declaration in ``folder`` is compared with.

    It is the repository of the declaration, wherever the run started. For a submodule, seen from
    outside, it is the outer repository, whose commits name the submodule's commit.

    Raises:
        GitError: there is none, or git is not installed.
    """
    repository = Repository.around(folder)
    start = start.resolve()
    while not start.is_relative_to(repository.root):
        outer = repository.superproject
        if outer is None:
            break
        repository = Repository.around(outer)
    return repository


def _check_out(
    repository: Repository,
    commit: str,
    place: Path,
    own: Path,
    others: Collection[Path],
) -> Iterator[str]:
    """Write ``commit`` at ``place`` with its submodules, but for those that are ``others``.

    What git needs for that is in a folder of each, in ``own``.

    Returns a line for each submodule that is not available; its folder stays empty.
    """
    number = sum(1 for _ in own.iterdir()) if own.is_dir() else 0
    repository.write(commit, place, own / str(number))
    for path, at in repository.submodules(commit):
        root = repository.root / path
        if root in others:
            continue
        inner = _checked_out_at(root)
        if inner is None:
            continue  # it is not checked out here either
        try:
            yield from _check_out(inner, at, place / path, own, others)
        except GitError as error:
            short = at[:SHORT_COMMIT]
            yield f"submodule {path}: commit {short} of the base is not here: {error.message}"


def _checked_out_at(folder: Path) -> Repository | None:
    """The repository whose work tree ``folder`` is."""
    try:
        found = Repository.around(folder)
    except GitError:
        return None
    return found if found.root == folder.resolve() else None
