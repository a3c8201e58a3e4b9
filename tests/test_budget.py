"""The verdict: limits, the first line, warnings, demands, and what would fix a failure."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from functools import partial
from math import prod
from pathlib import Path
from typing import Any
from typing import Literal

import pytest
from conftest import keyword_model
from modelmaker import SCALE
from modelmaker import ModelMaker
from msgspec.structs import replace
from rendered import render
from upstream import upstream_board

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import catalog
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import DeclaredRuntime
from pytest_tinybudget.declaration.pairs import Location
from pytest_tinybudget.declaration.single import pair_of
from pytest_tinybudget.declaration.toml import parse as parse_toml
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.resolve import EDGE_TPU
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.gate.remedies.advice import unmet_requirements
from pytest_tinybudget.gate.remedies.peak import peak_relief
from pytest_tinybudget.gate.remedies.peak import per_tensor_hints
from pytest_tinybudget.gate.remedies.room import more_room
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.workspace import Workspace


RUNTIME = RUNTIMES["m4_cmsisnn"]
#: What is offered is held to figures of upstream's own sources.
NANO = upstream_board("arduino-nano-33-ble")


@cache
def model_of(content: bytes) -> Model:
    return read_model(content, "kws")


@cache
def kws() -> Footprint:
    return measure(model_of(keyword_model()), RUNTIME)


def measured(maker: ModelMaker) -> Footprint:
    return measure(read_model(maker.build(), "model"), RUNTIME)


def hybrid_model() -> ModelMaker:
    """Float activations with INT8 weights, which TFLM turns down in Prepare."""
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.conv2d(graph.input((1, 8, 8, 1), "FLOAT32"), filters=2)
    graph.output(result)
    weights = graph.tensors[graph.steps[0].inputs[1]]
    weights.type, weights.scales, weights.zero_points = "INT8", (1 / 32,), (0,)
    weights.data = bytes(prod(weights.shape))
    return maker


def float_model() -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), "FLOAT32", name="features"), units=2))
    return maker


def custom_model(operator: str = "AcmeFilter") -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.tensor((1, 8))
    graph.operator(operator, (graph.input((1, 8)),), (hidden,), {}, custom_options=b"\0")
    graph.output(graph.dense(hidden, units=2))
    return maker


# Limits


def test_a_footprint_as_large_as_its_budget_fits() -> None:
    exact = Budget(flash=kws().flash, ram=kws().ram)
    verdict = judge(kws(), NANO, Demands(exact))
    assert verdict.outcome == "fits"
    assert [measure.free for measure in verdict.measures] == [0, 0]


@pytest.mark.parametrize("metric", ["flash", "ram"])
def test_one_byte_above_the_budget_is_over_and_shown_in_bytes(metric: str) -> None:
    used = getattr(kws(), metric)
    verdict = judge(kws(), NANO, Demands(Budget(**{metric: used - 1})))
    assert verdict.outcome == "over"
    label = {"flash": "flash", "ram": "RAM"}[metric]
    assert verdict.headline.startswith(f"{label} over by 1 B ({used:,} of {used - 1:,} B); ")


def test_the_smaller_of_board_and_budget_limits_and_is_named() -> None:
    roomy = Budget(flash=NANO.flash * 2, ram=NANO.ram * 2)
    for budget, origin in ((Budget(1000, 1000), "budget"), (roomy, "board"), (Budget(), "board")):
        measures = judge(kws(), NANO, Demands(budget)).measures
        assert [measure.limit_from for measure in measures] == [origin, origin]
    flash, ram = judge(kws(), NANO, Demands()).measures
    assert (flash.limit, ram.limit) == (NANO.flash_room, NANO.ram_room)
    assert flash.limit_note.startswith(f"{NANO.id}: ")
    assert "reserved" in flash.limit_note
    assert NANO.id in ram.limit_note


def test_a_budget_as_large_as_the_board_is_named_instead_of_it() -> None:
    whole = Budget(flash=NANO.flash_room, ram=NANO.ram_room)
    measures = judge(kws(), NANO, Demands(whole)).measures
    assert [measure.limit_from for measure in measures] == ["budget", "budget"]


def test_a_measure_says_what_it_is_made_of() -> None:
    flash, ram = judge(kws(), NANO, Demands()).measures
    assert (flash.parts, ram.parts) == (kws().flash_parts, kws().ram_parts)


def test_what_the_board_reserves_is_not_there_for_the_model() -> None:
    full = replace(NANO, reserved_ram=NANO.usable_ram - kws().ram + 1)
    verdict = judge(kws(), full, Demands())
    assert verdict.headline.startswith("RAM over by 1 B")


def test_more_reserved_than_there_is_leaves_no_room() -> None:
    verdict = judge(kws(), replace(NANO, reserved_flash=NANO.flash * 2), Demands())
    flash = verdict.measures[0]
    assert (verdict.outcome, flash.limit, flash.over) == ("over", 0, kws().flash)


def test_the_arena_must_fit_the_largest_block_of_ram() -> None:
    arena = kws().arena
    assert arena is not None
    fits = replace(NANO, largest_ram=arena.required)
    assert judge(kws(), fits, Demands()).outcome == "fits"
    verdict = judge(kws(), replace(fits, largest_ram=arena.required - 16), Demands())
    assert verdict.headline.startswith("RAM over by 16 B")
    ram = verdict.measures[1]
    assert ram.limit_from == "board"
    assert "largest block" in ram.limit_note


def test_ram_counts_as_well_where_an_estimator_knows_no_arena() -> None:
    footprint = replace(kws(), arena=None)
    verdict = judge(footprint, NANO, Demands(Budget(ram=kws().ram - 1)))
    assert verdict.headline.startswith("RAM over by 1 B")
    assert judge(footprint, NANO, Demands()).outcome == "fits"


def test_a_limit_says_where_it_comes_from() -> None:
    board = replace(NANO, reserved_ram=2048)
    declared = judge(kws(), board, Demands(Budget(ram=20_000))).measures[1]
    assert (declared.limit_from, declared.limit_note) == ("budget", "declared budget")
    for footprint in (kws(), replace(kws(), arena=None)):
        ram = judge(footprint, board, Demands()).measures[1]
        assert (ram.limit_from, ram.limit) == ("board", board.ram_room)
        assert ram.limit_note == "arduino-nano-33-ble: 256.0 KB, 255.5 KB usable, 2.0 KB reserved"


# Where the arena goes


@pytest.fixture
def esp32() -> Board:
    return find_board("esp32")


def with_arena(arena_bytes: int) -> Footprint:
    """The keyword model's footprint with an arena of another size."""
    arena = kws().arena
    assert arena is not None
    others = [part for part in kws().ram_parts if not part.name.startswith("arena")]
    parts = (Part("arena: activations and scratch", arena_bytes, "exact"), *others)
    return replace(kws(), arena=replace(arena, required=arena_bytes), ram_parts=parts)


