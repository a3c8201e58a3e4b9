"""The policy of a staged rollout: its stages, its test, and what it may cost.

Rates are in percent, as declared and printed; ``alpha`` and ``beta`` are probabilities, as in
textbooks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from typing import Literal
from typing import TypeVar

from msgspec import Struct
from msgspec import field

from pytest_tinybudget.base.errors import TinybudgetError


if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    #: A number, or in a simulation an array with one for each rollout.
    Count = TypeVar("Count", int, npt.NDArray[np.int64])

#: ``"sprt"``: sequential probability ratio; ``"exact"``: exact binomial (Clopper-Pearson).
Test = Literal["sprt", "exact"]

#: Percentages are compared as whole multiples of this share of a percent, so 0.1 + 0.2 is 0.3.
_PER_PERCENT = 10**6


class PolicyError(TinybudgetError):
    """A policy that contradicts itself. ``faults`` lists pairs of field and explanation."""

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{name} {fault}" for name, fault in faults))
        self.faults = faults


class Policy(Struct, frozen=True):
    """The stages of a rollout, and what decides whether it continues.

    With the test ``"sprt"``, a release that fails on at most ``good_failure_percent`` of the
    devices is halted with a chance of at most ``alpha``, and one that fails on
    ``bad_failure_percent`` is called good with a chance of at most ``beta``. With ``"exact"`` both
    are about a failure rate of 100 minus ``minimum_success_percent``.

    Attributes:
        stages: Percentages of the whole fleet that have the update after each stage, rising.
        minimum_success_percent: A stage with a lower success rate does not continue.
        minimum_devices: A stage with fewer results does not continue.
        window_hours: A device that is silent for so long after its update counts as failed.
        test: The statistical test (``decision.py``).
        alpha: The chance to halt a good release, at most.
        beta: The chance to call a bad release good, at most.
        good_failure_percent: The failure rate of a good release, for ``"sprt"``.
        bad_failure_percent: The failure rate of a bad release, for ``"sprt"``.
        rollback: Whether a halt returns the devices with the update to what they had.

    Raises:
        PolicyError: the values contradict each other.
    """

    stages: tuple[float, ...] = (1, 10, 100)
    minimum_success_percent: float = 95
    minimum_devices: int = 1
    window_hours: float = 24
    rollback: bool = True
    test: Test = "sprt"
    good_failure_percent: float = 2
    bad_failure_percent: float = 10
    alpha: float = 0.05
    beta: float = 0.05

    def __post_init__(self) -> None:
        faults = tuple(_faults(self))
        if faults:
            raise PolicyError(faults)

    @property
    def tolerated_failure_percent(self) -> float:
        """The failure rate that ``minimum_success_percent`` tolerates, in percent."""
        return round(100 - self.minimum_success_percent, 6)

    def tolerated_failures(self, devices: Count) -> Count:
        """The most failures among ``devices`` that keep the minimum success rate."""
        return devices * _millionths(self.tolerated_failure_percent) // (100 * _PER_PERCENT)

    def devices_that_tolerate(self, failures: Count) -> Count:
        """The fewest devices among which ``failures`` keep the minimum success rate."""
        return -(-failures * 100 * _PER_PERCENT // _millionths(self.tolerated_failure_percent))

    def stage_devices(self, fleet_devices: int) -> tuple[int, ...]:
        """The number of devices that have the update after each stage, rising to the whole fleet.

        Shares are rounded up, and a stage takes at least ``minimum_devices``; a stage that adds
        no device is left out, so small fleets have fewer stages.

        Raises:
            ValueError: the fleet has no device.
        """
        if fleet_devices < 1:
            raise ValueError(f"a fleet has at least one device, got {fleet_devices}")
        sizes: list[int] = []
        for percent in self.stages:
            share = -(-fleet_devices * _millionths(percent) // (100 * _PER_PERCENT))
            size = min(max(share, self.minimum_devices), fleet_devices)
            if not sizes or size > sizes[-1]:
                sizes.append(size)
        return tuple(sizes)


class Allowance(Struct, frozen=True):
    """What a policy may cost; ``None`` allows anything.

    ``halt_good_percent``: the chance of halting a release that fails on ``good_failure_percent``
    of the devices. ``exposed``: how many devices a release that fails on ``bad_failure_percent``
    reaches in the mean, in percent of the fleet or in devices.
    """

    good_failure_percent: float = 2
    bad_failure_percent: float = 10
    halt_good_percent: float | None = None
    exposed_percent: float | None = None
    exposed_devices: int | None = None


class RolloutSettings(Struct, frozen=True):
    """What a declaration says of rollouts; ``fleets`` are the sizes that the policy is for."""

    policy: Policy = field(default_factory=Policy)
    fleets: tuple[int, ...] = (100, 1000, 10_000)
    allowance: Allowance = Allowance()


def _millionths(percent: float) -> int:
    return round(percent * _PER_PERCENT)


def _faults(policy: Policy) -> Iterator[tuple[str, str]]:
    """Each wrong field, with what was expected."""
    yield from _stage_faults(policy.stages)
    if not _is_success(policy.minimum_success_percent):
        why = "with 100 % no failure could ever be made good"
        text = f"is {policy.minimum_success_percent:g} %; expected 50 % to 99.99 % ({why})"
        yield "minimum_success_percent", text
    if policy.minimum_devices < 1:
        yield "minimum_devices", f"is {policy.minimum_devices}; expected a whole number above 0"
    if not 0 < policy.window_hours <= 8760:
        yield "window_hours", f"is {policy.window_hours:g} h; expected above 0 h, at most 8760 h"
    for name in ("alpha", "beta"):
        value = getattr(policy, name)
        if not 1e-12 <= value < 0.5:
            yield name, f"is {value:g}; expected a probability of 1e-12 to below 0.5"
    if policy.test == "sprt" and _is_success(policy.minimum_success_percent):
        yield from _rate_faults(policy)


def _is_success(percent: float) -> bool:
    return 50 <= percent <= 99.99


def _stage_faults(stages: tuple[float, ...]) -> Iterator[tuple[str, str]]:
    if not stages:
        yield "stages", "is empty; expected percentages that rise to 100 %"
        return
    for before, after in zip((0.0, *stages), stages, strict=False):
        if after <= before:
            text = f"has {after:g} % after {before:g} %; expected percentages that rise to 100 %"
            yield "stages", text
            return
    if stages[-1] != 100:
        yield "stages", f"ends at {stages[-1]:g} %; expected 100 % as the last stage"


def _rate_faults(policy: Policy) -> Iterator[tuple[str, str]]:
    good, bad = policy.good_failure_percent, policy.bad_failure_percent
    tolerated = policy.tolerated_failure_percent
    why = f"the minimum success rate leaves {tolerated:g} % for failures"
    if not 0 < good < tolerated:
        text = f"is {good:g} %; expected above 0 % and below {tolerated:g} % ({why})"
        yield "good_failure_percent", text
    if not tolerated < bad < 100:
        text = f"is {bad:g} %; expected above {tolerated:g} % and below 100 % ({why})"
        yield "bad_failure_percent", text
