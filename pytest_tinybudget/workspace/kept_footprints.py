"""Footprints that outlive a run: kept by a model's content, its firmware and the package's code.

A model has one file, with all that was measured of it. A footprint is taken from there only if all
that decides it is the same: the model's content, the firmware with the contents of the user's own
table, and the code and tables of this package. Whatever else is in the file is left alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from pytest_tinybudget.base.code_state import code_fingerprint
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import keep_below
from pytest_tinybudget.base.files import write_file
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.footprint.result import Estimate
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.runtimes.runtime import Runtime


#: The most that is kept, bytes; the models that were measured longest ago go first.
LIMIT_BYTES = 64 * 1024**2
#: The most footprints of one model; the ones that were made first go first.
_MOST_OF_A_MODEL = 256
_SUFFIX = ".footprints"
#: What decides a footprint: the code and tables of these rooms.
_ROOMS = ("base", "footprint", "graph", "runtimes")


class KeptFootprints:
    """Footprints in ``folder``, which need not exist, and is made when something is kept.

    Where the disk refuses, nothing is kept, and each run measures for itself.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: What is known of each model, by its SHA-256, and which of them have more than the disk.
        self._known: dict[str, dict[str, msgspec.Raw]] = {}
        self._more: set[str] = set()
        self._code = ""
        self._wrote = False
        #: Firmware as it is in keys.
        self._firmwares: Remembered[Firmware, bytes] = Remembered()

    def get(
        self, model: Model, firmware: Firmware, what: str, measure: Callable[[], Estimate]
    ) -> Estimate:
        """The estimate of ``model`` in ``firmware``; made now if it is not kept.

        ``what`` tells apart what is asked of the two. What ``measure`` raises is raised, and is
        not kept.

        Raises:
            TinybudgetError: the user's own table cannot be read, or ``measure`` raised it.
        """
        key = self._key(firmware, what)
        known = self._of(model.sha256)
        kept = known.get(key)
        if kept is not None:
            with suppress(msgspec.MsgspecError):
                return msgspec.msgpack.decode(kept, type=Estimate)
        estimate = measure()
        known[key] = msgspec.Raw(msgspec.msgpack.encode(estimate))
        self._more.add(model.sha256)
        return estimate

    def keep(self, sha256: str) -> None:
        """Write what was measured of a model, and let go of it."""
        known = self._known.pop(sha256, {})
        if sha256 not in self._more:
            return
        self._more.discard(sha256)
        newest = list(known.items())[-_MOST_OF_A_MODEL:]
        body = msgspec.msgpack.encode(dict(newest))
        with suppress(TinybudgetError):
            write_file(self._path(sha256), iter((_digest(sha256, body), body)))
            self._wrote = True

    def close(self) -> None:
        """Write what is left, and let go of what was written longest ago above the limit."""
        for sha256 in tuple(self._known):
            self.keep(sha256)
        if self._wrote:
            shrink(self._folder, LIMIT_BYTES)

    def size(self) -> tuple[int, int]:
        """Of how many models footprints are kept, and their bytes on disk."""
        sizes = []
        for path in files(self._folder):
            with suppress(OSError):
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def clear(self) -> int:
        """Remove what is kept; of how many models that was."""
        removed = 0
        for path in files(self._folder):
            with suppress(OSError):
                path.unlink()
                removed += 1
        return removed

    def _of(self, sha256: str) -> dict[str, msgspec.Raw]:
        if sha256 not in self._known:
            self._known[sha256] = _read(self._path(sha256), sha256)
        return self._known[sha256]

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}{_SUFFIX}"

    def _key(self, firmware: Firmware, what: str) -> str:
        if not self._code:
            self._code = code_fingerprint(self._folder, _ROOMS)
        content = self._firmwares.get(firmware)
        if content is None:
            # Sets in one order: that of ``repr`` is another one in each process.
            content = msgspec.json.encode(firmware, order="deterministic")
            self._firmwares.keep(firmware, content)
        digest = hashlib.sha256(content)
        for part in (what, self._code, *_own_tables(firmware.runtime)):
            digest.update(b"\0" + part.encode())
        return digest.hexdigest()


def files(folder: Path) -> list[Path]:
    """The files of kept footprints."""
    try:
        return [Path(each.path) for each in os.scandir(folder) if each.name.endswith(_SUFFIX)]
    except OSError:
        return []


def shrink(folder: Path, limit: int) -> None:
    """Remove the files that were written longest ago until at most ``limit`` bytes are left."""
    keep_below(files(folder), limit)


def _own_tables(runtime: Runtime) -> Iterator[str]:
    """The hashes of the user's own tables."""
    for each in (runtime, *runtime.one_of):
        if not each.graph:
            continue
        try:
            yield hashlib.sha256(Path(each.graph).read_bytes()).hexdigest()
        except OSError as error:
            raise TinybudgetError(f"runtime table {each.graph}: {error.strerror}") from error


def _read(path: Path, sha256: str) -> dict[str, msgspec.Raw]:
    """What is kept in ``path``; nothing where it is damaged or another model's."""
    with suppress(OSError, msgspec.MsgspecError):
        content = path.read_bytes()
        if content[:32] == _digest(sha256, content[32:]):
            found = msgspec.msgpack.decode(content[32:], type=dict[str, msgspec.Raw])
            return {key: msgspec.Raw(value) for key, value in found.items()}
    return {}


def _digest(sha256: str, body: bytes) -> bytes:
    """Of all of a file, and of the model: a copy under another name holds nothing."""
    digest = hashlib.sha256(sha256.encode())
    digest.update(body)
    return digest.digest()
