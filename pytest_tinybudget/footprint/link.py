"""The virtual link: the flash that TFLM takes for a model's operators, without a toolchain.

Walks a section graph from the operators a model uses, as a linker's garbage collection does,
and places what is reached. Says whose bytes they are, and what a change would save.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.footprint.history import possible_versions
from pytest_tinybudget.footprint.registrations import typed_registrations
from pytest_tinybudget.footprint.result import Method
from pytest_tinybudget.footprint.result import Part
from pytest_tinybudget.footprint.result import Saving
from pytest_tinybudget.footprint.section_graph import KINDS
from pytest_tinybudget.footprint.section_graph import SectionGraph
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.abi import align_up
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.firmware import Registrations
from pytest_tinybudget.runtimes.firmware import as_firmware
from pytest_tinybudget.runtimes.interface import interface_of
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.runtime import RUNTIMES
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tables import choose_table
from pytest_tinybudget.runtimes.tflm import Tflm


_TEXT = KINDS.index("text")
_RODATA = KINDS.index("rodata")
_DATA = KINDS.index("data")
_BSS = KINDS.index("bss")
_VARIABLE_OPERATORS = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})

#: What reports call the bytes of a library, by the origin of an archive member.
_LIBRARIES = {
    "libc": "libc",
    "libm": "libm",
    "libgcc": "libgcc (soft float, division)",
    "libstdc++": "libstdc++",
}
#: TFLM's own kernels.
_REFERENCE: LibraryName = "reference"
#: The part of RAM that holds the slots of ``MicroResourceVariables``.
RESOURCE_VARIABLES = "resource variables"
_CORE = "runtime core"
_MAIN = "resolver and main"
_SHARED = "shared between operators"
#: What a saving calls the code of one operator.
_CODE = "its own code"


class Linked(Struct, frozen=True):
    """What TFLM takes for one model, the model's own bytes apart.

    ``parts`` sum to ``flash`` (bytes, margins apart) and their margins to ``margin_bytes``;
    ``ram_parts`` are the static objects besides arena and stack. ``unknown`` has a line for
    each operator whose code is in no table and was not declared.
    """

    parts: tuple[Part, ...]
    ram_parts: tuple[Part, ...]
    unknown: tuple[str, ...]

    @property
    def flash(self) -> int:
        """Bytes of flash as predicted, margins not counted."""
        return sum(part.bytes for part in self.parts)

    @property
    def margin_bytes(self) -> int:
        """How far the truth may lie above ``flash``."""
        return sum(part.margin_bytes for part in self.parts)


def link(model: Model, firmware: Firmware | Runtime) -> Linked:
    """The flash and static RAM that ``model``'s operators cost in ``firmware``.

    Raises:
        TinybudgetError: the runtime's table is missing or damaged.
    """
    firmware = as_firmware(firmware)
    runtime = firmware.runtime
    if runtime.one_of:
        return _of_any(model, firmware)
    if not _table(runtime):
        line = f"runtime {runtime.name} has no section graph: its flash is not counted"
        return Linked((), (), (line,))
    graph = load_graph(_table(runtime))
    operators = _operators(model)
    typed = typed_for(model, firmware) if firmware.registrations == "typed" else {}
    image = _image(graph, operators, typed)
    parts, unknown = _with_margin(image.parts, runtime, graph), []
    if image.main_margin:
        note = f"not known for {len(operators)} operators: it may be as much larger"
        margin = image.main_margin
        parts.append(Part(f"margin: {_MAIN}", 0, "estimated", margin_bytes=margin, note=note))
    parts += _beyond(parts, runtime)
    for name in operators:
        if name in graph.operators:
            continue
        cost = firmware.cost_of(name)
        if cost is not None:
            parts.append(Part(f"operator {name}", cost.flash, "declared"))
            continue
        largest, bound = _largest_operator(_table(runtime))
        note = f"counted as the largest known, {largest}"
        parts.append(Part(f"operator {name}", 0, "estimated", margin_bytes=bound, note=note))
        unknown.append(
            f"operator {name}: its code is not in table {_table(runtime)}; {note} with "
            f'{format_size(bound)}; declare it: [runtime.ops.{toml_key(name)}] flash = "…"'
        )
    return Linked(tuple(parts), _ram_parts(model, runtime, image), tuple(unknown))


def _of_any(model: Model, firmware: Firmware) -> Linked:
    """The largest of what ``firmware`` may be, part of flash and RAM apart."""
    runtimes = firmware.runtime.one_of
    # The code is the same for all of them.
    not_typed = firmware.not_typed | interface_of(firmware.runtime).not_typed
    firmware = replace(firmware, not_typed=not_typed)
    found = {each.name: link(model, replace(firmware, runtime=each)) for each in runtimes}
    sizes = {name: _total(linked.parts) for name, linked in found.items()}
    most = max(sizes, key=lambda name: sizes[name])
    least = min(sizes, key=lambda name: sizes[name])
    unknown = found[most].unknown
    if sizes[most] != sizes[least]:
        text = f"flash: of {firmware.runtime.name} the most is {sizes[most]:,} B ({most})"
        unknown += (f"{text}, the least {sizes[least]:,} B ({least})",)
    ram_parts = max((linked.ram_parts for linked in found.values()), key=_total)
    return Linked(found[most].parts, ram_parts, unknown)


def _total(parts: tuple[Part, ...]) -> int:
    return sum(part.bytes + part.margin_bytes for part in parts)


def what_if(model: Model, firmware: Firmware | Runtime) -> tuple[Saving, ...]:
    """Changes that would save flash, largest first, each computed by linking again.

    Without each operator; type-specific registrations, one by one and all; the reference
    kernels instead of an optimized library, other flags of the compiler, where there are tables
    of the same core built so.
    """
    firmware = as_firmware(firmware)
    runtime, registrations = firmware.runtime, firmware.registrations
    if not _table(runtime):
        return ()
    graph, others = load_graph(_table(runtime)), tuple(_other_builds(runtime))
    operators, possible = _operators(model), typed_for(model, firmware)
    key = (
        "savings",
        tuple(operators.items()),
        tuple(possible.items()),
        registrations,
        runtime,
        others,
    )
    savings: tuple[Saving, ...] | None = graph.walked.get(key)
    if savings is None:
        found = _savings(runtime, operators, possible, registrations, others)
        savings = graph.walked[key] = found
    return savings


def _savings(
    runtime: Runtime,
    operators: Mapping[str, bool],
    possible: Mapping[str, str],
    registrations: Registrations,
    others: Iterable[tuple[str, Runtime, str]],
) -> tuple[Saving, ...]:
    graph = load_graph(_table(runtime))
    typed = possible if registrations == "typed" else {}
    linked = _image(graph, operators, typed)
    now, margin = linked.flash, _margin_of(runtime, graph, linked)
    savings = []

    def saving(change: str, left: _Image, **details: Any) -> Saving:
        spared = margin - _margin_of(runtime, graph, left)
        return Saving(change, now - left.flash, margin_bytes=spared, **details)

    for name in operators:
        rest = {key: custom for key, custom in operators.items() if key != name}
        left = _image(graph, rest, typed)
        parts = _saved_parts(linked.parts, left.parts)
        savings.append(saving(f"without {name}", left, parts=parts))
    if registrations == "generic":
        for name, kind in possible.items():
            change = f"{name} for {kind} only (Register_{name}_{kind}())"
            savings.append(saving(change, _image(graph, operators, {name: kind})))
    if registrations == "generic" and len(possible) > 1:
        change = 'each operator for its type only (registrations = "typed")'
        savings.append(saving(change, _image(graph, operators, possible)))
    for change, other, note in others:
        other_graph = load_graph(_table(other))
        left = _image(other_graph, operators, _in_table(typed, _table(other)))
        spared = margin - _margin_of(other, other_graph, left)
        savings.append(Saving(change, now - left.flash, note, margin_bytes=spared))
    useful = [item for item in savings if item.flash_bytes > 0]
    return tuple(sorted(useful, key=lambda item: (-item.flash_bytes, item.change)))


def _margin_of(runtime: Runtime, graph: SectionGraph, image: _Image) -> int:
    """How far the truth may lie above the flash of ``image``, as ``link`` counts it."""
    parts = _with_margin(image.parts, runtime, graph)
    if image.main_margin:
        parts.append(Part("margin", 0, "estimated", margin_bytes=image.main_margin))
    return sum(part.margin_bytes for part in (*parts, *_beyond(parts, runtime)))


def _other_builds(runtime: Runtime) -> Iterator[tuple[str, Runtime, str]]:
    """What might be built otherwise, the runtime then, and what that costs besides.

    Only builds of which there is a table as near as the runtime's own.
    """
    reference = reference_of(runtime)
    if reference is not None:
        library = LIBRARIES[runtime.kernels.library].label
        yield f"reference kernels instead of {library}", reference, "slower"
    for each in other_flags(runtime):
        yield f"{each.change} ({each.how})", each.applied(runtime), each.note


class OtherFlag(Struct, frozen=True):
    """A flag that a firmware could be compiled with in place of its own.

    ``how`` is what the compiler is told, ``key`` how a declaration says so, ``note`` what it costs.
    """

    change: str
    how: str
    key: str
    applied: Callable[[Runtime], Runtime]
    note: str = ""


_OTHER_FLAGS = (
    OtherFlag(
        "no log strings",
        "TF_LITE_STRIP_ERROR_STRINGS",
        "log_strings = false",
        lambda runtime: replace(runtime, tflm=replace(runtime.tflm, log_strings=False)),
    ),
    OtherFlag(
        "optimized for size",
        "-Os",
        'optimize = "s"',
        lambda runtime: replace(runtime, optimize="s") if runtime.optimize == "3" else runtime,
        "slower",
    ),
)


def other_flags(runtime: Runtime) -> Iterator[OtherFlag]:
    """What ``runtime`` could be compiled with, where a table of that is as near as its own."""
    if runtime.graph:
        return
    now = choose_table(runtime).differences
    for flag in _OTHER_FLAGS:
        other = flag.applied(runtime)
        if other != runtime and choose_table(other).differences == now:
            yield flag


def _saved_parts(linked: Sequence[Part], left: Sequence[Part]) -> tuple[tuple[str, int], ...]:
    """What goes with an operator: its code and what only it needs, bytes by name, largest first.

    Code that it shares with other operators becomes theirs without it, so that all operators'
    code is taken together.
    """
    saved: Counter[str] = Counter()
    for sign, parts in ((1, linked), (-1, left)):
        for part in parts:
            is_code = part.name == _SHARED or part.name.startswith("operator ")
            saved[_CODE if is_code else part.name] += sign * part.bytes
    ordered = sorted(saved.items(), key=lambda item: (-item[1], item[0]))
    return tuple((name, size) for name, size in ordered if size)


def flash_of(
    runtime: Runtime, operators: Mapping[str, bool], typed: Mapping[str, str] | None = None
) -> int:
    """Bytes of flash of a firmware that registers ``operators`` (name → whether custom).

    ``typed`` names the type of those registered for one type only. Operators that the table
    does not have count for the resolver's call alone.
    """
    return _image(load_graph(_table(runtime)), operators, typed or {}).flash


def sizes_of(
    graph: SectionGraph, operators: Mapping[str, bool], typed: Mapping[str, str] | None = None
) -> dict[str, int]:
    """Bytes by output section (``KINDS``) of the firmware that ``flash_of`` counts."""
    return dict(_image(graph, operators, typed or {}).sizes)


def unmeasured_main_of(graph: SectionGraph, operators: Mapping[str, bool]) -> int:
    """Bytes that ``main`` may take besides what ``sizes_of`` counts; 0 where it was measured."""
    return _image(graph, operators, {}).main_margin


def typed_for(model: Model, firmware: Firmware | Runtime) -> dict[str, str]:
    """Operators of ``model`` that can be registered for one type there: ``{"CONV_2D": "INT8"}``.

    Only those whose type-specific registration is a function of its own in the runtime; with
    reference kernels the names are aliases and would change nothing. None that its version of TFLM
    does not take, as the table may be another version's, and none that the code cannot use.
    """
    firmware = as_firmware(firmware)
    interface = interface_of(firmware.runtime)
    linked = _in_table(typed_registrations(model), _table(firmware.runtime))
    return {
        name: kind
        for name, kind in linked.items()
        if interface.takes(name, kind) and (name, kind) not in firmware.not_typed
    }


def _in_table(typed: Mapping[str, str], table: str) -> dict[str, str]:
    """Those of ``typed`` (type by operator) whose registration is a function of its own there."""
    operators = load_graph(table).operators
    return {
        name: kind
        for name, kind in typed.items()
        if name in operators and kind in operators[name].typed
    }


def model_parts(model: Model) -> tuple[Part, ...]:
    """The model's own bytes in parts: weights, metadata, strings, and the graph's structure."""
    buffers = {
        tensor.buffer: len(tensor.data)
        for subgraph in model.subgraphs
        for tensor in subgraph.tensors
    }
    left = model.bytes
    parts = []
    for name, size in (
        ("model: weights", sum(buffers.values())),
        ("model: metadata", sum(len(content) for content in model.metadata.values())),
        ("model: strings", model.strings_bytes),
    ):
        counted = min(size, left)  # buffers of a crafted file may overlap
        left -= counted
        if counted:
            parts.append(Part(name, counted, "exact"))
    return (*parts, Part("model: graph structure", left, "exact"))


def _operators(model: Model) -> dict[str, bool]:
    """The distinct operators of all subgraphs in order of use, and whether each is custom."""
    return {
        operator.name: operator.is_custom
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    }


def _image(graph: SectionGraph, operators: Mapping[str, bool], typed: Mapping[str, str]) -> _Image:
    """The firmware that registers ``operators``, linked once for all models that use these."""
    used = {name: kind for name, kind in typed.items() if name in operators}
    key = (tuple(operators.items()), tuple(used.items()))
    image: _Image | None = graph.walked.get(key)
    if image is None:
        known = [name for name in operators if name in graph.operators]
        image = graph.walked[key] = _LinkedFirmware(graph, known, operators, used).image()
    return image


@lru_cache(maxsize=8)
def _largest_operator(table: str) -> tuple[str, int]:
    """The operator that adds most to a firmware without any, and those bytes.

    It stands for operators that no table knows: a bound by experience, not by proof.
    """
    graph = load_graph(table)
    empty = _image(graph, {}, {}).flash
    sizes = {
        name: _image(graph, {name: entry.custom}, {}).flash - empty
        for name, entry in graph.operators.items()
    }
    return max(sizes.items(), key=lambda item: item[1], default=("none", 0))


def _table(runtime: Runtime) -> str:
    """The section graph that stands for ``runtime``: the user's own, else the nearest shipped."""
    return runtime.graph or choose_table(runtime).name


