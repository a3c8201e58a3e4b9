"""LSTMs of quantized files get the scales that they compute with, and what reads them follows."""

from __future__ import annotations

import struct

import pytest
from modelmaker import Graph
from modelmaker import ModelMaker

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import read_model


pytest.importorskip("numpy")
bindings = pytest.importorskip("tflite_micro.tensorflow.lite.micro.python.schema_py_generated")

#: The scale of the LSTM's output as the converter has it, and of what the kernel copies.
OUTSIDE, INSIDE = 2.0**-6, 2.0**-7


def begun() -> tuple[ModelMaker, Graph, int]:
    """A model that begins with an LSTM of four units, and what that gives."""
    maker = ModelMaker()
    graph = maker.graph()
    steps = graph.input((1, 1, 8), "INT8", scale=OUTSIDE)
    hidden = {"scale": INSIDE, "zero_point": 0}
    return maker, graph, graph.lstm(steps, units=4, hidden=hidden, inside=hidden)


def bias_of(graph: Graph) -> int:
    """The index of the bias of its first dense layer of three units."""
    shapes = [(each.type, tuple(each.shape)) for each in graph.tensors]
    return shapes.index(("INT32", (3,)))


def settled(*, layers: int, biases: tuple[int, int, int] = (40, -7, 1000)) -> Model:
    """An LSTM read by so many dense layers, of which the first has ``biases``, as it is mended."""
    from pytest_tinybudget.convert.worker.lstm_scales import with_lstm_scales

    maker, graph, read = begun()
    for _ in range(layers):
        graph.output(graph.dense(read, units=3, per_channel=True))
    graph.tensors[bias_of(graph)].data = struct.pack("<3i", *biases)
    return read_model(with_lstm_scales(maker.build(), bindings), "settled")


@pytest.mark.parametrize("layers", [1, 2])
def test_dense_layers_take_an_lstms_own_scale_and_their_biases_follow(layers: int) -> None:
    main = settled(layers=layers).main

    assert [each.name for each in main.operators[1:]] == ["FULLY_CONNECTED"] * layers
    for dense in main.operators[1:]:
        source, weights, bias = (main.tensors[each] for each in dense.inputs)
        assert source.quantization.scales == (INSIDE,)
        scales = weights.quantization.scales
        assert bias.quantization.scales == pytest.approx([INSIDE * each for each in scales])
    first = main.tensors[main.operators[1].inputs[2]]
    assert struct.unpack("<3i", first.data) == (80, -14, 2000)


def test_an_lstm_takes_another_ones_own_scale_and_its_biases_follow() -> None:
    from pytest_tinybudget.convert.worker.lstm_scales import with_lstm_scales

    maker, graph, read = begun()
    last = graph.lstm(read, units=3, hidden={"scale": OUTSIDE, "zero_point": 0})
    graph.output(last)
    biases = [each for each in graph.tensors if (each.type, tuple(each.shape)) == ("INT32", (3,))]
    for place, each in enumerate(biases):
        each.data = struct.pack("<3i", 40 + place, -7, 1000)
    main = read_model(with_lstm_scales(maker.build(), bindings), "rows").main

    first, second = main.operators
    assert (first.name, second.name) == ("UNIDIRECTIONAL_SEQUENCE_LSTM",) * 2
    assert main.tensors[second.inputs[0]].quantization.scales == (INSIDE,)
    for place in range(4):
        weights, bias = (main.tensors[second.inputs[at + place]] for at in (1, 12))
        scales = weights.quantization.scales
        assert bias.quantization.scales == pytest.approx([INSIDE * each for each in scales])
        assert struct.unpack("<3i", bias.data) == (80 + 2 * place, -14, 2000)


def test_a_bias_that_something_else_reads_keeps_its_scale() -> None:
    from pytest_tinybudget.convert.worker.lstm_scales import with_lstm_scales

    maker, graph, read = begun()
    graph.output(graph.dense(read, units=3))
    graph.output(graph.unary("ABS", bias_of(graph)))
    main = read_model(with_lstm_scales(maker.build(), bindings), "shared").main

    assert [each.name for each in main.operators[1:3]] == ["QUANTIZE", "FULLY_CONNECTED"]
    assert main.tensors[main.operators[2].inputs[0]].quantization.scales == (OUTSIDE,)
