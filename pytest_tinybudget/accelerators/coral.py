"""Whether a model may map to Google's Coral Edge TPU, by the rules that Coral documents.

Coral's compiler may not be redistributed, and it has more rules than are documented. So the lint
says that a model ``may map`` (in part or as a whole) or ``would not map``, never that it maps.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache
from math import prod
from pathlib import Path
from typing import Any
from typing import Literal

from msgspec import Struct

from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.boards.accelerator import find_accelerator
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.resolve import EDGE_TPU as COMPILED
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


EDGE_TPU = "edge-tpu"

_INNERMOST = 3
_SHOWN, _LONGEST_NAME = 6, 60
_MOST_SOFTMAX_ELEMENTS = 16_000
_CHANNELS_MULTIPLE = 4
_QUANTIZED = frozenset({"INT8", "UINT8"})
#: Types that only constants may have: biases, shapes, axes.
_PARAMETERS = frozenset({"INT8", "UINT8", "INT32"})

Verdict = Literal["may map", "may map in part", "would not map"]


class Finding(Struct, frozen=True):
    """A rule that operator ``index`` breaks, or (``index`` -1, no operator) the whole model."""

    operator: str
    index: int
    reason: str


class Lint(Struct, frozen=True):
    """The result of checking a model against the documented rules.

    ``mapped`` of the ``operators`` come before the first one that breaks a rule. The compiler maps
    one sequence of operators; the CPU runs all that follow, and the conversion of float inputs to
    8 bits before them. ``parameters_bytes`` are the constants; at most ``cache_bytes`` of them
    stay on the chip. ``remarks`` are rules that cannot be checked from the file.
    """

    verdict: Verdict
    mapped: int
    operators: int
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...]
    parameters_bytes: int
    cache_bytes: int

    def lines(self) -> Iterator[str]:
        """The lint in words, the verdict first."""
        yield f"Edge TPU: {self.verdict}{self._share()}"
        yield from (f"  {line}" for line in self.reasons())
        yield f"  {self.cache_text()}"
        yield from (f"  {remark}" for remark in self.remarks)
        yield "  by the documented rules; only Coral's compiler knows"

    def reasons(self) -> Iterator[str]:
        """The broken rules, a line for each kind of operator and reason."""
        places: dict[tuple[str, str], list[int]] = {}
        for finding in self.findings:
            places.setdefault((finding.operator, finding.reason), []).append(finding.index)
        for (operator, reason), indices in places.items():
            shown = ", ".join(f"#{index}" for index in indices[:_SHOWN])
            more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
            named = printable(operator, limit=_LONGEST_NAME)
            yield f"{named} {shown}{more}: {reason}" if operator else reason

    def cache_text(self) -> str:
        """Whether the parameters fit the memory on the chip."""
        size, room = format_size(self.parameters_bytes), format_size(self.cache_bytes)
        if self.parameters_bytes <= self.cache_bytes:
            return f"parameters: {size}, within the {room} on the chip that hold the program too"
        beyond = format_size(self.parameters_bytes - self.cache_bytes)
        return f"parameters: {size}, {beyond} more than the {room} on the chip: sent at every run"

    def _share(self) -> str:
        if self.verdict != "may map in part":
            return ""
        return f" ({self.mapped} of {self.operators} operators in a row from the start)"


def is_compiled(model: Model) -> bool:
    """Whether Coral's compiler made this file."""
    return any(each.name == COMPILED and each.is_custom for each in model.main.operators)


def lint(model: Model) -> Lint:
    """Check ``model`` against the rules, operator by operator."""
    of_model = tuple(_of_model(model))
    findings = (
        *of_model,
        *(finding for each in model.main.operators for finding in _broken(each, model.main)),
    )
    operators = model.main.operators
    start = 1 if _takes_float(model.main) else 0
    broken = [finding.index for finding in findings if finding.index >= start]
    mapped = 0 if of_model else min(broken, default=len(operators)) - start
    verdict: Verdict = "may map"
    if findings:
        verdict = "may map in part" if mapped else "would not map"
    return Lint(
        verdict=verdict,
        mapped=mapped,
        operators=len(operators),
        findings=findings,
        remarks=tuple(_remarks(model)),
        parameters_bytes=_parameters_bytes(model),
        cache_bytes=find_accelerator(EDGE_TPU).parameter_cache_bytes,
    )


