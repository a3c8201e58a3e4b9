"""Writes a ``.tflite`` again with every buffer inside the flatbuffer.

Of large float models the quantizer writes the buffers behind the flatbuffer, where TFLM does
not read them.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import flatbuffers
import numpy as np


_IDENTIFIER = b"TFL3"


def repack(content: bytes, schema: ModuleType) -> bytes:
    """``content`` with its buffers inside the flatbuffer; unchanged where they are there already.

    ``schema`` is the module generated from TF Lite's schema.
    """
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    external = [buffer for buffer in model.buffers if (buffer.offset or 0) > 1]
    if not external:
        return content
    for buffer in external:
        data = content[buffer.offset : buffer.offset + buffer.size]
        buffer.data = np.frombuffer(data, np.uint8)
        buffer.offset = buffer.size = 0
    return packed(model)


class _Builder(flatbuffers.Builder):  # type: ignore[misc]
    """A builder that aligns contents of tensors to 16, as the schema demands."""

    def StartVector(self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N802, N803
        widest = 16 if elemSize == 1 else alignment
        return int(super().StartVector(elemSize, numElems, widest))


def packed(model: Any) -> bytes:
    """The file of a model in the object form of TF Lite's generated schema."""
    builder = _Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())
