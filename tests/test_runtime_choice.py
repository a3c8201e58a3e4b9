"""A runtime is code for a core: what is said where it does not suit a board's, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget import api
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.declaration.shipped import shipped_runtimes
from pytest_tinybudget.declaration.suitability import suitability
from pytest_tinybudget.declaration.suitability import suitable
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.runtimes.abi import CORES
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.stand_ins import stand_ins
from pytest_tinybudget.workspace import Workspace


ALL = {name: DeclaredRuntime(name, runtime) for name, runtime in RUNTIMES.items()}


def tiny_model() -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.conv2d(graph.input((1, 8, 8, 4)), filters=4), units=2))
    return maker.build()


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, in which the test works."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kws.tflite").write_bytes(tiny_model())
    return tmp_path


def refusal(text: str, name: str = "tinybudget.toml") -> str:
    """All that is said of a declaration that cannot be loaded."""
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(DeclarationError) as refused:
        load_declaration(Path(name).absolute())
    return "\n".join([refused.value.message, *refused.value.details])


def warnings(text: str) -> tuple[str, ...]:
    """What a declaration's one pair warns of."""
    path = Path("tinybudget.toml").absolute()
    path.write_text(text, encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    return Gate(Workspace(cached=False)).check(pair).warnings


# Which runtime suits which core


@pytest.mark.parametrize("board", catalog().values(), ids=lambda board: board.id)
def test_the_runtime_of_every_board_in_the_catalog_is_for_its_core(board: api.Board) -> None:
    assert board.core in CORES
    assert suitability(runtime_called(board.runtime, board.core), board) == "own"
    assert suitable(shipped_runtimes(), board)[0] == board.runtime


def test_every_core_is_known_as_code_is_built_for_it() -> None:
    assert set(stand_ins()) <= set(CORES)


@pytest.mark.parametrize(
    ("board", "own", "lesser"),
    [
        ("esp32-s3-devkitc-1", ["esp32s3_espnn"], ["esp32_espnn"]),
        ("esp32", ["esp32_espnn"], []),
        ("esp32-c6-devkitc-1", ["rv32imc_ref", "esp32_espnn"], []),
        ("esp32-p4-function-ev", ["esp32p4_espnn"], ["rv32imc_ref", "esp32_espnn"]),
        ("raspberry-pi-pico", ["m0plus_cmsisnn", "m0plus_ref"], []),
        (
            "arduino-nano-33-ble",
            ["m4_cmsisnn", "m4_ref"],
            ["m0plus_ref", "m0plus_cmsisnn"],
        ),
        (
            "nucleo-h743zi",
            ["m7_cmsisnn", "m7_ref"],
            ["m0plus_ref", "m0plus_cmsisnn", "m4_ref", "m4_cmsisnn"],
        ),
    ],
)
def test_what_runs_on_a_board_is_what_its_core_can_execute(
    board: str, own: list[str], lesser: list[str]
) -> None:
    assert suitable(ALL, find_board(board)) == [*own, *lesser]


def test_code_for_an_fpu_does_not_run_without_one() -> None:
    nano = find_board("arduino-nano-33-ble")
    without = replace(nano, core="Cortex-M33")
    assert suitability(RUNTIMES["m4_cmsisnn"], without) == "other"
    # The table with an FPU stands for the core that has no table, with its margin.
    assert suitability(RUNTIMES["m4_cmsisnn"], replace(nano, core="Cortex-M4")) == "own"


# Errors, where the runtime is chosen

HEAD = 'schema = 1\n[models.kws]\nsource = "kws.tflite"\nboards = ["esp32-s3-devkitc-1"]\n'
REASON = (
    "runtime 'm4_cmsisnn' does not run on esp32-s3-devkitc-1: it is code for Cortex-M4F, and the"
    " board's core is Xtensa LX7 with vectors"
)
#: Of each distribution the newest release stands for all.
VALID = (
    "valid: esp-tflite-micro 1.4.0, esp32s3_espnn, tflite-micro 90b983c2, esphome 2026.5, "
    "zephyr 4.4, esp32_espnn"
)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (HEAD + 'runtime = "m4_cmsisnn"\n', "5: models.kws.runtime"),
        (HEAD + '[defaults]\nruntime = "m4_cmsisnn"\n', "6: defaults.runtime"),
    ],
)
def test_a_runtime_for_another_core_is_an_error_at_its_line(text: str, where: str) -> None:
    assert refusal(text).splitlines() == [
        f"tinybudget.toml:{where}: {REASON}",
        f"    {VALID}",
        '    example: runtime = "esp-tflite-micro 1.4.0"',
    ]


