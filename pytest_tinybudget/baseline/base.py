"""Finds the results of a base commit: from a store or the commit itself, else by measuring it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.base.git import GitError
from pytest_tinybudget.base.paths import relative_path
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.baseline import Baseline
from pytest_tinybudget.baseline.git import Base
from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.baseline.repositories import Repositories
from pytest_tinybudget.baseline.repositories import repository_of
from pytest_tinybudget.baseline.scope import declared_in
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.declaration.pairs import Declared
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.results.reader import Results
from pytest_tinybudget.results.reader import load_results
from pytest_tinybudget.results.reader import own_estimator
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


#: Measures pairs without limits of growth.
MeasureAll = Callable[[Sequence[Declared]], Iterable[PairResult]]

#: Writes the pairs of a results file.
Render = Callable[[Sequence[PairResult], Provenance | None], str]

_SUFFIX_CHARACTERS = 8


class Run(Struct, frozen=True):
    """What a run checks: ``selected`` is what ``paths`` stand for, from the folder ``start``.

    ``boards`` are those that declarations may name, the catalog's unless given; ``written`` is
    the run's own results file.
    """

    paths: Sequence[str]
    selected: Sequence[Declared]
    start: Path
    boards: Mapping[str, Board] | None = None
    written: Path | None = None

    @property
    def pairs(self) -> list[Declared]:
        """The selected models and groups on boards. Other checks are not compared with a base."""
        return [each for each in self.selected if not isinstance(each, Check)]


class _Found(Struct, frozen=True):
    """The base of a run: the commit to compare with in each repository, by the repository's root.

    ``missing`` says why a declaration has no base, by its file as in ids. ``files`` has the roots
    of the repositories of the other declarations and their models.
    """

    repositories: Repositories
    bases: Mapping[Path, Base]
    files: Mapping[str, Sequence[Path]]
    missing: Mapping[str, str]

    @property
    def label(self) -> str:
        """The base as reports name it."""
        return _label({self.repositories.name(root): base for root, base in self.bases.items()})

    @property
    def checkouts(self) -> tuple[Checkout, ...]:
        """Where the base's results come from: the base commits."""
        return tuple(
            Checkout(self.repositories.name(root), base.commit) for root, base in self.bases.items()
        )

    def checkouts_of(self, written: Path | None) -> tuple[Checkout, ...]:
        """Where the run's results come from: its commits, if unmodified, and their bases."""
        return tuple(
            Checkout(
                self.repositories.name(root),
                repository.checked_out(written),
                self.bases[root].commit if root in self.bases else "",
                self.bases[root].why if root in self.bases else "",
            )
            for root, repository in self.repositories.by_root.items()
        )


class Store(Struct, frozen=True):
    """A folder of base results, with a file for each commit and selection of pairs."""

    folder: Path
    render: Render

    def file(self, found: _Found, paths: Sequence[str]) -> Path:
        """The file for a base and a selection of pairs."""
        (root, base), *others = found.bases.items()
        start = found.repositories.start
        prefix = start.relative_to(root).as_posix() if start.is_relative_to(root) else ".."
        beside = [f"{found.repositories.name(each)} {other.commit}" for each, other in others]
        selection = ("" if prefix == "." else prefix, *paths, *beside)
        suffix = ""
        if selection != ("", "."):
            digest = hashlib.sha256("\n".join(selection).encode()).hexdigest()
            suffix = f"-{digest[:_SUFFIX_CHARACTERS]}"
        return self.folder / f"{base.commit}{suffix}.json"


def base_of(
    revision: str, run: Run, measure: MeasureAll, *, store: Store | None = None
) -> Baseline:
    """The results that ``run`` is compared with: those of its declarations at ``revision``.

    ``revision`` is a commit's name, or ``auto`` for the commit that the change starts from. If git
    lacks the commit, or a declaration cannot be read there, the baseline gives the reason and no
    results: the change may repair just that.

    Raises:
        TinybudgetError: a repository has no commit of that name.
    """
    found = _find(revision, run)
    own = own_provenance(found.checkouts_of(run.written))
    if not found.bases:
        return replace(_nothing(found.missing), provenance=own)
    kept = store.file(found, run.paths) if store is not None else None
    results = _kept(kept, found) or _committed(found, run)
    if results is not None:
        return replace(_baseline(results, found.missing), provenance=own)
    baseline = _measured(found, run, measure)
    base = baseline.results
    if store and kept and base and _is_whole(baseline):
        write_file(kept, store.render(base.pairs, base.provenance).encode("ascii"))
    return replace(baseline, provenance=own)


def at_revision(
    declaration: Path,
    revision: str,
    boards: Mapping[str, Board] | None,
    measure: MeasureAll,
) -> Baseline:
    """The results of the pairs in the file ``declaration`` at the commit ``revision``.

    Their ids begin with the file's name, since they are those of its folder.

    Raises:
        TinybudgetError: there is no such commit.
    """
    start = declaration.parent.resolve()
    selected, _ = declared_in(start, [declaration.name], start, boards)
    run = Run([declaration.name], selected, start, boards)
    try:
        return base_of(revision, run, measure)
    except TinybudgetError as error:
        raise TinybudgetError(f"max_increase since {error.message}", code=error.code) from None


