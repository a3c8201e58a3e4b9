"""Older versions of TFLM and CMSIS-NN against what was measured on their own code.

``tests/data/truth/versions.jsonl.gz`` holds the figures of the project's own models
(``benchmarks/version_truth.py`` says how they are packed): firmware of each version was built for a
Cortex-M4F and run in an emulator. Others lie in ``shared/tflm/versions`` where that folder is.
"""

from __future__ import annotations

import json
import os
import re
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import version_truth
from campaigns import every
from modelmaker import ModelMaker
from msgspec.structs import replace
from version_truth import ISLANDS
from version_truth import Measured

from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.link import link
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Library
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import known
from pytest_tinybudget.runtimes.versions import version


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
MODELS = Path(__file__).parent / "data" / "truth" / "models.tar.gz"
PACKED = version_truth.packed()


@cache
def models() -> Mapping[str, Model]:
    with tarfile.open(MODELS) as archive:
        contents = {
            member.name.removesuffix(".tflite"): file.read()
            for member in archive
            if (file := archive.extractfile(member)) is not None
        }
    return {name: read_model(content, name) for name, content in contents.items()}


def loads(simulation: Simulation) -> bool:
    return simulation.arena is not None and all(
        refusal.stage in ("invoke", "wrong", "outdated") for refusal in simulation.refusals
    )


def differences(measured: Measured, known: Mapping[str, Model]) -> dict[str, object]:
    """Predicted and measured figures of every model that differs."""
    runtime = measured.runtime()
    found: dict[str, object] = {}
    for name, figures in measured.figures.items():
        simulation = simulate(known[name], runtime)
        arena = simulation.arena if loads(simulation) else None
        predicted = None if arena is None else (arena.head, arena.tail, arena.required)
        if figures is not None and predicted is not None:
            smallest = figures[2]
            if not smallest or ((measured.name, name) in ISLANDS and predicted[2] > smallest):
                predicted = (*predicted[:2], smallest)
        if predicted != figures:
            found[name] = {"predicted": predicted, "measured": figures}
    return found


# Measured figures.


@pytest.mark.parametrize("measured", PACKED, ids=lambda measured: measured.name)
def test_a_version_takes_what_was_measured_on_it(measured: Measured) -> None:
    """Outcome, head, tail and smallest arena of every own model, to the byte."""
    assert len(measured.figures) >= 100
    assert differences(measured, models()) == {}


@pytest.mark.parametrize("measured", every(5, PACKED), ids=lambda measured: measured.name)
def test_a_version_takes_what_was_measured_on_it_with_others_models(measured: Measured) -> None:
    path = SHARED / "tflm" / "versions" / f"{measured.name}.jsonl"
    if not path.exists():
        pytest.skip("no shared measurements of this version")
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    files = {name: SHARED / "models" / f"{name}.tflite" for name in (r["model"] for r in records)}
    figures = {
        record["model"]: version_truth.figures_of(record)
        for record in records
        if files[record["model"]].exists()
    }
    known = {name: load_model(files[name]) for name in figures}
    assert len(figures) >= 100
    assert differences(replace(measured, figures=figures), known) == {}


def test_the_measured_versions_reach_from_the_first_to_the_newest() -> None:
    dates = sorted(measured.date for measured in PACKED)
    assert dates[0] < "2021-05"
    assert dates[-1] > "2026-08"
    assert any(measured.cmsis_nn for measured in PACKED)
    assert any(not measured.static_memory for measured in PACKED)


# Versions.


#: Bytes of MicroInterpreter and of a MicroMutableOpResolver for one operator, as the compiler gave
#: them on a Cortex-M4F.
OUTSIDE_THE_ARENA = {
    "a37043ff": (152, 56), "87fb33be": (180, 60), "327c07d4": (176, 56), "c12bd762": (176, 56),
    "0228e3e1": (188, 48), "cdf028c7": (188, 48), "71fba59b": (188, 48), "47b54507": (192, 48),
    "10ebaab9": (196, 48), "93ebaa9c": (196, 48), "cf8c42a1": (208, 48), "90b983c2": (208, 48),
}  # fmt: skip


@pytest.mark.parametrize(("commit", "sizes"), OUTSIDE_THE_ARENA.items())
def test_objects_outside_the_arena_are_those_of_the_version(
    commit: str, sizes: tuple[int, int]
) -> None:
    parts = {part.name: part for part in link(convolution_without_bias(), at(commit)).ram_parts}
    found = parts["interpreter"], parts["operator resolver"]
    assert tuple(part.bytes for part in found) == sizes
    assert {part.method for part in found} == {"exact"}


def test_objects_outside_the_arena_have_a_range_where_the_version_is_not_known() -> None:
    runtime = replace(RUNTIMES["m4_ref"], tflm=Tflm(Version("")))
    parts = {part.name: part for part in link(convolution_without_bias(), runtime).ram_parts}
    interpreter = parts["interpreter"]
    assert interpreter.method == "estimated"
    smallest = min(size for size, _ in OUTSIDE_THE_ARENA.values())
    assert interpreter.bytes <= smallest
    assert interpreter.bytes + interpreter.margin_bytes == 208


