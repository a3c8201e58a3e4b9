"""Build attributes: what compilers write into object files of what the code was compiled for."""

from __future__ import annotations

import struct

from pytest_tinybudget.toolchain.elf import ElfFormat


#: The tag of RISC-V's instruction set, as text (RISC-V ELF psABI, "Attributes").
_TAG_RISCV_ARCH = 5
_TAG_FILE = 1


def build_attributes(data: bytes, layout: ElfFormat) -> dict[int, int]:
    """The numbers in an Arm build attributes section, by tag.

    Source: Addenda to the ABI for the Arm Architecture, section 3.
    """
    return _read(data, layout, b"aeabi")[0]


def riscv_architecture(data: bytes, layout: ElfFormat) -> str:
    """The instruction set that a RISC-V attributes section names (``rv32i2p1_m2p0_c2p0``)."""
    return _read(data, layout, b"riscv")[1].get(_TAG_RISCV_ARCH, "")


def _read(data: bytes, layout: ElfFormat, vendor: bytes) -> tuple[dict[int, int], dict[int, str]]:
    """Numbers and texts of one vendor that hold for the whole file."""
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    position = 1
    while position + 5 < len(data):
        (length,) = struct.unpack_from(layout.order + "I", data, position)
        end = min(position + length, len(data))
        vendor_end = data.find(b"\0", position + 4, end)
        if length < 6 or vendor_end < 0:
            break
        if data[position + 4 : vendor_end] == vendor and data[vendor_end + 1] == _TAG_FILE:
            _file_attributes(data[vendor_end + 6 : end], numbers, texts, arm=vendor == b"aeabi")
        position = end
    return numbers, texts


def _file_attributes(
    data: bytes, numbers: dict[int, int], texts: dict[int, str], *, arm: bool
) -> None:
    position = 0
    while position < len(data):
        tag, position = _uleb128(data, position)
        is_text = (tag in (4, 5) or (tag > 32 and tag % 2 == 1)) if arm else tag % 2 == 1
        has_both = arm and tag == 32
        if has_both or not is_text:
            numbers[tag], position = _uleb128(data, position)
        if has_both or is_text:
            end = data.index(b"\0", position)
            texts[tag] = data[position:end].decode("latin-1")
            position = end + 1


def _uleb128(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80 or shift > 63:
            return value, position
