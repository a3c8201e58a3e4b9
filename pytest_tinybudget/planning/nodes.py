"""The operators of a plan before they have tensors, and the order in which they come."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import Literal


Shape = tuple[int, ...]


@dataclass(slots=True, eq=False)
class Value:
    """What an operator computes, or an input (``input_name``)."""

    shape: Shape
    input_name: str = ""


@dataclass(slots=True, eq=False)
class Const:
    """A constant operand.

    ``kind`` is ``weights`` (a scale for each entry of ``axis``), ``bias``, ``ints`` (not
    quantized; ``values`` are what it holds) or ``values`` (one scale). Biases of the same
    ``values`` hold the same. ``is_copy``: litert-quantizer made it of one that several operators
    had.
    """

    kind: Literal["weights", "bias", "ints", "values"]
    shape: Shape
    axis: int = 0
    values: tuple[int, ...] = ()
    is_copy: bool = False


Operand = Value | Const | None


@dataclass(slots=True, eq=False)
class Node:
    """An operator that comes to be.

    Attributes:
        op: Its name in the schema, or ``BIAS`` for what is always a part of another one.
        name: Its name in TensorFlow's graph, which decides its place.
        label: What the layer is called.
        over_last: Whether it is a dense layer over the last of several dimensions, right behind a
            reshape.
        is_dense: Whether it is a product that stands for a dense layer over one channel.
        is_of_dense: Whether it is the reshape behind a dense layer without a bias.
        has_moved: Whether it is a reshape that has come behind a dense layer.
        squeezed: Whether it is a reshape that one with ``squeeze`` became a part of.
        is_behind_sum: Whether it is right behind a sum with a constant, permutations apart.
        copied_from: The dense layer that it is once more, with a ReLU.
        is_of_head: Whether it is a dense layer of attention, whose bias is added behind a reshape.
        is_sixth: Whether it is the last operator of a hard sigmoid.
        names: Bytes of its names and of those that became a part of it, in TensorFlow's graph.
        bias_is_last: Whether nothing was between its bias and a dense layer when it got it.
        bias_from: The dense or transposed layer before it, whose bias has become a part of its own.
        host: The node that is one with it in TensorFlow's graph, right behind it.
        beside: The node whose constants it shares in TensorFlow's graph.
        requantized: The QUANTIZE that a conversion puts behind it afterwards.
        folds: Operators with a constant that its weights and bias have taken in, in this order;
            ``before`` ones came before it.
        inputs: Its operands.
        output: Its result.
        options: What it has besides the schema's defaults.
        activation: What is fused into it.
        squeeze: Whether it is a reshape that only drops or adds extents of 1.
        place: Where it comes in TensorFlow's order.
    """

    op: str
    name: str
    inputs: list[Operand]
    output: Value
    options: dict[str, Any] = field(default_factory=dict)
    activation: str = "NONE"
    squeeze: bool = False
    place: float = 0
    label: str = ""
    host: Node | None = None
    beside: Node | None = None
    requantized: Node | None = None
    folds: list[tuple[str, Const, bool]] = field(default_factory=list)
    names: int = 0
    bias_is_last: bool = False
    bias_from: Node | None = None
    over_last: bool = False
    is_dense: bool = False
    is_of_dense: bool = False
    has_moved: bool = False
    squeezed: bool = False
    is_behind_sum: bool = False
    copied_from: Node | None = None
    is_of_head: bool = False
    is_sixth: bool = False

    def __post_init__(self) -> None:
        self.names = len(self.name)

    def values(self) -> Iterable[Value]:
        """The operands that are computed."""
        return (each for each in self.inputs if isinstance(each, Value))


class Scopes:
    """TensorFlow's names of scopes: one that is taken gets a number.

    Keras opens a layer's scope twice, to build and to call it (``Layer.__call__``).
    """

    def __init__(self, root: str) -> None:
        self._used: dict[str, int] = {}
        self._models: dict[str, str] = {}
        self._root = self._opened("", root)

    def of(self, name: str) -> str:
        """The scope of a layer that is called now; ``/`` parts it from the models around it."""
        models, _, last = name.rpartition("/")
        return self._opened(f"{self._around(models)}/", last)

    def of_operation(self, name: str, operation: str) -> str:
        """The name of what is no layer, which TensorFlow calls by its ``operation``."""
        return self._unique(f"{self._around(name.rpartition('/')[0])}/{operation}")

    def _around(self, models: str) -> str:
        parent, path = self._root, ""
        for each in models.split("/") if models else ():
            path = f"{path}{each}/"
            known = self._models.get(path)
            if known is None:
                known = self._models[path] = self._opened(f"{parent}/", each)
            parent = known
        return parent

    def _opened(self, parent: str, name: str) -> str:
        self._unique(parent + name)
        return self._unique(parent + name)

    def _unique(self, name: str) -> str:
        """As ``Graph.unique_name`` (tensorflow/python/framework/ops.py)."""
        key = name.lower()
        number = self._used.get(key, 0)
        self._used[key] = number + 1
        if not number:
            return name
        while (taken := f"{key}_{number}") in self._used:
            number += 1
        self._used[taken] = 1
        return f"{name}_{number}"


def ordered(nodes: list[Node], inputs: Sequence[Value]) -> list[Node]:
    """``nodes`` in the order in which TensorFlow's importer brings them.

    It is the reverse of the order in which a depth-first search leaves them that begins at inputs
    and constants, the last by name first (tensorflow/core/graph/algorithm.cc,
    ``GetReversePostOrder`` with a comparator of names).
    """
    if _is_chain(nodes, inputs):
        return as_written(nodes, inputs)
    users: dict[int, list[Node]] = {}
    roots: list[tuple[str, list[Node]]] = []
    sharing: dict[int, list[Node]] = {}
    for node in nodes:
        has_constant = False
        for operand in node.inputs:
            if isinstance(operand, Value):
                users.setdefault(id(operand), []).append(node)
            else:
                has_constant = has_constant or operand is not None
        if node.beside is not None:
            sharing[id(node.beside)].append(node)
        elif has_constant or node.options.get("constant"):
            sharing[id(node)] = [node]
            roots.append((f"{node.name}/", sharing[id(node)]))
    for number, value in enumerate(inputs):
        roots.append((f"input_{number:03}", users.get(id(value), [])))
    left: list[Node] = []
    seen: set[int] = set()
    for _, starts in sorted(roots, key=lambda each: each[0], reverse=True):
        stack = [(each, False) for each in sorted(starts, key=_name)]
        while stack:
            node, done = stack.pop()
            if done:
                left.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                following = sorted(users.get(id(node.output), ()), key=_name)
                stack.extend((each, False) for each in following if id(each) not in seen)
    left.reverse()
    for place, node in enumerate(left):
        node.place = place
    for number, node in enumerate(nodes):
        if node.host is not None:
            node.place = node.host.place - 0.5 + number / (2 * len(nodes) + 1)
    return sorted(left, key=lambda each: each.place)


def as_written(nodes: list[Node], inputs: Sequence[Value]) -> list[Node]:
    """``nodes`` in the order in which they were added, whatever their ``inputs``."""
    del inputs
    for place, node in enumerate(nodes):
        node.place = place
    return list(nodes)


def _is_chain(nodes: list[Node], inputs: Sequence[Value]) -> bool:
    """Whether each node takes what the one before it computes, so that there is one order."""
    if len(inputs) != 1:
        return False
    before = inputs[0]
    for node in nodes:
        values = [each for each in node.inputs if isinstance(each, Value)]
        if len(values) != 1 or values[0] is not before or node.host is not None:
            return False
        before = node.output
    return True


def _name(node: Node) -> str:
    return node.name
