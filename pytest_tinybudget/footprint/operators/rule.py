"""The protocol of an operator rule: what one kernel asks of TFLM's allocator.

A rule repeats the calls of one kernel's ``Init`` and ``Prepare`` in the order of the C++ code. The
order decides the padding between buffers and the peak of temporary memory. To add an operator, add
an entry to ``RULES`` in a module of this package, name it in ``__init__.py``, and add a test.
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
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.tflm import Tflm
from pytest_tinybudget.runtimes.versions import Library


#: How far a scale may be off, so that the largest INT8 is off by half a step.
HALF_A_STEP = 1 / 256
#: How far a zero point may be off: kernels round as coarsely.
A_STEP = 1


class Preparation(Protocol):
    """One operator while TFLM initializes and prepares it: what a rule sees and may ask for.

    It stands for TFLM's ``MicroContext`` and ``TfLiteNode``. Each method names the function of TFLM
    that it mirrors; they are declared in ``tensorflow/lite/micro/micro_context.h``,
    ``micro/kernels/kernel_util.h``, ``kernels/kernel_util.h`` and ``core/c/common.h``.

    A position counts within the operator's own list of inputs or outputs, from 0. A tensor has the
    shape that it has at this moment: the file's, or what the ``Prepare`` of an earlier operator has
    written (``set_output_shape``).

    ``TF_LITE_ENSURE`` is ``ensure`` here. ``TFLITE_DCHECK`` does nothing in release builds: a rule
    leaves it out, and what then goes wrong unnoticed is checked in ``trust.py``.
    """

    model: Model
    """The whole model."""
    subgraph: Subgraph
    """The subgraph of the current operator."""
    operator: Operator
    """The operator that TFLM initializes or prepares."""
    abi: Abi
    """Sizes and alignments of C types on the core, for structs that the kernel allocates."""
    tflm: Tflm
    """The version and build of TFLM: a rule asks it for what was otherwise once (``has``)."""
    kernels: Kernels
    """The kernel library, with its options: a rule asks for what this library's kernel does."""
    handles: dict[tuple[int, int], tuple[str, str]]
    """The resource variable of each handle.

    From (index of the subgraph, index of the handle's tensor) to (container, shared name).
    ``VAR_HANDLE`` writes it, as ``MicroResourceVariables::CreateIdIfNoneFound`` does.
    """
    allocated_variables: dict[tuple[str, str], int]
    """Bytes of each resource variable that has its memory, by (container, shared name).

    ``ASSIGN_VARIABLE`` writes it, as ``MicroResourceVariables::Allocate`` does.
    """
    variables_by_name: bool
    """Whether TFLM makes room for one variable a shared name, whatever the containers are."""

    def has_input(self, position: int) -> bool:
        """Whether the operator has this input.

        ``NumInputs(node) > position`` and its index is not ``kTfLiteOptionalTensor`` (-1).
        """
        ...

    def input(self, position: int) -> Tensor:
        """An input, looked at without cost.

        ``GetEvalInput``, or data that the kernel reads in the file.

        Raises:
            RefusedError: The operator does not have it: the model is refused.
        """
        ...

    def optional_input(self, position: int) -> Tensor | None:
        """An input as ``input`` returns it, or ``None`` where the operator does not have it.

        ``GetEvalInput``, where the kernel compares the result with ``nullptr``.
        """
        ...

    def output(self, position: int) -> Tensor:
        """An output, looked at without cost: ``GetEvalOutput``.

        Raises:
            RefusedError: The operator does not have it: the model is refused.
        """
        ...

    def temp_input(self, position: int) -> Tensor:
        """An input for which the kernel makes a temporary struct.

        ``MicroContext::AllocateTempInputTensor``. It takes temporary memory for a ``TfLiteTensor``,
        and where the tensor is quantized for a ``TfLiteAffineQuantization`` and an array of zero
        points. TFLM frees them at the end of the operator's ``Prepare``, also where the kernel
        calls ``DeallocateTempTfLiteTensor`` before.

        Raises:
            RefusedError: The operator does not have it: the model is refused.
        """
        ...

    def temp_optional_input(self, position: int) -> Tensor | None:
        """An input as ``temp_input`` returns it, or ``None`` where the operator does not have it.

        ``MicroContext::AllocateTempInputTensor``, where the kernel compares the result with
        ``nullptr``. An input that is not there takes no memory.
        """
        ...

    def temp_output(self, position: int) -> Tensor:
        """An output for which the kernel makes a temporary struct.

        ``MicroContext::AllocateTempOutputTensor``, with the memory of ``temp_input``.

        Raises:
            RefusedError: The operator does not have it: the model is refused.
        """
        ...

    def temp_intermediate(self, position: int) -> Tensor:
        """An intermediate tensor for which the kernel makes a temporary struct.

        ``MicroContext::AllocateTempIntermediateTensor``, with the memory of ``temp_input``.

        Raises:
            RefusedError: The operator does not have it: the model is refused.
        """
        ...

    def spare_temporaries(self) -> None:
        """Let what the kernel reserves from here on grow into its temporaries.

        No function of TFLM: it lets the tail grow into them. The kernel does not read them again,
        and does not write while it prepares what it reserves.
        """
        ...

    def persistent(self, size_bytes: int, cause: str = "") -> None:
        """Reserve memory that the operator keeps: ``TfLiteContext::AllocatePersistentBuffer``.

        It comes from the arena's tail, at a multiple of 16.

        Args:
            size_bytes: What the kernel asks for, bytes, before it is aligned.
            cause: What a report calls the buffer; empty for the operator's own struct.
        """
        ...

    def scratch(self, size_bytes: int) -> None:
        """Request a buffer for the time of the operator's ``Eval``.

        ``TfLiteContext::RequestScratchBufferInArena``. The planner places it in the arena's head,
        beside the tensors that are alive meanwhile.

        Args:
            size_bytes: What the kernel asks for, bytes.

        Raises:
            RefusedError: It is the 13th of the operator; TFLM has room for 12
                (``kMaxScratchBuffersPerOp``).
        """
        ...

    def copy_output_shape(self, position: int) -> None:
        """Give an output dimensions of its own, which the kernel may write.

        ``CreateWritableTensorDimsWithCopy``: 4 + 4 x rank bytes of persistent memory.
        """
        ...

    def set_output_shape(self, position: int, shape: tuple[int, ...]) -> None:
        """Set the shape of an output: what the kernel writes into ``output->dims``.

        The planner sizes the tensor by it, and the rules of later operators see it.

        Args:
            position: Of the output.
            shape: Its extents in elements.
        """
        ...

    def leave_unplanned(self, position: int) -> None:
        """Keep an output out of the plan: ``Prepare`` sets its data itself (``VAR_HANDLE``)."""
        ...

    def refuse(self, reason: str, *, ends: bool = False) -> NoReturn:
        """Say that ``Prepare`` fails: the device does not load the model.

        ``return kTfLiteError``.

        Args:
            reason: Why, as the report says it after the operator's name ("its input 1 is missing").
            ends: Whether the firmware stops there instead of getting an error.

        Raises:
            RefusedError: Always. The caller of the rule notes the refusal.
        """
        ...

    def ensure(self, condition: bool, reason: str, *, ends: bool = False) -> None:
        """Refuse the model unless ``condition``: ``TF_LITE_ENSURE`` and its variants.

        Args:
            condition: What the kernel checks.
            reason: As for ``refuse``.
            ends: As for ``refuse``.

        Raises:
            RefusedError: ``condition`` is false.
        """
        ...

    def fails_at_invoke(self, reason: str, *, ends: bool = False) -> None:
        """Note that ``Eval`` fails: the device loads the model and cannot run it.

        Counts where ``Invoke`` can reach the operator's subgraph. The rule goes on, as ``Prepare``
        does.

        Args:
            reason: As for ``refuse``.
            ends: As for ``refuse``.
        """
        ...

    def undefined(self, reason: str) -> None:
        """Note that what TFLM does is undefined, as where it sizes a buffer by an unset number.

        Args:
            reason: As for ``refuse``.
        """
        ...

    def computes_wrongly(
        self, before: str, reason: str, *, instead: str = "", library: Library = "tflm"
    ) -> None:
        """Note that a version of before the change ``before`` computes other values.

        It runs the operator without an error, but computes other values than TensorFlow Lite and
        than later versions do.

        Args:
            before: The name of the change that put it right (``data/versions``).
            reason: As for ``refuse``.
            instead: What to do where the firmware keeps its version.
            library: Whose change it is.
        """
        ...

    def bounded(self, reason: str) -> None:
        """Note that a cost just stated is an upper bound, not the device's number.

        The result is then an estimate and gives the reason.

        Args:
            reason: As for ``refuse``.
        """
        ...

    def risks(self, reason: str) -> None:
        """Note that the device goes wrong for some inputs, which the model does not tell.

        Args:
            reason: For which, and what happens: as the report says it after the operator's name.
        """
        ...

    def library_release(self) -> str:
        """The release of the kernel library, for requests whose size depends on it.

        The result then names the release that it holds for.
        """
        ...