def test_a_boards_own_runtime_is_held_to_its_core() -> None:
    text = HEAD.replace("esp32-s3-devkitc-1", "mine") + (
        '[boards.mine]\nextends = "esp32"\nruntime = "rv32imc_ref"\n'
    )
    assert refusal(text).splitlines() == [
        (
            "tinybudget.toml:7: boards.mine.runtime: runtime 'rv32imc_ref' does not run on mine: "
            "it is code for RV32IMC, and the board's core is Xtensa LX6"
        ),
        (
            "    valid: esp32_espnn, tflite-micro 90b983c2, esp-tflite-micro 1.4.0, "
            "esphome 2026.5, zephyr 4.4"
        ),
        '    example: runtime = "esp32_espnn"',
    ]


def test_a_runtime_of_an_extended_file_is_an_error_where_it_is_extended() -> None:
    Path("team.toml").write_text('[defaults]\nruntime = "m4_cmsisnn"\n', encoding="utf-8")
    said = refusal('extends = "team.toml"\n' + HEAD)
    assert said.splitlines()[0] == (
        f"tinybudget.toml:1: extends: {REASON}; the file that is extended chooses it"
    )


def test_an_extended_file_that_contradicts_itself_is_an_error_there() -> None:
    Path("team.toml").write_text(
        '[defaults]\nboards = ["esp32-s3-devkitc-1"]\nruntime = "m4_cmsisnn"\n', encoding="utf-8"
    )
    text = 'extends = "team.toml"\nschema = 1\n[models.kws]\nsource = "kws.tflite"\n'
    assert f"team.toml:3: defaults.runtime: {REASON}" in refusal(text)


def test_every_board_that_a_runtime_does_not_suit_is_told() -> None:
    said = refusal(
        'schema = 1\n[defaults]\nruntime = "m4_ref"\n[models.kws]\nsource = "kws.tflite"\n'
        'boards = ["arduino-nano-33-ble", "raspberry-pi-pico", "esp32"]\n'
    )
    assert [line for line in said.splitlines() if "does not run on" in line] == [
        (
            "tinybudget.toml:3: defaults.runtime: runtime 'm4_ref' does not run on "
            "raspberry-pi-pico: it is code for Cortex-M4F, and the board's core is Cortex-M0+"
        ),
        (
            "tinybudget.toml:3: defaults.runtime: runtime 'm4_ref' does not run on esp32: "
            "it is code for Cortex-M4F, and the board's core is Xtensa LX6"
        ),
    ]


def test_a_declared_runtime_is_for_the_core_of_the_one_that_it_extends_unless_it_says() -> None:
    runtime = '[runtime.own]\nextends = "m4_cmsisnn"\nkernels = "reference"\n'
    text = HEAD.replace("esp32-s3-devkitc-1", "nucleo-h743zi") + 'runtime = "own"\n' + runtime
    (told,) = [line for line in warnings(text) if line.startswith("runtime own")]
    assert "code for Cortex-M4F" in told
    assert not [line for line in warnings(text + 'core = "Cortex-M7F"\n') if "own" in line]
    assert "is code for Cortex-M33F, and" in refusal(text + 'core = "Cortex-M33F"\n')
    assert "unknown core 'Cortex-M7'; did you mean" in refusal(text + 'core = "Cortex-M7"\n')


def test_the_command_line_refuses_with_the_line_and_exit_code_of_a_declaration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("tinybudget.toml").write_text(HEAD + 'runtime = "m4_cmsisnn"\n', encoding="utf-8")
    assert main(["check"]) == 2
    assert f"tinybudget.toml:5: models.kws.runtime: {REASON}" in capsys.readouterr().err


