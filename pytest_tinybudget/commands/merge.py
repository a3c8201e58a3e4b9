"""``tinybudget merge``: the results files of shards as one report, judged as by ``check``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.outcome import EXIT_CODES
from pytest_tinybudget.commands.outcome import add_report_options
from pytest_tinybudget.commands.outcome import require_one_stdout
from pytest_tinybudget.commands.outcome import tell


def add_commands(subparsers: Subparsers) -> None:
    """Add ``merge``."""
    parser = add_command(
        subparsers,
        "merge",
        "put the results files of several machines together",
        details="Measures nothing. All files must be of one version of the tool and of TFLM, and "
        f"pairs\nthat are in several of them the same in all.\n\n{EXIT_CODES}",
        example="tinybudget merge shards/*.json -o build/tinybudget.json\n"
        "tinybudget merge linux.json mac.json --html build/tinybudget.html",
    )
    parser.add_argument("results", metavar="RESULTS", nargs="+", type=Path, help="results files")
    parser.add_argument(
        "--baseline",
        metavar="PATH",
        type=Path,
        help="results file to show the changes to; growth was judged where it was measured",
    )
    parser.add_argument(
        "-o", "--output", dest="json", metavar="FILE", help="write the merged results file"
    )
    add_report_options(parser, takes_next="if absent")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Merge ``arguments.results``, report them, and return the exit code of ``check``.

    Raises:
        TinybudgetError: a file is no results file, or the files do not belong together.
    """
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.results.merge import merge
    from pytest_tinybudget.results.merge import merged_provenance
    from pytest_tinybudget.results.reader import load_results
    from pytest_tinybudget.results.reader import own_results

    require_one_stdout(arguments)
    shards = [load_results(path) for path in arguments.results]
    results = merge(shards)
    comparison = None
    if arguments.baseline is not None:
        base = load_results(arguments.baseline)
        comparison = compare(base, own_results(results, "the merged results"))
    return tell(arguments, results, comparison, merged_provenance(shards))
