"""Everything about one model on one runtime: what ``tinybudget inspect`` prints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import partial

from msgspec import Struct
from msgspec import to_builtins
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.result import MEMORIES
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Memory
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.graph.closing import openness
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Quantization
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.report.blocks import MOST_LISTED
from pytest_tinybudget.report.blocks import bullets
from pytest_tinybudget.report.blocks import layers_table
from pytest_tinybudget.report.blocks import parts_table
from pytest_tinybudget.report.blocks import refusals_list
from pytest_tinybudget.report.blocks import refusals_title
from pytest_tinybudget.report.blocks import savings_table
from pytest_tinybudget.report.blocks import shape_text
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import shorten
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.report.terminal import measure_line
from pytest_tinybudget.report.terminal import peak_block
from pytest_tinybudget.report.terminal import persistent_block
from pytest_tinybudget.report.terminal import title_lines
from pytest_tinybudget.results.form import Json
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import memory_of_arena
from pytest_tinybudget.results.types import own_provenance
from pytest_tinybudget.results.writer import footprint_json
from pytest_tinybudget.results.writer import parts_json
from pytest_tinybudget.results.writer import to_text
from pytest_tinybudget.results.writer import tool_json
from pytest_tinybudget.shrinking.report import ShrinkReport


_INDENT = "  "

_RELIEF_NAME_CELLS = 40

_DECIDED_BY = {
    "used": "what is used: head and tail",
    "planning": "the planner, which needs temporary room beside the tail while it lays out buffers",
}


_DECIDED_IN_TWO = {
    "used": "what is used: the head",
    "planning": "the planner, which needs temporary room while it lays out buffers",
}


class Verified(Struct, frozen=True):
    """What TFLM's interpreter made of a model: ``failure`` is empty where all is well.

    ``lines`` is what was compared, and ``compared`` of how many ``operators`` the outputs were.
    """

    failure: str
    lines: tuple[str, ...]
    compared: int
    operators: int


class Inspection(Struct, frozen=True):
    """One model on one runtime; ``measures`` are against a board, where one was asked for.

    ``relief`` is the buffer whose halving lowers the arena's head most, and by how many bytes;
    ``identity`` is what the sizes belong to; ``shrunk`` what shrinking would do to the file;
    ``verified`` what the real interpreter made of it, where that was asked for.
    """

    model: Model
    sha256: str
    footprint: Footprint
    savings: tuple[Saving, ...] = ()
    measures: tuple[Measure, ...] = ()
    relief: tuple[LiveBuffer, int] | None = None
    identity: Identity | None = None
    shrunk: ShrinkReport | None = None
    verified: Verified | None = None

    @property
    def runtime_text(self) -> str:
        """The runtime in words, with the version of TFLM that the sizes belong to."""
        return (self.identity and self.identity.text) or f"runtime {self.footprint.runtime}"


def render(inspection: Inspection, style: Style = PLAIN, *, verbosity: int = 0) -> list[Line]:
    """The report for people; ``verbosity`` from 1 lists everything, and kernels' memory."""
    footprint, shrunk = inspection.footprint, inspection.shrunk
    everything = verbosity >= 1
    most = None if everything else MOST_LISTED
    refusals = refusals_list(footprint.refusals, style, most=most)
    not_int8 = [shorten(clean(line, style), style.width - 4, style) for line in footprint.not_int8]
    block = partial(_block, style)
    blocks = [
        block(inspection.model.name, _facts(inspection)),
        block("inputs and outputs", _ends(inspection.model, style)),
        block("operators", _operators(inspection.model, style)),
        block(refusals_title(footprint.refusals), refusals, "red"),
        *([block(*_verified(inspection.verified, style))] if inspection.verified else ()),
        block("bounded, not known", bullets(footprint.unknown, style, most=most), "yellow"),
        block("goes wrong for some inputs", bullets(footprint.risky, style, most=most), "yellow"),
        block("not full INT8", bullets(not_int8, style, most=most), "yellow"),
        block(_size_title(inspection, "ram"), parts_table(footprint.ram_parts, style)),
        block(_size_title(inspection, "psram"), parts_table(footprint.psram_parts, style)),
        block("tensor arena", _arena(footprint.arena, style, everything=everything)),
        [
            Line(text)
            for text in persistent_block(footprint, style, most=None if everything else MOST_LISTED)
        ],
        [Line(text) for text in _peak(inspection, style)],
        block(_size_title(inspection, "flash"), parts_table(footprint.flash_parts, style)),
        *([block(shrunk.waste_text, _waste(shrunk, style))] if shrunk else ()),
        block("flash that one change would save", savings_table(inspection.savings, style)),
        block(
            "layers (* at the arena's peak)" if footprint.arena else "layers",
            layers_table(footprint, style, everything=everything),
        ),
    ]
    lines: list[Line] = []
    for shown in filter(None, blocks):
        lines += [*([Line("")] if lines else []), *shown]
    return [Line(clean(line.text, style), line.markup) for line in lines]


