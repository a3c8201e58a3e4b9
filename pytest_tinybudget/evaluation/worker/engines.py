"""Engines that run a model: LiteRT, TensorFlow, TFLM, or the framework of a float model.

All of them take and return real numbers. Quantized tensors are converted by their scale and zero
point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import partial
from typing import Any
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pytest_tinybudget.convert.worker.problem import WorkerError
from pytest_tinybudget.convert.worker.problem import first_line
from pytest_tinybudget.graph.state import keeps_state
from pytest_tinybudget.graph.tflite import read_model


Array = NDArray[Any]

#: Bytes of arena beyond the simulated size (as in the cross-check of ``verify``).
_SPARE_ARENA_BYTES = 1024**2
_ARENA_PER_MODEL_BYTE = 10


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: ``scale`` is 0 where it holds real numbers or plain integers.

    ``names`` are those that a model's input goes by: its tensor's, and those in signatures.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float = 0.0
    zero_point: int = 0
    names: tuple[str, ...] = ()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, without a batch of 1."""
        return self.shape[1:] if self.shape[:1] == (1,) else self.shape

    def quantized(self, values: Array) -> Array:
        """Convert real numbers to the tensor's type."""
        if not self.scale:
            return values.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        levels = np.rint(values / self.scale) + self.zero_point
        clipped: Array = np.clip(levels, limits.min, limits.max).astype(self.dtype)
        return clipped

    def real(self, levels: Array) -> Array:
        """Convert the tensor's contents to real numbers."""
        if not self.scale:
            return levels.astype(np.float64)
        return (levels.astype(np.float64) - self.zero_point) * self.scale


class Engine(Protocol):
    """A model that can be run: inputs and outputs in the model's order.

    ``is_fresh`` says whether each sample has an interpreter of its own, because the model keeps a
    state.
    """

    inputs: list[Tensor]
    is_fresh: bool

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """Real outputs for one sample of real inputs, each in the tensor's own shape."""


def engine(name: str, content: bytes, shown: str) -> Engine:
    """Load ``content`` into the interpreter called ``name``.

    Raises:
        WorkerError: the interpreter does not take the model.
    """
    makers = {"litert": _litert, "tensorflow": _tensorflow, "tflm": _TFLM}
    try:
        return makers[name](content)
    except (ValueError, RuntimeError) as error:
        raise WorkerError(
            f"{shown}: the interpreter does not load it: {first_line(error)}"
        ) from error


def _litert(content: bytes) -> Engine:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.interpreter import OpResolverType

    return _LiteRT(content, Interpreter, OpResolverType)


def _tensorflow(content: bytes) -> Engine:
    import tensorflow as tf

    return _LiteRT(content, tf.lite.Interpreter, tf.lite.experimental.OpResolverType)


class _LiteRT:
    """The interpreter of LiteRT or TensorFlow, without delegates: that is closest to TFLM."""

    def __init__(self, content: bytes, interpreter: Any, kernels: Any) -> None:
        self._made = partial(
            interpreter,
            model_content=content,
            experimental_op_resolver_type=kernels.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        model = read_model(content, "model")
        self.is_fresh = keeps_state(model)
        self._begin()
        inputs, outputs = self._now.get_input_details(), self._now.get_output_details()
        self.inputs = [
            replace(_litert_tensor(each), names=names)
            for each, names in zip(inputs, model.input_names, strict=True)
        ]
        self._outputs = [_litert_tensor(each) for each in outputs]
        self._input_indices = [each["index"] for each in inputs]
        self._output_indices = [each["index"] for each in outputs]
        self._is_new = True

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """Real outputs for one sample; state of earlier ones is forgotten."""
        if self.is_fresh and not self._is_new:
            self._begin()
        self._is_new = False
        for index, tensor, values in zip(self._input_indices, self.inputs, sample, strict=True):
            self._now.set_tensor(index, tensor.quantized(values.reshape(tensor.shape)))
        self._now.invoke()
        return [
            tensor.real(self._now.get_tensor(index))
            for index, tensor in zip(self._output_indices, self._outputs, strict=True)
        ]

    def _begin(self) -> None:
        self._now = self._made()
        self._now.allocate_tensors()


def _litert_tensor(detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    shape = tuple(map(int, detail["shape"]))
    return Tensor(shape, np.dtype(detail["dtype"]), float(scale), int(zero_point))


class _TFLM:
    """TFLM's own interpreter, with its reference kernels."""

    def __init__(self, content: bytes) -> None:
        from tflite_micro.python.tflite_micro import runtime

        from pytest_tinybudget.footprint.arena import simulate
        from pytest_tinybudget.runtimes.runtime import RUNTIMES

        model = read_model(content, "model")
        arena = simulate(model, RUNTIMES["x86_64_ref"]).arena
        required = arena.required if arena else _ARENA_PER_MODEL_BYTE * len(content)
        self.is_fresh = keeps_state(model)
        self._made = partial(
            runtime.Interpreter.from_bytes, content, arena_size=required + _SPARE_ARENA_BYTES
        )
        self._now, self._is_new = self._made(), True
        self.inputs = [
            replace(_tflm_tensor(self._now.get_input_details(index)), names=names)
            for index, names in enumerate(model.input_names)
        ]
        self._outputs = [
            _tflm_tensor(self._now.get_output_details(index))
            for index in range(len(model.main.outputs))
        ]

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """Real outputs for one sample; state of earlier ones is forgotten."""
        if self.is_fresh and not self._is_new:
            self._now = self._made()
        self._is_new = False
        for index, (tensor, values) in enumerate(zip(self.inputs, sample, strict=True)):
            self._now.set_input(tensor.quantized(values.reshape(tensor.shape)), index)
        self._now.invoke()
        return [
            tensor.real(self._now.get_output(index)) for index, tensor in enumerate(self._outputs)
        ]


def _tflm_tensor(detail: dict[str, Any]) -> Tensor:
    parameters = detail["quantization_parameters"]
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    shape, dtype = tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])
    if len(scales) == 0 or dtype.kind == "f":
        return Tensor(shape, dtype)
    return Tensor(shape, dtype, float(scales[0]), int(zero_points[0]))


def with_names(tensors: Sequence[Tensor], source: Sequence[Tensor]) -> list[Tensor]:
    """``tensors``, also by the names in ``source``: a conversion keeps the order, not the names."""
    if len(tensors) != len(source):
        return list(tensors)
    return [
        replace(tensor, names=tensor.names + named.names)
        for tensor, named in zip(tensors, source, strict=True)
    ]


class Trained:
    """A float model in its own framework."""

    def __init__(self, model: Any) -> None:
        self._model, self.is_fresh = model, False
        self.inputs = [
            Tensor(spec.shape, np.dtype(spec.dtype), names=(spec.name, *spec.aliases))
            for spec in model.inputs
        ]

    def run(self, sample: Sequence[Array]) -> list[Array]:
        """Real outputs for one sample."""
        values = [
            each.reshape(tensor.shape).astype(tensor.dtype)
            for each, tensor in zip(sample, self.inputs, strict=True)
        ]
        return [np.asarray(output, np.float64) for output in self._model.run(values)]
