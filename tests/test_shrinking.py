"""Shrinking: what goes, what stays, that every interpreter runs the result, and what plans save."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import struct
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from damage import fill
from engines import Engine
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import write
from msgspec.structs import replace
from networks import calling_network
from networks import small_network
from pace import soon
from shrink_campaign import graphs
from shrink_campaign import judged

import pytest_tinybudget
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.cli import main
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.packing import pack
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.shrinking.interpreters import Interpreters
from pytest_tinybudget.shrinking.interpreters import Samples
from pytest_tinybudget.shrinking.interpreters import samples_at
from pytest_tinybudget.shrinking.options import REWRITES
from pytest_tinybudget.shrinking.options import ShrinkOptions
from pytest_tinybudget.shrinking.ordering import Step
from pytest_tinybudget.shrinking.ordering import Work
from pytest_tinybudget.shrinking.ordering import best_order
from pytest_tinybudget.shrinking.ordering import is_possible
from pytest_tinybudget.shrinking.ordering import peak_of
from pytest_tinybudget.shrinking.proof import DiffersError
from pytest_tinybudget.shrinking.proof import Proving
from pytest_tinybudget.shrinking.proof import prove
from pytest_tinybudget.shrinking.proof import proving
from pytest_tinybudget.shrinking.report import Arenas
from pytest_tinybudget.shrinking.report import Proof
from pytest_tinybudget.shrinking.report import arena_texts
from pytest_tinybudget.shrinking.sameness import difference
from pytest_tinybudget.shrinking.shrink import proven
from pytest_tinybudget.shrinking.shrink import shrink_model
from pytest_tinybudget.shrinking.shrink import shrinking
from pytest_tinybudget.shrinking.solver import Buffer
from pytest_tinybudget.shrinking.solver import lower_bound
from pytest_tinybudget.shrinking.solver import place
from pytest_tinybudget.workspace import Workspace


needs_tflm = pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))
M4 = {"m4": Firmware(RUNTIMES["m4_cmsisnn"])}
BOARDS = {
    name: Firmware(RUNTIMES[name])
    for name in ("m4_cmsisnn", "m4_ref", "m55_cmsisnn", "rv32imc_ref")
}
PLAN = "OfflineMemoryAllocation"


def made(maker: ModelMaker, name: str = "kws") -> Model:
    return read_model(maker.build(), name)


def convolutions(*, per_channel: bool = True) -> ModelMaker:
    """Two convolutions and a dense layer, with weights that are not zero."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 2), name="spectrogram")
    first = graph.conv2d(image, filters=8, per_channel=per_channel)
    second = graph.conv2d(first, filters=8, per_channel=per_channel)
    graph.output(graph.softmax(graph.dense(second, units=4)))
    fill(maker, random.Random(1))
    maker.metadata["labels.txt"] = b"word\n" * 40
    maker.signature("serving_default", {"image": image}, {"scores": graph.outputs[0]})
    return maker


