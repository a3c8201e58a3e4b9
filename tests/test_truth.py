"""Predictions against what was measured of the project's own models, which is in the repository.

The measurements are of 32-bit firmware (``benchmarks/truth.py`` says how they are packed). They
hold the rules that only an Arm or RISC-V build has, without a device, an emulator or a download. A
test takes all models of a variant, and its message names each that differs.
"""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import accuracy
import pytest
import truth
import version_truth
from msgspec.structs import replace

from pytest_tinybudget.footprint.allocator import Event
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import sizes_of
from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


#: The firmware that ran models.
RUN = ("m0plus_cmsisnn", "m4_cmsisnn", "m4_ref", "m55_cmsisnn", "rv32imc_ref")
#: The firmware that was linked with models' operators alone.
LINKED = ("m4_cmsisnn", "m4_ref", "m7_cmsisnn", "rv32imc_ref")
#: The smallest arena that works was not searched for on the M55.
QUANTITIES = [
    (variant, quantity)
    for variant in RUN
    for quantity in ("arena_used", "arena_required", "head", "tail", "stack", "refused")
    if (variant, quantity) != ("m55_cmsisnn", "arena_required")
] + [(variant, "flash") for variant in LINKED]

by_variant = pytest.mark.parametrize("variant", RUN)


@cache
def contents() -> Mapping[str, bytes]:
    return truth.packed_models()


@cache
def models() -> Mapping[str, Model]:
    return {name: read_model(content, name) for name, content in contents().items()}


@cache
def measurements() -> Mapping[tuple[str, str], list[Mapping[str, Any]]]:
    return {
        (group.kind, group.variant): list(group.records) for group in truth.packed_measurements()
    }


@cache
def rows() -> Mapping[tuple[str, str], list[accuracy.Row]]:
    """What ``benchmarks/accuracy.py`` compares, by variant and quantity."""
    found: dict[tuple[str, str], list[accuracy.Row]] = {}
    known = accuracy.Models.of_contents(contents())
    for row in accuracy.compare(known, truth.packed_measurements()):
        found.setdefault((row.variant, row.quantity), []).append(row)
    return found


@cache
def simulation(name: str, variant: str) -> tuple[Simulation, list[Event]]:
    events: list[Event] = []
    return simulate(models()[name], RUNTIMES[variant], trace=events), events


