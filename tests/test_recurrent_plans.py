"""Plans of recurrent layers, with the figures of real conversions (TensorFlow 2.21)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keras_files import keras_file

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import Network
from pytest_tinybudget.planning import NotPlannedError
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.planning.keras_config import read_keras
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


def plan(*layers: Layer, shape: tuple[int, ...] = (16, 4), **settings: Any) -> Model:
    return planned_model(Network((("x", shape),), layers, **settings), "idea")


def figures(model: Model) -> tuple[int, int, int]:
    """Bytes of the file, arenas on a Cortex-M4 with CMSIS-NN and on an M0+ without."""
    arenas = [measure(model, RUNTIMES[each]).arena for each in ("m4_cmsisnn", "m0plus_ref")]
    assert all(arenas)
    return model.bytes, *(each.required for each in arenas if each)  # type: ignore[return-value]


def names(model: Model) -> list[str]:
    return [each.name for each in model.main.operators]


DENSE = Layer("dense", 3)
STACKED = (
    Layer("lstm", 6, sequences=True, merge="concat"),
    Layer("lstm", 5, merge="concat"),
    Layer("dense", 3, activation="softmax"),
)


@pytest.mark.parametrize(
    ("layers", "int8", "in_float"),
    [
        ((Layer("lstm", 6, sequences=True, merge="concat"), DENSE),
         (5888, 6192, 5360), (5700, 5232, 4752)),
        ((Layer("lstm", 6, merge="concat"), DENSE), (6084, 6448, 5616), (5848, 5488, 5008)),
        ((Layer("lstm", 6, sequences=True, merge="sum"), DENSE),
         (5616, 5936, 5104), (5604, 5248, 4768)),
        ((Layer("lstm", 6, merge="multiply"), DENSE), (5820, 6176, 5344), (5768, 5488, 5008)),
        ((Layer("lstm", 6, sequences=True, merge="average"), DENSE),
         (5616, 5936, 5104), (5604, 5248, 4768)),
        (STACKED, (11172, 12064, 10432), None),
        ((Layer("lstm", 6, backwards=True), DENSE), (3504, 3552, 3120), (3416, 3200, 2944)),
        ((Layer("lstm", 6, sequences=True), Layer("lstm", 5), DENSE),
         (5216, 5504, 4688), (5156, 4832, 4352)),
    ],
)  # fmt: skip
def test_lstms_take_what_their_conversions_do(
    layers: tuple[Layer, ...], int8: tuple[int, ...], in_float: tuple[int, ...] | None
) -> None:
    assert figures(plan(*layers)) == int8
    if in_float is not None:
        assert figures(plan(*layers, numbers="float")) == in_float
        return
    with pytest.raises(NotPlannedError, match="the states of float LSTMs of several sizes"):
        plan(*layers, numbers="float")


def test_the_backward_side_comes_first_and_is_put_in_order_at_once() -> None:
    model = plan(Layer("lstm", 6, sequences=True, merge="concat"))
    assert names(model) == [
        "STRIDED_SLICE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "QUANTIZE",
        "UNIDIRECTIONAL_SEQUENCE_LSTM", "QUANTIZE", "CONCATENATION",
    ]  # fmt: skip
    own = [model.main.operators[index].outputs[0] for index in (2, 4)]
    assert own == [len(model.main.tensors) - 2, len(model.main.tensors) - 1]


def test_16_bit_lstms_are_not_planned_because_tensorflow_makes_none() -> None:
    with pytest.raises(NotPlannedError, match="quantizes no lstm to 16 bits"):
        plan(Layer("lstm", 6), numbers="int16")


def _lstm(**settings: Any) -> dict[str, Any]:
    config = {
        "units": 6, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True,
        "return_sequences": True, "go_backwards": False,
    }  # fmt: skip
    return {"class_name": "LSTM", "config": config | settings}


def _bidirectional(**settings: Any) -> tuple[str, dict[str, Any]]:
    return "Bidirectional", {"layer": _lstm(), "merge_mode": "concat"} | settings


@pytest.mark.parametrize(
    ("mode", "merge"),
    [("concat", "concat"), ("sum", "sum"), ("mul", "multiply"), ("ave", "average")],
)
def test_a_bidirectional_lstm_of_keras_is_one_layer_of_both_directions(
    tmp_path: Path, mode: str, merge: Any
) -> None:
    file = keras_file(
        tmp_path,
        _bidirectional(merge_mode=mode, backward_layer=_lstm(go_backwards=True)),
        shape=(None, 16, 4),
    )
    (layer,) = read_keras(file).layers
    assert (layer.merge, layer.sequences, layer.backwards) == (merge, True, False)


def test_sides_that_are_not_merged_are_two_results() -> None:
    def tensor(name: str, index: int) -> dict[str, Any]:
        return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, 0, index]}}

    def layer(kind: str, name: str, given: list[Any], config: dict[str, Any]) -> dict[str, Any]:
        nodes = [{"args": given, "kwargs": {}}] if given else []
        return {"class_name": kind, "config": {"name": name, **config}, "inbound_nodes": nodes}

    settings = {"units": 3, "use_bias": True, "activation": "linear"}
    network = network_of(
        {
            "class_name": "Functional",
            "config": {
                "name": "made",
                "layers": [
                    layer("InputLayer", "x", [], {"batch_shape": [None, 16, 4]}),
                    layer("Bidirectional", "both", [tensor("x", 0)],
                          _bidirectional(merge_mode=None)[1]),
                    layer("Dense", "d", [tensor("both", 0)], settings),
                ],
                "input_layers": [["x", 0, 0]],
                "output_layers": [["d", 0, 0], ["both", 0, 1]],
            },
        }
    )  # fmt: skip
    assert figures(planned_model(network, "idea")) == (5464, 5744, 4928)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (_bidirectional(layer={"class_name": "GRU", "config": {"units": 3}}),
         "a Bidirectional of another layer than an LSTM"),
        (_bidirectional(layer=_lstm(stateful=True)), "an LSTM that is not one operator"),
        (_bidirectional(layer=_lstm(activation="relu")), "an LSTM that is not one operator"),
        (_bidirectional(backward_layer=_lstm(units=5, go_backwards=True)),
         "a Bidirectional of two different layers"),
        (("LSTM", _lstm(stateful=True)["config"]), "an LSTM that is not one operator"),
        (("LSTM", _lstm(return_state=True)["config"]), "an LSTM that is not one operator"),
        (("SimpleRNN", {"units": 3}), "a SimpleRNN, which is unrolled: plan an LSTM"),
        (("TimeDistributed", {}), "a TimeDistributed, which is unrolled: Dense and Conv1D go over"),
    ],
)  # fmt: skip
def test_what_is_not_one_operator_says_so(tmp_path: Path, layer: Any, said: str) -> None:
    with pytest.raises(NotPlannedError, match=said):
        read_keras(keras_file(tmp_path, layer, shape=(None, 16, 4)))


DECLARATION = """
schema = 1

