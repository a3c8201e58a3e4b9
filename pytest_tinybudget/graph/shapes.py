"""Computes the shapes of all tensors from those of the inputs, operator by operator.

TFLM takes every shape from the file. So where an input's shape is set to another, all that follow
must be set too, as a converter would have. What an operator makes of its inputs' shapes is known
for TFLM's builtin operators (``shape_rules.py``); behind any other, shapes hold only as far as
nothing in front of it has changed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from math import prod

from pytest_tinybudget.graph.known_shapes import Call
from pytest_tinybudget.graph.known_shapes import Shape
from pytest_tinybudget.graph.known_shapes import Shapes
from pytest_tinybudget.graph.known_shapes import UnknownShapeError
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


#: Integer tensors with at most so many elements are followed as values: shapes, axes, sizes.
_MOST_VALUES = 256

#: What a rule raises where an operator's inputs do not fit together.
_MISFITS = (ArithmeticError, IndexError, TypeError, ValueError)

_INTEGERS = {"INT32": "i", "INT64": "q"}


def infer(model: Model, inputs: Mapping[int, Shape]) -> Shapes:
    """The shapes of all tensors, given those of the main inputs (by the tensor's index).

    An input that is not given keeps the file's shape.
    """
    found = Shapes()
    main = model.main
    given = {index: inputs.get(index, main.tensors[index].shape) for index in main.inputs}
    _walk(model, main, given, found)
    return found


def _walk(model: Model, graph: Subgraph, inputs: Mapping[int, Shape], found: Shapes) -> None:
    """Compute the shapes in ``graph``, in the order of execution, and those of what it calls."""
    made = {index for operator in graph.operators for index in operator.outputs}
    for tensor in graph.tensors:
        key = (graph.index, tensor.index)
        if tensor.index in inputs:
            found.known[key] = inputs[tensor.index]
        elif tensor.index not in made:
            found.known[key] = tensor.shape
        if tensor.is_constant:
            values = _constant(tensor)
            if values is not None:
                found.values[key] = values
    for operator in graph.operators:
        call = Call(operator, graph, found)
        shapes: Iterable[Shape | str]
        try:
            shapes = _shapes_of(model, call)
        except UnknownShapeError as error:
            shapes = _as_in_the_file(call, str(error))
        for index, shape in zip(operator.outputs, shapes, strict=False):
            key = (graph.index, index)
            if isinstance(shape, str):
                found.unknown.setdefault(key, shape)
            else:
                found.known[key] = shape
        _follow_values(call)


def _shapes_of(model: Model, call: Call) -> Sequence[Shape]:
    """The shapes of the operator's results."""
    from pytest_tinybudget.graph.shape_rules import RULES

    operator = call.operator
    if operator.name in ("IF", "WHILE") and not operator.is_custom:
        return _called(model, call)
    rule = RULES.get(operator.name) if not operator.is_custom else None
    if rule is None:
        raise UnknownShapeError("what it makes of its inputs' shapes is not known")
    try:
        shapes = list(rule(call))
    except _MISFITS as error:
        raise UnknownShapeError("its inputs do not fit together") from error
    if any(extent < 0 for shape in shapes for extent in shape) or len(shapes) < call.outputs:
        raise UnknownShapeError("its inputs do not fit together")
    return shapes


def _as_in_the_file(call: Call, reason: str) -> Iterator[Shape | str]:
    """The file's own shapes, where no input has changed and only the batch was closed."""
    tensors = call.graph.tensors
    said = f"{call.operator.name} #{call.operator.index}: {reason}"
    unchanged = all(
        call.found.known.get((call.graph.index, index)) == tensors[index].shape
        for index in call.operator.inputs
        if index >= 0
    )
    for index in call.operator.outputs:
        signature = tensors[index].shape_signature or ()
        closed = unchanged and -1 not in signature[1:]
        yield tensors[index].shape if closed else said


def _called(model: Model, call: Call) -> Sequence[Shape]:
    """The result shapes of called subgraphs: of IF's first branch, of WHILE's state."""
    first = 1 if call.operator.name == "IF" else 0
    passed = [call.shape(position) for position in range(first, call.count)]
    names = ("then_subgraph_index", "else_subgraph_index")
    if call.operator.name == "WHILE":
        names = ("cond_subgraph_index", "body_subgraph_index")
    results: list[list[Shape]] = []
    for name in names:
        graph = model.subgraphs[call.number(name)]
        given = dict(zip(graph.inputs, passed, strict=False))
        before = {index: call.found.known.get((graph.index, index)) for index in graph.inputs}
        if any(shape not in (None, given.get(index)) for index, shape in before.items()):
            raise UnknownShapeError(f"subgraph {graph.index} is called with several shapes")
        _walk(model, graph, given, call.found)
        outputs = [call.found.known.get((graph.index, index)) for index in graph.outputs]
        results.append([shape for shape in outputs if shape is not None])
    expected = passed if call.operator.name == "WHILE" else results[0]
    if results[1] != expected:
        raise UnknownShapeError("its subgraphs leave other shapes than they were given")
    return results[1]


def _constant(tensor: Tensor) -> Shape | None:
    code = _INTEGERS.get(tensor.type)
    if code is None or tensor.elements > _MOST_VALUES or len(tensor.data) != tensor.bytes:
        return None
    return struct.unpack(f"<{tensor.elements}{code}", tensor.data)


def _follow_values(call: Call) -> None:
    """Note the integers of a result that depends on shapes and constants alone."""
    from pytest_tinybudget.graph.shape_rules import VALUES

    operator, found = call.operator, call.found
    rule = VALUES.get(operator.name) if not operator.is_custom else None
    if rule is None or len(operator.outputs) != 1:
        return
    key = (call.graph.index, operator.outputs[0])
    shape = found.known.get(key)
    if shape is None or prod(shape) > _MOST_VALUES:
        return
    try:
        values = tuple(rule(call))
    except (UnknownShapeError, *_MISFITS):
        return
    if len(values) == prod(shape):
        found.values[key] = values