def measured(kind: str, variant: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for record in measurements()[kind, variant]:
        yield record["model"], record


# What is predicted.


@pytest.mark.parametrize(("variant", "quantity"), QUANTITIES)
def test_what_is_predicted_is_what_was_measured(variant: str, quantity: str) -> None:
    """Arena and refusals to the byte; flash and stack within the limits, and off as listed."""
    compared = rows()[variant, quantity]
    assert len(compared) >= 16
    assert accuracy.failures(compared, accuracy.read_explained()) == []


@by_variant
def test_a_model_is_refused_where_the_device_refuses_it(variant: str) -> None:
    differences = {}
    for name, record in measured("arena", variant):
        stages = {refusal.stage for refusal in simulation(name, variant)[0].refusals}
        status = "ok" if not stages else "Invoke failed"
        if stages - {"invoke"}:
            status = "AllocateTensors failed"
        if status != record["status"]:
            differences[name] = {"predicted": status, "measured": record["status"]}
    assert differences == {}


@by_variant
def test_memory_is_requested_in_the_order_of_the_device(variant: str) -> None:
    """Kind, size and alignment of each request, but for the planner's own room.

    The device's record starts after the first two structs.
    """
    differences = {}
    for name, record in measured("trace", variant):
        predicted = [list(event[:3]) for event in simulation(name, variant)[1] if event[0] in "PTR"]
        expected = [
            event[:3]
            for event in record["ev"]
            if event[0] in "PR" or (event[0] == "T" and event[2] < 16)
        ]
        if predicted[2:] != expected:
            differences[name] = _first_difference(predicted[2:], expected)
    assert differences == {}


def _first_difference(predicted: list[Any], expected: list[Any]) -> dict[str, Any]:
    for number, (ours, theirs) in enumerate(zip(predicted, expected, strict=False)):
        if ours != theirs:
            return {"request": number, "predicted": ours, "measured": theirs}
    return {"requests": {"predicted": len(predicted), "measured": len(expected)}}


@by_variant
def test_buffers_live_and_lie_as_on_the_device(variant: str) -> None:
    """Size, first and last operator, and the offset that the planner gave."""
    differences = {}
    for name, record in measured("trace", variant):
        arena = simulation(name, variant)[0].arena
        if arena is None:
            continue
        lived = [event[1:4] for event in record["ev"] if event[0] == "L"]
        lay = [event[2] for event in record["ev"] if event[0] == "O"]
        if [[buffer.bytes, buffer.first, buffer.last] for buffer in arena.buffers] != lived:
            differences[name] = "sizes or lifetimes"
        elif [buffer.offset for buffer in arena.buffers] != lay:
            differences[name] = "offsets"
    assert differences == {}


@by_variant
def test_recorded_categories_are_those_of_the_device(variant: str) -> None:
    runtime = replace(
        RUNTIMES[variant], tflm=replace(RUNTIMES[variant].tflm, recording_allocator=True)
    )
    differences = {}
    for name, record in measured("arena", variant):
        arena = simulate(models()[name], runtime).arena
        if "recording" not in record or arena is None:
            continue
        expected = {category: entry["used"] for category, entry in record["recording"].items()}
        if arena.recorded != expected:
            differences[name] = {"predicted": arena.recorded, "measured": expected}
    assert differences == {}


@pytest.mark.parametrize("variant", LINKED)
def test_constants_and_data_are_those_of_the_real_link(variant: str) -> None:
    graph = load_graph(variant)
    differences = {}
    for name, record in measured("flash", variant):
        known = {operator: graph.operators[operator].custom for operator in record["ops"]}
        sizes = sizes_of(graph, known)
        predicted = [sizes["data"], sizes["exidx"]]
        if (
            predicted != [record["net_data"], record["net_exidx"]]
            or abs(sizes["rodata"] - record["net_rodata"]) > 36
        ):
            differences[name] = sizes
    assert differences == {}


# What is packed.


def test_each_model_was_run_on_each_firmware() -> None:
    names = sorted(models())
    assert len(names) >= 192
    for variant in RUN:
        assert sorted(name for name, _ in measured("arena", variant)) == names
        # Some are refused before anything is traced.
        assert len(list(measured("trace", variant))) > len(names) * 0.9


def test_all_that_is_packed_is_compared() -> None:
    found = {kind: {v for k, v in measurements() if k == kind} for kind, _ in measurements()}
    assert found == {"arena": set(RUN), "trace": set(RUN), "flash": set(LINKED)}
    assert set(rows()) == set(QUANTITIES)


def test_the_docs_say_how_many_operators_are_held() -> None:
    operators = {
        operator.name
        for model in models().values()
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    }
    known = rules()
    page = (truth.PACKED.parents[2] / "docs" / "accuracy.md").read_text(encoding="utf-8")
    held = len(operators & set(known))
    assert f"{held} of the {len(list(known))} operators" in " ".join(page.split())


def test_the_packed_models_are_the_projects_own_and_the_measured_ones() -> None:
    assert {name for name in models() if not name.startswith("gen_")} == set()
    for variant in RUN:
        for name, record in measured("arena", variant):
            assert record["bytes"] == len(contents()[name])


def test_packing_again_gives_the_same_files(tmp_path: Path) -> None:
    truth.pack(contents(), truth.packed_measurements(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "measurements.jsonl.gz", "models.tar.gz",
    ]  # fmt: skip
    for path in tmp_path.iterdir():
        # What compression makes of it depends on the zlib that Python has.
        assert gzip.decompress(path.read_bytes()) == gzip.decompress(
            (truth.PACKED / path.name).read_bytes()
        )


def test_no_time_and_no_owner_is_packed() -> None:
    with tarfile.open(truth.PACKED / "models.tar.gz") as archive:
        assert {(member.mtime, member.uid, member.uname) for member in archive} == {(0, 0, "")}
    for path in truth.PACKED.glob("*.gz"):
        assert path.read_bytes()[3:8] == bytes(5)  # gzip's flags (no name) and time


def test_another_ones_model_is_not_packed(tmp_path: Path) -> None:
    record = {"model": "gen_one", "status": "ok", "bytes": 3, "secret": 1}
    measured = [
        truth.Measurements("arena_m4_ref.jsonl", "arena", "m4_ref", [record]),
        truth.Measurements("arena_m7_ref.jsonl", "arena", "m7_ref", [record | {"model": "kws"}]),
        truth.Measurements("graph_check_m4_ref.jsonl", "graph", "check_m4_ref", [record]),
    ]
    truth.pack({"gen_one": b"one", "kws": b"another"}, measured, tmp_path)
    assert truth.packed_models(tmp_path) == {"gen_one": b"one"}
    (group,) = truth.packed_measurements(tmp_path)
    assert list(group.records) == [
        {"kind": "arena", "model": "gen_one", "variant": "m4_ref", "bytes": 3, "status": "ok"}
    ]


def test_a_model_of_another_size_than_the_measured_one_is_not_packed(tmp_path: Path) -> None:
    folder = tmp_path / "truth"
    folder.mkdir()
    line = json.dumps({"model": "gen_one", "bytes": 4})
    (folder / "arena_m4_ref.jsonl").write_text(line, encoding="utf-8")
    expected = "arena_m4_ref.jsonl: gen_one had 4 bytes when it was measured, the model here has 3"
    with pytest.raises(truth.TruthError, match=re.escape(expected)):
        truth.pack({"gen_one": b"one"}, truth.measurements_in(folder), tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_the_script_packs_a_folder_and_says_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in {
        "arena_m4_ref.jsonl": [{"sizeof": {}}, {"model": "gen_one", "arena_used": 1}],
        "trace_m4_ref.jsonl": [{"model": "gen_one.tflite", "ev": []}, {"model": "kws", "ev": []}],
    }.items():
        (tmp_path / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "gen_one.tflite").write_bytes(b"one")
    folders = ["--models", str(tmp_path), "--truth", str(tmp_path)]
    assert truth.main([*folders, "--output", str(tmp_path / "packed")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[2:] == ["1 models", "arena: 1 measurements", "trace: 1 measurements"]


# The script that outsiders run.


def test_accuracy_compares_with_the_repositorys_measurements_by_default(
    capsys: pytest.CaptureFixture[str],
) -> None:
    accuracy.main([])
    lines = capsys.readouterr().out.splitlines()
    printed = [line.partition("  ")[0] for line in lines if "arena_used" in line]
    versions = version_truth.packed()
    assert printed == [*sorted([*RUN, *(entry.label for entry in versions)]), "all variants"]
    models = accuracy.Models.of_contents(truth.packed_models())
    count = sum(map(len, rows().values())) + len(list(accuracy.compare_versions(models, versions)))
    count += sum(len(list(group.records)) for group in truth.packed_links())
    count += len(list(truth.release_arenas()))
    assert lines[-1] == f"{count:,} rows, 0 of them not explained"


@pytest.mark.parametrize("option", ["--models", "--truth"])
def test_one_folder_alone_is_refused(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        accuracy.main([option, str(tmp_path)])
    assert "--models and --truth go together" in capsys.readouterr().err


@pytest.mark.campaign
def test_the_list_of_differences_keeps_what_it_says_of_models_that_are_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = accuracy.EXPLAINED.read_text(encoding="utf-8")
    changed = re.sub(r"^gen_net01_i8 = -?\d+$", "gen_net01_i8 = 9999", before, flags=re.MULTILINE)
    assert changed != before
    copy = tmp_path / "explained.toml"
    copy.write_text(changed, encoding="utf-8")
    monkeypatch.setattr(accuracy, "EXPLAINED", copy)
    accuracy.main(["--update-explained"])
    assert copy.read_text(encoding="utf-8") == before


def test_links_of_a_table_are_packed_beside_those_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, size in (("one", 10), ("two", 20), ("other", 30)):
        lines = [{"ops": ["ADD"], "tflm_flash_bytes": size}, {"model": "kws", "ops": []}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text)
    packed = ["--output", str(tmp_path / "packed")]
    for table, name in (("a", "one"), ("b", "other"), ("a", "two")):
        assert truth.main(["--links", f"{table}={tmp_path / name}.jsonl", *packed]) == 0
    found = {
        group.variant: list(group.records) for group in truth.packed_links(tmp_path / "packed")
    }
    assert found == {"a": [{"ops": ["ADD"], "bytes": 20}], "b": [{"ops": ["ADD"], "bytes": 30}]}
    with pytest.raises(SystemExit):
        truth.main(["--links", f"a={tmp_path / 'none.jsonl'}", *packed])
    assert "none.jsonl" in capsys.readouterr().err
