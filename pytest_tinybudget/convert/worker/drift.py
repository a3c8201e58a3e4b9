"""Compares the INT8 model's outputs with the float model's, on some calibration samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.backend import Trained
from pytest_tinybudget.graph.state import keeps_state
from pytest_tinybudget.graph.tflite import read_model


if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Samples to compare: enough to see a broken model, not to measure an accuracy.
COMPARED_SAMPLES = 16
#: An output is saturated when this share of its float values is outside its INT8 range.
_SATURATED_SHARE = 0.1
#: An output is wrong when its error is this share of how much the float output varies.
_UNLIKE_SHARE = 0.5


def drift(trained: Trained, content: bytes, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """For each output: largest and mean error, range of the float output, and what is broken."""
    step = max(1, len(samples) // COMPARED_SAMPLES)
    chosen = samples[::step][:COMPARED_SAMPLES]
    interpreter = _fresh(trained, content)
    details = interpreter.get_output_details()
    float_runs = [trained.run(sample) for sample in chosen]
    int8_runs: list[list[NDArray[Any]]] = []
    is_stateful = keeps_state(read_model(content, "model"))
    for sample in chosen:
        if is_stateful and int8_runs:
            interpreter = _fresh(trained, content)
        int8_runs.append(_invoke(interpreter, sample))
    return [
        _compared(
            str(detail["name"]),
            detail,
            np.stack([np.asarray(run[index], np.float64).ravel() for run in float_runs]),
            np.stack([run[index].astype(np.float64).ravel() for run in int8_runs]),
        )
        for index, detail in enumerate(details)
    ]


def _fresh(trained: Trained, content: bytes) -> Any:
    interpreter = trained.interpreter(content)
    interpreter.allocate_tensors()
    return interpreter


def _invoke(interpreter: Any, sample: Sample) -> list[NDArray[Any]]:
    """The quantized outputs for one sample."""
    for detail, values in zip(interpreter.get_input_details(), sample, strict=True):
        interpreter.set_tensor(detail["index"], _quantized(values, detail))
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def _quantized(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    scale, zero_point = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    levels = np.rint(values / scale) + zero_point
    clipped: NDArray[Any] = np.clip(levels, limits.min, limits.max).astype(detail["dtype"])
    return clipped


def _compared(
    name: str, detail: dict[str, Any], expected: NDArray[Any], levels: NDArray[Any]
) -> dict[str, Any]:
    """The comparison of one output. A row of each array is a sample."""
    scale, zero_point = detail["quantization"]
    scale = scale or 1.0
    found = (levels - zero_point) * scale
    error = np.abs(found - expected)
    spread = float(np.sqrt(np.mean((expected - expected.mean()) ** 2)))
    relative = float(np.sqrt(np.mean(error**2))) / spread if spread else 0.0
    return {
        "output": name,
        "max_error": float(error.max()),
        "mean_error": float(error.mean()),
        "float_min": float(expected.min()),
        "float_max": float(expected.max()),
        "relative_error": relative,
        "broken": _broken(detail, expected, levels, found, relative),
    }


def _broken(
    detail: dict[str, Any],
    expected: NDArray[Any],
    levels: NDArray[Any],
    found: NDArray[Any],
    relative: float,
) -> str:
    """Why the output is broken; empty where it is not."""
    scale, zero_point = detail["quantization"]
    is_constant = len(levels) > 1 and np.ptp(levels, axis=0).max() == 0
    if is_constant and np.ptp(expected, axis=0).max() > 2 * (scale or 1.0):
        return "the same for every sample, which the float model's is not"
    if scale and np.issubdtype(detail["dtype"], np.integer):
        limits = np.iinfo(detail["dtype"])
        low, high = (limits.min - zero_point - 1) * scale, (limits.max - zero_point + 1) * scale
        share = float(np.mean((expected < low) | (expected > high)))
        if share > _SATURATED_SHARE:
            return f"saturated: {share:.0%} of the float model's values are beyond its range"
    if relative > _UNLIKE_SHARE and np.abs(found - expected).max() > 2 * (scale or 1.0):
        return f"unlike the float model's: the error is {relative:.0%} of how much that varies"
    return ""
