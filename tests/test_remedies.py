"""What would fix a failure: each kind of advice is followed, and keeps its promise to the byte."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import keyword_model
from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import write
from msgspec.structs import replace
from test_shrink import labeled_model
from upstream import RUNTIME as UPSTREAM

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.baseline import Baseline
from pytest_tinybudget.baseline.baseline import baseline_file
from pytest_tinybudget.baseline.baselines import Baselines
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.declaration import DeclaredModel
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.workspace import Workspace
from pytest_tinybudget.workspace.models import Models
from pytest_tinybudget.workspace.workspace import Estimator


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))

#: How sizes stand in advice: a saving is promised in these words.
SAVES = re.compile(r"saves ([0-9.,]+ [KM]?B) of (flash|RAM)")


class Project:
    """A folder with a model and a declaration; ``check`` is the gate's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def model(self, content: bytes, name: str = "kws") -> None:
        self.folder.joinpath(f"{name}.tflite").write_bytes(content)

    def check(
        self, text: str, *, baseline: Baseline | None = None, estimator: Estimator | None = None
    ) -> PairResult:
        """The first pair's result."""
        path = self.folder / "tinybudget.toml"
        path.write_text(text, encoding="utf-8")
        with closing(Workspace(estimator, cached=False)) as workspace:
            gate = Gate(workspace, baselines=Baselines(baseline))
            return gate.check(next(iter(pairs("tinybudget.toml", load_declaration(path)))))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def declared(*lines: str, board: str = "arduino-nano-33-ble") -> str:
    keys = ["[models.kws]", 'source = "kws.tflite"', f'boards = ["{board}"]']
    if not any("runtime" in line for line in lines):
        keys.append(UPSTREAM.rstrip())
    return "\n".join((*keys, *lines, ""))


def used(result: PairResult) -> dict[str, int]:
    return {measure.metric: measure.used for measure in result.measures}


def starting(result: PairResult, start: str) -> str:
    """The one line of advice that starts so."""
    lines = [line for line in result.reasons if line.startswith(start)]
    assert len(lines) == 1, result.reasons
    return lines[0]


def kept_its_promise(line: str, before: PairResult, after: PairResult) -> None:
    """Each saving in ``line`` is the difference of what was measured, as it is printed."""
    promises = SAVES.findall(line)
    assert promises
    for size, label in promises:
        metric = label.lower()
        assert size == format_size(used(before)[metric] - used(after)[metric]), line


DENSE = "dense layers quantized per tensor instead of per channel (a setting of the converter)"


def dense_chain(*, per_channel: bool) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.input((1, 64))
    for units in (256, 64):
        hidden = graph.dense(hidden, units=units, per_channel=per_channel)
    graph.output(hidden)
    return maker.build()


# One test for each kind of advice


FLASH_KEYS = {
    "shrink = true": "shrink = true",
    "strip = true": "strip = true",
    'each operator for its type only (registrations = "typed")': 'registrations = "typed"',
    'reference kernels instead of CMSIS-NN (runtime = "m4_ref")': 'runtime = "m4_ref"',
}


@pytest.mark.parametrize(("start", "key"), FLASH_KEYS.items())
def test_what_saves_flash_saves_what_it_promises_and_turns_the_pair_green(
    project: Project, start: str, key: str
) -> None:
    project.model(labeled_model())
    whole, without = project.check(declared()), project.check(declared(key))
    saved = used(whole)["flash"] - used(without)["flash"]
    assert saved > 1024
    for missing, fits in ((saved, True), (saved + 1, False)):
        budget = f'budget = {{ flash = "{used(whole)["flash"] - missing} B" }}'
        over = project.check(declared(budget))
        line = starting(over, f"{start}: ")
        assert ("then flash fits" in line) == fits
        assert ("1 B are still missing" in line) != fits
        after = project.check(declared(budget, key))
        assert after.failed != fits
        kept_its_promise(line, over, after)


def test_stripping_names_the_metadata_and_what_the_model_shrinks_to(project: Project) -> None:
    project.model(labeled_model())
    line = starting(project.check(declared('budget = { flash = "1 KB" }')), "strip = true: ")
    assert re.search(
        r"\(the model goes from 27\.\d KB to \d\.\d KB: metadata 23\.4 KB, names and signatures",
        line,
    )


