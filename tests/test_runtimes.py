"""Runtimes and firmware as values: names are derived, structs stand once, equal is the same key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from conftest import keyword_model
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import arena_key
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.kernels import library_of
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.structs import ADDED_BY_COMPRESSION
from pytest_tinybudget.runtimes.structs import STRUCTS
from pytest_tinybudget.runtimes.structs import WITHOUT_STATIC_MEMORY
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Change
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version
from pytest_tinybudget.workspace import Workspace


M4 = RUNTIMES["m4_cmsisnn"]


def test_names_are_those_that_users_write() -> None:
    """Core and kernels give them; nothing is looked up by taking them apart."""
    assert [runtime.name for runtime in RUNTIMES.values()] == [
        "m0plus_ref", "m0plus_cmsisnn", "m4_ref", "m4_cmsisnn", "m7_ref", "m7_cmsisnn",
        "m33_cmsisnn", "m55_cmsisnn", "rv32imc_ref", "esp32_espnn", "esp32s3_espnn",
        "esp32p4_espnn", "x86_64_ref",
    ]  # fmt: skip


def test_descriptions_name_core_and_kernels() -> None:
    assert M4.description == "Cortex-M4F, CMSIS-NN with DSP"
    assert RUNTIMES["m55_cmsisnn"].description == "Cortex-M55, CMSIS-NN with MVE"
    assert RUNTIMES["m0plus_cmsisnn"].description == "Cortex-M0+, CMSIS-NN"
    assert RUNTIMES["rv32imc_ref"].description == "RV32IMC, reference kernels"


def test_a_runtime_lays_data_out_as_its_core_does() -> None:
    assert (M4.abi, RUNTIMES["rv32imc_ref"].abi) == (ARM, ILP32)
    wide = replace(CORES["Cortex-M4F"], abi=ILP32)
    assert Runtime((wide,), Kernels("reference"), "").abi == ILP32


def test_equal_firmware_is_one_key() -> None:
    one, other = OperatorCost(1), OperatorCost(2)
    firmware = Firmware(M4, "typed").with_costs({"A": one, "B": other})
    same = Firmware(M4, "typed").with_costs({"B": other, "A": one})
    assert {firmware: 1} == {same: 1}
    assert (firmware.cost_of("B"), firmware.cost_of("C")) == (other, None)
    assert firmware != Firmware(M4).with_costs({"A": one, "B": other})


def test_firmware_that_shares_an_arena_shares_its_key() -> None:
    """Registrations and the core decide flash and stack alone."""
    arena = arena_key(Firmware(M4))
    assert arena == arena_key(Firmware(RUNTIMES["m7_cmsisnn"], "typed", stack=1000))
    split = Firmware(M4, placements=Placements(SplitPlacement()))
    costly = Firmware(M4).with_costs({"A": OperatorCost(1)})
    others = [Firmware(RUNTIMES["m4_ref"]), split, costly]
    assert len({arena, *map(arena_key, others)}) == 4


def test_a_runtime_alone_is_firmware_of_which_nothing_else_is_said() -> None:
    model = read_model(keyword_model(), "kws")
    assert measure(model, M4) == measure(model, Firmware(M4))


def test_a_label_names_a_runtime_without_changing_it() -> None:
    firmware = Firmware(M4, label="ours")
    assert (firmware.name, firmware.runtime.name) == ("ours", "m4_cmsisnn")
    assert firmware.named_runtime.name == "ours"


def test_every_library_that_may_be_declared_has_its_row() -> None:
    assert set(LIBRARIES) == set(get_args(LibraryName))
    assert {library.name for library in LIBRARIES.values()} == set(LIBRARIES)


@pytest.mark.parametrize(
    ("function", "library"),
    [
        ("arm_convolve_s8", "cmsis-nn"),
        ("esp_nn_conv_s8_ansi", "esp-nn"),
        ("arm_relu_q7", "reference"),
        ("main", "reference"),
    ],
)
def test_functions_tell_whose_kernels_they_are(function: str, library: str) -> None:
    assert library_of({"main": 0, function: 0}).name == library


@pytest.mark.parametrize("table", [WITHOUT_STATIC_MEMORY, ADDED_BY_COMPRESSION])
def test_builds_differ_in_structs_that_there_are(table: dict[str, str]) -> None:
    assert set(table) <= set(STRUCTS)


def test_sizes_on_32_bits_are_those_of_measured_builds() -> None:
    def sizes(struct: str) -> tuple[int, int]:
        return ARM.size_of(STRUCTS[struct]), ILP32.size_of(STRUCTS[struct])

    assert sizes("MicroInterpreter") == (208, 212)
    assert sizes("MicroMutableOpResolver, an operator") == (36, 36)
    assert sizes("MicroMutableOpResolver") == (12, 12)
    assert sizes("SingleArenaBufferAllocator") == (36, 36)
    assert sizes("GreedyMemoryPlanner") == (44, 44)
    assert sizes("MicroAllocator") == (36, 36)


HISTORY = (
    Change("third", "3", "2025-03-01", before={"Table": "3i"}),
    Change("second", "2", "2025-02-01", before={"Table": "2i", "ADD parameters": "2b"}),
    Change("first", "1", "2025-01-01", before={"List": "p"}, registers=("ADD",)),
)


def test_a_version_lacks_what_came_after_it() -> None:
    old = version("old", "2025-01-15", HISTORY)
    assert [old.has(name) for name in ("first", "second", "third")] == [True, False, False]
    assert old.layout("Table", "4i") == "2i", "what the first change after it replaced"
    assert old.layout("List", "2p") == "2p", "a change that it has"
    assert old.parameters("ADD", "eb") == "2b"
    assert old.unregistered == frozenset()
    assert version("oldest", "2024", HISTORY).unregistered == {"ADD"}


def test_the_newest_version_lacks_nothing() -> None:
    newest = version("new", "2025-03-01", HISTORY)
    assert newest == Version("new", date="2025-03-01")


def test_changes_are_sorted_the_newest_first_and_replace_structs_that_there_are() -> None:
    history = changes("tflm")
    dates = [change.date for change in history]
    assert dates == sorted(dates, reverse=True)
    for change in history:
        structs = {name.partition(", log strings")[0] for name in change.before}
        ours = re.compile("[A-Z_0-9]+ (parameters|data)|SignalRfft data|[A-Z_0-9]+ data, cmsis-nn")
        assert {name for name in structs if not ours.fullmatch(name)} <= set(STRUCTS)


def test_a_struct_is_that_of_the_version_and_of_the_build() -> None:
    old = Version("old", layouts=(("SubgraphAllocations", "3p"),))
    assert Tflm(old).struct("SubgraphAllocations") == "3p"
    assert Tflm(old, compression=True).struct("SubgraphAllocations") == "3pp"
    full = Tflm(static_memory=False)
    assert full.struct("NodeAndRegistration") == WITHOUT_STATIC_MEMORY["NodeAndRegistration"]
    assert full.struct("MicroAllocator") == STRUCTS["MicroAllocator"]


@pytest.mark.parametrize("name", [TFLM_COMMIT, TFLM_COMMIT[:7], f"{TFLM_COMMIT}00"])
def test_a_version_is_found_by_any_abbreviation(name: str) -> None:
    assert find_version("tflm", name) == Tflm().version


def test_a_version_that_nobody_measured_has_a_name_alone() -> None:
    assert find_version("tflm", "0123abc") == Version("0123abc")


def test_a_release_is_not_abbreviated() -> None:
    assert find_version("esp-nn", "1.2.0") == known("esp-nn")["1.2.0"]
    assert find_version("esp-nn", "1.2") == Version("1.2")
    assert find_version("esp-nn", "1.2.0~2") == Version("1.2.0~2")


def test_a_release_lacks_what_later_ones_brought() -> None:
    versions = known("esp-nn")
    gathers = "ESP32-S3: CONV_2D gathers windows"
    assert gathers in {change.name for change in changes("esp-nn")}
    having = [name for name, version in versions.items() if version.has(gathers)]
    assert having == ["1.2.3", "1.2.2", "1.2.1"]
    assert not Tflm(Version("0123abc")).is_known


def jetson(folder: Path, more: str = "") -> Pair:
    (folder / "kws.tflite").write_bytes(keyword_model())
    (folder / "tinybudget.toml").write_text(
        f'[models.kws]\nsource = "kws.tflite"\nboards = ["own"]\n{more}'
        '[boards.own]\naccelerator = "jetson-orin-nano"\n',
        encoding="utf-8",
    )
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    assert isinstance(pair, Pair)
    return pair


def test_a_jetson_has_no_runtime_of_tflm(tmp_path: Path) -> None:
    pair = jetson(tmp_path)
    assert (pair.board.runtime, pair.board.core, pair.board.runs_tflm) == ("", "", False)
    with pytest.raises(TinybudgetError, match=r"^own runs no TFLM: "):
        _ = pair.firmware


def test_a_result_on_a_jetson_belongs_to_no_tables_and_to_no_tflm(tmp_path: Path) -> None:
    result = Gate(Workspace(cached=False)).check(jetson(tmp_path))
    assert (result.outcome, result.runtime, result.table) == ("warns", "jetson-orin-nano", "")
    assert result.identity is not None
    assert (result.identity.tflm, result.identity.kernels) == ("", "")
