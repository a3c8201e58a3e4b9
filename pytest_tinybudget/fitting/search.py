"""Measures the candidates of a plan on boards: which fit, which are worth a look, what decides.

What candidates and boards have in common is made once: tables, linked sets of operators, and the
arena of boards whose runtimes lay it out alike. Of a candidate its figures are kept, not its graph.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from math import inf
from math import prod
from operator import le
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.boards import Board
from pytest_tinybudget.declaration.schema.limits import BudgetTable
from pytest_tinybudget.declaration.single import pair_of
from pytest_tinybudget.fitting.result import FIGURES
from pytest_tinybudget.fitting.result import Candidate
from pytest_tinybudget.fitting.result import Decides
from pytest_tinybudget.fitting.result import Figure
from pytest_tinybudget.fitting.result import Fit
from pytest_tinybudget.fitting.result import OnBoard
from pytest_tinybudget.fitting.result import decider
from pytest_tinybudget.fitting.space import Plan
from pytest_tinybudget.fitting.space import choices
from pytest_tinybudget.fitting.space import chosen_layers
from pytest_tinybudget.fitting.space import count
from pytest_tinybudget.fitting.space import plan_of
from pytest_tinybudget.footprint.arena import Simulation
from pytest_tinybudget.footprint.arena import arena_key
from pytest_tinybudget.footprint.arena import simulate
from pytest_tinybudget.footprint.measure import measure
from pytest_tinybudget.footprint.quick import Sums
from pytest_tinybudget.footprint.quick import sums
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.gate.figures import inference_figure
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.verdict import Demands
from pytest_tinybudget.gate.verdict import headline
from pytest_tinybudget.gate.verdict import judge
from pytest_tinybudget.graph.kinds import alike_in
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.planning.bounds import bytes_of_names
from pytest_tinybudget.planning.network import NUMBERS
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.sized import sized_model
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.results.metrics import Metric
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.speed.latency import Latency
from pytest_tinybudget.speed.latency import latency_of
from pytest_tinybudget.speed.work import total_macs


#: Of how many choices a plan's candidates are measured, unless told otherwise.
DEFAULT_MOST = 1000

#: What a candidate is judged by.
LIMITS = ("flash", "ram", "psram", "arena", "latency")

#: More parameters are worth something; what they cost in arena and work is to be small.
MAXIMIZE: tuple[Figure, ...] = ("parameters",)
MINIMIZE: tuple[Figure, ...] = ("arena", "macs")


def fit(
    plan: Mapping[str, Any] | Sequence[Sequence[int]] | Sequence[Mapping[str, Any]] | Plan,
    *,
    input_shape: Sequence[int] | None = None,
    activations: Numbers | None = None,
    boards: Sequence[str | Board] = (),
    budget: Mapping[str, str | int] | None = None,
    most: int = DEFAULT_MOST,
    maximize: Sequence[str] = MAXIMIZE,
    minimize: Sequence[str] = MINIMIZE,
) -> Fit:
    """Which sizes of a plan fit boards and budgets, and which of these are worth training.

    Each candidate is measured as ``layers`` of a declaration: as the file that a converter would
    make of it. Nothing is written.

    Args:
        plan: the plan as in a ``plan.toml`` (docs/fit.md): ``input_shape``, ``layers``, ``free``,
            and perhaps ``boards`` and ``budget``. Or layers as tuples of numbers, as ``check``
            takes them: a plan without free sizes. Or its ``layers`` alone.
        input_shape: of layers, the shape of their input, without batch; dense tuples need none.
        activations: type of what flows between operators, instead of the plan's: ``"int8"``,
            ``"int16"`` or ``"float"``.
        boards: ids or everyday names, or boards; instead of the plan's.
        budget: limits besides the boards' rooms, as in a declaration; instead of the plan's.
        most: so many candidates are measured; of more, evenly spread ones.
        maximize: figures of which a front has more: ``parameters``, ``macs`` and the like.
        minimize: figures of which it has less.

    Raises:
        TinybudgetError: the plan, a board, a limit or a figure is wrong.
    """
    read = _read(plan, input_shape, activations)
    more, less = _figures_of(maximize), _figures_of(minimize)
    if most < 1:
        raise TinybudgetError(f"most: expected a number from 1, found {most}")
    named = tuple(boards) or tuple(read.boards)
    if not named:
        raise TinybudgetError('a plan needs boards: boards = ["esp32"], or --board esp32')
    limits = dict(read.budget if budget is None else budget)
    for metric in limits:
        if metric not in LIMITS and metric in BudgetTable.__struct_fields__:
            raise TinybudgetError(
                f"budget.{metric}: fit knows {', '.join(LIMITS)}; {metric} is judged once there is "
                "a declaration (tinybudget check)",
                code="TB100",
            )
    pairs = [pair_of("plan.tflite", board=board, settings={"budget": limits}) for board in named]
    ids = [pair.board.id for pair in pairs]
    for board_id in ids:
        if ids.count(board_id) > 1:
            raise TinybudgetError(f"boards: {board_id} is named {ids.count(board_id)} times")
    for pair in pairs:
        if not pair.board.runs_tflm or pair.board.accelerator:
            raise TinybudgetError(f"{pair.board.id}: fit is for boards whose core runs the model")
    # As in a declaration, one file is made for all boards, which each of them runs.
    # Of other numbers dense layers have one scale on every board.
    one_scale = [pair.model.conversion.per_tensor_for for pair in pairs]
    dense_for = next(filter(None, one_scale), "") if read.activations == "int8" else ""
    places = [
        _Place(
            pair.board,
            pair.firmware,
            Rules().demands(pair),
            pair.model.budget.latency,
            Remembered(),
            pair.firmware.placements.reaches_psram,
        )
        for pair in pairs
    ]
    per_channel = read.activations == "int8" and not dense_for
    candidates, impossible, why = _candidates(read, places, most, per_channel=per_channel)
    if not candidates:
        which = "the choice" if impossible == 1 else f"none of {impossible:,} choices"
        verb = "is no network" if impossible == 1 else "is a network, the first"
        raise TinybudgetError(f"{which} {verb}: {why}", code="TB100")
    front = {
        pair.board.id: _front(candidates, place, more, less) for place, pair in enumerate(pairs)
    }
    decides = tuple(_decides(pair.board, candidates, place) for place, pair in enumerate(pairs))
    return Fit(
        total=count(read),
        impossible=impossible,
        why_impossible=why,
        maximize=more,
        minimize=less,
        candidates=tuple(candidates),
        front=front,
        decides=decides,
        dense_for=dense_for,
        activations=read.activations,
    )


def _read(
    plan: Mapping[str, Any] | Sequence[Sequence[int]] | Sequence[Mapping[str, Any]] | Plan,
    input_shape: Sequence[int] | None,
    activations: Numbers | None,
) -> Plan:
    if isinstance(plan, Plan):
        read = plan
    elif isinstance(plan, Mapping):
        read = plan_of(plan, "plan")
    else:
        given = {} if input_shape is None else {"input_shape": input_shape}
        read = plan_of({**given, "layers": plan}, "plan")
        input_shape = None
    if input_shape is not None:
        raise TinybudgetError("input_shape is for layers alone: a plan has it as a key")
    if activations is None:
        return read
    if activations not in NUMBERS:
        raise unknown("activations", activations, NUMBERS)
    return replace(read, activations=activations)


def _figures_of(names: Sequence[str]) -> tuple[Figure, ...]:
    for name in names:
        if name not in FIGURES:
            if nearest(name, FIGURES):
                raise unknown("figure", name, FIGURES)
            text = f"unknown figure {name!r}: figures are {', '.join(FIGURES)}"
            raise TinybudgetError(text, code="TB101")
    return tuple(figure for name in names for figure in FIGURES if figure == name)


class _Place(Struct, frozen=True):
    """Where candidates are to fit, and within what; ``latency`` in seconds.

    ``limits`` are those of sizes, by what lies in the RAM beside the arena.
    """

    board: Board
    firmware: Firmware
    demands: Demands
    latency: float | None
    limits: Remembered[tuple[int, int], tuple[tuple[Metric, int], ...]]
    reaches_psram: bool = False


def _candidates(
    plan: Plan, places: Sequence[_Place], most: int, *, per_channel: bool
) -> tuple[list[Candidate], int, str]:
    found: list[Candidate] = []
    impossible, why = 0, ""
    for chosen in choices(plan, most):
        try:
            layers = replace(chosen_layers(plan, chosen), per_channel_dense=per_channel)
            model = sized_model(layers, "plan", named=True)
        except ModelError as error:
            impossible, why = impossible + 1, why or error.message
            continue
        found.append(_measured(model, chosen, places))
    return found, impossible, why


def _measured(model: Model, chosen: dict[str, int], places: Iterable[_Place]) -> Candidate:
    boards = tuple([_on_board(model, place) for place in places])
    names = bytes_of_names(model)
    return Candidate(chosen, _parameters(model), total_macs(model), names, boards)


def _parameters(model: Model) -> int:
    """How many numbers the layers learn: weights and biases, no axes and shapes."""
    alike = alike_in(model)
    learned: list[int] | None = alike.get("learned")
    if learned is None:
        learned = alike["learned"] = _learned(model)
    tensors = model.main.tensors
    return sum([prod(tensors[index].shape) for index in learned])


def _learned(model: Model) -> list[int]:
    """The tensors of these numbers."""
    tensors = model.main.tensors
    constants = {
        index
        for operator in model.main.operators
        for index in operator.inputs
        if index >= 0 and tensors[index].data
    }
    return [
        index
        for index in constants
        if tensors[index].quantization.scales or tensors[index].type == "FLOAT32"
    ]


def _on_board(model: Model, place: _Place) -> OnBoard:
    found = sums(model, place.firmware)
    judged = _measured_whole(model, place) if found is None else _judged(found, model, place)
    limit = place.latency
    latency = latency_of(model, place.board, place.firmware.kernels, external=place.reaches_psram)
    late = limit is not None and (latency.high is None or latency.high > limit)
    shares: dict[str, float] = {
        metric: used / max(most, 1) for metric, used, most in judged.measures
    }
    if limit is not None and latency.high is not None:
        shares["latency"] = latency.high / limit
    tightest = max(shares, key=shares.__getitem__) if shares else ""
    share = shares.get(tightest, 0.0)
    if late and latency.high is None and judged.fits:
        tightest, share = "latency", 0.0  # of what nobody knows no share is known
    fits = not late and judged.fits
    return OnBoard(
        board=place.board.id,
        fits=fits,
        arena=judged.arena,
        ram=judged.ram,
        flash=judged.flash,
        seconds=latency.high,
        tightest="refused" if judged.refused else tightest,
        share=0.0 if judged.refused else share,
        peak_layer=judged.peak_layer,
        peak=judged.peak,
        reason="" if fits else _reason(judged, latency, limit),
    )


def _reason(judged: _Judged, latency: Latency, limit: float | None) -> str:
    """Why a candidate does not fit, in the words of the gate."""
    sizes = judged.headline or headline(judged.measures)
    if limit is None or judged.refused:
        return sizes
    figure = inference_figure("latency", "s", latency, limit)
    return f"{figure.text}; {sizes}" if figure.unmet else f"{sizes}; {figure.text}"


class _Judged(Struct, frozen=True, gc=False):
    """A candidate's sizes on a board, and whether they are within its limits.

    ``measures`` are sizes that have limits, and these; ``headline`` is empty where it says no more.
    """

    fits: bool
    arena: int
    ram: int
    flash: int
    peak_layer: int
    peak: str
    measures: Sequence[tuple[Metric, int, int]]
    headline: str = ""
    refused: bool = False


def _measured_whole(model: Model, place: _Place) -> _Judged:
    simulation = _simulated(model, place.firmware)
    footprint = measure(model, place.firmware, simulation)
    index, peak = _peak(footprint)
    verdict = judge(footprint, place.board, place.demands)
    return _Judged(
        fits=verdict.outcome in ("fits", "warns"),
        arena=footprint.arena.required if footprint.arena else 0,
        ram=footprint.ram,
        flash=footprint.flash,
        peak_layer=index,
        peak=peak,
        measures=[(each.metric, each.used, each.limit) for each in verdict.measures],
        headline=verdict.headline,
        refused=verdict.outcome == "refused",
    )


def _judged(found: Sums, model: Model, place: _Place) -> _Judged:
    """The verdict on sums, of which nothing but a limit decides."""
    arena, ram, flash = found.arena.required, found.ram, found.flash
    used: dict[Metric, int] = {"flash": flash, "ram": ram, "arena": arena}
    # Besides the board, the limits follow from what else lies in the RAM.
    key = ram - arena, found.stack
    limits = place.limits.get(key)
    if limits is None:
        verdict = judge(found.footprint, place.board, place.demands)
        limits = tuple([(each.metric, each.limit) for each in verdict.measures])
        place.limits.keep(key, limits)
    measures = [(metric, used[metric], limit) for metric, limit in limits]
    return _Judged(
        fits=all(size <= limit for _, size, limit in measures),
        arena=arena,
        ram=ram,
        flash=flash,
        peak_layer=found.arena.peak,
        peak=_named(model.main.operators[found.arena.peak], model),
        measures=measures,
    )


def _simulated(model: Model, firmware: Firmware) -> Simulation:
    """The simulation, made once for all firmware with the same arena."""
    key = ("simulated", arena_key(firmware))
    known: Simulation | None = model.derived.get(key)
    if known is None:
        known = model.derived[key] = simulate(model, firmware)
    return known


def _named(operator: Operator, model: Model) -> str:
    return f"{operator.name} {model.main.tensors[operator.outputs[0]].name}".rstrip()


def _peak(footprint: Footprint) -> tuple[int, str]:
    """The operator that runs when the arena is full to its end: its index and name."""
    if footprint.arena is None or not footprint.layers:
        return -1, ""
    layers = peak_layers(footprint.arena, footprint.layers) or footprint.layers
    layer = max(layers, key=lambda each: each.live_bytes)
    return layer.index, f"{layer.operator} {layer.name}".rstrip()


def _figures(candidate: Candidate, place: int) -> dict[str, float]:
    on = candidate.boards[place]
    return {
        "arena": on.arena,
        "ram": on.ram,
        "flash": on.flash,
        "macs": candidate.macs,
        "parameters": candidate.parameters,
        "seconds": inf if on.seconds is None else on.seconds,
    }


def _front(
    candidates: Sequence[Candidate], place: int, maximize: Sequence[str], minimize: Sequence[str]
) -> tuple[int, ...]:
    """Indices of the candidates that fit and that none beats, the most parameters first."""
    points: dict[int, tuple[float, ...]] = {}
    for index, candidate in enumerate(candidates):
        if candidate.boards[place].fits:
            figures = _figures(candidate, place)
            costs = [-figures[name] for name in maximize] + [figures[name] for name in minimize]
            points[index] = tuple(costs)
    front = _Front()
    # In the order of their costs none is beaten by one that comes later.
    ordered = sorted(points.items(), key=lambda item: (item[1], item[0]))
    return tuple(index for index, point in ordered if front.takes(point[1:]))


class _Front:
    """The points that no other one is below in everything, as they come."""

    def __init__(self) -> None:
        #: By the first figure; of points with two figures the second falls meanwhile.
        self.points: list[tuple[float, ...]] = []

    def takes(self, point: tuple[float, ...]) -> bool:
        """Whether no point that came before is at most ``point`` in all figures; keep it then."""
        points = self.points
        # Behind all that are no larger in the first figure.
        end = bisect_right(points, point[:1] + (inf,) * len(point))
        below = points[end - 1 : end] if len(point) == 2 else points[:end]
        if any(all(map(le, other, point)) for other in below):
            return False
        points[:] = [
            *points[:end],
            point,
            *(other for other in points[end:] if not all(map(le, point, other))),
        ]
        return True


def _decides(board: Board, candidates: Sequence[Candidate], place: int) -> Decides:
    """What keeps the plan from being larger on ``board``."""
    measured = [candidate.boards[place] for candidate in candidates]
    failing = [each for each in measured if not each.fits]
    fitting = len(measured) - len(failing)
    if failing:
        metric, failed = Counter(each.tightest for each in failing).most_common(1)[0]
        looked_at = [each for each in failing if each.tightest == metric]
    else:
        fullest = max(measured, key=lambda each: each.share)
        metric, failed, looked_at = fullest.tightest, 0, [fullest]
    layer, name = Counter((each.peak_layer, each.peak) for each in looked_at).most_common(1)[0][0]
    if metric not in ("ram", "arena", "psram"):
        layer, name = -1, ""
    where = f" at layer {layer} ({name})" if layer >= 0 else ""
    said = decider(metric)
    if failing:
        counted = f"{fitting:,} of {len(measured):,} fit, {failed:,} do not for it"
    else:
        counted = f"all {fitting:,} fit, the fullest takes {looked_at[0].share:.0%} of it"
    text = f"{said} decides{where}: {counted}"
    if metric == "refused":
        text += f": {Counter(each.reason for each in looked_at).most_common(1)[0][0]}"
    if metric == "latency" and looked_at[0].seconds is None:
        text += ": nobody has measured such a board"
    return Decides(board.id, len(measured), fitting, metric, failed, layer, text)
