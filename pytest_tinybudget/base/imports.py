"""Imports of this package's modules in fewer steps than Python's own, for short runs.

Python looks for a module in many ways and reads it in several: 0.1 ms each, a fourth of a short
run. Here a module is where its package is, and its compiled code is taken as it is if it belongs
to the source. Everything else is left to Python: what must be compiled, archives, other settings.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.machinery import PathFinder
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from struct import Struct
from types import CodeType


_INSIDE = "pytest_tinybudget."
#: As Python names compiled code beside the source where neither an option nor a variable moves it.
_COMPILED = f".{sys.implementation.cache_tag}.pyc"
#: What compiled code begins with: of which Python, of no hash, the source's time and size.
_STAMP = Struct("<4sIII")
_32 = 0xFFFFFFFF
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_AS_USUAL = sys.pycache_prefix is None and not sys.flags.optimize


class QuickImports:
    """A finder for ``sys.meta_path``: of the package's own modules, as ``PathFinder`` finds them.

    In pytest it also goes around the rewriting of assertions, of which this package has none to
    show.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        if not name.startswith(_INSIDE):
            return None
        if _AS_USUAL and path is not None and len(path) == 1:
            short = name[name.rindex(".") + 1 :]
            for folder, file in ((path[0], short), (f"{path[0]}{os.sep}{short}", "__init__")):
                try:
                    found = os.stat(f"{folder}{os.sep}{file}.py")  # noqa: PTH116
                except OSError:
                    continue
                return _spec(name, folder, file, found)
        return PathFinder.find_spec(name, path)

    @classmethod
    def enter(cls) -> None:
        """Find modules from now on."""
        sys.meta_path.insert(0, cls)

    @classmethod
    def leave(cls) -> None:
        """What stays to the end keeps all of pytest for Python's last collection of garbage."""
        if cls in sys.meta_path:  # a test may have put back an older list
            sys.meta_path.remove(cls)


class _QuickLoader(SourceFileLoader):
    """Reads compiled code that belongs to the source, which has the size and time of ``stamp``."""

    def __init__(self, name: str, source: str, compiled: str, stamp: bytes) -> None:
        self.name, self.path = name, source
        self._compiled, self._stamp = compiled, stamp

    def get_code(self, fullname: str) -> CodeType | None:
        try:
            content = _read(self._compiled)
            if content.startswith(self._stamp):
                code = marshal.loads(memoryview(content)[len(self._stamp) :])  # noqa: S302
                if isinstance(code, CodeType) and code.co_filename == self.path:
                    return code
        except (OSError, ValueError, EOFError, TypeError):
            pass  # Python's own way tells what is wrong
        return super().get_code(fullname)


def _read(path: str) -> bytes:
    """All of a file, in fewer steps than a file object takes."""
    file = os.open(path, _READ)
    try:
        return os.read(file, os.fstat(file).st_size)
    finally:
        os.close(file)


def _spec(name: str, folder: str, file: str, found: os.stat_result) -> ModuleSpec:
    source = f"{folder}{os.sep}{file}.py"
    compiled = f"{folder}{os.sep}__pycache__{os.sep}{file}{_COMPILED}"
    stamp = _STAMP.pack(MAGIC_NUMBER, 0, int(found.st_mtime) & _32, found.st_size & _32)
    loader = _QuickLoader(name, source, compiled, stamp)
    spec = ModuleSpec(name, loader, origin=source, is_package=file == "__init__")
    spec.has_location = True
    spec.cached = compiled
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations.append(folder)
    return spec
