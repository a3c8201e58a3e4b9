"""Symbols that a firmware has from elsewhere: a chip's ROM, or the application around TFLM.

They are listed in linker scripts (``memcpy = 0x4000c2c8;``), in what ``nm`` prints, one a line, or
in a linked image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.toolchain.elf import LOCAL
from pytest_tinybudget.toolchain.elf import UNDEFINED
from pytest_tinybudget.toolchain.elf import damage_told
from pytest_tinybudget.toolchain.elf import format_of
from pytest_tinybudget.toolchain.elf import open_elf
from pytest_tinybudget.toolchain.elf import read_bytes
from pytest_tinybudget.toolchain.elf import read_symbols
from pytest_tinybudget.toolchain.elf import section_bytes
from pytest_tinybudget.toolchain.elf import section_headers


_MAXIMUM_TEXT_BYTES = 64 * 1024**2
_NAME = r"[A-Za-z_.$][\w.$]*"
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*|#[^\n]*", re.DOTALL)
_PROVIDED = re.compile(rf"\s*PROVIDE(?:_HIDDEN)?\s*\(\s*({_NAME})\s*=[^;]*\)\s*;?\s*\Z")
_ASSIGNED = re.compile(rf"\s*({_NAME})\s*=[^=].*;\s*\Z")
#: ``nm``: address, in some forms the size, the kind, the name. U, w and v define nothing.
_NM = re.compile(rf"[0-9a-fA-F]+\s+(?:[0-9a-fA-F]+\s+)?([A-Za-z?-])\s+({_NAME})\s*\Z")
_ALONE = re.compile(rf"\s*({_NAME})\s*\Z")


class SymbolList(Struct, frozen=True):
    """Symbols that lie elsewhere.

    Attributes:
        defined: these lie there in any case.
        provided: these only where nothing else defines them (``PROVIDE`` in a linker script).
    """

    defined: frozenset[str] = frozenset()
    provided: frozenset[str] = frozenset()

    def __or__(self, other: SymbolList) -> SymbolList:
        return SymbolList(self.defined | other.defined, self.provided | other.provided)


def read_symbol_lists(paths: Iterable[Path]) -> SymbolList:
    """The symbols that the files at ``paths`` list, together.

    Raises:
        TinybudgetError: one cannot be read, or lists no symbol.
    """
    found = SymbolList()
    for path in paths:
        found |= _read(path)
    return found


def _read(path: Path) -> SymbolList:
    label = printable(path.as_posix())
    content = read_bytes(path)
    if content[:4] == b"\x7fELF":
        return SymbolList(frozenset(_of_elf(content, label)))
    if content[:8] in (b"!<arch>\n", b"!<thin>\n"):
        raise TinybudgetError(
            f"{label}: an archive does not say which of its members are linked; give the linked "
            ".elf, or a list of symbols"
        )
    if len(content) > _MAXIMUM_TEXT_BYTES or b"\0" in content:
        raise TinybudgetError(
            f"{label}: expected a linker script, a list of symbols (nm), or a linked .elf"
        )
    found = _of_text(content.decode("utf-8", "replace"))
    if not (found.defined or found.provided):
        raise TinybudgetError(
            f"{label}: lists no symbol; expected lines such as 'memcpy = 0x4000c2c8;', what nm "
            "prints, or a name each"
        )
    return found


def _of_elf(content: bytes, label: str) -> Iterator[str]:
    """The symbols that an ELF file defines for others."""
    with damage_told(label):
        elf = open_elf(content)
        headers = section_headers(elf)
        symbols = [
            symbol
            for header in headers
            if header["sh_type"] == "SHT_SYMTAB" and header["sh_link"] < len(headers)
            for symbol in read_symbols(
                section_bytes(content, header),
                section_bytes(content, headers[header["sh_link"]]),
                format_of(elf),
            )
        ]
    if not symbols:
        raise TinybudgetError(f"{label}: has no symbols (it is stripped)")
    for symbol in symbols:
        if symbol.binding != LOCAL and symbol.section != UNDEFINED and symbol.name:
            yield symbol.name


def _of_text(text: str) -> SymbolList:
    defined, provided = set(), set()
    for line in _COMMENT.sub("", text).splitlines():
        found = _PROVIDED.match(line)
        if found is not None:
            provided.add(found[1])
            continue
        found = _ASSIGNED.match(line) or _ALONE.match(line)
        if found is not None:
            defined.add(found[1])
            continue
        found = _NM.match(line.lstrip())
        if found is not None and found[1] not in "UwvN":
            defined.add(found[2])
    return SymbolList(frozenset(defined), frozenset(provided))
