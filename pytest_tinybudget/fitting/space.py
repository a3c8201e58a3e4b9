"""A plan with free sizes: what may be chosen, and the layer list of each choice."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import islice
from itertools import product
from math import prod
from typing import Annotated
from typing import Any

import msgspec
from msgspec import Meta
from msgspec import Struct
from msgspec import field
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.base.suggest import nearest
from pytest_tinybudget.declaration.planned import layer_of
from pytest_tinybudget.declaration.planned import mistakes
from pytest_tinybudget.declaration.schema import LayerTable
from pytest_tinybudget.planning.network import ACTIVATIONS
from pytest_tinybudget.planning.network import LAYER_TYPES
from pytest_tinybudget.planning.network import NUMBERS
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.tuples import checked_tuples


#: The keys of a layer whose numbers may be free.
FREE_KEYS = (
    "filters", "units", "multiplier", "kernel", "stride", "dilation", "heads", "shape", "amount",
)  # fmt: skip
#: Words that a layer's key may be, for offers.
_WORDS = {"type": ("input", *LAYER_TYPES), "activation": ACTIVATIONS}

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


class FreeLayer:
    """A layer as in ``layers`` of a declaration, in which numbers may be free.

    ``spots`` are these: the place in words, where it lies in the table, and what may be there.
    """

    def __init__(self, given: Mapping[str, Any], place: str, label: str) -> None:
        self.given = dict(given)
        self.place, self.label = place, label
        self.repeat = _free(self.given.pop("repeat", 1), f"{label}: {place}.repeat")
        self.spots: list[tuple[str, tuple[str | int, ...], Range | str]] = []
        for key in FREE_KEYS:
            self._find(self.given.get(key), (key,), f"{place}.{key}")
        self._made: Remembered[tuple[int, ...], tuple[LayerTable, Layer | None]] = Remembered()

    def _find(self, value: Any, path: tuple[str | int, ...], place: str) -> None:
        if isinstance(value, list):
            for index, each in enumerate(value):
                self._find(each, (*path, index), f"{place}[{index}]")
        elif isinstance(value, dict | str):
            found = _free(value, f"{self.label}: {place}")
            assert not isinstance(found, int)
            self.spots.append((place, path, found))

    def made(self, number: Callable[[str, Free], int]) -> tuple[LayerTable, Layer | None]:
        """The layer with ``number`` of each free spot; the table alone where its place counts.

        Raises:
            TinybudgetError: a key or a value is wrong.
        """
        numbers = tuple([number(place, value) for place, _, value in self.spots])
        known = self._made.get(numbers)
        if known is not None:
            return known
        content = _copied(self.given)
        for (_, path, _), value in zip(self.spots, numbers, strict=True):
            holder = content
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = value
        table = _table(content, f"{self.label}: {self.place}")
        has_place = table.output or table.type == "input"
        return self._made.keep(numbers, (table, None if has_place else layer_of(table, 0)))


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _table(content: dict[str, Any], label: str) -> LayerTable:
    for key, words in _WORDS.items():
        word = content.get(key)
        if isinstance(word, str) and word not in words:
            raise _wrong(f"{label}: unknown {key} {word!r}", word, words)
    for key in content:
        if key not in LayerTable.__struct_fields__:
            raise _wrong(f"{label}: unknown key {key!r}", key, LayerTable.__struct_fields__)
    try:
        table = msgspec.convert(content, LayerTable)
    except msgspec.ValidationError as error:
        raise TinybudgetError(f"{label}: {error}", code="TB100") from None
    for _, text, example in mistakes(table):
        shown = f", such as {example}" if example else ""
        raise TinybudgetError(f"{label}: {text}{shown}", code="TB100")
    return table


def _wrong(text: str, found: str, valid: Sequence[str]) -> TinybudgetError:
    offers = " or ".join(map(repr, nearest(found, valid)))
    return TinybudgetError(f"{text}{f'; did you mean {offers}?' if offers else ''}", code="TB100")


def _free(value: Any, label: str) -> Free:
    try:
        found: Free = msgspec.convert(value, Free)
    except msgspec.ValidationError as error:
        raise TinybudgetError(f"{label}: {error}", code="TB100") from None
    return found


class Block:
    """Layers that stand ``repeat`` times in a row, one after another.

    Names of its layers count for each time anew; outside, they are those of the last time.
    """

    def __init__(self, given: Mapping[str, Any], place: str, label: str) -> None:
        layers = given["block"]
        for key in given:
            if key not in ("block", "repeat"):
                raise _wrong(f"{label}: {place}: unknown key {key!r}", key, ("block", "repeat"))
        if not isinstance(layers, list) or not layers or not all(map(_is_table, layers)):
            raise TinybudgetError(
                f"{label}: {place}.block: expected a list of layers", code="TB100"
            )
        self.repeat = _free(given.get("repeat", 1), f"{label}: {place}.repeat")
        self.layers = [
            FreeLayer(each, f"{place}.block[{index}]", label) for index, each in enumerate(layers)
        ]
        self.names = {str(each["name"]) for each in layers if "name" in each}


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan as it is written; layers and blocks are told apart by a key."""

    input_shape: Annotated[list[Free], Meta(min_length=1)]
    layers: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    free: dict[str, Range] = {}
    boards: list[str] = []
    budget: dict[str, str | int] = {}
    activations: Numbers = "int8"


