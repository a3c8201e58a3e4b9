"""The command line: each command on small projects on disk, and what it says to wrong input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from campaigns import rare
from modelmaker import ModelMaker

from pytest_tinybudget import cli
from pytest_tinybudget.declaration import load_declaration


ROOT = Path(__file__).parents[1]
COMMANDS = ("check", "inspect", "carray", "init", "boards", "calibrate", "runtime build", "schema")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a terminal of 100 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def small_model(*, filters: int = 4, type_name: str = "INT8") -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3), type_name)
    graph.output(graph.softmax(graph.dense(graph.conv2d(image, filters=filters), units=10)))
    return maker.build()


def refused_model() -> bytes:
    """TFLM has no kernel for GELU: it is not in its resolver."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("GELU", graph.input((1, 4))))
    return maker.build()


def declare(folder: Path, budget: str = "", models: str = "kws", head: str = "") -> None:
    lines = ["schema = 1", head]
    for name in models.split():
        (folder / f"{name}.tflite").write_bytes(small_model())
        lines += [
            f"[models.{name}]",
            f'source = "{name}.tflite"',
            'boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]',
            budget,
        ]
    (folder / "tinybudget.toml").write_text("\n".join(lines))


def run(*arguments: str) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as exit_:
        return int(exit_.code or 0)


# check


def test_check_passes_when_every_pair_fits(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project)
    assert run("check") == 0
    assert capsys.readouterr().out.endswith("2 pairs: 2 fit\n")


def test_check_fails_when_a_pair_is_over_and_says_by_how_much(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project, 'budget = { flash = "10 KB" }')
    assert run("check") == 1
    out = capsys.readouterr().out
    assert "FAIL kws on arduino-nano-33-ble\nflash over by " in out
    assert "edit tinybudget.toml:6" in out
    assert out.endswith("2 pairs: 2 over budget\n")


def test_a_model_that_cannot_be_read_is_wrong_input_and_the_others_are_still_checked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project, models="broken kws")
    (project / "broken.tflite").write_bytes(b"not a model")
    assert run("check") == 2
    out = capsys.readouterr().out
    assert "ERROR broken on arduino-nano-33-ble" in out
    assert out.endswith("4 pairs: 2 not measured, 2 fit\n")


def test_a_folder_is_searched_for_declarations(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b/c", ".hidden", "build"):
        (project / name).mkdir(parents=True)
        declare(project / name)
    assert run("check", "--json", "-") == 0
    files = {pair["id"].split("::")[0] for pair in json.loads(capsys.readouterr().out)["pairs"]}
    assert files == {"a/tinybudget.toml", "b/c/tinybudget.toml"}


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        ("tinybudget.toml::vad", ["vad::arduino-nano-33-ble", "vad::raspberry-pi-pico"]),
        ("tinybudget.toml::kws::raspberry-pi-pico", ["kws::raspberry-pi-pico"]),
    ],
)
def test_one_model_or_one_pair_can_be_selected(
    project: Path, capsys: pytest.CaptureFixture[str], selection: str, ids: list[str]
) -> None:
    declare(project, models="kws vad")
    assert run("check", selection, "--json", "-") == 0
    found = [pair["id"] for pair in json.loads(capsys.readouterr().out)["pairs"]]
    assert found == [f"tinybudget.toml::{each}" for each in ids]


def test_a_pair_selected_twice_is_checked_once(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project)
    assert run("check", ".", "tinybudget.toml", "-q") == 0
    assert capsys.readouterr().out == "2 pairs: 2 fit\n"


def test_reports_are_written_where_asked(project: Path) -> None:
    declare(project, 'budget = { flash = "10 KB" }')
    assert run("check", "--json", "out/results.json", "--junit-xml", "out/junit.xml") == 1
    content = json.loads((project / "out/results.json").read_text())
    schema = json.loads((ROOT / "schemas/results.schema.json").read_text())
    jsonschema.validate(content, schema)
    assert [pair["outcome"] for pair in content["pairs"]] == ["over", "over"]
    suite = ElementTree.parse(project / "out/junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")


def test_the_results_file_is_the_same_every_time(project: Path) -> None:
    declare(project, models="kws vad")
    run("check", "--json", "first.json")
    run("check", "--json", "second.json", "tinybudget.toml::vad", "tinybudget.toml::kws")
    assert (project / "first.json").read_bytes() == (project / "second.json").read_bytes()


