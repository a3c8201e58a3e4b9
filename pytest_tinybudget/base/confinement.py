"""What a child process may take, set by itself before it touches what others have made."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


_LARGEST_FILE_BYTES = 2 << 30
#: The parent's clock comes first; this one ends a child whose parent is gone.
GRACE_SECONDS = 5
_POLL_MILLISECONDS = 50


def limit_resources(memory_bytes: int, timeout_seconds: int) -> None:
    """Allow this process ``memory_bytes`` more than it has, and ``timeout_seconds`` from now.

    Memory is limited on Linux only; Windows has neither limit, there the parent's clock counts.
    """
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE_BYTES, _LARGEST_FILE_BYTES))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    limit_time(timeout_seconds)


def end_with_parent(timeout_seconds: int) -> None:
    """End this process when its stdin ends: when its parent is gone, however it went.

    What this process has started ends with it, where it leads a process group. From now on stdin
    is empty. Native code that lets no thread run ends after ``timeout_seconds``, but on Windows.
    """
    parent = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    limit_time(timeout_seconds)
    threading.Thread(target=_await_end, args=(parent,), daemon=True).start()


def lines_of_parent(take: Callable[[bytes], object]) -> None:
    """Give ``take`` each line that the parent writes to stdin; end this process when stdin ends.

    From now on stdin is empty for everybody else.
    """
    parent = os.fdopen(os.dup(0), "rb")
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)

    def read() -> None:
        for line in parent:
            take(line)
        _end()

    threading.Thread(target=read, daemon=True).start()


@contextmanager
def ending_with_parent(timeout_seconds: int) -> Iterator[None]:
    """As ``end_with_parent`` for a block, on Linux; stdin stays, and no thread is left of it."""
    done = threading.Event()
    watch = threading.Thread(target=_watch_end, args=(done,), daemon=True)
    limit_time(timeout_seconds)
    watch.start()
    try:
        yield
    finally:
        done.set()
        watch.join()
        signal.alarm(0)


def limit_time(seconds: int) -> None:
    """End this process some grace after ``seconds`` from now, but on Windows; 0 takes that back.

    It counts where native code lets no thread run as well.
    """
    if sys.platform != "win32":
        signal.alarm(seconds + GRACE_SECONDS if seconds else 0)


def _await_end(parent: int) -> None:
    while os.read(parent, 1):
        pass
    _end()


def _watch_end(done: threading.Event) -> None:
    parent = select.poll()
    parent.register(0, 0)  # told of its end, not of what there is to read
    while not done.is_set():
        if parent.poll(_POLL_MILLISECONDS):
            _end()


def _end() -> None:
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
