"""``tinybudget completion``: what makes a shell complete commands, options, boards and files."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command


_SHELLS = ("bash", "zsh", "fish", "powershell")

#: Words in the help of an option or argument that say what a shell may offer for it.
_FILES = ("FILE", "PATH", "MODEL", "RESULTS", "TOML", "PEM", "IMAGE", "FIRMWARE", "DATA")
_FOLDERS = ("DIR",)
_BOARDS = ("ID",)


def add_commands(subparsers: Subparsers) -> None:
    """Add ``completion``."""
    parser = add_command(
        subparsers,
        "completion",
        "print a script for completion in a shell",
        details="The script completes commands, options, boards and files (extra [completion]). "
        "Print it again after an update.",
        example="tinybudget completion bash > "
        "~/.local/share/bash-completion/completions/tinybudget\n"
        "tinybudget completion zsh > ~/.zfunc/_tinybudget      # a folder in $fpath\n"
        "tinybudget completion fish > ~/.config/fish/completions/tinybudget.fish",
    )
    parser.add_argument("shell", choices=_SHELLS, help="the shell that reads the script")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script.

    Raises:
        TinybudgetError: shtab, which makes it, is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise TinybudgetError(
            "completion needs shtab: pip install 'pytest-tinybudget[completion]'", code="TB103"
        ) from None
    from pytest_tinybudget.boards.catalog import catalog

    parser = arguments.whole
    boards = sorted(catalog())
    for action in _actions(parser):
        if action.choices is not None or not isinstance(action.metavar, str):
            continue
        words = action.metavar.strip("[]").replace("::", "|").split("|")
        if words[0] in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif words[0] in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif words[0] in _BOARDS:
            action.choices = boards
    print(shtab.complete(parser, shell=arguments.shell))
    return 0


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument of ``parser`` and of its commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
