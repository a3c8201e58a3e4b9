"""The files that the firmware gets: right bytes, safe text, and what compilers make of them."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from modelmaker import ModelMaker
from msgspec.structs import replace
from rendered import render
from rendered import render_array
from tflm_headers import headers_of

from pytest_tinybudget import artifacts
from pytest_tinybudget.artifacts import write
from pytest_tinybudget.artifacts.settings import float_literal
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import changed
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.registrations import typed_registrations
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES


ARM = ("arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb")
RISCV = ("riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror")

#: A date for each form that TFLM's interface has had (``tflm_headers.py``).
ERAS = (
    "2021-04-10", "2021-10-01", "2022-06-07", "2022-08-01", "2022-10-11", "2023-03-01",
    "2023-03-20", "2023-06-01", "2023-10-01", "2024-12-23", "2026-08-20",
)  # fmt: skip


def classifier(type_: str = "INT8", custom: str = "") -> Model:
    """A convolution, a dense layer and a softmax, with a custom operator in front if named."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3), type_, name="image */ \\ ??/")
    if custom:
        filtered = graph.tensor((1, 8, 8, 3), type_)
        graph.operator(custom, (image,), (filtered,), custom_options=b"")
        image = filtered
    graph.output(graph.softmax(graph.dense(graph.conv2d(image, filters=4), units=10)))
    return read_model(maker.build(), "classifier")


def firmware(registrations_: str = "generic") -> Firmware:
    return Firmware(RUNTIMES["m4_cmsisnn"], "typed" if registrations_ == "typed" else "generic")


def footprint(runtime: str, *, required: int, used: int, decided_by: str = "used") -> Footprint:
    arena = Arena(
        required=required,
        used=used,
        head=used // 2,
        tail=used - used // 2,
        decided_by=decided_by,
        recorded={},
        buffers=(),
        peak_time=0,
        optimum_head=used // 2,
    )
    return Footprint(runtime, (), (), arena, 1240, ())


def numbers(source: bytes) -> bytes:
    """The bytes of the array in a generated source."""
    body = source.split(b"= {\n")[1].split(b"}")[0]
    return bytes(int(number, 16) for number in body.split(b",") if number.strip())


