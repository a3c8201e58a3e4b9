"""A section graph out of a user's own archives and objects: ``tinybudget runtime build``.

Does what a linker does up to garbage collection, once for all operators, and keeps the result:
members taken from archives, COMDAT copies dropped, constants merged, references as edges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.footprint.registrations import registrations
from pytest_tinybudget.footprint.section_graph import MainModel
from pytest_tinybudget.footprint.section_graph import OperatorRoots
from pytest_tinybudget.footprint.section_graph import SectionGraph
from pytest_tinybudget.footprint.section_graph import load_graph
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.toolchain.archive import Archive
from pytest_tinybudget.toolchain.archive import ObjectFile
from pytest_tinybudget.toolchain.archive import is_archive
from pytest_tinybudget.toolchain.archive import read_archive
from pytest_tinybudget.toolchain.archive import read_object_file
from pytest_tinybudget.toolchain.elf import COMMON
from pytest_tinybudget.toolchain.elf import LOCAL
from pytest_tinybudget.toolchain.elf import UNDEFINED
from pytest_tinybudget.toolchain.elf import WEAK
from pytest_tinybudget.toolchain.missing import is_hook
from pytest_tinybudget.toolchain.output_sections import BSS
from pytest_tinybudget.toolchain.output_sections import RODATA
from pytest_tinybudget.toolchain.output_sections import TEXT
from pytest_tinybudget.toolchain.output_sections import constants_of
from pytest_tinybudget.toolchain.output_sections import kind_of
from pytest_tinybudget.toolchain.output_sections import merge_classes
from pytest_tinybudget.toolchain.output_sections import merge_key
from pytest_tinybudget.toolchain.output_sections import suffixes
from pytest_tinybudget.toolchain.own_main import OwnMain
from pytest_tinybudget.toolchain.own_main import choose
from pytest_tinybudget.toolchain.resolution import Program
from pytest_tinybudget.toolchain.resolution import resolve
from pytest_tinybudget.toolchain.symbol_list import SymbolList
from pytest_tinybudget.toolchain.target import FAMILIES
from pytest_tinybudget.toolchain.target import core_of
from pytest_tinybudget.toolchain.target import enum_bytes_of
from pytest_tinybudget.toolchain.target import kernels_of
from pytest_tinybudget.toolchain.tflm_symbols import BASELINE
from pytest_tinybudget.toolchain.tflm_symbols import OperatorSymbols
from pytest_tinybudget.toolchain.tflm_symbols import Roots
from pytest_tinybudget.toolchain.tflm_symbols import has_log_strings
from pytest_tinybudget.toolchain.tflm_symbols import operator_symbols


#: Sections that linker scripts keep although nothing refers to them.
_KEPT = re.compile(r"\.(preinit_array|init_array|fini_array|ctors|dtors|init|fini)(\.|\Z)")

#: Symbols that linker scripts, start files and the application's system calls define.
_FROM_FIRMWARE = re.compile(
    r"(__\w+_(start|end|START|END|base|size)(__)?|_?_?end_?_?|_[se](text|data|bss)|_init|_fini"
    r"|__dso_handle|_GLOBAL_OFFSET_TABLE_|__global_pointer\$|_gp|__bss_\w+|__stack\w*|_stack\w*"
    r"|__heap\w*|_?_?(exit|sbrk|write|read|close|open|lseek|fstat|isatty|kill|getpid|gettimeofday"
    r"|times|unlink|link|stat|fork|wait|execve|environ))\Z"
)


_NOTHING = SymbolList()


class BuildKind(Struct, frozen=True):
    """How a firmware is built, as far as its own ``main`` depends on it.

    ``optimize`` is the compiler's level, ``""`` where it is not known; ``log_strings`` says whether
    TFLM's messages are in it, ``application`` whether it was said what the application has.
    """

    optimize: str = ""
    log_strings: bool = False
    application: bool = False


class BuiltRuntime(Struct, frozen=True):
    """A section graph with what the declaration needs to know of it.

    ``core`` is the one that the code was built for, ``""`` where the inputs do not tell.
    ``undefined`` are symbols that nothing given defines although linked code refers to them;
    ``hooks`` are those of them that TFLM leaves to the application to write (``DebugLog``), which
    are counted as the application's. ``without`` are TFLM's operators that the archives do not
    have. ``kind`` is what decides the firmware's own ``main``, ``note`` what is to be said of it.
    """

    graph: SectionGraph
    kernels: Kernels
    core: str
    enum_bytes: int
    pointer_bytes: int
    undefined: tuple[str, ...]
    without: tuple[str, ...]
    hooks: tuple[str, ...] = ()
    kind: BuildKind = BuildKind()
    note: str = ""


def build_runtime(
    name: str,
    inputs: Sequence[Path],
    *,
    operators: Mapping[str, str] | None = None,
    core: Sequence[str] = (),
    baseline: Sequence[str] = BASELINE,
    section_sizes: Mapping[tuple[str, str], int] | None = None,
    rom: SymbolList = _NOTHING,
    application: SymbolList = _NOTHING,
    optimize: str = "",
) -> BuiltRuntime:
    """The section graph of the archives and objects in ``inputs``, in the order of the link.

    ``operators`` adds registrations by symbol (operator name → symbol); TFLM's own are found by
    their names. ``core`` are the symbols that any firmware refers to, by default TFLM's
    interpreter; ``baseline`` what any program has already. ``section_sizes`` replaces sizes by
    (member, section), read off a real link's map where the linker relaxes code. What lies in
    ``rom`` costs nothing, and pulls nothing from archives; what the ``application`` has anyway is
    counted as in any program, with all that it refers to. ``optimize`` is the compiler's level for
    the application, by default that of TFLM's interpreter as debug information has it.

    Raises:
        TinybudgetError: an input is damaged, of another machine, or a named symbol is missing; the
            application has TFLM in it.
    """
    _refuse_tflm(application)
    objects, archives = _read(inputs)
    available = _available(objects, archives)
    for name in rom.defined:
        available.pop(name, None)
    theirs = application.defined | application.provided
    elsewhere = rom.defined | {name for name in rom.provided | theirs if name not in available}
    baseline = (*baseline, *sorted(name for name in theirs if name in available))
    found = operator_symbols(available, operators or {})
    roots = Roots(available, core, baseline)
    wanted = [*roots.core, *roots.variables, *roots.baseline, *_flatten(found)]
    program = resolve(objects, archives, wanted, frozenset(elsewhere))
    _require_one_machine(program)
    builder = _GraphBuilder(program, section_sizes or {})
    interpreter = _interpreter(program)
    kind = BuildKind(
        optimize or next((item.optimize for item in interpreter if item.optimize), ""),
        log_strings=any(map(has_log_strings, interpreter)),
        application=bool(theirs),
    )
    graph = builder.graph(name, found, roots, kind, always_linked=len(objects))
    attributes = _attributes(program)
    kernels = kernels_of(program.definitions, attributes)
    return BuiltRuntime(
        graph=graph,
        kernels=kernels,
        core=core_of(attributes, kernels),
        enum_bytes=enum_bytes_of(item.attributes for item in program.objects),
        pointer_bytes=program.objects[0].layout.bits // 8,
        undefined=tuple(name for name in builder.undefined if not is_hook(name)),
        hooks=tuple(name for name in builder.undefined if is_hook(name)),
        kind=kind,
        note=builder.note,
        without=tuple(
            operator for operator, _ in registrations() if roots.is_tflm and operator not in found
        ),
    )


def _refuse_tflm(application: SymbolList) -> None:
    """An application with TFLM in it has what TFLM needs: all would seem to cost nothing."""
    for name in sorted(application.defined):
        if name.startswith(("_ZN6tflite", "_ZNK6tflite")):
            raise TinybudgetError(
                f"--application has TFLM in it ({printable(name)}): give the application without "
                "it, or what is in it and not TFLM's as a list of symbols"
            )


def _read(inputs: Sequence[Path]) -> tuple[list[ObjectFile], list[Archive]]:
    objects, archives = [], []
    for path in inputs:
        if is_archive(path):
            archives.append(read_archive(path))
        else:
            objects.append(read_object_file(path))
    return objects, archives


def _available(objects: Iterable[ObjectFile], archives: Iterable[Archive]) -> dict[str, None]:
    """Global symbols that the inputs define."""
    names = {
        symbol.name: None
        for item in objects
        for symbol in item.symbols
        if symbol.binding != LOCAL and symbol.section != UNDEFINED
    }
    for archive in archives:
        names.update(dict.fromkeys(name for name, _ in archive.index))
    return names


def _flatten(found: Mapping[str, OperatorSymbols]) -> Iterable[str]:
    for entry in found.values():
        yield from entry.symbols
        for symbols in entry.typed.values():
            yield from symbols


def _require_one_machine(program: Program) -> None:
    first = program.objects[0]
    for item in program.objects:
        if (item.machine, item.layout) != (first.machine, first.layout):
            raise TinybudgetError(
                f"{printable(item.label)} is for {item.machine}, {printable(first.label)} for "
                f"{first.machine}: a runtime has one machine"
            )


def _interpreter(program: Program) -> list[ObjectFile]:
    """The objects that TFLM's interpreter is in: how they were compiled, its core was."""
    owners = {
        definition.owner
        for name, definition in program.definitions.items()
        if name.startswith("_ZN6tflite16MicroInterpreter")
    }
    return [program.objects[owner] for owner in sorted(owners)]


