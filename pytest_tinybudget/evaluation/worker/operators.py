"""``python -m pytest_tinybudget.evaluation.worker.operators FILE ARENA SAMPLES SKIPPED``.

Runs a model in TFLM's interpreter and each of its operators alone in LiteRT, on what TFLM's
operator was given. Prints a line of JSON for each operator when it begins, and one with what was
found; the log is on standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_tinybudget.graph.cutting import alone
from pytest_tinybudget.graph.cutting import given_to
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model


if TYPE_CHECKING:
    from pytest_tinybudget.graph.model import Operator
    from pytest_tinybudget.graph.model import Subgraph
    from pytest_tinybudget.graph.model import Tensor


Array = NDArray[Any]

#: Types by the schema's names. What is none of these is not compared.
TYPES: dict[str, Any] = {
    "INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "UINT32": np.uint32, "BOOL": np.bool_, "FLOAT32": np.float32,
}  # fmt: skip
_QUANTIZED = ("INT8", "UINT8", "INT16")

#: Resource variables and calls of other subgraphs have no meaning outside their model.
_NOT_ALONE = frozenset(
    {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE", "IF", "WHILE"}
)

#: Operators that copy numbers, where every input has the output's scale: nothing is rounded.
MOVES = frozenset({
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "SLICE",
    "STRIDED_SLICE", "GATHER", "GATHER_ND", "SPLIT", "SPLIT_V", "PACK", "UNPACK", "CONCATENATION",
    "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "BROADCAST_TO",
    "MAX_POOL_2D", "MAXIMUM", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN", "RESIZE_NEAREST_NEIGHBOR",
    "REVERSE_V2", "SELECT_V2", "ARG_MAX", "ARG_MIN", "FILL", "DYNAMIC_UPDATE_SLICE",
})  # fmt: skip

#: How far a right output may lie from the real number, in steps: half a step for the result, half
#: a step for the multiplier, which is rounded to 31 bits and applied with a rounding of its own.
#: INT16 kernels round the multiplier to 16 bits, which moves the largest numbers by a step.
_STEPS_FROM_REAL = {"INT8": 1.0, "UINT8": 1.0, "INT16": 1.5}


class _Compared:
    """One operator over all samples: the largest difference, in steps of its output's scale."""

    def __init__(self, operator: Operator, model: Any, tables: Any, *, skipped: bool) -> None:
        self.operator, self.graph = operator, model.main
        self.given = given_to(operator, self.graph)
        self.tensors = [self.graph.tensors[index] for index in operator.outputs]
        self.steps = self.from_real = 0.0
        self.why_not = _not_alone(operator, self.graph)
        self.litert: Any = None
        self.litert_says = "it crashed" if skipped else ""
        self.real: Any = None
        if self.why_not:
            return
        if not skipped:
            self.litert, self.litert_says = loaded(alone(tables, operator, self.graph))
        self._quantized = {
            index
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0 and is_quantized(self.graph.tensors[index])
        }
        self._tables = tables

    @property
    def allowed(self) -> float:
        """How many steps two right outputs may differ by."""
        every = [self.graph.tensors[index] for index in (*self.given, *self.operator.outputs)]
        scales = {(each.quantization.scales, each.quantization.zero_points) for each in every
                  if is_quantized(each)}  # fmt: skip
        if self.operator.name in MOVES and len(scales) <= 1:
            return 0.0
        return 1.0 if all(each.type in _QUANTIZED for each in self.tensors) else 0.0

    def add(self, given: Sequence[Array], found: Sequence[Array]) -> None:
        """Compare the outputs ``found`` of TFLM's operator, which was ``given`` these inputs."""
        if self.litert is not None:
            outputs, said = ran(self.litert, given)
            if said:
                self.litert, self.litert_says = None, said
            else:
                self.steps = max(self.steps, *map(_apart, found, outputs))
        if self.litert is None or self.steps > self.allowed:
            self._add_real(given, found)

    def _add_real(self, given: Sequence[Array], found: Sequence[Array]) -> None:
        """The distance from what the operator is in real numbers, on the same inputs."""
        if self.real is None:
            self.real = self._loaded_real()
        if self.real is False:
            return
        numbers = [
            real_values(values, self.graph.tensors[index]) if index in self._quantized else values
            for index, values in zip(self.given, given, strict=True)
        ]
        outputs, said = ran(self.real, numbers)
        if said:
            self.real = False
            return
        for tensor, mine, theirs in zip(self.tensors, found, outputs, strict=True):
            expected = theirs
            if is_quantized(tensor):
                limits = np.iinfo(mine.dtype)
                expected = theirs.astype(np.float64) / tensor.quantization.scales[0]
                expected = np.clip(expected + zero_point_of(tensor), limits.min, limits.max)
            self.from_real = max(self.from_real, _apart(mine, expected))

    def _loaded_real(self) -> Any:
        """The operator in floating point, or ``False`` where that is another operator."""
        states = any(
            index >= 0 and self.graph.tensors[index].is_variable for index in self.operator.inputs
        )
        if states or self.operator.name in ("QUANTIZE", "DEQUANTIZE"):
            return False
        tensors = {index: self.graph.tensors[index] for index in self._quantized}
        # A bias is quantized too, in 32 or 64 bits.
        tensors.update(
            (index, self.graph.tensors[index])
            for index in self.operator.inputs
            if index >= 0
            and self.graph.tensors[index].is_constant
            and self.graph.tensors[index].quantization.scales
        )
        if any(each.type not in TYPES for each in tensors.values()):
            return False
        real = {
            index: real_values(constant_of(tensor), tensor).tobytes() if tensor.is_constant else b""
            for index, tensor in tensors.items()
        }
        made, _ = loaded(alone(self._tables, self.operator, self.graph, real))
        return False if made is None else made

    def answer(self) -> dict[str, Any]:
        """What was found, for the parent."""
        told = {
            "index": self.operator.index,
            "name": self.operator.name,
            "output": self.tensors[0].name if self.tensors else "",
            "steps": self.steps,
            "allowed": self.allowed if not self.why_not else 0,
        }
        if self.why_not:
            return {**told, "state": "not compared", "why": self.why_not}
        agrees = self.litert is not None and self.steps <= self.allowed
        if agrees:
            return {**told, "state": "agrees"}
        bound = min(_STEPS_FROM_REAL.get(each.type, 0.0) for each in self.tensors)
        if self.real not in (None, False):
            told["from_real"] = self.from_real
            if self.from_real <= bound:
                return {**told, "state": "right", "why": self.litert_says}
            return {**told, "state": "differs"}
        if self.litert is None:
            return {**told, "state": "not compared", "why": f"LiteRT: {self.litert_says}"}
        return {**told, "state": "differs"}


