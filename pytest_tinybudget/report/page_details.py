"""What the page's script draws of a model: flash as a tree, arenas, layers and trends.

Packed as base64 of compressed JSON: a page of forty pairs stays small, a model's details are
unpacked when a reader opens it, and no name of a model can end the element that they stand in.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.baseline.comparison import Change
from pytest_tinybudget.baseline.history import Trend
from pytest_tinybudget.footprint.layout import STORED_MODEL
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.report.blocks import METHODS
from pytest_tinybudget.report.blocks import layer_label
from pytest_tinybudget.report.blocks import output_text
from pytest_tinybudget.report.blocks import peak_layers
from pytest_tinybudget.report.blocks import upper_bound
from pytest_tinybudget.report.review import Row
from pytest_tinybudget.report.svg import drawn_buffers
from pytest_tinybudget.report.why import short
from pytest_tinybudget.results.metrics import LABELS
from pytest_tinybudget.results.types import memory_of_arena


#: A name in the details, in terminal cells; converters make names of hundreds of characters.
_NAME_CELLS = 60
#: A sentence in the details.
_CHARACTERS = 200

_OPERATOR = "operator "
_SHARED_BY_OPERATORS = "shared between operators"
_WEIGHTS = "model: weights"

#: The colors of the treemap's parts, by kind.
_MODEL, _OPERATORS, _RUNTIME, _DECLARED = _KINDS = "mord"

#: A node of the tree of flash: name, bytes, kind, note, bytes on the base or ``None``, children.
_Node = list[Any]


class Measured(Struct, frozen=True):
    """Pairs of a model that have all figures in common: the same runtime, different boards."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        """The pair that stands for all of them."""
        return self.rows[0]

    @property
    def boards(self) -> list[str]:
        """Their boards."""
        return [row.result.board for row in self.rows]


def measured(rows: Sequence[Row]) -> list[Measured]:
    """The pairs of a model by what they have in common, on both sides of a comparison."""
    found: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        sides = [row.result, row.change.base if row.change else None]
        parts = [
            (each.metric, each.parts)
            for side in sides
            if side is not None
            for each in side.measures
        ]
        found.setdefault((row.result.runtime, tuple(parts)), []).append(row)
    return [Measured(tuple(each)) for each in found.values()]


def packed(groups: Sequence[Measured], trends: Sequence[Trend], *, most: int) -> str:
    """The details of a model, with at most ``most`` layers and buffers of each runtime."""
    names = _Names()
    content = {
        "boards": [
            _board(row, number) for number, group in enumerate(groups) for row in group.rows
        ],
        "groups": [_group(group, names, most) for group in groups],
        "trends": [_trend(trend) for trend in trends],
        "names": names.texts,
    }
    text = json.dumps(content, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def unpacked(text: str) -> Any:
    """What ``packed`` packed, as the script sees it."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