def test_shrinking_is_named_first_with_what_it_saves(project: Project) -> None:
    project.model(labeled_model())
    reasons = project.check(declared('budget = { flash = "1 KB" }')).reasons
    assert re.search(
        r"^shrink = true: saves 24\.\d KB of flash, .*"
        r"\(the same outputs; the model goes from 27\.\d KB to 3\.\d KB",
        reasons[0],
    )
    again = project.check(declared('budget = { flash = "1 KB" }', "shrink = true")).reasons
    assert not any(line.startswith("shrink") for line in again)


@pytest.mark.parametrize(
    ("start", "key"),
    [
        ("no log strings (TF_LITE_STRIP_ERROR_STRINGS; ", "log_strings = false"),
        ("optimized for size (-Os; ", 'optimize = "s"'),
    ],
)
def test_other_flags_of_the_compiler_save_what_they_promise(
    project: Project, start: str, key: str
) -> None:
    project.model(labeled_model())
    pico = ('runtime = "mine"', '[runtime.mine]\nextends = "pico-tflmicro dfea53b"')
    board = "raspberry-pi-pico"
    whole = project.check(declared(*pico, board=board))
    without = project.check(declared(*pico, key, board=board))
    saved = used(whole)["flash"] - used(without)["flash"]
    assert saved > 10 * 1024
    budget = f'budget = {{ flash = "{used(whole)["flash"] - saved} B" }}'
    over = project.check(declared(budget, *pico, board=board))
    line = starting(over, start + key)
    assert "then flash fits" in line
    kept_its_promise(line, over, without)


def test_free_changes_are_combined_before_anything_that_costs_speed(project: Project) -> None:
    project.model(labeled_model())
    whole = used(project.check(declared()))["flash"]
    both = ('registrations = "typed"', "shrink = true")
    least = used(project.check(declared(*both)))["flash"]
    budget = f'budget = {{ flash = "{least} B" }}'
    over = project.check(declared(budget))
    line = starting(over, "shrink = true and each operator for its type only")
    assert line.endswith(f"together saves {format_size(whole - least)} of flash, then flash fits")
    lines = list(over.reasons)
    reference = starting(over, "reference kernels")
    assert lines.index(line) < lines.index(reference)
    after = project.check(declared(budget, *both))
    assert not after.failed
    kept_its_promise(line, over, after)


def test_where_nothing_is_enough_the_combination_that_comes_nearest_is_told(
    project: Project,
) -> None:
    project.model(labeled_model())
    budget = 'budget = { flash = "10 KB" }'
    over = project.check(declared(budget))
    line = starting(over, "shrink = true and ")
    after = project.check(declared(budget, "shrink = true", 'runtime = "m4_ref"'))
    flash = next(measure for measure in after.measures if measure.metric == "flash")
    assert f"{format_size(flash.over)} are still missing" in line
    kept_its_promise(line, over, after)


def test_no_combination_is_told_where_a_free_change_is_enough(project: Project) -> None:
    project.model(labeled_model())
    flash = used(project.check(declared()))["flash"]
    over = project.check(declared(f'budget = {{ flash = "{flash - 1} B" }}'))
    assert not any("together" in line for line in over.reasons)


