"""Open dimensions: refused, or closed by ``input_shapes`` before anything is measured."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import keyword_model
from hypothesis import given
from hypothesis import settings
from modelmaker import Graph
from modelmaker import ModelMaker
from random_models import control_flow
from random_models import models
from small_projects import assert_all_commands_refuse

import pytest_tinybudget
from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import require_known
from pytest_tinybudget.convert.worker.problem import static_shape
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.closing import closed
from pytest_tinybudget.graph.closing import openness
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.shapes import infer
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


Project = Callable[..., pytest.Pytester]
Shape = tuple[int, ...]

PICO = "raspberry-pi-pico"
M4 = RUNTIMES["m4_cmsisnn"]
SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))


def model_of(content: bytes) -> Model:
    return read_model(content, "kws")


def small_cnn(shape: Shape = (1, 24, 24, 3), kind: str = "INT8") -> bytes:
    """A network that takes images of any size, written at one."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input(shape, kind, name="serving_default_image:0")
    hidden = graph.mean(graph.conv2d(image, filters=4), axes=(1, 2), keep_dims=False)
    graph.output(graph.dense(hidden, units=2))
    maker.signature("serving_default", {"image": image}, {"scores": graph.outputs[0]})
    return maker.build()


def opened(content: bytes, *, axes: tuple[int, ...] | None = None, extent: int = 1) -> bytes:
    """The file as a converter writes it for inputs that are open along ``axes`` (all of them).

    Whatever follows is open in the same axes, with ``extent`` in their place.
    """
    model = model_of(content)
    computed = {index for each in model.main.operators for index in each.outputs}
    root = take_apart(content, "kws")
    main = root.tables("subgraphs")[0]
    for tensor, table in zip(model.main.tensors, main.tables("tensors"), strict=True):
        if tensor.index not in {*computed, *model.main.inputs} or tensor.is_variable:
            continue
        wild = [axis in axes if axes is not None else True for axis in range(len(tensor.shape))]
        for name, replacement in (("shape", extent), ("shape_signature", -1)):
            extents = [
                replacement if is_wild else size
                for size, is_wild in zip(tensor.shape, wild, strict=True)
            ]
            table.values[name] = Leaf(len(extents), struct.pack(f"<{len(extents)}i", *extents))
    return put_together(root)


def shapes(model: Model) -> list[Shape]:
    return [tensor.shape for graph in model.subgraphs for tensor in graph.tensors]


def inputs_of(model: Model) -> dict[str, Shape]:
    return {model.main.tensors[index].name: model.main.tensors[index].shape
            for index in model.main.inputs}  # fmt: skip


