"""The arena simulation against an oracle nobody here wrote: TFLM's own runtime on x86-64."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings
from oracle import Oracle
from random_models import models

from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.runtime import RUNTIMES
from pytest_tinybudget.graph.tflite import read_model


SHARED = Path(os.environ.get("TINYBUDGET_SHARED", Path(__file__).parents[2] / "shared"))

#: What TFLM's recording allocator prints, by our name for the category.
CATEGORIES = {
    "eval_tensor": "TfLiteEvalTensor data",
    "persistent_tensor": "Persistent TfLiteTensor data",
    "persistent_tensor_quant": "Persistent TfLiteTensor quantization data",
    "persistent_buffer": "Persistent buffer data",
    "variable_buffer": "TfLiteTensor variable buffer data",
    "node_and_registration": "NodeAndRegistration struct",
    "op_data": "Operator runtime data",
}


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    pytest.importorskip("tflite_micro")
    with Oracle() as oracle:
        yield oracle


def assert_as_the_runtime_says(content: bytes, oracle: Oracle) -> None:
    """Head, tail and each recorded category, and whether the model loads and runs at all."""
    simulation = simulate(read_model(content, "model"), RUNTIMES["x86_64_ref"])
    reading = oracle.read(content)
    stages = {refusal.stage for refusal in simulation.refusals}
    status = "ok" if not stages else "invoke failed" if stages == {"invoke"} else "refused"
    assert status == reading.status, (simulation.refusals, reading.log)
    if simulation.arena is None:
        return
    arena = simulation.arena
    predicted = {CATEGORIES[name]: size for name, size in arena.recorded.items() if size}
    assert not simulation.unknown
    assert (arena.head, arena.tail, predicted) == (reading.head, reading.tail, reading.recorded)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(content=models())
def test_random_networks_take_what_the_runtime_says(content: bytes, oracle: Oracle) -> None:
    assert_as_the_runtime_says(content, oracle)


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


def test_the_oracle_survives_a_crash_of_the_runtime(oracle: Oracle) -> None:
    """Zeroed tables make the runtime follow null pointers."""
    from modelmaker import ModelMaker

    graph = (maker := ModelMaker()).graph()
    graph.output(graph.unary("RELU", graph.input((1, 4))))
    content = maker.build()
    assert oracle.read(content[:8] + bytes(len(content) - 8)).status == "crashed"
    assert oracle.read(content).status == "ok"
