"""A plan with free sizes: what may be chosen, and the layer list of each choice."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from itertools import islice
from itertools import product
from math import prod
from typing import Annotated
from typing import Any
from typing import Literal

import msgspec
from msgspec import Meta
from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.planning.network import Activation
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList


#: The layers whose sizes may be free; a declaration's ``layers`` have more.
LayerType = Literal[
    "conv2d",
    "depthwise_conv2d",
    "dense",
    "max_pool2d",
    "average_pool2d",
    "global_average_pool2d",
    "flatten",
    "softmax",
]
Padding = Literal["valid", "same"]

#: The key that gives the number of a layer's outputs, where it has one.
_SIZES = {"conv2d": "filters", "dense": "units", "depthwise_conv2d": "multiplier"}
_WINDOWS = ("conv2d", "depthwise_conv2d", "max_pool2d", "average_pool2d")
_POOLS = ("max_pool2d", "average_pool2d")
_USUAL_KERNEL, _USUAL_POOL = 3, 2

#: The most values of one range: more is a mistake in its step.
_MOST_VALUES = 10_000

_Positive = Annotated[int, Meta(ge=1)]


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """Every ``step``-th number from ``start`` (the key ``from``) to ``to``, both included."""

    start: _Positive = field(name="from")
    to: _Positive = field(name="to")
    step: _Positive = 1

    @property
    def values(self) -> tuple[int, ...]:
        """The numbers, smallest first."""
        return tuple(range(self.start, self.to + 1, self.step))


#: A number, a range, or the name of one in ``free``.
Free = _Positive | Range | str


class FreeLayer(Struct, frozen=True, forbid_unknown_fields=True):
    """A layer as in ``layers`` of a declaration; ``repeat`` is how often it stands in a row."""

    type: LayerType
    filters: Free | None = None
    units: Free | None = None
    multiplier: Free | None = None
    kernel: Free | None = None
    stride: Free | None = None
    padding: Padding = "valid"
    activation: Activation = "none"
    repeat: Free | Annotated[int, Meta(ge=0)] = 1


class Block(Struct, frozen=True, forbid_unknown_fields=True):
    """Layers that stand ``repeat`` times in a row, one after another."""

    block: Annotated[list[FreeLayer], Meta(min_length=1)]
    repeat: Free = 1


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan as it is written; layers and blocks are told apart by a key."""

    input_shape: Annotated[list[Free], Meta(min_length=1)]
    layers: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    free: dict[str, Range] = {}
    boards: list[str] = []
    budget: dict[str, str | int] = {}


class Plan(Struct, frozen=True):
    """A plan: the input's shape without batch, layers, what is free under a name of its own.

    ``boards`` and ``budget`` are what it is to fit.
    """

    input_shape: list[Free]
    layers: list[FreeLayer | Block]
    free: dict[str, Range]
    boards: list[str]
    budget: dict[str, str | int]


def plan_of(content: Mapping[str, Any], label: str) -> Plan:
    """The plan in ``content``, called ``label`` in messages.

    Raises:
        TinybudgetError: a key or a value is wrong; the message says where and what was expected.
    """
    try:
        table = msgspec.convert(content, _Table)
    except msgspec.ValidationError as error:
        raise TinybudgetError(f"{label}: {error}", code="TB100") from None
    layers = [_layer_or_block(each, f"{label}: layers[{n}]") for n, each in enumerate(table.layers)]
    plan = Plan(table.input_shape, layers, table.free, table.boards, table.budget)
    _check(plan, label)
    return plan


def _layer_or_block(given: Mapping[str, Any], label: str) -> FreeLayer | Block:
    kind: type[FreeLayer] | type[Block] = Block if "block" in given else FreeLayer
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise TinybudgetError(f"{label}: {error}", code="TB100") from None


def _check(plan: Plan, label: str) -> None:
    for name, value in _places(plan):
        if isinstance(value, str) and value not in plan.free:
            known = ", ".join(sorted(plan.free)) or "nothing"
            raise TinybudgetError(
                f"{label}: {name}: {value!r} is not in [free], which has {known}", code="TB100"
            )
    for name, free in {**dict(_places(plan)), **plan.free}.items():
        if isinstance(free, Range) and not 0 < len(free.values) <= _MOST_VALUES:
            raise TinybudgetError(
                f"{label}: {name}: from {free.start} to {free.to} by {free.step} has "
                f"{len(free.values)} values, expected 1 to {_MOST_VALUES}",
                code="TB100",
            )
    for name, layer in _layers(plan):
        wanted = _SIZES.get(layer.type)
        if wanted in ("filters", "units") and getattr(layer, wanted) is None:
            text = f"a {layer.type} needs {wanted!r}, such as {wanted} = 8"
            raise TinybudgetError(f"{label}: {name}: {text}", code="TB100")
        wrong = [key for key in _SIZES.values() if key != wanted and getattr(layer, key)]
        if layer.type not in _WINDOWS:
            wrong += [key for key in ("kernel", "stride") if getattr(layer, key)]
        if wrong:
            text = f"a {layer.type} has no {wrong[0]!r}"
            raise TinybudgetError(f"{label}: {name}: {text}", code="TB100")


