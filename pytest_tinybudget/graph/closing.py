"""Open dimensions: what TFLM makes of them, and how a file gets fixed input shapes instead.

TFLM cannot resize a tensor: it takes the shapes that the file has, in which a converter has put 1
for every open dimension. Right is that for a batch alone, and only where all that follows was
written for a batch of 1 as well.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from collections.abc import Mapping

from msgspec import Struct

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.base.suggest import unknown
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.text import toml_key
from pytest_tinybudget.graph.known_shapes import Key
from pytest_tinybudget.graph.known_shapes import Shape
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.graph.model import Operator
from pytest_tinybudget.graph.model import Tensor
from pytest_tinybudget.graph.shapes import infer


_LONGEST_NAME = 60


class OpenShape(Struct, frozen=True):
    """An input or an operator whose shape TFLM takes otherwise than it is meant."""

    subgraph: int
    operator: Operator | None
    reason: str


class Openness(Struct, frozen=True):
    """What a model's open dimensions mean: ``problems``, or a note that the batch counts as 1."""

    problems: tuple[OpenShape, ...] = ()
    note: str = ""


def openness(model: Model) -> Openness:
    """What TFLM makes of the open dimensions of ``model``. Computed once a model."""
    found: Openness | None = model.derived.get("openness")
    if found is None:
        found = model.derived["openness"] = _openness(model)
    return found


def closed(model: Model, input_shapes: Mapping[str, Shape], *, whole: bool = False) -> Model:
    """``model`` with its inputs at ``input_shapes`` and all that follows as those make it.

    Inputs are named as tensors or as in the file's signature. An open batch of an input that is
    not named is closed to 1. A model whose shapes are those already is given back as it is, as is
    any where no shape is named, unless ``whole``: then no input may stay open.

    Raises:
        TinybudgetError: there is no such input, a shape changes what is fixed, or what an
            operator makes of it is not known; with ``whole``, an input stays open.
    """
    if not input_shapes and not whole:
        return model
    inputs = _batches_closed(model) | _by_index(model, input_shapes)
    main = model.main
    for tensor in (main.tensors[index] for index in main.inputs) if whole else ():
        if _is_open(tensor) and tensor.index not in inputs:
            raise TinybudgetError(_input_reason(model, tensor))
    found = infer(model, inputs)
    tensors = {
        (graph.index, each.index): each for graph in model.subgraphs for each in graph.tensors
    }
    for key, reason in found.unknown.items():
        raise TinybudgetError(
            f"{model.name}: input_shapes cannot be carried on to "
            f"'{_shown(tensors[key])}': {reason}; convert the model at this shape instead"
        )
    changed = {
        key: shape
        for key, shape in found.known.items()
        if shape != tensors[key].shape or _is_open(tensors[key])
    }
    return _rewritten(model, changed) if changed else model


def _openness(model: Model) -> Openness:
    opened = [each for graph in model.subgraphs for each in graph.tensors if _is_open(each)]
    if not opened:
        return Openness()
    main = model.main
    inputs = [main.tensors[index] for index in main.inputs if _is_open(main.tensors[index])]
    problems = tuple(
        OpenShape(0, None, _input_reason(model, each)) for each in inputs if not _only_batch(each)
    )
    problems = problems or tuple(_behind(model, inputs))
    return Openness(problems[:1]) if problems else Openness(note=_note(model, inputs))


def _note(model: Model, inputs: list[Tensor]) -> str:
    # A file that was made smaller has no names.
    order = list(model.main.inputs)
    names = ", ".join(
        f"'{_shown(each)}'" if each.name else f"input {order.index(each.index)}" for each in inputs
    )
    return f"the batch of {names} is open: counted as 1" if inputs else ""


def _behind(model: Model, inputs: list[Tensor]) -> Iterator[OpenShape]:
    """Open tensors whose shape at batch 1 differs from the file's or is not known."""
    found = infer(model, {})
    batch = "at batch 1" if inputs else "by its inputs"
    way_out = "convert the model at fixed shapes"
    if inputs:
        way_out = f"convert the model at batch 1, or declare {_declared(model, inputs)}"
    for graph in model.subgraphs:
        makers = {index: each for each in graph.operators for index in each.outputs}
        for tensor in graph.tensors:
            key = (graph.index, tensor.index)
            if not _is_open(tensor) or tensor.index not in makers:
                continue
            has = f"{list(tensor.shape)} in the file, which TFLM takes as it is"
            if key in found.unknown:
                reason = (
                    f"its output is open, {_signature(tensor)}, and {has}; "
                    f"what it is {batch} is not known ({found.unknown[key]}): {way_out}"
                )
            elif found.known.get(key, tensor.shape) != tensor.shape:
                shape = list(found.known[key])
                reason = f"its output is {shape} {batch}, but {has}: {way_out}"
            else:
                continue
            yield OpenShape(graph.index, makers[tensor.index], reason)


