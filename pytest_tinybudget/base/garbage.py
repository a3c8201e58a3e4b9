"""Collections of garbage, put off while this package works.

Python collects after so many new objects, and looks at all there are: of a run that imports and
measures once, that is a tenth. What this package makes holds few cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


#: New objects after which a process of its own collects; Python's default is 700 to 2,000.
_NEW_OBJECTS = 200_000


#: So many new objects are not made of a pair, but of modules and tables, which stay.
_MODULES = 5_000


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect nothing inside the block: work that ends soon, in a process of others.

    Where the block has imported much, it is not looked through after it either, only by collections
    of everything.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MODULES and not gc.get_freeze_count():
            gc.freeze()  # and back, which takes what is young to what is old
            gc.unfreeze()
        gc.enable()


def collect_seldom() -> None:
    """Collect less often from now on, in a process of its own; memory stays bounded."""
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
