"""``tinybudget calibrate``: what the application itself takes, from its firmware."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.commands.options import DEFAULT_RUNTIME
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_registrations_option
from pytest_tinybudget.commands.options import runtime_named


if TYPE_CHECKING:
    from pytest_tinybudget.toolchain.firmware import Calibration


def add_commands(subparsers: Subparsers) -> None:
    """Add ``calibrate``."""
    parser = add_command(
        subparsers,
        "calibrate",
        "what the application itself takes, from the firmware's ELF",
        details="Model, tensor arena and TFLM's code (with --model) are taken off, since a "
        "verdict counts them.",
        example="tinybudget calibrate --elf firmware.elf --map firmware.map --model kws.tflite\n"
        "tinybudget calibrate --elf firmware.elf --model kws.tflite --write tinybudget.toml "
        "--board doorbell",
    )
    parser.add_argument("--elf", type=Path, required=True, metavar="FILE", help="linked firmware")
    parser.add_argument(
        "--map", type=Path, metavar="FILE", help="GNU ld map: tells flash from RAM by region"
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="the .tflite file that the firmware holds"
    )
    parser.add_argument(
        "--model-symbol", action="append", default=[], metavar="NAME", help="the model's array"
    )
    parser.add_argument(
        "--arena-symbol", action="append", default=[], metavar="NAME", help="the tensor arena"
    )
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        help=f"runtime that the firmware was built with (default: {DEFAULT_RUNTIME})",
    )
    add_registrations_option(parser, "how the firmware registers its operators")
    parser.add_argument(
        "--write", type=Path, metavar="TOML", help="put the result into this declaration"
    )
    parser.add_argument("--board", metavar="NAME", help="with --write: which [boards.NAME]")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what the application takes and how that was found; write it where asked.

    Raises:
        TinybudgetError: an input cannot be read, or does not hold what it is said to.
    """
    from pytest_tinybudget.toolchain.firmware import calibrate
    from pytest_tinybudget.toolchain.firmware import read_firmware
    from pytest_tinybudget.toolchain.linker_map import read_regions

    if arguments.write and not arguments.board:
        raise TinybudgetError("--write needs --board NAME: the [boards.NAME] to put it in")
    firmware = read_firmware(arguments.elf)
    content, runtime_flash = _model_costs(arguments)
    found = calibrate(
        firmware,
        read_regions(arguments.map) if arguments.map else (),
        model=content,
        model_symbols=arguments.model_symbol,
        arena_symbols=arguments.arena_symbol,
        runtime_flash=runtime_flash,
    )
    print(_calibration_report(arguments, found))
    if arguments.write:
        from pytest_tinybudget.declaration.edit import write_reserves

        write_reserves(arguments.write, arguments.board, found.reserved_flash, found.reserved_ram)
        print(f"written to {arguments.write.as_posix()}, [boards.{arguments.board}]")
    return 0


def _model_costs(arguments: argparse.Namespace) -> tuple[bytes, int]:
    """The model's bytes, and what TFLM takes for its operators as predicted."""
    if arguments.model is None:
        return b"", 0
    from pytest_tinybudget.footprint.link import link
    from pytest_tinybudget.graph.tflite import load_model
    from pytest_tinybudget.runtimes.firmware import Firmware

    model = load_model(arguments.model)
    runtime = runtime_named(arguments.runtime)
    return model.content, link(model, Firmware(runtime, arguments.registrations)).flash


def _calibration_report(arguments: argparse.Namespace, found: Calibration) -> str:
    lines = [printable(arguments.elf.as_posix())]
    for memory, title, rest in (
        ("flash", "flash", found.reserved_flash),
        ("ram", "RAM", found.reserved_ram),
    ):
        lines += [
            f"  {title:5} {item.bytes:>+12,} B  {item.what}"
            for item in found.items
            if item.memory == memory
        ]
        lines.append(f"  {title:5} {rest:>12,} B  the application itself")
    lines += [f"  note: {note}" for note in found.notes]
    name = arguments.board or "NAME"
    lines += [
        "",
        f"[boards.{name}]",
        f'reserved_flash = "{found.reserved_flash} B"',
        f'reserved_ram = "{found.reserved_ram} B"',
    ]
    return "\n".join(lines)
