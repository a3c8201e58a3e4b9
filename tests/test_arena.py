"""The arena simulation: against measured devices where these are at hand, rule by rule here."""

from __future__ import annotations

import json
import os
import re
import struct
from collections.abc import Callable
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from campaigns import rare
from hypothesis import HealthCheck
from hypothesis import given
from hypothesis import settings
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace
from pace import soon
from random_models import models

from pytest_tinybudget.footprint.allocator import Event
from pytest_tinybudget.footprint.allocator import Memory
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.arena import simulate_multitenant
from pytest_tinybudget.footprint.operators.esp_nn import conv_scratch
from pytest_tinybudget.footprint.operators.esp_nn import depthwise_scratch
from pytest_tinybudget.footprint.operators.esp_nn import runs
from pytest_tinybudget.footprint.operators.geometry import Geometry
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.abi import ARM
from pytest_tinybudget.runtimes.abi import ILP32
from pytest_tinybudget.runtimes.abi import X86_64
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import OperatorCost
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tflm import TFLM_COMMIT
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.runtimes.versions import known


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))
TRUTH = SHARED / "tflm" / "truth"
VARIANTS = sorted(path.stem.removeprefix("arena_") for path in TRUTH.glob("arena_*.jsonl"))

needs_truth = pytest.mark.skipif(not VARIANTS, reason="the measurements are not at hand")
by_variant = pytest.mark.parametrize(
    "variant", VARIANTS or [pytest.param("", marks=pytest.mark.skip("no measurements"))]
)


@cache
def shared_model(name: str) -> Model | None:
    path = SHARED / "models" / f"{name}.tflite"
    return load_model(path) if path.is_file() else None


def measurements(kind: str, variant: str) -> Iterator[tuple[Model, dict[str, Any]]]:
    """The models that there are, each with its line of a truth file."""
    with (TRUTH / f"{kind}_{variant}.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            model = shared_model(record.get("model", "").removesuffix(".tflite"))
            if model is not None:
                yield model, record


def simulated(maker: ModelMaker, runtime: str = "m4_ref") -> Simulation:
    return simulate(read_model(maker.build(), "model"), RUNTIMES[runtime])


def arena_of(maker: ModelMaker, runtime: str = "m4_ref") -> Arena:
    simulation = simulated(maker, runtime)
    assert not simulation.refusals
    assert simulation.arena is not None
    return simulation.arena


def new_graph() -> tuple[ModelMaker, Graph]:
    maker = ModelMaker()
    return maker, maker.graph()


# Against devices.


@by_variant
def test_arena_is_the_devices_to_the_byte(variant: str) -> None:
    differences = []
    for model, record in measurements("arena", variant):
        arena = simulate(model, RUNTIMES[variant]).arena
        predicted = {
            "arena_used": arena.used, "min_arena16": arena.required,
            "head": arena.head, "tail": arena.tail,
        } if arena else {}  # fmt: skip
        measured = {key: record[key] for key in predicted if record.get(key) is not None}
        if measured != {key: predicted[key] for key in measured}:
            differences.append((model.name, predicted, measured))
        if record["status"] == "ok" and not measured:
            differences.append((model.name, "nothing predicted", record["arena_used"]))
    assert differences == []


@by_variant
def test_what_the_device_refuses_is_refused(variant: str) -> None:
    differences = []
    for model, record in measurements("arena", variant):
        stages = {refusal.stage for refusal in simulate(model, RUNTIMES[variant]).refusals}
        status = "ok" if not stages else "Invoke failed"
        if stages - {"invoke"}:
            status = "AllocateTensors failed"
        if status != record["status"]:
            differences.append((model.name, status, record["status"]))
    assert differences == []


@by_variant
def test_every_allocation_comes_in_the_devices_order(variant: str) -> None:
    differences = []
    for model, record in measurements("trace", variant):
        events: list[Event] = []
        arena = simulate(model, RUNTIMES[variant], trace=events).arena
        if requests_of(events) != measured_requests(record["ev"]):
            differences.append((model.name, "requests"))
        if arena and [[buffer.bytes, buffer.first, buffer.last] for buffer in arena.buffers] != [
            event[1:4] for event in record["ev"] if event[0] == "L"
        ]:
            differences.append((model.name, "lifetimes"))
        if arena and [buffer.offset for buffer in arena.buffers] != [
            event[2] for event in record["ev"] if event[0] == "O"
        ]:
            differences.append((model.name, "offsets"))
    assert differences == []


def requests_of(events: list[Event]) -> list[list[Any]]:
    """Kind, size and alignment; the device's trace starts after the first two structs."""
    return [list(event[:3]) for event in events if event[0] in "PTR"][2:]


def measured_requests(events: list[list[Any]]) -> list[list[Any]]:
    """The same of a device's trace, without the planner's own room (all that is left)."""
    return [
        event[:3] for event in events if event[0] in "PR" or (event[0] == "T" and event[2] < 16)
    ]


@by_variant
def test_recorded_categories_are_the_devices(variant: str) -> None:
    runtime = built(RUNTIMES[variant], recording_allocator=True)
    differences = []
    for model, record in measurements("arena", variant):
        arena = simulate(model, runtime).arena
        if "recording" not in record or arena is None:
            continue
        measured = {name: entry["used"] for name, entry in record["recording"].items()}
        if arena.recorded != measured:
            differences.append((model.name, arena.recorded, measured))
    assert differences == []


# Structs.


@pytest.mark.parametrize(
    ("layout", "arm", "ilp32", "x86_64"),
    [
        pytest.param("(ep) (2i) 3p 2e b", 32, 40, 64, id="TfLiteTensor"),
        pytest.param("2p e", 12, 12, 24, id="TfLiteEvalTensor"),
        pytest.param("(6p i) p", 32, 32, 64, id="NodeAndRegistration"),
        pytest.param("2e2be", 5, 16, 16, id="TfLiteFullyConnectedParams"),
        pytest.param("e4ie4i", 40, 40, 40, id="TfLitePoolParams"),
        pytest.param("e2i2e", 16, 20, 20, id="TfLiteTransposeConvParams"),
        pytest.param("qi", 16, 16, 16, id="a double before an int"),
        pytest.param("", 0, 0, 0, id="empty"),
    ],
)
def test_struct_sizes_follow_the_abi(layout: str, arm: int, ilp32: int, x86_64: int) -> None:
    assert [abi.size_of(layout) for abi in (ARM, ILP32, X86_64)] == [arm, ilp32, x86_64]


@pytest.mark.parametrize(
    ("abi", "layout", "alignment"), [(ARM, "2e2be", 1), (ILP32, "2e2be", 4), (X86_64, "bp", 8)]
)
def test_struct_alignment_follows_the_abi(abi: Abi, layout: str, alignment: int) -> None:
    assert abi.align_of(layout) == alignment


# What devices took, of models that are made here.


def one_operator() -> ModelMaker:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 7, 5, 6))))
    return maker


def nine_operators() -> ModelMaker:
    maker, graph = new_graph()
    hidden = graph.tanh(graph.input((1, 16, 10, 1)))
    for _ in range(2):
        hidden = graph.depthwise_conv2d(hidden, stride=(2, 2), activation="RELU6")
    wide = graph.conv2d(hidden, filters=4, kernel=(1, 1), per_channel=True)
    hidden = graph.concat([hidden, wide])
    hidden = graph.pool(
        hidden, kind="AVERAGE_POOL_2D", kernel=(3, 3), stride=(3, 3), padding="SAME"
    )
    hidden = graph.dense(graph.reshape(hidden, (1, 10)), units=10, per_channel=True)
    graph.output(graph.softmax(hidden))
    return maker


