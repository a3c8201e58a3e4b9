"""``plan = true``: a Keras file's layers give a verdict, with a conversion or without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from keras_files import CONV
from keras_files import DENSE
from keras_files import keras_file

from pytest_tinybudget import check
from pytest_tinybudget import measure
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.unrolled import unrolled_warning
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.keras_config import read_keras
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.workspace import Workspace


BOARD = "nucleo-l4r5zi"
PLANNED = "planned, not converted: names in the trained file may take up to"
GRU = ("GRU", {"units": 3})
LSTM = ("LSTM", {"units": 3, "activation": "tanh", "recurrent_activation": "sigmoid",
                 "use_bias": True})  # fmt: skip


@pytest.fixture
def keras(tmp_path: Path) -> Path:
    return keras_file(tmp_path, CONV, ("Flatten", {}), DENSE)


@pytest.fixture
def converting(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """A converter that has what it needs and gives the bytes that a test names."""
    monkeypatch.setattr("pytest_tinybudget.workspace.plans.missing_packages", lambda *_: None)
    monkeypatch.setattr(Converter, "prepare", lambda *_: None)

    def give(content: bytes) -> None:
        made = Converted(content, (), (), (), "int8", cached=False)
        monkeypatch.setattr(Converter, "convert", lambda *_: made)

    return give


def test_without_data_the_plan_is_the_result_and_says_so(keras: Path) -> None:
    result = check(keras, board=BOARD, plan=True)
    assert result.outcome == "warns"
    assert result.warnings[-1].startswith(PLANNED)
    assert "plan: not converted, no 'representative_data' is declared" in result.notes
    assert result.footprint is not None
    exact = measure(keras, board=BOARD, plan=True, strip=True)
    assert result.footprint.arena == exact.arena


def test_where_names_would_pass_the_limit_the_plan_says_that_it_may_not_fit(keras: Path) -> None:
    found = check(keras, board=BOARD, plan=True)
    (flash,) = (each.used for each in found.measures if each.metric == "flash")
    tight = check(keras, board=BOARD, plan=True, budget={"flash": flash + 16})
    assert "more flash (it may not fit then), and none with strip = true" in tight.warnings[-1]
    stripped = check(keras, board=BOARD, plan=True, budget={"flash": flash + 16}, strip=True)
    assert "those of the file that strip = true leaves" in stripped.warnings[-1]


def test_a_conversion_that_is_equal_is_said_to_be(
    keras: Path, converting: Callable[[bytes], None]
) -> None:
    converting(planned_model(read_keras(keras), "made", named=True).content)
    result = check(keras, board=BOARD, plan=True, representative_data="random")
    assert not any("plan" in each for each in result.warnings)
    assert any(each.startswith("plan: equal to the conversion") for each in result.notes)


def test_a_bias_of_zeros_that_the_converter_leaves_out_is_no_defect(
    keras: Path, converting: Callable[[bytes], None]
) -> None:
    converting(planned_model(read_keras(keras), "made", named=True, unbiased=[2]).content)
    result = check(keras, board=BOARD, plan=True, representative_data="random")
    assert any("biases of zeros, as before training, are left out" in each for each in result.notes)


def test_a_conversion_that_differs_is_a_defect_of_the_plan(
    keras: Path, converting: Callable[[bytes], None]
) -> None:
    other = Network((("x", (8, 8, 1)),), (Layer("conv2d", 4), Layer("flatten"), Layer("dense", 3)))
    converting(planned_model(other, "made", named=True).content)
    result = check(keras, board=BOARD, plan=True, representative_data="random")
    said = next(each for each in result.warnings if "a bug of tinybudget" in each)
    assert "CONV_2D RESHAPE FULLY_CONNECTED SOFTMAX instead of CONV_2D RESHAPE FULLY_CONN" in said
    assert "an arena of " in said
    assert result.footprint is not None
    assert (
        result.footprint.arena
        == measure(keras, board=BOARD, plan=True, representative_data="random").arena
    )


def test_a_plan_comes_before_the_conversion_in_pytest(
    project: Callable[..., pytest.Pytester], converting: Callable[[bytes], None]
) -> None:
    declaration = (
        f'[defaults]\nboards = ["{BOARD}"]\nplan = true\nrepresentative_data = "random"\n'
        '[models.made]\nsource = "made.keras"\n[models.other]\nsource = "other.keras"\n'
    )
    pytester = project(declaration)
    path = keras_file(pytester.path, CONV, GRU)
    path.rename(path.with_name("other.keras"))
    keras = keras_file(pytester.path, CONV, ("Flatten", {}), DENSE)
    converting(planned_model(read_keras(keras), "made", named=True).content)
    result = pytester.runpytest("--tinybudget")
    result.stdout.fnmatch_lines(
        [
            f"made on {BOARD}: fits as planned: flash * of *, ram * of *",
            f"other on {BOARD}: layer layer_1: not planned: a GRU, which is unrolled: *",
            "*2 passed*",
        ]
    )


def test_what_is_neither_planned_nor_converted_is_an_error_with_both_reasons(
    tmp_path: Path,
) -> None:
    with pytest.raises(TinybudgetError) as caught:
        check(keras_file(tmp_path, CONV, GRU), board=BOARD, plan=True)
    assert "needs 'representative_data'" in caught.value.message
    reason = "a GRU, which is unrolled: plan an LSTM, which is one operator"
    assert caught.value.details[-1] == f"nor is it planned: layer layer_1: not planned: {reason}"


@pytest.mark.parametrize("planned", [True, False])
def test_what_is_unrolled_is_warned_of_with_its_arena_and_that_of_an_lstm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planned: bool
) -> None:
    """The sizes of the LSTM are those of the same model with one; none where it is not planned."""
    layers = (GRU, DENSE) if planned else (GRU, ("Lambda", {}))
    unrolled = planned_model(read_keras(keras_file(tmp_path, DENSE, shape=(None, 999))), "made")
    warning = unrolled_warning(["layer_0"])
    made = Converted(unrolled.content, (warning,), (), (), "int8", cached=False)
    monkeypatch.setattr(Converter, "convert", lambda *_: made)
    monkeypatch.setattr(Converter, "prepare", lambda *_: None)
    gru = keras_file(tmp_path, *layers, shape=(None, 6, 4))

    result = check(gru, board=BOARD, representative_data="random")

    (told,) = (each for each in result.warnings if each.startswith("layer_0: unrolled, "))
    assert result.footprint is not None
    assert result.footprint.arena is not None
    sizes = f"the model takes {format_size(result.footprint.arena.required)} of arena and a file of"
    assert f"{sizes} {format_size(len(unrolled.content))}" in told
    assert told.endswith("(planned, not converted)") == planned
    if planned:
        lstm = LSTM, DENSE
        network = read_keras(keras_file(tmp_path, *lstm, shape=(None, 6, 4)))
        other = planned_model(network, "made", named=True)
        path = tmp_path / "lstm.tflite"
        path.write_bytes(other.content)
        arena = measure(path, board=BOARD).arena
        assert arena is not None
        assert f"take {format_size(arena.required)} and {format_size(other.bytes)} (" in told


def test_what_is_no_keras_file_is_not_planned(tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(TinybudgetError) as caught:
        check(path, board=BOARD, plan=True)
    said = "made.onnx: only a .keras or a .pt2 file tells its layers"
    assert caught.value.details[-1].endswith(said)


def test_a_plan_is_not_shrunk_since_its_weights_are_not_known(keras: Path) -> None:
    result = check(keras, board=BOARD, plan=True, shrink=True)
    assert "shrink: not done for a plan, whose weights are not known" in result.warnings
    assert result.model_bytes == check(keras, board=BOARD, plan=True).model_bytes


@pytest.mark.parametrize("command", ["check", "inspect", "compare"])
def test_commands_plan_a_keras_file(
    command: str, keras: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(keras), "--plan", "--board", BOARD]) == 0
    shown = capsys.readouterr()
    assert "planned, not converted" in shown.out + shown.err
    assert main([command, str(keras.parent / "a.tflite"), "--plan", "--board", BOARD]) == 2


def test_plan_is_an_error_where_it_has_no_effect(project: Callable[..., pytest.Pytester]) -> None:
    source = 'source = "models/kws.tflite"\n'
    pytester = project(f'[models.kws]\n{source}boards = ["{BOARD}"]\nplan = true\n')
    with pytest.raises(DeclarationError, match=r"models\.kws\.plan: has no effect here"):
        load_declaration(pytester.path / "tinybudget.toml")


def test_tuples_are_dense_layers_and_convolutions() -> None:
    layers = [(1, 8, 3, 3), (8, 16, 3, 3), (4096, 64), (64, 4)]
    found = measure(layers, board=BOARD, input_shape=(16, 16, 1))
    named = Network(
        (("input", (16, 16, 1)),),
        (
            Layer("conv2d", 8, padding="same"),
            Layer("conv2d", 16, padding="same"),
            Layer("flatten"),
            Layer("dense", 64),
            Layer("dense", 4),
        ),
    )
    assert found.layers is not None
    assert [each.operator for each in found.layers] == [
        each.name for each in planned_model(named, "x").main.operators
    ]
    weights = next(each.bytes for each in found.flash_parts if each.name == "model: weights")
    assert weights > 8 * 9 + 16 * 72 + 4096 * 64
    assert check([(64, 4)], board=BOARD).outcome == "warns"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([(1, 8, 3, 3), (4, 16, 3, 3)], r"layer 1 \(4, 16, 3, 3\) takes 4 inputs, but is given"),
        ([(1, 8, 3, 3), (9, 4)], r"layer 1 \(9, 4\) takes 9 inputs"),
        ([(256, 4), (4, 8, 3, 3)], r"layer 1 \(4, 8, 3, 3\) takes images"),
        ([(1, 8, 3)], r"layer 0 \(1, 8, 3\): expected \(inputs, outputs\)"),
        ([(1, -8)], "whole numbers above 0"),
        ([], "expected at least one"),
    ],
)
def test_tuples_that_do_not_fit_are_named(layers: list[tuple[int, ...]], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check(layers, board=BOARD, input_shape=(16, 16, 1))


def test_a_convolution_needs_the_shape_of_its_input_and_a_file_has_it() -> None:
    with pytest.raises(ModelError, match=r"give input_shape, such as \(16, 16, 1\)"):
        check([(1, 8, 3, 3)], board=BOARD)
    with pytest.raises(TinybudgetError, match="input_shape is for a model as a list of layers"):
        check("a.tflite", board=BOARD, input_shape=(16, 16, 1))


def test_an_open_input_is_planned_at_the_shape_that_is_declared(tmp_path: Path) -> None:
    opened, fixed = tmp_path / "open", tmp_path / "fixed"
    for folder, shape in ((opened, [None, None, None, 1]), (fixed, [None, 12, 10, 1])):
        folder.mkdir()
        keras_file(folder, CONV, ("GlobalAveragePooling2D", {}), DENSE, shape=shape)
    wanted = check(fixed / "made.keras", board=BOARD, plan=True).footprint
    path = opened / "made.keras"
    shapes = {"in": [1, 12, 10, 1]}
    result = check(path, board=BOARD, plan=True, input_shapes=shapes)
    assert result.footprint is not None
    assert wanted is not None
    assert (result.footprint.arena, result.footprint.flash) == (wanted.arena, wanted.flash)
    assert "input_shapes: counted with in at 1x12x10x1" in result.notes


@pytest.mark.parametrize(
    ("shape", "shapes", "said"),
    [
        ([None, None, 10, 1], {}, "has no fixed shape; declare it in input_shapes"),
        ([None, None, 10, 1], {"i": (1, 12, 10, 1)}, "in input_shapes, which names i"),
        ([None, None, 10, 1], {"in": (1, 12, 9, 1)}, "only what is None in [None, None, 10, 1]"),
        ([None, 12, 10, 1], {"image": (1, 12, 10, 1)}, "no input 'image'; there is in"),
        ([None, None, 10, 1], {"in": (4, 12, 10, 1)}, "the input has the fixed batch 4"),
        ([2, 12, 10, 1], {}, "the input has the fixed batch 2"),
    ],
)
def test_an_input_that_a_conversion_would_refuse_is_not_planned(
    tmp_path: Path, shape: list[int | None], shapes: dict[str, tuple[int, ...]], said: str
) -> None:
    path = keras_file(tmp_path, CONV, shape=shape)
    with pytest.raises(NotPlannedError) as caught:
        read_keras(path, input_shapes=tuple(shapes.items()))
    assert said in caught.value.message


def test_a_group_says_which_of_its_models_are_plans(
    project: Callable[..., pytest.Pytester],
) -> None:
    layers = 'input_shape = [16, 16, 1]\nlayers = [{ type = "dense", units = 4 }]\n'
    pytester = project(
        f'[defaults]\nboards = ["{BOARD}"]\nplan = true\n[models.made]\nsource = "made.keras"\n'
        f'[models.idea]\n{layers}[models.kws]\nsource = "models/kws.tflite"\n'
        '[groups.all]\nmodels = ["made", "idea", "kws"]\n'
        '[groups.ready]\nmodels = ["kws"]\n'
    )
    keras_file(pytester.path, CONV, DENSE)
    declaration = load_declaration(pytester.path / "tinybudget.toml")
    found = {
        each.name: Gate(Workspace(cached=False)).check(each)
        for each in pairs("tinybudget.toml", declaration)
        if isinstance(each, GroupPair)
    }
    (said,) = (each for each in found["groups.all"].warnings if "planned" in each)
    assert said.startswith("planned, not converted: made, idea; names in the trained files may")
    assert "made: plan: not converted, no 'representative_data' is declared" in (
        found["groups.all"].notes
    )
    assert not any("planned" in each for each in found["groups.ready"].warnings)


def test_layers_of_other_numbers_are_measured_as_such() -> None:
    layers, shape = [(1, 8, 3, 3), (512, 4)], (8, 8, 1)
    found = {
        numbers: measure(layers, board=BOARD, input_shape=shape, activations=numbers)  # type: ignore[arg-type]
        for numbers in ("int8", "int16", "float")
    }
    outputs = {name: each.layers[0].activation_bytes for name, each in found.items()}
    assert outputs == {"int8": 8 * 8 * 8, "int16": 2 * 8 * 8 * 8, "float": 4 * 8 * 8 * 8}
    with pytest.raises(TinybudgetError, match="is for layers and plans"):
        measure("a.tflite", board=BOARD, activations="float")
