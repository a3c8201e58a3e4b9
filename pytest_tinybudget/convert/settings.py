"""The settings of a conversion, as a declaration or a call of the API gives them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct


#: In place of data: calibrate with random numbers. Sizes are then right, accuracy is not.
RANDOM = "random"

#: The first step of every job.
FIRST_STEP = "loading"

#: A folder with this file is a SavedModel.
SAVED_MODEL_FILE = "saved_model.pb"

DEFAULT_TIMEOUT_SECONDS = 300
#: Memory for one conversion, besides what the framework takes (MobileNet 0.25 needs 100 MB).
DEFAULT_MEMORY_BYTES = 4 * 1024**3
#: The command of ONNX sources where none is declared: what the user's ``PATH`` has.
DEFAULT_ONNX_COMMAND = ("onnx2tf",)


def stripped_text(saved_bytes: int) -> str:
    """The note on a model that was stripped."""
    return f"strip: {saved_bytes:,} B of names and metadata left out"


class Conversion(Struct, frozen=True):
    """The settings of one conversion.

    Attributes:
        root: The folder of the declaration. Paths are relative to it, modules are imported from it.
        representative_data: Samples for calibration: a path, ``"package.module:function"``,
            ``RANDOM``, or ``None`` where none are declared.
        custom_objects: The module with the model's own layers, ``None`` without one.
        strip: Whether names, signatures and metadata are left out (``shrinking.strip``).
        per_channel_dense: Whether each output of a dense layer has a scale of its own. ``None``
            does so with int8 activations alone: CMSIS-NN has no such kernel for int16.
        per_tensor_for: The runtime that cannot run such layers, so that ``None`` gives a dense
            layer one scale. Empty where the runtimes of all boards can.
        activations: The type of the tensors between operators.
        timeout_seconds: A conversion that takes longer is ended.
        memory_bytes: What a conversion may take besides the framework's own memory.
        input_shapes: Name and shape in elements, batch included, of inputs whose dimensions the
            source leaves open. They count for a file that needs no conversion as well.
        plan: Whether a ``.keras`` file is planned from its layers first, and where it cannot be
            converted here, instead.
        onnx_command: The command onnx2tf: a program on ``PATH`` or below ``root``, and arguments.
    """

    root: Path
    representative_data: str | None = None
    custom_objects: str | None = None
    strip: bool = False
    per_channel_dense: bool | None = None
    per_tensor_for: str = ""
    activations: Literal["int8", "int16"] = "int8"
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    plan: bool = False
    onnx_command: tuple[str, ...] = DEFAULT_ONNX_COMMAND

    @property
    def scales_per_channel(self) -> bool:
        """Whether dense layers have a scale for each output."""
        if self.per_channel_dense is None:
            return self.activations == "int8" and not self.per_tensor_for
        return self.per_channel_dense

    @property
    def data_path(self) -> Path | None:
        """Path of the representative data; ``None`` where it is no file or folder."""
        declared = self.representative_data
        if declared is None or declared == RANDOM or self.data_function is not None:
            return None
        return self.root / declared

    @property
    def data_function(self) -> tuple[str, str] | None:
        """Module and function that return the representative data; ``None`` where it is no code."""
        module, colon, function = (self.representative_data or "").partition(":")
        dotted = all(part.isidentifier() for part in module.split("."))
        return (module, function) if colon and dotted and function.isidentifier() else None