def tensor_of(size: int) -> bytes:
    """A model whose arena is about twice ``size`` bytes and some hundred more."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.logistic(graph.input((1, size))))
    return maker.build()


def test_the_heap_is_named_where_its_block_is_larger_than_the_linkers(project: Project) -> None:
    board = find_board("esp32")
    static, heap = board.block("static"), board.block("heap")
    assert static is not None
    assert heap is not None
    assert heap.room > static.room
    project.model(tensor_of((static.room + heap.room) // 4))
    over = project.check(declared(board="esp32"))
    assert starting(over, 'placement = "heap"') == (
        'placement = "heap": then RAM fits (the arena from the heap)'
    )
    assert not project.check(declared('placement = "heap"', board="esp32")).failed


def test_external_ram_that_the_board_has_is_named(project: Project) -> None:
    project.model(tensor_of(200_000))
    over = project.check(declared(board="esp32-cam"))
    line = starting(over, 'placement = "psram"')
    assert line.startswith('placement = "psram": saves ')
    assert line.endswith(" of RAM, then RAM fits (external RAM is slower)")
    assert not project.check(declared('placement = "psram"', board="esp32-cam")).failed


def test_external_ram_that_modules_are_sold_with_is_named(project: Project) -> None:
    project.model(tensor_of(200_000))
    over = project.check(declared(board="esp32-s3-devkitc-1"))
    line = starting(over, "a module with external RAM")
    assert 'psram = "8 MB" in a [boards.NAME] that extends = "esp32-s3-devkitc-1"' in line
    assert "then RAM fits" in line
    own = '[boards.own]\nextends = "esp32-s3-devkitc-1"\npsram = "8 MB"\n'
    after = project.check(declared('placement = "psram"', board="own") + own)
    assert not after.failed


def test_external_ram_is_not_named_for_a_chip_that_cannot_have_it(project: Project) -> None:
    project.model(tensor_of(200_000))
    over = project.check(declared(board="esp32-c3-devkitm-1"))
    assert over.failed
    assert not any("external RAM" in line for line in over.reasons)


def test_a_partition_that_leaves_most_of_the_flash_unused_is_named(project: Project) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 1000)), units=1000))
    project.model(maker.build())
    over = project.check(declared(board="esp32-s3-devkitc-1"))
    line = starting(over, "a larger partition for the application: ")
    assert line.endswith("then flash fits (today's uses 1.00 MB of 8.00 MB)")
    key = re.search(r'usable_flash = "\d+ KB"', line)
    assert key is not None
    own = f'[boards.own]\nextends = "esp32-s3-devkitc-1"\n{key[0]}\n'
    after = project.check(declared(board="own") + own)
    assert not after.failed
    smaller = int(key[0].split('"')[1].split()[0]) - 64
    short = own.replace(key[0], f'usable_flash = "{smaller} KB"')
    assert project.check(declared(board="own") + short).failed  # the smallest that does


def test_a_larger_partition_is_no_help_against_a_budget_of_ones_own(project: Project) -> None:
    project.model(labeled_model())
    over = project.check(declared('budget = { flash = "10 KB" }', board="esp32-s3-devkitc-1"))
    assert not any("partition" in line for line in over.reasons)


def test_slots_for_updates_are_not_told_to_be_one_large_partition(project: Project) -> None:
    project.model(keyword_model())
    slots = 'slots = { layout = "mcuboot", size = "260 KB" }\n'
    own = f'[boards.own]\nextends = "esp32-s3-devkitc-1"\n{slots}'
    over = project.check(declared(board="own") + own)
    assert over.failed
    assert not any("partition" in line for line in over.reasons)


def test_a_slot_that_is_too_small_is_told_what_stripping_saves(project: Project) -> None:
    project.model(labeled_model())
    slots = 'slots = { layout = "custom", size = "300 KB", model_size = "20 KB" }\n'
    own = f'[boards.own]\nextends = "nucleo-f767zi"\n{slots}'
    over = project.check(declared(board="own") + own)
    assert over.outcome == "over"
    assert "then model slot is " in starting(over, "strip = true: ")
    assert not project.check(declared("strip = true", board="own") + own).failed


def test_dense_layers_per_tensor_save_what_is_promised(project: Project) -> None:
    project.model(dense_chain(per_channel=True))
    whole = project.check(declared())
    project.model(dense_chain(per_channel=False))
    without = project.check(declared())
    saved = used(whole)["ram"] - used(without)["ram"]
    assert saved > 2000
    budget = f'budget = {{ ram = "{used(without)["ram"]} B" }}'
    project.model(dense_chain(per_channel=True))
    over = project.check(declared(budget))
    line = starting(over, f"{DENSE}: ")
    assert f"saves {format_size(saved)} of RAM, then RAM fits" in line
    project.model(dense_chain(per_channel=False))
    after = project.check(declared(budget))
    assert not after.failed
    kept_its_promise(line, over, after)
    assert not any("per tensor" in line for line in after.reasons)


def test_the_scales_of_dense_layers_are_flash_as_well(project: Project) -> None:
    project.model(dense_chain(per_channel=True))
    whole = project.check(declared())
    project.model(dense_chain(per_channel=False))
    without = project.check(declared())
    saved = used(whole)["flash"] - used(without)["flash"]
    project.model(dense_chain(per_channel=True))
    over = project.check(declared('budget = { flash = "20 KB" }'))
    line = starting(over, f"{DENSE}: ")
    promised = re.search(r"saves about ([0-9.]+) KB of flash", line)
    assert promised is not None  # how a converter packs the rest is its own affair
    assert float(promised[1]) == pytest.approx(saved / 1024, rel=0.01)


def converting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A converter that needs no TensorFlow: it makes the same network of either type."""

    def conversion(_: Models, declared: DeclaredModel) -> Converted:
        maker = ModelMaker()
        graph = maker.graph()
        kind = declared.conversion.activations.upper()
        graph.output(graph.conv2d(graph.input((1, 16, 16, 8), kind), filters=8))
        return Converted(maker.build(), (), (), (), kind, cached=True)

    monkeypatch.setattr(Models, "conversion", conversion)


