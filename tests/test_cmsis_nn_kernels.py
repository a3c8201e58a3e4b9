"""What CMSIS-NN's kernels compute wrongly, or write beyond, without an error that anybody sees.

Each case was run in a build of CMSIS-NN 4ab83cc3 beside a plain computation of the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from modelmaker import SCALE
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.distributions import runtime_called
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.versions import find_version


Build = Callable[[Graph], None]


def stages(build: Build, runtime: Runtime | str = "m4_cmsisnn") -> list[str]:
    """Where a model of what ``build`` makes fails."""
    maker = ModelMaker()
    build(maker.graph())
    found = RUNTIMES[runtime] if isinstance(runtime, str) else runtime
    return [each.stage for each in simulate(read_model(maker.build(), "model"), found).refusals]


def transposed_convolution(
    graph: Graph,
    *,
    kernel: tuple[int, int] = (3, 3),
    stride: tuple[int, int] = (2, 2),
    channels: int = 4,
    padding: str = "SAME",
    more: int = 0,
    activation: str = "NONE",
    zero_point: int = 0,
    kind: str = "INT8",
) -> None:
    """On an image of 4 x 4; with VALID padding ``more`` rows and columns than it needs."""
    image = graph.input((1, 4, 4, channels), kind)
    rows, columns = (
        4 * step if padding == "SAME" else 3 * step + reach + more
        for step, reach in zip(stride, kernel, strict=True)
    )
    shape = (1, rows, columns, 2)
    weights = graph.constant((2, *kernel, channels), "INT8", scale=SCALE)
    bias = graph.constant((2,), "INT32" if kind == "INT8" else "INT64", scale=SCALE**2)
    result = graph.tensor(shape, kind, zero_point=zero_point)
    options = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "fused_activation_function": activation,
    }
    inputs = (graph.constant((4,), values=shape), weights, image, bias)
    graph.operator("TRANSPOSE_CONV", inputs, (result,), options)
    graph.output(result)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"kernel": (3, 3)}, []),
        # One row of padding, of a stride of two: CMSIS-NN writes the rows where others belong.
        ({"kernel": (4, 4)}, ["undefined"]),
        ({"kernel": (3, 4)}, []),
        ({"kernel": (5, 5)}, ["undefined"]),
        ({"kernel": (6, 6)}, []),
        ({"kernel": (5, 5), "stride": (3, 3)}, ["undefined"]),
        ({"kernel": (4, 4), "stride": (1, 1)}, []),
        ({"kernel": (4, 4), "padding": "VALID"}, []),
        # Above 16 channels it is computed as a convolution, which is right.
        ({"kernel": (4, 4), "channels": 17}, []),
        ({"kernel": (5, 5), "channels": 17, "stride": (3, 3)}, ["undefined"]),
        ({"kernel": (4, 4), "kind": "INT16"}, []),
        # The scratch buffer has room for the vertical stride.
        ({"kernel": (2, 2), "stride": (1, 3)}, ["undefined"]),
        ({"kernel": (2, 2), "stride": (3, 1)}, []),
        ({"kernel": (2, 3), "stride": (1, 3)}, []),
        # Rows and columns that no pixel of the input reaches.
        ({"padding": "VALID", "more": 1}, ["undefined"]),
        ({"padding": "VALID", "more": 1, "kernel": (1, 1)}, []),
        ({"padding": "VALID", "more": 1, "channels": 17}, []),
        ({"activation": "RELU"}, ["wrong"]),
        ({"activation": "RELU", "zero_point": -128}, []),
        ({"activation": "RELU6", "kind": "INT16"}, ["wrong"]),
    ],
    ids=str,
)
def test_a_transposed_convolution_that_cmsis_nn_gets_wrong_is_refused(
    details: dict[str, object], expected: list[str]
) -> None:
    build: Build = partial(transposed_convolution, **details)  # type: ignore[arg-type]
    assert stages(build) == expected
    assert stages(build, "m4_ref") == []


def test_a_transposed_convolution_of_another_algorithm_is_not_refused() -> None:
    """Zephyr 3.7 has CMSIS-NN of before it worked in rows, Zephyr 3.6 TFLM's own kernel."""
    build: Build = partial(transposed_convolution, kernel=(4, 4))
    found = {
        release: stages(build, runtime_called(f"zephyr {release}", "Cortex-M4F"))
        for release in ("3.6", "3.7", "4.4")
    }
    assert found == {"3.6": [], "3.7": [], "4.4": ["undefined"]}


