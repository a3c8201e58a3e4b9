"""Holds a quantized model's tensors to those of the float model that it was made from.

How far they may lie apart is not chosen: the file's own scales say it. The file's graph is run in
real numbers, once as it is, and some times with a random error of up to half a step on every
weight and on every number that an operator rounds. How far these runs lie apart is the noise that
the file's scales make at each tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from difflib import SequenceMatcher
from math import prod
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from pytest_tinybudget.evaluation.worker.operators import MOVES
from pytest_tinybudget.evaluation.worker.operators import TYPES
from pytest_tinybudget.evaluation.worker.operators import constant_of
from pytest_tinybudget.evaluation.worker.operators import is_quantized
from pytest_tinybudget.evaluation.worker.operators import loaded
from pytest_tinybudget.evaluation.worker.operators import preserved
from pytest_tinybudget.evaluation.worker.operators import quantized
from pytest_tinybudget.evaluation.worker.operators import ran
from pytest_tinybudget.evaluation.worker.operators import real_values
from pytest_tinybudget.graph.cutting import alone
from pytest_tinybudget.graph.cutting import given_to
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.state import keeps_state
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model


Array = NDArray[Any]
#: One array a sample.
Values = dict[int, list[Array]]

#: Samples to compare on: what is wrong in every sample shows in a few.
MOST_SAMPLES = 8
#: Runs with random errors: so many where each number has an error of its own, and so many where
#: all positions of a channel share one, as in an even part of a picture.
DRAWS = 6

#: A tensor departs where the root mean square of its error is above so many times the noise's.
TENSOR_FACTOR = 3.0
#: One of its channels departs above this. It has fewer numbers, and there are many channels.
CHANNEL_FACTOR = 6.0

#: So many of a tensor's numbers may be beyond its range: the samples may not be those that it was
#: calibrated with. What this does is noise like rounding's. (The share of ``drift.py``.)
BEYOND_SHARE = 0.1

_NOT_RUN = frozenset({"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE"})
#: Where a number lies at a jump of these, half a step of an input may change the output by all.
_JUMPS = frozenset({"FLOOR_DIV", "FLOOR_MOD"})
_ROUND_NOTHING = frozenset({"QUANTIZE", "DEQUANTIZE"})
_TINY = 1e-30


class NotComparableError(Exception):
    """Why a model's noise cannot be found."""