def test_16_bit_activations_are_told_what_8_bits_save(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    converting(monkeypatch)
    project.folder.joinpath("kws.keras").write_bytes(b"")

    def keras(*lines: str) -> str:
        return declared(*lines).replace("kws.tflite", "kws.keras")

    narrow = used(project.check(keras()))
    budget = f'budget = {{ ram = "{narrow["ram"]} B" }}'
    over = project.check(keras(budget, 'activations = "int16"'))
    line = starting(over, 'activations = "int8": ')
    assert "then RAM fits" in line
    after = project.check(keras(budget))
    assert not after.failed
    kept_its_promise(line, over, after)
    assert not any(each.startswith("activations") for each in after.reasons)


@pytest.mark.skipif(find_spec("keras") is None, reason="needs TensorFlow")
def test_a_keras_model_is_told_the_key_and_converted_so_it_saves_what_is_promised(
    project: Project,
) -> None:
    script = (
        "import keras; keras.Sequential([keras.Input((40,)), keras.layers.Dense(256), "
        "keras.layers.Dense(64)]).save('kws.keras')"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", script]
    subprocess.run(command, check=True, env=environment, cwd=project.folder)

    def keras(*lines: str) -> str:
        text = declared('representative_data = "random"', *lines)
        return text.replace("kws.tflite", "kws.keras")

    least = used(project.check(keras("per_channel_dense = false")))["ram"]
    budget = f'budget = {{ ram = "{least} B" }}'
    over = project.check(keras(budget))
    line = starting(over, "dense layers quantized per tensor instead of per channel")
    assert "(per_channel_dense = false): " in line
    after = project.check(keras(budget, "per_channel_dense = false"))
    assert not after.failed
    kept_its_promise(line, over, after)


def test_a_memory_plan_of_the_models_own_that_leaves_gaps_is_told_what_tflms_saves(
    project: Project,
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.logistic(graph.input((1, 4096))))
    maker.offline_plan([0, 8192])
    project.model(maker.build())
    ram = used(project.check(declared()))["ram"]
    budget = f'budget = {{ ram = "{ram - 4096} B" }}'
    over = project.check(declared(budget))
    line = starting(over, "TFLM's own memory plan instead of the model's")
    assert line.endswith("saves 4.0 KB of RAM, then RAM fits")
    del maker.metadata["OfflineMemoryAllocation"]
    project.model(maker.build())
    after = project.check(declared(budget))
    assert not after.failed
    kept_its_promise(line, over, after)


def test_reference_kernels_are_named_where_they_ask_for_less_ram(project: Project) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 8, 8, 32)), filters=8))
    project.model(maker.build())
    ram = used(project.check(declared()))["ram"]
    less = project.check(declared('runtime = "m4_ref"'))
    assert used(less)["ram"] < ram
    budget = f'budget = {{ ram = "{used(less)["ram"]} B" }}'
    over = project.check(declared(budget))
    line = starting(over, "reference kernels")
    assert line.endswith("then RAM fits (slower)")
    kept_its_promise(line, over, project.check(declared(budget, 'runtime = "m4_ref"')))


def test_a_board_that_is_named_has_room(project: Project) -> None:
    project.model(tensor_of(200_000))
    line = starting(project.check(declared(board="raspberry-pi-pico")), "smallest board with room")
    board = line.partition(": ")[2].partition(",")[0]
    assert not project.check(declared(board=board)).failed


