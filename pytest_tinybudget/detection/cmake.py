"""CMake: dependencies that are fetched at configure time, and macros that are defined."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from pytest_tinybudget.detection.esp_idf import how_of_git
from pytest_tinybudget.detection.finding import FLAGS
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.flags import settings_of_macros
from pytest_tinybudget.detection.products import at_address
from pytest_tinybudget.detection.products import version_at


_FETCHES = frozenset(
    {"fetchcontent_declare", "externalproject_add", "cpmaddpackage", "cpmfindpackage"}
)
_DEFINES = frozenset(
    {
        "target_compile_definitions", "add_compile_definitions", "add_definitions",
        "target_compile_options", "add_compile_options",
    }
)  # fmt: skip
#: What ends a word, and what a quoted string may hold.
_WORD = re.compile(r'[^\s()#"]+')
_QUOTED = re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL)
_BRACKET = re.compile(r"\[(?P<level>=*)\[")
_LINE = re.compile(r"[^\n]*")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: The keys of a fetch that say what and which.
_KEYS = {"GIT_REPOSITORY", "GIT_TAG", "URL", "GITHUB_REPOSITORY", "GITLAB_REPOSITORY", "VERSION"}


class _Call(Struct, frozen=True):
    """A command with its arguments, each with the line that it begins on."""

    name: str
    line: int
    arguments: tuple[tuple[str, int], ...]


def dependencies(text: str, file: str) -> Iterator[Finding]:
    """What a CMake file fetches of TFLM and its kernels, and the macros that it defines.

    Variables count as the file itself sets them.
    """
    variables: dict[str, str] = {}
    for call in _calls(text):
        if call.name == "set" and len(call.arguments) > 1:
            variables[call.arguments[0][0]] = _expanded(call.arguments[1][0], variables)
        elif call.name in _FETCHES:
            yield from _fetched(call, variables, file)
        elif call.name in _DEFINES:
            settings = settings_of_macros(" ".join(value for value, _ in call.arguments))
            if settings:
                yield Finding(FLAGS, file, call.line, "any", settings=settings)


def _calls(text: str) -> Iterator[_Call]:
    name, line, depth = "", 0, 0
    arguments: list[tuple[str, int]] = []
    for kind, value, number in _tokens(text):
        if kind == "(":
            depth += 1
        elif kind == ")":
            depth = max(depth - 1, 0)
            if depth == 0 and name:
                yield _Call(name.casefold(), line, tuple(arguments))
                name = ""
        elif depth:
            arguments.append((value, number))
        else:
            name, line, arguments = value, number, []


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and line of each parenthesis, word and string; comments are left out.

    What does not end, a string or a comment, ends the file.
    """
    at, counted, number = 0, 0, 1
    while at < len(text):
        number += text.count("\n", counted, at)
        counted = at
        character = text[at]
        bracket = _BRACKET.match(text, at + (character == "#")) if character in "#[" else None
        if bracket is not None:
            end = text.find(f"]{bracket['level']}]", bracket.end())
            if end < 0:
                return
            if character == "[":
                yield "word", text[bracket.end() : end], number
            at = end + len(bracket["level"]) + 2
        elif character == "#":
            at = _end(_LINE, text, at)
        elif character == '"':
            end = _end(_QUOTED, text, at + 1)
            if end >= len(text):
                return
            yield "word", text[at + 1 : end], number
            at = end + 1
        elif character in "()":
            yield character, character, number
            at += 1
        else:
            end = _end(_WORD, text, at)
            if end > at:
                yield "word", text[at:end], number
            at = max(end, at + 1)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _expanded(text: str, variables: dict[str, str]) -> str:
    """``text`` with variables as set so far; a long value stays as it is."""
    expanded = _VARIABLE.sub(lambda found: variables.get(found[1], found[0]), text)
    return expanded if len(expanded) <= max(len(text), 1000) else text


def _fetched(call: _Call, variables: dict[str, str], file: str) -> Iterator[Finding]:
    given: dict[str, tuple[str, int]] = {}
    for (key, _), (value, line) in zip(call.arguments, call.arguments[1:], strict=False):
        if key in _KEYS:
            given.setdefault(key, (_expanded(value, variables), line))
    if len(call.arguments) == 1:  # CPMAddPackage("gh:owner/name#tag")
        given = _shorthand(*call.arguments[0])
    places = ("GIT_REPOSITORY", "GITHUB_REPOSITORY", "GITLAB_REPOSITORY", "URL")
    address, line = next((given[key] for key in places if key in given), ("", call.line))
    known = at_address(address)
    if known is None:
        return
    in_address = (version_at(address), line)
    version, line = given.get("GIT_TAG") or given.get("VERSION") or in_address
    if "${" in version:  # set elsewhere
        version = ""
    yield Finding(known.product, file, line, how_of_git(version), version, origin=known.origin)


def _shorthand(text: str, line: int) -> dict[str, tuple[str, int]]:
    found = re.fullmatch(r"\w+:(?P<repository>[\w./-]+)(?:[#@](?P<version>[\w./-]+))?", text)
    if found is None:
        return {}
    given = {"GITHUB_REPOSITORY": (found["repository"], line)}
    return {**given, "GIT_TAG": (found["version"], line)} if found["version"] else given