def besides_arena(footprint: Footprint) -> int:
    assert footprint.arena is not None
    return footprint.ram - footprint.arena.required


def test_a_static_arena_on_an_esp32_shares_the_linkers_block_with_all_other_static_data(
    esp32: Board,
) -> None:
    statics = besides_arena(kws()) - kws().stack
    assert statics > 0
    full = with_arena(168_000 - statics)
    assert judge(full, esp32, Demands()).outcome == "fits"
    over = judge(with_arena(168_001 - statics), esp32, Demands())
    assert over.headline.startswith("RAM over by 1 B")
    assert "the largest block of RAM, 164.1 KB (DRAM)" in over.measures[1].limit_note


def test_the_heap_of_an_esp32_has_a_larger_block_than_its_linker_hands_out(esp32: Board) -> None:
    heap, room = Demands(placement="heap"), 180 * 1024 - (besides_arena(kws()) - kws().stack)
    assert judge(with_arena(room), esp32, heap).outcome == "fits"
    over = judge(with_arena(room + 1), esp32, heap)
    assert over.headline.startswith("RAM over by 1 B")
    assert "largest free block of the heap at boot, 180.0 KB (DRAM)" in over.measures[1].limit_note
    assert judge(with_arena(room), esp32, Demands()).outcome == "over"


def test_a_heap_that_nobody_published_warns() -> None:
    verdict = judge(kws(), NANO, Demands(placement="heap"))
    assert verdict.outcome == "warns"
    assert "declare largest_heap" in verdict.warnings[0]
    measured = replace(NANO, largest_heap=100 * 1024)
    assert judge(kws(), measured, Demands(placement="heap")).outcome == "fits"
    assert judge(with_arena(100 * 1024 + 1), measured, Demands(placement="heap")).outcome == "over"


def test_external_ram_holds_the_arena_and_nothing_else() -> None:
    camera, external = find_board("esp32-cam"), Demands(placement="psram")
    large = with_arena(4 * 1024 * 1024)
    assert judge(large, camera, Demands()).outcome == "over"
    verdict = judge(large, camera, external)
    assert verdict.outcome == "fits"
    assert verdict.placed == Placed("psram", "PSRAM", 4 * 1024 * 1024, 0)
    assert judge(with_arena(4 * 1024 * 1024 + 1), camera, external).outcome == "over"
    crowded = replace(camera, reserved_ram=camera.usable_ram - besides_arena(large))
    assert judge(large, crowded, external).outcome == "fits"
    more = replace(crowded, reserved_ram=crowded.reserved_ram + 1)
    over = judge(large, more, external)
    assert over.headline.startswith("RAM over by 1 B")
    assert over.measures[1].limit_from == "board"
    assert over.measures[1].limit == more.ram_room