def check(folder: Path, content: bytes, more: str = "", board: str = PICO) -> PairResult:
    (folder / "kws.tflite").write_bytes(content)
    text = f'[models.kws]\nsource = "kws.tflite"\nboards = ["{board}"]\n{more}\n'
    (folder / "tinybudget.toml").write_text(text, encoding="utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(folder / "tinybudget.toml"))
    assert isinstance(pair, Pair)
    return Gate(Workspace(cached=False)).check(pair)


# The shapes of all tensors


def computed_shapes_hold(model: Model) -> None:
    found = infer(model, {})
    for operator in model.main.operators:
        for index in operator.outputs:
            key = (0, index)
            assert key not in found.unknown, found.unknown.get(key)
            assert found.known[key] == model.main.tensors[index].shape, operator.name


@settings(max_examples=60, deadline=None)
@given(models())
def test_shapes_of_random_networks_are_worked_out_from_their_inputs(content: bytes) -> None:
    computed_shapes_hold(model_of(content))


@settings(max_examples=30, deadline=None)
@given(control_flow())
def test_shapes_go_through_called_subgraphs(content: bytes) -> None:
    computed_shapes_hold(model_of(content))


@settings(max_examples=40, deadline=None)
@given(models())
def test_a_network_that_was_opened_is_closed_to_what_it_was(content: bytes) -> None:
    model = model_of(content)
    again = closed(model_of(opened(content)), inputs_of(model))
    assert shapes(again) == shapes(model)
    assert measure(again, M4).arena == measure(model, M4).arena
    assert openness(again).problems == ()
    assert openness(again).note == ""


@pytest.mark.skipif(not SHARED.is_dir(), reason="the models are not part of the project")
def test_shapes_of_the_shared_models_are_worked_out_from_their_inputs() -> None:
    wrong = []
    for path in sorted((SHARED / "models").glob("*.tflite")):
        model = load_model(path)
        found = infer(model, {})
        for operator in model.main.operators:
            wrong += [
                (path.stem, operator.name)
                for index in operator.outputs
                if found.known.get((0, index)) != model.main.tensors[index].shape
            ]
    assert wrong == []


INT32S = "<{}i"


def one_operator(
    name: str,
    inputs: list[Shape | list[int]],
    outputs: list[Shape],
    options: dict[str, object] | None = None,
) -> Model:
    """A model of one operator; a list is a constant vector of INT32."""
    maker = ModelMaker()
    graph = maker.graph()
    indices = []
    for each in inputs:
        if isinstance(each, list):
            data = struct.pack(f"<{len(each)}i", *each)
            indices.append(graph.tensor((len(each),), "INT32", data=data))
        else:
            indices.append(graph.input(each))
    results = [graph.tensor(shape) for shape in outputs]
    graph.operator(name, indices, results, options or {})
    graph.output(*results)
    return model_of(maker.build())


_SLICE = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0,
          "shrink_axis_mask": 0, "offset": False}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "options"),
    [
        ("TRANSPOSE", [(1, 2, 3), [2, 0, 1]], [(3, 1, 2)], {}),
        ("SQUEEZE", [(1, 2, 1)], [(2,)], {"squeeze_dims": []}),
        ("SQUEEZE", [(1, 2, 1)], [(1, 2)], {"squeeze_dims": [-1]}),
        ("EXPAND_DIMS", [(2, 3), [-1]], [(2, 3, 1)], {}),
        ("PACK", [(2, 3), (2, 3)], [(2, 2, 3)], {"values_count": 2, "axis": 1}),
        ("UNPACK", [(2, 3)], [(3,), (3,)], {"num": 2, "axis": 0}),
        ("SPLIT", [[1], (2, 6)], [(2, 3), (2, 3)], {"num_splits": 2}),
        ("SPLIT_V", [(2, 6), [1, -1], [1]], [(2, 1), (2, 5)], {"num_splits": 2}),
        ("SLICE", [(4, 6), [1, 2], [2, -1]], [(2, 4)], {}),
        ("STRIDED_SLICE", [(4, 6), [1, 0], [-1, 0], [1, 2]], [(2, 3)], _SLICE | {"end_mask": 2}),
        ("STRIDED_SLICE", [(4, 6), [1, 0], [2, 6], [1, 1]], [(6,)],
         _SLICE | {"shrink_axis_mask": 1}),
        ("STRIDED_SLICE", [(4, 6), [-1, 0], [-5, 6], [-1, 1]], [(4, 6)], _SLICE),
        ("GATHER", [(5, 6), [0, 2, 4]], [(5, 3)], {"axis": 1, "batch_dims": 0}),
        ("GATHER_ND", [(5, 6), (2, 1)], [(2, 6)], {}),
        ("TILE", [(2, 3), [1, 4]], [(2, 12)], {}),
        ("FILL", [[2, 3], ()], [(2, 3)], {}),
        ("BROADCAST_TO", [(1, 3), [2, 3]], [(2, 3)], {}),
        ("ARG_MAX", [(2, 3, 4), [-1]], [(2, 3)], {"output_type": "INT32"}),
        ("SUM", [(2, 3, 4), [0, -1]], [(1, 3, 1)], {"keep_dims": True}),
        ("RESIZE_BILINEAR", [(1, 4, 4, 2), [8, 6]], [(1, 8, 6, 2)], {}),
        ("SPACE_TO_BATCH_ND", [(1, 6, 6, 3), [2, 2], [1, 1, 0, 2]], [(4, 4, 4, 3)], {}),
        ("BATCH_TO_SPACE_ND", [(4, 4, 4, 3), [2, 2], [1, 1, 0, 2]], [(1, 6, 6, 3)], {}),
        ("SPACE_TO_DEPTH", [(1, 4, 6, 2)], [(1, 2, 3, 8)], {"block_size": 2}),
        ("DEPTH_TO_SPACE", [(1, 2, 3, 8)], [(1, 4, 6, 2)], {"block_size": 2}),
        ("BATCH_MATMUL", [(2, 3, 4), (4, 5)], [(2, 3, 5)], {"adj_x": False, "adj_y": False}),
        ("BATCH_MATMUL", [(4, 3), (5, 4)], [(3, 5)], {"adj_x": True, "adj_y": True}),
        ("MIRROR_PAD", [(2, 3), [1, 1, 0, 2]], [(4, 5)], {"mode": "REFLECT"}),
        ("SELECT_V2", [(1,), (2, 3), (2, 1)], [(2, 3)], {}),
        ("SHAPE", [(2, 3, 4)], [(3,)], {"out_type": "INT32"}),
    ],
)  # fmt: skip
def test_shapes_are_those_that_tf_lite_computes(
    name: str, inputs: list[Shape | list[int]], outputs: list[Shape], options: dict[str, object]
) -> None:
    model = one_operator(name, inputs, [(1,) * len(shape) for shape in outputs], options)
    found = infer(model, {})
    assert found.unknown == {}
    assert [found.known[0, index] for index in model.main.outputs] == outputs


