"""Accuracy on held-out data and agreement with the deployed model, on the example's digits."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from campaigns import every
from campaigns import rare
from modelmaker import ModelMaker
from random_models import variable
from wide_models import wide

from pytest_tinybudget import cli
from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.declaration import load_declaration
from pytest_tinybudget.declaration.pairs import pairs
from pytest_tinybudget.evaluation import child
from pytest_tinybudget.evaluation import interpreters
from pytest_tinybudget.evaluation import intervals
from pytest_tinybudget.evaluation import measure
from pytest_tinybudget.evaluation.job import Job
from pytest_tinybudget.evaluation.worker import metrics
from pytest_tinybudget.gate.pipeline import Gate
from pytest_tinybudget.graph.tflite import read_model
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.workspace import Workspace


ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "quickstart"
DIGITS = (EXAMPLE / "models" / "digits.tflite").read_bytes()
HELD_OUT = EXAMPLE / "digits_held_out.npz"

INTERPRETERS = [
    name for name, module in interpreters.MODULES.items() if find_spec(module.partition(".")[0])
]
runs_models = pytest.mark.skipif(not INTERPRETERS, reason="needs an interpreter")
needs_tensorflow = pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs TensorFlow")

HEAD = """\
schema = 1

[models.digits]
source = "models/digits.tflite"
boards = ["arduino-nano-33-ble"]
runtime = "tflite-micro 90b983c2"
deployed = "models/digits_v1.tflite"
"""
DATA = """\
data = "held_out.npz"
inputs = "images"
labels = "labels"
normalize = { std = 16 }
"""
ACCURACY = f"{HEAD}\n[models.digits.accuracy]\n{DATA}"


def blunted(content: bytes, share: float = 0.5) -> bytes:
    """The model with this share of its last dense layer's weights at zero: it decides worse."""
    graph = read_model(content, "digits").main
    dense = [operator for operator in graph.operators if operator.name == "FULLY_CONNECTED"][-1]
    weights = bytes(graph.tensors[dense.inputs[1]].data)
    kept = len(weights) - round(share * len(weights))
    assert content.count(weights) == 1
    return content.replace(weights, weights[:kept] + bytes(len(weights) - kept))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYBUDGET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the example's digits, which are deployed as well, and their held-out data."""
    folder = tmp_path / "project"
    folder.joinpath("models").mkdir(parents=True)
    folder.joinpath("models", "digits.tflite").write_bytes(DIGITS)
    folder.joinpath("models", "digits_v1.tflite").write_bytes(DIGITS)
    folder.joinpath("held_out.npz").write_bytes(HELD_OUT.read_bytes())
    monkeypatch.chdir(folder)
    return folder


def results(declaration: str, *, cached: bool = True) -> dict[str, PairResult]:
    """What the checks of ``declaration``, in the working directory, come to, by kind."""
    path = Path("tinybudget.toml").absolute()
    path.write_text(declaration, encoding="utf-8")
    gate = Gate(Workspace(cached=cached))
    try:
        found = [gate.check(pair) for pair in pairs("tinybudget.toml", load_declaration(path))]
    finally:
        gate.workspace.close()
    return {result.kind: result for result in found if result.kind != "pair"}


def saved(**arrays: Any) -> None:
    """Other held-out data."""
    np.savez("held_out.npz", **arrays)


def held_out() -> tuple[np.ndarray, np.ndarray]:
    with np.load(HELD_OUT) as data:
        return data["images"], data["labels"]


# Accuracy


@runs_models
def test_each_demand_is_an_item_of_its_own(folder: Path, pytester: pytest.Pytester):
    demand = "\n[models.digits.agreement]\nmin_agreement = '99%'\n"
    folder.joinpath("tinybudget.toml").write_text(f"{ACCURACY}min = '95%'\n{demand}", "utf-8")

    result = pytester.runpytest("--tinybudget", "-v", str(folder), "-p", "no:benchmark")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "*tinybudget.toml::digits::arduino-nano-33-ble PASSED*",
            "*tinybudget.toml::digits::accuracy PASSED*",
            "*tinybudget.toml::digits::agreement PASSED*",
        ]
    )


@runs_models
def test_the_headline_says_value_and_limit(folder: Path):
    found = results(ACCURACY + 'min = "95%"\n')["accuracy"]

    assert found.id == "tinybudget.toml::digits::accuracy"
    assert (found.outcome, found.headline) == ("fits", "accuracy 97.5 % (at least 95.0 %)")
    (figure,) = found.figures
    assert (figure.low, figure.limit, figure.at_least) == (97.5, 95.0, True)
    assert figure.basis.startswith("195 of 200 samples of held_out.npz, ")
    assert found.runtime in figure.basis


@runs_models
def test_an_accuracy_exactly_at_its_minimum_passes(folder: Path):
    assert results(ACCURACY + 'min = "97.5%"\n')["accuracy"].outcome == "fits"
    assert results(ACCURACY + "min = 0.9751\n")["accuracy"].outcome == "unmet"


