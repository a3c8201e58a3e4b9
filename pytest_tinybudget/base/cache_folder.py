"""Where all that outlives a run is kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path


FOLDER_VARIABLE = "TINYBUDGET_CACHE"


def default_folder() -> Path:
    """Where conversions are kept unless ``TINYBUDGET_CACHE`` names another folder."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(os.path.expanduser(named))  # noqa: PTH111 - leaves an unknown ~user as it is
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"))
    elif sys.platform == "darwin":
        base = Path("~/Library/Caches")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    try:
        base = base.expanduser()
    except RuntimeError:  # a user whom the system does not know, as in some containers
        base = Path("/nonexistent")
    return base / "pytest-tinybudget"