class Plan(Struct, frozen=True):
    """A plan: the input's shape without batch, layers, what is free under a name of its own.

    ``boards`` and ``budget`` are what it is to fit, ``activations`` what flows between operators.
    """

    input_shape: list[Free]
    layers: list[FreeLayer | Block]
    free: dict[str, Range]
    boards: list[str]
    budget: dict[str, str | int]
    activations: Numbers


def plan_of(content: Mapping[str, Any], label: str) -> Plan:
    """The plan in ``content``, called ``label`` in messages.

    Raises:
        TinybudgetError: a key or a value is wrong; the message says where and what was expected.
    """
    content = _with_tables(content)
    for key in content:
        if key not in _Table.__struct_fields__:
            raise _wrong(f"{label}: unknown key {key!r}", key, _Table.__struct_fields__)
    numbers = content.get("activations", "int8")
    if numbers not in NUMBERS:
        raise _wrong(f"{label}: unknown activations {numbers!r}", str(numbers), NUMBERS)
    try:
        table = msgspec.convert(content, _Table)
    except msgspec.ValidationError as error:
        raise TinybudgetError(f"{label}: {error}", code="TB100") from None
    layers: list[FreeLayer | Block] = [
        Block(each, f"layers[{n}]", label) if "block" in each
        else FreeLayer(each, f"layers[{n}]", label)
        for n, each in enumerate(table.layers)
    ]  # fmt: skip
    plan = Plan(
        table.input_shape, layers, table.free, table.boards, table.budget, table.activations
    )
    _check(plan, label)
    return plan


def _with_tables(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """``content`` with layers that are tuples of numbers (``planning.tuples``) as tables.

    Raises:
        ModelError: a tuple is no layer, or takes other inputs than it is given.
    """
    layers, shape = content.get("layers"), content.get("input_shape")
    if not isinstance(layers, (list, tuple)) or not any(map(_is_numbers, layers)):
        return content
    whole = isinstance(shape, (list, tuple)) and all(isinstance(each, int) for each in shape)
    if shape is not None and not whole:
        raise TinybudgetError(
            "layers that are tuples take an input_shape of numbers; a layer with free ones is a "
            'table, such as { "type": "dense", "units": "width" }',
            code="TB100",
        )
    found_shape, found = checked_tuples(layers, shape)
    return {**content, "input_shape": list(found_shape), "layers": [*map(_table_of, found)]}


def _is_numbers(layer: object) -> bool:
    return isinstance(layer, (list, tuple))


def _table_of(layer: tuple[int, ...]) -> dict[str, Any]:
    if len(layer) == 2:
        return {"type": "dense", "units": layer[1]}
    kernel = list(layer[2:])
    return {"type": "conv2d", "filters": layer[1], "kernel": kernel, "padding": "same"}


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

    def first(_place: str, value: Free) -> int:
        found = plan.free[value] if isinstance(value, str) else value
        return found if isinstance(found, int) else found.start

    for layer in _layers(plan):
        layer.made(first)


def _layers(plan: Plan) -> Iterator[FreeLayer]:
    for each in plan.layers:
        if isinstance(each, FreeLayer):
            yield each
        else:
            yield from each.layers


def _places(plan: Plan) -> Iterator[tuple[str, Free]]:
    """Every number of the plan that may be free, by its place."""
    for axis, extent in enumerate(plan.input_shape):
        yield f"input_shape[{axis}]", extent
    for layer in _layers(plan):
        for place, _, value in layer.spots:
            yield place, value
        yield f"{layer.place}.repeat", layer.repeat
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

    def number(place: str, value: Free) -> int:
        if isinstance(value, str):
            return chosen[value]
        return value if isinstance(value, int) else chosen[place]

    layers: list[Layer] = []
    inputs: list[tuple[str, tuple[int, ...]]] = []
    outputs: list[str] = []

    def add(layer: FreeLayer, names: Mapping[str, str]) -> None:
        table, known = layer.made(number)
        for _ in range(number(f"{layer.place}.repeat", layer.repeat)):
            index = len(layers) + len(inputs)
            if table.type == "input":
                inputs.append((table.name or f"input_{index}", tuple(table.shape or (1,))))
                continue
            made = known or layer_of(table, index)
            if names:
                made = _renamed(made, names)
            layers.append(made)
            outputs.extend([made.name] if table.output else [])

    for index, each in enumerate(plan.layers):
        if isinstance(each, FreeLayer):
            add(each, {})
            continue
        times = number(f"layers[{index}].repeat", each.repeat)
        for time in range(1, times + 1):
            names = {} if time == times else {name: f"{name}_{time}" for name in each.names}
            for layer in each.layers:
                add(layer, names)
    shape = tuple(
        number(f"input_shape[{axis}]", each) for axis, each in enumerate(plan.input_shape)
    )
    return LayerList(
        shape,
        tuple(layers),
        numbers=plan.activations,
        outputs=tuple(outputs),
        more_inputs=tuple(inputs),
    )


def _renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    return replace(
        layer,
        name=names.get(layer.name, layer.name),
        inputs=tuple(names.get(each, each) for each in layer.inputs),
    )
