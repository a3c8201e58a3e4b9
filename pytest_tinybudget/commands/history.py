"""``tinybudget history``: how flash and RAM of models went, over commits or a folder of results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.waiting import waiting


#: Commits of a results file that are read unless told otherwise.
_MOST_COMMITS = 100


def add_commands(subparsers: Subparsers) -> None:
    """Add ``history``."""
    parser = add_command(
        subparsers,
        "history",
        "show how flash and RAM changed over git commits or a folder of results files",
        details="Reads the versions of a committed results file, or every *.json of a folder,\n"
        "such as the one that tinybudget diff --store fills.",
        example="tinybudget history tinybudget-baseline.json\n"
        "tinybudget history results --model kws --svg kws.svg",
    )
    parser.add_argument(
        "source", type=Path, metavar="FILE|DIR", help="a committed results file, or a folder"
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="show this model only"
    )
    parser.add_argument("--svg", metavar="PATH", help="write the trends as a picture; - for stdout")
    parser.add_argument(
        "-n",
        "--most",
        type=int,
        default=_MOST_COMMITS,
        metavar="N",
        help=f"read the newest N commits (default: {_MOST_COMMITS})",
    )
    add_color_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show the history of ``arguments.source``.

    Raises:
        TinybudgetError: there is none, or a model is not in it.
    """
    from pytest_tinybudget.baseline.history import commit_entries
    from pytest_tinybudget.baseline.history import folder_entries
    from pytest_tinybudget.baseline.history import history
    from pytest_tinybudget.report import history_svg
    from pytest_tinybudget.report import history_text
    from pytest_tinybudget.report.console import Console

    if arguments.most < 1:
        raise TinybudgetError(f"--most: expected a number above 0, got {arguments.most}")
    source = arguments.source
    with waiting("reading results files"):
        if source.is_dir():
            entries = folder_entries(source)
        else:
            entries = commit_entries(source, most=arguments.most)
        found = history(entries, arguments.model)
    if arguments.svg:
        write_output(arguments.svg, history_svg.render(found))
    console = Console(sys.stderr if arguments.svg == "-" else sys.stdout, arguments.color)
    console.print(history_text.history_lines(found, console.style))
    return 0