def test_the_arena_leaves_the_chip_for_external_ram_whatever_its_part_is_called() -> None:
    camera, arena = find_board("esp32-cam"), 4 * 1024 * 1024
    unnamed = replace(with_arena(arena), ram_parts=(Part("work memory", arena, "exact"),))
    verdict = judge(unnamed, camera, Demands(placement="psram"))
    assert verdict.placed == Placed("psram", "PSRAM", arena, 0)
    assert [part.name for part in verdict.measures[2].parts] == ["arena"]
    larger = judge(with_arena(arena + 1), camera, Demands(placement="psram")).measures[2]
    assert (larger.metric, larger.over, larger.limit_from) == ("psram", 1, "board")
    assert larger.limit_note == "esp32-cam: 4.00 MB external RAM (PSRAM)"


def test_where_all_else_fills_the_block_no_room_is_left_for_an_arena() -> None:
    full = replace(NANO, reserved_ram=NANO.usable_ram)
    arena = kws().arena
    assert arena is not None
    placed = judge(kws(), full, Demands()).placed
    assert placed is not None
    assert (placed.room, placed.free) == (0, -arena.required)


def test_a_group_with_an_arena_each_has_them_all_in_external_ram() -> None:
    camera, external = find_board("esp32-cam"), Demands(placement="psram")
    arena = with_arena(2 * 1024 * 1024)
    second = Part("arena of vad", 2 * 1024 * 1024, "exact")
    both = replace(arena, ram_parts=(*arena.ram_parts, second))
    verdict = judge(both, camera, external)
    assert verdict.outcome == "fits"
    assert verdict.placed == Placed("psram", "PSRAM", 4 * 1024 * 1024, 0)
    larger = replace(arena, ram_parts=(*arena.ram_parts, replace(second, margin_bytes=1)))
    assert judge(larger, camera, external).headline.startswith("PSRAM over by 1 B")


def test_the_arenas_of_a_group_on_the_chip_need_not_share_one_block() -> None:
    arena = with_arena(40 * 1024)
    second = Part("arena of vad", 40 * 1024, "exact")
    both = replace(arena, ram_parts=(*arena.ram_parts, second))
    blocks = replace(NANO, largest_ram=40 * 1024)
    assert judge(both, blocks, Demands()).outcome == "fits"
    smaller = judge(both, replace(blocks, largest_ram=40 * 1024 - 16), Demands())
    assert smaller.headline.startswith("RAM over by 16 B")


def test_a_board_without_external_ram_says_what_it_has() -> None:
    message = (
        'placement = "psram": arduino-nano-33-ble has no external RAM; '
        "it has flash (1.00 MB), SRAM (256.0 KB)"
    )
    with pytest.raises(TinybudgetError, match=f"^{re.escape(message)}$"):
        judge(kws(), NANO, Demands(placement="psram"))


def test_a_board_whose_memories_nobody_listed_says_only_what_it_lacks() -> None:
    with pytest.raises(TinybudgetError, match=r"^placement.* has no external RAM$"):
        judge(kws(), replace(NANO, regions=()), Demands(placement="psram"))


@pytest.mark.parametrize(
    ("board", "region"),
    [("esp32", "DRAM"), ("arduino-portenta-h7", "AXI SRAM"), ("raspberry-pi-pico", "striped SRAM")],
)
def test_the_block_that_the_arena_uses_and_what_is_left_there(board: str, region: str) -> None:
    verdict = judge(kws(), find_board(board), Demands())
    arena = kws().arena
    assert arena is not None
    assert verdict.placed is not None
    assert (verdict.placed.placement, verdict.placed.region) == ("static", region)
    assert verdict.placed.room == arena.required + verdict.placed.free
    grown = with_arena(verdict.placed.room)
    assert judge(grown, find_board(board), Demands()).outcome == "fits"
    assert (
        judge(with_arena(verdict.placed.room + 1), find_board(board), Demands()).outcome == "over"
    )


def test_a_budget_does_not_change_what_is_left_in_the_block() -> None:
    roomy, tight = (
        judge(kws(), NANO, Demands()),
        judge(kws(), NANO, Demands(Budget(ram=1))),
    )
    assert roomy.placed == tight.placed


def test_an_sdk_of_which_not_all_is_known_warns() -> None:
    zephyr = next(sdk for sdk in find_board("nucleo-h743zi").sdks if sdk.name == "zephyr")
    verdict = judge(kws(), find_board("nucleo-h743zi").with_sdk(zephyr), Demands())
    assert verdict.outcome == "warns"
    assert 'sdk = "zephyr"' in verdict.warnings[0]


def test_the_smallest_board_is_named_for_where_the_arena_goes() -> None:
    lines = fixes(keyword_model(), Budget(), tiny_camera(), placements=Placements("psram"))
    named = named_boards(lines)
    assert all(find_board(name).block("psram") for name in named)


def tiny_camera() -> Board:
    return replace(find_board("esp32-cam"), id="small", usable_flash=1, reserved_flash=0)


# The first line


