"""The catalog of boards: data that a verdict can rest on, and the commands that show it."""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import keyword_model
from msgspec.structs import replace

from pytest_tinybudget import boards
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.boards import find_stand_in
from pytest_tinybudget.boards import search
from pytest_tinybudget.boards.board import BARE_METAL
from pytest_tinybudget.boards.board import Block
from pytest_tinybudget.boards.describe import describe
from pytest_tinybudget.cli import main
from pytest_tinybudget.commands import boards as command
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.report import html
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import summary
from pytest_tinybudget.report import terminal
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.runtimes.distributions import default_runtime
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.stand_ins import stand_ins
from pytest_tinybudget.runtimes.tables import choose_table


KB = 1024
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
SHARED_MODELS = SHARED / "models"
BOARDS = list(catalog().values())
CATALOG = Path(boards.__file__).parent / "data" / "catalogue"
#: Ids are a promise to every declaration: one may be added here, none removed or renamed.
PROMISED = (Path(__file__).parent / "data" / "board_ids.txt").read_text("utf-8").split()

every_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)


def test_ids_are_the_promised_ones():
    assert list(catalog()) == PROMISED
    assert len(PROMISED) >= 29


@pytest.mark.parametrize(
    ("board_id", "flash_kb", "ram_kb", "runtime"),
    [
        ("arduino-nano-33-ble", 1024, 256, "arduino-tflm 2023-12"),
        ("esp32", 4096, 520, "esp-tflite-micro 1.4.0"),
        ("stm32f746g-discovery", 1024, 320, "m7_cmsisnn"),
        ("raspberry-pi-pico", 2048, 264, "pico-tflmicro dfea53b"),
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
    for file in CATALOG.glob("*.json"):
        ids = [row["id"] for row in json.loads(file.read_text("utf-8"))["boards"]]
        assert ids == sorted(set(ids)), file.name
    for board in BOARDS:
        names = [region.name for region in board.regions]
        assert len(set(names)) == len(names), board.id
        assert len(set(board.regions)) == len(board.regions), board.id


@every_board
def test_every_board_names_what_its_usual_sdk_ships_for_its_core(board: Board):
    assert board.runtime == default_runtime(board.core, board.sdk)
    runtime = runtime_called(board.runtime, board.core)
    assert runtime.name == board.runtime
    assert RUNTIMES[find_stand_in(board.core).runtime].abi == runtime.abi


@pytest.mark.parametrize(
    ("distribution", "ids"),
    [
        (
            "arduino-tflm 2023-12",
            ["arduino-nano-33-ble", "arduino-nicla-vision", "arduino-portenta-h7"],
        ),
        ("pico-tflmicro dfea53b", ["raspberry-pi-pico", "raspberry-pi-pico-2"]),
        ("esp-tflite-micro 1.4.0", ["esp32", "esp32-s3-devkitc-1", "esp32-c6-devkitc-1"]),
        ("zephyr 4.4", ["nrf52840-dk", "nrf5340-dk", "nrf54l15-dk"]),
        ("m7_cmsisnn", ["stm32f746g-discovery", "nucleo-h743zi", "teensy-4-1"]),
    ],
)
def test_boards_default_to_what_their_usual_sdk_ships_today(distribution, ids):
    for board_id in ids:
        assert find_board(board_id).runtime == distribution, board_id


def test_a_board_says_whose_tflm_it_is_measured_with():
    lines = " ".join(describe(find_board("arduino-nano-33-ble")))
    assert (
        'arduino-tflm 2023-12 (TFLM c12bd762, CMSIS-NN with DSP e98ee09a), what sdk = "mbed" ships'
    ) in lines


def test_ids_are_stable_kebab_case():
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", board.id) for board in BOARDS)


def test_a_core_without_a_table_of_its_own_has_a_margin_and_a_reason():
    measured = {core.name for core in stand_ins().values() if core.flash_margin_percent == 0}
    by_difference = ("Xtensa LX7", "RV32IMAFC with vectors")

    assert measured == {
        "Cortex-M0+", "Cortex-M4F", "Cortex-M7F", "Cortex-M33F", "Cortex-M55", "RV32IMC",
        *by_difference, "Xtensa LX6", "Xtensa LX7 with vectors",
    }  # fmt: skip
    for name in by_difference:
        choice = choose_table(RUNTIMES[find_stand_in(name).runtime].for_core(name))
        assert [each.of for each in choice.differences] == ["core"]
        assert choice.differences[0].percent > 0
    for core in stand_ins().values():
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
    on_board = runtime_called(find_board("esp32").runtime, "Xtensa LX6")

    arena = simulate(load_model(SHARED_MODELS / f"{model}.tflite"), on_board).arena

    assert arena is not None
    assert arena.used == arena_bytes


def shared_rows() -> list[dict[str, str]]:
    file = SHARED / "boards.csv"
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def plain(name: str) -> str:
    return re.sub(r"\s*\(.*", "", name).casefold().removeprefix("st ")


@pytest.mark.skipif(not shared_rows(), reason="the sources are not part of the project")
def test_the_catalog_says_what_its_sources_say():
    known = {plain(board.name): board for board in BOARDS}
    found = [(row, known.get(plain(row["name"]))) for row in shared_rows()]

    missing = {row["id"] for row, board in found if board is None}
    assert missing == {"stm32n6570_dk", "rx65n_cloud_kit", "uno_r3", "mega2560"}
    for row, board in found:
        if board is None:
            continue
        assert board.flash == int(row["flash_kb"]) * KB, board.id
        assert board.ram == int(row["ram_kb"]) * KB, board.id
        assert board.clock_mhz == int(row["clock_mhz"]), board.id
        assert board.largest_ram <= (float(row["largest_ram_region_kb"]) + 0.6) * KB, board.id
        assert board.verified == ("[CHECK BEFORE SHIPPING]" not in row["notes"]), board.id
        external = re.search(r"\d+ MB (octal )?(PSRAM|SDRAM)", row["notes"])
        assert (board.block("psram") is not None) == bool(external), board.id


@pytest.mark.parametrize(
    ("board_id", "region", "room_mb"),
    [
        ("esp32-cam", "PSRAM", 4),
        ("m5stack-core2", "PSRAM", 4),
        ("seeed-xiao-esp32s3-sense", "PSRAM", 8),
        ("arduino-nano-esp32", "PSRAM", 8),
        ("esp32-p4-function-ev", "PSRAM", 32),
        ("arduino-portenta-h7", "SDRAM", 8),
        ("arduino-giga-r1-wifi", "SDRAM", 8),
    ],
)
def test_external_ram_is_a_block_for_an_arena(board_id, region, room_mb):
    board = find_board(board_id)

    assert board.block("psram") == Block(region, room_mb * 1024 * KB)
    assert board.usable_ram <= board.ram < 4 * 1024 * KB, "it is not counted as RAM"


def test_an_esp32_has_heap_that_its_linker_cannot_hand_out():
    board = find_board("esp32")
    heap = [region for region in board.regions if region.is_ram and not region.static_room]

    assert board.statics_share_a_block
    assert any(region.heap_block == 111 * KB for region in heap)
    assert board.block("static") == Block("DRAM", 168_000)
    assert board.block("heap") == Block("DRAM", 180 * KB)
    assert find_board("esp32-s3-devkitc-1").block("heap") == Block(
        "DRAM and IRAM", 345_856, published=False
    )


@pytest.mark.parametrize(
    ("board_id", "sdk", "flash", "ram"),
    [
        ("raspberry-pi-pico", "arduino", 57_808, 11_640),
        ("raspberry-pi-pico", "mbed", 78_496, 52_656),
        ("raspberry-pi-pico", "bare-metal", 0, 0),
        ("arduino-nano-33-ble", "mbed", 85 * KB, 52_656),
        ("nucleo-u575zi-q", "arduino", 19_820, 1_016),
        ("esp32-s3-devkitc-1", "arduino", 347 * KB, 55_523),
        ("esp32-s3-devkitc-1", "esp-idf", 219_056, 55_523),
    ],
)
def test_an_sdk_has_the_published_reserve(board_id, sdk, flash, ram):
    (chosen,) = [each for each in find_board(board_id).sdks if each.name == sdk]
    board = find_board(board_id).with_sdk(chosen)

    assert (board.reserved_flash, board.reserved_ram, board.sdk) == (flash, ram, sdk)
    assert board.arena_room == min(board.largest_ram, board.usable_ram - ram)


def test_the_block_of_an_esp32_is_whole_without_an_sdk():
    board = find_board("esp32")

    assert board.with_sdk(BARE_METAL).largest_ram == 180_736
    assert replace(board, largest_ram=100 * KB).with_sdk(BARE_METAL).largest_ram == 100 * KB


# Own boards


@pytest.fixture
def own(tmp_path: Path):
    (tmp_path / "kws.tflite").write_bytes(keyword_model())

    def load(tables: str) -> Declaration:
        head = '[models.kws]\nsource = "kws.tflite"\nboards = ["esp32"]\n'
        file = tmp_path / "tinybudget.toml"
        file.write_text(head + tables, encoding="utf-8")
        return load_declaration(file)

    return load


def test_an_own_board_chooses_an_sdk_of_the_board_that_it_extends(own):
    boards = own("""
        [boards.mbed-pico]
        extends = "raspberry-pi-pico"
        sdk = "mbed"
        [boards.mine]
        extends = "mbed-pico"
        reserved_ram = "60 KB"
        [boards.none]
        extends = "mine"
        sdk = "bare-metal"
    """).boards

    assert (boards["mbed-pico"].reserved_flash, boards["mbed-pico"].sdk) == (78_496, "mbed")
    assert boards["mine"].reserved_flash == 78_496
    assert (boards["mine"].reserved_ram, boards["mine"].sdk) == (60 * KB, "as declared")
    assert (boards["none"].reserved_flash, boards["none"].reserved_ram) == (0, 0)


def test_an_sdk_that_nobody_knows_is_an_error_that_names_the_nearest(own):
    message = "tinybudget.toml:6: boards.b.sdk: unknown sdk 'zefyr'; did you mean 'zephyr'?"
    with pytest.raises(TinybudgetError, match=re.escape(message)):
        own('[boards.b]\nextends = "raspberry-pi-pico"\nsdk = "zefyr"\n')


def test_a_complete_board_keeps_the_reserve_that_it_declares(own):
    board = own("""
        [boards.own]
        core = "Cortex-M4F"
        flash = "1 MB"
        ram = "256 KB"
        sdk = "bare-metal"
        reserved_flash = "100 KB"
        reserved_ram = "20 KB"
        largest_heap = "110 KB"
        psram = "8 MB"
    """).boards["own"]

    assert (board.reserved_flash, board.reserved_ram) == (100 * KB, 20 * KB)
    assert board.block("static") == Block("RAM", 256 * KB)
    assert board.block("heap") == Block("heap", 110 * KB)
    assert board.block("psram") == Block("PSRAM", 8 * 1024 * KB)
    assert board.usable_ram == 256 * KB


def test_an_own_board_has_other_blocks_than_the_one_it_extends(own):
    boards = own("""
        [boards.larger]
        extends = "esp32-cam"
        psram = "16 MB"
        largest_heap = "90 KB"
        [boards.none]
        extends = "esp32-cam"
        psram = 0
        [boards.other-ram]
        extends = "esp32-cam"
        ram = "300 KB"
    """).boards

    assert boards["larger"].block("psram") == Block("PSRAM", 16 * 1024 * KB)
    assert boards["larger"].block("heap") == Block("heap", 90 * KB)
    assert boards["larger"].block("static") == Block("DRAM", 168_000)
    assert boards["none"].block("psram") is None
    assert boards["other-ram"].block("heap") == Block("RAM", 168_000, published=False)
    assert boards["other-ram"].block("psram") == Block("PSRAM", 4 * 1024 * KB)


def test_the_placement_of_a_model_is_its_own_or_the_defaults(own):
    declared = own("""
        [models.camera]
        source = "kws.tflite"
        boards = ["esp32-cam"]
        placement = "psram"
        artifacts = "camera"
        [groups.both]
        models = ["kws", "camera"]
        boards = ["esp32-cam"]
        [groups.outside]
        models = ["kws", "camera"]
        boards = ["esp32-cam"]
        placement = "psram"
        [defaults]
        placement = "heap"
    """)

    assert [model.placements.arena for model in declared.models.values()] == ["heap", "psram"]
    assert [group.placement for group in declared.groups.values()] == ["heap", "psram"]


def test_a_pair_says_where_its_arena_lies_in_every_report(own):
    declared = own("""
        [models.camera]
        source = "kws.tflite"
        boards = ["esp32-cam"]
        placement = "psram"
        artifacts = "camera"
        budget = { ram = "1 KB" }
        runtime = "esp32_espnn"
    """)
    result = next(
        Gate().check(pair) for pair in pairs("tinybudget.toml", declared) if pair.name == "camera"
    )

    assert result.placed is not None
    line = result.placed.text
    assert re.fullmatch(r"arena in PSRAM \(psram\): [\d.]+ KB of 4\.00 MB, 4\.00 MB left", line)
    assert line in terminal.failure(result)
    assert any(line in shown.text for shown in summary.summary([result]))
    assert line in html.render([result])
    assert "arena in PSRAM" in markdown.render([result])
    read = read_results(writer.render([result]).encode(), "results.json")
    assert read.pairs[0].placed == result.placed


def test_a_pair_on_a_board_without_external_ram_is_an_error_that_says_so(own):
    declared = own('placement = "psram"\n')
    (result,) = (Gate().check(pair) for pair in pairs("tinybudget.toml", declared))

    assert result.outcome == "error"
    assert result.headline.startswith(
        'placement = "psram": esp32 has no external RAM; it has flash'
    )


# The command


def test_tflm_does_not_run_on_avr():
    assert not search(["atmega"])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("arduino-nano-33-bel", "arduino-nano-33-ble"),
        ("ESP-33", "esp32"),
        ("raspberry-pie-pico", "raspberry-pi-pico"),
    ],
)
def test_unknown_board_offers_the_nearest(typed, meant):
    with pytest.raises(TinybudgetError, match=f"did you mean '{meant}'"):
        find_board(typed)


