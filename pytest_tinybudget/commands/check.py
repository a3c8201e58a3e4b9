"""``tinybudget check``: every declared pair against its limits, as ``pytest --tinybudget`` does."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.base import add_base_options
from pytest_tinybudget.commands.base import baseline_of
from pytest_tinybudget.commands.base import compared
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_settings_options
from pytest_tinybudget.commands.options import given_settings
from pytest_tinybudget.commands.outcome import EXIT_CODES
from pytest_tinybudget.commands.outcome import add_report_options
from pytest_tinybudget.commands.outcome import require_one_stdout
from pytest_tinybudget.commands.outcome import tell
from pytest_tinybudget.commands.outcome import writes_page
from pytest_tinybudget.commands.selection import is_model
from pytest_tinybudget.commands.selection import select
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.commands.earlier import Earlier


def add_commands(subparsers: Subparsers) -> None:
    """Add ``check``."""
    parser = add_command(
        subparsers,
        "check",
        "check models against the budgets in tinybudget.toml",
        details=f"A model's file is checked against what each --board has.\n{EXIT_CODES}",
        example="tinybudget check\n"
        "tinybudget check models/kws.tflite --board pico --board esp32\n"
        "tinybudget check firmware/tinybudget.toml::kws --json=build/tinybudget.json",
    )
    parser.add_argument(
        "paths",
        nargs="*",
        default=["."],
        metavar="PATH[::MODEL[::BOARD]]",
        help="declarations, folders to search for tinybudget.toml (default: here), or models",
    )
    parser.add_argument(
        "--board",
        metavar="ID",
        action="append",
        default=[],
        help="check a model on this board; with declarations, only pairs on it; may be repeated",
    )
    parser.add_argument(
        "--baseline", metavar="PATH", type=Path, help="results file to compare with"
    )
    add_settings_options(parser)
    add_base_options(parser)
    parser.add_argument(
        "--artifacts", metavar="DIR", type=Path, help="write the C files of each model here"
    )
    parser.add_argument(
        "--strict", action="store_true", help="fail pairs whose numbers are not exact"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also run each model in TFLM's interpreter, and compare its outputs with LiteRT's and "
        "with those of the float model that it was made from",
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="convert and measure all models again"
    )
    add_report_options(parser, takes_next="always")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check what ``arguments.paths`` select, report, and return the exit code.

    Raises:
        TinybudgetError: a path or a declaration is wrong, or a report cannot be written.
    """
    from pytest_tinybudget.commands.earlier import earlier_of

    require_one_stdout(arguments)
    earlier = earlier_of(arguments)
    if earlier is not None and earlier.show():
        return 0
    return _checked(arguments, earlier)


def _checked(arguments: argparse.Namespace, earlier: Earlier | None) -> int:
    """The exit code of pairs that are judged now; ``earlier`` keeps what passed of them."""
    from pytest_tinybudget.gate.artifacts import Artifacts
    from pytest_tinybudget.gate.judgement import Rules
    from pytest_tinybudget.gate.pipeline import Gate
    from pytest_tinybudget.workspace import Workspace
    from pytest_tinybudget.workspace import earlier_footprints

    if arguments.verify:
        from pytest_tinybudget.gate.cross_check import require_interpreter

        require_interpreter()
    _require_declarations(arguments)
    selected = select(arguments.paths, arguments.board, given_settings(arguments))
    cached = not arguments.no_cache
    kept = earlier_footprints() if cached else None
    with (
        waiting("checking", quiet=bool(arguments.quiet)) as wait,
        closing(Workspace(cached=cached, kept=kept, progress=wait.converting)) as workspace,
    ):
        gate = Gate(
            workspace,
            Rules(
                arguments.strict,
                arguments.verify,
                arguments.require_base,
                waste=writes_page(arguments),
                informational=arguments.informational,
                approve_labels=tuple(arguments.approve_label),
                vela=bool(arguments.verbose or arguments.json) or writes_page(arguments),
            ),
            artifacts=Artifacts(required=arguments.artifacts is not None),
        )
        baseline = baseline_of(arguments, gate, selected)
        gate.baselines.chosen = baseline
        if not arguments.quiet:
            for line in gate.first_verdicts(selected):
                print(line, file=sys.stderr, flush=True)
        workspace.prepare(selected)
        results = [
            gate.check(pair, arguments.artifacts or pair.project.artifacts)
            for pair in wait.measuring(selected)
        ]
    comparison = None if baseline is None else compared(baseline, results)
    provenance = baseline.provenance if baseline else None
    named = dict.fromkeys(pair.project.baseline for pair in selected)
    code = tell(arguments, results, comparison, provenance, named)
    if earlier is not None:
        earlier.keep(selected, results, gate.artifacts)
    return code


def _require_declarations(arguments: argparse.Namespace) -> None:
    """Check that no option asks for a base: a single model has none."""
    models = [path for path in arguments.paths if is_model(path)]
    if models and arguments.base:
        raise TinybudgetError(
            f"{models[0]}: --base compares declarations; a model alone is compared with "
            "--baseline FILE"
        )