@pytest.mark.parametrize(
    ("budget", "pattern"),
    [
        (
            Budget(flash=50 * 1024, ram=8 * 1024),
            r"flash over by [\d.]+ KB \([\d.]+ of 50\.0 KB\); RAM ok \([\d.]+ of 8\.0 KB\)",
        ),
        (
            Budget(flash=2 * 1024**2, ram=500),
            r"RAM over by [\d.]+ KB \([\d.]+ KB of 500 B\); flash ok \([\d.]+ of [\d.]+ KB\)",
        ),
        (Budget(1, 1), r"flash over by [\d.]+ KB \(.* of 1 B\); RAM over by [\d.]+ KB \(.*\)"),
        (Budget(), r"flash ok \([\d.]+ of [\d.]+ KB\); RAM ok \([\d.]+ of [\d.]+ KB\)"),
    ],
)
def test_the_first_line_has_what_is_over_first(budget: Budget, pattern: str) -> None:
    assert re.fullmatch(pattern, judge(kws(), NANO, Demands(budget)).headline)


# Warnings


@pytest.mark.parametrize(("percent", "outcome"), [(99.9, "warns"), (100.0, "fits")])
def test_above_the_warn_tier_a_pair_passes_with_a_warning(percent: float, outcome: str) -> None:
    terms = Demands(Budget(ram=kws().ram), warn_at_percent=percent)
    verdict = judge(kws(), NANO, terms)
    assert verdict.outcome == outcome
    assert [line.startswith("RAM above 99.9 % of its limit") for line in verdict.warnings] == [
        True
    ] * (outcome == "warns")


def test_what_is_over_does_not_warn_as_well() -> None:
    verdict = judge(kws(), NANO, Demands(Budget(ram=100), warn_at_percent=10))
    assert verdict.outcome == "over"
    assert verdict.warnings == ()


def test_a_board_that_nobody_verified_warns() -> None:
    verdict = judge(kws(), replace(NANO, verified=False, notes="from memory"), Demands())
    assert verdict.outcome == "warns"
    (warning,) = verdict.warnings
    assert warning.startswith("board arduino-nano-33-ble is not verified")
    assert "from memory" in warning


def test_an_unverified_board_without_notes_warns_without_empty_brackets() -> None:
    verdict = judge(kws(), replace(NANO, verified=False, notes=""), Demands())
    (warning,) = verdict.warnings
    assert warning.endswith("check its memory before you rely on it")


# Bounds


@pytest.mark.parametrize("board_id", ["esp32-p4-function-ev", "esp32-s3-devkitc-1"])
def test_scratch_of_an_unknown_release_of_esp_nn_counts_upward_and_says_so(board_id: str) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 16, 16, 8)), filters=16))
    board, model = find_board(board_id), read_model(maker.build(), "model")
    footprint = measure(model, runtime_called("esp-tflite-micro 1.3.5", board.core))
    assert footprint.arena is not None
    arena = [part for part in footprint.ram_parts if part.name.startswith("arena")]
    assert sum(part.bytes + part.margin_bytes for part in arena) == footprint.arena.required
    assert {part.method for part in arena} == {"estimated"}
    assert sum(part.margin_bytes for part in arena) > 2000
    (warning,) = [line for line in judge(footprint, board, Demands()).warnings if "esp-nn" in line]
    assert f"{footprint.arena.required:,} B; " in warning
    assert judge(footprint, board, Demands(strict=True)).outcome == "unmet"
    settings = render(model, name="kws", footprints=[footprint])["kws_model_settings.h"].decode()
    assert f"bounded, not known: {warning.removeprefix('bounded, not known: ')}\n" in settings
    assert f"_TENSOR_ARENA_SIZE {footprint.arena.required}\n" in settings


# Demands


def test_a_model_that_is_not_int8_warns_and_fails_only_if_demanded() -> None:
    footprint = measured(float_model())
    warned = judge(footprint, NANO, Demands(require_int8="warn"))
    assert warned.outcome == "warns"
    assert "features (FLOAT32)" in warned.warnings[0]
    assert judge(footprint, NANO, Demands(require_int8=False)).outcome == "fits"
    failed = judge(footprint, NANO, Demands(require_int8=True))
    assert failed.outcome == "unmet"
    assert failed.headline.startswith("require_int8: the model is not full INT8: features")


@pytest.mark.parametrize("kind", ["UINT8", "INT16"])
def test_quantized_integers_of_another_type_at_the_edge_are_full_int8(kind: str) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    edge = graph.tensor((1, 2), kind, scale=SCALE)
    graph.operator("QUANTIZE", (graph.dense(graph.input((1, 8)), units=2),), (edge,))
    graph.output(edge)
    footprint = measured(maker)
    assert footprint.not_int8 == ()
    assert judge(footprint, NANO, Demands(require_int8=True)).outcome == "fits"


@pytest.mark.parametrize("kind", ["INT32", "INT64", "UINT32", "UINT8", "BOOL"])
def test_plain_integers_such_as_indices_and_states_are_full_int8(kind: str) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    state = graph.input((1, 4), kind, name="state")
    graph.output(graph.dense(graph.input((1, 8)), units=2), graph.reshape(state, (4,)))
    footprint = measured(maker)
    assert footprint.not_int8 == ()
    assert judge(footprint, NANO, Demands(require_int8=True)).outcome == "fits"


