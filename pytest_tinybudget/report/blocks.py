"""The blocks that the failure text, the summary and ``tinybudget inspect`` are made of."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.result import UNNOTICED
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Persistent
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.footprint.result import place
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import cells
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped


#: How many lines a list of the heaviest has where the reader did not ask for all.
MOST_LISTED = 5

_INDENT = "  "


def shape_text(shape: Sequence[int]) -> str:
    """A tensor's shape for people: ``1x49x10x8``; ``scalar`` without dimensions."""
    return "x".join(map(str, shape)) or "scalar"


#: How a part was got, in a word; nothing where it is exact.
METHODS = {"exact": "", "table": "measured", "estimated": "estimated", "declared": "declared"}


class SizeColumn(Struct, frozen=True):
    """A size in tables of layers: its title, a layer's bytes, whether only on request."""

    title: str
    bytes_of: Callable[[Layer], int]
    on_request: bool = False


#: The sizes of a layer in every table of layers, in this order. A new column is an entry here.
LAYER_SIZES = (
    SizeColumn("weights", lambda layer: layer.weights_bytes),
    SizeColumn("activations", lambda layer: layer.activation_bytes),
    SizeColumn("scratch", lambda layer: layer.scratch_bytes, on_request=True),
    SizeColumn("persistent", lambda layer: layer.persistent_bytes, on_request=True),
    SizeColumn("live", lambda layer: layer.live_bytes),
)


def largest_parts(
    parts: Sequence[Part], most: int | None = None
) -> tuple[Sequence[Part], Sequence[Part]]:
    """The parts that are not empty, largest first: those with a line each, and the others.

    At most ``most`` are listed, or one more where a single part would be left to share a line.
    """
    ordered = sorted(filter(upper_bound, parts), key=lambda part: (-upper_bound(part), part.name))
    if most is None or len(ordered) <= most + 1:
        return ordered, ()
    return ordered[:most], ordered[most:]


def parts_table(parts: Sequence[Part], style: Style, *, most: int | None = None) -> list[str]:
    """A table of the parts of flash or RAM, largest first; the upper bounds add up to the total.

    Beyond ``most``, small parts share a line.
    """
    total = sum(map(upper_bound, parts))
    shown, rest = largest_parts(parts, most)
    rows = [(upper_bound(part), part.name, METHODS[part.method], _note(part)) for part in shown]
    if rest:
        method = "estimated" if any(part.method == "estimated" for part in rest) else ""
        rows.append((sum(map(upper_bound, rest)), f"{len(rest)} smaller parts", method, ""))
    if not rows:
        return []
    lines = _parts_rows(rows, total, replace(style, width=sys.maxsize), notes=True)
    reasons: list[str] = []
    if max(map(cells, lines)) > style.width:
        lines = _parts_rows(rows, total, style, notes=False)
        reasons = _margin_reasons(shown, style)
    margin = sum(part.margin_bytes for part in parts)
    if margin:
        lines.append(f"{_INDENT}includes a margin of {format_size(margin)}")
    return [*lines, *reasons]


def _margin_reasons(parts: Sequence[Part], style: Style) -> list[str]:
    """Why there are parts that are nothing but a margin, a paragraph each."""
    return [
        line
        for part in parts
        if part.note and not part.bytes
        for line in wrapped(
            f"{part.name.removeprefix('margin: ')}: {part.note}", style, indent=_INDENT
        )
    ]


def _parts_rows(
    rows: Sequence[tuple[int, str, str, str]], total: int, style: Style, *, notes: bool
) -> list[str]:
    """Lines for ``rows`` of size, name, method and note; method and note share the last column."""
    texts = [
        (
            format_size(size),
            share_text(size, total),
            name,
            ", ".join(filter(None, (method, note))) if notes else method,
        )
        for size, name, method, note in rows
    ]
    align: list[Align] = ["right", "right", "left", "left"]
    return columns(texts, align, style, flexible=2, drop=(1,), indent=_INDENT)


