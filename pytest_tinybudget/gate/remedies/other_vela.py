"""What Vela's other optimization makes of a model on an Ethos-U: measured, never presumed.

``Size`` takes less SRAM and may write a larger file; where Vela has its arena elsewhere, it changes
nothing. So both are told of this model, from Vela itself.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.declaration.pairs import Pair
from pytest_tinybudget.gate.growth import with_growth
from pytest_tinybudget.gate.judgement import Rules
from pytest_tinybudget.gate.judgement import judged
from pytest_tinybudget.gate.measurement import Measurement
from pytest_tinybudget.gate.measurement import measurement
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.workspace import Workspace


def other_optimization(
    result: PairResult,
    pair: Pair,
    found: Measurement,
    workspace: Workspace,
    rules: Rules,
    base: PairResult | None = None,
) -> tuple[str, ...]:
    """A line with what the other ``optimise`` makes of ``pair``; none where Vela made nothing.

    Vela runs once more for it, 0.2 to 0.5 s for a model of some 100 KB, and is kept in the cache.
    """
    board = pair.board
    if not board.accelerator or find_accelerator(board.accelerator).kind != "ethos-u":
        return ()
    if found.accelerated is None or not found.accelerated.settings:
        return ()  # TFLM refuses the file, and Vela was not asked
    other: Literal["Performance", "Size"] = (
        "Performance" if board.vela.optimise == "Size" else "Size"
    )
    changed = replace(pair, board=replace(board, vela=replace(board.vela, optimise=other)))
    setting = f'optimise = "{other}" in [boards.{board.id}.vela]'
    try:
        after = judged(changed, measurement(changed, workspace), rules)
        if base is not None:
            after = with_growth(after, base, rules.growth(changed))
    except TinybudgetError as error:
        return (f"{setting} was tried: {error.message}",)
    differences = [*_sizes(result, after), *_time(found, after)]
    if not any(differs for _, differs in differences):
        same = ", ".join(text for text, _ in differences)
        return (f"{setting} changes nothing for this model: {same}",)
    parts = ", ".join(text for text, _ in differences)
    return (f"{setting} makes of this model {parts}{_then(result, after)}",)


def _sizes(before: PairResult, after: PairResult) -> list[tuple[str, bool]]:
    """What flash and RAM would be, and whether they differ."""
    sizes = {each.metric: each.used for each in before.measures}
    return [
        _difference(
            LABELS[each.metric],
            format_size(each.used),
            each.used - sizes[each.metric],
            format_size(abs(each.used - sizes[each.metric])),
        )
        for each in after.measures
        if each.metric in ("flash", "ram") and each.metric in sizes
    ]


def _time(found: Measurement, after: PairResult) -> list[tuple[str, bool]]:
    """What Vela's estimate of the time would be, where it is known of both."""
    assert found.accelerated is not None
    before = next((each.low for each in found.accelerated.figures if each.name == "latency"), None)
    then = next((each.low for each in after.figures if each.name == "latency"), None)
    if before is None or then is None:
        return []
    difference = then - before
    return [
        _difference(
            "Vela's time",
            f"{then * 1e3:.3g} ms",
            difference if abs(difference) >= 5e-7 else 0,
            f"{abs(difference) * 1e3:.2g} ms",
        )
    ]


def _difference(name: str, size: str, by: float, shown: str) -> tuple[str, bool]:
    if not by:
        return f"{name} {size}", False
    return f"{name} {size} ({shown} {'more' if by > 0 else 'less'})", True


def _then(before: PairResult, after: PairResult) -> str:
    """Whether that is enough, where the pair fails."""
    if not before.failed:
        return ""
    return f", which is not enough: {after.headline}" if after.failed else ": then it fits"
