"""``tinybudget check``: every declared pair against its limits, as ``pytest --tinybudget`` does."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.commands.base import add_base_options
from pytest_tinybudget.commands.base import baseline_of
from pytest_tinybudget.commands.base import compared
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.selection import select
from pytest_tinybudget.errors import TinybudgetError


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.results import PairResult


_FITS, _FAILS, _NOT_MEASURED = 0, 1, 2


def add_commands(subparsers: Subparsers) -> None:
    """Add ``check``."""
    parser = add_command(
        subparsers,
        "check",
        "check models against the budgets in tinybudget.toml",
        details="Exit code 0: all fit; 1: a pair does not; 2: wrong usage or input.",
        example="tinybudget check\n"
        "tinybudget check firmware/tinybudget.toml::kws --json build/tinybudget.json",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        default=["."],
        metavar="PATH[::MODEL[::BOARD]]",
        help="declarations, or folders to search for tinybudget.toml (default: here)",
    )
    parser.add_argument("--json", metavar="PATH", help="write the results file; - for stdout")
    parser.add_argument("--junit-xml", metavar="PATH", help="write JUnit XML; - for stdout")
    parser.add_argument("--html", metavar="PATH", help="write a page with all pairs")
    parser.add_argument(
        "--baseline", metavar="PATH", type=Path, help="results file to compare with"
    )
    add_base_options(parser)
    parser.add_argument(
        "--artifacts", metavar="DIR", type=Path, help="write the C files of each model here"
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail what is bounded or estimated, not exact"
    )
    parser.add_argument(
        "--verify", action="store_true", help="also run each model in the real interpreter"
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="convert Keras and SavedModel sources anew"
    )
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show layers; -vv all their memory"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="say only what fails")
    parser.add_argument("--color", choices=("auto", "yes", "no"), default="auto")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check what ``arguments.paths`` select, report, and return the exit code.

    Raises:
        TinybudgetError: a path or a declaration is wrong, or a report cannot be written.
    """
    from pytest_tinybudget.gate import Gate
    from pytest_tinybudget.verify import require_interpreter

    if [arguments.json, arguments.junit_xml, arguments.html].count("-") > 1:
        raise TinybudgetError("--json, --junit-xml, --html: only one of them can go to stdout")
    if arguments.verify:
        require_interpreter()
    selected = select(arguments.paths)
    gate = Gate(
        strict=arguments.strict,
        verify=arguments.verify,
        cached=not arguments.no_cache,
        declared_baselines=False,  # baseline_of reads them
        progress=_show_progress if sys.stderr.isatty() and not arguments.quiet else None,
    )
    try:
        gate.baseline, notes = baseline_of(arguments, gate, selected)
        gate.prepare(selected)
        if gate.progress is not None:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        results = [
            gate.check(pair, arguments.artifacts or pair.declaration.artifacts) for pair in selected
        ]
    finally:
        gate.close()
    told = gate.baseline is not None or notes
    comparison = compared(gate.baseline, results, notes) if told else None
    _write_files(arguments, results, comparison)
    _print(arguments, results, comparison)
    if any(result.outcome == "error" for result in results):
        return _NOT_MEASURED
    return _FAILS if any(result.failed for result in results) else _FITS


def _show_progress(model: str, step: str) -> None:
    """Which model is being converted, on a line that the next one takes the place of."""
    print(f"\r\x1b[Kconverting {model}: {step}", end="", file=sys.stderr, flush=True)


def _write_files(
    arguments: argparse.Namespace,
    results: Sequence[PairResult],
    comparison: Comparison | None,
) -> None:
    if arguments.json:
        from pytest_tinybudget.report import results_json

        write_output(arguments.json, results_json.render(results))
    if arguments.junit_xml:
        from pytest_tinybudget.report import junit

        write_output(arguments.junit_xml, junit.render(results))
    if arguments.html:
        from pytest_tinybudget.report import html

        write_output(arguments.html, html.render(results, comparison))


def _print(
    arguments: argparse.Namespace, results: Sequence[PairResult], comparison: Comparison | None
) -> None:
    """Failures, the table and what changed; on stderr where a report goes to stdout."""
    from pytest_tinybudget.report import diff_text
    from pytest_tinybudget.report import github
    from pytest_tinybudget.report import terminal
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.report.layout import Line

    reports_on_stdout = "-" in (arguments.json, arguments.junit_xml, arguments.html)
    console = Console(sys.stderr if reports_on_stdout else sys.stdout, arguments.color)
    style, verbosity = console.style, arguments.verbose - arguments.quiet
    for result in filter(lambda result: result.failed, results):
        console.print(terminal.failure_lines(result, style, verbosity=verbosity))
    console.print(terminal.summary(results, style, verbosity=verbosity))
    if comparison is not None:
        lines = diff_text.comparison_lines(comparison, style, unchanged=False, verbosity=verbosity)
        console.print([Line(""), *lines])
    if github.is_active(os.environ):
        print_line = partial(print, file=console.stream)
        github.publish(results, comparison, os.environ, root=Path(), print_line=print_line)