def _attributes(program: Program) -> dict[int, int]:
    """Arm's build attributes: the most that any object asks for, as the linker takes them."""
    attributes: dict[int, int] = {}
    for item in program.objects:
        for tag, value in item.attributes.items():
            attributes[tag] = max(value, attributes.get(tag, 0))
    return attributes


class _Firmware(Struct, frozen=True):
    """Nodes of the firmware's own object by when they are linked, and the model of its main."""

    core: tuple[int, ...] = ()
    builtin: tuple[int, ...] = ()
    custom: tuple[int, ...] = ()
    main: MainModel = field(default_factory=MainModel)
    margin_percent: float = 0.0


#: What TFLM's own make builds, and the families of which that is measured.
_MAKE, _MADE = "make", ("Arm", "RISC-V")


def _of_make(graph: SectionGraph, family: str) -> OwnMain:
    """The firmware's own object in a shipped table of TFLM's own make."""

    def size(nodes: Iterable[int], kind: int) -> int:
        return sum(graph.sizes[node] for node in nodes if graph.kinds[node] == kind)

    builtin = graph.firmware & set(graph.core_builtin)
    custom = graph.firmware & set(graph.core_custom)
    always = graph.firmware - builtin - custom
    text = (size(always, TEXT), size(builtin, TEXT), size(custom, TEXT))
    constants = size(graph.firmware, RODATA)
    margin, main = graph.margin_percent, graph.main
    return OwnMain(_MAKE, family, "", False, False, margin, text, constants, main)


