"""Parts of a model that compute in float: which operator is the cause, and what they take."""

from __future__ import annotations

import json

import msgspec
import pytest
from modelmaker import Graph
from modelmaker import ModelMaker
from upstream import upstream_board

from pytest_tinybudget.convert.postcheck import check_converted
from pytest_tinybudget.footprint.float_parts import float_parts
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.result import FloatPart
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import Verdict
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


NANO = upstream_board("arduino-nano-33-ble")
RUNTIME = RUNTIMES[NANO.runtime]


def in_float(graph: Graph, source: int, *operators: str, name: str = "norm") -> int:
    """``operators`` in float between DEQUANTIZE and QUANTIZE, as converters leave them."""
    shape = graph.tensors[source].shape
    before = graph.tensor(shape, "FLOAT32", name="tfl.dequantize")
    graph.operator("DEQUANTIZE", (source,), (before,))
    for number, operator in enumerate(operators):
        after = graph.tensor(shape, "FLOAT32", name=f"{name}/{number}")
        graph.operator(operator, (before,), (after,))
        before = after
    quantized = graph.tensor(shape, "INT8", scale=1 / 16, name="tfl.quantize")
    graph.operator("QUANTIZE", (before,), (quantized,))
    return quantized


def model_of(maker: ModelMaker) -> Model:
    return read_model(maker.build(), "kws")


def mixed(*operators: str) -> ModelMaker:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.dense(graph.input((1, 8)), units=100)
    graph.output(graph.dense(in_float(graph, hidden, *operators), units=2))
    return maker


def judged(maker: ModelMaker, **demands: bool | str) -> Verdict:
    footprint = measure(model_of(maker), RUNTIME)
    return judge(footprint, NANO, Demands(**demands))


def test_the_cause_is_the_operator_and_not_the_conversions_around_it() -> None:
    (part,) = float_parts(model_of(mixed("ELU", "ABS")))
    assert (part.operator, part.layer, part.operators) == ("ELU #2", "norm/0", 2)


def test_the_arena_of_a_float_part_is_what_is_alive_at_once() -> None:
    footprint = measure(model_of(mixed("ELU", "ABS")), RUNTIME)
    (part,) = footprint.float_parts
    assert part.arena_bytes == 2 * 400  # input and output of one operator; never all three
    assert part.text.endswith("computes in float with 1 more (800 B of arena, 200 B as INT8)")


def test_float_constants_count_as_flash() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.dense(graph.input((1, 8)), units=4)
    before, after = (graph.tensor((1, 4), "FLOAT32", name="sum") for _ in range(2))
    graph.operator("DEQUANTIZE", (source,), (before,))
    offset = graph.constant((1, 4), "FLOAT32")
    graph.operator("ADD", (before, offset), (after,))
    quantized = graph.tensor((1, 4), "INT8", scale=1 / 16)
    graph.operator("QUANTIZE", (after,), (quantized,))
    graph.output(quantized)
    (part,) = float_parts(model_of(maker))
    assert part.flash_bytes == 16


def test_two_parts_that_share_no_tensor_are_two() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    hidden = graph.dense(graph.input((1, 8)), units=4)
    first = in_float(graph, hidden, "ELU", name="first")
    graph.output(in_float(graph, graph.dense(first, units=4), "SQUARE", name="second"))
    parts = float_parts(model_of(maker))
    assert [each.layer for each in parts] == ["first/0", "second/0"]
    warning = next(each for each in judged(maker).warnings if "INT8" in each)
    assert "ELU" in warning
    assert warning.endswith("(and 1 more in float)")


def test_conversions_at_the_edge_compute_nothing() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    entered = graph.tensor((1, 8), "INT8", scale=1 / 16)
    graph.operator("QUANTIZE", (graph.input((1, 8), "FLOAT32"),), (entered,))
    graph.output(graph.dense(entered, units=2))
    assert float_parts(model_of(maker)) == ()


def test_a_model_that_is_float_as_a_whole_has_no_float_parts() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.dense(graph.input((1, 8), "FLOAT32"), units=2))
    assert float_parts(model_of(maker)) == ()


@pytest.mark.parametrize(
    ("require_int8", "outcome"), [("warn", "warns"), (True, "unmet"), (False, "fits")]
)
def test_a_converted_part_in_float_is_for_require_int8(require_int8, outcome) -> None:
    maker = mixed("ELU")
    check_converted(maker.build(), "kws", "int8")
    found = judged(maker, require_int8=require_int8)
    assert found.outcome == outcome
    if outcome == "unmet":
        assert found.headline.startswith(
            "require_int8: the model is not full INT8: ELU #2 (norm/0) computes in float"
        )


def test_float_parts_are_in_the_results_file() -> None:
    (part,) = float_parts(model_of(mixed("ELU")))
    plain = json.loads(msgspec.json.encode(part))
    assert plain["operator"] == "ELU #2"
    assert {"arena", "flash"} <= set(plain)
    assert msgspec.convert(plain, FloatPart) == part