[models.idea]
input_shape = [16, 4]
boards = ["arduino-nano-33-ble"]
layers = [{layer}, {{ type = "dense", units = 3 }}]
"""


def test_a_layer_list_declares_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "tinybudget.toml"
    layer = '{ type = "lstm", units = 6, sequences = true, bidirectional = "concat" }'
    path.write_text(DECLARATION.format(layer=layer), "utf-8")
    (pair,) = pairs("tinybudget.toml", load_declaration(path))
    model = Workspace(cached=False).model(pair.model)
    assert names(model) == names(plan(Layer("lstm", 6, sequences=True, merge="concat"), DENSE))


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ('{ type = "lstm", units = 6, bidirectional = "ave" }', 'found "ave"'),
        ('{ type = "lstm", units = 6, bidirectional = "sum", backwards = true }',
         "a bidirectional lstm reads its steps in both directions"),
        ('{ type = "dense", units = 6, bidirectional = "sum" }', "a dense has no 'bidirectional'"),
        ('{ type = "dense", units = 6, sequences = true }', "a dense has no 'sequences'"),
        ('{ type = "dense", units = 6, keep_dims = true }', "a dense has no 'keep_dims'"),
    ],
)  # fmt: skip
def test_a_key_of_another_layer_is_an_error(tmp_path: Path, layer: str, said: str) -> None:
    path = tmp_path / "tinybudget.toml"
    path.write_text(DECLARATION.format(layer=layer), "utf-8")
    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)
    assert said in "\n".join((caught.value.message, *caught.value.details))