@runs_models
def test_too_low_fails_and_names_the_class_told_worst(folder: Path):
    found = results(ACCURACY + 'min = "99%"\n')["accuracy"]

    assert found.failed
    assert found.headline == "accuracy too low: 97.5 % (at least 99.0 %)"
    assert found.codes == ("TB022",)
    (reason,) = found.reasons
    assert reason == "class 8 is recognized worst: 17 of 19"


@runs_models
def test_a_limit_within_the_samples_noise_is_told(folder: Path):
    close = results(ACCURACY + 'min = "96%"\n')["accuracy"]
    far = results(ACCURACY + 'min = "80%"\n')["accuracy"]

    doubt = "few samples: accuracy lies between 94.3 % and 98.9 % (95 %), its limit among them"
    assert close.notes[0] == doubt
    assert doubt not in far.notes


@runs_models
def test_a_value_that_rounds_to_its_limit_gets_more_digits(folder: Path):
    headline = results(ACCURACY + 'min = "97.504%"\n')["accuracy"].headline

    assert headline == "accuracy too low: 97.500 % (at least 97.504 %)"


@runs_models
@pytest.mark.parametrize(
    ("labels", "metric", "headline"),
    [
        ("labels", 'metric = "top_5"\nmin = "99%"', "top-5 accuracy 100.0 % (at least 99.0 %)"),
        ("one_hot", 'metric = "accuracy"\nmin = "95%"', "accuracy 97.5 % (at least 95.0 %)"),
        rare(("one_hot", 'metric = "mae"\nmax = 0.05', "MAE 0.00")),
        ("one_hot", 'metric = "mse"\nmax = 0.001', "MSE too high: 0.00"),
    ],
)
def test_each_metric_has_its_limit_and_its_words(
    folder: Path, labels: str, metric: str, headline: str
):
    images, classes = held_out()
    saved(images=images, labels=classes, one_hot=np.eye(10)[classes])
    declared = DATA.replace('labels = "labels"', f'labels = "{labels}"')

    found = results(f"{HEAD}[models.digits.accuracy]\n{declared}{metric}\n")["accuracy"]

    assert found.headline.startswith(headline)


@runs_models
def test_an_autoencoder_is_rated_by_its_own_input(folder: Path):
    spectra = np.random.default_rng(0).random((20, 64)).astype(np.float32)
    saved(x=spectra)
    folder.joinpath("models", "digits.tflite").write_bytes(
        (EXAMPLE / "models" / "machine.tflite").read_bytes()
    )

    found = results(
        HEAD + '[models.digits.accuracy]\ndata = "held_out.npz"\nlabels = "x"\n'
        'metric = "mse"\nmax = 1\n'
    )["accuracy"]

    assert found.outcome == "fits"
    assert found.headline.startswith("MSE 0.")


# Against the float model


@runs_models
def test_a_drop_from_the_reference_is_held_to_its_limit(folder: Path):
    folder.joinpath("models", "digits.tflite").write_bytes(blunted(DIGITS))
    demand = ACCURACY + 'min = "10%"\nmax_drop = "1%"\nreference = "models/digits_v1.tflite"\n'

    found = results(demand)["accuracy"]

    assert found.outcome == "unmet"
    assert found.headline.startswith("too far from float: ")
    assert " below float (at most 1.0 %), accuracy " in found.headline
    drop = found.figures[1]
    assert drop.low is not None
    assert found.figures[0].low == pytest.approx(97.5 - drop.low)
    assert "float has 97.5 %" in drop.basis
    assert any("representative_data" in reason for reason in found.reasons)


@runs_models
def test_better_than_float_reads_so(folder: Path):
    folder.joinpath("models", "digits_v1.tflite").write_bytes(blunted(DIGITS))

    found = results(ACCURACY + 'max_drop = "1%"\nreference = "models/digits_v1.tflite"\n')

    assert found["accuracy"].outcome == "fits"
    assert found["accuracy"].headline.endswith(" above float (at most 1.0 %)")


@runs_models
def test_a_ready_int8_model_needs_a_reference(folder: Path):
    found = results(ACCURACY + 'max_drop = "1%"\n')["accuracy"]

    assert found.outcome == "error"
    assert "needs the float model" in found.headline
    assert "'reference'" in found.headline


@needs_tensorflow
@pytest.mark.tensorflow
def test_a_converted_keras_model_is_compared_with_its_source(folder: Path):
    script = """
import keras, numpy as np
with np.load("held_out.npz") as data:
    images, labels = data["images"] / 16, data["labels"]
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
                          keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(images, labels, epochs=60, verbose=0)
model.save("models/digits.keras")
np.savez("calibration.npz", images=images.astype("float32"))
"""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)
    demand = ACCURACY.replace("digits.tflite", "digits.keras").replace(
        "deployed", 'representative_data = "calibration.npz"\ndeployed'
    )

    found = results(demand + 'min = "80%"\nmax_drop = "5%"\n')["accuracy"]
    again = results(demand + 'min = "80%"\nmax_drop = "6%"\n')["accuracy"]

    assert found.outcome == "fits", found.headline
    assert " float (at most 5.0 %)" in found.headline
    assert found.conversion
    assert again.figures[1].low == found.figures[1].low


