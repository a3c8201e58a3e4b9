"""Object files and archives as a linker sees them: sections, symbols, references, members."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.toolchain.build_attributes import build_attributes
from pytest_tinybudget.toolchain.elf import ElfFormat
from pytest_tinybudget.toolchain.elf import Symbol
from pytest_tinybudget.toolchain.elf import damage_told
from pytest_tinybudget.toolchain.elf import format_of
from pytest_tinybudget.toolchain.elf import open_elf
from pytest_tinybudget.toolchain.elf import read_bytes
from pytest_tinybudget.toolchain.elf import read_symbols
from pytest_tinybudget.toolchain.elf import section_bytes
from pytest_tinybudget.toolchain.elf import section_headers
from pytest_tinybudget.toolchain.elf import section_names


_WRITE, _ALLOCATE, _EXECUTE, _MERGE, _STRINGS, _RETAIN = 0x1, 0x2, 0x4, 0x10, 0x20, 0x200000
_COMDAT = 1
#: What GCC calls itself in debug information, and the flags that it was given.
_PRODUCER = re.compile(rb"GNU C[^\0]{1,4000}")
_MAXIMUM_MEMBERS = 100_000
#: Larger sections of constants are taken whole: no compiler makes them.
_LARGEST_MERGED_BYTES = 4 * 1024**2


class Section(Struct, frozen=True):
    """An allocated input section. ``content`` is kept where its bytes decide its size in a link:
    mergeable constants (``entry_bytes`` > 0) and unwind tables."""

    name: str
    size: int
    alignment: int
    writable: bool
    executable: bool
    occupies_file: bool
    retained: bool
    strings: bool
    entry_bytes: int
    ordered_after: int
    content: bytes


class Reference(Struct, frozen=True):
    """A relocation: at ``offset`` of its section, to the symbol numbered ``symbol``."""

    offset: int
    symbol: int


class ObjectFile(Struct, frozen=True):
    """One relocatable object.

    ``sections`` and ``references`` go by ELF section index; ``groups`` are its COMDAT groups: the
    signature and the sections that come with it. ``optimize`` is the compiler's level, as debug
    information has it (``"s"``, ``"2"``), empty without.
    """

    archive: str
    member: str
    machine: str
    layout: ElfFormat
    sections: Mapping[int, Section]
    symbols: tuple[Symbol, ...]
    references: Mapping[int, tuple[Reference, ...]]
    groups: tuple[tuple[str, tuple[int, ...]], ...]
    attributes: Mapping[int, int]
    optimize: str = ""

    @property
    def label(self) -> str:
        """As a linker map prints it: ``libm.a(s_sin.o)``."""
        return f"{self.archive}({self.member})" if self.archive else self.member


class Archive(Struct, frozen=True):
    """A static library: ``index`` lists what its members define in the order of its symbol table,
    ``members`` are their names and contents by offset."""

    name: str
    members: Mapping[int, tuple[str, memoryview]]
    index: tuple[tuple[str, int], ...]
    loaded: dict[int, ObjectFile] = field(default_factory=dict)

    def load(self, offset: int) -> ObjectFile:
        """The member at ``offset``, read on first use."""
        if offset not in self.loaded:
            member, content = self.members[offset]
            self.loaded[offset] = read_object(bytes(content), member, archive=self.name)
        return self.loaded[offset]


def read_object_file(path: Path) -> ObjectFile:
    """The object file at ``path``."""
    return read_object(read_bytes(path), path.name)


def is_archive(path: Path) -> bool:
    """Whether ``path`` begins as a static library does."""
    return read_bytes(path)[:8] in (b"!<arch>\n", b"!<thin>\n")


def read_object(content: bytes, name: str, *, archive: str = "") -> ObjectFile:
    """A relocatable ELF object.

    Raises:
        TinybudgetError: damaged, or no relocatable object; pyelftools is missing.
    """
    label = f"{archive}({name})" if archive else name
    with damage_told(label):
        elf = open_elf(content)
        if elf["e_type"] != "ET_REL":
            raise ValueError("no relocatable object: give object files and archives")
        return _Reader(content, elf).read(name, archive)


def read_archive(path: Path) -> Archive:
    """The static library at ``path``, members unread.

    Raises:
        TinybudgetError: damaged, a thin archive, or no archive.
    """
    label = printable(path.name)
    content = memoryview(read_bytes(path))
    if bytes(content[:8]) == b"!<thin>\n":
        raise TinybudgetError(
            f"{label}: a thin archive holds no members; make a regular one with 'ar rcs'"
        )
    if bytes(content[:8]) != b"!<arch>\n":
        raise TinybudgetError(f"{label}: not an archive (it does not begin with '!<arch>')")
    try:
        members, tables = _members(content)
        index = _symbol_index(tables, members)
    except (ValueError, IndexError, struct.error) as error:
        raise TinybudgetError(f"{label}: damaged archive ({printable(str(error))})") from error
    archive = Archive(path.name, members, index)
    if not index and members:
        return _indexed(archive)
    return archive


def _members(
    content: memoryview,
) -> tuple[dict[int, tuple[str, memoryview]], dict[str, memoryview]]:
    """Members by offset of their header, and the special ones (symbol and name tables)."""
    members: dict[int, tuple[str, memoryview]] = {}
    tables: dict[str, memoryview] = {}
    position = 8
    while position + 60 <= len(content):
        header = bytes(content[position : position + 60])
        if header[58:] != b"`\n":
            raise ValueError(f"no member header at byte {position}")
        name, size = header[:16].decode("latin-1").rstrip(), int(header[48:58])
        start = position + 60
        if size < 0 or start + size > len(content):
            raise ValueError(f"member at byte {position} is truncated")
        data = content[start : start + size]
        if name in ("/", "//", "/SYM64/"):
            tables[name] = data
        elif name.startswith("__.SYMDEF"):
            tables["BSD"] = data
        elif name.startswith("#1/"):
            length = int(name[3:])
            name = bytes(data[:length]).rstrip(b"\0").decode("utf-8", "replace")
            members[position] = (name, data[length:])
        else:
            members[position] = (_member_name(name, tables.get("//")), data)
        if len(members) > _MAXIMUM_MEMBERS:
            raise ValueError("more than 100,000 members")
        position = start + size + size % 2
    return members, tables


def _member_name(name: str, long_names: memoryview | None) -> str:
    if name.startswith("/") and name[1:].isdigit() and long_names is not None:
        tail = bytes(long_names[int(name[1:]) :])
        return tail.partition(b"\n")[0].decode("utf-8", "replace").rstrip("/")
    return name.rstrip("/")


def _symbol_index(
    tables: Mapping[str, memoryview], members: Mapping[int, object]
) -> tuple[tuple[str, int], ...]:
    """GNU's archive symbol table: symbol and offset of the member that defines it."""
    wide = "/SYM64/" in tables
    data = tables.get("/SYM64/" if wide else "/")
    if data is None:
        return ()
    word = 8 if wide else 4
    (count,) = struct.unpack_from(">Q" if wide else ">I", data)
    if word * (count + 1) > len(data):
        raise ValueError("symbol table is truncated")
    offsets = struct.unpack_from(f">{count}{'Q' if wide else 'I'}", data, word)
    names = bytes(data[word * (count + 1) :]).split(b"\0")
    if len(names) < count or any(offset not in members for offset in offsets):
        raise ValueError("symbol table does not match the members")
    return tuple(
        (name.decode("utf-8", "replace"), offset)
        for name, offset in zip(names, offsets, strict=False)
    )


