"""``tinybudget golden``: vectors as C arrays, and the test program on an emulated Cortex-M."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from modelmaker import ModelMaker
from random_models import variable

from pytest_tinybudget import cli
from pytest_tinybudget.artifacts.golden import Golden
from pytest_tinybudget.artifacts.golden import Values
from pytest_tinybudget.artifacts.golden import render_header
from pytest_tinybudget.artifacts.golden import render_program
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.results.types import PairResult


needs_tflm = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs TFLM's wheel")
needs_gcc = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("g++")), reason="needs gcc and g++"
)
needs_cortex_m = pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="needs arm-none-eabi-gcc and qemu-system-arm",
)


def summing() -> bytes:
    """A model that adds its input to the sum of all before, in a resource variable."""
    maker = ModelMaker()
    graph, start = maker.graph(), maker.graph()
    value = graph.input((1, 4))
    scales = graph.tensors[value].scales
    graph.operator("CALL_ONCE", (), (), {"init_subgraph_index": 1})
    zeros = start.constant((1, 4), "INT8", scale=scales)
    start.operator("ASSIGN_VARIABLE", (variable(start, {"shared_name": "sum"}), zeros), ())
    handle = variable(graph, {"shared_name": "sum"})
    before = graph.tensor((1, 4), "INT8", scale=scales)
    graph.operator("READ_VARIABLE", (handle,), (before,))
    total = graph.add(value, before)
    graph.operator("ASSIGN_VARIABLE", (handle, total), ())
    graph.output(total)
    return maker.build()


#: Stands for TFLM: what ``summing`` computes, with its state. ``STEP`` puts it off by so many.
STAND_IN = """\
#include <stdint.h>
#ifndef STEP
#define STEP 0
#endif
static int8_t input[4], output[4], sum[4];
void* tinybudget_golden_input(int index) { (void)index; return input; }
const void* tinybudget_golden_output(int index) { (void)index; return output; }
int tinybudget_golden_invoke(void) {
  for (int i = 0; i < 4; ++i) {
    int total = input[i] + sum[i];
    total = total > 127 ? 127 : total < -128 ? -128 : total;
    sum[i] = (int8_t)total;
    output[i] = (int8_t)(total > 0 ? total - STEP : total + STEP);
  }
  return 0;
}
"""

STARTUP = """\
#include <stdlib.h>
extern int main(void);
extern void initialise_monitor_handles(void);
extern unsigned char stack_top[];
void reset(void) { initialise_monitor_handles(); exit(main()); }
void _init(void) {}
void _fini(void) {}
__attribute__((section(".vectors"), used))
static const void* const vectors[] = {stack_top, reset, reset, reset};
"""

#: The memory of QEMU's mps2-an385, a Cortex-M3.
SCRIPT = """\
ENTRY(reset)
MEMORY { code (rx) : ORIGIN = 0, LENGTH = 4M  ram (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.ARM.ex*) } > code
  .data : { *(.data*) } > ram
  .bss : { *(.bss*) *(COMMON) end = .; } > ram
  stack_top = ORIGIN(ram) + LENGTH(ram);
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("sum.tflite").write_bytes(summing())
    tmp_path.joinpath("stand_in.c").write_text(STAND_IN)
    tmp_path.joinpath("startup.c").write_text(STARTUP)
    tmp_path.joinpath("mps2.ld").write_text(SCRIPT)
    return tmp_path