def _takes_float(graph: Subgraph) -> bool:
    """Whether the first operator only converts a float input to 8 bits."""
    first = graph.operators[0] if graph.operators else None
    if first is None or first.name != "QUANTIZE":
        return False
    return any(index >= 0 and graph.tensors[index].type == "FLOAT32" for index in first.inputs[:1])


@cache
def _rules() -> Mapping[str, Mapping[str, Any]]:
    table = Path(__file__).parent / "data" / "edge_tpu.json"
    rules: Mapping[str, Mapping[str, Any]] = json.loads(table.read_text("utf-8"))["operators"]
    return rules


def _of_model(model: Model) -> Iterator[Finding]:
    if is_compiled(model):
        yield Finding("", -1, "it was compiled for an Edge TPU already: give it as it was before")
    if len(model.subgraphs) > 1:
        yield Finding("", -1, f"it has {len(model.subgraphs)} subgraphs, expected one")
    for tensor in model.main.tensors:
        signature = tensor.shape_signature or ()
        if -1 in signature[1:]:
            yield Finding("", -1, f"the shape of {_named(tensor)} is open: {list(signature)}")
            break
    if not model.main.operators:
        yield Finding("", -1, "it has no operators")


def _remarks(model: Model) -> Iterator[str]:
    """Remarks on limits that cannot be checked from the file, and on newer runtimes."""
    for tensor in model.main.tensors:
        signature = tensor.shape_signature or ()
        if signature and signature[0] == -1:
            yield f"the batch of {_named(tensor)} is open: sizes must be fixed, convert with 1"
            break
    names = dict.fromkeys(operator.name for operator in model.main.operators)
    for name in names:
        rule = _rules().get(name, {})
        if "limitation" in rule and "check" not in rule:
            yield f"{name}: {rule['limitation']}"
    newest = max((_rules().get(name, {}).get("runtime", 0) for name in names), default=0)
    if newest:
        needing = ", ".join(name for name in names if _rules().get(name, {}).get("runtime"))
        yield f"needs runtime {newest} or newer of the Edge TPU: {needing}"


def _parameters_bytes(model: Model) -> int:
    buffers = {
        tensor.buffer: len(tensor.data) for graph in model.subgraphs for tensor in graph.tensors
    }
    return sum(buffers.values())


def _broken(operator: Operator, graph: Subgraph) -> Iterator[Finding]:
    rule = None if operator.is_custom else _rules().get(operator.name)
    if rule is None:
        yield Finding(operator.name, operator.index, "no operation of the Edge TPU")
        return
    call = _Call(operator, graph)
    if not call.inputs or not call.outputs:
        yield Finding(operator.name, operator.index, "it lacks inputs or outputs")
        return
    reasons = list(call.tensors_broken())
    check = _CHECKS.get(rule.get("check", ""))
    if check is not None and not check(call):
        reasons.append(f"supported with: {rule['limitation']}")
    for reason in reasons:
        yield Finding(operator.name, operator.index, reason)


class _Call(Struct, frozen=True):
    """An operator with its tensors."""

    operator: Operator
    graph: Subgraph

    @property
    def inputs(self) -> list[Tensor]:
        return [self.graph.tensors[index] for index in self.operator.inputs if index >= 0]

    @property
    def outputs(self) -> list[Tensor]:
        return [self.graph.tensors[index] for index in self.operator.outputs if index >= 0]

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    def option(self, name: str, default: Any = None) -> Any:
        return self.operator.options.get(name, default)

    def tensors_broken(self) -> Iterator[str]:
        """Rules for every tensor: 8 bits, constant parameters, three dimensions.

        One reason of a kind is enough.
        """
        tensors = [each for each in (*self.inputs, *self.outputs) if not each.is_variable]
        yield from [reason for each in tensors for reason in _type_broken(each)][:1]
        yield from [
            f"{_named(each)} is {list(each.shape)}: only the three innermost may exceed 1"
            for each in tensors
            if not each.is_constant and prod(each.shape[:-_INNERMOST]) > 1
        ][:1]
        for position in _parameter_positions(self.operator):
            tensor = self.graph.tensors[self.operator.inputs[position]]
            if not tensor.is_constant:
                yield f"its parameter {_named(tensor)} is computed, expected a constant"

    def axes(self, tensor: Tensor) -> set[int] | None:
        """The axes of ``tensor`` that the operator's second input names; ``None``: computed."""
        if len(self.inputs) < 2 or not self.inputs[1].is_constant:
            return None
        return {axis % max(1, len(tensor.shape)) for axis in integers(self.inputs[1])}


