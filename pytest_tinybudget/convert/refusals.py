"""What a conversion could only turn into a file that TFLM refuses, told before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.graph.model import Model


def refusal(
    source: Path, kind: Kind, shown: str, activations: Literal["int8", "int16"]
) -> ConversionError | None:
    """Why the source at ``source`` is not worth converting; ``None`` where nothing is known."""
    if kind != "tflite":
        return None
    from pytest_tinybudget.graph.tflite import load_model

    try:
        found = list(_int4_dense(load_model(source, shown), activations))
    except ModelError:
        return None  # whoever reads it next says what is wrong with it
    if not found:
        return None
    first, *rest = found
    return ConversionError(
        f"{shown}: {first}",
        details=(
            *rest,
            "declare a file with float weights: INT8 ones are made of them here",
            "INT4 weights of dense layers need one scale and INT8 activations",
        ),
    )


def _int4_dense(model: Model, activations: Literal["int8", "int16"]) -> Iterator[str]:
    """Dense layers whose INT4 weights stay as they are, in a form that TFLM refuses.

    ``Prepare`` of its kernel takes them with INT8 activations and one scale alone
    (``footprint/operators/fully_connected.py``).
    """
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.name != "FULLY_CONNECTED" or operator.inputs[1] < 0:
                continue
            weights = graph.tensors[operator.inputs[1]]
            scales = len(weights.quantization.scales)
            if weights.type != "INT4" or (scales <= 1 and activations == "int8"):
                continue
            name = printable(graph.tensors[operator.outputs[0]].name, limit=80)
            each = f"{scales} scales, one an output" if scales > 1 else "int16 activations"
            yield (
                f"FULLY_CONNECTED #{operator.index} (layer {name}) has INT4 weights with {each}, "
                "which TFLM refuses"
            )
