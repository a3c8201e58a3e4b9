"""What a model's unrolled layers take on a pair's board, beside LSTMs in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.convert.sources import kind_of
from pytest_tinybudget.convert.unrolled import is_of_unrolled
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.convert.converter import Converted


def with_sizes(converted: Converted, pair: Pair, model: Model, result: PairResult) -> Converted:
    """``converted`` with the sizes in its warning about unrolled layers.

    Args:
        converted: how the model was converted.
        pair: the model on its board.
        model: what was measured.
        result: the result so far, with the model's footprint.
    """
    arena = result.footprint.arena if result.footprint else None
    if arena is None or not any(map(is_of_unrolled, converted.warnings)):
        return converted
    told = (
        f": the model takes {format_size(arena.required)} of arena and a file of "
        f"{format_size(model.bytes)}{_as_lstm(pair)}"
    )
    warnings = tuple(
        f"{each}{told}" if is_of_unrolled(each) else each for each in converted.warnings
    )
    return replace(converted, warnings=warnings)


def _as_lstm(pair: Pair) -> str:
    """The same of the model with LSTMs of as many units; empty where that is not planned."""
    from pytest_tinybudget.planning import planned_model
    from pytest_tinybudget.planning.keras_config import read_keras

    source, settings = pair.model.source, pair.model.conversion
    if kind_of(source) != "keras" or settings.activations != "int8":
        return ""
    try:
        network = read_keras(
            source,
            per_channel_dense=settings.scales_per_channel,
            input_shapes=settings.input_shapes,
            as_lstm=True,
        )
        planned = planned_model(network, pair.model.name, named=not settings.strip)
    except ModelError:
        return ""
    arena = simulate(planned, pair.firmware).arena
    if arena is None:
        return ""
    return (
        f"; with LSTMs of as many units it would take {format_size(arena.required)} and "
        f"{format_size(planned.bytes)} (planned, not converted)"
    )
