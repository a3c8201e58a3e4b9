"""Operators on the height and width of images: RESIZE_*, SPACE_TO_DEPTH, MIRROR_PAD."""

from __future__ import annotations

from collections.abc import Callable
from struct import pack
from struct import unpack

from pytest_tinybudget.footprint.operators.checks import accepts
from pytest_tinybudget.footprint.operators.checks import constant
from pytest_tinybudget.footprint.operators.checks import rank_within
from pytest_tinybudget.footprint.operators.checks import runs_with
from pytest_tinybudget.footprint.operators.checks import same_type
from pytest_tinybudget.footprint.operators.checks import takes
from pytest_tinybudget.footprint.operators.rule import OperatorRule
from pytest_tinybudget.footprint.operators.rule import Preparation
from pytest_tinybudget.footprint.operators.rule import integers
from pytest_tinybudget.footprint.operators.rule import op_data
from pytest_tinybudget.footprint.operators.rule import option
from pytest_tinybudget.graph.model import Tensor


_SPACE_TO_BATCH = "i"
_MIRROR_PAD = "5i"

#: sizeof(int).
_INT = 4


def _prepare_resize(node: Preparation) -> tuple[Tensor, Tensor]:
    takes(node, 2, 1)
    source, size, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank_within(node, source, 4, 4)
    rank_within(node, size, 1, 1)
    accepts(node, size, "INT32")
    constant(node, size)
    return size, result


def _prepare_resize_bilinear(node: Preparation) -> None:
    _, result = _prepare_resize(node)
    options = node.operator.options
    node.ensure(
        not (options["half_pixel_centers"] and options["align_corners"]),
        "it has half_pixel_centers and align_corners, expected at most one of them",
    )
    runs_with(node, result, "FLOAT32", "INT8")


def _prepare_resize_nearest_neighbor(node: Preparation) -> None:
    size, result = _prepare_resize(node)
    node.ensure(size.shape == (2,), f"'{size.name}' has {size.elements} elements, expected 2")
    runs_with(node, result, "FLOAT32", "INT8", "INT16")
    options = node.operator.options
    if options["half_pixel_centers"] and size.shape == (2,):
        aligned, extents = bool(options["align_corners"]), node.input(0).shape[1:3]
        if any(
            _half_pixels_matter(extent, wanted, aligned=aligned)
            for extent, wanted in zip(extents, integers(size), strict=False)
        ):
            node.computes_wrongly(
                "nearest neighbors by half pixels",
                "it takes its neighbors without half_pixel_centers, which its option asks for",
                instead="else resize by a whole factor, where both give the same",
            )


#: Above this extent nobody looks at each pixel.
_MOST_PIXELS = 4096


def _half_pixels_matter(extent: int, wanted: int, *, aligned: bool) -> bool:
    """Whether an axis of ``extent`` pixels gives others of them where it gets ``wanted``."""
    if not 0 < wanted <= _MOST_PIXELS:
        return wanted > 0
    return any(
        _nearest(place, extent, wanted, aligned=aligned, half=True)
        != _nearest(place, extent, wanted, aligned=aligned, half=False)
        for place in range(wanted)
    )


def _nearest(place: int, extent: int, wanted: int, *, aligned: bool, half: bool) -> int:
    """``GetNearestNeighbor`` of resize_nearest_neighbor.h, whose numbers are floats."""
    steps = (extent - 1, wanted - 1) if aligned and wanted > 1 else (extent, wanted)
    at = _float((place + (0.5 if half else 0.0)) * _float(steps[0] / steps[1]))
    return max(0, min(int(at + 0.5) if aligned else int(at), extent - 1))


def _float(number: float) -> float:
    """``number`` as a C ``float``."""
    return float(unpack("<f", pack("<f", number))[0])


def _prepare_batch(node: Preparation) -> None:
    takes(node, 3, 1)
    source, result = node.temp_input(0), node.temp_output(0)
    rank_within(node, source, 3, 4)
    rank_within(node, result, 3, 4)
    same_type(node, source, result)
    runs_with(node, source, "FLOAT32", "INT8")


def _depth(
    reshaped: Callable[[tuple[int, ...], int], tuple[int, ...] | None],
) -> Callable[[Preparation], None]:
    """``reshaped`` gives the output's shape, ``None`` where the block does not divide it."""

    def prepare(node: Preparation) -> None:
        takes(node, 1, 1)
        source, result = node.temp_input(0), node.temp_output(0)
        rank_within(node, source, 4, 4)
        rank_within(node, result, 4, 4)
        accepts(node, result, "FLOAT32", "INT8")
        same_type(node, source, result)
        block = option(node, "block_size")
        shape = reshaped(source.shape, block) if block > 0 else None
        if shape is None:
            node.refuse(f"blocks of {block} do not divide '{source.name}' {list(source.shape)}")
        node.copy_output_shape(0)
        node.set_output_shape(0, shape)

    return prepare


def _to_depth(shape: tuple[int, ...], block: int) -> tuple[int, ...] | None:
    batch, height, width, channels = shape
    if height % block or width % block:
        return None
    return batch, height // block, width // block, channels * block * block


def _from_depth(shape: tuple[int, ...], block: int) -> tuple[int, ...] | None:
    batch, height, width, channels = shape
    if channels % (block * block):
        return None
    return batch, height * block, width * block, channels // (block * block)


def _prepare_mirror_pad(node: Preparation) -> None:
    source, padding, result = node.temp_input(0), node.temp_input(1), node.temp_output(0)
    rank = len(source.shape)
    node.ensure(
        len(padding.shape) == 2 and padding.shape[0] == rank,
        f"'{padding.name}' is {list(padding.shape)}, expected [{rank}, 2]",
    )
    node.scratch(_INT * rank)
    node.scratch(_INT * rank)
    runs_with(node, result, "FLOAT32", "INT8")


RULES: dict[str, OperatorRule] = {
    "RESIZE_BILINEAR": OperatorRule("2b", prepare=_prepare_resize_bilinear),
    "RESIZE_NEAREST_NEIGHBOR": OperatorRule("2b", prepare=_prepare_resize_nearest_neighbor),
    "SPACE_TO_BATCH_ND": OperatorRule(init=op_data(_SPACE_TO_BATCH), prepare=_prepare_batch),
    "BATCH_TO_SPACE_ND": OperatorRule(prepare=_prepare_batch),
    "SPACE_TO_DEPTH": OperatorRule("i", prepare=_depth(_to_depth)),
    "DEPTH_TO_SPACE": OperatorRule("i", prepare=_depth(_from_depth)),
    "MIRROR_PAD": OperatorRule("e", op_data(_MIRROR_PAD), _prepare_mirror_pad),
}
