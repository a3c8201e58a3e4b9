"""Conversions with real TensorFlow: every kind of source to a verdict, every failure told.

The models are made once (``convert_models.py``) and converted in one go; skipped as a whole where
TensorFlow is not installed.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Callable
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from test_open_shapes import opened
from test_open_shapes import small_cnn

from pytest_tinybudget.base.cache import Cache
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.cli import main
from pytest_tinybudget.convert.converter import Converted
from pytest_tinybudget.convert.converter import Converter
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.quantizers import installed_quantizer
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.worker.keras_weights import config_of
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.planning import Layer
from pytest_tinybudget.planning import LayerList
from pytest_tinybudget.planning import model_of
from pytest_tinybudget.planning import planned_model
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.workspace import Workspace


if find_spec("tensorflow") is None:
    pytest.skip("needs TensorFlow", allow_module_level=True)

pytestmark = pytest.mark.tensorflow

needs_quantizer = pytest.mark.skipif(
    installed_quantizer() is None, reason="needs litert-quantizer or ai-edge-quantizer"
)

#: Modules of the project that is converted: layers of its own, data, and what goes wrong.
MODULES = {
    "own_layers": """
        import keras

        class Scale(keras.layers.Layer):
            def build(self, input_shape):
                self.factor = self.add_weight(shape=(), initializer="ones")

            def call(self, inputs):
                return inputs * self.factor

        class Subclassed(keras.Model):
            def __init__(self, **keywords):
                super().__init__(**keywords)
                self.hidden = keras.layers.Dense(4, activation="relu")
                self.scores = keras.layers.Dense(2)

            def call(self, inputs):
                return self.scores(self.hidden(inputs))
    """,
    "samples": """
        import os, signal, subprocess, sys, time
        import numpy as np

        def from_a_file():
            with open("written.txt", "a") as file:
                file.write("what is written does not count")
            return np.load("numbers.npy")

        def one_by_one():
            for _ in range(8):
                yield [np.random.rand(1, 8).astype("float32")]

        def environment():
            with open("environment.txt", "w") as file:
                file.write("\\n".join(os.environ))
            return np.random.rand(8, 8).astype("float32")

        def crashes():
            print("about to crash")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGSEGV)

        def hangs():
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            with open("grandchild.txt", "w") as file:
                file.write(str(child.pid))
            time.sleep(600)

        def takes_all_memory():
            return np.ones((1 << 30, 8), "float32")

        def fails():
            raise KeyError("no such word")
    """,
}


#: Run in a process of its own, because it imports TensorFlow.
OLD_KERAS = """
    import tf_keras as keras

    layers = keras.layers
    keras.Sequential([
        keras.Input((12, 12, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(),
        layers.Flatten(), layers.Dense(3, activation="softmax"),
    ]).save("old_conv2d")
    keras.Sequential([keras.Input((8, 4)), layers.LSTM(6), layers.Dense(3)]).save("old_lstm")
    keras.Sequential([keras.Input((6, 4)), layers.GRU(5), layers.Dense(3)]).save("old_gru")
    image, sound = keras.Input((6,), name="zeta"), keras.Input((4,), name="alpha")
    joined = layers.Concatenate()([layers.Dense(3)(image), layers.Dense(3)(sound)])
    keras.Model([image, sound], [layers.Dense(2)(joined), joined]).save("old_two_inputs")
"""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with trained models, and with modules of a project."""
    folder = tmp_path_factory.mktemp("trained")
    script = Path(__file__).with_name("convert_models.py")
    made = subprocess.run(
        [sys.executable, str(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert made.returncode == 0, made.stderr[-3000:]
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def old_keras(sources: Path) -> None:
    """SavedModels among ``sources`` as ``model.save(folder)`` of Keras 2 wrote them."""
    pytest.importorskip("tf_keras")
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(OLD_KERAS)],
        cwd=sources,
        env={**os.environ, "PYTHONHASHSEED": "1"},  # which puts the inputs in another order
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert made.returncode == 0, made.stderr[-3000:]


@pytest.fixture(scope="session")
def converter() -> Iterator[Converter]:
    """One for all tests: TensorFlow is imported once."""
    made = Converter(cache=None)
    yield made
    made.close()


Convert = Callable[..., Converted]


@pytest.fixture
def convert(converter: Converter, sources: Path) -> Convert:
    """Converts a model of ``sources`` with random data, unless it is told otherwise."""

    def run(name: str, data: str | None = "random", **settings: object) -> Converted:
        conversion = replace(Conversion(sources, data), **settings)
        return converter.convert(Request(sources / name, name, conversion))

    return run


def graph(converted: Converted) -> Model:
    return read_model(converted.content, "converted")


def operators(converted: Converted) -> list[str]:
    return [operator.name for operator in graph(converted).main.operators]


def error_of(
    convert: Convert, name: str, *arguments: object, **settings: object
) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        convert(name, *arguments, **settings)
    return caught.value


# Sources


KINDS = [
    "dense.keras", "conv1d.keras", "conv2d.keras", "conv2d.h5", "conv2d", "depthwise.keras",
    "two_inputs.keras", "residual.keras", "lstm.keras", "nested.keras", "both_ways.keras",
    "gru.keras", "old_depthwise.h5",
    pytest.param("float.tflite", marks=needs_quantizer),
    pytest.param("wide.tflite", marks=needs_quantizer),
]  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_source_becomes_int8_at_batch_1(convert: Convert, name: str):
    model = graph(convert(name))

    edges = [model.main.tensors[index] for index in (*model.main.inputs, *model.main.outputs)]
    assert {tensor.type for tensor in edges} == {"INT8"}
    assert {tensor.shape[0] for tensor in edges} == {1}
    assert not {"SHAPE", "DEQUANTIZE"} & {each.name for each in model.main.operators}
    assert not not_int8_tensors(model)


@pytest.mark.usefixtures("old_keras")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("old_conv2d", ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]),
        ("old_lstm", ["UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "FULLY_CONNECTED"]),
        ("old_two_inputs", ["FULLY_CONNECTED"] * 2 + ["CONCATENATION", "FULLY_CONNECTED"]),
    ],
)
def test_a_saved_model_of_old_keras_becomes_int8(convert: Convert, name: str, expected: list[str]):
    converted = convert(name)

    main = graph(converted).main
    edges = [main.tensors[index] for index in (*main.inputs, *main.outputs)]
    assert operators(converted) == expected
    assert {(tensor.type, tensor.shape[0]) for tensor in edges} == {("INT8", 1)}
    assert all(each["relative_error"] < 0.2 for each in converted.drift)


@pytest.mark.usefixtures("old_keras")
def test_inputs_of_an_old_saved_model_come_by_name(convert: Convert):
    """Such a file keeps their names, not their order."""
    main = graph(convert("old_two_inputs")).main

    assert [main.tensors[index].shape for index in main.inputs] == [(1, 4), (1, 6)]


@needs_quantizer
@pytest.mark.parametrize("name", ["conv1d.tflite", "separable1d.tflite"])
def test_one_dimensional_convolutions_of_litert_stay_in_integers(convert: Convert, name: str):
    converted = convert(name)

    assert not {"EXPAND_DIMS", "SQUEEZE", "QUANTIZE", "DEQUANTIZE"} & set(operators(converted))
    assert all(each["relative_error"] < 0.1 for each in converted.drift)


@needs_quantizer
def test_normalizations_and_activations_of_litert_stay_in_integers(convert: Convert):
    """Of SQUARE and NEG a quantizer has no integer form, of ELU and LEAKY_RELU no rule."""
    converted = convert("islands.tflite", "image.npz")

    assert not not_int8_tensors(graph(converted))
    assert not {"SQUARE", "NEG", "DEQUANTIZE"} & set(operators(converted))
    assert {"ELU", "LEAKY_RELU"} < set(operators(converted))
    assert all(each["relative_error"] < 0.1 for each in converted.drift)
    assert measure(graph(converted), RUNTIMES["m4_cmsisnn"]).refusals == ()
    main = graph(converted).main
    used = {index for each in main.operators for index in (*each.inputs, *each.outputs)}
    assert {each.index for each in main.tensors} <= {*used, *main.inputs, *main.outputs}


@needs_quantizer
def test_a_tflite_of_two_inputs_takes_the_data_that_its_keras_file_took(
    convert: Convert, sources: Path
):
    by_source = {
        name: convert(name, representative_data="two_inputs.npz")
        for name in ("two_inputs.keras", "two_inputs.tflite")
    }

    shapes = {}
    for name, converted in by_source.items():
        main = graph(converted).main
        shapes[name] = [main.tensors[index].shape for index in main.inputs]
        assert all(each["relative_error"] < 0.1 for each in converted.drift)
    assert sorted(shapes["two_inputs.keras"]) == sorted(shapes["two_inputs.tflite"])


@pytest.mark.usefixtures("old_keras")
def test_a_gru_of_an_old_saved_model_is_refused_with_what_to_do(convert: Convert):
    assert "build it with unroll=True" in error_of(convert, "old_gru").message


def test_a_failure_is_kept_until_an_input_changes(sources: Path, tmp_path: Path):
    def failure(settings: Conversion, name: str = "lambda.keras") -> tuple[ConversionError, bool]:
        steps: list[str] = []
        converter = Converter(Cache(tmp_path / "cache"), lambda _model, step: steps.append(step))
        with pytest.raises(ConversionError) as caught:
            converter.convert(Request(sources / name, name, settings))
        converter.close()
        return caught.value, bool(steps)

    settings = Conversion(sources, "random")
    first, was_tried = failure(settings)
    again, is_tried = failure(settings)
    assert (was_tried, is_tried) == (True, False)
    assert again.message == first.message
    assert again.details[:-1] == first.details
    assert "--no-cache" in again.details[-1]
    assert failure(replace(settings, activations="int16"))[1]


def test_a_failure_of_the_projects_own_code_is_not_kept(sources: Path, tmp_path: Path):
    cache = Cache(tmp_path / "cache")
    converter = Converter(cache)
    settings = Conversion(sources, "random", custom_objects="no_such_module")
    with pytest.raises(ConversionError):
        converter.convert(Request(sources / "dense.keras", "dense.keras", settings))
    converter.close()
    assert cache.entries() == []


@pytest.mark.parametrize("name", ["dilated.keras", "dilated.h5", "dilated"])
def test_a_dilated_convolution_of_an_open_batch_keeps_its_dilation(convert: Convert, name: str):
    """With an open batch TensorFlow writes a SPACE_TO_BATCH_ND, which TFLM pads wrongly in INT8."""
    (convolution,) = graph(convert(name)).main.operators

    assert convolution.name == "CONV_2D"
    assert convolution.options["dilation_h_factor"] == 2


@needs_quantizer
def test_blocks_of_a_float_tflite_stay_float_where_padding_is_zero(convert: Convert):
    main = graph(convert("dilated.tflite")).main

    blocks = [each for each in main.operators if each.name == "SPACE_TO_BATCH_ND"]
    assert [main.tensors[each.inputs[0]].type for each in blocks] == ["FLOAT32"]


def test_an_lstm_is_one_operator(convert: Convert):
    converted = convert("lstms.keras")

    assert operators(converted).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 2
    assert not any("unrolled" in warning for warning in converted.warnings)
    assert not any("output" in warning and "same" in warning for warning in converted.warnings)
    assert all(each["relative_error"] < 0.1 for each in converted.drift)


def test_a_gru_is_unrolled_with_a_warning(convert: Convert):
    converted = convert("gru.keras")

    assert operators(converted).count("TANH") == 6
    assert any(warning.startswith("gru: unrolled") for warning in converted.warnings)


def test_inputs_keep_their_order_whatever_their_names(convert: Convert):
    main = graph(convert("two_inputs.keras")).main

    assert [main.tensors[index].shape for index in main.inputs] == [(1, 6), (1, 4)]
    assert [main.tensors[index].shape for index in main.outputs] == [(1, 2), (1, 6)]


@needs_quantizer
def test_a_wide_float_tflite_keeps_its_weights_in_the_flatbuffer(convert: Convert):
    model = graph(convert("wide.tflite"))

    assert not model.external_buffers
    weights = [tensor for tensor in model.main.tensors if tensor.shape == (1200, 256)]
    assert [len(tensor.data)
            for tensor in weights] == [1200 * 256]  # fmt: skip


def test_own_layers_load_when_their_module_is_named(convert: Convert):
    converted = convert("own_layer.keras", custom_objects="own_layers")

    assert operators(converted) == ["FULLY_CONNECTED"]  # the factor is folded into the weights


def test_a_subclassed_model_has_the_input_that_it_was_built_with(convert: Convert):
    converted = convert("subclassed.keras", custom_objects="own_layers")

    main = graph(converted).main
    assert operators(converted) == ["FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert [main.tensors[index].shape for index in main.inputs] == [(1, 8)]


@pytest.mark.parametrize(
    ("name", "suffix", "cause", "step"),
    [
        ("quantized", ".keras", "was quantized in Keras", "save the model before that call"),
        ("mixed", ".keras", "computes in float16", '"dtype": "float32"'),
        ("argmax", ".keras", "keras.ops.argmax", "end the model before it"),
        ("batch", "", "the fixed batch 32", "tf.TensorSpec((None, 8), tf.float32)"),
        ("signatures", "", "it has infer, train", 'signatures=loaded.signatures["infer"]'),
    ],
)
def test_a_refused_model_is_told_the_step_that_makes_it_convert(
    convert: Convert, name: str, suffix: str, cause: str, step: str
):
    error = error_of(convert, f"{name}{suffix}")
    told = " ".join((error.message, *error.details))
    assert cause in told
    assert step in told

    followed = convert(f"{name}_followed{suffix}")

    assert "FULLY_CONNECTED" in operators(followed)


def test_a_saved_model_trained_with_quantization_keeps_its_ranges(convert: Convert, sources: Path):
    """Whatever the data that calibrates."""
    np = pytest.importorskip("numpy")
    small = np.random.default_rng(1).random((16, 8), np.float32)
    np.save(sources / "small.npy", small)
    np.save(sources / "large.npy", 50 * small)
    for name in ("small.npy", "large.npy"):
        main = graph(convert("with_ranges", name)).main
        ends = [main.tensors[index].quantization for index in (*main.inputs, *main.outputs)]
        found = [255 * each.scales[0] for each in ends]
        assert found == pytest.approx([4, 24], rel=0.01)


def test_pruning_wrappers_in_a_saved_model_are_told_with_the_step(convert: Convert):
    error = error_of(convert, "pruned")
    assert "still has the wrappers that pruned it" in error.message
    assert 'load_model("pruned"); tfmot.sparsity.keras.strip_pruning(' in error.details[0]


@pytest.mark.parametrize(
    ("kind", "said", "step"),
    [
        ("PruneLowMagnitude", "still has the wrappers", "strip_pruning(model)"),
        ("QuantizeLayer", "tfmot trained with quantization", 'model.save("folder", save_format='),
        ("QuantizeWrapperV2", "tfmot trained with quantization", "as a SavedModel"),
    ],
)
def test_what_tfmot_wraps_is_told_with_the_step(
    convert: Convert, sources: Path, kind: str, said: str, step: str
):
    layers = [("InputLayer", {"batch_shape": [None, 8], "name": "in"}), (kind, {"name": "wrapped"})]
    config = {
        "name": "made",
        "layers": [{"class_name": name, "config": given} for name, given in layers],
    }
    model = {"module": "keras", "class_name": "Sequential", "config": config}
    with zipfile.ZipFile(sources / "wrapped.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(model))

    error = error_of(convert, "wrapped.keras")
    assert said in error.message
    assert step in error.details[0]


#: Run in a process of its own: models of tfmot, and what the steps that messages name make of them.
TFMOT = """
    import numpy as np
    import tensorflow_model_optimization as tfmot
    import tf_keras

    def network():
        return tf_keras.Sequential([tf_keras.Input((8,)), tf_keras.layers.Dense(4)])

    def trained(model, *callbacks):
        model.compile("sgd", "mse")
        model.fit(np.ones((8, 8)), np.ones((8, 4)), verbose=0, callbacks=list(callbacks))
        return model

    quantized = trained(tfmot.quantization.keras.quantize_model(network()))
    quantized.save("tfmot_quantized.h5")
    with tfmot.quantization.keras.quantize_scope(): tf_keras.models.load_model(
        "tfmot_quantized.h5").save("tfmot_quantized_followed", save_format="tf")
    step = tfmot.sparsity.keras.UpdatePruningStep()
    pruned = trained(tfmot.sparsity.keras.prune_low_magnitude(network()), step)
    pruned.save("tfmot_pruned.h5")
    pruned.save("tfmot_pruned")
    with tfmot.sparsity.keras.prune_scope(): model = tf_keras.models.load_model(
        "tfmot_pruned.h5"); tfmot.sparsity.keras.strip_pruning(model).save(
        "tfmot_pruned_followed.keras")
    network().save("tf_keras.keras")
"""


def test_models_of_tfmot_and_tf_keras_convert_or_name_the_step_that_does(
    convert: Convert, sources: Path
):
    pytest.importorskip("tensorflow_model_optimization")
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TFMOT)],
        cwd=sources,
        env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert made.returncode == 0, made.stderr[-3000:]

    for name in ("tfmot_quantized.h5", "tfmot_pruned.h5", "tfmot_pruned"):
        assert re.search("save it without them|write it as a SavedModel",
                         error_of(convert, name).details[0])  # fmt: skip
    for name in ("tfmot_quantized_followed", "tfmot_pruned_followed.keras", "tf_keras.keras"):
        assert operators(convert(name)) == ["FULLY_CONNECTED"]


@pytest.mark.parametrize("name", ["conv2d.keras", "conv2d.h5", "conv2d"])
def test_the_same_model_is_the_same_in_every_format(convert: Convert, name: str):
    weights = [bytes(tensor.data) for tensor in graph(convert(name)).main.tensors if tensor.data]

    expected = graph(convert("conv2d.keras")).main.tensors
    assert sorted(weights) == sorted(bytes(tensor.data) for tensor in expected if tensor.data)


def test_a_layer_list_is_the_model_that_is_trained_from_it(convert: Convert):
    layers = (
        Layer("conv2d", 4, activation="relu"),
        Layer("max_pool2d", kernel=2, stride=2),
        Layer("dense", 3),
        Layer("softmax"),
    )
    planned = read_model(model_of(LayerList((12, 12, 1), layers), "idea"), "idea")
    trained = graph(convert("conv2d.keras"))

    one, other = (measure(model, RUNTIMES["m4_cmsisnn"]) for model in (planned, trained))
    assert [each.name for each in planned.main.operators] == operators(convert("conv2d.keras"))
    assert one.arena == replace(other.arena, buffers=one.arena.buffers)
    assert abs(one.flash - other.flash) < 1024


# Settings


def test_stripping_saves_what_the_note_says(convert: Convert):
    whole, stripped = convert("conv2d.keras"), convert("conv2d.keras", strip=True)

    saved = len(whole.content) - len(stripped.content)
    assert saved > 200
    assert f"strip: {saved:,} B of names and metadata left out" in stripped.notes
    assert operators(stripped) == operators(whole)
    assert not any(tensor.name for tensor in graph(stripped).main.tensors)


@pytest.mark.parametrize("data", ["image.npz", "frames", "image_samples:all"])
def test_a_keras_source_is_converted_shrunk_and_proven_on_its_data(
    sources: Path, tmp_path: Path, data: str
):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(sources / "conv2d.h5", project)
    shutil.copy(sources / "image.npz", project)
    numpy = importlib.import_module("numpy")
    (project / "frames").mkdir()
    for index, frame in enumerate(numpy.load(project / "image.npz")["arr_0"]):
        numpy.save(project / "frames" / f"{index:02}.npy", frame)
    (project / "image_samples.py").write_text(
        "import numpy\nfrom pathlib import Path\n"
        "def all():\n"
        "    yield from numpy.load(Path(__file__).with_name('image.npz'))['arr_0']\n",
        encoding="utf-8",
    )
    text = f"""
schema = 1
[models.camera]
source = "conv2d.h5"
representative_data = "{data}"
boards = ["raspberry-pi-pico", "arduino-nano-33-ble"]
artifacts = ["c", "tflite"]
shrink = SHRINK
"""

    def checked(shrink: str) -> list[dict[str, Any]]:
        path = project / "tinybudget.toml"
        path.write_text(text.replace("SHRINK", shrink), encoding="utf-8")
        results = project / f"{shrink}.json"
        written = ("--json", str(results), "--artifacts", str(project / "out"))
        assert main(["check", str(path), "--no-cache", *written]) == 0
        found: list[dict[str, Any]] = json.loads(results.read_text(encoding="utf-8"))["pairs"]
        return found

    for whole, small in zip(checked("false"), checked("true"), strict=True):
        report, size = small["shrunk"], small["model"]["bytes"]
        assert whole["shrunk"] is None
        assert (report["bytes_before"], report["bytes_after"]) == (whole["model"]["bytes"], size)
        assert size < 0.6 * whole["model"]["bytes"]
        assert report["parts"]
        for arena in report["arenas"]:
            assert 0 < arena["after"] <= arena["before"]
        if find_spec("tflite_micro") is not None:
            first = report["proof"]["runs"][0]
            assert (first["interpreter"], first["invocations"]) == ("TFLM", 8 + 8)
            assert (report["proof"]["samples"], report["proof"]["samples_unused"]) == (8, "")
    arrays = list((project / "out").rglob("camera_model_data.cc"))
    assert arrays
    for array in arrays:
        numbers = re.findall(r"0x[0-9a-f]{2}\b", array.read_text(encoding="utf-8"))
        assert len(numbers) == size
        file = array.with_suffix(".tflite").read_bytes()
        assert file == bytes(int(number, 16) for number in numbers)


def test_stripped_constants_lie_where_kernels_may_read_them(convert: Convert):
    import numpy as np

    def address(view: bytes | memoryview) -> int:
        return np.frombuffer(view, np.uint8).ctypes.data

    content = convert("conv2d.keras", strip=True).content

    constants = [each.data for each in read_model(content, "it").main.tensors if len(each.data)]
    assert constants
    assert {(address(data) - address(content)) % 16 for data in constants} == {0}


def test_dense_layers_have_a_scale_an_output_or_one(convert: Convert):
    def scales(converted: Converted) -> int:
        tensors = graph(converted).main.tensors
        return max(len(each.quantization.scales) for each in tensors if each.shape == (16, 8))

    assert scales(convert("dense.keras")) == 16
    assert scales(convert("dense.keras", per_channel_dense=False)) == 1


@needs_quantizer
@pytest.mark.parametrize("declared", [None, True, False])
def test_a_float_tflite_keeps_a_scale_an_output_and_says_so(
    convert: Convert, declared: bool | None
):
    converted = convert("float.tflite", per_channel_dense=declared)

    dense = next(op for op in graph(converted).main.operators if op.name == "FULLY_CONNECTED")
    weights = graph(converted).main.tensors[dense.inputs[1]]
    told = [each for each in converted.warnings if each.startswith("per_channel_dense = false is")]
    assert len(weights.quantization.scales) == 3
    assert "dense layers per channel" in converted.settings
    assert len(told) == (declared is False)


@needs_quantizer
def test_int16_of_a_float_tflite_is_told_as_it_is_made(convert: Convert):
    assert (
        "int16, dense layers per channel" in convert("float.tflite", activations="int16").settings
    )


@pytest.mark.parametrize("declared", ["", "per_channel_dense = true", "per_channel_dense = false"])
def test_a_pair_that_passes_hears_what_dense_layers_per_tensor_save(
    sources: Path, tmp_path: Path, declared: str
):
    def arena_and_hints(name: str, line: str) -> tuple[int, list[str]]:
        path = tmp_path / f"{name}.toml"
        path.write_text(
            f'schema = 1\n[models.m]\nsource = "{(sources / "dense.keras").as_posix()}"\n'
            f'representative_data = "random"\nboards = ["arduino-nano-33-ble"]\n{line}\n'
            'runtime = "tflite-micro 90b983c2"\n',
            encoding="utf-8",
        )
        gate = Gate(Workspace(cached=False))
        (pair,) = pairs(path.name, load_declaration(path))
        result = gate.check(pair)
        gate.workspace.close()
        assert result.outcome == "warns", result.headline  # of random data
        return result.footprint.arena.required, [
            note for note in result.notes if note.startswith("per_channel_dense = false would save")
        ]

    arena, hints = arena_and_hints("declared", declared)
    smaller, _ = arena_and_hints("per_tensor", "per_channel_dense = false")

    saved = f"per_channel_dense = false would save {format_size(arena - smaller)} of arena"
    assert hints == ([] if declared else [saved])


def test_int16_activations(convert: Convert):
    main = graph(convert("dense.keras", activations="int16")).main

    assert main.tensors[main.inputs[0]].type == main.tensors[main.outputs[0]].type == "INT16"


# Data


def test_random_data_is_marked_as_not_for_accuracy(convert: Convert):
    assert any("accuracy do not" in warning for warning in convert("dense.keras").warnings)


def test_given_data_gives_a_drift(convert: Convert):
    converted = convert("conv2d.keras", "image.npz")

    assert not converted.warnings
    (drift,) = converted.drift
    assert 0 < drift["max_error"] < 0.05
    assert drift["relative_error"] < 0.2
    assert any(note.startswith("INT8 against float, output ") for note in converted.notes)


def test_data_of_a_function_one_by_one(convert: Convert):
    assert convert("dense.keras", "samples:one_by_one").drift[0]["relative_error"] < 0.2


def test_data_unlike_the_training_data_is_a_warning(convert: Convert, sources: Path):
    import numpy as np

    images = np.load(sources / "image.npz")["arr_0"]
    np.savez(sources / "bytes.npz", images * 255)

    assert not convert("normed.keras", "image.npz").warnings
    (warning,) = convert("normed.keras", "bytes.npz").warnings
    assert warning.startswith("representative data is unlike the training data: layer 'batch_norm")


def test_infinity_is_an_error_before_the_converter_starts(convert: Convert, sources: Path):
    import numpy as np

    numbers = np.random.default_rng(0).random((8, 8), np.float32)
    numbers[3, 2] = np.inf
    np.save(sources / "infinite.npy", numbers)

    error = error_of(convert, "dense.keras", "infinite.npy")
    assert error.message.endswith("infinity in 1 of 8 samples, first in sample 3")


def test_a_source_of_open_length_is_converted_at_the_shape_that_is_declared(convert: Convert):
    main = graph(convert("dynamic.keras", input_shapes=(("steps", (1, 20, 4)),))).main

    assert [main.tensors[index].shape for index in main.inputs] == [(1, 20, 4)]
    assert [main.tensors[index].shape for index in main.outputs] == [(1, 18, 2)]


@needs_quantizer
def test_a_float_tflite_of_any_size_is_converted_at_the_shape_that_is_declared(
    convert: Convert, sources: Path
):
    (sources / "any_size.tflite").write_bytes(opened(small_cnn(kind="FLOAT32")))
    shapes = (("image", (1, 24, 24, 3)),)
    converted = graph(convert("any_size.tflite", input_shapes=shapes))

    assert [converted.main.tensors[index].shape for index in converted.main.inputs] == [
        (1, 24, 24, 3)
    ]
    convolution = converted.main.operators[0].outputs[0]
    assert converted.main.tensors[convolution].shape == (1, 24, 24, 4)
    error = error_of(convert, "any_size.tflite")
    assert "declare input_shapes = { image = [1, …, …, …] }" in error.message


# Failures, each in one line


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("lambda.keras", {}, "it has a Lambda layer, which is code in a model file"),
        ("lambda.h5", {}, "it has a Lambda layer, which is code in a model file"),
        ("own_layer.keras", {}, "it does not know the class 'Scale'"),
        ("own_layer.keras", {"custom_objects": "nowhere.layers"},
         "there is no module 'nowhere.layers' beside the declaration"),
        ("dynamic.keras", {}, "has no fixed shape"),
        ("dynamic.keras", {}, "declare input_shapes = { steps = [1, …, 4] }"),
        ("dynamic.keras", {"input_shapes": (("step", (1, 9, 4)),)},
         "no input 'step'; there is steps"),
        ("dynamic.keras", {"input_shapes": (("steps", (1, 9, 5)),)},
         "only what is None in it can be set"),
        ("gelu", {}, "GELU #1"),
        ("lstm", {}, "it loops over time steps: declare the .keras file"),
        ("masked.keras", {}, "REDUCE_ANY"),
        ("upsampled.keras", {}, "TILE #1"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_named(
    convert: Convert, name: str, settings: dict[str, str], said: str
):
    error = error_of(convert, name, **settings)

    assert error.message.startswith(f"{name}: ")
    assert said in error.message
    assert "\n" not in error.message
    assert len(error.message) < 300


def test_an_operator_that_tflm_lacks_is_named_with_its_layer(convert: Convert):
    message = error_of(convert, "upsampled.keras").message

    assert "(layer up_sampling1d)" in message
    assert "is not in TFLM's resolver" in message


def test_an_embedding_is_one_gather_with_a_note_on_negative_indices(convert: Convert):
    converted = convert("embedding.keras")

    assert operators(converted)[0] == "GATHER"
    assert not {"SELECT", "SELECT_V2", "LESS"} & set(operators(converted))
    assert any("indices must be 0 or above" in note for note in converted.notes)
    assert all(each["relative_error"] < 0.05 for each in converted.drift)
    assert measure(graph(converted), RUNTIMES["m4_cmsisnn"]).refusals == ()


def test_an_lstm_that_runs_backwards_is_one_operator(convert: Convert):
    converted = convert("backwards.keras")

    assert operators(converted).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == 1
    assert not any("unrolled" in warning for warning in converted.warnings)
    assert measure(graph(converted), RUNTIMES["m4_cmsisnn"]).refusals == ()


@pytest.mark.parametrize(
    ("name", "count"), [("backwards", 1), ("both_ways", 2), ("both_ways_steps", 4), ("beside", 1)]
)
def test_lstms_compute_in_tflm_what_keras_does(
    convert: Convert, sources: Path, name: str, count: int
):
    """Also where their outputs are joined, for which the converter gives them another scale."""
    np = pytest.importorskip("numpy")
    runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")
    converted = convert(f"{name}.keras", "steps.npy")
    expected = np.load(sources / f"{name}_float.npy")

    found = []
    for sample in np.load(sources / "steps.npy"):  # a fresh one each: an LSTM keeps its state
        interpreter = runtime.Interpreter.from_bytes(converted.content)
        ends = interpreter.get_input_details(0), interpreter.get_output_details(0)
        (scale, zero), (out_scale, out_zero) = (
            (
                end["quantization_parameters"]["scales"][0],
                end["quantization_parameters"]["zero_points"][0],
            )
            for end in ends
        )
        levels = np.clip(np.rint(sample / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_input(levels[None], 0)
        interpreter.invoke()
        found.append((interpreter.get_output(0)[0].astype(np.float64) - out_zero) * out_scale)
    error = np.sqrt(np.mean((np.array(found) - expected) ** 2)) / np.std(expected)
    assert error < 0.05
    assert all(each["relative_error"] < 0.05 for each in converted.drift)
    assert operators(converted).count("UNIDIRECTIONAL_SEQUENCE_LSTM") == count
    assert not any("unrolled" in warning for warning in converted.warnings)
    assert measure(graph(converted), RUNTIMES["m4_cmsisnn"]).refusals == ()


@pytest.mark.parametrize(
    "name", ["lstms.keras", "beside.keras", "backwards.keras", "both_ways_steps.keras"]
)
def test_a_plan_of_lstms_has_the_operators_of_their_conversion(
    convert: Convert, sources: Path, name: str
):
    planned = planned_model(network_of(config_of(sources / name)), name)

    assert [each.name for each in planned.main.operators] == operators(convert(name))


def test_a_fill_of_fixed_shape_is_measured(convert: Convert):
    converted = convert("filled")

    assert operators(converted) == ["REDUCE_MAX", "FILL"]
    assert measure(graph(converted), RUNTIMES["m4_cmsisnn"]).refusals == ()


def test_a_fill_whose_shape_depends_on_the_input_is_refused(convert: Convert):
    message = error_of(convert, "filled_at_will").message

    assert "/filled" in message
    assert "' of FILL #" in message
    assert "has the shape (-1, 6), not a fixed one" in message


@pytest.mark.parametrize("name", ["cut.keras", "noise.h5", "noise"])
def test_a_damaged_source_is_one_line(convert: Convert, sources: Path, name: str):
    whole = (sources / "conv2d.keras").read_bytes()
    (sources / "cut.keras").write_bytes(whole[: len(whole) // 2])
    (sources / "noise.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8)
    (sources / "noise").mkdir(exist_ok=True)
    (sources / "noise" / "saved_model.pb").write_bytes(bytes(range(256)) * 8)

    error = error_of(convert, name)
    assert error.message.startswith(f"{name}: ")
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", "the function failed: KeyError: 'no such word'"),
        ("takes_all_memory", "memory"),
        ("nothing", "samples has no function 'nothing'"),
    ],
)
def test_data_functions_that_fail(convert: Convert, function: str, said: str):
    error = error_of(convert, "dense.keras", f"samples:{function}", memory_bytes=1 << 30)

    assert said in error.message


# Isolation


def test_a_crash_is_an_error_of_its_model_alone(convert: Convert):
    error = error_of(convert, "dense.keras", "samples:crashes")

    crash = "dense.keras: the converter crashed (SIGSEGV) while reading representative data"
    assert error.message == crash
    assert b"about to crash" in error.log
    assert convert("conv1d.keras").content


def test_what_takes_too_long_is_ended_with_all_it_has_started(convert: Convert, sources: Path):
    begun = time.monotonic()
    error = error_of(convert, "dense.keras", "samples:hangs", timeout_seconds=4)

    assert time.monotonic() - begun < 60
    assert "not converted after 4 s, at reading representative data" in error.message
    grandchild = int((sources / "grandchild.txt").read_text())
    for _ in range(600):
        if not is_running(grandchild):
            return
        time.sleep(0.1)
    pytest.fail(f"process {grandchild} still runs")


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().split()[2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_workers_get_no_secrets(convert: Convert, sources: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CI_JOB_TOKEN", "secret")
    fresh = Converter(cache=None)
    try:
        settings = Conversion(sources, "samples:environment")
        fresh.convert(Request(sources / "dense.keras", "dense.keras", settings))
    finally:
        fresh.close()

    names = (sources / "environment.txt").read_text().split("\n")
    assert "PATH" in names
    assert "CI_JOB_TOKEN" not in names


def test_a_server_that_is_killed_is_started_again(sources: Path):
    fresh = Converter(cache=None)
    try:
        settings = Conversion(sources, "random")
        fresh.convert(Request(sources / "dense.keras", "dense.keras", settings))
        server = fresh._servers["plan"]._process
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        assert fresh.convert(Request(sources / "conv1d.keras", "conv1d.keras", settings)).content
    finally:
        fresh.close()


def test_where_nothing_forks_each_model_has_a_process(
    sources: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pytest_tinybudget.convert.server._FORKS", False)
    fresh = Converter(cache=None)
    good = Request(sources / "dense.keras", "dense.keras", Conversion(sources, "random"))
    bad = replace(good, settings=Conversion(sources, "samples:crashes"))
    slow = replace(good, settings=Conversion(sources, "samples:hangs", timeout_seconds=1))
    monkeypatch.setattr("pytest_tinybudget.convert.server.IMPORT_SECONDS", 15)
    try:
        fresh.prepare([good, bad, slow])
        assert fresh.convert(good).content
        with pytest.raises(ConversionError, match=r"crashed \(SIGSEGV\)"):
            fresh.convert(bad)
        with pytest.raises(ConversionError, match="not converted after 1 s"):
            fresh.convert(slow)
    finally:
        fresh.close()


# Cache


def test_a_model_saved_at_another_time_is_not_converted_again(sources: Path, tmp_path: Path):
    cached = Converter(Cache(tmp_path))
    try:
        settings = Conversion(sources, "image.npz")
        first = cached.convert(Request(sources / "conv2d.keras", "conv2d.keras", settings))
        again = Converter(Cache(tmp_path))
        second = again.convert(Request(sources / "conv2d_again.keras", "again", settings))
    finally:
        cached.close()

    assert (first.cached, second.cached) == (False, True)
    assert first.content == second.content
    assert first.notes == second.notes


def test_data_that_a_function_has_read_is_part_of_the_result(sources: Path, tmp_path: Path):
    import numpy as np

    settings = Conversion(sources, "samples:from_a_file")
    numbers = np.random.default_rng(0).random((8, 8), np.float32)
    converter = Converter(Cache(tmp_path))
    request = Request(sources / "dense.keras", "dense.keras", settings)
    try:
        np.save(sources / "numbers.npy", numbers)
        converter.convert(request)
        converter._kept.clear()
        assert converter.convert(request).cached
        np.save(sources / "numbers.npy", numbers * 100)
        converter._kept.clear()
        assert not converter.convert(request).cached
    finally:
        converter.close()


# Through to the verdict

DECLARATION = """
schema = 1

[defaults]
boards = ["arduino-nano-33-ble"]
runtime = "tflite-micro 90b983c2"
representative_data = "random"

[models.conv2d]
source = "conv2d.keras"
representative_data = "image.npz"

[models.lstm]
source = "lstm.keras"

[models.saved]
source = "conv2d"

[models.bad]
source = "upsampled.h5"
"""


def run(sources: Path, cache: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TINYBUDGET_CACHE": str(cache)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=sources,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


#: Runs the gate, then says which heavy packages the process and its children have imported.
WARM = """
import subprocess, sys
from pytest_tinybudget.cli import main

def refuse(*arguments, **keywords):
    raise AssertionError(f"started {arguments}")

subprocess.Popen.__init__ = refuse
code = main(["check", "warm.toml"])
print("imported:", sorted({"tensorflow", "keras", "numpy"} & set(sys.modules)))
sys.exit(code)
"""


def test_pytest_converts_and_a_warm_run_imports_neither_tensorflow_nor_numpy(
    sources: Path, tmp_path: Path
):
    (sources / "tinybudget.toml").write_text(DECLARATION, encoding="utf-8")
    good = DECLARATION.partition("[models.bad]")[0]
    (sources / "warm.toml").write_text(good, encoding="utf-8")

    plain = ("-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest")
    cold = run(sources, tmp_path, *plain, "tinybudget.toml", "--tinybudget-json=results.json")

    assert "3 passed, 1 error" in cold.stdout, cold.stdout + cold.stderr
    assert "converting conv2d.keras" in cold.stdout
    assert "upsampled.h5: what the converter made is not for TFLM: TILE #1" in cold.stdout
    assert (sources / "build" / "tinybudget" / "conv2d_model_data.cc").is_file()
    assert (sources / "build" / "tinybudget" / "bad_conversion.log").is_file()
    pairs = {pair["model"]["name"]: pair for pair in json.loads(
        (sources / "results.json").read_text())["pairs"]}  # fmt: skip
    assert pairs["conv2d"]["outcome"] == "fits"
    assert pairs["conv2d"]["conversion"].startswith("int8, dense layers per channel, ")
    assert any("INT8 against float" in note for note in pairs["conv2d"]["notes"])
    assert pairs["lstm"]["outcome"] == "warns"

    warm = run(sources, tmp_path, "-c", WARM)

    assert warm.returncode == 0, warm.stdout + warm.stderr
    assert "imported: []" in warm.stdout


LIVE = """
import keras
import numpy as np
import pytest_tinybudget

def test_the_trained_model_fits():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)], name="fresh")
    data = np.random.rand(16, 8).astype("float32")
    result = pytest_tinybudget.check(
        model, board="arduino-nano-33-ble", budget={"ram": "64 KB"}, representative_data=data
    )
    assert not result.failed, result.headline
    assert result.model == "fresh"

def test_with_the_fixture(tinybudget):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)], name="fresh")
    data = np.random.rand(16, 8).astype("float32")
    result = tinybudget.check(model, board="arduino-nano-33-ble", representative_data=data)
    assert result.model_source == "fresh.keras"
"""


def test_a_training_repository_asserts_on_a_live_model(tmp_path: Path):
    (tmp_path / "test_training.py").write_text(LIVE, encoding="utf-8")

    done = run(tmp_path, tmp_path / "cache", "-m", "pytest", "-p", "no:cacheprovider", "-q")

    assert "2 passed" in done.stdout, done.stdout + done.stderr


# The same numbers as TFLM's

COMPARE = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
from tflite_micro import runtime

worst = {}
for path in map(Path, sys.argv[1:]):
    content = path.read_bytes()
    lite = tf.lite.Interpreter(
        model_content=content,
        experimental_op_resolver_type=
            tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    lite.allocate_tensors()
    micro = runtime.Interpreter.from_bytes(content, arena_size=1 << 20)
    generator = np.random.default_rng(0)
    for index, detail in enumerate(lite.get_input_details()):
        values = generator.integers(-128, 128, detail["shape"]).astype("int8")
        lite.set_tensor(detail["index"], values)
        micro.set_input(values, index)
    lite.invoke()
    micro.invoke()
    worst[path.stem] = max(
        int(np.abs(lite.get_tensor(detail["index"]).astype(int)
                   - micro.get_output(index).astype(int)).max())
        for index, detail in enumerate(lite.get_output_details())
    )
print(json.dumps(worst))
"""


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="needs tflite-micro")
def test_tflm_and_litert_agree_within_two_levels(convert: Convert, tmp_path: Path):
    names = [name if isinstance(name, str) else name.values[0] for name in KINDS]
    if installed_quantizer() is None:
        names = [name for name in names if not name.endswith(".tflite")]
    files = []
    for name in names:
        files.append(tmp_path / f"{name.replace('.', '_')}.tflite")
        files[-1].write_bytes(convert(name).content)
    script = tmp_path / "compare.py"
    script.write_text(COMPARE, encoding="utf-8")

    done = run(tmp_path, tmp_path, str(script), *map(str, files))

    assert done.returncode == 0, done.stderr[-2000:]
    worst = json.loads(done.stdout.splitlines()[-1])
    assert len(worst) == len(names)
    assert {name: levels for name, levels in worst.items() if levels > 2} == {}
