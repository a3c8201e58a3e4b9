"""A plan with free sizes: what may be chosen, and the layer list of each choice."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from itertools import product
from math import prod
from pathlib import Path
from typing import Annotated
from typing import Any

import msgspec
from msgspec import Meta
from msgspec import Struct
from msgspec import field
from msgspec import to_builtins
from msgspec.structs import replace

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.declaration.planned import Listed
from pytest_tinybudget.declaration.planned import layer_of
from pytest_tinybudget.declaration.planned import mistakes
from pytest_tinybudget.declaration.planned import with_lists
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.problems import abbreviated
from pytest_tinybudget.declaration.problems import dotted
from pytest_tinybudget.declaration.problems import toml_value
from pytest_tinybudget.declaration.schema.layers import Count
from pytest_tinybudget.declaration.schema.layers import LayerTable
from pytest_tinybudget.declaration.schema.limits import BudgetTable
from pytest_tinybudget.declaration.schema.names import Text
from pytest_tinybudget.declaration.validate import checked
from pytest_tinybudget.fitting.result import FIGURES
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.tuples import checked_tuples


#: The keys of a layer whose numbers may be free.
FREE_KEYS = (
    "filters", "units", "multiplier", "kernel", "stride", "dilation", "heads", "shape", "amount",
)  # fmt: skip
#: The golden section as a share of a whole turn.
_TURN = 2**64
_GOLDEN = 0x9E3779B97F4A7C15

#: The most values of one range: more is a mistake in its step.
_MOST_VALUES = 10_000
#: The most layers of one candidate: more is a mistake in ``repeat``.
_MOST_LAYERS = 10_000
#: Columns of the CSV file, which no range may be called.
_COLUMNS = frozenset({"board", *FIGURES, "names", "fits", "on_front", "tightest", "peak_layer"})

_FREE = "a whole number from 1 to 65536, a range such as { from = 8, to = 64 } or one of [free]"
_RANGE_EXAMPLE = {"from": 8, "to": 64, "step": 8}
_From0 = Annotated[int, Meta(ge=0, le=65536, extra={"expected": "a whole number from 0 to 65536"})]


class Range(Struct, frozen=True, forbid_unknown_fields=True):
    """Every ``step``-th number from ``start`` (the key ``from``) to ``to``, both included."""

    start: Annotated[_From0, Meta(description="the least", examples=[8])] = field(name="from")
    to: Annotated[_From0, Meta(description="the most", examples=[64])]
    step: Annotated[Count, Meta(description="between two of them", examples=[8])] = 1

    @property
    def values(self) -> tuple[int, ...]:
        """The numbers, smallest first."""
        return tuple(range(self.start, self.to + 1, self.step))


#: A number, a range, or the name of one in ``free``.
Free = int | Range | str
_Extent = Annotated[Count | Range | Text, Meta(extra={"expected": _FREE})]


class FreeLayer:
    """A layer as in ``layers`` of a declaration, in which numbers may be free.

    ``spots`` are these: the place in words, where it lies in the table, and what may be there.
    """

    def __init__(self, given: Mapping[str, Any], place: str, repeat: Free) -> None:
        self.given = dict(given)
        self.place, self.repeat = place, repeat
        self.spots: list[tuple[str, tuple[str | int, ...], Range | str]] = []
        self._made: Remembered[tuple[int, ...], tuple[LayerTable, Layer | None]] = Remembered()

    def with_numbers(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The layer's table with ``numbers`` in its free spots."""
        content: dict[str, Any] = with_lists(self.given)
        for (_, path, _), value in zip(self.spots, numbers, strict=True):
            holder: Any = content
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = value
        return content

    def made(self, number: Callable[[str, Free], int]) -> tuple[LayerTable, Layer | None]:
        """The layer with ``number`` of each free spot; the table alone of an input."""
        numbers = tuple([number(place, value) for place, _, value in self.spots])
        known = self._made.get(numbers)
        if known is not None:
            return known
        table = msgspec.convert(self.with_numbers(numbers), LayerTable)
        made = None if table.type == "input" else layer_of(table)
        return self._made.keep(numbers, (table, made))


