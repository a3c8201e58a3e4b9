"""Layer lists: a budget before training, by the same estimator as any model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.declaration.planned import layers_of
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import LayerList
from pytest_tinybudget.planning import NotPlannedError
from pytest_tinybudget.planning import model_of
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.network import LAYER_TYPES
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


def planned(*layers: Layer, shape: tuple[int, ...] = (16, 16, 1)) -> Model:
    return read_model(model_of(LayerList(shape, layers), "idea"), "idea")


def output_shape(model: Model) -> tuple[int, ...]:
    return model.main.tensors[model.main.outputs[0]].shape


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Layer("conv2d", 8), (1, 14, 14, 8)),
        (Layer("conv2d", 8, padding="same"), (1, 16, 16, 8)),
        (Layer("conv2d", 8, kernel=5, stride=2), (1, 6, 6, 8)),
        (Layer("conv2d", 8, stride=3, padding="same"), (1, 6, 6, 8)),
        (Layer("depthwise_conv2d", 2), (1, 14, 14, 2)),
        (Layer("max_pool2d", kernel=2, stride=2), (1, 8, 8, 1)),
        (Layer("average_pool2d", kernel=3, stride=2), (1, 7, 7, 1)),
        (Layer("flatten"), (1, 256)),
        (Layer("dense", 10), (1, 10)),
        (Layer("softmax"), (1, 16, 16, 1)),
    ],
)
def test_a_layer_gives_the_shape_that_keras_gives(layer: Layer, shape: tuple[int, ...]):
    assert output_shape(planned(layer)) == shape


def test_the_model_is_full_int8_and_runs_on_tflm():
    model = planned(
        Layer("conv2d", 8, activation="relu"),
        Layer("depthwise_conv2d"),
        Layer("max_pool2d", kernel=2, stride=2),
        Layer("average_pool2d", kernel=2, stride=2),
        Layer("dense", 4),
        Layer("softmax"),
    )

    footprint = measure(model, RUNTIMES["m4_cmsisnn"])
    assert not footprint.refusals
    assert not not_int8_tensors(model)
    assert footprint.known or not footprint.unknown


def test_weights_take_what_they_take_in_a_trained_file():
    relu = planned(Layer("dense", 64, activation="relu"), Layer("dense", 4), shape=(4096,))
    linear = planned(Layer("dense", 64), Layer("dense", 4), shape=(4096,))

    whole = 4096 * 64 + 64 * 4 + 4 * 68
    assert sum(len(tensor.data) for tensor in relu.main.tensors) == whole
    # Without an activation between them, the converter adds the first bias to the second.
    assert sum(len(tensor.data) for tensor in linear.main.tensors) == whole - 4 * 64


def test_constants_lie_where_kernels_may_read_them():
    content = model_of(LayerList((9, 9, 3), (Layer("conv2d", 3), Layer("dense", 5))), "idea")
    view = memoryview(content)

    for tensor in read_model(content, "idea").main.tensors:
        if len(tensor.data):
            starts = [at for at in range(0, len(content), 16)
                      if view[at : at + len(tensor.data)] == tensor.data]  # fmt: skip
            assert starts


@pytest.mark.parametrize(
    ("layers", "shape", "said"),
    [
        ((Layer("conv2d", 8),), (64,), "layer conv2d_0: expects (height, width, channels)"),
        ((Layer("conv2d", 8, kernel=20),), (16, 16, 1), "its 20×20 window is larger than"),
        ((Layer("dense", 8), Layer("max_pool2d")), (16, 16, 1), "layer max_pool2d_1: expects"),
    ],
)
def test_layers_that_do_not_fit(layers: tuple[Layer, ...], shape: tuple[int, ...], said: str):
    with pytest.raises(ModelError) as caught:
        model_of(LayerList(shape, layers), "idea")
    assert said in caught.value.message


def _with(kind: str) -> tuple[Layer, ...]:
    """A network with a layer of the type, behind the input ``input``."""
    if kind in ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"):
        sides = [Layer("conv2d", 4, padding="same", inputs=("input",), name=each) for each in "ab"]
        return (*sides, Layer(kind, inputs=("a", "b")))  # type: ignore[arg-type]
    settings: dict[str, Any] = {
        "attention": {"inputs": ("input", "input")}, "reshape": {"shape": (16, 16)},
        "permute": {"shape": (2, 1, 3)}, "activation": {"activation": "tanh"},
    }  # fmt: skip
    layer = Layer(kind, **{"size": 4, **settings.get(kind, {})})  # type: ignore[arg-type]
    return (Layer("conv2d", 4), layer) if kind == "dropout" else (layer,)


_OF_STEPS = ("lstm", "attention", "multi_head_attention")
_NEW, _OLD = "m4_cmsisnn", "arduino-tflm 2023-12"
_UNKNOWN = "TFLM has no registration for this operator"
_NOT_YET = "TFLM c12bd762 has no registration for this operator yet"
_INT8 = "'input' is INT16, supported: FLOAT32, INT8"
_BY_DATA = "the data that calibrates decides which of its inputs is requantized"
_ALWAYS = {(f"upsampling{rank}d", each): _UNKNOWN for rank in (1, 2) for each in (_NEW, _OLD)} | {
    (kind, _OLD): _NOT_YET for kind in ("attention", "multi_head_attention")
}
#: By numbers, layer and version of TFLM (none: it is not planned), the first reason.
REFUSED = {
    "int8": _ALWAYS,
    "float": _ALWAYS,
    "int16": _ALWAYS
    | {(f"global_max_pool{rank}d", each): _INT8 for rank in (1, 2) for each in (_NEW, _OLD)}
    | {("layer_norm", each): "'layer_norm_0' is INT16, supported: FLOAT32" for each in (_NEW, _OLD)}
    | {(kind, ""): _BY_DATA for kind in ("maximum", "minimum", "concatenate")}
    | {
        ("permute", _OLD): _INT8,
        ("lstm", ""): "TensorFlow 2.21 quantizes no lstm to 16 bits",
    },
}


@pytest.mark.parametrize("numbers", ["int8", "int16", "float"])
def test_each_layer_type_is_refused_as_its_file_is_and_as_each_version_does(numbers: Any):
    refused: dict[tuple[str, str], str] = {}
    for kind in LAYER_TYPES:
        flat = kind.endswith("1d") or kind == "conv1d_transpose" or kind in _OF_STEPS
        shape = (16,) if kind == "dense" else (12, 4) if flat else (8, 8, 4)
        planned = LayerList(shape, _with(kind), per_channel_dense=False, numbers=numbers)
        try:
            model = planned_model(planned, "idea", named=True)
        except NotPlannedError as error:
            refused[kind, ""] = error.message.partition("not planned: ")[2]
            continue
        written = read_model(model.content, "idea")
        for version in (_NEW, _OLD):
            runtime = runtime_called(version, "m4")
            found, of_file = measure(model, runtime), measure(written, runtime)
            assert [each.reason for each in found.refusals] == [
                each.reason for each in of_file.refusals
            ]
            if found.refusals:
                refused[kind, version] = found.refusals[0].reason
    assert refused == REFUSED[numbers]


DECLARATION = """
schema = 1

