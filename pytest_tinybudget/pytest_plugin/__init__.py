"""pytest's side of the gate: collection, items, workers and the terminal."""

from __future__ import annotations

from pytest_tinybudget.base.imports import QuickImports


QuickImports.enter()  # until pytest has ended (``plugin.pytest_configure``)
