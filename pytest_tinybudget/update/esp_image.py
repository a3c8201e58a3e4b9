"""The application image that ``esptool elf2image`` makes for an ESP chip, and how large it can get.

The chip maps flash in pages, so what is mapped (constants, DROM, and code, IROM) lies in the image
at an offset that agrees with its address modulo the page. What is loaded into RAM fills the gap
before it, zeros the rest. So a model that grows by some bytes may cost a page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


#: What the image is padded for: nothing, the ESP32's first Secure Boot, or Secure Boot v2.
SecurePad = Literal["", "1", "2"]

#: A page of the flash MMU, bytes, unless chip and application have another.
PAGE_BYTES = 64 * 1024

_HEADER_BYTES, _SEGMENT_HEADER_BYTES, _MOST_SEGMENTS = 24, 8, 16
#: ESP-IDF's linker scripts begin what is mapped at this offset in a page: behind both headers.
_MAPPED_OFFSET = 0x20
#: The checksum ends a block of 16 bytes, and the SHA-256 of all follows.
_BLOCK_BYTES, _DIGEST_BYTES = 16, 32
_LARGEST_SEGMENT_BYTES = 1 << 24
#: ``ESP32``: a mapped segment that ends less than this behind a page is filled up to it, since the
#: boot loader did not map the last page (esptool, ``save_flash_segment``).
_LEAST_IN_A_PAGE = 0x24
#: What is signed: version and signature of the first Secure Boot, 12 B of filling with it; the
#: sector of the second, behind the page.
_SIGNATURE_BYTES: dict[SecurePad, int] = {"": 0, "1": 4 + 64, "2": 4096}
_BEHIND_CHECKSUM: dict[SecurePad, int] = {"": 0, "1": _DIGEST_BYTES + 4 + 64 + 12, "2": 32}

_IN_IMAGE = ("SHT_PROGBITS", "SHT_INIT_ARRAY", "SHT_FINI_ARRAY", "SHT_PREINIT_ARRAY")
_DESCRIPTION, _BOOT_DESCRIPTION = ".flash.appdesc", ".dram0.bootdesc"
#: ``esp_app_desc_t``: its magic word, and where it has the page's size as a power of two.
_DESCRIPTION_MAGIC, _PAGE_OFFSET, _DESCRIPTION_BYTES = 0xABCD5432, 180, 256
_CODE, _CONSTANTS = ".flash.text", ".flash.rodata"
#: Alignment of a model's array; what lies behind it moves by multiples of at most this.
_ARRAY_ALIGNMENT = 16


class Section(Struct, frozen=True):
    """A section of the ELF that is in the image: ``size`` bytes for ``address``."""

    name: str
    address: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + self.size


class Chip(Struct, frozen=True):
    """What esptool knows of a chip: address ranges of mapped flash and of memories by name.

    ``pages`` are the sizes that a page can have, empty where it has 64 KB.
    """

    mcu: str
    mapped: tuple[tuple[int, int], ...]
    pages: tuple[int, ...]
    memory: tuple[tuple[int, int, str], ...]

    def is_mapped(self, address: int) -> bool:
        """Whether flash is mapped there."""
        return any(start <= address < end for start, end in self.mapped)

    def memories(self, address: int) -> list[str]:
        """Names of the memories at ``address``."""
        return [name for start, end, name in self.memory if start <= address < end]


class EspImage(Struct, frozen=True):
    """An image, signature included: ``bytes`` in all, of which ``padding`` are zeros for pages.

    ``gaps`` are the bytes between each mapped segment and the next: how far it can grow for free.
    """

    bytes: int
    padding: int
    segments: int
    gaps: tuple[tuple[str, int], ...]


class EspElf(Struct, frozen=True):
    """An application's ELF: its sections in order, and the models that it holds.

    ``models`` are the contents of their arrays and ``constants`` the name of the section of the
    first. ``has_tflm`` is whether a symbol of TFLM is in it.
    """

    label: str
    chip: Chip
    page: int
    sections: tuple[Section, ...]
    models: tuple[bytes, ...]
    constants: str
    has_tflm: bool


class Change(Struct, frozen=True):
    """What another firmware has more than an ELF: bytes of models, and least and most of code.

    Which of the code's bytes are constants is not known. The models' bytes are right to ``slack``
    bytes, by what lies behind their arrays.
    """

    model: int
    least_code: int = 0
    most_code: int = 0
    slack: int = 0


class SizeRange(Struct, frozen=True):
    """An image's size, least and most bytes, and the padding in the largest."""

    least: int
    most: int
    padding: int


def chip_of(mcu: str) -> Chip | None:
    """The chip of a board with ``mcu``, such as ``"ESP32-S3"``; ``None``: no such chip is known."""
    return _chips().get(mcu.upper().strip())


