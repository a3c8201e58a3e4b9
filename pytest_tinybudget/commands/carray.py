"""``tinybudget carray``: the files that a firmware needs of a model, without a declaration."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_cost_option
from pytest_tinybudget.commands.options import add_placement_options
from pytest_tinybudget.commands.options import add_registrations_option
from pytest_tinybudget.commands.options import add_runtime_options
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import chosen_board
from pytest_tinybudget.commands.options import chosen_firmware
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.options import require_runnable
from pytest_tinybudget.graph.locations import file_and_array
from pytest_tinybudget.graph.locations import model_name


def add_commands(subparsers: Subparsers) -> None:
    """Add ``carray``."""
    parser = add_command(
        subparsers,
        "carray",
        "write a model as a C array, with its arena size and operator resolver",
        details="Prints the paths of what it wrote. The same model gives the same bytes.",
        example="tinybudget carray models/kws.tflite -o firmware/src --board raspberry-pi-pico",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path(), help="folder (default: here)"
    )
    parser.add_argument("--name", metavar="NAME", help="name in the code (default: the file's)")
    parser.add_argument(
        "--language", choices=("c++", "c"), default="c++", help="of the array (default: c++)"
    )
    add_registrations_option(
        parser, "resolver with AddConv2D() or, smaller, AddConv2D(Register_CONV_2D_INT8())"
    )
    parser.add_argument(
        "--array-only", action="store_true", help="the array alone, even if TFLM cannot run it"
    )
    add_runtime_options(parser)
    add_cost_option(parser)
    add_shape_option(parser)
    add_placement_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files of ``arguments.model``.

    Raises:
        TinybudgetError: model, board or runtime are wrong, or the folder cannot be written.
    """
    from pytest_tinybudget.artifacts import render
    from pytest_tinybudget.artifacts import render_array
    from pytest_tinybudget.artifacts import write
    from pytest_tinybudget.footprint.measure import measure

    firmware = chosen_firmware(arguments, chosen_board(arguments))
    model = given_model(arguments, Path(arguments.model))
    name = arguments.name or model_name(Path(arguments.model))
    if arguments.array_only:
        files = render_array(model, name, arguments.language, firmware.placements)
    else:
        footprint = measure(model, firmware)
        require_runnable(footprint, arguments.model, "--array-only writes the array alone")
        files = render(
            model,
            name=name,
            firmwares=[firmware],
            footprints=[footprint],
            language=arguments.language,
        )
    source, _ = file_and_array(Path(arguments.model))
    for name in files:
        target = arguments.output / name
        if target.exists() and target.samefile(source):
            raise TinybudgetError(
                f"{target}: would overwrite the source of the model: choose another --name or -o"
            )
    for path in write(arguments.output, files):
        print(path)
    return 0
