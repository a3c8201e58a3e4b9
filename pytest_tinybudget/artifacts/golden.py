"""Golden vectors: inputs and the outputs that TFLM gave for them, as a C header and a test program.

The header is plain C11 and C++11 alike. It holds no code, so that a firmware may include it beside
any interpreter.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.artifacts.text import comment_text
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import c_identifier


_NUMBERS_PER_LINE = 16

#: C type and ``struct`` code of an element, by the schema's type.
_C_TYPES = {
    "INT8": ("int8_t", "b"), "UINT8": ("uint8_t", "B"), "BOOL": ("uint8_t", "B"),
    "INT16": ("int16_t", "h"), "UINT16": ("uint16_t", "H"), "INT32": ("int32_t", "i"),
    "UINT32": ("uint32_t", "I"), "INT64": ("int64_t", "q"), "FLOAT32": ("float", "f"),
}  # fmt: skip


class Values(Struct, frozen=True):
    """The contents of one input or output: one ``bytes`` a sample, little-endian."""

    name: str
    type: str
    samples: tuple[bytes, ...]


class Golden(Struct, frozen=True):
    """Golden vectors of a model.

    Attributes:
        name: the model's, as its C array is called.
        sha256: of the model's file.
        origin: the interpreter that gave the outputs, and what the inputs are, a line each.
        inputs: the model's, in its order.
        outputs: the model's, in its order.
        tolerance: how many steps an integer may differ by, from 0.
    """

    name: str
    sha256: str
    origin: tuple[str, ...]
    inputs: tuple[Values, ...]
    outputs: tuple[Values, ...]
    tolerance: int = 0

    @property
    def samples(self) -> int:
        """How many invocations there are."""
        return len(self.outputs[0].samples)


def render_golden(golden: Golden, header: str) -> dict[str, bytes]:
    """The header, called ``header``, and the test program beside it: contents by file name.

    Raises:
        TinybudgetError: a tensor has a type without one in C, or a number is not finite.
    """
    program = f"{header.rpartition('.')[0]}_test.c"
    return {header: render_header(golden), program: render_program(golden, header)}


def render_header(golden: Golden) -> bytes:
    """The header with the arrays.

    Raises:
        TinybudgetError: a tensor has a type without one in C, or a number is not finite.
    """
    name = c_identifier(golden.name)
    text = [
        f"/* {comment_text(golden.name)}: inputs, and the outputs that TFLM gives for them.",
        " * Written by pytest-tinybudget, do not edit.",
        " * The samples follow each other in one interpreter, without a reset.",
        f" * Model: sha256 {golden.sha256}",
        *(f" * {comment_text(line)}" for line in golden.origin),
        " * Define TINYBUDGET_GOLDEN_SECTION to place the arrays, such as",
        ' * __attribute__((section(".extflash"))) or PROGMEM. */',
        f"#ifndef {name.upper()}_GOLDEN_H_",
        f"#define {name.upper()}_GOLDEN_H_",
        "",
        "#include <stdint.h>",
        "",
        "#ifndef TINYBUDGET_GOLDEN_SECTION",
        "#define TINYBUDGET_GOLDEN_SECTION",
        "#endif",
        "#ifdef __cplusplus",
        "#define TINYBUDGET_GOLDEN alignas(16) static const TINYBUDGET_GOLDEN_SECTION",
        "#else",
        "#define TINYBUDGET_GOLDEN _Alignas(16) static const TINYBUDGET_GOLDEN_SECTION",
        "#endif",
        "",
        f"#define {name.upper()}_GOLDEN_SAMPLES {golden.samples}",
        f"#define {name.upper()}_GOLDEN_INPUTS {len(golden.inputs)}",
        f"#define {name.upper()}_GOLDEN_OUTPUTS {len(golden.outputs)}",
        "/* How many steps an integer may differ by. */",
        f"#define {name.upper()}_GOLDEN_TOLERANCE {golden.tolerance}",
    ]
    for kind, every in (("input", golden.inputs), ("output", golden.outputs)):
        for position, values in enumerate(every):
            text += ["", *_array(f"g_{name}_golden_{kind}_{position}", kind, values)]
    text += ["", f"#endif  /* {name.upper()}_GOLDEN_H_ */", ""]
    return "\n".join(text).encode("ascii")


def _array(symbol: str, kind: str, values: Values) -> Iterator[str]:
    c_type, _ = _c_type(values)
    rows = [_numbers(values, content) for content in values.samples]
    yield f"/* {kind} {comment_text(values.name)}, {values.type} */"
    yield f"TINYBUDGET_GOLDEN {c_type} {symbol}[{len(rows)}][{len(rows[0])}] = {{"
    for numbers in rows:
        yield "  {"
        for start in range(0, len(numbers), _NUMBERS_PER_LINE):
            yield "    " + "".join(f"{each}, " for each in numbers[start:][:_NUMBERS_PER_LINE])[:-1]
        yield "  },"
    yield "};"


def _c_type(values: Values) -> tuple[str, str]:
    if values.type not in _C_TYPES:
        raise TinybudgetError(
            f"{values.name}: {values.type} has no type in C: expected integers or FLOAT32"
        )
    return _C_TYPES[values.type]


def _numbers(values: Values, content: bytes) -> list[str]:
    from pytest_tinybudget.artifacts.settings import float_literal

    _, code = _c_type(values)
    count = len(content) // struct.calcsize(code)
    numbers = struct.unpack(f"<{count}{code}", content)
    if code == "f":
        return [float_literal(each) for each in numbers]
    # No literal of C is the least number of 64 bits.
    least = {"q": -(2**63), "i": -(2**31)}.get(code)
    return [f"({each + 1} - 1)" if each == least else str(each) for each in numbers]


_PROGRAM = """\
/* {title}: runs the golden vectors of {header}. Written by pytest-tinybudget, do not edit.
 * Compile it as C11 or C++11 with a file that has these three functions, on a fresh interpreter:
 *   what input and output number i hold, and one invocation, which is 0 where it succeeded. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "{header}"

#ifdef __cplusplus
extern "C" {{
#endif
void* tinybudget_golden_input(int index);
const void* tinybudget_golden_output(int index);
int tinybudget_golden_invoke(void);
#ifdef __cplusplus
}}
#endif

int main(void) {{
  long wrong = 0;
  int sample;
  for (sample = 0; sample < {upper}_GOLDEN_SAMPLES; ++sample) {{
{copies}
    if (tinybudget_golden_invoke() != 0) {{
      printf("golden: sample %d: Invoke() failed\\n", sample);
      return 1;
    }}
{checks}
  }}
  if (wrong != 0) {{
    printf("golden: %ld numbers differ\\n", wrong);
    return 1;
  }}
  printf("golden: %d samples pass\\n", (int){upper}_GOLDEN_SAMPLES);
  return 0;
}}
"""

_COPY = """\
    memcpy(tinybudget_golden_input({position}), g_{name}_golden_input_{position}[sample],
           sizeof(g_{name}_golden_input_{position}[sample]));"""

_CHECK = """\
    {{
      const {c_type}* found = (const {c_type}*)tinybudget_golden_output({position});
      const {c_type}* expected = g_{name}_golden_output_{position}[sample];
      int i;
      for (i = 0; i < {count}; ++i) {{
        const double apart = fabs((double)found[i] - (double)expected[i]);
        if (!(apart <= {tolerance})) {{
          if (wrong++ == 0) {{
            printf("golden: sample %d, output {position}, element %d: expected %ld, found %ld\\n",
                   sample, i, (long)expected[i], (long)found[i]);
          }}
        }}
      }}
    }}"""


def render_program(golden: Golden, header: str) -> bytes:
    """The program that runs the vectors of the file ``header`` and exits with 0 where all pass."""
    name = c_identifier(golden.name)
    words = {"name": name, "tolerance": f"{name.upper()}_GOLDEN_TOLERANCE"}
    copies = [_COPY.format(position=at, **words) for at in range(len(golden.inputs))]
    checks = [
        _CHECK.format(
            position=at,
            c_type=_c_type(values)[0],
            count=len(_numbers(values, values.samples[0])),
            **words,
        )
        for at, values in enumerate(golden.outputs)
    ]
    return _PROGRAM.format(
        title=comment_text(golden.name),
        header=header,
        upper=name.upper(),
        copies="\n".join(copies),
        checks="\n".join(checks),
    ).encode("ascii")
