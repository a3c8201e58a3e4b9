"""A Keras model object in a training script or a test, taken as a source like a file.

It is saved, and another process converts it, so that a failing converter does not end the training.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING
from typing import Protocol
from typing import TypeAlias

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.folders import temporary_folder


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class KerasModel(Protocol):
    """The part of ``keras.Model`` that is used here."""

    name: str

    def save(self, filepath: str) -> None:
        """Save the model to ``filepath``, which ends with ``.keras``."""


#: A model's path, or the model itself.
Source: TypeAlias = "str | PathLike[str] | KerasModel"
#: Samples to calibrate with: as in a declaration, or arrays whose first axis is the sample.
Data: TypeAlias = "str | PathLike[str] | NDArray[np.generic] | Mapping[str, NDArray[np.generic]]"


@contextmanager
def on_disk(model: Source, data: Data | None) -> Iterator[tuple[Path, str | None]]:
    """The path of ``model``, and ``data`` as a declaration has it. Both exist until the block ends.

    Raises:
        TinybudgetError: neither a path nor a model that can be saved.
    """
    is_there = isinstance(model, (str, PathLike)) and isinstance(data, (str, PathLike, NoneType))
    with nullcontext(Path()) if is_there else temporary_folder() as folder:
        yield _path_of(model, folder), _declared(data, folder)


def _path_of(model: Source, folder: Path) -> Path:
    if isinstance(model, (str, PathLike)):
        return Path(model)
    if not callable(getattr(model, "save", None)):
        raise TinybudgetError(
            f"expected the path of a model or a keras.Model, not {type(model).__name__}"
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", model.name) or "model"
    path = folder / f"{name}.keras"
    try:
        model.save(str(path))
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise TinybudgetError(
            f"the model {model.name!r} cannot be saved: {error}", code="TB400"
        ) from error
    return path


def _declared(data: Data | None, folder: Path) -> str | None:
    if data is None or isinstance(data, str):
        return data
    if isinstance(data, PathLike):
        return str(Path(data).absolute())
    import numpy as np

    arrays = data if isinstance(data, Mapping) else {"": data}
    path = folder / "data.npz"
    named = {name or "samples": np.asarray(values) for name, values in arrays.items()}
    np.savez(path, allow_pickle=False, **named)
    return str(path)
