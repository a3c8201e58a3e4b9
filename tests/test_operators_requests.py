"""What operators request where kernel libraries, targets or options differ, one by one."""

from __future__ import annotations

import pytest
from flatbuffers import flexbuffers
from modelmaker import ModelMaker

from pytest_tinybudget.footprint.arena import Event
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES


def requests(maker: ModelMaker, runtime: str) -> tuple[list[int], list[int]]:
    """Persistent and scratch requests of a model's only operator, bytes, in their order."""
    trace: list[Event] = []
    simulation = simulate(read_model(maker.build(), "model"), RUNTIMES[runtime], trace=trace)
    assert simulation.arena is not None, simulation.refusals
    # Kernels alone ask for an alignment of 16, but for the last two: the interpreter's arrays.
    persistent = [size for kind, size, alignment, _ in trace if kind == "P" and alignment == 16]
    scratch = [buffer.bytes for buffer in simulation.arena.buffers if buffer.kind == "scratch"]
    return persistent[:-2], scratch


@pytest.mark.parametrize(
    ("runtime", "kind", "persistent", "scratch"),
    [
        # OpData, then of the transposed right operand the tensor, its shape and its contents,
        # then the shape of the output; 28 bytes more for quantized operands.
        ("m4_ref", "FLOAT32", [16, 12, 16, 80, 16], []),
        ("m4_ref", "INT8", [16, 28, 12, 16, 20, 16], []),
        ("m4_cmsisnn", "FLOAT32", [36, 12, 16, 80, 16], []),
        ("m4_cmsisnn", "INT8", [36, 12, 16, 20, 16, 28], []),
        # arm_fully_connected_s8_get_buffer_size: an int32 for each of the 5 columns with MVE.
        ("m55_cmsisnn", "INT8", [36, 12, 16, 20, 16, 28], [32]),
        ("m55_cmsisnn", "INT16", [36, 12, 16, 40, 16, 28], []),
        ("rv32imc_ref", "INT8", [16, 28, 12, 16, 20, 16], []),
    ],
)
def test_matrix_products_keep_a_transposed_operand(
    runtime: str, kind: str, persistent: list[int], scratch: list[int]
) -> None:
    graph = (maker := ModelMaker()).graph()
    output = graph.tensor((1, 3, 5), kind)
    operands = graph.input((1, 3, 4), kind), graph.input((1, 4, 5), kind)
    graph.operator("BATCH_MATMUL", operands, (output,))
    graph.output(output)
    assert requests(maker, runtime) == (persistent, scratch)


@pytest.mark.parametrize(
    ("runtime", "persistent"), [("m4_ref", [40]), ("rv32imc_ref", [40]), ("x86_64_ref", [40])]
)
def test_sums_keep_a_pointer_to_each_input(runtime: str, persistent: list[int]) -> None:
    graph = (maker := ModelMaker()).graph()
    terms = [graph.input((4,)) for _ in range(3)]
    output = graph.tensor((4,))
    graph.operator("ADD_N", terms, (output,))
    graph.output(output)
    pointer_bytes = RUNTIMES[runtime].abi.pointer_bytes
    assert requests(maker, runtime) == (persistent, [16 if pointer_bytes == 4 else 32])


@pytest.mark.parametrize(
    ("kind", "number", "inverse", "persistent", "scratch"),
    [
        # kiss_fftr_state 12, kiss_fft_state 264, and 32 + 48 complex numbers.
        ("INT16", 7, False, [32, 12 + 264 + 4 * (32 + 48)], [128]),
        ("INT32", 2, False, [32, 12 + 264 + 8 * (32 + 48)], [256]),
        ("FLOAT32", 0, False, [32, 12 + 264 + 8 * (32 + 48)], [256]),
        ("INT16", 7, True, [24, 12 + 264 + 4 * (32 + 48)], []),
        ("FLOAT32", 0, True, [24, 8 + 12 + 264 + 8 * (32 + 48)], []),
    ],
)
def test_an_fft_keeps_its_twiddle_factors(
    kind: str, number: int, inverse: bool, persistent: list[int], scratch: list[int]
) -> None:
    graph = (maker := ModelMaker()).graph()
    wave, spectrum = (64,), (66,)
    output = graph.tensor(wave if inverse else spectrum, kind)
    graph.operator(
        "SignalIrfft" if inverse else "SignalRfft",
        (graph.input(spectrum if inverse else wave, kind),),
        (output,),
        custom_options=bytes(flexbuffers.Dumps({"T": number, "fft_length": 64})),
    )
    graph.output(output)
    assert requests(maker, "m4_ref") == (persistent, scratch)
