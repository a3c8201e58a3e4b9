"""``tinybudget.toml``: what it declares, and what is said when it is wrong."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from campaigns import rare
from conftest import keyword_model
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from modelmaker import ModelMaker
from pace import soon

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.commands import schema as commands
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import Declaration
from pytest_tinybudget.declaration import declaration_schema
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.keys import other_names
from pytest_tinybudget.declaration.positions import key_lines
from pytest_tinybudget.declaration.schema.layers import LayerTable
from pytest_tinybudget.declaration.toml import TOMLDecodeError
from pytest_tinybudget.declaration.toml import parse
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.network import LAYER_TYPES
from pytest_tinybudget.runtimes.firmware import FixedCost
from pytest_tinybudget.runtimes.firmware import OperatorCost


KB = 1024

KWS = """
[models.kws]
source = "models/kws.tflite"
boards = ["arduino-nano-33-ble"]
"""


class Project:
    """A folder with model files (empty: no model is opened) and a declaration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "tinybudget.toml"

    def models(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")

    def load(self, text: str, **options: Any) -> Declaration:
        self.file.write_text(text, encoding="utf-8")
        return load_declaration(self.file, **options)

    def errors(self, text: str | bytes) -> list[str]:
        """The lines that say what is wrong, examples left out; paths from the project."""
        return [line for line in self.all_lines(text) if line.startswith("tinybudget.toml")]

    def all_lines(self, text: str | bytes) -> list[str]:
        self.file.write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(DeclarationError) as caught:
            load_declaration(self.file)
        return str(caught.value).splitlines()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path)
    project.models("models/kws.tflite", "models/vad.tflite", "models/ic.tflite")
    monkeypatch.chdir(tmp_path)
    return project


# What it declares


def test_a_model_without_settings_has_the_defaults(project: Project):
    declaration = project.load(KWS)

    model = declaration.models["kws"]
    assert (model.name, model.section, model.artifact_name) == ("kws", "kws", "kws")
    assert model.source == project.folder / "models" / "kws.tflite"
    assert model.declared_source == "models/kws.tflite"
    assert model.boards == (find_board("arduino-nano-33-ble"),)
    assert model.budget == Budget(None, None)
    assert model.warn_at_percent == 100
    assert (model.require_int8, model.strict) == ("warn", False)
    assert (model.registrations, model.stack, model.message) == ("generic", None, "")
    assert declaration.artifacts is None


def test_the_section_comes_before_the_defaults(project: Project):
    declaration = project.load("""
        schema = 1
        [defaults]
        boards = ["nucleo-l4r5zi", "arduino-nicla-vision"]
        budget = { flash = "1 MB", ram = "100 KB" }
        warn_at = "90%"
        message = "ask the firmware team"
        require_int8 = true
        strict = true
        registrations = "typed"
        stack = "2 KB"
        runtime = "m4_ref"
        artifacts = "generated"
        [models.kws]
        source = "models/kws.tflite"
        boards = ["arduino-nano-33-ble"]
        budget = { ram = "48 KB" }
        warn_at = "87.5 %"
        message = "see docs/size.md"
        require_int8 = "warn"
        strict = false
        registrations = "generic"
        stack = 1000
        runtime = "m0plus_ref"
        artifacts = "keyword_model"
        [models.vad]
        source = "models/vad.tflite"
    """)

    kws, vad = declaration.models["kws"], declaration.models["vad"]
    assert [board.id for board in kws.boards] == ["arduino-nano-33-ble"]
    assert [board.id for board in vad.boards] == ["nucleo-l4r5zi", "arduino-nicla-vision"]
    assert kws.budget == Budget(flash=1024 * KB, ram=48 * KB)
    assert vad.budget == Budget(flash=1024 * KB, ram=100 * KB)
    assert (kws.warn_at_percent, vad.warn_at_percent) == (87.5, 90)
    assert (kws.message, vad.message) == ("see docs/size.md", "ask the firmware team")
    assert (kws.require_int8, vad.require_int8) == ("warn", True)
    assert (kws.strict, vad.strict) == (False, True)
    assert (kws.registrations, vad.registrations) == ("generic", "typed")
    assert (kws.stack, vad.stack) == (1000, 2 * KB)
    assert (kws.artifact_name, vad.artifact_name) == ("keyword_model", "vad")
    assert declaration.firmware_for(kws, kws.boards[0]).name == "m0plus_ref"
    assert declaration.firmware_for(vad, vad.boards[1]).name == "m4_ref"
    assert declaration.artifacts == project.folder / "generated"


@pytest.mark.parametrize(
    ("size", "size_bytes"),
    [
        ('"200 KB"', 204_800),
        ('"1 MB"', 1_048_576),
        ('"812 B"', 812),
        ("4096", 4096),
        ('"1.5KiB"', 1536),
        ('"2 MiB"', 2_097_152),
        ('"64"', 64),
        ('" 3 k "', 3072),
    ],
)
def test_sizes(project: Project, size: str, size_bytes: int):
    declaration = project.load(KWS + f"budget.flash = {size}\n")

    assert declaration.models["kws"].budget.flash == size_bytes


def test_a_glob_makes_one_model_a_file(project: Project):
    declaration = project.load("""
        [models.all]
        source = "models/**/*.tflite"
        boards = ["esp32"]
    """)

    assert list(declaration.models) == ["ic", "kws", "vad"]
    assert {model.section for model in declaration.models.values()} == {"all"}
    assert declaration.models["vad"].declared_source == "models/vad.tflite"


def test_a_glob_that_no_file_system_could_hold_matches_nothing(project: Project):
    with pytest.raises(DeclarationError, match=r"no file matches 'é+/"):
        project.load(f"""
            [models.all]
            source = "{"é" * 300}/**/*.tflite"
            boards = ["esp32"]
        """)


def test_a_file_whose_name_looks_like_a_glob_is_a_file(project: Project):
    project.models("models/kws[v1].tflite", "models/kwsv.tflite")

    declaration = project.load("""
        [models.kws]
        source = "models/kws[v1].tflite"
        boards = ["esp32"]
    """)

    assert declaration.models["kws"].source.name == "kws[v1].tflite"


def test_sources_may_lie_beside_the_declaration_or_anywhere(project: Project):
    project.models("firmware/readme.md", "shared/big.tflite")
    project.file = project.folder / "firmware" / "tinybudget.toml"

    declaration = project.load(f"""
        [models.up]
        source = "../shared/big.tflite"
        boards = ["esp32"]
        [models.absolute]
        source = '{project.folder / "models" / "kws.tflite"}'
        boards = ["esp32"]
        [models.others]
        source = "../models/[iv]*.tflite"
        boards = ["esp32"]
    """)

    assert declaration.models["up"].source == project.folder / "shared" / "big.tflite"
    assert declaration.models["up"].declared_source == "../shared/big.tflite"
    assert declaration.models["absolute"].source == project.folder / "models" / "kws.tflite"
    assert list(declaration.models) == ["up", "absolute", "ic", "vad"]


