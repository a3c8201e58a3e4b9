"""ESP-IDF: ``dependencies.lock``, manifests of components, downloaded components, ``sdkconfig``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from pytest_tinybudget.detection.finding import FLAGS
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.finding import How
from pytest_tinybudget.detection.finding import Setting
from pytest_tinybudget.detection.finding import UnreadableError
from pytest_tinybudget.detection.folders import MANAGED
from pytest_tinybudget.detection.products import Known
from pytest_tinybudget.detection.products import at_address
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.yaml_nodes import Value
from pytest_tinybudget.detection.yaml_nodes import parse


#: What stands for any version in a manifest.
_ANY = ("", "*")
_EXACT = re.compile(r"(?:==)?\s*v?\d+(?:\.\d+){2,3}(?:~\d+)?(?:[-+][\w.+-]+)?\Z")
_COMMIT = re.compile(r"[0-9a-f]{7,40}\Z")
_BRANCHES = frozenset({"main", "master", "head", "develop", "dev", "trunk"})
_TARGET = re.compile(r'^CONFIG_IDF_TARGET="(?P<target>\w+)"', re.MULTILINE)
_PLAIN_KERNELS = re.compile(r"^CONFIG_NN_ANSI_C=y", re.MULTILINE)


def lock(text: str, file: str) -> Iterator[Finding]:
    """The components that ``dependencies.lock`` holds to, and the chip of the last build.

    Raises:
        UnreadableError: it is no such file.
    """
    document = parse(text)
    if not document.is_mapping:
        raise UnreadableError("expected the keys of a lock file")
    target = document.at("target").text
    for name, entry in document.at("dependencies").items():
        known, origin = _known(name, entry.at("source"))
        if known is None:
            continue
        version = entry.at("version")
        is_local = entry.at("source", "type").text == "local"
        yield Finding(
            known.product,
            file,
            version.line or entry.line,
            "any" if is_local else "lock",
            "" if is_local else version.text,
            board=target,
            origin=known.origin or origin,
        )


def manifest(text: str, file: str) -> Iterator[Finding]:
    """What ``idf_component.yml`` depends on, and whose own manifest it is.

    Raises:
        UnreadableError: it is no such file.
    """
    document = parse(text)
    folder = PurePosixPath(file).parent
    own = named(folder.name) or at_address(document.at("repository").text)
    version = document.at("version")
    is_managed = folder.parent.name == MANAGED
    if own is not None and version.text:
        how: How = "lock" if is_managed else "copy"
        yield Finding(own.product, file, version.line, how, version.text, origin=own.origin)
    if is_managed:
        return
    for name, entry in document.at("dependencies").items():
        yield from _dependency(name, entry, file)


def _dependency(name: str, entry: Value, file: str) -> Iterator[Finding]:
    known, _ = _known(name, entry)
    if known is None:
        return
    if entry.at("override_path").text or entry.at("path").text:
        return  # the copy that it names is found where it lies
    version = entry.at("version") if entry.is_mapping else entry
    is_git = bool(entry.at("git").text)
    yield Finding(
        known.product,
        file,
        version.line or entry.line,
        how_of_git(version.text) if is_git else how_of(version.text),
        version.text,
        origin=known.origin,
    )


def _known(name: str, source: Value) -> tuple[Known | None, str]:
    """What a component is, by the repository that it comes from or else by its name."""
    address = source.at("git").text
    by_name = named(name) or named(name.rpartition("/")[2])
    if address:
        return at_address(address) or by_name, ""
    owner, _, _ = name.rpartition("/")
    if by_name is not None and owner not in ("", "espressif"):
        return Known(by_name.product, name), ""
    return by_name, ""


def how_of(version: str) -> How:
    """How a constraint of a registry is to be read."""
    if version in _ANY:
        return "any"
    return "exact" if _EXACT.match(version) else "range"


def how_of_git(revision: str) -> How:
    """How a revision of git is to be read: a branch of the usual names may be anything."""
    if not revision or revision.casefold().removeprefix("origin/") in _BRANCHES:
        return "any"
    return "exact"


def is_commit(revision: str) -> bool:
    """Whether it is the id of a commit, in full or abbreviated."""
    return _COMMIT.match(revision) is not None


def sdkconfig(text: str, file: str) -> Iterator[Finding]:
    """The chip that an ESP-IDF project is built for, and whether esp-nn is plain C."""
    target = _TARGET.search(text)
    plain = _PLAIN_KERNELS.search(text)
    settings: tuple[Setting, ...] = (("vectors", ""),) if plain else ()
    first = min((found.start() for found in (target, plain) if found), default=None)
    if first is not None:
        line = text.count("\n", 0, first) + 1
        board = target["target"] if target else ""
        yield Finding(FLAGS, file, line, "any", board=board, settings=settings)
