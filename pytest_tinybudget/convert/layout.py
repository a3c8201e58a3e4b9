"""Which sources have their channels before rows and columns, and data in that order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.convert.sources import kind_of


if TYPE_CHECKING:
    from numpy.typing import NDArray


#: The numbers of dimensions, batch included, whose channels are moved to the end: of a
#: PyTorch program by ``worker/torch_backend.py``, of an ONNX model by onnx2tf.
CHANNELS_FIRST: dict[Kind, tuple[int, ...]] = {"torch": (4,), "onnx": (3, 4, 5)}


def channels_first_of(source: Path) -> tuple[int, ...]:
    """The numbers of dimensions at which inputs of ``source`` have their channels first."""
    return CHANNELS_FIRST.get(kind_of(source), ())


def source_shape(shape: tuple[int, ...], channels_first: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an input as the source has it; ``shape`` is the converted model's."""
    if len(shape) not in channels_first:
        return shape
    return (shape[0], shape[-1], *shape[1:-1])


def channels_last(
    values: NDArray[Any], shape: tuple[int, ...], channels_first: tuple[int, ...]
) -> NDArray[Any]:
    """Samples as an input of ``shape`` takes them: what is as the source has it is turned."""
    theirs = source_shape(shape, channels_first)
    if theirs is shape or values.shape[1:] != theirs[1:]:
        return values
    import numpy as np

    return np.moveaxis(values, 1, -1)
