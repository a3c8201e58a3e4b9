"""What a plan leaves open of the file that it stands for, in bytes."""

from __future__ import annotations

from pytest_tinybudget.graph.kinds import alike_in
from pytest_tinybudget.graph.model import Model


#: Bytes of a tensor's name besides the names of the layers in it: a number, and what the converter
#: calls inputs and its own constants (``input_to_forget_intermediate``).
_CONVERTERS_NAME = 48
#: The converter keeps the names of operators that it computed away, as in batch normalization, and
#: TensorFlow numbers each: so much longer are names than those of the operators that are planned.
_MORE_NAMES = 2


def bytes_of_names(model: Model) -> int:
    """How many bytes more the names in a converter's file take at most, over those in the plan.

    A tensor there has the names of all operators of TensorFlow's graph that became a part of it.
    """
    alike = alike_in(model)
    if "bytes of names" not in alike:
        alike["bytes of names"] = _bytes_of_names(model)
    found: int = alike["bytes of names"]
    return found


def _bytes_of_names(model: Model) -> int:
    known: int | None = model.derived.get("names")
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    counted = sum(len(tensor.name) for tensor in tensors) if model.derived.get("named") else 0
    return max(0, _MORE_NAMES * (known or 0) + _CONVERTERS_NAME * len(tensors) - counted)


#: What a buffer takes in a file besides what it holds: its table, offsets and padding, at most.
_BYTES_OF_A_BUFFER = 48


def shared_bytes(converted: Model) -> int:
    """What a converted file saves at most by constants that turned out to be equal."""
    seen: set[int] = set()
    saved = 0
    for tensor in converted.main.tensors:
        if tensor.buffer in seen:
            saved += len(tensor.data) + _BYTES_OF_A_BUFFER
        elif len(tensor.data):
            seen.add(tensor.buffer)
    return saved
