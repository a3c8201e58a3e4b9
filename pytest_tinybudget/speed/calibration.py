"""Cycles of each operator kind on each measured device, and how far they may be off.

They are fitted to published times of whole networks, which are given by operator kind
(``data/measurements.json``). To know the error, each network is left out of the fit once and then
estimated. Nothing is looked up by a network's name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct


#: Operator kinds whose cycles are proportional to their multiply-accumulates.
MAC_KINDS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})

#: Kinds whose time depends on their size alone. That of others is a cost for each call.
_BY_SIZE = MAC_KINDS | {"ADD"}

#: Kinds with a cost for each call and one for their size, where measurements tell them apart.
_CALL_AND_SIZE = frozenset({"FULLY_CONNECTED", "AVERAGE_POOL_2D", "SOFTMAX"})

#: The two costs can be told apart only where measured sizes differ by this factor.
_TELLING_RATIO = 3.0

#: A call larger than the largest measured one by this factor counts as not measured.
LARGEST_RATIO = 10.0

#: With fewer left-out networks, a kind takes the widest range of the other kinds.
_ENOUGH = 3


class Effort(Struct, frozen=True):
    """The work of one operator kind: number of calls, and the sum of their sizes.

    A size is in multiply-accumulates for ``MAC_KINDS``, else in elements.
    """

    calls: int
    size: int

    @property
    def each(self) -> float:
        """The size of a call, on average."""
        return self.size / self.calls


class Sample(Struct, frozen=True):
    """The work and the cycles of one operator kind in one network."""

    network: str
    effort: Effort
    cycles: float


class Range(Struct, frozen=True):
    """Lower and upper bound: of the factor from an estimate to the truth, or of cycles."""

    low: float = 1.0
    high: float = 1.0

    def around(self, ratios: Iterable[float]) -> Range:
        """The range extended to ``ratios`` (true by estimated)."""
        ratios = list(ratios)
        return Range(min((self.low, *ratios)), max((self.high, *ratios)))


class Rate(Struct, frozen=True):
    """Cycles of one operator kind: for each call, and for each unit of its size.

    ``largest`` is the size of the largest measured call.
    """

    per_call: float
    per_unit: float
    largest: float

    def cycles(self, effort: Effort) -> float:
        """Cycles that ``effort`` takes."""
        return self.per_call * effort.calls + self.per_unit * effort.size

    def covers(self, size: float) -> bool:
        """Whether a call of this size is close enough to a measured one."""
        return size <= self.largest * LARGEST_RATIO


class Device(Struct, frozen=True, eq=False):
    """A microcontroller on which TFLM was timed. Times are seconds, by network.

    ``operators`` has times by operator kind too. It is empty where only whole networks were timed.
    """

    mcu: str
    core: str
    kernels: str
    clock_mhz: int
    source: str
    totals: Mapping[str, float]
    operators: Mapping[str, Mapping[str, float]]

    def samples(self, without: str = "") -> dict[str, list[Sample]]:
        """The samples of each kind, except those of the network ``without``."""
        found: dict[str, list[Sample]] = {}
        for network, times in self.operators.items():
            for kind, seconds in times.items():
                if network != without:
                    cycles = seconds * self.clock_mhz * 1e6
                    effort = networks()[network][kind]
                    found.setdefault(kind, []).append(Sample(network, effort, cycles))
        return found

    def rates(self, without: str = "") -> dict[str, Rate]:
        """Cycles by kind, fitted without the network ``without``."""
        return {kind: _fitted(kind, rows) for kind, rows in self.samples(without).items()}

    def ranges(self, without: str = "") -> dict[str, Range]:
        """How far each kind's rate may be off, from leaving out each network once."""
        ratios = {kind: _left_out(kind, rows) for kind, rows in self.samples(without).items()}
        widest = Range().around(
            ratio for kind in MAC_KINDS for ratio in ratios.get(kind, {}).values()
        )
        return {
            kind: Range().around(
                found.values()
                if len(found) >= _ENOUGH
                else (*found.values(), widest.low, widest.high)
            )
            for kind, found in ratios.items()
        }


class Penalty(Struct, frozen=True):
    """A kind that a kernel library runs slower, by ``factor``, for other channel counts."""

    kernels: str
    operator: str
    channels_multiple_of: int
    factor: float
    source: str


@cache
def networks() -> Mapping[str, Mapping[str, Effort]]:
    """The work of each timed network, by operator kind."""
    return {
        network: {kind: Effort(**effort) for kind, effort in kinds.items()}
        for network, kinds in _measurements()["networks"].items()
    }


@cache
def devices() -> tuple[Device, ...]:
    """All devices on which TFLM was timed."""
    return tuple(_device(row) for row in _measurements()["devices"])


@cache
def penalties() -> tuple[Penalty, ...]:
    """Slow cases that are known, but that no measured network has."""
    return tuple(Penalty(**row) for row in _measurements()["penalties"])


class Unseen(Struct, frozen=True):
    """A timed network, estimated from the other networks alone. Times are seconds.

    ``missing`` names the kinds that no other network has, or none as large; no figure includes
    them. ``estimate`` is 0 where the network has no other kinds.
    """

    network: str
    published: float
    estimate: float
    low: float
    high: float
    missing: tuple[str, ...] = ()


def unseen(device: Device) -> tuple[Unseen, ...]:
    """Each network that was timed on ``device``, estimated without its own measurements.

    Where no operators were timed on it, with the rates of another device of the same core and
    kernels.
    """
    return tuple(_foretold(device, network) for network in device.totals)


