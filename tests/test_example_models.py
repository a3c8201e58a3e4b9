"""The example's models are real: they do what they are for, in TFLM's own interpreter."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart"
KILOBYTE = 1024

np = pytest.importorskip("numpy")
runtime = pytest.importorskip("tflite_micro.python.tflite_micro.runtime")


@pytest.fixture(scope="module")
def training() -> ModuleType:
    """The script that made the models, for the data it makes (it imports no TensorFlow)."""
    spec = importlib.util.spec_from_file_location("train_models", EXAMPLE / "train_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs(name: str, inputs: Any) -> Any:
    """The model's real-valued outputs for each of ``inputs``, through TFLM."""
    interpreter = runtime.Interpreter.from_file(str(EXAMPLE / "models" / f"{name}.tflite"))
    scale, zero = parameters(interpreter.get_input_details(0))
    output_scale, output_zero = parameters(interpreter.get_output_details(0))
    found = []
    for values in inputs:
        quantized = np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_input(quantized[np.newaxis], 0)
        interpreter.invoke()
        found.append((interpreter.get_output(0)[0].astype(float) - output_zero) * output_scale)
    return np.stack(found)


def parameters(details: dict[str, Any]) -> tuple[float, int]:
    quantization = details["quantization_parameters"]
    return quantization["scales"][0], quantization["zero_points"][0]


def test_digits_are_told_apart() -> None:
    held_out = np.load(EXAMPLE / "digits_held_out.npz")
    scores = outputs("digits", held_out["images"] / 16)
    assert len(scores) == 200
    assert (scores.argmax(axis=1) == held_out["labels"]).mean() > 0.95


def test_alarm_sounds_are_told_apart(training: ModuleType) -> None:
    spectrograms, labels = training.alarm_data(100, seed=99)
    assert (outputs("alarm", spectrograms).argmax(axis=1) == labels).mean() > 0.95


def test_a_failing_machine_stands_out(training: ModuleType) -> None:
    healthy = training.machine_data(50, seed=99)
    failing = healthy.copy()
    failing[:, 40:44] += 0.7

    def errors(spectra: Any) -> Any:
        return ((outputs("machine", spectra) - spectra) ** 2).mean(axis=1)

    assert errors(failing).min() > 3 * errors(healthy).max()


def test_the_models_are_small() -> None:
    for model in (EXAMPLE / "models").glob("*.tflite"):
        assert model.stat().st_size < 60 * KILOBYTE
