"""The names of files that may say what is flashed, and a first look for one of them.

Most projects have none. So it is looked for before the readers are imported, which takes longer.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from pytest_tinybudget.detection.folders import folders_below


#: What messages call a format, and the pattern of its files. The order is that of the readers.
PATTERNS = {
    "dependencies.lock": r"dependencies\.lock",
    "idf_component.yml": r"idf_component\.ya?ml",
    "sdkconfig": r"sdkconfig(?:\.defaults(?:\.\w+)*)?",
    "west.yml": r"west\.ya?ml",
    "zephyr/module.yml": r"zephyr/module\.ya?ml",
    "prj.conf": r"[\w.-]+\.conf",
    "library.properties": r"library\.properties",
    "sketch.yaml": r"sketch\.ya?ml",
    "platformio.ini": r"platformio[\w.-]*\.ini",
    "CMakeLists.txt": r"CMakeLists\.txt|[\w.-]+\.cmake",
    "ESPHome's YAML": r"[^/]+\.ya?ml",
    "requirements.txt": r"requirements[\w.-]*\.txt",
    "components/*/__init__.py": r"components/[\w-]+/__init__\.py",
}

#: Each pattern asks for such an end or such a word. Most names have none, and the patterns need not
#: be compiled.
_ENDS = (
    ".yml",
    ".yaml",
    ".conf",
    ".cmake",
    "CMakeLists.txt",
    "library.properties",
    "dependencies.lock",
)
_WORDS = ("sdkconfig", "platformio", "requirements", "components/")

#: Where git has the submodules of a repository.
SUBMODULES = ".gitmodules"


def matching(name: str) -> re.Pattern[str]:
    """The pattern of the format ``name`` for whole paths, relative to the root, POSIX."""
    return re.compile(rf"(?:.*/)?(?:{PATTERNS[name]})\Z")


def any_to_read(root: Path) -> bool:
    """Whether a file in or below ``root`` may say what is flashed: by name, nothing is read."""
    if (root / SUBMODULES).exists():
        return True
    return any(
        folder.is_tflm or any(is_read(folder.at(name)) for name in folder.names)
        for folder in folders_below(root, frozenset())
    )


def is_read(path: str) -> bool:
    """Whether a file may say what is flashed, by its path: relative to the root, POSIX."""
    if not path.endswith(_ENDS) and not any(word in path for word in _WORDS):
        return False
    return any_pattern().match(path) is not None


@cache
def any_pattern() -> re.Pattern[str]:
    """The pattern of all formats together, for whole paths as ``matching`` has them."""
    return re.compile(rf"(?:.*/)?(?:{'|'.join(PATTERNS.values())})\Z")