@pytest.mark.parametrize(
    ("make", "runtime", "used", "required", "persistent"),
    [
        (one_operator, "m0plus_cmsisnn", 788, 800, 56),
        (one_operator, "m4_cmsisnn", 788, 800, 56),
        (one_operator, "m4_ref", 788, 800, 56),
        (one_operator, "rv32imc_ref", 796, 800, 48),
        (nine_operators, "m0plus_cmsisnn", 1908, 2464, 664),
        (nine_operators, "m4_cmsisnn", 1908, 2560, 660),
        (nine_operators, "m4_ref", 1860, 2416, 616),
        (nine_operators, "rv32imc_ref", 1884, 2432, 600),
    ],
)
def test_small_models_take_what_devices_took(
    make: Callable[[], ModelMaker], runtime: str, used: int, required: int, persistent: int
) -> None:
    """Measured: TFLM's ``arena_used_bytes()``, the smallest arena that works, and what it records.

    A converted model of the same shapes ran on the device; with 16 bytes less it did not.
    """
    arena = arena_of(make(), runtime)
    assert (arena.used, arena.required) == (used, required)
    profiled = built(RUNTIMES[runtime], recording_allocator=True)
    recorded = simulate(read_model(make().build(), "model"), profiled).arena
    assert recorded is not None
    assert recorded.recorded["persistent_buffer"] == persistent


# What the interpreter asks for, by sizes of TFLM's structs on ARM.


def requests_for(maker: ModelMaker, runtime: Runtime) -> list[tuple[str, int, int]]:
    """Kind, size and alignment of every request."""
    events: list[Event] = []
    simulate(read_model(maker.build(), "model"), runtime, trace=events)
    return [(kind, size, alignment) for kind, size, alignment, _ in events]


def three_subgraphs() -> ModelMaker:
    """Two convolutions, one with three scales; two subgraphs that nothing calls."""
    maker, graph = new_graph()
    for scale in (1 / 32, (1 / 32, 1 / 32, 1 / 32)):
        source = graph.input((1, 8, 8, 3), scale=scale)
        graph.output(graph.conv2d(source, filters=8))
    for _ in range(2):
        called = maker.graph()
        called.output(called.logistic(called.input((1, 4))))
    return maker


@pytest.mark.parametrize(("compression", "subgraph"), [(False, 2 * 4), (True, 3 * 4)])
def test_lists_have_room_for_every_subgraph_tensor_and_operator(
    compression: bool, subgraph: int
) -> None:
    runtime = built(RUNTIMES["m4_ref"], compression=compression)
    requests = requests_for(three_subgraphs(), runtime)
    assert requests[3:12] == [
        ("P", 8, 4),  # the allocator of parsed options
        ("R", 12 * 12, 4),  # scratch buffers that one operator may ask for
        ("P", 3 * subgraph, 4),
        *(("P", tensors * 12, 4) for tensors in (8, 2, 2)),
        *(("P", operators * 32, 4) for operators in (2, 1, 1)),
    ]


def test_planning_and_the_models_tensors_come_last() -> None:
    requests = requests_for(three_subgraphs(), RUNTIMES["m4_cmsisnn"])
    planned = requests.index(("R", 0, 1))
    assert requests[planned - 4 : planned] == [
        ("P", 2 * 4, 4),  # handles of scratch buffers
        ("T", 3 * 4, 4),  # a pointer each subgraph
        ("T", (12 + 2) * 24, 4),  # tensors and scratch buffers
        ("X", 0, 1),
    ]
    tensors = [
        ("P", 2 * 4, 16),  # pointers to two
        *(("P", 32, 4), ("P", 12, 4), ("P", 4 + 4, 4)),
        *(("P", 32, 4), ("P", 12, 4), ("P", 4 + 3 * 4, 4)),  # three zero points
    ]
    assert requests[planned + 2 :] == [*tensors, *tensors]  # inputs and outputs


def test_a_runtime_may_parse_an_operator_into_a_larger_struct() -> None:
    maker, graph = new_graph()
    graph.output(graph.softmax(graph.dense(graph.input((1, 8)), units=4)))
    runtime = RUNTIMES["m4_ref"]
    ours = requests_for(maker, runtime)
    version = Version(TFLM_COMMIT, layouts=(("FULLY_CONNECTED parameters", "2e2be2p"),))
    later = requests_for(maker, built(runtime, version=version))
    assert [pair for pair in zip(ours, later, strict=True) if pair[0] != pair[1]] == [
        (("P", 5, 1), ("P", 16, 4))
    ]


def stored_twice() -> ModelMaker:
    """Two variables: one is assigned and read, the other read."""
    maker, graph = new_graph()
    value = graph.input((1, 4))
    for name in ("kept", "kept", "other"):
        handle = graph.tensor((), "RESOURCE", name=f"handle of {name}")
        graph.operator("VAR_HANDLE", (), (handle,), {"container": "", "shared_name": name})
        if not any(step.name == "ASSIGN_VARIABLE" for step in graph.steps):
            graph.operator("ASSIGN_VARIABLE", (handle, value), ())
        else:
            stored = graph.tensor((1, 4))
            graph.operator("READ_VARIABLE", (handle,), (stored,))
            value = graph.add(value, stored)
    graph.output(value)
    return maker


def test_variables_that_share_the_arena_take_a_slot_each_name() -> None:
    runtime = RUNTIMES["m4_ref"]
    apart = requests_for(stored_twice(), runtime)
    shared = requests_for(stored_twice(), built(runtime, variables_in_arena=True))
    assert shared == [*apart[:3], ("P", 12, 16), ("P", 2 * 20, 16), *apart[3:]]
    none = requests_for(one_operator(), built(runtime, variables_in_arena=True))
    assert none == requests_for(one_operator(), runtime)


def test_handles_of_variables_are_not_planned_and_an_assignment_has_no_output() -> None:
    simulation = simulated(stored_twice())
    assert simulation.arena is not None
    assert not [each for each in simulation.arena.buffers if each.owner.startswith("handle")]
    assert simulation.layers[1].operator == "ASSIGN_VARIABLE"
    assigned = simulation.layers[1]
    assert (assigned.name, assigned.output_type, assigned.output_shape) == ("", "", ())


# The smallest arena that works.