def against_float(
    content: bytes,
    float_content: bytes,
    samples: Sequence[Sequence[Array]],
    float_samples: Sequence[Sequence[Array]],
    arena_bytes: int,
) -> dict[str, Any]:
    """Compare ``content`` in TFLM's interpreter with the float file in LiteRT.

    Args:
        content: the quantized file.
        float_content: the float file, at batch 1.
        samples: for each sample an array a model's input, in real numbers.
        float_samples: the same in the order of the float model's inputs.
        arena_bytes: for TFLM's interpreter.

    Returns:
        ``outputs``, a table for each; ``first``, the first operator that departs; ``saturated``,
        the first whose range does not hold the float model's numbers; how many ``samples`` and
        ``tensors`` were compared; ``why_not``, where nothing was.
    """
    model, source = read_model(content, "model"), read_model(float_content, "float model")
    chosen, theirs = ([*each[:: max(1, len(each) // MOST_SAMPLES)]][:MOST_SAMPLES]
                      for each in (samples, float_samples))  # fmt: skip
    try:
        pairs = aligned(model, source)
        noise = _noise(model, chosen)
        expected = _float_run(float_content, source, theirs)
        found = _tflm_run(content, model, chosen, arena_bytes)
    except NotComparableError as error:
        return {"why_not": str(error)}
    told = [
        _told(operator, model.main.tensors[index], found[index], expected[twin], noise[index])
        for operator, index, twin in pairs
    ]
    return {
        "why_not": "",
        "samples": len(chosen),
        "tensors": len(told),
        "outputs": [each for each in told if each["tensor"] in model.main.outputs],
        "saturated": next((each for each in told if each["beyond"]), None),
        "first": next((each for each in told if each["departs"]), None),
    }


def aligned(model: Model, source: Model) -> list[tuple[Operator, int, int]]:
    """Operators in order, each with an output and the tensor of ``source`` that this is.

    Converters keep the order of operators; outputs are known by their place.

    Raises:
        NotComparableError: the outputs are others.
    """
    outputs = dict(zip(model.main.outputs, source.main.outputs, strict=False))
    if len(model.main.outputs) != len(source.main.outputs) or any(
        _size(model.main.tensors[mine]) != _size(source.main.tensors[other])
        for mine, other in outputs.items()
    ):
        raise NotComparableError("its outputs are not those of the float model")
    made_by = {index: each for each in model.main.operators for index in each.outputs}
    found = {index: twin for index, twin in outputs.items() if index in made_by}
    mine, others = _steps(model), _steps(source)
    keys = [_key(each, model.main) for each in mine], [_key(each, source.main) for each in others]
    for block in SequenceMatcher(None, *keys, autojunk=False).get_matching_blocks():
        for place in range(block.size):
            one, other = mine[block.a + place], others[block.b + place]
            for index, twin in zip(one.outputs, other.outputs, strict=True):
                found.setdefault(index, twin)
    told = [(made_by[index], index, twin) for index, twin in found.items()]
    return sorted(told, key=lambda each: each[0].index)


def _range(tensor: Tensor) -> tuple[float, float]:
    """The least and the largest number that a tensor can hold."""
    limits = np.iinfo(TYPES[tensor.type])
    low, high = real_values(np.array([limits.min, limits.max]), tensor)
    return float(low), float(high)


def _share_beyond(values: Array, tensor: Tensor) -> float:
    """How many of ``values`` are more than a step beyond the range, as a share."""
    if not is_quantized(tensor):
        return 0.0
    low, high = _range(tensor)
    step = tensor.quantization.scales[0]
    return float(np.mean((values < low - step) | (values > high + step)))


def _steps(model: Model) -> list[Operator]:
    return [each for each in model.main.operators if each.name not in _ROUND_NOTHING]


def _key(operator: Operator, graph: Subgraph) -> tuple[Any, ...]:
    return operator.name, *(graph.tensors[index].shape for index in operator.outputs)


def _size(tensor: Tensor) -> int:
    return prod(tensor.shape)


def _told(
    operator: Operator,
    tensor: Tensor,
    found: Sequence[Array],
    expected: Sequence[Array],
    noise: tuple[Array, float],
) -> dict[str, Any]:
    """How far a tensor lies from the float model's, and how far noise takes it, in its numbers."""
    channels, whole = noise
    theirs = np.stack([each.reshape(tensor.shape) for each in expected]).astype(np.float64)
    error = np.stack([each.reshape(tensor.shape) for each in found]) - theirs
    spread, by_channel = float(np.std(theirs)), _by_channel(error)
    off = _root_mean_square(error)
    times = off / max(whole, _TINY)
    channel_times = float((by_channel / np.maximum(np.maximum(channels, whole), _TINY)).max())
    share = _share_beyond(theirs, tensor)
    departs = times > TENSOR_FACTOR or channel_times > CHANNEL_FACTOR or share > BEYOND_SHARE
    return {
        "tensor": tensor.index,
        "index": operator.index,
        "name": operator.name,
        "output": tensor.name,
        "error": off / spread if spread else 0.0,
        "times": times,
        "allowed": TENSOR_FACTOR,
        "channel_times": channel_times,
        "channel_allowed": CHANNEL_FACTOR,
        "beyond": share if share > BEYOND_SHARE else 0.0,
        "departs": departs and (is_quantized(tensor) or tensor.type == "FLOAT32"),
    }


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _by_channel(values: Array) -> Array:
    """The root mean square of each channel: of the last axis, where there is one."""
    flat = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    found: Array = np.sqrt(np.mean(np.square(flat), axis=0))
    return found


# What the model makes of the samples


def _float_run(content: bytes, source: Model, samples: Sequence[Sequence[Array]]) -> Values:
    """All tensors of the float file that operators make."""
    made, said = loaded(content, preserve=True)
    if made is None:
        raise NotComparableError(f"LiteRT does not load the float model: {said}")
    indices = [index for each in source.main.operators for index in each.outputs]
    found: Values = {index: [] for index in indices}
    for sample in samples:
        made.reset_all_variables()
        typed = [np.asarray(values, TYPES[source.main.tensors[index].type])
                 for index, values in zip(source.main.inputs, sample, strict=True)]  # fmt: skip
        _, said = ran(made, typed)
        if said:
            raise NotComparableError(f"LiteRT does not run the float model: {said}")
        for index in indices:
            found[index].append(made.get_tensor(index).astype(np.float64))
    return found


def _tflm_run(
    content: bytes, model: Model, samples: Sequence[Sequence[Array]], arena_bytes: int
) -> Values:
    """All tensors of the model that operators make, in real numbers, by TFLM's interpreter."""
    from tflite_micro.python.tflite_micro import runtime

    def fresh() -> Any:
        return runtime.Interpreter.from_bytes(
            content,
            arena_size=arena_bytes,
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
        )

    interpreter, is_stateful = fresh(), keeps_state(model)
    tensors = model.main.tensors
    indices = [index for each in model.main.operators for index in each.outputs]
    found: Values = {index: [] for index in indices}
    for number, sample in enumerate(samples):
        if is_stateful and number:
            interpreter = fresh()
        for place, (index, values) in enumerate(zip(model.main.inputs, sample, strict=True)):
            interpreter.set_input(_levels(values, tensors[index]), place)
        try:
            interpreter.invoke()
        except RuntimeError as error:
            raise NotComparableError(f"TFLM's interpreter does not run it: {error}") from error
        for index, levels in zip(indices, preserved(interpreter, indices), strict=True):
            tensor = tensors[index]
            found[index].append(real_values(levels, tensor) if is_quantized(tensor) else levels)
    return found


def _levels(values: Array, tensor: Tensor) -> Array:
    if is_quantized(tensor):
        return quantized(values.astype(np.float32), tensor)
    return np.asarray(values, TYPES[tensor.type]).reshape(tensor.shape)


# How far rounding takes it


def _noise(model: Model, samples: Sequence[Sequence[Array]]) -> dict[int, tuple[Array, float]]:
    """For each tensor that an operator makes: the noise of its channels, and of the whole.

    It is what rounding does, and what is cut off where the tensor's range ends.

    Raises:
        NotComparableError: an operator cannot be run in real numbers.
    """
    twin = _Twin(model)
    chance = np.random.default_rng(0)
    plain = twin.run(samples, None)
    kinds = []
    for shared in (False, True):
        squares: dict[int, list[Array]] = {index: [] for index in plain}
        for _ in range(DRAWS):
            for index, values in twin.run(samples, _Errors(chance, shared=shared)).items():
                apart = np.stack(values).astype(np.float64) - np.stack(plain[index])
                squares[index].append(apart)
        kinds.append({
            index: (_by_channel(np.stack(each)), _root_mean_square(np.stack(each)))
            for index, each in squares.items()
        })  # fmt: skip
    return {
        index: (np.maximum(kinds[0][index][0], kinds[1][index][0]),
                max(kinds[0][index][1], kinds[1][index][1]))
        for index in plain
    }  # fmt: skip


class _Errors:
    """Random errors of up to half a step; ``shared`` by all positions of a channel."""

    def __init__(self, chance: np.random.Generator, *, shared: bool) -> None:
        self._chance, self._shared = chance, shared

    def of(self, values: Array, tensor: Tensor) -> Array:
        """``values`` of an activation, each moved by up to half a step."""
        shape = (*[1] * (values.ndim - 1), values.shape[-1]) if self._shared and values.ndim else (
            values.shape
        )  # fmt: skip
        moved: Array = values + tensor.quantization.scales[0] * self._half(shape)
        return moved

    def of_constant(self, values: Array, tensor: Tensor) -> Array:
        """The real numbers of a constant, each moved by up to half a step."""
        ones = np.ones(values.shape, np.int8)
        steps = _steps_of(ones, tensor)
        moved: Array = values + steps * self._half(values.shape)
        return moved.astype(np.float32)

    def _half(self, shape: Sequence[int]) -> Array:
        half: Array = self._chance.uniform(-0.5, 0.5, shape).astype(np.float32)
        return half


def _steps_of(ones: Array, tensor: Tensor) -> Array:
    """The scale of each number of a constant."""
    zeros = replace(tensor.quantization, zero_points=())
    return real_values(ones, replace(tensor, quantization=zeros))


class _Twin:
    """The graph of a quantized model in real numbers, an operator at a time."""

    def __init__(self, model: Model) -> None:
        self._graph = model.main
        self._tables = take_apart(model.content, "model")
        for operator in self._graph.operators:
            if operator.is_custom or operator.name in _NOT_RUN:
                raise NotComparableError(f"{operator.name} has no twin in real numbers")
            if operator.name in _JUMPS:
                raise NotComparableError(f"{operator.name} jumps: rounding has no bound there")

    def run(self, samples: Sequence[Sequence[Array]], errors: _Errors | None) -> Values:
        """What the operators make of each sample."""
        values: Values = {
            index: [self._stored(each.astype(np.float32), self._graph.tensors[index], errors)
                    for each in column]
            for index, column in zip(
                self._graph.inputs, zip(*samples, strict=True), strict=True
            )
        }  # fmt: skip
        for operator in self._graph.operators:
            given = [values[index] for index in given_to(operator, self._graph)]
            if operator.name == "DIV":
                self._check_divisor(operator, values)
            made = [list(each) for each in self._made(operator, given, errors)]
            rounds = _rounds(operator, self._graph)
            for place, index in enumerate(operator.outputs):
                tensor = self._graph.tensors[index]
                values[index] = [
                    self._stored(each[place], tensor, errors, rounds=rounds) for each in made
                ]
        outputs = [index for each in self._graph.operators for index in each.outputs]
        return {index: values[index] for index in outputs}

    def _check_divisor(self, operator: Operator, values: Values) -> None:
        """Refuse a division by what may be stored as 0."""
        index = operator.inputs[1]
        tensor = self._graph.tensors[index]
        if index in values and is_quantized(tensor):
            least = min(float(np.abs(each).min()) for each in values[index])
            if least < tensor.quantization.scales[0]:
                raise NotComparableError(f"DIV #{operator.index} divides by less than a step")

    def _stored(
        self, values: Array, tensor: Tensor, errors: _Errors | None, *, rounds: bool = True
    ) -> Array:
        """``values`` in the tensor's shape; with ``errors`` as it can hold them."""
        if not is_quantized(tensor):
            return np.asarray(values, TYPES[tensor.type]).reshape(tensor.shape)
        moved = values.reshape(tensor.shape)
        if errors is None:
            return moved
        if rounds:
            moved = errors.of(moved, tensor)
        clipped: Array = np.clip(moved, *_range(tensor)).astype(np.float32)
        return clipped

    def _made(
        self, operator: Operator, given: Sequence[list[Array]], errors: _Errors | None
    ) -> Iterator[list[Array]]:
        """The outputs for each sample."""
        if operator.name in _ROUND_NOTHING:
            yield from ([each] for each in given[0])
            return
        made, said = loaded(
            alone(self._tables, operator, self._graph, self._real(operator, errors))
        )
        if made is None:
            raise NotComparableError(f"{operator.name} #{operator.index} in real numbers: {said}")
        for sample in zip(*given, strict=True):
            made.reset_all_variables()
            outputs, said = ran(made, sample)
            if said:
                raise NotComparableError(f"{operator.name} #{operator.index}: {said}")
            yield outputs

    def _real(self, operator: Operator, errors: _Errors | None) -> Mapping[int, bytes]:
        """The operator's tensors in real numbers: constants with their contents."""
        real = {}
        for index in (*operator.inputs, *operator.outputs):
            tensor = self._graph.tensors[index] if index >= 0 else None
            if tensor is None or not tensor.quantization.scales or tensor.type == "FLOAT32":
                continue
            if tensor.type not in TYPES:
                raise NotComparableError(f"{operator.name} #{operator.index} reads {tensor.type}")
            if not tensor.is_constant:
                real[index] = b""
                continue
            numbers = real_values(constant_of(tensor), tensor)
            moved = errors.of_constant(numbers, tensor) if errors else numbers
            real[index] = np.ascontiguousarray(moved).tobytes()
        return real


def _rounds(operator: Operator, graph: Subgraph) -> bool:
    """Whether the operator rounds what it stores: not where it copies numbers of one scale."""
    if operator.name not in MOVES:
        return True
    every = (*given_to(operator, graph), *operator.outputs)
    forms = [graph.tensors[index].quantization for index in every
             if is_quantized(graph.tensors[index])]  # fmt: skip
    return len({(form.scales, form.zero_points) for form in forms}) > 1
