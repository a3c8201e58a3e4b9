"""A live model in a training script or a test, Keras' or PyTorch's, taken as a source like a file.

It is saved, and another process converts it, so that a failing converter does not end the training.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import nullcontext
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol
from typing import TypeAlias
from typing import cast

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.folders import temporary_folder
from pytest_tinybudget.base.text import printable


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class KerasModel(Protocol):
    """The part of ``keras.Model`` that is used here."""

    name: str

    def save(self, filepath: str) -> None:
        """Save the model to ``filepath``, which ends with ``.keras``."""


class TorchModule(Protocol):
    """The part of ``torch.nn.Module`` that is used here."""

    training: bool

    def modules(self) -> Iterator[TorchModule]:
        """The module and those in it."""

    def eval(self) -> object:
        """Put the module into the mode in which it is used."""


#: A model's path, or the model itself; or its layers, each ``(inputs, outputs)``, ``(inputs,
#: outputs, height, width)`` or a table as in ``layers`` of a declaration.
Source: TypeAlias = (
    "str | PathLike[str] | KerasModel | TorchModule | Sequence[Sequence[int]]"
    " | Sequence[Mapping[str, Any]]"
)
#: Samples to calibrate with: as in a declaration, or arrays whose first axis is the sample.
Data: TypeAlias = "str | PathLike[str] | NDArray[np.generic] | Mapping[str, NDArray[np.generic]]"


@contextmanager
def on_disk(
    model: Source, data: Data | None, example_inputs: object = None
) -> Iterator[tuple[Path, str | None]]:
    """The path of ``model``, and ``data`` as a declaration has it. Both exist until the block ends.

    A ``torch.nn.Module`` is exported as it runs on ``example_inputs``, tensors with batch 1.

    Raises:
        TinybudgetError: neither a path nor a model that can be saved.
    """
    is_there = isinstance(model, (str, PathLike)) and isinstance(data, (str, PathLike, NoneType))
    with nullcontext(Path()) if is_there else temporary_folder() as folder:
        yield _path_of(model, folder, example_inputs), _declared(data, folder)


def is_torch_module(model: object) -> bool:
    """Whether ``model`` is a ``torch.nn.Module``."""
    torch = sys.modules.get("torch")  # who has a module of it has imported it
    return torch is not None and isinstance(model, torch.nn.Module)


def _path_of(model: Source, folder: Path, example_inputs: object) -> Path:
    if is_torch_module(model):
        return _saved(cast("TorchModule", model), folder, example_inputs)
    if example_inputs is not None:
        raise TinybudgetError(
            f"example_inputs is for a torch.nn.Module, not {type(model).__name__}"
        )
    if isinstance(model, (str, PathLike)):
        return Path(model)
    if not callable(getattr(model, "save", None)):
        raise TinybudgetError(
            "expected the path of a model, a keras.Model or a torch.nn.Module, "
            f"not {type(model).__name__}"
        )
    model = cast("KerasModel", model)
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", model.name) or "model"
    path = folder / f"{name}.keras"
    try:
        model.save(str(path))
    except (ValueError, TypeError, NotImplementedError, OSError) as error:
        raise TinybudgetError(
            f"the model {model.name!r} cannot be saved: {error}", code="TB400"
        ) from error
    return path


def _saved(module: TorchModule, folder: Path, example_inputs: object) -> Path:
    """The module's program in a file of ``torch.export``."""
    import torch

    program = exported(module, example_inputs)
    path = folder / f"{type(module).__name__}.pt2"
    try:
        torch.export.save(program, path)
    except Exception as error:  # torch raises any exception
        raise _not_exported(module, error) from error
    return path


def _not_exported(module: TorchModule, error: Exception) -> TinybudgetError:
    said = printable(next(iter(str(error).strip().splitlines()), ""), limit=300)
    name = type(module).__name__
    return TinybudgetError(
        f"{name} cannot be exported: {type(error).__name__}: {said}", code="TB400"
    )


def exported(module: TorchModule, example_inputs: object) -> Any:
    """The module as a program of ``torch.export``; it is in the mode of use meanwhile.

    Raises:
        TinybudgetError: ``example_inputs`` are missing, or it cannot be exported.
    """
    import torch

    name = type(module).__name__
    if example_inputs is None:
        raise TinybudgetError(
            f"{name} is a torch.nn.Module: give example_inputs, a tensor with batch 1 for each "
            "input, such as (torch.zeros(1, 3, 96, 96),)"
        )
    inputs = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else example_inputs
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        return torch.export.export(module, tuple(cast("Sequence[object]", inputs)))
    except Exception as error:  # torch raises any exception
        raise _not_exported(module, error) from error
    finally:
        for each, was_training in modes:
            each.training = was_training


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
