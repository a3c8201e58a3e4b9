"""A live model as a network: nothing is saved, converted or run."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from pytest_tinybudget.planning.keras_config import Shapes
from pytest_tinybudget.planning.keras_config import network_of
from pytest_tinybudget.planning.network import Network


def live_network(model: Any, input_shapes: Shapes = ()) -> Network | None:
    """The network of a ``keras.Model``; ``None`` where ``model`` is something else.

    ``input_shapes`` are for inputs that it leaves open, by name, batch included.

    Raises:
        NotPlannedError: how the converter makes a layer is not known.
    """
    config = _config(model)
    return None if config is None else network_of(config, input_shapes=input_shapes)


def _config(model: Any) -> Mapping[str, Any] | None:
    """What ``config.json`` would hold of a Keras model."""
    for name in ("keras", "tf_keras"):  # who has a model of it has imported it
        keras = sys.modules.get(name)
        if keras is not None and isinstance(model, keras.Model):
            config: Mapping[str, Any] = json.loads(json.dumps(_serialized(keras, model)))
            return config
    return None


def _serialized(keras: Any, model: Any) -> Any:
    try:
        return keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError):  # layers that cannot be saved
        return {"class_name": type(model).__name__, "config": {}}