def _not_alone(operator: Operator, graph: Subgraph) -> str:
    """Why an operator cannot be compared; ``""`` where it can."""
    outputs = [graph.tensors[index] for index in operator.outputs]
    inputs = [graph.tensors[index] for index in operator.inputs if index >= 0]
    if operator.is_custom:
        return "it is a custom operator"
    if operator.name in _NOT_ALONE:
        return "it has no meaning outside its model"
    if any(each.type == "FLOAT32" for each in outputs):
        return "it computes in floating point, which has no steps"
    if any(each.type not in TYPES for each in outputs):
        return f"its output is {outputs[0].type}"
    if operator.name == "SVDF" and any(each.is_variable and each.type == "INT8" for each in inputs):
        return "LiteRT takes an INT16 state alone"
    return ""


def is_quantized(tensor: Tensor) -> bool:
    return tensor.type in _QUANTIZED and bool(tensor.quantization.scales)


def zero_point_of(tensor: Tensor) -> int:
    return tensor.quantization.zero_points[0] if tensor.quantization.zero_points else 0


def constant_of(tensor: Tensor) -> Array:
    return np.frombuffer(bytes(tensor.data), TYPES[tensor.type]).reshape(tensor.shape)


def real_values(values: Array, tensor: Tensor) -> Array:
    """The real numbers that a quantized tensor's contents stand for, FLOAT32."""
    form = tensor.quantization
    scales, zeros = np.array(form.scales), np.array(form.zero_points or (0,))
    if len(scales) > 1:
        shape = [1] * values.ndim
        # Old converters kept the weights' axis at biases, which have one axis alone.
        shape[min(form.dimension, values.ndim - 1)] = len(scales)
        scales = scales.reshape(shape)
        zeros = zeros.reshape(shape) if len(zeros) > 1 else zeros
    numbers: Array = ((values.astype(np.float64) - zeros) * scales).astype(np.float32)
    return numbers