def gapped() -> ModelMaker:
    """A chain of 7, 6, 6 and 7 parts, which TFLM's planner gives more than two of the largest."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 7, 16, 16))
    shorter = graph.strided_slice(source, (0, 0, 0, 0), (1, 6, 16, 16), (1, 1, 1, 1))
    same = graph.unary("RELU", shorter)
    graph.output(graph.pad(same, ((0, 0), (0, 1), (0, 0), (0, 0))))
    return maker


# The file.


def test_names_metadata_and_signatures_go() -> None:
    model = made(convolutions())
    small = shrink_model(model).model
    assert (small.description, small.metadata, small.signatures) == ("", {}, ())
    assert not any(tensor.name for tensor in small.main.tensors)
    for text in (b"word", b"spectrogram", b"serving_default"):
        assert text in model.content
        assert text not in small.content


@pytest.mark.parametrize(
    ("keep", "text"),
    [("names", b"spectrogram"), ("signatures", b"serving_default"), ("metadata", b"word\nword")],
)
def test_what_is_asked_for_stays(keep: str, text: bytes) -> None:
    small = shrink_model(made(convolutions()), None, ShrinkOptions(keep=(keep,))).model  # type: ignore[arg-type]
    assert text in small.content


def test_signatures_that_stay_name_the_tensors_by_their_new_numbers() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.tensor((1, 64))  # used by nothing
    image = graph.input((1, 8), name="image")
    graph.output(graph.dense(image, units=4))
    maker.signature("serving_default", {"image": image}, {"scores": graph.outputs[0]})
    small = shrink_model(made(maker), None, ShrinkOptions(keep=("signatures",))).model
    (signature,) = small.signatures
    assert signature.inputs == {"image": small.main.inputs[0]}
    assert signature.outputs == {"scores": small.main.outputs[0]}
    assert len(small.main.tensors) == len(graph.tensors) - 1


@pytest.mark.parametrize("network", [small_network, calling_network, convolutions])
def test_all_that_interpreters_read_stays(network: Callable[[], ModelMaker]) -> None:
    model = made(network())
    small = shrink_model(model).model
    assert small.bytes < model.bytes
    assert difference(model, small, bias_scales=False) == ""


def test_unused_tensors_buffers_codes_and_subgraphs_go() -> None:
    maker = convolutions()
    maker.graphs[0].tensor((1, 1024))
    maker.graphs[0].constant((256,), values=range(256))
    unused = maker.graph("never called")
    unused.output(unused.unary("EXP", unused.input((1, 4), "FLOAT32")))
    small = shrink_model(made(maker)).model
    assert len(small.subgraphs) == 1
    assert small.content == shrink_model(made(convolutions())).model.content


def test_called_subgraphs_stay_and_are_called_by_their_new_numbers() -> None:
    maker = calling_network()
    uncalled = maker.graph("never called")
    uncalled.output(uncalled.unary("EXP", uncalled.input((1, 4), "FLOAT32")))
    maker.graphs.insert(1, maker.graphs.pop())
    for graph in maker.graphs:
        for each in graph.steps:
            each.options = {
                name: value + 1 if name.endswith("subgraph_index") else value
                for name, value in each.options.items()
            }
    before = made(calling_network())
    model = made(maker)
    small = shrink_model(model).model
    assert len(small.subgraphs) == len(before.subgraphs) == len(model.subgraphs) - 1
    assert difference(before, small, bias_scales=False) == ""


def test_equal_vectors_tables_strings_and_buffers_are_written_once() -> None:
    one, two = made(convolutions()), convolutions()
    root = two.table()
    again = read_model(write(root), "kws")
    assert shrink_model(one).model.content == shrink_model(again).model.content
    small = shrink_model(one).model.content
    zero_points = struct.pack("<I8q", 8, *[0] * 8)
    assert one.content.count(zero_points) > small.count(zero_points) == 1


def test_contents_of_tensors_start_at_multiples_of_16() -> None:
    small = shrink_model(made(convolutions())).model
    for tensor in small.main.tensors:
        if tensor.is_constant:
            assert small.content.index(bytes(tensor.data)) % 16 == 0


def test_variables_share_no_buffer_with_contents() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 3, 4)), units=4))
    small = shrink_model(made(maker)).model
    variables = [tensor for tensor in small.main.tensors if tensor.is_variable]
    assert len(variables) == 2, "equal tables, two tensors"
    assert all(each.buffer == 0 and not each.data for each in variables)


def test_a_bias_keeps_its_scale_where_there_is_one_for_all_channels() -> None:
    def biases(model: Model) -> list[tuple[float, ...]]:
        return [
            model.main.tensors[each.inputs[2]].quantization.scales
            for each in model.main.operators
            if each.name in ("CONV_2D", "FULLY_CONNECTED")
        ]

    model = made(convolutions(per_channel=False))
    assert biases(shrink_model(model).model) == biases(model)
    channels = made(convolutions())
    small = shrink_model(channels).model
    assert [len(each) for each in biases(small)] == [len(each) for each in biases(channels)]
    assert biases(small) != biases(channels)
    kept = shrink_model(channels, None, ShrinkOptions(without=("bias-scales",))).model
    assert biases(kept) == biases(channels)
    assert kept.bytes > small.bytes


def test_the_same_model_gives_the_same_bytes_and_a_small_one_stays() -> None:
    model = made(convolutions())
    first = shrink_model(model).model
    assert shrink_model(made(convolutions())).model.content == first.content
    again = shrink_model(first)
    assert again.model.content == first.content
    assert again.report.unchanged == "nothing here makes it smaller"


def test_a_file_with_contents_outside_is_left_as_it_is() -> None:
    table = convolutions().table()
    table.values["buffers"][1].values.update(data=None, offset=4096, size=8)
    model = read_model(write(table), "kws")
    shrunk = shrink_model(model)
    assert shrunk.model is model
    assert shrunk.report.unchanged == "contents lie outside the file"
    assert "unchanged" in shrunk.report.headline


def test_a_file_that_readers_would_refuse_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(content: bytes, name: str) -> Model:
        raise ModelError(f"{name}: damaged: its parts overlap")

    model = made(convolutions())
    monkeypatch.setattr("pytest_tinybudget.shrinking.shrink.read_model", refused)
    shrunk = shrink_model(model)
    assert shrunk.model is model
    assert "readers would refuse it" in shrunk.report.unchanged


def test_numbers_that_are_none_stay_what_they_are() -> None:
    maker = convolutions()
    first = next(each for each in maker.graphs[0].tensors if each.scales)
    first.scales = (float("nan"),)
    small = shrink_model(made(maker)).model
    (scale,) = small.main.tensors[small.main.inputs[0]].quantization.scales
    assert scale != scale


def test_a_constant_that_is_no_bias_keeps_its_scales() -> None:
    maker = convolutions()
    graph = maker.graphs[0]
    bias = graph.tensors[graph.steps[0].inputs[2]]
    bias.shape = (1, 8)
    model, small = made(maker), shrink_model(made(maker)).model
    scales = [
        each.main.tensors[each.main.operators[0].inputs[2]].quantization.scales
        for each in (model, small)
    ]
    assert scales[0] == scales[1]


def test_a_difference_in_what_is_read_is_told() -> None:
    model, other = made(convolutions()), convolutions()
    spec = next(each for each in other.graphs[0].tensors if each.type == "INT8" and each.data)
    spec.data = bytes([1, *(spec.data or b"")[1:]])
    assert "CONV_2D: other inputs" in difference(model, made(other))


def test_compressed_models_keep_the_numbers_that_their_metadata_names() -> None:
    maker = convolutions()
    maker.graphs[0].tensor((1, 64))
    maker.metadata["COMPRESSION_METADATA"] = b"\0" * 32
    model = made(maker)
    small = shrink_model(model).model
    buffers = [each.buffer for each in model.main.tensors]
    assert [each.buffer for each in small.main.tensors] == buffers
    assert bytes(small.metadata["COMPRESSION_METADATA"]) == b"\0" * 32


def test_the_parts_add_up_to_the_files() -> None:
    report = shrink_model(made(convolutions())).report
    assert sum(part.before for part in report.parts) == report.bytes_before
    assert sum(part.after for part in report.parts) == report.bytes_after
    assert report.least_bytes < report.bytes_after < report.bytes_before


# Packing alone.


@pytest.mark.parametrize("network", [small_network, calling_network, convolutions])
def test_packing_changes_nothing_that_the_file_says(network: Callable[[], ModelMaker]) -> None:
    model = made(network())
    packed = read_model(pack(take_apart(model.content, "kws")), "kws")
    assert packed.bytes < model.bytes
    assert [graph.tensors for graph in packed.subgraphs] == [g.tensors for g in model.subgraphs]
    assert packed.signatures == model.signatures
    assert packed.description == model.description


def test_values_that_only_look_alike_stay_apart() -> None:
    tensors = [
        Table("Tensor", {"shape": (1,), "type": "INT32", "buffer": 0, "name": name})
        for name in ("ab", "ab\0", "")
    ]
    graph = Table("SubGraph", {"tensors": tensors, "operators": [], "name": "ab"})
    root = Table("Model", {"version": 3, "subgraphs": [graph], "buffers": [Table("Buffer", {})]})
    again = take_apart(pack(take_apart(write(root), "m")), "m")
    names = [each.text("name") for each in again.tables("subgraphs")[0].tables("tensors")]
    assert names == [b"ab", b"ab\0", b""]


# The proof.


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine | None]]:
    pytest.importorskip("tflite_micro")
    with Engine("tflm") as tflm:
        if find_spec("ai_edge_litert") is None:
            yield tflm, None
            return
        with Engine("litert") as litert:
            yield tflm, litert


@pytest.fixture(scope="module")
def interpreters() -> Iterator[Interpreters]:
    with Interpreters() as running:
        yield running


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(maker=graphs())
def test_random_graphs_answer_alike_and_take_no_more(
    maker: ModelMaker, engines: tuple[Engine, Engine | None], interpreters: Interpreters
) -> None:
    assert judged(maker, *engines, interpreters).finding == ""


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_the_proof_runs_both_files_on_eight_inputs() -> None:
    model = made(convolutions())
    proof = proven(shrink_model(model), model).report.proof
    assert proof.is_verified
    assert min(run.invocations for run in proof.runs) >= 8
    assert "outputs equal byte for byte: TFLM 8" in proof.text


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_the_proof_runs_samples_of_the_user_too(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    model = made(convolutions())
    small = shrink_model(model).model
    shapes = {"floats.npz": (3, 8, 8, 2), "other.npz": (3, 5)}
    runs = []
    for name, shape in shapes.items():
        path = tmp_path / name
        numpy.savez(
            path, image=numpy.linspace(-1, 1, 3 * 128 if "f" in name else 15).reshape(shape)
        )
        runs.append(prove(model, small, samples=samples_at(path)).runs[0].invocations)
    assert runs == [8 + 3, 8], "what is not in the form of the inputs is left"


@pytest.fixture
def small() -> tuple[Model, Model]:
    """A model and its smaller file."""
    model = made(convolutions())
    return model, shrink_model(model).model


@needs_tflm
@pytest.mark.parametrize("form", ["folder", "function", "samples", "names", "places"])
def test_the_proof_takes_samples_in_every_form_that_conversions_take(
    form: str, tmp_path: Path, small: tuple[Model, Model], interpreters: Interpreters
) -> None:
    numpy = pytest.importorskip("numpy")
    values = numpy.linspace(-1, 1, 5 * 128, dtype="float32").reshape(5, 8, 8, 2)
    given = Samples(function=(tmp_path, f"own_{tmp_path.name}".replace("-", "_"), "data"))
    if form == "folder":
        (tmp_path / "deep").mkdir()
        for index, each in enumerate(values):
            numpy.save(tmp_path / "deep" / f"{index}.npy", each)
        (tmp_path / "deep" / "notes.txt").write_text("no arrays")
        given = samples_at(tmp_path)
    elif form in ("names", "places"):
        name = "image" if form == "names" else "arr_0"
        numpy.savez(tmp_path / "data.npz", **{name: values})
        given = samples_at(tmp_path / "data.npz")
    else:
        body = "values" if form == "function" else "([each] for each in values)"
        assert given.function is not None
        (tmp_path / f"{given.function[1]}.py").write_text(
            "import numpy\n"
            "def data():\n"
            "    print('between the answers')\n"
            "    values = numpy.linspace(-1, 1, 640, dtype='float32').reshape(5, 8, 8, 2)\n"
            f"    return {body}\n"
        )
    proof = prove(*small, samples=given, interpreters=interpreters)
    assert (proof.samples, proof.samples_unused) == (5, "")
    assert proof.runs[0].invocations == 8 + 5
    assert "5 inputs of the representative data" in proof.text


@needs_tflm
def test_of_many_samples_the_first_eight_are_run(
    tmp_path: Path, small: tuple[Model, Model], interpreters: Interpreters
) -> None:
    numpy = pytest.importorskip("numpy")
    numpy.save(tmp_path / "many.npy", numpy.zeros((30, 8, 8, 2), "int8"))
    proof = prove(*small, samples=samples_at(tmp_path / "many.npy"), interpreters=interpreters)
    assert proof.samples == 8


@needs_tflm
@pytest.mark.parametrize(
    ("array", "says"),
    [
        ("zeros((3, 5), 'int8')", "reshape"),
        ("zeros((3, 8, 8, 2), 'uint8')", "uint8 where the input is int8"),
        ("zeros((0, 8, 8, 2), 'int8')", "no samples"),
        ("array([object()])", ""),
    ],
)
def test_samples_that_do_not_fit_are_told(
    array: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    numpy = pytest.importorskip("numpy")
    monkeypatch.chdir(tmp_path)
    numpy.save("data.npy", eval(f"numpy.{array}", {"numpy": numpy, "object": object}))
    Path("kws.tflite").write_bytes(made(convolutions()).content)
    assert main(["shrink", "kws.tflite", "--samples", "data.npy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "data.npy: not in the form of the inputs" in line
    assert says in line
    assert not Path("kws.small.tflite").exists()


@needs_tflm
def test_a_model_that_ends_the_process_of_the_proof_ends_no_others(
    small: tuple[Model, Model],
) -> None:
    with Interpreters() as running:
        first = proving(*small, running)
        job = first.job
        assert job is not None
        running.answers(job)
        child = running._child
        assert child is not None
        child.send_signal(signal.SIGSTOP)  # it must not be done before it ends
        second, third = proving(*small, running), proving(*small, running)
        child.kill()
        assert third.result().is_verified
        assert len(second.result().runs) == len(job.request["engines"])
        assert running._child is not child


@needs_tflm
def test_what_an_interpreter_does_not_run_is_told_and_others_are_run(
    small: tuple[Model, Model],
) -> None:
    strange = of_an_unknown_operator()
    with Interpreters() as running:
        proof, other = proving(strange, strange, running), proving(*small, running)
        assert not proof.result().is_verified
        assert "TFLM: it does not run the model" in proof.result().text
        assert other.result().is_verified


@needs_tflm
def test_a_file_that_does_not_run_any_more_is_an_error(small: tuple[Model, Model]) -> None:
    with pytest.raises(DiffersError, match="does not run in TFLM's interpreter"):
        prove(small[0], of_an_unknown_operator())


def of_an_unknown_operator() -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 4))
    graph.operator("SOME_CUSTOM", (graph.input((1, 8, 8, 2)),), (result,))
    graph.output(graph.unary("RELU", result))
    return made(maker)


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_a_file_that_answers_otherwise_is_an_error() -> None:
    model, other = made(convolutions()), convolutions()
    for spec in other.graphs[0].tensors:
        if spec.type == "INT8" and spec.data:
            spec.data = bytes(60 for _ in spec.data)
    with pytest.raises(DiffersError, match="output 0 differs in TFLM's interpreter"):
        prove(model, made(other))


def test_without_interpreters_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    model = made(convolutions())
    proof = proven(shrink_model(model), model).report.proof
    assert not proof.is_verified
    assert proof.text.startswith("not verified here")


# The memory plan.


def test_a_plan_closes_the_gaps_of_the_greedy_planner() -> None:
    model = made(gapped())
    before = simulate(model, BOARDS["m4_ref"]).arena
    made_ = shrink_model(model, BOARDS)
    assert before is not None
    assert made_.report.plan == "written"
    for name, firmware in BOARDS.items():
        arena = simulate(made_.model, firmware).arena
        assert arena is not None
        assert arena.head == arena.optimum_head < before.head, name


def test_without_boards_no_plan_is_written() -> None:
    made_ = shrink_model(made(gapped()))
    assert (made_.report.plan, made_.report.arenas) == ("none", ())
    assert PLAN not in made_.model.metadata


def test_a_plan_of_the_models_own_stays_where_its_buffers_overlap() -> None:
    maker = gapped()
    maker.offline_plan([0 if each.data is None else -1 for each in maker.graphs[0].tensors])
    small = shrink_model(made(maker), BOARDS)
    assert small.report.plan == "kept"
    own = [0 if each.data is None else -1 for each in maker.graphs[0].tensors]
    words = struct.unpack(f"<{3 + len(small.model.main.tensors)}i", small.model.metadata[PLAN])
    assert set(words[3:]) == {0, -1}
    assert words[3:].count(0) == own.count(0)


def test_a_plan_that_tflm_would_misread_is_left_out() -> None:
    model = made(calling_network())
    runtime = RUNTIMES["m4_ref"]
    old = Version("90b983c2", lacks=frozenset({"offline plans of several subgraphs"}))
    firmware = Firmware(replace(runtime, tflm=replace(runtime.tflm, version=old)))
    report = shrink_model(model, {"old": firmware}).report
    assert report.plan == "none"
    assert any("may misread a plan of several subgraphs" in note for note in report.notes)


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_the_interpreter_needs_what_is_predicted_before_and_after() -> None:
    firmware = Firmware(RUNTIMES["x86_64_ref"])
    model = made(gapped())
    small = shrink_model(model, {"here": firmware}).model
    with Engine("tflm") as _, _oracle() as oracle:
        for each in (model, small):
            arena = simulate(each, firmware).arena
            assert arena is not None
            assert oracle.read(each.content, arena.required).status == "ok"
            assert oracle.read(each.content, arena.required - 16).status != "ok"


def _oracle() -> object:
    from oracle import Oracle

    return Oracle()


def random_buffers(count: int, number: int) -> list[Buffer]:
    """Buffers of a network with branches: most live shortly, some for long."""
    chance = random.Random(number)
    found = []
    for _ in range(count):
        first = chance.randrange(count)
        last = first + (1 if chance.random() < 0.8 else chance.randrange(1, 12))
        found.append(Buffer(16 * chance.randrange(1, 200), first, last))
    return found


def assert_apart(buffers: list[Buffer], offsets: tuple[int, ...]) -> None:
    placed = list(zip(buffers, offsets, strict=True))
    for index, (one, at) in enumerate(placed):
        for other, there in placed[:index]:
            if one.first <= other.last and other.first <= one.last:
                assert at + one.size <= there or there + other.size <= at


@pytest.mark.parametrize("number", range(6))
def test_500_buffers_are_placed_at_the_lower_bound(number: int) -> None:
    buffers = random_buffers(500, number)
    placed = place(buffers)
    assert placed.peaks == placed.bounds == (lower_bound(buffers),)
    assert_apart(buffers, placed.offsets)


def test_one_plan_serves_boards_with_other_scratch_buffers() -> None:
    buffers = [
        Buffer(64, 0, 1),
        Buffer(32, 1, 2),
        Buffer(96, 1, 1, group=0),
        Buffer(16, 2, 2, group=1),
    ]
    placed = place(buffers, limits=(400, 400))
    assert placed.peaks == placed.bounds == (192, 96)


def test_no_buffers_need_no_room() -> None:
    assert place([]).peaks == (0,)


# The order of operators.


def branching() -> ModelMaker:
    """Two wide tensors that are reduced, written in the order that needs both at once."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 16, 16, 4))
    wide = [graph.concat([image] * count, axis=3) for count in (4, 3)]
    reduced = [graph.pool(each, kernel=(16, 16), stride=(1, 1)) for each in wide]
    graph.output(graph.concat(reduced, axis=3))
    return maker