# Agreement


@runs_models
def test_a_model_that_decides_otherwise_fails_and_says_where(folder: Path):
    folder.joinpath("models", "digits.tflite").write_bytes(blunted(DIGITS))
    demand = f"{ACCURACY}min = 0\n[models.digits.agreement]\nmin_agreement = '99%'\n"

    found = results(demand)["agreement"]

    assert found.outcome == "unmet"
    assert found.headline.startswith("agreement with digits_v1.tflite too low: ")
    assert found.headline.endswith("(at least 99.0 %)")
    (reason,) = found.reasons
    assert reason.startswith("they differ in ")
    assert ": digits_v1.tflite says " in reason


@runs_models
def test_with_a_tolerance_outputs_are_numbers(folder: Path):
    folder.joinpath("models", "digits.tflite").write_bytes(blunted(DIGITS, 0.1))
    data = DATA.replace('labels = "labels"\n', "")
    demand = f"{HEAD}[models.digits.agreement]\n{data}min_agreement = '100%'\n"

    assert results(demand + "tolerance = 1\n")["agreement"].outcome == "fits"
    assert results(demand + "tolerance = 0\n")["agreement"].outcome == "unmet"


@runs_models
def test_a_deployed_model_of_another_shape_is_an_error(folder: Path):
    machine = (EXAMPLE / "models" / "machine.tflite").read_bytes()
    folder.joinpath("models", "digits_v1.tflite").write_bytes(machine)
    demand = f"{ACCURACY}min = 0\n[models.digits.agreement]\nmin_agreement = '99%'\n"

    found = results(demand)["agreement"]

    assert found.outcome == "error"
    assert found.headline == "digits_v1.tflite takes (64,), but the data is for (8, 8, 1)"


UNTOLD = "CONV_2D #0: its option quantized_bias_type does not say that its bias is INT32"


@runs_models
@pytest.mark.parametrize(
    ("told", "theirs", "said"),
    [
        (None, "INT32", [UNTOLD]),
        ("INT32", None, [f"digits_v1.tflite: {UNTOLD}"]),
        rare(("INT32", "INT32", [])),
    ],
    ids=["the model", "the deployed one", "neither"],
)
def test_a_bias_that_litert_reads_otherwise_is_told_where_outputs_are_compared(
    folder: Path, told: str | None, theirs: str | None, said: list[str]
):
    folder.joinpath("models", "digits.tflite").write_bytes(wide("INT32", told))
    folder.joinpath("models", "digits_v1.tflite").write_bytes(wide("INT32", theirs))
    generator = np.random.default_rng(0)
    saved(
        images=generator.random((4, 4, 4, 2), np.float32),
        labels=generator.random((4, 4, 4, 3), np.float32),
    )
    data = DATA.replace("normalize = { std = 16 }\n", "").replace('labels = "labels"\n', "")

    found = results(
        f"{HEAD}[models.digits.agreement]\n{data}min_agreement = '1%'\ntolerance = 1000\n"
        f"[models.digits.accuracy]\n{data}labels = 'labels'\nmetric = 'mse'\nmax = 1e6\n"
        "reference = 'models/digits_v1.tflite'\nmax_drop = '100%'\n"
    )

    for kind, name in (("agreement", "digits_v1.tflite"), ("accuracy", "models/digits_v1.tflite")):
        warnings = [each for each in found[kind].warnings if "quantized_bias_type" in each]
        starts = [each.replace("digits_v1.tflite", name) for each in said]
        assert len(warnings) == len(starts)
        assert all(map(str.startswith, warnings, starts))


# What is kept


@runs_models
def test_a_warm_run_starts_no_child_and_imports_no_numpy(folder: Path):
    folder.joinpath("tinybudget.toml").write_text(ACCURACY + "min = 0.95\n", encoding="utf-8")
    assert cli.main(["check", "."]) == 0
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen = None\n"
        "from pytest_tinybudget import cli\n"
        "code = cli.main(['check', '.'])\n"
        "heavy = {'numpy', 'tensorflow', 'tflite_micro', 'ai_edge_litert'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "accuracy 97.5 % (at least 95.0 %)" in done.stdout


@runs_models
@pytest.mark.parametrize("what", ["model", "data", "settings"])
def test_what_the_result_depends_on_is_evaluated_again(folder: Path, what: str):
    before = results(ACCURACY + "min = 0\n")["accuracy"].figures[0].low
    declared = ACCURACY
    if what == "model":
        folder.joinpath("models", "digits.tflite").write_bytes(blunted(DIGITS))
    elif what == "data":
        images, labels = held_out()
        saved(images=images[:100], labels=labels[::-1][:100])
    else:
        declared = ACCURACY.replace("std = 16", "std = 64")

    assert results(declared + "min = 0\n")["accuracy"].figures[0].low != before


