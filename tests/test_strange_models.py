"""Sound files with strange graphs: measured, or refused in one line; never a traceback.

Shapes, types, quantization, constants, connections and options of made networks are altered at
random, so that operator rules, link and stack meet what no converter writes.
"""

from __future__ import annotations

import random
from math import prod
from typing import Any

import pytest
from campaigns import rare
from modelmaker import Graph
from modelmaker import ModelMaker
from modelmaker import TensorSpec

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


RUNTIME_NAMES = ("m4_cmsisnn", "m55_cmsisnn", "rv32imc_ref", "x86_64_ref")
NUMBERS = (-(2**31), -1, 0, 1, 2, 5, 2**31 - 1)
SCALES = (0.0, 1e-40, 1e30, -1.0, float("inf"), float("nan"))


def convolutions(kind: str) -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 8, 8, 3), kind)
    value = graph.conv2d(value, filters=4, kernel=(1, 1))
    value = graph.depthwise_conv2d(value, multiplier=2)
    value = graph.pool(value, kind="AVERAGE_POOL_2D")
    value = graph.pad(value, [(0, 0), (1, 1), (1, 1), (0, 0)])
    value = graph.mean(value, axes=(1, 2), keep_dims=False)
    graph.output(graph.softmax(graph.dense(value, units=4, per_channel=True)))
    return maker


def branches(kind: str) -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4, 6, 4), kind)
    first, second = graph.split(source, parts=2, axis=2)
    value = graph.add(first, second, activation="RELU")
    value = graph.concat([value, graph.binary("MUL", first, graph.mean(first, axes=(1, 2)))])
    value = graph.strided_slice(value, (0, 0, 0, 0), (1, 4, 3, 4), (1, 2, 1, 1))
    value = graph.reshape(value, (1, 6, 4))
    graph.output(graph.lstm(value, units=3), graph.logistic(value), graph.tanh(value))
    return maker


def calls(kind: str) -> ModelMaker:
    maker = ModelMaker()
    main, then, other = maker.graph(), maker.graph(), maker.graph()
    condition, value = main.input((1,), "BOOL"), main.input((1, 4), kind)
    result, handle = main.tensor((1, 4), kind), main.tensor((), "RESOURCE")
    options = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    main.operator("IF", (condition, value), (result,), options)
    main.operator("VAR_HANDLE", (), (handle,), {"container": "", "shared_name": "state"})
    main.operator("ASSIGN_VARIABLE", (handle, result), ())
    stored = main.tensor((1, 4), kind)
    main.operator("READ_VARIABLE", (handle,), (stored,))
    main.output(main.add(result, stored))
    for graph in (then, other):
        graph.output(graph.dense(graph.input((1, 4), kind), units=4))
    maker.offline_plan([-1] * sum(len(graph.tensors) for graph in maker.graphs))
    return maker


@pytest.mark.parametrize("count", [60, rare(400)])
@pytest.mark.parametrize("kind", ["INT8", "FLOAT32", "INT16"])
@pytest.mark.parametrize("make", [convolutions, branches, calls])
def test_strange_graphs_are_measured_or_refused(make: Any, kind: str, count: int) -> None:
    chance = random.Random(f"{make.__name__} {kind}")
    measured = refused = 0
    for index in range(count):
        maker = altered(make(kind), chance)
        name = RUNTIME_NAMES[index % len(RUNTIME_NAMES)]
        try:
            footprint = measure(read_model(maker.build(), "model"), RUNTIMES[name])
        except TinybudgetError as error:
            refused += "\n" not in str(error)
            continue
        assert footprint.arena is not None or footprint.refusals
        measured += footprint.arena is not None
        refused += footprint.arena is None
    assert measured > count // 8
    assert refused > count // 8
    assert measured + refused == count


def altered(maker: ModelMaker, chance: random.Random) -> ModelMaker:
    """``maker`` with one to four things changed about its graphs."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        alter(chance, chance.choice(maker.graphs))
    return maker


def alter(chance: random.Random, graph: Graph) -> None:
    """Change one thing about a tensor or an operator of ``graph``."""
    if chance.random() < 0.5:
        alter_tensor(chance, chance.choice(graph.tensors))
    else:
        alter_step(chance, graph, chance.choice(graph.steps))


def alter_tensor(chance: random.Random, spec: TensorSpec) -> None:
    match chance.randrange(6):
        case 0:
            spec.shape = tuple(chance.choices((0, 1, 2, 3, 7, 100), k=chance.randrange(6)))
        case 1:
            spec.shape = spec.shape[:-1] if chance.random() < 0.5 else (*spec.shape, 2)
        case 2:
            spec.type = chance.choice(sorted(TYPE_BITS))
        case 3:
            spec.scales = (chance.choice(SCALES),) * chance.randrange(5)
        case 4:
            spec.zero_points = (chance.choice((*NUMBERS, 2**40)),) * chance.randrange(3)
            spec.dimension = chance.choice(NUMBERS)
        case _:
            spec.data = None if spec.data is not None else b"constant"
    if spec.data is not None:
        size = (prod(spec.shape) * TYPE_BITS[spec.type] + 7) // 8
        spec.data = None
        if size < 100_000:
            spec.data = chance.randbytes(size) if chance.random() < 0.5 else bytes(size)


def alter_step(chance: random.Random, graph: Graph, step: Any) -> None:
    match chance.randrange(4):
        case 0:
            step.inputs = rewired(chance, step.inputs, range(-1, len(graph.tensors)))
        case 1:
            step.outputs = rewired(chance, step.outputs, range(len(graph.tensors)))
        case 2:
            step.name = chance.choice(graph.steps).name
            step.options = {}
        case _:
            numbers = [
                name
                for name, value in step.options.items()
                if type(value) is int and not name.endswith("subgraph_index")
            ]
            if numbers:
                step.options = {**step.options, chance.choice(numbers): chance.choice(NUMBERS)}


def rewired(chance: random.Random, indices: tuple[int, ...], allowed: range) -> tuple[int, ...]:
    """Fewer, more or other tensors than an operator should have."""
    kept = list(indices[: chance.randint(0, len(indices))])
    extra = chance.choices(allowed, k=chance.randrange(3)) if chance.random() < 0.7 else []
    return (*kept, *extra)


def test_weights_without_a_shape_are_measured_or_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 3, 4), "FLOAT32"), units=4))
    step = graph.steps[-1]
    weights = graph.tensors[step.inputs[1]]
    weights.shape, weights.data = (), bytes(4)
    graph.tensors[step.outputs[0]].shape = (1, 3, 4)
    footprint = measure(read_model(maker.build(), "model"), RUNTIMES["m4_cmsisnn"])
    assert footprint.arena is not None or footprint.refusals
