"""Compares data with what a batch normalization has learned of the training data."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

import numpy as np


if TYPE_CHECKING:
    from numpy.typing import NDArray


_SMALLEST_DEVIATION = 1e-6
_FAR = (
    "representative data is unlike the training data: layer {layer!r} sees {ratio:.3g} times the "
    "spread that it has learned, and a mean {off:.3g} deviations off; prepare it as for training"
)
#: Data differs from the training data when its mean is this many learned standard deviations off,
#: or its spread this many times larger or smaller. Pixels of 0 to 255 for 0 to 1 exceed both.
_FARTHEST_MEAN = 10.0
_FARTHEST_SPREAD = 10.0


def norm_doubts(
    layer: str, values: NDArray[Any], mean: NDArray[Any], variance: NDArray[Any]
) -> list[str]:
    """Signs that ``values``, what a normalization is given, are far from its statistics.

    Args:
        layer: what it is called.
        values: its input for all samples, channels last.
        mean: what it has learned, a number a channel.
        variance: the same.
    """
    values = values.reshape(-1, values.shape[-1])
    deviation = np.sqrt(variance) + _SMALLEST_DEVIATION
    off = float(np.median(np.abs(values.mean(axis=0) - mean) / deviation))
    ratio = float(np.median((values.std(axis=0) + _SMALLEST_DEVIATION) / deviation))
    if off <= _FARTHEST_MEAN and 1 / _FARTHEST_SPREAD <= ratio <= _FARTHEST_SPREAD:
        return []
    return [_FAR.format(layer=layer, ratio=ratio, off=off)]
