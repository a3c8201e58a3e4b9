"""``tinybudget explain``: the whole story of one pair of a declaration."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_settings_options
from pytest_tinybudget.commands.options import given_settings
from pytest_tinybudget.commands.selection import is_model
from pytest_tinybudget.commands.selection import select
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.declaration.settings import Settings
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.workspace import Workspace


_CODE = re.compile(r"TB[0-9]{1,4}", re.IGNORECASE)


def add_commands(subparsers: Subparsers) -> None:
    """Add ``explain``."""
    parser = add_command(
        subparsers,
        "explain",
        "explain one model on one board, or an error code",
        details="Prints the model, the board, every part of flash and RAM, the arena's peak and\n"
        "all layers, how each number was found, and what would change the verdict. Exit\n"
        "code 1: the pair fails.",
        example="tinybudget explain tinybudget.toml::kws::raspberry-pi-pico\n"
        "tinybudget explain kws::raspberry-pi-pico\n"
        "tinybudget explain TB001",
    )
    parser.add_argument(
        "node_id",
        metavar="[FILE::]MODEL::BOARD|CODE",
        help="as pytest prints it; FILE is a declaration (default: ./tinybudget.toml), or a model",
    )
    parser.add_argument("--board", metavar="ID", help="the board, for MODEL or a model's file")
    add_settings_options(parser)
    parser.add_argument(
        "--strict", action="store_true", help="fail pairs whose numbers are not exact"
    )
    add_color_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Explain the pair of ``arguments.node_id``.

    Raises:
        TinybudgetError: there is no such pair, or its model cannot be measured.
    """
    from pytest_tinybudget.boards.describe import describe
    from pytest_tinybudget.declaration.pairs import Check
    from pytest_tinybudget.gate.judgement import Rules
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.report import story
    from pytest_tinybudget.report import timelines
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.workspace import Workspace

    if _CODE.fullmatch(arguments.node_id):
        return _explain_code(arguments.node_id.upper())
    pair = _pair(arguments.node_id, arguments.board, given_settings(arguments))
    with waiting("measuring") as wait, closing(Workspace(progress=wait.converting)) as workspace:
        result = Gate(workspace, Rules(strict=arguments.strict)).check(pair)
        unshrunk = _unshrunk(pair, workspace)
    console = Console(sys.stdout, arguments.color)
    board = [] if isinstance(pair, Check) else describe(pair.board)
    console.print(story.render(result, board, console.style))
    if unshrunk is not None and result.footprint is not None:
        console.print(timelines.render(unshrunk, result.footprint, console.style))
    return int(result.fails_run)


def _unshrunk(pair: Declared, workspace: Workspace) -> Footprint | None:
    """What a shrunken pair would take with its file as it is; ``None`` for other pairs."""
    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.gate.measurement import measurement

    if not isinstance(pair, Pair) or pair.model.shrink is None or pair.board.accelerator:
        return None
    whole = replace(pair, model=replace(pair.model, shrink=None))
    try:
        return measurement(whole, workspace).footprint
    except TinybudgetError:
        return None  # the story says what is wrong with the model


def _explain_code(name: str) -> int:
    """Print what a code means and what to do."""
    from pytest_tinybudget.base.codes import CODES
    from pytest_tinybudget.base.suggest import unknown

    code = CODES.get(name)
    if code is None:
        raise unknown("code", name, CODES)
    print(f"{name}: {code.title}")
    for text in (code.meaning, code.advice):
        print("\n" + textwrap.fill(text, 80))
    return 0


def _pair(node_id: str, board: str | None, given: Settings) -> Declared:
    """The one pair of ``node_id``, on ``board`` where that is named."""
    from pytest_tinybudget.declaration import FILE_NAME

    in_file = node_id.split("::")[0].endswith(".toml") or is_model(node_id)
    boards = [board] if board else []
    found = select([node_id if in_file else f"{FILE_NAME}::{node_id}"], boards, given)
    if len(found) != 1:
        names = ", ".join(f"{pair.name}::{pair.target}" for pair in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise TinybudgetError(f"{node_id}: expected FILE::MODEL::BOARD, one pair of {names}{more}")
    return found[0]