def _indexed(archive: Archive) -> Archive:
    """``archive`` with the symbol table that ``ranlib`` would have given it."""
    index = tuple(
        (symbol.name, offset)
        for offset in archive.members
        for symbol in archive.load(offset).symbols
        if symbol.binding and symbol.section and symbol.name
    )
    return Archive(archive.name, archive.members, index, archive.loaded)


class _Reader:
    """Reads one object; pyelftools gives the headers, bulk tables are unpacked here for speed."""

    def __init__(self, content: bytes, elf: Any) -> None:
        self.content = content
        self.elf = elf
        self.layout = format_of(elf)
        self.headers = section_headers(elf)
        self.names = section_names(content, elf, self.headers)

    def read(self, name: str, archive: str) -> ObjectFile:
        symbols = self._symbols()
        sections = {
            index: self._section(index)
            for index, header in enumerate(self.headers)
            if header["sh_flags"] & _ALLOCATE
        }
        return ObjectFile(
            archive=archive,
            member=name,
            machine=self.elf["e_machine"],
            layout=self.layout,
            sections=sections,
            symbols=symbols,
            references=self._references(sections, len(symbols)),
            groups=self._groups(symbols),
            attributes=self._attributes(),
            optimize=_optimize(self.content),
        )

    def _data(self, index: int) -> bytes:
        if not 0 <= index < len(self.headers):
            raise ValueError(f"there is no section {index}")
        return section_bytes(self.content, self.headers[index])

    def _section(self, index: int) -> Section:
        header, name = self.headers[index], self.names[index]
        flags, alignment = header["sh_flags"], max(1, header["sh_addralign"])
        occupies_file = header["sh_type"] != "SHT_NOBITS"
        if alignment & (alignment - 1) or alignment > 1 << 16:
            raise ValueError(f"section {printable(name)} has alignment {alignment}")
        if header["sh_size"] >= 1 << 32:
            raise ValueError(f"section {printable(name)} has {header['sh_size']} bytes")
        content = self._data(index) if occupies_file else b""
        mergeable = bool(flags & _MERGE) and not flags & _WRITE and _can_merge(header, alignment)
        ordered = header["sh_type"] == "SHT_ARM_EXIDX" or bool(flags & 0x80)
        return Section(
            name=name,
            size=header["sh_size"],
            alignment=alignment,
            writable=bool(flags & _WRITE),
            executable=bool(flags & _EXECUTE),
            occupies_file=occupies_file,
            retained=bool(flags & _RETAIN),
            strings=bool(flags & _STRINGS),
            entry_bytes=header["sh_entsize"] if mergeable else 0,
            ordered_after=header["sh_link"] if ordered else 0,
            content=content if mergeable or name == ".eh_frame" else b"",
        )

    def _symbols(self) -> tuple[Symbol, ...]:
        for index, header in enumerate(self.headers):
            if header["sh_type"] == "SHT_SYMTAB":
                extended = b""
                for other, candidate in enumerate(self.headers):
                    if candidate["sh_type"] == "SHT_SYMTAB_SHNDX":
                        extended = self._data(other)
                strings = self._data(header["sh_link"])
                return tuple(read_symbols(self._data(index), strings, self.layout, extended))
        return ()

    def _references(
        self, sections: Mapping[int, Section], symbol_count: int
    ) -> dict[int, tuple[Reference, ...]]:
        references: dict[int, list[Reference]] = {}
        wide = self.layout.bits == 64
        for index, header in enumerate(self.headers):
            kind, target = header["sh_type"], header["sh_info"]
            if kind not in ("SHT_REL", "SHT_RELA") or target not in sections:
                continue
            code = ("QQ" if wide else "II") + ("" if kind == "SHT_REL" else "Q" if wide else "I")
            entry = struct.Struct(self.layout.order + code)
            data = self._data(index)
            found = references.setdefault(target, [])
            for offset, info, *_ in entry.iter_unpack(data[: len(data) - len(data) % entry.size]):
                symbol = info >> 32 if wide else info >> 8
                if symbol >= symbol_count:
                    raise ValueError(f"a relocation names symbol {symbol} of {symbol_count}")
                if symbol:
                    found.append(Reference(offset, symbol))
        return {target: tuple(found) for target, found in references.items()}

    def _groups(self, symbols: tuple[Symbol, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
        groups = []
        for index, header in enumerate(self.headers):
            if header["sh_type"] != "SHT_GROUP":
                continue
            data = self._data(index)
            words = struct.unpack(f"{self.layout.order}{len(data) // 4}I", data[: len(data) & ~3])
            if not words or not words[0] & _COMDAT:
                continue
            signature = symbols[header["sh_info"]]
            own = signature.name or self.names[signature.section]
            groups.append((own, tuple(words[1:])))
        return tuple(groups)

    def _attributes(self) -> dict[int, int]:
        """Arm's build attributes, which say what a kernel library was compiled for."""
        for index, header in enumerate(self.headers):
            if header["sh_type"] == "SHT_ARM_ATTRIBUTES":
                return build_attributes(self._data(index), self.layout)
        return {}


def _optimize(content: bytes) -> str:
    """The last ``-O`` of GCC's flags, where debug information says them."""
    match = _PRODUCER.search(content)
    levels = re.findall(rb" -O(\w*)", match[0]) if match else []
    return (levels[-1].decode() or "1") if levels else ""


def _can_merge(header: Any, alignment: int) -> bool:
    """Whether GNU ld merges a section with these sizes: entries must keep to the alignment."""
    entry, strings = header["sh_entsize"], bool(header["sh_flags"] & _STRINGS)
    if not 0 < entry <= 1 << 16 or header["sh_size"] % entry:
        return False
    if header["sh_size"] > _LARGEST_MERGED_BYTES:
        return False
    if entry < alignment:
        return strings and entry & (entry - 1) == 0
    return bool(entry % alignment == 0)
