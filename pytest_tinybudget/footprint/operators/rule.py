"""What an operator's registration asks of TFLM's allocator: the protocol of an operator rule.

A rule mirrors one kernel's ``Init`` and ``Prepare`` call by call, in their order, because the
order decides paddings and the temporary peak. Adding an operator is one entry in one of this
package's ``RULES`` tables, with a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn
from typing import Protocol

from pytest_tinybudget.footprint.abi import Abi
from pytest_tinybudget.footprint.runtime import Kernels
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


class Preparation(Protocol):
    """One operator while TFLM initialises and prepares it (its ``MicroContext`` and node).

    Every method that returns a tensor refuses the model when a required one is missing.
    """

    model: Model
    subgraph: Subgraph
    operator: Operator
    abi: Abi
    kernels: Kernels

    # Looking at tensors without cost (kernels use GetEvalInput or flatbuffer data).
    def has_input(self, position: int) -> bool: ...
    def input(self, position: int) -> Tensor: ...
    def output(self, position: int) -> Tensor: ...

    # AllocateTempInputTensor and its kin: a TfLiteTensor (and quantization arrays) that stay
    # until the end of the operator's Prepare. ``None`` for an absent optional tensor.
    def temp_input(self, position: int) -> Tensor | None: ...
    def temp_output(self, position: int) -> Tensor | None: ...
    def temp_intermediate(self, position: int) -> Tensor | None: ...

    # AllocatePersistentBuffer (aligned to 16) and RequestScratchBufferInArena, in bytes.
    def persistent(self, size_bytes: int) -> None: ...
    def scratch(self, size_bytes: int) -> None: ...

    # The output's memory is set by Prepare itself, so the planner leaves it out (VAR_HANDLE).
    def leave_unplanned(self, position: int) -> None: ...

    # Prepare returns an error: the model does not load.
    def refuse(self, reason: str) -> NoReturn: ...
    def ensure(self, condition: bool, reason: str) -> None: ...

    # Prepare passes, Eval returns an error: the model loads and fails when run.
    def fails_at_invoke(self, reason: str) -> None: ...

    # The cost just stated is an upper bound, not the device's number.
    def bounded(self, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class OperatorRule:
    """One operator.

    ``parameters`` is the C layout (see ``Abi.size_of``) of the builtin parameter struct that
    the operator's parser allocates, ``""`` when it allocates none.
    """

    parameters: str = ""
    init: Callable[[Preparation], None] | None = None
    prepare: Callable[[Preparation], None] | None = None


def op_data(reference: str, cmsis_nn: str | None = None) -> Callable[[Preparation], None]:
    """An ``Init`` that allocates one OpData struct of the given C layout."""

    def init(node: Preparation) -> None:
        optimised = cmsis_nn is not None and node.kernels.library == "cmsis-nn"
        node.persistent(node.abi.size_of(cmsis_nn if optimised and cmsis_nn else reference))

    return init
