"""``tinybudget golden``: inputs and TFLM's outputs as C arrays, for a test on the device."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.waiting import waiting
from pytest_tinybudget.graph.locations import file_and_array
from pytest_tinybudget.graph.locations import model_name


_DETAILS = """\
Runs the model in TFLM's interpreter (the extra [verify]) and writes inputs and outputs as a header
for C and C++, and beside it a test program, HEADER_test.c. A firmware links that with three
functions of its own that set an input, invoke, and give an output; it exits with 0 where every
number is as expected. The samples follow each other in one interpreter, so that a model's state is
tested too. The same model, options and interpreter give the same bytes.

The device's reference kernels give exactly these integers. CMSIS-NN is made to; esp-nn and
floating point may not be: --tolerance says by how many steps an integer may differ."""

_MOST_SAMPLES = 10_000


def add_commands(subparsers: Subparsers) -> None:
    """Add ``golden``."""
    parser = add_command(
        subparsers,
        "golden",
        "write inputs and TFLM's outputs as C arrays, for a test of the firmware",
        details=_DETAILS,
        example="tinybudget golden models/kws.tflite -o firmware/test/kws_golden.h --samples 8",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "-o", "--output", metavar="HEADER", type=Path, required=True, help="the header to write"
    )
    parser.add_argument("--name", metavar="NAME", help="name in the code (default: the file's)")
    parser.add_argument(
        "--samples", metavar="N", type=int, default=4, help="how many invocations (default: 4)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="of random inputs (default: 0)"
    )
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        type=Path,
        help="take the first samples of this file, such as calibration data, not random ones",
    )
    parser.add_argument(
        "--tolerance",
        metavar="STEPS",
        type=int,
        default=0,
        help="how many steps an output may differ by (default: 0)",
    )
    add_shape_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the header and the test program of ``arguments.model``.

    Raises:
        TinybudgetError: an option, the model or the data is wrong, or a file cannot be written.
    """
    from pytest_tinybudget.artifacts.golden import render_golden
    from pytest_tinybudget.base.files import write
    from pytest_tinybudget.evaluation.golden import golden_vectors

    _require(arguments)
    source = Path(arguments.model)
    with waiting(f"{arguments.samples} samples in TFLM's interpreter"):
        golden = golden_vectors(
            given_model(arguments, source),
            arguments.name or model_name(source),
            samples=arguments.samples,
            seed=arguments.seed,
            data=arguments.data,
            tolerance=arguments.tolerance,
        )
    files = render_golden(golden, arguments.output.name)
    for name in files:
        target = arguments.output.with_name(name)
        original, _ = file_and_array(source)
        if target.exists() and target.samefile(original):
            raise TinybudgetError(f"{target}: would overwrite the source of the model")
    for path in write(arguments.output.parent, files):
        print(path)
    return 0


def _require(arguments: argparse.Namespace) -> None:
    """Check the options.

    Raises:
        TinybudgetError: one is out of its range.
    """
    if not 1 <= arguments.samples <= _MOST_SAMPLES:
        raise TinybudgetError(
            f"--samples {arguments.samples}: expected 1 to {_MOST_SAMPLES}, such as --samples 8"
        )
    if arguments.seed < 0:
        raise TinybudgetError(f"--seed {arguments.seed}: expected 0 or more")
    if arguments.tolerance < 0:
        raise TinybudgetError(f"--tolerance {arguments.tolerance}: expected 0 steps or more")
    if arguments.output.suffix not in (".h", ".hpp"):
        raise TinybudgetError(f"{arguments.output}: expected a header, such as golden.h")