def test_the_arena_can_be_decided_by_what_is_used() -> None:
    maker, graph = new_graph()
    graph.output(graph.conv2d(graph.input((1, 32, 32, 3)), filters=8))
    arena = arena_of(maker)
    assert (arena.decided_by, arena.required) == ("used", -(-arena.used // 16) * 16)


def test_small_models_need_more_room_for_planning_than_for_running() -> None:
    maker, graph = new_graph()
    tensor = graph.input((1, 4))
    for _ in range(6):
        tensor = graph.logistic(tensor)
    graph.output(tensor)
    arena = arena_of(maker)
    assert arena.decided_by == "planning"
    assert arena.required > arena.used


def test_many_channels_per_channel_need_room_while_a_convolution_is_prepared() -> None:
    """Measured: 21280 works on the device, 21264 fails; arena_used_bytes() says 9668."""
    maker, graph = new_graph()
    graph.output(graph.conv2d(graph.input((1, 1, 1, 8)), filters=1024, kernel=(1, 1)))
    arena = arena_of(maker, "m4_cmsisnn")
    assert (arena.used, arena.required) == (9668, 21280)
    assert arena.decided_by == "preparing CONV_2D #0"


def test_a_dense_autoencoder_per_channel_needs_more_than_it_uses() -> None:
    maker, graph = new_graph()
    tensor = graph.input((1, 640))
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128, 640):
        tensor = graph.dense(tensor, units=units, per_channel=True)
    graph.output(tensor)
    arena = arena_of(maker, "m4_cmsisnn")
    assert (arena.used, arena.required) == (15956, 20512)


def test_the_tail_may_grow_into_temporaries_as_far_as_they_are_spare() -> None:
    memory = Memory()
    memory.temporary(40, 4, spare=12)
    memory.persistent(100, 4)
    assert memory.needed == 40 - 12 + 100
    memory.temporary(8, 4)
    assert memory.needed == 40 + 8 + 100


def test_a_trace_has_every_step_with_its_place() -> None:
    events: list[Event] = []
    memory = Memory(events)
    memory.persistent(10, 4)
    memory.temporary(5, 1)
    memory.temporary(8, 4)
    memory.reset_temporaries()
    memory.commit_plan(64)
    memory.temporary(8, 4)
    assert events == [
        ("P", 10, 4, 12),
        ("T", 5, 1, 0),
        ("T", 8, 4, 8),
        ("X", 0, 1, 0),
        ("R", 64, 16, 64),
        ("T", 8, 4, 64),
    ]


def test_released_temporaries_leave_the_head_and_nothing_to_spare() -> None:
    memory = Memory()
    memory.commit_plan(64)
    memory.temporary(40, 4, spare=12)
    memory.reset_temporaries()
    memory.persistent(100, 4)
    assert memory.needed == 64 + 100
    memory.temporary(8, 4)
    memory.persistent(4, 4)
    assert memory.needed == 64 + 8 + 104


def test_memory_starts_empty_and_counts_each_reservation_once() -> None:
    memory = Memory()
    assert (memory.needed, memory.decided_by, set(memory.recorded.values())) == (0, "", {0})
    assert [memory.persistent(10, 4), memory.persistent(3, 4)] == [12, 4]
    assert memory.needed == 16
    memory.resize_head(64, 16)
    assert memory.needed == 64 + 16


def test_the_first_of_two_stages_that_need_as_much_decides() -> None:
    memory = Memory()
    for memory.stage in ("planning", "used"):
        memory.need(64)
    assert memory.decided_by == "planning"


# Several models that share an allocator.


@needs_truth
@pytest.mark.parametrize(
    ("first", "second", "used", "required"),
    [
        ("hello_world_int8", "person_detect", 82932, 82944),
        ("person_detect", "mww_alexa", 94708, 94720),
        ("mww_okay_nabu", "hello_world_int8", 20996, 22288),
        ("mww_okay_nabu", "mww_alexa", 34628, 34640),
        ("mww_alexa", "mww_okay_nabu", 34628, 34688),
        ("trained_lstm_int8", "mww_okay_nabu", 22820, 24736),
        ("keyword_scrambled_8bit", "mww_okay_nabu", 27796, 29712),
        ("gen_net01_i8", "keyword_scrambled_8bit", 9684, 12032),
    ],
)
def test_an_allocator_for_two_models_takes_what_the_device_needs(
    first: str, second: str, used: int, required: int
) -> None:
    """Measured on a Cortex-M4: both interpreters run; with 16 bytes less they do not."""
    models = [model for name in (first, second) if (model := shared_model(name))]
    if len(models) < 2:
        pytest.skip("the models are not at hand")
    arena = simulate_multitenant(models, RUNTIMES["m4_cmsisnn"])
    assert arena is not None
    assert (arena.used, arena.required) == (used, required)


def test_models_on_one_allocator_add_their_tails_and_share_the_head() -> None:
    models = []
    for side in (16, 32):
        maker, graph = new_graph()
        graph.output(graph.conv2d(graph.input((1, side, side, 3)), filters=8))
        models.append(read_model(maker.build(), "model"))
    small, large = (simulate(model, RUNTIMES["m4_ref"]).arena for model in models)
    assert small is not None
    assert large is not None
    for order in (models, models[::-1]):
        both = simulate_multitenant(order, RUNTIMES["m4_ref"])
        assert both is not None
        assert both.head == large.head
        saved = small.tail + large.tail - both.tail
        assert 0 <= 36 + 44 + 36 - saved < 16  # the allocator's structs are there once
        assert both.buffers == large.buffers
        assert (both.peak_time, both.optimum_head) == (large.peak_time, large.optimum_head)


def test_an_allocator_for_one_model_is_its_arena() -> None:
    maker, graph = new_graph()
    graph.output(graph.conv2d(graph.input((1, 8, 8, 3)), filters=8))
    model = read_model(maker.build(), "model")
    assert simulate_multitenant([model], RUNTIMES["m4_ref"]) == arena_of(maker, "m4_ref")


def test_an_allocator_takes_what_operators_are_stated_to_cost() -> None:
    costs, runtime = {"MyOp": OperatorCost(persistent=64, scratch=200)}, RUNTIMES["m4_ref"]
    alone = simulate(custom_model(), Firmware(runtime).with_costs(costs)).arena
    assert simulate_multitenant([custom_model()], Firmware(runtime).with_costs(costs)) == alone


# Scratch buffers: reference, CMSIS-NN on M0+, M4 and M55, bytes.

RUNTIMES_WITH_SCRATCH = ("m4_ref", "m0plus_cmsisnn", "m4_cmsisnn", "m55_cmsisnn")


def conv(graph: Graph, type_: str, shape: tuple[int, ...], **options: Any) -> int:
    return graph.conv2d(graph.input(shape, type_), filters=8, **options)


def depthwise(graph: Graph, type_: str, shape: tuple[int, ...], **options: Any) -> int:
    return graph.depthwise_conv2d(graph.input(shape, type_), **options)


def pool(graph: Graph, type_: str, shape: tuple[int, ...], **options: Any) -> int:
    return graph.pool(graph.input(shape, type_), **options)


def dense(graph: Graph, type_: str, shape: tuple[int, ...], **options: Any) -> int:
    return graph.dense(graph.input(shape, type_), units=6, **options)


@pytest.mark.parametrize(
    ("layer", "type_", "shape", "options", "scratch"),
    [
        pytest.param(conv, "INT8", (1, 8, 8, 3), {}, (0, 112, 112, 128), id="conv int8"),
        pytest.param(conv, "INT16", (1, 8, 8, 3), {}, (0, 108, 108, 256), id="conv int16"),
        pytest.param(conv, "FLOAT32", (1, 8, 8, 3), {}, (0, 0, 0, 0), id="conv float"),
        pytest.param(
            conv, "INT8", (1, 8, 8, 3), {"kernel": (1, 1), "stride": (2, 2)}, (0, 0, 0, 0),
            id="conv 1x1",
        ),
        pytest.param(
            conv, "INT8", (1, 8, 8, 3), {"kernel": (1, 1), "dilation": (2, 2)}, (0, 16, 16, 64),
            id="conv 1x1 dilated",
        ),
        pytest.param(
            conv, "INT8", (1, 1, 16, 4), {"kernel": (1, 3)}, (0, 48, 48, 16), id="conv 1xN"
        ),
        pytest.param(
            conv, "INT8", (1, 8, 8, 3), {"weights_type": "INT4"}, (216, 112, 112, 128),
            id="conv int4",
        ),
        pytest.param(depthwise, "INT8", (1, 8, 8, 8), {}, (0, 0, 0, 4464), id="depthwise 3x3"),
        pytest.param(
            depthwise, "INT8", (1, 8, 8, 8), {"kernel": (5, 5)}, (0, 0, 400, 12400),
            id="depthwise 5x5",
        ),
        pytest.param(
            depthwise, "INT8", (2, 8, 8, 8), {"kernel": (5, 5)}, (0, 0, 0, 0),
            id="depthwise of a batch",
        ),
        pytest.param(
            pool, "INT8", (1, 8, 8, 8), {"kind": "AVERAGE_POOL_2D"}, (0, 0, 32, 0),
            id="average pool",
        ),
        pytest.param(
            pool, "INT8", (1, 8, 8, 8), {"kind": "MAX_POOL_2D"}, (0, 0, 0, 0), id="max pool"
        ),
        pytest.param(dense, "INT8", (1, 16), {}, (0, 0, 0, 0), id="dense"),
        pytest.param(
            dense, "INT8", (1, 3, 16), {"keep_num_dims": True}, (0, 48, 48, 48), id="dense rank 3"
        ),
        pytest.param(
            dense, "INT8", (1, 3, 16), {"keep_num_dims": True, "per_channel": True}, (0, 0, 0, 0),
            id="dense rank 3 per channel",
        ),
    ],
)  # fmt: skip
def test_scratch_buffers_follow_the_kernel_library(
    layer: Callable[..., int],
    type_: str,
    shape: tuple[int, ...],
    options: dict[str, Any],
    scratch: tuple[int, ...],
) -> None:
    maker, graph = new_graph()
    graph.output(layer(graph, type_, shape, **options))
    found = []
    for runtime in RUNTIMES_WITH_SCRATCH:
        simulation = simulated(maker, runtime)
        assert not simulation.refusals
        found.append(simulation.layers[0].scratch_bytes)
    assert tuple(found) == scratch


@needs_truth
@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("person_detect", 82_300),
        ("mlperf_kws_int8", 22_780),
        ("mlperf_resnet_int8", 54_364),
        ("mlperf_ad01_int8", 2_380),
    ],
)
def test_esp_nn_in_plain_c_takes_what_was_published_from_an_esp32(name: str, used: int) -> None:
    """mcufit-bench, ESP32 at 240 MHz with esp-nn (August 2026)."""
    model = shared_model(name)
    assert model is not None
    simulation = simulate(model, RUNTIMES["esp32_espnn"])
    assert simulation.arena is not None
    assert (simulation.arena.used, simulation.unknown) == (used, ())


