"""Sizes as symbols: what is computed of them and asked about them, written down.

A network is lowered with symbols in the place of numbers. Each symbol knows its number, so that
all goes as with numbers, and the trace keeps each answer that decided something. For other numbers
with the same answers the lowering takes the same way: what it makes differs in sizes alone, and
these are computed by the steps of the trace.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from collections.abc import Sequence
from typing import NoReturn

from msgspec import Struct


class UntracedError(Exception):
    """A symbol was used in a way that the trace cannot follow."""


#: An operand: a number, or the place of a size or of a step's result.
_Place = tuple[str, int]

_Compute = Callable[[int, int], int]
_Ask = Callable[[int, int], bool]


class Symbol:
    """A whole number, known in the trace as ``place``."""

    __slots__ = ("number", "place", "trace")

    def __init__(self, trace: Trace, place: _Place, number: int) -> None:
        self.trace, self.place, self.number = trace, place, number

    def __add__(self, other: object) -> object:
        return self.trace.compute(operator.add, self, other)

    def __radd__(self, other: object) -> object:
        return self.trace.compute(operator.add, other, self)

    def __sub__(self, other: object) -> object:
        return self.trace.compute(operator.sub, self, other)

    def __rsub__(self, other: object) -> object:
        return self.trace.compute(operator.sub, other, self)

    def __mul__(self, other: object) -> object:
        return self.trace.compute(operator.mul, self, other)

    def __rmul__(self, other: object) -> object:
        return self.trace.compute(operator.mul, other, self)

    def __floordiv__(self, other: object) -> object:
        if not isinstance(other, int) or not other:  # a step is computed before anything is asked
            raise UntracedError
        return self.trace.compute(operator.floordiv, self, other)

    def __neg__(self) -> object:
        return self.trace.compute(operator.sub, 0, self)

    def __eq__(self, other: object) -> bool:
        return self.trace.ask(operator.eq, self, other)

    def __ne__(self, other: object) -> bool:
        return not self.trace.ask(operator.eq, self, other)

    def __lt__(self, other: object) -> bool:
        return self.trace.ask(operator.lt, self, other)

    def __ge__(self, other: object) -> bool:
        return not self.trace.ask(operator.lt, self, other)

    def __gt__(self, other: object) -> bool:
        return self.trace.ask(operator.lt, other, self)

    def __le__(self, other: object) -> bool:
        return not self.trace.ask(operator.lt, other, self)

    def __bool__(self) -> bool:
        return not self.trace.ask(operator.eq, self, 0)

    def _untraced(self, *_: object) -> NoReturn:
        raise UntracedError

    # Each would give a number that no longer tells where it comes from.
    __repr__ = __hash__ = __index__ = __int__ = __float__ = __round__ = __trunc__ = _untraced
    __truediv__ = __rtruediv__ = __rfloordiv__ = __mod__ = __rmod__ = _untraced
    __divmod__ = __rdivmod__ = __pow__ = __rpow__ = __abs__ = _untraced
    __and__ = __or__ = __xor__ = __lshift__ = __rshift__ = __invert__ = _untraced
    __rand__ = __ror__ = __rxor__ = __rlshift__ = __rrshift__ = _untraced


class Trace:
    """What was computed of some sizes and asked about them, so far."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = [Symbol(self, ("size", place), size) for place, size in enumerate(sizes)]
        self._steps: dict[tuple[_Compute, _Place, _Place], Symbol] = {}
        self._answers: dict[tuple[_Ask, _Place, _Place], bool] = {}

    def compute(self, work: _Compute, left: object, right: object) -> object:
        """The result of a step, or a number that it must be."""
        one, other = _number(left), _number(right)
        if work is operator.mul and _is_one(right):
            return left
        if work is operator.mul and _is_one(left):
            return right
        key = (work, _place(left), _place(right))
        if key not in self._steps:
            place = ("step", len(self._steps))
            self._steps[key] = Symbol(self, place, work(one, other))
        return self._steps[key]

    def ask(self, question: _Ask, left: object, right: object) -> bool:
        """The answer for the numbers that the symbols have now."""
        if _place(left) == _place(right):
            return question is operator.eq
        answer = question(_number(left), _number(right))
        self._answers[question, _place(left), _place(right)] = answer
        return answer

    def finished(self, extents: Sequence[Sequence[object]]) -> tuple[Steps, list[tuple[int, ...]]]:
        """All that was written down, and the places of ``extents`` among its values."""
        named = [tuple(map(_place, each)) for each in extents]
        used = [place for _, *places in (*self._steps, *self._answers) for place in places]
        used += [place for each in named for place in each]
        numbers = tuple(dict.fromkeys(value for kind, value in used if kind == "number"))
        behind = {"size": 0, "step": len(self.sizes) + len(numbers)}
        at = {place: behind[place[0]] + place[1] for place in used if place[0] != "number"}
        at |= {("number", value): len(self.sizes) + n for n, value in enumerate(numbers)}
        steps = Steps(
            numbers=numbers,
            steps=tuple((work, at[left], at[right]) for work, left, right in self._steps),
            answers=tuple(
                (question, at[left], at[right], answer)
                for (question, left, right), answer in self._answers.items()
            ),
        )
        return steps, [tuple(at[place] for place in each) for each in named]


class Steps(Struct, frozen=True):
    """A finished trace.

    Attributes:
        numbers: What sizes are computed with and compared to.
        steps: What is computed, of which of the values so far: sizes, numbers, earlier results.
        answers: What was asked, about which values, and what the answer was.
    """

    numbers: tuple[int, ...]
    steps: tuple[tuple[_Compute, int, int], ...]
    answers: tuple[tuple[_Ask, int, int, bool], ...]

    def values(self, sizes: Sequence[int]) -> list[int] | None:
        """All values for other sizes; ``None`` where an answer is another one."""
        values = [*sizes, *self.numbers]
        for work, left, right in self.steps:
            values.append(work(values[left], values[right]))
        for question, left, right, answer in self.answers:
            if question(values[left], values[right]) is not answer:
                return None
        return values


def plain(operand: int | Symbol) -> int:
    """The number of a symbol, or the number itself."""
    return operand.number if isinstance(operand, Symbol) else operand


def _number(operand: object) -> int:
    if isinstance(operand, Symbol):
        return operand.number
    if isinstance(operand, int):
        return operand
    raise UntracedError


def _place(operand: object) -> _Place:
    return operand.place if isinstance(operand, Symbol) else ("number", _number(operand))


def _is_one(operand: object) -> bool:
    return isinstance(operand, int) and operand == 1