def random_work(count: int, number: int) -> Work:
    """Operators that each read one to three earlier results; some have a state."""
    chance = random.Random(number)
    steps = []
    for index in range(count):
        reads = {chance.randrange(index + 1) for _ in range(chance.randrange(1, 4))}
        stays = chance.random() < 0.3
        scratch = 16 * chance.randrange(3)
        steps.append(Step(frozenset(reads), frozenset({index + 1}), scratch, stays=stays))
    sizes = {index: 16 * chance.randrange(1, 9) for index in range(count + 1)}
    read = frozenset().union(*(each.reads for each in steps))
    outputs = frozenset(range(count + 1)) - read
    return Work(tuple(steps), sizes, frozenset({0}), outputs)


@pytest.mark.parametrize("number", range(25))
def test_no_possible_order_has_a_lower_peak(number: int) -> None:
    work = random_work(7, number)
    found = best_order(work)
    every = [each for each in permutations(range(7)) if is_possible(each, work)]
    assert found.is_exact
    assert is_possible(found.steps, work)
    assert found.peak == peak_of(found.steps, work) == min(peak_of(each, work) for each in every)


def test_many_operators_are_ordered_within_a_second_and_no_worse() -> None:
    work = random_work(150, 0)
    with soon(2):
        found = best_order(work)
    assert is_possible(found.steps, work)
    assert found.peak <= peak_of(range(150), work)


