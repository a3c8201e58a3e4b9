"""Leaves names, descriptions, metadata and signatures out of a model: flash that TFLM never reads.

What it does read stays byte for byte: operators, options, shapes, quantization, contents of
tensors, and the two metadata entries that it looks for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.units import format_size
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.tables import Table
from pytest_tinybudget.graph.tables import put_together
from pytest_tinybudget.graph.tables import take_apart
from pytest_tinybudget.graph.tflite import read_model


#: TFLM reads these: the memory plan that a model brings, and how its tensors are compressed
#: (tensorflow/lite/micro/micro_allocator.cc, compression/metadata.fbs).
KEPT_METADATA = frozenset({b"OfflineMemoryAllocation", b"COMPRESSION_METADATA"})


class Stripped(Struct, frozen=True):
    """A model without what TFLM never reads.

    Attributes:
        model: The smaller model.
        metadata_bytes: Bytes of the metadata that were left out.
        saved_bytes: Bytes by which the file is smaller, names and signatures included.
    """

    model: Model
    saved_bytes: int
    metadata_bytes: int

    @property
    def text(self) -> str:
        """What was left out, in words: ``"metadata 23.5 KB, names and signatures 812 B"``."""
        rest = self.saved_bytes - self.metadata_bytes
        shares = (("metadata", self.metadata_bytes), ("names and signatures", rest))
        return ", ".join(f"{name} {format_size(size)}" for name, size in shares if size > 0)


def strip(model: Model) -> Stripped:
    """``model`` without names, descriptions, metadata and signatures.

    Two kinds of models are returned unchanged: those that would not be smaller, and those whose
    data lie outside the file or are sparse, which TFLM cannot read and the gate refuses.

    Raises:
        ModelError: the file has parts that cannot be written again.
    """
    tensors = (tensor for graph in model.subgraphs for tensor in graph.tensors)
    if model.external_buffers or any(tensor.sparse or tensor.external for tensor in tensors):
        return Stripped(model, 0, 0)
    root = take_apart(model.content, model.name)
    metadata_bytes = _without_metadata(root)
    root.drop("description", "signature_defs", "metadata_buffer")
    for graph in root.tables("subgraphs"):
        graph.drop("name", "debug_metadata_index")
        for each in (*graph.tables("tensors"), *graph.tables("operators")):
            each.drop("name", "debug_metadata_index")
    content = put_together(root)
    if len(content) >= model.bytes:
        return Stripped(model, 0, 0)
    stripped = read_model(content, model.name)
    if not _same(model, stripped):
        raise ModelError(f"{model.name}: stripped, it would not be the same model")
    return Stripped(stripped, model.bytes - stripped.bytes, metadata_bytes)


def _without_metadata(root: Table) -> int:
    """Drop the metadata that TFLM does not read; returns the bytes of its contents."""
    entries, buffers = root.tables("metadata"), root.tables("buffers")
    kept = [entry for entry in entries if entry.text("name") in KEPT_METADATA]
    used = {entry.values.get("buffer", 0) for entry in kept}
    for graph in root.tables("subgraphs"):
        used |= {tensor.values.get("buffer", 0) for tensor in graph.tables("tensors")}
    dropped = {entry.values.get("buffer", 0) for entry in entries} - used
    freed = 0
    for number in dropped:
        freed += len(buffers[number].text("data"))
        # An empty buffer takes its place, so that the others keep their indices. The old one is not
        # changed: the same object may stand for several buffers.
        buffers[number] = Table("Buffer")
    if kept:
        root.values["metadata"].tables[:] = kept
    else:
        root.drop("metadata")
    return freed


def _same(model: Model, stripped: Model) -> bool:
    """Whether TFLM reads the same from both."""
    return _nameless(model.subgraphs) == _nameless(stripped.subgraphs) and all(
        model.metadata[name] == stripped.metadata[name] for name in stripped.metadata
    )


def _nameless(subgraphs: Iterable[Subgraph]) -> list[Subgraph]:
    return [
        replace(graph, name="", tensors=tuple(replace(each, name="") for each in graph.tensors))
        for graph in subgraphs
    ]
