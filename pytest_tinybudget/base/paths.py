"""Paths as people read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias


#: Turns the path of a file in results into the one that a code host knows it by.
Place: TypeAlias = Callable[[str], str]


def displayed_path(path: Path) -> str:
    """``path`` as messages name it: relative to the working directory where it lies below it."""
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()


def relative_path(path: Path, folder: Path) -> str:
    """``path`` as reports show it: from ``folder``, or whole where it is on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # drives of Windows
        return Path(os.path.normpath(path)).as_posix()


def repository_path(root: Path, path: str) -> str:
    """``path``, relative to ``root``, as the repository that it lies in has it; POSIX.

    Code hosts name files so, wherever the repository is checked out. Empty outside of one.
    """
    file = _normal(root, path)
    try:
        top = next((each for each in file.parents if (each / ".git").exists()), None)
    except (OSError, ValueError):  # no name that a file can have
        return ""
    return "" if top is None else file.relative_to(top).as_posix()


def hosted_path(root: Path, path: str, workspace: str | None = None) -> str:
    """As ``repository_path``; outside of a repository the path from the folder ``workspace``.

    Without a ``workspace`` that holds the file it is ``path`` as it is.
    """
    inside = repository_path(root, path)
    if inside or not workspace:
        return inside or path
    file, top = _normal(root, path), Path(workspace).resolve()
    return file.relative_to(top).as_posix() if file.is_relative_to(top) else path


def _normal(root: Path, path: str) -> Path:
    return Path(os.path.normpath(root.resolve() / path))