def reference_of(runtime: Runtime) -> Runtime | None:
    """The runtime of the same core with reference kernels.

    ``None`` where there is no table of it, or none of the runtime's own kernels to compare it with.
    """
    if runtime.graph or runtime.kernels.library not in _compared_libraries():
        return None
    if choose_table(runtime).name != runtime.table:
        return None  # its build is another than that of the tables with reference kernels
    cores = [core.name for core in runtime.cores]
    return next(
        (
            other
            for other in RUNTIMES.values()
            if [core.name for core in other.cores] == cores
            and other.kernels.library == _REFERENCE
            and other.table
        ),
        None,
    )


def _compared_libraries() -> set[LibraryName]:
    """The libraries that a shipped table was linked with, in place of TFLM's own kernels."""
    measured = (each for each in RUNTIMES.values() if each.table == each.id)
    return {each.kernels.library for each in measured} - {_REFERENCE}


class _Image(Struct, frozen=True):
    """A linked firmware, bytes beyond an empty program.

    ``sizes`` are by output section (``KINDS``), ``parts`` say whose bytes of flash they are,
    ``static_bytes`` is the RAM of static objects that are not the firmware's own, ``main_margin``
    how much larger its ``main`` may be, for numbers of operators that were not measured.
    """

    sizes: Mapping[str, int]
    parts: tuple[Part, ...]
    static_bytes: int
    main_margin: int = 0

    @property
    def flash(self) -> int:
        """Bytes of flash."""
        return sum(size for kind, size in self.sizes.items() if kind != "bss")