[models.idea]
input_shape = [16, 16, 1]
boards = ["arduino-nano-33-ble"]
budget = { flash = "64 KB" }
layers = [
  { type = "conv2d", filters = 8, padding = "same", activation = "relu" },
  { type = "max_pool2d" },
  { type = "dense", units = 64 },
]

[models.other]
input_shape = [32]
boards = ["arduino-nano-33-ble"]
layers = [{ type = "dense", units = 2 }]
"""


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ({"type": "zero_padding1d", "amount": [0, 2]}, (1, 10, 3)),
        ({"type": "zero_padding1d", "amount": [[3, 2]]}, (1, 13, 3)),
        ({"type": "cropping1d", "amount": [1, 0]}, (1, 7, 3)),
        ({"type": "cropping1d", "amount": 1}, (1, 6, 3)),
        ({"type": "upsampling1d", "amount": 3}, (1, 24, 3)),
        ({"type": "zero_padding2d", "amount": [1, [0, 2]]}, (1, 10, 10, 3)),
        ({"type": "zero_padding2d", "amount": [0, 2]}, (1, 8, 12, 3)),
        ({"type": "upsampling2d", "amount": [2, 1]}, (1, 16, 8, 3)),
    ],
)
def test_an_amount_is_before_and_after_of_steps_and_a_direction_each_of_images(
    layer: dict[str, Any], shape: tuple[int, ...]
):
    network = layers_of([layer], [8, 3] if layer["type"].endswith("1d") else [8, 8, 3])
    main = planned_model(network, "idea").main
    assert main.tensors[main.outputs[0]].shape == shape


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"type": "upsampling1d", "amount": [2, 3]}, "an upsampling1d repeats steps: one number"),
        ({"type": "upsampling2d", "amount": [[2, 3], 1]}, "repeats rows and columns: numbers"),
    ],
)
def test_an_amount_of_another_kind_is_refused(layer: dict[str, Any], said: str):
    with pytest.raises(DeclarationError, match=said):
        layers_of([layer], [8, 3])


def test_a_plan_is_a_pair_like_any_other(project: Callable[..., pytest.Pytester]):
    result = project(DECLARATION).runpytest("--tinybudget", "-p", "no:randomly")

    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["flash over by *", "*counted from a layer list:*"])


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('layers = [{ type = "dense", units = 4 }]', "'input_shape' is missing"),
        ("input_shape = [8]", "'source' is missing"),
        ('input_shape = [8]\nlayers = [{ type = "dense" }]', "a dense needs 'units'"),
        ('input_shape = [8]\nlayers = [{ type = "dense", units = 4, kernel = 3 }]',
         "a dense has no 'kernel'"),
        ('input_shape = [8]\nlayers = [{ type = "conv2d", units = 4 }]', "a conv2d has no 'units'"),
        ('input_shape = [8]\nlayers = [{ type = "gru" }]', 'found "gru"'),
        ('input_shape = [0]\nlayers = [{ type = "flatten" }]', "a whole number from 1 to 65536"),
        ('source = "a.tflite"\ninput_shape = [8]\nlayers = [{ type = "flatten" }]',
         "a model has 'source' or 'layers', not both"),
        ('source = "a.tflite"\ninput_shape = [8]', "is for a model with 'layers'"),
    ],
)  # fmt: skip
def test_a_plan_that_is_wrong(tmp_path, section: str, said: str):
    path = tmp_path / "tinybudget.toml"
    (tmp_path / "a.tflite").write_bytes(b"")
    path.write_text(f'schema = 1\n[models.idea]\nboards = ["esp32"]\n{section}\n', "utf-8")

    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("runtime", "scales"),
    [("arduino-tflm 2023-12", 1), ("zephyr 3.7", 1), ("zephyr 4.1", 2), ("m4_cmsisnn", 2)],
)
def test_dense_layers_have_the_scales_that_the_runtime_runs(
    runtime: str, scales: int, project: Callable[..., pytest.Pytester]
):
    pytester = project(DECLARATION + f'runtime = "{runtime}"\n')
    declaration = load_declaration(pytester.path / "tinybudget.toml")
    (pair,) = (each for each in pairs("tinybudget.toml", declaration) if each.name == "other")
    workspace = Workspace(cached=False)
    result = Gate(workspace).check(pair)
    assert not result.failed
    kernel = next(
        tensor
        for tensor in workspace.model(pair.model).main.tensors
        if tensor.name.endswith("/kernel")
    )
    assert len(kernel.quantization.scales) == scales
    told = (
        "dense layers have one scale each, as with per_channel_dense = false: "
        f"{runtime} does not run a scale for each output"
    )
    assert (told in result.notes) == (scales == 1)


def test_one_board_that_cannot_run_them_decides_for_all(
    project: Callable[..., pytest.Pytester],
):
    text = DECLARATION.replace(
        'input_shape = [32]\nboards = ["arduino-nano-33-ble"]',
        'input_shape = [32]\nboards = ["nucleo-l4r5zi", "arduino-nano-33-ble"]',
    )
    declaration = load_declaration(project(text).path / "tinybudget.toml")
    assert declaration.models["other"].conversion.per_tensor_for == "arduino-tflm 2023-12"