def test_json_on_stdout_is_alone_there(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(project)
    assert run("check", "--json", "-") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["pairs"]) == 2
    assert "2 pairs: 2 fit" in captured.err


def test_c_files_are_written_where_asked(project: Path) -> None:
    declare(project)
    assert run("check", "--artifacts", "generated") == 0
    assert {"kws_model_data.h", "kws_model_data.cc"} <= {
        path.name for path in (project / "generated").iterdir()
    }


def test_no_c_files_are_written_unasked(project: Path) -> None:
    declare(project)
    run("check")
    assert {path.name for path in project.iterdir()} == {"kws.tflite", "tinybudget.toml"}


def test_quiet_prints_a_line_for_each_failure_and_the_count(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declare(project, 'budget = { flash = "10 KB" }')
    assert run("check", "-q") == 1
    *failures, count = (line.split(":")[0] for line in capsys.readouterr().out.splitlines())
    assert sorted(failures) == ["FAIL kws on arduino-nano-33-ble", "FAIL kws on raspberry-pi-pico"]
    assert count == "2 pairs"


def test_verbose_shows_layers(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declare(project)
    run("check", "-v")
    once = capsys.readouterr().out
    run("check", "-vv")
    twice = capsys.readouterr().out
    assert "CONV_2D #0" in once
    assert "persistent" not in once
    assert "persistent" in twice


@pytest.mark.parametrize(
    ("arguments", "variables", "colored"),
    [
        ((), {}, False),
        (("--color=always",), {}, True),
        (("--color=yes",), {}, True),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color=never",), {"FORCE_COLOR": "1"}, False),
        (("--color=no",), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_color_is_for_terminals_and_on_request(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    colored: bool,
) -> None:
    declare(project)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run("check", *arguments)
    assert ("\x1b[" in capsys.readouterr().out) is colored


# Wrong input


def broken_declaration(folder: Path) -> None:
    (folder / "tinybudget.toml").write_text('schema = 1\n[models.kws]\nsorce = "kws.tflite"\n')


def empty_declaration(folder: Path) -> None:
    (folder / "tinybudget.toml").write_text("schema = 1\n")


def text_as_model(folder: Path) -> None:
    (folder / "kws.tflite").write_text("hello\n" * 100)


def good(folder: Path) -> None:
    declare(folder)


def unsupported(folder: Path) -> None:
    (folder / "kws.tflite").write_bytes(refused_model())


@pytest.mark.parametrize(
    ("prepare", "arguments", "expected"),
    [
        (None, "check", "tinybudget init"),
        (None, "check missing", "missing"),
        (broken_declaration, "check", "source"),
        (empty_declaration, "check", "declares no model"),
        (good, "check tinybudget.toml::kwz", "'kws'"),
        (good, "check tinybudget.toml::kws::raspberry-pi-picoo", "'raspberry-pi-pico'"),
        (good, "check --json=tinybudget.toml/x.json", "cannot be written"),
        (good, "check --junit-xml tinybudget.toml/x.xml", "cannot be written"),
        (good, "check --json=- --junit-xml -", "only one"),
        (good, "inspect kws.tflite --board raspberry-pi-picoo", "'raspberry-pi-pico'"),
        (good, "inspect kws.tflite --runtime m4_cmsis", "'m4_cmsisnn'"),
        (good, "inspect tinybudget.toml", "not a TF Lite file"),
        (text_as_model, "inspect kws.tflite", "not a TF Lite file"),
        (None, "inspect missing.tflite", "missing.tflite"),
        (None, "inspect .", "."),
        (unsupported, "carray kws.tflite", "GELU"),
        (good, "carray kws.tflite -o tinybudget.toml", "cannot write"),
        (None, "init", "no .tflite file"),
        (None, "init missing", "no such folder"),
        (good, "init", "--force"),
        (text_as_model, "init --board esp23", "'esp32'"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_code_2(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    prepare: object,
    arguments: str,
    expected: str,
) -> None:
    if callable(prepare):
        prepare(project)
    assert run(*arguments.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("tinybudget: ")
    assert expected in captured.err
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_hostile_names_in_errors_cannot_drive_the_terminal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("inspect", "\x1b[31mred.tflite") == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["frobnicate", "check --nope", "inspect"])
def test_wrong_usage_is_exit_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    assert run(*arguments.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tinybudget")
    assert re.search(r"\[TB100\] \(see tinybudget( inspect)? --help\)$", line)


# inspect


def test_inspect_shows_model_arena_flash_and_layers(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    assert run("inspect", "kws.tflite") == 0
    out = capsys.readouterr().out
    for expected in (
        "sha256",
        "int8 1x8x8x3",
        "1 x  CONV_2D",
        "required",
        "runtime core",
        "model: weights",
        "without SOFTMAX",
        "layers (*",
    ):
        assert expected in out


def test_inspect_holds_a_model_against_a_board(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    run("inspect", "kws.tflite", "--board", "arduino-nano-33-ble")
    out = capsys.readouterr().out
    assert "(arduino-nano-33-ble: 256.0 KB" in out
    assert "Cortex-M4F" in out


def test_inspect_measures_for_the_runtime_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    used = {}
    for runtime in ("m4_ref", "m4_cmsisnn"):
        run("inspect", "kws.tflite", "--json", "--runtime", runtime)
        content = json.loads(capsys.readouterr().out)
        assert content["runtime"]["variants"][0]["name"] == runtime
        used[runtime] = content["flash"]["used"]
    assert used["m4_ref"] < used["m4_cmsisnn"]


def test_inspect_as_json_adds_up(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = small_model()
    (project / "kws.tflite").write_bytes(content)
    assert run("inspect", "kws.tflite", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["model"]["bytes"] == len(content)
    for metric in ("flash", "ram"):
        parts = found[metric]["parts"]
        assert sum(part["bytes"] + part["margin"] for part in parts) == found[metric]["used"]
    assert found["arena"]["head"] + found["arena"]["tail"] == found["arena"]["used"]
    assert [layer["operator"] for layer in found["layers"]] == [
        "CONV_2D",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]


def test_inspect_names_what_tflm_would_refuse(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "odd.tflite").write_bytes(refused_model())
    assert run("inspect", "odd.tflite") == 0
    out = capsys.readouterr().out
    assert "TFLM would refuse this model\n  - GELU #0 (no such operator in TFLM): " in out


def test_inspect_says_what_keeps_a_model_from_full_int8(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "float.tflite").write_bytes(small_model(type_name="FLOAT32"))
    run("inspect", "float.tflite")
    out = capsys.readouterr().out
    assert "not full INT8\n  - " in out


# carray


def test_carray_writes_array_settings_and_resolver(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "key-word.tflite").write_bytes(small_model())
    assert run("carray", "key-word.tflite", "-o", "out") == 0
    written = capsys.readouterr().out.split()
    assert written == sorted(str(path) for path in Path("out").iterdir())
    assert {Path(path).name for path in written} == {
        "key_word_interpreter.h",
        "key_word_model_data.cc",
        "key_word_model_data.h",
        "key_word_model_settings.h",
        "key_word_op_resolver.h",
    }


def test_carray_takes_a_name_and_a_language(project: Path) -> None:
    (project / "m.tflite").write_bytes(small_model())
    assert run("carray", "m.tflite", "--name", "hello", "--language", "c", "--array-only") == 0
    assert {path.name for path in project.iterdir()} == {
        "m.tflite",
        "hello_model_data.c",
        "hello_model_data.h",
    }


def test_carray_writes_the_array_of_a_model_that_tflm_cannot_run(project: Path) -> None:
    (project / "odd.tflite").write_bytes(refused_model())
    assert run("carray", "odd.tflite", "--array-only") == 0
    assert (project / "odd_model_data.cc").exists()


# init


def wide_model(side: int) -> bytes:
    """A convolution over an image of ``side`` by ``side``: 8 bytes of arena a pixel."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, side, side, 8)), filters=1))
    return maker.build()


def test_init_writes_a_declaration_that_passes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "models").mkdir()
    (project / "models/kws.tflite").write_bytes(small_model())
    (project / "models/big.tflite").write_bytes(small_model(filters=64))
    assert run("init") == 0
    assert "2 of 2 models" in capsys.readouterr().out
    assert run("check") == 0
    assert capsys.readouterr().out.endswith("2 pairs: 2 fit\n")


def test_init_leaves_a_tenth_above_what_each_model_takes(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    run("init")
    capsys.readouterr()
    run("inspect", "kws.tflite", "--json", "--board", "arduino-nano-33-ble")
    used = json.loads(capsys.readouterr().out)
    budget = load_declaration(project / "tinybudget.toml").models["kws"].budget
    for limit, metric in ((budget.flash, "flash"), (budget.ram, "ram")):
        assert limit is not None
        assert 0 <= limit - used[metric]["used"] * 1.1 < 1024


def test_init_says_what_it_leaves_out_and_why(project: Path) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    (project / "junk.tflite").write_bytes(b"junk")
    (project / "a*b.tflite").write_bytes(small_model())
    run("init")
    text = (project / "tinybudget.toml").read_text()
    assert "# junk.tflite is left out:\n#   junk.tflite: not a TF Lite file" in text
    assert "# a*b.tflite is left out:\n#   rename it" in text
    assert list(load_declaration(project / "tinybudget.toml").models) == ["kws"]


def test_init_gives_files_of_the_same_name_names_of_their_own(project: Path) -> None:
    for name in ("a/kws.tflite", "b/kws.tflite", "b/key word.v2.tflite"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(small_model())
    run("init")
    models = load_declaration(project / "tinybudget.toml").models
    assert {name: model.declared_source for name, model in models.items()} == {
        "kws": "a/kws.tflite",
        "key_word.v2": "b/key word.v2.tflite",
        "kws-2": "b/kws.tflite",
    }


def test_init_never_replaces_a_declaration_unless_forced(project: Path) -> None:
    declare(project)
    before = (project / "tinybudget.toml").read_bytes()
    assert run("init") == 2
    assert (project / "tinybudget.toml").read_bytes() == before
    assert run("init", "--force") == 0
    assert (project / "tinybudget.toml").read_bytes() != before


def test_init_proposes_a_board_that_holds_every_model(project: Path) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 160, 160, 8))  # 200 KB in, more than the first board has left
    graph.output(graph.conv2d(image, filters=1))
    (project / "wide.tflite").write_bytes(maker.build())
    assert run("init") == 0
    (model,) = load_declaration(project / "tinybudget.toml").models.values()
    assert [board.id for board in model.boards] == ["stm32f746g-discovery"]
    assert run("check") == 0


def test_init_proposes_the_smallest_other_board_where_no_usual_one_will_do(project: Path) -> None:
    (project / "wide.tflite").write_bytes(wide_model(330))
    assert run("init") == 0
    (model,) = load_declaration(project / "tinybudget.toml").models.values()
    assert [board.id for board in model.boards] == ["nucleo-h7a3zi-q"]
    assert run("check") == 0


@pytest.mark.parametrize("options", [(), ("--board", "picow")])
def test_init_says_what_does_not_pass(
    options: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    (project / "huge.tflite").write_bytes(wide_model(4000))
    assert run("init", *options) == 1
    told = capsys.readouterr().out
    board = "raspberry-pi-pico" if options else "arduino-nano-33-ble"
    assert f"2 of 2 models, board {board}\n" in told
    assert f"it fails: huge on {board}: RAM over" in told
    assert "kws on" not in told
    assert run("check") == 1


def test_init_writes_nothing_where_no_model_can_be_declared(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "junk.tflite").write_bytes(b"junk")
    assert run("init") == 2
    told = capsys.readouterr().err
    assert "no model to declare on arduino-nano-33-ble" in told
    assert "junk.tflite: not a TF Lite file" in told
    assert not (project / "tinybudget.toml").exists()


def test_init_tells_of_models_of_other_kinds(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "kws.onnx").write_bytes(b"\x08\x07")
    assert run("init") == 2
    assert "kws.onnx: is an ONNX model" in capsys.readouterr().err


def test_init_gives_models_distinct_names_in_c_too(project: Path) -> None:
    for name in ("a-b.tflite", "a_b.tflite", "A.b.tflite"):
        (project / name).write_bytes(small_model())
    assert run("init") == 0
    assert len(load_declaration(project / "tinybudget.toml").models) == 3


def test_init_finds_models_in_c_sources(project: Path) -> None:
    def array(name: str, content: bytes) -> str:
        return f"const unsigned char {name}[] = {{{', '.join(map('0x{:02x}'.format, content))}}};\n"

    kws, vad, odd = small_model(), small_model(filters=16), small_model(filters=24)
    (project / "kws.tflite").write_bytes(kws)
    (project / "src").mkdir()
    (project / "src/main.c").write_text("int main() { return 0; }\n")
    (project / "src/same.cc").write_text(array("g_kws", kws))
    (project / "src/vad.cc").write_text(array("g_vad", vad))
    (project / "src/both.h").write_text(array("g_odd", odd) + array("g_kws", kws))
    assert run("init") == 0
    models = load_declaration(project / "tinybudget.toml").models
    assert {name: model.declared_source for name, model in models.items()} == {
        "kws": "kws.tflite",
        "vad": "src/vad.cc",
        "g_odd": "src/both.h::g_odd",
    }
    assert run("check") == 0


# The command line as a whole


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(*command.split(), "--help") == 0
    out = capsys.readouterr().out
    assert f"example:\n  tinybudget {command}" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_documentation(command: str) -> None:
    documentation = (ROOT / "docs/cli.md").read_text("utf-8")
    assert f"## tinybudget {command.split()[0]}\n" in documentation
    assert f"\ntinybudget {command}" in documentation


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run("--version") == 0
    assert capsys.readouterr().out == f"tinybudget {version('pytest-tinybudget')}\n"


def test_it_runs_as_a_module(project: Path) -> None:
    declare(project)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "check", "-q"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 pairs: 2 fit\n", "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom pytest_tinybudget import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'tensorflow', 'flatbuffers', 'elftools', 'jinja2', 'junit_xml'}\n"
        "print(sorted(heavy.union({'pytest'}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_goes_away_is_no_error(project: Path) -> None:
    declare(project)
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "check", "-vv"],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (141, "")


def test_output_survives_a_terminal_that_knows_ascii_only(project: Path) -> None:
    declare(project)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "check", "-vv"],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "#...." in done.stdout or "......" in done.stdout


def test_paths_that_the_terminal_cannot_print_are_escaped(project: Path) -> None:
    (project / "kws.tflite").write_bytes(small_model())
    done = subprocess.run(
        [sys.executable, "-m", "pytest_tinybudget", "carray", "kws.tflite", "-o", "größe"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "gr\\xf6\\xdfe" in done.stdout


# Real models


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))
REAL_MODELS = sorted(
    path for path in (SHARED / "models").glob("*.tflite") if not path.name.startswith("gen_")
)


@pytest.mark.skipif(not REAL_MODELS, reason="the shared models are not here")
@pytest.mark.parametrize(
    ("runtime", "step"), [("m4_cmsisnn", 8), rare(("m4_cmsisnn", 1)), rare(("rv32imc_ref", 1))]
)
def test_inspect_adds_up_for_every_real_model(
    project: Path, capsys: pytest.CaptureFixture[str], runtime: str, step: int
) -> None:
    wrong = []
    for path in REAL_MODELS[::step]:
        assert run("inspect", str(path), "--json", "--runtime", runtime) == 0
        found = json.loads(capsys.readouterr().out)
        arena = found["arena"]
        sums = [
            sum(part["bytes"] + part["margin"] for part in found[metric]["parts"])
            == found[metric]["used"]
            for metric in ("flash", "ram")
        ]
        if arena is None:
            sums.append(bool(found["refusals"]))
        else:
            sums.append(arena["head"] + arena["tail"] == arena["used"] <= arena["required"])
            sums.append(max(layer["live"] for layer in found["layers"]) <= arena["optimum_head"])
            sums.append(arena["optimum_head"] <= arena["head"])
        if not all(sums):
            wrong.append((path.name, sums))
    assert wrong == []


@pytest.mark.skipif(not REAL_MODELS, reason="the shared models are not here")
@pytest.mark.parametrize("step", [8, rare(1)])
def test_every_real_model_can_be_declared_and_checked(
    project: Path, capsys: pytest.CaptureFixture[str], step: int
) -> None:
    models = REAL_MODELS[::step]
    for path in models:
        (project / path.name).write_bytes(path.read_bytes())
    assert run("init") == 0
    capsys.readouterr()
    assert run("check", "--json", "-") == 0
    pairs = json.loads(capsys.readouterr().out)["pairs"]
    assert len(pairs) > len(models) * 0.8
    assert {pair["outcome"] for pair in pairs} <= {"fits", "warns"}
