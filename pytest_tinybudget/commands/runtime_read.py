"""``tinybudget runtime read``: the runtime of a firmware that you have, as a declaration."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import is_valid_name
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_color_option
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.commands.options import write_output


if TYPE_CHECKING:
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.report.reading import Read
    from pytest_tinybudget.report.reading import ReadModel
    from pytest_tinybudget.runtimes.runtime import Runtime
    from pytest_tinybudget.runtimes.versions import Version
    from pytest_tinybudget.toolchain.matching import Compared
    from pytest_tinybudget.toolchain.matching import Match
    from pytest_tinybudget.toolchain.reading import Reading
    from pytest_tinybudget.toolchain.serial_log import LoggedArena


def add_read(subparsers: Subparsers) -> None:
    """Add ``runtime read``."""
    parser = add_command(
        subparsers,
        "read",
        "read a runtime off a firmware: structs, flags, kernels, version of TFLM",
        details="Compile it with -g: debug information tells TFLM's structs, with which the arena "
        "is exact for\nthat firmware, forks included. Without, symbols and a serial log still tell "
        "something, and what is\nnot known is said. The [runtime.NAME] that is printed goes into "
        "tinybudget.toml: --write puts it\nthere.",
        example="tinybudget runtime read build/firmware.elf --model models/kws.tflite\n"
        "tinybudget runtime read firmware.elf --log serial.txt --name mine --write tinybudget.toml",
    )
    parser.add_argument("elf", type=Path, metavar="FIRMWARE", help="the linked image (.elf)")
    parser.add_argument("--name", default="firmware", help="what the runtime is called")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="the .tflite file that it runs, if not in it"
    )
    parser.add_argument(
        "--model-symbol", action="append", default=[], metavar="NAME", help="the model's array"
    )
    parser.add_argument(
        "--map", type=Path, metavar="FILE", help="GNU ld map of its link: what was compiled in"
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="serial log with arena_used_bytes() or RecordingMicroAllocator's lines",
    )
    parser.add_argument(
        "--runtime",
        metavar="NAME",
        help="compare with this runtime or distribution (default: the nearest of upstream's)",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the [runtime.NAME] to this file; - for stdout"
    )
    parser.add_argument(
        "--write", type=Path, metavar="TOML", help="put the [runtime.NAME] into this declaration"
    )
    add_json_option(parser)
    add_color_option(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read a firmware, print what it says beside the prediction, and write its declaration.

    Raises:
        TinybudgetError: an input cannot be read, or the declaration cannot be written.
    """
    from pytest_tinybudget.report import reading as report
    from pytest_tinybudget.report.console import Console

    if not is_valid_name(arguments.name):
        raise TinybudgetError(
            f"--name {printable(arguments.name)}: expected letters, digits, '.', '_' and '-'"
        )
    read = _read(arguments)
    if arguments.write:
        from pytest_tinybudget.declaration.edit import write_runtime

        write_runtime(arguments.write, arguments.name, read.table)
    if arguments.output:
        write_output(arguments.output, report.declaration(read), is_declaration=True)
        if arguments.output == "-":
            return 0
    if arguments.json and told_as_json(arguments, report.render_json(read)):
        return 0
    console = Console(sys.stdout, arguments.color)
    console.print(report.render(read, console.style))
    if arguments.write:
        print(f"\nwritten to {arguments.write.as_posix()}")
    return 0


def _read(arguments: argparse.Namespace) -> Read:
    from msgspec.structs import replace

    from pytest_tinybudget.graph.tflite import load_content
    from pytest_tinybudget.report.reading import Read
    from pytest_tinybudget.runtimes.distributions import runtime_called
    from pytest_tinybudget.runtimes.versions import Version
    from pytest_tinybudget.toolchain.linker_map import read_symbol_names
    from pytest_tinybudget.toolchain.matching import distributions_like
    from pytest_tinybudget.toolchain.matching import match
    from pytest_tinybudget.toolchain.reading import read_runtime
    from pytest_tinybudget.toolchain.serial_log import read_log
    from pytest_tinybudget.toolchain.target import nearest_runtime

    logged = read_log(arguments.log) if arguments.log else ()
    given = load_content(arguments.model, arguments.model.as_posix()) if arguments.model else b""
    names = read_symbol_names(arguments.map) if arguments.map else ()
    reading = read_runtime(
        arguments.elf, model_symbols=tuple(arguments.model_symbol), also_named=names
    )
    machine = reading.firmware.machine
    nearest = nearest_runtime(machine, reading.core, reading.kernels)
    base = runtime_called(arguments.runtime, reading.core) if arguments.runtime else nearest
    models, notes = _models(arguments, reading, given)
    found = match(reading)
    versions, chosen_by = _candidates(reading, found, base, models, logged)
    version = versions[0][0] if versions else Version()
    flags = {flag for _, flag in versions}
    if len(flags) == 1:
        reading = replace(reading, static_memory=flags.pop())
    elif flags or (not models and len(versions) > 1 and not _alike(found, reading)):
        version, chosen_by = Version(), ""  # one of them, and nothing says which
    alike = distributions_like(reading, [each for each, _ in versions])
    extended = next((each for _, each in alike if each.tflm.version.name == version.name), nearest)
    runtime = _runtime(arguments.name, reading, found, extended, version)
    return Read(
        name=arguments.name,
        reading=reading,
        match=found,
        version=version,
        versions=tuple(dict.fromkeys(each for each, _ in versions)),
        chosen_by=chosen_by,
        runtime=runtime,
        base=base,
        distributions=tuple(each.full_name for each, _ in alike),
        table=_table(reading, extended, runtime),
        compared=tuple(_compared(reading, base)),
        models=tuple(_arenas(name, model, runtime, base) for name, model in models),
        logged=logged,
        notes=(*notes, *_notes(reading, found, runtime)),
    )