def built(runtime: Runtime, **how: Any) -> Runtime:
    """``runtime`` with another version or build of TFLM."""
    return replace(runtime, tflm=replace(runtime.tflm, **how))


def with_release(runtime: str, release: str) -> Runtime:
    """A runtime of ``RUNTIMES`` with one release of its kernel library."""
    shipped = RUNTIMES[runtime]
    return replace(shipped, kernels=replace(shipped.kernels, version=Version(release)))


def convolutions() -> Model:
    maker, graph = new_graph()
    hidden = graph.conv2d(graph.input((1, 16, 16, 8)), filters=16)
    graph.output(graph.depthwise_conv2d(hidden))
    return read_model(maker.build(), "model")


@pytest.mark.parametrize(
    ("unit", "release", "conv", "depthwise"),
    [
        # 18 x 18 x 8 padded input, 9 x 16 x 16 weights, 4 x 16 sums, and 32 spare
        ("esp32s3", "1.1.2", 2592 + 2304 + 64 + 32, 9 * 16 + 18 * 18 * 16 + 16),
        ("esp32s3", "1.2.0", 2592 + 2304 + 64 + 32, 9 * 16 + 18 * 18 * 16 + 16),
        # rows of weights once more (32 x 3 x 16), and 18 x 18 x 8 that windows reach
        ("esp32s3", "1.2.2", 2592 + 2304 + 1536 + 2592 + 32 + 64, 9 * 16 + 18 * 18 * 16 + 16),
        ("esp32s3", "1.2.3", 2592 + 2304 + 1536 + 2592 + 64 + 64, 9 * 16 + 18 * 18 * 16 + 16),
        ("esp32p4", "1.2.2", 2592 + 2304 + 64 + 32, 0),
        ("esp32p4", "1.2.3", 9 * 8 + 64 + 32, 0),  # a window at a time
    ],
)
def test_scratch_on_a_vector_unit_is_that_of_the_release_of_esp_nn(
    unit: str, release: str, conv: int, depthwise: int
) -> None:
    simulation = simulate(convolutions(), with_release(f"{unit}_espnn", release))
    assert [layer.scratch_bytes for layer in simulation.layers] == [conv, depthwise]
    assert (simulation.unknown, simulation.least) == ((), None)


@pytest.mark.parametrize("runtime", ["esp32s3_espnn", "esp32p4_espnn"])
def test_an_unknown_release_of_esp_nn_counts_as_the_one_that_needs_most(runtime: str) -> None:
    model, unit = convolutions(), RUNTIMES[runtime].kernels.vectors
    arenas = {
        run: simulate(model, with_release(runtime, release)).arena
        for release, run in runs(unit).items()
    }
    sizes = {run: arena.required for run, arena in arenas.items() if arena is not None}
    simulation = simulate(model, RUNTIMES[runtime])
    assert simulation.arena in arenas.values()
    assert simulation.arena is not None
    assert simulation.least is not None
    assert simulation.arena.required == max(sizes.values())
    assert simulation.least.required == min(sizes.values())
    (line,) = simulation.unknown
    most, least = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    first = most.partition(" ")[0]  # later runs of the same size are named with it
    counted, other = line.split("; ")
    oldest, newest = ("1.0.0-rc1" if unit == "esp32s3" else "1.1.0"), "1.2.3"
    asks = f"asks for most of {oldest} to {newest}"
    assert re.fullmatch(rf"arena: esp-nn {first}.* {asks}, {sizes[most]:,} B", counted)
    assert re.fullmatch(rf"esp-nn {least.partition(' ')[0]}.* for {sizes[least]:,} B", other)


def on_the_s3(**kernels: Any) -> Runtime:
    """The ESP32-S3's runtime, with this known of its kernel library."""
    shipped = RUNTIMES["esp32s3_espnn"]
    return replace(shipped, kernels=replace(shipped.kernels, **kernels))


