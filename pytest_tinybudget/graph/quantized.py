"""Whether a model is full INT8, and which tensors keep it from being so."""

from __future__ import annotations

from pytest_tinybudget.graph.model import Model


#: Types that a full-integer model holds: int8 activations (int16 with 8-bit weights), int4 and
#: int8 weights, wider integers for biases, shapes and indices, and what carries no numbers.
_INTEGER_TYPES = frozenset({"INT8", "INT4", "INT2", "INT16", "INT32", "INT64", "BOOL", "RESOURCE"})


def not_int8_tensors(model: Model) -> tuple[str, ...]:
    """Tensors, in file order, whose type is none of a full-integer model's: ``"NAME (FLOAT32)"``.

    Only tensors that an operator, an input or an output uses count.
    """
    found = []
    for subgraph in model.subgraphs:
        used = {*subgraph.inputs, *subgraph.outputs}
        for operator in subgraph.operators:
            used.update(operator.inputs, operator.outputs)
        found += [
            f"{tensor.name} ({tensor.type})"
            for tensor in subgraph.tensors
            if tensor.index in used and tensor.type not in _INTEGER_TYPES
        ]
    return tuple(found)