class _LinkedFirmware:
    """One firmware image: the sections that a set of registrations links, placed."""

    def __init__(
        self,
        graph: SectionGraph,
        known: Iterable[str],
        registered: Mapping[str, bool],
        typed: Mapping[str, str],
    ) -> None:
        self.graph = graph
        self.registered = registered
        self.operator_roots = {
            name: graph.operators[name].typed[typed[name]]
            if name in typed
            else graph.operators[name].nodes
            for name in known
        }
        self.core_roots = [*graph.baseline, *graph.core]
        if not all(registered.values()):
            self.core_roots += graph.core_builtin
        if any(registered.values()):
            self.core_roots += graph.core_custom
        self.uses_variables = not _VARIABLE_OPERATORS.isdisjoint(registered)
        if self.uses_variables:
            self.core_roots += graph.core_variables
        self.main_text = round(self._main_text())
        roots = [self.core_roots, *self.operator_roots.values()]
        self.placed = _place(graph, _collect(graph, roots), self.main_text)
        self.base = _base(graph)

    def image(self) -> _Image:
        parts = tuple(_flash_parts(self))
        return _Image(self._sizes(), parts, self._static_bytes(), self._main_margin())

    def _sizes(self) -> dict[str, int]:
        """Bytes by output section beyond an empty program."""
        sizes = [0] * len(KINDS)
        for node, size in self.placed.items():
            sizes[self.graph.kinds[node]] += size
        for node, size in self.base.items():
            sizes[self.graph.kinds[node]] -= size
        main = self.graph.main
        sizes[_TEXT] += self.main_text - round(main.empty_main)
        sizes[_RODATA] += round(main.rodata)
        return dict(zip(KINDS, sizes, strict=True))

    @property
    def main_bytes(self) -> int:
        """Bytes of ``main`` and of the resolver's calls beyond an empty ``main``."""
        return self.main_text - round(self.graph.main.empty_main) + round(self.graph.main.rodata)

    def _static_bytes(self) -> int:
        graph = self.graph
        return sum(
            size - self.base.get(node, 0)
            for node, size in self.placed.items()
            if graph.kinds[node] in (_DATA, _BSS) and node not in graph.firmware
        )

    def _main_margin(self) -> int:
        main, count = self.graph.main, len(self.registered)
        if not main.most:
            return 0
        counted = (
            _by_count(main.by_count, count)
            if main.by_count
            else main.base + main.per_builtin * count
        )
        return max(0, math.ceil(_by_count(main.most, count) - counted))

    def _main_text(self) -> float:
        main = self.graph.main
        customs = sum(self.registered.values())
        builtins = len(self.registered) - customs
        if main.by_count:
            size = _by_count(main.by_count, len(self.registered)) + main.per_custom * customs
        else:
            size = main.base + main.per_builtin * builtins + main.per_custom * customs
        if self.uses_variables:
            size += main.variables
        if len(self.registered) == 1:
            size += main.one_custom if customs else main.one_builtin
        return size


