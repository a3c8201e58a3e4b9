"""A terminal outside pytest: its width, its encoding, and color where it is wanted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import Literal
from typing import TextIO

from msgspec import Struct

from pytest_tinybudget.report.layout import Line
from pytest_tinybudget.report.layout import Style
from pytest_tinybudget.report.layout import encodable


Color = Literal["auto", "always", "never"]

#: SGR codes of the markup keywords that reports use.
_CODES = {"bold": 1, "red": 31, "green": 32, "yellow": 33}


class Console(Struct, frozen=True):
    """Prints lines to ``stream``."""

    stream: TextIO
    color: Color = "auto"

    @property
    def style(self) -> Style:
        """What the terminal can show."""
        return Style(shutil.get_terminal_size().columns, encodable(self.stream.encoding))

    def print(self, lines: Iterable[Line]) -> None:
        """Print every line, in color where that is on."""
        colored = self._colored()
        for line in lines:
            codes = ";".join(str(_CODES[keyword]) for keyword in line.markup)
            wrapped = codes and line.text and colored
            self.stream.write(f"\x1b[{codes}m{line.text}\x1b[0m\n" if wrapped else f"{line.text}\n")

    def _colored(self) -> bool:
        """Whether to color: ``NO_COLOR`` and ``FORCE_COLOR`` decide first, as in pytest."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return self.stream.isatty() and os.environ.get("TERM") != "dumb"