def base_in(folders: Sequence[Path], head: Results) -> Baseline:
    """The results in ``folders`` for the base commits that ``head`` names.

    Each file names its commits. If several files have the same ones (such as one model, and all
    models), the file with most pairs of ``head`` counts first; what it lacks, as where ``head`` is
    of several jobs, comes from the others of the same estimator.
    """
    checkouts = head.provenance.checkouts if head.provenance else ()
    wanted = {each.folder: each.base for each in checkouts if each.base}
    if not wanted:
        return _nothing({"": f"{head.origin} names no base commit"})
    label = _label({each.folder: Base(each.base, each.base_found) for each in checkouts})
    ids = {pair.id for pair in head.pairs}

    def likeness(results: Results) -> tuple[bool, int, int]:
        its = {pair.id for pair in results.pairs}
        return results.estimator == head.estimator, len(its & ids), -len(its - ids)

    found = [
        results
        for folder in folders
        for file in sorted(folder.glob("*.json"))
        if (results := _readable(file)) and _commits(results) == wanted
    ]
    if not found:
        shown = " and ".join(each.as_posix() for each in folders)
        return _nothing({"": f"{shown} has no results of {label}"})
    first, *others = sorted(found, key=likeness, reverse=True)
    pairs = {pair.id: pair for pair in first.pairs}
    for other in others:
        for pair in other.pairs if other.estimator == first.estimator else ():
            if pair.id in ids:
                pairs.setdefault(pair.id, pair)
    together = dataclasses.replace(first, origin=label, pairs=tuple(pairs.values()))
    return Baseline(together, complete=True)


def _readable(file: Path) -> Results | None:
    try:
        return load_results(file)
    except TinybudgetError:
        return None


def _commits(results: Results) -> dict[str, str]:
    checkouts = results.provenance.checkouts if results.provenance else ()
    return {each.folder: each.commit for each in checkouts}


def _label(bases: Mapping[str, Base]) -> str:
    """``commit 1a2b3c4d5e6f (HEAD)``; of several repositories each after its folder."""
    several = {folder: base for folder, base in bases.items() if base.commit}
    if len(several) == 1:
        return next(iter(several.values())).label
    return ", ".join(f"{folder}: {base.label}" for folder, base in several.items())


def find_base(repository: Repository, revision: str) -> Base:
    """The commit that ``revision`` names; ``auto`` finds it.

    Raises:
        TinybudgetError: there is no such commit.
    """
    if revision == "auto":
        return repository.base()
    commit = repository.commit(revision)
    if not commit:
        shown = printable(revision)
        hint = repository.hint_for(revision)
        raise TinybudgetError(f"{shown}: no such commit in {repository.root}{hint}", code="TB600")
    return Base(commit, revision)


def _find(revision: str, run: Run) -> _Found:
    """The repositories of a run's declarations and models, each with the commit to compare with."""
    repositories = {
        file: _repository(folder, run.start) for file, folder in _declaration_folders(run).items()
    }
    missing = {file: str(each) for file, each in repositories.items() if isinstance(each, GitError)}
    by_root = {each.root: each for each in repositories.values() if isinstance(each, Repository)}
    files = {
        file: [each.root] for file, each in repositories.items() if isinstance(each, Repository)
    }
    for file, folder in _model_folders(run):
        if file in files and not any(folder.is_relative_to(root) for root in by_root):
            beside = _repository(folder, run.start)
            if isinstance(beside, Repository):  # else the base reports that it has no such file
                by_root[beside.root] = beside
                files[file].append(beside.root)
    declaring = {roots[0] for roots in files.values()}
    bases = {root: _base(by_root[root], revision, root in declaring) for root in sorted(by_root)}
    for file, roots in files.items():
        for base in map(bases.get, roots):
            if isinstance(base, GitError):
                missing.setdefault(file, str(base))
    commits = {root: base for root, base in bases.items() if isinstance(base, Base)}
    try:
        together = Repositories.around(by_root.values(), _folders(run.paths), run.start)
    except GitError as error:
        together, commits = Repositories(run.start, run.start, {}), {}
        missing |= dict.fromkeys(files, error.message)
    return _Found(together, commits, files, missing)


def _declaration_folders(run: Run) -> dict[str, Path]:
    return {each.file: each.project.path.parent.resolve() for each in run.pairs}


def _model_folders(run: Run) -> dict[tuple[str, Path], None]:
    """The folders of models, each once, with the file of the declaration."""
    return dict.fromkeys(
        (each.file, model.source.parent.resolve())
        for each in run.pairs
        for model in (each.group.models if isinstance(each, GroupPair) else (each.model,))
        if model is not None
    )


