"""PyTorch modules planned from the graph of ``torch.export``.

The graphs here are made by hand, of nodes with what the reader asks of those of torch.fx; those of
torch itself are in ``test_pytorch.py`` and ``benchmarks/torch_plans.py``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from torch_files import Program

import pytest_tinybudget
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.file import tables_of
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.torch_archive import read_program
from pytest_tinybudget.planning.torch_graph import exported_network
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import plans


def shown(model: Model) -> list[tuple[str, tuple[int, ...]]]:
    return [(each.name, model.main.tensors[each.outputs[0]].shape) for each in model.main.operators]


def head(program: Program, maps: Any, channels: int) -> Any:
    pool = program.call("adaptive_avg_pool2d.default", (1, channels, 1, 1), maps, [1, 1])
    row = program.call("flatten.using_ints", (1, channels), pool, 1)
    dense = program.call("linear.default", (1, 3), row, program.weights(3, channels))
    return program.call("softmax.int", (1, 3), dense, 1)


def test_layers_become_the_operators_that_litert_torch_makes_channels_last() -> None:
    made = Program((1, 1, 12, 10))
    maps = made.call("conv2d.default", (1, 8, 6, 5), made.inputs[0], made.weights(8, 1, 3, 3), None,
                     [2, 2], [1, 1])  # fmt: skip
    norm = made.call("batch_norm.default", (1, 8, 6, 5), maps, made.weights(8), made.weights(8),
                     None, None, False, 0.1, 1e-5, False)  # fmt: skip
    active = made.call("relu.default", (1, 8, 6, 5), norm)
    second = made.call("conv2d.default", (1, 8, 6, 5), active, made.weights(8, 8, 3, 3), None,
                       [1, 1], [1, 1])  # fmt: skip
    both = made.call("add.Tensor", (1, 8, 6, 5), second, active)
    model = made.planned(head(made, both, 8))

    assert shown(model) == [
        ("PAD", (1, 14, 12, 1)),
        # One channel in is a depthwise convolution.
        ("DEPTHWISE_CONV_2D", (1, 6, 5, 8)),
        ("CONV_2D", (1, 6, 5, 8)),
        ("ADD", (1, 6, 5, 8)),
        ("MEAN", (1, 8)),
        ("FULLY_CONNECTED", (1, 3)),
        ("SOFTMAX", (1, 3)),
    ]
    assert [each.options.get("padding") for each in model.main.operators[1:3]] == ["VALID", "SAME"]
    assert model.main.operators[1].options["fused_activation_function"] == "RELU"
    assert all(not each.name for each in read_model(model.content, "x").main.tensors)
    assert model.bytes == len(model.content)
    assert not measure(model, RUNTIMES["m4_cmsisnn"]).refusals


def test_an_image_that_becomes_a_row_is_turned_first() -> None:
    made = Program((1, 3, 4, 2))
    row = made.call("view.default", (1, 24), made.inputs[0], [1, 24])
    model = made.planned(made.call("linear.default", (1, 5), row, made.weights(5, 24), None))
    assert shown(model)[:2] == [("TRANSPOSE", (1, 3, 4, 2)), ("RESHAPE", (1, 24))]


def test_branches_stay_in_the_order_of_the_program() -> None:
    made = Program((1, 2, 4, 4), (1, 3))
    image, row = made.inputs
    one = made.call("mean.dim", (1, 2), image, [2, 3])
    other = made.call("linear.default", (1, 2), row, made.weights(2, 3), made.weights(2))
    both = made.call("cat.default", (1, 4), [one, other], 1)
    model = made.planned(both)
    names = [name for name, _ in shown(model)]
    assert names == ["TRANSPOSE", "MEAN", "FULLY_CONNECTED", "CONCATENATION"]
    shapes = [model.main.tensors[each].shape for each in model.main.inputs]
    assert shapes == [(1, 4, 4, 2), (1, 3)]


def test_an_image_that_is_an_output_has_its_channels_first_again() -> None:
    made = Program((1, 3, 4, 2))
    model = made.planned(made.call("relu.default", (1, 3, 4, 2), made.inputs[0]))
    assert shown(model) == [("RELU", (1, 4, 2, 3)), ("TRANSPOSE", (1, 3, 4, 2))]


def conv2d(made: Program, maps: Any, channels: int, filters: int, *shape: int) -> Any:
    """A convolution of 3x3 that keeps the size of the maps."""
    weights = made.weights(filters, channels, 3, 3)
    return made.call("conv2d.default", (1, filters, *shape), maps, weights, None, [1, 1], [1, 1])


def conv1d(made: Program, series: Any, channels: int, filters: int, steps: int) -> Any:
    weights = made.weights(filters, channels, 3)
    return made.call("conv1d.default", (1, filters, steps), series, weights, None, [1], [1])


def test_series_are_images_of_height_1_between_transposes_that_cancel_out() -> None:
    made = Program((1, 6, 128))
    one = made.call("relu.default", (1, 8, 128), conv1d(made, made.inputs[0], 6, 8, 128))
    pool = made.call("max_pool1d.default", (1, 8, 64), one, [2], [2])
    two = conv1d(made, pool, 8, 4, 64)
    norm = made.call("batch_norm.default", (1, 4, 64), two, made.weights(4), made.weights(4),
                     None, None, False)  # fmt: skip
    mean = made.call("mean.dim", (1, 4), norm, [2])
    model = made.planned(mean)
    assert shown(model) == [
        ("RESHAPE", (1, 6, 1, 128)),
        ("TRANSPOSE", (1, 1, 128, 6)),
        ("CONV_2D", (1, 1, 128, 8)),
        ("MAX_POOL_2D", (1, 1, 64, 8)),
        ("CONV_2D", (1, 1, 64, 4)),
        ("TRANSPOSE", (1, 4, 1, 64)),
        ("RESHAPE", (1, 4, 64)),
        # A norm over channels that come first is no part of the convolution.
        ("MUL", (1, 4, 64)),
        ("ADD", (1, 4, 64)),
        ("MEAN", (1, 4)),
    ]
    assert model.main.operators[2].options["fused_activation_function"] == "RELU"
    assert model.bytes == len(model.content)


def test_a_causal_block_of_a_tcn_pads_and_slices_with_channels_first() -> None:
    made = Program((1, 4, 20))
    padded = made.call("pad.default", (1, 4, 22), made.inputs[0], [2, 0])
    weights = made.weights(4, 4, 3)
    maps = made.call("conv1d.default", (1, 4, 20), padded, weights, None)
    cut = made.call("slice.Tensor", (1, 4, 18), maps, 2, 0, 18)
    model = made.planned(cut)
    names = [name for name, _ in shown(model)]
    assert names == ["PAD", "RESHAPE", "TRANSPOSE", "CONV_2D", "TRANSPOSE", "RESHAPE", "SLICE"]
    assert shown(model)[0][1] == (1, 4, 22)


def test_two_series_are_added_before_they_have_their_channels_first_again() -> None:
    made = Program((1, 3, 20))
    one, two = (conv1d(made, made.inputs[0], 3, 4, 20) for _ in range(2))
    last = made.call("relu.default", (1, 4, 20), made.call("add.Tensor", (1, 4, 20), one, two))
    model = made.planned(made.call("select.int", (1, 4), last, 2, -1))
    assert [name for name, _ in shown(model)[2:]] == [
        "CONV_2D", "CONV_2D", "ADD", "TRANSPOSE", "RESHAPE", "SLICE", "RESHAPE",
    ]  # fmt: skip
    assert model.main.operators[4].options["fused_activation_function"] == "RELU"


def test_a_batch_norm_behind_a_relu_is_four_operators() -> None:
    made = Program((1, 3, 8, 6))
    maps = made.call("relu.default", (1, 4, 8, 6), conv2d(made, made.inputs[0], 3, 4, 8, 6))
    norm = made.call("batch_norm.default", (1, 4, 8, 6), maps, made.weights(4), made.weights(4),
                     None, None, False)  # fmt: skip
    names = [name for name, _ in shown(made.planned(norm))]
    assert names == ["CONV_2D", "SUB", "MUL", "MUL", "ADD", "TRANSPOSE"]


def test_a_mean_that_leaves_dimensions_out_goes_over_channels_first() -> None:
    made = Program((1, 3, 8, 6))
    maps = conv2d(made, made.inputs[0], 3, 4, 8, 6)
    model = made.planned(made.call("mean.dim", (1, 4), maps, [2, 3]))
    assert shown(model)[1:] == [("TRANSPOSE", (1, 4, 8, 6)), ("MEAN", (1, 4))]


def test_a_mean_of_one_channel_keeps_its_dimensions_for_a_reshape() -> None:
    made = Program((1, 3, 8, 6))
    maps = conv2d(made, made.inputs[0], 3, 1, 8, 6)
    model = made.planned(head(made, maps, 1))
    # A dense layer without bias over one number is a product.
    assert shown(model)[1:4] == [
        ("MEAN", (1, 1, 1, 1)), ("RESHAPE", (1, 1)), ("MUL", (1, 3)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "extents", "names", "padding"),
    [
        (([3, 3], [1, 1], [1, 1]), (8, 6), ["MAX_POOL_2D"], "SAME"),
        (([3, 3], [2, 2], [0, 0], [1, 1], True), (4, 3), ["MAX_POOL_2D"], "SAME"),
        (([2, 2], [2, 2], [0, 0], [1, 1], True), (4, 3), ["MAX_POOL_2D"], "VALID"),
        (([3, 3], [2, 2], [1, 1]), (4, 3), ["PADV2", "MAX_POOL_2D"], "VALID"),
    ],
)
def test_a_max_pool_pads_by_itself_where_its_padding_is_that_of_same(
    arguments: Any, extents: tuple[int, int], names: list[str], padding: str
) -> None:
    made = Program((1, 3, 8, 6))
    maps = conv2d(made, made.inputs[0], 3, 4, 8, 6)
    model = made.planned(made.call("max_pool2d.default", (1, 4, *extents), maps, *arguments))
    assert [name for name, _ in shown(model)[1:-1]] == names
    assert model.main.operators[-2].options["padding"] == padding


def test_dense_layers_over_a_sequence_are_reshaped_around_as_litert_torch_does() -> None:
    made = Program((1, 10, 8))
    one = made.call("linear.default", (1, 10, 12), made.inputs[0], made.weights(12, 8),
                    made.weights(12))  # fmt: skip
    active = made.call("relu.default", (1, 10, 12), one)
    two = made.call("linear.default", (1, 10, 8), active, made.weights(8, 12), made.weights(8))
    assert shown(made.planned(two)) == [
        ("FULLY_CONNECTED", (10, 12)), ("FULLY_CONNECTED", (10, 8)), ("RESHAPE", (1, 10, 8)),
    ]  # fmt: skip


def test_a_bias_goes_into_the_dense_layer_right_behind_also_where_a_relu_follows() -> None:
    made = Program((1, 8))
    one = made.call("linear.default", (1, 6), made.inputs[0], made.weights(6, 8), made.weights(6))
    two = made.call("linear.default", (1, 4), one, made.weights(4, 6), made.weights(4))
    model = made.planned(made.call("relu.default", (1, 4), two))
    assert [each.inputs[2] == -1 for each in model.main.operators] == [True, False]


def test_a_residual_block_over_a_series_turns_back_once_behind_its_sum() -> None:
    made = Program((1, 3, 20))
    pool = made.call("max_pool1d.default", (1, 3, 10), made.inputs[0], [2], [2])
    sums = made.call("add.Tensor", (1, 3, 10), pool, conv1d(made, pool, 3, 3, 10))
    names = [name for name, _ in shown(made.planned(sums))]
    assert names[2:] == ["MAX_POOL_2D", "CONV_2D", "ADD", "TRANSPOSE", "RESHAPE"]


def test_a_transpose_that_something_else_reads_stays_before_another() -> None:
    made = Program((1, 3, 20))
    pool = made.call("max_pool1d.default", (1, 3, 10), made.inputs[0], [2], [2])
    cut = made.call("slice.Tensor", (1, 3, 8), conv1d(made, pool, 3, 3, 10), 2, 0, 8)
    model = made.planned(cut, pool)
    names = [name for name, _ in shown(model)]
    assert names[2:6] == ["MAX_POOL_2D", "TRANSPOSE", "RESHAPE", "TRANSPOSE"]


def test_an_upsampling_a_transposed_convolution_and_a_slope_are_operators_of_their_own() -> None:
    made = Program((1, 3, 8, 6))
    maps = conv2d(made, made.inputs[0], 3, 4, 8, 6)
    slope = made.call("leaky_relu.default", (1, 4, 8, 6), maps, 0.2)
    larger = made.call("upsample_nearest2d.vec", (1, 4, 16, 12), slope, None, [2.0, 2.0])
    wide = made.call("conv_transpose2d.input", (1, 2, 32, 24), larger, made.weights(4, 2, 2, 2),
                     made.weights(2), [2, 2])  # fmt: skip
    model = made.planned(wide)
    assert [name for name, _ in shown(model)] == [
        "CONV_2D", "LEAKY_RELU", "RESIZE_NEAREST_NEIGHBOR", "TRANSPOSE_CONV", "TRANSPOSE",
    ]  # fmt: skip
    assert model.main.operators[1].options["alpha"] == pytest.approx(0.2)
    assert not measure(model, RUNTIMES["m4_cmsisnn"]).refusals


def test_a_concatenation_reads_at_its_own_scale_what_another_scale_is_asked_of() -> None:
    made = Program((1, 3, 8, 6))
    maps = conv2d(made, made.inputs[0], 3, 4, 8, 6)
    pool = made.call("max_pool2d.default", (1, 4, 4, 3), maps, [2, 2])
    larger = made.call("upsample_nearest2d.vec", (1, 4, 8, 6), pool, None, [2.0, 2.0])
    other = conv2d(made, larger, 4, 2, 8, 6)
    model = made.planned(made.call("cat.default", (1, 6, 8, 6), [maps, other], 1))
    names = [name for name, _ in shown(model)]
    assert names[-4:] == ["CONV_2D", "QUANTIZE", "CONCATENATION", "TRANSPOSE"]

    made = Program((1, 3), (1, 4))
    both = made.call("cat.default", (1, 7), list(made.inputs), 1)
    with pytest.raises(NotPlannedError, match="which of its inputs is requantized"):
        made.planned(both)


@pytest.mark.parametrize("before", ["pool", "convolution without a bias"])
def test_padding_is_computed_with_channels_first_behind_what_takes_in_its_transposes(
    before: str,
) -> None:
    made = Program((1, 3, 8, 6))
    if before == "pool":
        maps = made.call("avg_pool2d.default", (1, 3, 4, 3), made.inputs[0], [2, 2])
    else:
        weights = made.weights(3, 3, 5, 4)
        maps = made.call("conv2d.default", (1, 3, 4, 3), made.inputs[0], weights)
    padded = made.call("pad.default", (1, 3, 6, 5), maps, [1, 1, 1, 1])
    last = made.call("conv2d.default", (1, 2, 4, 3), padded, made.weights(2, 3, 3, 3), None)
    assert shown(made.planned(last))[1:4] == [
        ("TRANSPOSE", (1, 3, 4, 3)), ("PAD", (1, 3, 6, 5)), ("TRANSPOSE", (1, 6, 5, 3)),
    ]  # fmt: skip


def test_a_convolved_series_of_one_channel_is_not_planned_beside_a_cut_one() -> None:
    made = Program((1, 3, 20))
    cut = made.call("slice.Tensor", (1, 1, 20), conv1d(made, made.inputs[0], 3, 1, 24), 2, 0, 20)
    made.call("add.Tensor", (1, 1, 20), cut, conv1d(made, made.inputs[0], 3, 1, 20))
    with pytest.raises(NotPlannedError, match="a convolved series of one channel beside one"):
        exported_network(made)


def unknown(
    target: str, *more: Any, shape: tuple[int, ...] = (1, 2, 4, 4)
) -> Callable[[], Program]:
    def build() -> Program:
        made = Program((1, 2, 4, 4))
        made.call(target, shape, made.inputs[0], *more)
        return made

    return build


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (unknown("erf.default"), "layer n_1: not planned: aten.erf.default"),
        (unknown("hardtanh.default", -2, 2), "values kept from -2 to 2"),
        (unknown("max_pool2d.default", [2, 2], [2, 2], [0, 0], [2, 2]), "a max pool with dilation"),
        (unknown("avg_pool2d.default", [2, 2], [2, 2], [0, 0], True, True, 3), "divisor_override"),
        (
            unknown("adaptive_avg_pool2d.default", [3, 3]),
            r"an adaptive pool of \[4, 4\] to \[3, 3\]",
        ),
        (unknown("mean.dim", [2], True), r"a mean over \[2\]"),
        (unknown("mean.dim", [2, 3], True), "a mean of an image that is not convolved or pooled"),
        (unknown("softmax.int", 1), "a softmax of another dimension"),
        (unknown("add.Tensor", "one"), "arithmetic with a number"),
        (unknown("pad.default", [1, 1], "reflect"), "padding that is not zeros"),
        (unknown("slice.Tensor", 1, 0, 1, shape=(1, 1, 4, 4)), "a part of an image"),
        (unknown("relu.default", shape=(1, 2, 4, 4, 4)), "a tensor of the shape"),
        (unknown("view.default", [1, 4, 2, 4], shape=(1, 4, 2, 4)), "a change of shape"),
        (lambda: Program((4, 6)), "a tensor of the shape"),
        (lambda: Program((1, 6)), "nothing is computed"),
    ],
)
def test_what_is_not_known_is_named(build: Callable[[], Program], said: str) -> None:
    with pytest.raises(NotPlannedError, match=said):
        exported_network(build())


def test_groups_of_a_series_and_training_are_not_planned() -> None:
    made = Program((1, 4, 8))
    made.call("conv1d.default", (1, 4, 6), made.inputs[0], made.weights(4, 2, 3), None,
              [1], [0], [1], 2)  # fmt: skip
    with pytest.raises(NotPlannedError, match="2 groups of 4 channels of a series"):
        exported_network(made)
    made = Program((1, 4, 8, 8))
    made.call("batch_norm.default", (1, 4, 8, 8), made.inputs[0], made.weights(4), made.weights(4),
              None, None, True)  # fmt: skip
    with pytest.raises(NotPlannedError, match="in training mode"):
        exported_network(made)


def test_a_batch_norm_is_planned_where_it_becomes_part_of_a_layer() -> None:
    made = Program((1, 4, 8, 8))
    made.call("batch_norm.default", (1, 4, 8, 8), made.inputs[0], made.weights(4), made.weights(4),
              None, None, False)  # fmt: skip
    with pytest.raises(NotPlannedError, match="not right behind a convolution or a Linear"):
        exported_network(made)


def kws() -> tuple[Program, Any]:
    made = Program((1, 1, 12, 10))
    maps = made.call("conv2d.default", (1, 8, 6, 5), made.inputs[0], made.weights(8, 1, 3, 3), None,
                     [2, 2], [1, 1])  # fmt: skip
    return made, head(made, made.call("relu.default", (1, 8, 6, 5), maps), 8)


def test_a_file_tells_the_network_of_its_program_without_torch(tmp_path: Path) -> None:
    made, result = kws()
    path = made.save(tmp_path / "kws.pt2", result)
    made.planned(result)
    assert read_program(path) == exported_network(made)

    two = Program((1, 8, 4, 4))
    maps = two.call("conv2d.default", (1, 8, 4, 4), two.inputs[0], two.weights(8, 8, 1, 1), None)
    parts = two.several("split.Tensor", [(1, 4, 4, 4)] * 2, maps, 4, 1)
    path = two.save(tmp_path / "two.pt2", *parts)
    two.planned(*parts)
    assert read_program(path) == exported_network(two)


def changed(path: Path, change: Callable[[Any], None]) -> Path:
    """The file with another program."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name.endswith(".json"):
                program = json.loads(content)
                change(program)
                content = json.dumps(program).encode()
            archive.writestr(name, content)
    return path


