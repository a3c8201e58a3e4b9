"""What of a model decides its sizes, as numbers by which rooms remember what they computed.

Operators of one kind differ in names and in their place alone, so that all that a kernel asks for
is the same. Only planned models have kinds: those of a file would have to be read off its contents.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from pytest_tinybudget.graph.model import Model


#: Keys of ``Model.derived``.
KINDS = "kinds"
ALIKE = "alike"


class Kinds(Struct, frozen=True, gc=False):
    """The kinds of a model with one subgraph; see ``base.remembered.number_of``.

    Attributes:
        operators: Of each operator: its name, options, and the kinds of its tensors.
        tensors: Of each tensor: type, shape, quantization and, of constants, what it holds.
        order: Of the graph: which tensors each operator reads and writes, and which are constant,
            variable or empty.
    """

    operators: tuple[int, ...]
    tensors: tuple[int, ...]
    order: int


def kinds_of(model: Model) -> Kinds | None:
    """The kinds of a planned model; ``None`` of any other."""
    found: Kinds | None = model.derived.get(KINDS)
    return found


def alike_in(model: Model) -> dict[object, Any]:
    """What modules have computed from a model that follows from no size, by keys of their own.

    Planned models that differ in sizes alone share it: these have the same operators in the same
    order and tensors of the same names and types, but other shapes and contents.
    """
    found: dict[object, Any] = model.derived.setdefault(ALIKE, {})
    return found