def _repository(folder: Path, start: Path) -> Repository | GitError:
    try:
        return repository_of(folder, start)
    except GitError as error:
        return error


def _base(repository: Repository, revision: str, has_declaration: bool) -> Base | GitError:
    """The base of a repository. One with only models may lack the user's revision."""
    try:
        return find_base(repository, revision)
    except GitError as error:
        return error
    except TinybudgetError as error:
        if has_declaration:
            raise
        return GitError(error.message)


def _folders(paths: Iterable[str]) -> list[str]:
    return [path.partition("::")[0] for path in paths]


def _nothing(missing: Mapping[str, str], notes: tuple[str, ...] = ()) -> Baseline:
    """A baseline without results, only with the reasons."""
    reasons = dict.fromkeys(missing.values())
    told = tuple(f"not compared: {reason}" for reason in reasons)
    return Baseline(reason=next(iter(reasons), ""), missing=missing, notes=(*told, *notes))


def _baseline(
    results: Results, missing: Mapping[str, str], notes: tuple[str, ...] = ()
) -> Baseline:
    if missing and not results.pairs:
        return _nothing(missing, notes)
    lost = tuple(f"not compared: {file}: {why}" for file, why in missing.items())
    return Baseline(results, missing=missing, complete=True, notes=(*lost, *notes))


def _kept(path: Path | None, found: _Found) -> Results | None:
    """The stored results of the base, if this version of the tool wrote them."""
    results = _readable(path) if path is not None and path.exists() else None
    if path is None or results is None:
        return None  # a damaged file is written again
    if results.provenance != own_provenance(found.checkouts):
        return None  # of another version of the tool, or of another commit
    return own_results(results.pairs, f"{found.label}, {path.as_posix()}", found.checkouts)


def _measured(found: _Found, run: Run, measure: MeasureAll) -> Baseline:
    """Write the base into a temporary folder and measure it with this tool."""
    commits = {root: base.commit for root, base in found.bases.items()}
    with found.repositories.at(commits) as copy:
        declared, wrong = declared_in(copy.start, run.paths, run.start, run.boards)
        pairs = [each for each in declared if not isinstance(each, Check)]
        measured = [
            replace(pair, headline=copy.without_place(pair.headline)) for pair in measure(pairs)
        ]
    for file, roots in found.files.items():
        for root in copy.missing.keys() & roots:
            wrong[file] = copy.missing[root]
    missing = {
        file: f"{found.label} has no results: {copy.without_place(reason)}"
        for file, reason in wrong.items()
    }
    results = own_results(measured, found.label, found.checkouts)
    return _baseline(results, {**found.missing, **missing}, copy.notes)


def _is_whole(baseline: Baseline) -> bool:
    """Whether the results are complete. If not, a later run may find more, as with Git LFS."""
    pairs = baseline.results.pairs if baseline.results else ()
    return not baseline.missing and all(pair.outcome != "error" for pair in pairs)


# Results files that the base has itself


def _committed(found: _Found, run: Run) -> Results | None:
    """The results files that are committed in the base, if they are complete and up to date.

    They must have every pair of the run. Otherwise a new pair could not be distinguished from one
    that is missing because the file was not renewed.
    """
    pairs: list[PairResult] = []
    declared = {each.project.baseline for each in run.pairs}
    files = sorted(path for path in declared if path is not None)
    if None in declared:
        return None
    for file in files:
        content = _content(found, file)
        if content is None:
            return None
        try:
            results = read_results(content, file.as_posix())
        except TinybudgetError:
            return None
        if results.estimator != own_estimator() or _is_stale(found, results):
            return None
        pairs += results.pairs
    if not {each.id for each in run.pairs} <= {pair.id for pair in pairs}:
        return None
    names = ", ".join(relative_path(file, found.repositories.start) for file in files)
    return own_results(pairs, f"{found.label}, {names}", found.checkouts) if pairs else None


def _is_stale(found: _Found, results: Results) -> bool:
    """Whether the committed results may be outdated: of another model file or another runtime.

    With outdated figures, earlier changes would be attributed to this one. A runtime that is read
    from the project's files may be another one now.
    """
    if any(pair.flashed for pair in results.pairs):
        return True
    sources = {
        (PurePosixPath(pair.id.partition("::")[0]).parent / pair.model_source, pair.model_sha256)
        for pair in results.pairs
        if pair.model_sha256 and pair.model_source.endswith(".tflite")
    }
    return any(
        hashlib.sha256(_content(found, found.repositories.start / source) or b"").hexdigest()
        != sha256
        for source, sha256 in sources
    )


def _content(found: _Found, file: Path) -> bytes | None:
    """A file as the base has it; ``None`` where no repository of the run has it there."""
    path = Path(os.path.normpath(file))
    for root, base in found.bases.items():
        if path.is_relative_to(root):
            inside = path.relative_to(root).as_posix()
            return found.repositories.by_root[root].content(base.commit, inside)
    return None