def _other_argument(program: Any) -> None:
    program["graph_module"]["graph"]["nodes"][0]["inputs"][3]["arg"] = {"as_scalar_type": 7}


def _open(program: Any) -> None:
    program["graph_module"]["graph"]["tensor_values"]["in_0"]["sizes"][0] = {
        "as_expr": {"expr_str": "s0"}
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda program: program["schema_version"].update(major=9), "the schema 9.20, known is 8"),
        (lambda program: program.pop("schema_version"), "missing required field `schema_version`"),
        (_other_argument, "layer n_2: not planned: conv2d.default with a3"),
        (_open, r"layer in_0: not planned: a tensor of the shape \['None', '1', '12', '10'\]"),
        (
            lambda program: program["graph_module"]["graph"]["nodes"].pop(),
            "there is no tensor",
        ),
        (
            lambda program: program["graph_module"]["signature"].update(output_specs=[{}]),
            "a program that changes its buffers",
        ),
    ],
)
def test_a_file_whose_program_is_not_understood_says_so(
    change: Callable[[Any], None], said: str, tmp_path: Path
) -> None:
    made, result = kws()
    with pytest.raises(NotPlannedError, match=said):
        read_program(changed(made.save(tmp_path / "kws.pt2", result), change))


def test_a_file_without_a_program_is_not_planned(tmp_path: Path) -> None:
    path = tmp_path / "old.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", "{}")
    with pytest.raises(NotPlannedError, match=r"old.pt2: not planned: it has no models/model.json"):
        read_program(path)
    path.write_bytes(b"no archive")
    with pytest.raises(NotPlannedError, match=r"old.pt2: not planned: File is not a zip file"):
        read_program(path)


