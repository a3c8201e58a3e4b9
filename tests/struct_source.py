"""C++ with TFLM's struct names, made from the layouts that the package knows: firmware to read."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping

from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.operators.sizes import data_bytes
from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.toolchain.reading import struct_names


PREAMBLE = """
typedef enum { kZero, kOne, kForty = 40 } Enumeration;
typedef unsigned char uint8;
"""
_TYPES = {
    "b": "uint8", "h": "short", "i": "int", "q": "long long", "p": "void *", "e": "Enumeration",
}  # fmt: skip
#: What the planner keeps of a buffer stands in two structs.
_PLANNER = """
namespace tflite { class GreedyMemoryPlanner { public: MEMBERS
  struct ListEntry { int a, b, c; }; struct BufferRequirements { int a, b, c, d; }; };
  GreedyMemoryPlanner::ListEntry list_entry; GreedyMemoryPlanner::BufferRequirements requirements; }
"""
_RESOLVER = """
namespace tflite { template <unsigned N> class MicroMutableOpResolver { public:
  void *vtable; struct Registration { void *m[WORDS]; }; Registration registrations_[N];
  unsigned registrations_len_; CODE builtin_codes_[N]; void *builtin_parsers_[N];
  unsigned num_buitin_ops_; MORE };
  MicroMutableOpResolver<OPERATORS> resolver; }
"""


def struct(name: str, layout: str, *, members: Iterable[str] = ()) -> str:
    """A C struct with this layout; the first members have the names ``members``."""
    return f"struct {name} {{ {_members(layout, list(members))} }};\n"


def _members(layout: str, names: list[str]) -> str:
    text, fields, position, number = layout.replace(" ", ""), [], 0, 0
    while position < len(text):
        match = re.compile(r"\d*").match(text, position)
        assert match is not None
        count, position = match[0], match.end()
        name = names.pop(0) if names else f"m{number}_"
        array = f"[{count}]" if count else ""
        number += 1
        if text[position] == "(":
            end, depth = position + 1, 1
            while depth:
                depth += {"(": 1, ")": -1}.get(text[end], 0)
                end += 1
            fields.append(
                f"struct {{ {_members(text[position + 1 : end - 1], [])} }} {name}{array};"
            )
            position = end
        else:
            fields.append(f"{_TYPES[text[position]]} {name}{array};")
            position += 1
    return " ".join(fields)


def core_source(tflm: Tflm, *, changed: Mapping[str, str] = {}, only: Collection[str] = ()) -> str:
    """TFLM's own structs and the parameters of all operators, as in a version and build.

    ``changed`` has other layouts, by name; ``only`` those of these names, where there are any.
    """
    parts, names = [PREAMBLE], struct_names()
    for name in names.structs:
        if only and name not in only:
            continue
        layout = changed.get(name) or tflm.struct(name)
        if name == "GreedyMemoryPlanner":
            parts.append(_PLANNER.replace("MEMBERS", _members(layout, [])))
            parts.append("tflite::GreedyMemoryPlanner planner;\n")
            continue
        full = name == "TfLiteTensor" and not tflm.static_memory
        members = ["type", "data", "dims", "delegate"] if full else []
        source = struct(name, layout, members=members)
        if name.startswith("TfLite"):
            parts.append(f"{source}{name} one_{name};\n")
        else:
            parts.append(f"namespace tflite {{ {source}{name} one_{name}; }}\n")
    parts.append(_resolver(tflm))
    seen = set()
    for operator, (name,) in names.parameters.items():
        layout = changed.get(f"{operator} parameters")
        layout = layout or tflm.parameters(operator, rules()[operator].parameters)
        if name not in seen and layout and (not only or operator in only):
            seen.add(name)
            # As C does it: a name for a struct that has none.
            body = struct("", layout).removesuffix(";\n")
            parts.append(f"typedef {body} {name}; {name} one_{name};\n")
    return "".join(parts)


def _resolver(tflm: Tflm) -> str:
    """The resolver of a version, for 6 operators: on 32 bits every member is a word."""
    own, entry = (
        ARM.size_of(tflm.struct(f"MicroMutableOpResolver{part}")) // 4
        for part in ("", ", an operator")
    )
    in_bytes = bool(tflm.struct("MicroMutableOpResolver, codes"))
    words = {
        "OPERATORS": "6",
        "WORDS": str(entry - (1 if in_bytes else 2)),
        "CODE": "unsigned char" if in_bytes else "int",
        "MORE": "void *error_reporter_;" * (own - 3),
    }
    text = _RESOLVER
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def kernel_sources(
    operators: Iterable[str],
    tflm: Tflm,
    kernels: Kernels,
    abi: Abi,
    *,
    changed: Mapping[str, int] = {},
) -> dict[str, str]:
    """Files by name: what the kernel of each operator keeps, and its registration.

    ``changed`` has other sizes of data, bytes by operator.
    """
    files: dict[str, str] = {}
    for operator in operators:
        candidates = struct_names().data.get(operator, [f"{operator.lower()} "])
        candidate = candidates[0 if kernels.library != "reference" else -1]
        file, _, name = candidate.rpartition(" ")
        file = file or operator.lower()
        text = files.setdefault(f"{file}.cc", PREAMBLE + "namespace tflite {\n")
        size = changed.get(operator) or data_bytes(operator, tflm, kernels, abi)
        if size and f" {name} " not in text:
            layout = f"{size // 4}i" if size % 4 == 0 else f"{size}b"
            inside = struct(name, layout)
            text += f"namespace {{ {inside} __attribute__((used)) {name} data; }}\n"
        text += (
            f"struct Registration{operator} {{ int x; }};"
            f"Registration{operator} Register_{operator}() {{ return {{}}; }}\n"
        )
        files[f"{file}.cc"] = text
    return {name: text + "}\n" for name, text in files.items()}