def test_the_releases_that_are_allowed_alone_count_and_are_named() -> None:
    maker, graph = new_graph()
    graph.output(graph.conv2d(graph.input((1, 49, 10, 1)), filters=64, kernel=(10, 4)))
    model = read_model(maker.build(), "model")
    old, new = (
        simulate(model, with_release("esp32s3_espnn", release)).arena
        for release in ("1.1.1", "1.2.3")
    )
    assert old is not None
    assert new is not None
    assert old.required > new.required
    allowed = simulate(model, on_the_s3(releases=("1.1.1", "1.2.0", "1.2.3")))
    assert (allowed.arena, allowed.least) == (old, new)
    (line,) = allowed.unknown
    assert line == (
        "arena: esp-nn 1.1.1 to 1.2.0 asks for most of 1.1.1 to 1.2.3,"
        f" {old.required:,} B; esp-nn 1.2.3 for {new.required:,} B"
    )
    pinned = simulate(model, on_the_s3(releases=("1.2.3",)))
    assert (pinned.arena, pinned.unknown) == (new, ())


def test_a_release_that_is_not_known_counts_as_the_hungriest_that_is() -> None:
    unnamed = simulate(convolutions(), RUNTIMES["esp32s3_espnn"])
    newer = simulate(convolutions(), with_release("esp32s3_espnn", "1.4.0"))
    assert (newer.arena, newer.least) == (unnamed.arena, unnamed.least)
    (line,) = newer.unknown
    assert line == f"{unnamed.unknown[0]}; esp-nn 1.4.0 is not known and may need more"


def test_releases_that_ask_for_and_compute_the_same_are_one_run() -> None:
    assert tuple(runs("esp32s3").values()) == (
        "1.0.0-rc1 to 1.1.2", "1.2.0", "1.2.1 to 1.2.2", "1.2.3",
    )  # fmt: skip
    assert tuple(runs("esp32p4").values()) == ("1.1.0 to 1.1.1", "1.1.2 to 1.2.2", "1.2.3")
    assert runs("esp32s3", ("1.2.1", "1.1.2", "1.1.0")) == {
        "1.1.2": "1.1.0 to 1.1.2", "1.2.1": "1.2.1",
    }  # fmt: skip


def test_scratch_is_what_esp_nn_s_own_functions_return_in_every_release() -> None:
    content = (Path(__file__).parent / "data" / "esp_nn_scratch.json").read_text("utf-8")
    measured = json.loads(content)
    wrong = []
    for layer in measured["layers"]:
        geometry = Geometry(
            1, *layer["input"], *layer["filter"], layer["input"][2], *layer["output"],
            *layer["stride"], 1, 1, *layer["padding"],
        )  # fmt: skip
        for unit, sizes in layer["bytes"].items():
            for release, size in zip(measured["releases"], sizes, strict=True):
                if layer["operator"] == "CONV_2D":
                    found = conv_scratch(unit, release, geometry)
                else:
                    found = depthwise_scratch(unit, release, geometry, layer["multiplier"])
                if found != size:
                    wrong.append((layer, unit, release, found))
    assert len(measured["layers"]) == 160
    assert set(measured["releases"]) == set(known("esp-nn"))
    assert not wrong


def test_a_model_that_asks_the_same_of_every_known_release_still_says_what_was_counted() -> None:
    maker, graph = new_graph()
    graph.output(graph.conv2d(graph.input((1, 4, 4, 16)), filters=4, kernel=(1, 1)))
    simulation = simulate(read_model(maker.build(), "model"), RUNTIMES["esp32p4_espnn"])
    assert simulation.arena is not None
    assert simulation.least == simulation.arena
    assert simulation.unknown == (
        (
            "arena: counted for esp-nn 1.1.0 to 1.2.3,"
            f" {simulation.arena.required:,} B; others may need more"
        ),
    )


def test_a_model_without_convolutions_depends_on_no_release_of_esp_nn() -> None:
    maker, graph = new_graph()
    graph.output(graph.softmax(graph.dense(graph.input((1, 8)), units=4)))
    for runtime in ("esp32s3_espnn", "esp32p4_espnn"):
        simulation = simulated(maker, runtime)
        assert simulation.unknown == ()
        assert simulation.arena == arena_of(maker, "esp32_espnn")


def test_models_that_share_an_allocator_take_what_the_hungriest_release_needs() -> None:
    models = [convolutions(), convolutions()]
    sizes = [
        arena.required
        for release in runs("esp32s3")
        if (arena := simulate_multitenant(models, with_release("esp32s3_espnn", release)))
    ]
    arena = simulate_multitenant(models, RUNTIMES["esp32s3_espnn"])
    assert arena is not None
    assert len(sizes) == len(runs("esp32s3"))
    assert arena.required == max(sizes) > min(sizes)


@needs_truth
def test_arenas_on_the_esp32s3_are_those_of_every_release_of_esp_nn() -> None:
    rows = json.loads((SHARED / "tflm" / "espnn" / "s3_arena_by_version.json").read_text("utf-8"))
    measured = {"1.0.0-1.1.2": "1.0.2", "1.2.0": "1.2.0", "1.2.3": "1.2.3"}
    wrong = []
    for row in rows:
        model = shared_model(row["model"])
        assert model is not None
        for run, required in row["versions"].items():
            arena = simulate(model, with_release("esp32s3_espnn", measured[run])).arena
            if arena is None or arena.required != required:
                wrong.append((row["model"], run, required, arena and arena.required))
    assert rows
    assert not wrong


def test_dense_weights_are_summed_into_the_tail_on_mve() -> None:
    maker, graph = new_graph()
    graph.output(graph.dense(graph.input((1, 16)), units=64))
    without, with_mve = (
        simulated(maker, runtime).layers[0].persistent_bytes
        for runtime in ("m4_cmsisnn", "m55_cmsisnn")
    )
    assert with_mve - without == 4 * 64


# Lifetimes and plans.


def test_head_and_tail_make_up_what_is_used() -> None:
    maker, graph = new_graph()
    graph.output(graph.softmax(graph.dense(graph.input((1, 8)), units=4)))
    arena = arena_of(maker)
    assert arena.head + arena.tail == arena.used


def test_the_peak_is_a_time_at_which_the_head_is_full() -> None:
    maker, graph = new_graph()
    wide = graph.conv2d(graph.input((1, 8, 8, 2)), filters=16)
    graph.output(graph.conv2d(wide, filters=2))
    arena = arena_of(maker)
    full = [buffer for buffer in arena.buffers if buffer.offset + buffer.bytes == arena.head]
    assert any(buffer.first <= arena.peak_time <= buffer.last for buffer in full)
    alive = [buffer for buffer in arena.buffers if buffer.first <= arena.peak_time <= buffer.last]
    assert sum(buffer.bytes for buffer in alive) <= arena.optimum_head <= arena.head


@pytest.mark.parametrize(("filters", "peak", "bytes_"), [(1, 1, 1152), (2, 1, 1152), (4, 2, 1280)])
def test_the_peak_is_the_first_of_the_fullest_times(filters: int, peak: int, bytes_: int) -> None:
    maker, graph = new_graph()
    wide = graph.conv2d(graph.input((1, 8, 8, 2)), filters=16)
    graph.output(graph.conv2d(wide, filters=filters))
    arena = arena_of(maker)
    assert (arena.peak_time, arena.optimum_head, arena.head) == (peak, bytes_, bytes_)


