"""Compares what a policy costs, by simulation, with what its declaration allows."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from pytest_tinybudget.results.types import Figure
from pytest_tinybudget.rollout.policy import Allowance
from pytest_tinybudget.rollout.policy import Policy
from pytest_tinybudget.rollout.policy import RolloutSettings
from pytest_tinybudget.rollout.simulation import Outcome
from pytest_tinybudget.rollout.simulation import simulate


#: Runs of a simulation, and of a second one where a limit lies within the first one's error.
_RUNS = (20_000, 400_000)


class Cost(Struct, frozen=True):
    """The simulated cost of a policy for a fleet of one size."""

    good: Outcome
    bad: Outcome

    @property
    def text(self) -> str:
        """The cost in one line."""
        good, bad = self.good, self.bad
        share = 100 * bad.exposed_mean / bad.fleet_devices
        return (
            f"{good.fleet_devices:,} devices: with {good.failure_percent:g} % failures "
            f"{good.halted_percent:.2f} % of rollouts halt; with {bad.failure_percent:g} % "
            f"{bad.halted_percent:.2f} % halt, {bad.exposed_mean:,.1f} devices ({share:.1f} %) "
            f"exposed"
        )


def costs(settings: RolloutSettings) -> tuple[Cost, ...]:
    """The simulated cost for each declared fleet size."""
    return tuple(_cost(settings, fleet_devices) for fleet_devices in settings.fleets)


def figures(settings: RolloutSettings, costs: Iterable[Cost]) -> tuple[Figure, ...]:
    """The figures of the worst fleet: halted good releases, and devices that get a bad one."""
    costs, allowance = tuple(costs), settings.allowance
    good = max((cost.good for cost in costs), key=lambda outcome: outcome.halted_range_percent[1])
    low, high = good.halted_range_percent
    halting = Figure(
        name=f"rollouts halted at {good.failure_percent:g} % failures",
        unit="%",
        low=low,
        high=high,
        method="estimated",
        basis=_basis(good),
        limit=allowance.halt_good_percent,
        advice="a smaller alpha or a higher good_failures halts fewer good releases",
    )
    in_devices = allowance.exposed_devices is not None
    reached = "devices" if in_devices else "fleet"
    bad = max((cost.bad for cost in costs), key=lambda outcome: _exposed(outcome, in_devices)[1])
    low, high = _exposed(bad, in_devices)
    exposure = Figure(
        name=f"{reached} exposed at {bad.failure_percent:g} % failures",
        unit="" if in_devices else "%",
        low=low,
        high=high,
        method="estimated",
        basis=_basis(bad),
        limit=allowance.exposed_devices if in_devices else allowance.exposed_percent,
        advice="smaller or more stages, or a larger alpha, expose fewer devices to a bad release",
    )
    return halting, exposure


def headline(policy: Policy) -> str:
    """The policy in a few words."""
    stages = " → ".join(f"{percent:g}" for percent in policy.stages)
    return f"stages of {stages} %, success at least {policy.minimum_success_percent:g} %"


def _cost(settings: RolloutSettings, fleet_devices: int) -> Cost:
    policy, allowance = settings.policy, settings.allowance
    for runs in _RUNS:
        good = simulate(policy, fleet_devices, allowance.good_failure_percent, runs)
        bad = simulate(policy, fleet_devices, allowance.bad_failure_percent, runs)
        if not _within_error(allowance, good, bad):
            break
    return Cost(good, bad)


def _within_error(allowance: Allowance, good: Outcome, bad: Outcome) -> bool:
    """Whether a limit lies within the Monte Carlo error, so that more runs are needed."""
    ranges = (
        (allowance.halt_good_percent, good.halted_range_percent),
        (allowance.exposed_percent, _exposed(bad, in_devices=False)),
        (allowance.exposed_devices, _exposed(bad, in_devices=True)),
    )
    return any(limit is not None and low <= limit < high for limit, (low, high) in ranges)


def _exposed(outcome: Outcome, in_devices: bool) -> tuple[float, float]:
    low, high = outcome.exposed_range
    scale = 1 if in_devices else 100 / outcome.fleet_devices
    return low * scale, high * scale


def _basis(outcome: Outcome) -> str:
    return (
        f"{outcome.runs:,} simulated rollouts to {outcome.fleet_devices:,} devices, "
        "range of 99.9 % confidence"
    )
