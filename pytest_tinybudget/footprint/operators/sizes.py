"""How large the data of each operator is in a runtime, asked of its rule without a model."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import cast

from pytest_tinybudget.footprint.operators import rules
from pytest_tinybudget.runtimes.abi import Abi
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.runtimes.tflm import Tflm


if TYPE_CHECKING:
    from pytest_tinybudget.footprint.operators.rule import Preparation


def data_bytes(operator: str, tflm: Tflm, kernels: Kernels, abi: Abi) -> int | None:
    """Bytes of the struct that the ``Init`` of ``operator`` allocates; 0 where it allocates none.

    ``None`` where that depends on the model, or there is no rule for the operator.
    """
    rule = rules().get(operator)
    if rule is None:
        return None
    if rule.init is None:
        return 0
    asked = _Asked(operator, tflm, kernels, abi)
    try:
        rule.init(cast("Preparation", asked))
    except AttributeError:  # it looks at the operator's tensors
        return None
    return sum(asked.requests)


class _Name:
    def __init__(self, name: str) -> None:
        self.name = name


class _Asked:
    """What of a ``Preparation`` does not depend on a model."""

    def __init__(self, operator: str, tflm: Tflm, kernels: Kernels, abi: Abi) -> None:
        self.operator = _Name(operator)
        self.tflm, self.kernels, self.abi = tflm, kernels, abi
        self.requests: list[int] = []

    def persistent(self, size_bytes: int, _cause: str = "") -> None:
        self.requests.append(size_bytes)
