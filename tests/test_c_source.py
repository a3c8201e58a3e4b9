"""A model in a C or C++ source: found by its content, read as a compiler reads it, or refused."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from campaigns import every
from campaigns import rare
from modelmaker import ModelMaker
from pace import soon

from pytest_tinybudget import api
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.cli import main
from pytest_tinybudget.graph.c_source import model_bytes
from pytest_tinybudget.graph.c_source import models_in
from pytest_tinybudget.graph.tflite import load_model


#: Begins as a model does; every byte that a spelling could get wrong is in it.
CONTENT = b"\x1c\x00\x00\x00TFL3" + bytes(range(256)) + b"\x00\x00"


def small_model(units: int = 4) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.softmax(graph.dense(graph.input((1, 16)), units=units)))
    return maker.build()


def elements(content: bytes, spell: Callable[[int], str] = "0x{:02x}".format) -> str:
    rows = (content[start : start + 12] for start in range(0, len(content), 12))
    return ",\n".join("  " + ", ".join(map(spell, row)) for row in rows)


def mixed(byte: int) -> str:
    """Each byte in one of the ways that C has for it, by turns."""
    ways = (
        *(f"{byte}", f"0x{byte:X}", f"0X{byte:02x}u", f"0{byte:o}", f"0b{byte:b}", f"{byte}UL"),
        *(f"(unsigned char)0x{byte:x}", f"'\\x{byte:x}'", f"'\\{byte:o}'", f"  {byte}\t"),
        f"'{chr(byte)}'" if 32 < byte < 127 and byte not in b"'\\" else f"{byte}",
    )
    return ways[byte % len(ways)]


def escaped(content: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in content)


def octal(content: bytes) -> str:
    return "".join(f"\\{byte:03o}" for byte in content)


HEX = elements(CONTENT)
ARRAY = f"const unsigned char g_model[] = {{\n{HEX}\n}};\n"

#: Sources that a C++ compiler takes, each with the model as an array called ``g_model``.
SOURCES = {
    "xxd": f"{ARRAY.removeprefix('const ')}unsigned int g_model_len = {len(CONTENT)};\n",
    "const": f"const unsigned char g_model[] = {{{HEX}}};",
    "trailing comma": f"const unsigned char g_model[] = {{{HEX},\n}};",
    "no space": f"const unsigned char g_model[]={{{HEX.replace(' ', '')}}};",
    "one line": f"const unsigned char g_model[] = {{{HEX.replace(chr(10), '')}}};",
    "windows lines": ARRAY.replace("\n", "\r\n"),
    "upper case": f"const unsigned char g_model[] = {{{elements(CONTENT, '0X{:02X}'.format)}}};",
    "decimal": f"const unsigned char g_model[] = {{{elements(CONTENT, str)}}};",
    "all spellings": f"const unsigned char g_model[] = {{{elements(CONTENT, mixed)}}};",
    "size": f"const unsigned char g_model[{len(CONTENT)}] = {{{HEX}}};",
    "alignas": f"alignas(16) const unsigned char g_model[] = {{{HEX}}};",
    "attribute before": f"__attribute__((aligned(16))) const unsigned char g_model[] = {{{HEX}}};",
    "attribute": f"const unsigned char g_model[] __attribute__((aligned(4))) = {{{HEX}}};",
    "section": (
        f'const unsigned char g_model[] __attribute__((section(".rodata.m"))) = {{{HEX}}};'
    ),
    "macro": f"#define ALIGN\nconst unsigned char g_model[] ALIGN = {{{HEX}}};",
    "brackets": f"[[maybe_unused]] const unsigned char g_model[] = {{{HEX}}};",
    "no equals sign": f"const unsigned char g_model[]{{{HEX}}};",
    "std::array": (
        f"#include <array>\nstd::array<unsigned char, {len(CONTENT)}> g_model = {{{{{HEX}}}}};"
    ),
    "uint8_t": f"#include <cstdint>\nextern const uint8_t g_model[], x[];\n"
    f"const uint8_t g_model[] = {{{HEX}}};",
    "comments": (
        "/* g_other[] = {0x1c, 0, 0, 0, 'T'} */\n// a { line\nconst unsigned char g_model[] = {"
        + elements(CONTENT, "0x{:02x} /* , 1 \" */".format).replace("\n", "  // it's one\n")
        + "};"
    ),
    "splices": ARRAY.replace("char g", "char \\\ng").replace("0x1", "0x\\\n1"),
    "after other code": (
        "constexpr int kArena = 10'000;\nconst char kText[] = \"x[] = { 0x1c } \\\" // \";\n"
        "const char kQuote = '\\'', kBrace = '{';\nint twice(int x) { return 2 * x; }\n"
        "const float kScales[] = {0.5f, 1e-3f};\nconst int kShape[2][2] = {{1, 2}, {3, 4}};\n"
        f"namespace a {{ namespace {{ int b = 1; }} }}\n{ARRAY}"
    ),
    "raw string": f'const char kRaw[] = R"x(" {{ // )x";\n{ARRAY}',
    "if 0": (
        f"#if 0\nconst unsigned char g_model[] = {{{elements(CONTENT[:100])}}};\n#else\n"
        f"const unsigned char g_model[] = {{{HEX}}};\n#endif\n"
    ),
    "if 1": (
        f"#if 1\nconst unsigned char g_model[] = {{{HEX}}};\n#else\n"
        f"const unsigned char g_model[] = {{{elements(CONTENT[:100])}}};\n#endif\n"
    ),
    "directive inside": (
        f"const unsigned char g_model[] = {{\n#ifdef __cplusplus\n{HEX}\n#endif\n}};"
    ),
    "words of 32 bits": (
        "#include <cstdint>\nconst uint32_t g_model[] = {"
        + ", ".join(
            hex(int.from_bytes((CONTENT + b"\0\0\0")[start : start + 4], "little"))
            for start in range(0, len(CONTENT), 4)
        )
        + "};"
    ),
    "zero fill": f"const unsigned char g_model[300] = {{{HEX}}};",
}  # fmt: skip

#: With string literals, whose end is one more byte for a compiler, and none of the model.
TEXTS = {
    "hex string": f'const unsigned char g_model[] = "{escaped(CONTENT)}";',
    "strings side by side": (
        "alignas(8) const unsigned char g_model[] =\n"
        + "\n".join(f'  "{escaped(CONTENT[at : at + 16])}"' for at in range(0, len(CONTENT), 16))
        + ";"
    ),
    "octal string": f'const char g_model[] = "{octal(CONTENT)}";',
    "letters": f'const char g_model[] = "\\034\\0\\0\\0TFL3" "{escaped(CONTENT[8:])}";',
}


def _expected(name: str) -> bytes:
    if name == "zero fill":
        return CONTENT.ljust(300, b"\0")
    return CONTENT + b"\0\0" if name == "words of 32 bits" else CONTENT


@pytest.mark.parametrize("name", [*SOURCES, *TEXTS])
def test_an_array_is_read_in_every_way_to_write_it(name: str) -> None:
    text = {**SOURCES, **TEXTS}[name]
    (array,) = models_in(text.encode(), "model.cc")
    assert array.name == "g_model"
    assert array.content == _expected(name)


@pytest.mark.parametrize("name", every(4, [*SOURCES, *TEXTS]))
def test_a_compiler_gives_the_array_the_same_bytes(name: str, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    text = {**SOURCES, **TEXTS}[name]
    source, program = tmp_path / "model.cc", tmp_path / "model"
    tail = "\n#include <cstdio>\nint main() { fwrite(&g_model[0], 1, sizeof g_model, stdout); }\n"
    source.write_bytes((text + tail).encode())
    command = [compiler, "-std=c++17", "-fpermissive", "-w", str(source), "-o", str(program)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    content = subprocess.run([str(program)], check=True, capture_output=True, timeout=60).stdout
    assert content == _expected(name) + (b"\0" if name in TEXTS else b"")


def test_the_line_of_an_array_is_that_of_its_declaration() -> None:
    text = "/* a\n   b */\nint x \\\n  = 1;\n\nconst unsigned char g_model[] = {" + HEX + "};"
    assert models_in(text.encode(), "model.cc")[0].line == 6


def test_several_arrays_are_found_by_their_names() -> None:
    other = CONTENT[:-1] + b"\x07"
    text = (
        f"const unsigned char g_first[] = {{{HEX}}};\nconst unsigned char g_none[] = {{1, 2, 3}};\n"
        f"const unsigned char g_second[] = {{{elements(other)}}};"
    )
    assert model_bytes(text.encode(), "m.cc", "g_second") == other
    with pytest.raises(ModelError) as caught:
        model_bytes(text.encode(), "src/m.cc")
    assert str(caught.value) == (
        "src/m.cc: holds 2 models: g_first (line 1), g_second (line 25); name one: m.cc::g_first"
    )
    with pytest.raises(ModelError, match="did you mean 'g_second'") as caught:
        model_bytes(text.encode(), "m.cc", "g_secnd")
    assert caught.value.code == "TB101"


def test_the_same_model_in_two_branches_needs_no_name() -> None:
    array = f"const unsigned char g_model[] = {{{HEX}}};"
    text = f"#ifdef AVR\n{array}\n#else\nalignas(16) {array}\n#endif\n"
    assert model_bytes(text.encode(), "m.cc") == CONTENT


#: What is wrong with a source, and the one line that says so.
WRONG = {
    "": "model.cc: holds no model: no array has the identifier TFL3 at byte 4 (it has no array)",
    "extern const unsigned char g_model[];": (
        "model.cc: holds no model: no array has the identifier TFL3 at byte 4 (it has no array)"
    ),
    "const unsigned char g[] = {1, 2, 3};": (
        "model.cc: holds no model: no array has the identifier TFL3 at byte 4 (one was looked at)"
    ),
    f"\nconst unsigned char g[] = {{{HEX}, \n  0x1g}};": (
        "model.cc:25: g: expected numbers from 0 to 255 as elements, found '0x1g'"
    ),
    f"const unsigned char g[] = {{{HEX}, 256}};": (
        "model.cc:23: g: expected numbers from 0 to 255 as elements, found '256'"
    ),
    f"const unsigned char g[] = {{{HEX}, , 1}};": (
        "model.cc:23: g: expected numbers from 0 to 255 as elements, found 'nothing'"
    ),
    f"const unsigned char g[] = {{{HEX}, 0x1 c}};": (
        "model.cc:23: g: expected numbers from 0 to 255 as elements, found '0x1 c'"
    ),
    f"const unsigned char g[] = {{{HEX}, SOME_MACRO}};": (
        "model.cc:23: g: expected numbers from 0 to 255 as elements, found 'SOME_MACRO'"
    ),
    f"\nconst unsigned char g[] = {{{HEX},": (
        "model.cc:2: g: the array has no end ('}' is missing)"
    ),
    f"const unsigned char g[] = {{{HEX}}};\nunsigned int g_len = 5000;": (
        "model.cc:24: g: g_len says 5,000 bytes, but the array holds 266: is it cut off?"
    ),
    f"const unsigned char g[100] = {{{HEX}}};": (
        "model.cc:1: g: declared with 100 elements, but has 266"
    ),
    f"const unsigned char g[99999999999] = {{{HEX}}};": (
        "model.cc:1: g: 99,999,999,999 bytes are more than any flash holds"
    ),
    'const unsigned char g[] = {\n#include "model.inc"\n};': (
        "model.cc:2: g: its elements are in 'model.inc': give that file"
    ),
    'const unsigned char g[] = {\n#embed "models/kws.tflite"\n};': (
        "model.cc:2: g: its elements are in 'models/kws.tflite': give that file"
    ),
    '\nasm(".incbin \\"kws.tflite\\"\\n");': (
        "model.cc:2: holds no model: no array has the identifier TFL3 at byte 4; .incbin takes "
        "'kws.tflite', give that file"
    ),
    'const char g[] = "\\x1c\\0\\0\\0TFL3\\xfff";': (
        "model.cc:1: g: '\\\\xfff' in a string is no byte"
    ),
    "{" * 200_001: "model.cc:1: more braces than the source of a model has",
    ARRAY * 101: "model.cc:2501: more than 100 models in one file",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG, ids=range(len(WRONG)))
def test_a_source_that_is_wrong_is_told_in_one_line(text: str) -> None:
    with pytest.raises(ModelError) as caught:
        models_in(text.encode(), "model.cc")
    assert str(caught.value) == WRONG[text]


def test_text_of_a_windows_shell_is_told() -> None:
    with pytest.raises(ModelError, match="is UTF-16 text"):
        models_in(SOURCES["xxd"].encode("utf-16"), "model.cc")


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert model_bytes(SOURCES["xxd"].encode("utf-8-sig"), "model.cc") == CONTENT


@pytest.mark.parametrize("spell", ["0x{:02x}".format, rare("{:d}".format)])
def test_five_megabytes_are_read_in_a_fraction_of_a_second(spell: Callable[[int], str]) -> None:
    content = b"\x1c\0\0\0TFL3" + bytes(range(256)) * (4096 * 5)
    text = f"const unsigned char g_model[] = {{\n{elements(content, spell)}\n}};".encode()
    with soon(2):  # 0.4 s at rest
        assert model_bytes(text, "model.cc") == content


@pytest.mark.parametrize(
    "text",
    [
        "/*" * 500_000,
        "'" * 500_000,
        '"' * 500_001,
        '"\\' * 300_000,
        "\\\n" * 500_000,
        "#if 0\n" * 200_000,
        "#" * 1_000_000,
        "x[" * 500_000,
        "a" * 1_000_000 + "{",
        "x[] = {" * 150_000,
        "x[] = {1,2,3,4,'T','F','L','3'}; " * 100,
        "((((" * 200_000 + "= {",
        "x[] = {" + "1 " * 500_000,
        "x[] = {" + "0x1c, " * 500_000,
        'x[] = "\\x1c\\0\\0\\0TFL3"' + '"a" ' * 200_000,
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_a_source_made_to_cost_is_read_or_refused_soon(text: str) -> None:
    with soon(10), suppress(ModelError):
        models_in(text.encode(), "model.cc")


# Everywhere that a model file may stand


@pytest.fixture
def firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose models lie in its sources: one alone, two in a file."""
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "src"
    source.mkdir()
    (tmp_path / "kws.tflite").write_bytes(small_model())
    one = f"alignas(16) const unsigned char g_kws[] = {{\n{elements(small_model())}\n}};\n"
    other = f"const unsigned char g_vad[] = {{\n{elements(small_model(8))}\n}};\n"
    (source / "kws.cc").write_text(one, encoding="utf-8")
    (source / "both.h").write_text(one + other, encoding="utf-8")
    return tmp_path