def _input_reason(model: Model, tensor: Tensor) -> str:
    return (
        f"input '{_shown(tensor)}' is open, {_signature(tensor)}, and would run as "
        f"{list(tensor.shape)}: declare {_declared(model, [tensor])} with the shape that you run, "
        "or convert the model at that shape"
    )


def _declared(model: Model, inputs: list[Tensor]) -> str:
    """The line of a declaration that closes ``inputs``, with a gap for what is not known."""
    shapes = []
    names = {index: name for name, index in reversed(_names(model).items())}
    for tensor in inputs:
        extents = [str(extent) if extent >= 0 else "…" for extent in tensor.shape_signature or ()]
        if len(extents) > 1 and extents[0] == "…":
            extents[0] = "1"
        name = names.get(tensor.index, tensor.name)  # inputs of a damaged file share one
        shapes.append(f"{toml_key(name)} = [{', '.join(extents)}]")
    return f"input_shapes = {{ {', '.join(shapes)} }}"


def _only_batch(tensor: Tensor) -> bool:
    """Whether only the batch is open, and the file has it as 1.

    The one dimension of a row of numbers is none: it may as well be a number of samples.
    """
    signature = tensor.shape_signature or ()
    return len(signature) > 1 and signature[0] == -1 and tensor.shape == (1, *signature[1:])


def _is_open(tensor: Tensor) -> bool:
    return tensor.shape_signature is not None and any(
        extent < 0 for extent in tensor.shape_signature
    )


def _batches_closed(model: Model) -> dict[int, Shape]:
    """Shapes of the inputs of which only the batch is open, with 1 for the batch."""
    main = model.main
    opened = (main.tensors[index] for index in main.inputs)
    return {each.index: each.shape for each in opened if _is_open(each) and _only_batch(each)}


def _by_index(model: Model, input_shapes: Mapping[str, Shape]) -> dict[int, Shape]:
    """``input_shapes`` by the tensor's index, each checked against the fixed dimensions."""
    main, names = model.main, _names(model)
    found: dict[int, Shape] = {}
    for name, shape in input_shapes.items():
        if name not in names:
            raise unknown("input", name, names)
        _check(main.tensors[names[name]], name, shape)
        found[names[name]] = tuple(shape)
    return found


def _names(model: Model) -> dict[str, int]:
    """Index of each main input by its names. A name of the signature wins over a tensor's."""
    main = model.main
    signed = {
        name: index
        for signature in model.signatures
        if signature.subgraph == 0
        for name, index in signature.inputs.items()
        if index in main.inputs
    }
    return signed | {main.tensors[index].name: index for index in main.inputs}


def _check(tensor: Tensor, name: str, shape: Shape) -> None:
    fixed = tensor.shape if tensor.shape_signature is None else tensor.shape_signature
    fits = len(fixed) == len(shape) and all(
        has in (-1, wanted) for has, wanted in zip(fixed, shape, strict=True)
    )
    if not fits:
        raise TinybudgetError(
            f"input_shapes: {printable(name, limit=_LONGEST_NAME)} = {list(shape)}: the input is "
            f"{list(fixed)}, and only what is open in it (-1) can be set"
        )


def _rewritten(model: Model, shapes: Mapping[Key, Shape]) -> Model:
    """The model of a new file that has these ``shapes``, with no dimension open."""
    from pytest_tinybudget.graph.tables import Leaf
    from pytest_tinybudget.graph.tables import put_together
    from pytest_tinybudget.graph.tables import take_apart
    from pytest_tinybudget.graph.tflite import read_model

    root = take_apart(model.content, model.name)
    for graph, subgraph in enumerate(root.tables("subgraphs")):
        for index, tensor in enumerate(subgraph.tables("tensors")):
            shape = shapes.get((graph, index))
            if shape is not None:
                leaf = Leaf(len(shape), struct.pack(f"<{len(shape)}i", *shape))
                tensor.values["shape"] = leaf
                tensor.drop("shape_signature")
    return read_model(put_together(root), model.name)


def _signature(tensor: Tensor) -> str:
    return str(list(tensor.shape_signature or ()))


def _shown(tensor: Tensor) -> str:
    return printable(tensor.name, limit=_LONGEST_NAME)
