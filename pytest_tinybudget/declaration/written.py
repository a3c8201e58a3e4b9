"""What is written of a model, as ``artifacts`` says: which files, where, under which name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pytest_tinybudget.declaration.schema import ArtifactsTable
from pytest_tinybudget.declaration.schema import ModelArtifactsTable


def folder_of(declared: str | Sequence[str] | ArtifactsTable | None, parent: Path) -> Path | None:
    """The folder that ``[defaults]`` names, below ``parent``; ``None`` where it names none."""
    folder = declared.folder if isinstance(declared, ArtifactsTable) else declared
    return parent / folder if isinstance(folder, str) else None


def name_of(declared: str | Sequence[str] | ModelArtifactsTable | None) -> str | None:
    """The name of a model's files; ``None`` where the section gives none."""
    name = declared.name if isinstance(declared, ModelArtifactsTable) else declared
    return name if isinstance(name, str) else None


def kinds_of(
    declared: str | Sequence[Literal["c", "tflite"]] | ArtifactsTable | ModelArtifactsTable | None,
) -> tuple[Literal["c", "tflite"], ...] | None:
    """Which files are written; ``None`` where the section leaves that to others."""
    if isinstance(declared, ArtifactsTable | ModelArtifactsTable):
        declared = declared.files
    return None if declared is None or isinstance(declared, str) else tuple(declared)
