"""``tinybudget runtime``, and ``build``: a runtime table from your own archives and objects."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.commands.distributions import add_show
from pytest_tinybudget.commands.distributions import run_list
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.runtime_read import add_read


if TYPE_CHECKING:
    from pytest_tinybudget.toolchain.runtime_build import BuiltRuntime


def add_commands(subparsers: Subparsers) -> None:
    """Add ``runtime``, which lists the shipped ones, with ``show``, ``build`` and ``read``."""
    runtime = add_command(
        subparsers,
        "runtime",
        "list the runtimes, or make one of your own",
        details="A distribution is TFLM as an SDK ships it: an Arduino library, a component of "
        "ESP-IDF, Zephyr's\nmodule. Each release has its commit of TFLM, its kernels and its "
        "flags.",
        example='tinybudget runtime\ntinybudget runtime show "esp-tflite-micro 1.3.3.1"',
    )
    add_json_option(runtime)
    runtime.set_defaults(run=run_list)
    commands = runtime.add_subparsers(title="commands", metavar="COMMAND")
    add_show(commands)
    add_read(commands)
    parser = add_command(
        commands,
        "build",
        "make a section graph from archives and object files",
        details="Reads what a linker would read (any GNU ELF target), so that other kernels, "
        "compilers or\nflags are counted to the byte. Give TFLM's archive, the kernel library's, "
        "and the libraries\nthat the link adds: gcc YOUR_FLAGS -print-file-name=libc.a (libm.a, "
        "libgcc.a).",
        example="tinybudget runtime build --name espnn libtflm.a libesp_nn.a libc.a libm.a",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="FILE", help="LIB.a or OBJECT.o")
    parser.add_argument("--name", required=True, help="what the runtime is called")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="the table (default: NAME.json.gz)"
    )
    parser.add_argument(
        "--op",
        action="append",
        default=[],
        metavar="OPERATOR=SYMBOL",
        help="an operator of your own and the function that registers it",
    )
    parser.add_argument(
        "--core",
        action="append",
        default=[],
        metavar="SYMBOL",
        help="what any firmware calls (default: TFLM's interpreter)",
    )
    parser.add_argument(
        "--map",
        type=Path,
        metavar="FILE",
        help="GNU ld map of a link with all operators: sizes after relaxation (RISC-V, Xtensa)",
    )
    parser.add_argument(
        "--rom",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="what lies in the chip's ROM: a linker script, or a list of symbols",
    )
    parser.add_argument(
        "--application",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="what the application has anyway: its .elf without TFLM, or a list of symbols",
    )
    parser.add_argument(
        "--optimize",
        choices=("s", "2", "3"),
        default="",
        help="how the application is compiled, -Os to -O3: the registrations in main grow with it "
        "(default: as TFLM was, where it has debug information)",
    )
    parser.add_argument(
        "--allow-undefined",
        action="store_true",
        help="write the table although code is missing that linked code calls",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build a table, write it, and print how to declare it.

    Raises:
        TinybudgetError: an input cannot be read, code is missing, or the table cannot be written.
    """
    from pytest_tinybudget.base.files import write_file
    from pytest_tinybudget.footprint.section_graph import encode
    from pytest_tinybudget.toolchain.linker_map import read_section_sizes
    from pytest_tinybudget.toolchain.runtime_build import build_runtime
    from pytest_tinybudget.toolchain.symbol_list import read_symbol_lists

    built = build_runtime(
        arguments.name,
        arguments.inputs,
        operators=dict(_operator(text) for text in arguments.op),
        core=arguments.core,
        section_sizes=read_section_sizes(arguments.map) if arguments.map else None,
        rom=read_symbol_lists(arguments.rom),
        application=read_symbol_lists(arguments.application),
        optimize=arguments.optimize,
    )
    if built.undefined and not arguments.allow_undefined:
        raise TinybudgetError(
            f"{len(built.undefined)} symbols that linked code refers to are in no input: "
            f"{_listed(built.undefined)}",
            details=(*_remedies(built.undefined), "or leave that code out: --allow-undefined"),
        )
    output = arguments.output or Path(f"{arguments.name}.json.gz")
    if not output.name.endswith((".json", ".json.gz")):
        raise TinybudgetError(f"--output {printable(str(output))}: end its name in .json.gz")
    write_file(output, encode(built.graph))
    print(_build_report(arguments.name, output, built))
    return 0


def _remedies(undefined: tuple[str, ...]) -> list[str]:
    """A line for each library that is missing: its symbols, and what to give."""
    from pytest_tinybudget.toolchain.missing import by_owner

    return [
        f"{owner.name} ({_listed(names, 3)}): {owner.remedy},"
        for owner, names in by_owner(undefined).items()
    ]


def _operator(text: str) -> tuple[str, str]:
    name, equals, symbol = text.partition("=")
    if not (name and equals and symbol):
        raise TinybudgetError(f"--op {printable(text)}: expected OPERATOR=SYMBOL")
    return name, symbol


def _build_report(name: str, path: Path, built: BuiltRuntime) -> str:
    graph, kernels = built.graph, built.kernels
    lines = [
        f"{path.as_posix()}: {len(graph.operators)} operators, {len(graph.sizes):,} sections",
        *([f"TFLM operators that it lacks: {_listed(built.without)}"] if built.without else []),
        *([f"NOT COUNTED, in no input: {_listed(built.undefined)}"] if built.undefined else []),
        *([f"the application's own, not counted: {_listed(built.hooks)}"] if built.hooks else []),
        *([built.note] if built.note else []),
        "",
        f"[runtime.{name}]",
        f"extends = {_toml(_nearest_runtime(built))}",
        f"table = {_toml(path.as_posix())}",
        *([f"core = {_toml(built.core)}"] if built.core else []),
        f"kernels = {_toml(kernels.library)}",
        *_extensions(built),
        f"log_strings = {_toml(built.kind.log_strings)}",
        f"enum_bytes = {built.enum_bytes}",
        f"pointer_bytes = {built.pointer_bytes}",
        '# tflm = "..." is the commit of tflite-micro: until it is said, RAM has a margin',
    ]
    return "\n".join(lines)


def _extensions(built: BuiltRuntime) -> list[str]:
    """The keys that say what instructions the kernels use: those that the machine may have."""
    from pytest_tinybudget.runtimes.kernels import LIBRARIES

    kernels = built.kernels
    if built.graph.description["machine"] == "EM_ARM":
        return [f"dsp = {_toml(kernels.dsp)}", f"mve = {_toml(kernels.mve)}"]
    return (
        [f"vectors = {_toml(kernels.vectors)}"]
        if "vectors" in LIBRARIES[kernels.library].extensions
        else []
    )


def _nearest_runtime(built: BuiltRuntime) -> str:
    """The shipped runtime that stands for the stack, which archives do not tell."""
    from pytest_tinybudget.toolchain.target import nearest_runtime

    machine = str(built.graph.description["machine"])
    return nearest_runtime(machine, built.core, built.kernels).name


def _listed(names: tuple[str, ...], limit: int = 8) -> str:
    shown = ", ".join(printable(name) for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _toml(value: str | bool) -> str:
    return json.dumps(value)
