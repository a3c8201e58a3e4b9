"""``layers = […]``: a model that is planned, with what each layer needs."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.problems import Problems
from pytest_tinybudget.declaration.schema.document import ModelTable
from pytest_tinybudget.declaration.schema.layers import LayerTable
from pytest_tinybudget.declaration.validate import checked
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList
from pytest_tinybudget.planning.network import Numbers
from pytest_tinybudget.planning.network import by_place


_WINDOW = frozenset({"kernel", "stride", "dilation"})
_TRANSPOSED = frozenset({"filters", "kernel", "stride"})
_POOL = frozenset({"kernel", "stride"})
_CONVOLUTION = _WINDOW | {"filters"}
#: By type, the keys that it has besides those of every layer.
_KEYS: dict[str, frozenset[str]] = {
    "conv2d": _CONVOLUTION,
    "conv1d": _CONVOLUTION,
    "depthwise_conv2d": _WINDOW | {"multiplier"},
    "depthwise_conv1d": _WINDOW | {"multiplier"},
    "separable_conv2d": _CONVOLUTION | {"multiplier"},
    "separable_conv1d": _CONVOLUTION | {"multiplier"},
    "conv2d_transpose": _TRANSPOSED,
    "conv1d_transpose": _TRANSPOSED,
    "dense": frozenset({"units"}),
    "lstm": frozenset({"units", "bidirectional"}),
    "multi_head_attention": frozenset({"units", "heads"}),
    "max_pool2d": _POOL,
    "average_pool2d": _POOL,
    "max_pool1d": _POOL,
    "average_pool1d": _POOL,
    "concatenate": frozenset({"axis"}),
    "input": frozenset({"shape"}),
    "reshape": frozenset({"shape"}),
    "permute": frozenset({"shape"}),
    "zero_padding2d": frozenset({"amount"}),
    "zero_padding1d": frozenset({"amount"}),
    "cropping2d": frozenset({"amount"}),
    "cropping1d": frozenset({"amount"}),
    "upsampling2d": frozenset({"amount"}),
    "upsampling1d": frozenset({"amount"}),
}
_TYPED = (
    "filters", "units", "multiplier", "kernel", "stride", "dilation", "axis", "shape", "amount",
    "heads", "bidirectional",
)  # fmt: skip
_CONVOLUTIONS = frozenset(
    key for key, keys in _KEYS.items() if keys >= {"kernel", "stride"} and keys != _POOL
)
_GLOBAL = frozenset(
    {f"global_{kind}_pool{rank}d" for kind in ("average", "max") for rank in (1, 2)}
)
#: Keys that every layer may state as they are without them, and the types that may change them.
_SWITCHES = {
    "padding": frozenset(key for key, keys in _KEYS.items() if keys >= _POOL),
    "bias": _CONVOLUTIONS | {"dense", "multi_head_attention"},
    "interpolation": frozenset({"upsampling2d"}),
    "keep_dims": _GLOBAL,
    "sequences": frozenset({"lstm"}),
    "backwards": frozenset({"lstm"}),
}
_USUAL = {each.name: each.default for each in msgspec.structs.fields(LayerTable)}
_NOT_OF_INPUTS = ("activation", "inputs", "output")
_CAUSAL = ("conv1d", "separable_conv1d")
_UPSAMPLINGS = ("upsampling2d", "upsampling1d")
#: Keys that a type cannot do without, with an example.
_NEEDED = {"filters": "8", "units": "8", "shape": "[4, 8]"}
#: The key that gives the number of a layer's outputs, where it has one.
_SIZES = ("filters", "units", "multiplier")
_USUAL_KERNEL, _USUAL_POOL = 3, 2


def layer_list(context: Context, table: ModelTable, keys: KeyPath) -> LayerList | None:
    """The planned model of a section; ``None`` where it has a source or is wrong."""
    problems = context.problems
    if table.layers is None:
        if table.input_shape is not None:
            text = "is for a model with 'layers'; a file has 'input_shapes', batch included"
            example = "input_shapes = { image = [1, 96, 96, 3] }"
            problems.add((*keys, "input_shape"), text, example=example)
        return None
    if table.input_shapes is not None:
        text = "is for a file: 'layers' have 'input_shape', without batch"
        problems.add((*keys, "input_shapes"), text, example="input_shape = [16, 16, 1]")
    if table.source is not None:
        problems.add((*keys, "layers"), "a model has 'source' or 'layers', not both")
    if table.input_shape is None:
        if not problems.concerns(*keys, "input_shape"):
            text = "'input_shape' is missing: the input of 'layers', without batch"
            problems.add(keys, text, example="input_shape = [16, 16, 1]")
        return None
    return _listed(table.layers, table.input_shape, keys, problems)


def layers_of(given: Sequence[object], input_shape: Sequence[int] | None) -> LayerList:
    """The network of layers that Python code gives as tables, as in a declaration.

    Raises:
        DeclarationError: a table is no layer, or there is no shape of the input.
    """
    problems = Problems(Path("model"), None)
    if input_shape is None:
        problems.add((), "layers take an input_shape", example="input_shape = [16, 16, 1]")
    content = {"layers": with_lists(given), "input_shape": list(input_shape or [1])}
    table = checked(ModelTable, content, (), problems)
    found = None
    if table is not None and table.layers is not None and table.input_shape is not None:
        found = _listed(table.layers, table.input_shape, (), problems)
    problems.raise_if_any()
    assert found is not None  # else a problem was noted
    return found


def with_lists(value: Any) -> Any:
    """A copy of ``value``, with lists where Python code gave other sequences."""
    if isinstance(value, Mapping):
        return {key: with_lists(each) for key, each in value.items()}
    return [with_lists(each) for each in value] if isinstance(value, (list, tuple)) else value


def _listed(
    tables: Sequence[LayerTable], input_shape: Sequence[int], keys: KeyPath, problems: Problems
) -> LayerList:
    listed = Listed()
    for index, layer in enumerate(tables):
        place = (*keys, "layers", str(index))
        for key, text, example in mistakes(layer):
            problems.add((*place, key) if key else place, text, example=example)
        if layer.type == "input":
            listed.add_input(layer.name or "", layer)
        else:
            listed.add(layer_of(layer), is_output=layer.output)
    return listed.whole(tuple(input_shape))


class Listed:
    """The layers and inputs of a plan in their order, as they are read."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.outputs: list[str] = []
        self._places: list[int] = []
        #: The name of the input right before, which a layer takes that names none.
        self._input = ""

    @property
    def count(self) -> int:
        """How many there are, which is the place of the next one."""
        return len(self.layers) + len(self.inputs)

    def add_input(self, name: str, table: LayerTable) -> None:
        """Add a further input, called by its place where it has no name."""
        self._input = name or f"input_{self.count}"
        self._places.append(self.count)
        self.inputs.append((self._input, tuple(table.shape or (1,))))

    def add(self, layer: Layer, *, is_output: bool) -> None:
        """Add a layer."""
        if self._input and not layer.inputs:
            layer = replace(layer, inputs=(self._input,))
        self._input = ""
        if is_output:
            # One without a name keeps that which Keras would give it, which decides its place.
            self.outputs.append(layer.name or by_place(layer, self.count))
        self.layers.append(layer)

    def whole(self, input_shape: tuple[int, ...], numbers: Numbers = "int8") -> LayerList:
        """All of them, with the shape of the first input."""
        return LayerList(
            input_shape,
            tuple(self.layers),
            numbers=numbers,
            outputs=tuple(self.outputs),
            more_inputs=tuple(self.inputs),
            input_places=tuple(self._places),
        )


