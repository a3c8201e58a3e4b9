"""The state of the files that may say what is flashed, as one hash: whether to read them anew."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pytest_tinybudget.detection.folders import LARGEST_BYTES
from pytest_tinybudget.detection.folders import MOST_BYTES
from pytest_tinybudget.detection.folders import MOST_FILES
from pytest_tinybudget.detection.folders import folders_below
from pytest_tinybudget.detection.folders import root_around
from pytest_tinybudget.detection.names import SUBMODULES
from pytest_tinybudget.detection.names import is_read
from pytest_tinybudget.detection.names import matching


def state_of(folder: Path) -> str | None:
    """A hash of all that ``detect`` reads of the project around ``folder``.

    ``None`` where it reads more than the files with known names: git's index for the commits of
    submodules, manifests that a west manifest names, or more files than are looked at.
    """
    root = root_around(folder)
    if (root / SUBMODULES).exists():
        return None
    digest = hashlib.sha256(str(root).encode(errors="surrogateescape"))
    files = size = 0
    for each in folders_below(root, frozenset()):
        if each.is_tflm:
            digest.update(f"{each.path}\0".encode(errors="surrogateescape"))
        for path in map(each.at, each.names):
            if is_read(path):
                content = _content(root / path)
                if content is None or matching("west.yml").match(path):
                    return None
                files, size = files + 1, size + len(content)
                if files > MOST_FILES or size > MOST_BYTES:
                    return None
                digest.update(f"{path}\0".encode(errors="surrogateescape"))
                digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _content(path: Path) -> bytes | None:
    """The bytes of a plain file that is read whole; ``None`` of any other."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
            return None
        return path.read_bytes()
    except FileNotFoundError:
        return b"\0"  # downloaded components are named without a look whether they have one
    except OSError:
        return None