def _verified(found: Verified, style: Style) -> tuple[str, list[str], str]:
    """Title, lines and color of what the real interpreter made of the model."""
    lines = [*([found.failure] if found.failure else []), *found.lines]
    color = "red" if found.failure else "green"
    return "in TFLM's interpreter", bullets(lines or ["it runs"], style, most=None), color


def _block(style: Style, title: str, lines: Sequence[str], *color: str) -> list[Line]:
    titles = (Line(text, ("bold", *color)) for text in title_lines(title, style))
    return [*titles, *map(Line, lines)] if lines else []


def _facts(inspection: Inspection) -> list[str]:
    model = inspection.model
    facts = [
        f"size      {_both(model.bytes)}",
        f"sha256    {inspection.sha256}",
        f"runtime   {inspection.runtime_text}",
    ]
    if openness(model).note:
        facts.append(f"note      {openness(model).note}")
    if model.description:
        facts.append(f"made by   {model.description}")
    if len(model.subgraphs) > 1:
        facts.append(f"subgraphs {len(model.subgraphs)}")
    for signature in model.signatures:
        inputs, outputs = ", ".join(signature.inputs), ", ".join(signature.outputs)
        facts.append(f"signature {signature.key}: {inputs} -> {outputs}")
    return [_INDENT + fact for fact in facts]


def _ends(model: Model, style: Style) -> list[str]:
    rows = [
        (
            end,
            f"{tensor.type.lower()} {shape_text(tensor.shape)}",
            tensor.name,
            _quantization(tensor.quantization),
        )
        for end, indices in (("input", model.main.inputs), ("output", model.main.outputs))
        for tensor in (model.main.tensors[index] for index in indices)
    ]
    if not rows:
        return []
    return columns(rows, ["left"] * 4, style, flexible=2, drop=(3,), indent=_INDENT)


def _quantization(quantization: Quantization) -> str:
    if not quantization.is_affine:
        return ""
    if len(quantization.scales) > 1:
        return f"{len(quantization.scales)} scales along axis {quantization.dimension}"
    return f"scale {quantization.scales[0]:.8g}, zero point {quantization.zero_points[0]}"


def _operator_counts(model: Model) -> list[tuple[str, int, bool, int]]:
    """Name, version, whether it is custom, and how often: most frequent first."""
    counts = Counter(
        (operator.name, operator.version, operator.is_custom)
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    )
    return sorted(
        ((*key, count) for key, count in counts.items()),
        key=lambda row: (-row[3], row[0], row[1]),
    )


def _operators(model: Model, style: Style) -> list[str]:
    rows = [
        (f"{count} x", name, f"version {version}" if not custom else "custom")
        for name, version, custom, count in _operator_counts(model)
    ]
    if not rows:
        return []
    return columns(rows, ["right", "left", "left"], style, flexible=1, indent=_INDENT)


def _waste(shrunk: ShrinkReport, style: Style) -> list[str]:
    """What of the file is waste, and what of the arena."""
    if not shrunk.parts:
        return []
    rows = [
        (
            format_size(part.before, exact=True),
            part.name,
            f"{format_size(part.saved, exact=True)} waste" if part.saved > 0 else "",
        )
        for part in shrunk.parts
        if part.before
    ]
    arenas = [f"{arena.text}" for arena in shrunk.arenas if arena.saved]
    return [
        *columns(rows, ["right", "left", "left"], style, flexible=1, indent=_INDENT),
        *(line for text in arenas for line in wrapped(text, style, indent=_INDENT)),
    ]


def _size_title(inspection: Inspection, memory: Memory) -> str:
    for measure in inspection.measures:
        if measure.metric == memory:
            return measure_line(measure)
    footprint = inspection.footprint
    without_arena = memory == "ram" and footprint.arena is None
    label = f"{LABELS[memory]} besides the arena" if without_arena else LABELS[memory]
    return f"{label}: {_both(footprint.size_in(memory))}"


def _both(size_bytes: int) -> str:
    """A size for people, followed by the exact bytes where it is rounded."""
    rounded, exact = format_size(size_bytes), format_size(size_bytes, exact=True)
    return exact if rounded == exact else f"{rounded} ({exact})"


