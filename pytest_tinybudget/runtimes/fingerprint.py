"""A short text for everything that a runtime's figures depend on, to tell what is comparable."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.runtimes.runtime import Runtime
from pytest_tinybudget.runtimes.tables import choose_table
from pytest_tinybudget.runtimes.tables import section_graph_path
from pytest_tinybudget.runtimes.tables import stack_table_path


_CHARACTERS = 16


def fingerprint(runtime: Runtime) -> str:
    """16 hexadecimal digits over what decides the runtime's figures, tables with their contents.

    The runtime's name, the cores that run it, and the path of a user's own table are not part of
    it.

    Raises:
        TinybudgetError: the table of the user's own cannot be read.
    """
    # What is packaged stays as it is; a user's own table may change while the process runs.
    return _made(runtime) if _has_own_table(runtime) else _of_packaged(runtime)


@lru_cache(maxsize=256)
def _has_own_table(runtime: Runtime) -> bool:
    return bool(runtime.graph) or any(map(_has_own_table, runtime.one_of))


@lru_cache(maxsize=256)
def _of_packaged(runtime: Runtime) -> str:
    return _made(runtime)


def _made(runtime: Runtime) -> str:
    if runtime.one_of:
        return _digest(" ".join(map(fingerprint, runtime.one_of)), ())
    settings = (
        runtime.abi,
        runtime.kernels,
        runtime.tflm,
        runtime.table,
        runtime.flash_margin_percent,
    )
    # What a table is built otherwise; of the very build, there is nothing to add.
    differences = choose_table(runtime).differences if not runtime.graph else ()
    return _digest(repr((*settings, *differences)), tuple(_tables(runtime)))


@lru_cache(maxsize=64)
def _digest(settings: str, tables: tuple[bytes, ...]) -> str:
    digest = hashlib.sha256(settings.encode())
    for content in tables:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:_CHARACTERS]


def _tables(runtime: Runtime) -> list[bytes]:
    stack = [_packaged(stack_table_path(runtime.table))] if runtime.table else []
    if not runtime.graph:
        graph = choose_table(runtime).name
        return [*stack, _packaged(section_graph_path(graph))] if graph else stack
    try:
        return [*stack, Path(runtime.graph).read_bytes()]
    except OSError as error:
        raise TinybudgetError(f"runtime table {runtime.graph}: {error.strerror}") from error


@lru_cache(maxsize=32)
def _packaged(path: Path) -> bytes:
    return path.read_bytes()
