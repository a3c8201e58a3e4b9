"""RAM of a TFLM whose version nobody has said: an estimate that no version exceeds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.history import bracket
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version
from pytest_tinybudget.workspace import Workspace


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
FILES = sorted((SHARED / "tflm" / "versions").glob("arena_*.jsonl"))
by_version = pytest.mark.parametrize(
    "file",
    FILES or [pytest.param(Path(), marks=pytest.mark.skip("the measurements are not at hand"))],
    ids=lambda path: path.stem,
)


def of_version(runtime: str, tflm: Tflm) -> Runtime:
    """A shipped runtime with another version of TFLM."""
    return replace(RUNTIMES[runtime], tflm=tflm)


def graph_model() -> tuple[ModelMaker, Graph]:
    maker = ModelMaker()
    return maker, maker.graph()


def margin_of(maker: ModelMaker, runtime: str = "m4_cmsisnn") -> tuple[int, int]:
    """What an unknown version adds to head and tail beyond the structs, bytes."""
    model = read_model(maker.build(), "model")
    known = _arena(simulate(model, of_version(runtime, Tflm(static_memory=False))))
    unknown = _arena(simulate(model, of_version(runtime, Tflm(Version("")))))
    return unknown.head - known.head, unknown.tail - known.tail


def _arena(simulation: Simulation) -> Arena:
    assert simulation.arena is not None
    return simulation.arena


# Against builds of other versions


@cache
def shared_model(name: str) -> Model | None:
    path = SHARED / "models" / f"{name}.tflite"
    return load_model(path) if path.is_file() else None


def measured(file: Path) -> Iterator[tuple[Model, dict[str, Any]]]:
    """The models that a version runs, with what was measured of them."""
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        model = shared_model(row["model"])
        if model is not None and row["status"] == "ok":
            yield model, row


def shipped(file: Path) -> str:
    return "m4_cmsisnn" if "cmsisnn" in file.stem else "m4_ref"


@cache
def of_unknown_version(name: str, runtime: str) -> Arena | None:
    model = shared_model(name)
    return model and simulate(model, of_version(runtime, Tflm(Version("")))).arena


@by_version
@pytest.mark.campaign
def test_no_version_needs_more_than_is_counted_for_an_unknown_one(file: Path) -> None:
    counted, under = 0, []
    for _, row in measured(file):
        arena = of_unknown_version(row["model"], shipped(file))
        if arena is None:
            continue
        counted += 1
        needed = row.get("min_arena16") or 0
        if arena.required < needed or arena.used < row["arena_used"]:
            under.append((row["model"], arena.required, needed, arena.used, row["arena_used"]))
    assert counted > 100
    assert under == []


@pytest.mark.parametrize("kernels", ["ref", "ref_without_TF_LITE_STATIC_MEMORY", "cmsisnn"])
def test_structs_with_and_without_static_memory_are_the_devices_to_the_byte(kernels: str) -> None:
    file = SHARED / "tflm" / "versions" / f"arena_{TFLM_COMMIT}_{kernels}.jsonl"
    if not file.is_file():
        pytest.skip("the measurements are not at hand")
    tflm = Tflm(static_memory="without_TF_LITE_STATIC_MEMORY" not in file.stem)
    wrong = [
        row["model"]
        for model, row in measured(file)
        if (arena := simulate(model, of_version(shipped(file), tflm)).arena) is not None
        and (arena.head, arena.tail, arena.required)
        != (row["head"], row["tail"], row.get("min_arena16", arena.required))
    ]
    assert wrong == []


# By what the margin is made of


def test_structs_without_static_memory_are_larger_by_operator_input_and_output() -> None:
    maker, graph = graph_model()
    graph.output(graph.dense(graph.dense(graph.input((1, 8)), units=4), units=2))
    model = read_model(maker.build(), "model")
    small, large = (
        _arena(simulate(model, of_version("m4_ref", Tflm(static_memory=each))))
        for each in (True, False)
    )
    structs = {"node_and_registration": 2 * 12, "persistent_tensor": 2 * 32}
    for name, more in structs.items():
        assert large.recorded[name] - small.recorded[name] == more
    assert large.head == small.head


def test_operators_that_never_took_more_add_nothing() -> None:
    maker, graph = graph_model()
    graph.output(graph.dense(graph.dense(graph.input((1, 8)), units=4), units=2))
    assert margin_of(maker) == (0, 0)


def test_a_depthwise_convolution_had_a_buffer_for_its_weights() -> None:
    maker, graph = graph_model()
    graph.output(graph.depthwise_conv2d(graph.input((1, 16, 16, 64))))
    assert margin_of(maker)[0] == 2 * 9 * 64
    assert margin_of(maker, "m4_ref")[0] == 0


def test_a_pointwise_convolution_with_stride_had_a_buffer() -> None:
    for stride, buffer in (((1, 1), 0), ((2, 2), 4 * 32)):
        maker, graph = graph_model()
        source = graph.input((1, 16, 16, 32))
        graph.output(graph.conv2d(source, filters=4, kernel=(1, 1), stride=stride))
        assert margin_of(maker)[0] == buffer


def test_a_concatenation_kept_two_arrays() -> None:
    maker, graph = graph_model()
    graph.output(graph.concat([graph.input((1, 8)), graph.input((1, 8))]))
    assert margin_of(maker) == (0, 2 * 16)


def test_a_reducer_asked_for_its_whole_input() -> None:
    maker, graph = graph_model()
    graph.output(graph.mean(graph.input((1, 8, 8, 4)), axes=(1, 2)))
    head, _ = margin_of(maker)
    assert 4 * 8 * 8 * 4 <= head < 4 * 8 * 8 * 4 + 64


def networks() -> Iterator[Model]:
    """Networks of operators that took more or less in other versions."""
    for build in (
        lambda graph: graph.dense(graph.conv2d(graph.input((1, 8, 8, 4)), filters=4), units=2),
        lambda graph: graph.lstm(graph.input((1, 4, 8)), units=8),
        lambda graph: graph.mean(graph.input((1, 8, 8, 4)), axes=(1, 2)),
        lambda graph: graph.depthwise_conv2d(graph.input((1, 16, 16, 64))),
        lambda graph: graph.concat([graph.input((1, 8)), graph.input((1, 8))]),
    ):
        maker, graph = graph_model()
        graph.output(build(graph))
        yield read_model(maker.build(), "network")


@pytest.mark.parametrize("runtime", ["m4_ref", "m4_cmsisnn"])
def test_an_unknown_version_counts_no_less_than_any_known_one(runtime: str) -> None:
    for model in networks():
        unknown = simulate(model, of_version(runtime, Tflm(Version(""))))
        arena, least = _arena(unknown), unknown.least
        assert least is not None
        for each in known("tflm").values():
            for static_memory in (True, False):
                simulation = simulate(model, of_version(runtime, Tflm(each, static_memory)))
                if simulation.refusals:
                    continue
                required = _arena(simulation).required
                assert least.required <= required <= arena.required
                assert _arena(simulation).used <= arena.used


# Between two known versions


def between(date: str, runtime: str = "m4_ref") -> Runtime:
    return of_version(runtime, Tflm(version("0123abc4", date, changes("tflm"))))


def concatenation() -> Model:
    maker, graph = graph_model()
    graph.output(graph.concat([graph.input((1, 8)), graph.input((1, 8))]))
    return read_model(maker.build(), "concat")


def test_the_known_versions_around_a_date_give_the_range() -> None:
    simulation = simulate(concatenation(), between("2024-11-01"))
    older, newer = (
        _arena(simulate(concatenation(), of_version("m4_ref", Tflm(known("tflm")[name]))))
        for name in ("47b54507", "87d5152c")
    )
    assert older.required > newer.required
    assert simulation.arena == older
    assert simulation.least == newer
    assert simulation.refusals == ()
    assert simulation.unknown == (
        (
            f"arena: counted for TFLM before 50e7e5db, {older.required:,} B; "
            f"TFLM 87d5152c needs {newer.required:,} B"
        ),
        (
            "TFLM 0123abc4 of 2024-11-01 lies between 47b54507 and 87d5152c; "
            "what moves the arena: 50e7e5db (2024-12-16)"
        ),
    )


def test_a_version_between_two_that_take_the_same_is_an_estimate_all_the_same() -> None:
    simulation = simulate(concatenation(), between("2024-06-15"))
    assert simulation.arena == simulation.least
    assert simulation.unknown[1] == (
        "TFLM 0123abc4 of 2024-06-15 lies between 71fba59b and 5c2ac76b; "
        "no change between moves the arena"
    )


def test_what_came_and_went_between_two_known_versions_counts() -> None:
    """For two days in June 2022 reducers asked for their whole input."""
    maker, graph = graph_model()
    graph.output(graph.mean(graph.input((1, 8, 8, 4)), axes=(1, 2)))
    model = read_model(maker.build(), "mean")
    states = bracket("tflm", Version("0123abc4", date="2022-08-01")).states
    assert [each.name for each in states][-1] == "87fb33be"
    simulation = simulate(model, between("2022-08-01"))
    ends = [
        _arena(simulate(model, of_version("m4_ref", Tflm(known("tflm")[name])))).required
        for name in ("87fb33be", "93f2f4c6")
    ]
    assert _arena(simulation).required == max(ends)
    assert _arena(simulate(model, between("2022-05-20"))).required == max(
        _arena(simulate(model, of_version("m4_ref", Tflm(each)))).required
        for each in bracket("tflm", Version("0123abc4", date="2022-05-20")).states
    )


def test_shapes_were_copied_for_nine_days() -> None:
    maker, graph = graph_model()
    graph.output(graph.conv2d(graph.input((1, 8, 8, 4)), filters=4))
    model = read_model(maker.build(), "conv")
    around = [
        _arena(simulate(model, of_version("m4_ref", Tflm(known("tflm")[name])))).tail
        for name in ("b24a9ed2", "9d1dd7b0")
    ]
    inside = simulate(model, between("2024-01-12"))
    assert _arena(inside).tail == max(around) + 32  # 4 + 4 x 4 bytes, aligned to 16
    assert inside.least is not None
    assert inside.least.tail == max(around)


@pytest.mark.parametrize("date", ["2020-01-01", "2027-01-01"])
def test_a_version_beyond_the_known_ones_may_be_as_any(date: str) -> None:
    beyond = simulate(concatenation(), between(date))
    any_ = simulate(concatenation(), of_version("m4_ref", Tflm(Version("0123abc4"))))
    assert beyond.arena == any_.arena


def test_a_version_whose_date_says_that_it_refuses_a_model_refuses_it() -> None:
    maker, graph = graph_model()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=True))
    model = read_model(maker.build(), "dense")
    assert simulate(model, between("2024-06-15")).refusals[0].stage == "prepare"
    assert simulate(model, between("2024-11-01")).refusals == ()


def test_an_older_state_that_does_not_run_a_model_is_named() -> None:
    maker, graph = graph_model()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=True))
    model = read_model(maker.build(), "dense")
    unknown = simulate(model, of_version("m4_ref", Tflm(Version("0123abc4")))).unknown
    assert any(
        line.startswith("TFLM before 47b54507 does not run it: FULLY_CONNECTED #0: ")
        for line in unknown
    ), unknown
    assert any("computes it wrongly: FULLY_CONNECTED #0: " in line for line in unknown)


def test_a_cmsis_nn_that_nobody_measured_may_be_as_any() -> None:
    maker, graph = graph_model()
    graph.output(graph.depthwise_conv2d(graph.input((1, 16, 16, 64))))
    model = read_model(maker.build(), "depthwise")
    shipped = RUNTIMES["m4_cmsisnn"]
    unknown = replace(shipped, kernels=replace(shipped.kernels, version=Version("0123abc4")))
    simulation = simulate(model, unknown)
    assert _arena(simulation).required >= _arena(simulate(model, shipped)).required + 2 * 9 * 64
    assert "CMSIS-NN 0123abc4 is not known" in simulation.unknown[1]
    assert "2e4abf53 (2022-12-05)" in simulation.unknown[1]


def test_cmsis_nn_is_that_of_upstreams_make_files_where_nobody_names_one() -> None:
    maker, graph = graph_model()
    graph.output(graph.depthwise_conv2d(graph.input((1, 16, 16, 64))))
    model = read_model(maker.build(), "depthwise")
    old = of_version("m4_cmsisnn", Tflm(known("tflm")["c12bd762"]))
    pinned = replace(old.kernels, version=known("cmsis-nn")["e98ee09a"])
    assert simulate(model, old) == simulate(model, replace(old, kernels=pinned))
    newer = replace(old.kernels, version=known("cmsis-nn")["4ab83cc3"])
    assert simulate(model, old) != simulate(model, replace(old, kernels=newer))


# How it is told


def of_own_table(folder: Path, *lines: str, extends: str = "m4_cmsisnn") -> Path:
    """A declaration whose runtime is a section graph of the user's own."""
    maker, graph = graph_model()
    graph.output(graph.dense(graph.conv2d(graph.input((1, 8, 8, 4)), filters=4), units=2))
    folder.joinpath("kws.tflite").write_bytes(maker.build())
    shipped = resources.files("pytest_tinybudget.runtimes") / "data" / "graphs"
    table = (shipped / "m4_cmsisnn.json.gz").read_bytes()
    folder.joinpath("own.json.gz").write_bytes(table)
    path = folder / "tinybudget.toml"
    path.write_text(
        '[models.kws]\nsource = "kws.tflite"\nboards = ["arduino-nano-33-ble"]\nruntime = "own"\n'
        f'[runtime.own]\nextends = "{extends}"\ntable = "own.json.gz"\n' + "\n".join(lines) + "\n",
        encoding="utf-8",
    )
    return path


