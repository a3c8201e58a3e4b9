"""Compares outputs with labels and with another model's outputs, with confidence intervals.

Outputs are rows: a sample's scores or numbers, flat. Shares are in 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.evaluation import intervals
from pytest_tinybudget.evaluation.job import Job
from pytest_tinybudget.evaluation.worker.engines import Array


_TOP = 5


@dataclass(frozen=True, slots=True)
class Rated:
    """A metric's ``value`` and interval; ``scores`` of the samples if the value is their mean."""

    value: float
    interval: intervals.Interval
    scores: Array | None = None


def decisions(outputs: Array, threshold: float) -> Array:
    """The predicted class of each row. A single output means class 1 from ``threshold`` on."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] >= threshold).astype(np.int64)
    chosen: Array = outputs.argmax(axis=1)
    return chosen


def rated(job: Job, outputs: Array, labels: Array) -> Rated:
    """Compute the job's metric of ``outputs``.

    Raises:
        WorkerError: labels or outputs do not suit the metric.
    """
    if job.metric == "auc":
        return _auc(job, outputs, labels)
    if job.metric in ("mae", "mse"):
        return _error(job, outputs, labels)
    classes = class_labels(job, outputs, labels)
    if job.metric == "accuracy":
        hits = decisions(outputs, job.threshold) == classes
    else:
        hits = _among_the_best(job, outputs, classes)
    count = int(hits.sum())
    return Rated(count / len(hits), intervals.of_share(count, len(hits)), hits.astype(np.float64))


def class_labels(job: Job, outputs: Array, labels: Array) -> Array:
    """The class of each sample, from labels that are class numbers or one-hot rows."""
    classes = max(2, outputs.shape[1])
    if labels.ndim == 2 and labels.shape[1] == classes and outputs.shape[1] > 1:
        chosen: Array = labels.argmax(axis=1)
        return chosen
    flat = labels.reshape(len(labels), -1)
    if flat.shape[1] != 1:
        raise _wrong(job, f"shape {labels.shape}, expected a class number for each sample")
    numbers = flat[:, 0]
    if numbers.dtype.kind == "f" and (numbers != np.rint(numbers)).any():
        raise _wrong(job, f"{numbers.dtype} with fractions, expected class numbers")
    if numbers.min() < 0 or numbers.max() >= classes:
        found = f"{numbers.min():g} to {numbers.max():g}"
        raise _wrong(job, f"classes {found}, but the model knows 0 to {classes - 1}")
    return numbers.astype(np.int64)


def _among_the_best(job: Job, outputs: Array, classes: Array) -> Array:
    """Whether the right class is among the best five; of equal scores the first class is best."""
    if outputs.shape[1] <= _TOP:
        raise WorkerError(
            f"{job.shown}: top_5 needs more than {_TOP} classes, the output has {outputs.shape[1]}"
        )
    best = np.argsort(-outputs, axis=1, kind="stable")[:, :_TOP]
    found: Array = (best == classes[:, np.newaxis]).any(axis=1)
    return found


def _auc(job: Job, outputs: Array, labels: Array) -> Rated:
    """The area under the ROC curve: the chance that a positive scores above a negative."""
    if outputs.shape[1] > 2:
        raise WorkerError(f"{job.shown}: auc needs one or two outputs, it has {outputs.shape[1]}")
    is_positive = class_labels(job, outputs, labels) == 1
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    if not (positives and negatives):
        raise _wrong(job, "auc needs samples of both classes, 0 and 1")
    scores = outputs[:, -1]
    _, ranks, counts = np.unique(scores, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks, which counts a tie as half.
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    above = mean_ranks[ranks.reshape(-1)][is_positive].sum() - positives * (positives + 1) / 2
    area = float(above) / (positives * negatives)
    return Rated(area, intervals.of_auc(area, positives, negatives))


def _error(job: Job, outputs: Array, labels: Array) -> Rated:
    expected = labels.reshape(len(labels), -1).astype(np.float64)
    if expected.shape != outputs.shape:
        raise _wrong(
            job, f"{expected.shape[1]} numbers a sample, but the output has {outputs.shape[1]}"
        )
    difference = outputs - expected
    each = np.abs(difference) if job.metric == "mae" else difference**2
    scores = each.mean(axis=1)
    mean = float(scores.mean())
    deviation = float(scores.std(ddof=1)) if len(scores) > 1 else 0.0
    return Rated(mean, intervals.of_mean(mean, deviation, len(scores)), scores)


def drop(job: Job, model: Rated, reference: Rated) -> dict[str, Any]:
    """How much worse ``model`` is than ``reference``, and an interval where there is one.

    Raises:
        WorkerError: the float model makes no errors, so that there is no relative drop.
    """
    told: dict[str, Any] = {"reference": reference.value, "drop_interval": None}
    if job.metric in ("mae", "mse"):
        if reference.value == 0:
            raise WorkerError(f"{job.other_shown}: its {job.metric} is 0, of which nothing is 1 %")
        return {**told, "drop": model.value / reference.value - 1}
    if model.scores is None or reference.scores is None:
        return {**told, "drop": reference.value - model.value}
    lost = int((reference.scores > model.scores).sum())
    won = int((reference.scores < model.scores).sum())
    count = len(model.scores)
    interval = intervals.of_paired_difference(lost, won, count)
    return {**told, "drop": (lost - won) / count, "drop_interval": interval}


def weakest_class(outputs: Array, classes: Array, threshold: float) -> dict[str, int]:
    """The class with the lowest share of correct predictions."""
    hits = decisions(outputs, threshold) == classes
    shares = {int(each): float(hits[classes == each].mean()) for each in np.unique(classes)}
    weakest = min(shares, key=lambda each: shares[each])
    chosen = hits[classes == weakest]
    return {"class": weakest, "hits": int(chosen.sum()), "count": len(chosen)}


def alike(job: Job, outputs: Array, others: Array) -> dict[str, Any]:
    """The share of samples on which two models agree, and the first on which they do not.

    Raises:
        WorkerError: their outputs differ in size.
    """
    if outputs.shape != others.shape:
        raise WorkerError(
            f"{job.shown} has {outputs.shape[1]} outputs, {job.other_shown} {others.shape[1]}: "
            "they cannot agree"
        )
    if job.tolerance is None:
        mine, theirs = decisions(outputs, job.threshold), decisions(others, job.threshold)
        same = mine == theirs
    else:
        same = (np.abs(outputs - others) <= job.tolerance).all(axis=1)
    count = int(same.sum())
    told: dict[str, Any] = {
        "count": len(same),
        "hits": count,
        "value": count / len(same),
        "interval": intervals.of_share(count, len(same)),
    }
    if count < len(same):
        first = int(np.flatnonzero(~same)[0])
        told["first"] = first
        if job.tolerance is None:
            told["decided"] = [int(theirs[first]), int(mine[first])]
        else:
            told["apart"] = float(np.abs(outputs - others).max())
    return told


def _wrong(job: Job, text: str) -> WorkerError:
    return WorkerError(f"{job.data_shown}: {job.labels!r}: {text}")
