"""Files: written whole or not at all, and only where something changed; hashed."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError


#: Where artifacts go unless told otherwise, relative to the declaration.
DEFAULT_DIRECTORY = Path("build/tinybudget")

#: What would lead out of the folder (or to another stream of a file, on Windows).
_OUTSIDE = frozenset("/\\:\0")


class Pieces:
    """Contents that ``make`` makes anew each time, in pieces: each is good until the next comes.

    What is large is written and compared without ever being in memory as a whole.
    """

    def __init__(self, make: Callable[[], Iterator[bytes | bytearray]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[bytes | bytearray]:
        return self._make()

    def __bytes__(self) -> bytes:
        whole = BytesIO()
        whole.writelines(self)
        return whole.getvalue()


#: What a file holds.
Content = bytes | Pieces


def write(directory: Path, files: Mapping[str, Content]) -> tuple[Path, ...]:
    """Write ``files`` (contents by name) into ``directory``; returns their paths, sorted.

    A file is replaced as a whole: readers see the old contents or the new ones. One that has the
    contents already is left alone, so that builds do not start over. A symbolic link in the place
    of a file is replaced, never followed. Where the default folder is made, git is told to leave it
    alone: what is generated is not committed by accident.

    Raises:
        TinybudgetError: a name that is not a plain file name, or the disk refuses.
    """
    for name in files:
        if name in ("", ".", "..") or not _OUTSIDE.isdisjoint(name):
            raise TinybudgetError(f"not a plain file name: {name!r}", code="TB102")
    try:
        made = not directory.is_dir()
        if made:
            directory.mkdir(parents=True, exist_ok=True)
        if made and directory.parts[-2:] == DEFAULT_DIRECTORY.parts:
            _replace(directory / ".gitignore", b"*\n")
        for name in sorted(files):
            _replace(directory / name, files[name])
    except OSError as error:
        reason = error.strerror or error
        raise TinybudgetError(f"cannot write to {directory}: {reason}", code="TB102") from error
    return tuple(directory / name for name in sorted(files))


def write_file(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write the one file that a user has named, as ``write`` does.

    A symbolic link stays one, and its target changes; what is no file (``/dev/null``, a pipe) is
    written to as it is. ``content`` may come in pieces, each of which is made when it is written.

    Raises:
        TinybudgetError: the disk refuses.
    """
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(path) or _is_plain_file(path):  # as a rule
            _replace(path, content)
        elif path.exists() and not path.is_file():
            path.write_bytes(content if isinstance(content, bytes) else b"".join(content))
        else:
            _replace(Path(os.path.realpath(path)), content)
    except OSError as error:
        reason = error.strerror or error
        raise TinybudgetError(f"{path}: cannot be written: {reason}", code="TB102") from error


#: What people make and commands read: nothing that a command makes takes the place of such a file.
_SOURCES = frozenset(
    {".tflite", ".lite", ".keras", ".h5", ".hdf5", ".pt2", ".onnx", ".npz", ".npy", ".toml"}
)


def require_no_source(path: Path) -> None:
    """Refuse to write a report in the place of a model, of data or of a declaration.

    Raises:
        TinybudgetError: there is such a file at ``path``.
    """
    if path.suffix.lower() in _SOURCES and path.exists():
        raise TinybudgetError(
            f"{path}: is there already, and a report would take its place; name another file",
            code="TB102",
        )


def write_report(path: Path, text: str) -> None:
    """Write a report to the file that a user has named, unless that is one of the project's own.

    Raises:
        TinybudgetError: there is a model, data or a declaration, or the disk refuses.
    """
    require_no_source(path)
    write_file(path, text.encode("utf-8"))


def changed(directory: Path, files: Mapping[str, Content]) -> dict[str, bytes]:
    """Those of ``files`` that ``write`` would write, because ``directory`` has others or none."""
    needed = {}
    for name, content in files.items():
        with suppress(OSError):  # ``write`` will say so
            if _is_plain_file(directory / name) and _holds(directory / name, content):
                continue
        needed[name] = bytes(content)
    return needed


#: Of this size memory is used again; what is larger is asked of the system each time.
_PIECE_BYTES = 1 << 16


def _pieces(content: Content) -> Iterator[bytes | bytearray]:
    if isinstance(content, Pieces):
        yield from content
    else:
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]


def _holds(path: Path, content: Content) -> bool:
    """Whether the file has these contents, and no more."""
    with path.open("rb") as file:
        return all(file.read(len(each)) == each for each in _pieces(content)) and not file.read(1)


def _replace(path: Path, content: Content | Iterable[bytes]) -> None:
    is_there = _is_plain_file(path)
    if isinstance(content, (bytes, Pieces)):
        if is_there and _holds(path, content):
            return
        pieces: Iterable[bytes | bytearray] = _pieces(content)
    else:
        pieces = content
    draft = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    try:
        with draft.open("xb") as file:
            file.writelines(pieces)
        if is_there:
            with suppress(OSError):  # some file systems have no modes
                shutil.copymode(path, draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_plain_file(path: Path) -> bool:
    """Whether there is a file and not a link to one; like ``Path.is_file``, false where unread."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


_CHUNK_BYTES = 1 << 20


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()


def unlinked(path: Path) -> bool:
    """Remove a file; whether that was possible."""
    try:
        path.unlink()
    except OSError:
        return False
    return True


def keep_below(
    paths: Iterable[Path], limit: int, remove: Callable[[Path], bool] = unlinked
) -> None:
    """Remove those of ``paths`` that were written longest ago, until ``limit`` bytes are left.

    ``remove`` says whether a file is gone; one that stays counts on.
    """
    found = []
    for path in paths:
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        if remove(path):
            total -= size