def convolution(graph: Graph, *, kind: str, weights: str, groups: int, bias: bool) -> None:
    image = graph.input((1, 4, 4, 4), kind)
    result = graph.conv2d(image, filters=4, groups=groups, weights_type=weights, bias=bias)
    graph.output(result)


@pytest.mark.parametrize(
    ("kind", "weights", "groups", "bias", "expected"),
    [
        ("INT8", "INT8", 2, True, []),
        ("INT8", "INT8", 2, False, ["undefined"]),
        ("INT8", "INT8", 1, False, []),
        ("INT8", "INT4", 1, True, []),
        ("INT8", "INT4", 2, True, ["undefined"]),
        ("INT16", "INT8", 1, True, []),
        ("INT16", "INT8", 2, True, ["undefined"]),
    ],
)
def test_groups_are_for_int8_with_a_bias_in_cmsis_nn(
    kind: str, weights: str, groups: int, bias: bool, expected: list[str]
) -> None:
    build: Build = partial(convolution, kind=kind, weights=weights, groups=groups, bias=bias)
    assert stages(build) == expected
    assert stages(build, "m4_ref") == []


def transposed(graph: Graph, *, shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    source = graph.input(shape)
    result = graph.tensor([shape[axis] for axis in axes])
    graph.operator("TRANSPOSE", (source, graph.constant((len(axes),), values=axes)), (result,))
    graph.output(result)


@pytest.mark.parametrize(
    ("shape", "axes", "m4", "m55"),
    [
        ((2, 3), (1, 0), [], []),
        ((2, 3), (0, 1), ["wrong"], ["wrong"]),
        ((1, 3), (0, 1), [], []),
        ((2, 3, 4), (0, 1, 2), [], []),
        ((1, 2, 3, 4), (0, 1, 2, 3), [], ["wrong"]),
        ((1, 2, 3, 4), (0, 2, 1, 3), [], []),
        ((2, 2, 2, 3, 4), (0, 1, 2, 4, 3), ["undefined"], ["undefined"]),
        ((8, 9362), (1, 0), [], []),
        ((8, 9363), (1, 0), [], ["undefined"]),
        ((2, 65536), (1, 0), ["undefined"], ["undefined"]),
    ],
)
def test_axes_that_cmsis_nn_transposes_otherwise_are_refused(
    shape: tuple[int, ...], axes: tuple[int, ...], m4: list[str], m55: list[str]
) -> None:
    build: Build = partial(transposed, shape=shape, axes=axes)
    assert stages(build, "m4_cmsisnn") == m4
    assert stages(build, "m55_cmsisnn") == m55
    assert stages(build, "m4_ref") == []
    before = runtime_called("tflite-micro 10ebaab9", "Cortex-M4F")
    assert stages(build, before) == []


def padded(graph: Graph, *, shape: tuple[int, ...], first: int) -> None:
    amounts = [(first, 0), *((1, 1),) * (len(shape) - 1)]
    graph.output(graph.pad(graph.input(shape), amounts))


@pytest.mark.parametrize(
    ("shape", "first", "expected"),
    [
        ((1, 2, 2, 2, 2), 0, []),
        ((1, 2, 2, 2, 2), 1, ["undefined"]),
        ((2, 2, 2, 2, 2), 0, ["undefined"]),
        ((2, 2, 2, 2), 1, []),
        ((2, 2), 1, []),
    ],
)
def test_cmsis_nn_pads_the_last_four_dimensions(
    shape: tuple[int, ...], first: int, expected: list[str]
) -> None:
    build: Build = partial(padded, shape=shape, first=first)
    assert stages(build) == expected
    assert stages(build, "m4_ref") == []


@pytest.mark.parametrize(
    ("kind", "bias", "zero_point", "rank", "expected"),
    [
        ("INT16", "INT64", 0, 2, []),
        ("INT16", "INT32", 0, 2, ["undefined"]),
        ("INT16", "INT64", 3, 2, ["wrong"]),
        ("INT8", "INT32", 3, 2, []),
        # As a convolution of 1 x 1.
        ("INT8", "INT32", 3, 3, ["wrong"]),
        ("INT8", "INT32", 0, 3, []),
    ],
)
def test_a_dense_layer_that_cmsis_nn_reads_otherwise_is_refused(
    kind: str, bias: str, zero_point: int, rank: int, expected: list[str]
) -> None:
    def build(graph: Graph) -> None:
        lead = (1,) * (rank - 1)
        source, result = graph.input((*lead, 8), kind), graph.tensor((*lead, 4), kind)
        weights = graph.constant((4, 8), "INT8", scale=SCALE, zero_point=zero_point)
        values = graph.constant((4,), bias, scale=SCALE**2)
        options = {"fused_activation_function": "NONE", "keep_num_dims": rank > 2}
        graph.operator("FULLY_CONNECTED", (source, weights, values), (result,), options)
        graph.output(result)

    assert stages(build) == expected
    assert stages(build, "m4_ref") == []


def depthwise(graph: Graph, *, channels: int, multiplier: int, kernel: int, batches: int) -> None:
    filters = channels * multiplier
    image = graph.input((batches, 4, 4, channels))
    weights = graph.constant(
        (1, kernel, kernel, filters), "INT4", scale=(SCALE,) * filters, dimension=3
    )
    result = graph.tensor((batches, 4, 4, filters))
    options = {
        "padding": "SAME",
        "stride_h": 1,
        "stride_w": 1,
        "depth_multiplier": multiplier,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
    }
    graph.operator("DEPTHWISE_CONV_2D", (image, weights), (result,), options)
    graph.output(result)


@pytest.mark.parametrize(
    ("channels", "multiplier", "kernel", "batches", "expected"),
    [
        (3, 1, 3, 1, []),
        (3, 2, 3, 1, ["wrong"]),
        (3, 1, 3, 2, ["wrong"]),
        (4, 2, 3, 2, []),
        (3, 2, 1, 2, []),
    ],
)
def test_int4_weights_for_odd_channels_that_cmsis_nn_mistakes_are_refused(
    channels: int, multiplier: int, kernel: int, batches: int, expected: list[str]
) -> None:
    build: Build = partial(
        depthwise, channels=channels, multiplier=multiplier, kernel=kernel, batches=batches
    )
    assert stages(build) == expected
    assert stages(build, "m4_ref") == []
    single = multiplier == batches == 1
    assert stages(build, "m55_cmsisnn") == (["wrong"] if single else expected)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 8, 1, 1), (1, 8, 4, 3), ["wrong"]),
        ((8, 4, 1), (8, 1, 1), ["wrong"]),
        ((2, 8, 1, 1), (1, 1, 4, 3), ["wrong"]),
        ((1, 8, 1, 1), (1, 8, 1, 3), []),
        ((1, 1, 1, 1), (1, 8, 4, 3), []),
        ((1, 8, 1, 3), (1, 8, 4, 3), []),
        ((2, 1, 1, 1), (2, 8, 4, 3), []),
        ((8, 1), (8, 4), []),
    ],
)
def test_a_column_beside_an_image_is_no_maximum_in_cmsis_nn(
    first: tuple[int, ...], second: tuple[int, ...], expected: list[str]
) -> None:
    def build(graph: Graph) -> None:
        sources = graph.input(first), graph.input(second)
        result = graph.tensor(tuple(map(max, first, second)))
        graph.operator("MAXIMUM", sources, (result,))
        graph.output(result)

    assert stages(build) == expected
    assert stages(build, "m4_ref") == []


