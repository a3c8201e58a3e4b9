"""What all checks ask: how many tensors, of which dimensions, types and scales."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from math import prod

from pytest_tinybudget.footprint.operators.rule import A_STEP
from pytest_tinybudget.footprint.operators.rule import HALF_A_STEP
from pytest_tinybudget.footprint.operators.rule import scale
from pytest_tinybudget.footprint.operators.rule import zero_point
from pytest_tinybudget.footprint.trust.trusted import Shape
from pytest_tinybudget.footprint.trust.trusted import Trusted
from pytest_tinybudget.graph.model import TYPE_BITS
from pytest_tinybudget.graph.model import Tensor


def inputs(node: Trusted) -> list[Tensor]:
    return [
        node.input(position)
        for position in range(len(node.operator.inputs))
        if node.has_input(position)
    ]


def outputs(node: Trusted) -> list[Tensor]:
    return [node.output(position) for position in range(len(node.operator.outputs))]


def has(node: Trusted, inputs: int, outputs: int = 1) -> None:
    """At least so many inputs, and exactly so many outputs."""
    found = len(node.operator.inputs), len(node.operator.outputs)
    node.trust(
        found[0] >= inputs and found[1] == outputs,
        f"it has {found[0]} inputs and {found[1]} outputs, its kernel uses {inputs} and {outputs}",
    )


def rank(node: Trusted, tensor: Tensor, least: int, most: int | None = None) -> None:
    most = least if most is None else most
    expected = str(least) if least == most else f"{least} to {most}"
    node.trust(
        least <= len(tensor.shape) <= most,
        f"'{tensor.name}' has {len(tensor.shape)} dimensions, its kernel works on {expected}",
    )


def as_meant(node: Trusted, *tensors: Tensor) -> None:
    """Refuse tensors whose dimensions are not those that their values have."""
    for tensor in tensors:
        meant = node.meant(tensor)
        node.trust(
            meant == tensor.shape,
            f"'{tensor.name}' is {list(tensor.shape)} in the file, what computes it gives"
            f" {list(meant)}",
        )


def view(shape: Shape, axis: int) -> tuple[int, int, int]:
    """How often, how long and how wide values lie along ``axis``."""
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def as_meant_along(node: Trusted, tensor: Tensor, asked: int) -> int:
    """The axis ``asked`` of a tensor whose values lie along it as they should."""
    meant = node.meant(tensor)
    axis, right = axis_of(node, asked, len(tensor.shape)), axis_of(node, asked, len(meant))
    if view(tensor.shape, axis) != view(meant, right):
        as_meant(node, tensor)
    return axis


def gives(node: Trusted, result: Tensor, shape: Sequence[int]) -> None:
    """Refuse a result of another shape than its kernel's loops need."""
    node.trust(
        result.shape == tuple(shape),
        other_shape(result, shape),
        beyond=result.elements != prod(shape),
    )


def other_shape(result: Tensor, shape: Sequence[int]) -> str:
    return (
        f"its output '{result.name}' is {list(result.shape)} in the file, its inputs make"
        f" {list(shape)}: convert the model again, with a fixed input shape"
    )


def fills(node: Trusted, result: Tensor, shape: Sequence[int]) -> None:
    """Refuse a result of another size; note one whose values lie in another shape."""
    node.trust(
        result.elements == prod(shape),
        other_shape(result, shape),
        beyond=result.elements != prod(shape),
    )
    node.means(node.subgraph, result, tuple(shape))


def typed(node: Trusted, tensor: Tensor, *types: str) -> None:
    node.trust(
        tensor.type in types,
        f"'{tensor.name}' is {tensor.type}, its kernel reads {' or '.join(types)}",
    )


def read_as(node: Trusted, tensor: Tensor, type_: str) -> None:
    """Refuse a tensor of another type than its kernel reads: beyond its end, where it is wider."""
    instead = ": quantize the whole model, or nothing of it" if type_ == "FLOAT32" else ""
    node.trust(
        tensor.type == type_,
        f"'{tensor.name}' is {tensor.type}, its kernel reads it as {type_}{instead}",
        beyond=TYPE_BITS[tensor.type] < TYPE_BITS[type_],
    )


def written(node: Trusted, result: Tensor, *types: str) -> None:
    """Refuse a result of another type than its kernel writes."""
    width = min(TYPE_BITS[each] for each in types)
    node.trust(
        result.type in types,
        f"its output '{result.name}' is {result.type}, its kernel writes {' or '.join(types)}",
        beyond=TYPE_BITS[result.type] != width,
    )


def per_tensor(node: Trusted, *tensors: Tensor) -> None:
    """Refuse scales or zero points per channel, of which kernels read the first alone."""
    for tensor in tensors:
        quantization = tensor.quantization
        several = max(len(set(quantization.scales)), len(set(quantization.zero_points)))
        node.trust(
            not quantization.is_affine or several == 1,
            f"'{tensor.name}' has {len(quantization.scales)} scales and"
            f" {len(quantization.zero_points)} zero points, its kernel reads the first alone",
        )


def rescaled(node: Trusted, result: Tensor, *sources: Tensor) -> None:
    """Refuse scales that make no multiplier: C leaves open what a quotient of none becomes."""
    per_tensor(node, result, *sources)
    for tensor in (result, *sources):
        found = scale(tensor)
        fits = isfinite(found) and (found > 0 or tensor is not result)
        node.trust(
            fits,
            f"'{tensor.name}' has the scale {found:g}, of which its kernel makes no multiplier",
            beyond=True,
        )


def broadcast(shapes: Sequence[Shape]) -> Shape | None:
    """What shapes broadcast to, ``None`` where they do not."""
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    widest = tuple(
        next((extent for extent in extents if extent != 1), 1)
        for extents in zip(*padded, strict=True)
    )
    fits = all(
        extent in (1, wide) for shape in padded for extent, wide in zip(shape, widest, strict=True)
    )
    return widest if fits else None


def axis_of(node: Trusted, place: int, rank: int) -> int:
    found = place + rank if place < 0 else place
    node.trust(0 <= found < rank, f"its axis {place} lies outside {rank} dimensions")
    return found


def saturating(node: Trusted, **expected: tuple[float, int]) -> None:
    """Kernels that quantize their result in one way, whatever the file says."""
    source, result = node.input(0), node.output(0)
    if source.type not in expected:
        return
    wanted, offset = expected[source.type]
    node.trust(scale(source) >= 0, f"'{source.name}' has the scale {scale(source):g}")
    node.trust(
        abs(scale(result) / wanted - 1) < HALF_A_STEP
        and abs(zero_point(result) - offset) <= A_STEP,
        f"'{result.name}' has the scale {scale(result):g} and zero point {zero_point(result)}, its"
        f" kernel computes with {wanted:g} and {offset}",
    )
