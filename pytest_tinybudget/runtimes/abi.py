"""Targets of a compiler: the layout of C data, and the processor cores.

Pointer width and enumeration width decide struct sizes; the instruction set decides where code
runs.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from msgspec import Struct


class Abi(Struct, frozen=True):
    """A C ABI, as far as the sizes of TFLM's structs depend on it.

    ``enum_bytes`` is 1 with ``-fshort-enums`` (arm-none-eabi) and 4 elsewhere.
    """

    name: str
    pointer_bytes: int
    enum_bytes: int

    def size_of(self, layout: str) -> int:
        """Bytes of a C struct given as a string of member codes, padding included.

        Codes: ``b`` 1 byte, ``h`` 2, ``i`` 4 (int32_t, int, float), ``q`` 8 (int64_t, double),
        ``p`` pointer or size_t, ``e`` enumeration; a number repeats the code after it
        (``"3i"``); parentheses nest a struct. Blanks are ignored. ``""`` has size 0.
        """
        return _layout(layout.replace(" ", ""), self.pointer_bytes, self.enum_bytes)[0]

    def align_of(self, layout: str) -> int:
        """Alignment of the struct that ``size_of`` measures (1 for an empty one)."""
        return _layout(layout.replace(" ", ""), self.pointer_bytes, self.enum_bytes)[1]


#: The most that one struct may hold, and how deep others may lie in it: TFLM's have 21 members,
#: two levels and tables of 256.
_MOST_COUNTED, _DEEPEST, _LARGEST_STRUCT = 1 << 16, 8, 1 << 20


def is_layout(text: str) -> bool:
    """Whether ``text`` is a layout (``Abi.size_of``), of a size that a struct may have."""
    depth = 0
    rest = text.replace(" ", "")
    while rest:
        match = re.match(_PIECE, rest)
        if match is None or int(match["count"] or 1) not in range(1, _MOST_COUNTED + 1):
            return False
        depth += {"(": 1, ")": -1}.get(match["code"], 0)
        if not 0 <= depth <= _DEEPEST or (match["code"] == ")" and match["count"]):
            return False
        rest = rest[match.end() :]
    is_whole = depth == 0 and bool(text.strip()) and "()" not in text.replace(" ", "")
    return is_whole and X86_64.size_of(text) <= _LARGEST_STRUCT


_PIECE = r"(?P<count>[0-9]{0,5})(?P<code>[bhiqpe()])"


def align_up(value: int, alignment: int) -> int:
    """The smallest multiple of ``alignment`` that is at least ``value``."""
    return -(-value // alignment) * alignment


@cache
def _layout(layout: str, pointer_bytes: int, enum_bytes: int) -> tuple[int, int]:
    sizes = {"b": 1, "h": 2, "i": 4, "q": 8, "p": pointer_bytes, "e": enum_bytes}
    offset, alignment, position = 0, 1, 0
    while position < len(layout):
        start = position
        while layout[position].isdigit():
            position += 1
        count = int(layout[start:position] or "1")
        if layout[position] == "(":
            end, depth = position + 1, 1
            while depth:
                depth += {"(": 1, ")": -1}.get(layout[end], 0)
                end += 1
            size, align = _layout(layout[position + 1 : end - 1], pointer_bytes, enum_bytes)
            position = end
        else:
            size = align = sizes[layout[position]]
            position += 1
        offset = align_up(offset, align) + size * count
        alignment = max(alignment, align)
    return align_up(offset, alignment), alignment


#: arm-none-eabi-gcc: one-byte enumerations.
ARM = Abi("arm-eabi", pointer_bytes=4, enum_bytes=1)
#: RISC-V and Xtensa GCC: four-byte enumerations.
ILP32 = Abi("ilp32", pointer_bytes=4, enum_bytes=4)
#: x86-64 Linux, as the ``tflite-micro`` runtime from the package index is built.
X86_64 = Abi("x86-64", pointer_bytes=8, enum_bytes=4)


class Core(Struct, frozen=True):
    """A processor core as a compiler sees it: the instructions and the data layout of its code.

    Attributes:
        name: what people call it.
        family: code of one family runs on no core of another.
        extensions: parts of the family's instruction set. Code for a core runs on every other
            of the family that has them all.
        abi: the layout of C data in code for it.
        short: its part of a runtime's id, for cores that runtimes are named after.
    """

    name: str
    family: Literal["Arm", "RISC-V", "Xtensa", "x86-64"]
    extensions: tuple[str, ...]
    abi: Abi
    short: str = ""

    def runs_code_for(self, other: Core) -> bool:
        """Whether code that was built for ``other`` runs here."""
        return self.family == other.family and set(other.extensions) <= set(self.extensions)


# Cortex-M by the Armv6-M, v7-M and v8-M architecture manuals. A core's FPU is in its name here
# ("F"): code for one passes floats in its registers, so that it does not run without.
_V6M = ("v6-M",)
_V7M = (*_V6M, "v7-M")
_V7EM = (*_V7M, "DSP")
_V8M = (*_V7EM, "v8-M baseline", "v8-M mainline")
_FPU = ("FPv4",)
_FPU5 = (*_FPU, "FPv5")
_HELIUM = (*_V8M, *_FPU5, "v8.1-M", "MVE")
_RV32IMC = ("RV32IMC",)

#: The cores that runtimes are built for or that boards have, by name.
CORES: dict[str, Core] = {
    core.name: core
    for core in (
        Core("Cortex-M0", "Arm", _V6M, ARM),
        Core("Cortex-M0+", "Arm", _V6M, ARM, "m0plus"),
        Core("Cortex-M3", "Arm", _V7M, ARM),
        Core("Cortex-M4", "Arm", _V7EM, ARM),
        Core("Cortex-M4F", "Arm", (*_V7EM, *_FPU), ARM, "m4"),
        Core("Cortex-M7F", "Arm", (*_V7EM, *_FPU5), ARM, "m7"),
        Core("Cortex-M23", "Arm", (*_V6M, "v8-M baseline"), ARM),
        Core("Cortex-M33", "Arm", _V8M, ARM),
        Core("Cortex-M33F", "Arm", (*_V8M, *_FPU5), ARM, "m33"),
        Core("Cortex-M55", "Arm", _HELIUM, ARM, "m55"),
        Core("Cortex-M85", "Arm", _HELIUM, ARM),
        Core("RV32IMC", "RISC-V", _RV32IMC, ILP32, "rv32imc"),
        Core("RV32IMAC", "RISC-V", (*_RV32IMC, "A"), ILP32),
        Core("RV32IMAFC", "RISC-V", (*_RV32IMC, "A", "F"), ILP32),
        Core(
            "RV32IMAFC with vectors",
            "RISC-V",
            (*_RV32IMC, "A", "F", "ESP32-P4's vectors"),
            ILP32,
            "esp32p4",
        ),
        Core("Xtensa LX6", "Xtensa", ("LX6",), ILP32, "esp32"),
        Core("Xtensa LX7", "Xtensa", ("LX7",), ILP32),
        Core("Xtensa LX7 with vectors", "Xtensa", ("LX7", "ESP32-S3's vectors"), ILP32, "esp32s3"),
        Core("x86-64", "x86-64", ("x86-64",), X86_64, "x86_64"),
    )
}
