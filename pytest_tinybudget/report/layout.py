"""Text laid out for terminals: lines with markup, aligned columns, shortened names, bars.

Everything here counts terminal cells, not characters, so that wide and combining characters in
model and layer names do not push columns out of place.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.text import printable


Align = Literal["left", "right"]

#: Names keep this many cells before a column is dropped for them, and these many in any case.
_NAME_CELLS, _LEAST_NAME_CELLS = 20, 8

#: A hostile name may be megabytes long; no line of a report needs more characters than this.
_LINE_CHARACTERS = 2000

#: What GitHub's runner acts upon, after blanks at the start of a line and anywhere in it.
_RUNNER_COMMAND = r"\A *(?=::)|#(?=#\[)"

#: What is to be copied into a declaration stays on one line: ``{ flash = "94 KB" }``.
_INLINE_TABLE = r"\{ [^{}]* \}"
_NO_BREAK = "\N{NO-BREAK SPACE}"

#: Characters of one cell each: ASCII, Latin letters, and what reports print besides. For these the
#: tables of all other characters, which take longer to import than reports to make, are not needed.
_ONE_CELL = "[ -~\u00a1-\u00ac\u00ae-\u02af–—…−≤≥↑→▁▂▃▄▅▆▇█░✓✗]*"

_ASCII = str.maketrans({"−": "-", "–": "-", "×": "x", "…": "...", "≥": ">=", "≤": "<=", "µ": "u"})


class Line(Struct, frozen=True):
    """A line of a report; ``markup`` has keywords of pytest's ``TerminalWriter`` (``"red"``)."""

    text: str
    markup: tuple[str, ...] = ()


class Style(Struct, frozen=True):
    """What the terminal can show: its width in cells, and whether it prints more than ASCII."""

    width: int = 80
    unicode: bool = True

    @property
    def ellipsis(self) -> str:
        """The mark in place of the part of a name that was cut out."""
        return "…" if self.unicode else "..."


#: A terminal that nothing is known about.
PLAIN = Style()


def encodable(encoding: str | None) -> bool:
    """Whether a stream with this encoding prints the non-ASCII characters that reports use."""
    try:
        "█░…".encode(encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def write_lines(lines: Iterable[Line], write: Callable[..., None]) -> None:
    """Write every line with ``write(text, **markup)``, such as ``TerminalReporter.write_line``."""
    for line in lines:
        write(line.text, **dict.fromkeys(line.markup, True))


def cells(text: str) -> int:
    """Terminal cells that ``text`` takes: 2 for a wide character, 0 for a combining mark."""
    if _is_plain(text):
        return len(text)
    from wcwidth import width

    return width(text, control_codes="ignore")


def _is_plain(text: str) -> bool:
    """Whether each character takes one cell; most texts need no pattern to say so."""
    if text.isascii() and text.isprintable():
        return True
    return re.fullmatch(_ONE_CELL, text) is not None


def clean(text: str, style: Style) -> str:
    """``text`` without control characters and, where the terminal needs it, in ASCII.

    Nothing in it is a command to a CI system that reads the log.
    """
    text = printable(text, limit=_LINE_CHARACTERS)
    if "::" in text or "#[" in text:
        text = re.sub(_RUNNER_COMMAND, r"\g<0>\\", text)
    if style.unicode:
        return text
    return text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")


def shorten(text: str, width: int, style: Style) -> str:
    """``text`` in at most ``width`` cells, cut in the middle where names differ least."""
    if cells(text) <= width:
        return text
    room = width - len(style.ellipsis)
    if room < 2:
        return "".join(_start(_characters(text), width))
    characters = _characters(text)
    tail = "".join(reversed(_start(characters[::-1], room // 2)))
    return "".join(_start(characters, room - cells(tail))) + style.ellipsis + tail


def _characters(text: str) -> Sequence[str]:
    """What a reader takes for one character each: a letter with the marks that belong to it."""
    if _is_plain(text):
        return text
    from wcwidth import iter_graphemes

    return list(iter_graphemes(text))


def _start(characters: Sequence[str], width: int) -> Sequence[str]:
    """The first of ``characters`` that take at most ``width`` cells together."""
    taken = 0
    for position, character in enumerate(characters):
        taken += cells(character)
        if taken > width:
            return characters[:position]
    return characters


def wrapped(text: str, style: Style, *, indent: str = "", start: str | None = None) -> list[str]:
    """``text`` in lines that fit the terminal where its words allow it.

    ``indent`` stands before each; ``start`` instead of it before the first.
    """
    lines = textwrap.wrap(
        re.sub(_INLINE_TABLE, lambda table: table[0].replace(" ", _NO_BREAK), clean(text, style)),
        max(style.width, len(indent) + 20),
        initial_indent=indent if start is None else start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_NO_BREAK, " ") for line in lines]


def pad(text: str, width: int, align: Align = "left") -> str:
    """``text`` filled with blanks to ``width`` cells."""
    blanks = " " * (width - cells(text))
    return text + blanks if align == "left" else blanks + text


def bar(share: float, width: int, style: Style) -> str:
    """A bar of ``width`` cells filled to ``share``; it is full only from 1.0 on."""
    filled = int(min(share, 1.0) * width)
    full, empty = ("█", "░") if style.unicode else ("#", ".")
    return full * filled + empty * (width - filled)


def columns(
    rows: Sequence[Sequence[str]],
    align: Sequence[Align],
    style: Style,
    *,
    flexible: int,
    drop: Sequence[int] = (),
    indent: str = "",
    whole_names: bool = False,
) -> list[str]:
    """Rows of cells as aligned lines, two blanks between columns.

    Where a line would be too long for the terminal, the columns ``drop`` go, first named
    first, and then column ``flexible``, which holds names, is shortened in the middle. Names are
    cut to 20 cells before a column goes, unless they are ``whole_names``.
    """
    texts = [[clean(cell, style) for cell in row] for row in rows]
    widths = [max(cells(row[column]) for row in texts) for column in range(len(align))]
    kept = list(range(len(align)))
    room = style.width - len(indent)
    for column in drop:
        may_shorten = flexible in kept and not whole_names
        shortened = max(0, widths[flexible] - _NAME_CELLS) if may_shorten else 0
        if _width(kept, widths) - shortened <= room:
            break
        kept.remove(column)
    spare = room - _width(kept, widths)
    widths[flexible] = min(widths[flexible], max(_LEAST_NAME_CELLS, widths[flexible] + spare))
    lines = []
    for row in texts:
        row[flexible] = shorten(row[flexible], widths[flexible], style)
        padded = (pad(row[column], widths[column], align[column]) for column in kept)
        lines.append((indent + "  ".join(padded)).rstrip())
    return lines


def _width(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[column] + 2 for column in kept) - 2
