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
from contextlib import suppress
from importlib.machinery import ModuleSpec
from importlib.machinery import PathFinder
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType


_INSIDE = "pytest_tinybudget."
#: As Python names compiled code beside the source where neither an option nor a variable moves it.
_COMPILED = f".{sys.implementation.cache_tag}.pyc"
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
            folder, short = path[0], name.rpartition(".")[2]
            for below in ("", f"{os.sep}__init__"):
                source = f"{folder}{os.sep}{short}{below}.py"
                with suppress(OSError):
                    return _spec(name, source, os.stat(source), is_package=bool(below))  # noqa: PTH116
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
    """Reads compiled code that belongs to the source, which has the size and time ``stamp``."""

    def __init__(self, name: str, source: str, compiled: str, stamp: bytes) -> None:
        super().__init__(name, source)
        self._compiled = compiled
        self._stamp = stamp

    def get_code(self, fullname: str) -> CodeType | None:
        with suppress(OSError, ValueError, EOFError, TypeError):
            with open(self._compiled, "rb", buffering=0) as file:  # noqa: PTH123
                content = file.read()
            if content.startswith(self._stamp):
                code = marshal.loads(memoryview(content)[16:])  # noqa: S302
                if isinstance(code, CodeType) and code.co_filename == self.path:
                    return code
        return super().get_code(fullname)


def _spec(name: str, source: str, found: os.stat_result, *, is_package: bool) -> ModuleSpec:
    folder, _, file = source.rpartition(os.sep)
    compiled = f"{folder}{os.sep}__pycache__{os.sep}{file[:-3]}{_COMPILED}"
    numbers = (0, int(found.st_mtime), found.st_size)
    stamp = MAGIC_NUMBER + b"".join((each & 0xFFFFFFFF).to_bytes(4, "little") for each in numbers)
    loader = _QuickLoader(name, source, compiled, stamp)
    spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
    spec.has_location = True
    spec.cached = compiled
    if is_package:
        spec.submodule_search_locations = [folder]
    return spec
