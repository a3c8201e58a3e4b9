"""A lock on a file that processes share: the system lets go of that of a process that has died."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path) -> Iterator[IO[bytes]]:
    """Keep other processes out of the block; the file is made where it is not there.

    Raises:
        OSError: the file cannot be opened.
    """
    with path.open("ab") as file:
        _lock(file)
        try:
            yield file
        finally:
            _unlock(file)


def is_free(path: Path) -> bool:
    """Whether no process has locked the file; ``False`` also where that cannot be known."""
    try:
        with path.open("r+b") as file:
            _try_lock(file)
            _unlock(file)
    except OSError:
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        while True:
            try:
                _try_lock(file)
            except OSError:  # noqa: PERF203 - the way to wait for it
                time.sleep(0.05)
            else:
                return

    def _try_lock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _try_lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
