"""Chooses an installed interpreter for a model, without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from importlib.util import find_spec

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.graph.model import Model


#: The module to import, by interpreter.
MODULES: Mapping[str, str] = {
    "litert": "ai_edge_litert.interpreter",
    "tensorflow": "tensorflow",
    "tflm": "tflite_micro.python.tflite_micro.runtime",
}

#: Name and packages of each interpreter. The first one that is installed is taken.
_KNOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "litert": ("LiteRT", ("ai-edge-litert",)),
    "tensorflow": ("TensorFlow Lite", ("tensorflow-cpu", "tensorflow")),
    "tflm": ("TFLM's interpreter", ("tflite-micro",)),
}

_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
_FEWEST_LSTMS = 2


class Interpreter(Struct, frozen=True):
    """``name`` is a key of ``MODULES``; ``title`` names it with its version, for people."""

    name: str
    title: str


def interpreter_for(*models: Model) -> Interpreter:
    """The interpreter for ``models``: LiteRT if it is installed and computes them correctly.

    LiteRT 2.3 and TensorFlow 2.21 give the largest value for every output of two INT8 LSTMs in a
    row, where TFLM is within 2 levels of the float model.

    Raises:
        TinybudgetError: none is installed, or none that computes the models correctly.
    """
    stacked = any(
        [operator.name for operator in model.main.operators].count(_LSTM) >= _FEWEST_LSTMS
        for model in models
    )
    names = ("tflm",) if stacked else tuple(_KNOWN)
    for name in names:
        if find_spec(MODULES[name].partition(".")[0]) is not None:
            return Interpreter(name, _title(name))
    if stacked:
        raise TinybudgetError(
            "LiteRT computes stacked LSTMs wrongly, TFLM's interpreter does not: "
            "pip install 'pytest-tinybudget[verify]'",
            code="TB103",
        )
    raise TinybudgetError(
        "running a model on held-out data needs an interpreter: "
        "pip install 'pytest-tinybudget[accuracy]'",
        code="TB103",
    )


def _title(name: str) -> str:
    title, packages = _KNOWN[name]
    for package in packages:
        try:
            return f"{title} {version(package)}"
        except PackageNotFoundError:  # noqa: PERF203 - the way to ask
            continue
    return title
