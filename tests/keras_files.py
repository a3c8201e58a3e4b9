"""``.keras`` files for tests, made without Keras."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def keras_file(
    folder: Path,
    *layers: tuple[str, dict[str, Any]],
    shape: Sequence[int | None] = (None, 8, 8, 1),
) -> Path:
    """A ``.keras`` file of a sequential model, as Keras 3 describes one; ``shape`` with batch."""
    inside = [
        {"class_name": "InputLayer", "config": {"name": "in", "batch_shape": list(shape)}},
    ]
    inside += [
        {"class_name": kind, "config": {"name": f"layer_{number}", **config}}
        for number, (kind, config) in enumerate(layers)
    ]
    config = {"class_name": "Sequential", "config": {"name": "made", "layers": inside}}
    path = folder / "made.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
    return path


#: A convolution, and a dense layer behind it.
CONV = ("Conv2D", {"filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same",
                   "dilation_rate": [1, 1], "use_bias": True, "activation": "relu"})  # fmt: skip
DENSE = ("Dense", {"units": 3, "use_bias": True, "activation": "softmax"})
