"""Places buffers with known lifetimes so that the highest end is low: an offline memory plan.

The lower bound is the most that is alive at one time. Several orders are placed first, each buffer
in the lowest gap that holds it; most models reach the bound so. Where none does, the best order is
improved step by step: what makes the peak is placed earlier. The field's references are the hill
climb of Arm's Vela and MiniMalloc (Moffitt, ASPLOS 2023). The same buffers give the same plan.

One plan may have to serve several boards. What only one of them has carries its number as a group:
buffers of two groups never meet, and each group has a peak and a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from random import Random

from msgspec import Struct


#: The group of buffers that all boards have.
COMMON = -1
#: How many pairs of buffers the search may look at: about a third of a second.
_EFFORT = 1_000_000
#: A byte above a limit counts as so many above a bound.
_ABOVE_LIMIT = 16
#: After so many steps without a lower peak the search goes on from a worse order.
_STUCK = 60


class Buffer(Struct, frozen=True, gc=False):
    """A buffer to be placed: ``size`` bytes while ``first <= time <= last``, in a ``group``."""

    size: int
    first: int
    last: int
    group: int = COMMON


class Placed(Struct, frozen=True):
    """A plan: the offset of each buffer, and by group the highest end and what none goes below.

    ``limits`` are what the peaks should not pass, each byte above it worth more than any saving.
    """

    offsets: tuple[int, ...]
    peaks: tuple[int, ...]
    bounds: tuple[int, ...]
    limits: tuple[int, ...]

    @property
    def excess(self) -> int:
        """Bytes above the lower bounds, over all groups: 0 where no plan is better."""
        over = sum(
            max(0, peak - limit) for peak, limit in zip(self.peaks, self.limits, strict=True)
        )
        return sum(self.peaks) - sum(self.bounds) + _ABOVE_LIMIT * over


def place(buffers: Sequence[Buffer], limits: Sequence[int] = ()) -> Placed:
    """A plan for ``buffers`` with low peaks, at the lower bounds where one is found.

    With several groups, ``limits`` has for each what its peak should not pass.
    """
    return _Search(buffers, limits).run()


def lower_bound(buffers: Iterable[Buffer]) -> int:
    """The most bytes that are alive at one time."""
    changes: dict[int, int] = {}
    for buffer in buffers:
        changes[buffer.first] = changes.get(buffer.first, 0) + buffer.size
        changes[buffer.last + 1] = changes.get(buffer.last + 1, 0) - buffer.size
    alive = most = 0
    for time in sorted(changes):
        alive += changes[time]
        most = max(most, alive)
    return most


class _Search:
    def __init__(self, buffers: Sequence[Buffer], limits: Sequence[int]) -> None:
        self.buffers = buffers
        self.groups = range(len(limits)) if limits else (COMMON,)
        self.bounds = tuple(
            lower_bound(each for each in buffers if each.group in (COMMON, group))
            for group in self.groups
        )
        self.limits = tuple(limits) or self.bounds
        self.neighbors = _neighbors(buffers)
        self.pairs = len(buffers) + sum(map(len, self.neighbors))
        self.effort = _EFFORT

    def run(self) -> Placed:
        best: Placed | None = None
        order: list[int] = []
        for key in _ORDERS:
            tried = sorted(range(len(self.buffers)), key=lambda each: key(self.buffers[each]))
            found = self._placed(tried)
            if best is None or found.excess < best.excess:
                best, order = found, tried
            if not best.excess:
                return best
        assert best is not None
        return self._climbed(best, order)

    def _climbed(self, best: Placed, order: list[int]) -> Placed:
        random = Random(0)  # noqa: S311 - the same for the same buffers
        current, stuck = best, 0
        while best.excess and self.effort > 0:
            tried = self._changed(order, current, random, stuck)
            found = self._placed(tried)
            stuck = 0 if found.excess < current.excess else stuck + 1
            if found.excess <= current.excess or stuck > _STUCK:
                order, current = tried, found
                stuck = 0 if stuck > _STUCK else stuck
            if current.excess < best.excess:
                best = current
        return best

    def _changed(self, order: list[int], placed: Placed, random: Random, stuck: int) -> list[int]:
        """``order`` with a buffer that makes a peak, or one that carries it, placed earlier."""
        chain = self._chain(placed, random)
        tried = list(order)
        for _ in range(1 + stuck // 20):
            moved = random.choice(chain)
            other = random.choice([moved, *self.neighbors[moved]])
            one, two = tried.index(moved), tried.index(other)
            if random.random() < 0.5:
                tried[one], tried[two] = tried[two], tried[one]
            else:
                tried.insert(min(one, two), tried.pop(max(one, two)))
        return tried

    def _chain(self, placed: Placed, random: Random) -> list[int]:
        """A buffer at a peak above its bound, one right below it, and so on to the start."""
        offsets = placed.offsets
        high = {
            group: peak
            for group, peak, bound in zip(self.groups, placed.peaks, self.bounds, strict=True)
            if peak > bound
        }
        tops = [
            index
            for index, each in enumerate(self.buffers)
            if any(
                self._end(index, offsets) == peak and each.group in (COMMON, group)
                for group, peak in high.items()
            )
        ]
        chain = [random.choice(tops)]
        while offsets[chain[-1]]:
            below = [
                other
                for other in self.neighbors[chain[-1]]
                if self._end(other, offsets) == offsets[chain[-1]]
            ]
            if not below:
                break
            chain.append(random.choice(below))
        return chain

    def _end(self, index: int, offsets: Sequence[int]) -> int:
        return offsets[index] + self.buffers[index].size

    def _placed(self, order: list[int]) -> Placed:
        """Each buffer in turn in the lowest gap that holds it."""
        self.effort -= self.pairs
        offsets = [0] * len(order)
        taken: list[list[tuple[int, int]]] = [[] for _ in order]
        peaks = dict.fromkeys(self.groups, 0)
        for index in order:
            buffer, start = self.buffers[index], 0
            size = buffer.size
            for low, high in sorted(taken[index]):
                if low - start >= size:
                    break
                if high > start:
                    start = high
            offsets[index] = start
            span = (start, start + size)
            for other in self.neighbors[index]:
                taken[other].append(span)
            if start + size > peaks.get(buffer.group, 0):
                peaks[buffer.group] = start + size
        common = peaks.get(COMMON, 0)
        highest = tuple(max(common, peaks[group]) for group in self.groups)
        return Placed(tuple(offsets), highest, self.bounds, self.limits)


def _neighbors(buffers: Sequence[Buffer]) -> list[list[int]]:
    """For each buffer those that are alive at the same time on one board."""
    order = sorted(range(len(buffers)), key=lambda each: buffers[each].first)
    found: list[list[int]] = [[] for _ in buffers]
    alive: list[int] = []
    for index in order:
        first, group = buffers[index].first, buffers[index].group
        alive = [each for each in alive if buffers[each].last >= first]
        for other in alive:
            if COMMON in (group, buffers[other].group) or group == buffers[other].group:
                found[index].append(other)
                found[other].append(index)
        alive.append(index)
    return found


def _span(buffer: Buffer) -> int:
    return buffer.last - buffer.first + 1


#: Orders of placement that are tried before any search.
_ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda each: (-each.size, each.first),
    lambda each: (-each.size, -each.last),
    lambda each: (-_span(each) * each.size, each.first),
    lambda each: (-_span(each), -each.size),
    lambda each: (each.first, -each.size),
    lambda each: (-each.last, -each.size),
)
