"""Footprints that the processes of one run share, so that each is measured once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from contextlib import suppress
from pathlib import Path

import msgspec

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.base.locks import locked
from pytest_tinybudget.footprint.result import Estimate


class SharedFootprints:
    """Footprints in ``folder``, which lives as long as the run and belongs to its user alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, measure: Callable[[], Estimate]) -> Estimate:
        """The estimate of ``key``, which says all that it depends on; made by one process.

        What ``measure`` raises is raised, and is not kept. Where the disk refuses, each process
        measures for itself: no result depends on that.
        """
        path = self._folder / hashlib.sha256(key.encode()).hexdigest()
        with ExitStack() as stack:
            with suppress(OSError):
                stack.enter_context(locked(path.with_suffix(".lock")))
            with suppress(OSError, msgspec.DecodeError):
                return msgspec.msgpack.decode(path.read_bytes(), type=Estimate)
            estimate = measure()
            with suppress(TinybudgetError):
                write_file(path, msgspec.msgpack.encode(estimate))
        return estimate
