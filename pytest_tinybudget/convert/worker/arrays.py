"""Reads arrays of ``.npy`` and ``.npz`` files without running code that they may hold.

The files may come from anyone, so headers are checked before memory is reserved. Messages call the
data ``what``.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO
from typing import TYPE_CHECKING
from typing import Any

from numpy.lib import format as npy

from pytest_tinybudget.base.lfs import IS_A_POINTER
from pytest_tinybudget.base.lfs import POINTER
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line


if TYPE_CHECKING:
    from numpy.typing import NDArray


#: More than any calibration or evaluation of a model this small needs.
MAX_BYTES = 4 * 1024**3


#: A header holds a shape and a type; NumPy refuses one that is longer by itself.
_MAX_HEADER_BYTES = 10_000

#: What NumPy, zipfile (``RuntimeError`` where one is encrypted) and the parser of headers raise.
_DAMAGES = (
    OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, SyntaxError,
    TokenError,
)  # fmt: skip


def arrays_in(path: Path, what: str) -> dict[str, NDArray[Any]]:
    """The arrays of ``path`` by name. The array of a ``.npy`` file has the name ``""``.

    Raises:
        WorkerError: it cannot be read, or holds other things than numbers.
    """
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                return {"": _array(file, path.stat().st_size, path.name, what)}
        if path.suffix == ".npz":
            return dict(_archive(path, what))
    except _DAMAGES as error:
        told = f"{path.name} {IS_A_POINTER}" if _is_pointer(path) else ""
        told = told or f"{path.name}: {first_line(error)}"
        raise WorkerError(f"{what}: {told}") from None
    raise WorkerError(f"{what}: {path.name} is neither .npz nor .npy nor a folder")


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(POINTER)) == POINTER
    except OSError:
        return False


def _archive(path: Path, what: str) -> Iterable[tuple[str, NDArray[Any]]]:
    with zipfile.ZipFile(path) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > MAX_BYTES:
            raise WorkerError(f"{what}: {path.name} would unpack to {total:,} bytes")
        for member in archive.infolist():
            with archive.open(member) as file:
                shown = f"{path.name}: {member.filename}"
                array = _array(file, member.file_size, shown, what)
                yield member.filename.removesuffix(".npy"), array


def _array(file: IO[bytes], size: int, shown: str, what: str) -> NDArray[Any]:
    """Read an array whose header fits the file's size. Pickled objects are refused."""
    major, minor = npy.read_magic(file)
    if (major, minor) == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(file)
    else:
        start = file.tell()
        header_bytes = int.from_bytes(file.read(4), "little")
        if header_bytes > _MAX_HEADER_BYTES:  # NumPy takes the memory first
            raise WorkerError(f"{what}: {shown} promises a header of {header_bytes:,} bytes")
        file.seek(start)
        shape, _, dtype = npy.read_array_header_2_0(file)
    if dtype.hasobject:
        raise WorkerError(
            f"{what}: {shown} holds Python objects, expected numbers (loading them could run code)"
        )
    there, wanted = size - file.tell(), prod(shape) * dtype.itemsize
    if wanted != there or wanted > MAX_BYTES:
        raise WorkerError(
            f"{what}: {shown} says it has the shape {shape}, {wanted:,} bytes, "
            f"but {there:,} bytes follow"
        )
    file.seek(0)
    return npy.read_array(file, allow_pickle=False)
