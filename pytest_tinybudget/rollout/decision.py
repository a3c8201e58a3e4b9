"""The decision at a stage: continue, hold, or halt, by a statistical test.

To halt, the test needs evidence. To continue, the stage needs the minimum success rate among enough
devices. Anything between holds, and adds a few devices until one or the other is true. There are
two tests:

``sprt``
    Wald's sequential probability ratio of ``bad_failure_percent`` to ``good_failure_percent``,
    halted at 1/alpha. By Ville's inequality a good release ever gets there with a chance of at
    most alpha, however often and whenever one looks (A. Wald, Sequential Analysis, 1947; J.
    Ville, 1939).
``exact``
    The binomial tail at the tolerated failure rate, the test behind Clopper and Pearson's bounds
    (Biometrika 26, 1934), at alpha divided by the number of stages (Bonferroni; looks that holds
    add are not counted).

When a halt is considered, devices whose window is still open count as succeeded. Failures are often
reported sooner than successes, and must not halt a good release because they are early.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pytest_tinybudget.rollout.policy import Policy


Action = Literal["continue", "hold", "halt"]


class Decision(Struct, frozen=True):
    """What to do at a stage, and why.

    ``more_devices`` is the number of devices by which a hold should extend the stage, fewer where
    the fleet has no more, and 0 where it only waits for results. ``shown_good`` is true where the
    evidence shows a good release; a bad one gets there with a chance of at most beta.
    """

    action: Action
    reason: str
    more_devices: int = 0
    shown_good: bool = False


def decide(policy: Policy, succeeded: int, failed: int, stage_devices: int) -> Decision:
    """The decision on a rollout whose update ``stage_devices`` devices have so far.

    All counts are of the whole rollout, all stages together. ``failed`` includes devices that were
    silent for longer than the policy's window. The results of the others are awaited.

    Raises:
        ValueError: A count is negative, or there are more results than devices.
    """
    waiting = stage_devices - succeeded - failed
    if min(succeeded, failed, waiting) < 0 or stage_devices < 1:
        raise ValueError(
            f"{succeeded} succeeded and {failed} failed do not fit {stage_devices} devices"
        )
    if failed >= halting_failures(policy, stage_devices):
        return Decision("halt", _halt_reason(policy, failed, stage_devices, waiting))
    if waiting:
        reported = f"{failed:,} of the {succeeded + failed:,} that reported failed"
        reason = f"waiting for {waiting:,} of {_devices(stage_devices)}; {reported}"
        return Decision("hold", reason)
    seen = f"{failed:,} of {_devices(stage_devices)} failed"
    if stage_devices < policy.minimum_devices:
        more = policy.minimum_devices - stage_devices
        reason = f"{seen}; fewer than {policy.minimum_devices} are too few to know: {more} more"
        return Decision("hold", reason, more)
    success = f"{100 * succeeded / stage_devices:.4g} % success"
    if failed > policy.tolerated_failures(stage_devices):
        more = extension(policy, failed, stage_devices)
        reason = (
            f"{seen}: {success}, below {policy.minimum_success_percent:g} %, "
            f"but too few to call the release bad: {more} more"
        )
        return Decision("hold", reason, more)
    shown_good = failed <= most_failures_of_good(policy, stage_devices)
    shown = f"shown to fail on fewer than {_bad_percent(policy):g} %"
    reason = f"{seen}: {success}, {shown if shown_good else f'not yet {shown}'}"
    return Decision("continue", reason, shown_good=shown_good)


def extension(policy: Policy, failed: int, devices: int) -> int:
    """By how many devices to extend a stage that is below the minimum success rate.

    So many that the failures become tolerable if the new devices succeed. At most as many as the
    stage has, so that a bad release at most doubles its reach between two decisions. At least a
    quarter of these, so that a borderline release does not need a window for every few devices.
    """
    needed = policy.devices_that_tolerate(failed) - devices
    return min(max(needed, -(-devices // 4)), devices)


@lru_cache(maxsize=4096)
def halting_failures(policy: Policy, devices: int) -> int:
    """The fewest failures among ``devices`` that halt; ``devices + 1`` where no number does."""
    if policy.test == "sprt":
        bound = _halting_log_ratio(policy)
        return _fewest(lambda failed: log_ratio(policy, failed, devices) >= bound, devices)
    rate = policy.tolerated_failure_percent / 100
    return _fewest_in_tail(_alpha_of_a_look(policy), devices, rate)


@lru_cache(maxsize=4096)
def most_failures_of_good(policy: Policy, devices: int) -> int:
    """The most failures among ``devices`` that still show a good release; -1 where none does."""
    if policy.test == "sprt":
        bound = math.log(policy.beta)
        return _fewest(lambda failed: log_ratio(policy, failed, devices) > bound, devices) - 1
    success = policy.minimum_success_percent / 100
    return devices - _fewest_in_tail(policy.beta, devices, success)


def halting_failures_alone(policy: Policy, devices: int) -> int:
    """``halting_failures`` for engines that judge each stage by its own devices alone.

    The stages share alpha, so that together they halt a good release no more often.
    """
    if policy.test == "sprt":
        policy = replace(policy, alpha=_alpha_of_a_look(policy))
    return halting_failures(policy, devices)


def devices_to_know(policy: Policy) -> int:
    """The fewest devices that can show a good release, when none of them fails."""
    known = 1
    while most_failures_of_good(policy, known) < 0:
        known *= 2
    sizes = range(known // 2, known + 1)
    return sizes[
        bisect.bisect_left(sizes, 0, key=lambda devices: most_failures_of_good(policy, devices))
    ]


def log_ratio(policy: Policy, failed: int, devices: int) -> float:
    """Natural logarithm of the likelihood of this outcome at the bad rate by that at the good."""
    good, bad = policy.good_failure_percent / 100, policy.bad_failure_percent / 100
    per_failure = math.log(bad / good)
    per_success = math.log1p(-bad) - math.log1p(-good)
    return failed * per_failure + (devices - failed) * per_success


def tail(at_least: int, trials: int, probability: float) -> float:
    """P(X >= ``at_least``) of a binomial X, for a ``probability`` between 0 and 1, exclusive.

    Terms are summed outwards from ``at_least``, largest first, on the side of the mean where
    they fall, so that small tails keep their digits. ``lgamma`` limits the relative accuracy to
    about 1e-16 times trials times log(trials).
    """
    if at_least <= 0:
        return 1.0
    if at_least > trials:
        return 0.0
    if at_least <= trials * probability:
        return 1 - tail(trials - at_least + 1, trials, 1 - probability)
    term = _mass(at_least, trials, probability)
    odds, total = probability / (1 - probability), 0.0
    for count in range(at_least, trials + 1):
        total += term
        term *= (trials - count) / (count + 1) * odds
        if term < total * 1e-17:
            break
    return total


def _fewest_in_tail(bound: float, trials: int, probability: float) -> int:
    """The least count with P(X >= count) <= ``bound``; ``trials + 1`` where there is none.

    Terms of the tail are summed, smallest first. By Bernstein's inequality those left out at the
    far end are less than e**-80 together.
    """
    mean = trials * probability
    reach = 80 / 3 + math.sqrt((80 / 3) ** 2 + 160 * mean * (1 - probability))
    count = min(trials, math.ceil(mean + reach))
    term = _mass(count, trials, probability)
    odds, total = (1 - probability) / probability, term
    while total <= bound and count > 0:
        term *= count / (trials - count + 1) * odds
        count -= 1
        total += term
    return count + 1


def _mass(count: int, trials: int, probability: float) -> float:
    choices = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
    return math.exp(
        choices + count * math.log(probability) + (trials - count) * math.log1p(-probability)
    )


def _fewest(holds: Callable[[int], bool], devices: int) -> int:
    """The least count of 0..devices from which ``holds`` is true; ``devices + 1`` if for none."""
    return bisect.bisect_left(range(devices + 1), True, key=holds)


def _halting_log_ratio(policy: Policy) -> float:
    return -math.log(policy.alpha)


def _alpha_of_a_look(policy: Policy) -> float:
    return policy.alpha / len(policy.stages)


def _bad_percent(policy: Policy) -> float:
    """The failure rate, in percent, that a release shown to be good is below."""
    if policy.test == "sprt":
        return policy.bad_failure_percent
    return policy.tolerated_failure_percent


def _halt_reason(policy: Policy, failed: int, devices: int, waiting: int) -> str:
    seen = f"{failed:,} of {_devices(devices)} failed"
    if waiting:
        seen = f"{failed:,} failed; even if the other {waiting:,} of {_devices(devices)} succeed"
    if policy.test == "sprt":
        ratio = math.exp(min(log_ratio(policy, failed, devices), math.log(1e9)))
        return (
            f"{seen}, that is {'over ' if ratio > 0.99e9 else ''}{ratio:,.0f} times likelier at "
            f"{policy.bad_failure_percent:g} % failures than at {policy.good_failure_percent:g} % "
            f"(halts from {1 / policy.alpha:,.0f} times, alpha {policy.alpha:g})"
        )
    rate = policy.tolerated_failure_percent
    chance = tail(failed, devices, rate / 100)
    return (
        f"{seen}, at {rate:g} % failures the chance of so many is {100 * chance:.2g} % "
        f"(halts from {100 * _alpha_of_a_look(policy):.2g} %, alpha {policy.alpha:g} over "
        f"{len(policy.stages)} stages)"
    )


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count:,} devices"
