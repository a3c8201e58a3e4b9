"""What a finished firmware says of the runtime in it: ``tinybudget runtime read``.

Debug information gives TFLM's structs, symbols the registered operators and whose kernels they
are, build attributes the core, constants the model and whether log strings are in. What the file
does not hold is said, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.abi import X86_64
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.toolchain.build_attributes import build_attributes
from pytest_tinybudget.toolchain.build_attributes import riscv_architecture
from pytest_tinybudget.toolchain.dwarf import DebugInformation
from pytest_tinybudget.toolchain.dwarf import DebugStruct
from pytest_tinybudget.toolchain.dwarf import Layout
from pytest_tinybudget.toolchain.dwarf import Unit
from pytest_tinybudget.toolchain.elf import UNDEFINED
from pytest_tinybudget.toolchain.elf import Symbol
from pytest_tinybudget.toolchain.elf import damage_told
from pytest_tinybudget.toolchain.elf import format_of
from pytest_tinybudget.toolchain.elf import open_elf
from pytest_tinybudget.toolchain.elf import section_bytes
from pytest_tinybudget.toolchain.elf import section_headers
from pytest_tinybudget.toolchain.elf import section_names
from pytest_tinybudget.toolchain.firmware import FirmwareFile
from pytest_tinybudget.toolchain.firmware import ModelArray
from pytest_tinybudget.toolchain.firmware import arena_arrays
from pytest_tinybudget.toolchain.firmware import model_arrays
from pytest_tinybudget.toolchain.firmware import read_firmware
from pytest_tinybudget.toolchain.target import core_of
from pytest_tinybudget.toolchain.target import enum_bytes_of
from pytest_tinybudget.toolchain.target import kernels_of
from pytest_tinybudget.toolchain.tflm_symbols import registered_operators


#: Texts of TFLM's own messages, which every version without TF_LITE_STRIP_ERROR_STRINGS holds.
_MESSAGES = (
    b"Didn't find op for builtin opcode",
    b"Failed to get registration from op code",
    b"Failed starting model allocation",
    b"Model provided is schema version",
    b"Requested %u bytes, available",
    b"Failed to allocate",
)
#: Members that ``TfLiteTensor`` has without TF_LITE_STATIC_MEMORY alone.
_MEMBERS_WITHOUT_STATIC_MEMORY = frozenset({"name", "delegate", "buffer_handle", "allocation"})
#: The source file that allocates TFLM's own structs: where files differ, its view counts.
_ALLOCATOR_FILES = ("micro_allocator", "micro_allocation_info", "single_arena_buffer_allocator")
#: What the planner keeps of a buffer: these two structs, and three numbers.
_PLANNED = ("BufferRequirements", "ListEntry")
_RESOLVER = "MicroMutableOpResolver"
_FUNCTION = 2
#: TFLM's namespace, as C++ has it in the names of functions.
_TFLM = "6tflite"


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    """Which structs of TFLM's sources hold what: a name, or a source file and a name.

    Attributes:
        structs: those of ``runtimes/structs.py``, by their names there.
        parameters: builtin parameters by operator.
        data: what kernels keep, by operator; the first that the firmware has counts.
    """

    structs: dict[str, list[str]]
    parameters: dict[str, list[str]]
    data: dict[str, list[str]]

    def by_subject(self) -> dict[str, list[str]]:
        """The names of all, by what a layout is called in a declaration."""
        return {
            **self.structs,
            **{f"{name} parameters": names for name, names in self.parameters.items()},
            **{f"{name} data": names for name, names in self.data.items()},
        }


@cache
def struct_names() -> Names:
    """Facts of TFLM's sources (``data/structs.json``)."""
    file = Path(__file__).parent / "data" / "structs.json"
    return msgspec.json.decode(file.read_bytes(), type=Names)


class Conflict(Struct, frozen=True):
    """A struct of which source files have different ideas: ``sizes`` by an example of each."""

    name: str
    sizes: tuple[tuple[int, str], ...]


class Reading(Struct, frozen=True):
    """What a firmware says of its runtime. ``None`` and empty: the file does not tell.

    Attributes:
        firmware: the image: its segments and symbols.
        abi: how C data is laid out in it.
        core: the core that it was built for, by a name in ``CORES``.
        kernels: whose kernels it has; TFLM's own where no function is of another library.
        is_stripped: whether it has no functions by name.
        names_tflm: whether one of its functions is TFLM's, so that its names tell the kernels.
        has_debug_information: whether it tells of types.
        layouts: structs by what they are called in a declaration (``[runtime.NAME.layouts]``).
        structs: the same, as they were found.
        conflicts: structs that differ between source files.
        operators: those it registers, by name.
        static_memory: whether TFLM was compiled with TF_LITE_STATIC_MEMORY.
        log_strings: whether TFLM's messages are in it.
        compilers: what compiled TFLM, with its flags, the most frequent first.
        optimize: the level of optimization of most of TFLM's files: ``"s"``, ``"2"``, …
        models: arrays that hold a model.
        arenas: tensor arenas in static memory, by name and size in bytes.
        recording_allocator: whether it uses RecordingMicroAllocator.
    """

    firmware: FirmwareFile
    abi: Abi
    core: str
    kernels: Kernels
    is_stripped: bool
    names_tflm: bool
    has_debug_information: bool
    layouts: Mapping[str, Layout]
    structs: Mapping[str, DebugStruct]
    conflicts: tuple[Conflict, ...]
    operators: tuple[str, ...]
    static_memory: bool | None
    log_strings: bool
    compilers: tuple[str, ...]
    optimize: str
    models: tuple[ModelArray, ...]
    arenas: tuple[tuple[str, int], ...]
    recording_allocator: bool

    @property
    def knows_kernels(self) -> bool:
        """Whether the file tells whose kernels it has: another library's names say it at once."""
        return self.names_tflm or bool(self.operators) or self.kernels.library != "reference"

    def content_of(self, model: ModelArray) -> bytes:
        """The bytes of an array that holds a model."""
        start = self.firmware.file_offset(model.address) or 0
        return self.firmware.content[start : start + model.bytes]