class OperatorRule(Struct, frozen=True):
    """What TFLM allocates for one operator, in the order in which it runs these steps.

    Attributes:
        parameters: C layout (see ``Abi.size_of``) of the struct of builtin options that the
            operator's parser allocates (``TfLiteConvParams``); empty where it allocates none.
        init: The kernel's ``Init``; ``None`` where it has none.
        prepare: The kernel's ``Prepare``; ``None`` where it has none.
    """

    parameters: str = ""
    init: Callable[[Preparation], None] | None = None
    prepare: Callable[[Preparation], None] | None = None


#: What reports call the buffers that kernels keep (the ``cause`` of ``persistent``).
PER_CHANNEL_ARRAYS = "per-channel arrays"
KERNEL_SUMS = "sums of weights"
VARIABLES = "variables"


def op_data(
    reference: str, *, compression: str = "", **libraries: str
) -> Callable[[Preparation], None]:
    """An ``Init`` that allocates one ``OpData`` struct.

    Args:
        reference: The struct's C layout (see ``Abi.size_of``) in TFLM's reference kernel.
        compression: Its layout in builds that read compressed tensors; empty where it is the same.
        libraries: Its layouts in the kernels of libraries where they differ, by the name in
            ``LIBRARIES`` with ``_`` for ``-``: ``cmsis_nn="9ip"``.
    """
    layouts = {name.replace("_", "-"): layout for name, layout in libraries.items()}

    def init(node: Preparation) -> None:
        layout = layouts.get(node.kernels.library, "")
        if node.tflm.compression:
            layout = layout or compression
        layout = layout or reference
        if node.tflm.has_other_layouts:
            of = f"{node.operator.name} data"
            older = node.tflm.layout(f"{of}, {node.kernels.library}", "")
            layout = older or node.tflm.layout(of, layout)
        node.persistent(node.abi.size_of(layout))

    return init


