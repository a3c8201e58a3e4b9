"""The results of a base commit: stored ones where they can be trusted, else measured anew."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from pathlib import PurePosixPath

from pytest_tinybudget.baseline.git import Base
from pytest_tinybudget.baseline.git import Repository
from pytest_tinybudget.baseline.stored import Results
from pytest_tinybudget.baseline.stored import own_estimator
from pytest_tinybudget.baseline.stored import own_results
from pytest_tinybudget.baseline.stored import read_results
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.results import PairResult


#: Measures the pairs of the tree at a folder.
Measure = Callable[[Path], Iterable[PairResult]]


def base_results(
    repository: Repository, base: Base, measure: Measure, *, files: Sequence[str] = ()
) -> Results:
    """The results of ``base``, named after the commit.

    From ``files`` (results files in the commit, paths from the working directory) if they are
    all there, of this version of the tool and of the model files that the commit has; else
    measured with this very tool in a temporary work tree.

    Raises:
        TinybudgetError: the commit cannot be checked out or measured.
    """
    committed = _committed(repository, base, files)
    if committed is not None:
        return committed
    with repository.tree(base.commit) as tree:
        folder = tree / repository.prefix
        return own_results(measure(folder) if folder.is_dir() else (), base.label)


def _committed(repository: Repository, base: Base, files: Sequence[str]) -> Results | None:
    """The results files in the commit as one, if all are there and belong to its models."""
    pairs: list[PairResult] = []
    for file in files:
        content = repository.content(base.commit, _within(repository, file))
        if content is None:
            return None
        try:
            results = read_results(content, file)
        except TinybudgetError:
            return None
        if results.estimator != own_estimator() or _is_stale(repository, base, results):
            return None
        pairs += results.pairs
    return own_results(pairs, f"{base.label}, {', '.join(files)}") if pairs else None


def _is_stale(repository: Repository, base: Base, results: Results) -> bool:
    """Whether a model file of the commit is not the one that was measured.

    Committed figures that nobody renewed would blame others' changes on this one.
    """
    sources = {
        (pair.id.partition("::")[0], pair.model_source, pair.model_sha256)
        for pair in results.pairs
        if pair.model_sha256 and pair.model_source.endswith(".tflite")
    }
    return any(
        hashlib.sha256(_model(repository, base, file, source)).hexdigest() != sha256
        for file, source, sha256 in sources
    )


def _model(repository: Repository, base: Base, declaration: str, source: str) -> bytes:
    path = PurePosixPath(declaration).parent / source
    return repository.content(base.commit, _within(repository, path.as_posix())) or b""


def _within(repository: Repository, path: str) -> str:
    """A path from the working directory as one from the repository's root, without ``..``."""
    parts: list[str] = []
    for part in PurePosixPath(repository.prefix, path).parts:
        if part == "..":
            del parts[-1:]
        else:
            parts.append(part)
    return "/".join(parts)


def find_base(repository: Repository, revision: str) -> Base:
    """The commit that ``revision`` names; ``auto`` finds it.

    Raises:
        TinybudgetError: there is no such commit.
    """
    if revision == "auto":
        return repository.base()
    commit = repository.commit(revision)
    if not commit:
        raise TinybudgetError(f"{revision}: no such commit in {repository.root}")
    return Base(commit, revision)
