"""The command line: the gate and its tools without pytest.

Exit codes: 0 all fits, 1 a pair fails, 2 wrong usage or input, which is one line on stderr.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import NoReturn

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import WRONG_USAGE
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.commands import boards
from pytest_tinybudget.commands import cache
from pytest_tinybudget.commands import calibrate
from pytest_tinybudget.commands import carray
from pytest_tinybudget.commands import check
from pytest_tinybudget.commands import compare
from pytest_tinybudget.commands import diff
from pytest_tinybudget.commands import doctor
from pytest_tinybudget.commands import energy
from pytest_tinybudget.commands import explain
from pytest_tinybudget.commands import fleet
from pytest_tinybudget.commands import golden
from pytest_tinybudget.commands import history
from pytest_tinybudget.commands import init
from pytest_tinybudget.commands import inspect
from pytest_tinybudget.commands import merge
from pytest_tinybudget.commands import package
from pytest_tinybudget.commands import report
from pytest_tinybudget.commands import rollout
from pytest_tinybudget.commands import runtime
from pytest_tinybudget.commands import schema
from pytest_tinybudget.commands import shrink
from pytest_tinybudget.commands import tighten


#: In the order of the help: the gate, what goes with it, data, what comes from elsewhere.
_COMMANDS = (
    *(
        check,
        explain,
        merge,
        diff,
        report,
        history,
        inspect,
        shrink,
        carray,
        golden,
        package,
        init,
        tighten,
    ),
    *(rollout, cache, boards, compare, energy, schema, runtime, calibrate, doctor, fleet),
)

WRONG_INPUT = 2

#: Of the system's errors those that are about a path, and not about the disk.
_NOT_THERE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

#: More of a line of an error is noise: names in a file may be megabytes long.
_LINE_CHARACTERS = 2000

#: As a shell reports a process that SIGPIPE or SIGINT ended.
_PIPE_CLOSED, _INTERRUPTED = 141, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tinybudget`` with ``argv`` (default: the process's) and return the exit code."""
    arguments = command_line_parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path that the terminal's encoding lacks is printed escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _terminated_in_order():
            code: int = arguments.run(arguments)
            sys.stdout.flush()
    except TinybudgetError as error:
        lines = (printable(line, limit=_LINE_CHARACTERS) for line in error.full_text.split("\n"))
        print("tinybudget:", "\n".join(lines), file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:
        _let_go_of_stdout()  # the reader has gone (``| head``)
        return _PIPE_CLOSED
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        told = printable(f"{place}{error.strerror or error}", limit=_LINE_CHARACTERS)
        documented = WRONG_USAGE if isinstance(error, _NOT_THERE) else CANNOT_BE_WRITTEN
        print(f"tinybudget: {told} [{documented}]", file=sys.stderr)
        _let_go_of_stdout()
        return WRONG_INPUT
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _let_go_of_stdout() -> None:
    """Keep the interpreter from flushing, as it ends, into what cannot be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _terminated_in_order() -> Iterator[None]:
    """Let SIGTERM unwind the stack: child processes and temporary files go with this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def command_line_parser() -> argparse.ArgumentParser:
    """The parser of every command, also for the reference in the docs."""
    parser = _Parser(
        prog="tinybudget",
        description="Whether machine-learning models fit microcontrollers: flash and RAM of "
        "TF Lite Micro, to the byte, without a board or a compiler.",
        epilog="start with: tinybudget init, then: tinybudget check",
    )
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        module.add_commands(subparsers)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says of a wrong argument which code it has, as every other error does; so do commands'."""

    def error(self, message: str) -> NoReturn:
        super().error(f"{message} [{WRONG_USAGE}]")


class _Version(argparse.Action):
    """``--version``, looked up only when asked for: reading package metadata takes time."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"tinybudget {version('pytest-tinybudget')}")
        parser.exit()