class _GraphBuilder:
    """Nodes and edges of a program. A node is a section, a merged constant or a common symbol."""

    def __init__(self, program: Program, section_sizes: Mapping[tuple[str, str], int]) -> None:
        self.program = program
        self.section_sizes = section_sizes
        self.sizes: list[int] = []
        self.kinds: list[int] = []
        self.alignments: list[int] = []
        self.members: list[int] = []
        self.targets: list[dict[int, None]] = []
        self.nodes: dict[tuple[int, int], int] = {}
        self.commons: dict[str, int] = {}
        self.kept: list[int] = []
        self.supersede: list[tuple[int, int]] = []
        self._missing: list[tuple[int, str]] = []
        self.undefined: tuple[str, ...] = ()
        self.note = ""
        self._add_sections()
        self._add_commons()
        self._add_edges()
        self._add_replacements()

    def graph(
        self,
        name: str,
        found: Mapping[str, OperatorSymbols],
        roots: Roots,
        kind: BuildKind,
        *,
        always_linked: int,
    ) -> SectionGraph:
        """The finished graph, cut down to what some firmware could reach.

        The first ``always_linked`` objects are in every link, reached or not: an empty node of
        each is a root, so that what they keep and replace counts.
        """
        operators = {}
        for operator, entry in found.items():
            nodes = self._nodes_of(entry.symbols)
            typed = {kind: self._nodes_of(symbols) for kind, symbols in entry.typed.items()}
            if entry.custom and roots.is_tflm:
                text = (self._add(RODATA, len(operator.encode()) + 1, 4, -1),)
                nodes += text
            operators[operator] = OperatorRoots(nodes, entry.custom, typed)
        present = tuple(self._add(TEXT, 0, 1, owner) for owner in range(always_linked))
        objects = self.program.objects
        firmware = self._add_firmware(objects[0].machine, kind) if roots.is_tflm else _Firmware()
        graph = SectionGraph(
            name=name,
            description={"machine": objects[0].machine, "bits": objects[0].layout.bits},
            sizes=self.sizes,
            kinds=self.kinds,
            alignments=self.alignments,
            targets=tuple(tuple(row) for row in self.targets),
            objects=self.members,
            object_names=[item.label for item in objects],
            object_origins=[_origin(item) for item in objects],
            object_targets=self._member_edges(),
            operators=operators,
            core=self._nodes_of(roots.core) + firmware.core + present,
            core_builtin=firmware.builtin,
            core_custom=firmware.custom,
            core_variables=self._nodes_of(roots.variables),
            baseline=self._baseline(roots.baseline),
            firmware=frozenset(firmware.core + firmware.builtin + firmware.custom),
            main=firmware.main,
            supersede=tuple(self.supersede),
            margin_percent=max(
                firmware.margin_percent, _margin(objects[0].machine, bool(self.section_sizes))
            ),
            kept=tuple(self.kept),
        )
        graph, reached = _pruned(graph)
        self.undefined = tuple(
            dict.fromkeys(
                symbol
                for node, symbol in self._missing
                if node in reached and not _FROM_FIRMWARE.match(symbol)
            )
        )
        return graph

    def _add_firmware(self, machine: str, kind: BuildKind) -> _Firmware:
        """The firmware's own object, which no archive has: as in measured builds of its kind."""
        like = load_graph("m4_ref" if machine == "EM_ARM" else "rv32imc_ref")
        family = FAMILIES.get(machine, "")
        chosen = choose(
            family,
            optimize=kind.optimize,
            log_strings=kind.log_strings,
            application=kind.application,
            make=_of_make(like, family) if family in _MADE else None,
        )
        self.note = chosen.note
        row = chosen.row
        if row.name != _MAKE:
            (core, builtin, custom), alignment = row.text, 4
            added = (self._add(TEXT, core, alignment, -1), self._add(RODATA, row.rodata, 4, -1))
            return _Firmware(
                added,
                (self._add(TEXT, builtin, alignment, -1),),
                (self._add(TEXT, custom, alignment, -1),),
                row.main,
                row.margin_percent,
            )
        static = {node for node in like.firmware if like.kinds[node] in (TEXT, RODATA)}

        def copied(nodes: Iterable[int]) -> tuple[int, ...]:
            return tuple(
                self._add(like.kinds[node], like.sizes[node], like.alignments[node], -1)
                for node in sorted(nodes)
            )

        builtins = static & set(like.core_builtin)
        customs = static & set(like.core_custom)
        return _Firmware(
            copied(static - builtins - customs), copied(builtins), copied(customs), row.main
        )

    def _baseline(self, symbols: Iterable[str]) -> tuple[int, ...]:
        """What any program has: of two sections that stand for one another, that which stays."""
        roots, stays = self._nodes_of(symbols), dict[int, int]()
        while True:
            found = self._closure(roots, stays)
            more = {small: big for small, big in self.supersede if {small, big} <= found}
            if not more:
                return tuple(sorted(found))
            stays.update(more)

    def _closure(self, nodes: Iterable[int], stays: Mapping[int, int]) -> set[int]:
        """What ``nodes`` reach, where ``stays`` has what takes the place of others."""
        reached: set[int] = set()
        pending = list(nodes)
        while pending:
            node = pending.pop()
            node = stays.get(node, node)
            if node not in reached:
                reached.add(node)
                pending += self.targets[node]
        return reached

    def _add(self, kind: int, size: int, alignment: int, member: int) -> int:
        self.sizes.append(size)
        self.kinds.append(kind)
        self.alignments.append(alignment)
        self.members.append(member)
        self.targets.append({})
        return len(self.sizes) - 1

    def _nodes_of(self, symbols: Iterable[str]) -> tuple[int, ...]:
        nodes: dict[int, None] = {}
        for symbol in symbols:
            definition = self.program.definitions.get(symbol)
            if definition is None:
                raise TinybudgetError(
                    f"an archive's symbol table lists {printable(symbol)}, which no member "
                    "defines: run ranlib on it"
                )
            place = self.program.section_of(definition.owner, definition.symbol)
            if place in self.nodes:
                nodes[self.nodes[place]] = None
        return tuple(nodes)

    def _add_sections(self) -> None:
        classes = merge_classes(self.program)
        for owner, index, section in self.program.sections():
            kind = kind_of(section)
            if section.entry_bytes:
                constants = classes[merge_key(section)]
                merged = self._add(kind, 0, 1, owner)
                for _, content in constants_of(section):
                    constant = constants[content]
                    if constant.node < 0:
                        constant.node = self._add(kind, len(content), constant.alignment, -1)
                    self.targets[merged][constant.node] = None
                self.nodes[owner, index] = merged
                continue
            label = self.program.objects[owner].label
            size = self.section_sizes.get((label, section.name), section.size)
            node = self._add(kind, size, section.alignment, owner)
            self.nodes[owner, index] = node
            if section.retained or _KEPT.match(section.name):
                self.kept.append(node)
        for (_, _, strings, _), constants in classes.items():
            if strings:
                self.supersede += [(short.node, long.node) for short, long in suffixes(constants)]

    def _add_commons(self) -> None:
        for name, definition in self.program.definitions.items():
            symbol = definition.symbol
            if symbol.section == COMMON:
                alignment = (
                    symbol.value if symbol.value and not symbol.value & symbol.value - 1 else 8
                )
                self.commons[name] = self._add(BSS, symbol.size, alignment, definition.owner)

    def _add_edges(self) -> None:
        by_name: dict[str, list[int]] = {}
        for owner, index, section in self.program.sections():
            by_name.setdefault(section.name, []).append(self.nodes[owner, index])
        for owner, index, section in self.program.sections():
            node = self.nodes[owner, index]
            if section.ordered_after:
                self._order_after(owner, section.ordered_after, node)
            if section.name == ".eh_frame":
                self._attach_unwind_tables(owner, index, node)
                continue
            item = self.program.objects[owner]
            for reference in item.references.get(index, ()):
                symbol = item.symbols[reference.symbol]
                target = self._target(owner, reference.symbol)
                if target is not None:
                    self.targets[node][target] = None
                elif symbol.section == UNDEFINED and symbol.binding != WEAK:
                    bounds = re.match(r"__(?:start|stop)_(\w+)\Z", symbol.name)
                    if bounds and bounds[1] in by_name:
                        self.targets[node].update(dict.fromkeys(by_name[bounds[1]]))
                    elif (
                        symbol.name not in self.program.definitions
                        and symbol.name not in self.program.elsewhere
                    ):
                        self._missing.append((node, symbol.name))

    def _target(self, owner: int, number: int) -> int | None:
        symbol = self.program.objects[owner].symbols[number]
        if symbol.binding != LOCAL and symbol.name in self.commons:
            return self.commons[symbol.name]
        place = self.program.section_of(owner, symbol)
        return None if place is None else self.nodes.get(place)

    def _order_after(self, owner: int, section: int, node: int) -> None:
        place = self.program.standing_for(owner, section)
        if place is not None and place in self.nodes:
            self.targets[self.nodes[place]][node] = None

    def _attach_unwind_tables(self, owner: int, index: int, node: int) -> None:
        """Code that is kept keeps its unwind entries; here all of its object's, an upper bound."""
        item = self.program.objects[owner]
        for reference in item.references.get(index, ()):
            target = self._target(owner, reference.symbol)
            if target is not None and self.kinds[target] == TEXT and self.members[target] == owner:
                self.targets[target][node] = None

    def _add_replacements(self) -> None:
        for name, better in self.program.replacements.items():
            weak = self.program.definitions[name]
            small = self.program.section_of(weak.owner, weak.symbol)
            big = self.program.standing_for(better.owner, better.symbol.section)
            if small in self.nodes and big in self.nodes:
                pair = (self.nodes[small], self.nodes[big])
                if pair not in self.supersede:
                    self.supersede.append(pair)

    def _member_edges(self) -> tuple[tuple[int, ...], ...]:
        definitions = self.program.definitions
        return tuple(
            tuple(
                dict.fromkeys(
                    definitions[name].owner
                    for name in self.program.wanted_by(owner)
                    if name in definitions and definitions[name].owner != owner
                )
            )
            for owner in range(len(self.program.objects))
        )


