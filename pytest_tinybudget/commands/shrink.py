"""``tinybudget shrink``: a model as a smaller file with the same outputs."""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import boards_of
from pytest_tinybudget.commands.options import given_model
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.commands.waiting import waiting
from pytest_tinybudget.graph.locations import file_and_array
from pytest_tinybudget.graph.locations import is_c_source
from pytest_tinybudget.graph.locations import model_name


if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Sequence

    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.shrinking.interpreters import Samples
    from pytest_tinybudget.shrinking.options import ShrinkOptions
    from pytest_tinybudget.shrinking.shrink import ShrunkModel


def add_commands(subparsers: Subparsers) -> None:
    """Add ``shrink``."""
    parser = add_command(
        subparsers,
        "shrink",
        "write a model as a smaller file with the same outputs",
        details="Leaves out what no interpreter reads, writes equal parts once, and gives the file "
        "a memory\nplan where that makes the arena smaller on a board that is named and larger on "
        "none. With\nthe extra [verify] both files are run side by side; a difference is an error, "
        "and nothing is\nwritten. The same model gives the same bytes.",
        example="tinybudget shrink models/kws.tflite -o models/kws_small.tflite\n"
        "tinybudget shrink models/kws.tflite --board raspberry-pi-pico --board esp32 --json",
    )
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help="the smaller file (default: NAME.small.tflite in this folder)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="allow -o to replace MODEL itself",
    )
    parser.add_argument(
        "--board",
        metavar="ID",
        action="append",
        default=[],
        help="a board that the model runs on; may be repeated",
    )
    parser.add_argument(
        "--keep",
        metavar="WHAT",
        action="append",
        default=[],
        help="names, signatures or metadata stay; may be repeated",
    )
    parser.add_argument(
        "--without",
        metavar="CHANGE",
        action="append",
        default=[],
        help="do not make this change: bias-scales, equal-constants, constants, reshapes, "
        "quantize-pairs, unread-operators, order, plan; may be repeated",
    )
    parser.add_argument(
        "--samples",
        metavar="DATA",
        help="run both files on these inputs too: .npz or .npy with an array for each input, "
        "samples first, a folder of these, or package.module:function",
    )
    add_json_option(parser, "JSON, sizes in bytes,")
    add_shape_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write ``arguments.model`` smaller, and say what it saves.

    Raises:
        TinybudgetError: the model cannot be read, a board or an option is unknown, an output
            differs, or the file cannot be written.
    """
    from msgspec import to_builtins

    from pytest_tinybudget.base.files import write_file
    from pytest_tinybudget.shrinking.options import shrink_options

    options = shrink_options(arguments.keep, arguments.without)
    boards = boards_of(arguments.board)
    samples = _samples(arguments.samples)
    model = given_model(arguments, Path(arguments.model))
    target = _target(arguments)
    with waiting("shrinking, and running both files on the same inputs"):
        made = list(_made(model, boards, options, target, samples))
    for path, shrunk in made:
        _check_target(path, arguments)
        unused = shrunk.report.proof.samples_unused
        if unused:
            raise TinybudgetError(f"{arguments.samples}: not in the form of the inputs: {unused}")
    for path, shrunk in made:
        write_file(path, shrunk.model.content)
    if arguments.json:
        reports = [{"file": str(path), **to_builtins(each.report)} for path, each in made]
        record = reports[0] if len(reports) == 1 else reports
        if told_as_json(arguments, json.dumps(record, indent=2) + "\n"):
            return 0
    for path, shrunk in made:
        print("\n".join(shrunk.report.lines()))
        print(f"  wrote {path}")
    return 0


def _made(
    model: Model,
    boards: Sequence[Board],
    options: ShrinkOptions,
    target: Path,
    samples: Samples | None,
) -> Iterator[tuple[Path, ShrunkModel]]:
    """The file for all boards, and one for each board that another serves better."""
    from pytest_tinybudget.gate.shrunken import firmwares_of
    from pytest_tinybudget.shrinking.interpreters import Interpreters
    from pytest_tinybudget.shrinking.shrink import shrinking

    firmwares = firmwares_of(boards)
    with Interpreters() as interpreters:
        run = partial(shrinking, interpreters=interpreters, samples=samples)
        for_all = run(model, firmwares, options).result()
        yield target, for_all
        for name in for_all.separate:
            path = target.with_name(f"{target.stem}.{name}{target.suffix}")
            yield path, run(model, {name: firmwares[name]}, options).result()


def _samples(given: str | None) -> Samples | None:
    """The samples of a file, a folder, or ``package.module:function``.

    Raises:
        TinybudgetError: there is no such file, or nothing in it.
    """
    from pytest_tinybudget.convert.settings import Conversion
    from pytest_tinybudget.shrinking.interpreters import ARRAYS
    from pytest_tinybudget.shrinking.interpreters import Samples
    from pytest_tinybudget.shrinking.interpreters import samples_at

    if given is None:
        return None
    function = Conversion(Path(), given).data_function
    path = Path(given)
    if function is not None and not path.exists():
        return Samples(function=(Path(), *function))
    if not path.exists():
        raise TinybudgetError(f"{given}: no such file")
    found = samples_at(path)
    if not found.paths:
        raise TinybudgetError(f"{given}: no .npy or .npz file in the folder")
    if found.paths[0].suffix not in ARRAYS:
        raise TinybudgetError(f"{given}: neither .npz nor .npy nor a folder")
    return found


def _target(arguments: argparse.Namespace) -> Path:
    """Where the file goes.

    Raises:
        TinybudgetError: into a folder, or in the place of the model.
    """
    target: Path = arguments.output or Path(f"{model_name(Path(arguments.model))}.small.tflite")
    if target.is_dir():
        raise TinybudgetError(f"{target}: is a folder, expected the name of a .tflite file")
    _check_target(target, arguments)
    return target


def _check_target(target: Path, arguments: argparse.Namespace) -> None:
    """Check that ``target`` is not the given model, by whatever path, unless that is asked for.

    Raises:
        TinybudgetError: it is.
    """
    source = Path(arguments.model)
    file, _ = file_and_array(source)
    if not (target.exists() and target.samefile(file)):
        return
    if file != source or is_c_source(file):
        raise TinybudgetError(f"{target}: would overwrite the source of the model: choose another")
    if not arguments.overwrite:
        raise TinybudgetError(
            f"{target}: is the given model, which would be lost: choose another file with -o, "
            "or say --overwrite"
        )
