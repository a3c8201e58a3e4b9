"""Where input sections go in the output, and which constants a linker keeps once."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_tinybudget.footprint.section_graph import KINDS
from pytest_tinybudget.toolchain.archive import Section
from pytest_tinybudget.toolchain.resolution import Program


TEXT, RODATA = KINDS.index("text"), KINDS.index("rodata")
EXIDX, INIT_ARRAY = KINDS.index("exidx"), KINDS.index("init_array")
DATA, BSS = KINDS.index("data"), KINDS.index("bss")

#: How many longer strings with the same ending are looked at.
_MAXIMUM_ENDINGS = 256


@dataclass(slots=True)
class Constant:
    """A mergeable constant: the strictest alignment that any copy of it has, and its node."""

    alignment: int
    node: int = -1


MergeKey = tuple[int, int, bool, int]


def merge_key(section: Section) -> MergeKey:
    """Sections merge with those of the same kind, entry size, form and alignment."""
    return kind_of(section), section.entry_bytes, section.strings, section.alignment


def merge_classes(program: Program) -> dict[MergeKey, dict[bytes, Constant]]:
    """Distinct constants by what the linker merges them by."""
    classes: dict[MergeKey, dict[bytes, Constant]] = {}
    for _, _, section in program.sections():
        if not section.entry_bytes:
            continue
        constants = classes.setdefault(merge_key(section), {})
        for offset, content in constants_of(section):
            alignment = min(section.alignment, offset & -offset or section.alignment)
            constant = constants.setdefault(content, Constant(alignment))
            constant.alignment = max(constant.alignment, alignment)
    return classes


def constants_of(section: Section) -> Iterable[tuple[int, bytes]]:
    """Offset and content of the entries of a mergeable section.

    Zeros that only pad a string to the alignment are no entries; an empty string is one.
    """
    content, width = section.content, section.entry_bytes
    if not section.strings:
        for start in range(0, len(content), width):
            yield start, content[start : start + width]
        return
    zero = bytes(width)
    start = 0
    while start < len(content):
        end = content.find(zero, start)
        while end >= 0 and (end - start) % width:
            end = content.find(zero, end + 1)
        end = end + width if end >= 0 else len(content)
        yield start, content[start:end]
        while width == 1 and end < len(content) and content[end] == 0:
            if end % section.alignment == 0:
                yield end, zero
            end += 1
        start = end


def suffixes(constants: Mapping[bytes, Constant]) -> Iterable[tuple[Constant, Constant]]:
    """Pairs of which the first is the end of the second, where alignment allows to share."""
    strings = sorted(constants, key=lambda content: content[::-1])
    for position, ending in enumerate(strings):
        short = constants[ending]
        for content in strings[position + 1 : position + 1 + _MAXIMUM_ENDINGS]:
            if not content.endswith(ending):
                break
            long = constants[content]
            aligned = (len(content) - len(ending)) % short.alignment == 0
            if aligned and long.alignment >= short.alignment:
                yield short, long


def kind_of(section: Section) -> int:
    """The output section that linker scripts put ``section`` in, as an index into ``KINDS``."""
    if section.name.startswith((".ARM.exidx", ".ARM.extab")):
        return EXIDX
    if section.name.startswith(
        (".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors")
    ):
        return INIT_ARRAY
    if section.executable:
        return TEXT
    if not section.writable:
        return RODATA
    return DATA if section.occupies_file else BSS
