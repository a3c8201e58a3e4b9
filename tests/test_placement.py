"""Which memory arena and model lie in: limits of their own, arrays, split arenas, the C files."""

from __future__ import annotations

import datetime
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import truth
from conftest import keyword_model
from msgspec.structs import replace
from rendered import render
from rendered import render_array

from pytest_tinybudget.api import check
from pytest_tinybudget.artifacts import write
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.baseline.compare import compare
from pytest_tinybudget.baseline.history import Entry
from pytest_tinybudget.baseline.history import history
from pytest_tinybudget.boards import Board
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.boards.board import Region
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import Budget
from pytest_tinybudget.declaration import MaxIncrease
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.declaration.problems import DeclarationError
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.arena import simulate_multitenant
from pytest_tinybudget.footprint.layout import STORED_MODEL
from pytest_tinybudget.footprint.layout import laid_out
from pytest_tinybudget.footprint.layout import model_in_flash
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import GroupArena
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.gate.artifacts import Artifacts
from pytest_tinybudget.gate.groups import combine
from pytest_tinybudget.gate.growth import GrowthRules
from pytest_tinybudget.gate.growth import with_growth
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.report import csv
from pytest_tinybudget.report import html
from pytest_tinybudget.report import markdown
from pytest_tinybudget.report import openmetrics
from pytest_tinybudget.report.terminal import failure
from pytest_tinybudget.results import writer
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.reader import own_results
from pytest_tinybudget.results.reader import read_results
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.placement import ModelPlacement
from pytest_tinybudget.runtimes.placement import ModelStorage
from pytest_tinybudget.runtimes.placement import Placements
from pytest_tinybudget.runtimes.placement import SplitPlacement
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


RUNTIME = RUNTIMES["m4_cmsisnn"]
NANO, CAMERA = find_board("arduino-nano-33-ble"), find_board("esp32-cam")
SPLIT = Placements(SplitPlacement("static", "psram"))


@cache
def keyword() -> Model:
    return read_model(keyword_model(), "kws")


@cache
def placed(placements: Placements = Placements()) -> Footprint:  # noqa: B008
    return measure(keyword(), Firmware(RUNTIME, placements=placements))


def verdict_of(placements: Placements, board: Board = CAMERA, **budget: int) -> Any:
    terms = Demands(Budget(**budget), placement=placements.arena)
    return judge(placed(placements), board, terms)


def sizes(verdict: Any) -> dict[str, int]:
    return {measure.metric: measure.used for measure in verdict.measures}


# RAM on the chip, and external RAM.


def test_external_ram_has_a_use_and_a_limit_of_its_own() -> None:
    chip = placed()
    assert chip.arena is not None
    used = sizes(verdict_of(Placements("psram")))
    assert used["psram"] == chip.arena.required
    assert used["ram"] == chip.ram - chip.arena.required


def test_a_budget_of_external_ram_counts_what_lies_there_alone() -> None:
    used = placed(Placements("psram")).psram
    assert verdict_of(Placements("psram"), psram=used).outcome == "fits"
    over = verdict_of(Placements("psram"), psram=used - 1)
    assert over.outcome == "over"
    assert over.headline.startswith("PSRAM over by 1 B")


def test_what_lies_on_the_chip_has_no_use_of_external_ram() -> None:
    assert "psram" not in sizes(verdict_of(Placements(), psram=0))


# The arena alone.


def test_a_budget_of_the_arena_counts_the_number_that_firmware_states() -> None:
    arena = placed().arena
    assert arena is not None
    settings = render(keyword(), name="kws", footprints=[placed()])["kws_model_settings.h"]
    assert f"#define KWS_TENSOR_ARENA_SIZE {arena.required}".encode() in settings
    fits = verdict_of(Placements(), NANO, arena=arena.required)
    assert (fits.outcome, sizes(fits)["arena"]) == ("fits", arena.required)
    over = verdict_of(Placements(), NANO, arena=arena.required - 16)
    assert over.headline.startswith("arena over by 16 B")


def test_without_a_budget_the_arena_is_not_measured_again() -> None:
    assert list(sizes(verdict_of(Placements(), NANO))) == ["flash", "ram"]