@pytest.mark.parametrize(
    ("name", "inputs", "options"),
    [
        ("CONCATENATION", [(1, 2), (2, 3)], {"axis": 1}),
        ("ADD", [(2, 3), (2, 4)], {}),
        ("RESHAPE", [(2, 3), [4, -1]], {"new_shape": []}),
        ("TRANSPOSE", [(2, 3), [0, 0]], {}),
        ("SPLIT", [[1], (2, 5)], {"num_splits": 1}),
        ("GATHER", [(5, 6), [0]], {"axis": 7, "batch_dims": 0}),
        ("TRANSPOSE_CONV", [(4,), (4, 3, 3, 4), (1, 2, 2, 4)], {}),
    ],
)
def test_what_does_not_fit_or_is_computed_has_no_known_shape(
    name: str, inputs: list[Shape | list[int]], options: dict[str, object]
) -> None:
    model = one_operator(name, inputs, [(9, 9)], options)
    root = take_apart(model.content, "kws")
    tensors = root.tables("subgraphs")[0].tables("tensors")
    tensors[-1].values["shape_signature"] = Leaf(2, struct.pack("<2i", -1, -1))
    found = infer(model_of(put_together(root)), {})
    if name != "SPLIT":
        assert f"{name} #0: " in found.unknown[0, model.main.outputs[0]]
    else:
        assert found.known[0, model.main.outputs[0]] == (2, 5)


def flattened(graph: Graph, image: int, units: int) -> int:
    """Flatten as converters write it around an open batch: SHAPE, STRIDED_SLICE, PACK, RESHAPE."""

    def ints(*values: int) -> int:
        return graph.tensor((len(values),), "INT32", data=struct.pack(f"<{len(values)}i", *values))

    size, batch = graph.tensor((4,), "INT32"), graph.tensor((), "INT32")
    wanted, flat = graph.tensor((2,), "INT32"), graph.tensor((1, 1))
    rest = graph.tensor((), "INT32", data=struct.pack("<i", -1))
    graph.operator("SHAPE", (image,), (size,), {"out_type": "INT32"})
    graph.operator(
        "STRIDED_SLICE",
        (size, ints(0), ints(1), ints(1)),
        (batch,),
        _SLICE | {"shrink_axis_mask": 1},
    )
    graph.operator("PACK", (batch, rest), (wanted,), {"values_count": 2, "axis": 0})
    graph.operator("RESHAPE", (image, wanted), (flat,), {"new_shape": []})
    return flat


def test_values_that_depend_on_shapes_alone_are_followed() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 4, 4, 2), name="image")
    flat = flattened(graph, image, units=2)
    graph.output(flat)
    found = infer(model_of(maker.build()), {image: (3, 4, 4, 2)})
    assert found.unknown == {}
    assert found.known[0, flat] == (3, 32)


