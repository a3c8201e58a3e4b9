"""What a child process may take, set by itself before it touches what others have made."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


_LARGEST_FILE_BYTES = 2 << 30
#: The parent's clock comes first; this one ends a job whose parent is gone.
GRACE_SECONDS = 5


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
    signal.alarm(timeout_seconds + GRACE_SECONDS)


def end_with_parent() -> None:
    """End this process when its stdin does, to which its parent writes nothing while it is there.

    What this process has started ends with it, where it leads a process group.
    """
    threading.Thread(target=_await_end, daemon=True).start()


def _await_end() -> None:
    while os.read(0, 1):
        pass
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