def ram_of(path: Path) -> tuple[tuple[Part, ...], tuple[str, ...], str, str]:
    """The parts of RAM of a declaration's one pair, its warnings, outcome, and ``strict``'s."""
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    result = Gate(Workspace(cached=False)).check(pair)
    assert result.footprint is not None
    strict = Gate(Workspace(cached=False), Rules(strict=True)).check(pair).outcome
    return result.footprint.ram_parts, result.warnings, result.outcome, strict


def test_ram_of_a_table_of_ones_own_is_an_estimate_with_a_margin(tmp_path: Path) -> None:
    parts, warnings, outcome, strict = ram_of(of_own_table(tmp_path))
    assert {part.method for part in parts} <= {"estimated", "table"}
    arena = [part for part in parts if part.name.startswith("arena")]
    assert {part.method for part in arena} == {"estimated"}
    margin = sum(part.margin_bytes for part in arena)
    newest = measure(load_model(tmp_path / "kws.tflite"), RUNTIMES["m4_cmsisnn"]).arena
    assert newest is not None
    assert sum(part.bytes for part in arena) <= newest.required
    assert sum(part.bytes + part.margin_bytes for part in arena) > newest.required
    assert margin > 100
    (counted,) = [line for line in warnings if "TFLM" in line]
    assert counted.startswith("bounded, not known: arena: counted for TFLM ")
    assert (outcome, strict) == ("warns", "unmet")


