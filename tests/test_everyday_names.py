"""Boards by their everyday names: one is found everywhere, several are listed, none is guessed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from small_projects import keywords

from pytest_tinybudget import api
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.boards import everyday
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.boards.everyday import aliases
from pytest_tinybudget.boards.everyday import boards_called
from pytest_tinybudget.boards.everyday import folded
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration


MODEL = Path(__file__).parents[1] / "examples/quickstart/models/digits.tflite"

ONE = {
    "pico": "raspberry-pi-pico",
    "PicoW": "raspberry-pi-pico",
    "pico_w": "raspberry-pi-pico",
    "rpi_pico": "raspberry-pi-pico",
    "Raspberry Pi Pico": "raspberry-pi-pico",
    "pico2": "raspberry-pi-pico-2",
    "rp2350": "raspberry-pi-pico-2",
    "nano33ble": "arduino-nano-33-ble",
    "xiao_esp32s3": "seeed-xiao-esp32s3-sense",
    "xiao_ble": "seeed-xiao-nrf52840-sense",
    "esp32dev": "esp32",
    "ESP32": "esp32",
    "esp32c3": "esp32-c3-devkitm-1",
    "esp32-s3-devkitc": "esp32-s3-devkitc-1",
    "micro:bit": "bbc-microbit-v2",
    "teensy4.1": "teensy-4-1",
    "bluepill_f103c8": "blue-pill-f103c8",
    "disco_f746ng": "stm32f746g-discovery",
    "stm32f746": "stm32f746g-discovery",
    "nucleo_f767zi": "nucleo-f767zi",
    "nrf52840dk": "nrf52840-dk",
    "apollo3": "sparkfun-edge",
}

SEVERAL = {
    "rp2040": {"raspberry-pi-pico", "arduino-nano-rp2040-connect"},
    "esp32s3": {"esp32-s3-devkitc-1", "seeed-xiao-esp32s3-sense", "arduino-nano-esp32"},
    "xiao": {"seeed-xiao-esp32s3-sense", "seeed-xiao-nrf52840-sense"},
    "teensy": {"teensy-4-0", "teensy-4-1"},
    "nRF5340": {"nrf5340-dk"},
}


@pytest.mark.parametrize("name", ONE)
def test_an_everyday_name_finds_its_board(name: str) -> None:
    assert find_board(name).id == ONE[name]


@pytest.mark.parametrize("name", SEVERAL)
def test_a_chip_or_family_finds_all_of_its_boards(name: str) -> None:
    assert set(boards_called(name, catalog())) == SEVERAL[name]


def test_a_name_of_several_boards_is_never_one_of_them() -> None:
    with pytest.raises(TinybudgetError) as caught:
        find_board("rp2040")
    assert caught.value.code == "TB101"
    assert str(caught.value) == (
        "'rp2040' is several boards, name one: arduino-nano-rp2040-connect, raspberry-pi-pico"
    )


@pytest.mark.parametrize("name", ["", "-", "pic", "m4", "nrf", "board", "cortex"])
def test_what_is_no_name_finds_nothing(name: str) -> None:
    assert boards_called(name, catalog()) == ()


def test_every_alias_is_of_boards_that_there_are() -> None:
    known = set(catalog())
    assert {board for ids in aliases().values() for board in ids} <= known
    assert all(len(set(ids)) == len(ids) for ids in aliases().values())


def test_no_alias_shadows_an_id_or_another_board_s_name() -> None:
    for board in catalog().values():
        for own in (board.id, board.name, *board.name.split(" / ")):
            assert aliases().get(folded(own), (board.id,)) == (board.id,), own
    assert not set(aliases()) & set(map(folded, catalog())), "an id needs no alias"


def test_no_alias_is_written_twice() -> None:
    path = Path(everyday.__file__).parent / "data" / "aliases.json"
    data = msgspec.json.decode(path.read_bytes())
    names = [folded(name) for names in data["boards"].values() for name in names]
    names += map(folded, data["families"])
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_ids_are_distinct_without_case_and_punctuation() -> None:
    assert max(Counter(map(folded, catalog())).values()) == 1


# Everywhere


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(keywords())  # which every board runs
    return tmp_path


RP2040 = "arduino-nano-rp2040-connect, raspberry-pi-pico"
XIAO = "seeed-xiao-esp32s3-sense, seeed-xiao-nrf52840-sense"
DECLARED = '[models.kws]\nsource = "kws.tflite"\nboards = ["pico", "nano33ble"]\n'


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "kws.tflite", "--board"],
        ["compare", "kws.tflite", "--board"],
        ["energy", "kws.tflite", "--active-power", "40 mW", "--board"],
        ["carray", "kws.tflite", "-o", "out", "--board"],
        ["boards", "show"],
        ["boards"],
        ["init", "--force", "--board"],
    ],
    ids=" ".join,
)
def test_every_command_takes_an_everyday_name(
    arguments: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for board in ("nano33ble", "arduino-nano-33-ble"):
        assert main([*arguments, board]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


@pytest.mark.parametrize("command", ["check", "explain", "energy"])
def test_a_pair_is_named_by_the_everyday_name_of_its_board(
    command: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tinybudget.toml").write_text(DECLARED, encoding="utf-8")
    said = []
    for name in ("raspberry-pi-pico", "picow", "rp2040"):
        pair = f"tinybudget.toml::kws::{name}"
        arguments = [pair] if command != "energy" else [pair, "--active-power", "40 mW"]
        main([command, *arguments])
        said.append(capsys.readouterr())
    assert said[0].out
    assert said[0].err == ""
    assert said[0] == said[1] == said[2], "of the boards that are declared, one has the chip"


def test_a_declaration_has_the_board_itself(project: Path) -> None:
    path = Path("tinybudget.toml")
    path.write_text(
        DECLARED + '[boards.mine]\nextends = "PicoW"\nram = "100 KB"\n', encoding="utf-8"
    )
    declaration = load_declaration(path)
    boards = declaration.models["kws"].boards
    assert [board.id for board in boards] == ["raspberry-pi-pico", "arduino-nano-33-ble"]
    assert declaration.boards["mine"].mcu == "RP2040"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            'boards = ["rp2040"]',
            "3: models.kws.boards[0]: 'rp2040' is several boards, name one: " + RP2040,
        ),
        (
            'boards = ["pico", "raspberry-pi-pico"]',
            "3: models.kws.boards[1]: board 'raspberry-pi-pico' is listed twice",
        ),
        (
            'boards = ["mine"]\n[boards.mine]\nextends = "xiao"',
            "5: boards.mine.extends: 'xiao' is several boards, name one: " + XIAO,
        ),
    ],
)
def test_a_declaration_is_told_what_is_not_one_board(text: str, told: str, project: Path) -> None:
    path = Path("tinybudget.toml")
    path.write_text(f'[models.kws]\nsource = "kws.tflite"\n{text}\n', encoding="utf-8")
    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)
    assert caught.value.message == f"tinybudget.toml:{told}"


def test_an_own_board_comes_before_an_everyday_name(project: Path) -> None:
    path = Path("tinybudget.toml")
    path.write_text(DECLARED + '[boards.pico]\nextends = "esp32"\n', encoding="utf-8")
    assert load_declaration(path).models["kws"].boards[0].mcu == "ESP32"


def test_python_takes_an_everyday_name() -> None:
    assert api.check(MODEL, board="picow").board == "raspberry-pi-pico"
