"""The protocol of a framework's module: a trained model that can be run and converted."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.worker.problem import InputSpec


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


#: One sample: an array with batch 1 for each input, in the model's order.
Sample = Sequence["NDArray[np.generic]"]


class Trained(Protocol):
    """A loaded float model. ``schema`` is the framework's generated module of TF Lite's schema.

    ``warnings`` and ``notes`` are about what the source was made into.
    """

    inputs: list[InputSpec]
    warnings: list[str]
    notes: list[str]
    schema: ModuleType

    def doubts(self, samples: Sequence[Sample]) -> list[str]:
        """Signs that the data differs from the training data, a line each."""

    def run(self, sample: Sample) -> list[Any]:
        """The float model's outputs for one sample, with batch."""

    def float_file(self) -> bytes:
        """The model as TF Lite in floating point: what ``convert`` quantizes."""

    def convert(self, samples: Sequence[Sample], job: Job) -> bytes:
        """The model as full-integer TF Lite, calibrated with ``samples``."""

    def interpreter(self, content: bytes) -> Any:
        """A TF Lite interpreter without delegates, whose arithmetic is nearest to TFLM's."""
