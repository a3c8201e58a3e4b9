"""Layers as tuples of numbers: ``(inputs, outputs)`` and ``(inputs, outputs, height, width)``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList


def is_layer_list(given: object) -> bool:
    """Whether what stands in a model's place are tuples of layers."""
    return isinstance(given, (list, tuple))


def layer_list(given: Sequence[object], input_shape: Sequence[int] | None) -> LayerList:
    """The layers of ``given``: two numbers are a dense one, four a convolution.

    A convolution keeps height and width (``padding = "same"``), and a dense layer takes an image
    as one row of numbers. ``input_shape`` is without batch; of dense layers alone it is known.

    Raises:
        ModelError: a tuple is none of those, or takes other inputs than it is given.
    """
    shape, tuples = checked_tuples(given, input_shape)
    return LayerList(shape, tuple(map(_layer, tuples)))


def checked_tuples(
    given: Sequence[object], input_shape: Sequence[int] | None
) -> tuple[tuple[int, ...], list[tuple[int, ...]]]:
    """The shape of the input, without batch, and the tuples in ``given``, which fit it.

    Raises:
        ModelError: as ``layer_list``.
    """
    tuples = [_tuple(number, each) for number, each in enumerate(given)]
    if not tuples:
        raise ModelError("layers: expected at least one, such as (64, 4)")
    if input_shape is None:
        if len(tuples[0]) == 4:
            raise ModelError(
                f"layer 0 {tuples[0]} is a convolution: give input_shape, such as "
                f"(16, 16, {tuples[0][0]})"
            )
        input_shape = (tuples[0][0],)
    shape = tuple(input_shape)
    for number, each in enumerate(tuples):
        shape = _behind(number, each, shape)
    return tuple(input_shape), tuples


def _tuple(number: int, given: object) -> tuple[int, ...]:
    whole = isinstance(given, (list, tuple)) and all(
        isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in given
    )
    if not whole or len(given) not in (2, 4):  # type: ignore[arg-type]
        raise ModelError(
            f"layer {number} {given!r}: expected (inputs, outputs) of a dense layer, or (inputs, "
            "outputs, height, width) of a convolution, whole numbers above 0"
        )
    return tuple(given)  # type: ignore[arg-type]


def _behind(number: int, layer: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape behind a layer, without batch."""
    inputs, outputs = layer[:2]
    if len(layer) == 2:
        found, result = prod(shape), (outputs,)
    elif len(shape) != 3:
        raise ModelError(
            f"layer {number} {layer} takes images, (height, width, {inputs}), but is given {shape}"
        )
    else:
        found, result = shape[2], (*shape[:2], outputs)  # type: ignore[assignment]
    if found != inputs:
        raise ModelError(f"layer {number} {layer} takes {inputs} inputs, but is given {shape}")
    return result


def _layer(given: tuple[int, ...]) -> Layer:
    if len(given) == 2:
        return Layer(type="dense", size=given[1])
    return Layer(type="conv2d", size=given[1], kernel=given[2:], padding="same")
