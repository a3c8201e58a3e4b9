"""How long a model takes on a board: a range with its basis, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from pytest_tinybudget.base.remembered import Remembered
from pytest_tinybudget.base.text import printable
from pytest_tinybudget.base.units import format_quantity
from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.graph.kinds import kinds_of
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.runtimes.kernels import LIBRARIES
from pytest_tinybudget.runtimes.kernels import Kernels
from pytest_tinybudget.speed.calibration import MAC_KINDS
from pytest_tinybudget.speed.calibration import Device
from pytest_tinybudget.speed.calibration import Effort
from pytest_tinybudget.speed.calibration import Range
from pytest_tinybudget.speed.calibration import Rate
from pytest_tinybudget.speed.calibration import devices
from pytest_tinybudget.speed.calibration import missed
from pytest_tinybudget.speed.calibration import penalties
from pytest_tinybudget.speed.calibration import rates_and_ranges
from pytest_tinybudget.speed.work import Work
from pytest_tinybudget.speed.work import work_of
from pytest_tinybudget.speed.work import work_of_operator


#: So many unmeasured operator kinds are named. The number of the others is given.
_NAMED = 3

#: Kinds that nobody has timed, with a timed kind that does more for each element. They copy,
#: compare or rescale one value, where ADD rescales three; LOGISTIC takes an exponential, where
#: SOFTMAX also sums them. They count from 0 to that kind's cycles. CALL_ONCE does nothing after its
#: first call.
_NO_MORE_THAN = {
    **dict.fromkeys(
        (
            "ASSIGN_VARIABLE", "CALL_ONCE", "CONCATENATION", "EXPAND_DIMS", "MAX_POOL_2D", "PACK",
            "PAD", "PADV2", "QUANTIZE", "READ_VARIABLE", "RELU", "RELU6", "RESHAPE", "SLICE",
            "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "UNPACK", "VAR_HANDLE",
        ),
        "ADD",
    ),
    "LOGISTIC": "SOFTMAX",
}  # fmt: skip

#: Types of the timed networks, and types that operators may only move.
_TIMED_TYPES = frozenset({"INT8"})
_MOVED_TYPES = frozenset({"INT8", "UINT8", "RESOURCE"})


class Latency(Struct, frozen=True):
    """Seconds of one inference, ``None`` where unknown. ``basis`` says in a line how it is known.

    ``unmeasured`` names each kind of operator that nobody has timed there. With one of them there
    is no upper bound, and so no range.
    """

    low: float | None
    high: float | None
    basis: str
    unmeasured: tuple[str, ...] = ()


def latency_of(
    model: Model, board: Board, kernels: Kernels | None, *, external: bool = False
) -> Latency:
    """How long one inference of ``model`` takes on ``board`` with TFLM and ``kernels``.

    ``kernels`` is ``None`` where the runtime is a fixed cost, of which nothing else is known;
    ``external`` says that the arena lies in external RAM.
    """
    if kernels is None:
        return Latency(None, None, "the runtime is a fixed cost: its kernels are not known")
    if external:
        return Latency(None, None, "no published times with the arena in external RAM are known")
    device = _measured_device(board, kernels)
    if device is None:
        basis = f"no published times of TFLM with {_where(board, kernels)} are known"
        return Latency(None, None, basis)
    if not board.clock_mhz:
        return Latency(None, None, f"{board.id} has no clock_mhz")
    return _estimated(model, board, device)


def _where(board: Board, kernels: Kernels) -> str:
    return f"{LIBRARIES[kernels.library].label} on {board.core or 'an unnamed core'}"


def _measured_device(board: Board, kernels: Kernels) -> Device | None:
    """The device on which operators were timed with this core and these kernels."""
    extension = LIBRARIES[kernels.library].timed_with
    if extension and not getattr(kernels, extension):
        return None
    for device in devices():
        if device.operators and (device.core, device.kernels) == (board.core, kernels.library):
            return device
    return None


class _Timing(Struct, frozen=True, eq=False):
    """The measured rates of a core and its kernels, for one microcontroller.

    ``fastest_mhz`` is the highest clock at which TFLM was timed on the core.
    """

    device: Device
    own: bool
    rates: Mapping[str, Rate]
    ranges: Mapping[str, Range]
    fastest_mhz: int

    def cycles(self, work: Work) -> Range | None:
        """Least and most cycles of an operator; ``None`` where nobody has timed its kind."""
        rate = self.rates.get(work.operator)
        if rate is None or _missing(work, rate):
            return self._at_most(work)
        cycles, factors = rate.cycles(_effort(work)), self.ranges[work.operator]
        high = cycles * factors.high * _penalty(work, self.device)
        return Range(
            cycles * factors.low, high + (0.0 if rate.per_call else self._most_of_a_call())
        )

    def _most_of_a_call(self) -> float:
        """Most cycles of a call's fixed cost, where the timed calls were too large to show it."""
        dense = "FULLY_CONNECTED"
        return self.rates[dense].per_call * self.ranges[dense].high

    def _at_most(self, work: Work) -> Range | None:
        """Cycles of an operator that does less than a timed kind; ``None`` for other operators."""
        kind = _NO_MORE_THAN.get(work.operator)
        if kind is None or not _MOVED_TYPES.issuperset(work.types):
            return None
        effort = Effort(1, max(work.steps, work.activation_bytes))
        if not self.rates[kind].covers(effort.size):
            return None
        called = self.rates["RESHAPE"].per_call * self.ranges["RESHAPE"].high
        return Range(0.0, called + self.rates[kind].cycles(effort) * self.ranges[kind].high)