def test_a_budget_that_is_named_is_enough(project: Project) -> None:
    project.model(keyword_model())
    over = project.check(declared('budget = { flash = "1 KB", ram = "1 KB" }'))
    line = starting(over, "arduino-nano-33-ble itself has room")
    budget = re.search(r"\{ .* \}", line)
    assert budget is not None
    assert not project.check(declared(f"budget = {budget[0]}")).failed


def test_half_of_the_named_tensor_saves_what_is_promised(project: Project) -> None:
    def network(width: int) -> bytes:
        maker = ModelMaker()
        graph = maker.graph()
        graph.output(graph.mean(graph.input((1, 64, width)), axes=[1, 2]))
        return maker.build()

    project.model(network(64))
    whole = project.check(declared())
    over = project.check(declared(f'budget = {{ ram = "{used(whole)["ram"] - 1} B" }}'))
    line = starting(over, "a smaller ")
    assert line.endswith(", enough to fit")
    assert over.footprint is not None
    assert over.footprint.arena is not None
    project.model(network(32))
    after = project.check(declared())
    assert after.footprint is not None
    assert after.footprint.arena is not None
    saved = over.footprint.arena.head - after.footprint.arena.head
    assert f"peak is up to {format_size(saved)} lower" in line


# What is not said


def test_what_does_not_move_the_failing_quantity_is_not_named(project: Project) -> None:
    project.model(labeled_model())
    over = project.check(declared('budget = { ram = "1 KB" }'))
    assert over.outcome == "over"
    for start in ("strip", "each operator", "a larger partition", "dense layers"):
        assert not any(line.startswith(start) for line in over.reasons)


def test_a_file_without_names_is_not_told_to_strip(project: Project) -> None:
    project.model(labeled_model())
    over = project.check(declared('budget = { flash = "1 KB" }', "strip = true"))
    assert not any(line.startswith("strip") for line in over.reasons)


def test_whoever_registers_typed_is_not_told_to(project: Project) -> None:
    project.model(keyword_model())
    over = project.check(declared('budget = { flash = "1 KB" }', 'registrations = "typed"'))
    assert not any("typed" in line for line in over.reasons)


def test_a_fixed_cost_is_told_of_no_kernels(project: Project) -> None:
    project.model(keyword_model())
    fixed = 'runtime = { flash = "20 KB", stack = "2 KB" }'
    over = project.check(declared('budget = { flash = "1 KB" }', fixed))
    assert not any("kernels" in line or "typed" in line for line in over.reasons)


def test_the_arena_of_another_estimator_is_measured_by_it_and_not_explained_as_tflms(
    project: Project,
) -> None:
    project.model(labeled_model())
    plain = project.check(declared()).footprint
    assert plain is not None
    assert plain.arena is not None
    other = replace(plain, arena=replace(plain.arena, required=plain.arena.required + 16))
    over = project.check(declared('budget = { ram = "1 KB" }'), estimator=lambda *_: other)
    assert [line.partition(":")[0] for line in over.reasons] == [
        "arduino-nano-33-ble itself has room"
    ]


def test_who_is_over_in_something_else_than_memory_is_offered_no_room(project: Project) -> None:
    project.model(keyword_model())
    slow = project.check(declared('budget = { latency = "1 ns" }'))
    assert slow.outcome == "over"
    assert not any("room" in line for line in slow.reasons)


def test_a_file_that_cannot_be_written_again_gets_all_other_advice(project: Project) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    table = maker.table()
    operator = table.values["subgraphs"][0].values["operators"][0]
    operator.values["builtin_options_2_type"] = 200
    operator.values["builtin_options_2"] = Table("AddNOptions", {})
    project.model(write(table))
    over = project.check(declared('budget = { flash = "1 KB" }'))
    assert over.outcome == "over"
    assert not any(line.startswith(("strip", "dense")) for line in over.reasons)
    starting(over, 'each operator for its type only (registrations = "typed"): ')
    stripped = project.check(declared("strip = true"))
    assert stripped.outcome == "error"
    assert "kws: cannot be written again: " in stripped.headline


def test_measuring_changes_leaves_nothing_behind(project: Project) -> None:
    project.model(labeled_model())
    path = project.folder / "tinybudget.toml"
    path.write_text(declared('budget = { flash = "1 KB" }'))
    gate = Gate(Workspace(cached=False))
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    assert gate.check(pair).failed
    assert len(gate.workspace._measured) == 1


