"""The node of a graph as checks see it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Protocol

from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


Shape = tuple[int, ...]


class Trusted(Preparation, Protocol):
    """A ``Preparation`` that also knows what shapes tensors should have."""

    def meant(self, tensor: Tensor) -> Shape:
        """The shape in elements that the operator before gives a tensor of this subgraph.

        The file's shape where nothing else was noted with ``means``.
        """
        ...

    def means(self, subgraph: Subgraph, tensor: Tensor, shape: Shape) -> None:
        """Note that a tensor should have ``shape``, in elements, whatever the file says."""
        ...

    def trust(self, condition: bool, reason: str, *, beyond: bool = False) -> None:
        """Refuse the model unless ``condition``, which the kernel does not check.

        Args:
            condition: What must hold for a right result.
            reason: Why not, as the report says it after the operator's name.
            beyond: Whether the kernel would read or write outside a tensor's memory, or leave part
                of it unset: the outcome is then undefined, else wrong.

        Raises:
            MisreadError: ``condition`` is false.
            RefusedError: The same, with ``beyond``.
        """
        ...


Check = Callable[[Trusted], None]


def by_operator(*checks: tuple[Check, str]) -> Mapping[str, Check]:
    """Each of ``checks`` by the operators that it is for, whose names are one text."""
    return {name: each for each, names in checks for name in names.split()}
