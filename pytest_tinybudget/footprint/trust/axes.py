"""Operators along an axis."""

from __future__ import annotations

from functools import partial
from math import prod

from pytest_tinybudget.footprint.operators.rule import int32s
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.footprint.trust import common
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.footprint.trust.trusted import by_operator
from pytest_tinybudget.graph.model import TYPE_BITS


#: sizeof(int32_t): kernels read axes, begins and paddings as such, whatever type they have.
_INT32 = 4


def _normalized(node: Trusted) -> None:
    _rows(node)
    common.saturating(node, INT8=(1 / 128, 0))


def _rows(node: Trusted, *, quantized: bool = True) -> None:
    """SOFTMAX and kin: along the last axis."""
    common.has(node, 1)
    source, result = node.input(0), node.output(0)
    if source.shape:
        common.as_meant_along(node, source, -1)
    last = len(source.shape) - 1
    if result.shape[last : last + 1] < source.shape[-1:]:
        # The kernel's rows are as long as the shorter of both along the input's last axis.
        common.gives(node, result, node.meant(source))
    common.fills(node, result, node.meant(source))
    if quantized and source.type in ("INT8", "INT16"):
        common.per_tensor(node, source, result)


def _reduced(node: Trusted) -> None:
    source, axis, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    if source.type in ("INT8", "INT16"):
        common.rescaled(node, result, source)
    # Values of the input's width, whatever the file calls them.
    if TYPE_BITS[result.type] != TYPE_BITS[source.type]:
        common.written(node, result, source.type)
    if not axis.is_constant:
        return
    rank = len(source.shape)
    axes = {common.axis_of(node, place, rank) for place in integers(axis)} if rank else set()
    keep = bool(node.operator.options["keep_dims"])
    common.fills(
        node,
        result,
        [
            1 if place in axes else extent
            for place, extent in enumerate(source.shape)
            if keep or place not in axes
        ],
    )


def _arg(node: Trusted) -> None:
    common.has(node, 2)
    source, axis, result = node.input(0), node.input(1), node.output(0)
    common.as_meant(node, source)
    if axis.is_constant:
        place = common.axis_of(node, integers(axis)[0], len(source.shape))
        common.fills(node, result, source.shape[:place] + source.shape[place + 1 :])


def _concatenated(node: Trusted) -> None:
    """The kernel takes rows from the output's shape, and the axis of each input by its number."""
    sources, result = common.inputs(node), node.output(0)
    asked = option(node, "axis")
    meant = [node.meant(tensor) for tensor in sources]
    first = meant[0]
    axis, place = (
        common.axis_of(node, asked, len(first)),
        common.axis_of(node, asked, len(result.shape)),
    )
    for tensor, shape in zip(sources, meant, strict=True):
        node.trust(
            len(shape) == len(first)
            and shape[:axis] + shape[axis + 1 :] == first[:axis] + first[axis + 1 :],
            f"'{tensor.name}' {list(shape)} does not join '{sources[0].name}' {list(first)} along"
            f" axis {axis}",
        )
        common.typed(node, tensor, result.type)
    whole = (*first[:axis], sum(shape[axis] for shape in meant), *first[axis + 1 :])
    parts = [prod(tensor.shape[place : place + 1]) for tensor in sources]
    outer, inner = prod(result.shape[:place]), prod(result.shape[place + 1 :])
    copied = outer * sum(parts) * inner
    node.trust(copied == result.elements, common.other_shape(result, whole), beyond=True)
    chunks = [part * inner for part in parts]
    as_meant = outer == prod(whole[:axis]) and chunks == [
        shape[axis] * prod(whole[axis + 1 :]) for shape in meant
    ]
    if not as_meant and not (len(sources) == 1 and copied == result.elements):
        common.gives(node, result, whole)
        common.as_meant(node, *sources)
    common.fills(node, result, whole)


def _packed(node: Trusted) -> None:
    sources, result = common.inputs(node), node.output(0)
    common.as_meant(node, *sources)
    first = sources[0]
    for tensor in sources:
        node.trust(
            tensor.shape == first.shape and tensor.type == result.type,
            f"'{tensor.name}' is {tensor.type} {list(tensor.shape)}, its output"
            f" {result.type} of {list(first.shape)}",
        )
    axis = common.axis_of(node, option(node, "axis"), len(first.shape) + 1)
    common.gives(node, result, (*first.shape[:axis], len(sources), *first.shape[axis:]))


def _unpacked(node: Trusted) -> None:
    source, results = node.input(0), common.outputs(node)
    common.as_meant(node, source)
    axis = common.axis_of(node, option(node, "axis"), len(source.shape))
    node.trust(
        source.shape[axis] == len(results),
        f"'{source.name}' {list(source.shape)} does not make {len(results)} outputs along axis"
        f" {axis}",
    )
    for result in results:
        common.written(node, result, source.type)
        common.fills(node, result, source.shape[:axis] + source.shape[axis + 1 :])


def _split(node: Trusted, source_at: int, axis_at: int) -> None:
    source, axis, results = node.input(source_at), node.input(axis_at), common.outputs(node)
    node.trust(len(axis.data) >= _INT32, f"its axis '{axis.name}' holds no INT32")
    asked = int32s(axis, 1)[0]
    place = common.as_meant_along(node, source, asked)
    extent, meant = source.shape[place], node.meant(source)
    parts = [extent // max(len(results), 1)] * len(results)
    if node.operator.name == "SPLIT_V":
        sizes = node.input(1)
        if sizes.is_constant and sizes.type in ("INT32", "INT64"):
            parts = list(integers(sizes))
            rest = extent - sum(size for size in parts if size != -1)
            parts = [rest if size == -1 else size for size in parts]
    node.trust(
        len(parts) == len(results) and sum(parts) == extent,
        f"{extent} along axis {place} of '{source.name}' do not make its {len(results)} outputs",
    )
    outer, _, inner = common.view(source.shape, place)
    for result, part in zip(results, parts, strict=True):
        common.written(node, result, source.type)
        taken_from = result if node.operator.name == "SPLIT_V" else results[0]
        copied = outer * prod(taken_from.shape[place : place + 1]) * inner
        right = common.axis_of(node, asked, len(meant))
        shape = (*meant[:right], part, *meant[right + 1 :])
        node.trust(copied == result.elements, common.other_shape(result, shape), beyond=True)
        if taken_from is result and result.shape[place : place + 1] != (part,):
            # How much a part takes is read off its shape (SPLIT: off the first one's).
            common.gives(node, result, shape)
        common.fills(node, result, shape)


def _detected(node: Trusted) -> None:
    """TFLite_Detection_PostProcess reads and writes floats (``detection_postprocess.cc``)."""
    common.as_meant(node, *common.inputs(node))
    common.read_as(node, node.input(2), "FLOAT32")
    for result in common.outputs(node):
        common.written(node, result, "FLOAT32")


CHECKS = by_operator(
    (_normalized, "L2_NORMALIZATION"),
    (_rows, "SOFTMAX LOG_SOFTMAX"),
    (_reduced, "MEAN SUM REDUCE_MAX REDUCE_MIN REDUCE_ALL"),
    (_arg, "ARG_MAX ARG_MIN"),
    (_concatenated, "CONCATENATION"),
    (_packed, "PACK"),
    (_unpacked, "UNPACK"),
    (partial(_split, source_at=1, axis_at=0), "SPLIT"),
    (partial(_split, source_at=0, axis_at=2), "SPLIT_V"),
    (_detected, "TFLite_Detection_PostProcess"),
)