def test_an_own_board_changes_what_it_extends(project: Project):
    declaration = project.load(
        KWS.replace("arduino-nano-33-ble", "doorbell")
        + """
        [boards.doorbell]
        extends = "esp32"
        reserved_flash = "900 KB"
        reserved_ram = "180 KB"
        [boards.doorbell-v2]
        extends = "doorbell"
        name = "Doorbell 2"
        usable_flash = "3 MB"
        """
    )

    doorbell, second = declaration.boards["doorbell"], declaration.boards["doorbell-v2"]
    parent = find_board("esp32")
    assert declaration.models["kws"].boards == (doorbell,)
    assert doorbell.flash_room == parent.usable_flash - 900 * KB
    assert doorbell.ram_room == parent.usable_ram - 180 * KB
    assert doorbell.core == parent.core
    assert doorbell.runtime == parent.runtime
    assert (second.name, second.reserved_flash) == ("Doorbell 2", 900 * KB)
    assert second.flash_room == (3 * 1024 - 900) * KB


def test_more_memory_than_the_extended_board_has_needs_saying_where(project: Project):
    declaration = project.load(
        KWS
        + """
        [boards.big]
        extends = "stm32f746g-discovery"
        ram = "8 MB"
        flash = "16 MB"
        [boards.big-block]
        extends = "big"
        largest_ram = "8 MB"
        usable_flash = "16 MB"
        """
    )

    big, block = declaration.boards["big"], declaration.boards["big-block"]
    assert (big.arena_room, big.ram_room) == (256 * KB, 8 * 1024 * KB)
    assert big.flash_room == 1024 * KB
    assert (block.arena_room, block.flash_room) == (8 * 1024 * KB, 16 * 1024 * KB)


def test_a_board_with_sizes_of_its_own_counts_as_verified(project: Project):
    declaration = project.load(
        KWS
        + """
        [boards.named]
        extends = "bbc-microbit-v2"
        name = "Class set"
        [boards.checked]
        extends = "bbc-microbit-v2"
        reserved_flash = "150 KB"
        reserved_ram = "40 KB"
        """
    )

    assert not declaration.boards["named"].verified
    assert declaration.boards["checked"].verified


def test_a_complete_board_takes_its_runtime_from_its_core(project: Project):
    declaration = project.load(
        KWS
        + """
        [boards.own]
        core = "Cortex-M3"
        flash = "512 KB"
        ram = "64 KB"
        clock_mhz = 72
        mcu = "STM32F103RE"
        notes = "revision 3"
        """
    )

    own = declaration.boards["own"]
    assert (own.flash_room, own.arena_room, own.clock_mhz) == (512 * KB, 64 * KB, 72)
    choice = declaration.firmware_for(declaration.models["kws"], own)
    assert choice.name == "m0plus_cmsisnn"
    assert choice.runtime.flash_margin_percent == 5


def test_a_fixed_cost_runtime_inline_and_by_name(project: Project):
    declaration = project.load("""
        [models.kws]
        source = "models/kws.tflite"
        boards = ["arduino-nano-33-ble", "own"]
        runtime = { flash = "20 KB", stack = "2 KB" }
        [models.vad]
        source = "models/vad.tflite"
        boards = ["esp32", "own"]
        [models.ic]
        source = "models/ic.tflite"
        boards = ["arduino-nano-33-ble"]
        runtime = "vendor"
        [boards.own]
        extends = "raspberry-pi-pico"
        runtime = { flash = "9 KB", stack = "1 KB" }
        [runtime.vendor]
        flash = "30 KB"
        stack = 0
    """)

    kws, vad, ic = declaration.models.values()
    nano, own = kws.boards
    on_nano = declaration.firmware_for(kws, nano)
    assert on_nano.fixed == FixedCost(20 * KB, 2 * KB)
    assert on_nano.runtime.name == "m4_cmsisnn", "its arena is that of the board's core"
    assert declaration.firmware_for(kws, own).runtime.name == "m0plus_cmsisnn"
    assert declaration.firmware_for(vad, own).fixed == FixedCost(9 * KB, 1 * KB)
    assert declaration.firmware_for(vad, vad.boards[0]).fixed is None
    assert declaration.firmware_for(ic, nano).name == "vendor"
    assert declaration.firmware_for(ic, nano).fixed == FixedCost(30 * KB, 0)


def test_a_runtime_with_a_table_of_its_own_is_taken_at_its_word(project: Project):
    project.models("firmware/tflm.json.gz", "firmware/src/model_data.cc")

    declaration = project.load(
        KWS.replace("arduino-nano-33-ble", "esp32")
        + """
        runtime = "esp"
        [runtime.esp]
        extends = "rv32imc_ref"
        core = "Xtensa LX6"
        table = "firmware/tflm.json.gz"
        kernels = "esp-nn"
        [runtime.changed]
        extends = "m4_cmsisnn"
        kernels = "reference"
        dsp = false
        enum_bytes = 4
        """
    )

    model = declaration.models["kws"]
    choice = declaration.firmware_for(model, model.boards[0])
    assert choice.runtime.graph == str(project.folder / "firmware" / "tflm.json.gz")
    assert choice.runtime.kernels.library == "esp-nn"
    assert choice.runtime.table == "rv32imc_ref"
    assert choice.runtime.flash_margin_percent == 0
    changed = declaration.runtimes["changed"].runtime
    assert changed is not None
    assert (changed.abi.enum_bytes, changed.kernels.dsp) == (4, False)
    assert changed.flash_margin_percent > 0, "other kernels than the table's"


def test_kernels_that_are_built_for_no_core_of_a_runtime_are_refused(project: Project):
    runtime = '\n[runtime.mine]\nextends = "m4_cmsisnn"\nkernels = "esp-nn"'
    (line, *_) = project.all_lines(KWS + runtime)
    assert line.endswith(
        "runtime.mine.kernels: esp-nn is built for Xtensa and RISC-V, and this runtime for "
        "Cortex-M4F"
    )


def test_the_example_beside_an_unknown_name_is_a_valid_one(project: Project):
    runtime = '\n[runtime.mine]\nextends = "esp-tflite-micro 1.3.3"\ncore = "Cortex-M4F"'
    lines = project.all_lines(KWS + runtime)
    assert "unknown core 'Cortex-M4F'" in lines[0]
    assert lines[-1].strip() == 'example: core = "Xtensa LX6"'