@runs_models
def test_other_limits_need_no_other_evaluation(folder: Path, monkeypatch: pytest.MonkeyPatch):
    results(ACCURACY + 'min = "95%"\n')
    monkeypatch.setattr(child, "run", None)

    assert results(ACCURACY + 'min = "98%"\n')["accuracy"].outcome == "unmet"


@runs_models
def test_the_cache_lists_and_clears_evaluations(folder: Path, capsys: pytest.CaptureFixture[str]):
    results(ACCURACY + "min = 0\n")

    assert cli.main(["cache", "list"]) == 0
    assert "models/digits.tflite, evaluated" in capsys.readouterr().out


# Data that cannot be used


def promise(shape: tuple[int, ...]) -> bytes:
    """An ``.npz`` file whose array says that it has ``shape``, and holds eight bytes."""
    header = str({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", array)
    return file.getvalue()


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, images=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return file.getvalue()


@runs_models
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            promise((100_000_000_000,)),
            "the shape (100000000000,), 400,000,000,000 bytes",
        ),
        (pickled(), "images.npy holds Python objects, expected numbers"),
        (b"PK\x03\x04 no archive", "held_out.npz: BadZipFile: "),
        (b"", "held_out.npz: BadZipFile: "),
    ],
    # The bytes hold the time, and workers that collect in different seconds must agree.
    ids=["too large", "pickled", "torn", "empty"],
)
def test_a_file_that_is_no_data_is_one_line(folder: Path, content: bytes, reason: str):
    folder.joinpath("held_out.npz").write_bytes(content)

    found = results(ACCURACY + "min = 0\n")["accuracy"]

    assert found.outcome == "error"
    assert found.headline.startswith("held-out data: held_out.npz")
    assert reason in found.headline
    assert "\n" not in found.headline


IMAGES, LABELS = held_out()


@runs_models
@pytest.mark.parametrize(
    ("arrays", "old", "new", "reason"),
    every(
        4,
        [
            ({"x": IMAGES}, "", "", "no array 'images' (inputs); it has x"),
            ({"images": IMAGES}, "", "", "no array 'labels' (labels); it has images"),
            (
                {"images": IMAGES[..., 0], "labels": LABELS},
                "",
                "",
                "'images': shape (200, 8, 8), expected (samples, 8, 8, 1)",
            ),
            (
                {"images": IMAGES, "labels": LABELS[:9]},
                "",
                "",
                "'labels': 9 samples, but 'images' has",
            ),
            ({"images": IMAGES[:0], "labels": LABELS[:0]}, "", "", "'images': holds no samples"),
            (
                {"images": IMAGES, "labels": LABELS + 3},
                "",
                "",
                "'labels': classes 3 to 12, but the model knows 0 to 9",
            ),
            (
                {"images": IMAGES, "labels": LABELS / 2},
                "",
                "",
                "'labels': float64 with fractions, expected class numbers",
            ),
            (
                {"images": IMAGES, "labels": LABELS},
                "normalize = { std = 16 }\n",
                "",
                "'images': uint8, but the model's input is int8: say what makes it the numbers of ",
            ),
            (
                {"images": np.full(IMAGES.shape, np.nan), "labels": LABELS},
                "",
                "",
                "'images': NaN or infinity in 200 samples, first in 0",
            ),
            (
                {"images": IMAGES.astype(str), "labels": LABELS},
                "",
                "",
                "'images': <U3, expected numbers",
            ),
            (
                {"images": IMAGES, "labels": LABELS},
                'inputs = "images"',
                'inputs = ["images", "labels"]',
                "has 1 inputs, but 'inputs' names 2: images, labels",
            ),
            (
                {"images": IMAGES, "labels": LABELS},
                'inputs = "images"',
                'inputs = "images"\noutput = 1',
                "models/digits.tflite has 1 outputs: output = 1 is none",
            ),
            (
                {"images": IMAGES, "labels": LABELS},
                'inputs = "images"',
                'inputs = "images"\nmetric = "auc"',
                "auc needs one or two outputs, it has 10",
            ),
        ],
    ),
)
def test_data_that_does_not_fit_the_model_is_one_line(
    folder: Path, arrays: dict[str, np.ndarray], old: str, new: str, reason: str
):
    saved(**arrays)

    found = results(ACCURACY.replace(old, new) + "min = 0\n")["accuracy"]

    assert found.outcome == "error"
    assert reason in found.headline


