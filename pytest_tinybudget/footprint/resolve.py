"""Whether a firmware finds a model's operators: TFLM's own, another engine's, or the user's.

``data/foreign_operators.csv`` has what belongs to another engine, with the converter's setting or
the tool that made it. ``kernel`` is ``never`` where no microcontroller can have one (a delegate,
another chip's program), and ``own`` where a firmware may bring a port of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Container
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import Runtime


#: What Vela leaves for an Ethos-U, and Coral's compiler for an Edge TPU.
ETHOS_U = "ethos-u"
EDGE_TPU = "edgetpu-custom-op"

_LONGEST_NAME = 60


class Foreign(Struct, frozen=True):
    """An operator of another engine: ``whose`` it is and what to do, in words.

    ``never`` is whether no firmware can have a kernel for it.
    """

    operator: str
    is_custom: bool
    never: bool
    whose: str
    advice: str


def foreign(operator: Operator) -> Foreign | None:
    """What is known of ``operator`` as another engine's; ``None`` where it is TFLM's or unknown."""
    if (operator.name, operator.is_custom) in registrations():
        return None
    return next((each for each in _table() if _matches(each, operator)), None)


def is_own(operator: Operator) -> bool:
    """Whether ``operator`` runs only by a kernel that the firmware brings itself."""
    if not operator.is_custom or (operator.name, True) in registrations():
        return False
    other = foreign(operator)
    return other is None or not other.never


def why_unresolved(operator: Operator, firmware: Firmware) -> str:
    """Why the resolver has no kernel for ``operator``, with the way out; empty where it has.

    The firmware brings those operators itself whose cost the user states (``[runtime.ops.NAME]``),
    and those of a table that was built with them.
    """
    runtime = firmware.runtime
    if operator.name == ETHOS_U and operator.is_custom:
        if runtime.kernels.hands_over_to == "ethos-u":
            return ""
        return "compiled for an Ethos-U NPU, whose kernel this runtime does not register"
    if (operator.name, operator.is_custom) in registrations():
        if operator.name in runtime.tflm.version.unregistered:
            return f"TFLM {runtime.tflm.commit} has no registration for this operator yet"
        return ""
    edge_tpu = operator.name == EDGE_TPU and operator.is_custom
    if edge_tpu and runtime.kernels.hands_over_to == "edge-tpu":
        return ""
    other = foreign(operator)
    if other is not None and other.never:
        return f"{other.whose}: {other.advice}"
    if not operator.is_custom:
        return "TFLM has no registration for this operator"
    if firmware.cost_of(operator.name) or operator.name in _in_own_table(runtime):
        return ""
    if other is not None:
        return f"{other.whose}: {other.advice}; else {_declare(operator.name)}"
    return f"a custom operator that TFLM does not bring: {_declare(operator.name)}"


def _declare(name: str) -> str:
    """How to say that the firmware has a kernel of its own."""
    return (
        "where the firmware registers a kernel of its own for it, declare what that takes in "
        f"[runtime.ops.{toml_key(printable(name, limit=_LONGEST_NAME))}] (persistent, scratch, "
        "flash); where not, convert without allow_custom_ops"
    )


@cache
def _table() -> tuple[Foreign, ...]:
    path = Path(__file__).parent / "data" / "foreign_operators.csv"
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return tuple(
        Foreign(
            operator=row["operator"],
            is_custom=row["kind"] == "custom",
            never=row["kernel"] == "never",
            whose=row["whose"],
            advice=row["advice"],
        )
        for row in rows
    )


def _matches(entry: Foreign, operator: Operator) -> bool:
    return entry.is_custom == operator.is_custom and fnmatchcase(operator.name, entry.operator)


def _in_own_table(runtime: Runtime) -> Container[str]:
    """The operators of a table that the user built, which may have the firmware's own."""
    return load_graph(runtime.graph).operators if runtime.graph else ()
