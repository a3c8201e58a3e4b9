"""C data layout on a target: pointer width and enumeration width decide struct sizes."""

from __future__ import annotations

from functools import cache

from msgspec import Struct


class Abi(Struct, frozen=True):
    """A C ABI as far as TFLM's structs depend on it.

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
