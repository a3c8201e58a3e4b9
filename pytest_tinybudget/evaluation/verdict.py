"""Judges accuracy and agreement: evaluates the models and compares with the declared limits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import Unit
from pytest_tinybudget.convert.converter import Request
from pytest_tinybudget.convert.layout import channels_first_of
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.held_out import ERRORS
from pytest_tinybudget.declaration.held_out import Accuracy
from pytest_tinybudget.declaration.held_out import Agreement
from pytest_tinybudget.declaration.pairs import Check
from pytest_tinybudget.evaluation.interpreters import untold_bias
from pytest_tinybudget.evaluation.interpreters import upstream_date
from pytest_tinybudget.evaluation.measure import EvaluationRequest
from pytest_tinybudget.evaluation.measure import EvaluationResult
from pytest_tinybudget.evaluation.measure import ReferenceModel
from pytest_tinybudget.evaluation.measure import evaluate
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import PairResult


if TYPE_CHECKING:
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.workspace import Workspace


_TITLES = {"accuracy": "accuracy", "top_5": "top-5 accuracy", "auc": "AUC", "mae": "MAE",
           "mse": "MSE"}  # fmt: skip
#: Metrics that are shares of samples, shown as percentages.
_SHARES = ("accuracy", "top_5")

_MOST_DIGITS = 6


class _Demand(Struct, frozen=True):
    """A figure with its limit and ``interval`` (all in the figure's unit), and how to word it.

    The text is ``ok`` or ``failed``, the value, and ``after``. A negative value is written without
    its sign and with ``less`` in place of ``after``.
    """

    figure: Figure
    interval: tuple[float, float] | None
    ok: str
    failed: str
    after: str = ""
    less: str = ""

    @property
    def text(self) -> str:
        """``"accuracy 96.7 % (at least 95.0 %)"``, ``"0.3 % below float (at most 1.0 %)"``."""
        figure, value = self.figure, self.figure.low or 0.0
        before = self.failed if figure.unmet else self.ok
        after = self.after
        if value < 0 and self.less:
            value, after = -value, self.less
        if figure.limit is None:
            return " ".join(filter(None, (before, _number(value, figure.unit), after)))
        shown, limit = _numbers(value, figure.limit, figure.unit)
        words = " ".join(filter(None, (before, shown, after)))
        return f"{words} ({'at least' if figure.at_least else 'at most'} {limit})"

    @property
    def doubt(self) -> str:
        """A warning if the limit lies within the interval: there are too few samples to be sure."""
        if self.interval is None or self.figure.limit is None:
            return ""
        low, high = self.interval
        if not low < self.figure.limit < high:
            return ""
        unit = self.figure.unit
        return (
            f"few samples: {self.figure.name} lies between {_number(low, unit)} and "
            f"{_number(high, unit)} (95 %), its limit among them"
        )


def accuracy_result(check: Check, workspace: Workspace) -> PairResult:
    """The item of ``[models.NAME.accuracy]``.

    Raises:
        TinybudgetError: the model cannot be read, converted or run, or the data does not fit it.
    """
    model = check.model
    assert model is not None
    assert model.accuracy is not None
    asked = model.accuracy
    reference = _reference(asked, model, workspace)
    found = evaluate(
        EvaluationRequest(
            model=workspace.model(model),
            shown=model.declared_source,
            data=asked.data,
            limits=model.conversion,
            channels_first=channels_first_of(model.source),
            labels=asked.labels,
            metric=asked.metric,
            reference=reference,
        ),
        workspace.cache(),
    )
    demands = [_quality(asked, found)]
    if "drop" in found.facts:
        demands.append(_drop(asked, found))
    reasons = _why_so_low(asked, found.facts) if demands[0].figure.unmet else ()
    if len(demands) > 1 and demands[1].figure.unmet:
        reasons = (
            *reasons,
            "calibrate with more or other data (representative_data), or train quantization-aware",
        )
    return _result(check, workspace, found, demands, reasons, reference)


def agreement_result(check: Check, workspace: Workspace) -> PairResult:
    """The item of ``[models.NAME.agreement]``.

    Raises:
        TinybudgetError: a model cannot be read, converted or run, or the data does not fit it.
    """
    from pytest_tinybudget.graph.tflite import load_model

    model = check.model
    assert model is not None
    assert model.agreement is not None
    assert model.deployed is not None
    asked, name = model.agreement, model.deployed.name
    deployed = ReferenceModel(name, load_model(model.deployed, name))
    found = evaluate(
        EvaluationRequest(
            model=workspace.model(model),
            shown=model.declared_source,
            data=asked.data,
            limits=model.conversion,
            channels_first=channels_first_of(model.source),
            tolerance=asked.tolerance,
            reference=deployed,
        ),
        workspace.cache(),
    )
    facts = found.facts
    demand = _Demand(
        Figure(
            name="agreement",
            unit="%",
            low=facts["value"] * 100,
            high=facts["value"] * 100,
            method="measured",
            basis=_basis(asked, found),
            limit=asked.minimum * 100,
            at_least=True,
            **_interpreters(found, "value", 100),
        ),
        (facts["interval"][0] * 100, facts["interval"][1] * 100),
        ok=f"agreement with {name}",
        failed=f"agreement with {name} too low:",
    )
    differ = _where_they_differ(facts, name)
    return _result(check, workspace, found, [demand], differ, deployed)


def _reference(
    asked: Accuracy, model: DeclaredModel, workspace: Workspace
) -> ReferenceModel | None:
    """The float model to compare with, if the declaration asks for one.

    Raises:
        TinybudgetError: there is none.
    """
    from pytest_tinybudget.convert.sources import kind_of
    from pytest_tinybudget.graph.closing import closed
    from pytest_tinybudget.graph.tflite import load_model

    if asked.reference is not None:
        path, shown = asked.reference
        return ReferenceModel(shown, load_model(path, shown))
    if asked.max_drop is None:
        return None
    shown = f"{model.declared_source} (float)"
    if workspace.conversion(model) is None:
        raise TinybudgetError(
            f"{model.declared_source}: max_drop needs the float model: it is INT8 already, so give "
            "'reference', a float .tflite",
            code="TB200",
        )
    if kind_of(model.source) == "tflite":
        shapes = dict(model.conversion.input_shapes)
        return ReferenceModel(shown, closed(load_model(model.source, shown), shapes))
    return ReferenceModel(
        shown, source=Request(model.source, model.declared_source, model.conversion)
    )


def _quality(asked: Accuracy, found: EvaluationResult) -> _Demand:
    """The metric with its limit ``min`` or ``max``."""
    title, facts = _TITLES[asked.metric], found.facts
    unit: Unit = "%" if asked.metric in _SHARES else ""
    factor = 100 if unit else 1
    limit = asked.maximum if asked.metric in ERRORS else asked.minimum
    figure = Figure(
        name=title,
        unit=unit,
        low=facts["value"] * factor,
        high=facts["value"] * factor,
        method="measured",
        basis=_basis(asked, found),
        limit=None if limit is None else limit * factor,
        at_least=asked.metric not in ERRORS,
        **_interpreters(found, "value", factor),
    )
    low, high = facts["interval"]
    size = "high" if asked.metric in ERRORS else "low"
    return _Demand(figure, (low * factor, high * factor), ok=title, failed=f"{title} too {size}:")


def _drop(asked: Accuracy, found: EvaluationResult) -> _Demand:
    """The drop from the float model, with its limit ``max_drop``."""
    facts = found.facts
    less, more = ("more", "less") if asked.metric in ERRORS else ("below", "above")
    than = " than" if asked.metric in ERRORS else ""
    words = f"{'error ' if asked.metric in ERRORS else ''}{less}{than} float"
    interval = facts["drop_interval"]
    figure = Figure(
        name="drop from float",
        unit="%",
        low=facts["drop"] * 100,
        high=facts["drop"] * 100,
        method="measured",
        basis=_drop_basis(asked, found),
        limit=None if asked.max_drop is None else asked.max_drop * 100,
        **_interpreters(found, "drop", 100),
    )
    return _Demand(
        figure,
        None if interval is None else (interval[0] * 100, interval[1] * 100),
        ok="",
        failed="too far from float:",
        after=words,
        less=words.replace(less, more),
    )


def _reference_value(asked: Accuracy, facts: dict[str, Any]) -> tuple[float, Unit]:
    if asked.metric in _SHARES:
        return facts["reference"] * 100, "%"
    return facts["reference"], ""


def _basis(asked: Accuracy | Agreement, found: EvaluationResult) -> str:
    facts = found.facts
    samples = f"{facts['hits']} of {facts['count']}" if "hits" in facts else f"{facts['count']}"
    text = f"{samples} samples of {asked.data.shown}, {found.interpreter}"
    if found.choice.second is None or "value" not in facts.get("check", {}):
        return text
    unit: Unit = "" if isinstance(asked, Accuracy) and asked.metric not in _SHARES else "%"
    value = _number(facts["check"]["value"] * (100 if unit else 1), unit)
    return f"{text}; {found.choice.second.title}: {value}"


def _drop_basis(asked: Accuracy, found: EvaluationResult) -> str:
    value = _number(*_reference_value(asked, found.facts))
    by = f" by {found.reference.first.title}" if found.reference else ""
    return f"float has {value} of the same samples{by}"


def _interpreters(found: EvaluationResult, name: str, factor: int) -> dict[str, Any]:
    """The fields of a figure that say who computed it: ``name`` is that of the fact."""
    checked = found.facts.get("check", {}).get(name)
    second = found.choice.second
    if checked is None or second is None:
        return {"interpreter": found.interpreter}
    return {
        "interpreter": found.interpreter,
        "cross_check": checked * factor,
        "cross_checked_by": second.title,
    }


def _doubts(found: EvaluationResult) -> Iterator[str]:
    """Warnings about who computed the figures."""
    for choice in filter(None, (found.choice, found.reference)):
        if choice.refused:
            yield f"{choice.why}: {choice.first.title} ran it instead"


def _remarks(found: EvaluationResult, check: Check) -> Iterator[str]:
    """Notes about how the figures were computed."""
    facts = found.facts
    if facts["fresh"]:
        yield "the model keeps a state: each sample has a fresh interpreter, which has none"
    if found.choice.why and not found.choice.refused:
        yield f"computed by {found.interpreter}: {found.choice.why}"
    if "why_not" in facts.get("check", {}) and found.choice.second is not None:
        yield f"not cross-checked: {found.choice.second.title}: {facts['check']['why_not']}"
    day = upstream_date(found.choice.first)
    others = tuple(_other_versions(check, day)) if day else ()
    if others:
        yield f"the arithmetic of upstream's TFLM of {day}; not that of {', '.join(others)}"


def _other_versions(check: Check, day: str) -> Iterator[str]:
    """The boards of the model whose TFLM is not that of ``day``: ``"pico (TFLM 1234 of DAY)"``."""
    model = check.model
    assert model is not None
    for board in model.boards:
        if board.accelerator:
            continue
        try:
            runtime = check.project.firmware_for(model, board).runtime
        except TinybudgetError:  # which the board's pair reports
            continue
        version = runtime.tflm.version
        if version.date[: len(day)] != day:
            of = f" of {version.date[: len(day)]}" if version.date else ""
            yield f"{board.id} (TFLM {version.name or 'of unknown version'}{of})"


def _why_so_low(asked: Accuracy, facts: dict[str, Any]) -> tuple[str, ...]:
    reasons = []
    if "weakest" in facts:
        weakest = facts["weakest"]
        reasons.append(
            f"class {weakest['class']} is recognized worst: {weakest['hits']} of {weakest['count']}"
        )
    if "reference" in facts and asked.metric not in ERRORS and asked.minimum is not None:
        told = _number(*_reference_value(asked, facts))
        if facts["reference"] < asked.minimum:
            reasons.append(f"the float model has {told}: quantization is not the cause")
        else:
            reasons.append(f"the float model has {told}: quantization is the cause")
    return tuple(reasons)


def _where_they_differ(facts: dict[str, Any], name: str) -> tuple[str, ...]:
    if "first" not in facts:
        return ()
    text = f"they differ in {facts['count'] - facts['hits']} samples, first in {facts['first']}"
    if "decided" in facts:
        theirs, mine = facts["decided"]
        return (f"{text}: {name} says {theirs}, this one {mine}",)
    return (f"{text}, by up to {facts['apart']:.3g}",)


def _untold_biases(graph: Model, reference: ReferenceModel | None) -> Iterator[str]:
    """Warnings about biases that LiteRT reads otherwise, of the model and what it is held to."""
    if text := untold_bias(graph):
        yield text
    if reference and reference.model and (text := untold_bias(reference.model)):
        yield f"{reference.shown}: {text}"


def _result(
    check: Check,
    workspace: Workspace,
    found: EvaluationResult,
    demands: list[_Demand],
    reasons: tuple[str, ...],
    reference: ReferenceModel | None,
) -> PairResult:
    """The item's result. Point estimates decide; limits that are not met come first."""
    model = check.model
    assert model is not None
    converted, graph = workspace.conversion(model), workspace.model(model)
    warnings = (
        *(converted.warnings if converted else ()),
        *found.facts["warnings"],
        *_doubts(found),
        *_untold_biases(graph, reference),
    )
    failed = any(demand.figure.unmet for demand in demands)
    ordered = sorted(demands, key=lambda demand: not demand.figure.unmet)
    return PairResult(
        id=check.id,
        model=check.name,
        board=check.kind,
        runtime=found.interpreter,
        outcome="unmet" if failed else "warns" if warnings else "fits",
        headline=", ".join(demand.text for demand in ordered),
        reasons=reasons if failed else (),
        warnings=warnings,
        model_sha256=hashlib.sha256(graph.content).hexdigest(),
        model_bytes=graph.bytes,
        model_source=model.declared_source,
        declared_at=check.declared_at,
        message=model.message,
        conversion=converted.settings if converted else "",
        notes=tuple(
            filter(
                None,
                [*(demand.doubt for demand in demands), *_remarks(found, check), found.doubt],
            )
        ),
        figures=tuple(demand.figure for demand in demands),
        kind=check.kind,
    )


def _numbers(value: float, limit: float, unit: Unit) -> tuple[str, str]:
    """Value and limit as text, with enough digits that different numbers look different."""
    for digits in range(_MOST_DIGITS):
        texts = _number(value, unit, digits), _number(limit, unit, digits)
        if value == limit or texts[0] != texts[1]:
            break
    return texts


def _number(value: float, unit: Unit, more_digits: int = 0) -> str:
    """``"96.7 %"``, ``"0.0312"``: three digits, and ``more_digits`` on top."""
    if unit == "%":
        return f"{value:.{1 + more_digits}f} %"
    return f"{value:.{3 + more_digits}g}"