@pytest.mark.parametrize("board", ["ek-ra8d1", "like-it"])
def test_a_board_without_a_table_keeps_its_margin_on_a_shipped_runtime(
    project: Project, board: str
) -> None:
    declaration = project.load(
        KWS.replace("arduino-nano-33-ble", board) + '[boards.like-it]\nextends = "ek-ra8d1"\n'
    )

    model = declaration.models["kws"]
    choice = declaration.firmware_for(model, model.boards[0])
    assert (choice.name, choice.runtime.flash_margin_percent) == ("m55_cmsisnn", 10)


def test_operators_may_state_their_cost(project: Project):
    declaration = project.load(
        KWS
        + """
        [runtime.ops.MY_OP]
        persistent = 128
        scratch = "1 KB"
        [runtime.ops."vendor:fft"]
        flash = "3 KB"
        """
    )

    assert declaration.operators == {
        "MY_OP": OperatorCost(persistent=128, scratch=KB),
        "vendor:fft": OperatorCost(flash=3 * KB),
    }


def test_a_group_has_the_boards_that_all_its_models_share(project: Project):
    declaration = project.load("""
        [defaults]
        warn_at = "80%"
        budget = { ram = "10 KB" }
        [models.some]
        source = "models/[kv]*.tflite"
        boards = ["raspberry-pi-pico", "esp32", "arduino-nano-33-ble"]
        [models.ic]
        source = "models/ic.tflite"
        boards = ["arduino-nano-33-ble", "esp32"]
        [groups.always-on]
        models = ["ic", "some"]
        budget = { ram = "64 KB" }
        [groups.night]
        models = ["kws"]
        boards = ["stm32f746g-discovery"]
        arena = "sum"
        warn_at = "50%"
    """)

    group, night = declaration.groups["always-on"], declaration.groups["night"]
    assert [model.name for model in group.models] == ["ic", "kws", "vad"]
    assert [board.id for board in group.boards] == ["arduino-nano-33-ble", "esp32"]
    assert (group.arena, group.budget) == ("max", Budget(ram=64 * KB))
    assert group.warn_at_percent == 80
    assert [board.id for board in night.boards] == ["stm32f746g-discovery"]
    assert (night.arena, night.budget, night.warn_at_percent) == ("sum", Budget(), 50)


def test_boards_of_other_packages_may_be_named_and_extended(project: Project):
    base = find_board("raspberry-pi-pico")
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    other = Board(**fields | {"id": "acme-one"})

    declaration = project.load(
        KWS.replace("arduino-nano-33-ble", "acme-one") + '[boards.own]\nextends = "acme-one"\n',
        boards={"acme-one": other},
    )

    assert declaration.models["kws"].boards == (other,)
    assert declaration.boards["own"].flash == base.flash


def test_a_board_with_an_unknown_runtime_is_an_error_when_it_is_asked_for(project: Project):
    base = find_board("raspberry-pi-pico")
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    other = Board(**fields | {"id": "acme-one", "runtime": "m0plus_cmsis"})

    declaration = project.load(
        KWS.replace("arduino-nano-33-ble", "acme-one"), boards={"acme-one": other}
    )

    with pytest.raises(TinybudgetError, match="did you mean 'm0plus_cmsisnn'"):
        declaration.firmware_for(declaration.models["kws"], other)


def test_lines_lead_to_what_is_to_edit(project: Project):
    declaration = project.load(
        "[models.kws]\n"
        'source = "models/kws.tflite"\n'
        'boards = ["esp32"]\n'
        "\n"
        'budget = { flash = "1 MB",\tram = "2 KB" }\n'
    )

    assert declaration.line_of("models", "kws") == 1
    assert declaration.line_of("models", "kws", "budget", "ram") == 5
    assert declaration.line_of("models", "kws", "message") == 1
    assert declaration.line_of("groups") == 1


# Keys that would change nothing


IDLE = {
    "representative_data": '"random"',
    "custom_objects": '"training.layers"',
    "per_channel_dense": "false",
    "activations": '"int16"',
    "conversion_timeout": "60",
    "conversion_memory": '"1024 MB"',
}
ACCURACY = '[models.kws.accuracy]\ndata = "d.npz"\nmin = "90%"\n'


def ready(project: Project) -> None:
    project.folder.joinpath("models", "kws.tflite").write_bytes(keyword_model())


@pytest.mark.parametrize(("key", "value"), IDLE.items())
def test_a_key_that_changes_nothing_of_a_ready_file_is_an_error_at_its_line(
    project: Project, key: str, value: str
):
    ready(project)
    why = "kws.tflite is measured as it is, nothing is converted"
    assert project.errors(f"{KWS}{key} = {value}\n") == [
        f"tinybudget.toml:5: models.kws.{key}: has no effect here: {why}"
    ]


@pytest.mark.parametrize(
    ("defaults", "own", "folder", "name", "kinds"),
    [
        ("", "", None, "kws", ("c",)),
        ('["c", "tflite"]', "", None, "kws", ("c", "tflite")),
        ('{ folder = "out", files = ["tflite"] }', '"word"', "out", "word", ("tflite",)),
        ('{ folder = "out" }', '{ name = "word" }', "out", "word", ("c",)),
        ('["tflite"]', '["c"]', None, "kws", ("c",)),
        ('"out"', '{ name = "word", files = ["tflite"] }', "out", "word", ("tflite",)),
    ],
)
def test_artifacts_say_which_files_are_written_where_and_how_they_are_called(
    project: Project, defaults: str, own: str, folder: str | None, name: str, kinds: object
):
    ready(project)
    head = f"[defaults]\nartifacts = {defaults}\n" if defaults else ""
    declaration = project.load(head + KWS + (f"artifacts = {own}\n" if own else ""))
    model = declaration.models["kws"]
    assert declaration.artifacts == (project.folder / folder if folder else None)
    assert (model.artifact_name, model.artifact_kinds) == (name, kinds)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ('["c", "tflit"]', '.artifacts.1: expected "c" or "tflite" or "golden", found "tflit"'),
        ("[]", ".artifacts: expected"),
        ('{ folder = "out" }', ".artifacts.folder: unknown key 'folder'"),
        ("1", ".artifacts: expected"),
    ],
)
def test_artifacts_that_nobody_knows_are_an_error_at_their_line(
    project: Project, value: str, where: str
):
    ready(project)
    (error, *_) = project.errors(f"{KWS}artifacts = {value}\n")
    assert error.startswith(f"tinybudget.toml:5: models.kws{where}")