# What is open


def test_a_network_of_any_size_is_refused_with_the_line_that_closes_it(tmp_path: Path) -> None:
    result = check(tmp_path, opened(small_cnn(), axes=(0, 1, 2)))
    assert result.outcome == "refused"
    assert result.headline.startswith(
        "TFLM would not resize: input 'serving_default_image:0' is open, [-1, -1, -1, 3], and "
        "would run as [1, 1, 1, 3]: declare input_shapes = { image = [1, …, …, 3] } with "
    )
    assert result.footprint is not None
    assert result.footprint.refusals[0].stage == "resize"


def test_inputs_that_share_a_name_are_told_by_it() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    inputs = [graph.input((1, 1), name="same", shape_signature=(-1, -1)) for _ in range(2)]
    graph.output(graph.add(*inputs))
    (problem,) = openness(model_of(maker.build())).problems
    assert "declare input_shapes = { same = [1, …] }" in problem.reason


def test_an_open_batch_alone_counts_as_one_and_is_told(tmp_path: Path) -> None:
    content = opened(small_cnn(), axes=(0,))
    result = check(tmp_path, content)
    assert result.outcome == "fits"
    assert result.notes == ("the batch of 'serving_default_image:0' is open: counted as 1",)
    assert result.model_sha256 == hashlib.sha256(content).hexdigest()  # nothing to be written
    assert result.footprint is not None
    assert result.footprint.arena == check(tmp_path, small_cnn()).footprint.arena  # type: ignore[union-attr]
    fixed = check(tmp_path, small_cnn())
    assert fixed.notes == ()


def test_an_open_batch_of_an_input_without_a_name_is_told_by_its_place() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    inputs = [graph.input((1, 4), name=name, shape_signature=(-1, 4)) for name in ("first", "")]
    graph.output(graph.add(*inputs))
    note = openness(model_of(maker.build())).note
    assert note == "the batch of 'first', input 1 is open: counted as 1"


def test_a_batch_that_the_file_has_otherwise_is_refused(tmp_path: Path) -> None:
    content = opened(small_cnn((8, 24, 24, 3)), axes=(0,), extent=8)
    assert "would run as [8, 24, 24, 3]" in check(tmp_path, content).headline
    declared = check(tmp_path, content, "input_shapes = { image = [8, 24, 24, 3] }")
    assert declared.outcome == "fits"


def test_a_row_of_open_length_is_no_batch(tmp_path: Path) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.logistic(graph.input((1,), name="samples", shape_signature=(-1,))))
    result = check(tmp_path, maker.build())
    assert result.outcome == "refused"
    assert "input_shapes = { samples = […] }" in result.headline


def dilated(*, at_batch_1: bool) -> bytes:
    """A dilated convolution as blocks of a batch, which is open, or 1 all along."""
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 2), name="image", shape_signature=(-1, 8, 8, 2))
    blocks = graph.tensor((2,), "INT32", data=struct.pack("<2i", 2, 2))
    paddings = graph.tensor((2, 2), "INT32", data=struct.pack("<4i", 0, 0, 0, 0))
    batch = 4 if at_batch_1 else 1
    result = graph.tensor((batch, 4, 4, 2), name="blocks", shape_signature=(-1, 4, 4, 2))
    graph.operator("SPACE_TO_BATCH_ND", (image, blocks, paddings), (result,))
    graph.output(graph.logistic(result))
    return maker.build()


def test_a_shape_that_the_file_has_wrong_at_batch_1_is_refused_at_its_operator(
    tmp_path: Path,
) -> None:
    result = check(tmp_path, dilated(at_batch_1=False))
    assert result.outcome == "refused"
    assert result.headline == (
        "TFLM would not resize: SPACE_TO_BATCH_ND #0 (blocks): its output is [4, 4, 4, 2] at "
        "batch 1, but [1, 4, 4, 2] in the file, which TFLM takes as it is: convert the model at "
        "batch 1, or declare input_shapes = { image = [1, 8, 8, 2] }"
    )
    assert openness(model_of(dilated(at_batch_1=True))).problems == ()
    model = closed(model_of(dilated(at_batch_1=False)), {"image": (1, 8, 8, 2)})
    assert model.main.tensors[model.main.outputs[0]].shape == (4, 4, 4, 2)


