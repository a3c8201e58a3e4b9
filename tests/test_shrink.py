"""Stripping: what goes, what stays byte for byte, and that the gate measures what is left."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import write
from msgspec.structs import replace
from networks import calling_network
from networks import small_network
from random_models import models

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tables import UnknownTableError
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.strip import strip


ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", ROOT.parent / "shared"))
RUNTIME = RUNTIMES["m4_cmsisnn"]


def labeled_model(labels: int = 24_000) -> bytes:
    """A small model with a file of labels in its metadata, names and a signature."""
    maker = ModelMaker()
    graph = maker.graph("a graph's name")
    image = graph.input((1, 16, 16, 1), name="spectrogram/of/the/last/second")
    scores = graph.softmax(graph.dense(graph.pool(graph.conv2d(image, filters=8)), units=4))
    graph.output(scores)
    maker.metadata["labels.txt"] = b"word\n" * (labels // 5)
    maker.signature("serving_default", {"image": image}, {"scores": scores})
    return maker.build()


def nameless(model: Model) -> list[object]:
    """Everything that TFLM may read of a graph, as plain data."""
    plain = []
    for graph in model.subgraphs:
        tensors = [
            (each.type, each.shape, each.shape_signature, each.buffer, bytes(each.data),
             each.is_variable, each.quantization)
            for each in graph.tensors
        ]  # fmt: skip
        operators = [
            (each.name, each.version, each.inputs, each.outputs, each.intermediates,
             dict(each.options), bytes(each.custom_options))
            for each in graph.operators
        ]  # fmt: skip
        plain.append((tensors, operators, graph.inputs, graph.outputs))
    return plain


def test_names_descriptions_metadata_and_signatures_go() -> None:
    stripped = strip(read_model(labeled_model(), "kws")).model
    assert not any(tensor.name for tensor in stripped.main.tensors)
    assert (stripped.main.name, stripped.description) == ("", "")
    assert (stripped.metadata, stripped.signatures) == ({}, ())
    for text in (b"word", b"spectrogram", b"serving_default", b"a graph's name"):
        assert text not in stripped.content


@pytest.mark.parametrize("network", [small_network, calling_network])
def test_all_else_stays_as_it_is(network: Callable[[], ModelMaker]) -> None:
    model = read_model(network().build(), "kws")
    stripped = strip(model)
    assert nameless(stripped.model) == nameless(model)
    assert stripped.saved_bytes == model.bytes - stripped.model.bytes > 0


def test_the_memory_plan_that_tflm_obeys_stays() -> None:
    model = read_model(small_network().build(), "kws")
    stripped = strip(model).model
    assert set(stripped.metadata) == {"OfflineMemoryAllocation"}
    plan = bytes(stripped.metadata["OfflineMemoryAllocation"])
    assert plan == bytes(model.metadata["OfflineMemoryAllocation"])


def test_metadata_that_a_tensor_shares_its_buffer_with_keeps_the_bytes() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    table = maker.table()
    weights = table.values["subgraphs"][0].values["tensors"][1].values["buffer"]
    table.values["metadata"] = [Table("Metadata", {"name": "copy", "buffer": weights})]
    model = read_model(write(table), "kws")
    assert len(model.metadata["copy"]) == 32
    stripped = strip(model)
    assert nameless(stripped.model) == nameless(model)
    assert (stripped.metadata_bytes, stripped.model.metadata) == (0, {})


def test_what_was_left_out_is_told_in_bytes_of_metadata_and_the_rest() -> None:
    stripped = strip(read_model(labeled_model(), "kws"))
    assert stripped.metadata_bytes == 24_000
    assert stripped.text.startswith("metadata 23.4 KB, names and signatures ")


def test_a_file_that_is_stripped_already_is_not_written_again() -> None:
    once = strip(read_model(labeled_model(), "kws")).model
    again = strip(once)
    assert again.model is once
    assert (again.saved_bytes, again.text) == (0, "")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(offline=True))
def test_a_stripped_model_takes_the_same_arena_and_keeps_its_graph(content: bytes) -> None:
    model = read_model(content, "random")
    stripped = strip(model).model
    assert nameless(stripped) == nameless(model)
    before, after = (simulate(each, RUNTIME).arena for each in (model, stripped))
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert (before.required, before.head, before.tail) == (
            after.required, after.head, after.tail,
        )  # fmt: skip


def test_contents_of_tensors_and_custom_options_lie_at_multiples_of_16() -> None:
    content = strip(read_model(small_network().build(), "kws")).model.content
    model = read_model(content, "kws")
    views = [each.data for each in model.main.tensors if each.is_constant]
    views += [each.custom_options for each in model.main.operators if len(each.custom_options)]
    assert len(views) > 3
    for view in views:
        assert content.index(bytes(view)) % 16 == 0 or _aligned_copy(content, bytes(view))


def _aligned_copy(content: bytes, data: bytes) -> bool:
    """Whether ``data``, which may occur by chance before, begins at a multiple of 16 as well."""
    return any(content.startswith(data, start) for start in range(0, len(content), 16))


def test_what_is_referred_to_twice_is_written_once() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    table = maker.table()
    tensors = table.values["subgraphs"][0].values["tensors"]
    shared = tensors[0].values["quantization"]
    for tensor in tensors:
        if tensor.values["quantization"] is not None and tensor is not tensors[0]:
            tensor.values["quantization"] = shared
    content = write(table)
    apart = take_apart(content, "kws")
    quantizations = [
        each.values["quantization"] for each in apart.tables("subgraphs")[0].tables("tensors")
    ]
    assert len({id(each) for each in quantizations}) == 1
    again = take_apart(put_together(apart), "kws")
    found = [each.values["quantization"] for each in again.tables("subgraphs")[0].tables("tensors")]
    assert len({id(each) for each in found}) == 1


@pytest.mark.parametrize("network", [small_network, calling_network])
def test_a_file_taken_apart_and_put_together_reads_as_before(
    network: Callable[[], ModelMaker],
) -> None:
    content = network().build()
    model = read_model(content, "kws")
    again = read_model(put_together(take_apart(content, "kws")), "kws")
    assert nameless(again) == nameless(model)
    assert [each.name for each in again.main.tensors] == [each.name for each in model.main.tensors]
    assert again.description == model.description
    assert again.signatures == model.signatures
    assert {name: bytes(data) for name, data in again.metadata.items()} == {
        name: bytes(data) for name, data in model.metadata.items()
    }


def test_names_that_are_no_utf_8_are_kept_byte_for_byte() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 8))
    graph.operator("ACME", (graph.input((1, 8)),), (result,), custom_options=b"\1")
    graph.output(result)
    content = maker.build().replace(b"ACME", b"\xff\xfeME")
    again = put_together(take_apart(content, "kws"))
    assert b"\xff\xfeME\0" in again


def test_what_nobody_here_knows_is_an_error_instead_of_being_lost() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    table = maker.table()
    operator = table.values["subgraphs"][0].values["operators"][0]
    operator.values["builtin_options_2_type"] = 200
    operator.values["builtin_options_2"] = Table("AddNOptions", {})
    with pytest.raises(
        UnknownTableError, match=r"kws: cannot be written again: .*builtin_options_2"
    ):
        take_apart(write(table), "kws")


def test_a_model_that_tflm_cannot_read_as_it_is_is_left_to_its_refusal() -> None:
    model = read_model(labeled_model(), "kws")
    sparse = replace(model, external_buffers=(3,))
    assert strip(sparse).model is sparse


def test_overlapping_parts_do_not_multiply() -> None:
    """Buffers of a crafted file may overlap: each would be written whole."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    for number in range(40):
        maker.metadata[f"m{number}"] = struct.pack("<I", 0)
    content = bytearray(maker.build()) + bytes(64_000)
    position = 0
    for _ in range(40):
        # A length word that claims the rest of the file.
        position = content.index(struct.pack("<II", 4, 0), position)
        length = min(60_000, len(content) - position - 8)
        content[position : position + 4] = struct.pack("<I", length)
        position += 8
    with pytest.raises(ModelError, match="its parts overlap"):
        take_apart(bytes(content), "kws")


