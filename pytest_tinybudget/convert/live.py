"""A model that is alive in a training script or test, as a source like any other.

It is saved and converted in another process: a converter that crashes must not take the training
with it.
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
    """What is needed of a ``keras.Model``."""

    name: str

    def save(self, filepath: str) -> None:
        """Save the model to ``filepath``, which ends with ``.keras``."""


#: A model's path, or the model itself.
Source: TypeAlias = "str | PathLike[str] | KerasModel"
#: Samples to calibrate with: as in a declaration, or arrays whose first axis is the sample.
Data: TypeAlias = "str | PathLike[str] | NDArray[np.generic] | Mapping[str, NDArray[np.generic]]"


@contextmanager
def on_disk(model: Source, data: Data | None) -> Iterator[tuple[Path, str | None]]:
    """A path of ``model`` and what to declare for ``data``, both there until the block ends.

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
