"""A text of titled sections in at most so many lines: what explains least is cut first."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import cells


_ITEM = "  - "


class Section(Struct, frozen=True):
    """Lines that belong together, and when they are cut if there is not enough room.

    Of all sections the one with the lowest ``cut`` is first cut to ``least`` lines, and the one
    with the lowest ``drop`` left out, both in one order. 0: never.
    """

    lines: tuple[str, ...]
    least: int = 0
    cut: int = 0
    drop: int = 0


def fitted(sections: Sequence[Section], most: int, style: Style) -> list[Section]:
    """The non-empty ``sections``, cut to ``most`` rows of the terminal as far as they allow it."""
    kept = [section for section in sections if section.lines]
    steps: list[tuple[int, int, Callable[[Section, int, Style], Section]]]
    steps = [(section.cut, index, _cut) for index, section in enumerate(kept) if section.cut]
    steps += [(section.drop, index, _dropped) for index, section in enumerate(kept) if section.drop]
    for _, index, shorten in sorted(steps, key=lambda step: step[:2]):
        excess = _height(kept, style) - most
        if excess > 0:
            kept[index] = shorten(kept[index], excess, style)
    return [section for section in kept if section.lines]


def _height(sections: Sequence[Section], style: Style) -> int:
    """The number of rows of all sections, with an empty row between two."""
    shown = [section for section in sections if section.lines]
    return sum(rows(section.lines, style) for section in shown) + max(0, len(shown) - 1)


def rows(lines: Sequence[str], style: Style) -> int:
    """Rows that ``lines`` take on the terminal, which breaks long ones."""
    return sum(max(1, -(-cells(line) // style.width)) for line in lines)


def _cut(section: Section, excess: int, style: Style) -> Section:
    """``section`` without its last ``excess`` rows, as far as it may; what went is counted."""
    lines, freed = section.lines, 0
    count = len(lines)
    while count > section.least and freed < excess + 1:  # 1 for the line that counts them
        count -= 1
        freed += rows(lines[count : count + 1], style)
    while 1 < count < len(lines) and _continues(lines, count):
        count -= 1  # an item of a list goes as a whole
    if count >= len(lines) - 1:
        return section  # the line that says so would take as much room
    gone = len(lines) - count
    return replace(section, lines=(*lines[:count], f"  … {gone} more lines"))


def _continues(lines: Sequence[str], count: int) -> bool:
    """Whether a cut here would leave a list item without its end."""
    return lines[count].startswith(" " * len(_ITEM)) and any(
        line.startswith(_ITEM) for line in lines[1:3]
    )


def _dropped(section: Section, _excess: int, _style: Style) -> Section:
    return replace(section, lines=())