@runs_models
def test_integers_of_the_inputs_own_type_are_taken_as_they_are(folder: Path):
    saved(images=(IMAGES.astype(np.int16) * 255 // 16 - 128).astype(np.int8), labels=LABELS)
    real = ACCURACY.replace("std = 16", "mean = -128, std = 255")
    levels = ACCURACY.replace("normalize = { std = 16 }\n", "")

    rated = [results(text + "min = 0.9\n")["accuracy"] for text in (real, levels)]

    assert rated[0].figures[0].low == rated[1].figures[0].low
    assert [found.outcome for found in rated] == ["fits", "fits"]


@runs_models
def test_numbers_beyond_what_the_input_holds_warn(folder: Path):
    saved(images=IMAGES.astype(np.float32), labels=LABELS)

    found = results(ACCURACY.replace("normalize = { std = 16 }\n", "") + "min = 0\n")["accuracy"]

    assert found.outcome == "warns"
    (warning,) = found.warnings
    assert "of the numbers of 'images' are beyond what the model's input holds (0 to 1)" in warning


# The child process


@runs_models
def test_an_evaluation_that_takes_too_long_is_ended(folder: Path, monkeypatch: pytest.MonkeyPatch):
    saved(images=np.zeros((400_000, 8, 8, 1), np.uint8), labels=np.zeros(400_000, np.uint8))
    monkeypatch.setattr(child, "IMPORT_SECONDS", 1)
    started = time.monotonic()

    found = results(ACCURACY.replace("deployed", "conversion_timeout = 1\ndeployed") + "min = 0\n")

    assert time.monotonic() - started < 60
    assert found["accuracy"].outcome == "error"
    assert "digits.tflite: not evaluated after 1 s, at " in found["accuracy"].headline


@runs_models
def test_a_crash_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/bin/false")

    found = results(ACCURACY + "min = 0\n")["accuracy"]

    assert found.outcome == "error"
    assert found.headline == (
        "models/digits.tflite: the evaluation ended with exit code 1 while its start"
    )


@runs_models
def test_the_child_sees_no_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "secret")
    seen: list[dict[str, str]] = []

    class Spy(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            seen.append(keywords["env"])
            super().__init__(*arguments, **keywords)

    monkeypatch.setattr(child.subprocess, "Popen", Spy)
    results(ACCURACY + "min = 0\n")

    (environment,) = seen
    assert "PATH" in environment
    assert "DEPLOY_TOKEN" not in environment


# Interpreters


def test_without_an_interpreter_the_command_that_installs_one_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interpreters, "find_spec", lambda _name: None)

    found = results(ACCURACY + "min = 0\n")["accuracy"]

    assert found.outcome == "error"
    assert "pip install 'pytest-tinybudget[accuracy]'" in found.headline


def _installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    monkeypatch.setattr(interpreters, "find_spec", lambda name: name if name in packages else None)


def test_tflms_interpreter_gives_the_figure_and_another_one_checks_it(
    monkeypatch: pytest.MonkeyPatch,
):
    digits = read_model(DIGITS, "digits")
    _installed(monkeypatch, "tflite_micro", "ai_edge_litert", "tensorflow")
    both = interpreters.choice_for(digits)
    _installed(monkeypatch, "tflite_micro")
    tflm = interpreters.choice_for(digits)
    _installed(monkeypatch, "ai_edge_litert")
    litert = interpreters.choice_for(digits)

    assert both.second is not None
    assert (both.first.name, both.second.name, both.why) == ("tflm", "litert", "")
    assert (tflm.first.name, tflm.second) == ("tflm", None)
    assert "LiteRT is not installed" in tflm.why
    assert (litert.first.name, litert.second) == ("litert", None)
    assert "TFLM's interpreter is not installed" in litert.why


def test_a_float_model_is_run_by_litert(monkeypatch: pytest.MonkeyPatch):
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 4), "FLOAT32")
    graph.output(graph.add(value, value))
    model = read_model(maker.build(), "float")
    _installed(monkeypatch, "tflite_micro", "ai_edge_litert")

    choice = interpreters.choice_for(model)

    assert (choice.first.name, choice.second) == ("litert", None)
    assert choice.why == "it computes in floating point"


@pytest.mark.parametrize(
    ("scales", "checked"),
    [
        ({"cell_scale": 2.0**-15}, True),
        ({"cell_scale": 2.0**-16}, False),
        ({"inside": {"scale": 1 / 100}}, False),
    ],
)
def test_an_lstm_that_litert_computes_wrongly_is_run_by_tflm_alone(
    monkeypatch: pytest.MonkeyPatch, scales: dict[str, Any], checked: bool
):
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 3, 4)), units=4, **scales))
    model = read_model(maker.build(), "lstm")

    _installed(monkeypatch, "tflite_micro", "ai_edge_litert")
    choice = interpreters.choice_for(model)
    assert choice.first.name == "tflm"
    assert (choice.second is not None) == checked
    _installed(monkeypatch, "ai_edge_litert")
    if checked:
        assert interpreters.choice_for(model).first.name == "litert"
    else:
        with pytest.raises(TinybudgetError, match="LiteRT computes an LSTM whose"):
            interpreters.choice_for(model)


