"""The arena before and after shrinking, operator by operator: how far each plan reaches.

A plan reaches to the end of the highest buffer that is alive while an operator runs; what of that
is not alive is a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import bar
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns


_BAR_CELLS = 12
#: On a narrower terminal the bars of both sides go.
_WITH_BARS = 96
_INDENT = "  "

#: An operator's cells: its name, how far the plan reaches, and that as a bar.
_Cells = tuple[str, str, str]


def render(before: Footprint, after: Footprint, style: Style) -> list[Line]:
    """Both plans beside each other, a line an operator; nothing where TFLM plans neither."""
    if before.arena is None or after.arena is None:
        return []
    most = max(before.arena.head, after.arena.head, 1)
    sides = (_rows(before, before.arena, most, style), _rows(after, after.arena, most, style))
    rows: list[tuple[str, ...]] = [("before", "", "", "shrunk", "", "")]
    empty = ("", "", "")
    rows += [(*left, *right) for left, right in zip_longest(*sides, fillvalue=empty)]
    title = (
        f"the arena's plan, operator by operator: up to {before.arena.head:,} B before, "
        f"{after.arena.head:,} B shrunk ({after.arena.optimum_head:,} B are alive at once)"
    )
    drop = () if style.width >= _WITH_BARS else (2, 5)
    kept = [tuple(cell for index, cell in enumerate(row) if index not in drop) for row in rows]
    sides_align: tuple[Align, ...] = ("left", "right") if drop else ("left", "right", "left")
    lines = columns(kept, [*sides_align, *sides_align], style, flexible=0, indent=_INDENT)
    return [Line(""), Line(clean(title, style), ("bold",)), *map(Line, lines)]


def _rows(footprint: Footprint, arena: Arena, most: int, style: Style) -> Iterator[_Cells]:
    for layer in footprint.layers:
        if layer.first >= 0:
            end = reached(arena, layer.first)
            where = f" of subgraph {layer.subgraph}" if layer.subgraph else ""
            name = f"{layer.operator} #{layer.index}{where}"
            yield name, f"{end:,} B", bar(end / most, _BAR_CELLS, style)


def reached(arena: Arena, time: int) -> int:
    """The end of the highest buffer that is alive at ``time``, in bytes from the arena's start."""
    ends = (
        buffer.offset + buffer.bytes
        for buffer in arena.buffers
        if buffer.first <= time <= buffer.last
    )
    return max(ends, default=0)
