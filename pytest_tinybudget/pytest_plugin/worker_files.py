"""Files that the workers of pytest-xdist make and their controller writes.

A worker hands them over with the report of the pair that they belong to; a file that is there
already with the same contents is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_tinybudget.base.files import changed
from pytest_tinybudget.base.files import write


#: The attribute of a report that holds them: a folder, and contents by name.
ATTRIBUTE = "tinybudget_files"

_Files = list[tuple[str, dict[str, bytes]]]

_WAITING = pytest.StashKey[_Files]()


def post(config: pytest.Config, folder: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """As ``artifacts.write``, in a worker: the files go with the next report."""
    needed = changed(folder, files)
    if needed:
        inside = folder.is_relative_to(config.rootpath)
        shown = folder.relative_to(config.rootpath) if inside else folder
        config.stash.setdefault(_WAITING, []).append((shown.as_posix(), needed))
    return tuple(folder / name for name in sorted(files))


def attach(report: pytest.TestReport, config: pytest.Config) -> None:
    """Put the files that wait on ``report``."""
    waiting = config.stash.get(_WAITING, None)
    if waiting:
        setattr(report, ATTRIBUTE, waiting)
        del config.stash[_WAITING]


def write_posted(report: pytest.TestReport, root: Path) -> None:
    """Write the files on ``report``, in the controller; nobody else sees them.

    Raises:
        TinybudgetError: the disk refuses, or a name is none of a plain file.
    """
    files: _Files = getattr(report, ATTRIBUTE, [])
    if files:
        delattr(report, ATTRIBUTE)
        for folder, contents in files:
            write(root / folder, contents)
