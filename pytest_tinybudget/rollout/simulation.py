"""Simulates a policy by Monte Carlo: thousands of rollouts of whole fleets at once.

Only this module of the room imports numpy. A rollout is two numbers, devices and failures, so a
fleet of a million takes as long as one of a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from pytest_tinybudget.rollout.decision import halting_failures
from pytest_tinybudget.rollout.policy import Policy


Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Looked = tuple[Flags, Counts]

SEED = 8

#: For ranges whose ends each miss the true value in at most 5 of 10,000 simulations: the quantile
#: of the normal distribution, and ln(2 / 0.0005) for bounds that hold for any distribution.
_Z, _LOG = 3.2905, math.log(2 / 0.0005)


class Outcome(Struct, frozen=True):
    """The outcome of ``runs`` simulated rollouts to ``fleet_devices``, at one true failure rate.

    ``exposed_mean`` is in devices, ``looks_mean`` in windows that a rollout took. Ranges are the
    Monte Carlo error at 99.9 % confidence.
    """

    fleet_devices: int
    failure_percent: float
    runs: int
    halted: int
    exposed_mean: float
    exposed_deviation: float
    looks_mean: float

    @property
    def halted_percent(self) -> float:
        """Percentage of the rollouts that were halted."""
        return 100 * self.halted / self.runs

    @property
    def halted_range_percent(self) -> tuple[float, float]:
        """Wilson's score interval of ``halted_percent`` (JASA 22, 1927)."""
        share, square = self.halted / self.runs, _Z**2 / self.runs
        middle = (share + square / 2) / (1 + square)
        half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
        return 100 * max(0.0, middle - half), 100 * min(1.0, middle + half)

    @property
    def exposed_range(self) -> tuple[float, float]:
        """The range of ``exposed_mean``, in devices.

        Maurer and Pontil's empirical Bernstein bound (COLT 2009), which allows for rollouts too
        rare to be among the runs that reach the whole fleet.
        """
        half = self.exposed_deviation * math.sqrt(2 * _LOG / self.runs)
        half += self.fleet_devices * 7 * _LOG / (3 * max(1, self.runs - 1))
        return max(0.0, self.exposed_mean - half), min(self.fleet_devices, self.exposed_mean + half)


#: A rule that decides on rollouts. It gets (failed, devices) of the rollouts and of their last
#: wave, and returns which rollouts are halted, and by how many devices the others extend before
#: they continue.
Rule = Callable[[Counts, Counts, Counts, Counts], Looked]


def simulate(
    policy: Policy, fleet_devices: int, failure_percent: float, runs: int, seed: int = SEED
) -> Outcome:
    """Follow ``runs`` rollouts of a release that fails on ``failure_percent`` of the devices."""

    def rule(failed: Counts, devices: Counts, _failed: Counts, _devices: Counts) -> Looked:
        halting = _of_each(devices, partial(halting_failures, policy))
        needed = policy.devices_that_tolerate(failed) - devices
        more = np.where(needed > 0, np.clip(needed, -(-devices // 4), devices), 0)
        return failed >= halting, more

    return _simulate(policy.stage_devices(fleet_devices), failure_percent, runs, seed, rule)


def simulate_naive(
    policy: Policy, fleet_devices: int, failure_percent: float, runs: int, seed: int = SEED
) -> Outcome:
    """``simulate`` with the rule that halts when a wave is below the minimum success rate."""

    def rule(_failed: Counts, _devices: Counts, failed: Counts, devices: Counts) -> Looked:
        return failed > policy.tolerated_failures(devices), np.zeros_like(devices)

    return _simulate(policy.stage_devices(fleet_devices), failure_percent, runs, seed, rule)


def _simulate(
    stages: tuple[int, ...], failure_percent: float, runs: int, seed: int, rule: Rule
) -> Outcome:
    random, fleet_devices = np.random.default_rng(seed), stages[-1]
    sizes = np.asarray(stages, dtype=np.int64)
    devices, failed, looks = np.zeros((3, runs), dtype=np.int64)
    halted = np.zeros(runs, dtype=np.bool_)
    going = np.arange(runs)
    target = np.full(runs, sizes[0])
    while going.size:
        wave_devices = target - devices[going]
        wave_failed = random.binomial(wave_devices, failure_percent / 100)
        devices[going] = target
        failed[going] += wave_failed
        looks[going] += 1
        halts, more = rule(failed[going], target, wave_failed, wave_devices)
        halted[going] = halts
        on = ~halts & (target < fleet_devices)
        going, target, more = going[on], target[on], more[on]
        following = sizes[np.searchsorted(sizes, target, side="right")]
        target = np.where(more > 0, np.minimum(target + more, fleet_devices), following)
    return Outcome(
        fleet_devices=fleet_devices,
        failure_percent=failure_percent,
        runs=runs,
        halted=int(halted.sum()),
        exposed_mean=float(devices.mean()),
        exposed_deviation=float(devices.std()),
        looks_mean=float(looks.mean()),
    )


def _of_each(values: Counts, function: Callable[[int], int]) -> Counts:
    """``function`` of every value, called once for each different value."""
    unique, positions = np.unique(values, return_inverse=True)
    return np.fromiter(map(function, unique.tolist()), np.int64, unique.size)[positions]