def test_every_buffer_says_whose_it_is_and_where_it_lies() -> None:
    maker, graph = new_graph()
    image = graph.input((1, 16, 16, 4), name="image")
    result = graph.conv2d(image, filters=8)
    graph.output(result)
    assert arena_of(maker, "m4_cmsisnn").buffers == (
        LiveBuffer("image", "tensor", 1024, 2048, 0, 1, 0, image),
        LiveBuffer(graph.tensors[result].name, "tensor", 2048, 0, 1, 1, 0, result),
        LiveBuffer("scratch of CONV_2D #0", "scratch", 144, 3072, 1, 1, 0, 0),
    )


def test_every_operator_says_what_it_takes_and_shared_weights_count_once() -> None:
    maker, graph = new_graph()
    first = graph.conv2d(graph.input((1, 16, 16, 4)), filters=4)
    second = graph.tensor((1, 16, 16, 4))
    step = graph.steps[0]
    graph.operator("CONV_2D", (first, *step.inputs[1:]), (second,), step.options)
    graph.output(second)
    names = [graph.tensors[index].name for index in (first, second)]
    weights = 3 * 3 * 4 * 4 + 4 * 4
    layers = [
        Layer(0, 0, "CONV_2D", names[0], "INT8", (1, 16, 16, 4), weights, 1024, 144, 0, 2192, 1, 1),
        Layer(0, 1, "CONV_2D", names[1], "INT8", (1, 16, 16, 4), 0, 1024, 144, 0, 2192, 2, 2),
    ]
    found = simulated(maker, "m4_cmsisnn").layers
    assert [replace(layer, persistent_bytes=0) for layer in found] == layers

    graph.output(graph.unary("GELU", second))  # refused, and so never planned
    unplanned = [
        replace(layer, scratch_bytes=0, live_bytes=0, first=-1, last=-1) for layer in layers
    ]
    assert list(simulated(maker, "m4_cmsisnn").layers[:2]) == unplanned


def test_an_operator_says_what_is_alive_while_it_runs_neither_earlier_nor_later() -> None:
    maker, graph = new_graph()
    hidden = graph.input((1, 8, 8, 2))
    for filters in (1, 16, 1):
        hidden = graph.conv2d(hidden, filters=filters)
    graph.output(graph.logistic(hidden))
    live = [layer.live_bytes for layer in simulated(maker).layers]
    assert live == [128 + 64, 64 + 1024, 1024 + 64, 64 + 64]


def test_scratch_buffers_of_an_operator_add_up() -> None:
    maker, graph = new_graph()
    graph.output(graph.mean(graph.input((1, 4, 4, 2)), axes=(1, 2), keep_dims=False))
    rank, axes, results = 4 * 4, 4 * 2, 4 * 2
    assert simulated(maker).layers[0].scratch_bytes == rank + axes + results


def test_weights_count_as_well_where_they_are_the_first_tensor() -> None:
    maker, graph = new_graph()
    weights = graph.constant((1, 6), "INT8")
    graph.output(graph.add(weights, graph.input((1, 6))))
    assert weights == 0
    assert simulated(maker).layers[0].weights_bytes == 6


def test_a_tensor_of_one_byte_is_planned() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1,))))
    assert [buffer.bytes for buffer in arena_of(maker).buffers] == [16, 16]


def test_empty_tensors_need_no_head() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((0,))))
    simulation = simulated(maker)
    arena = simulation.arena
    assert arena is not None
    assert (arena.head, arena.optimum_head, arena.peak_time, arena.buffers) == (0, 0, 0, ())
    assert simulation.layers[0].live_bytes == 0


def test_scratch_of_a_subgraph_that_nothing_calls_is_refused_as_undefined() -> None:
    maker = ModelMaker()
    for _ in range(2):
        graph = maker.graph()
        graph.output(graph.conv2d(graph.input((1, 8, 8, 3)), filters=8))
    (refusal,) = simulated(maker, "m4_cmsisnn").refusals
    assert refusal == Refusal(
        "undefined",
        "CONV_2D",
        1,
        0,
        "TFLM plans a scratch buffer for it whose size nobody sets, because nothing calls subgraph"
        " 1: remove the subgraph, or call it",
    )
    # Without scratch there is nothing undefined: only the operators' memory is taken.
    assert not simulated(maker, "m4_ref").refusals


def test_an_offline_plan_places_the_tensors() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 64))))
    maker.offline_plan([0, 1024])
    arena = arena_of(maker)
    assert [buffer.offset for buffer in arena.buffers] == [0, 1024]
    assert arena.head == 1024 + 64


def test_tflm_places_what_an_offline_plan_leaves_out() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 64))))
    maker.offline_plan([-1, 0])
    assert [buffer.offset for buffer in arena_of(maker).buffers] == [64, 0]


def test_bytes_behind_the_last_word_of_an_offline_plan_are_not_read() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 64))))
    maker.offline_plan([0, 1024])
    whole = arena_of(maker)
    maker.metadata["OfflineMemoryAllocation"] += b"\0\0\0"
    assert arena_of(maker) == whole


@pytest.mark.parametrize(("offset", "tail", "planned"), [(-1, 40, []), (256, 0, [(256, 48)])])
def test_an_offline_plan_may_take_a_variable_into_the_head(
    offset: int, tail: int, planned: list[tuple[int, int]]
) -> None:
    maker, graph = new_graph()
    source, result = graph.input((1, 16)), graph.tensor((1, 16))
    state = graph.tensor((1, 40), name="state", variable=True)
    graph.operator("MyOp", (source, state), (result,), {}, custom_options=b"\0")
    graph.output(result)
    maker.offline_plan([-1, -1, offset])
    model = read_model(maker.build(), "model")
    arena = simulate(model, Firmware(RUNTIMES["m4_ref"]).with_costs({"MyOp": OperatorCost()})).arena
    assert arena is not None
    assert arena.recorded["variable_buffer"] == tail
    states = [each for each in arena.buffers if each.owner == "state"]
    assert [(each.offset, each.bytes) for each in states] == planned


def test_the_peak_is_where_the_head_ends_though_more_is_alive_at_another_time() -> None:
    maker, graph = new_graph()
    wide = graph.conv2d(graph.input((1, 8, 8, 2)), filters=16)
    result = graph.conv2d(wide, filters=1)
    graph.output(result)
    offsets = [-1] * len(graph.tensors)
    offsets[result] = 4096
    maker.offline_plan(offsets)
    arena = arena_of(maker)
    assert (arena.head, arena.optimum_head, arena.peak_time) == (4096 + 64, 1152, 2)


@pytest.mark.parametrize("words", [(1, 0, 1, 0), (1, 0, 2, 0), (1, 0, 3, 0, 64, 128), (1, 0), ()])
def test_an_offline_plan_for_other_tensors_is_refused(words: tuple[int, ...]) -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 64))))
    maker.metadata["OfflineMemoryAllocation"] = struct.pack(f"<{len(words)}i", *words)
    simulation = simulated(maker)
    assert simulation.arena is None
    reason = "its offline memory plan does not cover the 2 tensors of the model"
    assert simulation.refusals == (Refusal("load", "", 0, -1, reason),)


def test_variable_tensors_live_in_the_tail() -> None:
    maker, graph = new_graph()
    graph.output(graph.lstm(graph.input((1, 4, 8)), units=16))
    arena = arena_of(maker)
    assert arena.recorded["variable_buffer"] >= 16 + 2 * 16


