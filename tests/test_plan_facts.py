"""Plans held to what TensorFlow 2.21 made of the same Keras models, with random weights.

Kept of each conversion are its operators with what they give, its arena and its size without names.
``benchmarks/plans.py`` holds many more to conversions, and needs TensorFlow.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import NotPlannedError
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.keras_config import network_of
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


conv = partial(Layer, "conv2d", 4, kernel=3)
TANH = act("tanh")


def named(layer: Layer) -> str:
    """What Keras calls a layer: names decide the order of branches."""
    if layer.type == "dense":
        return "dense"
    return "re_lu" if layer.activation == "relu" else "activation"


@pytest.mark.parametrize(
    ("shape", "first", "takers", "made"),
    [
        ((6,), (dense(4),), (dense(2), dense(3)),
         ("FULLY_CONNECTED 1x4, FULLY_CONNECTED 1x2, FULLY_CONNECTED 1x3", 1120, 1324)),
        ((6,), (dense(4),), (dense(2), TANH),
         ("FULLY_CONNECTED 1x4, ADD 1x4, TANH 1x4, FULLY_CONNECTED 1x2", 1200, 1344)),
        ((6,), (dense(4),), (dense(2, activation="relu"), TANH),
         ("FULLY_CONNECTED 1x4, TANH 1x4, FULLY_CONNECTED+RELU 1x2", 1024, 1252)),
        ((6, 6, 2), (conv(bias=False), norm), (dense(2), TANH),
         ("CONV_2D 1x4x4x4, ADD 1x4x4x4, TANH 1x4x4x4, FULLY_CONNECTED 1x4x4x2", 1280, 1652)),
        ((6,), (dense(4), norm), (dense(2), TANH),
         ("FULLY_CONNECTED 1x4, ADD 1x4, MUL 1x4, ADD 1x4, TANH 1x4, FULLY_CONNECTED 1x2",
          1600, 1824)),
        ((6,), (dense(4), norm), (dense(2, activation="relu"), TANH),
         ("FULLY_CONNECTED 1x4, MUL 1x4, ADD 1x4, TANH 1x4, FULLY_CONNECTED+RELU 1x2", 1440, 1756)),
        ((6, 2), (Layer("conv1d", 4, kernel=3), norm), (dense(2), TANH),
         (("RESHAPE 1x1x6x2, CONV_2D 1x1x4x4, RESHAPE 1x4x4, ADD 1x4x4, MUL 1x4x4, ADD 1x4x4, "
           "TANH 1x4x4, FULLY_CONNECTED 1x4x2"), 2048, 2488)),
        ((6,), (dense(4),), (act("relu"), TANH),
         ("FULLY_CONNECTED 1x4, TANH 1x4, FULLY_CONNECTED+RELU 1x4", 992, 1124)),
    ],
)  # fmt: skip
def test_what_a_dense_layer_takes_in_stays_where_others_take_it(
    shape: tuple[int, ...],
    first: tuple[Layer, ...],
    takers: tuple[Layer, ...],
    made: tuple[str, int, int],
) -> None:
    shared = (*first[:-1], replaced(first[-1], name="behind"))
    ends = [
        replaced(each, inputs=("behind",), name=f"{named(each)}_{number}")
        for number, each in enumerate(takers)
    ]
    outputs = tuple(each.name for each in ends)
    assert facts(plan(*shared, *ends, shape=shape, outputs=outputs)) == made


def test_a_dense_layer_and_a_sum_of_a_map_leave_the_map_its_bias_to_add() -> None:
    both = (replaced(dense(4), name="d"), Layer("add", inputs=("d", "y")))
    assert facts(plan(conv(name="y"), *both, shape=(6, 6, 2))) == (
        "CONV_2D 1x4x4x4, ADD 1x4x4x4, FULLY_CONNECTED 1x4x4x4, ADD 1x4x4x4", 1328, 1716
    )  # fmt: skip


def test_a_norm_that_others_take_too_is_no_longer_before_the_dense_layer() -> None:
    layers = (replaced(norm, name="n"), dense(3, name="d"))
    model = plan(*layers, shape=(6, 6, 4), outputs=("d", "n"))
    assert facts(model) == ("MUL 1x6x6x4, ADD 1x6x6x4, FULLY_CONNECTED 1x6x6x3", 1136, 1240)
    assert model.main.operators[2].inputs[0] == model.main.inputs[0]


@pytest.mark.parametrize(
    ("between", "made"),
    [
        (shaped(16, 2), "RELU 1x4x4x2, RELU 1x4x4x2, RESHAPE 1x16x2"),
        (Layer("permute", shape=(2, 1, 3)), "RELU 1x4x4x2, TRANSPOSE 1x4x4x2"),
    ],
)
def test_equal_relus_are_one_unless_a_reshape_is_between(between: Layer, made: str) -> None:
    assert operators(plan(act("relu"), between, act("relu"), shape=(4, 4, 2))) == made


def test_a_transposed_convolution_takes_a_relu_in_over_a_permutation_but_over_no_reshape() -> None:
    layer = Layer("conv2d_transpose", 2, kernel=2, stride=2)
    turned = plan(layer, Layer("permute", shape=(2, 1, 3)), act("relu"), shape=(4, 4, 2))
    assert operators(turned) == "TRANSPOSE_CONV+RELU 1x8x8x2, TRANSPOSE 1x8x8x2"
    found = facts(plan(layer, shaped(64, 2), act("relu"), dense(3), shape=(4, 4, 2)))
    assert found == (
        "TRANSPOSE_CONV 1x8x8x2, RELU 1x8x8x2, RESHAPE 1x64x2, FULLY_CONNECTED 1x64x3", 1488, 1596
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "layers", "made"),
    [
        ((6, 6, 3), (conv(activation="hard_sigmoid"), Layer("conv2d", 2, kernel=1)),
         ("CONV_2D+RELU6 1x4x4x4, CONV_2D 1x4x4x2", 1056, 1252)),
        ((6, 6, 2), (norm, act("hard_sigmoid")),
         ("MUL 1x6x6x2, ADD+RELU6 1x6x6x2, MUL 1x6x6x2", 944, 1048)),
        ((6, 6, 4), (Layer("conv2d", 3, kernel=1, name="y"), act("hard_sigmoid"),
                     Layer("multiply", inputs=("y", "gate")), Layer("conv2d", 2, kernel=1)),
         ("CONV_2D 1x6x6x3, HARD_SWISH 1x6x6x3, CONV_2D 1x6x6x2", 1136, 1272)),
        ((6, 6, 3), (Layer("normalization", shape=(-1,)), conv()),
         ("SUB 1x6x6x3, MUL 1x6x6x3, CONV_2D 1x4x4x4", 1104, 1404)),
        ((6, 6, 3), (Layer("normalization"), conv(padding="same")),
         ("SUB 1x6x6x3, CONV_2D 1x6x6x4", 992, 1136)),
        ((6, 6, 1), (Layer("normalization", shape=(-1,)), conv(padding="same")),
         ("SUB 1x6x6x1, CONV_2D 1x6x6x4", 992, 1072)),
        ((5,), (Layer("normalization", shape=(-1,)), dense(4)),
         ("SUB 1x5, MUL 1x5, FULLY_CONNECTED 1x4", 1024, 1260)),
        ((6, 6, 3), (conv(), Layer("normalization", shape=(-1,)), Layer("conv2d", 2, kernel=1)),
         ("CONV_2D 1x4x4x4, CONV_2D 1x4x4x2", 1056, 1236)),
        ((6, 6, 3), (Layer("rescaling", shape=(3,)), conv()),
         ("MUL 1x6x6x3, ADD 1x6x6x3, CONV_2D 1x4x4x4", 1104, 1380)),
        ((6, 6, 4), (conv(groups=2),), ("CONV_2D 1x4x4x4", 880, 820)),
        ((8, 8, 2), (Layer("strided_slice", keys=((0, 0, 1, 3), (1, -1, 1, 0), (1, -1, 1, 0))),
                     conv()),
         ("STRIDED_SLICE 1x6x6x2, CONV_2D 1x4x4x4", 1072, 1252)),
        ((12, 3), (Layer("strided_slice", keys=((0, 0, 1, 3), (0, 0, 2, 3))),
                   Layer("conv1d", 4, kernel=3)),
         ("STRIDED_SLICE 1x6x3, RESHAPE 1x1x6x3, CONV_2D 1x1x4x4, RESHAPE 1x4x4", 1376, 1616)),
        ((12, 3), (Layer("conv1d", 4, kernel=3),
                   Layer("strided_slice", keys=((0, 0, 1, 3), (-1, 0, 1, 4))), dense(4)),
         (("RESHAPE 1x1x12x3, CONV_2D 1x1x10x4, RESHAPE 1x10x4, STRIDED_SLICE 1x4, "
           "FULLY_CONNECTED 1x4"), 1632, 2052)),
    ],
)  # fmt: skip
def test_what_keras_models_have_besides(
    shape: tuple[int, ...], layers: tuple[Layer, ...], made: tuple[str, int, int]
) -> None:
    together = [
        replaced(each, name="gate") if each.activation == "hard_sigmoid" and "y" in names else each
        for names in [[each.name for each in layers]]
        for each in layers
    ]
    assert facts(plan(*together, shape=shape)) == made


def test_a_row_that_is_repeated_is_planned_and_refused_as_its_file_is() -> None:
    layers = (dense(4, activation="relu"), Layer("repeat_vector", 8))
    model = plan(*layers, Layer("conv1d", 3, kernel=3), shape=(6,))
    assert operators(model) == (
        "FULLY_CONNECTED+RELU 1x4, RESHAPE 1x1x1x4, TILE 1x1x8x4, CONV_2D 1x1x6x3, RESHAPE 1x6x3"
    )
    assert model.bytes == 1896
    (refusal,) = measure(model, RUNTIMES["m4_ref"]).refusals
    assert refusal.reason == "TFLM has no registration for this operator"


def config(*layers: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    start = ("InputLayer", {"batch_shape": [None, 6, 6, 4], "name": "x"})
    made = [{"class_name": kind, "config": {"name": f"layer_{number}", **settings}}
            for number, (kind, settings) in enumerate((start, *layers))]  # fmt: skip
    return {"class_name": "Sequential", "config": {"name": "made", "layers": made, **more}}


def test_layers_of_keras_are_read_with_their_settings() -> None:
    network = network_of(
        config(
            ("Normalization", {"axis": [-1], "mean": None, "variance": None}),
            ("Normalization", {"axis": [], "mean": 0.5, "variance": 2.0}),
            ("Rescaling", {"scale": [0.5, 1.0, 2.0, 3.0], "offset": 0.0}),
        )
    )
    assert [(each.type, each.shape) for each in network.layers] == [
        ("normalization", (-1,)), ("normalization", ()), ("rescaling", (4,))
    ]  # fmt: skip
    assert (network.layers[2].scale, network.layers[2].center) == (True, False)
    with pytest.raises(NotPlannedError, match="layer layer_1: not planned: a Normalization that"):
        network_of(config(("Normalization", {"axis": [-1], "invert": True})))
    with pytest.raises(NotPlannedError, match="factors a channel and one offset"):
        network_of(config(("Rescaling", {"scale": [0.5] * 4, "offset": 1.0})))


def sliced(*keys: Any) -> Network:
    x = {"class_name": "__keras_tensor__", "config": {"keras_history": ["x", 0, 0]}}
    layers = [
        {"class_name": "InputLayer", "name": "x",
         "config": {"batch_shape": [None, 6, 6, 4], "name": "x"}, "inbound_nodes": []},
        {"class_name": "GetItem", "name": "part", "module": "keras.src.ops.numpy",
         "config": {"name": "part"}, "inbound_nodes": [{"args": [x, list(keys)], "kwargs": {}}]},
    ]  # fmt: skip
    settings = {"name": "made", "layers": layers}
    settings |= {"input_layers": [["x", 0, 0]], "output_layers": [["part", 0, 0]]}
    return network_of({"class_name": "Functional", "config": settings})


def part(start: int | None = None, stop: int | None = None, step: int | None = None) -> Any:
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


REST = {"class_name": "__ellipsis__", "config": {}}


@pytest.mark.parametrize(
    ("keys", "shape", "constants"),
    [
        ((part(), part(1, -1)), (1, 4, 6, 4), [(0, 1, 0, 0), (0, -1, 6, 4), (1, 1, 1, 1)]),
        ((REST, part(2)), (1, 6, 6, 2), [(0, 0, 0, 2), (0, 0, 0, 0), (1, 1, 1, 1)]),
        ((part(), -1), (1, 6, 4), [(0, -1, 0, 0), (0, 0, 6, 4), (1, 1, 1, 1)]),
        ((part(), 2, part(step=-2)), (1, 3, 4), [(0, 2, 0, 0), (0, 3, 0, 4), (1, 1, -2, 1)]),
    ],
)
def test_an_index_is_the_slice_that_tensorflow_makes(
    keys: tuple[Any, ...], shape: tuple[int, ...], constants: list[tuple[int, ...]]
) -> None:
    main = planned_model(sliced(*keys), "made").main
    (operator,) = main.operators
    assert operator.name == "STRIDED_SLICE"
    assert main.tensors[operator.outputs[0]].shape == shape
    held = [memoryview(main.tensors[each].data).cast("i").tolist() for each in operator.inputs[1:]]
    assert [tuple(each) for each in held] == constants


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ((part(), 6), "there is no entry 6 of 6"),
        ((part(), part(4, 2)), "leaves nothing of 6"),
        ((part(), part(step=0)), "a slice has a step of 0"),
        ((part(),) * 5, "5 keys do not fit"),
        ((part(), part()), "a slice that leaves all as it is"),
        ((0,), "a slice of the batch"),
        ((part(), None), "an index of another kind than numbers and slices"),
    ],
)
def test_an_index_that_is_not_planned(keys: tuple[Any, ...], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        planned_model(sliced(*keys), "made")


@pytest.mark.parametrize(
    ("layers", "made"),
    [
        ((dense(3),), ("FULLY_CONNECTED 6x5, FULLY_CONNECTED 6x3, RESHAPE 1x6x3", 1088, 1220)),
        ((dense(3, activation="relu"),),
         ("FULLY_CONNECTED 6x5, FULLY_CONNECTED+RELU 6x3, RESHAPE 1x6x3", 1088, 1236)),
        ((dense(3), dense(4)),
         (("FULLY_CONNECTED 6x5, FULLY_CONNECTED 6x3, RESHAPE 1x6x3, "
           "FULLY_CONNECTED 1x6x4"), 1328, 1528)),
    ],
)  # fmt: skip
def test_a_dense_layer_with_a_bias_takes_the_rows_of_one_without(
    layers: tuple[Layer, ...], made: tuple[str, int, int]
) -> None:
    assert facts(plan(dense(5, bias=False), *layers, shape=(6, 4))) == made


@pytest.mark.parametrize(("count", "unbiased"), [(1, 1), (2, 1), (3, 2), (800, 400)])
def test_biases_of_dense_layers_in_a_row_are_settled_from_the_last_one(
    count: int, unbiased: int
) -> None:
    first = dense(4, name="first")
    row = [
        dense(4, name=f"d{number}", inputs=(f"d{number - 1}" if number else "first",))
        for number in range(count)
    ]
    ends = (f"d{count - 1}", "tanh")
    layers = (first, *row, replaced(TANH, name="tanh", inputs=("first",)))
    made = plan(*layers, shape=(4,), outputs=ends).main.operators
    found = [each.inputs[2] < 0 for each in made if each.name == "FULLY_CONNECTED"]
    assert sum(found) == unbiased
    assert found[0] == ("ADD" in [each.name for each in made])