def _arena(arena: Arena | None, style: Style, *, everything: bool) -> list[str]:
    if arena is None:
        return []
    rows = [
        *_required(arena),
        ("used", arena.used, "head + tail, as arena_used_bytes() prints"),
        ("head", arena.head, "activations and scratch"),
        ("tail", arena.tail, "persistent data"),
    ]
    if everything:
        recorded = sorted(arena.recorded.items(), key=lambda item: (-item[1], item[0]))
        rows += [("", size, f"of the tail: {category}") for category, size in recorded if size]
        rest = arena.tail - sum(arena.recorded.values())
        rows.append(("", rest, "of the tail: TFLM's other objects"))
    decided = _DECIDED_BY.get(arena.decided_by, arena.decided_by)
    if arena.split:
        decided = _DECIDED_IN_TWO.get(arena.decided_by, decided)
    texts = [(name, format_size(size, exact=True), note) for name, size, note in rows]
    what = "the non-persistent part" if arena.split else "required"
    return [
        *columns(texts, ["left", "right", "left"], style, flexible=2, indent=_INDENT),
        *wrapped(f"{what} is set by {decided}", style, indent=_INDENT),
        *wrapped(_fragmentation(arena), style, indent=_INDENT),
    ]


def _required(arena: Arena) -> list[tuple[str, int, str]]:
    if arena.split is None:
        return [("required", arena.required, "the smallest that works")]
    return [
        ("persistent", arena.split.persistent, "the smallest buffer that works for the tail"),
        ("non-persistent", arena.split.non_persistent, "the same for head and setting up"),
    ]


def _fragmentation(arena: Arena) -> str:
    lost = format_size(arena.head - arena.optimum_head, exact=True)
    least = format_size(arena.optimum_head, exact=True)
    if arena.head <= arena.optimum_head:
        return f"no plan has a smaller head: {least} are alive at once"
    return f"{lost} of the head are gaps: {least} are alive at once"


def _peak(inspection: Inspection, style: Style) -> list[str]:
    lines = peak_block(inspection.footprint, style)
    if inspection.relief is None:
        return lines
    buffer, saved = inspection.relief
    owner = shorten(clean(buffer.owner, style), _RELIEF_NAME_CELLS, style)
    advice = f"half of {owner} would lower the head by {format_size(saved)}, more than any other"
    return [*lines, *wrapped(advice, style, indent=_INDENT)]


def render_json(inspection: Inspection) -> str:
    """The report for programs, the same text for the same model; fields as in the results file."""
    model, footprint = inspection.model, inspection.footprint
    content: Json = {
        **tool_json(own_provenance(), [(footprint.runtime, inspection.identity)]),
        "model": {
            "name": model.name,
            "sha256": inspection.sha256,
            "bytes": model.bytes,
            "inputs": [_tensor_json(model.main.tensors[index]) for index in model.main.inputs],
            "outputs": [_tensor_json(model.main.tensors[index]) for index in model.main.outputs],
            "operators": [
                {"name": name, "version": version, "custom": custom, "count": count}
                for name, version, custom, count in _operator_counts(model)
            ],
        },
        **{memory: _memory_json(footprint, memory) for memory in MEMORIES},
        **footprint_json(replace(footprint, savings=inspection.savings)),
        "shrunk": to_builtins(inspection.shrunk),
        **({"verify": to_builtins(inspection.verified)} if inspection.verified else {}),
    }
    return to_text(content)


def _memory_json(footprint: Footprint, memory: Memory) -> Json:
    return {"used": footprint.size_in(memory), "parts": parts_json(footprint.parts_in(memory))}


def render_svg(inspection: Inspection) -> str:
    """The tensor arena as a picture, with the line of the board's RAM where one was asked for.

    Raises:
        TinybudgetError: TFLM refuses the model before it lays out an arena.
    """
    from pytest_tinybudget.report import svg

    footprint, name = inspection.footprint, inspection.model.name
    if footprint.arena is None:
        raise TinybudgetError(f"{name}: no arena to draw: TFLM refuses the model", code="TB010")
    holder = memory_of_arena(inspection.measures)
    room = footprint.arena.required + (holder.free if holder else 0)
    limit = svg.Limit(room, holder.limit_note) if holder else None
    title = f"{name} on {footprint.runtime}"
    return svg.standalone(svg.arena_timeline(footprint.arena, footprint.layers, title, limit=limit))


def _tensor_json(tensor: Tensor) -> Json:
    return {
        "name": tensor.name,
        "type": tensor.type,
        "shape": list(tensor.shape),
        "quantization": _quantization_json(tensor.quantization),
    }


def _quantization_json(quantization: Quantization) -> Json | None:
    if not quantization.is_affine:
        return None
    return {
        # JSON has no infinities, which only a damaged model holds.
        "scales": [scale if math.isfinite(scale) else None for scale in quantization.scales],
        "zero_points": list(quantization.zero_points),
        "dimension": quantization.dimension,
    }
