"""A model where a declaration is expected, and files of other kinds where a model is."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pytest

from pytest_tinybudget import api
from pytest_tinybudget.cli import main


MODEL = Path(__file__).parents[1] / "examples/quickstart/models/digits.tflite"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(MODEL.read_bytes())
    return tmp_path


def _error(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("tinybudget: ")
    return told.err.removeprefix("tinybudget: ").splitlines()[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["kws.tflite", "--board", "pico", "--board", "esp32"],
        ["kws.tflite", "--board", "esp32", "--board", "raspberry-pi-pico", "--board", "picow"],
        ["kws.tflite::pico", "kws.tflite::kws::esp32"],
    ],
    ids=" ".join,
)
def test_check_measures_a_model_on_each_board(arguments: list[str]) -> None:
    assert main(["check", *arguments, "--json", "results.json"]) == 0
    pairs = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    assert [pair["id"] for pair in pairs] == [
        "kws.tflite::kws::esp32",
        "kws.tflite::kws::raspberry-pi-pico",
    ]
    expected = api.check("kws.tflite", board="esp32")
    flash = next(each for each in expected.measures if each.metric == "flash")
    assert pairs[0]["flash"]["used"] == flash.used


def test_a_model_that_does_not_fit_fails(capsys: pytest.CaptureFixture[str]) -> None:
    from modelmaker import ModelMaker

    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("ABS", graph.input((1, 400_000), "FLOAT32")))
    Path("large.tflite").write_bytes(maker.build())
    assert main(["check", "large.tflite", "--board", "pico"]) == 1
    assert "TB002" in capsys.readouterr().out


def test_check_asks_for_a_board(capsys: pytest.CaptureFixture[str]) -> None:
    assert _error(["check", "kws.tflite"], capsys) == (
        "kws.tflite: a model is checked on a board: --board raspberry-pi-pico, which may be "
        "repeated; tinybudget compare kws.tflite tells of all [TB100]"
    )


def test_a_file_is_a_model_by_its_content_too(capsys: pytest.CaptureFixture[str]) -> None:
    Path("kws.tflite").rename("kws.bin")
    assert main(["check", "kws.bin", "--board", "esp32"]) == 0
    assert "kws" in capsys.readouterr().out


def test_a_model_is_compared_with_results_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "kws.tflite", "--board", "esp32"]
    assert main([*arguments, "--json", "base.json"]) == 0
    capsys.readouterr()
    assert main([*arguments, "--baseline", "base.json"]) == 0
    assert "1 unchanged" in capsys.readouterr().out
    told = _error([*arguments, "--base", "HEAD"], capsys)
    assert "a model alone is compared with --baseline FILE" in told


def test_explain_tells_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "kws.tflite", "--board", "pico"]) == 0
    by_option = capsys.readouterr().out
    assert main(["explain", "kws.tflite::raspberry-pi-pico"]) == 0
    assert capsys.readouterr().out == by_option
    assert "raspberry-pi-pico" in by_option


def test_board_leaves_the_declared_pairs_on_it(capsys: pytest.CaptureFixture[str]) -> None:
    text = '[models.kws]\nsource = "kws.tflite"\nboards = ["pico", "esp32"]\n'
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    assert main(["check", "--board", "picow", "--json", "results.json"]) == 0
    (pair,) = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    assert pair["id"] == "tinybudget.toml::kws::raspberry-pi-pico"
    capsys.readouterr()
    error = _error(["check", "--board", "teensy41"], capsys)
    assert "unknown board 'teensy41' here: the declared pairs are on esp32, rasp" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["tighten", "kws.tflite"],
        ["diff", "--base", "HEAD", "kws.tflite"],
        ["rollout", "plan", "--devices", "100", "kws.tflite"],
        ["package", "kws.tflite", "--version", "1.0.0", "--board", "esp32",
         "--declaration", "kws.tflite"],
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_command_that_needs_a_declaration_says_what_it_got(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = _error(arguments, capsys)
    assert "kws.tflite: " in told
    assert "not UTF-8" not in told
    assert "--board" in told


# Files of other kinds


def _zip(name: str, *members: str) -> None:
    with zipfile.ZipFile(name, "w") as archive:
        for member in members:
            archive.writestr(member, b"content")


FOREIGN = {
    "kws.onnx": ("is an ONNX model", "onnx2tf"),
    "kws.pt": ("is a PyTorch file", "torch.export.save("),
    "kws.pth": ("is a PyTorch file", "torch.export.save("),
    "kws.pt2": ("is a PyTorch program (torch.export)", "litert-torch"),
    "kws.safetensors": ("is weights without a graph", "declare what was saved"),
    "kws.pb": ("is a TensorFlow graph", "SavedModel"),
    "saved_model.pb": ("is part of a SavedModel", "give its folder"),
    "kws.mlmodel": ("is a Core ML model", "declare the model that it was converted from"),
    "kws.pkl": ("is a Python pickle", "never opened"),
    "kws.gguf": ("is a language model", "no operators"),
    "kws.keras": ("is a Keras model", "representative_data"),
    "kws.weights.h5": ("is weights without a graph", "declare what was saved"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_model_of_another_kind_is_told_how_it_becomes_a_source(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(b"\x08\x07 what such a file may begin with")
    told = _error(["inspect", name], capsys)
    for words in FOREIGN[name]:
        assert words in told
    assert told.endswith("[TB300]")


@pytest.mark.parametrize(
    "name", [name for name in FOREIGN if name not in ("kws.keras", "kws.onnx", "kws.pt2")]
)
def test_a_declared_source_of_another_kind_is_told_so(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(b"\x08\x07 what such a file may begin with")
    text = f'[models.kws]\nsource = "{name}"\nboards = ["esp32"]\n'
    Path("tinybudget.toml").write_text(text, encoding="utf-8")
    assert main(["check"]) == 2
    assert " ".join(FOREIGN[name][0].split()[:3]) in " ".join(capsys.readouterr().out.split())


def test_what_is_packed_is_told_by_what_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    _zip("kws.zip", "readme.txt", "models/kws.tflite")
    _zip("bundle.task", "other.bin")
    _zip("model.bin", "config.json", "metadata.json", "model.weights.h5")
    _zip("torch.bin", "archive/data.pkl")
    Path("kws.tflite.gz").write_bytes(gzip.compress(MODEL.read_bytes()))
    Path("renamed.tflite").write_bytes(b"\x89HDF\r\n\x1a\n and so on")
    for name, words in {
        "kws.zip": "is a ZIP archive: unpack it and give 'models/kws.tflite'",
        "bundle.task": "is a ZIP archive without a .tflite in it",
        "model.bin": "is a Keras archive: such a file is called .keras",
        "torch.bin": "is a PyTorch file",
        "kws.tflite.gz": "is compressed by gzip: unpack it (gunzip)",
        "renamed.tflite": "is an HDF5 file: a Keras model of that kind is called .h5",
    }.items():
        assert f"{name}: {words}" in _error(["inspect", name], capsys)


def test_a_model_is_read_whatever_its_name_says() -> None:
    Path("kws.tflite").rename("kws.onnx")
    assert main(["inspect", "kws.onnx"]) == 0


def test_the_folder_of_a_saved_model_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    Path("saved").mkdir()
    Path("saved/saved_model.pb").write_bytes(b"\x08\x01")
    assert "saved: is a SavedModel" in _error(["inspect", "saved"], capsys)
    assert "a model is checked on a board" in _error(["check", "saved"], capsys)
