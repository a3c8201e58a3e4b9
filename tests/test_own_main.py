"""What a firmware's own ``main`` takes, for ``tinybudget runtime build``: by how it is built."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from own_main import ROWS
from own_main import errors_percent

from pytest_tinybudget.footprint.link import _image
from pytest_tinybudget.footprint.section_graph import decode
from pytest_tinybudget.footprint.section_graph import encode
from pytest_tinybudget.toolchain.own_main import choose
from pytest_tinybudget.toolchain.own_main import code_bytes
from pytest_tinybudget.toolchain.own_main import rows
from pytest_tinybudget.toolchain.runtime_build import BuildKind
from pytest_tinybudget.toolchain.runtime_build import BuiltRuntime
from pytest_tinybudget.toolchain.runtime_build import build_runtime


SHARED = Path(__file__).parents[2] / "shared" / "tflm"
_NAMES = ("CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "RESHAPE", "ADD", "MUL", "SUB", "PAD", "MEAN",
          "TANH", "LOGISTIC", "QUANTIZE", "DEQUANTIZE", "RELU")  # fmt: skip
SIX, FOURTEEN = (dict.fromkeys(_NAMES[:count], False) for count in (6, 14))

_TFLM_CC = """
void MicroPrintf(const char *format, ...);
namespace tflite {
struct Model; struct Operator; struct TFLMRegistration { int x[9]; };
struct MicroInterpreter {
  MicroInterpreter(const Model *m); int AllocateTensors(); int Invoke();
  void *input(unsigned i); void *output(unsigned i);
};
MicroInterpreter::MicroInterpreter(const Model *) {}
int MicroInterpreter::AllocateTensors() { PRINT return 1; }
int MicroInterpreter::Invoke() { return 2; }
void *MicroInterpreter::input(unsigned) { return 0; }
void *MicroInterpreter::output(unsigned) { return 0; }
REGISTRATIONS
}
"""


def built(folder: Path, *flags: str, print_: bool = False, **options: str) -> BuiltRuntime:
    """A table of a TFLM that was compiled with ``flags``, with or without messages."""
    if shutil.which("arm-none-eabi-g++") is None:
        pytest.skip("arm-none-eabi-g++ is not installed")
    registrations = "".join(
        f"TFLMRegistration Register_{name}() {{ return {{}}; }}" for name in _NAMES
    )
    source = _TFLM_CC.replace("REGISTRATIONS", registrations)
    source = source.replace("PRINT", 'MicroPrintf("x");' if print_ else "")
    (folder / "tflm.cc").write_text(source)
    subprocess.run(
        ["arm-none-eabi-g++", "-mcpu=cortex-m4", "-mthumb", "-ffunction-sections",
         "-fno-exceptions", "-fno-unwind-tables", *flags, "-c", "tflm.cc"],
        cwd=folder, check=True,
    )  # fmt: skip
    return build_runtime("mine", [folder / "tflm.o"], **options)


@pytest.mark.parametrize(
    ("flags", "print_", "options", "kind"),
    [
        (("-Os", "-g"), False, {}, BuildKind("s")),
        (("-O3", "-g"), True, {}, BuildKind("3", log_strings=True)),
        (("-O2", "-O0", "-g"), True, {}, BuildKind("0", log_strings=True)),
        (("-O3",), True, {}, BuildKind("", log_strings=True)),
        (("-O3", "-g"), False, {"optimize": "s"}, BuildKind("s")),
    ],
)
def test_how_tflm_was_compiled_is_read_off_its_objects(
    flags: tuple[str, ...], print_: bool, options: dict[str, str], kind: BuildKind, tmp_path: Path
) -> None:
    assert built(tmp_path, *flags, print_=print_, **options).kind == kind


def main_of(runtime: BuiltRuntime, operators: dict[str, bool]) -> tuple[int, int]:
    """Bytes of the firmware's own object, and how much larger it may be."""
    graph = decode(encode(runtime.graph), "mine")
    image = _image(graph, operators, {})
    (own,) = [part.bytes for part in image.parts if part.name == "resolver and main"]
    return own, image.main_margin


def test_main_at_o3_is_by_count_and_not_linear(tmp_path: Path) -> None:
    small = built(tmp_path, "-Os", print_=True, optimize="s")
    large = built(tmp_path, "-Os", print_=True, optimize="3")
    assert main_of(small, SIX)[0] < main_of(large, SIX)[0]
    (row,) = [each for each in rows() if each.name == "pico_m0plus_bare"]
    for operators in (SIX, FOURTEEN):
        own, margin = main_of(large, operators)
        assert abs(own - code_bytes(row, operators)) <= 4
        assert margin == 0
    assert main_of(large, FOURTEEN)[0] > 3 * main_of(large, SIX)[0]


def test_where_nothing_says_the_level_the_margin_reaches_what_o3_takes(tmp_path: Path) -> None:
    unknown = built(tmp_path, "-Os", print_=True)
    small, large = (built(tmp_path, "-Os", print_=True, optimize=level) for level in ("s", "3"))
    assert "--optimize says it" in unknown.note
    for operators in (SIX, FOURTEEN):
        own, margin = main_of(unknown, operators)
        assert own == main_of(small, operators)[0]
        assert own + margin >= main_of(large, operators)[0]
    assert small.note == large.note == ""


def test_a_build_with_log_strings_has_a_larger_main(tmp_path: Path) -> None:
    with_, without = (
        main_of(built(tmp_path, "-Os", "-g", print_=print_), SIX)[0] for print_ in (True, False)
    )
    assert 100 < with_ - without < 900


@pytest.mark.parametrize("family", ["Arm", "RISC-V", "Xtensa"])
@pytest.mark.parametrize("optimize", ["", "s", "2", "3"])
@pytest.mark.parametrize("log_strings", [True, False])
def test_every_kind_of_build_has_a_main(family: str, optimize: str, log_strings: bool) -> None:
    chosen = choose(
        family, optimize=optimize, log_strings=log_strings, application=False, make=None
    )
    assert chosen.row.log_strings is log_strings
    if family == "RISC-V":
        assert "none was" in chosen.note
        assert chosen.row.main.most
    if family == "Arm" and optimize in ("", "2"):
        assert chosen.row.main.most


@pytest.mark.parametrize("name", ROWS)
def test_main_holds_for_the_links_of_builds_that_it_was_not_read_off(name: str) -> None:
    (row,) = [each for each in rows() if each.name == name]
    checked = 0
    for build in (name, *ROWS[name][-1]):
        folder = next(
            (
                each
                for each in (SHARED / "distributions", SHARED / "graphs")
                if (each / f"{build}.json.gz").exists()
            ),
            None,
        )
        links = SHARED / ("truth" if build.startswith("esp") else "distributions")
        if folder is None or not (links / f"flash_{build}.jsonl").exists():
            continue
        errors = errors_percent(build, row, folder, links)
        assert -min(errors) <= row.margin_percent, "the margin that is printed is true"
        assert max(map(abs, errors)) < (0.6 if row.log_strings else 1.0)
        checked += 1
    if not checked:
        pytest.skip("the measured graphs are not here")
