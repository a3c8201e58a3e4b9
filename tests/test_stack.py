"""The stack of a model: its deepest kernel's, by operator, type and the shapes' function."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.stack import invoke_key
from pytest_tinybudget.footprint.stack import load_table
from pytest_tinybudget.footprint.stack import stack_part
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import FixedCost
from pytest_tinybudget.runtimes.runtime import RUNTIMES


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
M4 = RUNTIMES["m4_cmsisnn"]


def made(
    build: Callable[[Graph, int], int], shape: tuple[int, ...], data_type: str = "INT8"
) -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(build(graph, graph.input(shape, data_type)))
    return read_model(maker.build(), "made")


def path_of(model: Model, runtime: str) -> str:
    operator = model.main.operators[0]
    return invoke_key(model.main, operator, RUNTIMES[runtime].kernels).rpartition("/")[2]


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "padding", "on_m4", "on_m55"),
    [
        ((1, 8, 8, 4), (1, 1), (1, 1), "VALID", "1x1", "1x1"),
        ((1, 8, 8, 4), (1, 1), (2, 2), "VALID", "1x1_strided", "1x1_strided"),
        ((1, 1, 40, 4), (1, 5), (1, 1), "SAME", "1xn", "1xn"),
        ((1, 1, 40, 3), (1, 5), (1, 1), "SAME", "general", "general"),
        ((1, 8, 8, 4), (3, 3), (1, 1), "SAME", "general", "general"),
        ((1, 5, 1, 4), (5, 1), (1, 1), "VALID", "one_column", "general"),
    ],
)
def test_a_convolution_is_keyed_by_the_function_that_its_shape_selects(
    shape: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: str,
    on_m4: str,
    on_m55: str,
) -> None:
    model = made(
        lambda graph, source: graph.conv2d(
            source, filters=4, kernel=kernel, stride=stride, padding=padding
        ),
        shape,
    )
    assert path_of(model, "m4_cmsisnn") == on_m4
    assert path_of(model, "m55_cmsisnn") == on_m55
    assert path_of(model, "m4_ref") == ""


@pytest.mark.parametrize(
    ("other", "path"),
    [
        ((1, 6, 5, 4), ""),
        ((1,), "broadcast_1"),
        ((1, 1, 1, 4), "broadcast_2"),
        ((1, 6, 1, 1), "broadcast_2"),
        ((1, 6, 1, 4), "broadcast_3"),
    ],
)
def test_a_broadcast_is_keyed_by_its_loops_and_gets_deeper_with_each(
    other: tuple[int, ...], path: str
) -> None:
    model = made(
        lambda graph, source: graph.add(source, graph.constant(other, "INT8")), (1, 6, 5, 4)
    )
    assert path_of(model, "m4_cmsisnn") == path


def test_more_broadcast_loops_need_more_stack() -> None:
    depths = [load_table("m4_ref")["invoke"][f"MUL/FLOAT32/broadcast_{n}"] for n in (1, 2, 3)]
    assert depths == sorted(set(depths))


def test_int16_dense_layers_with_several_outputs_are_covered() -> None:
    """Measured on a Cortex-M4: 608 with 2 and 13 outputs, 556 with one."""
    model = made(lambda graph, source: graph.dense(source, units=2), (2, 36), "INT16")
    assert stack_part(model, M4).bytes == 608


def test_the_deepest_operator_decides() -> None:
    alone = made(lambda graph, source: graph.softmax(source), (1, 16))
    both = made(
        lambda graph, source: graph.softmax(graph.dense(source, units=16)),
        (1, 16),
    )
    dense = made(lambda graph, source: graph.dense(source, units=16), (1, 16))
    assert stack_part(both, M4).bytes == max(
        stack_part(alone, M4).bytes, stack_part(dense, M4).bytes
    )
    assert stack_part(both, M4).method == "table"


def test_a_kernel_that_was_never_measured_counts_as_the_deepest_and_says_so() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4))
    target = graph.tensor((1, 4))
    graph.operator("MY_OP", [source], [target])
    graph.output(target)
    part = stack_part(read_model(maker.build(), "custom"), M4)
    table = load_table("m4_cmsisnn")
    assert part.bytes == max(*table["prepare"].values(), *table["invoke"].values())
    assert part.method == "estimated"
    assert "MY_OP" in part.note


def nested_in_if(levels: int) -> Model:
    """A convolution in ``levels`` subgraphs that IF operators call, one in the other."""
    maker = ModelMaker()
    graphs = [maker.graph() for _ in range(levels + 1)]
    for number, graph in enumerate(graphs[:-1], 1):
        condition, source = graph.input((1,), "BOOL"), graph.input((1, 8, 8, 8))
        result = graph.tensor((1, 8, 8, 8))
        inputs = [condition, source] if number == levels else [condition, condition, source]
        branches = {"then_subgraph_index": number, "else_subgraph_index": number}
        graph.operator("IF", inputs, [result], options=branches)
        graph.output(result)
    last = graphs[-1]
    last.output(last.conv2d(last.input((1, 8, 8, 8)), filters=8))
    return read_model(maker.build(), "nested")


@pytest.mark.parametrize(("levels", "measured"), [(1, 1308), (2, 1372), (3, 1436)])
def test_calls_of_subgraphs_are_bounded_by_the_level(levels: int, measured: int) -> None:
    """Measured on a Cortex-M4: 1244 for the convolution alone, 64 more with each IF around it."""
    part = stack_part(nested_in_if(levels), M4)
    assert part.bytes == 1244 + 256 * levels >= measured
    assert part.method == "estimated"
    assert part.note == f"{256 * levels} B of it for calls of subgraphs"


def test_a_deep_measured_operator_beside_a_borrowed_one_is_no_estimate() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8, 8, 8))
    graph.output(graph.tanh(graph.conv2d(source, filters=8)))
    part = stack_part(read_model(maker.build(), "both"), RUNTIMES["m7_cmsisnn"])
    assert (part.method, part.note) == ("table", "")


def test_figures_of_a_neighboring_core_are_called_estimates() -> None:
    borrowed = load_table("m7_cmsisnn")["borrowed"]
    assert "TANH/INT8/" in borrowed
    model = made(lambda graph, source: graph.tanh(source), (1, 4))
    part = stack_part(model, RUNTIMES["m7_cmsisnn"])
    assert (part.method, part.note) == ("estimated", "measured on a neighboring core")
    assert part.bytes >= stack_part(model, M4).bytes


def test_a_declared_stack_replaces_the_measured_one() -> None:
    model = made(lambda graph, source: graph.dense(source, units=4), (1, 4))
    footprint = measure(model, Firmware(M4, stack=4000))
    assert footprint.stack == 4000
    assert [part.method for part in footprint.ram_parts if part.name == "stack"] == ["declared"]
    assert footprint.ram == measure(model, M4).ram - stack_part(model, M4).bytes + 4000


def test_a_fixed_cost_replaces_code_and_stack_and_says_whose_arena_it_adds() -> None:
    model = made(lambda graph, source: graph.dense(source, units=4), (1, 4))
    footprint = measure(model, Firmware(M4, fixed=FixedCost(flash=20_480, stack=2_048)))
    arena = footprint.arena
    assert arena is not None
    assert footprint.flash == model.bytes + 20_480
    assert footprint.ram == arena.required + 2_048
    methods = {part.name: part.method for part in (*footprint.flash_parts, *footprint.ram_parts)}
    assert (methods["runtime"], methods["stack"]) == ("declared", "declared")
    assert footprint.ram_parts[0].note == "as TFLM lays it out"


def test_a_runtime_without_a_stack_table_is_told() -> None:
    model = made(lambda graph, source: graph.dense(source, units=4), (1, 4))
    with pytest.raises(TinybudgetError, match="no stack table for runtime table 'm9'"):
        stack_part(model, replace(M4, table="m9"))


@pytest.mark.parametrize("variant", ["m4_ref", "m55_cmsisnn", "m7_ref"])
def test_measured_stacks_are_given_back_to_the_byte(variant: str) -> None:
    path = SHARED / "tflm" / "truth" / f"arena_{variant}.jsonl"
    if not path.exists():
        pytest.skip("no measurements beside the project")
    wrong = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        source = SHARED / "models" / f"{record.get('model')}.tflite"
        if record.get("status") == "ok" and source.exists():
            measured = max(record["stack_alloc"], record["stack_invoke"])
            predicted = stack_part(load_model(source), RUNTIMES[variant]).bytes
            if predicted != measured:
                wrong[record["model"]] = (predicted, measured)
    assert wrong == {}


def test_a_depthwise_convolution_of_no_channels_has_a_stack_like_any_other() -> None:
    """No converter makes one, but a damaged file can hold one."""

    def empty(graph: Graph, source: int) -> int:
        weights = graph.constant((1, 3, 3, 8), "INT8", scale=0.1)
        bias = graph.constant((8,), "INT32", scale=0.01)
        target = graph.tensor((1, 8, 8, 8), scale=0.1)
        options = {"padding": 0, "stride_w": 1, "stride_h": 1, "depth_multiplier": 2}
        graph.operator("DEPTHWISE_CONV_2D", [source, weights, bias], [target], options)
        return target

    assert path_of(made(empty, (1, 8, 8, 0)), "m4_cmsisnn") == "generic"
