"""Plans: what a network becomes, without a framework and without a file.

That real conversions give the same is in ``benchmarks/plans.py``, which needs TensorFlow.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from keras_files import CONV
from keras_files import keras_file
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.problems import toml_value
from pytest_tinybudget.fitting.space import chosen_layers
from pytest_tinybudget.fitting.space import plan_of
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import NotPlannedError
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.calls import in_order_of_calls
from pytest_tinybudget.planning.file import tables_of
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.planning.keras_config import read_keras
from pytest_tinybudget.planning.nodes import Scopes
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.shrinking.strip import strip
from pytest_tinybudget.workspace import Workspace


def plan(*layers: Layer, shape: tuple[int, ...] = (16, 16, 3), **settings: Any) -> Model:
    return planned_model(Network((("x", shape),), layers, **settings), "idea")


def arena(model: Model, runtime: str) -> int:
    found = measure(model, RUNTIMES[runtime]).arena
    assert found is not None
    return found.required


def names(model: Model) -> list[str]:
    return [each.name for each in model.main.operators]


RESIDUAL = (
    Layer("conv2d", 8, padding="same", bias=False, name="a"),
    Layer("batch_norm"),
    Layer("activation", activation="relu", name="b"),
    Layer("conv2d", 8, padding="same", name="c"),
    Layer("add", inputs=("b", "c"), activation="relu"),
    Layer("global_average_pool2d"),
    Layer("dense", 4),
)


def test_normalization_and_activation_become_part_of_the_convolution() -> None:
    model = plan(*RESIDUAL)
    assert names(model) == ["CONV_2D", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED"]
    fused = [each.options.get("fused_activation_function") for each in model.main.operators]
    assert fused == ["RELU", "NONE", "RELU", None, "NONE"]


@pytest.mark.parametrize("numbers", ["int8", "int16", "float"])
def test_the_graph_is_that_of_the_file_and_the_size_is_counted(numbers: Any) -> None:
    model = plan(*RESIDUAL, numbers=numbers)
    counted = model.bytes
    written = read_model(model.content, "idea")
    assert counted == len(model.content)
    assert strip(written).model.bytes == counted
    nameless = [
        (each.type, each.shape, each.quantization, bytes(each.data)) for each in model.main.tensors
    ]
    assert nameless == [
        (each.type, each.shape, each.quantization, bytes(each.data))
        for each in written.main.tensors
    ]
    assert model.main.operators == written.main.operators


@pytest.mark.parametrize("numbers", ["int8", "int16", "float"])
def test_short_names_are_counted_as_they_are_written(numbers: Any) -> None:
    # A mean of steps has a shape of no dimensions, which 16-bit files leave out.
    steps = (
        Layer("conv1d", 4, name="a"),
        Layer("global_average_pool1d", name="bc"),
        Layer("dense", 4, name="d"),
    )
    network = Network((("x", (16, 3)),), steps, numbers=numbers)
    model = planned_model(network, "idea", named=True)
    counted = model.bytes
    assert counted == len(model.content)


def test_steps_stay_an_image_from_one_convolution_to_the_next() -> None:
    model = plan(
        Layer("conv1d", 8, activation="relu"),
        Layer("conv1d", 4),
        Layer("global_average_pool1d"),
        shape=(24, 4),
    )
    assert names(model) == ["RESHAPE", "CONV_2D", "CONV_2D", "RESHAPE", "MEAN"]


@pytest.mark.parametrize(
    ("layer", "shape", "operators"),
    [
        (Layer("conv2d_transpose", 4, stride=2, padding="same"), (1, 32, 32, 4),
         ["TRANSPOSE_CONV"]),
        (Layer("separable_conv2d", 4, kernel=(3, 5)), (1, 14, 12, 4),
         ["DEPTHWISE_CONV_2D", "CONV_2D"]),
        (Layer("conv2d", 4, kernel=(1, 3), dilation=(1, 2)), (1, 16, 12, 4), ["CONV_2D"]),
        (Layer("zero_padding2d", amount=((0, 1), (2, 0))), (1, 17, 18, 3), ["PAD"]),
        (Layer("cropping2d"), (1, 14, 14, 3), ["STRIDED_SLICE"]),
        (Layer("upsampling2d", interpolation="bilinear"), (1, 32, 32, 3), ["RESIZE_BILINEAR"]),
        (Layer("permute", shape=(3, 1, 2)), (1, 3, 16, 16), ["TRANSPOSE"]),
        (Layer("reshape", shape=(-1, 3)), (1, 256, 3), ["RESHAPE"]),
        (Layer("activation", activation="swish"), (1, 16, 16, 3), ["LOGISTIC", "MUL"]),
    ],
)  # fmt: skip
def test_a_layer_has_its_shape_and_operators(
    layer: Layer, shape: tuple[int, ...], operators: list[str]
) -> None:
    model = plan(layer)
    assert model.main.tensors[model.main.outputs[0]].shape == shape
    assert names(model) == operators


def test_recurrent_layers_and_attention_are_measured() -> None:
    model = plan(
        Layer("lstm", 6, sequences=True, name="a"),
        Layer("attention", inputs=("a", "a")),
        Layer("lstm", 4),
        Layer("dense", 2),
        shape=(12, 3),
    )
    footprint = measure(model, RUNTIMES["m4_ref"])
    assert footprint.arena is not None
    assert footprint.arena.required > 0


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ((Layer("add", inputs=("x", "y")),), "layer add_0: there is no layer 'y'"),
        ((Layer("conv1d", 8),), "layer conv1d_0: expects (steps, channels), but is given"),
        ((Layer("conv2d", 8, name="a"), Layer("add", inputs=("x", "a"))),
         "layer add_1: its inputs do not fit: [16, 16, 3] and [14, 14, 8]"),
        ((Layer("reshape", shape=(5,), name="r"),), "layer r: [16, 16, 3] has no [5]"),
    ],
)  # fmt: skip
def test_an_error_names_layer_and_shape(layers: tuple[Layer, ...], said: str) -> None:
    with pytest.raises(ModelError) as caught:
        plan(*layers)
    assert said in caught.value.message


@pytest.mark.parametrize(
    "layers",
    [
        (Layer("concatenate", inputs=("x", "x")),),
        (Layer("activation", activation="softplus"),),  # type: ignore[arg-type]
        (Layer("dense", 1), Layer("dense", 3), Layer("dense", 2)),
        (Layer("activation", activation="relu"), Layer("activation", activation="prelu")),
        (Layer("conv2d", 1), Layer("layer_norm")),
        (Layer("conv2d", 1), Layer("reshape", shape=(196, 1)), Layer("conv1d", 1)),
    ],
)
def test_what_the_data_decides_or_nobody_knows_is_not_planned(layers: tuple[Layer, ...]) -> None:
    with pytest.raises(NotPlannedError, match="not planned: "):
        plan(*layers)


def test_the_bias_of_a_dense_layer_becomes_a_part_of_the_next_ones() -> None:
    dense = [Layer("dense", units) for units in (6, 5, 4)]
    assert biases(plan(*dense, shape=(8,))) == [True, False, True]
    assert biases(plan(*dense[:2], Layer("dense", 3, activation="relu"), shape=(8,))) == [
        False, True, True,
    ]  # fmt: skip
    scaled = (Layer("dense", 6), Layer("rescaling", factor=2.0, offset=1.0), Layer("dense", 5))
    assert biases(plan(*scaled, shape=(8,))) == [True, True]


def biases(model: Model) -> list[bool]:
    """Whether each dense layer of a model has a bias."""
    dense = [each for each in model.main.operators if each.name == "FULLY_CONNECTED"]
    return [each.inputs[-1] != -1 for each in dense]


@pytest.mark.parametrize(
    ("layer", "operators"),
    [
        (Layer("dense", 4), ["FULLY_CONNECTED"]),
        (Layer("dense", 4, activation="relu"), ["MUL", "ADD"]),
        (Layer("dense", 4, bias=False), ["MUL"]),
    ],
)
def test_a_dense_layer_over_one_channel_multiplies_where_no_bias_joins_it(
    layer: Layer, operators: list[str]
) -> None:
    assert names(plan(layer, shape=(16, 1))) == operators


def test_a_dense_layer_between_two_reshapes_takes_an_image() -> None:
    model = plan(
        Layer("conv1d", 5), Layer("dense", 4), Layer("max_pool1d", kernel=2, stride=2),
        shape=(16, 4),
    )  # fmt: skip
    assert names(model) == ["RESHAPE", "CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "RESHAPE"]


def flow(*layers: Layer, shape: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    """The operators with the shapes of their results, without batch."""
    main = plan(*layers, shape=shape).main
    return [(each.name, main.tensors[each.outputs[0]].shape[1:]) for each in main.operators]


@pytest.mark.parametrize("bias", [True, False])
def test_a_reshape_before_a_dense_layer_comes_behind_it(bias: bool) -> None:
    dense = Layer("dense", 3, bias=bias, activation="relu")
    rows = Layer("reshape", shape=(8, 4))
    conv = Layer("conv2d", 4, kernel=1)
    first = [("CONV_2D", (4, 2, 4)), ("FULLY_CONNECTED", (4, 2, 3))]
    pool = Layer("global_average_pool1d")
    assert flow(conv, rows, dense, pool, shape=(4, 2, 4)) == [
        *first, ("RESHAPE", (8, 3)), ("MEAN", (3,)),
    ]  # fmt: skip
    # What is reshaped again is one reshape, whose number of channels may be another.
    flat = (Layer("flatten"), Layer("dense", 2))
    assert flow(conv, rows, dense, *flat, shape=(4, 2, 4)) == [
        *first, ("RESHAPE", (24,)), ("FULLY_CONNECTED", (2,)),
    ]  # fmt: skip
    # What changes the number of channels stays.
    other = flow(conv, Layer("reshape", shape=(4, 8)), dense, pool, shape=(4, 2, 4))
    assert [name for name, _ in other][:3] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_a_row_that_scales_an_image_is_not_reshaped() -> None:
    found = flow(
        Layer("conv2d", 8, kernel=1, name="maps"), Layer("global_average_pool2d"),
        Layer("dense", 8, activation="sigmoid"), Layer("reshape", shape=(1, 1, 8), name="scale"),
        Layer("multiply", inputs=("maps", "scale")), shape=(4, 4, 2),
    )  # fmt: skip
    assert [name for name, _ in found] == ["CONV_2D", "MEAN", "FULLY_CONNECTED", "LOGISTIC", "MUL"]
    found = flow(
        Layer("conv2d", 8, kernel=1, name="maps"), Layer("global_average_pool2d"),
        Layer("reshape", shape=(1, 1, 8), name="row"), Layer("add", inputs=("maps", "row")),
        shape=(4, 4, 2),
    )  # fmt: skip
    # Keras adds it as a bias: a vector.
    assert found[1:] == [("MEAN", (8,)), ("RESHAPE", ()), ("ADD", (4, 4, 8))]


def test_a_mean_that_is_an_image_again_keeps_its_dimensions() -> None:
    behind = Layer("reshape", shape=(1, 1, 2)), Layer("conv2d", 4, kernel=1)
    found = flow(Layer("global_average_pool2d"), *behind, shape=(4, 4, 2))
    assert found == [("MEAN", (1, 1, 2)), ("CONV_2D", (1, 1, 4))]
    found = flow(Layer("global_max_pool2d"), *behind, shape=(4, 4, 2))
    assert found == [("REDUCE_MAX", (1, 1, 2)), ("CONV_2D", (1, 1, 4))]


def test_a_row_that_is_added_to_another_is_a_vector() -> None:
    layers = [Layer("dense", 4, activation="relu", name="a"), Layer("dense", 4, name="b")]
    summed = plan(*layers, Layer("add", inputs=("a", "b")), shape=(8,))
    assert names(summed) == ["FULLY_CONNECTED", "FULLY_CONNECTED", "RESHAPE", "ADD"]
    assert [summed.main.tensors[each.outputs[0]].shape for each in summed.main.operators][2] == (4,)
    assert names(plan(*layers, Layer("multiply", inputs=("a", "b")), shape=(8,)))[-1] == "MUL"
    # One number is none.
    single = [Layer("dense", 1, activation="relu", name="a"), Layer("dense", 1, name="b")]
    assert "RESHAPE" not in names(plan(*single, Layer("add", inputs=("a", "b")), shape=(8,)))
    column = [Layer("conv2d", 1, kernel=(1, 8), name="a"), Layer("add", inputs=("x", "a"))]
    with pytest.raises(NotPlannedError, match="takes for a bias of rows"):
        plan(*column, shape=(8, 8, 4))


def test_a_bias_of_one_number_over_steps_is_added_behind_the_convolution() -> None:
    for kind in ("conv1d", "conv1d_transpose", "separable_conv1d"):
        (last,) = plan(Layer(kind, 1), shape=(12, 4)).main.operators[-1:]  # type: ignore[arg-type]
        assert last.name == "ADD"
    assert names(plan(Layer("conv1d", 1, padding="same"), shape=(1, 4)))[-1] == "RESHAPE"


def test_what_changes_each_number_goes_before_a_reshape_and_a_transposition() -> None:
    relu = Layer("activation", activation="relu")
    conv = Layer("conv2d", 4, kernel=1)
    found = plan(conv, Layer("permute", shape=(2, 1, 3)), relu, shape=(4, 6, 3))
    assert names(found) == ["CONV_2D", "TRANSPOSE"]
    assert found.main.operators[0].options["fused_activation_function"] == "RELU"
    norm = plan(conv, Layer("reshape", shape=(24, 4)), Layer("batch_norm"), shape=(4, 6, 3))
    assert names(norm) == ["CONV_2D", "RESHAPE"]
    scaled = plan(
        Layer("permute", shape=(2, 1)), Layer("rescaling", factor=2.0, offset=1.0), shape=(8, 4)
    )
    assert names(scaled) == ["MUL", "ADD", "TRANSPOSE"]
    # What has another number of channels, or more than four dimensions, stays.
    other = plan(conv, Layer("reshape", shape=(48, 2)), Layer("batch_norm"), shape=(4, 6, 3))
    assert names(other) == ["CONV_2D", "RESHAPE", "MUL", "ADD"]
    deep = (Layer("reshape", shape=(2, 2, 6, 4)), Layer("batch_norm"))
    assert names(plan(conv, *deep, shape=(4, 6, 3))) == ["CONV_2D", "RESHAPE", "MUL", "ADD"]


def test_an_activation_goes_before_several_that_move_numbers() -> None:
    layers = [Layer("average_pool1d", kernel=2), Layer("permute", shape=(2, 1))]
    layers += [Layer("activation", activation="tanh"), Layer("flatten"), Layer("dense", 2)]
    found = names(plan(Layer("conv1d", 4), *layers, shape=(16, 3)))
    assert found[-5:] == ["TANH", "RESHAPE", "TRANSPOSE", "RESHAPE", "FULLY_CONNECTED"]


def test_steps_that_are_added_to_themselves_stay_an_image() -> None:
    twice = Layer("multiply", inputs=("a", "a"))
    found = names(plan(Layer("conv1d", 4, kernel=1, name="a"), twice, shape=(16, 3)))
    assert found == ["RESHAPE", "CONV_2D", "MUL", "RESHAPE"]


def test_a_single_number_is_an_image_before_it_meets_one() -> None:
    layers = [Layer("global_average_pool2d", name="mean"), Layer("subtract", inputs=("x", "mean"))]
    assert names(plan(*layers, shape=(1, 2, 1))) == ["MEAN", "SUB"]
    row = [Layer("global_average_pool2d"), Layer("dense", 1, activation="relu", name="row")]
    found = names(plan(*row, Layer("subtract", inputs=("x", "row")), shape=(1, 2, 1)))
    assert found == ["MEAN", "FULLY_CONNECTED", "RESHAPE", "SUB"]


def test_two_transpositions_are_one_or_nothing() -> None:
    conv, turned = Layer("conv2d", 4, kernel=1), Layer("permute", shape=(2, 1, 3))
    assert names(plan(conv, turned, turned, conv, shape=(4, 6, 3))) == ["CONV_2D", "CONV_2D"]
    again = plan(conv, turned, Layer("permute", shape=(3, 2, 1)), shape=(4, 6, 3))
    assert names(again) == ["CONV_2D", "TRANSPOSE"]


def test_dense_layers_without_bias_in_a_row_keep_their_rows() -> None:
    bare = [Layer("dense", units, bias=False) for units in (6, 5)]
    assert flow(*bare, shape=(8, 4)) == [
        ("FULLY_CONNECTED", (6,)), ("FULLY_CONNECTED", (5,)), ("RESHAPE", (8, 5))
    ]  # fmt: skip
    assert flow(bare[0], Layer("dense", 5), shape=(8, 4)) == [
        ("FULLY_CONNECTED", (6,)), ("FULLY_CONNECTED", (5,)), ("RESHAPE", (8, 5))
    ]  # fmt: skip
    relu = flow(Layer("dense", 6, bias=False, activation="relu"), bare[1], shape=(8, 4))
    assert relu == [("FULLY_CONNECTED", (8, 6)), ("FULLY_CONNECTED", (8, 5))]


def test_a_mean_over_one_position_is_left_out_where_it_keeps_its_dimensions() -> None:
    conv = Layer("conv2d", 3, kernel=1)
    pool = Layer("global_average_pool2d", keep_dims=True)
    assert names(plan(conv, pool, conv, shape=(1, 1, 2))) == ["CONV_2D", "CONV_2D"]
    assert names(plan(conv, pool, conv, shape=(1, 2, 2))) == ["CONV_2D", "MEAN", "CONV_2D"]


def test_a_gate_of_two_dilated_convolutions_is_not_planned() -> None:
    gate = [
        Layer("conv1d", 4, kernel=2, padding="causal", inputs=("x",), name=each) for each in "ab"
    ]
    product = Layer("multiply", inputs=("a", "b"))
    assert names(plan(*gate, product, shape=(16, 4))).count("CONV_2D") == 2
    with pytest.raises(NotPlannedError, match="two convolutions of one dilation"):
        plan(*[replace(each, dilation=2) for each in gate], product, shape=(16, 4))


def test_slopes_are_shared_over_the_axes_that_are_named() -> None:
    def slopes(shared: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        main = plan(Layer("activation", activation="prelu", shape=shared), shape=shape).main
        return main.tensors[main.operators[0].inputs[1]].shape

    assert slopes((), (6, 4, 3)) == slopes((1, 2), (6, 4, 3)) == (1, 1, 3)
    assert slopes((0,), (6, 4, 3)) == (6, 4, 3)
    assert slopes((1,), (6, 4)) == (1, 4)


def test_a_value_that_is_joined_twice_is_not_planned() -> None:
    layers = [Layer("conv2d", 3, kernel=1, name="a"), Layer("conv2d", 3, kernel=1, name="b")]
    layers += [Layer("concatenate", inputs=("a", "b")), Layer("conv2d", 3, kernel=1, name="c")]
    with pytest.raises(NotPlannedError, match="a value that is joined twice"):
        plan(*layers, Layer("concatenate", inputs=("a", "c")))


def test_branches_come_in_the_order_of_their_scopes_as_keras_opens_them() -> None:
    scopes = Scopes("functional")
    assert [scopes.of(each) for each in ("conv_1", "conv", "block/conv", "block/conv_1")] == [
        "functional_1/conv_1_1", "functional_1/conv_2", "functional_1/block_1/conv_1",
        "functional_1/block_1/conv_1_2",
    ]  # fmt: skip
    kernels = ((3, "conv1d"), (5, "conv1d_1"), (7, "conv1d_2"))
    calls = in_order_of_calls(
        {
            **{name: [("in", 0)] for _, name in kernels},
            **{f"max_{name}": [(name, 0)] for _, name in kernels},
            "joined": [(f"max_{name}", 0) for _, name in kernels],
        },
        ["joined"],
    )
    assert calls[:3] == ["conv1d_2", "conv1d_1", "conv1d"]
    assert calls[3:] == ["max_conv1d", "max_conv1d_1", "max_conv1d_2", "joined"]


def test_a_norm_becomes_a_part_of_all_dense_layers_that_take_it() -> None:
    layers = [Layer("batch_norm", name="n"), Layer("dense", 3, inputs=("n",), name="a")]
    layers += [Layer("dense", 3, inputs=("n",), name="b"), Layer("add", inputs=("a", "b"))]
    assert names(plan(*layers, shape=(8, 4))) == ["FULLY_CONNECTED", "FULLY_CONNECTED", "ADD"]
    outside = [*layers[:2], Layer("dense", 4, inputs=("n",), name="b")]
    merged = plan(*outside, Layer("add", inputs=("n", "b")), shape=(8, 4))
    assert names(merged)[:2] == ["MUL", "ADD"]


def test_a_norm_between_reshape_and_dense_layer_keeps_them_in_their_order() -> None:
    first = Layer("conv2d", 4, kernel=1), Layer("reshape", shape=(8, 4)), Layer("batch_norm")
    found = flow(*first, Layer("dense", 3), shape=(4, 2, 4))
    assert [name for name, _ in found] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED"]


def test_the_reshape_that_comes_behind_a_dense_layer_stays_before_the_next() -> None:
    layers = [Layer("conv2d", 4, kernel=1), Layer("reshape", shape=(8, 4)), Layer("dense", 3)]
    layers += [Layer("dense", 2), Layer("global_average_pool1d")]
    model = plan(*layers, shape=(4, 2, 4))
    assert names(model) == ["CONV_2D", "FULLY_CONNECTED", "RESHAPE", "FULLY_CONNECTED", "MEAN"]
    # The first bias has become a part of the second.
    assert model.main.operators[1].inputs[-1] == -1


def test_a_squeeze_and_what_several_layers_take_stay_before_a_dense_layer() -> None:
    dense, pool = Layer("dense", 3, activation="relu"), Layer("global_average_pool1d")
    for bias in (True, False):
        dense = Layer("dense", 3, activation="relu", bias=bias)
        steps = flow(Layer("conv1d", 4, kernel=1, activation="relu"), dense, pool, shape=(8, 4))
        assert [name for name, _ in steps] == [
            "RESHAPE",
            "CONV_2D",
            "RESHAPE",
            "FULLY_CONNECTED",
            "MEAN",
        ]
    first = Layer("conv2d", 4, kernel=1), Layer("reshape", shape=(8, 4), name="rows")
    second = Layer("dense", 4, inputs=("rows",), name="d"), Layer("add", inputs=("rows", "d"))
    found = flow(*first, *second, shape=(4, 2, 4))
    assert [name for name, _ in found] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "ADD"]


def test_the_reshape_comes_behind_a_sigmoid_and_a_norm_as_well() -> None:
    first = Layer("conv2d", 4, kernel=1), Layer("reshape", shape=(8, 4))
    sigmoid = Layer("dense", 3, activation="sigmoid")
    assert flow(*first, sigmoid, shape=(4, 2, 4))[1:] == [
        ("FULLY_CONNECTED", (3,)), ("LOGISTIC", (3,)), ("RESHAPE", (8, 3)),
    ]  # fmt: skip
    found = flow(*first, Layer("dense", 3), Layer("batch_norm"), shape=(4, 2, 4))
    assert found[1:] == [("FULLY_CONNECTED", (4, 2, 3)), ("RESHAPE", (8, 3))]


def test_a_dense_layer_behind_an_upsampling_takes_it_before_it_is_an_image_again() -> None:
    dense, flat = Layer("dense", 3, activation="relu"), Layer("flatten")
    assert flow(Layer("upsampling2d"), dense, flat, shape=(6, 4, 2))[-2:] == [
        ("FULLY_CONNECTED", (12, 4, 2, 3)), ("RESHAPE", (288,)),
    ]  # fmt: skip
    with pytest.raises(NotPlannedError, match="behind an upsampling of one direction"):
        plan(Layer("upsampling2d", amount=((2, 1),)), dense, shape=(6, 4, 2))
    with pytest.raises(NotPlannedError, match="over a single channel behind a reshape"):
        plan(Layer("reshape", shape=(8, 1)), dense, shape=(8,))


def test_a_transposed_convolution_without_bias_has_none() -> None:
    (operator,) = plan(Layer("conv2d_transpose", 4, bias=False)).main.operators
    assert (len(operator.inputs), operator.version) == (3, 2)
    for numbers, version in (("int16", 3), ("float", 1)):
        (operator,) = plan(Layer("conv2d_transpose", 4, bias=False), numbers=numbers).main.operators
        assert operator.version == version


def test_equal_numbers_are_one_constant_and_all_above_zero_share_a_buffer() -> None:
    def numbers(*layers: Layer) -> tuple[int, int]:
        found = [each for each in plan(*layers).main.tensors if each.shape == ()]
        return len(found), len({each.buffer for each in found})

    half = Layer("rescaling", center=False, factor=0.5)
    assert numbers(half, half) == (1, 1)
    assert numbers(half, Layer("rescaling", center=False, factor=3.0)) == (2, 1)
    assert numbers(half, Layer("rescaling", center=False, factor=-3.0)) == (2, 2)
    assert numbers(*[Layer("rescaling", center=False)] * 2) == (2, 2)


def test_a_single_number_joins_the_weights_of_every_convolution_behind_it() -> None:
    model = plan(
        Layer("rescaling", factor=0.5, offset=1.0, name="r"),
        Layer("conv2d", 4, kernel=1, name="a"),
        Layer("conv2d", 4, kernel=1, inputs=("r",), name="b"),
        Layer("maximum", inputs=("a", "b")),
    )
    assert names(model) == ["CONV_2D", "CONV_2D", "MAXIMUM"]


def test_operators_of_two_equal_reshapes_come_before_them() -> None:
    model = plan(
        Layer("conv1d", 4, name="a"), Layer("conv1d", 4, inputs=("x",), name="b"),
        Layer("maximum", inputs=("a", "b")), shape=(16, 4),
    )  # fmt: skip
    assert names(model) == ["RESHAPE", "CONV_2D", "CONV_2D", "MAXIMUM", "RESHAPE"]


def test_a_16_bit_plan_has_the_ranges_and_types_of_bias_that_its_file_has() -> None:
    conv = (Layer("conv2d", 4, bias=False), Layer("conv2d", 4, bias=False))
    model = plan(*conv, numbers="int16")
    assert [each.options["quantized_bias_type"] for each in model.main.operators] == ["INT64"] * 2
    biases = {each.inputs[-1] for each in model.main.operators}
    assert len(biases) == 1  # zeros of the same length
    ranged = [
        bool(table.values["quantization"].values.get("min"))
        for table in tables_of(model.main).tables("subgraphs")[0].tables("tensors")
    ]
    types = [each.type for each in model.main.tensors]
    assert ranged == [each in ("INT16", "INT8") for each in types]


def test_16_bit_dense_layers_over_steps_take_what_their_conversions_do() -> None:
    layers = (Layer("dense", 6, activation="relu"), Layer("dense", 4, bias=False))
    model = plan(*layers, shape=(24, 4), numbers="int16", per_channel_dense=False)
    assert names(model) == ["FULLY_CONNECTED"] * 2
    assert (model.bytes, arena(model, "m4_cmsisnn"), arena(model, "m0plus_ref")) == (
        1112, 1056, 1008,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("numbers", "figures"), [("int8", (1644, 1552, 1408)), ("float", (1404, 1360, 1312))]
)
def test_the_bias_of_a_transposed_convolution_over_steps_goes_into_the_dense_layer(
    numbers: Any, figures: tuple[int, int, int]
) -> None:
    steps = Layer("conv1d_transpose", 4, kernel=2, stride=2, name="t")
    model = plan(steps, Layer("dense", 5), shape=(8, 3), numbers=numbers)
    assert (model.bytes, arena(model, "m4_cmsisnn"), arena(model, "m0plus_ref")) == figures
    relu = Layer("dense", 5, activation="relu", name="a")
    both = (relu, replace(relu, name="b", inputs=("t",)))
    with pytest.raises(NotPlannedError, match="steps that several layers take"):
        plan(steps, *both, shape=(8, 3), numbers=numbers, outputs=("a", "b"))


def test_a_float_plan_stores_each_number_once_and_has_versions_of_its_own() -> None:
    layers = [Layer("rescaling", center=False, factor=each) for each in (0.5, 3.0)]
    numbers = [each for each in plan(*layers, numbers="float").main.tensors if each.shape == ()]
    assert len({each.buffer for each in numbers}) == 2
    for dilation in (1, 2):
        layer = Layer("depthwise_conv2d", dilation=dilation)
        assert plan(layer, numbers="float").main.operators[0].version == dilation


DECLARATION = """
schema = 1

