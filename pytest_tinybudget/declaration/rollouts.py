"""``[rollout]``: the policy of staged rollouts, and what it may cost."""

from __future__ import annotations

from pytest_tinybudget.declaration.context import Context
from pytest_tinybudget.declaration.context import first
from pytest_tinybudget.declaration.schema.rollout import AllowTable
from pytest_tinybudget.declaration.schema.rollout import RolloutTable
from pytest_tinybudget.rollout.policy import Allowance
from pytest_tinybudget.rollout.policy import Policy
from pytest_tinybudget.rollout.policy import PolicyError
from pytest_tinybudget.rollout.policy import RolloutSettings


_HOURS = {"min": 1 / 60, "h": 1.0, "d": 24.0}

#: The key of each of the policy's fields that has another name, and valid lines.
_KEYS = {
    "minimum_success_percent": "minimum_success",
    "window_hours": "window",
    "good_failure_percent": "good_failures",
    "bad_failure_percent": "bad_failures",
}
_EXAMPLES = {
    "stages": 'stages = ["1%", "10%", "100%"]',
    "minimum_success": 'minimum_success = "95%"',
    "window": 'window = "24 h"',
}


def rollout_settings(context: Context, table: RolloutTable) -> RolloutSettings | None:
    """The policy of ``[rollout]``; ``None`` where it contradicts itself."""
    keys = ("rollout",)
    try:
        policy = _policy(table)
    except PolicyError as error:
        for field, fault in error.faults:
            key = _KEYS.get(field, field)
            if not context.problems.concerns(*keys, key):
                context.problems.add((*keys, key), fault, example=_EXAMPLES.get(key, ""))
        return None
    allowance = _allowance(table.allow, policy)
    if allowance.good_failure_percent >= allowance.bad_failure_percent:
        text = (
            f"a good release fails on {allowance.good_failure_percent:g} % of the devices and a "
            f"bad one on {allowance.bad_failure_percent:g} %; expected fewer failures of the good"
        )
        context.problems.add((*keys, "allow"), text, example='allow = { halt_good = "1%" }')
    return RolloutSettings(policy, tuple(dict.fromkeys(table.fleets)), allowance)


def _policy(table: RolloutTable) -> Policy:
    return Policy(
        stages=tuple(_percent(stage) for stage in table.stages),
        minimum_success_percent=_percent(table.minimum_success),
        minimum_devices=table.minimum_devices,
        window_hours=_hours(table.window),
        rollback=table.rollback,
        test=table.test,
        good_failure_percent=_percent(table.good_failures),
        bad_failure_percent=_percent(table.bad_failures),
        alpha=table.alpha,
        beta=table.beta,
    )


def _allowance(table: AllowTable, policy: Policy) -> Allowance:
    good, bad = table.good_failures, table.bad_failures
    return Allowance(
        good_failure_percent=first(_share(good), policy.good_failure_percent),
        bad_failure_percent=first(_share(bad), policy.bad_failure_percent),
        halt_good_percent=_share(table.halt_good),
        exposed_percent=_share(table.exposed) if isinstance(table.exposed, str) else None,
        exposed_devices=table.exposed if isinstance(table.exposed, int) else None,
    )


def _share(declared: str | None) -> float | None:
    return None if declared is None else _percent(declared)


def _percent(declared: str) -> float:
    return float(declared.strip().rstrip("%"))


def _hours(declared: str) -> float:
    """Hours of ``"24 h"``, ``"90 min"`` or ``"2 d"``, which the schema has checked."""
    unit = declared.strip().lstrip("0123456789. ")
    return float(declared.strip().removesuffix(unit)) * _HOURS[unit]
