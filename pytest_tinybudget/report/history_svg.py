"""A history as a picture: for each pair its flash and its RAM over commits, with their limits.

Plain SVG without scripts: every point has its words in a tooltip, lines are labeled, and
nothing is said by color alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.base.units import format_pair
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.baseline.history import History
from pytest_tinybudget.baseline.history import Point
from pytest_tinybudget.baseline.history import Trend
from pytest_tinybudget.report.diff_text import signed
from pytest_tinybudget.report.escape import html
from pytest_tinybudget.report.svg import DARK
from pytest_tinybudget.report.svg import LIGHT
from pytest_tinybudget.results.metrics import LABELS


_WIDTH, _PANEL, _PLOT_TOP, _PLOT_HEIGHT = 960, 168, 40, 92
_LEFT, _RIGHT = 84, 150
_PLOT = _WIDTH - _LEFT - _RIGHT

#: A limit further above the sizes than this share of them would flatten the line: it is named.
_LIMIT_IN_SIGHT = 1.25


_RULES = (
    ".history{font:12px system-ui,sans-serif;background:var(--paper)}"
    ".history text{fill:var(--ink)}.history .soft{fill:var(--soft);font-size:11px}"
    ".history .name{font-weight:700}.history .end{text-anchor:end}"
    ".history .axis{stroke:var(--line);fill:none}"
    ".history .line{fill:none;stroke:var(--tensor-edge);stroke-width:2}"
    ".history .dot{fill:var(--paper);stroke:var(--tensor-edge);stroke-width:1.5}"
    ".history .limit{stroke:var(--bad);stroke-dasharray:7 4;fill:none}"
    ".history .over{fill:var(--bad);stroke:var(--bad)}"
    ".history .cut{stroke:var(--soft);stroke-dasharray:2 3}"
)


def render(history: History) -> str:
    """The SVG file: a panel for each trend, oldest on the left."""
    height = _PANEL * len(history.trends) + 30
    title = f"Flash and RAM from {history.labels[0]} to {history.labels[-1]}"
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="history" role="img" '
        f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'aria-label="{html(title)}">'
    )
    style = f".history{{{LIGHT}}}@media(prefers-color-scheme:dark){{.history{{{DARK}}}}}{_RULES}"
    parts = [opening, f"<title>{html(title)}</title>", f"<style>{style}</style>"]
    for number, trend in enumerate(history.trends):
        parts.append(f'<g transform="translate(0 {number * _PANEL})">')
        parts += _panel(trend)
        parts.append("</g>")
    parts += _labels(history, height - 10)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale(Struct, frozen=True):
    """The scales of a trend's plot: ``low`` and ``high`` are the bytes at its edges."""

    count: int
    low: int
    high: int

    def x(self, number: int) -> float:
        step = _PLOT / max(1, self.count - 1)
        return round(_LEFT + number * step, 1)

    def y(self, size: int) -> float:
        share = (size - self.low) / (self.high - self.low)
        return round(_PLOT_TOP + _PLOT_HEIGHT * (1 - share), 1)


def _scale(trend: Trend) -> _Scale:
    """The range of bytes to plot: all sizes, and the limits that are near them."""
    limits = [point.limit for point in trend.points if point.limit is not None]
    top = max(trend.sizes)
    sizes = [*trend.sizes, *(each for each in limits if each <= top * _LIMIT_IN_SIGHT)]
    low, high = min(sizes), max(sizes)
    room = max(1, (high - low) // 10)
    return _Scale(len(trend.points), max(0, low - room), high + room)


def _panel(trend: Trend) -> Iterator[str]:
    scale = _scale(trend)
    bottom = _PLOT_TOP + _PLOT_HEIGHT
    yield (
        f'<text class="name" x="{_LEFT}" y="22">{html(trend.model)} on {html(trend.board)}: '
        f"{LABELS[trend.metric]}</text>"
    )
    yield f'<path class="axis" d="M{_LEFT} {_PLOT_TOP}V{bottom}H{_LEFT + _PLOT}"/>'
    low, high = min(trend.sizes), max(trend.sizes)
    words = dict(zip((low, high), format_pair(low, high), strict=True))
    for size, text in words.items():
        yield f'<text class="soft end" x="{_LEFT - 8}" y="{scale.y(size) + 4}">{text}</text>'
    yield from _limits(trend, scale)
    for run in _runs(trend.points):
        path = "L".join(f"{scale.x(number)} {scale.y(size)}" for number, size in run)
        yield f'<path class="line" d="M{path}"/>'
    for number, point in enumerate(trend.points):
        yield from _dot(number, point, scale)
    last = trend.sizes[-1]
    yield (
        f'<text x="{_LEFT + _PLOT + 10}" y="{scale.y(last) + 4}">'
        f"{words.get(last, format_size(last))} "
        f'<tspan class="soft">{signed(trend.change)}</tspan></text>'
    )


def _runs(points: tuple[Point, ...]) -> Iterator[list[tuple[int, int]]]:
    """Runs of consecutive points that one line connects, each point with its number."""
    run: list[tuple[int, int]] = []
    for number, point in enumerate(points):
        if run and (point.used is None or not point.comparable):
            yield run
            run = []
        if point.used is not None:
            run.append((number, point.used))
    if run:
        yield run


def _limits(trend: Trend, scale: _Scale) -> Iterator[str]:
    """The limit as a stepped line where it is near the sizes, else as text."""
    steps = [
        (number, point.limit)
        for number, point in enumerate(trend.points)
        if point.limit is not None
    ]
    last = steps[-1][1]
    words = f"dashed: limit {format_size(last)}"
    if last > scale.high:
        words = f"limit {format_size(last)}, far above"
    if any(map(_is_over, trend.points)):
        words += "; squares: over it"
    yield f'<text class="soft end" x="{_LEFT + _PLOT}" y="22">{words}</text>'
    if last > scale.high:
        return
    path = ""
    for number, limit in steps:
        height = scale.y(min(limit, scale.high))
        path += f"V{height}H{scale.x(number)}" if path else f"M{scale.x(number)} {height}"
    yield f'<path class="limit" d="{path}"/>'


def _is_over(point: Point) -> bool:
    return point.used is not None and point.limit is not None and point.used > point.limit


def _dot(number: int, point: Point, scale: _Scale) -> Iterator[str]:
    if point.used is None:
        return
    words = f"{point.label}: {format_size(point.used)} ({point.used:,} B)"
    if point.limit is not None:
        words += f", limit {format_size(point.limit)}"
    x, y = scale.x(number), scale.y(point.used)
    if not point.comparable:
        words += "; measured otherwise than before"
        yield f'<path class="cut" d="M{x} {_PLOT_TOP}V{_PLOT_TOP + _PLOT_HEIGHT}"/>'
    if _is_over(point):
        words += "; over"
        # A square, so that an overrun is seen without color.
        yield (
            f'<rect class="over" x="{x - 4}" y="{y - 4}" width="8" height="8">'
            f"<title>{html(words)}</title></rect>"
        )
    else:
        yield f'<circle class="dot" cx="{x}" cy="{y}" r="3.5"><title>{html(words)}</title></circle>'


def _labels(history: History, y: int) -> Iterator[str]:
    first, last = history.labels[0], history.labels[-1]
    yield f'<text class="soft" x="{_LEFT}" y="{y}">{html(first)}</text>'
    yield f'<text class="soft end" x="{_LEFT + _PLOT}" y="{y}">{html(last)}</text>'