[models.idea]
input_shape = [16, 16, 3]
boards = ["raspberry-pi-pico"]
layers = [
  { type = "conv2d", filters = 8, kernel = [3, 5], padding = "same", bias = false },
  { type = "batch_norm" },
  { type = "activation", activation = "relu", name = "x" },
  { type = "global_average_pool2d", keep_dims = true },
  { type = "conv2d", filters = 8, kernel = 1, activation = "sigmoid", name = "gate" },
  { type = "multiply", inputs = ["x", "gate"] },
  { type = "global_average_pool2d", name = "pooled" },
  { type = "input", name = "state", shape = [4] },
  { type = "dense", units = 8, activation = "relu", inputs = ["state"], name = "s" },
  { type = "add", inputs = ["pooled", "s"], name = "both" },
  { type = "dense", units = 3, activation = "softmax", output = true },
  { type = "dense", units = 2, inputs = ["both"], output = true },
]
"""


def test_a_declared_plan_has_branches_inputs_and_outputs(tmp_path: Path) -> None:
    path = tmp_path / "tinybudget.toml"
    path.write_text(DECLARATION, "utf-8")
    model = Workspace(cached=False).model(load_declaration(path).models["idea"])
    shapes = [model.main.tensors[each].shape for each in model.main.inputs]
    assert shapes == [(1, 16, 16, 3), (1, 4)]
    assert [model.main.tensors[each].shape for each in model.main.outputs] == [(1, 3), (1, 2)]
    assert sorted(names(model)) == sorted(
        ["CONV_2D", "MEAN", "CONV_2D", "LOGISTIC", "MUL", "MEAN", "FULLY_CONNECTED", "RESHAPE",
         "ADD", "FULLY_CONNECTED", "SOFTMAX", "FULLY_CONNECTED"]
    )  # fmt: skip


def test_a_layer_behind_an_input_takes_it_and_is_called_by_its_place(tmp_path: Path) -> None:
    layers = [
        {"type": "global_average_pool2d", "name": "pooled"},
        {"type": "input", "shape": [5]},
        {"type": "dense", "units": 2},
        {"type": "dense", "units": 3, "inputs": ["input_1"], "output": True},
        {"type": "dense", "units": 4, "inputs": ["pooled"], "output": True},
    ]
    network = chosen_layers(plan_of({"input_shape": [8, 8, 3], "layers": layers}, "plan"), {})
    model = planned_model(network, "idea")
    text = "\n".join(
        f"  {{ {', '.join(f'{key} = {toml_value(value)}' for key, value in each.items())} }},"
        for each in layers
    )
    path = tmp_path / "tinybudget.toml"
    path.write_text(
        'schema = 1\n[models.idea]\ninput_shape = [8, 8, 3]\nboards = ["esp32"]\n'
        f"layers = [\n{text}\n]\n"
    )
    assert load_declaration(path).models["idea"].planned == network
    tensors = model.main.tensors
    taken = {
        tensors[each.outputs[0]].name: tensors[each.inputs[0]].shape
        for each in model.main.operators
    }
    rows = {"dense_2": (1, 5), "dense_3": (1, 5), "dense_4": (1, 3)}
    assert taken == {"pooled": (1, 8, 8, 3), **rows}
    layers[2] = {"type": "conv2d", "filters": 2}
    network = chosen_layers(plan_of({"input_shape": [8, 8, 3], "layers": layers}, "plan"), {})
    with pytest.raises(ModelError, match=r"layer conv2d_2: expects \(height, width, channels\)"):
        planned_model(network, "idea")


def test_two_inputs_of_one_name_are_refused() -> None:
    network = Network((("x", (4,)), ("x", (5,))), (Layer("dense", 2),))
    with pytest.raises(ModelError, match="idea: input x: a second input of this name"):
        planned_model(network, "idea")


def test_outputs_without_a_name_come_in_the_order_in_which_keras_would_name_them() -> None:
    # "dense/…" is before "dense_1/…", and its operators are behind: as TensorFlow 2.21 converts it.
    heads = [{"type": "dense", "units": units, "inputs": ["x"], "output": True} for units in (4, 1)]
    layers = [{"type": "dense", "units": 8, "name": "x"}, *heads]
    read = plan_of({"input_shape": [6], "layers": layers}, "plan")
    main = planned_model(chosen_layers(read, {}), "idea").main
    outputs = [main.tensors[each] for each in main.outputs]
    assert [each.name for each in outputs] == ["dense_1", "dense_2"]
    assert [each.shape for each in outputs] == [(1, 4), (1, 1)]
    made = [main.tensors[each.outputs[0]].shape for each in main.operators]
    assert made == [(1, 8), (1, 1), (1, 4)]


def _heads(*behind: Layer, numbers: Any = "int8", outputs: tuple[str, ...] = ("p", "q")) -> Model:
    layers = (Layer("dense", 8, name="row"), *(replace(each, inputs=("row",)) for each in behind))
    return plan(*layers, shape=(6,), numbers=numbers, outputs=outputs)


@pytest.mark.parametrize("numbers", ["int8", "float"])
def test_several_dense_layers_take_the_bias_of_the_one_before_them(numbers: Any) -> None:
    # As TensorFlow 2.21 converts it: one without ReLU takes it first, then those with one do.
    for activations, count in ((("none", "none"), 0), (("relu", "none"), 0), (("relu", "relu"), 1)):
        p, q = (
            Layer("dense", 3, name=name, activation=each)
            for name, each in zip("pq", activations, strict=True)
        )
        model = _heads(p, q, numbers=numbers)
        has_bias = [each.inputs[2] >= 0 for each in model.main.operators]
        assert has_bias == [bool(count), True, True]


@pytest.mark.parametrize(
    ("behind", "outputs", "made"),
    [
        ((Layer("dense", 3, name="p"), Layer("dense", 3, bias=False, name="q")), ("p", "q"),
         ["FULLY_CONNECTED"]),
        ((Layer("dense", 3, name="p"), Layer("softmax", name="q")), ("p", "q"), ["SOFTMAX"]),
        ((Layer("dense", 3, name="p"),), ("row", "p"), []),
    ],
)  # fmt: skip
def test_a_bias_that_is_added_for_some_users_alone_is_an_operator(
    behind: tuple[Layer, ...], outputs: tuple[str, ...], made: list[str]
) -> None:
    # As TensorFlow 2.21 converts it: the dense layers with a bias take it in, the others its sum.
    found = _heads(*behind, outputs=outputs)
    assert sorted(names(found)) == sorted(["FULLY_CONNECTED", "ADD", "FULLY_CONNECTED", *made])
    assert found.main.operators[0].inputs[2] == -1


def test_a_declared_plan_is_checked(project: Callable[..., pytest.Pytester]) -> None:
    project(DECLARATION).runpytest("--tinybudget", "-p", "no:randomly").assert_outcomes(passed=1)


def test_a_keras_file_is_planned_from_its_config(tmp_path: Path) -> None:
    dense = ("Dense", {"units": 3, "use_bias": True, "activation": "softmax"})
    network = read_keras(keras_file(tmp_path, CONV, ("Flatten", {}), dense))
    model = planned_model(network, "made")
    assert names(model) == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]


@pytest.mark.parametrize("layer", [("GRU", {"units": 3}), ("Conv3D", CONV[1])])
def test_a_keras_layer_whose_conversion_is_not_known_is_named(
    tmp_path: Path, layer: tuple[str, dict[str, Any]]
) -> None:
    with pytest.raises(NotPlannedError, match="layer layer_1: not planned: "):
        read_keras(keras_file(tmp_path, CONV, layer))


def test_operators_of_python_are_planned_as_the_layers_that_compute_the_same() -> None:
    x = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}

    def planned(kind: str, *operands: Any) -> list[str]:
        operation = {
            "class_name": kind, "module": "keras.src.ops.numpy", "config": {"name": "op"},
            "inbound_nodes": [{"args": list(operands), "kwargs": {}}],
        }  # fmt: skip
        start = {
            "class_name": "InputLayer",
            "config": {"name": "x", "batch_shape": [None, 4, 4, 3]},
        }
        config = {
            "layers": [start, operation], "name": "m",
            "input_layers": [["x", 0, 0]], "output_layers": [["op", 0, 0]],
        }  # fmt: skip
        return names(planned_model(network_of({"class_name": "Functional", "config": config}), "m"))

    assert planned("Add", x, x) == ["ADD"]
    assert planned("Multiply", x, 2.0) == planned("TrueDivide", x, 255.0) == ["MUL"]
    assert planned("Add", 0.5, x) == ["ADD"]
    for operands in (("Subtract", 1.0, x), ("TrueDivide", x, x), ("Matmul", x, x)):
        with pytest.raises(NotPlannedError, match=r"of keras\.ops"):
            planned(*operands)


def test_a_damaged_keras_file_is_not_planned(tmp_path: Path) -> None:
    path = tmp_path / "damaged.keras"
    path.write_bytes(b"PK")
    with pytest.raises(NotPlannedError, match=r"damaged\.keras: not planned"):
        read_keras(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"strides": [0, 0]}, "layer layer_0: stride is "),
        ({"strides": [1, 2**63]}, "layer layer_0: stride is "),
        ({"strides": [True, True]}, "not understood"),
        ({"kernel_size": [-1, 3]}, "layer layer_0: kernel is "),
        ({"kernel_size": "three"}, "not understood"),
        ({"filters": 0}, "layer layer_0: size is 0"),
        ({"filters": "8"}, "not understood"),
        ({"padding": 5}, "not understood"),
    ],
)
def test_a_keras_config_with_a_value_that_no_layer_has_is_not_planned(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(NotPlannedError, match=said):
        read_keras(keras_file(tmp_path, ("Conv2D", {**CONV[1], **changed})))


def test_a_keras_config_that_is_nested_without_end_is_not_planned(tmp_path: Path) -> None:
    path = tmp_path / "deep.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[" * 100_000 + "]" * 100_000)
    with pytest.raises(NotPlannedError, match=r"its config\.json is nested too deeply"):
        read_keras(path)


def test_a_plan_that_is_larger_than_any_flash_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "tinybudget.toml"
    layers = '[{ type = "dense", units = 4000 }, { type = "dense", units = 4 }]'
    text = '[models.a]\nboards = ["esp32"]\nactivations = "float"\ninput_shape = [10000]\n'
    path.write_text(f"{text}layers = {layers}\n", "utf-8")
    with pytest.raises(ModelError, match=r"has 152\.65 MB, .* at most 128\.00 MB"):
        Workspace(cached=False).model(load_declaration(path).models["a"])