def known_chips() -> tuple[str, ...]:
    """The chips whose images are known, as ``Board.mcu`` names them."""
    return tuple(_chips())


def bounds(contents: int, secure_pad: SecurePad, page: int = PAGE_BYTES) -> SizeRange:
    """The image of ``contents`` bytes in sections that nobody knows.

    The upper end has as many segments as there can be, and a page of zeros between the two that
    are mapped, and more where the first ends less than ``_MAPPED_OFFSET`` behind a page.
    """
    headers = _MOST_SEGMENTS * _SEGMENT_HEADER_BYTES + 2 * _LEAST_IN_A_PAGE
    padding = page + _MAPPED_OFFSET
    least = _finished(_HEADER_BYTES + _SEGMENT_HEADER_BYTES + contents, secure_pad, page)
    most = _finished(_HEADER_BYTES + contents + headers + padding, secure_pad, page)
    return SizeRange(least, most, padding)


def image_of(
    sections: Sequence[Section], chip: Chip, page: int = PAGE_BYTES, secure_pad: SecurePad = ""
) -> EspImage:
    """The image that ``esptool elf2image`` makes of ``sections``, in their order in the ELF.

    Raises:
        TinybudgetError: esptool makes none: two mapped segments in a page, or too many.
    """
    segments = _merged(sections, chip)
    if len(segments) > _MOST_SEGMENTS:
        raise TinybudgetError(f"{len(segments)} segments, and an image has at most 16")
    by_address = sorted(segments, key=lambda each: each.address)
    mapped = _first([each for each in by_address if chip.is_mapped(each.address)], _DESCRIPTION)
    loaded = _first(
        [each for each in by_address if not chip.is_mapped(each.address)], _BOOT_DESCRIPTION
    )
    _check_pages(mapped, page)
    return _Writer(page, chip.mcu == "ESP32").image(mapped, loaded, secure_pad)


class _Writer:
    """Where the next segment goes: ``ESP32FirmwareImage.save`` of esptool, without the bytes."""

    def __init__(self, page: int, fills_pages: bool) -> None:
        self.page = page
        self.fills_pages = fills_pages
        self.position = _HEADER_BYTES
        self.padding = self.count = 0

    def image(
        self, mapped: Sequence[Section], loaded: Sequence[Section], secure_pad: SecurePad
    ) -> EspImage:
        sizes = [each.size for each in loaded]
        gaps = []
        for segment in mapped:
            start = self.position
            while gap := self._gap_before(segment):
                self._fill(gap, sizes)
            gaps.append(self.position - start)
            self._write_mapped(segment)
        for size in sizes:
            self._write(size)
        names = [each.name for each in mapped]
        behind = tuple(zip(names, gaps[1:], strict=False))
        whole = _finished(self.position, secure_pad, self.page)
        count = self.count + bool(secure_pad)
        return EspImage(whole, self.padding, count, behind)

    def _gap_before(self, segment: Section) -> int:
        """Bytes of data that a segment before ``segment`` must have; 0 where none is needed."""
        behind = segment.address % self.page - _SEGMENT_HEADER_BYTES
        gap = self.page - self.position % self.page + behind
        if gap in (0, self.page):
            return 0
        gap -= _SEGMENT_HEADER_BYTES
        return gap + self.page if gap < 0 else gap

    def _fill(self, gap: int, sizes: list[int]) -> None:
        """Write what is loaded into RAM, as far as it goes, else zeros."""
        if not sizes or gap <= _SEGMENT_HEADER_BYTES:
            self.padding += gap + _SEGMENT_HEADER_BYTES
            self._write(gap)
            return
        taken = min(gap, sizes[0])
        self._write(taken)
        sizes[0] -= taken
        if not sizes[0]:
            sizes.pop(0)

    def _write_mapped(self, segment: Section) -> None:
        size = segment.size
        if self.fills_pages:
            behind = (self.position + size + _SEGMENT_HEADER_BYTES) % self.page
            size += max(0, _LEAST_IN_A_PAGE - behind)
        self._write(size)

    def _write(self, size: int) -> None:
        if size >= _LARGEST_SEGMENT_BYTES:
            raise TinybudgetError(f"a segment of {size:,} B, and 16 MB are too many")
        self.position += _SEGMENT_HEADER_BYTES + size
        self.count += 1


def _finished(position: int, secure_pad: SecurePad, page: int) -> int:
    """Bytes of an image whose segments end at ``position``: padded, checked and signed."""
    behind = _BEHIND_CHECKSUM[secure_pad]
    if secure_pad:
        position += _SEGMENT_HEADER_BYTES
        position += -(position + _BLOCK_BYTES + behind) % page
    whole = position - position % _BLOCK_BYTES + _BLOCK_BYTES + _DIGEST_BYTES
    return whole + _SIGNATURE_BYTES[secure_pad]


