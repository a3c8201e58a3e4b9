"""Compares the INT8 model's outputs with the float model's, on some calibration samples."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.backend import Trained
from pytest_tinybudget.convert.worker.problem import first_line
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


class NotRunError(Exception):
    """No interpreter ran the INT8 model on the samples; the message says why not."""


def drift(trained: Trained, content: bytes, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """For each output: largest and mean error, range of the float output, and what is broken.

    Where the backend's own interpreter does not run the INT8 model, LiteRT's does: TensorFlow 2.21
    refuses an INT8 divisor whose byte is 0, whatever its zero point is.

    Raises:
        NotRunError: LiteRT's does not either, or is not installed.
    """
    step = max(1, len(samples) // COMPARED_SAMPLES)
    chosen = samples[::step][:COMPARED_SAMPLES]
    details = _fresh(trained.interpreter, content).get_output_details()
    float_runs = [trained.run(sample) for sample in chosen]
    try:
        int8_runs = _runs(trained.interpreter, content, chosen)
    except RuntimeError as error:
        int8_runs = _runs_by_litert(content, chosen, error)
    return [
        _compared(
            str(detail["name"]),
            detail,
            np.stack([np.asarray(run[index], np.float64).ravel() for run in float_runs]),
            np.stack([run[index].astype(np.float64).ravel() for run in int8_runs]),
        )
        for index, detail in enumerate(details)
    ]


def _runs(
    make: Callable[[bytes], Any], content: bytes, chosen: Sequence[Sample]
) -> list[list[NDArray[Any]]]:
    """The quantized outputs for each sample, in an interpreter that ``make`` makes."""
    interpreter = _fresh(make, content)
    is_stateful = keeps_state(read_model(content, "model"))
    runs: list[list[NDArray[Any]]] = []
    for sample in chosen:
        if is_stateful and runs:
            interpreter = _fresh(make, content)
        runs.append(_invoke(interpreter, sample))
    return runs


def _runs_by_litert(
    content: bytes, chosen: Sequence[Sample], first: RuntimeError
) -> list[list[NDArray[Any]]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_litert.interpreter import OpResolverType
    except ImportError:
        raise NotRunError(first_line(first)) from first

    def make(content: bytes) -> Any:
        return Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )

    try:
        return _runs(make, content, chosen)
    except RuntimeError as error:
        raise NotRunError(first_line(error)) from error


def _fresh(make: Callable[[bytes], Any], content: bytes) -> Any:
    interpreter = make(content)
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