def test_float_activations_on_int8_weights_are_not_full_int8() -> None:
    assert [line.rpartition(" ")[2] for line in measured(hybrid_model()).not_int8] == [
        "(FLOAT32)", "(FLOAT32)", "(FLOAT32)",
    ]  # fmt: skip


def test_a_float_output_behind_an_int8_model_is_named_alone() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    scores = graph.tensor((1, 2), "FLOAT32", name="scores")
    graph.operator("DEQUANTIZE", (graph.dense(graph.input((1, 8)), units=2),), (scores,))
    graph.output(scores)
    assert measured(maker).not_int8 == ("scores (FLOAT32)",)


def test_an_operator_that_nobody_knows_warns_and_fails_when_strict() -> None:
    model = model_of(custom_model(EDGE_TPU).build())
    footprint = measure(model, RUNTIME.beside("edge-tpu"))
    warned = judge(footprint, NANO, Demands())
    assert warned.outcome == "warns"
    assert EDGE_TPU in warned.warnings[0]
    failed = judge(footprint, NANO, Demands(strict=True))
    assert failed.outcome == "unmet"
    assert failed.headline.startswith(f"strict: not exact: {EDGE_TPU}")


def test_an_operator_of_the_users_own_is_refused_with_the_lines_that_declare_it() -> None:
    lines = fixes(custom_model().build(), Budget())
    table = parse_toml("\n".join(lines[1:]))["runtime"]["ops"]["AcmeFilter"]
    assert "AcmeFilter" in lines[0]
    assert table["persistent"] == "912 B"  # what TFLM's largest operator keeps
    assert table["scratch"] == "16 B"  # its activations
    cost = OperatorCost(**{key: int(size.removesuffix(" B")) for key, size in table.items()})
    own, coral = model_of(custom_model().build()), model_of(custom_model(EDGE_TPU).build())
    declared = measure(own, Firmware(RUNTIME).with_costs({"AcmeFilter": cost}))
    assert judge(declared, NANO, Demands()).outcome == "fits"
    bounded = measure(coral, RUNTIME.beside("edge-tpu"))
    assert declared.flash - own.bytes == bounded.flash - coral.bytes
    assert declared.ram == bounded.ram


def test_an_estimated_part_fails_when_strict_and_names_its_margin() -> None:
    footprint = measure(model_of(keyword_model()), replace(RUNTIME, flash_margin_percent=15.0))
    assert judge(footprint, NANO, Demands()).outcome == "fits"
    verdict = judge(footprint, NANO, Demands(strict=True))
    assert verdict.outcome == "unmet"
    assert "is estimated" in verdict.headline
    assert "margin included" in verdict.headline


def test_an_exact_footprint_passes_when_strict() -> None:
    assert judge(kws(), NANO, Demands(strict=True)).outcome == "fits"


def test_what_is_unknown_is_told_once_with_how_much_more_there_is() -> None:
    for lines, told in (
        (("a",), "a"),
        (("a", "b"), "a (and 1 more)"),
        (("a", "b", "c"), "a (and 2 more)"),
        (("x" * 1000,), "x" * 159 + "…"),
    ):
        (warning,) = judge(replace(kws(), unknown=lines), NANO, Demands()).warnings
        assert warning == f"bounded, not known: {told}"


def test_every_demand_that_is_not_met_is_told_before_the_sizes() -> None:
    footprint = replace(kws(), unknown=("a",), not_int8=("b",))
    verdict = judge(footprint, NANO, Demands(strict=True, require_int8=True))
    assert verdict.headline.startswith(
        "strict: not exact: a; require_int8: the model is not full INT8: b; flash ok"
    )
    assert verdict.placed == judge(kws(), NANO, Demands()).placed
    assert verdict.warnings == ()


# Refusals


def test_a_refusal_names_step_operator_layer_and_reason() -> None:
    verdict = judge(measured(hybrid_model()), NANO, Demands(Budget(flash=1)))
    assert verdict.outcome == "refused"
    assert re.match(
        r"TFLM would fail in AllocateTensors\(\): CONV_2D #0 \(graph0/t\d\): .*hybrid",
        verdict.headline,
    )


def turned_down(refusal: Refusal, *layers: Layer) -> str:
    """The first line of the verdict on a model that is refused so."""
    return judge(replace(kws(), refusals=(refusal,), layers=layers), NANO, Demands()).headline


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("load", "not load the model"),
        ("resolve", "not find the operator"),
        ("prepare", "fail in AllocateTensors()"),
        ("invoke", "fail in Invoke()"),
    ],
)
def test_a_refusal_says_what_the_device_would_do(
    stage: Literal["load", "resolve", "prepare", "invoke"], step: str
) -> None:
    headline = turned_down(Refusal(stage, "GELU", 0, 0, "no kernel"))
    assert headline == f"TFLM would {step}: GELU #0: no kernel"


def test_a_refusal_of_the_model_as_a_whole_names_no_operator() -> None:
    headline = turned_down(Refusal("load", "", 0, -1, "its plan is too short"))
    assert headline == "TFLM would not load the model: its plan is too short"