def upper_bound(part: Part) -> int:
    """The upper bound of a part's size in bytes: its margin is included."""
    return part.bytes + part.margin_bytes


def share_text(size: int, total: int) -> str:
    """``12 %`` of ``total``; ``<1 %`` for what is less than one."""
    return f"{size * 100 // total} %" if size * 100 >= total else "<1 %"


def _note(part: Part) -> str:
    """The part's note, and the margin of an estimate; other margins are too small to list."""
    estimate = part.method == "estimated" and part.margin_bytes
    margin = f"{format_size(part.margin_bytes)} margin" if estimate else ""
    return "; ".join(filter(None, (margin, part.note)))


def peak_layers(arena: Arena, layers: Sequence[Layer]) -> list[Layer]:
    """The layers that run while a buffer is alive at the very end of the arena's head."""
    spans: list[tuple[int, int]] = []
    for buffer in sorted(arena.buffers, key=lambda buffer: buffer.first):
        if buffer.offset + buffer.bytes != arena.head:
            continue
        if spans and buffer.first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], buffer.last))
        else:
            spans.append((buffer.first, buffer.last))
    ends = [last for _, last in spans]

    def is_alive(first: int, last: int) -> bool:
        at = bisect_left(ends, first)
        return at < len(spans) and spans[at][0] <= last

    return [layer for layer in layers if is_alive(layer.first, layer.last)]


def peak_table(arena: Arena, style: Style) -> list[str]:
    """The buffers alive at the peak of the arena's head, largest first, and the gaps between."""
    alive = sorted(
        (buffer for buffer in arena.buffers if buffer.first <= arena.peak_time <= buffer.last),
        key=lambda buffer: (-buffer.bytes, buffer.offset),
    )
    rows = [(format_size(buffer.bytes), _owner(buffer)) for buffer in alive]
    gaps = arena.head - sum(buffer.bytes for buffer in alive)
    if gaps > 0:
        rows.append((format_size(gaps), "in gaps that the planner leaves"))
    if not alive:
        return []
    return columns(rows, ("right", "left"), style, flexible=1, indent=_INDENT)


def _owner(buffer: LiveBuffer) -> str:
    return buffer.owner if buffer.subgraph == 0 else f"{buffer.owner} (subgraph {buffer.subgraph})"


def persistent_table(arena: Arena, style: Style, *, most: int | None = None) -> list[str]:
    """The persistent memory of the arena by cause and kind of operator, largest first."""
    shares = sorted(arena.persistent, key=lambda each: (-each.bytes, each.operator, each.cause))
    shown = shares if most is None or len(shares) <= most + 1 else shares[:most]
    rows = [
        (format_size(each.bytes), share_text(each.bytes, arena.tail), persistent_label(each))
        for each in shown
    ]
    rest = sum(each.bytes for each in shares[len(shown) :])
    if rest:
        label = f"{len(shares) - len(shown)} smaller shares"
        rows.append((format_size(rest), share_text(rest, arena.tail), label))
    if not rows:
        return []
    return columns(rows, ("right", "right", "left"), style, flexible=2, indent=_INDENT)


def persistent_label(share: Persistent) -> str:
    """``"per-channel arrays of CONV_2D"``, ``"tensor records"``."""
    return f"{share.cause} of {share.operator}" if share.operator else share.cause


def heaviest_layers(layers: Sequence[Layer], style: Style) -> list[str]:
    """The layers with the most weights, at most ``MOST_LISTED``."""
    heavy = sorted(
        (layer for layer in layers if layer.weights_bytes),
        key=lambda layer: (-layer.weights_bytes, layer.subgraph, layer.index),
    )
    rows = [
        (format_size(layer.weights_bytes), layer_label(layer), layer.name)
        for layer in heavy[:MOST_LISTED]
    ]
    if not rows:
        return []
    return columns(rows, ("right", "left", "left"), style, flexible=2, indent=_INDENT)