@cache
def missed() -> Range:
    """How far published times lie outside the ranges estimated without them, at worst."""
    foretold = [each for device in devices() for each in unseen(device) if each.estimate]
    return Range(
        min(1.0, *(each.published / each.low for each in foretold)),
        max(1.0, *(each.published / each.high for each in foretold)),
    )


def rates_and_ranges(
    device: Device, *, own: bool, without: str = ""
) -> tuple[dict[str, Rate], dict[str, Range]]:
    """Cycles by operator kind, and how far they may be off.

    Args:
        own: Whether they are for the device's own microcontroller. For another one, ranges also
            include how far whole networks were off on other chips of the same core and kernels.
        without: A network whose measurements are left out.
    """
    if own:
        return device.rates(without), device.ranges(without)
    elsewhere = _transferred(device, without)
    ratios = (elsewhere.low, elsewhere.high)
    return device.rates(), {kind: each.around(ratios) for kind, each in device.ranges().items()}


def _transferred(device: Device, without: str) -> Range:
    """How far whole networks, except ``without``, were off on other chips of the same core.

    Their clock is taken into account. Memory, compiler and version make the rest of the difference.
    """
    others = [
        other
        for other in devices()
        if other is not device and (other.core, other.kernels) == (device.core, device.kernels)
    ]
    rates = device.rates()
    return Range().around(
        seconds * other.clock_mhz * 1e6 / _cycles(rates, networks()[network])
        for other in others
        for network, seconds in other.totals.items()
        if network != without
    )


def _foretold(device: Device, network: str) -> Unseen:
    source = next(
        each
        for each in (device, *devices())
        if each.operators and (each.core, each.kernels) == (device.core, device.kernels)
    )
    own = source is device
    rates, ranges = rates_and_ranges(source, own=own, without=network)
    efforts = networks()[network]
    known = {
        kind: effort
        for kind, effort in efforts.items()
        if kind in rates and rates[kind].covers(effort.each)
    }
    missing = tuple(kind for kind in efforts if kind not in known)
    elsewhere = sum(device.operators[network][kind] for kind in missing if own and known)
    hertz = device.clock_mhz * 1e6
    return Unseen(
        network=network,
        published=device.totals[network] - elsewhere,
        estimate=_cycles(rates, known) / hertz,
        low=sum(rates[kind].cycles(known[kind]) * ranges[kind].low for kind in known) / hertz,
        high=sum(rates[kind].cycles(known[kind]) * ranges[kind].high for kind in known) / hertz,
        missing=missing,
    )


def _cycles(rates: Mapping[str, Rate], efforts: Mapping[str, Effort]) -> float:
    return sum(rates[kind].cycles(effort) for kind, effort in efforts.items())


@cache
def _measurements() -> dict[str, Any]:
    path = Path(__file__).parent / "data" / "measurements.json"
    content: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _device(row: Mapping[str, Any]) -> Device:
    return Device(
        mcu=row["mcu"],
        core=row["core"],
        kernels=row["kernels"],
        clock_mhz=row["clock_mhz"],
        source=row["source"],
        totals=_seconds(row["totals"]),
        operators={network: _seconds(times) for network, times in row["operators"].items()},
    )


def _seconds(microseconds: Mapping[str, int]) -> dict[str, float]:
    return {name: time / 1e6 for name, time in microseconds.items()}


def _fitted(kind: str, samples: list[Sample]) -> Rate:
    """The rate with the least relative errors and without negative costs."""
    sizes = [sample.effort.each for sample in samples]
    largest = max(sizes)
    by_call = Rate(_pooled(samples, "calls"), 0.0, largest)
    by_size = Rate(0.0, _pooled(samples, "size"), largest)
    if kind in _CALL_AND_SIZE and largest >= _TELLING_RATIO * min(sizes):
        per_call, per_unit = _least_squares(samples)
        if per_unit < 0:
            return by_call
        return Rate(per_call, per_unit, largest) if per_call > 0 else by_size
    return by_size if kind in _BY_SIZE else by_call


def _pooled(samples: list[Sample], unit: str) -> float:
    work: int = sum(getattr(sample.effort, unit) for sample in samples)
    return sum(sample.cycles for sample in samples) / work


def _least_squares(samples: list[Sample]) -> tuple[float, float]:
    """Cycles for a call and for a unit of size, by least squares of the relative errors."""
    rows = [
        (sample.effort.calls / sample.cycles, sample.effort.size / sample.cycles)
        for sample in samples
    ]
    calls_2 = sum(calls * calls for calls, _ in rows)
    size_2 = sum(size * size for _, size in rows)
    both = sum(calls * size for calls, size in rows)
    calls_1, size_1 = sum(calls for calls, _ in rows), sum(size for _, size in rows)
    determinant = calls_2 * size_2 - both * both
    return (
        (calls_1 * size_2 - size_1 * both) / determinant,
        (size_1 * calls_2 - calls_1 * both) / determinant,
    )


def _left_out(kind: str, samples: list[Sample]) -> dict[str, float]:
    """For each network, the factor from cycles estimated from the others to the true ones.

    A network whose calls are far larger than the others' has none.
    """
    ratios = {}
    for sample in samples:
        others = [other for other in samples if other is not sample]
        if others:
            rate = _fitted(kind, others)
            if rate.covers(sample.effort.each):
                ratios[sample.network] = sample.cycles / rate.cycles(sample.effort)
    return ratios