def chain(operators: int) -> Model:
    quantization = Quantization((1 / 256,), (-128,))
    tensors = tuple(
        Tensor(
            index, f"t{index}", "INT8", (1, 16, 16, 1 + index % 5), None, 0, memoryview(b""),
            is_variable=False, quantization=quantization,
        )
        for index in range(operators + 1)
    )  # fmt: skip
    steps = tuple(
        Operator(index, "SOFTMAX", 25, False, 1, (index,), (index + 1,), options={"beta": 1.0})
        for index in range(operators)
    )
    graph = Subgraph(0, "main", tensors, steps, inputs=(0,), outputs=(operators,))
    return Model("chain", b"", 3, "", (graph,))


def test_a_chain_of_5000_operators_is_simulated_within_two_seconds() -> None:
    model = chain(5000)
    with soon(2):
        simulation = simulate(model, RUNTIMES["m4_cmsisnn"])
    assert simulation.arena is not None
    assert len(simulation.layers) == 5000


# Refusals and unknown costs.


def test_an_operator_without_registration_is_refused_by_name() -> None:
    maker, graph = new_graph()
    graph.output(graph.unary("GELU", graph.input((1, 8))))
    simulation = simulated(maker)
    assert simulation.arena is None
    reason = "TFLM has no registration for this operator"
    assert simulation.refusals == (Refusal("resolve", "GELU", 0, 0, reason),)


def test_a_model_that_only_fails_when_it_runs_has_an_arena() -> None:
    maker, graph = new_graph()
    graph.output(graph.unary("LOG", graph.input((1, 8))))
    simulation = simulated(maker)
    assert [refusal.stage for refusal in simulation.refusals] == ["invoke"]
    assert simulation.arena is not None
    assert simulation.arena.head == 16 + 16


def test_a_builtin_operator_with_options_of_its_own_is_refused() -> None:
    maker, graph = new_graph()
    result = graph.tensor((1, 8))
    graph.operator("LOGISTIC", (graph.input((1, 8)),), (result,), {}, custom_options=b"\0")
    graph.output(result)
    reason = "a builtin operator must not carry custom options"
    assert Refusal("load", "LOGISTIC", 0, 0, reason) in simulated(maker).refusals


def test_weights_outside_the_file_are_refused() -> None:
    maker, graph = new_graph()
    graph.output(graph.dense(graph.input((1, 8)), units=4))
    model = read_model(maker.build(), "model")
    weights = model.main.tensors[1]
    outside = replace(weights, external=True, data=memoryview(b""))
    tensors = (model.main.tensors[0], outside, *model.main.tensors[2:])
    main = replace(model.main, tensors=tensors)
    elsewhere = replace(model, subgraphs=(main,))
    refusal = simulate(elsewhere, RUNTIMES["m4_ref"]).refusals[0]
    said = "its data is stored outside the flatbuffer, where TFLM does not look"
    assert refusal == Refusal("load", "FULLY_CONNECTED", 0, 0, f"tensor '{weights.name}': {said}")


@pytest.mark.parametrize("place", ["input", "output"])
def test_a_tensor_that_tflm_has_no_memory_for_is_refused_by_its_first_operator(place: str) -> None:
    maker = ModelMaker()
    maker.graph().output(maker.graphs[0].logistic(maker.graphs[0].input((1, 8))))
    graph = maker.graph()
    hidden = graph.logistic(graph.input((1, 8)))
    text = graph.tensor((1,), "STRING", name="text")
    source, target = (text, hidden) if place == "input" else (hidden, text)
    graph.operator("LOGISTIC", (source,), (target,))
    reason = "tensor 'text': TFLM has no memory for tensors of type STRING"
    found = [each for each in simulated(maker).refusals if "'text'" in each.reason]
    assert found[0] == Refusal("load", "LOGISTIC", 1, 1, reason)


def test_a_tensor_of_no_operator_is_refused_by_its_name_alone() -> None:
    maker, graph = new_graph()
    graph.output(graph.logistic(graph.input((1, 8))))
    graph.tensor((1,), "STRING", name="text")
    reason = "tensor 'text': TFLM has no memory for tensors of type STRING"
    assert simulated(maker).refusals == (Refusal("load", "", 0, -1, reason),)


@pytest.mark.parametrize("first", ["MyOp", "ethos-u"])
def test_an_operator_behind_a_custom_one_is_looked_up_as_well(first: str) -> None:
    maker, graph = new_graph()
    hidden = graph.tensor((1, 8))
    graph.operator(first, (graph.input((1, 8)),), (hidden,), {}, custom_options=b"\0")
    graph.output(graph.unary("GELU", hidden))
    runtime = RUNTIMES["m4_ref"]
    npu = runtime.beside("ethos-u")
    costs = {"MyOp": OperatorCost()}
    refusals = simulate(
        read_model(maker.build(), "model"), Firmware(npu).with_costs(costs)
    ).refusals
    assert [each.operator for each in refusals] == ["GELU"]


def test_an_output_without_a_size_is_refused_as_dynamic() -> None:
    maker, graph = new_graph()
    result = graph.tensor((1, 0), name="result")
    graph.operator("MyOp", (graph.input((1, 8)),), (result,), {}, custom_options=b"\0")
    graph.output(result)
    model = read_model(maker.build(), "model")
    reason = "the shape [1, 0] of its output 'result' is dynamic"
    refusals = simulate(
        model, Firmware(RUNTIMES["m4_ref"]).with_costs({"MyOp": OperatorCost()})
    ).refusals
    assert refusals == (Refusal("prepare", "MyOp", 0, 0, reason),)


def test_an_intermediate_tensor_that_holds_something_is_refused() -> None:
    maker, graph = new_graph()
    between = graph.tensor((1, 8), name="between")
    result = graph.tensor((1, 8))
    graph.operator("MyOp", (graph.input((1, 8)),), (result,), {}, intermediates=(between,))
    graph.output(result)
    model = read_model(maker.build(), "model")
    reason = "its intermediate tensor 'between' is not empty"
    refusals = simulate(
        model, Firmware(RUNTIMES["m4_ref"]).with_costs({"MyOp": OperatorCost()})
    ).refusals
    assert refusals == (Refusal("prepare", "MyOp", 0, 0, reason),)


def test_float_activations_with_int8_weights_are_refused() -> None:
    maker, graph = new_graph()
    weights = graph.constant((4, 8), "INT8")
    target = graph.tensor((1, 4), "FLOAT32")
    graph.operator("FULLY_CONNECTED", [graph.input((1, 8), "FLOAT32"), weights, -1], [target])
    graph.output(target)
    refusal = simulated(maker).refusals[0]
    assert refusal.stage == "prepare"
    assert f"its weights '{graph.tensors[weights].name}' are INT8" in refusal.reason
    assert "hybrid" in refusal.reason


@pytest.mark.parametrize(("runtime", "loads"), [("m4_ref", True), ("m4_cmsisnn", False)])
def test_int16_dense_per_channel_loads_with_reference_kernels_alone(
    runtime: str, loads: bool
) -> None:
    maker, graph = new_graph()
    graph.output(graph.dense(graph.input((1, 8), "INT16"), units=4, per_channel=True))
    assert (not simulated(maker, runtime).refusals) is loads