def row(graph: Graph, *, width: int, kernel: int, stride: int, padding: str, channels: int) -> None:
    image = graph.input((1, 1, width, channels))
    graph.output(
        graph.conv2d(image, filters=2, kernel=(1, kernel), stride=(1, stride), padding=padding)
    )


@pytest.mark.parametrize(
    ("width", "kernel", "stride", "padding", "channels", "expected"),
    [
        (8, 3, 3, "VALID", 16, ["undefined"]),
        (4, 3, 2, "VALID", 2, ["undefined"]),
        (9, 2, 3, "SAME", 4, ["undefined"]),
        (9, 3, 3, "VALID", 16, []),
        (8, 3, 2, "SAME", 16, []),
        (8, 3, 1, "VALID", 4, []),
        # Two channels by a stride of three are no multiple of four: computed otherwise.
        (8, 3, 3, "VALID", 2, []),
        (8, 1, 3, "VALID", 4, []),
    ],
)
def test_a_row_whose_end_no_window_reaches_is_refused_with_mve(
    width: int, kernel: int, stride: int, padding: str, channels: int, expected: list[str]
) -> None:
    build: Build = partial(
        row, width=width, kernel=kernel, stride=stride, padding=padding, channels=channels
    )
    assert stages(build, "m55_cmsisnn") == expected
    assert stages(build, "m4_cmsisnn") == []