def test_strip_is_for_every_file(project: Project):
    ready(project)
    assert project.load(KWS + "strip = true\n").models["kws"].conversion.strip


@pytest.mark.parametrize(("key", "value"), IDLE.items())
def test_in_the_defaults_a_key_is_for_the_models_that_it_is_of_use_to(
    project: Project, key: str, value: str
):
    ready(project)
    assert project.load(f"[defaults]\n{key} = {value}\n{KWS}").models


@pytest.mark.parametrize("key", ["conversion_timeout", "conversion_memory"])
def test_the_limits_of_a_conversion_hold_for_accuracy_as_well(project: Project, key: str):
    ready(project)
    project.models("d.npz")
    assert project.load(f"{KWS}{key} = {IDLE[key]}\n{ACCURACY}").models


PLANNED = '[models.kws]\nboards = ["esp32"]\ninput_shape = [8]\nlayers = [{ type = "softmax" }]\n'


@pytest.mark.parametrize("key", sorted({*IDLE} - {"activations", "per_channel_dense"}))
def test_a_layer_list_is_not_converted(project: Project, key: str):
    (error,) = project.errors(f"{PLANNED}{key} = {IDLE[key]}\n")
    assert error.endswith(f"models.kws.{key}: has no effect here: a layer list is not converted")


def test_layers_have_the_type_and_the_scales_that_are_declared(project: Project):
    def planned(text: str) -> tuple[str, bool]:
        layers = project.load(text).models["kws"].planned
        assert layers is not None
        return layers.numbers, layers.per_channel_dense

    assert planned(PLANNED) == ("int8", True)
    assert planned(f"{PLANNED}per_channel_dense = false\n") == ("int8", False)
    assert planned(f'{PLANNED}activations = "int16"\n') == ("int16", False)
    assert planned(f'[defaults]\nactivations = "int16"\n{PLANNED}') == ("int16", False)
    assert planned(f'{PLANNED}activations = "float"\n')[0] == "float"


@pytest.mark.parametrize(
    "text", [f'[defaults]\nactivations = "float"\n{KWS}', f'{KWS}activations = "float"\n']
)
def test_float_is_for_layers_alone(project: Project, text: str):
    ready(project)
    assert (
        "float is for 'layers' alone: a conversion makes int8 or int16" in project.errors(text)[0]
    )


@pytest.mark.parametrize("key", sorted(IDLE))
def test_a_float_file_is_converted_by_a_tool_that_takes_not_every_key(project: Project, key: str):
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), "FLOAT32"), units=4))
    project.folder.joinpath("models", "kws.tflite").write_bytes(maker.build())
    text = KWS + 'representative_data = "random"\n'
    if key != "representative_data":
        text += f"{key} = {IDLE[key]}\n"
    reasons = {
        "custom_objects": "only Keras files have layers of their own",
        "per_channel_dense": "gives each output of a dense layer its own scale",
    }
    if key in reasons:
        (error,) = project.errors(text)
        assert f"models.kws.{key}: has no effect here: " in error
        assert reasons[key] in error
    else:
        assert project.load(text).models
    assert project.load(text.replace("per_channel_dense = false", "per_channel_dense = true"
                                     ).replace("custom_objects", "#")).models  # fmt: skip


def test_a_key_that_is_of_use_to_one_file_of_a_glob_is_no_error(project: Project):
    ready(project)
    project.models("models/other.keras")
    text = '[models.all]\nsource = "models/k*"\nboards = ["esp32"]\nactivations = "int16"\n'
    assert len(project.errors(text)) == 1
    assert project.load(text.replace("models/k*", "models/[ko]*")).models


def test_what_is_no_model_is_left_to_its_reader(project: Project):
    assert project.load(KWS + 'representative_data = "random"\n').models


def test_a_byte_order_mark_and_windows_line_ends_are_fine(project: Project):
    project.file.write_bytes(b"\xef\xbb\xbf" + KWS.replace("\n", "\r\n").encode())

    declaration = load_declaration(project.file)

    assert declaration.line_of("models", "kws", "boards") == 4


# What is said when it is wrong