@pytest.mark.parametrize(
    ("placements", "metric"), [(Placements(), "persistent_arena"), (SPLIT, "arena")]
)
def test_a_budget_is_for_the_arena_that_there_is(placements: Placements, metric: str) -> None:
    with pytest.raises(TinybudgetError, match=rf"^budget\.{metric}: the arena is "):
        verdict_of(placements, **{metric: 10**6})


# Where the model lies.


@pytest.mark.parametrize(
    ("where", "storage", "flash", "ram", "psram"),
    [
        ("flash", "flash", 1, 0, 0),
        ("ram", "flash", 1, 1, 0),
        ("ram", "external", 0, 1, 0),
        ("psram", "flash", 1, 0, 1),
        ("psram", "external", 0, 0, 1),
    ],
)
def test_a_model_counts_where_its_bytes_lie(
    where: ModelPlacement, storage: ModelStorage, flash: int, ram: int, psram: int
) -> None:
    size, before = keyword().bytes, placed()
    after = placed(Placements("static", where, storage))
    assert after.flash == before.flash + (flash - 1) * size
    assert after.ram == before.ram + ram * size
    assert after.psram == psram * size
    assert model_in_flash(after) == flash * size


def test_a_model_in_ram_that_flash_fills_says_so_at_the_part() -> None:
    stored = placed(Placements("static", "ram")).flash_parts[0]
    assert (stored.name, stored.bytes) == (STORED_MODEL, keyword().bytes)
    assert "start" in stored.note


def test_laying_out_twice_moves_nothing_more() -> None:
    where = Placements("psram", "ram")
    assert laid_out(placed(where), where) == placed(where)
    back = laid_out(placed(Placements("psram")), Placements())
    assert back == placed()


def test_a_board_without_external_ram_cannot_hold_a_model_there() -> None:
    with pytest.raises(TinybudgetError, match=r"^placement_model = \"psram\": arduino-nano-33-ble"):
        verdict_of(Placements("static", "psram"), NANO)


# What must lie in one piece.


def blocks(*sizes_bytes: int) -> Board:
    """A board whose RAM is blocks of these sizes."""
    regions = tuple(
        Region(f"R{number}", "sram", size, size) for number, size in enumerate(sizes_bytes)
    )
    ram, largest = sum(sizes_bytes), max(sizes_bytes)
    return replace(NANO, regions=regions, ram=ram, largest_ram=largest, reserved_ram=0)


def test_arena_and_model_in_ram_may_lie_in_a_block_each() -> None:
    where = Placements("static", "ram")
    arena = placed().arena
    assert arena is not None
    model = keyword().bytes
    rest = placed(where).ram - arena.required - model
    verdict = verdict_of(where, blocks(max(arena.required, model), model + arena.required + rest))
    assert verdict.outcome == "fits"
    assert {place.name for place in (verdict.placed, *verdict.arrays)} == {"arena", "model"}


