"""TFLM as people flash it: distributions by name and release, and what may be said of them."""

from __future__ import annotations

import json
import os
import re
import tarfile
from pathlib import Path

import pytest
import version_truth
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget import api
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.distributions import distributions
from pytest_tinybudget.runtimes.distributions import find_distribution
from pytest_tinybudget.runtimes.distributions import nearest_names
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.distributions import sdks
from pytest_tinybudget.runtimes.distributions import taken_for_granted
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.workspace import Workspace


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
TRUTH = Path(__file__).parent / "data" / "truth"
PINS = SHARED / "tflm" / "versions" / "pins.md"

NANO = 'boards = ["arduino-nano-33-ble"]\n'
KWS = '[models.kws]\nsource = "kws.tflite"\n'


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, in which the test works."""
    monkeypatch.chdir(tmp_path)
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.conv2d(graph.input((1, 8, 8, 4)), filters=4), units=2))
    (tmp_path / "kws.tflite").write_bytes(maker.build())
    return tmp_path


def declared(text: str, name: str = "tinybudget.toml") -> Declaration:
    Path(name).write_text(text, encoding="utf-8")
    return load_declaration(Path(name).absolute())


def runtimes_in(text: str) -> list[Runtime]:
    """The runtime of each pair of a declaration, in its order."""
    return [pair.firmware.runtime for pair in pairs("tinybudget.toml", declared(text))]


def runtime_in(text: str) -> Runtime:
    (runtime,) = runtimes_in(text)
    return runtime


def refusal(text: str) -> str:
    with pytest.raises(DeclarationError) as refused:
        declared(text)
    return "\n".join([refused.value.message, *refused.value.details])


# The data


def pinned() -> list[tuple[str, str, str, str]]:
    """Name, release, date and commits of every row of the table of pins, as far as it is there."""
    if not PINS.is_file():
        return []
    names = {"tflite-micro-arduino-examples": "arduino-tflm", "Zephyr module": "zephyr"}
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (\d[^|]+) \| ([^|]+) \| \d[^|]+\| \d+ of",
                      PINS.read_text("utf-8"), re.MULTILINE)  # fmt: skip
    return [(names.get(name, name), *rest) for name, *rest in rows]


@pytest.mark.skipif(not PINS.is_file(), reason="no ../shared")
def test_every_row_of_the_pins_is_a_distribution() -> None:
    rows = pinned()
    assert len(rows) >= 28
    for name, release, date, commits in rows:
        words = re.findall(r"\b(?:zephyr_\d+|\d+\.\d+\.\d+(?:[.~]\d)?|[0-9a-f]{7,8})\b", release)
        for word in words:
            found = find_distribution(f"{name} {word}")
            assert found.tflm in commits, found
            first, *last = re.findall("[0-9a-f]{8}", commits)
            assert {found.tflm, found.same_since, found.same_until} >= {first, *last}, found
        # An Arduino release is called after its newest commit, which may have no code of its own.
        assert found.date.startswith(date.strip()) or "bd7e861" in release


@pytest.mark.parametrize(
    ("name", "static_memory", "tflm", "kernels"),
    [
        ("arduino-tflm 2023-12", False, "c12bd762", "e98ee09a"),
        ("arduino-tflm 2022-06", True, "87fb33be", "6a18a74b"),
        ("pico-tflmicro dfea53b", True, "87d5152c", "22080c68"),
        ("zephyr 4.1", False, "ef645912", "22080c68"),
        ("zephyr 3.5", False, "13cd6d82", "dc64e488"),
        ("tflite-micro 71fba59b", True, "71fba59b", "01dee38e"),
    ],
)
def test_a_distribution_is_a_commit_a_kernel_library_and_flags(
    name: str, static_memory: bool, tflm: str, kernels: str
) -> None:
    runtime = find_distribution(name).usual
    assert (runtime.tflm.static_memory, runtime.tflm.commit) == (static_memory, tflm)
    assert (runtime.kernels.library, runtime.kernels.version.name) == ("cmsis-nn", kernels)
    assert runtime.name == name


@pytest.mark.parametrize("name", distributions())
def test_the_facts_of_every_distribution_are_whole(name: str) -> None:
    found = distributions()[name]
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", found.date)
    assert re.fullmatch("[0-9a-f]{8}", found.tflm)
    assert found.date >= found.tflm_date[:10] or found.same_since, (
        "a release is not before its code"
    )
    assert found.cores
    for core in found.cores:
        runtime = found.on(core)
        assert runtime is not None, core
        assert runtime.abi == CORES[core].abi
        assert runtime.kernels.library == found.kernels[CORES[core].family] or core in (
            "RV32IMAFC with vectors",
        )
    assert {"tflm", "kernels", "flags"} <= found.sources.keys()


def test_one_release_of_each_distribution_is_the_newest() -> None:
    newest = [each.full_name for each in distributions().values() if each.newest]
    assert newest == [
        "tflite-micro 90b983c2", "arduino-tflm 2023-12", "esp-tflite-micro 1.4.0",
        "esphome 2026.5", "pico-tflmicro dfea53b", "zephyr 4.4",
    ]  # fmt: skip


def esp_nn_of(name: str) -> tuple[str, tuple[str, ...]]:
    """The release that a distribution names for the ESP32-S3, and those that it may be."""
    runtime = find_distribution(name).on("Xtensa LX7 with vectors")
    assert runtime is not None
    return runtime.kernels.version.name, runtime.kernels.releases


@pytest.mark.parametrize(
    ("name", "oldest"),
    [
        ("esp-tflite-micro 1.3.1", "1.0.2"),  # of 2024-06-05, allows 1.0.0-rc1 and newer
        ("esp-tflite-micro 1.3.4", "1.1.1"),  # of the day of 1.1.2
        ("esp-tflite-micro 1.3.5", "1.1.2"),
        ("esphome 2025.12", "1.1.1"),
        ("esp-tflite-micro 1.4.0", "1.2.3"),
    ],
)
def test_esp_nn_may_be_any_release_since_the_newest_of_the_day(name: str, oldest: str) -> None:
    version, releases = esp_nn_of(name)
    assert version == ""
    assert (releases[0], releases[-1]) == ("1.2.3", oldest)


def test_esp_nn_is_the_release_that_a_distribution_pins() -> None:
    assert esp_nn_of("esphome 2026.5") == ("1.1.2", ())


def test_the_one_release_that_is_counted_though_nobody_named_it_is_told() -> None:
    runtime = find_distribution("esp-tflite-micro 1.4.0").on("Xtensa LX7 with vectors")
    assert runtime is not None
    told = taken_for_granted(runtime)
    assert told.startswith("esp-nn 1.2.3 is counted, the newest when esp-tflite-micro 1.4.0 came")
    assert "dependencies.lock" in told
    assert taken_for_granted(replace(runtime, label="own")) == told
    version = find_version("esp-nn", "1.1.2")
    named = replace(runtime, kernels=replace(runtime.kernels, version=version, releases=()))
    assert taken_for_granted(named) == ""
    for other in ("esp-tflite-micro 1.3.5", "esphome 2026.5", "tflite-micro 90b983c2"):
        assert taken_for_granted(find_distribution(other).usual) == ""


def test_a_pair_tells_the_release_that_is_counted_where_it_convolves(tmp_path: Path) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 96, 96, 3)), filters=8, stride=(2, 2)))
    tmp_path.joinpath("model.tflite").write_bytes(maker.build())
    text = '[models.net]\nsource = "model.tflite"\nboards = ["esp32-s3-devkitc-1"]\n'
    (pair,) = pairs("tinybudget.toml", declared(text))
    result = Gate(Workspace(cached=False)).check(pair)
    assert result.outcome == "fits"
    assert any(note.startswith("esp-nn 1.2.3 is counted") for note in result.notes)


# Names


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("arduino-tflm 7948b85", "arduino-tflm 2023-12"),
        ("Arduino-TFLM  2023-12", "arduino-tflm 2023-12"),
        ("esp-tflite-micro 1.3.3~1", "esp-tflite-micro 1.3.3.1"),
        ("pico-tflmicro dfea53bf0123456789", "pico-tflmicro dfea53b"),
        ("tflite-micro 90b983c2", "tflite-micro 90b983c2"),
        ("zephyr 8d404de7", "zephyr 4.3"),
    ],
)
def test_a_release_has_other_names(name: str, release: str) -> None:
    assert find_distribution(name).full_name == release


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("esp-tflite-micro 1.3.9", "'esp-tflite-micro 1.3.8'"),
        ("zephyr", "'zephyr 4.4'"),
        ("zephyr 9", "'zephyr 4.4'"),
        ("arduino 2023-12", "'arduino-tflm 2023-12'"),
        ("m4_cmsis", "'m4_cmsisnn'"),
    ],
)
def test_a_name_that_is_nearly_right_gets_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(TinybudgetError) as refused:
        runtime_called(name)
    assert nearest in refused.value.message
    wrong = refusal(f'{KWS}{NANO}runtime = "{name}"\n')
    assert wrong.startswith("tinybudget.toml:4: models.kws.runtime: unknown runtime")
    assert nearest in wrong


def test_upstream_of_the_tables_commit_is_the_shipped_runtime_of_the_core() -> None:
    text = '{}boards = ["{}"]\nruntime = "tflite-micro 90b983c2"\n'
    assert runtime_in(text.format(KWS, "arduino-nano-33-ble")) == RUNTIMES["m4_cmsisnn"]
    assert runtime_in(text.format(KWS, "raspberry-pi-pico")) == RUNTIMES["m0plus_cmsisnn"]
    assert runtime_in(text.format(KWS, "esp32-p4-function-ev")).name == "esp32p4_espnn"


# Declared


@pytest.mark.parametrize("place", ["models", "defaults", "boards"])
def test_a_distribution_may_stand_wherever_a_runtime_does(place: str) -> None:
    key = 'runtime = "zephyr 4.1"\n'
    text = {
        "models": f"{KWS}{NANO}{key}",
        "defaults": f"[defaults]\n{key}{KWS}{NANO}",
        "boards": f'[boards.mine]\nextends = "arduino-nano-33-ble"\n{key}{KWS}boards = ["mine"]\n',
    }[place]
    runtime = runtime_in(text)
    assert (runtime.name, runtime.cores[0].name) == ("zephyr 4.1", "Cortex-M4F")


def test_one_distribution_is_built_for_the_core_of_each_board() -> None:
    boards = 'boards = ["arduino-nano-33-ble", "raspberry-pi-pico", "esp32-c3-devkitm-1", "esp32"]'
    found = runtimes_in(f'{KWS}{boards}\nruntime = "zephyr 4.1"\n')
    assert [each.cores[0].name for each in found] == [
        "Cortex-M4F", "Cortex-M0+", "RV32IMC", "Xtensa LX6",
    ]  # fmt: skip
    assert [each.kernels.library for each in found] == [
        "cmsis-nn", "cmsis-nn", "reference", "reference",
    ]  # fmt: skip
    assert {each.distribution for each in found} == {"zephyr 4.1"}
    assert found[3].abi.enum_bytes == 4, "Xtensa's data is laid out as Xtensa's"


def test_a_distribution_for_another_core_is_an_error_at_its_line_with_those_that_are_for_it() -> (
    None
):
    wrong = refusal(f'{KWS}{NANO}runtime = "esp-tflite-micro 1.3.5"\n')
    assert wrong.startswith(
        "tinybudget.toml:4: models.kws.runtime: runtime 'esp-tflite-micro 1.3.5' does not run on "
        "arduino-nano-33-ble: it is code for Xtensa LX6 or Xtensa LX7"
    )
    assert "arduino-tflm 2023-12" in wrong
    assert "zephyr 4.4" in wrong
    assert "pico" not in wrong, "it is for other cores"


def test_a_core_that_could_run_the_code_still_is_none_of_the_distribution() -> None:
    wrong = refusal(f'{KWS}{NANO}runtime = "pico-tflmicro dfea53b"\n')
    assert "it is code for Cortex-M0+ or Cortex-M33F, and the board's core is Cortex-M4F" in wrong


def test_an_own_runtime_starts_from_a_distribution_on_every_core() -> None:
    own = """
