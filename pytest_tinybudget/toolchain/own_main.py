"""A firmware's own ``main`` and resolver, which no archive has: as in measured builds of its kind.

``data/main.json`` has a row for each kind of build, made by ``benchmarks/own_main.py`` from links
of distributions. What TFLM's own make builds stands in the shipped tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.footprint.section_graph import MainModel


#: The families that were not measured take this one's, with room for so much more.
_MEASURED_FAMILY = "Arm"
_ROOM_FOR_ANOTHER_FAMILY = 1.5
#: More operators than any firmware registers.
_MOST = 500
_VARIABLES = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})


class OwnMain(Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a firmware's own object, bytes.

    Attributes:
        name: the build that it was read off.
        family: of the core.
        optimize: the compiler's level.
        log_strings: whether the resolver's messages are in it.
        application: whether the program around has printf anyway.
        margin_percent: how far links of other builds of its kind exceeded it, at most.
        text: the resolver's functions: in any firmware, with a builtin operator, with a custom
            one.
        rodata: the resolver's constants.
        main: ``main`` itself, with what registering an operator takes there.
    """

    name: str
    family: str
    optimize: str
    log_strings: bool
    application: bool
    margin_percent: float
    text: tuple[int, int, int]
    rodata: int
    main: MainModel


class ChosenMain(Struct, frozen=True):
    """The row that stands for a build; ``note`` says where it is not of that very kind."""

    row: OwnMain
    note: str = ""


@cache
def rows() -> tuple[OwnMain, ...]:
    """All measured kinds of builds."""
    file = Path(__file__).parent / "data" / "main.json"
    return msgspec.json.decode(file.read_bytes(), type=tuple[OwnMain, ...])


def choose(
    family: str, *, optimize: str, log_strings: bool, application: bool, make: OwnMain | None
) -> ChosenMain:
    """What stands for the ``main`` of a build.

    Args:
        family: Of its core.
        optimize: The compiler's level, ``""`` where it is not known.
        log_strings: Whether TFLM's messages are in it.
        application: Whether the program around has printf anyway.
        make: What TFLM's own make builds for that family; it has no log strings.
    """
    measured = family if any(row.family == family for row in rows()) else _MEASURED_FAMILY
    alike = [row for row in rows() if row.family == measured and row.log_strings == log_strings]
    alike.sort(key=lambda row: row.application != application)
    small = make if make is not None and not log_strings else None
    at = {row.optimize: row for row in reversed(alike)}
    if optimize in at:
        return _for_family(ChosenMain(at[optimize]), family, measured)
    largest = at.get("3")
    small = small or at.get("s") or largest
    assert small is not None
    if small is largest or largest is None:
        return _for_family(ChosenMain(small), family, measured)
    level = f"-O{optimize} was not measured" if optimize else "not known"
    note = (
        f"how main is optimized is {level}: counted as at -Os, with a margin up to what -O3 takes "
        "(--optimize says it)"
    )
    bounded_ = replace(small, main=_up_to(small, largest))
    return _for_family(ChosenMain(bounded_, note), family, measured)


def _for_family(chosen: ChosenMain, family: str, measured: str) -> ChosenMain:
    """``chosen`` with room where it was measured on other cores."""
    if family == measured or chosen.row.family == family:
        return chosen
    row = chosen.row
    main = _up_to(row, row, _ROOM_FOR_ANOTHER_FAMILY)
    other = f"main is counted as measured on {measured}, with a margin: of {family} none was"
    return ChosenMain(replace(row, main=main), "; ".join(filter(None, (chosen.note, other))))


def _up_to(row: OwnMain, largest: OwnMain, times: float = 1.0) -> MainModel:
    """The ``main`` of ``row``, of which it is said that it may be as large as another's."""
    main, other = row.main, largest.main
    offset = sum(largest.text[:2]) + largest.rodata - sum(row.text[:2]) - row.rodata
    offset += round(other.rodata - main.rodata)
    most = tuple((count, (size + offset) * times) for count, size in _sizes(other))
    dearest = main.per_builtin + other.per_custom if other.by_count else main.per_custom
    return replace(main, per_custom=max(main.per_custom, dearest), most=most)


def _sizes(main: MainModel) -> tuple[tuple[int, float], ...]:
    """The sizes of ``main`` by count, as far as they are known or bounded."""
    if not main.by_count:
        line = ((each, main.base + main.per_builtin * each) for each in (1, _MOST))
        return main.most or tuple(line)
    last = main.most[0][0] if main.most else _MOST
    return tuple(each for each in main.by_count if each[0] < last) + main.most


def _at(measured: tuple[tuple[int, float], ...], count: int) -> float:
    """The size for a count: as measured, or on the line between the nearest counts."""
    if count <= measured[0][0]:
        return measured[0][1]
    for (low, small), (high, large) in pairwise(measured):
        if low <= count <= high:
            return small + (large - small) * (count - low) / (high - low)
    return measured[-1][1]


def code_bytes(own: OwnMain, operators: Mapping[str, bool]) -> float:
    """Bytes of a firmware's own object that registers ``operators`` (name → whether custom)."""
    main, count, custom = own.main, len(operators), sum(operators.values())
    if main.by_count:
        size = _at(main.by_count, count) + main.per_custom * custom
    else:
        size = main.base + main.per_builtin * (count - custom) + main.per_custom * custom
    if not _VARIABLES.isdisjoint(operators):
        size += main.variables
    if count == 1:
        size += main.one_custom if custom else main.one_builtin
    always, builtin, customs = own.text
    size += always + (builtin if custom < count else 0) + (customs if custom else 0)
    return size + main.rodata + own.rodata
