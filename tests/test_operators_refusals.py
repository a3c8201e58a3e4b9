"""What users read when TFLM would turn an operator down, and what only some runtimes turn down."""

from __future__ import annotations

import pytest
from modelmaker import ModelMaker

from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


def run(maker: ModelMaker, runtime: str = "m4_ref") -> Simulation:
    return simulate(read_model(maker.build(), "model"), RUNTIMES[runtime])


def single(
    name: str, shapes: tuple[tuple[int, ...], ...], result: tuple[int, ...], kind: str = "INT8"
) -> ModelMaker:
    """A model of one operator on inputs of one type."""
    maker = ModelMaker()
    graph = maker.graph()
    inputs = [graph.input(shape, kind, name=f"in{index}") for index, shape in enumerate(shapes)]
    output = graph.tensor(result, kind, name="out")
    graph.operator(name, inputs, (output,))
    graph.output(output)
    return maker


@pytest.mark.parametrize(
    ("maker", "stage", "reason"),
    [
        (
            single("EXP", ((4,),), (4,)),
            "prepare",
            "'in0' is INT8, supported: FLOAT32",
        ),
        (
            single("LOG", ((4,),), (4,)),
            "invoke",
            "'in0' is INT8, supported: FLOAT32",
        ),
        (
            single("TANH", ((4,),), (4,), "INT16"),
            "prepare",
            "'out' has the scale 0.03125, expected 1/32768",
        ),
        (
            single("LOGISTIC", ((4,),), (4,)),
            "prepare",
            "'out' has the zero point 0, expected -128",
        ),
        (
            single("ADD_N", ((4,),), (4,)),
            "prepare",
            "it has 1 inputs, expected 2 or more",
        ),
        (
            single("ABS", ((4,), (4,)), (4,)),
            "prepare",
            "it has 2 inputs and 1 outputs, expected 1 and 1",
        ),
        (
            single("GATHER_ND", ((4,), (4,)), (4,), "FLOAT32"),
            "prepare",
            "'in1' is FLOAT32, supported: INT32",
        ),
        (
            single("SPACE_TO_BATCH_ND", ((4, 4), (2,), (2, 2)), (4, 4)),
            "prepare",
            "'in0' has 2 dimensions, expected 3 to 4",
        ),
        (
            single("BATCH_MATMUL", ((3, 4), (5, 6)), (3, 6)),
            "prepare",
            "the shapes [3, 4] of 'in0' and [5, 6] of 'in1' do not multiply",
        ),
        (
            single("TRANSPOSE", ((3, 4), (2,)), (4, 3), "INT8"),
            "prepare",
            "'in1' is computed at run time, expected a constant",
        ),
    ],
    ids=lambda value: "" if isinstance(value, ModelMaker) else None,
)
def test_a_refusal_names_the_tensor_and_what_was_expected(
    maker: ModelMaker, stage: str, reason: str
) -> None:
    refusals = run(maker).refusals
    assert [(refusal.stage, refusal.reason) for refusal in refusals] == [(stage, reason)]


def test_custom_options_that_are_no_flexbuffer_are_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    output = graph.tensor((66,), "INT16")
    graph.operator("SignalRfft", (graph.input((64,), "INT16"),), (output,), custom_options=b"\x00")
    graph.output(output)
    refusals = run(maker).refusals
    assert {refusal.reason for refusal in refusals} == {
        "its custom options cannot be read: 1 bytes are no FlexBuffer"
    }


def test_a_reversal_along_no_axis_is_refused() -> None:
    maker = ModelMaker()
    graph = maker.graph()
    source, result = graph.input((2, 3)), graph.tensor((2, 3))
    graph.operator("REVERSE_V2", (source, graph.constant((0,), "INT32", ())), (result,))
    graph.output(result)
    (refusal,) = run(maker).refusals
    assert (refusal.stage, refusal.ends) == ("invoke", True)


@pytest.mark.parametrize(
    ("runtime", "stages"), [("m4_ref", []), ("m4_cmsisnn", ["invoke", "invoke"])]
)
def test_cmsis_nn_takes_extrema_of_four_dimensions_only(runtime: str, stages: list[str]) -> None:
    maker = single("MAXIMUM", ((1, 1, 1, 2, 4), (4,)), (1, 1, 1, 2, 4))
    assert [refusal.stage for refusal in run(maker, runtime).refusals] == stages


@pytest.mark.parametrize(("runtime", "stages"), [("m4_ref", []), ("m4_cmsisnn", ["prepare"])])
def test_cmsis_nn_takes_no_int16_transposed_convolution_without_bias(
    runtime: str, stages: list[str]
) -> None:
    maker = ModelMaker()
    graph = maker.graph()
    shape = graph.constant((4,), "INT32", (1, 14, 14, 2))
    weights = graph.constant((2, 3, 3, 4), "INT8", scale=(0.5, 0.5))
    output = graph.tensor((1, 14, 14, 2), "INT16")
    inputs = (shape, weights, graph.input((1, 7, 7, 4), "INT16"))
    options = {"padding": "SAME", "stride_w": 2, "stride_h": 2}
    graph.operator("TRANSPOSE_CONV", inputs, (output,), options)
    graph.output(output)
    assert [refusal.stage for refusal in run(maker, runtime).refusals] == stages