@pytest.mark.parametrize("commit", [TFLM_COMMIT, TFLM_COMMIT.upper(), f"{TFLM_COMMIT}0" * 4])
def test_ram_is_exact_where_the_version_is_said_and_is_the_rules(
    commit: str, tmp_path: Path
) -> None:
    parts, warnings, outcome, strict = ram_of(of_own_table(tmp_path, f'tflm = "{commit[:40]}"'))
    assert {part.method for part in parts if part.name.startswith("arena")} == {"exact"}
    assert not any(part.margin_bytes for part in parts)
    assert (warnings, outcome, strict) == ((), "fits", "fits")


def test_another_version_that_is_said_is_an_estimate_as_well(tmp_path: Path) -> None:
    parts, _, outcome, strict = ram_of(of_own_table(tmp_path, 'tflm = "0123abc4"'))
    unknown, *_ = ram_of(of_own_table(tmp_path))
    assert (parts, outcome, strict) == (unknown, "warns", "unmet")


def test_the_date_of_a_commit_narrows_its_range(tmp_path: Path) -> None:
    dated = of_own_table(tmp_path, 'tflm = "0123abc4"', 'tflm_date = "2024-11-01"')
    dated.write_text(dated.read_text().replace("table =", "static_memory = true\ntable ="))
    parts, warnings, outcome, strict = ram_of(dated)
    wide, *_ = ram_of(of_own_table(tmp_path, 'tflm = "0123abc4"'))
    sizes = [sum(part.margin_bytes for part in each) for each in (parts, wide)]
    assert sizes[0] < sizes[1]
    assert {part.method for part in parts if part.name.startswith("arena")} == {"estimated"}
    assert (outcome, strict) == ("warns", "unmet")
    assert warnings[0].startswith("bounded, not known: arena: counted for TFLM ")