def compiler_or_skip(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")


def compile_c(command: tuple[str, ...], source: Path, *options: str) -> Path:
    """The object file of ``source``; warnings fail."""
    target = source.with_suffix(f"{source.suffix}.o")
    done = subprocess.run(
        [*command, *WARNINGS, *options, "-c", str(source), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target


def write_headers(folder: Path, headers: dict[str, str]) -> None:
    for name, content in headers.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def symbol(target: Path, name: str) -> tuple[str, int, int, int, bytes]:
    """Section name and alignment, the symbol's offset in it, size and contents."""
    with target.open("rb") as file:
        elf = ELFFile(file)
        (entry,) = elf.get_section_by_name(".symtab").get_symbol_by_name(name)
        section = elf.get_section(entry["st_shndx"])
        start, size = entry["st_value"], entry["st_size"]
        return (
            section.name,
            section["sh_addralign"],
            start,
            size,
            section.data()[start : start + size],
        )


# The array


def test_the_array_holds_the_model_unchanged() -> None:
    model = classifier()
    files = render(model, name="kws")
    assert numbers(files["kws_model_data.cc"]) == model.content
    assert f"g_kws_model_data_size = {len(model.content)};" in files["kws_model_data.h"].decode()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 2**14, 2**14 + 1, 2**15 + 1023])
def test_the_array_ends_where_the_model_ends(size: int) -> None:
    content = random.Random(size).randbytes(size)
    model = replace(classifier(), content=content)
    assert numbers(render_array(model, "kws")["kws_model_data.cc"]) == content


def test_an_array_is_written_and_compared_in_pieces(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(5 * 16 * 1024 + 7)
    files = artifacts.render_array(replace(classifier(), content=content), "kws")
    (path,) = (path for path in write(tmp_path, files) if path.suffix == ".cc")
    text = path.read_bytes()
    assert numbers(text) == content
    assert text == bytes(files[path.name])
    before = path.stat().st_mtime_ns, path.stat().st_ino
    write(tmp_path, files)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert changed(tmp_path, files) == {}
    end = text.rindex(b"0x")
    for other in (text[:-1], text + b" ", text[:end] + b"0xzz" + text[end + 4 :]):
        path.write_bytes(other)
        assert changed(tmp_path, files) == {path.name: text}
        write(tmp_path, files)
        assert path.read_bytes() == text


@pytest.mark.parametrize(
    ("command", "language", "standard"),
    [
        (ARM, "c", "-std=c11"),
        (ARM, "c++", "-std=c++17"),
        (RISCV, "c", "-std=c11"),
        (RISCV, "c++", "-std=c++11"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_compilers_place_the_array_in_flash_aligned_to_16(
    command: tuple[str, ...], language: str, standard: str, tmp_path: Path
) -> None:
    compiler_or_skip(command)
    model = classifier()
    write(tmp_path, render_array(model, "kws", "c" if language == "c" else "c++"))
    source = tmp_path / f"kws_model_data.{'c' if language == 'c' else 'cc'}"
    section, alignment, start, size, contents = symbol(
        compile_c(command, source, standard), "g_kws_model_data"
    )
    assert section.startswith(".rodata")
    assert alignment >= 16
    assert start % 16 == 0
    assert size == len(model.content)
    assert contents == model.content


def test_above_1_mb_an_assembler_file_gives_the_same_symbol(tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    content = os.urandom(1024**2 + 1)
    write(tmp_path, render_array(replace(classifier(), content=content), "large"))
    define = "-DTINYBUDGET_INCBIN"
    included = compile_c(ARM, tmp_path / "large_model_data.S", define, f"-I{tmp_path}")
    section, alignment, start, size, contents = symbol(included, "g_large_model_data")
    assert section.startswith(".rodata")
    assert (alignment, start, size) == (16, 0, len(content))
    assert contents == content


def test_array_and_assembler_file_never_define_the_symbol_both(tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    model = replace(classifier(), content=bytes(1024**2 + 1))
    write(tmp_path, render_array(model, "large"))
    unused = compile_c(ARM, tmp_path / "large_model_data.S")
    other = compile_c(ARM, tmp_path / "large_model_data.cc", "-DTINYBUDGET_INCBIN")
    for target in (unused, other):
        with target.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            assert table.get_symbol_by_name("g_large_model_data") is None


def test_up_to_1_mb_there_is_no_assembler_file() -> None:
    model = replace(classifier(), content=bytes(1024**2))
    assert sorted(render_array(model, "kws")) == ["kws_model_data.cc", "kws_model_data.h"]


# The constants


def test_the_arena_is_the_largest_that_a_runtime_requires() -> None:
    footprints = [
        footprint("m4_cmsisnn", required=22832, used=22820),
        footprint("m4_ref", required=20352, used=15956, decided_by="preparing FULLY_CONNECTED #1"),
    ]
    settings = render(classifier(), name="kws", footprints=footprints)["kws_model_settings.h"]
    text = settings.decode()
    assert "#define KWS_TENSOR_ARENA_SIZE 22832\n" in text
    assert "m4_cmsisnn: 22832, of which arena_used_bytes() prints 22820\n" in text
    assert "m4_ref: 20352, of which arena_used_bytes() prints 15956:\n" in text
    assert "temporary tensors while preparing FULLY_CONNECTED #1 takes room too" in text
    assert "#define KWS_STACK_SIZE 1240\n" in text


def test_an_arena_that_is_a_bound_says_so() -> None:
    bounded = replace(
        footprint("m4_ref", required=2048, used=2048), unknown=("MY_OP #0: no rule for it",)
    )
    settings = render(classifier(), name="kws", footprints=[bounded])["kws_model_settings.h"]
    assert b" *     bounded, not known: MY_OP #0: no rule for it\n" in settings


def test_a_model_that_was_not_measured_has_no_arena_constant() -> None:
    text = render(classifier(), name="kws")["kws_model_settings.h"].decode()
    assert "ARENA" not in text
    assert "#define KWS_INPUT0_SHAPE {1, 8, 8, 3}" in text


def test_inputs_and_outputs_are_described() -> None:
    text = render(classifier(), name="kws")["kws_model_settings.h"].decode()
    model = classifier()
    tensor = model.main.tensors[model.main.outputs[0]]
    for line in (
        "#define KWS_INPUTS 1",
        "#define KWS_INPUT0_TYPE kTfLiteInt8",
        "#define KWS_INPUT0_BYTES 192",
        "#define KWS_INPUT0_SCALE 0.03125f",
        "#define KWS_OUTPUTS 1",
        "#define KWS_OUTPUT0_RANK 2",
        "#define KWS_OUTPUT0_ELEMENTS 10",
        f"#define KWS_OUTPUT0_ZERO_POINT {tensor.quantization.zero_points[0]}",
    ):
        assert f"{line}\n" in text


@pytest.mark.parametrize("language", ["c", "c++"])
def test_a_firmware_can_use_the_constants(language: str, tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    footprints = [footprint("m4_ref", required=2048, used=2036)]
    write(tmp_path, render(classifier(), name="kws", footprints=footprints))
    source = tmp_path / ("use.c" if language == "c" else "use.cc")
    source.write_text(
        """
        #include "kws_model_data.h"
        #include "kws_model_settings.h"
        unsigned char arena[KWS_TENSOR_ARENA_SIZE];
        int shape[KWS_INPUT0_RANK] = KWS_INPUT0_SHAPE;
        float scale = KWS_INPUT0_SCALE;
        unsigned char copy[g_kws_model_data_size];
        """,
        encoding="utf-8",
    )
    target = compile_c(ARM, source, "-std=c11" if language == "c" else "-std=c++17")
    assert symbol(target, "arena")[3] == 2048
    assert symbol(target, "shape")[4] == struct.pack("<4i", 1, 8, 8, 3)
    assert symbol(target, "scale")[4] == struct.pack("<f", 0.03125)
    assert symbol(target, "copy")[3] == len(classifier().content)


@pytest.mark.parametrize("bits", [0x3F800000, 0x3B808081, 0x7F7FFFFF, 0x00000001, 0x358637BD])
def test_scales_are_exact_float_literals(bits: int) -> None:
    (value,) = struct.unpack("<f", struct.pack("<I", bits))
    literal = float_literal(value)
    assert re.fullmatch(r"[0-9]+\.[0-9]+(e[+-][0-9]+)?f|[0-9]+(\.[0-9]+)?e[+-][0-9]+f", literal)
    assert struct.pack("<f", float(literal[:-1])) == struct.pack("<I", bits)


def test_a_scale_that_no_literal_stands_for_is_an_error() -> None:
    with pytest.raises(TinybudgetError, match="not finite"):
        float_literal(float("inf"))


# The resolver


def calls(model: Model, registrations_: str = "generic") -> list[str]:
    """The resolver's calls in the generated header."""
    chosen = firmware(registrations_)
    text = render(model, name="kws", firmwares=[chosen])["kws_op_resolver.h"].decode()
    return re.findall(r"resolver\.(\w+\(.*\)) != kTfLiteOk", text)


def test_the_resolver_has_exactly_the_models_operators() -> None:
    assert calls(classifier()) == ["AddConv2D()", "AddFullyConnected()", "AddSoftmax()"]
    header = render(classifier(), name="kws")["kws_op_resolver.h"]
    assert b"kOperatorCount = 3;" in header


def test_typed_registrations_name_the_types_that_the_model_uses() -> None:
    assert calls(classifier(), "typed") == [
        "AddConv2D(tflite::Register_CONV_2D_INT8())",
        "AddFullyConnected(tflite::Register_FULLY_CONNECTED_INT8())",
        "AddSoftmax(tflite::Register_SOFTMAX_INT8())",
    ]


def test_a_float_model_has_no_typed_registration() -> None:
    assert calls(classifier("FLOAT32"), "typed") == calls(classifier("FLOAT32"))


def test_an_operator_used_with_two_types_stays_generic() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    for type_ in ("INT8", "FLOAT32"):
        graph.output(graph.softmax(graph.conv2d(graph.input((1, 8, 8, 3), type_), filters=4)))
    mixed = read_model(maker.build(), "mixed")
    assert typed_registrations(mixed) == {}


def test_lstm_stays_generic_since_its_typed_kernels_assert_wrongly() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 4, 8)), units=4))
    model = read_model(maker.build(), "lstm")
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in typed_registrations(model)


def test_tflms_own_custom_operators_have_their_methods() -> None:
    assert calls(classifier(custom="SignalRfft"))[-1] == "AddRfft()"


def test_other_custom_operators_are_handed_in_by_the_firmware() -> None:
    text = render(classifier(custom="MY_OP"), name="kws")["kws_op_resolver.h"].decode()
    assert "RegisterOperators(OpResolver& resolver, const TFLMRegistration* custom_1)" in text
    assert 'resolver.AddCustom("MY_OP", custom_1)' in text
    assert "kOperatorCount = 4;" in text


def test_an_operator_that_tflm_lacks_is_an_error() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("GELU", graph.input((1, 8))))
    with pytest.raises(TinybudgetError, match=r"^kws: TFLM's resolver has no GELU$"):
        render(read_model(maker.build(), "gelu"), name="kws")


@pytest.mark.parametrize("choice", ["generic", "typed"])
@pytest.mark.parametrize("custom", ["", "SignalRfft", "MY_OP", 'quote" back\\slash ??/ \n é'])
def test_the_resolver_compiles_against_tflms_names(
    choice: str, custom: str, tmp_path: Path
) -> None:
    compiler_or_skip(ARM)
    write_headers(tmp_path, headers_of(ERAS[-1]))
    model = classifier(custom=custom)
    write(tmp_path, render(model, name="kws", firmwares=[firmware(choice)]))
    foreign = custom and custom != "SignalRfft"
    source = tmp_path / "use.cc"
    source.write_text(
        f"""
        #include "kws_op_resolver.h"
        static TFLMRegistration mine;
        static_assert(kws_model::kOperatorCount == {4 if custom else 3}, "count");
        int main() {{
          static kws_model::OpResolver resolver;
          (void)mine;
          return kws_model::RegisterOperators(resolver{", &mine" if foreign else ""});
        }}
        """,
        encoding="utf-8",
    )
    compile_c(ARM, source, "-std=c++17", f"-I{tmp_path}")


def test_the_firmware_in_the_docs_compiles(tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    page = (Path(__file__).parents[1] / "docs" / "artifacts.md").read_text(encoding="utf-8")
    source = tmp_path / "firmware.cc"
    source.write_text(page.partition("```cpp\n")[2].partition("```")[0], encoding="utf-8")
    write_headers(tmp_path, headers_of(ERAS[-1]))
    footprints = [footprint("m4_ref", required=2048, used=2036)]
    write(tmp_path, render(classifier(), name="kws", footprints=footprints))
    target = compile_c(ARM, source, "-std=c++17", "-fno-threadsafe-statics", f"-I{tmp_path}")
    with target.open("rb") as file:
        names = {
            entry.name for entry in ELFFile(file).get_section_by_name(".symtab").iter_symbols()
        }
    assert "g_kws_model_data" in names
    assert any("classify" in name for name in names)


def test_the_table_of_registrations_is_complete_and_consistent() -> None:
    table = registrations()
    assert len(table) == 118  # methods of micro_mutable_op_resolver.h besides AddCustom
    assert len({entry.method for entry in table.values()}) == len(table)
    for entry in table.values():
        assert bool(entry.types) == bool(entry.header)


# Names and hostile text


def test_files_are_named_after_the_identifier() -> None:
    assert sorted(render(classifier(), name="../person-detect.v2")) == [
        "person_detect_v2_interpreter.h",
        "person_detect_v2_model_data.cc",
        "person_detect_v2_model_data.h",
        "person_detect_v2_model_settings.h",
        "person_detect_v2_op_resolver.h",
    ]


@pytest.mark.parametrize("name", ["*/ #error", "back\\", "??/", "new\nline", 'a"b', "class", "2x"])
def test_hostile_names_break_neither_comments_nor_code(name: str, tmp_path: Path) -> None:
    compiler_or_skip(ARM)
    write(tmp_path, render(classifier(), name=name, language="c"))
    for source in tmp_path.glob("*.c"):
        compile_c(ARM, source, "-std=c11")
    (settings,) = tmp_path.glob("*_model_settings.h")
    probe = tmp_path / "probe.c"
    probe.write_text(f'#include "{settings.name}"\nint probe;\n', encoding="utf-8")
    compile_c(ARM, probe, "-std=c11")


# Writing


def test_the_same_model_gives_the_same_bytes() -> None:
    footprints = [footprint("m4_ref", required=2048, used=2036)]
    first = render(classifier(), name="kws", footprints=footprints)
    again = render(classifier(), name="kws", footprints=list(reversed(footprints)))
    assert first == again


def test_files_are_written_and_named_in_order(tmp_path: Path) -> None:
    paths = write(tmp_path / "build" / "tinybudget", {"b.h": b"b", "a.h": b"a"})
    assert [path.name for path in paths] == ["a.h", "b.h"]
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


def test_an_unchanged_file_is_left_alone(tmp_path: Path) -> None:
    (path,) = write(tmp_path, {"a.h": b"same"})
    os.utime(path, ns=(1, 1))
    write(tmp_path, {"a.h": b"same"})
    assert path.stat().st_mtime_ns == 1
    write(tmp_path, {"a.h": b"other"})
    assert path.read_bytes() == b"other"


def test_a_failed_write_leaves_the_old_file_and_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a.h": b"old"})

    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(TinybudgetError, match="Permission denied"):
        write(tmp_path, {"a.h": b"new"})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.h", b"old")]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_symbolic_link_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "a.h").symlink_to(outside)
    write(folder, {"a.h": b"precious"})
    assert not (folder / "a.h").is_symlink()
    write(folder, {"a.h": b"new"})
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["../a.h", "/a.h", "sub/a.h", "..", "", "a\\b.h", "c:a.h"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(TinybudgetError, match="not a plain file name"):
        write(tmp_path / "out", {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(TinybudgetError, match="cannot write to"):
        write(tmp_path / "out", {"a.h": b"x"})


@pytest.mark.parametrize(
    ("folder", "ignored"),
    [("build/tinybudget", True), ("generated", False)],
    ids=["default", "own"],
)
def test_git_leaves_the_default_folder_alone_and_no_other(
    tmp_path: Path, folder: str, ignored: bool
) -> None:
    write(tmp_path / folder, {"kws_model_data.h": b"h"})
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    command = ["git", "-C", str(tmp_path), "status", "--porcelain", "--untracked-files=all"]
    status = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert status == ("" if ignored else f"?? {folder}/kws_model_data.h\n")


def test_a_default_folder_that_is_there_is_committed_as_before(tmp_path: Path) -> None:
    folder = tmp_path / "build" / "tinybudget"
    folder.mkdir(parents=True)

    write(folder, {"kws_model_data.h": b"h"})

    assert [path.name for path in folder.iterdir()] == ["kws_model_data.h"]
