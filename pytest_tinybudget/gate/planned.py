"""What a report says of a model that is planned: how exact that is, and the conversion's answer."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.declaration.pairs import GroupPair
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.judgement import judged
from pytest_tinybudget.gate.measurement import measured
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import warned
from pytest_tinybudget.workspace import Workspace


if TYPE_CHECKING:
    from pytest_tinybudget.declaration import DeclaredModel
    from pytest_tinybudget.declaration.pairs import Declared
    from pytest_tinybudget.graph.model import Model
    from pytest_tinybudget.runtimes.firmware import Firmware
    from pytest_tinybudget.workspace.plans import Plan


#: Operators of a graph that a line shows.
_SHOWN_OPERATORS = 12


def with_plan(result: PairResult, pair: Pair, model: Model, workspace: Workspace) -> PairResult:
    """``result`` of a pair whose model is planned, or was before it was converted."""
    declared = pair.model
    if workspace.is_planned(declared):
        notes = _why_planned(declared)
        return warned(
            replace(result, notes=(*result.notes, *notes)),
            tuple(_of_plan(declared, model, result)),
        )
    plan = workspace.plan(declared)
    if plan is None:
        return result
    if plan.model is None:
        text = f"plan: {plan.why_not}; it was converted"
        return replace(result, notes=(*result.notes, text))
    exact = _as_converted(declared, model, workspace)
    planned = _without_zeros(plan, exact)
    differences = _differences(planned, exact, pair.firmware, workspace)
    if differences:
        text = f"the plan was wrong, which is a bug of tinybudget: {differences}"
        return warned(result, (text,))
    text = "plan: equal to the conversion, the arena to the byte, flash but for names"
    if planned is not plan.model:
        text += "; biases of zeros, as before training, are left out"
    refusal = _refused_by_scales(planned, exact, pair.firmware, workspace)
    if refusal:
        text = (
            "plan: equal to the conversion but for what its data decides, which TFLM refuses:"
            f" {refusal}"
        )
    return replace(result, notes=(*result.notes, text))


def with_group_plans(
    result: PairResult, pair: GroupPair, models: Sequence[Model], workspace: Workspace
) -> PairResult:
    """``result`` of a group some of whose models are planned, which is said with their names."""
    from pytest_tinybudget.planning.bounds import bytes_of_names

    planned = [
        (declared, model)
        for declared, model in zip(pair.models, models, strict=True)
        if workspace.is_planned(declared)
    ]
    if not planned:
        return result
    text = f"planned, not converted: {', '.join(declared.name for declared, _ in planned)}"
    more = sum(
        bytes_of_names(model)
        for each, model in planned
        if not (each.conversion.strip or _is_traced(each))
    )
    if more:
        text += (
            f"; names in the trained files may take up to {format_size(more)} more flash"
            f"{_over(result, more)}, and none with strip = true"
        )
    notes = [
        f"{declared.name}: {note}" for declared, _ in planned for note in _why_planned(declared)
    ]
    return warned(replace(result, notes=(*result.notes, *notes)), (text,))


def _over(result: PairResult, more: int) -> str:
    """What is said where so many bytes of flash more would pass the limit."""
    free = [each.free for each in result.measures if each.metric == "flash"]
    return " (it may not fit then)" if any(0 <= each < more for each in free) else ""


def _as_converted(declared: DeclaredModel, model: Model, workspace: Workspace) -> Model:
    """The model as it was converted, before it was shrunk."""
    converted = workspace.conversion(declared)
    if declared.shrink is None or converted is None:
        return model
    from pytest_tinybudget.graph.tflite import read_model

    return read_model(converted.content, model.name)


def first_verdicts(pairs: Iterable[Declared], workspace: Workspace, rules: Rules) -> Iterator[str]:
    """A line for each pair that will be converted and has a plan: whether it will fit."""
    for pair in pairs:
        if not isinstance(pair, Pair) or pair.board.accelerator:
            continue
        with suppress(TinybudgetError):  # the pair meets it again
            plan = workspace.plan(pair.model)
            if plan is None or not workspace.awaits_conversion(pair.model):
                continue
            if plan.model is None:
                yield f"{pair.name} on {pair.board.id}: {plan.why_not}"
                continue
            found = measured(pair, (plan.model,), workspace)
            result = judged(pair, found, rules)
            sizes = ", ".join(
                f"{each.metric} {format_size(each.used)} of {format_size(each.limit)}"
                for each in result.measures
                if each.limit
            )
            says = "does not fit" if result.failed else "fits"
            yield f"{pair.name} on {pair.board.id}: {says} as planned: {sizes}"


def _why_planned(declared: DeclaredModel) -> tuple[str, ...]:
    if declared.planned is not None:
        return ()
    from pytest_tinybudget.workspace.plans import why_not_converted

    return (f"plan: not converted, {why_not_converted(declared)}",)


def _of_plan(declared: DeclaredModel, model: Model, result: PairResult) -> Iterator[str]:
    """What a plan cannot know of the file that will be made: the names in it, and the weights."""
    from pytest_tinybudget.planning.bounds import bytes_of_names

    how = "counted from a layer list" if _is_layer_list(declared) else "planned, not converted"
    if _is_traced(declared):
        yield f"{how}: flash and arena are those of the converted file, which has no names"
    elif declared.conversion.strip:
        yield f"{how}: flash and arena are those of the file that strip = true leaves"
    else:
        more = bytes_of_names(model)
        yield (
            f"{how}: names in the trained file may take up to {format_size(more)} more flash"
            f"{_over(result, more)}, and none with strip = true"
        )
    if declared.shrink is not None:
        yield "shrink: not done for a plan, whose weights are not known"


def _is_traced(declared: DeclaredModel) -> bool:
    """Whether it is a PyTorch program, or the module itself: the conversion leaves no names."""
    from pytest_tinybudget.convert.sources import kind_of
    from pytest_tinybudget.planning.network import Network

    planned = declared.planned
    if planned is None:
        return kind_of(declared.source) == "torch"
    return isinstance(planned, Network) and planned.traced


def _is_layer_list(declared: DeclaredModel) -> bool:
    from pytest_tinybudget.planning.network import LayerList

    return isinstance(declared.planned, LayerList)


def _differences(plan: Model, exact: Model, firmware: Firmware, workspace: Workspace) -> str:
    """Where a plan is not what the conversion made; empty where it is."""
    from pytest_tinybudget.planning.bounds import shared_bytes

    found = []
    names = [[each.name for each in model.main.operators] for model in (plan, exact)]
    if names[0] != names[1]:
        found.append(f"{_shown(names[0])} instead of {_shown(names[1])}")
    arenas = [workspace.footprint(each, firmware).arena for each in (plan, exact)]
    required = [each.required if each else 0 for each in arenas]
    if required[0] != required[1] and not _refused_by_scales(plan, exact, firmware, workspace):
        found.append(f"an arena of {required[0]:,} B instead of {required[1]:,} B")
    planned, made = _bytes(plan), _bytes(exact)
    if not planned - shared_bytes(exact) <= made <= planned:
        found.append(f"a file of {planned:,} B instead of {made:,} B, without names")
    return "; ".join(found)


def _refused_by_scales(plan: Model, exact: Model, firmware: Firmware, workspace: Workspace) -> str:
    """Why TFLM refuses the conversion and not the plan, though they differ in scales alone.

    A layer that gives 0 for all calibration data has nearly no scale, which older versions refuse.
    """
    footprints = [workspace.footprint(each, firmware) for each in (plan, exact)]
    if footprints[0].arena is None or footprints[1].arena is not None:
        return ""
    if _unscaled(plan) != _unscaled(exact):
        return ""
    known = {(each.index, each.reason) for each in footprints[0].refusals}
    new = [each for each in footprints[1].refusals if (each.index, each.reason) not in known]
    return printable(f"{new[0].operator}: {new[0].reason}") if new else ""


def _unscaled(model: Model) -> list[object]:
    """Operators in order, with types and shapes of what they take and give."""
    graph = model.main
    return [
        (
            each.name,
            [
                (graph.tensors[index].type, graph.tensors[index].shape) if index >= 0 else None
                for index in (*each.inputs, *each.outputs)
            ],
        )
        for each in graph.operators
    ]


def _bytes(model: Model) -> int:
    from pytest_tinybudget.shrinking.strip import strip

    return strip(model).model.bytes


def _without_zeros(plan: Plan, exact: Model) -> Model:
    """The plan without the biases of dense layers that the converter left out: all zeros."""
    from pytest_tinybudget.planning import planned_model

    assert plan.model is not None
    assert plan.network is not None
    operators = plan.model.main.operators, exact.main.operators
    if len(operators[0]) != len(operators[1]):
        return plan.model
    unbiased = [
        number
        for number, (planned, made) in enumerate(zip(*operators, strict=True))
        if planned.name == made.name == "FULLY_CONNECTED"
        and planned.inputs[-1] != -1
        and made.inputs[-1] == -1
    ]
    if not unbiased:
        return plan.model
    return planned_model(plan.network, plan.model.name, unbiased=unbiased)


def _shown(names: list[str]) -> str:
    text = " ".join(map(printable, names[:_SHOWN_OPERATORS]))
    more = len(names) - _SHOWN_OPERATORS
    return f"{text} and {more} more" if more > 0 else text
