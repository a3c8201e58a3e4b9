"""The model as a C array: header and source, above 1 MB also an assembler file that builds fast.

Names follow TFLM's examples: ``g_NAME_model_data`` and ``g_NAME_model_data_size``.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from typing import Literal

from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.files import Content
from pytest_tinybudget.base.files import Pieces
from pytest_tinybudget.base.text import c_identifier
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.placement import Placements


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
{includes}
#ifdef __cplusplus
extern "C" {{
#endif

{declarations}

#ifdef __cplusplus
}}  /* extern "C" */

constexpr unsigned int g_{name}_model_data_size = {size};
#else
enum {{ g_{name}_model_data_size = {size} }};
#endif
{functions}
#endif  /* {guard}_MODEL_DATA_H_ */
"""

_IN_FLASH = """\
/* The .tflite file, aligned to 16 bytes, in read-only memory. */
extern const unsigned char g_{name}_model_data[];"""

_IN_RAM = """\
/* The .tflite file, aligned to 16 bytes, in RAM, which is filled from flash at start. */
extern unsigned char g_{name}_model_data[];"""

_COPIED = """\
/* The .tflite file in read-only memory, and the buffer in external RAM that the interpreter reads,
 * aligned to 16 bytes: call {name}_model_load() before GetModel(). */
extern const unsigned char g_{name}_model_flash[];
extern unsigned char g_{name}_model_data[{size}];"""

_COPY = """
static inline void {name}_model_load(void) {{
  memcpy(g_{name}_model_data, g_{name}_model_flash, {size});
}}
"""

_READ = """\
/* A buffer {where}, aligned to 16 bytes: read {name}_model_data.tflite into it before
 * GetModel(). */
extern unsigned char g_{name}_model_data[{size}];"""

_SOURCE_TOP = """\
/* {title}: the model as a C array. Written by pytest-tinybudget, do not edit. */
#include "{name}_model_data.h"

"""

_C_ALIGNAS = "#include <stdalign.h>\n\n"

_PSRAM = """\
/* TINYBUDGET_PSRAM puts a variable into external RAM. With ESP-IDF that needs
 * CONFIG_SPIRAM_ALLOW_BSS_SEG_EXTERNAL_MEMORY. */
#ifndef TINYBUDGET_PSRAM
#ifdef ESP_PLATFORM
#include "esp_attr.h"
#define TINYBUDGET_PSRAM EXT_RAM_BSS_ATTR
#else
#error "define TINYBUDGET_PSRAM, such as __attribute__((section(\\".psram\\")))"
#endif
#endif

"""

_BUFFER = "{psram}alignas(16) unsigned char g_{name}_model_data[{size}];\n"

_UNLESS_INCBIN = """\
/* With TINYBUDGET_INCBIN defined, {name}_model_data.S provides the array. */
#ifndef TINYBUDGET_INCBIN

"""

_ASSEMBLER = """\
/* {title}: the model by .incbin, which builds at once where the array takes seconds.
 * Written by pytest-tinybudget, do not edit. Build this and the array with -DTINYBUDGET_INCBIN
 * and give the assembler the folder of the .tflite file with -I. */
#ifdef TINYBUDGET_INCBIN
    .section {section}.{symbol}, "{flags}"
    .balign 16
    .global {symbol}
    .type {symbol}, %object
{symbol}:
    .incbin "{name}_model_data.tflite"
    .size {symbol}, . - {symbol}
#endif
"""


