"""What a delta of detools takes: the algorithm of bsdiff, and what LZMA makes of its result.

bsdiff (C. Percival, "Naive differences of executable code", 2003) looks for long runs of the new
content in the old one and extends each as long as at least half of its bytes are equal. What it
keeps is sent as differences, mostly zeros, and all else as it is. That is why a delta jumps to the
size of the whole file where less than half of the bytes stay.
"""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

from pytest_tinybudget.update.settings import InPlace


#: A match must beat the bytes that are equal where the last one goes on by more than this.
_GAIN = 8

#: Matches are looked for from so many bytes on: short ones say where bsdiff looks next. In content
#: without many equal bytes more of them hardly matter, and are found sooner.
_KEY = 2

#: Places with the same key are put in order by so many bytes.
_ORDERED_BY = 512

_ZEROS = re.compile(rb"\0*")

#: Margin of the size, and of each segment of an in-place patch. detools 0.53 was held to it over a
#: grid and over random pairs (``tests/test_delta.py``); what is left is the release of liblzma, and
#: in place how pieces begin at a segment's edge: 2 of 850 were up to 5 % off.
_MARGIN_PERCENT, _MARGIN_BYTES, _SEGMENT_MARGIN_BYTES = 1, 32, 3
_IN_PLACE_PERCENT = 5

#: Type of patch and compression, a byte.
_HEADER_BYTES = 1


class _Match(Struct, frozen=True):
    """Bytes from ``new`` on in the new content that are equal to those from ``old`` on."""

    new: int
    old: int