def _by_count(measured: Sequence[tuple[int, float]], count: int) -> float:
    """Bytes for ``count`` operators: as measured, or on the line between the nearest counts."""
    if count <= measured[0][0]:
        return measured[0][1]
    below = [each for each in measured if each[0] <= count][-2:]
    above = next((each for each in measured if each[0] >= count), None)
    (low, small), (high, large) = (below[-1], above) if above else (below[0], below[-1])
    return small if low == high else small + (large - small) * (count - low) / (high - low)


def _reach(graph: SectionGraph, roots: Sequence[int]) -> frozenset[int]:
    """The nodes that ``roots`` reach; kept, as it is the same in every firmware."""
    key = ("reach", tuple(roots))
    reached: frozenset[int] | None = graph.walked.get(key)
    if reached is None:
        reached = graph.walked[key] = frozenset(_walk(graph.targets, roots))
    return reached


def _walk(targets: Sequence[Sequence[int]], roots: Iterable[int]) -> set[int]:
    reached: set[int] = set()
    edge = set(roots)
    while edge:
        reached |= edge
        edge = set(chain.from_iterable(map(targets.__getitem__, edge))) - reached
    return reached


def _base(graph: SectionGraph) -> dict[int, int]:
    """An empty program's nodes, placed."""
    base: dict[int, int] | None = graph.walked.get("base")
    if base is None:
        base = _place(graph, set(graph.baseline), round(graph.main.empty_main))
        graph.walked["base"] = base
    return base


