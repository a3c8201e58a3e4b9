"""The results file: every pair with its sizes, for baselines, dashboards and other tools.

Its format is documented in ``docs/results.md`` and checked by ``schemas/results.schema.json``;
what is in it is said at the fields of the structs that it is made from (``form.py``). The same
results give the same bytes: sorted, without times, integers of bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from pytest_tinybudget.footprint.result import Footprint
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.results.file import TOOL
from pytest_tinybudget.results.file import unmeasured
from pytest_tinybudget.results.form import Json
from pytest_tinybudget.results.form import form_of
from pytest_tinybudget.results.metrics import RESULT_KEYS
from pytest_tinybudget.results.types import SCHEMA_VERSION
from pytest_tinybudget.results.types import Identity
from pytest_tinybudget.results.types import PairResult
from pytest_tinybudget.results.types import Provenance
from pytest_tinybudget.results.types import own_provenance


#: What tells runtimes of a file apart, in the order that sorts them.
_SORTED_BY = ("name", "tflm", "description", "kernels", "kernels_version", "abi", "cores")


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
            "repositories": [form_of(type(each)).write(each) for each in source.checkouts],
            "pairs": [pair_json(pair) for pair in pairs],
        }
    )


def tool_json(source: Provenance, runtimes: Iterable[tuple[str, Identity | None]]) -> Json:
    """What the numbers belong to: schema, the tool's version, TFLM's commit, runtimes by name."""
    write = form_of(Identity).write
    variants = [{"name": name, **write(identity or Identity(""))} for name, identity in runtimes]
    return {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": TOOL, "version": source.tool},
        "runtime": {
            "tflm_commit": source.tflm_commit,
            "variants": sorted(variants, key=lambda each: [str(each[key]) for key in _SORTED_BY]),
        },
    }


def to_text(content: Json) -> str:
    """JSON as every file and output of ours has it: keys sorted, ASCII, a line end at the end."""
    plain = json.dumps(content, sort_keys=True)
    try:  # faster than json.dumps, which indents in Python
        return msgspec.json.format(plain, indent=2) + "\n"
    except msgspec.DecodeError:  # it refuses half of a surrogate pair, which a file's name may hold
        return json.dumps(content, indent=2, sort_keys=True) + "\n"


def pair_json(pair: PairResult) -> Json:
    """One pair as the results file has it."""
    measures = {
        RESULT_KEYS[measure.metric]: form_of(type(measure)).write(measure)
        for measure in pair.measures
    }
    return {
        **form_of(type(pair)).write(pair),
        **{key: measures.get(key) for key in RESULT_KEYS.values()},
        **footprint_json(pair.footprint),
    }


def footprint_json(footprint: Footprint | None) -> Json:
    """Arena, stack, operators and layers of a footprint; null and empty without one."""
    return unmeasured() if footprint is None else form_of(type(footprint)).write(footprint)


def parts_json(parts: Iterable[Part]) -> list[Json]:
    """Parts, largest first."""
    ordered = sorted(parts, key=lambda part: (-part.bytes, part.name))
    return [form_of(Part).write(part) for part in ordered]
