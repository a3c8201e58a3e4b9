"""The typed model graph: what a ``.tflite`` file (or a layer list) says, without its encoding."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import msgspec


OptionValue = int | float | bool | str | tuple[int, ...] | tuple[float, ...]

#: The contents of what has none.
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
    """Affine quantization: real = scale × (quantized − zero point).

    Either vector may be empty; ``zero_points`` may have one entry for many scales.
    ``dimension`` is the axis that per-channel scales run along. ``details`` names a quantization
    beyond these numbers (``"blocks"``, or ``"a custom method"``), ``""`` where there is none.
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

    ``shape`` is in elements (a scalar has ``()``); ``data_bytes`` is the size of its constant
    buffer in the file (0 = computed at run time, planned in the arena); ``data`` views it.
    ``external`` marks constants stored outside the flatbuffer, which TFLM reads as empty.
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
        """Bytes its contents take in the arena, as TFLM counts them (int4: two an element byte)."""
        return (self.elements * TYPE_BITS[self.type] + 7) // 8

    @property
    def element_bytes(self) -> int:
        """Bytes of one element (1 for int4, as kernels unpack it)."""
        return (TYPE_BITS[self.type] + 7) // 8

    @property
    def is_constant(self) -> bool:
        """Whether its contents are stored in the file."""
        return len(self.data) > 0


class Operator(msgspec.Struct, frozen=True, gc=False):
    """One operator; tensor lists hold indices into the subgraph, −1 for an absent optional.

    ``name`` is the builtin's schema name (``"CONV_2D"``) or the custom code of a custom operator.
    ``options`` are the builtin options by their schema names (defaults filled in), enumerations
    by name (``padding="SAME"``, ``fused_activation_function="RELU6"``, types as in ``TYPE_BITS``).
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
    """Tensors and operators in file order; ``inputs`` and ``outputs`` index ``tensors``."""

    index: int
    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Signature(msgspec.Struct, frozen=True, gc=False):
    """A named entry point: tensor indices by argument name."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Model:
    """A whole model. ``content`` is the file, unchanged; every ``memoryview`` points into it.

    ``external_buffers`` lists buffers that the file says are stored outside the flatbuffer
    (offset and size), which TFLM reads as empty.
    """

    name: str
    content: bytes
    schema_version: int
    description: str
    subgraphs: tuple[Subgraph, ...]
    metadata: Mapping[str, memoryview] = field(default_factory=dict)
    signatures: tuple[Signature, ...] = ()
    external_buffers: tuple[int, ...] = ()
    strings_bytes: int = 0
    _sha256: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    #: What others have computed of it, by keys of theirs: a changed copy starts without.
    derived: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal, computed when it is first asked for."""
        if not self._sha256:
            self._sha256.append(hashlib.sha256(self.content).hexdigest())
        return self._sha256[0]

    @property
    def bytes(self) -> int:
        """Size of the file: what the C array takes in flash."""
        return len(self.content)

    @property
    def main(self) -> Subgraph:
        """The subgraph that ``Invoke`` runs."""
        return self.subgraphs[0]
