"""Plans held to what TensorFlow 2.21 made of the same Keras models, with random weights.

Kept of each conversion are its operators with what they give, its arena and its size without names.
``benchmarks/plans.py`` holds many more to conversions, and needs TensorFlow.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


def plan(*layers: Layer, shape: tuple[int, ...], **settings: Any) -> Model:
    return planned_model(Network((("x", shape),), layers, **settings), "idea")


def operators(model: Model) -> str:
    """Each operator with its activation and the shape of what it gives."""
    found = []
    for each in model.main.operators:
        fused = str(each.options.get("fused_activation_function", "NONE"))
        shape = "x".join(map(str, model.main.tensors[each.outputs[0]].shape))
        found.append(f"{each.name}{'' if fused == 'NONE' else f'+{fused}'} {shape}")
    return ", ".join(found)


def facts(model: Model) -> tuple[str, int, int]:
    arena = measure(model, RUNTIMES["m4_ref"]).arena
    assert arena is not None
    return operators(model), arena.required, model.bytes


dense = partial(Layer, "dense")
norm, flat = Layer("batch_norm"), Layer("flatten")
reshape = partial(Layer, "reshape")


def act(activation: Any) -> Layer:
    return Layer("activation", activation=activation)


def shaped(*shape: int) -> Layer:
    return reshape(shape=shape)


@pytest.mark.parametrize(
    ("shape", "layers", "made"),
    [
        ((24, 8), (shaped(12, 16), dense(6), act("sigmoid")),
         ("RESHAPE 12x16, FULLY_CONNECTED 12x6, LOGISTIC 12x6, RESHAPE 1x12x6", 1152, 1424)),
        ((24, 8), (shaped(12, 16), dense(6, activation="relu"), flat, dense(3)),
         ("RESHAPE 12x16, FULLY_CONNECTED+RELU 12x6, RESHAPE 1x72, FULLY_CONNECTED 1x3",
          1296, 1864)),
        ((24, 1, 8), (shaped(24, 8), dense(6), shaped(24, 1, 6), act("sigmoid")),
         ("FULLY_CONNECTED 24x6, LOGISTIC 24x6, RESHAPE 1x24x1x6", 1072, 1200)),
        ((6, 4, 2), (flat, dense(8), shaped(1, 8)),
         ("RESHAPE 1x1x48, FULLY_CONNECTED 1x1x8", 864, 1460)),
    ],
)  # fmt: skip
def test_a_dense_layer_behind_a_reshape(
    shape: tuple[int, ...], layers: tuple[Layer, ...], made: tuple[str, int, int]
) -> None:
    assert facts(plan(*layers, shape=shape)) == made


_WHOLE = "RESHAPE 1x24x2, FULLY_CONNECTED{} 1x24x6"


@pytest.mark.parametrize(
    ("behind", "made"),
    [
        ((), (_WHOLE.format(""), 864, 1012)),
        ((norm, act("relu")), (_WHOLE.format("+RELU"), 864, 1012)),
        ((act("relu"),),
         ("MUL 1x6x4x2, ADD 1x6x4x2, RESHAPE 1x24x2, FULLY_CONNECTED+RELU 1x24x6", 1248, 1532)),
    ],
)  # fmt: skip
def test_a_norm_behind_a_reshape_goes_into_the_dense_layer_unless_a_relu_is_right_behind_that(
    behind: tuple[Layer, ...], made: tuple[str, int, int]
) -> None:
    assert facts(plan(shaped(24, 2), norm, dense(6), *behind, shape=(6, 4, 2))) == made


def test_a_norm_goes_into_each_dense_layer_that_takes_it_and_stays_where_others_do() -> None:
    reshaped = (shaped(24, 2), replaced(norm, name="n"))
    two = [dense(units, inputs=("n",), name=f"d{units}") for units in (3, 2)]
    both = plan(*reshaped, *two, shape=(6, 4, 2), outputs=("d3", "d2"))
    assert facts(both) == (
        "RESHAPE 1x24x2, FULLY_CONNECTED 1x24x2, FULLY_CONNECTED 1x24x3", 1072, 1284
    )  # fmt: skip


def replaced(layer: Layer, **fields: Any) -> Layer:
    from msgspec.structs import replace

    return replace(layer, **fields)


def test_attention_that_is_reshaped_before_an_activation_keeps_its_steps() -> None:
    attention = Layer("multi_head_attention", 4, heads=2)
    found = facts(plan(attention, shaped(24, 1, 6), act("sigmoid"), shape=(24, 6)))
    assert found[0].endswith(
        "RESHAPE 1x24x8, FULLY_CONNECTED 1x24x6, LOGISTIC 1x24x6, RESHAPE 1x24x1x6"
    )
    assert found[1:] == (5136, 5036)


@pytest.mark.parametrize(
    ("bias", "made"),
    [
        (False, ("TRANSPOSE_CONV 1x12x12x3, RELU 1x12x12x3", 2800, 872)),
        (True, ("TRANSPOSE_CONV+RELU 1x12x12x3", 2736, 864)),
    ],
)
def test_a_transposed_convolution_takes_a_relu_in_if_it_has_a_bias(
    bias: bool, made: tuple[str, int, int]
) -> None:
    layer = Layer("conv2d_transpose", 3, stride=2, padding="same", bias=bias, activation="relu")
    assert facts(plan(layer, shape=(6, 6, 2))) == made


def test_a_hard_swish_with_a_relu_behind_it_stays_its_parts() -> None:
    layers = (Layer("conv2d", 2, kernel=1), act("hard_swish"), act("relu6"))
    assert facts(plan(*layers, shape=(4, 4, 2))) == (
        "CONV_2D 1x4x4x2, ADD+RELU6 1x4x4x2, MUL 1x4x4x2, MUL+RELU6 1x4x4x2", 1232, 1340
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["global_average_pool2d", "global_max_pool2d", "dropout"])
def test_what_is_always_zero_is_refused_as_its_file_is(kind: Any) -> None:
    layers = [Layer("conv2d", 3, kernel=1, name="a"), Layer(kind, inputs=("a",), name="b")]
    layers.append(Layer("subtract", inputs=("a", "b"), name="less"))
    refusals = measure(plan(*layers, shape=(1, 1, 3)), RUNTIMES["m4_ref"]).refusals
    assert [each.reason for each in refusals] == [
        "the scale of 'less' is too small beside its inputs'"
    ]
    several = plan(*layers, shape=(2, 1, 3))
    refused = measure(several, RUNTIMES["m4_ref"]).refusals
    assert bool(refused) == (kind == "dropout")
