"""The layouts of the C structs of TFLM that take memory.

Layouts are strings of member codes (``Abi.size_of``), as of ``TFLM_COMMIT``. Those of other
versions are in ``data/versions``; ``Tflm.struct`` combines both. The structs of operators
(parameters and data) are with their rules in ``footprint/operators/``.
"""

from __future__ import annotations

from collections.abc import Mapping


#: By name, in builds with TF_LITE_STATIC_MEMORY, as TFLM's own make files do them.
STRUCTS: Mapping[str, str] = {
    "SingleArenaBufferAllocator": "7p p i",
    "PersistentArenaBufferAllocator": "4p",
    "NonPersistentArenaBufferAllocator": "6p i b",
    "GreedyMemoryPlanner": "p 2i 4p 2i p b",
    # What the planner keeps of each buffer: 32-bit integers alone, on every target.
    "GreedyMemoryPlanner, a buffer": "10i",
    "MicroAllocator": "5p b 3p",
    "MicroBuiltinDataAllocator": "2p",
    "SubgraphAllocations": "2p",
    "TfLiteEvalTensor": "2p e",
    "TfLiteTensor": "(ep) (2i) 3p 2e b",
    "TfLiteAffineQuantization": "2p i",
    "NodeAndRegistration": "(6p i) p",
    "ScratchBufferHandle": "p",
    "ScratchBufferRequest": "p 2i",
    "AllocationInfo": "2p 3i b",
    "MicroResourceVariables": "p 2i",
    "MicroResourceVariable": "4p b",
    # Sizes as read off 32-bit builds: 208 bytes with one-byte enumerations, else 212. The order of
    # the members is not known.
    "MicroInterpreter": "51p 2e",
    "MicroMutableOpResolver": "3p",
    "MicroMutableOpResolver, an operator": "9p",
    # What old versions keep besides for each operator, in an array of its own.
    "MicroMutableOpResolver, codes": "",
    # What profiling builds use instead of the two allocators.
    "RecordingSingleArenaBufferAllocator": "(7p p i) 4p",
    "RecordingMicroAllocator": "(5p b 3p) p 21p",
}

#: Those that differ in builds without TF_LITE_STATIC_MEMORY, as Zephyr's module is one.
WITHOUT_STATIC_MEMORY: Mapping[str, str] = {
    "TfLiteTensor": "e 2p (2i) e p 3p i 2b (ep) 2p",
    "NodeAndRegistration": "(7p i p b) p",
}

#: What builds with USE_TFLM_COMPRESSION (compressed constant tensors) add at the end.
ADDED_BY_COMPRESSION: Mapping[str, str] = {
    "SubgraphAllocations": "p",
    "RecordingMicroAllocator": "3p",
}
