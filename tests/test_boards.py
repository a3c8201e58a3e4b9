"""The catalogue of boards: data that a verdict can rest on, and the commands that show it."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_tinybudget import boards
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import catalogue
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.boards import find_core
from pytest_tinybudget.boards import search
from pytest_tinybudget.boards.cores import cores
from pytest_tinybudget.boards.describe import describe
from pytest_tinybudget.commands import boards as command
from pytest_tinybudget.errors import TinybudgetError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.runtime import RUNTIMES
from pytest_tinybudget.graph.tflite import load_model


KB = 1024
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
SHARED_MODELS = SHARED / "models"
BOARDS = list(catalogue().values())
CATALOGUE = Path(boards.__file__).parent / "data" / "catalogue"
#: Ids are a promise to every declaration: one may be added here, none removed or renamed.
PROMISED = (Path(__file__).parent / "data" / "board_ids.txt").read_text("utf-8").split()

every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)


def test_ids_are_the_promised_ones():
    assert list(catalogue()) == PROMISED
    assert len(PROMISED) >= 29


@pytest.mark.parametrize(
    ("board_id", "flash_kb", "ram_kb", "runtime"),
    [
        ("arduino-nano-33-ble", 1024, 256, "m4_cmsisnn"),
        ("esp32", 4096, 520, "esp32_espnn"),
        ("stm32f746g-discovery", 1024, 320, "m7_cmsisnn"),
        ("raspberry-pi-pico", 2048, 264, "m0plus_cmsisnn"),
    ],
)
def test_first_boards_have_their_published_capacity(board_id, flash_kb, ram_kb, runtime):
    board = find_board(board_id)

    assert (board.flash, board.ram) == (flash_kb * KB, ram_kb * KB)
    assert board.runtime == runtime


def test_bootloader_and_sdk_take_their_share_of_the_nano_33_ble():
    board = find_board("arduino-nano-33-ble")

    assert board.usable_flash == 960 * KB
    assert board.reserved_flash == 85 * KB
    assert board.flash_room == 875 * KB


def test_pico_leaves_what_the_arduino_core_reports_for_variables():
    board = find_board("raspberry-pi-pico")

    assert (board.reserved_flash, board.reserved_ram) == (57_808, 11_640)
    assert board.arena_room == 250_504


def test_arena_on_an_esp32_is_limited_by_static_memory_not_by_the_sum_of_the_blocks():
    board = find_board("esp32")

    assert board.arena_room == 168_000
    assert board.arena_room < board.ram_room < board.ram


@every_board
def test_figures_of_a_board_do_not_contradict_each_other(board: Board):
    assert 0 < board.usable_flash <= board.flash
    assert 0 < board.largest_ram <= board.usable_ram <= board.ram
    assert 0 <= board.reserved_flash < board.usable_flash
    assert 0 <= board.reserved_ram < board.usable_ram
    assert 0 < board.clock_mhz <= 1000


@every_board
def test_memory_blocks_add_up_to_the_capacity(board: Board):
    flash = [region for region in board.regions if region.kind == "flash"]
    ram = [region for region in board.regions if region.kind in ("sram", "tcm")]

    assert sum(region.size for region in flash) == board.flash
    assert sum(region.usable for region in flash) == board.usable_flash
    assert sum(region.size for region in ram) == board.ram
    assert all(0 <= region.usable <= region.size for region in board.regions)
    assert board.largest_ram <= max(region.static_room for region in ram)
    assert all(region.static_room <= region.usable for region in ram)
    assert all(0 < (region.heap_block or 1) <= region.size for region in ram)
    assert all(region.heap_block is None for region in board.regions if not region.is_ram)


@every_board
def test_every_figure_has_a_source(board: Board):
    assert len(board.source) > 10
    assert board.name
    assert board.mcu
    assert board.vendor
    for sdk in board.sdks:
        assert len(sdk.source) > 10, sdk.name
        assert len(sdk.notes) > 4, "a reserve says of which program it is"
        assert sdk.complete or "not known" in sdk.notes, "what is unknown is said"
    if not board.verified:
        assert board.notes, "what is unchecked is said"


@every_board
def test_an_sdk_takes_no_more_than_there_is(board: Board):
    for sdk in board.sdks:
        assert 0 <= sdk.reserved_flash < board.usable_flash
        assert 0 <= sdk.reserved_ram < board.usable_ram


@every_board
def test_the_default_sdk_is_one_of_the_boards_own(board: Board):
    names = [sdk.name for sdk in board.sdks]

    assert len(set(names)) == len(names)
    assert names[-1] == "bare-metal"
    assert board.chosen_sdk is not None
    assert board.with_sdk(board.chosen_sdk) == board


def test_nothing_is_listed_twice():
    for what in (lambda board: board.id, lambda board: board.name.casefold()):
        seen = [what(board) for board in BOARDS]
        assert len(set(seen)) == len(seen)
    for file in CATALOGUE.glob("*.json"):
        ids = [row["id"] for row in json.loads(file.read_text("utf-8"))["boards"]]
        assert ids == sorted(set(ids)), file.name
    for board in BOARDS:
        names = [region.name for region in board.regions]
        assert len(set(names)) == len(names), board.id
        assert len(set(board.regions)) == len(board.regions), board.id


@every_board
def test_every_board_names_a_shipped_runtime(board: Board):
    assert board.runtime in RUNTIMES
    assert RUNTIMES[find_core(board.core).runtime].abi == RUNTIMES[board.runtime].abi


def test_ids_are_stable_kebab_case():
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", board.id) for board in BOARDS)


def test_a_core_without_a_table_of_its_own_has_a_margin_and_a_reason():
    measured = {core.name for core in cores().values() if core.flash_margin_percent == 0}

    assert measured == {
        "Cortex-M0+", "Cortex-M4F", "Cortex-M7F", "Cortex-M33F", "Cortex-M55", "RV32IMC",
    }  # fmt: skip
    for core in cores().values():
        assert core.runtime in RUNTIMES
        assert bool(core.reason) == (core.flash_margin_percent > 0), core.name


def test_boards_without_a_checked_figure_say_so():
    unverified = {board.id for board in BOARDS if not board.verified}

    assert "bbc-microbit-v2" in unverified
    assert not unverified & {
        "arduino-nano-33-ble", "esp32", "stm32f746g-discovery", "raspberry-pi-pico",
    }  # fmt: skip
    assert any("warns" in line for line in describe(find_board("bbc-microbit-v2")))


@pytest.mark.skipif(not SHARED_MODELS.is_dir(), reason="the models are not part of the project")
@pytest.mark.parametrize(
    ("model", "arena_bytes"),
    [
        ("person_detect", 82_300),
        ("mlperf_kws_int8", 22_780),
        ("mlperf_resnet_int8", 54_364),
        ("mlperf_ad01_int8", 2_380),
    ],
)
def test_the_esp32_has_the_arena_that_was_published_from_silicon(model, arena_bytes):
    """mcufit-bench, ESP32 at 240 MHz with esp-nn (August 2026)."""
    runtime = RUNTIMES[find_board("esp32").runtime]

    arena = simulate(load_model(SHARED_MODELS / f"{model}.tflite"), runtime).arena

    assert arena is not None
    assert arena.used == arena_bytes


def test_tflm_does_not_run_on_avr():
    assert not search(["atmega"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("arduino-nano-33-bel", "arduino-nano-33-ble"),
        ("ESP32", "esp32"),
        ("raspberrypi-pico", "raspberry-pi-pico"),
    ],
)
def test_unknown_board_offers_the_nearest(typed, meant):
    with pytest.raises(TinybudgetError, match=f"did you mean '{meant}'"):
        find_board(typed)


def test_search_wants_every_word_wherever_it_stands():
    assert {board.id for board in search(["ARDUINO", "m7"])} == {
        "arduino-giga-r1-wifi", "arduino-nicla-vision", "arduino-portenta-h7",
    }  # fmt: skip


def test_boards_are_read_without_numpy_or_msgspec():
    code = (
        "import sys, pytest_tinybudget.boards as b; b.catalogue(); "
        "print(sorted({'numpy', 'msgspec'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def run_boards(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_commands(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["boards", *arguments])
    code: int = parsed.run(parsed)
    return code


@pytest.mark.parametrize("width", [40, 80, 200])
def test_listing_shows_whole_ids_on_any_terminal(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))

    assert run_boards() == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : len(PROMISED) + 1]] == PROMISED
    assert lines[len(PROMISED) + 1].startswith(f"{len(PROMISED)} boards")
    if width >= 80:
        assert max(map(len, lines)) <= width
        assert "875.0 KB" in next(line for line in lines if "arduino-nano-33-ble" in line)


def test_listing_filters_by_words_core_and_vendor(capsys):
    run_boards("nano", "--core", "m4", "--vendor", "arduino")

    _, row, foot = capsys.readouterr().out.splitlines()
    assert row.split()[0] == "arduino-nano-33-ble"
    assert foot.startswith("1 board;")


def test_show_prints_blocks_reserve_and_source(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")

    run_boards("show", "esp32")

    out = capsys.readouterr().out
    assert "810.1 KB free of 4.00 MB" in out
    assert "164.1 KB (the largest block" in out
    assert "esp-idf#7007" in out
    assert "+100 %" in out
    assert max(map(len, out.splitlines())) <= 72


def test_json_has_sizes_in_bytes(capsys):
    run_boards("--json", "show", "raspberry-pi-pico")

    (record,) = json.loads(capsys.readouterr().out)
    assert record["flash"] == 2048 * KB
    assert record["arena_room"] == 250_504
    assert record["regions"][0]["kind"] == "flash"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "esp33"], "unknown board 'esp33'; did you mean 'esp32'"),
        (["esp33"], "no board matches; did you mean 'esp32'"),
        (["--core", "avr"], "no board matches"),
    ],
)
def test_nothing_found_is_one_clear_line(arguments, message):
    with pytest.raises(TinybudgetError, match=re.escape(message)):
        run_boards(*arguments)
