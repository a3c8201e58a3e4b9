"""The measured tables that are shipped: where they lie, what each was built from, which one stands.

``data/tables.json`` has a row for each section graph (flash), and what it costs when a runtime is
built otherwise than a table: the differences between builds, as real links showed them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from pytest_tinybudget.runtimes.kernels import LibraryName
from pytest_tinybudget.runtimes.runtime import AppLibc
from pytest_tinybudget.runtimes.runtime import Optimize
from pytest_tinybudget.runtimes.runtime import Runtime


_DATA = Path(__file__).parent / "data"

#: Of two tables that differ from a runtime, the one is nearer whose differences leave less room
#: in a firmware of so many bytes, a usual one.
_USUAL_FLASH = 60_000


class Aside(Struct, frozen=True, forbid_unknown_fields=True):
    """How firmware that people flash differs from what a table was linked with.

    ``percent`` of the flash, and ``bytes`` besides, are how much that may add.
    """

    what: str
    note: str
    percent: float = 0.0
    bytes: int = 0


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A section graph that is shipped, and the build that it was read off.

    Attributes:
        name: its own.
        core: the core's name.
        kernels: the kernel library.
        built_from: the sources: a distribution and its release, ``"tflite-micro 90b983c2"``.
        optimize: as in ``Runtime``.
        log_strings: as in ``Tflm``.
        app_libc: as in ``Runtime``.
        compiler: the compiler.
        libc: the C library.
        margin_percent: how far a real link may exceed the table: the worst that was seen.
        links: the number of real links that it was held to.
        graph: its file in ``data/graphs``, where that has another name.
        application: which of the graph's applications it counts with; empty for an empty program.
        asides: what makes real firmware larger than those links.
    """

    name: str
    core: str
    kernels: LibraryName
    built_from: str
    compiler: str
    libc: str
    margin_percent: float
    links: int
    optimize: Optimize = ""
    log_strings: bool = False
    app_libc: AppLibc = "none"
    graph: str = ""
    application: str = ""
    asides: tuple[Aside, ...] = ()

    @property
    def distribution(self) -> str:
        """Whose sources they are: ``built_from`` without the release."""
        return self.built_from.partition(" ")[0]


#: What a table and a runtime may differ in.
_Aspect = Literal[
    "core", "kernels", "distribution", "release", "optimize", "log_strings", "app_libc"
]
_ASPECTS: tuple[_Aspect, ...] = (
    "core", "kernels", "distribution", "release", "optimize", "log_strings", "app_libc",
)  # fmt: skip
_Value = str | bool


class Difference(Struct, frozen=True, forbid_unknown_fields=True):
    """What it costs that a runtime is built otherwise than a table, as real links showed it.

    Attributes:
        of: what differs.
        table: the table's value; ``None`` stands for any.
        runtime: the runtime's value; ``None`` stands for any.
        given: values that the runtime must have besides, by aspect.
        what: the difference in words.
        note: where the figures come from.
        percent: how much larger than the table's the flash may be.
        bytes: how many bytes larger besides.
        below_percent: how much smaller than the table's it may be.
    """

    of: _Aspect
    what: str
    note: str
    table: _Value | None = None
    runtime: _Value | None = None
    given: Mapping[_Aspect, tuple[_Value, ...]] = {}
    percent: float = 0.0
    bytes: int = 0
    below_percent: float = 0.0

    def is_between(self, table: _Value, runtime: _Value) -> bool:
        """Whether it is a difference between these values of what it is ``of``."""
        return self.table in (None, table) and self.runtime in (None, runtime)

    def holds_for(self, runtime: Mapping[_Aspect, _Value]) -> bool:
        """Whether a runtime of these values has what it asks for besides."""
        return all(runtime[aspect] in values for aspect, values in self.given.items())

    def room(self, flash: int) -> float:
        """The bytes between the least and the most that ``flash`` of the table may stand for."""
        return self.bytes + flash * (self.percent + self.below_percent) / 100


class Margin(Struct, frozen=True, gc=False):
    """What may come on top of a table's flash: why, and how many bytes."""

    what: str
    bytes: int
    note: str


