"""The arena simulation against an oracle nobody here wrote: TFLM's own runtime on x86-64."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import Engine
from engines import alike
from hypothesis import given
from hypothesis import settings
from modelmaker import ModelMaker
from oracle import Oracle
from oracle import assert_as_the_runtime_says
from random_models import control_flow
from random_models import models

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    pytest.importorskip("tflite_micro")
    with Oracle() as oracle:
        yield oracle


@settings(max_examples=400, deadline=None, derandomize=True)
@given(content=models())
@pytest.mark.campaign
def test_random_networks_take_what_the_runtime_says(content: bytes, oracle: Oracle) -> None:
    assert_as_the_runtime_says(content, oracle)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(content=models(unread=True))
@pytest.mark.campaign
def test_results_that_nothing_reads_take_what_the_runtime_says(
    content: bytes, oracle: Oracle
) -> None:
    assert_as_the_runtime_says(content, oracle)


def with_unread_results() -> bytes:
    """A part of a SPLIT, the end of a chain, and in a branch of an IF a result nobody reads."""
    maker = ModelMaker()
    main = maker.graph()
    source = main.input((1, 64), "FLOAT32")
    kept, _ = main.split(source, parts=2, axis=1)
    main.unary("RELU", main.dense(source, units=48))
    result = main.tensor((1, 32), "FLOAT32")
    condition = main.constant((1,), "BOOL", [True])
    options = {"then_subgraph_index": 1, "else_subgraph_index": 2}
    main.operator("IF", (condition, main.unary("RELU", kept)), (result,), options)
    main.output(main.add(kept, result))
    for name in ("RELU6", "LOGISTIC"):
        branch = maker.graph()
        value = branch.input((1, 32), "FLOAT32")
        branch.unary("TANH", value)
        branch.output(branch.unary(name, value))
    return maker.build()


def test_results_that_nothing_reads_lie_over_nothing_that_is_alive(oracle: Oracle) -> None:
    """TFLM's outputs are LiteRT's, also in the smallest arena."""
    pytest.importorskip("ai_edge_litert")
    content = with_unread_results()
    assert_as_the_runtime_says(content, oracle)
    arena = simulate(read_model(content, "model"), RUNTIMES["x86_64_ref"]).arena
    assert arena is not None
    with Engine("tflm", arena_bytes=arena.required) as tflm, Engine("litert") as litert:
        smallest = tflm.run(content)
        assert smallest.status == "ok"
        assert alike(smallest, litert.run(content))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(content=control_flow())
def test_called_subgraphs_take_what_the_runtime_says(content: bytes, oracle: Oracle) -> None:
    assert_as_the_runtime_says(content, oracle)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(content=models(max_layers=4, offline=True))
def test_offline_plans_are_obeyed_as_the_runtime_does(content: bytes, oracle: Oracle) -> None:
    assert_as_the_runtime_says(content, oracle)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(content=models())
def test_the_smallest_arena_works_and_none_smaller(content: bytes, oracle: Oracle) -> None:
    simulation = simulate(read_model(content, "model"), RUNTIMES["x86_64_ref"])
    if simulation.arena is None:
        return
    required = simulation.arena.required
    assert oracle.read(content, required).status == "ok"
    # While preparing, TFLM may overrun the tail unnoticed instead of failing.
    if not simulation.arena.decided_by.startswith("preparing"):
        assert oracle.read(content, required - 16).status == "refused"


@pytest.mark.parametrize("activation", ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
@pytest.mark.parametrize("scale", [1e-9, 4e-9, 0.1])
@pytest.mark.parametrize("operator", ["CONV_2D", "FULLY_CONNECTED", "ADD", "SUB", "MUL", "DIV"])
def test_outputs_too_fine_for_their_activation_are_refused_as_the_runtime_does(
    operator: str, scale: float, activation: str, oracle: Oracle
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 2, 2, 3))
    if operator == "CONV_2D":
        result = graph.conv2d(source, filters=2, activation=activation, bias=False)
    elif operator == "FULLY_CONNECTED":
        result = graph.dense(source, units=2, activation=activation, bias=False)
    else:
        result = graph.binary(operator, source, source, activation=activation)
    for spec in (graph.tensors[source], graph.tensors[result]):
        spec.scales = (scale,)
    graph.output(result)
    assert_as_the_runtime_says(maker.build(), oracle)


@pytest.mark.parametrize("operator", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_convolutions_with_two_outputs_are_refused_as_the_runtime_does(
    operator: str, oracle: Oracle
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4, 4, 3))
    layer = graph.conv2d(source, filters=2) if operator == "CONV_2D" else None
    graph.output(graph.depthwise_conv2d(source) if layer is None else layer)
    graph.steps[0].outputs += (graph.tensor((1, 4, 4, 2)),)
    assert_as_the_runtime_says(maker.build(), oracle)


@pytest.mark.parametrize("name", ["alexa", "hey_jarvis", "hey_mycroft", "okay_nabu"])
def test_wake_word_models_take_what_the_runtime_says(name: str, oracle: Oracle) -> None:
    package = pytest.importorskip("pymicro_wakeword")
    path = Path(package.__file__).parent / "models" / f"{name}.tflite"
    assert_as_the_runtime_says(path.read_bytes(), oracle)


@pytest.mark.parametrize(
    "path", sorted((SHARED / "models").glob("*.tflite")), ids=lambda path: path.stem
)
def test_real_models_take_what_the_runtime_says(path: Path, oracle: Oracle) -> None:
    assert_as_the_runtime_says(path.read_bytes(), oracle)


def test_the_oracle_survives_the_end_of_its_child(tmp_path: Path) -> None:
    """By a stand-in for the runtime, which ends itself when it is told to."""
    child = tmp_path / "child.py"
    child.write_text(
        "import struct, sys\n"
        "while header := sys.stdin.buffer.read(8):\n"
        "    content = sys.stdin.buffer.read(struct.unpack('<2I', header)[0])\n"
        "    if content == b'end':\n"
        "        sys.exit(3)\n"
        '    print(\'{"status": "ok", "log": ""}\', flush=True)\n',
        encoding="utf-8",
    )
    with Oracle(script=(str(child),)) as oracle:
        assert oracle.read(b"end").status == "ended"
        assert oracle.read(b"go on").status == "ok"
