"""What a firmware says of its runtime, beside the prediction: ``tinybudget runtime read``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.report.blocks import persistent_label
from pytest_tinybudget.report.layout import PLAIN
from pytest_tinybudget.report.layout import Align
from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import clean
from pytest_tinybudget.report.layout import columns
from pytest_tinybudget.report.layout import wrapped
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.versions import Change
from pytest_tinybudget.runtimes.versions import Version
from pytest_tinybudget.toolchain.matching import Compared
from pytest_tinybudget.toolchain.matching import Match
from pytest_tinybudget.toolchain.matching import Span
from pytest_tinybudget.toolchain.matching import relevant
from pytest_tinybudget.toolchain.reading import Reading
from pytest_tinybudget.toolchain.serial_log import LoggedArena


_INDENT = "  "
_LABEL_CELLS = 16
_MOST_CHANGES = 6
_MOST_VERSIONS = 8


class ReadModel(Struct, frozen=True):
    """A model that the firmware holds, with the arenas that it takes.

    Attributes:
        name: the file's or the array's.
        content: its bytes.
        arena: what it takes in the runtime that was read; ``None`` where that refuses it.
        refusal: why, if it does.
        predicted: what it takes in the runtime that it is compared with.
        estimate: why ``arena`` is an estimate, empty where it is exact.
    """

    name: str
    content: bytes
    arena: Arena | None
    refusal: str
    predicted: Arena | None
    estimate: str


class Read(Struct, frozen=True):
    """A firmware's runtime as it was read.

    Attributes:
        name: what the declaration calls it.
        reading: what the file says.
        match: the versions of TFLM that are most like it; ``None`` without debug information.
        version: the one that was taken; its name is empty where nothing tells.
        versions: those that would do as well, the newest first.
        chosen_by: how ``version`` was chosen among several.
        runtime: the runtime as read.
        base: the shipped runtime that it is compared with.
        distributions: releases that it may come from, by their full names.
        table: the keys of ``[runtime.NAME]``.
        compared: each struct of the firmware beside the runtime ``base``.
        models: the models in it.
        logged: what a serial log says of arenas.
        notes: what could not be read, a line each.
    """

    name: str
    reading: Reading
    match: Match | None
    version: Version
    versions: tuple[Version, ...]
    chosen_by: str
    runtime: Runtime
    base: Runtime
    distributions: tuple[str, ...]
    table: Mapping[str, Any]
    compared: tuple[Compared, ...]
    models: tuple[ReadModel, ...]
    logged: tuple[LoggedArena, ...]
    notes: tuple[str, ...]


def render(read: Read, style: Style = PLAIN) -> list[Line]:
    """The report for people, and the declaration at its end."""
    blocks = [
        _block(read.reading.firmware.label, _facts(read, style), style),
        _block(f"structs that differ from {read.base.name}", _structs(read, style), style),
        *(_block(_model_title(model), _arena(read, model, style), style) for model in read.models),
        _block("serial log", _log(read, style), style),
        _block(
            "not known", [_INDENT + line for note in read.notes for line in wrapped(note, style)],
            style,
        ),
        [Line(text) for text in declaration(read).splitlines()],
    ]  # fmt: skip
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [*([Line("")] if lines else []), *block]
    return [Line(clean(line.text, style), line.markup) for line in lines]


def declaration(read: Read) -> str:
    """``[runtime.NAME]`` as TOML."""
    lines = [f"[runtime.{toml_key(read.name)}]"]
    lines += [f"{key} = {_value(value)}" for key, value in read.table.items() if key != "layouts"]
    if not read.reading.knows_kernels:
        lines.append("# kernels are not known: those of CMSIS-NN and esp-nn take other RAM")
    if not read.version.name:
        names = f" (it is one of {_names(read.versions)})" if read.versions else ""
        lines.append(f'# tflm = "..." is not known{names}: RAM is estimated until it is said')
    layouts = read.table.get("layouts")
    if layouts:
        lines += ["", f"[runtime.{toml_key(read.name)}.layouts]"]
        lines += [f"{toml_key(name)} = {_value(layout)}" for name, layout in layouts.items()]
    return "\n".join(lines) + "\n"


def render_json(read: Read) -> str:
    """All of it for programs, sizes in bytes."""
    reading, match = read.reading, read.match
    document = {
        "firmware": reading.firmware.label,
        "machine": reading.firmware.machine,
        "core": reading.core or None,
        "abi": reading.abi.name,
        "kernels": reading.kernels.library if reading.knows_kernels else None,
        "vectors": reading.kernels.vectors or None,
        "static_memory": reading.static_memory,
        "log_strings": reading.log_strings,
        "debug_information": reading.has_debug_information,
        "compilers": list(reading.compilers),
        "optimize": reading.optimize or None,
        "operators": list(reading.operators),
        "conflicts": {each.name: dict(_named(each.sizes)) for each in reading.conflicts},
        "tflm": {
            "version": read.version.name or None,
            "date": read.version.date or None,
            "exact": bool(match and match.is_exact),
            "candidates": [each.name for each in read.versions],
            "chosen_by": read.chosen_by or None,
            "spans": [_span_json(span) for span in match.spans] if match else [],
            "differing": list(match.differing) if match else [],
        },
        "distributions": list(read.distributions),
        "structs": [
            {"name": each.name, "firmware": each.found, "predicted": each.expected,
             "layout": reading.layouts[each.name].codes}
            for each in read.compared
        ],
        "arenas": dict(reading.arenas),
        "models": [_model_json(model) for model in read.models],
        "logged": [
            {"line": each.line, "used": each.used, "head": each.head, "tail": each.tail,
             "recorded": each.recorded}
            for each in read.logged
        ],
        "notes": list(read.notes),
        "runtime": {read.name: dict(read.table)},
    }  # fmt: skip
    return json.dumps(document, indent=2) + "\n"


def _named(sizes: Sequence[tuple[int, str]]) -> list[tuple[str, int]]:
    return [(unit, size) for size, unit in sizes]


def _span_json(span: Span) -> dict[str, Any]:
    return {
        "since": span.since and {"commit": span.since.commit, "date": span.since.date},
        "until": span.until and {"commit": span.until.commit, "date": span.until.date},
        "known": [each.name for each in span.known],
    }


def _model_json(model: ReadModel) -> dict[str, Any]:
    def sizes(arena: Arena | None) -> dict[str, int] | None:
        if arena is None:
            return None
        return {
            "required": arena.required,
            "used": arena.used,
            "head": arena.head,
            "tail": arena.tail,
        }

    return {
        "name": model.name,
        "bytes": len(model.content),
        "sha256": hashlib.sha256(model.content).hexdigest(),
        "arena": sizes(model.arena),
        "predicted": sizes(model.predicted),
        "refusal": model.refusal or None,
        "estimate": model.estimate or None,
    }


def _block(title: str, lines: Sequence[str], style: Style) -> list[Line]:
    if not lines:
        return []
    return [Line(clean(printable(title), style), ("bold",)), *map(Line, lines)]


def _facts(read: Read, style: Style) -> list[str]:
    reading = read.reading
    static = {True: "yes", False: "no", None: "not known"}[reading.static_memory]
    facts = [
        ("core", reading.core or f"not known ({reading.firmware.machine})"),
        ("kernels", _kernels(read)),
        ("compiler", _compiler(reading)),
        ("static memory", f"{static} (TF_LITE_STATIC_MEMORY)"),
        ("log strings", "in it" if reading.log_strings else "stripped, or none"),
        ("operators", _operators(reading.operators)),
        ("TFLM", _version(read)),
    ]
    if read.match is not None:
        facts += [("", each) for each in _spans(read)]
    if read.distributions:
        facts.append(("may come from", _listed(read.distributions)))
    facts += [("arena", f"{name}, {size:,} B") for name, size in reading.arenas]
    facts += [("warning", _conflict(each.name, each.sizes)) for each in reading.conflicts]
    lines = []
    for label, text in facts:
        indent = " " * (len(_INDENT) + _LABEL_CELLS)
        start = f"{_INDENT}{label:<{_LABEL_CELLS}}"
        lines += wrapped(text, style, indent=indent, start=start)
    return lines


def _kernels(read: Read) -> str:
    kernels = read.reading.kernels
    if not read.reading.knows_kernels:
        return f"not known; the {kernels.label} are counted"
    vectors = f", for the vector unit of {kernels.vectors}" if kernels.vectors else ""
    return kernels.label + vectors


def _compiler(reading: Reading) -> str:
    if not reading.compilers:
        return "not known"
    first = reading.compilers[0]
    name = re.split(r"\s-", first, maxsplit=1)[0]
    return f"{name}, -O{reading.optimize}" if reading.optimize else name


def _operators(operators: Sequence[str]) -> str:
    return f"{len(operators)}: {', '.join(operators)}" if operators else "not known"


def _version(read: Read) -> str:
    if not read.version.name:
        if read.versions:
            return "one of several: give --model, or --log, to tell which"
        return "not known"
    date = read.version.date.partition("T")[0]
    text = f"{read.version.name} ({date})" if date else read.version.name
    if read.match is not None and not read.match.is_exact:
        other = (*read.match.differing, *read.match.unknown_operators)
        return f"none that is known; nearest {text}, but for {', '.join(other)}"
    return f"{text}{', ' + read.chosen_by if read.chosen_by else ''}"


def _spans(read: Read) -> list[str]:
    """The range of versions, and what would tell those in it apart."""
    assert read.match is not None
    lines = []
    for span in read.match.spans:
        lines.append(f"fits {_range(span)}; known there: {_names(span.known)}")
        inside = relevant(span, read.reading)
        if len(span.known) > 1 and inside:
            lines.append(f"not told apart: {_changes(inside)}")
    return lines


def _range(span: Span) -> str:
    since = f"from {_commit(span.since)}" if span.since else "from the first"
    return f"{since} until before {_commit(span.until)}" if span.until else f"{since} on"


def _commit(change: Change) -> str:
    return f"{change.commit} ({change.date.partition('T')[0]}: {change.name})"


def _names(versions: Sequence[Version]) -> str:
    return _listed([each.name for each in versions])


def _listed(names: Sequence[str]) -> str:
    if len(names) > _MOST_VERSIONS:
        return (
            f"{', '.join(names[: _MOST_VERSIONS - 1])} and {len(names) - _MOST_VERSIONS + 1} more"
        )
    return ", ".join(names) or "none"


def _changes(changes: Sequence[Change]) -> str:
    shown = [f"{each.commit} {each.name}" for each in changes[:_MOST_CHANGES]]
    more = len(changes) - len(shown)
    return "; ".join([*shown, *([f"{more} more"] if more else [])])


def _conflict(name: str, sizes: Sequence[tuple[int, str]]) -> str:
    told = ", ".join(f"{size} B in {unit}" for size, unit in sizes)
    return f"{name} has {told}: these files were compiled with other flags, which breaks memory"


def _structs(read: Read, style: Style) -> list[str]:
    differing = [each for each in read.compared if each.differs]
    alike = sum(each.expected is not None for each in read.compared) - len(differing)
    if not read.compared:
        return []
    rows = [("", "firmware", read.base.name, "")]
    rows += [
        (each.name, f"{each.found:,} B", f"{each.expected:,} B", _delta(each.found, each.expected))
        for each in differing
        if each.expected is not None
    ]
    align: tuple[Align, ...] = ("left", "right", "right", "right")
    table = columns(rows, align, style, flexible=0, indent=_INDENT) if differing else []
    others = "others" if differing else "structs"
    told = f"all {alike:,} {others} that were found are alike"
    if alike < 2:
        told = f"the {'one other' if differing else 'one struct'} that was found is alike"
    return [*table, *([f"{_INDENT}{told}"] if alike else [])]


def _delta(found: int, expected: int) -> str:
    return f"{found - expected:+,}"


def _model_title(model: ReadModel) -> str:
    digest = hashlib.sha256(model.content).hexdigest()[:12]
    return f"arena of {model.name} ({len(model.content):,} B, sha256 {digest}…)"


def _arena(read: Read, model: ReadModel, style: Style) -> list[str]:
    """The arena part by part: as the firmware has it, and as the base predicts it."""
    if model.arena is None:
        return [f"{_INDENT}{model.refusal or 'refused'}"]
    arena, predicted = model.arena, model.predicted
    sizes = {name: getattr(arena, name) for name in ("required", "used", "head", "tail")}
    expected = {name: getattr(predicted, name) if predicted else None for name in sizes}
    parts, other = _parts(arena), _parts(predicted) if predicted else {}
    rows = [("", "firmware", read.base.name, "")]
    rows += [_row(name, size, expected[name]) for name, size in sizes.items()]
    rows += [
        _row(f"  {name}", parts.get(name, 0), other.get(name, 0) if predicted else None)
        for name in dict.fromkeys((*parts, *other))
        if not predicted or parts.get(name, 0) != other.get(name, 0)
    ]
    align: tuple[Align, ...] = ("left", "right", "right", "right")
    lines = columns(rows, align, style, flexible=0, indent=_INDENT)
    if predicted and parts == other:
        lines.append(f"{_INDENT}every part of the tail is alike")
    if model.estimate:
        lines += wrapped(f"estimate: {model.estimate}", style, indent=_INDENT)
    for name, size in read.reading.arenas:
        room = size - arena.required
        word = "left" if room >= 0 else "MISSING"
        lines.append(f"{_INDENT}{name} has {size:,} B: {abs(room):,} B {word}")
    return lines


def _row(name: str, size: int, expected: int | None) -> tuple[str, str, str, str]:
    if expected is None:
        return name, f"{size:,} B", "", ""
    return (
        name,
        f"{size:,} B",
        f"{expected:,} B",
        _delta(size, expected) if size != expected else "",
    )


def _parts(arena: Arena) -> dict[str, int]:
    return {persistent_label(share): share.bytes for share in arena.persistent}


def _log(read: Read, style: Style) -> list[str]:
    """Each figure of the log beside what the runtime as read gives."""
    arenas = [(model.name, model.arena) for model in read.models if model.arena is not None]
    lines = []
    for each in read.logged:
        said = [
            (name, value)
            for name, value in (
                ("used", each.used),
                ("head", each.head),
                ("tail", each.tail),
                *sorted(each.recorded.items()),
            )
            if value is not None
        ]
        for name, value in said:
            verdicts = [_verdict(name, value, model, arena) for model, arena in arenas]
            told = "; ".join(verdicts) or "nothing to compare it with"
            lines += wrapped(f"line {each.line}: {name} {value:,} B, {told}", style, indent=_INDENT)
    return lines


def _verdict(name: str, value: int, model: str, arena: Arena) -> str:
    expected = getattr(arena, name, None)
    if expected is None:
        expected = arena.recorded.get(name, 0)
    if value == expected:
        return f"as computed for {model}"
    return f"{value - expected:+,} against {expected:,} B for {model}"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
