"""Files that the workers of pytest-xdist make and their controller writes.

A worker sends them with the report of the pair that they belong to. A file that is there already
with the same contents is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_tinybudget.base.files import Content
from pytest_tinybudget.base.files import changed
from pytest_tinybudget.base.files import write
from pytest_tinybudget.pytest_plugin.settings import FILES_ATTRIBUTE


#: Folders, relative to rootdir where they lie in it, and contents by name.
_Files = list[tuple[str, dict[str, bytes]]]

_QUEUE = pytest.StashKey[_Files]()


def queue_files(
    config: pytest.Config, folder: Path, files: Mapping[str, Content]
) -> tuple[Path, ...]:
    """As ``base.files.write``, in a worker: the files go with the next report."""
    needed = changed(folder, files)
    if needed:
        inside = folder.is_relative_to(config.rootpath)
        place = folder.relative_to(config.rootpath) if inside else folder
        config.stash.setdefault(_QUEUE, []).append((place.as_posix(), needed))
    return tuple(folder / name for name in sorted(files))


def attach_files(report: pytest.TestReport, config: pytest.Config) -> None:
    """Put the files of the queue on ``report``."""
    queued = config.stash.get(_QUEUE, None)
    if queued:
        setattr(report, FILES_ATTRIBUTE, queued)
        del config.stash[_QUEUE]


def write_files(report: pytest.TestReport, root: Path) -> None:
    """Write the files on ``report``, in the controller, and take them off it.

    Raises:
        TinybudgetError: the disk refuses, or a name is none of a plain file.
    """
    files: _Files = getattr(report, FILES_ATTRIBUTE, [])
    if files:
        delattr(report, FILES_ATTRIBUTE)
        for folder, contents in files:
            write(root / folder, contents)