ERRORS = [
    (
        KWS + 'mesage = "x"',
        (
            "tinybudget.toml:5: models.kws.mesage: unknown key 'mesage' in [models.kws]; "
            "did you mean 'message'?"
        ),
    ),
    (
        KWS + 'latency = "20 ms"',
        "tinybudget.toml:5: models.kws.latency: unknown key 'latency' in [models.kws]",
    ),
    (
        KWS + 'sdk = "arduino"',
        (
            "tinybudget.toml:5: models.kws.sdk: unknown key 'sdk' in [models.kws]; "
            "it is a key of [defaults] or [boards.NAME]"
        ),
    ),
    (
        "[model.kws]",
        "tinybudget.toml:1: model: unknown key 'model' in the file; did you mean 'models'?",
    ),
    (
        "operators = {}" + KWS,
        "tinybudget.toml:1: operators: unknown key 'operators' in the file",
    ),
    (
        "schema = 2" + KWS,
        "tinybudget.toml:1: schema: expected 1, found 2",
    ),
    (
        KWS.replace('"models/kws.tflite"', "7"),
        "tinybudget.toml:3: models.kws.source: expected text, found 7",
    ),
    (
        KWS.replace("kws.tflite", "kvs.tflite"),
        (
            "tinybudget.toml:3: models.kws.source: no such file: 'models/kvs.tflite'; "
            "did you mean 'kws.tflite'"
        ),
    ),
    (
        KWS.replace("models/kws.tflite", "models"),
        "tinybudget.toml:3: models.kws.source: 'models' is a folder; expected a file",
    ),
    (
        KWS.replace("kws.tflite", "*.lite"),
        "tinybudget.toml:3: models.kws.source: no file matches 'models/*.lite'",
    ),
    (
        KWS.replace('source = "models/kws.tflite"', ""),
        "tinybudget.toml:2: models.kws: 'source' is missing",
    ),
    (
        KWS.replace('boards = ["arduino-nano-33-ble"]', ""),
        "tinybudget.toml:2: models.kws: 'boards' is missing, here and in [defaults]",
    ),
    (
        KWS.replace("nano-33-ble", "nano-33-bel"),
        (
            "tinybudget.toml:4: models.kws.boards[0]: unknown board 'arduino-nano-33-bel'; "
            "did you mean 'arduino-nano-33-ble'"
        ),
    ),
    (
        KWS.replace('["arduino-nano-33-ble"]', '"arduino-nano-33-ble"'),
        (
            "tinybudget.toml:4: models.kws.boards: expected a list with a name of letters, "
            "digits, '.', '_' and '-' as elements, found \"arduino-nano-33-ble\""
        ),
    ),
    (
        KWS.replace('["arduino-nano-33-ble"]', "[]"),
        (
            "tinybudget.toml:4: models.kws.boards: expected a list with a name of letters, "
            "digits, '.', '_' and '-' as elements, found an empty list"
        ),
    ),
    (
        KWS.replace('["arduino-nano-33-ble"]', '["esp32",\n"esp32"]'),
        "tinybudget.toml:5: models.kws.boards[1]: board 'esp32' is listed twice",
    ),
    (
        KWS + 'budget = { flash = "200 KX" }',
        (
            "tinybudget.toml:5: models.kws.budget.flash: "
            'expected a size ("256 KB", "1 MB", "812 B" or bytes), found "200 KX"'
        ),
    ),
    (
        KWS + "budget.ram = -1",
        (
            "tinybudget.toml:5: models.kws.budget.ram: "
            'expected a size ("256 KB", "1 MB", "812 B" or bytes), found -1'
        ),
    ),
    (
        KWS + "budget.ram = true",
        (
            "tinybudget.toml:5: models.kws.budget.ram: "
            'expected a size ("256 KB", "1 MB", "812 B" or bytes), found true'
        ),
    ),
    (
        KWS + 'budget.ram = "0.3 KB"',
        "tinybudget.toml:5: models.kws.budget.ram: '0.3 KB' is not a whole number of bytes",
    ),
    (
        KWS + 'budget = "10 KB"',
        'tinybudget.toml:5: models.kws.budget: expected a table, found "10 KB"',
    ),
    (
        KWS + 'warn_at = "101%"',
        (
            "tinybudget.toml:5: models.kws.warn_at: "
            'expected a percentage ("90%", at most "100%"), found "101%"'
        ),
    ),
    (
        KWS + "warn_at = 0.9",
        (
            "tinybudget.toml:5: models.kws.warn_at: "
            'expected a percentage ("90%", at most "100%"), found 0.9'
        ),
    ),
    (
        KWS + 'registrations = "type"',
        (
            'tinybudget.toml:5: models.kws.registrations: expected "generic" or "typed", '
            "found \"type\"; did you mean 'typed'?"
        ),
    ),
    (
        KWS + "require_int8 = 1",
        ('tinybudget.toml:5: models.kws.require_int8: expected true or false or "warn", found 1'),
    ),
    (
        KWS + 'artifacts = "../kws"',
        (
            "tinybudget.toml:5: models.kws.artifacts: expected a name of letters, digits, "
            "'.', '_' and '-' or a list with \"c\" or \"tflite\" or \"golden\" as elements or a "
            'table, found "../kws"'
        ),
    ),
    (
        KWS + 'runtime = "m4_cmsis"',
        (
            "tinybudget.toml:5: models.kws.runtime: unknown runtime 'm4_cmsis'; "
            "did you mean 'm4_cmsisnn'"
        ),
    ),
    (
        KWS + 'runtime = { flash = "20 KB" }',
        "tinybudget.toml:5: models.kws.runtime: 'stack' is missing",
    ),
    (
        KWS.replace("models.kws", 'models."k w"'),
        (
            'tinybudget.toml:2: models."k w": expected a name of letters, digits, '
            "'.', '_' and '-', found 'k w'"
        ),
    ),
    (
        KWS.replace("models.kws", r'models."k\n"'),
        (
            r'tinybudget.toml:2: models."k\n": expected a name of letters, digits, '
            r"'.', '_' and '-', found 'k\n'"
        ),
    ),
    (
        "models.kws = 3",
        "tinybudget.toml:1: models.kws: expected a table, found 3",
    ),
    ("", "tinybudget.toml:1: declares no model"),
    ("# only a comment\n", "tinybudget.toml:1: declares no model"),
    ('[boards.b]\nextends = "esp32"', "tinybudget.toml:1: declares no model"),
    (
        KWS + '[boards.b]\nextends = "esp33"',
        ("tinybudget.toml:6: boards.b.extends: unknown board 'esp33'; did you mean 'esp32'"),
    ),
    (
        KWS + '[boards.esp32]\nram = "1 MB"',
        "tinybudget.toml:5: boards.esp32: is a board of the catalog: choose another name",
    ),
    (
        KWS + '[boards.b]\nextends = "b"',
        "tinybudget.toml:6: boards.b.extends: boards extend each other in a circle: b -> b",
    ),
    (
        KWS + '[boards.b]\nextends = "esp32"\nusable_flash = "5 MB"',
        (
            "tinybudget.toml:7: boards.b.usable_flash: "
            "5.00 MB is more than the board's flash, 4.00 MB"
        ),
    ),
    (
        KWS + '[boards.b]\nextends = "esp32"\nreserved_ram = "400 KB"',
        (
            "tinybudget.toml:7: boards.b.reserved_ram: "
            "400.0 KB is more than the board's usable_ram, 307.5 KB"
        ),
    ),
    (
        KWS + '[boards.b]\ncore = "Cortex-M4E"\nflash = 1\nram = 1',
        ("tinybudget.toml:6: boards.b.core: unknown core 'Cortex-M4E'; did you mean 'Cortex-M4'"),
    ),
    (
        KWS + '[groups.g]\nmodels = ["kvs"]',
        "tinybudget.toml:6: groups.g.models[0]: unknown model 'kvs'; did you mean 'kws'?",
    ),
    (
        KWS + '[groups.g]\narena = "max"',
        "tinybudget.toml:5: groups.g: 'models' is missing",
    ),
    (
        KWS + '[groups.g]\nmodels = ["kws", "kws"]',
        "tinybudget.toml:6: groups.g.models[1]: model 'kws' is listed twice",
    ),
    (
        KWS + '[models.vad]\nsource = "models/vad.tflite"\nboards = ["esp32"]\n'
        '[groups.g]\nmodels = ["kws", "vad"]',
        "tinybudget.toml:8: groups.g: its models share no board: give the group 'boards'",
    ),
    (
        KWS + '[models.all]\nsource = "models/k*.tflite"\nboards = ["esp32"]',
        (
            "tinybudget.toml:6: models.all.source: a second model called 'kws': "
            "models/kws.tflite, beside models/kws.tflite of [models.kws]"
        ),
    ),
    (
        KWS + '[models.KWS]\nsource = "models/vad.tflite"\nboards = ["esp32"]',
        (
            "tinybudget.toml:5: models.KWS: models 'kws' and 'KWS' would both be called 'kws' "
            "in C: give one another name with 'artifacts'"
        ),
    ),
    (
        KWS + '[models.all]\nsource = "models/v*.tflite"\nboards = ["esp32"]\nartifacts="x"',
        (
            "tinybudget.toml:8: models.all.artifacts: is one name for many models: "
            "a glob's files are named after their stems"
        ),
    ),
    (
        KWS + "[runtime.m4_ref]\nflash = 1\nstack = 1",
        "tinybudget.toml:5: runtime.m4_ref: is the name of a shipped runtime: choose another",
    ),
    (
        KWS + '[runtime.r]\ntable = "r.json.gz"',
        (
            "tinybudget.toml:5: runtime.r: needs 'extends' (the shipped runtime it starts from), "
            "or 'flash' and 'stack'"
        ),
    ),
    (
        KWS + '[runtime.r]\nextends = "m4_ref"\ntable = "r.json.gz"',
        "tinybudget.toml:7: runtime.r.table: no such file: 'r.json.gz'",
    ),
    (
        KWS + "[runtime.r]\nflash = 1\nstack = 1\nmve = true",
        ("tinybudget.toml:8: runtime.r.mve: does not go with a fixed cost ('flash' and 'stack')"),
    ),
    (
        KWS + "[runtime.ops.X]\nflsh = 1",
        (
            "tinybudget.toml:6: runtime.ops.X.flsh: unknown key 'flsh' in [runtime.ops.X]; "
            "did you mean 'flash'?"
        ),
    ),
]