def test_operators_with_a_state_stay_in_their_order() -> None:
    for number in range(25):
        work = random_work(9, number)
        order = best_order(work).steps
        stays = [index for index, step in enumerate(work.steps) if step.stays]
        assert [index for index in order if index in stays] == stays


def test_a_branching_graph_runs_in_the_order_that_needs_least() -> None:
    model = made(branching())
    small = shrink_model(model, BOARDS)
    assert small.report.reordered
    assert any("another order" in line for line in small.report.lines())
    for name, firmware in BOARDS.items():
        before, after = simulate(model, firmware).arena, simulate(small.model, firmware).arena
        assert before is not None
        assert after is not None
        assert after.head < before.head, name
    kept = shrink_model(model, BOARDS, ShrinkOptions(without=("order",)))
    assert not kept.report.reordered
    assert [each.name for each in kept.model.main.operators] == [
        each.name for each in model.main.operators
    ]


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_another_order_gives_the_same_outputs() -> None:
    model = made(branching())
    assert proven(shrink_model(model, BOARDS), model).report.proof.is_verified


# Operators that compute nothing new.


def flattened(*, keeps: bool = False) -> ModelMaker:
    """A convolution, a RESHAPE and a dense layer, with weights that are not zero."""
    maker = ModelMaker()
    graph = maker.graph()
    features = graph.conv2d(graph.input((1, 4, 4, 2)), filters=4)
    shape = (1, 16, 4) if keeps else (1, 64)
    graph.output(graph.dense(graph.reshape(features, shape), units=4, keep_num_dims=keeps))
    fill(maker, random.Random(2))
    return maker


