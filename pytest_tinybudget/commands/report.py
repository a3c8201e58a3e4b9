"""``tinybudget report``: a results file in another format, for people and for other systems."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.outcome import add_format_option
from pytest_tinybudget.commands.outcome import add_history_option
from pytest_tinybudget.commands.outcome import page_history


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.report.occasion import Occasion
    from pytest_tinybudget.results.reader import Results

#: Names in a folder of ``check --store``: the commit, and what tells other selections apart.
_STORED, _SHORT_COMMIT = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(-[0-9a-f]{8})?"), 12


def add_commands(subparsers: Subparsers) -> None:
    """Add ``report``."""
    parser = add_command(
        subparsers,
        "report",
        "write a results file as Markdown, HTML, JUnit XML, OpenMetrics and more",
        details="Measures nothing. The exit code is 0 also for results that fail.",
        example="tinybudget report build/tinybudget.json --format html -o build/tinybudget.html\n"
        "tinybudget report head.json --baseline base.json --format markdown",
    )
    parser.add_argument(
        "results",
        metavar="RESULTS",
        nargs="+",
        type=Path,
        help="a results file, or those of the parts of a run, as for tinybudget merge",
    )
    add_format_option(parser, required=True)
    against = parser.add_mutually_exclusive_group()
    against.add_argument(
        "--baseline",
        metavar="PATH",
        type=Path,
        help="results file to compare with, for formats that show changes",
    )
    against.add_argument(
        "--store",
        metavar="DIR",
        type=Path,
        action="append",
        help="compare with those in this folder that are of the base commit which RESULTS names; "
        "may be repeated",
    )
    add_history_option(parser)
    parser.add_argument(
        "-o", "--output", metavar="PATH", default="-", help="file to write (default: stdout)"
    )
    occasion = parser.add_mutually_exclusive_group()
    occasion.add_argument(
        "--if-changed",
        action="store_true",
        help="write only if a pair fails, or differs from the baseline",
    )
    occasion.add_argument(
        "--if-above",
        metavar="SIZE,PERCENT",
        help="write only if a size changed by more (1KB, 2%%, or 1KB,2%% for more than both), or a "
        "pair fails because of the change",
    )
    occasion.add_argument(
        "--if-new-failures",
        action="store_true",
        help="write only if a pair fails because of the change",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``arguments.results`` as ``arguments.format``.

    Raises:
        TinybudgetError: a results file is wrong, or the output cannot be written.
    """
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.report import formats
    from pytest_tinybudget.report.occasion import anything_to_say

    formats.require_format(arguments.format)
    occasion = _occasion(arguments)
    results = _results(arguments.results)
    base = _base(arguments, results)
    comparison = None if base is None else compare(base.results, results, notes=base.notes)
    history = page_history(arguments, results.pairs) if arguments.format == "html" else None
    text = formats.render(
        arguments.format, results.pairs, comparison, results.provenance, history=history
    )
    if occasion is not None and not anything_to_say(results.pairs, comparison, occasion):
        text = ""
    write_output(arguments.output, text)
    return 0


def _occasion(arguments: argparse.Namespace) -> Occasion | None:
    """What has to be so of a pair for anything to be written; ``None``: it always is."""
    from pytest_tinybudget.report import occasion

    if arguments.if_above is not None:
        return occasion.threshold(arguments.if_above, "--if-above")
    if arguments.if_new_failures:
        return occasion.fails_anew
    return occasion.is_changed if arguments.if_changed else None


def _results(paths: Sequence[Path]) -> Results:
    """The results of a file, or of several together.

    Raises:
        TinybudgetError: one is wrong, or they do not belong together.
    """
    from pytest_tinybudget.results.merge import merge
    from pytest_tinybudget.results.merge import merged_provenance
    from pytest_tinybudget.results.reader import load_results

    first, *others = map(load_results, paths)
    if not others:
        return first
    parts = (first, *others)
    origin = f"{len(parts)} results files"
    return replace(first, origin=origin, pairs=merge(parts), provenance=merged_provenance(parts))


def _base(arguments: argparse.Namespace, head: Results) -> Baseline | None:
    """The baseline that ``head`` is compared with, or ``None``."""
    from pytest_tinybudget.baseline.base import base_in
    from pytest_tinybudget.baseline.baseline import Baseline
    from pytest_tinybudget.results.reader import load_results

    if arguments.store is not None:
        return base_in(arguments.store, head)
    if arguments.baseline is None:
        return None
    return Baseline(_named(load_results(arguments.baseline), arguments.baseline))


def _named(base: Results, path: Path) -> Results:
    """``base`` named after the commit that it says it is of.

    Files that say nothing are named after the commit in their own name, which an earlier
    ``check --store`` gave them.
    """
    checkouts = base.provenance.checkouts if base.provenance else ()
    commits = [each.commit for each in checkouts if each.commit]
    stored = _STORED.fullmatch(path.stem)
    if not commits and stored:
        commits = [stored[1]]
    if len(commits) != 1:
        return base
    return replace(base, origin=f"commit {commits[0][:_SHORT_COMMIT]}")