@pytest.mark.parametrize(
    ("text", "error"), ERRORS, ids=[error.split(": ")[1] for _, error in ERRORS]
)
def test_an_error_names_file_line_and_key(project: Project, text: str, error: str):
    (line,) = project.errors(text)

    assert line.startswith(error)


@pytest.mark.parametrize(
    ("text", "example"),
    [
        (KWS + 'mesage = "x"', 'message = "see docs/size.md"'),
        (KWS + 'budget = { flash = "x" }', 'flash = "200 KB"'),
        (KWS + "budget = 3", 'budget = { flash = "200 KB", ram = "48 KB" }'),
        (KWS.replace("33-ble", "33-bel"), 'boards = ["esp32"]'),
        (KWS.replace("kws.tflite", "kvs.tflite"), 'source = "models/kws.tflite"'),
        ("", '[models.kws] with source = "models/kws.tflite"'),
    ],
)
def test_an_error_shows_a_valid_example(project: Project, text: str, example: str):
    assert f"    example: {example}" in project.all_lines(text)


def test_an_unknown_key_without_a_near_one_lists_the_valid_keys(project: Project):
    lines = project.all_lines(KWS + "zzz = 1")

    assert any(line.startswith("    valid: source, artifacts, ") for line in lines)


def test_all_errors_of_a_file_come_at_once_in_its_order(project: Project):
    errors = project.errors("""
        schema = 3
        [defaults]
        boards = ["esp33"]
        [models.kws]
        source = "models/none.tflite"
        budget = { flash = "a", ram = "b", rom = "c" }
        boards = ["esp32", 3, "esp32", "piko-board"]
        [models.vad]
        source = 3
        warn_at = "1000%"
        [models.ic]
        [boards.a]
        extends = "b"
        [boards.b]
        extends = "a"
        [groups.g]
        models = ["kws", "nobody"]
        boards = ["b", "c"]
    """)

    head, *rest = errors
    assert head == "tinybudget.toml: 15 errors"
    assert [re.sub(r"^tinybudget.toml:(\d+): ([^:]*):.*", r"\1 \2", line) for line in rest] == [
        "2 schema",
        "4 defaults.boards[0]",
        "6 models.kws.source",
        "7 models.kws.budget.flash",
        "7 models.kws.budget.ram",
        "7 models.kws.budget.rom",
        "8 models.kws.boards[1]",
        "8 models.kws.boards[2]",
        "8 models.kws.boards[3]",
        "10 models.vad.source",
        "11 models.vad.warn_at",
        "12 models.ic",
        "16 boards.b.extends",
        "18 groups.g.models[1]",
        "19 groups.g.boards[1]",
    ]


def test_a_mistake_in_the_defaults_is_told_once_not_for_each_model(project: Project):
    models = "".join(
        f'[models.{name}]\nsource = "models/{name}.tflite"\n' for name in ("kws", "vad", "ic")
    )

    (error,) = project.errors(f'[defaults]\nboards = ["esp33"]\nstack = "2 KB"\n{models}')

    assert error.startswith("tinybudget.toml:2: defaults.boards[0]: unknown board 'esp33'")


def test_boards_of_the_wrong_type_in_the_defaults_are_not_missing_in_each_model(project: Project):
    (error,) = project.errors('[defaults]\nboards = 1\n[models.7]\nsource="models/kws.tflite"')

    assert error.startswith("tinybudget.toml:2: defaults.boards: expected a list")


def test_a_model_called_by_a_number_is_not_taken_for_a_place_in_a_list(project: Project):
    (error,) = project.errors('[models.7]\nsource = "models/kws.tflite"\nboards = ["esp33"]')

    assert error.startswith("tinybudget.toml:3: models.7.boards[0]: unknown board 'esp33'")


def test_files_that_cannot_name_a_model_are_named(project: Project):
    project.models("models/key word.tflite", "models/\x1b[31m.tflite")

    errors = project.errors('[models.all]\nsource = "models/*.tflite"\nboards = ["esp32"]')

    assert [line.split(" cannot")[0] for line in errors[1:]] == [
        r"tinybudget.toml:2: models.all.source: models/\x1b[31m.tflite",
        "tinybudget.toml:2: models.all.source: models/key word.tflite",
    ]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"[models.kws", "tinybudget.toml:1:12: not valid TOML: "),
        (b"schema = 1\nschema = 1", "tinybudget.toml:2:11: not valid TOML: "),
        (b"[models.kws]\nsource = kws.tflite", "tinybudget.toml:2:10: not valid TOML: "),
        (b"[models.a]\n[models.a]", "tinybudget.toml:2:10: not valid TOML: "),
        (b"schema = 1\n\xff", "tinybudget.toml:2: not UTF-8 text (byte 11); save it as UTF-8"),
        ("schema = 1".encode("utf-16"), "tinybudget.toml:1: not UTF-8 text (byte 0)"),
        (b"\x00\x01", "tinybudget.toml:1:1: not valid TOML: "),
        (b"#" * (1024 * 1024 + 1), "tinybudget.toml: larger than 1 MB, not a declaration"),
        (b"a = " + b"[" * 100_000, "tinybudget.toml: tables or lists nested too deeply"),
        (b"\na" + b".a" * 200_000 + b" = 1", "tinybudget.toml:2: more than 100 dots in a line"),
    ],
)
def test_a_file_that_is_no_toml(project: Project, content: bytes, error: str):
    (line,) = project.all_lines(content)

    assert line.startswith(error)


