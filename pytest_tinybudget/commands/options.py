"""What several commands share: help that shows an example, the choice of a runtime, output."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Literal
from typing import TypeAlias
from typing import cast

from pytest_tinybudget.base.errors import TinybudgetError


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration.settings import Settings
    from pytest_tinybudget.declaration.settings import Shapes
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.rollout.policy import RolloutSettings
    from pytest_tinybudget.runtimes.firmware import Firmware
    from pytest_tinybudget.runtimes.firmware import OperatorCost
    from pytest_tinybudget.runtimes.placement import Placements
    from pytest_tinybudget.runtimes.runtime import Runtime


#: What ``argparse.ArgumentParser.add_subparsers`` returns.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

#: For a command that reads a model as it is.
MODEL_HELP = "a .tflite file, or a C file with it as an array: FILE or FILE::ARRAY"

#: What a model is measured for where neither a board nor a runtime is named.
DEFAULT_RUNTIME = "m4_cmsisnn"

#: Extents of a shape: at most six, each at most five digits.
_EXTENTS = re.compile(r"[1-9][0-9]{0,4}(,[1-9][0-9]{0,4}){0,5}")


def add_command(
    subparsers: Subparsers, name: str, summary: str, *, details: str = "", example: str
) -> argparse.ArgumentParser:
    """A command's parser; its help ends with ``example``."""
    indented = "\n".join(f"  {line}" for line in example.splitlines())
    return subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.\n\n{details}".rstrip(),
        epilog=f"example:\n{indented}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_color_option(parser: argparse.ArgumentParser) -> None:
    """``--color``, with the words of git and ls; those of older versions still work."""
    parser.add_argument(
        "--color",
        type=_color,
        choices=("auto", "always", "never"),
        default="auto",
        help="auto (on a terminal), always or never",
    )


TakesNext = Literal["never", "if absent", "always"]


class Json(argparse.Action):
    """``--json``, which prints JSON; ``--json=FILE`` writes it to a file besides the text.

    ``takes_next`` is for the commands of which older versions had ``--json FILE``; where files are
    what a command reads, one that is there is never taken for the one to write.
    """

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        *,
        takes_next: TakesNext = "never",
        help_text: str,
    ) -> None:
        super().__init__(option_strings, dest, nargs="?", const="-", metavar="FILE", help=help_text)
        self.takes_next = takes_next

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, values or "-")

    def joined(self, words: Sequence[str], prog: str) -> list[str]:
        """The command line ``words``, with what ``--json`` is given joined to it by ``=``."""
        found = list(words)
        for index, word in reversed(list(enumerate(found))):
            if word != "--json" or "--" in found[:index]:
                continue
            after = found[index + 1] if index + 1 < len(found) else ""
            if self._takes(after):
                print(f"{prog}: --json {after} is now --json={after}", file=sys.stderr)
                found[index : index + 2] = [f"--json={after}"]
            else:
                found[index] = "--json=-"
        return found

    def _takes(self, word: str) -> bool:
        if not word or (word != "-" and word.startswith("-")):
            return False
        return self.takes_next == "always" or (
            self.takes_next == "if absent" and not Path(word).exists()
        )


def add_json_option(
    parser: argparse.ArgumentParser, what: str = "JSON", *, takes_next: TakesNext = "never"
) -> None:
    """``--json``, which means the same in every command: see ``Json``."""
    parser.add_argument(
        "--json",
        action=Json,
        takes_next=takes_next,
        help_text=f"print {what} instead of text; --json=FILE writes it there, besides the text",
    )


def told_as_json(arguments: argparse.Namespace, text: str) -> bool:
    """Write ``text`` where ``--json`` says; whether it is all that stdout gets.

    Raises:
        TinybudgetError: the file cannot be written.
    """
    write_output(arguments.json, text)
    return str(arguments.json) == "-"


def _color(text: str) -> str:
    new = {"yes": "always", "no": "never"}.get(text)
    if new is None:
        return text
    print(f"tinybudget: --color {text} is now --color {new}", file=sys.stderr)
    return new


def add_runtime_options(parser: argparse.ArgumentParser) -> None:
    """``--board``, ``--runtime`` or both: what a model is measured for."""
    parser.add_argument("--board", metavar="ID", help="measure for this board (tinybudget boards)")
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        help="measure for this runtime, as 'tinybudget runtime' lists them, or 'project' for what "
        f"the project's own files name (default: the board's, or {DEFAULT_RUNTIME})",
    )