# Declarations


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[models.digits.accuracy]\nmin = 0.9", "models.digits.accuracy: 'data' is missing"),
        ("[models.digits.agreement]\nmin_agreement = '9%'", "agreement: 'data' is missing"),
        (ACCURACY[len(HEAD) :], "models.digits.accuracy: expected min or max_drop"),
        (ACCURACY[len(HEAD) :] + "min = 95", "from 0 to 1, found 95"),
        (ACCURACY[len(HEAD) :] + "max = 0.1", "accuracy.max: accuracy has a min"),
        (ACCURACY[len(HEAD) :] + 'metric = "mae"\nmin = 0.1', "accuracy.min: mae has a max"),
        (
            ACCURACY[len(HEAD) :] + 'metric = "acuracy"\nmin = 0.1',
            "found \"acuracy\"; did you mean 'accuracy'",
        ),
        (
            "[models.digits.accuracy]\nmin = 0.9\ndata = 'heldout.npz'",
            "accuracy.data: no such file: 'heldout.npz'; did you mean 'held_out.npz'?",
        ),
    ],
)
def test_a_demand_that_makes_no_sense_names_its_line(folder: Path, text: str, error: str):
    path = folder / "tinybudget.toml"
    path.write_text(f"{HEAD}{text}\n", encoding="utf-8")

    with pytest.raises(DeclarationError) as caught:
        load_declaration(path)

    assert error in str(caught.value)


def test_agreement_needs_a_deployed_model(folder: Path):
    path = folder / "tinybudget.toml"
    head = HEAD.replace('deployed = "models/digits_v1.tflite"\n', "")
    path.write_text(
        f"{head}[models.digits.agreement]\ndata = 'held_out.npz'\nmin_agreement = '99%'\n", "utf-8"
    )

    with pytest.raises(DeclarationError, match="agreement needs 'deployed'"):
        load_declaration(path)


# Arithmetic