def test_a_missing_file_and_a_folder_are_one_clear_line(project: Project):
    with pytest.raises(DeclarationError, match=r"\Anone\.toml: cannot be read: No such file"):
        load_declaration(Path("none.toml"))
    with pytest.raises(DeclarationError, match=r"\Amodels: cannot be read: "):
        load_declaration(project.folder / "models")


def test_a_chain_of_boards_without_end_is_refused(project: Project):
    chain = "".join(f'[boards.b{n}]\nextends = "b{n + 1}"\n' for n in range(3000))

    errors = project.errors(KWS + chain)

    assert any("more than 20 boards extend each other" in error for error in errors)


def test_thousands_of_errors_are_counted_and_the_first_shown_quickly(project: Project):
    text = KWS + "".join(f"wrong_{n} = {n}\n" for n in range(20_000))

    with soon(5):
        lines = project.all_lines(text)

    assert lines[0] == "tinybudget.toml: 20000 errors"
    assert lines[-1] == "... and 19900 more"


@pytest.mark.parametrize("source", ["a\\u0000b", "x" * 5000, "\\u0000*"])
def test_a_path_that_no_system_takes_is_a_missing_file(project: Project, source: str):
    (line,) = project.errors(f'[models.kws]\nsource = "{source}"\nboards = ["esp32"]')

    assert "no such file" in line or "no file matches" in line
    assert len(line) <= 500


def test_a_missing_model_offers_models_and_not_other_files(project: Project):
    lines = project.all_lines('[models.a]\nsource = "absent.tflite"\nboards = ["esp32"]')

    assert not any("tinybudget.toml" in line.partition(": ")[2] for line in lines)


def test_a_link_that_leads_nowhere_is_called_so(project: Project, tmp_path: Path):
    link = tmp_path / "loop.tflite"
    try:
        link.symlink_to(link)
    except OSError:
        pytest.skip("this user may not make links")

    (line,) = project.errors('[models.a]\nsource = "loop.tflite"\nboards = ["esp32"]')

    assert "no such file: 'loop.tflite' (a link that leads nowhere)" in line


# Where keys stand


def test_every_form_of_key_has_its_line():
    lines = key_lines(
        "# comment [not.a.table]\r\n"
        "schema = 1 # = \"x\"\r\n"
        "[ defaults ]\r\n"
        "boards = [ # [\r\n"
        "  'a',\r\n"
        '  "b]#",\r\n'
        "]\r\n"
        "message = \"\"\"\r\n"
        "[models.fake]\r\n"
        'key = "\\""x"\r\n'
        '""""\r\n'
        "note = '''\r\n"
        "a = 'b'\r\n"
        "'''\r\n"
        "[models.\"k.\\u0077s\" . x]\r\n"
        "a.'b c'.\"d\" = { e = { f = [1, { g = 2 }] }, h = 1979-05-27 07:32:00Z }\r\n"
        "[[list]]\r\n"
        "n = 1\r\n"
        "[[list]]\r\n"
        "[list.sub]\r\n"
        "n = -inf\r\n"
        "[models]\r\n"
    )  # fmt: skip

    assert lines[("schema",)] == 2
    assert lines[("defaults",)] == 3
    assert lines[("defaults", "boards")] == 4
    assert lines[("defaults", "boards", "0")] == 5
    assert lines[("defaults", "boards", "1")] == 6
    assert lines[("defaults", "message")] == 8
    assert lines[("defaults", "note")] == 12
    assert lines[("models", "k.ws")] == 15
    assert lines[("models", "k.ws", "x", "a", "b c", "d", "e", "f", "1", "g")] == 16
    assert lines[("models", "k.ws", "x", "a", "b c", "d", "h")] == 16
    assert lines[("list", "0", "n")] == 18
    assert lines[("list", "1")] == 19
    assert lines[("list", "1", "sub", "n")] == 21
    assert lines[("models",)] == 22
    assert ("models", "fake") not in lines


