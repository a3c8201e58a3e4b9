"""C and C++ structs as debug information (DWARF 2 to 5) describes them, read with pyelftools.

A layout is a string of member codes, as ``Abi.size_of`` takes it. Damaged or hostile sections end
in one line, as everything in this room does (``elf.damage_told``).
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.toolchain.elf import section_bytes
from pytest_tinybudget.toolchain.elf import section_headers
from pytest_tinybudget.toolchain.elf import section_names


if TYPE_CHECKING:
    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.dwarfinfo import DWARFInfo
    from elftools.elf.elffile import ELFFile


_COMPRESSED = 0x800
#: The sections of debug information that tell of types.
_SECTIONS = (
    "debug_info", "debug_abbrev", "debug_str", "debug_line_str", "debug_str_offsets",
    "debug_types",
)  # fmt: skip
_OTHER_SECTIONS = (
    "debug_aranges", "debug_frame", "eh_frame", "debug_loc", "debug_ranges", "debug_line",
    "debug_pubtypes", "debug_pubnames", "debug_addr", "debug_loclists", "debug_rnglists",
    "debug_sup",
)  # fmt: skip
#: Larger sections are refused: the debug information of a whole ESP-IDF image has some 30 MB.
_MAXIMUM_SECTION_BYTES = 1 << 28
#: A compiler writes no number, and no name, that is as long.
_ENDLESS_NUMBER = re.compile(rb"[\x80-\xff]{4096}")
_ENDLESS_NAME = re.compile(rb"[^\0]{262144}")
_MAXIMUM_UNITS = 100_000
_MAXIMUM_ENTRIES = 8_000_000
#: How deep structs lie in structs, arrays in arrays.
_MAXIMUM_DEPTH = 64
#: An array's elements; the largest that TFLM has are tables of 256.
_MAXIMUM_ELEMENTS = 1 << 20

_STRUCTS = ("DW_TAG_structure_type", "DW_TAG_class_type")
_ALIASES = (
    "DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_atomic_type",
    "DW_TAG_restrict_type",
)  # fmt: skip
_POINTERS = (
    "DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type",
)  # fmt: skip
_UNITS = ("DW_TAG_compile_unit", "DW_TAG_partial_unit", "DW_TAG_type_unit")
_SIBLINGS = ("DW_FORM_ref1", "DW_FORM_ref2", "DW_FORM_ref4", "DW_FORM_ref8", "DW_FORM_ref_udata")
_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}


class Layout(Struct, frozen=True):
    """How a type lies in memory: its member codes, its size in bytes, its alignment."""

    codes: str
    size: int
    alignment: int


class Member(Struct, frozen=True):
    """A member of a struct: its name, where it begins, its size, both in bytes."""

    name: str
    offset: int
    size: int


class DebugStruct(Struct, frozen=True):
    """A struct that debug information describes.

    Attributes:
        name: with its namespaces and classes (``tflite::MicroAllocator``); what lies in no named
            namespace has none.
        unit: the source file that was compiled, as the compiler was given it.
        layout: how it lies in memory.
        members: in order; bases are called ``(base)``.
    """

    name: str
    unit: str
    layout: Layout
    members: tuple[Member, ...]


class Unit(Struct, frozen=True):
    """A compile unit: the source file, and what compiled it (``DW_AT_producer``)."""

    name: str
    producer: str


class DebugInformation:
    """The debug information of an ELF file.

    Raises:
        ValueError: it is damaged, or larger than any would be (see ``elf.damage_told``).
    """

    def __init__(self, content: bytes, elf: ELFFile) -> None:
        self._sections = _sections(content, elf)
        self._elf = elf
        self._information = _information(elf, self._sections)
        self._signatures: dict[int, tuple[CompileUnit, int]] | None = None
        self._seen = 0

    @property
    def is_there(self) -> bool:
        """Whether there is any that tells of types."""
        return bool(self._sections.get("debug_info") and self._sections.get("debug_abbrev"))

    def units(self) -> Iterator[Unit]:
        """All compile units, types aside, in their order."""
        for unit in self._units():
            top = unit.get_top_DIE()
            if top.tag == "DW_TAG_compile_unit":
                yield Unit(_text(top, "DW_AT_name"), _text(top, "DW_AT_producer"))

    def structs(self, wanted: Collection[str], abi: Abi) -> Iterator[DebugStruct]:
        """Every definition of a struct that has one of the names ``wanted``.

        A name may be the last part alone (``OpData``), or be that of a template without its
        arguments. Units that hold none of the names are passed over unread.
        """
        likely = _holds_one_of(wanted, self._sections, little_endian=self._elf.little_endian)
        for unit in self._units():
            start, size = unit.cu_offset, unit.size
            if likely(start, start + size):
                yield from self._structs_of(unit, wanted, abi)
        if self._sections.get("debug_types"):
            for types in self._information.iter_TUs():
                yield from self._structs_of(types, wanted, abi)

    def _units(self) -> Iterator[CompileUnit]:
        if not self.is_there:
            return
        total = len(self._sections["debug_info"])
        for number, unit in enumerate(self._information.iter_CUs()):
            if number > _MAXIMUM_UNITS:
                raise ValueError("more than 100,000 compile units")
            if unit.cu_offset + unit.size > total:
                raise ValueError("a compile unit lies outside of .debug_info")
            yield unit

    def _structs_of(self, unit: Any, wanted: Collection[str], abi: Abi) -> Iterator[DebugStruct]:
        file = _text(unit.get_top_DIE(), "DW_AT_name")
        measure = _Measure(abi, self._signed)
        for entry, scope in self._types(unit):
            name = _text(entry, "DW_AT_name")
            if name.partition("<")[0] not in wanted:
                continue
            target = measure.strip(entry) if entry.tag == "DW_TAG_typedef" else entry
            if target is None or target.tag not in _STRUCTS:
                continue
            if entry.tag == "DW_TAG_typedef" and _text(target, "DW_AT_name"):
                continue  # the struct has a name of its own, and stands there under it
            if "DW_AT_declaration" in target.attributes:
                continue
            layout, members = measure.struct(target)
            yield DebugStruct("::".join((*scope, name)), file, layout, members)

    def _signed(self, signature: int) -> DIE:
        """The type with a signature.

        Units of types lie in .debug_types, since DWARF 5 beside the others, where pyelftools does
        not look for them.
        """
        if self._signatures is None:
            self._signatures = {
                unit["type_signature"]: (unit, unit.cu_offset + unit["type_offset"])
                for unit in self._units()
                if "type_signature" in unit.header
            }
        if signature in self._signatures:
            unit, offset = self._signatures[signature]
            return unit.get_DIE_from_refaddr(offset)
        return self._information.get_DIE_by_sig8(signature)

    def _types(self, unit: Any) -> Iterator[tuple[DIE, tuple[str, ...]]]:
        """The types of a unit outside of functions, each with the scopes around it.

        Offsets only ever grow, whatever a damaged file says.
        """
        from elftools.dwarf.die import DIE

        stream = unit.get_top_DIE().stream
        end = _end_of(unit)
        position = _first(unit)
        scopes: list[tuple[str, ...]] = []
        while position < end:
            self._count()
            entry = DIE(unit, stream, position)
            position += max(1, entry.size)
            if entry.is_null():
                if scopes:
                    scopes.pop()
                continue
            around = scopes[-1] if scopes else ()
            if entry.tag in (*_STRUCTS, "DW_TAG_typedef"):
                yield entry, around
            if not entry.has_children:
                continue
            sibling = _sibling(entry, unit)
            if entry.tag in _UNITS:
                scopes.append(())
            elif entry.tag in ("DW_TAG_namespace", *_STRUCTS):
                name = _text(entry, "DW_AT_name")
                scopes.append((*around, name) if name else around)
            elif sibling is not None and sibling >= position:
                position = sibling
            else:
                position = self._behind(unit, stream, position, end)

    def _behind(self, unit: Any, stream: Any, position: int, end: int) -> int:
        """Where the children that begin at ``position`` end, for compilers that do not say it."""
        from elftools.dwarf.die import DIE

        depth = 1
        while depth and position < end:
            self._count()
            entry = DIE(unit, stream, position)
            position += max(1, entry.size)
            if entry.is_null():
                depth -= 1
            elif entry.has_children:
                sibling = _sibling(entry, unit)
                if sibling is not None and sibling >= position:
                    position = sibling
                else:
                    depth += 1
        return position

    def _count(self) -> None:
        self._seen += 1
        if self._seen > _MAXIMUM_ENTRIES:
            raise ValueError("more debug information than any firmware has")


class _Measure:
    """Sizes and codes of the types of one unit, each measured once."""

    def __init__(self, abi: Abi, signed: Callable[[int], DIE]) -> None:
        self.abi = abi
        self._signed = signed
        self._known: dict[tuple[int, int], Layout] = {}

    def struct(self, entry: DIE) -> tuple[Layout, tuple[Member, ...]]:
        """The layout of a struct, and its members."""
        return self._members(entry, 0)

    def strip(self, entry: DIE) -> DIE | None:
        """What ``entry`` has as its type, aliases and qualifiers followed; ``None`` for void."""
        for _ in range(_MAXIMUM_DEPTH):
            if "DW_AT_type" not in entry.attributes:
                return None
            entry = self._referred(entry, "DW_AT_type")
            if "DW_AT_signature" in entry.attributes:
                entry = self._referred(entry, "DW_AT_signature")
            if entry.tag not in _ALIASES:
                return entry
        raise ValueError("a type is an alias of itself")

    def _referred(self, entry: DIE, attribute: str) -> DIE:
        reference = entry.attributes[attribute]
        if reference.form == "DW_FORM_ref_sig8":
            return self._signed(reference.raw_value)
        return entry.get_DIE_from_attribute(attribute)

    def type_of(self, entry: DIE, depth: int) -> Layout:
        """The layout of what ``entry`` has as its type."""
        target = self.strip(entry)
        if target is None:
            return Layout("", 0, 1)
        place = id(target.cu), target.offset
        if place not in self._known:
            if depth > _MAXIMUM_DEPTH:
                raise ValueError("types within types without end")
            self._known[place] = self._measured(target, depth)
        return self._known[place]

    def _measured(self, entry: DIE, depth: int) -> Layout:
        size = _number(entry, "DW_AT_byte_size")
        if entry.tag in _POINTERS:
            return self._plain("p", size or self.abi.pointer_bytes)
        if entry.tag == "DW_TAG_enumeration_type":
            fixed = "DW_AT_enum_class" in entry.attributes
            is_enum = size == self.abi.enum_bytes and not fixed
            return self._plain("e" if is_enum else _CODES.get(size, ""), size)
        if entry.tag == "DW_TAG_array_type":
            return self._array(entry, depth)
        if entry.tag in _STRUCTS:
            return self._members(entry, depth + 1)[0]
        if entry.tag == "DW_TAG_union_type":
            return self._union(entry, size, depth)
        if entry.tag == "DW_TAG_ptr_to_member_type":
            return _opaque(size or 2 * self.abi.pointer_bytes, self.abi.pointer_bytes)
        return self._plain(_CODES.get(size, ""), size)

    def _plain(self, code: str, size: int) -> Layout:
        if code and self.abi.size_of(code) == size:
            return Layout(code, size, self.abi.align_of(code))
        return _opaque(size, min(8, size & -size or 1))

    def _array(self, entry: DIE, depth: int) -> Layout:
        element, count = self.type_of(entry, depth + 1), 1
        for child in entry.iter_children():
            if child.tag == "DW_TAG_subrange_type":
                count *= _length(child)
        if count * max(1, element.size) > _MAXIMUM_ELEMENTS:
            return _opaque(count * element.size, element.alignment)
        if not count or not element.size:
            return Layout("", 0, element.alignment)
        codes = element.codes if len(element.codes) == 1 else f"({element.codes})"
        return Layout(f"{count}{codes}", count * element.size, element.alignment)

    def _union(self, entry: DIE, size: int, depth: int) -> Layout:
        inside = [
            self.type_of(child, depth + 1)
            for child in entry.iter_children()
            if child.tag == "DW_TAG_member"
        ]
        return _opaque(size, max((each.alignment for each in inside), default=1))

    def _members(self, entry: DIE, depth: int) -> tuple[Layout, tuple[Member, ...]]:
        """The codes of all members, where these give the size that the compiler says.

        Bit fields, and members in the padding of a base, have no codes: the struct is then given
        as so many numbers of its alignment.
        """
        size, alignment = _number(entry, "DW_AT_byte_size"), 1
        members: list[Member] = []
        codes: list[str] = []
        expressible = True
        for child in entry.iter_children():
            is_base = child.tag == "DW_TAG_inheritance"
            if not is_base and child.tag != "DW_TAG_member":
                continue
            offset = _offset(child)
            if offset is None:  # static, or a virtual base
                continue
            layout = self.type_of(child, depth + 1)
            members.append(
                Member("(base)" if is_base else _text(child, "DW_AT_name"), offset, layout.size)
            )
            alignment = max(alignment, layout.alignment)
            if is_base and layout.size == 1 and layout.codes == "b":
                continue  # an empty base takes nothing
            expressible &= "DW_AT_bit_size" not in child.attributes
            expressible &= offset == align_up(self._end(codes), layout.alignment)
            is_struct = len(layout.codes) > 1 and not layout.codes[:-1].isdigit()
            codes.append(f"({layout.codes})" if is_struct else layout.codes)
        text = _joined(codes) or ("b" if size == 1 else "")
        if expressible and self.abi.size_of(text) == size:
            return Layout(text, size, self.abi.align_of(text)), tuple(members)
        alignment = min(8, max(alignment, _number(entry, "DW_AT_alignment")))
        return _opaque(size, alignment), tuple(members)

    def _end(self, codes: list[str]) -> int:
        """Where the members so far end, the padding behind the last left out."""
        if not codes:
            return 0
        text = "".join(codes)
        # One byte more tells where the last member ends.
        alignment = self.abi.align_of(text)
        padded, longer = self.abi.size_of(text), self.abi.size_of(text + "b")
        if longer > padded:
            return padded
        for missing in range(1, alignment):
            if self.abi.size_of(f"{text}{missing + 1}b") > padded:
                return padded - missing
        return padded


def _joined(codes: list[str]) -> str:
    """The codes with equal neighbors taken together: ``iii`` is ``3i``."""
    parts: list[tuple[int, str]] = []
    for code in codes:
        match = re.fullmatch(r"(\d*)(\w)", code)
        count, kind = (int(match[1] or 1), match[2]) if match else (1, code)
        if match and parts and parts[-1][1] == kind:
            parts[-1] = (parts[-1][0] + count, kind)
        elif code:
            parts.append((count, kind))
    return " ".join(f"{count if count > 1 else ''}{kind}" for count, kind in parts)


def _opaque(size: int, alignment: int) -> Layout:
    """So many bytes of which nothing but size and alignment is said."""
    if alignment not in _CODES or size % alignment:
        alignment = 1
    count = size // alignment
    code = _CODES[alignment]
    return Layout(f"{count if count != 1 else ''}{code}" if count else "", size, alignment)


def _text(entry: DIE, attribute: str) -> str:
    value = entry.attributes.get(attribute)
    if value is None or not isinstance(value.value, bytes):
        return ""
    return value.value.decode("utf-8", "replace")


def _number(entry: DIE, attribute: str) -> int:
    value = entry.attributes.get(attribute)
    if value is None or not isinstance(value.value, int):
        return 0
    if not 0 <= value.value < 1 << 32:
        raise ValueError(f"a type of {value.value} bytes")
    return value.value


def _length(subrange: DIE) -> int:
    """The elements of one dimension; none where it is open."""
    count = subrange.attributes.get("DW_AT_count")
    if count is not None:
        return _number(subrange, "DW_AT_count")
    bound = subrange.attributes.get("DW_AT_upper_bound")
    if bound is None or not isinstance(bound.value, int) or not 0 <= bound.value < 1 << 32:
        return 0
    return bound.value + 1


def _offset(member: DIE) -> int | None:
    """Where a member begins: a number, or in DWARF 2 an expression that adds one."""
    if "DW_AT_external" in member.attributes or "DW_AT_const_value" in member.attributes:
        return None
    value = member.attributes.get("DW_AT_data_member_location")
    if value is None:
        if "DW_AT_data_bit_offset" in member.attributes:
            return _number(member, "DW_AT_data_bit_offset") // 8
        return 0 if member.tag == "DW_TAG_member" and "DW_AT_type" in member.attributes else None
    if isinstance(value.value, int):
        return value.value
    operation, *rest = value.value or [0]
    if operation != 0x23 or not rest:  # DW_OP_plus_uconst
        return None
    number = 0
    for position, byte in enumerate(rest[:5]):
        number |= (byte & 0x7F) << 7 * position
    return number


def _first(unit: Any) -> int:
    return int(unit.cu_die_offset if hasattr(unit, "cu_die_offset") else unit.tu_die_offset)


def _end_of(unit: Any) -> int:
    start = unit.cu_offset if hasattr(unit, "cu_offset") else unit.tu_offset
    return int(start + unit.size)


def _sibling(entry: DIE, unit: Any) -> int | None:
    value = entry.attributes.get("DW_AT_sibling")
    if value is None or value.form not in _SIBLINGS:
        return None
    start = unit.cu_offset if hasattr(unit, "cu_offset") else unit.tu_offset
    return int(value.value) + int(start)


def _sections(content: bytes, elf: ELFFile) -> dict[str, bytes]:
    """The sections that tell of types, by name without the dot, unpacked."""
    headers = section_headers(elf)
    found = {}
    for name, header in zip(section_names(content, elf, headers), headers, strict=True):
        short = name.removeprefix(".").replace("zdebug_", "debug_", 1)
        if short not in _SECTIONS or header["sh_type"] == "SHT_NOBITS":
            continue
        if header["sh_size"] > _MAXIMUM_SECTION_BYTES:
            raise ValueError(f"{name} is larger than 256 MB")
        data = section_bytes(content, header)
        if header["sh_flags"] & _COMPRESSED:
            data = _unpacked(data[12 if elf.elfclass == 32 else 24 :], name)
        elif data[:4] == b"ZLIB":
            data = _unpacked(data[12:], name)
        endless = _ENDLESS_NAME if "str" in short and "offsets" not in short else _ENDLESS_NUMBER
        if endless.search(data):
            raise ValueError(f"{name} holds a number or a name without an end")
        found[short] = data
    return found


def _unpacked(data: bytes, name: str) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(data, _MAXIMUM_SECTION_BYTES)
    except zlib.error as error:
        raise ValueError(f"{name} is not packed with zlib") from error
    if not decompressor.eof:
        raise ValueError(f"{name} is truncated, or larger than 256 MB")
    return content


def _information(elf: ELFFile, sections: Mapping[str, bytes]) -> DWARFInfo:
    """pyelftools' reader over these sections: its own way there parses others on sight."""
    from elftools.dwarf.dwarfinfo import DebugSectionDescriptor
    from elftools.dwarf.dwarfinfo import DwarfConfig
    from elftools.dwarf.dwarfinfo import DWARFInfo

    def described(name: str) -> DebugSectionDescriptor | None:
        data = sections.get(name)
        if data is None:
            return None
        return DebugSectionDescriptor(io.BytesIO(data), name, 0, len(data), 0)

    config = DwarfConfig(elf.little_endian, elf.get_machine_arch(), elf.elfclass // 8)
    names = (*_SECTIONS, *_OTHER_SECTIONS)
    given = {f"{name}_sec": described(name) for name in names}
    return DWARFInfo(config, **given, gnu_debugaltlink_sec=None)


def _holds_one_of(
    wanted: Collection[str], sections: Mapping[str, bytes], *, little_endian: bool
) -> Callable[[int, int], bool]:
    """Whether the bytes of a unit refer to one of the names, or hold it; by looking at bytes alone.

    A name lies in .debug_str, where linkers let it be the end of a longer one, or in the unit.
    Where a table of offsets stands between (as Clang writes it), every unit may.
    """
    information = sections.get("debug_info", b"")
    if "debug_str_offsets" in sections:
        return lambda _start, _end: True
    strings = sections.get("debug_str", b"")
    names = "|".join(re.escape(name) for name in sorted(wanted))
    pattern = re.compile(rf"(?:{names})(?=[<\0])".encode())
    order = "<" if little_endian else ">"
    references = [struct.pack(f"{order}I", each.start()) for each in pattern.finditer(strings)]
    places = [pattern, *([re.compile(b"|".join(map(re.escape, references)))] if references else [])]
    return lambda start, end: any(each.search(information, start, end) for each in places)