def _layers(plan: Plan) -> Iterator[tuple[str, FreeLayer]]:
    for index, each in enumerate(plan.layers):
        if isinstance(each, FreeLayer):
            yield f"layers[{index}]", each
        else:
            for inner, layer in enumerate(each.block):
                yield f"layers[{index}].block[{inner}]", layer


def _places(plan: Plan) -> Iterator[tuple[str, Any]]:
    """Every number of the plan that may be free, by its place."""
    for axis, extent in enumerate(plan.input_shape):
        yield f"input_shape[{axis}]", extent
    for name, layer in _layers(plan):
        for key in ("filters", "units", "multiplier", "kernel", "stride", "repeat"):
            if getattr(layer, key) is not None:
                yield f"{name}.{key}", getattr(layer, key)
    for index, each in enumerate(plan.layers):
        if isinstance(each, Block):
            yield f"layers[{index}].repeat", each.repeat


def ranges(plan: Plan) -> dict[str, tuple[int, ...]]:
    """What may be chosen: its values by name, or by place where it has no name of its own."""
    used = {value for _, value in _places(plan) if isinstance(value, str)}
    named = {name: free.values for name, free in plan.free.items() if name in used}
    places = {name: free.values for name, free in _places(plan) if isinstance(free, Range)}
    return {**named, **places}


def count(plan: Plan) -> int:
    """How many choices there are."""
    return prod(len(values) for values in ranges(plan).values())


def choices(plan: Plan, most: int) -> Iterator[dict[str, int]]:
    """All choices; of more than ``most`` so many of them, evenly spread, the same each time."""
    found, total = ranges(plan), count(plan)
    if total <= most:
        for values in product(*found.values()):
            yield dict(zip(found, values, strict=True))
        return
    for number in islice(range(total), most):
        yield _numbered(found, number * total // most)


def _numbered(found: Mapping[str, tuple[int, ...]], number: int) -> dict[str, int]:
    """The choice at a place in the order of ``product``."""
    chosen = {}
    for name, values in reversed(list(found.items())):
        number, place = divmod(number, len(values))
        chosen[name] = values[place]
    return {name: chosen[name] for name in found}


def chosen_layers(plan: Plan, chosen: Mapping[str, int]) -> LayerList:
    """The layer list of one choice."""
    layers: list[Layer] = []

    def number(place: str, value: Free) -> int:
        if isinstance(value, str):
            return chosen[value]
        return chosen[place] if isinstance(value, Range) else value

    def add(place: str, layer: FreeLayer) -> None:
        one = _layer(layer, lambda key: number(f"{place}.{key}", getattr(layer, key)))
        layers.extend([one] * number(f"{place}.repeat", layer.repeat))

    for index, each in enumerate(plan.layers):
        place = f"layers[{index}]"
        if isinstance(each, FreeLayer):
            add(place, each)
            continue
        for _ in range(number(f"{place}.repeat", each.repeat)):
            for inner, layer in enumerate(each.block):
                add(f"{place}.block[{inner}]", layer)
    shape = tuple(
        number(f"input_shape[{axis}]", each) for axis, each in enumerate(plan.input_shape)
    )
    return LayerList(shape, tuple(layers))


def _layer(layer: FreeLayer, number: Callable[[str], int]) -> Layer:
    wanted = _SIZES.get(layer.type)
    pools = layer.type in _POOLS
    usual = _USUAL_POOL if pools else _USUAL_KERNEL
    kernel = number("kernel") if layer.kernel is not None else usual
    stride = kernel if pools else 1
    return Layer(
        type=layer.type,
        size=number(wanted) if wanted and getattr(layer, wanted) is not None else 1,
        kernel=kernel,
        stride=number("stride") if layer.stride is not None else stride,
        padding=layer.padding,
        activation=layer.activation,
    )
