"""How C++ code calls TFLM, by version: the types, arguments and functions that have changed.

``data/versions/interface.json`` lists the changes since April 2021 that decide what the generated
code may say, the newest first, each with what held *before* it. Which operators the resolver has
a method for is among the changes of TFLM itself (``versions.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
from msgspec import UNSET
from msgspec import Struct
from msgspec import UnsetType
from msgspec.structs import asdict
from msgspec.structs import replace

from pytest_tinybudget.runtimes.runtime import Runtime


class Interface(Struct, frozen=True):
    """What code may say to TFLM. The defaults are those of the newest version.

    Attributes:
        registration: the C++ type of what ``AddCustom`` takes; ``""`` where it differs between
            the versions that the code is for.
        error_reporter: the argument that ``MicroInterpreter`` and ``MicroAllocator::Create`` need
            besides the others, ``""`` for none; ``None`` where that differs between the versions.
        split_arena: whether ``MicroAllocator::Create`` takes two arenas.
        not_typed: the type-specific registrations that it does not take, such as
            ``("CONV_2D", "INT8")``.
    """

    registration: str = "const TFLMRegistration*"
    error_reporter: str | None = ""
    split_arena: bool = True
    not_typed: frozenset[tuple[str, str]] = frozenset()

    def takes(self, operator: str, kind: str) -> bool:
        """Whether an operator's method takes the registration for one type (``"INT8"``)."""
        return (operator, kind) not in self.not_typed


class _Before(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of ``Interface`` as they were before a change."""

    registration: str | UnsetType = UNSET
    error_reporter: str | UnsetType = UNSET
    split_arena: bool | UnsetType = UNSET


class _Change(Struct, frozen=True, forbid_unknown_fields=True):
    """One change: its commit, when (ISO, UTC), and the registrations for one type that it added."""

    commit: str
    date: str
    about: str
    typed: dict[str, tuple[str, ...]] = {}
    before: _Before = _Before()


#: The header that declares the error reporter of old versions.
ERROR_REPORTER_HEADER = "tensorflow/lite/micro/micro_error_reporter.h"


@cache
def _changes() -> tuple[_Change, ...]:
    file = Path(__file__).parent / "data" / "versions" / "interface.json"
    return msgspec.json.decode(file.read_bytes(), type=tuple[_Change, ...])


@cache
def interface_at(date: str) -> Interface:
    """The interface of a TFLM of ``date`` (ISO, UTC): without the changes made after that."""
    found = Interface()
    not_typed: set[tuple[str, str]] = set()
    for change in _changes():
        if change.date <= date:
            break
        before = {
            name: value for name, value in asdict(change.before).items() if value is not UNSET
        }
        found = replace(found, **before)
        not_typed |= {(name, kind) for name, kinds in change.typed.items() for kind in kinds}
    return replace(found, not_typed=frozenset(not_typed))


#: What any version may need, of one that nobody has said. It is taken to have all registrations
#: for one type, which the user asks for.
_OF_ANY_VERSION = Interface(registration="", error_reporter=None)


def interface_of(runtime: Runtime) -> Interface:
    """The interface of a runtime's TFLM, or of all releases that the runtime may be.

    Where the version is not known, it is what compiles with any.
    """
    if runtime.one_of:
        return common_interface([interface_of(each) for each in runtime.one_of])
    version = runtime.tflm.version
    if version.date:
        return interface_at(version.date)
    return Interface() if runtime.tflm.is_known else _OF_ANY_VERSION


def common_interface(interfaces: Sequence[Interface]) -> Interface:
    """What code may say that compiles with each of ``interfaces``; with none, with the newest."""
    registrations = {each.registration for each in interfaces}
    reporters = {each.error_reporter for each in interfaces}
    if not interfaces:
        return Interface()
    return Interface(
        registration=registrations.pop() if len(registrations) == 1 else "",
        error_reporter=reporters.pop() if len(reporters) == 1 else None,
        split_arena=all(each.split_arena for each in interfaces),
        not_typed=frozenset().union(*(each.not_typed for each in interfaces)),
    )
