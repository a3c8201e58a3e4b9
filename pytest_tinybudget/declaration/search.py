"""Finds declarations by path, in the working directory or in another tree."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path

from pytest_tinybudget.declaration.declared import FILE_NAME


#: Folders that are not searched: nobody keeps a declaration or a model there.
_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "build", "dist", "node_modules", "site-packages", "venv"}
)


def find_files(folder: Path, pattern: str) -> Iterator[Path]:
    """Files in and below ``folder`` that match, sorted; hidden and built folders are left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and name not in _SKIPPED_FOLDERS
        )
        yield from (Path(parent, name) for name in sorted(fnmatch.filter(files, pattern)))


def declarations_at(path: Path) -> Iterator[Path]:
    """The declarations in and below a folder. Any other path is returned as it is."""
    yield from find_files(path, FILE_NAME) if path.is_dir() else (path,)


def split_argument(argument: str) -> tuple[str, str, str]:
    """The three parts of ``PATH[::MODEL[::BOARD]]``; those left out are empty."""
    path, model, board = (*argument.split("::", 2), "", "")[:3]
    return path, model, board
