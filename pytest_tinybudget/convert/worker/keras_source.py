"""Loads Keras models of any version, and rebuilds those with recurrent layers.

The converter does not take every loop. An LSTM is traced as the function that the converter fuses
into one operator; other recurrent layers are unrolled.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.unrolled import unrolled_warning
from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.norms import norm_doubts
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.convert.worker.problem import require_known
from pytest_tinybudget.convert.worker.problem import static_shape


#: From here on ``safe_mode`` holds for ``.h5`` files too (CVE-2025-9905).
_OLDEST_KERAS = (3, 12)

_LAMBDA = re.compile(r"lambda", re.IGNORECASE)
_UNKNOWN_CLASS = re.compile(r"(?:locate class|Unknown layer:?) '?(\w+)'?")


#: What tfmot calls the classes that it wraps layers in, and the layers then.
_PRUNING = ("PruneLowMagnitude", "prune_low_magnitude")
_QUANTIZED = ("QuantizeLayer", "QuantizeWrapper", "QuantizeAnnotate")


class _DepthwiseConv2D(keras.layers.DepthwiseConv2D):  # type: ignore[misc]
    """Keras 2 wrote ``groups=1`` for it, which Keras 3 does not know."""

    def __init__(self, *positional: Any, groups: int = 1, **keywords: Any) -> None:
        super().__init__(*positional, **keywords)


_H5_SHIMS = {"DepthwiseConv2D": _DepthwiseConv2D}


@dataclass(frozen=True, slots=True)
class KerasModel:
    """A loaded model: its inputs in a flat list, and how to call it. ``fused``: it has an LSTM."""

    model: Any
    inputs: list[InputSpec]
    call: Callable[..., list[Any]]
    fused: bool = False
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load(job: Job, custom: ModuleType | None) -> KerasModel:
    """The model of a ``.keras`` or ``.h5`` file, ready to be traced at batch 1.

    Raises:
        WorkerError: Keras cannot load it, or its inputs have no fixed shapes.
    """
    found = tuple(int(part) for part in keras.__version__.split(".")[:2])
    if found < _OLDEST_KERAS:
        raise WorkerError(
            f"needs keras 3.12 or newer, found {keras.__version__}: older ones run code that lies "
            "in a model file"
        )
    objects = {**(_H5_SHIMS if job.kind == "h5" else {}), **_classes_in(custom)}
    try:
        model = keras.models.load_model(
            job.source, custom_objects=objects, compile=False, safe_mode=True
        )
    except MemoryError:
        raise
    except Exception as error:
        raise _told(error, Path(job.source).name) from error
    if not getattr(model, "inputs", None):
        model = _with_inputs(model)
    model, rebuilt = _without_loops(model, objects)
    wanted = dict(job.input_shapes)
    require_known(wanted, [tensor.name for tensor in model.inputs])
    inputs = [
        InputSpec(
            tensor.name,
            static_shape(tensor.name, tuple(tensor.shape), wanted.get(tensor.name)),
            str(tensor.dtype),
        )
        for tensor in model.inputs
    ]
    return KerasModel(
        model, inputs, _flat_call(model), rebuilt.fused, rebuilt.warnings, rebuilt.notes
    )


def _with_inputs(model: Any) -> Any:
    """A subclassed model as a graph, at the shape that it was built with; its batch is open.

    Raises:
        WorkerError: the file does not say which one input it has.
    """
    shape = (model.get_build_config() or {}).get("input_shape")
    if not (shape and all(extent is None or isinstance(extent, int) for extent in shape)):
        raise WorkerError(
            "the model does not say what its inputs are",
            'load it where it was trained, call it once, and declare what model.export("folder") '
            "writes; or build it with keras.Input",
        )
    inputs = keras.Input(tuple(shape[1:]))
    return keras.Model(inputs, model(inputs, training=False))


def way_out(model: Any) -> tuple[str, ...]:
    """Why the converter refuses a model that it has refused, and what to do; empty if unknown."""
    for layer in model._flatten_layers(include_self=False, recursive=True):
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            return (
                (
                    f'layer {layer.name!r} was quantized in Keras, by quantize("{mode}"): save the '
                    "model before that call and declare that file, INT8 is made here"
                ),
            )
        if layer.dtype_policy.compute_dtype == "float16":
            return (
                (
                    f"layer {layer.name!r} computes in float16 ({layer.dtype_policy.name}): save "
                    "a copy in float32 and declare that. copy = keras.models.clone_model(model, "
                    "clone_function=lambda layer: type(layer).from_config({**layer.get_config(), "
                    '"dtype": "float32"})); copy.set_weights(model.get_weights())'
                ),
            )
    for operation in getattr(model, "operations", ()):
        if type(operation).__name__ in ("Argmax", "Argmin"):
            name = type(operation).__name__.lower()
            return (
                (
                    f"keras.ops.{name} makes operators that TF Lite lacks: end the model "
                    "before it, and find the index in the firmware"
                ),
            )
    return ()


def _classes_in(module: ModuleType | None) -> dict[str, Any]:
    """Classes and functions that a module offers, by name."""
    if module is None:
        return {}
    return {
        name: item
        for name, item in vars(module).items()
        if not name.startswith("_") and (inspect.isclass(item) or inspect.isfunction(item))
    }


def still_wrapped(name: str, source: str) -> WorkerError | None:
    """Why a model with a wrapper of tfmot (tensorflow_model_optimization) is not converted.

    ``name`` is a name in the model: the wrapper's class or what it calls its layers; ``source`` the
    file or folder. ``None`` where it is of no wrapper.
    """
    if name.startswith(_PRUNING):
        return WorkerError(
            "the model still has the wrappers that pruned it (PruneLowMagnitude)",
            "save it without them where it was trained, and declare that file: with "
            "tfmot.sparsity.keras.prune_scope(): model = "
            f'tf_keras.models.load_model("{source}"); '
            'tfmot.sparsity.keras.strip_pruning(model).save("stripped.keras")',
        )
    if name.startswith(_QUANTIZED):
        known = source.endswith(".h5")
        model = f'tf_keras.models.load_model("{source}")' if known else "model"
        scope = "with tfmot.quantization.keras.quantize_scope(): " if known else ""
        return WorkerError(
            f"Keras 3 does not load a model that tfmot trained with quantization ({name})",
            "write it as a SavedModel where it was trained, and declare that folder, whose ranges "
            f'become the scales: {scope}{model}.save("folder", save_format="tf")',
        )
    return None


def _told(error: Exception, source: str) -> WorkerError:
    text = str(error)
    if _LAMBDA.search(text):
        return WorkerError(
            "Keras does not load it: it has a Lambda layer, which is code in a model file",
            "write the layer as a class and name its module: custom_objects = "
            '"package.module" (use a class even for a model of your own: a Lambda also breaks '
            "with the Python version)",
        )
    unknown = _UNKNOWN_CLASS.search(text)
    wrapped = still_wrapped(unknown[1], source) if unknown else None
    if wrapped:
        return wrapped
    if unknown:
        return WorkerError(
            f"Keras does not load it: it does not know the class {unknown[1]!r}",
            'name the module that has it: custom_objects = "package.module"',
        )
    return WorkerError(f"Keras does not load it: {first_line(error)}")


def doubts(model: Any, samples: Sequence[Sample]) -> list[str]:
    """Whether the data differs from what the first batch normalization saw in training.

    Its moving mean and variance are all that a trained model remembers of its data.
    """
    layer = next((each for each in model.layers if _is_trained_norm(each)), None)
    is_graph = isinstance(model, keras.Sequential) or hasattr(model, "operations")
    if layer is None or not is_graph or len(layer._inbound_nodes) != 1:
        return []  # nothing learned, or not in one place of a graph
    before = keras.Model(model.inputs, layer.input)
    inputs = [np.concatenate(column) for column in zip(*samples, strict=True)]
    values = np.asarray(before(inputs[0] if len(inputs) == 1 else inputs, training=False))
    return norm_doubts(
        layer.name, values, np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
    )


def _is_trained_norm(layer: Any) -> bool:
    """Whether it normalizes the last axis with statistics that are not the initial ones."""
    if not isinstance(layer, keras.layers.BatchNormalization) or layer.axis not in (-1, 3):
        return False
    return bool(np.any(np.asarray(layer.moving_mean)))


def _flat_call(model: Any) -> Callable[..., list[Any]]:
    """``model`` as a function of its inputs in order, to its outputs in order."""
    structure = getattr(model, "_inputs_struct", None)

    def call(*inputs: Any) -> list[Any]:
        if structure is not None:
            packed = keras.tree.pack_sequence_as(structure, list(inputs))
        else:
            packed = inputs[0] if len(inputs) == 1 else list(inputs)
        return list(keras.tree.flatten(model(packed, training=False)))

    return call


@dataclass(slots=True)
class _Rebuilt:
    """What rebuilding a model has come to."""

    fused: bool = False
    unrolled: list[str] = field(default_factory=list)
    embeddings: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        if not self.embeddings:
            return []
        names = ", ".join(self.embeddings)
        note = (
            f"{names}: indices must be 0 or above; those below 0, which Keras counts from the end, "
            "are invalid in the converted model"
        )
        return [note]

    @property
    def warnings(self) -> list[str]:
        if not self.unrolled:
            return []
        return [unrolled_warning(self.unrolled)]


def _without_loops(model: Any, objects: dict[str, Any]) -> tuple[Any, _Rebuilt]:
    """``model`` with its recurrent layers fused or unrolled, and its embeddings as plain ones.

    Itself where it has none.
    """
    rebuilt = _Rebuilt()
    layers = list(model._flatten_layers(include_self=False, recursive=True))
    recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
    if not any(isinstance(layer, recurrent) or _is_plain_embedding(layer) for layer in layers):
        return model, rebuilt

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if type(layer) is keras.layers.LSTM and _fusible(layer):
            rebuilt.fused = True
            return FusedLSTM.from_config(config)
        if _is_plain_embedding(layer):
            rebuilt.embeddings.append(layer.name)
            return PlainEmbedding.from_config(config)
        if type(layer) is keras.layers.Bidirectional and _is_fusible_both_ways(layer):
            rebuilt.fused = True
            return FusedBidirectional.of(layer)
        if isinstance(layer, keras.layers.Bidirectional):
            for side in ("layer", "backward_layer"):
                if config.get(side):
                    config[side]["config"]["unroll"] = True
            rebuilt.unrolled.append(layer.name)
        elif isinstance(layer, keras.layers.RNN) and not layer.unroll:
            config["unroll"] = True
            rebuilt.unrolled.append(layer.name)
        return type(layer).from_config(config)

    with keras.utils.custom_object_scope({**objects, "FusedLSTM": FusedLSTM}):
        copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    return copy, rebuilt


def _fusible(layer: Any) -> bool:
    """Whether TF Lite's operator computes the same as the layer."""
    return (
        layer.activation is keras.activations.tanh
        and layer.recurrent_activation is keras.activations.sigmoid
        and layer.use_bias
        and not (layer.return_state or layer.stateful)
    )