# Growth


def grown(project: Project, tmp_path: Path, *keys: str) -> Callable[..., PairResult]:
    """Checks the labeled model against a base that had 20 KB less of labels."""
    project.model(labeled_model(4_000))
    base = project.check(declared())
    results = tmp_path / "base.json"
    path = project.folder / "tinybudget.toml"
    assert main(["check", str(path), "--json", str(results), "--quiet"]) == 0
    assert base.outcome in ("fits", "warns")
    project.model(labeled_model())

    def check(*more: str) -> PairResult:
        return project.check(declared(*keys, *more), baseline=baseline_file(results))

    return check


GROWTH = 'max_increase = { bytes = "1 KB" }'


def test_a_growth_failure_is_told_what_undoes_the_growth(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check = grown(project, tmp_path, GROWTH)
    over = check()
    assert (over.outcome, over.grown) == ("unmet", ("flash",))
    line = starting(over, "strip = true: ")
    assert "then flash no longer grows too much" in line
    after = check("strip = true")
    assert not after.failed
    kept_its_promise(line, over, after)


def test_a_growth_failure_gets_no_advice_that_concerns_something_else(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    over = grown(project, tmp_path, GROWTH)()
    assert not any("require_int8" in line or "room" in line for line in over.reasons)
    float_maker = ModelMaker()
    graph = float_maker.graph()
    graph.output(graph.dense(graph.input((1, 8), "FLOAT32"), units=9000))
    project.model(float_maker.build())
    unmet = grown(project, tmp_path, GROWTH)
    project.model(float_maker.build())  # in the place of the file that was checked
    result = unmet()
    assert result.outcome == "unmet"
    assert result.footprint is not None
    assert result.footprint.not_int8
    assert not any("require_int8" in line for line in result.reasons)


# Groups


def test_a_group_is_told_what_its_models_together_can_do(project: Project) -> None:
    project.model(labeled_model())
    project.model(labeled_model(12_000), "vad")
    text = (
        '[defaults]\nboards = ["arduino-nano-33-ble"]\nDEFAULTS\n'
        '[models.kws]\nsource = "kws.tflite"\n[models.vad]\nsource = "vad.tflite"\n'
        '[groups.all]\nmodels = ["kws", "vad"]\nBUDGET\n'
    )

    def group(defaults: str, budget: str) -> PairResult:
        path = project.folder / "tinybudget.toml"
        path.write_text(text.replace("DEFAULTS", defaults).replace("BUDGET", budget))
        declared_pairs = list(pairs("tinybudget.toml", load_declaration(path)))
        return Gate(Workspace(cached=False)).check(declared_pairs[-1])

    least = group("strip = true", "")
    budget = f'budget = {{ flash = "{used(least)["flash"]} B" }}'
    over = group("", budget)
    line = starting(over, "strip = true: ")
    assert "then flash fits" in line
    after = group("strip = true", budget)
    assert not after.failed
    kept_its_promise(line, over, after)


# A case of the field


@pytest.mark.skipif(not (SHARED / "cases/meta.tflite").exists(), reason="needs ../shared")
def test_metadata_is_named_and_taking_it_out_turns_the_pair_green(project: Project) -> None:
    project.model((SHARED / "cases/meta.tflite").read_bytes())
    budget = 'budget = { flash = "75 KB" }'
    over = project.check(declared(budget, board="raspberry-pi-pico"))
    assert over.failed
    line = starting(over, "strip = true: ")
    assert "then flash fits" in line
    assert "metadata 23.5 KB" in line
    after = project.check(declared(budget, "strip = true", board="raspberry-pi-pico"))
    assert not after.failed
    kept_its_promise(line, over, after)


def test_the_advice_is_in_json_as_in_the_terminal(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.folder)
    project.model(labeled_model())
    over = project.check(declared('budget = { flash = "60 KB" }'))
    assert main(["check", "--json", "r.json"]) == 1
    (pair,) = json.loads(Path("r.json").read_text())["pairs"]
    assert tuple(pair["reasons"]) == over.reasons
    printed = " ".join(capsys.readouterr().out.split())
    assert all(reason in printed for reason in over.reasons)