def test_a_damaged_archive_is_not_planned(tmp_path: Path) -> None:
    path, text = tmp_path / "kws.pt2", b"".join(b"%d," % number for number in range(4096))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kws/models/model.json", text)
    content = bytearray(path.read_bytes())
    content[100:200] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(NotPlannedError, match=r"kws.pt2: not planned: "):
        read_program(path)


@pytest.mark.parametrize("command", ["check", "inspect", "compare"])
def test_commands_plan_a_file(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, result = kws()
    path = made.save(tmp_path / "kws.pt2", result)
    assert main([command, str(path), "--plan", "--board", "raspberry-pi-pico"]) == 0
    shown = capsys.readouterr()
    assert "planned, not converted" in shown.out + shown.err
    assert "names in the trained file" not in shown.out + shown.err


def test_a_conversion_that_a_board_refuses_for_its_scales_makes_no_plan_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Program((1, 8))
    row = made.call("linear.default", (1, 1), made.inputs[0], made.weights(1, 8), made.weights(1))
    path = made.save(tmp_path / "dead.pt2", row)
    graph = planned_model(read_program(path), "dead").main
    # A layer that gives 0 for all calibration data has a range of 1e-9.
    tensors = list(graph.tensors)
    for index, scale in ((graph.operators[0].inputs[2], 0.00097656), (graph.outputs[0], 4e-12)):
        tensors[index] = replace(
            tensors[index], quantization=replace(tensors[index].quantization, scales=(scale,))
        )
    content = put_together(tables_of(replace(graph, tensors=tuple(tensors))))
    converted = Converted(content, (), (), (), "int8", cached=False)
    monkeypatch.setattr(Converter, "convert", lambda *_: converted)
    monkeypatch.setattr(Converter, "prepare", lambda *_: None)
    monkeypatch.setattr(plans, "missing_packages", lambda *_: None)
    result = pytest_tinybudget.check(
        path, board="arduino-nano-33-ble", plan=True, representative_data="random"
    )
    assert not any("the plan was wrong" in each for each in result.warnings)
    assert result.notes[-1] == (
        "plan: equal to the conversion but for what its data decides, which TFLM refuses:"
        " FULLY_CONNECTED: the scale of its bias '' is not that of input times weights"
    )


def test_a_declared_file_is_planned_and_its_plan_held_to_the_conversion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, result = kws()
    path = made.save(tmp_path / "kws.pt2", result)
    planned = pytest_tinybudget.check(path, board="raspberry-pi-pico", plan=True)
    (warning,) = planned.warnings
    assert warning.startswith("planned, not converted: flash and arena are those of the converted")
    assert planned.notes[-1] == "plan: not converted, no 'representative_data' is declared"

    other = Program((1, 8))
    wrong = other.planned(other.call("relu.default", (1, 8), other.inputs[0])).content
    right = planned_model(read_program(path), "kws").content
    for content, said in ((right, "equal to the conversion"), (wrong, "the plan was wrong")):
        converted = Converted(content, (), (), (), "int8", cached=False)
        monkeypatch.setattr(Converter, "convert", lambda *_, converted=converted: converted)
        monkeypatch.setattr(Converter, "prepare", lambda *_: None)
        monkeypatch.setattr(plans, "missing_packages", lambda *_: None)
        exact = pytest_tinybudget.check(
            path, board="raspberry-pi-pico", plan=True, representative_data="random"
        )
        assert any(said in each for each in (*exact.notes, *exact.warnings))
