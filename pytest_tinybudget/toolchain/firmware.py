"""What a firmware takes besides model, arena and TFLM: ``tinybudget calibrate``.

Reads the finished ELF: what is loaded where, the model array and the tensor arena by symbol or by
content. What is left is what the application itself costs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.toolchain.elf import Symbol
from pytest_tinybudget.toolchain.elf import damage_told
from pytest_tinybudget.toolchain.elf import format_of
from pytest_tinybudget.toolchain.elf import open_elf
from pytest_tinybudget.toolchain.elf import program_headers
from pytest_tinybudget.toolchain.elf import read_bytes
from pytest_tinybudget.toolchain.elf import read_symbols
from pytest_tinybudget.toolchain.elf import section_bytes
from pytest_tinybudget.toolchain.elf import section_headers
from pytest_tinybudget.toolchain.linker_map import MapRegion


Memory = Literal["flash", "ram"]

_OBJECT = 1
_WRITABLE = 2
_MAXIMUM_SEGMENTS = 10_000
#: A smaller gap between two blocks in one memory is padding for alignment, which is lost.
_LARGEST_PADDING_BYTES = 64
#: Names that the usual tools give the model's array (``xxd``, TFLM's generator, Edge Impulse).
_MODEL_NAME = re.compile(r"model_data\d*E?\Z|_tflite(_data)?E?\Z|(?:\A|_|\d)g_\w*model\w*\Z")
_ARENA_NAME = re.compile(r"tensor_?arena", re.IGNORECASE)
#: Interpreter and resolver in static memory; their sizes on 32 bits keep apart what only has a
#: similar name.
_INTERPRETER_NAME = re.compile("interpreter", re.IGNORECASE)
_INTERPRETER_BYTES = tuple(abi.size_of(STRUCTS["MicroInterpreter"]) for abi in (ARM, ILP32))
_RESOLVER_NAME = re.compile("resolver", re.IGNORECASE)
_RESOLVER_BYTES = ARM.size_of(STRUCTS["MicroMutableOpResolver"])
_RESOLVER_ENTRY_BYTES = ARM.size_of(STRUCTS["MicroMutableOpResolver, an operator"])
#: Symbols whose value is a size: what linker scripts set aside for heap and stack.
_RESERVE_NAME = re.compile(r"_*(Min_)?(heap|stack)_*(size|len)\w*\Z", re.IGNORECASE)


class Loaded(Struct, frozen=True):
    """A loaded segment: bytes in the file at ``load_address``, in memory at ``run_address``."""

    load_address: int
    run_address: int
    file_bytes: int
    memory_bytes: int
    writable: bool
    content_offset: int


class Item(Struct, frozen=True):
    """One line of the derivation; negative bytes are taken off. ``where`` names what it is."""

    memory: Memory
    bytes: int
    what: str


class Calibration(Struct, frozen=True):
    """What the application costs, bytes, and how that was found."""

    reserved_flash: int
    reserved_ram: int
    items: tuple[Item, ...]
    notes: tuple[str, ...]


class FirmwareFile(Struct, frozen=True):
    """A linked image: its segments, its symbols (empty when stripped), its bytes."""

    label: str
    machine: str
    content: bytes
    segments: tuple[Loaded, ...]
    symbols: tuple[Symbol, ...]

    def file_offset(self, address: int) -> int | None:
        """Where the image holds the byte that runs at ``address``."""
        for segment in self.segments:
            if segment.run_address <= address < segment.run_address + segment.file_bytes:
                return segment.content_offset + address - segment.run_address
        return None


def read_firmware(path: Path) -> FirmwareFile:
    """The linked image at ``path``.

    Raises:
        TinybudgetError: damaged, no executable, nothing to load; pyelftools is missing.
    """
    label = path.as_posix()
    content = read_bytes(path)
    with damage_told(label):
        elf = open_elf(content)
        if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
            raise ValueError("no linked image: give the firmware's .elf")
        if elf.num_segments() > _MAXIMUM_SEGMENTS:
            raise ValueError("more than 10,000 segments")
        segments = tuple(
            Loaded(
                load_address=header["p_paddr"],
                run_address=header["p_vaddr"],
                file_bytes=header["p_filesz"],
                memory_bytes=header["p_memsz"],
                writable=bool(header["p_flags"] & _WRITABLE),
                content_offset=header["p_offset"],
            )
            for header in program_headers(elf)
            if header["p_type"] == "PT_LOAD" and header["p_memsz"]
        )
        for segment in segments:
            if segment.content_offset + segment.file_bytes > len(content):
                raise ValueError("a segment lies outside of the file")
            if segment.memory_bytes >= 1 << 40 or segment.file_bytes > segment.memory_bytes:
                raise ValueError("a segment has an impossible size")
        if not segments:
            raise ValueError("nothing in it is loaded")
        symbols: tuple[Symbol, ...] = ()
        headers = section_headers(elf)
        for header in headers:
            if header["sh_type"] == "SHT_SYMTAB" and header["sh_link"] < len(headers):
                table = section_bytes(content, header)
                strings = section_bytes(content, headers[header["sh_link"]])
                symbols = tuple(read_symbols(table, strings, format_of(elf)))
        return FirmwareFile(label, elf["e_machine"], content, segments, symbols)


def calibrate(
    firmware: FirmwareFile,
    regions: Sequence[MapRegion] = (),
    *,
    model: bytes = b"",
    model_symbols: Sequence[str] = (),
    arena_symbols: Sequence[str] = (),
    runtime_flash: int = 0,
) -> Calibration:
    """What ``firmware`` takes of flash and RAM besides model, arena and TFLM.

    ``regions`` (from the map) tell flash from RAM; without them, what is written or copied before
    it runs is RAM. ``model`` is the file that the firmware holds, found by its content;
    ``model_symbols`` and ``arena_symbols`` name arrays that have unusual names;
    ``runtime_flash`` is what the virtual link predicts for TFLM (bytes), taken off when the
    firmware has TFLM in it.

    Raises:
        TinybudgetError: a named symbol is not there, or only the map can tell flash from RAM.
    """
    if firmware.machine == "EM_XTENSA" and not regions:
        raise TinybudgetError(
            f"{printable(firmware.label)} is for Xtensa, which loads code into RAM at its final "
            "address: give the linker's map with --map"
        )
    memory = _Memory(firmware, regions)
    items = list(memory.totals())
    notes = list(memory.notes)
    arrays = model_arrays(firmware, model, model_symbols)
    if not arrays:
        notes.append("no model array found: name it with --model-symbol, or give --model FILE")
    for array in arrays:
        taken = memory.taken(array.address, array.bytes, f"model {array.name}")
        items += taken
        if any(item.memory == "ram" for item in taken):
            notes.append(f"{array.name} is copied to RAM: declare it const to keep it in flash")
    arenas = arena_arrays(firmware, arena_symbols)
    if not arenas:
        notes.append(
            "no tensor arena found: name it with --arena-symbol; one on the heap is 0 here"
        )
    for arena in arenas:
        items += memory.taken(arena.value, arena.size, f"tensor arena {printable(arena.name)}")
    for item in _static_objects(firmware):
        items += memory.taken(item.value, item.size, f"TFLM object {printable(item.name)}")
    items += _runtime_items(firmware, runtime_flash, notes)
    notes += _reserves(firmware)
    return Calibration(
        reserved_flash=_rest(items, "flash"),
        reserved_ram=_rest(items, "ram"),
        items=tuple(items),
        notes=tuple(notes),
    )


def _rest(items: Sequence[Item], memory: Memory) -> int:
    return max(0, sum(item.bytes for item in items if item.memory == memory))


class _Memory:
    """Which addresses are flash and which are RAM, and what the image puts there."""

    def __init__(self, firmware: FirmwareFile, regions: Sequence[MapRegion]) -> None:
        self.segments = firmware.segments
        self.regions = regions
        self.notes: list[str] = []
        if regions and not any(region.kind == "flash" for region in regions):
            self.notes.append("the map has no region that looks like flash")

    def totals(self) -> list[Item]:
        """What each region holds, or without a map what each kind of memory holds."""
        flash: dict[str, list[tuple[int, int]]] = {}
        ram: dict[str, list[tuple[int, int]]] = {}
        for segment in self.segments:
            if segment.file_bytes:
                name = self._name(segment.load_address, "flash")
                flash.setdefault(name, []).append((segment.load_address, segment.file_bytes))
            if self._runs_in_ram(segment):
                name = self._name(segment.run_address, "RAM")
                ram.setdefault(name, []).append((segment.run_address, segment.memory_bytes))
        return [
            *(Item("flash", _covered(blocks), f"in {name}") for name, blocks in flash.items()),
            *(Item("ram", _covered(blocks), f"in {name}") for name, blocks in ram.items()),
        ]

    def taken(self, address: int, size: int, what: str) -> list[Item]:
        """What an object that runs at ``address`` takes, as items to take off."""
        items = []
        for segment in self.segments:
            start = segment.run_address
            if start <= address < start + segment.memory_bytes:
                in_file = min(size, max(0, start + segment.file_bytes - address))
                if in_file:
                    items.append(Item("flash", -in_file, what))
                if self._runs_in_ram(segment):
                    room = start + segment.memory_bytes - address
                    items.append(Item("ram", -min(size, room), what))
                break
        return items

    def _runs_in_ram(self, segment: Loaded) -> bool:
        region = self._region(segment.run_address)
        if region is not None:
            return region.kind == "ram"
        return segment.writable or segment.load_address != segment.run_address

    def _region(self, address: int) -> MapRegion | None:
        return next((region for region in self.regions if region.holds(address)), None)

    def _name(self, address: int, otherwise: str) -> str:
        region = self._region(address)
        return printable(region.name) if region is not None else otherwise


def _covered(blocks: Sequence[tuple[int, int]]) -> int:
    """Bytes that blocks (start, size) cover, overlays once, with the padding between them."""
    total = end = 0
    for start, size in sorted(blocks):
        gap = start - end
        if total and 0 < gap < _LARGEST_PADDING_BYTES:
            total += gap
        total += max(0, start + size - max(start, end))
        end = max(end, start + size)
    return total


class ModelArray(Struct, frozen=True):
    """An array that holds a model: what it is called, where it lies, how many bytes it has."""

    name: str
    address: int
    bytes: int


def model_arrays(
    firmware: FirmwareFile, model: bytes = b"", model_symbols: Sequence[str] = ()
) -> list[ModelArray]:
    """The arrays that hold models: named, or with ``model``'s content, or by their usual names.

    Raises:
        TinybudgetError: no array has the name or the content.
    """
    if model and not model_symbols:
        for segment in firmware.segments:
            start = segment.content_offset
            found = firmware.content.find(model, start, start + segment.file_bytes)
            if found >= 0:
                address = segment.run_address + found - start
                return [ModelArray("(found by content)", address, len(model))]
        raise TinybudgetError(
            f"{printable(firmware.label)} does not hold this model's bytes: give the model that "
            "it was built with, or name its array with --model-symbol"
        )
    return [
        ModelArray(printable(symbol.name), symbol.value, symbol.size)
        for symbol in _named(firmware, model_symbols, _MODEL_NAME, "--model-symbol")
        if model_symbols or _holds_model(firmware, symbol)
    ]


def arena_arrays(firmware: FirmwareFile, arena_symbols: Sequence[str] = ()) -> list[Symbol]:
    """The tensor arenas in static memory: named, or by their usual names.

    Raises:
        TinybudgetError: no object has the name.
    """
    return _named(firmware, arena_symbols, _ARENA_NAME, "--arena-symbol")


def _holds_model(firmware: FirmwareFile, symbol: Symbol) -> bool:
    """Whether the object's content begins as a TF Lite file does."""
    offset = firmware.file_offset(symbol.value)
    return offset is not None and firmware.content[offset + 4 : offset + 8] == b"TFL3"


