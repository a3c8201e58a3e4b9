"""What came of a plan, as text, JSON, CSV and a page with a plot."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

from msgspec import to_builtins

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.fitting.page import page as html_page
from pytest_tinybudget.fitting.result import SCHEMA
from pytest_tinybudget.fitting.result import Candidate
from pytest_tinybudget.fitting.result import Fit
from pytest_tinybudget.fitting.result import said_of_count
from pytest_tinybudget.fitting.result import said_of_names


_ROWS_OF_A_BOARD = 12


def text(found: Fit, *, every: bool = False) -> str:
    """A table for each board, with what decides; ``every``: all of its front."""
    lines = []
    for number, decides in enumerate(found.decides):
        lines += [f"{decides.board}: {decides.text}"]
        front = found.front[decides.board]
        shown = front if every else front[:_ROWS_OF_A_BOARD]
        if shown:
            candidates = [found.candidates[index] for index in shown]
            heads = (*_HEAD, *candidates[0].chosen)
            lines += _aligned([heads, *(_row(each, number) for each in candidates)])
        if len(front) > len(shown):
            lines.append(
                f"  {len(front) - len(shown)} more of the front: -v, --json, --csv, --html"
            )
        lines.append("")
    lines.append(said_of_count(found))
    lines.append(f"front: most {', '.join(found.maximize) or 'of nothing'}; "
                 f"least {', '.join(found.minimize) or 'of nothing'}")  # fmt: skip
    if found.activations != "int8":
        lines.append(f"all sizes are with activations = {found.activations}")
    if found.dense_for:
        lines.append(f"dense layers have one scale each, for {found.dense_for}")
    lines.append(f"sizes are those of plans: {said_of_names(found)}")
    return "\n".join(lines) + "\n"


_HEAD = ("parameters", "MACs", "arena", "RAM", "flash", "time at most")


def _cells(candidate: Candidate, place: int) -> tuple[str, ...]:
    on = candidate.boards[place]
    return (
        f"{candidate.parameters:,}",
        f"{candidate.macs:,}",
        format_size(on.arena),
        format_size(on.ram),
        format_size(on.flash),
        _time(on.seconds),
    )


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"~{seconds * 1e3:,.1f} ms"


def _row(candidate: Candidate, place: int) -> tuple[str, ...]:
    return (*_cells(candidate, place), *map(str, candidate.chosen.values()))


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))


def as_json(found: Fit) -> str:
    """All that was found: every candidate, with its figures on every board."""
    return json.dumps({"schema": SCHEMA, **to_builtins(found)}, indent=1) + "\n"


def as_csv(found: Fit) -> str:
    """A row for each candidate on each board."""
    names = list(found.candidates[0].chosen) if found.candidates else []
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    figures = ("parameters", "macs", "arena", "ram", "flash", "names", "seconds")
    writer.writerow(["board", *names, *figures, "fits", "on_front", "tightest", "peak_layer"])
    fronts = {board: set(indices) for board, indices in found.front.items()}
    for index, candidate in enumerate(found.candidates):
        for on in candidate.boards:
            sizes = [candidate.parameters, candidate.macs, on.arena, on.ram, on.flash]
            sizes.append(candidate.names)
            seconds = "" if on.seconds is None else f"{on.seconds:.9g}"
            said = (str(on.fits).lower(), str(index in fronts[on.board]).lower())
            layer = "" if on.peak_layer < 0 else on.peak_layer
            writer.writerow(
                [on.board, *candidate.chosen.values(), *sizes, seconds, *said, on.tightest, layer]
            )
    return stream.getvalue()


def page(found: Fit) -> str:
    """One HTML file: of each board a plot of all candidates, and the table of its front."""
    cells = [
        [_cells(found.candidates[index], number) for index in found.front[decides.board]]
        for number, decides in enumerate(found.decides)
    ]
    return html_page(found, _HEAD, cells)