def _collect(graph: SectionGraph, roots: Sequence[Sequence[int]]) -> set[int]:
    """The nodes that survive garbage collection from all of ``roots``.

    A linker takes whole archive members before it drops sections, so a member that only dead
    code refers to can still replace a weak definition (the ``supersede`` pairs), and brings in
    its constructors (``kept``).
    """
    reached = set().union(*(_reach(graph, each) for each in roots))
    if not graph.kept and not any(small in reached for small, _ in graph.supersede):
        return reached
    members = {graph.objects[node] for each in roots for node in each} - {-1}
    extracted = _walk(graph.object_targets, members)
    kept = [node for node in graph.kept if graph.objects[node] in extracted]
    reached |= _reach(graph, kept)
    for small, big in graph.supersede:
        if small in reached and (big in reached or graph.objects[big] in extracted):
            reached.discard(small)
            reached |= _reach(graph, (big,))
    return reached


def _place(graph: SectionGraph, nodes: set[int], main_text: int) -> dict[int, int]:
    """Bytes that each node adds to its output section: its size and the padding before it.

    ``main_text`` bytes of ``main`` come first.
    """
    ends = [0] * len(KINDS)
    ends[_TEXT] = main_text
    added = {}
    sizes, kinds, alignments = graph.sizes, graph.kinds, graph.alignments
    for node in sorted(nodes):
        kind = kinds[node]
        end = align_up(ends[kind], alignments[node]) + sizes[node]
        added[node] = end - ends[kind]
        ends[kind] = end
    return added