def test_wilsons_interval_is_the_published_one():
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
    assert intervals.of_share(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert intervals.of_share(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert intervals.of_share(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert intervals.of_share(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_a_paired_interval_covers_what_is_drawn():
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(400):
        drawn = random.choice([1, -1, 0], p=[0.06, 0.03, 0.91], size=200)
        low, high = intervals.of_paired_difference(
            int((drawn == 1).sum()), int((drawn == -1).sum()), 200
        )
        covered += low <= 0.03 <= high
    assert covered / 400 > 0.93


def job(**changes: Any) -> Job:
    plain: dict[str, Any] = {
        "shown": "m.tflite", "engine": "tflm", "data": "d.npz", "data_shown": "d.npz",
        "inputs": ("x",), "normalize": None, "output": 0, "threshold": 0.5, "labels": "y",
    }  # fmt: skip
    return Job(**{**plain, **changes})


def test_auc_is_the_chance_that_a_positive_scores_higher():
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 80)
    scores = np.round(random.random(80) + labels * 0.3, 1)
    wins = [
        (positive > negative) + (positive == negative) / 2
        for positive in scores[labels == 1]
        for negative in scores[labels == 0]
    ]

    found = metrics.rated(job(metric="auc"), scores[:, np.newaxis], labels)

    assert found.value == pytest.approx(np.mean(wins))
    assert found.interval[0] < found.value < found.interval[1]


def test_a_single_output_decides_from_its_threshold_on():
    outputs = np.array([[0.2], [0.5], [0.9]])

    found = metrics.rated(job(metric="accuracy"), outputs, np.array([0, 1, 1]))
    strict = metrics.rated(job(metric="accuracy", threshold=0.95), outputs, np.array([0, 1, 1]))

    assert (found.value, strict.value) == (1.0, pytest.approx(1 / 3))


def test_of_an_error_the_drop_is_a_share_of_the_float_models():
    asked = job(metric="mae", other_shown="float")
    labels = np.zeros((4, 2))
    float_model = metrics.rated(asked, np.full((4, 2), 0.10), labels)
    int8_model = metrics.rated(asked, np.full((4, 2), 0.11), labels)

    assert metrics.drop(asked, int8_model, float_model)["drop"] == pytest.approx(0.1)


@runs_models
@pytest.mark.parametrize("name", INTERPRETERS)
def test_every_interpreter_tells_the_same_digits_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    chosen = interpreters.Choice(interpreters.Interpreter(name, name))
    monkeypatch.setattr(measure, "choice_for", lambda _model: chosen)

    found = results(ACCURACY + 'min = "97%"\n')["accuracy"]

    assert found.outcome == "fits", found.headline
    assert found.runtime == name


def summing() -> bytes:
    """A model that adds its input to what it has been given before, and gives the sum."""
    maker = ModelMaker()
    graph, start = maker.graph(), maker.graph()
    value = graph.input((1, 4))
    spec = graph.tensors[value]
    graph.operator("CALL_ONCE", (), (), {"init_subgraph_index": 1})
    start.operator(
        "ASSIGN_VARIABLE",
        (
            variable(start, {"shared_name": "sum"}),
            start.constant((1, 4), "INT8", scale=spec.scales),
        ),
        (),
    )
    handle, before = (
        variable(graph, {"shared_name": "sum"}),
        graph.tensor((1, 4), "INT8", scale=spec.scales),
    )
    graph.operator("READ_VARIABLE", (handle,), (before,))
    total = graph.add(value, before)
    graph.operator("ASSIGN_VARIABLE", (handle, total), ())
    graph.output(total)
    return maker.build()


@pytest.mark.parametrize("name", INTERPRETERS)
def test_state_of_one_sample_does_not_reach_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    chosen = interpreters.Choice(interpreters.Interpreter(name, name))
    monkeypatch.setattr(measure, "choice_for", lambda _model: chosen)
    folder.joinpath("models", "digits.tflite").write_bytes(summing())
    saved(x=np.ones((3, 4), np.float32), y=np.ones((3, 4), np.float32))
    demand = 'data = "held_out.npz"\nmetric = "mae"\nmax = 0\n'

    found = results(f"{HEAD}[models.digits.accuracy]\n{demand}")["accuracy"]

    assert found.headline == "MAE 0 (at most 0)"
    assert "the model keeps a state: each sample has a fresh interpreter, which has none" in (
        found.notes
    )


def remembering() -> bytes:
    """A fused LSTM: its two states are variable tensors."""
    maker = ModelMaker()
    graph = maker.graph()
    graph.output(graph.lstm(graph.input((1, 3, 4)), units=4))
    random = np.random.default_rng(11)
    for tensor in graph.tensors:
        if tensor.type == "INT8" and tensor.data is not None:
            tensor.data = random.integers(-100, 100, len(tensor.data), np.int8).tobytes()
    return maker.build()


def wake_words() -> list[Path]:
    """The streaming models of ``pymicro-wakeword``, with resource variables."""
    found = find_spec("pymicro_wakeword")
    if found is None or found.origin is None:
        return []
    return sorted(Path(found.origin).parent.rglob("*.tflite"))[:2]


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("name", INTERPRETERS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(remembering(), id="fused LSTM"),
        pytest.param(summing(), id="resource variable"),
        *(pytest.param(path.read_bytes(), id=path.stem) for path in wake_words()),
    ],
)
def test_a_sample_gives_the_same_after_any_other(name: str, content: bytes):
    from pytest_tinybudget.evaluation.worker.engines import engine

    model = engine(name, content, "m.tflite")
    (tensor,) = model.inputs
    random = np.random.default_rng(7)
    levels = random.integers(-128, 128, (2, *tensor.shape))
    first, second = tensor.real(levels)

    alone = model.run([first])
    model.run([second])
    again = model.run([first])
    np.testing.assert_array_equal(alone[0], again[0])

    assert model.is_fresh
    kept = engine(name, content, "m.tflite")
    kept.is_fresh = False  # as it would be without an interpreter for each sample
    assert any(
        np.ptp([kept.run([tensor.real(np.full(tensor.shape, level))])[0] for _ in range(60)], 0)
        .max() > 0
        for level in (-128, 60, 127)
    )  # fmt: skip


@pytest.mark.skipif("litert" not in INTERPRETERS, reason="needs LiteRT")
def test_litert_s_reset_leaves_resource_variables_as_they_are():
    """Why each sample has an interpreter of its own."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=summing())
    interpreter.allocate_tensors()
    (given,), (got,) = interpreter.get_input_details(), interpreter.get_output_details()
    seen = []
    for _ in range(2):
        interpreter.reset_all_variables()
        interpreter.set_tensor(given["index"], np.full((1, 4), 5, np.int8))
        interpreter.invoke()
        seen.append(int(interpreter.get_tensor(got["index"])[0, 0]))

    assert seen == [5, 10]


@runs_models
def test_results_files_hold_the_figures(folder: Path):
    folder.joinpath("tinybudget.toml").write_text(ACCURACY + "min = 0.95\n", encoding="utf-8")

    assert cli.main(["check", "-q", "--json", "results.json"]) == 0

    stored = json.loads(folder.joinpath("results.json").read_text(encoding="utf-8"))
    (accuracy,) = [pair for pair in stored["pairs"] if pair["kind"] == "accuracy"]
    assert accuracy["figures"][0]["limit"] == 95.0


needs_both = pytest.mark.skipif(
    not {"tflm", "litert"} <= {*INTERPRETERS}, reason="needs TFLM's interpreter and LiteRT"
)


@needs_both
def test_a_result_names_its_interpreter_and_has_the_other_ones_figure(folder: Path):
    shutil.copy(ROOT / "examples" / "digits" / "models" / "digits_float.tflite", "models")
    reference = 'max_drop = "1%"\nreference = "models/digits_float.tflite"\n'

    found = results(ACCURACY + "min = 0.95\n" + reference)["accuracy"]

    assert found.runtime.startswith("TFLM's interpreter ")
    quality, drop = found.figures
    assert quality.interpreter == drop.interpreter == found.runtime
    assert quality.cross_checked_by.startswith("LiteRT ")
    assert quality.cross_check == pytest.approx(97.5)
    assert drop.cross_check == pytest.approx(0, abs=0.51)  # one sample of 200
    assert f"{found.runtime}; {quality.cross_checked_by}: 97.5 %" in quality.basis
    assert drop.basis.endswith(f" by {quality.cross_checked_by}")  # a float model is LiteRT's


@needs_both
def test_the_two_interpreters_figures_are_computed_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The cross-check is another run: with the model blunted for it alone, its figure falls."""
    from pytest_tinybudget.evaluation.worker import engines

    seen: list[str] = []
    real = engines.engine

    def spy(name: str, content: bytes, shown: str) -> Any:
        seen.append(name)
        return real(name, blunted(content) if name == "litert" else content, shown)

    monkeypatch.setattr(engines, "engine", spy)
    monkeypatch.setattr(child, "run", in_process)

    (figure,) = results(ACCURACY + "min = 0.9\n")["accuracy"].figures

    assert seen == ["tflm", "litert"]
    assert figure.low == pytest.approx(97.5)
    assert figure.cross_check is not None
    assert figure.cross_check < 90


def in_process(job: Job, folder: Any) -> dict[str, Any]:
    """What the worker would answer, without its limits."""
    from pytest_tinybudget.evaluation.worker import __main__ as worker

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker, "limit_resources", lambda *_limits: None)
        answer: dict[str, Any] = json.loads(json.dumps(worker._evaluate(job, folder)))
    return answer


@runs_models
@pytest.mark.skipif("tflm" not in INTERPRETERS, reason="needs TFLM's interpreter")
def test_arithmetic_of_another_tflm_than_the_boards_is_told(folder: Path):
    found = results(ACCURACY + "min = 0.95\n")["accuracy"]

    (note,) = [note for note in found.notes if note.startswith("the arithmetic of upstream's")]
    assert note == (
        "the arithmetic of upstream's TFLM of 2026-10-23; not that of arduino-nano-33-ble "
        "(TFLM 90b983c2 of 2026-08-20)"
    )


def tiled() -> bytes:
    """A model with an operator that LiteRT runs, and TFLM has none of."""
    maker = ModelMaker()
    graph = maker.graph()
    value = graph.input((1, 4))
    spec = graph.tensors[value]
    count = graph.constant((2,), "INT32", values=(1, 2))
    repeated = graph.tensor((1, 8), "INT8", scale=spec.scales)
    graph.operator("TILE", (value, count), (repeated,), {})
    graph.output(repeated)
    return maker.build()


@needs_both
def test_what_tflm_does_not_run_is_litert_s_with_a_warning(folder: Path):
    folder.joinpath("models", "digits.tflite").write_bytes(tiled())
    saved(x=np.zeros((3, 4), np.float32), y=np.zeros((3, 8), np.float32))

    found = results(
        f'{HEAD}[models.digits.accuracy]\ndata = "held_out.npz"\nmetric = "mae"\nmax = 0.1\n'
    )["accuracy"]

    assert found.outcome == "warns"
    assert found.runtime.startswith("LiteRT ")
    assert found.figures[0].interpreter == found.runtime
    (warning,) = found.warnings
    assert warning.startswith("TFLM's interpreter ")
    assert " does not load it: " in warning
    assert warning.endswith(f"{found.runtime} ran it instead")


@needs_both
def test_where_tflm_crashes_litert_runs_the_model_and_a_warning_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    real = child.run

    def crashing(job: Job, of: Any) -> dict[str, Any]:
        if job.engine == "tflm":
            raise child.InterpreterCrashError("m: crashed", "the interpreter crashed (SIGSEGV)")
        return real(job, of)

    monkeypatch.setattr(child, "run", crashing)

    found = results(ACCURACY + "min = 0.95\n")["accuracy"]

    assert found.outcome == "warns"
    assert found.runtime.startswith("LiteRT ")
    assert found.warnings[0].startswith("TFLM's interpreter ")
    assert " crashed (SIGSEGV): LiteRT " in found.warnings[0]


# The page


PAGE = ROOT / "docs" / "accuracy_budget.md"


def block(comment: str) -> str:
    """The fenced block below ``<!-- comment -->`` on the page."""
    text = PAGE.read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {comment} -->\n```")
    return rest.partition("\n")[2].partition("```")[0]


def test_the_pages_declaration_is_the_examples():
    example = ROOT / "examples" / "digits" / "tinybudget.toml"

    assert block("file: examples/digits/tinybudget.toml") == example.read_text(encoding="utf-8")


@needs_both
@pytest.mark.parametrize("comment", ["run: tinybudget check examples/digits", "run: stricter"])
def test_the_pages_outputs_are_what_is_printed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    comment: str,
):
    examples = tmp_path / "examples"
    shutil.copytree(ROOT / "examples", examples, ignore=shutil.ignore_patterns("build"))
    declaration = examples / "digits" / "tinybudget.toml"
    if comment == "run: stricter":
        text = declaration.read_text(encoding="utf-8").replace('"95%"', '"99%"')
        declaration.write_text(text.replace('"93%"', '"99%"'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    cli.main(["check", "examples/digits"])

    printed = "".join(f"{line.rstrip()}\n" for line in capsys.readouterr().out.splitlines())
    expected = block(comment)
    for name in ("LiteRT", "TFLM's interpreter"):  # any version of them
        printed, expected = (
            re.sub(rf"{name} [\w.]+\w", f"{name} VERSION", text) for text in (printed, expected)
        )
    assert expected in printed
    assert len(block(comment).splitlines()) > 5
