"""Reads a project's files: which reader is for which file, and what all of them found."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.detection import arduino
from pytest_tinybudget.detection import cmake
from pytest_tinybudget.detection import esp_idf
from pytest_tinybudget.detection import esphome
from pytest_tinybudget.detection import platformio
from pytest_tinybudget.detection import submodules
from pytest_tinybudget.detection import zephyr
from pytest_tinybudget.detection.finding import Detection
from pytest_tinybudget.detection.finding import Finding
from pytest_tinybudget.detection.finding import Problem
from pytest_tinybudget.detection.finding import UnreadableError
from pytest_tinybudget.detection.folders import MOST_BYTES
from pytest_tinybudget.detection.folders import MOST_FILES
from pytest_tinybudget.detection.folders import MOST_FOLDERS
from pytest_tinybudget.detection.folders import Folder
from pytest_tinybudget.detection.folders import folders_below
from pytest_tinybudget.detection.names import PATTERNS
from pytest_tinybudget.detection.names import matching
from pytest_tinybudget.detection.products import named
from pytest_tinybudget.detection.reading import text_of


#: What one file may say at most.
_MOST_FINDINGS = 200

#: Text and path of a file to what it says.
Reader = Callable[[str, str], Iterator[Finding]]


class Kind(Struct, frozen=True):
    """Files of a format: a pattern that their whole paths match, and what reads them."""

    name: str
    pattern: re.Pattern[str]
    read: Reader


_READERS: dict[str, Reader] = {
    "dependencies.lock": esp_idf.lock,
    "idf_component.yml": esp_idf.manifest,
    "sdkconfig": esp_idf.sdkconfig,
    "west.yml": zephyr.manifest,
    "zephyr/module.yml": zephyr.module,
    "prj.conf": zephyr.fragment,
    "library.properties": arduino.properties,
    "sketch.yaml": arduino.sketch,
    "platformio.ini": platformio.environments,
    "CMakeLists.txt": cmake.dependencies,
    "ESPHome's YAML": esphome.device,
    "requirements.txt": esphome.requirements,
    "components/*/__init__.py": esphome.component,
}
#: The first that matches reads a file.
KINDS = tuple(Kind(name, matching(name), _READERS[name]) for name in PATTERNS)

#: What is looked for, in words: lines that fit doctor in 80 columns, behind its names.
LOOKED_FOR = tuple(
    textwrap.wrap(
        f"looked for {', '.join((submodules.FILE, *PATTERNS))}",
        52,
        break_on_hyphens=False,
        break_long_words=False,
        subsequent_indent="  ",
    )
)


def detect(root: Path) -> Detection:
    """What the files in and below ``root`` say of the TFLM that is flashed.

    Nothing is run but git, which reads its index, and nothing is fetched. A file that cannot be
    read is a problem, and the others count.
    """
    search = _Search(root)
    search.run()
    found = sorted(search.findings, key=lambda each: (each.file, each.line))
    # A file that says the same several times says it once.
    first = {replace(each, line=0): each for each in reversed(found)}
    return Detection(tuple(reversed(first.values())), tuple(search.problems), (*search.looked_at,))


class _Search:
    """One search, as far as it has come."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.findings: list[Finding] = []
        self.problems: list[Problem] = []
        self.looked_at: list[str] = []
        self.copies: list[str] = []
        self.bytes_left = MOST_BYTES
        self.is_full = False

    def run(self) -> None:
        left_out = self.submodules()
        count = 0
        for folder in folders_below(self.root, left_out):
            count += 1
            if self.is_full:
                break
            if any(folder.path.startswith(f"{copy}/") for copy in self.copies):
                continue  # the examples of a library are not the project's
            self.look_into(folder)
        if self.is_full or count >= MOST_FOLDERS:
            text = "too many files" if self.is_full else f"more than {MOST_FOLDERS} folders"
            self.problems.append(Problem(".", f"{text}: the rest was not looked at"))

    def submodules(self) -> frozenset[str]:
        """Read ``.gitmodules``; the paths of the submodules, which are others' repositories."""
        text = self.text(submodules.FILE)
        if text is None:
            return frozenset()
        try:
            found = submodules.Submodules(text)
        except UnreadableError as error:
            self.note(submodules.FILE, error)
            return frozenset()
        commits = submodules.commits_of(self.root, found.paths)
        self.findings += found.findings(self.root, commits)
        return found.paths

    def look_into(self, folder: Folder) -> None:
        before = len(self.findings)
        for name in folder.names:
            path = folder.at(name)
            kind = next((each for each in KINDS if each.pattern.match(path)), None)
            if kind is not None:
                self.read(kind, path)
        found = self.findings[before:]
        is_copy = any(each.how in ("copy", "lock") and each.folder == folder.path for each in found)
        if folder.path and is_copy and (named(folder.path.rpartition("/")[2]) or _own(found)):
            self.copies.append(folder.path)
        if folder.is_tflm:
            self.copy_of_tflm(folder)

    def copy_of_tflm(self, folder: Folder) -> None:
        """The sources of TFLM lie there, and nothing above has said whose they are.

        They are of what a folder above is called (``pico-tflmicro``), else of TFLM itself.
        """
        top = folder.path.removesuffix("/tensorflow/lite/micro")
        top = "" if top == "tensorflow/lite/micro" else top
        above = {each.folder for each in self.findings if each.how in ("copy", "lock")}
        if not any(each in ("", top) or top.startswith(f"{each}/") for each in above):
            names = map(named, reversed(top.split("/")))
            known = (each.product for each in names if each is not None)
            product = next((each for each in known if each != "other"), "tflite-micro")
            self.findings.append(Finding(product, folder.path, 0, "copy"))

    def read(self, kind: Kind, path: str) -> None:
        text = self.text(path)
        if text is None:
            return
        try:
            self.findings += islice(kind.read(text, path), _MOST_FINDINGS)
            if kind.read is zephyr.manifest:
                self.imported(text, path)
        except UnreadableError as error:
            self.note(path, error)

    def imported(self, text: str, path: str) -> None:
        """Manifests that a west manifest takes in, of other names."""
        west = next(kind for kind in KINDS if kind.read is zephyr.manifest)
        for each in zephyr.imports(text, path):
            if each not in self.looked_at:
                for file in self.manifests(each):
                    self.read(west, file)

    def manifests(self, path: str) -> list[str]:
        """The file at ``path``, or the manifests in that folder."""
        folder = self.root / path
        if not folder.is_dir():
            return [path]
        names = sorted(entry.name for entry in folder.iterdir())
        return [f"{path}/{name}" for name in names if name.endswith((".yml", ".yaml"))]

    def text(self, path: str) -> str | None:
        try:
            text = text_of(self.root, path)
        except UnreadableError as error:
            self.note(path, error)
            return None
        if text is None:
            return None
        self.bytes_left -= len(text)
        if self.bytes_left < 0 or len(self.looked_at) >= MOST_FILES:
            self.is_full = True
            return None
        self.looked_at.append(path)
        return text

    def note(self, path: str, error: UnreadableError) -> None:
        place = f"{path}:{error.line}" if error.line else path
        self.problems.append(Problem(place, error.text))


def _own(found: list[Finding]) -> bool:
    """Whether a folder says of itself that it is a copy of a library."""
    return any(each.how == "copy" and each.file.endswith("library.properties") for each in found)
