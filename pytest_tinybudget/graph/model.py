"""The types of a model's graph: what a ``.tflite`` file says, without its encoding.

``tflite.read_model`` makes them; ``footprint/``, ``speed/`` and the reports read them. Fields have
the names of the TF Lite schema (``schema.fbs``) where it has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec


OptionValue = int | float | bool | str | tuple[int, ...] | tuple[float, ...]

#: The contents of a tensor or option that stores none.
NO_BYTES = memoryview(b"")

#: Bits of one element by type name (the names of the TF Lite schema's ``TensorType``).
#: 0 marks types without a fixed size (STRING, RESOURCE, VARIANT).
TYPE_BITS: Mapping[str, int] = {
    "FLOAT64": 64, "FLOAT32": 32, "FLOAT16": 16, "BFLOAT16": 16,
    "INT64": 64, "INT32": 32, "INT16": 16, "INT8": 8, "INT4": 4, "INT2": 2,
    "UINT64": 64, "UINT32": 32, "UINT16": 16, "UINT8": 8, "UINT4": 4,
    "FLOAT8_E4M3FN": 8, "FLOAT8_E5M2": 8, "BOOL": 8, "COMPLEX64": 64, "COMPLEX128": 128,
    "STRING": 0, "RESOURCE": 0, "VARIANT": 0,
}  # fmt: skip


class Quantization(msgspec.Struct, frozen=True, gc=False):
    """How a tensor is quantized: real value = scale × (stored value − zero point).

    Attributes:
        scales: One for the whole tensor, or one for each channel; empty where it is not quantized.
        zero_points: As many as scales, or one for all of them; may be empty.
        dimension: The axis of the channels, from 0; without meaning for a single scale.
        details: A quantization that these numbers do not describe, ``"blocks"`` or
            ``"a custom method"``; else empty.
    """

    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    dimension: int = 0
    details: str = ""

    @property
    def is_affine(self) -> bool:
        """Whether TFLM treats a tensor with it as quantized (both vectors have entries)."""
        return bool(self.scales) and bool(self.zero_points)


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """One tensor of a subgraph.

    Attributes:
        index: Its index in ``Subgraph.tensors``.
        name: As in the file; may be empty, and need not be unique.
        type: A key of ``TYPE_BITS``.
        shape: Its extents in elements; ``()`` is a scalar.
        shape_signature: The same with -1 for open dimensions; ``None`` where the file has none.
        buffer: Index of its buffer in the file.
        data: The contents that the file stores, a view of ``Model.content``; empty where they are
            computed at run time and lie in the arena.
        is_variable: Whether it keeps its contents from one inference to the next.
        quantization: How its numbers are stored.
        sparse: Whether the contents are packed, zeros left out.
        external: Whether the contents lie outside the flatbuffer: TFLM then reads none.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...] | None
    buffer: int
    data: memoryview
    is_variable: bool
    quantization: Quantization
    sparse: bool = False
    external: bool = False

    @property
    def elements(self) -> int:
        """Number of elements: the product of the shape."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def bytes(self) -> int:
        """Bytes of its contents, packed as in the file: two INT4 share a byte."""
        return (self.elements * TYPE_BITS[self.type] + 7) // 8

    @property
    def element_bytes(self) -> int:
        """Bytes of one element in the arena: 1 for INT4, which kernels unpack."""
        return (TYPE_BITS[self.type] + 7) // 8

    @property
    def is_constant(self) -> bool:
        """Whether its contents are stored in the file."""
        return len(self.data) > 0


class Operator(msgspec.Struct, frozen=True, gc=False):
    """One operator of a subgraph.

    Attributes:
        index: Its index in ``Subgraph.operators``, which is the order of execution.
        name: The schema's name (``"CONV_2D"``), or the custom code of a custom operator.
        builtin_code: The number of ``BuiltinOperator``.
        is_custom: Whether it is a custom operator.
        version: The version of the operator that the converter wrote.
        inputs: Indices of tensors; -1 is an optional input that is not there.
        outputs: Indices of tensors.
        intermediates: Indices of tensors that the operator needs inside.
        options: The builtin options by the schema's names, with defaults filled in. A value of an
            enumeration is its name (``padding="SAME"``), a type a key of ``TYPE_BITS``.
        custom_options: The bytes of a custom operator's options, a view of ``Model.content``.
    """

    index: int
    name: str
    builtin_code: int
    is_custom: bool
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...] = ()
    options: Mapping[str, OptionValue] = msgspec.field(default_factory=dict)
    custom_options: memoryview = NO_BYTES


class Subgraph(msgspec.Struct, frozen=True, gc=False):
    """A graph of operators that runs as a whole.

    Attributes:
        index: Its index in ``Model.subgraphs``.
        name: As in the file; may be empty.
        tensors: In the order of the file.
        operators: In the order of the file, which is the order of execution.
        inputs: Indices of the tensors that the caller sets.
        outputs: Indices of the tensors that the caller reads.
    """

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Signature(msgspec.Struct, frozen=True, gc=False):
    """A named way to call a subgraph.

    Attributes:
        key: The signature's name, such as ``"serving_default"``.
        subgraph: Index of the subgraph that it calls.
        inputs: Index of the tensor by the argument's name.
        outputs: Index of the tensor by the result's name.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class Model(msgspec.Struct, frozen=True, dict=True):
    """A whole model.

    Attributes:
        name: What reports call it, as a rule the file's name.
        content: The bytes of the file, unchanged; every ``memoryview`` points into them.
        schema_version: The version of the TF Lite schema, 3 today.
        description: As in the file; often the converter's name.
        subgraphs: The main one first.
        metadata: Contents of the metadata entries by name.
        signatures: The named ways to call it.
        external_buffers: Indices of buffers outside the flatbuffer, which TFLM reads as empty.
        strings_bytes: Bytes of all strings in the file, with their lengths, ends and padding.
    """

    name: str
    content: bytes
    schema_version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    metadata: Mapping[str, memoryview] = msgspec.field(default_factory=dict)
    signatures: tuple[Signature, ...] = ()
    external_buffers: tuple[int, ...] = ()
    strings_bytes: int = 0

    @cached_property
    def derived(self) -> dict[object, Any]:
        """What other modules have computed from the model, by keys of their own.

        A changed copy starts without it.
        """
        return {}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def bytes(self) -> int:
        """Size of the file: what the C array takes in flash."""
        return len(self.content)

    @property
    def main(self) -> Subgraph:
        """The subgraph that ``Invoke`` runs."""
        return self.subgraphs[0]

    @property
    def input_names(self) -> tuple[tuple[str, ...], ...]:
        """For each input of ``main`` the names that it goes by: its tensor's, those in signatures.

        Empty for an input without a name.
        """
        main = self.main
        signed = [
            (tensor, name)
            for signature in self.signatures
            if signature.subgraph == 0
            for name, tensor in signature.inputs.items()
        ]
        found = [
            [main.tensors[index].name, *(name for tensor, name in signed if tensor == index)]
            for index in main.inputs
        ]
        return tuple(tuple(dict.fromkeys(filter(None, names))) for names in found)