def layer_label(layer: Layer) -> str:
    """Operator and place: ``CONV_2D #3``, with the subgraph where it is not the main one."""
    return place(layer.operator, layer.subgraph, layer.index)


def layers_table(footprint: Footprint, style: Style, *, everything: bool = False) -> list[str]:
    """Every layer: operator, name, output, weights, activations and live bytes.

    ``*`` marks the layers at the peak of the arena's head. ``everything`` adds the scratch and
    persistent bytes of each operator.
    """
    layers = footprint.layers
    if not layers:
        return []
    peak = peak_layers(footprint.arena, layers) if footprint.arena else []
    marked = {(layer.subgraph, layer.index) for layer in peak}
    sizes = [column for column in LAYER_SIZES if everything or not column.on_request]
    rows: list[tuple[str, ...]] = [
        ("", "layer", "name", "output", *(column.title for column in sizes))
    ]
    rows += [
        (
            "*" if (layer.subgraph, layer.index) in marked else "",
            layer_label(layer),
            layer.name,
            output_text(layer),
            *(format_size(column.bytes_of(layer)) for column in sizes),
        )
        for layer in layers
    ]
    texts: list[Align] = ["left"] * 4
    align = texts + ["right"] * (len(rows[0]) - len(texts))
    drop = (3, 5, 2, 7, 6) if everything else (5, 3, 2)
    return columns(rows, align, style, flexible=2, drop=drop, indent=_INDENT)


def output_text(layer: Layer) -> str:
    """A layer's first output for people: ``int8 1x49x10x8``."""
    if not layer.output_type:
        return ""
    return f"{layer.output_type.lower()} {shape_text(layer.output_shape)}"


def refusals_title(refusals: Sequence[Refusal]) -> str:
    """The title over a list of ``refusals``."""
    noticed = any(refusal.stage not in UNNOTICED for refusal in refusals)
    return "TFLM would refuse this model" if noticed else "TFLM would run this model wrongly"


def refusals_list(
    refusals: Sequence[Refusal], style: Style, *, most: int | None = MOST_LISTED
) -> list[str]:
    """A list with an item for each refusal."""
    lines = [
        f"{refusal.where} ({_STAGES[refusal.stage]}): {refusal.reason}"
        if refusal.where
        else f"{_STAGES[refusal.stage]}: {refusal.reason}"
        for refusal in refusals
    ]
    return bullets(lines, style, most=most)


def bullets(texts: Sequence[str], style: Style, *, most: int | None = MOST_LISTED) -> list[str]:
    """``texts`` as a list; the ones after the first ``most`` are only counted."""
    shown = list(texts[:most])
    if len(shown) < len(texts):
        shown.append(f"and {len(texts) - len(shown)} more")
    start = f"{_INDENT}- "
    return [
        line
        for text in shown
        for line in wrapped(text, style, indent=" " * len(start), start=start)
    ]


_STAGES = {
    "load": "the model does not load",
    "resize": "TFLM cannot resize",
    "resolve": "no such operator in TFLM",
    "prepare": "AllocateTensors() fails",
    "invoke": "Invoke() fails",
    "wrong": "computed wrongly, without an error",
    "outdated": "computed wrongly by this version of TFLM, without an error",
    "undefined": "undefined",
}


def savings_table(savings: Sequence[Saving], style: Style, *, most: int | None = None) -> list[str]:
    """What single changes would save in flash, largest first; ``most`` limits the lines.

    The sizes are those of the flash that is held to a limit, as in the advice on a failure.
    """
    ordered = sorted(savings, key=lambda saving: (-saving.counted_bytes, saving.change))
    rows = [
        (
            format_size(-saving.counted_bytes),
            f"{saving.change} ({saving.note})" if saving.note else saving.change,
        )
        for saving in ordered[:most]
    ]
    if not rows:
        return []
    return columns(rows, ("right", "left"), style, flexible=1, indent=_INDENT)