def test_an_open_shape_behind_an_operator_that_nobody_knows_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 1), name="found", shape_signature=(-1, -1))
    graph.operator("MyOp", (graph.input((1, 8)),), (result,))
    graph.output(result)
    (problem,) = openness(model_of(maker.build())).problems
    assert "its output is open, [-1, -1]" in problem.reason
    assert "convert the model at fixed shapes" in problem.reason


def test_shapes_behind_an_operator_that_nobody_knows_hold_at_batch_1_alone() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8), name="image", shape_signature=(-1, 8))
    result = graph.tensor((1, 4), name="found", shape_signature=(-1, 4))
    graph.operator("MyOp", (image,), (result,))
    graph.output(result)
    model = model_of(maker.build())
    assert openness(model).problems == ()
    assert shapes(closed(model, {"image": (1, 8)})) == shapes(model)
    with pytest.raises(TinybudgetError, match="cannot be carried on to 'found': MyOp #0: what it"):
        closed(model, {"image": (2, 8)})


@pytest.mark.parametrize("accelerator", ["ethos-u55-128", "edge-tpu"])
def test_an_open_model_is_refused_beside_an_accelerator_before_it_is_compiled(
    accelerator: str, tmp_path: Path
) -> None:
    board = f'[boards.own]\nextends = "arduino-nano-33-ble"\naccelerator = "{accelerator}"'
    result = check(tmp_path, opened(small_cnn()), board, "own")
    assert result.outcome == "refused"
    assert "TFLM would not resize: input" in result.headline


# Closed by a declaration


CLOSES = "input_shapes = { image = [1, 24, 24, 3] }"


def test_what_a_declaration_closes_counts_as_what_was_written_at_that_shape(
    tmp_path: Path,
) -> None:
    wanted = check(tmp_path, small_cnn())
    result = check(tmp_path, opened(small_cnn(), axes=(0, 1, 2)), CLOSES)
    assert result.outcome == wanted.outcome == "fits"
    assert result.notes == ("input_shapes: counted with image at 1x24x24x3",)
    assert result.footprint is not None
    assert wanted.footprint is not None
    assert result.footprint.arena == wanted.footprint.arena
    same = put_together(take_apart(small_cnn(), "kws"))
    assert result.model_sha256 == hashlib.sha256(same).hexdigest()


