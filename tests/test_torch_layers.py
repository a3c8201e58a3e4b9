"""Layers of PyTorch modules as litert-torch makes them; each was read off conversions.

``benchmarks/torch_plans.py --layers 8`` holds random modules around each layer to conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch_files import Program

from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.torch_archive import read_program
from pytest_tinybudget.planning.torch_graph import exported_network
from pytest_tinybudget.runtimes.runtime import RUNTIMES


def shown(model: Model) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.name, model.main.tensors[each.outputs[0]].shape) for each in model.main.operators]


def names(model: Model) -> list[str]:
    """Operators with what is fused into them."""
    fused = [each.options.get("fused_activation_function", "NONE") for each in model.main.operators]
    return [
        each.name if activation == "NONE" else f"{each.name}:{activation}"
        for each, activation in zip(model.main.operators, fused, strict=True)
    ]


def convolved(made: Program, maps: Any, *shape: int, groups: int = 1) -> Any:
    """A convolution of 1x1 with a bias."""
    channels = maps.meta["val"].shape[1] // groups
    weights, bias = made.weights(shape[0], channels, 1, 1), made.weights(shape[0])
    return made.call(
        "conv2d.default", (1, *shape), maps, weights, bias, [1, 1], [0, 0], [1, 1], groups
    )


def dense(made: Program, row: Any, units: int, *, bias: bool = True) -> Any:
    *before, inputs = row.meta["val"].shape
    weights = made.weights(units, inputs)
    given = [row, weights, made.weights(units)] if bias else [row, weights]
    return made.call("linear.default", (*before, units), *given)


def is_run(model: Model) -> bool:
    return not measure(model, RUNTIMES["m4_cmsisnn"]).refusals


def test_a_layer_norm_over_steps_is_what_goes_over_rows_and_its_weights_join_a_linear() -> None:
    made = Program((1, 10, 8))
    norm = made.call("layer_norm.default", (1, 10, 8), made.inputs[0], [8], made.weights(8),
                     made.weights(8), 1e-5, False)  # fmt: skip
    model = made.planned(dense(made, norm, 4))
    assert shown(model) == [
        ("MEAN", (10,)), ("RESHAPE", (1, 10, 1)), ("SQUARED_DIFFERENCE", (1, 10, 8)),
        ("MEAN", (10,)), ("ADD", (10,)), ("RSQRT", (10,)), ("MUL", (10,)), ("SUB", (10,)),
        ("RESHAPE", (1, 10, 1)), ("MUL", (1, 10, 8)), ("RESHAPE", (1, 10, 1)), ("ADD", (1, 10, 8)),
        ("FULLY_CONNECTED", (1, 10, 4)),
    ]  # fmt: skip
    assert is_run(model)


def test_a_layer_norm_of_a_row_has_three_dimensions_and_keeps_its_weights() -> None:
    made = Program((1, 6))
    norm = made.call("layer_norm.default", (1, 6), made.inputs[0], [6], made.weights(6),
                     made.weights(6), 1e-5)  # fmt: skip
    model = made.planned(dense(made, made.call("relu.default", (1, 6), norm), 2))
    assert names(model)[-3:] == ["MUL", "ADD:RELU", "FULLY_CONNECTED"]
    assert shown(model)[0] == ("RESHAPE", (1, 1, 6))
    constants = [model.main.tensors[each.inputs[1]].shape for each in model.main.operators[-3:-1]]
    assert constants == [(1, 6), (1, 6)]


def test_layer_norms_have_their_numbers_in_common() -> None:
    made = Program((1, 10, 8))
    norm = made.inputs[0]
    for _ in range(2):
        norm = made.call("layer_norm.default", (1, 10, 8), norm, [8])
    model = made.planned(norm)
    smallest = [each.inputs[1] for each in model.main.operators if each.name == "ADD"]
    assert smallest[0] == smallest[2]
    assert sum(len(each.data) == 1 for each in model.main.tensors) == 2


def test_a_gate_by_hardsigmoid_is_a_rectified_convolution_and_a_product() -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    pool = made.call("adaptive_avg_pool2d.default", (1, 4, 1, 1), maps, [1, 1])
    gate = made.call("hardsigmoid.default", (1, 4, 1, 1), convolved(made, pool, 4, 1, 1))
    scaled = made.call("mul.Tensor", (1, 4, 8, 6), maps, gate)
    model = made.planned(convolved(made, scaled, 2, 8, 6))
    assert names(model) == [
        "CONV_2D", "MEAN", "CONV_2D:RELU6", "MUL", "MUL", "CONV_2D", "TRANSPOSE",
    ]  # fmt: skip
    assert is_run(model)


@pytest.mark.parametrize(
    ("calls", "left"),
    [
        # The weights before take it.
        ([("mul.Tensor", 0.5)], ["CONV_2D"]),
        # The weights behind take it.
        ([("relu.default", None), ("div.Tensor", 2.0)], ["CONV_2D:RELU"]),
        ([("relu.default", None), ("sub.Tensor", 0.5), ("relu.default", None)],
         ["CONV_2D:RELU", "SUB:RELU"]),
        ([("rsub.Scalar", 1.0)], ["CONV_2D", "SUB"]),
    ],
)  # fmt: skip
def test_numbers_become_part_of_weights_where_nothing_is_between(
    calls: list[tuple[str, float | None]], left: list[str]
) -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    for target, number in calls:
        maps = made.call(target, (1, 4, 8, 6), maps, *([] if number is None else [number]))
    model = made.planned(convolved(made, maps, 2, 8, 6))
    assert names(model) == [*left, "CONV_2D", "TRANSPOSE"]


def test_a_number_that_is_added_to_a_bias_moves_on_with_it_and_one_that_is_subtracted_does_not(
) -> None:  # fmt: skip
    unbiased = []
    for target in ("add.Tensor", "sub.Tensor"):
        made = Program((1, 4, 8))
        one = made.call(target, (1, 4, 8), dense(made, made.inputs[0], 8), 0.25)
        model = made.planned(dense(made, one, 3))
        unbiased.append([each.inputs[2] == -1 for each in model.main.operators[:2]])
    assert unbiased == [[True, False], [False, False]]


def test_a_linear_without_a_bias_keeps_the_dimensions_of_a_sequence() -> None:
    made = Program((1, 9, 6))
    one = made.call("sigmoid.default", (1, 9, 5), dense(made, made.inputs[0], 5, bias=False))
    model = made.planned(dense(made, one, 3, bias=False))
    assert shown(model) == [
        ("FULLY_CONNECTED", (1, 9, 5)), ("LOGISTIC", (1, 9, 5)), ("FULLY_CONNECTED", (1, 9, 3)),
    ]  # fmt: skip


def test_a_convolution_of_groups_has_weights_for_the_channels_of_one() -> None:
    made = Program((1, 4, 8, 6))
    model = made.planned(convolved(made, made.inputs[0], 8, 8, 6, groups=2))
    (convolution, _) = model.main.operators
    assert model.main.tensors[convolution.inputs[1]].shape == (8, 1, 1, 2)
    assert convolution.version == 6


@pytest.mark.parametrize(
    ("target", "arguments", "name", "version", "aligned"),
    [
        ("upsample_nearest2d.vec", [[11, 7], None], "RESIZE_NEAREST_NEIGHBOR", 3, False),
        ("upsample_bilinear2d.vec", [[11, 7], False], "RESIZE_BILINEAR", 3, False),
        ("upsample_bilinear2d.vec", [[11, 7], True], "RESIZE_BILINEAR", 1, True),
    ],
)
def test_an_image_is_resized_to_any_size(
    target: str, arguments: list[Any], name: str, version: int, aligned: bool
) -> None:
    made = Program((1, 3, 8, 6))
    model = made.planned(made.call(target, (1, 3, 11, 7), made.inputs[0], *arguments))
    resize = model.main.operators[0]
    assert (resize.name, resize.version) == (name, version)
    assert bool(resize.options["align_corners"]) is aligned
    assert bool(resize.options["half_pixel_centers"]) is not aligned
    assert shown(model)[0][1] == (1, 11, 7, 3)


def test_a_pixel_shuffle_is_moved_in_steps_of_four_dimensions() -> None:
    made = Program((1, 3, 4, 6))
    larger = made.call("pixel_shuffle.default", (1, 2, 8, 12),
                       convolved(made, made.inputs[0], 8, 4, 6), 2)  # fmt: skip
    model = made.planned(convolved(made, larger, 3, 8, 12))
    assert shown(model)[1:-2] == [
        ("TRANSPOSE", (1, 8, 4, 6)), ("RESHAPE", (2, 2, 2, 24)), ("TRANSPOSE", (2, 2, 24, 2)),
        ("RESHAPE", (2, 2, 4, 12)), ("TRANSPOSE", (2, 4, 2, 12)), ("RESHAPE", (1, 2, 8, 12)),
        ("TRANSPOSE", (1, 8, 12, 2)),
    ]  # fmt: skip
    assert is_run(model)


def test_channels_of_groups_are_mixed_in_five_dimensions() -> None:
    made = Program((1, 3, 4, 5))
    maps = convolved(made, made.inputs[0], 6, 4, 5)
    parted = made.call("view.default", (1, 2, 3, 4, 5), maps, [1, 2, 3, 4, 5])
    turned = made.call("transpose.int", (1, 3, 2, 4, 5), parted, 1, 2)
    mixed = made.call("reshape.default", (1, 6, 4, 5), turned, [1, 6, 4, 5])
    model = made.planned(convolved(made, mixed, 3, 4, 5))
    assert shown(model)[1:-2] == [
        ("TRANSPOSE", (1, 6, 4, 5)), ("RESHAPE", (1, 2, 3, 4, 5)),
        ("TRANSPOSE", (1, 3, 2, 4, 5)), ("RESHAPE", (1, 6, 4, 5)), ("TRANSPOSE", (1, 4, 5, 6)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "extents", "expected"),
    [
        # ceil_mode that changes nothing.
        (([2, 2], [2, 2], [0, 0], True), (4, 3), ["AVERAGE_POOL_2D"]),
        # Padding that is not counted, as SAME has it.
        (([3, 3], [2, 2], [0, 0], True, False), (4, 3), ["AVERAGE_POOL_2D"]),
        (([2, 2], [2, 2], [1, 0]), (5, 3), ["PAD", "AVERAGE_POOL_2D"]),
    ],
)
def test_an_average_pool_pads_as_it_is_counted(
    arguments: Any, extents: tuple[int, int], expected: list[str]
) -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    model = made.planned(made.call("avg_pool2d.default", (1, 4, *extents), maps, *arguments))
    assert names(model)[1:-1] == expected
    is_same = len(arguments) > 4
    assert model.main.operators[-2].options["padding"] == ("SAME" if is_same else "VALID")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(("reflect",), "MIRROR_PAD"), (("constant", 0.5), "PADV2"), (("constant", 0.0), "PAD")],
)
def test_padding_of_any_kind_is_channels_last(arguments: tuple[Any, ...], name: str) -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    padded = made.call("pad.default", (1, 4, 9, 8), maps, [1, 1, 0, 1], *arguments)
    model = made.planned(convolved(made, padded, 2, 9, 8))
    assert shown(model)[1] == (name, (1, 9, 8, 4))


def test_a_slice_by_steps_is_strided() -> None:
    made = Program((1, 3, 9, 6))
    maps = convolved(made, made.inputs[0], 4, 9, 6)
    cut = made.call("slice.Tensor", (1, 4, 5, 6), maps, 2, 0, 2**63 - 1, 2)
    model = made.planned(cut)
    assert shown(model)[1] == ("STRIDED_SLICE", (1, 5, 6, 4))


def test_the_greatest_of_an_image_is_found_in_float() -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    most = made.call("amax.default", (1, 4, 1, 1), maps, [2, 3], True)
    model = made.planned(convolved(made, most, 2, 1, 1))
    assert names(model)[1:4] == ["DEQUANTIZE", "REDUCE_MAX", "QUANTIZE"]


def test_a_mean_of_channels_that_is_flattened_needs_no_transpose() -> None:
    made = Program((1, 3, 8, 6))
    maps = convolved(made, made.inputs[0], 4, 8, 6)
    mean = made.call("mean.dim", (1, 1, 8, 6), maps, [1], True)
    row = made.call("flatten.using_ints", (1, 48), mean, 1)
    assert shown(made.planned(row))[1:] == [("MEAN", (1, 8, 6)), ("RESHAPE", (1, 48))]


def test_padding_that_a_window_does_not_reach_stays_an_operator() -> None:
    made = Program((1, 1, 5, 8))
    one = made.call("conv2d.default", (1, 2, 3, 4), made.inputs[0], made.weights(2, 1, 5, 1),
                    made.weights(2), [2, 2], [2, 0])  # fmt: skip
    assert names(made.planned(one))[:2] == ["PAD", "DEPTHWISE_CONV_2D"]


def _one(target: str, *more: Any, shape: tuple[int, ...]) -> Callable[[Program, Any], Any]:
    return lambda made, maps: made.call(target, shape, maps, *more)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (_one("gelu.default", shape=(1, 4, 8, 6)), "a GELU, which TFLM lacks"),
        (
            _one("avg_pool2d.default", [3, 3], [2, 2], [1, 1], False, False, shape=(1, 4, 4, 3)),
            "which litert-quantizer does not convert",
        ),
        (
            _one("avg_pool2d.default", [3, 3], [2, 2], [0, 0], True, shape=(1, 4, 4, 3)),
            "ceil_mode where it counts more at the edge",
        ),
        (_one("mul.Tensor", 1.0, shape=(1, 4, 8, 6)), "with the number 1.0"),
        (_one("pixel_shuffle.default", 3, shape=(1, 1, 24, 18)), "4 channels by 3"),
        (_one("upsample_nearest2d.vec", [8, 6], shape=(1, 4, 8, 6)), "to its own size"),
        (_one("amax.default", [1], True, shape=(1, 1, 8, 6)), r"the greatest over \[1\]"),
        (
            _one("slice.Tensor", 2, 0, 4, 2, shape=(1, 4, 2, 6)),
            "a slice by steps that does not go to the end",
        ),
    ],
)
def test_what_converts_otherwise_is_named(call: Callable[[Program, Any], Any], said: str) -> None:
    made = Program((1, 3, 8, 6))
    call(made, convolved(made, made.inputs[0], 4, 8, 6))
    with pytest.raises(NotPlannedError, match=said):
        exported_network(made)


def test_two_numbers_in_a_row_and_two_linears_without_a_bias_are_not_planned() -> None:
    made = Program((1, 9, 6))
    one = dense(made, made.inputs[0], 5, bias=False)
    dense(made, one, 5, bias=False)
    with pytest.raises(NotPlannedError, match="two Linear in a row without bias"):
        exported_network(made)

    made = Program((1, 9, 6))
    one = dense(made, dense(made, made.inputs[0], 5), 3, bias=False)
    made.call("relu.default", (1, 9, 3), one)
    with pytest.raises(NotPlannedError, match="behind one that has it and before a ReLU"):
        exported_network(made)

    made = Program((1, 9, 6))
    one = made.call("add.Tensor", (1, 9, 6), made.inputs[0], 0.5)
    made.call("sub.Tensor", (1, 9, 6), one, 0.25)
    with pytest.raises(NotPlannedError, match="two sums or two products with numbers"):
        exported_network(made)


def test_a_row_is_a_factor_where_a_convolution_takes_the_product_and_not_where_it_is_the_output(
) -> None:  # fmt: skip
    def gated() -> tuple[Program, Any]:
        made = Program((1, 3, 8, 6))
        maps = convolved(made, made.inputs[0], 4, 8, 6)
        pool = made.call("adaptive_avg_pool2d.default", (1, 4, 1, 1), maps, [1, 1])
        row = dense(made, made.call("view.default", (1, 4), pool, [1, 4]), 4)
        factor = made.call("view.default", (1, 4, 1, 1), row, [1, 4, 1, 1])
        return made, made.call("mul.Tensor", (1, 4, 8, 6), maps, factor)

    made, product = gated()
    assert "MUL" in names(made.planned(convolved(made, product, 2, 8, 6)))
    made, product = gated()
    with pytest.raises(NotPlannedError, match="a factor that is a row, before what is not"):
        made.planned(product)


def test_a_file_says_the_same_of_outputs(tmp_path: Path) -> None:
    made = Program((1, 3, 8, 6))
    one = convolved(made, made.inputs[0], 4, 8, 6)
    other = convolved(made, one, 2, 8, 6)
    made.planned(one, other)
    assert read_program(made.save(tmp_path / "two.pt2", one, other)) == exported_network(made)


def test_a_recurrent_layer_is_named_before_what_it_takes() -> None:
    made = Program((1, 5, 4))
    zeros = made.call("zeros.default", (1, 1, 6), [])
    made.call("lstm.input", (), made.inputs[0], [zeros, zeros])
    with pytest.raises(NotPlannedError, match="an LSTM, which litert-torch unrolls step by step"):
        exported_network(made)
