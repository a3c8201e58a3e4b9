"""TFLM's greedy memory planner: gives every buffer an offset in the arena's head.

The placement is TFLM's own, buffer by buffer. Of many buffers it looks those up that are alive
together, instead of walking the list of all placed ones, so a long chain takes near-linear time.
"""

from __future__ import annotations

from bisect import bisect_left
from bisect import bisect_right
from bisect import insort
from collections.abc import Sequence

from msgspec import Struct


#: Up to so many buffers a walk takes less time than looking them up.
_FEW = 128


class Request(Struct, frozen=True, gc=False):
    """A buffer to place: ``size_bytes`` while ``first <= time <= last`` (-1: never used).

    Older versions of TFLM ask for buffers that end before they begin. Such a buffer meets no
    other, so that it lies at offset 0, and any other may lie over it.
    ``offline_offset`` is the place that the model's own plan gives it, if any.
    """

    size_bytes: int
    first: int
    last: int
    offline_offset: int | None = None


def plan(requests: Sequence[Request]) -> list[int]:
    """The offset of every buffer, in the order of ``requests``."""
    return _walked(requests) if len(requests) <= _FEW else _looked_up(requests)


def _walked(requests: Sequence[Request]) -> list[int]:
    """As TFLM does it: through the list of all placed buffers, in the order of their offsets."""
    offsets = [0] * len(requests)
    placed: list[tuple[int, int, int, int]] = []
    for index in placement_order(requests):
        request = requests[index]
        size, first, last = request.size_bytes, request.first, request.last
        if last < first:
            offsets[index] = request.offline_offset or 0
            continue
        offset = 0
        if request.offline_offset is not None:
            offset = request.offline_offset
        else:
            for begin, end, starts, ends in placed:
                if starts <= last and first <= ends:
                    if begin - offset >= size:
                        break
                    if end > offset:
                        offset = end
        offsets[index] = offset
        insort(placed, (offset, offset + size, first, last))
    return offsets


def _looked_up(requests: Sequence[Request]) -> list[int]:
    offsets = [0] * len(requests)
    placed = _Placed(max((request.last for request in requests), default=0))
    for index in placement_order(requests):
        request = requests[index]
        if request.offline_offset is not None:
            offset = request.offline_offset
        else:
            offset = _first_gap(placed.alive_with(request), request.size_bytes)
        offsets[index] = offset
        placed.add(request, offset)
    return offsets


def placement_order(requests: Sequence[Request]) -> list[int]:
    """Offline-planned buffers as they come; then the largest first, of equals the last."""
    sizes = [-request.size_bytes for request in requests]
    order = sorted(range(len(requests) - 1, -1, -1), key=sizes.__getitem__)
    offline = [i for i, request in enumerate(requests) if request.offline_offset is not None]
    if not offline:
        return order
    return offline + [i for i in order if requests[i].offline_offset is None]


def live_bytes(requests: Sequence[Request]) -> list[int]:
    """Sum of the bytes alive at every time from -1 on (element 0 is time -1)."""
    end = max((request.last for request in requests), default=-1) + 3
    change = [0] * end
    for request in requests:
        if request.first <= request.last:
            change[request.first + 1] += request.size_bytes
            change[request.last + 2] -= request.size_bytes
    total, live = 0, []
    for difference in change[:-1]:
        total += difference
        live.append(total)
    return live


def _first_gap(neighbors: list[tuple[int, int]], size_bytes: int) -> int:
    """The lowest place that TFLM finds between ``neighbors`` (offset, end)."""
    candidate = 0
    for offset, end in sorted(neighbors):
        if offset - candidate >= size_bytes:
            break
        candidate = max(candidate, end)
    return candidate


class _Placed:
    """Placed buffers, found by the time they are alive.

    A buffer overlaps the closed interval [first, last] when it starts inside it or is alive at
    ``first``; the second kind is kept in a segment tree over time.
    """

    def __init__(self, last_time: int) -> None:
        self._leaves = 1 << (last_time + 2).bit_length()
        self._alive: dict[int, list[tuple[int, int]]] = {}
        self._starts: list[tuple[int, tuple[int, int]]] = []

    def add(self, request: Request, offset: int) -> None:
        if request.last < request.first:
            return
        entry = (offset, offset + request.size_bytes)
        insort(self._starts, (request.first, entry))
        low = request.first + 1 + self._leaves
        high = request.last + 2 + self._leaves
        while low < high:
            if low & 1:
                self._alive.setdefault(low, []).append(entry)
                low += 1
            if high & 1:
                high -= 1
                self._alive.setdefault(high, []).append(entry)
            low >>= 1
            high >>= 1

    def alive_with(self, request: Request) -> list[tuple[int, int]]:
        if request.last < request.first:
            return []
        begin = bisect_right(self._starts, request.first, key=_start)
        end = bisect_left(self._starts, request.last + 1, key=_start)
        found = [entry for _, entry in self._starts[begin:end]]
        node = request.first + 1 + self._leaves
        while node:
            found += self._alive.get(node, ())
            node >>= 1
        return found


def _start(item: tuple[int, tuple[int, int]]) -> int:
    return item[0]
