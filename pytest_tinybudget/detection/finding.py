"""Findings: what a file of a project says of the TFLM that is flashed, and where it says so."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.text import printable


#: How a file names a version. ``lock``: what the last build took. ``exact``: one that is asked
#: for. ``range``: a constraint that several versions meet. ``any``: none is named. ``copy``: the
#: code itself lies there.
How = Literal["lock", "exact", "range", "any", "copy"]

#: What a build flag sets, as the keys of ``[runtime.NAME]`` are called.
Setting = tuple[str, str]


class Finding(Struct, frozen=True):
    """One line of a project's files.

    Attributes:
        product: what is flashed, a name of ``data/products.json``; ``build-flags`` for flags alone.
        file: relative to the folder that was searched, POSIX.
        line: from 1; 0 where the file as a whole says it.
        how: how ``version`` is to be read.
        version: as written; empty where none is.
        name: what the file calls it, where that is not ``product``.
        board: what it is built for, as written; empty where the file names none.
        scope: the part of the file that it is of: an environment, a profile.
        settings: build flags that memory depends on, sorted.
        date: of the commit that ``version`` is, ISO, UTC, where it is at hand; else empty.
        origin: the repository that it comes from where that is not the product's own: a fork,
            of which nobody knows what it changed.
    """

    product: str
    file: str
    line: int
    how: How
    version: str = ""
    name: str = ""
    board: str = ""
    scope: str = ""
    settings: tuple[Setting, ...] = ()
    origin: str = ""
    date: str = ""

    @property
    def place(self) -> str:
        """``main/idf_component.yml:4``."""
        return printable(f"{self.file}:{self.line}" if self.line else self.file)

    @property
    def folder(self) -> str:
        """The folder of its file, POSIX; empty for the one that was searched."""
        return self.file.rpartition("/")[0]

    @property
    def what(self) -> str:
        """``"esp-tflite-micro 1.3.3~1"``: what is said, as written, fit for a terminal."""
        if self.product == FLAGS:
            built_for = (f"built for {self.board}",) if self.board else ()
            text = ", ".join((*built_for, *(f"{key} = {value}" for key, value in self.settings)))
            return printable(text)
        of = f" of {self.origin}" if self.origin else ""
        words = {"any": "(any version)", "copy": "(a copy that names no version)"}
        version = self.version or words.get(self.how, "(without a version)")
        return printable(f"{self.name or self.product} {version}{of}")


#: The product of a finding that is of build flags alone.
FLAGS = "build-flags"


class Problem(Struct, frozen=True):
    """A file that could not be read, or not in full: one line says why."""

    file: str
    text: str


class Detection(Struct, frozen=True):
    """All that was found in and below a folder.

    Attributes:
        findings: sorted by file and line.
        problems: what was not read.
        looked_at: the files that were read, relative, POSIX.
    """

    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    looked_at: tuple[str, ...] = ()


class UnreadableError(Exception):
    """A file that is not of its format, in one line; the line number where it is known."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.text = text
        self.line = line
