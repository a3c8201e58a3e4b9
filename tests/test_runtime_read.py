"""``tinybudget runtime read``: the runtime of a firmware, built here with TFLM's struct names."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path

import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace
from struct_source import core_source
from struct_source import kernel_sources

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.distributions import find_distribution
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.toolchain.matching import compared_with
from pytest_tinybudget.toolchain.matching import match
from pytest_tinybudget.toolchain.reading import Reading
from pytest_tinybudget.toolchain.reading import read_runtime


pytest.importorskip("elftools")

OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SOFTMAX", "RESHAPE", "ADD", "MEAN")
NEWEST = Tflm()
CMSIS = Kernels("cmsis-nn", dsp=True)
REFERENCE = Kernels("reference")

#: Compiler, flags, how data is laid out, core.
TARGETS: dict[str, tuple[str, tuple[str, ...], Abi, str]] = {
    "arm": (
        "arm-none-eabi-",
        ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        ARM,
        "Cortex-M4F",
    ),
    "xtensa": ("xtensa-lx106-elf-", ("-mlongcalls",), ILP32, ""),
    "riscv": ("riscv64-unknown-elf-", ("-march=rv32imac", "-mabi=ilp32"), ILP32, "RV32IMAC"),
}
_MAIN = """
namespace tflite { DECLARATIONS }
extern const unsigned char g_test_model_data[] __attribute__((aligned(16))) = { BYTES };
unsigned char tensor_arena[ARENA] __attribute__((aligned(16)));
extern const char message[] __attribute__((used)) = "MESSAGE";
extern "C" int arm_convolve_s8(int x) { return x; }
extern "C" __attribute__((used)) int _start() {
  tensor_arena[0] = g_test_model_data[1] + message[0] CONVOLVE; CALLS return 0; }
