"""``tinybudget compare``: models on boards of the catalog, without a declaration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import dense_model
from conftest import keyword_model
from modelmaker import ModelMaker
from pace import soon

import pytest_tinybudget
from pytest_tinybudget import cli
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.footprint import measure as measuring


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``kws.tflite`` and ``vad.tflite`` in the working directory, 100 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    tmp_path.joinpath("kws.tflite").write_bytes(keyword_model())
    tmp_path.joinpath("vad.tflite").write_bytes(dense_model())
    return tmp_path


def compare(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["compare", *arguments]) == 0
    return capsys.readouterr().out


def records(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(compare(capsys, *arguments, "--json"))
    return found


def large_model() -> bytes:
    """A network whose activations fit few boards."""
    maker = ModelMaker()
    graph = maker.graph("large")
    graph.output(graph.conv2d(graph.input((1, 128, 128, 4)), filters=8))
    return maker.build()


def refused_model() -> bytes:
    """A network with an operator that TFLM does not have."""
    maker = ModelMaker()
    graph = maker.graph("strange")
    graph.output(graph.unary("COS", graph.input((1, 4))))
    return maker.build()


def custom_model() -> bytes:
    """A network with an operator of somebody's own, and an output in float."""
    maker = ModelMaker()
    graph = maker.graph("custom")
    result = graph.tensor((1, 4), "FLOAT32")
    graph.operator("MY_OP", (graph.input((1, 4)),), (result,), custom_options=b"\x01")
    graph.output(result)
    return maker.build()


@pytest.mark.usefixtures("models")
def test_one_model_is_shown_on_every_board(capsys: pytest.CaptureFixture[str]) -> None:
    head, *lines = compare(capsys, "kws.tflite").splitlines()
    assert head.split() == ["BOARD", "FITS", "FLASH", "LEFT", "RAM", "LEFT", "TIME"]
    assert {line.split()[0] for line in lines[: len(catalog())]} == set(catalog())
    fitting = sum(line.split()[1] == "yes" for line in lines[: len(catalog())])
    assert lines[len(catalog())].startswith(f"fits {fitting} of {len(catalog())} boards;")


def test_boards_that_fit_come_first_those_with_most_ram_left_on_top(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("large.tflite").write_bytes(large_model())
    (found,) = records(capsys, "large.tflite")
    keys = [(not board["fits"], -board["ram"]["free"]) for board in found["boards"]]
    assert keys == sorted(keys)
    assert {board["fits"] for board in found["boards"]} == {True, False}


def test_a_board_says_why_a_model_does_not_fit(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("large.tflite").write_bytes(large_model())
    lines = compare(capsys, "large.tflite", "--board", "blue-pill-f103c8").splitlines()
    assert lines[1].split()[:2] == ["blue-pill-f103c8", "no"]
    assert lines[1].endswith("RAM over")
    assert lines[2].startswith("fits 0 of 1 board;")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("board", ["esp32", "raspberry-pi-pico", "arduino-nano-33-ble"])
def test_sizes_are_those_of_a_check(board: str, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = records(capsys, "kws.tflite", "--board", board)
    result = pytest_tinybudget.check("kws.tflite", board=board)
    (told,) = found["boards"]
    for measure in result.measures:
        assert told[measure.metric] == {
            "used": measure.used, "limit": measure.limit, "free": measure.free,
        }  # fmt: skip
    assert told["headline"] in result.headline
    latency = [figure for figure in result.figures if figure.name == "latency"]
    assert [told["latency"]["high"]] == ([each.high for each in latency] or [None])


def test_a_model_that_tflm_refuses_fits_nowhere(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("strange.tflite").write_bytes(refused_model())
    text = compare(capsys, "strange.tflite", "--board", "esp32")
    assert "COS" in text
    assert text.splitlines()[1].split()[:2] == ["esp32", "no"]
    both = compare(capsys, "strange.tflite", "kws.tflite", "--board", "esp32")
    assert both.splitlines()[1].split()[:2] == ["esp32", "refused"]


def test_what_every_board_warns_of_is_told_once(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("custom.tflite").write_bytes(custom_model())
    boards = ["--board", "esp32", "--board", "raspberry-pi-pico"]
    text = compare(capsys, "custom.tflite", *boards, "--op", "MY_OP=1KB,0,2KB")
    assert [line.split()[1] for line in text.splitlines()[1:3]] == ["yes", "yes"]
    assert text.count("not full INT8") == 1


def test_an_operator_of_nobody_fits_nowhere_and_is_told_once(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("custom.tflite").write_bytes(custom_model())
    text = compare(capsys, "custom.tflite", "--board", "esp32", "--board", "raspberry-pi-pico")
    assert [line.split()[1] for line in text.splitlines()[1:3]] == ["no", "no"]
    assert text.count("[runtime.ops.MY_OP]") == 1


@pytest.mark.usefixtures("models")
def test_several_models_are_columns_with_their_nearer_limit(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models.joinpath("large.tflite").write_bytes(large_model())
    boards = ["--board", "blue-pill-f103c8", "--board", "esp32"]
    head, first, second, *_ = compare(capsys, "kws.tflite", "large.tflite", *boards).splitlines()
    assert head.split() == ["BOARD", "kws", "large"]
    assert first.split()[0] == "esp32"  # it fits more of them
    assert second.split()[0] == "blue-pill-f103c8"
    assert "no: RAM" in second
    (kws, _) = records(capsys, "kws.tflite", "large.tflite", *boards)
    esp32 = next(board for board in kws["boards"] if board["board"] == "esp32")
    shares = {name: esp32[name]["used"] / esp32[name]["limit"] for name in ("flash", "ram")}
    worst = max(shares, key=lambda name: shares[name])
    label = {"flash": "flash", "ram": "RAM"}[worst]
    assert f"{label} {-int(-shares[worst] * 100 // 1)} %" in first


@pytest.mark.usefixtures("models")
def test_a_model_is_measured_once_for_each_runtime(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = []

    def counting(model: Any, runtime: Any, **others: Any) -> Any:
        measured.append(runtime)
        return original(model, runtime, **others)

    original = measuring.measure
    monkeypatch.setattr(measuring, "measure", counting)
    compare(capsys, "kws.tflite")
    assert len(measured) == len(set(measured)) < len(catalog()) / 2


@pytest.mark.usefixtures("models")
def test_all_boards_take_less_than_two_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    with soon(2):
        compare(capsys, "kws.tflite", "vad.tflite")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("width", [30, 60, 100])
def test_no_line_is_wider_than_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (["kws.tflite"], ["kws.tflite", "vad.tflite"]):
        lines = compare(capsys, *arguments, "--board", "esp32", "--board", "nrf52-dk").splitlines()
        assert max(map(len, lines)) <= max(width, 42)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.tflite"], "missing.tflite"),
        (["kws.tflite", "--board", "esp23"], "esp32"),
    ],
)
@pytest.mark.usefixtures("models")
def test_wrong_input_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err
