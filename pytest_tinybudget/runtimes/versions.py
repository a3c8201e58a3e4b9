"""Versions of TFLM and of kernel libraries, each as its difference from the next one.

``data/versions/LIBRARY.json`` lists the changes of a library's history that move a byte, a refusal
or an output, the newest first, each with what held *before* it. A version lacks the changes that
came after it. The newest lacks none, and the operator rules are written for it. Those that the
rules hold for stand in ``data/versions/known.json``, each with its date.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct


Library = Literal["tflm"]


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One change of a library.

    Attributes:
        name: what rules ask for (``Version.has``).
        commit: the commit that made it.
        date: when, ISO, UTC.
        about: what it changed, in words.
        before: the C layouts that it replaced (``Abi.size_of``), by what they are of: the name
            of a struct, or ``"CONV_2D parameters"``.
        registers: the operators that TFLM's resolver has had since.
    """

    name: str
    commit: str
    date: str
    about: str = ""
    before: dict[str, str] = {}
    registers: tuple[str, ...] = ()


class Version(Struct, frozen=True, repr_omit_defaults=True):
    """A version of a library.

    Attributes:
        name: its commit or release; empty where nobody has said it.
        lacks: names of the changes that it does not have.
        unregistered: operators that its resolver does not have.
        layouts: the C layouts that differ from the newest version's, by what they are of (as in
            ``Change.before``), sorted.
    """

    name: str = ""
    lacks: frozenset[str] = frozenset()
    unregistered: frozenset[str] = frozenset()
    layouts: tuple[tuple[str, str], ...] = ()

    def has(self, change: str) -> bool:
        """Whether the change of this name is in it."""
        return change not in self.lacks

    def layout(self, of: str, newest: str) -> str:
        """The C layout of ``of`` in this version; ``newest`` is the newest version's."""
        return next((layout for name, layout in self.layouts if name == of), newest)

    def parameters(self, operator: str, newest: str) -> str:
        """The C layout of an operator's builtin parameters; ``newest`` is the newest version's."""
        return self.layout(f"{operator} parameters", newest) if self.layouts else newest


@cache
def changes(library: Library) -> tuple[Change, ...]:
    """All changes of a library, the newest first."""
    file = Path(__file__).parent / "data" / "versions" / f"{library}.json"
    return msgspec.json.decode(file.read_bytes(), type=tuple[Change, ...])


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
    )


@cache
def known(library: Library) -> Mapping[str, Version]:
    """The versions that the operator rules hold for, by name, the newest first."""
    file = Path(__file__).parent / "data" / "versions" / "known.json"
    dates = msgspec.json.decode(file.read_bytes(), type=dict[str, dict[str, str]])[library]
    return {name: version(name, date, changes(library)) for name, date in dates.items()}


def find_version(library: Library, name: str) -> Version:
    """The known version that ``name`` is, in full or abbreviated as Git does; else a bare name."""
    for each in known(library).values():
        if name.startswith(each.name) or each.name.startswith(name):
            return each
    return Version(name)


@cache
def largest_structs(library: Library) -> Version:
    """A version with all changes, but with structs as large as in any: it bounds all versions."""
    return Version(layouts=version("", "", changes(library)).layouts)