def test_blocks_that_hold_all_bytes_but_not_all_arrays_are_too_small() -> None:
    where = Placements("static", "ram")
    arena, model = placed().arena, keyword().bytes
    assert arena is not None
    small, large = sorted((arena.required, model))
    room = [small // 4] * 8  # as many bytes as the smaller takes, and more, but in no one piece
    assert verdict_of(where, blocks(large + small, *room)).outcome == "fits"
    assert verdict_of(where, blocks(large + small - 16, *room, small)).outcome == "fits"
    tight = blocks(large + small - 16, *room)
    assert tight.ram_room > placed(where).ram
    verdict = verdict_of(where, tight)
    assert verdict.headline.startswith("RAM over by 16 B")
    assert "must each lie in one block of RAM" in verdict.measures[1].limit_note


def test_many_arrays_are_laid_out_without_trying_every_way() -> None:
    models = {f"m{number}": keyword() for number in range(12)}
    where = [Placements()] * len(models)
    group = combine(
        models,
        [placed()] * len(models),
        Firmware(RUNTIME),
        arena="sum",
        placements=where,
    )
    arena = placed().arena
    assert arena is not None
    rest = group.ram - 12 * arena.required
    enough = blocks(*[3 * arena.required] * 4, rest)
    assert judge(group, enough, Demands()).outcome == "fits"
    short = blocks(*[3 * arena.required - 16] * 4, rest + 64)
    assert judge(group, short, Demands()).headline.startswith("RAM over by 16 B")


# A split arena.


@cache
def measured_splits() -> dict[str, dict[str, int]]:
    file = Path(__file__).parent / "data" / "truth" / "split_m4_ref.jsonl"
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    return {row.pop("model"): row for row in rows}


def test_both_parts_of_a_split_arena_are_the_smallest_that_work_on_a_cortex_m4() -> None:
    """Each model ran with buffers of these sizes, and failed with 16 bytes less of either."""
    models = truth.packed_models()
    firmware, found = Firmware(RUNTIMES["m4_ref"], placements=SPLIT), {}
    for name in measured_splits():
        arena = simulate(read_model(models[name], name), firmware).arena
        assert arena is not None
        assert arena.split is not None
        found[name] = {
            "persistent": arena.split.persistent,
            "non_persistent": arena.split.non_persistent,
            "arena_used": arena.used,
        }
    assert len(found) > 150
    assert found == measured_splits()


def test_a_split_arena_has_other_allocators_than_one() -> None:
    one, two = placed().arena, placed(SPLIT).arena
    assert one is not None
    assert two is not None
    assert two.head == one.head
    assert two.tail != one.tail  # 16 + 32 bytes of allocators instead of 36
    assert two.split is not None
    assert two.required == two.split.persistent + two.split.non_persistent
    assert two.split.persistent % 16 == two.split.non_persistent % 16 == 0


def test_the_parts_of_a_split_arena_count_in_their_own_memories() -> None:
    arena = placed(SPLIT).arena
    assert arena is not None
    assert arena.split is not None
    used = sizes(verdict_of(SPLIT))
    besides = placed().ram - sum(
        part.bytes for part in placed().ram_parts if part.name.startswith("arena")
    )
    assert used["ram"] == besides + arena.split.persistent
    assert used["psram"] == arena.split.non_persistent


@pytest.mark.parametrize("metric", ["persistent_arena", "non_persistent_arena"])
def test_each_part_of_a_split_arena_has_a_budget_of_its_own(metric: str) -> None:
    arena = placed(SPLIT).arena
    assert arena is not None
    split = {
        "persistent_arena": arena.split.persistent,  # type: ignore[union-attr]
        "non_persistent_arena": arena.split.non_persistent,  # type: ignore[union-attr]
    }
    fits = verdict_of(SPLIT, **{metric: split[metric]})
    assert (fits.outcome, sizes(fits)[metric]) == ("fits", split[metric])
    over = verdict_of(SPLIT, **{metric: split[metric] - 16})
    assert over.headline.startswith(f"{LABELS[metric]} over by 16 B")  # type: ignore[index]


def test_where_both_parts_lie_is_told() -> None:
    verdict = verdict_of(SPLIT)
    assert verdict.placed is None
    assert [(place.name, place.placement) for place in verdict.arrays] == [
        ("persistent arena", "static"),
        ("non-persistent arena", "psram"),
    ]


def test_another_estimator_cannot_say_what_a_split_arena_takes() -> None:
    workspace = Workspace(cached=False, estimator=lambda _model, _runtime: placed())
    with pytest.raises(TinybudgetError, match=r"^a split arena: another estimator"):
        workspace.footprint(keyword(), Firmware(RUNTIME, placements=SPLIT))


def test_interpreters_that_share_a_split_allocator_add_up_what_persists_alone() -> None:
    one = simulate(keyword(), Firmware(RUNTIME, placements=SPLIT)).arena
    both = simulate_multitenant([keyword(), keyword()], Firmware(RUNTIME, placements=SPLIT))
    assert one is not None
    assert both is not None
    assert one.split is not None
    assert both.split is not None
    assert both.split.non_persistent == one.split.non_persistent
    allocators = 16 + 32 + 44 + 36
    assert both.tail == pytest.approx(2 * one.tail - allocators, abs=64)
    assert both.tail > one.tail


@pytest.mark.parametrize(("arena", "persistent", "non_persistent"), [("max", 1, 1), ("sum", 2, 2)])
def test_a_group_shares_both_parts_as_it_shares_one(
    arena: GroupArena, persistent: int, non_persistent: int
) -> None:
    models = {"kws": keyword(), "vad": keyword()}
    group = combine(
        models,
        [placed(SPLIT)] * 2,
        Firmware(RUNTIME),
        arena=arena,
        placements=[SPLIT, SPLIT],
    )
    one = placed(SPLIT).arena
    assert one is not None
    assert isinstance(one.split, SplitArena)
    assert group.psram == non_persistent * one.split.non_persistent
    held = [part for part in group.ram_parts if part.name.startswith("persistent arena")]
    assert sum(part.bytes for part in held) == persistent * one.split.persistent


def test_a_group_counts_each_model_where_it_lies() -> None:
    where = [Placements(), Placements("static", "psram", "external")]
    group = combine(
        {"kws": keyword(), "vad": keyword()},
        [placed(each) for each in where],
        Firmware(RUNTIME),
        arena="max",
        placements=where,
    )
    assert model_in_flash(group) == keyword().bytes
    assert group.psram == keyword().bytes


# The declaration.


@pytest.fixture
def declared(tmp_path: Path) -> Callable[..., list[PairResult]]:
    """The results of a declaration of the keyword model on an ESP32-CAM."""
    (tmp_path / "kws.tflite").write_bytes(keyword_model())

    def results(lines: str = "", **files: str) -> list[PairResult]:
        head = '[models.kws]\nsource = "kws.tflite"\nboards = ["esp32-cam"]\n'
        (tmp_path / "tinybudget.toml").write_text(f"schema = 1\n{head}{lines}\n", "utf-8")
        declaration = load_declaration(tmp_path / "tinybudget.toml")
        gate = Gate(Workspace(cached=False))
        return [gate.check(pair) for pair in pairs("tinybudget.toml", declaration)]

    return results


def test_a_declaration_places_arena_and_model(declared: Any) -> None:
    (result,) = declared(
        'placement = { persistent = "static", non_persistent = "psram" }\n'
        'placement_model = "psram"\nstorage_model = "external"\n'
        'budget = { psram = "2 MB", persistent_arena = "64 KB" }'
    )
    assert result.outcome in ("fits", "warns")
    used = {measure.metric: measure.used for measure in result.measures}
    assert list(used) == ["flash", "ram", "psram", "persistent_arena"]
    assert used["psram"] > keyword().bytes
    assert {place.name for place in result.arrays} == {
        "persistent arena", "non-persistent arena", "model",
    }  # fmt: skip


SPLIT_KEY = 'placement = { persistent = "static", non_persistent = "psram" }\n'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('budget = { persistent_arena = "1 KB" }', "the arena is not split"),
        (
            SPLIT_KEY + 'budget = { arena = "1 KB" }',
            "the arena is split",
        ),
        ('storage_model = "external"', "is for a model that lies in RAM"),
        ('placement = { persistent = "static" }', "'non_persistent' is missing"),
        ('placement = "sdram"', 'expected "static", "heap" or "psram"'),
        ('placement_model = "sd"', "placement_model: expected"),
    ],
)
def test_a_contradiction_names_its_line(declared: Any, lines: str, expected: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        declared(lines)
    assert expected in str(caught.value)


def test_an_agreement_lets_the_arena_pass(declared: Any) -> None:
    agreed = '[[models.kws.accept]]\nmetric = "arena"\nup_to = "1 MB"\nreason = "new words"\n'
    (over,) = declared('budget = { arena = "1 KB" }')
    assert over.codes == ("TB005",)
    (result,) = declared(f'budget = {{ arena = "1 KB" }}\n{agreed}until = 2999-12-31')
    assert result.outcome == "warns"
    assert result.accepted[0].metric == "arena"


@pytest.mark.parametrize("metric", ["psram", "arena"])
def test_growth_of_a_size_with_a_budget_is_held(declared: Any, metric: Any) -> None:
    (result,) = declared(f'placement = "psram"\nbudget = {{ {metric} = "1 MB" }}')
    shrunk = tuple(
        replace(each, used=each.used - 32) if each.metric == metric else each
        for each in result.measures
    )
    base = replace(result, measures=shrunk)
    allowed = GrowthRules("models.kws", MaxIncrease(bytes=16), (), datetime.date(2026, 1, 1))
    grown = with_growth(result, base, allowed)
    assert (grown.outcome, grown.grown) == ("unmet", (metric,))
    assert grown.headline.startswith(f"{LABELS[metric]} grew 32 B")
    within = GrowthRules("models.kws", MaxIncrease(bytes=32), (), datetime.date(2026, 1, 1))
    assert not with_growth(result, base, within).grown


def test_advice_on_a_model_in_ram_names_flash(declared: Any) -> None:
    (result,) = declared('placement_model = "ram"\nbudget = { ram = "6 KB" }')
    assert result.outcome == "over"
    assert any(line.startswith('placement_model = "flash"') for line in result.reasons)


# Reports.


@pytest.fixture
def split_result(declared: Any) -> PairResult:
    (result,) = declared(
        'placement = { persistent = "static", non_persistent = "psram" }\n'
        'budget = { psram = "2 MB", persistent_arena = 16, non_persistent_arena = "1 MB" }'
    )
    return result


def test_a_results_file_keeps_every_size(split_result: PairResult) -> None:
    text = writer.render([split_result])
    (back,) = read_results(text.encode(), "results").pairs
    assert [each.used for each in back.measures] == [each.used for each in split_result.measures]
    assert [each.metric for each in back.measures] == [
        each.metric for each in split_result.measures
    ]
    assert back.arrays == split_result.arrays
    assert back.footprint is not None
    assert split_result.footprint is not None
    assert back.footprint.arena == split_result.footprint.arena
    assert back.footprint.psram == split_result.footprint.psram


def test_every_report_has_every_size(split_result: PairResult) -> None:
    texts = {
        "failure": failure(split_result),
        "markdown": markdown.render([split_result]),
        "html": html.render([split_result]),
    }
    for name, text in texts.items():
        for label in ("PSRAM", "persistent arena", "non-persistent arena"):
            assert label in text, (name, label)
    metrics, table = openmetrics.render([split_result]), csv.render([split_result])
    for metric in ("psram", "persistent_arena", "non_persistent_arena"):
        assert f"\ntinybudget_{metric}_limit_bytes{{" in metrics
        assert f"{metric}_used," in table


def test_columns_that_no_pair_needs_are_left_out(declared: Any) -> None:
    (result,) = declared()
    text = markdown.render([result])
    assert "PSRAM" not in text
    assert "psram" not in openmetrics.render([result])


def test_a_comparison_has_the_delta_of_every_size(split_result: PairResult) -> None:
    grown = replace(
        split_result,
        measures=tuple(replace(each, used=each.used + 16) for each in split_result.measures),
    )
    (change,) = compare(own_results([split_result], "base"), own_results([grown], "head")).changes
    assert [(delta.metric, delta.bytes) for delta in change.deltas] == [
        (measure.metric, 16) for measure in split_result.measures
    ]


def test_a_key_of_a_results_file_is_of_one_metric() -> None:
    assert len(set(RESULT_KEYS.values())) == len(RESULT_KEYS)


# The API.


def test_the_api_places_arena_and_model(tmp_path: Path) -> None:
    path = tmp_path / "kws.tflite"
    path.write_bytes(keyword_model())
    result = check(
        path,
        board="esp32-cam",
        placement={"persistent": "static", "non_persistent": "psram"},
        placement_model="ram",
        budget={"non_persistent_arena": "1 MB", "psram": "1 MB"},
    )
    assert not result.failed
    assert {measure.metric for measure in result.measures} == {
        "flash", "ram", "psram", "non_persistent_arena",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"placement": "psrm"}, "did you mean 'psram'"),
        ({"placement": {"persistent": "static"}}, "needs 'non_persistent' as well"),
        ({"placement": {"persistant": "static"}}, "did you mean 'persistent'"),
        ({"placement_model": "falsh"}, "did you mean 'flash'"),
        ({"storage_model": "external"}, "is for a model that lies in RAM"),
    ],
)
def test_the_api_names_what_it_does_not_know(
    tmp_path: Path, arguments: dict[str, Any], expected: str
) -> None:
    path = tmp_path / "kws.tflite"
    path.write_bytes(keyword_model())
    with pytest.raises(TinybudgetError, match=re.escape(expected)):
        check(path, board="esp32-cam", **arguments)


