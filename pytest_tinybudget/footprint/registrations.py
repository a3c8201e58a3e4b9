"""What TFLM's resolver offers for each operator, and which type-specific kernels a model can take.

The table (``data/registrations.csv``) lists every operator that ``micro_mutable_op_resolver.h``
has a method for at ``TFLM_COMMIT``. The virtual link and the generated resolver both read it, so
that the flash that is promised is the flash of the code that is written.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Tensor


class Registration(Struct, frozen=True, gc=False):
    """An operator's entry in ``MicroMutableOpResolver``.

    ``method`` is the resolver's method (``"AddConv2D"``); ``types`` are the suffixes of the
    type-specific registrations that ``header`` declares (``"INT8"`` for
    ``Register_CONV_2D_INT8()``), empty where there is only the generic one.
    """

    operator: str
    is_custom: bool
    method: str
    types: frozenset[str]
    header: str


@cache
def registrations() -> dict[tuple[str, bool], Registration]:
    """All of TFLM's own operators by name and whether they are custom operators."""
    table = Path(__file__).parent / "data" / "registrations.csv"
    text = table.read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return {
        (row["operator"], row["kind"] == "custom"): Registration(
            operator=row["operator"],
            is_custom=row["kind"] == "custom",
            method=row["method"],
            types=frozenset(row["types"].split()),
            header=row["header"],
        )
        for row in rows
    }


def typed_registrations(model: Model) -> dict[str, str]:
    """Builtin operators that can be registered for one type only: ``{"CONV_2D": "INT8"}``.

    An operator is named when all its uses in the model have the same types and TFLM declares a
    registration for these. A type-specific registration links that type's kernel alone and fails
    for any other, so an operator in doubt is left out and stays generic.
    UNIDIRECTIONAL_SEQUENCE_LSTM is never named: its ``_INT8`` and ``_INT16`` kernels do not run in
    every build.
    """
    kinds: dict[str, set[str]] = {}
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            if not operator.is_custom:
                kinds.setdefault(operator.name, set()).add(_types(operator, subgraph.tensors))
    typed = {}
    for name, found in kinds.items():
        known = registrations().get((name, False))
        if known is not None and len(found) == 1 and found <= known.types:
            typed[name] = next(iter(found))
    return typed


def _types(operator: Operator, tensors: tuple[Tensor, ...]) -> str:
    """The suffix of the registration that fits one use of an operator, ``""`` if none can."""

    def type_of(indices: tuple[int, ...], position: int) -> str:
        present = position < len(indices) and indices[position] >= 0
        return tensors[indices[position]].type if present else ""

    result = type_of(operator.outputs, 0)
    first, second = type_of(operator.inputs, 0), type_of(operator.inputs, 1)
    match operator.name:
        case "CONV_2D" | "DEPTHWISE_CONV_2D" | "FULLY_CONNECTED":
            by_filter = {"INT8 INT8": "INT8", "INT8 INT4": "INT4", "INT16 INT8": "INT16"}
            return by_filter.get(f"{first} {second}", "") if result == first else ""
        case "TRANSPOSE_CONV":
            values = type_of(operator.inputs, 2)
            return values if values == second == result else ""
        case "SOFTMAX":
            return first if first == result else f"{first}_{result}"
        case "ADD" | "MUL" | "MAXIMUM" | "MINIMUM" | "BATCH_MATMUL" | "SVDF":
            return first if first == second == result else ""
        case _:
            return first if first == result else ""
