"""ESPHome: ``micro_wake_word``, components of the framework, and the version of ESPHome itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytest_tinybudget.detection.esp_idf import how_of
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.yaml_nodes import Value
from pytest_tinybudget.detection.yaml_nodes import parse


#: What a YAML file must say to be read at all: most have nothing to do with ESPHome.
_OF_INTEREST = re.compile(r"^micro_wake_word:|esp-tflite-micro|esp-nn", re.MULTILINE)
_REQUIRED = re.compile(r"^esphome\s*(?P<version>[=~<>!][^#;\n]*)?", re.MULTILINE)
_ADDED = re.compile(r"\badd_idf_component\((?P<arguments>[^()]{0,2000})\)")
_ARGUMENT = re.compile(r"\b(?P<key>name|ref)\s*=\s*[\"'](?P<value>[^\"'\n]*)[\"']")
_COMMENT = re.compile(r"#[^\n]*")


def device(text: str, file: str) -> Iterator[Finding]:
    """What a device's configuration says: nothing where it has no TFLM.

    Raises:
        UnreadableError: it is no YAML.
    """
    if not _OF_INTEREST.search(text):
        return
    document = parse(text)
    esp32 = document.at("esp32")
    board = esp32.at("board").text or esp32.at("variant").text
    if "$" in board:  # a substitution
        board = esp32.at("variant").text
    for component in esp32.at("framework", "components").elements():
        yield from _component(component, file, board)
    word = document.at("micro_wake_word")
    if not word.line or word.is_removed:
        return
    source = _external(document)
    if source.line:
        address = source.at("url").text or source.text or "a folder"
        yield Finding("other", file, source.line, "any", name="micro_wake_word", board=board,
                      origin=address)  # fmt: skip
        return
    least = document.at("esphome", "min_version")
    how = "range" if least.text else "any"
    version = f">={least.text}" if least.text else ""
    yield Finding("esphome", file, least.line or word.line, how, version, board=board)  # type: ignore[arg-type]


def _component(component: Value, file: str, board: str) -> Iterator[Finding]:
    """An entry of ``components``: a mapping with name and ref, or ``owner/name@version``."""
    name, _, short = component.text.partition("@")
    name = component.at("name").text or name
    known = named(name) or named(name.rpartition("/")[2])
    if known is not None:
        ref = component.at("ref")
        version = ref.text or short
        line = ref.line or component.line
        yield Finding(known.product, file, line, how_of(version), version, board=board)


def _external(document: Value) -> Value:
    """Where ``micro_wake_word`` itself comes from instead of ESPHome."""
    for each in document.at("external_components").elements():
        if any(name.text == "micro_wake_word" for name in each.at("components").elements()):
            return each.at("source")
    return Value(None, 0)


def requirements(text: str, file: str) -> Iterator[Finding]:
    """The version of ESPHome that a file of requirements installs."""
    found = _REQUIRED.search(text)
    if found:
        version = (found["version"] or "").strip()
        line = text.count("\n", 0, found.start()) + 1
        exact = version.removeprefix("==") if version.startswith("==") else version
        yield Finding("esphome", file, line, how_of(version), exact)


def component(text: str, file: str) -> Iterator[Finding]:
    """What the Python code of an external component adds; it is searched, not run."""
    for call in _ADDED.finditer(text):
        start = text.rfind("\n", 0, call.start()) + 1
        if "#" in text[start : call.start()]:
            continue
        arguments = _COMMENT.sub("", call["arguments"])
        given = {each["key"]: each["value"] for each in _ARGUMENT.finditer(arguments)}
        name = given.get("name", "")
        known = named(name)
        if known is not None:
            version = given.get("ref", "")
            line = text.count("\n", 0, call.start()) + 1
            yield Finding(known.product, file, line, how_of(version), version)
