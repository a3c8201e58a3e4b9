"""Temporary folders; what a run that was killed has left of them, the next one removes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress
from functools import cache
from pathlib import Path

from pytest_tinybudget.base.locks import is_free
from pytest_tinybudget.base.locks import locked


_PREFIX = "tinybudget-"
#: Locked for as long as the folder's owner lives, and not empty from then on.
_LOCK = "owner.lock"
_FILES = "files"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """An empty folder of this process, which goes with the block, or with the next run's first.

    Raises:
        OSError: it cannot be made.
    """
    _remove_abandoned(tempfile.gettempdir())
    outer = Path(tempfile.mkdtemp(prefix=_PREFIX))
    try:
        with ExitStack() as stack:
            with suppress(OSError):  # without a lock nobody else removes it
                owned = stack.enter_context(locked(outer / _LOCK))
                os.write(owned.fileno(), b"\n")
            folder = outer / _FILES
            folder.mkdir()
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            yield folder
    finally:
        shutil.rmtree(outer, ignore_errors=True)


@cache
def _remove_abandoned(root: str) -> None:
    """Remove what dead processes of this user have left in ``root``, once in a process."""
    with suppress(OSError), os.scandir(root) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and _is_abandoned(entry):
                _remove(Path(entry))


def _is_abandoned(entry: os.DirEntry[str]) -> bool:
    """Whether the folder was ours and its owner is gone; others' folders have no such lock."""
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    lock = Path(entry, _LOCK)
    try:
        ours = entry.is_dir(follow_symlinks=False) and entry.stat().st_uid == user
        return ours and lock.lstat().st_size > 0 and is_free(lock)
    except OSError:
        return False


def _remove(outer: Path) -> None:
    """The files first: what cannot be removed now has its lock for the next time."""
    shutil.rmtree(outer / _FILES, ignore_errors=True)
    if not (outer / _FILES).exists():
        shutil.rmtree(outer, ignore_errors=True)