"""


def model() -> bytes:
    graph = (maker := ModelMaker()).graph()
    graph.output(graph.conv2d(graph.input((1, 8, 8, 8)), filters=4))
    return maker.build()


#: Images and maps that were built already, by compiler, flags and sources.
_BUILT: dict[object, tuple[bytes, bytes]] = {}


def built(
    folder: Path,
    target: str,
    sources: Mapping[str, str],
    *,
    flags: tuple[str, ...] = ("-g",),
    operators: tuple[str, ...] = OPERATORS,
    message: str = "quiet",
    cmsis: bool = False,
    content: bytes | None = None,
) -> Path:
    """A linked image of ``sources`` and of a main function that registers ``operators``."""
    prefix, machine, *_ = TARGETS[target]
    if shutil.which(f"{prefix}g++") is None:
        pytest.skip(f"{prefix}g++ is not installed")
    registered = [name for name in operators if f"Register_{name}()" in "".join(sources.values())]
    text = _MAIN
    for word, value in {
        "DECLARATIONS": "".join(
            f"struct Registration{name}; Registration{name} Register_{name}();"
            for name in registered
        ),
        "BYTES": ",".join(map(str, model() if content is None else content)),
        "ARENA": "4096",
        "MESSAGE": message,
        "CONVOLVE": "+ arm_convolve_s8(1)" if cmsis else "",
        "CALLS": "".join(
            f'__asm__ volatile("" :: "r"(&tflite::Register_{name}));' for name in registered
        ),
    }.items():
        text = text.replace(word, value)
    if not cmsis:
        text = text.replace('extern "C" int arm_convolve_s8(int x) { return x; }', "")
    files = {**sources, "main.cc": text}
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    image, link_map = folder / "firmware.elf", folder / "firmware.map"
    key = (target, flags, tuple(files.items()))
    if key in _BUILT:
        for path, made in zip((image, link_map), _BUILT[key], strict=True):
            path.write_bytes(made)
        return image
    compiled = subprocess.run(
        [f"{prefix}g++", *machine, "-O1", *flags, "-ffreestanding", "-fno-exceptions", "-fno-rtti",
         "-nostdlib", f"-Wl,-Map={link_map.name}", *files, "-o", image.name],
        cwd=folder, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert compiled.returncode == 0, compiled.stderr
    _BUILT[key] = image.read_bytes(), link_map.read_bytes()
    return image


def firmware(
    folder: Path,
    target: str,
    tflm: Tflm = NEWEST,
    kernels: Kernels = REFERENCE,
    *,
    changed: Mapping[str, str] = {},
    data: Mapping[str, int] = {},
    **options: object,
) -> Path:
    """A firmware with TFLM's structs of a version and build."""
    abi = TARGETS[target][2]
    sources = {
        "tensorflow/micro_allocator.cc": core_source(tflm, changed=changed),
        **{
            f"kernels/{name}": text
            for name, text in kernel_sources(OPERATORS, tflm, kernels, abi, changed=data).items()
        },
    }
    cmsis = kernels.library == "cmsis-nn"
    return built(folder, target, sources, cmsis=cmsis, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("static_memory", [True, False])
@pytest.mark.parametrize(
    ("target", "kernels"),
    [("arm", CMSIS), ("arm", REFERENCE), ("riscv", REFERENCE), ("xtensa", REFERENCE)],
)
def test_layouts_are_those_that_the_firmware_was_built_with(
    target: str, kernels: Kernels, static_memory: bool, tmp_path: Path
) -> None:
    tflm = Tflm(static_memory=static_memory)
    reading = read_runtime(firmware(tmp_path, target, tflm, kernels))
    compared = list(compared_with(reading, tflm))
    assert [each for each in compared if each.differs] == []
    assert len([each for each in compared if each.expected is not None]) > 30
    assert reading.static_memory is static_memory
    _, _, abi, core = TARGETS[target]
    assert (reading.abi, reading.core, reading.kernels.library) == (abi, core, kernels.library)
    assert reading.operators == tuple(sorted(OPERATORS))
    assert reading.optimize == "1"
    assert [array.bytes for array in reading.models] == [len(model())]
    assert reading.arenas == (("tensor_arena", 4096),)


@pytest.mark.parametrize(
    "flags",
    [
        ("-gdwarf-2",),
        ("-gdwarf-3",),
        ("-gdwarf-4",),
        ("-gdwarf-5",),
        ("-gdwarf-4", "-fdebug-types-section"),
        ("-gdwarf-5", "-fdebug-types-section", "-gz"),
        ("-g", "-gstrict-dwarf", "-gz=zlib-gnu"),
    ],
    ids=" ".join,
)
def test_every_version_of_dwarf_is_read(flags: tuple[str, ...], tmp_path: Path) -> None:
    reading = read_runtime(firmware(tmp_path, "arm", flags=flags))
    assert not [each for each in compared_with(reading, NEWEST) if each.differs]
    assert reading.layouts["TfLiteTensor"].size == 32
    assert reading.layouts["GreedyMemoryPlanner, a buffer"].size == 40
    assert reading.layouts["MicroMutableOpResolver, an operator"].size == 36
    assert reading.layouts["MicroMutableOpResolver"].size == 12


@pytest.mark.parametrize("name", ["c12bd762", "47b54507", "327c07d4", "a37043ff"])
def test_the_version_is_among_those_that_match(name: str, tmp_path: Path) -> None:
    tflm = Tflm(known("tflm")[name])
    found = match(read_runtime(firmware(tmp_path, "arm", tflm)))
    assert found is not None
    assert found.is_exact
    assert name in [each.name for each in found.candidates]
    assert "90b983c2" not in [each.name for each in found.candidates]
    (span,) = found.spans
    assert span.until is not None, "a later change shows in the structs"


def test_a_fork_is_nearest_to_a_version_and_keeps_its_own_structs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = {"TfLiteEvalTensor": "2p e 4p", "CONV_2D parameters": "e2ie2ie 4i"}
    image = firmware(tmp_path, "arm", changed=changed, data={"CONV_2D": 300})
    tmp_path.joinpath("conv.tflite").write_bytes(model())
    declaration = tmp_path / "tinybudget.toml"
    declaration.write_text(
        '# mine\n[models.conv]\nsource = "conv.tflite"\nboards = ["arduino-nano-33-ble"]\n'
        'runtime = "fork"\n'
    )
    assert main(["runtime", "read", str(image), "--name", "fork", "--write", str(declaration)]) == 0
    assert "none that is known; nearest 90b983c2" in " ".join(capsys.readouterr().out.split())
    assert declaration.read_text().startswith("# mine\n")
    (pair,) = pairs("tinybudget.toml", load_declaration(declaration))
    own = pair.firmware.runtime.tflm
    assert (
        dict(own.layouts)
        == {
            "TfLiteEvalTensor": "2p e 4p",
            "CONV_2D parameters": "e 2i e 2i e 4i",
            "CONV_2D data": "(75i)",
        }
        or dict(own.layouts)["CONV_2D data"] == "75i"
    )
    content = read_model(model(), "conv")
    arena = simulate(content, pair.firmware).arena
    upstream = simulate(content, Firmware(RUNTIMES["m4_ref"])).arena
    assert arena is not None
    assert upstream is not None
    simulation = simulate(content, pair.firmware)
    assert simulation.unknown == (), "RAM is exact for that firmware"
    tensors = len(content.main.tensors)
    grown = tensors * 16 + 16 + (304 - 64)
    assert arena.tail - upstream.tail == grown


def test_what_is_written_can_be_written_again(tmp_path: Path) -> None:
    image = firmware(tmp_path, "arm", changed={"TfLiteEvalTensor": "2p e 4p"})
    declaration = tmp_path / "tinybudget.toml"
    tmp_path.joinpath("conv.tflite").write_bytes(model())
    declaration.write_text(
        'schema = 1\n[models.conv]\nsource = "conv.tflite"\nboards = ["arduino-nano-33-ble"]\n'
    )
    command = ["runtime", "read", str(image), "--name", "fork", "--write", str(declaration)]
    assert main(command) == 0
    once = declaration.read_text()
    assert main(command) == 0
    assert declaration.read_text() == once
    assert load_declaration(declaration).models


def test_files_with_and_without_the_flag_in_one_firmware_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = {
        "tensorflow/micro_allocator.cc": core_source(NEWEST),
        "application.cc": "namespace application { class Tflite {}; }\n"
        + core_source(Tflm(static_memory=False)).replace(" one_", " other_one_"),
    }
    sources["application.cc"] = _local_objects(sources["application.cc"])
    image = built(tmp_path, "arm", sources)
    reading = read_runtime(image)
    assert ("TfLiteTensor", ((32, "tensorflow/micro_allocator.cc"), (64, "application.cc"))) in [
        (each.name, each.sizes) for each in reading.conflicts
    ]
    assert reading.static_memory is True, "the allocator's view counts"
    assert main(["runtime", "read", str(image)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "64 B in application.cc: these files were compiled with other flags" in told


def _local_objects(source: str) -> str:
    """``source`` with its objects static and used, so that two files may have the same."""
    lines = []
    for line in source.splitlines():
        for name in ("planner", "resolver", "list_entry", "requirements"):
            line = line.replace(f" {name};", f" other_{name};")
        lines.append(line)
    return "\n".join(lines)


def test_a_distribution_of_that_version_and_flags_is_named_and_extended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    zephyr = find_distribution("zephyr 4.4").on("Cortex-M4F")
    assert zephyr is not None
    image = firmware(
        tmp_path, "arm", zephyr.tflm, CMSIS,
        flags=("-g", "-Os"), message="Failed to allocate",
    )  # fmt: skip
    tmp_path.joinpath("conv.tflite").write_bytes(model())
    declaration = tmp_path / "tinybudget.toml"
    declaration.write_text(
        '[models.conv]\nsource = "conv.tflite"\nboards = ["arduino-nano-33-ble"]\n'
        'runtime = "mine"\n'
    )
    command = ["runtime", "read", str(image), "--name", "mine", "--write", str(declaration)]
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["distributions"][0] == "zephyr 4.4"
    assert found["runtime"]["mine"]["extends"] == "zephyr 4.4"
    (pair,) = pairs("tinybudget.toml", load_declaration(declaration))
    mine, theirs = (simulate(read_model(model(), "m"), each) for each in (pair.firmware, zephyr))
    assert mine.arena == theirs.arena
    assert mine.unknown == ()


def test_without_debug_information_it_says_what_it_could_not_read_and_what_it_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm", kernels=CMSIS, flags=())
    assert main(["runtime", "read", str(image)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "there is no debug information. Compile with -g" in told
    assert "kernels CMSIS-NN with DSP" in told
    assert "operators 7: ADD, CONV_2D" in told
    assert "TFLM not known" in told
    assert 'extends = "m4_cmsisnn"' in told
    assert 'tflm = "..." is not known' in told
    assert "\nstatic_memory" not in told


def test_a_stripped_firmware_is_told_by_its_map(tmp_path: Path) -> None:
    image = firmware(tmp_path, "arm", flags=())
    subprocess.run(["arm-none-eabi-strip", image.name], cwd=tmp_path, check=True)
    from pytest_tinybudget.toolchain.linker_map import read_symbol_names

    bare = read_runtime(image)
    assert bare.is_stripped
    assert bare.operators == ()
    assert len(bare.models) == 1, "a model is found by its content"
    assert bare.content_of(bare.models[0]).startswith(model())
    names = read_symbol_names(tmp_path / "firmware.map")
    assert read_runtime(image, also_named=names).operators == tuple(sorted(OPERATORS))


def test_whose_kernels_a_stripped_firmware_has_is_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm", kernels=CMSIS, flags=())
    subprocess.run(["arm-none-eabi-strip", image.name], cwd=tmp_path, check=True)
    assert main(["runtime", "read", str(image)]) == 0
    told = capsys.readouterr().out
    assert "kernels         not known; the reference kernels are counted" in told
    assert "# kernels are not known: those of CMSIS-NN and esp-nn take other RAM" in told
    assert main(["runtime", "read", str(image), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kernels"] is None


def test_a_folder_is_no_firmware(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtime", "read", str(tmp_path)]) == 2
    assert "is a folder, expected a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "found"),
    [("Failed to allocate", True), ("Didn't find op for builtin opcode", True), ("hello", False)],
)
def test_log_strings_are_found_by_tflms_messages(message: str, found: bool, tmp_path: Path) -> None:
    reading = read_runtime(firmware(tmp_path, "arm", message=message, flags=()))
    assert reading.log_strings is found


def test_json_has_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = firmware(tmp_path, "riscv", Tflm(static_memory=False))
    assert main(["runtime", "read", str(image), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["static_memory"], found["abi"], found["core"]) == (False, "ilp32", "RV32IMAC")
    (arena,) = found["models"]
    full = replace(RUNTIMES["rv32imc_ref"], tflm=Tflm(static_memory=False))
    expected = simulate(read_model(model(), "m"), full).arena
    assert expected is not None
    assert arena["arena"]["used"] == expected.used
    predicted = simulate(read_model(model(), "m"), RUNTIMES["rv32imc_ref"]).arena
    assert predicted is not None
    assert arena["predicted"]["used"] == predicted.used < expected.used
    by_name = {each["name"]: each for each in found["structs"]}
    assert by_name["NodeAndRegistration"]["firmware"] == 44
    assert by_name["NodeAndRegistration"]["predicted"] == 32
    assert found["runtime"]["firmware"]["static_memory"] is False


def test_what_it_is_compared_with_is_not_what_it_extends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm")
    assert main(["runtime", "read", str(image), "--runtime", "zephyr 4.4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    by_name = {each["name"]: each["predicted"] for each in found["structs"]}
    assert by_name["NodeAndRegistration"] == 44
    assert found["runtime"]["firmware"]["extends"] == "m4_ref"


def test_the_declaration_can_go_to_a_file_or_to_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm")
    output = tmp_path / "runtime.toml"
    assert main(["runtime", "read", str(image), "-o", str(output)]) == 0
    capsys.readouterr()
    assert main(["runtime", "read", str(image), "-o", "-"]) == 0
    assert capsys.readouterr().out == output.read_text()
    assert output.read_text().startswith("[runtime.firmware]\nextends = ")


def logged(folder: Path, text: str) -> str:
    folder.joinpath("serial.txt").write_text(text)
    return str(folder / "serial.txt")


def test_a_serial_log_is_held_against_the_firmwares_arena(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm")
    arena = simulate(read_model(model(), "m"), RUNTIMES["m4_ref"]).arena
    assert arena is not None
    log = logged(
        tmp_path,
        f"boot\nI (30) app: arena_used_bytes: {arena.used}\nArena used: {arena.used + 64} bytes\n"
        f"[RecordingMicroAllocator] Arena allocation total {arena.used} bytes\n"
        f"[RecordingMicroAllocator] Arena allocation tail {arena.tail} bytes\n"
        "[RecordingMicroAllocator] 'NodeAndRegistration struct' used 32 bytes with alignment "
        "overhead (requested 32 bytes for 1 NodeAndRegistration structs)\n",
    )
    assert main(["runtime", "read", str(image), "--log", log]) == 0
    told = capsys.readouterr().out
    assert f"line 2: used {arena.used:,} B, as computed for g_test_model_data" in told
    assert f"line 3: used {arena.used + 64:,} B, +64 against {arena.used:,} B" in told
    assert f"line 4: tail {arena.tail:,} B, as computed" in told
    assert "line 4: node_and_registration 32 B, as computed" in told


def test_a_log_tells_the_flag_where_nothing_else_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm", flags=())
    full = replace(RUNTIMES["m4_ref"], tflm=Tflm(static_memory=False))
    arena = simulate(read_model(model(), "m"), full).arena
    assert arena is not None
    log = logged(tmp_path, f"arena_used_bytes() = {arena.used}\n")
    assert main(["runtime", "read", str(image), "--log", log]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "static memory no" in told
    assert "by the serial log" in told
    assert "static_memory = false" in told


def without_the_flag(folder: Path) -> Path:
    """A firmware whose debug information has kernels' structs, and none that tells the flag."""
    sources = {
        f"kernels/{name}": text
        for name, text in kernel_sources(OPERATORS, NEWEST, REFERENCE, ARM).items()
    }
    return built(folder, "arm", sources)


def test_both_builds_are_tried_where_the_structs_do_not_tell_the_flag(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = without_the_flag(tmp_path)
    assert main(["runtime", "read", str(image), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    larger = replace(RUNTIMES["m4_ref"], tflm=Tflm(static_memory=False))
    arena = simulate(read_model(model(), "m"), larger).arena
    assert arena is not None
    assert read["structs"], "some structs are there"
    assert read["static_memory"] is None
    assert read["models"][0]["arena"]["required"] >= arena.required
    assert "TFLM" in read["models"][0]["estimate"]
    assert "tflm" not in read["runtime"]["firmware"], "it would be read as the smaller build"
    assert "static_memory" not in read["runtime"]["firmware"]


@pytest.mark.parametrize("static_memory", [True, False])
def test_a_log_tells_the_flag_where_the_structs_do_not(
    static_memory: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = without_the_flag(tmp_path)
    built_so = replace(RUNTIMES["m4_ref"], tflm=Tflm(static_memory=static_memory))
    arena = simulate(read_model(model(), "m"), built_so).arena
    assert arena is not None
    log = logged(tmp_path, f"arena_used_bytes() = {arena.used}\n")
    assert main(["runtime", "read", str(image), "--log", log, "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["static_memory"] is static_memory
    assert read["models"][0]["arena"]["used"] == arena.used


@pytest.mark.parametrize(
    "text", ["", "no figures\n", "unused arena: 400\n", "arena used: 12.5 KB\n"]
)
def test_a_log_without_figures_is_one_clear_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm")
    assert main(["runtime", "read", str(image), "--log", logged(tmp_path, text)]) == 2
    assert "no arena figure in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "damaged", "message"),
    [
        ("empty", lambda _: b"", "does not begin with an ELF header"),
        ("text", lambda _: b"#!/bin/sh\n", "does not begin with an ELF header"),
        ("archive", lambda _: b"!<arch>\n", "does not begin with an ELF header"),
        ("header", lambda content: content[:40], "truncated header"),
        ("half", lambda content: content[: len(content) // 2], "lie outside of the file"),
        ("object", None, "give the firmware's .elf"),
        ("sound", lambda content: content, ""),
    ],
)
def test_a_file_that_is_no_firmware_is_one_clear_line(
    name: str,
    damaged: Callable[[bytes], bytes] | None,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = firmware(tmp_path, "arm")
    if damaged is None:
        subprocess.run(
            ["arm-none-eabi-gcc", "-c", "-mcpu=cortex-m4", "-g", "main.cc", "-o", image.name],
            cwd=tmp_path, check=True,
        )  # fmt: skip
    else:
        image.write_bytes(damaged(image.read_bytes()))
    code = main(["runtime", "read", str(image)])
    told = capsys.readouterr().err
    assert code == (2 if message else 0)
    assert message in told
    assert told.count("\n") <= 1
    assert (image.name in told) is bool(message)


def _section(content: bytes, name: str) -> tuple[int, int]:
    """Where a section lies in the file, and how long it is."""
    from pytest_tinybudget.toolchain.elf import open_elf
    from pytest_tinybudget.toolchain.elf import section_headers
    from pytest_tinybudget.toolchain.elf import section_names

    elf = open_elf(content)
    headers = section_headers(elf)
    header = headers[section_names(content, elf, headers).index(name)]
    return header["sh_offset"], header["sh_size"]


@pytest.mark.campaign
def test_damaged_debug_information_is_read_or_told(tmp_path: Path) -> None:
    image = firmware(tmp_path, "arm")
    sound = image.read_bytes()
    chance = random.Random(18)
    told = 0
    places = [_section(sound, name) for name in (".debug_info", ".debug_abbrev", ".debug_str")]
    for _ in range(60):
        content = bytearray(sound)
        start, size = chance.choice(places)
        for _ in range(chance.randrange(1, 6)):
            content[start + chance.randrange(size)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF])
        image.write_bytes(content)
        try:
            reading = read_runtime(image)
        except TinybudgetError as error:
            told += 1
            assert "\n" not in str(error)  # noqa: PT017
        else:
            assert isinstance(reading, Reading)
    assert told > 5


@pytest.mark.parametrize("target", ["arm", "riscv"])
def test_damaged_build_attributes_are_read_or_told(target: str, tmp_path: Path) -> None:
    image = firmware(tmp_path, target)
    sound = image.read_bytes()
    start, size = _section(sound, {"arm": ".ARM.attributes", "riscv": ".riscv.attributes"}[target])
    told = 0
    for cut in range(size):
        image.write_bytes(sound[: start + cut] + b"\xff" * (size - cut) + sound[start + size :])
        try:
            read_runtime(image)
        except TinybudgetError as error:
            told += 1
            assert image.name in str(error)  # noqa: PT017
    assert told > 0


@pytest.mark.parametrize("name", [".debug_info", ".debug_abbrev", ".debug_str"])
def test_a_number_or_a_name_without_an_end_is_told(name: str, tmp_path: Path) -> None:
    image = firmware(tmp_path, "arm")
    content = bytearray(image.read_bytes())
    start, size = _section(content, name)
    filled = b"\x80" * size if name != ".debug_str" else b"x" * size
    content[start : start + size] = filled
    image.write_bytes(content)
    try:
        read_runtime(image)
    except TinybudgetError as error:
        assert image.name in str(error)  # noqa: PT017
    else:
        assert size < 4096 or name == ".debug_str"


def test_a_model_that_is_no_model_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm", content=b"\x1c\0\0\0TFL3" + bytes(64))
    assert main(["runtime", "read", str(image)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "no model is in it: give --model FILE" in told


def test_a_given_model_is_measured_in_the_firmwares_runtime(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = firmware(tmp_path, "arm", content=b"none")
    (tmp_path / "conv.tflite").write_bytes(model())
    command = ["runtime", "read", str(image), "--model", str(tmp_path / "conv.tflite")]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "arena of conv.tflite" in told
    assert "conv.tflite is not in the firmware as it is" in told


def test_a_wrong_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtime", "read", "nowhere.elf", "--name", "a b"]) == 2
    assert "expected letters, digits" in capsys.readouterr().err
    assert main(["runtime", "read", str(tmp_path / "nowhere.elf")]) == 2
    assert "no such file" in capsys.readouterr().err