def read_runtime(
    path: Path,
    *,
    model: bytes = b"",
    model_symbols: tuple[str, ...] = (),
    also_named: Iterable[str] = (),
) -> Reading:
    """What the firmware at ``path`` says of its runtime.

    ``model`` is the file that it holds, found by its content; ``also_named`` are functions that
    are in it by the linker's map, for a file without symbols.

    Raises:
        TinybudgetError: damaged, no executable; it does not hold the model; pyelftools is missing.
    """
    firmware = read_firmware(path)
    with damage_told(firmware.label):
        elf = open_elf(firmware.content)
        sections = _Sections(firmware.content, elf)
        attributes, architecture = sections.attributes(), sections.riscv_architecture()
        functions = {**_functions(firmware.symbols), **dict.fromkeys(also_named)}
        kernels = kernels_of(functions, attributes)
        abi = _abi(firmware.machine, elf.elfclass, attributes)
        information = DebugInformation(firmware.content, elf)
        found = _found(information, abi)
        structs = _chosen(found)
        units = [unit for unit in information.units() if _is_tflms(unit.name)]
    layouts = {name: each.layout for name, each in structs.items()}
    layouts.update(_composed(found, abi))
    return Reading(
        firmware=firmware,
        abi=abi,
        core=core_of(attributes, kernels, architecture),
        kernels=kernels,
        is_stripped=not functions,
        names_tflm=any(_TFLM in name for name in functions),
        has_debug_information=information.is_there,
        layouts=layouts,
        structs=structs,
        conflicts=tuple(_conflicts(found)),
        operators=registered_operators(functions),
        static_memory=_static_memory(structs, abi),
        log_strings=any(message in firmware.content for message in _MESSAGES),
        compilers=_compilers(units) or sections.comments(),
        optimize=_optimize(units),
        models=tuple(_models(firmware, model, model_symbols)),
        arenas=tuple((each.name, each.size) for each in arena_arrays(firmware)),
        recording_allocator=any("23RecordingMicroAllocator" in name for name in functions),
    )


class _Sections:
    """The sections of an image that say what it was built for."""

    def __init__(self, content: bytes, elf: object) -> None:
        headers = section_headers(elf)  # type: ignore[arg-type]
        names = section_names(content, elf, headers)  # type: ignore[arg-type]
        wanted = (".ARM.attributes", ".riscv.attributes", ".comment")
        self.layout = format_of(elf)  # type: ignore[arg-type]
        self.content = {
            name: section_bytes(content, header)
            for name, header in zip(names, headers, strict=True)
            if name in wanted
        }

    def attributes(self) -> dict[int, int]:
        return build_attributes(self.content.get(".ARM.attributes", b""), self.layout)

    def riscv_architecture(self) -> str:
        return riscv_architecture(self.content.get(".riscv.attributes", b""), self.layout)

    def comments(self) -> tuple[str, ...]:
        """What compilers left in .comment."""
        texts = self.content.get(".comment", b"").split(b"\0")
        return tuple(dict.fromkeys(text.decode("utf-8", "replace") for text in texts if text))


def _functions(symbols: Iterable[Symbol]) -> dict[str, None]:
    return {
        symbol.name: None
        for symbol in symbols
        if symbol.kind == _FUNCTION and symbol.section != UNDEFINED
    }


def _abi(machine: str, bits: int, attributes: Mapping[int, int]) -> Abi:
    if bits == 64:
        return X86_64
    if machine == "EM_ARM" and enum_bytes_of([attributes]) == 1:
        return ARM
    return ILP32


def _stem(path: str) -> str:
    """``conv`` for ``…/kernels/cmsis_nn/conv.cc``."""
    return re.split(r"[/\\]", path)[-1].partition(".")[0]


def _is_tflms(path: str) -> bool:
    return re.search(r"tensorflow|tflite|tflm|micro_\w+\.c|[/\\]kernels[/\\]", path) is not None