def _models(
    arguments: argparse.Namespace, reading: Reading, given: bytes
) -> tuple[list[tuple[str, Model]], list[str]]:
    """The model that was given, else those that the firmware holds; and what cannot be read."""
    from pytest_tinybudget.graph.tflite import read_model

    if given:
        label = arguments.model.name
        models = [(label, read_model(given, label))]
        held = given in reading.firmware.content
        return models, [] if held else [f"{printable(label)} is not in the firmware as it is"]
    found, notes = [], []
    for array in reading.models:
        label = array.name or f"0x{array.address:08x} (up to the end of its segment)"
        try:
            found.append((label, read_model(reading.content_of(array), label)))
        except TinybudgetError as error:
            notes.append(f"model {error}")
    if not found:
        notes.append("no model is in it: give --model FILE, or name its array (--model-symbol)")
    return found, notes


def _candidates(
    reading: Reading,
    found: Match | None,
    base: Runtime,
    models: list[tuple[str, Model]],
    logged: tuple[LoggedArena, ...],
) -> tuple[list[tuple[Version, bool | None]], str]:
    """The versions that may be in it, that which is taken first, and how it was chosen.

    Each stands with TF_LITE_STATIC_MEMORY or without. A serial log leaves those whose arena is
    the logged one; of the rest that counts which asks for the most.
    """
    from pytest_tinybudget.runtimes.versions import known
    from pytest_tinybudget.toolchain.matching import distributions_like

    static = reading.static_memory
    versions = found.candidates if found else tuple(known("tflm").values()) if logged else ()
    flags: tuple[bool | None, ...] = (True, False) if static is None else (static,)
    candidates = [(version, flag) for version in versions for flag in flags]
    used = {each.used for each in logged if each.used is not None}
    if not candidates or not models:
        return candidates, "the newest of those that fit" if len(candidates) > 1 else ""
    asked = {candidate: _asked(reading, found, base, models, candidate) for candidate in candidates}
    fitting = [each for each in candidates if used & set(asked[each][1])]
    if found is None and not fitting:
        return [], ""
    left = fitting or candidates
    by_log = ", by the serial log" if fitting else ""
    if len(left) == 1:
        return left, by_log.removeprefix(", ")
    shipped = distributions_like(reading, [version for version, _ in left])
    names = {runtime.tflm.version.name for _, runtime in shipped}
    # Among equals that which a distribution has, else the newest.
    left.sort(key=lambda each: (-asked[each][0], each[0].name not in names))
    if len({asked[each][0] for each in left}) == 1:
        return left, f"one of those that fit: the models take the same in all{by_log}"
    return left, f"that which asks for the most among those that fit{by_log}"


def _alike(found: Match | None, reading: Reading) -> bool:
    """Whether all that fit ask for the same, whatever the model."""
    from pytest_tinybudget.toolchain.matching import relevant

    return found is not None and not any(relevant(span, reading) for span in found.spans)


def _asked(
    reading: Reading,
    found: Match | None,
    base: Runtime,
    models: list[tuple[str, Model]],
    candidate: tuple[Version, bool | None],
) -> tuple[int, list[int]]:
    """The largest arena that the models need in a version, and what each of them uses."""
    from msgspec.structs import replace

    from pytest_tinybudget.footprint.arena import simulate

    version, static = candidate
    there = _runtime("", replace(reading, static_memory=static), found, base, version)
    arenas = [simulate(model, there).arena for _, model in models]
    known = [arena for arena in arenas if arena is not None]
    return max((arena.required for arena in known), default=0), [arena.used for arena in known]


