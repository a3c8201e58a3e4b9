"""``tinybudget fit``: how large a model may be, before anything is trained."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.fitting.space import Plan


def add_commands(subparsers: Subparsers) -> None:
    """Add ``fit``."""
    parser = add_command(
        subparsers,
        "fit",
        "find out how large a model may be: the best networks of a plan that fit",
        details="A plan is a file with input_shape, layers, boards and budget. A number in it may\n"
        "be a range, { from = 8, to = 64, step = 8 }, or the name of a range in [free].\n"
        "Exit code 1: nothing fits a board.",
        example="tinybudget fit plan.toml\n"
        "tinybudget fit plan.toml --board pico --budget ram=64KB --csv fit.csv --html fit.html",
    )
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the plan, a TOML file")
    parser.add_argument(
        "--board",
        metavar="ID",
        action="append",
        default=[],
        help="instead of the plan's boards; may be repeated",
    )
    parser.add_argument(
        "--budget",
        metavar="NAME=LIMIT",
        action="append",
        default=[],
        help="instead of the plan's budget: ram=64KB, latency=100ms; may be repeated",
    )
    parser.add_argument(
        "--activations",
        choices=("int8", "int16", "float"),
        help="instead of the plan's: what flows between operators",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=1000,
        metavar="N",
        help="measure at most so many candidates, evenly spread (default 1000)",
    )
    parser.add_argument(
        "--maximize", default="parameters", metavar="FIGURES", help="default: parameters"
    )
    parser.add_argument(
        "--minimize",
        default="arena,macs",
        metavar="FIGURES",
        help="default: arena,macs; besides these ram, flash, seconds",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="all of each board's front")
    add_json_option(parser, "all candidates as JSON", takes_next="always")
    for name, what in (("csv", "a row each"), ("html", "with a plot")):
        parser.add_argument(
            f"--{name}", metavar="PATH", type=Path, help=f"write {what} ('-': standard output)"
        )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure, report, and return the exit code: 1 where a board fits nothing.

    Raises:
        TinybudgetError: the plan or an option is wrong, or a report cannot be written.
    """
    from pytest_tinybudget.fitting import fit
    from pytest_tinybudget.fitting import render

    paths = [arguments.json, arguments.csv, arguments.html]
    _require_places([str(path) for path in paths if path is not None])
    plan = _plan(arguments.plan)
    with waiting("measuring candidates"):
        found = fit(
            plan,
            activations=arguments.activations,
            boards=arguments.board,
            budget=_limits(arguments.budget) or None,
            most=arguments.most,
            maximize=_names(arguments.maximize),
            minimize=_names(arguments.minimize),
        )
    reports = (
        (arguments.json, render.as_json),
        (arguments.csv, render.as_csv),
        (arguments.html, render.page),
    )
    for path, made in reports:
        if path is not None:
            write_output(str(path), made(found))
    if "-" not in map(str, (arguments.json, arguments.csv, arguments.html)):
        print(render.text(found, every=arguments.verbose), end="")
    return 0 if all(found.front.values()) else 1


def _require_places(paths: list[str]) -> None:
    """Refuse, before anything is measured, reports that would take another's place.

    Raises:
        TinybudgetError: two go to one place, or one to that of a file that people make.
    """
    from pytest_tinybudget.base.files import require_no_source

    for path in paths:
        if paths.count(path) > 1:
            place = "standard output" if path == "-" else path
            raise TinybudgetError(f"fit: only one report can go to {place}")
        if path != "-":
            require_no_source(Path(path))


def _plan(path: Path) -> Plan:
    """The plan in ``path``.

    Raises:
        TinybudgetError: it cannot be read or is no plan.
    """
    from pytest_tinybudget.declaration.loader import read_toml
    from pytest_tinybudget.fitting.space import plan_of

    content, lines = read_toml(path)
    if "models" in content and "layers" not in content:
        raise TinybudgetError(
            f"{path}: is a declaration: fit takes a plan, which has input_shape and layers at its "
            "top, and ranges in [free]",
            code="TB200",
        )
    return plan_of(content, str(path), lines)


def _limits(given: list[str]) -> dict[str, str]:
    limits = {}
    for each in given:
        name, separator, limit = each.partition("=")
        if not (name and separator and limit):
            raise TinybudgetError(f"--budget {each!r}: expected NAME=LIMIT, such as ram=64KB")
        if name in limits:
            raise TinybudgetError(f"--budget {each!r}: there is a limit for {name} already")
        limits[name] = limit
    return limits


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())