def test_a_model_of_a_source_is_that_of_the_file(firmware: Path) -> None:
    model = load_model(firmware / "src/kws.cc")
    assert model.content == small_model()
    assert model.sha256 == load_model(firmware / "kws.tflite").sha256
    assert load_model(Path("src/both.h::g_vad")).content == small_model(8)
    assert load_model(Path("src/both.h::g_vad")).name == "g_vad"


def test_what_the_reader_says_of_an_array_names_file_and_array(firmware: Path) -> None:
    broken = small_model()[:200]
    text = f"const unsigned char g_cut[] = {{{elements(broken)}}};"
    Path("src/cut.c").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"^src/cut\.c::g_cut: .* byte"):
        load_model(Path("src/cut.c::g_cut"))


def test_assembler_is_not_read_and_says_where_the_model_is(firmware: Path) -> None:
    Path("model.S").write_text('.section .rodata\n.incbin "kws.tflite"\n', encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        load_model(Path("model.S"))
    assert str(caught.value) == (
        "model.S: is assembler, which is not read: its .incbin takes 'kws.tflite', give that file"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "--json"],
        ["compare", "--json", "--board", "esp32"],
        ["boards", "--json", "--vendor", "arduino", "--fits"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_says_the_same_of_a_source_as_of_the_file(
    arguments: list[str], firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for model in ("kws.tflite", "src/both.h::g_kws"):
        assert main([*arguments, model]) == 0
        text = capsys.readouterr().out
        said.append(text.replace(model, "MODEL").replace("g_kws", "kws"))
    assert said[0] == said[1]


def test_the_array_that_is_written_of_a_source_holds_its_bytes(firmware: Path) -> None:
    assert main(["carray", "src/both.h::g_vad", "-o", "made"]) == 0
    assert load_model(Path("made/g_vad_model_data.cc")).content == small_model(8)


def test_a_source_is_never_overwritten_by_what_is_written_of_it(
    firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("src/both.h").rename("src/kws_model_data.cc")
    before = Path("src/kws_model_data.cc").read_bytes()
    arguments = ["carray", "src/kws_model_data.cc::g_vad", "--name", "kws", "-o", "src"]
    assert main(arguments) == 2
    assert "would overwrite" in capsys.readouterr().err
    assert Path("src/kws_model_data.cc").read_bytes() == before


DECLARED = """\
[defaults]
boards = ["esp32"]
[models.kws]
source = "src/kws.cc"
[models.vad]
source = "src/both.h::g_vad"
"""


def test_a_declared_source_has_the_verdict_of_its_bytes(
    firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tinybudget.toml").write_text(DECLARED, encoding="utf-8")
    assert main(["check", "--json", "results.json"]) == 0
    capsys.readouterr()
    files = DECLARED.replace("src/kws.cc", "kws.tflite").replace("src/both.h::g_vad", "vad.tflite")
    Path("vad.tflite").write_bytes(small_model(8))
    Path("tinybudget.toml").write_text(files, encoding="utf-8")
    assert main(["check", "--baseline", "results.json", "--json", "again.json"]) == 0
    results, again = (Path(name).read_text("utf-8") for name in ("results.json", "again.json"))
    again = again.replace('"kws.tflite"', '"src/kws.cc"')
    assert again.replace('"vad.tflite"', '"src/both.h::g_vad"') == results


def test_a_declared_source_that_is_not_there_is_told(
    firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DECLARED.replace("both.h::g_vad", "bith.h::g_vad")
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    assert main(["check"]) == 2
    told = capsys.readouterr().err
    assert "tinybudget.toml:6: models.vad.source: no such file: 'src/bith.h::g_vad'" in told
    assert "did you mean 'both.h'" in told


def test_an_array_that_is_not_there_is_an_error_of_its_pair(
    firmware: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = DECLARED.replace("g_vad", "g_vda")
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    assert main(["check"]) == 2
    told = capsys.readouterr().out
    assert "src/both.h: no model is called 'g_vda'; did you mean 'g_vad'" in told
    assert "TB101" in told


def test_python_takes_a_source_as_well(firmware: Path) -> None:
    result = api.check("src/both.h::g_kws", board="esp32")
    assert result.model == "g_kws"
    assert result.measures == api.check("kws.tflite", board="esp32").measures


def test_a_float_array_is_converted_as_the_file_with_its_bytes(firmware: Path) -> None:
    from pytest_tinybudget.convert.converter import Converter
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.convert.fingerprint import fingerprint
    from pytest_tinybudget.convert.settings import Conversion

    settings = Conversion(firmware, "random")
    converter = Converter(None)
    try:
        request = Request(Path("src/both.h::g_kws"), "src/both.h::g_kws", settings)
        on_disk = converter._on_disk(request)
        assert on_disk.source.read_bytes() == small_model()
        same = fingerprint(Path("kws.tflite"), "tflite", settings)
        assert fingerprint(on_disk.source, "tflite", settings) == same
        assert on_disk.shown == request.shown
    finally:
        converter.close()


def test_pytest_gives_an_array_its_verdict(
    firmware: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(firmware)
    text = DECLARED.replace('"esp32"', '"esp32dev"')
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    options = ("--tinybudget", "-p", "no:cacheprovider", f"--rootdir={firmware}")
    result = pytester.runpytest_subprocess(*options, "-v", str(firmware / "tinybudget.toml"))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*tinybudget.toml::vad::esp32*PASSED*"])
    assert load_model(firmware / "build/tinybudget/vad_model_data.cc").content == small_model(8)