def _runtime(
    name: str, reading: Reading, found: Match | None, base: Runtime, version: Version
) -> Runtime:
    """The runtime as it was read, with the structs that are its own."""
    from msgspec.structs import replace

    from pytest_tinybudget.runtimes.abi import CORES
    from pytest_tinybudget.toolchain.matching import compare
    from pytest_tinybudget.toolchain.matching import tflm_of

    cores = (CORES[reading.core],) if reading.core in CORES else base.cores
    kernels = reading.kernels
    if kernels.library == base.kernels.library:
        kernels = replace(
            kernels, version=base.kernels.version, vectors=kernels.vectors or base.kernels.vectors
        )
    tflm = tflm_of(reading, version)
    if found is not None:
        own = {each.name: reading.layouts[each.name].codes for each in compare(reading, version)
               if each.differs}  # fmt: skip
        tflm = replace(tflm, layouts=tuple(sorted(own.items())))
    return replace(
        base,
        cores=tuple(replace(core, abi=reading.abi) for core in cores),
        kernels=kernels,
        tflm=tflm,
        label=name,
    )


def _table(reading: Reading, base: Runtime, runtime: Runtime) -> dict[str, Any]:
    """The keys of ``[runtime.NAME]``: what differs from the base, and what was looked at."""
    from pytest_tinybudget.declaration.schema.runtimes import RuntimeTable
    from pytest_tinybudget.runtimes.kernels import LIBRARIES

    kernels, tflm = runtime.kernels, runtime.tflm
    extensions = LIBRARIES[kernels.library].extensions
    # A release of a distribution has its version; said beside it, it would be another's.
    is_its_version = bool(base.distribution) and base.tflm.version.name == tflm.version.name
    keys: dict[str, Any] = {
        "extends": base.name,
        "tflm": None if is_its_version else tflm.version.name or None,
        "static_memory": reading.static_memory,
        "log_strings": reading.log_strings,
        "optimize": reading.optimize if reading.optimize in ("s", "2", "3") else None,
        "core": reading.core or None,
        "kernels": kernels.library,
        "dsp": kernels.dsp if "dsp" in extensions else None,
        "mve": kernels.mve if "mve" in extensions else None,
        "vectors": kernels.vectors if "vectors" in extensions else None,
        "enum_bytes": runtime.abi.enum_bytes,
        "pointer_bytes": runtime.abi.pointer_bytes,
        "layouts": dict(tflm.layouts) or None,
    }
    declarable = RuntimeTable.__struct_fields__
    return {key: value for key, value in keys.items() if value is not None and key in declarable}


def _compared(reading: Reading, base: Runtime) -> Iterable[Compared]:
    """Each struct beside that of the base, in the base's own build."""
    from pytest_tinybudget.toolchain.matching import compared_with

    return compared_with(reading, base.tflm)


def _arenas(name: str, model: Model, runtime: Runtime, base: Runtime) -> ReadModel:
    from pytest_tinybudget.footprint.arena import simulate
    from pytest_tinybudget.report.reading import ReadModel

    read, predicted = simulate(model, runtime), simulate(model, base)
    refused = read.refusals[0] if read.refusals else None
    return ReadModel(
        name=name,
        content=model.content,
        arena=read.arena,
        refusal=f"{refused.where}: {refused.reason}" if refused else "",
        predicted=predicted.arena,
        estimate="; ".join(read.unknown),
    )


def _notes(reading: Reading, found: Match | None, runtime: Runtime) -> list[str]:
    """What the firmware does not say, a line each."""
    notes = []
    if not reading.has_debug_information:
        notes.append(
            "TFLM's structs, its flags and its version: there is no debug information. Compile "
            "with -g, and give the .elf from before it is stripped"
        )
    elif found is None:
        notes.append(
            "TFLM's structs and version: the debug information has none of TFLM's structs. "
            "Compile TFLM itself with -g"
        )
    else:
        missing = [name for name in _LOOKED_FOR if name not in reading.layouts]
        lacking = [
            name
            for name in reading.operators
            if f"{name} data" not in reading.layouts and _keeps_data(name, runtime)
        ]
        if missing or lacking:
            taken = runtime.tflm.version.name
            names = ", ".join([*missing, *(f"data of {name}" for name in lacking)])
            notes.append(f"{names}: not in the debug information, taken as in TFLM {taken}")
    if reading.is_stripped:
        notes.append("operators and kernels: there are no symbols (the file is stripped)")
    elif not reading.knows_kernels:
        notes.append("operators and kernels: no function of TFLM is in it by name")
    if reading.firmware.machine == "EM_XTENSA" and not reading.core:
        notes.append("the core: Xtensa files do not name it; set core and vectors yourself")
    if reading.recording_allocator:
        notes.append(
            "its arena is larger by RecordingMicroAllocator's own structs, which release builds "
            "do not have"
        )
    return notes


#: What debug information of TFLM's core has in any case.
_LOOKED_FOR = ("TfLiteTensor", "TfLiteEvalTensor", "NodeAndRegistration", "MicroAllocator")


def _keeps_data(operator: str, runtime: Runtime) -> bool:
    from pytest_tinybudget.footprint.operators.sizes import data_bytes

    return bool(data_bytes(operator, runtime.tflm, runtime.kernels, runtime.abi))