def test_a_refusal_inside_a_subgraph_names_it_and_the_layer_there() -> None:
    layers = [replace(kws().layers[0], subgraph=number, name=f"in{number}") for number in (0, 1)]
    headline = turned_down(Refusal("prepare", "CONV_2D", 1, 0, "hybrid"), *layers)
    assert (
        headline == "TFLM would fail in AllocateTensors(): CONV_2D #0 of subgraph 1 (in1): hybrid"
    )


def test_a_long_layer_name_does_not_hide_the_reason() -> None:
    layer = replace(kws().layers[0], name="n" * 1000)
    headline = turned_down(Refusal("prepare", "CONV_2D", 0, 0, "hybrid"), layer)
    assert headline.endswith(f"CONV_2D #0 ({'n' * 59}…): hybrid")


def test_a_model_refused_before_planning_claims_no_ram() -> None:
    verdict = judge(measured(hybrid_model()), NANO, Demands())
    assert [measure.metric for measure in verdict.measures] == ["flash"]
    assert verdict.placed is None


def test_what_has_no_part_in_flash_has_no_flash_measure() -> None:
    verdict = judge(replace(kws(), flash_parts=()), NANO, Demands())
    assert [measure.metric for measure in verdict.measures] == ["ram"]


def test_a_model_refused_after_planning_says_where_its_arena_lies() -> None:
    refused = replace(kws(), refusals=(Refusal("invoke", "GELU", 0, 0, "no kernel"),))
    verdict, runs = judge(refused, NANO, Demands()), judge(kws(), NANO, Demands())
    assert verdict.outcome == "refused"
    assert (verdict.placed, verdict.measures) == (runs.placed, runs.measures)


def test_an_operator_that_tflm_lacks_is_refused_by_name() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("GELU", graph.input((1, 8), "FLOAT32")))
    verdict = judge(measured(maker), NANO, Demands())
    assert verdict.outcome == "refused"
    assert verdict.headline.startswith("TFLM would not find the operator: GELU #0")


# What would fix it


def fixes(
    content: bytes,
    budget: Budget,
    board: Board = NANO,
    *,
    costs: Mapping[str, OperatorCost] | None = None,
    runtime: Runtime = RUNTIME,
    **terms: Any,
) -> list[str]:
    """What the gate says would fix it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kws.tflite")
        path.write_bytes(content)
        pair = pair_of(path, board=board)
        location = Location("tinybudget.toml", 3)
        chosen = None if runtime is RUNTIME else DeclaredRuntime(runtime.name, runtime)
        model = replace(pair.model, budget=budget, runtime=chosen, operators=costs or {}, **terms)
        pair = replace(pair, location=location, model=model)
        return list(Gate(Workspace(cached=False)).check(pair).reasons)


def measured_on(model: Model, board: Board) -> Footprint:
    runtime = runtime_called(board.runtime, board.core)
    return measure(model, runtime.with_margin(board.flash_margin_percent))


def paired(verdict: Verdict, footprint: Footprint, board: Board) -> PairResult:
    return PairResult(
        id="tinybudget.toml::kws::board",
        model="kws",
        board=board.id,
        runtime=RUNTIME.name,
        outcome=verdict.outcome,
        headline=verdict.headline,
        reasons=(),
        declared_at="tinybudget.toml:3",
        measures=verdict.measures,
        footprint=footprint,
        placed=verdict.placed,
    )


def matching(lines: list[str], start: str) -> Iterator[str]:
    return (line for line in lines if line.startswith(start))


def short_of_ram(maker: ModelMaker, missing: int = 1) -> list[str]:
    """What is offered where the budget is ``missing`` bytes below what the model takes."""
    return fixes(maker.build(), Budget(ram=measured(maker).ram - missing))


def test_the_tensor_that_lowers_the_peak_first_is_named() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 1), name="small")
    large = graph.conv2d(image, filters=32)
    graph.output(graph.dense(large, units=2))
    lines = short_of_ram(maker)
    line = next(matching(lines, f"a smaller {graph.tensors[large].name}: with half of its "))
    assert line.endswith("the arena's peak is up to 1.0 KB lower, enough to fit")


def test_an_input_can_be_the_tensor_that_lowers_the_peak_first() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    picture = graph.input((1, 40, 40, 1), name="p" * 100)
    graph.output(graph.conv2d(picture, filters=1, stride=(8, 8)))
    line = next(matching(short_of_ram(maker, 900), "a smaller p"))
    shown = f"{'p' * 59}…"
    assert line == (
        f"a smaller {shown}: with half of its 1.6 KB the arena's peak is up to 800 B lower"
    )


def test_a_peak_that_several_moments_share_is_lowered_by_no_single_tensor() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.input((1, 4096))
    for _ in range(3):
        hidden = graph.logistic(hidden)
    graph.output(hidden)
    assert not list(matching(short_of_ram(maker), "a smaller"))


def test_an_arena_without_planned_tensors_has_none_to_make_smaller() -> None:
    arena = kws().arena
    assert arena is not None
    assert peak_relief(replace(arena, buffers=(), head=0)) is None


def test_where_only_setting_up_needs_the_arena_no_smaller_tensor_is_asked_for() -> None:
    """The device takes 21,280 bytes for it, of which it uses 9,668."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 1, 1, 8)), filters=1024, kernel=(1, 1)))
    parts = {part.name: part for part in measured(maker).ram_parts}
    set_up = parts["arena: room to set up"]
    assert (set_up.bytes, set_up.note) == (21_280 - 9_668, "decided by preparing CONV_2D #0")
    assert not list(matching(short_of_ram(maker), "a smaller"))


