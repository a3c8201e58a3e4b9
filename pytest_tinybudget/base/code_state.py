"""Which state of this package's code and tables runs: part of the key of what outlives a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import write_file


#: All of the package.
WHOLE_PACKAGE = ("",)
#: How the names of files begin that hold the hash of a state of the code, and how many are kept.
_CODE, _MOST_STATES = "code-", 16
PACKAGE = Path(__file__).parents[1]

#: Path, size, times and number of a file.
_File = tuple[str, int, int, int, int]


def code_fingerprint(folder: Path, rooms: tuple[str, ...]) -> str:
    """A hash of the code and the tables of ``rooms``, by their contents.

    ``folder`` keeps it for files with these names, sizes and times, so that not all are read in
    each run.
    """
    found = list(_code_files(rooms))
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
    return _stamps(list(_code_files(rooms)))


def _stamps(found: Sequence[_File]) -> str:
    return hashlib.sha256(repr(found).encode(errors="surrogateescape")).hexdigest()


def _remember(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, and let go of states of the code beyond the last few."""
    with suppress(TinybudgetError, OSError):
        write_file(path, text.encode("ascii"))
        states = sorted(path.parent.glob(f"{_CODE}*"), key=lambda each: each.stat().st_mtime)
        for old in states[:-_MOST_STATES]:
            old.unlink(missing_ok=True)


def _code_files(rooms: tuple[str, ...]) -> Iterator[_File]:
    """The files of ``rooms`` with size, times and number, in one order, compiled ones left out.

    The second time is that of a change as the system has it: tools may set the first one to what
    they like.
    """
    folders = [str(PACKAGE / room) for room in rooms]
    while folders:
        below = []
        for each in sorted(os.scandir(folders.pop()), key=attrgetter("name")):
            if not each.is_dir():
                found = each.stat()
                times = found.st_mtime_ns, found.st_ctime_ns
                yield each.path, found.st_size, *times, found.st_ino
            elif each.name != "__pycache__":
                below.append(each.path)
        folders += below