# TFLM's own interpreter

_RUN_BOTH = """
import json, sys
import numpy as np
from tflite_micro.python.tflite_micro import runtime

def outputs(content):
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=1 << 22)
    found = []
    for seed in range(3):
        interpreter.reset()
        generator, index = np.random.default_rng(seed), 0
        while True:
            try:
                detail = interpreter.get_input_details(index)
            except (IndexError, RuntimeError, ValueError):
                break
            values = generator.integers(-8, 8, detail["shape"])
            interpreter.set_input(values.astype(detail["dtype"]), index)
            index += 1
        interpreter.invoke()
        found.append(interpreter.get_output(0).tobytes().hex())
    return found

for line in sys.stdin:
    whole, stripped = (bytes.fromhex(each) for each in json.loads(line))
    first, second = outputs(whole), outputs(stripped)
    print(json.dumps([first == second, len(set(first))]), flush=True)
"""


def trained_models() -> list[bytes]:
    files = sorted(ROOT.glob("examples/*/models/*.tflite"))
    files += sorted(SHARED.glob("models/gen_*_i8.tflite"))
    contents = [file.read_bytes() for file in files]
    sound = []
    for content in contents:
        try:
            model = read_model(content, "model")
        except ModelError:
            continue
        simulation = simulate(model, RUNTIMES["x86_64_ref"])
        inputs = [model.main.tensors[index] for index in model.main.inputs]
        one_input = len(inputs) == 1 and inputs[0].type == "INT8"
        if one_input and not simulation.refusals and not simulation.unknown:
            sound.append(content)
    return sound


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_tflms_interpreter_gives_the_same_outputs_for_a_stripped_model() -> None:
    contents = trained_models()
    assert contents
    lines = [
        json.dumps([each.hex(), strip(read_model(each, "model")).model.content.hex()])
        for each in contents
    ]
    child = subprocess.run(
        [sys.executable, "-c", _RUN_BOTH],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    answers = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(answers) == len(contents), child.stderr[-2000:]
    assert all(same for same, _ in answers)
    assert any(different > 1 for _, different in answers)


# Every way to a stripped model


DECLARED = """\
[models.kws]
source = "kws.tflite"
boards = ["raspberry-pi-pico"]
"""


def test_the_gate_measures_and_writes_the_stripped_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content = labeled_model()
    stripped = strip(read_model(content, "kws"))
    Path("kws.tflite").write_bytes(content)
    sizes = {}
    for name, key in (("whole", ""), ("stripped", "strip = true\n")):
        Path("tinybudget.toml").write_text(DECLARED + key)
        assert main(["check", "--json", f"{name}.json", "--artifacts", name, "-v"]) == 0
        (pair,) = json.loads(Path(f"{name}.json").read_text())["pairs"]
        sizes[name] = (pair["model"]["bytes"], pair["flash"]["used"], pair["ram"]["used"])
    saved = stripped.saved_bytes
    whole = sizes["whole"]
    assert sizes["stripped"] == (whole[0] - saved, whole[1] - saved, whole[2])
    assert f"strip: {saved:,} B of names and metadata left out" in capsys.readouterr().out
    (array,) = Path("stripped").glob("*.cc")
    numbers = re.findall(r"0x([0-9a-f]{2})\b", array.read_text())
    assert bytes.fromhex("".join(numbers)) == stripped.model.content


@pytest.mark.parametrize(
    "key", ["", "strip = true\n", "shrink = true\n", 'shrink = { keep = ["names"] }\n']
)
def test_the_tflite_file_is_written_beside_the_array_and_has_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kws.tflite").write_bytes(labeled_model())
    wanted = 'artifacts = { name = "word", files = ["c", "tflite"] }\n'
    Path("tinybudget.toml").write_text(DECLARED + key + wanted)

    assert main(["check", "--json", "results.json", "--artifacts", "out"]) == 0

    numbers = re.findall(r"0x([0-9a-f]{2})\b", Path("out/word_model_data.cc").read_text())
    file = Path("out/word_model_data.tflite").read_bytes()
    (pair,) = json.loads(Path("results.json").read_text())["pairs"]
    assert file == bytes.fromhex("".join(numbers))
    assert len(file) == pair["model"]["bytes"]
    assert (file == labeled_model()) is (key == "")


def test_what_strip_leaves_out_shrink_does_not_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kws.tflite").write_bytes(labeled_model())
    keys = 'strip = true\nshrink = { keep = ["names"] }\nartifacts = ["tflite"]\n'
    Path("tinybudget.toml").write_text(DECLARED + keys)

    assert main(["check", "--artifacts", "out"]) == 0

    assert [path.name for path in Path("out").iterdir()] == ["kws_model_data.tflite"]
    written = read_model(Path("out/kws_model_data.tflite").read_bytes(), "kws")
    assert not any(tensor.name for tensor in written.main.tensors)


def test_a_layer_list_is_stripped_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    planned = '[models.kws]\ninput_shape = [8]\nlayers = [{ type = "dense", units = 4 }]\n'
    flash = []
    for key in ("", "strip = true\n"):
        Path("tinybudget.toml").write_text(f'{planned}boards = ["raspberry-pi-pico"]\n{key}')
        assert main(["check", "--json", "r.json"]) == 0
        (pair,) = json.loads(Path("r.json").read_text())["pairs"]
        flash.append(pair["flash"]["used"])
    capsys.readouterr()
    assert flash[1] < flash[0]


def test_an_empty_vector_of_tables_that_nobody_knows_stays() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    table = maker.table()
    table.values["subgraphs"][0].values["tensors"][0].values["variant_tensors"] = []
    apart = take_apart(write(table), "kws")
    again = take_apart(put_together(apart), "kws")
    tensor = again.tables("subgraphs")[0].tables("tensors")[0]
    assert tensor.values["variant_tensors"].tables == []
