"""What a run knows of its models: read, converted, measured, kept. It knows no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_tinybudget.workspace.workspace import Workspace


if TYPE_CHECKING:
    from pytest_tinybudget.workspace.kept_footprints import KeptFootprints


__all__ = ["Workspace", "earlier_footprints"]


def earlier_footprints() -> KeptFootprints:
    """The footprints of earlier runs, beside the conversions that are kept."""
    from pytest_tinybudget.base.cache_folder import default_folder
    from pytest_tinybudget.workspace.kept_footprints import KeptFootprints

    return KeptFootprints(default_folder() / "footprints")
