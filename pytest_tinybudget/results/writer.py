"""The results file: every pair with its sizes, for baselines, dashboards and other tools.

Its format is documented in ``docs/results.md`` and checked by ``schemas/results.schema.json``.
The same results give the same bytes: sorted, without times, integers of bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Layer
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Refusal
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.footprint.result import SplitArena
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import SCHEMA_VERSION
from pytest_tinybudget.results.types import Acceptance
from pytest_tinybudget.results.types import Checkout
from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import Measure
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Placed
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


#: What tells runtimes of a file apart, in the order that sorts them.
_SORTED_BY = ("name", "tflm", "description", "kernels", "kernels_version", "abi", "cores")

#: A JSON value, as ``json.dumps`` takes it.
Json = dict[str, Any]


def render(results: Iterable[PairResult], provenance: Provenance | None = None) -> str:
    """The results file's text, pairs sorted by ``id``.

    ``provenance`` is that of results which were read from a file, or whose commits are known;
    without it they were measured by this installation.
    """
    pairs = sorted(results, key=lambda pair: pair.id)
    source = provenance or own_provenance()
    runtimes = {(pair.runtime, pair.identity) for pair in pairs if pair.runtime}
    return to_text(
        {
            **tool_json(source, runtimes),
            "repositories": [_checkout(each) for each in source.checkouts],
            "pairs": [pair_json(pair) for pair in pairs],
        }
    )


def tool_json(source: Provenance, runtimes: Iterable[tuple[str, Identity | None]]) -> Json:
    """What the numbers belong to: schema, the tool's version, TFLM's commit, runtimes by name."""
    variants = [{"name": name, **_identity(identity)} for name, identity in runtimes]
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "pytest-tinybudget", "version": source.tool},
        "runtime": {
            "tflm_commit": source.tflm_commit,
            "variants": sorted(variants, key=lambda each: [str(each[key]) for key in _SORTED_BY]),
        },
    }


def to_text(content: Json) -> str:
    """JSON as every file and output of ours has it: keys sorted, ASCII, a line end at the end."""
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _identity(identity: Identity | None) -> Json:
    known = identity or Identity("")
    return {
        "tflm": known.tflm or None,
        "description": known.description,
        "kernels": known.kernels or None,
        "kernels_version": known.kernels_version or None,
        "abi": known.abi or None,
        "cores": list(known.cores),
    }


def _checkout(checkout: Checkout) -> Json:
    base = {"commit": checkout.base, "found": checkout.base_found}
    return {
        "folder": checkout.folder,
        "commit": checkout.commit or None,
        "base": base if checkout.base else None,
    }


def pair_json(pair: PairResult) -> Json:
    """One pair as the results file has it."""
    measures = {RESULT_KEYS[measure.metric]: _measure(measure) for measure in pair.measures}
    return {
        "id": pair.id,
        "model": {
            "name": pair.model,
            "sha256": pair.model_sha256 or None,
            "bytes": pair.model_bytes,
            "source": pair.model_source,
        },
        "board": {"id": pair.board},
        "runtime": pair.runtime,
        "identity": None if pair.identity is None else _identity(pair.identity),
        "outcome": pair.outcome,
        "headline": pair.headline,
        "reasons": list(pair.reasons),
        "warnings": list(pair.warnings),
        "declared_at": pair.declared_at,
        "message": pair.message,
        "accepted": [_acceptance(acceptance) for acceptance in pair.accepted],
        "grown": list(pair.grown),
        "growth_unchecked": pair.growth_unchecked,
        "table": pair.table,
        "conversion": pair.conversion,
        "notes": list(pair.notes),
        "figures": [_figure(figure) for figure in pair.figures],
        "kind": pair.kind,
        "codes": list(pair.codes),
        "placed": _placed(pair.placed),
        "arrays": [_placed(array) for array in pair.arrays],
        **{key: measures.get(key) for key in RESULT_KEYS.values()},
        **footprint_json(pair.footprint),
    }


def footprint_json(footprint: Footprint | None) -> Json:
    """Arena, stack, operators and layers of a footprint; null and empty without one."""
    if footprint is None:
        return {
            "arena": None,
            "stack": None,
            "known": False,
            "operators": {},
            "layers": [],
            "refusals": [],
            "unknown": [],
            "not_int8": [],
            "savings": [],
        }
    return {
        "arena": arena_json(footprint.arena),
        "stack": footprint.stack,
        "known": footprint.known and not footprint.refusals,
        "operators": dict(Counter(layer.operator for layer in footprint.layers)),
        "layers": [_layer(layer) for layer in footprint.layers],
        "refusals": [_refusal(refusal) for refusal in footprint.refusals],
        "unknown": list(footprint.unknown),
        "not_int8": list(footprint.not_int8),
        "savings": savings_json(footprint.savings),
    }


def arena_json(arena: Arena | None) -> Json | None:
    """The arena's sizes and plan; ``recorded`` holds its tail by TFLM's categories.

    ``persistent`` holds it by operator kind and cause.
    """
    if arena is None:
        return None
    return {
        "required": arena.required,
        "used": arena.used,
        "head": arena.head,
        "tail": arena.tail,
        "decided_by": arena.decided_by,
        "optimum_head": arena.optimum_head,
        "split": _split(arena.split),
        "recorded": dict(arena.recorded),
        "persistent": [
            {"operator": each.operator, "cause": each.cause, "bytes": each.bytes}
            for each in arena.persistent
        ],
        "peak_time": arena.peak_time,
        "buffers": [_buffer(buffer) for buffer in arena.buffers],
    }


def _split(split: SplitArena | None) -> Json | None:
    if split is None:
        return None
    return {"persistent": split.persistent, "non_persistent": split.non_persistent}


def _buffer(buffer: LiveBuffer) -> Json:
    return {
        "owner": buffer.owner,
        "kind": buffer.kind,
        "bytes": buffer.bytes,
        "offset": buffer.offset,
        "first": buffer.first,
        "last": buffer.last,
        "subgraph": buffer.subgraph,
        "index": buffer.index,
    }


def parts_json(parts: Iterable[Part]) -> list[Json]:
    """Parts, largest first."""
    return [
        {
            "name": part.name,
            "bytes": part.bytes,
            "method": part.method,
            "margin": part.margin_bytes,
            "note": part.note,
        }
        for part in sorted(parts, key=lambda part: (-part.bytes, part.name))
    ]


def savings_json(savings: Iterable[Saving]) -> list[Json]:
    """What single changes would save in flash, largest first."""
    return [
        {
            "change": saving.change,
            "flash": saving.flash_bytes,
            "note": saving.note,
            "parts": dict(saving.parts),
        }
        for saving in sorted(savings, key=lambda saving: (-saving.flash_bytes, saving.change))
    ]


def _placed(placed: Placed | None) -> Json | None:
    if placed is None:
        return None
    return {
        "name": placed.name,
        "placement": placed.placement,
        "region": placed.region,
        "room": placed.room,
        "free": placed.free,
    }


def _figure(figure: Figure) -> Json:
    return {
        "name": figure.name,
        "unit": figure.unit,
        "low": _number(figure.low),
        "high": _number(figure.high),
        "method": figure.method,
        "basis": figure.basis,
        "limit": _number(figure.limit),
        "at_least": figure.at_least,
        "advice": figure.advice,
    }


def _number(value: float | None) -> float | None:
    """``value`` written alike whether it was measured now or read from a file: 2960, not 2960.0."""
    return int(value) if value is not None and float(value).is_integer() else value


def _acceptance(acceptance: Acceptance) -> Json:
    return {
        "metric": acceptance.metric,
        "up_to": acceptance.up_to,
        "reason": acceptance.reason,
        "until": acceptance.until.isoformat(),
    }


def _measure(measure: Measure) -> Json:
    return {
        "used": measure.used,
        "limit": measure.limit,
        "limit_from": measure.limit_from,
        "limit_note": measure.limit_note,
        "free": measure.free,
        "parts": parts_json(measure.parts),
    }


def _layer(layer: Layer) -> Json:
    return {
        "subgraph": layer.subgraph,
        "index": layer.index,
        "operator": layer.operator,
        "name": layer.name,
        "output": {"type": layer.output_type, "shape": list(layer.output_shape)},
        "weights": layer.weights_bytes,
        "activations": layer.activation_bytes,
        "scratch": layer.scratch_bytes,
        "persistent": layer.persistent_bytes,
        "live": layer.live_bytes,
        "first": layer.first,
        "last": layer.last,
    }


def _refusal(refusal: Refusal) -> Json:
    return {
        "stage": refusal.stage,
        "operator": refusal.operator,
        "subgraph": refusal.subgraph,
        "index": refusal.index,
        "reason": refusal.reason,
    }