def mistakes(table: LayerTable) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a layer's keys: which key, or none, in words, and an example or none."""
    allowed = _KEYS.get(table.type, frozenset())
    for key in _TYPED:
        if key not in allowed and getattr(table, key) is not None:
            yield key, f"{_a(table.type)} has no {key!r}", ""
    for key, types in _SWITCHES.items():
        if table.type not in types and getattr(table, key) != _USUAL[key]:
            yield key, f"{_a(table.type)} has no {key!r}", ""
    for key in _NOT_OF_INPUTS if table.type == "input" else ():
        if getattr(table, key) != _USUAL[key]:
            yield key, f"an input has no {key!r}", ""
    if table.bidirectional and table.backwards:
        yield "backwards", "a bidirectional lstm reads its steps in both directions", ""
    for key, example in _NEEDED.items():
        if key in allowed and getattr(table, key) is None:
            shown = f'{{ type = "{table.type}", {key} = {example} }}'
            yield "", f"{_a(table.type)} needs {key!r}", shown
    if table.padding == "causal" and table.type not in _CAUSAL:
        yield "padding", f"only {' and '.join(_CAUSAL)} can be causal", 'padding = "same"'
    if table.alpha is not None and table.activation != "leaky_relu":
        yield "alpha", "is the slope of a leaky_relu", 'activation = "leaky_relu"'
    if table.type in _UPSAMPLINGS and 0 in _numbers(table.amount):
        yield "amount", f"{_a(table.type)} repeats once or more, found 0", "amount = 2"
    if table.type in _UPSAMPLINGS and isinstance(table.amount, list):
        if table.type == "upsampling1d":
            yield "amount", "an upsampling1d repeats steps: one number", "amount = 2"
        elif not all(isinstance(each, int) for each in table.amount):
            yield "amount", "an upsampling2d repeats rows and columns: numbers", "amount = [2, 3]"
    if table.type == "activation" and table.activation == "none":
        shown = '{ type = "activation", activation = "relu" }'
        yield "", "an activation needs 'activation'", shown


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _numbers(given: Any) -> Iterator[int]:
    """All numbers of a key whose value is one, or a list of them or of lists."""
    if isinstance(given, int):
        yield given
    for each in given if isinstance(given, list) else ():
        yield from _numbers(each)


