"""Which members a linker takes out of archives, and which definition each symbol gets."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from msgspec import Struct

from pytest_tinybudget.toolchain.archive import Archive
from pytest_tinybudget.toolchain.archive import ObjectFile
from pytest_tinybudget.toolchain.archive import Section
from pytest_tinybudget.toolchain.elf import ABSOLUTE
from pytest_tinybudget.toolchain.elf import COMMON
from pytest_tinybudget.toolchain.elf import LOCAL
from pytest_tinybudget.toolchain.elf import UNDEFINED
from pytest_tinybudget.toolchain.elf import WEAK
from pytest_tinybudget.toolchain.elf import Symbol


class Definition(Struct, frozen=True):
    """Where a global symbol is defined: the object's number in link order, and its symbol there."""

    owner: int
    symbol: Symbol

    @property
    def weak(self) -> bool:
        """Whether a strong definition may replace it."""
        return self.symbol.binding == WEAK


@dataclass(slots=True)
class Program:
    """Everything that a link with all roots would read, in link order.

    ``definitions`` has the definition that each global symbol gets, ``replacements`` those that
    take its place once their member is linked for another reason (libgcc has some functions
    twice: weak and alone, and strong beside others). ``dropped`` are duplicate COMDAT sections
    as (object, section) with the section that stands for them. ``elsewhere`` are symbols that no
    input gives: they lie in ROM, or in the application.
    """

    objects: list[ObjectFile] = field(default_factory=list)
    definitions: dict[str, Definition] = field(default_factory=dict)
    replacements: dict[str, Definition] = field(default_factory=dict)
    dropped: dict[tuple[int, int], tuple[int, int] | None] = field(default_factory=dict)
    elsewhere: frozenset[str] = frozenset()

    def section_of(self, owner: int, symbol: Symbol) -> tuple[int, int] | None:
        """The section that a symbol of object ``owner`` stands for, ``None`` if in none."""
        if symbol.binding != LOCAL and symbol.name in self.elsewhere:
            return None
        definition = self.definitions.get(symbol.name) if symbol.binding != LOCAL else None
        if definition is not None:
            owner, symbol = definition.owner, definition.symbol
        if symbol.section in (UNDEFINED, ABSOLUTE, COMMON):
            return None
        return self.standing_for(owner, symbol.section)

    def standing_for(self, owner: int, section: int) -> tuple[int, int] | None:
        """``section`` of object ``owner``, or the COMDAT copy that was kept instead of it."""
        place: tuple[int, int] | None = (owner, section)
        if place in self.dropped:
            place = self.dropped[owner, section]
        if place is None or place[1] not in self.objects[place[0]].sections:
            return None
        return place

    def wanted_by(self, owner: int) -> Iterable[str]:
        """Symbols that object ``owner`` needs from elsewhere (weak references need nothing)."""
        for symbol in self.objects[owner].symbols:
            if symbol.section == UNDEFINED and symbol.name and symbol.binding not in (LOCAL, WEAK):
                yield symbol.name

    def sections(self) -> Iterable[tuple[int, int, Section]]:
        """Allocated sections in link order, dropped copies left out."""
        for owner, item in enumerate(self.objects):
            for index, section in item.sections.items():
                if (owner, index) not in self.dropped:
                    yield owner, index, section


def resolve(
    objects: Sequence[ObjectFile],
    archives: Sequence[Archive],
    wanted: Iterable[str],
    elsewhere: frozenset[str] = frozenset(),
) -> Program:
    """Link ``objects`` and what ``wanted`` symbols pull out of ``archives``.

    Symbols that lie ``elsewhere`` pull nothing.

    Archives are searched as one group, each from its first member on, until nothing is missing
    that they have, as with ``--start-group``.
    """
    return _Resolver(archives, elsewhere).run(objects, wanted)


class _Resolver:
    def __init__(self, archives: Sequence[Archive], elsewhere: frozenset[str]) -> None:
        self.archives = archives
        self.program = Program(elsewhere=elsewhere)
        self.loaded: dict[tuple[int, int], int] = {}
        self.groups: dict[str, tuple[int, Mapping[str, int]]] = {}
        self.first_member: dict[str, tuple[int, int]] = {}
        for number, archive in enumerate(archives):
            for name, offset in archive.index:
                self.first_member.setdefault(name, (number, offset))

    def run(self, objects: Sequence[ObjectFile], wanted: Iterable[str]) -> Program:
        missing: dict[str, None] = {}
        for item in objects:
            missing.update(dict.fromkeys(self._add(item)))
        own = {*self.program.definitions, *self.program.elsewhere}
        missing.update(dict.fromkeys(wanted))
        while missing:
            places = sorted(
                {
                    self.first_member[name]
                    for name in missing
                    if name in self.first_member and name not in own
                }
            )
            missing = {}
            for place in places:
                if place not in self.loaded:
                    self.loaded[place] = len(self.program.objects)
                    number, offset = place
                    member = self.archives[number].load(offset)
                    missing.update(dict.fromkeys(self._add(member)))
        self._prefer_first_members(own)
        return self.program

    def _add(self, item: ObjectFile) -> Iterable[str]:
        owner = len(self.program.objects)
        self.program.objects.append(item)
        self._drop_duplicates(owner, item)
        for symbol in item.symbols:
            if symbol.binding == LOCAL or symbol.section == UNDEFINED or not symbol.name:
                continue
            if (owner, symbol.section) in self.program.dropped:
                continue
            known = self.program.definitions.get(symbol.name)
            if known is None or (_yields(known) and not _yields(Definition(owner, symbol))):
                self.program.definitions[symbol.name] = Definition(owner, symbol)
        return self.program.wanted_by(owner)

    def _drop_duplicates(self, owner: int, item: ObjectFile) -> None:
        for signature, members in item.groups:
            named = {
                item.sections[index].name: index for index in members if index in item.sections
            }
            if signature not in self.groups:
                self.groups[signature] = (owner, named)
                continue
            kept_by, kept = self.groups[signature]
            for name, index in named.items():
                self.program.dropped[owner, index] = (kept_by, kept[name]) if name in kept else None

    def _prefer_first_members(self, own: set[str]) -> None:
        """Where an archive defines a symbol twice, weak first: the weak one unless replaced."""
        program = self.program
        for name, definition in list(program.definitions.items()):
            first = self.loaded.get(self.first_member.get(name, (-1, -1)))
            if name in own or first is None or first == definition.owner:
                continue
            for symbol in program.objects[first].symbols:
                if symbol.name == name and symbol.binding == WEAK and symbol.section != UNDEFINED:
                    program.definitions[name] = Definition(first, symbol)
                    program.replacements[name] = definition


def _yields(definition: Definition) -> bool:
    """Whether a later definition takes precedence: weak and common symbols give way."""
    return definition.weak or definition.symbol.section == COMMON
