"""Writes a policy as an Eclipse hawkBit rollout: the body of ``POST /rest/v1/rollouts``.

Field names are those of hawkBit's Management API, which ignores names that it does not know.
hawkBit counts each group by itself: it starts the next one once ``finished / all >= success``,
and pauses once ``errors / all > error``, both of the group's devices and in whole percent.
"""

from __future__ import annotations

from typing import Any

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.rollout.decision import halting_failures_alone
from pytest_tinybudget.rollout.policy import Policy


#: The longest name in hawkBit, characters (NamedEntity.NAME_MAX_SIZE).
_LONGEST_NAME = 128


def rollout(
    policy: Policy, fleet_devices: int, *, name: str, target_filter: str, distribution_set: int
) -> dict[str, Any]:
    """The rollout of ``distribution_set`` to the devices of ``target_filter``.

    ``fleet_devices`` is how many those are.

    Raises:
        TinybudgetError: hawkBit has no such thresholds, or a value is not valid.
    """
    if not 0 < len(name) <= _LONGEST_NAME:
        raise TinybudgetError(f"hawkBit: a name has 1 to {_LONGEST_NAME} characters, not {name!r}")
    if not target_filter.strip():
        raise TinybudgetError("hawkBit: the target filter is empty; expected such as 'name==kws-*'")
    sizes = policy.stage_devices(fleet_devices)
    groups = []
    before = 0
    for number, size in enumerate(sizes, 1):
        devices = size - before
        groups.append(
            {
                "name": f"stage {number}",
                "description": f"{devices:,} devices, {size:,} of {fleet_devices:,} then",
                "targetFilterQuery": "",
                "targetPercentage": round(100 * devices / (fleet_devices - before), 4),
                "successCondition": _condition(_whole(policy.minimum_success_percent)),
                "successAction": {"action": "NEXTGROUP", "expression": ""},
                "errorCondition": _condition(_error_percent(policy, devices)),
                "errorAction": {"action": "PAUSE", "expression": ""},
            }
        )
        before = size
    return {
        "name": name,
        "targetFilterQuery": target_filter,
        "distributionSetId": distribution_set,
        "groups": groups,
    }


def _condition(percent: int) -> dict[str, str]:
    return {"condition": "THRESHOLD", "expression": str(percent)}


def _error_percent(policy: Policy, devices: int) -> int:
    """The percentage of a group's devices above which it pauses, rounded up: never earlier."""
    tolerated = min(halting_failures_alone(policy, devices) - 1, devices)
    return -(-100 * tolerated // devices)


def _whole(percent: float) -> int:
    """``percent`` without a fraction, with which hawkBit's condition would never be met."""
    if percent != int(percent):
        raise TinybudgetError(
            f"hawkBit: thresholds are whole percent, minimum_success is {percent:g} %: "
            f"declare {int(percent)} % or {int(percent) + 1} %"
        )
    return int(percent)