def autoencoder(*, per_channel: bool, custom: bool = False, inputs: int = 64) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.dense(graph.input((1, inputs)), units=128, per_channel=per_channel)
    result = graph.dense(hidden, units=64, per_channel=per_channel)
    if custom:
        filtered = graph.tensor((1, 64))
        graph.operator("AcmeFilter", (result,), (filtered,), {}, custom_options=b"\0")
        result = filtered
    graph.output(result)
    return maker.build()


@pytest.mark.parametrize("custom", [False, True])
def test_dense_layers_per_channel_are_named_with_what_they_cost(custom: bool) -> None:
    costs = {"AcmeFilter": OperatorCost(persistent=64, scratch=200)}
    contents = [autoencoder(per_channel=each, custom=custom) for each in (True, False)]
    firmware = Firmware(RUNTIME).with_costs(costs)
    costly, cheap = (measure(model_of(each), firmware) for each in contents)
    saved = costly.ram - cheap.ram
    assert saved > 0
    lines = fixes(contents[0], Budget(ram=cheap.ram), costs=costs)
    line = next(matching(lines, "dense layers quantized per tensor"))
    assert f"saves {format_size(saved)} of RAM, then RAM fits" in line
    assert not list(matching(fixes(contents[1], Budget(ram=100), costs=costs), "dense layers"))


