"""How long a model takes on a board: a range with its basis, or unknown."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from pytest_tinybudget.boards.board import Board
from pytest_tinybudget.footprint.runtime import Kernels
from pytest_tinybudget.graph.model import Model
from pytest_tinybudget.names import printable
from pytest_tinybudget.quantities import format_quantity
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


#: Unmeasured kinds that are named; the rest are counted.
_NAMED = 3

#: Kinds that nobody has timed and that do less than a timed one: they copy, compare or rescale an
#: element where ADD rescales three; LOGISTIC takes one exponential where SOFTMAX takes and sums
#: them. They count from nothing to what the other would take. CALL_ONCE is past its one call.
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

#: Types that the timed networks have, and those that only pass through an operator that moves.
_TIMED_TYPES = frozenset({"INT8"})
_MOVED_TYPES = frozenset({"INT8", "UINT8", "RESOURCE"})

_LIBRARIES = {"cmsis-nn": "CMSIS-NN", "esp-nn": "esp-nn", "reference": "the reference kernels"}


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one inference, ``None`` where they are unknown; ``basis`` says why, in a line.

    ``unmeasured`` are the operators that nobody has timed there, each kind once: with one of
    them there is no upper end, and so no range.
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
        return Latency(None, None, "nobody has published times with the arena in external RAM")
    device = _measured_device(board, kernels)
    if device is None:
        return Latency(
            None, None, f"nobody has published times of TFLM with {_where(board, kernels)}"
        )
    if not board.clock_mhz:
        return Latency(None, None, f"{board.id} has no clock_mhz")
    return _estimated(model, board, device)


def _where(board: Board, kernels: Kernels) -> str:
    return f"{_LIBRARIES[kernels.library]} on {board.core or 'an unnamed core'}"


def _measured_device(board: Board, kernels: Kernels) -> Device | None:
    """The device whose operators were timed on this core with these kernels."""
    if kernels.library == "cmsis-nn" and not kernels.dsp:
        return None
    for device in devices():
        if device.operators and (device.core, device.kernels) == (board.core, kernels.library):
            return device
    return None


def _estimated(model: Model, board: Board, device: Device) -> Latency:
    rates, ranges = _calibrated(device, own=board.mcu.startswith(device.mcu))
    low = high = 0.0
    unmeasured, bounded = [], set()
    for work in work_of(model):
        rate, factors = rates.get(work.operator), ranges.get(work.operator, Range())
        missing = _missing(work, rate)
        if rate is not None and not missing:
            cycles = rate.cycles(_effort(work))
            low += cycles * factors.low
            high += cycles * factors.high * _penalty(work, device) + _unseen_call(
                rate, rates, ranges
            )
            continue
        most = _most(work, rates, ranges)
        if most is None:
            unmeasured.append(missing)
        else:
            bounded.add(work.operator)
            high += most
    hertz = board.clock_mhz * 1e6
    if unmeasured:
        kinds = tuple(dict.fromkeys(unmeasured))
        least = f"at least {format_quantity(low / hertz, 's')}, and " if low else ""
        basis = f"{least}nobody has timed {_listed(kinds)} on {device.mcu}"
        return Latency(None, None, basis, kinds)
    basis = _basis(board, device, sorted(bounded))
    return Latency(low / hertz, high / hertz, basis)


def _unseen_call(rate: Rate, rates: dict[str, Rate], ranges: dict[str, Range]) -> float:
    """Most cycles of calling a kernel whose timed calls were too large to show them."""
    dense = "FULLY_CONNECTED"
    return 0.0 if rate.per_call else rates[dense].per_call * ranges[dense].high


def _most(work: Work, rates: dict[str, Rate], ranges: dict[str, Range]) -> float | None:
    """Most cycles of an operator that does less than a timed kind; ``None`` for all others."""
    kind = _NO_MORE_THAN.get(work.operator)
    if kind is None or not _MOVED_TYPES.issuperset(work.types):
        return None
    effort = Effort(1, max(work.steps, work.activation_bytes))
    if not rates[kind].covers(effort.size):
        return None
    called = rates["RESHAPE"].per_call * ranges["RESHAPE"].high
    return called + rates[kind].cycles(effort) * ranges[kind].high


@cache
def _calibrated(device: Device, *, own: bool) -> tuple[dict[str, Rate], dict[str, Range]]:
    """Rates by kind and how far they may be off, what ranges have missed included."""
    rates, ranges = rates_and_ranges(device, own=own)
    miss = missed()
    wider = {
        kind: Range(each.low * miss.low, each.high * miss.high) for kind, each in ranges.items()
    }
    return rates, wider


def _effort(work: Work) -> Effort:
    return Effort(1, (work.macs or 0) if work.operator in MAC_KINDS else work.steps)


def _missing(work: Work, rate: Rate | None) -> str:
    """What of an operator was never timed, empty where a rate stands for it."""
    if rate is None:
        return printable(work.operator, limit=40)
    if not _TIMED_TYPES.issuperset(work.types):
        return f"{work.operator} of {'/'.join(dict.fromkeys(work.types))}"
    return "" if rate.covers(_effort(work).size) else f"{work.operator} as large"


def _penalty(work: Work, device: Device) -> float:
    """How much slower the kernels may be for a channel count that was not measured.

    First layers with their one to three channels were.
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


def _basis(board: Board, device: Device, bounded: list[str]) -> str:
    measured = f"operators timed on {device.mcu}, {device.clock_mhz} MHz; "
    if bounded:
        measured += f"at most for {_listed(bounded)}; "
    if board.mcu.startswith(device.mcu):
        return f"{measured}as wide as networks left out were off"
    return f"{measured}as wide as networks left out and on other chips of the core were off"