def requantized(*, again: float = 1 / 32) -> ModelMaker:
    """A tensor that is dequantized and quantized again, by another scale where one is given."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.unary("RELU", graph.input((1, 32)))
    numbers = graph.tensor((1, 32), "FLOAT32")
    graph.operator("DEQUANTIZE", (source,), (numbers,))
    result = graph.tensor((1, 32), scale=again)
    graph.operator("QUANTIZE", (numbers,), (result,))
    graph.output(graph.dense(result, units=4))
    fill(maker, random.Random(3))
    return maker


def idle() -> ModelMaker:
    """A graph with two operators whose results nobody reads."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 4, 2))
    graph.pad(graph.strided_slice(image, (0,) * 4, (1, 2, 2, 2), (1,) * 4), ((0, 0),) * 4)
    shape = graph.tensor((4,), "INT32")
    graph.operator("SHAPE", (image,), (shape,), {"out_type": "INT32"})
    graph.output(graph.dense(image, units=4))
    fill(maker, random.Random(4))
    return maker


def names(model: Model) -> list[str]:
    return [each.name for each in model.main.operators]


@pytest.mark.parametrize(
    ("maker", "switch", "left"),
    [
        (flattened(), "reshapes", ["CONV_2D", "FULLY_CONNECTED"]),
        (requantized(), "quantize-pairs", ["RELU", "FULLY_CONNECTED"]),
        (idle(), "unread-operators", ["STRIDED_SLICE", "PAD", "FULLY_CONNECTED"]),
    ],
    ids=["reshape", "quantize", "unread"],
)
def test_an_operator_that_computes_nothing_new_goes(
    maker: ModelMaker, switch: str, left: list[str]
) -> None:
    model = made(maker)
    small = shrink_model(model, BOARDS)
    assert names(small.model) == left
    assert small.report.dropped
    kept = shrink_model(model, BOARDS, ShrinkOptions(without=(switch,)))  # type: ignore[arg-type]
    assert len(names(kept.model)) > len(left)
    if find_spec("tflite_micro") is not None:
        assert proven(small, model).report.proof.is_verified


@pytest.mark.parametrize(
    ("maker", "stays"),
    [(flattened(keeps=True), "RESHAPE"), (requantized(again=1 / 16), "QUANTIZE")],
    ids=["a dense layer that keeps the shape", "another scale"],
)
def test_an_operator_whose_result_counts_stays(maker: ModelMaker, stays: str) -> None:
    model = made(maker)
    assert names(shrink_model(model, BOARDS).model) == names(model)
    assert stays in names(model)


def test_a_reshape_that_is_an_output_or_that_a_shape_is_asked_of_stays() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 4, 2))
    graph.output(graph.reshape(image, (1, 32)))
    graph.output(graph.pool(graph.reshape(image, (1, 2, 8, 2))))
    assert names(shrink_model(made(maker)).model) == names(made(maker))


# Constants.


def of_constants() -> ModelMaker:
    """A graph that adds what four operators make of two constants."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 6))
    turned = graph.tensor((4, 6))
    order = graph.constant((2,), values=(1, 0))
    one, other = (graph.constant(shape, "INT8") for shape in ((6, 4), (1, 24)))
    graph.operator("TRANSPOSE", (one, order), (turned,))
    both = graph.add(turned, graph.reshape(other, (4, 6)))
    graph.output(graph.add(image, graph.reshape(both, (1, 4, 6))))
    fill(maker, random.Random(5))
    return maker


def dequantized(maker: ModelMaker, count: int) -> ModelMaker:
    """Another graph's output as floats, and a constant of so many numbers added that is INT8."""
    graph = maker.graphs[0] if maker.graphs else maker.graph()
    image = graph.input((1, count), "FLOAT32")
    numbers = graph.tensor((1, count), "FLOAT32")
    small = graph.constant((1, count), "INT8", values=[each % 90 for each in range(count)])
    graph.operator("DEQUANTIZE", (small,), (numbers,))
    graph.output(graph.binary("MUL", image, numbers))
    return maker


@needs_tflm
def test_operators_of_constants_are_replaced_by_what_the_interpreter_computes() -> None:
    model = made(of_constants())
    small = proven(shrink_model(model, BOARDS), model)
    assert names(small.model) == ["ADD"]
    assert small.folded == 4
    assert small.report.dropped[0].startswith("4 x an operator of constants alone")
    assert small.report.proof.is_verified
    kept = shrink_model(model, BOARDS, ShrinkOptions(without=("constants",)))
    assert names(kept.model) == names(model)
    assert kept.report.notes == ()
    assert small.model.bytes < kept.model.bytes
    for now, unfolded in zip(small.report.arenas, kept.report.arenas, strict=True):
        assert now.after < unfolded.after


