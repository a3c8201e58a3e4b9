"""The folders of a stranger's repository that are looked at, with the names of their files.

Nothing is read: most projects have no file that says what is flashed, and no reader is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct


#: People write these files, and the longest are those of ESP-IDF's settings. A larger one is
#: something else, and YAML is read slowly: 256 KB may take seconds.
LARGEST_BYTES = 256 * 1024
#: Files that are read at most, and bytes of them.
MOST_FILES = 2000
MOST_BYTES = 8 * 1024 * 1024
#: Folders that are searched at most, and how deep.
MOST_FOLDERS = 5000
DEEPEST = 12
#: Folders that hold what was built or installed. ``managed_components`` is looked into by name.
_SKIPPED = frozenset(
    {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv", "managed_components"}
)
#: Where the ESP-IDF puts the components that it downloads, and what of them is looked at.
MANAGED = "managed_components"
MANIFEST = "idf_component.yml"
#: A header that every copy of TFLM has, and where.
_MARK = "micro_interpreter.h"
_MARKED = ("tensorflow", "lite", "micro")


class Folder(Struct, frozen=True):
    """A folder with the names of its files. ``path`` is relative to the root, POSIX."""

    path: str
    names: tuple[str, ...]

    def at(self, name: str) -> str:
        """The path of a file in it, relative to the root."""
        return f"{self.path}/{name}" if self.path else name

    @property
    def is_tflm(self) -> bool:
        """Whether it is ``tensorflow/lite/micro`` of a copy of TFLM."""
        return _MARK in self.names and tuple(self.path.split("/")[-3:]) == _MARKED


def root_around(folder: Path) -> Path:
    """The repository that ``folder`` lies in; the folder itself where it lies in none."""
    folder = folder.absolute()
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def folders_below(root: Path, left_out: frozenset[str]) -> Iterator[Folder]:
    """``root`` and the folders below it, sorted; ends after ``MOST_FOLDERS``.

    Hidden and built folders are left out, repositories within the repository, and the paths
    ``left_out``.
    """
    count = 0
    for parent, names, files in os.walk(root):
        path = Path(parent).relative_to(root).as_posix()
        path = "" if path == "." else path
        count += 1
        if count > MOST_FOLDERS:
            return
        is_other = path and ".git" in (*names, *files)
        if is_other or path in left_out or path.count("/") >= DEEPEST:
            names.clear()
        if is_other or path in left_out:
            continue
        if MANAGED in names:
            yield from _managed(root, path)
        names[:] = sorted(
            name for name in names if not name.startswith(".") and name not in _SKIPPED
        )
        yield Folder(path, tuple(sorted(files)))


def _managed(root: Path, path: str) -> Iterator[Folder]:
    """Downloaded components, whose own examples are not the project's."""
    managed = f"{path}/{MANAGED}" if path else MANAGED
    try:
        names = sorted(entry.name for entry in os.scandir(root / managed) if entry.is_dir())
    except OSError:
        return
    for name in names:
        yield Folder(f"{managed}/{name}", (MANIFEST,))
