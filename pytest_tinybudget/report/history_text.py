"""A history for the terminal: a line for each trend, with a sparkline."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.baseline.history import History
from pytest_tinybudget.baseline.history import Trend
from pytest_tinybudget.report.diff_text import signed
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.results.metrics import LABELS


_BLOCKS, _ASCII = "▁▂▃▄▅▆▇█", "_.-~=+*#"
#: Where a size is missing.
_GAP = " "
_MOST_CELLS, _OTHER_COLUMNS = 40, 78

_ALIGN: tuple[Align, ...] = ("left", "left", "left", "right", "right", "right")


def history_lines(history: History, style: Style = PLAIN) -> list[Line]:
    """The flash and RAM of each pair: first size, last size, and a small chart between."""
    width = max(8, min(_MOST_CELLS, style.width - _OTHER_COLUMNS))
    rows = [["model, board", "", "trend", "first", "last", "change"]]
    rows += [_row(trend, width, style) for trend in history.trends]
    title = f"1 result, {history.labels[0]}"
    if len(history.labels) > 1:
        title = f"{len(history.labels)} results, from {history.labels[0]} to {history.labels[-1]}"
    lines = [Line(text, ("bold",)) for text in wrapped(title, style)]
    lines += map(Line, columns(rows, _ALIGN, style, flexible=0, drop=(3,)))
    if any(not point.comparable for trend in history.trends for point in trend.points):
        note = "| measured otherwise from here on: not comparable with what is before"
        lines += [Line(text) for text in wrapped(note, style)]
    for reason in history.skipped:
        lines += [Line(text) for text in wrapped(f"left out: {reason}", style)]
    return [Line(clean(line.text, style), line.markup) for line in lines]


def _row(trend: Trend, width: int, style: Style) -> list[str]:
    first, last = format_pair(trend.sizes[0], trend.sizes[-1])
    return [
        f"{trend.model}, {trend.board}",
        LABELS[trend.metric],
        sparkline(trend, width, style),
        first,
        last,
        signed(trend.change),
    ]


def sparkline(trend: Trend, width: int, style: Style = PLAIN) -> str:
    """The newest sizes, a cell each, between their smallest and largest.

    A blank where nothing was measured, ``|`` before a size that is not comparable with those
    before.
    """
    points = trend.points[-width:]
    sizes = [point.used for point in points if point.used is not None]
    cells = ""
    for point in points:
        cells += "" if point.comparable else "|"
        cells += _GAP if point.used is None else _cell(point.used, sizes, style)
    return cells


def _cell(size: int, sizes: Sequence[int], style: Style) -> str:
    levels = _BLOCKS if style.unicode else _ASCII
    low, high = min(sizes), max(sizes)
    if low == high:
        return levels[0]
    return levels[(size - low) * (len(levels) - 1) // (high - low)]
