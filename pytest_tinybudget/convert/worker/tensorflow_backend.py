"""Converts Keras models and SavedModels to full-integer TF Lite at batch 1, with TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import tensorflow as tf
from tensorflow.lite.python import schema_py_generated
from tensorflow.lite.python.optimize import calibrator
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pytest_tinybudget.convert.files import Job
from pytest_tinybudget.convert.worker import keras_source
from pytest_tinybudget.convert.worker.backend import Sample
from pytest_tinybudget.convert.worker.keras_source import still_wrapped
from pytest_tinybudget.convert.worker.problem import InputSpec
from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.convert.worker.problem import require_known
from pytest_tinybudget.convert.worker.problem import static_shape
from pytest_tinybudget.graph.quantized import not_int8_tensors
from pytest_tinybudget.graph.tflite import read_model


_SIGNATURE = "serving_default"

#: Attempts. One time in five the converter leaves an operator of an unrolled GRU in float, for the
#: same model in the same process. What is float after these attempts, the gate reports.
_ATTEMPTS = 6
#: What is float in so many attempts is none of those: the converter has no integer form of it.
_ALIKE = 3


def load(job: Job, custom: ModuleType | None) -> TensorFlowModel:
    """The float model of ``job``.

    Raises:
        WorkerError: it cannot be loaded, or its inputs have no fixed shapes.
    """
    if job.kind == "saved_model":
        return _load_saved_model(job)
    loaded = keras_source.load(job, custom)
    model = TensorFlowModel(
        loaded.inputs, loaded.call, loaded.fused, loaded.warnings, owner=loaded, model=loaded.model
    )
    model.notes = loaded.notes
    return model


def _load_saved_model(job: Job) -> TensorFlowModel:
    try:
        loaded = tf.saved_model.load(job.source)
    except MemoryError:
        raise
    except Exception as error:
        raise WorkerError(f"TensorFlow does not load it: {first_line(error)}") from error
    signatures = dict(loaded.signatures)
    if _SIGNATURE not in signatures and len(signatures) != 1:
        found = ", ".join(sorted(signatures)) or "none"
        raise WorkerError(
            f"expected a signature {_SIGNATURE!r}, or just one; it has {found}",
            *_one_of(signatures),
        )
    function = signatures.get(_SIGNATURE) or next(iter(signatures.values()))
    # By name: the file has no order of them that would be the same when it is written again.
    specs = dict(sorted(function.structured_input_signature[1].items()))
    wanted = dict(job.input_shapes)
    require_known(wanted, specs)
    inputs = [
        InputSpec(name, _shape_of(name, spec, wanted.get(name)), spec.dtype.name)
        for name, spec in specs.items()
    ]

    def call(*values: Any) -> list[Any]:
        named = dict(zip(specs, values, strict=True))
        outputs = function(**named)
        return [outputs[name] for name in sorted(outputs)]

    definition = function.graph.as_graph_def()
    _refuse_wrapped(definition, job)
    fused = any("api_implements" in each.attr for each in definition.library.function)
    # ``loaded`` owns the variables, which a signature refers to only weakly.
    return TensorFlowModel(inputs, call, fused, [], loaded)


def _refuse_wrapped(definition: Any, job: Job) -> None:
    """Refuse a model that still has the wrappers that pruned it: they change their weights."""
    nodes = [*definition.node, *(n for each in definition.library.function for n in each.node_def)]
    parts = (part for node in nodes for part in node.name.split("/"))
    for part in parts:
        if error := still_wrapped(part, Path(job.source).name):
            raise error


def _shape_of(name: str, spec: Any, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    if spec.shape.rank is None:
        raise WorkerError(f"input {name!r} has no fixed shape: build the model with fixed extents")
    shape = tuple(spec.shape.as_list())
    if wanted is None and shape and shape[0] not in (None, 1):
        opened = (None, *shape[1:])
        raise WorkerError(
            f"input {name!r} has the fixed batch {shape[0]}, expected 1 or None",
            f"export the model with that dimension open: tf.TensorSpec({opened}, "
            f"tf.{spec.dtype.name}) in its input signature",
        )
    return static_shape(name, shape, wanted)


def _one_of(signatures: Iterable[str]) -> tuple[str, ...]:
    """How a SavedModel is written again with one of its signatures."""
    return tuple(
        "write it with the one to convert: loaded = tf.saved_model.load(folder); "
        f'tf.saved_model.save(loaded, other, signatures=loaded.signatures["{name}"])'
        for name in sorted(signatures)[:1]
    )


class TensorFlowModel:
    """A float model traced at batch 1."""

    schema: ModuleType = schema_py_generated

    def __init__(
        self,
        inputs: list[InputSpec],
        call: Callable[..., list[Any]],
        fused: bool,
        warnings: list[str],
        owner: object,
        model: Any = None,
    ) -> None:
        self.inputs = inputs
        self.warnings = warnings
        self.notes: list[str] = []
        self._fused = fused
        self._owner = owner
        self._keras = model
        # Named so that no converter that sorts by name changes their order.
        specs = [
            tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{index:03}")
            for index, spec in enumerate(inputs)
        ]
        self._module = tf.Module()
        self._traced = tf.function(call, autograph=False).get_concrete_function(*specs)

    def doubts(self, samples: Sequence[Sample]) -> list[str]:
        """Signs that the data differs from the training data, a line each."""
        return [] if self._keras is None else keras_source.doubts(self._keras, samples)

    def run(self, sample: Sample) -> list[Any]:
        """The float model's outputs for one sample."""
        outputs = self._traced(*(tf.constant(values) for values in sample))
        return [output.numpy() for output in outputs]

    def interpreter(self, content: bytes) -> Any:
        """An interpreter without delegates."""
        return tf.lite.Interpreter(
            model_content=content,
            experimental_op_resolver_type=(
                tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            ),
        )

    def float_file(self) -> bytes:
        """The model as TF Lite in floating point."""
        with tempfile.TemporaryDirectory() as folder:
            converter = self._converter(folder)
            converter.exclude_conversion_metadata = True
            return bytes(converter.convert())

    def convert(self, samples: Sequence[Sample], job: Job) -> bytes:
        """Full-integer TF Lite.

        Raises:
            WorkerError: the converter refuses the model.
        """
        left: list[tuple[str, ...]] = []
        for _ in range(_ATTEMPTS):
            with tempfile.TemporaryDirectory() as folder:
                converter = self._converter(folder)
                _make_full_integer(converter, job)
                converter.representative_dataset = self._dataset(samples)
                try:
                    with _fresh_states() if self._fused else nullcontext():
                        content = bytes(converter.convert())
                except MemoryError:
                    raise
                except Exception as error:
                    told = () if self._keras is None else keras_source.way_out(self._keras)
                    text = f"TensorFlow does not convert it: {_cause(error)}"
                    raise WorkerError(text, *told) from error
            left.append(not_int8_tensors(read_model(content, job.shown)))
            if not left[-1] or left.count(left[-1]) == _ALIKE:
                break
        return content

    def _converter(self, folder: str) -> Any:
        """The converter. Frozen constants make the smallest graph, but prevent fusing an LSTM."""
        if not self._fused:
            frozen = convert_variables_to_constants_v2(self._traced)
            return tf.lite.TFLiteConverter.from_concrete_functions([frozen])
        tf.saved_model.save(self._module, folder, signatures=self._signature())
        return tf.lite.TFLiteConverter.from_saved_model(folder)

    def _signature(self) -> Any:
        self._module.tracked = list(self._traced.variables)

        def named(**inputs: Any) -> dict[str, Any]:
            outputs = self._traced(*(inputs[name] for name in sorted(inputs)))
            return {f"output_{index:03}": output for index, output in enumerate(outputs)}

        specs = {
            f"input_{index:03}": tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{index:03}")
            for index, spec in enumerate(self.inputs)
        }
        return tf.function(named, autograph=False).get_concrete_function(**specs)

    def _dataset(self, samples: Sequence[Sample]) -> Callable[[], Iterator[list[Any]]]:
        return lambda: (list(sample) for sample in samples)


