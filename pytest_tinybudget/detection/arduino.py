"""Arduino: ``library.properties``, and the profiles of ``sketch.yaml``."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.detection.esp_idf import how_of
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.products import split_version
from pytest_tinybudget.detection.yaml_nodes import Value
from pytest_tinybudget.detection.yaml_nodes import parse


def properties(text: str, file: str) -> Iterator[Finding]:
    """A copy of a library, by its ``library.properties``, and the libraries that one needs."""
    keys: dict[str, tuple[str, int]] = {}
    for number, written in enumerate(text.splitlines(), 1):
        key, separator, value = written.partition("=")
        if separator and not key.lstrip().startswith("#"):
            keys[key.strip()] = (value.strip(), number)
    name, line = keys.get("name", ("", 0))
    own = named(name)
    if own is not None:
        version = keys.get("version", ("", 0))[0]
        yield Finding(own.product, file, line, "copy", version, name=name)
    needed, line = keys.get("depends", ("", 0))
    for each in needed.split(","):
        yield from _library(each, file, line)


def sketch(text: str, file: str) -> Iterator[Finding]:
    """The libraries of each build profile of ``sketch.yaml``, with its board.

    Raises:
        UnreadableError: it is no YAML.
    """
    document = parse(text)
    for name, profile in document.at("profiles").items():
        board = _board(profile.at("fqbn"))
        for library in profile.at("libraries").elements():
            entry = library.at("dependency") if library.is_mapping else library
            scope = f"profile {name}"
            yield from _library(entry.text, file, entry.line or library.line, board, scope)


def _board(fqbn: Value) -> str:
    """``nano33ble`` of ``arduino:mbed_nano:nano33ble:option=value``."""
    return next(iter(fqbn.text.split(":")[2:3]), "")


def _library(
    text: str, file: str, line: int, board: str = "", scope: str = ""
) -> Iterator[Finding]:
    name, version = split_version(text)
    known = named(name)
    if known is not None:
        yield Finding(known.product, file, line, how_of(version), version, name, board, scope)
