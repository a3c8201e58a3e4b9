"""Paths as people read them."""

from __future__ import annotations

import os
from pathlib import Path


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