def _named(
    firmware: FirmwareFile, names: Sequence[str], usual: re.Pattern[str], option: str
) -> list[Symbol]:
    """Objects by exact (or mangled) name, or by their usual names; one for each address."""
    objects = {
        symbol.value: symbol
        for symbol in firmware.symbols
        if symbol.kind == _OBJECT and symbol.size and symbol.name
    }
    if not names:
        return [symbol for symbol in objects.values() if usual.search(symbol.name)]
    found = []
    for name in names:
        mangled = re.compile(rf"(\A|\D{len(name)}){re.escape(name)}(E\w*)?\Z")
        matches = [symbol for symbol in objects.values() if mangled.search(symbol.name)]
        if not matches:
            raise TinybudgetError(
                f"{option} {printable(name)}: {printable(firmware.label)} has no such object"
                + ("" if firmware.symbols else " (it has no symbols: it is stripped)")
            )
        found += matches
    return found


def _static_objects(firmware: FirmwareFile) -> list[Symbol]:
    """Interpreter and resolver, where the firmware keeps them in static memory."""
    interpreters = _named(firmware, (), _INTERPRETER_NAME, "")
    resolvers = _named(firmware, (), _RESOLVER_NAME, "")
    return [
        *(symbol for symbol in interpreters if symbol.size in _INTERPRETER_BYTES),
        *(
            symbol
            for symbol in resolvers
            if symbol.size > _RESOLVER_BYTES
            and (symbol.size - _RESOLVER_BYTES) % _RESOLVER_ENTRY_BYTES == 0
        ),
    ]


def _runtime_items(firmware: FirmwareFile, runtime_flash: int, notes: list[str]) -> list[Item]:
    if not runtime_flash:
        notes.append("TFLM's own code stays counted: give --model to take it off")
        return []
    if not any("6tflite" in symbol.name for symbol in firmware.symbols):
        notes.append("no symbol of TFLM in it: its code is not taken off")
        return []
    return [Item("flash", -runtime_flash, "TFLM with the model's operators, predicted")]


def _reserves(firmware: FirmwareFile) -> list[str]:
    """Heap and stack that the linker script sets aside: they stay counted."""
    return [
        f"{printable(symbol.name)} = {symbol.value:,} B stays counted, if the script places it"
        for symbol in firmware.symbols
        if _RESERVE_NAME.match(symbol.name) and 0 < symbol.value < 1 << 24
    ]