class Block:
    """Layers that stand ``repeat`` times in a row, one after another.

    Names of its layers count for each time anew; outside, they are those of the last time.
    """

    def __init__(self, layers: list[FreeLayer], repeat: Free) -> None:
        self.repeat, self.layers = repeat, layers
        self.names = {str(each.given["name"]) for each in layers if "name" in each.given}


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A plan as it is written; layers and blocks are told apart by a key."""

    input_shape: Annotated[
        list[_Extent],
        Meta(min_length=1, max_length=3, description="without batch", examples=[[16, 16, 1]]),
    ]
    layers: Annotated[
        list[dict[str, Any]],
        Meta(min_length=1, description="or blocks", examples=[[{"type": "dense", "units": 4}]]),
    ]
    free: Annotated[
        dict[str, Annotated[Range, Meta(examples=[_RANGE_EXAMPLE])]],
        Meta(description="ranges by name", examples=[{"width": _RANGE_EXAMPLE}]),
    ] = {}
    boards: Annotated[list[Text], Meta(description="ids", examples=[["esp32"]])] = []
    budget: Annotated[BudgetTable | None, Meta(examples=[{"ram": "64 KB"}])] = None
    activations: Annotated[Numbers, Meta(examples=["int8"])] = "int8"


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


def plan_of(
    content: Mapping[str, Any], label: str, lines: Mapping[KeyPath, int] | None = None
) -> Plan:
    """The plan in ``content``, called ``label`` in messages; ``lines`` of its keys in a file.

    Raises:
        TinybudgetError: keys or values are wrong; the message says where and what was expected.
    """
    problems = Problems(Path(label), lines)
    content = {key: with_lists(value) for key, value in _with_tables(content).items()}
    table = checked(_Table, content, (), problems)
    given = content.get("layers")
    layers = given if isinstance(given, list) else []
    names = content.get("free")
    reader = _Reader(problems, names if isinstance(names, dict) else {})
    read = [
        reader.layer_or_block(each, f"layers[{index}]", ("layers", str(index)))
        for index, each in enumerate(layers)
        if isinstance(each, dict)
    ]
    if table is None:
        problems.raise_if_any()
        raise AssertionError("what is wrong was noted")
    budget = {} if table.budget is None else to_builtins(table.budget)
    plan = Plan(
        list(table.input_shape),
        read,
        table.free,
        list(table.boards),
        {name: limit for name, limit in budget.items() if limit is not None},
        table.activations,
    )
    reader.check(plan)
    problems.raise_if_any()
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


class _Reader:
    """Reads the layers of a plan, and notes what is wrong with them and with its ranges.

    ``free`` is the table of named ranges as it was given.
    """

    def __init__(self, problems: Problems, free: Mapping[str, Any]) -> None:
        self.problems = problems
        self.free = free
        self.ranges: dict[str, Range] = {}
        for name, given in free.items():
            found = None
            if isinstance(given, dict):  # what is no table was noted with the whole
                found = self._range(given, ("free", name), noted=True)
            if found is not None:
                self.ranges[name] = found

    def layer_or_block(self, given: dict[str, Any], place: str, keys: KeyPath) -> FreeLayer | Block:
        """What stands at ``place``, a layer or a block of them."""
        if "block" not in given:
            return self._layer(given, place, keys)
        for key in given:
            if key not in ("block", "repeat"):
                text = f"unknown key {key!r} of a block"
                self.problems.add((*keys, key), text, name=key, valid=("block", "repeat"))
        layers, here = given["block"], (*keys, "block")
        if not isinstance(layers, list) or not layers:
            text = f"expected a list of layers, found {abbreviated(layers)}"
            self.problems.add(here, text, example='block = [{ type = "conv2d", filters = 8 }]')
            layers = []
        read = []
        for index, each in enumerate(layers):
            at = (*here, str(index))
            if not isinstance(each, dict):
                self.problems.add(at, f"expected a layer, found {abbreviated(each)}")
            elif "block" in each:
                self.problems.add(at, "a block in a block: write its layers into the outer one")
            else:
                read.append(self._layer(each, f"{place}.block[{index}]", at))
        return Block(read, self._repeat(given, keys))

    def _layer(self, given: dict[str, Any], place: str, keys: KeyPath) -> FreeLayer:
        own = {key: value for key, value in given.items() if key != "repeat"}
        layer = FreeLayer(own, place, self._repeat(given, keys))
        count = len(self.problems.found)
        for key in FREE_KEYS:
            self._find(layer, own.get(key), (key,), (*keys, key))
        if len(self.problems.found) > count:
            return layer
        # What a key may be is a range, so all between two values fit that fit themselves.
        for end in (0, -1) if layer.spots else (0,):
            numbers = [self._end(value, end) for _, _, value in layer.spots]
            table = checked(LayerTable, layer.with_numbers(numbers), keys, self.problems)
            for key, text, example in mistakes(table) if table is not None else ():
                self.problems.add((*keys, key) if key else keys, text, example=example)
            if len(self.problems.found) > count:
                break
        return layer

    def _find(
        self, layer: FreeLayer, value: Any, path: tuple[str | int, ...], keys: KeyPath
    ) -> None:
        if isinstance(value, list):
            for index, each in enumerate(value):
                self._find(layer, each, (*path, index), (*keys, str(index)))
        elif isinstance(value, dict | str):
            found = self._free(value, keys)
            if found is not None:
                layer.spots.append((dotted(keys), path, found))

    def _repeat(self, given: Mapping[str, Any], keys: KeyPath) -> Free:
        value, keys = given.get("repeat", 1), (*keys, "repeat")
        if isinstance(value, dict | str):
            return self._free(value, keys) or 1
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        text = "a whole number from 0, a range such as { from = 1, to = 4 }, or a name in [free]"
        self.problems.add(
            keys, f"expected {text}, found {abbreviated(value)}", example="repeat = 2"
        )
        return 1

    def _free(self, value: Any, keys: KeyPath) -> Range | str | None:
        """A range or the name of one; ``None`` where it is neither."""
        if isinstance(value, dict):
            return self._range(value, keys)
        if value in self.free:
            return str(value)
        example = "" if keys[-1].isdigit() else f"{keys[-1]} = {toml_value(_RANGE_EXAMPLE)}"
        text = f"{value!r} is no range in [free]"
        self.problems.add(keys, text, name=value, valid=tuple(self.free), example=example)
        return None

    def _range(self, given: dict[str, Any], keys: KeyPath, *, noted: bool = False) -> Range | None:
        """A range; ``noted``: what is wrong with its keys is known already."""
        problems = Problems(self.problems.path, self.problems.lines) if noted else self.problems
        found = checked(Range, given, keys, problems)
        if found is not None:
            self._check_values(found, keys)
        return found

    def _check_values(self, found: Range, keys: KeyPath) -> None:
        many = len(range(found.start, found.to + 1, found.step))
        if found.start > found.to:
            self.problems.add(keys, f"from {found.start} is above to {found.to}")
        elif many > _MOST_VALUES:
            text = f"from {found.start} to {found.to} by {found.step} are {many:,} values"
            self.problems.add(keys, f"{text}, at most {_MOST_VALUES:,} are possible: a larger step")

    def _end(self, value: Range | str, end: int) -> int:
        """The least (0) or the most (-1) of a range; of a wrong one 1."""
        found = self.ranges.get(value) if isinstance(value, str) else value
        return found.values[end] if found is not None and found.values else 1

    def check(self, plan: Plan) -> None:
        """Note what is wrong with the plan as a whole."""
        for index, extent in enumerate(plan.input_shape):
            keys = ("input_shape", str(index))
            if isinstance(extent, str) and extent not in self.free:
                self._free(extent, keys)
            elif isinstance(extent, Range | str) and self._end(extent, 0) < 1:
                self.problems.add(keys, "expected numbers above 0, found a range from 0")
            elif isinstance(extent, Range):
                self._check_values(extent, keys)
        places = {place for place, value in _places(plan) if isinstance(value, Range)}
        for name in plan.free:
            if name in _COLUMNS or name in places:
                text = "the reports have a column of this name: call the range something else"
                self.problems.add(("free", name), text)
        most = sum(
            self._most(each.repeat) * sum(self._most(one.repeat) for one in each.layers)
            if isinstance(each, Block)
            else self._most(each.repeat)
            for each in plan.layers
        )
        if most > _MOST_LAYERS:
            text = (
                f"are up to {most:,} with what is repeated, at most {_MOST_LAYERS:,} are possible"
            )
            self.problems.add(("layers",), text)

    def _most(self, value: Free) -> int:
        return value if isinstance(value, int) else self._end(value, -1)


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
    for number in _evenly(total, most):
        yield _numbered(found, number)


def _evenly(total: int, most: int) -> Iterator[int]:
    """``most`` of ``total`` numbers, evenly spread, the first and the last among them.

    Where in its share of the numbers each lies is turned by the golden section from one to the
    next: at even distances, ranges whose sizes divide the distance would not change at all.
    """
    yield 0
    for number in range(1, most - 1):
        start, end = number * total // most, (number + 1) * total // most
        yield start + (number * _GOLDEN % _TURN) * (end - start) // _TURN
    if most > 1:
        yield total - 1


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

    listed = Listed()

    def add(layer: FreeLayer, names: Mapping[str, str]) -> None:
        table, made = layer.made(number)
        for _ in range(number(f"{layer.place}.repeat", layer.repeat)):
            if made is None:
                listed.add_input(names.get(table.name or "", table.name or ""), table)
                continue
            listed.add(_renamed(made, names) if names else made, is_output=table.output)

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
    return listed.whole(shape, plan.activations)


def _renamed(layer: Layer, names: Mapping[str, str]) -> Layer:
    return replace(
        layer,
        name=names.get(layer.name, layer.name),
        inputs=tuple(names.get(each, each) for each in layer.inputs),
    )
