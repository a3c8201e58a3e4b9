"""What TFLM takes on trust: data and outcomes that it does not look at are refused here."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from damage_campaign import campaign
from damage_campaign import telling
from engines import Run
from modelmaker import Graph
from modelmaker import ModelMaker
from modelmaker import Table
from modelmaker import write
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import find_version
from pytest_tinybudget.runtimes.versions import known


Build = Callable[[Graph], None]


def made(build: Build) -> ModelMaker:
    maker = ModelMaker()
    build(maker.graph())
    return maker


def refusals(content: bytes, runtime: str = "m4_ref") -> list[Refusal]:
    return list(simulate(read_model(content, "model"), RUNTIMES[runtime]).refusals)


def only(content: bytes, runtime: str = "m4_ref") -> str:
    """The one refusal: stage, operator and reason."""
    (found,) = refusals(content, runtime)
    return f"{found.stage}: {found.operator}: {found.reason}"


def convolution(graph: Graph) -> None:
    graph.output(graph.conv2d(graph.input((1, 4, 4, 2)), filters=4))


def tables(build: Build = convolution) -> tuple[Table, list[Table], list[Table]]:
    """The file as tables, its tensors, and its buffers."""
    table = made(build).table()
    (graph,) = table.values["subgraphs"]
    return table, graph.values["tensors"], table.values["buffers"]


def test_a_sound_model_is_not_refused() -> None:
    assert not refusals(made(convolution).build())


def lstm(graph: Graph, **scales: Any) -> None:
    graph.output(graph.lstm(graph.input((1, 3, 4), scale=1 / 128), units=4, **scales))


def test_an_lstm_whose_output_has_another_scale_than_its_state_is_refused() -> None:
    """Its kernel copies the one to the other."""
    assert not refusals(made(lstm).build())
    told = only(made(partial(lstm, hidden={"scale": 1 / 128, "zero_point": 20})).build())
    assert told.startswith(
        "wrong: UNIDIRECTIONAL_SEQUENCE_LSTM: 'graph0/t15' has the scale 0.0078125 and zero point "
        "0, its hidden state, which its kernel copies there, 0.0078125 and 20: declare the Keras"
    )


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ({"inside": {"scale": 1 / 100}}, "it writes its hidden state at the scale of"),
        ({"cell_scale": 2.0**-16}, "it has no TANH for cells at scales below 2^-15"),
        ({"cell_scale": 2.0**-15}, ""),
    ],
)
def test_scales_that_an_lstm_of_2022_computes_wrongly_are_told(
    scales: dict[str, Any], said: str
) -> None:
    """Measured of TFLM 87fb33be; its successors take both."""
    content = made(partial(lstm, **scales)).build()
    runtime = RUNTIMES["m4_ref"]
    old = replace(runtime, tflm=replace(runtime.tflm, version=find_version("tflm", "327c07d4")))

    assert not refusals(content)
    found = [each.reason for each in simulate(read_model(content, "m"), old).refusals]
    assert (len(found) == 1 and found[0].startswith(said)) if said else not found


# Data: buffers, sparsity, variables, quantization.


@pytest.mark.parametrize(("kind", "stages"), [("FLOAT32", ["wrong"]), ("INT8", [])])
def test_an_activation_that_an_lstm_of_floats_leaves_out_is_refused(
    kind: str, stages: list[str]
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 3, 4), kind), units=2))
    graph.steps[-1].options = {**graph.steps[-1].options, "fused_activation_function": "RELU"}
    assert [each.stage for each in refusals(maker.build())] == stages


def test_sparse_weights_are_refused_by_tensor_and_operator() -> None:
    table, tensors, _ = tables()
    # Any table will do: what is in the record is not read.
    tensors[1].values["sparsity"] = Table("Buffer", {})
    assert only(write(table)) == (
        "wrong: CONV_2D: tensor 'graph0/t1' is stored sparse, and TFLM takes its packed values for"
        " dense ones: convert it without sparsity (densify the weights)"
    )


def test_a_record_of_sparsity_without_values_harms_nobody() -> None:
    table, tensors, _ = tables()
    tensors[0].values["sparsity"] = Table("Buffer", {})
    assert not refusals(write(table))


def test_a_buffer_shorter_than_its_tensor_is_refused() -> None:
    table, tensors, buffers = tables()
    data = buffers[tensors[1].values["buffer"]].values
    data["data"] = data["data"][:-1]
    with pytest.raises(ModelError, match=r"needs 72 bytes of data, its buffer 1 has 71"):
        read_model(write(table), "model")


def test_a_buffer_longer_than_its_tensor_is_taken_as_tflm_takes_it() -> None:
    table, tensors, buffers = tables()
    buffers[tensors[1].values["buffer"]].values["data"] += bytes(16)
    assert not refusals(write(table))


def test_a_buffer_outside_the_file_is_refused() -> None:
    table, tensors, buffers = tables()
    buffers[tensors[1].values["buffer"]].values = {"offset": 4096, "size": 72}
    assert only(write(table)) == (
        "load: CONV_2D: tensor 'graph0/t1': its data is stored outside the flatbuffer, where TFLM"
        " does not look"
    )


def test_a_plan_outside_the_file_is_refused() -> None:
    maker = made(convolution)
    maker.offline_plan([-1] * 4)
    table = maker.table()
    table.values["buffers"][-1].values = {"offset": 4096, "size": 28}
    found = refusals(write(table))
    assert [each.stage for each in found] == ["load"]
    assert "does not cover the 4 tensors" in found[0].reason


def test_a_variable_with_values_in_the_file_is_refused() -> None:
    table, tensors, _ = tables()
    tensors[1].values["is_variable"] = True
    assert only(write(table)).startswith(
        "wrong: CONV_2D: tensor 'graph0/t1' is a variable with values in the file"
    )


@pytest.mark.parametrize("runtime", ["m4_ref", "m4_cmsisnn", "x86_64_ref"])
def test_per_axis_scales_of_another_length_are_refused(runtime: str) -> None:
    table, tensors, _ = tables()
    tensors[1].values["quantization"].values["scale"] = (0.1, 0.2, 0.3)
    tensors[1].values["quantization"].values["zero_point"] = (0, 0, 0)
    found = refusals(write(table), runtime)
    assert [each.stage for each in found] == ["prepare"]
    assert "3 scales for 4 channels" in found[0].reason


def test_a_quantized_dimension_out_of_range_is_refused() -> None:
    table, tensors, _ = tables()
    tensors[1].values["quantization"].values["quantized_dimension"] = 9
    assert only(write(table)) == (
        "prepare: CONV_2D: its weights 'graph0/t1' are quantized along dimension 9, which they do"
        " not have"
    )


def test_a_quantized_dimension_that_nobody_reads_harms_nobody() -> None:
    table, tensors, _ = tables()
    tensors[0].values["quantization"].values["quantized_dimension"] = 9
    assert not refusals(write(table))


def test_zero_points_of_another_length_are_refused() -> None:
    table, tensors, _ = tables()
    tensors[0].values["quantization"].values["zero_point"] = (0, 1)
    assert refusals(write(table))[-1].reason == (
        "tensor 'graph0/t0' has 2 zero points for 1 scales, of which TFLM takes the first: write"
        " one, or one for each scale"
    )


def test_activations_with_several_scales_are_refused() -> None:
    table, tensors, _ = tables()
    tensors[0].values["quantization"].values |= {"scale": (0.1, 0.2), "zero_point": (0, 0)}
    assert only(write(table)) == (
        "wrong: CONV_2D: 'graph0/t0' has 2 scales and 2 zero points, its kernel reads the first"
        " alone"
    )


def test_quantization_by_blocks_is_refused() -> None:
    table, tensors, _ = tables()
    tensors[1].values["quantization"].values |= {"details_type": 2, "details": Table("Buffer", {})}
    assert "is quantized by blocks, which TFLM does not know" in only(write(table))


# Tensors that nothing computes, or that lie in flash.


def test_a_tensor_that_nothing_computes_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.add(graph.input((1, 4)), graph.tensor((1, 4))))
    assert only(maker.build()).startswith(
        "undefined: ADD: tensor 'graph0/t1' has no values when it is read"
    )


def test_a_custom_operator_may_have_a_tensor_as_room_to_work_in() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    result = graph.tensor((1, 4))
    inputs = (graph.input((1, 4)), graph.tensor((64,), "UINT8"))
    graph.operator("mine", inputs, (result,))
    graph.output(result)
    declared = {"mine": OperatorCost()}
    assert not simulate(
        read_model(maker.build(), "m"), Firmware(RUNTIMES["m4_ref"]).with_costs(declared)
    ).refusals


def test_an_operator_before_what_computes_its_input_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.tanh(graph.unary("RELU", graph.input((1, 4)))))
    graph.steps.reverse()
    assert only(maker.build()).startswith("undefined: TANH: tensor 'graph0/t1' has no values")


def test_an_output_with_values_in_the_file_is_refused() -> None:
    table, tensors, buffers = tables()
    buffers.append(Table("Buffer", {"data": bytes(64)}))
    tensors[2].values["buffer"] = len(buffers) - 1
    assert only(write(table)).startswith(
        "undefined: CONV_2D: tensor 'graph0/t2' is its output and has values in the file, so that"
        " TFLM writes into flash"
    )


def test_an_input_with_values_in_the_file_is_refused() -> None:
    table, tensors, _ = tables()
    tensors[0].values["buffer"] = tensors[1].values["buffer"]
    assert only(write(table)).startswith("undefined: : tensor 'graph0/t0' is an input and has")


# Shapes and types, operator by operator.


def altered(build: Build, index: int, shape: tuple[int, ...]) -> bytes:
    maker = made(build)
    maker.graphs[0].tensors[index].shape = shape
    return maker.build()


def pooled(graph: Graph) -> None:
    graph.output(graph.pool(graph.input((1, 4, 4, 2))))


def joined(graph: Graph) -> None:
    source = graph.input((1, 4, 2))
    graph.output(graph.concat([source, source], axis=1))


def averaged(graph: Graph) -> None:
    graph.output(graph.mean(graph.input((1, 4, 4, 2)), axes=(1, 2)))


def cut(graph: Graph) -> None:
    graph.output(*graph.split(graph.input((1, 4, 4, 2)), parts=2, axis=1))


def connected(graph: Graph) -> None:
    graph.output(graph.dense(graph.input((1, 4, 2)), units=3))


@pytest.mark.parametrize(
    ("build", "index", "shape"),
    [
        (convolution, 2, (1, 4, 5, 4)),
        (pooled, -1, (1, 2, 2, 3)),
        (joined, -1, (1, 7, 2)),
        (averaged, -1, (1, 1, 1, 3)),
        (cut, -1, (1, 1, 4, 2)),
        (connected, 2, (1, 4)),
    ],
)
def test_a_result_of_another_shape_is_refused(
    build: Build, index: int, shape: tuple[int, ...]
) -> None:
    assert not refusals(made(build).build())
    found = refusals(altered(build, index, shape))
    assert found
    assert f"is {list(shape)} in the file, its inputs make" in found[0].reason


def test_a_result_of_another_size_is_undefined_and_one_of_another_shape_wrong() -> None:
    assert refusals(altered(averaged, -1, (1, 1, 1, 1)))[0].stage == "undefined"
    assert refusals(altered(averaged, -1, (1, 1, 1, 3)))[0].stage == "undefined"
    assert refusals(altered(pooled, -1, (1, 2, 4, 1)))[0].stage == "wrong"


def test_values_in_another_shape_are_refused_where_a_kernel_looks_at_it() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    turned = graph.unary("RELU", graph.input((1, 5, 4)))
    graph.output(graph.softmax(turned))
    graph.tensors[turned].shape = (1, 4, 5)
    graph.tensors[-1].shape = (1, 4, 5)
    assert only(maker.build()) == (
        "wrong: SOFTMAX: 'graph0/t1' is [1, 4, 5] in the file, what computes it gives [1, 5, 4]"
    )


@pytest.mark.parametrize("shape", [(1, 5, 1, 4), (5, 4)])
def test_a_softmax_has_rows_as_long_as_its_result_is_along_the_inputs_last_axis(
    shape: tuple[int, ...],
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.softmax(graph.input((1, 5, 4))))
    graph.tensors[-1].shape = shape
    assert only(maker.build()).startswith(
        f"wrong: SOFTMAX: its output 'graph0/t1' is {list(shape)} in the file, its inputs make"
    )


@pytest.mark.parametrize(("bits", "found"), [(46, 0), (47, 1)])
def test_a_bias_of_more_bits_than_its_kernel_multiplies_is_refused(bits: int, found: int) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), "INT16"), units=1))
    (bias,) = (each for each in graph.tensors if each.type == "INT64")
    bias.data = (2**bits).to_bytes(8, "little")
    assert len(refusals(maker.build())) == found


def test_values_in_another_shape_pass_where_kernels_go_through_all_of_them() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    turned = graph.unary("RELU", graph.input((1, 5, 4)))
    graph.output(graph.unary("RELU", turned))
    graph.tensors[turned].shape = (1, 4, 5)
    assert not refusals(maker.build())


def test_a_filter_for_more_channels_than_its_input_has_is_refused() -> None:
    found = refusals(altered(convolution, 0, (1, 4, 4, 1)))
    assert "its 1 input channels are no multiple of the filter's 2" in found[0].reason


@pytest.mark.parametrize(
    ("option", "value"), [("depth_multiplier", 3), ("stride_h", 2), ("dilation_w_factor", 4)]
)
def test_options_that_do_not_belong_to_the_shapes_are_refused(option: str, value: int) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 8, 8, 2))
    graph.output(graph.depthwise_conv2d(source, multiplier=2, padding="VALID"))
    assert not refusals(maker.build())
    graph.steps[0].options = {**graph.steps[0].options, option: value}
    assert refusals(maker.build())[0].stage in ("wrong", "undefined")


def test_a_bias_of_another_type_is_refused() -> None:
    maker = made(convolution)
    bias = maker.graphs[0].tensors[3]
    bias.type, bias.data = "INT64", bytes(8 * 4)
    assert only(maker.build()) == (
        "wrong: CONV_2D: 'graph0/t3' is INT64, its kernel reads INT32"
    )  # fmt: skip


def test_what_nothing_depends_on_may_be_wrong() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4))
    graph.output(graph.unary("RELU", source))
    unused = graph.tanh(source)
    graph.tensors[unused].scales = (0.5,)
    assert not refusals(maker.build())
    graph.output(unused)
    assert only(maker.build()).startswith("wrong: TANH: 'graph0/t2' has the scale 0.5")


# Control flow and variables.


def test_a_branch_that_is_never_taken_may_be_wrong() -> None:
    for taken in (True, False):
        maker = ModelMaker()
        main_graph, yes, no = maker.graph(), maker.graph(), maker.graph()
        value = main_graph.input((1, 4))
        condition = main_graph.constant((1,), "BOOL", (taken,))
        result = main_graph.tensor((1, 4))
        options = {"then_subgraph_index": 1, "else_subgraph_index": 2}
        main_graph.operator("IF", (condition, value), (result,), options)
        main_graph.output(result)
        yes.output(yes.unary("RELU", yes.input((1, 4))))
        no.output(no.unary("RELU", no.input((1, 5))))
        found = refusals(maker.build())
        assert {each.stage for each in found} == (set() if taken else {"invoke"})


def variables(*, assigned: bool, read: tuple[int, ...]) -> bytes:
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 4))
    handle, stored = graph.tensor((), "RESOURCE"), graph.tensor(read)
    graph.operator("VAR_HANDLE", (), (handle,), {"container": "", "shared_name": "state"})
    graph.operator("READ_VARIABLE", (handle,), (stored,))
    if assigned:
        graph.operator("ASSIGN_VARIABLE", (handle, value), ())
    graph.output(stored)
    return maker.build()


def test_a_variable_that_nothing_assigns_is_refused() -> None:
    assert not refusals(variables(assigned=True, read=(1, 4)))
    assert only(variables(assigned=False, read=(1, 4))) == (
        "undefined: READ_VARIABLE: no ASSIGN_VARIABLE gives 'state' its memory, so that it has no"
        " values: assign it when the model starts"
    )


def test_a_variable_read_as_another_size_is_refused() -> None:
    assert only(variables(assigned=True, read=(1, 8))) == (
        "undefined: READ_VARIABLE: 'graph0/t2' has 8 bytes, the variable 'state' 4"
    )


# Outcomes that nothing defines (A subgraph that nothing calls: see test_arena.py).


def test_a_scratch_buffer_sized_by_an_unset_stride_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.depthwise_conv2d(graph.input((1, 1, 16, 1)), multiplier=4, kernel=(1, 3)))
    assert only(maker.build(), "m55_cmsisnn").startswith(
        "undefined: DEPTHWISE_CONV_2D: CMSIS-NN sizes its scratch buffer by a stride that TFLM has"
        " not set"
    )
    assert not refusals(maker.build(), "m4_cmsisnn")


def in_groups(kernel: tuple[int, int], **options: Any) -> Model:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(
        graph.conv2d(graph.input((1, 5, 5, 4)), filters=4, kernel=kernel, groups=2, **options)
    )
    return read_model(maker.build(), "model")


BEFORE = "which esp-nn before 1.2.3 ignores"
NOT_TOLD = "which esp-tflite-micro before 1.3.7 does not tell esp-nn"
IN_1X1 = "which esp-nn ignores for 1 x 1 filters"


@pytest.mark.parametrize(
    ("runtime", "release", "tflm", "kernel", "ignored"),
    [
        ("esp32_espnn", "1.2.2", "90b983c2", (3, 3), BEFORE),
        ("esp32_espnn", "1.0.0", "90b983c2", (1, 1), BEFORE),
        ("esp32_espnn", "1.2.3", "90b983c2", (3, 3), ""),
        ("esp32_espnn", "1.2.3", "cf8c42a1", (3, 3), ""),
        ("esp32_espnn", "1.2.3", "b8c7ecc1", (3, 3), NOT_TOLD),
        ("esp32_espnn", "1.2.3", "90b983c2", (1, 1), IN_1X1),
        ("esp32_espnn", "", "90b983c2", (3, 3), f"{BEFORE} (esp_nn says which release it is)"),
        ("esp32s3_espnn", "1.2.3", "90b983c2", (1, 1), ""),
        ("esp32s3_espnn", "1.1.2", "90b983c2", (3, 3), BEFORE),
        ("esp32s3_espnn", "", "90b983c2", (3, 3), BEFORE),
        ("esp32p4_espnn", "1.2.3", "90b983c2", (3, 3), ""),
        ("rv32imc_ref", "", "90b983c2", (3, 3), ""),
    ],
)
def test_channels_in_groups_that_esp_nn_ignores_come_out_wrong(
    runtime: str, release: str, tflm: str, kernel: tuple[int, int], ignored: str
) -> None:
    shipped = RUNTIMES[runtime]
    version = known("esp-nn").get(release, Version())
    firmware = replace(
        shipped,
        kernels=replace(shipped.kernels, version=version),
        tflm=replace(shipped.tflm, version=find_version("tflm", tflm)),
    )
    found = [(each.stage, each.reason) for each in simulate(in_groups(kernel), firmware).refusals]
    wrong = ("wrong", f"its 4 channels are in 2 groups, {ignored}")
    assert found == ([wrong] if ignored else [])


def test_channels_in_groups_that_esp_nn_leaves_to_tflm_are_right() -> None:
    runtime = RUNTIMES["esp32_espnn"]
    assert not simulate(in_groups((3, 3), dilation=(2, 2)), runtime).refusals
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 5, 5, 4), "INT16"), filters=4, groups=2))
    assert not simulate(read_model(maker.build(), "model"), runtime).refusals


def test_a_scratch_buffer_sized_by_an_axis_that_is_not_there_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.softmax(graph.input((16,))))
    assert only(maker.build(), "esp32_espnn").startswith(
        "undefined: SOFTMAX: esp-nn sizes its scratch buffer by the second axis of its input"
    )
    assert not refusals(maker.build(), "m4_ref")


# Random graphs, every second one damaged. All 2,000: python tests/damage_campaign.py.


def test_a_dimension_of_1_less_is_refused_where_shapes_broadcast() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 2, 4, 1))
    graph.output(graph.binary("SUB", source, doubled := graph.add(source, source)))
    assert not refusals(maker.build())
    graph.tensors[doubled].shape = (1, 2, 4)
    assert only(maker.build()) == (
        "wrong: SUB: 'graph0/t1' is [1, 2, 4] in the file, what computes it gives [1, 2, 4, 1]"
    )


@pytest.mark.parametrize(
    ("outputs", "ranges", "tells"),
    [
        ([(1.0, 2.0)], [(-1.0, 3.0), (1.0, 2.0)], True),
        ([(1.0, 1.0)], [(-1.0, 3.0), (1.0, 1.0)], False),
        ([(1.0, 2.0)], [(0.0, 0.0), (1.0, 2.0)], False),
    ],
    ids=["values differ", "one output is constant", "a tensor on the way is constant"],
)
def test_a_run_tells_of_misread_values_only_where_all_tensors_have_several(
    outputs: list[tuple[float, ...]], ranges: list[tuple[float, float]], tells: bool
) -> None:
    run = Run("ok", outputs=tuple(outputs), ranges=tuple(ranges))
    assert telling([(run, run)]) is tells


def test_random_graphs_are_refused_where_the_runtime_fails_and_nowhere_else() -> None:
    pytest.importorskip("tflite_micro")
    pytest.importorskip("ai_edge_litert")
    cases = list(campaign(120, 1))
    assert [(case.number, case.damage, case.finding) for case in cases if case.finding] == []
    # Both halves are there, and either answer in each: else the test tells nothing.
    damaged = [case for case in cases if case.damage]
    assert len(damaged) == 60
    assert 10 < sum(bool(case.refused) for case in damaged) < 50
    assert sum(case.micro == "ok" for case in cases) > 60


# As users see it.


def sparse_project(folder: Path) -> Path:
    table, tensors, _ = tables()
    tensors[1].values["sparsity"] = Table("Buffer", {})
    (folder / "kws.tflite").write_bytes(write(table))
    declaration = folder / "tinybudget.toml"
    declaration.write_text(
        'schema = 1\n[models.kws]\nsource = "kws.tflite"\nboards = ["raspberry-pi-pico"]\n',
        encoding="utf-8",
    )
    return declaration


def test_a_pair_is_refused_with_its_code_in_every_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results.json"
    declaration = sparse_project(tmp_path)
    assert main(["check", str(declaration), "--json", str(results)]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "TFLM would compute wrong results without an error: CONV_2D #0" in text
    assert "convert it without sparsity" in text
    (pair,) = json.loads(results.read_text("utf-8"))["pairs"]
    assert pair["outcome"] == "refused"
    assert pair["codes"] == ["TB011"]
    assert [each["stage"] for each in pair["refusals"]] == ["wrong"]


def test_inspect_says_that_the_model_runs_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sparse_project(tmp_path)
    main(["inspect", str(tmp_path / "kws.tflite")])
    assert "TFLM would run this model wrongly" in capsys.readouterr().out


def test_a_module_that_runs_no_tflm_takes_what_tflm_misreads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declaration = sparse_project(tmp_path)
    declaration.write_text(
        'schema = 1\n[boards.nano]\naccelerator = "jetson-nano"\n'
        '[models.kws]\nsource = "kws.tflite"\nboards = ["nano"]\n',
        encoding="utf-8",
    )
    assert main(["check", str(declaration)]) == 0
    assert "TFLM would" not in capsys.readouterr().out