def _origin(item: ObjectFile) -> str:
    """Whose code an object is, by its archive's usual name."""
    library = item.archive.removesuffix(".a")
    if library.startswith("libm") and not library.startswith("libmicro"):
        return "libm"
    if library == "libc" and item.member.startswith("libm_"):
        return "libm"
    for name in ("libgcc", "libstdc++", "libc"):
        if library == name or library.startswith((f"{name}_", f"{name}-")):
            return name
    whose = (each for each in LIBRARIES.values() if each.members)
    return next((each.name for each in whose if item.member.startswith(each.members)), "runtime")


def _margin(machine: str, relaxed: bool) -> float:
    """How far a link may exceed the prediction, percent: what the shipped tables showed.

    Without sizes from a map, relaxation can only make RISC-V and Xtensa code smaller.
    """
    return 0.3 if machine == "EM_ARM" or not relaxed else 0.6


def _pruned(graph: SectionGraph) -> tuple[SectionGraph, set[int]]:
    """``graph`` without the nodes that no root reaches, and the nodes that stay (old numbers)."""
    reached = _reached(graph)
    kept = sorted(reached)
    number = {node: index for index, node in enumerate(kept)}

    def renumbered(nodes: Iterable[int]) -> tuple[int, ...]:
        return tuple(number[node] for node in nodes)

    return replace(
        graph,
        sizes=[graph.sizes[node] for node in kept],
        kinds=[graph.kinds[node] for node in kept],
        alignments=[graph.alignments[node] for node in kept],
        targets=tuple(renumbered(graph.targets[node]) for node in kept),
        objects=[graph.objects[node] for node in kept],
        operators={
            name: OperatorRoots(
                renumbered(entry.nodes),
                entry.custom,
                {kind: renumbered(nodes) for kind, nodes in entry.typed.items()},
            )
            for name, entry in graph.operators.items()
        },
        core=renumbered(graph.core),
        core_builtin=renumbered(graph.core_builtin),
        core_custom=renumbered(graph.core_custom),
        firmware=frozenset(renumbered(graph.firmware)),
        core_variables=renumbered(graph.core_variables),
        baseline=renumbered(graph.baseline),
        kept=renumbered(graph.kept),
        applications={
            name: replace(each, baseline=renumbered(each.baseline))
            for name, each in graph.applications.items()
        },
        supersede=tuple(
            (number[small], number[big])
            for small, big in graph.supersede
            if small in reached and big in reached
        ),
    ), reached


def _reached(graph: SectionGraph) -> set[int]:
    """The nodes that a root reaches, the roots included."""
    roots = {*graph.core, *graph.core_variables, *graph.firmware, *graph.baseline, *graph.kept}
    for entry in graph.operators.values():
        roots.update(entry.nodes, *entry.typed.values())
    for application in graph.applications.values():
        roots.update(application.baseline)
    reached = set(roots)
    pending = list(roots)
    better: dict[int, list[int]] = {}
    for small, big in graph.supersede:
        if graph.objects[small] >= 0:
            better.setdefault(small, []).append(big)
    while pending:
        node = pending.pop()
        for target in (*graph.targets[node], *better.get(node, ())):
            if target not in reached:
                reached.add(target)
                pending.append(target)
    return reached