@pytest.mark.parametrize("date", ["2024", "2024-13-99x", "last week"])
def test_the_day_of_a_commit_is_a_date(date: str, tmp_path: Path) -> None:
    path = of_own_table(tmp_path, 'tflm = "0123abc4"', f'tflm_date = "{date}"')
    with pytest.raises(DeclarationError, match="YYYY-MM-DD"):
        load_declaration(path)


def test_a_build_without_static_memory_has_the_larger_structs(tmp_path: Path) -> None:
    said = f'tflm = "{TFLM_COMMIT}"'
    parts, warnings, _, strict = ram_of(of_own_table(tmp_path, said, "static_memory = false"))
    model = load_model(tmp_path / "kws.tflite")
    large = _arena(simulate(model, of_version("m4_cmsisnn", Tflm(static_memory=False))))
    small = _arena(simulate(model, RUNTIMES["m4_cmsisnn"]))
    assert large.tail > small.tail
    assert next(part.bytes for part in parts if part.name == "arena: persistent") == large.tail
    assert (warnings, strict) == ((), "fits")


def test_a_commit_is_hexadecimal(tmp_path: Path) -> None:
    path = of_own_table(tmp_path, 'tflm = "1.3.3"')
    with pytest.raises(DeclarationError, match="7 to 40 hexadecimal digits"):
        load_declaration(path)


