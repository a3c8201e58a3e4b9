"""Versions of TFLM and of kernel libraries, each as its difference from the next one.

``data/versions/LIBRARY.json`` lists the changes of a library's history that move a byte, a refusal
or an output, the newest first, each with what held *before* it. A version lacks the changes that
came after it. The newest lacks none, and the operator rules are written for it. Those that the
rules hold for stand in ``data/versions/known.json``, each with its date: those that figures were
measured on, and those in ``read``, whose changes were read from the history alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.lazy_mapping import LazyMapping


Library = Literal["tflm", "cmsis-nn", "esp-nn"]

#: What is said of a version or a fault that was read in the sources and seen nowhere.
BY_HISTORY = "by history, not measured"

#: Libraries whose versions are releases ("1.2.3"), not commits.
_NAMED_BY_RELEASE: tuple[Library, ...] = ("esp-nn",)


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One change of a library.

    Attributes:
        name: what rules ask for (``Version.has``).
        commit: the commit that made it.
        date: when, ISO, UTC.
        about: what it changed, in words.
        before: the C layouts that it replaced (``Abi.size_of``), by what they are of: the name
            of a struct (``"MicroAllocator, log strings"`` in builds with these alone),
            ``"CONV_2D parameters"``, ``"CONV_2D data"``, or ``"CONV_2D data, cmsis-nn"``.
        registers: the operators that TFLM's resolver has had since.
        types: the tensor types that TFLM has had memory for since.
        kernels: the types that an operator's kernel has run since, by operator
            (``"ADD, cmsis-nn"`` in one library alone).
        outputs: whether models ran before with other outputs, without an error.
        seen: where these were seen; empty where they were read from the history alone.
    """

    name: str
    commit: str
    date: str
    about: str = ""
    before: dict[str, str] = {}
    registers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    kernels: dict[str, tuple[str, ...]] = {}
    outputs: bool = False
    seen: str = ""


class Version(Struct, frozen=True):
    """A version of a library.

    Attributes:
        name: its commit or release; empty where nobody has said it.
        lacks: names of the changes that it does not have.
        unregistered: operators that its resolver does not have.
        layouts: the C layouts that differ from the newest version's, by what they are of (as in
            ``Change.before``), sorted.
        untyped: tensor types that it has no memory for.
        unrun: operator and type of what its kernels do not run.
        date: of its commit, ISO, UTC; empty where nobody has said it.
        by_history: whether nothing was measured of it: what holds was read from the history.
    """

    name: str = ""
    lacks: frozenset[str] = frozenset()
    unregistered: frozenset[str] = frozenset()
    layouts: tuple[tuple[str, str], ...] = ()
    untyped: frozenset[str] = frozenset()
    unrun: frozenset[tuple[str, str]] = frozenset()
    date: str = ""
    by_history: bool = False

    def __repr__(self) -> str:
        """What differs from the newest version; the same in every process, for fingerprints."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        parts = [
            f"{name}={sorted(value) if isinstance(value, frozenset) else value!r}"
            for name, value in values.items()
            if value and name not in ("date", "by_history")
        ]
        return f"Version({', '.join(parts)})"

    def has(self, change: str) -> bool:
        """Whether the change of this name is in it."""
        return change not in self.lacks

    def runs(self, operator: str, library: str, type_: str) -> bool:
        """Whether an operator's kernel of a library takes this type, where the newest does."""
        return not {(operator, type_), (f"{operator}, {library}", type_)} & self.unrun

    def layout(self, of: str, newest: str) -> str:
        """The C layout of ``of`` in this version; ``newest`` is the newest version's."""
        at = bisect_left(self.layouts, (of, ""))
        found = at < len(self.layouts) and self.layouts[at][0] == of
        return self.layouts[at][1] if found else newest

    def parameters(self, operator: str, newest: str) -> str:
        """The C layout of an operator's builtin parameters; ``newest`` is the newest version's."""
        return self.layout(f"{operator} parameters", newest) if self.layouts else newest


@cache
def changes(library: Library) -> tuple[Change, ...]:
    """All changes of a library, the newest first."""
    file = Path(__file__).parent / "data" / "versions" / f"{library}.json"
    return msgspec.json.decode(file.read_bytes(), type=tuple[Change, ...])


def named_change(library: Library, name: str) -> Change:
    """The change of this name."""
    return next(change for change in changes(library) if change.name == name)


def first_release_with(library: Library, change: str) -> str:
    """The first known version that has a change: ``"esp-nn 1.2.1 (2026-04-08)"``."""
    first = [each for each in known(library).values() if each.has(change)][-1]
    return f"{library} {first.name} ({first.date[:10]})"


def version(name: str, date: str, history: Iterable[Change]) -> Version:
    """The version ``name`` of ``date`` (ISO, UTC): it lacks the changes made after that.

    ``history`` are its library's ``changes``, the newest first.
    """
    missing = [change for change in history if change.date > date]
    layouts: dict[str, str] = {}
    for change in missing:  # the newest first, so that what the oldest replaced stays
        layouts.update(change.before)
    return Version(
        name,
        frozenset(change.name for change in missing),
        frozenset(operator for change in missing for operator in change.registers),
        tuple(sorted(layouts.items())),
        frozenset(type_ for change in missing for type_ in change.types),
        frozenset(
            (operator, type_)
            for change in missing
            for operator, types in change.kernels.items()
            for type_ in types
        ),
        date,
    )


@cache
def known(library: Library) -> Mapping[str, Version]:
    """The versions that the operator rules hold for, by name, the newest first.

    Each is made when it is asked for: a run needs a few of them.
    """
    read = _known().read if library == "tflm" else ()

    def made(name: str, date: str) -> Version:
        return replace(version(name, date, changes(library)), by_history=name in read)

    return LazyMapping(_known().dates(library), made)


class _Known(Struct, frozen=True):
    """``known.json``: dates by name; ``read`` are those of which nothing was measured.

    ``made_with`` is CMSIS-NN's version by TFLM's, as upstream's make files have it. Before November
    2022 that was a part of CMSIS 5: its commits stand there, with the day when TFLM took them.
    """

    tflm: dict[str, str]
    cmsis_nn: dict[str, str] = field(name="cmsis-nn")
    esp_nn: dict[str, str] = field(name="esp-nn")
    read: tuple[str, ...]
    made_with: dict[str, str]

    def dates(self, library: Library) -> Mapping[str, str]:
        return {"tflm": self.tflm, "cmsis-nn": self.cmsis_nn, "esp-nn": self.esp_nn}[library]


@cache
def _known() -> _Known:
    file = Path(__file__).parent / "data" / "versions" / "known.json"
    return msgspec.json.decode(file.read_bytes(), type=_Known)


def made_with(name: str) -> str:
    """The version of CMSIS-NN that upstream's make files take in a known version of TFLM."""
    return _known().made_with.get(name, "")


def find_version(library: Library, name: str) -> Version:
    """The known version that ``name`` is; else a bare name.

    A commit may be in full or abbreviated as Git does, a release is spelled as it is.
    """
    for known_name in known(library):
        abbreviated = name.startswith(known_name) or known_name.startswith(name)
        if name == known_name or (abbreviated and library not in _NAMED_BY_RELEASE):
            return known(library)[known_name]
    return Version(name)
