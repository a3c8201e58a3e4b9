"""Time limits that hold on slow and on busy machines too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


#: Processor time of `_known_work` on the machine that limits were set on, in seconds.
_KNOWN_SECONDS = 0.036


def slowness() -> float:
    """How many times slower than limits take for granted the machine is now; at least 1."""
    return max(1.0, _known_work() / _KNOWN_SECONDS)


@contextmanager
def soon(seconds: float) -> Iterator[None]:
    """What is done within takes less processor time than this, on the machine of the limits.

    Where it takes more, the limit is as much longer as the machine is slower now.
    """
    started = time.process_time()
    yield
    taken = time.process_time() - started
    assert taken < seconds or taken < seconds * slowness()


def _known_work() -> float:
    """Do what readers do, look up and build; how much processor time it takes, in seconds."""
    started = time.process_time()
    for start in range(40):
        rows = {index: (index, str(index)) for index in range(start, start + 5000)}
        sum(len(text) for _, text in sorted(rows.values(), reverse=True))
    return time.process_time() - started