def test_pytest_refuses_the_declaration_as_the_command_line_does(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("kws.tflite").write_bytes(tiny_model())
    pytester.makefile(".toml", tinybudget=HEAD + 'runtime = "m4_cmsisnn"\n')
    result = pytester.runpytest("--tinybudget")
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*tinybudget.toml:5: models.kws.runtime: {REASON[:60]}*"])


def test_a_board_object_with_a_runtime_for_another_core_is_an_error() -> None:
    board = replace(find_board("esp32-s3-devkitc-1"), runtime="m4_cmsisnn")
    for function in (api.check, api.measure):
        with pytest.raises(TinybudgetError) as refused:
            function("kws.tflite", board=board)
        assert refused.value.message == REASON
        # The board's own comes first, which is the wrong one here.
        assert refused.value.details[0].startswith("valid: esp32s3_espnn, tflite-micro 90b983c2, ")


# Warnings: code for less than the board's core


@pytest.mark.parametrize(
    ("board", "runtime", "warning"),
    [
        (
            "nucleo-h743zi",
            "m4_cmsisnn",
            (
                "runtime m4_cmsisnn counts code for Cortex-M4F: nucleo-h743zi runs it, but "
                "firmware that is built for its Cortex-M7F takes other flash and stack (m7_cmsisnn "
                "counts that)"
            ),
        ),
        (
            "arduino-nano-33-ble",
            "m0plus_cmsisnn",
            (
                "runtime m0plus_cmsisnn counts code for Cortex-M0+: arduino-nano-33-ble runs it, "
                "but firmware that is built for its Cortex-M4F takes other flash, stack and arena "
                "(m4_cmsisnn counts that)"
            ),
        ),
        (
            "esp32-s3-devkitc-1",
            "esp32_espnn",
            (
                "runtime esp32_espnn counts code for Xtensa LX7: "
                "esp32-s3-devkitc-1 runs it, but firmware that is built for its Xtensa LX7 with "
                "vectors takes other flash, stack and arena (esp32s3_espnn counts that)"
            ),
        ),
    ],
)
def test_a_runtime_for_a_lesser_core_warns_and_says_what_it_means(
    board: str, runtime: str, warning: str
) -> None:
    text = HEAD.replace("esp32-s3-devkitc-1", board)
    assert warning in warnings(text + f'runtime = "{runtime}"\n')
    assert warning in warnings(text + f'[defaults]\nruntime = "{runtime}"\n')
    own = f'[boards.mine]\nextends = "{board}"\nruntime = "{runtime}"\n'
    (mine,) = [
        line
        for line in warnings(HEAD.replace("esp32-s3-devkitc-1", "mine") + own)
        if line.startswith("runtime ")
    ]
    assert mine == warning.replace(board, "mine")


def test_models_that_share_a_board_warn_of_a_lesser_runtime_as_one_does() -> None:
    Path("vad.tflite").write_bytes(tiny_model())
    text = (
        'schema = 1\n[defaults]\nboards = ["nucleo-h743zi"]\nruntime = "m4_cmsisnn"\n'
        '[models.kws]\nsource = "kws.tflite"\n[models.vad]\nsource = "vad.tflite"\n'
        '[groups.both]\nmodels = ["kws", "vad"]\n'
    )
    path = Path("tinybudget.toml").absolute()
    path.write_text(text, encoding="utf-8")
    *_, group = pairs("tinybudget.toml", load_declaration(path))
    assert group.name == "groups.both"
    told = Gate(Workspace(cached=False)).check(group).warnings
    assert any(line.startswith("runtime m4_cmsisnn counts code for Cortex-M4F") for line in told)


# The vector units of Espressif's chips


def test_a_runtime_of_ones_own_says_which_vector_unit_its_kernels_are_for() -> None:
    text = HEAD + 'runtime = "own"\n[runtime.own]\nextends = "esp32_espnn"\nvectors = "esp32s3"\n'
    path = Path("tinybudget.toml").absolute()
    path.write_text(text, encoding="utf-8")
    declaration = load_declaration(path)
    kws = declaration.models["kws"]
    own = declaration.firmware_for(kws, kws.boards[0]).runtime
    assert own.kernels == RUNTIMES["esp32s3_espnn"].kernels
    (pair,) = pairs("tinybudget.toml", declaration)
    footprint = Gate(Workspace(cached=False)).check(pair).footprint
    shipped = api.measure("kws.tflite", board="esp32-s3-devkitc-1", runtime="esp32s3_espnn")
    assert footprint is not None
    assert footprint.arena == shipped.arena
    assert footprint.unknown == shipped.unknown


def test_vectors_are_for_the_kernels_of_esp_nn() -> None:
    runtime = '[runtime.own]\nextends = "esp32_espnn"\nkernels = "reference"\nvectors = "esp32s3"\n'
    assert "runtime.own.vectors: is for esp-nn's kernels, these are reference" in refusal(
        HEAD + runtime
    )
    unknown = '[runtime.own]\nextends = "esp32_espnn"\nvectors = "esp32s2"\n'
    assert 'expected "" or "esp32s3" or "esp32p4"' in refusal(HEAD + unknown)


def test_reference_kernels_on_a_vector_unit_ask_for_no_scratch() -> None:
    text = HEAD + 'runtime = "own"\n[runtime.own]\nextends = "esp32s3_espnn"\n'
    path = Path("tinybudget.toml").absolute()
    path.write_text(text + 'kernels = "reference"\n', encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    footprint = Gate(Workspace(cached=False)).check(pair).footprint
    assert footprint is not None
    assert [layer.scratch_bytes for layer in footprint.layers] == [0, 0]
