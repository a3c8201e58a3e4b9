"""The comparison of a converted model with its float source, where an interpreter fails."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from modelmaker import ModelMaker


np = pytest.importorskip("numpy")
pytest.importorskip("ai_edge_litert")

from pytest_tinybudget.convert.worker.drift import NotRunError  # noqa: E402
from pytest_tinybudget.convert.worker.drift import drift  # noqa: E402


REFUSES = "div.cc:242 data[i] != 0 was not true. Node number 0 (DIV) failed to invoke."


class Refusing:
    """TensorFlow 2.21's interpreter, which refuses an INT8 divisor whose byte is 0."""

    def allocate_tensors(self) -> None:
        pass

    def get_output_details(self) -> list[dict[str, Any]]:
        return [{"name": "quotient", "quantization": (1 / 16, 0), "dtype": np.int8, "index": 2}]

    def get_input_details(self) -> list[dict[str, Any]]:
        return [{"index": 0, "quantization": (1 / 32, 0), "dtype": np.int8}]

    def set_tensor(self, index: int, values: Any) -> None:
        pass

    def invoke(self) -> None:
        raise RuntimeError(REFUSES)


class Halves:
    """A float model that divides by 2, converted by a backend with that interpreter."""

    def interpreter(self, content: bytes) -> Refusing:
        return Refusing()

    def run(self, sample: list[Any]) -> list[Any]:
        return [sample[0] / 2]


def divided(zero_point: int) -> bytes:
    """By constants whose bytes are 0: by 2 where their zero point is -128."""
    maker = ModelMaker()
    graph = maker.graph()
    source = graph.input((1, 4), scale=1 / 32)
    by = graph.constant((1, 4), "INT8", scale=1 / 64, zero_point=zero_point)
    result = graph.tensor((1, 4), scale=1 / 16)
    graph.operator("DIV", (source, by), (result,))
    graph.output(result)
    return maker.build()


SAMPLES = [[np.array([[-1.0, 0.5, 1.0, 2.0 * turn]], np.float32)] for turn in range(3)]


def test_where_the_converters_interpreter_refuses_the_model_litert_compares_it() -> None:
    backend: Any = Halves()
    (compared,) = drift(backend, divided(zero_point=-128), SAMPLES)
    assert compared["output"] == "quotient"
    assert compared["broken"] == ""
    assert compared["max_error"] <= 1 / 16


def test_where_litert_refuses_it_as_well_that_is_told() -> None:
    backend: Any = Halves()
    with pytest.raises(NotRunError, match="data"):
        drift(backend, divided(zero_point=0), SAMPLES)


def test_without_litert_the_reason_is_what_the_converters_interpreter_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    backend: Any = Halves()
    with pytest.raises(NotRunError, match=r"div\.cc:242"):
        drift(backend, divided(zero_point=-128), SAMPLES)
