"""What reading an archive that a framework wrote may raise, where the file holds anything."""

from __future__ import annotations

import zipfile
import zlib


UNREADABLE = (
    *(OSError, EOFError, KeyError, ValueError, RuntimeError),
    NotImplementedError,  # a compression that zipfile does not know
    *(zipfile.BadZipFile, zlib.error),
)
