"""``tinybudget tighten``: lower budgets to what models take, so that they cannot grow unseen."""

from __future__ import annotations

import argparse
from contextlib import closing
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.selection import select
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.pairs import GroupPair
    from pytest_tinybudget.declaration.pairs import Pair
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.gate.tighten import LeftAlone
    from pytest_tinybudget.gate.tighten import Margin
    from pytest_tinybudget.gate.tighten import Tightened


def add_commands(subparsers: Subparsers) -> None:
    """Add ``tighten``."""
    parser = add_command(
        subparsers,
        "tighten",
        "lower the budgets in tinybudget.toml to what models take, plus a margin",
        details="No budget is raised or added; comments and layout of the file stay.",
        example="tinybudget tighten --dry-run\ntinybudget tighten --margin '2 KB' firmware",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        default=["."],
        metavar="PATH",
        help="declarations, or folders to search for tinybudget.toml (default: here)",
    )
    parser.add_argument(
        "--margin", default="5%", metavar="SIZE", help="what stays free: 5%% (default) or '2 KB'"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the changes, write nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Tighten what ``arguments.paths`` select.

    Raises:
        TinybudgetError: a path, a declaration or the margin is wrong, or cannot be written.
    """
    from pytest_tinybudget.baseline.baselines import Baselines
    from pytest_tinybudget.declaration.pairs import Check
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.gate.tighten import Margin
    from pytest_tinybudget.workspace import Workspace

    margin = Margin.parsed(arguments.margin)
    if any("::" in path for path in arguments.paths):
        raise TinybudgetError("tighten: a budget may hold many pairs; name declarations or folders")
    selected = [each for each in select(arguments.paths) if not isinstance(each, Check)]
    with waiting("measuring") as wait, closing(Workspace(progress=wait.converting)) as workspace:
        gate = Gate(workspace, baselines=Baselines.for_base())
        workspace.prepare(selected)
        for file, of_file in groupby(selected, key=lambda pair: pair.file):
            _tighten(file, list(of_file), gate, margin, dry_run=arguments.dry_run)
    return 0


def _tighten(
    file: str, pairs: list[Pair | GroupPair], gate: Gate, margin: Margin, *, dry_run: bool
) -> None:
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.declaration.edit import edited
    from pytest_tinybudget.declaration.edit import save
    from pytest_tinybudget.gate.tighten import Tightened
    from pytest_tinybudget.gate.tighten import tightened

    declaration = load_declaration(pairs[0].project.path)
    results = [(pair, gate.check(pair)) for pair in pairs]
    found = list(tightened(declaration, results, margin))
    lower = [each for each in found if isinstance(each, Tightened)]
    if lower:
        content = edited(declaration.path, {each.keys: each.value for each in lower})
        if not dry_run:
            save(declaration.path, content)
    for each in found:
        print(_line(file, each, dry_run=dry_run))
    if not found:
        print(f"{file}: every budget is as tight as it can be")


def _line(file: str, found: Tightened | LeftAlone, *, dry_run: bool) -> str:
    from pytest_tinybudget.base.text import printable
    from pytest_tinybudget.base.units import format_pair
    from pytest_tinybudget.declaration.problems import dotted
    from pytest_tinybudget.gate.tighten import Tightened

    place = f"{file}:{found.line}: {dotted(found.keys)}"
    if not isinstance(found, Tightened):
        return printable(f"{place} stays: {found.reason}", limit=500)
    before, after = format_pair(found.budget, found.lowered)
    verb = "could be" if dry_run else "is now"
    return f"{place} {verb} {after}, was {before}; {format_size(found.used)} are used"
