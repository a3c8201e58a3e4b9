"""The model as a C array: header and source, above 1 MB also an assembler file that builds fast.

Names follow TFLM's examples: ``g_NAME_model_data`` and ``g_NAME_model_data_size``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.names import c_identifier


Language = Literal["c++", "c"]

#: Above this the array takes the compiler seconds and hundreds of megabytes (4 MB: 10 s, 502 MB
#: with GCC 12), while an ``.incbin`` takes 0.02 s.
_INCBIN_FROM_BYTES = 1024**2

_BYTES_PER_LINE = 16
_LINES_PER_BLOCK = 1024
_BLANK = b"0x00,"
_BLANK_LINE = _BLANK * _BYTES_PER_LINE + b"\n"

_HEADER = """\
/* {title}: the model as a C array. Written by pytest-tinybudget, do not edit.
 * {size} bytes, sha256 {sha256} */
#ifndef {guard}_MODEL_DATA_H_
#define {guard}_MODEL_DATA_H_

#ifdef __cplusplus
extern "C" {{
#endif

/* The .tflite file, aligned to 16 bytes, in read-only memory. */
extern const unsigned char g_{name}_model_data[];

#ifdef __cplusplus
}}  /* extern "C" */

constexpr unsigned int g_{name}_model_data_size = {size};
#else
enum {{ g_{name}_model_data_size = {size} }};
#endif

#endif  /* {guard}_MODEL_DATA_H_ */
"""

_SOURCE_TOP = """\
/* {title}: the model as a C array. Written by pytest-tinybudget, do not edit. */
#include "{name}_model_data.h"

"""

_C_ALIGNAS = "#include <stdalign.h>\n\n"

_UNLESS_INCBIN = """\
/* With TINYBUDGET_INCBIN defined, {name}_model_data.S provides the array. */
#ifndef TINYBUDGET_INCBIN

"""

_ASSEMBLER = """\
/* {title}: the model by .incbin, which builds at once where the array takes seconds.
 * Written by pytest-tinybudget, do not edit. Build this and the array with -DTINYBUDGET_INCBIN
 * and give the assembler the folder of the .tflite file with -I. */
#ifdef TINYBUDGET_INCBIN
    .section .rodata.g_{name}_model_data, "a"
    .balign 16
    .global g_{name}_model_data
    .type g_{name}_model_data, %object
g_{name}_model_data:
    .incbin "{name}_model_data.tflite"
    .size g_{name}_model_data, . - g_{name}_model_data
#endif
"""


def render_array(model: Model, name: str, language: Language = "c++") -> dict[str, bytes]:
    """Header and source of the array by file name; ``name`` may be any model name."""
    identifier = c_identifier(name)
    words = {
        "title": comment_text(name),
        "name": identifier,
        "guard": identifier.upper(),
        "size": len(model.content),
        "sha256": model.sha256,
    }
    by_incbin = len(model.content) > _INCBIN_FROM_BYTES
    stem = f"{identifier}_model_data"
    top = "".join(
        (
            _SOURCE_TOP.format_map(words),
            _C_ALIGNAS if language == "c" else "",
            _UNLESS_INCBIN.format_map(words) if by_incbin else "",
            f"alignas(16) const unsigned char g_{stem}[] = {{\n",
        )
    )
    bottom = "};\n" + ("\n#endif  /* TINYBUDGET_INCBIN */\n" if by_incbin else "")
    source: list[bytes | bytearray] = [top.encode("ascii"), *_initialiser(model.content)]
    source.append(bottom.encode("ascii"))
    files = {
        f"{stem}.h": _HEADER.format_map(words).encode("ascii"),
        f"{stem}.{'c' if language == 'c' else 'cc'}": b"".join(source),
    }
    if by_incbin:
        files[f"{stem}.S"] = _ASSEMBLER.format_map(words).encode("ascii")
        files[f"{stem}.tflite"] = model.content
    return files


def _initialiser(content: bytes) -> Iterator[bytearray]:
    """Hexadecimal bytes, sixteen a line, in blocks of lines.

    A block is a blank form into which each column's digits are put by one strided copy, which
    runs in C; blocks that fit the processor's cache make that several times faster than one copy
    over everything.
    """
    block = _LINES_PER_BLOCK * _BYTES_PER_LINE
    for start in range(0, len(content), block):
        digits = content[start : start + block].hex().encode("ascii")
        size = len(digits) // 2
        lines = bytearray(_BLANK_LINE * -(-size // _BYTES_PER_LINE))
        for column in range(min(_BYTES_PER_LINE, size)):
            rows = -(-(size - column) // _BYTES_PER_LINE)
            for digit in (0, 1):
                at = column * len(_BLANK) + len("0x") + digit
                lines[at : rows * len(_BLANK_LINE) : len(_BLANK_LINE)] = digits[
                    2 * column + digit :: 2 * _BYTES_PER_LINE
                ]
        missing = -size % _BYTES_PER_LINE
        if missing:
            lines[-missing * len(_BLANK) - 1 :] = b"\n"
        yield lines