@pytest.mark.parametrize("inputs", [64, 24_000])
def test_a_pair_that_passes_hears_of_dense_layers_that_cost_a_kilobyte_or_a_twentieth(
    inputs: int,
) -> None:
    costs = {"AcmeFilter": OperatorCost(persistent=64, scratch=200)}
    models = [
        model_of(autoencoder(per_channel=each, custom=True, inputs=inputs))
        for each in (True, False)
    ]
    firmware = Firmware(RUNTIME).with_costs(costs)
    cheap = measure(models[1], firmware).arena
    assert cheap is not None
    most = min(1024, cheap.required // 19)  # of both together it is a twentieth
    for saved in (most, most + 1):
        arena = replace(cheap, required=cheap.required + saved)
        hint = f"per_channel_dense = false would save {format_size(saved)} of arena"
        expected = (hint,) if saved > most else ()
        assert per_tensor_hints(arena, models[0], firmware) == expected


def test_a_budget_that_the_board_has_room_for_may_be_raised() -> None:
    lines = fixes(keyword_model(), Budget(flash=1024, ram=1024))
    line = next(matching(lines, "arduino-nano-33-ble itself has room"))
    flash, ram = (int(number) * 1024 for number in re.findall(r'"(\d+) KB"', line))
    assert judge(kws(), NANO, Demands(Budget(flash, ram))).outcome == "fits"
    assert judge(kws(), NANO, Demands(Budget(flash - 1024, ram - 1024))).outcome == "over"


def offered(
    footprint: Footprint, budget: Budget, board: Board = NANO, **boards: Board
) -> list[str]:
    """What is offered to a model that takes ``footprint``; elsewhere it takes what ``kws`` does."""
    result = paired(judge(footprint, board, Demands(budget)), footprint, board)
    measured = partial(measured_on, model_of(keyword_model()))
    return list(more_room(result, board, Demands(budget), boards, measured))


@pytest.mark.parametrize(("used", "enough"), [(9 * 1024, "9 KB"), (9 * 1024 + 1, "10 KB")])
def test_a_raised_budget_is_in_whole_kilobytes_and_of_what_is_over_alone(
    used: int, enough: str
) -> None:
    parts = (Part("runtime", used, "exact"),)
    footprint = replace(kws(), flash_parts=parts, ram_parts=parts, arena=None)
    room = "arduino-nano-33-ble itself has room: a budget of"
    both = f'{room} {{ flash = "{enough}", ram = "{enough}" }} is enough'
    assert offered(footprint, Budget(flash=used - 1, ram=used - 1)) == [both]
    flash = f'{room} {{ flash = "{enough}" }} is enough'
    assert offered(footprint, Budget(flash=used - 1, ram=used)) == [flash]


def test_a_budget_on_a_board_with_an_unchecked_figure_may_be_raised_as_well() -> None:
    uno = find_board("arduino-uno-r4")
    assert not uno.verified
    (line,) = offered(kws(), Budget(ram=1024), uno)
    assert line.startswith("arduino-uno-r4 itself has room")


def test_what_was_measured_without_an_arena_is_offered_a_board_by_its_sizes() -> None:
    small = replace(NANO, id="small", ram=1024, largest_ram=1024, reserved_ram=0, regions=())
    (line,) = offered(replace(kws(), arena=None), Budget(), small, nano=NANO)
    assert line == (
        "smallest board with room for it: arduino-nano-33-ble, 1.00 MB flash, 256.0 KB RAM"
    )


def named_boards(lines: list[str]) -> list[str]:
    """Ids of the line that names boards, the smallest first."""
    line = next(matching(lines, "smallest board with room for it: "))
    smallest, _, larger = line.partition(": ")[2].partition(" (and")[0].partition(", then ")
    return [smallest.partition(",")[0], *filter(None, larger.split(", "))]


def test_the_smallest_board_with_room_is_named_where_this_one_has_not() -> None:
    model = model_of(keyword_model())
    small = replace(NANO, id="small", ram=1024, largest_ram=1024, reserved_ram=0, regions=())
    named = named_boards(fixes(keyword_model(), Budget(), small))
    fitting = [
        board
        for board in catalog().values()
        if board.verified and judge(measured_on(model, board), board, Demands()).outcome != "over"
    ]
    fitting.sort(key=lambda board: (board.ram, board.flash, board.id))
    assert named == [board.id for board in fitting[:3]]


def test_a_board_with_another_core_is_measured_for_it() -> None:
    small = replace(NANO, id="small", ram=1024, largest_ram=1024, reserved_ram=0, regions=())
    pico = find_board("raspberry-pi-pico")
    taken = measured_on(model_of(keyword_model()), pico).flash
    just = replace(pico, usable_flash=pico.reserved_flash + taken)
    short = replace(just, usable_flash=just.usable_flash - 1)
    assert taken != kws().flash
    assert named_boards(offered(kws(), Budget(), small, pico=just)) == [pico.id]
    assert not offered(kws(), Budget(), small, pico=short)


def test_an_unverified_board_is_no_remedy() -> None:
    small = replace(NANO, id="small", ram=1024, largest_ram=1024, reserved_ram=0, regions=())
    named = named_boards(fixes(keyword_model(), Budget(), small))
    uno = find_board("arduino-uno-r4")
    roomy = judge(measured_on(model_of(keyword_model()), uno), uno, Demands())
    assert not uno.verified
    assert roomy.outcome == "warns"
    assert uno.ram < find_board(named[0]).ram
    assert all(find_board(name).verified for name in named)


def test_another_board_is_no_remedy_alone_where_the_budget_is_too_small_as_well() -> None:
    small = replace(NANO, id="small", flash=1024, usable_flash=1024, reserved_flash=0)
    lines = fixes(keyword_model(), Budget(flash=2048, ram=1024), small)
    line = next(matching(lines, "smallest board with room for it: "))
    flash, ram = (int(number) * 1024 for number in re.findall(r'"(\d+) KB"', line))
    assert judge(kws(), NANO, Demands(Budget(flash, ram))).outcome in ("fits", "warns")
    assert judge(kws(), NANO, Demands(Budget(2048, ram))).outcome == "over"


def test_the_cost_of_an_unknown_operator_is_asked_for() -> None:
    asked = (
        f"state what {EDGE_TPU} costs: [runtime.ops.{EDGE_TPU}] "
        'persistent = "…", scratch = "…", flash = "…"'
    )
    content = custom_model(EDGE_TPU).build()
    assert asked in fixes(content, Budget(), strict=True, runtime=RUNTIME.beside("edge-tpu"))


def test_full_int8_is_what_a_float_model_is_asked_for() -> None:
    (line,) = fixes(float_model().build(), Budget(), require_int8=True)
    assert line == 'convert to full INT8, or set require_int8 = "warn" (tinybudget.toml:3)'


def test_the_cost_of_an_operator_that_is_stated_is_not_asked_for_again() -> None:
    maker = custom_model()
    stated = {"AcmeFilter": OperatorCost()}
    graph = maker.graphs[0]
    graph.output(graph.input((1, 8), "FLOAT32"))
    lines = fixes(maker.build(), Budget(), costs=stated, require_int8=True)
    assert list(matching(lines, "convert to full INT8"))
    assert not list(matching(lines, "state what"))


def test_strict_names_an_estimated_stack_and_how_to_state_it() -> None:
    estimated = Part("stack", 2048, "estimated")
    footprint = replace(kws(), ram_parts=(estimated,))
    terms = Demands(strict=True)
    verdict = judge(footprint, NANO, terms)
    assert verdict.headline.startswith("strict: not exact: stack is estimated; ")
    result = paired(verdict, footprint, NANO)
    (line,) = unmet_requirements(result, [model_of(keyword_model())], terms)
    assert line == 'state the stack that you measured: stack = "…" (tinybudget.toml:3)'
    assert not list(unmet_requirements(result, [model_of(keyword_model())], Demands()))