def _is_fusible_both_ways(layer: Any) -> bool:
    return all(
        type(side) is keras.layers.LSTM and _fusible(side)
        for side in (layer.forward_layer, layer.backward_layer)
    )


def _is_plain_embedding(layer: Any) -> bool:
    return type(layer) is keras.layers.Embedding and not (
        layer.mask_zero or layer.lora_enabled or getattr(layer, "quantization_mode", None)
    )


#: What TensorFlow calls a function that the converter may replace by its own operator.
_FUSED_ATTRIBUTES = {
    "api_implements": "lstm_tinybudget",
    "api_preferred_device": "CPU",
    "time_major": False,
    "go_backwards": False,
}


class FusedLSTM(keras.layers.LSTM):  # type: ignore[misc]
    """An LSTM traced as the function that becomes UNIDIRECTIONAL_SEQUENCE_LSTM."""

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """The outputs of all steps or of the last one, as the layer is set."""
        if mask is not None or initial_state is not None:
            self.unroll = True  # what the operator has no input for
            return super().call(sequences, initial_state, mask, training)
        if self.go_backwards:
            sequences = sequences[:, ::-1]
        batch = sequences.shape[0] or tf.shape(sequences)[0]
        state = tf.zeros((batch, self.units))
        weights = (self.cell.kernel, self.cell.recurrent_kernel, self.cell.bias)
        last, every, *_ = _lstm(sequences, state, state, *map(tf.convert_to_tensor, weights))
        return every if self.return_sequences else last