def _type_broken(tensor: Tensor) -> Iterator[str]:
    if tensor.type not in (_PARAMETERS if tensor.is_constant else _QUANTIZED):
        yield f"{tensor.type}, expected 8 bits (full INT8)"
    elif not tensor.is_constant and not tensor.quantization.is_affine:
        yield f"{_named(tensor)} is not quantized"


def _named(tensor: Tensor) -> str:
    return f"'{printable(tensor.name, limit=_LONGEST_NAME)}'"


def _parameter_positions(operator: Operator) -> list[int]:
    """Inputs that hold weights and biases."""
    first = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "PRELU": 1}
    count = len(operator.inputs)
    positions = range(first.get(operator.name, count), count)
    if operator.name == "TRANSPOSE_CONV":
        positions = range(min(2, count))
    return [at for at in positions if operator.inputs[at] >= 0]


def _dimensions(tensor: Tensor) -> int:
    """How many dimensions exceed 1."""
    return sum(extent > 1 for extent in tensor.shape)


def _has_batch(tensor: Tensor) -> bool:
    return len(tensor.shape) > _INNERMOST


def _concatenation(call: _Call) -> bool:
    constants = [tensor for tensor in call.inputs if tensor.is_constant]
    if call.option("fused_activation_function", "NONE") != "NONE":
        return False
    return not constants or (
        len(call.inputs) == 2
        and all(value == _zero(tensor) for tensor in constants for value in integers(tensor))
    )


def _zero(tensor: Tensor) -> int:
    return tensor.quantization.zero_points[0] if tensor.quantization.zero_points else 0


def _not_over_batch(call: _Call) -> bool:
    tensor = call.inputs[0]
    axes = call.axes(tensor)
    return axes is not None and not (_has_batch(tensor) and 0 in axes)


def _mean(call: _Call) -> bool:
    tensor = call.inputs[0]
    axes = call.axes(tensor)
    if axes is None or not _not_over_batch(call):
        return False
    return len(tensor.shape) - 1 not in axes or tensor.shape[-1] % _CHANNELS_MULTIPLE == 0


def _pad(call: _Call) -> bool:
    if len(call.inputs) < 2 or not call.inputs[1].is_constant:
        return False
    return not _has_batch(call.inputs[0]) or not any(integers(call.inputs[1])[:2])


def _not_along_batch(call: _Call) -> bool:
    rank = max(1, len(call.output.shape))
    return not (_has_batch(call.output) and call.option("axis", 0) % rank == 0)


def _split(call: _Call) -> bool:
    tensor = call.inputs[-1]
    axis = call.inputs[0]
    if not axis.is_constant or not axis.elements:
        return False
    return not (_has_batch(tensor) and integers(axis)[0] % len(tensor.shape) == 0)


def _strided_slice(call: _Call) -> bool:
    strides = call.inputs[-1]
    unit = strides.is_constant and set(integers(strides)) == {1}
    return unit and not call.option("ellipsis_mask", 0) and not call.option("new_axis_mask", 0)


def _softmax(call: _Call) -> bool:
    tensor = call.inputs[0]
    return _dimensions(tensor) <= 1 and tensor.elements <= _MOST_SOFTMAX_ELEMENTS


#: Checks of the limits that a file shows, by their name in ``data/edge_tpu.json``.
_CHECKS: Mapping[str, Callable[[_Call], bool]] = {
    "no_fused_activation": lambda call: call.option("fused_activation_function", "NONE") == "NONE",
    "same_dilation": lambda call: (
        call.option("dilation_w_factor", 1) == call.option("dilation_h_factor", 1)
    ),
    "fully_connected": lambda call: (
        call.option("weights_format", "DEFAULT") == "DEFAULT" and _dimensions(call.output) <= 1
    ),
    "three_dimensions": lambda call: not _has_batch(call.output) or call.output.shape[0] == 1,
    "prelu": lambda call: all(_dimensions(slopes) <= 1 for slopes in call.inputs[1:]),
    "concatenation": _concatenation,
    "mean": _mean,
    "not_over_batch": _not_over_batch,
    "not_along_batch": _not_along_batch,
    "pad": _pad,
    "split": _split,
    "strided_slice": _strided_slice,
    "softmax": _softmax,
}
