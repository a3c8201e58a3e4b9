"""``tinybudget.toml``: TOML to validated objects, and errors with file, line and key."""

from __future__ import annotations

from pytest_tinybudget.declaration.declared import FILE_NAME
from pytest_tinybudget.declaration.declared import Budget
from pytest_tinybudget.declaration.declared import Declaration
from pytest_tinybudget.declaration.declared import DeclaredGroup
from pytest_tinybudget.declaration.declared import DeclaredModel
from pytest_tinybudget.declaration.declared import RuntimeChoice


__all__ = [
    "FILE_NAME",
    "Budget",
    "Declaration",
    "DeclaredGroup",
    "DeclaredModel",
    "RuntimeChoice",
]