def on_a_cortex_m(*flags: str) -> subprocess.CompletedProcess[str]:
    """The test program on an emulated Cortex-M3, with what it printed and its exit code."""
    command = [
        "arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-O1", "-std=c11", "-Wall", "-Wextra",
        "-Werror", *flags, "sum_golden_test.c", "stand_in.c", "startup.c", "-nostartfiles",
        "--specs=rdimon.specs", "-T", "mps2.ld", "-lm", "-o", "test.elf",
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    machine = ["qemu-system-arm", "-M", "mps2-an385", "-nographic", "-monitor", "none"]
    return subprocess.run(
        [*machine, "-semihosting", "-kernel", "test.elf"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


def write(*options: str) -> str:
    assert cli.main(["golden", "sum.tflite", "-o", "sum_golden.h", *options]) == 0
    return Path("sum_golden.h").read_text("ascii")


@needs_tflm
@needs_cortex_m
def test_the_program_passes_on_an_emulated_cortex_m_over_several_invocations(folder: Path):
    write("--samples", "6")

    done = on_a_cortex_m()

    assert (done.returncode, "golden: 6 samples pass" in done.stdout + done.stderr) == (0, True)


@needs_tflm
@needs_cortex_m
def test_one_step_off_fails_with_the_first_number_and_passes_with_a_tolerance(folder: Path):
    header = write("--samples", "2")
    numbers = re.findall(r"output_0\[2\]\[4\] = \{\s+\{\s+(-?\d+),", header)
    expected = int(numbers[0])

    off = on_a_cortex_m("-DSTEP=1")
    write("--samples", "2", "--tolerance", "1")
    tolerated = on_a_cortex_m("-DSTEP=1")

    found = expected - 1 if expected > 0 else expected + 1
    assert off.returncode == 1
    assert (
        f"golden: sample 0, output 0, element 0: expected {expected}, found {found}"
    ) in off.stdout + off.stderr
    assert tolerated.returncode == 0


@needs_tflm
@needs_gcc
@pytest.mark.parametrize("compiler", [("gcc", "-std=c11"), ("g++", "-std=c++11", "-xc++")])
def test_header_and_program_are_c_and_c_plus_plus(folder: Path, compiler: tuple[str, ...]):
    write("--samples", "3")
    flags = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", "sum_golden_test.c", "-o", "o.o")

    subprocess.run([*compiler, *flags], check=True)


@needs_tflm
def test_the_same_options_give_the_same_bytes_and_another_seed_others(folder: Path):
    first, second, other = write(), write(), write("--seed", "1")

    assert first == second
    assert first != other
    assert "Inputs: random, seed 0" in first
    assert "Outputs: tflite-micro " in first


@needs_tflm
def test_outputs_follow_each_other_with_the_models_state(folder: Path):
    np.savez("data.npz", x=np.array([[1, 2, 3, 4], [10, 20, 30, 40], [0, 0, 0, 0]], np.int8))

    header = write("--data", "data.npz", "--samples", "2")

    assert "#define SUM_GOLDEN_SAMPLES 2" in header
    assert "Inputs: the first 2 samples of data.npz" in header
    arrays = re.findall(r"\{\s+((?:-?\d+, ?)+(?:-?\d+)?)", header)
    rows = [[int(each) for each in row.split(",") if each.strip()] for row in arrays]
    assert rows == [[1, 2, 3, 4], [10, 20, 30, 40], [1, 2, 3, 4], [11, 22, 33, 44]]


@needs_tflm
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--samples", "0"), "--samples 0: expected 1 to 10000"),
        (("--tolerance", "-1"), "--tolerance -1: expected 0 steps or more"),
        (("--seed", "-1"), "--seed -1: expected 0 or more"),
        (("--data", "none.npz"), "none.npz: "),
        (("--data", "wrong.npz"), "wrong.npz: 'x' has the shape (2, 5), expected (samples, 4)"),
        (("--data", "wide.npz"), "wide.npz: int32, but the model's input is int8"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
):
    np.savez("wrong.npz", x=np.zeros((2, 5), np.int8))
    np.savez("wide.npz", x=np.zeros((2, 4), np.int32))

    assert cli.main(["golden", "sum.tflite", "-o", "sum_golden.h", *options]) == cli.WRONG_INPUT

    assert message in capsys.readouterr().err
    assert not Path("sum_golden.h").exists()
    assert not Path("sum_golden_test.c").exists()


@needs_gcc
def test_the_least_integers_and_every_float_are_exact_in_c(tmp_path: Path):
    numbers = {
        "INT64": np.array([-(2**63), 2**63 - 1], np.int64),
        "INT32": np.array([-(2**31), 2**31 - 1], np.int32),
        "FLOAT32": np.array([0.1, -1e-30], np.float32),
    }
    values = tuple(Values(each, each, (array.tobytes(),)) for each, array in numbers.items())
    golden = Golden("m", "0", (), values, values)
    tmp_path.joinpath("m.h").write_bytes(render_header(golden))
    tmp_path.joinpath("m_test.c").write_bytes(render_program(golden, "m.h"))
    tmp_path.joinpath("main.c").write_text(
        '#include <stdio.h>\n#include "m.h"\nint main(void) {\n'
        "fwrite(g_m_golden_input_0, 1, 16, stdout); fwrite(g_m_golden_input_1, 1, 8, stdout);\n"
        "fwrite(g_m_golden_input_2, 1, 8, stdout); (void)g_m_golden_output_0;\n"
        "(void)g_m_golden_output_1; (void)g_m_golden_output_2; return 0; }\n"
    )
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(["gcc", *flags, "-c", "m_test.c"], cwd=tmp_path, check=True)
    subprocess.run(["gcc", *flags, "main.c", "-o", "main"], cwd=tmp_path, check=True)

    done = subprocess.run([str(tmp_path / "main")], capture_output=True, check=True)

    assert done.stdout == b"".join(array.tobytes() for array in numbers.values())


def checked(path: str) -> list[PairResult]:
    """The results of a declaration, with files for the firmware that nobody asked for."""
    declared = pairs(path, load_declaration(Path(path)))
    return [Gate().check(each, each.project.artifacts) for each in declared]


DECLARED = """\
[models.sum]
source = "sum.tflite"
boards = ["arduino-nano-33-ble"]
artifacts = ["golden"]
golden = { samples = 2, tolerance = 1 }
"""


@needs_tflm
def test_a_declaration_writes_what_the_command_writes(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TINYBUDGET_CACHE", str(folder / "cache"))
    by_command = write("--name", "sum", "--samples", "2", "--tolerance", "1")
    Path("tinybudget.toml").write_text(DECLARED, encoding="utf-8")
    made = []
    for _ in range(2):  # made, and taken from the cache
        assert cli.main(["check", "--artifacts", "out"]) == 0
        made.append(Path("out/sum_golden.h").read_text("ascii"))
        shutil.rmtree("out/")
        monkeypatch.setattr("pytest_tinybudget.evaluation.golden.golden_vectors", None)

    capsys.readouterr()
    assert made == [by_command, by_command]


def test_without_the_interpreter_the_c_files_are_written_and_a_warning_says_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    text = DECLARED.replace('["golden"]', '["c", "golden"]').replace(
        "[models", '[defaults]\nartifacts = "out"\n[models'
    )
    Path("tinybudget.toml").write_text(text, encoding="utf-8")

    results = checked("tinybudget.toml")

    assert [each.outcome for each in results] == ["warns"]
    assert any("golden vectors need TFLM" in each for each in results[0].warnings)
    assert sorted(path.name for path in Path("out").iterdir())[:1] == ["sum_interpreter.h"]
    assert cli.main(["check", "--artifacts", "out"]) == 2
    assert "golden vectors need TFLM" in capsys.readouterr().out


def test_golden_options_that_write_nothing_are_an_error(folder: Path):
    Path("tinybudget.toml").write_text(DECLARED.replace('["golden"]', '["c"]'), encoding="utf-8")

    with pytest.raises(DeclarationError, match="has no effect without") as caught:
        load_declaration(Path("tinybudget.toml"))

    assert "golden" in str(caught.value)


def test_golden_data_that_is_not_there_is_told_with_its_key(folder: Path):
    text = DECLARED.replace("samples = 2", 'data = "nowhere.npz"')
    Path("tinybudget.toml").write_text(text, encoding="utf-8")

    with pytest.raises(DeclarationError, match=r"no such file: 'nowhere\.npz'"):
        load_declaration(Path("tinybudget.toml"))