def _estimated(model: Model, board: Board, device: Device) -> Latency:
    timing = _timing(device, own=board.mcu.startswith(device.mcu))
    if timing not in model.derived:
        model.derived[timing] = _counted(model, timing)
    cycles, unmeasured, bounded = model.derived[timing]
    low = cycles.low / (board.clock_mhz * 1e6)
    if unmeasured:
        least = f"at least {format_quantity(low, 's')}, and " if low else ""
        basis = f"{least}no published times of {_listed(unmeasured)} on {device.mcu} are known"
        return Latency(None, None, basis, unmeasured)
    high = cycles.high / (min(board.clock_mhz, timing.fastest_mhz) * 1e6)
    return Latency(low, high, _basis(board, timing, bounded))


def _counted(model: Model, timing: _Timing) -> tuple[Range, tuple[str, ...], tuple[str, ...]]:
    """Cycles of the operators that can be counted, those that cannot, and those only bounded."""
    low = high = 0.0
    unmeasured: dict[str, None] = {}
    bounded: dict[str, None] = {}
    for operator, cycles, missing in _operators(model, timing):
        if cycles is None:
            unmeasured[missing] = None
            continue
        if not cycles.low:
            bounded[operator] = None
        low, high = low + cycles.low, high + cycles.high
    return Range(low, high), tuple(unmeasured), tuple(bounded)


def _operators(model: Model, timing: _Timing) -> Iterator[tuple[str, Range | None, str]]:
    """Name, cycles, and what about it was never timed, of each operator."""
    kinds = kinds_of(model)
    if kinds is None:
        for work in work_of(model):
            yield _cycles(work, timing)
        return
    known = _cycles_by_kind(timing)
    for operator, kind in zip(model.main.operators, kinds.operators, strict=True):
        yield known.get(kind) or known.keep(
            kind, _cycles(work_of_operator(operator, model.main), timing)
        )


def _cycles(work: Work, timing: _Timing) -> tuple[str, Range | None, str]:
    cycles = timing.cycles(work)
    missing = _missing(work, timing.rates.get(work.operator)) if cycles is None else ""
    return work.operator, cycles, missing


@cache
def _cycles_by_kind(_timing: _Timing) -> Remembered[int, tuple[str, Range | None, str]]:
    """What ``_cycles`` says of operators of planned models, by kind."""
    return Remembered()


@cache
def _timing(device: Device, *, own: bool) -> _Timing:
    """The rates for a microcontroller: the timed device's ``own``, or another with its core."""
    rates, ranges = rates_and_ranges(device, own=own)
    miss = missed()
    return _Timing(
        device=device,
        own=own,
        rates=rates,
        ranges={
            kind: Range(each.low * miss.low, each.high * miss.high) for kind, each in ranges.items()
        },
        fastest_mhz=max(
            each.clock_mhz
            for each in devices()
            if (each.core, each.kernels) == (device.core, device.kernels)
        ),
    )


def _effort(work: Work) -> Effort:
    return Effort(1, (work.macs or 0) if work.operator in MAC_KINDS else work.steps)


def _missing(work: Work, rate: Rate | None) -> str:
    """What about an operator was never timed; empty where a rate covers it."""
    if rate is None:
        return printable(work.operator, limit=40)
    if not _TIMED_TYPES.issuperset(work.types):
        return f"{work.operator} of {'/'.join(dict.fromkeys(work.types))}"
    return "" if rate.covers(_effort(work).size) else f"{work.operator} as large"


def _penalty(work: Work, device: Device) -> float:
    """The factor by which the kernels may be slower for a channel count that was not measured.

    First layers with one to three channels were measured.
    """
    factors = [
        penalty.factor
        for penalty in penalties()
        if (penalty.kernels, penalty.operator) == (device.kernels, work.operator)
        and work.input_channels > penalty.channels_multiple_of
        and work.input_channels % penalty.channels_multiple_of
    ]
    return max(factors, default=1.0)


def _listed(kinds: Iterable[str]) -> str:
    def parts() -> Iterator[str]:
        names = list(kinds)
        yield from names[:_NAMED]
        if len(names) > _NAMED:
            yield f"{len(names) - _NAMED} more"

    return ", ".join(parts())


def _basis(board: Board, timing: _Timing, bounded: Iterable[str]) -> str:
    """One line: what was timed where, what is only bounded, and why the range is so wide."""
    parts = [f"operators timed on {timing.device.mcu}, {timing.device.clock_mhz} MHz"]
    if bounded:
        parts.append(f"only bounded: {_listed(bounded)}")
    if board.clock_mhz > timing.fastest_mhz:
        parts.append(f"at most as at {timing.fastest_mhz} MHz, the fastest that was timed")
    others = "" if timing.own else " and on other chips of the core"
    parts.append(f"the range is the worst error on held-out networks{others}")
    return "; ".join(parts)
