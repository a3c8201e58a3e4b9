"""Packs a ``.tflite`` anew: every buffer inline, and on request without names and metadata.

A float model above some size leaves ai-edge-quantizer with its buffers behind the flatbuffer,
which TFLM reads as nothing at all. Names, signatures and metadata are flash that no kernel reads.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np


_IDENTIFIER = b"TFL3"
#: TFLM reads this one: the memory plan that a model brings.
_KEPT_METADATA = (b"OfflineMemoryAllocation",)


def repack(content: bytes, schema: ModuleType, *, strip: bool) -> tuple[bytes, bytes]:
    """``content`` with inline buffers, whole and, if asked for, stripped; else twice the same.

    ``schema`` is the module generated from TF Lite's schema. What needs no change has none.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    external = [buffer for buffer in model.buffers if (buffer.offset or 0) > 1]
    if not (external or strip):
        return content, content
    for buffer in external:
        data = content[buffer.offset : buffer.offset + buffer.size]
        buffer.data = np.frombuffer(data, np.uint8)
        buffer.offset = buffer.size = 0
    whole = packed(model) if external else content
    if not strip:
        return whole, whole
    _strip(model)
    return whole, packed(model)


def _strip(model: Any) -> None:
    model.description = None
    model.signatureDefs = None
    kept = [each for each in model.metadata or () if each.name in _KEPT_METADATA]
    used = {each.buffer for each in kept}
    for entry in model.metadata or ():
        if entry.buffer not in used and not _holds_tensor(model, entry.buffer):
            model.buffers[entry.buffer].data = None
    model.metadata = kept or None
    for graph in model.subgraphs:
        graph.name = None
        for tensor in graph.tensors:
            tensor.name = None


def _holds_tensor(model: Any, buffer: int) -> bool:
    return any(tensor.buffer == buffer for graph in model.subgraphs for tensor in graph.tensors)


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """Puts contents of tensors at multiples of 16, as the schema asks and kernels rely on."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        widest = 16 if elemSize == 1 else alignment
        return int(super().StartVector(elemSize, numElems, widest))


def packed(model: Any) -> bytes:
    """The file of a model in the object form of TF Lite's generated schema."""
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())