def layer_of(table: LayerTable) -> Layer:
    """The layer that a table without mistakes declares."""
    allowed = _KEYS.get(table.type, frozenset())
    sizes = [getattr(table, key) for key in _SIZES if key in allowed]
    pools = allowed == _POOL
    kernel = table.kernel or (_USUAL_POOL if pools else _USUAL_KERNEL)
    flat = table.type.endswith("1d") or table.type == "conv1d_transpose"
    assert table.type != "input"
    return Layer(
        type=table.type,
        size=next((each for each in sizes if each), 1),
        multiplier=table.multiplier or 1,
        kernel=_extents(kernel),
        stride=_extents(table.stride or (kernel if pools else 1)),
        dilation=_extents(table.dilation or 1),
        padding=table.padding,
        activation=table.activation,
        name=table.name or "",
        inputs=tuple(table.inputs or ()),
        bias=table.bias,
        axis=-1 if table.axis is None else table.axis,
        shape=tuple(table.shape or ()),
        amount=_amount(table.amount, repeats=table.type == "upsampling2d", flat=flat),
        alpha=0.3 if table.alpha is None else table.alpha,
        interpolation=table.interpolation,
        keep_dims=table.keep_dims,
        sequences=table.sequences,
        backwards=table.backwards,
        merge=table.bidirectional or "none",
        heads=table.heads or 1,
    )


def _extents(given: int | list[int]) -> int | tuple[int, ...]:
    return given if isinstance(given, int) else tuple(given)


def _amount(given: Any, *, repeats: bool, flat: bool) -> tuple[tuple[int, int], ...]:
    """Pairs of numbers; ``repeats``: one pair, of how often rows and columns are repeated.

    ``flat``: there is one direction, whose numbers before and after two numbers are.
    """
    if given is None:
        return ()
    if isinstance(given, int):
        return ((given, given),)
    if (repeats or flat) and all(isinstance(each, int) for each in given):
        return ((given[0], given[-1]),)
    return tuple((each, each) if isinstance(each, int) else (each[0], each[1]) for each in given)
