"""How a model is to be converted: what a declaration says about it, resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct


#: Declared in place of data: numbers of a normal distribution. Sizes hold, accuracy does not.
RANDOM = "random"

#: The step that a worker names first.
FIRST_STEP = "loading"

#: What makes a folder a SavedModel.
SAVED_MODEL_FILE = "saved_model.pb"

DEFAULT_TIMEOUT_SECONDS = 300
#: Room for one conversion besides what the imported framework takes (MobileNet 0.25: 100 MB).
DEFAULT_MEMORY_BYTES = 4 * 1024**3


def stripped_text(saved_bytes: int) -> str:
    """The note on a model that was stripped."""
    return f"strip: {saved_bytes:,} B of names and metadata left out"


class Conversion(Struct, frozen=True):
    """The settings of one conversion.

    ``representative_data`` is a path relative to ``root``, ``"package.module:function"``,
    ``"random"`` or ``None``; ``custom_objects`` is a module; ``root`` is the folder of the
    declaration, from which modules are imported. ``per_channel_dense`` gives each output of a
    dense layer its own scale: ``None`` does so with int8 activations alone, because CMSIS-NN has no
    kernel for it with int16. ``activations`` is the type of what flows between operators.
    ``input_shapes`` are those of inputs whose dimensions the source leaves open, by name; they
    count for a file that is taken as it is, too.
    """

    root: Path
    representative_data: str | None = None
    custom_objects: str | None = None
    strip: bool = False
    per_channel_dense: bool | None = None
    activations: Literal["int8", "int16"] = "int8"
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()

    @property
    def scales_per_channel(self) -> bool:
        """Whether dense layers have a scale for each output."""
        if self.per_channel_dense is None:
            return self.activations == "int8"
        return self.per_channel_dense

    @property
    def data_path(self) -> Path | None:
        """The representative data where it lies in a file or a folder."""
        declared = self.representative_data
        if declared is None or declared == RANDOM or self.data_function is not None:
            return None
        return self.root / declared

    @property
    def data_function(self) -> tuple[str, str] | None:
        """Module and function that give the representative data, where they are code."""
        module, colon, function = (self.representative_data or "").partition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        return (module, function) if colon and dotted and function.isidentifier() else None
