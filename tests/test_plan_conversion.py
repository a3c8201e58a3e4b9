"""Keras models converted without TensorFlow, held to what TensorFlow made of them."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from keras_files import keras_file
from same_conversion import differences

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.boards import find_board
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.converter import job_of
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.settings import RANDOM
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.shrunken import firmwares_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.tflite import load_model
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning.lowering import Lowering
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.network import NotPlannedError
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Value
from pytest_tinybudget.planning.nodes import ordered
from pytest_tinybudget.planning.passes import simplified


pytest.importorskip("h5py")
pytest.importorskip("ai_edge_litert")

TRUTH = Path(__file__).parent / "data" / "planned"


def request(source: Path, **settings) -> Request:
    declared = Conversion(source.parent, RANDOM, strip=True, **settings)
    return Request(source, source.name, declared)


@pytest.fixture(scope="module")
def converted() -> dict[str, Model]:
    """What comes of the models of ``planned_truth.py``, by name."""
    sources = [request(path) for path in sorted(TRUTH.glob("*.keras"))]
    with closing(Converter(None)) as converter:
        converter.prepare(sources)
        done = [converter.convert(each) for each in sources]
    assert all("ai-edge-litert" in each.settings for each in done)
    assert not any("tensorflow" in each.settings for each in done)
    return {
        source.source.stem: read_model(each.content, source.shown)
        for source, each in zip(sources, done, strict=True)
    }


@pytest.mark.parametrize("name", ["branches", "fresh", "image", "steps"])
def test_the_file_is_the_one_that_tensorflow_makes(converted: dict[str, Model], name: str):
    ours, theirs = converted[name], load_model(TRUTH / f"{name}.tflite")

    assert differences(ours, theirs) == []
    assert ours.bytes == theirs.bytes
    firmware = next(iter(firmwares_of([find_board("raspberry-pi-pico")]).values()))
    ours_there, theirs_there = measure(ours, firmware), measure(theirs, firmware)
    assert ours_there.arena == theirs_there.arena
    assert ours_there.flash == theirs_there.flash


def test_the_comparison_sees_a_weight_that_differs(converted: dict[str, Model]):
    theirs = load_model(TRUTH / "fresh.tflite")
    weights = next(each for each in theirs.main.tensors if each.type == "INT8" and len(each.data))
    at = theirs.content.find(bytes(weights.data))
    changed = bytearray(theirs.content)
    changed[at] ^= 1

    (found,) = differences(converted["fresh"], read_model(bytes(changed), "fresh"))

    assert "1 of 24 numbers, by 1" in found or "1 of 16 numbers, by 1" in found


def changed(folder: Path, name: str, change) -> Path:
    """A model of the truth with another ``config.json``."""
    path = folder / f"{name}.keras"
    with (
        zipfile.ZipFile(TRUTH / f"{name}.keras") as source,
        zipfile.ZipFile(path, "w") as target,
    ):
        for member in source.namelist():
            content = source.read(member)
            if member == "config.json":
                config = json.loads(content)
                change(config["config"])
                content = json.dumps(config).encode()
            target.writestr(member, content)
    return path


def without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_tinybudget.convert import requirements

    find = requirements.find_spec
    monkeypatch.setattr(
        requirements, "find_spec", lambda name: None if name == "tensorflow" else find(name)
    )


def test_what_is_not_known_needs_tensorflow_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_tensorflow(monkeypatch)
    path = changed(
        tmp_path, "fresh", lambda config: config["layers"][1].update(class_name="Mystery")
    )

    with (
        closing(Converter(Cache(tmp_path / "cache"))) as converter,
        pytest.raises(ConversionError) as caught,
    ):
        converter.convert(request(path))

    assert caught.value.code == "TB103"
    assert 'pip install "pytest-tinybudget[tensorflow]"' in caught.value.message
    assert "without TensorFlow it is not converted: layer dense" in caught.value.details[0]
    assert "a Mystery" in caught.value.details[0]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("fresh", lambda config: config["layers"][1]["config"].update(units=5), "do not fit"),
        ("fresh", lambda config: config["layers"][1]["config"].update(name="other"), "weights"),
        (
            "image",
            lambda config: config["layers"][3]["config"].update(axis=2),
            "another axis",
        ),
        (
            "steps",
            lambda config: config["layers"][1]["config"].update(kernel_size=[1]),
            "an extent of 1",
        ),
    ],
)
def test_what_is_not_known_of_layers_and_weights_is_not_converted_here(
    tmp_path: Path, name: str, change, said: str
):
    from pytest_tinybudget.convert.worker import plan_backend

    job = job_of(request(changed(tmp_path, name, change)))

    with pytest.raises(NotPlannedError, match=said):
        plan_backend.load(job, None)


CONV1D = {"filters": 1, "kernel_size": [3], "strides": [1], "padding": "same",
          "dilation_rate": [1], "use_bias": True, "activation": "linear"}  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([("Conv1D", CONV1D)], "a bias of one channel"),
        ([("UpSampling1D", {"size": 2}), ("Rescaling", {"scale": 2.0, "offset": 1.0})],
         "may move before"),
    ],
)  # fmt: skip
def test_layers_that_the_converter_changes_otherwise_than_planned_are_left_to_it(
    tmp_path: Path, layers: list[tuple[str, dict[str, object]]], said: str
):
    """Found by random models, 70 of other seeds."""
    from pytest_tinybudget.convert.worker import plan_backend

    path = keras_file(tmp_path, *layers, shape=(None, 8, 4))
    with pytest.raises(NotPlannedError, match=said):
        plan_backend.load(job_of(request(path)), None)


@pytest.mark.parametrize(("shape", "refused"), [((1, 1, 1, 3), True), ((1, 2, 1, 3), False)])
def test_a_merge_of_maps_of_one_position_is_left_to_tensorflow(
    shape: tuple[int, ...], refused: bool
):
    from pytest_tinybudget.convert.worker import plan_backend

    node = Node("ADD", "Add", [Value(shape), Value(shape)], Value(shape))
    if refused:
        with pytest.raises(NotPlannedError, match="a merge of one position"):
            plan_backend._refuse_points([node])
    else:
        assert plan_backend._refuse_points([node]) is None


def test_the_bias_of_a_convolution_before_a_dense_layer_moves_there():
    layers = (
        Layer("conv2d", 4, name="conv", inputs=("x",)),
        Layer("dense", 3, name="last", inputs=("conv",)),
    )
    low = Lowering(Network((("x", (8, 8, 1)),), layers), "m")
    nodes = simplified(ordered(low.nodes, low.inputs), low.outputs)

    assert [each.op for each in nodes] == ["CONV_2D", "FULLY_CONNECTED"]
    assert nodes[1].bias_from is nodes[0]
    assert nodes[0].inputs[-1] is None


def test_data_unlike_the_training_data_is_told():
    from pytest_tinybudget.convert.worker import plan_backend

    model = plan_backend.load(job_of(request(TRUTH / "image.keras")), None)
    chance = np.random.default_rng(0)

    def samples(factor: float):
        return [[chance.normal(size=(1, 12, 12, 2)).astype(np.float32) * factor] for _ in range(9)]

    assert model.doubts(samples(127.0)) == []
    (doubt,) = model.doubts(samples(1e5))
    assert "unlike the training data: layer 'batch_normalization'" in doubt


def test_a_conversion_without_tensorflow_is_kept_and_starts_nothing_the_next_time(tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    with closing(Converter(cache)) as first, closing(Converter(cache)) as second:
        made = first.convert(request(TRUTH / "fresh.keras"))
        again = second.convert(request(TRUTH / "fresh.keras"))
        started = list(first._servers), list(second._servers)

    assert (made.cached, again.cached) == (False, True)
    assert made.content == again.content
    assert started == (["plan"], [])


@pytest.mark.parametrize("settings", [{"mean": [0.5], "variance": [4.0]}, {}])
def test_a_normalization_of_all_numbers_holds_its_mean_and_the_reciprocal_of_its_deviation(
    settings: dict[str, list[float]],
) -> None:
    from pytest_tinybudget.convert.worker.constants import initial_constants
    from pytest_tinybudget.convert.worker.keras_weights import Stored

    layer = Layer("normalization", name="norm", inputs=("x",))
    low = Lowering(Network((("x", (2, 2, 3)),), (layer,)), "idea")
    learned = [np.float32(each) for each in ([0.5], [4.0], 7)]
    stored = Stored({"axis": [], **settings}, learned)
    found = initial_constants(low.nodes, [layer], {"norm": stored})
    assert [each.ravel().tolist() for each in found.values()] == [[0.5], [0.5]]
    assert [each.shape for each in found.values()] == [(1, 1, 1, 1)] * 2
