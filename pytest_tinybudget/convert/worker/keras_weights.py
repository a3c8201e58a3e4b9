"""The weights of a ``.keras`` file by layer, with the layer's settings, without Keras."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import h5py
import numpy as np

from pytest_tinybudget.planning.network import NotPlannedError


if TYPE_CHECKING:
    from numpy.typing import NDArray


_MODELS = ("Sequential", "Functional", "Model")
#: Keras's names of the parts of a layer that are layers themselves.
_ATTENTION_PARTS = ("query_dense", "key_dense", "value_dense", "output_dense")
#: Parts without numbers that count in inference.
_WITHOUT_VARIABLES = ("seed_generator", "_dropout_layer", "_softmax")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file has of a layer: its settings and its variables in Keras's order."""

    config: Mapping[str, Any]
    variables: Sequence[NDArray[np.float32]]


def config_of(path: Path) -> Mapping[str, Any]:
    """The description of the network in a ``.keras`` file, which ``check_source`` has looked at."""
    with zipfile.ZipFile(path) as archive:
        found: Mapping[str, Any] = json.loads(archive.read("config.json"))
    return found


def stored_layers(path: Path, config: Mapping[str, Any]) -> dict[str, Stored]:
    """Each layer by its name, those of a nested model behind its name and a slash.

    Raises:
        NotPlannedError: the file does not have them as Keras 3 writes them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "r") as file:
            return dict(_layers(file, config, ""))
    except (KeyError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise NotPlannedError(f"not planned: weights that are not understood: {error}") from None


def _layers(
    group: h5py.Group, config: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Stored]]:
    groups = {_name(each): each for each in group["layers"].values()}
    for layer in config["config"]["layers"]:
        settings = layer["config"]
        name = settings["name"]
        if layer["class_name"] == "InputLayer":
            continue
        found = groups[name]
        if layer["class_name"] in _MODELS:
            yield from _layers(found, layer, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", Stored(settings, list(_variables(found)))


def _name(group: h5py.Group) -> str:
    """What the layer is called, which Keras notes at its variables."""
    return str(group["vars"].attrs["name"])


def _variables(group: h5py.Group) -> Iterator[NDArray[np.float32]]:
    parts = [group, *(group[part] for part in _ATTENTION_PARTS if part in group)]
    if more := set(group) - {"vars", *_ATTENTION_PARTS, *_WITHOUT_VARIABLES}:
        raise ValueError(f"a layer with {', '.join(sorted(more))}")
    for part in parts:
        variables = part["vars"]
        for number in range(len(variables)):
            values = variables[str(number)]
            if values.dtype != np.float32:
                raise ValueError(f"numbers of the type {values.dtype}")
            yield np.asarray(values)
