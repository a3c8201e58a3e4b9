"""The side to compare with, for commands: a results file, or a commit found and measured."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError


if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.results.types import Provenance


def add_base_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--base`` and the options that belong to it."""
    parser.add_argument(
        "--base",
        metavar="auto|REV",
        help="compare with this commit; auto: where the change that is checked out starts from",
    )
    parser.add_argument(
        "--require-base",
        action="store_true",
        help="an error instead of a warning where max_increase could not be checked",
    )
    parser.add_argument(
        "--informational",
        action="store_true",
        help="report failures, but exit with 0",
    )
    parser.add_argument(
        "--approve-label",
        metavar="NAME",
        action="append",
        default=[],
        help="a label that approves an increase where GitHub's event says that it was set on the "
        "pull request; may be repeated",
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        help="keep the base's results here, a file for each commit, and use them again",
    )


def baseline_of(
    arguments: argparse.Namespace, gate: Gate, selected: Sequence[Declared]
) -> Baseline | None:
    """What ``--baseline`` or ``--base`` name, else the declarations' baselines as one.

    ``None`` where nothing is named.

    Raises:
        TinybudgetError: a baseline is missing or no results file, the commit does not exist, or
            both options are given.
    """
    from pytest_tinybudget.baseline.baseline import baseline_file
    from pytest_tinybudget.baseline.baseline import declared_baselines

    if arguments.base:
        if arguments.baseline is not None:
            raise TinybudgetError("--baseline and --base: give one of them")
        return base_of(arguments, gate, selected)
    written = Path(arguments.json) if arguments.json and arguments.json != "-" else None
    if arguments.baseline is not None:
        return baseline_file(arguments.baseline, written=written)
    declared = {each.file: each.project.baseline for each in selected}
    return declared_baselines(declared, written=written)


def base_of(arguments: argparse.Namespace, gate: Gate, selected: Sequence[Declared]) -> Baseline:
    """The results of the commit ``arguments.base``, or the reasons why there are none.

    Raises:
        TinybudgetError: the commit that the user named does not exist.
    """
    from pytest_tinybudget.baseline import base
    from pytest_tinybudget.results import writer

    store = base.Store(arguments.store, writer.render) if arguments.store else None
    written = Path(arguments.json) if arguments.json and str(arguments.json) != "-" else None
    run = base.Run(arguments.paths, selected, Path.cwd(), written=written)
    return base.base_of(arguments.base, run, gate.base_results, store=store)


def write_results(path: Path, pairs: Sequence[PairResult], provenance: Provenance | None) -> None:
    """Write a results file whole.

    Raises:
        TinybudgetError: it cannot be written.
    """
    from pytest_tinybudget.base.files import write_file
    from pytest_tinybudget.results import writer

    write_file(path, writer.render(pairs, provenance).encode("ascii"))


def compared(baseline: Baseline, results: Sequence[PairResult]) -> Comparison:
    """``results`` of the working directory compared with ``baseline``."""
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.baseline.scope import still_declared
    from pytest_tinybudget.results.reader import own_results

    ran = {result.id for result in results}
    base = baseline.results
    gone = [pair.id for pair in (base.pairs if base else ()) if pair.id not in ran]
    return compare(
        base,
        own_results(results, "the working directory"),
        not_run=still_declared(gone, Path()),
        missing=baseline.missing,
        notes=baseline.notes,
    )
