"""Reads simple TOML: tables, texts without escapes, whole numbers, true and false, lists of these.

Most declarations have no more. To import the standard library's parser, with its regular
expressions, takes longer than to judge a model. What is not simple is left to it, and so is all
that is wrong: this reader never tells an error.
"""

from __future__ import annotations

from typing import Any


KeyPath = tuple[str, ...]

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_SPACES = frozenset(" \t")
_BETWEEN = frozenset(" \t\n#")
#: Whole numbers of so many digits are read; longer ones may be out of range.
_MOST_DIGITS = 18


def read_simple(text: str) -> tuple[dict[str, Any], dict[KeyPath, int]] | None:
    """The document and the line of each of its keys, as ``positions.key_lines`` has them.

    ``None`` where ``text`` is not simple, or no TOML.
    """
    reader = _Reader(text.replace("\r\n", "\n") + "\n")
    try:
        reader.read()
    except (_NotSimpleError, RecursionError):
        return None
    return reader.document, reader.lines


class _NotSimpleError(Exception):
    """Something is there that this module does not read."""


class _Reader:
    """One pass over a text that ends with a line; ``at`` is the offset of what comes next."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line, self._counted = 1, 0
        self.document: dict[str, Any] = {}
        self.lines: dict[KeyPath, int] = {}
        self.opened: set[KeyPath] = set()
        self.inline: set[KeyPath] = set()

    def read(self) -> None:
        path: KeyPath = ()
        table = self.document
        while self.between():
            if self.text[self.at] == "[":
                path = self.header()
                table = self.opened_table(path)
            else:
                self.pair(table, path)
            self.end_of_line()

    def header(self) -> KeyPath:
        """The path in ``[models.kws]``."""
        self.note_line()
        self.expect("[")
        path: KeyPath = (self.word(),)
        while self.text[self.at] == ".":
            self.at += 1
            path = (*path, self.word())
        self.expect("]")
        for length in range(1, len(path)):
            self.lines.setdefault(path[:length], self.line)
        self.lines[path] = self.line
        return path

    def opened_table(self, path: KeyPath) -> dict[str, Any]:
        """The table of a header, which no other opens."""
        if path in self.opened:
            raise _NotSimpleError
        self.opened.add(path)
        table = self.document
        for length, key in enumerate(path, 1):
            table = table.setdefault(key, {})
            if not isinstance(table, dict) or path[:length] in self.inline:
                raise _NotSimpleError
        return table

    def pair(self, table: dict[str, Any], path: KeyPath) -> None:
        """``key = value``, the value in the same line or in the lines of a list."""
        self.note_line()
        key = self.word()
        here = (*path, key)
        if key in table:
            raise _NotSimpleError
        self.lines[here] = self.line
        self.skip(_SPACES)
        self.expect("=")
        self.skip(_SPACES)
        table[key] = self.value(here)

    def value(self, path: KeyPath) -> Any:
        opening = self.text[self.at]
        if opening == '"':
            return self.string()
        if opening == "[":
            return self.list(path)
        if opening == "{":
            return self.inline_table(path)
        word = self.word()
        if word in ("true", "false"):
            return word == "true"
        is_number = word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS
        if not is_number or (word[0] == "0" and word != "0"):
            raise _NotSimpleError
        return int(word)

    def string(self) -> str:
        start = self.at + 1
        end = self.text.find('"', start)
        content = self.text[start:end]
        if end < 0 or not content.isprintable() or "\\" in content:
            raise _NotSimpleError
        if not content and self.text[end + 1] == '"':  # three of them: a text of several lines
            raise _NotSimpleError
        self.at = end + 1
        return content

    def list(self, path: KeyPath) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while self.between() and self.text[self.at] != "]":
            self.note_line()
            here = (*path, str(len(found)))
            self.lines[here] = self.line
            found.append(self.value(here))
            if self.between() and self.text[self.at] == "]":
                break
            self.expect(",")
        self.expect("]")
        return found

    def inline_table(self, path: KeyPath) -> dict[str, Any]:
        self.inline.add(path)
        found: dict[str, Any] = {}
        separator = "{"
        while separator != "}":
            self.at += 1
            self.skip(_SPACES)
            self.pair(found, path)
            self.skip(_SPACES)
            separator = self.text[self.at]
            if separator not in ",}":
                raise _NotSimpleError
        self.at += 1
        return found

    def word(self) -> str:
        """A key, or a value without quotes."""
        start = self.at
        self.skip(_BARE)
        if self.at == start:
            raise _NotSimpleError
        return self.text[start : self.at]

    def skip(self, characters: frozenset[str]) -> None:
        text, at = self.text, self.at
        while text[at] in characters:
            at += 1
        self.at = at

    def between(self) -> bool:
        """Pass blanks, ends of lines and comments; whether anything is left."""
        while self.at < len(self.text) and self.text[self.at] in _BETWEEN:
            if self.text[self.at] == "#":
                self.comment()
            self.at += 1
        return self.at < len(self.text)

    def end_of_line(self) -> None:
        self.skip(_SPACES)
        if self.text[self.at] == "#":
            self.comment()
        self.expect("\n")

    def comment(self) -> None:
        """Pass a comment, up to the end of its line."""
        end = self.text.index("\n", self.at)
        if not self.text[self.at : end].replace("\t", " ").isprintable():
            raise _NotSimpleError
        self.at = end

    def expect(self, character: str) -> None:
        if not self.text.startswith(character, self.at):
            raise _NotSimpleError
        self.at += 1

    def note_line(self) -> None:
        """Count ``line`` up to where the reader is."""
        self.line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