def _flash_parts(firmware: _LinkedFirmware) -> list[Part]:
    """Every linked byte once: by library, else by the operators that reach it."""
    graph = firmware.graph
    core = _reach(graph, firmware.core_roots)
    owners: dict[int, str] = {}
    for name, roots in firmware.operator_roots.items():
        for node in _reach(graph, roots):
            owners[node] = _SHARED if node in owners else f"operator {name}"
    shares = dict.fromkeys((_CORE, _MAIN), 0)
    shares.update({f"operator {name}": 0 for name in firmware.operator_roots})
    shares[_SHARED] = 0
    shares[_MAIN] = firmware.main_bytes
    for node in sorted(firmware.placed.keys() | firmware.base.keys()):
        if graph.kinds[node] == _BSS:
            continue
        member = graph.objects[node]
        library = _LIBRARIES.get(graph.object_origins[member]) if member >= 0 else None
        if library is not None:
            owner = library
        elif node in graph.firmware:
            owner = _MAIN
        else:
            owner = _CORE if node in core else owners.get(node, _SHARED)
        size = firmware.placed.get(node, 0) - firmware.base.get(node, 0)
        shares[owner] = shares.get(owner, 0) + size
    return [Part(name, size, "table") for name, size in shares.items() if size]


def _with_margin(parts: Sequence[Part], runtime: Runtime, graph: SectionGraph) -> list[Part]:
    """``parts`` with the runtime's margin spread over them in proportion; its sum is rounded up."""
    percent = runtime.flash_margin_percent or graph.margin_percent
    estimated = runtime.flash_margin_percent > 0 or not (
        runtime.graph or choose_table(runtime).is_of_its_build
    )
    method: Method = "estimated" if estimated else "table"
    result = []
    seen = given = 0
    for part in parts:
        seen += part.bytes
        margin = math.ceil(seen * percent / 100) - given
        given += margin
        result.append(replace(part, method=method, margin_bytes=margin))
    return result


