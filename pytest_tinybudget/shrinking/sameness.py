"""Whether two files are the same model: what interpreters read of both, compared."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


#: What of options names a subgraph, whose number may have changed.
_CALLS = ("subgraph_index", "subgraph")


def difference(before: Model, after: Model, *, bias_scales: bool = True) -> str:
    """What ``after`` says otherwise than ``before``, in words; empty where nothing.

    Compared are the operators in order with all that they read: types, shapes, contents and
    quantization of tensors, and which tensor is which. Numbers and names may differ. Without
    ``bias_scales`` the scales of INT32 constants of one dimension may differ as well.
    """
    pairs = [(0, 0)]
    seen = dict(pairs)
    for first, second in pairs:
        called = _of_graphs(before.subgraphs[first], after.subgraphs[second], bias_scales)
        if isinstance(called, str):
            return f"subgraph {first}: {called}"
        for each in called:
            if seen.setdefault(*each) != each[1]:
                return f"subgraph {each[0]} became two"
            if each not in pairs:
                pairs.append(each)
    return ""


def _of_graphs(before: Subgraph, after: Subgraph, bias_scales: bool) -> str | list[tuple[int, int]]:
    """The subgraphs that the two call, or what differs."""
    if len(before.operators) != len(after.operators):
        return f"it has {len(after.operators)} operators, not {len(before.operators)}"
    bound: dict[int, int] = {}
    called: list[tuple[int, int]] = []
    for places in ((before.inputs, after.inputs), (before.outputs, after.outputs)):
        if not _bind(before, after, *places, bound, bias_scales):
            return "other inputs or outputs"
    for first, second in zip(before.operators, after.operators, strict=True):
        if _what(first) != _what(second):
            return f"operator #{first.index} is another"
        for name in ("inputs", "outputs", "intermediates"):
            mine, theirs = getattr(first, name), getattr(second, name)
            if not _bind(before, after, mine, theirs, bound, bias_scales):
                return f"operator #{first.index} {first.name}: other {name}"
        called += zip(_called(first), _called(second), strict=True)
    return called


def _bind(
    before: Subgraph,
    after: Subgraph,
    mine: tuple[int, ...],
    theirs: tuple[int, ...],
    bound: dict[int, int],
    bias_scales: bool,
) -> bool:
    if len(mine) != len(theirs):
        return False
    for one, other in zip(mine, theirs, strict=True):
        if min(one, other) < 0:
            if one != other:
                return False
            continue
        if one in bound:
            if bound[one] != other:
                return False
            continue
        tensor = before.tensors[one]
        if not tensor.is_constant and other in bound.values():
            return False
        bound[one] = other
        if _read(tensor, bias_scales) != _read(after.tensors[other], bias_scales):
            return False
    return True


def _read(tensor: Tensor, bias_scales: bool) -> tuple[object, ...]:
    """What interpreters read of a tensor."""
    quantization = tensor.quantization
    scales: object = repr(quantization.scales)  # in which NaN is itself, and -0.0 is not 0.0
    is_bias = tensor.type in ("INT32", "INT64") and len(tensor.shape) == 1 and tensor.is_constant
    if is_bias and not bias_scales and len(quantization.scales) > 1:
        scales = len(quantization.scales)
    signature = tensor.shape_signature
    return (
        tensor.type,
        tensor.shape,
        tensor.shape if signature is None else signature,
        tensor.data,
        tensor.is_variable,
        scales,
        quantization.zero_points if quantization.scales else (),
        quantization.dimension if quantization.scales else 0,
    )


def _what(operator: Operator) -> tuple[object, ...]:
    options = {name: value for name, value in operator.options.items() if not name.endswith(_CALLS)}
    what = (operator.name, operator.is_custom, operator.version, repr(sorted(options.items())))
    return (*what, operator.custom_options)


def _called(operator: Operator) -> Iterator[int]:
    for name, value in operator.options.items():
        if name.endswith(_CALLS) and isinstance(value, int):
            yield value
