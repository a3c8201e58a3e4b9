"""``layers = […]``: a model that is planned, with what each layer needs."""

from __future__ import annotations

from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.problems import KeyPath
from pytest_tinybudget.declaration.schema import LayerTable
from pytest_tinybudget.declaration.schema import ModelTable
from pytest_tinybudget.planning.network import Layer
from pytest_tinybudget.planning.network import LayerList


#: The key that gives the number of a layer's outputs, where it has one.
_SIZES = {"conv2d": "filters", "dense": "units", "depthwise_conv2d": "multiplier"}
_WINDOWS = ("conv2d", "depthwise_conv2d", "max_pool2d", "average_pool2d")
_POOLS = ("max_pool2d", "average_pool2d")
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
    layers = [
        _layer(context, layer, (*keys, "layers", str(index)))
        for index, layer in enumerate(table.layers)
    ]
    return LayerList(tuple(table.input_shape), tuple(layers))


def _layer(context: Context, table: LayerTable, keys: KeyPath) -> Layer:
    wanted = _SIZES.get(table.type)
    for key in _SIZES.values():
        if key != wanted and getattr(table, key) is not None:
            context.problems.add((*keys, key), f"a {table.type} has no {key!r}")
    for key in ("kernel", "stride"):
        if table.type not in _WINDOWS and getattr(table, key) is not None:
            context.problems.add((*keys, key), f"a {table.type} has no {key!r}")
    size = None if wanted is None else getattr(table, wanted)
    if size is None and wanted in ("filters", "units"):
        example = f'{{ type = "{table.type}", {wanted} = 8 }}'
        context.problems.add(keys, f"a {table.type} needs {wanted!r}", example=example)
    pools = table.type in _POOLS
    kernel = table.kernel or (_USUAL_POOL if pools else _USUAL_KERNEL)
    return Layer(
        type=table.type,
        size=size or 1,
        kernel=kernel,
        stride=table.stride or (kernel if pools else 1),
        padding=table.padding,
        activation=table.activation,
    )
