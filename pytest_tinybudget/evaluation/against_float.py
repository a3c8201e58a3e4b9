"""Holds a model's outputs in TFLM's interpreter to those of the float model that it was made from.

The float model is a converted model's source, on its calibration data, or else the ``reference``
of ``[models.NAME.accuracy]``, on the held-out data. ``worker/noise.py`` says what is allowed.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.declared import DeclaredModel
    from pytest_tinybudget.evaluation.measure import EvaluationRequest
    from pytest_tinybudget.workspace import Workspace


_LONGEST_NAME = 60


class Departure(Struct, frozen=True):
    """A tensor that lies further from the float model's than rounding explains.

    Attributes:
        name: the operator that makes it.
        index: its place in the order of execution.
        output: the tensor's name, which is that of the layer.
        error: the root mean square of the difference, as a share of how much the float model's
            tensor varies.
        times: that error in terms of the noise of the file's own scales; of the worst channel
            where that is what departs.
        allowed: how many times the noise it may be.
        beyond: the share of the float model's numbers that its range does not hold, where that is
            too many.
    """

    name: str
    index: int
    output: str
    error: float
    times: float
    allowed: float
    beyond: float = 0.0

    @property
    def operator(self) -> str:
        """``"CONV_2D #5 (net/conv)"``."""
        layer = f" ({printable(self.output, limit=_LONGEST_NAME)})" if self.output else ""
        return f"{self.name} #{self.index}{layer}"

    @property
    def size(self) -> str:
        """``"off by 53 %, 39 times what its scales explain (at most 3)"``."""
        if self.beyond:
            held = f"its range does not hold {self.beyond:.0%} of the float model's numbers"
            return f"off by {self.error:.0%}: {held}"
        return (
            f"off by {self.error:.0%}, {self.times:.3g} times what its scales explain "
            f"(at most {self.allowed:g})"
        )


class FloatComparison(Struct, frozen=True):
    """What came of holding a model to its float source.

    Attributes:
        source: the float model's name.
        samples: on how many samples both were run.
        tensors: how many tensors could be paired with the float model's.
        worst: how many times the noise of its scales the error of an output is at most.
        output: the output that departs most, or a tensor inside that is saturated; ``None`` where
            all are as they should be.
        first: the first operator whose output departs.
        why_not: why nothing was compared; ``""`` where it was.
    """

    source: str
    samples: int = 0
    tensors: int = 0
    worst: float = 0.0
    output: Departure | None = None
    first: Departure | None = None
    why_not: str = ""

    @property
    def failure(self) -> str:
        """Why the model fails; ``""`` where its outputs are the float model's."""
        if self.output is None:
            return ""
        first = self.first or self.output
        where = f"; the first to depart is {first.operator}, {first.size}"
        text = f"its outputs are not those of {self.source}: {self.output.operator} is "
        return f"{text}{self.output.size}{where if first != self.output else ''}"

    @property
    def doubt(self) -> str:
        """A warning where nothing was compared."""
        if not self.why_not:
            return ""
        return f"verify: outputs not compared with {self.source}: {self.why_not}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was compared."""
        if self.why_not or self.output is not None:
            return ()
        told = (
            f"verify: outputs held to {self.source} on {self.samples} samples: off by at most "
            f"{self.worst:.2g} times what its scales explain"
        )
        if self.first is None:
            return (told,)
        inside = f"verify: inside, {self.first.operator} is {self.first.size}; no output shows it"
        return told, inside


def compare_with_float(declared: DeclaredModel, workspace: Workspace) -> FloatComparison | None:
    """Compare a declared model with its float source; ``None`` where none is known.

    Raises:
        TinybudgetError: the model cannot be read or converted.
    """
    request = _request(declared, workspace)
    if request is None or request.reference is None:
        return None
    source = request.reference.shown
    if find_spec("ai_edge_litert") is None:
        return FloatComparison(
            source, why_not="LiteRT is not installed (pytest-tinybudget[accuracy])"
        )
    from pytest_tinybudget.evaluation.measure import evaluate

    try:
        facts = evaluate(request, workspace.cache()).facts
    except TinybudgetError as error:
        return FloatComparison(source, why_not=error.message)
    return _comparison(source, facts)


def _request(declared: DeclaredModel, workspace: Workspace) -> EvaluationRequest | None:
    from pytest_tinybudget.convert.converter import Request
    from pytest_tinybudget.convert.layout import channels_first_of
    from pytest_tinybudget.evaluation.measure import EvaluationRequest
    from pytest_tinybudget.evaluation.measure import ReferenceModel
    from pytest_tinybudget.graph.closing import closed
    from pytest_tinybudget.graph.tflite import load_model

    if declared.planned is not None:
        return None
    data, shown = None, f"{declared.declared_source} (float)"
    if workspace.conversion(declared) is not None:
        source = Request(declared.source, declared.declared_source, declared.conversion)
        reference = ReferenceModel(shown, source=source)
    elif declared.accuracy is not None and declared.accuracy.reference is not None:
        path, shown = declared.accuracy.reference
        reference = ReferenceModel(shown, closed(load_model(path, shown), {}, whole=True))
        data = declared.accuracy.data
    else:
        return None
    return EvaluationRequest(
        model=workspace.model(declared),
        shown=declared.declared_source,
        data=data,
        limits=declared.conversion,
        noise=True,
        reference=reference,
        channels_first=channels_first_of(declared.source),
    )


def _comparison(source: str, facts: dict[str, Any]) -> FloatComparison:
    if facts["why_not"]:
        return FloatComparison(source, why_not=printable(facts["why_not"]))
    outputs = facts["outputs"]
    wrong = [each for each in outputs if each["departs"]] or filter(None, [facts["saturated"]])
    departing = [_departure(each) for each in wrong]
    return FloatComparison(
        source,
        facts["samples"],
        facts["tensors"],
        max((each["times"] for each in outputs), default=0.0),
        max(departing, key=lambda each: each.times / each.allowed, default=None),
        _departure(facts["first"]) if facts["first"] else None,
    )


def _departure(told: dict[str, Any]) -> Departure:
    by_channel = told["channel_times"] / told["channel_allowed"]
    prefix = "channel_" if by_channel > told["times"] / told["allowed"] else ""
    return Departure(
        told["name"],
        told["index"],
        told["output"],
        told["error"],
        told[f"{prefix}times"],
        told[f"{prefix}allowed"],
        told["beyond"],
    )
