"""Whether a model is full INT8, and which tensors keep it from being so."""

from __future__ import annotations

from pytest_tinybudget.graph.model import Model


#: Types that a full-integer model holds: int8 activations (int16 with 8-bit weights), int4 and
#: int8 weights, wider integers for biases, shapes and indices, and what carries no numbers.
#: The unsigned ones come with them: the uint8 output that a QUANTIZE makes of an int8 one, the
#: bytes of compressed weights, the spectra of an audio front end.
_INTEGER_TYPES = frozenset({
    "INT2", "INT4", "INT8", "INT16", "INT32", "INT64",
    "UINT4", "UINT8", "UINT16", "UINT32", "UINT64", "BOOL", "RESOURCE",
})  # fmt: skip


def not_int8_tensors(model: Model) -> tuple[str, ...]:
    """Tensors, in file order, that hold no integers, as in a float or a hybrid model.

    Each is given as ``"NAME (FLOAT32)"``, by its index where names were left out.

    Only tensors that an operator, an input or an output uses count.
    """
    found = []
    for subgraph in model.subgraphs:
        used = {*subgraph.inputs, *subgraph.outputs}
        for operator in subgraph.operators:
            used.update(operator.inputs, operator.outputs)
        found += [
            f"{tensor.name or f'tensor {tensor.index}'} ({tensor.type})"
            for tensor in subgraph.tensors
            if tensor.index in used and tensor.type not in _INTEGER_TYPES
        ]
    return tuple(found)
