"""``tinybudget runtime build``: section graphs that predict what a real linker makes."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.toolchain.runtime_build import BuiltRuntime
from pytest_tinybudget.toolchain.runtime_build import build_runtime


pytest.importorskip("elftools")

_CORE_C = """
typedef unsigned int u32;
int shared_table[16] = {1, 2, 3};
static int uninitialised[9];
int common_counter[5];
const char *core_name(void) { return "tensor"; }
int core_entry(int x) { uninitialised[x & 7] = x; common_counter[0] += x;
                        return uninitialised[1] + shared_table[x & 15] + core_name()[0]; }
int only_dead_code(int x) { return x * 77; }
"""
_FLOAT_C = """
double op_multiply(double a, double b) { return a * b; }
const char *op_multiply_name(void) { return "multiply tensor"; }
"""
_DIVIDE_C = """
double op_divide(double a, double b) { return a / b + a * 0.5; }
"""
_STRINGS_C = """
#include <string.h>
extern int shared_table[16];
static const char *const names[] = {"INT8", "UINT8", "tensor", "quantised tensor", "", "x"};
int op_strings(const char *s, char *out)
{ for (int i = 0; i < 6; ++i) if (!strcmp(s, names[i])) { memcpy(out, names[i], 3); return i; }
  return shared_table[0]; }
