"""What came of a plan, as text, JSON, CSV and a page with a plot."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator

from msgspec import to_builtins

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.fitting.result import SCHEMA
from pytest_tinybudget.fitting.result import Candidate
from pytest_tinybudget.fitting.result import Fit
from pytest_tinybudget.fitting.result import OnBoard


_ROWS_OF_A_BOARD = 12
_WIDTH, _HEIGHT, _MARGIN = 560, 320, 48
_ESTIMATED = "sizes are those of plans; names and metadata of a trained file may add 1 KB"


def text(found: Fit, *, every: bool = False) -> str:
    """A table for each board, with what decides; ``every``: all of its front."""
    lines = []
    for number, decides in enumerate(found.decides):
        lines += [f"{decides.board}: {decides.text}"]
        front = found.front[decides.board]
        shown = front if every else front[:_ROWS_OF_A_BOARD]
        if shown:
            rows = [_HEAD, *(_cells(found.candidates[index], number) for index in shown)]
            lines += _aligned(rows)
        if len(front) > len(shown):
            lines.append(
                f"  {len(front) - len(shown)} more of the front: -v, --json, --csv, --html"
            )
        lines.append("")
    counted = f"{len(found.candidates):,} candidates of {found.total:,} measured"
    if found.impossible:
        counted += f"; {found.impossible:,} are no network, the first: {found.why_impossible}"
    lines.append(counted)
    lines.append(f"front: most {', '.join(found.maximize) or 'of nothing'}; "
                 f"least {', '.join(found.minimize) or 'of nothing'}")  # fmt: skip
    if found.dense_for:
        lines.append(f"dense layers have one scale each, for {found.dense_for}")
    lines.append(_ESTIMATED)
    return "\n".join(lines) + "\n"


_HEAD = ("parameters", "MACs", "arena", "RAM", "flash", "time at most", "choice")


def _cells(candidate: Candidate, place: int) -> tuple[str, ...]:
    on = candidate.boards[place]
    return (
        f"{candidate.parameters:,}",
        f"{candidate.macs:,}",
        format_size(on.arena),
        format_size(on.ram),
        format_size(on.flash),
        _time(on.seconds),
        _choice(candidate),
    )


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"~{seconds * 1e3:,.1f} ms"


def _choice(candidate: Candidate) -> str:
    return " ".join(f"{name}={value}" for name, value in candidate.chosen.items())


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        numbers = (cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False))
        yield "  " + "  ".join((*numbers, row[-1]))


def as_json(found: Fit) -> str:
    """All that was found: every candidate, with its figures on every board."""
    return json.dumps({"schema": SCHEMA, **to_builtins(found)}, indent=1) + "\n"


def as_csv(found: Fit) -> str:
    """A row for each candidate on each board."""
    names = list(found.candidates[0].chosen) if found.candidates else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = ("parameters", "macs", "arena", "ram", "flash", "seconds")
    writer.writerow(["board", *names, *figures, "fits", "on_front", "tightest", "peak_layer"])
    fronts = {board: set(indices) for board, indices in found.front.items()}
    for index, candidate in enumerate(found.candidates):
        for on in candidate.boards:
            sizes = (candidate.parameters, candidate.macs, on.arena, on.ram, on.flash)
            seconds = "" if on.seconds is None else f"{on.seconds:.9g}"
            said = (str(on.fits).lower(), str(index in fronts[on.board]).lower())
            layer = "" if on.peak_layer < 0 else on.peak_layer
            writer.writerow(
                [on.board, *candidate.chosen.values(), *sizes, seconds, *said, on.tightest, layer]
            )
    return stream.getvalue()


def page(found: Fit) -> str:
    """One HTML file: of each board a plot of all candidates, and the table of its front."""
    parts = []
    for number, decides in enumerate(found.decides):
        front = found.front[decides.board]
        rows = "".join(
            "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in cells) + "</tr>"
            for cells in (_cells(found.candidates[index], number) for index in front)
        )
        head = "".join(f"<th>{_escaped(cell)}</th>" for cell in _HEAD)
        parts.append(
            f"<h2>{_escaped(decides.board)}</h2><p>{_escaped(decides.text)}</p>"
            f"{_plot(found, number)}<table><tr>{head}</tr>{rows}</table>"
        )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>tinybudget fit</title>'
        f"<style>{_STYLE}</style></head><body><h1>How large may it be?</h1>"
        f"{''.join(parts)}<p>{_escaped(_ESTIMATED)}</p></body></html>\n"
    )


_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;max-width:60em}"
    "td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #ccc}"
    "td:last-child,th:last-child{text-align:left}"
    ".over{fill:none;stroke:#b33}.fits{fill:#9ab}.front{fill:#063}text{font-size:12px}"
)


def _plot(found: Fit, place: int) -> str:
    """Parameters by arena: hollow what does not fit, filled what does, dark the front."""
    front = set(found.front[found.decides[place].board])
    points = [
        (each.parameters, each.boards[place], index in front)
        for index, each in enumerate(found.candidates)
        if each.boards[place].arena
    ]
    if not points:
        return ""
    right = max(on.arena for _, on, _ in points)
    top = max(max(parameters for parameters, _, _ in points), 1)
    dots = "".join(_dot(point, right, top) for point in points)
    base, left = _HEIGHT - _MARGIN, _MARGIN
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        'aria-label="parameters by arena">'
        f'<path d="M{left} 8V{base}H{_WIDTH - 8}" fill="none" stroke="#888"/>{dots}'
        f'<text x="{left}" y="{_HEIGHT - 12}">arena, to {format_size(right)}; filled: fits, dark: '
        f'the front</text><text x="4" y="20">parameters, to {top:,}</text></svg>'
    )


def _dot(point: tuple[int, OnBoard, bool], right: int, top: int) -> str:
    parameters, on, is_front = point
    x = _MARGIN + on.arena / right * (_WIDTH - _MARGIN - 16)
    y = _HEIGHT - _MARGIN - parameters / top * (_HEIGHT - _MARGIN - 30)
    kind = "front" if is_front else "fits" if on.fits else "over"
    title = f"{parameters:,} parameters, arena {format_size(on.arena)}"
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{title}</title></circle>'


def _escaped(words: str) -> str:
    return html.escape(words)