def _found(information: DebugInformation, abi: Abi) -> dict[str, list[DebugStruct]]:
    """The definitions of each struct, by the last part of its name, template arguments apart."""
    names = {
        name.rpartition(" ")[2]
        for candidates in struct_names().by_subject().values()
        for name in candidates
    }
    found: dict[str, list[DebugStruct]] = {}
    for each in information.structs({*names, *_PLANNED, _RESOLVER}, abi):
        last = each.name.partition("<")[0].rpartition("::")[2]
        found.setdefault(last, []).append(each)
    return found


def _chosen(found: Mapping[str, list[DebugStruct]]) -> dict[str, DebugStruct]:
    """The definition that counts of each struct that memory depends on."""
    chosen = {}
    for subject, candidates in struct_names().by_subject().items():
        for candidate in candidates:
            file, _, name = candidate.rpartition(" ")
            definitions = [
                each for each in found.get(name, ()) if not file or _stem(each.unit) == file
            ]
            if definitions:
                chosen[subject] = _most_likely(definitions)
                break
    return chosen


def _most_likely(definitions: list[DebugStruct]) -> DebugStruct:
    """The definition of the file that allocates, else that of most files."""
    for file in _ALLOCATOR_FILES:
        for each in definitions:
            if _stem(each.unit) == file:
                return each
    layouts = [each.layout for each in definitions]
    return max(definitions, key=lambda each: layouts.count(each.layout))


def _conflicts(found: Mapping[str, list[DebugStruct]]) -> Iterable[Conflict]:
    """TFLM's own structs that have several sizes: not all files were compiled with one flag."""
    for name in struct_names().structs:
        sizes = {each.layout.size: each.unit for each in found.get(name, ())}
        if len(sizes) > 1:
            yield Conflict(name, tuple(sorted(sizes.items())))


def _composed(found: Mapping[str, list[DebugStruct]], abi: Abi) -> dict[str, Layout]:
    """What is no struct of its own: a planned buffer, and the resolver for each operator."""
    composed = {}
    planned = [
        each
        for name in _PLANNED
        for each in found.get(name, ())
        if "GreedyMemoryPlanner" in each.name or len(found[name]) == 1
    ]
    if len({each.name for each in planned}) == len(_PLANNED):
        sizes = {each.name: each.layout.size for each in planned}
        count = sum(sizes.values()) // 4 + 3
        composed["GreedyMemoryPlanner, a buffer"] = Layout(f"{count}i", 4 * count, 4)
    for each in found.get(_RESOLVER, ()):
        match = re.search(r"<(\d{1,4})[uUlL]*>", each.name)
        if match is None or int(match[1]) < 1:
            continue
        operators = int(match[1])
        # Until August 2022 an operator's code was a byte on Arm, in an array of its own.
        codes = sum(
            align_up(member.size, 4)
            for member in each.members
            if member.name == "builtin_codes_" and member.size == operators
        )
        repeated = sum(
            member.size
            for member in each.members
            if member.size
            and member.size % operators == 0
            and member.size > abi.pointer_bytes
            and member.name != "(base)"
            and not (codes and member.name == "builtin_codes_")
        )
        word = abi.pointer_bytes
        one, base = repeated // operators, each.layout.size - repeated - codes
        if one and one % word == 0 and base % word == 0:
            entry = f"{_RESOLVER}, an operator"
            composed[entry] = Layout(f"{one // word}p", one, word)
            composed[_RESOLVER] = Layout(f"{base // word}p", base, word)
            break
    return composed


def _static_memory(structs: Mapping[str, DebugStruct], abi: Abi) -> bool | None:
    """Whether the flag was on, by the members of ``TfLiteTensor``, else by a node's size."""
    tensor = structs.get("TfLiteTensor")
    if tensor is not None:
        names = {member.name for member in tensor.members}
        return not names & _MEMBERS_WITHOUT_STATIC_MEMORY
    node = structs.get("NodeAndRegistration")
    return None if node is None else node.layout.size <= 9 * abi.pointer_bytes


def _compilers(units: Iterable[Unit]) -> tuple[str, ...]:
    producers = [unit.producer for unit in units if unit.producer]
    return tuple(sorted(dict.fromkeys(producers), key=lambda each: -producers.count(each)))


def _optimize(units: Iterable[Unit]) -> str:
    """The last ``-O`` of each file's flags; that of most files."""
    levels = []
    for unit in units:
        flags = re.findall(r"(?<=\s)-O(\w*)", unit.producer)
        levels += [flags[-1] or "1"] if flags else []
    return max(levels, key=levels.count) if levels else ""


def _models(
    firmware: FirmwareFile, model: bytes, model_symbols: tuple[str, ...]
) -> Iterable[ModelArray]:
    """The arrays by name or content, else whatever begins as a model does."""
    named = model_arrays(firmware, model, model_symbols)
    if named:
        return named
    found = []
    for segment in firmware.segments:
        start, end = segment.content_offset, segment.content_offset + segment.file_bytes
        for match in re.finditer(b"TFL3", firmware.content[start:end]):
            offset = match.start() - 4
            address = segment.run_address + offset
            if offset >= 0 and address % 4 == 0:
                found.append(ModelArray("", address, segment.file_bytes - offset))
    return found[:8]
