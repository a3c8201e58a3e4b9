"""Conversions kept on disk by fingerprint: whole or not at all, checked when read, limited in size.

An entry is one file: a line with the hash of its key and all that follows, a line of JSON (report,
files that code has read), then the model. One file can be replaced in one step, so that readers
never see half an entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import ExitStack
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec import Struct

from pytest_tinybudget.base.cache_folder import FOLDER_VARIABLE
from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.files import file_digest
from pytest_tinybudget.base.files import keep_below
from pytest_tinybudget.base.locks import locked
from pytest_tinybudget.base.units import parse_size


LIMIT_VARIABLE = "TINYBUDGET_CACHE_LIMIT"
#: Small models by the thousand; the longest unused go first.
DEFAULT_LIMIT_BYTES = 512 * 1024**2

_SUFFIX = ".int8"
#: A draft that is older was left by a process that has died.
_OLDEST_DRAFT_SECONDS = 24 * 3600


class Entry(Struct, frozen=True):
    """A kept conversion: the model's bytes, and what the report of its conversion says."""

    content: bytes
    report: dict[str, Any]


class Listed(Struct, frozen=True):
    """An entry as ``tinybudget cache`` lists it; ``used`` is a time in seconds since 1970."""

    key: str
    source: str
    bytes: int
    used: float


def limit_bytes() -> int:
    """The most that the cache may hold.

    Raises:
        TinybudgetError: ``TINYBUDGET_CACHE_LIMIT`` is no size.
    """
    named = os.environ.get(LIMIT_VARIABLE)
    if not named:
        return DEFAULT_LIMIT_BYTES
    try:
        return parse_size(named)
    except ValueError as error:
        raise TinybudgetError(f"{LIMIT_VARIABLE}: {error}") from None


class Cache:
    """The entries in ``folder``, at most ``limit`` bytes of them."""

    def __init__(self, folder: Path, limit: int = DEFAULT_LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit = limit

    def get(self, key: str, root: Path) -> Entry | None:
        """The entry of ``key`` if it is whole and the files its code has read are unchanged.

        ``root`` is the folder that the names of those files are relative to.
        """
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        entry = _checked(key, content)
        if entry is None:
            self._remove(path)
            return None
        if not _unchanged(entry.report.get("read", {}), root):
            return None
        with suppress(OSError):
            os.utime(path)  # the time of its last use decides who goes first
        return entry

    def put(self, key: str, entry: Entry) -> str:
        """Keep ``entry``, and let go of the longest unused ones above the limit.

        Returns why the disk refuses, which is no reason to fail; empty where it does not.
        """
        body = json.dumps(entry.report).encode() + b"\n" + entry.content
        path = self._path(key)
        draft = path.with_name(f".{key}.{os.urandom(8).hex()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                draft.write_bytes(_digest(key, body) + b"\n" + body)
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)
        except OSError as error:
            return (
                f"not kept: the conversion cache {self.folder} cannot be written: "
                f"{error.strerror or error}; {FOLDER_VARIABLE} names another folder"
            )
        self._shrink(keep=path)
        return ""

    def entries(self) -> list[Listed]:
        """What is kept, the longest unused first."""
        found = []
        for path in self._files():
            with suppress(OSError):
                status = path.stat()
                key = path.name.removesuffix(_SUFFIX)
                found.append(Listed(key, _source_of(path), status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (entry.used, entry.key))

    def clear(self) -> int:
        """Remove every entry; how many there were."""
        self._sweep()
        return sum(self._remove(path) for path in self._files())

    @contextmanager
    def locked(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep other processes from converting the models of ``keys`` until the block ends.

        The system lets go of the locks of a process that has died. Where the disk refuses, others
        may do the same work; no result depends on that.
        """
        folder = self.folder / "locks"
        with ExitStack() as stack:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                # In one order, so that no two processes wait for each other.
                for name in sorted({key[:2] for key in keys}):
                    stack.enter_context(locked(folder / name))
            yield

    def _path(self, key: str) -> Path:
        return self.folder / "models" / key[:2] / f"{key}{_SUFFIX}"

    def _files(self) -> Iterator[Path]:
        return (self.folder / "models").glob(f"*/*{_SUFFIX}")

    def _remove(self, path: Path) -> bool:
        try:
            path.unlink()
        except OSError:
            return False
        return True

    def _sweep(self) -> None:
        """Remove what processes that have died left half-written."""
        oldest = time.time() - _OLDEST_DRAFT_SECONDS
        for draft in (self.folder / "models").glob("*/.*"):
            with suppress(OSError):
                if draft.stat().st_mtime < oldest:
                    draft.unlink()

    def _shrink(self, keep: Path) -> None:
        self._sweep()
        keep_below(self._files(), self.limit, lambda path: path != keep and self._remove(path))


def _digest(key: str, body: bytes) -> bytes:
    """Of everything in an entry, and of its name: a copy under another one is no entry."""
    return hashlib.sha256(f"{key}\n".encode() + body).hexdigest().encode()


def _checked(key: str, content: bytes) -> Entry | None:
    digest, _, body = content.partition(b"\n")
    if digest != _digest(key, body):
        return None
    report, _, model = body.partition(b"\n")
    return Entry(model, json.loads(report))


def _source_of(path: Path) -> str:
    """The source that an entry was made of; empty where the entry is damaged."""
    with path.open("rb") as file:
        try:
            file.readline()
            return str(json.loads(file.readline())["source"])
        except (ValueError, KeyError, TypeError):
            return ""


def _unchanged(read: dict[str, str], root: Path) -> bool:
    """Whether the files that code of the project has read still have the same hashes."""
    try:
        return all(file_digest(root / name).hex() == sha256 for name, sha256 in read.items())
    except OSError:
        return False
