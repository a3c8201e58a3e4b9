"""Reads held-out data and checks it against the model before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytest_tinybudget.convert.layout import channels_last
from pytest_tinybudget.convert.worker.arrays import arrays_in
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import matched_names
from pytest_tinybudget.evaluation.job import Job
from pytest_tinybudget.evaluation.worker.engines import Array
from pytest_tinybudget.evaluation.worker.engines import Tensor


_WHAT = "held-out data"
#: If at least this share of numbers is outside the range of the input, a warning says so.
_BEYOND_SHARE = 0.01


class HeldOut:
    """The arrays of a job's data, real numbers in the order of the model's inputs."""

    def __init__(self, job: Job, tensors: Sequence[Tensor]) -> None:
        """Read the data for inputs like ``tensors``.

        Raises:
            WorkerError: it cannot be read, or does not fit them.
        """
        arrays = arrays_in(Path(job.data), _WHAT)
        if len(job.inputs) != len(tensors):
            raise WorkerError(
                f"{job.shown} has {len(tensors)} inputs, but 'inputs' names {len(job.inputs)}: "
                f"{', '.join(job.inputs)}"
            )
        self._job, self._arrays = job, arrays
        names = self._in_order_of(tensors)
        self.inputs = [
            self._real(name, tensor) for name, tensor in zip(names, tensors, strict=True)
        ]
        self._by_name = dict(zip(names, self.inputs, strict=True))
        self.count = len(self.inputs[0])
        for name, values in zip(names, self.inputs, strict=True):
            self._check_count(name, values)
        self.notes = [
            note
            for name, values, tensor in zip(names, self.inputs, tensors, strict=True)
            for note in self._doubts(name, values, tensor)
        ]

    def inputs_of(self, tensors: Sequence[Tensor]) -> list[Array]:
        """The arrays for a model's inputs, which may come in another order than the first one's."""
        known = matched_names(self._job.inputs, [each.names for each in tensors])
        return self.inputs if known is None else [self._by_name[name] for name in known]

    def _in_order_of(self, tensors: Sequence[Tensor]) -> list[str]:
        """The declared names in the order of a model's inputs.

        They are as declared where they are not the names of that model's inputs.
        """
        declared = list(self._job.inputs)
        return matched_names(declared, [each.names for each in tensors]) or declared

    def labels(self) -> Array:
        """The label of each sample; the inputs themselves if ``labels`` names an input.

        Raises:
            WorkerError: there are no labels, or not one for each sample.
        """
        name = self._job.labels
        if name in self._job.inputs:
            return self._by_name[name]
        labels = self._named(name, "labels")
        if labels.dtype.kind not in "biuf":
            raise self._wrong(name, f"{labels.dtype}, expected numbers")
        self._check_count(name, labels)
        if labels.dtype.kind == "f" and not np.isfinite(labels).all():
            raise self._wrong(name, "holds NaN or infinity")
        return labels

    def _named(self, name: str, key: str) -> Array:
        if name not in self._arrays:
            found = ", ".join(self._arrays) or "nothing"
            raise WorkerError(f"{self._job.data_shown}: no array {name!r} ({key}); it has {found}")
        return self._arrays[name]

    def _real(self, name: str, tensor: Tensor) -> Array:
        """The array ``name`` as the real numbers that the model was trained with."""
        array = channels_last(
            self._named(name, "inputs"), tensor.shape, tuple(self._job.channels_first)
        )
        expected = ("samples", *tensor.sample_shape)
        if array.ndim == 0 or array.shape[1:] != tensor.sample_shape:
            shown = ", ".join(map(str, expected))
            raise self._wrong(name, f"shape {array.shape}, expected ({shown})")
        if array.dtype.kind not in "biuf":
            raise self._wrong(name, f"{array.dtype}, expected numbers")
        is_index = tensor.dtype.kind in "biu" and not tensor.scale
        if is_index:
            if array.dtype.kind == "f":
                raise self._wrong(name, f"{array.dtype}, but the model's input is {tensor.dtype}")
            return array
        if self._job.normalize is not None:
            mean, std = self._job.normalize
            array = (array.astype(np.float64) - mean) / std
        elif array.dtype == tensor.dtype and tensor.scale:
            array = tensor.real(array)
        elif array.dtype.kind != "f":
            raise self._wrong(
                name,
                f"{array.dtype}, but the model's input is {tensor.dtype}: say what makes it the "
                "numbers of training, such as normalize = { mean = 0, std = 255 }",
            )
        if not np.isfinite(array).all():
            rows = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
            raise self._wrong(name, f"NaN or infinity in {len(rows)} samples, first in {rows[0]}")
        return array.astype(np.float32)

    def _check_count(self, name: str, values: Array) -> None:
        if values.ndim == 0 or len(values) != self.count:
            there = "one number" if values.ndim == 0 else f"{len(values)} samples"
            raise self._wrong(name, f"{there}, but {self._job.inputs[0]!r} has {self.count}")
        if self.count == 0:
            raise self._wrong(name, "holds no samples")

    def _doubts(self, name: str, values: Array, tensor: Tensor) -> list[str]:
        """A warning if much of the data is out of range, as when it was prepared differently."""
        if not tensor.scale:
            return []
        limits = np.iinfo(tensor.dtype)
        low, high = tensor.real(np.array([limits.min, limits.max]))
        margin = tensor.scale / 2
        share = float(np.mean((values < low - margin) | (values > high + margin)))
        if share <= _BEYOND_SHARE:
            return []
        told = f"{share:.0%} of the numbers of {name!r} are beyond what the model's input holds"
        return [f"{told} ({low:.3g} to {high:.3g}): prepare them as for training ('normalize')"]

    def _wrong(self, name: str, text: str) -> WorkerError:
        return WorkerError(f"{self._job.data_shown}: {name!r}: {text}")
