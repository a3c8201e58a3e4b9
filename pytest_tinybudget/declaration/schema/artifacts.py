"""The files that are written of a model."""

from typing import Annotated
from typing import Literal

from msgspec import Meta
from msgspec import Struct

from pytest_tinybudget.declaration.schema.names import Name
from pytest_tinybudget.declaration.schema.names import Text


#: What is written of a model: the files for the firmware's build, the model's own file, or vectors
#: for a test of the firmware.
ArtifactKind = Literal["c", "tflite", "golden"]

ArtifactFiles = Annotated[
    Annotated[list[ArtifactKind], Meta(min_length=1)],
    Meta(
        description='which files are written: "c" for the build, "tflite" for the model itself, '
        '"golden" for a test of the firmware',
        examples=[["c", "tflite"]],
    ),
]


class ArtifactsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of each model, and to which folder."""

    folder: Text | None = None
    files: ArtifactFiles | None = None


class ModelArtifactsTable(Struct, frozen=True, forbid_unknown_fields=True):
    """What is written of a model, and under which name."""

    name: Name | None = None
    files: ArtifactFiles | None = None


class GoldenTable(Struct, frozen=True, forbid_unknown_fields=True):
    """The golden vectors that are written with a model."""

    samples: Annotated[int, Meta(ge=1, le=10_000, extra={"expected": "1 to 10000 samples"})] = 4
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, extra={"expected": "a whole number from 0"})] = 0
    data: Text | None = None
    tolerance: Annotated[int, Meta(ge=0, le=65_535, extra={"expected": "0 steps or more"})] = 0


Written = Text | ArtifactFiles | ArtifactsTable
WrittenOfModel = Name | ArtifactFiles | ModelArtifactsTable
