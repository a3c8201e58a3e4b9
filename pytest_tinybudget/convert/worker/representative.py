"""Reads representative data without running code in it, and checks it before it is used.

A converter accepts nearly anything: with NaN or no data it leaves the model in float without a
message, and it takes a wrong shape. So all data is checked here first.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.layout import channels_last
from pytest_tinybudget.convert.layout import source_shape
from pytest_tinybudget.convert.worker.arrays import arrays_in
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.convert.worker.problem import matched_names


#: At most so many samples are used, spread over all. More take time and hardly change a range.
MAX_SAMPLES = 500
RANDOM_SAMPLES = 32

#: What messages call the data.
_WHAT = "representative data"

#: Arrays by input name; the first axis is the sample.
_Arrays = dict[str, NDArray[Any]]


def samples_of(
    job: Job, inputs: Sequence[InputSpec], function: Callable[[], Any] | None
) -> tuple[list[list[NDArray[Any]]], list[str]]:
    """Samples for ``inputs``, each with batch 1, and notes on them.

    Raises:
        WorkerError: the data cannot be read or does not fit the model.
    """
    if function is not None:
        arrays = _from_function(function, inputs)
    elif job.data_path is None:
        arrays = _random(inputs)
    else:
        arrays = _from_path(Path(job.data_path), inputs)
    columns = [_checked(arrays[spec.name], spec) for spec in inputs]
    count = len(columns[0])
    for column, spec in zip(columns, inputs, strict=True):
        if len(column) != count:
            raise WorkerError(
                f"representative data: {count} samples for {inputs[0].name!r}, "
                f"but {len(column)} for {spec.name!r}"
            )
    chosen = range(count)
    notes = []
    if count > MAX_SAMPLES:
        chosen = range(0, count, -(-count // MAX_SAMPLES))
        notes.append(f"calibrated with {len(chosen)} of {count} samples, evenly spread")
    samples = [[column[index : index + 1] for column in columns] for index in chosen]
    return samples, notes


def _random(inputs: Sequence[InputSpec]) -> _Arrays:
    generator = np.random.default_rng(0)
    arrays: _Arrays = {}
    for spec in inputs:
        shape = (RANDOM_SAMPLES, *spec.shape[1:])
        if np.dtype(spec.dtype).kind == "f":
            arrays[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
        else:
            arrays[spec.name] = generator.integers(0, 2, shape).astype(spec.dtype)
    return arrays


def _from_path(path: Path, inputs: Sequence[InputSpec]) -> _Arrays:
    if not path.is_dir():
        return _matched(arrays_in(path, _WHAT), inputs)
    files = sorted(each for each in path.rglob("*") if each.suffix in (".npy", ".npz"))
    if not files:
        raise WorkerError(f"representative data: no .npy or .npz file in the folder {path.name}")
    parts = [_matched(arrays_in(file, _WHAT), inputs) for file in files]
    return {spec.name: _joined([part[spec.name] for part in parts], spec) for spec in inputs}


def _joined(parts: Sequence[NDArray[Any]], spec: InputSpec) -> NDArray[Any]:
    """The samples of several files. A file holds one, with or without the first axis, or many."""
    rank = len(spec.shape)
    try:
        return np.concatenate([part[None] if part.ndim == rank - 1 else part for part in parts])
    except ValueError as error:
        raise WorkerError(f"representative data for {spec.name!r}: {error}") from None


def _from_function(function: Callable[[], Any], inputs: Sequence[InputSpec]) -> _Arrays:
    """What a function of the project returns: arrays of samples, or samples one by one."""
    try:
        found = function()
        if isinstance(found, Mapping):
            return _matched({str(key): np.asarray(each) for key, each in found.items()}, inputs)
        if hasattr(found, "__array__"):
            return _matched({"": np.asarray(found)}, inputs)
        samples = list(islice(iter(found), MAX_SAMPLES))
    except (WorkerError, MemoryError):
        raise
    except Exception as error:
        raise WorkerError(
            f"representative_data: the function failed: {first_line(error)}"
        ) from error
    if not samples:
        raise WorkerError("representative_data: the function gives no samples")
    parts = [_sample(sample, inputs) for sample in samples]
    return {spec.name: _joined([part[spec.name] for part in parts], spec) for spec in inputs}


def _sample(sample: Any, inputs: Sequence[InputSpec]) -> _Arrays:
    if isinstance(sample, Mapping):
        return _matched({str(key): np.asarray(each) for key, each in sample.items()}, inputs)
    if isinstance(sample, (tuple, list)):
        if len(sample) != len(inputs):
            raise WorkerError(
                f"representative_data: the function's samples have {len(sample)} arrays, "
                f"the model {len(inputs)} inputs"
            )
        return {spec.name: np.asarray(each) for spec, each in zip(inputs, sample, strict=True)}
    return _matched({"": np.asarray(sample)}, inputs)


def _matched(arrays: _Arrays, inputs: Sequence[InputSpec]) -> _Arrays:
    """``arrays`` by the names of the model's inputs. One array for one input needs no name."""
    names = [spec.name for spec in inputs]
    if len(arrays) == len(inputs) == 1:
        return {names[0]: next(iter(arrays.values()))}
    chosen = matched_names(arrays, [(spec.name, *spec.aliases) for spec in inputs])
    if chosen is not None:
        return {name: arrays[key] for name, key in zip(names, chosen, strict=True)}
    positional = [f"arr_{index}" for index in range(len(inputs))]
    if set(arrays) == set(positional):
        return {name: arrays[key] for name, key in zip(names, positional, strict=True)}
    found = ", ".join(key or "one array without a name" for key in arrays) or "nothing"
    expected = ", ".join(spec.shown for spec in inputs)
    raise WorkerError(
        f"representative data: the model's inputs are {expected}; the data has {found}"
    )


def _checked(array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """``array`` in the input's type.

    Raises:
        WorkerError: count, shape, type or values would give another model than the user means.
    """
    where = f"representative data for {spec.name!r}"
    theirs = source_shape(spec.shape, spec.channels_first)
    expected = f"(samples, {', '.join(map(str, theirs[1:]))})"
    array = channels_last(array, spec.shape, spec.channels_first)
    if array.shape in (spec.shape[1:], theirs[1:]):
        raise WorkerError(
            f"{where}: the first axis must be the sample: {expected}, not {array.shape}"
        )
    if array.ndim == 0 or array.shape[1:] != spec.shape[1:]:
        raise WorkerError(f"{where}: shape {array.shape}, expected {expected}")
    if len(array) == 0:
        raise WorkerError(f"{where}: holds no samples")
    wanted = np.dtype(spec.dtype)
    if array.dtype.kind != wanted.kind:
        raise WorkerError(
            f"{where}: {array.dtype}, expected {wanted}: prepare it exactly as for training"
        )
    if wanted.kind == "f":
        _check_values(array, where)
    return np.ascontiguousarray(array, dtype=wanted)


def _check_values(array: NDArray[Any], where: str) -> None:
    for name, bad in (("NaN", np.isnan(array)), ("infinity", np.isinf(array))):
        if bad.any():
            rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
            raise WorkerError(
                f"{where}: {name} in {len(rows)} of {len(array)} samples, first in sample {rows[0]}"
            )
    if array.size > 1 and array.min() == array.max():
        raise WorkerError(f"{where}: every number is {array.flat[0]:g}: no range to calibrate with")