class Choice(Struct, frozen=True):
    """The table that stands for a runtime.

    Attributes:
        name: its name; empty where no table stands for the runtime.
        table: its row; ``None`` without one.
        differences: what the runtime has that the table has not, or the other way round.
    """

    name: str
    table: Table | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def is_of_its_build(self) -> bool:
        """Whether the runtime is built as the table is, as far as is known."""
        return not (self.differences or (self.table and self.table.asides))

    def margins(self, flash: int) -> Iterator[Margin]:
        """What may come on top of ``flash`` bytes of the table, one after the other."""
        asides = self.table.asides if self.table else ()
        causes: tuple[Difference | Aside, ...] = (*self.differences, *asides)
        for each in causes:
            more = math.ceil(flash * each.percent / 100) + each.bytes
            yield Margin(each.what, more, each.note)
            flash += more


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    tables: tuple[Table, ...]
    differences: tuple[Difference, ...]


@cache
def _content() -> _Content:
    return msgspec.json.decode((_DATA / "tables.json").read_bytes(), type=_Content)


@lru_cache(maxsize=1024)
def _differences(aspect: _Aspect, table: _Value, runtime: _Value) -> tuple[Difference, ...]:
    """What is known of the difference between these two values: the first that holds counts."""
    known = (each for each in _content().differences if each.of == aspect)
    return tuple(each for each in known if each.is_between(table, runtime))


@cache
def tables() -> Mapping[str, Table]:
    """All shipped section graphs, by name."""
    return {table.name: table for table in _content().tables}


@lru_cache(maxsize=64)
def choose_table(runtime: Runtime) -> Choice:
    """The section graph that stands for ``runtime``: the one of its build, else the nearest.

    Where nothing is known of how the runtime's build differs from any table's, it is the table
    that the runtime names, and the runtime has a margin of its own.
    """
    if not runtime.table:
        return Choice("")
    named = tables().get(runtime.table)
    wants = _of_runtime(runtime)
    own = None if named is None else _choice(named, wants)
    if own is not None and not any(_distance(own, runtime)):
        return own  # nothing is nearer: the others need not be looked at
    choices = filter(None, (_choice(table, wants) for table in _content().tables))
    return min(
        choices,
        key=lambda choice: _distance(choice, runtime),
        default=Choice(runtime.table, named),
    )


def _choice(table: Table, wants: Mapping[_Aspect, _Value]) -> Choice | None:
    """``table`` with its differences from a runtime; ``None`` where they are not known."""
    has = _of_table(table)
    found = []
    for aspect in _ASPECTS:
        if has[aspect] == wants[aspect]:
            continue
        if aspect == "release" and has["distribution"] != wants["distribution"]:
            continue  # that difference holds for all releases
        known = _differences(aspect, has[aspect], wants[aspect])
        difference = next((each for each in known if each.holds_for(wants)), None)
        if difference is None:
            return None
        found.append(difference)
    return Choice(table.name, table, tuple(found))


def _distance(choice: Choice, runtime: Runtime) -> tuple[float, bool, bool, bool]:
    """How far a table is from ``runtime``: the room that it leaves, then whose sources it has."""
    table = choice.table
    room = sum(each.room(_USUAL_FLASH) for each in choice.differences)
    return (
        room,
        table is None or table.distribution != runtime.built_from.partition(" ")[0],
        table is None or table.built_from != runtime.built_from,
        choice.name != runtime.table,
    )


def _of_table(table: Table) -> dict[_Aspect, _Value]:
    return {
        "core": table.core,
        "kernels": table.kernels,
        "distribution": table.distribution,
        "release": table.built_from,
        "optimize": table.optimize,
        "log_strings": table.log_strings,
        "app_libc": table.app_libc,
    }


def _of_runtime(runtime: Runtime) -> dict[_Aspect, _Value]:
    return {
        "core": runtime.core.name,
        "kernels": runtime.kernels.library,
        "distribution": runtime.built_from.partition(" ")[0],
        "release": runtime.built_from,
        "optimize": runtime.optimize,
        "log_strings": runtime.tflm.log_strings,
        "app_libc": runtime.app_libc,
    }


def section_graph_path(table: str) -> Path:
    """The section graph of the shipped table called ``table`` (gzipped JSON)."""
    row = tables().get(table)
    return _DATA / "graphs" / f"{row.graph if row and row.graph else table}.json.gz"


def stack_table_path(table: str) -> Path:
    """The stack table called ``table`` (JSON)."""
    return _DATA / "stack" / f"{table}.json"
