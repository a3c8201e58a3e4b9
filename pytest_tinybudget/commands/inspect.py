"""``tinybudget inspect``: everything about one model on one runtime."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import to_builtins

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_cost_option
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import add_placement_options
from pytest_tinybudget.commands.options import add_plan_option
from pytest_tinybudget.commands.options import add_registrations_option
from pytest_tinybudget.commands.options import add_runtime_options
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import chosen_board
from pytest_tinybudget.commands.options import chosen_firmware
from pytest_tinybudget.commands.options import declared_shapes
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.options import planned_model_of
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.commands.options import write_output
from pytest_tinybudget.commands.waiting import waiting


if TYPE_CHECKING:
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.footprint.result import LiveBuffer
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.report.inspection import Verified
    from pytest_tinybudget.runtimes.firmware import Firmware
    from pytest_tinybudget.shrinking.report import ShrinkReport


def add_commands(subparsers: Subparsers) -> None:
    """Add ``inspect``."""
    parser = add_command(
        subparsers,
        "inspect",
        "show where a model's flash and RAM go: layers, operators, parts, arena",
        example="tinybudget inspect models/kws.tflite --board raspberry-pi-pico",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    add_runtime_options(parser)
    add_cost_option(parser)
    add_shape_option(parser)
    add_plan_option(parser)
    add_placement_options(parser)
    add_registrations_option(parser)
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="show all memory of each layer"
    )
    parser.add_argument(
        "--edge-tpu",
        action="store_true",
        help="say instead whether it may run on a Coral Edge TPU, by the documented rules",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also run it in TFLM's interpreter, and hold each operator's output to LiteRT's; "
        "exit code 1 where it computes something else",
    )
    add_json_option(parser)
    parser.add_argument(
        "--svg", metavar="PATH", help="draw the tensor arena over the operators; - for stdout"
    )
    add_color_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Inspect ``arguments.model``.

    Raises:
        TinybudgetError: model, board or runtime are wrong, or there is no arena to draw.
    """
    from pytest_tinybudget.accelerators.coral import lint
    from pytest_tinybudget.boards import catalog
    from pytest_tinybudget.footprint.link import what_if
    from pytest_tinybudget.footprint.measure import measure
    from pytest_tinybudget.gate.verdict import Demands
    from pytest_tinybudget.gate.verdict import judge
    from pytest_tinybudget.report import inspection
    from pytest_tinybudget.report.console import Console
    from pytest_tinybudget.results.types import identity_of

    board = chosen_board(arguments)
    if arguments.plan:
        any_board = next(iter(catalog().values()))
        model = planned_model_of(
            Path(arguments.model), declared_shapes(arguments), board or any_board
        )
    else:
        model = given_model(arguments, Path(arguments.model))
    if arguments.edge_tpu:
        linted = lint(model)
        text = json.dumps(to_builtins(linted), indent=2) + "\n"
        if not (arguments.json and told_as_json(arguments, text)):
            sys.stdout.writelines(f"{line}\n" for line in linted.lines())
        return 0
    firmware = chosen_firmware(arguments, board)
    footprint = measure(model, firmware)
    verified = None
    if arguments.verify:
        with waiting("running the model in TFLM's interpreter and in LiteRT"):
            verified = _verified(model)
    found = inspection.Inspection(
        model=model,
        sha256=model.sha256,
        footprint=footprint,
        savings=what_if(model, firmware),
        measures=judge(footprint, board, Demands(placement=firmware.placements.arena)).measures
        if board
        else (),
        relief=_relief(model, footprint),
        identity=identity_of(firmware.runtime),
        shrunk=_shrunk(model, {board.id if board else firmware.name: firmware}),
        verified=verified,
    )
    code = 1 if found.verified and found.verified.failure else 0
    if arguments.svg:
        write_output(arguments.svg, inspection.render_svg(found))
        if arguments.svg == "-":
            return code
    if arguments.json and told_as_json(arguments, inspection.render_json(found)):
        return code
    console = Console(sys.stdout, arguments.color)
    console.print(inspection.render(found, console.style, verbosity=arguments.verbose))
    return code


def _verified(model: Model) -> Verified:
    """What the real interpreter makes of ``model``.

    Raises:
        TinybudgetError: the ``tflite-micro`` package is not installed.
    """
    from pytest_tinybudget.gate.cross_check import cross_check
    from pytest_tinybudget.gate.verdict import Verdict
    from pytest_tinybudget.report.inspection import Verified

    run = cross_check(model)
    verdict = run.applied_to(Verdict("fits", "", ()))
    failure = "" if verdict.outcome == "fits" else verdict.headline.rstrip("; ")
    lines = (*filter(None, (run.doubt,)), *run.notes)
    outputs = run.outputs
    return Verified(
        failure,
        lines,
        outputs.compared if outputs else 0,
        outputs.operators if outputs else 0,
    )


def _shrunk(model: Model, firmwares: dict[str, Firmware]) -> ShrinkReport | None:
    """What shrinking would do to the file; ``None`` where it cannot be tried."""
    from pytest_tinybudget.shrinking.shrink import shrink_model

    try:
        return shrink_model(model, firmwares).report
    except TinybudgetError:
        return None


def _relief(model: Model, footprint: Footprint) -> tuple[LiveBuffer, int] | None:
    """The buffer whose halving lowers the arena's peak most; none with an offline memory plan."""
    from pytest_tinybudget.gate.remedies.peak import peak_relief

    if footprint.arena is None or "OfflineMemoryAllocation" in model.metadata:
        return None
    return peak_relief(footprint.arena)