@needs_tflm
def test_the_constant_is_the_one_that_comes_out() -> None:
    small = shrink_model(made(dequantized(ModelMaker(), 8))).model
    assert names(small) == ["MUL"]
    (constant,) = (each for each in small.main.tensors if each.is_constant)
    assert struct.unpack("<8f", constant.data) == tuple(each / 32 for each in range(8))


@needs_tflm
def test_a_constant_that_would_make_the_file_larger_is_not_folded() -> None:
    model = made(dequantized(ModelMaker(), 4096))
    small = shrink_model(model, BOARDS)
    assert names(small.model) == names(model)
    assert small.model == shrink_model(model, BOARDS, ShrinkOptions(without=("constants",))).model
    both = dequantized(of_constants(), 4096)
    assert names(shrink_model(made(both), BOARDS).model) == ["ADD", "DEQUANTIZE", "MUL"]


def test_without_an_interpreter_nothing_is_folded_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    model = made(of_constants())
    small = shrink_model(model, BOARDS)
    assert names(small.model) == names(model)
    (note,) = small.report.notes
    assert note.startswith("not folded here: 4 x an operator of constants alone (pip install")
    assert small.report.told()[-2] == f"shrink: {note}"


def exponent() -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4), "FLOAT32")
    graph.output(graph.add(image, graph.unary("EXP", graph.constant((1, 4), "FLOAT32"))))
    return maker


def constant_output() -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.unary("RELU", graph.input((1, 4))))
    graph.output(graph.add(graph.constant((1, 4), "INT8"), graph.constant((1, 4), "INT8")))
    fill(maker, random.Random(6))
    return maker


def branched_on_constants() -> ModelMaker:
    """A subgraph is called with what an operator makes of constants."""
    maker = ModelMaker()
    graph = maker.graph()
    condition, image = graph.input((), "BOOL"), graph.input((1, 4))
    value = graph.add(graph.constant((1, 4), "INT8"), graph.constant((1, 4), "INT8"))
    result = graph.tensor((1, 4))
    branches = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    graph.operator("IF", (condition, value), (result,), branches)
    graph.output(graph.add(image, result))
    for name in ("then", "else"):
        branch = maker.graph(name)
        branch.output(branch.unary("RELU", branch.input((1, 4))))
    fill(maker, random.Random(7))
    return maker


@needs_tflm
@pytest.mark.parametrize("network", [exponent, constant_output, branched_on_constants])
def test_what_may_be_rounded_otherwise_or_is_handed_on_is_not_folded(
    network: Callable[[], ModelMaker],
) -> None:
    model = made(network())
    small = proven(shrink_model(model, BOARDS), model)
    assert names(small.model) == names(model)
    assert small.folded == 0
    assert small.report.proof.is_verified


@needs_tflm
def test_where_folding_makes_a_difference_the_model_is_shrunk_without(
    monkeypatch: pytest.MonkeyPatch, interpreters: Interpreters
) -> None:
    real = Proving.result
    asked = []

    def differs(self: Proving) -> Proof:
        asked.append(self)
        if len(asked) == 1:
            raise DiffersError("kws: shrunken, output 0 differs in LiteRT's interpreter")
        return real(self)

    monkeypatch.setattr(Proving, "result", differs)
    model = made(of_constants())
    found = shrinking(model, BOARDS, interpreters=interpreters).result()
    assert names(found.model) == names(model)
    assert found.report.proof.is_verified
    (note,) = found.report.notes
    assert note == "constants are not folded: shrunken, output 0 differs in LiteRT's interpreter"
    assert len(asked) == 2


def test_where_a_models_own_plan_overlaps_every_operator_stays() -> None:
    maker = flattened()
    graph = maker.graphs[0]
    graph.output(graph.unary("RELU", graph.inputs[0]))
    offsets = [-1] * len(graph.tensors)
    scores, activated = graph.outputs
    offsets[scores], offsets[activated] = 4096 + 16, 4096
    maker.metadata[PLAN] = struct.pack(f"<{3 + len(offsets)}i", 1, 0, len(offsets), *offsets)
    model = made(maker)
    for boards in (BOARDS, {}):
        small = shrink_model(model, boards)
        assert names(small.model) == names(model)
        assert small.report.plan == "kept"


# The command, and Python.


def test_the_command_writes_the_file_and_says_what_it_saves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = made(convolutions())
    Path("kws.tflite").write_bytes(model.content)
    assert main(["shrink", "kws.tflite", "--board", "raspberry-pi-pico"]) == 0
    out = capsys.readouterr().out
    small = Path("kws.small.tflite").read_bytes()
    assert small == shrink_model(model).model.content
    assert f"({-100 * (model.bytes - len(small)) / model.bytes:.1f}%)" in out.splitlines()[0]
    assert "no file goes below" in out
    assert "raspberry-pi-pico: arena" in out
    assert Path("kws.tflite").read_bytes() == model.content


