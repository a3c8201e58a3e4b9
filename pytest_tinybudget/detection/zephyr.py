"""Zephyr: manifests of west, ``zephyr/module.yml``, and Kconfig fragments as ``prj.conf``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from pytest_tinybudget.detection.esp_idf import how_of_git
from pytest_tinybudget.detection.finding import FLAGS
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.finding import Setting
from pytest_tinybudget.detection.finding import UnreadableError
from pytest_tinybudget.detection.products import Known
from pytest_tinybudget.detection.products import at_address
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.yaml_nodes import Value
from pytest_tinybudget.detection.yaml_nodes import parse


#: What west takes where a manifest names no revision (west documentation, manifest files).
_DEFAULT_REVISION = "master"
#: What the projects of a manifest are where their addresses do not say it.
_PROJECTS = {"zephyr": "zephyr", "tflite-micro": "zephyr-tflm", "cmsis-nn": "cmsis-nn"}
_OPTION = re.compile(r"^CONFIG_(?P<name>\w+)[ \t]*=[ \t]*(?P<value>\S+)", re.MULTILINE)
_ENABLES = "TENSORFLOW_LITE_MICRO"
_CMSIS_NN = "TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS"
_OPTIMIZATIONS = {"SPEED_OPTIMIZATIONS": "2", "SIZE_OPTIMIZATIONS": "s"}


def manifest(text: str, file: str) -> Iterator[Finding]:
    """Zephyr, TFLM and CMSIS-NN among the projects of a west manifest.

    Raises:
        UnreadableError: it is no manifest.
    """
    root = parse(text).at("manifest")
    if not root.is_mapping:
        raise UnreadableError("expected the key 'manifest'")
    remotes = {
        each.at("name").text: each.at("url-base").text for each in root.at("remotes").elements()
    }
    defaults = root.at("defaults")
    for project in root.at("projects").elements():
        known = _project(project, remotes, defaults.at("remote").text)
        if known is None or (known.product == "zephyr" and _leaves_tflm_out(project)):
            continue
        revision = project.at("revision")
        if not revision.text:
            revision = defaults.at("revision")
        version = revision.text or _DEFAULT_REVISION
        yield Finding(
            known.product,
            file,
            revision.line or project.line,
            how_of_git(version),
            version,
            name=project.at("name").text if known.product == "other" else "",
            origin=known.origin,
        )


def imports(text: str, file: str) -> Iterator[str]:
    """The manifests of the same repository that a manifest takes in, as paths from the root."""
    folder = PurePosixPath(file).parent
    try:
        declared = parse(text).at("manifest", "self", "import")
    except UnreadableError:
        return
    for each in declared.elements():
        path = each.at("file").text if each.is_mapping else each.text
        if path and not path.startswith("/") and ".." not in path.split("/"):
            yield (folder / path).as_posix()


def _leaves_tflm_out(zephyr: Value) -> bool:
    """Whether a manifest takes only some of Zephyr's modules, and not TFLM."""
    lists = (zephyr.at("import", key) for key in ("name-allowlist", "name-whitelist"))
    named = [[each.text for each in found.elements()] for found in lists if found.line]
    return bool(named) and not any("tflite-micro" in names for names in named)


def _project(project: Value, remotes: dict[str, str], default_remote: str) -> Known | None:
    name = project.at("name").text
    address = project.at("url").text
    if not address:
        base = remotes.get(project.at("remote").text or default_remote, "")
        address = f"{base.rstrip('/')}/{project.at('repo-path').text or name}" if base else ""
    found = at_address(address) if address else None
    if found is not None or name not in _PROJECTS:
        return found or (named(name) if address == "" else None)
    return Known(_PROJECTS[name], address)


def module(text: str, file: str) -> Iterator[Finding]:
    """A copy of TFLM that is a module of Zephyr, by its ``zephyr/module.yml``.

    Raises:
        UnreadableError: it is no such file.
    """
    name = parse(text).at("name")
    if name.text in ("tflite-micro", "cmsis-nn"):
        yield Finding(_PROJECTS[name.text], file, name.line, "copy")


def fragment(text: str, file: str) -> Iterator[Finding]:
    """What a Kconfig fragment says of TFLM; one in ``boards/`` is named after its board."""
    options = {found["name"]: found for found in _OPTION.finditer(text)}
    ours = {name: found for name, found in options.items() if name.startswith(_ENABLES)}
    if not ours:
        return
    path = PurePosixPath(file)
    board = path.stem if path.parent.name == "boards" else ""
    enables = _ENABLES in ours and ours[_ENABLES]["value"] == "y"
    settings: dict[str, str] = {}
    if enables or _CMSIS_NN in ours:
        uses = _CMSIS_NN in ours and ours[_CMSIS_NN]["value"] == "y"
        settings["kernels"] = "cmsis-nn" if uses else "reference"
    for name, level in _OPTIMIZATIONS.items():
        if name in options and options[name]["value"] == "y":
            settings["optimize"] = level
    found = tuple[Setting, ...](sorted(settings.items()))
    line = text.count("\n", 0, min(each.start() for each in ours.values())) + 1
    if enables:
        yield Finding("zephyr-tflm", file, line, "any", board=board, settings=found)
    elif found:
        yield Finding(FLAGS, file, line, "any", board=board, settings=found)
