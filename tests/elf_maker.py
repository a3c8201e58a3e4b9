"""Small ELF files as an ESP-IDF application has: sections at addresses, and symbols."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Sequence
from typing import NamedTuple


XTENSA, RISCV = 94, 243
PROGBITS, SYMTAB, STRTAB, NOBITS = 1, 2, 3, 8
_OBJECT = 1
_HEADER, _PROGRAM, _SECTION = 52, 32, 40


class ElfSection(NamedTuple):
    """A section with ``content`` at ``address``."""

    name: str
    address: int
    content: bytes
    kind: int = PROGBITS
    flags: int = 2


class ElfSymbol(NamedTuple):
    """A global object."""

    name: str
    address: int
    size: int


def make_elf(
    machine: int, sections: Sequence[ElfSection], symbols: Iterable[ElfSymbol] = ()
) -> bytes:
    """An executable with a load segment for each section that has content and an address."""
    strings = b"\0"
    table = bytes(16)
    for symbol in symbols:
        table += struct.pack(
            "<IIIBBH", len(strings), symbol.address, symbol.size, 1 << 4 | _OBJECT, 0, 1
        )
        strings += symbol.name.encode() + b"\0"
    everything = [
        ElfSection("", 0, b"", 0, 0),
        *sections,
        ElfSection(".symtab", 0, table, SYMTAB, 0),
        ElfSection(".strtab", 0, strings, STRTAB, 0),
    ]
    names = b"".join(each.name.encode() + b"\0" for each in everything) + b".shstrtab\0"
    everything.append(ElfSection(".shstrtab", 0, names, STRTAB, 0))
    loaded = [each for each in sections if each.address and each.kind != NOBITS and each.content]
    start = _HEADER + _PROGRAM * len(loaded)
    offsets, body = [], b""
    for each in everything:
        body += bytes(-len(body) % 16)
        offsets.append(start + len(body))
        body += b"" if each.kind == NOBITS else each.content
    body += bytes(-(start + len(body)) % 4)
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + struct.pack(
        "<HHIIIIIHHHHHH", 2, machine, 1, 0x40080400, _HEADER, start + len(body), 0,
        _HEADER, _PROGRAM, len(loaded), _SECTION, len(everything), len(everything) - 1,
    )  # fmt: skip
    programs = b"".join(
        struct.pack(
            "<IIIIIIII", 1, offset, each.address, each.address,
            len(each.content), len(each.content), 5, 4,
        )
        for each, offset in zip(everything, offsets, strict=True)
        if any(each is one for one in loaded)
    )  # fmt: skip
    rows, position = b"", 0
    for index, (each, offset) in enumerate(zip(everything, offsets, strict=True)):
        linked = index + 1 if each.kind == SYMTAB else 0
        rows += struct.pack(
            "<IIIIIIIIII", position, each.kind, each.flags, each.address, offset,
            len(each.content), linked, 1 if each.kind == SYMTAB else 0, 4,
            16 if each.kind == SYMTAB else 0,
        )  # fmt: skip
        position += len(each.name) + 1
    return header + programs + body + rows