@contextmanager
def _fresh_states() -> Iterator[None]:
    """Calibrate with a state of zeros for each sample, as the float model starts with one.

    The converter's calibrator lets an LSTM go on from the sample before, so that ranges come out
    which no single sequence has.
    """

    def feed(self: Any, samples: Callable[[], Iterable[list[Any]]], resize_input: bool) -> None:
        del resize_input  # the shapes are fixed
        for sample in samples():
            self._calibrator.Prepare([list(values.shape) for values in sample])
            self._calibrator.FeedTensor(sample)

    with mock.patch.object(calibrator.Calibrator, "_feed_tensors", feed):
        yield


def _make_full_integer(converter: Any, job: Job) -> None:
    operators = tf.lite.OpsSet
    wide = job.activations == "int16"
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [
        operators.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if wide
        else operators.TFLITE_BUILTINS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16 if wide else tf.int8
    converter.exclude_conversion_metadata = True
    converter._experimental_disable_per_channel_quantization_for_dense_layers = (
        not job.per_channel_dense
    )


def _cause(error: Exception) -> str:
    """The line of the converter's pages of output that names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "Error:" in line]
    cause = (telling or lines or [type(error).__name__])[0]
    if "TensorList" in cause:
        return "it loops over time steps: declare the .keras file, or build it with unroll=True"
    return cause.rpartition("error: ")[2]
