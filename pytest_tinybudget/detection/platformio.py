"""PlatformIO: libraries, boards and build flags of the environments of ``platformio.ini``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from pytest_tinybudget.detection.esp_idf import how_of
from pytest_tinybudget.detection.esp_idf import how_of_git
from pytest_tinybudget.detection.finding import FLAGS
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.flags import settings_of
from pytest_tinybudget.detection.ini import line_of
from pytest_tinybudget.detection.ini import parse_ini
from pytest_tinybudget.detection.products import at_address
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.products import split_version
from pytest_tinybudget.detection.products import version_at


_REFERENCE = re.compile(r"\$\{(?P<section>[^{}]+?)\.(?P<key>[^{}.]+)\}")
#: How deep values may refer to values, or sections extend sections.
_DEEPEST = 5
#: References that are followed in one file, which else could multiply without end.
_MOST_REFERENCES = 2000
#: The packages of an environment that are looked at.
_MOST_PACKAGES = 200
#: The keys whose entries are packages.
_PACKAGES = ("lib_deps", "platform_packages", "custom_component_add")
_ADDRESS = re.compile(r"(?:git\+)?\w{2,10}://|git@")


def environments(text: str, file: str) -> Iterator[Finding]:
    """What each environment takes, with its board and flags.

    Raises:
        UnreadableError: it is no INI file.
    """
    project = _Project(text)
    for section in project.parser.sections():
        if not section.startswith("env:"):
            continue
        board = project.value(section, "board").strip()
        settings = settings_of(project.value(section, "build_flags"))
        found = [
            replace(each, line=line_of(project.lines, section, entry), settings=settings)
            for key in _PACKAGES
            for entry in _entries(project.value(section, key))[:_MOST_PACKAGES]
            for each in _package(entry, file)
        ]
        if settings and not found:
            line = line_of(project.lines, section, "build_flags")
            found = [Finding(FLAGS, file, line, "any", settings=settings)]
        for finding in found:
            yield replace(finding, board=board, scope=section)


class _Project:
    """A parsed file: values with their references, and the lines that things stand on."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.references = 0
        self.parser = parse_ini(text)

    def value(self, section: str, key: str, depth: int = 0) -> str:
        """A key of a section, of those that it extends, or of ``[env]``; empty without it."""
        if depth > _DEEPEST:
            return ""
        own = self.parser.get(section, key, fallback=None)
        if own is not None:
            return self._expanded(own, depth)
        if section != "env" and key != "extends":
            extended = self.parser.get(section, "extends", fallback=None) or ""
            for other in _entries(extended):
                found = self.value(other, key, depth + 1)
                if found:
                    return found
            if section.startswith("env:"):
                return self.value("env", key, depth + 1)
        return ""

    def _expanded(self, text: str, depth: int) -> str:
        def replaced(reference: re.Match[str]) -> str:
            self.references += 1
            if self.references > _MOST_REFERENCES:
                return ""
            return self.value(reference["section"], reference["key"], depth + 1)

        return _REFERENCE.sub(replaced, text)


def _entries(text: str) -> list[str]:
    return [entry for each in re.split(r"\n|,\s", text) if (entry := each.strip().rstrip(","))]


def _package(entry: str, file: str) -> Iterator[Finding]:
    """A package: ``owner/name@^1.0``, ``name``, an address with ``#tag``, ``name=address``."""
    if entry.startswith(("#", ";")):
        return
    address = _ADDRESS.search(entry)
    if address is not None:
        located = entry[address.start() :]
        known = at_address(located)
        if known is not None:
            version = version_at(located)
            how = how_of_git(version)
            yield Finding(known.product, file, 0, how, version, origin=known.origin)
        return
    name, version = split_version(entry, at_sign=True)
    known = named(name) or named(name.rpartition("/")[2])
    if known is not None:
        yield Finding(known.product, file, 0, how_of(version), version, name=name)
