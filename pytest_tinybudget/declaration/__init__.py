"""``tinybudget.toml``: TOML to validated objects, and errors with file, line and key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.declaration.declared import FILE_NAME
from pytest_tinybudget.declaration.declared import Budget
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import DeclaredRuntime
from pytest_tinybudget.declaration.declared import MaxIncrease


__all__ = [
    "FILE_NAME",
    "Budget",
    "Declaration",
    "DeclaredGroup",
    "DeclaredModel",
    "DeclaredRuntime",
    "MaxIncrease",
    "declaration_schema",
    "load_declaration",
]


def load_declaration(path: Path, boards: Mapping[str, Board] | None = None) -> Declaration:
    """Read and resolve the declaration at ``path``. No model file is opened.

    ``boards`` are those that the declaration may name, by id: the catalog's unless given.

    Raises:
        DeclarationError: the file cannot be read or is not valid; one line for each error, all
            at once, with file, line and key.
    """
    from pytest_tinybudget.boards.catalog import catalog
    from pytest_tinybudget.declaration.loader import load

    return load(path, catalog() if boards is None else boards)


def declaration_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a ``tinybudget.toml``, for editors."""
    from pytest_tinybudget.declaration.json_schema import json_schema

    return json_schema()
