"""Collects the problems of a declaration, each with line and key, and reports them together."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import DeclarationError
from pytest_tinybudget.base.paths import displayed_path
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.base.text import printable


KeyPath = tuple[str, ...]

#: So many problems are shown; the number of the others is given.
_MOST_SHOWN = 100
_LONGEST_LINE = 500
#: Keys whose values are lists.
_LISTS = ("boards", "models", "accept", "stages", "fleets")
#: Those that may stand at the top of a file as well.
_LISTS_ANYWHERE = (
    "layers", "block", "input_shape", "kernel", "stride", "dilation", "shape", "amount", "inputs",
)  # fmt: skip


class Problem(Struct, frozen=True):
    """One problem. ``line`` counts from 1; it is 0 of what is in no file.

    ``name`` is a word that is not one of the ``valid`` ones; the nearest of them are offered.
    ``example`` is a valid line of TOML, ``more`` are lines on how it came about.
    """

    line: int
    keys: KeyPath
    text: str
    name: str = ""
    valid: tuple[str, ...] = ()
    example: str = ""
    more: tuple[str, ...] = ()

    def lines(self, file: str) -> list[str]:
        """The problem in words: one line, then how it came about, what is valid, and an example."""
        where = f"{dotted(self.keys)}: " if self.keys else ""
        offers = nearest(self.name, self.valid) if self.name else []
        hint = f"; did you mean {', '.join(map(repr, offers))}?" if offers else ""
        place = f"{file}:{self.line}" if self.line else file
        lines = [f"{place}: {where}{self.text}{hint}"]
        lines += [f"    {line}" for line in self.more]
        if self.valid and not offers:
            lines.append(f"    valid: {_some(self.valid)}")
        if self.example:
            lines.append(f"    example: {self.example}")
        return [printable(line, limit=_LONGEST_LINE) for line in lines]


class Problems(Struct, eq=False):
    """The problems of one file, as they are found; ``lines`` is ``None`` of what is in none."""

    path: Path
    lines: Mapping[KeyPath, int] | None = field(default_factory=dict)
    found: list[Problem] = field(default_factory=list)
    _concerned: set[KeyPath] = field(default_factory=set)

    def add(
        self,
        keys: KeyPath,
        text: str,
        *,
        name: str = "",
        valid: Iterable[str] = (),
        example: str = "",
        more: Iterable[str] = (),
    ) -> None:
        """Note a problem at ``keys``."""
        line = 0 if self.lines is None else nearest_line(self.lines, keys)
        self.found.append(Problem(line, keys, text, name, tuple(valid), example, tuple(more)))
        self._concerned.update(keys[:length] for length in range(1, len(keys) + 1))

    def concerns(self, *keys: str) -> bool:
        """Whether a problem is already known at ``keys`` or below."""
        return keys in self._concerned

    def raise_if_any(self) -> None:
        """Raise one error with all problems in the order of the file.

        Raises:
            DeclarationError: there is at least one.
        """
        if not self.found:
            return
        file = displayed_path(self.path)
        ordered = sorted(dict.fromkeys(self.found), key=lambda problem: problem.line)
        told = [line for problem in ordered[:_MOST_SHOWN] for line in problem.lines(file)]
        if len(ordered) > _MOST_SHOWN:
            told.append(f"... and {len(ordered) - _MOST_SHOWN} more")
        if len(ordered) > 1:
            told.insert(0, f"{file}: {len(ordered)} errors")
        raise DeclarationError(told[0], details=tuple(told[1:]))


def nearest_line(lines: Mapping[KeyPath, int], keys: KeyPath) -> int:
    """Line of ``keys``, or of the nearest enclosing key that is declared; 1 without any."""
    for length in range(len(keys), 0, -1):
        line = lines.get(keys[:length])
        if line is not None:
            return line
    return 1


def dotted(keys: KeyPath) -> str:
    """A key path as TOML writes it; indices of lists in brackets."""
    text, in_list = "", False
    for position, key in enumerate(keys):
        before = keys[position - 1] if position else ""
        is_list = in_list or before in _LISTS_ANYWHERE or (position > 1 and before in _LISTS)
        in_list = key.isdigit() and is_list
        if in_list:
            text += f"[{key}]"
        else:
            bare = all(char.isalnum() or char in "-_" for char in key) and key.isascii() and key
            text += ("." if text else "") + (key if bare else json.dumps(key, ensure_ascii=False))
    return text


def toml_value(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def abbreviated(value: Any) -> str:
    """A found value, shortened to fit a line."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list) and not value:
        return "an empty list"
    text = toml_value(value) if not isinstance(value, list) or len(value) < 20 else "a list"
    return text if len(text) <= 60 else text[:57] + "..."


def _some(names: tuple[str, ...]) -> str:
    head = ", ".join(names[:12])
    return head if len(names) <= 12 else f"{head}, ... ({len(names)} in all)"
