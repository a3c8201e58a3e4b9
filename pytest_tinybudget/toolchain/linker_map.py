"""What GNU ld's map file (``-Wl,-Map=firmware.map``) says: memory regions and section sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.toolchain.elf import read_bytes


_REGION = re.compile(r"(\S+)\s+0x([0-9a-f]{1,16})\s+0x([0-9a-f]{1,16})(?:\s+([!\w]+))?\s*\Z")
_SECTION = re.compile(r" (\.\S+)\s+0x[0-9a-f]+\s+0x([0-9a-f]{1,16})\s+(\S.*)\Z")
_NAME_ONLY = re.compile(r" (\.\S+)\Z")
_REST = re.compile(r"\s+0x[0-9a-f]+\s+0x([0-9a-f]{1,16})\s+(\S.*)\Z")

#: A symbol that lies at an address, and a function's own section.
_SYMBOL = re.compile(r"\s+0x0*[1-9a-f][0-9a-f]*\s{2,}([A-Za-z_$][^=]*?)\Z")
_FUNCTION_SECTION = re.compile(r" \.text\.([A-Za-z_$][\w$]*)(?:\s+0x0*[1-9a-f][0-9a-f]*\s.*)?\Z")

#: Region names in the linker scripts of common SDKs; flash that is mapped as instruction or data
#: memory (``iram0_2_seg``, ``irom``, ``drom``) is named like RAM.
_FLASH_NAME = re.compile(r"flash|rom|xip|iram0_2|qspi|nor\b", re.IGNORECASE)
_RAM_NAME = re.compile(r"ram|tcm|ccm|ddr|ocm", re.IGNORECASE)


class MapRegion(Struct, frozen=True):
    """A memory region of the linker script: bytes from ``origin`` on."""

    name: str
    origin: int
    length: int
    attributes: str

    def holds(self, address: int) -> bool:
        """Whether ``address`` lies in the region."""
        return self.origin <= address < self.origin + self.length

    @property
    def kind(self) -> Literal["flash", "ram"]:
        """What the region's name says it is, else its attributes: writable is RAM."""
        if _FLASH_NAME.search(self.name):
            return "flash"
        if _RAM_NAME.search(self.name):
            return "ram"
        return "ram" if "w" in self.attributes.partition("!")[0].lower() else "flash"


def read_regions(path: Path) -> tuple[MapRegion, ...]:
    """The memory regions of the link, in the order of the linker script.

    Raises:
        TinybudgetError: no map of GNU ld.
    """
    regions = []
    lines = iter(_lines(path))
    for line in lines:
        if line.startswith("Memory Configuration"):
            break
    for line in lines:
        if line.startswith("Linker script and memory map"):
            break
        match = _REGION.match(line)
        if match and match[1] != "*default*":
            regions.append(
                MapRegion(match[1], int(match[2], 16), int(match[3], 16), match[4] or "")
            )
    if not regions:
        raise TinybudgetError(
            f"{printable(path.as_posix())}: no memory regions; expected GNU ld's map "
            "(-Wl,-Map=firmware.map) of a linker script with MEMORY"
        )
    return tuple(regions)


def read_section_sizes(path: Path) -> dict[tuple[str, str], int]:
    """Sizes of linked input sections by member (``libtflm.a(conv.o)``) and section name.

    Sections that occur twice in one member are left out: the map does not tell them apart.

    Raises:
        TinybudgetError: no map of GNU ld.
    """
    sizes: dict[tuple[str, str], int] = {}
    twice = set()
    name = ""
    linked = False
    for line in _lines(path):
        linked = linked or line.startswith("Linker script and memory map")
        if not linked:
            continue
        match = _SECTION.match(line)
        if match:
            section, size, source = match[1], match[2], match[3]
        else:
            rest = _REST.match(line) if name else None
            alone = _NAME_ONLY.match(line)
            section, name = name, alone[1] if alone else ""
            if rest is None:
                continue
            size, source = rest[1], rest[2]
        key = (re.split(r"[/\\]", source)[-1], section)
        if key in sizes:
            twice.add(key)
        sizes[key] = int(size, 16)
    if not sizes:
        raise TinybudgetError(
            f"{printable(path.as_posix())}: no linked sections; expected GNU ld's map "
            "(-Wl,-Map=firmware.map)"
        )
    return {key: size for key, size in sizes.items() if key not in twice}


def read_symbol_names(path: Path) -> tuple[str, ...]:
    """What the link holds by name: symbols, and functions by the sections that they lie in.

    Raises:
        TinybudgetError: no map of GNU ld.
    """
    names: dict[str, None] = {}
    linked = False
    for line in _lines(path):
        linked = linked or line.startswith("Linker script and memory map")
        match = (_SYMBOL.match(line) or _FUNCTION_SECTION.match(line)) if linked else None
        if match:
            names[match[1]] = None
    if not names:
        raise TinybudgetError(
            f"{printable(path.as_posix())}: no symbols; expected GNU ld's map "
            "(-Wl,-Map=firmware.map)"
        )
    return tuple(names)


def _lines(path: Path) -> Iterable[str]:
    return read_bytes(path).decode("utf-8", "replace").splitlines()