@pytest.mark.parametrize("name", ["image", "serving_default_image:0"])
def test_an_input_is_named_as_in_the_signature_or_as_its_tensor(name: str) -> None:
    model = closed(model_of(opened(small_cnn())), {name: (1, 24, 24, 3)})
    assert shapes(model) == shapes(model_of(small_cnn()))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("{ imgae = [1, 24, 24, 3] }", "unknown input 'imgae'; did you mean 'image'?"),
        ("{ image = [1, 24, 24, 1] }", "image = [1, 24, 24, 1]: the input is [-1, -1, -1, 3]"),
        ("{ image = [24, 24, 3] }", "image = [24, 24, 3]: the input is [-1, -1, -1, 3]"),
        ("{ image = [1, 2, 2, 3] }", "its inputs do not fit together"),
    ],
)
def test_a_shape_that_is_not_for_the_file_is_an_error(
    declared: str, told: str, tmp_path: Path
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    image = graph.input((1, 8, 8, 3), name="image")
    hidden = graph.strided_slice(image, (0, 4, 4, 0), (1, 8, 8, 3), (1, 1, 1, 1))
    graph.output(graph.concat([hidden, graph.input((1, 4, 4, 3), name="other")]))
    content = opened(maker.build(), axes=(0, 1, 2))
    result = check(tmp_path, content, f"input_shapes = {declared}")
    assert result.outcome == "error"
    assert told in result.headline


def test_a_shape_of_a_layer_list_or_of_a_file_is_told_by_its_own_key(tmp_path: Path) -> None:
    path = tmp_path / "tinybudget.toml"
    layers = 'layers = [{ type = "dense", units = 4 }]\ninput_shape = [8]\n'
    for text, told in (
        (f"{layers}input_shapes = {{ a = [1, 8] }}", "is for a file: 'layers' have 'input_shape'"),
        ('source = "kws.tflite"\ninput_shape = [8]', "a file has 'input_shapes', batch included"),
        ('source = "kws.tflite"\ninput_shapes = { a = [0] }', "input_shapes"),
        ('source = "kws.tflite"\ninput_shapes = {}', "input_shapes"),
    ):
        (tmp_path / "kws.tflite").write_bytes(small_cnn())
        path.write_text(f'[models.kws]\nboards = ["{PICO}"]\n{text}\n', encoding="utf-8")
        with pytest.raises(TinybudgetError) as caught:
            load_declaration(path)
        assert told in "\n".join((caught.value.message, *caught.value.details))


def test_stripping_and_closing_go_together(tmp_path: Path) -> None:
    plain = check(tmp_path, small_cnn(), "strip = true")
    result = check(tmp_path, opened(small_cnn()), f"strip = true\n{CLOSES}")
    assert result.model_sha256 == plain.model_sha256


def test_a_group_tells_at_which_shapes_its_members_count(tmp_path: Path) -> None:
    (tmp_path / "kws.tflite").write_bytes(opened(small_cnn()))
    (tmp_path / "vad.tflite").write_bytes(opened(keyword_model(), axes=(0,)))
    (tmp_path / "tinybudget.toml").write_text(
        f'[defaults]\nboards = ["{PICO}"]\n[models.kws]\nsource = "kws.tflite"\n{CLOSES}\n'
        '[models.vad]\nsource = "vad.tflite"\n[groups.all]\nmodels = ["kws", "vad"]\n'
    )
    found = pairs("tinybudget.toml", load_declaration(tmp_path / "tinybudget.toml"))
    (group,) = (pair for pair in found if isinstance(pair, GroupPair))
    result = Gate(Workspace(cached=False)).check(group)
    assert result.outcome == "fits"
    assert result.notes[0] == "kws: input_shapes: counted with image at 1x24x24x3"
    assert result.notes[1].startswith("vad: the batch of ")


# Every command that measures


def test_the_gate_and_every_command_refuse_what_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    check(tmp_path, opened(small_cnn()))
    assert_all_commands_refuse("declare input_shapes = { image = [1, …, …, …] }", tmp_path, capsys)


def test_every_command_measures_and_writes_the_model_that_was_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = check(tmp_path, opened(small_cnn()), CLOSES)
    assert result.footprint is not None
    ram, sha256 = result.footprint.ram, result.model_sha256
    option = "--input-shape=image=1,24,24,3"
    assert cli.main(["inspect", "kws.tflite", "--board", PICO, "--json", option]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ram"]["used"], found["model"]["sha256"]) == (ram, sha256)
    assert cli.main(["compare", "kws.tflite", "--board", PICO, "--json", option]) == 0
    (compared,) = json.loads(capsys.readouterr().out)
    assert compared["boards"][0]["ram"]["used"] == ram
    assert cli.main(["boards", "--fits", "kws.tflite", "pico", option]) == 0
    arguments = ["kws.tflite", "--board", PICO, option]
    assert cli.main(["check", *arguments, "--json", "results.json"]) == 0
    (pair,) = json.loads(Path("results.json").read_text("utf-8"))["pairs"]
    assert (pair["ram"]["used"], pair["model"]["sha256"]) == (ram, sha256)
    assert cli.main(["explain", *arguments]) == 0
    assert cli.main(["check", "tinybudget.toml", option]) == 2
    assert cli.main(["carray", "kws.tflite", "-o", "by_hand", "--board", PICO, option]) == 0
    assert cli.main(["check", "--artifacts", "declared"]) == 0
    for folder in ("by_hand", "declared"):
        source = Path(folder, "kws_model_data.cc").read_text()
        array = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2})", source))
        assert hashlib.sha256(array).hexdigest() == sha256
        assert sha256 in Path(folder, "kws_model_data.h").read_text()
        assert "KWS_INPUT0_SHAPE {1, 24, 24, 3}" in Path(folder, "kws_model_settings.h").read_text()


