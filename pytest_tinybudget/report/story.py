"""The whole story of one pair: what ``tinybudget explain`` prints.

Where its model comes from, what the board offers, where every byte goes, what is at the arena's
peak, how each number was got, and what would change the verdict.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.report.blocks import bullets
from pytest_tinybudget.report.blocks import layers_table
from pytest_tinybudget.report.blocks import parts_table
from pytest_tinybudget.report.blocks import refusals_list
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.blocks import savings_table
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.terminal import figure_lines
from pytest_tinybudget.report.terminal import figures_title
from pytest_tinybudget.report.terminal import measure_line
from pytest_tinybudget.report.terminal import peak_block
from pytest_tinybudget.report.terminal import persistent_block
from pytest_tinybudget.report.terminal import title_lines
from pytest_tinybudget.report.verdicts import codes_text
from pytest_tinybudget.report.verdicts import word
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult


_INDENT = "  "

_METHODS = {
    "exact": "to the byte: read from the model, or computed as TFLM does",
    "table": "from tables of measured builds",
    "estimated": "an upper limit; its margin counts as used",
    "declared": "stated in the declaration",
}


def render(pair: PairResult, board: Sequence[str], style: Style = PLAIN) -> list[Line]:
    """Everything about ``pair``; ``board`` is what ``tinybudget boards ID`` says of its board."""
    footprint = pair.footprint
    sections: list[tuple[str, list[str]]] = [
        ("", [f"{word(pair)} {pair.title}", pair.headline]),
        ("model", _model(pair)),
        ("board", [_INDENT + line for line in board]),
        *((measure_line(measure), _measure(measure, style)) for measure in pair.measures),
    ]
    if footprint is not None:
        sections += [
            (refusals_title(footprint.refusals), refusals_list(footprint.refusals, style)),
            ("", persistent_block(footprint, style, most=None)),
            ("", peak_block(footprint, style)),
            ("layers (* at the arena's peak)", layers_table(footprint, style, everything=True)),
            ("flash that one change would save", savings_table(footprint.savings, style)),
            ("bounded, not known", bullets(footprint.unknown, style, most=None)),
            ("not full INT8", bullets(footprint.not_int8, style, most=None)),
        ]
    sections += [
        (figures_title(pair), figure_lines(pair, style)),
        ("what would fix it", bullets(pair.reasons, style, most=None)),
        ("also", bullets((*pair.warnings, *pair.notes), style, most=None)),
        ("how each number was found", _methods(pair)),
        ("", [pair.message, _declared(pair), _informational(pair), codes_text(pair)]),
    ]
    lines: list[Line] = []
    for title, section in sections:
        kept = [text for text in section if text]
        if kept:
            headings = (Line(text, ("bold",)) for text in title_lines(title, style) if text)
            lines += [*([Line("")] if lines else []), *headings, *map(Line, kept)]
    return [Line(clean(line.text, style), line.markup) for line in lines]


def _declared(pair: PairResult) -> str:
    return f"declared at {pair.declared_at}" if pair.declared_at else ""


def _informational(pair: PairResult) -> str:
    return "informational: it is reported, and fails no run" if pair.informational else ""


def _model(pair: PairResult) -> list[str]:
    facts = [
        ("file", pair.model_source),
        ("size", format_size(pair.model_bytes) if pair.model_bytes else ""),
        ("sha256", pair.model_sha256),
        ("converted", pair.conversion),
        ("runtime", pair.runtime_text if pair.runtime else ""),
        ("tables", pair.table),
    ]
    return [f"{_INDENT}{label:<9} {text}" for label, text in facts if text]


def _measure(measure: Measure, style: Style) -> list[str]:
    state = f"over by {format_size(measure.over)}" if measure.over else "fits"
    free = f"{format_size(measure.free)} free" if not measure.over else ""
    verdict = ", ".join(filter(None, (f"{LABELS[measure.metric]} {state}", free)))
    return [*parts_table(measure.parts, style), f"{_INDENT}{verdict}"]


def _methods(pair: PairResult) -> list[str]:
    """The meaning of each method that the pair's sizes use, with the bytes that come from it."""
    totals: dict[str, int] = {}
    for measure in pair.measures:
        for part in measure.parts:
            totals[part.method] = totals.get(part.method, 0) + part.bytes + part.margin_bytes
    return [
        f"{_INDENT}{method}: {format_size(totals[method])}, {meaning}"
        for method, meaning in _METHODS.items()
        if method in totals
    ]
