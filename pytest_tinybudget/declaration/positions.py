"""Finds the line of each key of a TOML text, which tomllib does not give.

The text was accepted by a TOML parser before, so nothing is validated here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate

from pytest_tinybudget.declaration.toml import parse


KeyPath = tuple[str, ...]

_SPACES, _BLANKS = frozenset(" \t"), frozenset(" \t\n#")
#: What ends a key, and a number, a date or another value without quotes.
_AFTER_KEYS = frozenset(" \t\n.=]#\"'")
_AFTER_SCALARS = frozenset(",]}#\n")
#: A text in quotes. Most have no escapes, and for them it is not compiled.
_STRING = (
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'"
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Line (from 1) of every key of a valid TOML ``text``, by key path.

    An element of an array has its index as a key (``("models", "kws", "boards", "0")``), and so
    has each table of an array of tables. A table that is opened twice (``[a.b]`` below ``[a.c]``)
    keeps its first line, unless a later header opens it by itself.
    """
    return _Scanner(text.replace("\r\n", "\n") + "\n").scan()


class _Scanner:
    """One pass over whole lines; ``position`` is the offset of the next character to read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line_starts = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
        self.lines: dict[KeyPath, int] = {}
        self.tables_in_array: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self.blanks()
        while self.position < len(self.text):
            if self.text[self.position] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.blanks()
        return self.lines

    def header(self) -> KeyPath:
        start = self.position
        is_array = self.text.startswith("[[", start)
        self.position += 2 if is_array else 1
        table = self.current(self.key())
        self.position += 2 if is_array else 1
        if is_array:
            index = self.tables_in_array.get(table, -1) + 1
            self.tables_in_array[table] = index
            self.note(table, start)
            table = (*table, str(index))
        self.note(table, start)
        self.lines[table] = self.line(start)
        return table

    def current(self, key: KeyPath) -> KeyPath:
        """``key`` with the index of the latest table behind each array of tables on the way."""
        path: KeyPath = ()
        for part in key[:-1]:
            path = (*path, part)
            if path in self.tables_in_array:
                path = (*path, str(self.tables_in_array[path]))
        return (*path, key[-1])

    def pair(self, table: KeyPath) -> None:
        start = self.position
        path = (*table, *self.key())
        self.note(path, start)
        self.position += 1
        self.spaces()
        self.value(path)

    def value(self, path: KeyPath) -> None:
        opening = self.text[self.position]
        if opening == "[":
            self.array(path)
        elif opening == "{":
            self.inline_table(path)
        elif opening in "\"'":
            self.string()
        else:
            self.up_to(_AFTER_SCALARS)

    def array(self, path: KeyPath) -> None:
        self.position += 1
        self.blanks()
        index = 0
        while self.text[self.position] != "]":
            element = (*path, str(index))
            self.note(element, self.position)
            self.value(element)
            self.next_item()
            index += 1
        self.position += 1

    def inline_table(self, path: KeyPath) -> None:
        self.position += 1
        self.blanks()
        while self.text[self.position] != "}":
            self.pair(path)
            self.next_item()
        self.position += 1

    def next_item(self) -> None:
        self.blanks()
        if self.text[self.position] == ",":
            self.position += 1
            self.blanks()

    def key(self) -> KeyPath:
        parts = []
        while True:
            self.spaces()
            quoted = self.text[self.position] in "\"'"
            parts.append(_unquoted(self.string()) if quoted else self.up_to(_AFTER_KEYS))
            self.spaces()
            if self.text[self.position] != ".":
                return tuple(parts)
            self.position += 1

    def note(self, path: KeyPath, offset: int) -> None:
        """Remember the line of ``path`` and of those above it that have none yet."""
        line = self.line(offset)
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return
            self.lines[path[:length]] = line

    def line(self, offset: int) -> int:
        return bisect_right(self.line_starts, offset)

    def blanks(self) -> None:
        """Pass blanks, ends of lines and comments."""
        text, at = self.text, self.position
        while at < len(text) and text[at] in _BLANKS:
            at = text.index("\n", at) if text[at] == "#" else at + 1
        self.position = at

    def spaces(self) -> None:
        while self.text[self.position] in _SPACES:
            self.position += 1

    def up_to(self, ends: frozenset[str]) -> str:
        text, at = self.text, self.position
        while text[at] not in ends:
            at += 1
        found = text[self.position : at]
        self.position = at
        return found

    def string(self) -> str:
        """A text with its quotes."""
        start, quote = self.position, self.text[self.position]
        end = self.text.index(quote, start + 1) + 1
        if "\\" in self.text[start:end] or self.text.startswith(3 * quote, start):
            match = re.compile(_STRING, re.DOTALL).match(self.text, start)
            if match is None:
                raise ValueError(f"not TOML at offset {start}")
            end = match.end()
        self.position = end
        return self.text[start:end]


def _unquoted(key: str) -> str:
    """A quoted key without its quotes and escapes."""
    if key[0] == "'" or "\\" not in key:
        return key[1:-1]
    return str(parse(f"key = {key}")["key"])
