"""Finds the offline memory plan that a model's file should bring, for all boards that it runs on.

A plan gives offsets to the tensors of a model. Scratch buffers are not in it: kernels ask for them
on the device, other libraries for others, and TFLM places them greedily around what is planned
(``footprint/planner.py``). So every plan that is found is placed as each board's TFLM would, before
it is measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from msgspec.structs import replace

from pytest_tinybudget.footprint.planner import Request
from pytest_tinybudget.footprint.planner import plan
from pytest_tinybudget.footprint.result import Arena
from pytest_tinybudget.footprint.result import LiveBuffer
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.firmware import Firmware
from pytest_tinybudget.shrinking.solver import COMMON
from pytest_tinybudget.shrinking.solver import Buffer
from pytest_tinybudget.shrinking.solver import place


#: What leaves a tensor to TFLM's own planner.
ONLINE = -1
#: The change of TFLM since which a plan covers more than the main subgraph.
_SEVERAL_SUBGRAPHS = "offline plans of several subgraphs"

#: A plan: an offset for each tensor that has one, by its subgraph and its number there.
_Plan = Mapping[tuple[int, int], int]
#: What is planned on a board, its place aside: boards that have the same are one to a plan.
_Wanted = tuple[LiveBuffer, ...]


def why_unplanned(model: Model, firmwares: Mapping[str, Firmware]) -> str:
    """Why no plan may be written, whatever it would save; empty where one may."""
    if any(tensor.is_variable for graph in model.subgraphs[1:] for tensor in graph.tensors):
        return "TFLM misreads a plan for variables of other subgraphs than the main one"
    if len(model.subgraphs) > 1:
        for name, firmware in firmwares.items():
            tflm = firmware.runtime.tflm
            if not tflm.is_known or not tflm.has(_SEVERAL_SUBGRAPHS):
                return f"{name}: its TFLM may misread a plan of several subgraphs"
    return ""


def overlaps(arena: Arena) -> bool:
    """Whether a model's own plan lets two buffers share bytes while both are alive.

    It may mean to, or be wrong: either way another place for them could change what comes out.
    """
    order = sorted(arena.buffers, key=lambda each: each.first)
    alive: list[LiveBuffer] = []
    for buffer in order:
        alive = [each for each in alive if each.last >= buffer.first]
        end = buffer.offset + buffer.bytes
        if any(each.offset < end and buffer.offset < each.offset + each.bytes for each in alive):
            return True
        alive.append(buffer)
    return False


def plans(model: Model, arenas: Mapping[str, Arena]) -> list[tuple[int, ...]]:
    """Plans for ``model``, an offset a tensor over all subgraphs, each best for some board.

    The first are those with the least memory on all boards together, and more on none than without
    a plan. ``arenas`` by board are those without any.
    """
    boards = {name: _wanted(arena) for name, arena in arenas.items()}
    without = {wanted: arenas[name].head for name, wanted in boards.items()}
    found: dict[tuple[int, ...], tuple[bool, int]] = {}
    for each in _candidates(without):
        heads = {wanted: _head(wanted, each) for wanted in without}
        if all(heads[wanted] >= head for wanted, head in without.items()):
            continue
        is_larger = any(heads[wanted] > head for wanted, head in without.items())
        total = sum(heads[wanted] for wanted in boards.values())
        found.setdefault(_in_order(model, each), (is_larger, total))
    return sorted(found, key=lambda each: found[each])


def _in_order(model: Model, offsets: _Plan) -> tuple[int, ...]:
    return tuple(
        offsets.get((graph.index, tensor.index), ONLINE)
        for graph in model.subgraphs
        for tensor in graph.tensors
    )


def _wanted(arena: Arena) -> _Wanted:
    return tuple(replace(each, offset=0) for each in arena.buffers)


def _candidates(without: Mapping[_Wanted, int]) -> Iterator[_Plan]:
    """Plans for all boards together, for each alone, and for the tensors alone.

    ``without`` has the boards' heads without a plan.
    """
    boards = list(without)
    tensors = [each for each in boards[0] if each.kind == "tensor"]
    if len(boards) > 1:
        groups = [(each, COMMON) for each in tensors]
        for group, wanted in enumerate(boards):
            groups += [(each, group) for each in wanted if each.kind == "scratch"]
        yield _solved(groups, list(without.values()))
    for wanted in boards:
        yield _solved((each, COMMON) for each in wanted)
    yield _solved((each, COMMON) for each in tensors)


def _solved(buffers: Iterable[tuple[LiveBuffer, int]], limits: Sequence[int] = ()) -> _Plan:
    listed = list(buffers)
    placed = place(
        [Buffer(each.bytes, each.first, each.last, group) for each, group in listed], limits
    )
    return {
        (each.subgraph, each.index): offset
        for (each, _), offset in zip(listed, placed.offsets, strict=True)
        if each.kind == "tensor"
    }


def _head(wanted: _Wanted, offsets: _Plan) -> int:
    """What is planned with these offsets on a board, where TFLM places the rest."""
    requests = [
        Request(
            each.bytes,
            each.first,
            each.last,
            offsets.get((each.subgraph, each.index)) if each.kind == "tensor" else None,
        )
        for each in wanted
    ]
    ends = zip(requests, plan(requests), strict=True)
    return max((offset + each.size_bytes for each, offset in ends), default=0)