class _Old:
    """The old content, and where each of its runs of ``_KEY`` bytes begins."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._places: dict[bytes, list[int]] = {}
        for start in range(len(content) - _KEY + 1):
            self._places.setdefault(content[start : start + _KEY], []).append(start)
        self._last = self._first = 0
        self._ordered: dict[bytes, list[int]] = {}
        self._within: dict[bytes, list[int]] = {}

    def places(self, key: bytes, first: int, last: int) -> list[int]:
        """Where ``key`` begins within ``first`` and ``last``, in the order of what follows there.

        That is the part of bsdiff's suffix array in which all begin with ``key``.
        """
        if self._last != last:
            self._last, self._ordered = last, {}
        if self._first != first or not self._ordered:
            self._first, self._within = first, {}
        within = self._within.get(key)
        if within is None:
            ordered = self._in_order(key)
            within = [each for each in ordered if each >= first] if first else ordered
            self._within[key] = within
        return within

    def _in_order(self, key: bytes) -> list[int]:
        found = self._ordered.get(key)
        if found is None:
            found = [each for each in self._places.get(key, ()) if each < self._last]
            if len(found) > 1:
                content = self.content[: self._last]
                found.sort(key=lambda place: content[place : place + _ORDERED_BY])
            self._ordered[key] = found
        return found


def _difference(new: bytes, old: bytes, shift: int, first: int, last: int) -> bytes:
    """For each new byte 0 where the old one ``shift`` bytes on is the same."""
    begin, end = max(0, first - shift), max(0, min(len(new), last - shift))
    if begin >= end:
        return b"\1" * len(new)
    return (
        b"\1" * begin + _xor(new, begin, old, begin + shift, end - begin) + b"\1" * (len(new) - end)
    )


def _xor(one: bytes, start: int, other: bytes, place: int, length: int) -> bytes:
    ours = int.from_bytes(one[start : start + length], "big")
    theirs = int.from_bytes(other[place : place + length], "big")
    return (ours ^ theirs).to_bytes(length, "big")


def _longest(old: _Old, new: bytes, start: int, first: int, last: int) -> tuple[int, int]:
    """The length of the longest run that is in the old content too, and where; else 0.

    It is beside the place where the new content would be among the old's, and of two as long
    bsdiff takes the one behind.
    """
    places = old.places(new[start : start + _KEY], first, last)
    if not places:
        return 0, 0
    low, high = 0, len(places)
    while low < high:
        middle = (low + high) // 2
        if _is_before(old.content, places[middle], last, new, start):
            low = middle + 1
        else:
            high = middle
    found = [(_run(new, start, old.content, place, last), place)
             for place in places[max(0, low - 1) : low + 1]]  # fmt: skip
    return found[-1] if found[-1][0] >= found[0][0] else found[0]


def _is_before(old: bytes, place: int, last: int, new: bytes, start: int) -> bool:
    """Whether the old content from ``place`` on is less than the new one from ``start`` on."""
    most, length = min(last - place, len(new) - start), 64
    while length < most and old[place : place + length] == new[start : start + length]:
        length *= 8
    length = min(length, most)
    return old[place : place + length] < new[start : start + length]


def _run(new: bytes, start: int, old: bytes, place: int, last: int) -> int:
    """How many bytes are equal from ``start`` and ``place`` on."""
    most, length, step = min(len(new) - start, last - place), 0, 32
    while length < most:
        step = min(2 * step, most - length)
        here, there = start + length, place + length
        if new[here : here + step] != old[there : there + step]:
            zeros = _ZEROS.match(_xor(new, here, old, there, step))
            return length + (zeros.end() if zeros else 0)
        length += step
    return length


def _matches(old: _Old, new: bytes, first: int, last: int) -> Iterator[_Match]:
    """The runs with which a new piece begins."""
    start, length, shift = 0, 0, first
    different = _difference(new, old.content, shift, first, last)
    while start < len(new):
        start += length
        counted, equal = start, 0
        while start < len(new):
            zeros = _ZEROS.match(different, start)
            length = zeros.end() - start if zeros else 0
            place = start + shift
            longest, found = _longest(old, new, start, first, last)
            if longest > length:
                length, place = longest, found
            if start + length > counted:
                equal += different.count(0, counted, start + length)
                counted = start + length
            if (length == equal and equal) or length > equal + _GAIN:
                break
            equal -= not different[start]
            start += 1
        else:
            return
        if length != equal:
            yield _Match(start, place)
            shift = place - start
            different = _difference(new, old.content, shift, first, last)


def _patch(old: _Old, new: bytes, first: int, last: int) -> bytes:
    """The pieces as detools writes them: differences, other bytes, and where the next begins."""
    parts: list[bytes] = []
    content, new_from, old_from = old.content, 0, first
    for match in (*_matches(old, new, first, last), _Match(len(new), last)):
        at_end = match.new == len(new)
        reach = min(match.new - new_from, last - old_from)
        kept = _extended(_xor(new, new_from, content, old_from, reach))
        reach = 0 if at_end else min(match.new - new_from, match.old - first)
        before = _xor(new, match.new - reach, content, match.old - reach, reach)
        back = _extended(before[::-1])
        overlap = new_from + kept - (match.new - back)
        if overlap > 0:
            kept -= overlap
            ours = _xor(new, new_from + kept, content, old_from + kept, overlap)
            theirs = _xor(new, new_from + kept, content, match.old - back, overlap)
            cut = _cut(ours, theirs)
            kept, back = kept + cut, back - cut
        end, start, place = new_from + kept, match.new - back, match.old - back
        parts += [
            _number(kept),
            _subtracted(new[new_from:end], content[old_from : old_from + kept]),
            _number(start - end),
            new[end:start],
            # Behind the last piece bsdiff leaves where it looked last, which says nothing.
            _number(-(old_from + kept) if at_end else place - old_from - kept),
        ]
        new_from, old_from = start, place
    return b"".join(parts)


def _extended(different: bytes) -> int:
    """How far a piece goes: equal bytes less others are the most there."""
    best, score, length = 0, 0, 0
    for count, each in enumerate(different, 1):
        score += -1 if each else 1
        if score > best:
            best, length = score, count
    return length


def _cut(ours: bytes, theirs: bytes) -> int:
    """How many bytes of an overlap go to the piece before: it has the most equal ones there."""
    best, score, length = 0, 0, 0
    for count, (one, other) in enumerate(zip(ours, theirs, strict=True), 1):
        score += (not one) - (not other)
        if score > best:
            best, length = score, count
    return length


def _subtracted(new: bytes, old: bytes) -> bytes:
    return bytes((after - before) & 0xFF for after, before in zip(new, old, strict=True))


def _number(value: int) -> bytes:
    """A number as detools writes it: six bits and the sign, then seven bits a byte."""
    sign, rest = (0x40, -value) if value < 0 else (0, value)
    packed = [sign | (rest & 0x3F)]
    rest >>= 6
    while rest:
        packed[-1] |= 0x80
        packed.append(rest & 0x7F)
        rest >>= 7
    return bytes(packed)


@lru_cache(maxsize=16)
def delta_bytes(old: bytes, new: bytes, in_place: InPlace | None = None) -> tuple[int, int]:
    """Least and most bytes that a delta of detools takes from ``old`` to ``new``, with LZMA.

    ``in_place`` is how the device overwrites the old content, where it has no room for both.
    """
    known = _Old(old)
    none = _number(0)
    if in_place is None:
        head = _number(len(new))
        patch = none + _patch(known, new, 0, len(old))
    else:
        shift = _shift(in_place, len(old))
        head = b"".join(
            map(_number, (in_place.memory, in_place.segment, shift, len(old), len(new)))
        )
        shifted = min(len(old), in_place.memory - shift)
        parts = []
        for start in range(0, len(new), in_place.segment):
            first = min(max(start + in_place.segment - shift, 0), shifted)
            parts += [none, _patch(known, new[start : start + in_place.segment], first, shifted)]
        patch = b"".join(parts)
    size = _HEADER_BYTES + len(head) + len(lzma.compress(patch, format=lzma.FORMAT_ALONE))
    segments = 0 if in_place is None else -(-len(new) // in_place.segment)
    percent = _MARGIN_PERCENT if in_place is None else _IN_PLACE_PERCENT
    margin = size * percent // 100 + _MARGIN_BYTES + segments * _SEGMENT_MARGIN_BYTES
    return max(0, size - margin), size + margin


def _shift(in_place: InPlace, old_bytes: int) -> int:
    """How far the old content is moved up before the new one is written, bytes."""
    free = in_place.memory // in_place.segment - -(-old_bytes // in_place.segment)
    return max(free, 2) * in_place.segment
