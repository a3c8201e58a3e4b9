"""ELF files read with pyelftools, kept within bounds: damaged or hostile files end in one line."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile


#: Larger files are refused unread; TFLM's archive with debug information has about 30 MB.
MAXIMUM_FILE_BYTES = 1 << 30
_MAXIMUM_SECTIONS = 200_000
_HEADER_BYTES = {1: 52, 2: 64}

#: Special section indices of the ELF specification.
UNDEFINED, ABSOLUTE, COMMON, EXTENDED = 0, 0xFFF1, 0xFFF2, 0xFFFF
LOCAL, GLOBAL, WEAK = 0, 1, 2


class Symbol(Struct, frozen=True):
    """A symbol; ``section`` is an index into the file's sections or a special index."""

    name: str
    value: int
    size: int
    binding: int
    kind: int
    section: int


class ElfFormat(Struct, frozen=True):
    """How the file's tables are laid out: byte order and word width."""

    little_endian: bool
    bits: int

    @property
    def order(self) -> str:
        """The byte order as ``struct`` writes it."""
        return "<" if self.little_endian else ">"


def read_bytes(path: Path) -> bytes:
    """The content of ``path``.

    Raises:
        TinybudgetError: missing, no file, or larger than any object file would be.
    """
    label = printable(path.as_posix())
    try:
        if path.is_dir():
            raise TinybudgetError(f"{label}: is a folder, expected a file")
        if not path.is_file():
            raise TinybudgetError(f"{label}: no such file")
        if path.stat().st_size > MAXIMUM_FILE_BYTES:
            raise TinybudgetError(f"{label}: larger than 1 GB")
        return path.read_bytes()
    except OSError as error:
        raise TinybudgetError(f"{label}: {error.strerror}") from error


@contextmanager
def damage_told(label: str) -> Iterator[None]:
    """Tell whatever a damaged file makes pyelftools raise as one line that names the file.

    Raises:
        TinybudgetError: that line, or that pyelftools is not installed.
    """
    damages = _damages()
    try:
        yield
    except damages as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise TinybudgetError(
            f"{printable(label)}: not a sound ELF file ({printable(reason)})"
        ) from error


def _damages() -> tuple[type[Exception], ...]:
    """What pyelftools raises on damaged input: it checks little, so far more than its own."""
    try:
        from elftools.common.exceptions import DWARFError
        from elftools.common.exceptions import ELFError
        from elftools.construct import ConstructError
    except ImportError as error:
        raise TinybudgetError(
            "reading ELF files needs pyelftools: pip install 'pytest-tinybudget[elf]'",
            code="TB103",
        ) from error
    return (
        ELFError, DWARFError, ConstructError, struct.error, ValueError, LookupError, TypeError,
        AttributeError, ArithmeticError, AssertionError, RecursionError, EOFError,
    )  # fmt: skip


def open_elf(content: bytes) -> ELFFile:
    """``content`` opened with pyelftools, its section and program headers known to fit in it.

    Raises:
        ValueError: no ELF file, or headers that point outside of it (see ``damage_told``).
    """
    from elftools.elf.elffile import ELFFile

    if content[:4] != b"\x7fELF":
        raise ValueError("it does not begin with an ELF header")
    if len(content) < 16 or len(content) < _HEADER_BYTES.get(content[4], 1 << 62):
        raise ValueError("truncated header")
    elf = ELFFile(io.BytesIO(content))
    sections, segments = elf.num_sections(), elf.num_segments()
    if sections > _MAXIMUM_SECTIONS:
        raise ValueError(f"{sections:,} sections")
    for count, offset, size, what in (
        (sections, elf["e_shoff"], elf["e_shentsize"], "section"),
        (segments, elf["e_phoff"], elf["e_phentsize"], "program"),
    ):
        if count and (offset < 16 or size < 32 or offset + count * size > len(content)):
            raise ValueError(f"{what} headers lie outside of the file")
    return elf


def format_of(elf: ELFFile) -> ElfFormat:
    """Byte order and word width of ``elf``."""
    return ElfFormat(elf.little_endian, elf.elfclass)


def section_headers(elf: ELFFile) -> list[Any]:
    """The section headers (fields by their ELF names), without pyelftools' section objects.

    Those parse hash tables and the like on sight, whose sizes a hostile file chooses.
    """
    return _headers(
        elf, elf.structs.Elf_Shdr, elf["e_shoff"], elf["e_shentsize"], elf.num_sections()
    )


def program_headers(elf: ELFFile) -> list[Any]:
    """The program headers, fields by their ELF names."""
    return _headers(
        elf, elf.structs.Elf_Phdr, elf["e_phoff"], elf["e_phentsize"], elf.num_segments()
    )


def _headers(elf: ELFFile, kind: Any, start: int, size: int, count: int) -> list[Any]:
    from elftools.common.utils import struct_parse

    return [
        struct_parse(kind, elf.stream, stream_pos=start + index * size) for index in range(count)
    ]


def section_names(content: bytes, elf: ELFFile, headers: list[Any]) -> list[str]:
    """Names of the sections."""
    if not headers:
        return []
    strings = section_bytes(content, headers[elf.get_shstrndx()])
    return [_string(strings, header["sh_name"]) for header in headers]


def section_bytes(content: bytes, header: Any) -> bytes:
    """What the file holds for the section with ``header`` (empty for NOBITS).

    Raises:
        ValueError: it lies outside of the file.
    """
    if header["sh_type"] == "SHT_NOBITS":
        return b""
    start, size = header["sh_offset"], header["sh_size"]
    if start + size > len(content):
        raise ValueError("a section lies outside of the file")
    return content[start : start + size]


def read_symbols(
    table: bytes, strings: bytes, layout: ElfFormat, extended: bytes = b""
) -> list[Symbol]:
    """The symbol table with its string table; ``extended`` holds section indices above 0xFF00."""
    if layout.bits == 32:
        fields = struct.Struct(layout.order + "IIIBBH")
    else:
        fields = struct.Struct(layout.order + "IBBHQQ")
    usable = len(table) - len(table) % fields.size
    numbers = struct.unpack(f"{layout.order}{len(extended) // 4}I", extended[: len(extended) & ~3])
    symbols = []
    for index, entry in enumerate(fields.iter_unpack(table[:usable])):
        if layout.bits == 32:
            name, value, size, info, _, section = entry
        else:
            name, info, _, section, value, size = entry
        if section == EXTENDED and index < len(numbers):
            section = numbers[index]
        symbols.append(Symbol(_string(strings, name), value, size, info >> 4, info & 15, section))
    return symbols


def _string(strings: bytes, offset: int) -> str:
    end = strings.find(b"\0", offset)
    if offset >= len(strings) or end < 0:
        return ""
    return strings[offset:end].decode("utf-8", "replace")
