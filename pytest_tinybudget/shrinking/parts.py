"""What a model's file is made of, in bytes: contents that are needed, and what is around them."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.tables import Leaf
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import Vector
from pytest_tinybudget.graph.tables import parents_first
from pytest_tinybudget.graph.tables import stored_bytes
from pytest_tinybudget.shrinking.report import FilePart


WEIGHTS, METADATA, QUANTIZATION = "weights and other constants", "metadata", "quantization"
NAMES, SIGNATURES = "names and descriptions", "signatures"
TENSORS, OPERATORS = "tensors and shapes", "operators and options"
LAYOUT = "layout: vtables and alignment"

#: The parts of a file, in the order of reports.
PARTS = (WEIGHTS, QUANTIZATION, TENSORS, OPERATORS, NAMES, METADATA, SIGNATURES, LAYOUT)

_KINDS = {
    "QuantizationParameters": QUANTIZATION,
    "Tensor": TENSORS,
    "Buffer": TENSORS,
    "SubGraph": OPERATORS,
    "Operator": OPERATORS,
    "OperatorCode": OPERATORS,
    "Metadata": METADATA,
    "SignatureDef": SIGNATURES,
    "TensorMap": SIGNATURES,
}
#: Fields whose contents count for another part than their table.
_FIELDS = {
    ("Tensor", "name"): NAMES,
    ("SubGraph", "name"): NAMES,
    ("SubGraph", "tensors"): TENSORS,
    ("Model", "description"): NAMES,
    ("Model", "buffers"): TENSORS,
    ("Model", "metadata"): METADATA,
    ("Model", "metadata_buffer"): METADATA,
    ("Model", "signature_defs"): SIGNATURES,
}


def parts_of(root: Table, file_bytes: int) -> dict[str, int]:
    """Bytes of each of ``PARTS`` in a file of ``file_bytes`` whose tables are ``root``."""
    metadata = {each.values.get("buffer", 0) for each in root.tables("metadata")}
    used = {
        tensor.values.get("buffer", 0)
        for graph in root.tables("subgraphs")
        for tensor in graph.tables("tensors")
    }
    found = dict.fromkeys(PARTS, 0)
    contents = _contents(root, metadata - used)
    owners: dict[int, str] = {}
    for each in parents_first(root):
        part = contents.get(id(each)) or owners.get(id(each)) or OPERATORS
        if isinstance(each, Table):
            part = _KINDS.get(each.kind, OPERATORS)
            for name, value in each.values.items():
                if isinstance(value, Leaf | Vector):
                    owners.setdefault(id(value), _FIELDS.get((each.kind, name), part))
        found[part] += stored_bytes(each)
    found[LAYOUT] = file_bytes - sum(found.values())
    return found


def _contents(root: Table, metadata: set[int]) -> Mapping[int, str]:
    """By ``id`` the part that a buffer's contents belong to."""
    found: dict[int, str] = {}
    for index, buffer in enumerate(root.tables("buffers")):
        data = buffer.values.get("data")
        if isinstance(data, Leaf) and found.get(id(data)) != WEIGHTS:
            found[id(data)] = METADATA if index in metadata else WEIGHTS
    return found


def compared(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[FilePart, ...]:
    """The parts that either file has."""
    return tuple(
        FilePart(name, before[name], after[name]) for name in PARTS if before[name] or after[name]
    )


def least_bytes(model: Model) -> int:
    """What no file of the model goes below: its distinct contents and scales, as they are."""
    contents = {bytes(each.data) for each in _tensors(model)}
    scales = {each.quantization.scales for each in _tensors(model)}
    return sum(map(len, contents)) + 4 * sum(map(len, scales))


def _tensors(model: Model) -> Iterator[Tensor]:
    for graph in model.subgraphs:
        yield from graph.tensors
