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
from importlib import import_module
from typing import NoReturn

from pytest_tinybudget.base.errors import CANNOT_BE_WRITTEN
from pytest_tinybudget.base.errors import WRONG_USAGE
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.garbage import collect_seldom
from pytest_tinybudget.base.imports import QuickImports
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.commands.options import Json


#: The help's groups, each with its commands in the order in which one needs them.
_GROUPS = {
    "the gate": ("init", "check", "explain", "tighten", "doctor"),
    "a model": ("fit", "inspect", "shrink", "carray", "golden", "compare", "energy"),
    "results": ("diff", "report", "history", "merge", "schema"),
    "boards and firmware": ("boards", "runtime", "calibrate"),
    "updates": ("package", "rollout", "fleet"),
    "this tool": ("cache", "completion"),
}

#: The command that is about all the others.
_NEEDS_ALL = "completion"

WRONG_INPUT = 2

#: Of the system's errors those that are about a path, and not about the disk.
_NOT_THERE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

#: More of a line of an error is noise: names in a file may be megabytes long.
_LINE_CHARACTERS = 2000

#: As a shell reports a process that SIGPIPE or SIGINT ended.
_PIPE_CLOSED, _INTERRUPTED = 141, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``tinybudget`` with ``argv`` (default: the process's) and return the exit code."""
    if argv is None:  # a process of its own
        QuickImports.enter()
        collect_seldom()
    words = sys.argv[1:] if argv is None else argv
    arguments = command_line_parser(_named(words)).parse_args(argv)
    if "run" not in arguments:  # no command at all
        command_line_parser().print_help()
        return 0
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


def _named(words: Sequence[str]) -> str:
    """The command that ``words`` name, if its parser is all that it needs."""
    names = {name for group in _GROUPS.values() for name in group}
    return words[0] if words and words[0] in names - {_NEEDS_ALL} else ""


def command_line_parser(only: str = "") -> argparse.ArgumentParser:
    """The parser of every command, also for the reference in the docs.

    Of the command ``only``, where it is given: most of a short run would import the others.
    """
    parser = _MainParser(
        prog="tinybudget",
        description="Whether machine-learning models fit microcontrollers: flash and RAM of "
        "TF Lite Micro, to the byte, without a board or a compiler.",
        epilog="start with: tinybudget init, then: tinybudget check; every command has --help",
    )
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_Parser, prog="tinybudget"
    )
    for names in _GROUPS.values():
        for name in names:
            if only in ("", name):
                import_module(f"pytest_tinybudget.commands.{name}").add_commands(subparsers)
    parser.set_defaults(whole=parser)  # for completion
    return parser


class _Parser(argparse.ArgumentParser):
    """Says of a wrong argument which code it has, as every other error does; so do commands'."""

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        words = sys.argv[1:] if args is None else list(args)
        option = self._option_string_actions.get("--json")
        if isinstance(option, Json):
            words = option.joined(words, self.prog)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        told = f"{self.prog}: {message} [{WRONG_USAGE}] (see {self.prog} --help)"
        self.exit(WRONG_INPUT, f"{printable(told, limit=_LINE_CHARACTERS)}\n")

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """A wrong word is told with the nearest valid ones, where there are some."""
        if action.choices is None or value in action.choices:
            return
        valid = list(map(str, action.choices))
        offers = nearest(str(value), valid)
        if isinstance(action, argparse._SubParsersAction):
            kind, otherwise = "command", ""
        else:
            kind, otherwise = "value", f"; it is one of {', '.join(valid)}"
        near = f"; did you mean {' or '.join(map(repr, offers))}?" if offers else otherwise
        raise argparse.ArgumentError(action, f"unknown {kind} {value!r}{near}")


class _MainParser(_Parser):
    """The parser of the program itself, whose help shows the commands in groups."""

    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        told = {
            choice.dest: choice
            for action in self._actions
            if isinstance(action, argparse._SubParsersAction)
            for choice in action._choices_actions
        }
        for title, names in _GROUPS.items():
            formatter.start_section(title)
            formatter.add_arguments([told[name] for name in told if name in names])
            formatter.end_section()
        options = [each for each in self._actions if each.option_strings]
        formatter.start_section("options")
        formatter.add_arguments(options)
        formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


class _Version(argparse.Action):
    """``--version``, looked up only when asked for: reading package metadata takes time."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"tinybudget {version('pytest-tinybudget')}")
        parser.exit()
