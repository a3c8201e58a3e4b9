"""Takes the network from a child process, where the system lets a user do that."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def without_network() -> Callable[[], None] | None:
    """What a child is to do between fork and exec; ``None`` where nothing can be done.

    On Linux it moves into a network namespace that has no interface up, not even the loopback. A
    container may forbid that: the child then keeps its network.
    """
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    user, group = os.getuid(), os.getgid()

    def leave() -> None:
        if library.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0:
            with suppress(OSError):  # without them the child has no name, and works all the same
                Path("/proc/self/setgroups").write_text("deny")
                Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
                Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    return leave