def scale(tensor: Tensor) -> float:
    """``params.scale`` of ``tensor``: its first scale, 0 where it is not quantized."""
    return tensor.quantization.scales[0] if tensor.quantization.is_affine else 0.0


def zero_point(tensor: Tensor) -> int:
    """``params.zero_point`` of ``tensor``: its first zero point, 0 where it is not quantized."""
    return tensor.quantization.zero_points[0] if tensor.quantization.is_affine else 0


def quantized_alike(one: Tensor, other: Tensor) -> bool:
    """Whether a kernel that takes ``one``'s scale for ``other``'s rounds coarser than it errs."""
    return (
        abs(scale(other) - scale(one)) <= HALF_A_STEP * scale(one)
        and abs(zero_point(other) - zero_point(one)) <= A_STEP
    )


def option(node: Preparation, name: str) -> int:
    """The integer ``name`` among the builtin options of the operator of ``node``.

    Raises:
        RefusedError: It is not an integer, but the name of an enumeration's value or a list.
    """
    value = node.operator.options[name]
    if not isinstance(value, int):
        node.refuse(f"its option {name} is no number")
    return value


def integers(tensor: Tensor) -> tuple[int, ...]:
    """The contents of the constant ``tensor`` of type INT8, INT16, INT32 or INT64."""
    size = tensor.element_bytes
    data = bytes(tensor.data[: tensor.bytes])
    return tuple(
        int.from_bytes(data[start : start + size], "little", signed=True)
        for start in range(0, len(data) - size + 1, size)
    )


def int32s(tensor: Tensor, count: int) -> tuple[int, ...]:
    """The first ``count`` numbers of the constant ``tensor``, read as INT32 whatever type it has.

    So do kernels that do not look at the type.

    Raises:
        struct.error: The constant is shorter.
    """
    return struct.unpack_from(f"<{count}i", tensor.data)
