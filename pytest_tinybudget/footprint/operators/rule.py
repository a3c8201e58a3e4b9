"""What an operator's registration asks of TFLM's allocator: the protocol of an operator rule.

A rule mirrors one kernel's ``Init`` and ``Prepare`` call by call, in their order, because the
order decides paddings and the temporary peak. Adding an operator is one entry in one of this
package's ``RULES`` tables, with a test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NoReturn
from typing import Protocol

from msgspec import Struct

from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.runtime import Kernels


class Preparation(Protocol):
    """One operator while TFLM initializes and prepares it (its ``MicroContext`` and node).

    Positions count within the operator's own input, output and intermediate lists. A method
    that returns a tensor refuses the model when that tensor is absent, the ``optional`` ones
    return ``None``. Shapes are those that earlier operators' Prepare has left
    (``set_output_shape``). TFLM's ``TF_LITE_ENSURE`` is ``ensure`` here; ``TFLITE_DCHECK`` does
    nothing in release builds, so a rule leaves it out unless the device would crash.
    """

    model: Model
    subgraph: Subgraph
    operator: Operator
    abi: Abi
    kernels: Kernels
    #: Resource variables by tensor (subgraph, index) of the handle: (container, shared name).
    handles: dict[tuple[int, int], tuple[str, str]]
    #: Resource variables whose contents already have their memory, with its bytes.
    allocated_variables: dict[tuple[str, str], int]
    #: Whether room is made for as many variables as there are names, whatever their containers.
    variables_by_name: bool

    # Looking at tensors without cost (kernels use GetEvalInput or flatbuffer data).
    def has_input(self, position: int) -> bool: ...
    def input(self, position: int) -> Tensor: ...
    def optional_input(self, position: int) -> Tensor | None: ...
    def output(self, position: int) -> Tensor: ...

    # AllocateTempInputTensor and its kin: a TfLiteTensor (and quantization arrays) that stay
    # until the end of the operator's Prepare, also when the kernel deallocates them earlier.
    def temp_input(self, position: int) -> Tensor: ...
    def temp_optional_input(self, position: int) -> Tensor | None: ...
    def temp_output(self, position: int) -> Tensor: ...

    # AllocatePersistentBuffer (aligned to 16) and RequestScratchBufferInArena, in bytes; ``cause``
    # is what people call the buffer, where it is no struct of the operator's.
    def persistent(self, size_bytes: int, cause: str = "") -> None: ...
    def scratch(self, size_bytes: int) -> None: ...

    # A scratch buffer of which it is not known where the planner puts it: above all others.
    def scratch_on_top(self, size_bytes: int) -> None: ...

    # CreateWritableTensorDimsWithCopy of an output (a persistent 4 + 4 x rank), and what the
    # kernel then writes into these dims: the planner sizes the tensor by them.
    def copy_output_shape(self, position: int) -> None: ...
    def set_output_shape(self, position: int, shape: tuple[int, ...]) -> None: ...

    # The output's memory is set by Prepare itself, so the planner leaves it out (VAR_HANDLE).
    def leave_unplanned(self, position: int) -> None: ...

    # Prepare returns an error (or ends the program): the model does not load.
    def refuse(self, reason: str, *, ends: bool = False) -> NoReturn: ...
    def ensure(self, condition: bool, reason: str, *, ends: bool = False) -> None: ...

    # Prepare passes, Eval returns an error (or ends the program): the model loads and fails when
    # run.
    def fails_at_invoke(self, reason: str, *, ends: bool = False) -> None: ...

    # What TFLM does is undefined: it asks for memory by a number that nothing has set.
    def undefined(self, reason: str) -> None: ...

    # The cost just stated is an upper bound, not the device's number.
    def bounded(self, reason: str) -> None: ...

    # The release of the kernel library, which the size of a request depends on.
    def library_release(self) -> str: ...


class OperatorRule(Struct, frozen=True):
    """One operator.

    ``parameters`` is the C layout (see ``Abi.size_of``) of the builtin parameter struct that
    the operator's parser allocates, ``""`` when it allocates none.
    """

    parameters: str = ""
    init: Callable[[Preparation], None] | None = None
    prepare: Callable[[Preparation], None] | None = None


#: What people call buffers that kernels keep.
PER_CHANNEL_ARRAYS = "per-channel arrays"
KERNEL_SUMS = "sums of weights"
VARIABLES = "variables"


def op_data(
    reference: str, cmsis_nn: str = "", *, esp_nn: str = "", compression: str = ""
) -> Callable[[Preparation], None]:
    """An ``Init`` that allocates one OpData struct of the given C layout.

    ``cmsis_nn`` and ``esp_nn`` are its layouts in these libraries' kernels, ``compression`` in
    builds that can read compressed tensors, where they differ.
    """
    layouts = {"cmsis-nn": cmsis_nn, "esp-nn": esp_nn}

    def init(node: Preparation) -> None:
        layout = layouts.get(node.kernels.library, "")
        if node.kernels.compression:
            layout = layout or compression
        node.persistent(node.abi.size_of(layout or reference))

    return init


def scale(tensor: Tensor) -> float:
    """``params.scale`` of a TfLiteTensor: the first scale, 0 when the tensor is not quantized."""
    return tensor.quantization.scales[0] if tensor.quantization.is_affine else 0.0


def zero_point(tensor: Tensor) -> int:
    """``params.zero_point`` of a TfLiteTensor: the first one, 0 when it is not quantized."""
    return tensor.quantization.zero_points[0] if tensor.quantization.is_affine else 0


def option(node: Preparation, name: str) -> int:
    """An integer among the operator's builtin options (an enumeration's name is not one)."""
    value = node.operator.options[name]
    if not isinstance(value, int):
        node.refuse(f"its option {name} is no number")
    return value


def integers(tensor: Tensor) -> tuple[int, ...]:
    """The contents of a constant INT8, INT16, INT32 or INT64 tensor (little-endian)."""
    size = tensor.element_bytes
    data = bytes(tensor.data[: tensor.bytes])
    return tuple(
        int.from_bytes(data[start : start + size], "little", signed=True)
        for start in range(0, len(data) - size + 1, size)
    )


def int32s(tensor: Tensor, count: int) -> tuple[int, ...]:
    """The first ``count`` INT32 of a constant, as kernels read it that do not look at its type."""
    return struct.unpack_from(f"<{count}i", tensor.data)