def _beyond(parts: Sequence[Part], runtime: Runtime) -> list[Part]:
    """What may come on top of ``parts``: a part for each difference from the table's build.

    ``parts`` are those of the table, with its margin.
    """
    if runtime.graph:
        return []
    flash = sum(part.bytes + part.margin_bytes for part in parts)
    return [
        Part(f"margin: {each.what}", 0, "estimated", margin_bytes=each.bytes, note=each.note)
        for each in choose_table(runtime).margins(flash)
    ]


def _ram_parts(model: Model, runtime: Runtime, image: _Image) -> tuple[Part, ...]:
    """Static objects besides the arena, sizes as read off 32-bit builds of TFLM.

    Other pointer widths are scaled and labeled as estimates. A TFLM whose version is not known
    has the range of all that it may be.
    """
    words = runtime.abi.pointer_bytes // 4
    operators = _operators(model)
    possible = [
        _on_32_bits(runtime, replace(runtime.tflm, version=each))
        for each in possible_versions(runtime.tflm)
    ]
    exact = words == 1 and runtime.tflm.is_known

    def part(name: str, sizes: Sequence[int]) -> Part:
        least, most = min(sizes) * words, max(sizes) * words
        method: Method = "exact" if exact else "estimated"
        return Part(name, least, method, margin_bytes=most - least)

    parts = [
        part("interpreter", [size_of("MicroInterpreter") for size_of in possible]),
        part("operator resolver", [_resolver_bytes(len(operators), each) for each in possible]),
    ]
    if not (runtime.tflm.variables_in_arena or _VARIABLE_OPERATORS.isdisjoint(operators)):
        sizes = [_variables_bytes(model, size_of) for size_of in possible]
        parts.append(part(RESOURCE_VARIABLES, sizes))
    if image.static_bytes:
        parts.append(Part("static data of the runtime", image.static_bytes, "table"))
    return tuple(parts)


def _on_32_bits(runtime: Runtime, tflm: Tflm) -> Callable[[str], int]:
    """Sizes of the structs (by name) of ``tflm`` with pointers of 32 bits."""
    abi = replace(runtime.abi, pointer_bytes=4)
    return lambda struct: abi.size_of(tflm.struct(struct))


def _resolver_bytes(operators: int, size_of: Callable[[str], int]) -> int:
    own = size_of("MicroMutableOpResolver")
    codes = align_up(size_of("MicroMutableOpResolver, codes") * operators, 4)
    return own + size_of("MicroMutableOpResolver, an operator") * operators + codes


def _variables_bytes(model: Model, size_of: Callable[[str], int]) -> int:
    """The arena of ``MicroResourceVariables``: an allocator's structs, the object, and slots."""
    slots = {
        (operator.options.get("container"), operator.options.get("shared_name"))
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if operator.name == "VAR_HANDLE"
    }
    own = sum(size_of(each) for each in (*_ALLOCATOR, "MicroResourceVariables"))
    slot = size_of("MicroResourceVariable")
    return align_up(align_up(own, 16) + slot * len(slots), 16)


#: What one allocator consists of.
_ALLOCATOR = ("SingleArenaBufferAllocator", "GreedyMemoryPlanner", "MicroAllocator")
