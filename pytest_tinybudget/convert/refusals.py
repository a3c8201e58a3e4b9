"""What a conversion could only turn into a file that TFLM refuses, told before it starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.convert.errors import ConversionError
from pytest_tinybudget.convert.onnx2tf import NAME
from pytest_tinybudget.convert.onnx2tf import version_of
from pytest_tinybudget.convert.onnx_file import read_onnx
from pytest_tinybudget.convert.settings import Conversion
from pytest_tinybudget.convert.sources import Kind
from pytest_tinybudget.graph.model import Model


#: What onnx2tf cannot make a file of that TFLM runs, by the first number of its version.
_ONNX_REFUSED = {1: ("LSTM", "GRU"), 2: ("GRU",)}


def refusal(source: Path, kind: Kind, shown: str, settings: Conversion) -> ConversionError | None:
    """Why the source at ``source`` is not worth converting; ``None`` where nothing is known."""
    if kind == "onnx":
        return _onnx_refusal(source, shown, settings)
    if kind != "tflite":
        return None
    from pytest_tinybudget.graph.tflite import load_model

    try:
        found = list(_int4_dense(load_model(source, shown), settings.activations))
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


def _onnx_refusal(source: Path, shown: str, settings: Conversion) -> ConversionError | None:
    """Recurrent layers, which onnx2tf takes many seconds to fail on, or to unroll in vain."""
    version = version_of(settings.onnx_command, settings.root)
    known = _ONNX_REFUSED.get(int(version.partition(".")[0] or 0), ())
    model = read_onnx(source)
    nodes = () if model is None else model.nodes
    found = [each for each in nodes if each.op_type in known]
    if not found:
        return None
    first = found[0]
    named = f" {printable(first.name, limit=80)}" if first.name else ""
    more = f" and {len(found) - 1} more recurrent layers" if len(found) > 1 else ""
    return ConversionError(
        f"{shown}: {first.op_type}{named}{more}: {NAME} {version} makes nothing that TFLM runs "
        "of it",
        details=(
            "build it in Keras and declare the .keras file: an LSTM is one operator there",
            "or export the PyTorch module as .pt2, and take the last state instead of all steps",
        ),
    )


def _int4_dense(model: Model, activations: str) -> Iterator[str]:
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
