"""Chooses the installed interpreters for a model, without importing them.

The device's arithmetic is TFLM's, so that TFLM's own interpreter gives the figure where it is
installed; the next one computes the same beside it, as a cross-check. LiteRT and TensorFlow come
first for models that compute in floating point, and stand in where TFLM does not run a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version
from importlib.util import find_spec

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.graph.lstms import litert_fault
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Subgraph


#: The module to import, by interpreter.
MODULES: Mapping[str, str] = {
    "tflm": "tflite_micro.python.tflite_micro.runtime",
    "litert": "ai_edge_litert.interpreter",
    "tensorflow": "tensorflow",
}

#: Name and packages of each interpreter, the nearest to the device first.
_KNOWN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "tflm": ("TFLM's interpreter", ("tflite-micro",)),
    "litert": ("LiteRT", ("ai-edge-litert",)),
    "tensorflow": ("TensorFlow Lite", ("tensorflow-cpu", "tensorflow")),
}


_FAULT = "LiteRT computes {fault} wrongly"

#: Types that quantized models compute in.
_INTEGERS = ("INT8", "UINT8", "INT16")


class Interpreter(Struct, frozen=True):
    """``name`` is a key of ``MODULES``; ``title`` names it with its version, for people."""

    name: str
    title: str


class Choice(Struct, frozen=True):
    """The interpreters for a model.

    Attributes:
        first: the one whose figure counts.
        second: the one that checks it, ``None`` where there is none.
        why: why ``first`` is not TFLM's, or why there is no ``second``; ``""`` where TFLM's gives
            the figure and another one checks it.
        refused: whether TFLM's interpreter was tried and does not run the model, as ``why`` says.
    """

    first: Interpreter
    second: Interpreter | None = None
    why: str = ""
    refused: bool = False

    def without_first(self, why: str) -> Choice:
        """The choice where ``first`` does not run the model; the figure is not checked then."""
        assert self.second is not None
        return Choice(self.second, None, why, refused=True)


def choice_for(model: Model) -> Choice:
    """The interpreters for ``model``, of those that are installed.

    LiteRT neither runs nor checks an LSTM that it computes wrongly.

    Raises:
        TinybudgetError: none is installed, or none that computes the model correctly.
    """
    names = [name for name in _KNOWN if find_spec(MODULES[name].partition(".")[0]) is not None]
    if fault := litert_fault(model):
        told = _FAULT.format(fault=fault)
        if "tflm" not in names:
            raise TinybudgetError(
                f"{told}, TFLM's interpreter does not: pip install 'pytest-tinybudget[verify]'",
                code="TB103",
            )
        return Choice(_interpreter("tflm"), None, f"{told}: not cross-checked")
    if not names:
        raise TinybudgetError(
            "running a model on held-out data needs an interpreter: "
            "pip install 'pytest-tinybudget[accuracy]'",
            code="TB103",
        )
    if computes_in_float(model):
        names.sort(key=lambda name: name == "tflm")
        return Choice(_interpreter(names[0]), None, "it computes in floating point")
    first = _interpreter(names[0])
    others = names[1:] if names[0] == "tflm" else []
    if others:
        return Choice(first, _interpreter(others[0]))
    if names[0] == "tflm":
        why = "LiteRT is not installed: not cross-checked (pytest-tinybudget[accuracy])"
    else:
        why = "TFLM's interpreter is not installed (pytest-tinybudget[verify])"
    return Choice(first, None, why)


def computes_in_float(model: Model) -> bool:
    """Whether no operator of ``model`` gives quantized integers."""
    return not any(
        graph.tensors[index].type in _INTEGERS and graph.tensors[index].quantization.scales
        for graph in model.subgraphs
        for operator in graph.operators
        for index in operator.outputs
        if index >= 0
    )


def untold_bias(model: Model) -> str:
    """A warning about biases that LiteRT reads as another type; empty where there are none.

    LiteRT 2.3 takes the INT32 bias of a CONV_2D with INT16 activations for INT64 where the
    operator's option ``quantized_bias_type`` is not set. TFLM goes by the bias itself.
    """
    found = [
        f"{operator.name} #{operator.index}"
        for graph in model.subgraphs
        for operator in graph.operators
        if operator.name == "CONV_2D"
        and operator.options.get("quantized_bias_type", "FLOAT32") == "FLOAT32"
        and _types(graph, operator.inputs) == ("INT16", "INT32")
    ]
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"{found[0]}{more}: its option quantized_bias_type does not say that its bias is INT32, so "
        "that LiteRT reads it as INT64 and computes something else; TFLM computes it rightly"
    )


def _types(graph: Subgraph, inputs: Sequence[int]) -> tuple[str, ...]:
    """The types of the activations and the bias; empty where there is no bias."""
    if len(inputs) < 3 or min(inputs[0], inputs[2]) < 0:
        return ()
    return graph.tensors[inputs[0]].type, graph.tensors[inputs[2]].type


def upstream_date(interpreter: Interpreter) -> str:
    """The day of upstream's commit that TFLM's interpreter is built from: ``"2026-10-23"``.

    The package has its day in its version. Empty for other interpreters, or where it has none.
    """
    found = re.search(r"\bdev(\d{4})(\d\d)(\d\d)", interpreter.title)
    return "-".join(found.groups()) if found and interpreter.name == "tflm" else ""


def _interpreter(name: str) -> Interpreter:
    return Interpreter(name, _title(name))


def _title(name: str) -> str:
    title, packages = _KNOWN[name]
    for package in packages:
        try:
            return f"{title} {version(package)}"
        except PackageNotFoundError:  # noqa: PERF203 - the way to ask
            continue
    return title