def _apart(first: Array, second: Array) -> float:
    """The largest difference of two arrays."""
    if not first.size:
        return 0.0
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max())


def loaded(content: bytes, *, preserve: bool = False) -> tuple[Any, str]:
    """``content`` in LiteRT, or why it does not load; ``preserve`` keeps what operators make."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.interpreter import OpResolverType

    try:
        made = Interpreter(
            model_content=content,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
            experimental_preserve_all_tensors=preserve,
        )
        made.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        return None, _said(error)
    return made, ""


def ran(interpreter: Any, given: Sequence[Array]) -> tuple[list[Array], str]:
    """Its outputs, or why it gives none."""
    try:
        for detail, values in zip(interpreter.get_input_details(), given, strict=True):
            interpreter.set_tensor(detail["index"], values.reshape(detail["shape"]))
        interpreter.invoke()
        details = interpreter.get_output_details()
        return [interpreter.get_tensor(detail["index"]) for detail in details], ""
    except (ValueError, RuntimeError) as error:
        return [], _said(error)


def _said(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:200]


def quantized(values: Array, tensor: Tensor) -> Array:
    """Numbers as the contents of ``tensor``; integers of its own type are that already.

    Raises:
        ValueError: other integers, of which nobody knows what they stand for.
    """
    kind = np.dtype(TYPES[tensor.type])
    if values.dtype == kind or not is_quantized(tensor):
        return np.asarray(values, kind).reshape(tensor.shape)
    if values.dtype.kind != "f":
        raise ValueError(f"{values.dtype}, but the model's input is {kind}: give {kind} or floats")
    limits = np.iinfo(kind)
    levels = np.rint(values / tensor.quantization.scales[0]) + zero_point_of(tensor)
    clipped: Array = np.clip(levels, limits.min, limits.max).astype(kind).reshape(tensor.shape)
    return clipped


def random_values(tensor: Tensor, chance: np.random.Generator) -> Array:
    """Random contents of an input, over the whole range of a quantized one."""
    kind = np.dtype(TYPES[tensor.type])
    if kind.kind == "f":
        return chance.standard_normal(tensor.shape).astype(kind)
    if kind.kind == "b":
        return chance.integers(0, 2, tensor.shape).astype(kind)
    if kind.itemsize > 2:  # counts and indices
        return chance.integers(0, 4, tensor.shape).astype(kind)
    limits = np.iinfo(kind)
    return chance.integers(limits.min, limits.max, tensor.shape, dtype=kind, endpoint=True)


def main(file: str, arena: str, samples: str, skipped: str) -> None:
    """Compare the operators of ``file`` on so many random inputs, and print what was found."""
    from tflite_micro.python.tflite_micro import runtime

    content = Path(file).read_bytes()
    model = read_model(content, "model")
    tables = take_apart(content, "model")
    crashed = {int(each) for each in skipped.split(",") if each}
    interpreter = runtime.Interpreter.from_bytes(
        content,
        arena_size=int(arena),
        intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
    )
    compared = []
    for operator in model.main.operators:
        _print({"at": operator.index})
        found = operator.index in crashed
        compared.append(_Compared(operator, model, tables, skipped=found))
    chance = np.random.default_rng(0)
    for _ in range(int(samples)):
        for position, index in enumerate(model.main.inputs):
            interpreter.set_input(random_values(model.main.tensors[index], chance), position)
        _print({"at": -1})
        interpreter.invoke()
        for each in compared:
            if each.why_not:
                continue
            _print({"at": each.operator.index})
            each.add(
                preserved(interpreter, each.given), preserved(interpreter, each.operator.outputs)
            )
    _print({"operators": [each.answer() for each in compared]})


def preserved(interpreter: Any, indices: Sequence[int]) -> list[Array]:
    return [np.array(interpreter.GetTensor(index, 0)["tensor_data"]) for index in indices]


def _print(told: dict[str, Any]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:5])
