"""Writes a policy as AWS IoT Jobs: for each stage the input of ``CreateJob``, with abort criteria.

A job's percentages are of its own things. So each stage is a job for a static thing group of its
own, which holds the devices that the stage adds. Limits are those of the service model (API version
2015-05-28) and of its documentation.
"""

from __future__ import annotations

import math
import re
from typing import Any

from pytest_tinybudget.base.errors import TinybudgetError
from pytest_tinybudget.rollout.decision import devices_to_know
from pytest_tinybudget.rollout.decision import halting_failures_alone
from pytest_tinybudget.rollout.policy import Policy


_LONGEST_TIMEOUT_MINUTES = 7 * 24 * 60
_LONGEST_DOCUMENT, _LONGEST_SOURCE, _LONGEST_ID, _LONGEST_GROUP = 32768, 1350, 64, 128
_ID = re.compile(r"[a-zA-Z0-9_-]+\Z")
_GROUP_ARN = re.compile(r"arn:aws[a-z-]*:iot:[a-z0-9-]+:[0-9]{12}:thinggroup/([a-zA-Z0-9:_-]+)\Z")


def jobs(
    policy: Policy,
    fleet_devices: int,
    *,
    job_id: str,
    group_arn: str,
    document: str = "",
    document_source: str = "",
    per_minute: int | None = None,
) -> list[dict[str, Any]]:
    """The jobs to create in order, each when the stage before it continues.

    ``-stage-1`` and so on is appended to ``job_id`` and ``group_arn``. The instructions for devices
    are ``document`` (JSON) or at ``document_source`` (an S3 address). At most ``per_minute``
    devices are notified in a minute.

    Raises:
        TinybudgetError: AWS IoT would reject a job.
    """
    common = _common(policy, document, document_source, per_minute)
    sizes = policy.stage_devices(fleet_devices)
    found = []
    for number, (before, size) in enumerate(zip((0, *sizes), sizes, strict=False), 1):
        job = {
            "jobId": _checked_id(f"{job_id}-stage-{number}"),
            "targets": [_checked_group(f"{group_arn}-stage-{number}")],
            "targetSelection": "SNAPSHOT",
            "description": f"stage {number} of {len(sizes)}: {size - before} devices more, "
            f"{size} of {fleet_devices} then",
            **common,
        }
        criteria = _abort_criteria(policy, size - before)
        if criteria is not None:
            job["abortConfig"] = {"criteriaList": [criteria]}
        found.append(job)
    return found


def _common(
    policy: Policy, document: str, document_source: str, per_minute: int | None
) -> dict[str, Any]:
    """The part of the input that is the same for all stages."""
    minutes = math.ceil(round(policy.window_hours * 60, 6))
    if minutes > _LONGEST_TIMEOUT_MINUTES:
        raise TinybudgetError(
            f"AWS IoT: a job times out after 7 days at most, window is {policy.window_hours:g} h"
        )
    common: dict[str, Any] = {"timeoutConfig": {"inProgressTimeoutInMinutes": minutes}}
    if bool(document) == bool(document_source):
        raise TinybudgetError("AWS IoT: expected a job document or the address of one, not both")
    for key, value, longest in (
        ("document", document, _LONGEST_DOCUMENT),
        ("documentSource", document_source, _LONGEST_SOURCE),
    ):
        if len(value) > longest:
            raise TinybudgetError(f"AWS IoT: {key} has {len(value)} characters, at most {longest}")
        if value:
            common[key] = value
    if per_minute is not None:
        if not 1 <= per_minute <= 1000:
            raise TinybudgetError(f"AWS IoT: 1 to 1000 devices a minute, not {per_minute}")
        common["jobExecutionsRolloutConfig"] = {"maximumPerMinute": per_minute}
    return common


def _abort_criteria(policy: Policy, devices: int) -> dict[str, Any] | None:
    """When the service cancels a job; ``None`` where so few devices can give no evidence.

    The service compares with the results so far. A share of failures that is evidence among the
    least number of devices is stronger evidence among more, so the service cancels only what the
    test would halt. The share is rounded up to the two digits that the service takes.
    """
    executed = min(devices, max(policy.minimum_devices, devices_to_know(policy)))
    failures = halting_failures_alone(policy, executed)
    if failures > executed:
        return None
    return {
        "failureType": "ALL",
        "action": "CANCEL",
        "thresholdPercentage": -(-10000 * failures // executed) / 100,
        "minNumberOfExecutedThings": executed,
    }


def _checked_id(job_id: str) -> str:
    if not _ID.match(job_id) or len(job_id) > _LONGEST_ID:
        raise TinybudgetError(
            f"AWS IoT: {job_id!r} is no job id; expected letters, digits, '_' and '-', "
            f"at most {_LONGEST_ID}"
        )
    return job_id


def _checked_group(arn: str) -> str:
    match = _GROUP_ARN.match(arn)
    if match is None or len(match[1]) > _LONGEST_GROUP:
        raise TinybudgetError(
            f"AWS IoT: {arn!r} is no thing group; expected such as "
            "arn:aws:iot:eu-west-1:123456789012:thinggroup/kws"
        )
    return arn