class _Names:
    """The names of a model, each once: layers and buffers of all its runtimes share them."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}

    @property
    def texts(self) -> list[str]:
        return list(self._places)

    def place(self, name: str) -> int:
        return self._places.setdefault(short(name, _NAME_CELLS), len(self._places))


def _shown(text: str) -> str:
    return printable(text, limit=_CHARACTERS)


def _board(row: Row, group: int) -> dict[str, Any]:
    pair = row.result
    memory = memory_of_arena(pair.measures)
    arena = pair.footprint.arena if pair.footprint else None
    return {
        "name": _shown(pair.board),
        "group": group,
        "failed": pair.failed,
        "limits": {each.metric: each.limit for each in pair.measures},
        "arena": arena.required + memory.free if arena and memory else None,
    }


def _group(group: Measured, names: _Names, most: int) -> dict[str, Any]:
    pair, change = group.first.result, group.first.change
    footprint, before = pair.footprint, _before(change)
    flash = group.first.measure("flash")
    found: dict[str, Any] = {"title": _shown(pair.runtime_text), "now": None, "base": None}
    if footprint is not None:
        found["now"] = _side(footprint, names, most)
    if before is not None:
        found["base"] = _side(before, names, most)
        assert change is not None
        found["comparable"] = change.status != "not comparable"
    if flash is not None:
        layers = footprint.layers if footprint else ()
        found["flash"] = _tree(flash.parts, layers, _base_parts(change))
    return found


def _before(change: Change | None) -> Footprint | None:
    """What the pair took on the base, where that differs."""
    if change is None or change.base is None or change.status == "unchanged":
        return None
    return change.base.footprint


def _base_parts(change: Change | None) -> tuple[Part, ...] | None:
    """The parts of flash on the base; ``None`` where they cannot be compared."""
    if change is None or change.base is None or change.status == "not comparable":
        return None
    flash = (each for each in change.base.measures if each.metric == "flash")
    return tuple(part for each in flash for part in each.parts)


def _side(footprint: Footprint, names: _Names, most: int) -> dict[str, Any]:
    arena, layers = footprint.arena, footprint.layers
    peak = {(each.subgraph, each.index) for each in (peak_layers(arena, layers) if arena else ())}
    ordered = sorted(layers, key=lambda layer: -(layer.weights_bytes + layer.live_bytes))
    kept = {(layer.subgraph, layer.index) for layer in ordered[:most]}
    return {
        "layers": [
            _layer(layer, names, (layer.subgraph, layer.index) in peak)
            for layer in layers
            if (layer.subgraph, layer.index) in kept
        ],
        "all": len(layers),
        "arena": _arena(arena, names, most) if arena is not None else None,
    }


def _layer(layer: Layer, names: _Names, at_peak: bool) -> list[int]:
    return [
        names.place(layer_label(layer)),
        names.place(layer.name),
        names.place(output_text(layer)),
        layer.weights_bytes,
        layer.activation_bytes,
        layer.scratch_bytes,
        layer.persistent_bytes,
        layer.live_bytes,
        layer.first,
        layer.last,
        int(at_peak),
    ]


def _arena(arena: Arena, names: _Names, most: int) -> dict[str, Any]:
    drawn = drawn_buffers(arena, most)
    return {
        "required": arena.required,
        "used": arena.used,
        "head": arena.head,
        "tail": arena.tail,
        "peak": arena.peak_time,
        "decided": _shown(arena.decided_by),
        "all": len(arena.buffers),
        "buffers": [
            [
                names.place(each.owner),
                int(each.kind == "scratch"),
                each.bytes,
                each.offset,
                each.first,
                each.last,
            ]
            for each in drawn
        ],
    }


def _tree(parts: Sequence[Part], layers: Sequence[Layer], base: tuple[Part, ...] | None) -> _Node:
    """Flash as a tree: the model down to its layers, the runtime down to its operators."""
    before = None if base is None else {part.name: upper_bound(part) for part in base}
    by_kind: dict[str, list[_Node]] = {kind: [] for kind in _KINDS}
    for part in parts:
        if upper_bound(part):
            node = _leaf(part, _kind(part), before)
            if part.name == _WEIGHTS:
                node[5] = _weights(upper_bound(part), layers)
            by_kind[_kind(part)].append(node)

    def branch(name: str, kinds: str, nodes: list[_Node]) -> _Node:
        nodes.sort(key=lambda node: (-node[1], node[0]))
        was = None
        if base is not None:
            was = sum(upper_bound(part) for part in base if _kind(part) in kinds)
        return [name, sum(node[1] for node in nodes), kinds[:1], "", was, nodes]

    if by_kind[_OPERATORS]:
        operators = branch("operators", _OPERATORS, by_kind[_OPERATORS])
        by_kind[_RUNTIME].append(operators)
    whole = [
        branch("model", _MODEL, by_kind[_MODEL]),
        branch("runtime", _RUNTIME + _OPERATORS, by_kind[_RUNTIME]),
        branch("declared", _DECLARED, by_kind[_DECLARED]),
    ]
    return branch("flash", _KINDS, [node for node in whole if node[1]])


def _kind(part: Part) -> str:
    if part.name.startswith(("model", STORED_MODEL)):
        return _MODEL
    if part.name.startswith(_OPERATOR) or part.name == _SHARED_BY_OPERATORS:
        return _OPERATORS
    return _DECLARED if part.method == "declared" else _RUNTIME


def _leaf(part: Part, kind: str, base: dict[str, int] | None) -> _Node:
    name = part.name.removeprefix(_OPERATOR).removeprefix("model: ")
    margin = f"margin of {part.margin_bytes:,} B" if part.margin_bytes else ""
    note = ", ".join(filter(None, (METHODS[part.method] or "exact", margin, _shown(part.note))))
    before = base.get(part.name, 0) if base is not None else None
    return [_shown(name), upper_bound(part), kind, note, before, []]


def _weights(total: int, layers: Sequence[Layer]) -> list[_Node]:
    """The constants of a model by the layers that read them; together ``total`` bytes.

    A constant that several layers read counts for each of them; then all take their share of the
    total, and say so.
    """
    reading = [layer for layer in layers if layer.weights_bytes > 0]
    read = sum(layer.weights_bytes for layer in reading)
    shared = read > total
    nodes: list[_Node] = []
    for layer in reading:
        size = layer.weights_bytes * total // read if shared else layer.weights_bytes
        note = f"its share; it reads {layer.weights_bytes:,} B with others" if shared else "exact"
        label = f"{layer_label(layer)} {short(layer.name, _NAME_CELLS)}".strip()
        nodes.append([_shown(label), size, _MODEL, note, None, []])
    rest = total - sum(node[1] for node in nodes)
    if nodes and rest > 0:
        nodes.append(["not read by a layer", rest, _MODEL, "exact", None, []])
    return sorted(nodes, key=lambda node: (-node[1], node[0]))


def _trend(trend: Trend) -> dict[str, Any]:
    return {
        "board": _shown(trend.board),
        "metric": LABELS[trend.metric],
        "points": [
            [_shown(point.label), point.used, point.limit, int(point.comparable)]
            for point in trend.points
        ],
    }


def shortened(trend: Trend, most: int) -> Trend:
    """``trend`` with its newest ``most`` points."""
    return replace(trend, points=trend.points[-most:])
