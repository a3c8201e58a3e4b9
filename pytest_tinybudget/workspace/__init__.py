"""What a run knows of its models: read, converted, measured, kept. It knows no verdict."""

from __future__ import annotations

from pytest_tinybudget.workspace.workspace import Workspace


__all__ = ["Workspace"]