# The C files.


def test_the_constants_have_both_sizes_of_a_split_arena() -> None:
    split = placed(SPLIT).arena.split  # type: ignore[union-attr]
    assert split is not None
    text = render(keyword(), name="kws", footprints=[placed(SPLIT)])["kws_model_settings.h"]
    assert f"#define KWS_PERSISTENT_ARENA_SIZE {split.persistent}\n".encode() in text
    assert f"#define KWS_NON_PERSISTENT_ARENA_SIZE {split.non_persistent}\n".encode() in text
    assert b"TENSOR_ARENA_SIZE" not in text


def test_the_array_of_a_model_in_ram_is_not_const() -> None:
    files = render_array(keyword(), "kws", placements=Placements("static", "ram"))
    assert b"\nalignas(16) unsigned char g_kws_model_data[] = {" in files["kws_model_data.cc"]
    assert b"const" not in files["kws_model_data.cc"]
    assert b"extern unsigned char g_kws_model_data[];" in files["kws_model_data.h"]


def test_a_model_from_elsewhere_is_a_buffer_and_a_file() -> None:
    where = Placements("static", "ram", "external")
    files = render_array(keyword(), "kws", placements=where)
    assert files["kws_model_data.tflite"] == keyword().content
    size = keyword().bytes
    assert f"unsigned char g_kws_model_data[{size}];".encode() in files["kws_model_data.cc"]
    assert b"0x" not in files["kws_model_data.cc"]


