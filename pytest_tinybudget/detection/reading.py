"""Files of a stranger's repository: which are looked at, and how far each is read.

Nothing here runs what it finds, follows a link out of the folder, or opens what is no file.
"""

from __future__ import annotations

import stat
from pathlib import Path

from pytest_tinybudget.detection.finding import UnreadableError
from pytest_tinybudget.detection.folders import LARGEST_BYTES


def text_of(root: Path, path: str) -> str | None:
    """The text of a file below ``root``; ``None`` where there is none.

    Raises:
        UnreadableError: it is too large, no text, no file, or leads out of ``root``.
    """
    file = root / path
    try:
        if file.is_symlink() and not file.resolve().is_relative_to(root.resolve()):
            raise UnreadableError("a link that leads out of the repository")
        found = file.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > LARGEST_BYTES:
            raise UnreadableError(f"larger than {LARGEST_BYTES // 1024} KB")
        content = file.read_bytes()[: LARGEST_BYTES + 1]
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "links in a circle"
        raise UnreadableError(f"cannot be read: {reason}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError("not UTF-8 text", line) from None
