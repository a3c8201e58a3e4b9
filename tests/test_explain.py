"""``tinybudget explain``: the whole story of one pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_tinybudget.cli import main


EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(EXAMPLES / "quickstart" / "models", tmp_path / "models")
    (tmp_path / "tinybudget.toml").write_text(
        '[models.alarm]\nsource = "models/alarm.tflite"\n'
        'boards = ["arduino-nano-33-ble", "raspberry-pi-pico"]\n'
        'budget = { ram = "8 KB" }\nmessage = "ask the radio team"\n',
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "node_id", ["alarm::raspberry-pi-pico", "tinybudget.toml::alarm::raspberry-pi-pico"]
)
def test_it_tells_model_board_parts_layers_and_advice(
    node_id: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", node_id]) == 1
    out = capsys.readouterr().out
    for told in (
        "FAIL alarm on raspberry-pi-pico",
        "RAM over by",
        "models/alarm.tflite",
        "sha256",
        "raspberry-pi-pico: Raspberry Pi Pico",
        "operator CONV_2D",
        "arena: activations and scratch",
        "the arena's peak",
        "layers (* at the arena's peak)",
        "what would fix it\n",
        "exact: ",
        "from tables of measured builds",
        "ask the radio team",
        "declared at tinybudget.toml:4",
    ):
        assert told in out, told


def test_every_byte_of_a_measure_is_listed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", "alarm::arduino-nano-33-ble"])
    assert "smaller parts" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("node_id", "told"),
    [
        ("alarm", "expected FILE::MODEL::BOARD"),
        ("tinybudget.toml::alarm", "one pair of alarm::arduino-nano-33-ble, alarm::raspberry"),
        ("alarm::raspberry-pi-pica", "raspberry-pi-pico"),
        ("alarn::raspberry-pi-pico", "alarm"),
    ],
)
def test_what_is_no_pair_is_one_line_with_the_nearest(
    node_id: str, told: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", node_id]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
