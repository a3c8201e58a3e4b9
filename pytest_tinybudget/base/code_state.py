"""Which state of this package's code and tables runs: part of the key of what outlives a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file


#: All of the package.
WHOLE_PACKAGE = ("",)
#: How the names of files begin that hold the hash of a state of the code, and how many are kept.
_CODE, _MOST_STATES = "code-", 16
PACKAGE = Path(__file__).parents[1]
#: What installers write beside the package, with the hash of each file in it.
_RECORD = "pytest_tinybudget-*.dist-info/RECORD"

#: Path, size, times and number of a file.
_File = tuple[str, int, int, int, int]


def code_fingerprint(folder: Path, rooms: tuple[str, ...]) -> str:
    """A hash of the code and the tables of ``rooms``, by their contents.

    Installers record the hash of each file: what was not touched since need not be read. Else
    ``folder`` keeps the hash for files with these names, sizes and times, so that not all are read
    in each run.
    """
    found = _code_files(rooms)
    recorded = _as_recorded(rooms, found)
    if recorded:
        return recorded
    remembered = folder / f"{_CODE}{_stamps(found)}"
    with suppress(OSError, ValueError):
        known = remembered.read_text(encoding="ascii")
        if len(known) == 64:
            return known
    content = hashlib.sha256()
    start = len(str(PACKAGE)) + 1
    for path, *_ in found:
        content.update(f"{path[start:].replace(os.sep, '/')}\0".encode())
        with Path(path).open("rb", buffering=0) as file:
            content.update(hashlib.sha256(file.read()).digest())
    fingerprint = content.hexdigest()
    _remember(remembered, fingerprint)
    return fingerprint


def code_stamps(rooms: tuple[str, ...]) -> str:
    """A hash of the names, sizes and times of the code and the tables of ``rooms``.

    No file is read; the same code that is installed anew has another one.
    """
    return _stamps(_code_files(rooms))


def _as_recorded(rooms: tuple[str, ...], found: Sequence[_File]) -> str:
    """A hash of what the installer recorded of ``rooms``; empty where that may not hold.

    A file that was changed, added or removed later is younger than the record, or not in it.
    """
    records = list(PACKAGE.parent.glob(_RECORD))
    if len(records) != 1:
        return ""
    try:
        written = records[0].stat().st_ctime_ns
        lines = records[0].read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    starts = tuple(f"{PACKAGE.name}/{room}/" if room else f"{PACKAGE.name}/" for room in rooms)
    rows = sorted(line for line in lines if line.startswith(starts) and "/__pycache__/" not in line)
    if len(rows) != len(found) or any(max(file[2:4]) >= written for file in found):
        return ""
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _stamps(found: Sequence[_File]) -> str:
    return hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()


def _remember(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, and let go of states of the code beyond the last few."""
    with suppress(TinybudgetError, OSError):
        write_file(path, text.encode("ascii"))
        states = sorted(path.parent.glob(f"{_CODE}*"), key=lambda each: each.stat().st_mtime)
        for old in states[:-_MOST_STATES]:
            old.unlink(missing_ok=True)


def _code_files(rooms: tuple[str, ...]) -> list[_File]:
    """Those of the package's files that are in ``rooms``."""
    starts = tuple(os.path.join(PACKAGE, room, "") for room in rooms)  # noqa: PTH118
    return [file for file in _files_of(PACKAGE) if file[0].startswith(starts)]


@lru_cache(maxsize=1)
def _files_of(package: Path) -> list[_File]:
    """The files of ``package`` with size, times and number, in one order, without compiled ones.

    As they are when a process first asks: the code that runs does not change. The second time is
    that of a change as the system has it: tools may set the first one to what they like.
    """
    found, folders = [], [str(package)]
    while folders:
        below = []
        for each in sorted(os.scandir(folders.pop()), key=attrgetter("name")):
            if not each.is_dir():
                status = each.stat()
                times = status.st_mtime_ns, status.st_ctime_ns
                found.append((each.path, status.st_size, *times, status.st_ino))
            elif each.name != "__pycache__":
                below.append(each.path)
        folders += below
    return found