[runtime.ours]
extends = "esp-tflite-micro 1.3.3.1"
esp_nn = "1.2.1"
log_strings = false
optimize = "s"
app_libc = "none"
"""
    boards = 'boards = ["esp32-s3-devkitc-1", "esp32"]\nruntime = "ours"\n'
    s3, esp32 = runtimes_in(own + KWS + boards)
    assert (s3.kernels.vectors, esp32.kernels.vectors) == ("esp32s3", "")
    for each in (s3, esp32):
        assert each.name == "ours"
        assert each.kernels.version.name == "1.2.1"
        assert (each.tflm.commit, each.tflm.log_strings) == ("10ebaab9", False)
        assert (each.optimize, each.app_libc) == ("s", "none")


def test_an_own_runtime_for_one_core_is_for_no_other() -> None:
    own = '[runtime.ours]\nextends = "zephyr 4.1"\ncore = "Cortex-M33F"\n'
    assert runtime_in(f'{own}{KWS}boards = ["nrf5340-dk"]\nruntime = "ours"\n').tflm.commit == (
        "ef645912"
    )
    assert "it is code for Cortex-M33F" in refusal(f'{own}{KWS}{NANO}runtime = "ours"\n')


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('esp_nn = "1.2.9"', "runtime.ours.esp_nn: unknown release of esp-nn '1.2.9'; did you"),
        ('cmsis_nn = "22080c68"', "runtime.ours.cmsis_nn: is a version of CMSIS-NN"),
        ('optimise = "s"', "unknown key 'optimise' in [runtime.ours]; did you mean 'optimize'?"),
        ('optimize = "4"', 'runtime.ours.optimize: expected "s", "2", "3", or ""'),
        ('app_libc = "newlib"', "runtime.ours.app_libc"),
        ('core = "Cortex-M4F"', "runtime.ours.core: unknown core 'Cortex-M4F'"),
    ],
)
def test_a_wrong_key_of_an_own_runtime_is_said_once(keys: str, problem: str) -> None:
    own = f'[runtime.ours]\nextends = "esp-tflite-micro 1.3.5"\n{keys}\n'
    wrong = refusal(f'{own}{KWS}boards = ["esp32"]\nruntime = "ours"\n')
    assert wrong.count("tinybudget.toml:3: ") == 1
    assert problem in wrong


# SDKs


@pytest.mark.parametrize(
    ("sdk", "board", "runtime"),
    [
        ("zephyr", "arduino-nano-33-ble", "zephyr 4.4"),
        ("arduino", "arduino-nano-33-ble", "arduino-tflm 2023-12"),
        ("arduino", "esp32", "esp-tflite-micro 1.4.0"),
        ("esp-idf", "esp32-c6-devkitc-1", "esp-tflite-micro 1.4.0"),
        ("pico-sdk", "raspberry-pi-pico", "pico-tflmicro dfea53b"),
        ("bare-metal", "raspberry-pi-pico", "m0plus_cmsisnn"),
    ],
)
def test_the_sdk_of_the_defaults_chooses_the_runtime(sdk: str, board: str, runtime: str) -> None:
    text = f'[defaults]\nsdk = "{sdk}"\n{KWS}boards = ["{board}"]\n'
    assert runtime_in(text).name == runtime


def test_a_runtime_that_is_named_counts_before_the_sdk() -> None:
    text = f'[defaults]\nsdk = "zephyr"\n{KWS}{NANO}runtime = "zephyr 3.7"\n'
    assert runtime_in(text).name == "zephyr 3.7"


def test_the_sdk_decides_the_reserve_as_well() -> None:
    text = '[defaults]\nsdk = "mbed"\n{}boards = ["raspberry-pi-pico"]\n'
    (board,) = declared(text.format(KWS)).models["kws"].boards
    assert (board.sdk, board.reserved_flash, board.reserved_ram) == ("mbed", 78_496, 52_656)


def test_arduino_means_the_arduino_core_that_a_board_has() -> None:
    (board,) = declared(f'[defaults]\nsdk = "arduino"\n{KWS}{NANO}').models["kws"].boards
    assert (board.sdk, board.reserved_flash) == ("mbed", 85 * 1024)


def test_an_sdk_of_which_no_reserve_is_known_warns(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tinybudget.toml").write_text(f'[defaults]\nsdk = "zephyr"\n{KWS}{NANO}', encoding="utf-8")
    assert main(["check"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert 'sdk = "zephyr": what it takes of this board is not known: declare reserved_flash' in out


def test_an_own_board_names_its_sdk_and_has_its_runtime() -> None:
    own = '[boards.mine]\nextends = "raspberry-pi-pico"\nsdk = "zephyr"\n'
    assert runtime_in(f'{own}{KWS}boards = ["mine"]\n').name == "zephyr 4.4"


def test_an_own_board_starts_from_the_sdk_of_the_defaults() -> None:
    own = '[boards.mine]\nextends = "raspberry-pi-pico"\nreserved_ram = "20 KB"\n'
    text = f'[defaults]\nsdk = "pico-sdk"\n{own}{KWS}boards = ["mine"]\n'
    assert runtime_in(text).name == "pico-tflmicro dfea53b"


def test_an_own_board_that_names_a_runtime_keeps_it() -> None:
    own = '[boards.mine]\nextends = "raspberry-pi-pico"\nsdk = "zephyr"\nruntime = "m0plus_ref"\n'
    assert runtime_in(f'{own}{KWS}boards = ["mine"]\n').name == "m0plus_ref"


def test_a_file_that_extends_another_has_its_sdk() -> None:
    Path("shared.toml").write_text('[defaults]\nsdk = "zephyr"\n', encoding="utf-8")
    assert runtime_in(f'extends = "shared.toml"\n{KWS}{NANO}').name == "zephyr 4.4"


def test_an_sdk_that_is_not_for_a_boards_core_is_an_error_at_its_line() -> None:
    wrong = refusal(f'[defaults]\nsdk = "pico-sdk"\n{KWS}{NANO}')
    assert wrong.startswith(
        "tinybudget.toml:2: defaults.sdk: 'pico-sdk' ships no TFLM for Cortex-M4F"
    )
    assert "valid: arduino, mbed, softdevice, zephyr, bare-metal" in wrong


def test_an_unknown_sdk_gets_the_nearest() -> None:
    wrong = refusal(f'[defaults]\nsdk = "zefyr"\n{KWS}{NANO}')
    assert "tinybudget.toml:2: defaults.sdk: unknown sdk 'zefyr'; did you mean 'zephyr'?" in wrong


def test_every_sdk_ships_a_distribution_that_is_known() -> None:
    names = {each.name for each in distributions().values()}
    for name, sdk in sdks().items():
        assert set(sdk.distributions) <= names, name
        assert name in sdk.reserves


# Everywhere


def test_results_say_distribution_and_release() -> None:
    result = api.check("kws.tflite", board="arduino-nano-33-ble", runtime="arduino-tflm 2023-12")
    assert result.runtime == "arduino-tflm 2023-12"
    assert result.identity is not None
    assert result.identity.distribution == "arduino-tflm 2023-12"
    assert result.identity.text == (
        "arduino-tflm 2023-12 (TFLM c12bd762), Cortex-M4F, CMSIS-NN with DSP"
    )


def test_the_results_file_keeps_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "kws.tflite", "--board", "raspberry-pi-pico", "--runtime",
                 "pico-tflmicro dfea53b", "--json", "r.json"]) == 0  # fmt: skip
    capsys.readouterr()
    (variant,) = json.loads(Path("r.json").read_text("utf-8"))["runtime"]["variants"]
    assert variant["distribution"] == "pico-tflmicro dfea53b"
    assert variant["kernels_version"] == "22080c68"
    assert main(["report", "r.json", "--format", "markdown"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "pico-tflmicro dfea53b (TFLM 87d5152c), Cortex-M0+, CMSIS-NN" in shown


def test_a_board_keeps_its_core_where_the_api_names_a_distribution() -> None:
    footprint = api.measure("kws.tflite", board="nrf5340-dk", runtime="zephyr 4.0")
    assert footprint.runtime == "zephyr 4.0"
    with pytest.raises(TinybudgetError, match="does not run on nrf5340-dk"):
        api.measure("kws.tflite", board="nrf5340-dk", runtime="esphome 2025.5")


def test_inspect_takes_a_distribution_for_the_core_of_a_board(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["inspect", "kws.tflite", "--runtime", "zephyr 4.0"]) == 0
    assert "zephyr 4.0 (TFLM 71fba59b), Cortex-M4F" in capsys.readouterr().out
    command = ["inspect", "kws.tflite", "--runtime", "zephyr 4.0", "--board"]
    assert main([*command, "raspberry-pi-pico"]) == 0
    assert "zephyr 4.0 (TFLM 71fba59b), Cortex-M0+" in capsys.readouterr().out
    assert main(["inspect", "kws.tflite", "--runtime", "m4_ref", "--board", "esp32"]) == 2
    assert "runtime 'm4_ref' does not run on esp32" in capsys.readouterr().err


# The listing


def test_the_listing_names_every_release(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["runtime"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (arduino,) = [line for line in lines if line.startswith("arduino-tflm 2023-12")]
    assert arduino.split("  ")[0] == "arduino-tflm 2023-12"
    for fact in ("2023-12-22", "c12bd762", "CMSIS-NN e98ee09a", "log strings", "large structs"):
        assert fact in arduino
    assert arduino.endswith("RAM, flash")
    (unmeasured,) = [line for line in lines if line.startswith("pico-tflmicro 03cbb1e")]
    assert unmeasured.endswith("not measured")
    assert any(line.startswith("zephyr 4.3, 4.2, 4.1") for line in lines)


def test_a_usual_terminal_shows_each_release_and_its_date_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["runtime"]) == 0
    told = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in told
    assert "esp-tflite-micro 1.4.0, 1.3.8    2026-08-13  35b20c5c" in told
    assert max(map(len, told.splitlines())) <= 80
    assert "A wider terminal shows kernels and flags as well." in " ".join(told.split())


def test_an_empty_name_is_no_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtime", "show", ""]) == 2
    assert "unknown runtime ''" in capsys.readouterr().err


def test_a_distribution_without_a_release_offers_its_newest() -> None:
    newest = [each.full_name for each in distributions().values() if each.name == "tflite-micro"]
    assert nearest_names("tflite-micro") == newest[:3]
    assert nearest_names("zephyr 4.11")[0] == "zephyr 4.1"


def test_the_listing_as_json_has_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtime", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    by_name = {each["name"]: each for each in listed["distributions"]}
    assert by_name.keys() == distributions().keys()
    arduino = by_name["arduino-tflm 2023-12"]
    assert arduino["tflm"]["commit"] == "c12bd762"
    assert (arduino["static_memory"], arduino["optimize"]) == (False, "s")
    assert "337 models" in arduino["measured_ram"]
    unmeasured = by_name["pico-tflmicro 03cbb1e"]
    assert (unmeasured["measured_ram"], unmeasured["measured_flash"]) == (None, None)
    assert {each["name"] for each in listed["runtimes"]} == RUNTIMES.keys()


def test_show_prints_the_source_of_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtime", "show", "zephyr", "4.1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith("zephyr 4.1: Zephyr's module")
    assert "source, static memory: modules/tflite-micro/CMakeLists.txt" in out
    assert main(["runtime", "show", "m4_cmsisnn"]) == 0
    assert "TFLM: 90b983c2" in " ".join(capsys.readouterr().out.split())
    assert main(["runtime", "show", "zephir 4.1"]) == 2
    assert "did you mean 'zephyr 4.1'" in capsys.readouterr().err


# Measured


@pytest.mark.parametrize(
    ("model", "arena"),
    [
        ("person_detect", 82_740),
        ("mlperf_kws_int8", 24_164),
        ("mlperf_resnet_int8", 55_188),
        ("mlperf_ad01_int8", 2_596),
    ],
)
def test_the_published_figures_of_the_nano_33_ble_come_out_as_the_board_comes(
    model: str, arena: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = SHARED / "models" / f"{model}.tflite"
    if not path.is_file():
        pytest.skip("no ../shared")
    assert main(["inspect", str(path), "--board", "arduino-nano-33-ble", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["arena"]
    assert found["used"] == arena


@pytest.mark.parametrize(
    ("board", "measured"),
    [
        ("arduino-nano-33-ble", "arena_arduino_examples_7948b85_cmsisnn"),
        ("nrf52840-dk", "arena_cf8c42a1_cmsisnn_without_TF_LITE_STATIC_MEMORY"),
    ],
)
def test_a_board_as_it_comes_takes_what_was_measured_of_its_distribution(
    board: str, measured: str
) -> None:
    """Head, tail and smallest arena of every own model, to the byte."""
    (build,) = [each for each in version_truth.packed() if each.name == measured]
    chosen = find_board(board)
    runtime = runtime_called(chosen.runtime, chosen.core)
    compared = 0
    with tarfile.open(TRUTH / "models.tar.gz") as archive:
        for name, figures in build.figures.items():
            file = archive.extractfile(f"{name}.tflite")
            assert file is not None
            arena = simulate(read_model(file.read(), name), runtime).arena
            if figures is None or arena is None:
                continue
            compared += 1
            assert (arena.head, arena.tail) == tuple(figures[:2]), name
            if figures[2] and (measured, name) not in version_truth.ISLANDS:
                assert arena.required == figures[2], name
    assert compared > 100


_NOT_ARM = (
    "esp_nn: is a version of esp-nn, which is built for Xtensa and RISC-V; "
    "this runtime is for Arm: leave it out"
)


@pytest.mark.parametrize(
    ("extends", "keys", "problem"),
    [
        ("arduino-tflm 2023-12", 'app_libc = "pico-sdk"', "and arduino-tflm is not built with it"),
        ("zephyr 4.1", 'app_libc = "esp-idf"', "and zephyr is not built with it"),
        ("pico-tflmicro dfea53b", 'app_libc = "esp-idf"', "and pico-tflmicro is not built with it"),
        ("m4_cmsisnn", 'app_libc = "esp-idf"', "and it is not made for Cortex-M4F"),
        ("m4_cmsisnn", 'esp_nn = "1.2.1"', _NOT_ARM),
        ("zephyr 4.1", 'core = "Cortex-M4F"\nesp_nn = "1.2.1"', _NOT_ARM),
        ("tflite-micro 90b983c2", 'esp_nn = "1.2.1"', "Xtensa and RISC-V: choose these kernels"),
        (
            "arduino-tflm 2023-12",
            'kernels = "esp-nn"\nesp_nn = "1.2.1"',
            "kernels: esp-nn is built for Xtensa and RISC-V, and this runtime for Cortex-M4F",
        ),
    ],
)
def test_a_key_of_another_sdk_or_core_is_one_clear_error(
    extends: str, keys: str, problem: str
) -> None:
    own = f'[runtime.ours]\nextends = "{extends}"\n{keys}\n'
    wrong = refusal(f'{own}{KWS}boards = ["arduino-nano-33-ble"]\n')
    assert wrong.count("runtime.ours.") == 1
    assert problem in wrong
    assert 'kernels = "esp-nn"' not in wrong or extends == "tflite-micro 90b983c2"


@pytest.mark.parametrize(
    ("keys", "runs", "does_not"),
    [
        ('app_libc = "pico-sdk"', "raspberry-pi-pico", "arduino-nano-33-ble"),
        ('app_libc = "esp-idf"', "esp32", "arduino-nano-33-ble"),
        ('kernels = "esp-nn"\nesp_nn = "1.2.1"', "esp32", "arduino-nano-33-ble"),
    ],
)
def test_upstreams_tflm_with_a_key_of_one_sdk_is_for_the_cores_of_that_sdk(
    keys: str, runs: str, does_not: str
) -> None:
    own = f'[runtime.ours]\nextends = "tflite-micro 90b983c2"\n{keys}\n'
    assert declared(f'{own}{KWS}boards = ["{runs}"]\nruntime = "ours"\n').models
    wrong = refusal(f'{own}{KWS}boards = ["{does_not}"]\nruntime = "ours"\n')
    assert "runtime 'ours' does not run on arduino-nano-33-ble" in wrong