def test_an_ethos_u_model_is_refused_without_the_kernel() -> None:
    maker, graph = new_graph()
    source = graph.input((1, 8))
    target = graph.tensor((1, 8), "INT8")
    graph.operator("ethos-u", [source], [target])
    graph.output(target)
    refusal = simulated(maker).refusals[0]
    assert refusal.stage == "resolve"
    said = "compiled for an Ethos-U NPU, whose kernel this runtime does not register"
    assert refusal.reason == said


def damaged(model: Model, seed: int) -> Model:
    """``model`` with a few shapes, types, quantizations or tensor lists that do not fit."""
    random = Random(seed)
    graph = model.main
    tensors, operators = list(graph.tensors), list(graph.operators)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(tensors))
        change: dict[str, Any] = random.choice(
            [
                {"shape": tuple(random.choice([0, 1, 2, 7]) for _ in range(random.randint(0, 6)))},
                {"type": random.choice(["FLOAT32", "INT8", "INT16", "INT32", "BOOL", "STRING"])},
                {"quantization": Quantization((0.1,) * random.randint(0, 3), (3,), 5)},
                {"data": memoryview(bytes(random.randint(0, 8)))},
            ]
        )
        tensors[at] = replace(tensors[at], **change)
        at = random.randrange(len(operators))
        inputs = tuple(
            index if random.random() < 0.8 else -1
            for index in operators[at].inputs
            if random.random() < 0.9
        )
        operators[at] = replace(operators[at], inputs=inputs)
    main = replace(graph, tensors=tuple(tensors), operators=tuple(operators))
    return replace(model, subgraphs=(main,))


@pytest.mark.parametrize("runtime", ["m4_ref", rare("m55_cmsisnn"), rare("esp32s3_espnn")])
def test_a_damaged_graph_is_refused_or_simulated(runtime: str) -> None:
    maker, graph = new_graph()
    image = graph.conv2d(
        graph.pad(graph.input((1, 8, 8, 3)), [(0, 0), (1, 1), (1, 1), (0, 0)]), filters=8
    )
    image = graph.add(graph.depthwise_conv2d(image), image)
    image = graph.concat([graph.pool(image, kind="AVERAGE_POOL_2D"), graph.pool(image)])
    image = graph.strided_slice(image, (0, 0, 0, 0), (1, 2, 2, 8), (1, 1, 1, 1))
    graph.output(graph.softmax(graph.dense(graph.reshape(image, (1, 32)), units=4)))
    model = read_model(maker.build(), "model")
    assert not simulate(model, RUNTIMES[runtime]).refusals
    outcomes = {
        bool(simulate(damaged(model, seed), RUNTIMES[runtime]).refusals) for seed in range(300)
    }
    assert outcomes == {True, False}


def custom_model(operator: str = "MyOp") -> Model:
    maker, graph = new_graph()
    source = graph.input((1, 100))
    target = graph.tensor((1, 50), "INT8")
    graph.operator(operator, [source], [target])
    graph.output(target)
    return read_model(maker.build(), "custom")


def test_a_custom_operator_whose_kernel_is_another_chips_is_bounded_and_named() -> None:
    coral = RUNTIMES["m4_ref"].beside("edge-tpu")
    simulation = simulate(custom_model("edgetpu-custom-op"), coral)
    assert simulation.arena is not None
    (line,) = simulation.unknown
    assert line.startswith("edgetpu-custom-op #0")
    assert simulation.arena.recorded["persistent_buffer"] >= 912  # the LSTM's on CMSIS-NN
    assert "[runtime.ops.edgetpu-custom-op]" in line


def test_a_declared_custom_operator_counts_as_declared() -> None:
    runtime = RUNTIMES["m4_ref"]
    free = simulate(custom_model(), Firmware(runtime).with_costs({"MyOp": OperatorCost()}))
    paid = simulate(
        custom_model(),
        Firmware(runtime).with_costs({"MyOp": OperatorCost(persistent=64, scratch=200)}),
    )
    assert free.arena is not None
    assert paid.arena is not None
    assert paid.unknown == free.unknown == ()
    assert paid.arena.head - free.arena.head == 208
    assert paid.layers[0].scratch_bytes == 200
    assert paid.layers[0].persistent_bytes >= 64


# What persists, and for whom


def kept(content: bytes, runtime: Runtime = RUNTIMES["m4_cmsisnn"]) -> dict[tuple[str, str], int]:
    """Bytes of the tail by operator kind and cause."""
    arena = simulate(read_model(content, "model"), runtime).arena
    assert arena is not None
    assert sum(each.bytes for each in arena.persistent) == arena.tail
    return {(each.operator, each.cause): each.bytes for each in arena.persistent}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(models())
def test_what_persists_adds_up_to_the_tail_and_is_what_tflm_records(content: bytes) -> None:
    for name in ("m4_cmsisnn", "rv32imc_ref"):
        arena = simulate(read_model(content, "model"), RUNTIMES[name]).arena
        if arena is None:
            continue
        sizes = [each.bytes for each in arena.persistent]
        assert sum(sizes) == arena.tail
        assert sizes == sorted(sizes, reverse=True)
        causes = {each.cause: each.bytes for each in arena.persistent if not each.operator}
        assert causes["tensor records"] == arena.recorded["eval_tensor"]
        nodes = causes["node and registration records"]
        assert nodes == arena.recorded["node_and_registration"]


def test_per_channel_arrays_and_operator_data_are_told_apart_by_operator_kind() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.conv2d(graph.input((1, 8, 8, 4)), filters=16)
    graph.output(graph.dense(hidden, units=32, per_channel=True))
    found = kept(maker.build())
    assert found["CONV_2D", "per-channel arrays"] == 2 * 4 * 16
    assert found["FULLY_CONNECTED", "per-channel arrays"] == 2 * 4 * 32
    assert found["CONV_2D", "parameters"] == 28
    assert found["CONV_2D", "operator data"] - 60 in range(16)  # with what aligns it
    assert ("", "variables") not in found


def test_state_between_runs_is_called_variables() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 4, 6)), units=16))
    found = kept(maker.build())
    assert found["", "variables"] >= 16 + 2 * 16
    sums = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "sums of weights")
    assert found[sums] == 8 * 4 * 16
    assert sums not in kept(maker.build(), RUNTIMES["m4_ref"])


def test_models_that_share_an_allocator_keep_what_each_keeps() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.conv2d(graph.input((1, 8, 8, 4)), filters=16))
    model = read_model(maker.build(), "model")
    arena = simulate_multitenant([model, model], RUNTIMES["m4_cmsisnn"])
    assert arena is not None
    shares = {(each.operator, each.cause): each.bytes for each in arena.persistent}
    assert (
        shares["CONV_2D", "per-channel arrays"]
        == 2 * kept(maker.build())["CONV_2D", "per-channel arrays"]
    )
    assert sum(shares.values()) == arena.tail


@pytest.mark.skipif(not (SHARED / "models/mww_okay_nabu.tflite").exists(), reason="needs ../shared")
def test_most_of_a_streaming_wake_words_arena_persists_and_is_explained() -> None:
    content = (SHARED / "models/mww_okay_nabu.tflite").read_bytes()
    found = kept(content)
    largest = sorted(found, key=lambda key: -found[key])[:4]
    assert largest == [
        ("ASSIGN_VARIABLE", "variables"),
        ("CONV_2D", "per-channel arrays"),
        ("DEPTHWISE_CONV_2D", "per-channel arrays"),
        ("", "node and registration records"),
    ]