class FusedBidirectional(keras.layers.Bidirectional):  # type: ignore[misc]
    """Two LSTMs, each one operator, of which one reads its steps from the end."""

    @classmethod
    def of(cls, layer: Any) -> FusedBidirectional:
        """The fused form of a ``Bidirectional`` of two LSTMs, without their weights."""
        sides = [
            FusedLSTM.from_config(side.get_config())
            for side in (layer.forward_layer, layer.backward_layer)
        ]
        return cls(sides[0], layer.merge_mode, backward_layer=sides[1], name=layer.name)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        """Both outputs, merged as the layer is set; those of the side that runs back, in order."""
        if mask is not None or initial_state is not None:
            return super().call(sequences, initial_state, mask, training)
        ahead, back = self.forward_layer(sequences), self.backward_layer(sequences)
        if self.return_sequences:
            back = back[:, ::-1]  # a slice: TFLM has REVERSE_V2 only since 2026
        if self.merge_mode == "concat":
            return tf.concat([ahead, back], axis=-1)
        if self.merge_mode == "mul":
            return ahead * back
        if self.merge_mode is None:
            return ahead, back
        return ahead + back if self.merge_mode == "sum" else (ahead + back) / 2


class PlainEmbedding(keras.layers.Embedding):  # type: ignore[misc]
    """An embedding as one GATHER.

    Keras 3.15 lets indices below 0 count from the end, by operators on INT32 that TFLM lacks.
    """

    def call(self, inputs: Any) -> Any:
        """The rows of the table that ``inputs`` say."""
        rows = tf.gather(self.embeddings, tf.cast(inputs, tf.int32), axis=0)
        return tf.cast(rows, self.compute_dtype)


@tf.function(autograph=False, experimental_attributes=_FUSED_ATTRIBUTES)  # type: ignore[untyped-decorator]
def _lstm(inputs: Any, hidden: Any, cell: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """The arguments and results that the converter expects; gates in the order i, f, c, o."""
    outputs = []
    for step in range(inputs.shape[1]):
        gates = tf.matmul(inputs[:, step], kernel) + tf.matmul(hidden, recurrent) + bias
        update, forget, candidate, output = tf.split(gates, 4, axis=1)
        cell = tf.sigmoid(forget) * cell + tf.sigmoid(update) * tf.tanh(candidate)
        hidden = tf.sigmoid(output) * tf.tanh(cell)
        outputs.append(hidden)
    return hidden, tf.stack(outputs, axis=1), hidden, cell, tf.constant(0.0)
