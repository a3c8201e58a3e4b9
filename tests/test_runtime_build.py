"""``tinybudget runtime build``: section graphs that predict what a real linker makes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.link import flash_of
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.section_graph import encode
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.toolchain.linker_map import read_section_sizes
from pytest_tinybudget.toolchain.runtime_build import BuiltRuntime
from pytest_tinybudget.toolchain.runtime_build import build_runtime
from pytest_tinybudget.toolchain.symbol_list import read_symbol_lists
from pytest_tinybudget.toolchain.tflm_symbols import operator_symbols
from pytest_tinybudget.workspace import Workspace


pytest.importorskip("elftools")

_CORE_C = """
typedef unsigned int u32;
int shared_table[16] = {1, 2, 3};
static int uninitialized[9];
int common_counter[5];
const char *core_name(void) { return "tensor"; }
int core_entry(int x) { uninitialized[x & 7] = x; common_counter[0] += x;
                        return uninitialized[1] + shared_table[x & 15] + core_name()[0]; }
int only_dead_code(int x) { return x * 77; }
__attribute__((constructor)) static void begin(void) { common_counter[1] = 7; }
double op_divide(double, double);
double dead_division(double x) { return op_divide(x, 3.0); }
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
static const char *const names[] = {"INT8", "UINT8", "tensor", "quantized tensor", "", "x"};
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
  .text : { *(.literal .literal.* .text .text.*) }
  .rodata : { *(.rodata .rodata.* .srodata .srodata.*) }
  .init_array : {
    KEEP(*(.preinit_array*)) KEEP(*(.init_array*)) KEEP(*(.fini_array*)) KEEP(*(.ctors*))
  }
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
    # Without relaxation, and with the soft floating point that its libgcc leaves to the ROM.
    "xtensa": Target("xtensa-lx106-elf-", ("-mlongcalls", "-Wl,--no-relax"), ("libgcc.a",)),
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
    if target.prefix.startswith("xtensa"):
        sources["soft.c"] = (
            "".join(
                f"long long {name}(long long a, long long b) {{ return a {sign} b; }}\n"
                for name, sign in (("__muldf3", "^"), ("__divdf3", "|"), ("__adddf3", "+"))
            )
            + "int __mulsf3(int a, int b) { return a ^ b; }\n"
            "long long __floatsidf(int a) { return a; }\n"
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


def _linked(
    target: Target, folder: Path, inputs: list[Path], names: tuple[str, ...], keep: str = "op_"
) -> dict:
    """Sizes of the output sections of a real link that needs ``names``."""
    image = folder / "firmware.elf"
    target.run(
        "gcc", *target.flags, "-nostdlib", "-Wl,--gc-sections", "-Wl,-e,core_entry",
        *(f"-Wl,-u,op_{name}" for name in names), f"-Wl,-u,{keep}", f"-Wl,-T,{folder / 'link.ld'}",
        inputs[0], "-Wl,--start-group", *inputs[1:], "-Wl,--end-group", "-o", image,
    )  # fmt: skip
    return _sizes(target, image)


def _sizes(target: Target, image: Path) -> dict:
    """Sizes of the output sections of an image."""
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
    if target.prefix.startswith("xtensa") and names == ("weak", "strong"):
        # Its code is not padded to the alignment, so that the order of members shows.
        assert predicted.pop("text") - real.pop("text") == 1
    assert predicted == real


_IN_ROM = ("strcmp", "op_divide", "memcpy")


def test_what_lies_in_rom_costs_nothing_and_pulls_nothing(
    target: Target, firmware: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, inputs = firmware
    script = tmp_path / "rom.ld"
    script.write_text(
        "/* of the chip */\nstrcmp = 0x18000;\n  op_divide\t= ABSOLUTE(0x18010) ;\n"
        "memcpy = 0x18020; // fast\nPROVIDE ( hook = 0x18030 );\n"
    )
    built = build_runtime(
        "mine",
        inputs,
        operators={name.upper(): f"op_{name}" for name in _OPERATORS if name != "divide"},
        core=("core_entry",),
        baseline=(),
        rom=read_symbol_lists([script]),
    )
    for names in (("strings",), ("strings", "multiply"), ("weak", "strong", "one")):
        defined = [f"-Wl,--defsym,{name}=0x18000" for name in _IN_ROM]
        real = _linked(target, folder, [inputs[0], *defined, *inputs[1:]], names)
        assert sizes_of(built.graph, {name.upper(): True for name in names}) == real
    assert built.undefined == ()


def test_what_the_application_has_anyway_is_not_counted_again(
    target: Target, firmware: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, inputs = firmware
    (tmp_path / "application.c").write_text(
        "double op_divide(double, double); int strcmp(const char *, const char *);"
        "double application(double x, const char *s) { return strcmp(s, s + 1) + op_divide(x, x); }"
    )
    own = tmp_path / "application.o"
    target.run("gcc", *target.flags, "-Os", "-fno-builtin", "-ffunction-sections",
               "-fno-asynchronous-unwind-tables", "-c", tmp_path / "application.c",
               "-o", own)  # fmt: skip
    image = tmp_path / "application.elf"
    target.run(
        "gcc", *target.flags, "-nostdlib", "-Wl,--gc-sections", "-Wl,-e,application",
        f"-Wl,-T,{folder / 'link.ld'}", own, "-Wl,--start-group", *inputs[1:], "-Wl,--end-group",
        "-o", image,
    )  # fmt: skip
    listing = tmp_path / "symbols.txt"
    listing.write_text(target.run("nm", image))

    def built(*application: Path) -> BuiltRuntime:
        return build_runtime(
            "mine",
            inputs,
            operators={name.upper(): f"op_{name}" for name in _OPERATORS},
            core=("core_entry",),
            baseline=(),
            application=read_symbol_lists(application),
        )

    assert encode(built(image).graph) == encode(built(listing).graph)
    alone, around, before = built().graph, built(image).graph, _sizes(target, image)
    for names in (("divide", "strings"), ("multiply",), ("one", "weak")):
        both = _linked(target, folder, [inputs[0], own, *inputs[1:]], names, keep="application")
        more = {kind: both[kind] - before[kind] for kind in both}
        predicted = sizes_of(around, {name.upper(): True for name in names})
        # Application and TFLM lie between one another, so that each link pads its code otherwise,
        # at most before two functions that are aligned to 16.
        assert abs(predicted.pop("text") - more.pop("text")) < 32
        assert predicted == more
    operators = {"DIVIDE": True, "STRINGS": True}
    assert sizes_of(alone, operators)["text"] > sizes_of(around, operators)["text"] + 100


def test_an_application_with_tflm_in_it_is_refused(
    tflm_library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = tmp_path / "symbols.txt"
    listing.write_text("_ZN6tflite16MicroInterpreter6InvokeEv\nprintf\n")
    command = ["runtime", "build", "--name", "mine", "--application", str(listing)]
    assert main([*command, str(tflm_library)]) == 2
    assert "--application has TFLM in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lists no symbol"),
        (b"SECTIONS { .text : { *(.text) } }\n", "lists no symbol"),
        (b"!<arch>\n", "does not say which of its members are linked"),
        (b"\x7fELF\x01", "not a sound ELF file"),
        (bytes(100), "expected a linker script"),
    ],
)
def test_a_list_of_symbols_that_is_none_is_one_clear_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "symbols.ld"
    path.write_bytes(content)
    with pytest.raises(TinybudgetError, match=message) as raised:
        read_symbol_lists([path])
    assert "symbols.ld" in str(raised.value)


def test_symbols_are_read_from_linker_scripts_and_from_what_nm_prints(tmp_path: Path) -> None:
    path = tmp_path / "symbols"
    path.write_text(
        "/* memset = 1; */ PROVIDE ( esp_rom_printf = 0x40007d54 );\nPROVIDE_HIDDEN(hidden = .);\n"
        "memcpy = 0x4000c2c8;\n4000c2c8 T from_nm\n00000010 00000004 D sized\n         U missing\n"
        "         w weak_missing\nalone\n# comment\n.text : { }\n  x == 3;\n"
    )
    found = read_symbol_lists([path])
    assert found.defined == {"memcpy", "from_nm", "sized", "alone"}
    assert found.provided == {"esp_rom_printf", "hidden"}


def test_missing_symbols_are_told_by_whose_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _TFLM_CC.replace(
        "return missing_function(x);",
        "tflite::Lost(); DebugLog(x); __cxa_guard_acquire(x); multicore_fifo_pop_blocking(x);"
        " return missing_function(x);",
    ).replace(
        'extern "C" int missing_function(int);',
        "namespace tflite { void Lost(); }"
        'extern "C" { int missing_function(int); void DebugLog(int); int __cxa_guard_acquire(int);'
        "int multicore_fifo_pop_blocking(int); }",
    )
    target = _TARGETS["cortex-m4"]
    if shutil.which(f"{target.prefix}gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    (tmp_path / "tflm.cc").write_text(source)
    item = tmp_path / "tflm.o"
    target.run("g++", *target.flags, "-Os", "-ffunction-sections", "-fno-exceptions",
               "-fno-unwind-tables", "-c", tmp_path / "tflm.cc", "-o", item)  # fmt: skip
    table, listing = tmp_path / "mine.json.gz", tmp_path / "names.txt"
    libraries = [str(target.library(name)) for name in _ARM_LIBRARIES]
    command = ["runtime", "build", "--name", "mine", "--output", str(table), "--op",
               "MINE=my_operator", str(item), *libraries]  # fmt: skip
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "4 symbols that linked code refers to are in no input" in told
    assert "TFLM (_ZN6tflite4LostEv): give all of its objects, or its archive" in told
    assert (
        "the C++ library (__cxa_guard_acquire): add gcc YOUR_FLAGS -print-file-name=libsupc++.a"
        in told
    )
    assert "the SDK (multicore_fifo_pop_blocking): say what your application has anyway" in told
    assert "other libraries (missing_function): add your link's libraries" in told
    listing.write_text("__cxa_guard_acquire\nmulticore_fifo_pop_blocking\nmissing_function\n")
    # What of TFLM is missing is never the application's: here it gets a name that is.
    item.write_bytes(item.read_bytes().replace(b"_ZN6tflite4LostEv", b"missing_function\0"))
    assert main([*command, "--application", str(listing)]) == 0
    assert "the application's own, not counted: DebugLog" in capsys.readouterr().out


def test_sizes_after_relaxation_come_from_the_map(tmp_path: Path) -> None:
    target = Target("riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32"), ())
    if shutil.which(f"{target.prefix}gcc") is None:
        pytest.skip("riscv64-unknown-elf-gcc is not installed")
    source = tmp_path / "relaxed.c"
    source.write_text(
        "int table[9]; int op_low(int x) { return table[x & 7] + 1; }"
        "int far_call(int x) { return op_low(x) + op_low(x + 1); }"
        "int core_entry(int x) { return far_call(x) + far_call(x + 2); }"
    )
    item, image, link_map = (tmp_path / name for name in ("relaxed.o", "a.elf", "a.map"))
    (tmp_path / "link.ld").write_text(_SCRIPT)
    target.run(
        "gcc", *target.flags, "-Os", "-fno-inline", "-ffunction-sections", "-fdata-sections",
        "-fno-asynchronous-unwind-tables", "-fno-optimize-sibling-calls", "-c", source, "-o", item,
    )  # fmt: skip
    target.run(
        "gcc", *target.flags, "-nostdlib", "-Wl,--gc-sections", "-Wl,-e,core_entry",
        f"-Wl,-T,{tmp_path / 'link.ld'}", f"-Wl,-Map={link_map}", item, "-o", image,
    )  # fmt: skip
    sizes = {
        line.split()[0]: int(line.split()[1])
        for line in target.run("size", "-A", image).splitlines()
        if line.startswith(".")
    }
    options = {"core": ("core_entry",), "baseline": ()}
    before = build_runtime("mine", [item], **options)
    after = build_runtime("mine", [item], section_sizes=read_section_sizes(link_map), **options)
    assert sizes_of(after.graph, {})["text"] == sizes[".text"]
    assert sizes_of(before.graph, {})["text"] > sizes[".text"]


_TFLM_CC = """
namespace tflite {
struct Model; struct Operator; struct ErrorReporter; struct BuiltinDataAllocator;
struct TFLMRegistration { int x[9]; };
struct MicroInterpreter {
  MicroInterpreter(const Model *m); int AllocateTensors(); int Invoke();
  void *input(unsigned i); void *output(unsigned i);
};
MicroInterpreter::MicroInterpreter(const Model *) {}
int MicroInterpreter::AllocateTensors() { return 1; }
int MicroInterpreter::Invoke() { return 2; }
void *MicroInterpreter::input(unsigned) { return 0; }
void *MicroInterpreter::output(unsigned) { return 0; }
int ParseAdd(const Operator *, ErrorReporter *, BuiltinDataAllocator *, void **) { return 3; }
int ParsePool(const Operator *, ErrorReporter *, BuiltinDataAllocator *, void **) { return 4; }
TFLMRegistration Register_ADD() { return {{1, 2, 3}}; }
TFLMRegistration Register_ADD_INT8() { return {}; }
TFLMRegistration Register_MAX_POOL_2D() { return {{7}}; }
namespace tflm_signal { TFLMRegistration *Register_FFT_AUTO_SCALE() { return nullptr; } }
}
extern "C" int arm_convolve_s8(int x) { return x; }
extern "C" int missing_function(int);
extern "C" int my_operator(int x) { return missing_function(x); }
"""


@pytest.fixture
def tflm_library(tmp_path: Path) -> Path:
    target = _TARGETS["cortex-m4"]
    if shutil.which(f"{target.prefix}gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    (tmp_path / "tflm.cc").write_text(_TFLM_CC)
    target.run(
        "g++", *target.flags, "-Os", "-ffunction-sections", "-fno-exceptions",
        "-fno-unwind-tables", "-c", tmp_path / "tflm.cc", "-o", tmp_path / "tflm.o",
    )  # fmt: skip
    library = tmp_path / "libtflm.a"
    target.run("ar", "rcs", library, tmp_path / "tflm.o")
    return library


def test_finds_tflms_operators_by_their_names(tflm_library: Path) -> None:
    built = build_runtime("mine", [tflm_library, _TARGETS["cortex-m4"].library("libgcc.a"),
                                   _TARGETS["cortex-m4"].library("libc_nano.a")])  # fmt: skip
    operators = built.graph.operators
    assert set(operators) == {"ADD", "MAX_POOL_2D", "SignalFftAutoScale"}
    assert set(operators["ADD"].typed) == {"INT8"}
    assert operators["SignalFftAutoScale"].custom
    assert "CONV_2D" in built.without
    assert (built.enum_bytes, built.pointer_bytes, built.kernels.dsp) == (1, 4, True)
    assert built.undefined == ()
    added = sizes_of(built.graph, {"ADD": False})["text"] - sizes_of(built.graph, {})["text"]
    assert added > 0


def test_registrations_in_older_namespaces_are_found() -> None:
    """Until 2023 some lay in ``tflite::ops::micro``; where there are two, the newer one counts."""
    symbols = (
        "_ZN6tflite3ops5micro16Register_RESHAPEEv",
        "_ZN6tflite3ops5micro11activations13Register_RELUEv",
        "_ZN6tflite3ops5micro12Register_ADDEv",
        "_ZN6tflite12Register_ADDEv",
        "_ZN6tflite12Register_COSEi",
        "_ZN6vendor12Register_SINEv",
        "_ZN6tflite8ParseAddEPKNS_8OperatorEPNS_13ErrorReporterEPNS_20BuiltinDataAllocatorEPPv",
        "_ZN6tflite999Register_ABSEv",
    )
    found = operator_symbols(dict.fromkeys(symbols), {})
    assert {name: entry.symbols[-1] for name, entry in found.items()} == {
        "RESHAPE": symbols[0],
        "RELU": symbols[1],
        "ADD": symbols[3],
    }
    assert found["ADD"].symbols[0] == symbols[6]


def test_command_builds_a_table_that_links(
    tflm_library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    libraries = [str(_TARGETS["cortex-m4"].library(name)) for name in _ARM_LIBRARIES]
    output = tflm_library.with_name("mine.json.gz")
    command = ["runtime", "build", "--name", "mine", "--output", str(output), str(tflm_library)]
    assert main([*command, *libraries]) == 0
    assert "[runtime.mine]" in capsys.readouterr().out
    runtime = replace(RUNTIMES["m4_ref"], graph=str(output))
    assert 0 < flash_of(runtime, {"ADD": False}) < flash_of(RUNTIMES["m4_ref"], {"ADD": False})


@pytest.mark.parametrize(
    ("flags", "core", "extends"),
    [
        (("-mcpu=cortex-m0plus",), "Cortex-M0+", "m0plus_ref"),
        (("-mcpu=cortex-m3",), "Cortex-M3", "m0plus_ref"),
        (("-mcpu=cortex-m4",), "Cortex-M4", "m0plus_ref"),
        (("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"), "Cortex-M4F", "m4_ref"),
        (("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"), "Cortex-M7F", "m7_ref"),
        (("-mcpu=cortex-m23",), "Cortex-M23", "m0plus_ref"),
        (("-mcpu=cortex-m33", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"), "Cortex-M33F", "m7_ref"),
    ],
)
def test_the_declaration_that_is_printed_says_what_core_the_archives_are_for(
    flags: tuple[str, ...],
    core: str,
    extends: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = _printed(
        Target("arm-none-eabi-", ("-mthumb", *flags), ()),
        _TFLM_CC.replace("arm_convolve_s8", "other_function"),
        tmp_path,
        capsys,
    )
    assert (printed["core"], printed["extends"], printed["kernels"]) == (core, extends, "reference")
    assert "vectors" not in printed


@pytest.mark.parametrize(
    ("machine", "function", "core", "extends", "vectors"),
    [
        (
            "EM_XTENSA", "esp_nn_conv_s8_esp32s3",
            "Xtensa LX7 with vectors", "esp32s3_espnn", "esp32s3",
        ),
        ("EM_XTENSA", "esp_nn_conv_s8_opt", None, "esp32_espnn", ""),
        ("EM_XTENSA", "other_function", None, "esp32_espnn", None),
        (
            "EM_RISCV", "esp_nn_conv_s8_esp32p4",
            "RV32IMAFC with vectors", "esp32p4_espnn", "esp32p4",
        ),
        ("EM_RISCV", "esp_nn_conv_s8_opt", None, "esp32_espnn", ""),
        ("EM_RISCV", "other_function", None, "rv32imc_ref", None),
    ],
)  # fmt: skip
def test_the_declaration_that_is_printed_counts_the_kernels_of_a_vector_unit(
    machine: str,
    function: str,
    core: str | None,
    extends: str,
    vectors: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = _printed(
        Target("riscv64-unknown-elf-", ("-march=rv32imc", "-mabi=ilp32"), ()),
        _TFLM_CC.replace("arm_convolve_s8", function),
        tmp_path,
        capsys,
        machine=machine,
    )
    assert printed.get("core") == core
    assert (printed["extends"], printed.get("vectors")) == (extends, vectors)
    assert "dsp" not in printed
    # And it is a declaration, for a board that has such a core.
    board = {"EM_XTENSA": "esp32-s3-devkitc-1", "EM_RISCV": "esp32-p4-function-ev"}[machine]
    (graph := (maker := ModelMaker()).graph()).output(
        graph.conv2d(graph.input((1, 8, 8, 8)), filters=4)
    )
    tmp_path.joinpath("conv.tflite").write_bytes(maker.build())
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in printed.items())
    tmp_path.joinpath("tinybudget.toml").write_text(
        f'[models.conv]\nsource = "conv.tflite"\nboards = ["{board}"]\nruntime = "mine"\n'
        f"[runtime.mine]\n{lines}"
    )
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    (pair,) = pairs("tinybudget.toml", declaration)
    footprint = Gate(Workspace(cached=False)).check(pair).footprint
    assert footprint is not None
    assert footprint.arena is not None
    scratch = sum(layer.scratch_bytes for layer in footprint.layers)
    assert (scratch > 0) == bool(vectors)
    assert any("esp-nn" in line for line in footprint.unknown) == bool(vectors)
    runtime = pair.firmware.runtime
    assert runtime.flash_margin_percent == 0, "the table has a margin of its own"


def _printed(
    target: Target,
    source: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    machine: str = "",
) -> dict[str, object]:
    """The ``[runtime.mine]`` that is printed for ``source``, said to be for ``machine``."""
    if shutil.which(f"{target.prefix}gcc") is None:
        pytest.skip(f"{target.prefix}gcc is not installed")
    (folder / "tflm.cc").write_text(source)
    item = folder / "tflm.o"
    target.run(
        "g++", *target.flags, "-Os", "-ffunction-sections", "-fno-exceptions",
        "-fno-unwind-tables", "-c", folder / "tflm.cc", "-o", item,
    )  # fmt: skip
    if machine == "EM_XTENSA":  # no compiler for it is at hand: the header alone says so
        content = bytearray(item.read_bytes())
        content[18:20] = (94).to_bytes(2, "little")
        item.write_bytes(content)
    table = folder / "mine.json.gz"
    command = ["runtime", "build", "--name", "mine", "--output", str(table), "--allow-undefined"]
    assert main([*command, str(item)]) == 0
    _, _, block = capsys.readouterr().out.partition("[runtime.mine]\n")
    lines = (line.split(" = ") for line in block.splitlines() if not line.startswith("#"))
    return {key: json.loads(value) for key, value in lines}


def test_a_declaration_counts_with_the_table_that_was_built(
    tflm_library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The block that the command prints, pasted into a declaration."""
    libraries = [str(_TARGETS["cortex-m4"].library(name)) for name in _ARM_LIBRARIES]
    table = tmp_path / "mine.json.gz"
    command = ["runtime", "build", "--name", "mine", "--output", str(table), str(tflm_library)]
    assert main([*command, *libraries]) == 0
    _, _, block = capsys.readouterr().out.partition("[runtime.mine]")
    (graph := (maker := ModelMaker()).graph()).output(
        graph.add(graph.input((1, 4)), graph.input((1, 4)))
    )
    tmp_path.joinpath("sum.tflite").write_bytes(maker.build())
    tmp_path.joinpath("tinybudget.toml").write_text(
        '[models.sum]\nsource = "sum.tflite"\nboards = ["nucleo-l4r5zi"]\nruntime = "mine"\n'
        f"[runtime.mine]{block.replace(str(table), table.name)}"
    )
    results = tmp_path / "results.json"
    assert main(["check", str(tmp_path), "--json", str(results)]) == 0
    (pair,) = json.loads(results.read_text())["pairs"]
    code = [part["bytes"] for part in pair["flash"]["parts"] if "model:" not in part["name"]]
    assert sum(code) == flash_of(replace(RUNTIMES["m4_ref"], graph=str(table)), {"ADD": False})


def test_code_that_is_in_no_input_is_an_error_unless_allowed(
    tflm_library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    libraries = [str(_TARGETS["cortex-m4"].library(name)) for name in _ARM_LIBRARIES]
    output = tflm_library.with_name("mine.json.gz")
    command = ["runtime", "build", "--name", "mine", "--output", str(output),
               "--op", "MINE=my_operator", str(tflm_library), *libraries]  # fmt: skip
    assert main(command) == 2
    assert "missing_function" in capsys.readouterr().err
    assert not output.exists()
    assert main([*command, "--allow-undefined"]) == 0
    assert "NOT COUNTED, in no input: missing_function" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--op", "MINE"], "expected OPERATOR=SYMBOL"),
        (["--op", "MINE=nowhere"], "no input defines this symbol"),
        (["--core", "nowhere"], "no input defines this symbol"),
    ],
)
def test_wrong_options_are_told(
    tflm_library: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runtime", "build", "--name", "mine", *options, str(tflm_library)]) == 2
    assert message in capsys.readouterr().err


def test_archives_without_tflm_ask_for_core(
    firmware: tuple[Path, list[Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runtime", "build", "--name", "mine", str(firmware[1][1])]) == 2
    assert "--core SYMBOL" in capsys.readouterr().err


def test_objects_of_two_machines_are_refused(tmp_path: Path) -> None:
    objects = []
    for target in (_TARGETS["cortex-m4"], _TARGETS["rv32imc"]):
        if shutil.which(f"{target.prefix}gcc") is None:
            pytest.skip("needs both compilers")
        (tmp_path / "a.c").write_text(f"int core_{target.prefix[:3]}(void) {{ return 1; }}")
        objects.append(tmp_path / f"{target.prefix}.o")
        target.run("gcc", *target.flags, "-c", tmp_path / "a.c", "-o", objects[-1])
    with pytest.raises(TinybudgetError, match="a runtime has one machine"):
        build_runtime("mine", objects, core=("core_arm",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a sound ELF file"),
        (b"\x7fELF\x01\x01\x01" + bytes(45), "not a sound ELF file"),
        (b"!<arch>\n" + b"a" * 60, "damaged archive"),
        (b"!<arch>\n" + b"/".ljust(48) + b"99999     `\n", "truncated"),
        (b"!<arch>\n" + b"/".ljust(48) + b"8         `\n\xff\xff\xff\xff\0\0\0\0", "truncated"),
        (b"!<arch>\n" + b"/".ljust(48) + b"-60       `\n", "truncated"),
        (b"!<thin>\n", "thin archive"),
    ],
)
def test_damaged_input_is_one_clear_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "lib.a"
    path.write_bytes(content)
    with pytest.raises(TinybudgetError, match=message) as raised:
        build_runtime("mine", [path], core=("core_entry",))
    assert "\n" not in str(raised.value)
    assert "lib.a" in str(raised.value)


def test_mutated_objects_are_read_or_told(
    firmware: tuple[Path, list[Path]], tmp_path: Path
) -> None:
    folder, _ = firmware
    chance = random.Random(11)
    told = 0
    for name in ("core.c.o", "strings.c.o", "one.cc.o", "libops.a"):
        sound = (folder / name).read_bytes()
        for _ in range(60):
            content = bytearray(sound)
            for _ in range(chance.randrange(1, 5)):
                where = chance.choice([chance.randrange(len(content)), len(content) - 1 -
                                       chance.randrange(min(1200, len(content)))])  # fmt: skip
                content[where] = chance.choice([0, 1, 0x7F, 0xFF, chance.randrange(256)])
            cut = chance.choice([len(content), chance.randrange(len(content))])
            path = tmp_path / name
            path.write_bytes(content[:cut])
            try:
                built = build_runtime("mine", [folder / "core.c.o", path], core=("core_entry",))
            except TinybudgetError as error:
                told += 1
                assert "\n" not in str(error)  # noqa: PT017
            else:
                assert sizes_of(built.graph, {})["text"] > 0
    assert told > 40


def test_index_that_lies_is_told(firmware: tuple[Path, list[Path]], tmp_path: Path) -> None:
    content = (firmware[0] / "libops.a").read_bytes()
    path = tmp_path / "libops.a"
    path.write_bytes(content.replace(b"op_strong\0", b"op_absent\0", 1))
    with pytest.raises(TinybudgetError, match="lists op_absent, which no member defines"):
        build_runtime("mine", [path, *firmware[1][2:]], core=("op_absent",))


def test_same_inputs_give_the_same_table(firmware: tuple[Path, list[Path]]) -> None:
    first, second = (build_runtime("mine", firmware[1], core=("core_entry",)) for _ in range(2))
    assert encode(first.graph) == encode(second.graph)