@pytest.mark.parametrize(("width", "expected"), [(3, ["undefined"]), (7, [])])
def test_a_window_of_int4_padded_on_both_sides_is_refused_with_mve(
    width: int, expected: list[str]
) -> None:
    def build(graph: Graph) -> None:
        image = graph.input((1, 1, width, 8))
        graph.output(
            graph.conv2d(
                image, filters=2, kernel=(1, 5), stride=(1, 3), padding="SAME", weights_type="INT4"
            )
        )

    assert stages(build, "m55_cmsisnn") == expected
    assert stages(build, "m4_cmsisnn") == []


@pytest.mark.parametrize(
    ("name", "rank", "version", "expected"),
    [
        ("ADD", 6, "90b983c2", []),
        ("ADD", 6, "13cd6d82", []),
        ("ADD", 5, "c12bd762", ["wrong"]),
        ("MUL", 6, "cdf028c7", []),
        ("MUL", 5, "13cd6d82", ["wrong"]),
        ("SUB", 6, "90b983c2", []),
        ("SUB", 6, "13cd6d82", ["wrong"]),
        ("DIV", 6, "90b983c2", []),
        ("DIV", 5, "cf8c42a1", []),
        ("DIV", 6, "cf8c42a1", ["wrong"]),
        ("MAXIMUM", 6, "90b983c2", []),
        ("MAXIMUM", 6, "cf8c42a1", ["wrong"]),
        ("SQUARED_DIFFERENCE", 5, "90b983c2", []),
        ("SQUARED_DIFFERENCE", 5, "cf8c42a1", ["wrong"]),
    ],
)
def test_a_version_broadcasts_so_many_dimensions(
    name: str, rank: int, version: str, expected: list[str]
) -> None:
    def build(graph: Graph) -> None:
        ones = (1,) * (rank - 2)
        first, second = graph.input((2, *ones, 3), "FLOAT32"), graph.input((2, *ones, 1), "FLOAT32")
        result = graph.tensor((2, *ones, 3), "FLOAT32")
        graph.operator(name, (first, second), (result,))
        graph.output(result)

    runtime = RUNTIMES["m4_ref"]
    tflm = replace(runtime.tflm, version=find_version("tflm", version))
    assert stages(build, replace(runtime, tflm=tflm)) == expected