def render_array(
    model: Model,
    name: str,
    language: Language = "c++",
    placements: Placements | None = None,
) -> dict[str, Content]:
    """Header and source of the array by file name; ``name`` may be any model name.

    ``placements`` says where the model lies while it runs: one in RAM is an array without
    ``const``; for external RAM there is a buffer, and a function that fills it from flash. Of one
    that is read from elsewhere the buffer is written, and the ``.tflite`` to put there.
    """
    where = placements or Placements()
    identifier = c_identifier(name)
    words = {
        "title": comment_text(name),
        "name": identifier,
        "guard": identifier.upper(),
        "size": len(model.content),
        "sha256": model.sha256,
        "where": "in external RAM" if where.model == "psram" else "in RAM",
        "psram": "TINYBUDGET_PSRAM " if where.model == "psram" else "",
    }
    stem = f"{identifier}_model_data"
    source = partial(_source, model, words, language, where)
    files: dict[str, Content] = {
        f"{stem}.h": _header(words, where).encode("ascii"),
        f"{stem}.{'c' if language == 'c' else 'cc'}": Pieces(source),
    }
    if _is_external(where):
        files |= render_file(model, name)
    elif _is_large(model):
        variable = where.model == "ram"
        words["symbol"] = _stored_symbol(identifier, where)
        words["section"], words["flags"] = (".data", "aw") if variable else (".rodata", "a")
        files[f"{stem}.S"] = _ASSEMBLER.format_map(words).encode("ascii")
        files |= render_file(model, name)
    return files


def render_file(model: Model, name: str) -> dict[str, bytes]:
    """The model's own file by file name, as what the array includes is called."""
    return {f"{c_identifier(name)}_model_data.tflite": model.content}


def _is_external(where: Placements) -> bool:
    """Whether the model comes from outside of the firmware's flash."""
    return where.model != "flash" and where.model_storage == "external"


def _is_large(model: Model) -> bool:
    return len(model.content) > _INCBIN_FROM_BYTES


def _stored_symbol(identifier: str, where: Placements) -> str:
    """The array that holds the model's bytes."""
    return f"g_{identifier}_model_{'flash' if where.model == 'psram' else 'data'}"


def _header(words: Mapping[str, object], where: Placements) -> str:
    declarations, includes, functions = _IN_FLASH, "", ""
    if _is_external(where):
        declarations = _READ
    elif where.model == "ram":
        declarations = _IN_RAM
    elif where.model == "psram":
        declarations, includes, functions = _COPIED, "\n#include <string.h>\n", _COPY
    return _HEADER.format(
        **words,
        includes=includes,
        declarations=declarations.format_map(words),
        functions=functions.format_map(words),
    )


def _source(
    model: Model, words: Mapping[str, object], language: Language, where: Placements
) -> Iterator[bytes | bytearray]:
    top = _SOURCE_TOP.format_map(words) + (_C_ALIGNAS if language == "c" else "")
    if where.model == "psram":
        top += _PSRAM
    if where.model == "psram" or _is_external(where):
        top += _BUFFER.format_map(words)
    if _is_external(where):
        yield top.encode("ascii")
        return
    top += "\n" if where.model == "psram" else ""
    top += _UNLESS_INCBIN.format_map(words) if _is_large(model) else ""
    constant = "" if where.model == "ram" else "const "
    symbol = _stored_symbol(str(words["name"]), where)
    top += f"alignas(16) {constant}unsigned char {symbol}[] = {{\n"
    bottom = "};\n" + ("\n#endif  /* TINYBUDGET_INCBIN */\n" if _is_large(model) else "")
    yield top.encode("ascii")
    yield from _initializer(model.content)
    yield bottom.encode("ascii")


def _initializer(content: bytes) -> Iterator[bytearray]:
    """Hexadecimal bytes, sixteen a line, in blocks of lines.

    A block is a form into which each column's digits are put by one strided copy, which runs in C.
    Blocks that fit the processor's cache make that several times faster than one copy over
    everything, and one form for all of them spares the memory of a second array.
    """
    lines = bytearray()
    block = _LINES_PER_BLOCK * _BYTES_PER_LINE
    for start in range(0, len(content), block):
        digits = content[start : start + block].hex().encode("ascii")
        size = len(digits) // 2
        rows = -(-size // _BYTES_PER_LINE)
        if len(lines) != rows * len(_BLANK_LINE):
            lines = bytearray(_BLANK_LINE * rows)
        for column in range(min(_BYTES_PER_LINE, size)):
            for digit in (0, 1):
                at = column * len(_BLANK) + len("0x") + digit
                taken = digits[2 * column + digit :: 2 * _BYTES_PER_LINE]
                lines[at : len(taken) * len(_BLANK_LINE) : len(_BLANK_LINE)] = taken
        missing = -size % _BYTES_PER_LINE
        if missing:
            lines[-missing * len(_BLANK) - 1 :] = b"\n"
        yield lines
