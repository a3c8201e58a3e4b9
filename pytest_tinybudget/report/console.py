"""A terminal outside pytest: its width, its encoding, and color where it is wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING
from typing import Literal
from typing import TextIO


if TYPE_CHECKING:
    from pytest_tinybudget.report.layout import Line
    from pytest_tinybudget.report.layout import Style

Color = Literal["auto", "always", "never"]

#: SGR codes of the markup keywords that reports use.
_CODES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}


class Console:
    """Prints lines to ``stream``; imports nothing for lines that are laid out already."""

    __slots__ = ("_colored", "stream")

    def __init__(self, stream: TextIO, color: Color = "auto") -> None:
        self.stream = stream
        self._colored = _is_colored(stream, color)

    @property
    def width(self) -> int:
        """The terminal's, in cells."""
        return shutil.get_terminal_size().columns

    @property
    def style(self) -> Style:
        """What the terminal can show."""
        from pytest_tinybudget.report.layout import Style
        from pytest_tinybudget.report.layout import encodable

        return Style(self.width, encodable(self.stream.encoding))

    def print(self, lines: Iterable[Line]) -> None:
        """Print every line, in color where that is on."""
        for line in lines:
            self.print_line(line.text, line.markup)

    def print_line(self, text: str, markup: Iterable[str] = ()) -> None:
        """Print ``text`` with what ``markup`` says, as in a ``Line``, in color where that is on."""
        codes = ";".join(str(_CODES[keyword]) for keyword in markup)
        wrapped = codes and text and self._colored
        self.stream.write(f"\x1b[{codes}m{text}\x1b[0m\n" if wrapped else f"{text}\n")


def _is_colored(stream: TextIO, color: Color) -> bool:
    """Whether to color: ``NO_COLOR`` and ``FORCE_COLOR`` decide first, as in pytest."""
    if color != "auto":
        return color == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
