"""What is written of a model, as ``artifacts`` says: which files, where, under which name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_tinybudget.declaration.declared import GoldenRequest


if TYPE_CHECKING:
    from pytest_tinybudget.declaration.context import Context
    from pytest_tinybudget.declaration.positions import KeyPath
    from pytest_tinybudget.declaration.schema.artifacts import ArtifactKind
    from pytest_tinybudget.declaration.schema.artifacts import ArtifactsTable
    from pytest_tinybudget.declaration.schema.artifacts import GoldenTable
    from pytest_tinybudget.declaration.schema.artifacts import ModelArtifactsTable


def folder_of(declared: str | Sequence[str] | ArtifactsTable | None, parent: Path) -> Path | None:
    """The folder that ``[defaults]`` names, below ``parent``; ``None`` where it names none."""
    folder = declared.folder if isinstance(declared, Struct) else declared
    return parent / folder if isinstance(folder, str) else None


def name_of(declared: str | Sequence[str] | ModelArtifactsTable | None) -> str | None:
    """The name of a model's files; ``None`` where the section gives none."""
    name = declared.name if isinstance(declared, Struct) else declared
    return name if isinstance(name, str) else None


def kinds_of(
    declared: str | Sequence[ArtifactKind] | ArtifactsTable | ModelArtifactsTable | None,
) -> tuple[ArtifactKind, ...] | None:
    """Which files are written; ``None`` where the section leaves that to others."""
    if isinstance(declared, Struct):
        declared = declared.files
    return None if declared is None or isinstance(declared, str) else tuple(declared)


def golden_request(
    context: Context, table: GoldenTable | None, kinds: Sequence[ArtifactKind], keys: KeyPath
) -> GoldenRequest:
    """The golden vectors of a model.

    A table that writes none, or data that is missing, is a problem.
    """
    if table is None:
        return GoldenRequest()
    if "golden" not in kinds:
        text = "has no effect without \"golden\" in 'artifacts', here or in [defaults]"
        context.problems.add((*keys, "golden"), text, example='artifacts = ["c", "golden"]')
    data = context.path.parent / table.data if table.data is not None else None
    if data is not None and not data.is_file():
        text = f"no such file: {table.data!r}"
        context.problems.add((*keys, "golden", "data"), text)
    return GoldenRequest(table.samples, table.seed, data, table.tolerance)
