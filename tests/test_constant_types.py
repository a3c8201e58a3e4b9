"""Constants of another type than their kernel reads: PRELU, LSTM, detections, joined tensors."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from engines import Engine
from engines import alike
from flatbuffers import flexbuffers
from modelmaker import Graph
from modelmaker import ModelMaker
from msgspec.structs import replace

from pytest_tinybudget.cli import main
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import changes
from pytest_tinybudget.runtimes.versions import version


SLOPES = range(-16, 16)
WEIGHTS = range(1, 9)
BIASES = range(9, 13)
CELL = 14


def prelu(graph: Graph, kind: str, slopes: str, *, quantized: bool = True) -> None:
    """PRELU with 32 slopes from -1/2 to 15/32."""
    values = [slope if quantized else slope / 32 for slope in SLOPES]
    source = graph.input((1, 4, 32), kind)
    scale = 1 / 32 if quantized else ()
    alpha = graph.constant((1, 1, 32), slopes, values, scale=scale)
    result = graph.tensor((1, 4, 32), kind)
    graph.operator("PRELU", (source, alpha), (result,))
    graph.output(result)


def lstm(graph: Graph, kind: str, positions: range | tuple[int, ...] = (), other: str = "") -> None:
    """An LSTM of which the tensors at ``positions`` are of the type ``other``."""
    graph.output(graph.lstm(graph.input((1, 3, 4), kind), units=4))
    for number, position in enumerate(positions):
        tensor = graph.tensors[position]
        tensor.type, tensor.scales, tensor.zero_points = other, (1 / 32,), (0,)
        count = 1
        for extent in tensor.shape:
            count *= extent
        if tensor.data is not None:
            steps = [(7 * number + 5 * step) % 33 - 16 for step in range(count)]
            code = {"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"}.get(other, "f")
            values = [step / 32 for step in steps] if other == "FLOAT32" else steps
            tensor.data = struct.pack(f"<{count}{code}", *values)


def detection(graph: Graph, anchors: str, results: str) -> None:
    options = flexbuffers.Builder()
    with options.Map():
        for name, number in (("max_detections", 2), ("num_classes", 2)):
            options.Key(name)
            options.Int(number)
        for name in (
            "nms_score_threshold",
            "nms_iou_threshold",
            *(f"{side}_scale" for side in "xyhw"),
        ):
            options.Key(name)
            options.Float(0.5)
    sources = [graph.input((1, 3, 4), "FLOAT32"), graph.input((1, 3, 2), "FLOAT32")]
    found = [graph.tensor(shape, results) for shape in ((1, 2, 4), (1, 2), (1, 2), (1,))]
    inputs = (*sources, graph.constant((3, 4), anchors, scale=()))
    custom = bytes(options.Finish())
    graph.operator("TFLite_Detection_PostProcess", inputs, found, custom_options=custom)
    graph.output(*found)


def joined(graph: Graph) -> None:
    graph.output(graph.concat((graph.input((1, 4), "FLOAT32"), graph.constant((1, 4), "INT8"))))


Build = Callable[[Graph], None]


def made(build: Build) -> bytes:
    maker = ModelMaker()
    build(maker.graph())
    return maker.build()


def refused(build: Build, runtime: str = "m4_ref", date: str = "") -> str:
    """Stage and reason of the one refusal, empty if there is none; TFLM of ``date`` if given."""
    chosen = RUNTIMES[runtime]
    if date:
        chosen = replace(chosen, tflm=Tflm(version("of the day", date, changes("tflm"))))
    found = simulate(read_model(made(build), "model"), chosen).refusals
    return "; ".join(f"{each.stage}: {each.reason}" for each in found)


@pytest.mark.parametrize("runtime", ["m4_ref", "m4_cmsisnn"])
@pytest.mark.parametrize(
    ("build", "says"),
    [
        (
            lambda graph: prelu(graph, "FLOAT32", "INT8"),
            "undefined: 'graph0/t1' is INT8, its kernel reads it as FLOAT32: quantize the whole",
        ),
        (
            lambda graph: prelu(graph, "FLOAT32", "INT32"),
            "wrong: 'graph0/t1' is INT32, its kernel reads it as FLOAT32",
        ),
        (
            lambda graph: prelu(graph, "INT8", "INT16"),
            "wrong: 'graph0/t1' is INT16, its kernel reads it as INT8",
        ),
        (
            lambda graph: lstm(graph, "FLOAT32", WEIGHTS, "INT8"),
            "undefined: 'graph0/t1' is INT8, its kernel reads it as FLOAT32: quantize",
        ),
        (
            lambda graph: lstm(graph, "FLOAT32", BIASES, "INT32"),
            "wrong: 'graph0/t9' is INT32, its kernel reads it as FLOAT32",
        ),
        (
            lambda graph: lstm(graph, "INT8", BIASES, "INT64"),
            "wrong: 'graph0/t9' is INT64, its kernel reads it as INT32",
        ),
        (
            lambda graph: lstm(graph, "INT16", BIASES, "INT32"),
            "undefined: 'graph0/t9' is INT32, its kernel reads it as INT64",
        ),
        (
            lambda graph: lstm(graph, "INT8", (CELL,), "FLOAT32"),
            "wrong: 'graph0/t14' is FLOAT32, its kernel reads it as INT16",
        ),
        (
            lambda graph: detection(graph, "UINT8", "FLOAT32"),
            "undefined: 'graph0/t6' is UINT8, its kernel reads it as FLOAT32",
        ),
        (
            lambda graph: detection(graph, "FLOAT32", "INT32"),
            "wrong: its output 'graph0/t2' is INT32, its kernel writes FLOAT32",
        ),
    ],
)
def test_a_constant_that_its_kernel_reads_as_another_type_is_refused(
    build: Build, says: str, runtime: str
) -> None:
    assert refused(build, runtime).startswith(says)


def test_a_constant_that_is_joined_to_another_type_is_refused_by_old_and_new_kernels() -> None:
    assert refused(joined).startswith("prepare: ")
    says = "wrong: 'graph0/t1' is INT8, its kernel reads FLOAT32"
    assert refused(joined, date="2023-10-10T13:15").startswith(says)


def test_a_hybrid_lstm_did_not_load_before_its_kernel_was_redesigned() -> None:
    def hybrid(graph: Graph) -> None:
        lstm(graph, "FLOAT32", WEIGHTS, "INT8")

    assert refused(hybrid, date="2022-10-01T00:00").startswith("prepare: ")
    assert refused(hybrid, date="2023-10-10T13:15").startswith("undefined: ")


@pytest.mark.parametrize(
    "build",
    [
        lambda graph: prelu(graph, "FLOAT32", "FLOAT32", quantized=False),
        lambda graph: prelu(graph, "INT8", "INT8"),
        lambda graph: prelu(graph, "INT16", "INT8"),
        *(
            lambda graph, kind=kind: lstm(graph, kind)  # type: ignore[misc]
            for kind in ("FLOAT32", "INT8", "INT16")
        ),
        lambda graph: detection(graph, "FLOAT32", "FLOAT32"),
    ],
)
def test_constants_of_the_type_that_is_read_are_not_refused(build: Build) -> None:
    assert refused(build) == ""


def test_tflm_computes_something_else_with_them() -> None:
    """By its own interpreter: the same numbers as floats give other outputs."""
    pytest.importorskip("tflite_micro")
    with Engine("tflm") as tflm:
        for right, wrong in (
            (
                lambda graph: prelu(graph, "FLOAT32", "FLOAT32", quantized=False),
                lambda graph: prelu(graph, "FLOAT32", "INT8"),
            ),
            (
                lambda graph: lstm(graph, "FLOAT32", WEIGHTS, "FLOAT32"),
                lambda graph: lstm(graph, "FLOAT32", WEIGHTS, "INT8"),
            ),
        ):
            runs = [tflm.run(made(build)) for build in (right, wrong)]
            assert [run.status for run in runs] == ["ok", "ok"]
            assert not alike(*runs)


def test_litert_runs_the_hybrid_lstm_that_tflm_does_not() -> None:
    """So a test with LiteRT alone does not find it."""
    pytest.importorskip("ai_edge_litert")
    with Engine("litert") as litert:
        floats, hybrid = (
            litert.run(made(lambda graph, kind=kind: lstm(graph, "FLOAT32", WEIGHTS, kind)))
            for kind in ("FLOAT32", "INT8")
        )
    assert floats.status == hybrid.status == "ok"
    off = max(
        abs(one - other) for one, other in zip(floats.outputs[0], hybrid.outputs[0], strict=True)
    )
    assert off < 0.01


def test_check_fails_with_its_code_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "hybrid.tflite"
    path.write_bytes(made(lambda graph: lstm(graph, "FLOAT32", WEIGHTS, "INT8")))
    assert main(["check", str(path), "--board", "arduino-nano-33-ble"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "TB011" in shown
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM #0" in shown
    assert "quantize the whole model, or nothing of it" in shown
