"""Plans that differ in sizes alone: the first is lowered, the others take over what it became.

A search asks for the same layers with other numbers of filters and units. The second time, they are
lowered with symbols for these (``symbols.py``). Where all answers that decided something then are
the same for other sizes, the operators are, and of the tensors only shapes, contents and scales
are made anew.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Hashable
from collections.abc import Sequence
from itertools import combinations
from itertools import count
from operator import itemgetter
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.base.errors import ModelError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.base.remembered import number_of
from pytest_tinybudget.graph.kinds import ALIKE
from pytest_tinybudget.graph.kinds import KINDS
from pytest_tinybudget.graph.kinds import Kinds
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Subgraph
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.planning.emit import Role
from pytest_tinybudget.planning.emit import packed
from pytest_tinybudget.planning.emit import zeros
from pytest_tinybudget.planning.kinds import operator_kind
from pytest_tinybudget.planning.kinds import tensor_kind
from pytest_tinybudget.planning.lowering import Lowering
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Network
from pytest_tinybudget.planning.nodes import Const
from pytest_tinybudget.planning.nodes import Node
from pytest_tinybudget.planning.nodes import Value
from pytest_tinybudget.planning.plan import PlannedModel
from pytest_tinybudget.planning.plan import emitted
from pytest_tinybudget.planning.plan import lowered
from pytest_tinybudget.planning.plan import planned_model
from pytest_tinybudget.planning.plan import with_graph
from pytest_tinybudget.planning.symbols import Steps
from pytest_tinybudget.planning.symbols import Symbol
from pytest_tinybudget.planning.symbols import Trace
from pytest_tinybudget.planning.symbols import UntracedError
from pytest_tinybudget.planning.symbols import plain


#: Their size is a number of channels that they compute, and nothing else.
_SIZED = frozenset(
    {
        "conv2d", "conv1d", "conv2d_transpose", "conv1d_transpose", "separable_conv2d",
        "separable_conv1d", "dense",
    }
)  # fmt: skip
#: Of the same layers so many plans are kept that took another way for their sizes.
_MOST_WAYS = 8
#: So many plans without their sizes are known at once; one of a dozen layers takes 60 KB.
_MOST_OUTLINES = 128


def sized_model(planned: Network | LayerList, name: str, *, named: bool = False) -> Model:
    """The model of ``planned_model``, made from a plan that differed in sizes alone, if it can.

    Raises:
        NotPlannedError: how the converter makes a layer is not known.
        ModelError: a layer does not fit the shape that it is given.
    """
    network = planned.network if isinstance(planned, LayerList) else planned
    key, sizes = _split(network)
    ways = _known.get(key)
    if ways is None:
        _known.keep(key, [])
        return planned_model(network, name, named=named)
    for way in ways:
        values = way.steps.values(sizes)
        if values is not None:
            return way.model(values, name, named=named)
    model = planned_model(network, name, named=named)
    if len(ways) < _MOST_WAYS:
        found = _outline(network, sizes)
        if found is not None and found.makes(model, sizes):
            ways.append(found)
    return model


def _split(network: Network) -> tuple[Hashable, list[int]]:
    """What of a network does not change with its sizes, and these."""
    numbers: list[int] = []
    sizes: list[int] = []
    for layer in network.layers:
        number, size = _layers.get(layer) or _layers.keep(layer, _layer(layer))
        numbers.append(number)
        sizes += size
    return (replace(network, layers=()), *numbers), sizes


def _layer(layer: Layer) -> tuple[int, tuple[int, ...]]:
    """A number for the layer but for its size, and this."""
    if layer.type not in _SIZED or layer.size < 1:
        return number_of(layer), ()
    return number_of(("sized", replace(layer, size=0))), (layer.size,)


_layers: Remembered[Layer, tuple[int, tuple[int, ...]]] = Remembered()


def _outline(network: Network, sizes: Sequence[int]) -> _Outline | None:
    """What a plan has in common with those of other sizes; ``None`` where that is not known."""
    trace = Trace(sizes)
    symbols = iter(trace.sizes)
    layers = tuple(
        replace(each, size=next(symbols)) if _layer(each)[1] else each for each in network.layers
    )
    try:
        low, nodes = lowered(replace(network, layers=layers), "plan")
        return _traced(low, nodes, trace)
    except (UntracedError, ModelError):
        return None


def _traced(low: Lowering, nodes: list[Node], trace: Trace) -> _Outline:
    if any(_is_symbolic(each) for node in nodes for each in node.options.values()):
        raise UntracedError
    operands = [each for node in nodes for each in (*node.inputs, node.output) if each is not None]
    found = {id(each): each for each in (*low.inputs, *operands)}
    _ask_for_emitter(list(found.values()))
    extents = [each for one in found.values() for each in (one.shape, _content(one))]
    steps, numbered = trace.finished(extents)
    symbolic = [any(isinstance(each, Symbol) for each in one) for one in extents]
    places = [_places(at, symbolic=each) for at, each in zip(numbered, symbolic, strict=True)]
    shapes = dict(zip(found, places[::2], strict=True))
    contents = dict(zip(found, places[1::2], strict=True))
    for each in found.values():
        each.shape = tuple(map(plain, each.shape))
        if isinstance(each, Const):
            each.values = tuple(map(plain, each.values))
    emitter = emitted(low, nodes)
    model = with_graph("plan", emitter.subgraph(low.outputs, "plan"), nodes, named=True)
    kinds = kinds_of(model)
    if kinds is None:
        raise UntracedError
    owners = {index: key for key, index in emitter.indices.items()}
    for key in found:
        if shapes[key] is not None and emitter.indices.get(key, -1) < 0:
            raise UntracedError  # its tensor is made in another way
    slots = [
        _Slot(
            tensor=tensor,
            shape=shapes.get(owners.get(tensor.index, 0)),
            content=contents.get(owners.get(tensor.index, 0)),
            role=emitter.roles.get(tensor.index),
        )
        for tensor in model.main.tensors
    ]
    return _Outline(steps, slots, model.main, kinds.order, model.derived["names"])


def _is_symbolic(option: object) -> bool:
    return isinstance(option, Symbol) or (
        isinstance(option, tuple) and any(map(_is_symbolic, option))
    )


def _content(operand: Value | Const) -> tuple[int, ...]:
    """What a constant of integers holds."""
    return operand.values if isinstance(operand, Const) and operand.kind == "ints" else ()


def _ask_for_emitter(operands: Sequence[Value | Const]) -> None:
    """What the emitter goes by: whether extents are above 0, and which integers are one tensor."""
    for each in operands:
        if any(extent < 1 for extent in each.shape if isinstance(extent, Symbol)):
            raise UntracedError
    integers = [each for each in operands if isinstance(each, Const) and each.kind == "ints"]
    for one, other in combinations(integers, 2):
        bool(one.shape == other.shape and one.values == other.values)


#: Gives the sizes at some places among the values of a plan.
_Pick = Callable[[Sequence[int]], tuple[int, ...]]


def _places(at: Sequence[int], *, symbolic: bool) -> _Pick | None:
    if not symbolic:
        return None
    if len(at) == 1:
        (only,) = at
        return lambda values: (values[only],)
    return itemgetter(*at)


class _Made(Struct, frozen=True, gc=False):
    """A tensor, its kind, and what its buffer holds, by which constants share one."""

    tensor: Tensor
    kind: int
    held: Hashable


class _Slot:
    """A tensor of an outline, in the sizes of one plan, and what changes with other sizes.

    ``shape`` and ``content`` pick these from a plan's values; ``None`` where they stay.
    """

    __slots__ = ("always", "content", "number", "role", "shape", "shares", "tensor")

    def __init__(
        self, tensor: Tensor, shape: _Pick | None, content: _Pick | None, role: Role | None
    ) -> None:
        self.tensor, self.role = tensor, role
        self.shape, self.content = shape, content
        self.shares = role is not None and role.shares
        self.number = next(_numbers)
        #: Where no size changes it.
        self.always = self.made(()) if shape is content is None else None

    def made(self, values: Sequence[int]) -> _Made:
        """The tensor for other values, with a buffer of its own."""
        tensor, role = self.tensor, self.role
        shape = tensor.shape if self.shape is None else self.shape(values)
        held: Hashable = None
        if role is None:
            tensor = replace(tensor, shape=shape)
        elif role.constant.kind == "ints":
            held = role.constant.values if self.content is None else self.content(values)
            tensor = replace(tensor, data=packed(held), buffer=role.buffer)
        else:
            tensor = replace(tensor, shape=shape, buffer=role.buffer)
            quantization = tensor.quantization
            if role.channels >= 0 and quantization.scales:
                count = shape[role.channels]
                quantization = replace(
                    quantization,
                    scales=quantization.scales[:1] * count,
                    zero_points=quantization.zero_points[:1] * count,
                )
            data = zeros(tensor.bytes)
            tensor = replace(tensor, quantization=quantization, data=data)
            held = role.constant.values, len(data)
        return _Made(tensor, tensor_kind(tensor), held)


_numbers = count()
#: Tensors by slot and the sizes that decide them.
_made: Remembered[Hashable, _Made] = Remembered()
_sharing: Remembered[Hashable, Tensor] = Remembered()


class _Outline:
    """What plans of some layers have in common where they take the same way."""

    def __init__(
        self, steps: Steps, slots: Sequence[_Slot], graph: Subgraph, order: int, names: int
    ) -> None:
        self.steps, self.slots = steps, slots
        self.graph, self.order, self.names = graph, order, names
        self.alike: dict[bool, dict[object, Any]] = {False: {}, True: {}}
        self.operators = [
            (next(_numbers), itemgetter(*_used(each)), each) for each in graph.operators
        ]

    def model(self, values: Sequence[int], name: str, *, named: bool) -> PlannedModel:
        """The model of a plan with these values."""
        tensors, kinds = self._tensors(values)
        graph = self.graph
        found = []
        for number, pick, operator in self.operators:
            key = (number, pick(kinds))
            kind = _operators.get(key)
            if kind is None:
                kind = _operators.keep(key, operator_kind(operator, kinds))
            found.append(kind)
        main = Subgraph(0, graph.name, tensors, graph.operators, graph.inputs, graph.outputs)
        model = PlannedModel(name, b"", 3, "", (main,))
        derived = model.derived
        derived["named"], derived["names"] = named, self.names
        derived[KINDS] = Kinds(tuple(found), kinds, self.order)
        derived[ALIKE] = self.alike[named]
        return model

    def _tensors(self, values: Sequence[int]) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        tensors, kinds = [], []
        buffers: dict[Hashable, int] = {}
        for slot in self.slots:
            made = slot.always
            key: Hashable = slot.number
            if made is None:
                shape, content = slot.shape, slot.content
                key = (slot.number, shape and shape(values), content and content(values))
                known = _made.get(key)
                made = _made.keep(key, slot.made(values)) if known is None else known
            tensor = made.tensor
            if slot.shares:
                buffer = buffers.setdefault(made.held, tensor.buffer)
                if buffer != tensor.buffer:
                    tensor = _with_buffer(tensor, key, buffer)
            tensors.append(tensor)
            kinds.append(made.kind)
        return tuple(tensors), tuple(kinds)

    def makes(self, model: Model, sizes: Sequence[int]) -> bool:
        """Whether it makes this very model of these sizes."""
        values = self.steps.values(sizes)
        if values is None:
            return False
        made = self.model(values, model.name, named=bool(model.derived["named"]))
        return made.subgraphs == model.subgraphs and self.names == model.derived["names"]


_operators: Remembered[Hashable, int] = Remembered()


def _used(operator: Operator) -> tuple[int, ...]:
    """The tensors of an operator."""
    every = (*operator.inputs, *operator.outputs, *operator.intermediates)
    return tuple([each for each in every if each >= 0])


def _with_buffer(tensor: Tensor, key: Hashable, buffer: int) -> Tensor:
    known = _sharing.get((key, buffer))
    if known is None:
        known = _sharing.keep((key, buffer), replace(tensor, buffer=buffer))
    return known


#: Of each plan without its sizes, what the plans so far have become.
_known: Remembered[Hashable, list[_Outline]] = Remembered(_MOST_OUTLINES)