def test_pytest_the_fixture_and_the_api_agree(project: Project) -> None:
    pytester = project(
        f'[models.kws]\nsource = "models/kws.tflite"\nboards = ["{PICO}"]\n{CLOSES}\n',
        kws=opened(small_cnn()),
    )
    pytester.makepyfile(
        f"""
        def test_open(tinybudget):
            tinybudget.check("models/kws.tflite", board={PICO!r})

        def test_closed(tinybudget):
            shapes = {{"image": [1, 24, 24, 3]}}
            tinybudget.check("models/kws.tflite", board={PICO!r}, input_shapes=shapes)
            found = tinybudget.measure("models/kws.tflite", board={PICO!r}, input_shapes=shapes)
            assert found.refusals == ()
        """
    )
    result = pytester.runpytest("--tinybudget", "--tinybudget-json", "results.json")
    result.assert_outcomes(passed=2, failed=1)
    found = json.loads(pytester.path.joinpath("results.json").read_text(encoding="utf-8"))
    ram = {pair["ram"]["used"] for pair in found["pairs"] if pair["outcome"] == "fits"}
    assert len(ram) == 1
    shapes = {"image": [1, 24, 24, 3]}
    path = pytester.path / "models" / "kws.tflite"
    assert {pytest_tinybudget.measure(path, board=PICO, input_shapes=shapes).ram} == ram
    with pytest.raises(TinybudgetError, match="expected whole numbers above 0"):
        pytest_tinybudget.check(path, board=PICO, input_shapes={"image": [1, -1, 24, 3]})


@pytest.mark.parametrize("text", ["image", "image=", "image=1,0", "=1,2", "image=1,2,3,4,5,6,7"])
def test_a_shape_on_the_command_line_that_is_none_is_told(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kws.tflite").write_bytes(small_cnn())
    assert cli.main(["inspect", str(tmp_path / "kws.tflite"), f"--input-shape={text}"]) == 2
    assert "expected NAME=EXTENTS" in capsys.readouterr().err


def test_an_inspection_tells_of_an_open_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kws.tflite").write_bytes(opened(small_cnn(), axes=(0,)))
    assert cli.main(["inspect", str(tmp_path / "kws.tflite")]) == 0
    assert "the batch of 'serving_default_image:0' is open: counted as 1" in capsys.readouterr().out


# Sources that are converted


def test_a_source_is_traced_at_the_shape_that_is_declared() -> None:
    assert static_shape("image", (None, None, None, 3), (1, 96, 96, 3)) == (1, 96, 96, 3)
    assert static_shape("image", (None, 96, 96, 3)) == (1, 96, 96, 3)
    for shape, wanted, told in (
        ((None, None, 3), None, r"declare input_shapes = \{ image = \[1, …, 3\] \}"),
        ((None, None, 3), (1, 8, 4), "only what is None in it can be set"),
        ((None, None, 3), (1, 8), "only what is None in it can be set"),
        ((None, 8), (2, 8), "expected 1 or None|batch"),
    ):
        with pytest.raises(WorkerError, match=told):
            static_shape("image", shape, wanted)
    with pytest.raises(WorkerError, match="no input 'imgae'; there is image"):
        require_known({"imgae": ()}, ["image"])


def test_closing_whole_leaves_nothing_open() -> None:
    batch = closed(model_of(opened(small_cnn(), axes=(0,))), {}, whole=True)
    assert shapes(batch) == shapes(model_of(small_cnn()))
    assert openness(batch).note == ""
    with pytest.raises(TinybudgetError, match=r"input_shapes = \{ image"):
        closed(model_of(opened(small_cnn())), {}, whole=True)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared cases are not part of the project")
def test_the_shared_case_of_any_size_is_refused_and_can_be_closed() -> None:
    model = load_model(SHARED / "cases" / "anysize.tflite")
    (refusal,) = measure(model, M4).refusals
    assert refusal.stage == "resize"
    found = measure(closed(model, {"keras_tensor_99": (1, 96, 96, 3)}), M4)
    assert found.refusals == ()
    assert found.arena is not None
    assert found.arena.required == 63_888
