"""``tinybudget compare``: models on every board, without a declaration."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.base.units import format_range
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.commands.options import MODEL_HELP
from pytest_tinybudget.commands.options import Subparsers
from pytest_tinybudget.commands.options import add_command
from pytest_tinybudget.commands.options import add_cost_option
from pytest_tinybudget.commands.options import add_json_option
from pytest_tinybudget.commands.options import add_plan_option
from pytest_tinybudget.commands.options import add_shape_option
from pytest_tinybudget.commands.options import boards_of
from pytest_tinybudget.commands.options import declared_costs
from pytest_tinybudget.commands.options import declared_shapes
from pytest_tinybudget.commands.options import planned_model_of
from pytest_tinybudget.commands.options import runtime_of
from pytest_tinybudget.commands.options import told_as_json
from pytest_tinybudget.commands.waiting import waiting
from pytest_tinybudget.graph.locations import model_name
from pytest_tinybudget.report.console import Console
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.results.metrics import ALWAYS
from pytest_tinybudget.results.metrics import LABELS


if TYPE_CHECKING:
    from pytest_tinybudget.boards.board import Board
    from pytest_tinybudget.declaration.settings import Shapes
    from pytest_tinybudget.footprint.result import Footprint
    from pytest_tinybudget.gate.verdict import Verdict
    from pytest_tinybudget.results.types import Measure
    from pytest_tinybudget.runtimes.firmware import OperatorCost
    from pytest_tinybudget.runtimes.runtime import Runtime
    from pytest_tinybudget.speed.latency import Latency


#: Columns of one model's table; the last is why it does not fit, or what to look at.
_HEAD = ("BOARD", "FITS", "FLASH LEFT", "RAM LEFT", "TIME", "")
_BOARD, _FITS, _FLASH, _RAM, _TIME, _WHY = range(len(_HEAD))

#: More of a model's name is cut where several stand in the head of one table.
_NAME_CELLS = 16


class Placing(Struct, frozen=True):
    """One model on one board: whether it fits, and how long it would take."""

    board: Board
    verdict: Verdict
    latency: Latency

    @property
    def fits(self) -> bool:
        """Whether TFLM runs the model, and it is within the board's memory."""
        return self.verdict.outcome in ("fits", "warns")

    @property
    def worst(self) -> Measure:
        """Flash or RAM, whichever takes more of its limit."""
        return max(self.verdict.measures, key=_share)

    def free(self, metric: str) -> int | None:
        """Bytes left of ``"flash"`` or ``"ram"``, ``None`` for a model that has none."""
        return next((each.free for each in self.verdict.measures if each.metric == metric), None)