def test_an_unknown_version_counts_with_every_release_of_esp_nn() -> None:
    maker, graph = graph_model()
    graph.output(graph.conv2d(graph.input((1, 16, 16, 8)), filters=16))
    model = read_model(maker.build(), "model")
    simulation = simulate(model, of_version("esp32s3_espnn", Tflm(Version(""))))
    newest = simulate(model, RUNTIMES["esp32s3_espnn"])
    assert _arena(simulation).required > _arena(newest).required
    assert simulation.least is not None
    assert newest.least is not None
    assert simulation.least.required <= newest.least.required
    releases, versions, _ = simulation.unknown
    assert releases.startswith("arena: esp-nn ")
    assert versions.startswith("arena: counted for TFLM ")


def test_the_generated_constant_and_the_results_file_say_the_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = of_own_table(tmp_path)
    results = tmp_path / "results.json"
    folder = tmp_path / "out"
    assert main(["check", str(path), "--json", str(results), "--artifacts", str(folder)]) == 0
    assert "~" in capsys.readouterr().out
    (pair,) = json.loads(results.read_text(encoding="utf-8"))["pairs"]
    parts = [part for part in pair["ram"]["parts"] if part["name"].startswith("arena")]
    assert {part["method"] for part in parts} == {"estimated"}
    counted = sum(part["bytes"] + part["margin"] for part in parts)
    assert counted == pair["arena"]["required"]
    why = f"nobody says which TFLM it is, of a37043ff to {TFLM_COMMIT}; what moves the arena: "
    assert any(line.startswith(why) for line in pair["unknown"])
    settings = (folder / "kws_model_settings.h").read_text(encoding="utf-8")
    assert f"_TENSOR_ARENA_SIZE {counted}\n" in settings
    assert "bounded, not known: arena: counted for TFLM " in settings