def add_cost_option(parser: argparse.ArgumentParser) -> None:
    """``--op``: what kernels of the firmware's own take, as ``[runtime.ops.NAME]`` states it."""
    parser.add_argument(
        "--op",
        metavar="NAME=PERSISTENT,SCRATCH,FLASH",
        action="append",
        default=[],
        help="an operator that the firmware brings itself, and what it takes: MyOp=1KB,0,4KB",
    )


def add_registrations_option(
    parser: argparse.ArgumentParser,
    help_text: str = "kernels as Register_CONV_2D() or, smaller, Register_CONV_2D_INT8()",
) -> None:
    """``--registrations``: which kernels the firmware registers."""
    parser.add_argument(
        "--registrations", choices=("generic", "typed"), default="generic", help=help_text
    )


def add_shape_option(parser: argparse.ArgumentParser) -> None:
    """``--input-shape``: shapes of open inputs, as ``input_shapes`` declares them."""
    parser.add_argument(
        "--input-shape",
        metavar="NAME=1,96,96,3",
        action="append",
        default=[],
        help="shape of an input that the file leaves open, batch included",
    )


def add_placement_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--placement``, ``--placement-model`` and ``--storage-model``."""
    parser.add_argument(
        "--placement",
        metavar="PLACE",
        default="static",
        help="where the arena goes: static (default), heap or psram; two, as in static,psram, "
        "split it into its persistent and its non-persistent part",
    )
    parser.add_argument(
        "--placement-model",
        choices=("flash", "ram", "psram"),
        default="flash",
        help="where the model's bytes lie while it runs (default: flash)",
    )
    parser.add_argument(
        "--storage-model",
        choices=("flash", "external"),
        default="flash",
        help="where a model in RAM is read from; external: an SD card, a file system",
    )


def chosen_placements(arguments: argparse.Namespace) -> Placements:
    """Where ``arguments`` put arena and model.

    Raises:
        TinybudgetError: an unknown place, or too many of them.
    """
    from pytest_tinybudget.declaration.settings import placements_of

    arena = _arena_place(arguments.placement)
    return placements_of(arena, arguments.placement_model, arguments.storage_model)


def _arena_place(places: str) -> str | dict[str, str]:
    """``--placement`` as a declaration has it: a place, or one for each part."""
    from pytest_tinybudget.runtimes.placement import SplitPlacement

    split, parts = places.split(","), SplitPlacement.__struct_fields__
    if len(split) > len(parts):
        raise TinybudgetError(
            f"--placement: expected one place, or two as in static,psram, got {places}"
        )
    return places if len(split) == 1 else dict(zip(parts, split, strict=True))


def declared_shapes(arguments: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """What ``--input-shape`` says of inputs, by name.

    Raises:
        TinybudgetError: one is not ``NAME=EXTENTS``.
    """
    shapes = {}
    for text in arguments.input_shape:
        name, _, extents = text.rpartition("=")
        if not name or _EXTENTS.fullmatch(extents) is None:
            raise TinybudgetError(
                f"--input-shape {text!r}: expected NAME=EXTENTS, such as image=1,96,96,3"
            )
        shapes[name] = tuple(map(int, extents.split(",")))
    return shapes


def given_model(arguments: argparse.Namespace, path: Path) -> Model:
    """The model of a file, at the shapes that ``--input-shape`` gives its inputs.

    Raises:
        TinybudgetError: it cannot be read, or the shapes are not for it.
    """
    from pytest_tinybudget.graph.closing import closed
    from pytest_tinybudget.graph.tflite import load_model

    return closed(load_model(path), declared_shapes(arguments))


def planned_model_of(path: Path, shapes: Shapes, board: Board) -> Model:
    """The model of a source as its layers tell; stderr says how exact that is.

    Where a layer's conversion is not known, the file is converted, with random data.

    Raises:
        TinybudgetError: it cannot be converted either.
    """
    from contextlib import closing

    from pytest_tinybudget.convert.settings import RANDOM
    from pytest_tinybudget.convert.sources import ONLY_PLANNED
    from pytest_tinybudget.convert.sources import kind_of
    from pytest_tinybudget.convert.sources import tells_layers
    from pytest_tinybudget.declaration.single import pair_of
    from pytest_tinybudget.workspace import Workspace

    kind = kind_of(path)
    if not tells_layers(kind):
        raise TinybudgetError(f"--plan: {ONLY_PLANNED}, not {path.name}")
    settings: Settings = {"plan": True, "input_shapes": shapes}
    with closing(Workspace()) as workspace:
        pair = pair_of(path, board=board, settings=settings)
        plan = workspace.plan(pair.model)
        if plan is not None and plan.model is not None:
            told = "planned, not converted"
            if kind == "keras":  # the conversion of a PyTorch program leaves no names
                told += "; names in the trained file take more flash"
        else:
            told = f"{plan.why_not if plan else 'not planned'}; it is converted"
            pair = pair_of(path, board=board, settings={**settings, "representative_data": RANDOM})
        print(f"{path.name}: {told}", file=sys.stderr)
        return workspace.model(pair.model)


def declared_costs(arguments: argparse.Namespace) -> dict[str, OperatorCost]:
    """What ``--op`` states of operators, by name.

    Raises:
        TinybudgetError: one is not ``NAME=PERSISTENT,SCRATCH,FLASH``.
    """
    from pytest_tinybudget.base.units import parse_size
    from pytest_tinybudget.runtimes.firmware import OperatorCost

    costs = {}
    for text in arguments.op:
        name, _, sizes = text.rpartition("=")
        try:
            persistent, scratch, flash = map(parse_size, sizes.split(","))
        except ValueError:
            name = ""
        if not name:
            raise TinybudgetError(
                f"--op {text!r}: expected NAME=PERSISTENT,SCRATCH,FLASH, such as MyOp=1KB,0,4KB"
            )
        costs[name] = OperatorCost(persistent, scratch, flash)
    return costs


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """The settings of a model that is named itself: each key of ``Settings`` but ``--strict``."""
    add_placement_options(parser)
    add_cost_option(parser)
    add_shape_option(parser)
    add_registrations_option(parser)
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        help="instead of the board's own; project: the one that the project's files name",
    )
    parser.add_argument(
        "--stack", metavar="SIZE", help="the stack that you measured, instead of the table's"
    )
    parser.add_argument(
        "--budget",
        metavar="NAME=LIMIT",
        action="append",
        default=[],
        help="a limit besides the board's own: flash=200KB, latency=100ms; may be repeated",
    )
    parser.add_argument(
        "--require-int8",
        choices=("yes", "warn", "no"),
        default="warn",
        help="fail a model that is not full INT8, warn (default), or neither",
    )
    parser.add_argument(
        "--representative-data", metavar="PATH", help="samples to calibrate a conversion with"
    )
    parser.add_argument(
        "--custom-objects", metavar="MODULE", help="Python module with layers of your own"
    )
    parser.add_argument(
        "--strip", action="store_true", help="leave out names, signatures and metadata"
    )
    parser.add_argument(
        "--shrink", action="store_true", help="measure a smaller file with the same outputs"
    )
    parser.add_argument(
        "--per-channel-dense",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether dense layers have a scale for each output",
    )
    parser.add_argument(
        "--activations", choices=("int8", "int16"), default="int8", help="type in a conversion"
    )
    add_plan_option(parser)


def add_plan_option(parser: argparse.ArgumentParser) -> None:
    """``--plan``: a ``.keras`` or ``.pt2`` file is planned from its layers."""
    parser.add_argument(
        "--plan",
        action="store_true",
        help="plan a .keras or .pt2 file from its layers, at once and without its framework",
    )


def given_settings(arguments: argparse.Namespace) -> Settings:
    """What the options of ``add_settings_options`` say, without what they leave as it is.

    Raises:
        TinybudgetError: one of them is malformed.
    """
    from msgspec.structs import asdict

    from pytest_tinybudget.declaration.settings import DEFAULTS

    costs = {name: asdict(cost) for name, cost in declared_costs(arguments).items()}
    int8 = {"yes": True, "warn": "warn", "no": False}
    said: dict[str, object] = {
        "budget": _budgets(arguments.budget),
        "require_int8": int8[arguments.require_int8],
        "placement": _arena_place(arguments.placement),
        "operators": costs or None,
        "input_shapes": declared_shapes(arguments) or None,
    }
    for key in DEFAULTS:
        if key not in said and key != "strict":
            said[key] = getattr(arguments, key)
    given = {key: value for key, value in said.items() if value != DEFAULTS[key]}  # type: ignore[literal-required]
    return cast("Settings", given)


def _budgets(options: Iterable[str]) -> dict[str, str | int] | None:
    limits: dict[str, str | int] = {}
    for text in options:
        name, separator, limit = text.partition("=")
        if not separator:
            raise TinybudgetError(f"--budget {text!r}: expected NAME=LIMIT, such as flash=200KB")
        limits[name] = limit
    return limits or None


def require_runnable(footprint: Footprint, shown: str, otherwise: str = "") -> None:
    """Nothing, for a model that TFLM runs; ``otherwise`` is what can be had without.

    Raises:
        TinybudgetError: TFLM would refuse it.
    """
    from pytest_tinybudget.gate.verdict import refusal_text

    if footprint.refusals:
        text = refusal_text(footprint, footprint.refusals[0])
        raise TinybudgetError(f"{shown}: {text}", details=(otherwise,) if otherwise else ())


def chosen_board(arguments: argparse.Namespace) -> Board | None:
    """The board that ``--board`` names.

    Raises:
        TinybudgetError: there is no such board.
    """
    from pytest_tinybudget.boards import find_board

    return find_board(arguments.board) if arguments.board else None


def boards_of(names: Iterable[str]) -> list[Board]:
    """The boards that a repeated ``--board`` names, each once; all of a chip or a family.

    Raises:
        TinybudgetError: there is no such board.
    """
    from pytest_tinybudget.boards import find_boards

    return list({board.id: board for name in names for board in find_boards(name)}.values())


def chosen_firmware(arguments: argparse.Namespace, board: Board | None) -> Firmware:
    """The firmware that the options describe: on ``board``, with the runtime of ``--runtime``.

    Raises:
        TinybudgetError: there is no such runtime, or an option's value is wrong.
    """
    from pytest_tinybudget.runtimes.firmware import Firmware

    if board is None:
        runtime = runtime_named(arguments.runtime)
    elif arguments.runtime:
        runtime = _runtime_on(board, arguments.runtime)
    else:
        runtime = runtime_of(board)
    placements = chosen_placements(arguments)
    return Firmware(runtime, arguments.registrations, placements=placements).with_costs(
        declared_costs(arguments)
    )


def _runtime_on(board: Board, name: str) -> Runtime:
    """The runtime ``name`` for ``board``, as a declaration in the working directory has it."""
    from pytest_tinybudget.declaration.single import pair_of

    return pair_of("model.tflite", board=board, settings={"runtime": name}).firmware.runtime


def runtime_named(name: str | None, core: str = "") -> Runtime:
    """The shipped runtime called ``name``, or what is measured for where none is named.

    A distribution is built for ``core``, and for its usual one where no core is given.

    Raises:
        TinybudgetError: there is no such runtime.
    """
    from pytest_tinybudget.runtimes.distributions import runtime_called

    if name == "project":
        text = "runtime 'project' is what is flashed onto a board: name one"
        example = "    tinybudget check MODEL --board ID --runtime project"
        raise TinybudgetError(text, details=(example,))
    return runtime_called(DEFAULT_RUNTIME if name is None else name, core)


def runtime_of(board: Board) -> Runtime:
    """The shipped runtime that ``board`` names, with the board's flash margin if that is wider.

    Raises:
        TinybudgetError: the board runs no TFLM.
    """
    if not board.runs_tflm:
        raise TinybudgetError(f"{board.id} runs no TFLM: it has no core that firmware is built for")
    runtime = runtime_named(board.runtime, board.core).for_core(board.core)
    return runtime.with_margin(board.flash_margin_percent)


def write_output(path: str, text: str, *, is_declaration: bool = False) -> None:
    """Write ``text`` to the file ``path``, whole or not at all, or to stdout where it is ``-``.

    A declaration may take the place of an earlier one.

    Raises:
        TinybudgetError: the file cannot be written, or is a model, data or a declaration.
    """
    if path == "-":
        sys.stdout.write(text)
        return
    from pytest_tinybudget.base.files import write_file
    from pytest_tinybudget.base.files import write_report

    if is_declaration and Path(path).suffix == ".toml":
        write_file(Path(path), text.encode("utf-8"))
    else:
        write_report(Path(path), text)


def declared_rollout(file: Path | None) -> RolloutSettings:
    """What ``[rollout]`` in ``file`` says; the defaults where no file is named or there.

    Raises:
        TinybudgetError: the named file has no ``[rollout]``, or a file is no valid declaration.
    """
    from pytest_tinybudget.declaration import FILE_NAME
    from pytest_tinybudget.declaration import load_declaration
    from pytest_tinybudget.rollout.policy import RolloutSettings

    path = file or Path(FILE_NAME)
    if file is None and not path.exists():
        return RolloutSettings()
    settings = load_declaration(path).rollout
    if settings is None and file is not None:
        example = ('    example: [rollout] with stages = ["1%", "10%", "100%"]',)
        raise TinybudgetError(f"{file}: declares no [rollout]", details=example)
    return settings or RolloutSettings()