def add_commands(subparsers: Subparsers) -> None:
    """Add ``compare``."""
    parser = add_command(
        subparsers,
        "compare",
        "show on which boards models fit, what is left there, and how long they take",
        details="Needs no declaration. For one model it prints a line for each board, those with\n"
        "the most RAM left first; for several, how much of its fuller limit each model takes.\n"
        "Time is an estimate from published measurements, or unknown (docs/latency.md).",
        example="tinybudget compare models/kws.tflite\n"
        "tinybudget compare models/*.tflite --board esp32 --board raspberry-pi-pico",
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument(
        "--board", metavar="ID", action="append", help="only this board; may be repeated"
    )
    add_cost_option(parser)
    add_shape_option(parser)
    add_plan_option(parser)
    add_json_option(parser, "JSON, in bytes and seconds,")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare ``arguments.models``.

    Raises:
        TinybudgetError: a model cannot be read, or there is no such board.
    """
    from pytest_tinybudget.boards import catalog

    boards = boards_of(arguments.board) if arguments.board else list(catalog().values())
    costs, shapes = declared_costs(arguments), declared_shapes(arguments)
    placings = {
        path: _placings(path, boards, costs, shapes, planned=arguments.plan)
        for path in dict.fromkeys(arguments.models)
    }
    if arguments.json:
        text = json.dumps(_records(placings), indent=2) + "\n"
        if told_as_json(arguments, text):
            return 0
    style = Console(sys.stdout).style
    if len(placings) == 1:
        (found,) = placings.values()
        lines = _one_model(found, style)
    else:
        lines = _several_models(placings, style)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _placings(
    path: str,
    boards: Sequence[Board],
    costs: Mapping[str, OperatorCost],
    shapes: Shapes,
    *,
    planned: bool,
) -> list[Placing]:
    """A model on each of ``boards``, measured once for each of their runtimes."""
    from pytest_tinybudget.declaration.single import pair_of
    from pytest_tinybudget.footprint.measure import measure
    from pytest_tinybudget.gate.verdict import Demands
    from pytest_tinybudget.gate.verdict import judge
    from pytest_tinybudget.runtimes.firmware import Firmware
    from pytest_tinybudget.speed.latency import latency_of
    from pytest_tinybudget.workspace import Workspace

    if planned:
        model = planned_model_of(Path(path), shapes, boards[0])
    else:
        with waiting(path) as wait, closing(Workspace(progress=wait.converting)) as workspace:
            pair = pair_of(path, board=boards[0], settings={"input_shapes": shapes})
            model = workspace.model(pair.model)
    footprints: dict[Runtime, Footprint] = {}
    found = []
    for board in boards:
        runtime = runtime_of(board)
        if runtime not in footprints:
            footprints[runtime] = measure(model, Firmware(runtime).with_costs(costs))
        verdict = judge(footprints[runtime], board, Demands())
        found.append(Placing(board, verdict, latency_of(model, board, runtime.kernels)))
    return sorted(found, key=lambda placing: (not placing.fits, -(placing.free("ram") or 0)))


def _share(measure: Measure) -> float:
    return measure.used / measure.limit if measure.limit else float("inf")


def _one_model(placings: Sequence[Placing], style: Style) -> list[str]:
    """A line for each board: first those that fit, by free RAM, then the others."""
    rows = [_HEAD, *(_row(placing) for placing in placings)]
    lines = columns(
        rows,
        ("left", "left", "right", "right", "right", "left"),
        style,
        flexible=_WHY if any(row[_WHY] for row in rows) else _BOARD,
        drop=(_FLASH,),
    )
    notes = (_count(placings), *_refusals(placings), *_warned_everywhere(placings))
    return [*lines, *(line for note in notes for line in wrapped(note, style))]


def _refusals(placings: Sequence[Placing]) -> dict[str, None]:
    """What TFLM would refuse, each line once."""
    refused = (placing.verdict for placing in placings if placing.verdict.outcome == "refused")
    return dict.fromkeys(verdict.headline for verdict in refused)


def _warned_everywhere(placings: Sequence[Placing]) -> list[str]:
    """The warnings that all boards share: they concern the model, and are printed once."""
    first, *others = (placing.verdict.warnings for placing in placings)
    return [text for text in first if all(text in warnings for warnings in others)]


def _row(placing: Placing) -> tuple[str, ...]:
    refused = placing.verdict.outcome == "refused"
    latency = placing.latency
    time = "unknown"
    if refused:
        time = "-"
    elif latency.low is not None and latency.high is not None:
        time = format_range(latency.low, latency.high, "s")
    return (
        placing.board.id,
        "yes" if placing.fits else "no",
        _size(placing.free("flash")),
        _size(placing.free("ram")),
        time,
        _remark(placing),
    )


def _size(free_bytes: int | None) -> str:
    return "-" if free_bytes is None else format_size(free_bytes)


def _remark(placing: Placing) -> str:
    """Why a model does not fit, or that the board's own figures are unchecked."""
    verdict = placing.verdict
    if verdict.outcome == "refused":
        return "refused"
    over = [LABELS[each.metric] for each in verdict.measures if each.over]
    if over:
        return f"{' and '.join(over)} over"
    if not placing.fits:
        return verdict.headline
    return "" if placing.board.verified else "unverified"


def _count(placings: Sequence[Placing]) -> str:
    fitting = sum(placing.fits for placing in placings)
    known = sum(placing.latency.low is not None for placing in placings)
    return (
        f"fits {fitting} of {_boards(len(placings))}; time of an inference: an estimate, known on "
        f"{known}; left: of what bootloader and SDK leave a model and TFLM"
    )


def _boards(count: int) -> str:
    return "1 board" if count == 1 else f"{count} boards"


def _several_models(placings: dict[str, list[Placing]], style: Style) -> list[str]:
    """A line for each board, a column for each model: the share of the tighter limit."""
    by_board: dict[str, list[Placing]] = {}
    for found in placings.values():
        for placing in found:
            by_board.setdefault(placing.board.id, []).append(placing)
    ordered = sorted(
        by_board.items(),
        key=lambda item: (
            -sum(placing.fits for placing in item[1]),
            -min(placing.free("ram") or 0 for placing in item[1]),
        ),
    )
    names = _names(placings, style)
    rows = [("BOARD", *names), *((board, *map(_cell, found)) for board, found in ordered)]
    align: list[Align] = ["left"] * (1 + len(names))
    lines = columns(rows, align, style, flexible=0)
    legend = (
        "share of the limit that is nearer; no: it does not fit; refused: TFLM would not run it"
    )
    return [*lines, *wrapped(legend, style)]


def _names(paths: Iterable[str], style: Style) -> list[str]:
    return [shorten(model_name(Path(path)), _NAME_CELLS, style) for path in paths]


def _cell(placing: Placing) -> str:
    """The share in percent, rounded up, so that 100 % is never over the limit."""
    if placing.verdict.outcome == "refused":
        return "refused"
    worst = placing.worst
    metric = LABELS[worst.metric]
    if not worst.limit:
        return f"no: {metric} has no room"
    share = f"{metric} {-(-worst.used * 100 // worst.limit):,} %"
    return share if placing.fits else f"no: {share}"


def _records(placings: dict[str, list[Placing]]) -> list[dict[str, object]]:
    return [
        {"model": path, "boards": [_record(placing) for placing in found]}
        for path, found in placings.items()
    ]


def _record(placing: Placing) -> dict[str, object]:
    verdict, latency = placing.verdict, placing.latency
    sizes = {
        each.metric: {"used": each.used, "limit": each.limit, "free": each.free}
        for each in verdict.measures
    }
    return {
        "board": placing.board.id,
        "fits": placing.fits,
        "outcome": verdict.outcome,
        "headline": verdict.headline,
        **{metric: sizes.get(metric) for metric in ALWAYS},
        "latency": {"low": latency.low, "high": latency.high, "basis": latency.basis},
    }