def test_a_model_above_a_megabyte_in_ram_is_included_as_data() -> None:
    model = replace(keyword(), content=bytes(1024**2 + 1))
    files = render_array(model, "large", placements=Placements("static", "ram"))
    assert b'.section .data.g_large_model_data, "aw"' in files["large_model_data.S"]
    psram = render_array(model, "large", placements=Placements("static", "psram"))
    assert b'.section .rodata.g_large_model_flash, "a"' in psram["large_model_data.S"]


GCC = "arm-none-eabi-gcc"
CASES = [
    (Placements("static", where, storage), expected)  # type: ignore[arg-type]
    for where, storage, expected in (
        ("flash", "flash", {"r": "g_kws_model_data"}),
        ("ram", "flash", {"d": "g_kws_model_data"}),
        ("ram", "external", {"b": "g_kws_model_data"}),
        ("psram", "flash", {"r": "g_kws_model_flash", "psram": "g_kws_model_data"}),
        ("psram", "external", {"psram": "g_kws_model_data"}),
    )
]


@pytest.mark.skipif(shutil.which(GCC) is None, reason=f"no {GCC}")
@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize(("where", "expected"), CASES)
def test_a_compiler_puts_the_model_where_it_is_declared(
    tmp_path: Path, where: Placements, expected: dict[str, str], language: Any
) -> None:
    write(tmp_path, render_array(keyword(), "kws", language, where))
    use = "#include <kws_model_data.h>\nint main(void) {\n"
    if where.model == "psram" and where.model_storage == "flash":
        use += "  kws_model_load();\n"
    use += "  return g_kws_model_data[0];\n}\n"
    suffix = "c" if language == "c" else "cc"
    (tmp_path / f"main.{suffix}").write_text(use)
    attribute = '-DTINYBUDGET_PSRAM=__attribute__((section(".psram")))'
    flags = ["-mcpu=cortex-m4", "-mthumb", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I."]
    for source in (f"kws_model_data.{suffix}", f"main.{suffix}"):
        command = [GCC, *flags, attribute, "-c", source, "-o", f"{source}.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        ["arm-none-eabi-nm", "-f", "sysv", f"kws_model_data.{suffix}.o"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    sections = {"r": ".rodata", "d": ".data", "b": ".bss", "psram": ".psram"}
    for kind, symbol in expected.items():
        line = next(line for line in listed.splitlines() if line.startswith(symbol))
        assert line.rsplit("|", 1)[-1].strip().startswith(sections[kind])


@pytest.mark.skipif(shutil.which(GCC) is None, reason=f"no {GCC}")
def test_external_ram_must_be_named_to_the_compiler(tmp_path: Path) -> None:
    write(tmp_path, render_array(keyword(), "kws", "c", Placements("static", "psram")))
    command = [GCC, "-mcpu=cortex-m4", "-c", "kws_model_data.c", "-o", "x.o"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "define TINYBUDGET_PSRAM" in done.stderr


def test_artifacts_of_a_declaration_follow_the_placement(declared: Any, tmp_path: Path) -> None:
    declared('placement_model = "ram"\nstorage_model = "external"')
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    (pair,) = pairs("tinybudget.toml", declaration)
    assert isinstance(pair, Pair)
    Artifacts().write_c_files(pair, tmp_path / "out", Workspace(cached=False))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert "kws_model_data.tflite" in names


# The command line.


def test_inspect_shows_both_parts_and_both_memories(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kws.tflite").write_bytes(keyword_model())
    arguments = ["inspect", str(tmp_path / "kws.tflite"), "--board", "esp32-cam"]
    assert main([*arguments, "--placement", "static,psram", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    split = found["arena"]["split"]
    assert found["psram"]["used"] == split["non_persistent"]
    assert main([*arguments, "--placement", "static,psram"]) == 0
    text = capsys.readouterr().out
    assert f"{split['persistent']:,} B  the smallest buffer" in text
    assert "PSRAM: " in text


@pytest.mark.parametrize("places", ["sttaic", "static,psram,heap", "static,nowhere"])
def test_a_place_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], places: str
) -> None:
    (tmp_path / "kws.tflite").write_bytes(keyword_model())
    assert main(["inspect", str(tmp_path / "kws.tflite"), "--placement", places]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_carray_writes_what_the_placement_needs(tmp_path: Path) -> None:
    (tmp_path / "kws.tflite").write_bytes(keyword_model())
    where = ["--placement", "static,psram", "--placement-model", "psram"]
    out = tmp_path / "out"
    assert main(["carray", str(tmp_path / "kws.tflite"), *where, "-o", str(out)]) == 0
    assert "KWS_NON_PERSISTENT_ARENA_SIZE" in (out / "kws_model_settings.h").read_text()
    assert "kws_model_load" in (out / "kws_model_data.h").read_text()


def test_budgets_of_arenas_are_tightened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kws.tflite").write_bytes(keyword_model())
    lines = [
        "schema = 1",
        "[models.kws]",
        'source = "kws.tflite"',
        'boards = ["esp32-cam"]',
        'placement = "psram"',
        'budget = { arena = "1 MB", psram = "2 MB" }',
    ]
    (tmp_path / "tinybudget.toml").write_text("\n".join(lines), "utf-8")
    assert main(["tighten", str(tmp_path), "--margin", "0%"]) == 0
    capsys.readouterr()
    declaration = load_declaration(tmp_path / "tinybudget.toml")
    budget = declaration.models["kws"].budget
    gate = Gate(Workspace(cached=False))
    (pair,) = pairs("tinybudget.toml", declaration)
    used = {each.metric: each.used for each in gate.check(pair).measures}
    assert budget.arena is not None
    assert budget.psram is not None
    assert used["arena"] <= budget.arena < used["arena"] + 1024
    assert used["psram"] <= budget.psram < used["psram"] + 1024


def test_the_history_has_a_trend_of_every_size(split_result: PairResult) -> None:
    results = own_results([split_result], "one")
    trends = history([Entry("one", results), Entry("two", results)]).trends
    assert [trend.metric for trend in trends] == [each.metric for each in split_result.measures]
