"""How commands that judge pairs report results: files, text for people, the exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import write_output


if TYPE_CHECKING:
    from pytest_tinybudget.baseline.comparison import Comparison
    from pytest_tinybudget.baseline.history import History
    from pytest_tinybudget.commands.options import TakesNext
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.report.formats import Request
    from pytest_tinybudget.report.layout import Line
    from pytest_tinybudget.results.types import PairResult
    from pytest_tinybudget.results.types import Provenance


_FITS, _FAILS, _NOT_MEASURED = 0, 1, 2

#: For the help of a command that ends with ``exit_code``.
EXIT_CODES = "Exit code 0: all fit; 1: a pair does not; 2: wrong usage or input."


def add_report_options(parser: argparse.ArgumentParser, *, takes_next: TakesNext) -> None:
    """The files to write and how much to say; ``takes_next`` is that of ``Json``."""
    add_json_option(parser, "the results file", takes_next=takes_next)
    parser.add_argument("--junit-xml", metavar="PATH", help="write JUnit XML; - for stdout")
    parser.add_argument("--html", metavar="PATH", help="write a page with all pairs")
    parser.add_argument(
        "--report",
        metavar="FORMAT=PATH",
        action="append",
        default=[],
        help="write a report in any format of tinybudget report; may be given several times",
    )
    add_history_option(parser)
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show layers; -vv all their memory"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="say only what fails")
    add_color_option(parser)


def add_history_option(parser: argparse.ArgumentParser) -> None:
    """``--history``, for the trend of the page."""
    parser.add_argument(
        "--history",
        metavar="FILE|DIR",
        type=Path,
        help="earlier results for the trend in the page: a folder of results files, or a committed "
        "one (default: --store, else the baseline file)",
    )


def add_format_option(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """``--format``, which also takes the formats of other packages."""
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        required=required,
        help="what to write: csv, digest, gitlab-codequality, html, json, junit, markdown, "
        "openmetrics, sarif, or a format of another package",
    )


def require_one_stdout(arguments: argparse.Namespace) -> None:
    """Check the report options before anything is measured.

    Raises:
        TinybudgetError: two reports would go to stdout, a format does not exist, or the history
            that the page is to show does not.
    """
    if arguments.history is not None and not arguments.history.exists():
        raise TinybudgetError(
            f"--history: {arguments.history.as_posix()}: no such file or folder", code="TB500"
        )
    if _paths(arguments).count("-") > 1:
        raise TinybudgetError(
            "--json, --junit-xml, --html, --report: only one of them can go to stdout"
        )


def page_history(
    arguments: argparse.Namespace,
    results: Sequence[PairResult],
    declared: Iterable[Path | None] = (),
) -> History | None:
    """How sizes went before these results, for the page.

    From ``--history``; else from what is at hand: ``--store``, the file of ``--baseline``, the one
    baseline that the declarations name (``declared``).

    Raises:
        TinybudgetError: ``--history`` names no results.
    """
    from pytest_tinybudget.baseline.history import history_at_hand
    from pytest_tinybudget.baseline.history import history_before

    if arguments.history is not None:
        return history_before(arguments.history, results)
    stored = getattr(arguments, "store", None) or []
    stores = stored if isinstance(stored, list) else [stored]
    return history_at_hand([*stores, getattr(arguments, "baseline", None), *declared], results)


def writes_page(arguments: argparse.Namespace) -> bool:
    """Whether the HTML page is one of the reports that were asked for."""
    return bool(arguments.html) or any(each.format == "html" for each in _requests(arguments))


def _paths(arguments: argparse.Namespace) -> list[str | None]:
    """The paths of all reports that were asked for."""
    others = (request.path for request in _requests(arguments))
    return [arguments.json, arguments.junit_xml, arguments.html, *others]


def _requests(arguments: argparse.Namespace) -> list[Request]:
    """The reports that ``--report`` asks for."""
    if not arguments.report:
        return []
    from pytest_tinybudget.report.formats import requested

    return [requested(text, "--report") for text in arguments.report]


def tell(
    arguments: argparse.Namespace,
    results: Sequence[PairResult],
    comparison: Comparison | None,
    provenance: Provenance | None = None,
    baselines: Iterable[Path | None] = (),
) -> int:
    """Write the files that were asked for, print the rest, and return the exit code.

    ``provenance`` is that of the results, where more is known than that they are of this run;
    ``baselines`` are the results files that the declarations name.

    Raises:
        TinybudgetError: a file cannot be written.
    """
    history = page_history(arguments, results, baselines) if writes_page(arguments) else None
    _write_files(arguments, results, comparison, provenance, history)
    _print(arguments, results, comparison)
    return exit_code(results)


def exit_code(results: Iterable[PairResult]) -> int:
    """0 where all pass, 1 where one fails, 2 where one was not measured; not of what only informs.

    The one that ``results`` give a command.
    """
    red = [result.outcome for result in results if result.fails_run]
    if "error" in red:
        return _NOT_MEASURED
    return _FAILS if red else _FITS


def _write_files(
    arguments: argparse.Namespace,
    results: Sequence[PairResult],
    comparison: Comparison | None,
    provenance: Provenance | None,
    history: History | None,
) -> None:
    if arguments.json:
        from pytest_tinybudget.results import writer

        write_output(arguments.json, writer.render(results, provenance))
    if arguments.junit_xml:
        from pytest_tinybudget.report import junit

        write_output(arguments.junit_xml, junit.render(results))
    if arguments.html:
        _write_report("html", arguments.html, results, comparison, provenance, history)
    for request in _requests(arguments):
        _write_report(request.format, request.path, results, comparison, provenance, history)


def _write_report(
    name: str,
    path: str,
    results: Sequence[PairResult],
    comparison: Comparison | None,
    provenance: Provenance | None,
    history: History | None,
) -> None:
    from pytest_tinybudget.report import formats

    text = formats.render(name, results, comparison, provenance, history=history)
    write_output(path, text)


def console_of(arguments: argparse.Namespace) -> Console:
    """Where text for people goes: to stderr where a report goes to stdout."""
    from pytest_tinybudget.report.console import Console

    stream = sys.stderr if "-" in _paths(arguments) else sys.stdout
    return Console(stream, arguments.color)


def table_of(arguments: argparse.Namespace, results: Sequence[PairResult]) -> list[Line]:
    """The table of pairs, as it is printed."""
    from pytest_tinybudget.report import summary

    verbosity = arguments.verbose - arguments.quiet
    return summary.summary(results, console_of(arguments).style, verbosity=verbosity)


def _print(
    arguments: argparse.Namespace, results: Sequence[PairResult], comparison: Comparison | None
) -> None:
    """Failures, the table and what changed; on stderr where a report goes to stdout."""
    from pytest_tinybudget.report import is_github_step
    from pytest_tinybudget.report import terminal
    from pytest_tinybudget.report.layout import Line
    from pytest_tinybudget.report.review import blocks_of
    from pytest_tinybudget.report.review import rows_of

    console = console_of(arguments)
    style, verbosity = console.style, arguments.verbose - arguments.quiet
    told = terminal.Told()
    rows = [row for block in blocks_of(rows_of(results, comparison)) for row in block.rows]
    for result in (row.result for row in rows if row.result.failed and not row.is_gone):
        most = told.most(result)
        console.print(terminal.failure_lines(result, style, verbosity=verbosity, most=most))
    table = table_of(arguments, results)
    changes: list[Line] = []
    if comparison is not None:
        from pytest_tinybudget.report import diff_text

        changes = diff_text.comparison_lines(
            comparison, style, unchanged=False, verbosity=verbosity
        )
    if not is_github_step(os.environ):
        console.print([*table, *([Line("")] if changes else []), *changes])
        return
    from pytest_tinybudget.report import github

    console.print(github.group("all pairs", table))
    console.print(github.group("what changed", changes))
    print_line = partial(print, file=console.stream)
    github.publish(results, comparison, os.environ, root=Path(), print_line=print_line)
