"""The side to compare with, for commands: a results file, or a commit found and measured."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.commands.selection import select_in
from pytest_tinybudget.errors import TinybudgetError


if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.baseline.git import Base
    from pytest_tinybudget.baseline.git import Repository
    from pytest_tinybudget.baseline.stored import Results
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate import Gate
    from pytest_tinybudget.results import PairResult


def add_base_options(parser: argparse.ArgumentParser) -> None:
    """``--base`` and what goes with it."""
    parser.add_argument(
        "--base",
        metavar="auto|REV",
        help="compare with this commit; auto: where the change that is checked out starts from",
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="keep the base's results here, a file for each commit, and use them again",
    )


def baseline_of(
    arguments: argparse.Namespace, gate: Gate, selected: Sequence[Declared]
) -> tuple[Results | None, tuple[str, ...]]:
    """What ``--baseline`` or ``--base`` name, else the declarations' baselines as one.

    A results file that is not there yet is a note, as in the first pull request.

    Raises:
        TinybudgetError: a baseline is no results file, or both options are given.
    """
    from pytest_tinybudget.baseline.stored import joined
    from pytest_tinybudget.baseline.stored import load_results
    from pytest_tinybudget.declaration.problems import relative

    if arguments.base:
        if arguments.baseline is not None:
            raise TinybudgetError("--baseline and --base: give one of them")
        return base_of(arguments, gate, selected)
    if arguments.baseline is not None:
        paths = [arguments.baseline]
    else:
        declared = dict.fromkeys(pair.declaration.baseline for pair in selected)
        paths = [Path(relative(path, Path())) for path in declared if path is not None]
    found = [load_results(path) for path in paths if path.exists()]
    notes = tuple(f"no baseline yet at {path.as_posix()}" for path in paths if not path.exists())
    return joined(found), notes


def base_of(
    arguments: argparse.Namespace, gate: Gate, selected: Sequence[Declared]
) -> tuple[Results | None, tuple[str, ...]]:
    """The results of the commit ``arguments.base``, or notes that say why there are none.

    A base that cannot be measured is no reason to fail: the change may be what repairs it.

    Raises:
        TinybudgetError: the commit that the user named does not exist.
    """
    from pytest_tinybudget.baseline.base import base_results
    from pytest_tinybudget.baseline.base import find_base
    from pytest_tinybudget.baseline.git import GitError
    from pytest_tinybudget.baseline.git import Repository
    from pytest_tinybudget.declaration.pairs import Check

    try:
        repository = Repository.around(Path())
        base = find_base(repository, arguments.base)
    except GitError as error:
        return None, (f"compared with nothing: {error.message}",)
    kept = _store_file(arguments, repository, base)
    found = _kept(kept, base)
    if found is not None:
        return found, ()

    def measure(tree: Path) -> Iterator[PairResult]:
        # Only what fits boards is compared: the rest of the base need not be done again.
        declared = select_in(tree, arguments.paths)
        pairs = [each for each in declared if not isinstance(each, Check)]
        gate.prepare(pairs)
        for pair in pairs:
            yield gate.check(pair)

    try:
        results = base_results(
            repository, base, measure, files=_committed_files(repository, selected)
        )
    except TinybudgetError as error:
        return None, (f"compared with nothing: {base.label} has no results: {error.message}",)
    if kept is not None:
        write_results(kept, results.pairs)
    return results, ()


def _store_file(arguments: argparse.Namespace, repository: Repository, base: Base) -> Path | None:
    """Where the store keeps the results of ``base``: other paths select other pairs."""
    if arguments.store is None:
        return None
    selection = (repository.prefix, *arguments.paths)
    suffix = ""
    if selection != ("", "."):
        suffix = "-" + hashlib.sha256("\n".join(selection).encode()).hexdigest()[:8]
    folder: Path = arguments.store
    return folder / f"{base.commit}{suffix}.json"


def _kept(path: Path | None, base: Base) -> Results | None:
    """The results of ``base`` in the user's store, if this version of the tool wrote them."""
    from pytest_tinybudget.baseline.stored import load_results
    from pytest_tinybudget.baseline.stored import own_estimator

    if path is None or not path.exists():
        return None
    results = load_results(path)
    if results.estimator != own_estimator():
        return None
    return replace(results, origin=f"{base.label}, {path.as_posix()}")


def _committed_files(repository: Repository, selected: Sequence[Declared]) -> tuple[str, ...]:
    """The declared baselines, from the working directory; none where a declaration has none."""
    files = {pair.declaration.baseline for pair in selected}
    return tuple(
        Path(os.path.relpath(file)).as_posix()
        for file in sorted(filter(None, files))
        if None not in files and repository.root in file.resolve().parents
    )


def write_results(path: Path, pairs: Sequence[PairResult]) -> None:
    """Write a results file whole.

    Raises:
        TinybudgetError: it cannot be written.
    """
    from pytest_tinybudget.artifacts.files import write_file
    from pytest_tinybudget.report import results_json

    write_file(path, results_json.render(pairs).encode("ascii"))


def compared(
    base: Results | None, results: Sequence[PairResult], notes: tuple[str, ...]
) -> Comparison:
    """``results`` of the working directory compared with ``base``."""
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.baseline.scope import still_declared
    from pytest_tinybudget.baseline.stored import own_results

    ran = {result.id for result in results}
    missing = [pair.id for pair in (base.pairs if base else ()) if pair.id not in ran]
    return compare(
        base,
        own_results(results, "the working directory"),
        not_run=still_declared(missing, Path()),
        notes=notes,
    )