"""
_WEAK_C = """
__attribute__((weak)) int hook(int x) { return x + 1; }
extern int optional(int) __attribute__((weak));
int op_weak(int x) { return hook(x) + (optional ? optional(x) : 0); }
"""
_HOOK_C = """
int hook(int x) { for (int i = 0; i < x; ++i) x ^= i * 31; return x; }
int op_strong(int x) { return hook(x) - 2; }
"""
_TEMPLATE_CC = """
template <typename T> struct Kernel { virtual ~Kernel() {} virtual T run(T x) { return x * x; } };
inline int common_inline(int x) { int y = 0; for (int i = 0; i < x; ++i) y += i ^ x; return y; }
struct Loud : Kernel<int> { int run(int x) override { return common_inline(x) + %(number)d; } };
static Loud loud;
extern "C" int op_%(name)s(int x) { Kernel<int> *k = &loud; return k->run(x) + common_inline(x); }
extern "C" __attribute__((noinline)) float op_%(name)s_float(float x) { return x * 1.25f; }
"""
_CONSTRUCTOR_CC = """
extern "C" int core_entry(int);
struct Starter { int value; Starter() : value(core_entry(3)) {} };
Starter starter;
extern "C" int op_constructed(int x) { return x + 5; }
"""
_SCRIPT = """
SECTIONS {
  . = 0x10000;
  .text : { *(.text .text.*) }
  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) }
  .init_array : { KEEP(*(.preinit_array*)) KEEP(*(.init_array*)) KEEP(*(.fini_array*)) }
  .exidx : { *(.ARM.extab*) *(.ARM.exidx*) }
  . = 0x200000;
  .data : { *(.data .data.* .sdata .sdata.*) }
  .bss : { *(.bss .bss.* .sbss .sbss.*) *(COMMON) }
  /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) *(.riscv.attributes) *(.ARM.attributes) }
}
"""
_OPERATORS = (
    "multiply", "divide", "strings", "weak", "strong", "one", "two", "one_float", "constructed",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A GNU toolchain and the flags that make its links free of relaxation."""

    prefix: str
    flags: tuple[str, ...]
    libraries: tuple[str, ...]

    def run(self, tool: str, *arguments: object) -> str:
        command = [f"{self.prefix}{tool}", *(str(argument) for argument in arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def library(self, name: str) -> Path:
        return Path(self.run("gcc", *self.flags, f"-print-file-name={name}").strip())


_ARM_LIBRARIES = ("libc_nano.a", "libgcc.a")
_TARGETS = {
    "cortex-m4": Target(
        "arm-none-eabi-",
        ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        _ARM_LIBRARIES,
    ),
    "cortex-m0plus": Target("arm-none-eabi-", ("-mcpu=cortex-m0plus", "-mthumb"), _ARM_LIBRARIES),
    "rv32imc": Target(
        "riscv64-unknown-elf-",
        ("-march=rv32imc", "-mabi=ilp32", "-mno-relax"),
        ("libgcc.a",),
    ),
    "rv64": Target(
        "riscv64-unknown-elf-",
        ("-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-mno-relax"),
        ("libgcc.a",),
    ),
}


@pytest.fixture(scope="module", params=_TARGETS)
def target(request: pytest.FixtureRequest) -> Target:
    found = _TARGETS[request.param]
    if shutil.which(f"{found.prefix}gcc") is None:
        pytest.skip(f"{found.prefix}gcc is not installed")
    return found


@pytest.fixture(scope="module")
def firmware(target: Target, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A folder with objects and the inputs of the link: an object, two archives, libraries."""
    folder = tmp_path_factory.mktemp("firmware")
    strings = _STRINGS_C
    if "libc_nano.a" not in target.libraries:
        strings = strings.replace("#include <string.h>", "int strcmp(const char *, const char *);"
                                  "void *memcpy(void *, const void *, unsigned long);")  # fmt: skip
    sources = {
        "core.c": _CORE_C,
        "float.c": _FLOAT_C,
        "divide.c": _DIVIDE_C,
        "strings.c": strings,
        "weak.c": _WEAK_C,
        "hook.c": _HOOK_C,
        "one.cc": _TEMPLATE_CC % {"name": "one", "number": 1},
        "two.cc": _TEMPLATE_CC % {"name": "two", "number": 2},
        "constructed.cc": _CONSTRUCTOR_CC,
        "support.c": "int __aeabi_atexit(void) { return 0; } int __cxa_atexit(void) { return 0; }"
        'void *__dso_handle; void operator_delete(void) __asm__("_ZdlPvj");'
        'void operator_delete(void) {} void operator_delete_m(void) __asm__("_ZdlPvm");'
        "void operator_delete_m(void) {}",
    }
    if "libc_nano.a" not in target.libraries:
        sources["libc.c"] = (
            "int strcmp(const char *a, const char *b) { while (*a && *a == *b) ++a, ++b;"
            "return *a - *b; }"
            "void *memcpy(void *d, const void *s, unsigned long n) { char *x = d;"
            "const char *y = s; while (n--) *x++ = *y++; return d; }"
        )
    for name, text in sources.items():
        (folder / name).write_text(text)
        language = ("-std=c++17", "-fno-exceptions", "-fno-rtti") if name.endswith("cc") else ()
        target.run(
            "g++" if name.endswith("cc") else "gcc", *target.flags, *language, "-Os", "-fcommon",
            "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables",
            "-fno-builtin", "-c", folder / name, "-o", folder / f"{name}.o",
        )  # fmt: skip
    operators = ["float.c.o", "divide.c.o", "weak.c.o", "hook.c.o", "one.cc.o", "two.cc.o",
                 "constructed.cc.o"]  # fmt: skip
    others = [f"{name}.o" for name in sources if f"{name}.o" not in operators]
    target.run("ar", "rcs", folder / "libops.a", *(folder / name for name in operators))
    target.run("ar", "rcs", folder / "libsupport.a",
               *(folder / name for name in others if name != "core.c.o"))  # fmt: skip
    (folder / "link.ld").write_text(_SCRIPT)
    libraries = [target.library(name) for name in target.libraries]
    inputs = [folder / "core.c.o", folder / "libops.a", folder / "libsupport.a", *libraries]
    return folder, inputs


@pytest.fixture(scope="module")
def built(firmware: tuple[Path, list[Path]]) -> BuiltRuntime:
    return build_runtime(
        "mine",
        firmware[1],
        operators={name.upper(): f"op_{name}" for name in _OPERATORS},
        core=("core_entry",),
        baseline=(),
    )


def _linked(target: Target, folder: Path, inputs: list[Path], names: tuple[str, ...]) -> dict:
    """Sizes of the output sections of a real link that needs ``names``."""
    image = folder / "firmware.elf"
    target.run(
        "gcc", *target.flags, "-nostdlib", "-Wl,--gc-sections", "-Wl,-e,core_entry",
        *(f"-Wl,-u,op_{name}" for name in names), f"-Wl,-T,{folder / 'link.ld'}",
        inputs[0], "-Wl,--start-group", *inputs[1:], "-Wl,--end-group", "-o", image,
    )  # fmt: skip
    sizes = dict.fromkeys(("text", "rodata", "init_array", "exidx", "data", "bss"), 0)
    for line in target.run("size", "-A", image).splitlines():
        name, size, *_ = [*line.split(), "", ""]
        if name.removeprefix(".") in sizes:
            sizes[name.removeprefix(".")] = int(size)
    return sizes


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("multiply",),
        ("divide",),
        ("multiply", "divide"),
        ("strings",),
        ("strings", "weak"),
        ("weak", "strong"),
        ("one",),
        ("one", "two"),
        ("two", "one_float", "constructed"),
        _OPERATORS,
    ],
    ids=lambda names: "+".join(names) or "core",
)
def test_predicts_the_real_link_to_the_byte(
    target: Target,
    firmware: tuple[Path, list[Path]],
    built: BuiltRuntime,
    names: tuple[str, ...],
) -> None:
    real = _linked(target, *firmware, names)
    predicted = sizes_of(built.graph, {name.upper(): True for name in names})
    assert predicted == real