def test_the_command_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kws.tflite").write_bytes(made(convolutions()).content)
    assert main(["shrink", "kws.tflite", "-o", "out/small.tflite", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == str(Path("out/small.tflite"))
    assert said["bytes_after"] == Path("out/small.tflite").stat().st_size
    assert {"bytes_before", "least_bytes", "parts", "arenas", "proof", "plan"} <= set(said)
    assert "runs" in said["proof"]


def test_a_difference_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def differs(*_: object, **__: object) -> None:
        raise DiffersError("kws: shrunken, output 0 differs in TFLM's interpreter")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pytest_tinybudget.shrinking.proof.Proving.result", differs)
    Path("kws.tflite").write_bytes(made(convolutions()).content)
    assert main(["shrink", "kws.tflite"]) == 2
    assert "[TB310]" in capsys.readouterr().err
    assert not Path("kws.small.tflite").exists()


@pytest.mark.parametrize("other", ["kws.tflite", "./kws.tflite", "link.tflite"])
def test_the_given_model_is_overwritten_only_where_that_is_asked_for(
    other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = made(convolutions())
    Path("kws.tflite").write_bytes(model.content)
    os.link("kws.tflite", "link.tflite")
    assert main(["shrink", "kws.tflite", "-o", other]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is the given model" in line
    assert "--overwrite" in line
    assert Path("kws.tflite").read_bytes() == model.content
    assert main(["shrink", "kws.tflite", "-o", other, "--overwrite"]) == 0
    assert Path(other).read_bytes() == shrink_model(model).model.content


def test_a_file_for_one_board_does_not_overwrite_the_given_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shrunk = shrink_model(made(convolutions()))
    monkeypatch.setattr(
        "pytest_tinybudget.shrinking.shrink.shrink_model",
        lambda *_, **__: replace(shrunk, separate=("esp32",)),
    )
    monkeypatch.chdir(tmp_path)
    content = made(convolutions()).content
    Path("kws.esp32.tflite").write_bytes(content)
    assert main(["shrink", "kws.esp32.tflite", "--board", "esp32", "-o", "kws.tflite"]) == 2
    assert "is the given model" in capsys.readouterr().err
    assert [each.name for each in Path().iterdir()] == ["kws.esp32.tflite"]
    assert Path("kws.esp32.tflite").read_bytes() == content


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--keep", "name"], "unknown part to keep 'name'; did you mean 'names'?"),
        (["--without", "plans"], "unknown change to leave out 'plans'; did you mean 'plan'?"),
        (["--board", "raspberry-pi-pic"], "did you mean 'raspberry-pi-pico'"),
        (["--samples", "none.npz"], "none.npz: no such file"),
        (["-o", "."], "is a folder"),
    ],
)
def test_wrong_options_are_told(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kws.tflite").write_bytes(made(convolutions()).content)
    assert main(["shrink", "kws.tflite", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_help_and_docs_name_every_change(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["shrink", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    docs = (ROOT / "docs" / "shrink.md").read_text("utf-8")
    for name in REWRITES:
        assert name in told
        assert f"| `{name}` |" in docs


def test_python_shrinks_bytes_and_files(tmp_path: Path) -> None:
    content = made(gapped()).content
    path = tmp_path / "kws.tflite"
    path.write_bytes(content)
    shrunk = pytest_tinybudget.shrink(content, boards=["raspberry-pi-pico"])
    assert shrunk.content == pytest_tinybudget.shrink(path, boards=["raspberry-pi-pico"]).content
    assert (shrunk.report.bytes_before, shrunk.report.bytes_after) == (
        len(content),
        len(shrunk.content),
    )
    (arena,) = shrunk.report.arenas
    assert arena.planned
    assert 0 < arena.after < arena.before


def test_inspect_says_what_of_the_file_is_waste(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = made(gapped())
    Path("kws.tflite").write_bytes(model.content)
    assert main(["inspect", "kws.tflite", "--board", "raspberry-pi-pico"]) == 0
    out = capsys.readouterr().out
    report = shrink_model(model, {"raspberry-pi-pico": BOARDS["m4_ref"]}).report
    assert f"of which {report.saved_bytes:,} B are waste (tinybudget shrink)" in out
    assert "raspberry-pi-pico: arena" in out
    assert main(["inspect", "kws.tflite", "--board", "raspberry-pi-pico", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["shrunk"]
    assert said["bytes_before"] - said["bytes_after"] == report.saved_bytes
    Path("kws.tflite").write_bytes(shrink_model(model, BOARDS).model.content)
    assert main(["inspect", "kws.tflite"]) == 0
    assert "none of it waste" in capsys.readouterr().out


# In a declaration.

BOTH = """\
[defaults]
boards = ["raspberry-pi-pico", "arduino-nano-33-ble"]
[models.kws]
source = "kws.tflite"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))
    Path("kws.tflite").write_bytes(made(gapped()).content)
    return tmp_path


def checked(declaration: str, *options: str) -> list[dict[str, Any]]:
    Path("tinybudget.toml").write_text(declaration)
    assert main(["check", "--json", "r.json", *options]) == 0
    pairs: list[dict[str, Any]] = json.loads(Path("r.json").read_text())["pairs"]
    return pairs


@pytest.mark.parametrize(
    "declaration",
    [BOTH + "shrink = true\n", BOTH.replace("[models", "shrink = true\n[models")],
    ids=["of the model", "of the defaults"],
)
def test_the_gate_measures_and_writes_the_shrunken_file(
    declaration: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = checked(BOTH)
    pairs = checked(declaration, "--artifacts", "out", "-v")
    assert [pair["shrunk"] for pair in whole] == [None, None]
    boards = ("raspberry-pi-pico", "arduino-nano-33-ble")
    runtimes = {pair["board"]["id"]: pair["runtime"] for pair in pairs}
    firmwares = {
        board: Firmware(runtime_called(runtimes[board], find_board(board).core)) for board in boards
    }
    shrunk = shrink_model(read_model(Path("kws.tflite").read_bytes(), "kws"), firmwares)
    for before, pair in zip(whole, pairs, strict=True):
        report = pair["shrunk"]
        assert pair["model"]["bytes"] == report["bytes_after"] == shrunk.model.bytes
        assert report["bytes_before"] == before["model"]["bytes"]
        assert before["flash"]["used"] - pair["flash"]["used"] == shrunk.report.saved_bytes
        assert pair["arena"]["required"] < before["arena"]["required"]
        assert report["plan"] == "written"
        assert [each["board"] for each in report["arenas"]] == list(firmwares)
    out = capsys.readouterr().out
    assert f"shrink: {shrunk.report.sizes}" in out
    numbers = re.findall(r"0x([0-9a-f]{2})\b", Path("out/kws_model_data.cc").read_text())
    assert bytes.fromhex("".join(numbers)) == shrunk.model.content


def test_explain_shows_both_plans(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tinybudget.toml").write_text(BOTH + "shrink = true\n")
    assert main(["explain", "kws::raspberry-pi-pico"]) == 0
    told = capsys.readouterr().out.split("operator by operator: ")[1].splitlines()
    firmwares = {"raspberry-pi-pico": Firmware(RUNTIMES["m0plus_cmsisnn"])}
    model = made(gapped())
    heads = []
    for each in (model, shrink_model(model, firmwares).model):
        arena = simulate(each, firmwares["raspberry-pi-pico"]).arena
        assert arena is not None
        heads.append(arena.head)
    assert told[0].startswith(f"up to {heads[0]:,} B before, {heads[1]:,} B shrunk")
    assert len(told) == 2 + 3, "a head, and a line for each of three operators"
    assert any(f"{heads[0]:,} B" in line for line in told[2:])
    assert any(line.endswith(f"{heads[1]:,} B") for line in told[2:])
    assert not any(line.endswith(f"{heads[0]:,} B") for line in told[2:])
    Path("tinybudget.toml").write_text(BOTH)
    assert main(["explain", "kws::raspberry-pi-pico"]) == 0
    assert "operator by operator" not in capsys.readouterr().out


def test_a_model_may_choose_what_its_defaults_do(project: Path) -> None:
    defaults = BOTH.replace("[models", "shrink = true\n[models")
    assert {pair["shrunk"] for pair in checked(defaults + "shrink = false\n")} == {None}
    (pair, _) = checked(defaults + 'shrink = { keep = ["names"], without = ["plan"] }\n')
    assert pair["shrunk"]["plan"] == "none"
    names = next(each for each in pair["shrunk"]["parts"] if each["name"].startswith("names"))
    assert names["after"] > 0


def test_the_model_of_a_group_is_one_file_for_all_its_boards(project: Path) -> None:
    Path("vad.tflite").write_bytes(made(convolutions()).content)
    group = """\
[models.vad]
source = "vad.tflite"
[groups.both]
models = ["kws", "vad"]
boards = ["esp32"]
"""
    pairs = checked(BOTH.replace("[models", "shrink = true\n[models") + group)
    (report,) = {json.dumps(each["shrunk"]) for each in pairs if each["model"]["name"] == "kws"}
    boards = [each["board"] for each in json.loads(report)["arenas"]]
    assert set(boards) == {"raspberry-pi-pico", "arduino-nano-33-ble", "esp32"}


def test_what_is_declared_of_outputs_is_checked_on_the_shrunken_model(project: Path) -> None:
    Path("tinybudget.toml").write_text(BOTH + "shrink = true\n")
    declaration = load_declaration(Path("tinybudget.toml"))
    with closing(Workspace()) as workspace:
        found = workspace.model(declaration.models["kws"])
        report = workspace.shrink_report(declaration.models["kws"])
    assert report is not None
    assert found.bytes == report.bytes_after < report.bytes_before


def test_a_second_run_takes_file_and_proof_from_the_cache(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = checked(BOTH + "shrink = true\n")

    def again(*_: object, **__: object) -> None:
        raise AssertionError("shrunk a second time")

    monkeypatch.setattr("pytest_tinybudget.shrinking.shrink.shrink_model", again)
    assert checked(BOTH + "shrink = true\n") == first


def test_a_model_that_would_answer_otherwise_is_an_error(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def differs(*_: object, **__: object) -> None:
        raise DiffersError("kws: shrunken, output 0 differs in TFLM's interpreter")

    monkeypatch.setattr("pytest_tinybudget.shrinking.proof.Proving.result", differs)
    Path("tinybudget.toml").write_text(BOTH + "shrink = true\n")
    assert main(["check", "--artifacts", "out"]) == 2
    assert "TB310" in capsys.readouterr().out
    assert not list(Path().glob("out/*"))


@pytest.mark.parametrize(
    ("value", "says"),
    [('{ keep = ["name"] }', "keep"), ('"yes"', "shrink"), ("{ kept = [] }", "kept")],
)
def test_a_wrong_value_is_told_with_its_line(
    value: str, says: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tinybudget.toml").write_text(f"{BOTH}shrink = {value}\n")
    assert main(["check"]) == 2
    assert says in capsys.readouterr().err


# What the issue names.

SAVED = {
    "mlperf_kws_int8": 39.5,
    "mlperf_vww_int8": 24.3,
    "mww_okay_nabu": 28.3,
    "mww_alexa": 27.7,
    "person_detect": 16.3,
    "mlperf_resnet_int8": 12.8,
    "hello_world_int8": 45.0,
}
ARENAS = {"mlperf_vww_int8": 82_288, "mww_alexa": 16_880, "mlperf_kws_int8": 22_832}


@pytest.mark.parametrize("name", SAVED)
def test_public_models_shrink_at_least_so_much(name: str) -> None:
    path = SHARED / "models" / f"{name}.tflite"
    if not path.exists():
        pytest.skip("needs ../shared")
    report = shrink_model(read_model(path.read_bytes(), name), M4).report
    assert 100 * report.saved_bytes / report.bytes_before >= SAVED[name] - 0.05
    if name in ARENAS:
        assert report.arenas[0].after <= ARENAS[name]


def test_every_public_model_has_a_plan_at_the_lower_bound() -> None:
    paths = sorted((SHARED / "models").glob("*.tflite"))
    if not paths:
        pytest.skip("needs ../shared")
    for path in paths:
        arena = simulate(read_model(path.read_bytes(), path.stem), BOARDS["m4_cmsisnn"]).arena
        if arena is not None:
            buffers = [Buffer(each.bytes, each.first, each.last) for each in arena.buffers]
            assert place(buffers).excess == 0, path.stem


def test_boards_with_the_same_arenas_are_told_together() -> None:
    one, two = Arenas("pico", 4096, 4000), Arenas("nano", 4096, 4000)
    assert arena_texts([one, two]) == ["on both boards: arena 4,096 -> 4,000 B (-2.3%)"]
    other, same = Arenas("esp32", 4096, 3072, planned=True), Arenas("uno", 4096, 4096)
    assert arena_texts([one, two, other, same]) == [
        "pico, nano: arena 4,096 -> 4,000 B (-2.3%)",
        "esp32: arena 4,096 -> 3,072 B (-25.0%) with a memory plan",
    ]
    assert arena_texts([one]) == ["pico: arena 4,096 -> 4,000 B (-2.3%)"]