@pytest.mark.parametrize("library", ["tflm", "cmsis-nn"])
def test_changes_are_listed_newest_first_each_by_a_name_of_its_own(library: Library) -> None:
    listed = changes(library)
    assert [change.date for change in listed] == sorted(
        (change.date for change in listed), reverse=True
    )
    assert len({change.name for change in listed}) == len(listed)


def test_the_newest_version_lacks_nothing() -> None:
    newest = version("90b983c2", "2026-08-20T16:47", changes("tflm"))
    assert not newest.lacks
    assert not newest.layouts
    assert not newest.unregistered
    assert newest.has("dense layers per channel")


def test_a_version_lacks_what_came_after_it() -> None:
    day = version("", "2024-06-01T00:00", changes("tflm"))
    assert day.has("dense layers per channel are refused")
    assert not day.has("dense layers per channel")
    assert day.layout("FULLY_CONNECTED data", "9i2pb") == "9i"
    assert "BATCH_MATMUL" not in day.unregistered
    assert "REVERSE_V2" in day.unregistered


def test_the_layout_of_the_oldest_change_that_is_missing_counts() -> None:
    for date, layout in (("2021-04-10T00:00", "3p b 2p"), ("2021-06-01T00:00", "4p b 2p")):
        assert version("", date, changes("tflm")).layout("MicroAllocator", "") == layout


def test_every_change_that_a_rule_asks_for_is_listed() -> None:
    """A name with a slip of the pen would always count as there."""
    folder = Path(simulate.__code__.co_filename).parent
    listed = {change.name for library in ("tflm", "cmsis-nn") for change in changes(library)}
    asked: set[str] = set()
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        asked |= set(re.findall(r"(?:\.has|computes_wrongly)\(\s*\"([^\"]+)\"", text))
    assert asked
    assert asked <= listed


# Outputs that a version computes wrongly.


def at(commit: str, name: str = "m4_ref") -> Runtime:
    return replace(RUNTIMES[name], tflm=Tflm(known("tflm")[commit]))


def dense_per_channel() -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4, per_channel=True))
    return read_model(maker.build(), "dense")


def test_dense_layers_per_channel_are_wrong_then_refused_then_right() -> None:
    model = dense_per_channel()
    wrong, refused, right = (
        simulate(model, at(commit)) for commit in ("9d1dd7b0", "5c2ac76b", "10ebaab9")
    )
    assert loads(wrong)
    assert wrong.refusals[0].stage == "outdated"
    assert "computes with the first scale" in wrong.refusals[0].reason
    assert not loads(refused)
    assert "no dense layers quantized per channel" in refused.refusals[0].reason
    assert loads(right)
    assert right.refusals == ()


def test_a_cast_that_older_kernels_do_not_know_leaves_its_result() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4), type="INT64")
    result = graph.tensor((1, 4), "FLOAT32")
    graph.operator("CAST", (source,), (result,))
    graph.output(result)
    model = read_model(maker.build(), "cast")
    assert simulate(model, at("93ebaa9c")).refusals[0].stage == "outdated"
    newer = simulate(model, at("b8c7ecc1"))
    assert newer.refusals[0].stage == "invoke"


# What older versions refuse, and how they say so.


def convolution_without_bias() -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 6, 6, 3)), filters=2, bias=False))
    return read_model(maker.build(), "conv")


@pytest.mark.parametrize(
    ("commit", "fits"), [("bd0df04a", True), ("87fb33be", False), ("cdf028c7", True)]
)
def test_a_convolution_without_a_bias_trips_some_versions(commit: str, fits: bool) -> None:
    assert loads(simulate(convolution_without_bias(), at(commit))) == fits


@pytest.mark.parametrize(
    ("commit", "given", "fits"),
    [
        ("90b983c2", True, False),
        ("90b983c2", False, True),
        ("47b54507", False, False),
        ("bd0df04a", True, True),
    ],
)
def test_a_depthwise_bias_given_as_absent_trips_all_versions_that_release_tensors(
    commit: str, given: bool, fits: bool
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.depthwise_conv2d(graph.input((1, 6, 6, 3)))
    graph.output(result)
    step = graph.steps[-1]
    step.inputs = (*step.inputs[:2], *((-1,) if given else ()))
    assert loads(simulate(read_model(maker.build(), "depthwise"), at(commit))) == fits


def float_operator_on_int8() -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("EXP", graph.input((1, 8))))
    return read_model(maker.build(), "exp")


def test_errors_of_prepare_were_once_not_told() -> None:
    """From May to November 2021 such a model loaded, and failed when it ran."""
    stages = [
        [refusal.stage for refusal in simulate(float_operator_on_int8(), at(commit)).refusals]
        for commit in ("a37043ff", "bd0df04a", "05b427e1")
    ]
    assert stages == [["prepare"], ["invoke"], ["prepare"]]


def test_a_buffer_that_ends_before_it_begins_meets_no_other() -> None:
    """An output that nothing reads lay over what was alive, until November 2021."""
    maker = ModelMaker()
    graph = maker.graph()
    first, _ = graph.split(graph.input((1, 64)), parts=2, axis=1)
    graph.output(first)
    model = read_model(maker.build(), "split")
    old, new = (simulate(model, at(commit)).arena for commit in ("bd0df04a", "05b427e1"))
    assert old is not None
    assert new is not None
    assert old.head < new.head
    unread = old.buffers[-1]
    assert (unread.first, unread.last, unread.offset) == (0, -1, 0)