def _merged(sections: Sequence[Section], chip: Chip) -> list[Section]:
    """The segments: sections that follow each other in one memory are one."""
    segments: list[Section] = []
    before = None
    for section in sections:
        joins = (
            before is not None
            and before.end == section.address
            and chip.memories(before.address) == chip.memories(section.address)
        )
        if joins:
            size = segments[-1].size + section.size
            segments[-1] = replace(segments[-1], size=size)
        else:
            segments.append(section)
        before = section
    return segments


def _first(segments: list[Section], name: str) -> list[Section]:
    """``segments``, the one called ``name`` before the others."""
    return sorted(segments, key=lambda each: each.name != name)


def _check_pages(mapped: Sequence[Section], page: int) -> None:
    for before, segment in pairwise(mapped):
        if before.address // page == segment.address // page:
            raise TinybudgetError(
                f"{printable(segment.name)} at {segment.address:#010x} lies in the page of "
                f"{printable(before.name)} at {before.address:#010x}: esptool makes no image"
            )


def read_application(path: Path, label: str, mcu: str, model_symbols: Sequence[str]) -> EspElf:
    """The application in the ELF at ``path``, for the chip ``mcu``; errors call it ``label``.

    Raises:
        TinybudgetError: it cannot be read, is of another chip, or has no array that is named.
    """
    chip = chip_of(mcu)
    if chip is None:
        raise TinybudgetError(
            f"{label}: how an image is laid out is known for {', '.join(known_chips())}, not for "
            f"{printable(mcu) or 'a board without mcu'}"
        )
    from pytest_tinybudget.toolchain.elf import damage_told
    from pytest_tinybudget.toolchain.elf import open_elf
    from pytest_tinybudget.toolchain.elf import section_headers
    from pytest_tinybudget.toolchain.elf import section_names
    from pytest_tinybudget.toolchain.firmware import model_arrays
    from pytest_tinybudget.toolchain.firmware import read_firmware

    firmware = replace(read_firmware(path), label=label)
    content = firmware.content
    with damage_told(label):
        elf = open_elf(content)
        if elf.elfclass != 32 or firmware.machine not in ("EM_XTENSA", "EM_RISCV"):
            raise ValueError("neither Xtensa nor 32-bit RISC-V")
        headers = section_headers(elf)
        named = list(zip(section_names(content, elf, headers), headers, strict=True))
        sections = tuple(_sections(named))
        page = _page(content, named, chip)
    for name in (_CODE, _CONSTANTS):
        if not any(each.name == name and chip.is_mapped(each.address) for each in sections):
            raise TinybudgetError(
                f"{label}: no section {name} where {chip.mcu} maps flash: give the ELF of an "
                "ESP-IDF application for this chip"
            )
    arrays = model_arrays(firmware, model_symbols=model_symbols)
    offsets = [firmware.file_offset(array.address) for array in arrays]
    models = tuple(
        content[offset : offset + array.bytes]
        for array, offset in zip(arrays, offsets, strict=True)
        if offset is not None
    )
    holding = (
        each.name for each in sections if arrays and each.address <= arrays[0].address < each.end
    )
    return EspElf(
        label=label,
        chip=chip,
        page=page,
        sections=sections,
        models=models,
        constants=next(holding, _CONSTANTS),
        has_tflm=any("6tflite" in symbol.name for symbol in firmware.symbols),
    )


