"""``tinybudget diff``: what a change costs, between two results files or from a base commit on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.base import add_base_options
from pytest_tinybudget.commands.base import base_of
from pytest_tinybudget.commands.base import compared
from pytest_tinybudget.commands.base import write_results
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.outcome import add_format_option
from pytest_tinybudget.commands.outcome import exit_code
from pytest_tinybudget.commands.selection import select
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison


def add_commands(subparsers: Subparsers) -> None:
    """Add ``diff``."""
    parser = add_command(
        subparsers,
        "diff",
        "show what a change costs: each pair's sizes on both sides, and why they differ",
        details="Compares two results files, or with --base the working directory with a commit.\n"
        "Exit code as tinybudget check, of the newer side: 1 when a pair does not pass.",
        example="tinybudget diff --base auto\n"
        "tinybudget diff --base v1.2 firmware/tinybudget.toml::kws\n"
        "tinybudget diff base.json tinybudget.json --format markdown",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="two results files; with --base declarations or folders, as for tinybudget check",
    )
    add_base_options(parser)
    parser.add_argument(
        "--save-base", metavar="FILE", type=Path, help="write the base's results file"
    )
    add_json_option(parser, "the newer side's results file", takes_next="always")
    add_format_option(parser, required=False)
    parser.add_argument(
        "-o", "--output", metavar="PATH", default="-", help="file for --format (default: stdout)"
    )
    parser.add_argument("-v", "--verbose", action="count", default=0, help="show every cause")
    parser.add_argument("-q", "--quiet", action="count", default=0, help="show counts only")
    add_color_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print; the exit code is that of the newer side.

    Raises:
        TinybudgetError: a file, a declaration, a commit's name or the usage is wrong.
    """
    if arguments.format:
        from pytest_tinybudget.report import formats

        formats.require_format(arguments.format)
        if arguments.json == arguments.output == "-":
            raise TinybudgetError("diff: --json and --format both print; give one a file")
    elif arguments.output != "-":
        raise TinybudgetError("diff: --output is the file for --format, which was not given")
    comparison = _commit(arguments) if arguments.base else _files(arguments)
    heads = [change.head for change in comparison.changes if change.head is not None]
    if arguments.format:
        write_output(arguments.output, formats.render(arguments.format, heads, comparison))
    else:
        _print(arguments, comparison)
    return exit_code(heads)


def _print(arguments: argparse.Namespace, comparison: Comparison) -> None:
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.report.diff_text import comparison_lines

    console = Console(sys.stderr if arguments.json == "-" else sys.stdout, arguments.color)
    verbosity = arguments.verbose - arguments.quiet
    console.print(comparison_lines(comparison, console.style, verbosity=verbosity))


def _files(arguments: argparse.Namespace) -> Comparison:
    from pytest_tinybudget.baseline.compare import compare
    from pytest_tinybudget.results.reader import load_results

    if len(arguments.paths) != 2:
        raise TinybudgetError(
            "diff: expected two results files, or --base auto (or a commit) to compare with"
        )
    given = (arguments.store, arguments.save_base, arguments.json)
    if any(option is not None for option in given) or arguments.require_base:
        raise TinybudgetError(
            "diff: --store, --save-base, --json and --require-base go with --base"
        )
    base, head = (load_results(Path(path)) for path in arguments.paths)
    return compare(base, head)


def _commit(arguments: argparse.Namespace) -> Comparison:
    from contextlib import closing

    from pytest_tinybudget.gate.judgement import Rules
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.results import writer
    from pytest_tinybudget.workspace import Workspace
    from pytest_tinybudget.workspace import earlier_footprints

    arguments.paths = arguments.paths or ["."]
    selected = select(arguments.paths)
    with (
        waiting(f"measuring the base, {arguments.base}") as wait,
        closing(Workspace(kept=earlier_footprints(), progress=wait.converting)) as workspace,
    ):
        gate = Gate(
            workspace,
            Rules(
                require_base=arguments.require_base,
                informational=arguments.informational,
                approve_labels=tuple(arguments.approve_label),
            ),
        )
        baseline = base_of(arguments, gate, selected)
        gate.baselines.chosen = baseline
        workspace.prepare(selected)
        results = [gate.check(pair) for pair in wait.measuring(selected)]
    base = baseline.results
    if arguments.save_base is not None and base is not None:
        write_results(arguments.save_base, base.pairs, base.provenance)
    if arguments.json is not None:
        write_output(arguments.json, writer.render(results, baseline.provenance))
    return compared(baseline, results)
