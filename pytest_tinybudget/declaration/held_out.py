"""The types of demands on a model's outputs for data that it was not trained with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct


Metric = Literal["accuracy", "top_5", "auc", "mae", "mse"]

#: Metrics for which a smaller value is better.
ERRORS: tuple[Metric, ...] = ("mae", "mse")


class HeldOut(Struct, frozen=True):
    """Samples to run a model on, and which of its outputs counts.

    ``shown`` is what messages call the file; ``inputs`` are its arrays in the order of the model's
    inputs. ``normalize`` is (mean, std), ``None`` where the arrays are as in training or in the
    model's own integers. ``threshold`` makes a decision of a single output.
    """

    path: Path
    shown: str
    inputs: tuple[str, ...]
    normalize: tuple[float, float] | None
    output: int
    threshold: float


class Accuracy(Struct, frozen=True):
    """The demand on a model's quality: ``minimum`` or ``maximum`` of ``metric``.

    Shares are in 0..1. ``max_drop`` is in units of a share, for errors a share of the float
    model's; ``reference`` is the declared float model and what messages call it.
    """

    data: HeldOut
    labels: str
    metric: Metric
    minimum: float | None
    maximum: float | None
    max_drop: float | None
    reference: tuple[Path, str] | None


class Agreement(Struct, frozen=True):
    """The least share of samples, in 0..1, on which model and deployed model must agree.

    With a ``tolerance`` outputs are numbers, and agree when they differ by no more than that.
    """

    data: HeldOut
    minimum: float
    tolerance: float | None