def test_search_wants_every_word_wherever_it_stands():
    assert {board.id for board in search(["ARDUINO", "m7"])} == {
        "arduino-giga-r1-wifi", "arduino-nicla-vision", "arduino-portenta-h7",
    }  # fmt: skip


def test_boards_are_read_without_numpy():
    code = (
        "import sys, pytest_tinybudget.boards as b; b.catalog(); "
        "print(sorted({'numpy', 'pytest'} & set(sys.modules)))"
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
    assert "flash estimated: log strings hold each source file's path" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 72


def test_json_has_sizes_in_bytes(capsys):
    assert main(["boards", "--json", "show", "raspberry-pi-pico"]) == 0

    (record,) = json.loads(capsys.readouterr().out)
    assert record["flash"] == 2048 * KB
    assert record["arena_room"] == 250_504
    assert record["regions"][0]["kind"] == "flash"


@pytest.mark.parametrize(
    ("option", "room"), [("--free-ram", "ram_room"), ("--free-flash", "flash_room")]
)
def test_listing_filters_by_what_is_free(option, room, capsys):
    limit = sorted(getattr(board, room) for board in BOARDS)[-5]

    run_boards(option, f"{limit} B", "--json")

    ids = [record["id"] for record in json.loads(capsys.readouterr().out)]
    assert ids == [board.id for board in BOARDS if getattr(board, room) >= limit]


def test_boards_that_hold_a_model_are_those_that_pass_the_gate(tmp_path, capsys):
    model = tmp_path / "kws.tflite"
    model.write_bytes(keyword_model(filters=200))

    assert run_boards("--fits", str(model), "--json") == 0

    records = json.loads(capsys.readouterr().out)
    boards = ", ".join(f'"{board.id}"' for board in BOARDS)
    file = tmp_path / "tinybudget.toml"
    file.write_text(f'[models.kws]\nsource = "kws.tflite"\nboards = [{boards}]\n')
    gate = Gate()
    passing = {
        result.board: result
        for result in map(gate.check, pairs("tinybudget.toml", load_declaration(file)))
        if not result.failed
    }
    assert {record["id"] for record in records} == set(passing)
    assert 10 < len(passing) < len(BOARDS)
    sizes = [(record["ram"], record["flash"]) for record in records]
    assert sizes == sorted(sizes)
    for record in records:
        flash, ram = passing[record["id"]].measures
        assert record["fits"]["flash"] == {"used": flash.used, "free": flash.free}
        assert record["fits"]["ram"] == {"used": ram.used, "free": ram.free}
        assert record["fits"]["placed"]["free"] >= 0


def test_boards_that_hold_a_model_show_the_room_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    model = tmp_path / "kws.tflite"
    model.write_bytes(keyword_model())

    run_boards("--fits", str(model), "--placement", "psram", "--vendor", "arduino")

    head, *table, foot = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["ID", "CORE"]
    assert [row.split()[0] for row in table] == [
        "arduino-nano-esp32", "arduino-giga-r1-wifi", "arduino-portenta-h7",
    ]  # fmt: skip
    assert "PSRAM" in table[0]
    assert "warns" not in table[0], "of esp-nn the release of a first build is counted"
    assert foot == "3 boards for kws.tflite (psram arena), smallest first"


def test_a_model_that_no_board_holds_is_one_clear_line(tmp_path):
    model = tmp_path / "kws.tflite"
    model.write_bytes(keyword_model(filters=200))

    with pytest.raises(TinybudgetError, match=r"fits no board that matches: 1 board too small$"):
        run_boards("--fits", str(model), "nano-33-iot")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "esp33"], "unknown board 'esp33'; did you mean 'esp32'"),
        (["esp33"], "no board matches; did you mean 'esp32'"),
        (["--core", "avr"], "no board matches"),
        (["--free-ram", "1000 MB"], "no board matches"),
        (["--fits", "nowhere.tflite"], "nowhere.tflite"),
    ],
)
def test_nothing_found_is_one_clear_line(arguments, message):
    with pytest.raises(TinybudgetError, match=re.escape(message)):
        run_boards(*arguments)
