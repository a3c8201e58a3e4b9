"""What a rule of shapes is given: one operator, and the shapes that are known so far."""

from __future__ import annotations

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import OptionValue
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor


Shape = tuple[int, ...]

#: A tensor: its subgraph's index and its own.
Key = tuple[int, int]


class UnknownShapeError(Exception):
    """The shape of an operator's result is not known. The message says why."""


class Shapes(Struct, eq=False):
    """The shapes of a model's tensors: ``known`` ones, and why each other is ``unknown``."""

    known: dict[Key, Shape] = field(default_factory=dict)
    unknown: dict[Key, str] = field(default_factory=dict)
    values: dict[Key, Shape] = field(default_factory=dict)


class Call(Struct, frozen=True, eq=False):
    """One operator, with the shapes of its inputs as computed so far."""

    operator: Operator
    graph: Subgraph
    found: Shapes

    @property
    def count(self) -> int:
        """Number of inputs, absent ones included."""
        return len(self.operator.inputs)

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return len(self.operator.outputs)

    def has(self, position: int) -> bool:
        """Whether the input is there."""
        return position < self.count and self.operator.inputs[position] >= 0

    def tensor(self, position: int) -> Tensor:
        """An input as the file has it."""
        if not self.has(position):
            raise UnknownShapeError(f"its input {position} is missing")
        return self.graph.tensors[self.operator.inputs[position]]

    def shape(self, position: int = 0) -> Shape:
        """The shape of an input."""
        key = (self.graph.index, self.tensor(position).index)
        if key not in self.found.known:
            reason = self.found.unknown.get(key, "nothing makes its input")
            raise UnknownShapeError(reason)
        return self.found.known[key]

    def shapes(self) -> list[Shape]:
        """The shapes of all inputs that are there."""
        return [self.shape(position) for position in range(self.count) if self.has(position)]

    def values(self, position: int) -> Shape:
        """The integers that an input holds."""
        tensor = self.tensor(position)
        values = self.found.values.get((self.graph.index, tensor.index))
        if values is None:
            raise UnknownShapeError(f"its input '{tensor.name}' is known only when it runs")
        return values

    def option(self, name: str) -> OptionValue:
        """An option, as it is."""
        return self.operator.options[name]

    def number(self, name: str) -> int:
        """An option that is an integer."""
        value = self.operator.options[name]
        if not isinstance(value, int):
            raise UnknownShapeError(f"its option {name} is no number")
        return value