KEYS = st.one_of(st.sampled_from(["a", "b", "models", "k-1"]), st.text(min_size=1, max_size=4))
TEXTS = st.text(max_size=8).filter(lambda text: all(map(str.isprintable, text)))
VALUES = st.recursive(
    st.one_of(st.integers(-99, 99), st.booleans(), TEXTS),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=6,
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + ",\n".join(map(toml, value)) + "\n]"
    return json.dumps(value, ensure_ascii=False)


def paths(value: Any) -> list[tuple[str, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((str(key),))
        if isinstance(item, (dict, list)):
            found += [(str(key), *path) for path in paths(item)]
    return found


@pytest.mark.parametrize("examples", [60, rare(400)])
def test_every_key_that_the_parser_sees_has_a_line(examples: int):
    @settings(max_examples=examples, deadline=None)
    @given(st.dictionaries(TEXTS, VALUES, max_size=4))
    def has_lines(document: dict[str, Any]):
        text = "".join(f"{toml(key)} = {toml(value)}\n" for key, value in document.items())
        assert parse(text) == document

        lines = key_lines(text)

        assert set(lines) == set(paths(document))
        assert all(1 <= line <= text.count("\n") for line in lines.values())

    has_lines()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab.=[]{}\"'\\#,\n\t 1-", max_size=40))
def test_lines_are_found_in_whatever_the_parser_accepts(text: str):
    try:
        document = parse(text)
    except TOMLDecodeError:
        return

    assert set(paths(document)) <= set(key_lines(text))


@pytest.mark.parametrize("examples", [40, rare(400)])
def test_whatever_a_file_holds_the_only_error_is_a_declaration_error(tmp_path: Path, examples: int):
    file = tmp_path / "tinybudget.toml"
    sections = ["schema", "defaults", "models", "boards", "groups", "runtime"]

    @settings(max_examples=examples, deadline=None)
    @given(st.recursive(VALUES, lambda values: st.dictionaries(KEYS, values, max_size=3)))
    def is_refused(value: Any):
        text = "".join(f"{section} = {toml(value)}\n" for section in sections)
        file.write_text(text, encoding="utf-8")

        with pytest.raises(DeclarationError):
            load_declaration(file)

    is_refused()


# The schema for editors


FULL = """
schema = 1
[defaults]
boards = ["arduino-nano-33-ble"]
warn_at = "90%"
budget = { flash = 204800 }
artifacts = "build/tinybudget"
stack = "2 KB"
[models.kws]
source = "models/kws.tflite"
boards = ["arduino-nano-33-ble", "doorbell"]
budget = { flash = "200 KB", ram = "48 KB" }
message = "see docs/size.md"
require_int8 = "warn"
strict = true
registrations = "typed"
runtime = { flash = "20 KB", stack = "2 KB" }
artifacts = "keyword_model"
[models.vad]
source = "models/v*.tflite"
require_int8 = true
runtime = "vendor"
[boards.doorbell]
extends = "esp32"
reserved_flash = "300 KB"
reserved_ram = "180 KB"
[groups.always-on]
models = ["kws", "vad"]
arena = "max"
[runtime.vendor]
extends = "m4_cmsisnn"
dsp = true
enum_bytes = 4
[runtime.ops.MY_OP]
persistent = 128
"""


def schema_errors(text: str) -> list[str]:
    schema = declaration_schema()
    validator = jsonschema.Draft202012Validator(schema)
    return [error.message for error in validator.iter_errors(parse(text))]


def test_the_schema_is_valid_and_takes_what_the_loader_takes(project: Project):
    schema = declaration_schema()

    jsonschema.Draft202012Validator.check_schema(schema)
    assert not schema_errors(FULL)
    assert list(project.load(FULL).models) == ["kws", "vad"]


@pytest.mark.parametrize(
    "line",
    [
        'mesage = "x"',
        "message = 3",
        'message = ""',
        'warn_at = "101%"',
        "warn_at = 90",
        "boards = []",
        'boards = "esp32"',
        'boards = ["a b"]',
        'budget = "3 KB"',
        'budget = { flash = "200 KX" }',
        "budget = { flash = -1 }",
        "budget = { flash = 1.5 }",
        "budget = { flash = true }",
        "budget = { rom = 1 }",
        'budget = { flash = "٣ KB" }',
        'registrations = "type"',
        'require_int8 = "yes"',
        "strict = 1",
        'artifacts = "a/b"',
        'runtime = { flash = "1 KB" }',
        "runtime = 3",
        "[model.kws]",
        '[models."a b"]\nsource = "models/vad.tflite"',
        "[models.none]",
        '[boards.b]\nextend = "esp32"',
        '[boards.b]\nextends = "esp32"\nclock_mhz = 0',
        "[groups.g]",
        '[groups.g]\nmodels = ["kws"]\narena = "both"',
        '[runtime.r]\nextends = "m4_ref"\nkernels = "xnnpack"',
        '[runtime.r]\nextends = "m4_ref"\nenum_bytes = 3',
        "[runtime.ops.X]\nflash = -1",
        '[runtime.ops.X]\nram = "1 KB"',
        "[runtime.ops]\nX = 3",
        "[runtime.ops.'']",
    ],
)
def test_editor_and_loader_refuse_the_same(project: Project, line: str):
    others = KWS.replace('boards = ["arduino-nano-33-ble"]\n', "") if "boards =" in line else KWS
    text = others + line

    assert schema_errors(text)
    assert project.errors(text)


def test_every_key_of_the_schema_is_explained_and_has_a_valid_example():
    schema = declaration_schema()
    jsonschema.Draft202012Validator.check_schema(schema)

    for name, table in schema["$defs"].items():
        for key, described in table["properties"].items():
            if "$ref" in described:
                continue
            assert described["description"], f"{name}.{key}"
            part = jsonschema.Draft202012Validator({**described, "$defs": schema["$defs"]})
            for example in described["examples"]:
                part.validate(example)


@pytest.mark.parametrize("arguments", [[], ["-o", "out/schema.json"]])
def test_the_command_writes_the_schema(project: Project, arguments: list[str], capsys):
    parser = argparse.ArgumentParser()
    commands.add_commands(parser.add_subparsers(required=True))
    parsed = parser.parse_args(["schema", *arguments])

    assert parsed.run(parsed) == 0

    text = Path(arguments[1]).read_text("utf-8") if arguments else capsys.readouterr().out
    assert json.loads(text) == declaration_schema()


# Documentation and cost


def documented() -> list[str]:
    docs = Path(__file__).parents[1] / "docs" / "declaration.md"
    return re.findall(r"```toml\n(.*?)```", docs.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", documented())
def test_every_example_of_the_reference_loads(tmp_path: Path, text: str):
    (shared,) = (each for each in documented() if each.startswith("# shared-budgets.toml\n"))
    (tmp_path / "shared-budgets.toml").write_text(shared, encoding="utf-8")
    project = Project(tmp_path / "camera")
    project.models(*(f"models/{name}.tflite" for name in ("kws", "vad", "ic", "person", "camera")))
    project.models("firmware/tflm.json.gz", "firmware/src/model_data.cc")
    project.models(
        "models/kws.keras", "models/kws_v1.tflite", "models/kws_float.tflite", "data/held_out.npz"
    )
    if "[models." not in text:
        text += KWS

    declaration = project.load(text)

    assert declaration.models
    for model in declaration.models.values():
        if model.planned is not None:
            assert planned_model(model.planned, model.name).bytes


def test_the_reference_has_every_key():
    docs = (Path(__file__).parents[1] / "docs" / "declaration.md").read_text("utf-8")

    tables = declaration_schema()["$defs"].items()
    missing = {
        f"{name}.{key}" for name, table in tables for key in table["properties"]
        if f"`{key}`" not in docs
    }  # fmt: skip
    assert not missing


def test_five_hundred_models_on_forty_boards_load_within_a_second(project: Project):
    boards = json.dumps([f"b{n}" for n in range(40)])
    names = [f"m{n}" for n in range(500)]
    project.models(*(f"models/{name}.tflite" for name in names))
    text = "".join(f'[boards.b{n}]\nextends = "esp32"\n' for n in range(40)) + "".join(
        f'[models.{name}]\nsource = "models/{name}.tflite"\nboards = {boards}\n' for name in names
    )

    with soon(1):
        declaration = project.load(text)

    assert sum(len(model.boards) for model in declaration.models.values()) == 20_000


def test_nothing_heavy_is_imported_to_load_a_declaration(project: Project):
    project.file.write_text(KWS, encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; import pytest_tinybudget.declaration as d; "
        "d.load_declaration(Path('tinybudget.toml')); "
        "print(sorted({'numpy', 'tensorflow', 'flatbuffers', 'pytest'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_other_names_stand_for_keys_and_types_that_there_are() -> None:
    keys = set(LayerTable.__struct_fields__)
    for name, meant in other_names("LayerTable").items():
        assert meant in keys
        assert name not in keys
    types = {*LAYER_TYPES, "input"}
    for name, meant in other_names("layer_types").items():
        assert meant in types
        assert name not in types