def _sections(named: Iterable[tuple[str, Any]]) -> Iterator[Section]:
    """What esptool takes into an image: content with an address, in whole words."""
    for name, header in named:
        size = header["sh_size"]
        if header["sh_addr"] and size and header["sh_type"] in _IN_IMAGE:
            if size >= _LARGEST_SEGMENT_BYTES:
                raise ValueError(f"a section of {size:,} B, and 16 MB are too many")
            yield Section(name, header["sh_addr"], -(-size // 4) * 4)


def _page(content: bytes, named: Iterable[tuple[str, Any]], chip: Chip) -> int:
    """The page that elf2image takes: as the application's description has it, or its address."""
    found = next(((name, header) for name, header in named if _DESCRIPTION in name), None)
    if found is None or not chip.pages or not chip.is_mapped(found[1]["sh_addr"]):
        return PAGE_BYTES
    from pytest_tinybudget.toolchain.elf import section_bytes

    described = section_bytes(content, found[1])
    if len(described) < _DESCRIPTION_BYTES:
        raise ValueError(f"{_DESCRIPTION} has less than {_DESCRIPTION_BYTES} bytes")
    if int.from_bytes(described[:4], "little") != _DESCRIPTION_MAGIC:
        return PAGE_BYTES
    power = described[_PAGE_OFFSET]
    if power:
        if 1 << min(power, 32) not in chip.pages:
            raise ValueError(f"{_DESCRIPTION} names a page that {chip.mcu} does not have")
        return 1 << power
    start = found[1]["sh_addr"] - _HEADER_BYTES - _SEGMENT_HEADER_BYTES
    fitting = (page for page in sorted(chip.pages, reverse=True) if start % page == 0)
    return next(fitting, PAGE_BYTES)


def changed_image(elf: EspElf, change: Change, secure_pad: SecurePad) -> SizeRange:
    """The image of ``elf`` with ``change``; one size where nothing changes.

    Raises:
        TinybudgetError: esptool makes no image of it.
    """
    now = image_of(elf.sections, elf.chip, elf.page, secure_pad)
    if change == Change(0):
        return SizeRange(now.bytes, now.bytes, now.padding)
    model, slack = change.model, change.slack
    least = min(each.bytes for each in _images(elf, model - slack, change.least_code, secure_pad))
    images = _images(elf, model + slack, change.most_code, secure_pad)
    most = max(images, key=lambda image: image.bytes)
    return SizeRange(least, most.bytes, most.padding)


def model_change(before: Sequence[bytes], after: Sequence[bytes]) -> Change:
    """What ``after``, the models of a firmware, has more than ``before``."""
    model = sum(map(len, after)) - sum(map(len, before))
    if len(before) == len(after):
        pairs = zip(sorted(before, key=len), sorted(after, key=len), strict=True)
        moved = sum((len(new) - len(old)) % _ARRAY_ALIGNMENT != 0 for old, new in pairs)
    else:
        moved = max(len(before), len(after))
    return Change(model, slack=moved * _ARRAY_ALIGNMENT)


def _images(elf: EspElf, model: int, code: int, secure_pad: SecurePad) -> Iterator[EspImage]:
    """Images with ``model`` bytes more, and ``code`` bytes more of which any share is constants.

    With more constants the image grows in jumps, where they begin a page, and shrinks between:
    both sides of each jump are tried, and both ends.
    """
    behind = dict(image_of(elf.sections, elf.chip, elf.page).gaps)
    first, last = model + min(0, code), model + max(0, code)
    tried = {first, last}
    for gap in behind.values():
        for jump in range(gap - (gap - first) // elf.page * elf.page, last + 1, elf.page):
            tried |= {jump + step for step in range(-32, 36, 4)}
    for constants in sorted(tried):
        if first <= constants <= last:
            sections = _grown(elf.sections, elf.constants, constants)
            sections = _grown(sections, _CODE, model + code - constants)
            yield image_of(_apart(sections, elf.chip, elf.page), elf.chip, elf.page, secure_pad)


def _grown(sections: Sequence[Section], name: str, by: int) -> tuple[Section, ...]:
    """``sections``, the one called ``name`` by so many bytes longer; what follows it moves."""
    by = -(-by // 4) * 4
    grown: list[Section] = []
    moved = end = None
    for section in sections:
        if moved is not None and section.address == end:
            end = section.end
            section = replace(section, address=section.address + moved)
        elif section.name == name:
            by = max(by, 4 - section.size)
            moved, end = by, section.end
            section = replace(section, size=section.size + by)
        grown.append(section)
    return tuple(grown)


def _apart(sections: Sequence[Section], chip: Chip, page: int) -> tuple[Section, ...]:
    """``sections``, mapped ones that have grown into each other moved on by whole pages.

    So the linker scripts do where constants follow code; offsets in pages stay.
    """
    moved = {}
    shift = end = 0
    for section in sorted(sections, key=lambda each: each.address):
        if not chip.is_mapped(section.address):
            continue
        address = section.address + shift
        if end and address != end and address // page <= (end - 1) // page:
            more = ((end - 1) // page + 1 - address // page) * page
            shift += more
            address += more
        moved[section] = address
        end = address + section.size
    return tuple(replace(each, address=moved.get(each, each.address)) for each in sections)


@cache
def _chips() -> dict[str, Chip]:
    content = json.loads((Path(__file__).parent / "data" / "esp_chips.json").read_text("utf-8"))
    return {
        mcu: Chip(
            mcu,
            tuple((int(start, 16), int(end, 16)) for start, end in each["mapped"]),
            tuple(each["pages"]),
            tuple((int(start, 16), int(end, 16), name) for start, end, name in each["memory"]),
        )
        for mcu, each in content["chips"].items()
    }
