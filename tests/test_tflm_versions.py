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


@by_version
def test_no_version_needs_more_than_is_counted_for_an_unknown_one(file: Path) -> None:
    runtime, counted, under = of_version(shipped(file), Tflm(Version(""))), 0, []
    for model, row in measured(file):
        arena = simulate(model, runtime).arena
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


def test_every_operator_may_have_had_more_data() -> None:
    maker, graph = graph_model()
    graph.output(graph.dense(graph.dense(graph.input((1, 8)), units=4), units=2))
    head, tail = margin_of(maker)
    assert head == 0
    assert 2 * 16 <= tail <= 2 * 16 + 16


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
    _, tail = margin_of(maker)
    assert 16 + 2 * 16 <= tail <= 16 + 2 * 16 + 16


def test_a_reducer_asked_for_its_whole_input() -> None:
    maker, graph = graph_model()
    graph.output(graph.mean(graph.input((1, 8, 8, 4)), axes=(1, 2)))
    assert margin_of(maker)[0] == 4 * 8 * 8 * 4 + 8 * 4


def test_an_lstm_kept_a_bias_for_each_gate_and_source() -> None:
    maker, graph = graph_model()
    graph.output(graph.lstm(graph.input((1, 4, 8)), units=8))
    _, tail = margin_of(maker, "m4_ref")
    assert tail >= 512 + 8 * 4 * 8


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
    known = measure(load_model(tmp_path / "kws.tflite"), RUNTIMES["m4_cmsisnn"]).arena
    assert known is not None
    assert sum(part.bytes for part in arena) <= known.required
    assert sum(part.bytes + part.margin_bytes for part in arena) >= known.required + 100
    assert margin > 100
    (told,) = [line for line in warnings if "TFLM" in line]
    assert told.startswith("bounded, not known: arena: counted for TFLM of any known version, ")
    assert told.endswith(f"; TFLM {TFLM_COMMIT} needs {known.required:,} B")
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
    known = simulate(model, RUNTIMES["esp32s3_espnn"])
    assert _arena(simulation).required > _arena(known).required
    assert simulation.least == known.least
    (line,) = simulation.unknown
    assert line.startswith("arena: counted for TFLM of any known version, esp-nn 1.2.3, ")


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
    settings = (folder / "kws_model_settings.h").read_text(encoding="utf-8")
    assert f"_TENSOR_ARENA_SIZE {counted}\n" in settings
    assert "bounded, not known: arena: counted for TFLM of any known version" in settings
